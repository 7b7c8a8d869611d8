/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes wrong, and the calm after it, in which all honest nodes must come to one policy. */
#include "tests/simcluster/swarm.h"

#include <stdlib.h>
#include <string.h>

static struct node *node_any(struct world *w)
{
	return &w->nodes[rnd_below(w, (uint64_t)w->n_nodes)];
}

static void heal(struct world *w, struct node *n, void *data)
{
	(void)n;
	(void)data;
	for (size_t i = 0; i < w->n_links; i++)
		w->links[i].cut = false;
	for (int i = 0; i < w->n_nodes; i++)
		links_review(w, &w->nodes[i]);
}

static void link_cut(struct world *w, struct link *l)
{
	l->cut = true;
	net_break_link(w, l);
}

static void partition(struct world *w)
{
	bool *side = need(calloc((size_t)w->n_nodes, sizeof(*side)));

	say(w, NULL, "a partition");
	for (int i = 0; i < w->n_nodes; i++)
		side[i] = chance(w, 0.5);
	for (size_t i = 0; i < w->n_links; i++)
		if (side[w->links[i].end[0]] != side[w->links[i].end[1]])
			link_cut(w, &w->links[i]);
	free(side);
	for (int i = 0; i < w->n_nodes; i++)
		links_review(w, &w->nodes[i]);
	at(w, w->core.now + rnd_us(w, US, 120 * US), NULL, heal, NULL);
}

/* Two admins who know nothing of each other. */
static void sign_twice(struct world *w)
{
	int top = bundle_newest(w), a, b;
	uint64_t serial = top < 0 ? 1 : w->bundles[top].head.serial + 1;

	say(w, NULL, "two admins sign serial %llu", (unsigned long long)serial);
	a = admin_sign(w, top, serial, true);
	b = admin_sign(w, top, serial, true);
	admin_give(w, node_any(w), a);
	admin_give(w, node_any(w), b);
}

/* An admin, or who has his rights on one node, tries what must not be. */
static void mischief(struct world *w)
{
	int top = bundle_newest(w);

	if (top < 0)
		return;
	if (chance(w, 0.5))
		admin_sign(w, chance(w, 0.5) ? -1 : top,
		        w->bundles[top].head.serial + 1 + rnd_below(w, 5), false);
	admin_give(w, node_any(w), (int)rnd_below(w, w->n_bundles));
}

static int reach(struct world *w, struct node *n, bool *seen)
{
	int total = 1;

	seen[n->index] = true;
	for (size_t i = 0; i < n->n_links; i++) {
		struct node *o = &w->nodes[n->links[i]->end[!link_side(n->links[i], n)]];

		if (!seen[o->index] && !o->evil && link_up(w, n->links[i]))
			total += reach(w, o, seen);
	}
	return total;
}

/* The honest node from which most others can be reached; seen: they. */
static struct node *node_central(struct world *w, bool *seen)
{
	struct node *best = NULL;
	int most = 0;

	for (int i = 0; i < w->n_nodes; i++) {
		int total = 0;

		memset(seen, 0, (unsigned)w->n_nodes);
		if (!w->nodes[i].evil && w->nodes[i].cl)
			total = reach(w, &w->nodes[i], seen);
		if (total > most) {
			most = total;
			best = &w->nodes[i];
		}
		if (most > w->n_nodes / 2)
			break;
	}
	memset(seen, 0, (unsigned)w->n_nodes);
	if (best)
		reach(w, best, seen);
	return best;
}

/* Who by its own policy has nobody to hear it from gets it from its admin. */
static void give_by_hand(struct world *w, const bool *seen, int bundle)
{
	for (int i = 0; i < w->n_nodes && !w->core.rule; i++)
		if (!w->nodes[i].evil && w->nodes[i].cl && !seen[i]) {
			w->n_by_hand++;
			admin_give(w, &w->nodes[i], bundle);
		}
}

static void repair(struct world *w)
{
	bool *seen = need(calloc((size_t)w->n_nodes, sizeof(*seen))), cut = false;
	struct node *n = node_central(w, seen);

	for (size_t i = 0; i < w->n_links; i++)
		cut = cut || w->links[i].cut;
	if (n && n->force >= 0 && !cut) /* across a partition nobody carries it */
		give_by_hand(w, seen, n->force);
	free(seen);
}

/* Who is no member comes with a token; or somebody else does. */
static void newcomer(struct world *w, const struct node *n)
{
	bool own = !w->in[n->index] && !n->seed;

	guest_asks(w, own ? n->index : -1, (int)rnd_below(w, (uint64_t)w->n_tokens));
}

