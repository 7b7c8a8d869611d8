/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine: everything that decides, and nothing that acts.
 *
 * Tour. The host tells what happened, one event at a time, and carries out the effects that come
 * back, in their order:
 *
 *	struct engine *e;
 *	engine_new(&e, &cfg);
 *	for (;;) {
 *		struct engine_event ev = ...;		// with the time at which it happened
 *		struct engine_effects out;
 *		engine_step(e, &ev, &out);
 *		for (size_t i = 0; i < out.n; i++)
 *			carry_out(&out.v[i]);		// out is valid until the next step
 *		... wait for the next event, at most until engine_next_wakeup(e),
 *		    then ENGINE_EV_TICK
 *	}
 *
 * An effect with an id wants an answer: ENGINE_EV_RESULT with that id (or, for the two lists and a
 * resolution, their own events). Answers may come in any order and at any time; the engine copes
 * with lost ones (its own deadline per effect) and ignores late and unknown ones. Effects that
 * fail are issued again, with a new id, after a back-off; the host never retries by itself.
 *
 * The engine has no clock, no socket, no file, no log and no globals: same configuration and same
 * events give the same effects, bit for bit. Jitter comes from a generator seeded in the config.
 *
 * What it holds to
 * - Self is the policy's peer with our own key (ENGINE_EV_OWN_KEY). Not in the policy, or not
 *   active: no tunnels, nothing admitted, the firewall stays as guard (fw_base with self NULL).
 * - Desired are the active peers (`until` by the trusted wall time, `hours` by the clock as it
 *   stands now) with whom any
 *   allow rule joins us, in either direction. A peer that nothing is allowed with gets no tunnel.
 * - Trusted wall time is the largest of the clock, config.wall_floor_s and what was seen before,
 *   carried on by the monotonic clock. engine_look().wall_s is worth keeping on disk.
 * - Revocation, per peer: fw_revoke, kill_sockets, unload_conn, terminate, a list that proves it.
 *   The firewall cut waits for nothing; nothing is done until it is confirmed. A changed key or
 *   address under the same name is a revocation first and an admission afterwards; but for a peer
 *   whose policy names the former key as its old one: then both count until `old_until`, or until
 *   it was seen on the new one, and its SA is built anew before the old one ends.
 * - No peer is admitted before one complete list of SAs was seen: an SA that another key built
 *   for the same address must be gone first. Until then (at most config.start_grace_us) a
 *   firewall table that an earlier run left is left alone.
 * - Where the policy's `mesh` says on demand, the plane has traps and both ends have endpoints, a
 *   connection is loaded with a trap and nothing is initiated. Its SA comes up by the kernel's
 *   acquire at either end, and ends when it is idle: that is no fault. A trap has one address: when
 *   an acquire came to nothing, the next endpoint's is loaded.
 * - With a cluster key (signed mode) only bundles count that it signed, once there was one: each is
 *   verified and judged before anything follows from it, then in force at once. Seeds are joined
 *   with everybody, whatever the rules allow. How bundles get about: cluster.h, session.h.
 * - Any `ovl.*` or "(unnamed)" IKE_SA that is not desired is terminated; SAs of other names are
 *   never touched, with one exception: where all SAs share one device (`shared`), one whose remote
 *   selectors cover overlay addresses is ended, and the peers whose addresses it covers are cut
 *   until it is gone.
 */
#ifndef OVERLAYD_ENGINE_ENGINE_H
#define OVERLAYD_ENGINE_ENGINE_H

#include "engine/join.h"
#include "engine/links.h"
#include "engine/session.h"
#include "policy/admission.h"
#include "policy/policy.h"

struct policy_ticket; /* policy/ticket.h */

/* Bounds on what one event may bring; the host cuts longer input and sets `truncated`. */
#define ENGINE_SAS_MAX 65536U   /* rows of a snapshot, and SAs the engine remembers */
#define ENGINE_CHILDREN_MAX 8U  /* child rows of one IKE_SA that are looked at */
#define ENGINE_FOREIGN_MAX 64U  /* ranges of a foreign SA that are looked at */
#define ENGINE_TS_MAX 4U        /* selectors of a child that are looked at, each side */
#define ENGINE_CONNS_MAX 65536U /* names of a get-conns snapshot */
#define ENGINE_RESOLVED_MAX 8U  /* addresses of one name */
#define ENGINE_UNDERLAY_MAX 64U /* own underlay addresses */
#define ENGINE_ID_MAX 128U      /* bytes of an IKE identity incl. NUL: "<peer>.<32 hex digits>" */
#define ENGINE_CONN_MAX 72U     /* bytes of a connection's name incl. NUL: "ovl.<peer>/old" */
#define ENGINE_CONN_PREFIX "ovl."
#define ENGINE_CONN_OLD "/old"  /* behind the name: with a key that is being changed */
#define ENGINE_CHILD_NAME "ovl" /* every connection has this one child */
#define ENGINE_TEXT_MAX 256U
#define ENGINE_NEVER INT64_MAX

/*
 * Time. mono_us never goes back and counts suspended time too (CLOCK_BOOTTIME), microseconds;
 * wall_s is seconds since the epoch and may jump.
 */
struct engine_time {
	int64_t mono_us;
	int64_t wall_s;
};

