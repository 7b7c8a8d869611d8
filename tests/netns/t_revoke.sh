#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A removed node still has its key, its old policy and a charon that does as it is told (C7): all of
# its live flows die on all peers, and nothing that it sends is worth anything any more. Before that
# (P4), as a member, it sends as others.
BED_CAPTURE=1 BED_MEASURES=1 BED_CHARON_LOG="chd = 4"
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node head2 hq 11
node node17 aws 17
node node18 aws 18
ALL="head1 head2 node17 node18"
demo_policy
policy_line 's|  mom: .*|&\n  tick: { ports: [udp/9000-9001] }|'
policy_line 's|^allow:|&\n  - { from: exec, to: head, service: tick }\n  - { from: admin, to: head, service: ssh }|'
peer head1 "head" 10.77.0.1
peer head2 "head" 10.77.0.2
peer node17 "exec" 10.77.0.17
peer node18 "exec, admin" 10.77.0.18
up $ALL
for h in head1 head2; do
	for x in node17 node18; do await "sa_up $h $x" 10 "$h-$x"; done
	for port in 17001 22; do tcp_server $h "$(inner $h)" $port; done
	udp_server $h "$(inner $h)" 9000
done
SIX=$(inner6 head1)
tcp_server head1 "$SIX" 15001
tcp_server node17 10.77.0.17 15002
await 'tcp_open node17 10.77.0.1 17001 && tcp_open node18 10.77.0.1 22' 5 "admitted"

# ---------------------------------------------------------------- P4: believed only as itself

