"""What importing a contact file would do, without doing it. No Dagster here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from crm_assets.bronze.manychat_file import RefusedFile, read_contacts
from crm_assets.bronze.manychat_inbox import SOURCE
from crm_assets.contact.email import normalize_emails
from crm_assets.contact.phone_choice import choose_phones
from crm_assets.gold.snapshot import NothingPublished, open_snapshot
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_resources.ops import OpsStore


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


def preview(file: Path, settings: Settings, tenant: Tenant) -> Effect:
    """Count the rows that would create or update a customer, be ignored, or be set aside."""
    content = file.read_bytes()
    if _is_landed(content, settings, tenant):
        return Effect(True, "conteúdo já importado; nada mudaria")
    try:
        contacts = read_contacts(content, timezone=tenant.timezone, now=settings.now())
    except RefusedFile as refusal:
        return Effect(False, f"recusado: {refusal}")
    frame = contacts.frame
    brazilian = frame["locale"].str.contains(r"(?i)^pt[_-]br").fill_null(False)
    phones = choose_phones(frame["whatsapp_phone"], frame["phone"], brazilian=brazilian)
    keys = frame.select(
        email=normalize_emails(frame["email"])["email_key"], phone=phones["phone_key"]
    )
    usable = keys.filter(pl.col("email").is_not_null() | pl.col("phone").is_not_null())
    held = _held_keys(settings, tenant)
    known = usable.filter(pl.col("email").is_in(held) | pl.col("phone").is_in(held))
    unmapped = f"; colunas próprias: {', '.join(contacts.unmapped)}" if contacts.unmapped else ""
    return Effect(
        True,
        f"{len(keys)} linhas: {len(usable) - len(known)} de pessoas novas, "
        f"{len(known)} de clientes que já existem, {len(keys) - len(usable)} sem e-mail nem "
        f"telefone, {len(contacts.rejects)} células rejeitadas{unmapped}",
    )


def _is_landed(content: bytes, settings: Settings, tenant: Tenant) -> bool:
    if not settings.has_ops(tenant.slug):
        return False
    ops = OpsStore(settings.ops_address(tenant.slug), tenant.slug)
    load = ops.load_of_content(SOURCE, hashlib.sha256(content).hexdigest())
    return load is not None and load.status == "landed"


def _held_keys(settings: Settings, tenant: Tenant) -> list[str]:
    try:
        with open_snapshot(settings, tenant) as con:
            return con.sql("SELECT DISTINCT key FROM silver.customer_keys").pl()["key"].to_list()
    except NothingPublished:
        return []