/* Zeroed fields take the default in brackets. Times in microseconds. */
struct engine_config {
	uint64_t seed;               /* of the jitter [1] */
	int64_t wall_floor_s;        /* last wall time kept on disk [0] */
	uint32_t load_window;        /* load-conns in flight [16] */
	uint32_t initiate_window;    /* half-open tunnels of ours at a time [50] */
	uint32_t end_window;         /* unload-conns and terminates in flight [32] */
	int64_t effect_timeout_us;   /* an effect without an answer has failed [20 s] */
	int64_t initiate_timeout_us; /* an initiation without an SA has failed [10 s] */
	int64_t second_grace_us;     /* how long the second end lets the first try [1 s] */
	int64_t backoff_min_us;      /* [250 ms] */
	int64_t backoff_max_us;      /* [30 s] */
	int64_t resync_us;           /* list-sas and get-conns anew at least this often [30 s] */
	int64_t conns_us;            /* get-conns anew, for a few peers; more: more seldom [5 s] */
	int64_t halfopen_max_us; /* half-open and "(unnamed)" SAs of others are ended after [30 s]
	                          */
	int64_t start_grace_us;  /* see above [2 s] */
	int64_t warn_us;         /* notice before a peer's time ends [10 min] */
	uint32_t mtu;            /* of the overlay device [1400] */
	/* 0: `text` was signed by that node's key. For simulators [policy_key_verify()] */
	int (*verify)(void *user, const struct policy_key *key, const void *text, size_t len,
	        const uint8_t sig[64]);
	void *verify_user;
};

/* ---- events: what happened ------------------------------------------------------------- */

enum engine_event_type {
	ENGINE_EV_TICK,     /* nothing but time */
	ENGINE_EV_POLICY,   /* .policy: checked and wanted from now on; the engine takes a ref */
	ENGINE_EV_OWN_KEY,  /* .own_key: our public key */
	ENGINE_EV_NEXT_KEY, /* .own_key: another that is ours too: it is used as soon as the policy
	                       names it, and this or the one before for as long as they count */
	ENGINE_EV_CHARON,   /* .charon: vici connected (both connections) or lost */
	ENGINE_EV_SAS,      /* .sas: answer to ENGINE_FX_LIST_SAS */
	ENGINE_EV_KEY_LOST, /* charon has not our private key any more, though it was loaded */
	ENGINE_EV_CONNS,    /* .conns: answer to ENGINE_FX_LIST_CONNS */
	ENGINE_EV_SA,       /* .sa: charon's ike-updown, child-updown, ike-rekey, ike-update */
	ENGINE_EV_PLANE,    /* .plane: the overlay device */
	ENGINE_EV_FIREWALL, /* .firewall: our table */
	ENGINE_EV_RESULT,   /* .result: how an effect ended */
	ENGINE_EV_RESOLVED, /* .resolved: answer to ENGINE_FX_RESOLVE */
	ENGINE_EV_UNDERLAY, /* .underlay: own addresses changed: failed endpoints are worth a try */
	ENGINE_EV_RECONNECT,   /* .peer: admin: end its SAs and connect anew; NULL: all peers */
	ENGINE_EV_RESYNC,      /* admin: list SAs now (fresh counters) */
	ENGINE_EV_CLUSTER_KEY, /* .cluster_key: whose bundles count; without one the policy is that
	                          of ENGINE_EV_POLICY and there are no sessions */
	ENGINE_EV_BUNDLE,      /* .bundle: from disk or an admin; what became of it: .verdict of
	                          engine_bundle_look() */
	ENGINE_EV_SESSION,     /* .session: it is open (hello done), or gone, or did not come up */
	ENGINE_EV_SESSION_MSG, /* .session_msg: one message */
	ENGINE_EV_NOTE,        /* .note: a datagram of a peer */
	ENGINE_EV_VOUCHER,     /* .voucher: this node's wish to change its key; empty: none */
	ENGINE_EV_WHO,         /* admin wants to know what members have applied: ask the seeds */
	ENGINE_EV_TICKET,      /* .ticket: join that cluster; without one: do not (any more) */
	ENGINE_EV_JOIN_ANSWERED, /* .join_answered: how an ENGINE_FX_JOIN_ASK ended */
	ENGINE_EV_JOIN_CALL,     /* .join_call: a newcomer asks; ENGINE_FX_JOIN_ANSWER follows, in
	                            this step or within a few seconds */
	ENGINE_EV_JOIN_GONE,     /* .join_call.id: it hung up, or the host did */
	ENGINE_EV_JOIN_REJECT,   /* .own_key: admin: this pending key is refused for a day */
	ENGINE_EV_ADMIT_SIGNED,  /* .admit_signed: answer to ENGINE_FX_ADMIT_SIGN */
	ENGINE_EV_ADMISSIONS,    /* .admissions: as ENGINE_FX_ADMISSIONS_STORE kept them; at start,
	                            before the bundle that was kept: they come into force with it.
	                            Or behind it */
};

enum engine_bundle_source {
	ENGINE_BUNDLE_KEPT,  /* read from disk at start, line and file: not stored again */
	ENGINE_BUNDLE_ADMIN, /* given by an admin here */
};

