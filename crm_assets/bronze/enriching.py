"""Sales that only an event told us of, asked of the API one by one; a failure stops nothing.

The daily round reads them anyway. Asking at once brings what the event leaves out (the buyer's
code, the payment mode, the fee) while the sale is news.
"""

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from crm_assets.bronze.hotmart import typed_rows
from crm_assets.bronze.hotmart_rows import TRANSACTIONS
from crm_assets.checks.bronze import HotmartTransactions
from crm_assets.checks.contract import check_frame
from crm_assets.privacy.scrub import shield
from crm_assets.privacy.tombstones import tombstones_of
from crm_assets.slices import zone
from crm_assets.steps import Metadata, Site
from crm_resources.hotmart import HotmartError, UnavailableError
from crm_resources.hotmart.resource import HotmartResource, MissingSetting

TABLE = "bronze.hotmart_transactions"

ASKED_AT_MOST = 50
"""Sales that one run asks for; what is more waits for the daily round."""

PATIENCE_SECONDS = 60


async def enrich(site: Site, context: dg.AssetExecutionContext, stamp: datetime) -> Metadata:
    """Ask for the sales of this run's events that bronze never read, and land them.

    Args:
        site: the tenant.
        context: the running step.
        stamp: when the run began.

    Returns:
        Counts for the step's metadata; empty when there was nothing to ask, or nobody to ask.
    """
    if not site.tenant.hotmart.enabled:
        return {}
    codes = site.warehouse(context).read(_NEVER_READ, [context.run.run_id, ASKED_AT_MOST])
    if codes.is_empty():
        return {}
    hotmart: HotmartResource = site.resource(context, "hotmart")
    try:
        client = hotmart.client()
    except MissingSetting:
        return {"sem credenciais para completar": len(codes)}
    found: list[dict[str, Any]] = []
    told: Counter[str] = Counter()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), client:
            for code in codes.to_series():
                try:
                    item = await client.transaction(code)
                except UnavailableError:
                    break
                except HotmartError:
                    continue
                told["completadas pela API" if item else "que a API não conhece"] += 1
                found += [item] if item else []
    except TimeoutError:
        pass
    if missing := len(codes) - sum(told.values()):
        told["sem resposta da API"] = missing
    if found:
        _land(site, context, found, stamp)
    return {f"vendas novas {what}": count for what, count in told.items()}


def _land(
    site: Site, context: dg.AssetExecutionContext, items: list[dict[str, Any]], stamp: datetime
) -> None:
    """Put sales where the reading of their month will replace them."""
    with site.warehouse(context).write("vendas de eventos") as tx:
        rows, _ = typed_rows(tx, TRANSACTIONS, items)
        month = pl.col("ordered_at").dt.convert_time_zone(zone(site.tenant).key)
        rows = rows.filter(pl.col("ordered_at").is_not_null()).with_columns(
            slice=month.dt.strftime("%Y-%m-01"),
            extracted_at=pl.lit(stamp),
            run_id=pl.lit(context.run.run_id),
        )
        tombstones = tombstones_of(site.settings, site.tenant, site.ops(context))
        rows, _ = shield(TABLE, rows, tombstones)
        if check_frame(rows, HotmartTransactions).passed:
            tx.execute(_GIVE_WAY, incoming=rows)
            tx.append(TABLE, rows)


_NEVER_READ = f"""
    SELECT DISTINCT transaction FROM bronze.hotmart_events
    WHERE run_id = ? AND starts_with(kind, 'PURCHASE_') AND transaction IS NOT NULL
      AND transaction NOT IN (SELECT transaction FROM {TABLE})
    ORDER BY transaction LIMIT ?
"""
_GIVE_WAY = f"DELETE FROM {TABLE} WHERE transaction IN (SELECT transaction FROM incoming)"
