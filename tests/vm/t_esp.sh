#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The ground that the other suites stand on in the VM: kernel ESP with an XFRM interface, set up by swanctl
# alone, no overlayd. If this fails, so will they, and it is not their fault.
#
#     left                         router                        right
#     10.77.0.1 on ovl0            passes UDP 4500               10.77.0.2 on ovl0
#     192.0.2.1 ──────── 192.0.2.254    198.51.100.254 ──────── 198.51.100.1
set -u
. "$(dirname "$0")/hand.sh"
n=ovlvm-$$
work=$(mktemp -d)
pids=()
failures=0

cleanup() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	wait 2>/dev/null
	for side in left router right; do ip netns del "$n-$side" 2>/dev/null; done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

check() { # check WHAT COMMAND...: one line of result
	local what=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what"
		sed 's/^/# /' "$work/out"
		failures=$((failures + 1))
	fi
}
await() { # await SECONDS COMMAND...: until it succeeds
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}
exec_at() { # the same in the background: the pid is the command's own
	local side=$1
	shift
	exec ip netns exec "$n-$side" "$@"
}
fails() { ! "$@"; }
at() { # at SIDE COMMAND...
	local side=$1
	shift
	ip netns exec "$n-$side" "$@"
}

for side in left router right; do
	ip netns add "$n-$side" || exit 1
	at $side ip link set lo up
done
cable() { # cable SIDE ADDRESS GATEWAY
	ip link add "up-$1" netns "$n-router" type veth peer name eth0 netns "$n-$1"
	at router ip addr add "$3/24" dev "up-$1"
	at router ip link set "up-$1" up
	at "$1" ip addr add "$2/24" dev eth0
	at "$1" ip link set eth0 up
	at "$1" ip route add default via "$3"
}
cable left 192.0.2.1 192.0.2.254
cable right 198.51.100.1 198.51.100.254
at router sysctl -qw net.ipv4.ip_forward=1
at router nft -f - <<-END
	table inet site {
		chain forward {
			type filter hook forward priority 0; policy drop;
			udp dport 4500 udp sport 4500 accept
		}
	}
END

for side in left right; do openssl genpkey -algorithm ed25519 -out "$work/$side.key" 2>/dev/null; done
node() { # node SIDE INNER PEER-INNER PEER-OUTER PEER
	local dir=$work/$1
	mkdir -p "$dir/run"
	cat >"$dir/strongswan.conf" <<-END
		charon {
			port = 4501
			port_nat_t = 4500
			load = nonce random drbg openssl pem pkcs1 pkcs8 pubkey sshkey kdf hmac sha2 aes gcm curve25519 kernel-netlink socket-default vici
			install_routes = no
			plugins { vici { socket = unix://$dir/vici } }
			filelog { log { path = $dir/log
				default = 1 } }
		}
	END
	hand_config "$dir/swanctl" "$1" "$work/$1.key" "$5" "$work/$5.key" "$4" "$2" "$3" aes128gcm16-x25519
	hand_device ovl0 "$2" 1400 at "$1"
	at "$1" ip route add unreachable 10.77.0.0/16 metric 4000
	exec_at "$1" unshare -m sh -c "mount --bind $dir/run /run; STRONGSWAN_CONF=$dir/strongswan.conf exec /usr/lib/ipsec/charon" \
		>/dev/null 2>&1 &
	pids+=($!)
}
swan() { # swan SIDE ARGUMENTS...
	local side=$1
	shift
	at "$side" env SWANCTL_DIR="$work/$side/swanctl" swanctl "$@" --uri "unix://$work/$side/vici"
}
node left 10.77.0.1 10.77.0.2 198.51.100.1 right
node right 10.77.0.2 10.77.0.1 192.0.2.1 left
for side in left right; do
	check "charon answers on vici ($side)" await 10 test -S "$work/$side/vici"
	check "connection and keys load ($side)" swan $side --load-all --noprompt
done

exec_at router tcpdump -i any -nn -U -w "$work/wire.pcap" ip >/dev/null 2>"$work/tcpdump" &
pids+=($!)
await 10 grep -q listening "$work/tcpdump"
exec_at right socat TCP-LISTEN:17001,fork,reuseaddr EXEC:cat &
pids+=($!)
await 5 at right sh -c 'ss -ltn | grep -q :17001'
echo_through() { [ "$(echo hello | at left socat -t5 - TCP:10.77.0.2:17001,connect-timeout=3)" = hello ]; }

check 'nothing passes before there is an SA' fails echo_through
check 'the tunnel comes up on UDP 4500 alone' swan left --initiate --ike peer --child net --timeout 20
check 'TCP passes through kernel ESP and the XFRM interface' echo_through
check 'the SA carries our if_id' sh -c "ip netns exec $n-left ip xfrm state | grep -q 'if_id 0x4d'"
check 'a rekeyed child still carries TCP' sh -c "ip netns exec $n-left swanctl --rekey --child net --uri unix://$work/left/vici"
check 'TCP passes after the rekeying' await 10 echo_through
check 'the wire shows nothing but UDP 4500' fails sh -c \
	"tcpdump -nn -r $work/wire.pcap 'not (udp port 4500)' 2>/dev/null | grep ."
check 'the wire shows ESP in UDP' sh -c "tcpdump -nn -r $work/wire.pcap 2>/dev/null | grep -q 'UDP-encap: ESP'"
check 'the tunnel ends' swan left --terminate --ike peer --timeout 5
check 'and then nothing passes' fails echo_through

# What only kernel ESP has: a trap, so that the first packet brings the tunnel up.
sed -i 's/start_action = none/start_action = trap/' "$work/left/swanctl/swanctl.conf"
check 'a trap loads' swan left --load-conns
check 'the first packet brings the tunnel up' await 15 echo_through

if [ $failures != 0 ]; then
	for side in left right; do tail -n 30 "$work/$side/log" | sed "s/^/# $side: /"; done
	exit 1
fi
