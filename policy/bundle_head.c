/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first line of a bundle, and the words that heads are made of. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "policy/bundle_internal.h"

int bun_fail(int ret, char *err, size_t err_size, const char *format, ...)
{
	va_list args;

	if (!err || !err_size)
		return ret;
	va_start(args, format);
	vsnprintf(err, err_size, format, args);
	va_end(args);
	return ret;
}

int bun_digest(const char *data, size_t len, uint8_t digest[32])
{
	unsigned int size = 32;

	return EVP_Digest(data, len, digest, &size, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

void bundle_digest_print(const uint8_t digest[32], char buf[65])
{
	for (unsigned i = 0; i < 32; i++)
		snprintf(buf + 2 * i, 3, "%02x", digest[i]);
}

bool bun_line(const char *at, const char *end, size_t *len)
{
	size_t left = (size_t)(end - at),
	       most = left <= BUNDLE_LINE_MAX ? left : BUNDLE_LINE_MAX + 1;
	const char *newline = memchr(at, '\n', most);

	if (newline)
		*len = (size_t)(newline - at);
	return newline != NULL;
}

/* ---- words */

bool bun_literal(struct bun_cursor *c, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0)
		return false;
	c->at += len;
	return true;
}

bool bun_number(struct bun_cursor *c, uint64_t max, uint64_t *out)
{
	size_t len = 0;

	while (c->at + len < c->end && c->at[len] >= '0' && c->at[len] <= '9')
		len++;
	if (pol_number_parse(c->at, len, max, out))
		return false;
	c->at += len;
	return true;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool bun_hex(struct bun_cursor *c, uint8_t out[32])
{
	uint8_t got[32];

	if (c->end - c->at < 64)
		return false;
	for (unsigned i = 0; i < 32; i++) {
		int high = digit(c->at[2 * i]), low = digit(c->at[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		got[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(out, got, 32);
	c->at += 64;
	return true;
}

bool bun_key(struct bun_cursor *c, struct minisign_public *out)
{
	if ((size_t)(c->end - c->at) < BUN_KEY_LEN || *c->at == '\n' ||
	        minisign_public_parse(c->at, BUN_KEY_LEN, out, NULL, 0))
		return false;
	c->at += BUN_KEY_LEN;
	return true;
}

/* ---- the head */

static bool cluster_take(struct bun_cursor *c, char name[POLICY_NAME_MAX + 1])
{
	const char *quote = memchr(c->at, '"', (size_t)(c->end - c->at));
	size_t len = quote ? (size_t)(quote - c->at) : 0;

	if (!len || len > POLICY_NAME_MAX || memchr(c->at, '\0', len))
		return false;
	memcpy(name, c->at, len);
	name[len] = '\0';
	c->at += len;
	return pol_name_valid(name);
}

/* The fields of all formats so far, in their order. */
static bool fields_take(struct bun_cursor *c, struct bundle_head *head)
{
	uint64_t issued;

	if (!bun_literal(c, ",\"cluster\":\"") || !cluster_take(c, head->cluster) ||
	        !bun_literal(c, "\",\"issued\":") || !bun_number(c, INT64_MAX, &issued))
		return false;
	head->issued = (int64_t)issued;
	head->has_next_key = bun_literal(c, ",\"next_key\":\"");
	if (head->has_next_key && (!bun_key(c, &head->next_key) || !bun_literal(c, "\"")))
		return false;
	head->has_parent = bun_literal(c, ",\"parent_serial\":");
	if (head->has_parent && (!bun_number(c, INT64_MAX, &head->parent_serial) ||
	                                !bun_literal(c, ",\"parent\":\"") ||
	                                !bun_hex(c, head->parent) || !bun_literal(c, "\"")))
		return false;
	return bun_literal(c, ",\"serial\":") && bun_number(c, INT64_MAX, &head->serial) &&
	       bun_literal(c, "}\n") && head->serial > head->parent_serial;
}

int bundle_head_read(
        const char *data, size_t len, struct bundle_head *out, char *err, size_t err_size)
{
	struct bun_cursor c = {data, data + len};
	struct bundle_head head = {0};
	uint64_t format;

	if (len > BUNDLE_MAX)
		return bun_fail(-E2BIG, err, err_size, "a bundle may have %u MB, not %zu",
		        BUNDLE_MAX >> 20, len >> 20);
	if (!bun_literal(&c, "{\"overlayd-bundle\":") || !bun_number(&c, UINT32_MAX, &format))
		return bun_fail(-EINVAL, err, err_size,
		        "this is no bundle: it does not begin with {\"overlayd-bundle\":");
	if (format < BUNDLE_FORMAT_LOWEST || format > BUNDLE_FORMAT_HIGHEST)
		return bun_fail(-EPROTONOSUPPORT, err, err_size,
		        "this bundle has format %u, and this release of overlayd knows formats %u "
		        "to %u: update overlayd here",
		        (unsigned)format, BUNDLE_FORMAT_LOWEST, BUNDLE_FORMAT_HIGHEST);
	if (!fields_take(&c, &head))
		return bun_fail(-EINVAL, err, err_size,
		        "the first line of this bundle is damaged at its byte %zu",
		        (size_t)(c.at - data) + 1);
	if (bun_digest(data, len, head.digest))
		return bun_fail(-EIO, err, err_size, "libcrypto cannot make SHA-256");
	*out = head;
	return 0;
}
