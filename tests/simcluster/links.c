/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who can reach whom: everybody the seeds, a ring, and a few more by chance. A link is up while
 * nothing cuts it and both ends admit each other by the policy they act by; each end is told in its
 * own time, only who cuts the other off knows at once.
 */
#include "tests/simcluster/swarm.h"

#include <stdlib.h>
#include <string.h>

static void links_add(struct world *w, int a, int b)
{
	if (a == b || link_find(w, &w->nodes[a], &w->nodes[b]))
		return;
	w->links[w->n_links++] = (struct link){.end = {a, b}};
	for (int i = 0; i < 2; i++) {
		struct node *n = &w->nodes[i ? b : a];

		if (n->n_links == n->cap_links) {
			n->cap_links = n->cap_links ? 2 * n->cap_links : 8;
			n->links = need(realloc(n->links, n->cap_links * sizeof(struct link *)));
		}
		n->links[n->n_links++] = &w->links[w->n_links - 1];
	}
}

struct link *link_find(const struct world *w, const struct node *n, const struct node *o)
{
	const struct node *few = n->n_links <= o->n_links ? n : o;
	int other = few == n ? o->index : n->index;
	(void)w;

	for (size_t i = 0; i < few->n_links; i++)
		if (few->links[i]->end[0] == other || few->links[i]->end[1] == other)
			return few->links[i];
	return NULL;
}

/* Honest members talk to each other, whatever the hostile ones do. */
static void ring(struct world *w)
{
	int first = -1, last = -1;

	for (int i = w->n_seeds; i < w->n_nodes; i++) {
		if (w->nodes[i].evil)
			continue;
		if (last >= 0)
			links_add(w, last, i);
		first = first < 0 ? i : first;
		last = i;
	}
	if (first >= 0)
		links_add(w, first, last);
}

void links_make(struct world *w)
{
	size_t most = (size_t)w->n_nodes * (size_t)(w->n_seeds + TALKS);

	w->links = need(calloc(most, sizeof(*w->links)));
	for (int i = 0; i < w->n_nodes; i++)
		for (int s = 0; s < w->n_seeds; s++)
			links_add(w, i, s);
	ring(w);
	for (int i = w->n_seeds; i < w->n_nodes; i++)
		for (int t = 0; t < TALKS - 2; t++)
			links_add(w, i, (int)rnd_below(w, (uint64_t)w->n_nodes));
}

static bool admits(const struct world *w, const struct node *n, const struct node *o)
{
	const struct policy_peer *pp;

	if (!n->cl || !n->policy || !n->self)
		return false;
	pp = policy_peer_by_name(n->policy, o->name);
	return pp && keys_prove(w, pp, o);
}

bool link_up(const struct world *w, const struct link *l)
{
	const struct node *a = &w->nodes[l->end[0]], *b = &w->nodes[l->end[1]];

	return !l->cut && admits(w, a, b) && admits(w, b, a);
}

enum cluster_reach link_reach(const struct world *w, const struct link *l)
{
	return !link_up(w, l) ? CLUSTER_GONE : l->idle ? CLUSTER_COULD : CLUSTER_UP;
}

static void tell_now(struct world *w, struct node *n, struct link *l, enum cluster_reach reach)
{
	const struct node *o = &w->nodes[l->end[!link_side(l, n)]];

	l->told[link_side(l, n)] = reach;
	cluster_peer(n->cl, o->name, reach);
}

static void tell(struct world *w, struct node *n, void *data)
{
	struct link *l = *(struct link **)data;
	enum cluster_reach reach = link_reach(w, l);

	if (!n->cl || l->told[link_side(l, n)] == reach)
		return;
	if (reach == CLUSTER_GONE)
		net_break_link(w, l);
	node_begin(w, n);
	tell_now(w, n, l, reach);
	node_end(w, n);
}

void links_review(struct world *w, struct node *n)
{
	for (size_t i = 0; i < n->n_links; i++) {
		struct link *l = n->links[i];
		enum cluster_reach reach = link_reach(w, l);

		for (int s = 0; s < 2; s++)
			if (w->nodes[l->end[s]].cl && l->told[s] != reach)
				at(w, w->core.now + rnd_us(w, 1000, reach ? 2 * US : 100000),
				        &w->nodes[l->end[s]], tell, dup_mem(&l, sizeof(l)));
	}
}

/* By these two policies, o is one and the same node. */
static bool stays(const struct policy *old, const struct policy *new, const struct node *o)
{
	const struct policy_peer *a = policy_peer_by_name(old, o->name);
	const struct policy_peer *b = policy_peer_by_name(new, o->name);

	return !a || !b || !memcmp(&a->key, &b->key, sizeof(a->key)) ||
	       (b->has_old_key && !memcmp(&a->key, &b->old_key, sizeof(a->key)));
}

void links_cut_own(struct world *w, struct node *n, const struct policy *old)
{
	for (size_t i = 0; i < n->n_links; i++) {
		struct link *l = n->links[i];
		const struct node *o = &w->nodes[l->end[!link_side(l, n)]];

		if (l->told[link_side(l, n)] == CLUSTER_GONE ||
		        (admits(w, n, o) && (!old || stays(old, n->policy, o))))
			continue;
		net_break_link(w, l);
		tell_now(w, n, l, CLUSTER_GONE);
	}
}
