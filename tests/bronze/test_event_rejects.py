"""What a body has and its row has not is told, and what lies in the future is no fact."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from event_samples import RECEIVED, body, day, posted, told, typed, with_value
from lake import Lake

# A body, damaged at a place, and what is told of it.
TOLD: list[tuple[str, tuple[Any, ...], Any, str, str]] = [
    ("PURCHASE_APPROVED", ("data", "purchase", "price", "value"), "97,00", "price_value", "97,00"),
    ("PURCHASE_APPROVED", ("data", "purchase", "price"), 97, "data.purchase.price", "97"),
    ("PURCHASE_APPROVED", ("data", "purchase", "full_price", "currency_value"), "R$", "currency",
     "R$"),
    ("PURCHASE_APPROVED", ("data", "purchase", "transaction"), "HP 1", "transaction", "HP 1"),
    ("PURCHASE_APPROVED", ("data", "commissions", 1, "value"), "a combinar", "net_value",
     "a combinar"),
    ("PURCHASE_APPROVED", ("data", "commissions", 1, "currency_value"), "R$", "net_value", "R$"),
    ("PURCHASE_APPROVED", ("data", "commissions"), "muitas", "data.commissions", "muitas"),
    ("PURCHASE_APPROVED", ("creation_date",), "hoje", "creation_date", "hoje"),
    ("SUBSCRIPTION_CANCELLATION", ("data", "cancellation_date"), 7, "cancelled_at", "7"),
    ("SWITCH_PLAN", ("data", "plans"), [7], "data.plans", "[7]"),
]  # fmt: skip


def test_what_a_body_has_and_its_row_has_not_is_told_with_its_text():
    events = [
        posted(with_value(body(kind), path, new), i, event_key=str(i))
        for i, (kind, path, new, *_) in enumerate(TOLD)
    ]
    found = [told(row) for row in typed(Lake().tx, events)]
    assert found == [{(field, "valor_ilegivel", raw)} for *_, field, raw in TOLD]


def test_no_price_is_negative_but_a_commission_may_be():
    whole = body("PURCHASE_APPROVED")
    whole["data"]["purchase"]["price"]["value"] = -97
    whole["data"]["purchase"]["full_price"]["value"] = "-104.76"
    whole["data"]["commissions"][1]["value"] = -5
    late = with_value(body("SUBSCRIPTION_CANCELLATION"), ("data", "actual_recurrence_value"), -1)
    sold, cancelled = typed(Lake().tx, [posted(whole), posted(late)])
    assert (sold["price_value"], sold["full_price_value"]) == (None, None)
    assert (sold["net_value"], sold["kind"]) == (-5, "PURCHASE_APPROVED")
    assert told(sold) == {
        ("price_value", "preco_negativo", "-97"),
        ("full_price_value", "preco_negativo", "-104.76"),
    }
    assert told(cancelled) == {("price_value", "preco_negativo", "-1")}


def test_nothing_is_told_of_an_event_that_says_nothing_to_us():
    whole = with_value(body("PURCHASE_APPROVED"), ("data", "purchase", "price", "value"), "x")
    (row,) = typed(Lake().tx, [posted({**whole, "event": "PURCHASE_TIPPED"})])
    assert row["unread"] is None


DAY = timedelta(days=1)
MS = timedelta(milliseconds=1)


def milliseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=at.tzinfo)) // MS


@pytest.mark.parametrize("ahead", [-DAY, timedelta(), DAY, DAY + MS, 400 * DAY])
def test_an_event_cannot_have_happened_after_it_came(ahead):
    """A clock may be a day ahead of ours; what is dated later says nothing, and is told."""
    created = milliseconds(RECEIVED + ahead)
    (row,) = typed(Lake().tx, [posted({**body("PURCHASE_APPROVED"), "creation_date": created})])
    assert row["occurred_at"] == min(RECEIVED, RECEIVED + ahead)
    if ahead > DAY:
        assert row["kind"] is None
        assert told(row) == {("creation_date", "data_no_futuro", str(created))}
    else:
        assert (row["kind"], row["unread"]) == ("PURCHASE_APPROVED", [])


def test_the_inbox_knows_when_an_event_without_a_date_happened():
    whole = {**body("PURCHASE_APPROVED"), "creation_date": None}
    (row,) = typed(Lake().tx, [posted(whole, event_at=day(1))])
    assert (row["occurred_at"], row["kind"]) == (day(1), "PURCHASE_APPROVED")
    (row,) = typed(Lake().tx, [posted(whole, event_at=RECEIVED + 2 * DAY)])
    assert (row["occurred_at"], row["kind"]) == (RECEIVED, None)
    assert [each["reason"] for each in row["unread"]] == ["data_no_futuro"]


@pytest.mark.parametrize("ahead", [DAY, DAY + MS])
def test_a_fact_in_the_future_is_no_fact_but_a_next_charge_may_be(ahead):
    at = milliseconds(RECEIVED + ahead)
    whole = body("PURCHASE_APPROVED")
    facts = {"order_date": "order_at", "approved_date": "approved_at"}
    whole["data"]["purchase"] |= dict.fromkeys((*facts, "date_next_charge"), at)
    (row,) = typed(Lake().tx, [posted(whole)])
    late = set(facts.values()) if ahead > DAY else set()
    assert {row[name] for name in facts.values()} == {None if late else RECEIVED}
    assert told(row) == {(name, "data_no_futuro", str(at)) for name in late}
    assert row["next_charge_at"] == RECEIVED + ahead
    assert row["kind"] == "PURCHASE_APPROVED"
