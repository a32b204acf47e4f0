# SPDX-License-Identifier: ISC
"""What authors are told: reports of failure and of delay, and what happens to reports that fail."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import message
from remote import (RETRY, Report, lines_of, relaying, reports, settled, submit, tries,
                    verify_signature, wait_report)
from scripted import ScriptedServer


def test_report_of_a_failure():
    with ScriptedServer({"RCPT": "550 5.1.1 No such user, sorry"}) as server, relaying(server) as d:
        submit(d, "carol@remote.test", "lost")
        report = wait_report(d)
        mail = report.mail
        assert mail["From"].addresses[0].addr_spec == "postmaster@example.test"
        assert [a.addr_spec for a in mail["To"].addresses] == ["alice@example.test"]
        assert mail["Auto-Submitted"].startswith("auto-"), mail["Auto-Submitted"]
        assert mail.get_param("report-type") == "delivery-status"
        assert mail["Date"].datetime and mail["Message-ID"] and mail["MIME-Version"] == "1.0"
        assert mail["Return-Path"] == "<>", "the null reverse-path"
        assert "The server 127.0.0.1 said:" in report.words and "No such user, sorry" in report.words

        assert report.message["Reporting-MTA"] == "dns; mail.example.test"
        assert report.message["Arrival-Date"]
        row = report.row("carol@remote.test")
        assert row["Action"] == "failed" and row["Status"] == "5.1.1"
        assert row["Remote-MTA"] == "dns; 127.0.0.1", row["Remote-MTA"]
        assert row["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user, sorry"
        assert row["Original-Recipient"] == row["Final-Recipient"] == "rfc822; carol@remote.test"
        assert row["Last-Attempt-Date"] and row["Will-Retry-Until"] is None
        assert report.original["Subject"] == "lost" and report.original["Message-ID"]
        assert "a test" not in report.text, "only the header is returned"

        settled(d)
        line = d.wait_log("event=bounce.sent", "to=alice@example.test")
        assert "queue_id=" in line
        d.wait_log("event=delivery.fail", "carol@remote.test", "550 5.1.1 No such user, sorry")
        assert len(d.mails("alice")) == 1 and tries(server) == 1


def test_report_goes_out_signed():
    """A report to a stranger about an alias that leads elsewhere: it tells the alias only."""
    with ScriptedServer({"RCPT carol@remote.test": "550 5.2.1 no"}) as server, relaying(server) as d:
        assert d.ctl("alias", "add", "away@example.test", "carol@remote.test").returncode == 0
        with d.mx() as s:
            s.sendmail("x@sender.test", ["away@example.test"], message("forward"))
        got = server.wait_messages(1)[0]
        assert got.sender == "" and got.recipients == ["x@sender.test"]
        report = Report(got.content.decode())
        assert report.status("away@example.test") == ("failed", "5.2.1")
        assert "carol@" not in report.text, report.text
        fields = verify_signature(d, got.content)
        assert fields[b"d"] == b"example.test"
        assert report.mail["From"].addresses[0].domain == "example.test", "aligned"
        settled(d)
        assert reports(d) == []


def test_all_that_fails_at_once_is_one_report():
    with ScriptedServer({"END": "554 5.6.0 spam\nsecond line is not shown"}) as server, \
         relaying(server) as d:
        server.replies["END"] = "554-5.6.0 We do not\n554 5.6.0 want this"
        submit(d, ["carol@remote.test", "dave@remote.test", "bob@example.test"])
        report = wait_report(d)
        assert len(report.recipients) == 2
        for name in ("carol", "dave"):
            assert report.status(f"{name}@remote.test") == ("failed", "5.6.0")
        diagnostic = report.row("carol@remote.test")["Diagnostic-Code"]
        assert "We do not" in diagnostic and "want this" in diagnostic, diagnostic
        d.wait_mails("bob")
        settled(d)
        assert len(reports(d)) == 1


def test_hostile_texts():
    """What a server says can't forge fields, parts or log lines of ours."""
    text = ("550 5.1.1 \x1b[2J\x00 --report\tX-Forged: yes \u00fc\u00df " + "w" * 300 + " " +
            "many words " * 20)
    with ScriptedServer({"RCPT": text}) as server, relaying(server) as d:
        submit(d, "carol@remote.test", "lost")
        report = wait_report(d)
        assert report.status("carol@remote.test") == ("failed", "5.1.1")
        assert len(report.recipients) == 1 and report.mail["X-Forged"] is None
        assert all(0x20 <= ord(c) < 0x7f or c in "\n\t" for c in report.text), report.text
        assert max(len(line) for line in report.text.split("\n")) <= 998
        d.wait_log("event=delivery.fail")
        for line in d.log_text().splitlines():
            assert line.startswith("event=") and "\x1b" not in line, line
        settled(d)
        assert "\x1b" not in d.ctl("queue", "list").stdout


