/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One timer per peer in a binary heap, and the queues in which peers wait for a turn. */
#include "engine/internal.h"

#include <string.h>

static bool sooner(const struct peer *a, const struct peer *b)
{
	if (a->due != b->due)
		return a->due < b->due;
	return strcmp(a->name, b->name) < 0;
}

static void heap_put(struct engine *e, size_t i, struct peer *p)
{
	e->heap[i - 1] = p;
	p->heap = i;
}

static void heap_up(struct engine *e, size_t i, struct peer *p)
{
	while (i > 1 && sooner(p, e->heap[i / 2 - 1])) {
		heap_put(e, i, e->heap[i / 2 - 1]);
		i /= 2;
	}
	heap_put(e, i, p);
}

static void heap_down(struct engine *e, size_t i, struct peer *p)
{
	for (;;) {
		size_t c = 2 * i;

		if (c > e->n_heap)
			break;
		if (c < e->n_heap && sooner(e->heap[c], e->heap[c - 1]))
			c++;
		if (!sooner(e->heap[c - 1], p))
			break;
		heap_put(e, i, e->heap[c - 1]);
		i = c;
	}
	heap_put(e, i, p);
}

static bool heap_grow(struct engine *e)
{
	size_t cap = e->cap_heap ? e->cap_heap * 2 : 64;
	struct peer **v = mem_alloc(e, cap * sizeof(struct peer *));

	if (!v)
		return false;
	if (e->heap)
		memcpy(v, e->heap, e->n_heap * sizeof(*v));
	mem_free(e, e->heap, e->cap_heap * sizeof(struct peer *));
	e->heap = v;
	e->cap_heap = cap;
	return true;
}

void timer_cancel(struct engine *e, struct peer *p)
{
	size_t i = p->heap;
	struct peer *last;

	if (!i)
		return;
	p->heap = 0;
	last = e->heap[--e->n_heap];
	if (last == p)
		return;
	if (i > 1 && sooner(last, e->heap[i / 2 - 1]))
		heap_up(e, i, last);
	else
		heap_down(e, i, last);
}

void timer_set(struct engine *e, struct peer *p, int64_t due)
{
	if (p->heap && p->due == due)
		return;
	timer_cancel(e, p);
	p->due = due;
	if (due == ENGINE_NEVER || (e->n_heap == e->cap_heap && !heap_grow(e)))
		return;
	heap_up(e, ++e->n_heap, p);
}

struct peer *timer_first(const struct engine *e)
{
	return e->n_heap ? e->heap[0] : NULL;
}

/*
 * Where thousands wait for charon, seeds and those whose programs talk with us do not wait for the
 * dead. Not to initiate: the dead are tried again and again there, and nobody else had a turn.
 */
static bool goes_first(enum queue_kind q, const struct peer *p)
{
	return (q == Q_LOAD || q == Q_END) && (p->met || p->seeded);
}

void queue_add(struct engine *e, enum queue_kind q, struct peer *p)
{
	struct queue *l = &e->queues[q];
	struct link *k = &p->links[q];
	bool first = goes_first(q, p);
	struct peer *before = first ? l->first : l->tail;

	if (k->on)
		return;
	*k = (struct link){
	        .prev = before, .next = before ? before->links[q].next : l->head, .on = true};
	if (before)
		before->links[q].next = p;
	else
		l->head = p;
	if (k->next)
		k->next->links[q].prev = p;
	else
		l->tail = p;
	if (first)
		l->first = p;
	l->n++;
}

void queue_remove(struct engine *e, enum queue_kind q, struct peer *p)
{
	struct queue *l = &e->queues[q];
	struct link *k = &p->links[q];

	if (!k->on)
		return;
	if (k->prev)
		k->prev->links[q].next = k->next;
	else
		l->head = k->next;
	if (k->next)
		k->next->links[q].prev = k->prev;
	else
		l->tail = k->prev;
	if (l->first == p)
		l->first = k->prev;
	*k = (struct link){0};
	l->n--;
}

struct peer *queue_pop(struct engine *e, enum queue_kind q)
{
	struct peer *p = e->queues[q].head;

	if (p)
		queue_remove(e, q, p);
	return p;
}
