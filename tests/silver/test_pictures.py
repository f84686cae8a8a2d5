"""The series that the pictures of sales, customers and merges show."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from lake import Lake, cus, local, site

from crm_assets.checks.silver import CustomerMerges, Customers, Sales
from crm_assets.silver.customers import _GROWTH
from crm_assets.silver.sales import _REVENUE, _revenue
from crm_assets.silver.xref import _CHANGES

TODAY = date(2026, 3, 15)
PENDING = {"status_class": "pending", "is_paid": False, "was_paid": False, "is_eligible": False}
REFUNDED = {"status_class": "reversed", "is_paid": False, "is_refunded": True}


@pytest.fixture
def lake() -> Lake:
    return Lake()


def revenue(lake: Lake, *sales: dict) -> dict[date, tuple[float | None, ...]]:
    """Paid, pending and reversed by day, days without any left out."""
    rows = [{"sale_id": str(n), "order_id": str(n), **sale} for n, sale in enumerate(sales)]
    lake.put("silver.sales", Sales, *rows)
    found = lake.tx.read(_REVENUE, {"today": TODAY})
    assert found["day"].to_list() == [TODAY - timedelta(days=59 - day) for day in range(60)]
    sums = {
        day: tuple(float(x) if x is not None else None for x in row) for day, *row in found.rows()
    }
    return {day: row for day, row in sums.items() if any(row)}


@pytest.mark.parametrize(
    ("sale", "day", "sums"),
    [
        ({"paid_at": local("2026-03-15 00:00")}, TODAY, (10, None, None)),
        ({"paid_at": local("2026-03-14 23:59")}, date(2026, 3, 14), (10, None, None)),
        ({"paid_at": local("2026-01-15 00:00")}, date(2026, 1, 15), (10, None, None)),
        (
            {**PENDING, "ordered_at": local("2026-03-10 12:00")},
            date(2026, 3, 10),
            (None, 10, None),
        ),
        (
            {
                **REFUNDED,
                "paid_at": local("2026-03-01 09:00"),
                "refunded_at": local("2026-03-09 09:00"),
            },
            date(2026, 3, 1),
            (None, None, 10),
        ),
    ],
    ids=["today", "before midnight", "first day", "pending", "reversed"],
)
def test_a_sale_is_revenue_of_the_day_it_was_paid_else_ordered(lake, sale, day, sums):
    assert revenue(lake, {"value": 10, "gross": 99, **sale}) == {day: sums}


@pytest.mark.parametrize(
    "sale",
    [
        {"paid_at": local("2026-01-14 23:59")},
        {"paid_at": local("2026-03-10 12:00"), "is_own": False},
        {"paid_at": local("2026-03-10 12:00"), "value": None, "currency": "USD"},
        {"paid_at": None, "ordered_at": None},
        {"paid_at": local("2026-03-10 12:00"), "is_paid": False, "status_class": "failed"},
    ],
    ids=["too old", "another producer's", "not convertible", "without date", "failed"],
)
def test_what_is_no_revenue_of_these_days(lake, sale):
    assert revenue(lake, {"value": 10, "gross": 99, **sale}) == {}


def test_both_pictures_of_revenue_have_one_scale(lake):
    half = {"value": 50, "paid_at": local("2026-02-01 12:00")}
    revenue(lake, half, {**half, "value": 100, "paid_at": local("2026-03-01 12:00")})
    told = {label: md.value for label, md in _revenue(site(), lake.tx).items()}
    newer, older = told["receita: últimos 30 dias"], told["receita: 30 dias anteriores"]
    assert "V0h9" in newer
    assert "máx. R$ 100 " in newer
    assert "V49h9" in older
    assert "V0h9" not in older
    assert "máx. R$ 50 " in older


def test_customers_grow_week_by_week(lake):
    seen = {
        "today": local("2026-03-15 23:59"),
        "this week": local("2026-03-09 00:00"),
        "last week": local("2026-03-08 23:59"),
        "years ago": local("2020-01-01 12:00"),
        "no date": None,
        "in the future": local("2026-04-01 12:00"),
    }
    people = [{"customer_id": cus(n), "first_seen_at": at} for n, at in enumerate(seen.values())]
    lake.put("silver.customers", Customers, *people)
    growth = lake.tx.read(_GROWTH, {"today": TODAY})
    assert len(growth) == 53
    assert growth["week"].to_list()[-1] == TODAY
    assert growth["clientes"].to_list() == [2] * 51 + [3, 6]


def test_merges_and_splits_are_counted_by_week(lake):
    events = [
        ("mint", local("2026-03-15 10:00")),
        ("merge", local("2026-03-15 10:00")),
        ("merge", local("2026-03-09 00:00")),
        ("split", local("2026-03-08 23:59")),
        ("merge", local("2020-01-01 12:00")),
    ]
    rows = [{"event": event, "occurred_at": at, "customer_id": cus(1)} for event, at in events]
    lake.put("silver.customer_merges", CustomerMerges, *rows)
    changes = lake.tx.read(_CHANGES, {"today": TODAY})
    assert len(changes) == 30
    assert changes.rows()[-3:] == [
        (date(2026, 3, 1), 0, 0),
        (date(2026, 3, 8), 0, 1),
        (TODAY, 2, 0),
    ]
    assert sum(changes["uniões"]) == 2
