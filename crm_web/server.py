"""The server under the app: who is slow is cut off, who is in the middle is served to the end."""

from __future__ import annotations

import asyncio

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10
MOST_HEAD_BYTES = 300_000
"""Of a request before its body; above what the system hands over at once (256 KB)."""

IDLE_SECONDS = 30
SHUTDOWN_SECONDS = 15
MOST_CONNECTIONS = 1000


class PromptHttp(HttpToolsProtocol):
    """HTTP for clients that send the head of a request in time, and one of a sensible size.

    Uvicorn itself waits for ever, and keeps every header.
    """

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless a head does not end."""
        super().data_received(data)
        self._head_bytes += len(data)
        if self._deadline is not None and self._head_bytes > MOST_HEAD_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Wait for the rest of a head that has begun."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Leave the body to the app, which has a time of its own for it."""
        self._head_came()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_came()
        self._head_bytes = 0
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def server(app: Starlette, host: str, port: int) -> uvicorn.Server:
    """A server for the app, one process for all tenants.

    Args:
        app: what `create_app` gives.
        host: address to listen on.
        port: to listen on.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host,
            port,
            http=PromptHttp,
            ws="none",
            lifespan="on",
            access_log=False,
            log_level="warning",
            server_header=False,
            backlog=2048,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
