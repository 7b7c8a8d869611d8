/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/admission.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "policy/internal.h"

#define TOKEN_WORDS "overlayd token v1\n"
#define SEED_WORDS "overlayd admission v1\n"

struct writer {
	uint8_t *buf;
	size_t len;
};

static void put(struct writer *w, const void *data, size_t len)
{
	memcpy(w->buf + w->len, data, len);
	w->len += len;
}

/* With the NUL behind it. */
static void put_name(struct writer *w, const char name[POLICY_NAME_MAX + 1])
{
	size_t len = strnlen(name, POLICY_NAME_MAX);

	put(w, name, len);
	put(w, "", 1);
}

static void put_wish(struct writer *w, const struct policy_admission *a)
{
	put_name(w, a->cluster);
	put_name(w, a->token);
	put_name(w, a->name);
	put(w, a->key.raw, sizeof(a->key.raw));
}

static void put_gift(struct writer *w, const struct policy_admission *a)
{
	uint32_t number = htonl(a->number);

	put_wish(w, a);
	put(w, a->by_token, sizeof(a->by_token));
	put_name(w, a->seed);
	put(w, "\4", 1);
	put(w, a->addr4.bytes, 4);
	put(w, &number, sizeof(number));
}

size_t policy_admission_words_token(
        const struct policy_admission *admission, uint8_t buf[POLICY_ADMISSION_WORDS_MAX])
{
	struct writer w = {buf, 0};

	put(&w, TOKEN_WORDS, strlen(TOKEN_WORDS));
	put_wish(&w, admission);
	return w.len;
}

size_t policy_admission_words_seed(
        const struct policy_admission *admission, uint8_t buf[POLICY_ADMISSION_WORDS_MAX])
{
	struct writer w = {buf, 0};

	put(&w, SEED_WORDS, strlen(SEED_WORDS));
	put_gift(&w, admission);
	return w.len;
}

static bool is_sound(const struct policy_admission *a)
{
	return pol_name_valid(a->cluster) && pol_name_valid(a->token) && pol_name_valid(a->name) &&
	       pol_name_valid(a->seed) && a->addr4.family == AF_INET && a->number;
}

size_t policy_admission_print(
        const struct policy_admission *admission, uint8_t buf[POLICY_ADMISSION_MAX])
{
	struct writer w = {buf, 0};

	if (!is_sound(admission))
		return 0;
	put_gift(&w, admission);
	put(&w, admission->by_seed, sizeof(admission->by_seed));
	return w.len;
}

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

static void take(struct reader *r, void *out, size_t len)
{
	r->bad |= (size_t)(r->end - r->at) < len;
	if (r->bad)
		return;
	memcpy(out, r->at, len);
	r->at += len;
}

static void take_name(struct reader *r, char name[POLICY_NAME_MAX + 1])
{
	size_t left = (size_t)(r->end - r->at),
	       len = strnlen((const char *)r->at, left < POLICY_NAME_MAX ? left : POLICY_NAME_MAX);
	char nul = 'x';

	take(r, name, len);
	take(r, &nul, 1);
	r->bad |= nul != '\0';
	name[r->bad ? 0 : len] = '\0';
}

int policy_admission_parse(const uint8_t *data, size_t len, struct policy_admission *out)
{
	struct reader r = {data, data + len, false};
	struct policy_admission a = {.number = 0};
	uint32_t number = 0;
	char family = 0;

	take_name(&r, a.cluster);
	take_name(&r, a.token);
	take_name(&r, a.name);
	take(&r, a.key.raw, sizeof(a.key.raw));
	take(&r, a.by_token, sizeof(a.by_token));
	take_name(&r, a.seed);
	take(&r, &family, 1);
	take(&r, a.addr4.bytes, 4);
	take(&r, &number, sizeof(number));
	take(&r, a.by_seed, sizeof(a.by_seed));
	a.addr4.family = AF_INET;
	a.number = ntohl(number);
	if (r.bad || r.at != r.end || family != 4 || !is_sound(&a))
		return -EINVAL;
	*out = a;
	return 0;
}

static int real_verify(void *user, const struct policy_key *key, const void *text, size_t len,
        const uint8_t sig[64])
{
	(void)user;
	return policy_key_verify(key, text, len, sig);
}

int policy_admission_verify(const struct policy_admission *admission,
        const struct policy_key *token_key, const struct policy_peer *seed, policy_verify_fn verify,
        void *user)
{
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	size_t len = policy_admission_words_token(admission, words);
	int ret;

	verify = verify ? verify : real_verify;
	ret = verify(user, token_key, words, len, admission->by_token);
	if (ret)
		return ret;
	len = policy_admission_words_seed(admission, words);
	ret = verify(user, &seed->key, words, len, admission->by_seed);
	if (ret == -EKEYREJECTED && seed->has_old_key)
		ret = verify(user, &seed->old_key, words, len, admission->by_seed);
	return ret;
}
