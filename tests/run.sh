#!/bin/bash
# SPDX-License-Identifier: ISC
# Runs the tests and counts them: run.sh [unit] [transcripts] [system] [fuzz], all by default.
# Reads BUILD (programs and test binaries), PEERS, ONLY (part of a name), TESTS_JOBS, TESTS_RETRY. Each
# test has its own log in $BUILD/test-logs; logs of failures are printed. Ends `N passed, N failed`.

set -u

cd "$(dirname "$0")/.." || exit 1
BUILD=$(cd "${BUILD:-build}" && pwd) || exit 1
export BUILD
export PEERS=${PEERS:-$BUILD/peers}
export SMTPD=$BUILD/smtpd SMTPCTL=$BUILD/smtpctl SMTPC=$BUILD/smtpc
export SAN=${SAN:-}
# libcheck stops a test after 4 s; a loaded machine needs more, and hangs are caught here anyway.
export CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-10}
export PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8 TZ=UTC
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$PWD/scripts/lsan.supp:print_suppressions=0}
export TSAN_OPTIONS=${TSAN_OPTIONS:-suppressions=$PWD/scripts/tsan.supp:halt_on_error=1:allocator_may_return_null=1}
logs=$BUILD/test-logs

# The system's Python has the Debian modules; one from elsewhere may come first in PATH.
PYTHON=${PYTHON:-/usr/bin/python3}
[ -x "$PYTHON" ] || PYTHON=python3
export PYTHON

# Lines "KIND NAME SECONDS FILE", the longest first so that the end is not one slow test.
list()
{
	local f slow=1
	[ -z "$SAN" ] || slow=4
	case $1 in
	system)
		for f in tests/system/*.py tests/system/*.sh; do
			if grep -qs -e '__main__' -e '^#!/bin/.*sh' "$f"; then
				echo "system $(basename "${f%.*}") $((300 * slow)) $f"
			fi
		done
		;;
	unit | transcripts)
		for f in tests/"$1"/test_*.c; do
			[ -f "$f" ] || continue
			f=$(basename "$f" .c)
			echo "$1 $f $((120 * slow)) $BUILD/tests/$f"
		done
		;;
	fuzz)
		for f in fuzz/fuzz_*.c; do
			[ -f "$f" ] || continue
			f=$(basename "$f" .c)
			echo "fuzz replay_${f#fuzz_} $((120 * slow)) $BUILD/fuzz/replay_${f#fuzz_}"
		done
		;;
	*)
		echo "run.sh: unknown kind '$1'" >&2
		exit 1
		;;
	esac
}

# Counts of one log: libcheck's summaries, then TAP lines; a bare program counts as one.
count()
{
	awk -v rc="$2" '
		/^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
			bad = $5 + $7
			passed += $3 - bad
			failed += bad
			next
		}
		/^ok .*# [Ss][Kk][Ii][Pp]/ { skipped++; next }
		/^ok / { passed++ }
		/^not ok / { failed++ }
		END {
			if (rc != 0 && !failed)
				failed = 1
			if (rc == 0 && !passed && !failed && !skipped)
				passed = 1
			print passed + 0, failed + 0, skipped + 0
		}' "$1"
}

# Runs one test into its log; sets passed, failed, skipped.
try()
{
	local seconds=$1 log=$2 rc=0
	shift 2
	timeout -k 10 "$seconds" "$@" >"$log" 2>&1 </dev/null || rc=$?
	[ "$rc" -ne 124 ] && [ "$rc" -ne 137 ] || echo "run.sh: stopped after $seconds s" >>"$log"
	read -r passed failed skipped < <(count "$log" "$rc")
}

# May it have failed for want of time? Never what a sanitizer found, nor a crash.
deserves_retry()
{
	[ "${TESTS_RETRY:-0}" -ne 0 ] && [ "$1" != fuzz ] &&
		! grep -qa -e 'Sanitizer' -e 'runtime error:' -e 'Received signal' "$2"
}

# Runs one test; its result goes to a file, a line to the screen when it is done. With TESTS_RETRY one
# that failed is tried once more, and both is told: what fails for good fails then too.
run_one()
{
	local kind=$1 name=$2 seconds=$3 file=$4 log=$logs/$1-$2.log begin=$SECONDS note=''
	local passed failed skipped
	case $kind in
	fuzz)
		set -- "$file"
		[ ! -d "fuzz/corpus/${name#replay_}" ] || set -- "$@" "fuzz/corpus/${name#replay_}"
		;;
	*)
		case $file in
		*.py) set -- "$PYTHON" "$file" ;;
		*.sh) set -- sh "$file" ;;
		*) set -- "$file" ;;
		esac
		;;
	esac
	try "$seconds" "$log" "$@"
	[ "$skipped" -eq 0 ] || note="  $skipped skipped"
	if [ "$failed" -gt 0 ] && deserves_retry "$kind" "$log"; then
		mv "$log" "$log.first"
		try "$seconds" "$log" "$@"
		note="  at the second try ($log.first)"
	fi
	echo "$passed $failed $skipped" >"$logs/$kind-$name.result"
	printf '  %-4s %-11s %-28s %4d passed %3d failed %3d s%s\n' \
		"$([ "$failed" -eq 0 ] && echo ok || echo FAIL)" "$kind" "$name" "$passed" "$failed" \
		$((SECONDS - begin)) "$note"
}

if [ "${1:-}" = --one ]; then
	shift
	run_one "$@"
	exit 0
fi

rm -rf "$logs"
mkdir -p "$logs"
[ $# -gt 0 ] || set -- system unit transcripts fuzz
for kind; do
	list "$kind" || exit 1
done | awk -v only="${ONLY:-}" 'only == "" || index($2, only)' >"$logs/list"
xargs -r -a "$logs/list" -L 1 -P "${TESTS_JOBS:-2}" "$0" --one

passed=0 failed=0 skipped=0
while read -r kind name _ _; do
	name=$kind-$name
	if ! read -r p f s <"$logs/$name.result"; then
		echo "$name: no result"
		p=0 f=1 s=0
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	grep -i '^ok .*# skip' "$logs/$name.log" || true
	if [ -f "$logs/$name.log.first" ]; then
		echo "--- $name failed at its first try ($logs/$name.log.first)"
		grep -a -e '^not ok' -e ':[FE]:' "$logs/$name.log.first" || tail -n 20 "$logs/$name.log.first"
	fi
	if [ "$f" -gt 0 ]; then
		echo "--- $name ($logs/$name.log)"
		grep "^not ok" "$logs/$name.log" || true
		tail -n 100 "$logs/$name.log"
	fi
done <"$logs/list"
[ "$skipped" -eq 0 ] || echo "$skipped skipped"
if [ $((passed + failed)) -eq 0 ]; then
	echo "run.sh: nothing was run"
	echo "0 passed, 0 failed"
	exit 1
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
