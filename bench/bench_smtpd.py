# SPDX-License-Identifier: ISC
"""smtpd as a whole, measured from outside, beside smtp-sink (which keeps nothing: the bound) and a Postfix
with default settings in the same run. Figures are the best of three; what counts is the ratio."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "system", "lib"))
from daemon import Daemon, is_free
from tap import wait_for

PEERS = os.environ.get("PEERS", "build/peers")
SOURCE = os.path.join(PEERS, "bin", "smtp-source")
SINK = os.path.join(PEERS, "bin", "smtp-sink")
MESSAGES = int(os.environ.get("MESSAGES", "2000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
IDLE = 500
NO_LIMITS = "limits: { connections_per_ip: 0, connections: 20000 }"


def free_port():
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if is_free(port):
            return port


def source(port, sessions, to="bob@example.test"):
    """Seconds that smtp-source takes for MESSAGES messages of 4 KiB, a connection each."""
    begin = time.monotonic()
    subprocess.run([SOURCE, "-s", str(sessions), "-l", "4096", "-m", str(MESSAGES),
                    "-f", "author@remote.test", "-t", to, f"127.0.0.1:{port}"], check=True)
    return time.monotonic() - begin


def count(folder):
    try:
        return len(os.listdir(folder))
    except FileNotFoundError:
        return 0


def accepted(port, sessions, folder):
    """Best rate of acceptance of some rounds; each waits for the deliveries of the one before."""
    best = 0.0
    for _ in range(ROUNDS):
        before = count(folder) if folder else 0
        best = max(best, MESSAGES / source(port, sessions))
        if folder:
            wait_for(lambda: count(folder) >= before + MESSAGES, 300, "not delivered")
    return best


def delivered(port, folder):
    """Best rate from the first connection until all are in the Maildir, over 20 sessions."""
    best = 0.0
    for _ in range(ROUNDS):
        before = count(folder)
        begin = time.monotonic()
        source(port, 20)
        wait_for(lambda: count(folder) >= before + MESSAGES, 300, "not delivered")
        best = max(best, MESSAGES / (time.monotonic() - begin))
    return best


def rates(port, folder):
    found = {f"accepted/s, {n} sessions": accepted(port, n, folder) for n in (1, 20, 100)}
    if folder:
        found["in the Maildir/s, 20 sessions"] = delivered(port, folder)
    return found


def of_smtpd():
    with Daemon(NO_LIMITS) as d:
        return rates(d.mx_port, os.path.join(d.mailbox("bob"), "new"))


def of_sink():
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([SINK, *user, f"127.0.0.1:{port}", "1024"],
                               stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: not is_free(port), 10, "smtp-sink does not start")
        return rates(port, None)
    finally:
        process.terminate()
        process.wait(20)


def of_postfix():
    if os.geteuid() != 0:
        return {}
    port, folder = free_port(), tempfile.mkdtemp(prefix="postfix.")
    os.chmod(folder, 0o755)
    process = subprocess.Popen(["scripts/postfix-instance.sh", folder, str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        wait_for(lambda: not is_free(port), 60, "Postfix does not start")
        return rates(port, os.path.join(folder, "mail", "box", "new"))
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def open_idle(d, tls):
    context = d.tls_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    found = []
    for _ in range(IDLE):
        s = socket.create_connection(("127.0.0.1", d.base + (465 if tls else 25)))
        if tls:
            s = context.wrap_socket(s, server_hostname="localhost")
        s.recv(512)
        s.sendall(b"EHLO client.test\r\n")
        s.recv(4096)
        found.append(s)
    return found


def memory():
    """KiB at rest for each process, and for each idle connection; a first lot warms the allocator up."""
    with Daemon(NO_LIMITS) as d:
        pids = {"supervisor": d.process.pid, **d.children()}
        found = {f"resident at rest, {name}, KiB": resident_kib(pid)
                 for name, pid in pids.items()}
        for name, tls in (("plain", False), ("TLS", True)):
            before = resident_kib(pids["mail"])
            connections = open_idle(d, tls)
            found[f"idle connection, {name}, KiB"] = \
                (resident_kib(pids["mail"]) - before) / IDLE
            for s in connections:
                s.close()
            wait_for(lambda: d.ctl_json("status")["sessions"] == 0, 20)
    return found


def main():
    for program in (SOURCE, SINK):
        if not os.path.exists(program):
            sys.exit(f"bench: {program} is missing (scripts/peers.sh postfix fetches it)")
    ours, sink, postfix = of_smtpd(), of_sink(), of_postfix()
    print(f"{MESSAGES} messages of 4 KiB, a connection each, best of {ROUNDS}; load before: "
          f"{os.getloadavg()[0]:.1f}")
    print(f"{'':34}{'smtpd':>9}{'sink':>9}{'of it':>8}{'Postfix':>9}{'times':>8}")
    for name, value in ours.items():
        line = f"{name:34}{value:9.0f}"
        line += f"{sink[name]:9.0f}{value / sink[name]:8.2f}" if name in sink else " " * 17
        line += f"{postfix[name]:9.0f}{value / postfix[name]:8.2f}" if name in postfix else ""
        print(line)
    for name, value in memory().items():
        print(f"{name:34}{value:9.1f}")


if __name__ == "__main__":
    main()
