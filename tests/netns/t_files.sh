#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The policy's files as people write them (editors, git, whole directories), broken and mended, and
# a disk that is full: what runs is not hurt.
BED_MEASURES=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
node head1 hq 10
node node17 hq 17
node node18 hq 18
demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
charon_start head1
ETC=$BED_DIR/head1/etc
# head1's state is on a disk of 64 KiB of its own.
n head1 mount -t tmpfs -o size=64k,mode=0700 tmpfs "$BED_DIR/head1/state"
n head1 touch "$BED_DIR/head1/state/here"
STATE=/proc/$(<"$BED_DIR/head1/anchor")/root$BED_DIR/head1/state
expect "(a disk of its own)" [ -e "$STATE/here" ]
cp "$BED_DIR/head1/state/node.key" "$STATE/" 2>/dev/null
chmod 0600 "$STATE/node.key"
up node17 node18
policy_push head1
overlayd_start head1
await 'sa_up head1 node17' 10 "tunnel"
tcp_server head1 10.77.0.1 17001
await 'tcp_open node17 10.77.0.1 17001' 5 "admitted"
tcp_client node17 10.77.0.1 17001 steady

has() { [ "$(field head1 "'$1' in peer")" = True ]; }
lacks() { [ "$(field head1 "'$1' in peer")" = False ]; }
serial() { [ "$(field head1 's["serial"]')" = "$1" ]; }
# 32 random bytes are as good as a key for a peer that never calls.
stranger() { echo "$1: { key: \"ssh-ed25519 $({ printf '\0\0\0\13ssh-ed25519\0\0\0\40'; head -c 32 /dev/urandom; } | base64 -w0)\", address: $2, site: hq, roles: [exec] }"; }

# ---------------------------------------------------------------- how files come to change

sed 's/serial: 1/serial: 2/' "$ETC/policy.yaml" >"$ETC/.policy.yaml.swp" # an editor, writing
expect_for 'serial 1' 0.5 "an editor's swap file is not read"
mv "$ETC/.policy.yaml.swp" "$ETC/policy.yaml"
expect_within 'serial 2' 3 "saved by a rename over it"
mv "$ETC/policy.yaml" "$ETC/policy.yaml~" # vim, with a backup
sed 's/serial: 2/serial: 3/' "$ETC/policy.yaml~" >"$ETC/policy.yaml"
expect_within 'serial 3' 3 "saved as a new file, the old one kept as a backup"
sed -i.bak 's/serial: 3/serial: 4/' "$ETC/policy.yaml"
expect_within 'serial 4' 3 "sed -i"
{ sed 's/serial: 4/serial: 5/' "$ETC/policy.yaml" >"$BED_DIR/5"; cat "$BED_DIR/5" >"$ETC/policy.yaml"; }
expect_within 'serial 5' 3 "written in place"
loads=$(grep -c 'is in force' "$BED_DIR/head1/overlayd.log")
for i in $(seq 100 160); do # git checkout: many files, some away, some new, in place
	stranger "desk$i" "10.77.1.$i" >"$ETC/peers.d/desk$i.yaml"
done
expect_within 'has desk100 && has desk160' 3 "61 files at once"
expect "read in a few goes, not one each" [ $(($(grep -c 'is in force' "$BED_DIR/head1/overlayd.log") - loads)) -le 5 ]
cp -r "$ETC/peers.d" "$ETC/peers.next"
rm "$ETC"/peers.next/desk*
stranger desk7 10.77.1.7 >"$ETC/peers.next/desk7.yaml"
mv "$ETC/peers.d" "$ETC/peers.old"
mv "$ETC/peers.next" "$ETC/peers.d"
expect_within 'has desk7 && lacks desk100 && has node17' 3 "peers.d replaced as a whole"
stranger desk8 10.77.1.8 >"$ETC/peers.d/desk8.yaml"
expect_within 'has desk8' 3 "the new directory is watched too"
rm "$ETC/peers.d/desk7.yaml"
expect_within 'lacks desk7' 3 "a file removed from it"
cp -r "$ETC" "$ETC.next"
stranger desk9 10.77.1.9 >"$ETC.next/peers.d/desk9.yaml"
mv "$ETC" "$ETC.old"
mv "$ETC.next" "$ETC"
expect_within 'has desk9' 3 "the whole directory replaced (as a symlink swap or mv does)"
stranger desk10 10.77.1.10 >"$ETC/peers.d/desk10.yaml"
expect_within 'has desk10' 3 "and is watched"
for f in "$ETC"/peers.d/desk*; do rm "$f"; done
await 'lacks desk10' 3 "gone"

