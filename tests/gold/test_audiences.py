"""Audiences: lifetime value, foreign currency, net, orders, reconciliation (rules 4.1, 4.2)."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import NOON, Lake, cus, random_cases

from crm_assets.checks.gold import Audience
from crm_assets.checks.silver import Customers, Products, Sales
from crm_assets.gold.audiences import _AUDIENCE, _SUMMARY, _sales_match

DAY = timedelta(days=1)
PARAMETERS = {"slug": "ilpi", "triggers": []}
PRODUCTS = [
    {"product_id": "1", "audiences": ["ilpi"]},
    {"product_id": "2", "audiences": ["estetica"]},
    {"product_id": "3", "audiences": ["ilpi", "estetica"]},
    {"product_id": "4", "audiences": []},
]


def audience(sales, people=(1, 2), **of_person):
    lake = Lake()
    lake.put("silver.products", Products, *PRODUCTS)
    lake.put("silver.customers", Customers, *({"customer_id": cus(n), **of_person} for n in people))
    rows = [{"sale_id": f"s{i}", "order_id": f"o{i}", **s} for i, s in enumerate(sales)]
    lake.put("silver.sales", Sales, *rows)
    lake.tx.replace_table("gold.audience_ilpi", _AUDIENCE, PARAMETERS)
    assert lake.keeps("gold.audience_ilpi", Audience)
    return lake


def match(lake):
    return _sales_match("gold.audience_ilpi", PARAMETERS, lake.tx)


def sale(gross="100.00", **fields):
    return {"customer_id": cus(1), "gross": Decimal(gross), "paid_at": NOON, **fields}


def members(*sales, **more):
    lake = audience(sales, **more)
    assert match(lake).passed
    return lake.rows("FROM gold.audience_ilpi")


@pytest.mark.parametrize(
    ("sales", "ltv"),
    [
        ([sale()], "100.00"),
        ([sale(), sale("0.05")], "100.05"),
        ([sale(), sale(is_new_order=False)], "200.00"),
        ([sale(), sale(is_eligible=False)], "100.00"),
        ([sale(), sale(product_id="2")], "100.00"),
        ([sale(), sale(product_id="3")], "200.00"),
        ([sale(), sale(product_id="4")], "100.00"),
        ([sale(), sale(product_id=None)], "100.00"),
        ([sale(), sale(product_id="99")], "100.00"),
        ([sale(), sale(source="woocommerce")], "100.00"),
        ([sale(), sale("50.00", currency="USD")], "100.00"),
        ([sale("0.10")] * 3, "0.30"),
    ],
)
def test_ltv(sales, ltv):
    (row,) = members(*sales)
    assert row["ltv"] == Decimal(ltv)


def test_a_person_all_refunded_is_no_member():
    assert members(sale(is_eligible=False, is_refunded=True)) == []


def test_a_buyer_without_key_is_no_member_but_is_shown():
    lake = audience([sale(), sale("30.00", customer_id=None)])
    verdict = match(lake)
    assert verdict.passed
    assert verdict.metadata["sem chave"] == "30.00"
    assert verdict.metadata["vendas"] == "130.00"


def test_foreign_sums_stay_apart_by_currency():
    (row,) = members(
        sale("10.00", currency="USD"),
        sale("5.00", currency="EUR"),
        sale("2.50", currency="USD", customer_id=cus(1)),
    )
    assert row["ltv"] == 0
    assert row["ltv_foreign"] == [
        {"currency": "EUR", "amount": Decimal("5.00")},
        {"currency": "USD", "amount": Decimal("12.50")},
    ]


def test_net_is_the_sum_of_what_is_known_in_the_tenants_currency():
    (row,) = members(sale(net=Decimal("90.00")), sale(), sale(currency="USD", net=Decimal("1.00")))
    assert row["ltv_net"] == Decimal("90.00")
    (row,) = members(sale())
    assert row["ltv_net"] is None


def test_orders_and_dates():
    (row,) = members(
        sale(order_id="a", paid_at=NOON - DAY),
        sale(order_id="a"),
        sale(order_id="b", is_new_order=False, paid_at=NOON + DAY),
        sale(order_id="c", product_id="2", paid_at=NOON + 9 * DAY),
    )
    assert row["orders"] == 1
    assert (row["first_purchase_at"], row["last_purchase_at"]) == (NOON - DAY, NOON + DAY)


def test_opted_out_members_stay_but_are_not_exportable():
    lake = audience([sale()], opted_out=True)
    assert lake.column("SELECT exportable FROM gold.audience_ilpi") == [False]
    told = lake.rows(_SUMMARY.format(table="gold.audience_ilpi"))[0]
    assert told["fora dos arquivos (pediram para sair)"] == 1


@st.composite
def random_sales(draw):
    return draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "customer_id": st.sampled_from([None, cus(1), cus(2), cus(3)]),
                    "gross": st.decimals("0.01", "99999.99", places=2),
                    "currency": st.sampled_from(["BRL", "USD", "EUR"]),
                    "product_id": st.sampled_from([None, "1", "2", "3", "4", "99"]),
                    "is_eligible": st.booleans(),
                    "order_id": st.sampled_from(["a", "b", "c"]),
                    "paid_at": st.just(NOON),
                }
            ),
            max_size=25,
        )
    )


@random_cases(8)
@given(random_sales())
def test_ltv_equals_a_sum_by_hand_and_the_reconciliation_holds(sales):
    lake = audience(sales, people=(1, 2, 3))
    assert match(lake).passed
    by_hand: dict = defaultdict(Decimal)
    for s in sales:
        if s["is_eligible"] and s["customer_id"] and s["product_id"] in ("1", "3"):
            by_hand[s["customer_id"], s["currency"]] += s["gross"]
    found = {}
    for row in lake.rows("FROM gold.audience_ilpi"):
        if row["ltv"]:
            found[row["customer_id"], "BRL"] = row["ltv"]
        for entry in row["ltv_foreign"]:
            found[row["customer_id"], entry["currency"]] = entry["amount"]
    assert found == by_hand


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE gold.audience_ilpi SET ltv = ltv + 0.01",
        "DELETE FROM gold.audience_ilpi",
        "UPDATE gold.audience_ilpi SET ltv_foreign = []",
        "UPDATE silver.sales SET customer_id = NULL",
        "INSERT INTO gold.audience_ilpi FROM gold.audience_ilpi",
    ],
)
def test_a_planted_difference_fails_the_reconciliation(damage):
    lake = audience([sale(), sale(currency="USD")])
    assert match(lake).passed
    lake.tx.execute(damage)
    verdict = match(lake)
    assert not verdict.passed
    assert all(isinstance(value, str) for value in verdict.metadata.values())
