#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Clocks that are off by a year, overlayd's and charon's both (C6): such machines join by approval,
# have tunnels with all, talk, get every bundle; what is old is refused there as anywhere; who is in
# for a time leaves on time, also by a clock that says there is a year to go; and a clock that is set
# right, or wrong, while all runs breaks nothing.
#
#	hq   seed1       aws  ahead (next year)  behind (last year)  guest
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
bed "$@"

YEAR=$((366 * 86400))
site hq 192.0.2
site aws 198.51.100
node seed1 hq 10
node ahead aws 20
node behind aws 30
node guest aws 40
ALL="seed1 ahead behind"
demo_policy
policy_line 's|^serial: .*|&\njoin: true|; s|^allow:|roles: [exec]\n&|; s|  mom: .*|&\n  extra: { ports: [tcp/7777] }|'
peer seed1 "head, seed" 10.77.0.1

# skew NODE SECONDS: its programs' wall clock, from now on.
skew() { python3 -c '
import struct, sys
with open(sys.argv[1], "r+b" if len(sys.argv) > 3 else "wb") as f:
    f.write(struct.pack("=q", int(sys.argv[2])))' "$BED_DIR/$1/skew" "$2" ${3:+set}; }
# wrong COMMAND NODE: as it is, for a program of a machine whose clock is wrong.
wrong() {
	local -x SKEW_FILE=$BED_DIR/$2/skew LD_PRELOAD=$BED_B/tests/netns/skew.so
	local -x ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
	"$@"
}
says_year() { field "$1" 's["now"]' | python3 -c 'import sys, time; print(time.gmtime(int(float(sys.stdin.read()))).tm_year)'; }
YEARS=$(date -u +%Y)
join_state() { field "$1" 's["join"]["state"]'; }
print_of() { field "$1" 's["node"]["fingerprint"]'; }
waits() { [ "$(ctl seed1 pending --json | grep -c "$(print_of "$1")")" = 1 ]; }
approve() { ctl seed1 approve "$@" --key "$BED_DIR/cluster.key"; }
in_all() { local x; for x in $ALL; do [ "$(serial_of $x)" = "$1" ] || return 1; done; }

policy_push seed1
up seed1
cluster_key seed1 seed1
expect_within 'sign seed1' 10 "seed1 is a cluster of one"
first=$(serial_of seed1)
ctl seed1 bundle >"$BED_DIR/first"

# ---------------------------------------------------------------- they join

skew ahead $YEAR
skew behind -$YEAR
for x in ahead behind; do
	wrong charon_start $x
	wrong overlayd_start $x
done
expect "ahead is in next year" test "$(says_year ahead)" -gt "$YEARS"
expect "behind is in last year" test "$(says_year behind)" -lt "$YEARS"
expect_within 'ctl seed1 ticket >"$BED_DIR/ticket"' 10 "a ticket"
for x in ahead behind; do
	expect "$x asks" ctl $x join --no-wait --file "$BED_DIR/ticket"
	expect_within "waits $x" 30 "it is pending"
	expect "it is approved" approve $x "$(print_of $x | cut -c1-19)" --role exec --site aws \
		--endpoint "$(underlay $x)" --address "10.77.0.$(underlay $x | cut -d. -f4)"
	expect_within "[ \"\$(join_state $x)\" = joined ]" 40 "it is a member"
done

# ---------------------------------------------------------------- they talk

tunnels() { [ "$(peer_state seed1 ahead)$(peer_state seed1 behind)$(peer_state ahead behind)$(peer_state behind ahead)" = upupupup ]; }
expect_within tunnels 40 "all have tunnels with each other"
tcp_server seed1 10.77.0.1 17001
tcp_server behind 10.77.0.30 15002
expect_within 'tcp_open ahead 10.77.0.1 17001 0.5 && tcp_open behind 10.77.0.1 17001 0.5' 20 "both reach the seed"
expect_within 'tcp_open ahead 10.77.0.30 15002 0.5' 20 "and next year last year"
tcp_client ahead 10.77.0.30 15002 flow

# ---------------------------------------------------------------- bundles

tcp_server seed1 10.77.0.1 7777
sed -i 's|^allow:|&\n  - { from: exec, to: head, service: extra }|' "$BED_DIR/seed1/etc/policy.yaml"
expect "another bundle" sign seed1
expect_within 'in_all "$(serial_of seed1)"' 20 "all have it"
expect_within 'tcp_open ahead 10.77.0.1 7777 0.5 && tcp_open behind 10.77.0.1 7777 0.5' 10 "and do as it says"
for x in ahead behind; do
	expect_not "the first bundle again is refused by $x" ctl $x load "$BED_DIR/first"
	expect_said 'serial' "for its serial"
	wrong overlayd_kill $x
	wrong overlayd_start $x
	expect_not "after a restart too" ctl $x load "$BED_DIR/first"
	expect "it has what it had" test "$(serial_of $x)" -gt "$first"
done
expect_within tunnels 20 "all have tunnels with each other"

# ---------------------------------------------------------------- in for a time

up_guest() { charon_start guest && overlayd_start guest; }
up_guest
expect "a guest asks" ctl guest join --no-wait --file "$BED_DIR/ticket"
expect_within "waits guest" 30 "it is pending"
LEAD=$((35 * BED_SLOW))
END=$(($(date +%s) + LEAD))
expect "it is approved for $LEAD s" approve guest "$(print_of guest | cut -c1-19)" --role exec --site aws \
	--endpoint "$(underlay guest)" --address 10.77.0.40 --until "$(date -u -d @$END +%Y-%m-%dT%H:%M:%SZ)"
expect_within 'tcp_open guest 10.77.0.30 15002 0.5' 20 "it reaches behind, who thinks it has a year"
note "$((END - $(date +%s))) s before the end"
expect_within 'in_all "$(serial_of seed1)"' 20 "all know it"
expect "ahead never let it in: its time is long over there" sa_none ahead guest
# Its own overlayd would end it too, having the right time: so it is one that does not care.
freeze guest overlayd
n guest nft delete table inet overlayd
in_time() { [ "$(date +%s)" -lt "$END" ]; }
expect "lawless, it reaches behind still" tcp_open guest 10.77.0.30 15002 2
expect "while it is in time" in_time
expect_within '[ "$(date +%s)" -ge '$END' ] && ! tcp_open guest 10.77.0.30 15002 0.5' $((LEAD + 15)) "and no more when it is over"
expect "it was $(($(date +%s) - END)) s late" between $(($(date +%s) - END)) 0 $((8 * BED_SLOW))
expect_within 'sa_none behind guest' 10 "behind has no SA of it"
thaw guest overlayd

# ---------------------------------------------------------------- clocks are set

skew ahead 0 set
skew behind 0 set
expect_within '[ "$(says_year behind)" = '"$YEARS"' ]' 10 "behind's clock is set right"
expect "the flow between them goes on" client_flows ahead flow 20
skew ahead -$YEAR set
skew behind $YEAR set
expect_within '[ "$(says_year behind)" -gt '"$YEARS"' ]' 10 "and wrong again, the other way"
expect "it goes on" client_flows ahead flow 20
sed -i '/service: extra }/d' "$BED_DIR/seed1/etc/policy.yaml"
expect "another bundle" sign seed1
expect_within 'in_all "$(serial_of seed1)"' 20 "all have it"
expect_within '! tcp_open ahead 10.77.0.1 7777 0.5 && ! tcp_open behind 10.77.0.1 7777 0.5' 10 "and do as it says"
expect "it goes on" client_flows ahead flow 20
expect_not "it never ended" client_ended ahead flow
alive $ALL
done_testing
