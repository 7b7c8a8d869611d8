#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Sessions between nodes with real charon: a bundle loaded on any node reaches the others, a revocation
# in it cuts everywhere; who else speaks to their port, a user, a stranger, a hostile member, gets
# nowhere and costs little.
#
#	hq   seed1 (seed)    stranger
#	aws  node17 (cluster key)    node18
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node seed1 hq 10
node stranger hq 66
node node17 aws 17
node node18 aws 18
ALL="seed1 node17 node18"
demo_policy
policy_line 's|  mom: .*|&\n  extra: { ports: [tcp/7777] }|'
peer seed1 "head, seed" 10.77.0.1
peer node17 "exec" 10.77.0.17
peer node18 "exec" 10.77.0.18
for x in $ALL; do policy_push $x; done
up $ALL
await 'sa_up seed1 node17 && sa_up seed1 node18 && sa_up node17 node18' 20 "tunnels"

# sessions NODE [PEER-NAME]: its established ones, at either end
sessions() {
	local to=
	if [ -n "${2:-}" ]; then to="( dst 10.77.0.${2#node} or dst [$(inner6 "$2")] )"; fi
	n "$1" ss -Htn state established "( sport = :450 or dport = :450 ) $to" | wc -l
}
listens() { n "$1" ss -Hlnt sport = :450 | grep -q "$2:450"; }
by() { n "$1" python3 "$BED_HERE/session.py" "${@:2}"; } # NODE FROM TO MODE…

# ---------------------------------------------------------------- only in signed mode

expect_not "without a cluster key nobody listens" listens seed1 10.77.0.1
expect_not "and the port is shut" tcp_open node17 10.77.0.1 450 0.5
cluster_key node17 $ALL
expect_within 'listens seed1 10.77.0.1 && listens node17 10.77.0.17' 10 "with it they listen, on their overlay address"
expect_not "and on no other" sh -c "$(declare -f n); n seed1 ss -Hlnt sport = :450 | grep -vE '10\.77\.|fd'"

# ---------------------------------------------------------------- bundles

expect_within 'sign node17' 10 "node17 signs the first bundle, and no seed"
expect_within 'have 1 $ALL' 20 "all have it"
expect_within 'heard node17 1 $ALL' 20 "and node17 has it from each"
expect_within '[ "$(sessions seed1)" = 2 ]' 10 "both members have a session with the seed"
sed -i 's|^allow:|&\n  - { from: exec, to: head, service: extra }|' "$BED_DIR/node17/etc/policy.yaml"
tcp_server seed1 10.77.0.1 7777
expect_not "what the policy does not allow" tcp_open node18 10.77.0.1 7777 0.5
expect_within 'sign node17' 10 "the next bundle allows it"
expect_within 'have 2 $ALL' 10 "all have it"
expect "now it is allowed" tcp_open node18 10.77.0.1 7777 2

# 2,000 more peers, which nobody is allowed to reach: too much to be sent unasked, even as a difference.
crowd() { python3 - >"$BED_DIR/node17/etc/peers.d/crowd.yaml" <<-'PY'
	import base64, os
	for i in range(2000):
	    key = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + os.urandom(32)).decode()
	    print(f'crowd{i}: {{ key: "ssh-ed25519 {key}", address: 10.77.{8 + i // 250}.{1 + i % 250}, '
	          f'site: aws, roles: [crowd] }}')
	PY
}
crowd
expect_within 'sign node17' 10 "a much larger bundle"
expect_within 'have 3 $ALL' 20 "all have it"

# ---------------------------------------------------------------- who may not