static void strike(struct world *w, struct node *n)
{
	switch (rnd_below(w, w->n_tokens ? 16 : 13)) {
	case 0:
	case 1:
	case 2:
		admin_change(w, n);
		break;
	case 3:
	case 4:
		node_crash(w, n, chance(w, 0.2));
		at(w, w->core.now + rnd_us(w, 100000, chance(w, 0.7) ? US : 120 * US), n,
		        node_start, NULL);
		break;
	case 5:
		if (chance(w, 0.3))
			partition(w);
		break;
	case 6: /* nothing here needs a clock */
		n->skew_s =
		        w->rotates ? 0
		                   : (int64_t)rnd_below(w, 40 * 366 * 86400LL) - 20 * 366 * 86400LL;
		break;
	case 7:
		if (chance(w, 0.3))
			sign_twice(w);
		break;
	case 8:
		mischief(w);
		break;
	case 9:
		if (chance(w, 0.5))
			map_move(w, n);
		map_ask(w, node_any(w));
		if (!n->cl)
			break;
		node_begin(w, n);
		cluster_who(n->cl);
		node_end(w, n);
		break;
	case 10:
		net_break_link(w, n->links[rnd_below(w, n->n_links)]);
		break;
	case 11: {
		struct link *l = n->links[rnd_below(w, n->n_links)];

		l->idle = !l->idle;
		links_review(w, n);
		break;
	}
	case 12:
		repair(w);
		break;
	case 13:
	case 14:
		newcomer(w, n);
		break;
	case 15:
		liars_thief(w);
		break;
	}
}

static void strikes(struct world *w, struct node *n, void *data)
{
	(void)n;
	(void)data;
	if (w->core.calm)
		return;
	strike(w, node_any(w));
	if (!w->core.rule)
		at(w, w->core.now + rnd_us(w, 50000, chance(w, 0.6) ? 3 * US : 30 * US), NULL,
		        strikes, NULL);
}

/* Whose key or name a lying seed and a stolen token gave away cannot be sure of either. */
static bool is_wronged(const struct world *w, const struct node *n)
{
	for (size_t i = 0; i < w->n_issued; i++) {
		const struct policy_admission *a = &w->issued[i].grant.a;

		if (memcmp(&a->key, &n->key, sizeof(n->key)) ? !strcmp(a->name, n->name)
		                                             : strcmp(a->name, n->name))
			return true;
	}
	return false;
}

/* Two honest members are left out of the last bundle: they come by a token that it brings. */
static int left_out(struct world *w)
{
	int n = 0;
	bool honest = false;

	for (int s = 0; s < w->n_seeds; s++)
		honest |= !w->nodes[s].evil;
	for (int i = w->n_seeds; i < w->n_nodes && n < 2 && w->n_tokens && honest; i++)
		if (w->in[i] && !w->nodes[i].evil && !is_wronged(w, &w->nodes[i]) &&
		        chance(w, 0.3)) {
			w->in[i] = false;
			n++;
		}
	return n;
}

static void guest_comes(struct world *w, struct node *n, void *data)
{
	(void)data;
	w->n_last++;
	guest_asks(w, n ? n->index : -1, w->n_tokens - 1);
}

/* Those that were left out, and then more strangers than there is room for. */
static void guests_come(struct world *w)
{
	int64_t when = w->core.now + 5 * US;

	for (int i = w->n_seeds; i < w->n_nodes; i++)
		if (!w->in[i] && !w->nodes[i].evil)
			at(w, when += 5 * US, &w->nodes[i], guest_comes, NULL);
	when += 10 * US;
	for (int i = 0; i < 4; i++)
		at(w, when += 15 * US, NULL, guest_comes, NULL);
}

/* Ends every fork. */
static void publish_last(struct world *w, struct node *unused, void *data)
{
	bool *seen = need(calloc((size_t)w->n_nodes, sizeof(*seen)));
	struct node *n = node_central(w, seen);
	int top = bundle_newest(w), out;
	(void)unused;
	(void)data;

	for (int i = 0; i < w->n_nodes; i++)
		w->in[i] = !w->nodes[i].evil || chance(w, 0.8);
	out = left_out(w);
	keys_change(w);
	tokens_last(w, out + (w->n_evil ? 6 : (int)rnd_below(w, 3)));
	w->final = admin_sign(w, -1, top < 0 ? 1 : w->bundles[top].head.serial + 1, true);
	w->final_at = w->core.now;
	admin_give(w, n, w->final);
	give_by_hand(w, seen, w->final);
	if (w->n_tokens)
		guests_come(w);
	free(seen);
}

static void ask(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (!n->cl)
		return;
	node_begin(w, n);
	cluster_who(n->cl);
	node_end(w, n);
}

static void calm(struct world *w, struct node *n, void *data)
{
	(void)n;
	(void)data;
	w->core.calm = true;
	say(w, NULL, "the trouble is over");
	for (size_t i = 0; i < w->n_links; i++)
		w->links[i].cut = w->links[i].idle = false;
	for (int i = 0; i < w->n_nodes; i++)
		node_start(w, &w->nodes[i], NULL);
	for (int i = 0; i < w->n_nodes; i++) {
		links_review(w, &w->nodes[i]);
		at(w, w->core.end - 20 * US, &w->nodes[i], ask, NULL);
	}
	repair(w);
	at(w, w->core.now + 60 * US, NULL, publish_last, NULL);
}

void trouble_start(struct world *w)
{
	for (int i = 0; i < w->n_nodes; i++)
		at(w, rnd_us(w, 0, 5 * US), &w->nodes[i], node_start, NULL);
	at(w, 10 * US, NULL, strikes, NULL);
	at(w, w->core.quiet, NULL, calm, NULL);
}
