#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A cluster of one seed grows by a machine that has nothing but a ticket, from behind NAT, with real
# charon: what a stranger in a join SA can reach, pending, approved, a member; what a ticket that is
# wrong says; a restart on the way; and that nothing of a join SA stays, nor goes in clear.
BED_CAPTURE=1
. "$(dirname "$0")/lib.sh"
. "$BED_HERE/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100 nat
node head1 hq 10
node stranger hq 66
node new1 aws 17
demo_policy
policy_line 's/^serial: .*/&\njoin: true/; s/^allow:/roles: [exec]\n&/'
peer head1 "head, seed" 10.77.0.1
cluster_key head1 head1
etc=$BED_DIR/head1/etc

serving() { [ "$(field head1 's["join"]["serving"]')" = True ]; }
asking() { field "$1" 's["join"]["state"]'; }
is() { [ "$(asking "$1")" = "$2" ]; }
fingerprint() { echo "SHA256:$(node_key "$1" | cut -d" " -f2 | base64 -d | openssl dgst -sha256 -binary | base64 -w0 | tr -d =)"; }
# What of a join SA may be there: connections, SAs, secrets; addresses of the pool; routes and rules.
traces() {
	vici "$1" get-conns | grep -oE 'ovl\./(ask|join)'
	vici "$1" list-sas '{}' list-sa | grep -oE 'ovl\./(ask|join)'
	vici "$1" get-shared | grep -o 'ovl-[a-z]*'
	n "$1" ip -6 addr | grep -oE '::1[0-9a-f]{3}/128'
	# What was denied is told for ten minutes.
	n "$1" nft list table inet overlayd 2>/dev/null | grep -v expires | grep -E '::1[0-9a-f]{3}\b'
}
# … and of a newcomer that is no member yet: the overlay's ways, and its walls.
traces_all() {
	traces "$1"
	n "$1" ip -6 rule | grep 4510
	n "$1" ip -6 route show table 4510 2>/dev/null
	n "$1" nft list table inet overlayd 2>/dev/null | grep -E '"join"|ip6 [sd]addr fd'
}
clean() { [ -z "$(traces "$1")" ]; }
clean_all() { [ -z "$(traces_all "$1")" ]; }
leases() { vici head1 get-pools '{"leases": "yes"}' | grep -o '"online": "[0-9]*"'; }

# ---- a seed that takes joins

up head1
expect "sign and load" sign head1
expect_within serving 20 "a seed with join: true takes joins"
on() { [ $BED_FAILED = 0 ] || done_testing; } # nothing that follows would mean anything
on
tcp_server head1 10.77.0.1 17001
tcp_server head1 :: 15001
expect "a ticket" ctl head1 ticket
ticket=$(grep -o '^ovl1-.*' "$BED_DIR/last")

# ---- a stranger in a join SA of its own making

