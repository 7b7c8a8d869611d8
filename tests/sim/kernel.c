/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake kernel: one table with elements that end by themselves, and a stranger who breaks it. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void elem_drop(struct fkernel *k, size_t i)
{
	k->elems[i] = k->elems[--k->n_elems];
}

static bool overlaps(
        const struct elem *el, const struct policy_addr *a4, const struct policy_addr *a6)
{
	return (a4->family && same_addr(&el->a4, a4)) || (a6->family && same_addr(&el->a6, a6));
}

static void remove_addrs(
        struct fkernel *k, const struct policy_addr *a4, const struct policy_addr *a6)
{
	for (size_t i = 0; i < k->n_elems;) {
		if (overlaps(&k->elems[i], a4, a6))
			elem_drop(k, i);
		else
			i++;
	}
}

static void admit(struct world *w, struct node *n, const struct engine_fw_peer *p)
{
	struct fkernel *k = &n->kernel;
	struct elem *el;

	remove_addrs(k, &p->addr4, &p->addr6);
	if (k->n_elems >= ELEMS_MAX || p->class_in >= k->n_in || p->class_out >= k->n_out) {
		broken(w, "effects", "%s admits %s with class %u/%u of %zu/%zu", n->name, p->peer,
		        p->class_in, p->class_out, k->n_in, k->n_out);
		return;
	}
	check_admit(w, n, p);
	el = &k->elems[k->n_elems++];
	snprintf(el->peer, sizeof(el->peer), "%s", p->peer);
	el->a4 = p->addr4;
	el->a6 = p->addr6;
	el->in = k->class_in[p->class_in];
	el->out = k->class_out[p->class_out];
	el->expires = p->expires_mono_us;
}

static void underlay(struct world *w, struct node *n, const struct engine_fw_underlay *u)
{
	struct fkernel *k = &n->kernel;
	size_t i = 0;

	while (i < k->n_under && strcmp(k->under[i].peer, u->peer) != 0)
		i++;
	if (i < k->n_under)
		k->under[i] = k->under[--k->n_under];
	if (!u->n)
		return;
	if (k->n_under >= UNDERLAYS_MAX || u->n > 4) {
		broken(w, "rule 8", "%s: too many underlay addresses", n->name);
		return;
	}
	snprintf(k->under[k->n_under].peer, sizeof(k->under[0].peer), "%s", u->peer);
	memcpy(k->under[k->n_under].addrs, u->addrs, u->n * sizeof(*u->addrs));
	k->under[k->n_under++].n = u->n;
}

static void base(struct world *w, struct node *n, const struct engine_fw_base *b)
{
	struct fkernel *k = &n->kernel;

	k->table = true;
	k->lockdown = b->policy->firewall == POLICY_LOCKDOWN;
	k->broken_since = -1;
	k->n_elems = k->n_under = 0;
	k->n_in = b->n_in;
	k->n_out = b->n_out;
	for (size_t i = 0; i < b->n_in && i < 64; i++)
		k->class_in[i] = rules_of(b->policy, b->in[i].bits);
	for (size_t i = 0; i < b->n_out && i < 64; i++)
		k->class_out[i] = rules_of(b->policy, b->out[i].bits);
	for (size_t i = 0; i < b->n_peers; i++)
		admit(w, n, &b->peers[i]);
	for (size_t i = 0; i < b->n_underlays; i++)
		underlay(w, n, &b->underlays[i]);
}

/* Returns the answer; the kernel does things at once and in order. */
int kernel_do(struct world *w, struct node *n, const struct engine_effect *fx)
{
	struct fkernel *k = &n->kernel;

	if (trouble(w, 0.04))
		return -EBUSY;
	kernel_expire(w, n);
	switch (fx->type) {
	case ENGINE_FX_FW_BASE:
		base(w, n, &fx->fw_base);
		return 0;
	case ENGINE_FX_FW_ADMIT:
		if (!k->table)
			return -ENOENT;
		admit(w, n, &fx->fw_peer);
		return 0;
	case ENGINE_FX_FW_UNDERLAY:
		if (!k->table)
			return -ENOENT;
		underlay(w, n, &fx->fw_underlay);
		return 0;
	case ENGINE_FX_FW_REVOKE:
		remove_addrs(k, &fx->fw_peer.addr4, &fx->fw_peer.addr6);
		return 0;
	case ENGINE_FX_KILL_SOCKETS:
		for (size_t i = 0; i < k->n_elems; i++)
			if (overlaps(&k->elems[i], &fx->fw_peer.addr4, &fx->fw_peer.addr6))
				broken(w, "order", "%s destroys sockets of %s before its cut",
				        n->name, fx->fw_peer.peer);
		return 0;
	case ENGINE_FX_PLANE:
		k->plane_set = fx->plane.wanted;
		return 0;
	case ENGINE_FX_LOAD_KEY:
	case ENGINE_FX_LOAD_CONN:
	case ENGINE_FX_UNLOAD_CONN:
	case ENGINE_FX_INITIATE:
	case ENGINE_FX_TERMINATE:
	case ENGINE_FX_PROBE:
	case ENGINE_FX_LIST_SAS:
	case ENGINE_FX_LIST_CONNS:
	case ENGINE_FX_RESOLVE:
	case ENGINE_FX_NOTICE:
	case ENGINE_FX_BUNDLE_STORE:
	case ENGINE_FX_ADMISSIONS_STORE:
	case ENGINE_FX_SESSION_OPEN:
	case ENGINE_FX_SESSION_SEND:
	case ENGINE_FX_SESSION_CLOSE:
	case ENGINE_FX_NOTE_SEND:
	case ENGINE_FX_JOIN_SERVE:
	case ENGINE_FX_JOIN_ANSWER:
	case ENGINE_FX_JOIN_ASK:
	case ENGINE_FX_JOIN_STOP:
	case ENGINE_FX_ADMIT_SIGN:
	case ENGINE_FX_CLUSTER_KEY:
	case ENGINE_FX_TICKET_FORGET:
		break;
	}
	return -EINVAL;
}

void kernel_expire(struct world *w, struct node *n)
{
	struct fkernel *k = &n->kernel;

	for (size_t i = 0; i < k->n_elems;) {
		if (k->elems[i].expires <= w->core.now)
			elem_drop(k, i);
		else
			i++;
	}
}

/* Somebody else's program flushes the ruleset, drops an element, or changes one. */
void kernel_stranger(struct world *w, struct node *n)
{
	struct fkernel *k = &n->kernel;

	if (k->broken_since < 0)
		k->broken_since = w->core.now;
	switch (rnd_below(w, 3)) {
	case 0:
		k->table = false;
		k->n_elems = k->n_under = 0;
		break;
	case 1:
		if (k->n_elems)
			elem_drop(k, rnd_below(w, k->n_elems));
		break;
	case 2:
		if (k->n_elems)
			k->elems[0].in = k->elems[0].out = (1U << RULES) - 1;
		break;
	}
	say(w, n, "a stranger changes the firewall");
	if (n->engine)
		at(w, w->core.now + rnd_us(w, 1000, 400000), n, host_fw_seen,
		        dup_mem(&n->epoch, 8));
}
