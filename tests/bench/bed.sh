# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For the bench's scripts: the bed of the end-to-end tests, and rows as in bench.h.

. "$(dirname "${BASH_SOURCE[0]}")/../netns/lib.sh"
BENCH_BIN=$BED_B/tests/bench

pass() { :; } # only measurements are said here
fail() {
	echo "bench: $*" >&2
	exit 1
}

# title PART TEXT METHOD; row PART WHAT VALUE UNIT [OP TARGET]; skipped PART WHAT WHY
title() { printf '{"part":"%s","title":"%s","method":"%s"}\n' "$@"; }
row() {
	printf '{"part":"%s","what":"%s","value":%s,"unit":"%s"' "$1" "$2" "$3" "$4"
	if [ -n "${5:-}" ]; then printf ',"op":"%s","target":%s' "$5" "$6"; fi
	printf '}\n'
}
skipped() { printf '{"part":"%s","what":"%s","skip":"%s"}\n' "$@"; }

# Of the numbers on stdin.
median() { sort -g | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }
minimum() { sort -g | head -n 1; }
maximum() { sort -g | tail -n 1; }
calc() { awk "BEGIN {printf \"%.6g\", $*}"; }

# A machine without overlayd: charon by hand.
bench_node() { node "$@" && charon_start "$1"; }
