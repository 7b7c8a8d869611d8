#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Fifty nodes that live for a short while, as a cloud starts them: one token lets them in, all at once,
# behind one seed, with real charon. Each works, some die and come back; the fifty-first is refused;
# the token's end is the end of all.
#
#	hq   seed1                aws  c1 … c50, late
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/scene.sh"
. "$(dirname "$0")/cluster.sh"
bed "$@"

MANY=${BED_MANY:-50}
ALL=$(seq -f 'c%g' 1 "$MANY")

site hq 192.0.2
site aws 198.51.100
capture_start
node seed1 hq 10
for x in $ALL; do node "$x" aws $((100 + ${x#c})); done
node late aws 9
demo_policy
policy_line 's|^serial: .*|&\njoin: true|; s|^allow:|roles: [exec]\n&|; /service: mom/d'
peer seed1 "head, seed" 10.77.0.1
policy_push seed1
up seed1
cluster_key seed1 seed1
expect_within 'sign seed1' 10 "seed1 is a cluster of one"
tcp_server seed1 10.77.0.1 17001

newborn() { charon_start "$1" && overlayd_start "$1"; } # a machine with nothing but the software
join_state() { field "$1" 's["join"]["state"]'; }
count() { # COMMAND: for how many of all it is true
	local x i=0
	for x in $ALL; do if "$@" "$x"; then i=$((i + 1)); fi; done
	echo $i
}
joined() { [ "$(join_state "$1")" = joined ]; }
ups() { field seed1 "sum(p['state'] == 'up' for p in s['peers'])"; }
works() { tcp_open "$1" 10.77.0.1 17001 2 >/dev/null; }

ctl seed1 ticket --token cloud --count "$MANY" --ttl 1h --role exec --site aws --range 10.77.8.0/24 \
	--key "$BED_DIR/cluster.key" >"$BED_DIR/ticket" 2>"$BED_DIR/ticket.err" || {
	fail "ticket: $(cat "$BED_DIR/ticket.err")"
	done_testing
}
for x in $ALL late; do newborn "$x"; done
began=$(now_ms)
for x in $ALL; do ctl "$x" join --no-wait --file "$BED_DIR/ticket" >/dev/null || fail "$x cannot begin to join"; done
expect_within '[ "$(ups)" = $MANY ]' 180 "all $MANY are connected with the seed"
note "$MANY guests from the first command to the last tunnel: $(($(now_ms) - began)) ms"
expect_within '[ "$(count joined)" = $MANY ]' 60 "and know that they are members"
expect "each does its work" [ "$(count works)" = "$MANY" ]

addresses() { for x in $ALL; do field "$x" 's["node"]["address4"]'; done | sort -u; }
expect "each has an address of its own, of the token's range" \
	[ "$(addresses | grep -c '^10\.77\.8\.')" = "$MANY" ]
token() { ctl seed1 token list --json | python3 -c "import json, sys; t = json.load(sys.stdin)['tokens'][0]; print($1)"; }
expect "the token is used up" [ "$(token 't["used"]')" = "$MANY" ]
ctl late join --no-wait --file "$BED_DIR/ticket" >/dev/null
expect_within '[ "$(join_state late)" = refused ]' 60 "one more is refused"
expect "with the reason" logged late "has let in its $MANY nodes"
expect "and reaches nothing" sa_none late seed1

# ---------------------------------------------------------------- they die, and one comes back

DEAD=$(printf '%s\n' $ALL | head -n $((MANY / 5)))
for x in $DEAD; do overlayd_kill "$x" && charon_kill "$x"; done
expect_within '[ "$(ups)" = $((MANY - MANY / 5)) ]' 90 "$((MANY / 5)) die without a word, and that is noticed"
expect "the others are as before" works "c$MANY"
newborn c1
expect_within 'works c1' 60 "one of them comes back, without a ticket"

# ---------------------------------------------------------------- the end

alive seed1 "c$MANY" c1
expect "the token is revoked" ctl seed1 token revoke cloud --key "$BED_DIR/cluster.key"
expect_within '[ "$(field seed1 "len(s[\"peers\"])")" = 0 ]' 30 "all of them are gone"
expect_not "nothing of them passes" works "c$MANY"
expect "nothing is left of their tunnels" [ -z "$(sas seed1 c | grep ovl)" ]
capture_check "in all this only UDP 4500 was on the wire"
done_testing
