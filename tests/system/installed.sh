#!/bin/sh
# SPDX-License-Identifier: ISC
# The installed tree, $BUILD/installed, as somebody else's program sees it: headers that compile
# alone, exported names, pkg-config for shared and static linking. Prints TAP lines.

set -u

root=$BUILD/installed
lib=$root/usr/lib
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

result()
{
	if [ "$1" -eq 0 ]; then
		echo "ok $2"
	else
		echo "not ok $2"
		bad=1
	fi
}

pkg()
{
	PKG_CONFIG_LIBDIR=$lib/pkgconfig:$(pkg-config --variable pc_path pkg-config) \
		PKG_CONFIG_SYSROOT_DIR='' \
		pkg-config --define-variable=prefix="$root/usr" \
		--define-variable=libdir="$lib" --define-variable=includedir="$root/usr/include" "$@"
}

# alone NAME COMPILER STANDARD SUFFIX FLAGS...: each header by itself.
alone()
{
	what=$1 compiler=$2 standard=$3 suffix=$4
	shift 4
	for h in "$root"/usr/include/smtp/*.h; do
		echo "#include <smtp/${h##*/}>" >"$work/h.$suffix"
		"$compiler" "-std=$standard" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef \
			-Wcast-qual -Werror "$@" -I"$root/usr/include" \
			-fsyntax-only "$work/h.$suffix"
		result $? "header smtp/${h##*/} alone as $what by $compiler"
	done
}

headers_alone()
{
	for compiler in gcc clang; do
		if ! command -v $compiler >/dev/null; then
			echo "ok headers alone by $compiler # SKIP it is not there"
			continue
		fi
		alone C11 "$compiler" c11 c -Wstrict-prototypes -Wold-style-definition
		alone C++17 "$compiler" c++17 cc -xc++ -Wzero-as-null-pointer-constant
	done
	alone C++11 "${CXX:-c++}" c++11 cc
}

# libsmtp.map names what the headers declare (lint sees to that); here: all of it is defined.
exported()
{
	nm -D --defined-only "$lib/libsmtp.so" | sed -n 's/.* T \([^@]*\).*/\1/p' | sort >"$work/got"
	sed -n 's/^\t\t\([a-z_0-9]*\);$/\1/p' libsmtp.map | sort >"$work/want"
	[ -s "$work/want" ] && diff "$work/want" "$work/got"
	result $? "the shared library exports what libsmtp.map names"
	nm -g --defined-only "$lib/libsmtp.a" | sed -n 's/.* T \(.*\)/\1/p' | sort >"$work/static"
	diff "$work/want" "$work/static"
	result $? "the installed archive exports the same"
	[ -z "$(comm -12 "$work/got" tests/data/libesmtp-symbols)" ]
	result $? "no name coincides with one of libESMTP"
}

