/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the cluster machine. What happened is taken in at once; what follows from it for others
 * (states, pushes, answers, calls) is said at the end of the step, in cluster_tick().
 *
 * What a peer can cause is bounded:
 * - records: one per peer of the policy, and at most IN_MAX + 1 sessions each; names that are not
 *   in the policy leave nothing behind; CAME_BURST sessions at once, then one a second
 * - texts: HIST_MAX bundles and a delta for each; a bundle that comes in is freed or one of them
 * - messages: MSG_BURST, then MSG_RATE per second and session, or the session is closed
 * - opening a bundle (hashes, a signature, parsing): only with a head that would change something,
 *   that was not refused before; what is faulty is a strike, and after STRIKES of them the peer's
 *   bundles and sessions are ignored for a while that doubles each time
 * - sending a bundle: a small one once per head and session; when asked, at most one a second and
 *   peer, the same not twice a minute on one session, and SERVE_RATE bytes a second in all
 * - statements: one of each kind per member, checked only when it says something new; answers to
 *   WHO at most each WHO_GAP_US and session
 * - links: one statement per member; of HERE HERE_BURST a session, then one in LINKS_GAP_US
 * - vouchers: one per member that has a session, CHECK_BURST checked at once, then one in CHECK_US
 * - admissions: ENGINE_ADMISSIONS_MAX in all, one for each number that a token grants at a seed; one
 *   that a signature is missing of is a strike, and what takes another's number is seldom looked
 *   at (REPLACE_BURST); what a member has not is told it ever less often
 * - notes: the last head of at most TELLERS peers at a time; one answer per peer and NOTE_GAP_US
 * - notices about a peer: one per TELL_GAP_US
 */
#ifndef OVERLAYD_ENGINE_CLUSTER_INTERNAL_H
#define OVERLAYD_ENGINE_CLUSTER_INTERNAL_H

#include "engine/internal.h"
#include "engine/links.h"
#include "policy/guests.h"
#include "policy/voucher.h"

#include <string.h>

#define HIST_MAX 4U /* bundles whose text is kept, the one in force among them */
#define REFUSED_MAX 16U
#define IN_MAX 2U /* sessions that one peer may have opened to us */
#define CAME_BURST 10U
#define TELLERS 8U
#define UNCLOSED 16U
#define STRIKES 3U
#define STRANGE_KEYS 8U
#define STRANGE_US 30000000 /* who has a bundle of a key that we do not know is not asked */
#define MSG_BURST 512
#define MSG_RATE 200
#define SERVE_RATE (32LL << 20)
#define SERVE_BURST (64LL << 20)
#define SERVE_GAP_US 1000000
#define SERVE_AGAIN_US 60000000
#define SLOW_US 10000 /* what had to wait its turn is looked at together, this often */
#define SLOW_MOST 8U  /* and so many in one step */
#define WANT_US 5000000
#define OPEN_US 20000000
#define EXTRA_US 30000000 /* a session beside those to seeds lives so long */
#define DIAL_MIN_US 250000
#define DIAL_MAX_US 30000000
#define DIAL_SOON_US 1000000   /* so long at most between two calls, at first; then */
#define DIAL_AWAY 8            /* this part of the time that it has been away */
#define STEADY_US 5000000      /* a session that lived so long is no trouble */
#define OTHER_CALLS_US 5000000 /* the other should have called by then */
#define STORE_MIN_US 1000000
#define STORE_MAX_US 60000000
#define STORE_US 20000000 /* storing without an answer has failed */
#define SHUN_MIN_US 5000000
#define SHUN_MAX_US 600000000
#define SHUN_FORGET_US 3600000000LL
#define DOUBT_US 1000000 /* seeds have so long to deliver what a note told of */
#define NOTE_AFTER_US 1000000
#define NOTE_MIN_US 30000000
#define NOTE_JITTER_US 30000000
#define NOTES_AFTER 3
#define NOTE_GAP_US 5000000
#define BAD_STATEMENTS 64U   /* of one message; the rest is not looked at */
#define WHO_GAP_US 20000     /* between two answers on one session */
#define WHO_ASK_GAP_US 50000 /* between two questions of ours */
#define TELL_GAP_US 60000000
#define LINKS_GAP_US 5000000 /* between two changes of our links */
#define LINKS_AGAIN_US 3600000000LL
#define HERE_BURST 8U
#define OLD_KEY_GRACE_S 60 /* a statement by a peer's old key: its clock and ours differ */

