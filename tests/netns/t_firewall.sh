#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The firewall against the real kernel, in namespaces without names that vanish with the programs.
# Each program prints TAP; here they become one, under one plan.
# SEED=… replays firewall_table's random rulesets; FIREWALL="kernel flows" runs only those programs.
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
total=0 failed=0
for program in ${FIREWALL:-kernel underlay flows stale trouble table}; do
	CMOCKA_MESSAGE_OUTPUT=TAP "$B/tests/netns/firewall_$program" >"$out" 2>&1 || failed=1
	plan=$(sed -n 's/^1\.\.\([0-9][0-9]*\).*/\1/p' "$out" | head -1)
	# Without a plan it did not even begin: one test more is planned than will be seen.
	total=$((total + ${plan:-1}))
	sed -e '/^1\.\./d' -e "s/^\(not \)\{0,1\}ok \([0-9]*\) - /\1ok $program \2 - /" "$out"
done
echo "1..$total"
exit $failed
