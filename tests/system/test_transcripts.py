# SPDX-License-Identifier: ISC
"""Golden transcripts over real sockets: each against a server of libsmtp whose handler is scripted
(tests/tools/transcript_server.c), whole, octet by octet and cut at some positions; the plain ones
against smtpd as well."""
import os
import ssl
import sys
import tempfile
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from daemon import Daemon
from library import Server
from scripted import make_certificate
from transcript import Player, Transcript, all_files

CUTS = int(os.environ.get("TRANSCRIPT_CUTS", "12"))  # of each file, about
OCTETS_MAX = 4000  # what is longer is sent in larger pieces
# What is written behind STARTTLS has to come with it; later it is a bad handshake.
IN_ONE_WRITE = ("rfc3207-4-injected",)


def cuts_of(transcript, octets):
    """Positions to cut the client's octets at: all of a short one, else spread over it, others for each
    file. In memory each position has its turn."""
    step = max(1, octets // CUTS)
    return range(1 + zlib.crc32(transcript.name.encode()) % step, octets, step)


def play(server, transcript, context, piece=0, cut=0):
    with Player(transcript, server.port, piece, server.check, context, cut) as player:
        player.play()
    tap.wait_for(lambda: server.ask(b"end\n") == "ok", 10, "the session does not end well")


def play_scripted(path, certificate):
    transcript = Transcript(path)
    if any(line.startswith(("channel ", "certificate ")) for line in transcript.head):
        raise tap.Skip("TLS gives what is written there; it is played in memory")
    if transcript.jumps_in_time():
        raise tap.Skip("time jumps; it is played in memory")
    context = ssl.create_default_context(cafile=certificate[0])
    octets = sum(len(value) for _, kind, value, _ in transcript.steps if kind == "C")
    with Server(transcript.path, certificate if transcript.uses_tls() else ()) as server:
        play(server, transcript, context)
        if transcript.name in IN_ONE_WRITE:
            return
        play(server, transcript, context, 1 if octets <= OCTETS_MAX else octets // OCTETS_MAX + 1)
        for cut in cuts_of(transcript, octets):
            try:
                play(server, transcript, context, cut=cut)
            except AssertionError as e:
                raise AssertionError(f"cut at {cut}: {e}") from None


# ---- smtpd ----

# Without a head, and yet not for smtpd; why.
NOT_SMTPD = {
    "rfc5321-3.1-one-message": "smtpd announces CHUNKING as well",
    "rfc5321-4.1.1.1-helo": "smtpd names the queue id where the library says something general",
}


def plain_transcripts():
    for path in all_files():
        transcript = Transcript(path)
        if transcript.head == [] and not transcript.jumps_in_time():
            yield transcript


def smtpd_for_transcripts():
    """An mx where anybody at example.org is known. It has no certificate, so that EHLO says what
    transcripts expect."""
    d = Daemon(accounts=(), start=False)
    with open(d.config, "w", encoding="ascii") as f:
        f.write(f"""hostname: mx.example.org
data_dir: data
user: ""
listen: [ {{ address: "127.0.0.1:{d.mx_port}", role: mx }} ]
delivery: {{ maildir: "mail/{{domain}}/{{local_part}}" }}
dns: {{ resolver: 127.0.0.1@9 }}
""")
    out = d.ctl("domain", "add", "example.org", "--catch-all", "postmaster@example.test")
    assert out.returncode == 0, out.stderr
    d.start()
    return d


def test_plain_ones_against_smtpd():
    played = 0
    with smtpd_for_transcripts() as d:
        for transcript in plain_transcripts():
            if transcript.name in NOT_SMTPD:
                print(f"# not against smtpd: {transcript.name}: {NOT_SMTPD[transcript.name]}")
                continue
            with Player(transcript, d.mx_port) as player:
                player.play()
            played += 1
        assert d.stop() == 0
    assert played >= 40, f"only {played} were played"


def add_tests(names, certificate):
    """One test for each file, named as it."""
    def make(path):
        return lambda: play_scripted(path, certificate)
    for path in all_files():
        names["test_" + os.path.basename(path)[:-4]] = make(path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        add_tests(globals(), list(make_certificate(folder)))
        tap.main(globals())
