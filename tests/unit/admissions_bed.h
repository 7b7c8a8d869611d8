/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens, and admissions signed with real keys, for tests of the cluster machine with guests. */
#ifndef TESTS_UNIT_ADMISSIONS_BED_H
#define TESTS_UNIT_ADMISSIONS_BED_H

#include "tests/unit/cluster_bed.h"

#include "policy/guests.h"

#define TOKEN 60 /* the key of token lab; the one behind it is of token two, and so on */
#define G 6      /* guests are nodes from g on */

/* ---- policies ---- */

/* Nodes a and b are seeds, c and d members; tokens lab and two, each of so many. */
static inline struct recipe with_tokens(uint64_t serial, unsigned count, const char *except)
{
	static char text[8][1024];
	static size_t at;
	struct recipe r = {.serial = serial, .members = ALL4, .seeds = 2, .join = true};
	struct policy_key raw;
	char key[2][96];

	for (int i = 0; i < 2; i++) {
		node_key(TOKEN + i, &raw);
		policy_key_print(&raw, key[i], sizeof(key[i]));
	}
	at = (at + 1) % 8;
	snprintf(text[at], sizeof(text[at]),
	        "tokens:\n"
	        "  lab: { key: \"%s\", roles: [r], site: s, range: 10.8.0.0/16, count: %u, until: "
	        "2036-12-01%s%s%s }\n"
	        "  two: { key: \"%s\", roles: [r], site: s, range: 10.9.0.0/16, count: %u, until: "
	        "2036-12-01 }\n",
	        key[0], count, except ? ", except: [\"" : "", except ? except : "",
	        except ? "\"]" : "", key[1], count);
	r.more = text[at];
	return r;
}

/* ---- admissions ---- */

static inline void sign_with(int key, const uint8_t *words, size_t len, uint8_t sig[64])
{
	EVP_PKEY *pkey = node_pkey(key);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t n = 64;

	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(md, sig, &n, words, len), 1);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
}

static inline void sign_both(struct policy_admission *a, int token, int seed)
{
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	size_t len = policy_admission_words_token(a, words);

	sign_with(token, words, len, a->by_token);
	len = policy_admission_words_seed(a, words);
	sign_with(seed, words, len, a->by_seed);
}

/* Key i is let in as `name` by token lab at that seed; signed. */
static inline struct policy_admission let_in(int i, const char *name, int seed, uint32_t number)
{
	struct policy_admission a = {.number = number,
	        .cluster = "t",
	        .token = "lab",
	        .addr4 = {.family = 2, .bytes = {10, 8, (uint8_t)(i >> 8), (uint8_t)i}}};

	snprintf(a.name, sizeof(a.name), "%s", name);
	snprintf(a.seed, sizeof(a.seed), "%c", 'a' + seed);
	node_key(i, &a.key);
	sign_both(&a, TOKEN, seed);
	return a;
}

/* Guest i under its node's name, the number its own. */
static inline struct policy_admission guest_of(int i, int seed)
{
	return let_in(i, name_of(i), seed, (uint32_t)(i - G) + 1);
}

/* ---- nodes ---- */

static inline int admit(struct cbed *b, int node, const struct policy_admission *a, bool ours)
{
	int ret;

	step_begin(b, node);
	ret = cluster_admit(b->n[node].c, a, ours);
	step_end(b, node);
	return ret;
}

static inline bool is_guest(struct cbed *b, int node, const char *name)
{
	const struct policy_peer *peer =
	        b->n[node].policy ? policy_peer_by_name(b->n[node].policy, name) : NULL;

	return peer && peer->guest;
}

/* What a puppet says, with what we have in force and a sum of its own. */
static inline void puppet_admissions(struct cbed *b, int from, const struct session_head *head,
        const struct policy_admission *v, size_t n)
{
	static uint8_t data[SESSION_SMALL_MAX], rest;
	struct session_msg msg = {.type = SESSION_ADMISSIONS, .head = *head, .data = data};

	memset(msg.sum, ++rest, sizeof(msg.sum));
	for (size_t i = 0; i < n; i++) {
		size_t len = policy_admission_print(&v[i], data + msg.len + 2);

		data[msg.len] = (uint8_t)(len >> 8);
		data[msg.len + 1] = (uint8_t)len;
		msg.len += 2 + len;
		assert_in_range(msg.len, 100, sizeof(data) - 600);
	}
	puppet_says(b, from, &msg);
}

/* ---- four nodes, with tokens ---- */

static inline struct scene guests_begin(unsigned puppets, unsigned count)
{
	struct recipe r = with_tokens(1, count, NULL);
	struct scene s = {.b = cbed_new()};

	s.f[1] = bundle_of(&r, NULL);
	s.local = recipe_policy(&r);
	for (int i = 0; i < 4; i++) {
		s.b->n[i].puppet = puppets >> i & 1;
		if (!s.b->n[i].puppet)
			node_start(s.b, i, s.local, &s.f[1]);
	}
	pass(s.b, 3 * US);
	return s;
}

/* The next bundle, given at a. */
static inline void bundle_next(struct scene *s, const struct recipe *r)
{
	s->f[r->serial] = bundle_of(r, &s->f[r->serial - 1]);
	node_give(s->b, 0, &s->f[r->serial]);
}

static inline void all_know(struct scene *s, const char *name, bool know)
{
	for (int i = 0; i < 4; i++)
		if (s->b->n[i].c && is_guest(s->b, i, name) != know)
			fail_msg("%s %s %s", name_of(i), know ? "does not know" : "knows", name);
}

/* The same guests everywhere. */
static inline void all_same(struct scene *s)
{
	const struct policy *first = NULL;

	for (int i = 0; i < 4; i++) {
		if (!s->b->n[i].c)
			continue;
		first = first ? first : s->b->n[i].policy;
		assert_memory_equal(first->digest, s->b->n[i].policy->digest, 32);
	}
}

/* ---- how many signatures were looked at ---- */

static unsigned verified;

static inline int count_verify(void *user, const struct policy_key *key, const void *text,
        size_t len, const uint8_t sig[64])
{
	(void)user;
	verified++;
	return policy_key_verify(key, text, len, sig);
}

static const struct cluster_hooks counting = {.verify = count_verify};

#endif
