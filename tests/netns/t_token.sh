#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Nodes that a token lets in, with real charon and two seeds: nobody approves them. What is used up,
# expired, revoked or cancelled, in one sentence; a seed that dies on the way; and what is left of the
# token's secret on the newcomer.
. "$(dirname "$0")/lib.sh"
. "$BED_HERE/scene.sh"
. "$BED_HERE/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100 nat
node seed1 hq 10
node seed2 hq 11
for x in c1 c2 c3 c4; do node $x aws 2${x#c}; done
demo_policy
policy_line 's/^serial: .*/&\njoin: true/; s/^allow:/roles: [exec]\n&/'
peer seed1 "head, seed" 10.77.0.1
peer seed2 "head, seed" 10.77.0.2
policy_push seed1 seed2
cluster_key seed1 seed1 seed2
for x in seed1 seed2; do up $x; done
expect_within 'sign seed1' 20 "two seeds"
for x in c1 c2 c3 c4; do charon_start $x && overlayd_start $x; done

state() { field "$1" 's["join"]["state"]'; }
is() { [ "$(state "$1")" = "$2" ]; }
serving() { [ "$(field "$1" 's["join"]["serving"]')" = True ]; }
address() { field "$1" 's["node"]["address4"]'; }
kept() { test -e "$BED_DIR/$1/state/join"; }
on() { [ $BED_FAILED = 0 ] || done_testing; } # nothing that follows would mean anything
# ticket_make NAME ARGS…: to $BED_DIR/ticket.NAME
ticket_make() {
	local name=$1
	shift
	ctl seed1 ticket --token "$name" --role exec --site aws --range 10.77.8.0/24 "$@" \
		>"$BED_DIR/ticket.$name" 2>"$BED_DIR/ticket.err" || note "$(cat "$BED_DIR/ticket.err")"
	grep -q '^ovl1-secret-' "$BED_DIR/ticket.$name"
}
join() { # NODE TOKEN
	ctl "$1" join --no-wait --name "$1" --site aws --file "$BED_DIR/ticket.$2" >/dev/null
}
join_waiting() { # NODE TOKEN NAME
	n "$1" timeout $((90 * BED_SLOW)) "$BED_B/overlayctl" --config "$BED_DIR/$1/etc" --state "$BED_DIR/$1/state" \
		join --name "$3" --site aws --file "$BED_DIR/ticket.$2"
}

expect_within 'serving seed1 && serving seed2' 30 "take joins"
tcp_server seed1 10.77.0.1 17001
expect "a token for two nodes" ticket_make lab --count 2 --ttl 1h
on

# ---------------------------------------------------------------- let in

began=$(now_ms)
expect "join" join c1 lab
expect_within 'sa_up seed1 c1' 30 "it is connected, and nobody approved it"
note "from the command to the tunnel: $(($(now_ms) - began)) ms"
expect_within 'tcp_open c1 10.77.0.1 17001 1' 20 "TCP flows"
expect_within 'is c1 joined' 45 "it is a complete member"
expect_within 'sa_up seed2 c1' 30 "the other seed knows it, too"
on
expect "at an address of the token's range" grep -q '^10\.77\.8\.' <<<"$(address c1)"
expect_not "what its role may not, it may not" tcp_open c1 10.77.0.1 22 1
expect_within '! kept c1' 10 "the ticket is forgotten"
secret=$(tail -c 60 "$BED_DIR/ticket.lab" | tr -d '\n')
expect_not "nothing of it is on disk" grep -rqF -- "$secret" "$BED_DIR/c1/state" "$BED_DIR/c1/etc"
expect_not "nor in a log" grep -qF -- "$secret" "$BED_DIR/c1/overlayd.log" "$BED_DIR/c1/charon.log"
remembers() { ! python3 "$BED_HERE/memory.py" "$(<"$BED_DIR/$1/overlayd.pid")" "$BED_DIR/ticket.$2"; } # NODE TOKEN
expect_not "nor in memory" remembers c1 lab

first=$(address c1)
overlayd_kill c1
overlayd_start c1
expect_within 'sa_up c1 seed1 && tcp_open c1 10.77.0.1 17001 1' 30 "it is a member after a restart, too"
expect "at the same address" [ "$(address c1)" = "$first" ]

# ---------------------------------------------------------------- a seed dies on the way

overlayd_kill seed1
charon_freeze seed1
expect "one seed is dead; join" join c2 lab
expect_within 'sa_up seed2 c2' 60 "the other lets it in"
charon_thaw seed1
overlayd_start seed1
expect_within 'sa_up seed1 c2' 40 "the dead one comes back, and knows it"
expect_within 'serving seed1' 20 "and takes joins"

# ---------------------------------------------------------------- used up, and raised

expect_not "a third node has to be told" join_waiting c3 lab c3
expect_said "The token 'lab' has let in its 2 nodes: make another, or raise its count" "that the token is used up"
expect "nothing of the cluster was shown to it" test ! -e "$BED_DIR/c3/state/bundle"
expect "meanwhile its secret is in memory" remembers c3 lab
expect "cancel" ctl c3 join --cancel
expect_not "the ticket is forgotten" kept c3
expect_not "in memory, too" remembers c3 lab
expect "nor is it asked for again" is c3 none

# ---------------------------------------------------------------- names, and time

expect "a token for a few seconds" ticket_make brief --count 5 --ttl $((25 * BED_SLOW))s
expect_not "a name that is taken" join_waiting c3 brief C1
expect_said "The name C1 is taken" "says so"
expect "cancel" ctl c3 join --cancel
expect "by another" join c3 brief
expect_within 'sa_up seed1 c3' 20 "it is let in"
expect_within 'logged c3 "The time of the token brief, which let this node in"' 60 "until its time is over, which it tells"
expect_within '! sa_up seed1 c3' 20 "and its tunnel goes"
expect_not "too late" join_waiting c4 brief c4
expect_said "The time of the token 'brief' is over" "says so"
expect "cancel" ctl c4 join --cancel

# ---------------------------------------------------------------- by another token

expect "the old token is put away" ctl seed1 token revoke brief
expect "another one" ticket_make again --count 1 --ttl 1h
expect "whose time was over asks again" join c3 again
expect_within 'sa_up seed1 c3' 30 "and is let in" || note "$(field c3 's["join"]')"
expect_within 'tcp_open c3 10.77.0.1 17001 1' 20 "TCP flows"
expect_within 'is c3 joined && ! kept c3' 45 "it is a complete member"

# ---------------------------------------------------------------- revoked

expect "one guest is revoked" ctl seed1 revoke c2
expect_within 'sa_none seed1 c2 && sa_none seed2 c2' 30 "it is gone from all seeds"
expect "another token" ticket_make second --count 1 --ttl 1h
expect_not "it believes that it is in" ctl c2 join --no-wait --file "$BED_DIR/ticket.second"
expect_said "is a member of the cluster demo already, as c2; if it was revoked there since, remove .*/bundle" "and how to mend that"
overlayd_stop c2
rm "$BED_DIR/c2/state/bundle"
overlayd_start c2
expect "so it asks again" join c2 second
expect_within 'sa_up seed1 c2' 30 "and is let in"
expect "a token" ticket_make more --count 5 --ttl 1h
expect "and it is revoked" ctl seed1 token revoke more
expect_not "nobody comes in by it" join_waiting c4 more c4
expect_said "There is no token 'more' in the policy in force: it was revoked" "and the sentence"
expect_within 'tcp_open c1 10.77.0.1 17001 1' 20 "the first guest is as it was"
expect "its token is revoked, too" ctl seed1 token revoke lab
expect_within 'sa_none seed1 c1 && sa_none seed2 c1' 30 "and so are its guests"
expect_not "nothing of it passes" tcp_open c1 10.77.0.1 17001 2
alive seed1 seed2 c1 c2 c3 c4
done_testing
