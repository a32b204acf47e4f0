# SPDX-License-Identifier: ISC
"""Clients that mean no good, or don't know how: they get an answer or an end, take bounded memory,
hold up nobody else, forge nothing, and what they send as a secret never stands in the log."""
import base64
import contextlib
import os
import re
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import SMTPD, Daemon, message

SANITIZED = bool(os.environ.get("SAN")) or "san-" in SMTPD


class Raw:
    """A connection of which every octet is ours."""

    def __init__(self, port, receive_buffer=0):
        self.sock = socket.socket()
        self.sock.settimeout(30)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(("127.0.0.1", port))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.sock.close()

    def send(self, *lines):
        self.sock.sendall(b"".join(x if isinstance(x, bytes) else x.encode() + b"\r\n" for x in lines))

    def line(self):
        """The next line without CRLF; None at the end."""
        while b"\r\n" not in self.buffer:
            try:
                part = self.sock.recv(65536)
            except ConnectionError:
                part = b""
            if not part:
                assert self.buffer == b"", self.buffer
                return None
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode()

    def reply(self):
        """The last line of the next reply."""
        line = self.line()
        while line is not None and line[3:4] == "-":
            line = self.line()
        return line

    def ask(self, *lines):
        self.send(*lines)
        return self.reply()

    def greet(self):
        assert self.reply().startswith("220 ")
        assert self.ask("EHLO client.test").startswith("250 ")
        return self

    def start_tls(self, d):
        if self.sock.getpeername()[1] == d.base + 587:
            self.greet()
            assert self.ask("STARTTLS").startswith("220 ")
        self.sock = d.tls_context().wrap_socket(self.sock, server_hostname="localhost")
        if self.sock.getpeername()[1] == d.base + 587:
            assert self.ask("EHLO client.test").startswith("250 ")
        else:
            self.greet()
        return self

    def ends(self, seconds):
        """The rest that comes before the server closes, within the time."""
        self.sock.settimeout(seconds)
        found = self.buffer
        try:
            while part := self.sock.recv(65536):
                found += part
        except ConnectionError:
            pass
        except socket.timeout:
            raise AssertionError(f"not closed after {seconds} s") from None
        return found


