/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One peer's tunnel: who initiates, which endpoint, when again; and which of two SAs stays. By the
 * rule the end whose peer has endpoints initiates; if both, the lower fingerprint. The other end
 * tries as well once the first has had its time; at once where a tunnel was lost: who has no
 * endpoints is tried where its tunnel was, as it may be there yet, and a NAT still lets us through.
 */
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

#define NARROW_US 60000000    /* so long the two policies may take to agree */
#define NARROW_MOST 4         /* doublings of it */
#define MOVE_GRACE_US 2000000 /* how long the second end lets the first build an SA anew */
#define EARLY_TRIES 8         /* that are refused, before the delays grow */
#define LOST_US 50000
#define BARE_US 2000000 /* the last address went: another one comes soon, most often */
#define LAST_TRIES 1    /* of the place where its tunnel was */
/* Those that refuse for longer: each this often, all of them together so often. */
#define REFUSED_US 5000000
#define REFUSED_PER_S 2

static bool is_own(const struct engine *e, const struct policy_addr *a, uint16_t port)
{
	for (size_t i = 0; port == e->policy->port && i < e->n_underlay; i++)
		if (addr_equal(&e->underlay[i], a))
			return true;
	return false;
}

/* Without an own address of its family there is no way there, and charon would find out in 8 s. */
static bool may_reach(const struct engine *e, const struct policy_addr *a)
{
	for (size_t i = 0; i < e->n_underlay; i++)
		if (e->underlay[i].family == a->family)
			return true;
	return !e->n_underlay;
}

struct candidates {
	struct policy_addr *addrs;
	uint16_t *ports;
	size_t n, max;
	bool all; /* also those of a family that we have no address of */
};

static void add(
        const struct engine *e, struct candidates *c, const struct policy_addr *a, uint16_t port)
{
	if (c->n >= c->max || is_own(e, a, port) || (!c->all && !may_reach(e, a)))
		return;
	c->addrs[c->n] = *a;
	c->ports[c->n++] = port;
}

/* Its endpoints in the written order, names as they were resolved. */
static void collect(const struct engine *e, const struct peer *p, struct candidates *c)
{
	for (size_t i = 0; p->want && i < p->want->n_endpoints && i < POLICY_ENDPOINTS_MAX; i++) {
		const struct policy_endpoint *ep = &p->want->endpoints[i];

		if (ep->addr.family)
			add(e, c, &ep->addr, ep->port);
		for (size_t j = 0; !ep->addr.family && p->names && j < p->names->n[i]; j++)
			add(e, c, &p->names->addr[i][j], ep->port);
	}
}

/* Behind them where it says it is. */
static void collect_links(const struct engine *e, const struct peer *p, struct candidates *c)
{
	struct policy_addr addrs[SESSION_LINKS_MAX];
	size_t n = paths_of(e, p, addrs, SESSION_LINKS_MAX);

	for (size_t i = 0; i < n; i++)
		add(e, c, &addrs[i], p->there->port);
}

static void candidates(const struct engine *e, const struct peer *p, struct candidates *c)
{
	c->all = false;
	collect(e, p, c);
	if (c->n)
		return;
	c->all = true;
	collect(e, p, c);
}

static bool ep_is_last(const struct peer *p)
{
	return p->ep_port == p->last_port && addr_equal(&p->ep_addr, &p->last_addr);
}

/* While the tunnel is up it is named only if it came up by it: no need to load anew for that. */
static bool last_counts(const struct peer *p)
{
	return p->last_tries && p->want && !p->want->n_endpoints && !p->on_demand &&
	       (!p->best || ep_is_last(p));
}

static void last_seen(struct peer *p)
{
	p->last_addr = p->best->remote_host;
	p->last_port = p->best->remote_port;
	p->last_tries = p->last_addr.family ? LAST_TRIES : 0;
}

/* The endpoint that the connection should name; an established SA's stays while it is listed. */
void tunnel_choose(struct engine *e, struct peer *p)
{
	struct policy_addr addrs[CANDIDATES_MAX];
	uint16_t ports[CANDIDATES_MAX];
	struct candidates c = {.addrs = addrs, .ports = ports, .max = CANDIDATES_MAX};
	size_t n_written, n;

	if (last_counts(p)) {
		p->ep_addr = p->last_addr;
		p->ep_port = p->last_port;
		p->ep_is_link = false;
		return;
	}
	candidates(e, p, &c);
	n = n_written = c.n;
	if (p->there) {
		c.all = false;
		collect_links(e, p, &c);
		n = paths_open(e, p, n_written) ? c.n : n_written;
	}
	if (p->trying || p->best) {
		for (size_t i = 0; i < c.n; i++)
			if (ports[i] == p->ep_port && addr_equal(&addrs[i], &p->ep_addr))
				return;
	}
	p->ep_addr = n ? addrs[p->ep % n] : (struct policy_addr){0};
	p->ep_port = n ? ports[p->ep % n] : 0;
	p->ep_is_link = n && p->ep % n >= n_written;
}

