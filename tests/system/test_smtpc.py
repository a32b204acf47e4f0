#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""smtpc against scripted servers: what it sends, says and returns."""
import email
import email.policy
import fcntl
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import tap  # noqa: E402
from scripted import ScriptedServer, make_certificate  # noqa: E402

SMTPC = os.environ.get("SMTPC", "build/smtpc")
folder = tempfile.TemporaryDirectory(prefix="smtpc.")
RAW = b"From: a@from.test\nTo: b@to.test\nSubject: raw\n\n.dot\nlast\n"
certificates = {}


def path_of(name, content=None):
    path = os.path.join(folder.name, name)
    if content is not None:
        with open(path, "wb") as f:
            f.write(content)
    return path


def certificate(kind="good"):
    """Each is made once: good, other (another name), expired."""
    if kind not in certificates:
        names = ("mail.other.test",) if kind == "other" else ("localhost", "127.0.0.1", "::1")
        certificates[kind] = make_certificate(folder.name, names, kind,
                                              days=-1 if kind == "expired" else 1)
    return certificates[kind]


def run(*arguments, stdin=b"", status=0):
    done = subprocess.run([SMTPC, *arguments], input=stdin, capture_output=True, timeout=60,
                          start_new_session=True, check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, f"exit status {done.returncode}, not {status}: {out}{err}"
    return out, err


def url_of(server, scheme="smtp", host="127.0.0.1"):
    return f"{scheme}://{host}:{server.port}"


def send(server, *more, to=("b@to.test",), status=0, url=None, stdin=RAW):
    recipients = [word for address in to for word in ("--to", address)]
    return run("send", "--server", url or url_of(server), "--from", "a@from.test", *recipients,
               *(more or ("--raw", "-")), stdin=stdin, status=status)


def expect(text, *parts):
    for part in parts:
        assert part in text, f"no {part!r} in {text!r}"


# --- send ---

def test_send_raw_from_stdin():
    with ScriptedServer() as server:
        out, err = send(server)
        message = server.wait_messages(1)[0]
        assert message.content == RAW.replace(b"\n", b"\r\n"), message.content
        assert (message.sender, message.recipients) == ("a@from.test", ["b@to.test"])
        expect(out, "b@to.test: accepted: 250 2.0.0 taken")
        assert err == "", err
        assert server.commands()[-1] == "QUIT", server.commands()


def test_send_raw_file_in_8bit():
    content = b"Subject: x\r\n\r\ngr\xc3\xbc\xc3\x9fe \xff\r\n"
    with ScriptedServer() as server:
        send(server, "--raw", path_of("raw.eml", content))
        message = server.wait_messages(1)[0]
        assert message.content == content
        expect(message.parameters, "BODY=8BITMIME", f"SIZE={len(content)}")


def test_send_composed():
    attachment = bytes(range(256)) * 40
    with ScriptedServer() as server:
        send(server, "--subject", "Grüße aus Köln", "--cc", "c@to.test", "--bcc", "d@to.test",
             "--text", path_of("text", "Hällo\n.\nEnde\n".encode()),
             "--html", path_of("html", "<p>Hällo</p>\n".encode()),
             "--attach", path_of("Bericht ä.pdf", attachment))
        taken = server.wait_messages(1)[0]
    assert taken.recipients == ["b@to.test", "c@to.test", "d@to.test"], taken.recipients
    assert b"d@to.test" not in taken.content
    assert all(c < 128 for c in taken.content)
    message = email.message_from_bytes(taken.content, policy=email.policy.default)
    assert message["Subject"] == "Grüße aus Köln", message["Subject"]
    assert (message["From"], message["To"], message["Cc"]) == ("a@from.test", "b@to.test",
                                                               "c@to.test")
    assert message["Message-ID"].strip().endswith("@from.test>"), message["Message-ID"]
    assert message["Date"].datetime is not None
    text = message.get_body(("plain",)).get_content()
    assert text.replace("\r\n", "\n") == "Hällo\n.\nEnde\n", repr(text)
    expect(message.get_body(("html",)).get_content(), "<p>Hällo</p>")
    parts = list(message.iter_attachments())
    assert len(parts) == 1 and parts[0].get_filename() == "Bericht ä.pdf", parts
    assert parts[0].get_content_type() == "application/pdf"
    assert parts[0].get_content() == attachment


def test_send_text_from_stdin():
    with ScriptedServer() as server:
        send(server, "--subject", "x", "--text", "-", stdin=b"just text\n")
        message = email.message_from_bytes(server.wait_messages(1)[0].content)
        assert message.get_payload(decode=True).strip() == b"just text"


def test_send_some_refused():
    with ScriptedServer(replies={"RCPT c@to.test": "550 5.1.1 no such user"}) as server:
        out, err = send(server, to=("b@to.test", "c@to.test"), status=1)
        expect(out, "b@to.test: accepted: 250")
        expect(err, "c@to.test: refused: RCPT: 550 5.1.1 no such user")
        assert server.wait_messages(1)[0].recipients == ["b@to.test"]


def test_send_statuses():
    for replies, status in (({"RCPT": "550 5.1.1 no"}, 1), ({"RCPT": "451 4.2.0 later"}, 75),
                            ({"RCPT": ["250 ok", "451 later"]}, 1),
                            ({"RCPT": ["550 no", "451 later"]}, 1),
                            ({"MAIL": "450 4.7.1 later"}, 75), ({"MAIL": "550 5.7.1 no"}, 1),
                            ({"DATA": "451 4.3.0 later"}, 75), ({"END": "554 5.6.0 no"}, 1),
                            ({"END": "452 4.3.1 full"}, 75), ({"RCPT": "421 4.3.2 going"}, 75),
                            ({"GREETING": "554 5.3.2 no"}, 1), ({"GREETING": "421 busy"}, 75)):
        with ScriptedServer(replies=replies) as server:
            try:
                send(server, to=("b@to.test", "c@to.test"), status=status)
            except AssertionError as error:
                raise AssertionError(f"{replies}: {error}") from error


def test_send_network_failures():
    for cut in ("connect", "GREETING", "EHLO", "MAIL", "RCPT", "DATA", "content", "END"):
        with ScriptedServer(cut=cut) as server:
            try:
                _, err = send(server, status=75)
            except AssertionError as error:
                raise AssertionError(f"{cut}: {error}") from error
            expect(err, f"127.0.0.1:{server.port}: ")
    with socket.socket() as unused:  # bound, not listening
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        _, err = send(None, url=f"smtp://127.0.0.1:{port}", status=75)
        assert err == f"smtpc: 127.0.0.1:{port}: connection refused\n", err
    _, err = send(None, url="smtp://host.invalid", status=75)
    expect(err, "host.invalid:25: ")


def test_send_json():
    with ScriptedServer(replies={"RCPT c@to.test": "550-5.1.1 no \xe4\n550 5.1.1 such user"}) as s:
        out, _ = send(s, "--raw", "-", "--json", to=("b@to.test", "c@to.test"), status=1)
    result = json.loads(out)
    assert [r["accepted"] for r in result["recipients"]] == [True, False], result
    assert result["recipients"][1]["code"] == 550
    assert result["recipients"][1]["enhanced"] == "5.1.1"
    assert len(result["recipients"][1]["lines"]) == 2
    assert result["tls"] is None and result["problem"] is None, result


def test_send_control_octets_are_harmless():
    with ScriptedServer(replies={"RCPT": "550 5.1.1 \x1b[31mred"}) as server:
        _, err = send(server, "-v", "--raw", "-", status=1)
        expect(err, "< 550 5.1.1 ?[31mred", "RCPT: 550 5.1.1 ?[31mred")
        assert "\x1b" not in err


def test_send_null_sender():
    with ScriptedServer() as server:
        run("send", "--server", url_of(server), "--from", "<>", "--to", "b@to.test", "--raw", "-",
            stdin=RAW)
        assert server.wait_messages(1)[0].sender == ""


# --- TLS, login ---

def test_tls_good():
    pem, key = certificate()
    for scheme, implicit in (("smtps", True), ("smtp+starttls", False)):
        for host in ("localhost", "127.0.0.1"):
            with ScriptedServer(certificate=pem, key=key, implicit=implicit) as server:
                send(server, "--raw", "-", "--ca-file", pem, url=url_of(server, scheme, host))
                assert server.wait_messages(1)[0].tls.startswith("TLSv1.")


def test_tls_refused():
    good, _ = certificate()
    for kind, trust, word in (("good", None, "certificate"), ("other", "other", "mismatch"),
                              ("expired", "expired", "expired")):
        pem, key = certificate(kind)
        trusted = () if trust is None else ("--ca-file", pem)
        for scheme, implicit in (("smtps", True), ("smtp+starttls", False)):
            with ScriptedServer(certificate=pem, key=key, implicit=implicit) as server:
                url = url_of(server, scheme, "localhost")
                _, err = send(server, "--raw", "-", *trusted, url=url, status=1)
                expect(err, f"localhost:{server.port}: ", word)
                assert not server.messages
                send(server, "--raw", "-", "--insecure", url=url)
    with ScriptedServer() as server:
        _, err = send(server, "--raw", "-", "--ca-file", good,
                      url=url_of(server, "smtp+starttls"), status=1)
        expect(err, "does not offer STARTTLS")


def test_opportunistic_tls_takes_any_certificate():
    pem, key = certificate("other")
    with ScriptedServer(certificate=pem, key=key) as server:
        send(server, "--raw", "-")
        assert server.wait_messages(1)[0].tls


def test_login_and_masked_dialogue():
    pem, key = certificate()
    secret = path_of("secret", b"hunter2 and more\n")
    for source in (("--password-file", secret), ("--password-command", f"cat {secret}")):
        for mechanism in (), ("--auth", "LOGIN"), ("--auth", "plain"):
            with ScriptedServer(certificate=pem, key=key, implicit=True,
                                users={"bob": "hunter2 and more"}) as server:
                _, err = send(server, "--raw", "-", "--user", "bob", *source, *mechanism, "-v",
                              "--ca-file", pem, url=url_of(server, "smtps"))
                assert server.wait_messages(1)[0].user == "bob"
                expect(err, "> EHLO ", "< 235 2.7.0 welcome", "> MAIL FROM:<a@from.test>", "***",
                       "TLSv1.")
                for shown in ("hunter2", "AGJvYgBodW50ZXIyIGFuZCBtb3Jl", "aHVudGVyMiBhbmQgbW9yZQ=="):
                    assert shown not in err, f"{shown} in {err}"


def test_login_user_of_url():
    pem, key = certificate()
    secret = path_of("secret", b"s3cret\n")
    with ScriptedServer(certificate=pem, key=key, users={"bob@x.test": "s3cret"}) as server:
        send(server, "--raw", "-", "--password-file", secret, "--ca-file", pem,
             url=f"smtp+starttls://bob%40x.test@localhost:{server.port}")
        assert server.wait_messages(1)[0].user == "bob@x.test"


def test_login_refused():
    pem, key = certificate()
    secret = path_of("wrong", b"wrong\n")
    for reply, status in ((None, 1), ("454 4.7.0 later", 75)):
        replies = {"AUTH": reply} if reply else {}
        with ScriptedServer(certificate=pem, key=key, users={"bob": "right"},
                            replies=replies) as server:
            _, err = send(server, "--raw", "-", "--user", "bob", "--password-file", secret,
                          "--ca-file", pem, url=url_of(server, "smtp+starttls"), status=status)
            expect(err, "AUTH was answered ")
            assert not server.messages


def on_terminal(arguments, typed):
    """Runs smtpc with a terminal of its own and types when it asks. Returns what the terminal showed,
    whether it echoes at the end, and the exit status."""
    terminal, slave = pty.openpty()
    child = subprocess.Popen([SMTPC, *arguments], stdin=slave, stdout=slave, stderr=slave,
                             start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0))
    shown = b""

    def read_on():
        nonlocal shown
        while select.select([terminal], [], [], 0)[0]:
            shown += os.read(terminal, 4096)
        return shown

    def echoes():
        return bool(termios.tcgetattr(slave)[3] & termios.ECHO)

    try:
        tap.wait_for(lambda: b"Password of" in read_on() and not echoes(), 10, "no prompt")
        os.write(terminal, typed)
        tap.wait_for(lambda: read_on() and child.poll() is not None, 30, "no end")
        return read_on().decode(), echoes(), child.returncode
    finally:
        child.kill()
        child.wait()
        os.close(terminal)
        os.close(slave)


