/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the engine. One record per peer name; engine_step() takes in the event (observed changes,
 * peers get dirty), then reconciles each dirty peer: what is wanted against what is observed, which
 * emits effects and arms the peer's one timer. Files:
 *
 *	engine.c    the dispatch of events, and the run after it
 *	clock.c     trusted time, windows
 *	peers.c     records, policy swap, states
 *	claims.c    whose address it is
 *	revoke.c    the ordered end of a peer
 *	fwplan.c    table and elements
 *	classes.c   distinct sets of rules
 *	tunnel.c    who initiates, where to, when
 *	paths.c     ways to peers that have no endpoints

 *	rivals.c    one key on two hosts
 *	demand.c    SAs that come and go with traffic
 *	rotation.c  keys that change, the peers' and ours
 *	conns.c     load-conn, unload-conn, get-conns
 *	sas.c       the table of SAs
 *	judge.c     which SAs are wanted
 *	foreign.c   SAs of others
 *	charon.c    connect, key, lists
 *	underlay.c  where peers are in clear, names
 *	ops.c       effects in flight, back-off
 *	out.c       effects out, notices, memory
 *	timers.c    one timer per peer, in a heap
 *	view.c      what status sees
 *	cluster.c   which policy is in force, and how it gets about: a machine of its own, cluster.h
 *	join*.c     newcomers and seeds: join_internal.h
 *	complete.c  from being let in to being a member
 */
#ifndef OVERLAYD_ENGINE_INTERNAL_H
#define OVERLAYD_ENGINE_INTERNAL_H

#include "engine/cluster.h"
#include "engine/engine.h"
#include "engine/impair.h"
#include "engine/map.h"

#define CHILD_GRACE_US 1000000    /* before a duplicate is ended */
#define SAME_SIDE_DUP_US 10000000 /* before the responder ends one of two of the initiator's */
#define CHILDLESS_US 2000000      /* an IKE_SA of ours without a child: the try has failed */
#define CROSSING_US 5000000       /* SAs built within this crossed each other */
#define LEAVING_MAX_US 60000000   /* an SA that is being deleted for longer is ended by force */
#define LIST_GAP_US 100000        /* between two lists */
#define RESOLVE_AGAIN_US 60000000
#define RESOLVE_SOON_US 5000000
#define RESOLVE_WINDOW 16U /* of names that no tunnel waits for */
#define SOCKETS_TRIES 5
#define DEMAND_FORGET_US 300000000 /* without another: a failed acquire is no trouble any more */
#define DEMAND_LOOK_US 6000000     /* between lists: charon tries for 8 s, and tells nobody */
#define REASON_MAX 160
/* Addresses of a peer: by the policy, by itself. */
#define CANDIDATES_MAX (POLICY_ENDPOINTS_MAX * ENGINE_RESOLVED_MAX + SESSION_LINKS_MAX)

/* One thing that is asked of the host, at most once at a time. */
struct op {
	uint64_t id;    /* in flight; 0: not */
	int64_t at;     /* in flight: deadline; else: not again before */
	uint32_t fails; /* in a row */
};

enum op_kind {
	OP_FW,
	OP_SOCKETS,
	OP_LOAD,
	OP_UNLOAD,
	OP_TERMINATE, /* by connection, in a revocation */
	OP_INITIATE,
	OP_RESOLVE,
	OP_UNDERLAY,
	OP_SA_TERMINATE, /* one SA that is not wanted */
	OP_PROBE,
	OP_KEY,
	OP_LIST_SAS,
	OP_LIST_CONNS,
	OP_BASE,
	OP_PLANE,
	OP_JOIN_SERVE,
	OP_JOIN_ASK,
	OP_ADMIT,
	OP_CLUSTER_KEY,
	OP_TICKET,
	OP_N,
};

struct flight {
	struct map_node node; /* by effect id */
	enum op_kind kind;
	struct peer *peer;
	uint32_t sa_id;
};

