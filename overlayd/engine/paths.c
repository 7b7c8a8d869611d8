/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ways to a peer that the policy does not name: what the peer itself says of where it is (the map,
 * where.c). They are tried where the pair has no other: neither end has endpoints, or the peer's
 * have all failed. A pair of which we alone have endpoints listens, as ever. They open nothing and
 * are never in the firewall: whoever answers there must hold the peer's key.
 *
 * A member that lies makes us send to a stranger: TRIES_BURST tries, then one in TRIES_US, for each
 * member that does, whatever it says in the meantime. A try is an IKE_SA_INIT that charon sends at
 * most four times; so four packets a minute from each node.
 */
#include "engine/internal.h"

#include <string.h>

#define TRIES_BURST 8U
#define TRIES_US 60000000
#define WHERE_FIRST_US 200000 /* others may be wanted in the same moment */
#define WHERE_MIN_US 1000000
#define WHERE_DOUBLE 5U /* how often the time between two is doubled */
#define WHERE_ALL 6U    /* asked so often in vain: now for all that there is */

static bool is_own(const struct engine *e, const struct policy_addr *a)
{
	for (size_t i = 0; i < e->n_underlay; i++)
		if (addr_equal(&e->underlay[i], a))
			return true;
	return false;
}

static bool is_overlay(const struct engine *e, const struct policy_addr *a)
{
	const struct policy *pol = e->policy;

	return (pol->overlay4.addr.family && policy_prefix_contains(&pol->overlay4, a)) ||
	       (pol->overlay6.addr.family && policy_prefix_contains(&pol->overlay6, a));
}

/* Into a site behind NAT there is no way from outside. */
static bool site_open(const struct engine *e, size_t theirs, size_t ours)
{
	return theirs == ours || !e->policy->sites[theirs].behind_nat;
}

/* ---- ours ---- */

/* Another overlay may have addresses here too; but what is ours is never said. */
void paths_own(struct engine *e)
{
	struct policy_addr addrs[ENGINE_UNDERLAY_MAX];
	size_t n = 0;

	if (!e->policy || !e->underlay_known)
		return;
	for (size_t i = 0; i < e->n_underlay; i++)
		if (!is_overlay(e, &e->underlay[i]))
			addrs[n++] = e->underlay[i];
	cluster_links(e->cluster, addrs, n, e->policy->port);
}

/* ---- theirs ---- */

size_t paths_of(const struct engine *e, const struct peer *p, struct policy_addr *addrs, size_t max)
{
	size_t n = 0;

	if (!p->there || !p->want || !e->self || !site_open(e, p->want->site, e->self->site))
		return 0;
	for (size_t i = 0; i < p->there->n && n < max; i++)
		if (!is_own(e, &p->there->addrs[i]) && !is_overlay(e, &p->there->addrs[i]))
			addrs[n++] = p->there->addrs[i];
	return n;
}

static bool is_pathless(const struct engine *e, const struct peer *p)
{
	return p->want && e->self && !p->want->n_endpoints && !e->self->n_endpoints;
}

/* By the map alone the one with the lower fingerprint begins as well, if it can be. */
bool paths_first_is_us(const struct engine *e, const struct peer *p)
{
	struct policy_addr addrs[SESSION_LINKS_MAX];

	if (!is_pathless(e, p) || !paths_of(e, p, addrs, SESSION_LINKS_MAX))
		return false;
	return !site_open(e, e->self->site, p->want->site) || !e->n_underlay ||
	       policy_key_compare(&e->own_key, &p->key) < 0;
}

static void refill(const struct engine *e, struct peer *p)
{
	int64_t more = (e->now.mono_us - p->path_us) / TRIES_US;

	p->path_us += more * TRIES_US;
	p->path_tries = more < p->path_tries ? (uint8_t)(p->path_tries - more) : 0;
}

/* Its links are to be tried, beside n addresses that the policy gives. */
bool paths_open(struct engine *e, struct peer *p, size_t n)
{
	if (is_pathless(e, p))
		return true;
	if (!p->want || !p->want->n_endpoints || (n ? p->attempts < n : !p->resolve_op.fails))
		return false;
	refill(e, p);
	return p->path_tries < TRIES_BURST;
}

/* May its link be tried now? Else it is looked at again then. */
bool paths_may_try(struct engine *e, struct peer *p)
{
	refill(e, p);
	if (p->path_tries < TRIES_BURST)
		return true;
	peer_wake(p, p->path_us + TRIES_US);
	return false;
}

void paths_tried(struct engine *e, struct peer *p)
{
	refill(e, p);
	p->path_tries += p->path_tries < TRIES_BURST;
}

/* ---- asking ---- */

/* It has no way now: its links would help. */
void paths_need(struct engine *e, struct peer *p)
{
	if (!e->is_signed || p->path_needed)
		return;
	p->path_needed = true;
	e->where_n = 0;
	if (e->where_at > e->now.mono_us + WHERE_FIRST_US)
		e->where_at = e->now.mono_us + WHERE_FIRST_US;
	if (e->where_at < e->where_last + WHERE_MIN_US)
		e->where_at = e->where_last + WHERE_MIN_US;
}

static void news_take(struct engine *e, const char *name)
{
	struct peer *p = peer_find(e, name, strlen(name));
	struct session_links links;

	if (!p || !p->want || !cluster_links_of(e->cluster, name, &links))
		return;
	if (!p->there)
		p->there = mem_alloc(e, sizeof(*p->there));
	if (!p->there)
		return; /* the next answer, or the next word of it, brings them again */
	*p->there = links;
	if (is_pathless(e, p) && !p->best && !p->trying) {
		op_drop(e, &p->init_op);
		p->grace_until_us = e->now.mono_us + e->cfg.second_grace_us;
	}
	peer_dirty(e, p);
}

static bool any_needs(struct engine *e)
{
	bool any = false;

	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		p->path_needed = p->path_needed && p->desired && !p->best;
		any |= p->path_needed;
	}
	return any;
}

void paths_step(struct engine *e)
{
	const char *name;

	while ((name = cluster_links_news(e->cluster)))
		news_take(e, name);
	if (e->now.mono_us < e->where_at)
		return;
	e->where_at = ENGINE_NEVER;
	if (!any_needs(e))
		return;
	cluster_where(e->cluster, e->where_n == WHERE_ALL);
	if (e->where_n <= WHERE_ALL)
		e->where_n++;
	e->where_last = e->now.mono_us;
	e->where_at = e->now.mono_us +
	              (WHERE_MIN_US << (e->where_n < WHERE_DOUBLE ? e->where_n : WHERE_DOUBLE));
	e->where_at += jitter_us(e, (e->where_at - e->now.mono_us) / 4);
}
