#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The library's client, as smtpc, against servers that are not ours: aiosmtpd and Postfix's smtp-sink."""
import glob
import json
import os
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import tap  # noqa: E402
from scripted import make_certificate  # noqa: E402

SMTPC = os.environ.get("SMTPC", "build/smtpc")
SINK = os.path.join(os.environ.get("PEERS", "build/peers"), "bin", "smtp-sink")
AIO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "aio_server.py")
PYTHON = "/usr/bin/python3"  # which Debian's packages are for
BACKLOG = 1024               # above the sessions of any test
CONTENT = ("From: a@from.test\nTo: b@to.test\nSubject: x\n\n.\n..\n.dot\nGrüße\n" + "x" * 900 + "\nlast\n"
           ).encode()

folder = tempfile.TemporaryDirectory(prefix="interop.")
os.chmod(folder.name, 0o755)
certificates = []


def certificate():
    if not certificates:
        certificates.extend(make_certificate(folder.name, ("localhost", "127.0.0.1"), "cert"))
    return certificates


def send(url, *more, to=("b@to.test",), content=CONTENT, status=0):
    recipients = [word for address in to for word in ("--to", address)]
    done = subprocess.run([SMTPC, "send", "--server", url, "--from", "a@from.test", *recipients,
                           "--raw", "-", *more], input=content, capture_output=True, timeout=60,
                          start_new_session=True, check=False)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


class Aio:
    """aiosmtpd, each in a folder of its own."""

    def __init__(self, mode):
        if subprocess.run([PYTHON, "-c", "import aiosmtpd"], capture_output=True,
                          check=False).returncode != 0:
            raise tap.Skip("python3-aiosmtpd is not installed")
        self.folder = tempfile.mkdtemp(dir=folder.name)
        files = certificate() if mode in ("starttls", "smtps") else ()
        self.process = subprocess.Popen([PYTHON, AIO, self.folder, mode, *files],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        scheme = "smtp+starttls" if mode == "starttls" else mode
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def message(self, number):
        path = os.path.join(self.folder, str(number))
        tap.wait_for(lambda: os.path.exists(path + ".json"), say=f"no message {number}")
        with open(path + ".json", encoding="utf-8") as f:
            envelope = json.load(f)
        with open(path + ".eml", "rb") as f:
            return envelope, f.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)


def check_aio(mode, *more):
    with Aio(mode) as server:
        out, err = send(server.url, *more, to=("b@to.test", "refused@to.test", "c@to.test"), status=1)
        assert "b@to.test: accepted: 250" in out and "refused@to.test: refused: RCPT: 550" in err, \
            (out, err)
        envelope, content = server.message(1)
        assert envelope["from"] == "a@from.test" and envelope["to"] == ["b@to.test", "c@to.test"]
        assert "BODY=8BITMIME" in envelope["mail_options"], envelope
        assert envelope["tls"] == (mode == "starttls"), envelope  # of smtps it knows nothing
        assert content == CONTENT.replace(b"\n", b"\r\n"), content
        return envelope


def test_aiosmtpd():
    check_aio("smtp")


def test_aiosmtpd_starttls_and_login():
    secret = os.path.join(folder.name, "secret")
    with open(secret, "w", encoding="ascii") as f:
        f.write("s3cret\n")
    for mechanism in ("PLAIN", "LOGIN"):
        envelope = check_aio("starttls", "--ca-file", certificate()[0], "--user", "joe",
                             "--password-file", secret, "--auth", mechanism)
        assert envelope["login"], envelope


def test_aiosmtpd_smtps():
    check_aio("smtps", "--ca-file", certificate()[0])


def test_aiosmtpd_lmtp():
    with Aio("lmtp") as server:
        send(server.url)
        assert server.message(1)[1] == CONTENT.replace(b"\n", b"\r\n")


def test_aiosmtpd_utf8():
    with Aio("smtp") as server:
        send(server.url, to=("jörg@to.test",))
        envelope, _ = server.message(1)
        assert envelope["smtputf8"] and envelope["to"] == ["jörg@to.test"], envelope


class Sink:
    """smtp-sink, which writes what it gets into a folder."""

    def __init__(self, *options, path=None):
        if not os.access(SINK, os.X_OK):
            raise tap.Skip("smtp-sink is not there (scripts/peers.sh postfix)")
        self.folder = tempfile.mkdtemp(dir=folder.name)
        os.chmod(self.folder, 0o777)
        self.path = path and os.path.join(self.folder, path)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        where = f"unix:{self.path}" if path else f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen([SINK, *user, *options, "-d", os.path.join(self.folder, "m."),
                                         where, str(BACKLOG)], stderr=subprocess.DEVNULL)
        tap.wait_for(self.is_listening, say="smtp-sink does not start")

    def is_listening(self):
        with socket.socket(socket.AF_UNIX if self.path else socket.AF_INET) as s:
            return s.connect_ex(self.path or ("127.0.0.1", self.port)) == 0

    def messages(self, count):
        tap.wait_for(lambda: len(glob.glob(os.path.join(self.folder, "m.*"))) >= count)
        found = []
        for name in sorted(glob.glob(os.path.join(self.folder, "m.*"))):
            with open(name, "rb") as f:
                found.append(f.read())
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


def check_sink(options, *expected):
    with Sink(*options) as sink:
        send(f"smtp://127.0.0.1:{sink.port}", "--notify", "failure", to=("b@to.test", "c@to.test"))
        message = sink.messages(1)[0].decode()
        for part in ("X-Rcpt-Args: <b@to.test>", "X-Rcpt-Args: <c@to.test>", *expected):
            assert part in message, (part, message)
        assert message.rstrip("\n").endswith(CONTENT.decode().rstrip("\n")), message


def test_sink():
    check_sink((), "X-Mail-Args: <a@from.test> BODY=8BITMIME", "NOTIFY=FAILURE", "X-Client-Proto: ESMTP")


def test_sink_without_esmtp():
    check_sink(("-e",), "X-Mail-Args: <a@from.test>\n", "X-Client-Proto: SMTP")


def test_sink_without_pipelining():
    check_sink(("-p",), "X-Client-Proto: ESMTP")


def test_sink_lmtp():
    with Sink("-L", path="sock") as sink:
        out, _ = send("lmtp+unix:" + sink.path, to=("b@to.test", "c@to.test", "d@to.test"))
        assert out.count(": accepted: 250 2.2.0") == 3, out
        assert "X-Client-Proto: LMTP" in sink.messages(1)[0].decode()


def test_sink_refuses():
    for option, command, status in (("-f", "rcpt", 1), ("-q", "rcpt", 75), ("-r", "data", 75),
                                    ("-f", ".", 1), ("-r", "mail", 75)):
        with Sink(option, command) as sink:
            out, err = send(f"smtp://127.0.0.1:{sink.port}", status=status)
            assert "refused" in err and not out, (option, command, out, err)


def test_sink_large_messages():
    large = b"Subject: x\n\n" + (b"y" * 70 + b"\n") * 40000
    with Sink() as sink:
        senders = [subprocess.Popen([SMTPC, "send", "--server", f"smtp://127.0.0.1:{sink.port}", "--from",
                                     "<>", "--to", "b@to.test", "--raw", "-"], stdin=subprocess.PIPE,
                                    stdout=subprocess.DEVNULL) for _ in range(8)]
        for sender in senders:
            sender.communicate(large, timeout=60)
        assert [s.returncode for s in senders] == [0] * 8, senders
        for message in sink.messages(8):
            assert message.count(b"y" * 70 + b"\n") == 40000


if __name__ == "__main__":
    tap.main(globals())
