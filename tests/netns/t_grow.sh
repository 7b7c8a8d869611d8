#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A cluster that grows from one node to eight by ticket, join and approve, with real charon: a second
# seed among them, one behind NAT, a seed killed in mid-join; and those who must not get in: a name
# that is taken, a rejected key, a dead node's addresses without its key (C4).
#
#	hq   seed1  n3  n7        aws  seed2  n4  n8        home (NAT)  n5        thief: aws, as n4
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/scene.sh"
. "$(dirname "$0")/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
site home 10.5.0 nat
capture_start
node seed1 hq 10
node n3 hq 3
node n7 hq 7
node seed2 aws 20
node n4 aws 4
node n8 aws 8
node n5 home 5
NEW="n3 n4 n5 n7 n8"
demo_policy
policy_line 's|^serial: .*|&\njoin: true|; s|^allow:|roles: [exec]\n&|'
peer seed1 "head, seed" 10.77.0.1
policy_push seed1
up seed1
cluster_key seed1 seed1
expect_within 'sign seed1' 10 "seed1 is a cluster of one"

newborn() { charon_start "$1" && overlayd_start "$1"; } # a machine with nothing but the software
join_state() { field "$1" 's["join"]["state"]'; }
# pending NODE PYTHON: of the rows p of what waits there, as in: pending seed1 'len(p)'
pending() {
	ctl "$1" pending --json 2>/dev/null | python3 -c "
import json, sys
p = json.load(sys.stdin)['pending']
row = {r['name']: r for r in p}
print($2)" 2>/dev/null
}
key_of() { ctl "$1" id --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])'; }
print_of() { field "$1" 's["node"]["fingerprint"]'; }
waits() { [ "$(pending "$1" "row['$2']['fingerprint']")" = "$(print_of "${3:-$2}")" ]; }
approve() { ctl seed1 approve "$@" --key "$BED_DIR/cluster.key"; }
# all of them have a tunnel with all others of them
meshed() {
	local a b
	for a; do for b; do [ "$a" = "$b" ] || [ "$(peer_state "$a" "$b")" = up ] || return 1; done; done
}

# ---------------------------------------------------------------- a second seed

expect_within 'ctl seed1 ticket >"$BED_DIR/ticket1"' 10 "a ticket"
newborn seed2
expect "seed2 asks" ctl seed2 join --no-wait --file "$BED_DIR/ticket1"
expect_within 'waits seed1 seed2' 20 "it is pending on seed1, with its own key"
expect "and reaches nothing" sa_none seed2 seed1
expect_not "nor does it know the policy" ctl seed2 bundle
expect_not "a name alone does not approve it" approve seed2
print=$(print_of seed2)
expect "its fingerprint does" approve seed2 "${print:0:19}" --role head --role seed --site aws \
	--endpoint "$(underlay seed2)" --address 10.77.0.2
expect_within '[ "$(join_state seed2)" = joined ]' 30 "it is a member"
expect_within '[ "$(field seed2 "s[\"join\"][\"serving\"]")" = True ]' 15 "and serves as a seed"
expect_within 'ctl seed2 ticket >"$BED_DIR/ticket" && [ "$(wc -c <"$BED_DIR/ticket")" -gt "$(wc -c <"$BED_DIR/ticket1")" ]' \
	10 "its ticket names both seeds"

# ---------------------------------------------------------------- five at once

for x in $NEW; do newborn $x; done
for x in $NEW; do ctl $x join --no-wait --file "$BED_DIR/ticket" >/dev/null; done
asked() { local x; for x in $NEW; do [ "$(join_state $x)" = pending ] || return 1; done; }
expect_within asked 40 "five ask at once, and wait"
approved=0
for x in n3 n4 n5; do
	at="--endpoint $(underlay $x)"
	if [ $x = n5 ]; then at=; fi
	# shellcheck disable=SC2086
	if approve $x "$(key_of $x)" --role exec --site hq $at >"$BED_DIR/approve.$x" 2>&1; then
		approved=$((approved + 1))
	else
		cat "$BED_DIR/approve.$x"
	fi
