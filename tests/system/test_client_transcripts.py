#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Golden transcripts of the client: tests/transcripts/client, played to smtpc over a socket, what the
server says in one piece and octet by octet. What they consist of: tests/transcripts/README.md."""
import glob
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import tap  # noqa: E402
from transcript import unescape  # noqa: E402

SMTPC = os.environ.get("SMTPC", "build/smtpc")
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "transcripts", "client")
WAIT = 60
folder = tempfile.TemporaryDirectory(prefix="transcripts.")


class Transcript:
    """What a file says: scheme, arguments, content, steps, status, parts of the output."""

    def __init__(self, path):
        self.scheme, self.arguments, self.content, self.status = "smtp", [], b"", None
        self.steps, self.out = [], []
        with open(path, encoding="latin-1", newline="\n") as f:
            for line in f:
                self.read_line(line.rstrip("\n"))
        assert self.status is not None, f"{path}: no exit status"

    def read_line(self, line):
        word, _, rest = line.partition(" ")
        value = unescape(rest)
        if word in ("S:", "C:", "!close"):
            self.steps.append((word[0], value))
        elif word == "send":
            self.arguments = value.split(b" ")
        elif word == "content":
            self.content = value
        elif word == "scheme":
            self.scheme = rest
        elif word == "exit":
            self.status = int(rest)
        elif word == "out":
            self.out.append(value)
        elif word and word != "#":
            raise ValueError(f"not a line of a transcript: {line}")


class Server(threading.Thread):
    """Plays the server's half to one connection."""

    def __init__(self, steps, octet_by_octet):
        super().__init__(daemon=True)
        self.steps, self.octet_by_octet = steps, octet_by_octet
        self.problem = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(WAIT)
        self.port = self.listener.getsockname()[1]

    def run(self):
        try:
            sock = self.listener.accept()[0]
            with sock, sock.makefile("rb") as lines:
                sock.settimeout(WAIT)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.play(sock, lines)
        except (OSError, AssertionError) as error:
            self.problem = str(error) or repr(error)
        finally:
            self.listener.close()

    def say(self, sock, text):
        for part in [text[i:i + 1] for i in range(len(text))] if self.octet_by_octet else [text]:
            sock.sendall(part)

    def play(self, sock, lines):
        said = b""
        for kind, value in self.steps:
            if kind == "S":
                said += value + b"\r\n"
            elif kind == "C":
                self.say(sock, said)
                said = b""
                line = lines.readline()
                assert line == value + b"\r\n", f"expected {value!r}, got {line!r}"
        self.end(sock, lines, said, closes=bool(self.steps) and self.steps[-1][0] == "!")

    def end(self, sock, lines, said, closes):
        """The last words: a client may know enough, and be gone, before it has all of them."""
        try:
            self.say(sock, said)
            rest = b"" if closes else lines.read()
        except (BrokenPipeError, ConnectionResetError):
            return
        assert rest == b"", f"the client also says {rest!r}"


def play(path, octet_by_octet):
    transcript = Transcript(path)
    server = Server(transcript.steps, octet_by_octet)
    content = os.path.join(folder.name, "content")
    with open(content, "wb") as f:
        f.write(transcript.content)
    server.start()
    done = subprocess.run([SMTPC, "send", "--server", f"{transcript.scheme}://127.0.0.1:{server.port}",
                           "--helo-name", "client.example.com", "--from", "alice@example.com",
                           "--raw", content, *transcript.arguments], capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=WAIT, check=False)
    server.join(WAIT)
    assert server.problem is None, server.problem
    assert done.returncode == transcript.status, (done.returncode, done.stdout, done.stderr)
    for part in transcript.out:
        assert part in done.stdout + done.stderr, (part, done.stdout, done.stderr)


def add_tests(names):
    files = sorted(glob.glob(os.path.join(FOLDER, "*.txt")))
    assert files, f"no transcripts at {FOLDER}"
    for path in files:
        for way in (False, True):
            name = re.sub(r"[^a-z0-9]", "_", os.path.basename(path)[:-4])
            names[f"test_{name}{'_octets' if way else ''}"] = lambda p=path, w=way: play(p, w)


if __name__ == "__main__":
    add_tests(globals())
    tap.main(globals())
