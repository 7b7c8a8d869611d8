#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# All tests, as `make check` and CI run them.
#
#   tests/run.sh [PHASE…]       all phases: build units lint layering fuzz sim asan netns
#   tests/run.sh netns t_bed    of a phase, only items whose name contains a word
#
#   build     gcc and clang, warnings are errors        asan      units again, ASan + UBSan (gcc)
#   units     cmocka programs, tests/unit               netns     tests/netns/t_*.sh, real charon;
#   lint      clang-format, cppcheck, shell syntax                with the ASan build, but for those
#   layering  who may include whom (design 2)                     that measure (BED_MEASURES)
#   fuzz      libFuzzer on every kept corpus, then FUZZ_SECONDS (10) of new inputs
#   sim       SIM_SEEDS (40) short simulations of engines, and of clusters, a large one too, and
#             what one approval costs by size; SIM_ASAN_SEEDS (8) more in phase asan
#
# Every item's output goes to $LOGS; it is removed when all passed. An item passes by TAP lines
# with a plan, or, without TAP, by its exit status (0 passed, 77 skipped). Skipped is not passed:
# each is listed with its reason. A suite of namespaces that failed runs once more with nothing
# beside it: real charons on a busy machine may miss a time that the product keeps. What passes only
# then is marked `again`, with what failed first, and counted once more above the last line. The last
# line is `N passed, N failed, N skipped`.

cd "$(dirname "$0")/.." || exit 1
PHASES="build units lint layering fuzz sim asan netns"
JOBS=${JOBS:-$(nproc)}
FUZZ_SECONDS=${FUZZ_SECONDS:-10}
SIM_SEEDS=${SIM_SEEDS:-40}
SIM_ASAN_SEEDS=${SIM_ASAN_SEEDS:-8}
B=${B:-build}
BSAN=${BSAN:-$B-asan}
BFUZZ=${BFUZZ:-$B-fuzz}
BCLANG=${BCLANG:-$B-clang}
LOGS=$(mktemp -d "${TMPDIR:-/tmp}/overlayd-check-XXXXXX")
PASSED=0 FAILED=0 SKIPPED=0 AGAIN=0
# Leaks are looked for by default; the policy's fuzzer turns that off by itself, and says why.
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=0:exitcode=99}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export CMOCKA_MESSAGE_OUTPUT=TAP
unset MAKEFLAGS MFLAGS MAKELEVEL KEEP

# ---------------------------------------------------------------- items

