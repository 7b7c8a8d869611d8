#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# firewall: lockdown. The whole host is default-drop but for what it needs to live, the tunnels, and
# `manage`. All on one site, whose switch passes everything: it is the hosts that say no (M2).
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
node head1 hq 10
node node17 hq 17
node desk hq 50   # within what may manage
node stray hq 99  # not
demo_policy
cat >>"$BED_DIR/policy/policy.yaml" <<'END_POLICY'
firewall: lockdown
manage:
  - { from: 192.0.2.48/28, service: ssh }
  - { from: "2001:db8:1::50/128", service: ssh }
END_POLICY
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
for x in head1 node17; do charon_start $x; done
tcp_server head1 192.0.2.10 22
tcp_server head1 192.0.2.10 80
tcp_server head1 2001:db8:1::10 22
tcp_server head1 2001:db8:1::10 80
tcp_server desk 192.0.2.50 80
udp_server head1 192.0.2.10 7000
udp_server desk 192.0.2.50 53
expect "before, the host is open" tcp_open stray 192.0.2.10 80
tcp_client stray 192.0.2.10 80 old
tcp_client desk 192.0.2.10 22 ssh
for x in head1 node17; do policy_push $x; overlayd_start $x; done
expect_within 'sa_up head1 node17' 10 "M2: lockdown: the tunnel comes up"
tcp_server head1 10.77.0.1 17001
expect_within 'tcp_open node17 10.77.0.1 17001' 3 "M2: lockdown: the overlay works"
expect_not "M2: lockdown: and is as exact as before" tcp_open node17 10.77.0.1 22 1

expect "M2: lockdown: managed from where it is allowed" tcp_open desk 192.0.2.10 22
expect "M2: lockdown: over IPv6 too" tcp_open desk 2001:db8:1::10 22
expect "M2: lockdown: the admin's session lived through the start" client_flows desk ssh
expect_not "M2: lockdown: there not to another port" tcp_open desk 192.0.2.10 80 0.5
expect_not "M2: lockdown: not from elsewhere" tcp_open stray 192.0.2.10 22 0.5
expect_not "M2: lockdown: not over IPv6" tcp_open stray 2001:db8:1::10 22 0.5
expect_not "M2: lockdown: nor anything else" tcp_open stray 192.0.2.10 80 0.5
expect_not "M2: lockdown: nor what was open before" client_flows stray old 1
expect_not "M2: lockdown: no ping" ping stray 192.0.2.10
expect_not "M2: lockdown: a peer has no more on the underlay than a stranger" tcp_open node17 192.0.2.10 80 0.5
n stray python3 "$BED_HERE/tcp.py" scan 192.0.2.10 "${REACH_PORTS:-1-65535}" 0.2 >"$BED_DIR/scan" 2>&1
expect_not "M2: lockdown: of 65535 ports a stranger finds none" grep -qE 'open|ECONNREFUSED' "$BED_DIR/scan"
expect_not "M2: lockdown: it does not call out either" tcp_open head1 192.0.2.50 80 0.5
expect "M2: lockdown: what was dropped is counted" [ "$(drops head1 lockdown-in)" -gt 0 ]
dns() { n head1 python3 - <<-'PY'
	import socket
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
	s.sendto(b"question", ("192.0.2.50", 53)); assert s.recv(99) == b"question"
	PY
}
expect "lockdown: DNS answers come" dns
n head1 ip neigh flush dev e0
n head1 ip -6 neigh flush dev e0
n desk ip -6 neigh flush dev e0
expect "lockdown: neighbours are found anew over IPv6" tcp_open desk 2001:db8:1::10 22 2

# Stopped, it stays shut; back to guard, it opens, without a hole in between for the cluster's ports.
overlayd_stop head1
expect_not "M2: lockdown: overlayd stopped: still shut" tcp_open stray 192.0.2.10 80 0.5
expect "M2: lockdown: and still managed" tcp_open desk 192.0.2.10 22
overlayd_kill node17
n head1 true
overlayd_start head1
overlayd_start node17
await 'tcp_open node17 10.77.0.1 17001' 8 "overlay after restart"
policy_line 's/^firewall: lockdown/firewall: guard/'
policy_push head1 node17
expect_within 'tcp_open stray 192.0.2.10 80 0.3' 3 "guard: the host's other ports are its own again"
tcp_server head1 192.0.2.10 17001
expect_not "guard: the cluster's are not" tcp_open stray 192.0.2.10 17001 0.5
expect_not "guard: nor for a peer, beside its tunnel" tcp_open node17 192.0.2.10 17001 0.5
expect "the overlay never minded" tcp_open node17 10.77.0.1 17001
alive head1 node17
done_testing
