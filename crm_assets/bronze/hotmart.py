"""Hotmart's sales history and buyers, partitioned by the month of the order date.

A slice is read whole, checked to be complete, and replaces its old rows in one transaction; slices
of one run are read at once under one limiter and each commits by itself. When a slice fails, those
already committed are reported as materialised before the run fails (design 6).
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from crm_assets.bronze.hotmart_rows import CUSTOMERS, TRANSACTIONS, Shape
from crm_assets.bronze.landing import BrokenContract, SliceReport, record_landing
from crm_assets.checks.bronze import HotmartCustomers, HotmartTransactions
from crm_assets.checks.contract import check_frame
from crm_assets.plan import WINDOW_END_TAG, WINDOW_START_TAG
from crm_assets.slices import end_of_day, zone
from crm_assets.steps import DATABASE_ERRORS, Events, Site, Table
from crm_resources.hotmart import (
    SALES_HISTORY,
    SALES_USERS,
    Endpoint,
    HotmartError,
    Window,
    WindowRead,
    month_window,
)
from crm_resources.hotmart.resource import HotmartResource, MissingSetting
from crm_resources.ops import Load
from crm_resources.warehouse import Transaction

SETTLING = timedelta(minutes=1)
"""The current slice ends this long before the run began, so that its count stands still."""


@dataclass(frozen=True)
class Landing:
    """One endpoint and the bronze table that its records fill."""

    endpoint: Endpoint
    shape: Shape
    table: Table

    @property
    def source(self) -> str:
        """Name in the loads ledger."""
        return self.table.name.removeprefix("bronze.")


LANDINGS = (
    Landing(
        SALES_HISTORY,
        TRANSACTIONS,
        Table(
            "bronze.hotmart_transactions",
            HotmartTransactions,
            "Vendas da Hotmart como vieram da API, uma linha por transação, em qualquer status. "
            "Cada mês (data do pedido) é lido inteiro e substituído de uma vez.",
        ),
    ),
    Landing(
        SALES_USERS,
        CUSTOMERS,
        Table(
            "bronze.hotmart_customers",
            HotmartCustomers,
            "Compradores de cada transação da Hotmart, com telefone, documento e endereço, "
            "como vieram da API.",
        ),
    ),
)


def hotmart_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The bronze assets of one Hotmart account."""
    return [_slice_asset(site, landing) for landing in LANDINGS]


def _slice_asset(site: Site, landing: Landing) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=site.op_name(landing.source),
        specs=[site.spec(landing.table, kinds={"hotmart", "duckdb"})],
        check_specs=[site.contract_spec(landing.table)],
        partitions_def=site.partitions.months,
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys=site.resource_keys("warehouse", "ops", "hotmart"),
    )
    def slices(context: dg.AssetExecutionContext) -> Events:
        run = _SliceRun(site, landing, context)
        windows = windows_of(site, context.partition_keys, context.run.tags)
        try:
            asyncio.run(run.read(windows))
        except (MissingSetting, HotmartError) as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        yield from run.report.events(site, context, landing.table)

    return slices


def windows_of(site: Site, keys: list[str], tags: Mapping[str, str]) -> dict[str, Window]:
    """The window to read of each slice: the month, up to a minute ago, inside the run's tags.

    A slice that lies wholly outside is left out, and keeps its rows.
    """
    ends = [site.settings.now() - SETTLING]
    starts = []
    if site.tenant.hotmart.end_date:
        ends.append(end_of_day(site.tenant, site.tenant.hotmart.end_date))
    if tags.get(WINDOW_START_TAG):
        starts.append(datetime.fromisoformat(tags[WINDOW_START_TAG]))
    if tags.get(WINDOW_END_TAG):
        ends.append(datetime.fromisoformat(tags[WINDOW_END_TAG]))
    windows = {}
    for key in keys:
        month = month_window(date.fromisoformat(key), zone(site.tenant))
        start, end = max([month.start, *starts]), min([month.end, *ends])
        if start <= end:
            windows[key] = Window(start, end)
    return windows


