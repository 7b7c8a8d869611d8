# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A cluster in signed mode, for the tests that source it after lib.sh: one node holds the cluster's
# key and the policy's files, all others what they are given.

# cluster_key ADMIN NODE…: the key pair on the admin's node, its public half on all.
cluster_key() {
	local admin=$1 x
	if [ ! -e "$BED_DIR/cluster.key" ]; then
		"$BED_B/overlayctl" key --no-passphrase "$BED_DIR/cluster.key" >"$BED_DIR/key.out" 2>&1 ||
			fail "overlayctl key: $(cat "$BED_DIR/key.out")"
	fi
	cp -p "$BED_DIR/cluster.key" "$BED_DIR/$admin/etc/"
	for x in "$@"; do cp "$BED_DIR/cluster.pub" "$BED_DIR/$x/etc/"; done
}

# bundle_of NODE PYTHON: of what status says of the signed bundle, as in: bundle_of n1 'b["serial"]'
bundle_of() {
	ctl "$1" status --json 2>/dev/null | python3 -c "
import json, sys
s = json.load(sys.stdin)
b = s['bundle']
print($2)" 2>/dev/null
}
serial_of() { bundle_of "$1" 'b["serial"]'; }
# have SERIAL NODE…: each of them says so itself.
have() {
	local serial=$1 x
	shift
	for x in "$@"; do [ "$(serial_of "$x")" = "$serial" ] || return 1; done
}
# heard NODE SERIAL NODES…: what a node has heard that these have applied.
heard() {
	local node=$1 serial=$2
	shift 2
	ctl "$node" members --json 2>/dev/null | python3 -c '
import json, sys
m = {m["name"]: m["serial"] for m in json.load(sys.stdin)["members"]}
sys.exit(any(m.get(name) != int(sys.argv[1]) for name in sys.argv[2:]))' "$serial" "$@"
}
# sign NODE [OPTIONS]: its files as they are now, signed and put in force; SERIAL is the new one.
sign() {
	local node=$1
	shift
	ctl "$node" sign --load "$@" >"$BED_DIR/$node/sign.out" 2>&1
}

# site_cut SITE, site_mend SITE: no packet between it and the others; within it all goes on.
site_cut() { n router nft add element inet router blocked "{ \"br-$1\" }"; }
site_mend() { n router nft delete element inet router blocked "{ \"br-$1\" }"; }