done
expect "three are approved" [ $approved = 3 ]
expect_within '[ "$(join_state n3)$(join_state n4)$(join_state n5)" = joinedjoinedjoined ]' 60 "and are members"
expect_within 'meshed seed1 seed2 n3 n4 n5' 30 "with tunnels among all of them, one behind NAT"
tcp_server n3 "$(field n3 's["node"]["address4"]')" 15002
expect_within 'tcp_open n5 "$(field n3 "s[\"node\"][\"address4\"]")" 15002 0.5' 10 "what the policy allows passes"
expect "who waits still reaches nothing" sa_none n7 seed1

# ---------------------------------------------------------------- who must not get in

expect "n8 wants a name that is taken" ctl n8 join --no-wait --name n3 --file "$BED_DIR/ticket"
marked() { pending "$1" "row['n3']['marks']" | grep -q 'in the policy already'; }
expect_within 'marked seed1 || marked seed2' 60 "which is marked"
expect_not "and its key cannot take n3's place by that" approve n3 "$(print_of n8)" --role exec --site aws
for s in seed1 seed2; do
	if [ "$(pending $s "row['n3']['name']")" = n3 ]; then rejected=$s; fi
done
expect "it is rejected" ctl "$rejected" reject "$(print_of n8)"
expect "n8 gives up" ctl n8 join --cancel
expect "and asks no more" [ "$(join_state n8)" = none ]
tail -n 1 "$BED_DIR/ticket" | tr 'A-Za-z' 'B-ZAb-za' >"$BED_DIR/wrong"
expect_not "a ticket that was copied badly" ctl n8 join --no-wait --file "$BED_DIR/wrong"
expect_not "a member does not join again" ctl n3 join --no-wait --file "$BED_DIR/ticket"
expect "and is what it was" [ "$(peer_state n3 seed1)" = up ]

# ---------------------------------------------------------------- a seed killed in mid-join

overlayd_kill seed2
charon_kill seed2
expect "n7 is approved while seed2 is dead" approve n7 "$(key_of n7)" --role exec --site hq --endpoint "$(underlay n7)"
expect_within '[ "$(field n7 "s[\"node\"][\"name\"]")" = n7 ]' 60 "seed1 lets it in"
expect_within 'meshed seed1 n3 n4 n5 n7' 30 "it is connected with all that live"
expect_within 'logged n7 "not connected yet with 1 of those .*: seed2"' 45 "and says who is missing"
charon_start seed2
overlayd_start seed2
expect_within 'meshed seed1 seed2 n3 n4 n5 n7' 40 "seed2 is back: all are connected"
expect "n8 asks again, by its own name" ctl n8 join --no-wait --file "$BED_DIR/ticket"
expect "and is approved, rejected or not" approve n8 "$(key_of n8)" --role exec --site aws --endpoint "$(underlay n8)"
expect_within '[ "$(join_state n8)" = joined ]' 90 "the eighth"
expect_within 'meshed seed1 seed2 n3 n4 n5 n7 n8' 30 "all are connected"

# ---------------------------------------------------------------- C4: a dead node's addresses

dead=$(field n4 's["node"]["address4"]')
overlayd_kill n4
charon_kill n4
cable_cut n4
expect_within '[ "$(peer_state seed1 n4)" != up ]' 60 "n4 dies, and that is noticed"
node thief aws 4
newborn thief
n thief ip addr add "$dead/32" dev lo
n thief ip route add 10.77.0.0/16 dev e0 src "$dead"
expect_not "with both addresses of n4 but not its key nothing opens" tcp_open thief 10.77.0.1 17001 1
expect "it may ask, as n4" ctl thief join --no-wait --name n4 --file "$BED_DIR/ticket"
taken() { pending "$1" "row['n4']['marks']" | grep -q 'in the policy already'; }
expect_within 'taken seed1 || taken seed2' 60 "and is marked as somebody else"
expect_for '[ "$(peer_state seed1 n4)" != up ]' 3 "nobody takes it for n4"
alive seed1 seed2 n3 n5 n7 n8 thief

# ---------------------------------------------------------------- nothing stays behind

left() { vici "$1" get-conns '{}' | grep -E 'ovl\./ask' || vici "$1" get-shared '{}' | grep '"keys": \["'; }
for x in n3 n5 n7 n8; do expect_not "$x has nothing left of joining" left $x; done
capture_check "in all this only UDP 4500 was on the wire"
expect "and nothing to many at once" [ -z "$(wire 'ip multicast and not igmp' | head -n 1)" ]
done_testing
