#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A change of link under load: the link that a tunnel uses goes silent, twice; the transfers in it go on
# over the other one. What is lost is what was sent until charon knew; after that nothing, and
# never is anything but UDP 4500 on the wire.
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
site two 203.0.114
node head1 hq 10
node dual aws 8
link head1 two 10 e1
link dual two 8 e1
demo_policy
policy_line 's/aws: {}/aws: {}\n  two: {}/'
policy_line 's/^services:/&\n  flow: { ports: [tcp\/9000, udp\/9000] }/; s/^allow:/&\n  - { from: exec, to: head, service: flow }/'
endpoints dual "198.51.100.8, 203.0.114.8"
peer head1 "head" 10.77.0.1
peer dual "exec" 10.77.0.8
up head1 dual
await '[ "$(peer_state head1 dual)" = up ]' 20 "tunnel"
spawn head1 flow "$BED_DIR/head1/flow.log" python3 "$BED_HERE/flow.py" server 10.77.0.1 9000
await "grep -q listening $BED_DIR/head1/flow.log" 5 "server"
await 'tcp_open dual 10.77.0.1 9000' 10 "reached"
RATE=20
for kind in udp tcp; do
	spawn dual "flow-$kind" "$BED_DIR/dual/flow-$kind.log" python3 "$BED_HERE/flow.py" $kind 10.77.0.1 9000 $RATE
	await "grep -q established $BED_DIR/dual/flow-$kind.log" 10 "$kind flow"
done
said() { # KIND WORD: what that flow said last
	awk -v k="$2" '{ for (i = 1; i < NF; i++) if ($i == k) n = $(i + 1) } END { print n + 0 }' "$BED_DIR/dual/flow-$1.log"
}
moved() { # both flows have had N more echoes
	local u t
	u=$(($(said udp back) + $1)) t=$(($(said tcp back) + $1))
	poll "[ \$(said udp back) -ge $u ] && [ \$(said tcp back) -ge $t ]" 40
}
link_of() { field head1 "peer['dual']['link']"; }
silent() { case $1 in 198.51.100.8:*) cable_cut dual ;; *) link_cut dual e1 ;; esac; }
whole() { case $1 in 198.51.100.8:*) cable_mend dual ;; *) link_mend dual e1 two ;; esac; }

ms=0
for turn in first second; do
	expect "both flow" moved 20
	used=$(link_of)
	start=$(mono_ms)
	silent "$used"
	expect_within "[ -n \"\$(link_of)\" ] && [ \"\$(link_of)\" != $used ]" 60 "$turn: $used goes silent, the tunnel takes the other link"
	expect "$turn: both flows go on" moved 20
	ms=$((ms + $(mono_ms) - start))
	whole "$used"
done
expect "both links are whole: both flow" moved 40
for kind in udp tcp; do
	kill -TERM "$(<"$BED_DIR/dual/flow-$kind.pid")"
	await "grep -q ' done ' $BED_DIR/dual/flow-$kind.log" 10 "$kind flow's last word"
	note "$kind: $(sed -n 's/.* done //p' "$BED_DIR/dual/flow-$kind.log")"
done
lost=$(said udp lost)
note "$lost datagrams were lost in two changes, $RATE a second; $ms ms from silence until both flowed again"
expect "no more than were sent in that time" [ "$lost" -le $((ms * RATE / 1000)) ]
expect_not "the TCP stream never ended" grep -h ' ended ' "$BED_DIR/dual/flow-tcp.log"
alive head1 dual
done_testing
