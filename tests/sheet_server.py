"""A server of one sheet, for tests that read it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tenacity.wait import wait_none

from crm_assets.bronze.manychat_sheet import Patience

CANARY = "canario-da-planilha"
ANA = b"nome;email\nAna Invento;ana@example.com\n"
BIA = ANA + b"Bia Invento;bia@example.com\n"
QUICK = Patience(timeout=0.3, deadline=5, backoff=wait_none())
LOGIN = b"<!DOCTYPE html><html><title>Sign in</title></html>"


@dataclass
class Sheet:
    """A server of one sheet: it gives its replies in turn, the last one for ever."""

    url: str
    replies: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """What the variable holds."""
        return f"{self.url}/planilha?chave={CANARY}"

    def holds(self, body: Any, status: int = 200, **headers: str) -> None:
        """From now on it gives this; a body that is no bytes is sent piece by piece."""
        self.replies = [(status, headers, body)]

    def reply(self, path: str) -> tuple[int, dict[str, str], Any]:
        self.asked.append(path)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class Handler(BaseHTTPRequestHandler):
    """Answers with what the sheet holds."""

    sheet: Sheet

    def do_GET(self) -> None:
        status, headers, body = self.sheet.reply(self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if isinstance(body, bytes) and "content_length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            for chunk in [body] if isinstance(body, bytes) else body:
                self.wfile.write(chunk)
                self.wfile.flush()
        except OSError:
            pass  # the client had enough

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Sheet]:
    """A server on loopback, with one sheet."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        sheet = Handler.sheet = Sheet(f"http://127.0.0.1:{http.server_port}")
        try:
            yield sheet
        finally:
            http.shutdown()
            thread.join()
