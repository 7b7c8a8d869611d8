#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The main job in half a minute, on one machine, with real parts: real charon, real nftables, real
# packets. `make demo` runs it; KEEP=1 leaves it running afterwards and says how to look around.
#
# The bed (sites, router, nodes) is that of the end-to-end tests: tests/netns/lib.sh.

BED_MEASURES=1
. "$(dirname "$0")/../tests/netns/lib.sh"

if [ -z "$BED_DIR" ]; then
	cat <<-'END'

		   site hq                    router                   site aws
		 ┌─────────────────────┐   ┌──────────────┐   ┌─────────────────────┐
		 │ head1   192.0.2.10  ├───┤ passes       ├─┬─┤ node17 198.51.100.17│
		 │         10.77.0.1   │   │ UDP 4500     │ │ │                     │
		 └─────────────────────┘   │ and nothing  │ │ ├─────────────────────┤
		                           │ else         │ └─┤ node18 198.51.100.18│
		                           └──────────────┘   │                     │
		                                              └─────────────────────┘
		 Each has its own charon and its own overlayd; head1 begins alone.

	END
fi
bed "$@"

# ---------------------------------------------------------------- how it talks

DEMO_START=$(now_ms)
step() { printf '\n%s  %s\n' "$(clock)" "$*"; }
clock() {
	local t=$(($(now_ms) - DEMO_START))
	printf '%3d.%01d s' $((t / 1000)) $((t % 1000 / 100))
}
pass() {
	BED_PASSED=$((BED_PASSED + 1))
	printf '           yes  %s\n' "$*"
}
fail() {
	BED_FAILED=$((BED_FAILED + 1))
	printf '           NO   %s\n' "$*"
}
# At most 90 columns of what programs say; what is wrapped is indented.
show() {
	awk '{
		line = $0
		match(line, /^ */)
		pad = substr("                        ", 1, RLENGTH + 4)
		while (length(line) > 90) {
			cut = 90
			while (cut > 40 && substr(line, cut, 1) != " ") cut--
			print substr(line, 1, cut - 1)
			line = pad substr(line, cut + 1)
		}
		print line
	}' | sed 's/^/           | /; s/ *$//'
}

