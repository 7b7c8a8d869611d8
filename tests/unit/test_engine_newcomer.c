/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node that nobody knows yet, with a ticket: whom it asks, whom it believes, and what it keeps. */
#include "tests/unit/join_bed.h"

#include "policy/ticket.h"

static struct policy_ticket ticket;

static void ticket_make(size_t n_seeds)
{
	ticket = (struct policy_ticket){.cluster = "t", .port = 4500, .n_seeds = n_seeds};
	ticket.cluster_key = cluster_secret(0)->pub;
	for (size_t i = 0; i < n_seeds; i++) {
		ticket.seeds[i] = (struct policy_ticket_seed){
		        .name = {(char)('a' + i)}, .port = (uint16_t)(4500 + i)};
		bed_key((int)i, &ticket.seeds[i].key);
		snprintf(ticket.seeds[i].host, sizeof(ticket.seeds[i].host), "seed%zu.example", i);
	}
}

static void give_ticket(struct bed *b, const struct policy_ticket *t)
{
	struct engine_event ev = {.type = ENGINE_EV_TICKET};

	ev.ticket.ticket = t;
	ev.ticket.name = "z";
	ev.ticket.site = "s";
	bed_step(b, &ev);
}

/* Number 25, z, with a charon and a device; and a ticket of two seeds. */
static void begin(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_OWN_KEY};

	n_wishes = 0;
	memset(b, 0, sizeof(*b));
	b->now = (struct engine_time){5 * US, NOON_2026};
	b->carry_out = wish_keep;
	assert_int_equal(engine_new(&b->e, NULL), 0);
	node_key(25, &ev.own_key);
	bed_step(b, &ev);
	plane_up(b);
	bed_charon(b, true);
	ticket_make(2);
}

static void tick(struct bed *b, int64_t us)
{
	for (int64_t end = b->now.mono_us + us; b->now.mono_us < end;) {
		struct engine_event ev = {.type = ENGINE_EV_TICK};
		int64_t wake = engine_next_wakeup(b->e);

		b->now.mono_us = wake > end              ? end
		                 : wake > b->now.mono_us ? wake
		                                         : b->now.mono_us + 1;
		bed_step(b, &ev);
	}
}

/* The ask that is in flight; it must be one, and is looked for up to a minute and a half. */
static size_t asked(struct bed *b)
{
	size_t i;

	for (int n = 0; n < 450 && wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX; n++)
		tick(b, US / 5);
	i = wish_find(ENGINE_FX_JOIN_ASK);
	assert_true(i != SIZE_MAX);
	return i;
}

static void answer(struct bed *b, int error, const char *text, const struct join_answer *a)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_ANSWERED};

	ev.join_answered.effect_id = wish[asked(b)].id;
	ev.join_answered.error = error;
	ev.join_answered.text = text;
	ev.join_answered.answer = a;
	n_wishes = 0;
	b->n_said = 0;
	bed_step(b, &ev);
}

static void say(struct bed *b, enum join_status status, const char *text, uint32_t retry_s)
{
	answer(b, 0, NULL,
	        &(struct join_answer){.status = status, .text = text, .retry_s = retry_s});
}

static void give(struct bed *b, const struct signed_file *f)
{
	answer(b, 0, NULL,
	        &(struct join_answer){
	                .status = JOIN_MEMBER, .text = "", .file = f->data, .len = f->len});
}

static void is_nobody(struct bed *b)
{
	struct engine_bundle_view v;
	struct engine_view w;

	engine_bundle_look(b->e, &v);
	engine_look(b->e, &w);
	assert_false(v.key);
	assert_int_equal(v.head.serial, 0);
	assert_null(w.policy);
	assert_true(wish_find(ENGINE_FX_CLUSTER_KEY) == SIZE_MAX);
	assert_true(wish_find(ENGINE_FX_TICKET_FORGET) == SIZE_MAX);
	assert_true(wish_find(ENGINE_FX_BUNDLE_STORE) == SIZE_MAX);
	assert_true(wish_find(ENGINE_FX_FW_BASE) == SIZE_MAX);
}

