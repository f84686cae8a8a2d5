"""Lives of subscriptions told as facts, and what silver makes of them on a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from lake import Lake, cus, local

from crm_assets.checks.silver import ContactRecords, CustomerXref, Sales
from crm_assets.checks.subscriptions import (
    SubscriptionHistory,
    SubscriptionPeriods,
    Subscriptions,
)
from crm_assets.silver.subscription_facts import gather_facts
from crm_assets.silver.subscription_rules import write_subscriptions
from crm_assets.silver.subscriptions import _no_overlap, _one_open_status

CODE = "ABCD1234"
CANCEL, DELAY = "SUBSCRIPTION_CANCELLATION", "PURCHASE_DELAYED"
SWITCH, MOVE = "SWITCH_PLAN", "UPDATE_SUBSCRIPTION_CHARGE_DATE"


def noon(day: str | date) -> datetime:
    """Noon of a day in São Paulo."""
    return local(f"{day} 12:00")


def paid(
    day: str, number: int = 1, base: str = "100.00", *, code: str = CODE, **more: Any
) -> dict[str, Any]:
    """A paid recurrence, as a row of `silver.sales`; `refunded` is the day it was given back."""
    transaction = more.pop("transaction", f"HP{code}{day}{number}".replace("-", ""))
    refunded = more.pop("refunded", None)
    amount = Decimal(base)
    reversal = {
        "status": "REFUNDED",
        "status_class": "reversed",
        "is_paid": False,
        "is_refunded": True,
        "reversal_kind": "refund",
        "refunded_at": noon(refunded) if refunded else None,
        "is_eligible": False,
    }
    return {
        "sale_id": f"hotmart:{transaction}",
        "record_id": f"hotmart:{transaction}",
        "order_id": transaction,
        "ordered_at": noon(day),
        "paid_at": noon(day),
        "gross": amount,
        "base": amount,
        "net": amount * Decimal("0.9"),
        "net_currency": "BRL",
        "is_subscription": True,
        "recurrence_number": number,
        "payment_mode": "SUBSCRIPTION",
        "commission_as": "PRODUCER",
        "subscriber_code": code,
        "customer_id": cus(1),
        **(reversal if refunded else {}),
        **more,
    }


def unpaid(day: str, status: str, number: int = 2, **more: Any) -> dict[str, Any]:
    """A recurrence that nobody paid: `late`, `pending` or `failed`."""
    return paid(
        day,
        number,
        transaction=f"HPX{day}{number}".replace("-", ""),
        paid_at=None,
        status="",
        status_class=status,
        is_paid=False,
        was_paid=False,
        is_purchase=False,
        is_eligible=False,
        **more,
    )


def event(kind: str, day: str, *, code: str | None = CODE, **more: Any) -> dict[str, Any]:
    """An event, as a row of `silver.events`."""
    at = more.pop("at", None) or noon(day)
    return {
        "event_id": f"{kind}-{day}-{code}",
        "kind": kind,
        "occurred_at": at,
        "received_at": at,
        "subscriber_code": code,
        "product_id": "1",
        **more,
    }


def reading(
    day: str, status: str | None = "ACTIVE", *, code: str = CODE, **more: Any
) -> dict[str, Any]:
    """What the API says on a day, as a row of `bronze.hotmart_subscriptions`."""
    return {
        "subscription_id": more.pop("subscription_id", f"9{code}"),
        "subscriber_code": code,
        "status": status,
        "period_days": 30,
        "product_id": "1",
        "plan_id": "p1",
        "plan_name": "Mensal",
        "price_currency": "BRL",
        "slice": "2025-01-01",
        "extracted_at": noon(day),
        **more,
    }


def plan(**more: Any) -> dict[str, Any]:
    """The plan of the subscription, known before it began; of its status nothing is said."""
    return reading("2025-12-31", status=None, **more)


MONTHLY = plan()


def cancel(day: str, until: str, **more: Any) -> dict[str, Any]:
    """A cancellation, paid until a day."""
    return event(CANCEL, day, next_charge_at=noon(until), **more)


def approved(day: str, number: int, until: str) -> list[dict[str, Any]]:
    """A paid recurrence of which only a webhook tells."""
    sale = paid(day, number)
    told = event("PURCHASE_APPROVED", day, transaction=sale["order_id"], next_charge_at=noon(until))
    return [sale, told]


@dataclass
class Told:
    """What silver says of one subscription at the end of a day."""

    life: list[dict[str, Any]]
    stretches: list[dict[str, Any]]
    statuses: list[dict[str, Any]]
    lake: Lake

    @property
    def periods(self) -> list[tuple[Any, ...]]:
        """First day, end, state, monthly gross, why it ended."""
        return [
            (
                str(row["from_day"]),
                str(row["to_day"]) if row["to_day"] else None,
                row["state"] if row["is_committed"] else f"{row['state']} (pedido)",
                None if row["mrr_gross"] is None else str(row["mrr_gross"]),
                row["ended_by"],
            )
            for row in self.stretches
        ]

    @property
    def history(self) -> list[tuple[str, str]]:
        """Status and day since which it holds."""
        return [(row["status"], f"{row['valid_from']:%Y-%m-%d}") for row in self.statuses]

    @property
    def one(self) -> dict[str, Any]:
        """The subscription."""
        (row,) = self.life
        return row


def telling(stories: Mapping[str, tuple[Any, ...]]) -> Callable[[str], Told]:
    """What tells a story by its name; each begins with its day, then its facts.

    Those of one day are told at once, when the first of them is asked for.
    """

    @cache
    def told_on(today: str) -> dict[str, Told]:
        return tell_many(today, {n: story[1] for n, story in stories.items() if story[0] == today})

    return lambda name: told_on(stories[name][0])[name]


def tell(today: str, *facts: dict[str, Any], **more: Any) -> Told:
    """Put facts (sales, events, readings in any order) into a lake and tell them on a day.

    With a `lake` they come on top of what it noted before.
    """
    return tell_many(today, {CODE: facts}, **more)[CODE]


def tell_many(
    today: str,
    lives: Mapping[str, Sequence[dict[str, Any]]],
    *,
    currency: str = "BRL",
    delay_days: int = 30,
    lake: Lake | None = None,
) -> dict[str, Told]:
    """Several stories on one day, each in the code and product of its own name."""
    lake = lake or _peopled()
    facts = [_renamed(fact, name) for name, story in lives.items() for fact in story]
    lake.put("silver.sales", Sales, *(fact for fact in facts if "sale_id" in fact))
    lake.tx.execute("DELETE FROM silver.events")
    lake.bronze("silver.events", *(fact for fact in facts if "event_id" in fact))
    lake.tx.execute("DELETE FROM bronze.hotmart_subscriptions")
    lake.bronze("bronze.hotmart_subscriptions", *(fact for fact in facts if "slice" in fact))
    now = local(f"{today} 23:59") + timedelta(seconds=59)
    gather_facts(lake.tx, currency, now)
    write_subscriptions(
        lake.tx, delay_days=delay_days, grace_days=7, today=date.fromisoformat(today), now=now
    )
    assert lake.keeps("silver.subscriptions", Subscriptions)
    assert lake.keeps("silver.subscription_history", SubscriptionHistory)
    assert lake.keeps("silver.subscription_periods", SubscriptionPeriods)
    assert _no_overlap(lake.tx).passed
    assert _one_open_status(lake.tx).passed
    tables = (
        ("silver.subscriptions", "started_at"),
        ("silver.subscription_periods", "from_day"),
        ("silver.subscription_history", "valid_from"),
    )
    found = [lake.rows(f"FROM {table} ORDER BY {order}") for table, order in tables]
    return {
        name: Told(
            *([row for row in rows if _is_of(row["subscriber_code"], name)] for rows in found),
            lake,
        )
        for name in lives
    }


def _is_of(code: str, name: str) -> bool:
    return code == name or (name == CODE and code.startswith("assinatura:"))


def _renamed(fact: dict[str, Any], name: str) -> dict[str, Any]:
    """A fact of the sample subscription as one of another; those of other codes stay."""
    if name == CODE:
        return fact
    own = {"product_id": name}
    if fact.get("subscriber_code") == CODE:
        own["subscriber_code"] = name
    for key in ("sale_id", "transaction", "event_id", "subscription_id"):
        if fact.get(key):
            own[key] = f"{fact[key]}-{name}".replace(" ", "")
    return {**fact, **own}


def _peopled() -> Lake:
    lake = Lake()
    record = {"record_id": "hotmart:c", "source_id": "c"}
    lake.put("silver.contact_records", ContactRecords, {**record, "email_key": "ana@example.com"})
    lake.put("silver.customer_xref", CustomerXref, {**record, "customer_id": cus(7)})
    return lake
