/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/core.h"

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

static struct core *core_of(struct world *w)
{
	return (struct core *)w; /* its first member */
}

void core_init(struct core *c, uint64_t seed)
{
	memset(c, 0, sizeof(*c));
	c->seed = c->rng = seed;
	c->trace = 0xcbf29ce484222325ULL;
}

void core_free(struct core *c)
{
	while (c->n_heap)
		free(c->heap[--c->n_heap].data);
	free(c->heap);
	c->heap = NULL;
	c->cap_heap = 0;
}

/* ---- chance ---- */

uint64_t rnd(struct world *w) /* splitmix64 */
{
	uint64_t z = core_of(w)->rng += 0x9e3779b97f4a7c15ULL;

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
	return chance(w, p) && !core_of(w)->calm;
}

int64_t rnd_us(struct world *w, int64_t lo, int64_t hi)
{
	return lo + (int64_t)rnd_below(w, (uint64_t)(hi - lo + 1));
}

/* ---- time ---- */

static bool sooner(const struct event *a, const struct event *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

void at(struct world *w, int64_t when, struct node *n, event_fn *fn, void *data)
{
	struct core *c = core_of(w);
	struct event ev = {when, ++c->n_events, n, fn, data};
	size_t i;

	if (c->n_heap == c->cap_heap) {
		c->cap_heap = c->cap_heap ? 2 * c->cap_heap : 256;
		c->heap = need(realloc(c->heap, c->cap_heap * sizeof(*c->heap)));
	}
	for (i = c->n_heap++; i && sooner(&ev, &c->heap[(i - 1) / 2]); i = (i - 1) / 2)
		c->heap[i] = c->heap[(i - 1) / 2];
	c->heap[i] = ev;
}

static struct event take(struct core *c)
{
	struct event top = c->heap[0], last = c->heap[--c->n_heap];
	size_t i = 0;

	for (;;) {
		size_t k = 2 * i + 1;

		if (k >= c->n_heap)
			break;
		if (k + 1 < c->n_heap && sooner(&c->heap[k + 1], &c->heap[k]))
			k++;
		if (!sooner(&c->heap[k], &last))
			break;
		c->heap[i] = c->heap[k];
		i = k;
	}
	c->heap[i] = last;
	return top;
}

bool core_run(struct world *w, int64_t until, void (*after)(struct world *w, struct node *n))
{
	struct core *c = core_of(w);

	while (c->n_heap && !c->rule && c->heap[0].when <= until) {
		struct event ev = take(c);

		c->now = ev.when;
		c->steps++;
		ev.fn(w, ev.node, ev.data);
		free(ev.data);
		if (after)
			after(w, ev.node);
	}
	if (!c->rule)
		c->now = until;
	return !c->rule;
}

/* ---- what happened ---- */

void trace(struct world *w, uint64_t v)
{
	struct core *c = core_of(w);

	for (int i = 0; i < 8; i++)
		c->trace = (c->trace ^ ((v >> (8 * i)) & 255)) * 0x100000001b3ULL;
}

void trace_str(struct world *w, const char *s)
{
	struct core *c = core_of(w);

	for (; s && *s; s++)
		c->trace = (c->trace ^ (uint8_t)*s) * 0x100000001b3ULL;
}

void broken(struct world *w, const char *rule, const char *fmt, ...)
{
	struct core *c = core_of(w);
	va_list ap;

	if (c->rule)
		return;
	c->rule = rule;
	va_start(ap, fmt);
	vsnprintf(c->what, sizeof(c->what), fmt, ap);
	va_end(ap);
}

void say(struct world *w, const struct node *n, const char *fmt, ...)
{
	struct core *c = core_of(w);
	va_list ap;

	if (!c->verbose)
		return;
	printf("%10.3f %-8s ", (double)c->now / US, n ? node_name(n) : "");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- memory ---- */

void *need(void *p)
{
	if (!p)
		abort();
	return p;
}

void *dup_mem(const void *p, size_t n)
{
	void *c = need(malloc(n ? n : 1));

	if (n)
		memcpy(c, p, n);
	return c;
}