/* a and b are seeds, c is a member, z is the newcomer. */
static const struct recipe with_us = {
        .serial = 5, .members = 7 | 1 << 25, .seeds = 2, .key = join_key, .join = true};

/* ---- asking ---- */

static void test_ask(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_UNDERLAY};
	struct policy_addr links[10] = {{2, {192, 0, 2, 1}}, {10, {0xfd, 1}}};
	struct policy_key key;
	struct policy_addr addr;
	struct bed b;
	size_t i;

	(void)state;
	begin(&b);
	for (int k = 2; k < 10; k++)
		links[k] = (struct policy_addr){2, {192, 0, 2, (uint8_t)k}};
	ev.underlay.addrs = links;
	ev.underlay.n = 10;
	bed_step(&b, &ev);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_NONE);
	tick(&b, 10 * US);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	give_ticket(&b, &ticket);
	i = wish_find(ENGINE_FX_JOIN_ASK);
	assert_true(i != SIZE_MAX);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_ASKING);
	assert_string_equal(wish[i].seed, "a");
	assert_string_equal(wish[i].host, "seed0.example");
	assert_int_equal(wish[i].ask.port, 4500);
	bed_key(0, &key);
	assert_memory_equal(&wish[i].ask.key, &key, sizeof(key));
	policy_ula_address("t", &key, &addr);
	assert_memory_equal(&wish[i].ask.addr6, &addr, sizeof(addr));
	addr = inner(0);
	assert_memory_equal(&wish[i].ask.pool.addr, &addr, sizeof(addr));
	assert_int_equal(wish[i].ask.pool.len, JOIN_POOL_LEN);
	assert_memory_equal(wish[i].remote_id, "a.00", 4);
	node_key(25, &key);
	assert_memory_equal(&wish[i].ask.request.key, &key, sizeof(key));
	assert_string_equal(wish[i].ask.request.name, "z");
	assert_string_equal(wish[i].ask.request.site, "s");
	assert_string_equal(wish[i].ask.request.cluster, "t");
	assert_string_equal(wish[i].ask.request.token, "");
	assert_int_equal(wish[i].ask.request.n_links, JOIN_LINKS_MAX);
	/* one at a time */
	n_wishes = 0;
	tick(&b, 10 * US);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	is_nobody(&b);
	bed_end(&b);
}

/* Not before there is a charon; and seeds in turn, ever more seldom. */
static void test_turns(void **state)
{
	int64_t at[12], before = 0;
	struct bed b;

	(void)state;
	begin(&b);
	bed_charon(&b, false);
	give_ticket(&b, &ticket);
	tick(&b, US);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	bed_charon(&b, true);
	for (int i = 0; i < 12; i++) {
		size_t k = asked(&b);

		assert_string_equal(wish[k].seed, i % 2 ? "b" : "a");
		at[i] = b.now.mono_us;
		answer(&b, -EHOSTUNREACH, "no answer to IKE_SA_INIT", NULL);
	}
	for (int i = 2; i < 12; i += 2) { /* the pause before each round */
		int64_t pause = at[i] - at[i - 1];

		assert_true(pause > before);
		before = pause / 2; /* jitter */
	}
	assert_true(before > 5 * US);
	assert_true(before * 2 < 100 * US);
	is_nobody(&b);
	bed_end(&b);
}

static void expect(struct bed *b, int error, const char *text)
{
	answer(b, error, "x", NULL);
	if (!strstr(join_look(b).text, text))
		fail_msg("%s", join_look(b).text);
	assert_true(*told(b, ENGINE_N_JOINING));
	assert_int_equal(join_look(b).state, ENGINE_NEWCOMER_ASKING);
}

