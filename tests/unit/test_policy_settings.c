/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults in settings, sites and services: what is wrong, where, and what the report says; to the
 * letter. */
#include "policy_bed.h"

static const struct fault_case cases[] = {
        {"nothing set", "port: 4500\n", NULL,
                "policy.yaml:1:1: error: the policy has no 'cluster': add cluster: NAME, the same "
                "on every node\n"
                "policy.yaml:1:1: error: the policy has no 'serial': add serial: 1, and raise it "
                "with every change\n"},
        {"cluster name",
                "cluster: \"h p c\"\n"
                "serial: 7\n"
                "overlay: 10.77.0.0/16\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:1:10: error: 'h p c' is no name: up to 63 letters and digits, with . "
                "_ - between\n"},
        {"serial 0",
                "cluster: hpc\n"
                "serial: 0\n"
                "overlay: 10.77.0.0/16\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:2:9: error: '0' is no serial: a whole number from 1 on, rising with "
                "every change\n"},
        {"serial -1",
                "cluster: hpc\n"
                "serial: -1\n"
                "overlay: 10.77.0.0/16\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:2:9: error: '-1' is no serial: a whole number from 1 on, rising with "
                "every change\n"},
        {"serial x",
                "cluster: hpc\n"
                "serial: x\n"
                "overlay: 10.77.0.0/16\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:2:9: error: 'x' is no serial: a whole number from 1 on, rising with "
                "every change\n"},
        {"serial 99999999999999999999",
                "cluster: hpc\n"
                "serial: 99999999999999999999\n"
                "overlay: 10.77.0.0/16\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:2:9: error: this serial is too large: at most 9223372036854775807\n"},
        {"serial \"1 2\"",
                "cluster: hpc\n"
                "serial: \"1 2\"\n"
                "overlay: 10.77.0.0/16\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:2:9: error: '1 2' is no serial: a whole number from 1 on, rising with "
                "every change\n"},
        {"serial [1]",
                "cluster: hpc\n"
                "serial: [1]\n"
                "overlay: 10.77.0.0/16\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL, "policy.yaml:2:9: error: a number is wanted here, not a list\n"},
        {"serial 007",
                "cluster: hpc\n"
                "serial: 007\n"
                "overlay: 10.77.0.0/16\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:2:9: error: '007' is no serial: a whole number from 1 on, rising with "
                "every change\n"},
        {"overlay 10.77.0.0",
                "cluster: hpc\n"
                "serial: 7\n"
                "overlay: \"10.77.0.0\"\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:3:10: error: '10.77.0.0' is no network: write one such as "
                "10.77.0.0/16\n"},
        {"overlay 10.77.0.1/16",
                "cluster: hpc\n"
                "serial: 7\n"
                "overlay: \"10.77.0.1/16\"\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:3:10: error: '10.77.0.1/16' has bits set after its prefix: did you "
                "mean 10.77.0.0/16?\n"},
        {"overlay 10.77.0.0/31",
                "cluster: hpc\n"
                "serial: 7\n"
                "overlay: \"10.77.0.0/31\"\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:3:10: error: an overlay of /31 is too small: between /8 and /30, "
                "often /16\n"},
        {"overlay 10.0.0.0/4",
                "cluster: hpc\n"
                "serial: 7\n"
                "overlay: \"10.0.0.0/4\"\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:3:10: error: '10.0.0.0/4' has bits set after its prefix: did you mean "
                "0.0.0.0/4?\n"
                "policy.yaml:3:10: error: an overlay of /4 is too large: between /8 and /30, often "
                "/16\n"},
        {"overlay 127.0.0.0/8",
                "cluster: hpc\n"
                "serial: 7\n"
                "overlay: \"127.0.0.0/8\"\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:3:10: error: the overlay cannot use 127.0.0.0/8, which is every "
                "host's loopback: take a private network such as 10.77.0.0/16\n"},
        {"overlay 224.1.0.0/16",
                "cluster: hpc\n"
                "serial: 7\n"
                "overlay: \"224.1.0.0/16\"\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:3:10: error: the overlay cannot use 224.0.0.0/4, which is multicast: "
                "take a private network such as 10.77.0.0/16\n"},
        {"overlay fd00::/48",
                "cluster: hpc\n"
                "serial: 7\n"
                "overlay: \"fd00::/48\"\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:3:10: error: the overlay's IPv6 network follows from the cluster's "
                "name: give an IPv4 network here, or none\n"},
        {"overlay 10.77.0.0/33",
                "cluster: hpc\n"
                "serial: 7\n"
                "overlay: \"10.77.0.0/33\"\n" SITES "peers:\n"
                "  head1: { key: \"" KEY1
                "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"
                "  node1: { key: \"" KEY2 "\", address: 10.77.0.17, site: aws, roles: [exec] }\n",
                NULL,
                "policy.yaml:3:10: error: '10.77.0.0/33' is no network: write one such as "
                "10.77.0.0/16\n"},
        {"overlay 8.8.0.0/16",
                "cluster: hpc\n"
                "serial: 7\n"
                "overlay: 8.8.0.0/16\n" SITES,
                NULL,
                "policy.yaml:3:10: warning: the overlay is no private network: Internet hosts with "
                "these addresses cannot be reached any more\n"},
        {"enforce observe", GOOD "enforce: observe\n", NULL,
                "policy.yaml:8:10: error: enforce: observe is not supported yet by this release: "
                "write enforce: enforce\n"},
        {"enforce prefer", GOOD "enforce: prefer\n", NULL,
                "policy.yaml:8:10: error: enforce: prefer is not supported yet by this release: "
                "write enforce: enforce\n"},
        {"enforce typo", GOOD "enforce: enforced\n", NULL,
                "policy.yaml:8:10: error: enforce cannot be 'enforced': it is observe, prefer or "
                "enforce (did you mean 'enforce'?)\n"},
        {"join", GOOD "join: maybe\n", NULL,
                "policy.yaml:8:7: error: join cannot be 'maybe': it is false or true\n"},
        {"firewall", GOOD "firewall: open\n", NULL,
                "policy.yaml:8:11: error: firewall cannot be 'open': it is guard or lockdown\n"},
        {"mesh", GOOD "mesh: star\n", NULL,
                "policy.yaml:8:7: error: mesh cannot be 'star': it is full, ondemand or auto\n"},
        {"port 0", GOOD "port: 0\n", NULL,
                "policy.yaml:8:7: error: '0' is no port: a number from 1 to 65535; usual is "
                "4500\n"},
        {"port 65536", GOOD "port: 65536\n", NULL,
                "policy.yaml:8:7: error: '65536' is no port: a number from 1 to 65535; usual is "
                "4500\n"},
        {"port x", GOOD "port: x\n", NULL,
                "policy.yaml:8:7: error: 'x' is no port: a number from 1 to 65535; usual is "
                "4500\n"},
        {"port 500", GOOD "port: 500\n", NULL,
                "policy.yaml:8:7: error: port 500 carries IKE without the marker that lets ESP "
                "share it: usual is 4500\n"},
        {"timezone", HEAD "sites: { hq: { timezone: Europe/Bruxelles } }\n", NULL,
                "policy.yaml:4:26: error: there is no timezone 'Europe/Bruxelles' on this host: "
                "write one such as Europe/Brussels, as in /usr/share/zoneinfo (package tzdata)\n"},
        {"timezone path", HEAD "sites: { hq: { timezone: ../../etc/passwd } }\n", NULL,
                "policy.yaml:4:26: error: there is no timezone '../../etc/passwd' on this host: "
                "write one such as Europe/Brussels, as in /usr/share/zoneinfo (package tzdata)\n"},
        {"timezone no zone", HEAD "sites: { hq: { timezone: tzdata.zi } }\n", NULL,
                "policy.yaml:4:26: error: there is no timezone 'tzdata.zi' on this host: write one "
                "such as Europe/Brussels, as in /usr/share/zoneinfo (package tzdata)\n"},
        {"behind_nat", HEAD "sites: { hq: { behind_nat: yes } }\n", NULL,
                "policy.yaml:4:28: error: behind_nat cannot be 'yes': it is false or true\n"},
        {"site name", HEAD "sites: { \"h q\": {} }\n", NULL,
                "policy.yaml:4:10: error: 'h q' is no name: up to 63 letters and digits, with . _ "
                "- between\n"},
        {"sites list", HEAD "sites: [hq]\n", NULL,
                "policy.yaml:4:8: error: sites must be a mapping: { key: value, ... }\n"},
        {"ports tcp/0", GOOD "services: { a: { ports: [tcp/0] } }\n", NULL,
                "policy.yaml:8:26: error: port 0 does not exist: ports are 1 to 65535\n"},
        {"ports tcp/65536", GOOD "services: { a: { ports: [tcp/65536] } }\n", NULL,
                "policy.yaml:8:26: error: port 65536 is above 65535\n"},
        {"ports tcp/20-10", GOOD "services: { a: { ports: [tcp/20-10] } }\n", NULL,
                "policy.yaml:8:26: error: the range 20-10 is reversed: write 10-20\n"},
        {"ports tcp/x", GOOD "services: { a: { ports: [tcp/x] } }\n", NULL,
                "policy.yaml:8:26: error: 'x' is no port: a number from 1 to 65535 is wanted\n"},
        {"ports sctp/1", GOOD "services: { a: { ports: [sctp/1] } }\n", NULL,
                "policy.yaml:8:26: error: 'sctp/1' is not understood: write tcp/22, udp/5404-5412 "
                "or icmp\n"},
        {"ports tcp", GOOD "services: { a: { ports: [tcp] } }\n", NULL,
                "policy.yaml:8:26: error: 'tcp' is not understood: write tcp/22, udp/5404-5412 or "
                "icmp\n"},
        {"ports tcp/1-", GOOD "services: { a: { ports: [tcp/1-] } }\n", NULL,
                "policy.yaml:8:26: error: '' is no port: a number from 1 to 65535 is wanted\n"},
        {"ports tcp/22-22-22", GOOD "services: { a: { ports: [tcp/22-22-22] } }\n", NULL,
                "policy.yaml:8:26: error: '22-22' is no port: a number from 1 to 65535 is "
                "wanted\n"},
        {"ports icmp/8", GOOD "services: { a: { ports: [icmp/8] } }\n", NULL,
                "policy.yaml:8:26: error: 'icmp/8' is not understood: write tcp/22, udp/5404-5412 "
                "or icmp\n"},
        {"ports missing", GOOD "services: { a: {} }\n", NULL,
                "policy.yaml:8:16: error: this service has no 'ports': add ports: [tcp/22]\n"},
        {"ports no list", GOOD "services: { a: { ports: tcp/22 } }\n", NULL,
                "policy.yaml:8:25: error: ports must be a list: [tcp/22, udp/5404-5412]\n"},
        {"ports empty", GOOD "services: { a: { ports: [] } }\n", NULL,
                "policy.yaml:8:25: error: a service has 1 to 64 port ranges, not 0\n"},
        {"ports overlap", GOOD "services: { a: { ports: [tcp/1-10, tcp/10] } }\n", NULL,
                "policy.yaml:8:36: error: 'tcp/10' overlaps tcp/1-10 of the same service\n"},
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
