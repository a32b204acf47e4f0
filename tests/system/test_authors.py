# SPDX-License-Identifier: ISC
"""Who may stand in From and Sender of a submission: those whose mail reaches the login, and nobody else,
however the field is written."""
import base64
import os
import signal
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon

ME, ALIAS, OTHER = "alice@example.test", "sales@example.test", "bob@example.test"
ENCODED = base64.b64encode(OTHER.encode()).decode()
FOREIGN, ILL = "550 5.7.1", "554 5.6.0"


def submit(s, header, sender=ME, body=b"text\r\n"):
    """The code of the reply to a message with this header section, and its text."""
    if isinstance(header, str):
        header = header.encode()
    assert s.mail(sender)[0] == 250, sender
    assert s.rcpt(OTHER)[0] == 250
    code, text = s.data(header + b"\r\n" + body)
    return f"{code} {text.decode().split()[0]}", text.decode()


TAKEN = {
    "own": f"From: {ME}\r\n",
    "any case": "FROM: <ALICE@Example.Test>\r\n",
    "named": f"From: Alice <{ME}>\r\n",
    "alias": f"From: {ALIAS}\r\n",
    "plus form": "From: alice+news@example.test\r\n",
    "quoted": "From: \"alice\"@example.test\r\n",
    "two of them": f"From: {ME}, Sales <{ALIAS}>\r\n",
    "group": f"From: Us: {ME}, {ALIAS};\r\n",
    "folded": f"From: Alice\r\n (of sales)\r\n <{ME}>\r\n",
    "blanks around dots": "From: alice @ example . test\r\n",
    "blank before the colon": f"From : {ME}\r\n",
    "other address as name": f"From: \"{OTHER}\" <{ME}>\r\n",
    "other address in a comment": f"From: {ME} ({OTHER})\r\n",
    "encoded name": f"From: =?utf-8?b?{ENCODED}?= <{ME}>\r\n",
    "UTF-8 name": f"From: \u00c4lice <{ME}>\r\n",
    "own Sender": f"From: {ALIAS}\r\nSender: Alice <{ME}>\r\n",
    "other in Reply-To": f"From: {ME}\r\nReply-To: {OTHER}\r\n",
    "other in the body": f"From: {ME}\r\n\r\nFrom: {OTHER}\r\n",
}

REFUSED = {
    "other": (f"From: {OTHER}\r\n", FOREIGN),
    "other, named as oneself": (f"From: \"{ME}\" <{OTHER}>\r\n", FOREIGN),
    "other behind comment": (f"From: ({ME}) {OTHER}\r\n", FOREIGN),
    "no such user": ("From: nobody@example.test\r\n", FOREIGN),
    "from elsewhere": ("From: alice@elsewhere.test\r\n", FOREIGN),
    "literal": ("From: alice@[127.0.0.1]\r\n", FOREIGN),
    "UTF-8 domain": ("From: alice@ex\u00e4mple.test\r\n", FOREIGN),
    "second is another": (f"From: {ME}, {OTHER}\r\n", FOREIGN),
    "first is another": (f"From: {OTHER}, {ME}\r\n", FOREIGN),
    "group with another": (f"From: {ME}, Us: {ALIAS}, {OTHER};\r\n", FOREIGN),
    "route": (f"From: <@elsewhere.test:{ME}>\r\n", ILL),
    "other behind a route": (f"From: <@example.test:{OTHER}>\r\n", ILL),
    "other in a plus form": (f"From: \"alice+<{OTHER}>\"@example.test\r\n", ILL),
    "octets that end lines for some": (f"From: {ME}\r\nSubject: x\vFrom: {OTHER}\r\n", ILL),
    "NUL in another field": (f"From: {ME}\r\nSubject: x\0From: {OTHER}\r\n", ILL),
    "other, blanks around dots": ("From: bob (x) @ example . test\r\n", FOREIGN),
    "other as Sender": (f"From: {ME}\r\nSender: {OTHER}\r\n", FOREIGN),
    "encoded address": (f"From: =?utf-8?b?{ENCODED}?=\r\n", ILL),
    "encoded local part": ("From: =?utf-8?q?bob=40example.test?=@example.test\r\n", ILL),
    "other as bare name": (f"From: {OTHER} <{ME}>\r\n", ILL),
    "two in angles": (f"From: <{OTHER}> <{ME}>\r\n", ILL),
    "other behind": (f"From: <{ME}> {OTHER}\r\n", ILL),
    "quote not closed": (f"From: \"<{OTHER}> <{ME}>\r\n", ILL),
    "nothing": ("From:\r\n", ILL),
    "null path": ("From: <>\r\n", ILL),
    "name only": ("From: Bob\r\n", ILL),
    "empty group": ("From: Nobody:;\r\n", ILL),
    "51 authors": (f"From: {','.join([ME] * 51)}\r\n", ILL),
    "Latin-1": (b"From: B\xf6b <alice@example.test>\r\n", ILL),
    "control octet": (f"From: \x01 <{ME}>\r\n", ILL),
    "fold of blanks only": (f"From: {ME}\r\n \r\n ,{OTHER}\r\n", ILL),
    "missing": ("Subject: x\r\n", ILL),
    "no header section": ("", ILL),
    "two From fields": (f"From: {ME}\r\nSubject: x\r\nfrom: {ME}\r\n", ILL),
    "two From fields, blank before the colon": (f"From: {ME}\r\nFrom\t: {OTHER}\r\n", ILL),
    "two Sender fields": (f"From: {ME}\r\nSender: {ME}\r\nSender: {ME}\r\n", ILL),
    "two in Sender": (f"From: {ME}\r\nSender: {ME}, {ALIAS}\r\n", ILL),
    "empty Sender": (f"From: {ME}\r\nSender:\r\n", ILL),
    "line that is no field": (f"From: {ME}\r\nno field\r\nFrom: {OTHER}\r\n", ILL),
    "first line that is no field": (f"From {ME}\r\nFrom: {ME}\r\n", ILL),
    "fold first": (f" From: {OTHER}\r\nFrom: {ME}\r\n", ILL),
    "NUL in the name": (f"From: {ME}\r\n\0From: {OTHER}\r\n", ILL),
}


