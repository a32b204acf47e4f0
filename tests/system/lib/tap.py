# SPDX-License-Identifier: ISC
"""Runs the functions of a test program whose names begin with test_, one line of TAP each."""
import sys
import time
import traceback


class Skip(Exception):
    """Raised by a test that cannot run here; the reason is printed."""


def wait_for(what, seconds=20.0, say="waited in vain"):
    """Asks what() again and again until it is true; returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{say} for {seconds} s")
        time.sleep(0.02)


def main(names):
    """names: globals() of the program. A word on the command line picks tests by part of the name."""
    failed = 0
    picked = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, function in list(names.items()):
        if not name.startswith("test_") or picked not in name:
            continue
        begin = time.monotonic()
        try:
            function()
            print(f"ok {name} {time.monotonic() - begin:.1f} s", flush=True)
        except Skip as reason:
            print(f"ok {name} # SKIP {reason}", flush=True)
        except BaseException as error:
            failed += 1
            text = (str(error) or repr(error)).strip().splitlines()
            print(f"not ok {name} {text[0] if text else ''}", flush=True)
            traceback.print_exc()
            if isinstance(error, KeyboardInterrupt):
                break
    sys.exit(1 if failed else 0)
