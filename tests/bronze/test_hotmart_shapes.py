"""Commissions, price details and subscriptions: the vendor's records as typed rows."""

from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import pytest

from crm_assets.bronze.hotmart import typed_rows
from crm_assets.bronze.hotmart_rows import (
    COMMISSIONS,
    NEVER_KEPT,
    PRICE_DETAILS,
    SUBSCRIPTION_TRANSACTIONS,
    SUBSCRIPTIONS,
    minimised,
)
from crm_resources.warehouse import Transaction

CONNECTION = duckdb.connect()
CONNECTION.execute("SET TimeZone = 'UTC'")
NOON_MS = 1_749_556_800_000
NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)


def read(shape, *items):
    rows, rejects = typed_rows(Transaction(CONNECTION), shape, list(items))
    return rows.drop("raw").to_dicts(), rejects.rows()


def commission(source="PRODUCER", value=81.5, **more):
    return {
        "source": source,
        "commission": {"value": value, "currency_value": "BRL", **more},
        "user": {"ucode": "u1", "name": "Escola Exemplo"},
    }


def test_a_row_per_commission_with_the_sales_exchange_rate():
    item = {
        "transaction": "HP1",
        "exchange_rate_currency_payout": 5.347594,
        "commissions": [commission(), commission("AFFILIATE", 8)],
    }
    rows, rejects = read(COMMISSIONS, item)
    assert rejects == []
    assert rows[0] == {
        "transaction": "HP1",
        "source": "PRODUCER",
        "value": Decimal("81.50"),
        "currency": "BRL",
        "user_ucode": "u1",
        "exchange_rate": Decimal("5.34759400"),
    }
    assert [(row["source"], row["value"]) for row in rows[1:]] == [("AFFILIATE", Decimal(8))]


@pytest.mark.parametrize("key", ["currency_value", "currency_code"])
def test_both_currency_keys_are_read(key):
    amount = {"value": 1, key: "EUR"}
    item = {"transaction": "HP1", "commissions": [{"source": "PRODUCER", "commission": amount}]}
    assert read(COMMISSIONS, item)[0][0]["currency"] == "EUR"


@pytest.mark.parametrize("none", [{}, {"commissions": None}, {"commissions": []}])
def test_a_sale_without_commissions_is_no_row_and_no_reject(none):
    assert read(COMMISSIONS, {"transaction": "HP1", **none}) == ([], [])


@pytest.mark.parametrize(
    ("item", "field", "reason"),
    [
        ({"commissions": [commission()]}, "transaction", "sem_transacao"),
        ({"transaction": "HP1", "commissions": {"value": 1}}, "commissions", "sem_comissoes"),
        ({"transaction": "HP1", "commissions": ["x"]}, "commissions", "sem_comissoes"),
    ],
)
def test_an_unreadable_list_of_commissions_is_rejected_whole(item, field, reason):
    rows, ((_, told_field, told_reason, raw),) = read(COMMISSIONS, item)
    assert rows == []
    assert (told_field, told_reason) == (field, reason)
    assert "commissions" in raw


def test_an_unreadable_amount_becomes_empty_and_is_told():
    item = {"transaction": "HP1", "commissions": [commission(value="muito"), commission()]}
    rows, rejects = read(COMMISSIONS, item)
    assert [row["value"] for row in rows] == [None, Decimal("81.50")]
    assert rejects == [("HP1", "value", "valor_ilegivel", "muito")]


def test_price_details():
    item = {
        "transaction": "HP1",
        "base": {"value": 100, "currency_code": "BRL"},
        "total": {"value": 112.34, "currency_code": "BRL"},
        "fee": {"value": 12.34, "currency_code": "BRL"},
        "coupon": {"code": "JUNHO", "value": 0.15},
        "real_conversion_rate": 0.187,
    }
    (row,), rejects = read(PRICE_DETAILS, item)
    assert rejects == []
    assert (row["base_value"], row["total_value"]) == (Decimal(100), Decimal("112.34"))
    assert (row["interest_value"], row["vat_value"]) == (Decimal("12.34"), None)
    assert (row["coupon_code"], row["coupon_value"]) == ("JUNHO", Decimal("0.15"))
    assert row["conversion_rate"] == Decimal("0.187")


def test_a_subscription_is_known_by_its_id():
    item = {
        "subscription_id": 10_000_001,
        "subscriber_code": "AB12CD34",
        "status": "ACTIVE",
        "accession_date": NOON_MS,
        "trial": False,
        "transaction": "HP1",
        "plan": {"id": 7, "name": "Mensal", "recurrency_period": 30},
        "price": {"value": 97.0, "currency_code": "BRL"},
        "subscriber": {"name": "Ana Invento", "email": "ana@example.com", "ucode": "u9"},
    }
    (row,), rejects = read(SUBSCRIPTIONS, item)
    assert rejects == []
    assert (row["subscription_id"], row["accession_at"]) == ("10000001", NOON)
    assert (row["plan_id"], row["period_days"], row["is_trial"]) == ("7", 30, False)
    _, (reject,) = read(SUBSCRIPTIONS, {"status": "ACTIVE"})
    assert reject[1:3] == ("subscription_id", "sem_assinatura")


@pytest.mark.parametrize("spelling", ["recurrency", "recurrence"])
def test_both_spellings_of_a_charges_recurrence_are_read(spelling):
    item = {
        "subscription_id": 1,
        spelling: {"number": 3, "status": "PAID", "payment_delays_days": 2},
        "purchase": {
            "transaction": "HP3",
            "order_date": NOON_MS,
            "payment": {"refund_chargeback_date": NOON_MS, "billet_reprint_code": "34191.79001"},
        },
    }
    (row,), rejects = read(SUBSCRIPTION_TRANSACTIONS, item)
    assert rejects == []
    assert (row["recurrence_number"], row["delay_days"]) == (3, 2)
    assert (row["ordered_at"], row["refunded_at"]) == (NOON, NOON)


def test_what_may_not_be_kept_is_taken_out_at_any_depth():
    secret = dict.fromkeys(NEVER_KEPT, "x")
    record = {"a": [{"b": 1, **secret}], "payment": {"type": "PIX", **secret}, **secret}
    assert minimised(record) == {"a": [{"b": 1}], "payment": {"type": "PIX"}}
    rows, rejects = typed_rows(
        Transaction(CONNECTION), PRICE_DETAILS, [{"transaction": "HP1", **secret}, secret]
    )
    assert "x" not in "".join([*rows["raw"], *rejects["raw"]])
