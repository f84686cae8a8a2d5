"""The recorded bodies of every event, about invented people, and the rows they become."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from crm_assets.bronze.event_bodies import items_of, read_body
from crm_assets.bronze.hotmart_event_rows import rows_sql
from crm_assets.checks.contract import check_frame
from crm_assets.checks.events import HotmartEvents
from crm_resources.ops import InboxEvent
from crm_resources.warehouse import Transaction

FOLDER = Path(__file__).parent / "events"
RECEIVED = datetime(2026, 6, 1, 12, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
STAMPS = {"slice": "hotmart:2026-06-01", "extracted_at": RECEIVED, "run_id": "r"}


def day(number: int, hour: int = 12, minute: int = 0, ms: int = 0) -> datetime:
    """An instant of March 2026."""
    return datetime(2026, 3, number, hour, minute, microsecond=ms * 1000, tzinfo=UTC)


LIA = {"email": "lia.invento@example.com", "name": "Lia Invento Prado"}
BUYER = {**LIA, "phone": "31961234501", "document": "52998224725", "state": "Minas Gerais"}
CLUB = {"product_id": "5417001", "product_name": "Clube do Cuidado"}
PRICE = {
    "price_value": Decimal("97.00"),
    "full_price_value": Decimal("104.76"),
    "currency": "BRL",
    "net_value": Decimal("88.82"),
}
PLAN = {"plan_id": "1090031", "plan_name": "Plano mensal", "offer_code": "k2v8mx1q"}
SOLD = {
    **BUYER,
    **CLUB,
    **PRICE,
    **PLAN,
    "subscriber_code": "LIAQ7K2M",
    "order_at": day(12, 11, 59),
}
PAID = {**SOLD, "transaction": "HP2603120001", "approved_at": day(12), "recurrence_number": 1}

SAID: dict[str, dict[str, Any]] = {
    "PURCHASE_APPROVED": {
        **PAID,
        "occurred_at": day(12, ms=123),
        "subscription_status": "ACTIVE",
        "payment_type": "CREDIT_CARD",
        "installments": 2,
        "country": "BR",
        "city": "Belo Horizonte",
        "checkout_country": "BR",
        "next_charge_at": datetime(2026, 4, 11, 12, tzinfo=UTC),
    },
    "PURCHASE_COMPLETE": PAID,
    "PURCHASE_CANCELED": {
        **SOLD,
        "transaction": "HP2603120002",
        "approved_at": None,
        "next_charge_at": None,
        "refusal_reason": "Transaction refused",
        "subscription_status": "INACTIVE",
    },
    "PURCHASE_REFUNDED": PAID,
    "PURCHASE_CHARGEBACK": PAID,
    "PURCHASE_EXPIRED": {**SOLD, "transaction": "HP2603120003", "payment_type": "BILLET"},
    "PURCHASE_DELAYED": {
        **SOLD,
        "transaction": "HP2604110004",
        "recurrence_number": 2,
        "refusal_reason": "UNKNOWN",
        "subscription_status": "DELAYED",
    },
    "PURCHASE_PROTEST": PAID,
    "PURCHASE_BILLET_PRINTED": {**SOLD, "transaction": "HP2603120005", "payment_type": "PIX"},
    "PURCHASE_OUT_OF_SHOPPING_CART": {
        **CLUB,
        "transaction": None,
        "email": "caio.invento@example.com",
        "name": "Caio Invento",
        "phone": "5531961234502",
        "offer_code": "k2v8mx1q",
        "checkout_country": "BR",
        "price_value": None,
    },
    "SUBSCRIPTION_CANCELLATION": {
        **LIA,
        **CLUB,
        "phone": "31961234501",
        "subscriber_code": "LIAQ7K2M",
        "subscription_id": "810042",
        "plan_id": "1090031",
        "price_value": Decimal("97.00"),
        "cancelled_at": day(12),
        "next_charge_at": datetime(2026, 4, 1, 12, tzinfo=UTC),
    },
    "SWITCH_PLAN": {
        **CLUB,
        **PLAN,
        "email": LIA["email"],
        "subscriber_code": "LIAQ7K2M",
        "subscription_status": "ACTIVE",
        "new_plan_id": "1090032",
        "new_plan_name": "Plano anual",
        "new_offer_code": "m9c4zr7t",
        "switched_at": day(12),
    },
    "UPDATE_SUBSCRIPTION_CHARGE_DATE": {
        **LIA,
        **CLUB,
        **PLAN,
        "subscriber_code": "LIAQ7K2M",
        "new_charge_day": 20,
        "next_charge_at": datetime(2026, 4, 20, 12, tzinfo=UTC),
    },
    "CLUB_FIRST_ACCESS": {**LIA, **CLUB, "occurred_at": day(12, ms=123)},
    "CLUB_MODULE_COMPLETED": {**LIA, **CLUB, "transaction": None},
    "ORDER_FULFILLMENT": {
        "transaction": "HP2603120006",
        "email": "nilo.invento@example.com",
        "name": "Nilo Invento",
        "phone": "11961234503",
    },
}


def body(kind: str) -> dict[str, Any]:
    """A recorded body of version 2."""
    value: dict[str, Any] = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    return value


def posted(value: object, number: int = 1, **more: Any) -> InboxEvent:
    """A body as the receiver keeps it."""
    told = value if isinstance(value, Mapping) else {}
    text = value if isinstance(value, str) else json.dumps(value)
    known = {
        "kind": "hotmart",
        "event_key": str(told.get("id") or f"key-{number}"),
        "event": told.get("event") if isinstance(told.get("event"), str) else None,
        "version": told.get("version") if isinstance(told.get("version"), str) else None,
        "content_type": "application/json",
        "received_at": RECEIVED,
        "id": number,
        "body": text,
    }
    return InboxEvent(**{**known, **more})


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A body with something else at a place."""
    changed = copy.deepcopy(value)
    *parents, last = path
    place = changed
    for name in parents:
        place = place[name]
    place[last] = new
    return changed


def form() -> InboxEvent:
    """The recorded form post of version 1."""
    text = (FOLDER / "v1_approved.form").read_text(encoding="utf-8")
    return posted(text, version="1.0.0", content_type=FORM)


def typed(tx: Transaction, events: Iterable[InboxEvent]) -> list[dict[str, Any]]:
    """The bronze rows of bodies that can be read, which keep the contract, with their `unread`."""
    read = tx.read(rows_sql(), items=items_of(map(read_body, events)))
    rows = read.drop("unread").with_columns(
        **{name: pl.lit(value) for name, value in STAMPS.items()}
    )
    assert check_frame(rows, HotmartEvents).passed
    return rows.with_columns(read["unread"]).to_dicts()


def told(row: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Field, reason and text of what a row has not although its body has it."""
    return {(each["field"], each["reason"], each["raw"]) for each in row["unread"]}
