/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tunnels on demand: packets wake the kernel's traps, and idle tunnels end. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#define LAST_US (60 * US) /* before the end: the last ones have settled by then */

const struct fconn *demand_conn(const struct node *n, const char *peer)
{
	char name[ENGINE_CONN_MAX];

	snprintf(name, sizeof(name), "ovl.%s", peer);
	for (size_t i = 0; i < n->charon.n_conns; i++)
		if (!strcmp(n->charon.conns[i].name, name))
			return &n->charon.conns[i];
	return NULL;
}

bool demand_pair(const struct world *w, const struct node *n, const struct policy_peer *self,
        const struct policy_peer *pp)
{
	return n->traps && self->n_endpoints && pp->n_endpoints &&
	       policy_on_demand(w->policy, self, pp);
}

/* The kernel asks only where it has no SA, and not again while charon is at it. */
static bool is_quiet(const struct node *n, const struct fconn *c)
{
	for (size_t i = 0; i < n->charon.n_sas; i++) {
		const struct fsa *sa = &n->charon.sas[i];

		if (!strcmp(sa->conn, c->name) &&
		        (sa->child || (sa->state == ENGINE_IKE_CONNECTING && sa->initiator)))
			return false;
	}
	return true;
}

static void packet(struct world *w, struct node *n)
{
	const struct fconn *c;

	if (!n->charon.n_conns)
		return;
	c = &n->charon.conns[rnd_below(w, n->charon.n_conns)];
	if (c->trap && is_quiet(n, c))
		charon_acquire(w, n, c);
}

static void idle(struct world *w, struct node *n)
{
	struct fsa *sa;
	const struct fconn *c;

	if (!n->charon.n_sas)
		return;
	sa = &n->charon.sas[rnd_below(w, n->charon.n_sas)];
	c = strlen(sa->conn) > 4 ? demand_conn(n, sa->conn + 4) : NULL;
	if (c && c->trap && sa->state == ENGINE_IKE_ESTABLISHED && sa->other >= 0 &&
	        sa->other < w->n_nodes)
		charon_child_end(w, n, sa);
}

static void traffic(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (w->core.now > w->core.end - LAST_US)
		return;
	if (n->charon.up && chance(w, 0.7))
		packet(w, n);
	else if (n->charon.up)
		idle(w, n);
	at(w, w->core.now + rnd_us(w, 100000, 20 * US), n, traffic, NULL);
}

void demand_start(struct world *w)
{
	for (int i = 0; i < w->n_nodes; i++) {
		w->nodes[i].traps = chance(w, 0.85);
		at(w, rnd_us(w, 5 * US, 20 * US), &w->nodes[i], traffic, NULL);
	}
}
