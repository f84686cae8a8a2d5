"""The subscriptions step: segments, whose they are, what it keeps, tells and refuses to commit."""

from __future__ import annotations

from functools import partial

import pytest
from lake import Lake, cus, site
from subscription_samples import (
    CANCEL,
    DELAY,
    MONTHLY,
    cancel,
    event,
    noon,
    paid,
    plan,
    reading,
    tell,
    tell_many,
)

from crm_assets.checks.contract import check_table
from crm_assets.checks.subscriptions import SubscriptionReadings
from crm_assets.silver.subscriptions import _inside_life, _no_overlap, _one_open_status, _write

pytestmark = pytest.mark.slow


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