# item PHASE/NAME SECONDS COMMAND…: run it beside others, at most $JOBS at a time.
item() {
	local name=$1 limit=$2
	shift 2
	case $name in
	*/build*) ;; # what the chosen ones need
	*) if [ -n "$WORDS" ] && ! grep -qF "$WORDS" <<<"$name"; then return; fi ;;
	esac
	while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
	mkdir -p "$LOGS/$(dirname "$name")"
	echo "$name" >>"$LOGS/order"
	case $name in netns/build*) ;; netns/*) printf '%q ' "$limit" "$@" >"$LOGS/$name.again" ;; esac
	{
		local start=$EPOCHREALTIME
		timeout -k 5 "$limit" "$@" >"$LOGS/$name.log" 2>&1 </dev/null
		echo "$? $(((${EPOCHREALTIME/./} - ${start/./}) / 1000)) $limit" >"$LOGS/$name.rc"
	} &
}

# finish: wait for all items begun, count and show them.
finish() {
	local name
	wait
	if [ ! -e "$LOGS/order" ]; then return; fi
	mv "$LOGS/order" "$LOGS/done"
	while read -r name <&3; do count "$name"; done 3<"$LOGS/done"
	rm -f "$LOGS/done"
}

# again NAME: the same item alone, from its kept command.
again() {
	local command
	read -r command <"$LOGS/$1.again"
	rm -f "$LOGS/$1.again"
	mv "$LOGS/$1.log" "$LOGS/$1.first.log"
	eval "item $1 $command"
	wait
	rm -f "$LOGS/order" "$LOGS/$1.again"
	count "$1"
}

count() {
	local name=$1 log=$LOGS/$1.log rc ms limit ok bad skip plan why= word=ok
	read -r rc ms limit <"$LOGS/$name.rc"
	ok=$(grep -cE '^ok ' "$log")
	bad=$(grep -cE '^not ok ' "$log")
	skip=$(grep -cE '^ok .*# SKIP' "$log")
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log" | awk '{s += $1} END {if (NR) print s}')
	if [ "$plan" = 0 ] && [ "$rc" = 0 ]; then
		ok=0 skip=1
		why=$(sed -n 's/^1\.\.0 # SKIP //p' "$log")
	elif [ -n "$plan" ]; then
		ok=$((ok - skip))
		if [ $((ok + bad + skip)) != "$plan" ]; then why="planned $plan, ran $((ok + bad + skip))"; fi
	elif [ "$rc" = 77 ]; then
		ok=0 skip=1 rc=0 why=$(tail -1 "$log")
	elif [ $((ok + bad)) = 0 ] && [ "$rc" = 0 ]; then
		ok=1
	elif [ "$rc" = 0 ]; then
		why="no plan: it stopped in the middle"
	fi
	if [ "$rc" = 124 ] || [ "$rc" = 137 ]; then why="took longer than $limit s"; fi
	if [ "$rc" != 0 ] && [ "$bad" = 0 ] && [ -z "$why" ]; then why="exit status $rc"; fi
	if [ "$bad" = 0 ] && [ -n "$why" ] && [ "$skip" = 0 ]; then bad=1; fi
	if [ "$bad" != 0 ] && [ -e "$LOGS/$name.again" ]; then
		printf '  first  %4d  %-44s %5d.%03d s  %s\n' "$bad" "$name" $((ms / 1000)) $((ms % 1000)) "$why"
		grep -E '^not ok ' "$log" | head -20 | sed 's/^/             /'
		if [ -n "$why" ]; then tail -15 "$log" | sed 's/^/             | /'; fi
		again "$name"
		return
	fi
	PASSED=$((PASSED + ok)) FAILED=$((FAILED + bad)) SKIPPED=$((SKIPPED + skip))
	if [ "$bad" = 0 ]; then
		if [ "$ok" = 0 ]; then word=skip; fi
		if [ -e "$LOGS/$name.first.log" ]; then word=again AGAIN=$((AGAIN + 1)); fi
		printf '  %-6s %4d  %-44s %5d.%03d s%s\n' "$word" "$ok" "$name" \
			$((ms / 1000)) $((ms % 1000)) "${why:+  ($why)}"
		grep -E '^ok .*# SKIP' "$log" | sed 's/^/             /'
		rm -f "$log"
		return
	fi
	printf '  %-6s %4d  %-44s %5d.%03d s  %s\n' FAILED "$bad" "$name" $((ms / 1000)) $((ms % 1000)) "$why"
	grep -E '^not ok ' "$log" | head -20 | sed 's/^/             /'
	if [ -n "$why" ]; then tail -15 "$log" | sed 's/^/             | /'; fi
	echo "             log: $log"
}

heading() { echo "$1"; }
need() { # COMMAND PHASE: without it the phase is counted as failed, not passed over
	command -v "$1" >/dev/null && return 0
	item "$2/needs-$1" 5 sh -c "echo '$1 is not installed (make deps)'; exit 1"
	return 1
}

# ---------------------------------------------------------------- phases

phase_build() {
	JOBS=1 item build/gcc 600 make -j"$(nproc)" B="$B" all units
	finish
	JOBS=1 item build/clang 600 make -j"$(nproc)" B="$BCLANG" CC=clang all
}

phase_units() {
	if [ ! -x "$B/overlayd" ]; then make -j"$(nproc)" B="$B" all units >"$LOGS/build-units.log" 2>&1; fi
	units_of units "$B"
}
units_of() { # PHASE BUILD-DIRECTORY
	local src name
	for src in tests/unit/test_*.c; do
		name=$(basename "$src" .c)
		item "$1/$name" 120 "$2/tests/unit/$name"
	done
}

phase_lint() {
	local files
	files=$(find policy vici-client firewall nss overlayd tests images -name '*.[ch]' -not -path '*/corpus/*')
	if need clang-format lint; then
		# shellcheck disable=SC2086
		item lint/clang-format 120 clang-format --dry-run -Werror $files
	fi
	if need cppcheck lint; then
		item lint/cppcheck 400 cppcheck --quiet --error-exitcode=1 --std=c11 -j "$JOBS" -I . -I overlayd \
			--enable=warning,portability,performance --inline-suppr -D__GNUC__ -D_GNU_SOURCE \
			--suppressions-list=tests/cppcheck.txt policy vici-client firewall nss overlayd
	fi
	item lint/shell 30 sh -c '
		for f in $(grep -rlE "^#!/bin/bash" --include="*" tests demo images .ci 2>/dev/null) tests/netns/lib.sh; do
			bash -n "$f" || exit 1
		done
		for f in $(grep -rlE "^#!/bin/sh" tests demo images .ci 2>/dev/null); do sh -n "$f" || exit 1; done'
	item lint/python 30 python3 -c '
import ast, glob
for f in glob.glob("tests/**/*.py", recursive=True):
    ast.parse(open(f).read(), f)'
}

