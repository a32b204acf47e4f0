#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Makes the manual page of each public header from the header itself, in mdoc: man.py FOLDER VERSION.
man.py --check makes them aside: every declaration has words of its own, every exported symbol and
every field of a struct is in a page, and mandoc finds nothing; part of scripts/lint.sh."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HEADERS = "libsmtp/include/smtp/*.h"
DATE = "November 20, 2026"
WIDTH = 72

problems = 0


def say(path, line, what):
    global problems
    problems += 1
    print(f"{path}:{line}: {what}")


# ---- reading a header ----

TOKEN = re.compile(r"(?P<comment>/\*.*?\*/)|(?P<cpp>^[ \t]*#(?:[^\n]*\\\n)*[^\n]*)|(?P<blank>\n[ \t]*(?=\n))"
                   r"|(?P<extern>extern \"C\" \{)|(?P<close>^\})|(?P<code>[^\s])", re.S | re.M)


def words(comment):
    """The text of a comment, line by line without its stars."""
    lines = comment.strip()[2:-2].lstrip("*").split("\n")
    return [re.sub(r"^\s*\*? ?", "", line, count=1) if n else line.strip()
            for n, line in enumerate(lines)]


def end_of(text, at):
    """Where a declaration that begins at `at` ends: behind its ';'."""
    depth = 0
    while at < len(text):
        if text.startswith("/*", at):
            at = text.index("*/", at) + 2
            continue
        depth += {"{": 1, "}": -1, "(": 1, ")": -1}.get(text[at], 0)
        at += 1
        if text[at - 1] == ";" and depth == 0:
            return at
    raise ValueError("a declaration without an end")


class Item:
    """kind: function, struct, enum, macro; doc: lines; parts: (name, code, doc) of fields, constants."""

    def __init__(self, kind, name, code, doc, line):
        self.kind, self.name, self.code, self.doc, self.line = kind, name, code, doc, line
        self.parts = []


def squeeze(code):
    code = re.sub(r"/\*.*?\*/", " ", code, flags=re.S)
    return re.sub(r"\s+", " ", code).replace(" *(", " (*").strip()


def parts_of(body, end):
    """(name, code, doc) of what is between the braces; `end` is what divides: ; or , """
    at, found, before = 0, [], []
    while True:
        match = re.compile(r"\s*").match(body, at)
        at = match.end()
        if at >= len(body):
            return found
        if body.startswith("/*", at):
            stop = body.index("*/", at) + 2
            before = words(body[at:stop])
            at = stop
            continue
        stop, depth = at, 0
        while stop < len(body) and not (depth == 0 and body[stop] == end):
            if body.startswith("/*", stop):
                if end == "," and depth == 0:
                    break  # the last constant, without a comma
                stop = body.index("*/", stop) + 2
                continue
            depth += {"(": 1, ")": -1, "{": 1, "}": -1}.get(body[stop], 0)
            stop += 1
        code = squeeze(body[at:stop])
        at = stop + (stop < len(body) and body[stop] == end)
        doc, before = before, []
        behind = re.compile(r"[ \t]*/\*.*?\*/", re.S).match(body, at)
        if behind:
            doc = words(behind[0].strip())
            at = behind.end()
        name = re.search(r"\(\*(\w+)\)", code) or \
            (re.match(r"(\w+)", code) if end == "," else re.search(r"(\w+)(?:\[[^\]]*\])?$", code))
        found.append((name[1], code, doc))


def declaration(code, doc, line):
    flat = squeeze(code)
    struct = re.match(r"(struct|enum)(?: (\w+))? \{", flat)
    if struct:
        kind, name = struct[1], struct[2] or ""
        item = Item(kind, name, f"{kind} {name}".strip(), doc, line)
        item.parts = parts_of(code[code.index("{") + 1:code.rindex("}")], ";" if kind == "struct" else ",")
        return item
    if re.match(r"struct \w+;$", flat):
        return Item("opaque", flat[7:-1], flat, doc, line)
    match = re.match(r"SMTP_API (?:SMTP_MUST_USE )?(.*?)(\w+)\((.*)\);$", flat)
    if match:
        item = Item("function", match[2], match[1].strip(), doc, line)
        item.parts = split_arguments(match[3])
        return item
    if flat.startswith("static inline"):
        match = re.match(r"static inline (.*?)(\w+)\((.*?)\) ?\{", flat)
        item = Item("function", match[2], match[1].strip(), doc, line)
        item.parts = split_arguments(match[3])
        return item
    return None


