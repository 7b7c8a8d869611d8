/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole policy: the example, its print, questions to it, and limits. */
#include "policy_bed.h"
#include "policy_random.h"

#include <sys/socket.h>
#include <time.h>

#include "policy/internal.h"

#define EXAMPLE                                                                                    \
	HEAD "enforce: enforce            # observe | prefer | enforce\n"                          \
	     "firewall: guard             # guard or lockdown\n"                                   \
	     "sites:\n"                                                                            \
	     "  hq:  { timezone: Europe/Brussels }\n"                                              \
	     "  aws: { behind_nat: true }\n"                                                       \
	     "services:\n"                                                                         \
	     "  pbs: { ports: [tcp/15001-15004, tcp/17001] }     # built in too\n"                 \
	     "  ssh: { ports: [tcp/22] }\n"                                                        \
	     "allow:\n"                                                                            \
	     "  - { from: exec,  to: head, service: pbs }\n"                                       \
	     "  - { from: head,  to: exec, service: pbs }\n"                                       \
	     "  - { from: admin, to: \"*\",  service: ssh }\n"                                     \
	     "failover:\n"                                                                         \
	     "  pbs-server: { address: 10.77.255.1, holders: [head1, head2] }\n"                   \
	     "peers:\n"                                                                            \
	     "  head1: { key: \"" KEY1 "\", address: 10.77.0.1, site: hq, "                        \
	     "roles: [seed, voter, head, admin], endpoints: [192.0.2.10] }\n"                      \
	     "  head2: { key: \"" KEY2 " the \\\"second\\\"\", address: 10.77.0.2, site: hq, "     \
	     "roles: [head], endpoints: [\"[2001:db8::1]:4501\", h.example.org] }\n"               \
	     "  node17: { key: \"" KEY3 "\", address: 10.77.0.17, site: aws, roles: [exec], "      \
	     "until: 2026-12-31, hours: \"Mon-Fri 18:00-08:00\" }\n"                               \
	     "tests:                       # run by `overlayctl check`\n"                          \
	     "  - { from: node17, to: head1, port: tcp/17001, expect: allow }\n"                   \
	     "  - { from: node17, to: head1, port: tcp/22,    expect: deny }\n"

static void test_example(void **state)
{
	struct policy *policy = policy_good(EXAMPLE);
	const struct policy_peer *peer = policy_peer_by_name(policy, "head2");

	(void)state;
	assert_string_equal(policy->cluster, "hpc");
	assert_int_equal(policy->serial, 7);
	assert_int_equal(policy->overlay4.len, 16);
	assert_int_equal(policy->port, 4500);
	assert_int_equal(policy->n_peers, 3);
	assert_int_equal(policy->n_roles, 5);
	assert_int_equal(policy->n_failovers, 1);
	assert_int_equal(policy->failovers[0].n_holders, 2);
	assert_ptr_equal(&policy->peers[policy->failovers[0].holders[1]], peer);
	assert_string_equal(peer->comment, "the \"second\"");
	assert_int_equal(peer->n_endpoints, 2);
	assert_int_equal(peer->endpoints[0].port, 4501);
	assert_int_equal(peer->endpoints[0].addr.family, AF_INET6);
	assert_int_equal(peer->endpoints[1].addr.family, 0);
	assert_string_equal(peer->endpoints[1].host, "h.example.org");
	assert_string_equal(peer->where.file, "policy.yaml");
	assert_int_equal(peer->where.line, 20);
	assert_ptr_equal(policy_peer_by_key(policy, &peer->key), peer);
	assert_ptr_equal(policy_peer_by_addr(policy, &peer->addr4), peer);
	assert_ptr_equal(policy_peer_by_addr(policy, &peer->addr6), peer);
	assert_null(policy_peer_by_name(policy, "head3"));
	assert_null(policy_peer_by_addr(policy, &policy->failovers[0].address));
	policy_unref(policy_ref(policy));
	policy_unref(policy);
	policy_unref(NULL);
}

