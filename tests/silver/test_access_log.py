"""Access over time: the clock, decisions of people, merges, and a log that never repeats."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from access_samples import bought, day, decide, decided, lake_of
from hypothesis import given
from hypothesis import strategies as st
from lake import Lake, cus, local, random_cases, site
from subscription_samples import CANCEL, DELAY, event, noon, paid, plan

from crm_assets.silver.access import _log_agrees, _write
from crm_assets.silver.access_rules import BLOCK, RELEASE

pytestmark = pytest.mark.slow

LATE = [paid("2026-01-01"), event(DELAY, "2026-02-01"), plan()]
CANCELLED = [
    paid("2026-01-05"),
    event(CANCEL, "2026-01-06", next_charge_at=noon("2026-02-05")),
    plan(),
]


def test_the_clock_alone_suspends_and_ends():
    lake = lake_of("2026-02-01", {"A": LATE, "B": CANCELLED})
    for moment in ("02-01 20:00", "02-05 23:59", "02-06 00:00", "02-07 23:59", "02-08 00:00"):
        decide(lake, local(f"2026-{moment}"))
    log = lake.tx.read("SELECT product_id, before, status FROM silver.access_log ORDER BY rowid")
    assert log.rows() == [
        ("A", None, "grace"),
        ("B", None, "granted"),
        ("B", "granted", "ended"),
        ("A", "grace", "suspended"),
    ]


def test_again_and_with_the_clock_put_back_nothing_is_said_twice():
    lake = lake_of("2026-02-01", {"A": LATE})
    for moment in ("02-01 20:00", "02-01 20:00", "02-09 10:00", "02-02 10:00", "02-09 10:00"):
        decide(lake, local(f"2026-{moment}"))
    assert lake.column("SELECT status FROM silver.access_log") == ["grace", "suspended"]
    assert lake.column("SELECT status FROM silver.access") == ["suspended"]


def test_a_person_blocks_and_releases():
    lake = lake_of("2026-01-20", {"A": [paid("2026-01-05"), plan()]})
    decide(lake, local("2026-01-20 12:00"))
    lake.bronze("bronze.crm_actions", decided(BLOCK, "01-21 10:00", 1))
    decide(lake, local("2026-01-20 13:00"))  # not yet
    decide(lake, local("2026-01-21 12:00"))
    (row,) = lake.rows("FROM silver.access")
    assert (row["status"], row["event"], row["decided_by"]) == ("suspended", "bloqueio", "rita")
    assert row["reason"] == "porque sim"
    lake.bronze("bronze.crm_actions", decided(RELEASE, "01-22 10:00", 2))
    decide(lake, local("2026-01-22 12:00"))
    log = lake.tx.read("SELECT status, event, decided_by FROM silver.access_log ORDER BY rowid")
    assert log.rows() == [
        ("granted", "pagamento", None),
        ("suspended", "bloqueio", "rita"),
        ("granted", "pagamento", None),
    ]


def test_an_access_given_ends_with_its_day():
    lake = lake_of("2026-01-20", {"B": [paid("2026-01-05"), plan()]})
    lake.bronze(
        "bronze.crm_actions",
        decided(RELEASE, "01-21 10:00", 1, until=date(2026, 1, 25)),
    )
    decide(lake, local("2026-01-25 23:59"))
    (row,) = lake.rows("FROM silver.access WHERE product_id = 'A'")
    assert (row["status"], row["event"], day(row["until"])) == (
        "granted",
        "liberacao",
        "2026-01-26",
    )
    decide(lake, local("2026-01-26 00:00"))
    assert lake.column("SELECT product_id FROM silver.access") == ["B"]
    last = "SELECT status, event FROM silver.access_log WHERE product_id = 'A' ORDER BY rowid DESC"
    assert lake.tx.read(last).row(0) == ("ended", "sem_direito")


def test_a_decision_follows_the_person():
    lake = lake_of("2026-01-20", {"A": [paid("2026-01-05", customer_id=cus(7)), plan()]})
    lake.bronze("silver.customer_ids", {"customer_id": cus(8), "survivor_id": cus(7)})
    lake.bronze("bronze.crm_actions", decided(BLOCK, "01-10 10:00", 1, person=8))
    decide(lake, local("2026-01-20 12:00"))
    assert lake.column("SELECT status FROM silver.access") == ["suspended"]
    rebuilt = decided(BLOCK, "01-10 10:00", 1, person=99, email_key="ana@example.com")
    lake.tx.execute("DELETE FROM bronze.crm_actions")
    lake.bronze("bronze.crm_actions", rebuilt)
    decide(lake, local("2026-01-20 13:00"))
    assert lake.column("SELECT status FROM silver.access") == ["suspended"]


def test_a_merge_says_nothing_new():
    lake = lake_of("2026-01-20", {"A": [paid("2026-01-05", customer_id=cus(2)), plan()]})
    decide(lake, local("2026-01-20 12:00"))
    lake.tx.execute(
        "UPDATE silver.customer_ids SET survivor_id = ? WHERE customer_id = ?", [cus(1), cus(2)]
    )
    for table in ("silver.sales", "silver.subscriptions", "silver.subscription_periods"):
        lake.tx.execute(f"UPDATE {table} SET customer_id = ?", [cus(1)])
    decide(lake, local("2026-01-20 13:00"))
    assert lake.column("SELECT customer_id FROM silver.access_log") == [cus(2)]
    assert lake.column("SELECT customer_id FROM silver.access") == [cus(1)]


def test_the_step_waits_for_the_first_refine():
    lake = Lake()
    assert _write(site(), lake.tx) == {}
    assert _log_agrees(lake.tx).passed


def test_what_the_step_tells():
    lake = lake_of("2026-03-10", {"A": [paid("2026-03-05"), plan()], "B": [bought("2026-03-01")]})
    told = _write(site("2026-03-15T12:00:00-03:00"), lake.tx)
    assert told["silver.access"] == {
        "liberados": 2,
        "em tolerância": 0,
        "suspensos": 0,
        "encerrados": 0,
        "em disputa": 0,
        "decididos por uma pessoa": 0,
        "plano pro": 1,
        "assinaturas sem plano (valor desconhecido)": 0,
    }
    assert told["silver.access_log"] == {"mudanças agora": 2}


MOMENTS = st.lists(st.integers(0, 24 * 60), min_size=1, max_size=8)


@random_cases(4)
@given(MOMENTS)
def test_the_log_is_the_story_of_its_moments(hours):
    lake = lake_of("2026-02-01", {"A": LATE, "B": CANCELLED, "C": [bought("2026-01-10")]})
    begin = local("2026-02-01 12:00")
    for hour in hours:
        decide(lake, begin + timedelta(hours=hour))
    rows = lake.rows("SELECT product_id, before, status FROM silver.access_log ORDER BY rowid")
    assert all(row["before"] != row["status"] for row in rows)
    assert max(Counter((row["product_id"], row["status"]) for row in rows).values()) == 1
    for product in "ABC":
        mine = [row for row in rows if row["product_id"] == product]
        assert [row["before"] for row in mine] == [None, *(row["status"] for row in mine[:-1])]
