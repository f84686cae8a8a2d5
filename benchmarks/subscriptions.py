"""Metrics of a million subscriptions over three years of days, against the plain way.

The plain way joins every day with every stretch of days in which a subscription stands still, and
counts; it gives daily levels only, and leaves out distinct customers, which would cost it memory
without end. Ours gives the same levels with the customers, and the movements of every day, week and
month, churn and lifetime value, compared with what was published before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.lone_warehouse import put_empty, timed_session, warehouse_in
from benchmarks.processes import measure
from benchmarks.report import Reading, times

SUBSCRIPTIONS = 1_000_000
TODAY = date(2026, 3, 15)
DAYS = 3 * 365


def subscriptions(scale: float, repeat: int) -> Iterator[Reading]:
    """The metrics step without Dagster, first and second time, and the plain way."""
    rows = int(SUBSCRIPTIONS * scale)
    with TemporaryDirectory() as home:
        _call("fill", home, rows=rows)
        floor = _call("floor", home)
        for which in ("first", "second"):
            found = _call("metrics", home)
            assert found["differs"] == 0
            yield times(
                f"metrics of {rows:,} subscriptions over 3 years of days, {which} run; floor: "
                "GROUP BY over days × periods, daily levels only",
                found["seconds"],
                floor["seconds"],
                1,
                peak=found["peak"],
                floor_peak=floor["peak"],
            )


def fill(home: str, rows: int) -> dict[str, Any]:
    """Invent stretches: trials, renewals at new amounts, delays, ends, three currencies.

    Nine of ten customers have one subscription; nothing of sales and carts.
    """
    from crm_assets.checks.events import Carts
    from crm_assets.checks.silver import Sales
    from crm_assets.checks.subscriptions import SubscriptionHistory, Subscriptions

    with warehouse_in(home).write("benchmark") as tx:
        tx.replace_table(
            "silver.subscription_periods",
            _STRETCHES,
            {"rows": rows, "first": date.fromordinal(TODAY.toordinal() - DAYS), "today": TODAY},
        )
        put_empty(
            tx,
            {
                "silver.subscriptions": Subscriptions,
                "silver.subscription_history": SubscriptionHistory,
                "silver.sales": Sales,
                "silver.carts": Carts,
            },
        )
    return {}


def metrics(home: str) -> dict[str, Any]:
    """Make and publish every metric; `differs` counts days that the plain way tells otherwise."""
    from crm_assets.gold.metrics import make, publish

    now = datetime(TODAY.year, TODAY.month, TODAY.day, 15, tzinfo=UTC)
    with timed_session(home) as (session, took):
        make(session.outside, now, TODAY, "BRL")
        with session.begin() as tx:
            publish(tx, now, "benchmark")
    took["differs"] = warehouse_in(home).read(_DIFFERS).item()
    return took


def floor(home: str) -> dict[str, Any]:
    """The daily levels by a plain GROUP BY."""
    with timed_session(home) as (session, took), session.begin() as tx:
        tx.replace_table("gold.invented_floor", _FLOOR, {"today": TODAY})
    return took


def _call(work: str, home: str, **arguments: Any) -> dict[str, Any]:
    return measure(f"benchmarks.subscriptions:{work}", {}, home=home, **arguments)


_STRETCHES = """
    WITH drawn AS (
        SELECT id, (hash(id, 1) >> 1)::BIGINT AS h, (hash(id, 2) >> 1)::BIGINT AS g,
               $first::DATE + ((hash(id, 3) >> 1)::BIGINT % 1095)::INTEGER AS began,
               ((hash(id, 4) >> 1)::BIGINT % 30)::INTEGER AS months
        FROM range($rows) AS r(id)
    ), parts AS (
        SELECT *, unnest(range(0, 2 + months // 6))::INTEGER AS part, 1 + months // 6 AS last
        FROM drawn
    ), placed AS (
        SELECT *, CASE WHEN part = 0 THEN began ELSE began + 7 + 180 * (part - 1) END AS from_day,
               CASE WHEN part < last THEN began + 7 + 180 * part
                    WHEN h % 100 < 60 THEN began + 8 + 180 * part + (g % 90)::INTEGER END AS to_day,
               CASE WHEN h % 20 = 0 THEN 'USD' WHEN h % 20 = 1 THEN 'EUR' ELSE 'BRL' END
                   AS currency,
               (29 + g % 170 + part)::DECIMAL(18, 2) AS amount,
               CASE currency WHEN 'BRL' THEN 100 ELSE 500 + (g + part) % 60 END AS cents
        FROM parts
    )
    SELECT 'S' || id AS subscriber_code, 'cus_' || lpad((id * 9 // 10)::VARCHAR, 32, '0')
               AS customer_id,
           (1 + id % 5)::VARCHAR AS product_id, from_day, to_day,
           CASE WHEN part = 0 THEN 'trial' WHEN part = last AND h % 7 = 0 THEN 'delayed'
                WHEN part = last AND h % 7 = 1 THEN 'cancelled' ELSE 'active' END AS state,
           state <> 'cancelled' AS is_committed, currency,
           CASE WHEN part = 0 THEN 0 ELSE amount END::DECIMAL(18, 2) AS mrr_gross,
           CASE WHEN part = 0 THEN 0 ELSE amount - 5 END::DECIMAL(18, 2) AS mrr_net,
           (mrr_gross * cents / 100)::DECIMAL(18, 2) AS mrr_gross_home,
           (mrr_net * cents / 100)::DECIMAL(18, 2) AS mrr_net_home,
           CASE WHEN part = last AND to_day IS NOT NULL THEN 'cancelled' END AS ended_by
    FROM placed WHERE from_day <= $today
"""
_FLOOR = """
    WITH days AS (
        SELECT unnest(range(
            (SELECT min(from_day) FROM silver.subscription_periods), $today::DATE + 1,
            INTERVAL 1 DAY
        ))::DATE AS day
    )
    SELECT day, currency, count(*) FILTER (state = 'trial') AS trial,
           count(*) FILTER (state <> 'trial') AS subscriptions,
           sum(mrr_gross) AS mrr_gross, sum(mrr_net) AS mrr_net,
           sum(mrr_gross_home) AS mrr_gross_home, sum(mrr_net_home) AS mrr_net_home
    FROM days JOIN silver.subscription_periods ON from_day <= day AND coalesce(to_day > day, true)
    GROUP BY day, currency
"""
_DIFFERS = """
    SELECT count(*)
    FROM (FROM gold.subscription_metrics WHERE currency <> 'home') AS ours
    FULL JOIN gold.invented_floor AS plain USING (day, currency)
    WHERE (ours.subscriptions, ours.trial, ours.mrr_gross, ours.mrr_net)
        IS DISTINCT FROM
        (plain.subscriptions, plain.trial, plain.mrr_gross, plain.mrr_net)
"""
