"""What a sale means: classes, amounts, dates, renewals and eligibility (rules 1.5 to 1.11)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
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


STATUSES = {
    "paid": ["APPROVED", "COMPLETE", " approved ", "Complete"],
    "pending": [
        "STARTED", "PRINTED_BILLET", "WAITING_PAYMENT", "UNDER_ANALISYS", "UNDER_ANALYSIS",
        "DLOCAL_ANALYSIS", "PROCESSING_TRANSACTION", "PRE_ORDER",
    ],
    "late": ["OVERDUE", "DELAYED"],
    "failed": ["CANCELLED", "EXPIRED", "NO_FUNDS", "BLOCKED"],
    "reversed": ["REFUNDED", "CHARGEBACK"],
    "disputed": ["PROTESTED"],
    "partial": ["PARTIALLY_REFUNDED"],
    "unknown": ["SOMETHING_NEW", "", None, "APPROVED_"],
}  # fmt: skip
# class: is_paid, was_paid, is_refunded, is_disputed, is_purchase, is_eligible
MEANING = {
    "paid": (True, True, False, False, True, True),
    "pending": (False, False, False, False, False, False),
    "late": (False, False, False, False, False, False),
    "failed": (False, False, False, False, False, False),
    "reversed": (False, True, True, False, True, False),
    "disputed": (False, True, False, True, True, False),
    "partial": (False, True, False, False, True, False),
    "unknown": (False, False, False, False, False, False),
}
FLAGS = ("is_paid", "was_paid", "is_refunded", "is_disputed", "is_purchase", "is_eligible")


def test_status_table():
    cases = [(status, name) for name, statuses in STATUSES.items() for status in statuses]
    changes = [
        {"transaction": f"HP{i:010}", "status": status} for i, (status, _) in enumerate(cases)
    ]
    for row, (status, name) in zip(sales(*changes), cases, strict=True):
        assert row["status"] == status
        assert row["status_class"] == name
        assert tuple(row[flag] for flag in FLAGS) == MEANING[name], status
        assert (row["paid_at"] is not None) == row["was_paid"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [("REFUNDED", "refund"), ("CHARGEBACK", "chargeback"), ("PROTESTED", None), ("APPROVED", None)],
)
def test_reversal_kind(status, kind):
    assert sale(status=status)["reversal_kind"] == kind


@pytest.mark.parametrize(
    ("change", "paid_at", "assumed"),
    [
        ({}, APPROVED, False),
        ({"status": "COMPLETE"}, APPROVED, False),
        ({"status": "REFUNDED"}, APPROVED, False),
        ({"approved_at": None}, ORDERED, True),
        ({"approved_at": None, "ordered_at": None}, None, True),
        ({"status": "WAITING_PAYMENT", "approved_at": None}, None, False),
        ({"status": "EXPIRED"}, None, False),
    ],
)
def test_paid_at(change, paid_at, assumed):
    row = sale(**change)
    assert (row["paid_at"], row["paid_at_assumed"]) == (paid_at, assumed)


def change(from_status, to_status, day, transaction=SALE["transaction"]):
    return {
        "transaction": transaction,
        "from_status": from_status,
        "to_status": to_status,
        "seen_at": datetime(2026, 2, day, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("status", "seen", "day"),
    [
        ("REFUNDED", [], None),
        ("REFUNDED", [change("APPROVED", "REFUNDED", 3)], 3),
        ("REFUNDED", [change("APPROVED", "refunded ", 3)], 3),
        ("REFUNDED", [change("APPROVED", "COMPLETE", 3)], None),
        ("REFUNDED", [change("APPROVED", "REFUNDED", 3, "HP0000000002")], None),
        ("CHARGEBACK", [change("APPROVED", "REFUNDED", 3), change("REFUNDED", "CHARGEBACK", 5)], 5),
        ("COMPLETE", [change("APPROVED", "REFUNDED", 3), change("REFUNDED", "COMPLETE", 5)], None),
    ],
)
def test_refunded_at_only_when_the_change_was_observed(status, seen, day):
    refunded_at = sale(status=status, seen=seen)["refunded_at"]
    assert refunded_at == (datetime(2026, 2, day, tzinfo=UTC) if day else None)


@pytest.mark.parametrize(
    ("change", "base", "fees", "net", "estimated"),
    [
        ({}, "100.00", "10.00", "90.00", True),
        ({"price_currency": " brl ", "fee_currency": "Brl"}, "100.00", "10.00", "90.00", True),
        ({"fee_currency": "USD"}, None, None, None, False),
        ({"fee_currency": None}, None, None, None, False),
        ({"price_currency": None}, None, None, None, False),
        ({"fee_total": None}, "100.00", None, None, False),
        ({"fee_base": None}, None, "10.00", None, False),
    ],
)
def test_base_fees_and_net_stay_in_the_currency_of_the_sale(change, base, fees, net, estimated):
    row = sale(**change)
    found = [None if row[name] is None else str(row[name]) for name in ("base", "fees", "net")]
    assert (*found, row["net_estimated"]) == (base, fees, net, estimated)
    assert row["gross"] == Decimal("120.00")


@pytest.mark.parametrize(
    ("text", "currency"),
    [("BRL", "BRL"), ("usd", "USD"), (" eur ", "EUR"), ("R$", None), ("", None), ("BRLX", None)],
)
def test_currency_is_never_invented(text, currency):
    row = sale(price_currency=text)
    assert row["currency"] == currency
    assert row["is_eligible"] == (currency is not None)


# Each condition shown to decide on its own (MC/DC pairs): the first row of a pair holds, the second
# differs in one condition only.
@pytest.mark.parametrize(
    ("change", "eligible", "purchase"),
    [
        ({}, True, True),
        ({"status": "WAITING_PAYMENT"}, False, False),
        ({"status": "REFUNDED"}, False, True),
        ({"commission_as": "AFFILIATE"}, False, False),
        ({"commission_as": "COPRODUCER"}, True, True),
        ({"commission_as": None}, True, True),
        ({"price_currency": None}, False, True),
        ({"price_value": None}, False, True),
        ({"price_value": Decimal("0.00")}, False, False),
        ({"price_value": Decimal("0.01")}, True, True),
        ({"payment_type": None}, True, True),
        ({"product_id": None}, True, True),
    ],
)
def test_eligibility_and_purchase(change, eligible, purchase):
    row = sale(**change)
    assert (row["is_eligible"], row["is_purchase"]) == (eligible, purchase)


def test_affiliate_sales_count_when_the_tenant_says_so():
    row = sale(include_affiliates=True, commission_as="AFFILIATE")
    assert row["is_own"]
    assert row["is_eligible"]
    assert row["is_purchase"]
    assert not sale(commission_as="AFFILIATE")["is_own"]


SUBSCRIPTION = {"is_subscription": True, "payment_mode": "SUBSCRIPTION", "recurrence_number": 2}


@pytest.mark.parametrize(
    ("change", "new_order"),
    [
        (SUBSCRIPTION, False),
        ({**SUBSCRIPTION, "recurrence_number": 1}, True),
        ({**SUBSCRIPTION, "recurrence_number": None}, True),
        ({**SUBSCRIPTION, "is_subscription": False}, True),
        ({**SUBSCRIPTION, "is_subscription": None}, True),
        ({**SUBSCRIPTION, "payment_mode": "UNIQUE_PAYMENT"}, True),
        ({**SUBSCRIPTION, "payment_mode": None}, False),
        ({"payment_mode": "SMART_INSTALLMENT", "recurrence_number": 2}, False),
        ({"payment_mode": "SMART_INSTALLMENT", "recurrence_number": 1}, True),
        ({"payment_mode": "SMART_RECOVERY", "recurrence_number": 3}, False),
        ({"payment_mode": "MULTIPLE_PAYMENTS", "recurrence_number": 2}, False),
        ({"payment_mode": "UNIQUE_PAYMENT", "recurrence_number": 2}, True),
    ],
)
def test_renewals_and_later_instalments_are_no_new_order_but_count_in_ltv(change, new_order):
    row = sale(**change)
    assert row["is_new_order"] == new_order
    assert row["is_eligible"]


@pytest.mark.parametrize(
    ("transaction", "order"),
    [
        ("HP0000000001", "HP0000000001"),
        ("HP0000000001C1", "HP0000000001"),
        ("HP0000000001C12", "HP0000000001"),
        ("HPC1", "HPC1"),
        ("C1", "C1"),
    ],
)
def test_order_bumps_share_the_order_of_their_parent(transaction, order):
    assert sale(transaction=transaction)["order_id"] == order


def test_one_row_per_transaction_in_its_latest_state():
    older = {"status": "WAITING_PAYMENT", "extracted_at": ORDERED, "slice": "2026-02-01"}
    newer = {"status": "APPROVED", "extracted_at": APPROVED}
    assert [row["status"] for row in sales(older, newer)] == ["APPROVED"]


def test_two_copies_of_the_same_moment_are_chosen_alike_in_any_order():
    copies = [{"status": "APPROVED"}, {"status": "REFUNDED", "slice": "2026-02-01"}]
    assert [r["status"] for r in sales(*copies)] == [r["status"] for r in sales(*copies[::-1])]


def test_money_keeps_its_cents():
    frame = pl.DataFrame([sale(price_value=Decimal("9999999999999999.99"))])
    assert frame["gross"].sum() == Decimal("9999999999999999.99")


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
