/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One key on two hosts: a machine was copied with its key. The first of them that lives keeps its
 * tunnel, the other is turned away and told of.
 *
 * What is seen is a second SA of a peer, begun by the other end and from another place than the
 * first, which goes on. That may be a host that moved: one that is dead at the old place, or has two
 * links and is about to end its older SA itself, as it does with every duplicate. So the older is
 * probed at once: its CHILD_SA is rekeyed. A holder that lives answers within a round trip, and by
 * that its child is the newest again, which is the one that charon sends by: what went to the
 * second host meanwhile is the whole disturbance. One that is dead does not answer, and charon ends
 * its IKE_SA; until then and afterwards everything goes by the second. Where the older answered,
 * and nobody has ended either in RIVAL_US, nobody has both: they are two hosts.
 */
#include "engine/internal.h"

#include <stdio.h>

#define RIVAL_US 10000000      /* one host has ended its older SA by then: 1 s is its rule */
#define PROBE_US 1000000       /* no two probes of a peer within this */
#define PROBE_AGAIN_US 2000000 /* its other end may have had no time for it */
#define FRESH_US 2000000       /* a known rival needs no newer proof that the holder lives */
#define CROWD 3                /* rivals at a time; those beyond end at once */
#define REMEMBER_US 300000000  /* without another try of its: it is gone */
#define TELL_US 600000000      /* the same is not news before */
#define SOON_US 30000000       /* an SA that the other end ends so soon was not wanted there */
#define TURNED_MOST 10
#define TURNED_TELL 2 /* once may be anything */

bool sa_is_older(const struct sa *a, const struct sa *b)
{
	if (a->begun_us != b->begun_us)
		return a->begun_us < b->begun_us;
	return a->id < b->id;
}

static bool same_place(const struct sa *a, const struct sa *b)
{
	return a->remote_port == b->remote_port && addr_equal(&a->remote_host, &b->remote_host);
}

/*
 * Only who did not begin the younger one asks: the other end has both, or is another host. Those
 * that crossed are settled by the rule for that where both ends come to the same by it.
 */
bool rival_is(const struct sa *older, const struct sa *younger, bool lower)
{
	bool crossed = older->begun_here && younger->begun_us - older->begun_us <= CROSSING_US;

	if (younger->begun_here || same_place(older, younger) || (crossed && !lower))
		return false;
	return !sa_is_old(older) || sa_is_old(younger); /* its new key, on another link */
}

/* An SA that has lived for so long was not turned away. */
static void turned_step(struct engine *e, struct peer *p)
{
	int64_t at = p->best->begun_us + SOON_US;

	if (!p->rivals || !p->rivals->turned)
		return;
	if (e->now.mono_us < at)
		peer_wake(p, at);
	else
		turned_forget(p);
}

/* ---- the probe ---- */

static const struct child *probe_child(const struct sa *sa)
{
	const struct child *c = NULL;

	for (size_t i = 0; i < sa->n_children; i++)
		if (sa->children[i].state == ENGINE_CHILD_INSTALLED &&
		        (!c || sa->children[i].id > c->id))
			c = &sa->children[i];
	return c;
}

static void probe(struct engine *e, struct peer *p)
{
	const struct child *c = probe_child(p->best);
	struct engine_effect *fx;

	if (op_late(e, &p->rivals->probe_op))
		op_land(e, &p->rivals->probe_op);
	if (!c || e->charon != ENGINE_CHARON_READY)
		return;
	if (!op_ready(e, &p->rivals->probe_op)) {
		peer_wake(p, p->rivals->probe_op.at);
		return;
	}
	fx = op_start(e, &p->rivals->probe_op, OP_PROBE, ENGINE_FX_PROBE, p, p->best->id);
	if (!fx)
		return;
	fx->probe.ike_id = p->best->id;
	fx->probe.child_id = c->id;
}

void rivals_probe_result(struct engine *e, struct peer *p, int error)
{
	op_land(e, &p->rivals->probe_op);
	p->rivals->probe_op.at = e->now.mono_us + (error ? PROBE_US : PROBE_AGAIN_US);
}

/* ---- the verdict ---- */

static int64_t known_until(const struct peer *p)
{
	return p->rivals ? p->rivals->until_us : 0;
}

static bool is_told(const struct engine *e, const struct peer *p)
{
	return e->now.mono_us < known_until(p);
}

static bool is_known(const struct engine *e, const struct peer *p, const struct sa *sa)
{
	return is_told(e, p) && addr_equal(&p->rivals->addr, &sa->remote_host);
}

static void place(char buf[64], const struct policy_addr *a, uint16_t port, bool with_port)
{
	char addr[48] = "?";

	policy_addr_print(a, addr, sizeof(addr));
	if (with_port)
		snprintf(buf, 64, "%s port %u", addr, port);
	else
		snprintf(buf, 64, "%s", addr);
}

