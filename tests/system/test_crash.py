# SPDX-License-Identifier: ISC
"""kill -9 of the whole of smtpd at random moments while mail comes in and goes into Maildirs.

What was answered 250 is delivered whole; what was not may be delivered, whole too, once for each
time it was sent. CRASH_SEED repeats a run, as far as the scheduling of processes allows it.
"""
import hashlib
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon, message

ROUNDS = 10
MESSAGES = 200
LARGE = 200 * 1024  # beyond what is gathered in memory


def make_message(rng, token):
    """Text whose Subject tells its token and the checksum of its body."""
    size = LARGE if rng.random() < 0.05 else rng.randrange(100, 4000)
    body = "".join(f"{token} {line} {'x' * 60}\r\n" for line in range(size // 80 + 1))
    return message(f"{token}.{hashlib.sha256(body.encode()).hexdigest()}", body=body)


class Sender(threading.Thread):
    """One session that sends the messages of a list, until it is done or the server is gone."""

    def __init__(self, connect, sender, work, patient):
        super().__init__(daemon=True)
        self.connect, self.sender, self.work = connect, sender, list(work)
        self.accepted = []   # answered 250
        self.doubtful = []   # its last line may have been sent; no answer was seen
        self.odd = []        # any other answer
        self.patient = patient  # "try later" is none of those

    def run(self):
        try:
            with self.connect() as session:
                for mail in self.work:
                    self.send_one(session, mail)
        except (OSError, smtplib.SMTPException):
            pass

    def send_one(self, session, mail):
        if session.mail(self.sender)[0] != 250 or \
           any(session.rcpt(to)[0] != 250 for to in mail.recipients):
            session.rset()
            raise smtplib.SMTPServerDisconnected("refused before the content")
        self.doubtful.append(mail)
        code, text = session.data(mail.text)
        self.doubtful.pop()
        if code == 451 and self.patient:
            raise smtplib.SMTPServerDisconnected("to be sent again")
        if code == 250:
            self.accepted.append(mail)
        else:
            self.odd.append((code, text))


class Mail:
    def __init__(self, rng, token):
        self.token = token
        self.text = make_message(rng, token)
        self.recipients = ["bob@example.test"]
        if rng.random() < 0.2:
            self.recipients.append("alice@example.test")
        self.doubts = 0      # how often it may have been accepted unseen


def greeted(connect):
    def begin():
        session = connect()
        session.ehlo()
        return session
    return begin


def senders_for(d, mails, patient=False):
    """Four sessions from other hosts, one of each kind of submission."""
    ways = [(greeted(d.mx), "author@remote.test")] * 4
    ways += [(lambda s=s: d.submission("alice", s), "alice@example.test") for s in (False, True)]
    return [Sender(connect, sender, mails[i::len(ways)], patient)
            for i, (connect, sender) in enumerate(ways)]


def run_senders(senders, kill_after=None, kill=None):
    """Runs them; calls kill() when that many messages have been accepted, or when all are done."""
    for s in senders:
        s.start()
    if kill:
        while any(s.is_alive() for s in senders) and \
                sum(len(s.accepted) for s in senders) < kill_after:
            time.sleep(0.0005)
        kill()
    for s in senders:
        s.join(60)
        assert not s.is_alive(), "a session hangs"
    assert not any(s.odd for s in senders), [s.odd for s in senders if s.odd][0][0]
    for s in senders:
        for mail in s.doubtful:
            mail.doubts += 1
    return {mail for s in senders for mail in s.accepted}


def one_round(d, rng, number):
    """Sends, kills, starts, and sends what was not answered again."""
    mails = [Mail(rng, f"m{number:02}x{i:03}") for i in range(MESSAGES)]

    def kill():
        time.sleep(rng.random() * 0.02)
        d.kill()
    accepted = run_senders(senders_for(d, mails), rng.randrange(MESSAGES), kill)
    if rng.random() < 0.3:   # it dies while it looks through what it finds
        d.start_unwatched()
        time.sleep(rng.random() * 0.1)
        d.kill()
    d.start()
    first = len(accepted)
    accepted |= run_senders(senders_for(d, [m for m in mails if m not in accepted]))
    assert len(accepted) == MESSAGES, f"only {len(accepted)} of {MESSAGES} were taken in the end"
    print(f"# round {number}: {first} accepted before the kill", flush=True)
    return mails


def whole_token(text):
    """Its token, if the body is what was sent."""
    token, checksum = re.search(r"^Subject: (\w+)\.([0-9a-f]{64})$", text, re.M).groups()
    body = text.split("\n\n", 1)[1].replace("\n", "\r\n")
    assert hashlib.sha256(body.encode()).hexdigest() == checksum, f"{token} is not whole"
    return token


def check_mailbox(d, name, mails):
    counts = {}
    for text in d.mails(name):
        token = whole_token(text)
        counts[token] = counts.get(token, 0) + 1
    for mail in mails:
        if f"{name}@example.test" not in mail.recipients:
            continue
        count = counts.pop(mail.token, 0)
        assert count >= 1, f"{mail.token} for {name} was answered 250 and is lost"
        assert count <= 1 + mail.doubts, f"{mail.token} for {name} came {count} times"
    assert not counts, f"for {name}, nobody sent {counts}"


def seeded():
    seed = int(os.environ.get("CRASH_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"# CRASH_SEED={seed}", flush=True)
    return random.Random(seed)


def check_all(d, mails):
    tap.wait_for(lambda: d.spool_files() == [], 60, "something is left in the spool")
    assert d.queue() == []
    check_mailbox(d, "bob", mails)
    check_mailbox(d, "alice", mails)
    assert "queue.corrupt" not in d.log_text()
    assert d.stop() == 0


def test_accepted_mail_survives_kill_9():
    rng = seeded()
    mails = []
    with Daemon("limits: { connections_per_ip: 0 }") as d:
        for number in range(ROUNDS):
            mails += one_round(d, rng, number)
        check_all(d, mails)


def send_all(d, mails, then, kill):
    """Sends; kills when `then` of them are accepted; sends the rest until all are."""
    accepted = set()
    end = time.monotonic() + 60
    while len(accepted) < len(mails):
        assert time.monotonic() < end, f"only {len(accepted)} of {len(mails)} were taken in the end"
        senders = senders_for(d, [m for m in mails if m not in accepted], True)
        accepted |= run_senders(senders, then, kill)
        then, kill = 0, None


def test_accepted_mail_survives_the_end_of_a_child():
    rng = seeded()
    mails = []
    with Daemon("limits: { connections_per_ip: 0 }") as d:
        for number in range(6):
            name = ("mail", "keeper")[number % 2]
            batch = [Mail(rng, f"c{number:02}x{i:03}") for i in range(100)]
            send_all(d, batch, rng.randrange(100), lambda: os.kill(d.children()[name], signal.SIGKILL))
            d.wait_log(f"event={name}.restart", "signal=9")
            mails += batch
        check_all(d, mails)


def test_accepted_mail_survives_the_end_of_the_supervisor():
    """Its children end soon after it, by themselves, and give the ports back."""
    rng = seeded()
    mails = [Mail(rng, f"s{i:03}") for i in range(100)]
    with Daemon("limits: { connections_per_ip: 0 }") as d:
        def kill():
            d.process.kill()
            d.process.wait(30)
        # Patient: the keeper may be gone before the last submission is signed.
        accepted = run_senders(senders_for(d, mails, True), rng.randrange(100), kill)
        tap.wait_for(lambda: not d.is_alive(), 20, "its children live on")
        d.start()
        send_all(d, [m for m in mails if m not in accepted], 0, None)
        check_all(d, mails)


class Repeat(threading.Thread):
    """Does something again and again until it is told to stop."""

    def __init__(self, do, wait):
        super().__init__(daemon=True)
        self.do, self.wait, self.over, self.error = do, wait, threading.Event(), None

    def run(self):
        try:
            while not self.over.wait(self.wait):
                self.do()
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            self.error = error

    def stop(self):
        self.over.set()
        self.join(60)
        assert self.error is None, self.error


def test_work_goes_on_under_administration():
    """Reloads and questions about the queue while mail comes in: nothing is refused, lost or doubled."""
    rng = seeded()
    mails = [Mail(rng, f"a{i:03}") for i in range(600)]

    def expect(*args):
        out = d.ctl(*args)
        assert out.returncode == 0, out.stderr
    with Daemon("limits: { connections_per_ip: 0 }") as d:
        helpers = [Repeat(lambda: d.process.send_signal(signal.SIGHUP), 0.05),
                   Repeat(lambda: expect("status"), 0.02),
                   Repeat(d.queue, 0.02), Repeat(lambda: expect("queue", "retry", "--all"), 0.02)]
        for h in helpers:
            h.start()
        accepted = run_senders(senders_for(d, mails))
        for h in helpers:
            h.stop()
        assert len(accepted) == len(mails), "some were refused"
        assert not any(m.doubts for m in mails)
        check_all(d, mails)


if __name__ == "__main__":
    tap.main(globals())