void tunnel_stop(struct engine *e, struct peer *p)
{
	if (p->trying) {
		p->trying = false;
		e->n_trying--;
	}
	queue_remove(e, Q_INITIATE, p);
	op_land(e, &p->init_op);
}

void tunnel_count_refused(struct engine *e, struct peer *p, uint8_t n)
{
	e->n_refused += (n > EARLY_TRIES) - (p->refused > EARLY_TRIES);
	p->refused = n;
}

/* Something changed that may help: try at once and count the delays anew. */
void tunnel_reset(struct engine *e, struct peer *p)
{
	if (!p->trying)
		op_drop(e, &p->init_op);
	tunnel_count_refused(e, p, 0);
	turned_forget(p);
	p->resolved_us = 0;
	if (!p->best)
		peer_dirty(e, p);
}

/*
 * It answered, and does not know us (yet): an approval reaches the two ends at different times. So
 * the same endpoint again, soon, for a while; and at first that is no trouble worth telling.
 */
static bool is_early(struct engine *e, struct peer *p, bool refused)
{
	if (!refused)
		return false;
	if (p->refused <= EARLY_TRIES)
		tunnel_count_refused(e, p, p->refused + 1);
	if (p->refused > EARLY_TRIES)
		return false;
	p->init_op.at = e->now.mono_us + backoff_us(e, 1);
	return true;
}

/*
 * It will approve us some day, and may not be able to dial us: so that day it should not wait for a
 * back-off of long ago. Where many refuse, the sum of their tries is what must stay small.
 */
static void try_again_refused(struct engine *e, struct peer *p)
{
	int64_t d = (int64_t)(e->n_refused / REFUSED_PER_S) * 1000000;

	if (d < REFUSED_US)
		d = REFUSED_US;
	d = e->now.mono_us + d - d / 8 + jitter_us(e, d / 4);
	if (d < p->init_op.at)
		p->init_op.at = d;
}

static void tunnel_failed(struct engine *e, struct peer *p, bool refused, const char *why)
{
	char addr[64] = "any address";
	bool early;

	tunnel_stop(e, p);
	if (last_counts(p) &&
	        ep_is_last(p)) { /* it was worth a try, and is no trouble: it comes to us again */
		p->last_tries--;
		charon_want_list(e);
		op_fail(e, &p->init_op);
		return;
	}
	if (p->attempts < UINT32_MAX)
		p->attempts++;
	charon_want_list(e);
	early = is_early(e, p, refused);
	if (early && p->refused <= EARLY_TRIES / 2)
		return;
	if (p->ep_addr.family)
		policy_addr_print(&p->ep_addr, addr, sizeof(addr));
	peer_degrade(e, p, "no tunnel to %s port %u: %s", addr, p->ep_port, why);
	if (early)
		return;
	op_fail(e, &p->init_op);
	if (refused)
		try_again_refused(e, p);
	p->ep++;
	if (p->want && p->attempts >= p->want->n_endpoints)
		paths_need(e, p); /* it may be elsewhere now */
}

/* Its SA of an old key is up still; the other end may have the new policy only in a while. */
static void move_failed(struct engine *e, struct peer *p)
{
	tunnel_stop(e, p);
	charon_want_list(e);
	op_fail(e, &p->init_op);
}

void tunnel_result(struct engine *e, struct peer *p, int error, const char *text)
{
	if (error == -ENOENT || error == -ECONNREFUSED)
		charon_want_conns(e); /* or our key is not there any more */
	if (error && p->best)
		move_failed(e, p);
	else if (error)
		tunnel_failed(e, p, error == -ECONNREFUSED || error == -ENOENT, text);
	else
		op_land(e, &p->init_op);
}

/* ---- two SAs ---- */

static void duplicate(struct engine *e, struct peer *p, struct sa *sa)
{
	sa_duplicate(e, sa);
	notice(e, ENGINE_INFO, ENGINE_N_DUPLICATE, p->name,
	        "%s has two IKE_SAs; number %u is ended, number %u stays.", p->name, sa->id,
	        p->best->id);
}

static bool is_duplicate(const struct sa *sa)
{
	return sa->state == ENGINE_IKE_ESTABLISHED && !sa->fault && !sa->gone && !sa->rival_us;
}

/*
 * Both ends end the one that the higher fingerprint initiated. Of two that the same end initiated
 * the initiator ends the older; the other end does so only if that takes too long. Those of another
 * host: rivals.c.
 */
