/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/voucher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"
#include "policy/minisign_internal.h"

#define BEGIN "overlayd-rotate-v1"
#define BODY_LEN 192U /* two keys, two signatures */
#define BODY_BASE64 MSIG_BASE64(BODY_LEN)

size_t policy_voucher_words(
        const struct policy_voucher *voucher, uint8_t buf[POLICY_VOUCHER_WORDS_MAX])
{
	/* One NUL behind each name: the names' own. */
	int n = snprintf(
	        (char *)buf, POLICY_VOUCHER_WORDS_MAX, "overlayd rotate v1\n%s", voucher->cluster);
	size_t len = (size_t)n + 1;

	n = snprintf((char *)buf + len, POLICY_VOUCHER_WORDS_MAX - len, "%s", voucher->name);
	len += (size_t)n + 1;
	memcpy(buf + len, voucher->old_key.raw, 32);
	memcpy(buf + len + 32, voucher->key.raw, 32);
	return len + 64;
}

void policy_voucher_print(const struct policy_voucher *voucher, char buf[POLICY_VOUCHER_LINE_MAX])
{
	char base64[2 * MSIG_BASE64(96U) + 1];
	uint8_t body[BODY_LEN];

	memcpy(body, voucher->old_key.raw, 32);
	memcpy(body + 32, voucher->key.raw, 32);
	memcpy(body + 64, voucher->by_old, 64);
	memcpy(body + 128, voucher->by_new, 64);
	/* In two pieces of 96 bytes, which need no padding. */
	msig_base64_print(body, 96, base64);
	msig_base64_print(body + 96, 96, base64 + MSIG_BASE64(96U));
	snprintf(buf, POLICY_VOUCHER_LINE_MAX, BEGIN " %s %s %s\n", voucher->cluster, voucher->name,
	        base64);
}

/* The next word of a line; false: there is none, or it is too long. */
static bool word_take(const char **at, const char *end, char *buf, size_t size)
{
	size_t n = 0;

	while (*at < end && **at == ' ')
		(*at)++;
	while (*at + n < end && (*at)[n] > ' ')
		n++;
	if (!n || n >= size)
		return false;
	memcpy(buf, *at, n);
	buf[n] = '\0';
	*at += n;
	return true;
}

static bool line_take(const char *text, size_t len, struct policy_voucher *v)
{
	const char *at = text, *end = text + len;
	char begin[32], base64[BODY_BASE64 + 1], key[96];
	struct msig_line first, second;
	uint8_t body[BODY_LEN];
	struct policy_key parsed;

	while (end > at && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
		end--;
	if (!word_take(&at, end, begin, sizeof(begin)) || strcmp(begin, BEGIN) != 0 ||
	        !word_take(&at, end, v->cluster, sizeof(v->cluster)) ||
	        !word_take(&at, end, v->name, sizeof(v->name)) ||
	        !word_take(&at, end, base64, sizeof(base64)) || at != end ||
	        !pol_name_valid(v->cluster) || !pol_name_valid(v->name) ||
	        strlen(base64) != BODY_BASE64)
		return false;
	first = (struct msig_line){base64, MSIG_BASE64(96U)};
	second = (struct msig_line){base64 + MSIG_BASE64(96U), MSIG_BASE64(96U)};
	if (!msig_base64_take(&first, body, 96) || !msig_base64_take(&second, body + 96, 96))
		return false;
	memcpy(v->old_key.raw, body, 32);
	memcpy(v->key.raw, body + 32, 32);
	memcpy(v->by_old, body + 64, 64);
	memcpy(v->by_new, body + 128, 64);
	/* A point for which anybody can sign is no key. */
	policy_key_print(&v->key, key, sizeof(key));
	return policy_key_parse(key, &parsed, NULL) == 0;
}

static int fail(int ret, char *err, size_t err_size, const char *text)
{
	if (err && err_size)
		snprintf(err, err_size, "%s", text);
	return ret;
}

int policy_voucher_parse(
        const char *text, size_t len, struct policy_voucher *out, char *err, size_t err_size)
{
	uint8_t words[POLICY_VOUCHER_WORDS_MAX];
	struct policy_voucher v = {0};
	size_t n;

	if (!line_take(text, len, &v))
		return fail(-EINVAL, err, err_size,
		        "this is no voucher: it is one line that begins with " BEGIN
		        ", as `overlayctl rotate` prints it");
	n = policy_voucher_words(&v, words);
	if (policy_key_verify(&v.old_key, words, n, v.by_old))
		return fail(-EKEYREJECTED, err, err_size,
		        "the old key did not sign this voucher: copy it again, whole");
	if (policy_key_verify(&v.key, words, n, v.by_new))
		return fail(-EKEYREJECTED, err, err_size,
		        "the new key did not sign this voucher: copy it again, whole");
	*out = v;
	return 0;
}
