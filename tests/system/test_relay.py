# SPDX-License-Identifier: ISC
"""Mail for other domains: where it goes, over what, what is tried again, what arrives."""
import os
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon, message
from dns import Dns, free_udp_port
from remote import (RETRY, by_url, cut_off, lines_of, mx_addresses, own_network, relaying, reports, settled, submit,
                    url_of, verify_signature, wait_report)
from scripted import ScriptedServer, make_certificate

# ---- where to: DNS ----


def test_mx_preference_and_fall_over():
    first, second, third = mx_addresses(3)
    with Dns(["remote.test. MX 30 c.remote.test.", "remote.test. MX 10 a.remote.test.",
              "remote.test. MX 20 b.remote.test.", f"a.remote.test. A {first}",
              f"b.remote.test. A {second}", f"c.remote.test. A {third}"]) as dns, \
         ScriptedServer({"GREETING": "554 5.3.2 not today"}, host=second, port=25) as b, \
         ScriptedServer(host=third, port=25) as c, Daemon(RETRY, resolver=dns.resolver) as d:
        submit(d, ["carol@remote.test", "dave@REMOTE.test"], "one")
        got = c.wait_messages(1)[0]
        assert got.sender == "alice@example.test"
        assert got.recipients == ["carol@remote.test", "dave@REMOTE.test"], "one transaction for both"
        assert len(b.sessions) == 1, "the second is tried before the third"
        assert "MAIL" not in " ".join(b.commands())
        settled(d)
        tap.wait_for(lambda: len(lines_of(d, "event=delivery.done", "host=c.remote.test",
                                          f"peer={third}")) == 2, 10)
        c.wait_sessions(1)
        with ScriptedServer(host=first, port=25) as a:
            submit(d, "carol@remote.test", "two")
            a.wait_messages(1)
            settled(d)
        assert len(c.messages) == 1 and len(b.sessions) == 1
        assert reports(d) == []


def test_every_address_of_a_host_is_tried():
    dead, alive = mx_addresses(2)
    with Dns(["remote.test. MX 10 mx.remote.test.", f"mx.remote.test. A {dead}",
              "mx.remote.test. AAAA ::1", f"mx.remote.test. A {alive}"]) as dns, \
         ScriptedServer(host=alive, port=25) as server, \
         Daemon(resolver=dns.resolver) as d:
        submit(d, "carol@remote.test")
        server.wait_messages(1, 10)
        settled(d)


def test_implicit_mx():
    address, = mx_addresses(1)
    with Dns([f"remote.test. A {address}"]) as dns, ScriptedServer(host=address, port=25) as server, \
         Daemon(resolver=dns.resolver) as d:
        submit(d, "carol@remote.test")
        assert server.wait_messages(1)[0].recipients == ["carol@remote.test"]
        settled(d)


def test_by_the_mx_of_another_domain():
    """A route or default mx://DOMAIN; while that domain has no host, mail waits for the operator."""
    hub, own = mx_addresses(2)
    with Dns(["hub.test. MX 10 mx.hub.test.", f"mx.hub.test. A {hub}",
              "own.test. MX 10 mx.own.test.", f"mx.own.test. A {own}",
              "nohost.test. MX 10 mx.nohost.test."]) as dns, \
         ScriptedServer(host=hub, port=25) as to_hub, ScriptedServer(host=own, port=25) as to_own, \
         Daemon(resolver=dns.resolver, relay="  default: mx://hub.test\n  routes:\n    own.test: mx\n"
                "    a.test: mx://nohost.test\n    b.test: mx://none.test\n") as d:
        submit(d, "carol@remote.test")
        submit(d, "carol@own.test")
        assert to_hub.wait_messages(1)[0].recipients == ["carol@remote.test"]
        assert to_own.wait_messages(1)[0].recipients == ["carol@own.test"]
        submit(d, "carol@a.test")
        submit(d, "carol@b.test")
        d.wait_log("event=delivery.defer", "to=carol@a.test", "4.4.4 no such host: mx.nohost.test")
        d.wait_log("event=delivery.defer", "to=carol@b.test", "4.1.2 no such domain: none.test")
        assert reports(d) == []


