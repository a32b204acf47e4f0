# SPDX-License-Identifier: ISC
"""Start, stop, reload, and what happens when a process dies."""
import json
import os
import pwd
import resource
import shutil
import signal
import sqlite3
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import (Daemon, SMTPCTL, SMTPD, children_of, free_port_base, message,
                    open_files)


def start_fails(d, *parts):
    """smtpd ends with status 1 and one line with these parts."""
    out = Daemon.run(SMTPD, "-c", d.config)
    lines = out.stderr.strip().splitlines()
    assert out.returncode == 1, out
    assert len(lines) == 1, out.stderr
    for part in parts:
        assert part in lines[0], lines[0]


def test_term_drains():
    with Daemon() as d:
        s = d.mx()
        s.ehlo()
        s.mail("a@remote.test")
        s.rcpt("bob@example.test")
        s.putcmd("data")
        assert s.getreply()[0] == 354
        d.process.send_signal(signal.SIGTERM)
        d.wait_log("event=smtpd.stop")

        def refuses():
            try:
                socket.create_connection(("127.0.0.1", d.mx_port), 5).close()
                return False
            except ConnectionResetError:
                return False  # just as the sockets close
            except ConnectionRefusedError:
                return True
        tap.wait_for(refuses, 10, "it still accepts")
        s.send(message("drained").encode() + b"\r\n.\r\n")
        assert s.getreply()[0] == 250
        s.sock.close()
        assert d.process.wait(60) == 0
        d.start()
        assert "Subject: drained" in d.wait_mails("bob")[0]


def test_control_socket():
    with Daemon() as d:
        status = d.ctl_json("status")
        assert status["pid"] == d.process.pid and len(status["listen"]) == 3, status
        assert "sessions" in d.ctl("status").stdout
        out = d.ctl("stop")
        assert out.returncode == 0, out.stderr
        assert d.process.wait(10) == 0
        out = d.ctl("status")
        assert out.returncode == 1 and "does not run" in out.stderr, out
        assert not os.path.exists(os.path.join(d.dir, "data", "control.sock"))


def test_reload_of_settings_and_certificate():
    with Daemon() as d:
        with d.mx() as s:
            s.ehlo()
            assert s.esmtp_features["size"] == str(50 << 20)
        os.unlink(d.certificate)
        os.unlink(os.path.join(d.dir, "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=new.test", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", os.path.join(d.dir, "key.pem"), "-out", d.certificate],
                       check=True, capture_output=True)
        d.write_config("limits: { message_size: 1MiB }")
        d.process.send_signal(signal.SIGHUP)
        d.wait_log("event=config.reload", "result=done")
        d.wait_log("event=cert.reload", "result=done")
        with d.mx() as s:
            s.ehlo()
            assert s.esmtp_features["size"] == "1048576"
        d.submission("alice").quit()  # checked against the new certificate


def test_reload_with_a_certificate_in_another_file():
    with Daemon() as d:
        certificate, key = (os.path.join(d.dir, f"other-{n}.pem") for n in ("certificate", "key"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=other.test", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", key, "-out", certificate], check=True, capture_output=True)
        os.chmod(key, 0o644)
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace("certificate.pem", "/nosuch/certificate.pem"))
        assert d.ctl("reload").returncode == 0
        line = d.wait_log("event=cert.reload", "kept the old one")
        assert "/nosuch/certificate.pem" in line, line
        d.submission("alice").quit()  # with the first one still
        with open(d.config, "w") as f:
            f.write(text.replace("certificate.pem", certificate).replace("key.pem", key))
        assert d.ctl("reload").returncode == 0
        d.wait_log("event=cert.reload", "result=done")
        d.certificate = certificate
        d.submission("alice").quit()  # checked against the other certificate


def test_reload_reaches_the_log_of_every_process():
    with Daemon() as d:
        d.write_config(level="info, format: json")
        assert d.ctl("reload").returncode == 0
        d.wait_log('"event":"config.reload"', '"result":"done"')
        # What the keeper can't answer is logged by it, the refusal by the mail process.
        with sqlite3.connect(os.path.join(d.dir, "data", "accounts.db")) as store:
            store.execute("DROP TABLE alias")
        with d.mx() as s:
            s.ehlo()
            assert s.mail("a@remote.test")[0] == 250
            assert s.rcpt("who@example.test")[0] == 451
        line = d.wait_log('"event":"accounts.fail"')
        assert line.startswith("{"), line


def test_bad_reload_keeps_the_old_one():
    with Daemon() as d:
        d.write_config("limitz: { message_size: 1MiB }")
        out = d.ctl("reload")
        assert out.returncode == 1 and "did you mean limits" in out.stderr, out.stderr
        d.process.send_signal(signal.SIGHUP)
        line = d.wait_log("event=config.reload", "kept the old one")
        assert "smtpd.yaml:" in line, line
        with d.mx() as s:
            s.sendmail("a@remote.test", ["bob@example.test"], message("still"))
        d.wait_mails("bob")


