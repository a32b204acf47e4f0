# SPDX-License-Identifier: ISC
"""A server of the library, driven by clients that are not ours: Python's smtplib, curl, swaks, msmtp.
In the clear, by STARTTLS and by TLS from the start; logins, limits, refusals, pipelining, LMTP."""
import contextlib
import os
import shutil
import smtplib
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from library import Server
from scripted import make_certificate

FROM, TO, OTHER, NOBODY = "alice@example.com", "bob@example.org", "carol@example.org", "nobody@example.org"
USER, PASSWORD = "alice", "correct-horse"
HEADER = "From: <alice@example.com>\r\nTo: <bob@example.org>\r\nSubject: test\r\n"
CONTENT = (HEADER + "Content-Type: text/plain; charset=utf-8\r\n\r\nGr\u00fc\u00dfe\r\n.\r\n..\r\n.one\r\n"
           + "long " * 150 + "\r\nend\r\n").encode()
PLAIN, STARTTLS, TLS = "in the clear", "STARTTLS", "TLS"
HEADS = {PLAIN: [], STARTTLS: ["option offer_starttls true", "option require_tls true"],
         TLS: ["option tls_active true"]}

folder = None
certificate = None


class World:
    """One server with a head of its own, and where a client finds it."""

    def __init__(self, mode, *head):
        self.mode, self.directory = mode, tempfile.mkdtemp(dir=folder)
        path = self.file("head", "\n".join([*HEADS[mode], *head, "C: QUIT"]) + "\n")
        self.server = Server(path, () if mode == PLAIN else certificate)
        self.port = self.server.port

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return path

    def expect(self, text):
        """A check of transcripts; what a client said last may still be under way."""
        octets = text if isinstance(text, bytes) else text.encode()
        tap.wait_for(lambda: self.server.check(octets) == "ok", 10,
                     f"{octets[:60]!r}: {self.server.check(octets)}")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.server.__exit__(kind, error, trace)


def run(name, *args, stdin=b""):
    """(exit status, all it printed)"""
    if not shutil.which(name):
        raise tap.Skip(f"{name} is not there (scripts/deps.sh test installs it)")
    out = subprocess.run([name, *map(str, args)], input=stdin, capture_output=True, timeout=60,
                         check=False, env={**os.environ, "HOME": "/nonexistent"})
    text = (out.stdout + out.stderr).decode(errors="replace")
    print(text)
    return out.returncode, text


# ---- the clients: (was all of it taken?, what was said) ----

def by_smtplib(w, to=(TO,), content=CONTENT, auth=None, password=PASSWORD, sender=FROM, options=()):
    context = ssl.create_default_context(cafile=certificate[0])
    try:
        client = smtplib.SMTP_SSL("localhost", w.port, context=context, timeout=60) if w.mode == TLS \
            else smtplib.SMTP("localhost", w.port, timeout=60)
        with contextlib.closing(client):
            if w.mode == STARTTLS:
                client.starttls(context=context)
            if auth:
                client.ehlo()
                client.user, client.password = USER, password
                client.auth(auth, getattr(client, "auth_" + auth.lower().replace("-", "_")))
            refused = client.sendmail(sender, list(to), content, list(options))
            client.quit()
    except smtplib.SMTPException as e:
        return False, str(e)
    return not refused, str(refused)


def by_curl(w, to=(TO,), content=CONTENT, auth=None, password=PASSWORD, sender=FROM, options=()):
    args = ["--no-progress-meter", "--verbose", "--cacert", certificate[0], "--mail-from", sender,
            "--upload-file", w.file("message", content), "--url",
            f"{'smtps' if w.mode == TLS else 'smtp'}://localhost:{w.port}/client.example.com"]
    args += ["--ssl-reqd"] if w.mode == STARTTLS else []
    if auth in ("XOAUTH2", "OAUTHBEARER"):
        args += ["--user", USER, "--oauth2-bearer", password]
    elif auth:
        args += ["--user", f"{USER}:{password}", "--login-options", f"AUTH={auth}"]
    for address in to:
        args += ["--mail-rcpt", address]
    code, text = run("curl", *args, *options)
    return code == 0, text


