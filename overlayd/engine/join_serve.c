/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether joins are served here, and the join SAs: each ends soon, and at their most the connection
 * goes until half of them are gone.
 */
#include "engine/join_internal.h"

#include <errno.h>
#include <string.h>

#define DIGEST_NONE 0U
#define DIGEST_UNKNOWN 1U
#define FULL_TELL_US 600000000

static bool has_bundle(const struct engine *e)
{
	const char *file;
	size_t len;

	return e->is_signed && !cluster_file(e->cluster, &file, &len);
}

/* Which needs a table with a hole for it, whatever else is in the way. */
static const char *role_missing(const struct engine *e)
{
	if (!e->policy || !e->self || !has_bundle(e))
		return "no signed bundle is in force here";
	if (!e->policy->join)
		return "the policy says `join: false`";
	if (!policy_is_seed(e->policy, e->self))
		return "this node has not the role seed";
	if (!e->self_active)
		return "this node is not active now (until or hours)";
	if (e->self->addr6.family != 10 /* AF_INET6 */)
		return "this node has no overlay IPv6 address";
	if (e->join->joining)
		return "this node is joining itself: not everybody has admitted it yet";
	return NULL;
}

const char *join_why_not(const struct engine *e)
{
	const char *why = role_missing(e);

	if (why)
		return why;
	if (e->charon != ENGINE_CHARON_READY)
		return "charon is not ready";
	if (!e->base_once || e->fw == ENGINE_FWS_FAILED)
		return "the firewall's table is not in place";
	if (!e->plane_up)
		return "the overlay device is not up";
	return NULL;
}

bool join_in_table(const struct engine *e)
{
	return !role_missing(e);
}

void join_pool_of(const struct policy_prefix *overlay6, struct policy_prefix *out)
{
	*out = *overlay6;
	memset(out->addr.bytes + 6, 0, 10);
	out->addr.bytes[14] = JOIN_POOL_FIRST >> 8;
	out->len = JOIN_POOL_LEN;
}

void join_pool(const struct engine *e, struct policy_prefix *out)
{
	join_pool_of(&e->policy->overlay6, out);
}

/* ---- the service ---- */

static void serve_wanted(struct engine *e, struct engine_join_serve *w)
{
	*w = (struct engine_join_serve){0};
	e->join->why_not = join_why_not(e);
	if (e->join->why_not)
		return;
	w->on = true;
	w->open = !e->join->full;
	w->addr6 = e->self->addr6;
	join_pool(e, &w->pool);
	w->own_key = e->own_key;
	w->local_id = e->self_id;
	w->port = e->policy->port;
}

static uint64_t serve_digest(const struct engine_join_serve *w)
{
	uint64_t h = DIGEST_START;

	if (!w->on)
		return DIGEST_NONE;
	h = digest_u64(h, w->open);
	h = digest_addr(h, &w->addr6);
	h = digest_addr(h, &w->pool.addr);
	h = digest_bytes(h, w->own_key.raw, sizeof(w->own_key.raw));
	h = digest_str(h, w->local_id);
	h = digest_u64(h, w->port);
	return h > DIGEST_UNKNOWN ? h : h + 2;
}

static void tell_serving(struct engine *e)
{
	struct join *j = e->join;

	if (j->has.on == j->told_serving)
		return;
	j->told_serving = j->has.on;
	if (j->has.on)
		notice(e, ENGINE_INFO, ENGINE_N_JOIN_SERVING, NULL,
		        "Newcomers may ask here to join.");
	else
		notice(e, ENGINE_INFO, ENGINE_N_JOIN_SERVING, NULL,
		        "Newcomers cannot ask here any more: %s.",
		        j->why_not ? j->why_not : "it is being set anew");
}

/* The table must let them pass as soon as they can come, and not a moment longer. */
static void table_step(struct engine *e)
{
	bool in = join_in_table(e);

	if (in == e->join->in_table || !e->policy || !e->have_key)
		return;
	e->join->in_table = in;
	fw_policy_changed(e);
}

void joins_serve_step(struct engine *e)
{
	struct join *j = e->join;
	struct engine_join_serve w;
	struct engine_effect *fx;
	uint64_t digest;

	table_step(e);
	if (op_late(e, &j->serve_op))
		joins_serve_result(e, -ETIMEDOUT, "no answer in time");
	serve_wanted(e, &w);
	digest = serve_digest(&w);
	if (j->serve_op.id || digest == j->has.digest || !op_ready(e, &j->serve_op))
		return;
	fx = op_start(e, &j->serve_op, OP_JOIN_SERVE, ENGINE_FX_JOIN_SERVE, NULL, 0);
	if (!fx)
		return;
	j->sent = (struct join_state){w.on, w.open, digest};
	j->sent_seq = e->seq;
	fx->join_serve = w;
	fx->join_serve.local_id = w.local_id ? arena_str(e, w.local_id) : "";
	if (!w.on) { /* for whoever asks; the rest is the host's to end */
		j->has.on = false;
		tell_serving(e);
	}
}

void joins_serve_result(struct engine *e, int error, const char *text)
{
	struct join *j = e->join;

	if (error) {
		if (!j->serve_op.fails)
			notice(e, ENGINE_WARNING, ENGINE_N_DEGRADED, NULL,
			        "Joining could not be %s here: %s; it is tried again.",
			        j->sent.on ? "set up" : "taken down", text);
		text_set(j->serve_text, sizeof(j->serve_text), text);
		op_fail(e, &j->serve_op);
		j->has = (struct join_state){.digest = DIGEST_UNKNOWN};
		return;
	}
	op_ok(e, &j->serve_op);
	j->serve_text[0] = 0;
	j->has = j->sent;
	tell_serving(e);
}

