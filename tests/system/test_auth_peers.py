# SPDX-License-Identifier: ISC
"""Every SASL mechanism with other people's clients against a server of libsmtp, and with our smtpc; no
password, token or base64 of one is in what smtpc -v shows or smtpd logs."""
import base64
import contextlib
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon, SMTPC
from library import Server
from scripted import make_certificate

USER, PASSWORD, TOKEN = "alice@example.test", "correct horse 7", "ya29.AbCdEfGhIjKlMnOpQrStUvWxYz"
IDENTITY = "joe"
MAIL = "From: <alice@example.test>\r\nTo: <bob@example.test>\r\nSubject: x\r\n\r\nhello\r\n"


class Scene:
    """A server that offers these mechanisms; what its clients need is in files."""

    def __init__(self, *mechanisms, secret=PASSWORD, clients=None):
        self.stack = contextlib.ExitStack()
        self.dir = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.ca, self.key = make_certificate(self.dir, names=("localhost",))
        head = ("option auth_enabled true\noption offer_starttls true\noption auth_needs_tls true\n"
                f"mechanisms {' '.join(mechanisms)}\nauth {USER} {secret.replace(' ', '_')}\n")
        certificate = [self.ca, self.key]
        if clients:
            certificate.append(clients(self.dir))
        self.server = self.stack.enter_context(Server(self.file("head", head), certificate))
        self.port = self.server.port
        self.mail = self.file("mail", MAIL)

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", newline="", encoding="utf-8",
                  opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(text)
        return path

    def account(self):
        """Of the last session, when it has ended."""
        for name in (USER, IDENTITY, ""):
            if self.server.check(f"account {name}".encode()) == "ok":
                return name
        return None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)


# A head has no blanks inside a word.
SECRET = PASSWORD.replace(" ", "_")


def run(name, *args, stdin=None):
    """What it printed, and whether it says that it went well."""
    if not shutil.which(name):
        raise tap.Skip(f"{name} is not there (scripts/deps.sh test installs it)")
    with open(stdin or os.devnull, "rb") as f:
        out = subprocess.run([name, *map(str, args)], stdin=f, capture_output=True, timeout=60,
                             check=False, env={**os.environ, "HOME": "/nonexistent"})
    text = out.stdout.decode(errors="replace") + out.stderr.decode(errors="replace")
    print(text)
    return text, out.returncode == 0


def logs_in(scene, went_well, who=USER):
    assert went_well, "the client says that it failed"
    tap.wait_for(lambda: scene.account() == who, 10, f"the account is not {who}")


def fails(scene, went_well):
    assert not went_well, "the client says that it went well"
    tap.wait_for(lambda: scene.account() == "", 10, "somebody is logged in")


# ---- swaks, curl, smtplib ----

def swaks(scene, mechanism, password=SECRET):
    return run("swaks", "--server", "localhost", "--port", scene.port, "--from", USER, "--to",
               "bob@example.test", "--tls", "--tls-verify", "--tls-ca-path", scene.ca, "--helo",
               "client.test", "--auth", mechanism, "--auth-user", USER, "--auth-password", password,
               "--auth-hide-password", "--quit-after", "AUTH")[1]


def by_swaks(mechanism):
    with Scene(mechanism) as scene:
        logs_in(scene, swaks(scene, mechanism))
        fails(scene, swaks(scene, mechanism, SECRET + "x"))


def test_swaks_cram_md5():
    by_swaks("CRAM-MD5")


def test_swaks_plain():
    by_swaks("PLAIN")


def test_swaks_login():
    by_swaks("LOGIN")


def curl(scene, mechanism, *args):
    return run("curl", "--no-progress-meter", "--verbose", "--url",
               f"smtp://localhost:{scene.port}/client.test", "--ssl-reqd", "--cacert", scene.ca,
               "--login-options", f"AUTH={mechanism}", "--mail-from", USER, "--mail-rcpt",
               "bob@example.test", "--upload-file", scene.mail, *args)[1]


def test_curl_cram_md5():
    with Scene("CRAM-MD5") as scene:
        logs_in(scene, curl(scene, "CRAM-MD5", "--user", f"{USER}:{SECRET}"))
        fails(scene, curl(scene, "CRAM-MD5", "--user", f"{USER}:{SECRET}x"))


def by_curl_token(mechanism):
    with Scene(mechanism, secret=TOKEN) as scene:
        logs_in(scene, curl(scene, mechanism, "--user", f"{USER}:x", "--oauth2-bearer", TOKEN))
        fails(scene, curl(scene, mechanism, "--user", f"{USER}:x", "--oauth2-bearer", TOKEN + "x"))


