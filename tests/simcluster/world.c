/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time, chance and trace: everything in the swarm happens through here. */
#include "tests/simcluster/swarm.h"

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

uint64_t rnd(struct swarm *w) /* splitmix64 */
{
	uint64_t z = w->rng += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t rnd_below(struct swarm *w, uint64_t n)
{
	return n ? rnd(w) % n : 0;
}

bool chance(struct swarm *w, double p)
{
	return (double)(rnd(w) >> 11) / (double)(1ULL << 53) < p;
}

bool trouble(struct swarm *w, double p)
{
	return chance(w, p) && !w->calm;
}

int64_t rnd_us(struct swarm *w, int64_t lo, int64_t hi)
{
	return lo + (int64_t)rnd_below(w, (uint64_t)(hi - lo + 1));
}

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

static bool sooner(const struct event *a, const struct event *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

void at(struct swarm *w, int64_t when, struct node *n, event_fn *fn, void *data)
{
	struct event ev = {when, ++w->n_events, n, fn, data};
	size_t i;

	if (w->n_heap == w->cap_heap) {
		w->cap_heap = w->cap_heap ? 2 * w->cap_heap : 256;
		w->heap = need(realloc(w->heap, w->cap_heap * sizeof(*w->heap)));
	}
	for (i = w->n_heap++; i && sooner(&ev, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = ev;
}

static struct event take(struct swarm *w)
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

bool world_run(struct swarm *w, int64_t until)
{
	while (w->n_heap && !w->rule && w->heap[0].when <= until) {
		struct event ev = take(w);

		w->now = ev.when;
		w->steps++;
		ev.fn(w, ev.node, ev.data);
		free(ev.data);
	}
	if (!w->rule)
		w->now = until;
	return !w->rule;
}

void world_free(struct swarm *w)
{
	struct sess *s;

	while (w->n_heap)
		free(w->heap[--w->n_heap].data);
	free(w->heap);
	HASH_CLEAR(hh, w->ends);
	while ((s = w->sessions)) {
		w->sessions = s->next;
		free(s);
	}
	for (int i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];

		cluster_free(n->cl);
		policy_unref(n->policy);
		sign_free(n);
		free(n->links);
		free(n->said);
	}
	blobs_free(w);
	memo_free(w->memo);
	admin_end(w);
	free(w->nodes);
	free(w->links);
	free(w->overheard);
}

void trace(struct swarm *w, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		w->trace = (w->trace ^ ((v >> (8 * i)) & 255)) * 0x100000001b3ULL;
}

void trace_str(struct swarm *w, const char *s)
{
	for (; s && *s; s++)
		w->trace = (w->trace ^ (uint8_t)*s) * 0x100000001b3ULL;
}

void broken(struct swarm *w, const char *rule, const char *fmt, ...)
{
	va_list ap;

	if (w->rule)
		return;
	w->rule = rule;
	va_start(ap, fmt);
	vsnprintf(w->what, sizeof(w->what), fmt, ap);
	va_end(ap);
}

void say(struct swarm *w, const struct node *n, const char *fmt, ...)
{
	va_list ap;

	if (!w->verbose)
		return;
	printf("%10.3f %-8s ", (double)w->now / US, n ? n->name : "");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}
