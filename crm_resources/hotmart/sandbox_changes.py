"""Cancelling and reactivating in the sandbox's account (hotmart.md 5.5, 5.6).

A cancelled subscription is that from when it was asked for. A reactivated one stays as it was
until its subscriber accepts, which here is `accept`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from crm_resources.hotmart.sandbox_data import SandboxData
from crm_resources.hotmart.sandbox_faults import Faults, Problem
from crm_resources.hotmart.statuses import Item
from crm_resources.hotmart.subscription_changes import (
    ALREADY_ACTIVE,
    ALREADY_CANCELLED,
    CANCEL,
    PATH,
    REACTIVATE,
)

CHANGE_PATHS = (
    f"{PATH}/{CANCEL}",
    f"{PATH}/{REACTIVATE}",
    f"{PATH}/{{code}}/{CANCEL}",
    f"{PATH}/{{code}}/{REACTIVATE}",
)

_RUNNING = {"ACTIVE", "DELAYED", "STARTED"}
_INTERVALS = {
    7: ("WEEK", 1),
    30: ("MONTH", 1),
    60: ("MONTH", 2),
    90: ("MONTH", 3),
    180: ("MONTH", 6),
    360: ("MONTH", 12),
}


def change(data: SandboxData, faults: Faults, path: str, body: bytes) -> Item:
    """Do what was asked for and answer as the vendor does: one object, or two lists.

    A list of failures that would be empty is left out, as in real answers.

    Raises:
        Problem: nothing usable was asked for, or the one subscription is not changed.
    """
    asked = _asked(body)
    *before, verb = path.removeprefix(PATH).strip("/").split("/")
    codes = before or asked.get("subscriber_code")
    if not isinstance(codes, list) or not codes:
        raise Problem(400, "invalid_parameter")
    made: list[Item] = []
    failed: list[Item] = []
    for code in codes:
        item = _newest(data, code)
        error = "SUBSCRIPTION_NOT_FOUND" if item is None else faults.refuse_changes.get(code)
        error = error or _obstacle(verb, item or {})
        if error:
            failed.append({"subscriber_code": code, "error": error})
        elif item is not None:
            made.append(_done(data, verb, code, item))
    if before:
        if failed:
            raise Problem(404 if "NOT_FOUND" in failed[0]["error"] else 400, failed[0]["error"])
        return made[0]
    return {"success_subscriptions": made} | ({"fail_subscriptions": failed} if failed else {})


def accept(data: SandboxData, code: str) -> None:
    """The subscriber follows the link of a reactivation."""
    data.change(code, {"status": "ACTIVE", "end_accession_date": None})


def _asked(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body or b"{}")
    except ValueError:
        raise Problem(400, "invalid_parameter") from None
    return asked if isinstance(asked, dict) else {}


def _newest(data: SandboxData, code: str) -> Item | None:
    found = (
        each.item
        for each in data.subscriptions()
        if each.billing_type == "SUBSCRIPTION" and each.item["subscriber_code"] == code
    )
    return max(found, key=lambda item: item["accession_date"], default=None)


def _obstacle(verb: str, item: Item) -> str | None:
    running = item["status"] in _RUNNING
    if verb == CANCEL:
        return None if running else ALREADY_CANCELLED
    if running:
        return ALREADY_ACTIVE
    return "SUBSCRIPTION_OVERDUE" if item["status"] == "OVERDUE" else None


def _done(data: SandboxData, verb: str, code: str, item: Item) -> Item:
    created_at = _written(item["accession_date"])
    shopper = {"email": item["subscriber"].get("email"), "phone": "(31) 90000-0000"}
    common = {
        "status": "INACTIVE",
        "subscriber_code": code,
        "creation_date": created_at,
        "shopper": shopper,
    }
    period = item["plan"]["recurrency_period"]
    if verb == REACTIVATE:
        return common | {"interval_between_charges": period}
    ended = {"status": "CANCELLED_BY_SELLER", "end_accession_date": data.asked_ms}
    data.change(code, ended)
    unit, number = _INTERVALS[period]
    return common | {
        "current_recurrence": 1,
        "date_last_recurrence": created_at,
        "date_next_charge": _written(item.get("date_next_charge") or data.asked_ms),
        "due_day": 1,
        "interval_type_between_charges": unit,
        "interval_between_charges": number,
        "max_charge_cycles": item["plan"].get("max_charge_cycles", 0),
        "activation_date": created_at,
    }


def _written(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant / 1000, UTC):%Y-%m-%d %H:%M:%S}"
