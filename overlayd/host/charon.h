/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * charon, as the engine sees it: two vici connections (commands; events), opened again with
 * back-off whenever they end. Once both are open, the events are subscribed to and it is known
 * what charon can do, the engine is told (ENGINE_EV_CHARON), and from then on its effects are
 * carried out. What charon says is converted (charon_rows.c), what it is told is built
 * (charon_conn.c).
 */
#ifndef OVERLAYD_HOST_CHARON_H
#define OVERLAYD_HOST_CHARON_H

#include "engine/engine.h"
#include "vici-client/vici.h"

struct world;
struct charon;

/* What is known of charon, for the plane, status and doctor. Empty until it was connected once. */
struct charon_facts {
	bool connected;
	char why[256]; /* why not connected, one sentence */
	char version[32];
	char plugins[2048]; /* names, a space behind each */
	bool libipsec;      /* kernel-libipsec is loaded */
	bool x25519, aes_gcm, ed25519, mlkem768;
	uint64_t ike_sas, half_open;
};

int charon_new(struct world *world, const char *path, struct charon **out);
void charon_free(struct charon *charon);
/* Begins to connect. */
void charon_start(struct charon *charon);
const struct charon_facts *charon_facts(const struct charon *charon);
/* For the effects that are charon's (ENGINE_FX_LOAD_KEY ... ENGINE_FX_LIST_CONNS). */
void charon_run(struct charon *charon, const struct engine_effect *fx);
/* dataplane_settles_us() has changed. */
void charon_pause(struct charon *charon);
/* A connection that is not ours and may let in whom it should not. */
struct charon_foreign_row {
	char *name;
	bool unpinned; /* takes any public key that charon trusts, an overlay peer's too */
	bool covers;   /* its peer may ask for addresses of the overlay */
};
/* For the doctor: calls done once, later; rows are valid during the call. -ENOTCONN. */
typedef void charon_foreign_fn(
        void *user, int error, const struct charon_foreign_row *rows, size_t n);
int charon_list_foreign(struct charon *charon, charon_foreign_fn *done, void *user);

/* ---- charon_conn.c ---- */

struct charon_load {
	const struct engine_conn *conn;
	uint32_t if_id; /* 0: none */
	bool mlkem;
	size_t n_peers;  /* of the policy, about */
	bool traps;      /* the plane has them; else conn->trap is not heeded */
	uint32_t idle_s; /* without traffic: a child that a trap made ends */
};
/* Queues load-conn for it, without its other one (`old`); errors as vici_load_conn(). */
int charon_load_conn(struct vici *v, const struct charon_load *load, vici_done_fn *done, void *user,
        uint64_t now_us);

/* SubjectPublicKeyInfo of an Ed25519 key (RFC 8410), in DER. */
#define CHARON_SPKI 44
void charon_spki(const uint8_t raw[32], uint8_t out[CHARON_SPKI]);
/* What we offer, best first. */
const char *const *charon_ike_proposals(bool mlkem);
const char *const *charon_esp_proposals(bool mlkem);

/* ---- charon_join.c: each queues one call ---- */

#define JOIN_CHILD "join"
#define JOIN_ASK_SECRET "ovl-ask" /* ids of the well-known secret; the seed's: JOIN_POOL */
int charon_join_secret(struct vici *v, const char *id, vici_done_fn *done, void *user);
int charon_join_pool(
        struct vici *v, const struct policy_prefix *prefix, vici_done_fn *done, void *user);
int charon_join_serve(struct vici *v, const struct engine_join_serve *serve, uint32_t if_id,
        bool mlkem, vici_done_fn *done, void *user);
/* Its connection is JOIN_ASK_CONN. */
int charon_join_ask(struct vici *v, const struct engine_join_ask *ask, uint16_t local_port,
        uint32_t if_id, bool mlkem, vici_done_fn *done, void *user);

/* ---- charon_rows.c ---- */

/* Rows as they come, copied; fields private but rows and n. */
struct charon_rows {
	struct engine_sa_row *rows;
	size_t n, cap;
	bool truncated;
	struct charon_chunk *chunks; /* strings and children */
	int error;
};
void charon_rows_clear(struct charon_rows *rows);
/* Adds one; error and truncated are sticky. */
void charon_rows_add(struct charon_rows *rows, const struct vici_ike_sa *sa);
/* Without copies, for an event: strings are sa's. children has room for ENGINE_CHILDREN_MAX. */
void charon_row_view(
        const struct vici_ike_sa *sa, struct engine_sa_row *row, struct engine_child_row *children);
void charon_child_view(const struct vici_child_sa *sa, struct engine_child_row *child);
/* ---- charon_conns.c ---- */

/* Connections as they come, copied: ours only, the names of others are not kept. */
struct charon_conns {
	const char **names;
	struct engine_conn_row *rows;
	size_t n, cap;
	bool truncated;
	int error;
};
void charon_conns_clear(struct charon_conns *conns);
/* Adds one; error and truncated are sticky. */
void charon_conns_add(struct charon_conns *conns, const struct vici_conn_row *row);

/* ---- charon_ranges.c ---- */

struct charon_ranges {
	struct engine_range v[ENGINE_FOREIGN_MAX];
	size_t n;
	bool more;
};
/* Fills row->foreign, which points into ranges; nothing for a connection of ours. */
void charon_ranges_view(
        const struct vici_ike_sa *sa, struct engine_sa_row *row, struct charon_ranges *ranges);
void charon_ranges_add(struct charon_ranges *ranges, const struct vici_child_sa *child);
/* "10.0.0.0/8", "10.0.0.1..10.0.0.9", either with "[tcp/80]" behind it; -EINVAL. */
int charon_range_parse(const char *text, struct engine_range *out);

/* A list of selectors, NULL-terminated; *odd is set if not all can be told in ENGINE_TS_MAX. */
void charon_selectors_read(
        const char *const *texts, struct policy_prefix *out, uint8_t *n, bool *odd);
/* "10.77.0.1/32" -> prefix; -EINVAL: not a plain one. */
int charon_selector_parse(const char *text, struct policy_prefix *out);

#endif
