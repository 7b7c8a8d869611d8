/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admissions: the guests that tokens let in (policy/admission.h), as far as the bundle in force
 * grants them, and the policy that it is with them.
 *
 * The set. Everything in it was checked: granted by the bundle in force, and both signatures. With
 * each bundle it is checked anew, and what is not granted any more goes. Of one number of a token at
 * a seed there is one record: of two the one goes that the rule below puts last, so a token brings
 * at most its count of each seed. Besides that nothing is preferred, and who does not become a peer
 * (policy/guests.h) stays in the set: so two nodes that told each other all have the same set, in
 * whatever order they heard it. Its sum is SHA-256 over the sorted digests of the records: no two
 * sets that can be found have the same.
 *
 * Which goes first: the one that its seed signed with the key that it has now, not with the one that
 * it has changed; then that of the lower fingerprint; then the lower record.
 *
 * The policy. cluster_policy() makes it when something changed, the first time at once, then at most
 * once in MAKE_US (longer the more guests there are): a thousand guests that come one by one are not
 * a thousand policies.
 */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAKE_US 100000
#define MAKE_MORE_US 50 /* for each admission */
#define TELL_MAX 4U     /* guests by name at a time */
#define FULL_TELL_US 600000000

/* ---- whether it may count ---- */

static int verify_by(struct cluster *c, const struct policy_admission *a,
        const struct policy_key *token, const struct policy_peer *seed)
{
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];

	if (IMPAIRED(IMPAIR_TRUST_TOKENS))
		return policy_key_verify(
		        &seed->key, words, policy_admission_words_seed(a, words), a->by_seed);
	if (IMPAIRED(IMPAIR_TRUST_SEEDS))
		return policy_key_verify(
		        token, words, policy_admission_words_token(a, words), a->by_token);
	return policy_admission_verify(a, token, seed, c->hooks.verify, c->hooks.user);
}

static int verify(struct cluster *c, const struct policy_admission *a,
        const struct policy_token *token, const struct policy_peer *seed, bool *old_key)
{
	struct policy_peer by = *seed;
	int ret;

	by.has_old_key = false;
	ret = verify_by(c, a, &token->key, &by);
	*old_key = false;
	if (ret != -EKEYREJECTED || !seed->has_old_key)
		return ret;
	by.key = seed->old_key;
	ret = verify_by(c, a, &token->key, &by);
	*old_key = true;
	return ret || c->now.wall_s < seed->old_until ? ret : -EKEYEXPIRED;
}

static int bytes_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int diff = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return diff ? diff : a_len < b_len ? -1 : a_len > b_len;
}

/* Does a go before b? Only of one number. */
static bool goes_first(
        const struct policy_admission *a, bool a_old, const struct policy_admission *b, bool b_old)
{
	uint8_t x[POLICY_ADMISSION_MAX], y[POLICY_ADMISSION_MAX];
	int by_key = policy_key_compare(&a->key, &b->key);

	if (a_old != b_old)
		return b_old;
	if (by_key)
		return by_key < 0;
	return bytes_compare(x, policy_admission_print(a, x), y, policy_admission_print(b, y)) < 0;
}

/* ---- the set ---- */

