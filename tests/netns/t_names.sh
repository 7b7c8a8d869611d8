#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Names of the cluster on a node: /run/overlayd/hosts by real overlayds, read by the C library through
# libnss_overlay.so.2. Each node has a /run and an nsswitch.conf of its own; /etc/hosts is the machine's.
BED_MEASURES=1 # the library goes into programs that were built without a sanitizer
. "$(dirname "$0")/lib.sh"
bed "$@"

three_nodes

ETC_HOSTS=$(sha256sum </etc/hosts)
FILE=/run/overlayd/hosts
echo "hosts: files overlay" >"$BED_DIR/nsswitch.conf"
echo "hosts: files" >"$BED_DIR/nsswitch.without"
chmod 0644 "$BED_DIR"/nsswitch.*
nss_on() { # NODE NSSWITCH
	n "$1" mount --bind "$BED_DIR/$2" /etc/nsswitch.conf
}
for x in head1 node17 node18; do
	mkdir "$(run_dir $x)/nss"
	install -m 0755 "$BED_B/libnss_overlay.so.2" "$(run_dir $x)/nss/"
	nss_on $x nsswitch.conf
done

by_name() { # NODE COMMAND…: any program, with the library where the loader finds it
	local node=$1
	shift
	n "$node" env LD_LIBRARY_PATH=/run/nss "$@"
}
ask() { by_name "$1" getent "${@:2}"; }                                                      # NODE DATABASE KEY
as_user() { by_name "$1" setpriv --reuid 65534 --regid 65534 --clear-groups "${@:2}"; }      # NODE COMMAND…
known() { ask "$1" hosts "$2"; }                                                             # NODE NAME
unknown() { ask "$1" hosts "$2"; [ $? = 2 ]; }                                               # NODE NAME
addresses() { ask "$1" ahosts "$2" | awk '$2 == "STREAM" {print $1}' | sort | tr '\n' ' '; } # NODE NAME
says() { ask "$1" hosts "$2" | awk '{$1 = $1; print}' | grep -qx -- "$3"; }                  # NODE KEY LINE

expect "before overlayd runs, nobody is known" unknown head1 node17
expect_not "and there is no file" n head1 test -e $FILE
up head1 node17 node18

# ---------------------------------------------------------------- forward, reverse

for x in head1 node17 node18; do
	expect_within "known $x node17" 5 "getent hosts node17 on $x"
done
A=$(inner6 head1) B17=$(inner6 node17)
expect "as the first name, and as that of the cluster" says head1 node17 "$B17 node17 node17.demo"
expect "both addresses" [ "$(addresses head1 node17)" = "10.77.0.17 $B17 " ]
expect "by the cluster's name" [ "$(addresses node18 node17.demo)" = "10.77.0.17 $B17 " ]
expect "in capitals" [ "$(addresses node18 NODE17)" = "10.77.0.17 $B17 " ]
expect "its own name" [ "$(addresses head1 head1)" = "10.77.0.1 $A " ]
expect "IPv4 alone" sh -c "[ '$(ask head1 ahostsv4 node17 | awk '{print $1}' | sort -u)' = 10.77.0.17 ]"
expect "reverse, IPv4" says head1 10.77.0.17 "10.77.0.17 node17 node17.demo"
expect "reverse, IPv6" says head1 "$B17" "$B17 node17 node17.demo"
expect "a name that is none" unknown head1 node1
expect "an address that is nobody's" unknown head1 10.77.0.99
expect "all of them" [ "$(ask head1 hosts | grep -c 'node1[78]\.demo\|head1\.demo')" = 6 ]
expect "an ordinary user reads names" as_user head1 getent hosts node17
expect "and addresses" as_user head1 getent hosts "$B17"
expect "but has no part in the file" as_user head1 sh -c "! true >>$FILE && ! rm -f $FILE && ! mv $FILE $FILE.x"
expect_not "nor in the admin socket" as_user head1 python3 -c "
import socket
socket.socket(socket.AF_UNIX).connect('/run/overlayd/admin.sock')"
expect_said 'Permission denied' "which is refused to him"
expect "it is root's, for all to read" [ "$(n head1 stat -c '%a %U' $FILE)" = "644 root" ]

tcp_server node17 :: 17001
await 'tcp_open head1 10.77.0.17 17001' 20 "a tunnel"
expect "a program connects by name" by_name head1 python3 "$BED_HERE/tcp.py" probe node17.demo 17001 5

doctor() { ctl "$1" doctor | tr -s ' \n' ' '; } # NODE: as one line
expect "overlayctl doctor knows that it is so" grep -q 'programs know the peers by name' <<<"$(doctor head1)"
nss_on head1 nsswitch.without
expect "and where it is not" grep -q 'package libnss-overlay' <<<"$(doctor head1)"
expect "all this is the library's doing" unknown head1 node17
n head1 umount /etc/nsswitch.conf
expect "(it is back)" known head1 node17

