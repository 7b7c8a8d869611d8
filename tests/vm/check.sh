#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# check.sh BUILD SECONDS SUITE…: `make check-vm`. The suites in one VM; what is measured (t_rate.sh) in another,
# whose clock counts instructions. Last line: `N passed, N failed, N skipped` of both. On a
# failure the logs, the console's too, are in BUILD/vm/logs*.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1 limit=$2
shift 2
started=$SECONDS
passed=0 failed=0 skipped=0
rm -rf "$build"/vm/logs*

machine() { # machine LOGS OPTIONS -- SUITE…
	local logs=$1 out code p f s
	shift
	out=$(mktemp)
	"$here/run" -m 1024 -b "$build" -l "$build/vm/$logs" -t "$limit" "$@" 2>&1 | tee "$out"
	code=${PIPESTATUS[0]}
	read -r p f s < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$out" | tail -n 1)
	if [ -z "$p" ]; then # it did not get so far: what it said until then
		p=$(grep -c '^ok ' "$out") f=$(($(grep -c '^not ok ' "$out") + 1)) s=0
	elif [ "$code" != 0 ] && [ "$f" = 0 ]; then
		f=1
	fi
	rm -f "$out"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

suites=() rate=()
for suite; do
	case $suite in
	*/t_rate.sh) rate+=("$suite") ;;
	*) suites+=("$suite") ;;
	esac
done
VM_PROGRAMS=$(cd "$build" && echo tests/netns/*) # the beds' own
export VM_PROGRAMS
if [ ${#suites[@]} -gt 0 ]; then machine logs -- tests/vm/suite "${suites[@]}"; fi
if [ ${#rate[@]} -gt 0 ]; then machine logs-rate -i -- tests/vm/suite "${rate[@]}"; fi
echo "time: $((SECONDS - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
