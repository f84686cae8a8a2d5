"""Who receives alerts in the tests: a real SMTP server and a real HTTP receiver on loopback."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

LOGIN = ("alertas", "senha-canario-smtp")


@dataclass
class Mailbox:
    """What the server took, and what it answers.

    Attributes:
        mails: what arrived.
        rcpt: answer by recipient, instead of yes.
        data: answer to a message, instead of yes.
    """

    mails: list[EmailMessage] = field(default_factory=list)
    rcpt: dict[str, str] = field(default_factory=dict)
    data: str = ""
    port: int = 0

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address in self.rcpt:
            return self.rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.data:
            return self.data
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append(mail)
        return "250 OK"


def _check(server, session, envelope, mechanism, login):
    known = isinstance(login, LoginPassword) and (
        (login.login.decode(), login.password.decode()) == LOGIN
    )
    return AuthResult(success=known, handled=False)


@contextmanager
def smtp_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, auth: bool = False
) -> Iterator[Mailbox]:
    """A server on loopback: plain, with STARTTLS, or encrypted from the first byte."""
    box = Mailbox(port=free_port())
    more = {"authenticator": _check, "auth_required": True} if auth else {}
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=box.port,
        server_hostname="localhost",
        ssl_context=tls,
        tls_context=starttls,
        require_starttls=starttls is not None,
        **more,
    )
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that accepts connections and never says anything; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@dataclass
class Post:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Webhooks:
    """What the receiver got; `answers` are its next statuses, then 204."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@contextmanager
def webhook_receiver() -> Iterator[Webhooks]:
    """A receiver on loopback."""
    seen = Webhooks()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.posts.append(Post(dict(self.headers.items()), body))
            status = seen.answers.pop(0) if seen.answers else 204
            self.send_response(status)
            if status in {301, 302, 307}:
                self.send_header("location", seen.url)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen.url = f"http://127.0.0.1:{server.server_port}/avisos/caminho-secreto"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of `localhost`, to be trusted through SSL_CERT_FILE, and its server context."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*command.split(), *subject, "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
