/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults in rules, failover and tests; warnings: what is wrong, where, and what the report says; to
 * the letter. */
#include "policy_bed.h"

static const struct fault_case cases[] = {
        {"allow empty role", GOOD "allow: [{ from: exce, to: head, service: ssh }]\n", NULL,
                "policy.yaml:8:17: error: no peer has the role 'exce' (did you mean 'exec'?): give "
                "it to a peer, or list it under `roles:` if it is to be empty for now\n"},
        {"allow role nowhere", GOOD "allow: [{ from: zebra, to: \"*\", service: ssh }]\n", NULL,
                "policy.yaml:8:17: error: no peer has the role 'zebra': give it to a peer, or list "
                "it under `roles:` if it is to be empty for now\n"},
        {"allow declared role",
                GOOD "roles: [zebra]\n"
                     "allow: [{ from: zebra, to: \"*\", service: ssh }]\n",
                NULL, ""},
        {"allow service", GOOD "allow: [{ from: exec, to: head, service: pbss }]\n", NULL,
                "policy.yaml:8:42: error: there is no service 'pbss' (did you mean 'pbs'?)\n"},
        {"allow missing", GOOD "allow: [{ from: exec }]\n", NULL,
                "policy.yaml:8:9: error: this rule has no 'to': add a role, or \"*\" for any peer\n"
                "policy.yaml:8:9: error: this rule has no 'service': add service: NAME\n"},
        {"allow twice",
                GOOD "allow:\n"
                     "  - { from: exec, to: head, service: ssh }\n"
                     "  - { from: exec, to: head, service: ssh }\n",
                NULL, "policy.yaml:10:5: warning: the same rule stands in line 9 already\n"},
        {"allow mapping", GOOD "allow: { from: exec }\n", NULL,
                "policy.yaml:8:8: error: allow must be a list: - { from: exec, to: head, service: "
                "pbs }\n"},
        {"manage host bits", GOOD "manage: [{ from: 192.0.2.1/24, service: ssh }]\n", NULL,
                "policy.yaml:8:18: error: '192.0.2.1/24' has bits set after its prefix: did you "
                "mean 192.0.2.0/24?\n"},
        {"manage nonsense", GOOD "manage: [{ from: office, service: ssh }]\n", NULL,
                "policy.yaml:8:18: error: 'office' is no network: write 192.0.2.0/24, "
                "2001:db8::/32 or one address\n"},
        {"manage service", GOOD "manage: [{ from: 192.0.2.0/24, service: shs }]\n", NULL,
                "policy.yaml:8:41: error: there is no service 'shs' (did you mean 'ssh'?)\n"},
        {"manage missing", GOOD "manage: [{ service: ssh }]\n", NULL,
                "policy.yaml:8:10: error: this rule has no 'from': add from: a network such as "
                "192.0.2.0/24\n"},
        {"failover outside", GOOD "failover: { f: { address: 10.99.0.1, holders: [head1] } }\n",
                NULL, "policy.yaml:8:27: error: 10.99.0.1 is outside the overlay 10.77.0.0/16\n"},
        {"failover is a peer", GOOD "failover: { f: { address: 10.77.0.17, holders: [head1] } }\n",
                NULL,
                "policy.yaml:8:13: error: the failover address f is the address of peer node1 "
                "(policy.yaml:7): give it another\n"},
        {"failover twice",
                GOOD "failover:\n"
                     "  f: { address: 10.77.255.1, holders: [head1] }\n"
                     "  g: { address: 10.77.255.1, holders: [head1] }\n",
                NULL,
                "policy.yaml:10:3: error: the failover addresses g and f (policy.yaml:9) are the "
                "same: give one another\n"},
        {"failover broadcast",
                GOOD "failover: { f: { address: 10.77.255.255, holders: [head1] } }\n", NULL,
                "policy.yaml:8:27: error: 10.77.255.255 is the broadcast address of the overlay "
                "10.77.0.0/16\n"},
        {"failover bad", GOOD "failover: { f: { address: x, holders: [head1] } }\n", NULL,
                "policy.yaml:8:27: error: 'x' is no IPv4 address: write one of the overlay, such "
                "as 10.77.255.1\n"},
        {"failover holder",
                GOOD "failover: { f: { address: 10.77.255.1, holders: [haed1, head1, head1] } }\n",
                NULL,
                "policy.yaml:8:50: error: there is no peer 'haed1' (did you mean 'head1'?)\n"
                "policy.yaml:8:64: error: holder 'head1' is listed twice: delete one\n"},
        {"failover none", GOOD "failover: { f: { address: 10.77.255.1, holders: [] } }\n", NULL,
                "policy.yaml:8:49: error: a failover address has 1 to 64 holders, not 0\n"},
        {"failover name",
                GOOD "  head1.f: { key: \"" KEY3 "\", address: 10.77.0.3, site: hq }\n"
                     "failover: { f: { address: 10.77.255.1, holders: [head1] } }\n",
                NULL,
                "policy.yaml:8:3: error: the name 'head1.f' is taken by the tunnel for f of head1 "
                "(policy.yaml:9): rename one\n"},
        {"test fails: no rule",
                GOOD "allow: [{ from: exec, to: head, service: pbs }]\n"
                     "tests: [{ from: node1, to: head1, port: tcp/22, expect: allow }]\n",
                NULL,
                "policy.yaml:9:9: error: this test fails: allow is expected, but: denied: no rule "
                "lets node1 open tcp/22 on head1. Nearest is policy.yaml:8: exec -> head on pbs, "
                "but tcp/22 is not in it (tcp/15001-15004, tcp/17001).\n"},
        {"test fails: a rule",
                GOOD "allow: [{ from: exec, to: head, service: pbs }]\n"
                     "tests: [{ from: node1, to: head1, port: tcp/17001, expect: deny }]\n",
                NULL,
                "policy.yaml:9:9: error: this test fails: deny is expected, but: allowed by "
                "policy.yaml:8: exec -> head on pbs (tcp/17001).\n"},
        {"test fails: other role",
                GOOD "allow: [{ from: exec, to: head, service: pbs }]\n"
                     "tests: [{ from: head1, to: node1, port: tcp/17001, expect: allow }]\n",
                NULL,
                "policy.yaml:9:9: error: this test fails: allow is expected, but: denied: no rule "
                "lets head1 open tcp/17001 on node1.\n"},
        {"test peer", GOOD "tests: [{ from: node2, to: head1, port: tcp/1, expect: deny }]\n", NULL,
                "policy.yaml:8:17: error: there is no peer 'node2' (did you mean 'node1'?)\n"},
        {"test itself", GOOD "tests: [{ from: head1, to: head1, port: tcp/1, expect: deny }]\n",
                NULL,
                "policy.yaml:8:9: error: this test asks whether a peer reaches itself: name two "
                "peers\n"},
        {"test range", GOOD "tests: [{ from: node1, to: head1, port: tcp/1-2, expect: deny }]\n",
                NULL, "policy.yaml:8:41: error: a test asks for one port, not a range\n"},
        {"test word", GOOD "tests: [{ from: node1, to: head1, port: tcp/1, expect: maybe }]\n",
                NULL, "policy.yaml:8:56: error: expect cannot be 'maybe': it is allow or deny\n"},
        {"two sites behind NAT",
                HEAD "sites:\n"
                     "  a: { behind_nat: true }\n"
                     "  b: { behind_nat: true }\n"
                     "peers:\n"
                     "  x: { key: \"" KEY1
                     "\", address: 10.77.0.1, site: a, roles: [r], endpoints: [h.example.org] }\n"
                     "  y: { key: \"" KEY2 "\", address: 10.77.0.2, site: a, roles: [r] }\n"
                     "  z: { key: \"" KEY3 "\", address: 10.77.0.3, site: b, roles: [s] }\n"
                     "allow:\n"
                     "  - { from: s, to: r, service: ssh }\n",
                NULL,
                "policy.yaml:6:3: warning: the sites a and b are both behind NAT and line 12 lets "
                "them talk, but peers without endpoints have no path between them without a "
                "gateway: give those of one site endpoints\n"
                "policy.yaml:9:3: warning: y has no endpoints, and neither has any peer that it "
                "may talk with: no tunnel can begin; give one of them `endpoints`\n"},
        {"no endpoints anywhere",
                HEAD "peers:\n"
                     "  x: { key: \"" KEY1 "\", address: 10.77.0.1, roles: [r] }\n"
                     "  y: { key: \"" KEY2 "\", address: 10.77.0.2, roles: [s] }\n"
                     "allow:\n"
                     "  - { from: s, to: r, service: ssh }\n",
                NULL,
                "policy.yaml:5:3: warning: x has no endpoints, and neither has any peer that it "
                "may talk with: no tunnel can begin; give one of them `endpoints`\n"
                "policy.yaml:6:3: warning: y has no endpoints, and neither has any peer that it "
                "may talk with: no tunnel can begin; give one of them `endpoints`\n"},
        {"no endpoints but a seed's",
                HEAD "peers:\n"
                     "  x: { key: \"" KEY1 "\", address: 10.77.0.1, roles: [r] }\n"
                     "  y: { key: \"" KEY2 "\", address: 10.77.0.2, roles: [s] }\n"
                     "  z: { key: \"" KEY3
                     "\", address: 10.77.0.3, roles: [seed], endpoints: [h] }\n"
                     "allow:\n"
                     "  - { from: s, to: r, service: ssh }\n",
                NULL, ""},
        {"all faults at once, in order",
                GOOD "  x: { key: x, address: 10.78.0.1, site: hqq, hours: \"x\" }\n"
                     "allow: [{ from: exce, to: head, service: ssj }]\n",
                "y: { key: \"" KEY1 "\", address: 10.77.0.17, site: mars }\n",
                "policy.yaml:8:13: error: this key does not begin with ssh-ed25519\n"
                "policy.yaml:8:25: error: 10.78.0.1 is outside the overlay 10.77.0.0/16\n"
                "policy.yaml:8:42: error: there is no site 'hqq' (did you mean 'hq'?)\n"
                "policy.yaml:8:54: error: 'x' are no hours: days are Mon Tue Wed Thu Fri Sat Sun, "
                "as in Mon-Fri or Mon,Wed, and then the times\n"
                "policy.yaml:9:17: error: no peer has the role 'exce' (did you mean 'exec'?): give "
                "it to a peer, or list it under `roles:` if it is to be empty for now\n"
                "policy.yaml:9:42: error: there is no service 'ssj' (did you mean 'ssh'?)\n"
                "peers.d/x.yaml:1:1: error: y has the key of head1 (policy.yaml:6): a node is its "
                "key, so delete one of them\n"
                "peers.d/x.yaml:1:1: error: y has the address of node1 (policy.yaml:7): give one "
                "of them another\n"
                "peers.d/x.yaml:1:122: error: there is no site 'mars'\n"},
};

static void test_faults(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		fault_case_run(&cases[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
