/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulator: a few nodes, each a real engine over a fake charon and a fake kernel, an admin who
 * changes the policy, and trouble; all from one seeded random stream in one process. After every
 * step the safety rules are checked against what the fakes would really let pass (check.c); once
 * the trouble stops everything must come to the desired state.
 *
 *	core.c     events in order of time, random numbers, trace; simcluster has them too
 *	world.c    all of it
 *	admin.c    policies, written as text
 *	charon.c   connections, SAs, and the network between
 *	kernel.c   the table and its elements
 *	host.c     carries effects out, brings events in
 *	session.c  signed mode: bundles, sessions and notes over the tunnels
 *	join.c     a stranger with a ticket, seeds that let it in or lie
 *	guest.c    the same by a token; newcomers that lie, a stolen token
 *	grant.c    whom a bundle lets in, said once more for the rules
 *	trouble.c  what goes wrong
 *	demand.c   packets that wake traps, idle tunnels
 *	check.c    the rules
 *	main.c     arguments, impairments
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "engine/engine.h"
#include "tests/sim/core.h"

#include <stdio.h>

#define NODES_MAX 12
#define KEYS_MAX 24 /* of one node, one after the other */
#define CONNS_MAX 32
#define SAS_MAX 128
#define ELEMS_MAX 32
#define UNDERLAYS_MAX 32
#define RULES 6
#define FOREIGN "office-vpn" /* somebody else's connection */
#define EVIL 1000            /* SA's other end is an impostor who holds an old key */

struct fconn {
	char name[ENGINE_CONN_MAX];
	struct policy_key key;
	char local_id[ENGINE_ID_MAX], remote_id[ENGINE_ID_MAX];
	struct policy_addr l4, l6, r4, r6, endpoint;
	bool trap;
};

struct fsa {
	char conn[ENGINE_CONN_MAX];
	uint32_t id, child_id;
	int other;         /* node, or EVIL, or -1 unknown */
	uint32_t other_id; /* its IKE_SA there */
	struct policy_key other_key;
	enum engine_ike_state state;
	bool child, initiator;
	bool covers; /* foreign: its selectors are everything */
	char local_id[ENGINE_ID_MAX], remote_id[ENGINE_ID_MAX];
	struct policy_addr l4, l6, r4, r6; /* the child's; family 0: narrowed away */
	bool hidden;                       /* so large that no list has it */
	int64_t since, child_since, deaf_since, hidden_at;
};

struct fcharon {
	bool up;
	uint64_t gen;
	uint32_t next_id;
	bool has_key;
	struct policy_key key; /* loaded private key */
	struct fconn conns[CONNS_MAX];
	size_t n_conns;
	struct fsa sas[SAS_MAX];
	size_t n_sas;
	int64_t busy_until; /* commands are done one after the other */
};

struct elem {
	char peer[64];
	struct policy_addr a4, a6;
	uint32_t in, out; /* rules that it opens */
	int64_t expires;
};

struct under {
	char peer[64];
	struct policy_addr addrs[4];
	size_t n;
};

struct fkernel {
	bool table, lockdown;
	struct under under[UNDERLAYS_MAX]; /* nothing of the cluster goes there in clear */
	size_t n_under;
	uint32_t class_in[64], class_out[64];
	size_t n_in, n_out;
	struct elem elems[ELEMS_MAX];
	size_t n_elems;
	int64_t broken_since; /* table gone or changed by another; -1: fine */
	bool plane_set;
};

struct held { /* a policy in force, since when, until when */
	const struct policy *policy;
	int64_t from, to;
};
#define HELD_MAX 24

struct clocks {          /* wall = simulated time + offset, us */
	int64_t trusted; /* the latest that it ever saw, carried on */
	int64_t present; /* as it was set when it last looked */
	int64_t until;   /* was so */
};
#define FORMER_MAX 8

struct node {
	int index;
	char name[16];
	struct policy_key keys[KEYS_MAX];
	uint8_t secrets[KEYS_MAX][32];
	int key;      /* the one it holds now */
	int told_key; /* the one that overlayd knows of */
	struct policy_addr underlay, dead;
	struct engine *engine; /* NULL: overlayd is dead */
	uint64_t epoch;        /* of overlayd */
	int64_t tick_at, down_since, up_since, ref, asked_at, key_at;
	struct clocks clocks, former[FORMER_MAX]; /* what it knows of the time, and knew before */
	int spins;
	int64_t wall_skew_us, floor_s;
	bool traps; /* its plane has them */
	struct fcharon charon;
	struct fkernel kernel;
	const struct policy *files; /* what lies on its disk */
	struct held held[HELD_MAX];
	size_t n_held;
	bool started;
	int force, disk;          /* bundle in force, kept; -1: none */
	uint8_t *guests;          /* admissions on disk */
	size_t n_guests;          /* bytes */
	int64_t disk_at;          /* busy until */
	bool stranger;            /* it has no cluster key on disk */
	bool ticket;              /* it has one, of join.c */
	bool serves, serves_open; /* joins: its host does, its charon does */
};

struct fbundle { /* signed */
	char *file;
	size_t len;
	struct bundle_head head;
	uint8_t policy[32]; /* digest */
	const struct policy *parsed;
};

