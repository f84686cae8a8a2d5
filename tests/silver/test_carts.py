"""Abandoned carts and the people they bring (rules 5.1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from lake import Lake, cus, frame_of, site

from crm_assets.checks.events import Carts, Events
from crm_assets.checks.silver import ContactRecords, CustomerXref, Sales
from crm_assets.silver.carts import _write

START = datetime(2026, 3, 1, 15, tzinfo=UTC)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def abandoned(hours: float, person: int | None = 1, **more: Any) -> dict[str, Any]:
    record = None if person is None else f"hotmart:evento:{person}"
    return {
        "kind": "PURCHASE_OUT_OF_SHOPPING_CART",
        "occurred_at": at(hours),
        "received_at": at(hours),
        "record_id": record,
        "product_id": "7",
        "product_name": "Curso",
        "offer_code": "of1",
        **more,
    }


def paid(days_before: float, base: str | None, **more: Any) -> dict[str, Any]:
    return {
        "sale_id": f"s{days_before}{base}",
        "order_id": "o",
        "paid_at": START - timedelta(days=days_before),
        "product_id": "7",
        "offer_code": "of1",
        "gross": Decimal("999.00"),
        "base": base and Decimal(base),
        **more,
    }


def carts(*events, sales=(), people=(1, 2)) -> Lake:
    lake = Lake()
    rows = [{"event_id": f"e{i}", **each} for i, each in enumerate(events)]
    lake.tx.replace_table("silver.events", frame_of(Events, rows))
    records = [
        {
            "record_id": f"hotmart:evento:{person}",
            "source_id": f"evento:{person}",
            "email_key": f"p{person}@example.com",
        }
        for person in people
    ]
    lake.put("silver.contact_records", ContactRecords, *records)
    lake.put(
        "silver.customer_xref",
        CustomerXref,
        *(
            {
                "record_id": record["record_id"],
                "source_id": record["source_id"],
                "customer_id": cus(person),
            }
            for record, person in zip(records, people, strict=True)
        ),
    )
    lake.put("silver.sales", Sales, *sales)
    lake.told = _write(site(START), lake.tx)["silver.carts"]
    assert lake.keeps("silver.carts", Carts)
    return lake


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([0], [(0, 1)]),
        ([0, 2, 24], [(0, 3)]),
        ([0, 24], [(0, 2)]),
        ([0, 24.01], [(0, 1), (24.01, 1)]),
        ([0, 20, 40, 70], [(0, 3), (70, 1)]),
        ([70, 0, 40, 20], [(0, 3), (70, 1)]),
    ],
)
def test_what_follows_within_24_hours_is_one_cart(hours, expected):
    lake = carts(*(abandoned(hour) for hour in hours))
    found = lake.rows("SELECT cart_at, events FROM silver.carts ORDER BY cart_at")
    assert [(row["cart_at"], row["events"]) for row in found] == [(at(h), n) for h, n in expected]


def test_a_cart_is_of_one_person_and_one_product():
    lake = carts(
        abandoned(0),
        abandoned(1, person=2),
        abandoned(2, product_id="8", product_name="Outro"),
        abandoned(3, product_name="Curso novo"),
    )
    found = lake.rows("FROM silver.carts ORDER BY cart_at")
    assert [(r["customer_id"], r["product_id"], r["events"]) for r in found] == [
        (cus(1), "7", 2),
        (cus(2), "7", 1),
        (cus(1), "8", 1),
    ]
    first = found[0]
    assert (first["cart_id"], first["product_name"]) == ("hotmart:e0", "Curso novo")
    assert (first["email_key"], first["source"]) == ("p1@example.com", "hotmart")


def test_without_a_person_it_is_counted_and_no_cart():
    lake = carts(abandoned(0), abandoned(1, person=None), abandoned(2, person=9))
    assert lake.value("SELECT count(*) FROM silver.carts") == 1
    assert lake.told["eventos de carrinho"] == 3
    assert lake.told["eventos sem e-mail nem telefone"] == 2


@pytest.mark.parametrize(
    ("sales", "value"),
    [
        ([], None),
        ([paid(1, "100.00")], "100.00"),
        ([paid(1, "100.00"), paid(2, "97.00"), paid(3, "10.00")], "97.00"),
        ([paid(1, "100.00"), paid(2, "97.00")], "98.50"),
        ([paid(90, "97.00"), paid(91, "10.00")], "97.00"),
        ([paid(0, "97.00")], None),
        ([paid(-1, "97.00")], None),
        ([paid(1, "97.00", offer_code="of2")], None),
        ([paid(1, "97.00", product_id="8")], None),
        ([paid(1, "97.00", is_paid=False)], None),
        ([paid(1, "97.00", is_own=False)], None),
        ([paid(1, "97.00", is_new_order=False)], None),
        ([paid(1, "97.00", currency="USD")], None),
        ([paid(1, None)], None),
    ],
)
def test_the_value_is_the_median_of_ninety_days(sales, value):
    (row,) = carts(abandoned(0), sales=sales).rows("FROM silver.carts")
    expected = (Decimal(value), True, "BRL") if value else (None, False, None)
    assert (row["value"], row["is_estimated"], row["currency"]) == expected


def test_each_cart_has_the_value_of_its_own_day():
    lake = carts(abandoned(0), abandoned(24 * 40), sales=[paid(60, "50.00"), paid(-20, "150.00")])
    assert lake.column("SELECT value FROM silver.carts ORDER BY cart_at") == [
        Decimal("50.00"),
        Decimal("150.00"),
    ]


def test_a_cart_without_an_offer_is_not_estimated():
    lake = carts(abandoned(0, offer_code=None), sales=[paid(1, "97.00", offer_code=None)])
    assert lake.column("SELECT value FROM silver.carts") == [None]
