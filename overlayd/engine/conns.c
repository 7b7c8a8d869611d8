/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections in charon: load what changed, in a window; know by digest what is there. */
#include "engine/internal.h"

#include <stdio.h>
#include <string.h>

const char *conn_name(struct engine *e, const struct peer *p)
{
	size_t n = strlen(ENGINE_CONN_PREFIX) + strlen(p->name) + 1;
	char *s = arena_alloc(e, n);

	if (!s)
		return "";
	snprintf(s, n, "%s%s", ENGINE_CONN_PREFIX, p->name);
	return s;
}

const char *conn_old_name(struct engine *e, const struct peer *p)
{
	size_t n = strlen(ENGINE_CONN_PREFIX ENGINE_CONN_OLD) + strlen(p->name) + 1;
	char *s = arena_alloc(e, n);

	if (!s)
		return "";
	snprintf(s, n, "%s%s%s", ENGINE_CONN_PREFIX, p->name, ENGINE_CONN_OLD);
	return s;
}

/* No peer's name has a slash. */
static size_t base_length(const char *name, bool *old)
{
	size_t n = strlen(name), tail = strlen(ENGINE_CONN_OLD);

	*old = n > tail && !strcmp(name + n - tail, ENGINE_CONN_OLD);
	return *old ? n - tail : n;
}

struct peer *conn_peer(const struct engine *e, const char *name, bool *old)
{
	char base[256];

	snprintf(base, sizeof(base), "%.*s", (int)base_length(name, old), name);
	return peer_find(e, base, strlen(base));
}

static bool has_old(const struct peer *p)
{
	return p->peer_old || p->own_old;
}

static void conn_fill_old(struct engine *e, const struct peer *p, struct engine_conn *c)
{
	char id[ENGINE_ID_MAX];

	c->old = has_old(p);
	c->old_gone = !c->old && p->old_in_charon;
	if (!c->old)
		return;
	peer_remote_id(&p->old_key, p->name, id);
	c->old_remote_id = arena_str(e, id);
	c->old_local_id = arena_str(e, p->own_old ? e->self_old_id : e->self_id);
	c->old_own_key = p->own_old ? e->other_key : e->own_key;
	c->old_key = p->old_key;
}

static void conn_fill(struct engine *e, const struct peer *p, struct engine_conn *c)
{
	char id[ENGINE_ID_MAX];

	peer_remote_id(&p->key, p->name, id);
	c->name = conn_name(e, p);
	c->peer = arena_str(e, p->name);
	c->local_id = arena_str(e, e->self_id);
	c->remote_id = arena_str(e, id);
	c->own_key = e->own_key;
	c->key = p->key;
	conn_fill_old(e, p, c);
	c->local4 = e->self->addr4;
	c->local6 = e->self->addr6;
	c->remote4 = p->addr4;
	c->remote6 = p->addr6;
	c->endpoint = p->ep_addr;
	c->endpoint_port = p->ep_addr.family ? p->ep_port : e->policy->port;
	c->port = e->policy->port;
	c->trap = p->on_demand && p->ep_addr.family;
	c->digest = conn_digest_wanted(e, p);
}

uint64_t conn_digest_wanted(const struct engine *e, const struct peer *p)
{
	uint64_t h = digest_str(DIGEST_START, p->name);

	h = digest_bytes(digest_str(h, e->self_id), &p->key, sizeof(p->key));
	h = digest_addr(digest_addr(h, &e->self->addr4), &e->self->addr6);
	h = digest_addr(digest_addr(h, &p->addr4), &p->addr6);
	h = digest_u64(digest_addr(h, &p->ep_addr), p->ep_addr.family ? p->ep_port : 0);
	h = digest_u64(h, p->on_demand && p->ep_addr.family);
	if (has_old(p)) {
		h = digest_u64(digest_bytes(h, &p->old_key, sizeof(p->old_key)), p->own_old);
		h = digest_str(h, p->own_old ? e->self_old_id : "");
	}
	return digest_u64(h, e->policy->port) | 1;
}

void conn_step(struct engine *e, struct peer *p)
{
	struct engine_effect *fx;

	/* An earlier run's table may still admit this address as another peer's. */
	if (e->charon != ENGINE_CHARON_READY || p->conn_op.id || !e->base_once)
		return;
	tunnel_choose(e, p);
	if (p->conn == CONN_LOADED && p->conn_digest == conn_digest_wanted(e, p))
		return;
	if (!op_ready(e, &p->conn_op)) {
		peer_wake(p, p->conn_op.at);
		return;
	}
	if (e->n_flights[OP_LOAD] >= e->cfg.load_window) {
		queue_add(e, Q_LOAD, p);
		return;
	}
	fx = op_start(e, &p->conn_op, OP_LOAD, ENGINE_FX_LOAD_CONN, p, 0);
	if (!fx)
		return;
	conn_fill(e, p, &fx->load);
	p->conn_sent = fx->load.digest;
	p->conn_op_old = fx->load.old;
	p->twin |= fx->load.old;
	p->old_in_charon |= fx->load.old;
	p->conn_op_loads = true;
	p->conn = CONN_MAYBE;
	p->conn_seq = e->seq;
	p->in_charon = true;
}

void conn_unload(struct engine *e, struct peer *p)
{
	struct engine_effect *fx = op_start(e, &p->conn_op, OP_UNLOAD, ENGINE_FX_UNLOAD_CONN, p, 0);

	if (!fx)
		return;
	fx->conn = conn_name(e, p);
	fx->twin = p->twin;
	p->conn_op_loads = false;
	p->conn_seq = e->seq;
}

/*
 * It is gone, or loaded as it should be: those who waited for that may be admitted. Of the last one
 * of unknown content these are all.
 */