static void test_trouble(void **state)
{
	struct bed b;
	uint64_t id;

	(void)state;
	begin(&b);
	give_ticket(&b, &ticket);
	expect(&b, -EHOSTUNREACH, "Seed a (seed0.example port 4500) does not answer");
	expect(&b, -ETIMEDOUT, "Seed b (seed1.example port 4501) does not answer");
	expect(&b, -EKEYREJECTED, "does not hold the key that the ticket names");
	expect(&b, -ECONNREFUSED, "takes no joins");
	expect(&b, -EIO, "could not be asked (x)");
	/* the host that says nothing is told to stop, and the next seed is asked */
	id = wish[asked(&b)].id;
	/* an answer to something else is none */
	{
		struct engine_event ev = {.type = ENGINE_EV_JOIN_ANSWERED};

		ev.join_answered.effect_id = id - 1;
		ev.join_answered.error = -EKEYREJECTED;
		bed_step(&b, &ev);
		assert_null(strstr(join_look(&b).text, "does not hold"));
	}
	n_wishes = 0;
	tick(&b, JOIN_ASK_MAX_US + 6 * US);
	assert_int_equal(wish_last(ENGINE_FX_JOIN_STOP)->call, id);
	assert_true(wish[asked(&b)].id != id);
	is_nobody(&b);
	bed_end(&b);
}

/* The host is at the end of an earlier one: the same seed, in a moment, and nobody is blamed. */
static void test_not_begun(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_RESULT};
	char first[64];
	struct bed b;

	(void)state;
	begin(&b);
	give_ticket(&b, &ticket);
	snprintf(first, sizeof(first), "%s", wish[asked(&b)].seed);
	ev.result.effect_id = wish[asked(&b)].id;
	ev.result.error = -EBUSY;
	n_wishes = 0;
	bed_step(&b, &ev);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	tick(&b, US / 2);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) != SIZE_MAX);
	assert_string_equal(wish[asked(&b)].seed, first);
	assert_string_equal(join_look(&b).text, "");
	bed_end(&b);
}

static void test_answers(void **state)
{
	struct bed b;
	int64_t at;

	(void)state;
	begin(&b);
	give_ticket(&b, &ticket);
	say(&b, JOIN_PENDING, "Waiting for\nan admin", 10);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_PENDING);
	assert_string_equal(join_look(&b).text, "Waiting for an admin");
	assert_string_equal(told(&b, ENGINE_N_JOINING), "Waiting for an admin");
	at = b.now.mono_us;
	assert_string_equal(wish[asked(&b)].seed, "a"); /* the same */
	assert_true(b.now.mono_us > at + 7 * US && b.now.mono_us < at + 13 * US);
	say(&b, JOIN_PENDING, "Waiting for an admin", UINT32_MAX);
	assert_string_equal(told(&b, ENGINE_N_JOINING), ""); /* no news */
	tick(&b, 200 * US); /* and no more than five minutes, whatever it says */
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	while (wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX)
		tick(&b, US);
	assert_true(b.now.mono_us < at + 400 * US);
	say(&b, JOIN_BUSY, "Too many ask", 5);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_PENDING);
	assert_string_equal(wish[asked(&b)].seed, "b");
	say(&b, JOIN_REFUSED, "No", 0);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_REFUSED);
	assert_string_equal(told(&b, ENGINE_N_JOIN_REFUSED), "Seed b refused: No");
	asked(&b);
	say(&b, JOIN_REFUSED, "No", 0);
	asked(&b);
	say(&b, JOIN_REFUSED, "No", 0);
	/* all said no: that may be mended in a moment, or never */
	for (int64_t round = 0, least = 7 * US; round < 8; round++) {
		at = b.now.mono_us;
		while (wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX)
			tick(&b, US / 4);
		assert_true(b.now.mono_us > at + least && b.now.mono_us < at + 400 * US);
		least = least < 100 * US ? 2 * least : 200 * US;
		say(&b, JOIN_REFUSED, "No", 0);
		asked(&b);
		say(&b, JOIN_REFUSED, "No", 0);
	}
	while (wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX)
		tick(&b, US);
	say(&b, (enum join_status)77, "?", 0);
	assert_non_null(strstr(join_look(&b).text, "another release"));
	is_nobody(&b);
	bed_end(&b);
}

