# SPDX-License-Identifier: ISC
"""A server of the library whose handler is scripted (tests/tools/transcript_server.c)."""
import os
import subprocess

SERVER = os.path.join(os.environ.get("BUILD", "build"), "tests", "transcript_server")


class Server:
    """path: a file that begins with the head of a transcript; certificate: [file, key], [file, key,
    authorities of clients] or nothing."""

    def __init__(self, path, certificate=()):
        assert os.path.exists(SERVER), f"{SERVER} is not there: make tests"
        self.process = subprocess.Popen([SERVER, path, *certificate], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1].decode())
        self.port = int(line)

    def ask(self, question):
        self.process.stdin.write(question)
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()

    def check(self, text):
        """A line of a transcript without its '?'; "ok", or what is the case."""
        return self.ask(b"check %d\n%s" % (len(text), text))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        _, errors = self.process.communicate(timeout=30)
        assert kind is not None or self.process.returncode == 0, errors.decode()
