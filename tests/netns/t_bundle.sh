#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Signed bundles with real charon: from the key to a policy in force on two nodes; what is refused, and
# what a restart makes of it; a full disk; a kept bundle that is damaged; minisign beside us.
BED_CAPTURE=1
. "$(dirname "$0")/lib.sh"
bed "$@"

site hq 192.0.2
node head1 hq 10
node node2 hq 12
node node3 hq 13
demo_policy
peer head1 "head, seed" 10.77.0.1
peer node2 "exec" 10.77.0.2
key=$BED_DIR/cluster.key
etc=$BED_DIR/head1/etc

# The admin's tools, without a machine: sign DIR > bundle.
octl() { "$BED_B/overlayctl" --socket "$BED_DIR/nobody" "$@"; }
serial() { field "$1" 's["bundle"]["serial"]'; }
in_force() { [ "$(serial "$1")" = "$2" ]; }
kept() { tail -n +1 "$BED_DIR/$1/state/bundle" | grep -ao '"serial":[0-9]*}' | head -1; }
stored() { [ "$(field "$1" 's["bundle"]["stored"]')" = True ] && [ "$(kept "$1")" = "\"serial\":$2}" ]; }
state() { field "$1" 's["state"]'; }
why() { ctl "$1" status >"$BED_DIR/last" 2>&1; }
restart() { overlayd_kill "$1"; overlayd_start "$1"; }

code() { # CODE WHAT COMMAND…
	local want=$1 what=$2 rc
	shift 2
	"$@" >"$BED_DIR/last" 2>&1
	rc=$?
	if [ $rc = "$want" ]; then pass "$what (exit $rc)"; else fail "$what: exit $rc, not $want: $(head -c 400 "$BED_DIR/last")"; fi
}

# ---- from the key to a policy in force

expect "the cluster's key" octl key --no-passphrase "$key"
up head1 node2
octl sign --key "$key" "$BED_DIR/policy" >"$BED_DIR/zero" 2>/dev/null
code 5 "a node without a cluster key takes no bundle" ctl head1 load "$BED_DIR/zero"
expect_said 'bring the signer.s cluster.pub' "and says what is missing"
code 1 "members without a bundle" ctl head1 members
for x in head1 node2; do cp "$BED_DIR/cluster.pub" "$BED_DIR/$x/etc/"; done
expect_within '[ "$(serial head1)" = 0 ]' 10 "a key, and no bundle yet: the files are in force"
await 'sa_up head1 node2' 20 "tunnel"
expect "sign and load" ctl head1 sign --key "$key" --load --wait=20
expect_said 'serial 1 is in force on 2 of 2 members' "and both have it: the other by its session"
expect_within 'stored head1 1' 10 "kept on disk, on the signer's node"
expect_within 'stored node2 1' 10 "and on the other"
expect "status" ctl head1 status
expect_said 'bundle +serial 1, applied by 2 of 2 members, 1 session$' "says how far it is"
expect "the tunnel is what it was" sa_up head1 node2
expect "members" ctl head1 members
expect_said '^node2 .* 1 .* up .* 0\.' "names the other, what it has, and its release"
ctl head1 members --json >"$BED_DIR/json"
expect "members --json is JSON" python3 -m json.tool "$BED_DIR/json"

# ---- by hand

ctl head1 bundle >"$BED_DIR/one"
head -n -4 "$BED_DIR/one" >"$BED_DIR/text"
tail -n 4 "$BED_DIR/one" >"$BED_DIR/text.minisig"
expect "minisign verifies what overlayctl signed" minisign -V -p "$BED_DIR/cluster.pub" -m "$BED_DIR/text"
expect "the same again" ctl head1 load "$BED_DIR/one"
expect_said 'serial 1 is in force already' "changes nothing"

# ---- the files are only the source now

before=$(inner6 head1)
sed -i 's/15002-15003/15002-15004/' "$etc/policy.yaml"
expect_within '[ "$(field head1 "s[\"policy\"][\"files\"]")" = differ ]' 10 "an edit is noticed"
why head1
expect_said 'policy files differ from the signed bundle: overlayctl sign' "and what to do with it"
expect "the bundle stays in force" [ "$(field head1 's["policy"]["loaded"] and s["serial"]')" = 1 ]
echo 'broken: [' >>"$etc/policy.yaml"
expect_within '[ "$(field head1 "s[\"policy\"][\"files\"]")" = broken ]' 10 "files with errors are noticed"
expect "reload with broken files is no error: they are not in force" ctl head1 reload
expect "and the node is as ready as before" [ "$(state head1)" = ready ]
sed -i '/^broken/d' "$etc/policy.yaml"
expect "signing raises the serial" ctl head1 sign --key "$key" --load --wait=20
expect_said 'serial 2 follows serial 1' "by itself"
expect "in the file too" grep -q '^serial: 2$' "$etc/policy.yaml"
expect_within '[ "$(field head1 "s[\"policy\"][\"files\"]")" = "in force" ]' 10 "which now says what is in force"
ctl head1 bundle >"$BED_DIR/two"