static void test_cancel(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_ANSWERED};
	struct signed_file f = bundle_of(&with_us, NULL);
	struct join_answer a = {.status = JOIN_MEMBER, .text = "", .file = f.data, .len = f.len};
	struct bed b;
	uint64_t id;
	size_t before;

	(void)state;
	begin(&b);
	give_ticket(&b, &ticket);
	give_ticket(&b, NULL);
	before = engine_memory(b.e);
	for (int i = 0; i < 100; i++) {
		give_ticket(&b, &ticket);
		give_ticket(&b, NULL);
	}
	n_wishes = 0;
	give_ticket(&b, &ticket);
	id = wish[asked(&b)].id;
	n_wishes = 0;
	give_ticket(&b, NULL);
	assert_int_equal(wish_last(ENGINE_FX_JOIN_STOP)->call, id);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_NONE);
	ev.join_answered.effect_id = id;
	ev.join_answered.answer = &a;
	bed_step(&b, &ev);
	tick(&b, 100 * US);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	is_nobody(&b);
	assert_int_equal(engine_memory(b.e), before);
	free(f.data);
	bed_end(&b);
}

/* ---- liars ---- */

static void lie(struct bed *b, struct signed_file f, const char *text)
{
	const char *seed = wish[asked(b)].seed;
	char buf[600];

	snprintf(buf, sizeof(buf), "Seed %s gave %s", seed, text);
	give(b, &f);
	if (!strstr(join_look(b).text, text))
		fail_msg("%s, and not: %s", join_look(b).text, text);
	assert_true(*told(b, ENGINE_N_JOIN_REFUSED));
	is_nobody(b);
	free(f.data);
}

static void test_liars(void **state)
{
	struct recipe r = with_us;
	struct signed_file f;
	struct bed b;

	(void)state;
	begin(&b);
	give_ticket(&b, &ticket);
	lie(&b, bundle_by(&with_us, NULL, 1), "that another key signed");
	r.cluster = "u";
	lie(&b, bundle_of(&r, NULL), "another cluster's bundle");
	r = with_us;
	r.members = 7;
	lie(&b, bundle_of(&r, NULL), "does not name our key");
	f = bundle_of(&with_us, NULL);
	f.data[f.len / 4] ^= 1;
	lie(&b, f, "did not sign");
	f = bundle_of(&with_us, NULL);
	f.len -= 200;
	lie(&b, f, "no bundle");
	f = bundle_of(&with_us, NULL);
	f.len = 0;
	lie(&b, f, "no bundle");
	lie(&b, signed_text("{}\n", 3), "no bundle");
	/* and then an honest one */
	f = bundle_of(&with_us, NULL);
	give(&b, &f);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_JOINING);
	free(f.data);
	bed_end(&b);
}

/* ---- let in ---- */

static void result(struct bed *b, enum engine_effect_type type, int error)
{
	struct engine_event ev = {.type = ENGINE_EV_RESULT};

	assert_true(wish_find(type) != SIZE_MAX);
	ev.result.effect_id = wish_last(type)->id;
	ev.result.error = error;
	ev.result.text = error ? "disk full" : NULL;
	wish_last(type)->type = ENGINE_FX_NOTICE; /* answered */
	bed_step(b, &ev);
}

