"""How metrics are published: what a late fact moved in a closed period is listed, never silent.

What belongs here: putting freshly made figures (`fresh_<table>`) in the place of the published
ones, and comparing both. A period that had not ended when it was published may change unlisted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crm_assets.gold.mrr_movements import ARRIVALS, COUNTED, DEPARTURES, GAINS, LOSSES
from crm_assets.gold.subscription_metrics import COUNTS, KINDS, SUMS
from crm_resources.warehouse import Transaction


@dataclass(frozen=True)
class Published:
    """A table of metrics by period.

    Attributes:
        name: its name in gold.
        figures: columns that are compared; rates and products of them are not.
        grain: SQL of the grain.
        period: SQL of the period's first day.
        currency: SQL of the currency.
        detail: SQL of what else tells its rows apart.
    """

    name: str
    figures: tuple[str, ...]
    grain: str = "grain"
    period: str = "period_start"
    currency: str = "currency"
    detail: str = "NULL"

    @property
    def place(self) -> str:
        """SQL columns that say which figure a row is about."""
        return (
            f"{self.grain} AS grain, {self.period} AS period_start, {self.currency} AS currency, "
            f"({self.detail})::VARCHAR AS detail"
        )


SUBSCRIPTION_METRICS = Published(
    "subscription_metrics",
    (*COUNTS, "customers", *(f"{name}_{kind}" for name in SUMS for kind in KINDS)),
    grain="'day'",
    period="day",
)
MRR_MOVEMENTS = Published(
    "mrr_movements",
    (
        *(f"{move}_{what}" for what in COUNTED for move in (*ARRIVALS, *DEPARTURES)),
        *(f"{move}_{kind}" for kind in KINDS for move in (*GAINS, *LOSSES)),
    ),
)
CHURN = Published("churn", ("cancellations_requested", "current_subscriptions"))
SUBSCRIPTION_LTV = Published(
    "subscription_ltv",
    ("paying_customers_ever", "historic_gross", "historic_net"),
    grain="'month'",
    period="month",
)
REVENUE = Published(
    "revenue",
    (
        "sales", "total", "refunded", "charged_back", "disputed", "undated_reversals",
        "partially_refunded", "commission", "net_commission",
    ),
)  # fmt: skip
COHORTS = Published(
    "cohorts",
    ("returning_customers",),
    grain="'month'",
    period="(cohort_month + to_months(months_later::INTEGER))::DATE",
    currency="NULL::VARCHAR",
    detail="cohort_month",
)
CART_CONVERSION = Published(
    "cart_conversion",
    ("carts", "recovered", "abandoned", "replaced", "recovered_value"),
    currency="NULL::VARCHAR",
    detail="product_id",
)
PUBLISHED = (
    SUBSCRIPTION_METRICS,
    MRR_MOVEMENTS,
    CHURN,
    SUBSCRIPTION_LTV,
    REVENUE,
    COHORTS,
    CART_CONVERSION,
)


def publish(tx: Transaction, table: Published, now: datetime, run_id: str) -> None:
    """Put `fresh_<table>` in the place of the published table, and list what changed.

    Args:
        tx: a transaction of the session in which the fresh table was made.
        table: which one.
        now: when the changes are noticed.
        run_id: by which run.
    """
    tx.execute(_changes(table), {"now": now, "run_id": run_id})
    tx.replace_table(f"gold.{table.name}", f"FROM fresh_{table.name}")


def _changes(table: Published) -> str:
    """Closed figures that differ; a period that was never published is not one.

    Periods after the newest closed one are those of a clock that ran ahead of this one's.
    """
    name, figures = table.name, table.figures
    values = ", ".join(f"{figure}::DECIMAL(18, 2) AS {figure}" for figure in figures)

    def only_in(one: str, other: str) -> str:
        columns = f"SELECT {table.place}, {values} FROM"
        return f"{columns} {one} WHERE NOT is_partial EXCEPT {columns} {other}"

    def listed(rows: str, value: str) -> str:
        return f"""
            SELECT grain, period_start, coalesce(currency, '') AS currency,
                   coalesce(detail, '') AS detail, metric, {value}
            FROM (UNPIVOT ({rows}) ON {", ".join(figures)} INTO NAME metric VALUE {value})
        """

    return f"""
        INSERT INTO gold.metric_changes BY NAME
        WITH closed AS (
            SELECT DISTINCT grain, period_start
            FROM (SELECT {table.place} FROM gold.{name} WHERE NOT is_partial)
        ), horizon AS (
            SELECT grain, max(period_start) AS newest
            FROM (SELECT {table.place} FROM fresh_{name} WHERE NOT is_partial) GROUP BY grain
        ), before AS ({listed(only_in(f"gold.{name}", f"fresh_{name}"), "was")}),
        after AS ({listed(only_in(f"fresh_{name}", f"gold.{name}"), "is_now")})
        SELECT '{name}.' || metric AS metric, grain, period_start,
               nullif(currency, '') AS currency, nullif(detail, '') AS detail,
               coalesce(was, 0) AS was, coalesce(is_now, 0) AS now,
               $now AS noticed_at, $run_id AS run_id
        FROM before FULL JOIN after USING (grain, period_start, currency, detail, metric)
        JOIN closed USING (grain, period_start)
        LEFT JOIN horizon USING (grain)
        WHERE coalesce(was, 0) <> coalesce(is_now, 0) AND coalesce(period_start <= newest, true)
    """
