# SPDX-License-Identifier: ISC
"""BDAT through all of smtpd: into the spool, into a Maildir, on to another host, and signed on the way."""
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon, message
from remote import relaying, settled, submit, verify_signature, wait_report
from scripted import ScriptedServer


def text(token, end=b"\r\n"):
    return message(token, body="last line").encode().rstrip(b"\r\n") + end


def bdat(s, octets, last=False):
    """One chunk, command and octets in one write."""
    s.send(b"BDAT %d%s\r\n" % (len(octets), b" LAST" if last else b"") + octets)
    return s.getreply()


def begin(s, sender="author@remote.test", *recipients):
    s.ehlo()
    assert "chunking" in s.esmtp_features and "binarymime" not in s.esmtp_features
    assert s.mail(sender)[0] == 250
    for recipient in recipients or ("bob@example.test",):
        assert s.rcpt(recipient)[0] == 250, recipient


def test_chunks_become_a_message():
    with Daemon() as d, d.mx() as s:
        begin(s)
        content = text("chunks")
        assert bdat(s, content[:10])[0] == 250
        assert bdat(s, b"")[0] == 250
        code, reply = bdat(s, content[10:], last=True)
        assert code == 250 and b"Queued as" in reply, reply
        mail = d.wait_mails("bob")[0]
        assert "Subject: chunks" in mail and mail.endswith("\n\nlast line\n"), mail
        assert "with ESMTP" in mail


def test_content_without_a_final_crlf_gets_one():
    """In the Maildir, and where it goes on by DATA; what comes behind it is not touched."""
    with ScriptedServer() as remote, relaying(remote) as d:
        with d.mx() as s:
            begin(s)
            assert bdat(s, text("here", b""), last=True)[0] == 250
        assert d.wait_mails("bob")[0].endswith("\n\nlast line\n")
        with d.submission("alice") as s:
            begin(s, "alice@example.test", "someone@elsewhere.test")
            assert bdat(s, text("there", b""), last=True)[0] == 250
        remote.wait_messages(1)
        content = remote.messages[0].content
        assert content.endswith(b"\r\n\r\nlast line\r\n"), content[-60:]
        assert verify_signature(d, content), content
        with d.submission("alice") as s:
            begin(s, "alice@example.test", "bob@example.test")
            assert bdat(s, b"From: alice@example.test\r\nMessage-ID: <only@one.test>", True)[0] == 250
        mail = d.wait_mails("bob", 2)
        mail = [m for m in mail if "only@one.test" in m][0]
        assert mail.count("\nMessage-ID:") == 1 and mail.endswith("<only@one.test>\n"), mail


def test_a_long_message_in_chunks():
    """More than what stays in memory, so that workers write it and the session waits for them."""
    with Daemon() as d, d.mx() as s:
        begin(s)
        body = (b"x" * 76 + b"\r\n") * 13000
        assert bdat(s, b"Subject: long\r\n\r\n")[0] == 250
        for at in range(0, len(body), 100000):
            assert bdat(s, body[at:at + 100000])[0] == 250
        assert bdat(s, b"the end", last=True)[0] == 250
        mail = d.wait_mails("bob")[0]
        assert mail.endswith("x\nthe end\n") and mail.count("\nxxx") == 13000, len(mail)


def test_everything_in_one_write():
    with Daemon() as d, socket.create_connection(("127.0.0.1", d.mx_port), 30) as s:
        content = text("one write")
        wire = (b"EHLO client.test\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<bob@example.test>\r\n"
                b"BDAT 5\r\n" + content[:5] + b"BDAT %d LAST\r\n" % (len(content) - 5) +
                content[5:] + b"MAIL FROM:<>\r\nBDAT 6 LAST\r\nQUIT\r\nQUIT\r\n")
        s.sendall(wire)
        answer = b""
        while not answer.endswith(b"221 2.0.0 bye\r\n"):
            octets = s.recv(4096)
            assert octets, answer
            answer += octets
        codes = [line[:3] for line in answer.splitlines() if line[3:4] == b" "]
        assert codes == [b"220", b"250", b"250", b"250", b"250", b"250", b"250", b"503", b"221"], answer
        assert "Subject: one write" in d.wait_mails("bob")[0]


def test_refused_chunks():
    with Daemon("limits: { message_size: 64KiB }\n") as d, d.mx() as s:
        begin(s)
        assert bdat(s, b"a bare\nnewline", last=True)[0] == 554
        begin(s)
        assert bdat(s, b"x" * 70000)[0] == 552
        assert bdat(s, b"QUIT\r\n", last=True)[0] == 552
        begin(s)
        assert bdat(s, text("after it"), last=True)[0] == 250
        assert "Subject: after it" in d.wait_mails("bob")[0]
        tap.wait_for(lambda: d.spool_files() == [], 20, "files are left in the spool")


def test_half_a_chunk_is_no_message():
    with Daemon() as d:
        with d.mx() as s:
            begin(s)
            s.send(b"BDAT 1000 LAST\r\n" + text("half"))
            s.sock.shutdown(socket.SHUT_WR)
            assert s.getreply()[0] == 451
        with d.mx() as s:
            begin(s)
            assert bdat(s, text("no last one"))[0] == 250
        d.wait_log("event=session.close", "messages=0")
        tap.wait_for(lambda: d.spool_files() == [], 20, "files are left in the spool")
        assert d.mails("bob") == []


CHUNKING = ("PIPELINING", "8BITMIME", "SIZE 52428800", "ENHANCEDSTATUSCODES", "CHUNKING")


def test_relay_by_chunks():
    """Short and long, with dots and bare ends of content: what arrives is what was signed."""
    bodies = {"short": ".\r\n..\r\nlast line\r\n", "long": ("." + "y" * 99 + "\r\n") * 4000}
    with ScriptedServer(extensions=CHUNKING) as remote, relaying(remote) as d:
        for count, (token, body) in enumerate(bodies.items(), 1):
            submit(d, "someone@elsewhere.test", token, body)
            remote.wait_messages(count)
            content = remote.messages[-1].content
            assert content.endswith(b"\r\n\r\n" + body.encode()), content[-80:]
            assert verify_signature(d, content)
        assert not any(line.startswith("DATA") for line in remote.commands())
        assert sum(line.startswith("BDAT") for line in remote.commands()) > 3


def test_refused_chunk_bounces():
    with ScriptedServer({"BDAT": "554 5.7.1 we do not want this"}, extensions=CHUNKING) as remote, \
            relaying(remote) as d:
        submit(d, "someone@elsewhere.test", "long", "z" * 70 + "\r\n" + ("z" * 98 + "\r\n") * 3000)
        report = wait_report(d)
        assert report.status("someone@elsewhere.test") == ("failed", "5.7.1"), report.text
        assert remote.messages == []


def test_connection_lost_in_a_chunk_is_tried_again():
    with ScriptedServer(cut="content", cut_after=10000, extensions=CHUNKING) as remote, \
            relaying(remote) as d:
        submit(d, "someone@elsewhere.test", "long", ("z" * 98 + "\r\n") * 3000)
        d.wait_log("event=delivery.defer")
        remote.cut = set()
        remote.wait_messages(1)
        assert remote.messages[0].content.endswith(b"z\r\n")
        settled(d)
        assert len(remote.messages) == 1


if __name__ == "__main__":
    tap.main(globals())
