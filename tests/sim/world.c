/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The world from its beginning to its end; what happens comes from core.c. */
#include "tests/sim/guest.h"

#include <stdlib.h>
#include <string.h>

const char *node_name(const struct node *n)
{
	return n->name;
}

bool same_addr(const struct policy_addr *a, const struct policy_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, a->family == 2 ? 4 : 16);
}

static void look(struct world *w, struct node *n)
{
	for (int i = 0; i < w->n_nodes && !w->core.rule; i++)
		if (&w->nodes[i] == n || w->core.steps % 16 == 0)
			check_node(w, &w->nodes[i]);
}

bool world_run(struct world *w)
{
	if (core_run(w, w->core.end, look))
		check_settled(w);
	return !w->core.rule;
}

void world_free(struct world *w)
{
	core_free(&w->core);
	for (int i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];

		engine_free(n->engine);
		policy_unref(n->files);
		for (size_t j = 0; j < n->n_held; j++)
			policy_unref(n->held[j].policy);
	}
	policy_unref(w->policy);
	guest_free(w);
	session_free(w);
	join_free(w);
}