/* charon's states, folded. The host maps names it does not know to _OTHER. */
enum engine_ike_state {
	ENGINE_IKE_CONNECTING,  /* CREATED, CONNECTING */
	ENGINE_IKE_ESTABLISHED, /* ESTABLISHED, REKEYING */
	ENGINE_IKE_LEAVING,     /* REKEYED, DELETING, DESTROYING */
	ENGINE_IKE_OTHER,
};
enum engine_child_state {
	ENGINE_CHILD_PENDING,   /* CREATED, ROUTED, INSTALLING, RETRYING */
	ENGINE_CHILD_INSTALLED, /* INSTALLED, UPDATING, REKEYING */
	ENGINE_CHILD_LEAVING,   /* REKEYED, DELETING, DELETED, DESTROYING */
	ENGINE_CHILD_OTHER,
};

struct engine_child_row {
	uint32_t id; /* charon's unique id of the CHILD_SA */
	enum engine_child_state state;
	struct policy_prefix local_ts[ENGINE_TS_MAX], remote_ts[ENGINE_TS_MAX];
	uint8_t n_local_ts, n_remote_ts;
	bool odd_ts; /* some selector is not a plain prefix (ports, protocol, range, dynamic), or
	                more than ENGINE_TS_MAX */
	uint64_t bytes_in, bytes_out;
};

/* From first to last address, both of one family. */
struct engine_range {
	struct policy_addr first, last;
};

struct engine_sa_row {
	const char *conn; /* "ovl.node17", "(unnamed)", any foreign name */
	uint32_t id;      /* charon's unique id of the IKE_SA */
	enum engine_ike_state state;
	const char *local_id, *remote_id; /* "" where not known yet */
	struct policy_addr local_host, remote_host;
	uint16_t remote_port;
	bool initiator;        /* we initiated it (of a rekeyed one: we rekeyed it) */
	int64_t established_s; /* since; -1 unknown */
	int64_t rekey_s;       /* until; INT64_MIN unknown */
	const struct engine_child_row *children;
	size_t n_children; /* those beyond ENGINE_CHILDREN_MAX: see truncated */
	bool truncated;    /* has more children than are told */
	/*
	 * Of a foreign name only: what the remote selectors of all its children that are installed
	 * cover, whatever the protocol and port.
	 */
	const struct engine_range *foreign;
	size_t n_foreign;
	bool foreign_more; /* some are not told, or cannot be read: they may cover anything */
};

enum engine_sa_change {
	ENGINE_SA_UP,       /* ike-updown up: row (children may be missing) */
	ENGINE_SA_DOWN,     /* ike-updown down: row.id is gone with all its children */
	ENGINE_SA_REKEYED,  /* ike-rekey: old_id was replaced by row (the new one), children move */
	ENGINE_SA_UPDATED,  /* ike-update: row with the new hosts, children not told */
	ENGINE_SA_CHILD_UP, /* child-updown up: row with just that child */
	ENGINE_SA_CHILD_DOWN,    /* child-updown down: row with just that child */
	ENGINE_SA_CHILD_REKEYED, /* child-rekey: row with just the new child; old_id is the old
	                            CHILD_SA's */
};

/* What a loaded connection `ovl.*` is, of its one child. */
struct engine_conn_row {
	const char *remote_id;
	bool pinned; /* its other end must hold one certain key */
	struct policy_prefix remote_ts[ENGINE_TS_MAX];
	uint8_t n_remote_ts;
	bool odd_ts; /* as in a child's row; or not exactly one child */
};

/* Records of admissions, each behind its length in two bytes (big-endian), as in a session. */
struct engine_admissions_fx {
	const uint8_t *data; /* valid until the next step; of an event: during it */
	size_t len;          /* at most ENGINE_ADMISSIONS_BYTES */
};
#define ENGINE_ADMISSIONS_MAX 8192U /* that a node keeps */
#define ENGINE_ADMISSIONS_BYTES (ENGINE_ADMISSIONS_MAX * (2 + POLICY_ADMISSION_MAX))

enum engine_fw_seen {
	ENGINE_FW_AS_LEFT, /* exactly what the last confirmed effect of this run made it */
	ENGINE_FW_MISSING, /* our table is not there */
	ENGINE_FW_FOREIGN, /* somebody else changed it */
	ENGINE_FW_UNKNOWN, /* cannot be read, or an earlier run's: make it anew */
};

