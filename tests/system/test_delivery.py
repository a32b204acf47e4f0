# SPDX-License-Identifier: ISC
"""Mail that stays here: over mx, submission and submissions into Maildirs; who may send what to whom."""
import os
import re
import smtplib
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon, message


def refused(function, *args):
    """The reply with which a command is refused, "550 5.1.1"."""
    try:
        function(*args)
    except smtplib.SMTPRecipientsRefused as e:
        code, text = list(e.recipients.values())[0]
    except smtplib.SMTPResponseException as e:
        code, text = e.smtp_code, e.smtp_error
    else:
        raise AssertionError("was accepted")
    return f"{code} {text.decode().split()[0]}"


def test_mx_delivers_into_the_maildir():
    with Daemon() as d:
        with d.mx() as s:
            s.sendmail("author@remote.test", ["bob@example.test"], message("one"))
        mail = d.wait_mails("bob")[0]
        lines = mail.splitlines()
        assert lines[0] == "Return-Path: <author@remote.test>", lines[0]
        assert lines[1] == "Delivered-To: bob@example.test", lines[1]
        received = re.search(r"^Received: .*(\n[ \t].*)*", mail, re.M).group(0)
        assert "from client.test" in received and "[127.0.0.1]" in received, received
        assert "with ESMTP" in received and "by mail.example.test" in received, received
        assert "for <bob@example.test>" in received, received
        assert mail.endswith("\n\na test\n"), mail
        assert "\r" not in mail
        line = d.wait_log("event=delivery.done", "bob@example.test")
        queue_id = re.search(r"queue_id=(\S+)", line).group(1)
        assert queue_id in received and queue_id in d.wait_log("event=mail.accept")
        tap.wait_for(lambda: d.queue() == [], 10, "the queue does not empty")


def test_mx_refuses_what_is_not_ours():
    with Daemon() as d, d.mx() as s:
        s.ehlo()
        assert "auth" not in s.esmtp_features
        assert s.docmd("AUTH", "PLAIN AGEAYg==")[0] == 503
        s.mail("author@remote.test")
        code, text = s.rcpt("nobody@example.test")
        assert (code, text[:5]) == (550, b"5.1.1"), text
        code, text = s.rcpt("someone@elsewhere.test")
        assert (code, text[:5]) == (550, b"5.7.1"), text
        code, text = s.rcpt("BOB@Example.Test")
        assert code == 250, text
        d.wait_log("event=mail.refuse", "nobody@example.test")


def test_submission_by_implicit_tls_and_starttls():
    with Daemon() as d:
        for token, starttls in (("implicit", False), ("starttls", True)):
            with d.submission("alice", starttls) as s:
                s.sendmail("alice@example.test", ["bob@example.test"], message(token))
        for mail in d.wait_mails("bob", 2):
            assert "with ESMTPSA" in mail and "DKIM-Signature:" in mail, mail
        d.wait_log("event=auth.ok", "account=alice@example.test")
        d.wait_log("event=tls.start", "TLSv1.3")


def test_submission_wants_tls_and_login():
    with Daemon() as d:
        with smtplib.SMTP("127.0.0.1", d.base + 587, timeout=30) as s:
            s.ehlo("client.test")
            assert "auth" not in s.esmtp_features, s.esmtp_features
            assert s.mail("alice@example.test")[1][:5] == b"5.7.0"
            s.starttls(context=ssl._create_unverified_context())
            s.ehlo("client.test")
            assert s.mail("alice@example.test")[0] == 530
        for user in ("alice@example.test", "nobody@example.test", "alice"):
            with smtplib.SMTP_SSL("localhost", d.base + 465, context=d.tls_context()) as s:
                # smtplib tries each mechanism; a third failure would end the session.
                assert refused(s.login, user, "hunter2") == "535 5.7.8", user
        assert "hunter2" not in d.log_text()
        d.wait_log("event=auth.fail", "reason=\"wrong name or password\"")