# ---------------------------------------------------------------- changes

# What is asked all the time while all else changes.
cat >"$BED_DIR/asker" <<-'END'
	while :; do
		getent hosts node17 >/dev/null && getent hosts 10.77.0.17 >/dev/null || echo bad >>"$1/asked-bad"
		echo good >>"$1/asked"
		sleep 0.02 # as often as that is enough
	done
END
spawn head1 asker "$BED_DIR/asker.out" env LD_LIBRARY_PATH=/run/nss sh "$BED_DIR/asker" "$BED_DIR"
await '[ -s $BED_DIR/asked ]' 10 "the asker"

unpeer node18
policy_push head1 node17
expect_within 'unknown head1 node18 && unknown head1 node18.demo' 5 "a revoked node's name is gone"
expect_within 'unknown node17 node18' 5 "on every node"
expect_within 'unknown head1 10.77.0.18' 1 "and its addresses are nobody's"
expect "others are known" known head1 node17
peer node18 "exec" 10.77.0.28
policy_push head1 node17
expect_within 'says head1 10.77.0.28 "10.77.0.28 node18 node18.demo"' 5 "approved again, with another address"
for i in 1 2 3 4 5 6; do
	peer node18 "exec" "10.77.0.3$i"
	policy_push head1
	expect_within "says head1 10.77.0.3$i '10.77.0.3$i node18 node18.demo'" 5 "address $i"
done
ino=$(n head1 stat -c %i $FILE)
policy_line 's/^serial: .*/serial: 50/'
policy_push head1
await '[ "$(field head1 "s[\"serial\"]")" = 50 ]' 5 "serial 50"
expect_for '[ "$(n head1 stat -c %i $FILE)" = "$ino" ]' 0.5 "what changes no name writes no file"

overlayd_stop head1
expect "overlayd stopped: names stay" known head1 node17
overlayd_start head1
overlayd_kill head1
expect "killed: they stay" known head1 node17
rm "$BED_DIR/policy/peers.d/node18.yaml"
policy_push head1
overlayd_start head1
expect_within 'unknown head1 node18' 5 "started again: what changed meanwhile counts"
kill "$(<"$BED_DIR/head1/asker.pid")"
expect "all this time node17 was known, by name and by address: asked $(wc -l <"$BED_DIR/asked") times" [ ! -e "$BED_DIR/asked-bad" ]
between "$(wc -l <"$BED_DIR/asked")" 20 1000000000 || fail "the asker was not heard"

# ---------------------------------------------------------------- endpoints that are names

# node17 is the name of an endpoint too, and this machine asks libnss_overlay first. overlayd itself
# must be told the address outside.
echo "hosts: overlay files" >"$BED_DIR/nsswitch.conf"
printf '10.77.0.17 node17\n%s node17\n' "$(underlay node17)" >"$BED_DIR/hosts"
n head1 mount --bind "$BED_DIR/hosts" /etc/hosts
overlayd_stop head1
charon_stop head1
charon_start head1
endpoints node17 node17
peer node17 "exec" 10.77.0.17
policy_push head1
LD_LIBRARY_PATH=/run/nss overlayd_start head1
expect "programs are told the address inside" [ "$(addresses head1 node17)" = "10.77.0.17 $B17 " ]
connects_to() { [ "$(vici head1 list-conns '{}' list-conn | grep -c "$1")" -gt 0 ]; }
expect_within "connects_to '$(underlay node17)'" 10 "overlayd connects to the one outside"
expect_within 'sa_up head1 node17' 15 "and the tunnel is up"
expect_not "it never tried the one inside" connects_to '"10.77.0.17"'
n head1 umount /etc/hosts

# ---------------------------------------------------------------- what it says is root's word alone

n head1 chmod 0666 $FILE
expect "a file that others may write is worth nothing" unknown head1 node17
peer node18 "exec" 10.77.0.18
policy_push head1
expect_within 'known head1 node18' 5 "the next change makes it good"

overlayd_stop head1
expect "overlayd --flush" n head1 "$BED_B/overlayd" --config "$BED_DIR/head1/etc" --state "$BED_DIR/head1/state" --flush
expect "takes the names with it" unknown head1 node17
expect_not "and the file" n head1 test -e $FILE
expect "/etc/hosts is as it was" [ "$ETC_HOSTS" = "$(sha256sum </etc/hosts)" ]
expect "on a node too" [ "$ETC_HOSTS" = "$(n node17 cat /etc/hosts | sha256sum)" ]
alive node17
done_testing
