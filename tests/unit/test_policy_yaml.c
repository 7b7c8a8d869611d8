/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults of the YAML itself: what is wrong, where, and what the report says; to the letter. */
#include "policy_bed.h"

static const struct fault_case cases[] = {
        {"good", GOOD, NULL, ""},
        {"good, peers.d", GOOD, "n3: { key: \"" KEY3 "\", address: 10.77.0.3, site: hq }\n", ""},
        {"empty file", "", NULL,
                "policy.yaml:1:1: error: this file is empty: `overlayctl init` writes a first "
                "policy\n"},
        {"only comments", "# nothing\n", NULL,
                "policy.yaml:1:1: error: this file is empty: `overlayctl init` writes a first "
                "policy\n"},
        {"not yaml", HEAD "sites: [\n", NULL,
                "policy.yaml:5:1: error: this is no valid YAML: flow sequence without a closing "
                "bracket\n"},
        {"not yaml, in a peer file: no faults that follow from it",
                GOOD "allow:\n"
                     "  - { from: gone, to: head, service: ssh }\n",
                "x: { key: \n",
                "peers.d/x.yaml:2:1: error: this is no valid YAML: did not find expected node "
                "content\n"},
        {"bad indent", HEAD " x: 1\n", NULL,
                "policy.yaml:3:10: error: this is no valid YAML: invalid multiline plain key\n"},
        {"tab indent",
                HEAD "sites:\n"
                     "\011hq: {}\n",
                NULL,
                "policy.yaml:5:1: error: this is no valid YAML: tab character may not be used as "
                "indentation\n"},
        {"a list", "- 1\n", NULL,
                "policy.yaml:1:1: error: the policy must be a mapping: { key: value, ... }\n"},
        {"a word", "hello\n", NULL,
                "policy.yaml:1:1: error: the policy must be a mapping: { key: value, ... }\n"},
        {"alias",
                HEAD "sites: &a { hq: {} }\n"
                     "roles: *a\n",
                NULL,
                "policy.yaml:4:11: error: anchors (&name) are not used in a policy: write the "
                "value out\n"
                "policy.yaml:5:9: error: aliases (*name) are not used in a policy: write the value "
                "out, and quote the star of \"*\"\n"},
        {"tag", HEAD "sites: !!map { hq: {} }\n", NULL,
                "policy.yaml:4:14: error: tags (!name) are not used in a policy: delete it\n"},
        {"merge key", HEAD "sites: { <<: { hq: {} } }\n", NULL,
                "policy.yaml:4:10: error: merge keys (<<) are not used in a policy: write the "
                "values out\n"},
        {"two documents",
                HEAD "---\n"
                     "cluster: x\n",
                NULL,
                "policy.yaml:4:1: error: a second document (---) begins here: a policy file holds "
                "one\n"},
        {"directive",
                "%YAML 1.1\n"
                "---\n" HEAD,
                NULL,
                "policy.yaml:2:1: error: directives (%YAML, %TAG) are not used in a policy: delete "
                "them\n"},
        {"duplicate key",
                HEAD "port: 4500\n"
                     "serial: 8\n" SITES,
                NULL,
                "policy.yaml:5:1: error: 'serial' is here twice: it was first given in line 2; "
                "delete one\n"},
        {"duplicate peer in one map",
                GOOD "  node1: { key: \"" KEY2
                     "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:8:3: error: 'node1' is here twice: it was first given in line 7; "
                "delete one\n"},
        {"complex key",
                HEAD "? [a, b]\n"
                     ": c\n",
                NULL, "policy.yaml:4:3: error: a key must be a plain word\n"},
        {"control character", HEAD "# \007bell\n", NULL,
                "policy.yaml:4:3: error: a control character: delete it\n"},
        {"invalid utf-8", HEAD "# caf\351\n", NULL,
                "policy.yaml:4:6: error: this is not UTF-8: save the file as UTF-8\n"},
        {"bidi", HEAD "# abc \342\200\256 def\n", NULL,
                "policy.yaml:4:7: error: an invisible character that changes how the text looks: "
                "delete it\n"},
        {"lone CR", HEAD "# a\015port: 1\n", NULL,
                "policy.yaml:4:4: error: a carriage return without a newline: save the file with "
                "Unix line ends\n"},
        {"deep", HEAD "sites: [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]\n", NULL,
                "policy.yaml:4:23: error: nested more than 16 deep: no policy needs that\n"},
        {"unknown key", GOOD "alow: []\n", NULL,
                "policy.yaml:8:1: error: the policy has no 'alow' (did you mean 'allow'?)\n"},
        {"unknown key, nothing near", GOOD "zebra: []\n", NULL,
                "policy.yaml:8:1: error: the policy has no 'zebra'\n"},
        {"later key", GOOD "grace: 1h\n", NULL,
                "policy.yaml:8:1: error: 'grace' is not supported yet by this release: delete "
                "it\n"},
        {"unknown key of a peer",
                GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.3, site: hq, adress: 1 }\n", NULL,
                "policy.yaml:8:127: error: a peer has no 'adress' (did you mean 'address'?)\n"},
        {"unknown key of a site", HEAD "sites: { hq: { behind_natt: true } }\n", NULL,
                "policy.yaml:4:16: error: a site has no 'behind_natt' (did you mean "
                "'behind_nat'?)\n"},
        {"unknown key of an allow", GOOD "allow: [{ form: head, to: exec, service: ssh }]\n", NULL,
                "policy.yaml:8:9: error: this rule has no 'from': add a role, or \"*\" for any "
                "peer\n"
                "policy.yaml:8:11: error: an allow rule has no 'form' (did you mean 'from'?)\n"},
        {"unknown key of a service", GOOD "services: { a: { port: [tcp/1] } }\n", NULL,
                "policy.yaml:8:16: error: this service has no 'ports': add ports: [tcp/22]\n"
                "policy.yaml:8:18: error: a service has no 'port' (did you mean 'ports'?)\n"},
        {"unknown key of a test",
                GOOD "tests: [{ from: head1, to: node1, prt: tcp/1, expect: deny }]\n", NULL,
                "policy.yaml:8:9: error: this test has no 'port': add port: tcp/22\n"
                "policy.yaml:8:35: error: a test has no 'prt' (did you mean 'port'?)\n"},
        {"unknown key of a failover",
                GOOD "failover: { a: { addres: 10.77.255.1, holders: [head1] } }\n", NULL,
                "policy.yaml:8:16: error: this failover address has no 'address': add address: a "
                "free one of the overlay\n"
                "policy.yaml:8:18: error: a failover address has no 'addres' (did you mean "
                "'address'?)\n"},
        {"unknown key of a manage", GOOD "manage: [{ from: 192.0.2.0/24, service: ssh, x: 1 }]\n",
                NULL, "policy.yaml:8:46: error: a manage rule has no 'x'\n"},
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
