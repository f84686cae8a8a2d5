"""The receiver: the only part of the product that strangers may reach.

A post is checked for its token and kept as it came; what it says is decided later. Whoever has no
token leaves a count and an address, and learns nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from crm_assets.settings import SettingsError
from crm_web.inbox import Inbox, NotKept
from crm_web.posts import read_post

MOST_BYTES = 1_000_000
"""Of a body; the largest real ones have some ten thousand."""

MOST_BYTES_OF_STRANGERS = 100_000
"""Of a body that has to be read for its token: many who have none may come at once."""

BODY_SECONDS = 10
RETRY_SECONDS = 30
SHORTEST_TOKEN = 16

_CLOSED = {"connection": "close"}


@dataclass(frozen=True)
class Tokens:
    """The tokens of one sender and tenant, several while one is replaced; none lets nobody in."""

    texts: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def from_environ(cls, name: str, environ: Mapping[str, str]) -> Tokens:
        """Read the variable that holds them, separated by commas.

        Raises:
            SettingsError: one could be guessed, or cannot stand in a header.
        """
        parts = (part.strip() for part in environ.get(name, "").split(","))
        texts = tuple(part for part in parts if part)
        if any(len(text) < SHORTEST_TOKEN or not text.isascii() for text in texts):
            raise SettingsError(
                f"{name} tem um token com menos de {SHORTEST_TOKEN} caracteres ou com acento: use "
                "outro."
            )
        return cls(texts)

    def admit(self, given: str | None) -> bool:
        """Whether a token is one of these, in a time that tells nothing about them."""
        if given is None:
            return False
        mark = _mark(given)
        return sum(hmac.compare_digest(mark, _mark(text)) for text in self.texts) > 0

    def hidden_in(self, body: bytes) -> bytes:
        """A body without them, wherever they stand."""
        for text in self.texts:
            body = body.replace(text.encode(), b"")
        return body


@dataclass(frozen=True)
class Door:
    """Where one sender posts for one tenant.

    Attributes:
        kind: `hotmart` or `manychat`.
        headers: those that may carry the token, the first one counts.
        in_body: whether a token in the body counts where no header has one.
        tokens: who is let in.
        inbox: where it goes.
    """

    kind: str
    headers: tuple[str, ...]
    in_body: bool
    tokens: Tokens
    inbox: Inbox

    async def receive(self, request: Request) -> Response:
        """Answer a post: 200 once it is on disk; 401, 408 or 413; 503 when it has to come again."""
        given = self._given(request)
        is_known = self.tokens.admit(given)
        if not is_known and (given is not None or not self.in_body):
            return self._refused(request)
        most = MOST_BYTES if is_known else MOST_BYTES_OF_STRANGERS
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request, most)
        except (TimeoutError, ClientDisconnect):
            return _answer(408, "O corpo não chegou a tempo.", _CLOSED)
        if body is None:
            return _answer(413, f"O corpo passa de {most} bytes.", _CLOSED)
        content_type = request.headers.get("content-type")
        post = read_post(body, content_type)
        if not is_known and not self.tokens.admit(post.token):
            return self._refused(request)
        clean = self.tokens.hidden_in(body)
        if clean != body:
            post = read_post(clean, content_type)
        event = post.event(self.kind, content_type, self.inbox.now())
        try:
            await self.inbox.keep(event)
        except NotKept:
            wait = {"retry-after": str(RETRY_SECONDS)}
            return _answer(503, "Não foi gravado: envie de novo mais tarde.", wait)
        return Response(json.dumps({"id": event.event_key}), media_type="application/json")

    def _refused(self, request: Request) -> Response:
        self.inbox.refuse(self.kind, _address(request))
        return _answer(401, "Token ausente ou errado.", {"www-authenticate": "Token"})

    def _given(self, request: Request) -> str | None:
        for name in self.headers:
            if value := request.headers.get(name, "").strip():
                return value.removeprefix("Bearer ").strip() if name == "authorization" else value
        return None


async def _body(request: Request, most: int) -> bytes | None:
    """The body, or None when it has too many bytes."""
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            return None
    return bytes(body)


def _address(request: Request) -> str:
    """Who sends, as far as it is an address."""
    try:
        return str(ipaddress.ip_address(request.client.host if request.client else ""))
    except ValueError:
        return "desconhecido"


def _answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"detail": detail}, status, headers)


def _mark(token: str) -> bytes:
    """A token in a form of one length, so that comparing does not tell its own."""
    return hashlib.sha256(token.encode("utf-8", "backslashreplace")).digest()