def split_arguments(text):
    out, depth, last = [], 0, ""
    for c in text:
        depth += {"(": 1, ")": -1}.get(c, 0)
        if c == "," and depth == 0:
            out.append(last.strip())
            last = ""
        else:
            last += c
    return out + [last.strip()]


def expand(parts, rows):
    """The constants of an X-macro in the place of its call."""
    out = []
    for name, code, doc in parts:
        out += rows[name] if name in rows else [(name, code, doc)]
    return out


def read_header(path):
    """(lines of the comment at the head, items)"""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    head, items, rows, shared, group, at = None, [], {}, None, None, 0
    while True:
        match = TOKEN.search(text, at)
        if not match:
            return head, items
        line = text.count("\n", 0, match.start()) + 1
        at = match.end()
        if match["blank"] is not None:
            shared = None
        elif match["comment"]:
            if "SPDX-License" in match[0]:
                continue
            if head is None:
                head = words(match[0])
            elif match[0].startswith("/**"):
                shared = group = words(match[0])
            else:
                group = words(match[0])
        elif match["cpp"]:
            macro = re.match(r"\s*#\s*define (SMTP_\w+)(?=[( ])", match[0])
            found = re.findall(r'X\((\w+), (-?\d+), "([^"]*)"\)', match[0])
            if macro and found:
                rows[macro[1]] = [("SMTP_" + n, f"SMTP_{n} = {value}", [t]) for n, value, t in found]
            elif macro and macro[1].endswith("_INIT"):
                items.append(Item("macro", macro[1], macro[1], shared or ["The defaults."], line))
        elif match["code"]:
            at = end_of(text, match.start())
            code = text[match.start():at]
            function = "(" in code and not code.startswith(("struct", "enum"))
            item = declaration(code, shared or (group if function else None) or [], line)
            if item is None:
                say(path, line, f"man.py does not understand: {squeeze(code)[:60]}")
            else:
                behind = re.compile(r"[ \t]*/\*(.*?)\*/", re.S).match(text, at)
                if behind and not item.doc:
                    item.doc = words(behind[0].strip())
                    at = behind.end()
                item.parts = expand(item.parts, rows) if item.kind == "enum" else item.parts
                items.append(item)


# ---- writing a page ----

def escape(text):
    text = text.replace("\\", "\\e")
    text = re.sub(r"`([^`]+)`", r"\\fB\1\\fP", text)
    text = re.sub(r"\b(\w+)\(\)", r"\\fB\1\\fP()", text)
    text = text.replace(" - ", " \\(en ").replace('"', "\\(dq")
    return "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)


def prose(lines):
    """Text lines of mdoc: a sentence begins a line, no line is long, none looks like a request."""
    out, paragraph = [], []

    def flush():
        for sentence in re.split(r"(?<=[.!?:;])\s+|(?<=[.!?]\))\s+", " ".join(paragraph)):
            row = ""
            for word in sentence.split():
                if row and len(row) + len(word) > WIDTH:
                    out.append(row)
                    row = ""
                row += (" " if row else "") + word
            if row:
                out.append(row)
        paragraph.clear()
    for line in lines:
        label = re.match(r"@(\w+)\s+(.*)", line)
        if label and len(re.findall(r"@\w+", line)) == 1:
            flush()
            out.append(".Pp")
            line = f"`{label[1]}`: {label[2]}"
        elif not line.strip():
            flush()
            if out and out[-1] != ".Pp":
                out.append(".Pp")
            continue
        paragraph.append(escape(re.sub(r"@(\w+)", r"`\1`", line)).strip())
    flush()
    while out and out[-1] == ".Pp":
        out.pop()
    while out and out[0] == ".Pp":
        out.pop(0)
    return [("\\&" + row if row[0] in ".'" and not row.startswith(".Pp") else row) for row in out]


def quoted(argument):
    return '"' + argument.replace('"', "") + '"'


def tagged(rows):
    """rows: (request, lines)"""
    out = [".Bl -tag -width Ds"]
    for request, lines in rows:
        out += [request, *prose(lines)]
    return out + [".El"]


def synopsis(items):
    out = []
    for item in items:
        if item.kind == "function":
            out += [f".Ft {item.code}", f".Fo {item.name}", *(f".Fa {quoted(a)}" for a in item.parts),
                    ".Fc"]
        elif item.kind == "opaque":
            out.append(f".Vt struct {item.name} ;")
    return out


def types(items):
    out = []
    for item in items:
        if item.kind in ("struct", "enum") and item.parts:
            out += [f".Ss {item.code}" if item.name else ".Ss Constants", *prose(item.doc)]
            macro = "Va" if item.kind == "struct" else "Dv"
            out += tagged([(f".It {macro} {quoted(code)}", doc) for _, code, doc in item.parts])
    macros = [(f".It Dv {i.name}", i.doc) for i in items if i.kind == "macro"]
    return out + ([".Ss Macros", *tagged(macros)] if macros else [])


