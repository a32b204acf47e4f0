# SPDX-License-Identifier: ISC
"""Reads golden transcripts (tests/transcripts/README.md) and plays their client half over a socket."""
import glob
import os
import re
import socket
import ssl

from tap import wait_for

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "transcripts")
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
WAIT = 20


def all_files():
    return sorted(glob.glob(os.path.join(FOLDER, "*.txt")))


def unescape(text):
    return re.sub(rb"\\(x[0-9a-fA-F]{2}|.)",
                  lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x" else ESCAPES[m[1].decode()],
                  text.encode("latin-1"))


def with_times(rest):
    """("text", N) of "*N text" or " text"."""
    times = re.match(r"\*(\d+)(?: |$)", rest)
    if times:
        return rest[times.end():], int(times[1])
    return rest[1:] if rest.startswith(" ") else rest, 1


class Transcript:
    """head: its lines; steps: (line number, kind, value, times)."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)[:-4]
        self.head, self.steps = [], []
        with open(path, encoding="latin-1", newline="\n") as f:
            for number, line in enumerate(f, 1):
                line = line.rstrip("\n")
                if line and not line.startswith("#"):
                    self.read_line(number, line)

    def read_line(self, number, line):
        kind = line[:2] if line[:2] in ("C:", "C-", "S:", "S+") else line[0]
        if kind not in ("C:", "C-", "S:", "S+", "@", "!", "?"):
            self.head.append(line)
            return
        value, times = with_times(line[len(kind):])
        if kind[0] == "C":
            value = (unescape(value) + (b"\r\n" if kind == "C:" else b"")) * times
            kind, times = "C", 1
            if self.steps and self.steps[-1][1] == "C":  # adjacent lines are one write
                number, _, before, _ = self.steps.pop()
                value = before + value
        elif kind[0] in "S?":
            value = unescape(value)
        self.steps.append((number, kind, value, times))

    def jumps_in_time(self):
        return any(kind == "@" for _, kind, _, _ in self.steps)

    def has(self, line):
        return line in self.head

    def uses_tls(self):
        return self.has("option offer_starttls true") or self.has("option tls_active true")


class Player:
    """One run. piece: octets of one write, 0 for all at once. cut: octets of the client after which one
    write ends and the next waits until the server has seen it. check(text): asked about lines with
    '?' that a socket doesn't show."""

    def __init__(self, transcript, port, piece=0, check=None, context=None, cut=0):
        self.transcript, self.piece, self.check, self.context = transcript, piece, check, context
        self.cut = cut
        self.sock = socket.create_connection(("127.0.0.1", port), WAIT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if transcript.has("option tls_active true"):
            self.start_tls()
        self.buffer = b""
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.sock.close()

    def play(self):
        for number, kind, value, times in self.transcript.steps:
            try:
                if kind[0] != "S":
                    assert self.buffer == b"", f"not expected: {self.buffer!r}"
                self.step(kind, value, times)
            except AssertionError as e:
                raise AssertionError(f"{self.transcript.name}:{number}: {e}") from None
        assert self.buffer == b"", f"not expected at the end: {self.buffer!r}"

    def step(self, kind, value, times):
        if kind == "C":
            self.send(value)
        elif kind == "S:":
            for _ in range(times):
                self.expect(value)
        elif kind == "S+":
            while self.expect(value + b"...")[3:4] == b"-":
                pass
        elif kind == "?":
            self.look(value)
        elif value == "close":
            self.sock.shutdown(socket.SHUT_WR)
        elif value == "tls":
            self.start_tls()
        else:
            raise AssertionError(f"can't be played: {kind}{value}")

    def start_tls(self):
        self.sock = self.context.wrap_socket(self.sock, server_hostname="localhost")

    def send(self, octets):
        if 0 < self.cut < len(octets):
            self.write(octets[:self.cut])
            self.check(b"open")  # an answer of the loop that reads
            octets = octets[self.cut:]
            self.cut = 0
        self.cut -= len(octets)
        self.write(octets)

    def write(self, octets):
        size = self.piece or len(octets)
        try:
            for at in range(0, len(octets), size):
                self.sock.sendall(octets[at:at + size])
        except ConnectionError:  # it closed before it had all; what it said is still to be read
            pass

    def receive(self):
        try:
            part = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError):
            part = b""
        except socket.timeout:
            raise AssertionError(f"nothing for {WAIT} s") from None
        self.ended = part == b""
        self.buffer += part

    def expect(self, pattern):
        while b"\r\n" not in self.buffer:
            assert not self.ended, f"expected {pattern!r}, it closed"
            try:
                self.receive()
            except AssertionError as e:
                raise AssertionError(f"expected {pattern!r}: {e}") from None
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        same = line.startswith(pattern[:-3]) if pattern.endswith(b"...") else line == pattern
        assert same, f"expected {pattern!r}, got {line!r}"
        return line

    def look(self, value):
        if value == b"closed":
            while not self.ended:
                self.receive()
                assert self.buffer == b"", f"not expected: {self.buffer!r}"
        elif self.check:
            text = value.decode("latin-1")
            wait_for(lambda: self.check(value) == "ok", 5, f"?{text}: {self.check(value)}")
