#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Checks tests/reference-coverage.tsv, where each id has to stand once, and docs/PROTOCOL.md: each code
file, test and page that they name is there. Part of scripts/lint.sh; prints file:line: what is wrong."""

import re
import sys

TABLE = "tests/reference-coverage.tsv"
PROTOCOL = "docs/PROTOCOL.md"
CODE = ("storage/", "dkim/", "smtpd/")  # folders at the top; the rest is in libsmtp/
LISTS = {"M": 119, "F": 55, "C": 226, "S": 88}  # ids of each: 1 to so many

problems = 0


def say(path, line, what):
    global problems
    problems += 1
    print(f"{path}:{line}: {what}")


def is_there(place):
    """What is wrong with a place, PATH or PATH:NAME; None if it is there."""
    path, _, name = place.partition(":")
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError as e:
        return f"{path}: {e.strerror}"
    if name and not re.search(r"\b" + re.escape(name) + r"\b", text):
        return f"{path} has no {name}"
    if path.startswith("tests/unit/test_") and not name:
        return f"{path}: which test?"
    return None


def place_of(test):
    """The PATH or PATH:NAME of a test as PROTOCOL.md names it."""
    program, _, name = test.partition(":")
    if not name:
        return f"tests/transcripts/{test}.txt"
    if program.startswith("system/"):
        return f"tests/system/test_{program[7:]}.py:{name}"
    return f"tests/unit/test_{program}.c:{name}"


def check_protocol():
    with open(PROTOCOL, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            cells = line.strip().strip("|").split(" | ")
            if not line.startswith("|") or line.startswith("|---") or "code" in cells:
                continue
            if len(cells) != 4:
                say(PROTOCOL, n, "not four columns")
                continue
            code, tests = (re.findall(r"`([^`]+)`", cell) for cell in cells[2:])
            if not code or not tests:
                say(PROTOCOL, n, "no code or no test")
            places = [c if c.startswith(CODE) else "libsmtp/" + c for c in code]
            for place in places + [place_of(t) for t in tests]:
                problem = is_there(place)
                if problem:
                    say(PROTOCOL, n, problem)


def check_table():
    wanted = [f"{letter}-{n:03}" for letter, count in LISTS.items() for n in range(1, count + 1)]
    seen = set()
    with open(TABLE, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            if line.startswith("#"):
                continue
            fields = line.rstrip("\n").split("\t")
            if len(fields) not in (2, 3) or not all(fields):
                say(TABLE, n, "not an id, a place and perhaps a word, with tabs between")
                continue
            if fields[0] in seen:
                say(TABLE, n, f"{fields[0]} is here twice")
            if fields[0] not in wanted:
                say(TABLE, n, f"{fields[0]} is no id")
            seen.add(fields[0])
            problem = is_there(fields[1])
            if problem:
                say(TABLE, n, problem)
    missing = [i for i in wanted if i not in seen]
    if missing:
        say(TABLE, 0, f"{len(missing)} ids are not here: {' '.join(missing)}")


check_table()
check_protocol()
sys.exit(1 if problems else 0)
