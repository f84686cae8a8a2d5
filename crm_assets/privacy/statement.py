"""The statement of all that is held of one person, in every layer (LGPD art. 19; rules 7.2).

It is read from the warehouse itself, in one transaction, and from the operations store. Rows are
given as they are kept, so that nothing is left out; the text says the same without the raw answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from crm_assets.bronze.receiving import FILE_SOURCES, raw_path
from crm_assets.gold.files import appearing
from crm_assets.gold.people import known_refs, reading
from crm_assets.privacy.person import groups_of, members
from crm_assets.privacy.rights import register
from crm_assets.privacy.statement_text import TITLES, as_text, masked
from crm_assets.settings import Settings
from crm_assets.silver.explain import Profile, read_profile
from crm_assets.slices import zone
from crm_assets.tenants import Tenant
from crm_resources.ops import ExportRecord, OpsStore
from crm_resources.warehouse import Transaction

Row = dict[str, Any]
Flavour = Literal["json", "txt"]

FOLDER = "titulares"
"""Folder of statements below the tenant's output, and their kind in the register of exports."""

_OF_SALE = "transaction IN (FROM person_sales)"
_OF_RECORD = "record_id IN (FROM person_records)"
_OF_KEY = "key IN (FROM person_keys)"
_OF_PERSON = "customer_id IN (FROM person_ids)"
_EVENTS = "(SELECT event_id FROM silver.events WHERE record_id IN (FROM person_records))"

OF_RECORDS = {
    "bronze.hotmart_transactions": _OF_SALE,
    "bronze.hotmart_customers": _OF_SALE,
    "bronze.hotmart_commissions": _OF_SALE,
    "bronze.hotmart_price_details": _OF_SALE,
    "bronze.hotmart_status_changes": _OF_SALE,
    "bronze.hotmart_subscription_transactions": _OF_SALE,
    "bronze.hotmart_csv": _OF_SALE,
    "bronze.hotmart_subscriptions": f"{_OF_SALE} OR subscriber_ucode IN (FROM person_ucodes) "
    "OR lower(trim(subscriber_email)) IN (FROM person_keys)",
    "bronze.hotmart_events": f"event_id IN {_EVENTS} OR lower(trim(email)) IN (FROM person_keys)",
    "bronze.manychat_contacts": "'manychat:' || slice || ':' || line IN (FROM person_records)",
    "bronze.rejects": f"place IN (FROM person_sales) OR place IN {_EVENTS} "
    "OR source || ':' || slice || ':' || place IN (FROM person_records)",
    "silver.contact_records": _OF_RECORD,
    "silver.contact_changes": _OF_RECORD,
    "silver.customer_xref": _OF_RECORD,
    "silver.events": _OF_RECORD,
    "silver.sale_records": _OF_RECORD,
    "silver.sales": _OF_RECORD,
    "silver.key_status": _OF_KEY,
    "silver.consents": _OF_KEY,
    "silver.opt_outs": _OF_KEY,
}
"""Tables whose rows belong to records or keys, and which of them are a person's."""

OF_PERSON = dict.fromkeys(
    (
        "silver.customers", "silver.customer_lineage", "silver.field_choices",
        "silver.customer_ids", "silver.customer_merges", "silver.contact_history", "silver.carts",
        "gold.triggers", "gold.audience_<name>", "gold.remarketing_batches",
        "silver.subscriptions", "silver.subscription_periods", "silver.access", "silver.access_log",
    ),
    _OF_PERSON,
) | dict.fromkeys(
    ("silver.subscription_history", "silver.subscription_readings"),
    f"subscriber_code IN (SELECT subscriber_code FROM silver.subscriptions WHERE {_OF_PERSON})",
) | dict.fromkeys(
    ("silver.identity_findings", "gold.identity_review"),
    "list_has_any(customer_ids, (SELECT list(id) FROM person_ids))",
)  # fmt: skip
"""Tables whose rows belong to the whole profile."""

