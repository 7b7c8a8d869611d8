#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Revocation everywhere: from `overlayctl revoke NAME` on an admin's node to the last packet of that
# node that any of 20 others delivers; beside nebula with the same cut.
#
# The revoked node sends a datagram to each of the others every EVERY_US, before, meanwhile and after; its
# own overlayd stands still from then on, as if it were hostile. All of the others are read by one program, by
# one clock, which starts before the command does (revoke.c). In overlayd's case the admin's node is no
# seed: the bundle goes from it to the two seeds, and from them to the rest. nebula has nothing that
# brings a blocklist to the nodes: all get it at once here, by one file that is part of each one's configuration,
# and one signal. This flatters it. disconnect_invalid is on, without which it never ends a tunnel.
. "$(dirname "$0")/bed.sh"
. "$BED_HERE/cluster.sh"
bed "$@"
NODES=${NODES:-20}
ROUNDS=${ROUNDS:-7}
ROUNDS_NEBULA=${ROUNDS_NEBULA:-5}
EVERY_US=${EVERY_US:-5000}
PORT=9000

site hq 192.0.2
site aws 198.51.100
ALL=
for ((i = 1; i <= NODES; i++)); do
	printf -v x 'n%02d' $i
	if [ $((i % 2)) = 1 ]; then node "$x" hq $((i + 10)); else node "$x" aws $((i + 10)); fi
	ALL="$ALL $x"
done
node bad aws 200
ADMIN=$x # the last: not a seed

# sender_start NETWORK, hearers NETWORK: 10.77.0 or 10.89.0.
sender_start() {
	local to=
	for ((i = 1; i <= NODES; i++)); do to="$to $1.$i"; done
	# shellcheck disable=SC2086
	spawn bad sender "$BED_DIR/bad/sender.log" "$BENCH_BIN/revoke" send "$EVERY_US" $PORT $to
}
sender_end() {
	kill -KILL "$(<"$BED_DIR/bad/sender.pid")" && wait "$(<"$BED_DIR/bad/sender.pid")" 2>/dev/null
}
hearers() {
	local x
	i=0
	for x in $ALL; do echo "$(<"$BED_DIR/$x/anchor")=$1.$((i += 1))"; done
}
# cut_time NETWORK SECONDS COMMAND…: milliseconds: the last datagram, the first node's last, the command's.
cut_time() {
	local network=$1 limit=$2
	shift 2
	# shellcheck disable=SC2046
	"$BENCH_BIN/revoke" cut $PORT "$limit" $(hearers "$network") -- "$@"
}

# ---------------------------------------------------------------- overlayd

overlayd_policy() {
	local x i=0
	mkdir -p "$BED_DIR/policy/peers.d"
	cat >"$BED_DIR/policy/policy.yaml" <<-END
		cluster: bench
		serial: 1
		overlay: 10.77.0.0/16
		sites: { hq: {}, aws: {} }
		services:
		  tick: { ports: [udp/$PORT] }
		allow:
		  - { from: exec, to: exec, service: tick }
	END
	for x in $ALL; do
		i=$((i + 1))
		peer "$x" "exec$([ $i -gt 2 ] || echo ', seed')" "10.77.0.$i"
	done
	peer bad "exec" 10.77.0.200
}

# All tunnels, and one signed policy everywhere.
overlayd_begin() {
	local x
	overlayd_policy
	for x in $ALL bad; do policy_push "$x"; done
	# shellcheck disable=SC2086
	cluster_key "$ADMIN" $ALL bad
	for x in $ALL bad; do charon_start "$x"; done
	for x in $ALL bad; do overlayd_start "$x"; done
	await '[ "$(field $ADMIN "s[\"settled\"]")" = True ]' 30 "the admin's node has its tunnels"
	ctl "$ADMIN" sign --load --wait=30 >"$BED_DIR/admin.log" 2>&1 || fail "sign: $(cat "$BED_DIR/admin.log")"
	await 'heard $ADMIN 1 $ALL bad' 30 "serial 1 everywhere"
}

overlayd_end_all() {
	local x
	for x in $ALL bad; do
		overlayd_kill "$x"
		charon_kill "$x"
		# Killed, it goes on protecting; nebula is not to be measured through that.
		n "$x" "$BED_B/overlayd" --flush --vici /none --state "$BED_DIR/$x/state" >/dev/null 2>&1
	done
}

approve_again() {
	ctl "$ADMIN" approve bad "$(node_key bad) bad" --address 10.77.0.200 --site aws --role exec \
		--endpoint "$(underlay bad)" --wait=30 >"$BED_DIR/admin.log" 2>&1 || fail "approve: $(cat "$BED_DIR/admin.log")"
	# shellcheck disable=SC2086
	await 'heard $ADMIN "$(serial_of $ADMIN)" $ALL' 30 "approved everywhere"
}

overlayd_side() {
	local r
	overlayd_begin
	sender_start 10.77.0
	for ((r = 0; r < ROUNDS; r++)); do
		if [ $r != 0 ]; then approve_again; fi
		# Its datagrams come everywhere before its overlayd is frozen.
		"$BENCH_BIN/revoke" hear $PORT $(hearers 10.77.0) || return 1
		freeze bad overlayd
		cut_time 10.77.0 30 nsenter --target "$(<"$BED_DIR/$ADMIN/anchor")" --net --mount --uts --root --wd -- \
			"$BED_B/overlayctl" --config "$BED_DIR/$ADMIN/etc" --state "$BED_DIR/$ADMIN/state" revoke bad || return 1
		thaw bad overlayd
	done
	sender_end
	overlayd_end_all
}

