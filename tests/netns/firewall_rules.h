/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ruleset that the firewall's tests share, committed afresh for each, and what passes by it. */
#ifndef TESTS_NETNS_FIREWALL_RULES_H
#define TESTS_NETNS_FIREWALL_RULES_H

#include <net/if_arp.h>

#include "firewall_bed.h"

static struct fw *fw;
static struct fw_error err;
static const struct fw_ports pbs[] = {
        {IPPROTO_TCP, 15001, 15004}, {IPPROTO_TCP, 17001, 17001}, {IPPROTO_ICMP, 0, 0}};
static const struct fw_ports ssh[] = {{IPPROTO_TCP, 22, 22}};

/* We let `exec` peers open pbs; we may open tcp/9000 to `head` peers. node17 is both, node18
 * nothing. */
static inline struct fw_ruleset *base_ruleset(void)
{
	static const struct fw_ports nine[] = {{IPPROTO_TCP, 9000, 9000}};
	struct fw_addr a;
	struct fw_ruleset *rs;

	OK(fw_ruleset_new(&rs));
	OK(fw_ruleset_set_device(rs, "ipsec0"));
	fw_ruleset_set_device_type(rs, ARPHRD_ETHER); /* a veth here */
	a = addr("10.77.0.0/16");
	OK(fw_ruleset_add_prefix(rs, &a));
	a = addr("fd77::/64");
	OK(fw_ruleset_add_prefix(rs, &a));
	a = addr("10.77.0.1");
	OK(fw_ruleset_add_self(rs, &a, 0));
	a = addr("fd77::1");
	OK(fw_ruleset_add_self(rs, &a, 0));
	a = addr("192.0.2.2");
	OK(fw_ruleset_add_endpoint(rs, &a));
	a = addr("2001:db8::2");
	OK(fw_ruleset_add_endpoint(rs, &a));
	for (size_t i = 0; i < 3; i++)
		OK(fw_ruleset_add_protected(rs, &pbs[i]));
	OK(fw_ruleset_add_protected(rs, &ssh[0]));
	a = addr("192.0.2.3");
	OK(fw_ruleset_add_manage(rs, &a, ssh, 1, "manage policy.yaml:9"));
	a = addr("2001:db8::3");
	OK(fw_ruleset_add_manage(rs, &a, ssh, 1, "manage policy.yaml:10"));
	OK(fw_ruleset_add_allow(rs, FW_IN, "exec", pbs, 3, "allow policy.yaml:14 pbs"));
	OK(fw_ruleset_add_allow(rs, FW_OUT, "head", nine, 1, "allow policy.yaml:15 nine"));
	return rs;
}

static inline struct fw_peer node17(uint64_t until_ms)
{
	return (struct fw_peer){.name = "node17",
	        .v4 = addr("10.77.0.2"),
	        .v6 = addr("fd77::2"),
	        .in = "exec",
	        .out = "head",
	        .until_ms = until_ms};
}

static inline int fresh(void **state)
{
	struct fw_ruleset *rs = base_ruleset();
	struct fw_peer p = node17(0);

	(void)state;
	enter(we); /* a failed test may have left us elsewhere */
	OK(fw_open(&fw, &err));
	OK(fw_ruleset_set_peer(rs, &p));
	OK(fw_commit(fw, rs, NULL, &err));
	fw_ruleset_free(rs);
	return 0;
}

static inline int gone(void **state)
{
	(void)state;
	if (fw) {
		OK(fw_remove(fw, &err));
		fw_close(fw);
		fw = NULL;
	}
	return 0;
}

static inline void passes(int ns, const char *from, const char *to, uint16_t port)
{
	int l = socket_at(ns == we ? they : we, SOCK_STREAM, to, port),
	    c = dial(ns, from, to, port);

	if (!connected(c, WAIT_MS))
		fail_msg("%s does not reach %s:%u", from, to, port);
	close(accepted(l));
	close(c);
	close(l);
}

static inline void drops(
        int ns, const char *from, const char *to, uint16_t port, const char *reason)
{
	int l = socket_at(ns == we ? they : we, SOCK_STREAM, to, port);
	uint64_t before = count_of(fw, FW_COUNT_DROP, reason);
	int c = dial(ns, from, to, port);

	await_drop(fw, reason, before);
	if (connected(c, 0))
		fail_msg("%s reaches %s:%u", from, to, port);
	assert_false(await(l, POLLIN, 0));
	close(c);
	close(l);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

static inline int bed(void **state)
{
	(void)state;
	return bed_up();
}

#define RUN_ALL(name, tests)                                                                       \
	do {                                                                                       \
		if (geteuid() != 0) {                                                              \
			puts("1..0 # SKIP needs root");                                            \
			return 0;                                                                  \
		}                                                                                  \
		return cmocka_run_group_tests_name(name, tests, bed, NULL);                        \
	} while (0)

#endif
