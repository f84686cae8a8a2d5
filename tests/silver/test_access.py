"""Who may use what, story by story: status, what decided it, since when and until when."""

from __future__ import annotations

from decimal import Decimal

import pytest
from access_samples import bought, day, decide, lake_of
from lake import local, site
from subscription_samples import CANCEL, DELAY, event, noon, paid, plan, reading, unpaid

from crm_assets.settings import SettingsError
from crm_assets.tenants import AccessPlan

STORIES = {
    "paid": ([paid("2026-01-25"), plan()], ("granted", "pagamento", "2026-01-25", None)),
    "late, in grace": (
        [paid("2026-01-03"), event(DELAY, "2026-02-03"), plan()],
        ("grace", "atraso", "2026-02-03", "2026-02-10"),
    ),
    "late for a week": (
        [paid("2026-01-01"), event(DELAY, "2026-02-01"), plan()],
        ("suspended", "atraso", "2026-02-08", None),
    ),
    "each retry is the same delay": (
        [
            paid("2026-01-01"),
            *(event(DELAY, f"2026-02-0{day}", event_id=f"d{day}") for day in (1, 3, 7)),
            plan(),
        ],
        ("suspended", "atraso", "2026-02-08", None),
    ),
    "paid again after a suspension": (
        [paid("2025-12-25"), paid("2026-02-05", 2), plan()],
        ("granted", "pagamento", "2026-02-05", None),
    ),
    "paid again in grace": (
        [paid("2026-01-01"), event(DELAY, "2026-02-01"), paid("2026-02-05", 2), plan()],
        ("granted", "pagamento", "2026-01-01", None),
    ),
    "cancelled, still paid": (
        [
            paid("2026-01-20"),
            event(CANCEL, "2026-01-25", next_charge_at=noon("2026-02-20")),
            plan(),
        ],
        ("granted", "cancelamento", "2026-01-20", "2026-02-21"),
    ),
    "cancelled, the last day": (
        [
            paid("2026-01-08"),
            event(CANCEL, "2026-01-25", next_charge_at=noon("2026-02-08")),
            plan(),
        ],
        ("granted", "cancelamento", "2026-01-08", "2026-02-09"),
    ),
    "cancelled and over": (
        [
            paid("2026-01-07"),
            event(CANCEL, "2026-01-25", next_charge_at=noon("2026-02-07")),
            plan(),
        ],
        ("ended", "cancelamento", "2026-02-08", None),
    ),
    "refunded": (
        [paid("2026-01-20", refunded="2026-01-25"), plan()],
        ("ended", "reembolso", "2026-01-25", None),
    ),
    "charged back": (
        [paid("2026-01-20", refunded="2026-01-25", reversal_kind="chargeback"), plan()],
        ("ended", "chargeback", "2026-01-25", None),
    ),
    "end of term": (
        [paid("2026-01-05"), plan(max_charge_cycles=1)],
        ("ended", "fim_de_ciclo", "2026-02-06", None),
    ),
    "another's transaction expired": (
        [
            paid("2026-01-25"),
            event("PURCHASE_CANCELED", "2026-01-26", transaction="HPX"),
            unpaid("2026-01-27", "failed"),
            plan(),
        ],
        ("granted", "pagamento", "2026-01-25", None),
    ),
    "in a trial": (
        [
            reading(
                "2026-02-07",
                is_trial=True,
                accession_at=noon("2026-02-05"),
                next_charge_at=noon("2026-02-12"),
                subscriber_email="ana@example.com",
            )
        ],
        ("granted", "trial", "2026-02-05", "2026-02-13"),
    ),
    "bought once": ([bought("2026-01-10")], ("granted", "compra", "2026-01-10", None)),
    "bought and returned": (
        [bought("2026-01-10", refunded="2026-01-12")],
        ("ended", "reembolso", "2026-01-12", None),
    ),
    "bought twice, one returned": (
        [
            bought("2026-01-10", refunded="2026-01-12"),
            bought("2026-01-20", transaction="HPB"),
        ],
        ("granted", "compra", "2026-01-20", None),
    ),
    "partly refunded": (
        [bought("2026-01-10", status_class="partial", is_paid=False, is_eligible=False)],
        ("granted", "compra", "2026-01-10", None),
    ),
    "free of charge": (
        [bought("2026-01-10", base="0.00", is_purchase=False, is_eligible=False)],
        ("granted", "compra", "2026-01-10", None),
    ),
    "paid by instalments": (
        [paid("2026-01-10", payment_mode="SMART_INSTALLMENT")],
        ("granted", "compra", "2026-01-10", None),
    ),
    "a purchase beside a lost subscription": (
        [
            paid("2026-01-01", refunded="2026-01-05"),
            bought("2026-01-03", transaction="HPB"),
            plan(),
        ],
        ("granted", "compra", "2026-01-03", None),
    ),
    "of a subscription that is not known yet": (
        [paid("2026-01-10", subscriber_code=None)],
        ("granted", "compra", "2026-01-10", None),
    ),
    "not paid": ([unpaid("2026-02-05", "pending", 1), plan()], None),
    "of another producer": ([bought("2026-01-10", is_own=False)], None),
    "of somebody erased": ([bought("2026-01-10", is_erased=True)], None),
}


