#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# overlayd at rest with 1,000 peers: all connections loaded into a real charon, nobody there (they
# are the ones to call). Its memory, its CPU over a while that includes a periodic look at all SAs
# (30 s), and what an unchanged reload sends.
. "$(dirname "$0")/bed.sh"
bed "$@"
PEERS=${PEERS:-1000}
WATCH=${WATCH:-32}

site hq 192.0.2
node hub hq 10
charon_start hub
rmdir "$BED_DIR/hub/etc/peers.d" "$BED_DIR/hub/etc"
"$BENCH_BIN/policy" make "$BED_DIR/hub/etc" "$PEERS" files none
(umask 077 && "$BENCH_BIN/cluster" key 0 >"$BED_DIR/hub/state/node.key")
started=$(now_ms)
overlayd_start hub
loaded() { [ "$(n hub python3 "$BED_HERE/vici.py" /run/charon.vici get-conns | grep -o 'ovl\.n' | wc -l)" -ge "$PEERS" ]; }
await loaded 60 "$PEERS connections loaded"
took=$(($(now_ms) - started))
pid=$(<"$BED_DIR/hub/overlayd.pid")
memory() { awk -v k="$1:" '$1 == k {printf "%.2f", $2 / 1024}' "/proc/$pid/$2"; }
cpu_ns() { cat /proc/"$pid"/task/*/schedstat | awk '{t += $1} END {printf "%.0f", t}'; }
# At rest: no CPU used for a whole second.
quiet() {
	local before
	before=$(cpu_ns)
	sleep 1
	[ $(($(cpu_ns) - before)) -lt 2000000 ]
}
await quiet 30 "overlayd is quiet"

before=$(cpu_ns)
sleep "$WATCH"
used=$(($(cpu_ns) - before))
title idle "overlayd at rest, $PEERS peers in the policy, their connections loaded" \
	"one daemon, watched for $WATCH s of which one look at all SAs is part; memory at the end"
row idle "from start to all connections loaded" "$took" ms
row idle "resident memory (VmRSS)" "$(memory VmRSS status)" MB "<=" 12
row idle "of that its own (Pss)" "$(memory Pss smaps_rollup)" MB
row idle "peak resident memory (VmHWM)" "$(memory VmHWM status)" MB
row idle "CPU when idle" "$(calc "100 * $used / ($WATCH * 1e9)")" % "<=" 0.2

# ---------------------------------------------------------------- an unchanged reload

if ! command -v strace >/dev/null; then
	skipped idle "unchanged reload: netlink and vici" "strace is missing: make deps-bench"
	exit 0
fi
# traced TRACE: one reload, and what overlayd sent meanwhile. Its end of the vici socket has no
# name: all that goes to a UNIX socket and not to overlayctl's.
traced() {
	local trace=$BED_DIR/hub/$1
	spawn hub strace "$BED_DIR/hub/strace.log" strace -f -qq -yy -s 0 \
		-e trace=sendto,sendmsg,write,writev -o "$trace" -p "$pid"
	await "grep -q '^TracerPid:.*[1-9]' /proc/$pid/status" 5 "strace at overlayd"
	ctl hub reload >"$BED_DIR/hub/reload.log" 2>&1 || fail "reload: $(cat "$BED_DIR/hub/reload.log")"
	poll "[ \$(vici_sent $1) -gt 0 ]" 1
	kill -INT "$(<"$BED_DIR/hub/strace.pid")"
	await "! grep -q '^TracerPid:.*[1-9]' /proc/$pid/status" 5 "strace has gone"
}
netlink_sent() { grep -c NETLINK "$BED_DIR/hub/$1"; }
vici_sent() { grep 'UNIX' "$BED_DIR/hub/$1" | grep -vc 'admin\.sock'; }

traced unchanged
grep -q 'admin\.sock' "$BED_DIR/hub/unchanged" || fail "strace saw nothing of the reload"
rm "$BED_DIR/hub/etc/peers.d/n00001.yaml"
traced changed
row idle "unchanged reload: netlink messages" "$(netlink_sent unchanged)" "" "==" 0
row idle "unchanged reload: vici requests" "$(vici_sent unchanged)" "" "==" 0
row idle "for comparison, one peer less: netlink messages" "$(netlink_sent changed)" "" ">=" 1
row idle "for comparison, one peer less: vici requests" "$(vici_sent changed)" "" ">=" 1