def with_alias(d):
    out = d.ctl("alias", "add", ALIAS, ME)
    assert out.returncode == 0, out.stderr
    return d


def test_own_addresses():
    with Daemon() as d, with_alias(d).submission() as s:
        for name, header in TAKEN.items():
            code, text = submit(s, header)
            assert code == "250 2.0.0", (name, text)
        assert len(d.wait_mails("bob", len(TAKEN))) == len(TAKEN)


def test_refused():
    with Daemon() as d, with_alias(d).submission() as s:
        for name, (header, expected) in REFUSED.items():
            code, text = submit(s, header)
            assert code == expected, (name, text)
        assert submit(s, f"From: {ME}\r\n")[0] == "250 2.0.0"
        assert len(d.wait_mails("bob")) == 1
        assert d.log_text().count("event=mail.refuse") == len(REFUSED)


def test_on_both_ports_and_with_a_null_reverse_path():
    with Daemon() as d:
        for starttls in (False, True):
            with d.submission("alice", starttls) as s:
                code, text = submit(s, f"From: Alice <{ME}>, Bob <{OTHER}>\r\n")
                assert code == FOREIGN and f"<{OTHER}>" in text and "From" in text, text
                code, text = submit(s, f"From: {ME}\r\nSender: {OTHER}\r\n")
                assert code == FOREIGN and f"<{OTHER}>" in text and "Sender" in text, text
                assert submit(s, f"From: {OTHER}\r\n", sender="")[0] == FOREIGN
                assert submit(s, f"From: {ME}\r\n", sender="")[0] == "250 2.0.0"
        d.wait_log("event=mail.refuse", "account=alice@example.test", "reply=\"550 5.7.1\"",
                   f"reason=\"From names {OTHER}\"")
        d.wait_log("event=mail.refuse", f"reason=\"Sender names {OTHER}\"")
        assert d.spool_files("corrupt") == []


def test_the_reply_is_safe():
    with Daemon() as d, d.submission() as s:
        long = "x" * 60
        code, text = submit(s, f"From: \"{long} \\\"\"@{'.'.join(['y' * 60] * 4)}\r\n")
        assert code == FOREIGN and "y" * 60 in text, text
        assert submit(s, "From: b\u0085b@example.test\r\n") == (
            FOREIGN, "5.7.1 <b??b@example.test> in From is not an address of your account")
        assert s.noop()[0] == 250