charon_start stranger
openssl pkey -in "$BED_DIR/head1/state/node.key" -pubout -outform DER >"$BED_DIR/head1.der"
seed6=$(inner6 head1)
ula=${seed6%%:*}:$(echo "$seed6" | cut -d: -f2,3)
vici stranger load-shared '{"id": "s", "type": "IKE", "data": "overlayd join", "owners": ["@join"]}' >/dev/null
seed_id=$(vici head1 list-conns '{}' list-conn | grep -o '"ovl./join".*' | grep -o '"local-1": {[^}]*}' | grep -o '"id": "[^"]*"' | head -1 | cut -d'"' -f4)
# join_sa TS: as anybody may who knows the ticket; TS is what it asks for.
join_sa() {
	vici stranger terminate '{"ike": "j", "force": "yes"}' >/dev/null
	vici stranger load-conn "{\"j\": {\"version\": \"2\", \"mobike\": \"no\", \"encap\": \"yes\",
		\"local_port\": \"4500\", \"remote_port\": \"4500\", \"remote_addrs\": [\"$(underlay head1)\"],
		\"proposals\": [\"aes256gcm16-prfsha256-x25519\"], \"vips\": [\"::\"],
		\"local\": {\"auth\": \"psk\", \"id\": \"@${2:-join}\"},
		\"remote\": {\"auth\": \"pubkey\", \"id\": \"@$seed_id\", \"pubkeys\": [\"@@$BED_DIR/head1.der\"]},
		\"children\": {\"c\": {\"esp_proposals\": [\"aes256gcm16-x25519\"], \"local_ts\": [\"dynamic\"],
			\"remote_ts\": [$1]}}}}" >/dev/null
	vici stranger initiate '{"ike": "j", "child": "c", "timeout": "5000"}' >/dev/null
}
# Its way to the seed, as an attacker would have it: all by the device; with kernel ESP it has none, and what
# its SA does not take would go in clear: that is not what is asked here.
n stranger nft "table inet w {
	chain o {
		type filter hook output priority 0;
		ip6 daddr $ula::/48 oifname e0 rt ipsec missing drop
	}
}"
stranger_routes() {
	if kernel_esp; then return; fi
	n stranger ip -6 rule add pref 100 to "$ula::/48" lookup 100 2>/dev/null
	n stranger ip -6 route replace "$ula::/48" dev "$(n stranger sh -c 'ls /sys/class/net | grep -E "ipsec|ovl"')" table 100
}
vip() { n stranger ip -6 -o addr | grep -oE "$ula::1[0-9a-f]{3}" | head -1; }

expect "the join SA's seed is named" test -n "$seed_id"
expect "a stranger gets a join SA" join_sa "\"$ula::/48[tcp/451]\""
stranger_routes
expect "and an address of the pool" test -n "$(vip)"
expect "which reaches the join port" tcp_open stranger "$seed6" 451 2
expect_not "but no other: the sessions' port" tcp_open stranger "$seed6" 450 1
expect_not "nor a service's" tcp_open stranger "$seed6" 15001 1
expect_not "nor does it hear an answer to its ping" ping stranger "$seed6"
there=$(vip)
tcp_server stranger "$there" 15002
expect_not "nor can the seed's users reach it" tcp_open head1 "$there" 15002 1
expect_not "asking for all ports it has one still" eval "join_sa '\"$ula::/48\"' && stranger_routes && tcp_open stranger '$seed6' 15001 1"
selector_is() { vici head1 list-sas '{}' list-sa | grep '"ovl./join"' | grep -q "\"local-ts\": \[\"$seed6/128\[tcp/451\]\"\]"; }
expect "by its selector" selector_is
expect_not "a selector without the join port is refused" join_sa '"10.77.0.1/32"'
expect_not "the secret under a member's name opens nothing" join_sa "\"$ula::/48[tcp/451]\"" head1
expect "again" join_sa "\"$ula::/48[tcp/451]\""
expect_within 'sa_none head1 /join' 35 "a join SA that asks nothing is ended by the seed"
expect_within '[ "$(leases)" = "\"online\": \"0\"" ]' 5 "and its address is free again"
charon_stop stranger
expect "members are none the wiser" serving

# ---- tickets that are wrong

charon_start new1
overlayd_start new1
wrong() { # TICKET WHAT SAYS
	expect_not "$2" ctl new1 join --no-wait --name node17 --site aws "$1"
	expect_said "$3" "and says so"
}
middle=${ticket:40:1}
other=A
if [ "$middle" = A ]; then other=B; fi
wrong "${ticket:0:40}$other${ticket:41}" "a ticket with one character wrong is refused" 'wrong'
wrong "ovl1" "what is no ticket is refused" 'no ticket'
expect "nothing of them is kept" test ! -e "$BED_DIR/new1/state/join"

# These are tickets, and good for nothing: the daemon says why, and nothing stays of the try.
told() { field new1 's["join"]["why"]' | grep -qE -- "$1"; }
expect "join by a ticket with another key of the seed" \
	ctl new1 join --no-wait --name node17 --site aws "$(python3 "$BED_HERE/ticket.py" "$ticket" key)"
