/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token's join where memory is short, on either side: each allocation fails once, or for a while.
 * Nobody is refused for it, nothing is used up twice, and whoever asks again is let in.
 *
 * The files that allocate are built in here, with our calloc.
 */
#include <stddef.h>
#include <stdlib.h>

static void *short_calloc(size_t n, size_t size);
#define ARENA_BLOCK 512U /* so that words need memory in each step */
#define calloc short_calloc
#include "engine/engine.c"
#include "engine/map.c"
#include "engine/out.c"
#undef calloc

#undef US
#include "tests/unit/token_bed.h"

static long countdown, fail_for, calls; /* fails the countdown-th and those fail_for after it */

static void *short_calloc(size_t n, size_t size)
{
	calls++;
	if (countdown > 0 && calls >= countdown && calls < countdown + fail_for)
		return NULL;
	return calloc(n, size);
}

static void fail_from(long at, long times)
{
	calls = 0;
	countdown = at;
	fail_for = times;
}

/* As a newcomer that asks again; what its record is in the end. */
static struct policy_admission must_join(struct host *h, int i, const char *name)
{
	const struct wish *w;

	for (int k = 0; k < 20; k++) {
		uint64_t id;

		n_wishes = 0;
		id = ask_as(h, i, name, "lab", TOKEN);
		for (int n = 0; n < 24 && !answer_of(id); n++)
			pass(h, US / 2);
		w = answer_of(id);
		if (w && w->status == JOIN_MEMBER)
			return expect_member(id);
		if (w && w->status != JOIN_BUSY)
			fail_msg("%s: %s", join_status_name(w->status), w->text);
	}
	fail_msg("%s is not let in", name);
	return (struct policy_admission){0};
}

/* ---- the seed ---- */

static long seed_day(long at, long times)
{
	struct policy_admission a, b;
	struct host h;

	countdown = 0;
	seed_new(&h);
	fail_from(at, times);
	a = must_join(&h, NEW, "u");
	b = must_join(&h, NEW + 1, "v");
	countdown = 0;
	assert_int_equal(a.number + b.number, 3); /* one and two */
	pass(&h, 30 * US);
	refuse(&h, NEW + 2, "w", "has let in its 2 nodes");
	assert_true(is_peer(&h, "u") && is_peer(&h, "v"));
	bed_end(&h.b);
	return calls;
}

static void test_seed(void **state)
{
	long n = seed_day(0, 0);

	(void)state;
	assert_in_range(n, 20, 20000);
	for (long at = 1; at <= n; at += 1 + n / 250) {
		seed_day(at, 1);
		seed_day(at, 12);
	}
}

/* ---- the newcomer ---- */

static struct signed_file file;

static long newcomer_day(long at, long times)
{
	struct wish from, w = {.status = JOIN_MEMBER, .n_admissions = 1};
	struct policy_admission own = {.cluster = "t",
	        .token = "lab",
	        .name = "z",
	        .seed = "a",
	        .addr4 = {2, {10, 8, 0, 9}},
	        .number = 1};
	struct engine_view v = {.self = NULL};
	struct host z;

	countdown = 0;
	node_key(Z, &own.key);
	record_make(&w, &own, TOKEN, 0);
	newcomer_new(&z);
	from = asked(&z);
	fail_from(at, times);
	for (int k = 0; k < 20 && !v.self; k++) {
		if (k)
			from = asked(&z);
		gives(&z, from.id, &w, &file);
		pass(&z, 2 * US);
		engine_look(z.b.e, &v);
	}
	pass(&z, 20 * US);
	countdown = 0;
	assert_non_null(v.self);
	assert_true(v.self->guest);
	pass(&z, 60 * US);
	assert_true(z.stored > 0);
	assert_int_equal(join_look(&z.b).state, ENGINE_NEWCOMER_JOINED);
	bed_end(&z.b);
	return calls;
}

static void test_newcomer(void **state)
{
	struct recipe r = usual_tokens();
	long n;

	(void)state;
	file = bundle_of(&r, NULL);
	n = newcomer_day(0, 0);
	assert_in_range(n, 20, 20000);
	for (long at = 1; at <= n; at += 1 + n / 250) {
		newcomer_day(at, 1);
		newcomer_day(at, 12);
	}
	free(file.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_seed),
	        cmocka_unit_test(test_newcomer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
