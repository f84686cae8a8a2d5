"""One event as bronze holds it, for tests of what silver makes of its variations."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

HELD: dict[str, Any] = {
    "event": "PURCHASE_APPROVED",
    "kind": "PURCHASE_APPROVED",
    "version": "2.0.0",
    "occurred_at": datetime(2026, 3, 12, 15, tzinfo=UTC),
    "received_at": datetime(2026, 3, 12, 15, 1, tzinfo=UTC),
    "transaction": "HP1",
    "product_id": "7",
    "product_name": "Curso",
    "email": "lia.invento@example.com",
    "name": "Lia Invento Prado",
    "phone": "31961234501",
    "document": "52998224725",
    "country": "BR",
    "state": "Minas Gerais",
    "city": "Belo Horizonte",
    "price_value": Decimal("97.00"),
    "full_price_value": Decimal("104.76"),
    "currency": "BRL",
    "order_at": datetime(2026, 3, 12, 14, 59, tzinfo=UTC),
    "raw": "{}",
    "slice": "hotmart:2026-03-12",
    "extracted_at": datetime(2026, 3, 12, 15, 2, tzinfo=UTC),
    "run_id": "r",
}


def held(number: int, **change: Any) -> dict[str, Any]:
    """The row of one event, its place in the inbox and its id given by a number."""
    return {**HELD, "event_id": f"e{number}", "inbox_id": number, **change}