def test_users_send_as_themselves_only():
    with Daemon() as d:
        out = d.ctl("alias", "add", "sales@example.test", "alice@example.test")
        assert out.returncode == 0, out.stderr
        with d.submission("alice") as s:
            s.ehlo()
            for sender in ("alice@example.test", "ALICE@example.test", "alice+x@example.test",
                           "sales@example.test"):
                assert s.mail(sender)[0] == 250, sender
                s.rset()
            code, text = s.mail("bob@example.test")
            assert (code, text[:5]) == (550, b"5.7.1"), text
            assert b"bob@example.test" in text
            code, text = s.mail("x@elsewhere.test")
            assert (code, text[:5]) == (550, b"5.7.1"), text


def test_aliases_plus_forms_and_catch_all():
    with Daemon() as d:
        assert d.ctl("alias", "add", "all@example.test", "alice@example.test",
                     "bob@example.test").returncode == 0
        with d.mx() as s:
            s.sendmail("a@remote.test", ["all@example.test"], message("all"))
            s.sendmail("a@remote.test", ["alice+news@example.test"], message("plus"))
            s.sendmail("a@remote.test", ["Postmaster@example.test"], message("pm"))
            s.sendmail("a@remote.test", ["all@example.test", "bob@example.test"],
                       message("once"))
        assert len(d.wait_mails("alice", 3)) == 3
        assert len(d.wait_mails("bob", 2)) == 2
        assert len(d.wait_mails("postmaster", 1)) == 1
        tap.wait_for(lambda: d.queue() == [], 10, "the queue does not empty")
        assert len(d.mails("bob")) == 2, "a recipient who is named twice gets it once"


def test_alias_to_nobody_is_added_with_a_warning():
    with Daemon(start=False) as d:
        out = d.ctl("alias", "add", "all@example.test", "alice@example.test", "bbo@example.test",
                    "bob+x@example.test", "any@remote.test")
        assert out.returncode == 0, out.stderr
        lines = out.stderr.splitlines()
        assert len(lines) == 1 and "warning" in lines[0] and "bbo@example.test" in lines[0], lines
        assert len(d.ctl_json("alias", "list")) == 4
        out = d.ctl("alias", "add", "other@example.test", "all@example.test")
        assert (out.returncode, out.stderr) == (0, ""), out.stderr
        out = d.ctl("alias", "add", "third@example.test", "all@example.test", "no address")
        assert out.returncode == 1 and "warning" not in out.stderr, out.stderr


def test_domain_with_a_wrong_catch_all_is_not_added():
    with Daemon(start=False) as d:
        out = d.ctl("domain", "add", "other.test", "--catch-all", "bob")
        assert out.returncode == 1 and out.stderr.count("\n") == 1, out
        assert "'bob' is no address" in out.stderr, out
        out = d.ctl("domain", "add", "other.test", "--catch-all", "bobo@example.test")
        assert out.returncode == 0 and "nobody has the address bobo@example.test" in out.stderr, out
        assert [row["catch_all"] for row in d.ctl_json("domain", "list")] == ["", "bobo@example.test"]


def test_alias_of_aliases():
    with Daemon() as d:
        names = [f"list{n}@example.test" for n in range(3)]
        for n, name in enumerate(names):
            out = d.ctl("alias", "add", name, *[f"u{n}x{i}@remote.test" for i in range(60)])
            assert out.returncode == 0, out.stderr
        assert d.ctl("alias", "add", "two@example.test", *names[:2]).returncode == 0
        assert d.ctl("alias", "add", "three@example.test", *names).returncode == 0
        with d.mx() as s:
            s.ehlo()
            s.mail("a@remote.test")
            code, text = s.rcpt("three@example.test")
            assert (code, text[:5]) == (550, b"5.3.5"), text
            assert s.rcpt("two@example.test")[0] == 250


def test_disabled_account():
    with Daemon() as d:
        assert d.ctl("account", "disable", "bob@example.test").returncode == 0
        with d.mx() as s:
            s.ehlo()
            s.mail("a@remote.test")
            code, text = s.rcpt("bob@example.test")
            assert (code, text[:5]) == (550, b"5.2.1"), text
        try:
            d.submission("bob")
            raise AssertionError("a disabled account can log in")
        except smtplib.SMTPAuthenticationError as e:
            assert e.smtp_code == 535
        assert d.ctl("account", "enable", "bob@example.test").returncode == 0
        with d.mx() as s:
            s.sendmail("a@remote.test", ["bob@example.test"], message("again"))
        d.wait_mails("bob")


