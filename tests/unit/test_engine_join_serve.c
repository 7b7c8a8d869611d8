/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a seed takes joins, and the SAs in which they come. */
#include "tests/unit/join_bed.h"

/* ---- serving ---- */

static void test_serves(void **state)
{
	struct policy_key key;
	struct policy_addr first = inner(0);
	char id[ENGINE_ID_MAX];
	struct bed b;
	size_t i;

	(void)state;
	seed_begin(&b, &usual, NULL);
	i = wish_find(ENGINE_FX_JOIN_SERVE);
	assert_true(i != SIZE_MAX);
	assert_true(wish[i].serve.on && wish[i].serve.open);
	assert_memory_equal(&wish[i].serve.pool.addr, &first, sizeof(first));
	assert_int_equal(wish[i].serve.pool.len, JOIN_POOL_LEN);
	bed_key(0, &key);
	assert_memory_equal(&wish[i].serve.own_key, &key, sizeof(key));
	policy_ula_address("t", &key, &first);
	assert_memory_equal(&wish[i].serve.addr6, &first, sizeof(first));
	assert_int_equal(wish[i].serve.port, 4500);
	bed_id(0, id);
	assert_true(join_look(&b).serving && join_look(&b).complete);
	i = wish_find(ENGINE_FX_FW_BASE);
	assert_true(wish[i].join);
	assert_int_equal(wish[i].join_pool.len, JOIN_POOL_LEN);
	/* charon's end takes it away, and its return brings it back */
	n_wishes = 0;
	bed_charon(&b, false);
	assert_false(join_look(&b).serving);
	bed_pass(&b, US);
	bed_charon(&b, true);
	bed_pass(&b, 3 * US);
	assert_true(wish_last(ENGINE_FX_JOIN_SERVE)->serve.on);
	assert_true(join_look(&b).serving);
	bed_end(&b);
}

static void not_served(const struct recipe *r, const char *why)
{
	struct bed b;

	seed_begin(&b, r, NULL);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	assert_false(wish_last(ENGINE_FX_FW_BASE)->join);
	if (!strstr(join_look(&b).serving_text, why))
		fail_msg("%s", join_look(&b).serving_text);
	bed_end(&b);
}

static void test_not_served(void **state)
{
	struct recipe r = usual;
	struct bed b;

	(void)state;
	r.join = false;
	not_served(&r, "join: false");
	r = usual;
	r.seeds = 0;
	r.seed_bits = 2;
	not_served(&r, "role seed");
	/* without a bundle, whatever the local files say */
	bed_begin(&b, recipe_policy(&usual), NULL, NOON_2026);
	b.carry_out = wish_keep;
	n_wishes = 0;
	plane_up(&b);
	bed_pass(&b, 3 * US);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	give_key(&b);
	bed_pass(&b, 3 * US);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	bed_end(&b);
}

/* A new policy turns it off: table, connection and SAs. */
static void test_turned_off(void **state)
{
	struct recipe r = usual;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	join_sa(&b, 1, 1);
	n_wishes = 0;
	r.join = false;
	r.serial = 2;
	give_bundle(&b, &r, NULL);
	bed_pass(&b, 8 * US);
	assert_false(wish_last(ENGINE_FX_JOIN_SERVE)->serve.on);
	assert_false(wish_last(ENGINE_FX_FW_BASE)->join);
	assert_int_equal(wish_last(ENGINE_FX_TERMINATE)->ended, 60001);
	assert_false(join_look(&b).serving);
	bed_end(&b);
}

/* One that is left from an earlier run, and is not wanted, is taken down. */
static void conns_say(struct bed *b, bool loaded)
{
	struct engine_event ev = {.type = ENGINE_EV_RESYNC};
	static const char *const names[] = {JOIN_CONN, "ovl.b", "ovl.c", "ovl.d"};

	bed_step(b, &ev);
	for (size_t i = 0; i < b->n_pending; i++) {
		if (b->pending[i].type != ENGINE_FX_LIST_CONNS)
			continue;
		ev = (struct engine_event){.type = ENGINE_EV_CONNS};
		ev.conns.effect_id = b->pending[i].id;
		ev.conns.names = loaded ? names : names + 1;
		ev.conns.n = loaded ? 4 : 3;
		b->pending[i].id = 0;
		bed_step(b, &ev);
		return;
	}
	fail();
}

static void test_listed(void **state)
{
	struct recipe r = usual;
	struct bed b;

	(void)state;
	r.join = false;
	seed_begin(&b, &r, NULL);
	n_wishes = b.n_said = 0;
	conns_say(&b, true);
	assert_false(wish_last(ENGINE_FX_JOIN_SERVE)->serve.on);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) != SIZE_MAX);
	assert_string_equal(told(&b, ENGINE_N_UNKNOWN_CONN), "");
	bed_end(&b);
	/* another program unloads it */
	seed_begin(&b, &usual, NULL);
	n_wishes = 0;
	conns_say(&b, true);
	bed_answer_all(&b);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	bed_pass(&b, 2 * US);
	n_wishes = 0;
	conns_say(&b, false);
	assert_true(wish_last(ENGINE_FX_JOIN_SERVE)->serve.open);
	bed_end(&b);
}

/* ---- join SAs ---- */

