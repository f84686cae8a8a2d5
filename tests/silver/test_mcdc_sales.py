"""Each condition of the mapping from bronze to sales and buyers shown to decide by itself (MC/DC).

A pair is the same sale twice, different in one condition, which the test's id names; both sides
have the outcome that is told. Rules 1.5 to 1.11, 2.1.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import pytest
import sale_samples
from lake import Lake, site
from sale_samples import APPROVED, ORDERED

from crm_assets.silver.records import _write
from crm_assets.silver.sale_rules import ONCE_PAID, STATUS_CLASS

pytestmark = pytest.mark.slow

SEEN = datetime(2026, 2, 3, 12, tzinfo=UTC)
TOLD = datetime(2026, 2, 1, 12, tzinfo=UTC)
SALE: dict[str, Any] = {
    **{name: value for name, value in sale_samples.SALE.items() if name != "transaction"},
    "buyer_name": "Ana Invento",
    "buyer_email": "ana@example.com",
    "buyer_ucode": "u-sale",
}
BUYER: dict[str, Any] = {
    "name": "Ana do Cadastro",
    "email": "cadastro@example.com",
    "ucode": "u-buyer",
    "cellphone": "11961234501",
    "country": "Brasil",
}
# Facts of other tables or of the tenant, named as if they were columns of the sale.
BESIDE = {"buyer", "seen_at", "told_at", "include_affiliates"}
OWN_CODE = object()
"""Stands for the transaction code of the sale itself."""


def record(table: str, facts: dict[str, Any]) -> dict[str, Any]:
    """What a sale with these facts becomes in one silver table."""
    return mapped(facts.get("include_affiliates", False))[table][code_of(facts)]


def code_of(facts: dict[str, Any]) -> str:
    return facts.get("transaction") or f"HP{CASES.index(facts):010}"


@cache
def mapped(include_affiliates: bool) -> dict[str, dict[str, dict[str, Any]]]:
    """Silver rows of the cases by table and transaction code, written at once."""
    lake = Lake()
    for facts in CASES:
        if facts.get("include_affiliates", False) is not include_affiliates:
            continue
        own = {name: value for name, value in facts.items() if name not in BESIDE}
        sale = {**SALE, **own, "transaction": code_of(facts)}
        common = {name: sale[name] for name in ("transaction", "slice", "extracted_at")}
        lake.bronze("bronze.hotmart_transactions", sale)
        if buyer := facts.get("buyer"):
            lake.bronze("bronze.hotmart_customers", {**common, **BUYER, **buyer})
        if seen_at := facts.get("seen_at"):
            change = {"transaction": code_of(facts), "to_status": "REFUNDED", "seen_at": seen_at}
            lake.bronze("bronze.hotmart_status_changes", change)
        if told_at := facts.get("told_at"):
            charge = {**common, "refunded_at": told_at}
            lake.bronze("bronze.hotmart_subscription_transactions", charge)
    _write(site(hotmart={"include_affiliate_sales": include_affiliates}), lake.tx)
    return {
        table: {
            row["record_id"].removeprefix("hotmart:"): row for row in lake.rows(f"FROM {table}")
        }
        for table in ("silver.sale_records", "silver.contact_records")
    }


class Pair(NamedTuple):
    """Two sales that differ in one fact, and what each becomes.

    Attributes:
        condition: which one differs.
        column: where the outcome stands.
        base: facts of both sides.
        left: the fact of one side, with its outcome.
        right: of the other side.
    """

    condition: str
    column: str
    base: dict[str, Any]
    left: tuple[dict[str, Any], Any]
    right: tuple[dict[str, Any], Any]

    def __str__(self) -> str:
        return f"{self.column}: {self.condition}"


def check(pair: Pair, table: str) -> None:
    (left, left_outcome), (right, right_outcome) = pair.left, pair.right
    assert left.keys() == right.keys()
    assert sum(left[name] != right[name] for name in left) == 1, "one condition differs"
    assert left_outcome != right_outcome, "it decides"
    for side, outcome in (pair.left, pair.right):
        facts = {**pair.base, **side}
        expected = code_of(facts) if outcome is OWN_CODE else outcome
        assert record(table, facts)[pair.column] == expected


def status(condition: str, column: str, left: tuple, right: tuple, **base: Any) -> Pair:
    sides = [({"status": name}, outcome) for name, outcome in (left, right)]
    return Pair(condition, column, base, *sides)


def fact(name: str, condition: str, column: str, left: tuple, right: tuple, **base: Any) -> Pair:
    sides = [({name: value}, outcome) for value, outcome in (left, right)]
    return Pair(condition, column, base, *sides)


AFFILIATE = {"commission_as": "AFFILIATE"}
RENEWAL = {"is_subscription": True, "payment_mode": "SUBSCRIPTION", "recurrence_number": 2}
INSTALMENT = {"payment_mode": "SMART_INSTALLMENT", "recurrence_number": 2}


def without(base: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in base.items() if key != name}


SALES = [
    # --- status ---------------------------------------------------------------------------------
    status("is known", "status_class", ("APPROVED", "paid"), ("APROVADA", "unknown")),
    status("is there", "status_class", ("APPROVED", "paid"), (None, "unknown")),
    status("is not empty", "status_class", ("APPROVED", "paid"), ("", "unknown")),
    *(
        status(f"class of {name}", "is_paid", ("COMPLETE", True), (name, False))
        for name, kind in STATUS_CLASS.items()
        if kind != "paid"
    ),
    *(
        status(f"was {kind}", "was_paid", (name, True), ("CANCELLED", False))
        for name, kind in STATUS_CLASS.items()
        if kind in ONCE_PAID
    ),
    status("is a refund", "is_refunded", ("REFUNDED", True), ("PROTESTED", False)),
    status("is a chargeback", "is_refunded", ("CHARGEBACK", True), ("PARTIALLY_REFUNDED", False)),
    status("is a dispute", "is_disputed", ("PROTESTED", True), ("CHARGEBACK", False)),
    status("which reversal", "reversal_kind", ("REFUNDED", "refund"), ("CHARGEBACK", "chargeback")),
    status("is a reversal", "reversal_kind", ("REFUNDED", "refund"), ("PROTESTED", None)),
    # --- when it was paid -----------------------------------------------------------------------
    status("was paid", "paid_at", ("COMPLETE", APPROVED), ("EXPIRED", None)),
    fact("approved_at", "approval told", "paid_at", (APPROVED, APPROVED), (None, ORDERED)),
    fact("ordered_at", "order told", "paid_at", (ORDERED, ORDERED), (None, None), approved_at=None),
    fact("approved_at", "approval told", "paid_at_assumed", (APPROVED, False), (None, True)),
    status("was paid", "paid_at_assumed", ("APPROVED", True), ("EXPIRED", False), approved_at=None),
    # --- when it was reversed -------------------------------------------------------------------
    status("is reversed", "refunded_at", ("REFUNDED", SEEN), ("COMPLETE", None), seen_at=SEEN),
    fact("seen_at", "change seen", "refunded_at", (SEEN, SEEN), (None, None), status="REFUNDED"),
    fact(
        "told_at",
        "date told",
        "refunded_at",
        (TOLD, TOLD),
        (None, SEEN),
        status="CHARGEBACK",
        seen_at=SEEN,
    ),
    # --- whose sale it is -----------------------------------------------------------------------
    fact("commission_as", "role", "is_own", ("COPRODUCER", True), ("AFFILIATE", False)),
    fact("commission_as", "role told", "is_own", (None, True), ("AFFILIATE", False)),
    fact("include_affiliates", "setting", "is_own", (True, True), (False, False), **AFFILIATE),
    # --- purchase: once paid, own, not free -----------------------------------------------------
    status("was paid", "is_purchase", ("CHARGEBACK", True), ("NO_FUNDS", False)),
    fact("commission_as", "own", "is_purchase", ("PRODUCER", True), ("AFFILIATE", False)),
    fact(
        "price_value",
        "not free",
        "is_purchase",
        (Decimal("0.01"), True),
        (Decimal("0.00"), False),
    ),
    fact("price_value", "price told", "is_purchase", (None, True), (Decimal("0.00"), False)),
    # --- eligible: paid now, own, in a currency, above zero -------------------------------------
    status("is paid", "is_eligible", ("COMPLETE", True), ("REFUNDED", False)),
    fact("commission_as", "own", "is_eligible", ("PRODUCER", True), ("AFFILIATE", False)),
    fact("price_currency", "currency told", "is_eligible", ("BRL", True), (None, False)),
    fact("price_currency", "currency is a code", "is_eligible", ("USD", True), ("US$", False)),
    fact("price_value", "price told", "is_eligible", (Decimal("9.90"), True), (None, False)),
    fact(
        "price_value",
        "above zero",
        "is_eligible",
        (Decimal("0.01"), True),
        (Decimal("0.00"), False),
    ),
    # --- later charge of an order already counted -----------------------------------------------
    fact(
        "recurrence_number",
        "renewal after the first",
        "is_new_order",
        (1, True),
        (2, False),
        **without(RENEWAL, "recurrence_number"),
    ),
    fact(
        "recurrence_number",
        "renewal's number told",
        "is_new_order",
        (None, True),
        (2, False),
        **without(RENEWAL, "recurrence_number"),
    ),
    *(
        fact(
            "is_subscription",
            f"subscription ({told})",
            "is_new_order",
            (told, True),
            (True, False),
            **without(RENEWAL, "is_subscription"),
        )
        for told in (False, None)
    ),
    *(
        fact(
            "payment_mode",
            f"mode of a subscription ({mode})",
            "is_new_order",
            ("UNIQUE_PAYMENT", True),
            (mode, False),
            **without(RENEWAL, "payment_mode"),
        )
        for mode in ("SUBSCRIPTION", None)
    ),
    *(
        fact(
            "payment_mode",
            f"mode of instalments ({mode})",
            "is_new_order",
            (other, True),
            (mode, False),
            recurrence_number=2,
        )
        for other in ("UNIQUE_PAYMENT", None)
        for mode in ("SMART_INSTALLMENT", "SMART_RECOVERY", "MULTIPLE_PAYMENTS")
    ),
    fact(
        "recurrence_number",
        "instalment after the first",
        "is_new_order",
        (1, True),
        (2, False),
        **without(INSTALMENT, "recurrence_number"),
    ),
    # --- amounts stay in the currency of the sale -----------------------------------------------
    fact("fee_currency", "fee's currency", "base", ("BRL", Decimal("100.00")), ("USD", None)),
    fact("fee_currency", "fee's currency told", "fees", ("BRL", Decimal("10.00")), (None, None)),
    fact("price_currency", "currency told", "base", ("BRL", Decimal("100.00")), (None, None)),
    fact("fee_base", "base told", "net", (Decimal("100.00"), Decimal("90.00")), (None, None)),
    fact("fee_total", "fee told", "net", (Decimal("10.00"), Decimal("90.00")), (None, None)),
    fact("price_currency", "currency", "currency", ("BRL", "BRL"), ("EUR", "EUR")),
    # --- order bumps ----------------------------------------------------------------------------
    fact("transaction", "suffix of a bump", "order_id", ("HP2", "HP2"), ("HP3C1", "HP3")),
    fact("transaction", "digit before it", "order_id", ("HP4C12", "HP4"), ("HPC1", "HPC1")),
]


@pytest.mark.parametrize("pair", SALES, ids=str)
def test_one_condition_decides_what_a_sale_is(pair):
    check(pair, "silver.sale_records")


NO_BUYER = {"ucode": None}
BUYERS = [
    fact("buyer_ucode", "sale tells it", "source_id", ("u-sale", "u-sale"), (None, OWN_CODE)),
    fact("buyer_ucode", "not empty", "source_id", ("u-sale", "u-sale"), ("", OWN_CODE)),
    fact("buyer_ucode", "not blank", "source_id", ("u-sale", "u-sale"), ("  ", OWN_CODE)),
    fact(
        "buyer_ucode",
        "sale before participant",
        "source_id",
        ("u-sale", "u-sale"),
        (None, "u-buyer"),
        buyer=BUYER,
    ),
    fact(
        "buyer",
        "participant tells it",
        "source_id",
        (BUYER, "u-buyer"),
        (NO_BUYER, OWN_CODE),
        buyer_ucode=None,
    ),
    fact(
        "buyer",
        "participant's not empty",
        "source_id",
        (BUYER, "u-buyer"),
        ({"ucode": ""}, OWN_CODE),
        buyer_ucode=None,
    ),
    fact("buyer_ucode", "sale tells it", "source_key", ("u-sale", "u-sale"), (None, None)),
    fact("buyer_ucode", "not empty", "source_key", ("u-sale", "u-sale"), ("", None)),
    fact("buyer_ucode", "not empty", "hotmart_ucode", ("u-sale", "u-sale"), ("", None)),
    *(
        fact(
            "buyer_email",
            f"sale tells it ({empty!r})",
            "email_key",
            ("ana@example.com", "ana@example.com"),
            (empty, "cadastro@example.com"),
            buyer=BUYER,
        )
        for empty in (None, "", " ")
    ),
    *(
        fact(
            "buyer",
            f"participant tells it ({empty!r})",
            "name",
            (BUYER, "Ana do Cadastro"),
            ({"name": empty}, "Ana Invento"),
        )
        for empty in (None, "", " ")
    ),
    *(
        fact(
            "buyer",
            f"mobile told ({empty!r})",
            "phone_key",
            ({"phone": "11961234502"}, "+5511961234501"),
            ({"phone": "11961234502", "cellphone": empty}, "+5511961234502"),
        )
        for empty in (None, "", " ")
    ),
    fact(
        "ordered_at",
        "order told",
        "observed_at",
        (ORDERED, ORDERED),
        (None, APPROVED),
    ),
    fact("commission_as", "role", "is_own", ("PRODUCER", True), ("AFFILIATE", False)),
    fact("include_affiliates", "setting", "is_own", (True, True), (False, False), **AFFILIATE),
]


@pytest.mark.parametrize("pair", BUYERS, ids=str)
def test_one_condition_decides_who_bought(pair):
    check(pair, "silver.contact_records")


# What must not decide anything: the same sale written otherwise.
ALIKE = {
    "status in lower case": {"status": "approved"},
    "blanks around the status": {"status": " APPROVED "},
    "currency in lower case": {"price_currency": "brl"},
    "blanks around the currency": {"price_currency": " BRL "},
    "fee's currency in lower case": {"fee_currency": "brl"},
    "no payment type": {"payment_type": None},
    "no product": {"product_id": None},
    "no payment mode": {"payment_mode": None},
    "not told whether a subscription": {"is_subscription": None},
    "first recurrence": {"recurrence_number": 1},
    "completed": {"status": "COMPLETE"},
}
CASES = [
    *({**pair.base, **facts} for pair in SALES + BUYERS for facts, _ in (pair.left, pair.right)),
    *ALIKE.values(),
    {},
]
MEANING = ("status_class", "is_paid", "was_paid", "is_purchase", "is_eligible", "is_own", "paid_at")
AMOUNTS = ("currency", "gross", "base", "fees", "net", "is_new_order")


@pytest.mark.parametrize("change", ALIKE.values(), ids=list(ALIKE))
def test_what_does_not_matter(change):
    base, other = record("silver.sale_records", {}), record("silver.sale_records", change)
    names = (*MEANING, *AMOUNTS)
    assert [other[name] for name in names] == [base[name] for name in names]
