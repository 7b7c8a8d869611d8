/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's effects, carried out over vici. */
#include "host/charon_private.h"

#include "client/nodekey.h"
#include "host/dataplane.h"
#include "host/ownkeys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An effect on its way. */
struct request {
	struct charon *charon;
	uint64_t id;
	uint64_t generation;
	enum engine_effect_type type;
	unsigned int pending; /* answers that are awaited still, besides the next */
	int error;            /* of those that came */
	char text[256];
	char conn[ENGINE_CONN_MAX]; /* ENGINE_FX_INITIATE */
	struct charon_rows rows;
	struct charon_conns conns; /* ENGINE_FX_LIST_CONNS */
};

/* ---- effects --------------------------------------------------------------------------------- */

static struct request *request_new(struct charon *charon, const struct engine_effect *fx)
{
	struct request *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->charon = charon;
	req->id = fx->id;
	req->type = fx->type;
	req->generation = charon->generation;
	return req;
}

static void request_free(struct request *req)
{
	charon_rows_clear(&req->rows);
	charon_conns_clear(&req->conns);
	free(req);
}

/* Ends a request; the error text is charon's, cleaned before people see it. */
static void request_end(struct request *req, int error, const char *text)
{
	char clean[256];

	snprintf(clean, sizeof(clean), "%s", text ? text : "");
	text_sanitise(clean);
	world_result(req->charon->world, req->id, error, clean);
	request_free(req);
}

/* One of several answers; the first error counts. */
static void request_part(struct request *req, int error, const char *text)
{
	if (error && !req->error) {
		req->error = error;
		snprintf(req->text, sizeof(req->text), "%s", text ? text : "");
	}
	if (req->pending) {
		req->pending--;
		return;
	}
	request_end(req, req->error, req->text);
}

static void on_done(void *user, const struct vici_result *r)
{
	request_part(user, r->error, r->errmsg);
}

/* It is not loaded: that is what was wanted. */
static void on_unloaded(void *user, const struct vici_result *r)
{
	bool was_not = r->error == -EREMOTEIO && strstr(r->errmsg, "not found");

	request_part(user, was_not ? 0 : r->error, r->errmsg);
}

static void on_initiated(void *user, const struct vici_result *r)
{
	struct request *req = user;

	if (r->error) {
		/* Another program unloaded it: "CHILD_SA config 'ovl' not found". */
		bool gone = r->error == -EREMOTEIO && strstr(r->errmsg, "not found");

		request_end(req, gone ? -ENOENT : r->error, r->errmsg);
		return;
	}
	attempts_add(req->charon->attempts, req->conn, req->id);
	request_free(req);
}

static void on_key(void *user, const struct vici_result *r, const char *id)
{
	struct request *req = user;

	if (!r->error)
		charon_keys_loaded(req->charon, id);
	request_part(req, r->error, r->errmsg);
}

static void on_terminated(void *user, const struct vici_result *r, uint64_t matches, uint64_t ended)
{
	int error = r->error;

	(void)ended;
	if (error == -EREMOTEIO && matches == 0)
		error = 0;
	request_part(user, error, r->errmsg);
}

static void on_probed(void *user, const struct vici_result *r, uint64_t matches, uint64_t ended)
{
	(void)matches;
	(void)ended;
	request_part(user, r->error, r->errmsg);
}

static void on_row(void *user, const struct vici_ike_sa *sa)
{
	struct request *req = user;

	if (sa->name && strncmp(sa->name, ENGINE_CONN_PREFIX, strlen(ENGINE_CONN_PREFIX)) == 0)
		req->charon->has_ours = true;
	charon_rows_add(&req->rows, sa);
}

