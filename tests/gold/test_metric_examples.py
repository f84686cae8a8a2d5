"""The worked examples of public metrics vendors, by number (gold-metrics 3.2, rows 1 to 28).

Left out, because Hotmart or our definitions have no such thing: 10 and 11 (recurrences of two years
and of two weeks), the invoices of 18 and 19 (a first charge is never prorated; the MRR is here),
the trial MRR of 16 (a trial is worth nothing yet), 17 (rates averaged per month; ours are those of
each recurrence), 25 (rolling thirty days; our periods are the calendar's), 28 (a formula without
numbers).
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from lake import Lake, local
from metric_samples import Metrics, money, stretch

from crm_assets.silver.subscription_charges import monthly_sql


def monthly(amount: str, period_days: int) -> Decimal:
    sql = "SELECT {} FROM (SELECT ?::DECIMAL(18, 2) AS amount, ?::BIGINT AS period_days)"
    return Lake().value(sql.format(monthly_sql("amount")), [amount, period_days])


@pytest.mark.parametrize(
    ("number", "amount", "period", "mrr"),
    [
        (1, "90.00", 90, "30.00"),
        (2, "2000.00", 360, "166.67"),
        (7, "108.00", 360, "9.00"),
        (8, "600.00", 360, "50.00"),
        (9, "300.00", 90, "100.00"),
        (13, "50.00", 30, "50.00"),
        (14, "0.00", 30, "0.00"),
        (18, "50.00", 30, "50.00"),
        (19, "50.00", 30, "50.00"),
    ],
)
def test_what_a_recurrence_is_worth_a_month(number, amount, period, mrr):
    assert monthly(amount, period) == Decimal(mrr), number


YEARLY = [stretch(1, "2025-01-10", "2026-01-10", "166.67")]
SEATS = [stretch(2, "2025-03-05", "2025-06-20", 60, who=1)]


@pytest.mark.parametrize(
    ("number", "grain", "period", "movement"),
    [
        (2, "month", "2025-01-01", {"new": "166.67"}),
        (3, "month", "2025-03-01", {"expansion": "60.00"}),
        (4, "month", "2025-06-01", {"contraction": "60.00"}),
        (5, "month", "2026-01-01", {"churn": "166.67"}),
        (6, "month", "2026-03-01", {"reactivation": "150.00"}),
        (6, "week", "2026-03-02", {"reactivation": "150.00"}),
        (6, "day", "2026-03-03", {"reactivation": "150.00"}),
    ],
)
def test_one_customer_expands_contracts_leaves_and_comes_back(number, grain, period, movement):
    made = Metrics().put(*YEARLY, *SEATS, stretch(3, "2026-03-03", None, 150, who=1)).run()
    expected = {name: Decimal(amount) for name, amount in movement.items()}
    assert made.moved(grain, period) == expected, number


TWO = [stretch(1, "01-01", None, 100), stretch(2, "01-01", None, "83.33")]
LEAVING = stretch(2, "02-01", "03-01", 100, state="cancelled", is_committed=False)
POLAR_15 = [stretch(1, "01-01", None, 100), LEAVING]
POLAR_16 = [
    stretch(1, "01-01", None, 100),
    stretch(2, "01-01", "03-01", state="trial"),
    stretch(2, "03-01", None, 100),
    stretch(3, "01-01", "03-01", state="trial"),
]


@pytest.mark.parametrize(
    ("number", "stretches", "day", "figures"),
    [
        (12, TWO, "01-20", {"mrr_gross": "183.33", "customers": 2}),
        (15, POLAR_15, "01-31", {"mrr_gross": "100.00", "committed_mrr_gross": "100.00"}),
        (15, POLAR_15, "02-28", {"mrr_gross": "200.00", "committed_mrr_gross": "100.00"}),
        (15, POLAR_15, "03-01", {"mrr_gross": "100.00", "committed_mrr_gross": "100.00"}),
        (16, POLAR_16, "01-31", {"mrr_gross": "100.00", "trial": 2, "active": 1}),
        (16, POLAR_16, "02-28", {"mrr_gross": "100.00", "trial": 2, "active": 1}),
        (16, POLAR_16, "03-01", {"mrr_gross": "200.00", "trial": 0, "active": 2}),
        (20, [stretch(1, "2025-03-29", None, 100)], "2025-03-29", {"mrr_gross": "100.00"}),
        (20, [stretch(1, "2025-03-29", None, 100)], "2025-03-31", {"mrr_gross": "100.00"}),
    ],
)
def test_levels_of_a_day(number, stretches, day, figures):
    told = Metrics().put(*stretches).run().level(day)
    for name, value in figures.items():
        assert told[name] == (value if isinstance(value, int) else Decimal(value)), number


def test_revenue_per_customer_of_12():
    made = Metrics("01-31").put(*TWO).run()
    told = made.lake.rows("FROM gold.subscription_ltv WHERE currency = 'BRL'")[0]
    assert told["arpa_gross"] == Decimal("91.67")


def lives(count: int, first: str, last: str | None, mrr: object = 1, start: int = 0) -> list:
    return [stretch(start + number, first, last, mrr) for number in range(count)]


def test_revenue_churn_before_and_after_what_customers_added_21():
    made = Metrics("03-15").put(
        stretch(1, "01-01", "02-10", 10),
        stretch(2, "01-01", "02-10", 50),
        stretch(2, "02-10", None, 40),
        stretch(3, "01-01", "02-10", 40),
        stretch(3, "02-10", None, 50),
    )
    told = made.run().row("gold.churn", "month", "2026-02-01")
    assert (told["gross_revenue_churn"], told["net_revenue_churn"]) == (0.2, 0.1)


def test_daily_churn_22():
    made = Metrics().put(*lives(95, "01-01", None), *lives(5, "01-01", "02-10", start=95)).run()
    assert made.row("gold.churn", "day", "2026-02-10")["churn_rate"] == 0.05


def test_those_who_join_do_not_dilute_churn_23():
    made = Metrics().put(
        *lives(90, "01-01", None),
        *lives(10, "01-01", "02-10", start=90),
        *lives(30, "02-03", None, start=100),
    )
    told = made.run().row("gold.churn", "month", "2026-02-01")
    assert (told["churn_rate"], told["customer_churn_rate"]) == (0.1, 0.1)


def test_a_cancellation_is_churn_when_what_was_paid_ends_24():
    asked = {
        "subscriber_code": "SUB2",
        "status": "CANCELLED_BY_CUSTOMER",
        "valid_from": local("2026-02-15 12:00"),
        "reason": "cancelamento",
        "source": "event",
    }
    made = Metrics("03-31").put(
        stretch(1, "01-01", None),
        stretch(2, "01-01", "02-15"),
        stretch(2, "02-15", "03-01", state="cancelled", is_committed=False, ended_by="cancelled"),
        history=[asked],
    )
    made.run()
    february = made.row("gold.churn", "month", "2026-02-01")
    march = made.row("gold.churn", "month", "2026-03-01")
    assert (february["churned_subscriptions"], march["churned_subscriptions"]) == (0, 1)
    assert (february["churn_rate"], march["churn_rate"]) == (0, 0.5)
    requested = (february["cancellations_requested"], march["cancellations_requested"])
    assert requested == (1, 0), "Hotmart counts it when it was asked for"
    assert february["hotmart_rate"] == 1, "one request, and one subscription left on time"


def revolving(months: int, churned: int) -> Metrics:
    """Twenty customers of 100 each; in each of some months some leave and as many come."""
    rows = lives(20 - churned * months, "2025-08-01", None, 100, start=1000)
    for month in range(months):
        year, number = divmod(8 + month, 12)
        middle = f"{2025 + year}-{number + 1:02}-10"
        rows += lives(churned, "2025-08-01", middle, 100, start=10 * month)
        rows += lives(churned, middle, None, 100, start=2000 + 10 * month)
    return Metrics("03-15").put(*rows).run()


def test_a_customer_s_worth_is_what_it_pays_by_mean_churn_26():
    told = revolving(6, 1).lake.rows(
        "FROM gold.subscription_ltv WHERE currency = 'BRL' AND month = '2026-03-01'"
    )[0]
    assert (told["arpa_gross"], told["mean_churn"]) == (money(100), pytest.approx(0.05))
    assert told["ltv_gross"] == money(2000)


def test_without_churn_nobody_knows_how_long_a_customer_stays_27():
    told = revolving(0, 0).lake.rows(
        "FROM gold.subscription_ltv WHERE currency = 'BRL' AND month = '2026-03-01'"
    )[0]
    assert (told["mean_churn"], told["ltv_gross"]) == (0, None)


def test_a_rate_that_moves_is_no_expansion():
    """ChartMogul's row of its own for exchange rates (gold-metrics 1, 2.2)."""
    made = Metrics().put(
        stretch(1, "01-10", "02-10", 100, currency="EUR", home=5),
        stretch(1, "02-10", "03-10", 100, currency="EUR", home="5.5"),
        stretch(1, "03-10", None, 150, currency="EUR", home=5),
    )
    made.run()
    assert made.moved("month", "01-01", "EUR") == {"new": money(100)}
    assert made.moved("month", "02-01", "EUR") == {}
    assert made.moved("month", "03-01", "EUR") == {"expansion": money(50)}
    assert made.moved("month", "02-01", "home") == {"fx": money(50)}
    assert made.moved("month", "03-01", "home") == {"expansion": money(250), "fx": money(-50)}
