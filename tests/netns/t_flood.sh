#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# 10,000 join requests from one source, and a newcomer that joins meanwhile from elsewhere: members'
# connections flow on (what it costs them: make bench BENCH=join), memory stays, charon's half-open SAs are bounded, and all of it goes.
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
await 'tcp_open node2 10.77.0.1 17001 0.5' 20 "the server"
tcp_client node2 10.77.0.1 17001 steady
ticket=$(ctl head1 ticket)

rss() { awk '/VmRSS/ {print $2}' "/proc/$(<"$BED_DIR/head1/$1.pid")/status"; }
half_open() { vici head1 stats | grep -o '"half-open": "[0-9]*"' | grep -oE '[0-9]+'; }

memory=$(rss charon)
daemon=$(rss overlayd)
n stranger python3 "$BED_HERE/ike_flood.py" "$(underlay head1)" 4500 10000 1250 >"$BED_DIR/flood.out" 2>&1 &
flood=$!
charon_start new1
overlayd_start new1
ctl new1 join --no-wait --name node17 --site aws "$ticket" >/dev/null
pending() { [ "$(field new1 's["join"]["state"]')" = pending ]; }
expect_within pending 15 "a newcomer from elsewhere is heard meanwhile"
note "half open: $(half_open); dropped: $(drops head1 ike-flood)"
wait $flood
note "sent, answered, cookies, refused, seconds: $(cat "$BED_DIR/flood.out")"
expect "a member's connection has flowed all the time" client_flows node2 steady
expect_not "and never ended" client_ended node2 steady
expect "most of the flood was dropped before charon" test "$(drops head1 ike-flood)" -ge 7000
expect "charon's memory stays" test "$(rss charon)" -le $((memory + 20000))
expect "the daemon's, too" test "$(rss overlayd)" -le $((daemon + 4000))
expect "members keep their tunnel" sa_up head1 node2
expect_within '[ "$(half_open)" = 0 ]' 30 "nothing of it is left in charon"
alive head1 node2 new1
done_testing
