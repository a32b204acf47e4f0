# SPDX-License-Identifier: ISC
"""Disks that are full, folders that can't be written, spool files that can't be read: mail waits or
is answered 4yz, nothing is lost, nothing comes twice, and it goes on when the fault has gone."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon, message
from disk import clear, fill, frozen, small_disk

LARGE = "x" * 70 + "\r\n"
RETRY = "queue: { retry: [1s] }"


def spool_of(d):
    return os.path.join(d.dir, "data", "spool")


def subjects(d, name="bob"):
    return sorted(re.search(r"^Subject: (\S+)", mail, re.M).group(1) for mail in d.mails(name))


def wait_subjects(d, expected, seconds=30):
    tap.wait_for(lambda: subjects(d) == sorted(expected), seconds, f"not {expected} in the Maildir")


def wait_empty(d):
    tap.wait_for(lambda: d.spool_files() == [], 20, "something is left in the spool")


def submit(session, token, size=0, sender="author@remote.test"):
    """Sends one message; returns the reply to its end, "250 2.0.0"."""
    assert session.mail(sender)[0] == 250
    assert session.rcpt("bob@example.test")[0] == 250
    session.putcmd("data")
    assert session.getreply()[0] == 354
    body = LARGE * (size // len(LARGE)) + "the end\r\n"
    session.send(message(token, body=body).encode() + b".\r\n")
    code, text = session.getreply()
    return f"{code} {text.decode().split()[0]}"


# ---- No space in the spool ----

def full_spool(kind):
    with Daemon(RETRY, start=False) as d:
        data = os.path.join(d.dir, "data")
        with small_disk(data, kind):
            d.start()
            with d.mx() as mx, d.submission("alice") as alice:
                mx.ehlo()
                assert submit(mx, "before") == "250 2.0.0"
                wait_subjects(d, ["before"])
                wait_empty(d)
                filler = fill(data)
                for size in (0, 100 << 10, 300 << 10, 0):
                    assert submit(mx, f"full{size}", size) == "452 4.3.1", size
                    assert submit(alice, f"full{size}", size, "alice@example.test") == \
                        "452 4.3.1", size
                    assert mx.noop()[0] == 250
                d.wait_log("event=mail.refuse", "452 4.3.1")
                wait_empty(d)
                clear(filler)
                sent = ["before"]
                for size in (0, 300 << 10):
                    assert submit(mx, f"after{size}", size) == "250 2.0.0"
                    assert submit(alice, f"own{size}", size, "alice@example.test") == "250 2.0.0"
                    sent += [f"after{size}", f"own{size}"]
            wait_subjects(d, sent)
            wait_empty(d)
            assert d.stop() == 0


def test_full_spool_on_tmpfs():
    full_spool("tmpfs")


def test_full_spool_on_ext4():
    full_spool("ext4")


def test_room_for_small_ones_only():
    with Daemon(start=False) as d:
        data = os.path.join(d.dir, "data")
        with small_disk(data, "tmpfs"):
            d.start()
            filler = fill(data, leave=200 << 10)
            with d.mx() as s:
                s.ehlo()
                assert submit(s, "large1", 400 << 10) == "452 4.3.1"
                assert submit(s, "small1") == "250 2.0.0"
                wait_subjects(d, ["small1"])
                assert submit(s, "large2", 400 << 10) == "452 4.3.1"
                clear(filler)
                assert submit(s, "large3", 400 << 10) == "250 2.0.0"
            wait_subjects(d, ["small1", "large3"])
            wait_empty(d)
            assert d.stop() == 0


def test_what_waits_outlives_a_full_spool():
    """Neither the state of a message can be written then, nor a report; it waits all the same."""
    with Daemon(RETRY, start=False) as d:
        data = os.path.join(d.dir, "data")
        with small_disk(data, "tmpfs"):
            d.start()
            block_mailbox(d, "bob")
            with d.mx() as s:
                s.ehlo()
                assert submit(s, "waits") == "250 2.0.0"
            d.wait_log("event=delivery.defer", "bob@example.test")
            filler = fill(data)
            seen = d.log_text().count("event=delivery.defer")
            tap.wait_for(lambda: d.log_text().count("event=delivery.defer") > seen + 1, 30,
                         "it is not tried again")
            d.kill()
            d.start()
            unblock_mailbox(d, "bob")
            assert d.ctl("queue", "retry", "--all").returncode == 0
            wait_subjects(d, ["waits"])
            wait_empty(d)
            clear(filler)
            assert d.stop() == 0


# ---- Maildirs ----

def block_mailbox(d, name):
    """A file where the Maildir should be: nobody can write there, not even root."""
    path = d.mailbox(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii"):
        pass


def unblock_mailbox(d, name):
    os.unlink(d.mailbox(name))


def test_maildir_not_writable():
    with Daemon(RETRY) as d:
        block_mailbox(d, "bob")
        with d.mx() as s:
            s.sendmail("a@remote.test", ["bob@example.test", "alice@example.test"], message("one"))
            s.sendmail("a@remote.test", ["bob@example.test"], message("two"))
        assert len(d.wait_mails("alice")) == 1
        tap.wait_for(lambda: d.log_text().count("event=delivery.defer") >= 4, 30,
                     "it is not tried again")
        assert len(d.queue()) == 2
        assert d.stop() == 0
        d.start()
        unblock_mailbox(d, "bob")
        wait_subjects(d, ["one", "two"])
        wait_empty(d)
        assert subjects(d, "alice") == ["one"], "who has it gets it once"


def test_full_mail_disk():
    with Daemon(RETRY, start=False) as d:
        mail = os.path.join(d.dir, "mail")
        with small_disk(mail, "tmpfs", 2):
            d.start()
            with d.mx() as s:
                s.ehlo()
                assert submit(s, "before") == "250 2.0.0"
                wait_subjects(d, ["before"])
                filler = fill(mail)
                assert submit(s, "full") == "250 2.0.0"
                assert submit(s, "large", 300 << 10) == "250 2.0.0"
            d.wait_log("event=delivery.defer", "4.3.1")
            assert os.listdir(os.path.join(d.mailbox("bob"), "tmp")) == []
            assert subjects(d) == ["before"]
            clear(filler)
            wait_subjects(d, ["before", "full", "large"])
            wait_empty(d)
            assert d.stop() == 0


def test_mailboxes_that_hang_hold_up_no_mail_that_comes_in():
    """More messages than there are threads of any kind wait for the mail disk."""
    sent = [f"m{n}" for n in range(40)]
    with Daemon(RETRY, start=False) as d:
        mail = os.path.join(d.dir, "mail")
        with small_disk(mail, "ext4"):
            d.start()
            with d.mx() as s:
                s.ehlo()
                assert submit(s, "before") == "250 2.0.0"
                wait_subjects(d, ["before"])
                with frozen(mail):
                    for token in sent:
                        assert submit(s, token) == "250 2.0.0", token
                    assert subjects(d) == ["before"]
            wait_subjects(d, ["before"] + sent)
            wait_empty(d)
            assert d.stop() == 0


# ---- The spool at the start ----

def queued(d, tokens):
    """Messages that wait in the spool of a daemon that has ended: {token: path}."""
    block_mailbox(d, "bob")
    with d.mx() as s:
        s.ehlo()
        for token in tokens:
            assert submit(s, token, 200 << 10 if token == "large" else 0) == "250 2.0.0"
    tap.wait_for(lambda: d.log_text().count("event=delivery.defer") >= len(tokens), 30, "no defer")
    assert d.stop() == 0
    unblock_mailbox(d, "bob")
    found = {}
    for path in d.spool_files("queue"):
        if not path.endswith(".state"):
            with open(path, "rb") as f:
                found[re.search(rb"^Subject: (\S+)\r$", f.read(), re.M).group(1).decode()] = path
    assert sorted(found) == sorted(tokens), found
    return found


def change(path, at, octets):
    with open(path, "r+b") as f:
        f.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        f.write(octets)


def write(path, octets):
    with open(path, "wb") as f:
        f.write(octets)


def test_spool_files_that_cannot_be_read():
    with Daemon(RETRY) as d:
        files = queued(d, ["good", "flipped", "envelope", "cut", "large", "state"])
        change(files["envelope"], -200, b"\0")
        with open(files["cut"], "r+b") as f:
            f.truncate(os.path.getsize(files["cut"]) - 10)
        write(files["state"] + ".state", b"\xff\0 this is no state\n")
        change(files["flipped"], -5, b"?")
        folder = os.path.dirname(files["good"])
        write(os.path.join(folder, "core"), b"not a spool file")
        begun = os.path.basename(files["good"]).replace("1", "0", 1)
        write(os.path.join(folder, begun), b"begun and never accepted")
        corrupt = os.path.join(spool_of(d), "corrupt")
        d.start()
        wait_subjects(d, ["good", "large", "state"])
        tap.wait_for(lambda: d.spool_files("queue") == [], 20, "something is left in the queue")
        kept = sorted(os.listdir(corrupt))
        for token in ("envelope", "cut", "flipped"):
            name = os.path.basename(files[token])
            assert name in kept, (token, kept)
            d.wait_log("event=queue.corrupt", name)
        assert "core" in kept, kept
        assert begun not in kept, "what was never accepted is not kept"
        log = d.log_text()
        assert d.stop() == 0
        d.start()
        assert d.queue() == []
        assert d.log_text()[len(log):].count("queue.corrupt") == 0, "it is told once"


def test_damage_inside_content_is_not_delivered():
    """The trailer is right and the content is not: it is kept for a person to look at."""
    with Daemon(RETRY) as d:
        files = queued(d, ["good", "damaged"])
        with open(files["damaged"], "rb") as f:
            at = f.read().index(b"the end")
        change(files["damaged"], at, b"THE END")
        d.start()
        wait_subjects(d, ["good"])
        tap.wait_for(lambda: d.spool_files("queue") == [], 20, "something is left in the queue")
        assert os.path.basename(files["damaged"]) in os.listdir(os.path.join(spool_of(d), "corrupt"))
        d.wait_log("queue_id=" + os.path.basename(files["damaged"]), "damaged")
        assert subjects(d) == ["good"]


if __name__ == "__main__":
    tap.main(globals())
