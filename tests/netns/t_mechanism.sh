#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What overlayd builds on, seen without overlayd: charon with kernel-libipsec, our own routes, our
# own observer. When this fails, the ground moved (another charon, another kernel), not overlayd.
BED_CAPTURE=1 BED_CHARON_LOG="chd = 4"
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node node17 aws 17
node node18 aws 18
declare -A INNER=([head1]=10.77.0.1 [node17]=10.77.0.17 [node18]=10.77.0.18)
declare -A INNER6=([head1]=fd77::1 [node17]=fd77::17 [node18]=fd77::18)

# routes NODE: ours, above charon's table 220; the device is new each time charon starts.
routes() {
	n "$1" ip route replace 10.77.0.0/16 dev ipsec0 src "${INNER[$1]}" table 4510
	n "$1" ip -6 route replace fd77::/64 dev ipsec0 src "${INNER6[$1]}" table 4510
}

for x in head1 node17 node18; do
	openssl genpkey -algorithm ed25519 -out "$BED_DIR/$x/key.pem" 2>/dev/null
	openssl pkey -in "$BED_DIR/$x/key.pem" -pubout -outform DER -out "$BED_DIR/$x/pub.der"
	n $x ip addr add "${INNER[$x]}/32" dev lo
	n $x ip addr add "${INNER6[$x]}/128" dev lo
	n $x ip rule add pref 210 to 10.77.0.0/16 lookup 4510
	n $x ip -6 rule add pref 210 to fd77::/64 lookup 4510
	n $x ip route add unreachable 10.77.0.0/16 metric 4294967295 table 4510
	n $x ip -6 route add unreachable fd77::/64 metric 4294967295 table 4510
	charon_start $x
	routes $x
done

# conn ME PEER [ID KEY-OF LOCAL-TS]: what overlayd loads for one peer.
conn() {
	local id=${3:-$1} pin=${4:-$2} ts=${5:-${INNER[$1]}/32}
	vici "$1" load-conn "{\"ovl.$2\": {\"version\": \"2\", \"mobike\": \"no\", \"encap\": \"yes\",
		\"unique\": \"never\", \"dpd_delay\": \"2s\", \"local_port\": \"4500\", \"remote_port\": \"4500\",
		\"local_addrs\": [\"$(underlay "$1")\"], \"remote_addrs\": [\"$(underlay "$2")\", \"%any\"],
		\"proposals\": [\"aes256gcm16-prfsha256-x25519\"],
		\"local\": {\"auth\": \"pubkey\", \"id\": \"@$id\", \"pubkeys\": [\"@@$BED_DIR/$1/pub.der\"]},
		\"remote\": {\"auth\": \"pubkey\", \"id\": \"@$2\", \"pubkeys\": [\"@@$BED_DIR/$pin/pub.der\"]},
		\"children\": {\"ovl\": {\"esp_proposals\": [\"aes256gcm16-x25519\"], \"mode\": \"tunnel\",
			\"local_ts\": [\"$ts\", \"${INNER6[$1]}/128\"],
			\"remote_ts\": [\"${INNER[$2]}/32\", \"${INNER6[$2]}/128\"]}}}}" >/dev/null
}
load() {
	vici "$1" load-key "{\"type\": \"any\", \"data\": \"@@$BED_DIR/$1/key.pem\"}" >/dev/null
	for p in head1 node17 node18; do
		if [ $p != "$1" ]; then conn "$1" $p; fi
	done
}
initiate() { vici "$1" initiate "{\"child\": \"ovl\", \"ike\": \"ovl.$2\", \"timeout\": \"5000\"}"; }

for x in head1 node17 node18; do load $x; done

expect "an SA comes up over UDP 4500 alone" initiate node17 head1
expect "IPv4 flows in it" ping node17 10.77.0.1
expect "IPv6 flows in the same child" ping node17 fd77::1
expect_not "port 500 is not bound" sh -c "nsenter -t $(<"$BED_DIR/head1/anchor") -n ss -Hlun 'sport = 500' | grep ."
expect "1400 bytes fit the device" ping node17 10.77.0.1 1372
expect_not "and no more without fragments" ping node17 10.77.0.1 1373
expect "no packet on the wire is a fragment" sh -c "! tcpdump -nr $BED_DIR/wire.pcap 'ip[6:2] & 0x3fff != 0' 2>/dev/null | grep ."

# A stolen name is worth nothing without the key.
conn node18 head1 node17 head1 10.77.0.17/32
expect_not "another key under an approved name is refused" initiate node18 head1
expect "and leaves nothing behind" sa_none head1 node18
conn node18 head1 node18 head1 10.77.0.17/32
initiate node18 head1 >/dev/null
has_ts() { vici "$1" list-sas '{"ike": "'"ovl.$2"'"}' list-sa | grep -q "\"remote-ts\": \[[^]]*\"$3/"; }
expect "asking for another's address narrows to its own" has_ts head1 node18 fd77::18
expect_not "an approved node cannot have another's address in its selector" has_ts head1 node18 10.77.0.17
vici node18 terminate '{"ike": "ovl.head1", "force": "yes"}' >/dev/null
conn node18 head1
expect "with its own name and address it is let in" initiate node18 head1

# A hostile member seals a packet with another's source into its own SA.
n head1 nft 'table inet t {
	chain i {
		type filter hook input priority 0;
		iifname ipsec0 ip saddr 10.77.0.17 counter
		iifname ipsec0 ip saddr 10.77.0.18 counter
	}
}'
seen() { n head1 nft list chain inet t i | grep -q "saddr $1 counter packets $2 "; }
forge() {
	n node18 python3 "$BED_HERE/forge_esp.py" "$BED_DIR/node18/charon.log" "$(underlay node18)" \
		"$(underlay head1)" "$1" 10.77.0.1 icmp 3 "$2"
}
forge 10.77.0.18 1000
expect_within 'seen 10.77.0.18 3' 3 "forged ESP with its own inner address is delivered (the forger works)"
forge 10.77.0.17 2000
expect_within "grep -q 'discarding inbound IP packet 10.77.0.17' $BED_DIR/head1/charon.log" 3 \
	"with another's inner address libipsec discards it"
expect "none of it came through" seen 10.77.0.17 0

# charon dies: its device and our routes over it go, the unreachable one answers.
tcp_server head1 10.77.0.1 17001
tcp_client node17 10.77.0.1 17001
charon_kill node17
expect_not "without charon a connection fails" tcp_open node17 10.77.0.1 17001 2
expect_said EHOSTUNREACH "at once, by the unreachable route"
charon_start node17
routes node17
load node17
initiate node17 head1 >/dev/null
expect "an old TCP connection flows again after charon's restart" client_flows node17 17001 10
expect_not "and was not ended" client_ended node17 17001

# Two at once: two SAs; any one of them may go.
for x in head1 node17; do vici $x terminate '{"ike": "ovl.'"$([ $x = head1 ] && echo node17 || echo head1)"'", "force": "yes"}' >/dev/null; done
await 'sa_none head1 node17 && sa_none node17 head1' 3 "both sides empty"
initiate head1 node17 >/dev/null &
initiate node17 head1 >/dev/null
await '[ "$(sas head1 node17 | grep -c INSTALLED)" -ge 1 ]' 5 "an SA"
expect "traffic flows whatever came of it" ping node17 10.77.0.1

# A peer that dies without a word.
charon_freeze head1
expect_within 'sa_none node17 head1' 13 "a silent peer's SA is ended by DPD"
charon_thaw head1
done_testing
