/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links as bytes. */
#include "engine/links.h"

#include <string.h>

#define LINKS_HEAD 11U

enum { V4 = 2 /* AF_INET */, V6 = 10 /* AF_INET6 */ };

static void put_be(uint8_t *at, uint64_t v, size_t n)
{
	while (n--) {
		at[n] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t get_be(const uint8_t *at, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | at[i];
	return v;
}

static bool v4_usable(const uint8_t *b)
{
	return b[0] != 0 && b[0] != 127 && b[0] < 224 && !(b[0] == 169 && b[1] == 254);
}

/* Global ones and ULAs; not an IPv4 address in disguise, nor what is of one link or site. */
static bool v6_usable(const uint8_t *b)
{
	return (b[0] & 0xe0) == 0x20 || (b[0] & 0xfe) == 0xfc;
}

bool session_link_usable(const struct policy_addr *addr)
{
	return addr->family == V4   ? v4_usable(addr->bytes)
	       : addr->family == V6 ? v6_usable(addr->bytes)
	                            : false;
}

size_t session_links_make(const struct session_links *links, uint8_t body[SESSION_BODY_MAX])
{
	size_t len = LINKS_HEAD;

	put_be(body, links->count, 8);
	put_be(body + 8, links->port, 2);
	body[10] = links->n;
	for (size_t i = 0; i < links->n; i++) {
		size_t size = links->addrs[i].family == V4 ? 4 : 16;

		body[len++] = size == 4 ? 4 : 6;
		memcpy(body + len, links->addrs[i].bytes, size);
		len += size;
	}
	return len;
}

static size_t addr_read(const uint8_t *at, size_t left, struct policy_addr *out)
{
	size_t size = left && at[0] == 4 ? 4 : left && at[0] == 6 ? 16 : 0;

	if (!size || left < 1 + size)
		return 0;
	*out = (struct policy_addr){.family = size == 4 ? V4 : V6};
	memcpy(out->bytes, at + 1, size);
	return 1 + size;
}

static bool is_among(const struct session_links *links, const struct policy_addr *a)
{
	for (size_t i = 0; i < links->n; i++)
		if (links->addrs[i].family == a->family &&
		        !memcmp(links->addrs[i].bytes, a->bytes, sizeof(a->bytes)))
			return true;
	return false;
}

bool session_links_read(const uint8_t *body, size_t len, struct session_links *out)
{
	struct session_links links = {0};
	size_t n, at = LINKS_HEAD;

	if (len < LINKS_HEAD || body[10] > SESSION_LINKS_MAX)
		return false;
	links.count = get_be(body, 8);
	links.port = (uint16_t)get_be(body + 8, 2);
	n = body[10];
	if (!links.count || links.count > INT64_MAX || !links.port)
		return false;
	while (links.n < n) {
		struct policy_addr *a = &links.addrs[links.n], addr;
		size_t used = addr_read(body + at, len - at, &addr);

		if (!used || !session_link_usable(&addr) || is_among(&links, &addr))
			return false;
		*a = addr;
		links.n++;
		at += used;
	}
	if (at != len)
		return false;
	*out = links;
	return true;
}
