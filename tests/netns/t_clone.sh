#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A machine is copied, key and all, and the copy is started elsewhere while the first one works: the
# first keeps its tunnel and its connections, whatever the copy tries; both ends say what is wrong;
# the copy does not try without end. And the living one is who counts: when the first is dead, the
# copy takes over at once, and a host that died and came up at another address is no copy.
BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
node copy aws 66
demo_policy
policy_line 's/^services:/&\n  flow: { ports: [tcp\/9000, udp\/9000] }/; s/^allow:/&\n  - { from: exec, to: head, service: flow }/'
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
up head1 node17
cp -p "$BED_DIR/node17/state/node.key" "$BED_DIR/copy/state/"
await '[ "$(peer_state head1 node17)" = up ]' 20 "tunnel"
spawn head1 flow "$BED_DIR/head1/flow.log" python3 "$BED_HERE/flow.py" server 10.77.0.1 9000
await "grep -q listening $BED_DIR/head1/flow.log" 5 "server"
await 'tcp_open node17 10.77.0.1 9000' 10 "reached"
RATE=100 TRIES=10 MORE=4
if [ "$BED_SLOW" != 1 ]; then RATE=20 TRIES=4 MORE=2; fi
for kind in udp tcp; do
	spawn node17 "flow-$kind" "$BED_DIR/node17/flow-$kind.log" python3 "$BED_HERE/flow.py" $kind 10.77.0.1 9000 $RATE
	await "grep -q established $BED_DIR/node17/flow-$kind.log" 10 "$kind flow"
done
said() { # KIND WORD: what that flow said last
	awk -v k="$2" '{ for (i = 1; i < NF; i++) if ($i == k) n = $(i + 1) } END { print n + 0 }' "$BED_DIR/node17/flow-$1.log"
}
flows() { # both have had N more echoes
	local u t
	u=$(($(said udp back) + $1)) t=$(($(said tcp back) + $1))
	poll "[ \$(said udp back) -ge $u ] && [ \$(said tcp back) -ge $t ]" 40
}
link_of() { field head1 "peer['node17']['link']"; }
reason() { field "$1" "peer['$2']['why']"; }
# The copy's tunnels that came up, and those of them that head1 ended.
tries() { grep -c 'IKE_SA ovl.head1\[[0-9]*\] established' "$BED_DIR/copy/charon.log"; }
gone() { grep -c 'received DELETE for IKE_SA ovl.head1' "$BED_DIR/copy/charon.log"; }

# ---------------------------------------------------------------- the copy

expect "both flow" flows 50
lost=$(said udp lost)
up copy
expect_within '[ "$(gone)" -ge 1 ]' 40 "head1 turns the copy away"
expect_within '[[ "$(reason head1 node17)" == *"two hosts: 198.51.100.17 keeps the tunnel, 198.51.100.66 is turned away"* ]]' 5 \
	"head1's status says that the key is on two hosts, and where"
expect "it is told once" test "$(grep -c 'its key is in use on two hosts' "$BED_DIR/head1/overlayd.log")" = 1
expect_within '[[ "$(reason copy head1)" == *"key is in use on another host"* ]]' 20 "the copy's status says what may be wrong"
expect "its log too" logged copy 'head1.*key is in use on another host'
expect "the first has the tunnel" test "$(link_of)" = 198.51.100.17:4500

# Every try anew from the start, without the delays that the copy has learned.
for i in $(seq 2 $TRIES); do
	overlayd_kill copy
	vici copy terminate '{"ike": "ovl.head1", "force": "yes"}' >/dev/null
	had=$(gone)
	overlayd_start copy
	await "[ \$(gone) -gt $had ]" 40 "try $i" || break
done
note "$(tries) tunnels of the copy, $(gone) of them ended by head1"
expect "$TRIES tries at least" [ "$(gone)" -ge $TRIES ]
expect "both flow still" flows 50
expect "the first has the tunnel" test "$(link_of)" = 198.51.100.17:4500
expect_not "node17 never lost it" logged node17 'head1 is down'
expect_within '[ "$(grep -c "its key is in use on two hosts" $BED_DIR/head1/overlayd.log)" -le 3 ]' 1 "head1's log is not filled with it"

# It has no end of tries, and ever fewer.
had=$(tries)
ms=$(mono_ms)
await "[ \$(tries) -ge $((had + MORE)) ]" 90 "the copy goes on trying"
ms=$(($(mono_ms) - ms))
note "$MORE more tries took $ms ms"
expect "ever less often" [ "$ms" -ge $((MORE * 500)) ]

for kind in udp tcp; do
	kill -TERM "$(<"$BED_DIR/node17/flow-$kind.pid")"
	await "grep -q ' done ' $BED_DIR/node17/flow-$kind.log" 10 "$kind flow's last word"
	note "$kind: $(sed -n 's/.* done //p' "$BED_DIR/node17/flow-$kind.log")"
done
lost=$(($(said udp lost) - lost))
note "in $(tries) tries of the copy node17 missed $lost answers, $RATE a second: $((lost * 1000 / RATE / $(tries))) ms for each try"
expect "a try of the copy costs node17 less than a quarter of a second of answers" \
	[ "$lost" -le $(($(tries) * RATE * ${BED_SLOW%.*} / 4)) ]
expect_not "the TCP stream never ended" grep -h ' ended ' "$BED_DIR/node17/flow-tcp.log"

# ---------------------------------------------------------------- the first dies

tcp_server copy 10.77.0.17 15002
cable_cut node17
expect_within '[ "$(link_of)" = 198.51.100.66:4500 ]' 60 "the first is dead: the copy has the tunnel"
expect_within 'tcp_open head1 10.77.0.17 15002 0.5' 20 "and is reached"
expect_within '[[ "$(reason head1 node17)" != *"two hosts"* ]]' 5 "and nothing is wrong any more"
# head1's own call to the first, begun when its tunnel was lost, would cross with the copy's.
await '! sas head1 node17 | grep -q CONNECTING' 30 "head1 calls the dead one no more"
cable_mend node17
expect_within '[[ "$(reason head1 node17)" == *"198.51.100.66 keeps the tunnel, 198.51.100.17 is turned away"* ]]' 60 \
	"the first comes back: now it is the second"
expect "the copy keeps the tunnel" test "$(link_of)" = 198.51.100.66:4500

# ---------------------------------------------------------------- a move is no copy

overlayd_kill node17
charon_kill node17
await 'sa_up head1 node17 && [ "$(sas head1 node17 | wc -l)" = 1 ]' 20 "one is left"
overlayd_kill copy
charon_kill copy # it says nothing to anybody
n copy ip addr del 198.51.100.66/24 dev e0
n copy ip addr add 198.51.100.67/24 dev e0
n copy ip route add default via 198.51.100.1
before=$(mono_ms)
charon_start copy
overlayd_start copy
expect_within 'tcp_open head1 10.77.0.17 15002 0.3' 20 "a host that died is up at another address, and reached"
note "$(($(mono_ms) - before)) ms after its charon was started"
expect_within '[ "$(link_of)" = 198.51.100.67:4500 ]' 40 "head1 has no other tunnel"
expect_not "and sees no second host" test -n "$(reason head1 node17 | grep 198.51.100.67)"
alive head1 copy
done_testing