void join_charon_lost(struct engine *e)
{
	struct join *j = e->join;

	op_drop(e, &j->serve_op);
	if (j->has.digest != DIGEST_NONE || j->sent.digest != DIGEST_NONE)
		j->has = (struct join_state){.digest = DIGEST_UNKNOWN};
	tell_serving(e);
}

/* Of a list of connections: is it there as it should be? */
void join_conn_listed(struct engine *e, bool listed, uint64_t seq)
{
	struct join *j = e->join;

	if (j->serve_op.id || j->sent_seq >= seq || j->has.digest == DIGEST_UNKNOWN ||
	        listed == (j->has.on && j->has.open))
		return;
	j->has.digest = DIGEST_UNKNOWN; /* said again, whatever is wanted */
}

int64_t joins_serve_wakeup(const struct engine *e)
{
	const struct join *j = e->join;
	int64_t at = j->slots_due;

	if (j->serve_op.id || j->serve_op.fails)
		at = j->serve_op.at < at ? j->serve_op.at : at;
	return at;
}

/* ---- their SAs ---- */

static struct join_slot *slot_of(const struct engine *e, const struct sa *sa)
{
	for (size_t i = 0; i < e->join->n_slots; i++)
		if (e->join->slots[i].sa == sa)
			return &e->join->slots[i];
	return NULL;
}

struct join_slot *join_slot_of(struct engine *e, const struct policy_addr *inner)
{
	struct join *j = e->join;

	for (size_t i = 0; i < j->n_slots; i++)
		if (j->slots[i].inner.family && addr_equal(&j->slots[i].inner, inner) &&
		        !j->slots[i].sa->gone)
			return &j->slots[i];
	return NULL;
}

static void full_judge(struct engine *e)
{
	struct join *j = e->join;

	if (j->full)
		j->full = j->n_slots > JOIN_SAS_MAX / 2;
	else
		j->full = j->n_slots >= JOIN_SAS_MAX;
	if (!j->full || (j->full_us && e->now.mono_us < j->full_us + FULL_TELL_US))
		return;
	j->full_us = e->now.mono_us;
	notice(e, ENGINE_WARNING, ENGINE_N_JOIN_SERVING, NULL,
	        "%u nodes that are no members are connected here at once to ask to join; until "
	        "half "
	        "of them are gone no more are let in.",
	        JOIN_SAS_MAX);
}

void join_sa_seen(struct engine *e, struct sa *sa, const struct policy_addr *remote_host)
{
	struct join *j = e->join;
	struct join_slot *s = slot_of(e, sa);

	if (!s && j->n_slots < JOIN_SLOTS) {
		s = &j->slots[j->n_slots++];
		*s = (struct join_slot){.sa = sa,
		        .end_us = e->now.mono_us + JOIN_SA_MAX_US,
		        .childless_us = e->now.mono_us + JOIN_SA_CHILDLESS_US};
		full_judge(e);
	}
	if (!s)
		return;
	s->source = *remote_host;
	if (s->childless_us < j->slots_due)
		j->slots_due = s->childless_us;
}

void join_sa_gone(struct engine *e, const struct sa *sa)
{
	struct join *j = e->join;
	struct join_slot *s = slot_of(e, sa);

	if (!s)
		return;
	*s = j->slots[--j->n_slots];
	full_judge(e);
}

/* What it may carry: to and from one address of the pool. The port is the firewall's to see to. */
enum child_fit join_child_fit(
        struct engine *e, const struct sa *sa, const struct engine_child_row *c)
{
	struct join_slot *s = slot_of(e, sa);
	struct policy_prefix pool;

	if (!e->policy || c->n_remote_ts != 1 || c->remote_ts[0].len != 128)
		return CHILD_BAD;
	join_pool(e, &pool);
	if (!policy_prefix_contains(&pool, &c->remote_ts[0].addr))
		return CHILD_BAD;
	if (s && c->state == ENGINE_CHILD_INSTALLED)
		s->inner = c->remote_ts[0].addr;
	return CHILD_WHOLE;
}

enum sa_fault join_sa_judge(const struct engine *e, const struct sa *sa)
{
	const struct join_slot *s = slot_of(e, sa);
	bool child = false;

	for (size_t i = 0; i < sa->n_children; i++) {
		if (sa->children[i].state != ENGINE_CHILD_INSTALLED)
			continue;
		if (sa->children[i].fit == CHILD_BAD)
			return SA_SELECTORS;
		child = true;
	}
	if (!s || join_why_not(e) || sa->crowded || sa->n_children > 2)
		return SA_STALE;
	if (e->now.mono_us >= s->end_us || (!child && e->now.mono_us >= s->childless_us))
		return SA_STALE;
	return SA_FINE;
}

void join_slots_step(struct engine *e)
{
	struct join *j = e->join;

	if (e->now.mono_us < j->slots_due)
		return;
	j->slots_due = ENGINE_NEVER;
	for (size_t i = 0; i < j->n_slots; i++) {
		struct join_slot *s = &j->slots[i];
		int64_t at = s->end_us;

		sa_judge(e, s->sa);
		if (e->now.mono_us < s->childless_us)
			at = s->childless_us;
		if (!s->sa->fault && at < j->slots_due && at > e->now.mono_us)
			j->slots_due = at;
	}
}

/* It was answered: what it was for is done. */
void join_slot_end(struct engine *e, struct join_slot *s, int64_t at)
{
	if (at < s->end_us)
		s->end_us = at;
	if (s->end_us < e->join->slots_due)
		e->join->slots_due = s->end_us;
}
