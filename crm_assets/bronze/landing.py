"""What every partitioned source shares: the ledger row beside the rows, and the report of a run.

A run may hold many slices. Each commits by itself; those committed are reported as materialised
even when another one fails the run.
"""

from dataclasses import dataclass, field

import dagster as dg
import polars as pl

from crm_assets.checks.contract import Verdict
from crm_assets.steps import Events, Metadata, Site, Table, check_results
from crm_assets.words import counted
from crm_resources.ops import Load
from crm_resources.warehouse import Transaction

ERASED = "apagados"
"""Metadata: how many rows are of somebody who was erased and came in without them (rules 7.1)."""

NO_REJECTS = pl.DataFrame(schema=dict.fromkeys(("place", "field", "reason", "raw"), pl.String))


class BrokenContract(Exception):
    """The rows of a slice do not keep their table's contract; nothing of it was written."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"contrato quebrado ({verdict.metadata['falhas']})")
        self.verdict = verdict


@dataclass
class SliceReport:
    """What became of each slice of a run.

    Attributes:
        landed: metadata by committed slice.
        failed: reason by slice that kept its old rows.
        broken: verdicts of contracts that did not hold.
    """

    landed: dict[str, Metadata] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    broken: list[Verdict] = field(default_factory=list)

    def fail(self, slice_key: str, error: Exception) -> None:
        """Note a slice that was not written."""
        self.failed[slice_key] = str(error)
        if isinstance(error, BrokenContract):
            self.broken.append(error.verdict)

    def events(self, site: Site, context: dg.AssetExecutionContext, table: Table) -> Events:
        """The step's events.

        Raises:
            dg.Failure: a slice was not written; the committed ones are reported before.
        """
        key = site.key(table.name)
        if self.failed:
            for slice_key, metadata in self.landed.items():
                context.log_event(
                    dg.AssetMaterialization(key, partition=slice_key, metadata=metadata)
                )
            yield from check_results(site, {table.name: self.broken[:1]})[table.name]
            slice_key, reason = next(iter(self.failed.items()))
            total = counted(len(self.failed) + len(self.landed), "partição", "partições")
            one, many = "entrou e ficou como estava", "entraram e ficaram como estavam"
            raise dg.Failure(
                f"{len(self.failed)} de {total} de {table.name} não "
                f"{one if len(self.failed) == 1 else many}; {slice_key}: {reason}",
                allow_retries=False,
            )
        for slice_key in context.partition_keys:
            metadata = self.landed.get(slice_key, {"janela": "nada a ler neste período"})
            context.add_asset_metadata(metadata, asset_key=key, partition_key=slice_key)
        rows = sum(int(metadata["dagster/row_count"]) for metadata in self.landed.values())
        passed = Verdict("contract", passed=True, metadata={"linhas": rows})
        yield dg.MaterializeResult(
            asset_key=key, check_results=check_results(site, {table.name: [passed]})[table.name]
        )


def record_landing(
    tx: Transaction, load: Load, rejects: pl.DataFrame, places: pl.Series | None = None
) -> None:
    """Write rejects and ledger row in the transaction of the rows.

    Args:
        tx: the transaction.
        load: the ledger row; rejects of its slice are replaced.
        rejects: `place, field, reason, raw`.
        places: what was read, when that is not the whole slice; other places keep their rejects,
            and of what has no place the same text is the same reject.
    """
    slice_of = [load.source, load.slice]
    tx.execute("DELETE FROM bronze.loads WHERE source = ? AND slice = ?", slice_of)
    rejects = rejects.select(pl.all().cast(pl.String))
    if load.complete or places is None:
        tx.execute("DELETE FROM bronze.rejects WHERE source = ? AND slice = ?", slice_of)
    else:
        tx.execute(_FORGET, slice_of, places=places.to_frame("place"), rejects=rejects)
    stamp = {"source": load.source, "slice": load.slice, "run_id": load.run_id}
    tx.append(
        "bronze.rejects",
        rejects.with_columns(
            **{name: pl.lit(value) for name, value in stamp.items()}, extracted_at=pl.lit(load.at)
        ),
    )
    tx.append(
        "bronze.loads",
        pl.DataFrame(
            {
                **stamp,
                "window_start": load.window_start,
                "window_end": load.window_end,
                "rows": load.rows,
                "rejected": load.rejected,
                "complete": load.complete,
                "verified": load.verified,
                "landed_at": load.at,
            }
        ),
    )


_FORGET = """
    DELETE FROM bronze.rejects WHERE source = ? AND slice = ? AND (
        place IN (SELECT place FROM places)
        OR place IS NULL AND raw IN (SELECT raw FROM rejects WHERE place IS NULL)
    )
"""