struct engine_event {
	enum engine_event_type type;
	struct engine_time now;
	union {
		const struct policy *policy; /* never NULL */
		struct policy_key own_key;
		struct {
			bool connected;
			uint64_t generation; /* differs for each connection, only rises */
			const char *text;    /* why not connected, for people; may be NULL */
		} charon;
		struct {
			uint64_t effect_id; /* of the LIST_SAS that it answers */
			const struct engine_sa_row *rows;
			size_t n;
			bool truncated; /* there are more: absence proves nothing */
		} sas;
		struct {
			uint64_t effect_id;
			const char *const *names; /* all loaded connections, foreign ones too */
			const struct engine_conn_row
			        *rows; /* n, if they were asked for; else NULL */
			size_t n;
			bool truncated;
		} conns;
		struct {
			enum engine_sa_change change;
			const struct engine_sa_row *row;
			uint32_t old_id;
		} sa;
		struct {
			bool up;          /* the device is there and up */
			const char *name; /* "ipsec0", "ovl0"; may be NULL when down */
			bool shared;      /* all of charon's SAs end in it, foreign ones too */
			bool traps;       /* a packet may bring an SA up; counts when up */
		} plane;
		struct {
			enum engine_fw_seen seen;
		} firewall;
		struct {
			uint64_t effect_id;
			int error;        /* 0 or negative errno */
			const char *text; /* why, for people; may be NULL */
		} result;
		struct {
			uint64_t effect_id;
			int error;
			const struct policy_addr *addrs;
			size_t n;
		} resolved;
		struct {
			const struct policy_addr *addrs; /* all own addresses but the overlay's */
			size_t n;
		} underlay;
		const char *peer;
		struct minisign_public cluster_key;
		struct {
			enum engine_bundle_source source;
			const char *file; /* text and signature, as bundle.h says */
			size_t len;
		} bundle;
		struct {
			uint64_t id;      /* the host's, or the effect's that asked for it */
			const char *peer; /* by the address it came from, or went to */
			bool up;
			bool ours;        /* we opened it */
			const char *text; /* not up: why; up: the other's release. May be NULL */
		} session;
		struct {
			uint64_t id;
			const struct session_msg *msg;
		} session_msg;
		struct {
			const char *line; /* policy/voucher.h */
			size_t len;
		} voucher;
		struct {
			const char *peer;
			struct session_head head;
		} note;
		struct {
			const struct policy_ticket *ticket; /* NULL: none */
			const char *name, *site;            /* wanted; site may be "" */
		} ticket;
		struct {
			uint64_t effect_id;
			int error; /* 0: there is an answer. -EHOSTUNREACH, -ETIMEDOUT: nobody
			              answers there; -EKEYREJECTED: who answers does not hold the
			              pinned key; -ECONNREFUSED: it does, and does not take joins */
			const char *text;                 /* why, for people; may be NULL */
			const struct join_answer *answer; /* checked for its form only */
		} join_answered;
		struct {
			uint64_t id;             /* the host's, never used twice */
			struct policy_addr from; /* of the pool */
			uint8_t nonce[32];       /* the seed's: fresh, told to this caller alone */
			const struct join_request *request;
		} join_call;
		struct {
			uint64_t effect_id;
			uint8_t by_seed[64];
		} admit_signed;
		struct engine_admissions_fx admissions;
	};
};

/* ---- effects: what to do ---------------------------------------------------------------- */

enum engine_effect_type {
	ENGINE_FX_LOAD_KEY,    /* vici load-key: our own private key (no data here) */
	ENGINE_FX_LOAD_CONN,   /* .load */
	ENGINE_FX_UNLOAD_CONN, /* .conn; not loaded counts as done (result 0) */
	ENGINE_FX_INITIATE,    /* .conn: child ENGINE_CHILD_NAME, timeout -1; result 0: it is up, or
	                          may yet be; -ECONNREFUSED: the peer does not want it; -ENOENT:
	                          charon has no such connection */
	ENGINE_FX_TERMINATE,   /* .terminate; nothing to end counts as done (result 0) */
	ENGINE_FX_PROBE,       /* .probe: vici rekey of that CHILD_SA. Result 0: it is begun; if the
	                          other end lives ENGINE_SA_CHILD_REKEYED follows, else charon ends
	                          the IKE_SA in its own time */
	ENGINE_FX_LIST_SAS,    /* .list; answer ENGINE_EV_SAS, or ENGINE_EV_RESULT if it failed */
	ENGINE_FX_LIST_CONNS,  /* vici get-conns, or list-conns if .rows; answer ENGINE_EV_CONNS,
	                          or ENGINE_EV_RESULT */
	ENGINE_FX_FW_BASE,     /* .fw_base: replace our whole table in one transaction */
	ENGINE_FX_FW_ADMIT,    /* .fw_peer: add, or replace what is there for its addresses */
	ENGINE_FX_FW_REVOKE,   /* .fw_peer: only name, addr4, addr6 count; absent is done (result 0)
	                        */
	ENGINE_FX_FW_UNDERLAY, /* .fw_underlay: instead of what was told for that peer; none: n 0 */
	ENGINE_FX_KILL_SOCKETS, /* .fw_peer: destroy TCP sockets to addr4, addr6; none is done */
	ENGINE_FX_PLANE,        /* .plane: addresses, routes, MTU of the overlay device */
	ENGINE_FX_RESOLVE,      /* .resolve: answer ENGINE_EV_RESOLVED (error set if it failed) */
	ENGINE_FX_NOTICE,       /* .notice: log it, tell clients; no id */
	ENGINE_FX_BUNDLE_STORE, /* .bundle: keep it, whole and at once, beside the loop; result */
	ENGINE_FX_ADMISSIONS_STORE, /* .admissions: the same with these, instead of those before;
	                               len 0: none, the file goes; result */
	ENGINE_FX_SESSION_OPEN, /* .session: the session gets the effect's id; ENGINE_EV_SESSION */
	ENGINE_FX_SESSION_SEND, /* .session with msg; no result: what is not sent ends the session */
	ENGINE_FX_SESSION_CLOSE, /* .session: its id is not used any more; no result, no event */
	ENGINE_FX_NOTE_SEND,     /* .note: may be lost; no result */
	ENGINE_FX_JOIN_SERVE,    /* .join_serve: instead of what it said last; result */
	ENGINE_FX_JOIN_ANSWER,   /* .join_answer: say it and hang up; no result */
	ENGINE_FX_JOIN_ASK,    /* .join_ask: ENGINE_EV_JOIN_ANSWERED within JOIN_ASK_MAX_US, and by
	                            then nothing of the try is left; one at a time. Or a result: it
	                            could not begin (what is left of an earlier one goes yet) */
	ENGINE_FX_JOIN_STOP,   /* .join_stop: that ask; nothing of it is left; no result */
	ENGINE_FX_ADMIT_SIGN,  /* .admit: by our node key; ENGINE_EV_ADMIT_SIGNED, or a result */
	ENGINE_FX_CLUSTER_KEY, /* .cluster_key: cluster.pub is this now, on disk; result */
	ENGINE_FX_TICKET_FORGET, /* the kept ticket goes from the disk, none is fine; result */
};

