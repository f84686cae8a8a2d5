"""What just happened to whom, that a message can answer (rules 4.7)."""

from functools import partial

import dagster as dg

from crm_assets.checks.events import Triggers
from crm_assets.steps import Metadata, Site, Table, table_step
from crm_resources.warehouse import Transaction

TRIGGERS = Table(
    "gold.triggers",
    Triggers,
    "O que vale hoje de cada cliente e pede uma mensagem: carrinho aberto, boleto ou PIX "
    "pendente, pagamento vencido, recusado ou atrasado, assinatura cancelada, reembolso, "
    "chargeback, disputa.",
    reads=("silver.sales", "silver.carts", "silver.subscriptions"),
)

CART_DAYS_BEFORE, CART_DAYS_AFTER = 2, 30
"""Days from the cart to the order that recovers it, both ends inclusive (rules 5.2)."""


def trigger_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The triggers of one tenant."""
    return [table_step(site, "triggers", [TRIGGERS], write=partial(_write, site))]


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    write_triggers(tx, site.today())
    counted = tx.read(f"SELECT trigger, count(*) FROM {TRIGGERS.name} GROUP BY ALL ORDER BY ALL")
    return {TRIGGERS.name: dict(counted.rows())}


def write_triggers(tx: Transaction, today: object) -> None:
    """Write `gold.triggers` as of `today`.

    A cart is open until its window has passed or its product was bought in it: order bumps,
    renewals and reversed orders do not count. What went wrong with a payment holds until the
    product was paid after it; a dispute until it ends.
    """
    tx.replace_table(
        TRIGGERS.name,
        _TRIGGERS,
        {"today": today, "before": CART_DAYS_BEFORE, "after": CART_DAYS_AFTER},
    )


_TRIGGERS = """
    WITH own AS (
        FROM silver.sales WHERE is_own AND NOT is_erased AND customer_id IS NOT NULL
    ), happened AS (
        SELECT customer_id, product_id, coalesce(refunded_at, ordered_at) AS since,
               CASE WHEN is_disputed THEN 'disputa'
                    WHEN reversal_kind = 'chargeback' THEN 'chargeback'
                    WHEN reversal_kind = 'refund' THEN 'reembolsado'
                    WHEN status_class = 'late' THEN 'atrasado'
                    WHEN upper(trim(status)) = 'EXPIRED' THEN 'expirado'
                    WHEN status_class = 'failed' THEN 'recusado'
                    WHEN upper(trim(status)) IN ('PRINTED_BILLET', 'WAITING_PAYMENT')
                    THEN 'boleto_pix_pendente' END AS trigger
        FROM own WHERE NOT is_paid
        UNION ALL BY NAME
        SELECT customer_id, product_id, requested_cancel_at AS since, 'cancelado' AS trigger
        FROM silver.subscriptions WHERE segment = 'cancelada' AND customer_id IS NOT NULL
    ), paid AS (
        SELECT customer_id, product_id, max(paid_at) AS last_paid_at
        FROM own WHERE is_paid GROUP BY ALL
    ), standing AS (
        SELECT customer_id, product_id, trigger, since
        FROM happened LEFT JOIN paid USING (customer_id, product_id)
        WHERE trigger IS NOT NULL
          AND (trigger = 'disputa' OR last_paid_at IS NULL OR last_paid_at < since)
        UNION ALL BY NAME
        SELECT customer_id, product_id, 'carrinho' AS trigger, cart_at AS since
        FROM silver.carts AS carts
        WHERE cart_at::DATE BETWEEN $today::DATE - $after::INTEGER AND $today::DATE
          AND NOT EXISTS (
              FROM own
              WHERE own.customer_id = carts.customer_id AND own.product_id = carts.product_id
                AND was_paid AND NOT is_refunded AND is_new_order
                AND sale_id = own.source || ':' || order_id
                AND ordered_at::DATE BETWEEN cart_at::DATE - $before::INTEGER
                                         AND cart_at::DATE + $after::INTEGER
          )
    )
    SELECT customer_id, trigger, product_id, max(since) AS since
    FROM standing GROUP BY customer_id, trigger, product_id
    ORDER BY customer_id, trigger, product_id
"""
