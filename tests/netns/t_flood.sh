#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# 10,000 join requests from one source, and a newcomer that joins meanwhile from elsewhere: members'
# traffic does not feel it, memory stays, charon's half-open SAs are bounded, and all of it goes.
. "$(dirname "$0")/lib.sh"
. "$BED_HERE/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node2 aws 12
node stranger hq 66
node new1 aws 17
demo_policy
policy_line 's/^serial: .*/&\njoin: true/'
peer head1 "head, seed" 10.77.0.1
peer node2 "exec" 10.77.0.2
cluster_key head1 head1 node2
up head1 node2
expect_within 'sign head1' 10 "sign and load"
serving() { [ "$(field head1 's["join"]["serving"]')" = True ]; }
expect_within serving 20 "the seed takes joins"
await 'sa_up head1 node2' 20 "head1 and node2"
tcp_server head1 10.77.0.1 17001
ticket=$(ctl head1 ticket)

rss() { awk '/VmRSS/ {print $2}' "/proc/$(<"$BED_DIR/head1/$1.pid")/status"; }
half_open() { vici head1 stats | grep -o '"half-open": "[0-9]*"' | grep -oE '[0-9]+'; }
rtt() { n node2 python3 "$BED_HERE/tcp.py" rtt 10.77.0.1 17001 "$1" | tail -1 | grep -oE '[0-9]+$'; }

# One IKE_SA_INIT as charon makes it, to be sent again with other SPIs.
spawn stranger tcpdump "$BED_DIR/tcpdump.out" tcpdump -Z root -U -n -i e0 -w "$BED_DIR/init.pcap" udp port 4500
await "grep -q listening $BED_DIR/tcpdump.out" 10 "capture"
charon_start stranger
vici stranger load-conn "{\"j\": {\"version\": \"2\", \"encap\": \"yes\", \"local_port\": \"4500\", \"remote_port\": \"4500\",
	\"remote_addrs\": [\"$(underlay head1)\"], \"proposals\": [\"aes256gcm16-prfsha256-x25519\"],
	\"local\": {\"auth\": \"psk\", \"id\": \"@join\"}, \"remote\": {\"auth\": \"psk\", \"id\": \"@no.body\"}}}" >/dev/null
vici stranger initiate '{"ike": "j", "timeout": "1000"}' >/dev/null
charon_stop stranger

quiet=$(rtt 5)
memory=$(rss charon)
daemon=$(rss overlayd)
note "quiet: p99 $quiet us; charon $memory kB, overlayd $daemon kB"
n stranger python3 "$BED_HERE/flood.py" init "$BED_DIR/init.pcap" "$(underlay head1)" 10000 8 >"$BED_DIR/flood.out" 2>&1 &
flood=$!
charon_start new1
overlayd_start new1
(rtt 6 >"$BED_DIR/loud") &
measure=$!
ctl new1 join --no-wait --name node17 --site aws "$ticket" >/dev/null
pending() { [ "$(field new1 's["join"]["state"]')" = pending ]; }
expect_within pending 15 "a newcomer from elsewhere is heard meanwhile"
wait $measure
loud=$(<"$BED_DIR/loud")
note "half open: $(half_open); dropped: $(drops head1 ike-flood)"
wait $flood
note "$(cat "$BED_DIR/flood.out")"
note "loud: p99 $loud us; charon $(rss charon) kB, overlayd $(rss overlayd) kB"
expect "p99 of a member's TCP echo is at most twice what it was (or below 20 ms): $quiet us, then $loud us" \
	test "$loud" -le $((2 * quiet > 20000 ? 2 * quiet : 20000))
expect "most of the flood was dropped before charon" test "$(drops head1 ike-flood)" -ge 7000
expect "charon's memory stays" test "$(rss charon)" -le $((memory + 20000))
expect "the daemon's, too" test "$(rss overlayd)" -le $((daemon + 4000))
expect "members keep their tunnel" sa_up head1 node2
expect_within '[ "$(half_open)" = 0 ]' 30 "nothing of it is left in charon"
alive head1 node2 new1
done_testing