def test_password_is_asked_for_without_echo():
    pem, key = certificate()
    raw = path_of("raw.eml", RAW)
    with ScriptedServer(certificate=pem, key=key, users={"bob": "s3cret"}) as server:
        arguments = ["send", "--server", url_of(server, "smtp+starttls"), "--ca-file", pem,
                     "--user", "bob", "--from", "a@from.test", "--to", "b@to.test", "--raw", raw]
        shown, echo, status = on_terminal(arguments, b"s3cret\n")
        assert status == 0, (status, shown)
        assert server.wait_messages(1)[0].user == "bob"
        expect(shown, "Password of bob at 127.0.0.1: ")
        assert "s3cret" not in shown and echo, shown
        shown, echo, status = on_terminal(arguments, b"s3c\x03")
        assert status == -signal.SIGINT, status
        assert "s3c" not in shown and echo, shown
        assert len(server.sessions) == 1


def test_no_password_in_clear():
    secret = path_of("secret", b"s3cret\n")
    with ScriptedServer(users={"bob": "s3cret"}, auth_in_clear=True) as server:
        _, err = send(server, "--raw", "-", "--user", "bob", "--password-file", secret, status=1)
        expect(err, "no password is sent without TLS")
        assert not any(line.startswith("AUTH") for line in server.commands())


