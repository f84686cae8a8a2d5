"""Whether the two ledgers agree: what the operations store calls landed stands in the warehouse.

Rows and their `bronze.loads` row are one transaction, so that the warehouse knows best what it
holds. Removed, or put back from a copy, it holds less than the operations store remembers; what is
missing must be read again, or every answer is made from half of the facts (rules 1.1). What was
imported from a file can be read again only while its copy is kept (rules 7.4).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl

from crm_assets.bronze.receiving import FILE_SOURCES, raw_path
from crm_assets.checks.contract import Verdict
from crm_assets.privacy.scrub import mark, marked, masked_log, scrub
from crm_assets.privacy.tombstones import tombstones_of
from crm_assets.resources import warehouse_of
from crm_assets.steps import Reconciliation, Site
from crm_resources.ops import Load, OpsStore
from crm_resources.rewriting import rewrite
from crm_resources.warehouse import Transaction

LOST = "o banco não tem mais estas linhas"
"""Why a load waits to be read again."""

GONE = (
    "o banco perdeu estas linhas e a cópia do arquivo já venceu: importe-o de novo pelo nome, "
    "ou volte uma cópia do banco"
)
"""Why a load can not be read again, and nobody waits for it."""

Held = Mapping[tuple[str, str], datetime]
"""When each source and slice that stands in a warehouse landed there."""


def lost_loads(known: Iterable[Load], held: Held) -> list[Load]:
    """Landed loads that the warehouse does not hold, or holds as an earlier landing left them."""
    return [
        load
        for load in known
        if load.status == "landed"
        and ((load.source, load.slice) not in held or held[load.source, load.slice] < load.at)
    ]


def recover(site: Site, ops: OpsStore) -> int:
    """Mark what the warehouse lost as not landed, so that it is read again; returns how much.

    A file whose copy is gone counts as undone until somebody imports it by name; it has landed
    again when the warehouse holds its rows, put back from a copy of it.
    """
    warehouse = warehouse_of(site.settings, site.tenant)
    if warehouse.path.exists():
        forget_again(site, ops)
    held = _held(warehouse.read(_HELD)) if warehouse.path.exists() else {}
    known = ops.loads()
    lost = []
    for load in lost_loads(known, held):
        if load.source in FILE_SOURCES and not _copy_of(site, load).exists():
            ops.record_load(replace(load, id=None, status="undone", reason=GONE))
        else:
            lost.append(load)
    gone = [replace(load, status="landed", reason=None) for load in known if load.reason == GONE]
    for load in gone:
        if not lost_loads([load], held):
            ops.record_load(replace(load, id=None))
    for load in lost:
        ops.record_load(to_read_again(load))
    return len(lost)


def to_read_again(load: Load) -> Load:
    """A load that waits, since the warehouse does not hold it any more."""
    return replace(
        load,
        id=None,
        status="received",
        window_start=None,
        window_end=None,
        rows=0,
        rejected=0,
        complete=False,
        verified=False,
        reason=LOST,
    )


def forget_again(site: Site, ops: OpsStore) -> bool:
    """Take out of a warehouse that was put back whoever was erased since; whether it had to be."""
    tombstones = tombstones_of(site.settings, site.tenant, ops)
    if not tombstones:
        return False
    warehouse, last_id = warehouse_of(site.settings, site.tenant), ops.last_tombstone_id()
    with warehouse.write("conferência dos apagamentos") as tx:
        if marked(tx) == last_id:
            return False
    log = masked_log(ops.actions(), tombstones)

    def edit(tx: Transaction) -> None:
        scrub(tx, tombstones, log)
        mark(tx, last_id)

    rewrite(warehouse, edit)
    return True


def all_here(site: Site, table: str) -> Reconciliation:
    """Before `table` is made from bronze: everything that landed is there."""

    def check(tx: Transaction) -> Verdict:
        held = _held(tx.read(_HELD))
        ops = site.ops_store()
        known = ops.loads()
        missing = [*lost_loads(known, held), *(load for load in known if load.reason == LOST)]
        is_clean = marked(tx) == ops.last_tombstone_id()
        return Verdict(
            "tudo_que_entrou_esta_aqui",
            is_clean and not missing,
            {"faltam": len(missing), "apagamentos por aplicar": 0 if is_clean else 1},
            "O banco foi apagado ou voltou de uma cópia: rode `uv run crm run`, a rodada inteira, "
            "que lê de novo o que falta.",
        )

    return Reconciliation(
        table,
        "tudo_que_entrou_esta_aqui",
        "Tudo o que já foi lido das fontes ainda está no banco, e ninguém que foi apagado voltou. "
        "Se não, porque o banco foi apagado ou trocado por uma cópia, `crm run` resolve.",
        check,
    )


def _copy_of(site: Site, load: Load) -> Path:
    return raw_path(site.settings, site.tenant, load.slice, load.source)


def _held(loads: pl.DataFrame) -> Held:
    return {(source, slice_): landed_at for source, slice_, landed_at in loads.rows()}


_HELD = "SELECT source, slice, max(landed_at) FROM bronze.loads GROUP BY ALL"