def test_reload_tells_what_needs_a_restart():
    with Daemon() as d:
        d.write_config("limits: { connections: 7 }")
        out = d.ctl("reload")
        assert out.returncode == 1 and "limits.connections" in out.stderr, out
        assert "restart" in out.stderr, out
        d.write_config("limits: { recipients: 100 }")
        out = d.ctl("reload")
        assert out.returncode == 0, out.stderr
        d.wait_log("event=config.reload", "result=done")


def test_start_right_after_the_supervisor_was_killed():
    with Daemon() as d:
        for _ in range(3):
            os.kill(d.process.pid, signal.SIGKILL)
            d.process.wait(10)
            d.start()
        with d.mx() as s:
            s.sendmail("a@remote.test", ["bob@example.test"], message("again"))
        d.wait_mails("bob")


def test_stop_while_a_message_is_stored():
    """The client goes away behind its final dot, then TERM comes: it is delivered after the start."""
    with Daemon() as d:
        for n in range(20):
            s = d.mx()
            s.ehlo()
            s.mail("a@remote.test")
            s.rcpt("bob@example.test")
            s.putcmd("data")
            s.getreply()
            s.send(message(f"n{n}").encode() + b"\r\n.\r\n")
            s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.sock.close()
        assert d.stop() == 0
        accepted = d.log_text().count("event=mail.accept")
        d.start()
        if accepted:
            d.wait_mails("bob", accepted)
        tap.wait_for(lambda: d.queue() == [], 20)
        assert "AddressSanitizer" not in d.log_text()


def test_dead_keeper_is_started_again():
    with Daemon() as d:
        keeper = d.children()["keeper"]
        with d.mx() as s:
            s.ehlo()
            s.mail("a@remote.test")
            assert s.rcpt("alice@example.test")[0] == 250
            os.kill(keeper, signal.SIGSTOP)
            s.putcmd("rcpt TO:<bob@example.test>")
            os.kill(keeper, signal.SIGKILL)
            code, text = s.getreply()
            assert (code, text[:5]) == (451, b"4.3.0"), text
            d.wait_log("event=keeper.restart", "signal=9")
            tap.wait_for(lambda: d.children().get("keeper", keeper) != keeper, 10)
            tap.wait_for(lambda: s.rcpt("bob@example.test")[0] == 250, 10)
            assert s.data(message("after"))[0] == 250
        d.wait_mails("bob")


def test_dead_mail_process_is_started_again():
    with Daemon() as d:
        os.kill(d.children()["mail"], signal.SIGKILL)
        d.wait_log("event=mail.restart")

        def delivers():
            try:
                with d.mx() as s:
                    s.sendmail("a@remote.test", ["bob@example.test"], message("after"))
                return True
            except OSError:
                return False
        tap.wait_for(delivers, 20)
        d.wait_mails("bob")


def test_mail_process_never_opens_secrets():
    with Daemon() as d:
        d.submission("alice").quit()
        pid = d.children()["mail"]
        opened = open_files(pid)
        assert not [f for f in opened if "accounts.db" in f], opened
        keeper = d.children()["keeper"]
        opened = open_files(keeper)
        assert [f for f in opened if "accounts.db" in f], opened


def test_start_errors():
    with Daemon(start=False) as d:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", d.mx_port))
            taken.listen()
            start_fails(d, "listen", str(d.mx_port), "in use")
        key = os.path.join(d.dir, "key.pem")
        os.rename(key, key + ".away")
        start_fails(d, "key.pem", "No such file")
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        start_fails(d, "key.pem", "match")
        out = Daemon.run(SMTPD, "-n", "-c", d.config)
        assert out.returncode == 1 and "match" in out.stderr, out
        os.rename(key + ".away", key)
        db = os.path.join(d.dir, "data", "accounts.db")
        subprocess.run(["sqlite3", db, "PRAGMA user_version = 999"], check=True)
        start_fails(d, "accounts.db", "newer")
        subprocess.run(["sqlite3", db, "PRAGMA user_version = 1"], check=True)
        d.start()


def test_second_daemon_on_the_same_data():
    with Daemon() as d:
        other = Daemon(start=False, accounts=())
        with other:
            other.write_config()
            with open(other.config) as f:
                text = f.read().replace("data_dir: data", f"data_dir: {d.dir}/data")
            with open(other.config, "w") as f:
                f.write(text)
            start_fails(other, "another smtpd")