# --- wrong calls ---

def test_wrong_calls():
    base = ("send", "--server", "smtp://127.0.0.1:1", "--from", "a@x.test", "--to", "b@x.test")
    missing = path_of("missing")
    for arguments, words in (
            (("send",), ("no server: add --server URL",)),
            (("send", "--server", "smtp://h"), ("--from",)),
            (("send", "--server", "smtp://h", "--from", "a@x.test"), ("--to",)),
            (("send", "--server", "smtp://h", "--from", "ax.test", "--to", "b@x.test", "--raw", "-"),
             ("--from", '"ax.test"', "no @")),
            (("send", "--server", "smtp://h", "--from", "a@x.test", "--to", "b@@x.test"),
             ("--to", '"b@@x.test"')),
            (base, ("nothing to send",)),
            (base + ("--raw", missing), (missing, "No such file")),
            (base + ("--attach", missing), (missing, "No such file")),
            (base + ("--raw", "-", "--text", "-"), ("--raw",)),
            (base + ("--text", "-", "--html", "-"), ("--text", "--html")),
            (base + ("--raw", "-", "c@x.test"), ("c@x.test", "--to c@x.test")),
            (base + ("--raw", "-", "--password-file", missing), ("--user",)),
            (base + ("--raw", "-", "--user", "u", "--password-file", missing), (missing,)),
            (base + ("--raw", "-", "--user", "u", "--password-command", "exit 3"), ("exit 3",)),
            (base + ("--raw", "-", "--user", "u"), ("no terminal", "--password-file")),
            (base + ("--raw", "-", "--auth", "NTLM"), ("NTLM", "PLAIN")),
            (base + ("--raw", "-", "--ca-file", missing), (missing,)),
            (base + ("--raw", "-", "--sever", "x"), ("did you mean --server?",)),
            (("send", "--server", "http://h", "--from", "a@x.test", "--to", "b@x.test", "--raw", "-"),
             ("http://h", "smtps://HOST")),
            (("send", "--server", "mx://b@h", "--from", "a@x.test", "--to", "b@x.test", "--raw", "-"),
             ("mx://b@h",)),
            (("sned",), ("did you mean \"send\"?",)), (("probe",), ("URL",)),
            (("verify", "smtp://h"), ("argument is missing",)),
            (("verify", "smtp://h", "a", "b"), ('"b"',)), ((), ("Commands:",))):
        try:
            _, err = run(*arguments, status=2)
            expect(err, *words)
        except AssertionError as error:
            raise AssertionError(f"{arguments}: {error}") from error


