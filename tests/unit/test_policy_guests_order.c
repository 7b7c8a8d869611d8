/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of guests that want the same: who goes before whom, in any order, and never before a peer. */
#include "policy_guests_bed.h"
#include "policy_random.h"

#include <arpa/inet.h>
#include <strings.h>

/* ---- who goes before whom */

/* text: what is said of it; "": it is free. */
static void own_is_first(
        const struct policy *policy, struct policy_admission a, const char *expected)
{
	char text[POLICY_GUEST_TEXT_MAX] = "";
	bool used[GUESTS_MAX];
	struct policy *out = with(policy, &a, 1, used);

	assert_int_equal(policy_admission_check(policy, &a, NULL, 0), 0);
	assert_int_equal(
	        policy_admission_taken(out, &a, text, sizeof(text)), *expected ? -EEXIST : 0);
	assert_string_equal(text, expected);
	assert_int_equal(used[0], !*expected);
	policy_unref(out);
}

#define ROTATING                                                                                   \
	HEAD "tokens: { t: { key: \"" TOKEN_KEY                                                    \
	     "\", roles: [exec], count: 9, until: \"2030-12-01T12:00Z\" } }\n"                     \
	     "peers:\n"                                                                            \
	     "  seed1: { key: \"" KEY1 "\", roles: [seed, exec], address: 10.77.0.1, endpoints: "  \
	     "[192.0.2.1], address6: \"%s\" }\n"                                                   \
	     "  n1: { key: \"" KEY2 "\", old_key: \"" OLD_KEY                                      \
	     "\", old_until: \"2029-01-01T00:00Z\", address: 10.77.0.2, roles: [exec] }\n"

static void policys_own_is_first(void **state)
{
	struct policy *policy = policy_good(SCENE);
	struct policy_admission a = admission("aws", "n1", 1, "10.77.8.9", 50);
	struct policy_addr addr6;
	char text[4096], print[INET6_ADDRSTRLEN];
	(void)state;

	own_is_first(policy, a, "");
	strcpy(a.name, "node17");
	own_is_first(policy, a, "the name is that of the peer node17 (policy.yaml:16)");
	strcpy(a.name, "NODE17");
	own_is_first(policy, a, "the name is that of the peer node17 (policy.yaml:16)");
	strcpy(a.name, "dot");
	own_is_first(policy, a, "the name is that of the peer dot.HPC (policy.yaml:17)");
	strcpy(a.name, "PBS");
	own_is_first(policy, a, "the name is that of the failover address pbs (policy.yaml:9)");
	a = admission("aws", "n1", 1, "10.77.8.9", 50);
	a.key = policy_peer_by_name(policy, "node17")->key;
	own_is_first(policy, a, "the key is that of the peer node17 (policy.yaml:16)");
	a = admission("aws", "n1", 1, "10.77.8.9", 50);
	a.addr4 = addr_of("10.77.8.17");
	own_is_first(policy, a, "the address is that of the peer node17 (policy.yaml:16)");
	policy_unref(policy);
	/* What a peer had before: its key, and the IPv6 address that it keeps of it. */
	a = admission("t", "g", 1, "10.77.8.9", 1);
	policy_ula_address("hpc", &a.key, &addr6);
	policy_addr_print(&addr6, print, sizeof(print));
	snprintf(text, sizeof(text), ROTATING, print);
	policy = policy_good(text);
	own_is_first(policy, a, "the address is that of the peer seed1 (policy.yaml:6)");
	a.key = key_of(2);
	own_is_first(policy, a, "");
	assert_int_equal(policy_key_parse(OLD_KEY, &a.key, NULL), 0);
	own_is_first(policy, a, "the key is that of the peer n1 (policy.yaml:7)");
	policy_unref(policy);
}

/* Of two that want the same the lower fingerprint is taken, however they come. */
static void one_of_two(const char *what, struct policy_admission x, struct policy_admission y)
{
	struct policy *policy = policy_good(SCENE), *one, *two;
	const struct policy_admission both[] = {x, y, y, x};
	bool x_first = policy_key_compare(&x.key, &y.key) < 0, used[GUESTS_MAX];

	one = with(policy, both, 2, used);
	if (used[0] != x_first || used[1] == x_first)
		fail_msg("%s", what);
	two = with(policy, both + 2, 2, used);
	if (used[1] != x_first || used[0] == x_first)
		fail_msg("%s turned round", what);
	assert_memory_equal(one->digest, two->digest, 32);
	policy_unref(one);
	policy_unref(two);
	policy_unref(policy);
}

