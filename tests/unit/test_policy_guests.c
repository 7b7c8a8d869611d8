/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests: whom the policy grants, what becomes of the policy, and the next one's address. */
#include "policy_guests_bed.h"

#include <arpa/inet.h>

#include <openssl/evp.h>

#include "policy/bundle.h"

/* ---- what becomes of the policy */

static void guest_is_peer(void **state)
{
	struct policy *written = policy_good(SCENE);
	struct policy_admission a = admission("aws", "n1", 1, "10.77.8.9", 50);
	const struct policy_peer *guest, *seed1, *node17;
	const uint8_t *digest = written->digest;
	bool used[GUESTS_MAX] = {false};
	struct policy *policy = with(written, &a, 1, used);
	struct policy_addr addr6;
	uint64_t bits[1];
	(void)state;

	assert_true(used[0]);
	assert_int_equal(policy->n_peers, 5);
	guest = policy_peer_by_name(policy, "n1");
	seed1 = policy_peer_by_name(policy, "seed1");
	node17 = policy_peer_by_name(policy, "node17");
	assert_non_null(guest);
	assert_true(guest->guest);
	assert_false(seed1->guest);
	assert_string_equal(policy->tokens[guest->token].name, "aws");
	assert_string_equal(policy->sites[guest->site].name, "aws");
	assert_int_equal(guest->n_roles, 2);
	assert_string_equal(policy->roles[guest->roles[1]], "spare");
	assert_true(guest->has_until);
	assert_int_equal(guest->until, policy->tokens[guest->token].until);
	assert_int_equal(guest->where.line, policy->tokens[guest->token].where.line);
	assert_string_equal(guest->comment, "");
	assert_false(guest->hours || guest->n_endpoints || guest->has_old_key);
	policy_ula_address("hpc", &a.key, &addr6);
	assert_memory_equal(&guest->addr6, &addr6, sizeof(addr6));
	assert_ptr_equal(policy_peer_by_key(policy, &a.key), guest);
	assert_ptr_equal(policy_peer_by_addr(policy, &a.addr4), guest);
	assert_ptr_equal(policy_peer_by_addr(policy, &addr6), guest);
	assert_ptr_equal(policy_peer_by_addr(policy, &node17->addr4), node17);
	assert_ptr_equal(policy_peer_by_key(policy, &seed1->key), seed1);
	assert_ptr_equal(&policy->peers[policy->failovers[0].holders[1]], seed1);
	assert_ptr_equal(&policy->peers[policy->tests[0].from], node17);
	assert_ptr_equal(&policy->peers[policy->tests[0].to], seed1);
	assert_int_equal(policy_allows_between(policy, guest, seed1, bits), 1);
	assert_int_equal(policy_allows_between(policy, seed1, guest, bits), 0);
	assert_memory_not_equal(policy->digest, digest, 32);
	assert_ptr_equal(policy_written(policy), written);
	assert_ptr_equal(policy_written(written), written);
	policy_unref(written); /* the other keeps it */
	assert_string_equal(policy_written(policy)->cluster, "hpc");
	assert_string_equal(policy->sites[0].name, policy_written(policy)->sites[0].name);
	assert_ptr_equal(policy_ref(policy), policy);
	policy_unref(policy);
	assert_string_equal(policy->peers[guest - policy->peers].name, "n1");
	policy_unref(policy);
}

static void nobody_changes_nothing(void **state)
{
	struct policy *written = policy_good(SCENE), *policy = NULL, *again;
	struct policy_admission a = admission("gone", "n1", 1, "10.77.8.9", 1);
	const struct policy_admission *list[] = {&a};
	bool used[GUESTS_MAX] = {true};
	(void)state;

	again = with(written, &a, 1, used);
	assert_ptr_equal(again, written);
	assert_false(used[0]);
	policy_unref(again);
	again = with(written, NULL, 0, NULL);
	assert_ptr_equal(again, written);
	policy_unref(again);
	a = admission("aws", "n1", 1, "10.77.8.9", 1);
	policy = with(written, &a, 1, NULL);
	again = NULL;
	assert_int_equal(policy_with_guests(policy, list, 1, NULL, &again), -EINVAL);
	assert_null(again);
	policy_unref(policy);
	policy_unref(written);
}