phase_layering() {
	item layering/rules 60 tests/layering.sh
	item layering/self-test 120 tests/layering.sh --self-test
}

phase_fuzz() {
	local src name corpus
	need clang fuzz || return
	JOBS=1 item fuzz/build 600 make -j"$(nproc)" B="$BFUZZ" CC=clang SAN=1 FUZZ=1 fuzzers
	finish
	for src in tests/fuzz/fuzz_*.c; do
		name=$(basename "$src" .c)
		corpus=tests/fuzz/corpus/${name#fuzz_}
		mkdir -p "$LOGS/fuzz/$name"
		item "fuzz/$name-corpus" 120 sh -c "ls $corpus/* >/dev/null && $BFUZZ/tests/fuzz/$name -runs=0 $corpus"
		item "fuzz/$name" $((FUZZ_SECONDS + 60)) "$BFUZZ/tests/fuzz/$name" -max_total_time="$FUZZ_SECONDS" \
			-timeout=10 -rss_limit_mb=1024 -artifact_prefix="$LOGS/fuzz/" -print_final_stats=1 \
			-error_exitcode=1 -timeout_exitcode=1 \
			"$LOGS/fuzz/$name" "$corpus"
	done
}

phase_sim() {
	if ! compgen -G 'tests/sim/*.c' >/dev/null; then return; fi
	JOBS=1 item sim/build 600 make -j"$(nproc)" B="$B" simulator
	finish
	item sim/seeds 400 make -s B="$B" sim SEEDS="$SIM_SEEDS"
	item sim/broken-engines 400 make -s B="$B" sim-broken
	item sim/clusters 400 "$B/tests/simcluster" --seeds "$SIM_SEEDS"
	item sim/cluster-of-600 400 "$B/tests/simcluster" --nodes 600 --minutes 2
	item sim/broken-clusters 400 make -s B="$B" simcluster-broken
	item sim/scale 400 "$B/tests/simcluster" --scale --nodes 1000
}

phase_asan() {
	JOBS=1 item asan/build 600 make -j"$(nproc)" B="$BSAN" SAN=1 all units simulator
	finish
	units_of asan "$BSAN"
	item asan/sim 120 "$BSAN/tests/sim" --seed 1000 --seeds "$SIM_ASAN_SEEDS" --hours 1
	item asan/simcluster 240 "$BSAN/tests/simcluster" --seed 1000 --seeds "$SIM_ASAN_SEEDS" --minutes 4
}

phase_netns() {
	local t b
	JOBS=1 item netns/build 600 make -j"$(nproc)" B="$B" all bed-programs
	JOBS=1 item netns/build-asan 600 make -j"$(nproc)" B="$BSAN" SAN=1 all bed-programs
	finish
	for t in tests/netns/t_*.sh; do
		b=$BSAN
		if grep -q '^BED_MEASURES=1' "$t"; then b=$B; fi
		item "netns/$(basename "$t" .sh)" 240 env B="$b" bash "$t"
	done
	for t in tests/netns/*_probe.c; do
		t=$(basename "$t" _probe.c)
		item "netns/$t" 120 sh "tests/netns/${t}_charon.sh" "$BSAN/tests/netns/${t}_probe"
	done
}

# ---------------------------------------------------------------- all of it

interrupted() {
	local pids
	pids=$(jobs -p)
	# shellcheck disable=SC2086
	if [ -n "$pids" ]; then pkill -TERM -P "$(echo $pids | tr ' ' ,)" 2>/dev/null; fi
	wait
	rm -rf "$LOGS"
	echo "interrupted"
	exit 130
}
trap interrupted INT TERM

WORDS= chosen=
for arg in "$@"; do
	case " $PHASES " in
	*" $arg "*) chosen="$chosen $arg" ;;
	*) WORDS=$arg ;;
	esac
done
for phase in ${chosen:-$PHASES}; do
	heading "$phase"
	"phase_$phase"
	finish
done

if [ $AGAIN != 0 ]; then echo "$AGAIN of them passed at the second try only"; fi
if [ $FAILED = 0 ] && [ $AGAIN = 0 ]; then rm -rf "$LOGS"; else echo "logs are kept in $LOGS"; fi
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
[ $FAILED = 0 ]
