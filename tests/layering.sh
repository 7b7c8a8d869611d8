#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Who may know whom: the house's layering, proven from the includes and from the symbols that
# rooms which never log, exit or keep global state must not use.
#
#   layering.sh [ROOT]          one line of TAP for each rule
#   layering.sh --self-test     break each rule in a copy and see it caught
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)

# room: the rooms it may include from, itself among them. Everything not listed is refused.
rooms="
policy:            policy
vici-client:       vici-client
firewall:          firewall
nss:               nss
overlayd/engine:   overlayd/engine policy
overlayd/control:  overlayd/control overlayd/client
overlayd/client:   overlayd/client
overlayd/ctl:      overlayd/ctl overlayd/client policy
overlayd/host:     overlayd/host overlayd/engine overlayd/control overlayd/client policy vici-client firewall
"

# room_of FILE INCLUDED: the room that #include "INCLUDED" in FILE comes from, or ? when unknown.
# -I. and -Ioverlayd: "policy/policy.h", "engine/engine.h"; a plain name is of FILE's own directory.
room_of() {
	case $2 in
	*..*) echo "?" ;;
	*/*)
		dir=${2%/*}
		if [ -e "$2" ]; then echo "$dir"; elif [ -e "overlayd/$2" ]; then echo "overlayd/$dir"; else echo "?"; fi
		;;
	*) dirname "$1" ;;
	esac
}

includes() { # FILE: the names in its #include "…"
	sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$1"
}

bad=0 done=0
ok() {
	done=$((done + 1))
	echo "ok - layering: $*"
}
not_ok() {
	bad=1
	done=$((done + 1))
	echo "not ok - layering: $1"
	shift
	printf '# %s\n' "$@"
}

check_room() { # ROOM ALLOWED…
	room=$1
	shift
	faults=
	for f in "$room"/*.[ch]; do
		[ -e "$f" ] || continue
		for inc in $(includes "$f"); do
			from=$(room_of "$f" "$inc")
			case " $* " in
			*" $from "*) ;;
			*) faults="$faults $f:$inc" ;;
			esac
		done
	done
	if [ -n "$faults" ]; then
		not_ok "$room includes only from: $*" $faults
	else
		ok "$room includes only from: $*"
	fi
}

# check_words WHAT REGEX ROOM…: words that these rooms must not contain (comments and strings aside).
check_words() {
	what=$1 words=$2
	shift 2
	for room in "$@"; do
		found=
		for f in "$room"/*.[ch]; do
			[ -e "$f" ] || continue
			hits=$(code_of "$f" | grep -nE "$words" | head -3 | tr '\n' ' ' || :)
			if [ -n "$hits" ]; then found="$found
$f: $hits"; fi
		done
		if [ -n "$found" ]; then
			not_ok "$room: $what" "$found"
		else
			ok "$room: $what"
		fi
	done
}

code_of() { # FILE without comments and string contents, lines kept
	sed -e 's/"\(\\.\|[^"\\]\)*"/""/g' -e 's,//.*,,' -e 's,/\*.*\*/,,g' \
		-e '/\/\*/,/\*\//{/\/\*/s,/\*.*,,;/\*\//s,.*\*/,,;/^[[:space:]]*\*/d;}' "$1"
}

check_all() {
	while IFS=: read -r room allowed; do
		[ -n "$room" ] || continue
		# shellcheck disable=SC2086
		check_room "$room" $allowed
	done <<-END
		$rooms
	END
	check_words "never logs, never exits" \
		'\b((v?printf|puts|putchar|perror|v?syslog|sd_journal_[a-z]+|log_[a-z]+|exit|_exit|abort|errx?|warnx?)[[:space:]]*\(|stderr|stdout)' \
		policy vici-client firewall nss overlayd/engine
	# It is loaded into every program of the machine.
	check_words "allocates nothing, starts nothing" \
		'\b([a-z]*alloc[a-z]*|free|strn?dup|v?asprintf|fd?open|opendir|open_memstream|getline|fork|pthread_create|getenv)[[:space:]]*\(' \
		nss
	check_words "no clock, no socket, no file" \
		'\b(time|clock_gettime|gettimeofday|socket|connect|open|openat|fopen|read|write|getenv|rand|random|getrandom|sd_[a-z_]+|pthread_[a-z_]+)[[:space:]]*\(' \
		overlayd/engine
	licences
}

# First line of every source: its licence. The libraries that any program may link are LGPL.
licences() {
	faults=
	for f in $(find policy vici-client firewall nss overlayd tests images -name '*.[ch]' 2>/dev/null); do
		case $f in
		vici-client/* | nss/* | overlayd/client/*) want=LGPL-2.1-or-later ;;
		*) want=GPL-2.0-or-later ;;
		esac
		head -1 "$f" | grep -q "SPDX-License-Identifier: $want" || faults="$faults $f"
	done
	if [ -n "$faults" ]; then not_ok "every source names its licence" $faults; else ok "every source names its licence"; fi
}

# ---------------------------------------------------------------- the check of the check

self_test() {
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	mkdir -p "$tmp/tree"
	# The headers are enough: what the sources hold is the other run's affair.
	(cd "$here" && find policy vici-client firewall nss overlayd -name '*.h' | tar cf - -T -) | tar xf - -C "$tmp/tree"
	while IFS='|' read -r file line; do
		[ -n "$file" ] || continue
		mkdir -p "$(dirname "$tmp/tree/$file")"
		printf '/* SPDX-License-Identifier: %s */\n%s\n' \
			"$(case $file in vici-client/* | nss/* | overlayd/client/*) echo LGPL-2.1-or-later ;; *) echo GPL-2.0-or-later ;; esac)" \
			"$line" >"$tmp/tree/$file"
		"$0" "$tmp/tree" >"$tmp/out" || :
		if ! grep -q zz_broken "$tmp/out"; then
			not_ok "breaking it is caught: $file: $line"
		else
			ok "breaking it is caught: $file: $line"
		fi
		rm -f "$tmp/tree/$file"
	done <<-'END'
		policy/zz_broken.c|#include "firewall/firewall.h"
		firewall/zz_broken.c|#include "policy/policy.h"
		vici-client/zz_broken.c|#include "policy/policy.h"
		overlayd/engine/zz_broken.c|#include "host/log.h"
		overlayd/engine/zz_broken.c|#include "vici-client/vici.h"
		overlayd/engine/zz_broken.c|#include "../host/log.h"
		overlayd/ctl/zz_broken.c|#include "engine/engine.h"
		overlayd/client/zz_broken.c|#include "policy/policy.h"
		nss/zz_broken.c|#include "client/paths.h"
		overlayd/host/zz_broken.c|#include "nss/hosts.h"
		policy/zz_broken.c|void f(void) { exit(1); }
		nss/zz_broken.c|void f(void) { syslog(3, "x"); }
		nss/zz_broken.c|void *f(void) { return malloc(1); }
		firewall/zz_broken.c|void f(void) { fprintf(stderr, "x"); }
		overlayd/engine/zz_broken.c|long f(void) { return time(NULL); }
	END
	echo "int x;" >"$tmp/tree/policy/zz_broken.c"
	"$0" "$tmp/tree" >"$tmp/out" || :
	if ! grep -q policy/zz_broken "$tmp/out"; then not_ok "a missing licence is caught"; else ok "a missing licence is caught"; fi
}

if [ "${1:-}" = --self-test ]; then
	cd "$here"
	self_test
else
	cd "${1:-$here}"
	check_all
fi
echo "1..$done"
exit $bad
