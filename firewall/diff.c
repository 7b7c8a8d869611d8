/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The smallest transaction from what is there to what is wanted. */
#include <stdio.h>
#include "firewall/shape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int key_order(const void *a, const void *b)
{
	const struct elem *x = a, *y = b;

	return x->set != y->set ? (x->set < y->set ? -1 : 1)
	                        : memcmp(x->key, y->key, sizeof(x->key));
}

static bool same_class(const struct elem *a, const struct elem *b)
{
	if (!a->class || !b->class)
		return a->class == b->class;
	return !strcmp(a->class, b->class);
}

static bool same_end(uint64_t a, uint64_t b, uint64_t slack_ms)
{
	if (!a || !b)
		return a == b;
	return (a > b ? a - b : b - a) <= slack_ms;
}

struct moves {
	struct elem_list renew; /* see remove_elem() */
	struct elem_list del;
	struct elem_list add;
};

/* An element with an end may expire between our decision and the transaction, and deleting what is
 * not there fails it whole. So it is first added just as it is: a no-op, or its revival for the
 * length of the transaction. (Kernels before 6.3 have no "destroy"; those before 6.12 ignore the
 * new time.) */
static int remove_elem(struct moves *m, const struct elem *e)
{
	int rc = e->until_ms && e->len ? elem_list_add(&m->renew, e) : 0;

	return rc ? rc : elem_list_add(&m->del, e);
}

static int walk(struct moves *m, struct elem_list *have, struct elem_list *want, uint64_t slack_ms)
{
	size_t h = 0, w = 0;
	int rc = 0;

	while (!rc && (h < have->n || w < want->n)) {
		int order = h == have->n   ? 1
		            : w == want->n ? -1
		                           : key_order(&have->e[h], &want->e[w]);

		if (order < 0) {
			rc = remove_elem(m, &have->e[h++]);
		} else if (order > 0) {
			rc = elem_list_add(&m->add, &want->e[w++]);
		} else {
			const struct elem *old = &have->e[h++], *new = &want->e[w++];

			if (same_class(old, new) &&
			        same_end(old->until_ms, new->until_ms, slack_ms))
				continue;
			rc = remove_elem(m, old);
			rc = rc ? rc : elem_list_add(&m->add, new);
		}
	}
	return rc;
}

int diff_elems(struct batch *b, struct elem_list *have, struct elem_list *want, uint64_t slack_ms,
        uint64_t now_ms, struct change *out)
{
	struct moves m = {0};
	int rc;

	if (have->n)
		qsort(have->e, have->n, sizeof(*have->e), key_order);
	if (want->n)
		qsort(want->e, want->n, sizeof(*want->e), key_order);
	rc = walk(&m, have, want, slack_ms);
	if (!rc) {
		put_elems(b, NFT_MSG_NEWSETELEM, &m.renew, now_ms);
		put_elems(b, NFT_MSG_DELSETELEM, &m.del, now_ms);
		put_elems(b, NFT_MSG_NEWSETELEM, &m.add, now_ms);
		out->added = (unsigned)m.add.n;
		out->removed = (unsigned)m.del.n;
		rc = b->failed ? -ENOMEM : 0;
	}
	elem_list_clear(&m.renew);
	elem_list_clear(&m.del);
	elem_list_clear(&m.add);
	return rc;
}

struct gathering {
	struct elem_list *l;
	uint64_t now_ms;
};

static int gather(void *ctx, const struct elem *e)
{
	struct gathering *g = ctx;

	if (e->until_ms && e->until_ms <= g->now_ms)
		return 0;
	return elem_list_add(g->l, e);
}

static bool must_replace(const struct shape *have, const struct shape *want)
{
	if (!have->exists || have->foreign)
		return true;
	for (size_t i = 0; i < have->n; i++) {
		const struct shape_chain *h = &have->chains[i];
		const struct shape_chain *w = shape_chain_find(want, h->name);

		if (!w && strncmp(h->name, "in_", 3) && strncmp(h->name, "out_", 4))
			return true; /* not even a class of an older ruleset */
		if (w ? h->base != w->base || h->hook != w->hook || h->prio != w->prio : h->base)
			return true;
	}
	return false;
}

static void put_everything(struct batch *b, const struct table *t)
{
	put_table(b, NFT_MSG_NEWTABLE);
	put_table(b, NFT_MSG_DELTABLE);
	put_table(b, NFT_MSG_NEWTABLE);
	for (int id = 0; id < SET_COUNT; id++)
		if (!set_is_of_class(id))
			put_set(b, id, NULL);
	for (size_t i = 0; i < t->n; i++) {
		put_class_sets(b, t->chains[i].name);
		put_chain(b, &t->chains[i]);
	}
	for (size_t i = 0; i < t->n; i++)
		put_rules(b, &t->chains[i]);
	for (int id = SET_ELEMENTS; id < SET_STATIC; id++)
		put_static(b, t->rs, id, false);
}

static void put_changed(
        struct batch *b, const struct shape *have, const struct table *t, const struct shape *want)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct shape_chain *h = shape_chain_find(have, t->chains[i].name);

		if (!h)
			put_class_sets(b, t->chains[i].name);
		if (!h || (h->base && h->drop != t->chains[i].drop))
			put_chain(b, &t->chains[i]);
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct shape_chain *h = shape_chain_find(have, t->chains[i].name);

		if (h && !strcmp(h->rules, want->chains[i].rules))
			continue;
		if (h && *h->rules)
			flush_chain(b, h->name);
		put_rules(b, &t->chains[i]);
	}
	for (int id = SET_ELEMENTS; id < SET_STATIC; id++)
		if (strcmp(have->statics[id], want->statics[id]))
			put_static(b, t->rs, id, *have->statics[id]);
}

int diff_table(struct batch *b, const struct have *have, const struct table *t,
        const struct shape *want, uint64_t now_ms, struct change *out)
{
	struct elem_list wanted = {0}, none = {0};
	struct gathering g = {&wanted, now_ms};
	bool replace = must_replace(have->shape, want);
	int rc = fw_elems_each(t->rs, gather, &g);

	if (!rc && replace)
		put_everything(b, t);
	else if (!rc)
		put_changed(b, have->shape, t, want);
	if (!rc)
		rc = diff_elems(
		        b, replace ? &none : have->elems, &wanted, have->slack_ms, now_ms, out);
	for (size_t i = 0; !rc && !replace && i < have->shape->n; i++)
		if (!shape_chain_find(want, have->shape->chains[i].name))
			del_class(b, have->shape->chains[i].name);
	out->replaced = replace;
	elem_list_clear(&wanted);
	if (rc)
		b->failed = true;
	return b->failed ? -ENOMEM : 0;
}
