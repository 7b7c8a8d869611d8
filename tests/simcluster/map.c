/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where nodes are on the underlay (engine/where.c). Each address here names its node and how often
 * that had moved: so what a machine believes of an honest node can be told from what it never said,
 * and at the end from what it said before.
 */
#include "tests/simcluster/swarm.h"

#define MOVES_MAX 250U

static void tell(struct node *n)
{
	struct policy_addr at = {
	        2, {198, (uint8_t)(n->index >> 8), (uint8_t)n->index, (uint8_t)(n->moves + 1)}};

	cluster_links(n->cl, &at, 1, 4500);
}

void map_start(struct node *n)
{
	tell(n);
}

void map_move(struct world *w, struct node *n)
{
	if (!n->cl || n->moves == MOVES_MAX)
		return;
	n->moves++;
	say(w, n, "moves");
	node_begin(w, n);
	tell(n);
	node_end(w, n);
}

void map_ask(struct world *w, struct node *n)
{
	if (!n->cl)
		return;
	node_begin(w, n);
	cluster_where(n->cl, chance(w, 0.1));
	node_end(w, n);
}

/* Its moves, as it said; -1: that is not it. */
static int moves_of(const struct node *o, const struct session_links *l)
{
	const uint8_t *b = l->addrs[0].bytes;

	if (l->n != 1 || l->port != 4500 || b[0] != 198 || (b[1] << 8 | b[2]) != o->index)
		return -1;
	return b[3] - 1;
}

/* Rule 8: of an honest node nothing is believed that it did not say. */
void map_check(struct world *w, struct node *n)
{
	const char *name;

	while ((name = cluster_links_news(n->cl))) {
		const struct node *o = node_by_name(w, name);
		struct session_links l;
		int moves;

		if (!o || o->evil || !cluster_links_of(n->cl, name, &l))
			continue;
		moves = moves_of(o, &l);
		if (moves < 0 || moves > (int)o->moves)
			broken(w, "rule 8", "%s: it believes that %s is where it never was",
			        n->name, name);
	}
}

/* A seed knows where everyone is that has a session with it. */
void map_settled(struct world *w, struct node *n)
{
	struct engine_member_view m;

	for (size_t i = 0; n->seed && !cluster_member_at(n->cl, i, &m); i++) {
		const struct node *o = node_by_name(w, m.name);

		if (!o || o == n || o->evil || !m.session || w->core.rule)
			continue;
		if (!m.has_links || moves_of(o, &m.links) != (int)o->moves)
			broken(w, "settling", "%s: at the end it does not know where %s is",
			        n->name, o->name);
	}
}
