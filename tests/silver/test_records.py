"""From bronze to contact records: which column feeds what (rules 2.1 to 2.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from lake import NOON, Lake, site

from crm_assets.checks.silver import ContactRecords, SaleRecords
from crm_assets.contact.place import country_codes, instagram_handles, uf_codes
from crm_assets.silver.contact_sources import raw_contacts
from crm_assets.silver.records import _transactions_match, _write, contact_records

SALE = {
    "transaction": "HP1",
    "status": "APPROVED",
    "ordered_at": datetime(2026, 1, 10, tzinfo=UTC),
    "buyer_name": "Ana Lima",
    "buyer_email": "Ana.Lima@Example.com ",
    "buyer_ucode": "u-1",
    "price_currency": "BRL",
    "commission_as": "PRODUCER",
    "slice": "2026-01-01",
    "extracted_at": NOON,
}
BUYER = {
    "transaction": "HP1",
    "ucode": "u-1",
    "name": "Ana de Lima",
    "email": "outra@example.com",
    "cellphone": "11987654329",
    "slice": "2026-01-01",
    "extracted_at": NOON,
}
CONTACT = {
    "line": 2,
    "manychat_id": "77",
    "full_name": "Bia Reis",
    "whatsapp_phone": "+5521987650001",
    "phone": "+5511987650002",
    "slice": "2026-03-01_0123456789ab",
    "extracted_at": NOON,
}


def records(sales=(), buyers=(), contacts=(), tenant=None):
    lake = Lake()
    lake.bronze("bronze.hotmart_transactions", *sales)
    lake.bronze("bronze.hotmart_customers", *buyers)
    lake.bronze("bronze.manychat_contacts", *contacts)
    lake.told = _write(tenant or site(), lake.tx)
    for table, contract in (
        ("silver.contact_records", ContactRecords),
        ("silver.sale_records", SaleRecords),
    ):
        assert lake.keeps(table, contract)
    assert _transactions_match(lake.tx).passed
    return lake


def one(**inputs):
    (row,) = records(**inputs).rows("FROM silver.contact_records")
    return row


def test_empty_bronze_gives_empty_tables():
    lake = records()
    assert lake.value("SELECT count(*) FROM silver.contact_records") == 0
    assert lake.told["silver.contact_records"]["sem chave"] == 0


def test_a_sale_with_its_buyer():
    row = one(sales=[SALE], buyers=[BUYER])
    assert row["record_id"] == "hotmart:HP1"
    assert row["source_id"] == row["source_key"] == row["hotmart_ucode"] == "u-1"
    assert row["email_key"] == "ana.lima@example.com"
    assert row["phone"] == row["phone_key"] == "+5511987654329"
    assert row["name"] == "Ana de Lima"
    assert row["first_name"] == "Ana"
    assert row["first_seen_at"] == row["observed_at"] == SALE["ordered_at"]


def test_a_sale_without_buyer_row():
    row = one(sales=[SALE])
    assert row["email_key"] == "ana.lima@example.com"
    assert row["phone"] is None
    assert row["name"] == "Ana Lima"


def test_a_buyer_without_history_row():
    lake = records(buyers=[BUYER])
    (row,) = lake.rows("FROM silver.contact_records")
    assert row["email_key"] == "outra@example.com"
    assert row["observed_at"] == NOON
    assert row["first_seen_at"] is None
    assert row["is_own"]
    assert lake.value("SELECT count(*) FROM silver.sale_records") == 0


def test_without_ucode_the_transaction_names_the_record_and_nobody_else():
    row = one(sales=[{**SALE, "buyer_ucode": None}])
    assert (row["source_id"], row["source_key"]) == ("HP1", None)
    assert one(sales=[{**SALE, "buyer_ucode": None}], buyers=[BUYER])["source_key"] == "u-1"


def test_the_latest_copy_of_a_buyer_counts():
    older = {**BUYER, "cellphone": "11912340000", "extracted_at": NOON - timedelta(days=1)}
    assert one(sales=[SALE], buyers=[BUYER, older])["phone"] == "+5511987654329"


@pytest.mark.parametrize(
    ("buyer", "phone", "key"),
    [
        ({"cellphone": "11987654329", "phone": "1133334444"}, "+5511987654329", True),
        ({"cellphone": "", "phone": "1132654444"}, "+551132654444", True),
        ({"cellphone": "987654321", "phone": "1132654444"}, "+551132654444", True),
        ({"cellphone": "987654321", "phone": ""}, None, False),
        ({"cellphone": "351912345678", "country": "Portugal"}, "+351912345678", True),
        ({"cellphone": "912345678", "country": "Portugal"}, "+351912345678", True),
        ({"cellphone": "11999998888", "phone": "1132654444"}, "+551132654444", True),
        ({"cellphone": "11999998888", "phone": ""}, "+5511999998888", False),
    ],
)
def test_hotmart_phone(buyer, phone, key):
    row = one(sales=[SALE], buyers=[{**BUYER, "phone": None, **buyer}])
    assert row["phone"] == phone
    assert row["phone_key"] == (phone if key else None)
    assert (row["phone_reason"] is None) == key


@pytest.mark.parametrize(
    ("currency", "locale", "document", "is_key"),
    [
        ("BRL", None, None, True),
        ("USD", "pt_BR", None, True),
        ("USD", None, "529.982.247-25", True),
        ("USD", None, "529.982.247-26", False),
        ("USD", None, None, False),
    ],
)
def test_brazilian_evidence_completes_an_eight_digit_mobile_starting_with_seven(
    currency, locale, document, is_key
):
    buyer = {**BUYER, "cellphone": "1176543219", "locale": locale, "document": document}
    row = one(sales=[{**SALE, "price_currency": currency}], buyers=[buyer])
    assert row["phone"] == "+5511976543219"
    assert (row["phone_key"] is not None) == is_key


def test_document_is_read_and_checked():
    row = one(buyers=[{**BUYER, "document": "529.982.247-25"}])
    assert (row["document"], row["document_kind"], row["document_valid"]) == (
        "52998224725",
        "cpf",
        True,
    )


@pytest.mark.parametrize(
    ("buyer", "country", "state", "origin"),
    [
        (
            {"country": "Brasil", "state": "Minas Gerais", "city": "Contagem"},
            "BR",
            "MG",
            "endereco",
        ),
        ({"country": "BR", "state": "sp"}, "BR", "SP", "endereco"),
        ({"country": "Brasil", "state": ""}, "BR", "SP", "ddd"),
        ({"country": "Brasil", "state": "Xyz"}, "BR", "SP", "ddd"),
        ({"country": "", "state": "Bahia"}, "BR", "BA", "endereco"),
        ({"country": None, "state": None}, "BR", "SP", "ddd"),
        ({"country": "Portugal", "state": "Lisboa", "cellphone": ""}, "PT", "Lisboa", "endereco"),
        ({"country": "Portugal", "state": "", "cellphone": "+5511987654329"}, "PT", None, None),
        ({"country": None, "state": None, "cellphone": ""}, None, None, None),
        ({"country": None, "state": None, "cellphone": "+351912345678"}, "PT", None, None),
    ],
)
def test_place(buyer, country, state, origin):
    row = one(sales=[SALE], buyers=[{**BUYER, **buyer}])
    assert (row["country"], row["state"], row["state_source"]) == (country, state, origin)


def test_manychat_whatsapp_comes_before_phone():
    row = one(contacts=[CONTACT])
    assert row["phone_key"] == "+5521987650001"
    assert one(contacts=[{**CONTACT, "whatsapp_phone": None}])["phone_key"] == "+5511987650002"
    assert row["source_key"] == row["manychat_id"] == "77"
    assert row["record_id"] == "manychat:2026-03-01_0123456789ab:2"
    assert (row["country"], row["state"], row["state_source"]) == ("BR", "RJ", "ddd")
    assert not row["has_address"]


def test_manychat_without_id_or_full_name():
    contact = {**CONTACT, "manychat_id": None, "full_name": None, "first_name": "Bia"}
    row = one(contacts=[{**contact, "last_name": None}])
    assert (row["name"], row["source_key"]) == ("Bia", None)
    assert row["source_id"] == "2026-03-01_0123456789ab:2"


def test_a_later_line_of_a_file_is_newer():
    lake = records(contacts=[CONTACT, {**CONTACT, "line": 3}])
    newest = "SELECT arg_max(record_id, observed_at) FROM silver.contact_records"
    assert lake.value(newest).endswith(":3")


def test_affiliate_buyers_are_not_our_own_unless_the_tenant_says_so():
    affiliate = [{**SALE, "commission_as": "AFFILIATE"}]
    assert not one(sales=affiliate)["is_own"]
    tenant = site(hotmart={"include_affiliate_sales": True})
    assert one(sales=affiliate, tenant=tenant)["is_own"]


def test_reasons_are_counted_without_values():
    lake = records(sales=[{**SALE, "buyer_email": "teste@example.com"}], contacts=[CONTACT])
    told = str(lake.told)
    assert "placeholder: 1" in told
    assert "example.com" not in told
    assert "98765" not in told


def test_a_lost_transaction_fails_the_reconciliation():
    lake = records(sales=[SALE, {**SALE, "transaction": "HP2"}])
    lake.tx.execute("DELETE FROM silver.sale_records WHERE sale_id = 'hotmart:HP2'")
    verdict = _transactions_match(lake.tx)
    assert not verdict.passed
    assert verdict.metadata == {"bronze": 2, "silver": 1}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Brasil", "BR"), (" BRASIL ", "BR"), ("br", "BR"), ("Moçambique", "MZ"), ("UK", "GB"),
        ("EUA", "US"), ("Países Baixos", "NL"), ("xx", None), ("Atlântida", None), ("", None),
        (None, None),
    ],
)  # fmt: skip
def test_country_codes(text, code):
    assert country_codes(pl.Series([text, "Peru"], dtype=pl.String)).to_list() == [code, "PE"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("São Paulo", "SP"),
        ("pará", "PA"),
        ("rj", "RJ"),
        ("Lisboa", None),
        ("ZZ", None),
        (None, None),
    ],
)
def test_uf_codes(text, code):
    assert uf_codes(pl.Series([text], dtype=pl.String)).to_list() == [code]


def test_place_rules_take_empty_columns():
    empty = pl.Series([], dtype=pl.String)
    assert country_codes(empty).to_list() == uf_codes(empty).to_list() == []


@pytest.mark.parametrize(
    ("text", "handle"),
    [
        ("@Ana.Lima", "ana.lima"),
        ("https://www.instagram.com/ana.lima/?hl=pt", "ana.lima"),
        ("instagram.com/ana", "ana"),
        (" ana ", "ana"),
        ("@", None),
        (None, None),
    ],
)
def test_instagram_handles(text, handle):
    frame = pl.DataFrame({"text": pl.Series([text], dtype=pl.String)})
    assert frame.select(instagram_handles(pl.col("text"))).item() == handle


def test_rows_stay_in_their_order():
    """Every normaliser answers row by row: no column is glued to a neighbour's."""
    lake = Lake()
    contacts = [
        {**CONTACT, "line": n, "manychat_id": str(n), "email": f"p{n}@example.com",
         "whatsapp_phone": f"+55119876{n:05}", "full_name": f"Pessoa {n}"}
        for n in range(2, 40)
    ]  # fmt: skip
    lake.bronze("bronze.manychat_contacts", *contacts)
    raw = raw_contacts(lake.tx).sample(fraction=1, shuffle=True, seed=3)
    for row in contact_records(raw).to_dicts():
        n = int(row["manychat_id"])
        assert row["email"] == f"p{n}@example.com"
        assert row["phone"] == f"+55119876{n:05}"
        assert row["name"] == f"Pessoa {n}"