def test_curl_xoauth2():
    by_curl_token("XOAUTH2")


def test_curl_oauthbearer():
    by_curl_token("OAUTHBEARER")


def test_python_cram_md5():
    with Scene("CRAM-MD5") as scene:
        for password, right in ((SECRET, True), (SECRET + "x", False)):
            with smtplib.SMTP("localhost", scene.port, timeout=60) as client:
                client.starttls(context=ssl.create_default_context(cafile=scene.ca))
                try:
                    client.login(USER, password)
                    well = True
                except smtplib.SMTPAuthenticationError:
                    well = False
            (logs_in if right else fails)(scene, well)


# ---- msmtp and gsasl, both of GNU SASL and GnuTLS ----

def msmtp(scene, mechanism, password):
    config = scene.file("msmtprc", f"""account default
host localhost
port {scene.port}
from {USER}
tls on
tls_starttls on
tls_trust_file {scene.ca}
auth {mechanism.lower()}
user {USER}
passwordeval cat {scene.file("password", password + chr(10))}
domain client.test
""")
    return run("msmtp", "--debug", "-C", config, "bob@example.test", stdin=scene.mail)[1]


def by_msmtp(mechanism, secret=SECRET):
    with Scene(mechanism, secret=secret) as scene:
        logs_in(scene, msmtp(scene, mechanism, secret))
        fails(scene, msmtp(scene, mechanism, secret + "x"))


def test_msmtp_scram_sha_256():
    by_msmtp("SCRAM-SHA-256")


def test_msmtp_cram_md5():
    by_msmtp("CRAM-MD5")


def test_msmtp_xoauth2():
    by_msmtp("XOAUTH2", TOKEN)


def test_msmtp_oauthbearer():
    by_msmtp("OAUTHBEARER", TOKEN)


def gsasl(scene, mechanism, password, *args):
    return run("gsasl", "--client", "--smtp", "--connect", f"localhost:{scene.port}", "--x509-ca-file",
               scene.ca, "--mechanism", mechanism, "--authentication-id", USER, "--authorization-id", USER,
               "--password", password, "--hostname", "localhost", *args)[1]


def test_gsasl_scram_sha_256():
    with Scene("SCRAM-SHA-256") as scene:
        logs_in(scene, gsasl(scene, "SCRAM-SHA-256", SECRET, "--no-cb"))
        fails(scene, gsasl(scene, "SCRAM-SHA-256", SECRET + "x", "--no-cb"))


def test_gsasl_scram_sha_256_plus():
    with Scene("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS") as scene:
        logs_in(scene, gsasl(scene, "SCRAM-SHA-256-PLUS", SECRET))
        fails(scene, gsasl(scene, "SCRAM-SHA-256-PLUS", SECRET + "x"))


# ---- smtpc, and what it shows ----

