/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests in the cluster machine: the same everywhere in whatever order they came, and told to
 * everybody, and not twice.
 */
#include "tests/unit/admissions_bed.h"

/* ---- spread ---- */

/* Seed a lets one in: everybody acts on it within milliseconds, and then all is quiet. */
static void test_spread(void **state)
{
	struct scene s = guests_begin(0, 10);
	struct policy_admission g = guest_of(G, 0);
	unsigned sent;

	(void)state;
	sent = s.b->sent[SESSION_ADMISSIONS];
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, 10 * LINK_US);
	all_know(&s, "g", true);
	all_same(&s);
	pass(s.b, 60 * US);
	/* a to b, c, d; b to c and d: nobody says a word more */
	assert_int_equal(s.b->sent[SESSION_ADMISSIONS] - sent, 5);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(s.b->n[i].n_guest_stores, 1);
		assert_true(cluster_admission_stored(s.b->n[i].c, &g.key));
		assert_int_equal(s.b->n[i].n_policies, 2);
		/* who let it in tells that itself, with more words */
		assert_int_equal(told_count(s.b, i, ENGINE_N_JOIN_GUEST), i > 0);
	}
	assert_string_equal(
	        told_last(s.b, 3, ENGINE_N_JOIN_GUEST), "g is let in by token lab, at seed a.");
	end(&s);
}

/* A member learns of one in a seed's answer, and tells its seeds when they ask for its sum. */
static void test_from_member(void **state)
{
	struct scene s = guests_begin(0, 10);
	struct policy_admission g = guest_of(G, 1);

	(void)state;
	assert_int_equal(admit(s.b, 2, &g, false), 0);
	pass(s.b, 5 * US);
	all_know(&s, "g", true);
	end(&s);
}

/* Not one word of it where the policy has no tokens: the release before knows nothing of it. */
static void test_no_tokens(void **state)
{
	struct policy_admission g = guest_of(G, 0);
	struct scene s;

	(void)state;
	begin(&s, 0);
	assert_int_equal(admit(s.b, 0, &g, true), -EINVAL);
	node_give(s.b, 0, &s.f[2]);
	pass(s.b, 60 * US);
	assert_int_equal(s.b->sent[SESSION_ADMISSIONS], 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(s.b->n[i].n_guest_stores, 0);
	end(&s);
}

/* c was away while the token was made and its guest let in. */
static void test_late(void **state)
{
	struct recipe r = with_tokens(2, 10, NULL);
	struct policy_admission g = guest_of(G, 0), h = guest_of(G + 1, 1);
	struct scene s;

	(void)state;
	begin(&s, 0);
	free(s.f[2].data);
	node_stop(s.b, 2);
	bundle_next(&s, &r);
	pass(s.b, US);
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, US);
	node_start(s.b, 2, s.local, &s.f[1]);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			node_reach(s.b, i, 2, CLUSTER_UP);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 2), 2);
	all_know(&s, "g", true);
	/* and what comes next comes to it at once */
	assert_int_equal(admit(s.b, 1, &h, true), 0);
	pass(s.b, 300000);
	all_know(&s, "h", true);
	end(&s);
}

static bool lose_c(struct cbed *b, int from, int to, struct session_msg *msg)
{
	(void)b, (void)from;
	return to != 2 || msg->type != SESSION_ADMISSIONS || !msg->len;
}

/* Messages that went missing: the sums tell, and it is sent again. */
static void test_missed(void **state)
{
	struct scene s = guests_begin(0, 10);
	struct policy_admission g = guest_of(G, 0), h = guest_of(G + 1, 0);

	(void)state;
	s.b->tamper = lose_c;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, US);
	assert_false(is_guest(s.b, 2, "g"));
	s.b->tamper = NULL;
	assert_int_equal(admit(s.b, 0, &h, true), 0);
	pass(s.b, 10 * US);
	all_know(&s, "g", true);
	all_know(&s, "h", true);
	all_same(&s);
	end(&s);
}

