#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Tunnels on demand, which only kernel ESP can make: a seed's tunnels are there from the start, the
# other pair's comes with its first packet at either end and goes when it is idle; the trap lives
# through charon's crash, moves on from a dead endpoint, and goes with its peer. Nothing of it all
# is on the wire in clear.
BED_CAPTURE=1 BED_NAME=t_ondemand
. "$(dirname "$0")/../netns/lib.sh"
if ! kernel_esp; then
	echo "ok - t_ondemand: only where charon has kernel ESP # SKIP run it with make check-vm"
	exit 0
fi
bed "$@"

# Idle after this many seconds: longer than any step here takes on an emulated machine.
IDLE=${ONDEMAND_IDLE:-20}
overlayd_start() {
	local d=$BED_DIR/$1
	spawn "$1" overlayd "$d/overlayd.log" "$BED_B/overlayd" --config "$d/etc" --state "$d/state" \
		--run /run/overlayd --vici /run/charon.vici --idle $IDLE --foreground
	await "[ -S $(run_dir "$1")/overlayd/admin.sock ]" 10 "overlayd of $1"
}
state_of() { ctl "$1" status --json | jq -r ".peers[] | select(.name == \"$2\").state"; }
# Policies of that kernel with the peer's overlay address: traps, SAs' own.
policies() { n "$1" ip xfrm policy | grep -c " $(inner "$2")/32"; }
has_trap() { [ "$(policies "$1" "$2")" -gt 0 ]; }
no_trap() { [ "$(policies "$1" "$2")" = 0 ]; }
one_sa() { [ "$(sas "$1" "$2" | wc -l)" = 1 ] && sa_up "$1" "$2"; }
waits() { [ "$(state_of "$1" "$2")" = ondemand ]; }

site hq 192.0.2
site aws 198.51.100
site lab 203.0.113
node head1 hq 10
node node17 aws 17
node node18 lab 18
demo_policy
sed -i 's/^serial: .*/&\nmesh: ondemand/; s/^  aws: {}/&\n  lab: {}/' "$BED_DIR/policy/policy.yaml"
peer head1 "head, seed" 10.77.0.1
peer node17 "exec" 10.77.0.17
peer node18 "exec" 10.77.0.18
for x in head1 node17 node18; do
	charon_start $x
	policy_push $x
	overlayd_start $x
done
for x in node17 node18; do
	expect_within "sa_up head1 $x" 20 "the seed and $x are connected"
done
expect_within 'waits node17 node18 && waits node18 node17' 10 "the other pair waits for a packet"
expect "it has a trap" has_trap node17 node18
expect "at both ends" has_trap node18 node17
expect_for 'sa_none node17 node18' 3 "and no SA"

# ---- the first packet

for x in node17 node18; do tcp_server $x "$(inner $x)" 15002; done
# first FROM TO: one connect(). Its SYN is lost to the trap, and the kernel sends it again after 1 s.
first() {
	local start took
	start=$(now_ms)
	expect "the first connection from $1 to $2 succeeds" tcp_open "$1" "$(inner "$2")" 15002 5
	took=$(($(now_ms) - start))
	expect "within 2 s ($took ms, this machine: x$BED_SLOW)" [ $took -lt $((2000 * BED_SLOW)) ]
}
first node17 node18
expect_within 'one_sa node17 node18' 5 "it brought up one SA"
expect_within '[ "$(state_of node17 node18)" = up ]' 5 "which status shows"

gone() { # WHAT
	expect_within 'sa_none node17 node18 && sa_none node18 node17' $((IDLE + 15)) "$1, it goes away"
	expect_within 'waits node17 node18 && waits node18 node17' 10 "and is waited for again"
}
ended() {
	vici node17 terminate '{"ike": "ovl.node18"}' >/dev/null
	gone "ended by hand"
}
gone idle
expect "the trap is still there" has_trap node17 node18
expect "the seed's tunnel has stayed" sa_up head1 node17

first node18 node17
expect_within 'one_sa node18 node17' 5 "the other end brings it up as well"
ended

# ---- both ends at once

tcp_open node17 "$(inner node18)" 15002 5 &
both=$!
tcp_open node18 "$(inner node17)" 15002 5
expect "both ends at once: one gets through" [ $? = 0 ]
wait $both
expect "and the other" [ $? = 0 ]
expect_within 'one_sa node17 node18 && one_sa node18 node17' 20 "one SA is left of it"

# ---- charon dies, and leaves its SAs in the kernel: a packet must not go into them, but wake the trap

outbound() { n node17 ip xfrm state | awk -v to="$(underlay node18)" '/^src/ { hit = $4 == to } hit && $3 == "spi" { print $4 }'; }
left=$(outbound)
expect "(node17 has an SA to node18)" [ -n "$left" ]
charon_kill node17
expect "killed, charon leaves it in the kernel" [ "$(outbound)" = "$left" ]
charon_start node17
expect_within 'sa_up node17 head1' 30 "charon is back, the seed is connected"
expect_within 'waits node17 node18 || sa_up node17 node18' 20 "the pair has its trap again"
expect "in the kernel, too" has_trap node17 node18
expect_within '! outbound | grep -qF "$left"' 10 "what the dead charon left is ended"
expect_within 'tcp_open node17 "$(inner node18)" 15002 5' 30 "and a packet brings its tunnel up"
ended

# ---- a dead endpoint comes first

echo "203.0.113.99, $(underlay node18)" >"$BED_DIR/node18/endpoints"
peer node18 "exec" 10.77.0.18
policy_push node17
expect_within "n node17 ip xfrm policy | grep -q 'dst 203.0.113.99'" 10 "the trap is for the first endpoint"
expect_within 'tcp_open node17 "$(inner node18)" 15002 3' 40 "which is dead: the next one is tried"
expect_within 'sa_up node17 node18' 5 "and has the tunnel"

# ---- revoked, with and without a tunnel

unpeer node18
policy_push head1 node17
expect_within 'no_trap node17 node18' 10 "revoked: no trap and no policy is left"
expect_within 'sa_none node17 node18' 5 "no SA"
expect "no connection" sh -c "[ \"\$(nsenter -t $(<"$BED_DIR/node17/anchor") -n -m -- \
	python3 $BED_HERE/vici.py /run/charon.vici get-conns | grep -c ovl.node18)\" = 0 ]"
expect_not "and nothing passes" tcp_open node17 10.77.0.18 15002
peer node18 "exec" 10.77.0.18
policy_push head1 node17
expect_within 'has_trap node17 node18' 20 "approved again, it has a trap"
unpeer node18
policy_push head1 node17
expect_within 'no_trap node17 node18' 10 "revoked without a tunnel: no trap is left"
expect "nobody called any of this degraded or down" sh -c "! grep -E 'node18 is down|node17 is down' \
	$BED_DIR/node18/overlayd.log"
done_testing
