# SPDX-License-Identifier: ISC
"""What tests of outgoing mail share: scripted servers on port 25 of loopback addresses of their own, one
made-up domain for each, a daemon that retries every second, mail that alice submits."""
import ctypes
import email
import email.policy
import fcntl
import random
import socket
import struct

from daemon import Daemon, message
from scripted import Cut
from tap import Skip, wait_for

RETRY = "queue: { retry: [1s], lifetime: 1h, delay_notice: 1h }"


CLONE_NEWNET, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8913, 0x8914, 1


def own_network():
    """Leaves this machine's network for an empty one, where nobody else has port 25. What can't be done
    (not root, a container without the right) is left as it is."""
    libc = ctypes.CDLL(None)
    with open("/proc/self/ns/net", "rb") as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            return
        name = b"lo".ljust(16, b"\0")
        try:
            with socket.socket() as s:
                row = fcntl.ioctl(s, SIOCGIFFLAGS, name.ljust(40, b"\0"))
                flags, = struct.unpack_from("=H", row, 16)
                fcntl.ioctl(s, SIOCSIFFLAGS, name + struct.pack("=H22x", flags | IFF_UP))
        except OSError:
            libc.setns(before.fileno(), CLONE_NEWNET)


def mx_addresses(count):
    """Loopback addresses on whose port 25 a server may listen: the port of MX hosts can't be chosen."""
    net = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}."
    addresses = [net + str(n + 1) for n in range(count)]
    for address in addresses:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((address, 25))
            except OSError as e:
                raise Skip(f"port 25 of {address}: {e.strerror}") from None
    return addresses


def by_url(url, routes=()):
    """Settings of relay: a default and {domain: url}."""
    text = f"  default: \"{url}\"\n"
    if routes:
        text += "  routes: { " + ", ".join(f'{k}: "{v}"' for k, v in routes.items()) + " }\n"
    return text


def url_of(server):
    return f"smtp://{server.host}:{server.port}"


def relaying(server, settings=RETRY, **options):
    """A daemon that gives all foreign mail to this server."""
    return Daemon(settings, relay=by_url(url_of(server)), **options)


def submit(d, to, token="hello", body="a test\r\n", sender="alice"):
    """Alice sends; `to` is an address or several."""
    to = [to] if isinstance(to, str) else list(to)
    with d.submission(sender) as s:
        s.sendmail(f"{sender}@example.test", to,
                   message(token, f"{sender}@example.test", to[0], body))


def cut_off(line, session):
    """An answer: the connection ends without one."""
    raise Cut


def settled(d):
    """Waits until nothing is in the queue."""
    wait_for(lambda: d.queue() == [], 20, "the queue does not empty")


def tries(server):
    """How often recipients were offered: a connection may serve more than one attempt."""
    return sum(line.startswith("RCPT") for line in server.commands())


def lines_of(d, *parts):
    return [line for line in d.log_text().splitlines() if all(part in line for part in parts)]


class Report:
    """A delivery status notification, read by Python's email package."""

    def __init__(self, text):
        self.text = text
        self.mail = email.message_from_bytes(text.encode("utf-8", "surrogateescape"),
                                             policy=email.policy.default)
        assert not self.mail.defects, self.mail.defects
        assert self.mail.get_content_type() == "multipart/report", text
        parts = list(self.mail.iter_parts())
        assert [p.get_content_type() for p in parts[:2]] == ["text/plain", "message/delivery-status"]
        assert len(parts) == 3 and parts[2].get_content_type() == "text/rfc822-headers", text
        for part in parts:
            assert not part.defects, part.defects
        self.words = parts[0].get_content()
        blocks = parts[1].get_payload()
        self.message = blocks[0]
        self.recipients = blocks[1:]
        self.original = email.message_from_string(parts[2].get_payload(),
                                                  policy=email.policy.default)

    def row(self, address):
        """The fields about one recipient."""
        found = [r for r in self.recipients if r["Final-Recipient"].split(";")[1].strip() == address]
        assert len(found) == 1, (address, self.text)
        return found[0]

    def status(self, address):
        return self.row(address)["Action"], self.row(address)["Status"]


def reports(d, name="alice"):
    return [Report(m) for m in d.mails(name) if "report-type=delivery-status" in m]


def wait_report(d, name="alice", count=1):
    """The newest of so many reports."""
    return wait_for(lambda: len(reports(d, name)) >= count and reports(d, name), 20,
                    f"fewer than {count} reports for {name}")[-1]


def verify_signature(d, content):
    """Checks DKIM signatures with dkimpy and the record that smtpctl shows; returns h= and d=."""
    try:
        import dkim
    except ImportError:
        raise Skip("python3-dkim is not there") from None
    records = {row["name"].rstrip("."): row["txt"] for row in d.ctl_json("dkim", "show",
                                                                          "example.test")}

    def lookup(name, timeout=5):
        name = (name.decode() if isinstance(name, bytes) else name).rstrip(".")
        return records[name].encode() if name in records else None
    verifier = dkim.DKIM(content)
    try:
        assert verifier.verify(dnsfunc=lookup), "the signature does not verify"
    except dkim.DKIMException as e:
        raise AssertionError(str(e)) from e
    return dict(verifier.signature_fields)
