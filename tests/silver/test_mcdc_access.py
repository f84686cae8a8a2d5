"""Each condition of the rules of access shown to decide by itself (MC/DC; rules 6.4).

A pair is one story told twice, different in one fact of one row; both sides have the access that is
told, as status and what decided it.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Any

import pytest
from access_samples import bought, decide, decided, lake_of
from lake import cus, local
from mcdc_pairs import Pair
from subscription_samples import DELAY, MONTHLY, cancel, event, noon, paid, reading

from crm_assets.silver.access_rules import BLOCK, RELEASE

pytestmark = pytest.mark.slow

NOW = local("2026-02-08 12:00")


def story(
    condition: str,
    facts: list[dict[str, Any]],
    row: dict[str, Any],
    column: str,
    left: tuple[Any, tuple[str, str] | None],
    right: tuple[Any, tuple[str, str] | None],
) -> Pair:
    """A pair of which the access is looked at."""
    return Pair(condition, "access", facts, row, column, left, right)


GRANTED, GRACE, SUSPENDED, BOUGHT = (
    ("granted", "pagamento"),
    ("grace", "atraso"),
    ("suspended", "atraso"),
    ("granted", "compra"),
)
ONCE = bought("2026-01-10")
RETURNED = bought("2026-01-10", refunded="2026-01-12")
SALE = paid("2026-01-20")
PAIRS = [
    # Whose purchases count.
    story("our own", [], ONCE, "is_own", (True, BOUGHT), (False, None)),
    story("of nobody erased", [], ONCE, "is_erased", (False, BOUGHT), (True, None)),
    story("of a customer", [], ONCE, "customer_id", (cus(1), BOUGHT), (None, None)),
    story("paid", [], ONCE, "was_paid", (True, BOUGHT), (False, None)),
    story("kept", [], RETURNED, "is_refunded", (False, BOUGHT), (True, ("ended", "reembolso"))),
    story(
        "returned by the bank", [], RETURNED, "reversal_kind",
        ("refund", ("ended", "reembolso")), ("chargeback", ("ended", "chargeback")),
    ),
    story(
        "a subscription's, by its code", [MONTHLY], SALE, "subscriber_code",
        ("ABCD1234", GRANTED), (None, BOUGHT),
    ),
    story(
        "a subscription's, by its mode", [MONTHLY], SALE, "payment_mode",
        ("SUBSCRIPTION", GRANTED), ("SMART_INSTALLMENT", BOUGHT),
    ),
    # Whose subscriptions count.
    story("known", [MONTHLY], SALE, "customer_id", (cus(1), GRANTED), (cus(99), None)),
    story("ever granted", [MONTHLY], SALE, "was_paid", (True, GRANTED), (False, None)),
    # What the clock decides.
    story(
        "over", [MONTHLY, SALE], cancel("2026-01-25", "2026-02-07"), "next_charge_at",
        (noon("2026-02-07"), ("ended", "cancelamento")),
        (noon("2026-02-08"), ("granted", "cancelamento")),
    ),
    story(
        "late for a week", [MONTHLY, SALE], event(DELAY, "2026-02-01"), "occurred_at",
        (noon("2026-02-01"), SUSPENDED), (noon("2026-02-02"), GRACE),
    ),
    story(
        "late", [MONTHLY, SALE], event(DELAY, "2026-02-08"), "occurred_at",
        (local("2026-02-08 11:59"), GRACE), (local("2026-02-09 12:01"), GRANTED),
    ),
    story(
        "in a trial", [],
        reading(
            "2026-02-07",
            accession_at=noon("2026-02-01"),
            next_charge_at=noon("2026-02-12"),
            subscriber_email="ana@example.com",
        ),
        "is_trial", (True, ("granted", "trial")), (False, GRANTED),
    ),
]  # fmt: skip


@cache
def told() -> dict[str, tuple[str, str]]:
    """The access that each side of every pair gives, told at once."""
    sides = {
        f"{side}{place}": pair.told(value)
        for place, pair in enumerate(PAIRS)
        for side, (value, _) in (("L", pair.left), ("R", pair.right))
    }
    lake = lake_of("2026-02-08", sides)
    decide(lake, NOW)
    found = lake.rows("SELECT product_id, status, event FROM silver.access")
    return {row["product_id"]: (row["status"], row["event"]) for row in found}


@pytest.mark.parametrize("place", range(len(PAIRS)), ids=[pair.condition for pair in PAIRS])
def test_one_fact_decides(place):
    pair = PAIRS[place]
    assert pair.left[1] != pair.right[1], "it decides"
    for side, (_, expected) in (("L", pair.left), ("R", pair.right)):
        assert told().get(f"{side}{place}") == expected, side


BLOCKED, FREED = ("suspended", "bloqueio"), ("granted", "liberacao")
DECISIONS = [
    ("a block, not a release", (BLOCK, "02-08 10:00"), {}, BLOCKED),
    ("a block, not a release", (RELEASE, "02-08 10:00"), {}, GRANTED),
    ("a day that has not passed", (RELEASE, "02-08 10:00"), {"until": date(2026, 2, 8)}, FREED),
    ("a day that has not passed", (RELEASE, "02-08 10:00"), {"until": date(2026, 2, 7)}, GRANTED),
    ("taken by now", (BLOCK, "02-08 12:00"), {}, BLOCKED),
    ("taken by now", (BLOCK, "02-08 12:01"), {}, GRANTED),
    ("of a person who is known", (BLOCK, "02-08 10:00"), {"person": 1}, BLOCKED),
    ("of a person who is known", (BLOCK, "02-08 10:00"), {"person": 99}, GRANTED),
]


def test_one_fact_decides_what_a_person_decided():
    lake = lake_of("2026-02-08", {"A": [SALE, MONTHLY]})
    for condition, taken, more, expected in DECISIONS:
        lake.tx.execute("DELETE FROM bronze.crm_actions")
        lake.bronze("bronze.crm_actions", decided(*taken, 1, **more))
        decide(lake, NOW)
        (row,) = lake.rows("FROM silver.access")
        assert (row["status"], row["event"]) == expected, condition


NOTED = {
    "status": "'grace'",
    "event": "'trial'",
    "since": "since - INTERVAL 1 DAY",
    "plan": "NULL",
    "is_disputed": "true",
    "decided_by": "'rita'",
}


@pytest.mark.parametrize("column", NOTED)
def test_each_fact_of_an_access_alone_is_worth_a_line_of_the_log(column):
    lake = lake_of("2026-02-08", {"A": [SALE, MONTHLY]})
    for noted in (1, 1):
        decide(lake, NOW)
        assert lake.value("SELECT count(*) FROM silver.access_log") == noted
    lake.tx.execute(f"UPDATE silver.access_log SET {column} = {NOTED[column]}")
    decide(lake, NOW)
    assert lake.value("SELECT count(*) FROM silver.access_log") == 2