# ---------------------------------------------------------------- nebula

nebula_node() { # NAME INNER
	local d=$BED_DIR/$1/nebula
	mkdir -p "$d/etc"
	(cd "$BED_DIR" && nebula-cert sign -name "$1" -ip "$2/24" -out-crt "$d/crt" -out-key "$d/key") || return 1
	cat >"$d/etc/config.yml" <<-END
		pki: { ca: $BED_DIR/ca.crt, cert: $d/crt, key: $d/key, disconnect_invalid: true }
		static_host_map: { "10.89.0.1": ["$(underlay n01):4500"] }
		lighthouse:
		  am_lighthouse: $([ "$1" = n01 ] && echo true || echo false)
		  hosts: [$([ "$1" = n01 ] || echo '"10.89.0.1"')]
		listen: { host: 0.0.0.0, port: 4500 }
		tun: { dev: neb0, mtu: 1400 }
		firewall:
		  outbound: [{ port: any, proto: any, host: any }]
		  inbound: [{ port: any, proto: any, host: any }]
	END
	ln -s "$BED_DIR/blocklist.yml" "$d/etc/blocklist.yml"
	spawn "$1" nebula "$BED_DIR/$1/nebula.log" nebula -config "$d/etc"
}

# blocklist_write FILE [FINGERPRINT]
blocklist_write() { echo "pki: { blocklist: [${2:+\"$2\"}] }" >"$1"; }

nebula_side() {
	local r pids='' fingerprint
	(cd "$BED_DIR" && nebula-cert ca -name bench) || return 1
	blocklist_write "$BED_DIR/blocklist.yml"
	i=0
	for x in $ALL; do nebula_node "$x" 10.89.0.$((i += 1)) || return 1; done
	nebula_node bad 10.89.0.200 || return 1
	for x in $ALL bad; do await "n $x ip -4 addr show dev neb0 | grep -q inet" 20 "nebula of $x"; done
	for x in $ALL; do pids="$pids $(<"$BED_DIR/$x/nebula.pid")"; done
	fingerprint=$(nebula-cert print -json -path "$BED_DIR/bad/nebula/crt" |
		sed -n 's/.*"fingerprint":"\([0-9a-f]*\)".*/\1/p')
	[ ${#fingerprint} = 64 ] || fail "nebula: no fingerprint of the certificate"
	sender_start 10.89.0
	for ((r = 0; r < ROUNDS_NEBULA; r++)); do
		blocklist_write "$BED_DIR/cut.yml" "$fingerprint"
		cut_time 10.89.0 60 sh -c "mv $BED_DIR/cut.yml $BED_DIR/blocklist.yml && kill -HUP $pids" || return 1
		blocklist_write "$BED_DIR/open.yml"
		# shellcheck disable=SC2086
		mv "$BED_DIR/open.yml" "$BED_DIR/blocklist.yml" && kill -HUP $pids
	done
	sender_end
	for x in $ALL bad; do kill -KILL "$(<"$BED_DIR/$x/nebula.pid")"; done
	wait $pids "$(<"$BED_DIR/bad/nebula.pid")" 2>/dev/null
	return 0
}

# ---------------------------------------------------------------- both

numbers() { awk -v c="$2" '{print $c}' "$BED_DIR/$1.ms"; } # SIDE COLUMN

overlayd_side >"$BED_DIR/overlayd.ms" || fail "overlayd: no measurement"
title revoke "Revocation everywhere: $NODES nodes, two sites, two seeds" \
	"from before the command on an admin's node to the last packet of the revoked node that any of $NODES others delivers; it sends to each every $((EVERY_US / 1000)) ms, its own overlayd frozen; $ROUNDS revocations, nebula $ROUNDS_NEBULA; nebula's blocklist is handed to all nodes at once, as nothing of its own does it"
ours=$(numbers overlayd 1 | median)
row revoke "overlayctl revoke: last packet anywhere, median" "$ours" ms "<=" 250
row revoke "worst" "$(numbers overlayd 1 | maximum)" ms
row revoke "the first node to hear nothing more, median" "$(numbers overlayd 2 | median)" ms
row revoke "overlayctl's own time, median" "$(numbers overlayd 3 | median)" ms
if ! command -v nebula-cert >/dev/null; then
	skipped revoke "nebula: last packet anywhere" "nebula is missing: make deps-bench"
	exit 0
fi
nebula_side >"$BED_DIR/nebula.ms" || fail "nebula: no measurement"
theirs=$(numbers nebula 1 | median)
row revoke "nebula, blocklist and SIGHUP: last packet, median" "$theirs" ms
row revoke "nebula: worst" "$(numbers nebula 1 | maximum)" ms
row revoke "nebula: the first node, median" "$(numbers nebula 2 | median)" ms
row revoke "nebula : overlayd" "$(calc "$theirs / $ours")" x