# ---------------------------------------------------------------- broken, and mended

peer node18 "exec" 10.77.0.18
cp "$BED_DIR/policy/peers.d/node18.yaml" "$ETC/peers.d/"
policy_push node17 node18
expect_within 'tcp_open node18 10.77.0.1 17001 0.3' 8 "(node18 approved)"
cp "$ETC/peers.d/node18.yaml" "$BED_DIR/node18.good"
sed 's/roles:/rolse:/' "$BED_DIR/node18.good" >"$ETC/peers.d/node18.yaml"
expect_within '[ "$(field head1 "s[\"policy\"][\"error\"] is not None")" = True ]' 3 "broken: status has the error"
expect_not "status is not well (exit 1)" ctl head1 status
expect_said 'files on disk have errors and were not applied' "and says so"
ctl head1 status --json >"$BED_DIR/status"
expect "as JSON with the place" grep -q 'peers.d/node18.yaml:1:' "$BED_DIR/status"
expect "what was in force stays: node18" tcp_open node18 10.77.0.1 17001
expect_not "overlayctl reload says no" ctl head1 reload
expect_said "node18.yaml:1:.*error" "and where the fault is"
rm "$ETC/policy.yaml"
expect_within 'logged head1 "policy.yaml.*No such file"' 3 "policy.yaml gone: told"
expect "and nothing changes" tcp_open node18 10.77.0.1 17001
cp "$ETC.old/policy.yaml" "$ETC/"
cp "$BED_DIR/node18.good" "$ETC/peers.d/node18.yaml"
expect_within '[ "$(field head1 "s[\"policy\"][\"error\"] is None")" = True ]' 3 "mended: status has no error"
expect "reload says yes" ctl head1 reload

mkdir "$ETC/tokens.d"
echo 'lab: { count: 0 }' >"$ETC/tokens.d/lab.yaml"
expect_within '[ "$(field head1 "s[\"policy\"][\"error\"] is not None")" = True ]' 3 "a token with faults: told"
ctl head1 status --json >"$BED_DIR/status"
expect "and where it is" grep -q 'tokens.d/lab.yaml:1:' "$BED_DIR/status"
rm "$ETC/tokens.d/lab.yaml"
expect_within '[ "$(field head1 "s[\"policy\"][\"error\"] is None")" = True ]' 3 "tokens.d is watched too"
rmdir "$ETC/tokens.d"

# ---------------------------------------------------------------- the disk is full

dd if=/dev/zero of="$STATE/filler" bs=4k >/dev/null 2>&1
expect_not "the disk is full" sh -c "echo x >'$STATE/more'"
rm -f "$STATE/more"
rm "$ETC/peers.d/node18.yaml"
expect_within 'sa_none head1 node18 && ! tcp_open node18 10.77.0.1 17001 0.3' 5 "disk full: a revocation is in force all the same"
expect_within 'logged head1 "No space left"' 5 "the log says that it could not be kept"
note "$(grep -m1 'No space left' "$BED_DIR/head1/overlayd.log" | cut -c1-200)"
expect "what runs is not hurt" client_flows node17 steady
overlayd_kill head1
overlayd_start head1
expect_within 'ctl head1 status >/dev/null; [ "$(field head1 "s[\"policy\"][\"in_force\"]")" = True ]' 5 "it starts again on a full disk"
expect "with the policy as it is now" lacks node18
expect "node17 flows on" client_flows node17 steady
cp "$BED_DIR/node18.good" "$ETC/peers.d/node18.yaml"
expect_within 'tcp_open node18 10.77.0.1 17001 0.3' 10 "and approves on a full disk"
rm "$STATE/filler"
ctl head1 reload >/dev/null
expect_not "all that while there was no gap" grep -qE 'gap [1-9]' "$BED_DIR/node17/client-steady.log"

# A first start without room for a key: refused with a reason, not with half a key.
n node18 mount -t tmpfs -o size=4k,mode=0700 tmpfs "$BED_DIR/node18/state"
n node18 sh -c "dd if=/dev/zero of='$BED_DIR/node18/state/filler' bs=4k 2>/dev/null; true"
overlayd_stop node18
expect_not "no room for the first key" n node18 timeout 10 "$BED_B/overlayd" --config "$BED_DIR/node18/etc" --state "$BED_DIR/node18/state"
expect_said "node.key.*No space left" "the reason is told"
expect_not "and no half of a key is left" n node18 test -s "$BED_DIR/node18/state/node.key"
alive head1 node17
done_testing
