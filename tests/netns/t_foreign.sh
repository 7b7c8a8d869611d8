#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What is not ours stays as it is: connections and SAs with other names, nft tables, routes and
# rules; through start, reload, revoke, kill and --flush. And what calls itself ovl.* but is not in
# the policy is ended on sight.
BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
node head1 hq 10
node node17 hq 17
node other hq 30 # charon, but no overlayd: somebody's VPN partner
demo_policy
policy_line 's/^sites:/roles: [exec]\nsites:/' # it may become empty
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
for x in head1 node17 other; do charon_start $x; done

# tunnel ME PEER NAME MY-INNER PEER-INNER: as an admin's swanctl.conf would make it. swanctl unloads
# what is not in its file, ours too.
tunnel() {
	cat >>"$BED_DIR/$1/conns" <<-CONF
		$3 {
		  version = 2
		  encap = yes
		  local_port = 4500
		  remote_port = 4500
		  local_addrs = $(underlay "$1")
		  remote_addrs = $(underlay "$2")
		  proposals = aes256gcm16-prfsha256-x25519
		  local { auth = psk
		    id = $1.$3.org }
		  remote { auth = psk
		    id = $2.$3.org }
		  children { $3-child { esp_proposals = aes256gcm16-x25519
		      local_ts = $4/32
		      remote_ts = $5/32 } }
		}
	CONF
	{ echo 'connections {'; cat "$BED_DIR/$1/conns"; echo '}'; } >"$BED_DIR/$1/swanctl.conf"
	vici "$1" load-shared '{"type": "IKE", "data": "a shared secret", "owners": ["'"$1.$3.org"'", "'"$2.$3.org"'"]}' >/dev/null
	theirs_load "$1"
}
theirs_load() { n "$1" swanctl --load-conns --uri unix:///run/charon.vici --file "$BED_DIR/$1/swanctl.conf" >"$BED_DIR/$1/swanctl.log" 2>&1; }
initiate() { vici "$1" initiate "{\"child\": \"$2-child\", \"ike\": \"$2\", \"timeout\": \"5000\"}"; }
THEIRS=ipsec0 # where packets for their tunnels go
if kernel_esp; then THEIRS=e0; fi
n head1 ip addr add 172.31.0.1/32 dev lo # libipsec's routes need them
n head1 ip addr add 172.31.1.1/32 dev lo
n other ip addr add 172.31.0.30/32 dev lo
n node17 ip addr add 172.31.1.17/32 dev lo
tunnel head1 other vpn 172.31.0.1 172.31.0.30
tunnel other head1 vpn 172.31.0.30 172.31.0.1
tunnel node17 head1 branch 172.31.1.17 172.31.1.1
tunnel head1 node17 branch 172.31.1.1 172.31.1.17
expect "a tunnel of somebody else's" initiate head1 vpn
expect "another, between two of our nodes" initiate node17 branch
n head1 nft -f - <<-'RULES'
	table inet theirs {
		set s {
			type ipv4_addr
			elements = { 10.77.0.17, 192.0.2.99 }
		}
		chain c {
			type filter hook input priority 10; policy accept;
			ip saddr @s counter
		}
	}
	table ip overlay {
		chain c {
			ip saddr 10.77.0.0/16 drop
		}
	}
RULES
n head1 ip rule add pref 333 from 172.31.0.1 lookup 333
n head1 ip route add 172.31.0.30/32 dev $THEIRS table 333
n head1 ip addr add 10.77.0.200/32 dev lo # within the overlay, but set by somebody

foreign_sas() { vici "$1" list-sas '{}' list-sa | python3 -c '
import json, sys
for line in sys.stdin:
    if not line.startswith("list-sa "):
        continue
    for name, sa in json.loads(line[8:]).items():
        if not name.startswith(("ovl.", "(unnamed)")): # unnamed: node17 knocks, of whom nobody knows yet
            print(name, sa["uniqueid"], sa["state"], *(c["spi-in"] for c in sa["child-sas"].values()))' | sort; }
foreign() { # all that is not ours on head1
	foreign_sas head1
	vici head1 get-conns '{}' | python3 -c 'import json, sys; print(*sorted(c for c in json.load(sys.stdin)["conns"] if not c.startswith("ovl.")))'
	n head1 nft list table inet theirs | sed 's/counter packets.*//'
	n head1 nft list table ip overlay
	n head1 ip rule | grep -w 333
	n head1 ip route show table 333
	n head1 ip addr show dev lo | grep -w 10.77.0.200
}
n other ip route add 172.31.0.1/32 dev $THEIRS src 172.31.0.30
expect "traffic flows in their tunnel" ping other 172.31.0.1
foreign >"$BED_DIR/before"
expect "there is something to lose" sh -c "grep -q '^vpn .* ESTABLISHED' $BED_DIR/before && grep -q 'branch.* vpn' $BED_DIR/before && grep -q 'table 333\|lookup 333' $BED_DIR/before && grep -q 10.77.0.200 $BED_DIR/before"
untouched() {
	foreign >"$BED_DIR/after"
	expect "untouched by $1" diff "$BED_DIR/before" "$BED_DIR/after"
}

for x in head1 node17; do policy_push $x; overlayd_start $x; done
await 'sa_up head1 node17' 10 "our tunnel beside theirs"
tcp_server head1 10.77.0.1 17001
expect_within 'tcp_open node17 10.77.0.1 17001 0.3' 5 "ours works beside theirs"
untouched "the start"
if kernel_esp; then expect "traffic still flows in their tunnel" ping other 172.31.0.1; fi
policy_line 's/serial: 1/serial: 2/; s/to: exec, service: mom/to: exec, service: slurm/'
policy_push head1 node17
expect "reload" ctl head1 reload
untouched "a reload"

# ---------------------------------------------------------------- ovl.*, but not the policy's

conns() { vici head1 get-conns '{}'; }
ours_loaded() { conns | grep -q ovl.node17; }
tunnel other head1 guest 172.31.2.30 172.31.2.1
n head1 ip addr add 172.31.2.1/32 dev lo
n other ip addr add 172.31.2.30/32 dev lo
foreign >"$BED_DIR/before"
vici head1 load-shared '{"type": "IKE", "data": "a shared secret", "owners": ["head1.guest.org", "other.guest.org"]}' >/dev/null
guest_load() { # swanctl.conf cannot write such a name; vici takes it
	vici head1 load-conn "{\"ovl.guest\": {\"version\": \"2\", \"encap\": \"yes\", \"local_port\": \"4500\", \"remote_port\": \"4500\",
		\"local_addrs\": [\"$(underlay head1)\"], \"remote_addrs\": [\"$(underlay other)\"], \"proposals\": [\"aes256gcm16-prfsha256-x25519\"],
		\"local\": {\"auth\": \"psk\", \"id\": \"head1.guest.org\"}, \"remote\": {\"auth\": \"psk\", \"id\": \"other.guest.org\"},
		\"children\": {\"guest-child\": {\"esp_proposals\": [\"aes256gcm16-x25519\"], \"local_ts\": [\"172.31.2.1/32\"], \"remote_ts\": [\"172.31.2.30/32\"]}}}}" &&
		vici head1 initiate '{"child": "guest-child", "ike": "ovl.guest", "timeout": "3000"}'
}
overlayd_stop head1
expect "(an SA by the name of ovl.guest, while overlayd is stopped)" guest_load
expect "(it stays)" sa_up head1 guest
overlayd_start head1
expect_within 'sa_none head1 guest' 3 "an ovl.* SA found at the start is ended on sight"
expect_within '! conns | grep -q ovl.guest' 3 "and its connection is unloaded"
expect_within 'logged head1 "ovl.guest"' 3 "the log names it"
untouched "that"
expect_within guest_load 10 "(an SA by that name, while overlayd runs)" # its connection may be unloaded first
expect_within 'sa_none head1 guest' 3 "an ovl.* SA made by hand is ended on sight"
expect "ours is not disturbed" tcp_open node17 10.77.0.1 17001 2
# `swanctl --load-conns` unloads what is not in its file: ours, too. charon tells nobody.
theirs_load head1
expect "(swanctl has unloaded ours)" grep -q "[1-9] unloaded" "$BED_DIR/head1/swanctl.log"
vici head1 load-conn '{"ovl.ghost": {"children": {"ghost": {}}}}' >/dev/null
expect "what is up stays up" tcp_open node17 10.77.0.1 17001 2
expect_within 'ours_loaded' 40 "what another program unloaded of ours is loaded again"
expect_within '! conns | grep -q ovl.ghost' 5 "an ovl.* connection that is not the policy's is unloaded"
untouched "that"

# ---------------------------------------------------------------- for the addresses of a peer

# With libipsec all SAs end in one device: whoever holds one for a peer's address is that peer, so such
# SAs are ended. With kernel ESP ours alone have the overlay's device, and theirs are let be.
# road REMOTE-TS: other as a road warrior who may choose.
road() {
	for x in head1 other; do
		local me=$x peer=other mine=10.77.0.1/32 theirs=$1
		if [ $x = other ]; then peer=head1 mine=$1 theirs=10.77.0.1/32; fi
		vici $x load-conn "{\"road\": {\"version\": \"2\", \"encap\": \"yes\", \"local_port\": \"4500\", \"remote_port\": \"4500\",
			\"local_addrs\": [\"$(underlay $me)\"], \"remote_addrs\": [\"$(underlay $peer)\"], \"proposals\": [\"aes256gcm16-prfsha256-x25519\"],
			\"local\": {\"auth\": \"psk\", \"id\": \"$me.road.org\"}, \"remote\": {\"auth\": \"psk\", \"id\": \"$peer.road.org\"},
			\"children\": {\"road\": {\"esp_proposals\": [\"aes256gcm16-x25519\"], \"local_ts\": [\"$mine\"], \"remote_ts\": [\"$theirs\"]}}}}" || return 1
		vici $x load-shared '{"type": "IKE", "data": "a shared secret", "owners": ["head1.road.org", "other.road.org"]}' || return 1
	done
	vici other terminate '{"ike": "road", "force": "yes"}' # it was not told of the last one's end
	vici other initiate '{"child": "road", "ike": "road", "timeout": "'$((3000 * BED_SLOW))'"}'
}
road_up() { foreign_sas head1 | grep -q '^road .* ESTABLISHED'; }
road_none() { ! foreign_sas head1 | grep -q '^road '; }
foreign >"$BED_DIR/before"
n other ip addr add 10.77.0.17/32 dev lo
n other ip addr add 10.77.99.1/32 dev lo
if kernel_esp; then
	n other ip route add 10.77.0.1/32 dev e0 src 10.77.0.17
	tcp_server other 10.77.0.17 15002
	tcp_server node17 10.77.0.17 15002
fi
road_harmless() { # with kernel ESP, while it is up
	expect_for road_up 3 "a foreign SA for $1 is let be"
	expect "node17's tunnel is the same" tcp_open node17 10.77.0.1 17001 2
	expect "and it is node17 that head1 reaches" tcp_open head1 10.77.0.17 15002 2
	expect "not the foreign end" sh -c "! grep accept $BED_DIR/other/tcp-15002.log"
	expect_not "nor is that taken for node17" tcp_open other 10.77.0.1 17001 1
	expect "(it tried)" poll '[ "$(drops head1 spoofed)" -gt '"$2"' ]' 2
	vici head1 terminate '{"ike": "road", "force": "yes"}' >/dev/null
}
for ts in 10.77.0.17/32 10.77.0.0-10.77.99.255 '10.77.0.17/32[tcp/1-65535]' 0.0.0.0/0; do
	before=$(drops head1 spoofed)
	road "$ts" >"$BED_DIR/road.log" 2>&1
	expect "(an SA for $ts was made)" grep -q "CHILD_SA road.*established" "$BED_DIR/head1/charon.log"
	if kernel_esp; then
		road_harmless "$ts" "$before"
	else
		expect_within road_none 3 "a foreign SA for $ts is ended on sight"
	fi
	: >"$BED_DIR/head1/charon.log"
	expect_within 'tcp_open node17 10.77.0.1 17001 0.3' 5 "node17 is admitted again, its tunnel is the same"
done
if ! kernel_esp; then
	expect "the log says why" [ "$(grep -c 'connection road is ended' "$BED_DIR/head1/overlayd.log")" = 4 ]
fi
for x in head1 other; do vici $x unload-conn '{"name": "road"}' >/dev/null; done
sed -i 's/ road//' "$BED_DIR/before"
untouched "that"

unpeer node17
policy_push head1
expect_within 'sa_none head1 node17' 3 "node17 is revoked"
untouched "a revocation"
overlayd_kill head1
overlayd_start head1
await '[ "$(field head1 "s[\"policy\"][\"in_force\"]")" = True ]' 5 "overlayd again"
untouched "kill -9 and a new start"
charon_freeze other
overlayd_stop head1
untouched "SIGTERM"
charon_thaw other
n head1 "$BED_B/overlayd" --flush --config "$BED_DIR/head1/etc" --state "$BED_DIR/head1/state" >"$BED_DIR/flush" 2>&1
expect_not "--flush took our table" table head1
expect "and nothing else" n head1 nft list tables
untouched "--flush"
done_testing