TOLD_OTHERWISE = {"bronze.crm_actions", "silver.identity_state", "silver.customer_keys"}
"""Copies of the action log, which is told itself, and of keys, which the records hold."""

_OTHERS = {"customer_ids", "records"}
"""Lists that name other people beside this one."""


class ChooseRecords(RuntimeError):
    """A profile held together by a phone alone: some of its records may be somebody else's.

    Attributes:
        groups: records that surely belong together, each told without what identifies anybody.
    """

    def __init__(self, groups: Sequence[Sequence[Row]]) -> None:
        super().__init__(
            "Os registros deste cliente só têm o telefone em comum e podem ser de pessoas "
            "diferentes: diga com --record quais são de quem pede."
        )
        self.groups = groups


class UnknownRecord(RuntimeError):
    """A named record is not one of this customer."""


@dataclass(frozen=True)
class _Chosen:
    """Whose statement it is.

    Attributes:
        refs: the references of the records that are told.
        is_whole: whether they are all records of the profile.
    """

    refs: Sequence[str] = field(repr=False)
    is_whole: bool


def statement(
    settings: Settings, tenant: Tenant, customer_id: str, records: Sequence[str] = ()
) -> dict[str, Any]:
    """All that is held of a person, as JSON values.

    Args:
        settings: the installation.
        tenant: whose customer.
        customer_id: a live id.
        records: references of the records of whoever asks, when the profile needs the choice; a
            record brings those that are joined with it by more than a phone.

    Returns:
        `titular` (who, when, of which records), `dados` (rows by table), `pedidos`, `acoes`,
        `decisoes`, `arquivos_recebidos`, `arquivos_gerados` (with their destination) and `copias`.

    Raises:
        ChooseRecords: the choice is missing.
        UnknownRecord: it names a record that is not this customer's.
    """
    ops = OpsStore(settings.ops_address(tenant.slug), settings.ops_tenant(tenant.slug))
    with reading(settings, tenant) as tx:
        profile = read_profile(tx, customer_id)
        chosen = _chosen(tx, profile, records)
        _mark(tx, customer_id, chosen)
        data = {name: rows for name, rows in _rows(tx, chosen) if rows}
        ids = tx.read("FROM person_ids").to_series().to_list() if chosen.is_whole else []
        keys = tx.read("FROM person_keys").to_series().to_list()
        slices = tx.read(_SLICES).rows()
    told = {
        "titular": {
            "customer_id": customer_id,
            "empresa": tenant.name,
            "ambiente": str(settings.environment),
            "gerado_em": settings.now(),
            "registros": chosen.refs,
            "cadastro_inteiro": chosen.is_whole,
        },
        "dados": data,
        "pedidos": _requests(ops, tenant, ids, keys),
        "acoes": _actions(ops, ids, keys),
        "decisoes": [{"tipo": d.kind, "em": d.at, "motivo": d.reason} for d in profile.decisions],
        "arquivos_recebidos": _received(settings, tenant, ops, slices),
        "arquivos_gerados": _made(settings, tenant, ops, ids),
        "copias": _copies(settings, tenant),
    }
    plain = _plain(told, tenant)
    assert isinstance(plain, dict)
    return plain


def write_statement(
    settings: Settings, tenant: Tenant, told: Mapping[str, Any], flavour: Flavour, actor: str
) -> Path:
    """Write a statement for its owner alone; it is in the register of exports before it appears."""
    customer_id = told["titular"]["customer_id"]
    folder = settings.output_folder(tenant.slug)
    name = f"titular_{customer_id}_{settings.today(tenant.timezone)}.{flavour}"
    path = folder / FOLDER / name
    ops = OpsStore(settings.ops_address(tenant.slug), settings.ops_tenant(tenant.slug))
    with appearing(path) as draft:
        draft.write_text(rendered(told, flavour), encoding="utf-8")
        ops.record_export(
            ExportRecord(
                kind=FOLDER,
                destination=path.relative_to(folder).as_posix(),
                filter={"titular": "extrato"},
                customer_ids=(customer_id,),
                actor=actor,
                at=settings.now(),
            )
        )
    return path


