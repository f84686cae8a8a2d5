"""A Google Sheet that ManyChat keeps in sync, read as CSV (seeds S0.79).

Its address opens the sheet to whoever has it, so it is a secret: known by the name of its variable,
read at the moment of the call, and in no message or log. What comes back is received like a file.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import httpx
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential_jitter,
)
from tenacity.wait import wait_base

from crm_assets.bronze.receiving import MANYCHAT, Receipt, digest_of, receive_content, refuse_size
from crm_assets.bronze.text_table import RefusedFile
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_resources.ops import OpsStore

SHEET_NAME = "planilha do ManyChat"
"""Stands where a file has its name."""

SHEET_FAILED = "sheet_failed"
"""Kind of the incident that the schedule opens."""

_GOOGLE = re.compile(
    r"(https?://docs\.google\.com/spreadsheets/(?:u/\d+/)?d/(?:e/)?[\w-]+)(/[^?#]*)?"
)
_BACKOFF = wait_exponential_jitter(initial=1, max=10, jitter=1)
_GID = re.compile(r"[?#&]gid=(\d+)")
_HTML = re.compile(rb"\s*(?:<!doctype\s+html|<html)", re.IGNORECASE)


class SheetError(RuntimeError):
    """The sheet was not read; one sentence that names the variable, never the address."""


class _Unavailable(SheetError):
    """It may be there in a moment."""


@dataclass(frozen=True)
class Patience:
    """How long a sheet is waited for; in all, less than a sensor's minute.

    Attributes:
        timeout: seconds without an answer after which an attempt is given up.
        deadline: seconds after which no further attempt begins and no answer is read on.
        attempts: tries on faults that may pass.
        backoff: delay between tries.
    """

    timeout: float = 15.0
    deadline: float = 40.0
    attempts: int = 3
    backoff: wait_base = _BACKOFF


def sheet_address(tenant: Tenant) -> str | None:
    """The address that the tenant's variable holds now, or None without one."""
    return os.environ.get(tenant.manychat.sheet_url_env, "").strip() or None


def csv_address(address: str) -> str:
    """Where a sheet gives its CSV: a browser's Google address becomes the export of its tab."""
    google = _GOOGLE.match(address)
    page = (google[2] or "/").strip("/") if google else "csv"
    if google is None or page not in {"", "edit", "view", "htmlview", "pubhtml"}:
        return address
    tab = _GID.search(address)
    form = "pub?output=csv" if page == "pubhtml" else "export?format=csv"
    return f"{google[1]}/{form}{f'&gid={tab[1]}' if tab else ''}"


def receive_sheet(
    settings: Settings, tenant: Tenant, ops: OpsStore, patience: Patience = Patience()
) -> Receipt | None:
    """Read the tenant's sheet and receive what it holds; None when it has no sheet.

    The content of the last reading changes nothing, whatever became of it; one that was landed
    earlier and is back is the newest again.

    Raises:
        SheetError: it could not be read.
    """
    if not tenant.manychat.enabled or sheet_address(tenant) is None:
        return None
    content = read_sheet(tenant, patience)
    read = [load for load in ops.loads(MANYCHAT) if load.file_name == SHEET_NAME]
    last = max(read, key=lambda load: (load.at, load.id), default=None)
    is_back = last is not None and last.content_sha256 != digest_of(content)
    return receive_content(
        content,
        SHEET_NAME,
        settings,
        tenant,
        ops,
        day=settings.today(tenant.timezone),
        again=is_back,
    )


def read_sheet(tenant: Tenant, patience: Patience = Patience()) -> bytes:
    """The CSV of the tenant's sheet, as it is now.

    Raises:
        SheetError: no address, no answer, or one that is no CSV.
    """
    name = tenant.manychat.sheet_url_env
    address = sheet_address(tenant)
    if address is None:
        raise SheetError(f"Falta {name} no ambiente ou no .env.")
    if not re.match(r"https?://[^/\s]+", address):
        raise SheetError(f"{name} precisa ser o endereço da planilha, começando com https://.")
    started = monotonic()
    tries = Retrying(
        stop=stop_after_attempt(patience.attempts) | stop_after_delay(patience.deadline),
        wait=patience.backoff,
        retry=retry_if_exception_type(_Unavailable),
        reraise=True,
    )
    with (
        _unlogged(),
        httpx.Client(
            timeout=patience.timeout,
            follow_redirects=True,
            max_redirects=5,
            headers={"User-Agent": "crm-data-platform"},
        ) as client,
    ):
        return tries(_ask, client, csv_address(address), name, started + patience.deadline)


def _ask(client: httpx.Client, address: str, name: str, deadline: float) -> bytes:
    try:
        with client.stream("GET", address) as reply:
            _refuse_status(reply.status_code, name)
            refuse_size(int(reply.headers.get("content-length", 0)))
            content = bytearray()
            for chunk in reply.iter_bytes():
                content += chunk
                refuse_size(len(content))
                if monotonic() > deadline:
                    raise SheetError(f"A planilha de {name} demorou demais para chegar inteira.")
            html = reply.headers.get("content-type", "").startswith("text/html")
    except httpx.TransportError as error:
        raise _Unavailable(
            f"A planilha de {name} não respondeu ({type(error).__name__})."
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise SheetError(
            f"A planilha de {name} não pode ser lida deste endereço ({type(error).__name__})."
        ) from None
    except RefusedFile as refusal:
        raise SheetError(f"A planilha de {name} foi recusada: {refusal}") from None
    if html or _HTML.match(content):
        raise SheetError(_not_shared(name, "veio uma página de entrada em vez do CSV"))
    return bytes(content)


def _refuse_status(status: int, name: str) -> None:
    if status == 429 or status >= 500:
        raise _Unavailable(f"A planilha de {name} não está disponível agora (resposta {status}).")
    if status != 200:
        raise SheetError(_not_shared(name, f"resposta {status}"))


def _not_shared(name: str, sign: str) -> str:
    return (
        f"A planilha de {name} não está compartilhada com quem tem o link, ou o endereço mudou "
        f"({sign})."
    )


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the address out of the logs of the HTTP libraries, which write every request."""
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
