# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Lines of result for the VM's scripts: a check is a command that succeeds; waiting has a deadline.
TAP_FAILED=0

# check WHAT COMMAND…: one line of result; what the command said follows if it failed.
check() {
	local what=$1 said
	shift
	if said=$("$@" 2>&1 </dev/null); then
		echo "ok - $what"
		return 0
	fi
	echo "not ok - $what"
	printf '%s\n' "$said" | head -n 20 | sed 's/^/#   /'
	TAP_FAILED=$((TAP_FAILED + 1))
	return 1
}
# await SECONDS COMMAND…: until it succeeds.
await() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			"$@" # once more, to say why
			return
		fi
		sleep 0.05
	done
}
fails() { ! "$@"; }
done_checks() { [ $TAP_FAILED = 0 ]; }
