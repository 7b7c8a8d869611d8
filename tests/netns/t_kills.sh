#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# overlayd killed -9 at random instants while the policy changes (rule 9): each time it comes back to
# what the policy says, and what flowed flows. SEED=… replays the instants (not the scheduler's).
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$SEED
note "SEED=$SEED"

three_nodes
cp "$BED_DIR/policy/peers.d/node18.yaml" "$BED_DIR/node18.yaml"
up head1 node17 node18
tcp_server head1 10.77.0.1 17001
await 'tcp_open node17 10.77.0.1 17001 0.3 && tcp_open node18 10.77.0.1 17001 0.3' 10 "both in"
tcp_client node17 10.77.0.1 17001 steady

in_=1
for round in $(seq 10); do
	if [ $in_ = 1 ]; then unpeer node18; else cp "$BED_DIR/node18.yaml" "$BED_DIR/policy/peers.d/"; fi
	in_=$((1 - in_))
	policy_line "s/serial: .*/serial: $((round + 1))/"
	wait_ms=$((RANDOM % 400))
	policy_push head1
	kill_at=$(($(now_ms) + wait_ms))
	poll '[ "$(now_ms)" -ge '$kill_at' ]' 2
	overlayd_kill head1
	if [ "$round" = 4 ] || [ "$round" = 7 ]; then # and charon too
		charon_kill head1
		charon_start head1
	fi
	overlayd_start head1
	if [ $in_ = 1 ]; then
		expect_within 'tcp_open node18 10.77.0.1 17001 0.3' 15 "round $round, killed after $wait_ms ms: node18 is in"
	else
		expect_within 'sa_none head1 node18 && ! tcp_open node18 10.77.0.1 17001 0.2' 10 "round $round, killed after $wait_ms ms: node18 is out"
	fi
	expect "round $round: node17 flows" client_flows node17 steady 10
done
# Once more within the start itself: killed before it is ready.
expect_not "a second one beside it does not start" n head1 timeout 5 "$BED_B/overlayd" --config "$BED_DIR/head1/etc" --state "$BED_DIR/head1/state"
expect_said "another overlayd answers here" "and says why"
overlayd_kill head1
for round in $(seq 5); do
	spawn head1 overlayd "$BED_DIR/head1/overlayd.log" "$BED_B/overlayd" --config "$BED_DIR/head1/etc" --state "$BED_DIR/head1/state"
	kill_at=$(($(now_ms) + RANDOM % 150))
	poll '[ "$(now_ms)" -ge '$kill_at' ]' 2
	overlayd_kill head1
done
overlayd_start head1
expect_within '[ "$(field head1 "s[\"state\"], s[\"settled\"]")" = "ready True" ]' 10 "after five starts cut short: ready and settled"
expect "node17 flows" client_flows node17 steady 10
expect_not "it was never ended" client_ended node17 steady
expect_not "what is denied is denied" tcp_open node17 10.77.0.1 22 0.5
expect_within '[ "$(sas head1 node17 | wc -l)" = 1 ]' 10 "one SA is left"
done_testing
