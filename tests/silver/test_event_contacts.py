"""Whom events tell us of: the sale's buyer beside the API's, and people without any sale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from event_rows import HELD, held
from lake import Lake, site

from crm_assets.checks.events import Events
from crm_assets.checks.silver import ContactRecords, SaleRecords
from crm_assets.silver.records import _transactions_match, _write

pytestmark = pytest.mark.slow

NOON = datetime(2026, 3, 12, 15, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
CART = {"kind": "PURCHASE_OUT_OF_SHOPPING_CART", "transaction": None}
SALE = {
    "transaction": "HP1",
    "status": "APPROVED",
    "ordered_at": NOON,
    "buyer_name": "Lia do Pedido",
    "buyer_email": "lia.pedido@example.com",
    "buyer_ucode": "u-1",
    "price_currency": "BRL",
    "slice": "2026-03-01",
    "extracted_at": NOON,
}
BUYER = {
    "transaction": "HP1",
    "ucode": "u-1",
    "name": "Lia da API",
    "email": "lia.api@example.com",
    "cellphone": "11987654329",
    "city": "Santos",
    "country": "Brasil",
    "slice": "2026-03-01",
    "extracted_at": NOON,
}
LINE = {
    "line": 2,
    "transaction": "HP1",
    "buyer_email": "lia.painel@example.com",
    "buyer_document": "529.982.247-25",
    "city": "Olinda",
    "slice": "f",
    "extracted_at": NOON,
}


def records(*events: dict[str, Any], **tables: Any) -> Lake:
    lake = Lake()
    lake.bronze("bronze.hotmart_events", *(held(i, **each) for i, each in enumerate(events, 1)))
    for table, row in tables.items():
        lake.bronze(f"bronze.{table}", row)
    _write(site(), lake.tx)
    for table, contract in (
        ("silver.events", Events),
        ("silver.contact_records", ContactRecords),
        ("silver.sale_records", SaleRecords),
    ):
        assert lake.keeps(table, contract)
    assert _transactions_match(lake.tx).passed
    return lake


def one(*events: dict[str, Any], **tables: Any) -> dict[str, Any]:
    (row,) = records(*events, **tables).rows("FROM silver.contact_records")
    return row


def test_a_buyer_whom_only_an_event_knows():
    row = one({})
    assert row["record_id"] == "hotmart:HP1"
    assert (row["source_id"], row["source_key"]) == ("HP1", None)
    assert (row["email_key"], row["name"]) == (HELD["email"], HELD["name"])
    assert (row["phone_key"], row["document"]) == ("+5531961234501", "52998224725")
    assert (row["city"], row["state"], row["country"]) == ("Belo Horizonte", "MG", "BR")
    assert (row["observed_at"], row["first_seen_at"]) == (HELD["order_at"], HELD["order_at"])


def test_the_api_wins_and_the_event_fills_what_it_leaves_out():
    row = one({}, hotmart_transactions=SALE)
    assert (row["source_id"], row["email_key"]) == ("u-1", "lia.pedido@example.com")
    assert (row["phone_key"], row["document"]) == ("+5531961234501", "52998224725")
    assert (row["name"], row["city"]) == ("Lia do Pedido", "Belo Horizonte")
    row = one({}, hotmart_transactions=SALE, hotmart_customers=BUYER)
    assert (row["name"], row["email_key"]) == ("Lia da API", "lia.pedido@example.com")
    assert (row["phone_key"], row["document"]) == ("+5511987654329", "52998224725")
    assert (row["city"], row["state"]) == ("Santos", "SP")
    row = one({}, hotmart_customers={**BUYER, "cellphone": " ", "phone": "1132221100"})
    assert row["phone_key"] == "+5531961234501"


def test_an_export_fills_what_events_leave_out():
    row = one({"document": None, "city": None, "state": None, "country": None}, hotmart_csv=LINE)
    assert (row["email_key"], row["document"]) == (HELD["email"], "52998224725")
    assert row["city"] == "Olinda"


def test_the_newest_event_of_a_sale_is_believed():
    newer = {"email": "nova@example.com", "occurred_at": LATER, "name": None}
    row = one({}, newer)
    assert (row["email_key"], row["name"]) == ("nova@example.com", HELD["name"])
    assert one(newer, {})["email_key"] == "nova@example.com"


def test_people_without_a_sale_are_one_record_each():
    lake = records(
        {**CART, "email": " Caio@Example.com"},
        {**CART, "email": "caio@example.com ", "name": "Caio Novo", "occurred_at": LATER},
        {**CART, "kind": "CLUB_FIRST_ACCESS", "email": "caio@example.com", "phone": None},
        {**CART, "email": None},
        {**CART, "email": None, "phone": None},
        {**CART, "kind": "SWITCH_PLAN", "email": "dora@example.com"},
    )
    found = lake.rows("FROM silver.contact_records ORDER BY record_id")
    assert [(row["record_id"], row["email_key"]) for row in found] == [
        ("hotmart:evento:e1", "caio@example.com"),
        ("hotmart:evento:e4", None),
        ("hotmart:evento:e6", "dora@example.com"),
    ]
    assert found[0]["name"] == "Caio Novo"
    told = lake.column("SELECT record_id FROM silver.events ORDER BY event_id")
    assert told == [*["hotmart:evento:e1"] * 3, "hotmart:evento:e4", None, "hotmart:evento:e6"]
    assert lake.value("SELECT count(*) FROM silver.sale_records") == 0


@pytest.mark.parametrize(
    ("checkout", "phone_key", "country"),
    [
        ("BR", "+5531961234501", "BR"),
        (None, "+5531961234501", "BR"),
        ("PT", "+5531961234501", "PT"),
    ],
)
def test_the_country_of_the_checkout_is_a_hint(checkout, phone_key, country):
    row = one({**CART, "checkout_country": checkout, "phone": "31961234501"})
    assert (row["phone_key"], row["country"]) == (phone_key, country)
    assert not row["has_address"]


def test_an_event_that_was_not_understood_brings_nobody():
    assert records({"kind": None}).rows("FROM silver.events") == []


SUBSCRIPTION = {
    "subscription_id": "81",
    "subscriber_code": "S1",
    "transaction": "HP1",
    "accession_at": NOON,
    "subscriber_name": "Rui Invento",
    "subscriber_email": "rui@example.com",
    "subscriber_ucode": "u-9",
    "slice": "2026-03-01",
    "extracted_at": NOON,
}


def test_a_subscriber_whose_first_charge_was_never_read_is_a_record():
    row = one(hotmart_subscriptions=SUBSCRIPTION)
    assert (row["record_id"], row["source_key"]) == ("hotmart:assinatura:81", "u-9")
    assert (row["email_key"], row["hotmart_ucode"]) == ("rui@example.com", "u-9")
    row = one(hotmart_subscriptions={**SUBSCRIPTION, "transaction": None, "subscriber_ucode": " "})
    assert (row["source_id"], row["source_key"]) == ("assinatura:81", None)
    for known in ({"hotmart_transactions": SALE}, {"hotmart_csv": LINE}):
        row = one(hotmart_subscriptions=SUBSCRIPTION, **known)
        assert row["record_id"] == "hotmart:HP1"
    assert one({}, hotmart_subscriptions=SUBSCRIPTION)["record_id"] == "hotmart:HP1"
