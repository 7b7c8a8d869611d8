/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A newcomer with a token, and seeds that it may believe or not: both engines, end to end. */
#include "tests/unit/token_bed.h"

static struct host seed, seed2, z;

static void test_both(void **state)
{
	struct recipe r = usual_tokens();
	struct signed_file f = bundle_of(&r, NULL);
	struct policy_admission own;
	struct engine_view v;
	struct wish w, from;

	(void)state;
	seed_start(&seed, 0, &r, NULL, 0);
	newcomer_new(&z);
	from = asked(&z);
	assert_string_equal(from.ask.request.token, "lab");
	w = seed_answers(&seed, &from);
	assert_int_equal(w.status, JOIN_MEMBER);
	z.no_store = true;
	n_wishes = 0;
	gives(&z, from.id, &w, &f);
	assert_int_equal(policy_admission_parse(w.admission, w.admission_len, &own), 0);
	engine_look(z.b.e, &v);
	assert_non_null(v.self);
	assert_string_equal(v.self->name, "z");
	assert_true(v.self->guest);
	assert_memory_equal(&v.self->addr4, &own.addr4, sizeof(own.addr4));
	assert_int_equal(join_look(&z.b).state, ENGINE_NEWCOMER_JOINING);
	/* Cluster key and bundle are kept, and the ticket is until its admission is too. */
	pass(&z, 5 * US);
	assert_true(wish_find(ENGINE_FX_CLUSTER_KEY) != SIZE_MAX);
	assert_true(wish_find(ENGINE_FX_BUNDLE_STORE) != SIZE_MAX);
	assert_true(wish_find(ENGINE_FX_ADMISSIONS_STORE) != SIZE_MAX);
	assert_true(wish_find(ENGINE_FX_TICKET_FORGET) == SIZE_MAX);
	z.no_store = false;
	pass(&z, 5 * US);
	assert_true(z.stored > 0);
	assert_true(wish_find(ENGINE_FX_TICKET_FORGET) != SIZE_MAX);
	pass(&z, 40 * US);
	assert_int_equal(join_look(&z.b).state, ENGINE_NEWCOMER_JOINED);
	/* revoked: it is told why */
	{
		char except[160], fingerprint[POLICY_FINGERPRINT_LEN];
		struct policy_key key;

		node_key(Z, &key);
		policy_key_fingerprint(&key, fingerprint);
		snprintf(except, sizeof(except), LAB ", except: [\"%s\"]", fingerprint);
		r = with_tokens(2, except);
		z.b.n_said = 0;
		bundle_new(&z, &r);
		assert_non_null(strstr(told(&z.b, ENGINE_N_NOT_MEMBER),
		        "The token lab, which let this node in as z, does so no more"));
		engine_look(z.b.e, &v);
		assert_null(v.self);
	}
	free(f.data);
	bed_end(&seed.b);
	bed_end(&z.b);
}

