"""Each condition of the batch's eligibility shown to decide by itself (MC/DC; rules 4.3).

A pair is one person twice, different in one condition, which the test's id names: with the first
value the person is chosen, with the second not. Windows are tried at their edge, day 30 and day 29.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, NamedTuple

import pytest
from lake import Lake, cus, local

from crm_assets.checks.gold import RemarketingBatches
from crm_assets.checks.silver import Customers, Sales
from crm_assets.gold.remarketing import select_batch
from crm_assets.tenants import Remarketing

DAY = date(2026, 3, 15)
PHONE = "+5511961234501"
SETTINGS = set(Remarketing.model_fields)
OTHERS = {"other", "earlier"}
"""Facts of another customer of the same number, and of an earlier batch."""


def before(days: int, at: str = "12:00") -> Any:
    """An instant so many days of São Paulo's calendar before the batch."""
    return local(f"{DAY - timedelta(days=days)} {at}")


def is_chosen(**facts: Any) -> bool:
    """Whether the person with these facts is in the batch of the day."""
    rules = Remarketing(**{name: facts[name] for name in facts.keys() & SETTINGS})
    person = {"customer_id": cus(1), "phone": PHONE}
    person |= {name: facts[name] for name in facts.keys() - SETTINGS - OTHERS}
    people = [person]
    if other := facts.get("other"):
        people.append({"customer_id": cus(2), "phone": PHONE, **other})
    lake = Lake()
    lake.put("silver.customers", Customers, *people)
    lake.put("silver.sales", Sales)
    for row in people:
        lake.tx.execute(
            "INSERT INTO silver.customer_ids VALUES ($id, 'anchor', now(), $id)",
            {"id": row["customer_id"]},
        )
    if earlier := facts.get("earlier"):
        days, status = earlier
        place = {
            "batch_date": DAY - timedelta(days=days),
            "position": 1,
            "customer_id": cus(1),
            "phone": PHONE,
            "audiences": [],
            "reason": "nunca_contatado",
            "status": status,
        }
        lake.put("gold.remarketing_batches", RemarketingBatches, place)
    select_batch(lake.tx, DAY, rules)
    chosen = lake.column(
        "SELECT customer_id FROM gold.remarketing_batches WHERE batch_date = ?", [DAY]
    )
    assert set(chosen) <= {cus(1), cus(2)}
    return cus(1) in chosen


class Pair(NamedTuple):
    """Two people that differ in one fact.

    Attributes:
        condition: what differs.
        fact: its name.
        chosen: value with which the person is chosen.
        left_out: value with which the person is not.
        base: facts of both.
    """

    condition: str
    fact: str
    chosen: Any
    left_out: Any
    base: dict[str, Any] = {}

    def __str__(self) -> str:
        return self.condition


LANDLINE = {"phone_kind": "landline"}
BUYER = {"last_purchase_at": before(60), "has_purchased": True}
PAIRS = [
    # --- the number -----------------------------------------------------------------------------
    Pair("has a phone", "phone", PHONE, None),
    Pair("the phone is a mobile", "phone_kind", "mobile", "landline"),
    Pair("the phone may be a mobile", "phone_kind", "mobile_or_landline", "voip"),
    Pair("the kind of phone is known", "phone_kind", "mobile", None),
    Pair("landlines are allowed", "allow_landline", True, False, LANDLINE),
    Pair("is a landline", "phone_kind", "landline", "voip", {"allow_landline": True}),
    # --- the person -----------------------------------------------------------------------------
    Pair("opted out", "opted_out", False, True),
    Pair("blocked", "blocked_channels", [], ["whatsapp"]),
    Pair("blocked in this channel", "blocked_channels", ["email", "sms"], ["email", "whatsapp"]),
    Pair("open dispute", "has_open_dispute", False, True),
    Pair("our own customer", "is_own", True, False),
    # --- people who never bought ----------------------------------------------------------------
    Pair("leads are included", "include_leads", True, False),
    Pair("once bought", "last_purchase_at", before(60), None, {"include_leads": False}),
    # --- windows --------------------------------------------------------------------------------
    *(
        pair
        for column, name in (
            ("last_purchase_at", "paid"),
            ("last_refund_at", "refunded"),
            ("last_contact_at", "contacted"),
        )
        for pair in (
            Pair(f"{name} 30 days ago, not 29", column, before(30), before(29)),
            Pair(f"never {name}", column, None, before(29)),
            Pair(
                f"{name} before midnight of day 29",
                column,
                before(30, "23:59:59.999999"),
                before(29, "00:00"),
            ),
            Pair(f"{name} not in the future", column, before(30), before(-1)),
        )
    ),
    Pair("the window of purchases", "days_since_purchase", 60, 61, BUYER),
    Pair(
        "the window of refunds",
        "days_since_purchase",
        20,
        21,
        {**BUYER, "last_refund_at": before(20)},
    ),
    Pair("the window of contacts", "days_since_contact", 20, 21, {"last_contact_at": before(20)}),
    # --- earlier batches ------------------------------------------------------------------------
    *(
        Pair(f"{status} 30 days ago, not 29", "earlier", (30, status), (29, status))
        for status in ("selecionado", "entregue")
    ),
    *(
        Pair(f"{status}, not {counts}", "earlier", (29, status), (29, counts))
        for status in ("nao_entregue", "pulado", "retirado")
        for counts in ("selecionado", "entregue")
    ),
    Pair("never in a batch", "earlier", None, (29, "entregue")),
    # --- a number that several customers show ---------------------------------------------------
    *(
        Pair(f"the number's other customer: {condition}", "other", {name: free}, {name: taken})
        for condition, name, free, taken in (
            ("opted out", "opted_out", False, True),
            ("open dispute", "has_open_dispute", False, True),
            ("paid", "last_purchase_at", before(30), before(29)),
            ("refunded", "last_refund_at", before(30), before(29)),
            ("contacted", "last_contact_at", before(30), before(29)),
        )
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_one_condition_decides_who_is_chosen(pair):
    assert is_chosen(**pair.base, **{pair.fact: pair.chosen})
    assert not is_chosen(**pair.base, **{pair.fact: pair.left_out})


@pytest.mark.parametrize(
    "facts",
    [
        {"email": None},
        {"name": None},
        {"reachable": False},
        {"has_purchased": True},
        {"last_interaction_at": before(0)},
        {"first_seen_at": before(0)},
        {"orders": 12},
        {"source": "hotmart"},
        {"include_leads": False, **BUYER},
        {"allow_landline": True},
        {"other": {"is_own": False}},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_what_does_not_matter(facts):
    assert is_chosen(**facts)