def test_configuration_errors_all_at_once():
    with Daemon(start=False) as d:
        d.write_config("limitz: {}\nqueue: { lifetime: soon, retry: [] }\n")
        out = Daemon.run(SMTPD, "-n", "-c", d.config)
        lines = out.stderr.strip().splitlines()
        assert out.returncode == 1 and len(lines) == 3, out.stderr
        assert all(line.startswith(d.config + ":") for line in lines), lines
        d.write_config()
        out = Daemon.run(SMTPD, "-n", "-c", d.config)
        assert out.returncode == 0 and "no errors" in out.stdout, out
        for right, wrong, say in (("certificate.pem", "/nosuch.pem", "/nosuch.pem: "),
                                  ("key.pem", "certificate.pem", "certificate.pem: "),
                                  ("data_dir: data", "data_dir: nosuch", "smtpctl setup")):
            d.write_config()
            with open(d.config) as f:
                text = f.read()
            with open(d.config, "w") as f:
                f.write(text.replace(right, wrong))
            out = Daemon.run(SMTPD, "-n", "-c", d.config)
            assert out.returncode == 1 and say in out.stderr, (wrong, out)
        assert Daemon.run(SMTPD, "--nonsense").returncode == 2
        assert Daemon.run(SMTPD, "-c", "/nonexistent/x.yaml").returncode == 1


def test_setup_can_be_repeated():
    with Daemon(start=False) as d:
        before = open(d.config).read()
        out = Daemon.run(SMTPCTL, "setup", "example.test", "--dir", d.dir)
        assert out.returncode == 0, out.stderr
        assert "made" not in out.stdout and "found" in out.stdout, out.stdout
        assert open(d.config).read() == before
        assert "IN MX 10" in out.stdout and "v=DKIM1" in out.stdout and "v=spf1" in out.stdout


def test_setup_of_a_second_domain():
    with Daemon(start=False) as d:
        out = Daemon.run(SMTPCTL, "setup", "second.test", "--hostname", "mx.second.test",
                         "--dir", d.dir)
        assert out.returncode == 0, out.stderr
        assert "made   domain second.test" in out.stdout, out.stdout
        assert "second.test. IN MX 10 mail.example.test." in out.stdout, out.stdout
        assert "is mail.example.test and stays so" in out.stdout, out.stdout
        assert "second.test. IN MX 10 mail.example.test." in \
            d.ctl("domain", "show", "second.test").stdout
        out = d.ctl("dkim", "add", "second.test")
        assert out.returncode == 1 and "another selector" in out.stderr, out.stderr
        out = d.ctl("dkim", "add", "second.test", "--selector", "s2")
        assert out.returncode == 0, out.stderr
        rows = [r for r in d.ctl_json("dkim", "list", "second.test") if r["active"] == "yes"]
        assert [r["selector"] for r in rows] == ["s2"], rows


def test_root_becomes_the_user_of_the_settings():
    if os.geteuid() != 0:
        raise tap.Skip("root only")
    folder = tempfile.mkdtemp(prefix="smtpd.")
    os.chmod(folder, 0o755)
    try:
        base = free_port_base()
        out = Daemon.run(SMTPCTL, "setup", "example.test", "--dir", folder, "--port-base", base)
        assert out.returncode == 0, out.stderr
        log = open(os.path.join(folder, "log"), "wb")
        process = subprocess.Popen([SMTPD, "-c", os.path.join(folder, "smtpd.yaml")], stderr=log)
        try:
            tap.wait_for(lambda: b"smtpd.start" in open(log.name, "rb").read(), 20,
                         open(log.name).read())
            nobody = pwd.getpwnam("nobody").pw_uid
            children = children_of(process.pid)
            assert {"mail", "keeper"} <= set(children), children
            for pid in [process.pid, *children.values()]:
                with open(f"/proc/{pid}/status") as f:
                    uids = [line for line in f if line.startswith("Uid:")][0].split()[1:]
                assert uids == [str(nobody)] * 4, uids
            os.chown(os.path.join(folder, "data"), 0, 0)
        finally:
            process.terminate()
            process.wait(60)
        out = Daemon.run(SMTPD, "-c", os.path.join(folder, "smtpd.yaml"))
        assert out.returncode == 1 and "belongs to user id 0" in out.stderr, out.stderr
    finally:
        shutil.rmtree(folder)


def test_every_process_may_open_as_many_files_as_the_system_lets_it():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Daemon(start=False) as d:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            d.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for pid in [d.process.pid, *d.children().values()]:
            assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_log_as_json():
    with Daemon("", start=False) as d:
        d.write_config()
        with open(d.config) as f:
            text = f.read().replace("log: { level: info }", "log: { format: json }")
        with open(d.config, "w") as f:
            f.write(text)
        process = subprocess.Popen([SMTPD, "-c", d.config], stderr=open(d.log_path, "wb"))
        try:
            tap.wait_for(lambda: "smtpd.start" in d.log_text(), 20)
            with d.mx() as s:
                assert s.docmd("EHLO", 'evil.test\\"x')[0] == 501
                s.ehlo()
                s.sendmail("a@remote.test", ["bob@example.test"], message("json"))
            tap.wait_for(lambda: "delivery.done" in d.log_text(), 20)
        finally:
            process.terminate()
            process.wait(60)
        events = [json.loads(line)["event"] for line in d.log_text().splitlines()]
        for event in ("session.open", "mail.accept", "delivery.done", "session.close"):
            assert event in events, events


if __name__ == "__main__":
    tap.main(globals())
