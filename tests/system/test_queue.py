# SPDX-License-Identifier: ISC
"""The queue over time: restarts, smtpctl queue with and without a daemon, schedules."""
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon, message
from remote import (RETRY, by_url, cut_off, lines_of, relaying, reports, settled, submit, url_of)
from scripted import ScriptedServer

LATER = "queue: { retry: [1h], lifetime: 5d }"


def test_restart_with_a_full_queue():
    with ScriptedServer({"GREETING": "421 4.3.2 closed"}) as server:
        with relaying(server, "queue: { retry: [1s], lifetime: 1h }\nlimits: { recipients: 200 }") as d:
            with d.submission("alice") as s:
                for n in range(200):
                    s.sendmail("alice@example.test", [f"r{n}@remote.test"],
                               message(f"m{n}", to=f"r{n}@remote.test"))
            tap.wait_for(lambda: len({line.split("queue_id=")[1].split()[0] for line in
                                      lines_of(d, "event=delivery.defer")}) == 200, 20)
            assert d.stop() == 0
            assert len(d.queue()) == 200
            d.start()
            server.replies.clear()
            server.wait_messages(200, 20)
            settled(d)
            got = sorted(m.recipients[0] for m in server.messages)
            assert got == sorted(f"r{n}@remote.test" for n in range(200)), "exactly once"
            assert len({m.content.split(b"Message-ID: <")[1] for m in server.messages}) == 200
            sessions = sum(bool(s.messages) for s in server.sessions)
            assert sessions <= 20, f"{sessions} connections for 200 messages to one server"


def test_kill_while_mail_goes_out():
    """What the server took before it is not sent again when that was written down, and nothing is lost."""
    with ScriptedServer(delays={"END": 0.05}) as server, relaying(server) as d:
        with d.submission("alice") as s:
            for n in range(40):
                s.sendmail("alice@example.test", [f"r{n}@remote.test"], message(f"m{n}"))
        server.wait_messages(5)
        d.kill()
        d.start()
        tap.wait_for(lambda: len({m.recipients[0] for m in server.messages}) == 40, 20)
        settled(d)
        # At most what was under way on each of the connections goes twice.
        assert len(server.messages) <= 40 + 20, len(server.messages)


def bad_weather(chance):
    """Servers that fail at random, at every point. Recipients whose name begins with "bad" get a 550."""
    def one(weather, good):
        def answer(line, session):
            if isinstance(line, str) and line.startswith("bad"):
                return "550 5.1.1 no such user"
            trouble = chance.random()
            if trouble > 0.08:
                return good
            return cut_off(line, session) if trouble < 0.03 else weather
        return answer
    return {"GREETING": one("421 4.3.2 busy", "220 weather.test ESMTP"),
            "MAIL": one("451 4.3.0 later", "250 2.1.0 ok"),
            "RCPT": one("450 4.7.1 later", "250 2.1.5 ok"),
            "DATA": one("421 4.3.2 closing", "354 go"),
            "END": one("452 4.3.1 full", "250 2.0.0 ok")}