static void duplicates_step(struct engine *e, struct peer *p)
{
	bool any = false;

	for (struct sa *sa = p->sas; sa; sa = sa->next)
		any |= sa != p->best && is_duplicate(sa);
	if (!any) {
		p->dup_since_us = 0;
		return;
	}
	if (!p->dup_since_us)
		p->dup_since_us = e->now.mono_us ? e->now.mono_us : 1;
	for (struct sa *sa = p->sas; sa; sa = sa->next) {
		int64_t at = p->dup_since_us + CHILD_GRACE_US;

		if (sa == p->best || !is_duplicate(sa))
			continue;
		if (sa->initiator == p->best->initiator && !sa->initiator)
			at = p->dup_since_us + SAME_SIDE_DUP_US;
		if (e->now.mono_us >= at)
			duplicate(e, p, sa);
		else
			peer_wake(p, at);
	}
}

static int64_t born(const struct sa *sa)
{
	return sa->established_us >= 0 ? sa->established_us : sa->since_us;
}

/*
 * Two that were built at about the same time crossed: the one that the lower fingerprint initiated
 * stays. If one is clearly younger, an end had lost the other: the younger stays.
 */
static bool is_better(const struct sa *a, const struct sa *b, bool lower)
{
	const struct sa *older = sa_is_older(a, b) ? a : b;
	int64_t d = born(a) - born(b);

	if (rival_is(older, older == a ? b : a, lower))
		return older == a;
	if (sa_is_old(a) != sa_is_old(b))
		return sa_is_old(b);
	if (sa_narrow(a) != sa_narrow(b))
		return sa_narrow(b);
	if (d > CROSSING_US || d < -CROSSING_US)
		return d > 0;
	if (a->initiator != b->initiator)
		return a->initiator == lower;
	return a->id > b->id;
}

static void pick_best(struct engine *e, struct peer *p)
{
	/* Two digests, and every step of every peer comes by: only where there is a choice. */
	bool lower = p->sas && p->sas->next && policy_key_compare(&e->own_key, &p->key) < 0;

	p->best = NULL;
	for (struct sa *sa = p->sas; sa; sa = sa->next) {
		if (!sa_up(sa))
			continue;
		if (!p->best || is_better(sa, p->best, lower))
			p->best = sa;
	}
}

/* ---- the step ---- */

static bool first_is_us(const struct engine *e, const struct peer *p)
{
	if (!p->want->n_endpoints)
		return paths_first_is_us(e, p);
	return !e->self->n_endpoints || policy_key_compare(&e->own_key, &p->key) < 0;
}

static void initiate(struct engine *e, struct peer *p)
{
	struct engine_effect *fx;

	if (e->n_trying >= e->cfg.initiate_window) {
		queue_add(e, Q_INITIATE, p);
		return;
	}
	fx = op_start(e, &p->init_op, OP_INITIATE, ENGINE_FX_INITIATE, p, 0);
	if (!fx)
		return;
	/* Which of the two keys the other end uses, it knows. */
	fx->conn = (p->peer_old || p->own_old) && p->attempts % 2 ? conn_old_name(e, p)
	                                                          : conn_name(e, p);
	p->trying = true;
	e->n_trying++;
	if (p->ep_is_link)
		paths_tried(e, p);
	p->try_until_us = e->now.mono_us + e->cfg.initiate_timeout_us;
	peer_wake(p, p->try_until_us);
}

/* What we began came up, but without its child: it is of no use, and waiting does not help. */
static bool came_childless(const struct engine *e, const struct peer *p)
{
	for (const struct sa *sa = p->sas; sa; sa = sa->next)
		if (sa->initiator && !sa->fault && sa_childless(e, sa))
			return true;
	return false;
}

/* An earlier run's try is under way: charon would only add ours to it. */
static bool has_inherited(const struct peer *p)
{
	for (const struct sa *sa = p->sas; sa; sa = sa->next)
		if (sa->inherited && sa->initiator && !sa->fault && !sa->gone &&
		        sa->state == ENGINE_IKE_CONNECTING)
			return true;
	return false;
}

static void no_way(struct engine *e, struct peer *p)
{
	if (p->want->n_endpoints || e->self->n_endpoints)
		return;
	paths_need(e, p);
	peer_degrade(e, p, "neither it nor this node has an endpoint in the policy%s",
	        !e->is_signed ? ""
	        : p->there    ? ", and there is no way from here to where it is"
	                      : ", and no seed has said where it is");
}

