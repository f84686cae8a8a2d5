"""What a recurrence is worth a month, and by which plan, currency and setting (rules 6.1)."""

from __future__ import annotations

from decimal import Decimal

from subscription_samples import (
    CODE,
    DELAY,
    MONTHLY,
    SWITCH,
    event,
    paid,
    plan,
    reading,
    tell,
    tell_many,
)

MONTHS = [
    (7, "50.00", "216.67"),
    (7, "9.99", "43.29"),
    (30, "19.90", "19.90"),
    (60, "0.01", "0.01"),
    (60, "99.99", "50.00"),
    (90, "90.00", "30.00"),
    (90, "100.00", "33.33"),
    (180, "16.05", "2.68"),
    (360, "2000.00", "166.67"),
    (360, "600.00", "50.00"),
    (360, "0.00", "0.00"),
    (360, "99999999999.99", "8333333333.33"),
]


def test_a_month_is_rounded_once_half_away_from_zero():
    told = tell_many(
        "2026-01-06",
        {
            f"{base} in {days}": [paid("2026-01-05", base=base), plan(period_days=days)]
            for days, base, _ in MONTHS
        },
    )
    assert [life.periods[0][3] for life in told.values()] == [monthly for *_, monthly in MONTHS]


def test_foreign_money_takes_the_rate_of_its_recurrence():
    rate = {"currency": "USD", "net_currency": "USD", "net": Decimal("40.00")}
    told = tell(
        "2026-03-10",
        paid(
            "2026-01-05", base="50.00", value=Decimal("250.00"), net_value=Decimal("200.00"), **rate
        ),
        paid(
            "2026-02-05", 2, "50.00", value=Decimal("275.00"), net_value=Decimal("220.00"), **rate
        ),
        paid("2026-03-05", 3, "50.00", value=None, net_value=None, **rate),
        plan(price_currency="USD"),
    )
    columns = "currency, mrr_gross, mrr_net, mrr_gross_home, mrr_net_home"
    rows = told.lake.tx.read(f"SELECT {columns} FROM silver.subscription_periods ORDER BY from_day")
    usd = ("USD", Decimal("50.00"), Decimal("40.00"))
    assert rows.rows() == [
        (*usd, Decimal("250.00"), Decimal("200.00")),
        (*usd, Decimal("275.00"), Decimal("220.00")),
        (*usd, None, None),
    ]


def test_the_base_and_not_the_interest_is_converted():
    told = tell(
        "2026-01-10",
        paid(
            "2026-01-05",
            base="900.00",
            gross=Decimal("1000.00"),
            currency="USD",
            value=Decimal("5000.00"),
            net_value=None,
        ),
        plan(period_days=360),
    )
    assert told.lake.column("SELECT mrr_gross_home FROM silver.subscription_periods") == [
        Decimal("375.00")
    ]


def test_a_switch_changes_the_plan_and_the_period_of_what_is_paid_after_it():
    yearly = {"new_plan_id": "p2", "new_plan_name": "Anual", "new_offer_code": "of2"}
    other = reading("2026-01-01", code="OTHER", plan_id="p2", plan_name="Anual", period_days=360)
    facts = [
        paid("2026-01-05"),
        paid("2026-02-05", 2),
        event(SWITCH, "2026-02-20", plan_id="p1", plan_name="Mensal", **yearly),
        paid("2026-03-05", 3, "960.00"),
        reading("2026-03-06", plan_id="p2", plan_name="Anual", period_days=360),
        other,
        reading("2026-01-01", code="THIRD"),
    ]
    told = tell("2026-03-10", *facts)
    assert told.periods == [
        ("2026-01-05", "2026-03-05", "active", "100.00", None),
        ("2026-03-05", None, "active", "80.00", None),
    ]
    before = tell("2026-02-25", *facts[:3], *facts[5:])
    columns = "SELECT plan_id, plan_name, offer_code FROM silver.subscriptions"
    assert before.lake.rows(f"{columns} WHERE subscriber_code = ?", [CODE]) == [
        {"plan_id": "p2", "plan_name": "Anual", "offer_code": "of2"}
    ]
    assert before.periods[-1][3] == "100.00"  # until the new plan is paid


def test_the_plan_that_a_purchase_names_is_its_own():
    told = tell(
        "2026-03-10",
        paid("2026-01-05", transaction="HPA"),
        event("PURCHASE_APPROVED", "2026-01-05", transaction="HPA", plan_name="Mensal"),
        paid("2026-03-05", 2, "960.00", transaction="HPB"),
        event("PURCHASE_APPROVED", "2026-03-05", transaction="HPB", plan_name="Anual"),
        reading("2026-03-06", plan_id="p2", plan_name="Anual", period_days=360),
        reading("2026-01-01", code="OTHER"),
    )
    assert [monthly for *_, monthly, _ in told.periods][:1] == ["100.00"]
    assert told.periods[-1] == ("2026-03-05", None, "active", "80.00", None)


def test_the_delay_that_counts_is_a_setting():
    told = tell(
        "2026-03-10", paid("2026-01-05"), event(DELAY, "2026-02-05"), MONTHLY, delay_days=10
    )
    assert told.periods[-1] == ("2026-02-05", "2026-02-15", "delayed", "100.00", "delayed")