static void on_rows(void *user, const struct vici_result *r)
{
	struct request *req = user;
	struct engine_event ev = {.type = ENGINE_EV_SAS};
	int error = r->error ? r->error : req->rows.error;

	if (error) {
		request_end(req, error, r->error ? r->errmsg : "out of memory");
		return;
	}
	ev.sas.effect_id = req->id;
	ev.sas.rows = req->rows.rows;
	ev.sas.n = req->rows.n;
	ev.sas.truncated = req->rows.truncated;
	world_event(req->charon->world, &ev);
	if (req->rows.n > 100)
		world_trim_soon(req->charon->world);
	request_free(req);
}

static void on_conns(void *user, const struct vici_result *r, const char *const *names, size_t n)
{
	struct request *req = user;
	struct engine_event ev = {.type = ENGINE_EV_CONNS};

	if (r->error) {
		request_end(req, r->error, r->errmsg);
		return;
	}
	ev.conns.effect_id = req->id;
	ev.conns.names = names;
	ev.conns.n = n < ENGINE_CONNS_MAX ? n : ENGINE_CONNS_MAX;
	ev.conns.truncated = n > ENGINE_CONNS_MAX;
	world_event(req->charon->world, &ev);
	request_free(req);
}

static void on_conn(void *user, const struct vici_conn_row *row)
{
	struct request *req = user;

	charon_conns_add(&req->conns, row);
}

static void on_conn_rows(void *user, const struct vici_result *r)
{
	struct request *req = user;
	struct engine_event ev = {.type = ENGINE_EV_CONNS};
	int error = r->error ? r->error : req->conns.error;

	if (error) {
		request_end(req, error, r->error ? r->errmsg : "out of memory");
		return;
	}
	if (req->conns.n)
		req->charon->has_ours = true;
	ev.conns.effect_id = req->id;
	ev.conns.names = req->conns.names;
	ev.conns.rows = req->conns.rows;
	ev.conns.n = req->conns.n;
	ev.conns.truncated = req->conns.truncated;
	world_event(req->charon->world, &ev);
	if (req->conns.n > 100)
		world_trim_soon(req->charon->world);
	request_free(req);
}

static int key_load(struct charon *charon, struct vici *v, const uint8_t public_key[32],
        struct request *req, char *err, size_t err_size)
{
	char *pem = NULL;
	int ret = ownkeys_pem(charon->world, public_key, &pem, err, err_size);

	if (ret)
		return ret;
	ret = vici_load_key(v, "any", pem, strlen(pem), on_key, req, 0, charon_now());
	nodekey_pem_free(pem);
	return ret;
}

/*
 * Of a pair: the first was queued and will answer. What cannot be queued now counts as its answer,
 * so that the request ends once.
 */
static int second(struct request *req, int ret, const char *text)
{
	if (!ret)
		return 0;
	req->pending--;
	req->error = ret;
	snprintf(req->text, sizeof(req->text), "%s", text && *text ? text : strerror(-ret));
	return 0;
}

/* While the node changes its key there are two. */
static int run_load_key(
        struct charon *charon, struct vici *v, struct request *req, char *err, size_t err_size)
{
	const struct world *world = charon->world;
	int ret;

	charon_keys_forget(charon);
	req->pending = world->has_next_key;
	ret = key_load(charon, v, world->public_key, req, err, err_size);
	if (ret || !world->has_next_key)
		return ret;
	return second(req, key_load(charon, v, world->next_key, req, err, err_size), err);
}

/*
 * The engine loads nothing before it has seen both lists. What a dead charon left would also go on
 * talking to the other ends, who would not notice that nobody is behind it: one that alone can call
 * us never would.
 */
static void leftovers(struct charon *charon)
{
	if (charon->has_ours)
		return;
	charon->has_ours = true;
	dataplane_leftovers(charon->world->dataplane);
}

static int run_load_conn(
        struct charon *charon, struct vici *v, const struct engine_conn *conn, struct request *req)
{
	struct charon_load load = {
	        .conn = conn,
	        .if_id = dataplane_if_id(charon->world->dataplane),
	        .mlkem = charon->facts.mlkem768,
	        .n_peers = charon->world->n_policy_peers,
	        .traps = dataplane_has_traps(charon->world->dataplane),
	        .idle_s = charon->world->options.idle_s,
	};