struct member { /* as the admin sees a node */
	bool in;
	int key;
	int address;
	uint32_t roles; /* bits */
	bool seed;
	int endpoints; /* 0 none, 1 live, 2 dead then live, 3 name */
	int64_t until; /* 0 none */
	int hours;     /* -1 none, else start minute; an hour long */
};

struct world {
	struct core core;
	int n_nodes;
	struct node nodes[NODES_MAX];
	struct member members[NODES_MAX];
	uint32_t rules; /* allow lines in use */
	bool lockdown;
	enum policy_mesh mesh;
	uint64_t serial;
	const struct policy *policy; /* the admin's latest */
	size_t memory_max;
	bool is_signed; /* there is a cluster key, and the admin signs */
	struct minisign_secret secret;
	struct fbundle *bundles;
	int n_bundles;
	struct fsession *sessions;
	uint64_t n_accepted, n_by_session; /* by_session: bundles that came so */
	struct joins *joins;               /* of join.c; NULL: nobody joins */
	struct guests *guests;             /* of guest.c; NULL: no policy has tokens */
	uint64_t n_asks, n_lies, n_joined, n_let_in;
};

/* world.c */
bool world_run(struct world *w);
void world_free(struct world *w);
bool same_addr(const struct policy_addr *a, const struct policy_addr *b);

/* admin.c */
void admin_start(struct world *w);
void admin_change(struct world *w);
void admin_publish(struct world *w, int64_t within);
void admin_approve(struct world *w, int i);
void admin_make_seed(struct world *w, int below); /* some node below that */
void node_new_key(struct world *w, struct node *n);

/* charon.c */
void charon_do(struct world *w, struct node *n, const struct engine_effect *fx);
void charon_start(struct world *w, struct node *n);
void charon_kill(struct world *w, struct node *n);
void charon_trouble(struct world *w, struct node *n);
void charon_dpd(struct world *w, struct node *n, void *data);
struct fsa *charon_sa(struct node *n, uint32_t id);
void charon_impostor(struct world *w);
void charon_unnamed(struct world *w, struct node *n);
void charon_foreign(struct world *w, struct node *n);
void charon_hide(struct world *w, struct node *n);
void charon_show(struct node *n); /* what was hidden is listed again */
void charon_swanctl(struct world *w, struct node *n);

void charon_acquire(struct world *w, struct node *n, const struct fconn *c);
void charon_child_end(struct world *w, struct node *n, struct fsa *sa);

/* Join SAs: of node `from`, at n. */
uint32_t charon_join_begin(
        struct world *w, struct node *n, int from, const struct policy_addr *inner);
bool charon_join_has(struct node *n, uint32_t id);
void charon_join_end(struct world *w, struct node *n, uint32_t id);
void charon_join_end_all(struct world *w, struct node *n);
bool charon_join_lives(const struct world *w, const struct node *n); /* one is too old */

/* demand.c */
void demand_start(struct world *w);
bool demand_pair(const struct world *w, const struct node *n, const struct policy_peer *self,
        const struct policy_peer *pp);
const struct fconn *demand_conn(const struct node *n, const char *peer);

/* kernel.c */
int kernel_do(struct world *w, struct node *n, const struct engine_effect *fx);
void kernel_stranger(struct world *w, struct node *n);
void kernel_expire(struct world *w, struct node *n);

/* host.c */
void host_event(struct world *w, struct node *n, struct engine_event *ev);
void host_start(struct world *w, struct node *n);
void host_kill(struct world *w, struct node *n);
void host_hold(struct world *w, struct node *n, const struct policy *p);
void host_learn_issue(struct world *w, struct node *n, int64_t issued_s);
void host_tell_charon(struct world *w, struct node *n);
void host_result(struct world *w, struct node *n, int64_t when, uint64_t id, int error);
struct engine_time host_time(const struct world *w, const struct node *n);
void host_fw_seen(struct world *w, struct node *n, void *data);
void host_read_files(struct world *w, struct node *n, void *data);

/* session.c */
void session_key(struct world *w, uint8_t seed[32], uint8_t public[32]);
void session_mode(struct world *w);
void session_free(struct world *w);
void session_start(struct world *w, struct node *n);
void session_do(struct world *w, struct node *n, const struct engine_effect *fx);
void session_look(struct world *w, struct node *n, bool by_session);
void session_publish(struct world *w, int64_t within);

/* join.c */
void join_mode(struct world *w);
void join_start(struct world *w, struct node *n);
void join_do(struct world *w, struct node *n, const struct engine_effect *fx);
void join_calm(struct world *w);
void join_settled(struct world *w);
void join_free(struct world *w);
/* The call of somebody who is no node, over a new join SA. */
uint64_t join_stranger(struct world *w, struct node *seed, const struct policy_key *key,
        bool proven, uint32_t *sa, const struct policy_addr *inner);

/* trouble.c */
void trouble_start(struct world *w);

/* check.c */
void check_node(struct world *w, struct node *n);
void check_notice(struct world *w, struct node *n, const struct engine_notice *notice);
void check_terminate(struct world *w, struct node *n, const struct engine_terminate *t);
void check_admit(struct world *w, struct node *n, const struct engine_fw_peer *p);
void check_settled(struct world *w);
bool plane_shared(const struct node *n);
uint32_t rules_of(const struct policy *p, const uint64_t *bits);
uint32_t rules_between(
        const struct policy *p, const struct policy_peer *from, const struct policy_peer *to);

#endif