/* What is printed and signed is what was written. */
static void is_not_written(void **state)
{
	struct policy *written = policy_good(SCENE);
	struct policy_admission a = admission("aws", "n1", 1, "10.77.8.9", 1);
	struct policy *policy = with(written, &a, 1, NULL);
	char *one = policy_print(written), *two = policy_print(policy);
	size_t len, len2;
	(void)state;

	assert_string_equal(one, two);
	free(one);
	free(two);
	assert_int_equal(bundle_make(written, NULL, 5, &one, &len, NULL, 0), 0);
	assert_int_equal(bundle_make(policy, NULL, 5, &two, &len2, NULL, 0), 0);
	assert_string_equal(one, two);
	free(one);
	free(two);
	policy_unref(policy);
	policy_unref(written);
}

static void explain_is(const struct policy *policy, const char *from, const char *to, uint16_t port,
        int64_t now, const char *expected)
{
	struct policy_verdict verdict;

	assert_int_equal(policy_explain(policy, policy_peer_by_name(policy, from),
	                         policy_peer_by_name(policy, to), POLICY_TCP, port, now, &verdict),
	        0);
	assert_string_equal(verdict.text, expected);
}

static void is_told_apart(void **state)
{
	struct policy *written = policy_good(SCENE);
	struct policy_admission a = admission("aws", "n1", 1, "10.77.8.9", 1);
	struct policy *policy = with(written, &a, 1, NULL);
	(void)state;

	explain_is(policy, "n1", "seed1", 22, POLICY_ANY_TIME,
	        "allowed by policy.yaml:7: exec -> head on ssh (tcp/22). n1 is a guest of token "
	        "aws "
	        "(policy.yaml:11).");
	explain_is(policy, "seed1", "n1", 9, POLICY_ANY_TIME,
	        "denied: no rule lets seed1 open tcp/9 on n1. n1 is a guest of token aws "
	        "(policy.yaml:11).");
	explain_is(policy, "n1", "seed1", 22, 2000000000,
	        "denied: n1 (policy.yaml:11) was let in until 2026-12-01T12:00:00Z. n1 is a guest "
	        "of "
	        "token aws (policy.yaml:11).");
	explain_is(policy, "node17", "seed1", 22, POLICY_ANY_TIME,
	        "allowed by policy.yaml:7: exec -> head on ssh (tcp/22).");
	policy_unref(policy);
	policy_unref(written);
}

static void diff_is(const struct policy *a, const struct policy *b, const char *expected)
{
	struct policy_diff diff;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(policy_diff(a, b, &diff), 0);
	for (size_t i = 0; i < diff.n_rows; i++)
		fprintf(out, "%s %s: %s\n", policy_change_name(diff.rows[i].change),
		        diff.rows[i].subject, diff.rows[i].text);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	policy_diff_clear(&diff);
}

static void differences(void **state)
{
	struct policy *written = policy_good(SCENE);
	struct policy_admission a = admission("aws", "n1", 1, "10.77.8.9", 1);
	struct policy *one = with(written, &a, 1, NULL), *other;
	(void)state;

	diff_is(written, one,
	        "admitted n1: 10.77.8.9 SHA256:RpkcDVdHMvSImTXmdQNeZap3J1yin8YHxHfZb6HvWQk, site "
	        "aws, roles: exec, spare, guest of token aws\n");
	diff_is(one, written,
	        "evicted n1: 10.77.8.9 SHA256:RpkcDVdHMvSImTXmdQNeZap3J1yin8YHxHfZb6HvWQk, site "
	        "aws, roles: exec, spare, guest of token aws\n");
	a.addr4 = addr_of("10.77.8.10");
	other = with(written, &a, 1, NULL);
	diff_is(one, other, "readdressed n1: 10.77.8.9 -> 10.77.8.10\n");
	assert_memory_not_equal(one->digest, other->digest, 32);
	policy_unref(other);
	a = admission("lab", "n1", 1, "10.77.8.9", 1);
	other = with(written, &a, 1, NULL);
	diff_is(one, other,
	        "closed n1: loses the role spare and what it allows\n"
	        "setting n1: guest of token aws -> lab\n"
	        "setting n1: site aws -> hq\n"
	        "setting n1: until 2026-12-01T12:00:00Z -> 2030-12-01T12:00:00Z\n");
	policy_unref(other);
	policy_unref(one);
	policy_unref(written);
}

