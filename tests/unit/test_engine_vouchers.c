/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A member tells its seeds that it wants another key: who hears of it, what counts, what is bounded. */
#include "tests/unit/cluster_bed.h"

#include "engine/cluster_internal.h"

static void sign(int node, const struct policy_voucher *v, uint8_t signature[64])
{
	uint8_t words[POLICY_VOUCHER_WORDS_MAX];
	size_t n = 64, len = policy_voucher_words(v, words);
	EVP_PKEY *pkey = node_pkey(node);
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(md, signature, &n, words, len), 1);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
}

/* `name` goes from node old's key to node next's. */
static void line_of(const char *cluster, const char *name, int old, int next,
        char line[POLICY_VOUCHER_LINE_MAX])
{
	struct policy_voucher v = {0};

	snprintf(v.cluster, sizeof(v.cluster), "%s", cluster);
	snprintf(v.name, sizeof(v.name), "%s", name);
	node_key(old, &v.old_key);
	node_key(next, &v.key);
	sign(old, &v, v.by_old);
	sign(next, &v, v.by_new);
	policy_voucher_print(&v, line);
}

static void wants(struct scene *s, int node, const char *line)
{
	step_begin(s->b, node);
	cluster_voucher(s->b->n[node].c, line, strlen(line));
	step_end(s->b, node);
	pass(s->b, US / 10);
}

static void says(struct scene *s, int node, const char *line)
{
	puppet_says(s->b, node,
	        &(struct session_msg){.type = SESSION_VOUCHER,
	                .data = (const uint8_t *)line,
	                .len = strlen(line)});
	pass(s->b, US / 10);
}

static size_t heard(struct scene *s, int node, struct engine_voucher_view v[8])
{
	return cluster_vouchers(s->b->n[node].c, v, 8);
}

/* Every seed hears of it, once; no other member; and when it thinks better of it. */
static void test_seeds_hear(void **state)
{
	char line[POLICY_VOUCHER_LINE_MAX];
	struct engine_voucher_view v[8];
	struct policy_key next;
	struct scene s;

	(void)state;
	begin(&s, 0);
	line_of("t", "c", 2, 40, line);
	wants(&s, 2, line);
	node_key(40, &next);
	for (int seed = 0; seed < 2; seed++) {
		assert_int_equal(heard(&s, seed, v), 1);
		assert_string_equal(v[0].name, "c");
		assert_string_equal(v[0].line, line);
		assert_memory_equal(&v[0].key, &next, sizeof(next));
		assert_int_equal(told_count(s.b, seed, ENGINE_N_NEXT_KEY), 1);
	}
	assert_int_equal(heard(&s, 3, v), 0);
	assert_int_equal(s.b->sent[SESSION_VOUCHER], 2);
	wants(&s, 2, line);
	node_give(s.b, 0, &s.f[2]);
	pass(s.b, 5 * US);
	all_have(&s, 2);
	assert_int_equal(s.b->sent[SESSION_VOUCHER], 2); /* nothing new, nothing said */
	assert_int_equal(heard(&s, 0, v), 1);
	wants(&s, 2, "");
	assert_int_equal(heard(&s, 0, v), 0);
	assert_int_equal(heard(&s, 1, v), 0);
	end(&s);
}

/* A seed that wants another key tells the other seeds. */
static void test_seed_wants(void **state)
{
	char line[POLICY_VOUCHER_LINE_MAX];
	struct engine_voucher_view v[8];
	struct scene s;

	(void)state;
	begin(&s, 0);
	line_of("t", "a", 0, 40, line);
	wants(&s, 0, line);
	assert_int_equal(heard(&s, 1, v), 1);
	assert_int_equal(heard(&s, 2, v) + heard(&s, 3, v), 0);
	assert_int_equal(s.b->sent[SESSION_VOUCHER], 1);
	end(&s);
}

/* It is kept as long as there is a session, and said anew on the next. */
static void test_session_ends(void **state)
{
	char line[POLICY_VOUCHER_LINE_MAX];
	struct engine_voucher_view v[8];
	struct scene s;

	(void)state;
	begin(&s, 0);
	line_of("t", "c", 2, 40, line);
	wants(&s, 2, line);
	node_stop(s.b, 0);
	node_start(s.b, 0, s.local, &s.f[1]);
	pass(s.b, 40 * US);
	assert_int_equal(heard(&s, 0, v), 1);
	end(&s);
}

