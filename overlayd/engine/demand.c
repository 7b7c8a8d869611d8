/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tunnels on demand: charon has a trap for the pair, the first packet at either end brings the SA
 * up, and it ends when it is idle. So nothing is initiated here, and no SA is no fault.
 *
 * Only pairs of which each end has an endpoint: an end that cannot dial could not reach the other
 * until that happens to send something, so such a pair is always connected. Both ends come to the
 * same answer from the policy. Until the plane has shown what it can do nothing is initiated.
 */
#include "engine/internal.h"

void demand_judge(struct engine *e, struct peer *p)
{
	bool wanted = p->desired && e->self->n_endpoints && p->want->n_endpoints &&
	              policy_on_demand(e->policy, e->self, p->want);
	bool was = p->on_demand;

	p->on_demand = wanted && !e->plane_trapless;
	p->no_traps = wanted && e->plane_trapless;
	e->n_on_demand += p->on_demand;
	e->n_on_demand -= was;
	if (p->on_demand && !was)
		tunnel_stop(e, p);
	if (was && !p->on_demand)
		p->attempts = 0;
}

/* What the plane that is up can do. */
void demand_plane(struct engine *e, bool traps)
{
	if (e->plane_trapless == !traps)
		return;
	e->plane_trapless = !traps;
	peers_dirty_all(e);
}

/* Once, for as long as it is so. */
void demand_tell(struct engine *e)
{
	bool lacks = false;

	if (!e->plane_trapless || !e->policy || e->policy->mesh == POLICY_MESH_FULL) {
		e->told_trapless = false;
		return;
	}
	for (size_t i = 0; i < e->n_peers && !lacks && !e->told_trapless; i++)
		lacks = e->peers[i]->no_traps;
	if (!lacks)
		return;
	e->told_trapless = true;
	notice(e, ENGINE_WARNING, ENGINE_N_NO_TRAPS, NULL,
	        "The policy wants tunnels on demand (mesh), which this node's data plane cannot "
	        "make: all its tunnels are kept up; kernel ESP can.");
}

/* Without an SA: the trap waits (conns.c loads it). */
void demand_step(struct engine *e, struct peer *p)
{
	if (!p->attempts)
		return;
	if (e->now.mono_us >= p->try_until_us)
		p->attempts = 0;
	else
		peer_wake(p, p->try_until_us);
}

void demand_failed(struct engine *e, struct peer *p)
{
	char addr[64];

	if (!p->on_demand || p->best || p->revoking || !p->ep_addr.family)
		return;
	if (p->attempts < UINT32_MAX)
		p->attempts++;
	p->try_until_us = e->now.mono_us + DEMAND_FORGET_US;
	policy_addr_print(&p->ep_addr, addr, sizeof(addr));
	peer_degrade(
	        e, p, "a packet wanted a tunnel to %s port %u, and none came up", addr, p->ep_port);
	p->ep++;
	peer_dirty(e, p);
}