static void test_member(void **state)
{
	struct signed_file f = bundle_of(&with_us, NULL);
	struct engine_bundle_view v;
	struct engine_view w;
	struct bed b;

	(void)state;
	begin(&b);
	give_ticket(&b, &ticket);
	give(&b, &f);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_JOINING);
	assert_non_null(strstr(told(&b, ENGINE_N_JOINED), "Cluster t let this node in, as z"));
	engine_bundle_look(b.e, &v);
	assert_true(v.key);
	assert_int_equal(v.head.serial, 5);
	engine_look(b.e, &w);
	assert_non_null(w.self);
	assert_string_equal(w.self->name, "z");
	assert_memory_equal(&wish_last(ENGINE_FX_CLUSTER_KEY)->cluster_key, &cluster_secret(0)->pub,
	        sizeof(struct minisign_public));
	/* the ticket is needed until key and bundle are both on disk, whatever comes first */
	result(&b, ENGINE_FX_CLUSTER_KEY, -ENOSPC);
	assert_non_null(strstr(told(&b, ENGINE_N_DEGRADED), "cluster.pub: disk full"));
	give_ticket(&b, NULL); /* too late */
	result(&b, ENGINE_FX_BUNDLE_STORE, 0);
	tick(&b, 2 * US);
	assert_true(wish_find(ENGINE_FX_TICKET_FORGET) == SIZE_MAX);
	result(&b, ENGINE_FX_CLUSTER_KEY, 0);
	tick(&b, 2 * US);
	result(&b, ENGINE_FX_TICKET_FORGET, 0);
	n_wishes = 0;
	bed_answer_all(&b);
	tick(&b, 10 * US);
	assert_true(wish_find(ENGINE_FX_TICKET_FORGET) == SIZE_MAX);
	assert_true(wish_find(ENGINE_FX_CLUSTER_KEY) == SIZE_MAX);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	free(f.data);
	bed_end(&b);
}

static void test_store_first(void **state)
{
	struct signed_file f = bundle_of(&with_us, NULL);
	struct bed b;

	(void)state;
	begin(&b);
	give_ticket(&b, &ticket);
	give(&b, &f);
	result(&b, ENGINE_FX_CLUSTER_KEY, 0);
	result(&b, ENGINE_FX_BUNDLE_STORE, -ENOSPC);
	tick(&b, 100000);
	assert_true(wish_find(ENGINE_FX_TICKET_FORGET) == SIZE_MAX);
	tick(&b, 2 * US);
	result(&b, ENGINE_FX_BUNDLE_STORE, 0);
	tick(&b, 2 * US);
	result(&b, ENGINE_FX_TICKET_FORGET, 0);
	free(f.data);
	bed_end(&b);
}

/* A restart after the bundle was kept and before the ticket was forgotten: nobody is asked again. */
static void test_again(void **state)
{
	struct bed b;

	(void)state;
	begin(&b);
	give_key(&b);
	give_bundle(&b, &with_us, NULL);
	give_ticket(&b, &ticket);
	tick(&b, 100000);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_JOINED);
	assert_true(join_look(&b).complete);
	result(&b, ENGINE_FX_CLUSTER_KEY, 0);
	result(&b, ENGINE_FX_BUNDLE_STORE, 0);
	tick(&b, 2 * US);
	result(&b, ENGINE_FX_TICKET_FORGET, 0);
	bed_end(&b);
}

/* And where it is not a member, in a cluster that it knows, it asks. */
static void test_key_already(void **state)
{
	struct recipe r = with_us;
	struct bed b;

	(void)state;
	begin(&b);
	give_key(&b);
	r.members = 7;
	give_bundle(&b, &r, NULL);
	give_ticket(&b, &ticket);
	asked(&b);
	bed_end(&b);
}

static void test_other_cluster(void **state)
{
	struct recipe r = with_us;
	struct bed b;

	(void)state;
	begin(&b);
	give_key(&b);
	ticket.cluster_key = cluster_secret(1)->pub;
	give_ticket(&b, &ticket);
	tick(&b, 400 * US);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_REFUSED);
	assert_non_null(strstr(told(&b, ENGINE_N_JOIN_REFUSED), "another cluster's key"));
	bed_end(&b);

	r.cluster = "u";
	begin(&b);
	bed_swap(&b, recipe_policy(&r));
	give_ticket(&b, &ticket);
	tick(&b, 400 * US);
	assert_true(wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX);
	assert_non_null(strstr(told(&b, ENGINE_N_JOIN_REFUSED), "a policy of another cluster"));
	bed_end(&b);
}

