/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time, chance and trace: everything in the simulator happens through here. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct event {
	int64_t when;
	uint64_t order;
	struct node *node;
	event_fn *fn;
	void *data;
};

uint64_t rnd(struct world *w) /* splitmix64 */
{
	uint64_t z = w->rng += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t rnd_below(struct world *w, uint64_t n)
{
	return n ? rnd(w) % n : 0;
}

bool chance(struct world *w, double p)
{
	return (double)(rnd(w) >> 11) / (double)(1ULL << 53) < p;
}

bool trouble(struct world *w, double p)
{
	return chance(w, p) && !w->calm;
}

int64_t rnd_us(struct world *w, int64_t lo, int64_t hi)
{
	return lo + (int64_t)rnd_below(w, (uint64_t)(hi - lo + 1));
}

void *dup_mem(const void *p, size_t n)
{
	void *c = malloc(n ? n : 1);

	if (!c)
		abort();
	memcpy(c, p, n);
	return c;
}

bool same_addr(const struct policy_addr *a, const struct policy_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, a->family == 2 ? 4 : 16);
}

static bool sooner(const struct event *a, const struct event *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

void at(struct world *w, int64_t when, struct node *n, event_fn *fn, void *data)
{
	struct event ev = {when, ++w->n_events, n, fn, data};
	size_t i;

	if (w->n_heap == w->cap_heap) {
		w->cap_heap = w->cap_heap ? 2 * w->cap_heap : 256;
		w->heap = realloc(w->heap, w->cap_heap * sizeof(*w->heap));
		if (!w->heap)
			abort();
	}
	for (i = w->n_heap++; i && sooner(&ev, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = ev;
}

static struct event take(struct world *w)
{
	struct event top = w->heap[0], last = w->heap[--w->n_heap];
	size_t i = 0;

	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= w->n_heap)
			break;
		if (c + 1 < w->n_heap && sooner(&w->heap[c + 1], &w->heap[c]))
			c++;
		if (!sooner(&w->heap[c], &last))
			break;
		w->heap[i] = w->heap[c];
		i = c;
	}
	w->heap[i] = last;
	return top;
}

bool world_run(struct world *w)
{
	while (w->n_heap && !w->rule && w->heap[0].when <= w->end) {
		struct event ev = take(w);

		w->now = ev.when;
		w->steps++;
		ev.fn(w, ev.node, ev.data);
		free(ev.data);
		for (int i = 0; i < w->n_nodes && !w->rule; i++)
			if (&w->nodes[i] == ev.node || w->steps % 16 == 0)
				check_node(w, &w->nodes[i]);
	}
	if (!w->rule) {
		w->now = w->end;
		check_settled(w);
	}
	return !w->rule;
}

void world_free(struct world *w)
{
	while (w->n_heap)
		free(w->heap[--w->n_heap].data);
	free(w->heap);
	for (int i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];

		engine_free(n->engine);
		policy_unref(n->files);
		for (size_t j = 0; j < n->n_held; j++)
			policy_unref(n->held[j].policy);
	}
	policy_unref(w->policy);
	session_free(w);
	join_free(w);
}

void trace(struct world *w, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		w->trace = (w->trace ^ ((v >> (8 * i)) & 255)) * 0x100000001b3ULL;
}

void trace_str(struct world *w, const char *s)
{
	for (; s && *s; s++)
		w->trace = (w->trace ^ (uint8_t)*s) * 0x100000001b3ULL;
}

void broken(struct world *w, const char *rule, const char *fmt, ...)
{
	va_list ap;

	if (w->rule)
		return;
	w->rule = rule;
	va_start(ap, fmt);
	vsnprintf(w->what, sizeof(w->what), fmt, ap);
	va_end(ap);
}

void say(struct world *w, const struct node *n, const char *fmt, ...)
{
	va_list ap;

	if (!w->verbose)
		return;
	printf("%10.3f %-6s ", (double)w->now / US, n ? n->name : "");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}
