#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# 200 peers brought up: overlayd (policy read, firewall, connections, tunnels) against the barest
# loop over vici (connections, tunnels). The peers are one other charon with 200 identities.
#
# What is measured: from the first file of the 200 peers being copied to the policy directory (the bare
# loop: from its first byte to charon) to the 200th CHILD_SA, seen by the same observer. In both cases this
# node's own overlay address is there before. That it is not, at a node's very first policy, costs once and whatever
# the number of peers 0.2 s in which overlayd lets charon learn of it: this has a row of its own.
. "$(dirname "$0")/bed.sh"
bed "$@"
PEERS=${PEERS:-200}
ROUNDS=${ROUNDS:-9}
ROUNDS_FIRST=${ROUNDS_FIRST:-3} # of them also from nothing

site hq 192.0.2
node hub hq 10
node peers hq 20
"$BENCH_BIN/cluster" addresses 1 "$PEERS" >"$BED_DIR/addresses"
"$BENCH_BIN/cluster" addresses 0 0 >"$BED_DIR/addresses-hub"
n peers ip -batch "$BED_DIR/addresses"
n hub ip route add 198.18.0.0/15 via "$(underlay peers)"

"$BENCH_BIN/policy" make "$BED_DIR/full" "$PEERS" files endpoints
"$BENCH_BIN/policy" make "$BED_DIR/empty" 0 files endpoints
"$BENCH_BIN/cluster" key 0 >"$BED_DIR/hub.key" && chmod 0600 "$BED_DIR/hub.key"

# begin: both charons anew, the peers' one loaded.
begin() {
	charon_start hub
	charon_start peers
	n peers "$BENCH_BIN/up" responder /run/charon.vici "$PEERS" || exit 1
}
end() {
	charon_kill hub
	charon_kill peers
}

run_bare() {
	begin
	n hub ip -batch "$BED_DIR/addresses-hub"
	n hub "$BENCH_BIN/up" bare /run/charon.vici "$PEERS" || exit 1
	sed 's/^addr add/addr del/; s/ nodad//' "$BED_DIR/addresses-hub" | n hub ip -batch -
	end
}

# run_overlayd more: it runs, with a policy in which this node is alone; 200 peers are added.
# run_overlayd first: it runs, without any policy; the first one comes, with 200 peers.
run_overlayd() {
	local etc=$BED_DIR/hub/etc add
	add="cp $BED_DIR/full/peers.d/* $etc/peers.d/"
	rm -rf "$etc" "$BED_DIR/hub/state"
	cp -r "$BED_DIR/empty" "$etc"
	mkdir -m 0700 "$BED_DIR/hub/state"
	cp -p "$BED_DIR/hub.key" "$BED_DIR/hub/state/node.key"
	if [ "$1" = first ]; then
		rm "$etc/policy.yaml"
		add="$add && cp $BED_DIR/full/policy.yaml $etc/"
	fi
	begin
	overlayd_start hub
	await "grep -q 'connected to charon' $BED_DIR/hub/overlayd.log" 10 "overlayd and charon"
	if [ "$1" = more ]; then
		await "n hub ip addr show | grep -q 'inet 10.77'" 10 "the hub's overlay address"
		# Answered when all of the first policy is done, and charon knows the address.
		ctl hub reload >/dev/null || exit 1
	fi
	n hub "$BENCH_BIN/up" command /run/charon.vici "$PEERS" \
		"$add && $BED_B/overlayctl reload >/dev/null" || exit 1
	awk '{print $1 / 1e6}' "/proc/$(<"$BED_DIR/hub/overlayd.pid")/schedstat" >>"$BED_DIR/own.ms"
	awk '{print $1 / 1e6}' /proc/"$(<"$BED_DIR/hub/charon.pid")"/task/*/schedstat | awk '{t += $1} END {print t}' >>"$BED_DIR/charon.ms"
	overlayd_kill hub
	n hub "$BED_B/overlayd" --flush --vici /none --state "$BED_DIR/hub/state" >/dev/null 2>&1
	rm -f "$BED_DIR/hub/overlayd.log"
	end
}

for ((r = 0; r < ROUNDS; r++)); do
	if [ $((r % 2)) = 0 ]; then
		run_overlayd more >>"$BED_DIR/overlayd.s"
		run_bare >>"$BED_DIR/bare.s"
	else
		run_bare >>"$BED_DIR/bare.s"
		run_overlayd more >>"$BED_DIR/overlayd.s"
	fi
	if [ $r -lt "$ROUNDS_FIRST" ]; then run_overlayd first >>"$BED_DIR/first.s"; fi
done
ours=$(minimum <"$BED_DIR/overlayd.s")
bare=$(minimum <"$BED_DIR/bare.s")
title up "$PEERS peers brought up, real charon at both ends" \
	"$ROUNDS rounds of each in turn, fresh charons every time; best round of each"
row up "overlayd, from the peers' files on" "$(calc "$PEERS / $ours")" SAs/s
row up "the barest loop over vici" "$(calc "$PEERS / $bare")" SAs/s
row up "overlayd : barest loop" "$(calc "$bare / $ours")" x ">=" 0.9
row up "the same, ratio of medians" "$(calc "$(median <"$BED_DIR/bare.s") / $(median <"$BED_DIR/overlayd.s")")" x
row up "overlayd, a node's first policy, 0.2 s for its address" "$(calc "$PEERS / $(minimum <"$BED_DIR/first.s")")" SAs/s
row up "CPU of overlayd, its start included" "$(median <"$BED_DIR/own.ms")" ms
row up "CPU of the charon that it drives" "$(median <"$BED_DIR/charon.ms")" ms
