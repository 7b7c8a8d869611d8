/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whoever was let in is a complete member when all with whom it should be connected at any time have
 * admitted it, which is when their tunnels are up; or after a while: then who is missing is told.
 * Before that it takes no joins and answers no sessions as a seed does.
 */
#include "engine/join_internal.h"

#include <stdio.h>
#include <string.h>

#define NAMED 8U /* of those missing */

void complete_begin(struct engine *e)
{
	e->join->joining = true;
	e->join->complete_us = e->now.mono_us + JOIN_COMPLETE_US;
	cluster_complete(e->cluster, false);
}

static bool is_awaited(const struct peer *p)
{
	return p->want && p->desired && !p->on_demand && p->state != ENGINE_PEER_UP;
}

static size_t missing(const struct engine *e, char *names, size_t size)
{
	size_t n = 0, at = 0;

	for (size_t i = 0; i < e->n_peers; i++) {
		if (!is_awaited(e->peers[i]))
			continue;
		if (n++ < NAMED && at < size)
			at += (size_t)snprintf(names + at, size - at, "%s%s", n > 1 ? ", " : "",
			        e->peers[i]->name);
	}
	if (n > NAMED && at < size)
		snprintf(names + at, size - at, " and %zu more", n - NAMED);
	return n;
}

static void done(struct engine *e, size_t n, const char *names)
{
	e->join->joining = false;
	e->join->complete_us = ENGINE_NEVER;
	cluster_complete(e->cluster, true);
	if (n)
		notice(e, ENGINE_WARNING, ENGINE_N_JOINED, NULL,
		        "This node is a member, but not connected yet with %zu of those it should "
		        "be connected with: %s.",
		        n, names);
	else
		notice(e, ENGINE_NOTICE, ENGINE_N_JOINED, NULL,
		        "This node is a member, and all have admitted it.");
}

void complete_step(struct engine *e)
{
	char names[ENGINE_TEXT_MAX] = "";
	bool late = e->now.mono_us >= e->join->complete_us;
	size_t n;

	if (!e->join->joining)
		return;
	if (!late && (!e->policy || !e->self_active || e->charon != ENGINE_CHARON_READY ||
	                     !e->merged || !e->plane_up))
		return;
	n = missing(e, names, sizeof(names));
	if (!n || late)
		done(e, n, names);
}

int64_t complete_wakeup(const struct engine *e)
{
	return e->join->joining ? e->join->complete_us : ENGINE_NEVER;
}
