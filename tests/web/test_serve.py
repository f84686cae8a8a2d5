"""`crm serve` as a process: started, killed in the middle of everything, started again."""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import duckdb
import httpx
import pytest
from web_server import HOTMART_PATH, HOTTOK, SECRETS, TOKEN, environ_of, said
from world import sandbox_environ

from crm_assets.settings import CHECKOUT, Settings
from crm_resources.ops import OpsStore

pytestmark = pytest.mark.slow


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture
def environ(tmp_path):
    clean = {name: text for name, text in os.environ.items() if name != "DAGSTER_HOME"}
    return {**clean, **environ_of(tmp_path / "home"), "CRM_TENANTS": ""}


def start(environ, port, **more):
    command = [sys.executable, "-m", "crm_cli", "serve", "--port", str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environ, cwd=CHECKOUT, **pipes, **more)


def wait_until_up(process, port):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(process.communicate())


@contextmanager
def running(environ, port, **more):
    process = start(environ, port, **more)
    try:
        wait_until_up(process, port)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.out, process.err = process.communicate(timeout=60)


def store_of(environ):
    settings = Settings.from_environ(environ)
    return OpsStore(settings.ops_address("default"), settings.ops_tenant("default"))


def post(port, number, **fields):
    body = {"id": str(number), "event": "PURCHASE_OUT_OF_SHOPPING_CART", **fields}
    return httpx.post(f"http://127.0.0.1:{port}{HOTMART_PATH}", json=body, headers=TOKEN)


def test_it_says_where_it_is_and_what_it_refuses_and_ends_in_order(environ, port, tmp_path):
    environ.pop("MANYCHAT_WEBHOOK_TOKEN")
    with running(environ, port) as process:
        assert post(port, 1).status_code == 200
        again = start(environ, port)
        out, err = again.communicate(timeout=60)
        assert (again.returncode, out) == (1, "")
        assert f"A porta {port} de 127.0.0.1 não está livre: escolha outra com --port." in err
        with socket.create_server(("127.0.0.1", 0)) as free:
            other = free.getsockname()[1]
        again = start(environ, other)
        _, err = again.communicate(timeout=60)
        assert again.returncode == 1
        assert f"«crm serve» (processo {process.pid}, desde " in err
        assert "já recebe o que chega para default: encerre-o antes" in err
        process.send_signal(signal.SIGINT)
    assert process.err == ""
    assert f"Recebendo em http://127.0.0.1:{port} (ambiente prd)." in process.out
    assert "/api/hotmart/webhook/default\n" in process.out
    assert (
        "/api/manychat/contact/default (sem MANYCHAT_WEBHOOK_TOKEN: tudo é recusado)" in process.out
    )
    for secret in SECRETS:
        assert secret not in process.out + process.err
        assert secret.encode() not in said(tmp_path)


def test_a_short_token_is_named_and_nothing_starts(environ, port):
    process = start({**environ, "HOTMART_WEBHOOK_TOKEN": "curto"}, port)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("HOTMART_WEBHOOK_TOKEN tem um token com menos de 16 caracteres")


def test_a_full_disk_answers_503_and_keeps_what_it_acknowledged(environ, port):
    """The system itself refuses to let the files grow."""
    with running(environ, port):
        assert post(port, 1).status_code == 200
    size = 600_000

    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    with running(environ, port, preexec_fn=small) as process:
        answers = {number: post(port, number, text="x" * 50_000) for number in range(2, 30)}
    codes = {number: answer.status_code for number, answer in answers.items()}
    assert set(codes.values()) == {200, 503}
    kept = {number for number, code in codes.items() if code == 200}
    assert process.err.count("não estão sendo gravados") >= 1
    held = {int(each.event_key) for each in store_of(environ).events(limit=1000)}
    assert held == {1, *kept}
    with running(environ, port):
        assert post(port, 99).status_code == 200


class Senders:
    """Connections that post one event after the other, each until it is acknowledged."""

    def __init__(self, port, connections, seconds):
        self.port, self.connections, self.seconds = port, connections, seconds
        self.acknowledged, self.number = [], 0

    async def run(self):
        self.ends_at = time.monotonic() + self.seconds
        await asyncio.gather(*(self._send() for _ in range(self.connections)))

    async def _send(self):
        event, pipe = self._next(), None
        while time.monotonic() < self.ends_at:
            try:
                pipe = pipe or await asyncio.open_connection("127.0.0.1", self.port)
                if await self._post(pipe, event):
                    self.acknowledged.append(event)
                    event = self._next()
            except (OSError, EOFError):
                if pipe:
                    pipe[1].close()
                pipe = None
                await asyncio.sleep(0.05)
        if pipe:
            pipe[1].close()

    async def _post(self, pipe, event):
        reader, writer = pipe
        body = json.dumps({"id": event, "event": "PURCHASE_OUT_OF_SHOPPING_CART",
                           "version": "2.0.0", "creation_date": 1_773_570_061_123,
                           "data": {"product": {"id": 7, "name": "Curso"}}})  # fmt: skip
        head = (
            f"POST {HOTMART_PATH} HTTP/1.1\r\nhost: x\r\nx-hotmart-hottok: {HOTTOK}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write((head + body).encode())
        answer = await reader.readuntil(b"}")
        return answer.startswith(b"HTTP/1.1 200")

    def _next(self):
        self.number += 1
        return f"e{self.number}"


@pytest.mark.timeout(300)
def test_every_acknowledged_event_is_in_bronze_once_whatever_is_killed(
    environ, port, tmp_path, sandbox
):
    """64 connections for 11 s, two kills in the middle of writing."""
    environ = {**environ, **sandbox_environ(tmp_path / "home", sandbox.url)}
    process = start(environ, port)
    wait_until_up(process, port)
    senders = Senders(port, connections=64, seconds=11)

    async def disturbed():
        nonlocal process
        sending = asyncio.create_task(senders.run())
        for seconds in (3, 4):
            await asyncio.sleep(seconds)
            process.kill()
            process.communicate()
            process = start(environ, port)
        await sending

    asyncio.run(disturbed())
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == ""
    acknowledged = set(senders.acknowledged)
    assert len(acknowledged) == len(senders.acknowledged) > 1000
    store = store_of(environ)
    held = [each.event_key for each in store.events(limit=10**6)]
    assert len(held) == len(set(held))
    assert acknowledged <= set(held)
    done = subprocess.run(
        [sys.executable, "-m", "crm_cli", "run", "--only", "events"],
        env=environ, cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    path = Settings.from_environ(environ).store_folder("default") / "warehouse.duckdb"
    with duckdb.connect(path, read_only=True) as connection:
        landed = connection.sql("SELECT event_id FROM bronze.hotmart_events").fetchall()
    assert sorted(event for (event,) in landed) == sorted(held)


def test_the_web_app_starts_without_dagster_alembic_and_duckdb():
    code = (
        "import sys, crm_web.app, crm_web.server;"
        "print([name for name in ('dagster', 'alembic', 'duckdb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
