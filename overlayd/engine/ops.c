/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Effects in flight: who waits for which answer, until when, and when to try again. */
#include "engine/internal.h"

static struct flight *flight_of(struct map_node *node)
{
	return (struct flight *)node; /* its first member */
}

struct flight *flight_find(struct engine *e, uint64_t id)
{
	return id ? flight_of(map_find(&e->flights, id)) : NULL;
}

static void flight_free(struct engine *e, struct flight *f)
{
	map_remove(&e->flights, &f->node);
	e->n_flights[f->kind]--;
	mem_free(e, f, sizeof(*f));
}

void flights_free(struct engine *e)
{
	for (size_t i = 0; i < e->flights.n_slots; i++)
		while (e->flights.slots[i])
			flight_free(e, flight_of(e->flights.slots[i]));
	map_clear(&e->flights);
}

bool op_ready(const struct engine *e, const struct op *op)
{
	return !op->id && e->now.mono_us >= op->at;
}

bool op_late(const struct engine *e, const struct op *op)
{
	return op->id && e->now.mono_us >= op->at;
}

struct engine_effect *op_start(struct engine *e, struct op *op, enum op_kind kind,
        enum engine_effect_type type, struct peer *p, uint32_t sa_id)
{
	struct flight *f = arena_reserve(e) ? mem_alloc(e, sizeof(*f)) : NULL;
	struct engine_effect *fx;

	if (!f || map_add(&e->flights, &f->node, e->next_id + 1)) {
		mem_free(e, f, sizeof(*f));
		goto oom;
	}
	f->kind = kind;
	f->peer = p;
	f->sa_id = sa_id;
	e->n_flights[kind]++;
	fx = out_effect(e, type, e->next_id + 1);
	if (!fx) {
		flight_free(e, f);
		goto oom;
	}
	op->id = ++e->next_id;
	op->at = e->now.mono_us + e->cfg.effect_timeout_us;
	if (p)
		peer_wake(p, op->at);
	return fx;
oom:
	e->oom = true;
	op->at = e->now.mono_us + 1000000;
	if (p)
		peer_wake(p, op->at);
	return NULL;
}

void op_land(struct engine *e, struct op *op)
{
	struct flight *f = flight_find(e, op->id);

	if (f)
		flight_free(e, f);
	op->id = 0;
}

void op_drop(struct engine *e, struct op *op)
{
	op_land(e, op);
	op->at = 0;
	op->fails = 0;
}

void op_ok(struct engine *e, struct op *op)
{
	op_drop(e, op);
}

void op_fail(struct engine *e, struct op *op)
{
	op_land(e, op);
	if (op->fails < UINT32_MAX)
		op->fails++;
	op->at = e->now.mono_us + backoff_us(e, op->fails);
}

static uint64_t rng_next(struct engine *e) /* xorshift64* */
{
	uint64_t x = e->rng;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	e->rng = x;
	return x * 0x2545f4914f6cdd1dULL;
}

int64_t jitter_us(struct engine *e, int64_t below)
{
	return (int64_t)((rng_next(e) >> 32) % (uint64_t)below);
}

/* Doubles from the least to the most, then plus or minus a quarter. */
int64_t backoff_us(struct engine *e, uint32_t fails)
{
	int64_t d = e->cfg.backoff_min_us;

	for (uint32_t i = 1; i < fails && d < e->cfg.backoff_max_us; i++)
		d *= 2;
	if (d > e->cfg.backoff_max_us)
		d = e->cfg.backoff_max_us;
	return d - d / 4 + jitter_us(e, d / 2 + 1);
}