static void two_hosts(struct engine *e, struct peer *p, bool news)
{
	const struct rivals *r = p->rivals;
	bool one = addr_equal(&r->addr, &r->holder); /* behind one NAT */
	char first[64], second[64];

	place(first, &r->holder, r->holder_port, one);
	place(second, &r->addr, r->port, one);
	if (news) {
		notice(e, ENGINE_WARNING, ENGINE_N_TWO_HOSTS, p->name,
		        "%s: its key is in use on two hosts: %s keeps the tunnel, %s is turned "
		        "away. A copied machine needs a key of its own; if %s has moved, stop it "
		        "at %s.",
		        p->name, first, second, p->name, first);
		p->degraded = true; /* that says it all */
	}
	peer_degrade(e, p, "its key is in use on two hosts: %s keeps the tunnel, %s is turned away",
	        first, second);
}

static void turn_away(struct engine *e, struct peer *p, struct sa *sa)
{
	bool known = is_known(e, p, sa);
	bool news = !p->rivals->told_us || e->now.mono_us - p->rivals->told_us >= TELL_US;

	news |= !known && e->now.mono_us - p->rivals->told_us >= REMEMBER_US / 10;
	p->rivals->addr = sa->remote_host;
	p->rivals->port = sa->remote_port;
	p->rivals->holder = p->best->remote_host;
	p->rivals->holder_port = p->best->remote_port;
	p->rivals->until_us = e->now.mono_us + REMEMBER_US;
	if (news)
		p->rivals->told_us = e->now.mono_us ? e->now.mono_us : 1;
	sa_duplicate(e, sa);
	two_hosts(e, p, news);
}

/* When it is to be ended as things stand; ENGINE_NEVER: the holder has not answered yet. */
static int64_t end_at(const struct engine *e, const struct peer *p, const struct sa *sa, size_t n)
{
	bool known = is_known(e, p, sa);

	if (n > CROWD)
		return e->now.mono_us;
	if (p->best->alive_us < sa->rival_us - (known ? FRESH_US : 0) || !p->best->alive_us)
		return ENGINE_NEVER;
	return known ? e->now.mono_us : sa->rival_us + RIVAL_US;
}

/* It is where the tunnel is now, or was not heard of for long. */
static void settled(struct engine *e, struct peer *p)
{
	if (!known_until(p))
		return;
	if (!is_told(e, p) || (p->best->remote_port == p->rivals->port &&
	                              addr_equal(&p->best->remote_host, &p->rivals->addr)))
		rivals_forget(e, p);
	else
		peer_wake(p, p->rivals->until_us);
}

void rivals_forget(struct engine *e, struct peer *p)
{
	if (!p->rivals)
		return;
	op_drop(e, &p->rivals->probe_op);
	p->rivals->until_us = 0;
}

bool rivals_troubled(const struct engine *e, const struct peer *p)
{
	return is_told(e, p) || (p->rivals && p->rivals->turned >= TURNED_TELL);
}

static bool reserve(struct engine *e, struct peer *p)
{
	if (!p->rivals)
		p->rivals = mem_alloc(e, sizeof(*p->rivals));
	return p->rivals;
}

/* True: it is one, and may be asked whether its holder lives. */
static bool rival_step(struct engine *e, struct peer *p, struct sa *sa, size_t n)
{
	int64_t at;

	if (!sa->rival_us)
		sa->rival_us = e->now.mono_us ? e->now.mono_us : 1;
	at = end_at(e, p, sa, n);
	if (at <= e->now.mono_us)
		turn_away(e, p, sa);
	else
		peer_wake(p, at);
	return at == ENGINE_NEVER;
}

void rivals_step(struct engine *e, struct peer *p)
{
	bool lower = p->sas->next && policy_key_compare(&e->own_key, &p->key) < 0, ask = false;
	size_t n = 0;

	for (struct sa *sa = p->sas; sa; sa = sa->next) {
		if (!sa_is_older(p->best, sa) || !sa_up(sa) || !rival_is(p->best, sa, lower))
			sa->rival_us = 0;
		else if (reserve(e, p))
			ask |= rival_step(e, p, sa, ++n);
	}
	if (ask)
		probe(e, p);
	else if (!n)
		settled(e, p);
	if (is_told(e, p))
		two_hosts(e, p, false);
	turned_step(e, p);
}

/* ---- the other side of it ---- */

/* Whoever is turned away cannot see why. Restarts and changes at the other end look alike, once. */
void turned_away(struct engine *e, const struct sa *sa)
{
	struct peer *p = sa->peer;
	struct rivals *r;

	if (!p || sa != p->best || sa->fault || p->revoking || p->on_demand)
		return; /* on demand: it was idle there */
	if (e->now.mono_us - sa->begun_us >= SOON_US) {
		turned_forget(p);
		return;
	}
	if (!reserve(e, p))
		return;
	r = p->rivals;
	r->turned += r->turned < TURNED_MOST;
	if (r->turned < TURNED_TELL)
		return;
	r->turned_us = e->now.mono_us + backoff_us(e, r->turned + 1);
	peer_degrade(e, p,
	        "it ended our tunnel %s%u times soon after it came up; perhaps this node's key is "
	        "in use on another host too: ask its status",
	        r->turned == TURNED_MOST ? "more than " : "", r->turned);
}

int64_t turned_until(const struct peer *p)
{
	return p->rivals ? p->rivals->turned_us : 0;
}

void turned_forget(struct peer *p)
{
	if (!p->rivals)
		return;
	p->rivals->turned = 0;
	p->rivals->turned_us = 0;
}
