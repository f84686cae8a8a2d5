"""What holds of whom today, and what the batch and audiences make of it (rules 4.4, 4.7)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from lake import Lake, cus, local, site

from crm_assets.checks.events import Carts, Triggers
from crm_assets.checks.gold import Audience
from crm_assets.checks.silver import Customers, Products, Sales
from crm_assets.gold.audiences import _AUDIENCE, _sales_match
from crm_assets.gold.remarketing import select_batch
from crm_assets.gold.triggers import _write
from crm_assets.tenants import Remarketing

TODAY = date(2026, 3, 15)
NOON = datetime(2026, 3, 15, 15, tzinfo=UTC)


def ago(days: float) -> datetime:
    return NOON - timedelta(days=days)


def sale(status: str, days: float = 5, **more: Any) -> dict[str, Any]:
    """A sale in a state, ordered some days ago."""
    kind = {
        "APPROVED": "paid", "OVERDUE": "late", "EXPIRED": "failed", "CANCELLED": "failed",
        "NO_FUNDS": "failed", "BLOCKED": "failed", "PRINTED_BILLET": "pending",
        "WAITING_PAYMENT": "pending", "STARTED": "pending", "REFUNDED": "reversed",
        "CHARGEBACK": "reversed", "PROTESTED": "disputed", "PARTIALLY_REFUNDED": "partial",
    }[status]  # fmt: skip
    return {
        "sale_id": f"hotmart:{status}{days}",
        "order_id": f"{status}{days}",
        "customer_id": cus(1),
        "product_id": "7",
        "status": status,
        "status_class": kind,
        "is_paid": kind == "paid",
        "was_paid": kind in {"paid", "reversed", "disputed", "partial"},
        "is_refunded": kind == "reversed",
        "reversal_kind": {"REFUNDED": "refund", "CHARGEBACK": "chargeback"}.get(status),
        "is_disputed": kind == "disputed",
        "ordered_at": ago(days),
        "paid_at": ago(days) if kind == "paid" else None,
        "refunded_at": ago(days) if kind == "reversed" else None,
        "gross": Decimal("97.00"),
        **more,
    }


def cart(days: float = 5, **more: Any) -> dict[str, Any]:
    return {
        "cart_id": f"hotmart:{days}",
        "source": "hotmart",
        "customer_id": cus(1),
        "product_id": "7",
        "cart_at": ago(days),
        "is_estimated": False,
        "events": 1,
        **more,
    }


def lake_of(sales=(), carts=(), cancelled=()) -> Lake:
    lake = Lake()
    lake.put("silver.sales", Sales, *sales)
    lake.put("silver.carts", Carts, *carts)
    for row in cancelled:
        lake.tx.execute(
            "INSERT INTO silver.subscriptions "
            "(subscriber_code, customer_id, product_id, segment, requested_cancel_at) "
            "VALUES ('S', ?, '7', ?, ?)",
            row,
        )
    _write(site(NOON), lake.tx)
    assert lake.keeps("gold.triggers", Triggers)
    return lake


def triggers(**facts: Any) -> list[tuple[str, datetime]]:
    rows = lake_of(**facts).rows("FROM gold.triggers ORDER BY trigger")
    return [(row["trigger"], row["since"]) for row in rows]


@pytest.mark.parametrize(
    ("status", "trigger"),
    [
        ("PRINTED_BILLET", "boleto_pix_pendente"),
        ("WAITING_PAYMENT", "boleto_pix_pendente"),
        ("EXPIRED", "expirado"),
        ("CANCELLED", "recusado"),
        ("NO_FUNDS", "recusado"),
        ("BLOCKED", "recusado"),
        ("OVERDUE", "atrasado"),
        ("REFUNDED", "reembolsado"),
        ("CHARGEBACK", "chargeback"),
        ("PROTESTED", "disputa"),
        ("STARTED", None),
        ("APPROVED", None),
        ("PARTIALLY_REFUNDED", None),
    ],
)
def test_what_a_sale_says(status, trigger):
    found = triggers(sales=[sale(status)])
    assert found == ([(trigger, ago(5))] if trigger else [])


@pytest.mark.parametrize("status", ["EXPIRED", "CANCELLED", "REFUNDED", "OVERDUE", "CHARGEBACK"])
def test_it_holds_until_the_product_was_paid_after_it(status):
    assert triggers(sales=[sale(status), sale("APPROVED", 4)]) == []
    assert len(triggers(sales=[sale(status), sale("APPROVED", 6)])) == 1
    assert len(triggers(sales=[sale(status), sale("APPROVED", 4, product_id="8")])) == 1
    assert len(triggers(sales=[sale(status), sale("APPROVED", 4, customer_id=cus(2))])) == 1


def test_a_dispute_holds_whatever_was_bought_since():
    assert triggers(sales=[sale("PROTESTED"), sale("APPROVED", 1)]) == [("disputa", ago(5))]


def test_a_trigger_tells_its_latest_time_once():
    assert triggers(sales=[sale("CANCELLED", 5), sale("CANCELLED", 2)]) == [("recusado", ago(2))]


@pytest.mark.parametrize("change", [{"is_own": False}, {"is_erased": True}, {"customer_id": None}])
def test_nobody_to_write_to(change):
    assert triggers(sales=[sale("EXPIRED", **change)]) == []


def test_a_cancelled_subscription():
    assert triggers(cancelled=[(cus(1), "cancelada", ago(3))]) == [("cancelado", ago(3))]
    assert triggers(cancelled=[(cus(1), "ativa", None), (None, "cancelada", ago(3))]) == []
    again = [sale("APPROVED", 1)]
    assert triggers(cancelled=[(cus(1), "cancelada", ago(3))], sales=again) == []


BUMP = {"sale_id": "hotmart:HP1C1", "order_id": "HP1"}


@pytest.mark.parametrize(
    ("days", "order", "is_open"),
    [
        (5, None, True),
        (0, None, True),
        (30, None, True),
        (31, None, False),
        (-1, None, False),
        (5, sale("APPROVED", 4), False),
        (5, sale("APPROVED", 7), False),
        (5, sale("APPROVED", 8), True),
        (5, sale("APPROVED", 4, product_id="8"), True),
        (5, sale("APPROVED", 4, customer_id=cus(2)), True),
        (5, sale("APPROVED", 4, is_new_order=False), True),
        (5, sale("APPROVED", 4, **BUMP), True),
        (5, sale("STARTED", 4), True),
        (5, sale("APPROVED", 4, is_own=False), True),
    ],
)
def test_a_cart_is_open_until_its_product_was_bought_in_its_window(days, order, is_open):
    found = triggers(carts=[cart(days)], sales=[order] if order else [])
    assert found == ([("carrinho", ago(days))] if is_open else [])


def test_a_reversal_opens_the_cart_again():
    assert ("carrinho", ago(5)) in triggers(carts=[cart()], sales=[sale("REFUNDED", 4)])


def person(number: int, **more: Any) -> dict[str, Any]:
    return {
        "customer_id": cus(number),
        "phone": f"+551198765{number:04}",
        "email": f"p{number}@example.com",
        **more,
    }


def batch(triggers: tuple[str, ...] = (), **facts: Any) -> list[tuple[str, str]]:
    lake = lake_of(**facts)
    lake.put(
        "silver.customers",
        Customers,
        person(1, last_contact_at=local("2026-01-01 09:00")),
        person(2),
        person(3, last_contact_at=local("2025-12-01 09:00")),
    )
    select_batch(lake.tx, TODAY, Remarketing(triggers=triggers))
    found = lake.rows("FROM gold.remarketing_batches ORDER BY position")
    return [(row["customer_id"], row["reason"]) for row in found]


def test_an_open_cart_comes_first_in_the_batch():
    rest = [(cus(2), "nunca_contatado"), (cus(3), "contato_antigo")]
    assert batch(carts=[cart()]) == [(cus(1), "carrinho_aberto"), *rest]
    assert batch() == [*rest, (cus(1), "contato_antigo")]


def test_triggers_filter_the_batch():
    assert batch(("expirado", "carrinho"), carts=[cart()]) == [(cus(1), "carrinho_aberto")]
    assert batch(("expirado",), carts=[cart()]) == []
    other = [sale("EXPIRED", customer_id=cus(3))]
    assert batch(("expirado",), carts=[cart()], sales=other) == [(cus(3), "contato_antigo")]


def audience(triggers: tuple[str, ...], **facts: Any) -> list[tuple[str, Decimal, int]]:
    lake = lake_of(**facts)
    lake.put("silver.customers", Customers, person(1), person(2), person(3))
    lake.put(
        "silver.products",
        Products,
        {"product_id": "7", "audiences": ["ilpi"]},
        {"product_id": "8", "audiences": ["estetica"]},
    )
    parameters = {"slug": "ilpi", "triggers": list(triggers)}
    lake.tx.replace_table("gold.audience_ilpi", _AUDIENCE, parameters)
    assert lake.keeps("gold.audience_ilpi", Audience)
    assert partial(_sales_match, "gold.audience_ilpi", parameters)(lake.tx).passed
    found = lake.rows("FROM gold.audience_ilpi ORDER BY customer_id")
    return [(row["customer_id"], row["ltv"], row["orders"]) for row in found]


def test_an_audience_with_triggers_holds_whom_they_hold_of_buyers_or_not():
    facts = {
        "sales": [
            sale("APPROVED", 60),
            sale("APPROVED", 50, customer_id=cus(2)),
            sale("APPROVED", 40, customer_id=cus(3), currency="USD"),
            sale("EXPIRED", 5, customer_id=cus(2), product_id="8", is_eligible=False),
        ],
        "carts": [cart(), cart(4, customer_id=cus(3), product_id="8")],
    }
    paid = Decimal("97.00")
    assert audience((), **facts) == [(cus(1), paid, 1), (cus(2), paid, 1), (cus(3), Decimal(0), 1)]
    assert audience(("carrinho",), **facts) == [(cus(1), paid, 1)]
    assert audience(("carrinho",), carts=[cart()]) == [(cus(1), Decimal(0), 0)]
    assert audience(("expirado",), **facts) == []
