#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What may die, and what must hold meanwhile (rules 1 and 9 of the design): charon killed and
# restarted, absent at start, overlayd killed -9 and stopped, the table flushed by somebody.
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
node head1 hq 10
node node17 hq 17
demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
policy_push head1 node17

# vici socket absent at start: overlayd waits, and nothing gets out in the meantime.
overlayd_start head1
overlayd_start node17
expect_not "no charon: nothing gets out" tcp_open node17 10.77.0.1 17001
expect "both daemons wait" overlayd_alive head1
charon_start head1
charon_start node17
expect_within 'sa_up head1 node17' 10 "charon comes: the tunnel too"
tcp_server head1 10.77.0.1 17001
await 'tcp_open node17 10.77.0.1 17001' 5 "reached"
tcp_client node17 10.77.0.1 17001 steady

# overlayd killed at any instant: SAs and rules stay, it takes over what it finds.
uniqueid() { sas head1 node17 | awk '{print $3}'; }
before=$(uniqueid)
overlayd_kill head1
expect "overlayd killed: traffic flows on" client_flows node17 steady
expect_not "and what was denied still is" tcp_open node17 10.77.0.1 22
overlayd_start head1
expect_within 'ctl head1 status || true; client_flows node17 steady 0.5' 5 "started again: it flows"
expect_for '[ "$(uniqueid)" = "'"$before"'" ]' 3 "the same SA, not a new one"
expect_not "and there was no gap" grep -qE 'gap [1-9]' "$BED_DIR/node17/client-steady.log"

# SIGTERM leaves the guard: nothing leaks while it is stopped.
overlayd_stop head1
expect_not "stopped: what was denied still is" tcp_open node17 10.77.0.1 22
overlayd_start head1
await 'client_flows node17 steady 0.5' 10 "flows after a restart"

# charon killed: no clear text, all loaded again, the old connection lives. At either end in turn:
# the fingerprints say whose SA is kept, and the survivor still holds a dead one that it may prefer.
for x in head1 node17; do
	y=$([ $x = head1 ] && echo node17 || echo head1)
	charon_kill $x
	expect_not "charon of $x killed: nothing gets out" tcp_open $x "$(inner $y)" 15002
	charon_start $x
	expect_within "sa_up $x $y" 15 "charon of $x restarted: the tunnel is back"
	expect "the old TCP connection flows on" client_flows node17 steady 15
	expect_within '[ "$(sas head1 node17 | wc -l)" = 1 ] && [ "$(sas node17 head1 | wc -l)" = 1 ]' 15 "one SA is left at each end"
done

# Somebody flushes the ruleset: ours is back within a second; other tables are not ours.
n head1 nft add table inet other
n head1 nft flush ruleset
expect_within 'n head1 nft list table inet overlayd' 1 "flushed: the table is back"
expect_not "and still denies" tcp_open node17 10.77.0.1 22
expect "and still allows" tcp_open node17 10.77.0.1 17001 3
n head1 nft add table inet other
n head1 nft delete table inet overlayd
expect_within 'n head1 nft list table inet overlayd' 1 "deleted: the table is back"
expect "another table is left alone" n head1 nft list table inet other
expect "the connection lived through all of it" client_flows node17 steady 10
expect_not "it never ended" client_ended node17 steady

# The peer dies without a word: noticed, and mended when it is back.
cable_cut node17
expect_within '! sa_up head1 node17' 16 "a silent peer's SA is ended"
cable_mend node17
expect_within 'sa_up head1 node17' 30 "it is back: so is the tunnel"

# --flush takes all of ours away and nothing else.
overlayd_stop node17
n node17 "$BED_B/overlayd" --flush --config "$BED_DIR/node17/etc" --state "$BED_DIR/node17/state" \
	--run /run/overlayd --vici /run/charon.vici >>"$BED_DIR/node17/overlayd.log" 2>&1
expect_not "--flush: no table" n node17 nft list table inet overlayd
expect_not "no rule" sh -c "nsenter -t $(<"$BED_DIR/node17/anchor") -n ip rule | grep -w 4510"
expect_not "no address" sh -c "nsenter -t $(<"$BED_DIR/node17/anchor") -n ip addr | grep -w 10.77.0.17"
expect "no SA" sa_none node17 head1
done_testing