def test_address_literal():
    address, = mx_addresses(1)
    with ScriptedServer(host=address, port=25) as server, Daemon() as d:
        submit(d, f"carol@[{address}]")
        assert server.wait_messages(1)[0].recipients == [f"carol@[{address}]"]
        settled(d)


def test_domains_that_take_no_mail():
    with Dns(["null.test. MX 0 .", "own.test. MX 10 mail.example.test.",
              "own.test. MX 20 other.own.test.", "other.own.test. A 127.0.0.1",
              "nohost.test. MX 10 mx.nohost.test.", "nohost.test. TXT x",
              "noaddress.test. TXT \"nothing here\""]) as dns, Daemon(resolver=dns.resolver) as d:
        expected = {"c@null.test": "5.1.10", "c@nothere.null.test": "5.1.2", "c@own.test": "5.4.6",
                    "c@nohost.test": "5.4.4", "c@noaddress.test": "5.4.4"}
        submit(d, expected)
        settled(d)
        rows = {}
        for report in reports(d):
            for row in report.recipients:
                rows[row["Final-Recipient"].split(";")[1].strip()] = (row["Action"], row["Status"])
        assert rows == {to: ("failed", status) for to, status in expected.items()}, rows


def test_own_name_among_mx_hosts():
    worse, = mx_addresses(1)
    with Dns(["remote.test. MX 10 a.remote.test.", "remote.test. MX 20 MAIL.example.test.",
              "remote.test. MX 30 c.remote.test.", "a.remote.test. A 127.255.255.1",
              f"c.remote.test. A {worse}"]) as dns, ScriptedServer(host=worse, port=25) as server, \
         Daemon(resolver=dns.resolver) as d:
        submit(d, "carol@remote.test")
        line = d.wait_log("event=delivery.defer")
        assert "host=a.remote.test" in line, line
        assert server.sessions == [], "a host that is worse than ourselves was asked"


def test_permanent_only_when_every_host_says_so():
    first, second = mx_addresses(2)
    no = {"GREETING": "554 5.3.2 no mail here"}
    with Dns(["up.test. MX 10 a.up.test.", "up.test. MX 20 b.up.test.", "down.test. MX 10 b.up.test.",
              "down.test. MX 20 a.up.test.", f"a.up.test. A {first}",
              f"b.up.test. A {second}"]) as dns, \
         ScriptedServer(no, host=first, port=25) as a, Daemon(RETRY, resolver=dns.resolver) as d:
        submit(d, ["carol@up.test", "carol@down.test"])
        for domain in ("up", "down"):
            d.wait_log("event=delivery.defer", f"carol@{domain}.test", "4.4.1")
        with ScriptedServer({"EHLO": "550 5.3.2 neither", "HELO": "550 5.3.2 neither"}, host=second,
                            port=25):
            settled(d)
        rows = [row for report in reports(d) for row in report.recipients]
        assert [(row["Action"], row["Status"]) for row in rows] == [("failed", "5.3.2")] * 2, rows
        assert len(a.sessions) > 2


def test_a_dns_that_fails_defers():
    address, = mx_addresses(1)
    with Dns([f"remote.test. A {address}"], broken=("broken.test",)) as dns, \
         Daemon(RETRY, resolver=dns.resolver) as d:
        submit(d, "carol@broken.test")
        line = d.wait_log("event=delivery.defer")
        assert "4.4.3" in line, line
        assert [row["state"] for row in d.queue()] == ["deferred"]
        assert reports(d) == []


# ---- where to: settings ----


def test_default_and_routes():
    with ScriptedServer() as default, ScriptedServer() as special, \
         Daemon(relay=by_url(url_of(default), {"special.test": url_of(special)})) as d:
        submit(d, ["c@else.test", "d@Special.test", "e@other.test", "bob@example.test"])
        assert special.wait_messages(1)[0].recipients == ["d@Special.test"]
        assert sorted(default.wait_messages(1)[0].recipients) == ["c@else.test", "e@other.test"]
        d.wait_mails("bob")
        settled(d)
        assert len(default.messages) == len(special.messages) == 1


