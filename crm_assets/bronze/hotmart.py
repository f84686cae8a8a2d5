"""Hotmart's endpoints, each partitioned by the month of its date: the order's or the accession's.

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

from crm_assets.bronze.hotmart_rows import (
    COMMISSIONS,
    CUSTOMERS,
    PRICE_DETAILS,
    SUBSCRIPTION_TRANSACTIONS,
    SUBSCRIPTIONS,
    TRANSACTIONS,
    Shape,
    minimised,
)
from crm_assets.bronze.landing import ERASED, BrokenContract, SliceReport, record_landing
from crm_assets.checks.bronze import (
    HotmartCommissions,
    HotmartCustomers,
    HotmartPriceDetails,
    HotmartSubscriptions,
    HotmartSubscriptionTransactions,
    HotmartTransactions,
)
from crm_assets.checks.contract import check_frame
from crm_assets.plan import WINDOW_END_TAG, WINDOW_START_TAG
from crm_assets.privacy.scrub import hide_rejects, shield
from crm_assets.privacy.tombstones import NOBODY, KeyUnusable, Tombstones, tombstones_of
from crm_assets.slices import end_of_day, start_of_day, zone
from crm_assets.steps import DATABASE_ERRORS, Events, Site, Table, newest
from crm_assets.tenants import HISTORY_START
from crm_assets.words import counted
from crm_resources import hotmart as api
from crm_resources.hotmart import (
    Endpoint,
    HotmartError,
    Window,
    WindowRead,
    month_window,
)
from crm_resources.hotmart.resource import HotmartResource, MissingSetting
from crm_resources.ops import Load
from crm_resources.warehouse import Session, Transaction

REFUSED_STATUSES = "status recusados"
"""Metadata of a slice: the statuses that Hotmart did not take."""

LANDED_TOGETHER = 10
"""Slices that share one opening of the warehouse, which costs more than their rows."""

SETTLING = timedelta(minutes=1)
"""The current slice ends this long before the run began, so that its count stands still."""


@dataclass(frozen=True)
class Landing:
    """One endpoint and the bronze table that its records fill.

    Attributes:
        endpoint: what is asked.
        shape: how its records become rows.
        table: where they go.
        dated: column with the date by which the endpoint is read, when its rows have one.
        reaches_back: the first slice also holds everything before it.
    """

    endpoint: Endpoint
    shape: Shape
    table: Table
    dated: str | None = None
    reaches_back: bool = False

    @property
    def source(self) -> str:
        """Name in the loads ledger."""
        return self.table.name.removeprefix("bronze.")


LANDINGS = (
    Landing(
        api.SALES_HISTORY,
        TRANSACTIONS,
        Table(
            "bronze.hotmart_transactions",
            HotmartTransactions,
            "Vendas da Hotmart como vieram da API, uma linha por transação, em qualquer status. "
            "Cada mês (data do pedido) é lido inteiro e substituído de uma vez.",
        ),
        dated="ordered_at",
    ),
    Landing(
        api.SALES_USERS,
        CUSTOMERS,
        Table(
            "bronze.hotmart_customers",
            HotmartCustomers,
            "Compradores de cada transação da Hotmart, com telefone, documento e endereço, "
            "como vieram da API.",
        ),
    ),
    Landing(
        api.SALES_COMMISSIONS,
        COMMISSIONS,
        Table(
            "bronze.hotmart_commissions",
            HotmartCommissions,
            "Quanto de cada venda da Hotmart ficou com quem: produtor, coprodutor, afiliado e a "
            "própria Hotmart. Daqui sai o valor líquido exato.",
        ),
    ),
    Landing(
        api.PRICE_DETAILS,
        PRICE_DETAILS,
        Table(
            "bronze.hotmart_price_details",
            HotmartPriceDetails,
            "De que se compõe o preço de cada venda da Hotmart: base, imposto, juros do "
            "parcelamento, cupom e a conversão da moeda.",
        ),
    ),
    Landing(
        api.SUBSCRIPTION_TRANSACTIONS,
        SUBSCRIPTION_TRANSACTIONS,
        Table(
            "bronze.hotmart_subscription_transactions",
            HotmartSubscriptionTransactions,
            "Cobranças de assinaturas e de parcelamentos inteligentes da Hotmart, com a data do "
            "reembolso e o motivo da recusa. A Hotmart as mostra com até 24 horas de atraso.",
        ),
        dated="ordered_at",
    ),
    Landing(
        api.SUBSCRIPTIONS,
        SUBSCRIPTIONS,
        Table(
            "bronze.hotmart_subscriptions",
            HotmartSubscriptions,
            "Assinaturas da Hotmart no estado de hoje, pelo mês da adesão. O primeiro mês traz "
            "também as mais antigas, que podem estar ativas até hoje.",
        ),
        dated="accession_at",
        reaches_back=True,
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
        windows = windows_of(
            site,
            context.partition_keys,
            context.run.tags,
            now=run.began_at,
            reaches_back=landing.reaches_back,
        )
        try:
            asyncio.run(run.read(windows))
        except (MissingSetting, HotmartError) as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        yield from run.report.events(site, context, landing.table)

    return slices


def windows_of(
    site: Site,
    keys: list[str],
    tags: Mapping[str, str],
    *,
    now: datetime,
    reaches_back: bool = False,
) -> dict[str, Window]:
    """The window to read of each slice: the month, up to a minute before now, inside the tags.

    A slice that lies wholly outside is left out, and keeps its rows. With `reaches_back` the first
    of all slices begins at the beginning of history.
    """
    first_key = site.partitions.months.get_first_partition_key() if reaches_back else None
    beginning = start_of_day(site.tenant, HISTORY_START)
    ends = [now - SETTLING]
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
        month_start = min(month.start, beginning) if key == first_key else month.start
        start, end = max([month_start, *starts]), min([month.end, *ends])
        if start <= end:
            windows[key] = Window(start, end)
    return windows


class _SliceRun:
    """One step's work: reads slices at once and lands each as it completes."""

    def __init__(self, site: Site, landing: Landing, context: dg.AssetExecutionContext) -> None:
        self.site = site
        self.landing = landing
        self.context = context
        self.began_at = site.run_began_at(context)
        self.report = SliceReport()

    async def read(self, windows: Mapping[str, Window]) -> None:
        """Read and land every window; a failing one does not stop the others."""
        hotmart: HotmartResource = self.site.resource(self.context, "hotmart")
        ready: dict[str, WindowRead] = {}
        async with hotmart.client() as client:
            async for key, outcome in client.read_windows(self.landing.endpoint, windows):
                if isinstance(outcome, HotmartError):
                    self.report.fail(key, outcome)
                else:
                    ready[key] = outcome
                if len(ready) == LANDED_TOGETHER:
                    await asyncio.to_thread(self._land_all, ready)
                    ready = {}
        self._land_all(ready)

    def _land_all(self, ready: Mapping[str, WindowRead]) -> None:
        """Land answers in one opening of the warehouse; each commits by itself."""
        if not ready:
            return
        waiting = dict(ready)
        try:
            with self.site.warehouse(self.context).session(self.landing.source) as session:
                ops = self.site.ops(self.context)
                tombstones = tombstones_of(self.site.settings, self.site.tenant, ops)
                for key, read in ready.items():
                    self._land(session, key, read, tombstones)
                    del waiting[key]
        except (KeyUnusable, *DATABASE_ERRORS) as error:
            for key in waiting:
                self.report.fail(key, error)

    def _land(self, session: Session, key: str, read: WindowRead, tombstones: Tombstones) -> None:
        month = month_window(date.fromisoformat(key), zone(self.site.tenant))
        settled = self.began_at - self.landing.endpoint.staleness
        load = Load(
            source=self.landing.source,
            slice=key,
            window_start=read.window.start,
            window_end=read.window.end,
            status="landed",
            complete=read.window.start <= month.start
            and month.end <= min(read.window.end, settled),
            verified=read.verified and not read.refused_statuses,
            run_id=self.context.run.run_id,
            at=self.began_at,
        )
        try:
            with session.begin() as tx:
                load, gone, erased = land(
                    tx,
                    self.landing,
                    read.items,
                    load,
                    partial=bool(read.refused_statuses),
                    tombstones=tombstones,
                )
                age = newest(self.site, tx, self.landing.table, key)
        except (BrokenContract, *DATABASE_ERRORS) as error:
            self.report.fail(key, error)
            return
        self.site.ops(self.context).record_load(load)
        self.report.landed[key] = {
            "dagster/row_count": load.rows,
            **age,
            "rejeitados": load.rejected,
            "conferido": "sim" if load.verified else "não conferido",
            "janela": f"{read.window.start.isoformat()} a {read.window.end.isoformat()}",
            "não vieram mais": gone,
            "páginas": read.pages,
        }
        if erased:
            self.report.landed[key][ERASED] = erased
        if read.refused_statuses:
            self.report.landed[key][REFUSED_STATUSES] = ", ".join(read.refused_statuses)
        self.context.log.info(f"{self.landing.source} {key}: {counted(load.rows, 'linha')}")


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
    text = json.dumps(minimised(item), ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def land(
    tx: Transaction,
    landing: Landing,
    items: list[dict[str, Any]],
    load: Load,
    *,
    partial: bool = False,
    tombstones: Tombstones = NOBODY,
) -> tuple[Load, int, int]:
    """Put the records of one slice in the place of its old rows.

    Only what was read is replaced (rules 1.2): the slice when the whole of it was read, else what
    is dated inside the window and the keys that came.

    Args:
        tx: the transaction.
        landing: endpoint and table.
        items: the endpoint's answer.
        load: the ledger row to complete.
        partial: a status was refused, so that what did not come may still exist and is kept.
        tombstones: who was erased; their rows come in without them (rules 7.1).

    Returns:
        The completed ledger row, how many held keys did not come any more, and how many rows are of
        somebody erased.

    Raises:
        BrokenContract: the rows do not keep the table's contract.
    """
    rows, rejects = typed_rows(tx, landing.shape, items)
    rows = rows.with_columns(
        slice=pl.lit(load.slice), extracted_at=pl.lit(load.at), run_id=pl.lit(load.run_id)
    )
    rows, erased = shield(landing.table.name, rows, tombstones)
    rejects = hide_rejects(rejects, rows[landing.shape.key].filter(erased), tombstones)
    verdict = check_frame(rows, landing.table.contract)
    if not verdict.passed:
        raise BrokenContract(verdict)
    table, key = landing.table.name, landing.shape.key
    if landing.endpoint is api.SALES_HISTORY:
        tx.execute(_STATUS_CHANGES, incoming=rows)
    came = f"{key} IN (SELECT {key} FROM incoming)"
    replaced: str = "false"
    window: list[Any] = []
    if not partial and load.complete:
        replaced, window = "slice = ?", [load.slice]
    elif not partial and landing.dated:
        replaced, window = f"{landing.dated} BETWEEN ? AND ?", [load.window_start, load.window_end]
    gone = tx.scalar(
        f"SELECT count(DISTINCT {key}) FROM {table} WHERE {replaced} AND NOT ({came})",
        window,
        incoming=rows,
    )
    tx.execute(f"DELETE FROM {table} WHERE {replaced} OR {came}", window, incoming=rows)
    tx.append(table, rows)
    load = replace(load, rows=len(rows), rejected=len(rejects))
    record_landing(tx, load, rejects, rows[key])
    return load, gone, int(erased.sum())


_STATUS_CHANGES = """
    INSERT INTO bronze.hotmart_status_changes
    SELECT transaction, held.status, incoming.status, incoming.extracted_at
    FROM incoming JOIN bronze.hotmart_transactions AS held USING (transaction)
    WHERE held.status IS DISTINCT FROM incoming.status
"""
