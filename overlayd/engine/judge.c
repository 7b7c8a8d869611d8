/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which SAs may stay: the verdict on each, and the end of the others, on sight and until gone. */
#include "engine/internal.h"

#include <stdio.h>

/*
 * The initiator's charon may have had a reason that is gone by now (libipsec had not heard of our
 * address yet): so it goes first. The other end waits for it.
 */
static int64_t childless_max(const struct engine *e, const struct sa *sa)
{
	int64_t most = e->cfg.initiate_timeout_us;

	return sa->initiator && CHILDLESS_US < most ? CHILDLESS_US : most;
}

/* A list of late says so too: an event may have been missed. */
static bool seen_childless(const struct engine *e, const struct sa *sa)
{
	return sa->seen_us >= sa->childless_us + childless_max(e, sa) / 2;
}

bool sa_childless(const struct engine *e, const struct sa *sa)
{
	return sa->state == ENGINE_IKE_ESTABLISHED && !sa->gone && !sa_up(sa) &&
	       e->now.mono_us - sa->childless_us >= childless_max(e, sa) && seen_childless(e, sa);
}

static enum sa_fault judge_age(const struct engine *e, const struct sa *sa)
{
	const struct peer *p = sa->peer;
	int64_t age = e->now.mono_us - sa->since_us;

	switch (sa->state) {
	case ENGINE_IKE_CONNECTING:
		if (p && sa->initiator &&
		        ((!p->trying && !sa->inherited && !p->on_demand) ||
		                age >= e->cfg.initiate_timeout_us))
			return SA_STALE;
		return age >= e->cfg.halfopen_max_us ? SA_STALE : SA_FINE;
	case ENGINE_IKE_ESTABLISHED:
		if (sa->unnamed || !p || p->trying || (p->best && p->best != sa))
			return SA_FINE; /* being mended, or a duplicate */
		return sa_childless(e, sa) ? SA_STALE : SA_FINE;
	case ENGINE_IKE_LEAVING:
	case ENGINE_IKE_OTHER:
		return age >= LEAVING_MAX_US ? SA_STALE : SA_FINE;
	}
	return SA_FINE;
}

static enum sa_fault judge(const struct engine *e, const struct sa *sa)
{
	const struct peer *p = sa->peer;

	if (sa->asked)
		return SA_ASKED;
	if (sa->unnamed)
		return judge_age(e, sa);
	if (sa->join)
		return join_sa_judge(e, sa);
	if (IMPAIRED(IMPAIR_IGNORE_UNKNOWN_SA))
		return SA_FINE;
	if (!p || !p->desired)
		return SA_UNKNOWN;
	if (sa->ids_known && (!sa->ids_good || sa->self_epoch != e->self_epoch))
		return SA_IDENTITY;
	for (size_t i = 0; i < sa->n_children; i++)
		if (sa->children[i].state == ENGINE_CHILD_INSTALLED &&
		        sa->children[i].fit == CHILD_BAD)
			return SA_SELECTORS;
	if (sa->crowded || sa->n_children >= ENGINE_CHILDREN_MAX)
		return SA_CROWDED;
	return judge_age(e, sa);
}

static const char *fault_text(enum sa_fault fault)
{
	switch (fault) {
	case SA_FINE:
		return "is fine";
	case SA_UNKNOWN:
		return "belongs to no wanted peer";
	case SA_IDENTITY:
		return "was built with another key or identity than the policy's";
	case SA_SELECTORS:
		return "has other selectors than the two overlay addresses";
	case SA_STALE:
		return "came to nothing in time";
	case SA_DUPLICATE:
		return "is a duplicate";
	case SA_CROWDED:
		return "has more CHILD_SAs than two nodes need";
	case SA_LOST:
		return "is in no list of charon's any more, and nothing said that it ended";
	case SA_FOREIGN:
		return "covers overlay addresses";
	case SA_ASKED:
		return "is to be built anew";
	}
	return "";
}

void sa_not_stale(struct engine *e, struct sa *sa)
{
	if (sa->fault != SA_STALE || sa->op.id || sa->op.fails)
		return; /* too late: its end is asked for */
	sa->fault = SA_FINE;
	sa->since_us = sa->childless_us = e->now.mono_us;
	e->n_bad--;
}

/* In no list, and nothing said that it ended: charon is made to say so. */
void sa_lost(struct engine *e, struct sa *sa)
{
	sa->lost = true;
	sa->ended_seq = 0;
	if (sa->peer)
		peer_dirty(e, sa->peer);
	if (sa->fault || (sa->peer && sa->peer->revoking))
		return;
	sa->fault = SA_LOST;
	e->n_bad++;
	e->bad_due = 0;
}

