#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Both rotations under one transfer: the cluster's key, and then a node's, with signed bundles and
# sessions. No connection breaks; afterwards either old key is worthless, also after restarts.
BED_CAPTURE=1 BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"
. "$(dirname "$0")/cluster.sh"

three_nodes
peer head1 "head, seed" 10.77.0.1
ALL="head1 node17 node18"
cluster_key head1 $ALL
up $ALL
await 'sa_up head1 node17 && sa_up node18 node17 && sa_up head1 node18' 20 "tunnels"
expect "the first bundle" ctl head1 sign --load --wait=20
octl() { "$BED_B/overlayctl" --socket "$BED_DIR/nobody" "$@"; }
id_of() { openssl pkey -in "$1" -pubout -outform DER | tail -c 32 | head -c 16 | od -An -tx1 | tr -d ' \n'; }
ids() { # NODE PEER: the peer's identity, of each SA
	vici "$1" list-sas '{}' list-sa | python3 -c '
import json, sys
for line in sys.stdin:
    if line.startswith("list-sa "):
        for name, sa in json.loads(line[8:]).items():
            if name.split("/")[0] == "ovl." + sys.argv[1] and sa.get("state") == "ESTABLISHED":
                print(sa["remote-id"].split(".")[-1])' "$2"
}
only() { [ "$(ids "$1" node17)" = "$2" ]; }

tcp_server head1 10.77.0.1 17001
tcp_server head1 "$(inner6 head1)" 15001
tcp_server node17 10.77.0.17 15002
await 'tcp_open node17 10.77.0.1 17001 && tcp_open node18 10.77.0.17 15002' 10 "servers"
tcp_client node17 10.77.0.1 17001 four
tcp_client node17 "$(inner6 head1)" 15001 six
tcp_client node18 10.77.0.17 15002 from18
BEGAN=$(now_ms)

# ---- the cluster's key

expect "another key pair" octl key --no-passphrase "$BED_DIR/new.key"
octl --config "$BED_DIR/head1/etc" sign --alone --key "$BED_DIR/new.key" >"$BED_DIR/early"
expect_not "a bundle of a key that nobody named is refused" n head1 "$BED_B/overlayctl" load "$BED_DIR/early"
expect_said 'is refused' "for that reason"
cp -p "$BED_DIR/node18/state/bundle" "$BED_DIR/node18.kept"
expect "the old key names the new one" ctl head1 sign --load --wait=20 --next-key "$BED_DIR/new.pub"
expect_said 'on 3 of 3 members' "and all members have it"
ctl head1 bundle >"$BED_DIR/naming"
overlayd_kill node18
overlayd_start node18
sed -i 's/^  mom: .*/  mom: { ports: [tcp\/15002-15004] }/' "$BED_DIR/head1/etc/policy.yaml"
expect "the old one still signs" ctl head1 sign --load --wait=20
expect_said 'on 3 of 3 members' "for all"
expect "the new one takes over" ctl head1 sign --load --wait=30 --key "$BED_DIR/new.key"
expect_said 'on 3 of 3 members' "at all members, the restarted one too"
SERIAL=$(serial_of head1)
cp "$BED_DIR/head1/etc/policy.yaml" "$BED_DIR/policy.yaml"
octl --config "$BED_DIR/head1/etc" sign --key "$BED_DIR/cluster.key" --parent "$BED_DIR/naming" >"$BED_DIR/late" 2>"$BED_DIR/late.err"
sed -i "s/^serial: .*/serial: $((SERIAL + 5))/" "$BED_DIR/head1/etc/policy.yaml"
octl --config "$BED_DIR/head1/etc" sign --alone --key "$BED_DIR/cluster.key" --parent "$BED_DIR/naming" >"$BED_DIR/late" 2>"$BED_DIR/late.err"
cp "$BED_DIR/policy.yaml" "$BED_DIR/head1/etc/policy.yaml"
expect "the old one can sign whatever it likes" grep -q "\"serial\":$((SERIAL + 5))}" "$BED_DIR/late"
for x in head1 node18; do expect_not "$x does not take it" ctl $x load "$BED_DIR/late"; done
expect_said 'signed by the key' "and says why"
overlayd_kill node18
overlayd_start node18
expect_within "have $SERIAL node18" 10 "a restart finds the bundle of the new key"
expect_not "and still refuses the old one's" ctl node18 load "$BED_DIR/late"
overlayd_stop node18
cp -p "$BED_DIR/node18.kept" "$BED_DIR/node18/state/bundle"
overlayd_start node18
expect_within "have $SERIAL node18" 20 "who was away all the time is given the bundle that names the key, and follows"
expect_not "it refuses the old one's from then on" ctl node18 load "$BED_DIR/late"