/* What a member said last, of one kind. */
struct kept {
	struct session_head head;
	uint8_t signature[64];
	uint8_t *body;
	uint16_t body_len;
	uint64_t seq; /* counts all that was learned; 0: nothing said */
	int64_t said_us;
	struct member *m;
	enum session_statement_kind kind;
	struct kept *prev, *next; /* by seq */
};

/* A peer of the policy, once there is something to remember of it. */
struct member {
	struct map_node node; /* by hash of its name */
	struct member *prev, *next;
	char name[POLICY_NAME_MAX + 1];
	const struct policy_peer *peer;
	struct policy_key key;
	bool seed;
	enum cluster_reach reach;

	struct sess *sessions; /* list, newest first */
	uint32_t dial_fails;
	int64_t dial_at;  /* not again before */
	int64_t away_us;  /* since the first of dial_fails */
	int64_t alone_us; /* of a seed: since when there is no session */
	char *text;       /* why there is no session */
	uint32_t came;    /* sessions that it opened lately */
	int64_t came_us;
	bool told_down;

	uint8_t strikes, shuns;
	int64_t unasked_until; /* gets no WANT */
	bool strange;          /* because of a key that we do not know */
	int64_t deaf_until;    /* its bundles and sessions are refused */
	int64_t told_us;       /* last notice of what it did wrong; 0: none */
	int64_t served_us;     /* a whole bundle was sent; 0: never */

	struct session_head noted; /* told by a note, and not here */
	int64_t noted_us;
	int64_t note_reply_at;
	bool woke; /* on demand: its tunnel came up, and no note went through it yet */

	struct kept applied, links;
	uint64_t links_count;
	bool links_fresh; /* and the engine does not know yet */
	struct member *fresh_next;

	char *voucher; /* it wants to change its key; NULL: it does not */
	struct policy_key next_key;
	int64_t voucher_us;
	uint32_t checked; /* vouchers lately */
	int64_t checked_us;

	uint32_t adm_alls; /* it was sent all admissions so often, and has not the same */
	int64_t adm_next;  /* not again before */
	uint32_t adm_odd, adm_replaced;
	int64_t adm_odd_us, adm_replaced_us;
};

/* Granted by the bundle in force, and both signatures are good: admissions.c. */
struct admission {
	struct map_node node; /* by token, seed and number */
	struct policy_admission a;
	uint8_t digest[32];                    /* of its record */
	struct policy_key token_key, seed_key; /* that verified it */
	bool old_key;                          /* seed_key is the one that the seed has changed */
	bool used;                             /* by the policy that was made last: a guest */
	bool fresh;                            /* none was made since it came */
	bool quiet;                            /* nobody needs to be told that it counts */
	bool push;                             /* it came in this step, and others are to know */
	bool ours;                             /* this node let it in */
	uint64_t gen;                          /* c->adm_gen when it came */
};

struct sess {
	struct map_node node; /* by id */
	struct sess *prev, *next;
	struct sess *peer_next;
	struct member *m;
	bool up, ours;
	bool extra; /* not to a seed: only until it gave what it told of */
	bool greeted, has_state;
	uint32_t voucher_gen; /* that it was told of */
	bool dirty;
	struct sess *dirty_next;
	int64_t since_us, deadline; /* opening, or extra: closed then */
	struct session_head told, theirs;
	bool no_delta; /* the last one was no good: only whole ones */
	bool large_ok; /* a WANT was sent, its answer may be large */
	bool wanted, who, who_out;
	bool slow; /* wanted or who, and had to wait */
	struct session_head want_base, served, served_base;
	bool named;       /* the bundle that names the key of now was sent */
	bool named_asked; /* such a one came, and was of no use */
	int64_t served_us;
	uint64_t who_since, since;
	int64_t who_at;
	uint32_t here_gen; /* of our links: said */
	bool here;         /* it said its own */
	uint8_t n_here;    /* lately */
	int64_t here_us;
	bool where, where_out;
	uint64_t where_since, map_since;
	int64_t where_at;
	int64_t budget, budget_us;

	/* admissions_say.c */
	struct session_head adm_head; /* by which they said */
	uint8_t adm_theirs[32];       /* this sum; serial 0: they have not */
	uint8_t adm_told[32];         /* ours, as they know it */
	bool adm_said;                /* it was said since the bundle in force came */
	bool adm_met;                 /* theirs was compared with ours */
	bool adm_sending;
	uint8_t adm_sent[32];           /* the last digest that they were sent */
	uint64_t adm_all;               /* they were sent all of this generation + 1 */
	int64_t adm_say_at, adm_all_at; /* due; 0: not */
	int64_t adm_since;              /* ours and theirs differ; 0: they do not */
};

