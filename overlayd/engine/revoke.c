/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of a peer, in the order that keeps the cluster safe: out of the firewall, its TCP sockets
 * destroyed, its connection unloaded, its SAs terminated, and a list that shows none is left. The
 * firewall waits for nothing. What comes after it waits for it only for a moment, so that a kernel
 * that refuses does not keep the tunnels up; but the peer stays `revoking` until all is confirmed.
 */
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

#define PATIENCE_US 250000 /* for an earlier step that does not answer */

static bool identity_changed(const struct engine *e, const struct peer *p)
{
	bool key = memcmp(&p->key, &p->want->key, sizeof(p->key)) != 0;

	if (IMPAIRED(IMPAIR_KEEP_OLD_KEY))
		return !addr_equal(&p->addr4, &p->want->addr4);
	return key || p->cut || !addr_equal(&p->addr4, &p->want->addr4) ||
	       !addr_equal(&p->addr6, &p->want->addr6) || p->self_epoch != e->self_epoch;
}

static bool is_held(const struct peer *p)
{
	return p->claimed || p->fw != FW_NO || (p->in_charon && p->conn != CONN_NO) ||
	       p->conn_op.id;
}

bool revoke_needed(const struct engine *e, const struct peer *p)
{
	if (p->claimed && p->desired)
		return identity_changed(e, p);
	return !p->desired && is_held(p);
}

static const char *revoke_why(const struct engine *e, const struct peer *p)
{
	if (!e->self_active)
		return "this node is not an active member";
	if (!p->want)
		return p->claimed ? "it is no longer in the policy" : "it is not in the policy";
	if (!p->active)
		return "its time is over";
	if (!p->desired)
		return "nothing is allowed between it and this node";
	return "its key or address, or this node's own, changed";
}

void revoke_begin(struct engine *e, struct peer *p)
{
	p->revoking = true;
	p->revoke_since_us = e->now.mono_us;
	p->sockets_due = p->claimed && (p->fw != FW_NO || p->told_admitted);
	p->ended = p->verified = false;
	tunnel_stop(e, p);
	tunnel_count_refused(e, p, 0);
	if (p->conn_op.id && p->conn_op_loads) {
		op_drop(e, &p->conn_op);
		p->conn = CONN_MAYBE;
	}
	queue_remove(e, Q_LOAD, p);
	if (p->fw_op.id && p->fw_op_admits)
		p->fw = FW_MAYBE;
	op_drop(e, &p->fw_op);
	op_drop(e, &p->term_op);
	op_drop(e, &p->sockets_op);
	notice(e, ENGINE_NOTICE, ENGINE_N_REVOKING, p->name, "%s is revoked: %s.", p->name,
	        revoke_why(e, p));
}

static bool end_slot_free(const struct engine *e)
{
	return e->n_flights[OP_UNLOAD] + e->n_flights[OP_TERMINATE] < e->cfg.end_window;
}

static void sockets_step(struct engine *e, struct peer *p)
{
	struct engine_effect *fx;

	if (!p->sockets_due || p->sockets_op.id)
		return;
	if (!op_ready(e, &p->sockets_op)) {
		peer_wake(p, p->sockets_op.at);
		return;
	}
	fx = op_start(e, &p->sockets_op, OP_SOCKETS, ENGINE_FX_KILL_SOCKETS, p, 0);
	if (!fx)
		return;
	fx->fw_peer.peer = arena_str(e, p->name);
	fx->fw_peer.addr4 = p->addr4;
	fx->fw_peer.addr6 = p->addr6;
	fx->fw_peer.expires_mono_us = fx->fw_peer.expires_wall_s = ENGINE_NEVER;
}

/* The firewall has cut already; sockets are a courtesy to programs and not tried for ever. */
void revoke_sockets_result(struct engine *e, struct peer *p, int error, const char *text)
{
	if (!error || p->sockets_op.fails + 1 >= SOCKETS_TRIES) {
		if (error)
			notice(e, ENGINE_WARNING, ENGINE_N_FW_FAILED, p->name,
			        "TCP sockets to %s could not be destroyed (%s); they will time "
			        "out.",
			        p->name, text);
		op_ok(e, &p->sockets_op);
		p->sockets_due = false;
		return;
	}
	op_fail(e, &p->sockets_op);
}

