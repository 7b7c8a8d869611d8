/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's effects, carried out over vici. */
#include "host/charon_private.h"

#include "client/nodekey.h"
#include "client/paths.h"
#include "host/dataplane.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An effect on its way. */
struct request {
	struct charon *charon;
	uint64_t id;
	uint64_t generation;
	enum engine_effect_type type;
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

static void on_done(void *user, const struct vici_result *r)
{
	struct request *req = user;
	int error = r->error;

	/* It is not loaded: that is what was wanted. */
	if (req->type == ENGINE_FX_UNLOAD_CONN && error == -EREMOTEIO &&
	        strstr(r->errmsg, "not found"))
		error = 0;
	request_end(req, error, r->errmsg);
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
	request_end(req, r->error, r->errmsg);
}

static void on_terminated(void *user, const struct vici_result *r, uint64_t matches, uint64_t ended)
{
	int error = r->error;

	(void)ended;
	if (error == -EREMOTEIO && matches == 0)
		error = 0;
	request_end(user, error, r->errmsg);
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

static int run_load_key(
        struct charon *charon, struct vici *v, struct request *req, char *err, size_t err_size)
{
	char path[PATH_MAX];
	uint8_t public_key[32];
	char *pem = NULL;
	int ret;

	snprintf(path, sizeof(path), "%s/" OVERLAY_NODE_KEY, charon->world->options.state_dir);
	ret = nodekey_load_pem(path, &pem, public_key, err, err_size);
	if (ret)
		return ret;
	if (memcmp(public_key, charon->world->public_key, sizeof(public_key)) != 0) {
		snprintf(err, err_size,
		        "the node's key file was replaced while overlayd runs: restart overlayd");
		ret = -ESTALE;
	} else {
		ret = vici_load_key(v, "any", pem, strlen(pem), on_key, req, 0, charon_now());
	}
	nodekey_pem_free(pem);
	return ret;
}

/* The engine loads nothing before it has seen both lists. Without traps what is left does no harm,
 * and carries what flows until there is a new tunnel. */
static void leftovers(struct charon *charon)
{
	struct engine_view view;

	if (charon->has_ours)
		return;
	charon->has_ours = true;
	engine_look(charon->world->engine, &view);
	if (view.policy && policy_mesh_on_demand(view.policy))
		dataplane_leftovers(charon->world->dataplane);
}

static int run_load_conn(
        struct charon *charon, struct vici *v, const struct engine_conn *conn, struct request *req)
{
	struct charon_load load = {
	        .conn = conn,
	        .own_key = charon->world->public_key,
	        .if_id = dataplane_if_id(charon->world->dataplane),
	        .mlkem = charon->facts.mlkem768,
	        .n_peers = charon->world->n_policy_peers,
	        .traps = dataplane_has_traps(charon->world->dataplane),
	        .idle_s = charon->world->options.idle_s,
	};

	leftovers(charon);
	return charon_load_conn(v, &load, on_done, req, charon_now());
}

static int run_terminate(struct vici *v, const struct engine_terminate *end, struct request *req)
{
	struct vici_select which = {.ike = end->conn};

	if (!end->conn)
		which.ike_id = VICI_NUM(end->ike_id);
	return vici_terminate(
	        v, &which, end->force, (struct vici_num){0}, on_terminated, req, 0, charon_now());
}

static int request_start(struct charon *charon, const struct engine_effect *fx, struct request *req,
        char *err, size_t err_size)
{
	struct vici *v = charon->links[LINK_COMMANDS].v;

	switch (fx->type) {
	case ENGINE_FX_LOAD_KEY:
		return run_load_key(charon, v, req, err, err_size);
	case ENGINE_FX_LOAD_CONN:
		return run_load_conn(charon, v, &fx->load, req);
	case ENGINE_FX_UNLOAD_CONN:
		return vici_unload_conn(v, fx->conn, on_done, req, 0, charon_now());
	case ENGINE_FX_INITIATE: {
		struct vici_initiate what = {
		        .ike = fx->conn, .child = ENGINE_CHILD_NAME, .timeout_ms = VICI_NUM(-1)};

		snprintf(req->conn, sizeof(req->conn), "%s", fx->conn);
		return vici_initiate(v, &what, on_initiated, req, 0, charon_now());
	}
	case ENGINE_FX_TERMINATE:
		return run_terminate(v, &fx->terminate, req);
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
	case ENGINE_FX_SESSION_OPEN:
	case ENGINE_FX_SESSION_SEND:
	case ENGINE_FX_SESSION_CLOSE:
	case ENGINE_FX_NOTE_SEND:
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
