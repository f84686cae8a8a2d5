"""Is this installation able to work? One finding per thing a round needs; nothing is written."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version

from crm_assets.automation.notify import senders
from crm_assets.bronze.manychat_sheet import Patience, SheetError, read_sheet, sheet_address
from crm_assets.resources import hotmart_resource
from crm_assets.settings import Environment, Settings, SettingsError
from crm_assets.tenants import Tenant
from crm_resources.hotmart import SALES_HISTORY, HotmartError, Window
from crm_resources.hotmart.resource import HotmartResource, MissingSetting
from crm_resources.locks import holder
from crm_resources.ops import NewerStoreError, StoreUnavailableError
from crm_resources.ops.database import probe

LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    subject: str
    ok: bool
    detail: str


def examine(settings: Settings, tenant: Tenant) -> Iterator[Finding]:
    """Look at versions, disk, folders, settings and the connection of one tenant."""
    packages = ("dagster", "duckdb", "polars", "pandera")
    yield Finding("versões", True, ", ".join(f"{name} {version(name)}" for name in packages))
    yield _disk(settings)
    folder = settings.store_folder(tenant.slug)
    yield _ops(settings, tenant)
    held = holder(folder / "run.lock")
    yield Finding("rodada", True, f"em andamento: {held}" if held else "nenhuma em andamento")
    inbox = settings.input_folder(tenant.slug, "manychat")
    yield Finding("pasta do ManyChat", True, f"{inbox}{'' if inbox.is_dir() else ' (criar)'}")
    if tenant.manychat.enabled:
        yield _sheet(tenant)
    unmapped = [slug for slug, a in tenant.audiences.items() if not _has_products(a)]
    yield Finding(
        "públicos",
        not unmapped,
        f"{unmapped[0]} não tem produto nenhum" if unmapped else ", ".join(tenant.audiences),
    )
    channels = [sender.channel for sender in senders(settings.alerts)]
    yield Finding("alertas", True, ", ".join(channels) or "nenhum canal (ALERT_EMAILS ou webhook)")
    if tenant.hotmart.enabled:
        yield _start_date(settings, tenant)
        yield _hotmart(settings, tenant)
        yield _webhook(tenant)


def _has_products(audience: object) -> bool:
    return any(getattr(audience, name) for name in ("rest", "product_ids", "product_names"))


def _disk(settings: Settings) -> Finding:
    place = next(p for p in (settings.home, *settings.home.parents) if p.exists())
    free = shutil.disk_usage(place).free
    writable = os.access(place, os.W_OK)
    detail = f"{free / 1e9:.0f} GB livres em {place}" + ("" if writable else ", sem permissão")
    return Finding("disco", writable and free > LEAST_FREE_BYTES, detail)


def _ops(settings: Settings, tenant: Tenant) -> Finding:
    try:
        address = settings.ops_address(tenant.slug)
        told = probe(address) if settings.ops_url else "um arquivo desta empresa"
    except (SettingsError, NewerStoreError, StoreUnavailableError) as error:
        return Finding("banco de operações", False, str(error))
    return Finding("banco de operações", True, told)


def _start_date(settings: Settings, tenant: Tenant) -> Finding:
    start = tenant.hotmart.start_date
    if start:
        return Finding("HOTMART_START_DATE", True, start.isoformat())
    needed = settings.environment is Environment.PRD
    return Finding("HOTMART_START_DATE", not needed, "não definida; em prd é obrigatória")


def _hotmart(settings: Settings, tenant: Tenant) -> Finding:
    resource = hotmart_resource(tenant)
    now = settings.now()
    try:
        asyncio.run(_last_hour(resource, Window(now - timedelta(hours=1), now)))
    except (MissingSetting, HotmartError) as error:
        return Finding("Hotmart", False, str(error))
    return Finding("Hotmart", True, f"{tenant.hotmart.api_url} respondeu")


def _webhook(tenant: Tenant) -> Finding:
    name = tenant.hotmart.webhook_token_env
    told = "definido" if os.environ.get(name) else "não definido: todo evento é recusado"
    return Finding("webhook da Hotmart", True, f"{name} {told}")


def _sheet(tenant: Tenant) -> Finding:
    name = tenant.manychat.sheet_url_env
    if sheet_address(tenant) is None:
        return Finding("planilha do ManyChat", True, f"nenhuma ({name} não definida)")
    try:
        content = read_sheet(tenant, Patience(attempts=1))
    except SheetError as error:
        return Finding("planilha do ManyChat", False, str(error))
    return Finding("planilha do ManyChat", True, f"{name} respondeu com {len(content)} bytes")


async def _last_hour(resource: HotmartResource, window: Window) -> None:
    async with resource.client() as client:
        await client.read_window(SALES_HISTORY, window)
