#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs a Postfix with default settings from $PEERS in the foreground, to compare with in `make
# bench`: postfix-instance.sh DIR PORT. Takes mail for example.test on 127.0.0.1:PORT, delivers
# all to the Maildir DIR/mail/box/. Needs root, as Postfix does; TERM stops it. Never installed.

set -eu

[ $# -eq 2 ] || { echo "postfix-instance.sh DIR PORT" >&2; exit 2; }
peers=$(cd "${PEERS:-build/peers}" && pwd)
root=$peers/postfix
mkdir -p "$1"
dir=$(cd "$1" && pwd)
port=$2

umask 022
mkdir -p "$dir/etc" "$dir/data" "$dir/mail" "$dir/queue"
for q in active bounce corrupt defer deferred flush hold incoming private saved trace; do
	mkdir -p "$dir/queue/$q"
	chmod 700 "$dir/queue/$q"
	chown daemon "$dir/queue/$q"
done
mkdir -p "$dir/queue/maildrop" "$dir/queue/public" "$dir/queue/pid"
chown daemon:mail "$dir/queue/maildrop" "$dir/queue/public"
chmod 730 "$dir/queue/maildrop"
chmod 710 "$dir/queue/public"
chown daemon "$dir/data"
chown nobody "$dir/mail"

libs=$root/usr/lib/postfix
for d in "$root"/usr/lib/*-linux-*; do
	libs=$libs:$d
done
export LD_LIBRARY_PATH="$libs" MAIL_CONFIG="$dir/etc"

cat >"$dir/etc/main.cf" <<-CF
	compatibility_level = 3.6
	command_directory = $root/usr/sbin
	daemon_directory = $root/usr/lib/postfix/sbin
	shlib_directory = $root/usr/lib/postfix
	queue_directory = $dir/queue
	data_directory = $dir/data
	meta_directory = $root/etc/postfix
	mail_owner = daemon
	setgid_group = mail
	default_privs = nobody
	import_environment = TZ LANG=C LD_LIBRARY_PATH MAIL_CONFIG MAIL_LOGTAG
	myhostname = mail.example.test
	mydestination =
	inet_interfaces = 127.0.0.1
	inet_protocols = ipv4
	mynetworks = 127.0.0.0/8
	alias_maps =
	alias_database =
	maillog_file = $dir/postfix.log
	maillog_file_prefixes = $dir
	virtual_mailbox_domains = example.test
	virtual_mailbox_base = $dir/mail
	virtual_mailbox_maps = static:box/
	virtual_uid_maps = static:$(id -u nobody)
	virtual_gid_maps = static:$(id -g nobody)
	smtpd_client_connection_count_limit = 0
CF
cat >"$dir/etc/master.cf" <<-CF
	127.0.0.1:$port inet n - n - - smtpd
	cleanup   unix  n - n - 0 cleanup
	qmgr      unix  n - n 300 1 qmgr
	rewrite   unix  - - n - - trivial-rewrite
	bounce    unix  - - n - 0 bounce
	defer     unix  - - n - 0 bounce
	trace     unix  - - n - 0 bounce
	verify    unix  - - n - 1 verify
	flush     unix  n - n 1000? 0 flush
	proxymap  unix  - - n - - proxymap
	smtp      unix  - - n - - smtp
	error     unix  - - n - - error
	retry     unix  - - n - - error
	virtual   unix  - n n - - virtual
	anvil     unix  - - n - 1 anvil
	scache    unix  - - n - 1 scache
	postlog   unix-dgram n - n - 1 postlogd
CF
exec "$root/usr/lib/postfix/sbin/master" -c "$dir/etc" -s
