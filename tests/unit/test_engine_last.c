/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A peer that has no endpoints and called us: once its tunnel is lost, it is tried where it was. */
#include "tests/unit/engine_bed.h"

#define AT ", endpoints: [192.0.2.1]"
static const char *const two[2] = {AT, ""};
static const struct policy_addr nat = {2, {198, 51, 100, 17}};

static struct policy_addr tried, now; /* named last; in the connection as it is now */
static uint16_t tried_port;

static void note_endpoint(struct bed *b, const struct engine_effect *fx)
{
	(void)b;
	if (fx->type != ENGINE_FX_LOAD_CONN)
		return;
	now = fx->load.endpoint;
	if (!now.family)
		return;
	tried = now;
	tried_port = fx->load.endpoint_port;
}

static void called(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct bed_row r;

	bed_row(b, 1, &r);
	r.row.initiator = false;
	r.row.remote_host = nat;
	r.row.remote_port = 40001;
	ev.sa.change = ENGINE_SA_UP;
	ev.sa.row = &r.row;
	b->up[1] = true;
	bed_step(b, &ev);
	bed_pass(b, US);
	assert_int_equal(bed_look(b, "b").state, ENGINE_PEER_UP);
}

static size_t said(const struct bed *b, enum engine_effect_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		n += b->said[i].type == type;
	return n;
}

static void begin(struct bed *b)
{
	memset(&tried, 0, sizeof(tried));
	bed_begin(b, bed_policy(two, 2, 1), NULL, 1800000000);
	b->carry_out = note_endpoint;
	bed_pass(b, 2 * US);
	assert_int_equal(bed_look(b, "b").state, ENGINE_PEER_LISTENING);
	assert_int_equal(tried.family, 0);
	b->n_said = 0;
	called(b);
	assert_int_equal(said(b, ENGINE_FX_LOAD_CONN), 0); /* it is loaded as it was */
}

/* Our charon starts anew: the peer knows nothing of that, and would find out in 12 s. */
static void where_it_was(void **state)
{
	static struct bed b;

	(void)state;
	begin(&b);
	bed_charon(&b, false);
	bed_pass(&b, US);
	b.n_said = 0;
	bed_charon(&b, true);
	bed_pass(&b, US);
	assert_int_equal(said(&b, ENGINE_FX_INITIATE), 1);
	assert_memory_equal(&tried, &nat, sizeof(nat));
	assert_int_equal(tried_port, 40001);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	bed_end(&b);
}

/* It is gone from there: one try, no trouble, and it is awaited as before. */
static void once(void **state)
{
	static struct bed b;

	(void)state;
	begin(&b);
	b.deaf = true;
	bed_sa_silent(&b, 1);
	bed_pass(&b, 5 * US);
	assert_int_equal(said(&b, ENGINE_FX_INITIATE), 1);
	bed_pass(&b, 60 * US);
	assert_int_equal(said(&b, ENGINE_FX_INITIATE), 1);
	assert_int_equal(now.family, 0);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_LISTENING);
	assert_false(bed_look(&b, "b").degraded);
	called(&b); /* it comes again, and that counts anew */
	bed_sa_silent(&b, 1);
	bed_pass(&b, 5 * US);
	assert_int_equal(said(&b, ENGINE_FX_INITIATE), 2);
	bed_end(&b);
}

/* Who was revoked and approved again is nowhere yet. */
static void not_who_was_revoked(void **state)
{
	const char *const one[2] = {AT, NULL};
	static struct bed b;

	(void)state;
	begin(&b);
	bed_swap(&b, bed_policy(one, 2, 2));
	bed_pass(&b, 2 * US);
	bed_swap(&b, bed_policy(two, 2, 3));
	bed_pass(&b, 5 * US);
	assert_int_equal(said(&b, ENGINE_FX_INITIATE), 0);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_LISTENING);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(where_it_was),
	        cmocka_unit_test(once),
	        cmocka_unit_test(not_who_was_revoked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
