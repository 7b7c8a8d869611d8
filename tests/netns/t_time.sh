#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Time (T5): `until` and `hours` begin and end with the clock; a warning comes before; what flows is
# cut on time by the kernel, also where overlayd was killed or stands still.
#
# `hours` have minutes, so the site's time zone is made to have seconds: END is its noon. node18 may
# take part from noon on, node19 until noon, node17 `until` END.
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node head2 hq 11
node node17 aws 17
node node18 aws 18
node node19 aws 19
ALL="head1 head2 node17 node18 node19"
demo_policy
policy_line 's/aws: {}/aws: { timezone: Etc\/Noon }/'

noon_everywhere() { # EPOCH: a zone in which it is then 12:00:00
	local offset=$((43200 - $1 % 86400)) sign=""
	if [ $offset -lt 0 ]; then sign=- offset=$((-offset)); fi
	echo "Zone Etc/Noon $sign$((offset / 3600)):$((offset / 60 % 60)):$((offset % 60)) - NOON" >"$BED_DIR/noon"
	for x in $ALL; do n $x zic -d /usr/share/zoneinfo "$BED_DIR/noon"; done
}
for x in $ALL; do n $x mount -t tmpfs tmpfs /usr/share/zoneinfo; done # theirs alone
noon_everywhere $(($(date +%s) + 1800))

peer head1 "head" 10.77.0.1
peer head2 "head" 10.77.0.2
for i in 17 18 19; do peer node$i "exec" 10.77.0.$i; done
up $ALL
for h in head1 head2; do
	for i in 17 19; do await "sa_up $h node$i" 10 "$h-node$i"; done
	tcp_server $h "$(inner $h)" 17001
done
spawn head1 watch "$BED_DIR/head1/watch.log" "$BED_B/overlayctl" status --watch --json
tcp_server node17 10.77.0.17 15002
tcp_client node17 10.77.0.1 17001 h1
tcp_client node17 10.77.0.2 17001 h2
tcp_client head1 10.77.0.17 15002 back
tcp_client node19 10.77.0.1 17001 h1
tcp_client node19 10.77.0.2 17001 h2
expect "T5: without a limit node18 is in" tcp_open node18 10.77.0.1 17001 3

# The policy gets its limits, some seconds before they strike.
LEAD=8
if [ "$BED_SLOW" != 1 ]; then LEAD=40; fi
END=$(($(date +%s) + LEAD))
noon_everywhere $END
peer node17 "exec" 10.77.0.17 "until: $(date -u -d @$END +%Y-%m-%dT%H:%M:%SZ)"
peer node18 "exec" 10.77.0.18 'hours: "12:00-24:00"'
peer node19 "exec" 10.77.0.19 'hours: "Mon-Sun 00:00-12:00"'
policy_line 's/serial: 1/serial: 2/'
policy_push $ALL
END_MONO=$(($(mono_ms) + END * 1000 - $(now_ms)))

told() { grep '"warning"' "$BED_DIR/head1/watch.log" | grep "\"$1\"" | grep -q "\"$2\""; }
expect_within 'told node17 time-soon' 3 "T5: the watcher is warned before until ends"
expect_within 'told node19 time-soon' 3 "T5: and before the hours end"
expect "T5: the log says so too" logged head1 "node17's time .* ends in 0 min"
expect_within 'sa_none head1 node18' 3 "T5: before its hours node18 has no SA"
expect_not "T5: and reaches nothing" tcp_open node18 10.77.0.1 17001 0.3
expect_within '[ "$(peer_state head1 node18)" = inactive ]' 2 "T5: status says inactive"
timed() { table "$1" | grep -qE "$2 .*expires"; }
await 'timed head2 10.77.0.17 && timed head2 10.77.0.19 && timed node17 10.77.0.2' 3 "elements have timeouts"

# No daemon will be there to cut: killed on head2, standing still on node17.
overlayd_kill head2
freeze node17 overlayd
expect "T5: daemons gone, it still flows before the end" client_flows node17 h2 1
expect "T5: the other too" client_flows node19 h2 1

await '[ "$(mono_ms)" -ge '"$END_MONO"' ]' 10 "the end"
on_time() { # NODE LABEL WHAT
	local late
	await "! client_flows $1 $2 0.5" 3 "$3 stops" || return
	late=$(($(last_beat "$1" "$2") - END_MONO))
	expect "$3 stops on time ($late ms)" between $late -1000 $((1000 * BED_SLOW))
}
on_time node17 h1 "T5: until: the flow to head1"
on_time head1 back "T5: until: the flow from head1"
on_time node17 h2 "T5: until: with both daemons gone, the flow to head2"
on_time node19 h1 "T5: hours: the flow to head1"
on_time node19 h2 "T5: hours: without a daemon there, the flow to head2"
expect_within 'sa_none head1 node17 && sa_none head1 node19 && sa_none node19 head1' 2 "T5: SAs are gone at both ends"
expect_within 'told node17 time-over && told node19 time-over' 2 "T5: the watcher is told that it is over"
expect "T5: warned before, over after" awk '/"node17"/ && /time-soon/ {a = NR} /"node17"/ && /time-over/ {b = NR} END {exit !(a && b > a)}' "$BED_DIR/head1/watch.log"
expect_within 'tcp_open node18 10.77.0.1 17001 0.3' 3 "T5: node18's hours have begun: it is in"
expect_not "T5: node17 does not get in again" tcp_open node17 10.77.0.1 17001 0.5

# The daemons come back, after the end: it stays over.
overlayd_start head2
thaw node17 overlayd
expect_within 'sa_none head2 node17 && sa_none node17 head1 && sa_none node17 head2' 6 "T5: daemons back: no SA is left of it"
expect_not "T5: and nothing passes" tcp_open node17 10.77.0.2 17001 0.5
expect_within 'tcp_open node18 10.77.0.2 17001 0.3' 8 "T5: node18 reaches head2 too"

# A later `until` lets it in again.
peer node17 "exec" 10.77.0.17 "until: $(date -u -d @$((END + 3600)) +%Y-%m-%dT%H:%M:%SZ)"
policy_push $ALL
expect_within 'tcp_open node17 10.77.0.1 17001 0.3' 8 "T5: a later until lets it in again"
alive $ALL
done_testing
