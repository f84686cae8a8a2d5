"""Revenue by period, cohorts, and carts that became purchases (rules 1.9, 5.2; metrics 2.6)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import cus, local, random_cases
from metric_samples import Metrics, money

from crm_assets.gold import revenue

PAID = {
    "refunded": {"status_class": "reversed", "is_paid": False, "is_refunded": True},
    "partial": {"status_class": "partial", "is_paid": False},
    "disputed": {"status_class": "disputed", "is_paid": False, "is_disputed": True},
}
AMOUNTS = ("total", "refunded", "charged_back", "disputed", "undated_reversals",
           "partially_refunded", "net", "commission", "net_commission")  # fmt: skip


def sale(number, paid, gross="100.00", kind="paid", **more):
    """A sale paid at an instant of São Paulo; the own commission is nine tenths of it."""
    amount = None if gross is None else Decimal(gross)
    returned = more.pop("returned", None)
    return {
        "sale_id": f"hotmart:HP{number}",
        "order_id": f"HP{number}",
        "customer_id": cus(1),
        "ordered_at": local(paid),
        "paid_at": local(paid),
        "gross": amount,
        "net": amount and amount * Decimal("0.9"),
        "net_currency": more.get("currency", "BRL"),
        **PAID.get(kind, {}),
        "reversal_kind": "refund" if kind == "refunded" else None,
        "refunded_at": local(returned) if returned else None,
        **more,
    }


def figures(row):
    return {name: row[name] for name in AMOUNTS if row.get(name)}


@pytest.mark.parametrize(
    ("sales", "period", "expected"),
    [
        ([sale(1, "2026-02-03 10:00")], "02-01", {"total": 100, "net": 100}),
        ([sale(1, "2026-01-31 23:59:59")], "02-01", {}),
        ([sale(1, "2026-02-01 00:00")], "02-01", {"total": 100, "net": 100}),
        ([sale(1, "2026-02-03 10:00", is_purchase=False)], "02-01", {}),
        (
            [sale(1, "2026-01-20 10:00", kind="refunded", returned="2026-02-02 10:00")],
            "02-01",
            {"refunded": 100, "net": -100},
        ),
        (
            [sale(1, "2026-01-20 10:00", kind="refunded", returned="2026-02-02 10:00")],
            "01-01",
            {"total": 100, "net": 100},
        ),
        (
            [
                sale(1, "2026-02-03 10:00"),
                sale(
                    2, "2026-02-01 10:00", "30.00", "refunded", returned="2026-02-02 10:00",
                    reversal_kind="chargeback",
                ),
            ],
            "02-01",
            {"total": 130, "charged_back": 30, "net": 100},
        ),
        (
            [sale(1, "2026-02-03 10:00", kind="refunded")],
            "02-01",
            {"total": 100, "undated_reversals": 100, "net": 100},
        ),
        ([sale(1, "2026-02-03 10:00", kind="partial")], "02-01", {"partially_refunded": 100}),
        (
            [sale(1, "2026-02-03 10:00", kind="disputed")],
            "02-01",
            {"total": 100, "disputed": 100, "net": 100},
        ),
        ([sale(1, "2026-02-03 10:00", gross=None)], "02-01", {}),
        ([sale(1, "2026-03-16 10:00")], "03-01", {}),
    ],
)  # fmt: skip
def test_what_is_booked_in_a_month(sales, period, expected):
    made = Metrics().put(sales=sales)
    revenue.make_revenue(made.lake.tx, local("2026-03-15 12:00"))
    told = figures(made.row("fresh_revenue", "month", f"2026-{period}"))
    told = {name: value for name, value in told.items() if "commission" not in name}
    assert told == {name: money(amount) for name, amount in expected.items()}


def test_commission_follows_the_money():
    sales = [
        sale(1, "2026-02-03 10:00"),
        sale(2, "2026-01-20 10:00", kind="refunded", returned="2026-02-02 10:00"),
    ]
    told = Metrics("03-15").put(sales=sales).run().row("gold.revenue", "month", "2026-02-01")
    assert (told["commission"], told["net_commission"]) == (money(90), money(0))


def test_currencies_never_meet_but_in_the_house():
    sales = [
        sale(1, "2026-02-03 10:00"),
        sale(2, "2026-02-03 10:00", "20.00", currency="USD", value=money(110), net_value=money(99)),
        sale(3, "2026-02-03 10:00", "7.00", currency="EUR"),
        sale(4, "2026-02-03 10:00", "9.00", currency=None),
    ]
    made = Metrics("03-15").put(sales=sales).run()
    totals = {
        row["currency"]: row["total"]
        for row in made.lake.rows(
            "FROM gold.revenue WHERE grain = 'day' AND period_start = '2026-02-03'"
        )
    }
    assert totals == {
        "BRL": money(100), "USD": money(20), "EUR": money(7), "XXX": money(9), "home": money(210),
    }  # fmt: skip


def test_a_period_without_sales_is_told_as_nothing():
    made = Metrics("03-15").put(sales=[sale(1, "2026-01-03 10:00")]).run()
    assert figures(made.row("gold.revenue", "month", "2026-02-01")) == {}
    assert made.row("gold.revenue", "month", "2026-02-01")["sales"] == 0


@pytest.mark.slow
@random_cases(3)
@given(
    st.lists(
        st.builds(
            sale,
            st.just(1),
            st.integers(0, 80).map(lambda ago: f"{date(2026, 1, 1) + timedelta(ago)} 23:30"),
            st.one_of(st.none(), st.decimals("1", "999", places=2).map(str)),
            st.sampled_from(["paid", "refunded", "partial", "disputed"]),
            currency=st.sampled_from(["BRL", "USD", None]),
            returned=st.one_of(
                st.none(),
                st.integers(0, 90).map(lambda ago: f"{date(2026, 1, 1) + timedelta(ago)} 00:30"),
            ),
        ),
        max_size=8,
    )
)
def test_days_add_up_to_weeks_and_months(sales):
    rows = [
        {
            **one,
            "sale_id": f"s{number}",
            "refunded_at": one.get("is_refunded") and one["refunded_at"],
        }
        for number, one in enumerate(sales)
    ]
    made = Metrics("03-15").put(sales=rows).run()
    sums = made.lake.rows(
        f"SELECT currency, {', '.join(f'sum({name}) AS {name}' for name in AMOUNTS)} "
        "FROM gold.revenue GROUP BY grain, currency"
    )
    assert len({tuple(row.values()) for row in sums}) * 3 == len(sums)


def test_cohorts_count_who_comes_back_by_calendar_months():
    def bought(number, customer, paid, **more):
        return sale(number, paid, customer_id=cus(customer) if customer else None, **more)

    made = Metrics("03-15").put(
        sales=[
            bought(1, 1, "2026-01-31 23:59"),
            bought(2, 1, "2026-02-01 00:00"),
            bought(3, 1, "2026-03-01 10:00"),
            bought(4, 2, "2026-01-05 10:00"),
            bought(5, 2, "2026-01-25 10:00"),
            bought(6, 3, "2026-02-05 10:00"),
            bought(7, 4, "2026-01-05 10:00", kind="refunded"),
            bought(8, None, "2026-01-05 10:00"),
            bought(9, 5, "2026-01-05 10:00", is_purchase=False),
        ]
    )
    rows = made.run().lake.rows("FROM gold.cohorts ORDER BY ALL")
    told = [
        (
            row["cohort_month"].month,
            row["months_later"],
            row["customers"],
            row["returning_customers"],
        )
        for row in rows
    ]
    assert told == [(1, 0, 2, 2), (1, 1, 2, 1), (1, 2, 2, 1), (2, 0, 1, 1), (2, 1, 1, 0)]
    assert [row["retention"] for row in rows] == [1, 0.5, 0.5, 1, 0]
    assert [row["is_partial"] for row in rows] == [False, False, True, False, True]


@pytest.mark.slow
def test_a_late_refund_moves_a_cohort_and_is_listed():
    first, second = sale(1, "2026-01-05 10:00"), sale(2, "2026-01-06 10:00", customer_id=cus(2))
    made = Metrics("03-15").put(sales=[first, second]).run("first")
    made.put(sales=[first, {**second, **PAID["refunded"]}]).run("second")
    listed = made.lake.rows("FROM gold.metric_changes WHERE metric = 'cohorts.returning_customers'")
    assert [(row["period_start"], row["detail"], row["was"], row["now"]) for row in listed] == [
        (date(2026, 1, 1), "2026-01-01", money(2), money(1))
    ]


CART = "2026-06-10 12:00:00"


def cart(number=1, at=CART, customer=1, product="1"):
    return {
        "cart_id": f"hotmart:{number}",
        "source": "hotmart",
        "customer_id": cus(customer),
        "product_id": product,
        "product_name": product and f"Curso {product}",
        "cart_at": local(at),
        "is_estimated": False,
        "events": 1,
    }


def order(number=1, at="2026-06-11 12:00:00", paid=None, customer=1, product="1", **more):
    more = {"customer_id": cus(customer), "product_id": product, **more}
    return {**sale(number, at, **more), "paid_at": local(paid or at)}


def told_of(carts, orders, now):
    """What became of the carts: recovered, abandoned, waiting, replaced, and the rate."""
    made = Metrics("2026-08-30").put(sales=orders, carts=carts)
    revenue.make_cart_conversion(made.lake.tx, local(now))
    rows = made.lake.rows("FROM fresh_cart_conversion WHERE grain = 'month'")
    counts = {name: sum(row[name] for row in rows) for name in STATUSES}
    return {name: count for name, count in counts.items() if count}, rows


STATUSES = ("recovered", "abandoned", "waiting", "replaced")


@pytest.mark.parametrize(
    ("case", "orders", "now", "status"),
    [
        ("R1", [order(at="2026-06-08 12:00:00")], "2026-06-12 12:00:00", "recovered"),
        ("R2", [order(at="2026-06-08 11:59:59")], "2026-06-12 12:00:00", "waiting"),
        ("R3", [order(at="2026-07-10 12:00:00")], "2026-08-01 12:00:00", "recovered"),
        ("R4", [order(at="2026-07-10 12:00:01")], "2026-08-01 12:00:00", "abandoned"),
        ("R5", [], "2026-07-10 12:00:00", "waiting"),
        ("R6", [], "2026-07-10 12:00:01", "abandoned"),
        ("R7 unpaid", [order(is_purchase=False)], "2026-06-12 12:00:00", "waiting"),
        ("R7 paid late", [order(paid="2026-07-20 12:00:00")], "2026-08-01 12:00:00", "recovered"),
        ("R8", [order(kind="refunded")], "2026-06-12 12:00:00", "waiting"),
        ("R8 late", [order(kind="refunded")], "2026-08-01 12:00:00", "abandoned"),
        ("R13", [order(product="2")], "2026-06-12 12:00:00", "waiting"),
        ("other person", [order(customer=2)], "2026-06-12 12:00:00", "waiting"),
        ("renewal", [order(is_new_order=False)], "2026-06-12 12:00:00", "waiting"),
        ("order bump", [order(order_id="HP99")], "2026-06-12 12:00:00", "waiting"),
        ("paid after now", [order(paid="2026-06-13 12:00:00")], "2026-06-12 12:00:00", "waiting"),
    ],
)
def test_when_a_cart_is_recovered(case, orders, now, status):
    assert told_of([cart()], orders, now)[0] == {status: 1}, case


@pytest.mark.parametrize(
    ("carts", "orders", "expected"),
    [
        (  # R9: two carts, one order: the later one before it has it, the earlier was replaced
            [cart(1), cart(2, "2026-06-13 12:00:00")],
            [order(at="2026-06-14 12:00:00")],
            {"recovered": 1, "replaced": 1},
        ),
        (  # an order before any cart is credited to the first after it
            [cart(1), cart(2, "2026-06-11 13:00:00")],
            [order(at="2026-06-09 12:00:00")],
            {"recovered": 1, "abandoned": 1},
        ),
        (  # two orders of one cart recover it once
            [cart()],
            [order(1), order(2, "2026-06-12 12:00:00")],
            {"recovered": 1},
        ),
        (  # a final cart is never replaced
            [cart(1), cart(2, "2026-07-20 12:00:00")],
            [],
            {"abandoned": 2},
        ),
        ([cart(1), cart(2, "2026-06-13 12:00:00", product="2")], [], {"abandoned": 2}),
        ([cart(1), cart(2, "2026-06-13 12:00:00", customer=2)], [], {"abandoned": 2}),
        (
            [cart(1, product=None), cart(2, "2026-06-13 12:00:00", product=None)],
            [],
            {"abandoned": 2},
        ),
    ],
)
def test_several_carts(carts, orders, expected):
    assert told_of(carts, orders, "2026-08-25 12:00:00")[0] == expected


def test_the_rate_is_of_carts_whose_time_is_over():
    """R14: 3 recovered, 5 abandoned, 4 waiting give 37.5 %."""
    recovered = [cart(n, customer=n) for n in range(1, 4)]
    abandoned = [cart(n, customer=n) for n in range(4, 9)]
    waiting = [cart(n, "2026-06-30 12:00:00", customer=n) for n in range(9, 13)]
    orders = [order(n, customer=n, gross="50.00") for n in range(1, 4)]
    _, (row,) = told_of([*recovered, *abandoned, *waiting], orders, "2026-07-15 12:00:00")
    assert (row["carts"], row["recovery_rate"], row["is_partial"]) == (12, 0.375, True)
    assert row["recovered_value"] == money(150)


def test_a_rate_of_nothing_finished_is_blank():
    """R15."""
    _, (row,) = told_of([cart()], [], "2026-06-12 12:00:00")
    assert row["recovery_rate"] is None
