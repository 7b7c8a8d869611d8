/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The swarm: the simulator of one policy for the whole cluster. Tens to thousands of `struct
 * cluster` (engine/cluster.h), the very code that runs in overlayd, on one seeded network in one
 * process; tunnels, charon and firewall are only "can be reached" here (tests/sim has them whole).
 * Keys, signatures and bundles are real. After every step the rules are checked (check.c); some
 * seeds and members are hostile to the end, and still all others must come to the same policy.
 *
 *	../sim/core.c	events in order of time, random numbers, trace
 *	admin.c    policies, made into bundles and signed; forged ones too
 *	tokens.c   what the admin grants to tokens, and takes back
 *	guests.c   newcomers with a token, and the seeds that let them in
 *	keys.c     nodes that change their keys
 *	memo.c     each distinct bundle is opened once, whoever opens it
 *	node.c     a node: start, crash, disk, its step, its effects
 *	links.c    who can reach whom
 *	map.c      where each says it is
 *	net.c      sessions: ordered streams that break; notes: datagrams
 *	sign.c     statements are signed as the host does it
 *	evil.c     what hostile seeds and members do
 *	liars.c    seeds that admit as they like, stolen tokens, made-up admissions
 *	trouble.c  what goes wrong, and the calm after it
 *	check.c    the rules
 *	check_guests.c	those about guests
 *	bytes.c    how long a message is
 *	scale.c    messages and bytes for one approval, by cluster size
 *	impair.c   machines that are broken on purpose
 *	main.c     arguments
 */
#ifndef TESTS_SIMCLUSTER_SWARM_H
#define TESTS_SIMCLUSTER_SWARM_H

#include "engine/cluster.h"
#include "tests/sim/core.h"
#include "tests/sim/grant.h"

#include <stdio.h>
#include <uthash.h>

#define SEEDS_MAX 8
#define HOST_ID (1ULL << 63) /* ids of sessions that others opened */
#define LATE_US (200 * US)   /* before the end: from here on no hostile node has news */
#define TALKS 4              /* members that a member can reach beside the seeds, about */

/* Every bundle that was ever made, forged ones too. */
struct signed_bundle {
	char *file;
	size_t len, text_len;
	struct bundle_head head;
	bool genuine; /* the cluster key signed it, and not a byte was changed since */
	uint8_t policy_digest[32];
	struct policy *policy; /* as its text says */
};

struct sess;

/* ---- tokens and guests ---- */

#define TOKENS_MAX 6
#define EXCEPT_MAX 24

struct token {
	char name[16];
	void *secret; /* EVP_PKEY; newcomers have it, and whoever stole it */
	struct policy_key key;
	bool in; /* as the admin wants it */
	uint32_t count;
	int range, len; /* 10.96.range.0/len */
	bool stolen;
	struct policy_key except[EXCEPT_MAX];
	size_t n_except;
};

/* Every admission that is signed as it says. */
struct issued {
	struct grant grant;
	uint64_t serial; /* in force at its seed then */
	int64_t at;
	bool honest;  /* an honest seed said MEMBER */
	bool fragile; /* who keeps it may have lost it */
};

struct link {
	int end[2];
	bool cut;                   /* partitioned */
	bool idle;                  /* on demand, and no traffic now */
	enum cluster_reach told[2]; /* what each end's machine was told last */
	struct sess *live;
};

struct sess_end {
	struct sess_name {
		uint64_t id;
		uint64_t node;
	} name;
	UT_hash_handle hh;
	struct sess *sess;
	bool known; /* in the hash: the node may use this id */
	bool up;    /* the node was told */
	uint64_t epoch;
	int64_t floor;  /* what comes next to this end is not before */
	bool large;     /* it sent a WANT: one large payload may come */
	unsigned asked; /* WANTs without a large answer: none may come unasked */
};

struct sess {
	struct sess_end end[2]; /* [0] opened it */
	struct link *link;
	bool broken;
	struct sess *next, *next_live, *prev_live; /* of the swarm; of the link */
};

enum evil {                /* bits: what a hostile node does beside its duty */
	EVIL_WITHHOLD = 1, /* passes no bundle on, and hides that it has it */
	EVIL_REPLAY = 2,   /* old bundles, also instead of new ones */
	EVIL_CORRUPT = 4,
	EVIL_REORDER = 8,
	EVIL_GARBAGE = 16,
	EVIL_BOAST = 32, /* serials that do not exist */
	EVIL_FLOOD = 64,
	EVIL_FORGE = 128, /* statements of others, bundles of another key */
	EVIL_ADMIT = 256, /* admits as it likes, if it is a seed; admissions that are none */
};

struct traffic {
	uint64_t in, out, bytes_in, bytes_out, notes_in, notes_out;
};

struct on_disk { /* admissions on disk */
	uint8_t *data;
	size_t len;
};

struct store { /* what is on its way to the disk */
	uint64_t epoch, id;
	int bundle, error;
	bool silent;
	struct on_disk *kept; /* these, not the bundle */
};