static size_t place_of(const struct cluster *c, const uint8_t digest[32], bool *found)
{
	size_t lo = 0, hi = c->n_adms;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int diff = memcmp(digest, c->adms[mid]->digest, 32);

		if (!diff) {
			*found = true;
			return mid;
		}
		if (diff < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	*found = false;
	return lo;
}

size_t admission_behind(const struct cluster *c, const uint8_t digest[32])
{
	bool found;
	size_t i = place_of(c, digest, &found);

	return i + found;
}

size_t admission_put(const struct policy_admission *a, uint8_t *out)
{
	size_t len = policy_admission_print(a, out + 2);

	out[0] = (uint8_t)(len >> 8);
	out[1] = (uint8_t)len;
	return 2 + len;
}

static uint64_t number_hash(const struct policy_admission *a)
{
	return digest_u64(digest_str(digest_str(DIGEST_START, a->token), a->seed), a->number);
}

static bool same_number(const struct policy_admission *a, const struct policy_admission *b)
{
	return a->number == b->number && !strcmp(a->seed, b->seed) && !strcmp(a->token, b->token);
}

static struct admission *of_number(const struct cluster *c, const struct policy_admission *a)
{
	struct map_node *n = map_find(&c->adm_numbers, number_hash(a));

	for (; n; n = map_next_same(n))
		if (same_number(&((struct admission *)n)->a, a))
			return (struct admission *)n;
	return NULL;
}

static bool set_reserve(struct cluster *c)
{
	size_t cap = c->cap_adms ? c->cap_adms * 2 : 16;
	struct admission **v;

	if (c->n_adms < c->cap_adms)
		return true;
	v = cl_alloc(c, cap * sizeof(struct admission *));
	if (!v)
		return false;
	if (c->n_adms)
		memcpy(v, c->adms, c->n_adms * sizeof(struct admission *));
	cl_free(c, c->adms, c->cap_adms * sizeof(struct admission *));
	c->adms = v;
	c->cap_adms = cap;
	return true;
}

/* The policy is to be made anew, soon. */
static void remake(struct cluster *c)
{
	int64_t at = c->made_us + MAKE_US + (int64_t)c->n_adms * MAKE_MORE_US;

	if (c->remake)
		return;
	c->remake = true;
	c->remake_at = c->made_us && at > c->now.mono_us ? at : c->now.mono_us;
}

static void changed(struct cluster *c)
{
	c->adm_gen++;
	c->adm_summed = false;
	remake(c);
}

static void drop_at(struct cluster *c, size_t i)
{
	struct admission *adm = c->adms[i];

	map_remove(&c->adm_numbers, &adm->node);
	c->n_adms--;
	memmove(&c->adms[i], &c->adms[i + 1], (c->n_adms - i) * sizeof(struct admission *));
	cl_free(c, adm, sizeof(*adm));
	changed(c);
}

static void drop(struct cluster *c, const struct admission *adm)
{
	bool found;
	size_t i = place_of(c, adm->digest, &found);

	if (found)
		drop_at(c, i);
}

static int add(struct cluster *c, const struct admission *new, struct admission **out)
{
	struct admission *adm;
	bool found;
	size_t i;

	adm = set_reserve(c) ? cl_alloc(c, sizeof(*adm)) : NULL;
	if (!adm)
		return -ENOMEM;
	*adm = *new;
	if (map_add(&c->adm_numbers, &adm->node, number_hash(&adm->a))) {
		cl_free(c, adm, sizeof(*adm));
		c->oom = true;
		return -ENOMEM;
	}
	i = place_of(c, adm->digest, &found);
	memmove(&c->adms[i + 1], &c->adms[i], (c->n_adms - i) * sizeof(struct admission *));
	c->adms[i] = adm;
	c->n_adms++;
	changed(c);
	adm->gen = c->adm_gen;
	c->adm_resign |= adm->old_key;
	*out = adm;
	return 0;
}

static int full(struct cluster *c)
{
	if (c->adm_full_us && c->now.mono_us < c->adm_full_us + FULL_TELL_US)
		return -ENOSPC;
	c->adm_full_us = c->now.mono_us;
	cl_notice(c, ENGINE_ERROR, ENGINE_N_JOIN_GUEST, NULL,
	        "%u guests are known here, which is the most: no more are let in; revoke tokens "
	        "that are used up, or approve their guests as peers.",
	        ENGINE_ADMISSIONS_MAX);
	return -ENOSPC;
}

/* The same guest, and its seed changes its key: as often as that does. */
static bool is_renewed(const struct admission *same, const struct admission *new)
{
	return same->old_key && !memcmp(&same->a.key, &new->a.key, sizeof(new->a.key));
}

/* What is known of it without its signatures. 0: they are to be looked at. */
static int look(struct cluster *c, const struct admission *new, const struct admission *same,
        struct member *from)
{
	if (policy_admission_check(c->written, &new->a, NULL, 0))
		return -EINVAL;
	if (same && !same->old_key && goes_first(&same->a, false, &new->a, false))
		return -EEXIST;
	if (same && from && !is_renewed(same, new) && !member_may_replace(c, from))
		return -EBUSY;
	return !same && c->n_adms >= ENGINE_ADMISSIONS_MAX ? full(c) : 0;
}

/* same: that of its number, or NULL. */
static int prove(struct cluster *c, struct admission *new, const struct admission *same)
{
	const struct policy_token *token = policy_token_by_name(c->written, new->a.token);
	const struct policy_peer *seed = policy_peer_by_name(c->written, new->a.seed);
	int ret = verify(c, &new->a, token, seed, &new->old_key);

	if (ret)
		return ret;
	if (same && goes_first(&same->a, same->old_key, &new->a, new->old_key))
		return -EEXIST;
	new->token_key = token->key;
	new->seed_key = new->old_key ? seed->old_key : seed->key;
	return 0;
}

int admission_take(struct cluster *c, const uint8_t *record, size_t len, struct member *from,
        struct admission **out)
{
	struct admission new = {.fresh = true}, *same;
	unsigned digest_len = sizeof(new.digest);
	bool found;
	size_t i;
	int ret;

	if (EVP_Digest(record, len, new.digest, &digest_len, EVP_sha256(), NULL) != 1)
		return -EIO;
	i = place_of(c, new.digest, &found);
	if (found) {
		*out = c->adms[i];
		return -EALREADY;
	}
	if (policy_admission_parse(record, len, &new.a))
		return -EBADMSG;
	same = of_number(c, &new.a);
	ret = look(c, &new, same, from);
	if (!ret)
		ret = prove(c, &new, same);
	if (ret)
		return ret;
	if (same)
		drop(c, same);
	return add(c, &new, out);
}

const uint8_t *admissions_sum(struct cluster *c)
{
	static const char label[] = "overlayd admissions v1\n";
	EVP_MD_CTX *ctx;
	bool ok;

	if (c->adm_summed)
		return c->adm_sum;
	ctx = EVP_MD_CTX_new();
	ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	     EVP_DigestUpdate(ctx, label, sizeof(label) - 1) == 1;
	for (size_t i = 0; i < c->n_adms && ok; i++)
		ok = EVP_DigestUpdate(ctx, c->adms[i]->digest, 32) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, c->adm_sum, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	c->adm_summed = ok;
	c->oom |= !ok;
	return ok ? c->adm_sum : NULL;
}

void admissions_free(struct cluster *c)
{
	while (c->n_adms)
		drop_at(c, c->n_adms - 1);
	cl_free(c, c->adms, c->cap_adms * sizeof(struct admission *));
	cl_free(c, c->adm_kept, c->adm_kept_len);
	map_clear(&c->adm_numbers);
	policy_unref(c->written);
	c->adms = NULL;
	c->adm_kept = NULL;
	c->written = NULL;
}

/* ---- with each bundle ---- */

static bool still_counts(struct cluster *c, struct admission *adm)
{
	const struct policy_token *token = policy_token_by_name(c->written, adm->a.token);
	const struct policy_peer *seed = policy_peer_by_name(c->written, adm->a.seed);

	if (policy_admission_check(c->written, &adm->a, NULL, 0) ||
	        (memcmp(&token->key, &adm->token_key, sizeof(token->key)) != 0 &&
	                !IMPAIRED(IMPAIR_KEEP_GUESTS)))
		return false;
	adm->old_key = memcmp(&seed->key, &adm->seed_key, sizeof(seed->key)) != 0;
	return !adm->old_key || (seed->has_old_key && !memcmp(&seed->old_key, &adm->seed_key,
	                                                      sizeof(seed->old_key)));
}

void admissions_bundle(struct cluster *c, struct policy *policy)
{
	policy_unref(c->written);
	c->written = policy;
	for (size_t i = c->n_adms; i-- > 0;)
		if (!still_counts(c, c->adms[i]))
			drop_at(c, i);
	if (c->adm_kept)
		admissions_wake(c);
	c->adm_resign = c->n_adms != 0;
	c->remake = true;
	c->remake_at = c->now.mono_us;
	c->rewritten = true;
}

/* ---- the policy ---- */

static void tell_guest(struct cluster *c, const struct admission *adm)
{
	cl_notice(c, ENGINE_INFO, ENGINE_N_JOIN_GUEST, NULL,
	        "%s is let in by token %s, at seed %s.", adm->a.name, adm->a.token, adm->a.seed);
}

static void tell_gone(struct cluster *c, const struct admission *adm)
{
	if (policy_peer_by_key(c->written, &adm->a.key)) {
		cl_notice(c, ENGINE_NOTICE, ENGINE_N_JOIN_GUEST, NULL,
		        "%s, a guest of token %s until now, is a peer of the policy's own.",
		        adm->a.name, adm->a.token);
		return;
	}
	cl_notice(c, ENGINE_NOTICE, ENGINE_N_JOIN_GUEST, NULL,
	        "%s, a guest of token %s, does not count any more: another has its name, key, "
	        "address or number, and goes first.",
	        adm->a.name, adm->a.token);
}

/* Who became a guest by it, and who is none any more. */
static void made(struct cluster *c, const bool *used)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_adms; i++) {
		struct admission *adm = c->adms[i];
		bool was = adm->used;

		adm->used = used[i];
		if (was && !adm->used)
			tell_gone(c, adm);
		if (!was && adm->used && !adm->quiet && n++ < TELL_MAX)
			tell_guest(c, adm);
		adm->fresh = adm->quiet = false;
	}
	if (n > TELL_MAX)
		cl_notice(c, ENGINE_INFO, ENGINE_N_JOIN_GUEST, NULL,
		        "%zu more are let in by tokens.", n - TELL_MAX);
}