def test_help_texts():
    out, _ = run("help")
    expect(out, "send", "probe", "verify", "expand", "command", "Exit status")
    out, _ = run("send", "--help")
    expect(out, "--server URL", "--attach FILE", "Example:")
    out, _ = run("help", "probe")
    expect(out, "smtpc probe")
    out, _ = run("--version")
    expect(out, "smtpc ")


# --- probe and questions ---

def test_probe_report():
    pem, key = certificate()
    with ScriptedServer(certificate=pem, key=key, users={"bob": "x"}) as server:
        out, err = run("probe", url_of(server, "smtp+starttls"), "--ca-file", pem)
        expect(out, f"127.0.0.1:{server.port}", "220 scripted.test ESMTP", "PIPELINING",
               "SIZE 52428800", "TLSv1.", "(STARTTLS)", "good: trusted", "PLAIN LOGIN")
        assert err == "", err


def test_probe_refused_certificate():
    pem, key = certificate("other")
    with ScriptedServer(certificate=pem, key=key, users={"bob": "x"}) as server:
        out, _ = run("probe", url_of(server, "smtp+starttls", "localhost"), "--ca-file", pem, status=1)
        expect(out, "TLSv1.", "certificate refused", "mismatch", "PLAIN LOGIN")
        out, _ = run("probe", url_of(server, "smtp", "localhost"), "--ca-file", pem)
        expect(out, "certificate refused")