def by_swaks(w, to=(TO,), content=CONTENT, auth=None, password=PASSWORD, sender=FROM, options=()):
    # it ends lines itself; with a final line end it would add another
    path = w.file("message", content.replace(b"\r\n", b"\n").rstrip(b"\n"))
    args = ["--server", "localhost", "--port", w.port, "--helo", "client.example.com", "--from", sender,
            "--to", ",".join(to), "--data", "@" + path]
    args += {PLAIN: [], STARTTLS: ["--tls"], TLS: ["--tls-on-connect"]}[w.mode]
    args += [] if w.mode == PLAIN else ["--tls-verify", "--tls-ca-path", certificate[0]]
    args += ["--auth", auth, "--auth-user", USER, "--auth-password", password] if auth else []
    code, text = run("swaks", *args, *options)
    return code == 0, text


def by_msmtp(w, to=(TO,), content=CONTENT, auth=None, password=PASSWORD, sender=FROM, options=()):
    config = w.file("msmtprc", f"""account default
host localhost
port {w.port}
from {sender}
domain client.example.com
tls {'off' if w.mode == PLAIN else 'on'}
tls_starttls {'on' if w.mode == STARTTLS else 'off'}
{'' if w.mode == PLAIN else 'tls_trust_file ' + certificate[0]}
auth {auth.lower() if auth else 'off'}
set_date_header off
set_msgid_header off
user {USER}
passwordeval cat {w.file('password', password)}
""")
    code, text = run("msmtp", "--debug", "-C", config, *options, "--", *to,
                     stdin=content.replace(b"\r\n", b"\n"))
    return code == 0, text


