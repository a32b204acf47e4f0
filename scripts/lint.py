#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The rules on layers, names and lengths, checked over the sources; part of scripts/lint.sh.

Prints file:line: rule for each breach and exits 1 if there is any. What a compiler warns of is
not repeated here. Comments and strings are blanked before code is looked at.
"""

import os
import re
import subprocess
import sys

MAX_COLUMNS = 110
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 100

BANNED = ("strcpy strcat sprintf vsprintf strtok atoi gets alloca strncpy rand localtime setjmp "
          "longjmp").split()
UNSETTLED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")

C_HEADERS = {"stdint.h", "stddef.h", "stdbool.h", "string.h", "stdlib.h", "limits.h", "inttypes.h"}
CORE_PUBLIC = {"base.h", "address.h", "envelope.h", "middleware.h", "network.h", "reply.h", "sasl.h", "message.h",
               "url.h", "vrfy.h", "server_session.h",
               "client_session.h"}
STORAGE_PUBLIC = CORE_PUBLIC | {"accounts.h", "spool.h", "maildir.h"}
DKIM_PUBLIC = CORE_PUBLIC | {"dkim.h"}
NET_PUBLIC = CORE_PUBLIC | {"server.h", "client.h", "resolver.h"}
MIDDLEWARE_PUBLIC = NET_PUBLIC | {"recorder.h"}

PROGRAMS = ("smtpd/", "smtpctl/", "smtpc/")

# Layer: folder, own folders it may include with "...", public headers <smtp/...> (None: all),
# whether <...> is bound to the C headers. The first match counts.
LAYERS = (
    ("libsmtp/core/", ("libsmtp/core/",), CORE_PUBLIC, True),
    ("libsmtp/net/", ("libsmtp/core/", "libsmtp/net/"), NET_PUBLIC, False),
    ("libsmtp/middleware/", ("libsmtp/core/", "libsmtp/net/", "libsmtp/middleware/"),
     MIDDLEWARE_PUBLIC, False),
    ("libsmtp/senderauth/", ("libsmtp/core/", "libsmtp/senderauth/"), None, True),
    ("libsmtp/include/", (), None, False),
    ("storage/", ("libsmtp/core/", "storage/", "schema_sql.h"), STORAGE_PUBLIC, False),
    ("dkim/", ("libsmtp/core/", "dkim/"), DKIM_PUBLIC, False),
    ("config/", ("libsmtp/", "config/", "cli/nearest.h"), None, False),
    ("cli/", ("libsmtp/", "cli/"), None, False),
    ("smtpd/", ("libsmtp/", "storage/", "dkim/", "config/", "smtpd/"), None, False),
    ("smtpctl/", ("libsmtp/", "storage/", "dkim/", "config/", "cli/", "smtpctl/", "smtpd/"),
     None, False),
    ("smtpc/", ("libsmtp/", "cli/", "smtpc/"), None, False),
    ("examples/", ("common.h",), None, False),
)

# Types and headers of other libraries, and the only places that may name them.
ADAPTERS = (
    (re.compile(r"\bSSL(_CTX|_SESSION)?\s*\*|<openssl/ssl\.h>"), "SSL", ("libsmtp/net/tls.c", "libsmtp/net/tls_pem.c",
     "libsmtp/net/tls_server.c", "libsmtp/net/tls_private.h")),
    (re.compile(r"\bub_(ctx|event_base)\b|<unbound(-event)?\.h>"), "libunbound",
     ("libsmtp/net/resolver.c",)),
    (re.compile(r"\bsqlite3(_\w+)?\s*\*|<sqlite3\.h>"), "SQLite", ("storage/",)),
    (re.compile(r"\bDKIM(_LIB|_SIGINFO)?\s*\*|<opendkim/"), "libopendkim", ("dkim/",)),
    (re.compile(r"\byaml_\w+_t\b|<yaml\.h>"), "libyaml", ("config/",)),
    (re.compile(r"\bidn2_\w+\(|<idn2\.h>"), "libidn2", ("libsmtp/net/idn.c",)),
)

# Tests, fuzzers and benchmarks are bound by neither layers nor lengths.
LOOSE = ("tests/", "fuzz/", "bench/")

problems = 0


def say(path, line, rule):
    global problems
    problems += 1
    print(f"{path}:{line}: {rule}")


def sources():
    try:
        out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"],
                             capture_output=True, check=True).stdout
        names = {os.fsdecode(n) for n in out.split(b"\0") if n}
    except (OSError, subprocess.CalledProcessError):
        names = set()
        for top, folders, files in os.walk("."):
            folders[:] = [f for f in folders if f not in ("build", "run", ".git", "__pycache__")]
            names |= {os.path.relpath(os.path.join(top, f), ".") for f in files}
    return sorted(n for n in names if os.path.isfile(n) and not made(n))


def made(name):
    """Is it in a build folder (BUILD=anything)? The Makefile leaves its flags there."""
    top = name.split("/", 1)[0]
    return os.path.isfile(top + "/flags")


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text):
    """Comments and the insides of strings become blanks, lines stay; #include keeps its name."""
    def spaces(match):
        start = text.rfind("\n", 0, match.start()) + 1
        if match[0][0] == '"' and text[start:match.start()].strip() == "#include":
            return match[0]
        return re.sub(r"[^\n]", " ", match[0])
    return TOKEN.sub(spaces, text)


