#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""smtpc with the extensions: LMTP, reports of delivery, addresses in UTF-8, pinned keys, certificates of
its own, content that is not kept in memory."""
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import tap  # noqa: E402
from scripted import ScriptedServer, make_certificate  # noqa: E402

SMTPC = os.environ.get("SMTPC", "build/smtpc")
folder = tempfile.TemporaryDirectory(prefix="smtpc.")
RAW = b"From: a@from.test\nTo: b@to.test\nSubject: raw\n\n.dot\nlast\n"
PLAIN = ("PIPELINING", "8BITMIME", "SIZE 52428800")


def path_of(name, content=None):
    path = os.path.join(folder.name, name)
    if content is not None:
        with open(path, "wb") as f:
            f.write(content)
    return path


def run(*arguments, stdin=b"", status=0):
    done = subprocess.run([SMTPC, *arguments], input=stdin, capture_output=True, timeout=60,
                          start_new_session=True, check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, f"exit status {done.returncode}, not {status}: {out}{err}"
    return out, err


def send(url, *more, to=("b@to.test",), status=0, sender="a@from.test"):
    recipients = [word for address in to for word in ("--to", address)]
    return run("send", "--server", url, "--from", sender, *recipients, *(more or ("--raw", "-")),
               stdin=RAW, status=status)


def url_of(server, scheme="smtp"):
    return f"{scheme}://127.0.0.1:{server.port}"


def expect(text, *parts):
    for part in parts:
        assert part in text, f"no {part!r} in {text!r}"


# --- LMTP ---

def check_lmtp(server, url):
    out, err = send(url, to=("b@to.test", "c@to.test", "d@to.test"), status=1)
    expect(out, "b@to.test: accepted: 250 2.0.0 taken")
    expect(err, "c@to.test: refused: RCPT: 550 5.1.1 no",
           "d@to.test: refused: end of data: 452 4.2.2 full")
    message = server.wait_messages(1)[0]
    assert message.recipients == ["b@to.test"], message.recipients
    assert message.content == RAW.replace(b"\n", b"\r\n"), message.content
    expect(run("probe", url)[0], "Server:", "PIPELINING")
    assert any(line.startswith("LHLO ") for line in server.commands()), server.commands()


def test_lmtp_over_a_unix_socket():
    path = path_of("lmtp.sock")
    with ScriptedServer(path=path, replies={"RCPT c@to.test": "550 5.1.1 no",
                                            "END d@to.test": "452 4.2.2 full"}) as server:
        check_lmtp(server, "lmtp+unix:" + path)


def test_lmtp_over_tcp():
    with ScriptedServer(replies={"RCPT c@to.test": "550 5.1.1 no",
                                 "END d@to.test": "452 4.2.2 full"}) as server:
        check_lmtp(server, url_of(server, "lmtp"))


# --- reports of delivery ---

def test_dsn():
    with ScriptedServer(extensions=PLAIN + ("DSN",)) as server:
        _, err = send(url_of(server), "--raw", "-", "--notify", "success,delay", "--ret", "headers",
                      "--envid", "a+b")
        assert err == "", err
        expect(" ".join(server.commands()), "RET=HDRS ENVID=a+2Bb", "NOTIFY=SUCCESS,DELAY")
        send(url_of(server), "--raw", "-", "--notify", "never", "--ret", "full")
        expect(" ".join(server.commands()), "RET=FULL", "NOTIFY=NEVER")


def test_dsn_not_offered():
    with ScriptedServer(extensions=PLAIN) as server:
        _, err = send(url_of(server), "--raw", "-", "--notify", "success")
        expect(err, "does not offer DSN")
        assert "NOTIFY" not in " ".join(server.commands()), server.commands()


def test_require_tls():
    pem, key = make_certificate(folder.name, ("127.0.0.1",), "requiretls")
    with ScriptedServer(extensions=PLAIN + ("REQUIRETLS",), certificate=pem, key=key) as server:
        send(url_of(server, "smtp+starttls"), "--raw", "-", "--require-tls", "--ca-file", pem)
        expect(server.wait_messages(1)[0].parameters, "REQUIRETLS")
    with ScriptedServer(extensions=PLAIN) as server:
        _, err = send(url_of(server), "--raw", "-", "--require-tls", status=1)
        expect(err, "550 5.7.30")
        assert not server.messages


# --- addresses in UTF-8 ---

def test_utf8_addresses():
    with ScriptedServer(extensions=PLAIN + ("SMTPUTF8",)) as server:
        send(url_of(server), "--subject", "x", "--text", "-", to=("jö@to.test", "c@bücher.test"))
        message = server.wait_messages(1)[0]
        assert message.recipients == ["jö@to.test", "c@xn--bcher-kva.test"], message.recipients
        expect(message.parameters, "SMTPUTF8", "BODY=8BITMIME")
        expect(message.content.decode(), "To: jö@to.test,")


def test_utf8_addresses_to_an_old_server():
    with ScriptedServer(extensions=PLAIN) as server:
        out, err = send(url_of(server), to=("jö@to.test", "c@bücher.test"), status=1)
        expect(err, "jö@to.test: refused: RCPT: 553 5.6.7")
        expect(out, "c@xn--bcher-kva.test: accepted")
        assert server.wait_messages(1)[0].recipients == ["c@xn--bcher-kva.test"]


# --- trust ---

def pin_of(pem):
    key = subprocess.run(["openssl", "x509", "-in", pem, "-noout", "-pubkey"], check=True,
                         capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True,
                         capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


def test_pinned_key():
    pem, key = make_certificate(folder.name, ("other.test",), "pinned")
    other, _ = make_certificate(folder.name, ("127.0.0.1",), "unpinned")
    with ScriptedServer(certificate=pem, key=key, implicit=True) as server:
        send(url_of(server, "smtps"), "--raw", "-", "--pin", pin_of(pem))
        _, err = send(url_of(server, "smtps"), "--raw", "-", "--pin", pin_of(other), status=1)
        expect(err, "not the pinned one")
        assert "--insecure" not in err, err
        _, err = send(url_of(server, "smtps"), "--raw", "-", "--pin", "abc", status=2)
        expect(err, "pinned key")
        assert len(server.messages) == 1


def test_own_certificate():
    pem, key = make_certificate(folder.name, ("127.0.0.1",), "server")
    own, own_key = make_certificate(folder.name, ("client.test",), "client")
    with ScriptedServer(certificate=pem, key=key, implicit=True, client_ca=own) as server:
        url = url_of(server, "smtps")
        send(url, "--raw", "-", "--ca-file", pem, "--client-cert", own, "--client-key", own_key)
        send(url, "--raw", "-", "--ca-file", pem)
        certificates = [s.certificate for s in server.wait_sessions(2)]
        assert certificates[0] and not certificates[1], certificates
        _, err = send(url, "--raw", "-", "--client-cert", own, status=2)
        expect(err, "--client-key")


def test_login_with_a_token():
    pem, key = make_certificate(folder.name, ("127.0.0.1",), "token")
    token = path_of("token", b"t" * 200 + b"\n")
    with ScriptedServer(certificate=pem, key=key, implicit=True, extensions=PLAIN + ("AUTH XOAUTH2",),
                        replies={"AUTH": "235 2.7.0 welcome"}) as server:
        # What it says to AUTH is all that is looked at here.
        server_url = url_of(server, "smtps")
        send(server_url, "--raw", "-", "--ca-file", pem, "--user", "joe", "--password-file", token,
             "--auth", "XOAUTH2", "-v")
        said = [line for line in server.commands() if line.startswith("AUTH XOAUTH2 ")]
        assert len(said) == 1 and b"Bearer " + b"t" * 200 in base64.b64decode(said[0][13:]), said


# --- content ---

def test_content_is_not_kept_in_memory():
    large = path_of("large.eml", b"Subject: x\n\n" + b"0123456789" * 7 + b"\n" + b"x\n" * (4 << 20))
    small = path_of("small.eml", b"Subject: x\n\nx\n")
    peaks = []
    process = None

    def note_peak(_line, _session):
        with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
            peaks.append(int(next(line for line in f if line.startswith("VmHWM:")).split()[1]))
        return "250 2.0.0 taken"

    with ScriptedServer(replies={"END": note_peak}) as server:
        for source in (small, large, "-"):
            with subprocess.Popen(["cat", large], stdout=subprocess.PIPE) as cat, \
                 subprocess.Popen([SMTPC, "send", "--server", url_of(server), "--from", "<>", "--to",
                                   "b@to.test", "--raw", source], stdout=subprocess.DEVNULL,
                                  stdin=cat.stdout) as process:
                cat.stdout.close()
                assert process.wait(60) == 0, process.returncode
        sizes = [len(m.content) for m in server.wait_messages(3)]
        assert sizes[1] == sizes[2] > 12 << 20, sizes
        expect(server.messages[1].parameters, f"SIZE={sizes[1]}")
        expect(server.messages[2].parameters, "BODY=8BITMIME")
    assert max(peaks) < peaks[0] + 4096, peaks


def test_wrong_calls():
    for more, words in ((("--notify", "never,success"), ("--notify",)),
                        (("--notify", "success,"), ("--notify",)),
                        (("--notify", "often"), ("often",)),
                        (("--ret", "some"), ("--ret some",)),
                        (("--raw", folder.name), ("Is a directory",)),
                        (("--client-key-password-file", "x"), ("--client-key",))):
        arguments = more if more[0] == "--raw" else ("--raw", "-") + more
        _, err = send("smtp://127.0.0.1:1", *arguments, status=2)
        expect(err, *words)


def test_json_of_lmtp():
    with ScriptedServer(replies={"END c@to.test": "552 5.2.2 full"}) as server:
        out, _ = send(url_of(server, "lmtp"), "--raw", "-", "--json", to=("b@to.test", "c@to.test"),
                      status=1)
        results = json.loads(out)["recipients"]
        assert [(r["accepted"], r["code"]) for r in results] == [(True, 250), (False, 552)], results


if __name__ == "__main__":
    tap.main(globals())
