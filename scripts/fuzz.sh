#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs the fuzzers given as arguments, FUZZ_SECONDS each, FUZZ_JOBS at a time (one per core), and sums
# up; with FUZZ_SEED they begin with the same numbers each time. What libFuzzer finds new is kept in
# $FOUND; an input that breaks something lands in $FOUND/crashes, to be kept in fuzz/corpus with its fix.

set -u

FOUND=${FOUND:-build/fuzz-found}
export FOUND
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1}"
export LSAN_OPTIONS="${LSAN_OPTIONS:-suppressions=scripts/lsan.supp:print_suppressions=0}"

# One fuzzer; prints one line, and the end of its log when it found something.
fuzz_one()
{
	fuzzer=$1
	name=${fuzzer##*/fuzz_}
	log=$FOUND/$name.log
	set -- -max_total_time="${FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix="$FOUND/crashes/$name-" -print_final_stats=1 \
		-seed="${FUZZ_SEED:-0}"
	for dict in "fuzz/$name.dict" fuzz/smtp.dict; do
		[ ! -f "$dict" ] || { set -- "$@" -dict="$dict"; break; }
	done
	mkdir -p "$FOUND/$name" "$FOUND/crashes"
	set -- "$@" "$FOUND/$name"
	[ ! -d "fuzz/corpus/$name" ] || set -- "$@" "fuzz/corpus/$name"
	if "$fuzzer" "$@" >"$log" 2>&1; then
		echo "ok $name $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs"
	else
		tail -n 40 "$log"
		echo "not ok $name (log: $log)"
	fi
}

if [ "${1:-}" = --one ]; then
	fuzz_one "$2"
	exit 0
fi

mkdir -p "$FOUND"
printf '%s\n' "$@" | grep -e "fuzz_[^/]*${ONLY:-}[^/]*$" |
	xargs -P "${FUZZ_JOBS:-$(nproc)}" -n 1 "$0" --one | tee "$FOUND/results"
passed=$(grep -c '^ok ' "$FOUND/results")
failed=$(grep -c '^not ok ' "$FOUND/results")
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
