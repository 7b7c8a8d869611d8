/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Typed calls that change something: keys, secrets, connections, pools, SAs. */
#include <errno.h>
#include <string.h>

#include "vici-client/private.h"

/* All of these answer success=yes, or no with errmsg. */
static int submit_yes(struct vici *v, const char *command, struct vici_builder *args,
        vici_done_fn *done, void *user, uint64_t timeout_us, uint64_t now_us)
{
	const struct vici_submit s = {.command = command,
	        .ops = &vici_ops_yes,
	        .done = (vici_any_fn *)done,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};

	return vici_submit(v, &s, args);
}

/* The same with one string as the only argument. */
static int submit_one(struct vici *v, const char *command, const char *key, const char *value,
        vici_done_fn *done, void *user, uint64_t timeout_us, uint64_t now_us)
{
	struct vici_builder b;

	vici_builder_init(&b);
	vici_add_str(&b, key, value);
	return submit_yes(v, command, &b, done, user, timeout_us, now_us);
}

/* ---- keys and secrets ---- */

static int key_done(struct vici_request *r, const struct vici_result *result)
{
	struct vici_result bad =
	        vici_result_error(-EBADMSG, "charon's reply lacks success=yes and the key's id");
	vici_key_fn *fn = (vici_key_fn *)r->done;
	char id[VICI_NAME_MAX + 1] = "";
	bool ok = result->error || (vici_find_yes(result->reply, "success") &&
	                                   !vici_find_text(result->reply, "id", id, sizeof(id)));

	if (fn)
		fn(r->user, ok ? result : &bad, result->error || !ok ? "" : id);
	return ok ? 0 : -EBADMSG;
}

static const struct vici_ops key_ops = {.done = key_done};

