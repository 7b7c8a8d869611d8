/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random policies, the same for the same seed: print the seed. */
#ifndef TESTS_POLICY_RANDOM_H
#define TESTS_POLICY_RANDOM_H

#include "policy_bed.h"

static inline unsigned pick(unsigned *seed, unsigned n)
{
	return (unsigned)rand_r(seed) % n;
}

static inline void random_peers(FILE *out, unsigned *seed, unsigned n)
{
	static const char *const extras[] = {"", ", until: 2030-02-28",
	        ", until: \"2031-05-05T05:05\"",
	        ", hours: \"Sat-Sun 00:00-24:00, Mon 22:00-04:30\"", ", endpoints: [a.example.org]",
	        ", endpoints: [\"192.0.2.7:4501\", \"2001:db8::7\"]"};

	fputs("peers:\n", out);
	for (unsigned i = 0; i < n; i++) {
		struct policy_key key = {{0}};
		char text[96];

		for (size_t j = 0; j < 31; j++)
			key.raw[j] = (uint8_t)pick(seed, 256);
		policy_key_print(&key, text, sizeof(text));
		fprintf(out,
		        "  p%u: { key: '%s%s', address: 10.77.%u.%u, site: s%u, roles: [r%u%s]%s "
		        "}\n",
		        i * 7 % n, text, pick(seed, 2) ? " a \"comment\\\303\251" : "", 1 + i / 200,
		        1 + i % 200, pick(seed, 3), i % 5, pick(seed, 2) ? ", extra" : "",
		        extras[pick(seed, 6)]);
	}
}

static inline void random_token(FILE *out, unsigned *seed, const char *name)
{
	unsigned n = pick(seed, 2) ? pick(seed, 9) : 0, len = 16 + pick(seed, 14);
	struct policy_key key = {{1}};
	char text[96];

	for (size_t j = 0; j < 31; j++)
		key.raw[j] = (uint8_t)pick(seed, 256);
	policy_key_print(&key, text, sizeof(text));
	fprintf(out, "  %s: { until: 203%u-07-09, key: '%s c', count: %u, site: s%u, roles: [%s]",
	        name, pick(seed, 9), text, 1 + pick(seed, 4096), pick(seed, 3),
	        pick(seed, 2) ? "r1, extra, only" : "");
	if (pick(seed, 2))
		fprintf(out, ", range: 10.77.0.0/%u", len);
	fputs(n ? ", except: [" : "", out);
	for (unsigned i = 0; i < n; i++) {
		for (size_t j = 0; j < 31; j++)
			key.raw[j] = (uint8_t)pick(seed, 256);
		policy_key_fingerprint(&key, text);
		fprintf(out, "%s'%s'", i ? ", " : "", text);
	}
	fputs(n ? "] }\n" : " }\n", out);
}

/* policy.yaml; free() it. */
static inline char *random_policy(unsigned *seed)
{
	static const char *const services[] = {"ssh", "pbs", "slurm", "corosync", "web", "ping"};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	unsigned n = 5 + 7 * pick(seed, 12) + 1; /* no multiple of 7 */

	fprintf(out, "serial: %u\ncluster: c%u\noverlay: 10.77.0.0/16\n", 1 + pick(seed, 1000),
	        pick(seed, 99));
	if (pick(seed, 2))
		fprintf(out, "join: %s\n", pick(seed, 2) ? "true" : "false");
	fprintf(out, "firewall: %s\nport: %u\n", pick(seed, 2) ? "guard" : "lockdown",
	        501 + pick(seed, 65000));
	fputs("roles: [extra, z, r0]\n"
	      "services: { web: { ports: [tcp/443, tcp/80, udp/443] }, ping: { ports: [icmp] } }\n"
	      "sites: { s2: , s0: { timezone: America/New_York }, s1: { behind_nat: true } }\n"
	      "allow:\n",
	        out);
	for (unsigned i = 0; i < 12; i++)
		fprintf(out, "- { service: %s, from: r%u, to: %s }\n", services[pick(seed, 6)],
		        pick(seed, 5), pick(seed, 3) ? "extra" : "'*'");
	fprintf(out, "tests: [{ from: p0, to: p1, port: tcp/9, expect: deny }]\n");
	fprintf(out, "manage: [{ from: 2001:db8::/32, service: ssh }]\n");
	fprintf(out, "failover: { f: { holders: [p%u], address: 10.77.200.1 } }\n", pick(seed, n));
	random_peers(out, seed, n);
	if (pick(seed, 2)) {
		fputs("tokens:\n", out);
		random_token(out, seed, "t.1");
		random_token(out, seed, "t");
		random_token(out, seed, "p0");
		random_token(out, seed, "t-1");
	}
	fclose(out);
	return text;
}

#endif
