/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The limit that the narrowest path in use sets: lowered at once, raised only by proof. */
#include "host/pathmtu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct policy_addr addr(const char *text)
{
	struct policy_addr out = {0};

	assert_int_equal(policy_addr_parse(text, &out), 0);
	return out;
}

static void add(struct pathmtu *pm, const char *text, uint32_t path)
{
	struct policy_addr a = addr(text);

	pathmtu_round_add(pm, &a, path);
}

static void nothing_known_changes_nothing(void **state)
{
	struct pathmtu pm = {0};

	(void)state;
	assert_int_equal(pathmtu_limit(&pm, 1400), 1400);
	pathmtu_round_begin(&pm);
	pathmtu_round_end(&pm);
	assert_int_equal(pathmtu_limit(&pm, 1400), 1400);
}

static void the_family_counts(void **state)
{
	struct pathmtu pm = {0};

	(void)state;
	pathmtu_round_begin(&pm);
	add(&pm, "192.0.2.1", 1480);
	assert_int_equal(pathmtu_limit(&pm, 1500), 1415);
	/* Wider, and yet it holds less: its header is larger. */
	add(&pm, "2001:db8::1", 1490);
	assert_int_equal(pathmtu_limit(&pm, 1500), 1405);
	assert_int_equal(pathmtu_limit(&pm, 1400), 1400);
}

static void jumbo_devices_promise_nothing(void **state)
{
	struct pathmtu pm = {0};

	(void)state;
	pathmtu_round_begin(&pm);
	add(&pm, "192.0.2.1", 9000);
	pathmtu_round_end(&pm);
	assert_int_equal(pathmtu_limit(&pm, 9000), 1435);
}

static void never_less_than_ipv6_needs(void **state)
{
	struct pathmtu pm = {0};

	(void)state;
	pathmtu_round_begin(&pm);
	add(&pm, "192.0.2.1", 576);
	assert_int_equal(pathmtu_limit(&pm, 1400), PATHMTU_LEAST);
	assert_int_equal(pm.path, 576);
}

static void no_route_is_no_path(void **state)
{
	struct pathmtu pm = {0};

	(void)state;
	pathmtu_round_begin(&pm);
	add(&pm, "192.0.2.1", 0);
	add(&pm, "192.0.2.2", 68);
	pathmtu_round_end(&pm);
	assert_int_equal(pathmtu_limit(&pm, 1400), 1400);
}

/* The kernel forgets what it learned of a path, and the path is what it was. */
static void a_learned_limit_is_held_while_in_use(void **state)
{
	struct pathmtu pm = {0};

	(void)state;
	pathmtu_round_begin(&pm);
	add(&pm, "192.0.2.1", 1400);
	add(&pm, "192.0.2.2", 1450);
	pathmtu_round_end(&pm);
	pathmtu_round_begin(&pm);
	add(&pm, "192.0.2.1", 1500);
	add(&pm, "192.0.2.2", 1450);
	pathmtu_round_end(&pm);
	assert_int_equal(pathmtu_limit(&pm, 1400), 1335);
	/* Its peer is elsewhere now: the next narrowest counts. */
	pathmtu_round_begin(&pm);
	add(&pm, "192.0.2.2", 1450);
	assert_int_equal(pathmtu_limit(&pm, 1400), 1335);
	pathmtu_round_end(&pm);
	assert_int_equal(pathmtu_limit(&pm, 1400), 1385);
	/* Nobody is left. */
	pathmtu_round_begin(&pm);
	pathmtu_round_end(&pm);
	assert_int_equal(pathmtu_limit(&pm, 1400), 1400);
}

static void a_change_of_our_own_forgets(void **state)
{
	struct pathmtu pm = {0};

	(void)state;
	pathmtu_round_begin(&pm);
	add(&pm, "192.0.2.1", 1400);
	pathmtu_forget(&pm);
	assert_int_equal(pathmtu_limit(&pm, 1400), 1400);
	pathmtu_round_begin(&pm);
	add(&pm, "192.0.2.1", 1500);
	pathmtu_round_end(&pm);
	assert_int_equal(pathmtu_limit(&pm, 1400), 1400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nothing_known_changes_nothing),
	        cmocka_unit_test(the_family_counts),
	        cmocka_unit_test(jumbo_devices_promise_nothing),
	        cmocka_unit_test(never_less_than_ipv6_needs),
	        cmocka_unit_test(no_route_is_no_path),
	        cmocka_unit_test(a_learned_limit_is_held_while_in_use),
	        cmocka_unit_test(a_change_of_our_own_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