def test_a_new_password_counts_at_once():
    with Daemon() as d:
        d.submission("alice").quit()
        out = d.ctl("account", "passwd", "alice@example.test", "--password-stdin",
                    stdin="another one\n")
        assert out.returncode == 0, out.stderr
        try:
            d.submission("alice")
            raise AssertionError("the old password is still good")
        except smtplib.SMTPAuthenticationError:
            pass
        with smtplib.SMTP_SSL("localhost", d.base + 465, context=d.tls_context()) as s:
            s.login("alice@example.test", "another one")


def test_large_message_and_limits():
    with Daemon("limits: { message_size: 1MiB, recipients: 100 }") as d:
        with d.mx() as s:
            s.ehlo()
            assert s.esmtp_features["size"] == "1048576"
            body = "x" * 70 + "\r\n"
            s.sendmail("a@remote.test", ["bob@example.test"],
                       message("big", body=body * 12000))
            try:
                s.sendmail("a@remote.test", ["bob@example.test"],
                           message("bigger", body=body * 16000))
                raise AssertionError("over the limit")
            except smtplib.SMTPSenderRefused as e:
                assert e.smtp_code == 552, e
            s.rset()
            s.mail("a@remote.test")
            s.rcpt("bob@example.test")
            s.putcmd("data")
            assert s.getreply()[0] == 354
            s.send(message("bigger", body=body * 16000).encode() + b"\r\n.\r\n")
            code, text = s.getreply()
            assert (code, text[:5]) == (552, b"5.3.4"), text
            s.sendmail("a@remote.test", ["bob@example.test"], message("small"))
        mails = d.wait_mails("bob", 2)
        assert sum(len(m) > 800000 for m in mails) == 1


def test_connection_lost_inside_data_leaves_nothing():
    with Daemon() as d:
        for end in (b"", b"\r\n.", b"\r\n.\r", b"x" * 200000):
            s = d.mx()
            s.ehlo()
            s.mail("a@remote.test")
            s.rcpt("bob@example.test")
            s.putcmd("data")
            s.getreply()
            s.send(message("lost").encode() + end)
            s.sock.close()
        with d.mx() as s:
            s.sendmail("a@remote.test", ["bob@example.test"], message("whole"))
        assert "Subject: whole" in d.wait_mails("bob")[0]
        tap.wait_for(lambda: d.spool_files() == [], 10, "something is left in the spool")
        assert len(d.mails("bob")) == 1


def test_forged_fields():
    with Daemon() as d:
        with d.mx() as s:
            s.sendmail("a@remote.test", ["bob@example.test"],
                       "Return-Path: <forged@x.test>\r\n" + message("forged"))
        mail = d.wait_mails("bob")[0]
        assert mail.count("Return-Path:") == 1 and "forged@x" not in mail, mail


def test_message_that_was_delivered_before():
    with Daemon() as d, d.mx() as s:
        s.ehlo()
        s.mail("victim@remote.test")
        s.rcpt("bob@example.test")
        code, text = s.data("Delivered-To: bob@example.test\r\n" + message("loop"))
        assert (code, text[:5]) == (554, b"5.4.6"), text
        s.mail("victim@remote.test")
        s.rcpt("bob@example.test")
        code, text = s.data("Delivered-To: alice@example.test\r\n" + message("forwarded"))
        assert code == 250, text
        d.wait_mails("bob")


def test_too_many_received_fields():
    with Daemon() as d, d.mx() as s:
        s.ehlo()
        s.mail("a@remote.test")
        s.rcpt("bob@example.test")
        code, text = s.data("Received: from a by b; now\r\n" * 101 + message("loop"))
        assert (code, text[:5]) == (554, b"5.4.6"), text


if __name__ == "__main__":
    tap.main(globals())
