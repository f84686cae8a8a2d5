"""One sale as bronze holds it, and what silver makes of its variations."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from lake import Lake

from crm_assets.checks.contract import check_frame
from crm_assets.checks.silver import SaleRecords
from crm_assets.silver.sale_rules import sale_records_sql

ORDERED = datetime(2026, 1, 10, 12, tzinfo=UTC)
APPROVED = datetime(2026, 1, 11, 12, tzinfo=UTC)
SALE = {
    "transaction": "HP0000000001",
    "status": "APPROVED",
    "ordered_at": ORDERED,
    "approved_at": APPROVED,
    "product_id": "1",
    "product_name": "Curso",
    "price_value": Decimal("120.00"),
    "price_currency": "BRL",
    "payment_type": "PIX",
    "commission_as": "PRODUCER",
    "payment_mode": "UNIQUE_PAYMENT",
    "is_subscription": False,
    "fee_total": Decimal("10.00"),
    "fee_base": Decimal("100.00"),
    "fee_currency": "BRL",
    "slice": "2026-01-01",
    "extracted_at": APPROVED,
}


def sales(*changes, include_affiliates=False, seen=(), **tables):
    """Sale records of `SALE` once per change, with rows of other bronze tables beside it."""
    lake = Lake()
    lake.bronze("bronze.hotmart_transactions", *({**SALE, **change} for change in changes))
    lake.bronze("bronze.hotmart_status_changes", *seen)
    for table, rows in tables.items():
        common = {name: SALE[name] for name in ("transaction", "slice", "extracted_at")}
        lake.bronze(f"bronze.hotmart_{table}", *({**common, **row} for row in rows))
    sql = sale_records_sql(currency="BRL", include_affiliates=include_affiliates)
    found = lake.tx.read(f"FROM ({sql}) ORDER BY sale_id")
    assert check_frame(found, SaleRecords).passed
    return found.to_dicts()


def sale(include_affiliates=False, seen=(), tables=None, **change):
    (found,) = sales(change, include_affiliates=include_affiliates, seen=seen, **(tables or {}))
    return found
