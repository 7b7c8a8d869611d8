#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `swanctl --load-all` unloads every key and connection that is not in its own files: Debian's
# strongswan.service does that after each start of charon, an admin whenever. overlayd notices, loads
# ours again, and the tunnels do not.
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
node head1 hq 10
node node17 hq 17
demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
up head1 node17
await 'sa_up head1 node17' 20 "tunnel"
tcp_server head1 10.77.0.1 17001
await 'tcp_open node17 10.77.0.1 17001' 5 "reached"
tcp_client node17 10.77.0.1 17001 steady
mkdir -p "$BED_DIR/swanctl"
: >"$BED_DIR/swanctl/swanctl.conf"
load_all() { # NODE: with files that name nothing
	n "$1" env SWANCTL_DIR="$BED_DIR/swanctl" swanctl --load-all --noprompt --uri unix:///run/charon.vici \
		>"$BED_DIR/$1/swanctl.log" 2>&1
}
keys() { vici "$1" get-keys '{}' | grep -cE '[0-9a-f]{40}'; }
conns() { vici "$1" get-conns '{}' | grep -c ovl; }
loaded() { [ "$(keys "$1")" = 1 ] && [ "$(conns "$1")" = 1 ]; }
expect "key and connection are loaded" loaded head1

sa=$(sas head1 node17)
load_all head1
expect "swanctl says that it unloaded ours" grep -q unloaded "$BED_DIR/head1/swanctl.log"
expect_within 'loaded head1' 10 "both are loaded again"
expect "the tunnel is the same" [ "$sa" = "$(sas head1 node17)" ]
expect "and what flowed flows" client_flows node17 steady 2
expect "overlayd says what happened" logged head1 "unloaded our key"

# Then its IKE_SA ends, before anybody looked.
load_all head1
for id in $(sas head1 | awk '{ print $3 }'); do vici head1 terminate "{\"ike-id\": \"$id\", \"force\": \"yes\"}" >/dev/null; done
expect_within 'sa_up head1 node17 && sa_up node17 head1' 10 "unloaded and ended at one end: the tunnel comes back"

# At both ends, after charon's restart, as the service does it: without the key nobody gets in.
for x in head1 node17; do
	charon_kill $x
	charon_start $x
done
await 'loaded head1 && loaded node17' 20 "loaded after the restart"
load_all head1
load_all node17
for x in head1 node17; do
	for id in $(sas $x | awk '{ print $3 }'); do vici $x terminate "{\"ike-id\": \"$id\", \"force\": \"yes\"}" >/dev/null; done
done
expect_within 'sa_up head1 node17 && sa_up node17 head1' 15 "unloaded at both ends: the tunnel comes back"
expect "and the old connection flows" client_flows node17 steady 15
expect_not "it never ended" client_ended node17 steady
alive head1 node17
done_testing
