/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside joining: what a seed keeps of strangers, what a newcomer keeps of its try. Files:
 *
 *	join.c           events, steps, status
 *	join_words.c     what is signed
 *	join_rate.c      how often anybody may ask
 *	join_serve.c     whether joins are served here, and their SAs
 *	join_seed.c      calls and their answers
 *	join_token.c     whom a token vouches for: judged, signed, counted
 *	join_pending.c   the queue for the admin
 *	join_newcomer.c  asking to be let in
 *	join_guest.c     a newcomer by a token: what it believes, and how it ends
 *	complete.c       from then on until everybody has admitted us
 *
 * All that strangers can cause at a seed, whatever they send and from however many places:
 *
 *	what                    at most                                               bytes
 *	join SAs looked after   JOIN_SLOTS; more are ended on sight; their connection   10 K
 *	                        is unloaded at JOIN_SAS_MAX
 *	calls not answered yet  JOIN_CALLS_MAX, each for CALL_MAX_US                    64 K
 *	sources remembered      JOIN_SOURCES                                             9 K
 *	pending                 PENDING_MAX, of one source PENDING_SOURCE_MAX          128 K
 *	keys refused by admins  REJECTED_MAX, each for REJECT_US                        12 K
 *	notices                 NOTICE_BURST, then one every NOTICE_US
 *	signatures verified     four a call that may be asked: of one source SOURCE_BURST
 *	                        at once and one every SOURCE_US, of all ALL_BURST and one
 *	                        every ALL_US. A bundle given out counts for more.
 *	signatures made         one for each guest that a token's grant has room for, one
 *	                        at a time
 *
 * A source is an address in clear, of IPv6 its /64. Whoever is above a limit hears BUSY.
 */
#ifndef OVERLAYD_ENGINE_JOIN_INTERNAL_H
#define OVERLAYD_ENGINE_JOIN_INTERNAL_H

#include "engine/internal.h"

#define JOIN_SLOTS (2 * JOIN_SAS_MAX)
#define JOIN_CALLS_MAX JOIN_SAS_MAX
#define CALL_MAX_US 10000000
#define CALL_SA_US 2000000 /* of it, for the word that its SA is there */
#define HANGUP_US 3000000  /* an answered call's SA ends by then; a member has a bundle to fetch */

#define JOIN_SOURCES 256U
#define SOURCE_BURST 64
#define SOURCE_US 500000 /* 120 a minute: many may sit behind one NAT, and ask again and again */
#define ALL_BURST 512
#define ALL_US 20000
#define BUNDLE_UNIT (64U << 10) /* so many bytes given out count as one more call */

#define PENDING_MAX 256U
#define PENDING_SOURCE_MAX 8U
#define PENDING_FORGET_US (86400 * 1000000LL) /* without asking */
#define FRESH_US 300000000                    /* so long it asks often */
#define PENDING_CROWDED_US 300000000          /* the same where somebody waits for its place */
#define REJECTED_MAX 256U
#define REJECT_US (86400 * 1000000LL)
#define NOTICE_BURST 8
#define NOTICE_US 10000000

/* A rate by one number (GCRA): when all that was taken will have been worked off. */
struct rate {
	int64_t until;
};
/* May `cost` more be taken, `gap` us apart, `burst` at once? Nothing is taken if not. */
bool rate_take(struct rate *rate, int64_t now, int64_t gap, int burst, int64_t cost);

struct join_source {
	struct policy_addr addr; /* masked */
	struct rate rate;
};
void join_source_mask(const struct policy_addr *addr, struct policy_addr *out);
/* The source's and everybody's; false: BUSY. */
bool join_may_ask(struct engine *e, const struct policy_addr *source);
/* After the fact: so many bytes were given out to it. source NULL: only of all is that counted. */
void join_gave(struct engine *e, const struct policy_addr *source, size_t bytes);

struct join_slot {     /* a join SA */
	struct sa *sa; /* NULL: free */
	struct policy_addr inner, source;
	int64_t end_us, childless_us;
};

struct join_call {
	uint64_t id;
	struct policy_addr from, source; /* source: family 0, not known yet */
	uint8_t nonce[32];
	int64_t since_us;
	bool counted, proven;
	struct join_request request;
	bool vouched; /* its token's signature is good, by this key of the token */
	struct policy_key vouched_by;
	bool admitted; /* by this very call */
	uint8_t tries; /* signatures made for it in vain */
	int64_t again_us;
};

struct pending {
	char name[POLICY_NAME_MAX + 1], site[POLICY_NAME_MAX + 1], release[JOIN_RELEASE_MAX + 1];
	struct policy_key key;
	struct policy_addr source, masked, links[JOIN_LINKS_MAX];
	uint64_t hash; /* of masked: all are compared with all when the queue is full */
	uint8_t n_links;
	int64_t first_us, last_us;
};

struct rejected {
	struct policy_key key;
	int64_t until;
};

struct join_state { /* what the host was told, and has */
	bool on, open;
	uint64_t digest; /* 0: nothing is there; 1: not known */
};

