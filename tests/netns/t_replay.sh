#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Everything that was said once is said again (C5): what crossed the wire, IKE and ESP, of members and
# of a newcomer, by somebody who could only listen, as it was and from his own address; the bytes of
# sessions by another member, those of a request to join by another stranger. While all is as it
# was, after SAs were rekeyed, after overlayd and after charon were started anew. Nothing comes of it.
#
#	hq   seed1 (seed)   listener        aws  node17  node18  new1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node seed1 hq 10
node listener hq 66
node node17 aws 17
node node18 aws 18
node new1 aws 40
MEMBERS="seed1 node17 node18"
demo_policy
policy_line 's|^serial: .*|&\njoin: true|; s|  mom: .*|&\n  flow: { ports: [tcp/9000, udp/9000] }|; s|^allow:|&\n  - { from: exec, to: head, service: flow }|'
peer seed1 "head, seed" 10.77.0.1
for x in node17 node18; do endpoints $x ""; done # they begin, so that it is heard what they begin with
peer node17 "exec" 10.77.0.17
peer node18 "exec" 10.77.0.18
policy_push $MEMBERS
cluster_key seed1 $MEMBERS

# ---------------------------------------------------------------- what is heard

hear() { # NODE DEVICE FILTER
	spawn "$1" "hear-$2" "$BED_DIR/$1/hear-$2.out" tcpdump -Z root -U -n -i "$2" -s 0 -B 8192 -w "$BED_DIR/$1/$2.pcap" "$3"
	await "grep -q listening $BED_DIR/$1/hear-$2.out" 10 "capture on $1"
}
hear seed1 e0 'udp port 4500'
for x in $MEMBERS; do charon_start $x; done
await 'n seed1 ip link show ipsec0' 10 "overlay device"
hear seed1 ipsec0 'tcp port 450 or tcp port 451'
for x in $MEMBERS; do overlayd_start $x; done
tunnels() { [ "$(peer_state seed1 node17)$(peer_state seed1 node18)$(peer_state node17 seed1)$(peer_state node18 seed1)" = upupupup ]; }
await tunnels 30 "tunnels"
expect_within 'sign seed1' 10 "the first bundle"
expect_within 'have 1 $MEMBERS && heard seed1 1 $MEMBERS' 20 "all have it"

# A sink that counts what is brought to it; each datagram crosses the tunnel once.
n seed1 sh -c 'exec python3 - "$1" "$2"' sink "$BED_DIR/seed1/sink" 10.77.0.1 >"$BED_DIR/seed1/sink.log" 2>&1 <<-'PY' &
	import socket, sys
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.bind((sys.argv[2], 9000))
	count = 0
	while True:
	    open(sys.argv[1], "w").write("%d\n" % count)
	    s.recv(2048)
	    count += 1
	PY
await '[ -s $BED_DIR/seed1/sink ]' 10 "sink"
sunk() { cat "$BED_DIR/seed1/sink"; }
n node17 python3 -c '
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.77.0.1", 9000))
for i in range(300):
    s.send(b"once %d" % i)
    time.sleep(0.002)'
expect_within '[ "$(sunk)" -ge 250 ]' 10 "node17's datagrams arrive"
tcp_server seed1 10.77.0.1 9000
tcp_client node18 10.77.0.1 9000 flow
expect "node18's connection flows" client_flows node18 flow

expect_within 'ctl seed1 ticket >"$BED_DIR/ticket"' 10 "a ticket"
charon_start new1
overlayd_start new1
expect "a newcomer asks" ctl new1 join --no-wait --file "$BED_DIR/ticket" --name new1 --site aws
expect_within '[ "$(ctl seed1 pending --json | grep -c "\"new1\"")" = 1 ]' 30 "and waits"
overlayd_stop new1
charon_stop new1
expect_within 'sa_none seed1 /join' 35 "its join SA is gone"
sed -i 's|service: flow }|service: flow }\n  - { from: head, to: exec, service: flow }|' "$BED_DIR/seed1/etc/policy.yaml"
expect "a second bundle" sign seed1
expect_within 'have 2 $MEMBERS && heard seed1 2 $MEMBERS' 20 "all have it"