enum queue_kind { Q_LOAD, Q_INITIATE, Q_RESOLVE, Q_END, Q_VERIFY, Q_DIRTY, Q_TELL, Q_N };

struct link {
	struct peer *prev, *next;
	bool on;
};
/* First come, first served, but for peers that go first: up to `first`. */
struct queue {
	struct peer *head, *tail, *first;
	size_t n;
};

enum kernel_has { FW_NO, FW_YES, FW_MAYBE };
enum conn_has { CONN_NO, CONN_LOADED, CONN_MAYBE };

/* The element as it was sent, to see a change. */
struct fw_elem {
	uint16_t class_in, class_out;
	int64_t expires_mono_us;
};

struct names { /* resolved endpoints of one peer */
	uint8_t n[POLICY_ENDPOINTS_MAX];
	struct policy_addr addr[POLICY_ENDPOINTS_MAX][ENGINE_RESOLVED_MAX];
};

/* Few peers need it: one key on two hosts, see rivals.c. */
struct rivals {
	struct op probe_op;              /* of `best` */
	struct policy_addr addr, holder; /* who was turned away, and for whom */
	uint16_t port, holder_port;
	int64_t until_us, told_us; /* until when that counts; 0: never seen, never told */
	uint8_t turned;            /* times in a row that it ended our SA soon after it came up */
	int64_t turned_us;         /* not tried again before */
};

struct peer {
	char *name;
	const struct policy_peer *want; /* in the policy; NULL: gone, or never known */
	uint16_t class_in, class_out;
	bool active;    /* its time */
	bool desired;   /* active, something is allowed, and so are we */
	bool seeded;    /* signed mode, and one of us is a seed: joined without any rule */
	bool on_demand; /* desired, and its SA comes and goes with its traffic */
	bool no_traps;  /* would be so, but for the plane */
	bool timed;
	bool warned, was_timed_out;
	bool dead; /* to be freed at the end of the step */
	int64_t change_mono_us, change_wall_s, warn_mono_us;

	/* The identity for which things were loaded and admitted. */
	bool claimed;
	bool cleared; /* the address was seen to be free of others' SAs */
	uint32_t self_epoch;
	struct policy_key key;
	struct policy_addr addr4, addr6;

	enum kernel_has fw;
	bool fw_op_admits, in_base, cut_after_base;
	bool told_admitted;
	enum cluster_reach reach; /* as the cluster was told */
	struct fw_elem fw_sent, fw_has;
	struct op fw_op, sockets_op;

	/* Its underlay addresses in the firewall. */
	enum kernel_has under;
	uint16_t under_sent_n;
	uint64_t under_sent, under_has;
	struct op under_op;

	/* Its key changes, or ours does: see rotation.c. */
	bool peer_old, own_old; /* these old keys count, with it */
	bool moved; /* and no longer: it was seen on the new ones, `rotation` says which */
	uint64_t rotation;
	bool cut; /* the old key's time ended, and an SA of it was there: revoked first */
	struct policy_key old_key;       /* peer_old; else as its key */
	int64_t old_mono_us, old_wall_s; /* peer_old: until then */
	int64_t move_us;                 /* build its SA anew from then on */
	bool conn_op_old, old_in_charon; /* the other connection */
	bool twin; /* something may have been called so since it was revoked last */
	uint64_t old_listed_seq;

	enum conn_has conn;
	bool conn_op_loads;
	uint64_t conn_digest, conn_sent;
	uint64_t conn_seq, listed_seq;
	struct op conn_op;

	bool stale_conn; /* an earlier run's, or another's: for whom, is not known */
	struct policy_addr stale4, stale6; /* or it is not as wanted, and for these addresses */
	bool in_charon;                    /* something of it may be there */
	bool revoking, sockets_due, ended, verified;
	uint64_t ended_seq;
	int64_t revoke_since_us;
	struct op term_op;

