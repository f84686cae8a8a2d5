"""The bronze asset of one kind of file: one dynamic partition per content (design 6)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import dagster as dg
import polars as pl

from crm_assets.bronze.landing import ERASED, BrokenContract, SliceReport, record_landing
from crm_assets.bronze.receiving import put_away, raw_path
from crm_assets.bronze.text_table import RefusedFile, TypedFile
from crm_assets.checks.contract import check_frame
from crm_assets.privacy.erased_files import redact_copies
from crm_assets.privacy.scrub import hide_rejects, shield
from crm_assets.privacy.tombstones import KeyUnusable, tombstones_of
from crm_assets.steps import DATABASE_ERRORS, Events, Metadata, Site, Table, newest
from crm_assets.words import counted
from crm_resources.ops import Load


@dataclass(frozen=True)
class FileKind:
    """One kind of file.

    Attributes:
        source: its name in the loads and in the rejects.
        table: where its rows go.
        read: the rows of a content, given the zone of its dates and the present.
    """

    source: str
    table: Table
    read: Callable[[bytes, str, datetime], TypedFile]


def file_asset(site: Site, kind: FileKind) -> dg.AssetsDefinition:
    """The step that lands received contents, each by itself."""
    table = kind.table

    @dg.multi_asset(
        name=site.op_name(table.name.partition(".")[2]),
        specs=[site.spec(table, kinds={"csv", "polars", "duckdb"})],
        check_specs=[site.contract_spec(table)],
        partitions_def=site.partitions.files_of[kind.source],
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys=site.resource_keys("warehouse", "ops"),
    )
    def land_files(context: dg.AssetExecutionContext) -> Events:
        ops = site.ops(context)
        loads = {load.slice: load for load in ops.loads(kind.source)}
        report = SliceReport()
        for slice_key in context.partition_keys:
            if slice_key not in loads:
                report.fail(slice_key, NothingToRead("nenhum arquivo recebido tem esta partição"))
                continue
            received = replace(loads[slice_key], run_id=context.run.run_id, reason=None)
            try:
                report.landed[slice_key] = _land(site, context, kind, received)
            except RefusedFile as refusal:
                report.fail(slice_key, refusal)
                if received.status != "landed":
                    ops.record_load(replace(received, status="refused", reason=str(refusal)))
            except (NothingToRead, BrokenContract, KeyUnusable, *DATABASE_ERRORS) as error:
                report.fail(slice_key, error)
            else:
                put_away(site.settings, site.tenant, received)
                if ERASED in report.landed[slice_key]:
                    tombstones = tombstones_of(site.settings, site.tenant, ops)
                    redact_copies(site.settings, site.tenant, ops, received, tombstones)
        yield from report.events(site, context, table)

    return land_files


class NothingToRead(Exception):
    """There is no content under a partition; its rows, if any, stay."""


def _land(
    site: Site, context: dg.AssetExecutionContext, kind: FileKind, received: Load
) -> Metadata:
    """Land one file under the instant it was received, which a later re-reading does not change."""
    file = kind.read(_content(site, received), site.tenant.timezone, site.settings.now())
    rows = file.frame.with_columns(
        slice=pl.lit(received.slice),
        extracted_at=pl.lit(received.at),
        run_id=pl.lit(received.run_id),
    )
    rejects = file.rejects.select(
        pl.col("line").alias("place"), pl.col("column").alias("field"), "reason", "raw"
    )
    ops = site.ops(context)
    with site.warehouse(context).write(f"{kind.source} {received.slice}") as tx:
        tombstones = tombstones_of(site.settings, site.tenant, ops)
        kept, erased = shield(kind.table.name, rows, tombstones)
        rejects = hide_rejects(rejects, rows["line"].filter(erased), tombstones)
        verdict = check_frame(kept, kind.table.contract)
        if not verdict.passed:
            raise BrokenContract(verdict)
        load = replace(
            received,
            rows=len(kept),
            rejected=len(rejects),
            status="landed",
            complete=True,
            verified=True,
        )
        tx.replace_slice(kind.table.name, kept, {"slice": received.slice})
        record_landing(tx, load, rejects)
        age = newest(site, tx, kind.table, received.slice)
    ops.record_load(load)
    context.log.info(
        f"{kind.source} {received.slice}: {counted(len(kept), 'linha')}, "
        f"{counted(len(rejects), 'rejeitada')}"
    )
    return {
        "dagster/row_count": len(kept),
        **age,
        **({ERASED: int(erased.sum())} if erased.any() else {}),
        "rejeitados": len(rejects),
        "codificação": file.encoding,
        "separador": {"\t": "tabulação"}.get(file.separator, file.separator),
        "colunas próprias": ", ".join(file.unmapped) or "nenhuma",
    }


def _content(site: Site, received: Load) -> bytes:
    if received.status == "undone":
        raise NothingToRead("o arquivo foi desfeito; importe-o de novo pelo nome")
    try:
        return raw_path(site.settings, site.tenant, received.slice, received.source).read_bytes()
    except FileNotFoundError:
        raise NothingToRead("a cópia do arquivo não existe mais em raw/") from None
