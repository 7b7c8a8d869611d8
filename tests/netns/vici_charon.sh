#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vici-client against two real charons, each in its own network and mount namespace:
#
#	a: 192.0.2.1 (10.77.0.1) ---- veth ---- b: 192.0.2.2 (10.77.0.2)
#
# usage: vici_charon.sh PROBE	(tests/netns/vici_probe.c, built); as root. Exit 0 passed, 77 cannot run here.
set -eu

probe=$(realpath "${1:-build/tests/netns/vici_probe}")
charon=${CHARON:-/usr/lib/ipsec/charon}
a=ovlvc-$$-a
b=ovlvc-$$-b
pids=

[ "$(id -u)" = 0 ] || { echo "vici_charon: skipped: needs root"; exit 77; }
[ -x "$charon" ] || { echo "vici_charon: skipped: no $charon (package strongswan-charon)"; exit 77; }

tmp=$(mktemp -d /tmp/ovlvc.XXXXXX)

cleanup() {
	status=$?
	trap - EXIT INT TERM
	for pid in $pids; do kill -CONT "$pid" 2>/dev/null || :; kill -KILL "$pid" 2>/dev/null || :; done
	wait 2>/dev/null || :
	[ "$status" = 0 ] || tail -n 20 "$tmp"/*.log 2>/dev/null || :
	ip netns del "$a" 2>/dev/null || :
	ip netns del "$b" 2>/dev/null || :
	rm -rf "$tmp"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# $1 name, $2 veth address, $3 overlay address
make_node() {
	ip -n "$1" link set lo up
	ip -n "$1" addr add "$2/24" dev e0
	ip -n "$1" addr add "$3/32" dev lo
	ip -n "$1" link set e0 up
}

# $1 letter: the node's files are $tmp/$1.*
write_conf() {
	cat >"$tmp/$1.conf" <<-CONF
	charon {
		load = random nonce openssl kdf pem pkcs1 pkcs8 pubkey x509 kernel-libipsec kernel-netlink socket-default counters vici
		plugins {
			kernel-libipsec { load = yes }
			vici { socket = unix://$tmp/$1.vici }
		}
		filelog {
			log { path = $tmp/$1.log
				default = 1
				flush_line = yes
			}
		}
	}
	CONF
}

# $1 namespace, $2 letter; its own /run, as the path of charon's pid file is compiled in
start_charon() {
	write_conf "$2"
	STRONGSWAN_CONF="$tmp/$2.conf" ip netns exec "$1" unshare -m --propagation private \
		sh -c "mount -t tmpfs tmpfs /run && exec $charon" >"$tmp/$2.out" 2>&1 &
	pids="$pids $!"
	eval "pid_$2=$!"
}

ip netns add "$a"
ip netns add "$b"
ip link add e0 netns "$a" type veth peer name e0 netns "$b"
make_node "$a" 192.0.2.1 10.77.0.1
make_node "$b" 192.0.2.2 10.77.0.2
for key in a b spare; do
	openssl genpkey -algorithm ed25519 -out "$tmp/$key.pem"
	openssl pkey -in "$tmp/$key.pem" -outform DER -out "$tmp/$key.der"
	openssl pkey -in "$tmp/$key.pem" -pubout -out "$tmp/$key.pub.pem"
	openssl pkey -in "$tmp/$key.pem" -pubout -outform DER -out "$tmp/$key.pub.der"
done
start_charon "$a" a
start_charon "$b" b
"$probe" "$tmp" "$pid_a" "$pid_b"