	leftovers(charon);
	return charon_load_conn(v, &load, on_done, req, charon_now());
}

static void old_name(char *buf, size_t size, const char *conn)
{
	snprintf(buf, size, "%s" ENGINE_CONN_OLD, conn);
}

/* Both, where a key changes: they come and go together. */
static int run_load_conns(
        struct charon *charon, struct vici *v, const struct engine_conn *conn, struct request *req)
{
	struct engine_conn old = *conn;
	char name[ENGINE_CONN_MAX];
	int ret;

	req->pending = conn->old || conn->old_gone;
	ret = run_load_conn(charon, v, conn, req);
	if (ret || !req->pending)
		return ret;
	old_name(name, sizeof(name), conn->name);
	if (conn->old_gone)
		return second(
		        req, vici_unload_conn(v, name, on_unloaded, req, 0, charon_now()), NULL);
	old.name = name;
	old.local_id = conn->old_local_id;
	old.remote_id = conn->old_remote_id;
	old.own_key = conn->old_own_key;
	old.key = conn->old_key;
	old.trap = false;
	return second(req, run_load_conn(charon, v, &old, req), NULL);
}

static int run_unload_conn(struct vici *v, const struct engine_effect *fx, struct request *req)
{
	char name[ENGINE_CONN_MAX];
	int ret;

	req->pending = fx->twin;
	ret = vici_unload_conn(v, fx->conn, on_unloaded, req, 0, charon_now());
	if (ret || !fx->twin)
		return ret;
	old_name(name, sizeof(name), fx->conn);
	return second(req, vici_unload_conn(v, name, on_unloaded, req, 0, charon_now()), NULL);
}

static int terminate(
        struct vici *v, const char *conn, uint32_t ike_id, bool force, struct request *req)
{
	struct vici_select which = {.ike = conn};

	if (!conn)
		which.ike_id = VICI_NUM(ike_id);
	return vici_terminate(
	        v, &which, force, (struct vici_num){0}, on_terminated, req, 0, charon_now());
}

static int run_terminate(struct vici *v, const struct engine_effect *fx, struct request *req)
{
	const struct engine_terminate *end = &fx->terminate;
	bool twin = fx->twin && end->conn;
	char name[ENGINE_CONN_MAX];
	int ret;

	req->pending = twin;
	ret = terminate(v, end->conn, end->ike_id, end->force, req);
	if (ret || !twin)
		return ret;
	old_name(name, sizeof(name), end->conn);
	return second(req, terminate(v, name, 0, end->force, req), NULL);
}

/* Of several: those that were queued will answer. What could not be queued counts as its answer. */
static int parts(struct request *req, const int *rets, unsigned int n)
{
	unsigned int queued = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (!rets[i])
			queued++;
		else if (!req->error)
			req->error = rets[i];
	}
	if (!queued)
		return req->error;
	if (req->error)
		snprintf(req->text, sizeof(req->text), "%s", strerror(-req->error));
	req->pending = queued - 1;
	return 0;
}

static int run_join_serve(struct charon *charon, struct vici *v,
        const struct engine_join_serve *serve, struct request *req)
{
	struct vici_select all = {.ike = JOIN_CONN};
	uint32_t if_id = dataplane_if_id(charon->world->dataplane);
	uint64_t now = charon_now();

	if (!serve->on)
		return parts(req,
		        (int[]){vici_unload_conn(v, JOIN_CONN, on_unloaded, req, 0, now),
		                vici_terminate(v, &all, true, (struct vici_num){0}, on_terminated,
		                        req, 0, now),
		                vici_unload_shared(v, JOIN_POOL, on_unloaded, req, 0, now),
		                vici_unload_pool(v, JOIN_POOL, on_unloaded, req, 0, now)},
		        4);
	return parts(req,
	        (int[]){charon_join_secret(v, JOIN_POOL, on_done, req),
	                charon_join_pool(v, &serve->pool, on_done, req),
	                serve->open ? charon_join_serve(
	                                      v, serve, if_id, charon->facts.mlkem768, on_done, req)
	                            : vici_unload_conn(v, JOIN_CONN, on_unloaded, req, 0, now)},
	        3);
}