def functions(items):
    """Those that share their words stand together."""
    out, last = [], None
    rows = [i for i in items if i.kind == "function"]
    if not rows:
        return []
    out = [".Ss Functions", ".Bl -tag -width Ds"]
    for n, item in enumerate(rows):
        more = n + 1 < len(rows) and rows[n + 1].doc is item.doc and item.doc
        out.append(f".It Fn {item.name}")
        if not more:
            out += prose(item.doc)
        last = item
    return out + [".El"] if last else []


def page_name(path):
    return "smtp_" + os.path.basename(path)[:-2]


def page(path, head, items, version):
    """The page of a header; the names of its functions lead to it."""
    title, first = page_name(path), " ".join(head)
    about = re.split(r"\.\s|: ", first.split(" - ", 1)[1], maxsplit=1)[0].rstrip(".")
    names = [title] + sorted({i.name for i in items if i.kind == "function"} - {title})
    body = [re.sub(r"^\S+ - (.)", lambda m: m[1].upper(), head[0]), *head[1:]]
    rows = []
    for line in body:  # "Threads: ..." begins a paragraph
        if re.match(r"[A-Z][a-z]+: ", line):
            rows.append("")
        rows.append(line)
    out = [".\\\" SPDX-License-Identifier: ISC", f".\\\" made from {path}", f".Dd {DATE}",
           f".Dt {title.upper()} 3", ".Os", ".Sh NAME"]
    out += [f".Nm {name} ," for name in names[:-1]] + [f".Nm {names[-1]}"]
    out += [f".Nd {escape(about)}", ".Sh LIBRARY", f"libsmtp {version}, -lsmtp", ".Sh SYNOPSIS",
            f".In smtp/{os.path.basename(path)}", *synopsis(items), ".Sh DESCRIPTION", *prose(rows),
            *types(items), *functions(items), ".Sh SEE ALSO", ".Xr libsmtp 3"]
    return "\n".join(out) + "\n"


def write_pages(folder, version):
    """Returns the headers with their items."""
    headers = []
    for path in sorted(glob.glob(HEADERS)):
        head, items = read_header(path)
        headers.append((path, items))
        if items:
            with open(os.path.join(folder, page_name(path) + ".3"), "w", encoding="utf-8") as f:
                f.write(page(path, head, items, version))
    return headers


# ---- checks ----

def check_words(headers):
    for path, items in headers:
        for item in items:
            if item.kind == "function" and not item.doc and "_init" not in item.name and \
                    not item.name.endswith(("_free", "_release")):
                say(path, item.line, f"{item.name} has no words")


def check_symbols(folder):
    pages = {}
    for path in sorted(glob.glob(folder + "/*.3")):
        with open(path, encoding="utf-8") as f:
            pages[path] = f.read()
    with open("libsmtp.map", encoding="ascii") as f:
        for n, line in enumerate(f, 1):
            match = re.match(r"\t\t(\w+);", line)
            if match and not any(f".Fo {match[1]}\n" in text for text in pages.values()):
                say("libsmtp.map", n, f"{match[1]} is in no manual page")
    with open("man/libsmtp.3", encoding="utf-8") as f:
        overview = f.read()
    for path in pages:
        name = os.path.basename(path)[:-2]
        if f"Xr {name} 3\n" not in overview:
            say("man/libsmtp.3", 1, f"{name} is not in the overview")


def check_mandoc(folder):
    if not shutil.which("mandoc"):
        sys.exit("man.py: there is no mandoc to check the pages with")
    pages = sorted(glob.glob(folder + "/*.3")) + sorted(glob.glob("man/*.[1-8]"))
    out = subprocess.run(["mandoc", "-T", "lint", "-W", "style", *pages], capture_output=True, text=True,
                         check=False)
    for line in (out.stdout + out.stderr).splitlines():
        if "referenced manual not found" not in line:  # those of this library, before it is installed
            say(line.replace("mandoc: ", ""), "", "mandoc")


def main():
    if sys.argv[1:] == ["--check"]:
        with tempfile.TemporaryDirectory() as folder:
            headers = write_pages(folder, "")
            check_words(headers)
            check_symbols(folder)
            check_mandoc(folder)
    elif len(sys.argv) == 3:
        os.makedirs(sys.argv[1], exist_ok=True)
        write_pages(*sys.argv[1:])
    else:
        sys.exit("man.py FOLDER VERSION | --check")
    return 1 if problems else 0


sys.exit(main())
