#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Nothing in clear (P5, rule 1): while a program on each node knocks at overlay addresses, and at the
# cluster's ports of the underlay, all that every cable ever carries is UDP 4500: before the start
# (guard), through start, revocation, charon's and overlayd's deaths, flushes, stop. `--flush` is the
# documented end of it: then, and only then, the knocking is seen.
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100 nat
node head1 hq 10
node head2 hq 11
node node17 aws 17
node node18 hq 18 # has the policy and runs overlayd, but nobody approved its key
demo_policy
policy_line 's|  mom: .*|&\n  tick: { ports: [udp/9000] }|; s|^allow:|roles: [exec]\nallow:\n  - { from: exec, to: head, service: tick }\n  - { from: head, to: head, service: pbs }|'
policy_line 's/aws: {}/aws: { behind_nat: true }/'
endpoints head1 '192.0.2.10, "2001:db8:1::10"'
endpoints head2 '192.0.2.11, "2001:db8:1::11"'
peer head1 "head" 10.77.0.1
peer head2 "head" 10.77.0.2
peer node17 "exec" 10.77.0.17
ALL="head1 head2 node17 node18"
cables_capture $ALL
for x in $ALL; do
	policy_push $x
	expect "guard on $x, before all else" n $x "$BED_B/overlayd" --guard --config "$BED_DIR/$x/etc" --state "$BED_DIR/$x/state"
done
# knock NODE TAG ADDRESS/PROTO/PORT…: at each, again and again.
cat >"$BED_DIR/knock.py" <<'PY'
import os, socket, sys, time
rounds = 0
while True:
    for where in sys.argv[1:]:
        address, proto, port = where.split("/")
        kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        s.setblocking(False)
        try:
            s.connect((address, int(port)))
            if proto == "udp":
                s.send(b"knock")
        except OSError:
            pass
        s.close()
    rounds += 1
    print("round", rounds, flush=True)
    time.sleep(float(os.environ["KNOCK_EVERY"]))
PY
export KNOCK_EVERY=0.03
if [ "$BED_SLOW" != 1 ]; then KNOCK_EVERY=0.3; fi # eight programs that knock are most of what that machine does
knock() {
	local node=$1 tag=$2
	shift 2
	spawn "$node" "$tag" "$BED_DIR/$node/$tag.log" python3 "$BED_DIR/knock.py" "$@"
}
for x in $ALL; do
	knock $x inner 10.77.0.1/tcp/17001 10.77.0.1/udp/9000 10.77.0.2/tcp/17001 10.77.0.17/udp/53 10.77.0.99/tcp/22
	knock $x outer 192.0.2.10/tcp/17001 192.0.2.11/tcp/15001 192.0.2.11/udp/9000 2001:db8:1::10/tcp/17001 2001:db8:1::11/udp/9000
done
await 'grep -q "round 10" $BED_DIR/node18/outer.log' 10 "knocking"
cables_check "P5: guard, overlayd not started yet" $ALL
up $ALL
await 'sa_up head1 node17 && sa_up head1 head2 && sa_up head2 node17' 15 "tunnels"
for h in head1 head2; do tcp_server $h "$(inner $h)" 17001; done
await 'tcp_open node17 10.77.0.1 17001 && tcp_open head2 10.77.0.1 17001' 5 "admitted"
tcp_client node17 10.77.0.1 17001 a
tcp_client head2 10.77.0.1 17001 b
expect "P5: tunnels carry what is allowed" client_flows node17 a
expect_not "P5: the node that nobody approved reaches nothing inside" tcp_open node18 10.77.0.1 17001 0.5
expect_not "P5: nor the cluster's ports beside" tcp_open node18 192.0.2.10 17001 0.5
cables_check "P5: start, run" $ALL

for x in head1 node17; do
	charon_kill $x
	await 'tcp_open $x 10.77.0.2 17001 0.2; true' 2 "a try without charon"
	charon_start $x
	expect_within 'sa_up head1 node17' 40 "charon of $x killed and restarted"
done
for x in head1 node17; do
	overlayd_kill $x
	overlayd_start $x
done
charon_kill head2 # both of them at once
overlayd_kill head2
charon_start head2
overlayd_start head2
await 'sa_up head1 head2 && sa_up head2 node17' 40 "tunnels again"
cables_check "P5: charon and overlayd killed and restarted" $ALL

# Somebody flushes: until ours is back (a second at most) the routes hold what is for the overlay.
for x in $ALL; do freeze $x outer; done
for x in head1 node17; do
	n $x nft flush ruleset
	expect_within "n $x nft list table inet overlayd" 1 "flushed on $x: back"
done
charon_kill node17
n node17 nft flush ruleset # without a device to hold it
expect_within "n node17 nft list table inet overlayd" 1 "flushed without charon: back"
charon_start node17
for x in $ALL; do thaw $x outer; done
await 'sa_up head1 node17' 20 "tunnel"
cables_check "P5: nft flushed by hand" $ALL

unpeer node17
policy_line 's/serial: 1/serial: 2/'
policy_push head1 head2
expect_within 'sa_none head1 node17 && sa_none head2 node17' 5 "node17 is revoked"
policy_push node17 # and learns it
expect_within '[ "$(field node17 "s[\"node\"][\"active\"]")" != True ]' 5 "it is told"
overlayd_stop head2
charon_kill head2
expect_not "P5: stopped, without charon: nothing gets out" tcp_open head2 10.77.0.1 17001 0.5
expect "(they knock on)" poll 'b=$(wc -l <$BED_DIR/head2/outer.log); sleep 0.1; [ $(wc -l <$BED_DIR/head2/outer.log) -gt $b ]' 3
cables_check "P5: revoked, stopped" $ALL
capture_check "P5: the router never saw anything but UDP 4500"
n head2 "$BED_B/overlayd" --flush --config "$BED_DIR/head2/etc" --state "$BED_DIR/head2/state" >"$BED_DIR/flush" 2>&1
expect_within '[ -n "$(cable_clear head2 | grep 10.77.0.1)" ] && [ -n "$(cable_clear head2 | grep "> 192.0.2.10.17001")" ]' 5 \
	"after --flush, the documented end, the same knocking is on the cable: the captures see it"
alive head1 node17 node18
BED_CAPTURE=
done_testing
