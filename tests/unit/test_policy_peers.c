/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults in peers: what is wrong, where, and what the report says; to the letter. */
#include "policy_bed.h"

static const struct fault_case cases[] = {
        {"key missing", GOOD "  x: { address: 10.77.0.3, site: hq }\n", NULL,
                "policy.yaml:8:6: error: this peer has no 'key': add key: \"ssh-ed25519 AAAA...\", "
                "as `overlayctl id` prints on that node\n"},
        {"address missing", GOOD "  x: { key: \"" KEY3 "\", site: hq }\n", NULL,
                "policy.yaml:8:6: error: this peer has no 'address': add address: a free one of "
                "the overlay\n"},
        {"site missing", GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.3 }\n", NULL,
                "policy.yaml:8:6: error: this peer has no 'site': add site: one of `sites:`\n"},
        {"site unknown", GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.3, site: hqq }\n", NULL,
                "policy.yaml:8:123: error: there is no site 'hqq' (did you mean 'hq'?)\n"},
        {"key rsa",
                GOOD "  x: { key: \"ssh-rsa AAAAB3NzaC1yc2E\", address: 10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:8:13: error: this key is an ssh-rsa key: a node has an ssh-ed25519 "
                "key, made by overlayd at its first start\n"},
        {"key ecdsa",
                GOOD "  x: { key: \"ecdsa-sha2-nistp256 AAAAE2\", address: 10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:8:13: error: this key is an ecdsa-sha2-nistp256 key: a node has an "
                "ssh-ed25519 key, made by overlayd at its first start\n"},
        {"key pem",
                GOOD "  x: { key: \"-----BEGIN OPENSSH PRIVATE KEY-----\", address: 10.77.0.3, "
                     "site: hq }\n",
                NULL,
                "policy.yaml:8:13: error: this key is a PEM block, perhaps a private key: give the "
                "public one, as `overlayctl id` prints it\n"},
        {"key nonsense", GOOD "  x: { key: hello, address: 10.77.0.3, site: hq }\n", NULL,
                "policy.yaml:8:13: error: this key does not begin with ssh-ed25519\n"},
        {"key alone", GOOD "  x: { key: ssh-ed25519, address: 10.77.0.3, site: hq }\n", NULL,
                "policy.yaml:8:13: error: this key ends after ssh-ed25519: the key itself is "
                "missing\n"},
        {"key short",
                GOOD "  x: { key: \"ssh-ed25519 "
                     "AAAAC3NzaC1lZDI1NTE5AAAAIC9QUsn9FbGaGMWE0BNjVoGYYT8MNOhECe95OHCa\", address: "
                     "10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:8:13: error: this key is too short: an Ed25519 key has 68 "
                "characters\n"},
        {"key long", GOOD "  x: { key: \"" KEY3 "AAAA\", address: 10.77.0.3, site: hq }\n", NULL,
                "policy.yaml:8:13: error: this key is too long: an Ed25519 key has 68 "
                "characters\n"},
        {"key base64",
                GOOD "  x: { key: \"ssh-ed25519 "
                     "AAAAC3NzaC1lZDI1NTE5AAAAIC9QUsn9FbGaGMWE0BNjVoGYYT8MNOhECe95OHCaFZ5!\", "
                     "address: 10.77.0.3, site: hq }\n",
                NULL, "policy.yaml:8:13: error: this key is not base64: copy it again\n"},
        {"key other type inside",
                GOOD "  x: { key: \"ssh-ed25519 "
                     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", "
                     "address: 10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:8:13: error: this key does not hold an Ed25519 key: copy it again\n"},
        {"key low order",
                GOOD "  x: { key: \"ssh-ed25519 "
                     "AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", "
                     "address: 10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:8:13: error: this key is a point of low order, for which anybody can "
                "sign: make a new key\n"},
        {"key not canonical",
                GOOD "  x: { key: \"ssh-ed25519 "
                     "AAAAC3NzaC1lZDI1NTE5AAAAIO7///////////////////////////////////////9/\", "
                     "address: 10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:8:13: error: this key is not in canonical form: make a new key\n"},
        {"key is a list", GOOD "  x: { key: [a], address: 10.77.0.3, site: hq }\n", NULL,
                "policy.yaml:8:13: error: a public key is wanted here, not a list\n"},
        {"duplicate key of a peer",
                GOOD "  x: { key: \"" KEY1 " other comment\", address: 10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:8:3: error: x has the key of head1 (policy.yaml:6): a node is its "
                "key, so delete one of them\n"},
        {"duplicate address", GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.17, site: hq }\n",
                NULL,
                "policy.yaml:8:3: error: x has the address of node1 (policy.yaml:7): give one of "
                "them another\n"},
        {"duplicate name in a file", GOOD,
                "head1: { key: \"" KEY3 "\", address: 10.77.0.3, site: hq }\n",
                "peers.d/x.yaml:1:1: error: there is a peer 'head1' already, at policy.yaml:6\n"},
        {"address outside", GOOD "  x: { key: \"" KEY3 "\", address: 10.78.0.1, site: hq }\n", NULL,
                "policy.yaml:8:106: error: 10.78.0.1 is outside the overlay 10.77.0.0/16\n"},
        {"address network", GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.0, site: hq }\n", NULL,
                "policy.yaml:8:106: error: 10.77.0.0 is the network address of the overlay "
                "10.77.0.0/16\n"},
        {"address broadcast", GOOD "  x: { key: \"" KEY3 "\", address: 10.77.255.255, site: hq }\n",
                NULL,
                "policy.yaml:8:106: error: 10.77.255.255 is the broadcast address of the overlay "
                "10.77.0.0/16\n"},
        {"address bad", GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.300, site: hq }\n", NULL,
                "policy.yaml:8:106: error: '10.77.0.300' is no address: write one such as "
                "10.77.0.1\n"},
        {"address v6", GOOD "  x: { key: \"" KEY3 "\", address: \"fd00::1\", site: hq }\n", NULL,
                "policy.yaml:8:106: error: IPv6 addresses follow from the key: give an IPv4 "
                "address of the overlay\n"},
        {"address without overlay",
                "cluster: hpc\n"
                "serial: 7\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:5:110: error: this address belongs to no overlay: add `overlay: "
                "NETWORK` to policy.yaml, or delete it\n"
                "policy.yaml:6:110: error: this address belongs to no overlay: add `overlay: "
                "NETWORK` to policy.yaml, or delete it\n"},
        {"role star",
                GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.3, site: hq, roles: [\"*\"] }\n",
                NULL, "policy.yaml:8:135: error: '*' means any peer: it is no role to hold\n"},
        {"role twice",
                GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.3, site: hq, roles: [a, a] }\n",
                NULL, "policy.yaml:8:138: error: role 'a' is listed twice: delete one\n"},
        {"roles no list",
                GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.3, site: hq, roles: a }\n", NULL,
                "policy.yaml:8:134: error: roles must be a list: [exec]\n"},
        {"endpoint 192.0.2.300",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [192.0.2.300] }\n",
                NULL,
                "policy.yaml:8:139: error: '192.0.2.300' cannot be an endpoint: write an address, "
                "or a name, and if need be a port: 192.0.2.10, [2001:db8::1]:4500, "
                "head.example.org\n"},
        {"endpoint 0.0.0.0",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [0.0.0.0] }\n",
                NULL,
                "policy.yaml:8:139: error: '0.0.0.0' cannot be an endpoint: it means this host\n"},
        {"endpoint 224.0.0.1",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [224.0.0.1] }\n",
                NULL,
                "policy.yaml:8:139: error: '224.0.0.1' cannot be an endpoint: it is multicast\n"},
        {"endpoint \"ff02::1\"",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [\"ff02::1\"] }\n",
                NULL,
                "policy.yaml:8:139: error: 'ff02::1' cannot be an endpoint: it is multicast\n"},
        {"endpoint \"fe80::1\"",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [\"fe80::1\"] }\n",
                NULL,
                "policy.yaml:8:139: error: 'fe80::1' cannot be an endpoint: it is link-local and "
                "says not by which interface\n"},
        {"endpoint 10.77.0.9",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [10.77.0.9] }\n",
                NULL,
                "policy.yaml:8:139: error: '10.77.0.9' cannot be an endpoint: it is inside the "
                "overlay; give the address outside the tunnel\n"},
        {"endpoint \"192.0.2.1:0\"",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [\"192.0.2.1:0\"] }\n",
                NULL,
                "policy.yaml:8:139: error: '192.0.2.1:0' cannot be an endpoint: its port must be a "
                "number from 1 to 65535\n"},
        {"a comment that turns the text around, by an escape",
                HEAD SITES "peers:\n  n: { key: \"" KEY1
                           " a\\u202eb\", address: 10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:6:13: error: the comment of this key is longer than 255 bytes, more "
                "than one line, or holds characters that cannot be seen: change it\n"},
        {"a comment of two lines",
                HEAD SITES "peers:\n  n: { key: \"" KEY1
                           " a\\nb\", address: 10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:6:13: error: the comment of this key is longer than 255 bytes, more "
                "than one line, or holds characters that cannot be seen: change it\n"},
        {"endpoint \"192.0.2.1:99999\"",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [\"192.0.2.1:99999\"] }\n",
                NULL,
                "policy.yaml:8:139: error: '192.0.2.1:99999' cannot be an endpoint: its port must "
                "be a number from 1 to 65535\n"},
        {"endpoint \"[2001:db8::1\"",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [\"[2001:db8::1\"] }\n",
                NULL,
                "policy.yaml:8:139: error: '[2001:db8::1' cannot be an endpoint: write "
                "[2001:db8::1]:4500\n"},
        {"endpoint -host",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [-host] }\n",
                NULL,
                "policy.yaml:8:139: error: '-host' cannot be an endpoint: write an address, or a "
                "name, and if need be a port: 192.0.2.10, [2001:db8::1]:4500, head.example.org\n"},
        {"endpoint \"[name]:1\"",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [\"[name]:1\"] }\n",
                NULL,
                "policy.yaml:8:139: error: '[name]:1' cannot be an endpoint: write an address, or "
                "a name, and if need be a port: 192.0.2.10, [2001:db8::1]:4500, "
                "head.example.org\n"},
        {"endpoint a..b",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [a..b] }\n",
                NULL,
                "policy.yaml:8:139: error: 'a..b' cannot be an endpoint: write an address, or a "
                "name, and if need be a port: 192.0.2.10, [2001:db8::1]:4500, head.example.org\n"},
        {"endpoint twice",
                GOOD "  x: { key: \"" KEY3 "\", address: 10.77.0.3, site: hq, endpoints: "
                     "[h.example.org, \"h.example.org:4500\"] }\n",
                NULL,
                "policy.yaml:8:154: error: endpoint 'h.example.org:4500' is listed twice: delete "
                "one\n"},
        {"endpoints too many",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, endpoints: [a,b,c,d,e,f,g,h,i] }\n",
                NULL, "policy.yaml:8:138: error: a peer may have 8 endpoints, not 9\n"},
        {"until 2026-02-29",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, until: \"2026-02-29\" }\n",
                NULL,
                "policy.yaml:8:134: error: '2026-02-29' is no date: write 2026-12-31, "
                "2026-12-31T18:00 (the site's time) or 2026-12-31T17:00Z\n"},
        {"until 2026-13-01",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, until: \"2026-13-01\" }\n",
                NULL,
                "policy.yaml:8:134: error: '2026-13-01' is no date: write 2026-12-31, "
                "2026-12-31T18:00 (the site's time) or 2026-12-31T17:00Z\n"},
        {"until tomorrow",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, until: \"tomorrow\" }\n",
                NULL,
                "policy.yaml:8:134: error: 'tomorrow' is no date: write 2026-12-31, "
                "2026-12-31T18:00 (the site's time) or 2026-12-31T17:00Z\n"},
        {"until 2026-12-31T25:00",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, until: \"2026-12-31T25:00\" }\n",
                NULL,
                "policy.yaml:8:134: error: '2026-12-31T25:00' is no date: write 2026-12-31, "
                "2026-12-31T18:00 (the site's time) or 2026-12-31T17:00Z\n"},
        {"until 2026-12-31T18",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, until: \"2026-12-31T18\" }\n",
                NULL,
                "policy.yaml:8:134: error: '2026-12-31T18' is no date: write 2026-12-31, "
                "2026-12-31T18:00 (the site's time) or 2026-12-31T17:00Z\n"},
        {"until 26-12-31",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, until: \"26-12-31\" }\n",
                NULL,
                "policy.yaml:8:134: error: '26-12-31' is no date: write 2026-12-31, "
                "2026-12-31T18:00 (the site's time) or 2026-12-31T17:00Z\n"},
        {"until 2026-12-31T18:00+01",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, until: \"2026-12-31T18:00+01\" }\n",
                NULL,
                "policy.yaml:8:134: error: '2026-12-31T18:00+01' is no date: write 2026-12-31, "
                "2026-12-31T18:00 (the site's time) or 2026-12-31T17:00Z\n"},
        {"hours Mo-Fr 18:00-08:00",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, hours: \"Mo-Fr 18:00-08:00\" }\n",
                NULL,
                "policy.yaml:8:134: error: 'Mo-Fr 18:00-08:00' are no hours: days are Mon Tue Wed "
                "Thu Fri Sat Sun, as in Mon-Fri or Mon,Wed, and then the times\n"},
        {"hours Mon-Fri",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, hours: \"Mon-Fri\" }\n",
                NULL,
                "policy.yaml:8:134: error: 'Mon-Fri' are no hours: days are Mon Tue Wed Thu Fri "
                "Sat Sun, as in Mon-Fri or Mon,Wed, and then the times\n"},
        {"hours Mon-Fri 18:00",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, hours: \"Mon-Fri 18:00\" }\n",
                NULL,
                "policy.yaml:8:134: error: 'Mon-Fri 18:00' are no hours: times are 00:00 to 24:00, "
                "as in 18:00-08:00\n"},
        {"hours Mon 25:00-26:00",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, hours: \"Mon 25:00-26:00\" }\n",
                NULL,
                "policy.yaml:8:134: error: 'Mon 25:00-26:00' are no hours: times are 00:00 to "
                "24:00, as in 18:00-08:00\n"},
        {"hours Mon 08:00-08:00",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, hours: \"Mon 08:00-08:00\" }\n",
                NULL,
                "policy.yaml:8:134: error: 'Mon 08:00-08:00' are no hours: this window is empty; a "
                "whole day is 00:00-24:00\n"},
        {"hours Mon 24:00-08:00",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, hours: \"Mon 24:00-08:00\" }\n",
                NULL,
                "policy.yaml:8:134: error: 'Mon 24:00-08:00' are no hours: this window is empty; a "
                "whole day is 00:00-24:00\n"},
        {"hours Mon 08:00-10:00; Tue 08:00-10:00",
                GOOD
                "  x: { key: \"" KEY3
                "\", address: 10.77.0.3, site: hq, hours: \"Mon 08:00-10:00; Tue 08:00-10:00\" }\n",
                NULL,
                "policy.yaml:8:134: error: 'Mon 08:00-10:00; Tue 08:00-10:00' are no hours: "
                "windows are separated by commas\n"},
        {"hours Mon,Wed",
                GOOD "  x: { key: \"" KEY3
                     "\", address: 10.77.0.3, site: hq, hours: \"Mon,Wed\" }\n",
                NULL,
                "policy.yaml:8:134: error: 'Mon,Wed' are no hours: days are Mon Tue Wed Thu Fri "
                "Sat Sun, as in Mon-Fri or Mon,Wed, and then the times\n"},
        {"peer name", GOOD "  \"bad name\": { key: \"" KEY3 "\", address: 10.77.0.3, site: hq }\n",
                NULL,
                "policy.yaml:8:3: error: 'bad name' is no name: up to 63 letters and digits, with "
                ". _ - between\n"},
        {"peer is a word", GOOD "  x: y\n", NULL,
                "policy.yaml:8:6: error: a peer must be a mapping: { key: value, ... }\n"},
        {"peers list", HEAD "peers: [a]\n", NULL,
                "policy.yaml:4:8: error: peers must be a mapping: { key: value, ... }\n"},
        {"peer file with peers:", GOOD,
                "peers:\n"
                "  a: { key: x }\n",
                "peers.d/x.yaml:1:1: error: a file in peers.d holds peers directly: delete the "
                "line `peers:` and indent one step less\n"},
        {"peer file without name", GOOD,
                "key: \"" KEY3 "\"\n"
                "address: 10.77.0.3\n",
                "peers.d/x.yaml:1:1: error: a file in peers.d begins with the peer's name: NAME: { "
                "key: ..., address: ... }\n"},
        {"peer file empty", GOOD, "# moved\n",
                "peers.d/x.yaml:1:1: error: this file holds no peer: delete it if the peer is to "
                "go\n"},
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