static void lower_one_is_first(void **state)
{
	struct policy_admission a = admission("aws", "n1", 1, "10.77.8.9", 50), b;
	struct policy *policy = policy_good(SCENE), *out;
	struct policy_admission same[2];
	bool used[GUESTS_MAX];
	(void)state;

	for (unsigned i = 2; i < 6; i++) {
		b = admission("aws", "N1", i, "10.77.8.10", 2);
		one_of_two("name", a, b);
		b = admission("lab", "n2", i, "10.77.8.9", 2);
		one_of_two("address", a, b);
		b = admission("aws", "n2", i, "10.77.8.10", 50);
		one_of_two("number", a, b);
	}
	b = admission("aws", "n2", 2, "10.77.8.10", 50); /* the number of another seed */
	strcpy(b.seed, "seed2");
	same[0] = a, same[1] = b;
	out = with(policy, same, 2, used);
	assert_true(used[0] && used[1]);
	policy_unref(out);
	b = a; /* the same key twice */
	strcpy(b.name, "n2");
	b.addr4 = addr_of("10.77.8.10");
	b.number = 1;
	for (int turn = 0; turn < 2; turn++) {
		same[turn] = a, same[!turn] = b;
		out = with(policy, same, 2, used);
		assert_true(used[turn] && !used[!turn]); /* n1 < n2 */
		policy_unref(out);
	}
	policy_unref(policy);
}

/* ---- a world of chance, judged by the rules as they are written */

struct chance {
	struct policy *policy;
	struct policy_admission all[GUESTS_MAX];
	size_t n;
};

static void chance_admission(
        struct policy_admission *a, unsigned *seed, const struct policy *policy)
{
	static const char letters[] = "nNpP";
	const struct policy_peer *peer = &policy->peers[pick(seed, (unsigned)policy->n_peers)];
	char addr[32];

	snprintf(
	        addr, sizeof(addr), pick(seed, 8) ? "10.77.190.%u" : "10.77.1.%u", pick(seed, 256));
	*a = admission(pick(seed, 2) ? "t1" : "t2", "x", pick(seed, 400), addr, 1 + pick(seed, 70));
	snprintf(a->cluster, sizeof(a->cluster), "%s", policy->cluster);
	snprintf(a->name, sizeof(a->name), "%c%u", letters[pick(seed, pick(seed, 9) ? 2 : 4)],
	        pick(seed, 200));
	snprintf(a->seed, sizeof(a->seed), "s%u", pick(seed, 3));
	if (!pick(seed, 20))
		a->key = peer->key;
	if (!pick(seed, 20))
		a->addr4 = peer->addr4;
	if (!pick(seed, 30))
		snprintf(a->name, sizeof(a->name), "www.n%u", pick(seed, 9));
	for (size_t i = 0; i < 64; i++)
		a->by_seed[i] = (uint8_t)pick(seed, 4);
}

/* Some peers, of whom two had other keys once, and two tokens. */
static struct chance chance_make(unsigned *seed, size_t n)
{
	struct chance chance = {.n = n};
	struct policy_key old_key = key_of(5), former = key_of(6);
	char *text = NULL, key[96], address6[INET6_ADDRSTRLEN];
	struct policy_addr addr6;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	policy_ula_address("hpc", &former, &addr6);
	policy_addr_print(&addr6, address6, sizeof(address6));
	policy_key_print(&old_key, key, sizeof(key));
	fputs(HEAD "sites: { s0: , s1: , s2: }\n"
	           "tokens:\n"
	           "  t2: { key: '" OTHER_KEY "', roles: [r0, r2], site: s1, count: 60, until: "
	           "2031-01-01 }\n"
	           "  t1: { key: '" TOKEN_KEY "', roles: [r1], site: s0, range: 10.77.190.0/24, "
	           "count: 50, until: 2031-01-02 }\n",
	        out);
	random_peers(out, seed, 5 + 7 * pick(seed, 12) + 1); /* no multiple of 7 */
	fprintf(out,
	        "  s0: { key: '" KEY1
	        "', old_key: '%s', old_until: 2029-01-01, address: 10.77.190.1, site: s0, roles: "
	        "[seed] }\n"
	        "  s1: { key: '" KEY2
	        "', address6: '%s', address: 10.77.190.2, site: s0, roles: [seed, r1] }\n",
	        key, address6);
	fclose(out);
	chance.policy = policy_good(text);
	free(text);
	for (size_t i = 0; i < n; i++)
		chance_admission(&chance.all[i], seed, chance.policy);
	return chance;
}