# What minisign signed: its key is the same file.
sed -i 's/15002-15004/15002-15005/' "$etc/policy.yaml"
ctl head1 sign --text >"$BED_DIR/three" 2>"$BED_DIR/last"
minisign -S -s "$key" -m "$BED_DIR/three" >/dev/null
expect "what minisign signed is loaded" ctl head1 load "$BED_DIR/three"
expect_said 'serial 3 is in force$' "and in force"
expect_within 'in_force node2 3' 10 "everywhere"

# ---- what is refused

refused() { # WHAT PATTERN FILE
	code 5 "refused: $1" ctl node2 load "$3"
	expect_said "$2" "and why"
	expect "serial 3 stays" in_force node2 3
}
octl key --no-passphrase "$BED_DIR/other.key" >/dev/null
cp -r "$etc" "$BED_DIR/src"
rm -f "$BED_DIR/src/cluster.pub"
sed -i 's/^serial: .*/serial: 9/' "$BED_DIR/src/policy.yaml"
octl sign --key "$BED_DIR/other.key" "$BED_DIR/src" >"$BED_DIR/wrongkey" 2>/dev/null
refused "signed by another key" 'signed by the key' "$BED_DIR/wrongkey"
octl sign --key "$key" "$BED_DIR/src" 2>/dev/null | sed 's/15005/15009/' >"$BED_DIR/changed"
refused "changed after it was signed" 'signature|changed' "$BED_DIR/changed"
refused "an older one: no way back" 'older than serial 3' "$BED_DIR/two"
sed -i 's/^serial: .*/serial: 3/' "$BED_DIR/src/policy.yaml"
sed -i 's/15005/15008/' "$BED_DIR/src/policy.yaml"
octl sign --key "$key" --parent "$BED_DIR/two" "$BED_DIR/src" >"$BED_DIR/fork" 2>/dev/null
head -c 300 "$BED_DIR/two" >"$BED_DIR/cut"
code 5 "refused: one that was cut short" ctl node2 load "$BED_DIR/cut"
printf 'x' | cat - "$BED_DIR/two" >"$BED_DIR/garbled"
refused "one with a byte too many" '.' "$BED_DIR/garbled"

# Also after a restart, by what was kept.
overlayd_kill node2
sed -i 's/15002-15003/1-65000/; s/^serial: .*/serial: 1/' "$BED_DIR/node2/etc/policy.yaml"
overlayd_start node2
expect_within 'in_force node2 3' 10 "killed and started again: the kept bundle is in force, not the files"
refused "an older one after a restart" 'older than serial 3' "$BED_DIR/two"
expect_within 'sa_up node2 head1' 20 "and the tunnel is there"

# ---- two admins sign the same serial

code 5 "refused: another bundle of this serial" ctl node2 load "$BED_DIR/fork"
expect_said 'FORK' "by its name"
expect_within '[ "$(field node2 "s[\"bundle\"][\"fork\"]")" = True ]' 5 "status of node2 tells of it"
why node2
expect_said 'FORK: another bundle of this serial was signed too' "so that nobody overlooks it"
expect "a bundle that stands by itself ends it" ctl head1 sign --key "$key" --alone --load --wait=20
expect_said 'serial 4 stands by itself and replaces serial 3' "above both"
expect_within '[ "$(field node2 "s[\"bundle\"][\"fork\"]")" = False ] && in_force node2 4' 10 "it is over"

# ---- approve and revoke

code 5 "revoke where the key is not" ctl node2 revoke node2
expect_said 'not on this machine' "is refused"
expect_said 'overlayctl --config DIR revoke node2 --key FILE' "and says what to run where it is"
cp "$key" "$etc/cluster.key"
chmod 0600 "$etc/cluster.key"
charon_start node3
cp "$BED_DIR/cluster.pub" "$BED_DIR/node3/etc/"
overlayd_start node3
expect_within '[ "$(state node3)" = degraded ]' 10 "a new node without any policy lets nobody in"
expect "approve" ctl head1 approve node3 "$(node_key node3)" --site hq --role exec --endpoint 192.0.2.13 --wait=20
expect_said 'node3 is approved, serial 5' "is signed"
expect_said 'serial 5 is in force on 2 of 2 members that can be reached' "and awaited"
expect_said 'not reachable, each gets it when it comes back: node3' "naming who is not there yet"
ctl head1 bundle >"$BED_DIR/five"
expect "the new node is given the bundle" ctl node3 load "$BED_DIR/five"
expect_within 'sa_up head1 node3 && sa_up node2 node3' 20 "and is a member"
await '[ "$(field node3 "s[\"bundle\"][\"stored\"] and s[\"bundle\"][\"sessions\"] > 0")" = True ]' 20 "it is kept, and has a session"
code 0 "doctor finds nothing bad where there are no policy files" ctl node3 doctor
expect_said 'ok +bundle +serial 5 is in force and kept' "but a bundle"
expect_within '[ "$(ctl head1 members --json | python3 -c "import json,sys; print(json.load(sys.stdin)[\"n_applied\"])")" = 3 ]' 20 "of whom all know what it has"
inner=$(field node3 's["node"]["address4"]')
tcp_server node3 "$inner" 15002
tcp_client node2 "$inner" 15002 cut
code 5 "the node itself is not revoked on it" ctl head1 revoke head1
expect_said 'head1 is this node: once revoked it can tell nobody, so run this on another node' "as nobody would hear of it"
expect_said 'nothing was changed' "and nothing is changed"
expect "revoke" ctl head1 revoke node3 --wait=20
expect_said 'serial 6 is in force on 2 of 2 members' "reaches all"
expect_within 'client_ended node2 cut' 5 "the connection to it ends, on a node that was told by session"
expect_within 'sa_none head1 node3 && sa_none node2 node3' 5 "and its tunnels"