# The recordings end here.
for d in e0 ipsec0; do kill "$(<"$BED_DIR/seed1/hear-$d.pid")"; done
await '! kill -0 $(<"$BED_DIR/seed1/hear-e0.pid") 2>/dev/null' 10 "the recordings end"
replay() { local x=$1; shift; n "$x" python3 "$BED_HERE/replay.py" "$@"; } # NODE ARGS…
SEED6=$(inner6 seed1)
expect "sessions were heard" replay seed1 cut "$BED_DIR/seed1/ipsec0.pcap" "10.77.0.1,$SEED6" 450 "$BED_DIR/sessions"
note "$(cat "$BED_DIR/last")"
expect "so was the request to join" replay seed1 cut "$BED_DIR/seed1/ipsec0.pcap" "$SEED6" 451 "$BED_DIR/join"
note "$(cat "$BED_DIR/last")"

# ---------------------------------------------------------------- what must stay as it is

# All that status, members and pending say, but for what counts on by itself.
seen() {
	local x
	for x in seed1 node17; do
		echo "$x"
		ctl "$x" status --json | python3 -c '
import json, sys
s = json.load(sys.stdin)
for p in s["peers"]:
    print({k: p[k] for k in ("name", "fingerprint", "address4", "address6", "state", "since", "why", "admitted", "link", "until")})
print({k: s["bundle"][k] for k in s["bundle"] if k in ("serial", "digest", "state", "why")})
print({k: s["join"][k] for k in ("state", "serving", "pending", "why")})'
	done
	ctl seed1 pending --json | python3 -c '
import json, sys
print([{k: r[k] for k in ("name", "fingerprint", "source", "site", "links", "marks")} for r in json.load(sys.stdin)["pending"]])'
	ctl seed1 members --json | python3 -c '
import json, sys
print([(m["name"], m["serial"]) for m in json.load(sys.stdin)["members"]])'
	sas seed1 | awk '$1 != "ovl./join" && $2 == "ESTABLISHED" {print $1, $3}' | sort
	echo "$(sunk) datagrams"
}
beats() { client_beats node18 flow; }
# What charon has seen of old messages: they do arrive.
old_ike() { grep -cE 'received message ID [0-9]+, expected|received retransmit|parsed IKE_SA_INIT request' "$BED_DIR/seed1/charon.log"; }
asked() { ctl seed1 pending --json | python3 -c 'import json, sys; print(max([r["asked"] for r in json.load(sys.stdin)["pending"]] or [0]))'; }
crossed() { n seed1 cat /sys/class/net/ipsec0/statistics/rx_packets; }
same() { seen >"$BED_DIR/after" 2>&1; diff "$BED_DIR/before" "$BED_DIR/after" >"$BED_DIR/differ"; }

# replays WHEN: everything again; what was seen before is seen after it.
replays() {
	local when=$1 rx asked ike beats
	await tunnels 40 "$when: tunnels"
	await 'heard seed1 2 $MEMBERS' 60 "$when: sessions"
	await 'seen >"$BED_DIR/before" 2>&1; ! grep -q "CONNECTING\|Traceback" "$BED_DIR/before" && same' 20 "$when: all stands still"
	rx=$(crossed) asked=$(asked) ike=$(old_ike) beats=$(beats)
	expect "$when: the wire again, to the seed" replay router wire "$BED_DIR/seed1/e0.pcap" "$(underlay seed1)"
	note "$(cat "$BED_DIR/last")"
	expect "$when: from the listener's address" replay listener wire "$BED_DIR/seed1/e0.pcap" "$(underlay seed1)" "$(underlay listener)"
	expect "$when: the seed's answers, to node17" replay router wire "$BED_DIR/seed1/e0.pcap" "$(underlay node17)"
	expect "$when: charon has seen them" [ "$(old_ike)" -gt "$ike" ]
	# node18's connection goes on meanwhile: some two packets come for each of its beats.
	rx=$(($(crossed) - rx)) beats=$(($(beats) - beats))
	expect "$when: sessions again, by another member" replay node18 say "$BED_DIR/sessions" 10.77.0.18 10.77.0.1 450
	note "$(tail -1 "$BED_DIR/last" | tr -cd '[:print:]' | cut -c1-150)"
	expect_within same 40 "$when: all is as it was" || note "$(cat "$BED_DIR/differ")"
	note "$rx packets came out of the seed's tunnels meanwhile, $beats beats of the connection were answered"
	expect "$when: the old packets were not among them" [ "$rx" -le $((beats * 4 + 200)) ]
	expect "$when: the newcomer has not asked again" [ "$(asked)" -le $((asked + 2)) ]
	expect "$when: node18's connection flows" client_flows node18 flow 20
	alive $MEMBERS
}

