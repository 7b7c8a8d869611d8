/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * charon as a whole: when it comes, our key is loaded, its connections and SAs are read, and only
 * then anything is decided about tunnels. Lists come again from time to time, so that what an event
 * failed to tell is seen all the same. And the overlay device, which comes and goes with it.
 */
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

static void charon_lost(struct engine *e, const char *text)
{
	bool was = e->charon != ENGINE_CHARON_DOWN;

	e->charon = ENGINE_CHARON_DOWN;
	e->key_loaded = e->conns_seen = e->sas_seen = e->snapshot = false;
	op_drop(e, &e->key_op);
	op_drop(e, &e->list_op);
	op_drop(e, &e->conns_op);
	e->want_list = e->want_conns = false;
	e->conns_early = 0;
	e->list_peer = NULL;
	text_set(e->charon_text, sizeof(e->charon_text), text ? text : "not connected");
	sas_forget(e);
	join_charon_lost(e);
	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		tunnel_stop(e, p);
		op_drop(e, &p->init_op);
		rivals_forget(e, p);
		op_drop(e, &p->conn_op);
		op_drop(e, &p->term_op);
		queue_remove(e, Q_LOAD, p);
		queue_remove(e, Q_END, p);
		queue_remove(e, Q_VERIFY, p);
		p->ended = p->verified = false;
		if (was)
			p->grace_until_us = 0;
		if (p->conn == CONN_LOADED && !IMPAIRED(IMPAIR_NO_RELOAD))
			p->conn = CONN_MAYBE;
	}
	peers_dirty_all(e);
	if (was)
		notice(e, ENGINE_WARNING, ENGINE_N_CHARON_DOWN, NULL,
		        "charon is not reachable (%s); the firewall stays, tunnels wait for it.",
		        e->charon_text);
}

void charon_changed(struct engine *e, const struct engine_event *ev)
{
	if (!ev->charon.connected) {
		charon_lost(e, ev->charon.text);
		return;
	}
	if (e->charon != ENGINE_CHARON_DOWN) {
		if (ev->charon.generation == e->charon_gen)
			return;
		charon_lost(e, "it was restarted");
	}
	e->charon = ENGINE_CHARON_SYNCING;
	e->charon_gen = ev->charon.generation;
	e->charon_text[0] = 0;
	e->want_list = e->want_conns = true;
	e->list_not_before = 0;
}

void charon_want_list(struct engine *e)
{
	e->want_list = true;
}

/*
 * charon tells nobody when another program unloads what is ours: Debian's unit runs `swanctl
 * --load-all` two seconds after charon's start, and that unloads all that is not in its files. So
 * soon after a start the names are read more often.
 */
#define CONNS_EARLY 4 /* times: after 1, 2, 4 and 8 s */

/* A list costs charon and us by the number of connections: never more than a few percent. */
static int64_t conns_gap(const struct engine *e, int64_t least)
{
	int64_t gap = least + 2500 * (int64_t)e->n_peers;

	return gap < e->cfg.resync_us ? gap : e->cfg.resync_us;
}

static void conns_next(struct engine *e)
{
	int64_t gap = conns_gap(e, e->cfg.conns_us);

	e->conns_last = e->now.mono_us;
	if (e->conns_early < CONNS_EARLY) {
		int64_t early = 1000000LL << (e->conns_early ? e->conns_early - 1 : 0);

		e->conns_early++;
		if (early < gap)
			gap = early;
	}
	e->conns_at = e->now.mono_us + gap;
}

void charon_want_conns(struct engine *e)
{
	int64_t at = e->conns_last + conns_gap(e, 250000);

	if (at < e->conns_at)
		e->conns_at = at;
}

/* Who unloaded it goes on with the connections: look soon, and some more times. */
void charon_key_lost(struct engine *e)
{
	if (!e->key_loaded || e->charon == ENGINE_CHARON_DOWN || IMPAIRED(IMPAIR_FORGET_KEY))
		return;
	e->key_loaded = false;
	e->conns_early = 0;
	e->conns_at = e->now.mono_us;
	notice(e, ENGINE_WARNING, ENGINE_N_KEY_LOST, NULL,
	        "Another program unloaded our key from charon, as swanctl --load-all does with all "
	        "that is not in its own files; it is loaded again.");
}