class Trusting:
    """The daemon's processes take the certificates of this file for good, and no others."""

    def __init__(self, certificate):
        self.certificate = certificate

    def __enter__(self):
        os.environ["SSL_CERT_FILE"] = self.certificate

    def __exit__(self, *unused):
        del os.environ["SSL_CERT_FILE"]


def with_login(d, scheme, server, password):
    secret = os.path.join(d.dir, "relay.secret")
    with open(secret, "w", encoding="ascii") as f:
        f.write(password + "\n")
    d.write_config(RETRY, relay=f"  default: \"{scheme}://relayuser@127.0.0.1:{server.port}\"\n"
                                f"  password_file: {secret}\n")


def relay_with_tls(scheme, names, password="pass word", trusted=True, use=None):
    """Sends a message by way of a relay that wants TLS and a login; use(d, server) looks at it."""
    d = Daemon(start=False)
    with d:
        certificate, key = make_certificate(d.dir, names)
        other, _ = make_certificate(d.dir, name="other")
        with ScriptedServer(certificate=certificate, key=key, implicit=scheme == "smtps",
                            users={"relayuser": "pass word"}) as server:
            with_login(d, scheme, server, password)
            with Trusting(certificate if trusted else other):
                d.start()
            submit(d, "carol@remote.test")
            use(d, server)
            assert "pass word" not in d.log_text()


def arrives(d, server):
    got = server.wait_messages(1)[0]
    assert got.user == "relayuser" and got.tls == "TLSv1.3", (got.user, got.tls)
    settled(d)


def test_relay_by_starttls_with_login():
    relay_with_tls("smtp+starttls", ("127.0.0.1",), use=arrives)


def test_relay_by_implicit_tls_with_login():
    relay_with_tls("smtps", ("127.0.0.1",), use=arrives)


def is_deferred(code):
    def use(d, server):
        line = d.wait_log("event=delivery.defer")
        assert code in line, line
        words = [line.split()[0] for line in server.commands()]
        assert "AUTH" not in words and "MAIL" not in words, words
        assert server.messages == [] and reports(d) == []
    return use


def test_relay_certificate_of_another_name():
    relay_with_tls("smtp+starttls", ("relay.test",), use=is_deferred("4.7.5"))


def test_relay_with_login_is_checked_by_any_scheme():
    relay_with_tls("smtp", ("relay.test",), use=is_deferred("4.7.5"))


def test_relay_certificate_nobody_vouches_for():
    relay_with_tls("smtps", ("127.0.0.1",), trusted=False, use=is_deferred("4.7.5"))


def test_relay_without_starttls_gets_no_login():
    """Someone in the middle may have removed it."""
    with ScriptedServer(users={"relayuser": "pass word"}, auth_in_clear=True) as server:
        with Daemon(start=False) as d:
            with_login(d, "smtp", server, "pass word")
            d.start()
            submit(d, "carol@remote.test")
            is_deferred("4.7.5")(d, server)


def test_relay_password_is_changed():
    def use(d, server):
        line = d.wait_log("event=delivery.defer")
        assert "535" in line, line
        assert "wrong one" not in d.log_text()
        assert reports(d) == [], "a login that fails is the operator's affair"
        with_login(d, "smtp+starttls", server, "pass word")
        assert d.ctl("reload").returncode == 0
        arrives(d, server)
    relay_with_tls("smtp+starttls", ("127.0.0.1",), password="wrong one", use=use)


def test_opportunistic_tls():
    address, = mx_addresses(1)
    with Dns([f"remote.test. A {address}"]) as dns, Daemon(resolver=dns.resolver) as d:
        certificate, key = make_certificate(d.dir, ("someone.else",))
        with ScriptedServer(certificate=certificate, key=key, host=address, port=25) as server:
            submit(d, "carol@remote.test", "by tls")
            assert server.wait_messages(1)[0].tls == "TLSv1.3", "any certificate is better than none"
            server.wait_sessions(1)
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # no certificate, no handshake
            submit(d, "carol@remote.test", "handshake fails")
            assert server.wait_messages(2, 10)[1].tls is None
            server.wait_sessions(3)
            server.replies["STARTTLS"] = "454 4.7.0 not now"
            submit(d, "carol@remote.test", "refused")
            assert server.wait_messages(3, 10)[2].tls is None
            settled(d)
        assert not lines_of(d, "event=delivery.defer")