def test_non_ascii_header_is_returned():
    with ScriptedServer({"RCPT": "550 5.1.1 no"}) as server, relaying(server) as d:
        with d.submission("alice") as s:
            s.sendmail("alice@example.test", ["carol@remote.test"],
                       message("Gr\u00fc\u00dfe").encode(), ["BODY=8BITMIME"])
        report = wait_report(d)
        assert report.mail["Content-Transfer-Encoding"] == "8bit"
        assert "Subject: Gr\u00fc\u00dfe" in report.text


def dead_rows(d):
    return [row for row in d.queue() if row["state"] == "dead"]


def test_no_report_about_a_report():
    with ScriptedServer({"RCPT": "550 5.1.1 no"}) as server, relaying(server) as d:
        assert d.ctl("alias", "add", "away@example.test", "carol@remote.test").returncode == 0
        with d.mx() as s:
            s.sendmail("x@sender.test", ["away@example.test"], message("forward"))
        d.wait_log("event=bounce.sent", "to=x@sender.test")
        line = d.wait_log("event=bounce.dead")
        row, = tap.wait_for(lambda: dead_rows(d), 10)
        assert row["queue_id"] in line and row["from"] == "<>" and row["to"] == "x@sender.test"
        assert len(d.queue()) == 1
        tap.wait_for(lambda: os.listdir(os.path.join(d.dir, "data/spool/bounce")), 10)
        out = d.ctl("queue", "cat", row["queue_id"])
        assert out.returncode == 0 and "report-type=delivery-status" in out.stdout, out
        out = d.ctl("queue", "show", row["queue_id"])
        assert out.returncode == 0 and "550 5.1.1 no" in out.stdout, out
        assert d.stop() == 0
        before = tries(server)
        d.start()
        submit(d, "bob@example.test")
        d.wait_mails("bob")
        assert [r["queue_id"] for r in d.queue()] == [row["queue_id"]]
        assert tries(server) == before, "a dead letter is not tried again"
        out = d.ctl("queue", "remove", row["queue_id"])
        assert out.returncode == 0, out.stderr
        assert d.queue() == []


def test_mail_with_the_null_reverse_path_is_not_reported():
    with ScriptedServer({"RCPT": "550 5.1.1 no"}) as server, relaying(server) as d:
        assert d.ctl("alias", "add", "away@example.test", "carol@remote.test").returncode == 0
        with d.mx() as s:
            s.sendmail("", ["away@example.test", "bob@example.test"], message("auto"))
        d.wait_mails("bob")
        d.wait_log("event=bounce.dead")
        assert not lines_of(d, "event=bounce.sent")
        assert [row["to"] for row in tap.wait_for(lambda: dead_rows(d), 10)] == ["carol@remote.test"]


def test_end_of_the_lifetime():
    with ScriptedServer({"RCPT": "451 4.2.1 later"}) as server, \
         relaying(server, "queue: { retry: [1s], lifetime: 3s, delay_notice: 1h }") as d:
        begin = time.monotonic()
        submit(d, "carol@remote.test")
        report = wait_report(d)
        assert 2.9 <= time.monotonic() - begin < 9
        row = report.row("carol@remote.test")
        assert row["Action"] == "failed" and row["Status"] == "4.4.7", row
        assert row["Diagnostic-Code"] == "smtp; 451 4.2.1 later", row
        d.wait_log("event=delivery.fail", "reason=\"4.4.7")
        settled(d)
        assert tries(server) >= 3 and len(reports(d)) == 1


def test_end_of_the_lifetime_without_any_server():
    with ScriptedServer() as gone:
        pass
    with relaying(gone, "queue: { retry: [1s], lifetime: 2s, delay_notice: 1h }") as d:
        submit(d, "carol@remote.test")
        report = wait_report(d)
        assert report.status("carol@remote.test") == ("failed", "4.4.7")
        row = report.row("carol@remote.test")
        assert row["Diagnostic-Code"].startswith("x-smtpd; 4.4.1"), row["Diagnostic-Code"]
        assert "Trouble with the server 127.0.0.1:" in report.words, "nobody said anything"


def test_notice_of_a_delay_comes_once():
    with ScriptedServer({"RCPT": "450 4.2.1 later"}) as server, \
         relaying(server, "queue: { retry: [1s], lifetime: 1h, delay_notice: 1s }") as d:
        submit(d, "carol@remote.test", "slow")
        report = wait_report(d)
        row = report.row("carol@remote.test")
        assert row["Action"] == "delayed" and row["Status"] == "4.2.1", row
        assert row["Will-Retry-Until"] and row["Diagnostic-Code"] == "smtp; 450 4.2.1 later"
        assert report.mail["Auto-Submitted"].startswith("auto-")
        assert report.mail["Return-Path"] == "<>"
        assert report.original["Subject"] == "slow"
        before = tries(server)
        server.wait_for(lambda: tries(server) >= before + 1)
        assert d.stop() == 0
        d.start()
        server.wait_for(lambda: tries(server) >= before + 3)
        server.replies.clear()
        server.wait_messages(1)
        settled(d)
        assert len(reports(d)) == 1, "one notice, over a restart too"


if __name__ == "__main__":
    tap.main(globals())