void sa_duplicate(struct engine *e, struct sa *sa)
{
	if (sa->fault)
		return;
	sa->fault = SA_DUPLICATE;
	e->n_bad++;
	e->bad_due = 0;
}

/* A fault stays until the SA is gone. */
void sa_judge(struct engine *e, struct sa *sa)
{
	if (sa->fault || sa->gone)
		return;
	sa->fault = judge(e, sa);
	if (!sa->fault)
		return;
	e->n_bad++;
	e->bad_due = 0;
	if (sa->peer && sa->peer->revoking)
		return; /* told already, and ended there */
	if (sa->fault == SA_UNKNOWN || sa->fault == SA_IDENTITY || sa->fault == SA_SELECTORS ||
	        sa->fault == SA_CROWDED)
		notice(e, ENGINE_WARNING, ENGINE_N_UNKNOWN_SA, sa->peer ? sa->peer->name : NULL,
		        "IKE_SA number %u %s; it is ended.", sa->id, fault_text(sa->fault));
	if (sa->peer && sa->fault == SA_SELECTORS && !sa->peer->attempts)
		sa->peer->attempts = 1;
	if (sa->peer && sa->fault == SA_SELECTORS)
		peer_degrade(e, sa->peer, "its SA %s: do both nodes have the same policy?",
		        fault_text(sa->fault));
}

static int64_t judge_again(const struct engine *e, const struct sa *sa)
{
	switch (sa->state) {
	case ENGINE_IKE_CONNECTING:
		return sa->since_us +
		       (sa->initiator ? e->cfg.initiate_timeout_us : e->cfg.halfopen_max_us);
	case ENGINE_IKE_ESTABLISHED:
		if (sa_up(sa))
			return ENGINE_NEVER;
		if (e->now.mono_us < sa->childless_us + childless_max(e, sa) / 2)
			return sa->childless_us + childless_max(e, sa) / 2;
		return sa->childless_us + childless_max(e, sa);
	case ENGINE_IKE_LEAVING:
	case ENGINE_IKE_OTHER:
		return sa->since_us + LEAVING_MAX_US;
	}
	return ENGINE_NEVER;
}

void sas_judge_peer(struct engine *e, struct peer *p)
{
	for (struct sa *sa = p->sas; sa; sa = sa->next) {
		int64_t again = judge_again(e, sa);

		sa_judge(e, sa);
		if (!sa->fault && !sa->gone && sa->state == ENGINE_IKE_ESTABLISHED && !sa_up(sa) &&
		        e->now.mono_us >= sa->childless_us + childless_max(e, sa) / 2 &&
		        !seen_childless(e, sa))
			charon_want_list(e);
		if (!sa->fault && !sa->gone && again > e->now.mono_us)
			peer_wake(p, again);
	}
}

static bool slot_free(const struct engine *e)
{
	return e->n_flights[OP_SA_TERMINATE] < e->cfg.end_window;
}

static void end(struct engine *e, struct sa *sa)
{
	struct engine_effect *fx =
	        op_start(e, &sa->op, OP_SA_TERMINATE, ENGINE_FX_TERMINATE, NULL, sa->id);

	if (!fx)
		return;
	fx->terminate.ike_id = sa->id;
	fx->terminate.force = true;
}

/* Ends what has a fault; a revocation ends its own peer's by name, in its order. */
void sas_end_bad(struct engine *e)
{
	if (!e->n_bad || e->charon == ENGINE_CHARON_DOWN || e->now.mono_us < e->bad_due)
		return;
	e->bad_due = ENGINE_NEVER;
	for (struct sa *sa = e->sa_head; sa; sa = sa->all_next) {
		if (!sa->fault || sa->gone || (sa->peer && sa->peer->revoking))
			continue;
		if (op_late(e, &sa->op))
			op_fail(e, &sa->op);
		if (op_ready(e, &sa->op) && slot_free(e))
			end(e, sa);
		if (!sa->op.id && op_ready(e, &sa->op))
			continue; /* no slot: an answer frees one and looks again */
		if (sa->op.at < e->bad_due)
			e->bad_due = sa->op.at;
	}
}

void sa_end_result(struct engine *e, uint32_t id, int error)
{
	struct sa *sa = sa_find(e, id);

	e->bad_due = 0;
	charon_want_list(e);
	if (!sa)
		return;
	op_fail(e, &sa->op); /* done is only what no list shows any more either */
	if (error)
		return;
	sa->ended_seq = e->seq;
	if (sa->lost)
		sa_free(e, sa);
}