	struct sa *sas; /* list, by id ascending */
	struct sa *best;
	bool was_up;
	bool met;    /* had a tunnel in this run */
	bool trying; /* initiation outstanding; holds a slot of the window */
	bool rule_us;
	uint32_t attempts;
	uint8_t refused; /* in a row, up to where the delays grow */
	uint16_t ep;     /* candidate, counted on */
	struct policy_addr ep_addr;
	uint16_t ep_port;
	struct policy_addr last_addr; /* where its tunnel ended when it was up last */
	uint16_t last_port;
	uint8_t last_tries; /* left, of that place */
	bool ep_is_link;    /* the policy does not name it */
	uint8_t path_tries; /* of `there`, lately */
	bool path_needed;   /* a seed is asked for it */
	uint8_t resolve_next;
	uint64_t eps_digest;
	struct names *names;
	struct session_links *there; /* where it says it is; NULL: it has not */
	int64_t path_us;
	int64_t resolved_us;
	struct op init_op, resolve_op;
	int64_t try_until_us, grace_until_us, dup_since_us;
	struct rivals *rivals; /* NULL: nothing of it yet */
	int64_t narrow_us;     /* its SA, still narrow then, is built anew; 0: it is not */
	uint8_t narrow_n;      /* times it was, in a row */

	enum engine_peer_state state; /* as told last; so is told_degraded */
	bool degraded, told_degraded;
	char *reason;
	struct engine_time since;

	int64_t due; /* timer */
	size_t heap; /* 1-based place; 0: not armed */
	struct link links[Q_N];
};

enum child_fit {
	CHILD_BAD,    /* selectors cover what is not the two nodes' */
	CHILD_NARROW, /* they are some of the two nodes' addresses, of one family at both ends */
	CHILD_WHOLE,  /* exactly all of them */
};

struct child {
	uint32_t id;
	enum engine_child_state state;
	enum child_fit fit;
	uint64_t bytes_in, bytes_out;
};

enum sa_fault {
	SA_FINE,
	SA_UNKNOWN,   /* nobody of that name is wanted */
	SA_IDENTITY,  /* built with another key than the peer's or ours */
	SA_SELECTORS, /* child with other selectors */
	SA_STALE,     /* half-open, leaving or childless for too long */
	SA_DUPLICATE,
	SA_CROWDED, /* more children than two nodes ever need */
	SA_LOST,    /* no longer listed, and nothing said that it ended */
	SA_FOREIGN, /* another's, for our addresses: see foreign.c */
	SA_ASKED,   /* admin wants it anew */
};

struct sa {
	struct map_node node; /* by id */
	uint32_t id;
	struct peer *peer; /* of its connection's name, or NULL */
	struct sa *next;   /* of the peer's */
	struct sa *all_prev, *all_next;
	bool unnamed, known_child, gone, asked, foreign;
	bool join;                /* a newcomer's, at a seed: join_serve.c */
	bool inherited;           /* half-open when charon's SAs were first read */
	bool lost;                /* in no list any more, and its end is not proven */
	bool crowded;             /* its children did not find room here */
	bool ids_known, ids_good; /* of an established one */
	bool peer_old, own_old;   /* they name old keys, which count as long as the peer's do */
	bool initiator;
	enum engine_ike_state state;
	enum sa_fault fault;
	uint64_t touched, listed;                /* step of the last event; list that showed it */
	int64_t since_us, childless_us, seen_us; /* seen: listed last */
	int64_t established_us, rekey_us;
	bool begun_here;  /* this and the next are kept when it is rekeyed */
	int64_t begun_us; /* it came up; 0: not yet */
	int64_t alive_us; /* its other end answered a rekeying then; 0: it did not yet */
	int64_t rival_us; /* it is of another host than `best`: seen since then; 0: it is not */
	struct policy_addr local_host, remote_host;
	uint16_t remote_port;
	uint32_t self_epoch;
	struct child *children;
	size_t n_children, cap_children;
	struct policy_addr *claims;
	size_t n_claims;
	bool claims_all, cuts_all;
	uint64_t ended_seq; /* charon confirmed its end then; 0: not */
	struct op op;
};