void conn_not_stale(struct engine *e, struct peer *p)
{
	claim_unblock(e, &p->stale4);
	claim_unblock(e, &p->stale6);
	p->stale4 = p->stale6 = (struct policy_addr){0};
	if (!p->stale_conn)
		return;
	p->stale_conn = false;
	if (--e->n_stale == 0)
		peers_dirty_all(e);
}

/* What was ended before counts for nothing: until now another SA could have been built. */
static void gone(struct engine *e, struct peer *p)
{
	conn_not_stale(e, p);
	p->conn = CONN_NO;
	p->old_in_charon = false;
	p->ended = p->verified = false;
	queue_remove(e, Q_VERIFY, p);
}

void conn_result(struct engine *e, struct peer *p, int error, const char *text)
{
	p->conn_seq = e->seq;
	if (error) {
		op_fail(e, &p->conn_op);
		peer_degrade(e, p, "charon did not %s its connection: %s",
		        p->conn_op_loads ? "load" : "unload", text);
		return;
	}
	op_ok(e, &p->conn_op);
	if (!p->conn_op_loads) {
		gone(e, p);
		return;
	}
	conn_not_stale(e, p);
	p->conn = CONN_LOADED;
	p->conn_digest = p->conn_sent;
	p->old_in_charon = p->conn_op_old;
	if (!p->grace_until_us)
		p->grace_until_us = e->now.mono_us + e->cfg.second_grace_us;
}

/* Whoever uses it has that peer's key and gets that peer's addresses: as if we had loaded it. */
static bool is_sound(const struct peer *p, const struct engine_conn_row *row)
{
	char id[ENGINE_ID_MAX], old_id[ENGINE_ID_MAX] = "";

	if (!p->want || !row || row->odd_ts || !row->pinned || !row->remote_id)
		return false;
	peer_remote_id(&p->want->key, p->name, id);
	if (p->want->has_old_key)
		peer_remote_id(&p->want->old_key, p->name, old_id);
	return (!strcmp(row->remote_id, id) || !strcmp(row->remote_id, old_id)) &&
	       ts_exact(row->remote_ts, row->n_remote_ts, &p->want->addr4, &p->want->addr6);
}

static bool stale_block(struct engine *e, struct peer *p, const struct policy_prefix *ts)
{
	bool is4 = ts->addr.family == 2 /* AF_INET */;
	struct policy_addr *at = is4 ? &p->stale4 : &p->stale6;

	if (ts->len != (is4 ? 32 : 128) || at->family || !claim_block(e, &ts->addr))
		return false;
	*at = ts->addr;
	return true;
}

/* It is not known to be sound: nobody is admitted with the addresses that it is for. */
static void stale(struct engine *e, struct peer *p, const struct engine_conn_row *row)
{
	bool known = row && !row->odd_ts;

	for (size_t i = 0; known && i < row->n_remote_ts && i < ENGINE_TS_MAX; i++)
		known = stale_block(e, p, &row->remote_ts[i]);
	if (known)
		return;
	e->n_stale += !p->stale_conn;
	p->stale_conn = true;
}

static void conn_found(struct engine *e, const char *name, const struct engine_conn_row *row)
{
	bool old;
	struct peer *p = conn_peer(e, name, &old);

	if (!p) {
		char base[256];

		snprintf(base, sizeof(base), "%.*s", (int)base_length(name, &old), name);
		p = peer_ghost(e, base);
		if (!p)
			return;
		notice(e, ENGINE_WARNING, ENGINE_N_UNKNOWN_CONN, name,
		        "Connection ovl.%s is loaded in charon and not in the policy; it is "
		        "unloaded.",
		        name);
	}
	*(old ? &p->old_listed_seq : &p->listed_seq) = e->conns_seq;
	p->in_charon = true;
	p->twin |= old;
	if (old && p->conn_seq < e->conns_seq)
		p->old_in_charon = true;
	if (p->conn != CONN_NO || p->conn_seq >= e->conns_seq)
		return;
	p->conn = CONN_MAYBE;
	if ((!p->desired || !is_sound(p, row)) && !IMPAIRED(IMPAIR_TRUST_CONNS))
		stale(e, p, row);
	peer_dirty(e, p);
}

/* What was loaded before and is not listed is gone; what changed since the question is not judged.
 */
void conns_snapshot(struct engine *e, const struct engine_event *ev)
{
	const size_t skip = strlen(ENGINE_CONN_PREFIX);
	bool join = false;

	for (size_t i = 0; i < ev->conns.n && i < ENGINE_CONNS_MAX; i++) {
		const char *name = ev->conns.names[i];

		join |= name && !strcmp(name, JOIN_CONN);
		if (name && !strncmp(name, ENGINE_CONN_PREFIX, skip) && name[skip] &&
		        strlen(name) <= 255 && strcmp(name, JOIN_CONN) &&
		        (!join_is_asking(e) || strcmp(name, JOIN_ASK_CONN)))
			conn_found(e, name + skip, ev->conns.rows ? &ev->conns.rows[i] : NULL);
	}
	if (ev->conns.truncated || ev->conns.n > ENGINE_CONNS_MAX)
		return;
	join_conn_listed(e, join, e->conns_seq);
	if (IMPAIRED(IMPAIR_NO_RELOAD))
		return;
	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		if (p->conn == CONN_NO || p->conn_op.id || p->conn_seq >= e->conns_seq)
			continue;
		if (p->listed_seq == e->conns_seq &&
		        (!p->old_in_charon || p->old_listed_seq == e->conns_seq))
			continue;
		if (p->listed_seq == e->conns_seq || p->old_listed_seq == e->conns_seq)
			p->conn = CONN_MAYBE; /* half of it */
		else
			gone(e, p);
		peer_dirty(e, p);
	}
}
