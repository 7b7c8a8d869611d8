/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many that ask a seed at once, or again and again: what they cost, and who is heard all the same. */
#include "tests/unit/join_bed.h"

static int yes(void *user, const struct policy_key *key, const void *text, size_t len,
        const uint8_t sig[64])
{
	(void)key, (void)text, (void)len, (void)sig;
	(*(unsigned *)user)++;
	return 0;
}

/* Request number n, whose signature counts for everything. */
static enum join_status flood(struct bed *b, int n, int sa)
{
	static uint64_t id = 1 << 20;
	struct join_request r = request_of(NEW, "x");
	uint8_t nonce[32] = {0};

	memcpy(r.key.raw, &n, sizeof(n));
	snprintf(r.name, sizeof(r.name), "n%d", n);
	n_wishes = 0;
	call_with(b, ++id, sa, nonce, &r);
	return wish_last(ENGINE_FX_JOIN_ANSWER)->status;
}

static void test_one_source(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	size_t before, busy = 0;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	join_sa(&b, 1, 1);
	join_sa(&b, 2, 2);
	flood(&b, 0, 1);
	before = engine_memory(b.e);
	b.n_said = 0;
	for (int i = 1; i < 10000; i++)
		busy += flood(&b, i, 1) == JOIN_BUSY;
	assert_int_equal(busy, 10000 - 8); /* what may wait from one source */
	assert_int_equal(join_look(&b).n_pending, 8);
	assert_true(verified <= 64);
	assert_true(engine_memory(b.e) < before + 8192);
	/* somebody else */
	assert_int_equal(flood(&b, 20000, 2), JOIN_PENDING);
	/* those who wait may ask again as time passes */
	b.now.mono_us += 10 * US;
	join_sa(&b, 3, 1);
	verified = 0;
	assert_int_equal(flood(&b, 0, 3), JOIN_PENDING);
	for (int i = 0; i < 1000; i++)
		flood(&b, 0, 3);
	assert_in_range(verified, 10, 25);
	bed_end(&b);
}

/* Who has just begun to ask hears soon that it was approved, as far as its source's rate allows. */
static void test_retry(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	join_sa(&b, 1, 1);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(flood(&b, i, 1), JOIN_PENDING);
		assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->retry_s, i < 2 ? 2 : i + 1);
	}
	for (int i = 8; i < 60; i++) {
		join_sa(&b, 2, i);
		assert_int_equal(flood(&b, i, 2), JOIN_PENDING);
	}
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->retry_s, 10);
	b.now.mono_us += 301 * US;
	join_sa(&b, 3, 1);
	assert_int_equal(flood(&b, 0, 3), JOIN_PENDING);
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->retry_s, 20);
	bed_end(&b);
}

static void test_many_sources(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	size_t before;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	join_sa(&b, 1, 1);
	flood(&b, 0, 1);
	before = engine_memory(b.e);
	n_told_pending = 0;
	for (int i = 1; i < 10000; i++) {
		join_sa(&b, 1, i + 2);
		flood(&b, i, 1);
		if (i % 100 == 0)
			b.now.mono_us += US / 10;
	}
	assert_int_equal(join_look(&b).n_pending, 256);
	assert_in_range(n_told_pending, 7, 9); /* of all these, so many are told */
	assert_true(verified <= 512 + 10 * 50 + 1);
	print_message("%zu bytes for 256 pending\n", engine_memory(b.e) - before);
	assert_true(engine_memory(b.e) < before + 256 * 640);
	/* half a minute later an honest one finds no room: nobody has gone yet */
	b.now.mono_us += 30 * US;
	join_sa(&b, 2, 1 << 20);
	assert_int_equal(flood(&b, 20000, 2), JOIN_BUSY);
	/* those that do not go on asking lose their place */
	b.now.mono_us += 271 * US;
	join_sa(&b, 3, 1 << 20);
	assert_int_equal(flood(&b, 20000, 3), JOIN_PENDING);
	bed_end(&b);
}

/* Whoever has a whole /64 is one source all the same. */
static void test_six(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	for (int i = 0; i < 1000; i++) {
		join_sa(&b, 1, SIX + i);
		flood(&b, i, 1);
	}
	assert_int_equal(join_look(&b).n_pending, 8);
	assert_int_equal(verified, 64);
	join_sa(&b, 2, SIX + 65536); /* another */
	assert_int_equal(flood(&b, 2000, 2), JOIN_PENDING);
	bed_end(&b);
}

/* Thirty-two sources with eight each fill the queue; whoever else comes takes one of theirs. */
static void test_fair(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	struct engine_pending_view p;
	struct bed b;
	size_t mine = 0;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	for (int s = 0; s < 32; s++) {
		join_sa(&b, 1, 100 + s);
		for (int i = 0; i < 8; i++) {
			b.now.mono_us += 20000;
			assert_int_equal(flood(&b, s * 8 + i, 1), JOIN_PENDING);
		}
	}
	assert_int_equal(join_look(&b).n_pending, 256);
	join_sa(&b, 2, 7);
	for (int i = 0; i < 4; i++)
		assert_int_equal(flood(&b, 1000 + i, 2), JOIN_PENDING);
	assert_int_equal(join_look(&b).n_pending, 256);
	for (size_t i = 0; i < 256; i++) {
		assert_int_equal(engine_pending_at(b.e, i, &p), 0);
		mine += p.source.bytes[3] == 7;
	}
	assert_int_equal(mine, 4);
	/* and the first of each is still there */
	assert_int_equal(flood(&b, 0, 2), JOIN_PENDING);
	assert_int_equal(join_look(&b).n_pending, 256);
	bed_end(&b);
}

/* A day without asking: forgotten, and all of it given back. */
static void test_forgotten(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	size_t before;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	join_sa(&b, 1, 1);
	flood(&b, 0, 1);
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	before = engine_memory(b.e);
	for (int i = 1; i < 8; i++)
		flood(&b, i, 1);
	for (int i = 0; i < 25 * 60; i++) {
		b.now.mono_us += 60 * US;
		bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
		b.n_pending = 0;
		if (i == 24 * 60 - 2)
			assert_int_equal(join_look(&b).n_pending, 8);
	}
	assert_int_equal(join_look(&b).n_pending, 0);
	assert_true(engine_memory(b.e) < before + 4096);
	bed_end(&b);
}

/* Calls that nobody answers yet are bounded too. */
static void test_parked(void **state)
{
	struct join_request r = request_of(NEW, "x");
	uint8_t nonce[32] = {0};
	struct bed b;
	size_t before;

	(void)state;
	seed_begin(&b, &usual, NULL);
	before = engine_memory(b.e);
	n_wishes = 0;
	for (int i = 0; i < 1000; i++)
		call_with(&b, 1 + (uint64_t)i, i, nonce, &r);
	assert_int_equal(wish_count(ENGINE_FX_JOIN_ANSWER), 1000 - 64);
	assert_true(engine_memory(b.e) < before + 64 * 1200 + 32768);
	bed_pass(&b, 3 * US);
	assert_int_equal(wish_count(ENGINE_FX_JOIN_ANSWER), 1000);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_one_source),
	        cmocka_unit_test(test_retry),
	        cmocka_unit_test(test_many_sources),
	        cmocka_unit_test(test_six),
	        cmocka_unit_test(test_fair),
	        cmocka_unit_test(test_forgotten),
	        cmocka_unit_test(test_parked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
