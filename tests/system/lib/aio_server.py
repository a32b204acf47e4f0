# SPDX-License-Identifier: ISC
"""An aiosmtpd server in a process of its own: aio_server.py FOLDER MODE [CERTIFICATE KEY].

MODE is smtp, starttls, smtps or lmtp. It listens on a free port of 127.0.0.1 and prints it; every message
becomes FOLDER/N.json (envelope) and FOLDER/N.eml (content). The user joe logs in with s3cret. A
recipient "refused@..." is refused, one of LMTP too. It ends with the end of its standard input."""
import asyncio
import json
import logging
import os
import ssl
import sys

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    async def handle_RCPT(self, _server, _session, envelope, address, options):
        if address.startswith("refused@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.append(options)
        return "250 2.1.5 ok"

    async def handle_DATA(self, _server, session, envelope):
        self.count += 1
        path = os.path.join(self.folder, str(self.count))
        with open(path + ".eml", "wb") as f:
            f.write(envelope.original_content)
        with open(path + ".part", "w", encoding="utf-8") as f:
            json.dump({"from": envelope.mail_from, "to": envelope.rcpt_tos,
                       "mail_options": envelope.mail_options, "smtputf8": bool(envelope.smtp_utf8),
                       "tls": session.ssl is not None, "login": session.authenticated}, f)
        os.rename(path + ".part", path + ".json")
        return "250 2.0.0 taken"


def log_in(_server, _session, _envelope, mechanism, data):
    good = mechanism in ("LOGIN", "PLAIN") and (data.login, data.password) == (b"joe", b"s3cret")
    return AuthResult(success=good)


async def serve(folder, mode, certificate, key):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    handler = Handler(folder)
    options = {"enable_SMTPUTF8": True, "ident": "aio", "hostname": "aio.test",
               "tls_context": context if mode == "starttls" else None,
               "authenticator": log_in, "auth_required": False,
               "auth_require_tls": mode == "starttls"}
    kind = LMTP if mode == "lmtp" else SMTP
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: kind(handler, loop=loop, **options), "127.0.0.1", 0,
                                      ssl=context if mode == "smtps" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(sys.argv[1], sys.argv[2], *(sys.argv[3:5] or (None, None))))
