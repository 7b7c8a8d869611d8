#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What overlayd's set-up costs (T1): TCP through a tunnel of overlayd's, and through the same SA set
# up by hand with swanctl (XFRM interface, no overlayd): on hosts without any firewall, and on hosts
# with one stateful rule each way, such as every host firewall has. In turn, in one machine. To be
# run with `run -i`: there the clock counts instructions, so that the figures do not depend on what
# else the host does; from one run to the next they differ by 1 or 2 % all the same (hash seeds, how
# segments come together). RATE_ROUNDS (3) of each; the medians' ratios.
#
# Conntrack alone, which each packet passes outside and inside of the tunnel, costs nearly a tenth here:
# 0.97 of hosts without it is not to be had by who judges packets by their connection.
# Last measured: 0.97 of the SA by hand with conntrack, 0.90 of it without.
BED_NAME=t_rate
. "$(dirname "$0")/../netns/lib.sh"
. "$(dirname "$0")/hand.sh"
if ! kernel_esp; then
	echo "1..0 # SKIP only where charon has kernel ESP (make check-vm)"
	exit 0
fi
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
node hand1 hq 20
node hand2 aws 27
demo_policy
policy_line 's/^services:/&\n  iperf: { ports: [tcp\/5201] }/; s/^allow:/&\n  - { from: exec, to: head, service: iperf }/'
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
up head1 node17
await 'sa_up head1 node17' 20 "the tunnel is up"

# ---- by hand

hand() { # hand NODE PEER INNER PEER-INNER
	local dir=$BED_DIR/$1/swanctl
	node_key "$1" >/dev/null
	node_key "$2" >/dev/null
	hand_config "$dir" "$1" "$BED_DIR/$1/state/node.key" "$2" "$BED_DIR/$2/state/node.key" "$(underlay "$2")" \
		"$3" "$4" aes256gcm16-x25519
	charon_start "$1"
	hand_device hand "$3" "$(n head1 cat /sys/class/net/ovl0/mtu)" n "$1"
	n "$1" env SWANCTL_DIR="$dir" swanctl --load-all --noprompt >"$BED_DIR/$1/swanctl.log" 2>&1
}
hand hand1 hand2 10.77.0.1 10.77.0.17
hand hand2 hand1 10.77.0.17 10.77.0.1
expect "the SA by hand is up" n hand2 swanctl --initiate --ike peer --child net --timeout 20
algorithms() { n "$1" ip xfrm state | awk '/aead|auth|enc/ { print $1, $2, $4 }' | sort -u | tr '\n' ' '; }
expect "it is the same: $(algorithms node17)" [ "$(algorithms node17)" = "$(algorithms hand2)" ]

# ---- in turn

for x in head1 hand1; do
	spawn $x iperf "$BED_DIR/$x/iperf.log" iperf3 -s --forceflush -B 10.77.0.1
	await "grep -q listening $BED_DIR/$x/iperf.log" 10 "iperf3 of $x"
done
await 'tcp_open node17 10.77.0.1 5201' 10 "iperf3 answers"
rate() { # NODE SECONDS: kbit/s
	n "$1" iperf3 -c 10.77.0.1 -t "$2" -O 1 -J | jq '.end.sum_received.bits_per_second / 1e3 | floor'
}
median() { tr ' ' '\n' <<<"$1" | grep . | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : int((v[NR / 2] + v[NR / 2 + 1]) / 2) }'; }
stateful() { # on, off: a host firewall by hand
	local x
	for x in hand1 hand2; do
		if [ "$1" = on ]; then
			n $x nft 'table inet host {
				chain in { type filter hook input priority 0; ct state established,related accept; }
				chain out { type filter hook output priority 0; ct state established,related accept; }
			}'
		else
			n $x nft delete table inet host
		fi
	done
}
ratio() { # OURS THEIRS, in thousandths
	echo $(($1 * 1000 / ($2 > 0 ? $2 : 1)))
}
decimal() { printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)); }
rate node17 1 >/dev/null
rate hand2 1 >/dev/null
ours='' bare='' tracked=''
for round in $(seq "${RATE_ROUNDS:-3}"); do
	a=$(rate node17 2) b=$(rate hand2 2)
	stateful on
	c=$(rate hand2 2)
	stateful off
	note "round $round: overlayd $a kbit/s, by hand $b kbit/s, by hand with conntrack $c kbit/s"
	ours="$ours $a" bare="$bare $b" tracked="$tracked $c"
done
a=$(median "$ours") b=$(ratio "$a" "$(median "$bare")") c=$(ratio "$a" "$(median "$tracked")")
note "medians: overlayd $a kbit/s, $(decimal $c) of the SA by hand with conntrack, $(decimal $b) of it without"
expect "overlayd's set-up carries 0.95 of what the SA by hand does on hosts with a stateful rule" [ "$c" -ge 950 ]
expect "and 0.87 of what it does on hosts without any" [ "$b" -ge 870 ]

# RATE_WHY=1: what of it costs. The same tunnel without the daemon, and then without its table.
if [ -n "$RATE_WHY" ]; then
	for x in head1 node17; do overlayd_stop $x; done
	note "daemon stopped: $(rate node17 2) kbit/s"
	for x in head1 node17; do n $x nft delete table inet overlayd; done
	note "table deleted: $(rate node17 2) kbit/s"
fi
done_testing