static void test_caret(void **state)
{
	static const char text[] = HEAD "sites: { hq: { timezone: Europe/Brussels } }\npeers:\n"
	                                "  caf\303\251:\n"
	                                "    key: \"x\"\t# \303\251\n";
	struct policy_report report;
	struct policy *policy = NULL;
	char *printed;

	(void)state;
	assert_int_equal(text_parse(text, NULL, &policy, &report), -EINVAL);
	printed = report_text(&report);
	assert_string_equal(printed,
	        "policy.yaml:6:3: error: 'caf\303\251' is no name: up to 63 letters and digits, "
	        "with "
	        ". _ - between\n"
	        "    6 |   caf\303\251:\n"
	        "      |   ^\n"
	        "policy.yaml:7:5: error: this peer has no 'site': add site: one of `sites:`\n"
	        "    7 |     key: \"x\"\t# \303\251\n"
	        "      |     ^\n"
	        "policy.yaml:7:5: error: this peer has no 'address': add address: a free one of "
	        "the "
	        "overlay\n"
	        "    7 |     key: \"x\"\t# \303\251\n"
	        "      |     ^\n"
	        "policy.yaml:7:10: error: this key does not begin with ssh-ed25519\n"
	        "    7 |     key: \"x\"\t# \303\251\n"
	        "      |          ^\n");
	free(printed);
	policy_report_clear(&report);
}

static void explain_is(const struct policy *policy, const char *from, const char *to,
        const char *port, int64_t now, bool allow, const char *text)
{
	struct policy_verdict verdict;
	struct policy_ports ports;

	assert_int_equal(policy_ports_parse(port, &ports, NULL, 0), 0);
	assert_int_equal(
	        policy_explain(policy, policy_peer_by_name(policy, from),
	                policy_peer_by_name(policy, to), ports.proto, ports.first, now, &verdict),
	        0);
	assert_int_equal(verdict.allow, allow);
	assert_string_equal(verdict.text, text);
}

static void test_explain(void **state)
{
	struct policy *policy = policy_good(EXAMPLE);
	const struct policy_peer *head1 = policy_peer_by_name(policy, "head1");
	struct policy_verdict verdict = {.allow = true};

	(void)state;
	explain_is(policy, "node17", "head1", "tcp/17001", POLICY_ANY_TIME, true,
	        "allowed by policy.yaml:13: exec -> head on pbs (tcp/17001).");
	explain_is(policy, "node17", "head1", "tcp/22", POLICY_ANY_TIME, false,
	        "denied: no rule lets node17 open tcp/22 on head1. Nearest is policy.yaml:13: exec "
	        "-> "
	        "head on pbs, but tcp/22 is not in it (tcp/15001-15004, tcp/17001).");
	explain_is(policy, "head2", "head1", "tcp/22", POLICY_ANY_TIME, false,
	        "denied: no rule lets head2 open tcp/22 on head1. Nearest is policy.yaml:15: admin "
	        "-> "
	        "* on ssh, but head2 has not the role admin.");
	explain_is(policy, "head1", "node17", "tcp/22", POLICY_ANY_TIME, true,
	        "allowed by policy.yaml:15: admin -> * on ssh (tcp/22).");
	explain_is(policy, "head1", "node17", "icmp", POLICY_ANY_TIME, false,
	        "denied: no rule lets head1 open icmp on node17. Nearest is policy.yaml:14: head "
	        "-> "
	        "exec on pbs, but icmp is not in it (tcp/15001-15004, tcp/17001).");
	/* 2026-11-20 12:00Z is a Friday noon; the site aws keeps UTC */
	explain_is(policy, "node17", "head1", "tcp/17001", 1795176000, false,
	        "denied: node17 (policy.yaml:21) takes part Mon-Fri 18:00-08:00 only, next at "
	        "2026-11-20T18:00:00Z.");
	explain_is(policy, "head1", "node17", "tcp/17001", 1800000000, false,
	        "denied: node17 (policy.yaml:21) was approved until 2027-01-01T00:00:00Z.");
	assert_int_equal(
	        policy_explain(policy, head1, head1, POLICY_TCP, 22, 0, &verdict), -EINVAL);
	assert_true(verdict.allow); /* untouched */
	policy_unref(policy);
}