expect_not "P4: an exec node does not get the admin's port" tcp_open node17 10.77.0.1 22 1
expect_within "denied node17 'head1 .*tcp/22'" 2 "P4: overlayctl denied names it on the node itself"
# Its own firewall off (it is root there), it must still be stopped at the other end.
freeze node17 overlayd
n node17 nft flush ruleset
expect_not "P4: with its own firewall gone neither" tcp_open node17 10.77.0.1 22 1
expect_within "denied head1 'node17 .*tcp/22'" 2 "P4: head1's overlayctl denied names it"
expect_said_denied() { ctl head1 denied --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
row = [r for r in d["denied"] if r["peer"] == "node17" and r["port"] == "tcp/22"]
sys.exit(not (d["total"] > 0 and row and row[0]["count"] > 0 and row[0]["from"] == "10.77.0.17"))'; }
expect "P4: as JSON too, with a count" expect_said_denied
n node17 ip addr add 10.77.0.18/32 dev lo
as18() { n node17 python3 - <<-'PY'
	import socket
	s = socket.socket(); s.settimeout(1); s.bind(("10.77.0.18", 0)); s.connect(("10.77.0.1", 22))
	PY
}
expect_not "P4: it cannot connect as node18" as18
forge() { # SRC WHAT FIRST-SEQUENCE-NUMBER: into node17's own SA
	n node17 python3 "$BED_HERE/forge_esp.py" "$BED_DIR/node17/charon.log" "$(underlay node17)" \
		"$(underlay head1)" "$1" 10.77.0.1 "$2" 5 "$3"
}
before=$(drops head1 denied-in)
forge 10.77.0.17 tcp:22 100000
expect_within '[ "$(drops head1 denied-in)" -ge '$((before + 5))' ]' 3 "P4: sealed by itself, to another's port: dropped and counted"
refusals() { n head1 awk '/^XfrmIn(TmplMismatch|NoPols|PolError)/ { n += $2 } END { print n + 0 }' /proc/net/xfrm_stat 2>/dev/null; }
before=$(refusals)
forge 10.77.0.18 tcp:22 200000
refused() { # by whoever opens what is sealed: the SA is not for that address
	if kernel_esp; then
		[ "$(refusals)" -ge $((before + 5)) ]
	else
		grep -q 'discarding inbound IP packet 10.77.0.18' "$BED_DIR/head1/charon.log"
	fi
}
expect_within refused 3 "P4: sealed, from another's address: dropped"
forge 10.77.0.17 udp:9001 300000
expect_within "n head1 nft list table inet overlayd | grep -qE 'udp.*counter packets [1-9].* exec>head tick'" 3 "P4: (to an allowed port the same forger gets through)"
thaw node17 overlayd
# The forger ran ahead of its own sequence numbers: that SA is of no use to its owner any more.
vici node17 terminate '{"ike": "ovl.head1", "force": "yes"}' >/dev/null
await 'tcp_open node17 10.77.0.1 17001 0.3' 10 "node17 has a table and an SA again"
n node17 ip addr del 10.77.0.18/32 dev lo 2>/dev/null

# ---------------------------------------------------------------- C7: all of its flows die

# The identities as they are on the wire: a thief knows them all.
ike_id() { vici head1 list-sas '{"ike": "ovl.'"$1"'"}' list-sa | sed -n 's/.*"remote-id": "\([^"]*\)".*/\1/p' | head -1; }
ID17=$(ike_id node17) ID18=$(ike_id node18)
expect "(identities of node17 and node18 are known: $ID17)" [ -n "$ID17" -a -n "$ID18" ]

tcp_client node17 10.77.0.1 17001 a
tcp_client node17 10.77.0.2 17001 b
tcp_client node17 "$SIX" 15001 six
tcp_client head1 10.77.0.17 15002 back1
tcp_client head2 10.77.0.17 15002 back2
udp_client node17 10.77.0.1 9000 udp1
udp_client node17 10.77.0.2 9000 udp2
tcp_client node18 10.77.0.1 17001 other
FLOWS="node17:a node17:b node17:six head1:back1 head2:back2 node17:udp1 node17:udp2"
end_of() { case $1 in b | back2 | udp2) echo head2 ;; *) echo head1 ;; esac; }
for f in $FLOWS; do client_flows ${f%:*} ${f#*:} || fail "$f flows before"; done

# node17's charon goes on: what stops the flows is the other ends alone.
unpeer node17
policy_line 's/serial: 1/serial: 2/'
declare -A told # when that node had the policy, in ms
for x in head1 head2 node18; do
	policy_push $x
	told[$x]=$(mono_ms)
done
expect_within 'sa_none head1 node17 && sa_none head2 node17 && sa_none node18 node17' 3 "C7: SAs are gone on all peers"
for h in head1 head2; do
	expect_within "client_ended $h back${h#head}" 2 "C7: $h's own program is told"
	expect_within "grep -q 'ended 10.77.0.17' $BED_DIR/$h/tcp-17001.log" 2 "C7: its server too"
done
expect_within "grep -q 'ended fd' $BED_DIR/head1/tcp-15001.log" 2 "C7: over IPv6 too"
for f in $FLOWS; do
	late=$(($(last_beat ${f%:*} ${f#*:}) - ${told[$(end_of ${f#*:})]}))
	expect "C7: the last answer on ${f#*:} came ${late} ms after" between $late -30000 $((1000 * BED_SLOW))
done
expect "C7: node18 flows on" client_flows node18 other
expect_not "C7: without a gap" grep -qE 'gap [1-9]' "$BED_DIR/node18/client-other.log"

# ---------------------------------------------------------------- C7: and it cannot come back

# overlayd there goes on trying, by its old policy.
for port in 17001 15001; do expect_not "C7: it does not reach tcp/$port" tcp_open node17 10.77.0.1 $port 1; done
before=$(drops head1 denied-in)
forge 10.77.0.17 tcp:17001 400000
expect_for 'sa_none head1 node17 && sa_none head2 node17 && sa_none node18 node17' 3 "C7: sealed packets of its old SA and its attempts bring no SA"
expect "C7: nor did one sealed packet come through" [ "$(drops head1 denied-in)" = "$before" ]
evil() { # IKE-ID: by hand, with its own key, under a name it had or never had
	vici node17 load-conn "{\"evil\": {\"version\": \"2\", \"encap\": \"yes\", \"local_port\": \"4500\", \"remote_port\": \"4500\",
		\"local_addrs\": [\"$(underlay node17)\"], \"remote_addrs\": [\"$(underlay head1)\"],
		\"proposals\": [\"aes256gcm16-prfsha256-x25519\"],
		\"local\": {\"auth\": \"pubkey\", \"id\": \"@$1\", \"pubkeys\": [\"@@$BED_DIR/node17/pub.der\"]},
		\"remote\": {\"auth\": \"pubkey\"},
		\"children\": {\"evil\": {\"esp_proposals\": [\"aes256gcm16-x25519\"], \"local_ts\": [\"10.77.0.17/32\", \"10.77.0.18/32\"], \"remote_ts\": [\"0.0.0.0/0\"]}}}}" >/dev/null
	vici node17 initiate '{"child": "evil", "ike": "evil", "timeout": "2000"}'
}
openssl pkey -in "$BED_DIR/node17/state/node.key" -pubout -outform DER -out "$BED_DIR/node17/pub.der" 2>/dev/null
for id in "$ID17" "$ID18" node17 node18 nobody; do expect_not "C7: its charon asks as $id: refused" evil $id; done
expect_not "C7: head1 has no SA with its selectors" sh -c "
	nsenter -t $(<"$BED_DIR/head1/anchor") -n -m python3 $BED_HERE/vici.py /run/charon.vici list-sas '{}' list-sa | grep -F 10.77.0.17"
charon_kill node17
charon_start node17
expect_for 'sa_none head1 node17' 2 "C7: nor after its charon's restart"
expect_not "C7: nothing of it is granted anywhere" sh -c "
	for a in $(<"$BED_DIR/head1/anchor") $(<"$BED_DIR/head2/anchor") $(<"$BED_DIR/node18/anchor"); do
		nsenter -t \$a -n nft list table inet overlayd
	done | grep -w 10.77.0.17 | grep -v expires"
expect "C7: node18 never noticed" client_flows node18 other
expect_not "C7: and was not ended" client_ended node18 other

peer node17 "exec" 10.77.0.17
policy_line 's/serial: 2/serial: 3/'
policy_push head1 head2 node18
expect_within 'tcp_open node17 10.77.0.1 17001 0.3' 12 "C7: approved again it is in again"

# Once more, its charon standing still: whoever waits for its answer waits in vain.
await 'tcp_open node17 10.77.0.2 17001 0.3 && tcp_open node18 10.77.0.2 17001 0.3' 12 "all in"
tcp_client node17 10.77.0.1 17001 late1
tcp_client node17 10.77.0.2 17001 late2
for h in 1 2; do client_flows node17 late$h || fail "late$h flows before"; done
unpeer node17
policy_line 's/serial: 3/serial: 4/'
charon_freeze node17
T0=$(mono_ms)
policy_push head1 head2 node18
told_at() { awk -v t0=$T0 '/ended 10.77.0.17/ && $1 * 1000 >= t0 {printf "%d", $1 * 1000 - t0; exit}' "$BED_DIR/$1/tcp-17001.log"; }
for h in head1 head2; do
	await '[ -n "$(told_at $h)" ]' 3 "$h's server is told" &&
		expect "C7: its charon frozen: $h's connection is ended after $(told_at $h) ms" between "$(told_at $h)" 0 $((1000 * BED_SLOW))
done
expect_within 'sa_none head1 node17 && sa_none head2 node17 && sa_none node18 node17' 6 "C7: its charon frozen: SAs are gone on all peers"
charon_thaw node17
expect_for 'sa_none head1 node17' 1 "C7: thawed, it has none again"
alive $ALL
done_testing