/* ---- whom the policy grants */

static void refused(const struct policy *policy, struct policy_admission a, const char *expected)
{
	char text[POLICY_GUEST_TEXT_MAX] = "";

	assert_int_equal(policy_admission_check(policy, &a, text, sizeof(text)), -EINVAL);
	assert_string_equal(text, expected);
	assert_int_equal(policy_admission_check(policy, &a, NULL, 0), -EINVAL);
	assert_ptr_equal(with(policy, &a, 1, NULL), policy);
	policy_unref(policy);
}

static struct policy_admission good(void)
{
	return admission("aws", "n1", 1, "10.77.8.9", 50);
}

static void names_and_tokens(void **state)
{
	struct policy *policy = policy_good(SCENE);
	struct policy_admission a = good();
	(void)state;

	assert_int_equal(policy_admission_check(policy, &a, NULL, 0), 0);
	strcpy(a.cluster, "hpd");
	refused(policy, a, "the admission is of cluster hpd, and this is hpc");
	a = good();
	strcpy(a.token, "awt");
	refused(policy, a,
	        "there is no token awt in the policy: it was revoked, or is not signed yet");
	a = good();
	strcpy(a.seed, "seed3");
	refused(policy, a, "seed3, which let the newcomer in, is no seed");
	strcpy(a.seed, "node17");
	refused(policy, a, "node17, which let the newcomer in, is no seed");
	a = good();
	a.number = 51;
	refused(policy, a, "token aws (policy.yaml:11) is for 50 guests, and this is number 51");
	a.number = 0;
	refused(policy, a, "token aws (policy.yaml:11) is for 50 guests, and this is number 0");
	a = good();
	strcpy(a.name, "www.example");
	refused(policy, a,
	        "the name www.example has a dot, so it could be one of the internet: give the new "
	        "node one without");
	strcpy(a.name, "LocalHost");
	refused(policy, a, "the name LocalHost means every host itself: give the new node another");
	strcpy(a.name, "a/b");
	refused(policy, a, "the newcomer's name is no name");
	policy_unref(policy);
}

static void names_for_guests(void **state)
{
	struct policy *policy = policy_good(SCENE), *with_n1;
	struct policy_admission a = good();
	char text[POLICY_GUEST_TEXT_MAX];
	(void)state;

	with_n1 = with(policy, &a, 1, NULL); /* a guest's name is another matter */
	assert_int_equal(policy_guest_name_check(with_n1, "n1", NULL, 0), 0);
	assert_int_equal(policy_guest_name_check(with_n1, "a.b", text, sizeof(text)), -EINVAL);
	assert_int_equal(policy_guest_name_check(with_n1, "", text, sizeof(text)), -EINVAL);
	assert_int_equal(policy_guest_name_check(with_n1, "Seed1", text, sizeof(text)), -EEXIST);
	assert_string_equal(text, "the name is that of the peer seed1 (policy.yaml:14)");
	assert_int_equal(policy_guest_name_check(with_n1, "DOT", NULL, 0), -EEXIST);
	assert_int_equal(policy_guest_name_check(with_n1, "dot2", NULL, 0), 0);
	policy_unref(with_n1);
	policy_unref(policy);
}