def check_text(path, lines):
    for n, line in enumerate(lines, 1):
        if line != line.rstrip():
            say(path, n, "white space at the end of the line")
        if UNSETTLED.search(line):
            say(path, n, "unsettled matter: do it or leave it out")


def check_licence(path, lines):
    if not any("SPDX-License-Identifier: ISC" in line for line in lines[:2]):
        say(path, 1, "the first line names no licence (SPDX-License-Identifier: ISC)")


def check_lengths(path, lines):
    for n, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > MAX_COLUMNS:
            say(path, n, f"longer than {MAX_COLUMNS} columns")
    if len(lines) > MAX_FILE_LINES and not path.startswith(LOOSE):
        say(path, MAX_FILE_LINES, f"a file of {len(lines)} lines, {MAX_FILE_LINES} at most")


def check_words(path, code):
    for n, line in enumerate(code, 1):
        for word in re.findall(r"\b(" + "|".join(BANNED) + r")\s*\(", line):
            say(path, n, f"banned function {word}()")
        if re.search(r"#\s*include\s*<ctype\.h>", line):
            say(path, n, "<ctype.h> depends on the locale")
        if re.search(r"\btypedef\s+(struct|union|enum)\b", line):
            say(path, n, "typedef of a struct, union or enum")


def check_layer(path, code):
    layer = next((row for row in LAYERS if path.startswith(row[0])), None)
    if not layer:
        return
    folder, own, public, bound = layer
    for n, line in enumerate(code, 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if not match:
            continue
        quote, name = match.groups()
        if quote == '"':
            if not name.startswith(own):
                say(path, n, f'layering: {folder} may not include "{name}"')
        elif name.startswith("smtp/"):
            if public is not None and name[5:] not in public:
                say(path, n, f"layering: {folder} may not include <{name}>")
        elif bound and name not in C_HEADERS:
            say(path, n, f"layering: {folder} is without I/O, it may not include <{name}>")


def check_adapters(path, code):
    for pattern, library, places in ADAPTERS:
        if path.startswith(places):
            continue
        for n, line in enumerate(code, 1):
            if pattern.search(line):
                say(path, n, f"layering: {library} belongs in {' '.join(places)} only")


def check_functions(paths):
    """Lengths of functions, from universal-ctags, which knows where each one ends."""
    if not paths:
        return
    out = subprocess.run(["ctags", "--languages=C", "--langmap=C:.c", "--kinds-C=f", "-x", "-L-",
                          "--_xformat=%F\t%n\t%{end}\t%N"],
                         input="\n".join(paths), capture_output=True, text=True, check=True).stdout
    for row in out.splitlines():
        path, begin, end, name = row.split("\t")
        if end.isdigit() and int(end) - int(begin) + 1 > MAX_FUNCTION_LINES:
            say(path, begin, f"function {name} of {int(end) - int(begin) + 1} lines, "
                f"{MAX_FUNCTION_LINES} at most")


def check_python(path, text):
    try:
        compile(text, path, "exec")
    except SyntaxError as err:
        say(path, err.lineno or 1, f"python: {err.msg}")


def is_script(path, text):
    return path.endswith((".py", ".sh")) or text.startswith("#!")


def main():
    functions_in = []
    for path in sources():
        if path.startswith(("fuzz/corpus/", "tests/data/")):
            continue
        try:
            with open(path, encoding="utf-8", newline="") as f:
                text = f.read()
        except UnicodeDecodeError:
            continue
        lines = text.split("\n")
        if path.startswith("tests/transcripts/") and path.endswith(".txt"):
            continue
        check_text(path, lines)
        if path.endswith((".c", ".h")):
            code = blank(text).split("\n")
            check_licence(path, lines)
            check_lengths(path, lines[:-1] if lines[-1] == "" else lines)
            check_words(path, code)
            if not path.startswith(LOOSE):
                check_layer(path, code)
                check_adapters(path, code)
                if path.endswith(".c"):
                    functions_in.append(path)
        elif is_script(path, text) or os.path.basename(path) == "Makefile":
            check_licence(path, lines)
            if path.endswith(".py"):
                check_python(path, text)
    check_functions(functions_in)
    return 1 if problems else 0


sys.exit(main())
