#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The programs in examples/: each does what it says, and what README shows of them stands in them."""
import contextlib
import os
import re
import resource
import select
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import tap  # noqa: E402
from scripted import ScriptedServer, make_certificate  # noqa: E402

BUILD = os.environ.get("BUILD", "build")
PATIENCE = 60  # seconds; nothing here takes that long unless something is wrong
MAIL = b"Subject: one\r\n\r\n.dot\r\n..two\r\nlast\r\n"


class Example:
    """A running example. `first` is the first line it printed, `port` the number in it."""

    def __init__(self, name, *arguments, first=True):
        self.output = b""
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([os.path.join(BUILD, "examples", name), *map(str, arguments)],
                                        stdout=subprocess.PIPE, stderr=self.errors)
        self.first = self.wait_output(b"\n").decode() if first else ""
        number = re.search(r"(?:port |:)(\d+)", self.first)
        self.port = int(number.group(1)) if number else 0

    def wait_output(self, what):
        end = time.monotonic() + PATIENCE
        while what not in self.output:
            left = end - time.monotonic()
            ready = select.select([self.process.stdout], [], [], max(left, 0))[0]
            part = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not part:
                raise AssertionError(f"no {what!r} in {self.output!r}, {self.error_text()!r}")
            self.output += part
        return self.output

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))

    def stop(self):
        """Ends it as a user would; the exit status must be 0."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, (self.process.returncode, self.error_text())
        return self.output + rest

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def client_of(port):
    return smtplib.SMTP("127.0.0.1", port, local_hostname="client.test", timeout=PATIENCE)


def sends(port, *to, content=MAIL, sender="a@from.test"):
    with client_of(port) as client:
        return client.sendmail(sender, list(to), content)


def refusal(function, *arguments, **more):
    """The code and text with which it is refused."""
    try:
        function(*arguments, **more)
    except smtplib.SMTPRecipientsRefused as error:
        return list(error.recipients.values())[0]
    except smtplib.SMTPResponseException as error:
        return error.smtp_code, error.smtp_error
    raise AssertionError("it was taken")


# --- server and client ---

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def can_connect(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_server_and_client():
    port = free_port()
    with Example("server", f"127.0.0.1:{port}", first=False) as server:
        def taken():
            done = subprocess.run([os.path.join(BUILD, "examples", "client"), f"smtp://127.0.0.1:{port}",
                                   "a@from.test", "b@to.test"], input=MAIL, capture_output=True,
                                  timeout=PATIENCE, check=False)
            return done.returncode == 0 and done.stdout
        assert tap.wait_for(taken, PATIENCE).startswith(b"250 ")
        server.process.send_signal(signal.SIGTERM)
        out = server.process.communicate(timeout=PATIENCE)[0]
        assert out == b"" or b"--- 127.0.0.1 sends to b@to.test" in out, out


def test_readme_shows_what_is_there():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    with open(os.path.join(here, "README.md"), encoding="utf-8") as f:
        pieces = re.findall(r"```c\n(.*?)```", f.read(), re.S)
    programs = ""
    for name in ("server.c", "client.c"):
        with open(os.path.join(here, "examples", name), encoding="utf-8") as f:
            programs += f.read()
    assert len(pieces) >= 2, pieces
    for piece in pieces:
        assert piece in programs, f"README shows what is in no example: {piece}"


# --- recorder ---

def test_recorder_prints():
    with Example("recorder", "-a", "127.0.0.1:0", "-n", "rec.test") as recorder:
        with client_of(recorder.port) as client:
            assert client.ehlo()[1].startswith(b"rec.test"), client.ehlo_resp
            client.login("alice", "s3cret-word")
            client.sendmail("a@from.test", ["b@to.test", "c@to.test"], MAIL)
        out = recorder.wait_output(b"=== end of 1\n")
        for part in (b"=== 1: from <a@from.test> by 127.0.0.1, ESMTPA as alice, client.test",
                     b"--- rcpt TO:<b@to.test>\n--- rcpt TO:<c@to.test>\n" + MAIL):
            assert part in out, out
        out = recorder.stop()
        assert b"s3cret" not in out + recorder.error_text().encode(), out


def test_recorder_with_tls():
    for mode in ("starttls", "tls"):
        with Example("recorder", "-a", "127.0.0.1:0", "-t", mode) as recorder:
            context = ssl.create_default_context(cafile=recorder.first.split()[1])
            client = client_of(recorder.port) if mode == "starttls" else \
                smtplib.SMTP_SSL("127.0.0.1", recorder.port, context=context, timeout=PATIENCE)
            with client:
                if mode == "starttls":
                    client.starttls(context=context)
                client.sendmail("a@from.test", ["b@to.test"], MAIL)
            recorder.wait_output(b"=== end of 1\n")
            recorder.stop()
            assert not os.path.exists(recorder.first.split()[1]), "the certificate is left"


# --- lmtp ---

def maildirs(folder, *names):
    for name in names:
        os.mkdir(os.path.join(folder, name))


def mails_of(folder, name):
    new = os.path.join(folder, name, "new")
    mails = []
    for entry in sorted(os.listdir(new) if os.path.isdir(new) else []):
        with open(os.path.join(new, entry), "rb") as f:
            mails.append(f.read())
    return mails


def test_lmtp_delivers():
    with tempfile.TemporaryDirectory(prefix="lmtp.") as folder:
        maildirs(folder, "ann", "bob", "eve")
        with open(os.path.join(folder, "eve", "new"), "w", encoding="ascii"):
            pass  # a file in the way: what is for eve can't be delivered
        with Example("lmtp", "-a", "127.0.0.1:0", folder) as server:
            with smtplib.LMTP("127.0.0.1", server.port, local_hostname="client.test") as client:
                client.ehlo_or_helo_if_needed()
                client.mail("a@from.test")
                codes = [client.rcpt(f"{name}@to.test")[0]
                         for name in ("ann", "nobody", "eve", "bob", "../ann", '"."', '".."', '"ann/new"')]
                assert codes == [250, 550, 250, 250] + codes[4:], codes
                assert all(code >= 500 for code in codes[4:]), codes
                assert client.docmd("DATA")[0] == 354
                client.send(b"Subject: one\r\n\r\n..dot\r\n.\r\n")
                assert [client.getreply()[0] for _ in range(3)] == [250, 451, 250]
                for _ in range(2):
                    client.mail("")
                    client.rcpt("bob@to.test")
                    assert client.data(b"x\r\n")[0] == 250
            assert mails_of(folder, "ann") == [b"Return-Path: <a@from.test>\nSubject: one\n\n.dot\n"]
            assert len(mails_of(folder, "bob")) == 3
            assert mails_of(folder, "bob").count(b"Return-Path: <>\nx\n") == 2
            server.stop()


# --- gateway ---

folder_of_files = tempfile.TemporaryDirectory(prefix="gateway.")


def password_file():
    path = os.path.join(folder_of_files.name, "password")
    with open(path, "w", encoding="ascii") as f:
        f.write("s3cret-word\n")
    return path


@contextlib.contextmanager
def gateway(upstream, *more, domain="to.test"):
    with Example("gateway", "--listen", "127.0.0.1:0", "--hostname", "gw.test", "--upstream",
                 f"smtp://127.0.0.1:{upstream.port}", "--domain", domain, "--per-minute", 6000,
                 *more) as example:
        yield example


def test_gateway_passes_on():
    with ScriptedServer() as upstream, gateway(upstream) as g:
        sends(g.port, "b@to.test", "c@to.test")
        message = upstream.wait_messages(1)[0]
        assert (message.sender, message.recipients) == ("a@from.test", ["b@to.test", "c@to.test"])
        field, content = message.content.split(b"Subject:", 1)
        assert b"Subject:" + content == MAIL, message.content
        assert field.startswith(b"Received: from client.test ([127.0.0.1])\r\n\tby gw.test with ESMTP id ")
        g.stop()


def test_gateway_logs_in():
    certificate, key = make_certificate(folder_of_files.name, ("127.0.0.1",), "upstream", days=1)
    users = {"alice": "s3cret-word"}
    with ScriptedServer(certificate=certificate, key=key, users=users) as upstream:
        with Example("gateway", "--listen", "127.0.0.1:0", "--domain", "to.test", "--upstream",
                     f"smtp+starttls://127.0.0.1:{upstream.port}", "--ca-file", certificate,
                     "--user", "alice", "--password-file", password_file()) as g:
            sends(g.port, "b@to.test")
            message = upstream.wait_messages(1)[0]
            assert message.user == "alice" and message.tls
            out = g.stop()
            assert b"s3cret" not in out + g.error_text().encode()


def test_gateway_asks_for_each_recipient():
    replies = {"RCPT bad@to.test": "550 5.1.1 nobody", "RCPT slow@to.test": "450 4.2.0 later"}
    with ScriptedServer(replies=replies) as upstream, gateway(upstream) as g:
        refused = sends(g.port, "b@to.test", "bad@to.test", "slow@to.test", "x@other.test", "c@to.test")
        assert {a: r[0] for a, r in refused.items()} == \
            {"bad@to.test": 550, "slow@to.test": 450, "x@other.test": 550}, refused
        assert b"5.1.1" in refused["bad@to.test"][1] and b"5.7.1" in refused["x@other.test"][1]
        assert upstream.wait_messages(1)[0].recipients == ["b@to.test", "c@to.test"]
        assert not any("x@other.test" in line for line in upstream.commands())


def test_gateway_forgets_nobody():
    """Who is taken when asked for and refused in the transaction itself is not told that all is well."""
    replies = {"RCPT": ["250 ok", "250 ok", "250 ok", "550 5.1.1 moved away"]}
    with ScriptedServer(replies=replies) as upstream, gateway(upstream) as g:
        assert refusal(sends, g.port, "b@to.test", "c@to.test")[0] == 550
        assert upstream.wait_messages(1)[0].recipients == ["b@to.test"]


def test_gateway_checks_first():
    with ScriptedServer() as upstream:
        with Example("gateway", "--listen", "127.0.0.1:0", "--domain", "to.test", "--per-minute", 1,
                     "--upstream", f"smtp://127.0.0.1:{upstream.port}") as g:
            with client_of(g.port) as client:
                client.ehlo()
                codes = []
                for _ in range(21):
                    codes.append(client.mail("a@from.test")[0])
                    client.rset()
            assert codes == [250] * 20 + [450], codes


REFUSED = [
    ("MAIL", "553 5.1.8 no such sender", 553),
    ("DATA", "554 5.7.1 not today", 554),
    ("END", "552 5.2.2 full", 552),
    ("END", "451 4.3.0 later", 451),
    ("DATA", "421 4.3.2 going down", 451),
    ("END", "421 4.3.2 going down", 451),
    ("RCPT", "421 4.3.2 going down", 451),
    ("GREETING", "554 5.3.2 closed", 451),
]


def test_gateway_tells_what_the_upstream_says():
    for point, answer, code in REFUSED:
        with ScriptedServer(replies={point: answer}) as upstream, gateway(upstream) as g:
            got = refusal(sends, g.port, "b@to.test")
            assert got[0] == code, (point, answer, got)
            assert not upstream.messages


def test_gateway_loses_its_upstream():
    large = b"x" * 70 + b"\r\n"
    for point in ("connect", "MAIL", "RCPT", "DATA", "content", "END"):
        with ScriptedServer(cut=point, cut_after=100000) as upstream, gateway(upstream) as g:
            with client_of(g.port) as client:
                got = refusal(client.sendmail, "a@from.test", ["b@to.test"], large * 20000)
                assert got[0] == 451, (point, got)
                assert client.noop()[0] == 250  # the session goes on
            g.stop()


def test_gateway_loses_its_client():
    with ScriptedServer() as upstream, gateway(upstream) as g:
        client = client_of(g.port)
        client.ehlo()
        client.mail("a@from.test")
        client.rcpt("b@to.test")
        assert client.docmd("DATA")[0] == 354
        client.send(b"half a message\r\n" * 1000)
        client.sock.shutdown(socket.SHUT_RDWR)
        client.close()
        upstream.wait_sessions(1, PATIENCE)
        assert not upstream.messages, "half a message was taken for whole"
        sends(g.port, "b@to.test")
        upstream.wait_messages(1)
        g.stop()


def test_gateway_keeps_the_connection():
    with ScriptedServer() as upstream, gateway(upstream) as g:
        with client_of(g.port) as client:
            for _ in range(3):
                client.sendmail("a@from.test", ["b@to.test"], MAIL)
        upstream.wait_messages(3)
        assert len(upstream.sessions) == 1


def test_gateway_streams():
    """A large message goes through, and is not gathered in memory."""
    class Upstream:
        port = free_port()
    line = b"y" * 98 + b"\r\n"
    with Example("server", f"127.0.0.1:{Upstream.port}", first=False) as upstream, \
            gateway(Upstream) as g:
        reader = threading.Thread(target=upstream.process.stdout.read, daemon=True)
        reader.start()
        tap.wait_for(lambda: can_connect(Upstream.port), PATIENCE)
        sends(g.port, "b@to.test")
        before = g.memory_kib()
        with client_of(g.port) as client:
            client.ehlo()
            client.mail("a@from.test")
            client.rcpt("b@to.test")
            assert client.docmd("DATA")[0] == 354
            for _ in range(400):
                client.send(line * 1000)
            client.send(b".\r\n")
            assert client.getreply()[0] == 250
        grown = g.memory_kib() - before
        assert os.environ.get("SAN") or grown < 4096, f"{grown} KiB for 40 MB"
        g.stop()
        upstream.process.kill()
        reader.join(PATIENCE)


def test_foreign_loop():
    with Example("foreign_loop", 0) as e:
        clients = [smtplib.SMTP("127.0.0.1", e.port, timeout=PATIENCE) for _ in range(10)]
        for c in clients:
            c.ehlo("client.test")
        for c in reversed(clients):
            c.sendmail("a@from.test", ["b@to.test", "c@to.test"], MAIL)
        with socket.create_connection(("127.0.0.1", e.port), timeout=PATIENCE) as raw:
            raw.sendall(b"EHLO pipelining.test\r\nMAIL FROM:<>\r\nRCPT TO:<b@to.test>\r\nDATA\r\n"
                        + b"x" * 70 + b"\r\n.\r\nQUIT\r\n")
            replies = b""
            while part := raw.recv(4096):
                replies += part
            assert replies.rstrip().splitlines()[-1].startswith(b"221"), replies
        for c in clients:
            c.quit()
        e.wait_output(b"72 octets for 1 recipients from pipelining.test\n")
        assert e.stop().count(b"octets for 2 recipients from client.test\n") == 10


def test_usage():
    for arguments in (["gateway"], ["gateway", "--upstream", "smtp://x"], ["lmtp"], ["lmtp", "-x", "y"],
                      ["recorder", "-t", "ssl"], ["recorder", "more"], ["client"],
                      ["foreign_loop", "1", "2"]):
        done = subprocess.run([os.path.join(BUILD, "examples", arguments[0]), *arguments[1:]],
                              capture_output=True, timeout=PATIENCE, check=False)
        assert done.returncode == 2 and b"usage" in done.stderr, (arguments, done)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tap.main(globals())