static void keys_and_addresses(void **state)
{
	struct policy *policy = policy_good(SCENE);
	struct policy_admission a = good();
	(void)state;

	memset(&a.key, 0, sizeof(a.key));
	refused(policy, a,
	        "the newcomer's key is a point of low order, for which anybody can sign: make a "
	        "new "
	        "key");
	a.key = policy_token_by_name(policy, "lab")->key;
	refused(policy, a, "the newcomer's key is that of token lab: make a new key");
	a = good();
	a.addr4 = addr_of("10.77.9.1");
	refused(policy, a,
	        "10.77.9.1 is outside the range 10.77.8.0/24 of token aws (policy.yaml:11)");
	a.addr4 = addr_of("10.77.8.255");
	refused(policy, a, "10.77.8.255 is a failover address");
	a.addr4 = addr_of("10.77.8.0");
	assert_int_equal(policy_admission_check(policy, &a, NULL, 0), 0);
	strcpy(a.token, "lab");
	a.number = 1;
	a.addr4 = addr_of("10.77.0.0");
	refused(policy, a, "10.77.0.0 is the network's or broadcast address of the overlay");
	a.addr4 = addr_of("10.77.255.255");
	refused(policy, a, "10.77.255.255 is the network's or broadcast address of the overlay");
	policy_unref(policy);
}

static void excepted(void **state)
{
	struct policy_admission a = good();
	char fingerprint[POLICY_FINGERPRINT_LEN], text[4096], *at;
	struct policy *policy;
	(void)state;

	policy_key_fingerprint(&a.key, fingerprint);
	at = strstr(SCENE, "range: 10.77.8.0/24");
	snprintf(text, sizeof(text), "%.*sexcept: [\"%s\"], %s", (int)(at - SCENE), SCENE,
	        fingerprint, at);
	policy = policy_good(text);
	refused(policy, a, "the newcomer's key was revoked: token aws (policy.yaml:11) excepts it");
	a.key = key_of(2);
	assert_int_equal(policy_admission_check(policy, &a, NULL, 0), 0);
	policy_unref(policy);
}

/* ---- signatures */

static void sign(unsigned secret, const void *data, size_t len, uint8_t sig[64])
{
	uint8_t raw[32];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 64;
	EVP_PKEY *pkey;

	memset(raw, (int)secret, sizeof(raw));
	pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, sizeof(raw));
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &n, data, len), 1);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
}

static struct policy_key public_of(unsigned secret)
{
	struct policy_key key;
	uint8_t raw[32];
	size_t n = sizeof(key.raw);
	EVP_PKEY *pkey;

	memset(raw, (int)secret, sizeof(raw));
	pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, sizeof(raw));
	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, key.raw, &n), 1);
	EVP_PKEY_free(pkey);
	return key;
}

static void admission_sign(struct policy_admission *a, unsigned token, unsigned seed)
{
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];

	sign(token, words, policy_admission_words_token(a, words), a->by_token);
	sign(seed, words, policy_admission_words_seed(a, words), a->by_seed);
}

static int hook(void *user, const struct policy_key *key, const void *text, size_t len,
        const uint8_t sig[64])
{
	(void)text, (void)len, (void)sig;
	return key->raw[0] == *(uint8_t *)user ? 0 : -EKEYREJECTED;
}

static void signatures(void **state)
{
	struct policy_peer seed = {.key = public_of(2)};
	struct policy_key token = public_of(1);
	struct policy_admission a = good(), b;
	uint8_t byte = token.raw[0];
	(void)state;

	admission_sign(&a, 1, 2);
	assert_int_equal(policy_admission_verify(&a, &token, &seed, NULL, NULL), 0);
	b = a;
	b.number--;
	assert_int_equal(policy_admission_verify(&b, &token, &seed, NULL, NULL), -EKEYREJECTED);
	b = a;
	b.by_token[5] ^= 1;
	assert_int_equal(policy_admission_verify(&b, &token, &seed, NULL, NULL), -EKEYREJECTED);
	b = a;
	strcpy(b.name, "n2"); /* signed by the seed alone */
	sign(2, &b, 0, b.by_seed);
	admission_sign(&b, 3, 2);
	assert_int_equal(policy_admission_verify(&b, &token, &seed, NULL, NULL), -EKEYREJECTED);
	seed.old_key = seed.key;
	seed.key = public_of(4);
	assert_int_equal(policy_admission_verify(&a, &token, &seed, NULL, NULL), -EKEYREJECTED);
	seed.has_old_key = true;
	assert_int_equal(policy_admission_verify(&a, &token, &seed, NULL, NULL), 0);
	admission_sign(&b, 1, 4);
	assert_int_equal(policy_admission_verify(&b, &token, &seed, NULL, NULL), 0);
	assert_int_equal(policy_admission_verify(&a, &token, &seed, hook, &byte), -EKEYREJECTED);
	seed.key.raw[0] = byte;
	assert_int_equal(policy_admission_verify(&a, &token, &seed, hook, &byte), 0);
}