struct claim {
	struct map_node node; /* by hash of the address */
	struct policy_addr addr;
	struct peer *owner;
	uint32_t blockers; /* SAs of others for this address */
};

struct class_table {
	uint64_t *bits; /* n * words */
	size_t n, words;
};

struct arena_block;

struct engine {
	struct engine_config cfg;
	uint64_t rng;
	uint64_t seq; /* step */
	struct engine_time now;
	bool started, oom;
	int64_t recover_us; /* memory ran out: look at everything again then; 0: no */
	size_t memory;

	/* trusted wall time in us = mono + offset */
	int64_t wall_offset_us, timers_offset_us;
	/* the same for the present wall clock, as it is set now */
	int64_t present_offset_us, timers_present_us;

	const struct policy *policy, *policy_old;
	bool merged;       /* records point into `policy`; else into the old one, if any */
	bool retry_policy; /* out of memory while it was taken over */
	int64_t retry_policy_us;
	const struct policy_peer *self;
	bool have_key, self_active, self_told_missing;
	struct policy_key own_key; /* in use */
	bool has_other_key;
	struct policy_key other_key;  /* the next one, or the one before */
	bool self_old, told_self_old; /* other_key is our old one, and counts */
	int64_t self_old_us;
	struct policy_key self_key; /* under which self was found last */
	char self_old_id[ENGINE_ID_MAX];
	int64_t self_change_us, self_change_wall_s;
	uint32_t self_epoch;
	uint64_t self_digest;
	char self_id[ENGINE_ID_MAX];

	struct peer **peers; /* sorted by name */
	size_t n_peers, cap_peers;
	bool any_dead;
	struct peer **heap;
	size_t n_heap, cap_heap;
	struct queue queues[Q_N];
	size_t n_trying;
	size_t n_refused; /* peers that refuse for longer than a moment */

	struct map flights;
	size_t n_flights[OP_N];
	uint64_t next_id;

	enum engine_charon_state charon;
	uint64_t charon_gen;
	bool key_loaded, conns_seen, sas_seen;
	char charon_text[ENGINE_TEXT_MAX];
	struct op key_op, list_op, conns_op;
	uint64_t list_seq, conns_seq;
	struct peer *list_peer;
	bool want_list, want_conns;
	int64_t list_not_before, resync_at, started_us;
	int64_t conns_at, conns_last; /* to be listed again; listed last */
	uint8_t conns_early;          /* of the early ones, how many were */
	bool snapshot;                /* since the last loss of charon */

	struct map sas;
	struct sa *sa_head, *sa_tail;
	size_t n_sas, n_foreign;
	int64_t bad_due;
	size_t n_bad;

	struct map claims;
	size_t claims_all, cuts_all, n_stale;

	struct class_table in, out;
	uint64_t rules_digest, base_digest, base_sent;
	enum engine_fw_state fw;
	bool base_dirty, base_once, repair, base_notice;
	char fw_text[ENGINE_TEXT_MAX];
	struct op base_op;
	int64_t last_repair_us;

	struct engine_plane plane_want;
	bool plane_dirty, plane_up, plane_done, plane_shared;
	bool plane_trapless, told_trapless; /* it was up, and has no traps */
	size_t n_on_demand;
	char plane_text[ENGINE_TEXT_MAX];
	struct op plane_op;

	struct policy_addr underlay[ENGINE_UNDERLAY_MAX];
	size_t n_underlay;
	bool underlay_known;
	int64_t underlay_us;          /* they changed last */
	int64_t where_at, where_last; /* to ask for links; asked last */
	uint8_t where_n;

	struct cluster *cluster;
	struct join *join; /* join_internal.h */
	bool is_signed;    /* there is a cluster key: seeds are always connected, sessions pass */

	struct engine_effect *fx;
	size_t n_fx, cap_fx;
	struct arena_block *arena;
};

