#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Paths that are narrower than our packets, behind a router that drops fragments: the overlay's MTU
# follows, and large transfers come through.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/scene.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
up head1 node17
expect_within 'sa_up head1 node17' 15 "the tunnel is up"
DEV=ipsec0 MOST=1400
if kernel_esp; then DEV=ovl0 MOST=1415; fi
mtu() { n "$1" ip -o link show $DEV | sed -n "s/.* mtu \([0-9]*\) .*/\1/p"; }
mtu_is() { [ "$(mtu "$1")" = "$2" ]; }
expect_within 'mtu_is head1 $MOST && mtu_is node17 $MOST' 2 "wide paths: $MOST"
expect_within "field head1 's[\"plane\"][\"path_mtu\"] == 1500' | grep True" 2 "status shows the path"
bulk_sink head1 10.77.0.1 17001
await 'tcp_open node17 10.77.0.1 17001' 5 "reached"
expect "a large transfer" bulk_send node17 10.77.0.1 17001 2

# Between the sites, where no node sees it: large packets vanish until an ICMP error was believed.
n router ip link set br-aws mtu 1400
n router ip link set p-node17 mtu 1400
n node17 ip link set e0 mtu 1500
bulk_sink node17 10.77.0.17 15002
start=$(now_ms)
expect "a path of 1400: a large transfer comes through" bulk_send head1 10.77.0.17 15002 2
note "it took $(($(now_ms) - start)) ms"
expect_within 'mtu_is head1 1335' 6 "head1's MTU is 1335 now"
expect "the log says why" logged head1 "MTU 1335 instead of $MOST: the path to 198.51.100.17 carries 1400 bytes"
expect_within 'ctl head1 doctor | grep "198.51.100.17, carries 1400"' 20 "and so does the doctor"

# The node's own device: at once.
n node17 ip link set e0 mtu 1380
expect_within 'mtu_is node17 1315' 2 "an own device of 1380: 1315"
expect "a large transfer" bulk_send node17 10.77.0.1 17001 2
n node17 ip link set e0 mtu 1400
expect_within 'mtu_is node17 1335' 2 "of 1400: 1335"

# An admin's word on the route; and never less than IPv6 needs.
n node17 ip route change default via 198.51.100.1 mtu 1000
expect_within 'mtu_is node17 1280' 4 "a route of 1000: 1280, the least"
expect_within 'ctl node17 doctor | grep "large packets are sent in fragments"' 20 "and the doctor warns"
n node17 ip route change default via 198.51.100.1
expect_within 'mtu_is node17 1335' 4 "taken back: 1335"

# charon's next device gets it as well.
charon_kill node17
charon_start node17
expect_within 'sa_up node17 head1 && mtu_is node17 1335' 15 "charon restarted: its new device too"
alive head1 node17
done_testing
