/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a newcomer says of itself, as bytes: one way to write it, so that it can be signed. */
#include "engine/join.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#define LABEL "overlayd join v1\n"

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* As policy.h says of any name. */
static bool is_name(const char *s, size_t size, bool may_be_empty)
{
	size_t n = strnlen(s, size);

	if (!n)
		return may_be_empty;
	if (n == size || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(s[i]) && !strchr("._-", s[i]))
			return false;
	return true;
}

static bool is_printable(const char *s, size_t size)
{
	size_t n = strnlen(s, size);

	for (size_t i = 0; i < n; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return n < size;
}

static bool is_formed(const struct join_request *r)
{
	if (!is_name(r->cluster, sizeof(r->cluster), false) ||
	        !is_name(r->name, sizeof(r->name), false) ||
	        !is_name(r->site, sizeof(r->site), true) ||
	        !is_name(r->token, sizeof(r->token), true) ||
	        !is_printable(r->release, sizeof(r->release)) || r->n_links > JOIN_LINKS_MAX)
		return false;
	for (size_t i = 0; i < r->n_links; i++)
		if (r->links[i].family != 2 /* AF_INET */ &&
		        r->links[i].family != 10 /* AF_INET6 */)
			return false;
	return true;
}

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
	memcpy(at, data, len);
	return at + len;
}

static uint8_t *put_str(uint8_t *at, const char *s)
{
	return put(at, s, strlen(s) + 1);
}

/* cluster 0 name 0 site 0 release 0 token 0 by_token(64, with a token) key(32) nonce(32), then
 * each link: 4 or 6, and its 4 or 16 bytes */
size_t join_request_bytes(const struct join_request *r, uint8_t buf[JOIN_REQUEST_MAX])
{
	uint8_t *at = buf;

	if (!is_formed(r))
		return 0;
	at = put_str(at, r->cluster);
	at = put_str(at, r->name);
	at = put_str(at, r->site);
	at = put_str(at, r->release);
	at = put_str(at, r->token);
	if (r->token[0])
		at = put(at, r->by_token, sizeof(r->by_token));
	at = put(at, r->key.raw, sizeof(r->key.raw));
	at = put(at, r->nonce, sizeof(r->nonce));
	for (size_t i = 0; i < r->n_links; i++) {
		bool is4 = r->links[i].family == 2 /* AF_INET */;

		*at++ = is4 ? 4 : 6;
		at = put(at, r->links[i].bytes, is4 ? 4 : 16);
	}
	return (size_t)(at - buf);
}

int join_request_words(const struct join_request *r, const struct minisign_public *cluster_key,
        const struct policy_key *seed_key, const uint8_t seed_nonce[32],
        uint8_t words[JOIN_WORDS_MAX])
{
	uint8_t buf[128 + JOIN_REQUEST_MAX], digest[32], *at = buf;
	unsigned len = sizeof(digest);

	at = put(at, cluster_key->key, 32);
	at = put(at, seed_key->raw, 32);
	at = put(at, seed_nonce, 32);
	at = put(at, r->nonce, 32);
	{
		size_t n = join_request_bytes(r, at);

		if (!n)
			return -EINVAL;
		at += n;
	}
	if (EVP_Digest(buf, (size_t)(at - buf), digest, &len, EVP_sha256(), NULL) != 1)
		return -EIO;
	memcpy(words, LABEL, strlen(LABEL));
	memcpy(words + strlen(LABEL), digest, sizeof(digest));
	return 0;
}

const char *join_status_name(enum join_status status)
{
	switch (status) {
	case JOIN_PENDING:
		return "pending";
	case JOIN_MEMBER:
		return "member";
	case JOIN_REFUSED:
		return "refused";
	case JOIN_BUSY:
		return "busy";
	}
	return "?";
}
