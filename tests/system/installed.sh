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

headers_alone()
{
	for h in "$root"/usr/include/smtp/*.h; do
		name=smtp/${h##*/}
		echo "#include <$name>" >"$work/h.c"
		cp "$work/h.c" "$work/h.cc"
		${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef \
			-Wstrict-prototypes -Werror -I"$root/usr/include" -fsyntax-only "$work/h.c"
		result $? "header $name alone as C11"
		${CXX:-c++} -std=c++11 -Wall -Wextra -Wpedantic -Wconversion -Wundef -Werror \
			-I"$root/usr/include" -fsyntax-only "$work/h.cc"
		result $? "header $name alone as C++11"
	done
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
	readelf -d "$lib/libsmtp.so" | grep -q 'Library soname: \[libsmtp\.so\.0\]'
	result $? "the soname is libsmtp.so.0"
}

headers_alone
exported
links
exit $bad
