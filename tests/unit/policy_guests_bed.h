/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of guests share: a policy with tokens, admissions, and the policy with them. */
#ifndef TESTS_POLICY_GUESTS_BED_H
#define TESTS_POLICY_GUESTS_BED_H

#include "policy_bed.h"

#include "policy/guests.h"

#define TOKEN_KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC"
#define OTHER_KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIENDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND"
#define OLD_KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIERERERERERERERERERERERERERERERERERERERERERE"
#define SCENE                                                                                      \
	HEAD "join: true\n"                                                                        \
	     "sites: { hq: { timezone: Europe/Brussels }, aws: { behind_nat: true } }\n"           \
	     "allow:\n"                                                                            \
	     "  - { from: exec, to: head, service: ssh }\n"                                        \
	     "failover:\n"                                                                         \
	     "  pbs: { address: 10.77.8.255, holders: [seed2, seed1] }\n"                          \
	     "tokens:\n"                                                                           \
	     "  aws: { key: \"" TOKEN_KEY "\", roles: [exec, spare], site: aws, "                  \
	     "range: 10.77.8.0/24, count: 50, until: \"2026-12-01T12:00Z\" }\n"                    \
	     "  lab: { key: \"" OTHER_KEY "\", roles: [exec], site: hq, count: 4, "                \
	     "until: \"2030-12-01T12:00Z\" }\n"                                                    \
	     "peers:\n"                                                                            \
	     "  seed1: { key: \"" KEY1 "\", address: 10.77.0.1, site: hq, roles: [seed, head], "   \
	     "endpoints: [192.0.2.1] }\n"                                                          \
	     "  seed2: { key: \"" KEY2 "\", address: 10.77.0.2, site: hq, roles: [seed, head], "   \
	     "endpoints: [192.0.2.2] }\n"                                                          \
	     "  node17: { key: \"" KEY3 "\", address: 10.77.8.17, site: aws, roles: [exec] }\n"    \
	     "  dot.HPC: { key: \"" OLD_KEY "\", address: 10.77.0.9, site: aws, roles: [exec] }\n" \
	     "tests:\n"                                                                            \
	     "  - { from: node17, to: seed1, port: tcp/22, expect: allow }\n"

#define GUESTS_MAX 512U

static inline struct policy_key key_of(unsigned n)
{
	struct policy_key key;

	memset(&key, 0x55, sizeof(key));
	memcpy(key.raw, &n, sizeof(n));
	return key;
}

static inline struct policy_addr addr_of(const char *text)
{
	struct policy_addr addr = {0};

	assert_int_equal(policy_addr_parse(text, &addr), 0);
	return addr;
}

static inline struct policy_admission admission(
        const char *token, const char *name, unsigned key, const char *addr, uint32_t number)
{
	struct policy_admission a = {.key = key_of(key), .number = number};

	snprintf(a.cluster, sizeof(a.cluster), "hpc");
	snprintf(a.token, sizeof(a.token), "%s", token);
	snprintf(a.name, sizeof(a.name), "%s", name);
	snprintf(a.seed, sizeof(a.seed), "seed1");
	a.addr4 = addr_of(addr);
	return a;
}

static inline struct policy *with(const struct policy *policy, const struct policy_admission *all,
        size_t n, bool used[GUESTS_MAX])
{
	const struct policy_admission **list = calloc(n + 1, sizeof(*list));
	struct policy *out = NULL;

	for (size_t i = 0; i < n; i++)
		list[i] = &all[i];
	assert_int_equal(policy_with_guests(policy, list, n, used, &out), 0);
	assert_non_null(out);
	free(list);
	return out;
}

#endif