# Refused by the daemon: the files are as they were.
cp -r "$etc" "$BED_DIR/etc.before"
id=$(field head1 's["bundle"]["key"]')
cp "$BED_DIR/other.pub" "$etc/cluster.pub"
await '[ "$(field head1 "s[\"bundle\"][\"key\"]")" != $id ]' 5 "it has read the new key"
code 5 "approve with a key that is not the cluster's" ctl head1 approve node3 "$(node_key node3)" --site hq --role exec
cp "$BED_DIR/cluster.pub" "$etc/cluster.pub"
expect_said 'the bundle is refused: ' "is refused by the daemon"
expect "and changes no file" diff -r -x cluster.pub "$BED_DIR/etc.before" "$etc"

# ---- a full disk

expect_within 'stored head1 6 && in_force head1 6' 10 "before: all is kept"
mkdir "$BED_DIR/disk"
overlayd_stop head1
cp -a "$BED_DIR/head1/state/." "$BED_DIR/disk/"
n head1 mount -t tmpfs -o size=64k,mode=0700 tmpfs "$BED_DIR/head1/state"
n head1 cp -a "$BED_DIR/disk/." "$BED_DIR/head1/state/"
overlayd_start head1
expect_within 'in_force head1 6' 10 "on a small disk"
n head1 sh -c "cat /dev/zero >$BED_DIR/head1/state/ballast" 2>/dev/null
sed -i 's/15002-15005/15002-15006/' "$etc/policy.yaml"
expect "a full disk does not hold a bundle up" ctl head1 sign --load --wait=20
expect_said 'serial 7 is in force' "it is in force"
expect_within '[ "$(field head1 "s[\"bundle\"][\"stored\"]")" = False ] && [ "$(state head1)" = degraded ]' 10 "but not kept, and that is told"
why head1
expect_said 'No space left' "with the reason"
n head1 rm "$BED_DIR/head1/state/ballast"
expect_within '[ "$(field head1 "s[\"bundle\"][\"stored\"]")" = True ] && [ "$(state head1)" = ready ]' 60 "with room again it is kept"
n head1 cat "$BED_DIR/head1/state/bundle" >"$BED_DIR/kept"
expect "whole" grep -aq '"serial":7}' "$BED_DIR/kept"

# ---- a kept bundle that is damaged

overlayd_stop node2
size=$(stat -c %s "$BED_DIR/node2/state/bundle")
truncate -s $((size / 2)) "$BED_DIR/node2/state/bundle"
overlayd_start node2
expect_within '[ "$(state node2)" = degraded ]' 10 "a kept bundle that was cut short"
why node2
expect_said 'the signed bundle that was kept cannot be used' "is not in force, nor is anything else"
expect_within 'sa_none node2' 10 "no tunnel is left"
expect "no policy is in force" [ "$(field node2 's["policy"]["in_force"]')" = False ]
ctl head1 bundle >"$BED_DIR/seven"
expect "the one in force is loaded" ctl node2 load "$BED_DIR/seven"
expect_within 'sa_up node2 head1 && [ "$(state node2)" = ready ]' 20 "and all is well"

# ---- the key's file

overlayd_stop node2
echo "no key" >"$BED_DIR/node2/etc/cluster.pub"
overlayd_start node2
expect_within '[ "$(state node2)" = degraded ]' 10 "a damaged cluster.pub at start"
why node2
expect_said 'cluster.pub: the cluster key cannot be read' "is told"
expect "and nothing is in force" [ "$(field node2 's["policy"]["in_force"]')" = False ]
cp "$BED_DIR/cluster.pub" "$BED_DIR/node2/etc/"
expect_within 'in_force node2 7 && sa_up node2 head1' 20 "mended: the kept bundle is in force"
echo "no key" >"$BED_DIR/node2/etc/cluster.pub"
expect_within 'logged node2 "cluster.pub: the cluster key cannot be read"' 10 "damaged while it runs"
expect "the bundle stays in force" in_force node2 7
rm "$BED_DIR/node2/etc/cluster.pub"
expect_within 'logged node2 "cluster.pub is gone: its key goes on to count"' 10 "removed while it runs"
expect "the bundle stays in force" in_force node2 7

alive head1 node2 node3
done_testing