static bool by_policy(const struct policy *policy, const struct policy_admission *a)
{
	struct policy_addr addr6;

	policy_ula_address(policy->cluster, &a->key, &addr6);
	if (policy_admission_check(policy, a, NULL, 0))
		return false;
	for (size_t i = 0; i < policy->n_peers; i++) {
		const struct policy_peer *peer = &policy->peers[i];

		if (strcasecmp(peer->name, a->name) == 0 ||
		        memcmp(&peer->key, &a->key, sizeof(a->key)) == 0 ||
		        (peer->has_old_key &&
		                memcmp(&peer->old_key, &a->key, sizeof(a->key)) == 0) ||
		        memcmp(&peer->addr4, &a->addr4, sizeof(a->addr4)) == 0 ||
		        memcmp(&peer->addr6, &addr6, sizeof(addr6)) == 0)
			return false;
	}
	return true;
}

static bool clash(const struct policy_admission *a, const struct policy_admission *b)
{
	return memcmp(&a->key, &b->key, sizeof(a->key)) == 0 || strcasecmp(a->name, b->name) == 0 ||
	       memcmp(&a->addr4, &b->addr4, sizeof(a->addr4)) == 0 ||
	       (a->number == b->number && strcmp(a->seed, b->seed) == 0 &&
	               strcmp(a->token, b->token) == 0);
}

static bool before(const struct policy_admission *a, const struct policy_admission *b)
{
	int order = policy_key_compare(&a->key, &b->key);
	uint8_t x[POLICY_ADMISSION_MAX] = {0}, y[POLICY_ADMISSION_MAX] = {0};

	if (order)
		return order < 0;
	policy_admission_print(a, x);
	policy_admission_print(b, y);
	return memcmp(x, y, sizeof(x)) < 0;
}

/* Used is whom the policy lets, and whom nobody who is used goes before: and nobody else. */
static void rules_hold(const struct chance *chance, const bool *used, unsigned seed)
{
	for (size_t i = 0; i < chance->n; i++) {
		bool expected = by_policy(chance->policy, &chance->all[i]);

		assert_int_equal(expected,
		        !policy_admission_check(chance->policy, &chance->all[i], NULL, 0) &&
		                !policy_admission_taken(chance->policy, &chance->all[i], NULL, 0));
		for (size_t j = 0; j < chance->n && expected; j++)
			expected = !(i != j && used[j] && clash(&chance->all[i], &chance->all[j]) &&
			             before(&chance->all[j], &chance->all[i]));
		if (expected != used[i])
			fail_msg("seed %u: admission %zu of key %02x%02x", seed, i,
			        chance->all[i].key.raw[0], chance->all[i].key.raw[1]);
	}
}

/* Whom a new one can touch: who clashes with it, and who with those. */
static void reach(const struct chance *chance, size_t from, bool near[GUESTS_MAX])
{
	size_t queue[GUESTS_MAX], n = 0;

	near[from] = true;
	queue[n++] = from;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < chance->n; j++)
			if (!near[j] && clash(&chance->all[queue[i]], &chance->all[j])) {
				near[j] = true;
				queue[n++] = j;
			}
}

static void shuffle(struct chance *chance, bool *used, unsigned *seed)
{
	for (size_t i = chance->n; i > 1; i--) {
		size_t j = pick(seed, (unsigned)i);
		struct policy_admission a = chance->all[i - 1];
		bool flag = used[i - 1];

		chance->all[i - 1] = chance->all[j];
		chance->all[j] = a;
		used[i - 1] = used[j];
		used[j] = flag;
	}
}

