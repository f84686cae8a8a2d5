"""Who may use what: rules by the clock, decisions of people, and a log that never repeats."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import Lake, cus, local, random_cases, site
from subscription_samples import event, noon, paid, reading, tell_many, unpaid

from crm_assets.checks.contract import check_table
from crm_assets.checks.subscriptions import Access, AccessLog
from crm_assets.settings import SettingsError
from crm_assets.silver.access import _log_agrees, _write
from crm_assets.silver.access_rules import BLOCK, RELEASE, decide_access, decision
from crm_assets.tenants import AccessPlan

CANCEL, DELAY = "SUBSCRIPTION_CANCELLATION", "PURCHASE_DELAYED"


def plan(**more):
    return reading("2025-12-31", status=None, **more)


def bought(day, **more):
    """A purchase that is no subscription."""
    own = {"subscriber_code": None, "is_subscription": False, "payment_mode": "UNIQUE_PAYMENT"}
    return paid(day, **{**own, **more})


def decide(lake: Lake, now: datetime, *plans: AccessPlan, currency: str = "BRL") -> None:
    decide_access(
        lake.tx,
        plans=plans,
        grace_days=7,
        currency=currency,
        today=lake.value("SELECT $now::DATE", {"now": now}),
        now=now,
    )
    assert check_table(lake.tx, "silver.access", Access).passed
    assert check_table(lake.tx, "silver.access_log", AccessLog).passed
    assert _log_agrees(lake.tx).passed


def known(*customers: int) -> Any:
    """Customers that answer for themselves, as SQL rows."""
    return [{"customer_id": cus(n), "survivor_id": cus(n)} for n in customers]


def lake_of(today: str, stories: dict[str, list[dict[str, Any]]]) -> Lake:
    """Stories told on a day, whose people the master knows."""
    lake = next(iter(tell_many(today, stories).values())).lake
    lake.tx.execute("DELETE FROM silver.customer_ids")
    lake.bronze("silver.customer_ids", *known(1, 2, 7))
    return lake


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


def day(instant: datetime | None) -> str | None:
    return f"{instant:%Y-%m-%d}" if instant else None


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
    }


def test_the_clock_alone_suspends_and_ends():
    lake = lake_of(
        "2026-02-01",
        {
            "A": [paid("2026-01-01"), event(DELAY, "2026-02-01"), plan()],
            "B": [
                paid("2026-01-05"),
                event(CANCEL, "2026-01-06", next_charge_at=noon("2026-02-05")),
                plan(),
            ],
        },
    )
    for moment in ("02-01 20:00", "02-05 23:59", "02-06 00:00", "02-07 23:59", "02-08 00:00"):
        decide(lake, local(f"2026-{moment}"))
    log = lake.tx.read("SELECT product_id, before, status FROM silver.access_log ORDER BY rowid")
    assert log.rows() == [
        ("A", None, "grace"),
        ("B", None, "granted"),
        ("B", "granted", "ended"),
        ("A", "grace", "suspended"),
    ]


def test_again_and_with_the_clock_put_back_nothing_is_said_twice():
    lake = lake_of("2026-02-01", {"A": [paid("2026-01-01"), event(DELAY, "2026-02-01"), plan()]})
    for moment in ("02-01 20:00", "02-01 20:00", "02-09 10:00", "02-02 10:00", "02-09 10:00"):
        decide(lake, local(f"2026-{moment}"))
    assert lake.column("SELECT status FROM silver.access_log") == ["grace", "suspended"]
    assert lake.column("SELECT status FROM silver.access") == ["suspended"]


def decided(kind, moment, number, *, person=1, product="A", until=None, **keys):
    """A decision, as a row of the copied action log."""
    action = decision(
        kind,
        customer_id=cus(person),
        product_id=product,
        email_key=keys.get("email_key"),
        phone_key=None,
        reason="porque sim",
        actor="rita",
        at=local(f"2026-{moment}"),
        until=until,
    )

    return {
        "id": number,
        "kind": action.kind,
        "idempotency_key": action.idempotency_key,
        "customer_id": action.customer_id,
        "email_key": action.email_key,
        "payload": json.dumps(action.payload),
        "actor": action.actor,
        "reason": action.reason,
        "occurred_at": action.at,
    }


def test_a_person_blocks_and_releases():
    lake = lake_of("2026-01-20", {"A": [paid("2026-01-05"), plan()]})
    decide(lake, local("2026-01-20 12:00"))
    lake.bronze("bronze.crm_actions", decided(BLOCK, "01-21 10:00", 1))
    decide(lake, local("2026-01-20 13:00"))  # not yet
    decide(lake, local("2026-01-21 12:00"))
    (row,) = lake.rows("FROM silver.access")
    assert (row["status"], row["event"], row["decided_by"]) == ("suspended", "bloqueio", "rita")
    assert row["reason"] == "porque sim"
    lake.bronze("bronze.crm_actions", decided(RELEASE, "01-22 10:00", 2))
    decide(lake, local("2026-01-22 12:00"))
    log = lake.tx.read("SELECT status, event, decided_by FROM silver.access_log ORDER BY rowid")
    assert log.rows() == [
        ("granted", "pagamento", None),
        ("suspended", "bloqueio", "rita"),
        ("granted", "pagamento", None),
    ]


def test_an_access_given_ends_with_its_day():
    lake = lake_of("2026-01-20", {"B": [paid("2026-01-05"), plan()]})
    lake.bronze(
        "bronze.crm_actions",
        decided(RELEASE, "01-21 10:00", 1, until=date(2026, 1, 25)),
    )
    decide(lake, local("2026-01-25 23:59"))
    (row,) = lake.rows("FROM silver.access WHERE product_id = 'A'")
    assert (row["status"], row["event"], day(row["until"])) == (
        "granted",
        "liberacao",
        "2026-01-26",
    )
    decide(lake, local("2026-01-26 00:00"))
    assert lake.column("SELECT product_id FROM silver.access") == ["B"]
    last = "SELECT status, event FROM silver.access_log WHERE product_id = 'A' ORDER BY rowid DESC"
    assert lake.tx.read(last).row(0) == ("ended", "sem_direito")


def test_a_decision_follows_the_person():
    lake = lake_of("2026-01-20", {"A": [paid("2026-01-05", customer_id=cus(7)), plan()]})
    lake.bronze("silver.customer_ids", {"customer_id": cus(8), "survivor_id": cus(7)})
    lake.bronze("bronze.crm_actions", decided(BLOCK, "01-10 10:00", 1, person=8))
    decide(lake, local("2026-01-20 12:00"))
    assert lake.column("SELECT status FROM silver.access") == ["suspended"]
    rebuilt = decided(BLOCK, "01-10 10:00", 1, person=99, email_key="ana@example.com")
    lake.tx.execute("DELETE FROM bronze.crm_actions")
    lake.bronze("bronze.crm_actions", rebuilt)
    decide(lake, local("2026-01-20 13:00"))
    assert lake.column("SELECT status FROM silver.access") == ["suspended"]


def test_a_merge_says_nothing_new():
    lake = lake_of("2026-01-20", {"A": [paid("2026-01-05", customer_id=cus(2)), plan()]})
    decide(lake, local("2026-01-20 12:00"))
    lake.tx.execute(
        "UPDATE silver.customer_ids SET survivor_id = ? WHERE customer_id = ?", [cus(1), cus(2)]
    )
    for table in ("silver.sales", "silver.subscriptions", "silver.subscription_periods"):
        lake.tx.execute(f"UPDATE {table} SET customer_id = ?", [cus(1)])
    decide(lake, local("2026-01-20 13:00"))
    assert lake.column("SELECT customer_id FROM silver.access_log") == [cus(2)]
    assert lake.column("SELECT customer_id FROM silver.access") == [cus(1)]


def test_the_step_waits_for_the_first_refine():
    lake = Lake()
    assert _write(site(), lake.tx) == {}
    assert _log_agrees(lake.tx).passed


def test_what_the_step_tells():
    lake = lake_of("2026-03-10", {"A": [paid("2026-03-05"), plan()], "B": [bought("2026-03-01")]})
    told = _write(site("2026-03-15T12:00:00-03:00"), lake.tx)
    assert told["silver.access"] == {
        "liberados": 2,
        "em tolerância": 0,
        "suspensos": 0,
        "encerrados": 0,
        "em disputa": 0,
        "decididos por uma pessoa": 0,
        "plano pro": 1,
    }
    assert told["silver.access_log"] == {"mudanças agora": 2}


MOMENTS = st.lists(st.integers(0, 24 * 60), min_size=1, max_size=8)


@random_cases(4)
@given(MOMENTS)
def test_the_log_is_the_story_of_its_moments(hours):
    lake = lake_of(
        "2026-02-01",
        {
            "A": [paid("2026-01-01"), event(DELAY, "2026-02-01"), plan()],
            "B": [
                paid("2026-01-05"),
                event(CANCEL, "2026-01-06", next_charge_at=noon("2026-02-05")),
                plan(),
            ],
            "C": [bought("2026-01-10")],
        },
    )
    begin = local("2026-02-01 12:00")
    for hour in hours:
        decide(lake, begin + timedelta(hours=hour))
    rows = lake.rows("SELECT product_id, before, status FROM silver.access_log ORDER BY rowid")
    assert all(row["before"] != row["status"] for row in rows)
    assert max(Counter((row["product_id"], row["status"]) for row in rows).values()) == 1
    for product in "ABC":
        mine = [row for row in rows if row["product_id"] == product]
        assert [row["before"] for row in mine] == [None, *(row["status"] for row in mine[:-1])]


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