def rendered(told: Mapping[str, Any], flavour: Flavour) -> str:
    """A statement in one of its two flavours."""
    if flavour == "txt":
        return as_text(told)
    return json.dumps(told, ensure_ascii=False, indent=2) + "\n"


def _chosen(tx: Transaction, profile: Profile, named: Sequence[str]) -> _Chosen:
    everything = list(dict.fromkeys(record["ref"] for record in profile.records))
    found = known_refs(tx, named)
    wanted = {ref for refs in found.values() for ref in refs if ref in everything}
    if named and any(not wanted.intersection(refs) for refs in found.values()):
        raise UnknownRecord("Um dos --record não é um registro deste cliente.")
    groups = [[r.ref for r in group] for group in groups_of(members(tx, profile.customer_id))]
    if len(groups) < 2:
        return _Chosen(everything, is_whole=True)
    if not named:
        raise ChooseRecords(
            [[_hidden(r) for r in profile.records if r["ref"] in group] for group in groups]
        )
    refs = list(dict.fromkeys(r for group in groups if wanted.intersection(group) for r in group))
    return _Chosen(refs, is_whole=len(refs) == len(everything))


def _hidden(record: Mapping[str, Any]) -> Row:
    shown = {name: masked(record[name]) for name in ("name", "email", "phone")}
    return {"ref": record["ref"], "source": record["source"], **shown}


def _mark(tx: Transaction, customer_id: str, chosen: _Chosen) -> None:
    """What finds the rows: ids, records, sales and keys, as temporary tables."""
    refs = pl.DataFrame({"ref": chosen.refs}, schema={"ref": pl.String})
    tx.execute(_PERSON_RECORDS, [customer_id], refs=refs)
    for statement_ in (_PERSON_SALES, _PERSON_KEYS, _PERSON_UCODES):
        tx.execute(statement_)
    tx.execute(_PERSON_IDS, [customer_id])


def _rows(tx: Transaction, chosen: _Chosen) -> Iterator[tuple[str, list[Row]]]:
    """Every table with the person's rows in it, in the order of the text."""
    here = set(tx.read(_TABLES).to_series())
    held = {**(OF_PERSON if chosen.is_whole else {}), **OF_RECORDS}
    for name in (name for name in TITLES if name in held):
        for table in _named(name, here):
            rows = tx.read(f"FROM {table} WHERE {held[name]}").to_dicts()
            yield table, [_told(row) for row in rows]


def _named(name: str, here: Iterable[str]) -> list[str]:
    """The tables that a name of the data dictionary means."""
    stem, is_family, _ = name.partition("<name>")
    return sorted(
        table for table in here if table == name or (is_family and table.startswith(stem))
    )


def _told(row: Row) -> Row:
    """A row as it is told: raw answers as JSON, and nobody else's ids."""
    own = {
        name: value
        for name, value in row.items()
        if name not in _OTHERS or not isinstance(value, list)
    }
    if isinstance(own.get("raw"), str):
        with suppress(ValueError):
            own["raw"] = json.loads(own["raw"])
    return own


def _requests(ops: OpsStore, tenant: Tenant, ids: list[str], keys: list[str]) -> list[Row]:
    return [
        {
            "pedido": r.number,
            "tipo": r.type,
            "recebido_em": r.received_on,
            "prazo": r.due_on,
            "identidade_conferida_em": r.checked_at,
            "encerrado_em": r.closed_at,
            "resultado": r.outcome,
            "observacao": r.note,
        }
        for r in register(ops.actions(), tenant)
        if r.customer_id in ids or {r.email_key, r.phone_key} & set(keys)
    ]


def _actions(ops: OpsStore, ids: list[str], keys: list[str]) -> list[Row]:
    named = (
        pl.col("customer_id").is_in(ids)
        | pl.col("email_key").is_in(keys)
        | pl.col("phone_key").is_in(keys)
    )
    shown = ("kind", "at", "day", "channel", "purpose", "email_key", "phone_key", "reason")
    return ops.actions().filter(named.fill_null(False)).select(shown).to_dicts()


