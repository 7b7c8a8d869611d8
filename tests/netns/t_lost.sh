#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A node that has lost its policy: with a kept copy it runs on, without one it lets nobody in; and
# --flush, which takes all of ours away and says what.
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
node head1 hq 10
node node17 hq 17
demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
up head1 node17
expect_within 'sa_up head1 node17' 15 "the tunnel is up"
tcp_server head1 10.77.0.1 17001
await 'tcp_open node17 10.77.0.1 17001' 5 "reached"
tcp_client node17 10.77.0.1 17001 steady

# The files are broken, a copy was kept: nothing changes but what the log and the status say.
overlayd_kill head1
echo "cluster: [" >"$BED_DIR/head1/etc/policy.yaml"
overlayd_start head1
expect "broken files, a kept copy: it flows on" client_flows node17 steady
expect_not "status is not well" ctl head1 status
expect_said "older policy" "status names the older policy"

lets_in() { table "$1" | sed -n '/set \(in\|out\|self\)[46]/,/}/p' | grep elements; }
# Neither files nor a copy: whom an earlier run let in, and why, nobody knows.
overlayd_kill head1
rm -f "$BED_DIR/head1/state/policy.yaml" "$BED_DIR/head1"/state/*policy*
expect "peers are in its sets" lets_in head1
rules() { table head1 | sed 's/counter packets.*bytes [0-9]*//' | grep -c 'comment "drop'; }
before=$(rules)
overlayd_start head1
expect_within 'sa_none head1 node17' 5 "no policy at all: its tunnels are ended"
expect_within '[ -z "$(vici head1 get-conns | grep -F ovl.)" ]' 5 "its connections are unloaded"
expect_not "the open connection falls silent" client_flows node17 steady 2
expect "the table's rules stay" [ "$(rules)" = "$before" ]
expect "and there are some" [ "$before" -gt 3 ]
expect_not "no peer is in its sets" lets_in head1
expect_not "status is not well" ctl head1 status
expect_said "no valid policy" "and how to mend it"
expect "the log too" logged head1 "no policy is in force and none was kept"
alive head1

# charon comes anew with connections that somebody kept: not with ours.
charon_kill head1
charon_start head1
expect_for 'sa_none head1 node17' 2 "charon restarted: still no tunnel"

# Mended: all is back by itself.
rm "$BED_DIR/head1/etc/policy.yaml"
policy_push head1
expect_within 'sa_up head1 node17' 15 "mended: the tunnel is back"
expect_within 'client_flows node17 steady 0.5' 30 "the old connection flows on"

# --flush says what it takes away; the key, too.
overlayd_stop node17
has_key() { vici "$1" get-keys | grep -qE '[0-9a-f]{40}'; }
expect "charon holds our key" has_key node17
flush() {
	n "$1" "$BED_B/overlayd" --"${2:-flush}" --config "$BED_DIR/$1/etc" --state "$BED_DIR/$1/state" \
		--run /run/overlayd --vici /run/charon.vici
}
charon_freeze node17
expect_not "--flush beside a charon that does not answer: refused" flush node17
expect_said "so addresses, routes and the table stay" "and why"
charon_thaw node17
expect "the table stays" table node17
expect_within 'sa_up node17 head1' 10 "as the tunnel does"
expect "--flush" flush node17
expect_said "taken away: 1 tunnels, 1 connections, our key in charon's memory, .* the table inet overlayd" \
	"it says what"
expect_not "the key is gone" has_key node17
expect "no SA is left" sa_none node17 head1
expect_not "no table is left" table node17

# The guard shuts peers' underlay addresses before anything runs; our own is not a peer's.
expect "--guard" flush node17 guard
expect_within 'table node17 | grep -A3 "set endpoint4" | grep -F 192.0.2.10' 1 "the guard knows the peer's address"
expect_not "and not ours" sh -c "nsenter -t $(<"$BED_DIR/node17/anchor") -n nft list set inet overlayd endpoint4 | grep -F 192.0.2.17"
done_testing
