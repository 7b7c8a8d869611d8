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
		 │         10.77.0.1   │   │ UDP 4500     │ │ │        10.77.0.17   │
		 └─────────────────────┘   │ and nothing  │ │ ├─────────────────────┤
		                           │ else         │ └─┤ node18 198.51.100.18│
		                           └──────────────┘   │        10.77.0.18   │
		                                              └─────────────────────┘
		 Each has its own charon and its own overlayd. node18 is not approved yet.

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
# At most 78 columns of what programs say; what is wrapped is indented.
show() {
	awk '{
		line = $0
		match(line, /^ */)
		pad = substr("                        ", 1, RLENGTH + 4)
		while (length(line) > 78) {
			cut = 78
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

# everywhere TAG NODES COMMAND…: overlayctl on these nodes at once, as Ansible would.
everywhere() {
	local tag=$1 nodes=$2 x pids=""
	shift 2
	for x in $nodes; do
		ctl "$x" "$@" >"$BED_DIR/$x/$tag.log" 2>&1 &
		pids="$pids $!:$x"
	done
	for x in $pids; do
		wait "${x%:*}" || fail "$tag on ${x#*:}: $(cat "$BED_DIR/${x#*:}/$tag.log")"
	done
}

# ---------------------------------------------------------------- the cluster

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
node node18 aws 18
capture_start
NODES="head1 node17 node18"

demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17

step "The policy, the same files on every node (git, Ansible, scp: as you like)"
cat "$BED_DIR/policy/policy.yaml" "$BED_DIR"/policy/peers.d/*.yaml |
	sed 's/AAAAC3NzaC1lZDI1NTE5AAAAI[^ ]*\([^ ]\{4\}\) /AAAA…\1 /' | show

step "charon and overlayd start on head1, node17 and node18"
for x in $NODES; do
	charon_start $x
	policy_push $x
	overlayd_start $x
done
expect_within 'sa_up head1 node17' 10 "head1 and node17 have a tunnel"
for port in 17001 22; do tcp_server head1 10.77.0.1 $port; done
tcp_server head1 "$(underlay head1)" 15001

step "node17 is approved for PBS on head1, and for nothing else"
expect_within 'tcp_open node17 10.77.0.1 17001' 5 "node17 reaches head1 tcp/17001"
expect_not "node17 does not reach head1 tcp/22" tcp_open node17 10.77.0.1 22
ctl head1 explain node17 head1 tcp/22 2>&1 | show

step "node18 runs the same software, but nobody approved it"
expect_not "node18 does not reach head1 tcp/17001 by its overlay address" tcp_open node18 10.77.0.1 17001
expect_not "nor tcp/15001 by its address in the internet" tcp_open node18 "$(underlay head1)" 15001
expect_not "nor does it get an answer to ping" ping node18 10.77.0.1

step "overlayctl approve node18 …, on every node"
KEY=$(node_key node18)
spawn node18 waiter "$BED_DIR/node18/waiter.log" python3 "$BED_HERE/tcp.py" wait 10.77.0.1 17001
await "grep -q waiting $BED_DIR/node18/waiter.log" 5 "a program on node18 that tries and tries"
T0=$(now_mono)
everywhere approve "$NODES" approve node18 "$KEY" --address 10.77.0.18 --site aws --role exec \
	--endpoint "$(underlay node18)"
within_ms "$BED_DIR/node18/waiter.log" open 1000 "node18 reaches head1 tcp/17001"
await 'sa_up head1 node18' 5 "the tunnel in the table"
ctl head1 status | show

step "node17 has running connections, to head1 and to node18; it is revoked"
tcp_server node18 10.77.0.18 15002
await 'tcp_open node17 10.77.0.18 15002' 5 "node17 reaches node18"
tcp_client node17 10.77.0.1 17001
tcp_client node17 10.77.0.18 15002
T0=$(now_mono)
everywhere revoke "head1 node18" revoke node17
within_ms "$BED_DIR/head1/tcp-17001.log" "ended 10.77.0.17" 1000 "head1's server was told: its connection from node17 is ended"
within_ms "$BED_DIR/node18/tcp-15002.log" "ended 10.77.0.17" 1000 "node18's server too"
expect_within 'sa_none head1 node17 && sa_none node18 node17' 5 "no tunnel to node17 is left"
expect_not "node17 reaches head1 no more" tcp_open node17 10.77.0.1 17001
expect "node18 still does" tcp_open node18 10.77.0.1 17001

step "charon on head1 is killed, for a moment: is anything sent in clear?"
charon_kill head1
expect_not "without charon nothing gets out" tcp_open head1 10.77.0.18 15002
charon_start head1
expect_within 'tcp_open node18 10.77.0.1 17001 0.5' 15 "charon is back, and with it the tunnel"

step "What the router saw, in all this time"
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