static void become_ready(struct engine *e)
{
	if (e->charon != ENGINE_CHARON_SYNCING || !e->key_loaded || !e->conns_seen || !e->sas_seen)
		return;
	e->charon = ENGINE_CHARON_READY;
	notice(e, ENGINE_INFO, ENGINE_N_CHARON_UP, NULL,
	        "charon is connected; it has %zu IKE_SAs of ours.", e->n_sas - e->n_foreign);
	peers_dirty_all(e);
}

static void list_sas(struct engine *e)
{
	struct peer *only = NULL;
	struct engine_effect *fx;

	if (!e->want_list && e->sas_seen && e->queues[Q_VERIFY].n == 1 &&
	        !e->queues[Q_VERIFY].head->twin)
		only = e->queues[Q_VERIFY].head;
	fx = op_start(e, &e->list_op, OP_LIST_SAS, ENGINE_FX_LIST_SAS, NULL, 0);
	if (!fx)
		return;
	fx->list.conn = only ? conn_name(e, only) : NULL;
	e->list_peer = only;
	e->list_seq = e->seq;
	if (!only)
		e->want_list = false;
}

/* Once they are known, names will do. */
static void list_conns(struct engine *e)
{
	struct engine_effect *fx =
	        op_start(e, &e->conns_op, OP_LIST_CONNS, ENGINE_FX_LIST_CONNS, NULL, 0);

	if (!fx)
		return;
	fx->rows = !e->conns_seen;
	e->want_conns = false;
	e->conns_seq = e->seq;
}

static void late(struct engine *e)
{
	const char *text = "no answer from charon in time";

	if (op_late(e, &e->key_op))
		charon_result(e, OP_KEY, -ETIMEDOUT, text);
	if (op_late(e, &e->list_op))
		charon_result(e, OP_LIST_SAS, -ETIMEDOUT, text);
	if (op_late(e, &e->conns_op))
		charon_result(e, OP_LIST_CONNS, -ETIMEDOUT, text);
}

/* So often that no acquire which comes to nothing is missed. */
static int64_t demand_look_at(const struct engine *e)
{
	if (!e->n_on_demand || e->charon != ENGINE_CHARON_READY)
		return ENGINE_NEVER;
	return e->list_not_before + DEMAND_LOOK_US;
}

/* A list is one answer to all who asked before it; those after it get the next. */
void charon_step(struct engine *e)
{
	late(e);
	if (e->charon == ENGINE_CHARON_DOWN || !e->policy || !e->have_key)
		return;
	if (e->charon == ENGINE_CHARON_READY && e->now.mono_us >= e->resync_at) {
		e->want_list = true;
		e->resync_at = e->now.mono_us + e->cfg.resync_us;
	}
	if (e->charon == ENGINE_CHARON_READY && e->now.mono_us >= e->conns_at && !e->conns_op.id) {
		e->want_conns = true;
		e->conns_at = e->now.mono_us + e->cfg.resync_us; /* until it is answered */
	}
	if (e->now.mono_us >= demand_look_at(e))
		e->want_list = true;
	if (!e->key_loaded && op_ready(e, &e->key_op))
		op_start(e, &e->key_op, OP_KEY, ENGINE_FX_LOAD_KEY, NULL, 0);
	if (e->want_conns && op_ready(e, &e->conns_op))
		list_conns(e);
	if ((e->want_list || e->queues[Q_VERIFY].n) && op_ready(e, &e->list_op) &&
	        e->now.mono_us >= e->list_not_before)
		list_sas(e);
}

void charon_result(struct engine *e, enum op_kind kind, int error, const char *text)
{
	struct op *op = kind == OP_KEY        ? &e->key_op
	                : kind == OP_LIST_SAS ? &e->list_op
	                                      : &e->conns_op;

	if (error) {
		op_fail(e, op);
		text_set(e->charon_text, sizeof(e->charon_text), text);
		if (kind == OP_LIST_SAS && !e->list_peer)
			e->want_list = true;
		if (kind == OP_LIST_SAS)
			e->list_peer = NULL;
		if (kind == OP_LIST_CONNS)
			e->want_conns = true;
		return;
	}
	op_ok(e, op);
	if (kind == OP_KEY)
		e->key_loaded = true;
	if (kind == OP_LIST_CONNS) {
		e->conns_seen = true;
		conns_next(e);
	}
	if (kind == OP_LIST_SAS) {
		if (!e->list_peer) {
			e->sas_seen = e->snapshot = true;
			if (e->charon != ENGINE_CHARON_READY)
				peers_dirty_all(e);
		}
		e->list_peer = NULL;
		e->list_not_before = e->now.mono_us + LIST_GAP_US;
	}
	if (e->charon == ENGINE_CHARON_SYNCING)
		e->resync_at = e->now.mono_us + e->cfg.resync_us;
	else if (!e->key_op.fails && !e->list_op.fails && !e->conns_op.fails)
		e->charon_text[0] = 0;
	become_ready(e);
}

