"""What a sale is worth, to whom, and when it was given back (rules 1.7 to 1.9, 8)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from lake import Lake
from sale_samples import ORDERED, SALE, sale

from crm_assets.silver.sale_rules import sale_records_sql

# --- exact net, shares and conversion (rules 1.7, 1.8) -------------------------------------------

PRODUCER = {"source": "PRODUCER", "value": Decimal("81.50"), "currency": "BRL"}
AFFILIATE = {"source": "AFFILIATE", "value": Decimal("8.00"), "currency": "BRL"}
COPRODUCER = {"source": "COPRODUCER", "value": Decimal("5.00"), "currency": "BRL"}


def net_of(*commissions, **change):
    row = sale(tables={"commissions": commissions}, **change)
    return row["net"], row["net_currency"], row["net_estimated"]


def test_net_is_our_own_commission_and_the_others_are_shares():
    row = sale(tables={"commissions": [PRODUCER, AFFILIATE, COPRODUCER, COPRODUCER]})
    assert (row["net"], row["net_currency"], row["net_value"]) == (
        Decimal("81.50"), "BRL", Decimal("81.50"),
    )  # fmt: skip
    assert not row["net_estimated"]
    assert row["affiliate_share"] == Decimal("8.00")
    assert row["coproducer_share"] == Decimal("10.00")


@pytest.mark.parametrize(
    ("commissions", "change", "net"),
    [
        ([PRODUCER, COPRODUCER], {"commission_as": "COPRODUCER"}, "5.00"),
        ([PRODUCER, AFFILIATE], {"commission_as": "AFFILIATE"}, "8.00"),
        ([PRODUCER, AFFILIATE], {"commission_as": None}, "81.50"),
        ([PRODUCER, AFFILIATE], {"commission_as": " producer "}, "81.50"),
        ([PRODUCER | {"source": "Producer"}], {}, "81.50"),
    ],
)
def test_our_commission_is_that_of_our_role(commissions, change, net):
    assert net_of(*commissions, **change) == (Decimal(net), "BRL", False)


ESTIMATE = (Decimal("90.00"), "BRL", True)


@pytest.mark.parametrize(
    "commissions",
    [
        [],
        [AFFILIATE],
        [PRODUCER, PRODUCER],
        [PRODUCER | {"value": None}],
        [PRODUCER | {"currency": None}],
        [PRODUCER, AFFILIATE | {"currency": "USD"}],
    ],
    ids=["not read", "not ours", "two of ours", "no value", "no currency", "two currencies"],
)
def test_without_one_commission_of_ours_net_is_estimated(commissions):
    assert net_of(*commissions) == ESTIMATE


def test_a_commission_is_replaced_by_its_latest_reading():
    later = PRODUCER | {"value": Decimal("70.00"), "slice": "2026-02-01"}
    assert net_of(PRODUCER, later)[0] == Decimal("70.00")


def test_the_commission_of_a_foreign_sale_keeps_its_currency():
    foreign = {"price_currency": "USD", "price_value": Decimal("20.00")}
    row = sale(tables={"commissions": [PRODUCER]}, **foreign)
    assert (row["net"], row["net_currency"], row["net_value"]) == (
        Decimal("81.50"), "BRL", Decimal("81.50"),
    )  # fmt: skip
    assert row["value"] is None


def test_base_is_that_of_the_price_details_then_that_of_the_fee():
    told = {"base_value": Decimal("99.00"), "base_currency": "brl"}
    assert sale(tables={"price_details": [told]})["base"] == Decimal("99.00")
    elsewhere = told | {"base_currency": "USD"}
    assert sale(tables={"price_details": [elsewhere]})["base"] == Decimal("100.00")


@pytest.mark.parametrize(
    ("currency", "rate", "value"),
    [
        ("BRL", None, "120.00"),
        ("BRL", "0.2", "120.00"),
        ("USD", "0.2", "600.00"),
        ("USD", "0.187", "641.71"),
        ("USD", None, None),
        ("USD", "0", None),
        ("USD", "1", None),
        (None, "0.2", None),
    ],
)
def test_a_foreign_amount_is_divided_by_the_rate_of_its_offer(currency, rate, value):
    details = [{"conversion_rate": Decimal(rate)}] if rate else []
    row = sale(tables={"price_details": details}, price_currency=currency)
    assert row["gross"] == Decimal("120.00")
    expected = Decimal(value) if value else None
    assert row["value"] == expected


def test_net_of_a_foreign_sale_is_converted_too():
    fee = {"fee_currency": "USD", "fee_base": Decimal("110.00")}
    details = [{"conversion_rate": Decimal("0.2")}]
    row = sale(tables={"price_details": details}, price_currency="USD", **fee)
    assert (row["net"], row["net_currency"]) == (Decimal("100.00"), "USD")
    assert row["net_value"] == Decimal("500.00")


# --- refund time (rules 1.9) ---------------------------------------------------------------------

TOLD = datetime(2026, 2, 1, 9, tzinfo=UTC)
SEEN = {
    "transaction": SALE["transaction"],
    "from_status": "APPROVED",
    "to_status": "REFUNDED",
    "seen_at": datetime(2026, 2, 3, 9, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("status", "told", "seen", "refunded_at", "origin"),
    [
        ("REFUNDED", [TOLD], [SEEN], TOLD, "informado"),
        ("REFUNDED", [TOLD], [], TOLD, "informado"),
        ("REFUNDED", [None, TOLD], [], TOLD, "informado"),
        ("REFUNDED", [], [SEEN], SEEN["seen_at"], "observado"),
        ("REFUNDED", [None], [SEEN], SEEN["seen_at"], "observado"),
        ("REFUNDED", [], [], None, None),
        ("APPROVED", [TOLD], [SEEN], None, None),
    ],
)
def test_a_refund_happened_when_we_were_told_else_when_we_saw_it(
    status, told, seen, refunded_at, origin
):
    charges = [{"refunded_at": at} for at in told]
    row = sale(status=status, seen=seen, tables={"subscription_transactions": charges})
    assert (row["refunded_at"], row["refunded_at_source"]) == (refunded_at, origin)


# --- exports of Hotmart's panel (rules 8) --------------------------------------------------------

EXPORTED = {
    name: value for name, value in SALE.items() if not name.startswith(("fee_", "is_", "payment_"))
} | {"transaction": "HP0000000009", "line": 2}


def exported(*rows, **change):
    lake = Lake()
    lake.bronze("bronze.hotmart_transactions", {**SALE, **change})
    lake.bronze("bronze.hotmart_csv", *({**EXPORTED, **row} for row in rows))
    return lake.rows(sale_records_sql(currency="BRL", include_affiliates=False))


def test_an_exported_sale_counts_when_the_api_does_not_know_it():
    api, other = sorted(exported({}), key=lambda row: row["sale_id"])
    assert other["sale_id"] == "hotmart:HP0000000009"
    assert other["is_eligible"]
    assert (other["value"], other["net"]) == (Decimal("120.00"), None)
    assert api["net_estimated"]


def test_the_api_wins_over_an_export():
    (row,) = exported({"transaction": SALE["transaction"], "price_value": Decimal("1.00")})
    assert row["gross"] == Decimal("120.00")


def test_the_newest_line_of_the_newest_export_wins():
    older = {"price_value": Decimal("1.00"), "extracted_at": ORDERED, "line": 9}
    newer = {"price_value": Decimal("2.00"), "line": 3, "net_value": Decimal("1.50")}
    rows = exported(older, {"price_value": Decimal("3.00")}, newer | {"net_currency": "brl"})
    (row,) = (row for row in rows if row["sale_id"].endswith("9"))
    assert (row["gross"], row["net"], row["net_currency"]) == (
        Decimal("2.00"), Decimal("1.50"), "BRL",
    )  # fmt: skip
    assert not row["net_estimated"]


def test_an_exported_product_without_code_is_known_by_its_name():
    row = next(row for row in exported({"product_id": None}) if row["sale_id"].endswith("9"))
    assert (row["product_id"], row["product_name"]) == ("Curso", "Curso")