/* A seed's side of joining: join.h. What is served must be there once the result is 0. */
struct engine_join_serve {
	bool on;   /* pool, secret, JOIN_PORT; else: none of it, and all join SAs ended */
	bool open; /* the connection JOIN_CONN too; without it no new join SA, and the others stay */
	struct policy_addr addr6; /* ours: JOIN_PORT listens there; local selector with it */
	struct policy_prefix pool;
	struct policy_key own_key;
	const char *local_id;
	uint16_t port; /* udp, the cluster's */
};

/* A newcomer's: one seed. remote.id exactly remote_id, remote.pubkeys exactly key. */
struct engine_join_ask {
	const char *seed; /* its name, for people */
	struct policy_key key;
	const char *remote_id;
	const char *host;              /* address or name */
	uint16_t port;                 /* udp */
	struct policy_addr addr6;      /* of the seed, if its key never changed: the SA's remote
	                                  selector, narrowed by the seed, has the last word */
	struct policy_prefix overlay6; /* wherein it is */
	struct policy_prefix pool;     /* wherein our inner address will be */
	struct minisign_public cluster_key;
	/*
	 * All but what the host fills in: nonce, release, by_token (if there is a token: with the
	 * ticket's secret, over policy_admission_words_token()), signature (with our node key).
	 */
	struct join_request request;
};

struct engine_join_answer_fx {
	uint64_t call;             /* of ENGINE_EV_JOIN_CALL; is not used any more */
	struct join_answer answer; /* valid until the next step */
};

struct engine_admit_fx {
	struct policy_key by; /* our key as the policy has it: if it changes, already the next one,
	                         unless that is not ours */
	const uint8_t *words; /* what it is to sign; valid until the next step */
	size_t len;
};

struct engine_session_fx {
	uint64_t session;              /* OPEN: the effect's own id */
	const char *peer;              /* OPEN */
	struct policy_addr addr;       /* OPEN: overlay address to connect to, from ours */
	struct policy_addr from;       /* OPEN: ours, of the same family */
	bool large;                    /* SEND of a WANT: the answer may be up to BUNDLE_FILE_MAX */
	const struct session_msg *msg; /* SEND; valid until the next step */
};
struct engine_bundle_fx {
	const char *line; /* whose it is: bundle_kept_line(); goes before the file */
	const char *file; /* valid until the next step */
	size_t len;
	uint64_t serial;
};
struct engine_note_fx {
	const char *peer;
	struct policy_addr addr, from;
	struct session_head head;
};

/*
 * One connection with one child ENGINE_CHILD_NAME: selectors exactly local4/32 local6/128 ===
 * remote4/32 remote6/128; local.id, remote.id as given; remote.pubkeys exactly `key`; start, dpd
 * and close actions none; mobike off; ports `port`. Identities name the key, so that a listed SA
 * tells with which key it was built. remote_addrs: `endpoint` first if it has one, then always any
 * (0.0.0.0/0, ::/0): the peer may come from elsewhere. trap: start action trap to `endpoint`, and
 * the child ends when it is idle.
 *
 * While a key changes there is another one, `<name>ENGINE_CONN_OLD`, all the same but for its keys
 * and identities (`old`), and without a trap: either is tried by whoever connects. It is loaded and
 * unloaded together with the first: one result for both.
 */
struct engine_conn {
	const char *name; /* "ovl.<peer>" */
	const char *peer;
	const char *local_id, *remote_id;
	struct policy_key own_key, key; /* ours, the peer's */
	bool old, old_gone;             /* load the other one too; unload it */
	const char *old_local_id, *old_remote_id;
	struct policy_key old_own_key, old_key;
	struct policy_addr local4, local6; /* family 0: none */
	struct policy_addr remote4, remote6;
	struct policy_addr endpoint; /* family 0: none, the peer must come to us */
	uint16_t endpoint_port;      /* remote_port; the cluster's when there is no endpoint */
	uint16_t port;               /* local_port: the cluster's */
	bool trap;                   /* the first packet brings it up; then there is an endpoint */
	uint64_t digest;             /* of all the above */
};

struct engine_terminate {
	const char *conn; /* by name: all IKE_SAs of that connection; NULL: by id */
	uint32_t ike_id;
	bool force; /* always true for now: without asking the peer, and no timeout */
};

struct engine_probe {
	uint32_t ike_id, child_id;
};

struct engine_list {
	const char *conn; /* NULL: all */
};

/*
 * A class is one distinct set of allow rules: bit i of bits[] is policy->allows[i]. Peers refer to
 * classes by index, separately for what they may open towards us (in) and we towards them (out).
 * Indexes are those of the last FW_BASE. Class 0 of each is the empty set.
 */
struct engine_fw_class {
	const uint64_t *bits; /* (policy->n_allows + 63) / 64 words */
};