static void terminate_step(struct engine *e, struct peer *p)
{
	struct engine_effect *fx;

	if (p->ended || p->term_op.id)
		return;
	if (!op_ready(e, &p->term_op)) {
		peer_wake(p, p->term_op.at);
		return;
	}
	if (!end_slot_free(e)) {
		queue_add(e, Q_END, p);
		return;
	}
	fx = op_start(e, &p->term_op, OP_TERMINATE, ENGINE_FX_TERMINATE, p, 0);
	if (!fx)
		return;
	fx->terminate.conn = conn_name(e, p);
	fx->terminate.force = true;
	fx->twin = p->twin;
}

void revoke_terminate_result(struct engine *e, struct peer *p, int error, const char *text)
{
	if (error) {
		op_fail(e, &p->term_op);
		peer_degrade(e, p, "charon did not end its SAs: %s", text);
		return;
	}
	op_land(e, &p->term_op);
	p->ended = true;
	p->ended_seq = e->seq;
	queue_add(e, Q_VERIFY, p);
}

/* A list came that was asked for after the terminate was confirmed: is anything left? */
static void verify(struct engine *e, struct peer *p)
{
	if (p->ended_seq >= e->list_seq)
		return;
	queue_remove(e, Q_VERIFY, p);
	if (p->sas) {
		p->ended = false;
		op_fail(e, &p->term_op);
		peer_degrade(e, p, "charon still lists an SA of it after ending it");
	} else {
		p->verified = true;
		op_ok(e, &p->term_op);
	}
	peer_dirty(e, p);
}

void revoke_verified(struct engine *e, const struct peer *only)
{
	struct peer *p = e->queues[Q_VERIFY].head, *next;

	for (; p; p = next) {
		next = p->links[Q_VERIFY].next;
		if (!only || only == p)
			verify(e, p);
	}
}

static void unload_step(struct engine *e, struct peer *p)
{
	if (p->conn == CONN_NO || p->conn_op.id)
		return;
	if (!op_ready(e, &p->conn_op)) {
		peer_wake(p, p->conn_op.at);
		return;
	}
	if (!end_slot_free(e)) {
		queue_add(e, Q_END, p);
		return;
	}
	conn_unload(e, p);
}

/* true: charon has nothing of it, confirmed */
static bool charon_part(struct engine *e, struct peer *p, bool fw_gone)
{
	int64_t soon = p->revoke_since_us + PATIENCE_US;

	if (!p->in_charon && !p->sas && p->conn == CONN_NO)
		return e->snapshot && e->conns_seen; /* unread is not empty */
	if (e->charon != ENGINE_CHARON_READY)
		return false;
	if (!fw_gone && e->now.mono_us < soon) {
		peer_wake(p, soon);
		return false;
	}
	unload_step(e, p);
	if (IMPAIRED(IMPAIR_UNLOAD_WITHOUT_TERMINATE))
		return p->conn == CONN_NO;
	if (p->conn != CONN_NO && p->conn_op.fails == 0) {
		if (e->now.mono_us < soon + PATIENCE_US) {
			peer_wake(p, soon + PATIENCE_US);
			return false;
		}
	}
	terminate_step(e, p);
	return p->conn == CONN_NO && p->ended && p->verified;
}

void revoke_step(struct engine *e, struct peer *p)
{
	bool fw_gone, charon_gone;

	fw_step(e, p);
	fw_gone = p->fw == FW_NO && e->base_once;
	if (fw_gone)
		sockets_step(e, p);
	charon_gone = charon_part(e, p, fw_gone);
	if (!fw_gone || p->sockets_due || !charon_gone)
		return;
	p->revoking = false;
	p->in_charon = p->twin = false;
	p->told_admitted = false;
	p->was_up = false;
	p->last_tries = 0;
	p->cleared = false;
	op_drop(e, &p->fw_op);
	op_drop(e, &p->conn_op);
	op_drop(e, &p->term_op);
	queue_remove(e, Q_END, p);
	queue_remove(e, Q_VERIFY, p);
	notice(e, ENGINE_NOTICE, ENGINE_N_REVOKED, p->name,
	        "%s is revoked: firewall, sockets, connection and SAs are confirmed to be gone.",
	        p->name);
	claim_release(e, p);
	peer_dirty(e, p);
}
