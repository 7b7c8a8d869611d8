#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The bed itself: what the other tests take for granted, above all that the router lets nothing
# but UDP 4500 through, that the capture sees what is clear, and that nothing outlives a test.
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100 nat
site lan 203.0.114
node head1 hq 10
node head2 hq 11
node node17 aws 17
node desk1 lan 5

udp() { # FROM TO PORT: does one datagram arrive?
	rm -f "$BED_DIR/got"
	: >"$BED_DIR/udp.log"
	spawn "$2" udp "$BED_DIR/udp.log" socat -d -d -u "UDP4-RECVFROM:$3" "CREATE:$BED_DIR/got"
	await "n $2 ss -Hlun 'sport = $3' | grep -q ." 5 "udp server" || return 1
	echo hello | n "$1" socat -u - "UDP4-SENDTO:$(underlay "$2"):$3"
	poll "[ -s $BED_DIR/got ]" 1
	local rc=$?
	kill "$(<"$BED_DIR/$2/udp.pid")" 2>/dev/null
	return $rc
}
expect "UDP 4500 crosses the router" udp desk1 head1 4500
expect "from behind NAT too" udp node17 head1 4500
expect_not "UDP 4501 does not" udp desk1 head1 4501
expect_not "UDP 500 does not" udp desk1 head1 500
tcp_server head1 "$(underlay head1)" 4500
expect_not "TCP does not" tcp_open desk1 "$(underlay head1)" 4500 1
expect_not "ICMP does not" ping desk1 "$(underlay head1)"
expect "nodes of one site reach each other" tcp_open head2 "$(underlay head1)" 4500
expect_not "a node behind NAT is not reached from outside" udp head1 node17 4500

capture_start
ping head2 "$(underlay head1)" >/dev/null
expect_within '[ -n "$(wire_clear)" ]' 5 "the capture sees clear text inside a site"

cable_cut head1
expect_not "a cut cable carries nothing" tcp_open head2 "$(underlay head1)" 4500 1
cable_mend head1
expect "a mended one does" tcp_open head2 "$(underlay head1)" 4500 2

# A bed inside a bed, interrupted: nothing of it remains.
cat >"$BED_DIR/inner.sh" <<END
. "$BED_HERE/lib.sh"
bed
site hq 192.0.2
node head1 hq 10
spawn head1 nap "\$BED_DIR/nap" sleep 4242
exec sleep 4243
END
for signal in INT TERM KILL; do
	env -u BED_DIR --default-signal=INT TMPDIR="$BED_DIR" bash "$BED_DIR/inner.sh" \
		>"$BED_DIR/inner.log" 2>&1 &
	inner=$!
	await 'pgrep -f "sleep 4242" && pgrep -f "sleep 4243"' 10 "inner bed" || break
	if [ $signal = KILL ]; then kill -KILL "$(pgrep -P $inner unshare)"; else kill -$signal $inner; fi
	wait $inner 2>/dev/null
	expect_within '! pgrep -f "sleep 424[23]"' 5 "a bed ended by SIG$signal leaves no process"
done
done_testing