class _SliceRun:
    """One step's work: reads slices at once and lands each as it completes."""

    def __init__(self, site: Site, landing: Landing, context: dg.AssetExecutionContext) -> None:
        self.site = site
        self.landing = landing
        self.context = context
        self.report = SliceReport()

    async def read(self, windows: Mapping[str, Window]) -> None:
        """Read and land every window; a failing one does not stop the others."""
        hotmart: HotmartResource = self.site.resource(self.context, "hotmart")
        async with hotmart.client() as client:
            async for key, outcome in client.read_windows(self.landing.endpoint, windows):
                if isinstance(outcome, HotmartError):
                    self.report.fail(key, outcome)
                else:
                    self._land(key, outcome)

    def _land(self, key: str, read: WindowRead) -> None:
        month = month_window(date.fromisoformat(key), zone(self.site.tenant))
        load = Load(
            source=self.landing.source,
            slice=key,
            window_start=read.window.start,
            window_end=read.window.end,
            status="landed",
            complete=read.window.start <= month.start and read.window.end >= month.end,
            verified=read.verified,
            run_id=self.context.run.run_id,
            at=self.site.settings.now(),
        )
        try:
            with self.site.warehouse(self.context).write(f"{self.landing.source} {key}") as tx:
                load = land(tx, self.landing, read.items, load)
        except (BrokenContract, *DATABASE_ERRORS) as error:
            self.report.fail(key, error)
            return
        self.site.ops(self.context).record_load(load)
        self.report.landed[key] = {
            "dagster/row_count": load.rows,
            "rejeitados": load.rejected,
            "conferido": "sim" if load.verified else "não conferido",
            "janela": f"{read.window.start.isoformat()} a {read.window.end.isoformat()}",
            "páginas": read.pages,
            "status recusados": ", ".join(read.refused_statuses) or "nenhum",
        }
        self.context.log.info(f"{self.landing.source} {key}: {load.rows} linhas")


def typed_rows(
    tx: Transaction, shape: Shape, items: list[dict[str, Any]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Typed rows and rejects (`place, field, reason, raw`) of one slice's records."""
    records = pl.DataFrame({"raw": [_text(item) for item in items]}, schema={"raw": pl.String})
    return (
        tx.read(shape.rows_sql(), items=records),
        tx.read(shape.rejects_sql(), items=records),
    )


def _text(item: dict[str, Any]) -> str:
    """An item as JSON; half an emoji, which no encoding can hold, becomes U+FFFD."""
    text = json.dumps(item, ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def land(tx: Transaction, landing: Landing, items: list[dict[str, Any]], load: Load) -> Load:
    """Put the records of one slice in the place of its old rows; returns the completed ledger row.

    Only what was read is replaced (rules 1.2): the slice when the whole of it was read, else the
    orders inside the window and the transactions that came.

    Raises:
        BrokenContract: the rows do not keep the table's contract.
    """
    rows, rejects = typed_rows(tx, landing.shape, items)
    rows = rows.with_columns(
        slice=pl.lit(load.slice), extracted_at=pl.lit(load.at), run_id=pl.lit(load.run_id)
    )
    verdict = check_frame(rows, landing.table.contract)
    if not verdict.passed:
        raise BrokenContract(verdict)
    table = landing.table.name
    is_history = landing.endpoint is SALES_HISTORY
    if is_history:
        tx.execute(_STATUS_CHANGES, incoming=rows)
    if load.complete:
        tx.execute(f"DELETE FROM {table} WHERE slice = ?", [load.slice])
    else:
        tx.execute(
            f"DELETE FROM {table} WHERE transaction IN (SELECT transaction FROM incoming)",
            incoming=rows,
        )
        if is_history:
            window = [load.window_start, load.window_end]
            tx.execute(f"DELETE FROM {table} WHERE ordered_at BETWEEN ? AND ?", window)
    tx.append(table, rows)
    load = replace(load, rows=len(rows), rejected=len(rejects))
    record_landing(tx, load, rejects, rows["transaction"])
    return load


_STATUS_CHANGES = """
    INSERT INTO bronze.hotmart_status_changes
    SELECT transaction, held.status, incoming.status, incoming.extracted_at
    FROM incoming JOIN bronze.hotmart_transactions AS held USING (transaction)
    WHERE held.status IS DISTINCT FROM incoming.status
"""
