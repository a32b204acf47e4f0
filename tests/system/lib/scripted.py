# SPDX-License-Identifier: ISC
"""A scripted remote SMTP server for system tests, in threads of the test, on a free loopback port.

It is a well-behaved server until told otherwise: `replies` overrides the answer to a verb, `delays`
holds one back, `cut` ends the connection at a point. It keeps what every session said and every
message it took. Test code only; it trusts nobody and is trusted by nobody.

    server = ScriptedServer(replies={"RCPT": ["250 2.1.5 ok", "550 5.1.1 no such user"]})
    ... something sends mail to server.port ...
    message = server.wait_messages(1)[0]
    server.close()
"""

import base64
import os
import socket
import ssl
import subprocess
import threading
import time

LINE_MAX = 65536
POINTS = ("connect", "GREETING", "EHLO", "LHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "content",
          "END", "RSET", "QUIT", "NOOP", "VRFY", "EXPN", "HELP")


class Message:
    """One message that the server answered 2yz: envelope, content without the dots, circumstances."""

    def __init__(self, session, sender, recipients, content):
        self.sender = sender          # "a@b" of MAIL, "" for the null reverse-path
        self.recipients = recipients  # accepted ones, in order
        self.content = content        # bytes, CRLF line ends, dots unstuffed
        self.tls = session.tls
        self.user = session.user
        self.parameters = session.parameters
        self.time = time.monotonic()


class Session:
    """What one connection said."""

    def __init__(self, peer):
        self.peer = peer
        self.commands = []     # lines, without CRLF, in order
        self.messages = []
        self.tls = None        # protocol, once TLS runs
        self.user = None       # logged in
        self.lmtp = False
        self.certificate = None  # of the client, as Python tells it
        self.parameters = ""   # behind the path of the last MAIL
        self.begin = time.monotonic()
        self.closed = threading.Event()


class Cut(Exception):
    """The connection is to end here."""


