#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Underlays: IPv6 only, IPv4 only and both; names as endpoints; a first endpoint that is dead; one
# that dies while TCP runs over it; IPv6 inside, allowed and denied (P5, M1, M2).
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
site two 203.0.114
node head1 hq 10
node node6 aws 6   # IPv6 alone
node node4 aws 4   # IPv4 alone
node named aws 7   # its endpoint is a name
node dual aws 8    # two endpoints
node lost aws 9    # a name that nobody knows
link head1 two 10 e1
link dual two 8 e1
n node6 ip addr del 198.51.100.6/24 dev e0
n node4 ip -6 addr del 2001:db8:2::4/64 dev e0
ALL="head1 node6 node4 named dual lost"
demo_policy
policy_line 's/aws: {}/aws: {}\n  two: {}/'
policy_line 's/service: pbs }/service: pbs }/; s|  mom: .*|&\n  tick: { ports: [udp/9000] }|; s|^allow:|&\n  - { from: exec, to: head, service: tick }|'
endpoints head1 "192.0.2.10, \"2001:db8:1::10\""
endpoints node6 '"2001:db8:2::6"'
endpoints named "named.example.net"
endpoints dual "198.51.100.222, 203.0.114.8, 198.51.100.8" # the first is nobody's
endpoints lost "lost.example.net"
for x in $ALL; do
	printf '127.0.0.1 localhost\n198.51.100.7 named.example.net\n' >"$BED_DIR/$x/hosts"
	echo 'hosts: files' >"$BED_DIR/$x/nsswitch.conf"
	n $x mount --bind "$BED_DIR/$x/hosts" /etc/hosts
	n $x mount --bind "$BED_DIR/$x/nsswitch.conf" /etc/nsswitch.conf
done
peer head1 "head" 10.77.0.1
peer node6 "exec" 10.77.0.6
peer node4 "exec" 10.77.0.4
peer named "exec" 10.77.0.7
peer dual "exec" 10.77.0.8
peer lost "exec" 10.77.0.9
up $ALL
for port in 17001 22; do tcp_server head1 10.77.0.1 $port; done
udp_server head1 10.77.0.1 9000
for x in node6 node4 named; do
	expect_within "tcp_open $x 10.77.0.1 17001 0.3" 15 "$x reaches head1"
done
runs_over() { vici "$1" list-sas '{}' list-sa | grep -q "\"remote-host\": \"$2\""; } # NODE ADDRESS
expect "P5: node6's tunnel runs over IPv6" runs_over node6 2001:db8:1::10
expect "node4's over IPv4" runs_over node4 192.0.2.10

# IPv6 inside, whatever is outside.
SIX=$(inner6 head1)
SIX6=$(inner6 node6)
for port in 17001 22; do tcp_server head1 "$SIX" $port; done
tcp_server node6 "$SIX6" 15002
for x in node6 node4; do
	expect "M2: $x reaches an allowed port over IPv6" tcp_open $x "$SIX" 17001
	expect_not "M2: $x does not reach another over IPv6" tcp_open $x "$SIX" 22 0.5
done
expect "M2: a peer reaches a peer over IPv6 (mixed underlays)" tcp_open head1 "$SIX6" 15002
expect "IPv6 inside: exec to exec" poll "tcp_open named $SIX6 15002 0.3" 10
n node6 python3 "$BED_HERE/tcp.py" scan "$SIX" "${REACH_PORTS:-1-65535}" 0.5 >"$BED_DIR/scan" 2>&1
expect "M2: of all ports over IPv6, those open are those allowed and held" \
	[ "$(awk '$2 == "open" {printf "%s ", $1}' "$BED_DIR/scan")" = "17001 " ]
udp_client node6 10.77.0.1 9000 tick
expect "M2: an allowed UDP port flows" client_flows node6 tick

# Names: one that resolves, and one that does not.
expect_within '[ "$(peer_state named head1)" = up ]' 3 "named is up"
await 'sa_up lost head1' 15 "the end without a usable name calls itself"
# head1 cannot call lost: it says so where it cannot be called back either.
freeze lost charon
vici head1 terminate '{"ike": "ovl.lost", "force": "yes"}' >/dev/null
expect_within '[ "$(peer_state head1 lost)" = degraded ]' 15 "a name that does not resolve: degraded"
expect_within 'ctl head1 status | grep -w lost | grep -q "lost.example.net"' 5 "and status names it"
note "$(ctl head1 status | grep -w -A1 lost | tr '\n' ' ')"
echo '198.51.100.9 lost.example.net' >>"$BED_DIR/head1/hosts"
thaw lost charon
expect_within '[ "$(peer_state head1 lost)" = up ]' 40 "the name is known: it comes up"

# Two endpoints, the first dead; the one in use dies under running connections.
expect_within 'tcp_open dual 10.77.0.1 17001 0.3' 20 "dual is connected though its first endpoint is dead"
tcp_client dual 10.77.0.1 17001 long
link_of() { field head1 "peer['dual']['link']"; }
used=$(link_of)
note "dual's link: $used"
case $used in
198.51.100.8:*) next=203.0.114.8 ;;
*) next=198.51.100.8 ;;
esac
cut() { if [ $next = 203.0.114.8 ]; then cable_cut dual; else link_cut dual e1; fi; }
cut
expect_within '[ "$(link_of)" = $next:4500 ]' 60 "its link dies: the tunnel moves to $next"
expect_within 'client_flows dual long 0.5' 10 "the TCP connection over it flows on"
expect_not "and was not ended" client_ended dual long
note "it stood still for $(sed -n 's/.*gap //p' "$BED_DIR/dual/client-long.log" | sort -rn | head -1) s"
alive $ALL
done_testing