# ---- again ----


def test_what_passes_is_tried_again():
    """Each of these happens once; the message then arrives, once, and nobody is told."""
    once = {
        "data.test": {"END": ["451 4.3.0 disk", "250 2.0.0 ok"]},
        "data2.test": {"DATA": ["452 4.3.1 full", "354 go"]},
        "grey.test": {"RCPT": ["450 4.7.1 greylisted", "250 2.1.5 ok"]},
        "mail.test": {"MAIL": ["451 4.3.0 later", "250 2.1.0 ok"]},
        "greeting.test": {"GREETING": ["421 4.3.2 busy", "220 hi ESMTP"]},
        "closing.test": {"RCPT": ["421 4.3.2 shutting down", "250 2.1.5 ok"]},
        "end421.test": {"END": ["421 4.3.2 shutting down", "250 2.0.0 ok"]},
        "cut.test": {"MAIL": [cut_off, "250 2.1.0 ok"]},
        "silent.test": {"END": [cut_off, "250 2.0.0 ok"]},
        "toomany.test": {"RCPT": ["552 5.5.3 too many", "250 2.1.5 ok"]},
    }
    servers = {domain: ScriptedServer(answers(replies)) for domain, replies in once.items()}
    try:
        with Daemon(RETRY, relay=by_url("smtp://127.0.0.1:9",
                                        {k: url_of(s) for k, s in servers.items()})) as d:
            submit(d, [f"carol@{domain}" for domain in servers])
            for domain, server in servers.items():
                try:
                    got = server.wait_messages(1, 20)
                except TimeoutError as e:
                    raise AssertionError(f"{domain}: {e}") from e
                assert got[0].recipients == [f"carol@{domain}"]
                assert got[0].content.endswith(b"\r\na test\r\n"), domain
            settled(d)
            for domain, server in servers.items():
                assert len(server.messages) == 1, domain
                assert len(lines_of(d, "event=delivery.defer", f"carol@{domain}")) == 1, domain
            assert reports(d) == []
    finally:
        for server in servers.values():
            server.close()


def test_a_silent_server_holds_up_nobody_else():
    with ScriptedServer({"GREETING": None}) as silent, ScriptedServer() as other, \
         Daemon(RETRY, relay=by_url(url_of(other), {"silent.test": url_of(silent)})) as d:
        with d.submission("alice") as s:
            for n in range(40):
                s.sendmail("alice@example.test", [f"r{n}@silent.test"], message(f"m{n}"))
        silent.wait_for(lambda: len(silent.sessions) >= 1)
        submit(d, ["carol@remote.test", "dave@silent.test", "bob@example.test"])
        other.wait_messages(1, 5)
        d.wait_mails("bob", seconds=5)
        assert len(silent.sessions) <= 20, "connections to one server are bounded"


def test_connections_that_a_server_ends_when_idle():
    """It took one message on each; the next one goes over a new connection at once."""
    def mail(line, session):
        return cut_off(line, session) if session.messages else "250 2.1.0 ok"
    with ScriptedServer({"MAIL": mail}, cut="QUIT") as server, relaying(server) as d:
        with d.submission("alice") as s:
            for n in range(20):
                s.sendmail("alice@example.test", [f"r{n}@remote.test"], message(f"m{n}"))
        server.wait_messages(20, 10)
        settled(d)
        assert len(server.messages) == 20
        assert any(sum(c.startswith("MAIL") for c in s.commands) > 1 for s in server.sessions)
        assert lines_of(d, "event=delivery.defer") == []


def answers(replies):
    """Lists of answers in which functions may stand too."""
    def one(given):
        left = list(given)

        def answer(line, session):
            now = left.pop(0) if len(left) > 1 else left[0]
            return now(line, session) if callable(now) else now
        return answer
    return {point: one(given) for point, given in replies.items()}


