/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses and prefixes: text in, text out. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/firewall.h"

static bool host_part_is_zero(const struct fw_addr *a)
{
	size_t width = a->family == AF_INET ? 4 : 16;

	for (size_t i = 0; i < width; i++) {
		int kept = (int)a->bits - (int)i * 8;
		uint8_t mask = kept >= 8 ? 0 : kept <= 0 ? 0xff : (uint8_t)(0xff >> kept);

		if (a->bytes[i] & mask)
			return false;
	}
	return true;
}

static int parse_bits(const char *text, unsigned max, uint8_t *out)
{
	char *end;
	unsigned long v;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	v = strtoul(text, &end, 10);
	if (*end != '\0' || v > max)
		return -EINVAL;
	*out = (uint8_t)v;
	return 0;
}

int fw_addr_parse(const char *text, struct fw_addr *out)
{
	struct fw_addr a = {0};
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, a.bytes) == 1) {
		a.family = AF_INET;
		a.bits = 32;
	} else if (inet_pton(AF_INET6, host, a.bytes) == 1) {
		a.family = AF_INET6;
		a.bits = 128;
	} else {
		return -EINVAL;
	}
	if (slash && parse_bits(slash + 1, a.bits, &a.bits) < 0)
		return -EINVAL;
	if (!host_part_is_zero(&a))
		return -EINVAL;
	*out = a;
	return 0;
}

const char *fw_addr_text(const struct fw_addr *a, char buf[static FW_ADDR_TEXT])
{
	size_t len;

	if (!a->family || !inet_ntop(a->family, a->bytes, buf, FW_ADDR_TEXT)) {
		memcpy(buf, "none", 5);
		return buf;
	}
	len = strlen(buf);
	if (a->bits != (a->family == AF_INET ? 32 : 128))
		snprintf(buf + len, FW_ADDR_TEXT - len, "/%u", a->bits);
	return buf;
}

bool fw_addr_equal(const struct fw_addr *a, const struct fw_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}