/* ---- the next address */

static void next_address(void **state)
{
	struct policy *written = policy_good(SCENE), *policy = policy_ref(written);
	struct policy_token token = *policy_token_by_name(written, "aws");
	struct policy_admission all[GUESTS_MAX];
	struct policy_addr addr, first;
	struct policy_key key = key_of(7);
	size_t n = 0;
	(void)state;

	/* Same key, same address; another has another, as a rule. */
	assert_int_equal(policy_admission_address(policy, &token, &key, &first), 0);
	assert_int_equal(policy_admission_address(policy, &token, &key, &addr), 0);
	assert_memory_equal(&first, &addr, sizeof(addr));
	for (unsigned i = 0; i < 64; i++) {
		key = key_of(100 + i);
		assert_int_equal(policy_admission_address(policy, &token, &key, &addr), 0);
		n += memcmp(&first, &addr, sizeof(addr)) == 0;
	}
	assert_in_range(n, 0, 8);
	/* .17 is node17's, .23 free, and so on until none is. */
	token.range.addr = addr_of("10.77.8.16");
	token.range.len = 29;
	for (n = 0;; n++) {
		char name[32], text[32];

		key = key_of(200 + (unsigned)n);
		if (policy_admission_address(policy, &token, &key, &addr) == -ENOSPC)
			break;
		assert_true(policy_prefix_contains(&token.range, &addr));
		assert_null(policy_peer_by_addr(policy, &addr));
		snprintf(name, sizeof(name), "g%zu", n);
		policy_addr_print(&addr, text, sizeof(text));
		all[n] = admission("aws", name, 200 + (unsigned)n, text, 1 + (uint32_t)n);
		policy_unref(policy);
		policy = with(written, all, n + 1, NULL);
		assert_int_equal(policy->n_peers, written->n_peers + n + 1);
	}
	assert_int_equal(n, 7);
	/* Nor the overlay's own, nor a failover's. */
	token.range.len = 31;
	token.range.addr = addr_of("10.77.255.254");
	for (unsigned i = 0; i < 16; i++) {
		key = key_of(300 + i);
		assert_int_equal(policy_admission_address(policy, &token, &key, &addr), 0);
		assert_int_equal(addr.bytes[3], 254);
	}
	token.range.addr = addr_of("10.77.0.0"); /* seed1 has the other one */
	assert_int_equal(policy_admission_address(policy, &token, &key, &addr), -ENOSPC);
	token.range.addr = addr_of("10.77.8.255");
	token.range.len = 32;
	assert_int_equal(policy_admission_address(policy, &token, &key, &addr), -ENOSPC);
	policy_unref(policy);
	policy_unref(written);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(guest_is_peer),
	        cmocka_unit_test(nobody_changes_nothing),
	        cmocka_unit_test(is_not_written),
	        cmocka_unit_test(is_told_apart),
	        cmocka_unit_test(differences),
	        cmocka_unit_test(names_and_tokens),
	        cmocka_unit_test(names_for_guests),
	        cmocka_unit_test(keys_and_addresses),
	        cmocka_unit_test(excepted),
	        cmocka_unit_test(signatures),
	        cmocka_unit_test(next_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