struct text {
	struct session_head head;
	const char *file; /* text and signature */
	size_t len, text_len;
	char *delta; /* from this one to the one in force, and its signature */
	size_t delta_len;
	bool no_delta; /* there is none, or it does not pay */
};

struct said { /* statements of one kind, in the order in which they were learned */
	uint64_t seq;
	struct kept *head, *tail;
};

struct own_links {
	struct session_links now, next;
	bool due;         /* next is to be said */
	int64_t at;       /* not before */
	int64_t again_at; /* said again: our key may be another */
	uint32_t gen;     /* counts what was said; 0: nothing */
	uint64_t above;   /* others have heard this count */
	struct session_head head;
	struct policy_key key;
};

#define ADM_PARTS 64U
struct adm_part { /* of a message, with the admissions from one on */
	uint64_t gen;
	size_t from, to, len;
	uint8_t *data;
};

struct cluster {
	struct cluster_hooks hooks;
	struct engine_time now;
	uint64_t *next_id;
	uint64_t rng;
	bool oom;
	int64_t recover_at;
	size_t memory;

	bool has_key;
	struct bundle_trust trust;

	char own_voucher[POLICY_VOUCHER_LINE_MAX];
	size_t own_voucher_len;
	uint32_t voucher_gen; /* counts its changes; 0: there was none */

	/* bundles.c */
	struct bundle_head full;  /* of the one in force */
	struct session_head head; /* the same; serial 0: none */
	struct text hist[HIST_MAX];
	struct text naming; /* the last one that the key before signed: it names the key of now */
	const struct policy *written; /* its policy, without guests */
	bool from_admin;              /* the one in force was given here */
	bool stored, store_told;
	struct session_head storing;
	struct op store_op;
	char store_text[ENGINE_TEXT_MAX];
	struct session_head refused[REFUSED_MAX];
	size_t n_refused;
	uint8_t strange[STRANGE_KEYS][8]; /* ids of unknown signers, told */
	size_t n_strange;
	bool fork;
	struct session_head fork_told;
	enum bundle_verdict verdict;
	int verdict_error;
	char verdict_text[BUNDLE_ERROR_MAX];

	/* admissions*.c */
	struct admission **adms; /* sorted by digest */
	size_t n_adms, cap_adms;
	struct map adm_numbers;
	uint64_t adm_gen; /* counts their changes */
	bool adm_summed;  /* adm_sum is theirs */
	uint8_t adm_sum[32];
	bool remake;    /* the policy with guests is to be made */
	bool rewritten; /* for a new bundle */
	int64_t remake_at, made_us;
	int64_t adm_full_us; /* told */
	uint8_t *adm_kept;   /* as they came from the disk, until there is a bundle */
	size_t adm_kept_len;
	bool adm_spread_any;
	uint64_t adm_spread; /* generation that the sessions were told of */
	uint8_t adm_spread_sum[32];
	int64_t adm_due;
	struct op adm_op;
	uint64_t adm_storing, adm_stored; /* generations */
	bool adm_store_told;
	char adm_store_text[ENGINE_TEXT_MAX];
	bool adm_resign; /* this seed's key has changed since it signed some */
	struct op adm_sign_op;
	struct policy_admission adm_signing;

	/* who there is */
	const struct policy *policy;
	const struct policy_peer *self;
	bool self_seed;
	bool incomplete; /* it is joining: not a seed yet, whatever its role says */
	struct map members;
	struct member *member_head, *member_tail;
	struct member **seeds;
	size_t n_seeds, cap_seeds;
	bool seeds_short; /* some did not find room */

	/* sessions.c */
	struct map sessions;
	struct sess *sess_head, *sess_tail, *dirty, *extra;
	size_t n_up;
	uint64_t unclosed[UNCLOSED]; /* the host is to hear of these ends yet */
	size_t n_unclosed;
	bool sync_all;
	int64_t dial_due, ending_due, slow_due;
	uint64_t slow_last; /* the session that was served last */
	int64_t serve_budget, serve_us;
	struct sess *want; /* one WANT at a time */
	struct session_head want_head;
	int64_t want_deadline, want_scan_at;

	/* notes.c */
	int64_t note_burst_at, note_next, note_woke_at, doubt_at;
	struct member *tellers[TELLERS];
	size_t n_tellers;

	/* statements.c */
	struct said said[SESSION_KINDS];
	bool who;
	int64_t who_at;

