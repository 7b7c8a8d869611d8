#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The first thread (P4, P5, M1, M2): approved nodes reach each other on exactly the allowed ports,
# through tunnels over UDP 4500 alone; one that is not approved reaches nothing.
BED_CAPTURE=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100 nat
site lan 203.0.114
node head1 hq 10
node node17 aws 17
node desk5 lan 5
node node18 aws 18
demo_policy
sed -i 's/aws: {}/aws: { behind_nat: true }\n  lan: {}/' "$BED_DIR/policy/policy.yaml"
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
peer desk5 "exec" 10.77.0.5
for x in head1 node17 desk5 node18; do
	charon_start $x
	policy_push $x
	overlayd_start $x
done
expect_within 'sa_up head1 node17' 10 "a node behind NAT has its tunnel"
expect_within 'sa_up head1 desk5' 10 "one with an address of its own too"
for port in 17001 15001 15004 22 111 15005; do tcp_server head1 10.77.0.1 $port; done
tcp_server head1 192.0.2.10 17002
expect_within 'tcp_open node17 10.77.0.1 17001' 5 "an allowed port is reached"
expect "at the end of a range" tcp_open node17 10.77.0.1 15004
expect "from the other site too" tcp_open desk5 10.77.0.1 15001
expect_not "a port that is not allowed is not" tcp_open node17 10.77.0.1 22
expect_not "nor just behind a range" tcp_open node17 10.77.0.1 15005
expect_not "a stranger reaches nothing by overlay address" tcp_open node18 10.77.0.1 17001
expect_not "nor after taking an approved address" sh -c "
	nsenter -t $(<"$BED_DIR/node18/anchor") -n ip addr add 10.77.0.5/32 dev lo
	nsenter -t $(<"$BED_DIR/node18/anchor") -n python3 $BED_HERE/tcp.py probe 10.77.0.1 17001 1"

# All ports of an approved peer's view: what answers is what the policy says (M2).
# REACH_PORTS: fewer of them, for a machine that is emulated.
PORTS=${REACH_PORTS:-1-65535}
n node17 python3 "$BED_HERE/tcp.py" scan 10.77.0.1 "$PORTS" 0.4 >"$BED_DIR/scan" 2>&1
open=$(awk '$2 == "open" {printf "%s ", $1}' "$BED_DIR/scan")
answered=$(grep -cE "open|ECONNREFUSED" "$BED_DIR/scan")
note "scan: open: $open; $answered of $PORTS answered"
expect "of ports $PORTS, those open are those allowed and held" [ "$open" = "15001 15004 17001 " ]

# One segment of a file that does not fit: 1 MB both ways shows that the MTU is right.
n node17 python3 - >"$BED_DIR/bulk" 2>&1 <<'END'
import socket, threading
s = socket.create_connection(("10.77.0.1", 17001), 5)
data = bytes(4000) * 1000
def pump():
    s.sendall(data)
threading.Thread(target=pump, daemon=True).start()
s.settimeout(20)
left = len(data)
while left:
    left -= len(s.recv(65536))
print("done")
END
expect "4 MB go there and back (MTU)" grep -q done "$BED_DIR/bulk"
done_testing
