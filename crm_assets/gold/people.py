"""Finding people in the master: who is meant, and which records they have.

For the commands of an operator: they read the warehouse itself, in one short transaction that is
always rolled back, so that they see what the last step wrote also when nothing was published.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import polars as pl

from crm_assets.contact.email import normalize_emails
from crm_assets.contact.phone import normalize_phones
from crm_assets.resources import warehouse_of
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_resources.warehouse import Transaction

_CUSTOMER_ID = re.compile(r"cus_[0-9a-f]{32}")


class NoMaster(RuntimeError):
    """The tenant has no customers yet."""


@contextmanager
def reading(settings: Settings, tenant: Tenant) -> Iterator[Transaction]:
    """The warehouse of a tenant in a transaction that never commits.

    Raises:
        NoMaster: no round has built customers yet.
        Busy: a run held the warehouse too long.
    """
    warehouse = warehouse_of(settings, tenant)
    missing = NoMaster(
        f"Ainda não há cadastro de {tenant.slug} em {settings.environment}: "
        "rode `uv run crm run` primeiro."
    )
    if not warehouse.path.exists():
        raise missing
    with suppress(_RolledBack), warehouse.write("consulta de cliente") as tx:
        if not tx.scalar(_IS_BUILT):
            raise missing
        yield tx
        raise _RolledBack


def find_customers(settings: Settings, tenant: Tenant, text: str) -> list[str]:
    """The live customers that a text means; none for nobody, also before the first round.

    Args:
        settings: the installation.
        tenant: whose customers.
        text: an id, live or merged, an e-mail or a phone in any writing, or a record.
    """
    try:
        with reading(settings, tenant) as tx:
            return customers_of(tx, text)
    except NoMaster:
        return []


def record_refs(settings: Settings, tenant: Tenant, customer_id: str) -> list[str]:
    """The references `source:source_id` of a customer's records, the oldest first."""
    with reading(settings, tenant) as tx:
        return refs_of(tx, customer_id)


def customers_of(tx: Transaction, text: str) -> list[str]:
    """See `find_customers`."""
    written = text.strip()
    if _CUSTOMER_ID.fullmatch(written):
        survivors = tx.read(_SURVIVOR, [written]).to_series().to_list()
        return [survivor for survivor in survivors if survivor is not None]
    email, phone = contact_keys(written)
    parameters = {"text": written, "email": email, "phone": phone}
    return tx.read(_HOLDERS, parameters).to_series().to_list()


def contact_keys(text: str) -> tuple[str | None, str | None]:
    """The e-mail key and the phone key of a text in any writing; at most one of them."""
    cell = pl.Series([text], dtype=pl.String)
    if "@" in text:
        return normalize_emails(cell)["email_key"][0], None
    if ":" in text:
        return None, None
    return None, normalize_phones(cell, brazilian=pl.Series([True]))["phone_key"][0]


def refs_of(tx: Transaction, customer_id: str) -> list[str]:
    """See `record_refs`."""
    return list(members(tx, [customer_id]))


def members(tx: Transaction, customer_ids: Sequence[str]) -> dict[str, str]:
    """Customer by reference of all records of several customers, the oldest record first."""
    return dict(tx.read(_MEMBERS, [list(customer_ids)]).rows())


def known_refs(tx: Transaction, named: Sequence[str]) -> dict[str, list[str]]:
    """The references that names of records mean: a reference itself, or a record's own id."""
    rows = tx.read(_NAMED, [list(named)]).rows()
    found: dict[str, list[str]] = {name: [] for name in named}
    for name, ref in rows:
        found[name].append(ref)
    return found


def mates(tx: Transaction, ref: str) -> int:
    """How many records share a reference."""
    return int(tx.scalar(_MATES, [ref]))


def anchor_of(tx: Transaction, customer_id: str) -> str:
    """The reference that stands for a customer: the one it was minted for, else its oldest."""
    refs, anchor = refs_of(tx, customer_id), tx.scalar(_ANCHOR, [customer_id])
    return str(anchor) if anchor in refs else refs[0]


class _RolledBack(Exception):
    """Ends a transaction that only looked."""


_IS_BUILT = """
    SELECT count(*) = 2 FROM duckdb_tables()
    WHERE schema_name = 'silver' AND table_name IN ('contact_records', 'customers')
"""
_ANCHOR = "SELECT anchor FROM silver.customer_ids WHERE customer_id = ?"
_SURVIVOR = "SELECT survivor_id FROM silver.customer_ids WHERE customer_id = ?"
_HOLDERS = """
    SELECT DISTINCT customer_id
    FROM silver.contact_records AS records JOIN silver.customer_xref AS xref USING (record_id)
    WHERE valid_to IS NULL AND (
        email_key = $email OR $phone IN (phone_key, phone) OR record_id = $text
        OR records.source || ':' || records.source_id = $text
    )
    ORDER BY customer_id
"""
_MEMBERS = """
    SELECT records.source || ':' || records.source_id AS ref, any_value(customer_id)
    FROM silver.contact_records AS records JOIN silver.customer_xref AS xref USING (record_id)
    WHERE valid_to IS NULL AND customer_id IN (SELECT unnest(?::VARCHAR[]))
    GROUP BY ref ORDER BY min(observed_at), ref
"""
_NAMED = """
    WITH records AS (
        SELECT record_id, source || ':' || source_id AS ref FROM silver.contact_records
    ), named AS (SELECT unnest(?::VARCHAR[]) AS name)
    SELECT name, ref FROM named JOIN records ON record_id = name
    UNION SELECT name, ref FROM named JOIN records ON ref = name
    ORDER BY ALL
"""
_MATES = "SELECT count(*) FROM silver.contact_records WHERE source || ':' || source_id = ?"
