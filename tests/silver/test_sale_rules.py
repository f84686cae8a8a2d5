"""What a sale means: classes, amounts, dates, renewals and eligibility (rules 1.5 to 1.11)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from sale_samples import APPROVED, ORDERED, SALE, sale, sales

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