/* ---- complete ---- */

static void up(struct bed *b, int i)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct policy_prefix ours[2];
	uint8_t n;
	struct bed_row r;

	bed_row(b, i, &r);
	bed_ts(b, ours, &n, 25);
	memcpy(r.child.local_ts, ours, sizeof(ours));
	{
		struct policy_key key;
		int k = snprintf(r.local, sizeof(r.local), "z.");

		node_key(25, &key);
		for (int j = 0; j < 16; j++)
			k += snprintf(r.local + k, sizeof(r.local) - (size_t)k, "%02x", key.raw[j]);
	}
	bed_ts(b, r.child.remote_ts, &r.child.n_remote_ts, i);
	r.row.id = (uint32_t)i + 500;
	ev.sa.change = ENGINE_SA_UP;
	ev.sa.row = &r.row;
	bed_step(b, &ev);
}

static void let_in(struct bed *b, const struct recipe *r)
{
	struct signed_file f = bundle_of(r, NULL);

	begin(b);
	give_ticket(b, &ticket);
	give(b, &f);
	b->policy = recipe_policy(r);
	b->refuse = true;
	for (int i = 0; i < 20; i++) {
		bed_answer_all(b);
		tick(b, 100000);
	}
	free(f.data);
}

static void test_complete(void **state)
{
	struct bed b;

	(void)state;
	let_in(&b, &with_us);
	assert_false(join_look(&b).complete);
	up(&b, 0);
	up(&b, 1);
	assert_false(join_look(&b).complete);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_JOINING);
	up(&b, 2);
	assert_true(join_look(&b).complete);
	assert_int_equal(join_look(&b).state, ENGINE_NEWCOMER_JOINED);
	assert_string_equal(
	        told(&b, ENGINE_N_JOINED), "This node is a member, and all have admitted it.");
	bed_end(&b);
}

static void test_missing(void **state)
{
	struct bed b;

	(void)state;
	let_in(&b, &with_us);
	up(&b, 1);
	tick(&b, 20 * US);
	assert_false(join_look(&b).complete);
	tick(&b, 10 * US);
	assert_true(join_look(&b).complete);
	assert_non_null(strstr(told(&b, ENGINE_N_JOINED), "not connected yet with 2"));
	assert_non_null(strstr(told(&b, ENGINE_N_JOINED), "a, c."));
	bed_end(&b);
}

/* It serves nobody before. */
static void test_seed_last(void **state)
{
	struct recipe r = with_us;
	struct bed b;

	(void)state;
	r.seed_bits = 1 << 25;
	let_in(&b, &r);
	assert_false(join_look(&b).serving);
	assert_non_null(strstr(join_look(&b).serving_text, "joining itself"));
	assert_false(wish_last(ENGINE_FX_FW_BASE)->join);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	/* of two seeds the lower name calls; but it is none yet, so it calls */
	up(&b, 0);
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_true(wish_find(ENGINE_FX_SESSION_OPEN) != SIZE_MAX);
	for (int i = 1; i < 3; i++)
		up(&b, i);
	bed_answer_all(&b);
	assert_true(wish_last(ENGINE_FX_FW_BASE)->join);
	assert_true(wish_last(ENGINE_FX_JOIN_SERVE)->serve.on);
	assert_true(join_look(&b).serving);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_ask),
	        cmocka_unit_test(test_turns),
	        cmocka_unit_test(test_trouble),
	        cmocka_unit_test(test_not_begun),
	        cmocka_unit_test(test_answers),
	        cmocka_unit_test(test_cancel),
	        cmocka_unit_test(test_liars),
	        cmocka_unit_test(test_member),
	        cmocka_unit_test(test_store_first),
	        cmocka_unit_test(test_again),
	        cmocka_unit_test(test_key_already),
	        cmocka_unit_test(test_other_cluster),
	        cmocka_unit_test(test_complete),
	        cmocka_unit_test(test_missing),
	        cmocka_unit_test(test_seed_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
