"""The report of each load: what was sold, paid, pending and cancelled, against the load before.

One row per day and currency in `gold.daily_report`. Only today's rows are written, so that the
history outlives every rebuild; a second load of a day takes the place of its first and compares
with the day before it, never with itself (seeds S1.101 to S1.105).
"""

from datetime import date
from functools import partial

import dagster as dg

from crm_assets.checks.contract import Verdict
from crm_assets.checks.gold import DailyReport
from crm_assets.steps import Metadata, Reconciliation, Site, Table, table_step
from crm_resources.warehouse import Transaction

DAILY_REPORT = Table(
    "gold.daily_report",
    DailyReport,
    "O relatório de cada carga, por moeda: compradores, valor pago, valor pendente e "
    "cancelamentos, cada número ao lado da diferença para a carga anterior.",
    reads=("silver.sales",),
)

CANCELLED = ("CANCELLED", "CANCELED", "REFUNDED", "CHARGEBACK", "PARTIALLY_REFUNDED")
"""Statuses that the report counts as cancellations (S1.104), in both spellings."""


def report_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The daily report of one tenant."""
    return [
        table_step(
            site,
            "daily_report",
            [DAILY_REPORT],
            write=partial(_write, site),
            reconciliations=[
                Reconciliation(
                    DAILY_REPORT.name,
                    "pago_igual_ao_elegivel",
                    "O valor pago de cada moeda é a soma das vendas que contam no LTV.",
                    partial(_paid_matches, site),
                )
            ],
        )
    ]


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    today = site.today()
    write_report(tx, today, site.tenant.currency)
    rows = tx.read(_TODAY, [today]).to_dicts()
    before = rows[0]["compared_with"]
    labels = {"paid": "pago", "pending": "pendente", "cancelled": "cancelado"}
    return {
        DAILY_REPORT.name: {
            "comparado com": str(before) if before else "carga inicial",
            **{
                f"{label} ({row['currency'] or 'sem moeda'})": float(row[figure])
                for row in rows
                for figure, label in labels.items()
            },
        }
    }


def write_report(tx: Transaction, day: date, currency: str) -> None:
    """Put the rows of `day` into `gold.daily_report`, one per currency.

    Own sales in their latest state (rules 1.11). A currency without sales now is told as zero
    when the load before had some, and the tenant's always, so that every load has a row.
    """
    tx.execute(f"DELETE FROM {DAILY_REPORT.name} WHERE report_date = ?", [day])
    tx.execute(_REPORT, {"day": day, "currency": currency})


def _paid_matches(site: Site, tx: Transaction) -> Verdict:
    sums = tx.read(_SUMS, [site.today()]).to_dicts()
    return Verdict(
        "pago_igual_ao_elegivel",
        all(row["paid"] == row["eligible"] for row in sums),
        {
            row["currency"]: f"pago {row['paid']}, elegível {row['eligible']}, "
            f"do qual sem chave {row['keyless']}"
            for row in sums
        },
    )


def _beside_its_change(figure: str) -> str:
    """The figure, and how much more it is than in the load before, if there was one."""
    return (
        f"coalesce(now.{figure}, 0) AS {figure}, CASE WHEN last.day IS NOT NULL "
        f"THEN coalesce(now.{figure}, 0) - coalesce(before.{figure}, 0) END AS {figure}_change"
    )


_FIGURES = ("buyers", "paid", "pending", "cancellations", "cancelled")
_REPORT = f"""
    INSERT INTO {DAILY_REPORT.name} BY NAME
    WITH own AS (
        SELECT *, greatest(gross, 0) AS amount,
               upper(trim(status)) IN {CANCELLED} AS is_cancelled
        FROM silver.sales WHERE is_own
    ), now AS (
        SELECT currency,
               count(DISTINCT customer_id) FILTER (WHERE is_paid AND is_purchase) AS buyers,
               sum(amount) FILTER (WHERE is_paid) AS paid,
               sum(amount) FILTER (WHERE status_class = 'pending') AS pending,
               count(*) FILTER (WHERE is_cancelled) AS cancellations,
               sum(amount) FILTER (WHERE is_cancelled) AS cancelled
        FROM own GROUP BY currency
    ), last AS (
        SELECT max(report_date) AS day FROM {DAILY_REPORT.name} WHERE report_date < $day
    ), before AS (
        SELECT reports.* FROM {DAILY_REPORT.name} AS reports JOIN last ON report_date = last.day
    ), told AS (
        SELECT currency FROM now
        UNION SELECT currency FROM before
        WHERE {" OR ".join(f"{figure} <> 0" for figure in _FIGURES)}
        UNION SELECT $currency
    )
    SELECT $day::DATE AS report_date, told.currency, last.day AS compared_with,
           {", ".join(map(_beside_its_change, _FIGURES))}
    FROM told CROSS JOIN last
    LEFT JOIN now ON now.currency IS NOT DISTINCT FROM told.currency
    LEFT JOIN before ON before.currency IS NOT DISTINCT FROM told.currency
"""
_TODAY = f"FROM {DAILY_REPORT.name} WHERE report_date = ? ORDER BY currency"
# A paid sale without currency counts nowhere in LTV: the report shows it on a line of its own.
_SUMS = f"""
    WITH eligible AS (
        SELECT currency, sum(gross) AS amount,
               sum(gross) FILTER (WHERE customer_id IS NULL) AS keyless
        FROM silver.sales WHERE is_eligible GROUP BY currency
    ), told AS (
        SELECT currency, paid FROM {DAILY_REPORT.name}
        WHERE report_date = ? AND currency IS NOT NULL
    )
    SELECT currency, coalesce(paid, 0) AS paid, coalesce(amount, 0) AS eligible,
           coalesce(keyless, 0) AS keyless
    FROM told FULL JOIN eligible USING (currency) ORDER BY currency
"""
