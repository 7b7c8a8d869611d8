#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# overlayctl as a user has it: what it answers, its exit codes, what an ordinary user gets; and a
# stop and start of overlayd under it.
BED_CAPTURE=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
up head1 node17
await 'sa_up head1 node17' 10 "tunnel"
tcp_server head1 10.77.0.1 17001
await 'tcp_open node17 10.77.0.1 17001' 5 "admitted"
tcp_client node17 10.77.0.1 17001 steady
tcp_open node17 10.77.0.1 22 0.5 >/dev/null

code() { # CODE WHAT COMMAND…
	local want=$1 what=$2 rc
	shift 2
	"$@" >"$BED_DIR/last" 2>&1
	rc=$?
	if [ $rc = "$want" ]; then pass "$what (exit $rc)"; else fail "$what: exit $rc, not $want: $(head -c 300 "$BED_DIR/last")"; fi
}
json() { # WHAT ARGS…: valid JSON, nothing else
	local what=$1
	shift
	ctl head1 "$@" --json >"$BED_DIR/json" 2>"$BED_DIR/json.err"
	expect "$what" python3 -m json.tool "$BED_DIR/json" /dev/null
}
code 0 "status" ctl head1 status
expect_said '^node17 +up +[0-9]+m?s +10\.77\.0\.17 +198\.51\.100\.17:4500' "its table"
expect_not "no colours in a pipe" grep -q $'\033' "$BED_DIR/last"
for c in status denied doctor version; do json "$c --json is JSON" $c; done
json "explain --json is JSON" explain node17 head1 tcp/22
json "check --json is JSON" check
json "firewall --json is JSON" firewall
json "token list --json is JSON" token list
code 0 "token list" ctl head1 token list
expect_said 'grants no token' "of none"
code 5 "a cluster without a key has no tokens" ctl head1 ticket --token --role exec
expect_said 'overlayctl key' "and is told how to get there"
code 5 "revoke of nobody" ctl head1 revoke node71
expect_said "did you mean 'node17'" "guesses who is meant"
code 0 "denied" ctl node17 denied
expect_said 'head1 .*tcp/22' "and names port and peer"
code 0 "explain: allowed" ctl head1 explain node17 head1 tcp/17001
expect_said 'policy.yaml:10' "by which line"
code 1 "explain: denied" ctl head1 explain node17 head1 tcp/22
code 0 "explain --in-force: allowed" ctl head1 explain --in-force node17 head1 tcp/17001
code 0 "explain --in-force: by an address" ctl head1 explain --in-force 10.77.0.17 head1 tcp/17001
code 1 "explain --in-force: denied" ctl head1 explain --in-force node17 head1 udp/17001
ctl head1 firewall >"$BED_DIR/ruleset"
expect "firewall is what nft takes" n head1 nft -c -f "$BED_DIR/ruleset"
code 0 "doctor finds nothing bad" ctl head1 doctor
code 0 "check" ctl head1 check
code 0 "diff with itself" ctl head1 diff "$BED_DIR/policy" "$BED_DIR/head1/etc"
cp -r "$BED_DIR/policy" "$BED_DIR/next"
sed -i 's/to: head, service: pbs/to: head, service: ssh/' "$BED_DIR/next/policy.yaml"
code 1 "diff" ctl head1 diff "$BED_DIR/policy" "$BED_DIR/next"
expect_said 'tcp/22' "says what opens"
expect_said 'tcp/17001' "and what closes"
sed -i 's/service: ssh/service: shh/' "$BED_DIR/next/policy.yaml"
code 1 "check of a broken one" ctl head1 check "$BED_DIR/next"
expect_said 'policy.yaml:10:.*error.*' "says where"
code 2 "no such command" ctl head1 frobnicate
code 2 "no such option" ctl head1 status --frobnicate
code 2 "explain of a port that is none" ctl head1 explain node17 head1 tcp/70000
code 0 "help" ctl head1 help
code 3 "no daemon there" n head1 "$BED_B/overlayctl" --socket /run/overlayd/nobody.sock status

# An ordinary user: a clear sentence, not a stack of errno.
chmod 0755 "$BED_DIR" "$BED_DIR/head1"
user() { n head1 setpriv --reuid 65534 --regid 65534 --clear-groups "$BED_B/overlayctl" --config "$BED_DIR/head1/etc" "$@"; }
if n head1 setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$BED_B/overlayctl"; then
	code 4 "an ordinary user" user status
	expect_said 'root|group overlayd' "is told who may"
	code 4 "may not reload" user reload
	code 0 "may check" user check
else
	skip "an ordinary user: cannot reach $BED_B"
fi

# SIGTERM under it: the flow goes on, the SA stays, nothing leaks; started again, the same SA.
before=$(sas head1 node17)
overlayd_stop head1
code 3 "status of a stopped daemon" ctl head1 status
expect_said 'systemctl|not run|start' "says that it does not run"
expect "stopped: what was allowed flows on" client_flows node17 steady
expect "new connections too" tcp_open node17 10.77.0.1 17001
expect_not "and what was denied is denied" tcp_open node17 10.77.0.1 22 0.5
expect "the SA is as before" [ "$(sas head1 node17)" = "$before" ]
overlayd_start head1
await '[ "$(field head1 "s[\"state\"]")" = ready ]' 5 "ready"
expect_for '[ "$(sas head1 node17)" = "'"$before"'" ]' 2 "stop and start: the very same SA"
overlayd_stop head1
charon_kill node17 # so that packets find no tunnel at one end
expect_not "stopped, and no tunnel: nothing gets out" tcp_open head1 10.77.0.17 15002 0.5
charon_start node17
overlayd_start head1
expect_within 'client_flows node17 steady 0.5' 20 "all back: it flows"
expect_not "it was never ended" client_ended node17 steady
alive head1 node17
done_testing
