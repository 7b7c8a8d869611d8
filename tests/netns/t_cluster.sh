#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# One policy for a cluster of 12 on two sites, with a seed on each and the admin's node on neither:
# approve and revoke reach all; and trouble: a seed killed while it distributes, a site cut off, a full
# disk, a kept bundle cut short, an old one brought back by hand, two admins who sign the same serial.
#
#	hq   adm (cluster key)  head1 (seed)  n1 n3 n5 n7
#	aws                     head2 (seed)  n2 n4 n6 n8  and n9, approved later
BED_CAPTURE=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
# A disk that can be filled: only the one of n3.
mkdir -p "$BED_DIR/n3/state"
mount -t tmpfs -o size=1m,mode=0700 tmpfs "$BED_DIR/n3/state"
node adm hq 10
node head1 hq 11
node head2 aws 11
for i in 1 3 5 7; do node n$i hq 2$i; done
for i in 2 4 6 8 9; do node n$i aws 2$i; done
FIRST="adm head1 head2 n1 n2 n3 n4 n5 n6 n7 n8"
demo_policy
policy_line 's|  mom: .*|&\n  pulse: { ports: [udp/15009] }|'
policy_line 's|^allow:|&\n  - { from: exec, to: exec, service: pulse }|'
policy_line 's|^allow:|&\n  - { from: admin, to: "*", service: ssh }|'
peer adm "exec, admin" 10.77.0.10
peer head1 "head, seed" 10.77.0.11
peer head2 "head, seed" 10.77.0.12
for i in 1 2 3 4 5 6 7 8; do peer n$i "exec" 10.77.0.2$i; done
for x in $FIRST n9; do policy_push $x; done
cluster_key adm $FIRST n9
up $FIRST n9

# ---------------------------------------------------------------- the first bundle

# From local files, which all have alike, to signed: the tunnels stay as they are.
await 'sa_up adm head1 && sa_up adm head2' 20 "adm and its seeds"
expect_within 'sign adm' 5 "the files are signed"
expect_within 'have 1 $FIRST' 30 "all 11 have serial 1"
expect_within 'heard adm 1 $FIRST' 20 "the admin's node has heard it of each"
expect "overlayctl members: nobody is missing" ctl adm members
expect_said 'applied by 11 of 11' "and says so"
ctl adm bundle >"$BED_DIR/old.bundle" || fail "overlayctl bundle"
tcp_server n2 10.77.0.22 15002
tcp_server head2 10.77.0.12 17001
await 'tcp_open n1 10.77.0.22 15002 0.5 && tcp_open n1 10.77.0.12 17001 0.5' 20 "n1 reaches n2 and head2"
tcp_client n1 10.77.0.22 15002 steady
udp_server n2 10.77.0.22 15009
udp_client n1 10.77.0.22 15009 pulse

# ---------------------------------------------------------------- approve

approve9() {
	ctl adm approve n9 "$(node_key n9) n9" --address 10.77.0.29 --site aws --role exec \
		--endpoint "$(underlay n9)" --wait=30
}
expect "n9 is approved, and --wait comes back" approve9
echo 10.77.0.29 >"$BED_DIR/n9/inner"
expect_within 'have 2 $FIRST' 20 "all 11 have serial 2"
# It is no member yet by its own files, so nobody can bring it the bundle but a human.
ctl adm bundle >"$BED_DIR/n9.bundle"
expect "n9 is given the bundle by hand" ctl n9 load "$BED_DIR/n9.bundle"
ALL="$FIRST n9"
expect_within 'tcp_open n9 10.77.0.22 15002 0.5 && tcp_open n9 10.77.0.12 17001 0.5' 30 "n9 reaches n2 and head2"
expect_within 'heard adm 2 $ALL' 20 "all 12 say serial 2"

# ---------------------------------------------------------------- revoke

REST="adm head1 head2 n1 n2 n3 n4 n5 n6 n7 n9"
for x in adm n1 n3 n4 n5 n6 n7 n9; do tcp_server $x "$(inner $x)" 15002; done
tcp_server head1 10.77.0.11 17001
port_of() { case $1 in head*) echo 17001 ;; *) echo 15002 ;; esac; }
for x in $REST; do
	await "tcp_open n8 $(inner $x) $(port_of $x) 0.5" 20 "n8 reaches $x"
	tcp_client n8 "$(inner $x)" "$(port_of $x)" $x
done
freeze n8 overlayd # as if it were hostile: it goes on with what it had
expect "n8 is revoked, and --wait comes back" ctl adm revoke n8 --wait=30
for x in $REST; do
	expect_within "grep -q 'ended 10.77.0.28' $BED_DIR/$x/tcp-$(port_of $x).log" 5 "$x: its connection from n8 is ended"