expect_within 'told "not hold the key"' 20 "who does not hold the pinned key is not believed"
expect "cancel" ctl new1 join --cancel
expect_within 'clean_all new1' 10 "nothing of it is left"
expect "join by a ticket whose seed is not there" \
	ctl new1 join --no-wait --name node17 --site aws "$(python3 "$BED_HERE/ticket.py" "$ticket" host 192.0.2.99)"
there() { [ -n "$(traces_all new1)" ]; }
expect_within there 5 "it is tried"
overlayd_stop new1
expect "stopped meanwhile, nothing of it is left" clean new1
overlayd_start new1
expect_within 'told "nobody answers"' 40 "nor does the next run find anybody"
expect "cancel" ctl new1 join --cancel
expect_within 'clean_all new1 && test ! -e "$BED_DIR/new1/state/join"' 10 "nothing of it is left"

# ---- pending

expect "join" ctl new1 join --no-wait --name node17 --site aws "$ticket"
expect_within 'is new1 pending' 25 "the newcomer is told to wait"
expect "the seed shows it" ctl head1 pending
expect_said "node17.*$(fingerprint new1 | cut -c8-18 | sed 's/[+.]/\\&/g')" "by name and fingerprint"
expect "its ticket is kept, for itself alone" test "$(stat -c %a "$BED_DIR/new1/state/join")" = 600
on
expect_within 'clean_all new1' 10 "nothing of the join SA is left on the newcomer" || note "$(traces_all new1)"
expect_within 'sa_none head1 /join' 5 "nor at the seed"
expect_not "unapproved it reaches nothing: not a service" tcp_open new1 "$seed6" 15001 1
expect_not "nor the sessions' port" tcp_open new1 "$seed6" 450 1
expect_not "nor the join port but in a join SA" tcp_open new1 "$seed6" 451 1
expect "no policy was shown to it" test ! -e "$BED_DIR/new1/state/bundle"

# ---- killed on the way

overlayd_kill new1
overlayd_start new1
expect_within 'is new1 pending' 25 "killed and started again it goes on asking"
expect "under the same name and key, once" test "$(ctl head1 pending --json | grep -c '"fingerprint"')" = 1

# ---- approved

expect "approve by fingerprint" ctl head1 approve node17 "$(fingerprint new1 | cut -c8-18)" --role exec --site aws --address 10.77.0.17
note "$(head -c 600 "$BED_DIR/last")"
expect_within 'sa_up head1 node17' 60 "the newcomer connects as a member"
expect_within 'tcp_open new1 10.77.0.1 17001 1' 20 "TCP flows between them over the overlay"
expect_within 'is new1 joined' 45 "it is a complete member"
expect_not "what its role may not, it may not" tcp_open new1 10.77.0.1 22 1
expect "its cluster key is on disk, for all to read" test "$(stat -c %a "$BED_DIR/new1/etc/cluster.pub")" = 644
expect "and is the cluster's" cmp "$BED_DIR/cluster.pub" "$BED_DIR/new1/etc/cluster.pub"
expect_within 'test ! -e "$BED_DIR/new1/state/join"' 10 "the ticket is forgotten"
expect_within 'clean new1' 10 "nothing of the join SA is left on it"
expect_within '[ "$(leases)" = "\"online\": \"0\"" ]' 10 "nor at the seed, but the offer"
expect_not "a member does not join again" ctl new1 join --no-wait "$ticket"
expect_said 'member' "and is told why"
expect "no pending entry is left" test "$(ctl head1 pending --json | grep -c '"fingerprint"')" = 0

overlayd_kill new1
overlayd_start new1
expect_within 'sa_up new1 head1 && tcp_open new1 10.77.0.1 17001 1' 30 "it is a member after a restart, too"

# ---- no more joins

sed -i 's/^join: true$/join: false/' "$etc/policy.yaml"
expect "join: false" sign head1
expect_within '! serving' 20 "ends it"
expect_within 'clean head1' 10 "and all of it is gone from the seed's charon and firewall" || note "$(traces head1)"
alive head1 new1
done_testing
