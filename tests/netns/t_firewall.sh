#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The firewall against the real kernel, in namespaces without names that vanish with the programs.
# SEED=… replays firewall_table's random rulesets.
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
# Two programs, two plans; the runner takes their sum.
export CMOCKA_MESSAGE_OUTPUT=TAP
"$B/tests/netns/firewall_kernel" && "$B/tests/netns/firewall_table"