def test_connection_cut_in_the_content():
    with ScriptedServer(cut="content", cut_after=100000) as server, relaying(server) as d:
        submit(d, "carol@remote.test", body="x" * 70 + "\r\n" + "y" * 998 + "\r\n" * 500 +
               ("z" * 70 + "\r\n") * 5000)
        d.wait_log("event=delivery.defer", "4.4.2")
        server.cut.clear()
        got = server.wait_messages(1)[0]
        assert got.content.endswith(b"z" * 70 + b"\r\n") and got.content.count(b"z" * 70) == 5000
        settled(d)
        assert len(server.messages) == 1


def test_each_recipient_is_settled_by_its_own_reply():
    slow = ["451 4.2.1 later", "250 2.1.5 ok"]
    with ScriptedServer({"RCPT bad@remote.test": "550 5.1.1 no such user",
                         "RCPT slow@remote.test": slow}) as server, relaying(server) as d:
        submit(d, ["good@remote.test", "bad@remote.test", "slow@remote.test"])
        first, second = server.wait_messages(2)
        assert first.recipients == ["good@remote.test"], first.recipients
        assert second.recipients == ["slow@remote.test"], second.recipients
        assert first.content == second.content
        report = wait_report(d)
        assert len(report.recipients) == 1
        assert report.status("bad@remote.test") == ("failed", "5.1.1")
        settled(d)
        tries = [line for line in server.commands() if line.startswith("RCPT")]
        assert sorted(t[9:t.index("@")] for t in tries) == ["bad", "good", "slow", "slow"], tries
        assert len(reports(d)) == 1 and len(server.messages) == 2
        assert len(lines_of(d, "event=delivery.done", "good@")) == 1
        assert len(lines_of(d, "event=delivery.fail", "bad@")) == 1


def test_more_recipients_than_a_server_takes():
    def rcpt(line, session):
        count = sum(c.startswith("RCPT") for c in session.commands)
        return "250 2.1.5 ok" if count <= 40 else "452 4.5.3 too many recipients"
    everyone = [f"r{n}@remote.test" for n in range(150)]
    with ScriptedServer({"RCPT": rcpt}) as server, relaying(server) as d:
        submit(d, everyone)
        tap.wait_for(lambda: sum(len(m.recipients) for m in server.messages) >= 150, 20)
        settled(d)
        got = [r for m in server.messages for r in m.recipients]
        assert sorted(got) == sorted(everyone), "each of them exactly once"
        assert reports(d) == []


# ---- what arrives ----


def arrived(d, server, content):
    """Submits this content; returns the fields that were added above it and what came."""
    with d.submission("alice") as s:
        s.ehlo()
        s.mail("alice@example.test", ["BODY=8BITMIME"])
        s.rcpt("carol@remote.test")
        s.putcmd("data")
        assert s.getreply()[0] == 354
        s.send(b"\r\n".join(b"." + line if line.startswith(b".") else line
                            for line in content.split(b"\r\n")) + b".\r\n")
        code, text = s.getreply()
        assert code == 250, text
    got = server.wait_messages(1)[0]
    assert got.content.endswith(content), "the content was changed"
    return got.content[:-len(content)], got


ODD = (b"Date: Fri, 20 Nov 2026 13:15:17 +0000\r\n" + message("odd").encode() +
       bytes(o for o in range(1, 256) if o not in (10, 13)) + b"\r\n" +
       ".\r\n..\r\n.x\r\n\r\n.\r\n".encode() + "Gr\u00fc\u00dfe\r\n".encode() +
       b"\xff\xfe\x80\r\n" + b"trailing blanks \t \r\n" + b"l" * 998 + b"\r\n" + b"L" * 60000 +
       b"\r\n" + b"\r\n" * 3)


