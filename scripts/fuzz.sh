#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs the fuzzers given as arguments, FUZZ_SECONDS each, and sums up. What libFuzzer finds new
# is kept in $FOUND; an input that breaks something lands in $FOUND/crashes, to be kept in
# fuzz/corpus with its fix.

set -u

FOUND=${FOUND:-build/fuzz-found}
failed=0
ran=0
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1}"
export LSAN_OPTIONS="${LSAN_OPTIONS:-suppressions=scripts/lsan.supp:print_suppressions=0}"
for fuzzer; do
	name=${fuzzer##*/fuzz_}
	case $name in
	*"${ONLY:-}"*) ;;
	*) continue ;;
	esac
	found=$FOUND/$name
	log=$FOUND/$name.log
	mkdir -p "$found" "$FOUND/crashes"
	set -- -max_total_time="${FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix="$FOUND/crashes/$name-" -print_final_stats=1
	[ -f "fuzz/$name.dict" ] && set -- "$@" -dict="fuzz/$name.dict"
	[ -f "fuzz/smtp.dict" ] && [ ! -f "fuzz/$name.dict" ] && set -- "$@" -dict=fuzz/smtp.dict
	set -- "$@" "$found"
	[ -d "fuzz/corpus/$name" ] && set -- "$@" "fuzz/corpus/$name"
	ran=$((ran + 1))
	if "$fuzzer" "$@" >"$log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		echo "ok $name $runs runs"
	else
		failed=$((failed + 1))
		tail -n 40 "$log"
		echo "not ok $name (log: $log)"
	fi
done
echo "$((ran - failed)) passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$ran" -gt 0 ]