done
expect_within 'have 3 $REST' 10 "all 11 others have serial 3"
expect_within 'for x in $REST; do sa_none $x n8 || return 1; done' 10 "none has an SA with it"
expect_not "it reaches nobody" tcp_open n8 10.77.0.22 15002 1
expect "the connection beside it flows" client_flows n1 steady
overlayd_kill n8
charon_kill n8

# ---------------------------------------------------------------- a seed dies with it in its hands

REST_1="adm head2 n1 n2 n3 n4 n5 n6 n7 n9"
freeze head1 overlayd # the bundle comes as far as its socket
add_service() { sed -i "s|^services:|&\n  $2: { ports: [tcp/$3] }|" "$BED_DIR/$1/etc/policy.yaml"; }
add_service adm four 30004
expect_not "--wait names the seed that has not got it" ctl adm sign --load --wait=5
expect_said 'head1' "head1, that is"
overlayd_kill head1
charon_kill head1
expect_within 'have 4 $REST_1' 20 "head1 was killed with serial 4 in its hands: all others have it"
charon_start head1
overlayd_start head1
expect "it comes back with what it kept" [ "$(serial_of head1)" -ge 3 ]
expect_within 'have 4 head1' 60 "and is given serial 4"
# Once more without a pause, the other one: wherever it was just then.
expect_within 'heard adm 4 $REST' 60 "all are there"
add_service adm five 30005
sign adm || fail "sign: $(cat "$BED_DIR/adm/sign.out")"
overlayd_kill head2
charon_kill head2
expect_within 'have 5 adm head1 n1 n2 n3 n4 n5 n6 n7 n9' 20 "head2 was killed while it passed serial 5 on: all others have it"
charon_start head2
overlayd_start head2
expect_within 'have 5 head2' 60 "after its restart it has it too"

# ---------------------------------------------------------------- a site is cut off

sessions() { bundle_of "$1" 'b["sessions"]'; }
HQ="adm head1 n1 n3 n5 n7" AWS="head2 n2 n4 n6 n9"
expect_within 'heard adm 5 $REST && [ "$(sessions adm)" = 2 ]' 60 "all are there"
site_cut aws
add_service adm six 30006
expect_within 'sign adm' 5 "a site is cut off; serial 6 is signed on the other"
expect_within 'have 6 $HQ' 10 "there all have it"
# The sessions across end within 15 s: what comes later has to find its way by new ones.
expect_within '[ "$(sessions adm)" = 1 ]' 40 "the admin's node knows that a seed is away"
expect "those cut off go on with serial 5" have 5 $AWS
expect "overlayctl members: some are missing" sh -c '! "$0" "$@"' "$BED_B/overlayctl" --socket "$(run_dir adm)/overlayd/admin.sock" members
site_mend aws
expect_within 'have 6 $AWS' 75 "mended, they catch up by themselves"
expect_within 'heard adm 6 $REST' 30 "and the admin hears of it"

# ---------------------------------------------------------------- a full disk

dd if=/dev/zero of="$BED_DIR/n3/state/fill" bs=4k 2>/dev/null
add_service adm seven 30007
expect_within 'sign adm' 5 "serial 7 is signed"
expect_within 'have 7 $REST' 20 "all have it, n3 with its full disk too"
expect_within '[ "$(bundle_of n3 "s[\"state\"], b[\"stored\"]")" = "degraded False" ]' 20 "n3 is degraded"
bundle_of n3 's["why"]' >"$BED_DIR/last"
expect_said 'No space left' "and says why"
expect "adm is not" [ "$(bundle_of adm 'b["stored"]')" = True ]
overlayd_kill n3
overlayd_start n3
expect_within 'have 7 n3' 60 "killed, it comes back and is given it again"
rm "$BED_DIR/n3/state/fill"
expect_within '[ "$(bundle_of n3 "b[\"stored\"]")" = True ]' 75 "with room on its disk it keeps it, by itself"

# ---------------------------------------------------------------- the kept bundle is damaged

await 'sa_up n1 n4' 30 "n1-n4"
overlayd_stop n4
truncate -s 200 "$BED_DIR/n4/state/bundle"
overlayd_start n4
expect_within 'bundle_of n4 "s[\"why\"]" | grep -q "overlayctl load"' 10 "a kept bundle cut short: told, with how to mend it"
expect_within '! tcp_open n1 10.77.0.24 15002 0.3' 10 "n4 lets nobody in"
ctl adm bundle >"$BED_DIR/n4.bundle"
expect "mended as it says" ctl n4 load "$BED_DIR/n4.bundle"
expect_within 'tcp_open n1 10.77.0.24 15002 0.5' 45 "n4 is in again"
expect "with serial 7" have 7 n4

