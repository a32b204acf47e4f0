#!/bin/sh
# SPDX-License-Identifier: ISC
# Fetches other people's servers for tests and benchmarks: peers.sh [unbound|postfix]...
# They are unpacked under $BUILD/peers (default build/peers) with the libraries they need and
# never installed: $BUILD/peers/bin holds one starter per program that sets its library path.

set -eu

peers=${BUILD:-build}/peers
mkdir -p "$peers/bin"
peers=$(cd "$peers" && pwd -P)

die()
{
	echo "peers.sh: $*" >&2
	exit 1
}

apt()
{
	DEBIAN_FRONTEND=noninteractive apt-get -q -o APT::Sandbox::User=root \
		-o DPkg::Lock::Timeout=300 "$@"
}

# The package and whatever it would bring along, less what the system has already.
closure()
{
	echo "$1"
	apt install -s --no-install-recommends "$1" 2>/dev/null |
		awk -v self="$1" '$1 == "Inst" && $2 != self && $2 != "libc6" { print $2 }'
}

refresh_lists()
{
	candidate=$(apt-cache policy "$1" | sed -n 's/^ *Candidate: //p')
	case $candidate in
	'' | '(none)') ;;
	*) return 0 ;;
	esac
	[ "$(id -u)" -eq 0 ] || die "no package lists; run: sudo apt-get update"
	apt update >/dev/null || die "apt-get update failed"
}

fetch()
{
	work=$peers/$1.part
	rm -rf "$work"
	mkdir -p "$work/debs" "$work/root"
	refresh_lists "$1"
	echo "fetching $1 into $peers"
	# shellcheck disable=SC2046 # a list of names
	(cd "$work/debs" && apt download $(closure "$1") >../log 2>&1) ||
		{ cat "$work/log" >&2; die "download of $1 failed"; }
	for deb in "$work"/debs/*.deb; do
		dpkg -x "$deb" "$work/root"
	done
	rm -rf "$work/debs" "${peers:?}/$1"
	mv "$work/root" "$peers/$1"
	rm -rf "$work"
}

# starter PEER PROGRAM...: one small script for each program, which keeps its process id.
starter()
{
	root=$peers/$1
	shift
	libs=$root/usr/lib/postfix
	for d in "$root"/usr/lib/*-linux-* "$root"/lib/*-linux-*; do
		[ -d "$d" ] && libs=$libs:$d
	done
	for program; do
		[ -x "$root/$program" ] || die "$program is not in the package"
		start=$peers/bin/${program##*/}
		{
			echo '#!/bin/sh'
			echo "LD_LIBRARY_PATH='$libs'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
			echo 'export LD_LIBRARY_PATH'
			echo "exec '$root/$program' \"\$@\""
		} >"$start.part"
		chmod +x "$start.part"
		mv "$start.part" "$start"
	done
}

# A moved build folder or a half-done fetch is done again; the starters hold absolute paths.
is_done()
{
	[ -f "$peers/$1.done" ] && [ "$(cat "$peers/$1.done")" = "$peers" ]
}

get()
{
	is_done "$1" && return 0
	command -v apt-get >/dev/null || die "$1 can be fetched on Debian and Ubuntu only"
	fetch "$1"
	case $1 in
	unbound) starter unbound usr/sbin/unbound usr/sbin/unbound-checkconf ;;
	postfix) starter postfix usr/sbin/smtp-source usr/sbin/smtp-sink usr/sbin/postfix \
		usr/sbin/postconf usr/sbin/postmap usr/sbin/postalias ;;
	esac
	echo "$peers" >"$peers/$1.done"
	echo "$1 runs as $peers/bin/NAME (libraries: LD_LIBRARY_PATH, set there)"
}

[ $# -gt 0 ] || set -- unbound postfix
for peer; do
	case $peer in
	unbound | postfix) get "$peer" ;;
	*) die "unknown peer '$peer': unbound or postfix" ;;
	esac
done
