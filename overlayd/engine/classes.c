/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Classes: the distinct sets of allow rules that join peers with us. Nodes of one role set share
 * one, so the ruleset does not grow with peers. A table that still serves is kept as it is: peers
 * that come and go then change elements only. Numbers follow the order of the sets' bits, so they
 * depend on the policy alone.
 */
#include "engine/internal.h"

#include <stdlib.h>
#include <string.h>

struct draft {
	uint64_t *bits; /* one set per peer */
	uint32_t *order;
	size_t words, n;
};

static const uint64_t *draft_at(const struct draft *d, uint32_t i)
{
	return d->bits + (size_t)i * d->words;
}

static int by_bits(const void *a, const void *b, void *arg)
{
	const struct draft *d = arg;

	return memcmp(draft_at(d, *(const uint32_t *)a), draft_at(d, *(const uint32_t *)b),
	        d->words * sizeof(uint64_t));
}

static int draft_make(struct engine *e, struct draft *d, bool in)
{
	d->words = (e->policy->n_allows + 63) / 64;
	d->n = e->n_peers;
	d->bits = mem_alloc(e, d->n * d->words * sizeof(uint64_t));
	d->order = mem_alloc(e, d->n * sizeof(uint32_t));
	if (!d->bits || !d->order)
		return -1;
	for (uint32_t i = 0; i < d->n; i++) {
		const struct policy_peer *want = e->peers[i]->want;
		uint64_t *bits = d->bits + (size_t)i * d->words;

		d->order[i] = i;
		if (want && e->self && d->words)
			policy_allows_between(
			        e->policy, in ? want : e->self, in ? e->self : want, bits);
	}
	if (d->words)
		qsort_r(d->order, d->n, sizeof(uint32_t), by_bits, d);
	return 0;
}

static void draft_free(struct engine *e, struct draft *d)
{
	mem_free(e, d->bits, d->n * d->words * sizeof(uint64_t));
	mem_free(e, d->order, d->n * sizeof(uint32_t));
}

void classes_free(struct engine *e, struct class_table *t)
{
	mem_free(e, t->bits, t->n * t->words * sizeof(uint64_t));
	*t = (struct class_table){0};
}

static const uint64_t *class_at(const struct class_table *t, size_t i)
{
	return t->bits + i * t->words;
}

/* Class 0 is the empty set, which sorts first too; binary search over all. */
static bool class_find(const struct class_table *t, const uint64_t *bits, uint16_t *out)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = memcmp(bits, class_at(t, mid), t->words * sizeof(uint64_t));

		if (!c) {
			*out = (uint16_t)mid;
			return true;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return false;
}

static bool table_serves(const struct class_table *t, const struct draft *d)
{
	uint16_t cls;

	if (!t->n || t->words != d->words)
		return false;
	for (uint32_t i = 0; i < d->n && d->words; i++)
		if (!class_find(t, draft_at(d, i), &cls))
			return false;
	return true;
}

static int table_make(struct engine *e, struct class_table *out, const struct draft *d)
{
	struct class_table t = {.words = d->words, .n = 1};
	size_t last = 0;

	for (size_t pass = 0; pass < 2; pass++) {
		size_t n = 1;

		for (size_t k = 0; k < d->n && d->words; k++) {
			const uint64_t *bits = draft_at(d, d->order[k]);
			static const uint64_t zero[POLICY_ALLOWS_MAX / 64];

			if (!memcmp(bits, zero, d->words * sizeof(uint64_t)) ||
			        (n > 1 && !memcmp(bits, draft_at(d, d->order[last]),
			                          d->words * sizeof(uint64_t))))
				continue;
			if (t.bits)
				memcpy(t.bits + n * t.words, bits, d->words * sizeof(uint64_t));
			last = k;
			n++;
		}
		if (pass)
			break;
		t.n = n;
		t.bits = mem_alloc(e, t.n * t.words * sizeof(uint64_t));
		if (!t.bits)
			return -1;
	}
	classes_free(e, out);
	*out = t;
	return 0;
}

static int side_make(struct engine *e, struct class_table *t, bool in, bool same_rules)
{
	struct draft d = {0};
	int err = draft_make(e, &d, in);

	if (!err && !(same_rules && table_serves(t, &d)))
		err = table_make(e, t, &d);
	for (uint32_t i = 0; !err && i < d.n; i++) {
		struct peer *p = e->peers[i];
		uint16_t cls = 0;

		if (d.words)
			class_find(t, draft_at(&d, i), &cls);
		if (in)
			p->class_in = cls;
		else
			p->class_out = cls;
	}
	draft_free(e, &d);
	return err;
}

/* Fails (-1, out of memory) with the old tables in place. */
int classes_make(struct engine *e)
{
	uint64_t digest = rules_digest(e);
	bool same = digest == e->rules_digest;

	if (side_make(e, &e->in, true, same) || side_make(e, &e->out, false, same))
		return -1;
	e->rules_digest = digest;
	return 0;
}

static uint64_t digest_where(uint64_t h, const struct policy_where *w)
{
	return digest_u64(digest_str(h, w->file), w->line);
}

static uint64_t digest_prefix(uint64_t h, const struct policy_prefix *x)
{
	return digest_u64(digest_addr(h, &x->addr), x->len);
}

/* All that the table says apart from its classes and peers; lines too, as rules name them. */
uint64_t rules_digest(const struct engine *e)
{
	const struct policy *pol = e->policy;
	uint64_t h = digest_u64(DIGEST_START, pol->firewall);

	h = digest_u64(digest_u64(h, pol->port), pol->enforce);
	h = digest_u64(h, policy_mesh_on_demand(pol));
	h = digest_prefix(digest_prefix(h, &pol->overlay4), &pol->overlay6);
	if (e->self) {
		h = digest_addr(digest_addr(h, &e->self->addr4), &e->self->addr6);
		h = digest_str(h, e->self->name);
	}
	for (size_t i = 0; i < pol->n_services; i++) {
		const struct policy_service *s = &pol->services[i];

		h = digest_u64(digest_str(h, s->name), s->n_ports);
		for (size_t j = 0; j < s->n_ports; j++) {
			h = digest_u64(h, s->ports[j].proto);
			h = digest_u64(digest_u64(h, s->ports[j].first), s->ports[j].last);
		}
	}
	for (size_t i = 0; i < pol->n_allows; i++) {
		const struct policy_allow *a = &pol->allows[i];

		h = digest_u64(digest_u64(h, a->from == POLICY_ANY), a->to == POLICY_ANY);
		h = digest_str(h, a->from == POLICY_ANY ? "*" : pol->roles[a->from]);
		h = digest_str(h, a->to == POLICY_ANY ? "*" : pol->roles[a->to]);
		h = digest_where(digest_str(h, pol->services[a->service].name), &a->where);
	}
	for (size_t i = 0; i < pol->n_manage; i++) {
		h = digest_prefix(h, &pol->manage[i].from);
		h = digest_str(h, pol->services[pol->manage[i].service].name);
		h = digest_where(h, &pol->manage[i].where);
	}
	return h;
}