	/* where.c */
	struct own_links links;
	struct member *fresh_links; /* list */
	bool where;
	bool map_missed; /* what a seed passed on was of no use under this policy */
	size_t where_next;

	struct engine_effect *fx;
	size_t n_fx, cap_fx;
	struct engine_effects out;
	struct cluster_block *arena;
	struct session_msg *state_msg, *push_msg, *here_msg, *adm_msg; /* of this step, for many */
	struct adm_part adm_parts[ADM_PARTS];                          /* the same, if adm_parted */
	bool adm_parted;
	struct session_head push_base;
};

static inline bool head_same(const struct session_head *a, const struct session_head *b)
{
	return a->serial == b->serial && !memcmp(a->digest, b->digest, sizeof(a->digest));
}

/* cluster.c */
void *cl_alloc(struct cluster *c, size_t size); /* zeroed; NULL sets c->oom */
void cl_free(struct cluster *c, void *p, size_t size);
void *cl_arena(struct cluster *c, size_t size); /* zeroed, until the next step */
const char *cl_str(struct cluster *c, const char *s);
struct engine_effect *cl_effect(struct cluster *c, enum engine_effect_type type, bool with_id);
void cl_notice(struct cluster *c, enum engine_severity severity, enum engine_notice_code code,
        const struct member *m, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
int64_t cl_jitter(struct cluster *c, int64_t below);
int64_t cl_backoff(struct cluster *c, uint32_t fails, int64_t min, int64_t max);

/* members.c */
struct member *member_find(const struct cluster *c, const char *name);
struct member *member_get(struct cluster *c, const char *name); /* made, if of the policy */
void member_drop(struct cluster *c, struct member *m);
void members_seeds(struct cluster *c); /* who is one, by the policy */
bool member_addrs(const struct cluster *c, const struct member *m, struct policy_addr *addr,
        struct policy_addr *from);
bool member_may_tell(struct cluster *c, struct member *m); /* a notice about it, now */
void member_strike(struct cluster *c, struct member *m, unsigned n);

/* bundles.c */
bool head_interesting(const struct cluster *c, const struct session_head *head);
void bundle_from_session(struct cluster *c, struct sess *s, const struct session_msg *msg);

/* texts.c */
void texts_free(struct cluster *c);
struct text *text_find(struct cluster *c, const struct session_head *head);
bool text_push(struct cluster *c, const char *file, size_t len); /* c->head is in force now */
/* The one in force names the key that signed the next: it is kept for those who miss both. */
void text_name(struct cluster *c);
/* Whoever has theirs needs that one first, and here it is. */
bool naming_payload(
        const struct cluster *c, const struct session_head *theirs, struct session_msg *out);
/* A delta becomes a file, to be freed; NULL: not possible, err says why (0: ask for the whole). */
char *text_rebuild(struct cluster *c, const struct session_msg *msg, size_t *len, int *error,
        char *err, size_t err_size);
/* The best way from base to the one in force; data is valid until that changes. */
bool bundle_payload(struct cluster *c, const struct session_head *base, bool allow_delta,
        struct session_msg *out);

/* admissions.c */
/*
 * A record comes; of from, or NULL. 0: *out is new; -EALREADY: *out is known. -EBADMSG, -EINVAL (not
 * granted), -EKEYREJECTED, -EKEYEXPIRED (its seed has changed that key), -EEXIST (its number is
 * another's), -EBUSY (not now), -ENOSPC, -EIO, -ENOMEM.
 */
int admission_take(struct cluster *c, const uint8_t *record, size_t len, struct member *from,
        struct admission **out);
/* The record behind its length; how many bytes: at most 2 + POLICY_ADMISSION_MAX. */
size_t admission_put(const struct policy_admission *a, uint8_t *out);
size_t admission_behind(const struct cluster *c, const uint8_t digest[32]); /* the first, sorted */
const uint8_t *admissions_sum(struct cluster *c);                 /* 32 bytes; NULL: no memory */
void admissions_bundle(struct cluster *c, struct policy *policy); /* one is in force; taken over */
int64_t admissions_make_wakeup(const struct cluster *c);
void admissions_free(struct cluster *c);

/* admissions_store.c */
void admissions_wake(struct cluster *c); /* what was kept on disk, now that there is a bundle */
void admissions_store_tick(struct cluster *c);
int64_t admissions_store_wakeup(const struct cluster *c);
bool admissions_result(struct cluster *c, uint64_t id, int error, const char *text);

/* admissions_sign.c */
void admissions_sign_tick(struct cluster *c);
int64_t admissions_sign_wakeup(const struct cluster *c);
bool admissions_sign_result(struct cluster *c, uint64_t id, int error);

/* admissions_say.c */
bool member_may_replace(struct cluster *c, struct member *m);
void admissions_greet(struct cluster *c, struct sess *s); /* they know what is in force here */
void admissions_come(struct cluster *c, struct sess *s, const struct session_msg *msg);
void admissions_tick(struct cluster *c);
int64_t admissions_wakeup(const struct cluster *c);

/* store.c */
void store_tick(struct cluster *c);
int64_t store_wakeup(const struct cluster *c);

/* sessions.c */
void sess_close(struct cluster *c, struct sess *s, bool tell_host);
void sess_violation(struct cluster *c, struct sess *s, const char *what);
struct sess *sess_new(struct cluster *c, struct member *m, uint64_t id);
void sess_lost(struct cluster *c, struct sess *s, const char *text);
struct sess *sess_up(const struct member *m); /* one that is up, or NULL */
struct sess *sess_any(const struct member *m, bool ours);
void sess_dirty(struct cluster *c, struct sess *s);
bool sess_send(struct cluster *c, struct sess *s, const struct session_msg *msg, bool large);
void sessions_tick(struct cluster *c);
int64_t sessions_wakeup(const struct cluster *c);
void sessions_slow(struct cluster *c, struct sess *s, int64_t at);

/* calls.c */
struct sess *sess_open(struct cluster *c, struct member *m, bool extra);
void call_again(struct cluster *c, struct member *m);
void calls_members(struct cluster *c);
void calls_tick(struct cluster *c);

/* wants.c */
void want_consider(struct cluster *c, struct sess *s);
void want_done(struct cluster *c, struct sess *s); /* an answer came, or the session went */
void want_asked(struct cluster *c, struct sess *s, const struct session_head *base);
void want_serve(struct cluster *c, struct sess *s);
void wants_tick(struct cluster *c);
int64_t wants_wakeup(const struct cluster *c);

/* notes.c */
void notes_changed(struct cluster *c);
void notes_woke(struct cluster *c, struct member *m);
void notes_forget(struct cluster *c, struct member *m);
void notes_delivered(struct cluster *c, struct sess *s);
void notes_tick(struct cluster *c);
int64_t notes_wakeup(const struct cluster *c);

/* statements.c */
/* direct: on the member's own session. -EKEYREJECTED: not its signature; -EINVAL: it cannot be;
 * -ENOMEM. */
int statement_take(struct cluster *c, const struct session_statement *st, bool direct);
void statement_forget(struct cluster *c, struct kept *k);
int statement_put(struct cluster *c, struct kept *k, const struct session_statement *st);
bool statement_is_known(const struct kept *k, const struct session_statement *st);
/* By its key, or by its old one. */
bool statement_is_good(
        struct cluster *c, const struct policy_peer *peer, const struct session_statement *st);
void statement_fill(struct session_statement *st, const struct kept *k);
/* What was learned since, but of `but`; the oldest first, as what does not fit comes with the next.
 * NULL: no memory. */
struct session_msg *statements_since(struct cluster *c, enum session_statement_kind kind,
        uint64_t since, const struct member *but);
void statements_state(struct cluster *c, struct session_msg *out); /* our own STATE */
void statements_asked(struct cluster *c, struct sess *s, uint64_t since);
void statements_serve(struct cluster *c, struct sess *s);
void statements_come(struct cluster *c, struct sess *s, const struct session_msg *msg);
void statements_tick(struct cluster *c);
int64_t statements_wakeup(const struct cluster *c);

/* where.c */
void here_say(struct cluster *c, struct sess *s); /* ours, if it was not told of it */
void here_come(struct cluster *c, struct sess *s, const struct session_msg *msg);
void where_asked(struct cluster *c, struct sess *s, uint64_t since);
void where_serve(struct cluster *c, struct sess *s);
void map_come(struct cluster *c, struct sess *s, const struct session_msg *msg);
void where_forget(struct cluster *c, struct member *m);
void where_members(struct cluster *c); /* the policy is another */
void where_tick(struct cluster *c);
void where_ask(struct cluster *c); /* behind all that is said */
int64_t where_wakeup(const struct cluster *c);

/* vouchers.c */
void voucher_say(struct cluster *c, struct sess *s); /* ours, if it was not told of it */
void voucher_come(struct cluster *c, struct sess *s, const struct session_msg *msg);
void voucher_forget(struct cluster *c, struct member *m);

#endif
