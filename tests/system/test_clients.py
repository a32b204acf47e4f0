# SPDX-License-Identifier: ISC
"""Other people's clients submit over 465 and 587 with the certificate checked: swaks, curl, msmtp,
Python's smtplib, and our smtpc. What they send arrives as it was, with a signature that dkimpy takes."""
import contextlib
import os
import shutil
import smtplib
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon, SMTPC

SENDER, RECIPIENT = "alice@example.test", "bob@example.test"
BODY = ("Gr\u00fc\u00dfe,\r\n.\r\n.. dots that begin lines,\r\n.one more\r\n\r\n" + "a long line " * 70 +
        "\r\ntab\tand trailing blanks  \r\n")


class Submission:
    """What a client is told: a message in a file, where to, who."""

    def __init__(self, d, token, implicit, trusted):
        self.d, self.implicit = d, implicit
        self.port = d.base + (465 if implicit else 587)
        self.trusted = trusted
        self.password = d.password("alice")
        self.password_file = self.file("password", self.password + "\n")
        self.text = (f"From: Alice <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nSubject: {token}\r\n"
                     "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                     "Content-Transfer-Encoding: 8bit\r\n\r\n" + BODY)
        self.path = self.file("message", self.text)

    def file(self, name, text):
        path = os.path.join(self.d.dir, name)
        with open(path, "w", newline="", encoding="utf-8",
                  opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(text)
        return path


def run(name, *args, stdin=None):
    """True if it says that it went well."""
    if not shutil.which(name):
        raise tap.Skip(f"{name} is not there (scripts/deps.sh test installs it)")
    with open(stdin or os.devnull, "rb") as f:
        out = subprocess.run([name, *map(str, args)], stdin=f, capture_output=True, timeout=60,
                             check=False, env={**os.environ, "HOME": "/nonexistent"})
    print(out.stdout.decode(errors="replace") + out.stderr.decode(errors="replace"))
    return out.returncode == 0


def by_swaks(s):
    return run("swaks", "--server", "localhost", "--port", s.port, "--from", SENDER, "--to", RECIPIENT,
               "--tls-on-connect" if s.implicit else "--tls", "--tls-verify",
               "--tls-ca-path", s.trusted, "--helo", "client.test",
               "--auth", "PLAIN" if s.implicit else "LOGIN", "--auth-user", SENDER,
               "--auth-password", s.password, "--auth-hide-password", "--data", "@" + s.path)


def by_curl(s):
    url = f"smtps://localhost:{s.port}/client.test" if s.implicit else \
        f"smtp://localhost:{s.port}/client.test"
    return run("curl", "--no-progress-meter", "--verbose", "--url", url, "--ssl-reqd",
               "--cacert", s.trusted, "--user", f"{SENDER}:{s.password}", "--mail-from", SENDER,
               "--mail-rcpt", RECIPIENT, "--upload-file", s.path)


def by_msmtp(s):
    config = s.file("msmtprc", f"""account default
host localhost
port {s.port}
from {SENDER}
tls on
tls_starttls {'off' if s.implicit else 'on'}
tls_trust_file {s.trusted}
auth plain
user {SENDER}
passwordeval cat {s.password_file}
domain client.test
""")
    return run("msmtp", "--debug", "-C", config, RECIPIENT, stdin=s.path)


def by_smtplib(s):
    context = ssl.create_default_context(cafile=s.trusted)
    client = smtplib.SMTP_SSL("localhost", s.port, context=context, timeout=60) if s.implicit \
        else smtplib.SMTP("localhost", s.port, timeout=60)
    with contextlib.closing(client):
        if not s.implicit:
            client.starttls(context=context)
        client.login(SENDER, s.password)
        client.sendmail(SENDER, [RECIPIENT], s.text.encode(), ["BODY=8BITMIME"])
        client.quit()
    return True


def by_smtpc(s):
    scheme = "smtps" if s.implicit else "smtp+starttls"
    return run(os.path.abspath(SMTPC), "send", "--server", f"{scheme}://localhost:{s.port}",
               "--from", SENDER, "--to", RECIPIENT, "--user", SENDER, "--verbose",
               "--password-file", s.password_file, "--ca-file", s.trusted, "--raw", s.path)


def is_signed(d, mail):
    """By the key that smtpctl would put into DNS."""
    import dkim
    records = {r["name"]: r["txt"] for r in d.ctl_json("dkim", "show", "example.test")}

    def look_up(name, **_):
        text = records.get(name.decode().rstrip("."))
        return text.encode() if text else None
    octets = mail.encode("utf-8", "surrogateescape").replace(b"\n", b"\r\n")
    return dkim.verify(octets, dnsfunc=look_up)


def other_certificate(d):
    """Of somebody else, for the same name."""
    path = os.path.join(d.dir, "other.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", os.path.join(d.dir, "other.key"), "-out", path],
                   check=True, capture_output=True)
    return path


def submits(client):
    """Over both ports: it arrives whole and signed; with a certificate it must not trust, never."""
    with Daemon() as d:
        for implicit in (True, False):
            token = f"{client.__name__}-{'465' if implicit else '587'}"
            assert client(Submission(d, token, implicit, d.certificate)), f"{token} was not taken"
        for mail in d.wait_mails("bob", 2):
            body = mail.split("\n\n", 1)[1].rstrip("\n")  # swaks adds an empty line
            assert body == BODY.replace("\r\n", "\n").rstrip("\n"), mail
            assert mail.count("\nDKIM-Signature:") == 1 and is_signed(d, mail), mail
            assert not is_signed(d, mail.replace("one more", "one less")), "anything verifies"
            assert "with ESMTPSA" in mail and "Date: " in mail and "Message-ID: " in mail, mail
        subjects = sorted(line for mail in d.mails("bob") for line in mail.splitlines()
                          if line.startswith("Subject: "))
        assert subjects == [f"Subject: {client.__name__}-{port}" for port in (465, 587)], subjects
        distrusts(d, client)
        assert len(d.mails("bob")) == 2, "it was sent in spite of the certificate"
        log = d.log_text()
        assert d.password("alice") not in log, "the password is in the log"


def distrusts(d, client):
    trusted = other_certificate(d)
    for implicit in (True, False):
        try:
            taken = client(Submission(d, "distrust", implicit, trusted))
        except ssl.SSLError:
            taken = False
        assert not taken, "it trusts any certificate: this test shows nothing"


def test_swaks_submits():
    submits(by_swaks)


def test_curl_submits():
    submits(by_curl)


def test_msmtp_submits():
    submits(by_msmtp)


def test_python_smtplib_submits():
    submits(by_smtplib)


def test_smtpc_submits():
    submits(by_smtpc)


if __name__ == "__main__":
    tap.main(globals())
