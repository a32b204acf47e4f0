#!/bin/sh
# SPDX-License-Identifier: ISC
# Sees to it that the packages for a purpose are there: deps.sh build|run|test|lint|fuzz|bench...
# Root on Debian or Ubuntu: what is missing is installed without a question. Anybody else gets
# the one command that does it, and exit status 1. A mail or DNS server is never installed.

set -eu

compile="gcc libc6-dev make pkg-config libevent-dev libsodium-dev libopendkim-dev libunbound-dev
	libsqlite3-dev libyaml-dev libssl-dev libidn2-dev"
tests="check g++ python3 python3-dkim python3-aiosmtpd swaks libnet-ssleay-perl msmtp gsasl curl openssl
	sqlite3 ca-certificates"
modules="libevent libevent_pthreads libsodium opendkim sqlite3 yaml-0.1 openssl libidn2"

# Names of servers that no dependency may ever bring along.
servers="postfix exim4 exim4-daemon-light exim4-daemon-heavy sendmail-bin opensmtpd nullmailer
	msmtp-mta ssmtp dma courier-mta citadel-server qmail-run unbound bind9 dnsmasq
	pdns-recursor pdns-server nsd knot knot-resolver dovecot-core opendkim apache2 nginx"

die()
{
	echo "deps.sh: $*" >&2
	exit 1
}

packages_for()
{
	case $1 in
	build | run) echo "$compile" ;;
	test) echo "$compile $tests" ;;
	lint) echo "shellcheck universal-ctags python3 mandoc" ;;
	fuzz) echo "$compile clang $(clang_runtime)" ;;
	bench) echo "$compile python3 openssl sqlite3" ;;
	*) die "unknown purpose '$1': build, run, test, lint, fuzz or bench" ;;
	esac
}

# The runtime of libFuzzer is packaged by version; ask which one plain `clang` is.
clang_runtime()
{
	version=$(dpkg-query -W -f='${Depends}' clang 2>/dev/null ||
		apt-cache show clang 2>/dev/null | grep -m1 '^Depends:' || true)
	version=$(echo "$version" | sed -n 's/.*clang-\([0-9][0-9]*\).*/\1/p')
	echo "libclang-rt-${version:-14}-dev"
}

missing_of()
{
	# shellcheck disable=SC2086 # a list of names
	dpkg-query -W -f='${db:Status-Status} ${Package}\n' $1 2>/dev/null |
		awk -v want="$1" '
			$1 == "installed" { have[$2] = 1 }
			END {
				n = split(want, name, /[ \t\n]+/)
				for (i = 1; i <= n; i++)
					if (name[i] != "" && !(name[i] in have) && !(name[i] in said)) {
						said[name[i]] = 1
						printf "%s ", name[i]
					}
			}'
}

# Elsewhere than on Debian we can't install, but may well find all that is needed.
check_without_apt()
{
	command -v cc >/dev/null || die "a C compiler (cc) is needed"
	command -v pkg-config >/dev/null || die "pkg-config is needed"
	absent=
	for m in $modules; do
		pkg-config --exists "$m" || absent="$absent $m"
	done
	[ -z "$absent" ] || die "install libunbound and the development files of:$absent"
}

apt()
{
	DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"
}

# No server comes along; better no installation than one that starts serving mail.
refuse_servers()
{
	# shellcheck disable=SC2086
	coming=$(apt install -s --no-install-recommends $1 | awk '$1 == "Inst" { print $2 }')
	for s in $servers; do
		if echo "$coming" | grep -qx "$s"; then
			die "installing$1would bring the server '$s' into the system; not done"
		fi
	done
}

install_now()
{
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	echo "installing: $1"
	if ! apt update >"$log" 2>&1; then
		cat "$log" >&2
		die "apt-get update failed"
	fi
	refuse_servers " $1"
	# shellcheck disable=SC2086
	if ! apt install -y --no-install-recommends $1 >"$log" 2>&1; then
		cat "$log" >&2
		die "apt-get install failed"
	fi
}

[ $# -gt 0 ] || die "say what for: build, run, test, lint, fuzz or bench"
wanted=
for purpose; do
	wanted="$wanted $(packages_for "$purpose")" || exit 1
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	check_without_apt
	exit 0
fi

missing=$(missing_of "$wanted")
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "Packages are missing. This installs them:" >&2
	echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing" >&2
	exit 1
fi
install_now "$missing"
