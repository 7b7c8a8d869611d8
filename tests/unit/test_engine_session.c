/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cluster machines that talk: how a bundle gets to everybody, and what hostile peers achieve. */
#include "tests/unit/cluster_bed.h"

#include "engine/cluster_internal.h"

#define ALL4 0xfU

struct scene {
	struct cbed *b;
	struct policy *local;
	struct signed_file f[8]; /* serial i, each following the one before; f[7]: not made */
};

/* Nodes a and b are seeds, c and d members; all of serial 1. puppets: bits. */
static void begin(struct scene *s, unsigned puppets)
{
	struct recipe r = {.members = ALL4, .seeds = 2, .spare = 20};

	memset(s, 0, sizeof(*s));
	for (int i = 1; i < 7; i++) {
		r.serial = (uint64_t)i;
		s->f[i] = bundle_of(&r, i > 1 ? &s->f[i - 1] : NULL);
	}
	r.serial = 1;
	s->local = recipe_policy(&r);
	s->b = cbed_new();
	for (int i = 0; i < 4; i++) {
		s->b->n[i].puppet = puppets >> i & 1;
		if (!s->b->n[i].puppet)
			node_start(s->b, i, s->local, &s->f[1]);
	}
	pass(s->b, 3 * US);
}

static void end(struct scene *s)
{
	cbed_free(s->b);
	policy_unref(s->local);
	for (int i = 0; i < 8; i++)
		free(s->f[i].data);
}

static void all_have(struct scene *s, uint64_t serial)
{
	for (int i = 0; i < 4; i++)
		if (s->b->n[i].c)
			assert_int_equal(serial_of(s->b, i), serial);
}

/* ---- how it spreads ---- */

static void test_spread(void **state)
{
	struct engine_bundle_view v;
	struct scene s;

	(void)state;
	begin(&s, 0);
	all_have(&s, 1);
	v = node_look(s.b, 0);
	assert_int_equal(v.n_sessions, 3);
	assert_int_equal(node_look(s.b, 2).n_sessions, 2);
	memset(s.b->bytes, 0, sizeof(s.b->bytes));
	node_give(s.b, 2, &s.f[2]);
	pass(s.b, 20000);
	all_have(&s, 2);
	/* to two seeds, and each seed to the others: differences only */
	assert_in_range(s.b->bytes[SESSION_BUNDLE], 1, 8 * 800);
	assert_int_equal(s.b->sent[SESSION_WANT], 0);
	pass(s.b, US);
	v = node_look(s.b, 0);
	assert_int_equal(v.n_members, 4 + 20);
	assert_int_equal(v.n_applied, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(s.b->n[i].stored, 2);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