struct engine_fw_peer {
	const char *peer;
	struct policy_addr addr4, addr6; /* family 0: none */
	uint16_t class_in, class_out;
	int64_t expires_mono_us; /* the kernel must end it then, whoever lives; ENGINE_NEVER */
	int64_t expires_wall_s;  /* the same, for people */
};

/*
 * All known underlay addresses of a peer of the policy, admitted or not, active or not: configured
 * ones and resolved names, without our own. Two peers may have the same. Nothing may go there in
 * clear to a port of the cluster.
 */
struct engine_fw_underlay {
	const char *peer;
	const struct policy_addr *addrs;
	size_t n;
};

struct engine_fw_base {
	const struct policy *policy;    /* mode, services, manage, port, overlays; NULL: none yet */
	const struct policy_peer *self; /* NULL: not a member, nothing but guard */
	const struct engine_fw_class *in, *out;
	size_t n_in, n_out;
	const struct engine_fw_peer *peers; /* admitted from the start, in the same transaction */
	size_t n_peers;
	const struct engine_fw_underlay *underlays; /* of all peers, also when self is NULL */
	size_t n_underlays;
	bool sessions; /* SESSION_PORT passes between any two that are admitted */
	bool join;     /* JOIN_PORT of self's addr6 passes for join_pool, and nothing else for it
	                    either way */
	struct policy_prefix join_pool;
	uint64_t digest; /* of all but the peers and their underlays */
};

struct engine_plane {
	bool wanted;                             /* false: take addresses and routes away */
	struct policy_addr addr4, addr6;         /* ours; family 0: none */
	struct policy_prefix overlay4, overlay6; /* route these to the device, source as above */
	uint32_t mtu;
};

struct engine_resolve {
	const char *host;
};

enum engine_severity { ENGINE_DEBUG, ENGINE_INFO, ENGINE_NOTICE, ENGINE_WARNING, ENGINE_ERROR };

enum engine_notice_code {
	ENGINE_N_POLICY,       /* a policy is in force */
	ENGINE_N_NOT_MEMBER,   /* our key is not in the policy, or not active */
	ENGINE_N_MEMBER,       /* it is (again) */
	ENGINE_N_ADMITTED,     /* peer passes the firewall */
	ENGINE_N_REVOKING,     /* revocation begins (with its reason) */
	ENGINE_N_REVOKED,      /* confirmed: firewall, connection, SAs */
	ENGINE_N_UP,           /* peer's tunnel is up */
	ENGINE_N_DOWN,         /* was up, is not */
	ENGINE_N_DEGRADED,     /* something fails; text says what */
	ENGINE_N_RECOVERED,    /* no longer degraded */
	ENGINE_N_TIME_SOON,    /* peer's `until` or `hours` end soon */
	ENGINE_N_TIME_OVER,    /* they ended */
	ENGINE_N_TIME_OPEN,    /* peer's hours began */
	ENGINE_N_DUPLICATE,    /* one of two SAs of a peer ended */
	ENGINE_N_TWO_HOSTS,    /* a key is in use on two hosts at once */
	ENGINE_N_UNKNOWN_SA,   /* an SA that nobody wants was found and ended */
	ENGINE_N_UNKNOWN_CONN, /* a connection `ovl.*` that nobody wants was found and unloaded */
	ENGINE_N_FOREIGN_SA,   /* another's SA that covers overlay addresses was ended */
	ENGINE_N_FW_REPAIRED,  /* our table was changed or removed by another, and is back */
	ENGINE_N_FW_FAILED,    /* the kernel refused a change; retried */
	ENGINE_N_KEY_LOST,     /* another program unloaded our key from charon; loaded again */
	ENGINE_N_CHARON_UP,
	ENGINE_N_CHARON_DOWN,
	ENGINE_N_PLANE_FAILED,
	ENGINE_N_NO_TRAPS, /* the policy wants tunnels on demand, and the plane has no traps */
	ENGINE_N_BUNDLE,   /* a signed bundle is in force (serial, from whom) */
	ENGINE_N_REFUSED_BUNDLE, /* one was refused: signature, format, roll-back, parent, cluster */
	ENGINE_N_FORK,           /* two bundles of one serial, both signed */
	ENGINE_N_WITHHELD,       /* a seed did not pass a bundle on */
	ENGINE_N_STORE,          /* the bundle in force could not be kept on disk; or it is now */
	ENGINE_N_SESSION_UP,
	ENGINE_N_SESSION_DOWN,
	ENGINE_N_JOIN_SERVING, /* joins are taken, or not any more */
	ENGINE_N_JOIN_PENDING, /* a newcomer waits for approval */
	ENGINE_N_JOIN_GUEST,   /* a token's guest was let in here */
	ENGINE_N_JOIN_REFUSED, /* a newcomer was refused, or we were */
	ENGINE_N_JOINING,      /* we ask to be let in: what became of it */
	ENGINE_N_JOINED,       /* we are a member; later: a complete one (who is missing) */
	ENGINE_N_NEXT_KEY,     /* a member asks to change its key */
	ENGINE_N_OWN_KEY,      /* our new key is in force, or the one before it is worthless now */
	ENGINE_N_TRACE, /* a peer's state, or whether it is degraded, changed: at most one a step */
};

