#!/bin/sh
# SPDX-License-Identifier: ISC
# What `make run` shows: a server for example.test in ./run on loopback, a signed message from
# alice to bob through implicit TLS, its arrival; then it stays up. ONCE=1: stops after that.
# RUN_DIR and PORT_BASE choose another place; a ./run of before is used as it is.

set -eu

bin=${BUILD:-build}
dir=${RUN_DIR:-run}
domain=example.test
server=

say()
{
	printf '\n==> %s\n' "$*"
}

die()
{
	echo "run-demo.sh: $*" >&2
	exit 1
}

# Stops the server that we started, by its process id, and waits for it.
stop_server()
{
	trap - EXIT INT TERM HUP
	if [ -n "$server" ] && kill -TERM "$server" 2>/dev/null; then
		wait "$server" || true
	fi
}

# Is something listening on this TCP port, on any local address?
port_taken()
{
	hex=$(printf '%04X' "$1")
	for table in /proc/net/tcp /proc/net/tcp6; do
		[ ! -r "$table" ] || awk -v port="$hex" '
			$4 == "0A" && $2 ~ ":" port "$" { found = 1 }
			END { exit !found }' "$table" && return 0
	done
	return 1
}

taken_of()
{
	for n in 25 465 587; do
		if port_taken $(($1 + n)); then
			printf '%s ' $(($1 + n))
		fi
	done
}

choose_base()
{
	for base in ${PORT_BASE:-2000 12000 22000 32000 42000}; do
		taken=$(taken_of "$base")
		[ -n "$taken" ] || return 0
		echo "taken already: port $taken" >&2
	done
	die "no free ports; choose others with PORT_BASE=N (N+25, N+465, N+587)"
}

# Tries a command ten times a second until it succeeds; fails after so many seconds.
wait_for()
{
	tries=$(($1 * 10))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		[ -z "$server" ] || kill -0 "$server" 2>/dev/null || return 1
		sleep 0.1
	done
}

new_password()
{
	head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

ctl()
{
	"$bin/smtpctl" -c "$dir/smtpd.yaml" "$@"
}

add_account()
{
	umask 077
	new_password >"$dir/demo/$1.password"
	ctl account add "$1@$domain" --name "$2" --password-stdin <"$dir/demo/$1.password"
}

# As root smtpd goes on as nobody, who can't enter a checkout in /root: then $dir is a link to
# a folder that he can.
make_reachable()
{
	[ "$(id -u)" -eq 0 ] && [ ! -e "$dir" ] && command -v setpriv >/dev/null || return 0
	parent=$(cd "$(dirname "$dir")" && pwd)
	if ! setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$parent"; then
		place=$(mktemp -d /var/tmp/libsmtp-run.XXXXXX)
		chmod 755 "$place"
		rm -f "$dir"
		ln -s "$place" "$dir"
		say "$parent is closed to the user nobody; $dir lies in $place"
	fi
}

set_up()
{
	choose_base
	make_reachable
	say "smtpctl setup $domain --dir $dir --port-base $base"
	"$bin/smtpctl" setup "$domain" --dir "$dir" --port-base "$base"
	mkdir -p "$dir/demo"
	say "smtpctl account add: alice and bob (passwords: $dir/demo/*.password)"
	add_account alice 'Alice Example'
	add_account bob 'Bob Example'
	echo "$base" >"$dir/demo/port-base"
}

use_as_it_is()
{
	base=$(cat "$dir/demo/port-base")
	taken=$(taken_of "$base")
	[ -z "$taken" ] ||
		die "taken already: port $taken(is the demonstration running? otherwise remove $dir)"
	say "using $dir as it is; remove it to begin anew"
}

# One setting of smtpd.yaml that stands alone on its line.
setting()
{
	sed -n "s/^ *$1: *\"\{0,1\}\([^\"#]*[^\"# ]\)\"\{0,1\} *\(#.*\)\{0,1\}\$/\1/p" \
		"$dir/smtpd.yaml" | head -n 1
}

arrived()
{
	for f in "$mailbox"/new/*; do
		if [ -f "$f" ] && grep -q "$token" "$f"; then
			message=$f
			return 0
		fi
	done
	return 1
}

up()
{
	port_taken $((base + 465))
}

show_log()
{
	tail -n 20 "$dir/smtpd.log" >&2
}

send_signed()
{
	token=demo-$(new_password)
	"$bin/smtpc" send --server "smtps://127.0.0.1:$((base + 465))" \
		--user "alice@$domain" --password-file "$dir/demo/alice.password" \
		--ca-file "$certificate" --from "alice@$domain" --to "bob@$domain" \
		--subject "Hello from libsmtp" --text - -v <<-TEXT
			This message went through implicit TLS, was signed and lies in bob's mailbox.
			$token
		TEXT
}

try_next()
{
	cat <<-TEXT

		smtpd listens on 127.0.0.1: mx $((base + 25)), submissions $((base + 465)), submission $((base + 587)).
		Its log is $dir/smtpd.log. In another terminal:

		  $bin/smtpc send --server smtps://127.0.0.1:$((base + 465)) --ca-file $certificate \\
		      --user alice@$domain --password-file $dir/demo/alice.password \\
		      --from alice@$domain --to bob@$domain --subject Hi --text README.md
		  $bin/smtpc probe smtp://127.0.0.1:$((base + 25))
		  $bin/smtpctl -c $dir/smtpd.yaml account list
		  $bin/smtpctl -c $dir/smtpd.yaml queue list
		  $bin/smtpctl -c $dir/smtpd.yaml status
		  ls $mailbox/new

		Ctrl-C stops it.
	TEXT
}

for program in smtpd smtpctl smtpc; do
	[ -x "$bin/$program" ] || die "$bin/$program is missing; run: make"
done

if [ -f "$dir/demo/port-base" ]; then
	use_as_it_is
elif [ -e "$dir/smtpd.yaml" ]; then
	die "$dir is not from this demonstration, or its setup was cut short; remove it"
else
	set_up
fi

certificate=$(setting certificate)
mailbox=$(setting maildir | sed -e "s/{domain}/$domain/" -e 's/{local_part}/bob/')

say "smtpd -c $dir/smtpd.yaml (log: $dir/smtpd.log)"
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
"$bin/smtpd" -c "$dir/smtpd.yaml" 2>>"$dir/smtpd.log" &
server=$!
if ! wait_for 30 up; then
	show_log
	die "smtpd did not start"
fi

say "smtpc send: alice writes to bob"
if ! send_signed; then
	show_log
	die "the message was not accepted"
fi
if ! wait_for 60 arrived; then
	show_log
	die "the message did not arrive in $mailbox"
fi

say "it arrived: $message"
cat "$message"
grep -qi '^DKIM-Signature:' "$message" || die "the message is not signed"

if [ "${ONCE:-0}" = 1 ]; then
	stop_server
	say "done"
	exit 0
fi
try_next
wait "$server"
