#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Messages composed by smtpc, read by a parser that is not ours: Python's email package."""
import base64
import email
import email.policy
import os
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import tap  # noqa: E402
from scripted import ScriptedServer  # noqa: E402

SMTPC = os.environ.get("SMTPC", "build/smtpc")
MESSAGES = 60
# Quotes and brackets around a whole name are taken off by the email package itself; not in names.
LETTERS = "abc  =?_;%.~-'äöüß€漢字🙂F"
folder = tempfile.TemporaryDirectory(prefix="compose.")


def words(most, more=""):
    return "".join(random.choice(LETTERS + more) for _ in range(random.randrange(1, most)))


def file_of(name, octets):
    path = os.path.join(folder.name, name)
    with open(path, "wb") as f:
        f.write(octets)
    return path


def send(server, *more):
    done = subprocess.run([SMTPC, "send", "--server", f"smtp://127.0.0.1:{server.port}", "--from",
                           "a@from.test", "--to", "b@to.test", *more], capture_output=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def form_is_good(content):
    lines = content.split(b"\r\n")
    assert lines.pop() == b"", "the last line has no end"
    for line in lines:
        assert len(line) <= 998 and line.isascii(), line
        assert b"\r" not in line and b"\n" not in line and b"\0" not in line, line
    # The email package joins words before it decodes them; others show each on its own.
    for word in re.findall(rb"=\?UTF-8\?B\?([^?]*)\?=", content.split(b"\r\n\r\n")[0]):
        base64.b64decode(word, validate=True).decode("utf-8")


def content_of(message, subtype):
    part = message.get_body((subtype,))
    return part.get_content().replace("\r\n", "\n") if part else ""


def random_message(number):
    name = words(40).strip() + ".txt"
    return {"subject": words(200), "name": name if number % 7 else "x" * 200,
            "octets": random.randbytes(random.randrange(300)),
            "text": words(400, "\n\n\"<>\t") + "\n", "html": words(400, "\n<>\"") + "\n"}


def check_message(content, wanted):
    form_is_good(content)
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert not any(part.defects for part in message.walk()), content
    files = list(message.iter_attachments())
    read = {"subject": message["Subject"], "name": files[0].get_filename(),
            "octets": files[0].get_payload(decode=True),
            "text": content_of(message, "plain"), "html": content_of(message, "html")}
    for key, value in wanted.items():
        assert read[key] == value, f"{key}: {read[key]!r} is not {value!r}"
    assert str(message["From"]) == "a@from.test" and str(message["To"]) == "b@to.test"
    assert message["Date"].datetime and message["Message-ID"]


def test_random_messages_are_read_alike():
    random.seed(5)
    with ScriptedServer() as server:
        for number in range(MESSAGES):
            wanted = random_message(number)
            send(server, "--subject", wanted["subject"],
                 "--text", file_of("text", wanted["text"].encode()),
                 "--html", file_of("html", wanted["html"].encode()),
                 "--attach", file_of(wanted["name"], wanted["octets"]))
            check_message(server.wait_messages(number + 1)[number].content, wanted)


def test_large_attachment():
    octets = random.Random(6).randbytes(3_000_000)
    with ScriptedServer() as server:
        send(server, "--attach", file_of("large.bin", octets))
        content = server.wait_messages(1)[0].content
        form_is_good(content)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert next(message.iter_attachments()).get_payload(decode=True) == octets


if __name__ == "__main__":
    tap.main(globals())
