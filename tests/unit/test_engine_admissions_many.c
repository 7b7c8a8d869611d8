/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Liars, and guests by the thousand: what they cost, and what is left of it. */
#include "tests/unit/admissions_bed.h"

/* ---- liars ---- */

/* d tells c of guests that nobody let in: a few signatures looked at, and then d is not heard. */
static void test_forged(void **state)
{
	struct policy_admission v[40];
	struct scene s = guests_begin(1 << 3 | 1, 4000);
	unsigned before;

	(void)state;
	node_stop(s.b, 2);
	s.b->hooks = &counting;
	node_start(s.b, 2, s.local, &s.f[1]);
	puppet_open(s.b, 3, 2);
	pass(s.b, US);
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "x%d", i);
		v[i] = let_in(200 + i, name, 0, (uint32_t)i + 1);
		switch (i % 4) {
		case 0: /* by a token it does not hold */
			sign_both(&v[i], 200, 0);
			break;
		case 1: /* by a token it holds, and no seed */
			sign_both(&v[i], TOKEN, 3);
			break;
		case 2:
			v[i].by_seed[7] ^= 1;
			break;
		case 3: /* signed for another */
			v[i].addr4.bytes[3] ^= 1;
			break;
		}
	}
	before = verified;
	for (int i = 0; i < 30; i++) {
		puppet_admissions(s.b, 3, &s.f[1].short_head, v, 40);
		pass(s.b, 100000);
	}
	assert_in_range(verified - before, 3, 6); /* two signatures each */
	assert_int_equal(s.b->n[2].policy->n_peers, 4);
	assert_int_equal(told_count(s.b, 2, ENGINE_N_JOIN_REFUSED), 1);
	/* by a bundle that we have not, it may be no fault of its own: for a while */
	pass(s.b, 20 * 60 * US);
	before = verified;
	for (int i = 0; i < 100; i++) {
		struct session_head other = {.serial = 99, .digest = {1}};

		puppet_admissions(s.b, 3, &other, v, 40);
		pass(s.b, 100000);
	}
	assert_in_range(verified - before, 20, 80);
	/* it is heard again when it says what is so */
	pass(s.b, 20 * 60 * US);
	v[0] = let_in(G, "g", 0, 1);
	puppet_admissions(s.b, 3, &s.f[1].short_head, v, 1);
	pass(s.b, US);
	assert_true(is_guest(s.b, 2, "g"));
	end(&s);
}

/* What the bundle does not grant costs no signature, and is nobody's fault. */
static void test_not_granted(void **state)
{
	struct policy_admission v[4];
	struct scene s = guests_begin(1 << 3, 5);
	unsigned before;

	(void)state;
	node_stop(s.b, 2);
	s.b->hooks = &counting;
	node_start(s.b, 2, s.local, &s.f[1]);
	pass(s.b, US);
	puppet_open(s.b, 3, 2);
	pass(s.b, US);
	v[0] = let_in(G, "g", 0, 6); /* beyond the count */
	v[1] = let_in(G, "g", 2, 1); /* c is no seed */
	v[2] = let_in(G, "g", 0, 1);
	snprintf(v[2].cluster, sizeof(v[2].cluster), "other");
	sign_both(&v[2], TOKEN, 0);
	v[3] = let_in(G, "g", 0, 1);
	snprintf(v[3].token, sizeof(v[3].token), "three");
	sign_both(&v[3], TOKEN, 0);
	before = verified;
	for (int i = 0; i < 10; i++)
		puppet_admissions(s.b, 3, &s.f[1].short_head, v, 4);
	pass(s.b, US);
	assert_int_equal(verified, before);
	assert_false(is_guest(s.b, 2, "g"));
	v[0] = let_in(G, "g", 0, 1);
	puppet_admissions(s.b, 3, &s.f[1].short_head, v, 1);
	pass(s.b, US);
	assert_true(is_guest(s.b, 2, "g"));
	end(&s);
}

/* A token's holder and a seed together: number by number is all they get, however they sort keys. */
static void test_replacing(void **state)
{
	struct policy_admission v[200];
	struct scene s = guests_begin(1 << 1, 5);

	(void)state;
	puppet_open(s.b, 1, 2);
	pass(s.b, US);
	for (int i = 0; i < 200; i++)
		v[i] = let_in(G + i, "g", 0, 1);
	for (int i = 1; i < 200; i++) /* the one that goes first comes last */
		for (int k = i; k && policy_key_compare(&v[k].key, &v[k - 1].key) > 0; k--) {
			struct policy_admission t = v[k];

			v[k] = v[k - 1];
			v[k - 1] = t;
		}
	s.b->n[2].n_policies = 0;
	for (int i = 0; i < 200; i++) {
		puppet_admissions(s.b, 1, &s.f[1].short_head, &v[i], 1);
		pass(s.b, 200000);
	}
	assert_in_range(s.b->n[2].n_policies, 10, 25);
	end(&s);
}

static int trust(void *user, const struct policy_key *key, const void *text, size_t len,
        const uint8_t sig[64])
{
	(void)user, (void)key, (void)text, (void)len, (void)sig;
	return 0;
}

static const struct cluster_hooks trusting = {.verify = trust};

/* Number n of a token at a seed, unsigned, each with its own name, key and address. */
static struct policy_admission nth(const char *token, int seed, unsigned n)
{
	struct policy_admission a = {.number = n, .cluster = "t"};
	unsigned net = !strcmp(token, "lab") ? 8 : 9;