struct node {
	int index;
	char name[16];
	struct policy_key key;
	void *secret; /* EVP_PKEY */
	struct policy_key old_key;
	void *old_secret; /* NULL: it never had another */
	bool has_old;     /* the admin names it */
	int64_t old_until;
	int64_t over_at; /* of its own old key, by its policy */
	uint64_t over_epoch;
	struct policy_key signed_by[2]; /* its statements */
	bool seed;
	unsigned evil;
	struct cluster *cl; /* NULL: overlayd is dead */
	uint64_t epoch, next_id, n_accepted;
	int64_t mono_us; /* its monotonic clock is the swarm's plus this */
	int64_t skew_s;
	int64_t tick_at, started_at;
	int spins;
	const struct policy *policy; /* it acts by this one */
	const struct policy_peer *self;
	int force; /* bundle in force, by what it says of itself; -1 none */
	int disk;  /* kept; -1 none */
	struct on_disk kept;
	bool kept_whole; /* it read them as they were */
	int64_t disk_at; /* busy until */
	int floor;       /* never to go below: in force, or confirmed on disk */
	const char *seen_file;
	const struct policy *seen_policy; /* its guests were checked; only to compare */
	uint8_t seen_digest[32];
	size_t n_guests;
	int64_t changed_at;  /* whom it admits */
	uint64_t n_verified; /* signatures of admissions */
	uint64_t window_verified;
	uint8_t *said; /* by bundle: it was in force here once */
	size_t said_cap;
	struct link **links;
	size_t n_links, cap_links;
	size_t n_sessions; /* ends that are known to it */
	size_t n_fx, n_sent;
	struct traffic traffic;
	struct traffic window; /* as it was at rate_from */
	int64_t rate_from;
	uint64_t changes, window_changes;       /* of the bundle in force, and of sessions */
	struct session_statement statements[2]; /* the last of each kind that it signed */
	int64_t converged_at;
	unsigned moves; /* on the underlay */
};

struct memo;
struct blob;

struct world {
	struct core core;
	int64_t final_at;
	int n_nodes, n_seeds, n_evil;
	struct node *nodes;
	struct link *links;
	size_t n_links;
	struct sess *sessions;
	struct sess_end *ends; /* hash */
	struct signed_bundle *bundles;
	size_t n_bundles, cap_bundles;
	int final;               /* the last bundle: what all come to; -1 not yet */
	bool *in;                /* members, as the admin wants them */
	bool no_seed[SEEDS_MAX]; /* its role was taken from it */
	struct token tokens[TOKENS_MAX];
	int n_tokens;
	struct issued *issued;
	size_t n_issued, cap_issued;
	uint64_t n_asks, n_let_in, n_lies, n_anew;
	bool rotates; /* keys change */
	int n_last;   /* how many want the last token */
	struct node *stepping;
	uint64_t content;
	struct minisign_secret key, other_key;
	const struct policy *local; /* every node's files, before the first bundle */
	struct memo *memo;
	struct blob *blobs;
	struct session_statement *overheard;
	size_t n_overheard;
	bool peaceful, count_bytes;
	bool all_withhold; /* no seed passes anything on */
	size_t memory_max;
	uint64_t n_fork_told, n_withheld_told, n_refused_told, n_restarts, n_kept, n_by_hand;
	int64_t slowest_us;
};

/* admin.c */
void admin_start(struct world *w);
void admin_end(struct world *w);
/* A bundle that follows `base` (-1: stands by itself); its index. */
int admin_sign(struct world *w, int base, uint64_t serial, bool genuine);
void admin_change(struct world *w, struct node *n); /* signs here, gives it to this node */
void admin_give(struct world *w, struct node *n, int bundle);
/* Genuine ones, by digest, and byte for byte; -1: it is none. */
int bundle_find(const struct world *w, const uint8_t digest[32]);
int bundle_same(const struct world *w, const char *file, size_t len);
int bundle_newest(const struct world *w); /* highest serial, genuine; the last of them; -1 none */

/* tokens.c */
void tokens_start(struct world *w);
void tokens_one(struct world *w); /* where there is none, one that the next bundle grants */
void tokens_end(struct world *w);
void tokens_change(struct world *w);         /* the admin thinks of something */
void tokens_last(struct world *w, int room); /* as they are in the last bundle */
void tokens_print(struct world *w, FILE *f);

/* guests.c */
/* Node i, if it is not a member, or somebody new (-1) asks for it, until it is in. */
void guest_asks(struct world *w, int node, int token);
/* What such a newcomer brings: all that its token signs. */
void guest_wish(struct world *w, int node, int token, struct policy_admission *a);
/* A seed says MEMBER to whom the admission is for. */
void guest_member(struct world *w, struct node *s, const struct policy_admission *a);
void guests_store(struct world *w, struct node *n, const struct engine_effect *fx);
void guests_start(struct world *w, struct node *n);      /* from disk */
void guests_lost(struct world *w, const struct node *s); /* its disk */
void guests_free(struct world *w);
void guest_issued(struct world *w, const struct policy_admission *a,
        const struct policy_key *token_key, const struct policy_key *seed_key,
        const struct node *seed);
