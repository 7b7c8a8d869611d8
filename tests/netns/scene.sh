# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the tests of whole clusters share beyond the bed (lib.sh reads this): nodes in one go, IPv6
# inside, more links, UDP and bulk traffic, the policy edited, captures on every cable.

# ---------------------------------------------------------------- nodes

# up NODE…: charon, the policy as it is now, overlayd.
up() {
	local x
	for x in "$@"; do
		charon_start "$x"
		policy_push "$x"
		overlayd_start "$x"
	done
}
# three_nodes: head1 in hq, node17 and node18 in aws, each approved; what many tests begin with.
three_nodes() {
	site hq 192.0.2
	site aws 198.51.100
	node head1 hq 10
	node node17 aws 17
	node node18 aws 18
	demo_policy
	peer head1 "head" 10.77.0.1
	peer node17 "exec" 10.77.0.17
	peer node18 "exec" 10.77.0.18
}
alive() { # NODE…: no daemon died of it
	local x
	for x in "$@"; do
		if ! overlayd_alive "$x"; then
			fail "overlayd of $x died: $(tail -3 "$BED_DIR/$x/overlayd.log")"
			return
		fi
	done
	pass "overlayd is alive on $*"
}
# freeze NODE TAG, thaw NODE TAG: a program spawned there stands still, without a word.
freeze() { kill -STOP "$(<"$BED_DIR/$1/$2.pid")"; }
thaw() { kill -CONT "$(<"$BED_DIR/$1/$2.pid")"; }

# link NODE SITE HOST DEV: one more cable; its route is that of the site alone.
link() {
	local name=$1 dev=$4 holder prefix number nat
	read -r holder prefix number nat <"$BED_DIR/site-$2"
	cable "$name" "$dev" "$holder" "p-$name-$dev"
	n "$holder" ip link set "p-$name-$dev" master "br-$2"
	n "$name" ip addr add "$prefix.$3/24" dev "$dev"
	echo "$holder" >"$BED_DIR/$name/holder-$dev"
}
link_cut() { n "$(<"$BED_DIR/$1/holder-$2")" ip link set "p-$1-$2" nomaster; }
link_mend() { n "$(<"$BED_DIR/$1/holder-$2")" ip link set "p-$1-$2" master "br-$3"; }

# field NODE PYTHON: what status says, as in: field head1 's["peers"][0]["state"]'
field() {
	ctl "$1" status --json 2>/dev/null | python3 -c "
import json, sys
s = json.load(sys.stdin)
peer = {p['name']: p for p in s['peers']}
print($2)" 2>/dev/null
}
peer_state() { field "$1" "peer['$2']['state']"; }
inner6() { field "$1" 's["node"]["address6"]'; }
# table NODE: our ruleset as the kernel has it.
table() { n "$1" nft list table inet overlayd; }
# drops NODE REASON: packets that the rules of this reason have counted.
drops() {
	table "$1" | sed -n "s/.*counter packets \([0-9]*\) .*\"drop $2\".*/\1/p" | awk '{s += $1} END {print s + 0}'
}
# denied NODE PATTERN: a line of `overlayctl denied` has it.
denied() { ctl "$1" denied | grep -qE -- "$2"; }
logged() { grep -qE -- "$2" "$BED_DIR/$1/overlayd.log"; }

# between VALUE LOW HIGH
between() { [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]; }

# ---------------------------------------------------------------- traffic

udp_server() { # NODE ADDRESS PORT
	: >"$BED_DIR/$1/udp-$3.log"
	spawn "$1" "udp-$3" "$BED_DIR/$1/udp-$3.log" python3 "$BED_HERE/tcp.py" udpserver "$2" "$3"
	await "grep -q listening $BED_DIR/$1/udp-$3.log" 5 "UDP server on $1 $2 port $3"
}
# udp_client NODE ADDRESS PORT LABEL: as tcp_client, but it never gives up.
udp_client() {
	local log=$BED_DIR/$1/client-$4.log
	: >"$log"
	spawn "$1" "client-$4" "$log" python3 "$BED_HERE/tcp.py" udpclient "$2" "$3"
	await "grep -q established $log" 5 "UDP client on $1 to $2 port $3"
}
# last_beat NODE LABEL: monotonic ms of the last answer that this client got.
last_beat() { awk '/ beat /{t = $1} END {printf "%d\n", t * 1000}' "$BED_DIR/$1/client-$2.log"; }
mono_ms() { python3 -c 'import time; print(int(time.monotonic() * 1000))'; }

bulk_sink() { # NODE ADDRESS PORT
	: >"$BED_DIR/$1/sink-$3.log"
	spawn "$1" "sink-$3" "$BED_DIR/$1/sink-$3.log" python3 "$BED_HERE/tcp.py" sink "$2" "$3"
	await "grep -q listening $BED_DIR/$1/sink-$3.log" 5 "sink on $1 $2 port $3"
}
bulk_send() { n "$1" python3 "$BED_HERE/tcp.py" send "$2" "$3" "$4"; } # NODE ADDRESS PORT MB

# ---------------------------------------------------------------- policy

# policy_line SED-SCRIPT: edit the cluster's policy.yaml.
policy_line() { sed -i "$1" "$BED_DIR/policy/policy.yaml"; }
# endpoints NODE A,B: what `peer` writes for it instead of its one address.
endpoints() { echo "$2" >"$BED_DIR/$1/endpoints"; }

# ---------------------------------------------------------------- every cable

# cables_capture NODE…: what each node itself puts on its cable and gets from it, inside a site too.
cables_capture() {
	local x
	for x in "$@"; do
		spawn "$x" tcpdump "$BED_DIR/$x/tcpdump.out" tcpdump -Z root -U -n -i e0 -s 128 -w "$BED_DIR/$x/cable.pcap"
		await "grep -q listening $BED_DIR/$x/tcpdump.out" 10 "capture on $x"
	done
}
# What is not UDP 4500, since the last check.
CABLE_SINCE=0
cable_clear() {
	tcpdump -tt -n -r "$BED_DIR/$1/cable.pcap" "$WIRE_QUIET and not udp port 4500" 2>/dev/null |
		awk -v since="$CABLE_SINCE" '$1 >= since'
}
# cables_check WHAT NODE…: all that each of them carried since the last check was UDP 4500.
cables_check() {
	local what=$1 x good bad now=$EPOCHREALTIME
	shift
	for x in "$@"; do
		good=$(tcpdump -n -r "$BED_DIR/$x/cable.pcap" 'udp port 4500' 2>/dev/null | wc -l)
		bad=$(cable_clear "$x" | wc -l)
		if [ "$bad" = 0 ]; then
			pass "$what: cable of $x ($good packets so far)"
		else
			fail "$what: cable of $x: $bad packets in clear: $(cable_clear "$x" | head -3)"
		fi
	done
	CABLE_SINCE=$now
}
