"""Lives of subscriptions, told by their facts: the days that count, and every status (rules 6)."""

from __future__ import annotations

from decimal import Decimal
from functools import cache, partial

import pytest
from lake import Lake, cus, local, site
from subscription_samples import CODE, event, noon, paid, reading, tell, tell_many, unpaid

from crm_assets.checks.contract import check_table
from crm_assets.checks.subscriptions import SubscriptionReadings
from crm_assets.silver.subscriptions import _inside_life, _no_overlap, _one_open_status, _write

CANCEL, DELAY = "SUBSCRIPTION_CANCELLATION", "PURCHASE_DELAYED"
SWITCH, MOVE = "SWITCH_PLAN", "UPDATE_SUBSCRIPTION_CHARGE_DATE"


def cancel(day, until, **more):
    return event(CANCEL, day, next_charge_at=noon(until), **more)


def plan(**more):
    """The plan of the subscription, known before it began; of its status nothing is said."""
    return reading("2025-12-31", status=None, **more)


def approved(day, number, until):
    """A paid recurrence of which only a webhook tells."""
    sale = paid(day, number)
    told = event("PURCHASE_APPROVED", day, transaction=sale["order_id"], next_charge_at=noon(until))
    return [sale, told]


MONTHLY = plan()
STORIES = {
    "renewals of one value are one stretch": (
        "2026-03-10",
        [paid("2026-01-05"), paid("2026-02-05", 2), paid("2026-03-05", 3), MONTHLY],
        [("2026-01-05", None, "active", "100.00", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "a dearer renewal begins another": (
        "2026-03-10",
        [paid("2026-01-05"), paid("2026-02-05", 2, "120.00"), MONTHLY],
        [
            ("2026-01-05", "2026-02-05", "active", "100.00", None),
            ("2026-02-05", "2026-03-08", "active", "120.00", None),
            ("2026-03-08", None, "delayed", "120.00", None),
        ],
        [("ACTIVE", "2026-01-05")],
    ),
    "a trial is worth nothing until it is paid": (
        "2026-01-20",
        [
            paid("2026-01-12"),
            plan(is_trial=True, accession_at=noon("2026-01-05")),
        ],
        [
            ("2026-01-05", "2026-01-12", "trial", "0.00", None),
            ("2026-01-12", None, "active", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05")],
    ),
    "a trial cancelled runs to its end": (
        "2026-01-20",
        [
            reading(
                "2026-01-19",
                "CANCELLED_BY_CUSTOMER",
                is_trial=True,
                accession_at=noon("2026-01-05"),
                cancel_requested_at=noon("2026-01-08"),
                next_charge_at=noon("2026-01-12"),
            )
        ],
        [
            ("2026-01-05", "2026-01-08", "trial", "0.00", None),
            ("2026-01-08", "2026-01-12", "trial (pedido)", "0.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED_BY_CUSTOMER", "2026-01-08")],
    ),
    "late and paid again": (
        "2026-02-20",
        [paid("2026-01-05"), event(DELAY, "2026-02-05"), paid("2026-02-15", 2), MONTHLY],
        [
            ("2026-01-05", "2026-02-05", "active", "100.00", None),
            ("2026-02-05", "2026-02-15", "delayed", "100.00", None),
            ("2026-02-15", None, "active", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05"), ("DELAYED", "2026-02-05"), ("ACTIVE", "2026-02-15")],
    ),
    "each retry tells of the same delay": (
        "2026-04-10",
        [
            paid("2026-01-05"),
            *(event(DELAY, f"2026-02-{day:02}", event_id=f"d{day}") for day in (5, 6, 9)),
            unpaid("2026-02-05", "late"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-02-05", "active", "100.00", None),
            ("2026-02-05", "2026-03-07", "delayed", "100.00", "delayed"),
        ],
        [("ACTIVE", "2026-01-05"), ("DELAYED", "2026-02-05")],
    ),
    "nothing heard after the due day is late after three days": (
        "2026-02-10",
        [paid("2026-01-05"), MONTHLY],
        [
            ("2026-01-05", "2026-02-08", "active", "100.00", None),
            ("2026-02-08", None, "delayed", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05")],
    ),
    "late for thirty days and back": (
        "2026-05-10",
        [paid("2026-01-05"), event(DELAY, "2026-02-05"), paid("2026-05-01", 2), MONTHLY],
        [
            ("2026-01-05", "2026-02-05", "active", "100.00", None),
            ("2026-02-05", "2026-03-07", "delayed", "100.00", "delayed"),
            ("2026-05-01", None, "active", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05"), ("DELAYED", "2026-02-05"), ("ACTIVE", "2026-05-01")],
    ),
    "cancelled, it counts as long as it is paid": (
        "2026-03-10",
        [paid("2026-01-05"), cancel("2026-01-20", "2026-02-05"), MONTHLY],
        [
            ("2026-01-05", "2026-01-20", "active", "100.00", None),
            ("2026-01-20", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-20")],
    ),
    "the API says by whom": (
        "2026-03-10",
        [
            paid("2026-01-05"),
            cancel("2026-01-20", "2026-02-05"),
            reading(
                "2026-01-21",
                "CANCELLED_BY_SELLER",
                cancel_requested_at=noon("2026-01-20"),
                next_charge_at=noon("2026-02-05"),
            ),
        ],
        [
            ("2026-01-05", "2026-01-20", "active", "100.00", None),
            ("2026-01-20", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED_BY_SELLER", "2026-01-20")],
    ),
    "cancelled while late, it ends at once": (
        "2026-03-10",
        [
            paid("2026-01-05"),
            event(DELAY, "2026-02-05"),
            cancel("2026-02-12", "2026-02-05"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-02-05", "active", "100.00", None),
            ("2026-02-05", "2026-02-12", "delayed", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("DELAYED", "2026-02-05"), ("CANCELLED", "2026-02-12")],
    ),
    "cancelled and reactivated without a charge": (
        "2026-02-01",
        [paid("2026-01-05"), cancel("2026-01-10", "2026-02-05"), reading("2026-01-20")],
        [
            ("2026-01-05", "2026-01-10", "active", "100.00", None),
            ("2026-01-10", "2026-01-20", "cancelled (pedido)", "100.00", None),
            ("2026-01-20", None, "active", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10"), ("ACTIVE", "2026-01-20")],
    ),
    "cancelled and back by a payment": (
        "2026-04-20",
        [
            paid("2026-01-05"),
            cancel("2026-01-10", "2026-02-05"),
            paid("2026-04-01", 2, "80.00"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-01-10", "active", "100.00", None),
            ("2026-01-10", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
            ("2026-04-01", None, "active", "80.00", None),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10"), ("ACTIVE", "2026-04-01")],
    ),
    "a late failure of a charge does not undo a cancellation": (
        "2026-02-20",
        [
            paid("2026-01-05"),
            cancel("2026-01-10", "2026-02-05"),
            event(DELAY, "2026-02-06"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-01-10", "active", "100.00", None),
            ("2026-01-10", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10")],
    ),
    "the end of the guarantee does not undo one either": (
        "2026-02-20",
        [
            paid("2026-01-05"),
            cancel("2026-01-10", "2026-02-05"),
            event("PURCHASE_COMPLETE", "2026-01-15", transaction="HP1"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-01-10", "active", "100.00", None),
            ("2026-01-10", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10")],
    ),
    "the first recurrence refunded": (
        "2026-02-20",
        [
            paid("2026-01-05", refunded="2026-01-10"),
            cancel("2026-01-11", "2026-02-05"),
            MONTHLY,
        ],
        [("2026-01-05", "2026-01-10", "active", "100.00", "refunded")],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10")],
    ),
    "the first one refunded after the second was paid": (
        "2026-02-20",
        [paid("2026-01-05", refunded="2026-02-08"), paid("2026-02-05", 2), MONTHLY],
        [("2026-01-05", "2026-02-08", "active", "100.00", "refunded")],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-02-08")],
    ),
    "the present recurrence refunded, and the next one paid": (
        "2026-03-20",
        [
            paid("2026-01-05"),
            paid("2026-02-05", 2, refunded="2026-02-10"),
            paid("2026-03-05", 3),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-02-10", "active", "100.00", "refunded"),
            ("2026-03-05", None, "active", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05")],
    ),
    "an old recurrence refunded changes no day": (
        "2026-03-20",
        [
            paid("2026-01-05"),
            paid("2026-02-05", 2, refunded="2026-03-10"),
            paid("2026-03-05", 3),
            MONTHLY,
        ],
        [("2026-01-05", None, "active", "100.00", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "refunded at a date nobody knows": (
        "2026-03-20",
        [paid("2026-01-05", refunded="2026-01-10", refunded_at=None), MONTHLY],
        [],
        [],
    ),
    "of another's transaction nothing follows": (
        "2026-01-20",
        [
            paid("2026-01-05"),
            event("PURCHASE_CANCELED", "2026-01-10", transaction="HPX"),
            event("PURCHASE_EXPIRED", "2026-01-11", transaction="HPY"),
            unpaid("2026-01-10", "failed"),
            MONTHLY,
        ],
        [("2026-01-05", None, "active", "100.00", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "a year": (
        "2027-02-20",
        [paid("2026-01-05", base="1000.00"), plan(period_days=360)],
        [
            ("2026-01-05", "2027-01-08", "active", "83.33", None),
            ("2027-01-08", "2027-02-04", "delayed", "83.33", "delayed"),
        ],
        [("ACTIVE", "2026-01-05")],
    ),
    "weeks": (
        "2026-01-20",
        [
            paid("2026-01-05", base="50.00"),
            paid("2026-01-12", 2, "50.00"),
            paid("2026-01-19", 3, "50.00"),
            plan(period_days=7),
        ],
        [("2026-01-05", None, "active", "216.67", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "a plan of two charges ends": (
        "2026-04-20",
        [
            paid("2026-01-05"),
            paid("2026-02-05", 2),
            plan(max_charge_cycles=2),
        ],
        [("2026-01-05", "2026-03-05", "active", "100.00", "fim_de_ciclo")],
        [("ACTIVE", "2026-01-05"), ("OVERDUE", "2026-03-05")],
    ),
    "the API says that the term is over": (
        "2026-04-20",
        [paid("2026-01-05"), reading("2026-02-06", "OVERDUE")],
        [("2026-01-05", "2026-02-06", "active", "100.00", "fim_de_ciclo")],
        [("ACTIVE", "2026-01-05"), ("OVERDUE", "2026-02-06")],
    ),
    "another charge day": (
        "2026-02-25",
        [
            paid("2026-01-05"),
            event(MOVE, "2026-01-20", next_charge_at=noon("2026-02-20"), new_charge_day=20),
            paid("2026-02-20", 2),
            MONTHLY,
        ],
        [("2026-01-05", None, "active", "100.00", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "the API knows the next charge better than the calendar": (
        "2026-02-20",
        [paid("2026-01-05"), reading("2026-01-06", next_charge_at=noon("2026-02-28"))],
        [("2026-01-05", None, "active", "100.00", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "but not of a recurrence that was paid after it was read": (
        "2026-02-20",
        [
            paid("2026-01-05"),
            paid("2026-01-30", 2),
            reading("2026-01-06", next_charge_at=noon("2026-02-05")),
        ],
        [("2026-01-05", None, "active", "100.00", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "a webhook alone tells the period by the next charge": (
        "2026-05-20",
        [*approved("2026-01-05", 1, "2026-04-05"), *approved("2026-04-05", 2, "2026-07-05")],
        [("2026-01-05", None, "active", "33.33", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "of no known period, it is known and worth nothing yet": (
        "2026-01-20",
        [paid("2026-01-05")],
        [],
        [("ACTIVE", "2026-01-05")],
    ),
    "never paid": (
        "2026-01-20",
        [unpaid("2026-01-05", "pending", 1), reading("2026-01-19", "INACTIVE")],
        [],
        [("STARTED", "2026-01-05"), ("INACTIVE", "2026-01-19")],
    ),
    "running since before the first sale that is read": (
        "2026-01-20",
        [
            reading(
                "2026-01-19",
                period_days=360,
                accession_at=noon("2020-05-05"),
                next_charge_at=noon("2026-05-05"),
                price_value=Decimal("120.00"),
            )
        ],
        [("2025-05-05", None, "active", "10.00", None)],
        [("ACTIVE", "2025-05-05")],
    ),
    "refunded when nobody knows, it is not supposed to have run": (
        "2026-01-20",
        [
            paid("2026-01-05", refunded="2026-01-10", refunded_at=None),
            reading(
                "2026-01-19",
                "CANCELLED_BY_CUSTOMER",
                accession_at=noon("2026-01-05"),
                cancel_requested_at=noon("2026-01-10"),
                next_charge_at=noon("2026-02-05"),
            ),
        ],
        [],
        [("CANCELLED_BY_CUSTOMER", "2026-01-10")],
    ),
    "a trial of long ago is over": (
        "2026-01-20",
        [
            reading(
                "2026-01-19",
                is_trial=True,
                accession_at=noon("2025-01-02"),
                next_charge_at=noon("2026-02-05"),
                price_value=Decimal("70.00"),
            )
        ],
        [("2026-01-05", None, "active", "70.00", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "an old subscription refunded does not end the new one": (
        "2026-03-20",
        [
            paid("2026-01-05", refunded="2026-03-10"),
            cancel("2026-01-20", "2026-02-05"),
            paid("2026-03-05", 1, transaction="HPNEW"),
            plan(),
        ],
        [
            ("2026-01-05", "2026-01-20", "active", "100.00", None),
            ("2026-01-20", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
            ("2026-03-05", None, "active", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-20"), ("ACTIVE", "2026-03-05")],
    ),
    "instalments of one order are no subscription": (
        "2026-02-20",
        [
            paid("2026-01-05", payment_mode="SMART_INSTALLMENT"),
            paid("2026-02-05", 2, payment_mode="SMART_INSTALLMENT"),
        ],
        [],
        [],
    ),
    "the day is the tenant's": (
        "2026-01-20",
        [paid("2026-01-05", paid_at=local("2026-01-05 23:59")), MONTHLY],
        [("2026-01-05", None, "active", "100.00", None)],
        [("ACTIVE", "2026-01-05")],
    ),
}


@cache
def told_on(today):
    """All stories of a day, told at once."""
    return tell_many(
        today, {name: story[1] for name, story in STORIES.items() if story[0] == today}
    )


@pytest.mark.parametrize("story", STORIES)
def test_what_counts_and_what_it_is(story):
    today, _, periods, history = STORIES[story]
    told = told_on(today)[story]
    assert told.periods == periods
    assert told.history == history


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


def test_readings_are_kept_so_that_the_api_need_not_repeat_itself():
    lake = tell("2026-02-01", paid("2026-01-05"), reading("2026-01-31")).lake
    gone = {"cancel_requested_at": noon("2026-01-31"), "next_charge_at": noon("2026-02-05")}
    sale = paid("2026-01-05")
    tell("2026-02-02", sale, reading("2026-02-01", "CANCELLED_BY_CUSTOMER", **gone), lake=lake)
    tell("2026-02-03", sale, reading("2026-02-02", "CANCELLED_BY_CUSTOMER", **gone), lake=lake)
    told = tell("2026-02-04", sale, reading("2026-02-03"), lake=lake)
    assert told.history == [
        ("ACTIVE", "2026-01-05"),
        ("CANCELLED_BY_CUSTOMER", "2026-01-31"),
        ("ACTIVE", "2026-02-03"),
    ]
    assert told.lake.value("SELECT count(*) FROM silver.subscription_readings") == 3


def test_an_answer_after_an_event_settles_what_holds():
    lake = tell("2026-02-06", paid("2026-01-05"), reading("2026-02-04")).lake
    facts = [paid("2026-01-05"), event(DELAY, "2026-02-05"), reading("2026-02-07")]
    told = tell("2026-02-08", *facts, lake=lake)
    assert told.history[-2:] == [("DELAYED", "2026-02-05"), ("ACTIVE", "2026-02-07")]


SEGMENTS = [
    ("2026-01-20", [paid("2026-01-05"), MONTHLY], "ativa", False, False, False),
    (
        "2026-02-10",
        [paid("2026-01-05"), event(DELAY, "2026-02-05"), MONTHLY],
        "em_risco",
        True,
        True,
        False,
    ),
    (
        "2026-02-04",
        [paid("2026-01-20"), event(DELAY, "2026-02-03"), MONTHLY],
        "em_risco",
        True,
        False,
        False,
    ),
    (
        "2026-01-20",
        [paid("2026-01-05"), cancel("2026-01-10", "2026-02-05"), MONTHLY],
        "cancelada",
        True,
        False,
        False,
    ),
    (
        "2026-02-05",
        [paid("2026-01-05"), cancel("2026-01-10", "2026-02-05"), MONTHLY],
        "cancelada",
        False,
        False,
        False,
    ),
    (
        "2027-01-11",
        [paid("2026-01-05"), cancel("2026-01-10", "2026-02-05"), MONTHLY],
        "cancelada",
        False,
        False,
        True,
    ),
    (
        "2026-01-06",
        [
            reading(
                "2026-01-06",
                is_trial=True,
                accession_at=noon("2026-01-05"),
                next_charge_at=noon("2026-01-12"),
            )
        ],
        "trial",
        False,
        False,
        False,
    ),
    ("2026-01-06", [reading("2026-01-06", "INACTIVE")], "outra", False, False, False),
    ("2026-02-10", [paid("2026-01-05"), plan()], "em_risco", True, True, False),
    ("2026-01-06", [reading("2026-01-06", "PAUSED")], "outra", False, False, False),
]


def test_segments_and_risk():
    for today in {case[0] for case in SEGMENTS}:
        cases = {f"S{at}": case for at, case in enumerate(SEGMENTS) if case[0] == today}
        told = tell_many(today, {name: case[1] for name, case in cases.items()})
        for name, (_, _, *expected) in cases.items():
            one = told[name].one
            flags = (one["is_at_risk"], one["is_at_risk_inactive"], one["is_archived"])
            assert [one["segment"], *flags] == expected, name


def test_a_visit_to_the_club_keeps_a_late_one_from_being_inactive():
    visit = event("CLUB_FIRST_ACCESS", "2026-02-08", code=None, record_id="hotmart:c")
    sale = paid("2026-01-05", customer_id=cus(7))
    one = tell("2026-02-10", sale, event(DELAY, "2026-02-05"), visit, MONTHLY).one
    assert (one["is_at_risk"], one["is_at_risk_inactive"]) == (True, False)
    assert f"{one['last_activity_at']:%Y-%m-%d}" == "2026-02-08"


def test_whose_it_is_without_any_sale():
    by_record = event(CANCEL, "2026-01-10", record_id="hotmart:c")
    assert tell("2026-01-20", by_record).one["customer_id"] == cus(7)
    by_mail = reading("2026-01-10", subscriber_email=" Ana@Example.com ")
    assert tell("2026-01-20", by_mail).one["customer_id"] == cus(7)
    assert tell("2026-01-20", reading("2026-01-10")).one["customer_id"] is None


def test_the_erased_keep_their_figures_under_the_number_of_the_subscription():
    lake = Lake()
    lake.bronze(
        "bronze.hotmart_subscription_transactions",
        {
            "transaction": "HP1",
            "subscription_id": "77",
            "period_days": 30,
            "extracted_at": noon("2026-01-06"),
        },
    )
    lake.tx.execute(
        "CREATE OR REPLACE TABLE silver.contact_records (record_id VARCHAR, email_key VARCHAR)"
    )
    told = tell(
        "2026-01-10", paid("2026-01-05", transaction="HP1", subscriber_code=None), lake=lake
    )
    assert told.one["subscriber_code"] == "assinatura:77"
    assert told.periods == [("2026-01-05", None, "active", "100.00", None)]


def test_what_the_step_tells_and_keeps():
    place = site("2026-03-15T12:00:00-03:00")
    lake = tell_many(
        "2026-03-15",
        {
            "A": [paid("2026-03-05"), plan()],
            "B": [paid("2026-03-01"), cancel("2026-03-02", "2026-04-01"), plan()],
            "C": [paid("2026-03-01", customer_id=None)],
        },
    )["A"].lake
    told = _write(place, lake.tx)
    assert told["silver.subscriptions"] == {
        "ativas": 2,
        "em trial": 0,
        "em risco": 0,
        "canceladas": 1,
        "outras": 0,
        "sem cliente": 1,
        "sem periodicidade (fora da receita)": 1,
        "arquivadas": 0,
        "conhecidas só por eventos": 1,
    }
    assert told["silver.subscription_history"] == {
        "nos últimos 30 dias: ACTIVE": 3,
        "nos últimos 30 dias: CANCELLED": 1,
    }
    assert told["silver.subscription_periods"]["receita recorrente por mês (BRL)"] == "200.00"
    assert _inside_life(place, lake.tx).passed
    assert check_table(lake.tx, "silver.subscription_readings", SubscriptionReadings).passed


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (_no_overlap, "UPDATE silver.subscription_periods SET to_day = from_day"),
        (_no_overlap, "INSERT INTO silver.subscription_periods FROM silver.subscription_periods"),
        (_one_open_status, "UPDATE silver.subscription_history SET valid_to = valid_from"),
        (
            _one_open_status,
            "INSERT INTO silver.subscription_history BY NAME "
            "SELECT * REPLACE (valid_from + INTERVAL 1 DAY AS valid_from) "
            "FROM silver.subscription_history",
        ),
        (
            partial(_inside_life, site("2026-03-15T12:00:00-03:00")),
            "UPDATE silver.subscriptions SET started_at = '2026-03-06 12:00:00-03'",
        ),
        (
            partial(_inside_life, site("2026-03-15T12:00:00-03:00")),
            "UPDATE silver.subscription_periods SET to_day = DATE '2026-03-16'",
        ),
    ],
)
def test_a_broken_table_is_not_committed(check, broken):
    lake = tell("2026-03-15", paid("2026-03-05"), plan()).lake
    assert check(lake.tx).passed
    lake.tx.execute(broken)
    assert not check(lake.tx).passed
