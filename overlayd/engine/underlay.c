/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the cluster's nodes are on the underlay: what goes there in clear to a port of the cluster
 * is dropped. That holds for every peer of the policy, admitted or not, active or not, and also
 * while we are no member ourselves; so it hangs on the policy alone and not on tunnels.
 */
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

#define RESOLVE_REST_US 600000000 /* between two rounds of those */

static bool is_among(const struct policy_addr *v, size_t n, const struct policy_addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (addr_equal(&v[i], a))
			return true;
	return false;
}

static bool is_own(const struct engine *e, const struct policy_addr *a)
{
	return is_among(e->underlay, e->n_underlay, a);
}

/*
 * An SA that began at an address which is gone is built anew. charon is told to leave that to us
 * (roam_events in its drop-in): where it starts children again by itself, two of different peers can
 * come to have one reqid, and then its libipsec sends one peer's packets to the other.
 */
void underlay_own(struct engine *e, const struct policy_addr *addrs, size_t n)
{
	struct policy_addr old[ENGINE_UNDERLAY_MAX];
	size_t n_old = e->n_underlay;

	e->underlay_us = e->now.mono_us;
	memcpy(old, e->underlay, sizeof(old));
	e->n_underlay = n < ENGINE_UNDERLAY_MAX ? n : ENGINE_UNDERLAY_MAX;
	if (n)
		memcpy(e->underlay, addrs, e->n_underlay * sizeof(*addrs));
	for (struct sa *sa = e->sa_head; sa; sa = sa->all_next) {
		if (!sa->peer || !is_among(old, n_old, &sa->local_host) ||
		        is_own(e, &sa->local_host))
			continue;
		sa->asked = true;
		sa_judge(e, sa);
	}
}

static void add(
        const struct engine *e, struct policy_addr *addrs, size_t *n, const struct policy_addr *a)
{
	if (*n < CANDIDATES_MAX && a->family && !is_own(e, a))
		addrs[(*n)++] = *a;
}

/* Literal addresses and resolved names, whatever their port. Returns their digest. */
static uint64_t known(
        const struct engine *e, const struct peer *p, struct policy_addr *addrs, size_t *n)
{
	uint64_t h = DIGEST_START;

	*n = 0;
	if (IMPAIRED(IMPAIR_GUARD_ADMITTED_ONLY) && !fw_wanted(e, p))
		return h;
	for (size_t i = 0; p->want && i < p->want->n_endpoints && i < POLICY_ENDPOINTS_MAX; i++) {
		add(e, addrs, n, &p->want->endpoints[i].addr);
		for (size_t j = 0; p->names && j < p->names->n[i]; j++)
			add(e, addrs, n, &p->names->addr[i][j]);
	}
	for (size_t i = 0; i < *n; i++)
		h = digest_addr(h, &addrs[i]);
	return h;
}

static void fill(struct engine *e, struct peer *p, struct engine_fw_underlay *out)
{
	struct policy_addr addrs[CANDIDATES_MAX], *copy;
	size_t n;

	p->under_sent = known(e, p, addrs, &n);
	copy = n ? arena_alloc(e, n * sizeof(*copy)) : NULL;
	if (copy)
		memcpy(copy, addrs, n * sizeof(*copy));
	else
		n = 0;
	out->peer = arena_str(e, p->name);
	out->addrs = copy;
	out->n = p->under_sent_n = (uint16_t)n;
}

void underlay_step(struct engine *e, struct peer *p)
{
	struct policy_addr addrs[CANDIDATES_MAX];
	struct engine_effect *fx;
	uint64_t h;
	size_t n;

	if (p->under_op.id)
		return;
	h = known(e, p, addrs, &n);
	if (n ? p->under == FW_YES && p->under_has == h : p->under == FW_NO)
		return;
	/* The table that is on its way has it; and nobody is let go before he is revoked. */
	if (!fw_table_ready(e) || (!n && p->revoking))
		return;
	if (!op_ready(e, &p->under_op)) {
		peer_wake(p, p->under_op.at);
		return;
	}
	fx = op_start(e, &p->under_op, OP_UNDERLAY, ENGINE_FX_FW_UNDERLAY, p, 0);
	if (!fx)
		return;
	p->under = FW_MAYBE;
	fill(e, p, &fx->fw_underlay);
}

void underlay_result(struct engine *e, struct peer *p, int error, const char *text)
{
	if (!error) {
		op_ok(e, &p->under_op);
		p->under = p->under_sent_n ? FW_YES : FW_NO;
		p->under_has = p->under_sent;
		return;
	}
	op_fail(e, &p->under_op);
	peer_degrade(e, p, "the firewall did not take its underlay addresses: %s", text);
	if (p->under_op.fails == 2)
		e->base_dirty = true;
}

