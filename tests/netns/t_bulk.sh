#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Large transfers (T1): BULK_MB (1024) over a path of 1500 bytes; over one of 1400 where fragments
# vanish; over one of 1300 where what is too long vanishes without a word.
BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"
MB=${BULK_MB:-1024}
if [ "$BED_SLOW" != 1 ]; then MB=20; fi

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
up head1 node17
await 'sa_up head1 node17' 10 "tunnel"
bulk_sink head1 10.77.0.1 17001
bulk_sink node17 10.77.0.17 15002
bulk_sink head1 "$(inner6 head1)" 15001
await 'tcp_open node17 10.77.0.1 17001 0.3' 5 "admitted"
# Fragments would mean that the device is too large: there must be none.
n router nft 'table inet count { chain f { type filter hook forward priority -500
	ip frag-off & 0x3fff != 0 counter comment "fragments"
}; }'
expect "T1: $MB MB over 1500 bytes" bulk_send node17 10.77.0.1 17001 "$MB"
note "$(<"$BED_DIR/last")"
expect "T1: 30 MB the other way" bulk_send head1 10.77.0.17 15002 30
expect "T1: 30 MB over IPv6 inside" bulk_send node17 "$(inner6 head1)" 15001 30
expect "T1: without one fragment" sh -c "nsenter -t $(<"$BED_DIR/router/anchor") -n nft list table inet count | grep -q 'counter packets 0 '"

# A link of 1400 bytes between, whose router says so; what is fragmented vanishes. (t_mtu: the details)
n router ip link set br-aws mtu 1400
n router ip link set p-node17 mtu 1400
n router nft 'table inet hole { chain f { type filter hook forward priority -10
	ip frag-off & 0x3fff != 0 counter drop
}; }'
expect "T1: 20 MB over a path of 1400 bytes" bulk_send head1 10.77.0.17 15002 20
note "$(<"$BED_DIR/last")"
expect "T1: 20 MB the other way" bulk_send node17 10.77.0.1 17001 20
# Nor does it say so (a black hole): the kernel's probing finds it out, where it is on.
for x in head1 node17; do n $x sysctl -qw net.ipv4.tcp_mtu_probing=1; done
n router nft 'add chain inet hole out { type filter hook output priority 0; icmp type destination-unreachable counter drop; }'
n router nft insert rule inet hole f 'ip length > 1300 counter drop'
expect "T1: 5 MB over a black hole of 1300 bytes, with tcp_mtu_probing" bulk_send node17 10.77.0.1 17001 5
note "$(<"$BED_DIR/last")"
# The tunnel itself must come up there too: IKE's messages are fragmented by IKE, not by IP.
vici node17 terminate '{"ike": "ovl.head1", "force": "yes"}' >/dev/null
expect_within 'tcp_open node17 10.77.0.1 17001 0.3' 15 "T1: a new tunnel comes up over it"
note "$(n router nft list table inet hole | grep counter | tr -s '\t\n' ' ')"
done_testing