static void guests_are_sound(const struct policy *policy, const bool *used, size_t n)
{
	const struct policy *written = policy_written(policy);
	size_t guests = 0;

	for (size_t i = 0; i < n; i++)
		guests += used[i];
	assert_int_equal(policy->n_peers, written->n_peers + guests);
	for (size_t i = 0; i < policy->n_peers; i++) {
		const struct policy_peer *peer = &policy->peers[i];

		assert_ptr_equal(policy_peer_by_name(policy, peer->name), peer);
		assert_ptr_equal(policy_peer_by_key(policy, &peer->key), peer);
		assert_ptr_equal(policy_peer_by_addr(policy, &peer->addr6), peer);
		if (peer->addr4.family)
			assert_ptr_equal(policy_peer_by_addr(policy, &peer->addr4), peer);
		assert_int_equal(peer->guest, policy_peer_by_name(written, peer->name) == NULL);
	}
}

static void chance_run(unsigned start)
{
	unsigned seed = start;
	struct chance chance = chance_make(&seed, 40 + pick(&seed, 300));
	bool used[GUESTS_MAX], now[GUESTS_MAX], near[GUESTS_MAX] = {false};
	struct policy *policy = with(chance.policy, chance.all, chance.n, used), *other;

	rules_hold(&chance, used, start);
	guests_are_sound(policy, used, chance.n);
	for (int turn = 0; turn < 3; turn++) {
		shuffle(&chance, used, &seed);
		other = with(chance.policy, chance.all, chance.n, now);
		assert_memory_equal(policy->digest, other->digest, 32);
		assert_memory_equal(used, now, chance.n);
		policy_unref(other);
	}
	/* One more, or one less, is nothing to those whom it does not reach. */
	reach(&chance, chance.n - 1, near);
	other = with(chance.policy, chance.all, chance.n - 1, now);
	for (size_t i = 0; i + 1 < chance.n; i++)
		if (!near[i] && used[i] != now[i])
			fail_msg("seed %u: %zu is out of reach", start, i);
	policy_unref(other);
	policy_unref(policy);
	policy_unref(chance.policy);
}

static void by_chance(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 60; seed++)
		chance_run(seed);
}

/* ---- many */

static struct policy *many_peers(unsigned n)
{
	char *text = NULL, key[96];
	struct policy *policy;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fputs("cluster: hpc\nserial: 1\noverlay: 10.0.0.0/8\n"
	      "tokens: { t: { key: '" TOKEN_KEY
	      "', roles: [exec], count: 4096, until: 2030-01-01 } }\n"
	      "peers:\n  seed1: { key: '" KEY1
	      "', roles: [seed, exec], address: 10.0.0.1, endpoints: [192.0.2.1] }\n",
	        out);
	for (unsigned i = 1; i < n; i++) {
		struct policy_key raw = key_of(i);

		policy_key_print(&raw, key, sizeof(key));
		fprintf(out, "  p%u: { key: '%s', roles: [exec], address: 10.1.%u.%u }\n", i, key,
		        i >> 8, i & 255);
	}
	fclose(out);
	policy = policy_good(text);
	free(text);
	return policy;
}

static struct policy_admission *many_admissions(size_t n)
{
	struct policy_admission *all = calloc(n, sizeof(*all));
	char name[32], addr[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		snprintf(addr, sizeof(addr), "10.2.%u.%u", i >> 8, i & 255);
		all[i] = admission("t", name, 1000000 + i, addr, 1 + i % 4096);
	}
	return all;
}

/* At the most that a policy may have, the lowest fingerprints are the last that fit. */
static void no_more_than_fit(void **state)
{
	struct policy *policy = many_peers(POLICY_PEERS_MAX - 10), *out;
	struct policy_admission *all = many_admissions(100);
	bool used[GUESTS_MAX];
	size_t n = 0;
	(void)state;

	out = with(policy, all, 100, used);
	assert_int_equal(out->n_peers, POLICY_PEERS_MAX);
	for (size_t i = 0; i < 100; i++) {
		size_t lower = 0;

		for (size_t j = 0; j < 100; j++)
			lower += policy_key_compare(&all[j].key, &all[i].key) < 0;
		assert_int_equal(used[i], lower < 10);
		n += used[i];
	}
	assert_int_equal(n, 10);
	policy_unref(out);
	policy_unref(policy);
	policy = many_peers(POLICY_PEERS_MAX);
	out = with(policy, all, 100, used);
	assert_ptr_equal(out, policy);
	policy_unref(out);
	policy_unref(policy);
	free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(policys_own_is_first),
	        cmocka_unit_test(lower_one_is_first),
	        cmocka_unit_test(by_chance),
	        cmocka_unit_test(no_more_than_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
