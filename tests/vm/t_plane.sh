#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What only kernel ESP can show (T1): overlayd takes the XFRM interface by itself, its policies and
# SAs carry the interface's id, nothing reaches the overlay beside them, and TCP through its set-up is as fast as
# through the same SA without it, in the same machine (ratio of the best of five each, in turn).
BED_CAPTURE=1 BED_NAME=t_plane
. "$(dirname "$0")/../netns/lib.sh"
if [ -n "${BED_LIBIPSEC-kernel-libipsec}" ]; then
	echo "ok - t_plane: only where charon has kernel ESP # SKIP run it with make check-vm"
	exit 0
fi
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
demo_policy
sed -i 's/^services:/&\n  iperf: { ports: [tcp\/5201] }/; s/^allow:/&\n  - { from: exec, to: head, service: iperf }/' \
	"$BED_DIR/policy/policy.yaml"
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

capture_check "only UDP 4500 was ever on the wire"
kill "$(<"$BED_DIR/router/tcpdump.pid")" # it would cost more than what is measured
BED_CAPTURE=

# ---- throughput: the same SA, first as overlayd set it up, then without its daemon and its table

spawn head1 iperf "$BED_DIR/head1/iperf.log" iperf3 -s -B 10.77.0.1
expect_within 'tcp_open node17 10.77.0.1 5201' 5 "iperf3 answers"
rate() { n node17 iperf3 -c 10.77.0.1 -t 3 -O 1 -J | jq '.end.sum_received.bits_per_second / 1e3 | floor'; }
# By hand: overlayd and its table are gone, SA, device, addresses and routes are what is left.
by_hand() {
	for x in head1 node17; do
		overlayd_stop $x
		n $x nft delete table inet overlayd
	done
}
by_overlayd() {
	for x in head1 node17; do overlayd_start $x; done
	await 'tcp_open node17 10.77.0.1 5201' 10 "overlayd is back"
}
ours=0 bare=0
for round in 1 2 3 4 5; do
	r=$(rate)
	if [ "${r:-0}" -gt $ours ]; then ours=$r; fi
	by_hand
	b=$(rate)
	if [ "${b:-0}" -gt $bare ]; then bare=$b; fi
	note "round $round: overlayd $r kbit/s, by hand $b kbit/s"
	by_overlayd
done
ratio=$((ours * 1000 / (bare ? bare : 1)))
note "overlayd $ours kbit/s, by hand $bare kbit/s, ratio $ratio/1000"
expect "overlayd's set-up carries at least 0.97 of it" [ $ratio -ge 970 ]
done_testing
