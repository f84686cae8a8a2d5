"""Each condition of the rules of subscriptions shown to decide by itself (MC/DC; rules 1.10, 6).

A pair is one life told twice, different in one fact of one row, which the test's id names; both
sides have the outcome that is told.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import pytest
from lake import local
from mcdc_pairs import Pair
from subscription_samples import (
    CODE,
    DELAY,
    MONTHLY,
    MOVE,
    cancel,
    event,
    noon,
    paid,
    plan,
    reading,
    tell_many,
    unpaid,
)

pytestmark = pytest.mark.slow

TODAY = "2026-02-20"
OUTCOMES = {
    "counts": lambda told: bool(told.stretches),
    "state": lambda told: told.stretches[-1]["state"],
    "is brief": lambda told: any(row["to_day"] == row["from_day"] for row in told.stretches),
    "end": lambda told: (str(told.stretches[0]["to_day"] or ""), told.stretches[0]["ended_by"]),
    "statuses": lambda told: [status for status, _ in told.history],
}
"""What is looked at; any other name is a column of `silver.subscriptions`, a day of an instant."""


SALE = paid("2026-02-05")
REFUNDED = paid("2026-02-05", refunded="2026-02-10")
RUNNING = reading(
    "2026-02-10",
    accession_at=noon("2025-06-05"),
    cancel_requested_at=noon("2026-02-10"),
    next_charge_at=noon("2026-03-05"),
    price_value=Decimal("100.00"),
)
TRIAL = reading(
    "2026-02-16",
    is_trial=True,
    accession_at=noon("2026-02-15"),
    next_charge_at=noon("2026-02-22"),
    price_value=Decimal("100.00"),
)
LISTED = reading("2026-02-06", next_charge_at=noon("2026-03-20"))
LATE = event(DELAY, "2026-02-19")
GONE = cancel("2026-02-10", "2026-03-05")
YES, NO = True, False
PAIRS = [
    # What is sold as a subscription, and paid.
    Pair("of Hotmart", "counts", [MONTHLY], SALE, "source", ("hotmart", YES), ("woocommerce", NO)),
    Pair("our own", "counts", [MONTHLY], SALE, "is_own", (True, YES), (False, NO)),
    Pair("it has a code", "counts", [MONTHLY], SALE, "subscriber_code", (CODE, YES), (" ", NO)),
    Pair(
        "no instalment of an order", "counts", [MONTHLY], SALE, "payment_mode",
        (None, YES), ("MULTIPLE_PAYMENTS", NO),
    ),
    Pair("was paid", "counts", [MONTHLY], SALE, "was_paid", (True, YES), (False, NO)),
    Pair("known when", "counts", [MONTHLY], SALE, "paid_at", (noon("2026-02-05"), YES), (None, NO)),
    Pair(
        "known when it was given back", "counts", [MONTHLY], REFUNDED, "refunded_at",
        (noon("2026-02-10"), YES), (None, NO),
    ),
    Pair(
        "given back at all", "counts", [MONTHLY], {**REFUNDED, "refunded_at": None}, "is_refunded",
        (False, YES), (True, NO),
    ),
    # What ran since before the first sale that is read.
    Pair("runs", "counts", [], RUNNING, "status", ("ACTIVE", YES), ("STARTED", NO)),
    Pair(
        "cancelled", "counts", [], RUNNING, "status",
        ("CANCELLED_BY_SELLER", YES), ("INACTIVE", NO),
    ),
    Pair(
        "to be charged", "counts", [], RUNNING, "next_charge_at",
        (noon("2026-03-05"), YES), (None, NO),
    ),
    Pair("period known", "counts", [], RUNNING, "period_days", (30, YES), (31, NO)),
    Pair(
        "begun before its charge", "counts", [], {**RUNNING, "next_charge_at": noon("2026-02-10")},
        "accession_at", (noon("2026-02-09"), YES), (noon("2026-02-10"), NO),
    ),
    Pair(
        "no sale was paid", "counts", [RUNNING], {**SALE, "paid_at": None}, "was_paid",
        (False, YES), (True, NO),
    ),
    Pair(
        "no trial", "state", [], {**RUNNING, "accession_at": noon("2026-01-20")}, "is_trial",
        (False, "active"), (True, "trial"),
    ),
    Pair(
        "a trial of long ago", "state", [], {**RUNNING, "is_trial": True}, "accession_at",
        (noon("2025-06-05"), "active"), (noon("2026-01-20"), "trial"),
    ),
    # Trials.
    Pair(
        "the trial's beginning is known", "counts", [], TRIAL, "accession_at",
        (noon("2026-02-15"), YES), (None, NO),
    ),
    Pair(
        "the trial has a day", "counts", [], TRIAL, "next_charge_at",
        (noon("2026-02-16"), YES), (noon("2026-02-15"), NO),
    ),
    Pair(
        "the trial goes on", "is_trial", [], TRIAL, "next_charge_at",
        (noon("2026-02-21"), YES), (noon("2026-02-20"), NO),
    ),
    # Until when it is paid.
    Pair(
        "the API says it runs", "paid_through", [SALE], LISTED, "status",
        ("ACTIVE", "2026-03-20"), ("DELAYED", "2026-03-05"),
    ),
    Pair(
        "read after it was paid", "paid_through", [SALE], LISTED, "extracted_at",
        (noon("2026-02-05"), "2026-03-20"), (noon("2026-02-04"), "2026-03-05"),
    ),
    Pair(
        "the next charge is later", "paid_through", [SALE], LISTED, "next_charge_at",
        (noon("2026-02-06"), "2026-02-06"), (noon("2026-02-05"), "2026-03-05"),
    ),
    Pair(
        "the last charge of a term", "statuses", [paid("2026-01-05")], MONTHLY, "max_charge_cycles",
        (1, ["ACTIVE", "OVERDUE"]), (2, ["ACTIVE"]),
    ),
    Pair(
        "not paid again within it", "statuses", [paid("2026-01-05"), plan(max_charge_cycles=1)],
        paid("2026-02-06", 2), "paid_at",
        (noon("2026-02-06"), ["ACTIVE", "OVERDUE", "ACTIVE"]), (noon("2026-02-04"), ["ACTIVE"]),
    ),
    # Refunds.
    Pair(
        "of the first recurrence", "end", [MONTHLY, paid("2026-02-05", 3)],
        paid("2026-01-05", refunded="2026-02-10"), "recurrence_number",
        (1, ("2026-02-10", "refunded")), (2, ("", None)),
    ),
    Pair(
        "of the recurrence in force", "end", [MONTHLY, paid("2026-02-05", 3)],
        paid("2026-01-05", 2, refunded="2026-02-10"), "paid_at",
        (noon("2026-02-06"), ("2026-02-10", "refunded")), (noon("2026-02-04"), ("", None)),
    ),
    Pair(
        "before another one began", "end", [MONTHLY, paid("2026-02-05", refunded="2026-02-10")],
        paid("2026-02-08", 1), "paid_at",
        (noon("2026-02-11"), ("2026-02-10", "refunded")), (noon("2026-02-09"), ("", None)),
    ),
    Pair(
        "on the day it was paid", "is brief", [MONTHLY], REFUNDED, "refunded_at",
        (local("2026-02-05 23:59"), YES), (local("2026-02-06 00:00"), NO),
    ),
    Pair(
        "its period is known", "is brief", [paid("2026-02-05", refunded="2026-02-05")], MONTHLY,
        "period_days", (30, YES), (None, NO),
    ),
    Pair(
        "cancelled with its end", "is brief", [MONTHLY, SALE], cancel("2026-02-05", "2026-02-05"),
        "next_charge_at", (noon("2026-02-05"), YES), (noon("2026-02-06"), NO),
    ),
    Pair(
        "nothing ran before", "is brief",
        [MONTHLY, paid("2026-01-05"), paid("2026-02-05", 2, refunded="2026-02-05")],
        cancel("2026-01-10", "2026-02-05"), "next_charge_at",
        (noon("2026-02-04"), YES), (noon("2026-02-05"), NO),
    ),
    # Statuses.
    Pair(
        "a delay after a cancellation is none", "statuses",
        [MONTHLY, paid("2026-01-05"), event(DELAY, "2026-02-06")],
        cancel("2026-01-10", "2026-02-05"), "kind",
        (MOVE, ["ACTIVE", "DELAYED"]), ("SUBSCRIPTION_CANCELLATION", ["ACTIVE", "CANCELLED"]),
    ),
    Pair(
        "a first charge made after a paid one begins nothing", "statuses", [MONTHLY, SALE],
        unpaid("2026-02-04", "pending", 1), "ordered_at",
        (noon("2026-02-04"), ["STARTED", "ACTIVE"]), (noon("2026-02-06"), ["ACTIVE"]),
    ),
    # The present.
    Pair(
        "three days after the due day", "segment", [MONTHLY], paid("2026-01-17"), "paid_at",
        (noon("2026-01-17"), "em_risco"), (noon("2026-01-18"), "ativa"),
    ),
    Pair(
        "late", "is_at_risk", [MONTHLY, SALE], LATE, "occurred_at",
        (noon("2026-02-19"), YES), (noon("2026-02-21"), NO),
    ),
    Pair(
        "cancelled and paid for", "is_at_risk", [MONTHLY, SALE], GONE, "next_charge_at",
        (noon("2026-02-21"), YES), (noon("2026-02-20"), NO),
    ),
    Pair(
        "cancelled and not given back", "is_at_risk", [MONTHLY, GONE], SALE, "refunded_at",
        (None, YES), (noon("2026-02-12"), NO),
    ),
    Pair(
        "still cancelled", "is_at_risk", [SALE, GONE],
        reading("2026-02-12", cancel_requested_at=noon("2026-02-10")), "status",
        ("CANCELLED_BY_SELLER", YES), ("ACTIVE", NO),
    ),
    Pair(
        "not seen for thirty days", "is_at_risk_inactive", [MONTHLY, LATE], paid("2026-01-21"),
        "paid_at", (local("2026-01-21 23:59"), YES), (local("2026-01-22 00:00"), NO),
    ),
    Pair(
        "not seen, and late", "is_at_risk_inactive", [MONTHLY, paid("2026-01-20")], LATE,
        "occurred_at", (noon("2026-02-19"), YES), (noon("2026-02-21"), NO),
    ),
    Pair(
        "more than a year ago", "is_archived", [MONTHLY, paid("2025-02-05")],
        cancel("2025-02-10", "2025-03-05"), "occurred_at",
        (local("2025-02-20 23:59"), YES), (local("2025-02-21 00:00"), NO),
    ),
    Pair(
        "a year ago, and still", "is_archived",
        [paid("2025-02-05"), cancel("2025-02-10", "2025-03-05")],
        reading("2025-02-12", cancel_requested_at=noon("2025-02-10")), "status",
        ("CANCELLED_BY_SELLER", YES), ("ACTIVE", NO),
    ),
    Pair(
        "paid after the grace anew", "granted_at", [MONTHLY, paid("2025-12-10")],
        paid("2026-01-17", 2), "paid_at",
        (noon("2026-01-18"), "2026-01-18"), (noon("2026-01-17"), "2025-12-10"),
    ),
    Pair(
        "paid after a refund anew", "granted_at", [MONTHLY, paid("2026-02-15", 2)],
        paid("2026-01-20"), "refunded_at",
        (noon("2026-02-14"), "2026-02-15"), (noon("2026-02-16"), "2026-01-20"),
    ),
    Pair(
        "an event after the reading says when it is charged", "next_charge_at",
        [SALE, event(MOVE, "2026-02-10", next_charge_at=noon("2026-03-20"))],
        reading("2026-02-09", next_charge_at=noon("2026-03-05")), "extracted_at",
        (noon("2026-02-09"), "2026-03-20"), (noon("2026-02-11"), "2026-03-05"),
    ),
]  # fmt: skip


@cache
def told():
    """Both sides of every pair, told at once."""
    sides = {
        f"{side}{place}": pair.told(value)
        for place, pair in enumerate(PAIRS)
        for side, (value, _) in (("L", pair.left), ("R", pair.right))
    }
    return tell_many(TODAY, sides)


@pytest.mark.parametrize("place", range(len(PAIRS)), ids=map(str, PAIRS))
def test_one_fact_decides(place):
    pair = PAIRS[place]
    assert pair.left[1] != pair.right[1], "it decides"
    for side, (_, expected) in (("L", pair.left), ("R", pair.right)):
        life = told()[f"{side}{place}"]
        if pair.outcome in OUTCOMES:
            found = OUTCOMES[pair.outcome](life)
        else:
            found = life.one[pair.outcome]
            found = found if isinstance(found, bool | str) else f"{found:%Y-%m-%d}"
        assert found == expected, side
