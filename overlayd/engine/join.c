/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Joining as a part of the engine: its events, its turn in each step, and what status sees. */
#include "engine/join_internal.h"

#include <errno.h>
#include <string.h>

int joins_new(struct engine *e)
{
	e->join = mem_alloc(e, sizeof(*e->join));
	if (!e->join)
		return -ENOMEM;
	e->join->slots_due = e->join->complete_us = ENGINE_NEVER;
	return 0;
}

void joins_free(struct engine *e)
{
	newcomer_free(e);
	join_calls_free(e);
	pending_free(e);
	mem_free(e, e->join, sizeof(*e->join));
	e->join = NULL;
}

void joins_event(struct engine *e, const struct engine_event *ev)
{
	switch (ev->type) {
	case ENGINE_EV_TICKET:
		newcomer_ticket(e, ev);
		return;
	case ENGINE_EV_JOIN_ANSWERED:
		newcomer_answered(e, ev);
		return;
	case ENGINE_EV_JOIN_CALL:
		join_called(e, ev);
		return;
	case ENGINE_EV_JOIN_GONE:
		join_hung_up(e, ev->join_call.id);
		return;
	case ENGINE_EV_JOIN_REJECT:
		pending_reject(e, &ev->own_key);
		return;
	case ENGINE_EV_ADMIT_SIGNED:
		guest_signed(e, ev);
		return;
	default:
		return;
	}
}

void joins_result(struct engine *e, enum op_kind kind, int error, const char *text)
{
	if (kind == OP_JOIN_SERVE)
		joins_serve_result(e, error, text);
	else if (kind == OP_JOIN_ASK)
		newcomer_not_begun(e);
	else if (kind == OP_ADMIT)
		guest_unsigned(e, text);
	else if (kind == OP_CLUSTER_KEY || kind == OP_TICKET)
		newcomer_result(e, kind, error, text);
}

void joins_step(struct engine *e)
{
	complete_step(e);
	joins_serve_step(e);
	guest_step(e);
	join_calls_step(e);
	join_slots_step(e);
	pending_step(e);
	newcomer_step(e);
	own_step(e);
}

int64_t joins_wakeup(const struct engine *e)
{
	int64_t at = joins_serve_wakeup(e), t;

	t = join_calls_wakeup(e);
	at = t < at ? t : at;
	t = guest_wakeup(e);
	at = t < at ? t : at;
	t = newcomer_wakeup(e);
	at = t < at ? t : at;
	t = complete_wakeup(e);
	at = t < at ? t : at;
	if (e->join->n_pending && e->join->pending_due < at)
		at = e->join->pending_due;
	return at;
}

/* ---- looking ---- */

void engine_join_look(const struct engine *e, struct engine_join_view *out)
{
	const struct join *j = e->join;

	memset(out, 0, sizeof(*out));
	out->cluster = out->name = out->seed = out->text = "";
	newcomer_look(e, out);
	out->complete = e->self_active && !j->joining;
	out->serving = j->has.on;
	out->serving_text = j->has.on ? "" : j->why_not ? j->why_not : j->serve_text;
	out->n_join_sas = j->n_slots;
	out->n_pending = j->n_pending;
}

const char *engine_newcomer_name(enum engine_newcomer_state state)
{
	switch (state) {
	case ENGINE_NEWCOMER_NONE:
		return "none";
	case ENGINE_NEWCOMER_ASKING:
		return "asking";
	case ENGINE_NEWCOMER_PENDING:
		return "pending";
	case ENGINE_NEWCOMER_REFUSED:
		return "refused";
	case ENGINE_NEWCOMER_JOINING:
		return "joining";
	case ENGINE_NEWCOMER_JOINED:
		return "joined";
	}
	return "?";
}
