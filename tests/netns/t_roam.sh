#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A node whose address changes again and again, as a laptop's does: each time all its tunnels are
# there again within seconds, each carries its own peer's packets alone, and nothing is left behind.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node seed1 hq 10
node node17 aws 17
node node18 aws 18
ALL="seed1 node17 node18"
demo_policy
peer seed1 "head, seed" 10.77.0.1
peer node17 "exec" 10.77.0.17
peer node18 "exec" 10.77.0.18
for x in node17 node18; do
	sed -i 's/endpoints: \[[^]]*\], //' "$BED_DIR/policy/peers.d/$x.yaml"
	n $x ip -6 addr flush dev e0 scope global
done
up $ALL
await 'sa_up seed1 node17 && sa_up seed1 node18' 20 "tunnels with the seed"
cluster_key seed1 $ALL
await 'sign seed1 && have 1 $ALL' 20 "signed mode"
await 'sa_up node17 node18' 40 "a tunnel by the map"
tcp_server seed1 10.77.0.1 17001
tcp_server node17 10.77.0.17 15002
tcp_server node18 10.77.0.18 15002

# What charon calls a reqid; libipsec finds the SA of a packet by it alone.
one_each() { # NODE
	vici "$1" list-sas '{}' list-sa | grep -o '"reqid": "[0-9]*", "state": "INSTALLED"' | sort | uniq -d >"$BED_DIR/twice"
	[ ! -s "$BED_DIR/twice" ]
}
for host in $(seq 28 $((27 + ${MOVES:-8}))); do
	n node18 ip addr flush dev e0 scope global
	n node18 ip addr add 198.51.100.$host/24 dev e0
	n node18 ip route add default via 198.51.100.1
	expect_within 'tcp_open node18 10.77.0.1 17001 1 && tcp_open seed1 10.77.0.18 15002 1' 30 "at .$host: with the seed, both ways"
	expect_within 'tcp_open node18 10.77.0.17 15002 1 && tcp_open node17 10.77.0.18 15002 1' 30 "at .$host: with node17, both ways"
	expect "at .$host: no two peers have one reqid" one_each node18
done
sas_left() { [ "$(vici node18 list-sas '{}' list-sa | grep -c 'list-sa {')" = 2 ]; }
expect_within sas_left 40 "two SAs are left, one for each peer"
expect_within 'ctl seed1 members --json | grep -qF "198.51.100.$host:4500"' 30 "the seed knows where it is now"
alive $ALL
done_testing
