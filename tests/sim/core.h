/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * core: what the simulators share. All that happens is an event, in order of time; all that is left
 * to chance comes from one seeded stream, and all that happened goes into the trace: two runs of one
 * seed have the same.
 *
 * Each simulator has its own `struct world`, which begins with a `struct core`, and its own `struct
 * node`, which this file only hands on.
 */
#ifndef TESTS_SIM_CORE_H
#define TESTS_SIM_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define US 1000000LL
#define EPOCH_S 1767225600LL /* the simulated wall clock begins: 2026-01-01 */

struct world;
struct node;
typedef void event_fn(struct world *w, struct node *n, void *data);

struct core {
	uint64_t seed, rng, trace;
	int64_t now;        /* us */
	int64_t quiet, end; /* trouble is over, all is */
	uint64_t steps, n_events;
	bool calm; /* trouble is over */
	bool verbose;
	struct event *heap;
	size_t n_heap, cap_heap;
	const char *rule; /* broken */
	char what[512];
};

void core_init(struct core *c, uint64_t seed);
void core_free(struct core *c);
/* Until then, or a rule is broken (false); then it is `until`. After each event: after(), or NULL. */
bool core_run(struct world *w, int64_t until, void (*after)(struct world *w, struct node *n));

uint64_t rnd(struct world *w);
uint64_t rnd_below(struct world *w, uint64_t n);
bool chance(struct world *w, double p);
bool trouble(struct world *w, double p); /* never in the calm */
int64_t rnd_us(struct world *w, int64_t lo, int64_t hi);
void at(struct world *w, int64_t when, struct node *n, event_fn *fn, void *data); /* frees data */
void trace(struct world *w, uint64_t v);
void trace_str(struct world *w, const char *s);
void broken(struct world *w, const char *rule, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
void say(struct world *w, const struct node *n, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
void *need(void *p); /* p, or no more memory */
void *dup_mem(const void *p, size_t n);

/* Each simulator's own. */
const char *node_name(const struct node *n);

#endif