def test_header_section_too_large():
    """What is not looked at is not signed; more than one 64 KiB, on the border and far over it."""
    line = "X-Filler: " + "y" * 60 + "\r\n"
    with Daemon() as d, d.submission() as s:
        for size in (65536, 65600, 130000, 140000, 300000):
            fill = line * ((size - len(f"From: {ME}\r\n\r\n")) // len(line) + 1)
            code, text = submit(s, f"From: {ME}\r\n" + fill)
            assert code == "552 5.3.4", (size, text)
            code, text = submit(s, fill + f"From: {OTHER}\r\n")
            assert code == "552 5.3.4", (size, text)
        fill = line * (65000 // len(line))
        assert submit(s, f"From: {ME}\r\n" + fill, body=b"text\r\n" * 50000)[0] == "250 2.0.0"
        mail = d.wait_mails("bob")[0]
        head = mail[:mail.index("\n\n")]
        assert head.count("\nDate:") == 1 and head.count("\nMessage-ID:") == 1
        d.wait_log("event=mail.refuse", "reason=\"The header section is larger than 64 KiB\"")


def test_signed_for_the_domain_in_from():
    with Daemon() as d:
        for args in (("domain", "add", "other.test"), ("dkim", "add", "other.test"),
                     ("alias", "add", "info@other.test", ME)):
            out = d.ctl(*args)
            assert out.returncode == 0, out.stderr
        with d.submission() as s:
            assert submit(s, "From: info@other.test\r\n")[0] == "250 2.0.0"
        assert " d=other.test;" in d.wait_mails("bob")[0]


def test_silent_keeper():
    with Daemon() as d, with_alias(d).submission() as s:
        keeper = d.children()["keeper"]
        assert s.mail(ME)[0] == 250 and s.rcpt(OTHER)[0] == 250
        os.kill(keeper, signal.SIGSTOP)
        try:
            code, text = s.data(f"From: {ALIAS}\r\n\r\ntext\r\n".encode())
            assert (code, text[:5]) == (451, b"4.3.0"), text
        finally:
            os.kill(keeper, signal.SIGCONT)
        d.wait_log("event=mail.refuse", "reply=\"451 4.3.0\"", "reason=\"timed out\"")
        assert submit(s, f"From: {ALIAS}\r\n")[0] == "250 2.0.0"
        assert len(d.wait_mails("bob")) == 1


def test_client_gone_while_the_keeper_is_asked():
    with Daemon() as d:
        keeper = with_alias(d).children()["keeper"]
        s = d.submission()
        assert s.mail(ME)[0] == 250 and s.rcpt(OTHER)[0] == 250 and s.docmd("DATA")[0] == 354
        os.kill(keeper, signal.SIGSTOP)
        try:
            s.send(f"From: {ALIAS}\r\n\r\ntext\r\n.\r\n".encode())
            s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
            d.wait_log("event=session.close")
        finally:
            os.kill(keeper, signal.SIGCONT)
        with d.submission() as s:
            assert submit(s, f"From: {ALIAS}\r\n")[0] == "250 2.0.0"
        d.wait_mails("bob")


def test_chunks():
    """By BDAT content ends where it likes, also within the From field."""
    rows = ((f"From: {ME}", "250 2.0.0"), (f"From: {OTHER}", FOREIGN), (f"From: {ME}, {OTHER}", FOREIGN),
            (f"From: {ME}\r", ILL), (f"From: {ME}\r\nSender: {OTHER}", FOREIGN), ("Subject: x", ILL),
            ("", ILL))
    with Daemon() as d, d.submission() as s:
        for content, expected in rows:
            assert s.mail(ME)[0] == 250 and s.rcpt(OTHER)[0] == 250
            half = len(content) // 2
            s.send(f"BDAT {half}\r\n{content[:half]}".encode())
            assert s.getreply()[0] == 250
            s.send(f"BDAT {len(content) - half} LAST\r\n{content[half:]}".encode())
            code, text = s.getreply()
            assert f"{code} {text.decode().split()[0]}" == expected, (content, text)
        assert len(d.wait_mails("bob")) == 1


def test_other_hosts_may_write_what_they_like():
    with Daemon() as d, d.mx() as s:
        s.ehlo()
        for header in (f"From: {OTHER}\r\n", "Subject: x\r\n", f"From: {ME}\r\nFrom: {OTHER}\r\n"):
            assert submit(s, header, sender="a@remote.test")[0] == "250 2.0.0", header


if __name__ == "__main__":
    tap.main(globals())