replays "at once"

# Rekeyed: other keys, other numbers.
ids() { sas seed1 node17 | awk '{print $3}'; }
before=$(ids)
vici seed1 rekey '{"ike": "ovl.node17"}' >/dev/null
expect_within '[ -n "$(ids)" ] && [ "$(ids)" != "'"$before"'" ] && [ "$(ids | wc -l)" = 1 ]' 20 "the IKE_SA is rekeyed"
vici seed1 rekey '{"ike": "ovl.node17", "child": "ovl"}' >/dev/null
expect_within '[ "$(sas seed1 node17 | grep -o INSTALLED | wc -l)" = 1 ] && ! sas seed1 node17 | grep -q REKEY' 20 "and its CHILD_SA"
replays "rekeyed"

overlayd_kill seed1
overlayd_start seed1
replays "overlayd killed and started"

charon_kill seed1
charon_start seed1
replays "charon killed and started"
expect_within 'sas seed1 >"$BED_DIR/sas" && ! grep -vq ESTABLISHED "$BED_DIR/sas"' 60 "no half-open IKE_SA stays of any of it"

# ---------------------------------------------------------------- the request to join, by another stranger

charon_start listener
openssl pkey -in "$BED_DIR/seed1/state/node.key" -pubout -outform DER >"$BED_DIR/seed1.der"
ULA=$(echo "$SEED6" | cut -d: -f1-3)
vici listener load-shared '{"id": "s", "type": "IKE", "data": "overlayd join", "owners": ["@join"]}' >/dev/null
seed_id() { vici seed1 list-conns '{}' list-conn | grep -o '"ovl./join".*' | grep -o '"local-1": {[^}]*}' | grep -o '"id": "[^"]*"' | head -1 | cut -d'"' -f4; }
expect_within '[ -n "$(seed_id)" ]' 20 "the seed serves"
vici listener load-conn "{\"j\": {\"version\": \"2\", \"mobike\": \"no\", \"encap\": \"yes\",
	\"local_port\": \"4500\", \"remote_port\": \"4500\", \"remote_addrs\": [\"$(underlay seed1)\"],
	\"proposals\": [\"aes256gcm16-prfsha256-x25519\"], \"vips\": [\"::\"],
	\"local\": {\"auth\": \"psk\", \"id\": \"@join\"},
	\"remote\": {\"auth\": \"pubkey\", \"id\": \"@$(seed_id)\", \"pubkeys\": [\"@@$BED_DIR/seed1.der\"]},
	\"children\": {\"c\": {\"esp_proposals\": [\"aes256gcm16-x25519\"], \"local_ts\": [\"dynamic\"],
		\"remote_ts\": [\"$ULA::/48[tcp/451]\"]}}}}" >/dev/null
vici listener initiate '{"ike": "j", "child": "c", "timeout": "5000"}' >/dev/null
vip() { n listener ip -6 -o addr | grep -oE "$ULA::1[0-9a-f]{3}" | head -1; }
expect_within '[ -n "$(vip)" ]' 10 "another stranger has a join SA"
n listener ip -6 rule add pref 100 to "$ULA::/48" lookup 100
n listener ip -6 route replace "$ULA::/48" dev ipsec0 table 100
expect "it reaches the join port" tcp_open listener "$SEED6" 451 3
seen >"$BED_DIR/before" 2>&1
asked=$(asked)
expect "the newcomer's bytes again" replay listener say "$BED_DIR/join" "$(vip)" "$SEED6" 451
note "$(tail -1 "$BED_DIR/last" | tr -cd '[:print:]' | cut -c1-300)"
expect_said 'heard: .*[a-z]' "are answered"
expect_not "not with a place in the queue" grep -q '"pending"\|"member"' "$BED_DIR/last"
expect "nobody new waits" [ "$(asked)" -le $((asked + 2)) ]
vici listener terminate '{"ike": "j", "force": "yes"}' >/dev/null
expect_within same 40 "all is as it was" || note "$(cat "$BED_DIR/differ")"
alive $MEMBERS
done_testing
