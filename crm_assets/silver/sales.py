"""Sales with their customer, and the products they were of."""

from __future__ import annotations

from functools import partial

import dagster as dg
import polars as pl

from crm_assets.checks.silver import Products, Sales
from crm_assets.plots import stacked_bars
from crm_assets.silver.products import product_audiences
from crm_assets.steps import Metadata, Site, Table, table_step
from crm_resources.warehouse import Transaction

SALES = Table(
    "silver.sales",
    Sales,
    "Toda venda, no estado mais recente, com o cliente que comprou; as de quem foi apagado seguem "
    "sob um número sorteado.",
    reads=("silver.sale_records", "silver.customer_xref", "bronze.crm_actions"),
)
PRODUCTS = Table(
    "silver.products",
    Products,
    "Cada produto já vendido, ou de que a Hotmart falou, e os públicos a que pertence.",
    reads=("silver.sale_records", "silver.events"),
)


def sale_assets(site: Site) -> list[dg.AssetsDefinition]:
    """Sales and products of one tenant."""
    return [
        table_step(
            site,
            "sales",
            [SALES],
            write=partial(_write_sales, site),
        ),
        table_step(
            site,
            "products",
            [PRODUCTS],
            write=partial(_write_products, site),
        ),
    ]


def _write_sales(site: Site, tx: Transaction) -> dict[str, Metadata]:
    tx.replace_table(SALES.name, _SALES)
    totals = tx.read(_TOTALS)
    labels = ("pago", "pendente", "revertido", "em disputa", "revertido em parte")
    return {
        SALES.name: {
            **_revenue(site, tx),
            **tx.read(_ODDITIES, [site.settings.now()]).row(0, named=True),
            **{
                f"{label} ({currency})": str(total)
                for currency, *sums in totals.rows()
                for label, total in zip(labels, sums, strict=True)
                if total
            },
        }
    }


def _revenue(site: Site, tx: Transaction) -> Metadata:
    """Pictures of sixty days of revenue, thirty by thirty and to the same scale."""
    currency = site.tenant.currency
    days = tx.read(_REVENUE, {"today": site.today()})
    draw = partial(
        stacked_bars,
        "Receita por dia",
        unit="R$" if currency == "BRL" else currency,
        top=float(days.select(pl.sum_horizontal(pl.exclude("day")).max()).item()),
    )
    return {
        "receita: últimos 30 dias": dg.MetadataValue.md(draw(days[30:]).markdown),
        "receita: 30 dias anteriores": dg.MetadataValue.md(draw(days[:30]).markdown),
    }


def _write_products(site: Site, tx: Transaction) -> dict[str, Metadata]:
    sold = tx.read(_PRODUCTS)
    mapped = product_audiences(sold.select("product_id", "name"), site.tenant.audiences)
    products = pl.concat([sold, mapped], how="horizontal")
    tx.replace_table(PRODUCTS.name, products.drop("is_own"))
    unmapped = products.filter(pl.col("is_own") & ~pl.col("is_mapped"))
    names = unmapped.select(pl.coalesce("name", "product_id")).to_series().to_list()
    return {
        PRODUCTS.name: {
            "produtos sem público próprio": len(names),
            "quais": ", ".join(names[:10]) or "nenhum",
        }
    }


_SALES = """
    WITH erased AS (
        SELECT record_id, min(customer_id) AS customer_id
        FROM (
            SELECT customer_id, unnest((payload->'records')::VARCHAR[]) AS record_id
            FROM bronze.crm_actions WHERE kind = 'customer_erased'
        ) GROUP BY record_id
    )
    SELECT sales.*, coalesce(erased.customer_id, xref.customer_id) AS customer_id,
           erased.customer_id IS NOT NULL AS is_erased
    FROM silver.sale_records AS sales
    LEFT JOIN silver.customer_xref AS xref
        ON xref.record_id = sales.record_id AND xref.valid_to IS NULL
    LEFT JOIN erased ON erased.record_id = sales.record_id
"""
_TOTALS = """
    SELECT coalesce(currency, 'sem moeda') AS currency,
           sum(gross) FILTER (WHERE is_paid) AS paid,
           sum(gross) FILTER (WHERE status_class = 'pending') AS pending,
           sum(gross) FILTER (WHERE is_refunded) AS reversed,
           sum(gross) FILTER (WHERE is_disputed) AS disputed,
           sum(gross) FILTER (WHERE status_class = 'partial') AS partly
    FROM silver.sales GROUP BY ALL ORDER BY ALL
"""
# Each own sale once, on the day it was paid, else ordered, under the status it has now.
_REVENUE = """
    WITH sold AS (
        SELECT coalesce(paid_at, ordered_at)::DATE AS day,
               sum(value) FILTER (WHERE is_paid) AS pago,
               sum(value) FILTER (WHERE status_class = 'pending') AS pendente,
               sum(value) FILTER (WHERE is_refunded) AS revertido
        FROM silver.sales
        WHERE is_own AND coalesce(paid_at, ordered_at) >= ($today::DATE - 59)::TIMESTAMPTZ
        GROUP BY day
    )
    SELECT day, pago, pendente, revertido
    FROM (SELECT $today::DATE - ago::INTEGER AS day FROM range(60) AS days(ago))
    LEFT JOIN sold USING (day) ORDER BY day
"""
_ODDITIES = """
    SELECT count(*) FILTER (WHERE customer_id IS NULL) AS "sem cliente",
           count(*) FILTER (WHERE is_paid AND is_own AND (gross IS NULL OR currency IS NULL))
               AS "pagas sem valor ou moeda",
           count(*) FILTER (WHERE is_eligible AND product_id IS NULL) AS "pagas sem produto",
           count(*) FILTER (WHERE paid_at > ?) AS "com data no futuro",
           count(*) FILTER (WHERE status_class = 'unknown') AS "em status desconhecido"
    FROM silver.sales
"""
_PRODUCTS = """
    WITH sold AS (
        SELECT product_id, source, arg_max(product_name, ordered_at) AS name,
               min(ordered_at) AS first_sold_at, max(ordered_at) AS last_sold_at,
               bool_or(is_own) AS is_own
        FROM silver.sale_records WHERE product_id IS NOT NULL GROUP BY product_id, source
    )
    FROM sold
    UNION ALL BY NAME
    SELECT product_id, 'hotmart' AS source, arg_max(product_name, occurred_at) AS name,
           true AS is_own
    FROM silver.events
    WHERE product_id IS NOT NULL
      AND product_id NOT IN (SELECT product_id FROM sold WHERE source = 'hotmart')
    GROUP BY product_id
    ORDER BY product_id, source
"""
