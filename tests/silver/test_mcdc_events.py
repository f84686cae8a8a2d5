"""Each condition of what events mean shown to decide by itself (MC/DC; rules 1.5, 1.7, 1.9).

A pair is one story of a sale told twice, different in one fact of one row; both sides have the
outcome that is told. Days count from the order.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from lake import Lake
from mcdc_pairs import Pair

from crm_assets.silver.event_rules import TOLD_SALES, events_sql, sale_states_sql

pytestmark = pytest.mark.slow


def at(day: float) -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=day)


def event(status: str | None, day: float, **more: Any) -> dict[str, Any]:
    """An event of the sale; its place in the story makes its id."""
    return {"sale_status": status, "occurred_at": at(day), "transaction": "HP", **more}


def api(status: str | None, day: float, **more: Any) -> dict[str, Any]:
    """The sale as the API told it when it was read."""
    return {"status": status, "extracted_at": at(day), "transaction": "HP", **more}


APPROVED = event("APPROVED", 1)
PAIRS = [
    # Whose word counts.
    Pair(
        "the event means a status", "status", [APPROVED], event("REFUNDED", 5), "sale_status",
        ("REFUNDED", "REFUNDED"), (None, "APPROVED"),
    ),
    Pair(
        "the event is of the sale", "status", [APPROVED], event("REFUNDED", 5), "transaction",
        ("HP", "REFUNDED"), (None, "APPROVED"),
    ),
    Pair(
        "the API says a status", "status", [APPROVED], api("REFUNDED", 5), "status",
        ("REFUNDED", "REFUNDED"), (None, "APPROVED"),
    ),
    Pair(
        "an event speaks of the sale", "status", [api("COMPLETE", 5)], APPROVED, "transaction",
        ("HP", "COMPLETE"), (None, None),
    ),
    # Which word holds.
    Pair(
        "it is an end", "status", [APPROVED, event("OVERDUE", 6)], event("REFUNDED", 5),
        "sale_status", ("REFUNDED", "REFUNDED"), ("PROTESTED", "OVERDUE"),
    ),
    Pair(
        "nothing positive came after it", "status", [event("REFUNDED", 5)], event("APPROVED", 4),
        "occurred_at", (at(5), "REFUNDED"), (at(5.1), "APPROVED"),
    ),
    Pair(
        "what came after it is positive", "status", [event("REFUNDED", 5)], event("COMPLETE", 6),
        "sale_status", ("COMPLETE", "COMPLETE"), ("OVERDUE", "REFUNDED"),
    ),
    Pair(
        "a reversal weighs more", "status", [event("EXPIRED", 6)], event("REFUNDED", 5),
        "sale_status", ("CHARGEBACK", "CHARGEBACK"), ("CANCELLED", "EXPIRED"),
    ),
    Pair(
        "an end is told as of its reading", "status", [event("APPROVED", 5)], api("REFUNDED", 5.5),
        "status", ("REFUNDED", "REFUNDED"), ("PROTESTED", "APPROVED"),
    ),
    Pair(
        "a newer approval", "status", [event("REFUNDED", 5)], api("APPROVED", 5.5), "approved_at",
        (at(5.2), "APPROVED"), (at(4.9), "REFUNDED"),
    ),
    Pair(
        "no later than it was read", "status", [event("REFUNDED", 5)],
        api("APPROVED", 5.5, approved_at=at(9)), "extracted_at",
        (at(5.1), "APPROVED"), (at(4.9), "REFUNDED"),
    ),
    # When it was reversed.
    Pair(
        "by a reversal", "reversed_at", [APPROVED], event("REFUNDED", 5), "sale_status",
        ("REFUNDED", at(5)), ("CANCELLED", None),
    ),
    Pair(
        "by the one in force", "reversed_at", [APPROVED, event("REFUNDED", 8)],
        event("REFUNDED", 5), "sale_status", ("REFUNDED", at(5)), ("CHARGEBACK", at(8)),
    ),
    Pair(
        "and not paid again since", "reversed_at", [event("REFUNDED", 5), event("REFUNDED", 8)],
        APPROVED, "occurred_at", (at(4), at(5)), (at(6), at(8)),
    ),
    # When it was approved.
    Pair(
        "by the approval itself", "approved_at", [event("COMPLETE", 9, approved_at=at(1))],
        event("APPROVED", 2, approved_at=at(2)), "sale_status",
        ("APPROVED", at(2)), ("PROTESTED", at(1)),
    ),
]  # fmt: skip


@cache
def told() -> dict[str, dict[str, Any]]:
    """What each side of every pair becomes, all told at once."""
    lake, number = Lake(), 0
    lake.tx.execute(
        "CREATE OR REPLACE TEMP TABLE readings "
        "(transaction VARCHAR, status VARCHAR, approved_at TIMESTAMPTZ, extracted_at TIMESTAMPTZ)"
    )
    for place, pair in enumerate(PAIRS):
        for side, (value, _) in (("L", pair.left), ("R", pair.right)):
            for row in pair.told(value):
                number += 1
                own = {**row, "transaction": row["transaction"] and f"{side}{place}"}
                if "extracted_at" in row:
                    lake.bronze("readings", own)
                else:
                    lake.bronze("silver.events", {"event_id": f"e{number:03}", **own})
    sql = f"FROM ({sale_states_sql('readings')}) JOIN ({TOLD_SALES}) USING (transaction)"
    return {row["transaction"]: row for row in lake.rows(sql)}


@pytest.mark.parametrize("place", range(len(PAIRS)), ids=map(str, PAIRS))
def test_one_fact_decides(place):
    pair = PAIRS[place]
    assert pair.left[1] != pair.right[1], "it decides"
    for side, (_, expected) in (("L", pair.left), ("R", pair.right)):
        assert told().get(f"{side}{place}", {}).get(pair.outcome) == expected, side


SPOKEN = [
    ("of a sale", {"transaction": "HP1"}, "hotmart:HP1"),
    ("of nobody's sale", {"email": "ana@example.com"}, "hotmart:evento:e1"),
    ("by phone", {"phone": "11961234501"}, "hotmart:evento:e1"),
    ("of nobody", {}, None),
    ("not understood", {"email": "ana@example.com", "kind": None}, "left out"),
]


@pytest.mark.parametrize(("condition", "fact", "record"), SPOKEN)
def test_whom_an_event_speaks_of(condition, fact, record):
    lake = Lake()
    known = {"event_id": "e1", "inbox_id": 1, "kind": "CLUB_FIRST_ACCESS"}
    lake.bronze("bronze.hotmart_events", {**known, **fact})
    found = lake.column(f"SELECT record_id FROM ({events_sql()})")
    assert found == ([] if record == "left out" else [record]), condition
