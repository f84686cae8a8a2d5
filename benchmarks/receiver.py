"""The receiver under 64 connections, against the same server without a write and with one each."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.processes import CHECKOUT, measure
from benchmarks.report import Reading

CONNECTIONS = 64
POSTS = 40_000
TOKEN = "benchmark-hottok-0123456789"  # noqa: S105
PATH = "/api/hotmart/webhook/user"
NO_WRITE, ONE_EACH, RECEIVER = "plain", "one-each", "receiver"


def receiver(scale: float, repeat: int) -> Iterator[Reading]:
    """Events kept per second, and how long a sender waits."""
    posts = max(round(POSTS * scale), 10 * CONNECTIONS)
    counts = {NO_WRITE: posts, ONE_EACH: max(posts // 20, CONNECTIONS), RECEIVER: posts}
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in counts}
    for _ in range(repeat):
        for kind, count in counts.items():
            found[kind].append(_loaded(kind, count))

    def median(kind: str, figure: str) -> float:
        return float(statistics.median(one[figure] for one in found[kind]))

    ours, plain, one_each = (median(kind, "rate") for kind in (RECEIVER, NO_WRITE, ONE_EACH))
    yield Reading(
        f"events kept, {CONNECTIONS} connections; floor: the same server without a write",
        f"{ours:,.0f} /s",
        f"{plain:,.0f} /s",
        f"{plain / ours:.2f} ×",
        "≥ 2,000 /s",
        ours >= 2000,
        round(median(RECEIVER, "peak")),
        round(median(NO_WRITE, "peak")),
    )
    yield Reading(
        "the same; floor: one sync of the disk per post",
        f"{ours:,.0f} /s",
        f"{one_each:,.0f} /s",
        f"{one_each / ours:.2f} ×",
    )
    p50, p99 = median(RECEIVER, "p50"), median(RECEIVER, "p99")
    floor = median(NO_WRITE, "p99")
    yield Reading(
        "how long a sender waits, p50 and p99; floor: p99 without a write",
        f"{p50 * 1000:.0f} and {p99 * 1000:.0f} ms",
        f"{floor * 1000:.0f} ms",
        f"{p99 / floor:.2f} ×",
        "p99 ≤ 100 ms",
        p99 <= 0.1,
    )


def _loaded(kind: str, posts: int) -> dict[str, Any]:
    """One of the servers under load: `rate`, `p50`, `p99`, and the server's `peak`."""
    with serving(kind) as server:
        found = measure("benchmarks.receiver:load", {}, port=server.port, posts=posts)
        if kind == RECEIVER:
            server.check(posts)
    return {**found, "rate": posts / found["seconds"], "peak": server.peak}


@dataclass
class Served:
    """A server process that posts can be sent to.

    Attributes:
        port: where it listens on loopback.
        folder: its home.
        peak: bytes of its memory at its largest, once it has ended.
    """

    port: int
    folder: Path
    peak: int = 0

    def check(self, posts: int) -> None:
        """Insist that every post is in the inbox, once."""
        from crm_resources.ops import OpsStore

        store = OpsStore(self.folder / "db" / "dev" / "default" / "ops.sqlite", "default")
        kept = sum(store.event_counts().values())
        if kept != posts:
            raise RuntimeError(f"{kept} events were kept of {posts} that were acknowledged")


@contextmanager
def serving(kind: str) -> Iterator[Served]:
    """Run one of the servers in a process of its own."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARKS_FOLDER")) as folder:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environ = {**os.environ, "CRM_HOME": folder, "ENVIRONMENT": "dev"}
        environ |= {"HOTMART_WEBHOOK_TOKEN": TOKEN, "PYTHON_DOTENV_DISABLED": "1"}
        environ |= {"CRM_TENANTS": "", "CRM_OPS_URL": "", "PYTHONPATH": str(CHECKOUT)}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "benchmarks.receiver", kind, str(port), folder]
        process = subprocess.Popen(command, env=environ, cwd=CHECKOUT)  # noqa: S603
        server = Served(port, Path(folder))
        try:
            _wait_for(port)
            yield server
        finally:
            server.peak = _peak(process.pid)
            process.send_signal(signal.SIGINT)
            process.wait()


def _peak(pid: int) -> int:
    """Bytes of a process's memory at its largest, where the system tells."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the server did not start within 30 s")


