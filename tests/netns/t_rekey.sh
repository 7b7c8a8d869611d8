#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Rekeying under load (P5): children and IKE_SAs, from either end and from both at once. A running
# transfer loses no packet, overlayd takes the new SAs for the old tunnel, and nothing but UDP 4500 is
# on the wire. REKEY_ROUNDS (2) of each kind.
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
demo_policy
policy_line 's/^services:/&\n  flow: { ports: [tcp\/9000, udp\/9000] }/; s/^allow:/&\n  - { from: exec, to: head, service: flow }/'
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
up head1 node17
await '[ "$(peer_state head1 node17)" = up ]' 20 "tunnel"
spawn head1 watch "$BED_DIR/head1/watch.log" "$BED_B/overlayctl" status --watch --json
spawn head1 flow "$BED_DIR/head1/flow.log" python3 "$BED_HERE/flow.py" server 10.77.0.1 9000
await "grep -q listening $BED_DIR/head1/flow.log" 5 "server"
await 'tcp_open node17 10.77.0.1 9000' 5 "reached"

# Slow enough that a busy machine's stall of half a second does not fill charon's socket (libipsec).
RATE=40
if [ "$BED_SLOW" != 1 ]; then RATE=15; fi
flow_start() { # KIND
	spawn node17 "flow-$1" "$BED_DIR/node17/flow-$1.log" python3 "$BED_HERE/flow.py" "$1" 10.77.0.1 9000 $RATE
	await "grep -q established $BED_DIR/node17/flow-$1.log" 10 "$1 flow"
}
flow_back() { awk -v k=back '{ for (i = 1; i < NF; i++) if ($i == k) n = $(i + 1) } END { print n + 0 }' "$BED_DIR/node17/flow-$1.log"; }
flow_stop() {
	kill -TERM "$(<"$BED_DIR/node17/flow-$1.pid")"
	await "grep -q ' done ' $BED_DIR/node17/flow-$1.log" 5 "$1 flow's last word"
	note "$1: $(sed -n 's/.* done //p' "$BED_DIR/node17/flow-$1.log")"
}
# moved N: both flows have had N more echoes.
moved() {
	local u t
	u=$(($(flow_back udp) + $1)) t=$(($(flow_back tcp) + $1))
	poll "[ \$(flow_back udp) -ge $u ] && [ \$(flow_back tcp) -ge $t ]" 20
}
sa_ids() { sas "$1" | awk '{ print $3 }' | sort | tr '\n' ' '; }
spis() { # of the children that are installed
	"$BED_B/tests/netns/vici_sas" "$(run_dir "$1")/charon.vici" "ovl.$([ "$1" = head1 ] && echo node17 || echo head1)" spis |
		sort | tr '\n' ' '
}
rekey() { # NODE ike|child
	case $2 in
	ike) vici "$1" rekey "{\"ike\": \"ovl.$([ "$1" = head1 ] && echo node17 || echo head1)\"}" ;;
	child) vici "$1" rekey '{"child": "ovl"}' ;;
	esac >>"$BED_DIR/$1/rekey.log" 2>&1
}
one_left() { [ "$(sas head1 node17 | wc -l)" = 1 ] && [ "$(sas node17 head1 | wc -l)" = 1 ] && sa_up head1 node17 && sa_up node17 head1; }
# renewed KIND: whether what the rekeying was about has another id now, at both ends.
renewed() {
	if [ "$1" = ike ]; then
		[ "$(sa_ids head1)" != "$ids1" ] && [ "$(sa_ids node17)" != "$ids2" ]
	else
		[ "$(spis head1)" != "$spis1" ] && [ "$(spis node17)" != "$spis2" ]
	fi
}
round() { # KIND NODE…
	local kind=$1
	shift
	ids1=$(sa_ids head1) ids2=$(sa_ids node17) spis1=$(spis head1) spis2=$(spis node17)
	moved 10 || fail "the flows stand still before a rekeying"
	echo "$(mono_ms) $kind by $*" >>"$BED_DIR/rekeyed"
	pids=
	for x in "$@"; do
		rekey "$x" "$kind" &
		pids="$pids $!"
	done
	wait $pids
	poll "renewed $kind" 10 || { fail "$kind rekeyed by $*: nothing was renewed"; return; }
	moved 20 || { fail "$kind rekeyed by $*: a flow stands still"; return; }
}

flow_start udp
flow_start tcp
before=$(sa_ids head1)
for kind in child ike; do
	for who in head1 node17 "head1 node17"; do
		for _ in $(seq "${REKEY_ROUNDS:-2}"); do round $kind $who; done
		expect "$kind rekeyed by $who under load: both flows go on" moved 10
	done
done
for _ in $(seq "${REKEY_ROUNDS:-2}"); do
	echo "$(mono_ms) all of it" >>"$BED_DIR/rekeyed"
	rekey head1 ike & rekey node17 child & rekey head1 child & rekey node17 ike & # all of it
	moved 20
done
expect_within one_left 20 "one IKE_SA with one child is left at each end"
expect "it is another than at first" [ "$before" != "$(sa_ids head1)" ]
moved 20
flow_stop udp
flow_stop tcp
# When something is lost: after which rekeying, and what the kernel knows of it.
why() {
	sed -n 's/.* done //p' "$BED_DIR/node17/flow-udp.log" | grep -oE '[0-9]+@[0-9.]+' | while IFS=@ read -r number at; do
		note "datagram $number, $(awk -v t="${at/./}" '$1 <= t { d = t - $1; $1 = ""; w = $0 } END { print d, "ms after", w }' "$BED_DIR/rekeyed")"
	done
	for x in head1 router node17; do
		note "$x: $(n $x cat /proc/net/xfrm_stat 2>/dev/null | awk '$2 > 0 { printf "%s %s ", $1, $2 }') $(n $x cat /proc/net/softnet_stat | awk '{ printf "%s ", $2 }')"
		note "$x: $(n $x nstat -asz 2>/dev/null | awk '/Discards|RcvbufErrors|InErrors/ && $2 > 0 { printf "%s %s ", $1, $2 }')"
	done
}
lost() { sed -n 's/.* done .* lost \([0-9]*\).*/\1/p' "$BED_DIR/node17/flow-$1.log"; }
if [ "$(lost udp)" != 0 ]; then why; fi
expect "no datagram was lost" [ "$(lost udp)" = 0 ]
expect_not "and the TCP stream never ended" grep -h ' ended ' "$BED_DIR/node17/flow-tcp.log"
expect "status says up" [ "$(peer_state head1 node17)" = up ]
expect_not "and nobody was told of a change: the tunnel never went" grep -E '"(down|degraded|connecting)"' "$BED_DIR/head1/watch.log"
alive head1 node17
done_testing