static bool ended(int n)
{
	for (size_t i = 0; i < n_wishes; i++)
		if (wish[i].type == ENGINE_FX_TERMINATE && wish[i].ended == 60000 + (uint32_t)n)
			return true;
	return false;
}

static void test_sas(void **state)
{
	struct policy_prefix wide = {inner(3), 116}, peer = {{0}, 128};
	struct engine_view v;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	n_wishes = b.n_said = 0;
	join_sa(&b, 1, 1);
	assert_int_equal(join_look(&b).n_join_sas, 1);
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_false(ended(1));
	/* without a child */
	join_sa_as(&b, 2, 1, ENGINE_SA_UP, NULL);
	/* selectors that are not one address of the pool */
	join_sa_as(&b, 3, 1, ENGINE_SA_UP, &wide);
	assert_true(ended(3));
	peer.addr = policy_peer_by_name(b.policy, "b")->addr6;
	join_sa_as(&b, 4, 1, ENGINE_SA_UP, &peer);
	assert_true(ended(4));
	b.now.mono_us += JOIN_SA_CHILDLESS_US - 1;
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_false(ended(2));
	b.now.mono_us += 2;
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_true(ended(2));
	assert_false(ended(1));
	b.now.mono_us += JOIN_SA_MAX_US - JOIN_SA_CHILDLESS_US;
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_true(ended(1));
	bed_answer_all(&b);
	bed_pass(&b, 2 * US);
	assert_int_equal(join_look(&b).n_join_sas, 0);
	/* nobody else was in the way: none of the others lost anything */
	engine_look(b.e, &v);
	assert_int_equal(v.n_admitted, 3);
	bed_end(&b);
}

/* Members are admitted while odd join SAs come and go, and keep what they have. */
static void test_members_first(void **state)
{
	struct recipe r = usual;
	struct engine_view v;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	for (int i = 1; i < 40; i++)
		join_sa(&b, i, i);
	for (int i = 40; i < 60; i++)
		join_sa_as(&b, i, i, ENGINE_SA_UP, NULL);
	r.serial = 2;
	r.members |= 1 << 4;
	give_bundle(&b, &r, NULL);
	bed_pass(&b, 2 * US);
	engine_look(b.e, &v);
	assert_int_equal(v.n_admitted, 4);
	assert_int_equal(v.n_up, 4);
	bed_end(&b);
}

static void test_full(void **state)
{
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	n_wishes = 0;
	for (int i = 0; i < (int)JOIN_SAS_MAX - 1; i++)
		join_sa(&b, i, i);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	join_sa(&b, 63, 63);
	assert_true(wish_last(ENGINE_FX_JOIN_SERVE)->serve.on);
	assert_false(wish_last(ENGINE_FX_JOIN_SERVE)->serve.open);
	bed_answer_all(&b);
	for (int i = 0; i < 31; i++)
		join_sa_down(&b, i);
	assert_false(wish_last(ENGINE_FX_JOIN_SERVE)->serve.open);
	join_sa_down(&b, 31);
	assert_true(wish_last(ENGINE_FX_JOIN_SERVE)->serve.open);
	/* however many come at once */
	for (int i = 100; i < 400; i++)
		join_sa(&b, i, i);
	assert_true(join_look(&b).n_join_sas <= 2 * JOIN_SAS_MAX);
	bed_answer_all(&b);
	assert_true(ended(399));
	bed_end(&b);
}

/* Of an earlier run, without a child: nobody's admission waits until it is gone. */
static void test_left_over(void **state)
{
	struct engine_sa_row row = {.conn = JOIN_CONN,
	        .id = 60001,
	        .state = ENGINE_IKE_ESTABLISHED,
	        .local_id = "a.x",
	        .remote_id = JOIN_IDENTITY,
	        .remote_host = source(1)};
	struct engine_event ev = {.type = ENGINE_EV_SAS};
	struct engine_view v;
	struct bed b;

	(void)state;
	n_wishes = 0;
	bed_begin(&b, recipe_policy(&usual), NULL, NOON_2026);
	b.carry_out = wish_keep;
	plane_up(&b);
	give_key(&b);
	for (int round = 0; round < 400; round++) {
		uint64_t id = b.pending[0].id;
		enum engine_effect_type type = b.pending[0].type;

		if (!b.n_pending) {
			b.now.mono_us += 5000;
			bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
			continue;
		}
		memmove(&b.pending[0], &b.pending[1], --b.n_pending * sizeof(b.pending[0]));
		if (type == ENGINE_FX_LIST_SAS) {
			ev.sas.effect_id = id;
			ev.sas.rows = &row;
			ev.sas.n = 1;
			bed_step(&b, &ev);
		} else if (type != ENGINE_FX_TERMINATE && type != ENGINE_FX_INITIATE) {
			bed_answer(&b, id, type, "");
		}
	}
	engine_look(b.e, &v);
	assert_int_equal(v.n_admitted, 3);
	assert_true(ended(1)); /* it is not served here */
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_serves),
	        cmocka_unit_test(test_not_served),
	        cmocka_unit_test(test_turned_off),
	        cmocka_unit_test(test_listed),
	        cmocka_unit_test(test_sas),
	        cmocka_unit_test(test_members_first),
	        cmocka_unit_test(test_full),
	        cmocka_unit_test(test_left_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
