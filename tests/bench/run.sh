#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The bench: tests/bench/run.sh [--json] [PART…]. Each part is a program ($B/tests/bench/PART) or a
# script beside this one (PART.sh) that prints rows (bench.h); table.py shows them. The machine may
# be busy with other things: within a part the sides that are compared take turns, and ratios say
# more than numbers. Exit 1 when a target was missed or a part failed.
#
# Leaves $B/bench/results.json, rows.jsonl, and what parts said in PART.log.
set -u
cd "$(dirname "$0")/../.." || exit 1
export B=${B:-build}
ALL="firewall chains policy vici up tunnel idle revoke join scale"
LIMIT=240 # seconds, for any one part

json=
if [ "${1:-}" = --json ]; then
	json=1
	shift
fi
[ $# -gt 0 ] || set -- $ALL
if [ "$(id -u)" != 0 ]; then
	echo "bench: needs root: charon, namespaces and nftables are real here" >&2
	exit 2
fi
out=$B/bench
mkdir -p "$out"
rm -f "$out"/*
failed=
started=$SECONDS
for part; do
	begun=$SECONDS
	if [ -e "tests/bench/$part.sh" ]; then
		set -- bash "tests/bench/$part.sh"
	else
		set -- "$B/tests/bench/$part"
	fi
	if ! timeout --kill-after=5 $LIMIT "$@" >"$out/$part.out" 2>"$out/$part.log"; then
		failed="$failed $part"
		echo "bench: $part failed: $(tail -n 2 "$out/$part.log")" >&2
	fi
	grep '^{' "$out/$part.out" >>"$out/rows.jsonl"
	echo "bench: $part: $((SECONDS - begun)) s" >&2
done
[ -s "$out/rows.jsonl" ] || exit 1
python3 tests/bench/table.py "$out/rows.jsonl" "$out/results.json" >"$out/tables"
rc=$?
if [ -n "$json" ]; then cat "$out/results.json"; else cat "$out/tables"; fi
echo "$((SECONDS - started)) s in all; $(nproc) CPUs, load $(cut -d' ' -f1-3 /proc/loadavg), Linux $(uname -r); $out/results.json"
if [ -n "$failed" ]; then
	echo "bench: failed:$failed (see $out/*.log)" >&2
	rc=1
fi
exit $rc