static int make(struct cluster *c, struct policy **out)
{
	size_t n = c->n_adms, size = n * sizeof(struct policy_admission *);
	const struct policy_admission **v = cl_alloc(c, size);
	bool *used = cl_alloc(c, n * sizeof(*used));
	int ret = -ENOMEM;

	for (size_t i = 0; v && i < n; i++)
		v[i] = &c->adms[i]->a;
	if (v && used)
		ret = c->hooks.guests ? c->hooks.guests(c->hooks.user, c->written, v, n, used, out)
		                      : policy_with_guests(c->written, v, n, used, out);
	if (!ret)
		made(c, used);
	cl_free(c, v, size);
	cl_free(c, used, n * sizeof(*used));
	return ret;
}

struct policy *cluster_policy(struct cluster *c)
{
	struct policy *policy = NULL;

	if (!c->remake || c->now.mono_us < c->remake_at)
		return NULL;
	if (make(c, &policy)) {
		c->oom = true;
		c->remake_at = c->now.mono_us + STORE_MIN_US;
		return NULL;
	}
	c->made_us = c->rewritten ? 0 : c->now.mono_us; /* behind a bundle the first is at once */
	c->remake = c->rewritten = false;
	return policy;
}

int64_t admissions_make_wakeup(const struct cluster *c)
{
	return c->remake ? c->remake_at : ENGINE_NEVER;
}