def encodings(secret):
    """The secret, and its base64 wherever in a message it stands."""
    found = [secret]
    for before in ("", "x", "xx"):
        text = base64.b64encode((before + secret).encode()).decode()
        found.append(text[4:len(text) // 4 * 4 - 4] if before else text[:-4])
    return found


def has_none(text, *secrets):
    for secret in secrets:
        for form in encodings(secret):
            assert form not in text, f"{form} is shown:\n{text}"


def smtpc(scene, *args, secret=None, scheme="smtp+starttls"):
    more = ["--user", USER, "--password-file", scene.file("password", secret + "\n")] if secret else []
    text, well = run(os.path.abspath(SMTPC), "send", "--server", f"{scheme}://localhost:{scene.port}",
                     "--from", USER, "--to", "bob@example.test", "--ca-file", scene.ca, "--raw",
                     scene.mail, "--verbose", *more, *args)
    if secret:
        has_none(text, secret, USER + "\0" + secret)
    return text, well


def by_smtpc(mechanism, secret=SECRET):
    with Scene(mechanism, secret=secret) as scene:
        text, well = smtpc(scene, "--auth", mechanism, secret=secret)
        logs_in(scene, well)
        assert f"AUTH {mechanism}" in text, text
        fails(scene, smtpc(scene, "--auth", mechanism, secret=secret + "x")[1])


def test_smtpc_scram_sha_256():
    by_smtpc("SCRAM-SHA-256")


def test_smtpc_scram_sha_256_plus():
    by_smtpc("SCRAM-SHA-256-PLUS")


def test_smtpc_cram_md5():
    by_smtpc("CRAM-MD5")


def test_smtpc_plain():
    by_smtpc("PLAIN")


def test_smtpc_login():
    by_smtpc("LOGIN")


def test_smtpc_xoauth2():
    by_smtpc("XOAUTH2", TOKEN)


def test_smtpc_oauthbearer():
    by_smtpc("OAUTHBEARER", TOKEN)


def test_smtpc_takes_the_strongest():
    with Scene("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS") as scene:
        text, well = smtpc(scene, secret=SECRET)
        logs_in(scene, well)
        assert "AUTH SCRAM-SHA-256-PLUS" in text, text


def test_smtpc_no_password_in_clear():
    """The server would take it: the client does not give it."""
    with Scene("PLAIN", "LOGIN", "CRAM-MD5") as scene:
        certificate = []
        head = scene.file("clear", "option auth_enabled true\nmechanisms PLAIN LOGIN CRAM-MD5\n"
                          f"auth {USER} {SECRET}\n")
        with Server(head, certificate) as server:
            scene.port = server.port
            text, well = smtpc(scene, secret=SECRET, scheme="smtp")
            assert not well and "> AUTH" not in text, text


# ---- EXTERNAL ----

def client_certificate(folder):
    return make_certificate(folder, names=(IDENTITY,), name="client")[0]


def with_certificate(scene, name, *args):
    return smtpc(scene, "--client-cert", os.path.join(scene.dir, name + ".pem"), "--client-key",
                 os.path.join(scene.dir, name + ".key"), *args)


def test_smtpc_external():
    with Scene("EXTERNAL", "PLAIN", clients=client_certificate) as scene:
        text, well = with_certificate(scene, "client")
        logs_in(scene, well, IDENTITY)
        assert "AUTH EXTERNAL" in text, text
        logs_in(scene, with_certificate(scene, "client", "--auth", "EXTERNAL")[1], IDENTITY)
        make_certificate(scene.dir, names=(IDENTITY,), name="other")
        text, well = with_certificate(scene, "other", "--auth", "EXTERNAL")
        fails(scene, well)
        assert "AUTH EXTERNAL" not in text, "EXTERNAL is offered to a certificate that nobody signed"


def expired_certificate(folder):
    return make_certificate(folder, names=(IDENTITY,), name="client", days=-2)[0]


def test_smtpc_external_expired():
    with Scene("EXTERNAL", clients=expired_certificate) as scene:
        text, well = with_certificate(scene, "client", "--auth", "EXTERNAL")
        fails(scene, well)
        assert "AUTH EXTERNAL" not in text, text


# ---- smtpd's log ----

def talk(port, context, *lines):
    """Says EHLO, then each of these, whatever comes."""
    with socket.create_connection(("127.0.0.1", port), 20) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as sock:
        replies = sock.makefile("rb")
        replies.readline()
        try:
            for line in (b"EHLO client.test\r\n", *lines, b"QUIT\r\n"):
                sock.sendall(line)
            return replies.read()
        except OSError:
            return b""


def test_smtpd_log():
    with Daemon() as d:
        password = d.password("alice")
        plain = base64.b64encode(f"\0{USER}\0{password}".encode())
        user, secret = (base64.b64encode(text.encode()) for text in (USER, password))
        context = d.tls_context()
        for lines in ((b"AUTH PLAIN " + plain + b"\r\n",),
                      (b"auth\tplain\t" + plain + b"x\r\n", plain + b"\r\n"),
                      (b"AUTH PLAIN\r\n" + plain + b"\r\n",),
                      (b"AUTH LOGIN\r\n", user + b"\r\n" + secret + b"\r\n" + secret + b"\r\n"),
                      (b"AUTH LOGIN " + user + b"\r\n" + secret + b"\r\n",),
                      (b"AUTH SCRAM-SHA-256 " + plain + b"\r\n" + secret + b"\r\n",),
                      (b"AUTH PLAIN " + plain + b"\nNOOP\r\n",),
                      (b"AUTH PLAIN " + plain + b"A" * 13000 + b"\r\n",),
                      (b"AUT PLAIN " + plain + b"\r\n", secret + b"\r\n"),
                      (b"AUTH LOGIN\r\n" + USER.encode() + b"\r\n" + password.encode() + b"\r\n",),
                      (password.encode() + b"\r\n",)):
            replies = talk(d.base + 465, context, *lines).decode(errors="replace")
            has_none(replies, password, f"\0{USER}\0{password}")
        d.wait_log("auth.ok")
        has_none(d.log_text(), password, f"\0{USER}\0{password}")


if __name__ == "__main__":
    tap.main(globals())