# Options by their functions, both ends of a session and a server: what a program in C++ needs.
links_cpp()
{
	cat >"$work/use.cc" <<-'CPP'
		#include <smtp/smtp.h>
		#include <cstring>
		static int serves(const smtp_server_session_handler *handler)
		{
			smtp_listener_options listener;
			smtp_client_transaction txn;
			smtp_recorder_rule rule;
			smtp_server *server = nullptr;
			smtp_listener_options_init(&listener);
			smtp_client_transaction_init(&txn);
			smtp_recorder_rule_init(&rule);
			listener.address = "127.0.0.1:0";
			listener.session.hostname = "mx.example.org";
			listener.handler = handler;
			uint16_t port = 0;
			int err = smtp_server_new(&server, nullptr);
			if (!err)
				err = smtp_server_listen(server, &listener, &port);
			smtp_server_free(server);
			return !err && port != 0 && txn.size == sizeof txn && !txn.reverse_path &&
				rule.size == sizeof rule && rule.code == 0;
		}
		int main()
		{
			smtp_server_session_options options;
			smtp_server_session_handler handler = {};
			smtp_server_session *session = nullptr;
			smtp_server_session_options_init(&options);
			options.hostname = "mx.example.org";
			handler.size = sizeof handler;
			if (smtp_server_session_new(&session, &options, &handler, nullptr) != 0)
				return 1;
			bool good = smtp_server_session_start(session, 0) == 0;
			smtp_span out = smtp_server_session_output(session);
			good = good && out.n > 3 && std::memcmp(out.p, "220", 3) == 0;
			smtp_server_session_free(session);
			return good && serves(&handler) ? 0 : 1;
		}
	CPP
	# shellcheck disable=SC2046 # lists of flags
	"${CXX:-c++}" -std=c++17 -Wall -Wextra -Werror -o "$work/shared_cpp" "$work/use.cc" \
		$(pkg --cflags --libs libsmtp) && LD_LIBRARY_PATH=$lib "$work/shared_cpp"
	result $? "a program in C++ against the shared library"
	# shellcheck disable=SC2046
	"${CXX:-c++}" -std=c++17 -o "$work/static_cpp" "$work/use.cc" $(pkg --cflags libsmtp) \
		"$lib/libsmtp.a" $(pkg --static --libs libsmtp | sed 's/-lsmtp//') && "$work/static_cpp"
	result $? "a program in C++ against the static library"
	# as a build system does it: -static-libs by pkg-config alone, with the folder of the archive first
	mkdir -p "$work/archive" && cp "$lib/libsmtp.a" "$work/archive"
	# shellcheck disable=SC2046
	${CC:-cc} -o "$work/static_pc" "$work/use.c" -L"$work/archive" $(pkg --static --cflags --libs libsmtp |
		sed "s|-L$lib||") && "$work/static_pc"
	result $? "a program by pkg-config --static"
}

# The page of each header, and the names of its functions in it.
pages()
{
	for h in "$root"/usr/include/smtp/*.h; do
		name=$(basename "$h" .h)
		[ "$name" = smtp ] && page=libsmtp.3 || page=smtp_$name.3
		[ -s "$root/usr/share/man/man3/$page" ]
		result $? "page $page is installed"
	done
	{
		printf '#include <smtp/smtp.h>\n#include <stdio.h>\nvoid example(void);\nvoid example(void)\n{\n'
		sed -n '/^\.Bd -literal/,/^\.Ed/p' "$root/usr/share/man/man3/libsmtp.3" |
			sed -e '/^\./d' -e 's/\\e/\\/g'
		echo '}'
	} >"$work/example.c"
	grep -q smtp_client_connect "$work/example.c" &&
		"${CC:-cc}" -std=c11 -Wall -Wextra -Werror -I"$root/usr/include" -fsyntax-only "$work/example.c"
	result $? "the example of libsmtp(3) compiles"
}

links()
{
	if [ -n "$SAN" ]; then
		echo "ok linking against the installed tree # SKIP sanitizers are on"
		return
	fi
	cat >"$work/use.c" <<-'C'
		#include <smtp/smtp.h>
		#include <string.h>
		int main(void)
		{
			return strcmp(smtp_error_str(SMTP_EINVAL), "invalid argument") != 0;
		}
	C
	# shellcheck disable=SC2046 # lists of flags
	${CC:-cc} -o "$work/shared" "$work/use.c" $(pkg --cflags --libs libsmtp) &&
		LD_LIBRARY_PATH=$lib "$work/shared"
	result $? "a program against the shared library"
	# shellcheck disable=SC2046
	${CC:-cc} -o "$work/static" "$work/use.c" $(pkg --cflags libsmtp) "$lib/libsmtp.a" \
		$(pkg --static --libs libsmtp | sed 's/-lsmtp//') && "$work/static"
	result $? "a program against the static library"
	links_cpp
	readelf -d "$lib/libsmtp.so" | grep -q 'Library soname: \[libsmtp\.so\.0\]'
	result $? "the soname is libsmtp.so.0"
}

headers_alone
exported
pages
links
exit $bad