static void connect_step(struct engine *e, struct peer *p)
{
	if (p->trying && came_childless(e, p)) {
		tunnel_failed(e, p, true, "its IKE_SA came up without a CHILD_SA");
		sas_judge_peer(e, p); /* which ends it, before the next try would take it up */
	}
	if (p->trying && e->now.mono_us >= p->try_until_us)
		tunnel_failed(e, p, false, "no answer in time");
	if (p->trying) {
		peer_wake(p, p->try_until_us);
		return;
	}
	tunnel_choose(e, p);
	if (!p->ep_addr.family) {
		no_way(e, p);
		return;
	}
	if (!p->rule_us && e->now.mono_us < p->grace_until_us) {
		peer_wake(p, p->grace_until_us);
		return;
	}
	if (e->now.mono_us < turned_until(p)) {
		peer_wake(p, turned_until(p));
		return;
	}
	if (e->underlay_known && !e->n_underlay && e->now.mono_us < e->underlay_us + BARE_US) {
		peer_wake(p, e->underlay_us + BARE_US);
		return;
	}
	if (!op_ready(e, &p->init_op)) {
		peer_wake(p, p->init_op.at);
		return;
	}
	if (p->ep_is_link && !paths_may_try(e, p))
		return;
	if (p->conn != CONN_LOADED || p->conn_op.id || p->conn_digest != conn_digest_wanted(e, p)) {
		conn_step(e, p); /* the next endpoint; comes back when it is loaded */
		return;
	}
	if (has_inherited(p))
		return; /* its end, or its age, wakes us */
	initiate(e, p);
}

static bool conn_ready(const struct engine *e, const struct peer *p)
{
	return e->charon == ENGINE_CHARON_READY && p->conn == CONN_LOADED && !p->conn_op.id &&
	       p->conn_digest == conn_digest_wanted(e, p);
}

/* A key has changed: its SA is built anew, and the old one carries on until then. */
static void move_step(struct engine *e, struct peer *p)
{
	int64_t at = p->move_us + (p->rule_us ? 0 : MOVE_GRACE_US);

	if (p->trying && e->now.mono_us >= p->try_until_us)
		move_failed(e, p);
	if (p->trying) {
		peer_wake(p, p->try_until_us);
		return;
	}
	if (!p->ep_addr.family || p->fw != FW_YES || !conn_ready(e, p))
		return;
	if (at < p->init_op.at)
		at = p->init_op.at;
	if (e->now.mono_us < at)
		peer_wake(p, at);
	else if (op_ready(e, &p->init_op))
		initiate(e, p);
}

/*
 * The policies agree in the end, and then nothing else tells that both addresses could pass. Whoever
 * initiates goes first; where they still differ this comes ever more seldom.
 */
static void narrow_step(struct engine *e, struct peer *p)
{
	if (!sa_narrow(p->best)) {
		p->narrow_us = 0;
		p->narrow_n = 0;
		return;
	}
	peer_degrade(e, p,
	        "its tunnel carries only one of IPv4 and IPv6: the two nodes have policies that "
	        "differ in an address of theirs");
	if (!p->narrow_us)
		p->narrow_us = e->now.mono_us + jitter_us(e, NARROW_US / 4) +
		               (NARROW_US << p->narrow_n) * (p->rule_us ? 1 : 2);
	if (e->now.mono_us < p->narrow_us) {
		peer_wake(p, p->narrow_us);
		return;
	}
	p->narrow_us = 0;
	p->narrow_n += p->narrow_n < NARROW_MOST;
	p->best->asked = true;
	sa_judge(e, p->best);
}

void tunnel_step(struct engine *e, struct peer *p)
{
	bool was = p->was_up;

	p->rule_us = first_is_us(e, p);
	sas_judge_peer(e, p);
	pick_best(e, p);
	p->was_up = p->best != NULL;
	p->met = p->met || p->was_up;
	if (p->best) {
		if (!sa_is_old(p->best) || !was) {
			tunnel_stop(e, p);
			op_drop(e, &p->init_op);
		}
		p->attempts = 0;
		tunnel_count_refused(e, p, 0);
		last_seen(p);
		narrow_step(e, p);
		rivals_step(e, p);
		duplicates_step(e, p);
		if (sa_is_old(p->best))
			move_step(e, p);
		return;
	}
	p->dup_since_us = 0;
	rivals_forget(e, p);
	if (p->on_demand) {
		demand_step(e, p);
		return;
	}
	if (was) /* the other end may not know yet: whoever knows goes, the second a moment later */
		p->grace_until_us = e->now.mono_us + LOST_US + jitter_us(e, LOST_US);
	if (e->charon != ENGINE_CHARON_READY) {
		tunnel_stop(e, p);
		return;
	}
	if (p->conn != CONN_LOADED || p->fw != FW_YES)
		return;
	connect_step(e, p);
}
