"""Lives of subscriptions, told by their facts: the days that count, and every status (rules 6)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from lake import local
from subscription_samples import (
    DELAY,
    MONTHLY,
    MOVE,
    approved,
    event,
    noon,
    paid,
    plan,
    reading,
    telling,
    unpaid,
)

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

told = telling(STORIES)


@pytest.mark.parametrize("story", STORIES)
def test_what_counts_and_what_it_is(story):
    _, _, periods, history = STORIES[story]
    assert told(story).periods == periods
    assert told(story).history == history
