/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "tcp/22", "udp/5404-5412", "icmp". */
#include "policy/policy.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "policy/internal.h"

int pol_number_parse(const char *text, size_t len, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (len == 0 || len > 20 || (len > 1 && text[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(n, 10, &n) ||
		        __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return -ERANGE;
	}
	if (n > max)
		return -ERANGE;
	*out = n;
	return 0;
}

__attribute__((format(printf, 3, 4))) static int ports_fault(
        char *err, size_t size, const char *format, ...)
{
	va_list args;

	if (err && size) {
		va_start(args, format);
		vsnprintf(err, size, format, args);
		va_end(args);
	}
	return -EINVAL;
}

static int port_parse(const char *text, size_t len, uint16_t *out, char *err, size_t size)
{
	uint64_t n;
	int ret = pol_number_parse(text, len, UINT16_MAX, &n);

	if (ret == -ERANGE)
		return ports_fault(
		        err, size, "port %.*s is above 65535", (int)(len < 24 ? len : 24), text);
	if (ret)
		return ports_fault(err, size,
		        "'%.*s' is no port: a number from 1 to 65535 is wanted",
		        (int)(len < 24 ? len : 24), text);
	if (n == 0)
		return ports_fault(err, size, "port 0 does not exist: ports are 1 to 65535");
	*out = (uint16_t)n;
	return 0;
}

int policy_ports_parse(const char *text, struct policy_ports *out, char *err, size_t err_size)
{
	struct policy_ports ports = {0};
	const char *dash;
	size_t len;

	if (strcmp(text, "icmp") == 0) {
		ports.proto = POLICY_ICMP;
		*out = ports;
		return 0;
	}
	if (strncmp(text, "tcp/", 4) == 0)
		ports.proto = POLICY_TCP;
	else if (strncmp(text, "udp/", 4) == 0)
		ports.proto = POLICY_UDP;
	else
		return ports_fault(err, err_size,
		        "'%.40s' is not understood: write tcp/22, udp/5404-5412 or icmp", text);
	text += 4;
	dash = strchr(text, '-');
	len = dash ? (size_t)(dash - text) : strlen(text);
	if (port_parse(text, len, &ports.first, err, err_size))
		return -EINVAL;
	ports.last = ports.first;
	if (dash && port_parse(dash + 1, strlen(dash + 1), &ports.last, err, err_size))
		return -EINVAL;
	if (ports.last < ports.first)
		return ports_fault(err, err_size, "the range %u-%u is reversed: write %u-%u",
		        ports.first, ports.last, ports.last, ports.first);
	*out = ports;
	return 0;
}

const char *pol_proto_name(enum policy_proto proto)
{
	switch (proto) {
	case POLICY_ICMP:
		return "icmp";
	case POLICY_TCP:
		return "tcp";
	case POLICY_UDP:
		return "udp";
	}
	return "?";
}

void pol_ports_print(const struct policy_ports *ports, char *buf, size_t size)
{
	if (ports->proto == POLICY_ICMP)
		snprintf(buf, size, "icmp");
	else if (ports->first == ports->last)
		snprintf(buf, size, "%s/%u", pol_proto_name(ports->proto), ports->first);
	else
		snprintf(buf, size, "%s/%u-%u", pol_proto_name(ports->proto), ports->first,
		        ports->last);
}