int vici_load_key(struct vici *v, const char *type, const void *data, size_t len, vici_key_fn *fn,
        void *user, uint64_t timeout_us, uint64_t now_us)
{
	const struct vici_submit s = {.command = "load-key",
	        .ops = &key_ops,
	        .done = (vici_any_fn *)fn,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	struct vici_builder b;

	vici_builder_init_secret(&b);
	vici_add_str(&b, "type", type ? type : "any");
	vici_add_blob(&b, "data", data, len);
	return vici_submit(v, &s, &b);
}

int vici_unload_key(struct vici *v, const char *id, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us)
{
	return submit_one(v, "unload-key", "id", id, done, user, timeout_us, now_us);
}

int vici_load_shared(struct vici *v, const struct vici_shared *secret, vici_done_fn *done,
        void *user, uint64_t timeout_us, uint64_t now_us)
{
	struct vici_builder b;

	vici_builder_init_secret(&b);
	if (secret->id)
		vici_add_str(&b, "id", secret->id);
	vici_add_str(&b, "type", secret->type ? secret->type : "IKE");
	vici_add_blob(&b, "data", secret->data, secret->len);
	vici_add_strings(&b, "owners", secret->owners);
	return submit_yes(v, "load-shared", &b, done, user, timeout_us, now_us);
}

int vici_unload_shared(struct vici *v, const char *id, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us)
{
	return submit_one(v, "unload-shared", "id", id, done, user, timeout_us, now_us);
}

/* ---- connections and pools ---- */

int vici_load_conn(struct vici *v, const struct vici_connection *c, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us)
{
	struct vici_builder b;

	vici_builder_init(&b);
	vici_connection_encode(&b, c);
	return submit_yes(v, "load-conn", &b, done, user, timeout_us, now_us);
}

int vici_unload_conn(struct vici *v, const char *name, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us)
{
	return submit_one(v, "unload-conn", "name", name, done, user, timeout_us, now_us);
}

int vici_load_pool(struct vici *v, const struct vici_pool *pool, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us)
{
	struct vici_builder b;

	vici_builder_init(&b);
	vici_add_section(&b, pool->name);
	vici_add_str(&b, "addrs", pool->addrs);
	vici_add_extra(&b, pool->extra, pool->n_extra);
	vici_end_section(&b);
	return submit_yes(v, "load-pool", &b, done, user, timeout_us, now_us);
}

int vici_unload_pool(struct vici *v, const char *name, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us)
{
	return submit_one(v, "unload-pool", "name", name, done, user, timeout_us, now_us);
}

/* ---- SAs ---- */

int vici_initiate(struct vici *v, const struct vici_initiate *what, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us)
{
	struct vici_builder b;

	if (!what->ike && !what->child)
		return -EINVAL;
	vici_builder_init(&b);
	if (what->ike)
		vici_add_str(&b, "ike", what->ike);
	if (what->child)
		vici_add_str(&b, "child", what->child);
	if (what->timeout_ms.set)
		vici_add_i64(&b, "timeout", what->timeout_ms.v);
	if (what->init_limits != VICI_UNSET)
		vici_add_bool(&b, "init-limits", what->init_limits == VICI_YES);
	return submit_yes(v, "initiate", &b, done, user, timeout_us, now_us);
}

static void put_id(struct vici_builder *b, const char *key, struct vici_num id)
{
	if (id.set)
		vici_add_i64(b, key, id.v);
}

void vici_add_select(struct vici_builder *b, const struct vici_select *which)
{
	if (which->ike)
		vici_add_str(b, "ike", which->ike);
	if (which->child)
		vici_add_str(b, "child", which->child);
	put_id(b, "ike-id", which->ike_id);
	put_id(b, "child-id", which->child_id);
}

/*
 * charon reads an id of 0 as "none", and ike with ike-id as "either", unless a child is asked for:
 * what is meant to name one SA must not end others.
 */
static int select_check(const struct vici_select *which)
{
	bool child = which->child || which->child_id.set;

	if (!which->ike && !which->ike_id.set && !child)
		return -EINVAL;
	if (!child && which->ike && which->ike_id.set)
		return -EINVAL;
	if ((which->ike_id.set && (which->ike_id.v <= 0 || which->ike_id.v > UINT32_MAX)) ||
	        (which->child_id.set && (which->child_id.v <= 0 || which->child_id.v > UINT32_MAX)))
		return -EINVAL;
	return 0;
}

static int count_done(struct vici_request *r, const struct vici_result *result)
{
	struct vici_result bad =
	        vici_result_error(-EBADMSG, "charon's reply lacks success=yes or the count");
	vici_count_fn *fn = (vici_count_fn *)r->done;
	uint64_t matches = 0, terminated = 0;
	bool ok = result->error || (vici_find_yes(result->reply, "success") &&
	                                   !vici_find_u64(result->reply, "matches", &matches));

	if (result->error)
		vici_find_u64(result->reply, "matches", &matches);
	vici_find_u64(result->reply, "terminated", &terminated);
	if (fn)
		fn(r->user, ok ? result : &bad, matches, terminated);
	return ok ? 0 : -EBADMSG;
}

static const struct vici_ops count_ops = {.done = count_done};

int vici_terminate(struct vici *v, const struct vici_select *which, bool force,
        struct vici_num timeout_ms, vici_count_fn *fn, void *user, uint64_t timeout_us,
        uint64_t now_us)
{
	const struct vici_submit s = {.command = "terminate",
	        .ops = &count_ops,
	        .done = (vici_any_fn *)fn,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	int r = select_check(which);
	struct vici_builder b;

	if (r)
		return r;
	vici_builder_init(&b);
	vici_add_select(&b, which);
	if (force)
		vici_add_bool(&b, "force", true);
	if (timeout_ms.set)
		vici_add_i64(&b, "timeout", timeout_ms.v);
	return vici_submit(v, &s, &b);
}

int vici_rekey(struct vici *v, const struct vici_select *which, bool reauth, vici_count_fn *fn,
        void *user, uint64_t timeout_us, uint64_t now_us)
{
	const struct vici_submit s = {.command = "rekey",
	        .ops = &count_ops,
	        .done = (vici_any_fn *)fn,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	int r = select_check(which);
	struct vici_builder b;

	if (r)
		return r;
	vici_builder_init(&b);
	vici_add_select(&b, which);
	if (reauth)
		vici_add_bool(&b, "reauth", true);
	return vici_submit(v, &s, &b);
}
