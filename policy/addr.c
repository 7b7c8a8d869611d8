/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, prefixes, and the ULA (RFC 4193) that a key has in a cluster. */
#include "policy/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "policy/internal.h"

void pol_sha256(unsigned char out[32], const void *a, size_t n_a, const void *b, size_t n_b,
        const void *c, size_t n_c)
{
	unsigned char buf[256];
	unsigned int len = 32;

	/* Names, labels and keys are short; what is long is hashed by pol_sha256_long(). */
	memcpy(buf, a, n_a);
	if (n_b)
		memcpy(buf + n_a, b, n_b);
	if (n_c)
		memcpy(buf + n_a + n_b, c, n_c);
	if (EVP_Digest(buf, n_a + n_b + n_c, out, &len, EVP_sha256(), NULL) != 1)
		memset(out, 0, 32);
}

void policy_ula_prefix(const char *cluster, struct policy_prefix *out)
{
	static const char label[] = "overlayd ula v1";
	unsigned char digest[32];

	pol_sha256(
	        digest, label, sizeof(label), cluster, strnlen(cluster, POLICY_NAME_MAX), NULL, 0);
	*out = (struct policy_prefix){.addr.family = AF_INET6, .len = 48};
	out->addr.bytes[0] = 0xfd;
	memcpy(out->addr.bytes + 1, digest, 5);
}

void policy_ula_address(const char *cluster, const struct policy_key *key, struct policy_addr *out)
{
	struct policy_prefix prefix;

	policy_ula_prefix(cluster, &prefix);
	pol_ula_in_prefix(cluster, &prefix, key, out);
}

void pol_ula_in_prefix(const char *cluster, const struct policy_prefix *prefix,
        const struct policy_key *key, struct policy_addr *out)
{
	static const char label[] = "overlayd ula address v1";
	char name[POLICY_NAME_MAX + 1] = "";
	size_t len = strnlen(cluster, POLICY_NAME_MAX);
	unsigned char digest[32];

	memcpy(name, cluster, len);
	pol_sha256(digest, label, sizeof(label), name, len + 1, key->raw, sizeof(key->raw));
	*out = prefix->addr;
	memcpy(out->bytes + 6, digest, 10);
}

void policy_addr_print(const struct policy_addr *addr, char *buf, size_t size)
{
	if (!size)
		return;
	buf[0] = '\0';
	if (addr->family && !inet_ntop(addr->family, addr->bytes, buf, (socklen_t)size))
		buf[0] = '\0';
}

int policy_addr_parse(const char *text, struct policy_addr *out)
{
	struct policy_addr addr = {0};

	addr.family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(addr.family, text, addr.bytes) != 1)
		return -EINVAL;
	*out = addr;
	return 0;
}

/* Are all bits from `len` on equal to `bit`? */
static bool tail_is(const struct policy_addr *addr, uint8_t len, bool bit)
{
	unsigned bits = addr->family == AF_INET ? 32 : 128;

	for (unsigned i = len; i < bits; i++)
		if ((addr->bytes[i / 8] >> (7 - i % 8) & 1) != bit)
			return false;
	return true;
}

bool pol_addr_is_network(const struct policy_addr *addr, uint8_t len)
{
	return tail_is(addr, len, false);
}

bool pol_addr_is_broadcast(const struct policy_addr *addr, uint8_t len)
{
	return addr->family == AF_INET && tail_is(addr, len, true);
}

bool policy_prefix_contains(const struct policy_prefix *prefix, const struct policy_addr *addr)
{
	unsigned whole = prefix->len / 8, rest = prefix->len % 8;

	if (!prefix->addr.family || prefix->addr.family != addr->family)
		return false;
	if (memcmp(prefix->addr.bytes, addr->bytes, whole) != 0)
		return false;
	return !rest || ((prefix->addr.bytes[whole] ^ addr->bytes[whole]) >> (8 - rest)) == 0;
}

void pol_prefix_print(const struct policy_prefix *prefix, char *buf, size_t size)
{
	size_t len;

	policy_addr_print(&prefix->addr, buf, size);
	len = strlen(buf);
	snprintf(buf + len, size - len, "/%u", prefix->len);
}

void pol_prefix_mask(struct policy_prefix *prefix)
{
	unsigned bits = prefix->addr.family == AF_INET ? 32 : 128;

	for (unsigned i = prefix->len; i < bits; i++)
		prefix->addr.bytes[i / 8] &= (uint8_t) ~(0x80U >> i % 8);
}

int pol_prefix_parse(const char *text, struct policy_prefix *out)
{
	struct policy_prefix prefix;
	char head[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	uint32_t bits;

	if (len >= sizeof(head))
		return -EINVAL;
	memcpy(head, text, len);
	head[len] = '\0';
	if (policy_addr_parse(head, &prefix.addr))
		return -EINVAL;
	bits = prefix.addr.family == AF_INET ? 32 : 128;
	prefix.len = (uint8_t)bits;
	if (slash) {
		uint64_t n;

		if (pol_number_parse(slash + 1, strlen(slash + 1), bits, &n))
			return -EINVAL;
		prefix.len = (uint8_t)n;
	}
	*out = prefix;
	return 0;
}