def test_content_is_not_changed():
    for extensions in (("PIPELINING", "8BITMIME", "SIZE"), ()):
        with ScriptedServer(extensions=extensions) as server, relaying(server) as d:
            head, got = arrived(d, server, ODD)
            assert got.parameters.count("BODY=8BITMIME") == len(extensions[1:2]), got.parameters
            names = [line.split(b":")[0] for line in head.splitlines() if line[:1] not in b" \t"]
            assert sorted(names) == [b"DKIM-Signature", b"Received"], head
            verify_signature(d, got.content)
            settled(d)


def test_words_of_other_servers():
    """Keywords in any case; a server that knows only HELO."""
    with ScriptedServer(extensions=("pipelining", "8bitmime", "Size 1000000")) as server, \
         relaying(server) as d:
        _, got = arrived(d, server, message("small").encode())
        assert "BODY=8BITMIME" in got.parameters and "SIZE=" in got.parameters, got.parameters
    with ScriptedServer({"EHLO": "502 5.5.1 what", "HELO": "250 old.test"}) as server, \
         relaying(server) as d:
        _, got = arrived(d, server, message("old").encode())
        assert got.parameters == "", got.parameters
        assert [c.split()[0] for c in server.commands()][:4] == ["EHLO", "HELO", "MAIL", "RCPT"]


def test_large_content():
    body = "".join(f"line {n} of many\r\n.{n}\r\n" for n in range(100000))
    with ScriptedServer() as server, relaying(server) as d:
        arrived(d, server, message("large", body=body).encode())
        settled(d)


def test_signature_verifies():
    body = "Dear all,\r\n\r\n.hidden\r\n \t blanks  \r\n\r\n\r\n"
    with ScriptedServer() as server, relaying(server) as d:
        submit(d, "carol@remote.test", body=body)
        content = server.wait_messages(1)[0].content
        fields = verify_signature(d, content)
        assert fields[b"d"] == b"example.test" and fields[b"a"] == b"rsa-sha256", fields
        assert fields[b"c"] == b"relaxed/relaxed" and b"l" not in fields, fields
        signed = b"".join(fields[b"h"].lower().split()).split(b":")
        for name in (b"from", b"to", b"subject", b"date", b"message-id"):
            assert signed.count(name) == 2, signed  # a second field would break it
        assert content.count(b"DKIM-Signature:") == 1
        for before, after in ((b"Subject: hello", b"Subject: hallo"), (b"Dear", b"dear"),
                              (b"From: ", b"From: <x@y.test>\r\nFrom: ")):
            try:
                verify_signature(d, content.replace(before, after, 1))
            except AssertionError:
                continue
            raise AssertionError(f"still verifies with {after}")


def test_mail_of_others_is_not_signed():
    """Nor is what only says that it comes from here."""
    with ScriptedServer() as server, relaying(server) as d:
        assert d.ctl("alias", "add", "away@example.test", "carol@remote.test").returncode == 0
        for sender in ("x@sender.test", "alice@example.test"):
            with d.mx() as s:
                s.sendmail(sender, ["away@example.test"], message("forward", "alice@example.test"))
        for got in server.wait_messages(2):
            assert got.recipients == ["carol@remote.test"]
            assert b"DKIM-Signature" not in got.content, got.sender
        assert {m.sender for m in server.messages} == {"x@sender.test", "alice@example.test"}


def test_message_over_the_size_of_the_peer():
    with ScriptedServer(extensions=("PIPELINING", "SIZE 2000")) as server, relaying(server) as d:
        submit(d, "carol@remote.test", body="x" * 70 + "\r\n" * 2000)
        assert wait_report(d).status("carol@remote.test") == ("failed", "5.3.4")
        words = [line.split()[0] for line in server.commands()]
        assert "MAIL" not in words and "DATA" not in words, words
        settled(d)


def test_a_silent_server_does_not_hold_the_end():
    with ScriptedServer({"GREETING": None}) as server, relaying(server) as d:
        submit(d, "carol@remote.test")
        server.wait_for(lambda: len(server.sessions) == 1)
        begin = time.monotonic()
        assert d.stop() == 0
        assert time.monotonic() - begin < 10
        assert len(d.queue()) == 1, "the message stays"


if __name__ == "__main__":
    own_network()
    tap.main(globals())