static int request_start(struct charon *charon, const struct engine_effect *fx, struct request *req,
        char *err, size_t err_size)
{
	struct vici *v = charon->links[LINK_COMMANDS].v;

	switch (fx->type) {
	case ENGINE_FX_LOAD_KEY:
		return run_load_key(charon, v, req, err, err_size);
	case ENGINE_FX_LOAD_CONN:
		return run_load_conns(charon, v, &fx->load, req);
	case ENGINE_FX_UNLOAD_CONN:
		return run_unload_conn(v, fx, req);
	case ENGINE_FX_INITIATE: {
		struct vici_initiate what = {
		        .ike = fx->conn, .child = ENGINE_CHILD_NAME, .timeout_ms = VICI_NUM(-1)};

		snprintf(req->conn, sizeof(req->conn), "%s", fx->conn);
		return vici_initiate(v, &what, on_initiated, req, 0, charon_now());
	}
	case ENGINE_FX_TERMINATE:
		return run_terminate(v, fx, req);
	case ENGINE_FX_PROBE: {
		struct vici_select which = {.child_id = VICI_NUM(fx->probe.child_id)};

		return vici_rekey(v, &which, false, on_probed, req, 0, charon_now());
	}
	case ENGINE_FX_JOIN_SERVE:
		return run_join_serve(charon, v, &fx->join_serve, req);
	case ENGINE_FX_LIST_SAS: {
		struct vici_select which = {.ike = fx->list.conn};

		return vici_list_sas(
		        v, fx->list.conn ? &which : NULL, on_row, on_rows, req, 0, charon_now());
	}
	case ENGINE_FX_LIST_CONNS:
		if (fx->rows)
			return vici_list_conns(
			        v, NULL, on_conn, on_conn_rows, req, 0, charon_now());
		return vici_get_conns(v, on_conns, req, 0, charon_now());
	case ENGINE_FX_FW_BASE:
	case ENGINE_FX_FW_ADMIT:
	case ENGINE_FX_FW_REVOKE:
	case ENGINE_FX_FW_UNDERLAY:
	case ENGINE_FX_KILL_SOCKETS:
	case ENGINE_FX_PLANE:
	case ENGINE_FX_RESOLVE:
	case ENGINE_FX_NOTICE:
	case ENGINE_FX_BUNDLE_STORE:
	case ENGINE_FX_ADMISSIONS_STORE:
	case ENGINE_FX_SESSION_OPEN:
	case ENGINE_FX_SESSION_SEND:
	case ENGINE_FX_SESSION_CLOSE:
	case ENGINE_FX_NOTE_SEND:
	case ENGINE_FX_JOIN_ANSWER:
	case ENGINE_FX_JOIN_ASK:
	case ENGINE_FX_JOIN_STOP:
	case ENGINE_FX_ADMIT_SIGN:
	case ENGINE_FX_CLUSTER_KEY:
	case ENGINE_FX_TICKET_FORGET:
		break; /* not charon's */
	}
	return -EINVAL;
}

void charon_run(struct charon *charon, const struct engine_effect *fx)
{
	struct request *req;
	char err[256] = "";
	int ret;

	if (!charon->links[LINK_COMMANDS].v || !charon->told) {
		world_result(charon->world, fx->id, -ENOTCONN, charon->facts.why);
		return;
	}
	req = request_new(charon, fx);
	ret = req ? request_start(charon, fx, req, err, sizeof(err)) : -ENOMEM;
	if (ret) {
		world_result(charon->world, fx->id, ret, err[0] ? err : strerror(-ret));
		if (req)
			request_free(req);
	}
	charon_link_update(&charon->links[LINK_COMMANDS]);
}