# ---------------------------------------------------------------- roll-back

expect_not "an old bundle, well signed: refused" ctl n5 load "$BED_DIR/old.bundle"
expect_said 'refused' "n5 says so"
expect "n5 stays at 7" have 7 n5
overlayd_stop n5
overlayd_start n5
expect_not "after a restart too" ctl n5 load "$BED_DIR/old.bundle"
overlayd_stop n5
cp "$BED_DIR/old.bundle" "$BED_DIR/n5/state/bundle" # its root may do that
overlayd_start n5
expect_within 'have 7 n5' 60 "put in the place of the kept one: it is given the new one at once"
expect "nobody else went back" have 7 adm head1 head2 n1 n2 n3 n4 n6 n7 n9

# ---------------------------------------------------------------- forged

# All of it is as it must be, and would change what is allowed; but for the signature.
ctl adm bundle >"$BED_DIR/now.bundle"
sed -E '1s/"parent_serial":[0-9]+,"parent":"[0-9a-f]+",//; 1s/"serial":7/"serial":8/; s/30007/30017/' \
	"$BED_DIR/now.bundle" >"$BED_DIR/forged.bundle"
expect "a higher serial, a port more: one line of each" [ "$(diff "$BED_DIR"/{now,forged}.bundle | grep -c '^>')" = 2 ]
expect_not "a bundle that was edited: refused" ctl n6 load "$BED_DIR/forged.bundle"
expect_said 'signature' "for its signature"
head -n -4 "$BED_DIR/forged.bundle" >"$BED_DIR/forged.text"
"$BED_B/overlayctl" key --no-passphrase "$BED_DIR/other.key" >/dev/null 2>&1
minisign -S -s "$BED_DIR/other.key" -m "$BED_DIR/forged.text" >/dev/null
expect_not "the same, well signed by another key: refused" ctl n6 load "$BED_DIR/forged.text"
expect_said 'signed by the key' "for that key"
expect "n6 stays at 7" have 7 n6
# Its root may do that too; and whoever has no bundle is brought one.
overlayd_stop n6
cp "$BED_DIR/forged.bundle" "$BED_DIR/n6/state/bundle"
overlayd_start n6
expect_within 'bundle_of n6 "s[\"why\"]" | grep -q "overlayctl load"' 10 "put in the place of the kept one: told"
expect_not "it is not in force" have 8 n6
expect "and is mended as it says" ctl n6 load "$BED_DIR/now.bundle"
expect_within 'have 7 $REST' 60 "all are at 7"

# ---------------------------------------------------------------- two admins

expect_within 'heard adm 7 $REST' 60 "all are there"
cluster_key n2
rm -r "$BED_DIR/n2/etc/peers.d"
cp -r "$BED_DIR/adm/etc/policy.yaml" "$BED_DIR/adm/etc/peers.d" "$BED_DIR/n2/etc/"
site_cut aws
add_service adm here 30008
add_service n2 there 30008
expect_within 'sign adm' 5 "cut off from each other, one admin signs"
expect_within 'sign n2' 5 "and so does another"
await 'have 8 $REST' 20 "each side has its serial 8"
digests() {
	local x
	for x in "$@"; do bundle_of $x 'b["digest"]'; done | sort -u
}
ONE=$(digests $HQ) OTHER=$(digests $AWS)
expect "they are two" [ "$ONE" != "$OTHER" -a "$(wc -l <<<"$ONE$OTHER")" = 1 ]
site_mend aws
forked() {
	local x
	for x in $REST; do [ "$(bundle_of $x 'b["fork"]')" = True ] || return 1; done
}
expect_within forked 75 "mended, all of them know of the FORK"
for x in adm n4; do expect "$x logged it" logged $x FORK; done
expect "everybody keeps what it had first" [ "$(digests $HQ) $(digests $AWS)" = "$ONE $OTHER" ]
expect "it is ended by one that stands by itself" ctl adm sign --alone --load --wait=30
expect_within 'have 9 $REST && [ "$(digests $REST | wc -l)" = 1 ]' 30 "all have that one"
expect_within '[ "$(bundle_of n4 "b[\"fork\"], s[\"state\"]")" = "False ready" ]' 60 "and nobody talks of a FORK any more"

# After a cut TCP tries again when as long has gone by once more: not awaited here.
expect "over both cuts: between n1 and n2 datagrams flow" client_flows n1 pulse 30
expect_not "and the connection was never ended" client_ended n1 steady
alive $REST
done_testing
