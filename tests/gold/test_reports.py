"""The report of each load: figures, differences, history, reconciliation (S1.101 to S1.105)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import NOON, Lake, cus, random_cases, site

from crm_assets.checks.gold import DailyReport
from crm_assets.checks.silver import Sales
from crm_assets.gold import reports
from crm_assets.silver.sale_rules import STATUS_CLASS

TODAY = date(2026, 3, 15)
YESTERDAY = date(2026, 3, 14)
FIGURES = ("buyers", "paid", "pending", "cancellations", "cancelled")
SITE = site(NOON)


def sale(status="APPROVED", gross="100.00", **fields):
    """A sale as the sale rules would leave it."""
    kind = STATUS_CLASS.get(status, "unknown")
    own = fields.get("is_own", True)
    once_paid = kind in ("paid", "reversed", "disputed", "partial")
    amount = None if gross is None else Decimal(gross)
    above_zero = amount is None or amount > 0
    return {
        "customer_id": cus(1),
        "status": status,
        "status_class": kind,
        "gross": amount,
        "is_paid": kind == "paid",
        "was_paid": once_paid,
        "is_refunded": kind == "reversed",
        "is_purchase": once_paid and own and above_zero,
        "is_eligible": kind == "paid"
        and own
        and fields.get("currency", "BRL") is not None
        and amount is not None
        and above_zero,
        **fields,
    }


class Loads:
    """A warehouse whose sales change from load to load."""

    def __init__(self):
        self.lake = Lake()

    def on(self, day, *sales):
        rows = [{"sale_id": f"s{i}", "order_id": f"o{i}", **s} for i, s in enumerate(sales)]
        self.lake.put("silver.sales", Sales, *rows)
        reports.write_report(self.lake.tx, day, "BRL")
        assert self.lake.keeps("gold.daily_report", DailyReport)
        return self.lake.rows(
            "FROM gold.daily_report WHERE report_date = ? ORDER BY currency", [day]
        )


def figures(row):
    return tuple(str(row[name]) for name in FIGURES)


def changes(row):
    return tuple(None if row[f"{n}_change"] is None else str(row[f"{n}_change"]) for n in FIGURES)


@pytest.mark.parametrize(
    ("sales", "expected"),
    [
        ([], ("0", "0.00", "0.00", "0", "0.00")),
        ([sale()], ("1", "100.00", "0.00", "0", "0.00")),
        ([sale("COMPLETE")], ("1", "100.00", "0.00", "0", "0.00")),
        ([sale(), sale()], ("1", "200.00", "0.00", "0", "0.00")),
        ([sale(), sale(customer_id=cus(2))], ("2", "200.00", "0.00", "0", "0.00")),
        ([sale(customer_id=None)], ("0", "100.00", "0.00", "0", "0.00")),
        ([sale("WAITING_PAYMENT")], ("0", "0.00", "100.00", "0", "0.00")),
        ([sale("PRINTED_BILLET")], ("0", "0.00", "100.00", "0", "0.00")),
        ([sale("CANCELLED")], ("0", "0.00", "0.00", "1", "100.00")),
        ([sale("canceled ")], ("0", "0.00", "0.00", "1", "100.00")),
        ([sale("REFUNDED")], ("0", "0.00", "0.00", "1", "100.00")),
        ([sale("CHARGEBACK")], ("0", "0.00", "0.00", "1", "100.00")),
        ([sale("PARTIALLY_REFUNDED")], ("0", "0.00", "0.00", "1", "100.00")),
        ([sale("EXPIRED")], ("0", "0.00", "0.00", "0", "0.00")),
        ([sale("OVERDUE")], ("0", "0.00", "0.00", "0", "0.00")),
        ([sale("PROTESTED")], ("0", "0.00", "0.00", "0", "0.00")),
        ([sale("NOVIDADE")], ("0", "0.00", "0.00", "0", "0.00")),
        ([sale("REFUNDED", None)], ("0", "0.00", "0.00", "1", "0.00")),
        ([sale(gross="0.00")], ("0", "0.00", "0.00", "0", "0.00")),
        ([sale(gross="-5.00")], ("0", "0.00", "0.00", "0", "0.00")),
        ([sale(is_own=False), sale("REFUNDED", is_own=False)], ("0", "0.00", "0.00", "0", "0.00")),
    ],
)
def test_figures_of_one_load(sales, expected):
    loads = Loads()
    (row,) = loads.on(TODAY, *sales)
    assert figures(row) == expected
    assert (row["currency"], row["compared_with"], changes(row)) == ("BRL", None, (None,) * 5)
    assert reports._paid_matches(SITE, loads.lake.tx).passed


def test_currencies_never_meet_and_one_that_is_unknown_has_a_line():
    rows = Loads().on(TODAY, sale(), sale(gross="7.00", currency="USD"), sale(currency=None))
    assert [(row["currency"], str(row["paid"])) for row in rows] == [
        ("BRL", "100.00"),
        ("USD", "7.00"),
        (None, "100.00"),
    ]


def test_each_figure_stands_beside_its_difference():
    loads = Loads()
    loads.on(YESTERDAY, sale(), sale(customer_id=cus(2)), sale("WAITING_PAYMENT", "30.00"))
    (row,) = loads.on(TODAY, sale(), sale("REFUNDED", customer_id=cus(2)), sale(gross="30.00"))
    assert row["compared_with"] == YESTERDAY
    assert figures(row) == ("1", "130.00", "0.00", "1", "100.00")
    assert changes(row) == ("-1", "-70.00", "-30.00", "1", "100.00")


def test_a_second_load_of_a_day_takes_its_place_and_compares_with_the_day_before():
    loads = Loads()
    loads.on(YESTERDAY - timedelta(days=9), sale())
    loads.on(TODAY, sale(), sale())
    (row,) = loads.on(TODAY, sale(), sale(), sale())
    assert (row["compared_with"], row["paid_change"]) == (date(2026, 3, 5), Decimal("200.00"))
    assert loads.lake.value("SELECT count(*) FROM gold.daily_report") == 2


def test_a_first_load_repeated_is_still_the_first():
    loads = Loads()
    loads.on(TODAY, sale())
    (row,) = loads.on(TODAY, sale(), sale())
    assert (row["compared_with"], row["paid_change"]) == (None, None)


def test_a_replay_of_an_earlier_day_never_looks_ahead():
    loads = Loads()
    loads.on(TODAY, sale())
    (row,) = loads.on(YESTERDAY, sale())
    assert row["compared_with"] is None


def test_a_currency_that_comes_goes_and_stays_away():
    loads = Loads()
    dollars, unknown = sale(gross="7.00", currency="USD"), sale(currency=None)
    loads.on(YESTERDAY, sale())
    came = loads.on(TODAY, sale(), dollars, unknown)
    assert [(r["currency"], str(r["paid_change"])) for r in came] == [
        ("BRL", "0.00"),
        ("USD", "7.00"),
        (None, "100.00"),
    ]
    gone = loads.on(TODAY + timedelta(days=1), sale())
    assert [(r["currency"], str(r["paid_change"])) for r in gone] == [
        ("BRL", "0.00"),
        ("USD", "-7.00"),
        (None, "-100.00"),
    ]
    assert len(loads.on(TODAY + timedelta(days=2), sale())) == 1


SALES = st.lists(
    st.builds(
        sale,
        st.sampled_from([*STATUS_CLASS, "NOVIDADE"]),
        st.one_of(st.none(), st.decimals("-1", "9999", places=2).map(str)),
        customer_id=st.sampled_from([None, cus(1), cus(2), cus(3)]),
        currency=st.sampled_from([None, "BRL", "USD"]),
        is_own=st.booleans(),
    ),
    max_size=12,
)


@random_cases(6)
@given(SALES, SALES)
def test_paid_is_what_counts_in_ltv_and_differences_add_up(before, after):
    loads = Loads()
    first = loads.on(YESTERDAY, *before)
    second = loads.on(TODAY, *after)
    assert reports._paid_matches(SITE, loads.lake.tx).passed
    eligible = sum((s["gross"] for s in after if s["is_eligible"]), Decimal())
    assert sum(row["paid"] for row in second if row["currency"]) == eligible
    for name in FIGURES:
        grown = sum(row[f"{name}_change"] for row in second)
        assert grown == sum(r[name] for r in second) - sum(r[name] for r in first)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE gold.daily_report SET paid = paid + 0.01",
        "DELETE FROM gold.daily_report",
        "UPDATE silver.sales SET is_eligible = false",
        "UPDATE silver.sales SET currency = 'EUR'",
    ],
)
def test_a_planted_difference_fails_the_reconciliation(damage):
    loads = Loads()
    loads.on(TODAY, sale())
    loads.lake.tx.execute(damage)
    verdict = reports._paid_matches(SITE, loads.lake.tx)
    assert not verdict.passed
    assert all(isinstance(value, str) for value in verdict.metadata.values())


def test_the_step_tells_numbers_that_can_be_drawn():
    loads = Loads()
    loads.on(YESTERDAY, sale())
    loads.lake.put("silver.sales", Sales, {"sale_id": "a", "order_id": "a", **sale(currency=None)})
    told = reports._write(SITE, loads.lake.tx)["gold.daily_report"]
    assert told == {
        "comparado com": "2026-03-14",
        "pago (BRL)": 0.0,
        "pendente (BRL)": 0.0,
        "cancelado (BRL)": 0.0,
        "pago (sem moeda)": 100.0,
        "pendente (sem moeda)": 0.0,
        "cancelado (sem moeda)": 0.0,
    }
