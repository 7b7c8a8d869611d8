/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose turn it is where many wait for charon: peers that were connected before those that were not. */
#include "tests/unit/engine_bed.h"

#define PEER ", endpoints: [192.0.2.1]"
static const char *const many[8] = {"", PEER, PEER, PEER, PEER, PEER, PEER, PEER};

/* The peers of these effects since the log was emptied, in order. */
static void said_of(const struct bed *b, enum engine_effect_type type, char *buf)
{
	for (size_t i = 0; i < b->n_said; i++)
		if (b->said[i].type == type)
			*buf++ = *b->said[i].peer;
	*buf = '\0';
}

static void who_was_connected_is_loaded_first(void **state)
{
	const struct engine_config one = {.load_window = 1, .end_window = 1};
	static struct bed b;
	char order[BED_SAID];

	(void)state;
	bed_begin(&b, bed_policy(many, 8, 1), &one, 1800000000);
	b.deaf = true; /* nobody answers us, but these two call */
	bed_pass(&b, 2 * US);
	bed_sa(&b, 7, true);
	bed_sa(&b, 4, true);
	bed_pass(&b, US);
	assert_int_equal(bed_look(&b, "h").state, ENGINE_PEER_UP);
	bed_charon(&b, false); /* charon starts anew, and knows nobody */
	bed_pass(&b, US);
	b.n_said = 0;
	bed_charon(&b, true);
	bed_pass(&b, US);
	said_of(&b, ENGINE_FX_LOAD_CONN, order);
	order[7] = '\0'; /* this charon lists no connections, so all are loaded again later */
	assert_string_equal(order, "behcdfg"); /* b had its turn before anybody waited */
	bed_end(&b);
}

/* One that is met waits behind others that are, and whoever leaves the queue leaves it whole. */
static void the_order_of_the_rest_stays(void **state)
{
	const struct engine_config one = {.load_window = 1, .end_window = 1};
	const char *fewer[8] = {"", PEER, PEER, NULL, PEER, NULL, PEER, PEER};
	static struct bed b;
	char order[BED_SAID];

	(void)state;
	bed_begin(&b, bed_policy(many, 8, 1), &one, 1800000000);
	bed_pass(&b, 2 * US);
	bed_charon(&b, false);
	bed_pass(&b, US);
	bed_charon(&b, true);
	bed_list(&b, b.pending[0].id);
	b.n_said = 0;
	bed_swap(&b, bed_policy(fewer, 8, 2)); /* in the middle of it */
	bed_pass(&b, 2 * US);
	said_of(&b, ENGINE_FX_LOAD_CONN, order);
	assert_null(strchr(order, 'd'));
	assert_null(strchr(order, 'f'));
	for (const char *p = "cegh"; *p; p++)
		assert_non_null(strchr(order, *p));
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(who_was_connected_is_loaded_first),
	        cmocka_unit_test(the_order_of_the_rest_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