class ScriptedServer:
    """replies   {point: answer or list of answers or function(line, session) -> answer}. A list is used
                 up one by one over all sessions; its last one stays. Lines of an answer are divided by
                 "\\n" and sent as they are, with CRLF. None: no answer at all, the server stays silent.
                 "GREETING" and "END" (behind the dot, or the last chunk) are points too; "RCPT b@x" is one address.
                 With an answer to "BDAT" each chunk gets it, and no message comes of them.
       delays    {point: seconds} before the answer.
       cut       a point or several: there the connection is closed without an answer; "content" is in
                 the middle of the content (after `cut_after` octets).
       extensions  keywords of EHLO besides STARTTLS and AUTH, which depend on the others.
       path       of a unix socket to listen on instead. After LHLO there is one "END" (or "END b@x") for
                 each recipient.
       client_ca  PEM file: certificates of clients are asked for, those from it taken.
       certificate, key  PEM files: STARTTLS is offered; with implicit=True, TLS comes first.
       users     {name: password}: AUTH PLAIN and LOGIN are offered (over TLS, or always with
                 auth_in_clear)."""

    def __init__(self, replies=None, delays=None, cut=(), extensions=("PIPELINING", "8BITMIME",
                 "SIZE 52428800", "ENHANCEDSTATUSCODES"), certificate=None, key=None,
                 implicit=False, users=None, auth_in_clear=False, host="127.0.0.1", port=0,
                 cut_after=0, path=None, client_ca=None):
        self.replies = dict(replies or {})
        self.delays = dict(delays or {})
        self.cut = {cut} if isinstance(cut, str) else set(cut)
        self.cut_after = cut_after
        for point in list(self.replies) + list(self.delays) + list(self.cut):
            if point.split(" ")[0] not in POINTS:
                raise ValueError(f"unknown point {point!r}")
        self.extensions = list(extensions)
        self.implicit = implicit
        self.users = users or {}
        self.auth_in_clear = auth_in_clear
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate, key)
        if client_ca:
            self.context.verify_mode = ssl.CERT_OPTIONAL
            self.context.load_verify_locations(client_ca)
        self.sessions = []
        self.messages = []
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self.sockets = set()
        self.threads = []
        family = socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(path or (host, port))
        self.listener.listen(1024)
        self.host = host
        self.port = None if path else self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    # --- what tests call ---

    def wait_for(self, condition, timeout=30):
        """Waits until condition() is true; it is looked at whenever something happened here."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"after {timeout} s: {len(self.sessions)} sessions, "
                                       f"{len(self.messages)} messages")
                self.changed.wait(left)

    def wait_messages(self, count, timeout=30):
        self.wait_for(lambda: len(self.messages) >= count, timeout)
        return list(self.messages)

    def wait_sessions(self, count, timeout=30):
        """Waits until that many connections have come and gone."""
        self.wait_for(lambda: sum(s.closed.is_set() for s in self.sessions) >= count, timeout)
        return list(self.sessions)

    def commands(self):
        """All command lines of all sessions."""
        return [line for session in self.sessions for line in session.commands]

    def close(self):
        """Stops listening and ends what is still open."""
        self.stopping.set()
        with self.changed:
            self.changed.notify_all()
            for sock in list(self.sockets):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.acceptor.join(10)
        for thread in self.threads:
            thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- connections ---

    def _accept(self):
        while not self.stopping.is_set():
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            if self.port:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(peer)
            with self.changed:
                self.sockets.add(sock)
                self.sessions.append(session)
                self.changed.notify_all()
            thread = threading.Thread(target=self._serve, args=(sock, session), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock, session):
        connection = _Connection(self, sock, session)
        try:
            connection.run()
        except (Cut, OSError, ssl.SSLError, EOFError):
            pass
        finally:
            connection.close()
            with self.changed:
                self.sockets.discard(sock)
                session.closed.set()
                self.changed.notify_all()

    def _answer(self, point, line, session, default):
        """The answer to give at a point; None is silence."""
        for name in (f"{point} {line}", point):
            if name in self.replies:
                answer = self.replies[name]
                break
        else:
            return default
        if callable(answer):
            return answer(line, session)
        if isinstance(answer, list):
            with self.changed:
                return answer.pop(0) if len(answer) > 1 else answer[0]
        return answer


class _Connection:
    def __init__(self, server, sock, session):
        self.server = server
        self.sock = sock
        self.session = session
        self.buffer = b""
        self.sender = None
        self.recipients = []
        self.chunks = b""

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def read_line(self):
        while b"\n" not in self.buffer:
            if len(self.buffer) > LINE_MAX:
                raise EOFError
            part = self.sock.recv(65536)
            if not part:
                raise EOFError
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def reply(self, point, default, line=""):
        """Gives the answer of a point; returns its first digit as text."""
        server = self.server
        if point in server.cut:
            raise Cut
        if point in server.delays and server.stopping.wait(server.delays[point]):
            raise Cut
        answer = server._answer(point, line, self.session, default)
        if answer is None:
            server.stopping.wait()
            raise Cut
        self.sock.sendall("".join(part + "\r\n" for part in answer.split("\n")).encode())
        if answer.startswith("421"):
            raise Cut
        return answer[:1]

    def start_tls(self):
        raw = self.sock
        self.sock = self.server.context.wrap_socket(raw, server_side=True)
        with self.server.changed:
            self.server.sockets.discard(raw)
            self.server.sockets.add(self.sock)
        self.session.tls = self.sock.version()
        self.session.certificate = self.sock.getpeercert() or None
        self.session.user = None
        self.buffer = b""
        self.sender, self.recipients = None, []

    def run(self):
        if "connect" in self.server.cut:
            raise Cut
        if self.server.implicit:
            self.start_tls()
        if self.reply("GREETING", "220 scripted.test ESMTP") != "2":
            self.refuse_all()
        while True:
            line = self.read_line().decode("utf-8", "surrogateescape")
            with self.server.changed:
                self.session.commands.append(line)
                self.server.changed.notify_all()
            verb = line.split(" ")[0].upper()
            run = getattr(self, "run_" + verb.lower(), None)
            if verb in POINTS and run:
                if run(line) is False:
                    return
            elif verb in POINTS:
                self.reply(verb, "250 2.0.0 ok", line)
            else:
                self.sock.sendall(b"500 5.5.2 unknown\r\n")

    def refuse_all(self):
        while self.read_line().upper() != b"QUIT":
            self.sock.sendall(b"503 5.5.1 no service here\r\n")
        self.sock.sendall(b"221 bye\r\n")
        raise Cut

    def run_ehlo(self, line):
        words = list(self.server.extensions)
        if self.server.context and not self.session.tls:
            words.append("STARTTLS")
        if self.server.users and (self.session.tls or self.server.auth_in_clear):
            words.append("AUTH PLAIN LOGIN")
        lines = ["scripted.test"] + words
        self.sender, self.recipients = None, []
        self.reply("EHLO", "\n".join("250" + ("-" if i + 1 < len(lines) else " ") + word
                                     for i, word in enumerate(lines)), line)

    def run_lhlo(self, line):
        self.session.lmtp = True
        self.run_ehlo(line)

    def run_starttls(self, line):
        if not self.server.context:
            self.sock.sendall(b"502 5.5.1 no TLS\r\n")
        elif self.reply("STARTTLS", "220 2.0.0 go ahead", line) == "2":
            self.start_tls()

    def ask(self, challenge):
        self.sock.sendall(b"334 " + base64.b64encode(challenge) + b"\r\n")
        return base64.b64decode(self.read_line())

    def run_auth(self, line):
        words = line.split(" ")
        if words[1].upper() == "PLAIN":
            data = base64.b64decode(words[2]) if len(words) > 2 else self.ask(b"")
            _, user, password = data.decode().split("\0")
        elif words[1].upper() != "LOGIN":
            user = password = None  # what is answered is for `replies` to say
        else:
            user = (base64.b64decode(words[2]) if len(words) > 2 else self.ask(b"User:")).decode()
            password = self.ask(b"Password:").decode()
        good = self.server.users.get(user) == password
        if self.reply("AUTH", "235 2.7.0 welcome" if good else "535 5.7.8 wrong", line) == "2":
            self.session.user = user

    def run_mail(self, line):
        path, _, parameters = line[10:].partition(" ")
        if self.reply("MAIL", "250 2.1.0 ok", line) == "2":
            self.sender, self.recipients = path.strip("<>"), []
            self.session.parameters = parameters

    def run_rcpt(self, line):
        address = line[8:].partition(" ")[0].strip("<>")
        if self.sender is None:
            self.sock.sendall(b"503 5.5.1 MAIL first\r\n")
        elif self.reply("RCPT", "250 2.1.5 ok", address) == "2":
            self.recipients.append(address)

    def run_data(self, line):
        if not self.recipients:
            self.sock.sendall(b"503 5.5.1 no recipients\r\n")
        elif self.reply("DATA", "354 go ahead", line) == "3":
            self.take_content()

    def cut_content(self, octets):
        """However they were split on their way."""
        if "content" in self.server.cut and octets > self.server.cut_after:
            raise Cut

    def take_octets(self, count):
        while len(self.buffer) < count:
            self.cut_content(len(self.chunks) + len(self.buffer))
            part = self.sock.recv(65536)
            if not part:
                raise EOFError
            self.buffer += part
        self.cut_content(len(self.chunks) + count)
        octets, self.buffer = self.buffer[:count], self.buffer[count:]
        return octets

    def run_bdat(self, line):
        words = line.upper().split(" ")
        assert words[1].isdigit() and words[2:] in ([], ["LAST"]), line
        if not any(word.startswith("CHUNKING") for word in self.server.extensions):
            raise Cut  # nobody has asked for that, and what follows is no command
        self.chunks += self.take_octets(int(words[1]))
        if not self.recipients:
            self.sock.sendall(b"503 5.5.1 no recipients\r\n")
        elif len(words) == 2 or "BDAT" in self.server.replies:
            self.reply("BDAT", "250 2.0.0 got it", line)
        else:
            content, self.chunks = self.chunks, b""
            self.finish(content)

    def take_content(self):
        """Only CRLF.CRLF ends it."""
        data = b"\r\n" + self.buffer
        while b"\r\n.\r\n" not in data:
            self.cut_content(len(data))
            part = self.sock.recv(65536)
            if not part:
                raise EOFError
            data += part
        self.cut_content(len(data))
        content, self.buffer = data.split(b"\r\n.\r\n", 1)
        self.finish((content + b"\r\n").replace(b"\r\n.", b"\r\n")[2:])

    def finish(self, content):
        message = Message(self.session, self.sender, list(self.recipients), content)
        self.sender, self.recipients = None, []
        if self.session.lmtp:
            taken = [self.reply("END", "250 2.0.0 taken", to) == "2" for to in message.recipients]
            message.recipients = [to for to, yes in zip(message.recipients, taken) if yes]
        else:
            taken = [self.reply("END", "250 2.0.0 taken", content) == "2"]
        if any(taken):
            with self.server.changed:
                self.session.messages.append(message)
                self.server.messages.append(message)
                self.server.changed.notify_all()

    def run_rset(self, line):
        self.sender, self.recipients, self.chunks = None, [], b""
        self.reply("RSET", "250 2.0.0 ok", line)

    def run_quit(self, line):
        self.reply("QUIT", "221 2.0.0 bye", line)
        return False


def make_certificate(directory, names=("localhost", "127.0.0.1"), name="cert", days=1, begin=None):
    """A self-signed certificate and its key in `directory`; returns the two paths. `days` may be
    negative: it has expired then."""
    certificate = os.path.join(directory, name + ".pem")
    key = os.path.join(directory, name + ".key")
    alternatives = ",".join(("IP:" if n.replace(".", "").isdigit() or ":" in n else "DNS:") + n
                            for n in names)
    begin = time.gmtime(time.time() - 86400 * 30 if begin is None else begin)
    end = time.gmtime(time.time() + 86400 * days)
    config = os.path.join(directory, name + ".cnf")
    with open(config, "w", encoding="ascii") as f:
        f.write("[ca]\ndefault_ca=own\n[own]\ndatabase=%s\nserial=%s\nnew_certs_dir=%s\n"
                "default_md=sha256\npolicy=any\nx509_extensions=ext\nrand_serial=yes\n"
                "unique_subject=no\n[any]\ncommonName=supplied\n[ext]\nsubjectAltName=%s\n"
                "basicConstraints=critical,CA:true\n[req]\ndistinguished_name=dn\n[dn]\n"
                % (os.path.join(directory, name + ".db"), os.path.join(directory, name + ".srl"),
                   directory, alternatives))
    with open(os.path.join(directory, name + ".db"), "w", encoding="ascii"):
        pass
    request = os.path.join(directory, name + ".csr")
    stamp = "%Y%m%d%H%M%SZ"
    for command in (["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", key, "-out", request, "-subj", "/CN=" + names[0],
                     "-config", config],
                    ["ca", "-batch", "-selfsign", "-notext", "-config", config, "-in", request,
                     "-keyfile", key, "-out", certificate,
                     "-startdate", time.strftime(stamp, begin),
                     "-enddate", time.strftime(stamp, end)]):
        subprocess.run(["openssl"] + command, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return certificate, key