# A result whose time is promised: from the admin's first command on (T0, of the monotonic clock)
# until a program that knows nothing of overlayd logged it.
now_mono() {
	local up rest
	read -r up rest </proc/uptime
	echo $((10#${up/./} * 10))
}
seen_at() { awk -v p="$2" -v t0="$T0" '$1 * 1000 >= t0 && $0 ~ p {printf "%d", $1 * 1000; exit}' "$1"; }
within_ms() { # LOG PATTERN MILLISECONDS WHAT
	local took
	if ! poll "[ -n \"\$(seen_at $1 '$2')\" ]" 10; then
		fail "$4: promised within $3 ms, not seen in 10 s"
		return
	fi
	took=$(($(seen_at "$1" "$2") - T0))
	if [ $took -le $(($3 * BED_SLOW)) ]; then
		pass "$4: after $took ms"
	else
		fail "$4: promised within $3 ms, took $took ms"
	fi
}

key_of() { ctl "$1" id --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["fingerprint"])'; }
join_state() { field "$1" 's["join"]["state"]'; }

# ---------------------------------------------------------------- the cluster

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
node node18 aws 18
NODES="head1 node17 node18"

step "overlayctl init on head1: a policy, the cluster's key that signs it, this node's key"
ctl head1 init --cluster demo --name head1 --endpoint "$(underlay head1)" --no-passphrase \
	>"$BED_DIR/init.out" || fail "init: $(cat "$BED_DIR/init.out")"
KEY=$(sed -n 's/.*key: "\(ssh-ed25519 [^"]*\)".*/\1/p' "$BED_DIR/head1/etc/policy.yaml")
cat >"$BED_DIR/head1/etc/policy.yaml" <<END
cluster: demo
serial: 1
overlay: 10.77.0.0/16
join: true
sites:
  hq: {}
  aws: {}
roles: [exec]
services:
  mom: { ports: [tcp/15002-15003] }
allow:
  - { from: exec, to: head, service: pbs }
  - { from: head, to: exec, service: pbs }
  - { from: exec, to: exec, service: mom }
peers:
  head1: { key: "$KEY", address: 10.77.0.1,
           site: hq, roles: [head, seed], endpoints: [$(underlay head1)] }
END
sed 's/AAAAC3NzaC1lZDI1NTE5AAAAI[^ ]*\([^ ]\{4\}\)"/AAAA…\1"/' "$BED_DIR/head1/etc/policy.yaml" | show
for x in $NODES; do
	charon_start $x
	overlayd_start $x
done
expect "overlayctl sign --load: the policy is in force" ctl head1 sign --load
expect "overlayctl ticket: a line that names the cluster and its seeds, nothing secret" ctl head1 ticket
TICKET=$(grep -o '^ovl1-.*' "$BED_DIR/last")
for port in 17001 22; do tcp_server head1 10.77.0.1 $port; done
tcp_server head1 "$(underlay head1)" 15001

step "node17 and node18 run the same software, but nobody let them in"
expect_not "node17 does not reach head1 tcp/17001 by its overlay address" tcp_open node17 10.77.0.1 17001
expect_not "nor tcp/15001 by its address in the internet" tcp_open node17 "$(underlay head1)" 15001
expect_not "nor does it get an answer to ping" ping node17 10.77.0.1
capture_start

step "overlayctl join TICKET on node17: it asks, and waits for an admin"
ctl node17 join --no-wait --site aws "$TICKET" >"$BED_DIR/join.out" 2>&1 || fail "join: $(cat "$BED_DIR/join.out")"
expect_within '[ "$(join_state node17)" = pending ]' 20 "head1 has the request"
ctl head1 pending | sed -E 's/(SHA256:.{8})[^ ]*/\1…/; s/FINGERPRINT {28}/FINGERPRINT/' | show

step "overlayctl approve node17 $(key_of node17 | cut -c1-15) --site aws --role exec, on head1"
ctl head1 approve node17 "$(key_of node17 | cut -c1-15)" --site aws --role exec \
	--endpoint "$(underlay node17)" >"$BED_DIR/approve.out" 2>&1 || fail "approve: $(cat "$BED_DIR/approve.out")"
expect_within '[ "$(join_state node17)" = joined ]' 30 "node17 is a member"
expect_within 'tcp_open node17 10.77.0.1 17001 0.5' 5 "it reaches head1 tcp/17001"
expect_not "and nothing else there: tcp/22" tcp_open node17 10.77.0.1 22
ctl head1 explain node17 head1 tcp/22 2>&1 | show

step "overlayctl ticket --token …: for machines that come and go, without an admin"
ctl head1 ticket --token cloud --count 1 --ttl 2h --role exec --site aws --range 10.77.8.0/24 \
	>"$BED_DIR/token" 2>"$BED_DIR/token.err" || fail "ticket: $(cat "$BED_DIR/token.err")"
sed "s|$BED_DIR/head1/etc|/etc/overlayd|" "$BED_DIR/token.err" | show
ctl node18 join --no-wait --file "$BED_DIR/token" >"$BED_DIR/join.out" 2>&1 || fail "join: $(cat "$BED_DIR/join.out")"
expect_within '[ "$(join_state node18)" = joined ]' 30 "node18 is a member, without an admin"
expect_within 'tcp_open node18 10.77.0.1 17001 0.5' 5 "it reaches head1 tcp/17001"
expect_within 'sa_up node18 node17' 20 "and has a tunnel with node17, as the policy says"
await 'sa_up head1 node18' 5 "the tunnel in the table"
ctl head1 status | show

step "overlayctl revoke node17, on head1; it has running connections, to head1 and to node18"
AT18=$(field node18 's["node"]["address4"]')
tcp_server node18 "$AT18" 15002
await "tcp_open node17 $AT18 15002" 5 "node17 reaches node18"
tcp_client node17 10.77.0.1 17001
tcp_client node17 "$AT18" 15002
AT17=$(field node17 's["node"]["address4"]')
T0=$(now_mono)
ctl head1 revoke node17 >"$BED_DIR/revoke.out" 2>&1 || fail "revoke: $(cat "$BED_DIR/revoke.out")"
within_ms "$BED_DIR/head1/tcp-17001.log" "ended $AT17" 1000 "head1's server was told: its connection from node17 is ended"
within_ms "$BED_DIR/node18/tcp-15002.log" "ended $AT17" 1000 "node18's server too"
expect_within 'sa_none head1 node17 && sa_none node18 node17' 5 "no tunnel to node17 is left"
expect_not "node17 reaches head1 no more" tcp_open node17 10.77.0.1 17001
expect "node18 still does" tcp_open node18 10.77.0.1 17001

step "charon on head1 is killed, for a moment: is anything sent in clear?"
charon_kill head1
expect_not "without charon nothing gets out" tcp_open head1 "$AT18" 15002
charon_start head1
expect_within 'tcp_open node18 10.77.0.1 17001 0.5' 15 "charon is back, and with it the tunnel"

step "What the router saw, since node17 asked to join"
wire "$WIRE_QUIET" | grep ' In ' | sed -E 's/.* (IP6?) ([0-9a-f.:]+)\.([0-9]+) > ([0-9a-f.:]+)\.([0-9]+): (UDP|NONESP|isakmp)?.*/\2 port \3 -> \4 port \5/' |
	sort | uniq -c | sort -rn | head -8 | show
capture_check "nothing but UDP 4500"

# ---------------------------------------------------------------- verdict

for x in $NODES; do overlayd_alive $x || fail "overlayd of $x died: $(tail -3 "$BED_DIR/$x/overlayd.log")"; done
bed_sanitizers
if [ $BED_FAILED = 0 ]; then
	printf '\n%s  All %d checks hold.\n' "$(clock)" "$BED_PASSED"
else
	printf '\n%s  %d of %d checks do NOT hold.\n' "$(clock)" "$BED_FAILED" $((BED_FAILED + BED_PASSED))
fi
if [ -n "$KEEP" ]; then
	cat <<-END

		It is still running. Look around:
		  demo/look head1 overlayctl status
		  demo/look node18 overlayctl doctor
		  demo/look head1 nft list table inet overlayd
		  demo/look router tcpdump -n -i any
		  demo/look node18            (a shell there)
		Logs and configurations: $BED_DIR
		End it: demo/look --end
	END
fi
bed_kept
[ $BED_FAILED = 0 ]