def test_bad_weather():
    """Whatever servers do: each recipient gets each message once, or the author one report."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print(f"# SEED={seed}", flush=True)
    chance = random.Random(seed)
    sent = {n: [f"{chance.choice(('good', 'good', 'bad'))}{i}@{domain}.test"
                for i in range(chance.randrange(1, 4)) for domain in ("one", "two")]
            for n in range(60)}
    with ScriptedServer(bad_weather(chance)) as one, ScriptedServer(bad_weather(chance)) as two, \
         Daemon(RETRY, relay=by_url(url_of(one), {"two.test": url_of(two)})) as d:
        with d.submission("alice") as s:
            for n, recipients in sent.items():
                s.sendmail("alice@example.test", recipients, message(f"m{n}"))
        tap.wait_for(lambda: d.queue() == [], 60, "the queue does not empty")
        expected = sorted((n, to) for n, recipients in sent.items() for to in recipients)
        got = [(int(re.search(rb"Message-ID: <m(\d+)@", m.content).group(1)), to)
               for server in (one, two) for m in server.messages for to in m.recipients]
        assert sorted(got) == [row for row in expected if row[1].startswith("good")]
        told = [(int(report.original["Subject"][1:]), row["Final-Recipient"].split("; ")[1])
                for report in reports(d) for row in report.recipients]
        assert sorted(told) == [row for row in expected if row[1].startswith("bad")]


def test_schedule():
    times = []

    def rcpt(line, session):
        times.append(time.monotonic())
        return "450 4.2.1 later"
    with ScriptedServer({"RCPT": rcpt}) as server, \
         relaying(server, "queue: { retry: [1s, 2s], lifetime: 1h }") as d:
        submit(d, "carol@remote.test")
        tap.wait_for(lambda: len(times) >= 4, 20)
        waits = [b - a for a, b in zip(times, times[1:4])]
        assert all(low - 0.2 <= wait < low + 3 for low, wait in zip((1, 2, 2), waits)), waits
        tap.wait_for(lambda: len(lines_of(d, "event=delivery.defer")) >= 4, 10)
        row, = d.queue()

        def after_four():
            found = d.ctl_json("queue", "show", row["queue_id"])["recipients"][0]
            return found if found["attempts"] >= 4 else None
        shown = tap.wait_for(after_four, 10, "the fourth attempt is not recorded")
        assert shown["reply"] == "450 4.2.1 later", shown
        assert shown["host"] == "127.0.0.1" and shown["state"] == "deferred", shown
        assert 0 < shown["next_attempt_ms"] - shown["last_attempt_ms"] <= 3100, shown


def test_smtpctl_queue_with_a_daemon():
    with ScriptedServer({"RCPT": "450 4.2.1 later"}) as server, relaying(server, LATER) as d:
        assert "empty" in d.ctl("queue", "list").stdout
        submit(d, ["carol@remote.test", "dave@remote.test"], "one")
        submit(d, "erin@remote.test", "two")
        tap.wait_for(lambda: [r["state"] for r in d.queue()] == ["deferred"] * 3, 20)
        rows = d.queue()
        one, two = [next(r["queue_id"] for r in rows if r["to"].startswith(name))
                    for name in ("carol", "erin")]
        assert [r["to"] for r in rows if r["queue_id"] == one] == ["carol@remote.test",
                                                                   "dave@remote.test"]
        out = d.ctl("queue", "list").stdout
        assert out.count(one) == 2 and "450 4.2.1 later" in out and "alice@example.test" in out, out

        out = d.ctl("queue", "show", one)
        for part in (one, "alice@example.test", "carol@remote.test", "dave@remote.test",
                     "450 4.2.1 later", "submission"):
            assert part in out.stdout, (part, out)
        shown = d.ctl_json("queue", "show", one)
        assert shown["from"] == "alice@example.test" and shown["account"] == "alice@example.test"
        assert [r["attempts"] for r in shown["recipients"]] == [1, 1], shown

        out = d.ctl("queue", "cat", one).stdout
        assert out.startswith("DKIM-Signature:") and "Subject: one" in out, out
        assert out.endswith("\n\na test\n"), out

        server.replies.clear()
        assert d.ctl("queue", "retry", one).returncode == 0
        assert server.wait_messages(1, 10)[0].recipients == ["carol@remote.test",
                                                             "dave@remote.test"]
        tap.wait_for(lambda: [r["queue_id"] for r in d.queue()] == [two], 10)
        assert " ".join(server.commands()).count("erin") == 1, "the other one was tried too"

        assert d.ctl("queue", "remove", two).returncode == 0
        assert d.queue() == []
        for command in ("show", "cat", "retry", "remove"):
            out = d.ctl("queue", command, two)
            assert out.returncode == 1 and two in out.stderr, (command, out)
            assert d.ctl("queue", command, "../x").returncode == 2
        assert d.ctl("queue", "retry").returncode == 2
        assert d.ctl("queue", "retry", "--all").returncode == 0
        assert len(server.messages) == 1 and reports(d) == []


def test_retry_all():
    with ScriptedServer({"GREETING": "421 4.3.2 closed"}) as server, relaying(server, LATER) as d:
        for n in range(5):
            submit(d, f"r{n}@remote.test", f"m{n}")
        tap.wait_for(lambda: len(lines_of(d, "event=delivery.defer")) == 5, 20)
        server.replies.clear()
        assert d.ctl("queue", "retry", "--all").returncode == 0
        server.wait_messages(5, 10)
        settled(d)


def test_smtpctl_queue_without_a_daemon():
    with ScriptedServer({"RCPT": "450 4.2.1 later"}) as server, relaying(server, LATER) as d:
        submit(d, "carol@remote.test", "one")
        submit(d, "erin@remote.test", "two")
        tap.wait_for(lambda: [r["state"] for r in d.queue()] == ["deferred"] * 2, 20)
        assert d.stop() == 0
        one, two = [next(r["queue_id"] for r in d.queue() if r["to"].startswith(name))
                    for name in ("carol", "erin")]
        assert "450 4.2.1 later" in d.ctl("queue", "show", one).stdout
        assert "Subject: one" in d.ctl("queue", "cat", one).stdout
        out = d.ctl("queue", "retry", one)
        assert out.returncode == 1 and "does not run" in out.stderr, out
        assert d.ctl("queue", "remove", two).returncode == 0
        assert [r["queue_id"] for r in d.queue()] == [one]
        server.replies.clear()
        d.start()
        tap.wait_for(lambda: [r["queue_id"] for r in d.queue()] == [one], 10)
        assert d.ctl("queue", "retry", one).returncode == 0
        server.wait_messages(1, 10)
        settled(d)
        assert len(server.messages) == 1


def test_the_schedule_outlasts_a_restart():
    """A start is no reason to try what is not due."""
    with ScriptedServer({"RCPT": "450 4.2.1 later"}) as server, relaying(server, LATER) as d:
        submit(d, "carol@remote.test", "one")
        d.wait_log("event=delivery.defer")
        before = d.ctl_json("queue", "show", d.queue()[0]["queue_id"])["recipients"]
        assert d.stop() == 0
        d.start()
        submit(d, "bob@example.test", "a later one is delivered")
        d.wait_mails("bob")
        assert d.ctl_json("queue", "show", d.queue()[0]["queue_id"])["recipients"] == before
        assert len(server.sessions) == 1


def test_removed_while_it_is_sent():
    with ScriptedServer({"END": None}) as server, relaying(server, LATER) as d:
        submit(d, "carol@remote.test")
        server.wait_for(lambda: "DATA" in server.commands())
        queue_id = d.queue()[0]["queue_id"]
        out = d.ctl("queue", "remove", queue_id)
        assert out.returncode == 1 and queue_id in out.stderr, out
        assert [r["queue_id"] for r in d.queue()] == [queue_id]
        server.close()
        tap.wait_for(lambda: d.ctl("queue", "remove", queue_id).returncode == 0, 10)
        assert d.queue() == []


if __name__ == "__main__":
    tap.main(globals())
