# SPDX-License-Identifier: ISC
"""A real DNS server on a loopback port: unbound from build/peers with made-up zones."""
import os
import shutil
import socket
import subprocess
import tempfile

from tap import Skip, wait_for

UNBOUND = os.path.join(os.environ.get("PEERS", "build/peers"), "bin", "unbound")


def free_udp_port():
    while True:
        with socket.socket() as t, socket.socket(type=socket.SOCK_DGRAM) as u:
            t.bind(("127.0.0.1", 0))
            try:
                u.bind(("127.0.0.1", t.getsockname()[1]))
                return t.getsockname()[1]
            except OSError:
                continue


class Dns:
    """with Dns(["remote.test. MX 10 mx.remote.test.", ...]) as dns: a name server at dns.resolver.
    Questions about domains in `broken` are refused, which ends in SERVFAIL for who asks."""

    def __init__(self, records, broken=(), port=None):
        if not os.path.exists(UNBOUND):
            raise Skip("unbound is not there (scripts/peers.sh unbound fetches it)")
        self.port = port or free_udp_port()
        self.resolver = f"127.0.0.1@{self.port}"
        self.dir = tempfile.mkdtemp(prefix="dns.")
        zones = sorted({r.split()[0].rstrip(".").split(".")[-1] for r in records})
        config = os.path.join(self.dir, "unbound.conf")
        with open(config, "w") as f:
            f.write(f"""server:
  interface: 127.0.0.1
  port: {self.port}
  username: ""
  chroot: ""
  directory: "{self.dir}"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
""")
            for zone in zones:
                f.write(f'  local-zone: "{zone}." static\n')
            for record in records:
                f.write(f"  local-data: '{record}'\n")
            for domain in broken:
                f.write(f'  local-zone: "{domain}." always_refuse\n')
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = subprocess.Popen([UNBOUND, "-d", "-c", config], stdout=self.log,
                                        stderr=self.log, stdin=subprocess.DEVNULL)
        wait_for(self.answers, 20, "unbound does not answer")

    def answers(self):
        assert self.process.poll() is None, open(self.log.name).read()
        query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x01\x00\x01"
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.sendto(query, ("127.0.0.1", self.port))
            try:
                return s.recv(512)
            except OSError:
                return None

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