def memory_kib(d):
    with open(f"/proc/{d.children()['mail']}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


@contextlib.contextmanager
def bounded_memory(d, kib):
    """A sanitizer keeps what was freed: there the figure means nothing."""
    before = memory_kib(d)
    yield
    grown = memory_kib(d) - before
    assert SANITIZED or grown < kib, f"{grown} KiB more"


def still_serves(d, token):
    with d.mx() as s:
        s.sendmail("a@remote.test", ["bob@example.test"], message(token))
    tap.wait_for(lambda: any(f"Subject: {token}" in m for m in d.mails("bob")), 20, "no delivery")


# ---- Too much ----

def test_endless_line():
    with Daemon() as d, Raw(d.mx_port) as c:
        c.greet()
        with bounded_memory(d, 1024):
            for _ in range(200):
                c.send(b"y" * 65536)
        assert c.ask("").startswith("500 5.5.2")
        assert c.ask("NOOP").startswith("250 2.0.0")
        still_serves(d, "endless")


def test_endless_content_line():
    with Daemon("limits: { message_size: 1MiB }") as d, Raw(d.mx_port) as c:
        c.greet()
        assert c.ask("MAIL FROM:<a@remote.test>").startswith("250")
        assert c.ask("RCPT TO:<bob@example.test>").startswith("250")
        assert c.ask("DATA").startswith("354")
        with bounded_memory(d, 4096):
            for _ in range(15):
                c.send(b"y" * 65536)
        assert c.ask(b"\r\n.\r\n").startswith("554 5.6.0")
        assert c.ask("NOOP").startswith("250 2.0.0")


def test_client_that_never_reads():
    with Daemon("timeouts: { command: 2s }") as d, Raw(d.mx_port, 4096) as c:
        c.greet()
        c.sock.settimeout(0.5)
        with bounded_memory(d, 4096):
            with contextlib.suppress(socket.timeout):
                for _ in range(2000):
                    c.send(b"HELP\r\n" * 10000)
                raise AssertionError("it takes commands without end")
            still_serves(d, "others")
        d.wait_log("event=session.close", "reason=timeout")


def test_a_thousand_commands_at_once():
    with Daemon() as d, Raw(d.mx_port) as c:
        c.greet()
        c.send(b"NOOP\r\n" * 1000)
        for _ in range(1000):
            assert c.reply().startswith("250 2.0.0")
        c.send("MAIL FROM:<a@remote.test>")
        c.send(b"RCPT TO:<bob@example.test>\r\nRCPT TO:<nobody@example.test>\r\n" * 500)
        assert c.reply().startswith("250 2.1.0")
        for _ in range(500):
            assert c.reply().startswith("250 2.1.5")
            assert c.reply().startswith("550 5.1.1")
        c.send("DATA", message("thousand").encode() + b".\r\n", "QUIT")
        assert c.reply().startswith("354")
        assert c.reply().startswith("250 2.0.0")
        assert c.reply().startswith("221 2.0.0")
        assert c.line() is None
        assert len(d.wait_mails("bob")) == 1


def test_connections_of_one_address():
    with Daemon("limits: { connections_per_ip: 4 }") as d, contextlib.ExitStack() as stack:
        held = [stack.enter_context(Raw(d.mx_port)).greet() for _ in range(4)]
        with Raw(d.mx_port) as c:
            assert c.reply().startswith("421 4.7.0")
            assert c.line() is None
        with Raw(d.base + 465) as c:
            c.ends(10)
        assert held[0].ask("QUIT").startswith("221")
        assert held[0].line() is None

        def admitted():
            with Raw(d.mx_port) as c:
                return c.reply().startswith("220")
        tap.wait_for(admitted, 10, "the place of one who left is not free")
        assert held[1].ask("NOOP").startswith("250")


def test_connections_in_all():
    with Daemon("limits: { connections: 3 }") as d, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Raw(d.mx_port)).greet()
        with Raw(d.mx_port) as c:
            assert c.reply().startswith("421 4.3.2")
            assert c.line() is None


# ---- Too slow ----

def test_idle_client_is_sent_away():
    with Daemon("timeouts: { command: 1s }") as d, Raw(d.mx_port) as c:
        c.greet()
        assert c.reply().startswith("421 4.4.2")
        assert c.line() is None


def test_command_octet_by_octet():
    """Each octet alone is in time, the command is not."""
    with Daemon("timeouts: { command: 1s }") as d, Raw(d.mx_port) as c:
        c.greet()
        begin = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < begin + 20:
                c.send(b"N")
                c.sock.settimeout(0.2)
                with contextlib.suppress(socket.timeout):
                    c.buffer += c.sock.recv(65536)
                if c.buffer:
                    break
        assert c.buffer.startswith(b"421 4.4.2"), c.buffer
        assert time.monotonic() < begin + 10


def test_slow_handshake():
    with Daemon("timeouts: { handshake: 1s }") as d:
        with Raw(d.base + 465) as nothing, Raw(d.base + 465) as part, Raw(d.base + 587) as starttls:
            part.send(b"\x16\x03\x01\x02\x00\x01\x00")
            starttls.greet()
            assert starttls.ask("STARTTLS").startswith("220")
            for c in (nothing, part, starttls):
                c.ends(20)
        with d.submission("alice") as s:
            assert s.noop()[0] == 250


# ---- Nonsense ----