	snprintf(a.token, sizeof(a.token), "%s", token);
	snprintf(a.name, sizeof(a.name), "%s-%d-%u", token, seed, n);
	snprintf(a.seed, sizeof(a.seed), "%c", 'a' + seed);
	node_key((int)(1000 + n + net * 10000 + (unsigned)seed * 5000), &a.key);
	a.addr4 = (struct policy_addr){.family = 2,
	        .bytes = {10, (uint8_t)net, (uint8_t)((n >> 8) + (unsigned)seed * 64), (uint8_t)n}};
	a.by_seed[0] = (uint8_t)n;
	return a;
}

/* c that trusts all, and puppet b. */
static struct scene only_c_and_b(void)
{
	struct scene s = guests_begin(1 << 1, 4096);

	node_stop(s.b, 0);
	node_stop(s.b, 2);
	node_stop(s.b, 3);
	pass(s.b, US);
	s.b->hooks = &trusting;
	node_start(s.b, 2, s.local, &s.f[1]);
	puppet_open(s.b, 1, 2);
	pass(s.b, US);
	return s;
}

static bool told_full(const struct cbed *b)
{
	bool full = false;

	for (size_t i = 0; i < b->n_told; i++)
		full |= strstr(b->told[i].text, "which is the most") != NULL;
	return full;
}

/* All that two tokens and two seeds can make: the most there is room for, and no more. */
static void test_many(void **state)
{
	struct policy_admission v[100];
	struct scene s;
	size_t memory;

	(void)state;
	s = only_c_and_b();
	for (int part = 0; part < 3; part++) {
		s.b->n_told = 0;
		for (unsigned i = 1; i <= 4096;) {
			size_t n = 0;

			while (n < 100 && i <= 4096)
				v[n++] = nth(part == 2 ? "two" : "lab", part == 1, i++);
			puppet_admissions(s.b, 1, &s.f[1].short_head, v, n);
			pass(s.b, 100000);
		}
	}
	pass(s.b, 3 * US);
	assert_int_equal(cluster_admissions_used(s.b->n[2].c, "lab"), ENGINE_ADMISSIONS_MAX);
	assert_int_equal(cluster_admissions_used(s.b->n[2].c, "two"), 0);
	assert_true(told_full(s.b));
	memory = cluster_memory(s.b->n[2].c);
	assert_true(memory < 8 << 20);
	assert_int_equal(s.b->n[2].policy->n_peers, 4 + ENGINE_ADMISSIONS_MAX);
	/* a token that is revoked makes room */
	{
		struct recipe r = with_tokens(2, 100, NULL);

		s.f[2] = bundle_of(&r, &s.f[1]);
		node_give(s.b, 2, &s.f[2]);
		assert_int_equal(cluster_admissions_used(s.b->n[2].c, "lab"), 200);
		assert_true(cluster_memory(s.b->n[2].c) < memory / 4);
	}
	end(&s);
}

/* A member that lost its disk is sent thousands: in parts, so that no queue is full; by both seeds. */
static void test_all_of_many(void **state)
{
	static uint8_t file[4096 * 256];
	struct scene s = guests_begin(0, 4096);
	size_t len = 0, bytes;

	(void)state;
	for (unsigned i = 1; i <= 4096; i++) {
		struct policy_admission a = nth("lab", 0, i);
		size_t n = policy_admission_print(&a, file + len + 2);

		file[len] = (uint8_t)(n >> 8);
		file[len + 1] = (uint8_t)n;
		len += 2 + n;
		assert_true(len < sizeof(file) - 512);
	}
	for (int i = 0; i < 4; i++)
		node_stop(s.b, i);
	pass(s.b, US);
	s.b->hooks = &trusting;
	for (int i = 0; i < 4; i++) {
		if (i != 2)
			guests_keep(&s.b->n[i], file, len);
		node_start(s.b, i, s.local, &s.f[1]);
	}
	for (int i = 0; i < 200 && s.b->n[2].policy->n_peers < 4 + 4096; i++) {
		bytes = s.b->bytes[SESSION_ADMISSIONS];
		pass(s.b, 100000);
		/* to c from each of two; the first burst is larger */
		bytes = s.b->bytes[SESSION_ADMISSIONS] - bytes;
		assert_true(bytes < (i > 20 ? 6 : 40) * 17000);
	}
	assert_true(s.b->now < 20 * US);
	all_same(&s);
	pass(s.b, 60 * US);
	assert_in_range(s.b->bytes[SESSION_ADMISSIONS], len, 2 * len + len / 2);
	assert_int_equal(told_count(s.b, -1, ENGINE_N_SESSION_DOWN), 0);
	bytes = s.b->bytes[SESSION_ADMISSIONS];
	pass(s.b, 3600 * US);
	assert_int_equal(s.b->bytes[SESSION_ADMISSIONS], bytes);
	end(&s);
}

/* Thousands one by one, as a site with cloud-init does: not a policy for each. */
static void test_one_by_one(void **state)
{
	struct policy_admission a;
	struct scene s;
	int64_t from;

	(void)state;
	s = only_c_and_b();
	s.b->n[2].n_policies = s.b->n[2].n_guest_stores = 0;
	from = s.b->now;
	for (unsigned i = 1; i <= 4096; i++) {
		a = nth("lab", 0, i);
		puppet_admissions(s.b, 1, &s.f[1].short_head, &a, 1);
		pass(s.b, 10000);
		if (i == 1)
			assert_int_equal(s.b->n[2].n_policies, 1); /* the first at once */
	}
	assert_true(s.b->n[2].n_policies <= 10 * (s.b->now - from) / US);
	assert_true(s.b->n[2].n_guest_stores <= (s.b->now - from) / US + 1);
	pass(s.b, US);
	assert_int_equal(s.b->n[2].policy->n_peers, 4 + 4096);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_forged),
	        cmocka_unit_test(test_not_granted),
	        cmocka_unit_test(test_replacing),
	        cmocka_unit_test(test_many),
	        cmocka_unit_test(test_all_of_many),
	        cmocka_unit_test(test_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