class Sender(asyncio.Protocol):
    """One connection that posts, waits for the answer, and posts again."""

    def __init__(
        self, work: Iterator[bytes], waits: list[float], ended: asyncio.Future[None]
    ) -> None:
        """Take posts from `work`, which all connections share, until there are none."""
        self.work, self.waits, self.ended = work, waits, ended
        self.answer, self.sent = b"", 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        """Take the answer, whose body is JSON without a `}` inside."""
        self.answer += data
        if not self.answer.endswith(b"}"):
            return
        if not self.answer.startswith(b"HTTP/1.1 200"):
            self.transport.abort()
            return
        self.waits.append(time.perf_counter() - self.sent)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; before the work is done, only when something went wrong."""
        if not self.ended.done():
            told = self.answer[:60].decode(errors="replace")
            self.ended.set_exception(RuntimeError(f"the server hung up after {told!r}"))

    def _next(self) -> None:
        self.answer = b""
        post = next(self.work, None)
        if post is None:
            self.ended.set_result(None)
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(post)


def load(port: int, posts: int) -> dict[str, Any]:
    """Post events over kept connections; seconds in all, and what a sender waited."""

    async def run() -> tuple[float, list[float]]:
        loop = asyncio.get_running_loop()
        waits: list[float] = []
        work = requests(posts)
        started = time.perf_counter()
        ends = [loop.create_future() for _ in range(CONNECTIONS)]
        for end in ends:
            await loop.create_connection(partial(Sender, work, waits, end), "127.0.0.1", port)
        await asyncio.gather(*ends)
        return time.perf_counter() - started, waits

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds, waits = runner.run(run())
    waits.sort()
    return {
        "seconds": seconds,
        "p50": waits[len(waits) // 2],
        "p99": waits[int(len(waits) * 0.99)],
    }


def requests(posts: int) -> Iterator[bytes]:
    """Requests with approved purchases of the documented shape, each with an id of its own."""
    buyer = {"name": "Ana Souza", "email": "ana@example.com", "checkout_phone": "987651234"}
    price = {"value": 297.0, "currency_value": "BRL"}
    purchase = {
        "transaction": "HP0000000001", "status": "APPROVED", "order_date": 1_773_570_000_000,
        "approved_date": 1_773_570_060_000, "price": price, "full_price": price,
        "offer": {"code": "abcd1234"}, "payment": {"type": "CREDIT_CARD", "installments_number": 1},
    }  # fmt: skip
    commissions = [{"source": "PRODUCER", "value": 266.0, "currency_value": "BRL"}] * 3
    product = {"id": 1, "name": "Curso de Confeitaria", "warranty_date": "2026-03-22T00:00:00Z"}
    event = {
        "id": "{id}", "creation_date": 1_773_570_061_123, "event": "PURCHASE_APPROVED",
        "version": "2.0.0", "data": {
            "product": product, "buyer": buyer, "purchase": purchase, "commissions": commissions,
            "affiliates": [{"affiliate_code": "", "name": ""}], "producer": {"name": "Aurora"},
        },
    }  # fmt: skip
    before, after = json.dumps(event).encode().split(b"{id}")
    size = len(before) + 12 + len(after)
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"x-hotmart-hottok: {TOKEN}\r\ncontent-length: {size}\r\n\r\n"
    ).encode()
    for number in range(posts):
        yield b"%b%b%012d%b" % (head, before, number, after)


def _floor(folder: str, *, writes: bool) -> Starlette:
    """A server that only takes the body, and syncs a file for each one when it `writes`."""
    file = (Path(folder) / "posts").open("ab")

    async def post(request: Request) -> Response:
        body = await request.body()
        if writes:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        return JSONResponse({"id": ""})

    return Starlette(routes=[Route(PATH, post, methods=["POST"])])


def _serve(kind: str, port: str, folder: str) -> None:
    from crm_assets.settings import load_settings
    from crm_assets.tenants import load_tenants
    from crm_web.app import create_app
    from crm_web.server import server

    if kind == RECEIVER:
        settings = load_settings()
        app: Starlette = create_app(settings, load_tenants(settings, os.environ), os.environ)
    else:
        app = _floor(folder, writes=kind == ONE_EACH)
    with suppress(KeyboardInterrupt):
        server(app, "127.0.0.1", int(port)).run()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