/* What is not the sender's own wish, or proves nothing. c is a puppet. */
static void test_not_believed(void **state)
{
	char line[POLICY_VOUCHER_LINE_MAX];
	struct engine_voucher_view v[8];
	struct scene s;

	(void)state;
	begin(&s, 1U << 2);
	puppet_open(s.b, 2, 0);
	pass(s.b, US);
	line_of("t", "d", 3, 40, line); /* another's */
	says(&s, 2, line);
	assert_int_equal(heard(&s, 0, v), 0);
	line_of("other", "c", 2, 40, line);
	says(&s, 2, line);
	assert_int_equal(heard(&s, 0, v), 0);
	line_of("t", "c", 41, 40, line); /* from a key that it does not have */
	says(&s, 2, line);
	assert_int_equal(heard(&s, 0, v), 0);
	line_of("t", "c", 2, 3, line); /* to d's */
	says(&s, 2, line);
	assert_int_equal(heard(&s, 0, v), 0);
	line_of("t", "c", 2, 40, line);
	line[strlen(line) - 8] ^= 1; /* a signature */
	says(&s, 2, line);
	assert_int_equal(heard(&s, 0, v), 0);
	line_of("t", "c", 2, 40, line);
	says(&s, 2, line);
	assert_int_equal(heard(&s, 0, v), 1);
	end(&s);
}

/* Who is no seed keeps nothing, whatever it is told. */
static void test_no_seed(void **state)
{
	char line[POLICY_VOUCHER_LINE_MAX];
	struct engine_voucher_view v[8];
	struct scene s;

	(void)state;
	begin(&s, 1U << 2);
	puppet_open(s.b, 2, 3);
	pass(s.b, US);
	line_of("t", "c", 2, 40, line);
	says(&s, 2, line);
	assert_int_equal(heard(&s, 3, v), 0);
	end(&s);
}

/* Wishes without end cost no more than a few checks. */
static void test_bounded(void **state)
{
	char line[POLICY_VOUCHER_LINE_MAX];
	struct engine_voucher_view v[8];
	struct scene s;
	size_t memory;

	(void)state;
	begin(&s, 1U << 2);
	puppet_open(s.b, 2, 0);
	pass(s.b, US);
	memory = cluster_memory(s.b->n[0].c);
	for (int i = 0; i < 50; i++) {
		line_of("t", "c", 2, 40 + i, line);
		says(&s, 2, line);
	}
	assert_int_equal(told_count(s.b, 0, ENGINE_N_NEXT_KEY), 8);
	assert_int_equal(heard(&s, 0, v), 1);
	assert_true(cluster_memory(s.b->n[0].c) <= memory + 2 * POLICY_VOUCHER_LINE_MAX);
	pass(s.b, 31 * US);
	line_of("t", "c", 2, 200, line);
	says(&s, 2, line);
	assert_int_equal(told_count(s.b, 0, ENGINE_N_NEXT_KEY), 9);
	end(&s);
}

/* Approved: the policy names the new key, and nobody waits any more. */
static void test_approved(void **state)
{
	char line[POLICY_VOUCHER_LINE_MAX];
	struct engine_voucher_view v[8];
	struct policy *policy;
	struct scene s;

	(void)state;
	begin(&s, 0);
	line_of("t", "c", 2, 40, line);
	wants(&s, 2, line);
	policy = recipe_policy(&(struct recipe){.members = ALL4, .seeds = 2, .serial = 1});
	((struct policy_peer *)(uintptr_t)policy_peer_by_name(policy, "c"))->has_old_key = true;
	node_key(2, &((struct policy_peer *)(uintptr_t)policy_peer_by_name(policy, "c"))->old_key);
	node_key(40, &((struct policy_peer *)(uintptr_t)policy_peer_by_name(policy, "c"))->key);
	step_begin(s.b, 0);
	cluster_members(s.b->n[0].c, policy, policy_peer_by_name(policy, "a"));
	step_end(s.b, 0);
	assert_int_equal(heard(&s, 0, v), 0);
	pass(s.b, US);
	policy_unref(s.b->n[0].policy);
	s.b->n[0].policy = policy;
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_seeds_hear),
	        cmocka_unit_test(test_seed_wants),
	        cmocka_unit_test(test_session_ends),
	        cmocka_unit_test(test_not_believed),
	        cmocka_unit_test(test_no_seed),
	        cmocka_unit_test(test_bounded),
	        cmocka_unit_test(test_approved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