as_user() { n "$1" setpriv --reuid 12345 --regid 12345 --clear-groups "${@:2}"; }
user_tcp() { as_user node17 python3 "$BED_HERE/tcp.py" probe "$1" 450 1; }
expect "root of a node reaches the port" tcp_open node17 10.77.0.1 450 2
expect_not "another user does not" user_tcp 10.77.0.1
expect_not "nor over IPv6" user_tcp "$(inner6 seed1)"
user_udp() { as_user node17 python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.77.0.1", 450))
s.send(b"x")'; }
expect_not "nor by datagrams" user_udp
expect_within 'denied node17 "seed1 .*tcp/450 .*only overlayd itself"' 3 "overlayctl denied says why"
expect_not "he does not take the port for himself" as_user node17 python3 -c '
import socket
socket.socket().bind(("10.77.0.17", 450))'
n stranger ip route add 10.77.0.0/16 via "$(underlay seed1)"
n stranger ip addr add 10.77.0.17/32 dev lo
expect_not "a stranger does not reach it on the underlay" tcp_open stranger "$(underlay seed1)" 450 1
expect_not "nor in clear on the overlay" tcp_open stranger 10.77.0.1 450 1
expect_not "nor as node17" by stranger 10.77.0.17 10.77.0.1 silent

# ---------------------------------------------------------------- a hostile member

expect "who says no hello is closed" by node18 10.77.0.18 10.77.0.1 silent
expect_said 'closed after ([4-9]|[0-9]{2})[0-9]{3} ms' "after some 5 seconds"
expect "who speaks otherwise at once" by node18 10.77.0.18 10.77.0.1 garbage
expect_said 'closed after [0-4]?[0-9]{1,3} ms' "and does not wait for that"
expect "who speaks only future versions" by node18 10.77.0.18 10.77.0.1 hello 7 9 demo
expect_within 'logged seed1 "node18 .release 9.9.9. speaks session versions 7-9, this release version 1: update overlayd on this node"' 3 \
	"the log says who is to be updated"
expect "who is of another cluster" by node18 10.77.0.18 10.77.0.1 hello 1 1 other
expect_within 'logged seed1 "node18 says it is of the cluster other"' 3 "the log says so"
expect_not "who speaks a newer and our version stays" by node18 10.77.0.18 10.77.0.1 hello 1 9 demo
expect "who sends what nobody asked for" by node18 10.77.0.18 10.77.0.1 huge
expect "who sends nothing that we know" by node18 10.77.0.18 10.77.0.1 unknown
expect "who opens more than two connections" by node18 10.77.0.18 10.77.0.1 many
# Both of these take their time: each from another node.
: >"$BED_DIR/unread.log"
spawn node17 half "$BED_DIR/half.log" python3 "$BED_HERE/session.py" 10.77.0.17 10.77.0.1 half
spawn node18 unread "$BED_DIR/unread.log" python3 "$BED_HERE/session.py" 10.77.0.18 10.77.0.1 unread
await '[ "$(sessions seed1 node18)" = 2 ] && grep -q asked $BED_DIR/unread.log' 40 "who asks and does not read"
expect_within '[ "$(sessions seed1 node18)" -le 1 ]' 40 "who asks for the bundle and does not read it"
kill "$(<"$BED_DIR/node18/unread.pid")"
expect_within 'grep -q closed $BED_DIR/half.log' 40 "who never comes to the end of a message"
cpu() { awk '{print $14 + $15}' "/proc/$(<"$BED_DIR/seed1/overlayd.pid")/stat"; } # 1/100 s
began=$(cpu)
expect "who floods" by node18 10.77.0.18 10.77.0.1 flood
expect "and with datagrams" by node18 10.77.0.18 10.77.0.1 note 4567
overlayd_kill node18 # which has the port
expect "and from the right port" by node18 10.77.0.18 10.77.0.1 note 450
overlayd_start node18
note "the floods cost seed1 $((($(cpu) - began) * 10)) ms"
expect_within '[ "$(sessions seed1 node18)" = 1 ]' 40 "node18's own session is there again"
expect_within '[ "$(sessions seed1 node17)" = 1 ]' 10 "node17's too"
alive $ALL

# ---------------------------------------------------------------- revocation, and restarts

overlayd_kill seed1
overlayd_start seed1
expect_within '[ "$(sessions seed1)" = 2 ]' 10 "the seed is started anew: sessions are back"
expect_within 'have 3 seed1' 5 "with the bundle that it kept"
await 'tcp_open node18 10.77.0.1 7777 0.5' 20 "node18 passes"
tcp_client node18 10.77.0.1 7777 flow
tcp_server node17 10.77.0.17 15003
tcp_client node18 10.77.0.17 15003 mates
expect "both flow" client_flows node18 flow
rm "$BED_DIR/node17/etc/peers.d/node18.yaml"
expect_within 'sign node17' 10 "a bundle without node18, signed on node17"
expect_within 'have 4 seed1 node17' 10 "the others have it"
expect_within 'client_ended node18 flow || ! client_flows node18 flow 1' 10 "node18's connection with seed1 is dead"
expect_within 'client_ended node18 mates || ! client_flows node18 mates 1' 10 "and that with node17"
expect_within '[ "$(sessions seed1)" = 1 ]' 5 "its session too"
expect_not "it opens no other" by node18 10.77.0.18 10.77.0.1 silent
sed -i 's|10\.77\.0\.17|10.77.0.27|' "$BED_DIR/node17/etc/peers.d/node17.yaml"
expect_within 'sign node17' 10 "a bundle that gives node17 another address"
expect_within 'listens node17 10.77.0.27 && ! listens node17 10.77.0.17' 10 "it listens there, and no more at the old one"
expect_within 'have 5 seed1 node17 && tcp_open seed1 10.77.0.27 450 0.5' 20 "the seed, who may hear of it too late, reaches it there"
sed -i 's|10\.77\.0\.27|10.77.0.37|' "$BED_DIR/node17/etc/peers.d/node17.yaml"
ctl node17 sign >"$BED_DIR/moved" 2>"$BED_DIR/sign.out" || fail "$(<"$BED_DIR/sign.out")"
expect "one that gives it yet another, loaded on the seed" ctl seed1 load "$BED_DIR/moved"
expect_within 'have 6 seed1 node17 && tcp_open seed1 10.77.0.37 450 0.5' 20 "it hears of it, and is reached there"
expect_within '[ "$(sessions seed1)" = 1 ]' 5 "with its session"
alive $ALL
done_testing
