/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libviciclient: charon's control socket (vici), asynchronous and typed.
 *
 * Tour. Open a connection, put its fd into your loop, ask, and get each answer by a callback:
 *
 *	struct vici_config cfg = {.path = "/run/charon.vici", .on_event = event, .user = me};
 *	struct vici *v;
 *	err = vici_open(&v, &cfg);	// at once: connected, or an error; it never blocks
 *	vici_subscribe(v, "ike-updown", 0, subscribed, me, now);
 *	vici_list_sas(v, NULL, row, done, me, 0, now);
 *	for (;;) {
 *		poll vici_fd(v) for vici_events(v), until vici_deadline(v)
 *		if (vici_process(v, revents, now) < 0)
 *			break;	// all callbacks were called; it is of no more use
 *	}
 *	vici_free(v);
 *
 * Rules
 * - No threads, no globals, no log, no clock: the caller's monotonic time comes in as now_us
 *   (microseconds).
 * - vici has no sequence numbers: one request is in flight at a time, the others wait in line
 *   (bounded). Events come in between; a slow command (initiate, or terminate without force) holds up
 *   those behind it, so a second connection for events is a good idea.
 * - A request call that returns 0 calls its `done` exactly once, later, in the order of the calls,
 *   also if the connection fails, is closed or freed. One that returns an error never does. No
 *   callback is ever called from within a request call; only from vici_process(), vici_close() and
 *   vici_free().
 * - Callbacks may start requests, close and free. After vici_free() in a callback the callbacks of
 *   what was waiting have been called and the handle must not be used again.
 * - A request that times out ends the connection (a late reply could not be told from the next
 *   one's). So does every truncated, oversized, unbalanced or unexpected packet. Open a new one then.
 * - Arguments are copied (encoded) during the call. What callbacks are given is valid only until
 *   they return, unless it is an array inside the struct.
 *
 * Errors of request calls (the request was not taken, no callback will come):
 *	-ENOTCONN	the connection failed or was closed
 *	-ENOBUFS	the line is full (max_requests or max_bytes)
 *	-EINVAL		an argument is missing or the arguments' encoding is malformed
 *	-EMSGSIZE, -ENAMETOOLONG, -ELOOP, -ENOMEM	as vici_builder_check()
 *
 * Errors in results (struct vici_result):
 *	-EREMOTEIO	charon answered success=no; errmsg says why
 *	-ENOENT		subscribe: charon has no such event
 *	-EOPNOTSUPP	charon does not know the command (errmsg names it)
 *	-EBADMSG	the reply was malformed, or not as documented; the connection is closed
 *	-EPROTO		a packet that was not expected, or of unknown type; the connection is closed
 *	-EMSGSIZE	a packet longer than VICI_SEGMENT_MAX; the connection is closed
 *	-ETIMEDOUT	no full answer in time; the connection is closed
 *	-ECONNRESET	charon went away, or an earlier request's failure ended the connection
 *	-ECANCELED	vici_close() or vici_free() was called
 *
 * Source of all names and formats: strongSwan, src/libcharon/plugins/vici/README.md and
 *   swanctl.conf(5).
 */
#ifndef VICI_CLIENT_VICI_H
#define VICI_CLIENT_VICI_H

#include "vici-client/message.h"

struct vici; /* one connection */

#define VICI_TIMEOUT_DEFAULT 0        /* the connection's own (struct vici_config) */
#define VICI_TIMEOUT_NONE UINT64_MAX  /* wait for ever */
#define VICI_DEADLINE_NONE UINT64_MAX /* nothing is waiting for time to pass */

/* A number that may be absent. {0} is "unset", which is not the number 0. */
struct vici_num {
	bool set;
	int64_t v;
};
#define VICI_NUM(x) ((struct vici_num){.set = true, .v = (x)})

/* yes, no, or leave it to charon's default */
enum vici_tri { VICI_UNSET = 0, VICI_NO, VICI_YES };

/* ---- connection ---- */

struct vici_event;

struct vici_config {
	const char *path;    /* UNIX socket, at most 107 bytes */
	uint64_t timeout_us; /* default for requests; 0: 10 s */
	size_t max_requests; /* in line and in flight; 0: 4096 */
	size_t max_bytes;    /* of their encoded arguments; 0: 16 MiB */
	/* An event that was subscribed to. NULL: dropped. */
	void (*on_event)(void *user, const struct vici_event *event);
	/*
	 * The connection ended, after all its requests' callbacks; at most once. Not called for
	 * vici_close() and vici_free(). error as in results, what says it in words. NULL: ask
	 * vici_error().
	 */
	void (*on_closed)(void *user, int error, const char *what);
	void *user;
};

/*
 * Connects. On failure *out is untouched: -ENOENT, -ECONNREFUSED (charon is not there), -EACCES,
 * -EAGAIN (its accept queue is full: try again shortly), -ENAMETOOLONG, -EINVAL, -ENOMEM, other
 * socket(2) and connect(2) errors.
 */
int vici_open(struct vici **out, const struct vici_config *cfg);
/* The same over a connected stream socket; cfg->path is ignored. Takes fd over on success only. */
int vici_open_fd(struct vici **out, const struct vici_config *cfg, int fd);
/* Ends it: waiting requests are called back with -ECANCELED. The handle (and fd) stays until
 * vici_free(). NULL is accepted. */
void vici_close(struct vici *v);
/* vici_close(), and gives all memory and the fd back. NULL is accepted. Remove the fd from your
 * loop first. */
void vici_free(struct vici *v);

int vici_fd(const struct vici *v); /* the same from open to free */
short vici_events(
        const struct vici *v); /* POLLIN | POLLOUT wanted now; 0 when ended. Ask after every call */
uint64_t vici_deadline(
        const struct vici *v); /* call vici_process() by then; VICI_DEADLINE_NONE if never */
/*
 * Reads, writes, calls back, checks the deadline. Call it when the fd is ready (revents as poll(2)
 * gives them) or the deadline has come (revents 0). 0, or why the connection ended (once ended
 * always that). -EBUSY: called from within a callback; nothing was done.
 */
int vici_process(struct vici *v, short revents, uint64_t now_us);

/*
 * While held, no request of the line begins (the one in flight ends as usual); the timeouts of those
 * that wait begin with their turn, as ever. Released, the first goes out at once.
 */
void vici_hold(struct vici *v, bool hold, uint64_t now_us);

int vici_error(const struct vici *v); /* 0 while usable, else as vici_process() */
const char *vici_error_text(
        const struct vici *v); /* the same in words, "" while usable; valid until vici_free() */
size_t vici_pending(const struct vici *v); /* requests in line and in flight */

/* ---- any command ---- */

/* How a request ended. Valid only in the callback. */
struct vici_result {
	int error;          /* 0 or as listed on top */
	const char *errmsg; /* one line of text, never NULL, "" if there is none */
	struct vici_blob
	        reply; /* the reply's message (well-formed), also with -EREMOTEIO; else empty */
};

typedef void vici_done_fn(void *user, const struct vici_result *result);
typedef void vici_row_fn(void *user, struct vici_blob row);

struct vici_call {
	const char *command;
	/*
	 * For streaming commands: the event that carries their rows ("list-sa" of "list-sas"). It
	 * is registered for this request only, and its events go to `row` only. NULL: none. -EINVAL
	 * if it is subscribed to at the same time.
	 */
	const char *stream;
	vici_row_fn *row;
	vici_done_fn *done; /* NULL: nobody wants to know */
	void *user;
	/* From the moment its turn comes (not from the call) until it is done. */
	uint64_t timeout_us;
};

/*
 * Queues a command. args: NULL for none; on success its memory is taken over (no copy), on failure
 * it stays as it was; vici_builder_fini() is right in both cases. Errors as listed on top.
 */
int vici_call(
        struct vici *v, const struct vici_call *call, struct vici_builder *args, uint64_t now_us);

/* ---- events ---- */

/*
 * Registers for an event by name; done gets 0, or -ENOENT if charon has no such event. Up to 32 at
 * a time. -EALREADY: is subscribed already; -ENOBUFS: too many.
 */
int vici_subscribe(struct vici *v, const char *event, uint64_t timeout_us, vici_done_fn *done,
        void *user, uint64_t now_us);
/* -ENOENT: not subscribed. Events may still come until done. */
int vici_unsubscribe(struct vici *v, const char *event, uint64_t timeout_us, vici_done_fn *done,
        void *user, uint64_t now_us);

/*
 * SAs as charon tells them, in rows and events. Strings are NUL-terminated, never NULL ("" if not
 * told), and like the arrays valid only in the callback. String arrays end with NULL and are never
 * NULL.
 */
struct vici_child_sa {
	const char *key;  /* section name, "<name>-<uniqueid>" */
	const char *name; /* of the CHILD_SA configuration */
	uint32_t uniqueid;
	uint32_t reqid;
	const char *state; /* "INSTALLED", "REKEYED", "DELETING", ... */
	const char *mode;  /* "TUNNEL", ... */
	const char *protocol;
	bool encap;
	uint32_t spi_in, spi_out; /* 0 if none yet */
	uint32_t if_id_in, if_id_out;
	const char *encr_alg, *integ_alg, *dh_group;
	struct vici_num encr_keysize;
	struct vici_num bytes_in, packets_in, use_in; /* use: seconds since the last packet */
	struct vici_num bytes_out, packets_out, use_out;
	struct vici_num rekey_time;   /* seconds until rekeying */
	struct vici_num life_time;    /* seconds until it expires */
	struct vici_num install_time; /* seconds since it was installed */
	const char *const *local_ts, *const *remote_ts;
};

struct vici_ike_sa {
	const char *name; /* of the connection; "(unnamed)" where it is not known yet */
	uint32_t uniqueid;
	struct vici_num version;
	const char *state; /* "CREATED", "CONNECTING", "ESTABLISHED", "REKEYING", "DELETING", ... */
	const char *local_host, *local_id;
	const char *remote_host, *remote_id;
	uint16_t local_port, remote_port;
	bool initiator; /* we initiated it */
	uint64_t initiator_spi, responder_spi;
	bool nat_local, nat_remote, nat_fake, nat_any;
	uint32_t if_id_in, if_id_out;
	const char *encr_alg, *integ_alg, *prf_alg, *dh_group;
	struct vici_num encr_keysize;
	struct vici_num established; /* seconds since; unset unless ESTABLISHED */
	struct vici_num rekey_time;  /* seconds until; may be negative when late */
	struct vici_num reauth_time;
	const char *const *local_vips, *const *remote_vips;
	const char *const *tasks_queued, *const *tasks_active, *const *tasks_passive;
	const struct vici_child_sa *children; /* n_children of them */
	size_t n_children;                    /* at most VICI_CHILDREN_MAX, more is -EBADMSG */
	struct vici_blob raw;                 /* all that charon said of it */
};
#define VICI_CHILDREN_MAX 1024

enum vici_event_type {
	VICI_EV_OTHER, /* see name and raw */
	VICI_EV_IKE_UPDOWN,
	VICI_EV_IKE_REKEY,
	VICI_EV_IKE_UPDATE,
	VICI_EV_CHILD_UPDOWN,
	VICI_EV_CHILD_REKEY,
	VICI_EV_LOG,
};

/* Valid only in on_event. Fields that do not belong to the type are NULL, false or unset. */
struct vici_event {
	enum vici_event_type type;
	const char *name; /* as subscribed to */
	bool up;          /* IKE_UPDOWN, CHILD_UPDOWN */
	/* The IKE_SA: the new one of IKE_REKEY; as it was before IKE_UPDATE; with one child in
	 * CHILD_UPDOWN. */
	const struct vici_ike_sa *sa;
	const struct vici_ike_sa *old_sa; /* IKE_REKEY */
	/* CHILD_UPDOWN: the one that it is about. CHILD_REKEY: the new one, and the one it
	 * replaces. */
	const struct vici_child_sa *child, *old_child;
	/* IKE_UPDATE: where it is moving to */
	const char *local_host, *remote_host;
	uint16_t local_port, remote_port;
	/* LOG: group, text, the IKE_SA's name or "", level */
	const char *log_group, *log_text, *log_sa;
	struct vici_num log_level;
	struct vici_blob raw; /* the whole message */
};

/* ---- typed calls: what charon is ---- */

struct vici_version {
	char daemon[32], version[32], sysname[64], release[128], machine[64];
};
typedef void vici_version_fn(
        void *user, const struct vici_result *r, const struct vici_version *version);

struct vici_stats {
	char running[64], since[64]; /* text, as charon prints it */
	uint64_t workers_total, workers_idle;
	uint64_t queue_critical, queue_high, queue_medium, queue_low; /* jobs waiting */
	uint64_t scheduled;
	uint64_t ike_sas, ike_sas_half_open;
	const char *const *plugins; /* NULL-terminated; valid only in the callback */
};
typedef void vici_stats_fn(void *user, const struct vici_result *r, const struct vici_stats *stats);

/* type "encryption", "aead", "dh", ...; name "AES_GCM_16", "CURVE_25519", "ML_KEM_768", ... */
typedef void vici_algorithm_fn(void *user, const char *type, const char *name, const char *plugin);
/* connection "" is the global count */
typedef void vici_counter_fn(
        void *user, const char *connection, const char *counter, uint64_t value);
/* names: NULL-terminated, n of them, valid only in the callback; NULL unless r->error is 0 */
typedef void vici_names_fn(
        void *user, const struct vici_result *r, const char *const *names, size_t n);

/* In the typed *_fn the second pointer is NULL unless r->error is 0. */
int vici_get_version(
        struct vici *v, vici_version_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us);
int vici_get_stats(
        struct vici *v, vici_stats_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us);
int vici_get_algorithms(struct vici *v, vici_algorithm_fn *row, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us);
/* connection: NULL for the global counters, "*" for those of all connections. Needs charon's plugin
 * "counters". */
int vici_get_counters(struct vici *v, const char *connection, vici_counter_fn *row,
        vici_done_fn *done, void *user, uint64_t timeout_us, uint64_t now_us);

/* ---- typed calls: keys and secrets ---- */

/* id: 40 hex digits, SHA-1 of the public key; "" unless r->error is 0 */
typedef void vici_key_fn(void *user, const struct vici_result *r, const char *id);
/*
 * type: "any", "ed25519", "rsa", ... (NULL: "any"). data: PKCS#8 or traditional, PEM or DER. Our
 * copies are wiped as soon as they are sent or given up; the caller wipes its own.
 */
int vici_load_key(struct vici *v, const char *type, const void *data, size_t len, vici_key_fn *fn,
        void *user, uint64_t timeout_us, uint64_t now_us);
int vici_unload_key(struct vici *v, const char *id, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us);
int vici_get_keys(
        struct vici *v, vici_names_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us);

struct vici_shared {
	const char *id;   /* to replace or unload it by; NULL: none */
	const char *type; /* "IKE" (NULL), "EAP", "XAUTH", "NTLM", "PPK" */
	const void *data; /* wiped as in vici_load_key() */
	size_t len;
	const char *const *owners; /* identities, NULL-terminated; NULL or empty: charon takes it
	                              for any peer */
};
int vici_load_shared(struct vici *v, const struct vici_shared *secret, vici_done_fn *done,
        void *user, uint64_t timeout_us, uint64_t now_us);
int vici_unload_shared(struct vici *v, const char *id, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us);
int vici_get_shared(
        struct vici *v, vici_names_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us);

/* ---- typed calls: connections ---- */

/* Anything that has no field of its own: key with a value, or with a NULL-terminated list. */
struct vici_extra {
	const char *key;
	const char *value;
	const char *const *list;
};

/*
 * Zeroed fields are left to charon's defaults. Strings NULL, arrays NULL, struct vici_num {0},
 * VICI_UNSET: unset. Times in seconds. String arrays end with NULL. Names as in swanctl.conf(5).
 */
struct vici_auth { /* all unset: no such section, which for remote means that charon asks no proof
	              at all */
	const char *auth; /* "pubkey", "psk", "eap-..." */
	const char *id;
	/* PEM or DER (SubjectPublicKeyInfo), inline. local needs one too: by it charon finds the
	 * private key for the id. */
	const struct vici_blob *pubkeys;
	size_t n_pubkeys;
	const struct vici_blob *certs, *cacerts;
	size_t n_certs, n_cacerts;
	const struct vici_extra *extra;
	size_t n_extra;
};

struct vici_child {
	const char *name;
	const char *const *local_ts, *const *remote_ts;
	const char *const *esp_proposals;
	const char *mode;                                     /* "tunnel", "transport", ... */
	const char *start_action, *dpd_action, *close_action; /* "none", "start", "trap" */
	struct vici_num rekey_time, life_time, rand_time;     /* 0 is "never" */
	struct vici_num rekey_bytes, life_bytes, rekey_packets, life_packets;
	enum vici_tri policies;
	struct vici_num reqid, priority, replay_window, inactivity;
	struct vici_num if_id_in, if_id_out;
	const struct vici_extra *extra;
	size_t n_extra;
};

struct vici_connection {
	const char *name;
	struct vici_num version; /* 2 */
	const char *const *local_addrs, *const *remote_addrs;
	struct vici_num local_port, remote_port;
	const char *const *proposals;
	enum vici_tri encap, mobike, aggressive, pull, send_certreq;
	struct vici_num dpd_delay, dpd_timeout;
	struct vici_num rekey_time, reauth_time, over_time, rand_time;
	struct vici_num keyingtries; /* 0 is "for ever" */
	const char *unique;          /* "never", "no", "keep", "replace" */
	const char *fragmentation, *childless, *send_cert;
	struct vici_num if_id_in, if_id_out;
	const char *const *vips;  /* to ask for, as initiator */
	const char *const *pools; /* to give from, as responder */
	struct vici_auth local, remote;
	const struct vici_child *children;
	size_t n_children;
	const struct vici_extra *extra;
	size_t n_extra;
};

/* Only the message of load-conn, to send, compare or hash. Errors stay in b. */
void vici_connection_encode(struct vici_builder *b, const struct vici_connection *c);

int vici_load_conn(struct vici *v, const struct vici_connection *c, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us);
/* Does not end its SAs: follow with vici_terminate(). */
int vici_unload_conn(struct vici *v, const char *name, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us);
/* Names of connections that were loaded over vici. */
int vici_get_conns(
        struct vici *v, vici_names_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us);

/* A connection as list-conns tells it; charon does not return all that was loaded. Lifetimes as in
 * vici_ike_sa. */
struct vici_child_row {
	const char *name, *mode;
	struct vici_num rekey_time;
	const char *const *local_ts, *const *remote_ts;
};
struct vici_conn_row {
	const char *name;
	const char *version; /* "IKEv2" */
	const char *const *local_addrs, *const *remote_addrs;
	struct vici_num local_port, remote_port;
	struct vici_num reauth_time, rekey_time;
	const char *unique;
	const char *local_class, *local_id;   /* of the first local authentication */
	const char *remote_class, *remote_id; /* of the first remote one */
	size_t n_remote;                      /* how many remote ones: 0 would be "anyone" */
	size_t n_remote_certs; /* certificates and public keys that the first remote one pins */
	const struct vici_child_row *children;
	size_t n_children;
	struct vici_blob raw;
};
typedef void vici_conn_row_fn(void *user, const struct vici_conn_row *row);
/* name: NULL for all. Those that others loaded (files) are told too. */
int vici_list_conns(struct vici *v, const char *name, vici_conn_row_fn *row, vici_done_fn *done,
        void *user, uint64_t timeout_us, uint64_t now_us);

/* ---- typed calls: pools ---- */

struct vici_pool {
	const char *name;
	const char *addrs;              /* "10.0.0.0/24" or "10.0.0.1-10.0.0.9" */
	const struct vici_extra *extra; /* attributes, as lists: "dns", "subnet", ... */
	size_t n_extra;
};
int vici_load_pool(struct vici *v, const struct vici_pool *pool, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us);
int vici_unload_pool(struct vici *v, const char *name, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us);

/* ---- typed calls: SAs ---- */

/*
 * Which SAs; unset fields do not filter. At least one is needed, but by vici_list_sas(). To
 * terminate or rekey an IKE_SA give ike or ike_id, not both (-EINVAL): charon would take every SA
 * that fits either.
 */
struct vici_select {
	const char *ike, *child;          /* configuration names */
	struct vici_num ike_id, child_id; /* unique ids */
	bool noblock; /* vici_list_sas(): leave busy SAs out instead of waiting for them */
};

/*
 * ike and/or child name one configuration. timeout_ms, charon's: unset or 0 waits for the result
 * (and holds up the connection), -1 answers at once with success although nothing is up yet: the
 * events tell.
 */
struct vici_initiate {
	const char *ike, *child;
	struct vici_num timeout_ms;
	enum vici_tri init_limits;
};
int vici_initiate(struct vici *v, const struct vici_initiate *what, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us);

/* matches, terminated: how many SAs; 0 unless charon told, which it also does with -EREMOTEIO */
typedef void vici_count_fn(
        void *user, const struct vici_result *r, uint64_t matches, uint64_t terminated);
/*
 * force: do not wait for the peer (IKE_SAs only). With force leave timeout_ms unset: with one
 * charon waits and answers "failed" though the SA is gone. Without force and timeout it waits for
 * the peer's answer.
 */
int vici_terminate(struct vici *v, const struct vici_select *which, bool force,
        struct vici_num timeout_ms, vici_count_fn *fn, void *user, uint64_t timeout_us,
        uint64_t now_us);
/* Starts rekeying (or reauthentication); the events tell when it is done. */
int vici_rekey(struct vici *v, const struct vici_select *which, bool reauth, vici_count_fn *fn,
        void *user, uint64_t timeout_us, uint64_t now_us);

typedef void vici_ike_sa_fn(void *user, const struct vici_ike_sa *sa);
/* which: NULL for all. charon locks each SA as it goes (it waits for busy ones). */
int vici_list_sas(struct vici *v, const struct vici_select *which, vici_ike_sa_fn *row,
        vici_done_fn *done, void *user, uint64_t timeout_us, uint64_t now_us);

#endif
