#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Editing the policy (C7, T5): approve and revoke while all else flows; a broken policy changes
# nothing; a revoked key is worthless on every peer and cannot come back.
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

three_nodes
unpeer node18
ALL="head1 node17 node18"
up $ALL
await 'sa_up head1 node17' 10 "tunnel"
tcp_server head1 10.77.0.1 17001
await 'tcp_open node17 10.77.0.1 17001' 5 "node17 reaches head1"
tcp_client node17 10.77.0.1 17001 steady
expect_not "node18 is a stranger" tcp_open node18 10.77.0.1 17001
# A stranger has the policy's files: what it would send to a node in clear ends at home.
shut_endpoint() { n "$1" nft list set inet overlayd endpoint4 | grep -qF "$(underlay "$2")"; }
expect_within 'shut_endpoint node18 head1' 3 "the stranger sends head1 nothing in clear"
expect "a member neither" shut_endpoint node17 head1

peer node18 "exec" 10.77.0.18
policy_push $ALL
expect_within 'tcp_open node18 10.77.0.1 17001 0.2' 5 "approved on all, it reaches head1 by itself"
expect_not "an allowed peer of the same role pair still has no other port" tcp_open node18 10.77.0.1 22
tcp_server node18 10.77.0.18 15002
expect_within 'tcp_open node17 10.77.0.18 15002 0.3' 5 "the other exec node reaches it too"
expect "node17's connection flowed on" client_flows node17 steady
expect_not "and never stopped for long" grep -qE 'gap [1-9]' "$BED_DIR/node17/client-steady.log"

# A broken policy: the one in force stays, whole.
cp "$BED_DIR/policy/policy.yaml" "$BED_DIR/good.yaml"
sed -i 's/to: head, service: pbs/to: haed, service: pbs/' "$BED_DIR/policy/policy.yaml"
policy_push head1
expect_within "grep -q 'haed' $BED_DIR/head1/overlayd.log" 5 "a broken policy is told"
expect "node17 still reaches head1" tcp_open node17 10.77.0.1 17001
expect "node18 still reaches head1" tcp_open node18 10.77.0.1 17001
cp "$BED_DIR/good.yaml" "$BED_DIR/policy/policy.yaml"
policy_push $ALL

# Closing one service: live connections of it die, others do not notice.
tcp_client node17 10.77.0.18 15002 mom
sed -i '/to: exec, service: mom/d' "$BED_DIR/policy/policy.yaml"
policy_push $ALL
expect_within '! client_flows node17 mom 0.3' 5 "a closed service's running connection stops"
expect "the other one flows" client_flows node17 steady
cp "$BED_DIR/good.yaml" "$BED_DIR/policy/policy.yaml"
policy_push $ALL
await 'tcp_open node17 10.77.0.18 15002 0.3' 5 "mom again"

# Revoked: everywhere, at once, and for good. node17 itself keeps the old policy: it is hostile now.
tcp_client node17 10.77.0.18 15002 late
unpeer node17
policy_push head1 node18
ended() { grep -q "ended 10.77.0.17" "$BED_DIR/$1/tcp-$2.log"; }
expect_within 'ended head1 17001' 3 "head1's server sees the revoked peer's connection end"
expect_within 'ended node18 15002' 3 "node18's too"
expect_within 'sa_none head1 node17 && sa_none node18 node17' 3 "no SA to it is left anywhere"
expect_not "it does not get in again" tcp_open node17 10.77.0.1 17001 1
expect_for 'sa_none head1 node17 && sa_none node18 node17' 3 "and no SA comes back, though it tries"
expect "it did try" grep -qE "AUTH(ENTICATION)?_FAILED|no matching peer" "$BED_DIR/head1/charon.log" "$BED_DIR/node17/charon.log"
expect "node18 does not notice" tcp_open node18 10.77.0.1 17001
# What was denied is remembered for some minutes (elements that expire); what is granted must be gone.
expect_not "no set of head1's table grants it anything" sh -c "
	nsenter -t $(<"$BED_DIR/head1/anchor") -n nft list table inet overlayd | grep -w 10.77.0.17 | grep -v expires"
done_testing
