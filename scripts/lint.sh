#!/bin/sh
# SPDX-License-Identifier: ISC
# All checks that need no compiler: rules on the sources (lint.py), shell scripts (shellcheck),
# the list of exported symbols, the tables of tests, the manual pages. Names file:line and the rule;
# exits 1 if anything is wrong.

set -u

cd "$(dirname "$0")/.." || exit 1
bad=0

"${PYTHON:-python3}" scripts/lint.py || bad=1
for f in scripts/*.sh tests/*.sh tests/*/*.sh bench/*.sh examples/*.sh .ci/run; do
	[ -f "$f" ] || continue
	shellcheck -f gcc "$f" || bad=1
done
scripts/exports.sh --check || bad=1
"${PYTHON:-python3}" scripts/check-coverage.py || bad=1
"${PYTHON:-python3}" scripts/man.py --check || bad=1

[ "$bad" -eq 0 ] && echo "lint: nothing found"
exit "$bad"
