#!/bin/sh
# SPDX-License-Identifier: ISC
# All figures: bench/run.sh, called by `make bench` with BUILD, PEERS and the programs in the environment.

set -eu

cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-/usr/bin/python3}
for program in "$BUILD"/bench/*; do
	[ ! -x "$program" ] || [ -d "$program" ] || "$program"
done
exec "$PYTHON" bench/bench_smtpd.py "$@"
