"""Levels, movements and churn of subscriptions, case by case, and what the step tells of them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from lake import cus, local
from metric_samples import Metrics, money, stretch

from crm_assets.gold import metrics
from crm_assets.words import AT_RISK

pytestmark = pytest.mark.slow


def test_a_term_that_ran_out_is_no_churn():
    made = Metrics().put(
        stretch(1, "01-01", "02-10", 50, ended_by="fim_de_ciclo"),
        stretch(2, "01-01", "02-20", 70, ended_by="cancelled"),
        stretch(3, "01-01", "02-20", 20, ended_by="fim_de_ciclo", who=2),
        stretch(4, "01-01", None, 10),
        stretch(5, "01-01", "02-11", 30, ended_by="fim_de_ciclo", who=4),
    )
    made.run()
    row = made.row("gold.mrr_movements", "month", "2026-02-01")
    assert (row["churned_subscriptions"], row["ended_subscriptions"]) == (1, 3)
    assert (row["churned_customers"], row["ended_customers"]) == (1, 1)
    assert (row["churn_gross"], row["ended_gross"], row["contraction_gross"]) == (
        money(90),
        money(50),
        money(30),
    )
    churn = made.row("gold.churn", "month", "2026-02-01")
    assert (churn["churn_rate"], churn["customer_churn_rate"]) == (1 / 5, 1 / 3)


def test_who_comes_and_goes_in_one_month_counts_in_both():
    """A seven-day guarantee would hide otherwise (gold-metrics 2.2)."""
    made = Metrics().put(stretch(1, "02-03", "02-09", 97, ended_by="refunded")).run()
    assert made.moved("month", "2026-02-01") == {"new": money(97), "churn": money(97)}
    week = made.row("gold.mrr_movements", "week", "2026-02-02")
    assert (week["new_subscriptions"], week["churned_subscriptions"]) == (1, 0)
    week = made.row("gold.mrr_movements", "week", "2026-02-09")
    assert (week["new_subscriptions"], week["churned_subscriptions"]) == (0, 1)


def test_a_trial_is_nothing_until_it_is_paid():
    made = Metrics().put(stretch(1, "02-01", "02-08", state="trial"), stretch(1, "02-08", None, 97))
    made.run()
    assert made.level("02-07")["subscriptions"] == 0
    assert made.level("02-07")["trial"] == 1
    assert made.moved("day", "2026-02-08") == {"new": money(97)}


def test_late_and_cancelled_are_at_risk_and_only_cancelled_is_not_committed():
    told = (
        Metrics()
        .put(
            stretch(1, "02-01", None, 10),
            stretch(2, "02-01", None, 20, state="delayed"),
            stretch(3, "02-01", None, 40, state="cancelled", is_committed=False, net=30),
        )
        .run()
        .level("02-02")
    )
    assert (told["active"], told["delayed"], told["cancelled_paid"], told["at_risk"]) == (
        1,
        1,
        1,
        2,
    )
    assert (told["mrr_gross"], told["committed_mrr_gross"]) == (money(70), money(30))
    assert (told["at_risk_mrr_gross"], told["at_risk_mrr_net"]) == (money(60), money(50))
    assert (told["arr_gross"], told["arr_net"]) == (money(840), money(720))


def test_each_currency_is_a_book_and_the_house_has_one_for_all():
    made = Metrics().put(
        stretch(1, "02-01", None, 100),
        stretch(2, "02-01", None, 10, currency="USD", home=5, who=1),
        stretch(3, "02-01", None, 10, currency="EUR", home=None),
        stretch(4, "02-01", None, 10, currency=None, home=None),
    )
    made.run()
    levels = {
        book: (told["customers"], told["mrr_gross"], told["unconverted"])
        for book in ("BRL", "USD", "EUR", "XXX", "home")
        if (told := made.level("02-02", book))
    }
    assert levels == {
        "BRL": (1, money(100), 0),
        "USD": (1, money(10), 0),
        "EUR": (1, money(10), 0),
        "XXX": (1, money(10), 0),
        "home": (3, money(150), 2),
    }


def test_a_subscription_without_a_known_price_counts_and_is_told():
    unknown = dict.fromkeys(("mrr_gross", "mrr_net", "mrr_gross_home", "mrr_net_home"))
    made = Metrics().put(
        stretch(1, "02-01", None, 100),
        stretch(2, "02-01", "02-20", **unknown),
        stretch(3, "02-01", None, currency=None, **unknown),
        stretch(4, "02-01", None, **unknown | {"state": "trial"}),
        stretch(5, "02-01", None, 0),
    )
    made.run()

    def told(day, book):
        level = made.level(day, book)
        return level["subscriptions"], level["unpriced"], level["mrr_gross"]

    assert told("02-02", "BRL") == (3, 1, money(100))
    assert told("02-02", "XXX") == (1, 1, money(0))
    assert told("02-02", "home") == (4, 2, money(100)), "a price of zero is known"
    assert told("02-20", "home") == (3, 1, money(100))
    made.on("03-16").run("again")
    assert made.lake.rows("FROM gold.metric_changes") == []


def test_a_customer_who_changes_currency_leaves_one_book_and_stays_in_the_house():
    made = Metrics().put(
        stretch(1, "01-10", "02-10", 100),
        stretch(2, "02-10", None, 30, currency="USD", home=5, who=1),
    )
    made.run()
    assert made.moved("day", "2026-02-10", "BRL") == {"churn": money(100)}
    assert made.moved("day", "2026-02-10", "USD") == {"new": money(30)}
    assert made.moved("day", "2026-02-10", "home") == {"expansion": money(50)}
    assert made.row("gold.churn", "month", "2026-02-01", "home")["customer_churn_rate"] == 0


def test_a_free_plan_has_subscriptions_and_no_paying_customer():
    made = Metrics().put(stretch(1, "02-01", "02-10", 0), stretch(1, "02-10", None, 50)).run()
    assert (made.level("02-02")["subscriptions"], made.level("02-02")["customers"]) == (1, 0)
    assert made.moved("day", "2026-02-10") == {"new": money(50)}
    assert made.row("gold.mrr_movements", "day", "2026-02-10")["new_subscriptions"] == 0


def test_the_present_period_is_marked():
    made = Metrics("03-15").put(stretch(1, "01-01", None)).run()
    partial = made.lake.rows(
        "SELECT grain, period_start FROM gold.mrr_movements WHERE is_partial AND currency = 'BRL'"
    )
    assert {(row["grain"], row["period_start"]) for row in partial} == {
        ("day", date(2026, 3, 15)),
        ("week", date(2026, 3, 9)),
        ("month", date(2026, 3, 1)),
    }, "the fifteenth was a Sunday: its week has not ended either"


def test_a_late_fact_is_listed_with_what_was_and_what_is():
    made = Metrics("03-15").put(stretch(1, "01-01", None, 100), stretch(2, "03-10", None, 10))
    made.run("first")
    assert made.lake.rows("FROM gold.metric_changes") == []
    made.on("03-16").put(stretch(1, "01-01", "03-13", 100), stretch(2, "03-10", None, 10))
    made.run("second")
    listed = made.lake.rows(
        "FROM gold.metric_changes "
        "WHERE currency = 'BRL' AND metric = 'subscription_metrics.mrr_gross'"
    )
    assert [(r["grain"], r["period_start"], r["was"], r["now"], r["run_id"]) for r in listed] == [
        ("day", date(2026, 3, day), money(110), money(10), "second") for day in (13, 14)
    ]
    moved = made.lake.rows(
        "SELECT DISTINCT metric, grain, period_start FROM gold.metric_changes "
        "WHERE starts_with(metric, 'mrr_movements') AND currency = 'home'"
    )
    assert {row["metric"].split(".")[1] for row in moved} == {
        "churn_gross", "churn_net", "churned_customers", "churned_subscriptions",
    }  # fmt: skip
    assert {(row["grain"], row["period_start"]) for row in moved} == {("day", date(2026, 3, 13))}
    made.run("third")
    assert made.lake.value("SELECT count(*) FROM gold.metric_changes WHERE run_id = 'third'") == 0


def test_nothing_changed_in_what_nobody_published():
    """Neither the first load nor an older history that arrives later is a change."""
    made = Metrics("03-15").put(stretch(1, "02-01", None)).run("first")
    made.put(stretch(1, "02-01", None), stretch(2, "01-01", "01-20")).run("second")
    assert made.lake.rows("FROM gold.metric_changes") == []


def test_a_clock_set_back_lists_nothing():
    made = Metrics("03-15").put(stretch(1, "01-01", "03-10")).run("first")
    made.on("02-10").run("replay")
    assert made.lake.rows("FROM gold.metric_changes") == []
    assert made.level("02-11") == {}


def test_a_house_without_subscriptions_has_no_figures():
    made = Metrics().run()
    for table in metrics.TABLES:
        assert made.lake.value(f"SELECT count(*) FROM {table.name}") == 0
    told = metrics._write(made.site, [made.today], "run", made.lake.tx)
    assert told["gold.subscription_metrics"]["dagster/row_count"] == 0


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("UPDATE gold.mrr_movements SET new_net = new_net + 0.01", metrics._movements_add_up),
        (
            "UPDATE gold.mrr_movements SET churned_customers = 9 WHERE grain = 'week'",
            metrics._movements_add_up,
        ),
        (
            "DELETE FROM gold.mrr_movements WHERE period_start = '2026-02-05'",
            metrics._closings_match,
        ),
        ("UPDATE gold.subscription_metrics SET mrr_gross = 1", metrics._closings_match),
        ("UPDATE gold.subscription_metrics SET customers = 1", metrics._closings_match),
    ],
)
def test_a_planted_difference_fails(damage, check):
    made = Metrics().put(stretch(1, "02-01", None), stretch(2, "02-03", None)).run()
    made.lake.tx.execute(damage)
    assert not check(made.lake.tx).passed


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE gold.subscription_metrics SET subscriptions = 3 WHERE currency = 'BRL'",
        "DELETE FROM gold.subscription_metrics WHERE currency = 'home'",
    ],
)
def test_a_day_that_its_periods_do_not_give_fails(damage):
    made = Metrics().put(stretch(1, "02-01", None)).run()
    made.lake.tx.execute(damage)
    assert not metrics._recounted(made.site, made.lake.tx).passed


def test_the_step_tells_figures_that_can_be_drawn():
    made = Metrics("03-15").put(
        stretch(1, "01-01", None, 100, net=80), stretch(2, "01-01", "02-10", 100, net=80)
    )
    made.make()
    days = [date(2026, 3, 14), date(2026, 3, 15)]
    told = metrics._write(made.site, days, "run", made.lake.tx)
    levels = told["gold.subscription_metrics"]
    assert levels.pop("dagster/row_count") == 4, "two days of two books"
    assert "hoje 80 de MRR líquido" in levels.pop("MRR líquido por semana").value
    assert levels == {
        "assinaturas": 1.0,
        "em trial": 0.0,
        AT_RISK: 0.0,
        "MRR bruto": 100.0,
        "MRR líquido": 80.0,
        "MRR líquido comprometido": 80.0,
        "sem conversão": 0.0,
        "sem preço conhecido": 0.0,
    }
    assert told["gold.churn"] == {
        "churn do último mês fechado (%)": 50.0,
        "churn de receita (%)": 50.0,
        "taxa da Hotmart (%)": 0.0,
    }
    assert "saiu" in told["gold.mrr_movements"]["movimentos por semana"].value


def charge(number, paid, customer=1, gross="100.00", **more):
    """A paid recurrence."""
    amount = Decimal(gross)
    return {
        "sale_id": f"hotmart:HP{number}",
        "order_id": f"HP{number}",
        "customer_id": cus(customer),
        "paid_at": local(paid),
        "gross": amount,
        "net": amount * Decimal("0.9"),
        "net_currency": "BRL",
        "is_subscription": True,
        **more,
    }


def test_historic_worth_leaves_out_what_was_given_back():
    refunded = {"is_refunded": True, "is_paid": False, "status_class": "reversed"}
    made = Metrics("03-15").put(
        stretch(1, "01-05", None),
        sales=[
            charge(1, "2026-01-05 10:00"),
            charge(2, "2026-02-05 10:00"),
            charge(3, "2026-01-06 10:00", 2, **refunded, refunded_at=local("2026-02-07 09:00")),
            charge(4, "2026-01-06 10:00", 3, **refunded),
            charge(5, "2026-01-06 10:00", 4, status_class="partial", is_paid=False),
            charge(6, "2026-01-06 10:00", 5, payment_mode="SMART_INSTALLMENT"),
            charge(7, "2026-01-06 10:00", 6, is_subscription=False),
            charge(8, "2026-03-16 10:00"),
        ],
    )
    made.run()
    rows = made.lake.rows("FROM gold.subscription_ltv WHERE currency = 'BRL' ORDER BY month")
    told = [
        (r["paying_customers_ever"], r["historic_gross"], r["historic_ltv_gross"]) for r in rows
    ]
    assert told == [
        (2, money(200), money(100)),
        (1, money(200), money(200)),
        (1, money(200), money(200)),
    ]
    assert rows[0]["historic_net"] == money(180)
