# SPDX-License-Identifier: ISC
"""A private smtpd in a folder of its own: set up by smtpctl, started, watched, stopped by its pid."""
import json
import os
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile

from tap import wait_for

SMTPD = os.environ.get("SMTPD", "build/smtpd")
SMTPCTL = os.environ.get("SMTPCTL", "build/smtpctl")
SMTPC = os.environ.get("SMTPC", "build/smtpc")
DOMAIN = "example.test"


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def children_of(parent):
    """pid of each child of a process by its name."""
    return {name: pid for pid, name, above, _ in processes() if above == parent}


def open_files(pid):
    """Names of the files a process holds open; one may be closed while we look."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            continue
    return found


def free_port_base():
    """N with N+25, N+465 and N+587 free, below the range of outgoing connections."""
    while True:
        base = random.randrange(10000, 31000)
        if all(is_free(base + n) for n in (25, 465, 587)):
            return base


def processes():
    """(pid, name, parent, group) of each that still has a thread."""
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            with open(f"/proc/{pid}/stat") as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
            threads = len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            continue
        state, parent, group = rest.split()[:3]
        if state not in "ZX" or threads > 1:  # the first thread may be gone before the others
            yield int(pid), name, int(parent), int(group)


class Daemon:
    """with Daemon(...) as d: a running smtpd for example.test with alice and bob."""

    def __init__(self, settings="", accounts=("alice", "bob"), start=True, resolver=None,
                 relay="  default: mx\n"):
        self.dir = tempfile.mkdtemp(prefix="smtpd.")
        self.base = free_port_base()
        self.process = None
        self.config = os.path.join(self.dir, "smtpd.yaml")
        self.log_path = os.path.join(self.dir, "log")
        self.certificate = os.path.join(self.dir, "certificate.pem")
        out = self.run(SMTPCTL, "setup", DOMAIN, "--hostname", "mail.example.test",
                       "--dir", self.dir, "--port-base", str(self.base))
        assert out.returncode == 0, out.stderr
        self.setup_output = out.stdout
        self.write_config(settings, resolver, relay)
        for name in accounts:
            self.add_account(name)
        if start:
            self.start()

    def write_config(self, settings="", resolver=None, relay="  default: mx\n", level="info"):
        with open(self.config, "w") as f:
            f.write(f"""hostname: mail.example.test
data_dir: data
user: ""
tls: {{ certificate: certificate.pem, key: key.pem }}
listen:
  - {{ address: "127.0.0.1:{self.base + 25}", role: mx }}
  - {{ address: "127.0.0.1:{self.base + 465}", role: submissions }}
  - {{ address: "127.0.0.1:{self.base + 587}", role: submission }}
delivery: {{ maildir: "mail/{{domain}}/{{local_part}}" }}
relay:
{relay}
dns: {{ resolver: {resolver or '127.0.0.1@9'} }}
log: {{ level: {level} }}
{settings}
""")

    @staticmethod
    def password(name):
        return f"secret of {name}"

    @staticmethod
    def run(*args, stdin=None, timeout=60):
        return subprocess.run([str(a) for a in args], input=stdin, capture_output=True,
                              text=True, timeout=timeout)

    def ctl(self, *args, stdin=None):
        return self.run(SMTPCTL, "-c", self.config, *args, stdin=stdin)

    def ctl_json(self, *args):
        out = self.run(SMTPCTL, "-c", self.config, "--json", *args)
        assert out.returncode == 0, out.stderr
        return json.loads(out.stdout)

    def add_account(self, name):
        out = self.ctl("account", "add", f"{name}@{DOMAIN}", "--password-stdin",
                       stdin=self.password(name) + "\n")
        assert out.returncode == 0, out.stderr

    # ---- Life ----

    def start_unwatched(self):
        """Starts it and does not wait for it to be up."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([SMTPD, "-c", self.config], stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)

    def start(self):
        begin = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        self.start_unwatched()

        def is_up():
            assert self.process.poll() is None, "smtpd ended: " + self.log_text()[begin:]
            return "event=smtpd.start" in self.log_text()[begin:]
        wait_for(is_up, 30, "smtpd did not start")

    def children(self):
        """pid of each child by its name."""
        return children_of(self.process.pid)

    def stop(self):
        """Ends it politely; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)

    def kill(self):
        """kill -9 of the whole of it at once. Back when no process of it has a socket or a file."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        wait_for(lambda: not self.is_alive(), 30, "it lives")

    def is_alive(self):
        """Is there a process of it, be it an orphan?"""
        return any(group == self.process.pid for _, _, _, group in processes())

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                if kind is None:
                    raise
        if self.process is not None and self.is_alive():
            self.kill()  # orphans
        found = re.search(r"Sanitizer: .*|.*runtime error: .*", self.log_text())
        if kind is not None or found:
            print("--- log of smtpd:\n" + self.log_text()[-16000:], flush=True)
        shutil.rmtree(self.dir, ignore_errors=True)
        assert kind is not None or not found, found.group(0)

    # ---- Looking at it ----

    def log_text(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def wait_log(self, *parts, seconds=30):
        """Waits for a line of the log that holds all these parts; returns it."""
        def find():
            for line in self.log_text().splitlines():
                if all(part in line for part in parts):
                    return line
            return None
        return wait_for(find, seconds, f"no line of the log with {parts}")

    def mailbox(self, name):
        return os.path.join(self.dir, "mail", DOMAIN, name)

    def mails(self, name):
        """The messages in a mailbox, as text, oldest name first."""
        folder = os.path.join(self.mailbox(name), "new")
        found = []
        for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, entry), "rb") as f:
                found.append(f.read().decode("utf-8", "surrogateescape"))
        return found

    def wait_mails(self, name, count=1, seconds=30):
        return wait_for(lambda: len(self.mails(name)) >= count and self.mails(name), seconds,
                        f"fewer than {count} messages for {name}")

    def spool_files(self, part=""):
        """Every file in the spool but those in free/, which are empty and wait to be used again."""
        spool = os.path.join(self.dir, "data", "spool")
        found = [os.path.join(folder, f) for folder, _, files in os.walk(os.path.join(spool, part))
                 for f in files]
        return sorted(f for f in found
                      if not f.startswith(os.path.join(spool, "free")) or os.path.getsize(f) > 0)

    def queue(self):
        return self.ctl_json("queue", "list")

    # ---- Talking to it ----

    @property
    def mx_port(self):
        return self.base + 25

    def mx(self):
        return smtplib.SMTP("127.0.0.1", self.mx_port, local_hostname="client.test", timeout=30)

    def tls_context(self):
        return ssl.create_default_context(cafile=self.certificate)

    def submission(self, name="alice", starttls=False):
        """A session that is logged in."""
        if starttls:
            s = smtplib.SMTP("localhost", self.base + 587, local_hostname="client.test",
                             timeout=30)
            s.starttls(context=self.tls_context())
        else:
            s = smtplib.SMTP_SSL("localhost", self.base + 465, local_hostname="client.test",
                                 context=self.tls_context(), timeout=30)
        s.login(f"{name}@{DOMAIN}", self.password(name))
        return s


def message(token="hello", sender="alice@example.test", to="bob@example.test", body="a test\r\n"):
    return (f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {token}\r\n"
            f"Message-ID: <{token}@client.test>\r\n\r\n{body}")
