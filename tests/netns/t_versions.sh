#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Releases beside each other in one cluster: a seed that speaks what release 0.1.0 spoke (session_v1.py, a
# fixture), one that claims a later version beside ours, one that has no version in common; and a signed
# bundle in a format of the future. Talked to, refused or waited for, with one clear sentence.
#
#	hq   head1 (seed)   zold (seed; charon, its firewall, and the fixture in overlayd's place)
#	aws  n1 (cluster key)
BED_CAPTURE=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"
bed "$@"

site hq 192.0.2
site aws 198.51.100
node head1 hq 10
node zold hq 11
node n1 aws 21
ALL="head1 zold n1"
demo_policy
peer head1 "head, seed" 10.77.0.1
peer zold "head, seed" 10.77.0.2
peer n1 "exec" 10.77.0.21
for x in $ALL; do policy_push $x; done
cluster_key n1 $ALL
up $ALL
await 'sa_up head1 zold && sa_up n1 zold && sa_up n1 head1' 20 "tunnels"
await 'sign n1' 10 "serial 1 is signed"
await 'have 1 $ALL && heard n1 1 $ALL' 20 "all have serial 1"
# From here on another program speaks for it; tunnels and firewall stay as they are.
overlayd_kill zold

OLD=$BED_DIR/zold/v1
mkdir "$OLD"
ctl n1 bundle >"$OLD/bundle"
speak() { # [OPTIONS]
	if [ -e "$BED_DIR/zold/v1.pid" ]; then
		kill "$(<"$BED_DIR/zold/v1.pid")"
		wait "$(<"$BED_DIR/zold/v1.pid")" 2>/dev/null
	fi
	: >"$BED_DIR/zold/v1.log"
	spawn zold v1 "$BED_DIR/zold/v1.log" python3 "$BED_HERE/session_v1.py" zold 10.77.0.2 "$BED_DIR/zold/state/node.key" \
		"$OLD" ${RECORD:+--record "$RECORD"} "$@"
	await "grep -q listening $BED_DIR/zold/v1.log" 10 "the fixture"
}
told() { grep -qE -- "$1" "$BED_DIR/zold/v1.log"; }
member() { # NODE PYTHON: of what it knows of zold
	ctl "$1" members --json 2>/dev/null | python3 -c "
import json, sys
m = [m for m in json.load(sys.stdin)['members'] if m['name'] == 'zold'][0]
print($2)"
}
change() { sed -i "s|^services:|&\n  $1: { ports: [tcp/$2] }|" "$BED_DIR/n1/etc/policy.yaml"; }

# ---------------------------------------------------------------- one release back

speak
expect_within 'told "version 1 with 10.77.0.1 head1" && told "version 1 with 10.77.0.21 n1"' 45 "both speak version 1 with it"
expect_within '[ "$(member head1 "m[\"serial\"], m[\"release\"], m[\"session\"]")" = "1 0.1.0 True" ]' 20 "head1 knows what it has in force, and its release"
expect_within 'told "applied head1 1" && told "applied n1 1"' 10 "it knows that of the others"
change two 30002
expect_within 'sign n1' 10 "serial 2"
expect_within 'told "bundle 2 (difference|whole)"' 10 "it is given it"
expect "by a difference" told 'bundle 2 difference'
ctl head1 bundle >"$BED_DIR/now"
expect "byte for byte" cmp "$BED_DIR/now" "$OLD/bundle"
expect_within 'heard n1 2 $ALL && heard head1 2 $ALL' 20 "and all hear that it applied it"
crowd() { python3 - >"$BED_DIR/n1/etc/peers.d/crowd.yaml" <<-'PY'
	import base64, os
	for i in range(800):
	    key = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + os.urandom(32)).decode()
	    print(f'crowd{i}: {{ key: "ssh-ed25519 {key}", address: 10.77.{8 + i // 200}.{1 + i % 200}, '
	          f'site: aws, roles: [crowd] }}')
	PY
}
crowd
expect_within 'sign n1' 10 "serial 3 is large"
expect_within 'told "bundle 3 "' 20 "it asks for it, and is given it"
expect_within 'heard n1 3 $ALL' 20 "all have it"
rm "$BED_DIR/n1/etc/peers.d/crowd.yaml"
ctl n1 sign >"$BED_DIR/four" 2>"$BED_DIR/n1/sign.out" || fail "sign: $(cat "$BED_DIR/n1/sign.out")"
expect "(serial 4 is signed, and nobody has it)" have 3 head1 n1
cp "$BED_DIR/four" "$OLD/new" && mv "$OLD/new" "$OLD/next"
expect_within 'have 4 head1 n1' 20 "what it has, it passes on: both have serial 4"
expect "n1 or head1 got it there" grep -q 'serial 4 is in force (from zold)' "$BED_DIR/n1/overlayd.log" "$BED_DIR/head1/overlayd.log"