def _received(
    settings: Settings, tenant: Tenant, ops: OpsStore, slices: Iterable[tuple[str, str]]
) -> list[Row]:
    """The files that named the person, and whether a copy is still there."""
    wanted = set(slices)
    found = []
    for load in ops.loads():
        if load.source in FILE_SOURCES and (load.source, load.slice) in wanted:
            archive = settings.store_folder(tenant.slug) / "archive" / load.source
            found.append(
                {
                    "fonte": load.source,
                    "arquivo": load.file_name,
                    "recebido_em": load.at,
                    "tem_copia": raw_path(settings, tenant, load.slice, load.source).exists()
                    or any(archive.glob(f"{load.slice}_*")),
                }
            )
    return found


def _made(settings: Settings, tenant: Tenant, ops: OpsStore, ids: list[str]) -> list[Row]:
    """The files of people that the person stands in, and where they went."""
    folder = settings.output_folder(tenant.slug)
    return [
        {
            "tipo": export.kind,
            "destino": export.destination,
            "criterio": dict(export.filter),
            "em": export.at,
            "por": export.actor,
            "ainda_existe": (folder / export.destination).exists(),
        }
        for export in ops.exports()
        if not set(ids).isdisjoint(export.customer_ids)
    ]


def _copies(settings: Settings, tenant: Tenant) -> Row:
    store = settings.store_folder(tenant.slug)
    return {
        "copias_de_leitura": len(list((store / "serving").glob("*.duckdb"))),
        "copias_de_seguranca": len(list((store / "backups").glob("*.duckdb")))
        + len(list(settings.backup_folder(tenant.slug).glob("crm_*"))),
    }


def _plain(value: Any, tenant: Tenant) -> Any:
    """A value as JSON has it; instants on the tenant's clock, amounts as text."""
    match value:
        case dict():
            return {str(name): _plain(inner, tenant) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner, tenant) for inner in value]
        case datetime():
            return value.astimezone(zone(tenant)).isoformat(timespec="seconds")
        case date():
            return value.isoformat()
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


_TABLES = """
    SELECT table_schema || '.' || table_name FROM information_schema.tables
    WHERE table_catalog = current_database()
"""
_PERSON_RECORDS = """
    CREATE OR REPLACE TEMP TABLE person_records AS
    SELECT record_id FROM silver.contact_records AS records
    JOIN silver.customer_xref AS xref USING (record_id)
    WHERE valid_to IS NULL AND customer_id = ?
      AND records.source || ':' || records.source_id IN (SELECT ref FROM refs)
"""
_PERSON_SALES = """
    CREATE OR REPLACE TEMP TABLE person_sales AS
    SELECT substr(record_id, 9) AS transaction FROM person_records
    WHERE starts_with(record_id, 'hotmart:')
"""
_PERSON_KEYS = """
    CREATE OR REPLACE TEMP TABLE person_keys AS
    SELECT DISTINCT key
    FROM silver.contact_records
    CROSS JOIN LATERAL (VALUES (email_key), (coalesce(phone_key, phone))) AS k(key)
    WHERE record_id IN (FROM person_records) AND key IS NOT NULL
"""
_PERSON_UCODES = """
    CREATE OR REPLACE TEMP TABLE person_ucodes AS
    SELECT DISTINCT hotmart_ucode FROM silver.contact_records
    WHERE record_id IN (FROM person_records) AND hotmart_ucode IS NOT NULL
"""
_PERSON_IDS = """
    CREATE OR REPLACE TEMP TABLE person_ids AS
    SELECT customer_id AS id FROM silver.customer_ids WHERE survivor_id = ?
"""
_SLICES = """
    SELECT DISTINCT 'manychat', split_part(record_id, ':', 2) FROM person_records
    WHERE starts_with(record_id, 'manychat:')
    UNION
    SELECT 'hotmart_csv', slice FROM bronze.hotmart_csv
    WHERE transaction IN (FROM person_sales)
"""
