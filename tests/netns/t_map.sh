#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The map: peers without endpoints find each other by what each says of where it is. A member that
# says it is where somebody else is gets nothing opened there, and that one a trickle of packets. A
# node that moves is followed.
#
#	hq   seed1 (seed, cluster key)
#	aws  node17, node18, liar: no endpoints    victim: no member
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node seed1 hq 10
node node17 aws 17
node node18 aws 18
node liar aws 19
node victim aws 66
ALL="seed1 node17 node18 liar"
demo_policy
peer seed1 "head, seed" 10.77.0.1
peer node17 "exec" 10.77.0.17
peer node18 "exec" 10.77.0.18
peer liar "exec" 10.77.0.19
for x in node17 node18 liar; do
	sed -i 's/endpoints: \[[^]]*\], //' "$BED_DIR/policy/peers.d/$x.yaml"
	n $x ip -6 addr flush dev e0 scope global # one link each
done

# links NODE MEMBER: where it is, as NODE knows
links() {
	ctl "$1" members --json 2>/dev/null | python3 -c '
import json, sys
m = {m["name"]: m for m in json.load(sys.stdin)["members"]}
print(*(m[sys.argv[1]]["links"] or ["unknown"]))' "$2"
}
by_link() { sa_up "$1" "$2" && [ "$(field "$1" "peer['$2']['link']")" = "$3:4500" ]; } # NODE PEER ADDRESS
reach() { tcp_open "$1" "10.77.0.${2#node}" 15002 1; }

# ---------------------------------------------------------------- no endpoint, and a tunnel

up seed1 node17 node18
await 'sa_up seed1 node17 && sa_up seed1 node18' 20 "tunnels with the seed"
for x in 17 18; do tcp_server node$x 10.77.0.$x 15002; done
expect_within 'ctl node17 status | grep -A2 -w node18 | grep -q "endpoint in the policy"' 10 \
	"without the map two that have no endpoint have no way, and status says so"
expect_not "nothing passes" tcp_open node17 10.77.0.18 15002 0.5
cluster_key seed1 seed1 node17 node18
expect_within 'sign seed1 && have 1 seed1 node17 node18' 20 "a signed bundle is in force"
expect_within 'by_link node17 node18 198.51.100.18 && by_link node18 node17 198.51.100.17' 40 \
	"each says where it is, and they are connected"
expect_within 'reach node17 node18 && reach node18 node17' 10 "traffic passes both ways"
expect "the seed has the map" test "$(links seed1 node17) $(links seed1 node18)" = "198.51.100.17:4500 198.51.100.18:4500"
expect "and each has it from the seed" test "$(links node17 node18)" = "198.51.100.18:4500"
expect_not "a link is not what the firewall takes for an underlay address" \
	sh -c "$(declare -f n table); export BED_DIR=$BED_DIR; table node17 | grep -F 198.51.100.18"
ctl node17 members >"$BED_DIR/members" 2>&1
ctl node17 members --long >>"$BED_DIR/members" 2>&1
expect "the list of members fits a terminal" awk 'length($0) > 100 { exit 1 }' "$BED_DIR/members"
expect "and says who, where and with what" grep -qE '^node18 +10\.77\.0\.18 +aws +1 ' "$BED_DIR/members"

# ---------------------------------------------------------------- one that lies

# It says that it is where the victim is, and those that it should be connected with do not reach it
# where it is.
n liar sysctl -qw net.ipv4.conf.all.arp_ignore=1
n liar ip link add lie type bridge
n liar ip link set lie up
n liar ip addr add 198.51.100.66/32 dev lie
n liar nft -f - <<-'END'
	table inet cut {
		chain in {
			type filter hook prerouting priority -500;
			ip saddr { 198.51.100.17, 198.51.100.18 } drop
		}
		chain out {
			type filter hook output priority -500;
			ip daddr { 198.51.100.17, 198.51.100.18 } drop
		}
	}
END
n victim nft -f - <<-'END'
	table inet heard {
		chain in {
			type filter hook prerouting priority -500;
			udp dport 4500 counter
		}
	}
END
heard_packets() { n victim nft list table inet heard | sed -n 's/.*counter packets \([0-9]*\) .*/\1/p'; }
cp "$BED_DIR/cluster.pub" "$BED_DIR/liar/etc/"
lied=$(mono_ms)
up liar
expect_within 'sa_up seed1 liar' 20 "the liar has a tunnel with the seed"
expect_within 'links node17 liar | grep -qF 198.51.100.66:4500' 20 "and node17 hears that it is where the victim is"
expect_within '[ "$(heard_packets)" -gt 0 ]' 60 "who should be connected with it looks there"
poll false 15
seconds=$((($(mono_ms) - lied) / 1000))
got=$(heard_packets)
note "the victim got $got packets of two nodes in $seconds s"
# A try takes charon 8 s and 4 packets; and none of the addresses is tried twice in a row.
expect "they are few" [ "$got" -le $((2 * 4 * (1 + seconds / 8))) ]
expect_not "no tunnel comes of it" sa_up node17 liar
expect_not "nothing is opened to the victim" sh -c "$(declare -f n table); export BED_DIR=$BED_DIR; table node17 | grep -F 198.51.100.66"
tcp_server victim 198.51.100.66 15002
expect "nor shut: what is no member's is reached as before" tcp_open node17 198.51.100.66 15002 2
expect "the others carry on" reach node17 node18
n liar nft delete table inet cut
expect_within 'sa_up node17 liar && sa_up node18 liar' 90 "where it really is it is found"

# ---------------------------------------------------------------- one that moves

n node18 ip addr flush dev e0 scope global
n node18 ip addr add 198.51.100.28/24 dev e0
n node18 ip route add default via 198.51.100.1
expect_within 'by_link node17 node18 198.51.100.28' 60 "node18 moves, and has its tunnel again"
expect_within 'reach node17 node18 && reach node18 node17' 10 "traffic passes"
expect_within '[ "$(links node17 node18)" = 198.51.100.28:4500 ]' 40 "and the map says where it is now"
alive $ALL
done_testing
