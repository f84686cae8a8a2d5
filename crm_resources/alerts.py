"""The ways out of an alert: e-mail over SMTP, and an outgoing webhook.

Each sender delivers one message or raises `SendError` with one sentence that holds no address, no
secret and nothing of the message. Webhooks follow https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import smtplib
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Literal, Protocol

TIMEOUT_SECONDS = 10.0
SECRET_PREFIX = "whsec_"  # noqa: S105

Fate = Literal["retry", "pause", "drop"]
"""What a failed message deserves: another try, waiting for a person, or nothing more."""
Security = Literal["starttls", "tls", "none"]
"""How a connection is encrypted: by STARTTLS, from the first byte, or not."""

_PERMANENT = {400, 404, 410, 422}
_REFUSED_LOGIN = {401, 403}
_LOGIN_NEEDED = 530


@dataclass(frozen=True)
class Message:
    """What is said, in both forms.

    Attributes:
        id: the same when the message is repeated.
        kind: event type for a webhook, such as `alert.opened`.
        subject: one line.
        text: for people.
        data: for programs.
    """

    id: str
    kind: str
    subject: str
    text: str
    data: Mapping[str, object] = field(default_factory=dict)


class SendError(RuntimeError):
    """A message was not delivered."""

    def __init__(self, sentence: str, fate: Fate = "retry") -> None:
        super().__init__(sentence)
        self.fate = fate


class Sender(Protocol):
    """One way out."""

    @property
    def channel(self) -> str:
        """Its name."""

    def send(self, message: Message) -> None:
        """Deliver a message.

        Raises:
            SendError: it was not delivered.
        """


@dataclass(frozen=True)
class EmailSender:
    """Sends e-mail through one SMTP server.

    Attributes:
        host: its name.
        port: its port.
        sender: address in From.
        recipients: addresses in To.
        security: how the connection is encrypted; a server without it is not talked to.
        username: log in with it, when there is one.
        password: of the login.
        channel: name of this way out.
    """

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    security: Security = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    channel: str = "e-mail"

    def send(self, message: Message) -> None:
        """Deliver a message; one recipient that takes it is enough."""
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = " ".join(message.subject.split())
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.recipients)
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.id}@{self.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text, cte="quoted-printable")
        try:
            server = self._connected()
            try:
                refused = server.send_message(mail)
            finally:
                with suppress(OSError, smtplib.SMTPException):
                    server.quit()
        except smtplib.SMTPAuthenticationError as error:
            raise SendError(
                f"o servidor SMTP recusou SMTP_USERNAME e SMTP_PASSWORD ({error.smtp_code})",
                "pause",
            ) from None
        except smtplib.SMTPNotSupportedError:
            raise SendError(
                "o servidor SMTP não oferece STARTTLS ou login; confira SMTP_PORT e SMTP_SECURE",
                "pause",
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            raise _refused("os destinatários de ALERT_EMAILS", codes) from None
        except smtplib.SMTPResponseException as error:
            if error.smtp_code == _LOGIN_NEEDED:
                raise SendError(
                    "o servidor SMTP exige SMTP_USERNAME e SMTP_PASSWORD (530)", "pause"
                ) from None
            raise _refused("a mensagem", [error.smtp_code]) from None
        except smtplib.SMTPServerDisconnected:
            raise SendError("o servidor SMTP encerrou a conexão ou demorou demais") from None
        except TimeoutError:
            raise SendError(f"o servidor SMTP não respondeu em {TIMEOUT_SECONDS:.0f} s") from None
        except (OSError, smtplib.SMTPException) as error:
            raise SendError(f"a conexão com SMTP_HOST falhou ({type(error).__name__})") from None
        if refused:
            codes = sorted({code for code, _ in refused.values()})
            raise SendError(
                f"o servidor SMTP recusou {len(refused)} de {len(self.recipients)} destinatários "
                f"de ALERT_EMAILS ({', '.join(map(str, codes))})",
                "drop",
            )

    def _connected(self) -> smtplib.SMTP:
        tls = ssl.create_default_context()
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=TIMEOUT_SECONDS, context=tls
            )
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        try:
            if self.security == "starttls":
                server.starttls(context=tls)
            if self.username:
                server.login(self.username, self.password)
        except BaseException:
            server.close()
            raise
        return server


@dataclass(frozen=True)
class WebhookSender:
    """Posts signed JSON to one address.

    Attributes:
        url: where to; it may hold a secret and is never told.
        key: bytes that sign.
        channel: name of this way out.
    """

    url: str = field(repr=False)
    key: bytes = field(repr=False)
    channel: str = "webhook"

    def send(self, message: Message) -> None:
        """Deliver a message: any 2xx is yes, and redirections are not followed."""
        import httpx

        moment = int(time.time())
        body = json.dumps(
            {
                "type": message.kind,
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
                "data": {"title": message.subject, "text": message.text, **message.data},
            },
            ensure_ascii=False,
        ).encode()
        signed = f"{message.id}.{moment}.".encode() + body
        signature = base64.b64encode(hmac.new(self.key, signed, hashlib.sha256).digest())
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(moment),
            "webhook-signature": f"v1,{signature.decode()}",
        }
        try:
            status = httpx.post(
                self.url, content=body, headers=headers, timeout=TIMEOUT_SECONDS
            ).status_code
        except httpx.TimeoutException:
            raise SendError(f"ALERT_WEBHOOK_URL não respondeu em {TIMEOUT_SECONDS:.0f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SendError(
                f"a conexão com ALERT_WEBHOOK_URL falhou ({type(error).__name__})"
            ) from None
        if not 200 <= status < 300:
            fate: Fate = "drop" if status in _PERMANENT else "retry"
            raise SendError(
                f"ALERT_WEBHOOK_URL respondeu {status}",
                "pause" if status in _REFUSED_LOGIN else fate,
            )


def webhook_key(secret: str) -> bytes:
    """The signing key in a `whsec_…` secret.

    Raises:
        ValueError: it is no such secret, or shorter than 24 or longer than 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("a signing secret is whsec_ and the base64 of 24 to 64 bytes")
    return key


def _refused(what: str, codes: list[int]) -> SendError:
    fate: Fate = "drop" if codes and all(code >= 500 for code in codes) else "retry"
    return SendError(f"o servidor SMTP recusou {what} ({', '.join(map(str, codes))})", fate)
