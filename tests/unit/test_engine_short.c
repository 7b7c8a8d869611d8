/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cluster that is short of memory: each allocation of the machine fails once, then for a while.
 * Nothing crashes, nothing goes back, and once memory is there all have the newest.
 *
 * The file that allocates is built in here, with our calloc.
 */
#include <stddef.h>
#include <stdlib.h>

static void *short_calloc(size_t n, size_t size);
#define calloc short_calloc
#include "engine/cluster.c"
#undef calloc

#include "tests/unit/admissions_bed.h"

static long countdown, fail_for, calls; /* fails the countdown-th and those fail_for after it */

static void *short_calloc(size_t n, size_t size)
{
	calls++;
	if (countdown > 0 && calls >= countdown && calls < countdown + fail_for)
		return NULL;
	return calloc(n, size);
}

/* As a newcomer that is told that there is no memory, and asks again. */
static void must_admit(struct cbed *b, int node, const struct policy_admission *a)
{
	for (int k = 0; k < 100; k++) {
		int ret = admit(b, node, a, true);

		if (!ret)
			return;
		assert_int_equal(ret, -ENOMEM);
		pass(b, 100000);
	}
	fail_msg("%s is not let in", a->name);
}

static struct policy_admission g, h;

/*
 * Bundles spread, guests are let in, somebody asks, somebody is away for a while. Returns the
 * allocations.
 */
static long day(struct scene *s, long at, long times)
{
	struct cbed *b;

	countdown = 0;
	s->b = b = cbed_new();
	b->may_short = true;
	for (int i = 0; i < 4; i++)
		node_start(b, i, s->local, i == 3 ? NULL : &s->f[1]);
	calls = 0;
	countdown = at;
	fail_for = times;
	pass(b, 2 * US);
	if (serial_of(b, 0))
		must_admit(b, 0, &g);
	node_give(b, 2, &s->f[2]);
	step_begin(b, 2);
	cluster_who(b->n[2].c);
	step_end(b, 2);
	pass(b, 2 * US);
	node_reach(b, 3, 0, CLUSTER_GONE);
	puppet_note(b, 2, 3, &s->f[3].short_head);
	pass(b, 2 * US);
	node_reach(b, 3, 0, CLUSTER_UP);
	for (int k = 0; k < 5 && serial_of(b, 0) < 3; k++) { /* as an admin would, who is told */
		node_give(b, 0, &s->f[3]);
		pass(b, US);
	}
	countdown = 0;
	if (serial_of(b, 0) < 3)
		node_give(b, 0, &s->f[3]);
	for (int i = 0; i < 4; i++)
		assert_in_range(serial_of(b, i), 0, 3);
	pass(b, US);
	must_admit(b, 0, &g);
	must_admit(b, 0, &h);
	pass(b, 120 * US);
	for (int i = 0; i < 4; i++) {
		if (serial_of(b, i) != 3)
			fail_msg("allocation %ld, %ld times: %s has serial %llu", at, times,
			        name_of(i), (unsigned long long)serial_of(b, i));
		assert_int_equal(b->n[i].stored, 3);
		if (!is_guest(b, i, "g") || !is_guest(b, i, "h"))
			fail_msg("allocation %ld, %ld times: %s misses a guest", at, times,
			        name_of(i));
		assert_true(cluster_admission_stored(b->n[i].c, &g.key));
		assert_true(cluster_admission_stored(b->n[i].c, &h.key));
		assert_int_equal(node_look(b, i).n_sessions, i < 2 ? 3 : 2);
	}
	assert_int_equal(node_look(b, 0).n_applied, 4);
	cbed_free(b);
	return calls;
}

static void scene_make(struct scene *s)
{
	struct recipe r = with_tokens(1, 10, NULL);

	memset(s, 0, sizeof(*s));
	g = guest_of(G, 0);
	h = guest_of(G + 1, 0);
	r.spare = 2;
	for (int i = 1; i < 4; i++) {
		r.serial = (uint64_t)i;
		s->f[i] = bundle_of(&r, i > 1 ? &s->f[i - 1] : NULL);
	}
	r.serial = 1;
	s->local = recipe_policy(&r);
}

static void test_each_once(void **state)
{
	struct scene s;
	long n;

	(void)state;
	scene_make(&s);
	n = day(&s, 0, 0);
	assert_true(n > 100);
	for (long i = 1; i <= n; i += 1 + n / 400)
		day(&s, i, 1);
	print_message("%ld allocations\n", n);
	s.b = cbed_new();
	end(&s);
}

static void test_for_a_while(void **state)
{
	struct scene s;
	long n;

	(void)state;
	scene_make(&s);
	n = day(&s, 0, 0);
	for (long i = 1; i <= n; i += 1 + n / 60)
		day(&s, i, 40);
	s.b = cbed_new();
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_each_once),
	        cmocka_unit_test(test_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