# ---------------------------------------------------------------- a later release

speak --lowest 1 --highest 3 --release 3.0.0 --more
expect_within 'told "version 1 with 10.77.0.1 head1" && told "version 1 with 10.77.0.21 n1"' 45 "one that speaks versions 1 to 3: version 1"
expect_within '[ "$(member n1 "m[\"release\"], m[\"session\"]")" = "3.0.0 True" ]' 20 "it is a member as others"
change five 30005
expect_within 'sign n1' 10 "serial 5"
expect_within 'told "bundle 5 "' 10 "it is given it"
expect_within 'heard n1 5 $ALL' 20 "and n1 hears that it has it"

speak --lowest 2 --highest 3 --release 3.1.0
WHY='zold (release 3.1.0) speaks session versions 2-3, this release version 1: update overlayd on this node'
for x in n1 head1; do
	expect_within '[ "$(member $x "m[\"session\"], m[\"why\"]")" = "False $WHY" ]' 45 "one without a version in common: $x says who is to be updated"
	expect_within 'logged $x "release 3.1.0. speaks session versions 2-3"' 5 "in its log too"
done
change six 30006
expect_within 'sign n1' 10 "serial 6"
expect_within 'have 6 head1 n1' 20 "the others go on without it"
expect "the tunnel with it too" sa_up n1 zold
expect "all is said once" [ "$(grep -c 'speaks session versions' "$BED_DIR/n1/overlayd.log")" -le 3 ]

# ---------------------------------------------------------------- a format of the future

speak
expect_within 'heard n1 6 $ALL' 45 "updated, it is there again"
future() {
	ctl n1 bundle | head -n -4 | sed '1s/"overlayd-bundle":1/"overlayd-bundle":9/; 1s/"serial":6/"serial":9/' >"$BED_DIR/future"
	minisign -S -s "$BED_DIR/cluster.key" -m "$BED_DIR/future" >/dev/null
	cat "$BED_DIR/future" "$BED_DIR/future.minisig"
}
future >"$OLD/new" && mv "$OLD/new" "$OLD/next"
FORMAT='has format 9, and this release of overlayd knows formats 1 to 2: update overlayd here'
for x in n1 head1; do
	expect_within 'logged $x "A bundle from zold was refused: .*$FORMAT"' 20 "a signed bundle of format 9: $x says what to do"
done
expect "nothing changed" have 6 head1 n1
expect_not "nor when an admin gives it" ctl n1 load "$BED_DIR/future"
expect_said "$FORMAT" "with the same words"
expect_for 'have 6 head1 n1 && [ "$(grep -c "$FORMAT" $BED_DIR/head1/overlayd.log)" = 1 ]' 3 "it is said once, and not asked for again"
expect "their sessions with it go on" [ "$(member n1 'm["session"]') $(member head1 'm["session"]')" = "True True" ]
sed -i 's/^serial: .*/serial: 10/' "$BED_DIR/n1/etc/policy.yaml"
expect_within 'sign n1' 10 "the signer comes back to format 1, with serial 10"
expect_within 'have 10 head1 n1' 20 "what they know is taken again"
expect_within 'told "bundle 10 "' 20 "and passed on"
expect_within 'heard n1 10 $ALL' 20 "all have it"
alive head1 n1
done_testing