enum engine_peer_state {
	ENGINE_PEER_INACTIVE,  /* in the policy, not desired: its time, or nothing allowed */
	ENGINE_PEER_WAITING,   /* desired; charon, the firewall, a revocation or its turn is awaited
	                        */
	ENGINE_PEER_LISTENING, /* loaded and admitted; it is the peer's turn to connect */
	ENGINE_PEER_CONNECTING, /* we are trying, or about to try again */
	ENGINE_PEER_ONDEMAND,   /* loaded and admitted; the first packet brings the SA up */
	ENGINE_PEER_UP,         /* IKE_SA and CHILD_SA are there */
	ENGINE_PEER_REVOKING,   /* not done until everything is confirmed */
};

struct engine_notice {
	enum engine_severity severity;
	enum engine_notice_code code;
	const char *peer;                 /* or NULL */
	const char *text;                 /* one sentence */
	enum engine_peer_state old_state; /* of a TRACE: before; engine_peer_find() has the new */
	bool old_degraded;
};

struct engine_effect {
	enum engine_effect_type type;
	uint64_t id; /* never 0 but for notices; no two have the same, over all steps */
	bool twin; /* UNLOAD_CONN, TERMINATE by conn: also what is named `<conn>ENGINE_CONN_OLD` */
	union {
		struct engine_conn load;
		const char *conn;
		struct engine_terminate terminate;
		struct engine_probe probe;
		struct engine_list list;
		bool rows;
		struct engine_fw_base fw_base;
		struct engine_fw_peer fw_peer;
		struct engine_fw_underlay fw_underlay;
		struct engine_plane plane;
		struct engine_resolve resolve;
		struct engine_notice notice;
		struct engine_bundle_fx bundle;
		struct engine_session_fx session;
		struct engine_note_fx note;
		struct engine_join_serve join_serve;
		struct engine_join_ask *join_ask; /* valid until the next step */
		struct engine_join_answer_fx join_answer;
		uint64_t join_stop; /* the id of the ask */
		struct engine_admit_fx admit;
		struct engine_admissions_fx admissions;
		struct minisign_public cluster_key;
	};
};

struct engine_effects {
	const struct engine_effect *v;
	size_t n;
};

/* ---- the engine ------------------------------------------------------------------------- */

struct engine;

/* -ENOMEM. config may be NULL; it is copied. */
int engine_new(struct engine **out, const struct engine_config *config);
void engine_free(struct engine *engine); /* NULL is accepted */

/*
 * Takes in one event, fills *out; what it points to is valid until the next step or free. 0, or
 * -ENOMEM: the event was taken in as far as possible, *out is what could be said, and the engine
 * comes back to the rest by itself at the next wakeup.
 */
int engine_step(
        struct engine *engine, const struct engine_event *event, struct engine_effects *out);

/* Monotonic time (us) at which ENGINE_EV_TICK is wanted; ENGINE_NEVER. It may be in the past. */
int64_t engine_next_wakeup(const struct engine *engine);

/* ---- looking (status) -------------------------------------------------------------------- */

struct engine_peer_view {
	const char *name;
	struct policy_key key;
	struct policy_addr addr4, addr6;
	enum engine_peer_state state;
	bool degraded;      /* something fails; see reason */
	bool admitted;      /* confirmed in the firewall */
	const char *reason; /* one sentence or "" */
	struct engine_time since;
	bool initiator_is_us;        /* by the rule; who really did: sa_initiator */
	struct policy_addr endpoint; /* in use or tried last; family 0: none */
	uint16_t endpoint_port;
	uint32_t sa_id; /* 0: none; the fields below are unset then */
	bool sa_initiator;
	struct policy_addr remote_host;
	uint16_t remote_port;
	int64_t established_mono_us;  /* -1 unknown */
	int64_t rekey_mono_us;        /* ENGINE_NEVER unknown */
	uint64_t bytes_in, bytes_out; /* as of the last list */
	int64_t expires_wall_s;       /* ENGINE_NEVER */
	uint32_t attempts;            /* failed in a row */
	bool old_key; /* its key or ours changes, and its SA, if any, is still of an old one */
};

enum engine_charon_state {
	ENGINE_CHARON_DOWN,
	ENGINE_CHARON_SYNCING, /* connected; its SAs and connections are being read */
	ENGINE_CHARON_READY,
};
enum engine_fw_state {
	ENGINE_FWS_NONE,    /* nothing done yet */
	ENGINE_FWS_PENDING, /* a whole table is on its way */
	ENGINE_FWS_READY,
	ENGINE_FWS_FAILED, /* last whole table was refused; retried */
};
enum engine_plane_state { ENGINE_PLANE_DOWN, ENGINE_PLANE_PENDING, ENGINE_PLANE_READY };

struct engine_view {
	const struct policy *policy;    /* in force, or NULL */
	const struct policy_peer *self; /* or NULL */
	bool self_active;
	struct policy_key
	        own_key; /* the one of ours in use; another than was told, if it is next */
	bool own_old;    /* the other one counts still */
	enum engine_charon_state charon;
	enum engine_fw_state firewall;
	enum engine_plane_state plane;
	const char *charon_text, *firewall_text, *plane_text; /* why not ready; "" */
	int64_t wall_s;                                       /* trusted */
	int64_t present_s;                                    /* as the clock stands now */
	size_t n_peers;                                       /* records, see engine_peer_at() */
	size_t n_desired, n_up, n_admitted, n_degraded, n_revoking;
	size_t n_on_demand; /* peers whose SA comes and goes with their traffic, now up or not */
	size_t n_no_traps;  /* would be, but for the plane: always connected instead */
	size_t n_in_flight; /* effects without an answer yet */
	size_t n_sas;       /* IKE_SAs of ours that are known */
	bool settled; /* nothing is in flight, queued or waiting for a retry; up peers are up */
};