static void test_allows_between(void **state)
{
	struct policy *policy = policy_good(EXAMPLE);
	const struct policy_peer *head1 = policy_peer_by_name(policy, "head1");
	const struct policy_peer *node17 = policy_peer_by_name(policy, "node17");
	uint64_t bits[1] = {~0ULL};

	(void)state;
	assert_int_equal(policy_allows_between(policy, node17, head1, bits), 1);
	assert_int_equal(bits[0], 1);
	assert_int_equal(policy_allows_between(policy, head1, node17, bits), 2);
	assert_int_equal(bits[0], 2 | 4);
	assert_int_equal(policy_allows_between(policy, head1, head1, bits), 0);
	assert_int_equal(bits[0], 0);
	policy_unref(policy);
}

/* ---- print of parse is the identity: random policies */

static void test_print_is_identity(void **state)
{
	unsigned first = (unsigned)time(NULL), seed;

	(void)state;
	print_message("seed %u\n", first);
	for (unsigned i = 0; i < 100; i++) {
		char *text, *once, *twice;
		struct policy *a, *b;
		struct policy_diff diff;

		seed = first + i;
		text = random_policy(&seed);
		a = policy_good(text);
		once = policy_print(a);
		b = policy_good(once);
		twice = policy_print(b);
		assert_string_equal(once, twice);
		assert_memory_equal(a->digest, b->digest, sizeof(a->digest));
		assert_int_equal(policy_diff(a, b, &diff), 0);
		assert_int_equal(diff.n_rows, 0);
		policy_diff_clear(&diff);
		policy_unref(a);
		policy_unref(b);
		free(text);
		free(once);
		free(twice);
	}
}

/* ---- limits */

static void fault_count_is(const char *main_text, size_t len, const char *message)
{
	const struct policy_file file = {"policy.yaml", main_text, len};
	struct policy_report report;
	struct policy *policy = NULL;

	policy_report_init(&report);
	assert_int_equal(policy_parse(&file, 1, &policy, &report), -EINVAL);
	assert_null(policy);
	assert_true(report.n_faults >= 1);
	assert_string_equal(report.faults[0].message, message);
	policy_report_clear(&report);
}

static void test_large_and_binary(void **state)
{
	const size_t large = 10U << 20;
	char *text = malloc(large);

	(void)state;
	memset(text, '#', large);
	fault_count_is(text, large, "the file has 10485760 bytes; a policy file may have 4194304");
	memcpy(text, "cluster: a\0b\n", 13);
	fault_count_is(text, 13, "a NUL byte: this is not a text file");
	memset(text, '[', POLICY_FILE_MAX);
	fault_count_is(
	        text, POLICY_FILE_MAX, "more than 64 brackets are open here: no policy needs that");
	for (size_t i = 0; i < POLICY_FILE_MAX; i += 61)
		memcpy(text + i, "\n ", 2);
	fault_count_is(
	        text, POLICY_FILE_MAX, "more than 64 brackets are open here: no policy needs that");
	free(text);
}

static void test_thousands_of_faults(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct policy_report report;
	struct policy *policy = NULL;
	struct timespec a, b;

	(void)state;
	fputs(HEAD SITES "peers:\n", out);
	for (int i = 0; i < 20001; i++)
		fprintf(out, "  p%d: { key: x, address: 10.99.0.1, site: nowhere, roles: [a] }\n",
		        i);
	fclose(out);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	assert_int_equal(text_parse(text, NULL, &policy, &report), -EINVAL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	assert_int_equal(report.n_faults, POLICY_FAULTS_MAX);
	assert_int_equal(report.n_errors, 60001);
	assert_true(b.tv_sec - a.tv_sec < 10); /* not quadratic: that would be minutes */
	policy_report_clear(&report);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_example),
	        cmocka_unit_test(test_caret),
	        cmocka_unit_test(test_explain),
	        cmocka_unit_test(test_allows_between),
	        cmocka_unit_test(test_print_is_identity),
	        cmocka_unit_test(test_large_and_binary),
	        cmocka_unit_test(test_thousands_of_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
