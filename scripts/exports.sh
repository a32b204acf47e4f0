#!/bin/sh
# SPDX-License-Identifier: ISC
# Keeps libsmtp.map, the explicit list of exported symbols, equal to what the public headers
# declare with SMTP_API. exports.sh --write rewrites it, exports.sh --check says what differs.

set -eu

cd "$(dirname "$0")/.."

declared()
{
	for h in libsmtp/include/smtp/*.h; do
		sed -e '/^#/d' "$h" | tr '\n' ' ' | tr ';{}' '[\n*]'
		echo
	done | sed -n 's/.*SMTP_API \([^(]*\)(.*/\1/p' | awk '{ print $NF }' | tr -d '*' |
		LC_ALL=C sort -u
}

map()
{
	echo 'LIBSMTP_0 {'
	echo '	global:'
	declared | sed 's/.*/		&;/'
	echo '	local:'
	echo '		*;'
	echo '};'
}

case ${1:-} in
--write)
	map >libsmtp.map.part
	mv libsmtp.map.part libsmtp.map
	;;
--check)
	map | diff -u libsmtp.map - >&2 || {
		echo "libsmtp.map:1: differs from the headers; run: make map" >&2
		exit 1
	}
	;;
*)
	echo "exports.sh --write | --check" >&2
	exit 2
	;;
esac
