"""Sales with their customer, and the products they were of."""

from __future__ import annotations

from functools import partial

import dagster as dg
import polars as pl

from crm_assets.checks.silver import Products, Sales
from crm_assets.silver.products import product_audiences
from crm_assets.steps import Metadata, Site, Table, table_step
from crm_resources.warehouse import Transaction

SALES = Table(
    "silver.sales",
    Sales,
    "Toda venda, no estado mais recente, com o cliente que comprou.",
)
PRODUCTS = Table(
    "silver.products",
    Products,
    "Cada produto já vendido e os públicos a que pertence.",
)


def sale_assets(site: Site) -> list[dg.AssetsDefinition]:
    """Sales and products of one tenant."""
    return [
        table_step(
            site,
            "sales",
            [SALES],
            deps=["silver.sale_records", "silver.customer_xref"],
            write=_write_sales,
        ),
        table_step(
            site,
            "products",
            [PRODUCTS],
            deps=["silver.sale_records"],
            write=partial(_write_products, site),
        ),
    ]


def _write_sales(tx: Transaction) -> dict[str, Metadata]:
    tx.replace_table(SALES.name, _SALES)
    totals = tx.read(_TOTALS)
    return {
        SALES.name: {
            "sem cliente": tx.scalar(
                f"SELECT count(*) FROM {SALES.name} WHERE customer_id IS NULL"
            ),
            **{
                f"{label} ({currency})": str(total)
                for currency, *sums in totals.rows()
                for label, total in zip(("pago", "pendente", "revertido"), sums, strict=True)
                if total
            },
        }
    }


def _write_products(site: Site, tx: Transaction) -> dict[str, Metadata]:
    sold = tx.read(_PRODUCTS)
    mapped = product_audiences(sold.select("product_id", "name"), site.tenant.audiences)
    products = pl.concat([sold, mapped], how="horizontal").select(
        "product_id", "source", "name", "audiences", "is_mapped", "first_sold_at", "last_sold_at"
    )
    tx.replace_table(PRODUCTS.name, products)
    unmapped = products.filter(~pl.col("is_mapped"))["name"].drop_nulls().to_list()
    return {
        PRODUCTS.name: {
            "produtos sem público próprio": len(unmapped),
            "quais": ", ".join(unmapped[:10]) or "nenhum",
        }
    }


_SALES = """
    SELECT sales.*, xref.customer_id
    FROM silver.sale_records AS sales
    LEFT JOIN silver.customer_xref AS xref
        ON xref.record_id = sales.record_id AND xref.valid_to IS NULL
"""
_TOTALS = """
    SELECT coalesce(currency, 'sem moeda') AS currency,
           sum(gross) FILTER (WHERE is_paid) AS paid,
           sum(gross) FILTER (WHERE status_class = 'pending') AS pending,
           sum(gross) FILTER (WHERE is_refunded) AS reversed
    FROM silver.sales GROUP BY ALL ORDER BY ALL
"""
_PRODUCTS = """
    SELECT product_id, source, arg_max(product_name, ordered_at) AS name,
           min(ordered_at) AS first_sold_at, max(ordered_at) AS last_sold_at
    FROM silver.sale_records WHERE product_id IS NOT NULL
    GROUP BY product_id, source ORDER BY product_id, source
"""
