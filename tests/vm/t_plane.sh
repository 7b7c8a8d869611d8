#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What only kernel ESP can show (T1): overlayd takes the XFRM interface by itself, its policies and
# SAs carry the interface's id, and nothing reaches the overlay beside them.
BED_CAPTURE=1 BED_NAME=t_plane
. "$(dirname "$0")/../netns/lib.sh"
if ! kernel_esp; then
	echo "ok - t_plane: only where charon has kernel ESP # SKIP run it with make check-vm"
	exit 0
fi
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
for x in head1 node17; do
	charon_start $x
	policy_push $x
	overlayd_start $x
done
expect_within 'sa_up head1 node17' 20 "the tunnel is up"
expect "the plane is the XFRM interface" sh -c "
	nsenter -t $(<"$BED_DIR/head1/anchor") -n -m -- $BED_B/overlayctl status --json | jq -e '.plane.kind == \"xfrm\"'"
id=$(n head1 ip -d link show ovl0 | sed -n 's/.*if_id \(0x[0-9a-f]*\).*/\1/p')
expect "the device has an id" [ -n "$id" ]
bare=$(n head1 ip xfrm state | awk -v id="if_id $id" '/^src/ { if (n && !ok) bad++; n++; ok = 0 } index($0, id) { ok = 1 }
	END { print bad + (n && !ok) + !n }')
expect "every SA carries it" [ "$bare" = 0 ]
bare=$(n head1 ip xfrm policy | awk -v id="if_id $id" '/^src.*10.77/ { if (n && !ok) bad++; n++; ok = 0 } index($0, id) { ok = 1 }
	END { print bad + (n && !ok) + !n }')
expect "and every policy" [ "$bare" = 0 ]
expect "the overlay has no route but ours" sh -c "
	[ \"\$(nsenter -t $(<"$BED_DIR/node17/anchor") -n ip route get 10.77.0.1 | grep -c 'dev ovl0')\" = 1 ]"
tcp_server head1 10.77.0.1 17001
expect "an allowed port is reached" tcp_open node17 10.77.0.1 17001

done_testing
