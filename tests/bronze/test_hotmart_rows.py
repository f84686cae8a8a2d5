"""From JSON records to typed rows: exact, and whatever cannot be read is told."""

import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.bronze.hotmart import typed_rows
from crm_assets.bronze.hotmart_rows import (
    COMMISSIONS,
    CUSTOMERS,
    PRICE_DETAILS,
    SUBSCRIPTION_TRANSACTIONS,
    SUBSCRIPTIONS,
    TRANSACTIONS,
    Shape,
)
from crm_resources.warehouse import Transaction

CONNECTION = duckdb.connect()
CONNECTION.execute("SET TimeZone = 'UTC'")


def read(shape: Shape, *items: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    return typed_rows(Transaction(CONNECTION), shape, list(items))


def purchase(**fields: object) -> tuple[dict[str, object], list[tuple[object, ...]]]:
    rows, rejects = read(TRANSACTIONS, {"purchase": {"transaction": "HP1", **fields}})
    return rows.row(0, named=True), rejects.rows()


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["BUYER", "HP1", "12.50", "1749597300000", "\ud83d", "\x00", "NaN", "1e999"])
)
NAMES = """
    purchase transaction users user role price value order_date approved_date product id name
    is_subscription installments_number payment recurrency_number hotmart_fee total documents
"""
keys = st.sampled_from(NAMES.split()) | st.text(max_size=3)
junk = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5)
)
items = st.dictionaries(keys, junk, max_size=6)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.lists(items, max_size=4), st.sampled_from([TRANSACTIONS, CUSTOMERS]))
def test_no_json_is_bad_enough_to_raise_and_no_record_is_lost(records, shape):
    rows, rejects = read(shape, *records)
    whole = rejects.filter(pl.col("field").is_in(["transaction", "buyer"]))
    if shape is TRANSACTIONS:
        assert len(rows) + len(whole) == len(records)
    else:
        assert len(rows) + len(whole) >= len(records)
    assert rows["raw"].null_count() == 0
    assert rejects["raw"].null_count() == rejects["reason"].null_count() == 0
    for text in rows["raw"]:
        json.loads(text)


