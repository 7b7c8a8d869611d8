#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Guests, with real charon: nodes that a line lets in by itself, each with one command, and that all
# members know; what ends them: the token's time (in the kernel, while no overlayd runs), revoking one
# of them, or the token; and who does not get in: one too many, a token that is over, revoked or used up,
# a revoked key, a copy of a guest's disk without its key.
#
#	hq   head1  head2 (seeds)        aws  g1 ... g7; later some more
BED_CAPTURE=1
. "$(dirname "$0")/lib.sh"
. "$BED_HERE/cluster.sh"
bed "$@"

GUESTS="g1 g2 g3 g4 g5 g6"
site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node head2 hq 11
demo_policy
policy_line 's/^allow:/roles: [exec, lab]\n&/'
peer head1 "head, seed" 10.77.0.1
peer head2 "head, seed" 10.77.0.2
cluster_key head1 head1 head2
etc=$BED_DIR/head1/etc

on() { [ $BED_FAILED = 0 ] || done_testing; } # nothing that follows would mean anything
code() { # CODE WHAT COMMAND…
	local want=$1 what=$2 rc
	shift 2
	"$@" >"$BED_DIR/last" 2>&1
	rc=$?
	if [ $rc = "$want" ]; then pass "$what (exit $rc)"; else fail "$what: exit $rc, not $want: $(head -c 400 "$BED_DIR/last")"; fi
}
newborn() { node "$1" aws "$2" && charon_start "$1" && overlayd_start "$1"; } # NODE HOST: nothing but the software
# grant NAME OPTIONS…: the ticket is in $BED_DIR/NAME.ticket, what was said beside it in NAME.said.
grant() {
	local name=$1
	shift
	ctl head1 ticket --token "$name" --role exec --site aws "$@" >"$BED_DIR/$name.ticket" 2>"$BED_DIR/$name.said"
}
join() { ctl "$1" join --name "${3:-$1}" --site aws - <"$BED_DIR/$2.ticket"; } # NODE TOKEN [NAME]
join_state() { field "$1" 's["join"]["state"]'; }
# tokens NODE PYTHON: of the rows t by name and their guests g, as in: tokens head1 't["many"]["used"]'
tokens() {
	ctl "$1" token list --json 2>/dev/null | python3 -c "
import json, sys
t = {r['name']: r for r in json.load(sys.stdin)['tokens']}
g = {r['name']: r for row in t.values() for r in row['guests']}
print($2)" 2>/dev/null
}
knows() { # NODE NAMES…: as guests
	local node=$1
	shift
	[ "$(tokens "$node" '" ".join(sorted(g))')" = "$*" ]
}
know() { # NAMES…: both heads, and these guests themselves
	local x
	for x in head1 head2 "$@"; do knows "$x" "$@" || return 1; done
}
address() { field "$1" 's["node"]["address4"]'; }
connected() { # NODE…: each of them with all others of them
	local x
	for x; do
		[ "$(field "$x" "all(peer[x]['state'] == 'up' for x in '$*'.split() if x != '$x')")" = True ] || return 1
	done
}
alone() { # NODE: no tunnel of anybody leads there
	local x
	for x in head1 head2; do sa_none "$x" "$1" || return 1; done
}
named() { grep -q "^$(address "$2") $2 " "$(run_dir "$1")/overlayd/hosts"; } # NODE NAME: getent reads that file
leaks() { python3 "$BED_HERE/ticket.py" "$(cat "$BED_DIR/$1.ticket")" leaks "${@:2}"; }
files() { cat "$etc/policy.yaml" "$etc"/*.d/* | sha256sum; }

# ---------------------------------------------------------------- what makes no token

up head1 head2
expect "sign and load" sign head1
expect_within 'connected head1 head2' 30 "two seeds"
before=$(files)
code 5 "joining is off: no token" grant early
expect "with the reason" grep -q 'joining is off' "$BED_DIR/early.said"
expect "nothing was changed" [ "$(files)" = "$before" ]
sed -i 's/^serial: .*/&\njoin: true/' "$etc/policy.yaml"
expect "join: true" sign head1 --wait
before=$(files)
code 2 "without --token its options mean nothing" ctl head1 ticket --count 3
expect_said '--token' "and that is said"
code 2 "a token without roles" ctl head1 ticket --token many --site aws
expect_said 'exec.*lab' "is told which there are"
code 5 "a token for seeds" grant many --role seed
code 5 "a role that is none" grant many --role exce
code 5 "a range outside the overlay" grant many --range 10.99.0.0/24
code 5 "a token that is over already" grant many --until 2020-01-01
expect "each says why" grep -q 'is over already' "$BED_DIR/many.said"
code 2 "a time that is none" grant many --ttl 5
code 2 "nor a count" grant many --count 0
mv "$etc/cluster.key" "$BED_DIR/away.key"
code 5 "without the cluster's key" grant many
mv "$BED_DIR/away.key" "$etc/cluster.key"
expect "nothing of that has changed anything" [ "$(files)" = "$before" ]
on

# ---------------------------------------------------------------- six, by one command each

expect "a token for six" grant many --count 6 --ttl 1h --range 10.77.8.0/24 --wait
expect "the ticket, and nothing else, is on stdout" grep -qzE '^ovl1-secret-[A-Za-z0-9_-]+.$' "$BED_DIR/many.ticket"
expect "who has it is warned" grep -q 'can let in 6 nodes until' "$BED_DIR/many.said"
code 5 "a second one of that name" ctl head1 ticket --token many --role exec --site aws
tcp_server head1 10.77.0.1 17001
tcp_server head1 10.77.0.1 15022
for x in $GUESTS; do newborn "$x" "2${x#g}"; done
for x in $GUESTS; do (join "$x" many >"$BED_DIR/$x/join.out" 2>&1; echo $? >"$BED_DIR/$x/join.rc") & done
joined() { local x; for x in $GUESTS; do [ -e "$BED_DIR/$x/join.rc" ] || return 1; done; }
expect_within joined 90 "six ask at once"
expect "and are let in, each by one command" [ "$(cat "$BED_DIR"/g?/join.rc | tr -d '\n')" = 000000 ]
# shellcheck disable=SC2086
expect_within "know $GUESTS" 30 "both seeds and all six know all six as guests"
# shellcheck disable=SC2086
expect_within "connected head1 head2 $GUESTS" 60 "there are tunnels between all of them"
on
for x in $GUESTS; do address "$x"; done >"$BED_DIR/addresses"
expect "with six addresses of the token's range" [ "$(sort -u "$BED_DIR/addresses" | grep -c '^10\.77\.8\.')" = 6 ]
for x in $GUESTS; do tcp_open "$x" 10.77.0.1 17001 2 >/dev/null || fail "$x: what its role may is open"; done
expect_not "what it may not is not" tcp_open g1 10.77.0.1 15022 1
tcp_server g2 "$(address g2)" 15002
expect "one guest reaches another, as its role may" tcp_open g1 "$(address g2)" 15002 2
for x in head1 head2 g1 g6; do expect_within "named $x g2 && named $x g5" 5 "$x knows guests by name"; done
expect "token list" ctl head2 token list
expect_said 'many +exec +aws +10\.77\.8\.0/24 +6 of 6 .*g1, g2, g3, g4, g5, g6' "shows what, how many and who"
expect "members" ctl head1 members
expect_said '^g4 .*guest of many' "marks guests"
expect "status" ctl g1 status
expect_said 'guest +of token many' "a guest says so itself"
code 0 "explain answers for a guest" ctl head1 explain g1 head1 tcp/17001
expect_said 'guest of token many' "and says what it is"
code 1 "by its roles" ctl head1 explain "$(address g1)" head1 tcp/22
expect_said 'guest of token many' "by its address, too"

# ---------------------------------------------------------------- one too many, and the secret

node g7 aws 27
overlayd_start g7
(ctl g7 join --name g7 --site aws "$(cat "$BED_DIR/many.ticket")" >"$BED_DIR/g7/join.out" 2>&1; echo $? >"$BED_DIR/g7/join.rc") &
await 'grep -q joining "$BED_DIR/g7/join.out"' 10 "g7 asks"
expect_not "its ticket is not in the list of processes" grep -lsaF "$(cut -c13-60 "$BED_DIR/many.ticket")" /proc/[0-9]*/cmdline
charon_start g7
expect_within '[ -e "$BED_DIR/g7/join.rc" ]' 60 "the seventh"
expect "is refused" [ "$(cat "$BED_DIR/g7/join.rc")" = 5 ]
expect "and told why" grep -q "token 'many' has let in its 6 nodes" "$BED_DIR/g7/join.out"
expect "it reaches nothing" alone g7
expect "cancel" ctl g7 join --cancel
expect "the secret is in no file, log or state of any of them" [ -z "$(leaks many "$BED_DIR"/head? "$BED_DIR"/g?)" ]
on

# ---------------------------------------------------------------- all are killed, and come back

tcp_client g1 10.77.0.1 17001 steady
before=$(sas head1 g1)
for x in head1 head2 g1 g2; do overlayd_kill "$x"; done
for x in head1 head2 g1 g2; do overlayd_start "$x"; done
# shellcheck disable=SC2086
expect_within "know $GUESTS" 30 "seeds and guests are killed and started: they know the same guests"
# shellcheck disable=SC2086
expect_within "connected head1 head2 $GUESTS" 30 "and are connected"
expect "by the very same SA" [ "$(sas head1 g1)" = "$before" ]
expect "what flowed flows on" client_flows g1 steady
expect "used up it is still" [ "$(tokens head2 't["many"]["used"]')" = 6 ]

# ---------------------------------------------------------------- a stolen image

node copy aws 30
cp -a "$BED_DIR/g2/state" "$BED_DIR/g2/etc" "$BED_DIR/copy/"
rm -f "$BED_DIR"/copy/state/node.key*
charon_start copy
overlayd_start copy
expect_within '[ "$(field copy "s[\"node\"][\"name\"]")" = None ]' 20 "a copy of g2's disk without its key is nobody"
expect_not "and reaches nothing" tcp_open copy 10.77.0.1 17001 1
expect "g2 is as before" connected head1 g2

# ---------------------------------------------------------------- one is revoked, one is kept

tcp_client g3 10.77.0.1 17001 cut
code 5 "a name that is nobody's" ctl head1 revoke g33
expect "revoke a guest" ctl head1 revoke g3 --wait
expect_said 'g3 is revoked, a guest of token many' "as a peer"
expect_within 'alone g3' 10 "it is cut off"
expect_not "at once: nothing flows" client_flows g3 cut 1
left="g1 g2 g4 g5 g6"
expect_within 'knows head2 $left && knows g1 $left && knows g6 $left' 20 "and no guest for anybody"
expect_not "restarted it is not let in" eval "overlayd_kill g3 && overlayd_start g3 && tcp_open g3 10.77.0.1 17001 1"
node again aws 31
cp -p "$BED_DIR/g3/state/node.key" "$BED_DIR/again/state/"
charon_start again
overlayd_start again
code 5 "nor by the ticket, with that key" join again many g3
expect_said 'revoked' "and is told why"
expect "cancel" ctl again join --cancel
before=$(sas head1 g4)
expect "approve a guest" ctl head1 approve g4 "$(tokens head1 'g["g4"]["fingerprint"]')" --wait
expect_said 'peer of the policy.s own' "says what that means"
kept=$(address g4)
expect "it keeps its address" grep -q "$kept" "$etc/peers.d/g4.yaml"
expect_within 'knows head1 g1 g2 g5 g6 && knows g1 g1 g2 g5 g6' 20 "it is no guest any more"
expect "and its SA is the same" [ "$(sas head1 g4)" = "$before" ]
expect "which is logged" logged head2 "g4, a guest of token many until now, is a peer of the policy's own"
on

# ---------------------------------------------------------------- the token is revoked

code 5 "token revoke of none" ctl head1 token revoke mony
expect_said 'many' "did you mean"
expect "token revoke" ctl head1 token revoke many --wait
expect_said 'with it 4 guests: g1, g2, g5, g6' "says whom it puts out"
expect_within 'alone g1 && alone g2 && alone g5 && alone g6' 15 "all its guests are cut off"
expect_not "at once: nothing flows" client_flows g1 steady 1
expect_within 'knows head1 && knows head2' 10 "and unknown"
expect "but for the one that was approved" tcp_open g4 10.77.0.1 17001 3
expect "token list" ctl head1 token list
expect_said 'no token' "is empty"

# ---------------------------------------------------------------- used twice, revoked

newborn n1 41
newborn n2 42
expect "a token for one, which is the default" grant once --wait
code 0 "one comes in by it" join n1 once
code 5 "a second does not" join n2 once
expect_said "'once' has let in its 1 node" "and is told why"
ctl n2 join --cancel >/dev/null
code 5 "nor anybody by the revoked one" join n2 many
expect_said "no token 'many'.*revoked" "and is told why"
ctl n2 join --cancel >/dev/null

# ---------------------------------------------------------------- its time is over

# As long as a slow machine needs to be let in by it; what matters is the end.
for ttl in 25 60 120; do
	short=short$ttl x=m$ttl
	newborn $x $((ttl + 50))
	expect "a token for $ttl seconds" grant $short --count 4 --ttl ${ttl}s
	if join $x $short >"$BED_DIR/last" 2>&1 && tcp_open $x 10.77.0.1 17001 2 >/dev/null; then break; fi
done
tcp_client $x 10.77.0.1 17001 short
until=$(tokens head1 "t['$short']['until']")
note "a guest is in, $((until - $(date +%s))) s before its end"
for y in head1 head2 $x; do freeze $y overlayd; done
expect "it flows, with no overlayd running" client_flows $x short
await '[ "$(date +%s)" -ge "$until" ]' $((ttl + 5)) "the end"
expect_within '! client_flows $x short 1' 5 "it ends in the kernel, on time"
expect_not "and nothing new begins" tcp_open $x 10.77.0.1 17001 1
for y in head1 head2 $x; do thaw $y overlayd; done
expect_within 'alone $x' 15 "back again overlayd ends the SA"
expect_not "the guest is not ready" ctl $x status
expect_said "the time of the token $short, which let this node in, is over" "and says why"
over() { [ "$(tokens head1 "t['$short']['over']")" = True ]; }
expect_within over 10 "token list says that it is over"
code 5 "nobody comes in by it any more" join n2 $short
expect_said "time of the token '$short' is over" "and is told why"

expect "no secret is in any file, log or state" [ -z "$(for t in many once; do leaks $t "$BED_DIR"/*/; done)" ]
alive head1 head2 g1 g4 n1 copy
done_testing