static void test_over(void **state)
{
	struct recipe r = usual_tokens();
	struct signed_file f = bundle_of(&r, NULL);
	struct wish w, from;

	(void)state;
	seed_start(&seed, 0, &r, NULL, 0);
	newcomer_new(&z);
	from = asked(&z);
	w = seed_answers(&seed, &from);
	gives(&z, from.id, &w, &f);
	pass(&z, 60 * US);
	z.b.n_said = 0;
	z.b.now.wall_s += 86400;
	z.b.now.mono_us += 86400 * US;
	bed_step(&z.b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_non_null(strstr(told(&z.b, ENGINE_N_NOT_MEMBER), "The time of the token lab"));
	z.b.n_said = 0;
	pass(&z, 2 * US);
	assert_string_equal(told(&z.b, ENGINE_N_NOT_MEMBER), "");
	/* it may ask again, and needs not when it is extended */
	ticket_give(&z);
	assert_int_equal(join_look(&z.b).state, ENGINE_NEWCOMER_ASKING);
	from = asked(&z);
	n_wishes = 0;
	r = with_tokens(2, "range: 10.8.0.0/24, count: 2, until: 2026-10-01");
	bundle_new(&z, &r);
	assert_non_null(strstr(told(&z.b, ENGINE_N_MEMBER), "This node is z"));
	answered(&z, from.id, &(struct join_answer){.status = JOIN_BUSY, .text = ""});
	pass(&z, 5 * US);
	assert_int_equal(join_look(&z.b).state, ENGINE_NEWCOMER_JOINED);
	assert_int_equal(wish_count(ENGINE_FX_TICKET_FORGET), 1);
	free(f.data);
	bed_end(&seed.b);
	bed_end(&z.b);
}

/* The seed's own sentence is what the newcomer tells. */
static void test_sentence(void **state)
{
	struct recipe r = usual_tokens();
	struct wish w, from;

	(void)state;
	seed_start(&seed, 0, &r, NULL, 0);
	let_in(&seed, NEW, "u");
	let_in(&seed, NEW + 1, "v");
	newcomer_new(&z);
	from = asked(&z);
	w = seed_answers(&seed, &from);
	gives(&z, from.id, &w, NULL);
	assert_string_equal(join_look(&z.b).text, "Seed a refused: The token 'lab' has let in its "
	                                          "2 nodes: make another, or raise its "
	                                          "count.");
	/* the next one may have a bundle that this one has not yet */
	assert_int_equal(join_look(&z.b).state, ENGINE_NEWCOMER_ASKING);
	from = asked(&z);
	answered(&z, from.id, &(struct join_answer){.status = JOIN_REFUSED, .text = "No."});
	assert_int_equal(join_look(&z.b).state, ENGINE_NEWCOMER_REFUSED);
	is_nobody(&z);
	bed_end(&seed.b);
	bed_end(&z.b);
}

/* The first seed died before its admission was on disk: the second one lets it in. */
static void test_two_seeds(void **state)
{
	struct recipe r = usual_tokens();
	struct signed_file f = bundle_of(&r, NULL);
	struct join_request request;
	struct engine_event ev = {.type = ENGINE_EV_JOIN_ANSWERED};
	struct wish w, from;
	struct policy_admission own;
	uint64_t id;

	(void)state;
	seed_start(&seed, 0, &r, NULL, 0);
	newcomer_new(&z);
	from = asked(&z);
	assert_string_equal(from.seed, "a");
	seed.no_store = true;
	request = from.ask.request;
	vouch(&request, "lab", TOKEN);
	id = ask(&seed, &request, Z);
	await(&seed);
	assert_null(answer_of(id));
	bed_end(&seed.b);
	ev.join_answered.effect_id = from.id;
	ev.join_answered.error = -ETIMEDOUT;
	present = &z;
	bed_step(&z.b, &ev);
	is_nobody(&z);
	from = asked(&z);
	assert_string_equal(from.seed, "b");
	seed_start(&seed2, 1, &r, NULL, 0);
	w = seed_answers(&seed2, &from);
	gives(&z, from.id, &w, &f);
	assert_int_equal(join_look(&z.b).state, ENGINE_NEWCOMER_JOINING);
	assert_int_equal(policy_admission_parse(w.admission, w.admission_len, &own), 0);
	assert_string_equal(own.seed, "b");
	free(f.data);
	bed_end(&seed2.b);
	bed_end(&z.b);
}

/* ---- lying seeds ---- */

static void lie(const struct policy_admission *a, int token, int by, const struct signed_file *f,
        const char *text)
{
	struct wish w = {.status = JOIN_MEMBER, .n_admissions = 1}, from = asked(&z);

	record_make(&w, a, token, by);
	gives(&z, from.id, &w, f);
	if (!strstr(join_look(&z.b).text, text))
		fail_msg("%s", join_look(&z.b).text);
	is_nobody(&z);
}

static void test_liars(void **state)
{
	struct recipe r = usual_tokens(), none = r;
	struct signed_file f = bundle_of(&r, NULL), g;
	struct policy_admission good, a;
	struct wish w = {.status = JOIN_MEMBER, .n_admissions = 1}, from;

	(void)state;
	none.more = NULL;
	g = bundle_of(&none, NULL);
	newcomer_new(&z);
	good = (struct policy_admission){.cluster = "t",
	        .token = "lab",
	        .name = "z",
	        .seed = "a",
	        .addr4 = {2, {10, 8, 0, 9}},
	        .number = 1};
	node_key(Z, &good.key);
	lie(&good, OTHER, 0, &f, "that the token or the seed in it did not sign");
	lie(&good, TOKEN, TOKEN, &f, "that the token or the seed in it did not sign");
	lie(&good, TOKEN, 0, &g, "that its own bundle does not grant");
	a = good;
	a.number = 3;
	lie(&a, TOKEN, 0, &f, "does not grant");
	a = good;
	a.addr4.bytes[1] = 1;
	lie(&a, TOKEN, 0, &f, "does not grant");
	a = good;
	memcpy(a.seed, "c", 2);
	lie(&a, TOKEN, 2, &f, "does not grant");
	a = good;
	memcpy(a.cluster, "u", 2);
	lie(&a, TOKEN, 0, &f, "does not grant");
	a = good;
	node_key(NEW, &a.key);
	lie(&a, TOKEN, 0, &f, "no admission of our key");
	a = good;
	memcpy(a.name, "b", 2);
	lie(&a, TOKEN, 0, &f, "that is another member's");
	/* what is no record at all */
	from = asked(&z);
	w.admission_len = 3;
	gives(&z, from.id, &w, &f);
	assert_non_null(strstr(join_look(&z.b).text, "no admission of our key"));
	from = asked(&z);
	w.n_admissions = 0;
	gives(&z, from.id, &w, &f);
	assert_non_null(strstr(join_look(&z.b).text, "does not name our key"));
	is_nobody(&z);
	/* and an honest one */
	from = asked(&z);
	w.n_admissions = 1;
	record_make(&w, &good, TOKEN, 0);
	gives(&z, from.id, &w, &f);
	assert_int_equal(join_look(&z.b).state, ENGINE_NEWCOMER_JOINING);
	free(f.data);
	free(g.data);
	bed_end(&z.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_both),
	        cmocka_unit_test(test_over),
	        cmocka_unit_test(test_sentence),
	        cmocka_unit_test(test_two_seeds),
	        cmocka_unit_test(test_liars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