/* Is anything allowed between us, or are we connected whatever is allowed? */
static inline bool peer_joined(const struct peer *p)
{
	return p->class_in || p->class_out || p->seeded;
}

/* out.c */
void *mem_alloc(struct engine *e, size_t size); /* zeroed; NULL sets e->oom */
void mem_free(struct engine *e, void *p, size_t size);
char *mem_strdup(struct engine *e, const char *s);
void mem_strfree(struct engine *e, char *s);
void *arena_alloc(struct engine *e, size_t size); /* until the next step */
const char *arena_str(struct engine *e, const char *s);
bool arena_reserve(struct engine *e); /* the next effect's words will find room */
void out_reset(struct engine *e);
void out_free(struct engine *e);
struct engine_effect *out_effect(struct engine *e, enum engine_effect_type type, uint64_t id);
void notice(struct engine *e, enum engine_severity severity, enum engine_notice_code code,
        const char *peer, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void text_set(char *buf, size_t size, const char *text);
uint64_t digest_bytes(uint64_t h, const void *p, size_t n);
uint64_t digest_addr(uint64_t h, const struct policy_addr *a);
uint64_t digest_u64(uint64_t h, uint64_t v);
uint64_t digest_str(uint64_t h, const char *s);
#define DIGEST_START 0xcbf29ce484222325ULL
bool addr_equal(const struct policy_addr *a, const struct policy_addr *b);

/* ops.c */
bool op_ready(const struct engine *e, const struct op *op);
bool op_late(const struct engine *e, const struct op *op);
/* Emits the effect and enters it as in flight; NULL: out of memory, tried again later. */
struct engine_effect *op_start(struct engine *e, struct op *op, enum op_kind kind,
        enum engine_effect_type type, struct peer *p, uint32_t sa_id);
void op_land(struct engine *e, struct op *op); /* answered; back-off stays */
void op_drop(struct engine *e, struct op *op); /* its answer is of no more interest */
void op_ok(struct engine *e, struct op *op);
void op_fail(struct engine *e, struct op *op); /* with back-off */
int64_t backoff_us(struct engine *e, uint32_t fails);
int64_t jitter_us(struct engine *e, int64_t below);
struct flight *flight_find(struct engine *e, uint64_t id);
void flights_free(struct engine *e);

/* timers.c */
void timer_set(struct engine *e, struct peer *p, int64_t due);
void timer_cancel(struct engine *e, struct peer *p);
struct peer *timer_first(const struct engine *e);
static inline void peer_wake(struct peer *p, int64_t at)
{
	if (at < p->due)
		p->due = at;
}
void queue_add(struct engine *e, enum queue_kind q, struct peer *p);
void queue_remove(struct engine *e, enum queue_kind q, struct peer *p);
struct peer *queue_pop(struct engine *e, enum queue_kind q);

/* clock.c */
void clock_take(struct engine *e, struct engine_time now);
int64_t clock_wall_s(const struct engine *e);
int64_t clock_present_s(const struct engine *e);
int64_t clock_mono_of(const struct engine *e, int64_t wall_s); /* trusted; ENGINE_NEVER */
void clock_judge_peer(struct engine *e, struct peer *p);
void clock_judge_self(struct engine *e);
void clock_learn(struct engine *e, int64_t wall_s); /* it is at least so late */
void clock_warn(struct engine *e, struct peer *p);

/* rotation.c */
void rotation_other_key(struct engine *e, const struct policy_key *key);
/* Chooses among our keys, finds self; true: as another one than before. */
bool rotation_self(struct engine *e);
void rotation_judge_self(struct engine *e);
void rotation_judge(struct engine *e, struct peer *p);
/* Which keys these identities name; false: others than count. */
bool rotation_ids(const struct engine *e, const struct peer *p, struct sa *sa, const char *local_id,
        const char *remote_id);
static inline bool sa_is_old(const struct sa *sa)
{
	return sa->peer_old || sa->own_old;
}

/* peers.c */
struct peer *peer_find(const struct engine *e, const char *name, size_t len);
struct peer *peer_ghost(struct engine *e, const char *name);
void peer_dirty(struct engine *e, struct peer *p);
void peers_dirty_all(struct engine *e);
void peers_take_policy(struct engine *e);
void peers_judge_all(struct engine *e);
void peer_reconcile(struct engine *e, struct peer *p);
void peers_tell(struct engine *e);
void peers_sweep(struct engine *e);
void peers_free(struct engine *e);
void peer_degrade(struct engine *e, struct peer *p, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
void peer_remote_id(const struct policy_key *key, const char *name, char buf[ENGINE_ID_MAX]);

/* claims.c */
bool claim_take(struct engine *e, struct peer *p);
void claim_release(struct engine *e, struct peer *p);
bool claim_blocked(const struct engine *e, const struct peer *p);
void claim_by_sa(struct engine *e, struct sa *sa, const struct engine_sa_row *row);
void claim_everything(struct engine *e, struct sa *sa);
void claim_add_sa(struct engine *e, struct sa *sa, const struct policy_addr *a);
void claim_cut_all(struct engine *e, struct sa *sa); /* claims all, admitted or not */
/* A connection that others may use for this address; each block is taken back once. */
bool claim_block(struct engine *e, const struct policy_addr *a);
void claim_unblock(struct engine *e, const struct policy_addr *a);
void claim_drop_sa(struct engine *e, struct sa *sa);
void claims_free(struct engine *e);

/* revoke.c */
bool revoke_needed(const struct engine *e, const struct peer *p);
void revoke_begin(struct engine *e, struct peer *p);
void revoke_step(struct engine *e, struct peer *p);
void revoke_sockets_result(struct engine *e, struct peer *p, int error, const char *text);
void revoke_terminate_result(struct engine *e, struct peer *p, int error, const char *text);
void revoke_verified(struct engine *e, const struct peer *only);

/* fwplan.c */
bool fw_wanted(const struct engine *e, const struct peer *p);
bool fw_table_ready(const struct engine *e);
void fw_step(struct engine *e, struct peer *p);
void fw_base_step(struct engine *e);
void fw_peer_result(struct engine *e, struct peer *p, int error, const char *text);
void fw_base_result(struct engine *e, int error, const char *text);
void fw_seen(struct engine *e, enum engine_fw_seen seen);
void fw_policy_changed(struct engine *e);
int64_t fw_wakeup(const struct engine *e);

/* underlay.c */
void underlay_step(struct engine *e, struct peer *p);
void underlay_result(struct engine *e, struct peer *p, int error, const char *text);
void underlay_base_fill(struct engine *e, struct engine_fw_base *b);
void underlay_base_done(struct peer *p);
void underlay_own(struct engine *e, const struct policy_addr *addrs, size_t n);
void names_step(struct engine *e, struct peer *p);
void names_resolved(struct engine *e, struct peer *p, const struct engine_event *ev);

/* classes.c */
int classes_make(struct engine *e);
void classes_free(struct engine *e, struct class_table *t);
uint64_t rules_digest(const struct engine *e);

/* conns.c */
void conn_step(struct engine *e, struct peer *p);
void conn_not_stale(struct engine *e, struct peer *p);
void conn_unload(struct engine *e, struct peer *p);
void conn_result(struct engine *e, struct peer *p, int error, const char *text);
void conns_snapshot(struct engine *e, const struct engine_event *ev);
uint64_t conn_digest_wanted(const struct engine *e, const struct peer *p);
const char *conn_name(struct engine *e, const struct peer *p); /* arena */
const char *conn_old_name(struct engine *e, const struct peer *p);
/* Whose it is, by its name without the prefix. */
struct peer *conn_peer(const struct engine *e, const char *name, bool *old);

/* tunnel.c */
void tunnel_step(struct engine *e, struct peer *p);
void tunnel_stop(struct engine *e, struct peer *p);
void tunnel_count_refused(struct engine *e, struct peer *p, uint8_t n);
void tunnel_reset(struct engine *e, struct peer *p);
void tunnel_result(struct engine *e, struct peer *p, int error, const char *text);
void tunnel_choose(struct engine *e, struct peer *p);

/* paths.c */
void paths_own(struct engine *e); /* our addresses, or the policy, are others */
size_t paths_of(
        const struct engine *e, const struct peer *p, struct policy_addr *addrs, size_t max);
bool paths_first_is_us(const struct engine *e, const struct peer *p);
bool paths_open(struct engine *e, struct peer *p, size_t n);
bool paths_may_try(struct engine *e, struct peer *p);
void paths_tried(struct engine *e, struct peer *p);
void paths_need(struct engine *e, struct peer *p);
void paths_step(struct engine *e);

/* rivals.c */
bool sa_is_older(const struct sa *a, const struct sa *b);
/* Did another host than that of `older` begin `younger`, as far as can be told? */
bool rival_is(const struct sa *older, const struct sa *younger, bool lower);
void rivals_step(struct engine *e, struct peer *p);   /* it has a `best` */
void rivals_forget(struct engine *e, struct peer *p); /* nobody keeps what another wants */
void rivals_probe_result(struct engine *e, struct peer *p, int error);
bool rivals_troubled(const struct engine *e, const struct peer *p);
/* Our own SA of it went down, ended by the other end. */
void turned_away(struct engine *e, const struct sa *sa);
int64_t turned_until(const struct peer *p); /* no try before */
void turned_forget(struct peer *p);

/* demand.c */
void demand_judge(struct engine *e, struct peer *p);
void demand_plane(struct engine *e, bool traps);
void demand_tell(struct engine *e);
void demand_step(struct engine *e, struct peer *p);
void demand_failed(struct engine *e, struct peer *p); /* an acquire came to nothing */

/* charon.c */
void charon_changed(struct engine *e, const struct engine_event *ev);
void charon_step(struct engine *e);
void charon_result(struct engine *e, enum op_kind kind, int error, const char *text);
void charon_want_list(struct engine *e);
void charon_want_conns(struct engine *e); /* something hints that they are gone */
void charon_key_lost(struct engine *e);
int64_t charon_wakeup(const struct engine *e);
void plane_step(struct engine *e);
void plane_result(struct engine *e, int error, const char *text);

/* sas.c */
void sas_snapshot(struct engine *e, const struct engine_event *ev);
void sas_event(struct engine *e, const struct engine_event *ev);
void sas_forget(struct engine *e); /* all */
void sa_free(struct engine *e, struct sa *sa);
struct sa *sa_find(const struct engine *e, uint32_t id);
struct sa *sa_new(struct engine *e, uint32_t id);
void sa_down(struct engine *e, uint32_t id);
/* Authenticated with the right key and carrying a child, perhaps a narrow one. */
bool sa_up(const struct sa *sa);
bool sa_narrow(const struct sa *sa); /* of one that is up: it has no better child */
/* The selectors are exactly these two addresses (or one, if there is only one). */
bool ts_exact(const struct policy_prefix *ts, size_t n, const struct policy_addr *a4,
        const struct policy_addr *a6);

/* foreign.c */
void foreign_listed(struct engine *e, const struct engine_sa_row *row);
void foreign_event(struct engine *e, const struct engine_event *ev);

/* judge.c */
void sa_judge(struct engine *e, struct sa *sa);
/* Established for a while, and still without a child. */
bool sa_childless(const struct engine *e, const struct sa *sa);
void sas_judge_peer(struct engine *e, struct peer *p);
void sas_end_bad(struct engine *e);
void sa_not_stale(struct engine *e, struct sa *sa); /* it came up after all */
void sa_lost(struct engine *e, struct sa *sa);
void sa_duplicate(struct engine *e, struct sa *sa); /* this one of two is to be ended */
void sa_end_result(struct engine *e, uint32_t id, int error);

#include "engine/join_part.h"

#endif
