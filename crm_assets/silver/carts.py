"""Abandoned carts: what Hotmart's out-of-cart events say of people we can reach (rules 5.1)."""

from __future__ import annotations

from functools import partial

import dagster as dg

from crm_assets.checks.events import Carts
from crm_assets.steps import Metadata, Site, Table, table_step
from crm_resources.warehouse import Transaction

CARTS = Table(
    "silver.carts",
    Carts,
    "Cada carrinho abandonado, com a pessoa e o produto. A Hotmart não diz o valor: é a mediana do "
    "que se pagou por aquele produto e oferta nos 90 dias antes.",
    reads=("silver.events", "silver.contact_records", "silver.customer_xref", "silver.sales"),
)


def cart_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The carts of one tenant."""
    return [table_step(site, "carts", [CARTS], write=partial(_write, site))]


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    tx.replace_table(CARTS.name, _CARTS, {"currency": site.tenant.currency})
    told = tx.read(_TOLD).row(0, named=True)
    return {CARTS.name: {name: count for name, count in told.items() if count is not None}}


_ABANDONED = "kind = 'PURCHASE_OUT_OF_SHOPPING_CART'"

# Events of one person and product that follow one another within 24 hours are one cart, which
# began with the first of them.
_CARTS = f"""
    WITH abandoned AS (
        SELECT event_id, occurred_at, product_id, product_name, offer_code, customer_id,
               email_key, phone_key
        FROM silver.events
        JOIN silver.contact_records USING (record_id)
        JOIN silver.customer_xref AS xref USING (record_id)
        WHERE {_ABANDONED} AND valid_to IS NULL
    ), begun AS (
        SELECT *, occurred_at - lag(occurred_at) OVER told > INTERVAL 24 HOURS AS is_new
        FROM abandoned
        WINDOW told AS (PARTITION BY customer_id, product_id ORDER BY occurred_at, event_id)
    ), numbered AS (
        SELECT *, (occurred_at, event_id) AS place,
               count(*) FILTER (is_new) OVER (
                   PARTITION BY customer_id, product_id ORDER BY occurred_at, event_id
               ) AS number
        FROM begun
    ), carts AS (
        SELECT 'hotmart:' || arg_min(event_id, place) AS cart_id,
               'hotmart' AS source,
               customer_id,
               arg_min(email_key, place) AS email_key,
               arg_min(phone_key, place) AS phone_key,
               product_id,
               arg_max(product_name, place) AS product_name,
               arg_max(offer_code, place) AS offer_code,
               min(occurred_at) AS cart_at,
               count(*) AS events
        FROM numbered GROUP BY customer_id, product_id, number
    ), days AS (
        SELECT DISTINCT product_id, offer_code, cart_at::DATE AS day FROM carts
    ), medians AS (
        SELECT days.*, median(base)::DECIMAL(18, 2) AS value
        FROM days JOIN silver.sales AS sales USING (product_id, offer_code)
        WHERE is_paid AND is_own AND is_new_order AND currency = $currency AND base IS NOT NULL
          AND paid_at::DATE BETWEEN day - 90 AND day - 1
        GROUP BY ALL
    )
    SELECT cart_id, source, customer_id, email_key, phone_key, product_id, product_name,
           offer_code, cart_at, value, value IS NOT NULL AS is_estimated,
           CASE WHEN value IS NOT NULL THEN $currency END AS currency, events
    FROM (SELECT *, cart_at::DATE AS day FROM carts)
    LEFT JOIN medians USING (product_id, offer_code, day)
    ORDER BY cart_at, cart_id
"""
_TOLD = f"""
    SELECT (SELECT count(*) FROM silver.events WHERE {_ABANDONED}) AS "eventos de carrinho",
           (SELECT count(*) FROM silver.events
            WHERE {_ABANDONED} AND (record_id IS NULL OR record_id NOT IN (
                SELECT record_id FROM silver.customer_xref WHERE valid_to IS NULL
            ))) AS "eventos sem e-mail nem telefone",
           count(*) FILTER (value IS NULL) AS "carrinhos sem valor",
           sum(value)::DOUBLE AS "valor estimado"
    FROM silver.carts
"""