void engine_look(const struct engine *engine, struct engine_view *out);

/* What a member is known to have in force, by its own signed word. */
struct engine_member_view {
	const char *name;
	struct session_head applied; /* serial 0: it has not said */
	int64_t said_mono_us;        /* when it was heard here; -1 never */
	const char *release;         /* "" unknown */
	bool self;
	bool session; /* one with it is open */
	bool seed;
	const char *session_text; /* why there is none; "" */
	bool has_links;           /* it said where it is on the underlay */
	struct session_links links;
};
struct engine_bundle_view {
	bool key;                    /* a cluster key is set */
	struct bundle_head head;     /* in force; serial 0: none, the local files are */
	bool stored;                 /* kept on disk */
	const char *store_text;      /* why not; "" */
	const char *guests_text;     /* why the guests that tokens let in are not; "" */
	enum bundle_verdict verdict; /* of the last ENGINE_EV_BUNDLE */
	int verdict_error;           /* not even judged: negative errno of bundle_open */
	const char *verdict_text;    /* one sentence; "" */
	bool fork;                   /* one of this serial with another digest was seen, signed */
	size_t n_members,
	        n_applied; /* active ones incl. self; of them with exactly head in force */
	size_t n_sessions;
};
void engine_bundle_look(const struct engine *engine, struct engine_bundle_view *out);
/* The file in force (text and signature), valid until the next step; -ENOENT: none. */
int engine_bundle_file(const struct engine *engine, const char **file, size_t *len);
/* All members of the policy sorted by name, self too: 0 .. n_members - 1. */
int engine_member_at(const struct engine *engine, size_t index, struct engine_member_view *out);
/* Members that ask to change their keys, on a seed: how many are in v, sorted by name. Strings are
 * valid until the next step. */
struct engine_voucher_view {
	const char *name;
	struct policy_key key; /* the next one */
	const char *line;      /* policy/voucher.h; verified */
	int64_t said_mono_us;
};
size_t engine_vouchers(const struct engine *engine, struct engine_voucher_view *v, size_t max);
/* A token of the policy in force, and what is known here of its use. -ENOENT: no such index. */
struct engine_token_view {
	const struct policy_token *token;
	size_t used; /* of its count: guests there are, and those that were revoked */
	bool over;   /* its time is, by the trusted clock */
};
int engine_token_at(const struct engine *engine, size_t index, struct engine_token_view *out);
/* By which the guest with that key is a peer; NULL: it is none. Valid until the next step. */
const struct policy_admission *engine_admission_of(
        const struct engine *engine, const struct policy_key *key);
/*
 * Records, sorted by name, 0 .. n_peers - 1: all peers of the policy but self, and those still
 * being revoked. Strings are valid until the next step. -ENOENT: no such peer.
 */
int engine_peer_at(const struct engine *engine, size_t index, struct engine_peer_view *out);
int engine_peer_find(const struct engine *engine, const char *name, struct engine_peer_view *out);

/* ---- joining: join.h */

enum engine_newcomer_state {
	ENGINE_NEWCOMER_NONE,    /* no ticket */
	ENGINE_NEWCOMER_ASKING,  /* no seed has answered yet */
	ENGINE_NEWCOMER_PENDING, /* an admin is to approve our key */
	ENGINE_NEWCOMER_REFUSED, /* a seed said no; asked again now and then */
	ENGINE_NEWCOMER_JOINING, /* the bundle is in force; not everybody has admitted us yet */
	ENGINE_NEWCOMER_JOINED,  /* in this run of the daemon */
};
struct engine_join_view {
	enum engine_newcomer_state state;
	const char *cluster, *name; /* of the ticket; "" */
	const char *seed;           /* asked last; "" */
	const char *text;           /* one sentence; "" */
	struct engine_time since;   /* in that state */
	bool complete;              /* a member that may serve as a seed */
	bool serving;               /* as a seed: joins are taken here */
	const char *serving_text;   /* why not; "" */
	size_t n_join_sas, n_pending;
};
void engine_join_look(const struct engine *engine, struct engine_join_view *out);

struct engine_pending_view {
	const char *name;
	struct policy_key key;
	struct policy_addr source; /* in clear, as it came last */
	const char *site, *release;
	const struct policy_addr *links;
	size_t n_links;
	int64_t first_mono_us, last_mono_us; /* asked */
	bool same_name;                      /* another entry wants this name */
	bool other_names;                    /* this key asks under another name too */
	bool taken;                          /* the name is a peer's already */
};
/* Sorted by name, then fingerprint. Strings are valid until the next step. -ENOENT. */
int engine_pending_at(const struct engine *engine, size_t index, struct engine_pending_view *out);
const char *engine_newcomer_name(enum engine_newcomer_state state); /* "none", "asking", ... */

/* Bytes of heap held, for tests of the bounds. */
size_t engine_memory(const struct engine *engine);

const char *engine_peer_state_name(enum engine_peer_state state);
const char *engine_notice_name(enum engine_notice_code code);

#endif
