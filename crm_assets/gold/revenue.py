"""What came in and what was given back, who came back to buy, and what became of carts.

What belongs here: the SQL of `gold.revenue`, `gold.cohorts` and `gold.cart_conversion`. Days are
the tenant's. What the house received is told by the day it was paid, and what it gave back by the
day it was given back; a reversal without a day is in no period, but beside the payment it took back
(rules 1.6, 1.9).
"""

from __future__ import annotations

from datetime import datetime

from crm_assets.gold.periods import HOME, UNKNOWN, each_grain, is_partial, rate
from crm_resources.warehouse import Transaction

CART_DAYS_BEFORE, CART_DAYS_AFTER = 2, 30
"""Days before and after a cart, both ends inclusive, in which an order recovers it (rules 5.2)."""


def make_revenue(tx: Transaction, now: datetime) -> None:
    """Make `fresh_revenue`: own sales (rules 1.11) by currency, and all of them in the house's."""
    tx.execute(_REVENUE, {"now": now})


def make_cohorts(tx: Transaction, now: datetime) -> None:
    """Make `fresh_cohorts`: customers by the month of their first paid purchase.

    A sale that was reversed is none, so that a late refund moves its customer (gold-metrics 2.6).
    """
    tx.execute(_COHORTS, {"now": now})


def make_cart_conversion(tx: Transaction, now: datetime) -> None:
    """Make `fresh_cart_conversion`: what became of the carts of each product (rules 5.2, 5.3).

    A cart is recovered by an order of the same person and product, placed in its window and paid
    whenever; renewals, later instalments and children of an order bump recover nothing. An order is
    credited to the latest cart before it, else to the first after it. The rate is of the carts
    whose time is over; those still waiting or replaced by a newer one are outside. A period is
    final when the window of its last day has passed.
    """
    tx.execute(_CART_CONVERSION, {"now": now})


