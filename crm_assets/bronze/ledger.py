"""Whether the two ledgers agree: what the operations store calls landed stands in the warehouse.

Rows and their `bronze.loads` row are one transaction, so that the warehouse knows best what it
holds. Removed, or put back from a copy, it holds less than the operations store remembers; what is
missing must be read again, or every answer is made from half of the facts (rules 1.1).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import polars as pl

from crm_assets.checks.contract import Verdict
from crm_assets.resources import warehouse_of
from crm_assets.steps import Reconciliation, Site
from crm_resources.ops import Load, OpsStore
from crm_resources.warehouse import Transaction

LOST = "o banco não tem mais estas linhas"
"""Why a load waits to be read again."""

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
    """Mark what the warehouse lost as not landed, so that it is read again; returns how much."""
    warehouse = warehouse_of(site.settings, site.tenant)
    held = _held(warehouse.read(_HELD)) if warehouse.path.exists() else {}
    lost = lost_loads(ops.loads(), held)
    for load in lost:
        ops.record_load(
            replace(
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
        )
    return len(lost)


def all_here(site: Site, table: str) -> Reconciliation:
    """Before `table` is made from bronze: everything that landed is there."""

    def check(tx: Transaction) -> Verdict:
        held = _held(tx.read(_HELD))
        known = site.ops_store().loads()
        missing = [*lost_loads(known, held), *(load for load in known if load.reason == LOST)]
        return Verdict("tudo_que_entrou_esta_aqui", not missing, {"faltam": len(missing)})

    return Reconciliation(
        table,
        "tudo_que_entrou_esta_aqui",
        "Tudo o que já foi lido das fontes ainda está no banco. Se falta algo, porque ele foi "
        "apagado ou trocado por uma cópia, `crm run` lê de novo.",
        check,
    )


def _held(loads: pl.DataFrame) -> Held:
    return {(source, slice_): landed_at for source, slice_, landed_at in loads.rows()}


_HELD = "SELECT source, slice, max(landed_at) FROM bronze.loads GROUP BY ALL"
