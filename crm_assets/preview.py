"""What importing a file, or undoing an import, would do, without doing it. No Dagster here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from crm_assets.bronze.hotmart_csv_file import read_sales
from crm_assets.bronze.manychat_file import read_contacts
from crm_assets.bronze.receiving import MANYCHAT, digest_of, raw_path, read_file
from crm_assets.bronze.text_table import RefusedFile, TypedFile
from crm_assets.contact.email import normalize_emails
from crm_assets.contact.phone_choice import choose_phones
from crm_assets.contact.place import country_codes
from crm_assets.gold.snapshot import NothingPublished, open_snapshot
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_assets.words import counted
from crm_resources.ops import Load, OpsStore


@dataclass(frozen=True)
class Effect:
    """The effect of a file.

    Attributes:
        accepted: whether the file would be taken.
        text: what would happen, in one sentence.
    """

    accepted: bool
    text: str

    def __str__(self) -> str:
        return self.text


def preview(file: Path, settings: Settings, tenant: Tenant, source: str = MANYCHAT) -> Effect:
    """Count what a file would create or update, ignore, or set aside."""
    try:
        content = read_file(file)
        if _is_landed(content, settings, tenant, source):
            return Effect(True, "conteúdo já importado; nada mudaria")
        typed = _read(content, settings, tenant, source)
    except RefusedFile as refusal:
        return Effect(False, f"recusado: {refusal}")
    told = _contacts_told if source == MANYCHAT else _sales_told
    unmapped = f"; colunas próprias: {', '.join(typed.unmapped)}" if typed.unmapped else ""
    return Effect(
        True,
        f"{counted(len(typed.frame), 'linha')}: {told(typed, settings, tenant)}, "
        f"{counted(len(typed.rejects), 'célula rejeitada', 'células rejeitadas')}{unmapped}",
    )


def preview_undo(load: Load, settings: Settings, tenant: Tenant) -> str:
    """Count the rows that undoing an import would take out, and the customers they speak of."""
    if load.status == "undone":
        return "já foi desfeito; nada mudaria"
    if load.status != "landed":
        return "nada dele entrou; só deixaria de esperar"
    leaving = counted(load.rows, "linha sairia", "linhas sairiam")
    try:
        content = raw_path(settings, tenant, load.slice, load.source).read_bytes()
        keys = _keys(_read(content, settings, tenant, load.source), load.source)
    except (FileNotFoundError, RefusedFile):
        return leaving
    people = _published(
        settings,
        tenant,
        "SELECT count(DISTINCT customer_id) FROM silver.customer_keys WHERE list_contains(?, key)",
        [pl.concat([keys["email"], keys["phone"]]).drop_nulls().unique().to_list()],
    )
    count = people.item() if people is not None else 0
    losing = counted(count, "pessoa perderia este registro", "pessoas perderiam este registro")
    return f"{leaving}; {losing}"


def _read(content: bytes, settings: Settings, tenant: Tenant, source: str) -> TypedFile:
    if source == MANYCHAT:
        return read_contacts(content, timezone=tenant.timezone, now=settings.now())
    return read_sales(content, timezone=tenant.timezone)


def _contacts_told(typed: TypedFile, settings: Settings, tenant: Tenant) -> str:
    keys = _keys(typed, MANYCHAT)
    usable = keys.filter(pl.col("email").is_not_null() | pl.col("phone").is_not_null())
    held = _published(settings, tenant, "SELECT DISTINCT key FROM silver.customer_keys")
    names = held["key"].to_list() if held is not None else []
    known = usable.filter(pl.col("email").is_in(names) | pl.col("phone").is_in(names))
    return (
        f"{len(usable) - len(known)} de pessoas novas, {len(known)} de clientes que já existem, "
        f"{len(keys) - len(usable)} sem e-mail nem telefone"
    )


def _sales_told(typed: TypedFile, settings: Settings, tenant: Tenant) -> str:
    records = ("hotmart:" + typed.frame["transaction"]).unique().to_list()
    held = _published(
        settings,
        tenant,
        "SELECT count(*) FROM silver.sales WHERE list_contains(?, record_id)",
        [records],
    )
    known = held.item() if held is not None else 0
    new = counted(len(records) - known, "venda nova", "vendas novas")
    return f"{new}, {counted(known, 'que já existe', 'que já existem')}"


def _keys(typed: TypedFile, source: str) -> pl.DataFrame:
    """The identity keys of a file's rows: `email` and `phone`."""
    frame = typed.frame
    if source == MANYCHAT:
        brazilian = frame["locale"].str.contains(r"(?i)^pt[_-]br").fill_null(value=False)
        emails = frame["email"]
        phones = choose_phones(frame["whatsapp_phone"], frame["phone"], brazilian=brazilian)
    else:
        brazilian = (frame["price_currency"] == "BRL").fill_null(value=False)
        emails, none = frame["buyer_email"], pl.Series([None], dtype=pl.String)
        phones = choose_phones(
            frame["buyer_phone"],
            none.new_from_index(0, len(frame)),
            country_codes(frame["country"]),
            brazilian,
        )
    return pl.DataFrame(
        {"email": normalize_emails(emails)["email_key"], "phone": phones["phone_key"]}
    )


def _is_landed(content: bytes, settings: Settings, tenant: Tenant, source: str) -> bool:
    if not settings.has_ops(tenant.slug):
        return False
    ops = OpsStore(settings.ops_address(tenant.slug), settings.ops_tenant(tenant.slug))
    load = ops.load_of_content(source, digest_of(content))
    return load is not None and load.status == "landed"


def _published(
    settings: Settings, tenant: Tenant, query: str, parameters: list[Any] | None = None
) -> pl.DataFrame | None:
    try:
        with open_snapshot(settings, tenant) as con:
            return con.execute(query, parameters).pl()
    except NothingPublished:
        return None