static bool spoil_c(struct cbed *b, int from, int to, struct session_msg *msg)
{
	(void)b, (void)from;
	if (to == 2 && msg->type == SESSION_ADMISSIONS && msg->len)
		((uint8_t *)(uintptr_t)msg->data)[msg->len - 1] ^= 1;
	return true;
}

/* c takes none of it, for whatever reason: it is sent again, ever less often. */
static void test_missed_all(void **state)
{
	struct scene s = guests_begin(0, 10);
	struct policy_admission g = guest_of(G, 0);
	size_t bytes;

	(void)state;
	s.b->tamper = spoil_c;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, 3600 * US);
	bytes = s.b->bytes[SESSION_ADMISSIONS];
	assert_in_range(bytes, 10 * 181, 60 * 181);
	assert_false(is_guest(s.b, 2, "g"));
	s.b->tamper = NULL;
	pass(s.b, 2 * 3600 * US);
	all_know(&s, "g", true);
	assert_in_range(s.b->bytes[SESSION_ADMISSIONS] - bytes, 181, 10 * 181);
	bytes = s.b->bytes[SESSION_ADMISSIONS];
	pass(s.b, 10 * 3600 * US);
	assert_int_equal(s.b->bytes[SESSION_ADMISSIONS], bytes);
	end(&s);
}

/* ---- the same in any order ---- */

#define DECK 24U

/* Such that many want the same name, key, address or number. */
static void deck_make(struct policy_admission deck[DECK])
{
	for (unsigned i = 0; i < DECK; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%s%u", i % 3 ? "N" : "n", i % 7);
		deck[i] = let_in((int)(G + i % 13), name, (int)(i % 2), i % 5 + 1);
		deck[i].addr4.bytes[3] = (uint8_t)(1 + i % 11);
		sign_both(&deck[i], TOKEN, (int)(i % 2));
	}
}

static void shuffle(struct policy_admission *v, size_t n, unsigned *x)
{
	for (size_t i = n; i-- > 1;) {
		struct policy_admission t = v[i];
		size_t k = (*x = *x * 1103515245U + 12345U) / 65536 % (i + 1);

		v[i] = v[k];
		v[k] = t;
	}
}

static void test_any_order(void **state)
{
	struct policy_admission deck[DECK];
	uint8_t sum[32], digest[32], zero[32] = {0};
	unsigned x = 7;

	(void)state;
	deck_make(deck);
	for (int round = 0; round < 12; round++) {
		struct scene s = guests_begin(1 << 1, 5); /* b is a puppet */
		size_t at = 0;

		shuffle(deck, DECK, &x);
		puppet_open(s.b, 1, 2);
		pass(s.b, US);
		while (at < DECK) {
			size_t n = 1 + x / 7 % 4;

			n = at + n > DECK ? DECK - at : n;
			puppet_admissions(s.b, 1, &s.f[1].short_head, deck + at, n);
			at += n;
			if (x / 31 % 2)
				pass(s.b, US);
		}
		pass(s.b, 60 * US);
		if (!round) {
			memcpy(sum, s.b->n[1].last[SESSION_ADMISSIONS].sum, 32);
			memcpy(digest, s.b->n[2].policy->digest, 32);
			assert_memory_not_equal(sum, zero, 32);
			assert_true(s.b->n[2].policy->n_peers > 6);
		}
		assert_memory_equal(s.b->n[1].last[SESSION_ADMISSIONS].sum, sum, 32);
		assert_memory_equal(s.b->n[2].policy->digest, digest, 32);
		all_same(&s); /* a and d have it from c */
		end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_spread),
	        cmocka_unit_test(test_from_member),
	        cmocka_unit_test(test_no_tokens),
	        cmocka_unit_test(test_late),
	        cmocka_unit_test(test_missed),
	        cmocka_unit_test(test_missed_all),
	        cmocka_unit_test(test_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