static void sooner(int64_t *at, int64_t t)
{
	if (t < *at)
		*at = t;
}

int64_t charon_wakeup(const struct engine *e)
{
	int64_t at = ENGINE_NEVER;

	if (e->policy && e->have_key && (e->plane_op.id || e->plane_dirty))
		sooner(&at, e->plane_op.at);
	if (e->charon == ENGINE_CHARON_DOWN || !e->policy || !e->have_key)
		return at;
	if (e->key_op.id || !e->key_loaded)
		sooner(&at, e->key_op.at);
	if (e->conns_op.id || e->want_conns)
		sooner(&at, e->conns_op.at);
	if (e->list_op.id)
		sooner(&at, e->list_op.at);
	else if (e->want_list || e->queues[Q_VERIFY].n)
		sooner(&at,
		        e->list_op.at > e->list_not_before ? e->list_op.at : e->list_not_before);
	if (e->charon == ENGINE_CHARON_READY) {
		sooner(&at, e->resync_at);
		if (!e->list_op.id && !e->want_list)
			sooner(&at, demand_look_at(e));
		if (!e->conns_op.id)
			sooner(&at, e->conns_at);
		if (e->n_bad)
			sooner(&at, e->bad_due);
	}
	return at;
}

/* ---- the overlay device ---- */

static void plane_wanted(const struct engine *e, struct engine_plane *w)
{
	memset(w, 0, sizeof(*w));
	if (!e->self_active)
		return;
	w->wanted = true;
	w->addr4 = e->self->addr4;
	w->addr6 = e->self->addr6;
	w->overlay4 = e->policy->overlay4;
	w->overlay6 = e->policy->overlay6;
	w->mtu = e->cfg.mtu;
}

static bool prefix_equal(const struct policy_prefix *a, const struct policy_prefix *b)
{
	return a->len == b->len && addr_equal(&a->addr, &b->addr);
}

static bool plane_equal(const struct engine_plane *a, const struct engine_plane *b)
{
	return a->wanted == b->wanted && a->mtu == b->mtu && addr_equal(&a->addr4, &b->addr4) &&
	       addr_equal(&a->addr6, &b->addr6) && prefix_equal(&a->overlay4, &b->overlay4) &&
	       prefix_equal(&a->overlay6, &b->overlay6);
}

void plane_step(struct engine *e)
{
	struct engine_plane w;
	struct engine_effect *fx;

	if (op_late(e, &e->plane_op)) {
		op_fail(e, &e->plane_op);
		e->plane_dirty = true;
	}
	if (!e->policy || !e->have_key)
		return;
	plane_wanted(e, &w);
	if (!plane_equal(&w, &e->plane_want)) {
		op_drop(e, &e->plane_op);
		e->plane_dirty = true;
		e->plane_want = w;
	}
	if (!e->plane_dirty || !op_ready(e, &e->plane_op))
		return;
	fx = op_start(e, &e->plane_op, OP_PLANE, ENGINE_FX_PLANE, NULL, 0);
	if (!fx)
		return;
	e->plane_dirty = e->plane_done = false;
	fx->plane = w;
}

void plane_result(struct engine *e, int error, const char *text)
{
	if (!error) {
		op_ok(e, &e->plane_op);
		e->plane_done = true;
		e->plane_text[0] = 0;
		return;
	}
	if (!e->plane_op.fails)
		notice(e, ENGINE_WARNING, ENGINE_N_PLANE_FAILED, NULL,
		        "The overlay's addresses or routes could not be set: %s; it is tried "
		        "again.",
		        text);
	op_fail(e, &e->plane_op);
	e->plane_dirty = true;
	text_set(e->plane_text, sizeof(e->plane_text), text);
}
