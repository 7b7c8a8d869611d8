#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A node changes its key while connections run through its tunnels: none breaks, over IPv4 or IPv6,
# whoever hears of it first; and afterwards the old key is worthless.
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

three_nodes
ALL="head1 node17 node18"
up $ALL
await 'sa_up head1 node17 && sa_up node18 node17 && sa_up head1 node18' 15 "tunnels"

of() { ctl "$1" status --json | python3 -c "import json, sys; print(json.load(sys.stdin)$2)"; }
six() { of "$1" '["node"]["address6"]'; }
SIX=$(six node17)
tcp_server head1 10.77.0.1 17001
tcp_server head1 "$(six head1)" 15001
tcp_server node17 10.77.0.17 15002
await 'tcp_open node17 10.77.0.1 17001' 5 "node17 reaches head1"

# ids NODE PEER: the other end's identity, of each SA
ids() {
	vici "$1" list-sas '{}' list-sa | python3 -c '
import json, sys
for line in sys.stdin:
    if not line.startswith("list-sa "):
        continue
    for name, sa in json.loads(line[8:]).items():
        if name.split("/")[0] == "ovl." + sys.argv[1] and sa.get("state") == "ESTABLISHED":
            print(name, sa["remote-id"])' "$2"
}
# id_of KEYFILE: as the engine names a key
id_of() { openssl pkey -in "$1" -pubout -outform DER | tail -c 32 | head -c 16 | od -An -tx1 | tr -d ' \n'; }
only() { [ "$(ids "$1" node17 | sed 's/.*\.//' | sort -u)" = "$2" ] && [ "$(ids "$1" node17 | wc -l)" = 1 ]; }

OLD=$(node_key node17) OLD_ID=$(id_of "$BED_DIR/node17/state/node.key")
expect "head1 knows node17 by its key" only head1 "$OLD_ID"
cp -p "$BED_DIR/node17/state/node.key" "$BED_DIR/stolen.key"

# The new key beside the old one, and in the policy: at node17 last.
ctl node17 rotate >"$BED_DIR/voucher" 2>"$BED_DIR/rotate.err" || fail "rotate: $(cat "$BED_DIR/rotate.err")"
cp -p "$BED_DIR/node17/state/node.key.next" "$BED_DIR/new.key"
NEW_ID=$(id_of "$BED_DIR/new.key")
expect "the signer confirms it" "$BED_B/overlayctl" --config "$BED_DIR/policy" --socket "$BED_DIR/none" \
	approve node17 --voucher "$BED_DIR/voucher" --overlap $((25 * BED_SLOW))
expect "the address stays" grep -qF "address6: \"$SIX\"" "$BED_DIR/policy/peers.d/node17.yaml"
policy_push head1
expect_within "ctl head1 diff | grep -q nothing || ctl head1 status --json | grep -q node17" 5 "head1 has the new policy"
expect_for 'only head1 '"$OLD_ID" 2 "head1 has the new policy, and the tunnel of the old key stays"
# A tunnel that is lost now comes back: node17 knows only its old key.
expect "a tunnel is ended" vici head1 terminate '{"ike": "ovl.node17", "force": "yes", "timeout": "-1"}'
expect_within 'tcp_open node17 10.77.0.1 17001 0.3 && only head1 '"$OLD_ID" 20 "it comes back with the old key"
tcp_client node17 10.77.0.1 17001 four
tcp_client node17 "$(six head1)" 15001 six
tcp_client node18 10.77.0.17 15002 from18

policy_push node17
expect_within 'only head1 '"$NEW_ID" 10 "node17 has moved to the new key"
expect "the connections live" client_flows node17 four
expect "over IPv6 too" client_flows node17 six
expect "node18, which has not heard of it, is connected still" client_flows node18 from18
policy_push node18
expect_within 'only node18 '"$NEW_ID" 15 "and moves when it hears of it"
expect "its connection lives" client_flows node18 from18
for c in "node17 four" "node17 six" "node18 from18"; do
	expect_not "$c never stopped for long" grep -qE 'gap [1-9]' "$BED_DIR/${c% *}/client-${c#* }.log"
	expect_not "$c never ended" client_ended ${c}
done

# Once all is moved, and at the latest at its time, the old key is worthless.
placed() { [ ! -e "$BED_DIR/node17/state/node.key.next" ] && cmp -s "$BED_DIR/node17/state/node.key" "$BED_DIR/new.key"; }
expect_within placed 30 "the new key is in the old one's place"
expect "nothing moved when the old one's time was over" client_flows node17 four
overlayd_kill node17
overlayd_start node17
expect "a restart finds the new key, and the tunnel" only head1 "$NEW_ID"

# Whoever has the old key gets nowhere with it, even with a policy that says it counts.
overlayd_stop node17
charon_stop node17
cp -p "$BED_DIR/stolen.key" "$BED_DIR/node17/state/node.key"
sed "s|key: \"[^\"]*\", old_key: \"[^\"]*\", old_until: [^,]*,|key: \"$OLD\",|" "$BED_DIR/policy/peers.d/node17.yaml" >"$BED_DIR/node17/etc/peers.d/node17.yaml"
charon_start node17
overlayd_start node17
expect_within "grep -qE 'AUTH(ENTICATION)?_FAILED|no matching peer' $BED_DIR/node17/charon.log" 20 "the thief tries"
expect_for '! ids head1 node17 | grep -q '"$OLD_ID" 3 "the old key is refused"
expect_not "and reaches nothing" tcp_open node17 10.77.0.1 17001
expect "node18 does not notice" tcp_open node18 10.77.0.1 17001
done_testing