@pytest.fixture(scope="module")
def told():
    lake = lake_of("2026-02-08", {name: facts for name, (facts, _) in STORIES.items()})
    decide(lake, local("2026-02-08 23:59"))
    return {row["product_id"]: row for row in lake.rows("FROM silver.access")}


@pytest.mark.parametrize("story", STORIES)
def test_what_each_story_gives(told, story):
    expected, row = STORIES[story][1], told.get(story)
    found = row and (row["status"], row["event"], day(row["since"]), day(row["until"]))
    assert found == expected


def test_a_dispute_shows_and_takes_nothing():
    lake = lake_of(
        "2026-02-08",
        {
            "A": [bought("2026-01-10", status_class="disputed", is_paid=False, is_disputed=True)],
            "B": [paid("2026-01-25", is_disputed=True, status_class="disputed"), plan()],
            "C": [paid("2026-01-25"), plan()],
        },
    )
    decide(lake, local("2026-02-08 12:00"))
    rows = lake.tx.read("SELECT status, is_disputed FROM silver.access ORDER BY product_id").rows()
    assert rows == [("granted", True), ("granted", True), ("granted", False)]


def test_plans_by_table_else_by_what_a_month_is_worth():
    dollars = {
        "currency": "USD",
        "value": Decimal("500.00"),
        "net_value": None,
    }
    unknown = dict.fromkeys(("gross", "base", "net", "value", "net_value"))
    lake = lake_of(
        "2026-01-20",
        {
            "both": [paid("2026-01-05", offer_code="o1"), plan()],
            "offer": [paid("2026-01-05", offer_code="o2"), plan()],
            "product": [paid("2026-01-05", offer_code="o3"), plan()],
            "once": [bought("2026-01-05", offer_code="o2")],
            "none": [bought("2026-01-05")],
            "scale": [paid("2026-01-05", base="299.00"), plan()],
            "pro": [paid("2026-01-05", base="97.00"), plan()],
            "basic": [paid("2026-01-05", base="588.00"), plan(period_days=360)],
            "free": [paid("2026-01-05", base="587.00"), plan(period_days=360)],
            "usd": [paid("2026-01-05", **dollars), plan()],
            "no rate": [paid("2026-01-05", **dollars | {"value": None}), plan()],
            "no price": [paid("2026-01-05") | unknown, plan()],
            "listed price": [paid("2026-01-05") | unknown, plan(price_value=Decimal("97.00"))],
        },
    )
    table = [
        AccessPlan(plan="p1", product="product"),
        AccessPlan(plan="p2", offer="o2"),
        AccessPlan(plan="p3", product="both", offer="o1"),
        AccessPlan(plan="p4", product="both"),
    ]
    decide(lake, local("2026-01-20 12:00"), *table)
    found = dict(lake.tx.read("SELECT product_id, plan FROM silver.access").rows())
    assert found == {
        **{"both": "p3", "offer": "p2", "product": "p1", "once": "p2", "none": None},
        **{name: name for name in ("scale", "pro", "basic", "free")},
        "usd": "scale",
        **{"no rate": None, "no price": None, "listed price": "pro"},
    }, "unknown is not little"


def test_the_table_of_plans_in_the_tenant_file():
    table = {"plans": [{"product": 4201, "plan": "pro"}, {"offer": "o1", "plan": "max"}]}
    rules = site(access=table, subscriptions={"delay_days": 15}).tenant
    assert [(p.product, p.offer, p.plan) for p in rules.access.plans] == [
        ("4201", None, "pro"),
        (None, "o1", "max"),
    ]
    assert (rules.subscriptions.delay_days, rules.access.grace_days) == (15, 7)
    with pytest.raises(SettingsError, match="diga product, offer ou os dois"):
        site(access={"plans": [{"plan": "pro"}]})