def test_proxy_headers():
    """Behind a proxy the client counts, in traces too; on other listeners nobody may say whom he speaks for."""
    with Daemon(start=False) as d:
        with open(d.config, encoding="utf-8") as f:
            text = f.read()
        with open(d.config, "w", encoding="utf-8") as f:
            f.write(text.replace("role: mx }", "role: mx, proxy_protocol: [127.0.0.1, 10.0.0.0/8] }"))
        d.start()
        with Raw(d.base + 25) as c:
            c.send("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25")
            c.greet()
            for line, code in (("MAIL FROM:<a@far.test>", "250"), ("RCPT TO:<bob@example.test>", "250"),
                               ("DATA", "354")):
                assert c.ask(line).startswith(code), line
            c.send(b"Subject: by proxy\r\n\r\nx\r\n.\r\n")
            assert c.reply().startswith("250")
        d.wait_log("event=session.open", "peer=192.0.2.7")
        assert "[192.0.2.7]" in d.wait_mails("bob")[0]
        with Raw(d.base + 25) as c:
            c.send("EHLO no.proxy.test")
            assert c.ends(10) == b""
        d.wait_log("event=session.refuse", "role=mx", "reason=proxy")
        with Raw(d.base + 587) as c:
            assert c.reply().startswith("220")
            assert c.ask("PROXY TCP4 192.0.2.7 198.51.100.1 56324 587").startswith("550")
            assert c.line() is None


def test_junk_where_tls_is_expected():
    junk = [b"EHLO client.test\r\nQUIT\r\n", b"\x00" * 1000, b"\x16\x03\x01\xff\xff" + b"\xff" * 70000,
            b"GET / HTTP/1.1\r\n\r\n", b"\x80\x2e\x01\x00\x02" + b"\x00" * 50, os.urandom(5000)]
    with Daemon("timeouts: { handshake: 5s }") as d:
        for octets in junk:
            with Raw(d.base + 465) as c:
                with contextlib.suppress(OSError):
                    c.send(octets)
                    c.sock.shutdown(socket.SHUT_WR)
                assert b"220" not in c.ends(10), octets[:20]
            with Raw(d.base + 587) as c:
                c.greet()
                assert c.ask("STARTTLS").startswith("220")
                with contextlib.suppress(OSError):
                    c.send(octets)
                    c.sock.shutdown(socket.SHUT_WR)
                assert b"250" not in c.ends(10), octets[:20]
        d.wait_log("event=session.close", "reason=tls")
        d.wait_log("event=session.refuse", "role=submissions", "reason=tls")
        with d.submission("alice") as s:
            s.sendmail("alice@example.test", ["bob@example.test"], message("after"))
        d.wait_mails("bob")