_AMOUNTS = {
    "total": "kind = 'paid'",
    "refunded": "kind = 'refund'",
    "charged_back": "kind = 'chargeback'",
    "disputed": "kind = 'paid' AND is_disputed",
    "undated_reversals": "kind = 'paid' AND is_refunded AND refunded_at IS NULL",
    "partially_refunded": "kind = 'partial'",
}
_REVENUE = f"""
    CREATE OR REPLACE TEMP TABLE fresh_revenue AS
    WITH own AS (
        SELECT *, CASE WHEN net_currency = currency THEN net END AS own_net
        FROM silver.sales WHERE is_purchase
    ), dated AS (
        SELECT *, paid_at::DATE AS day,
               CASE WHEN status_class = 'partial' THEN 'partial' ELSE 'paid' END AS kind
        FROM own WHERE paid_at <= $now
        UNION ALL
        SELECT *, refunded_at::DATE, reversal_kind FROM own WHERE refunded_at <= $now
    ), booked AS (
        SELECT *, coalesce(currency, '{UNKNOWN}') AS book, gross AS amount, own_net AS share
        FROM dated
        UNION ALL
        SELECT *, '{HOME}', value, net_value FROM dated
    ), daily AS (
        SELECT book, day, count(*) FILTER (kind = 'paid') AS sales,
               {
    ", ".join(
        f"coalesce(sum(amount) FILTER ({which}), 0) AS {name}" for name, which in _AMOUNTS.items()
    )
},
               coalesce(sum(share) FILTER (kind = 'paid'), 0) AS commission,
               coalesce(sum(share) FILTER (kind IN ('refund', 'chargeback')), 0) AS returned
        FROM booked GROUP BY ALL
    ), days AS (
        SELECT book, unnest(range(min(day), $now::DATE + 1, INTERVAL 1 DAY))::DATE AS day
        FROM daily GROUP BY book
    ), periods AS ({each_grain("days LEFT JOIN daily USING (book, day)")})
    SELECT grain, period_start, book AS currency, {is_partial("$now")} AS is_partial,
           coalesce(sum(sales), 0)::BIGINT AS sales,
           {", ".join(f"coalesce(sum({name}), 0)::DECIMAL(18, 2) AS {name}" for name in _AMOUNTS)},
           (coalesce(sum(total), 0) - coalesce(sum(refunded), 0)
               - coalesce(sum(charged_back), 0))::DECIMAL(18, 2) AS net,
           coalesce(sum(commission), 0)::DECIMAL(18, 2) AS commission,
           (coalesce(sum(commission), 0) - coalesce(sum(returned), 0))::DECIMAL(18, 2)
               AS net_commission
    FROM periods GROUP BY grain, period_start, book ORDER BY ALL
"""
_COHORTS = f"""
    CREATE OR REPLACE TEMP TABLE fresh_cohorts AS
    WITH bought AS (
        SELECT DISTINCT customer_id, date_trunc('month', paid_at)::DATE AS month
        FROM silver.sales
        WHERE is_purchase AND is_paid AND customer_id IS NOT NULL AND paid_at <= $now
    ), first AS (
        SELECT customer_id, min(month) AS cohort_month FROM bought GROUP BY customer_id
    ), sizes AS (
        SELECT cohort_month, count(*) AS customers FROM first GROUP BY cohort_month
    ), came_back AS (
        SELECT cohort_month, month, count(*) AS returning_customers
        FROM first JOIN bought USING (customer_id) GROUP BY ALL
    ), grid AS (
        SELECT *, unnest(range(cohort_month, $now::DATE + 1, INTERVAL 1 MONTH))::DATE AS month
        FROM sizes
    )
    SELECT cohort_month, date_diff('month', cohort_month, month) AS months_later,
           last_day(month) >= $now::DATE AS is_partial, customers,
           coalesce(returning_customers, 0) AS returning_customers,
           {rate("coalesce(returning_customers, 0)", "customers")} AS retention
    FROM grid LEFT JOIN came_back USING (cohort_month, month) ORDER BY ALL
"""
_IN_WINDOW = f"""
    ordered_at BETWEEN cart_at - INTERVAL {CART_DAYS_BEFORE} DAY
                   AND cart_at + INTERVAL {CART_DAYS_AFTER} DAY
"""
# The child of an order bump has its parent's order and a transaction of its own.
_CART_CONVERSION = f"""
    CREATE OR REPLACE TEMP TABLE fresh_cart_conversion AS
    WITH carts AS (
        SELECT cart_id, customer_id, product_id, product_name, cart_at,
               lead(cart_at) OVER (
                   PARTITION BY customer_id, product_id ORDER BY cart_at, cart_id
               ) AS next_cart_at
        FROM silver.carts WHERE cart_at <= $now
    ), orders AS (
        SELECT sale_id, customer_id, product_id, ordered_at, paid_at, value
        FROM silver.sales
        WHERE is_purchase AND is_paid AND is_new_order AND sale_id = source || ':' || order_id
          AND paid_at <= $now
    ), credited AS (
        SELECT cart_id, sale_id, ordered_at, paid_at, value
        FROM carts JOIN orders USING (customer_id, product_id)
        WHERE {_IN_WINDOW}
        QUALIFY row_number() OVER (
            PARTITION BY sale_id
            ORDER BY cart_at > ordered_at, abs(epoch_us(ordered_at) - epoch_us(cart_at)), cart_id
        ) = 1
    ), earliest AS (
        FROM credited
        QUALIFY row_number() OVER (PARTITION BY cart_id ORDER BY ordered_at, sale_id) = 1
    ), judged AS (
        SELECT carts.*, value,
               CASE WHEN sale_id IS NOT NULL THEN 'recuperado'
                    WHEN customer_id IS NOT NULL AND product_id IS NOT NULL
                        AND next_cart_at <= cart_at + INTERVAL {CART_DAYS_AFTER} DAY
                        THEN 'substituido'
                    WHEN cart_at + INTERVAL {CART_DAYS_AFTER} DAY >= $now THEN 'aguardando'
                    ELSE 'abandonado' END AS status,
               cart_at::DATE AS day
        FROM carts LEFT JOIN earliest USING (cart_id)
    ), periods AS ({each_grain("judged")})
    SELECT grain, period_start, product_id, arg_max(product_name, cart_at) AS product_name,
           {is_partial("$now", CART_DAYS_AFTER)} AS is_partial,
           count(*) AS carts,
           count(*) FILTER (status = 'recuperado') AS recovered,
           count(*) FILTER (status = 'abandonado') AS abandoned,
           count(*) FILTER (status = 'aguardando') AS waiting,
           count(*) FILTER (status = 'substituido') AS replaced,
           {rate("recovered", "(recovered + abandoned)")} AS recovery_rate,
           coalesce(sum(value), 0)::DECIMAL(18, 2) AS recovered_value
    FROM periods GROUP BY grain, period_start, product_id ORDER BY ALL
"""
