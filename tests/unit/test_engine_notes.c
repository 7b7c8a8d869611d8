/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notes: seeds that hold a bundle back are found out, and nobody else is accused. */
#include "tests/unit/cluster_bed.h"

#include "engine/cluster_internal.h"

static bool hold_back(struct cbed *b, int from, int to, struct session_msg *msg)
{
	(void)b;
	if (from < 2 && to == 3 && msg->type == SESSION_BUNDLE)
		return false;
	if (from < 2 && to == 3 && msg->type == SESSION_STATE && msg->head.serial > 1)
		return false;
	return true;
}

static void test_withheld(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 0);
	s.b->tamper = hold_back;
	node_give(s.b, 2, &s.f[2]);
	pass(s.b, US / 2);
	assert_int_equal(serial_of(s.b, 2), 2);
	assert_int_equal(serial_of(s.b, 3), 1);
	pass(s.b, 3 * US); /* a note after a second, a second of patience */
	assert_int_equal(serial_of(s.b, 3), 2);
	assert_int_equal(told_count(s.b, -1, ENGINE_N_WITHHELD), 1);
	assert_string_equal(told_last(s.b, 3, ENGINE_N_WITHHELD),
	        "Serial 2 came from c and was not passed on by a, b: see whether that seed can be "
	        "trusted.");
	pass(s.b, US);
	assert_int_equal(node_look(s.b, 3).n_sessions, 2); /* the one with c is closed */
	end(&s);
}

/* Without any luck at once: one random note now and then finds it out too. */
static void test_withheld_later(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 0);
	s.b->tamper = hold_back;
	s.b->cut[2][3] = s.b->cut[3][2] = true;
	node_give(s.b, 2, &s.f[2]);
	pass(s.b, 5 * US);
	assert_int_equal(serial_of(s.b, 3), 1);
	s.b->cut[2][3] = s.b->cut[3][2] = false;
	pass(s.b, 63 * US);
	assert_int_equal(serial_of(s.b, 3), 2);
	end(&s);
}

/* Seeds that deliver in time are not suspected, and nobody else is called. */
static void test_not_withheld(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 4);
	puppet_note(s.b, 2, 3, &s.f[2].short_head);
	pass(s.b, US / 2);
	node_give(s.b, 0, &s.f[2]);
	pass(s.b, 60 * US);
	assert_int_equal(serial_of(s.b, 3), 2);
	assert_int_equal(told_count(s.b, -1, ENGINE_N_WITHHELD), 0);
	assert_int_equal(s.b->n[2].opened, 0);
	end(&s);
}

/* A seed that we did not talk to when the note came is not blamed. */
static void test_young_session(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 0);
	s.b->tamper = hold_back;
	node_reach(s.b, 3, 1, CLUSTER_GONE);
	node_give(s.b, 2, &s.f[2]);
	pass(s.b, US + US / 10);
	node_reach(s.b, 3, 1, CLUSTER_UP);
	pass(s.b, 3 * US);
	assert_int_equal(serial_of(s.b, 3), 2);
	assert_non_null(strstr(told_last(s.b, 3, ENGINE_N_WITHHELD), "passed on by a: see"));
	end(&s);
}

/* Who brings it at once gives nobody a chance to hold it back. */
static void test_quick_teller(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 4);
	puppet_open(s.b, 2, 3);
	pass(s.b, US);
	puppet_note(s.b, 2, 3, &s.f[2].short_head);
	puppet_state(s.b, 2, &s.f[2].short_head);
	puppet_bundle(s.b, 2, &s.f[2]);
	pass(s.b, 5 * US);
	assert_int_equal(serial_of(s.b, 3), 2);
	assert_int_equal(told_count(s.b, 3, ENGINE_N_WITHHELD), 0);
	end(&s);
}

/* A lower note is answered, now and then. */
static void test_note_answered(void **state)
{
	struct session_head none = {0};
	struct scene s;

	(void)state;
	begin(&s, 4);
	s.b->n[2].notes = 0;
	for (int i = 0; i < 100; i++) {
		puppet_note(s.b, 2, 3, &none);
		pass(s.b, 100000);
	}
	assert_in_range(s.b->n[2].notes, 2, 4);
	end(&s);
}

/*
 * A tunnel on demand is not kept awake: one note from each end when it comes up, and after a bundle;
 * that suffices to find out what seeds hold back.
 */
static void test_on_demand(void **state)
{
	struct scene s;
	unsigned n;

	(void)state;
	begin(&s, 0);
	for (int i = 0; i < 2; i++)
		node_reach(s.b, 2 + i, 3 - i, CLUSTER_COULD);
	for (int k = 4; k < NODES; k++)
		for (int i = 2; i < 4; i++)
			node_reach(s.b, i, k, CLUSTER_GONE);
	n = s.b->n_notes;
	s.b->tamper = hold_back;
	node_give(s.b, 2, &s.f[2]);
	pass(s.b, 300 * US);
	assert_int_equal(s.b->n_notes, n); /* none wakes it */
	assert_int_equal(serial_of(s.b, 3), 1);
	for (int i = 0; i < 2; i++)
		node_reach(s.b, 2 + i, 3 - i, CLUSTER_AWAKE);
	pass(s.b, 4 * US);
	assert_int_equal(serial_of(s.b, 3), 2);
	pass(s.b, 40 * US);
	n = s.b->n_notes;
	pass(s.b, 600 * US);
	assert_int_equal(s.b->n_notes, n); /* none keeps it awake */
	s.b->tamper = NULL;
	node_give(s.b, 2, &s.f[3]);
	pass(s.b, 600 * US);
	assert_int_equal(s.b->n_notes, n + 2);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_withheld),
	        cmocka_unit_test(test_withheld_later),
	        cmocka_unit_test(test_not_withheld),
	        cmocka_unit_test(test_young_session),
	        cmocka_unit_test(test_quick_teller),
	        cmocka_unit_test(test_note_answered),
	        cmocka_unit_test(test_on_demand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