# ---- a node's key

cp -p "$BED_DIR/node17/state/node.key" "$BED_DIR/stolen.key"
OLD_ID=$(id_of "$BED_DIR/stolen.key")
expect "head1 knows node17 by its key" only head1 "$OLD_ID"
wish() { ctl head1 pending --json | python3 -c 'import json, sys; print(*[p["fingerprint"] for p in json.load(sys.stdin)["pending"] if p["kind"] == "rotate" and p["name"] == "node17"])'; }
rotate() { ctl node17 rotate >"$BED_DIR/voucher" 2>"$BED_DIR/rotate.err" || fail "rotate: $(cat "$BED_DIR/rotate.err")"; }
rotate
expect_within '[ -n "$(wish)" ]' 10 "the seed is told that node17 wants another key"
FIRST=$(wish)
expect "it thinks better of it" ctl node17 rotate --cancel
expect_within '[ -z "$(wish)" ]' 10 "the seed is told that, too"
rotate
expect_within '[ -n "$(wish)" ]' 10 "now it is in earnest"
NEXT=$(wish)
expect_not "with another key" [ "$NEXT" = "$FIRST" ]
expect "the one that its console shows" grep -qF "is $NEXT." "$BED_DIR/rotate.err"
overlayd_kill head1
overlayd_start head1
expect_within '[ "$(wish)" = "$NEXT" ]' 20 "a seed that starts anew is told anew"
NEW_ID=$(id_of "$BED_DIR/node17/state/node.key.next")
sed 's/ node17 / node18 /' "$BED_DIR/voucher" >"$BED_DIR/forged"
expect_not "a voucher for another node is none" octl --config "$BED_DIR/head1/etc" approve node18 --voucher "$BED_DIR/forged" \
	--key "$BED_DIR/new.key"
expect_said 'did not sign this voucher' "and that is said"
expect_not "the name alone does not approve it" ctl head1 approve node17 --key "$BED_DIR/new.key"
expect_not "nor the key it thought better of" ctl head1 approve node17 "$FIRST" --key "$BED_DIR/new.key"
expect "the signer confirms it" ctl head1 approve node17 "$NEXT" --key "$BED_DIR/new.key" \
	--overlap $((20 * BED_SLOW)) --wait=20
expect_said 'on 3 of 3 members' "and all members have it"
expect_within "only head1 $NEW_ID && only node18 $NEW_ID" 20 "node17 has moved to its new key, everywhere"
expect "nobody waits any more" [ -z "$(wish)" ]
expect "it says itself what it has applied" heard head1 "$(serial_of head1)" node17
expect_within "[ ! -e $BED_DIR/node17/state/node.key.next ] && ! cmp -s $BED_DIR/node17/state/node.key $BED_DIR/stolen.key" \
	40 "the new key is in the old one's place"
await "[ \$((\$(now_ms) - BEGAN)) -ge ${KEYS_MS:-60000} ]" 120 "a transfer of a minute"
for c in "node17 four" "node17 six" "node18 from18"; do
	expect "$c flows" client_flows ${c}
	expect_not "$c never stopped for long" grep -qE 'gap [1-9]' "$BED_DIR/${c% *}/client-${c#* }.log"
	expect_not "$c never ended" client_ended ${c}
done
note "the connections ran for $((($(now_ms) - BEGAN) / 1000)) s"

# Its signed words count with the new key, after a restart too.
overlayd_kill node17
overlayd_start node17
expect "an approval after it" sh -c "sed -i 's/15002-15004/15002-15005/' '$BED_DIR/head1/etc/policy.yaml'"
expect_within "only head1 $NEW_ID" 20 "a restart finds the new key"
expect "the next bundle" ctl head1 sign --load --wait=30 --key "$BED_DIR/new.key"
expect_said 'on 3 of 3 members' "is told of by all, signed"

# The thief of the old key has all that node17 had, a while ago.
overlayd_stop node17
charon_stop node17
cp -p "$BED_DIR/stolen.key" "$BED_DIR/node17/state/node.key"
cp "$BED_DIR/naming" "$BED_DIR/node17/state/bundle"
charon_start node17
overlayd_start node17
expect_within "grep -qE 'AUTH(ENTICATION)?_FAILED|no matching peer' $BED_DIR/node17/charon.log" 20 "the thief tries"
expect_for "! ids head1 node17 | grep -q . && ! ids node18 node17 | grep -q ." 3 "the old key is refused"
expect_not "and reaches nothing" tcp_open node17 10.77.0.1 17001
expect "node18 does not notice" tcp_open node18 10.77.0.1 17001
done_testing
