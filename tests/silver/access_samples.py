"""People and stories of the tests of access, and the decision made of them."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from lake import Lake, cus, local
from subscription_samples import paid, tell_many

from crm_assets.checks.contract import check_table
from crm_assets.checks.subscriptions import Access, AccessLog
from crm_assets.silver.access import _log_agrees
from crm_assets.silver.access_rules import decide_access, decision
from crm_assets.tenants import AccessPlan


def bought(day: str, **more: Any) -> dict[str, Any]:
    """A purchase that is no subscription."""
    own = {"subscriber_code": None, "is_subscription": False, "payment_mode": "UNIQUE_PAYMENT"}
    return paid(day, **{**own, **more})


def decide(lake: Lake, now: datetime, *plans: AccessPlan, currency: str = "BRL") -> None:
    """Decide the access of a moment; the tables keep their contracts."""
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


def day(instant: datetime | None) -> str | None:
    """An instant as its day."""
    return f"{instant:%Y-%m-%d}" if instant else None


def decided(
    kind: str,
    moment: str,
    number: int,
    *,
    person: int = 1,
    product: str = "A",
    until: date | None = None,
    **keys: str,
) -> dict[str, Any]:
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