def test_probe_in_clear():
    with ScriptedServer(extensions=("8BITMIME",)) as server:
        out, _ = run("probe", url_of(server))
        expect(out, "TLS:          none", "8BITMIME", "none offered")
        assert "PIPELINING" not in out


def test_probe_json():
    pem, key = certificate()
    with ScriptedServer(certificate=pem, key=key, implicit=True, users={"bob": "x"}) as server:
        out, _ = run("probe", url_of(server, "smtps"), "--ca-file", pem, "--json")
        result = json.loads(out)
        assert result["certificate_checked"] is True and result["tls"].startswith("TLSv1."), result
        assert result["extensions"][0] == "PIPELINING" and "AUTH PLAIN LOGIN" in result["extensions"]
        assert result["auth"] == ["PLAIN", "LOGIN"] and result["greeting"]["code"] == 220


def test_probe_unreachable():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        _, err = run("probe", f"smtp://127.0.0.1:{unused.getsockname()[1]}", status=75)
        expect(err, "connection refused")


def test_questions():
    with ScriptedServer(replies={"VRFY": "250 2.1.5 Ann <ann@x.test>", "EXPN": "550 5.1.1 no",
                                 "HELP": "214-first\n214 second", "NOOP": "451 4.0.0 later"}) as s:
        url = url_of(s)
        assert run("verify", url, "ann")[0] == "250 2.1.5 Ann <ann@x.test>\n"
        expect(run("expand", url, "staff", status=1)[0], "550 5.1.1 no")
        assert run("help", url)[0] == "214-first\n214 second\n"
        assert run("help", url, "MAIL")[0] == "214-first\n214 second\n"
        out, _ = run("command", url, "RSET", "NOOP", "VRFY x", status=75)
        assert out.splitlines() == ["250 2.0.0 ok", "451 4.0.0 later", "250 2.1.5 Ann <ann@x.test>"]
        result = json.loads(run("verify", url, "ann", "--json")[0])
        assert (result["code"], result["enhanced"]) == (250, "2.1.5"), result
        result = json.loads(run("command", "--json", url, "RSET", "VRFY x")[0])
        assert [r["line"] for r in result] == ["RSET", "VRFY x"], result
        expect(" ".join(s.commands()), "VRFY ann", "EXPN staff", "HELP MAIL")
        _, err = run("command", url, "NOOP\r\nMAIL FROM:<>", status=2)
        expect(err, "invalid argument")


# --- the example in examples/client.c ---

def test_example_client():
    program = os.path.join(os.environ.get("BUILD", "build"), "examples", "client")
    with ScriptedServer(replies={"RCPT": ["250 ok", "550 5.1.1 no"]}) as server:
        arguments = [program, url_of(server), "a@from.test", "b@to.test"]
        done = subprocess.run(arguments, input=RAW, capture_output=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (0, b"250 taken\n"), done
        assert server.wait_messages(1)[0].content == RAW.replace(b"\n", b"\r\n")
        done = subprocess.run(arguments, input=RAW, capture_output=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (1, b"550 no\n"), done


if __name__ == "__main__":
    tap.main(globals())