/* The same guest, signed by another key of its seed. */
void guest_anew(struct world *w, const struct policy_admission *a,
        const struct policy_key *seed_key, const struct node *seed);

/* liars.c */
/* The newcomer goes on asking (true), or is let in as it should be. */
bool liars_admit(struct world *w, struct node *s, struct policy_admission *wish);
void liars_act(struct world *w, struct node *n, struct sess_end *e);
void liars_thief(struct world *w);

/* check_guests.c */
void check_guests(struct world *w, struct node *n);
void check_notice(struct world *w, struct node *n, const struct engine_notice *notice);
void check_guests_kept(struct world *w, struct node *n); /* after a start */
void check_guests_settled(struct world *w);

/* keys.c */
void keys_change(struct world *w);
void keys_print(const struct node *n, FILE *f);
bool keys_holds(const struct node *n, const struct policy_key *key);
void *keys_secret(const struct node *n, const struct policy_key *key);
const struct policy_key *keys_signing(const struct world *w, const struct node *n);
/* Does that key count as pp's, by the swarm's clock? */
bool keys_counts(const struct world *w, const struct policy_peer *pp, const struct policy_key *key);
/* Can it show pp's key, by its policy and the swarm's clock? */
bool keys_prove(const struct world *w, const struct policy_peer *pp, const struct node *n);
void keys_taken_over(struct world *w, struct node *n);
void keys_resign(struct world *w, struct node *n, const struct engine_effect *fx);

/* memo.c */
struct cluster_hooks memo_hooks(struct world *w);
void memo_free(struct memo *m);

/* node.c */
void node_store(struct world *w, struct node *n, uint64_t id, int bundle, struct on_disk *kept);
void node_start(struct world *w, struct node *n, void *data);
void node_crash(struct world *w, struct node *n, bool lose_disk);
void node_begin(struct world *w, struct node *n);
void node_end(struct world *w, struct node *n);
struct node *node_by_name(struct world *w, const char *name);

/* links.c */
void links_make(struct world *w);
struct link *link_find(const struct world *w, const struct node *n, const struct node *o);
bool link_up(const struct world *w, const struct link *l);
enum cluster_reach link_reach(const struct world *w, const struct link *l);
void links_review(struct world *w, struct node *n); /* something changed: ends are told in time */
void links_cut_own(struct world *w, struct node *n,
        const struct policy *old); /* within its step: whom it admits no more */
static inline int link_side(const struct link *l, const struct node *n)
{
	return l->end[1] == n->index;
}

/* net.c */
void net_open(struct world *w, struct node *n, const struct engine_effect *fx);
void net_send(struct world *w, struct node *n, uint64_t id, const struct session_msg *msg);
void net_close(struct world *w, struct node *n, uint64_t id);
void net_note(struct world *w, struct node *n, struct node *to, const struct session_head *head);
void net_break(struct world *w, struct sess *s);
void net_break_link(struct world *w, struct link *l);
void net_break_node(struct world *w, struct node *n);
struct sess_end *net_end(struct world *w, const struct node *n, uint64_t id);
/* Sends without asking the machine: what hostile nodes do. */
void net_inject(struct world *w, struct sess_end *from, const struct session_msg *msg);
struct node *end_node(struct world *w, const struct sess_end *e);
struct sess_end *end_other(struct sess_end *e);
void blobs_free(struct world *w);

/* bytes.c */
size_t msg_bytes(const struct session_msg *msg);
size_t note_bytes(const struct session_head *head);

/* sign.c */
void sign_new_key(struct world *w, struct node *n);
void sign_free(struct node *n);
void sign_statement(struct world *w, struct node *n, struct session_statement *s);
void *sign_key(struct world *w, struct policy_key *public);
void sign_key_free(void *secret);
void sign_words(void *secret, const void *words, size_t len, uint8_t sig[64]);
void sign_make_cluster_key(struct world *w, struct minisign_secret *out);

/* evil.c */
void evil_choose(struct world *w);
void evil_start(struct world *w, struct node *n);
/* May change the message or swallow it (false). */
bool evil_tampers(struct world *w, struct node *n, struct session_msg *msg);
void evil_overhears(struct world *w, const struct session_msg *msg);

/* trouble.c */
void trouble_start(struct world *w);

/* check.c */
void check_step(struct world *w, struct node *n);
void check_start(struct world *w, struct node *n);
void check_effect(struct world *w, struct node *n, const struct engine_effect *fx);
void check_settled(struct world *w);

/* map.c */
void map_start(struct node *n); /* within a step */
void map_move(struct world *w, struct node *n);
void map_ask(struct world *w, struct node *n);
void map_check(struct world *w, struct node *n);
void map_settled(struct world *w, struct node *n);

/* scale.c */
int scale_run(uint64_t seed, int largest, bool json);

/* main.c */
void swarm_init(struct world *w, uint64_t seed, int nodes);
void swarm_free(struct world *w);

#endif