void underlay_base_fill(struct engine *e, struct engine_fw_base *b)
{
	struct engine_fw_underlay *v = arena_alloc(e, (e->n_peers + 1) * sizeof(*v));

	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		op_drop(e, &p->under_op);
		p->under_sent_n = 0;
		if (v)
			fill(e, p, &v[b->n_underlays]);
		if (p->under_sent_n)
			b->n_underlays++;
		if (p->under_sent_n || p->under != FW_NO)
			p->under = FW_MAYBE;
	}
	b->underlays = v;
}

void underlay_base_done(struct peer *p)
{
	p->under = p->under_sent_n ? FW_YES : FW_NO;
	p->under_has = p->under_sent;
}

/* ---- names ---- */

static bool has_names(const struct peer *p)
{
	for (size_t i = 0; p->want && i < p->want->n_endpoints && i < POLICY_ENDPOINTS_MAX; i++)
		if (!p->want->endpoints[i].addr.family)
			return true;
	return false;
}

/* When to ask for its names again: sooner while a tunnel waits, and while one has no address. */
static int64_t resolve_at(const struct peer *p, bool waiting)
{
	int64_t gap = waiting ? RESOLVE_AGAIN_US : RESOLVE_REST_US;

	if (p->resolve_next || !p->resolved_us)
		return 0;
	for (size_t i = 0; i < p->want->n_endpoints && i < POLICY_ENDPOINTS_MAX; i++)
		if (!p->want->endpoints[i].addr.family && (!p->names || !p->names->n[i]))
			gap = waiting ? RESOLVE_SOON_US : RESOLVE_AGAIN_US;
	return p->resolved_us + gap;
}

static void resolve(struct engine *e, struct peer *p, size_t i, bool waiting)
{
	struct engine_effect *fx;

	p->resolve_next = (uint8_t)i;
	if (!op_ready(e, &p->resolve_op)) {
		peer_wake(p, p->resolve_op.at);
		return;
	}
	if (!waiting && e->n_flights[OP_RESOLVE] >= RESOLVE_WINDOW) {
		queue_add(e, Q_RESOLVE, p);
		return;
	}
	fx = op_start(e, &p->resolve_op, OP_RESOLVE, ENGINE_FX_RESOLVE, p, 0);
	if (fx)
		fx->resolve.host = arena_str(e, p->want->endpoints[i].host);
}

/* One name after the other; a round begins when the last one is old enough. */
void names_step(struct engine *e, struct peer *p)
{
	bool waiting = p->desired && !p->best && e->charon == ENGINE_CHARON_READY;
	size_t i = p->resolve_next;

	if (p->resolve_op.id || !has_names(p))
		return;
	if (e->now.mono_us >= resolve_at(p, waiting)) {
		while (i < p->want->n_endpoints && p->want->endpoints[i].addr.family)
			i++;
		if (i < p->want->n_endpoints && i < POLICY_ENDPOINTS_MAX) {
			resolve(e, p, i, waiting);
			return;
		}
		p->resolve_next = 0;
		p->resolved_us = e->now.mono_us ? e->now.mono_us : 1;
	}
	peer_wake(p, resolve_at(p, waiting));
}

/* Sorted, so that a name server that rotates its answers changes nothing. */
static void insert_sorted(struct policy_addr *v, size_t n, const struct policy_addr *a)
{
	for (; n && (v[n - 1].family > a->family ||
	                    (v[n - 1].family == a->family &&
	                            memcmp(v[n - 1].bytes, a->bytes, sizeof(a->bytes)) > 0));
	        n--)
		v[n] = v[n - 1];
	v[n] = *a;
}

void names_resolved(struct engine *e, struct peer *p, const struct engine_event *ev)
{
	size_t i = p->resolve_next, n = 0;

	if (!p->want || i >= p->want->n_endpoints || i >= POLICY_ENDPOINTS_MAX) {
		op_drop(e, &p->resolve_op);
		return;
	}
	if (ev->type == ENGINE_EV_RESOLVED && !ev->resolved.error) {
		if (!p->names)
			p->names = mem_alloc(e, sizeof(*p->names));
		for (; p->names && n < ev->resolved.n && n < ENGINE_RESOLVED_MAX; n++)
			insert_sorted(p->names->addr[i], n, &ev->resolved.addrs[n]);
		if (p->names)
			p->names->n[i] = (uint8_t)n;
		op_ok(e, &p->resolve_op);
	} else {
		op_fail(e, &p->resolve_op);
		if (p->desired && !p->best)
			peer_degrade(e, p, "the endpoint's name %s could not be resolved",
			        p->want->endpoints[i].host);
	}
	p->resolve_next = (uint8_t)(i + 1); /* the next name; this one again in the next round */
}