# What else they know: SCRAM-SHA-256 of msmtp is GNU SASL's, the rest their own.
MECHANISMS = {"smtplib": ("PLAIN", "LOGIN", "CRAM-MD5"),
              "curl": ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"),
              "swaks": ("PLAIN", "LOGIN", "CRAM-MD5"),
              "msmtp": ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER")}
CLIENTS = {"smtplib": by_smtplib, "curl": by_curl, "swaks": by_swaks, "msmtp": by_msmtp}


# ---- one test for each client and way ----

def delivers(client, mode):
    with World(mode) as w:
        good, text = CLIENTS[client](w)
        assert good, text
        w.expect("messages 1")
        w.expect(f"envelope <{FROM}> <{TO}>")
        w.expect(b"content " + CONTENT)
        w.expect("disconnect quit")


def logs_in(client, mechanism):
    head = [f"mechanisms {mechanism}", "option auth_enabled true", "option require_auth true", "option auth_needs_tls true",
            f"auth {USER} {PASSWORD}", f"secret {PASSWORD}"]
    for mode in (STARTTLS, TLS):
        with World(mode, *head) as w:
            good, text = CLIENTS[client](w, auth=mechanism)
            assert good, text
            w.expect(f"account {USER}")
            w.expect("messages 1")
    with World(TLS, *head) as w:
        good, text = CLIENTS[client](w, auth=mechanism, password="wrong")
        assert not good, text
        w.expect("messages 0")


def add_tests(names):
    for client in CLIENTS:
        for mode in HEADS:
            names[f"test_{client}_{mode.replace(' ', '_')}"] = \
                lambda client=client, mode=mode: delivers(client, mode)
        for mechanism in MECHANISMS[client]:
            names[f"test_{client}_AUTH_{mechanism}"] = \
                lambda client=client, mechanism=mechanism: logs_in(client, mechanism)


# ---- what is refused, and how they get on with it ----

def test_size_is_refused_at_mail():
    """Who says SIZE is told before any content."""
    for client in ("smtplib", "curl"):
        with World(PLAIN, "option max_message_bytes 500") as w:
            good, text = CLIENTS[client](w)
            assert not good and "552" in text, text
            w.expect("messages 0")
            w.expect("content ")


def test_size_is_refused_at_the_end():
    for client in ("swaks", "msmtp"):
        with World(PLAIN, "option max_message_bytes 500") as w:
            good, text = CLIENTS[client](w)
            assert not good and "552" in text, text
            w.expect("messages 0")


def test_one_recipient_refused():
    """Who can go on with the rest does: one message, for the others."""
    head = [f"rcpt {NOBODY} 550 5.1.1 no such user"]
    for client, options in (("smtplib", ()), ("swaks", ()), ("curl", ("--mail-rcpt-allowfails",))):
        with World(PLAIN, *head) as w:
            _, text = CLIENTS[client](w, to=(TO, NOBODY, OTHER), options=options)
            w.expect("messages 1")
            w.expect(f"envelope <{FROM}> <{TO}> <{OTHER}>")
            assert "no such user" in text, text


def test_all_recipients_refused():
    for client, by in CLIENTS.items():
        with World(PLAIN, f"rcpt {NOBODY} 550 5.1.1 no such user") as w:
            good, text = by(w, to=(NOBODY,))
            assert not good and "no such user" in text, (client, text)
            w.expect("messages 0")


def test_a_login_is_required():
    for client, by in CLIENTS.items():
        with World(PLAIN, "option auth_enabled true", "option require_auth true", "auth a b") as w:
            good, text = by(w)
            assert not good and "530" in text, (client, text)
            w.expect("messages 0")


def test_refused_at_the_end():
    for client, by in CLIENTS.items():
        with World(PLAIN, "end 554 5.7.1 looks like spam") as w:
            good, text = by(w)
            assert not good and "looks like spam" in text, (client, text)


# ---- extensions ----

def test_swaks_pipelines():
    with World(PLAIN) as w:
        good, text = by_swaks(w, to=(TO, OTHER), options=("--pipeline",))
        assert good and "PIPELINING" in text, text
        w.expect("messages 1")
        w.expect(f"envelope <{FROM}> <{TO}> <{OTHER}>")


def test_smtplib_8bitmime():
    with World(PLAIN) as w:
        good, text = by_smtplib(w, options=("BODY=8BITMIME",))
        assert good, text
        w.expect(b"content " + CONTENT)


def test_smtputf8():
    address = "b\u00f6b@ex\u00e4mple.org"
    a_label = "b\u00f6b@xn--exmple-cua.org"  # curl's way
    for client, options, arrives in (("smtplib", ("SMTPUTF8",), address), ("curl", (), a_label)):
        with World(PLAIN, "extension SMTPUTF8 on") as w:
            good, text = CLIENTS[client](w, to=(address,), options=options)
            assert good, (client, text)
            w.expect("messages 1")
            w.expect(f"envelope <{FROM}> <{arrives}>")
    with World(PLAIN) as w:  # smtplib would not even try
        good, text = by_curl(w, to=(address,))
        assert not good and "553 5.6.7" in text, text
        w.expect("messages 0")


def test_dsn():
    with World(PLAIN, "extension DSN on") as w:
        good, text = by_msmtp(w, options=("--dsn-notify=success,failure", "--dsn-return=hdrs"))
        assert good, text
        w.expect("messages 1")
        w.expect("params SUCCESS FAILURE")


def test_null_reverse_path():
    for client in ("smtplib", "swaks"):
        with World(PLAIN) as w:
            good, text = CLIENTS[client](w, sender="" if client == "smtplib" else "<>")
            assert good, text
            w.expect(f"envelope <> <{TO}>")


def test_vrfy_and_expn():
    head = ["vrfy bob 250 2.1.5 Bob <bob@example.org>",
            "expn staff 250 2.1.5 <bob@example.org>\\n<carol@example.org>"]
    with World(PLAIN, *head) as w:
        with smtplib.SMTP("localhost", w.port, timeout=60) as client:
            client.ehlo()
            assert client.verify("bob") == (250, b"2.1.5 Bob <bob@example.org>")
            assert client.verify("x")[0] == 252
            code, text = client.expn("staff")
            assert code == 250 and b"carol@example.org" in text, text
    with World(PLAIN, *head) as w:
        code, text = run("curl", "--no-progress-meter", "--verbose", "--mail-rcpt", "bob",
                         "--url", f"smtp://localhost:{w.port}/client.example.com")
        assert code == 0 and "Bob <bob@example.org>" in text, text


def test_lmtp():
    """A reply for each recipient, and one of them refused after the content."""
    head = ["option lmtp true", "result 1 550 5.2.2 mailbox full"]
    with World(PLAIN, *head) as w:
        with smtplib.LMTP("localhost", w.port) as client:
            client.ehlo()  # says LHLO
            client.mail(FROM)
            assert [client.rcpt(to)[0] for to in (TO, NOBODY, OTHER)] == [250] * 3
            replies = [client.data(CONTENT), client.getreply(), client.getreply()]
            assert [code for code, _ in replies] == [250, 550, 250], replies
            assert b"mailbox full" in replies[1][1], replies
        w.expect("messages 1")
    with World(PLAIN, *head) as w:
        _, text = by_swaks(w, to=(TO,), options=("--protocol", "LMTP"))
        assert "LHLO" in text, text
        w.expect("messages 1")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        certificate = list(make_certificate(folder))
        add_tests(globals())
        tap.main(globals())