struct newcomer;

struct join {
	/* seed */
	struct op serve_op;
	struct join_state sent, has;
	bool in_table; /* the rules let joins pass, as told last */
	bool full, told_serving;
	int64_t full_us; /* told last */
	const char *why_not;
	char serve_text[ENGINE_TEXT_MAX];
	uint64_t sent_seq; /* step */
	struct join_slot slots[JOIN_SLOTS];
	size_t n_slots;
	int64_t slots_due;
	struct join_call *calls[JOIN_CALLS_MAX];
	size_t n_calls;
	struct join_source sources[JOIN_SOURCES];
	size_t n_sources;
	struct rate all, notices;
	struct pending *pending[PENDING_MAX]; /* sorted */
	size_t n_pending;
	int64_t pending_due;
	uint8_t pending_policy[32]; /* digest of the policy they were looked at by */
	struct rejected rejected[REJECTED_MAX];
	size_t n_rejected;
	struct op admit_op; /* one guest at a time is signed for */
	uint64_t admit_call;
	struct policy_admission admitting;

	/* newcomer */
	struct newcomer *newcomer; /* NULL: no ticket */
	bool asking;               /* an ENGINE_FX_JOIN_ASK is in flight */

	/* join_guest.c: as which we were let in, while we are a guest */
	bool is_guest, told_over;
	struct policy_admission own;
	uint8_t guest_policy[32]; /* digest of the policy that was looked at */

	/* complete.c */
	bool joining;
	int64_t complete_us; /* by then it is complete, whoever is missing */
};

/* join_serve.c */
void join_pool_of(const struct policy_prefix *overlay6, struct policy_prefix *out);
const char *join_why_not(const struct engine *e); /* NULL: joins are served here */
bool join_in_table(const struct engine *e);
void join_pool(const struct engine *e, struct policy_prefix *out);
void joins_serve_step(struct engine *e);
void joins_serve_result(struct engine *e, int error, const char *text);
int64_t joins_serve_wakeup(const struct engine *e);
struct join_slot *join_slot_of(struct engine *e, const struct policy_addr *inner);
void join_slot_end(struct engine *e, struct join_slot *s, int64_t at); /* no later than then */
void join_slots_step(struct engine *e);

/* join_seed.c */
int engine_verify(const struct engine *e, const struct policy_key *key, const void *text,
        size_t len, const uint8_t sig[64]);
void join_called(struct engine *e, const struct engine_event *ev);
void join_hung_up(struct engine *e, uint64_t id);
void join_calls_step(struct engine *e);
void join_calls_free(struct engine *e);
int64_t join_calls_wakeup(const struct engine *e);
void join_answer(struct engine *e, struct join_call *c, enum join_status status, uint32_t retry_s,
        const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void join_answer_member(struct engine *e, struct join_call *c, const struct policy_peer *peer);
struct join_call *join_call_find(struct engine *e, uint64_t id);
#define RETRY_BUSY_S 10U

/* join_token.c */
void join_token(struct engine *e, struct join_call *c); /* answers it, or it waits */
void join_answer_unkept(struct engine *e, struct join_call *c, const char *why);
void guest_signed(struct engine *e, const struct engine_event *ev);
void guest_unsigned(struct engine *e, const char *text); /* the host could not */
void guest_step(struct engine *e);
int64_t guest_wakeup(const struct engine *e);
/* A guest's own record too, without which the bundle does not name it. False: there is none. */
bool guest_record(struct engine *e, struct join_answer *a, const struct policy_peer *peer);

/* join_pending.c */
void pending_ask(struct engine *e, struct join_call *c);
void pending_drop_key(struct engine *e, const struct policy_key *key);
void pending_reject(struct engine *e, const struct policy_key *key);
bool pending_is_rejected(struct engine *e, const struct policy_key *key);
void pending_step(struct engine *e);
void pending_free(struct engine *e);

/* join_newcomer.c */
void newcomer_look(const struct engine *e, struct engine_join_view *out);
void newcomer_ticket(struct engine *e, const struct engine_event *ev);
void newcomer_answered(struct engine *e, const struct engine_event *ev);
void newcomer_step(struct engine *e);
void newcomer_not_begun(struct engine *e); /* the ask */
void newcomer_result(struct engine *e, enum op_kind kind, int error, const char *text);
void newcomer_free(struct engine *e);
int64_t newcomer_wakeup(const struct engine *e);

/* join_guest.c */
/*
 * Is our key's record among the answer's, and does it count by the bundle's policy? True: *own is
 * it, and *policy is replaced by the one with us in it. False: text says why not.
 */
bool own_check(struct engine *e, const struct join_answer *a, struct policy **policy,
        struct policy_admission *own, char *text, size_t size);
bool own_kept(const struct engine *e); /* on disk, or there is none to be kept */
void own_step(struct engine *e);

/* complete.c */
void complete_begin(struct engine *e);
void complete_step(struct engine *e);
int64_t complete_wakeup(const struct engine *e);

#endif
