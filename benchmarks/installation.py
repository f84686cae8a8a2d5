"""The installations that are measured: a home, its tenant, and the local Hotmart it reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import CHECKOUT

if TYPE_CHECKING:
    import dagster as dg

    from crm_assets.steps import Site

SAMPLE = CHECKOUT / "data" / "sample"
NOW = "2026-03-15T09:00:00-03:00"
SECRET = "sandbox-secret"  # noqa: S105
"""What every sandbox accepts."""

_HISTORY = """
[tenants.default]
name = "Escola Aurora"
[tenants.default.hotmart]
start_date = {start}
calls_per_minute = {calls_per_minute}
"""


def month_before(months: int) -> str:
    """First day of the month so many months before the present one, as YYYY-MM-DD."""
    year, month = divmod(int(NOW[:4]) * 12 + int(NOW[5:7]) - 1 - months, 12)
    return f"{year}-{month + 1:02d}-01"


def sample_installation(home: Path, url: str = "http://127.0.0.1:9") -> dict[str, str]:
    """The environment of the sample tenant in `home`, its contact files in the input folder."""
    shutil.copytree(SAMPLE / "input", home / "input", dirs_exist_ok=True)
    return _environ(home, SAMPLE / "tenants.toml", url)


def history_installation(home: Path, url: str, start: str, calls_per_minute: int) -> dict[str, str]:
    """The environment of a tenant in `home` that reads Hotmart from `start` on."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "tenants.toml"
    text = _HISTORY.format(start=start, calls_per_minute=calls_per_minute)
    file.write_text(text, encoding="utf-8")
    return _environ(home, file, url)


def _environ(home: Path, tenants: Path, url: str) -> dict[str, str]:
    return {
        "ENVIRONMENT": "prd",
        "CRM_HOME": str(home),
        "CRM_TENANTS": str(tenants),
        "CRM_NOW": NOW,
        "DAGSTER_HOME": str(home / "dagster" / "prd"),
        "HOTMART_API_URL": url,
        "HOTMART_AUTH_URL": url,
        "HOTMART_CLIENT_ID": "sandbox-id",
        "HOTMART_CLIENT_SECRET": SECRET,
    }


@contextmanager
def opened() -> Iterator[tuple[Site, dg.Definitions, dg.DagsterInstance]]:
    """The installation of this process's environment, its lasting Dagster instance open."""
    import dagster as dg

    from crm_assets.definitions import build, site_of
    from crm_assets.settings import load_settings
    from crm_assets.tenants import load_tenants
    from crm_cli.session import prepare_instance

    settings = load_settings()
    tenant = load_tenants(settings, os.environ)["default"]
    prepare_instance(settings, [])
    with dg.DagsterInstance.get() as instance:
        yield site_of(tenant, settings), build(settings, {"default": tenant}), instance


@contextmanager
def sandbox(
    transactions: int = 0, start: str = "2011-01-01", calls_per_minute: int = 0
) -> Iterator[tuple[str, Callable[[], list[float]]]]:
    """A Hotmart sandbox in a process of its own.

    Args:
        transactions: how many to invent; 0 serves the sample's.
        start: day of the first of them; the last are of yesterday.
        calls_per_minute: its rate limit; 0 for none.

    Yields:
        Its address, and a function that gives the monotonic seconds of every call so far.
    """
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(
        target=_serve, args=(there, transactions, start, calls_per_minute), daemon=True
    )
    process.start()

    def arrivals() -> list[float]:
        here.send("arrivals")
        seen: list[float] = here.recv()
        return seen

    try:
        yield here.recv(), arrivals
    finally:
        here.send("end")
        process.join()


def _serve(pipe: Connection, transactions: int, start: str, calls_per_minute: int) -> None:
    from crm_resources.hotmart.sandbox import Faults, Sandbox, SandboxServer
    from crm_resources.hotmart.sandbox_data import SandboxData

    if transactions:
        first, last = (datetime.fromisoformat(f"{day}T00:00:00-03:00") for day in (start, NOW[:10]))
        data = SandboxData.generate(1, transactions, first, last)
    else:
        data = SandboxData.load(SAMPLE / "hotmart.json")
    with SandboxServer(Sandbox(data, Faults(calls_per_minute=calls_per_minute))) as server:
        pipe.send(server.url)
        while pipe.recv() == "arrivals":
            pipe.send(list(server.sandbox.arrivals))