def test_junk_where_commands_are_expected():
    with Daemon() as d:
        for octets in (os.urandom(20000), b"\x00" * 20000, b"\r\n" * 2000, b"\n" * 2000,
                       b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n" * 20):
            with Raw(d.mx_port) as c:
                with contextlib.suppress(OSError):
                    c.send(octets)
                    c.sock.shutdown(socket.SHUT_WR)
                c.ends(20)
        still_serves(d, "junk")


def test_plain_text_behind_starttls_is_not_run():
    with Daemon() as d, Raw(d.base + 587) as c:
        c.greet()
        c.send(b"STARTTLS\r\nNOOP injected\r\nMAIL FROM:<alice@example.test>\r\n")
        c.reply()
        with contextlib.suppress(OSError):
            d.tls_context().wrap_socket(c.sock, server_hostname="localhost")
            raise AssertionError("the session goes on")
        d.wait_log("event=session.close")
        assert "mail.accept" not in d.log_text()


def test_half_close_after_the_last_dot():
    with Daemon() as d:
        for size in (0, 400 << 10):
            with Raw(d.mx_port) as c:
                c.greet()
                body = ("x" * 70 + "\r\n") * (size // 72)
                c.send("MAIL FROM:<a@remote.test>", "RCPT TO:<bob@example.test>", "DATA",
                       message(f"half{size}", body=body).encode() + b".\r\n")
                c.sock.shutdown(socket.SHUT_WR)
                for expected in ("250 2.1.0", "250 2.1.5", "354", "250 2.0.0"):
                    assert c.reply().startswith(expected), expected
                c.ends(10)
        d.wait_mails("bob", 2)


def test_half_close_inside_content_delivers_nothing():
    with Daemon() as d:
        for end in (b"", b".", b".\r", b"\r\n.", b"\r\n.\r"):
            with Raw(d.mx_port) as c:
                c.greet()
                c.send("MAIL FROM:<a@remote.test>", "RCPT TO:<bob@example.test>", "DATA",
                       message("cut").encode() + end)
                c.sock.shutdown(socket.SHUT_WR)
                for expected in ("250 2.1.0", "250 2.1.5", "354"):
                    assert c.reply().startswith(expected), expected
                assert b"250" not in c.ends(10), end
        still_serves(d, "whole")
        assert len(d.mails("bob")) == 1


# ---- Two messages in one ----

# Ends of data of other implementations. After the refused ones is 554; after the rest it is text.
REFUSED = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r\n\n.\r\n",
           b"\r\n.\r\r\n", b"\n\n.\n\n", b"\r.\n", b"\r\n.\n\n")
TAKEN = (b"\r\n. \r\n", b"\r\n..\r\n", b"\r\n.\t\r\n", b"\r\n .\r\n", b"\r\n.x\r\n")
HIDDEN = (b"MAIL FROM:<forged@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
          b"Subject: smuggled\r\n\r\nsmuggled\r\n.\r\n")


def test_smuggling():
    with Daemon() as d:
        for end in REFUSED + TAKEN:
            with Raw(d.mx_port) as c:
                c.greet()
                assert c.ask("MAIL FROM:<a@remote.test>").startswith("250")
                assert c.ask("RCPT TO:<bob@example.test>").startswith("250")
                assert c.ask("DATA").startswith("354")
                reply = c.ask(message("carrier", body="text").encode() + end + HIDDEN)
                assert reply.startswith("554 5.6.0" if end in REFUSED else "250 2.0.0"), (end, reply)
                assert c.ask("NOOP").startswith("250 2.0.0"), end
        assert len(d.wait_mails("bob", len(TAKEN))) == len(TAKEN)
        tap.wait_for(lambda: d.queue() == [], 10, "the queue does not empty")
        assert d.mails("alice") == [], "a message was smuggled"
        assert "forged@example.test" not in d.log_text()


def test_the_last_end_of_data_counts():
    """CR CR LF . CR LF holds CRLF.CRLF and a bare CR before it: it ends the content, and refuses it."""
    with Daemon() as d, Raw(d.mx_port) as c:
        c.greet()
        c.send("MAIL FROM:<a@remote.test>", "RCPT TO:<bob@example.test>", "DATA",
               b"Subject: x\r\n\r\ntext\r\r\n.\r\nNOOP\r\n")
        for expected in ("250", "250", "354", "554 5.6.0", "250 2.0.0"):
            assert c.reply().startswith(expected), expected


def test_names_forge_no_log_line():
    with Daemon() as d, Raw(d.mx_port) as c:
        c.reply()
        c.ask(b"EHLO evil.test\x0aevent=auth.ok\r\n")
        c.ask(b"EHLO \"\x1b[31m\" event=auth.ok\r\n")
        c.ask("EHLO client.test")
        c.ask(b"MAIL FROM:<\"a event=auth.ok \\\" x\"@remote.test>\r\n")
        c.ask(b"RCPT TO:<\"b event=auth.ok\\\\\"@elsewhere.test>\r\n")
        c.ask("QUIT")
        d.wait_log("event=session.close")
        for line in d.log_text().splitlines():
            assert line.startswith("event="), line
            assert not line.startswith("event=auth.ok") and "\x1b" not in line, line


# ---- Secrets ----

SECRET = "Tr0ub4dor-and-3/horse+staple"


def encoded(*parts):
    return base64.b64encode("\0".join(parts).encode()).decode()


def login_attempts():
    """Lines of clients that log in wrongly, each with the secret in some form."""
    plain = encoded("", "alice@example.test", SECRET)
    alone = encoded(SECRET)
    return [
        [f"AUTH PLAIN {plain}"], [f"AUTH  PLAIN   {plain}"], [f"auth plain {plain} "],
        [f"AUTH PLAIN\t{plain}"], [f"AUTHPLAIN {plain}"], [f"AUTH {plain}"], [f"AUTH PLAIN={plain}"],
        [f" AUTH PLAIN {plain}"], ["AUTH PLAIN", plain], ["AUTH PLAIN", "", plain],
        ["AUTH PLAIN", plain + "!"], ["AUTH PLAIN", plain[:-1]], ["AUTH PLAIN", plain + "=="],
        [f"AUTH PLAIN {plain[:-3]}"], [f"AUTH PLAIN {plain} {plain}"],
        [f"AUTH PLAIN {encoded('alice', SECRET, '')}"], [f"AUTH PLAIN {encoded('x', SECRET, SECRET)}"],
        [f"AUTH PLAIN {encoded(SECRET)}"], [f"AUTH PLAIN {encoded('', '', '', SECRET)}"],
        [f"AUTH PLAIN {encoded('', SECRET, 'x')}"],
        ["AUTH LOGIN", encoded("alice@example.test"), alone], [f"AUTH LOGIN {alone}", alone],
        ["AUTH LOGIN", encoded("alice@example.test"), SECRET], ["AUTH LOGIN", "*", alone],
        ["AUTH CRAM-MD5", alone], ["AUTH XOAUTH2 " + alone], [f"AUTH LOGIN {SECRET}"],
        [f"AUTH {SECRET}"], [f"PASS {SECRET}"], [SECRET], [alone], [plain],
        [f"AUTH PLAIN {plain}", f"AUTH PLAIN {plain}"], ["AUTH PLAIN " + plain * 1000],
        ["AUTH LOGIN", alone * 1000], [f"MAIL FROM:<alice@example.test> AUTH={SECRET}"],
        [f"EHLO client.test AUTH PLAIN {plain}"], [f"NOOP {SECRET}"], [f"VRFY {SECRET}"],
        [f"HELP {plain}"], [f"STARTTLS {plain}"],
    ]


def forms_of(secret):
    """What must not be seen: itself, and the inner part of its base64 at each alignment."""
    found = {secret}
    for lead in range(3):
        text = base64.b64encode(b"\0" * lead + secret.encode()).decode().rstrip("=")
        found.add(text[4:-4])
    return found


def speak(c, lines, cut):
    """Each line in two pieces where `cut` says so; replies are read as they come."""
    for line in lines:
        octets = line.encode() + b"\r\n"
        if cut:
            c.sock.sendall(octets[:len(octets) // 2])
            time.sleep(0.001)
            c.sock.sendall(octets[len(octets) // 2:])
        else:
            c.sock.sendall(octets)
        if c.reply() is None:
            return


def test_no_secret_in_the_log():
    with Daemon("limits: { connections_per_ip: 0 }", start=False) as d:
        d.write_config(level="debug")
        out = d.ctl("account", "passwd", "alice@example.test", "--password-stdin", stdin=SECRET + "\n")
        assert out.returncode == 0, out.stderr
        d.start()
        for number, lines in enumerate(login_attempts()):
            for port in (d.mx_port, d.base + 587, d.base + 465):
                with Raw(port) as c, contextlib.suppress(ConnectionError, ssl.SSLError):
                    if port == d.base + 465 or (port == d.base + 587 and number % 2):
                        c.start_tls(d)
                    else:
                        c.greet()
                    speak(c, lines, number % 3 == 0)
                    speak(c, ["QUIT"], False)
        d.wait_log("event=auth.ok", "account=alice@example.test")
        d.wait_log("event=auth.fail")
        log = d.log_text()
        for form in forms_of(SECRET):
            for line in log.splitlines():
                assert form not in line, line


if __name__ == "__main__":
    tap.main(globals())