PATHS = {
    "ordered_at": ("order_date",),
    "approved_at": ("approved_date",),
    "price_value": ("price", "value"),
    "installments": ("payment", "installments_number"),
    "recurrence_number": ("recurrency_number",),
    "is_subscription": ("is_subscription",),
    "fee_total": ("hotmart_fee", "total"),
}


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(PATHS)), junk)
def test_a_value_is_read_or_rejected_never_both_and_never_neither(column, value):
    inner = value
    for name in reversed(PATHS[column]):
        inner = {name: inner}
    rows, rejects = read(TRANSACTIONS, {"purchase": {"transaction": "HP1", **inner}})
    was_read = rows[column][0] is not None
    was_rejected = rejects["field"].to_list() == [column]
    assert was_read + was_rejected == (value is not None)
    assert set(rejects["place"]) <= {"HP1"}


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(-(10**12), 10**12))
def test_money_is_exact_to_the_cent(cents):
    amount = Decimal(cents) / 100
    row, rejects = purchase(hotmart_fee={"total": json.loads(str(amount))})
    assert row["fee_total"] == amount
    assert rejects == []


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)))
def test_instants_are_exact_in_milliseconds_and_in_seconds(moment):
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    milliseconds = round(moment.timestamp() * 1000)
    row, rejects = purchase(order_date=milliseconds, approved_date=milliseconds // 1000)
    assert row["ordered_at"] == moment
    assert row["approved_at"] == moment.replace(microsecond=0)
    assert rejects == []


@pytest.mark.parametrize(
    "value",
    [0, -1, 1749597300000000, 10**30, "2025-06-10", "", True, {}, [], 1e300, math.inf, 400_000_000],
)
def test_an_instant_that_is_none_of_our_time_is_empty_and_told(value):
    row, rejects = purchase(order_date=value)
    assert row["ordered_at"] is None
    ((place, field, reason, _),) = rejects
    assert (place, field, reason) == ("HP1", "ordered_at", "valor_ilegivel")


@pytest.mark.parametrize(
    ("value", "read_as", "reason"),
    [
        (497, Decimal("497.00"), None),
        (89.9, Decimal("89.90"), None),
        ("742.30", Decimal("742.30"), None),
        (0, Decimal("0.00"), None),
        (-10.5, None, "preco_negativo"),
        ("-0.01", None, "preco_negativo"),
        (10**17, None, "valor_ilegivel"),
        ("1.234,56", None, "valor_ilegivel"),
        ("grátis", None, "valor_ilegivel"),
    ],
)
def test_prices(value, read_as, reason):
    row, rejects = purchase(price={"value": value, "currency_code": "BRL"})
    assert row["price_value"] == read_as
    told = [("HP1", "price_value", reason, str(value))] if reason else []
    assert rejects == told


def test_every_price_is_bounded_and_no_commission_fee_or_tax():
    amounts = {
        name: kind
        for shape in (TRANSACTIONS, PRICE_DETAILS, SUBSCRIPTIONS, SUBSCRIPTION_TRANSACTIONS)
        for name, (_, kind) in shape.fields.items()
        if kind in {"money", "price"}
    }
    assert {name for name, kind in amounts.items() if kind == "price"} == {
        "price_value", "base_value", "total_value", "fee_base",
    }  # fmt: skip
    assert set(amounts) > {"fee_total", "vat_value", "interest_value", "own_value"}
    rows, rejects = read(COMMISSIONS, {
        "transaction": "HP1", "commissions": [{"source": "PRODUCER", "commission": {"value": -5}}],
    })  # fmt: skip
    assert rows["value"].to_list() == [Decimal("-5.00")]
    assert rejects.is_empty()


@pytest.mark.parametrize(
    ("value", "read_as"),
    [(12, 12), ("3", 3), (1.5, None), (10**30, None), ("12x", None), ("0x10", None)],
)
def test_counts_are_whole_numbers(value, read_as):
    row, rejects = purchase(payment={"installments_number": value})
    assert row["installments"] == read_as
    assert len(rejects) == (read_as is None)


def test_text_is_kept_as_received():
    rows, rejects = read(
        TRANSACTIONS,
        {
            "purchase": {"transaction": " HP1 ", "status": " approved "},
            "product": {"id": 7, "name": "  Curso  "},
            "buyer": {"email": "Ana.Souza@Example.com", "name": ""},
        },
    )
    row = rows.row(0, named=True)
    assert (row["transaction"], row["status"]) == ("HP1", " approved ")
    assert (row["product_id"], row["product_name"]) == ("7", "  Curso  ")
    assert (row["buyer_email"], row["buyer_name"]) == ("Ana.Souza@Example.com", "")
    assert rejects.is_empty()
    assert json.loads(row["raw"])["purchase"]["transaction"] == " HP1 "


def test_half_an_emoji_does_not_stop_a_slice():
    row, _ = purchase(status="PAGO \ud83c")
    assert row["status"] == "PAGO \ufffd"


@pytest.mark.parametrize("code", [None, "", "   ", "HP 1", "a\nb"])
def test_a_record_without_transaction_code_is_told_whole(code):
    rows, rejects = read(TRANSACTIONS, {"purchase": {"transaction": code, "status": "APPROVED"}})
    assert rows.is_empty()
    ((place, field, reason, raw),) = rejects.rows()
    assert (place, field, reason) == (None, "transaction", "sem_transacao")
    assert "APPROVED" in raw


def test_only_buyers_become_rows_with_their_first_document():
    rows, rejects = read(
        CUSTOMERS,
        {
            "transaction": "HP1",
            "users": [
                {"role": "PRODUCER", "user": {"name": "Escola"}},
                {
                    "role": "BUYER",
                    "user": {
                        "name": "Ana Invento",
                        "cellphone": "11999990000",
                        "documents": [{"value": "1", "type": "CPF"}, {"value": "2"}],
                        "address": {"city": "Santos"},
                    },
                },
            ],
        },
    )
    row = rows.row(0, named=True)
    assert (row["name"], row["document"], row["document_type"], row["city"]) == (
        "Ana Invento",
        "1",
        "CPF",
        "Santos",
    )
    assert len(rows) == 1
    assert rejects.is_empty()


@pytest.mark.parametrize(
    "users",
    [[], None, "x", 5, [None], [{"role": "PRODUCER", "user": {}}], [{"role": "BUYER"}],
     [{"role": "BUYER", "user": None}], [{"role": "BUYER", "user": "ana"}]],
)  # fmt: skip
def test_an_item_without_buyer_is_told(users):
    rows, rejects = read(CUSTOMERS, {"transaction": "HP1", "users": users})
    assert rows.is_empty()
    assert rejects.select("place", "field", "reason").rows() == [("HP1", "buyer", "sem_comprador")]
