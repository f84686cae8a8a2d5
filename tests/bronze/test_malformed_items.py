"""Whatever the vendor sends instead of a proper record: nothing raises, nothing is lost (S1.108).

The records are those of the sandbox with a few values taken out or replaced by anything that JSON
can hold. They go through bronze, and from there through the mapping to sales and contacts.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from functools import cache

import duckdb
import pytest
from bronze_samples import Bronze
from hypothesis import given
from hypothesis import strategies as st
from lake import random_cases, site

from crm_assets.bronze.hotmart import LANDINGS, typed_rows
from crm_assets.bronze.hotmart_rows import COMMISSIONS, CUSTOMERS
from crm_assets.checks.contract import check_table
from crm_assets.checks.silver import ContactRecords, SaleRecords
from crm_assets.resources import MIGRATIONS
from crm_assets.silver import records
from crm_resources.hotmart.sandbox_data import SandboxData
from crm_resources.hotmart.sandbox_items import commissions_item, price_details_item
from crm_resources.warehouse import Transaction

pytestmark = pytest.mark.slow

WORDS = [
    "", " ", "null", "NaN", "-1", "1e999", "1.234,56", "true", "APPROVED", "approved ", "AFFILIATE",
    "BUYER", "PRODUCER", "SUBSCRIPTION", "SMART_INSTALLMENT", "BRL", "usd", "HP1", "HP1C1", "H P",
    "1749597300000", "2026-03-15T09:00:00Z", "\x00", "\ud83d", "é" * 300,
]  # fmt: skip
LEAVES = (
    st.sampled_from(WORDS)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 10**17, 10**30, 1749597300000, 4102444800000, 631152000])
    | st.floats()
    | st.text(max_size=6)
)
JUNK = LEAVES | st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["value", "role", "user", "number"]), inner, max_size=2)
    ),
    max_leaves=3,
)


@cache
def proper() -> dict[str, list[dict]]:
    """Records as they should be, by source."""
    start, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    data = SandboxData.generate(7, 120, start, end)
    sales = data.find()
    items: dict[str, list] = {
        "hotmart_transactions": [json.loads(sale.history) for sale in sales],
        "hotmart_customers": [json.loads(sale.users) for sale in sales],
        "hotmart_commissions": [json.loads(commissions_item(s, "currency_code")) for s in sales],
        "hotmart_price_details": [json.loads(price_details_item(sale)) for sale in sales],
        "hotmart_subscriptions": [each.item for each in data.subscriptions()],
        "hotmart_subscription_transactions": [
            charge for each in data.subscriptions() for charge in each.charges
        ],
    }
    assert all(items.values())
    return items


@st.composite
def spoilt(draw, source: str) -> dict:
    """A proper record after a few accidents."""
    item = copy.deepcopy(draw(st.sampled_from(proper()[source])))
    for _ in range(draw(st.integers(0, 4))):
        place = item
        while True:
            names = sorted(place) if isinstance(place, dict) else range(len(place))
            if not names:
                break
            name = draw(st.sampled_from(names))
            if place[name] and isinstance(place[name], dict | list) and draw(st.integers(0, 3)):
                place = place[name]
                continue
            if draw(st.booleans()):
                place[name] = draw(JUNK)
            else:
                del place[name]
            break
    return item


@cache
def connection() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(config={"threads": 1})
    con.execute("SET TimeZone = 'America/Sao_Paulo'")
    for script in sorted(MIGRATIONS.glob("*.sql")):
        con.execute(script.read_text())
    return con


def by_source(landing):
    return landing.source


def test_every_landing_has_proper_records():
    assert proper().keys() == {landing.source for landing in LANDINGS}


@pytest.mark.parametrize("landing", LANDINGS, ids=by_source)
def test_a_proper_record_is_accepted_without_a_word(landing):
    items = proper()[landing.source]
    rows, rejects = typed_rows(Transaction(connection()), landing.shape, items)
    assert len(rows) >= len(items)
    assert rejects.is_empty()


@pytest.mark.parametrize("landing", LANDINGS, ids=by_source)
@random_cases(6)
@given(data=st.data())
def test_a_record_is_accepted_or_rejected_whole_and_each_bad_value_is_told(landing, data):
    item, shape = data.draw(spoilt(landing.source)), landing.shape
    rows, rejects = typed_rows(Transaction(connection()), shape, [item])

    told = rejects["field"].to_list()
    whole = [field for field in told if field in {shape.key, shape.without_record[0]}]
    says_nothing = shape is COMMISSIONS and item.get("commissions") in (None, [])
    assert len(rows) + len(whole) >= 1 or says_nothing
    if shape not in (CUSTOMERS, COMMISSIONS):
        assert len(rows) + len(whole) == 1
    assert rejects["raw"].null_count() == rejects["reason"].null_count() == 0
    assert all(json.loads(raw) is not None for raw in rows["raw"])
    assert set(told) - set(whole) <= {
        name for name, (_, kind) in shape.fields.items() if kind != "text"
    }
    for name, (_, kind) in shape.fields.items():
        if kind != "text":
            assert told.count(name) <= rows[name].null_count()


@random_cases(2)
@given(data=st.data())
def test_spoilt_records_become_sales_and_contacts_that_keep_their_contracts(data):
    con = connection()
    for landing in LANDINGS:
        con.execute(f"DELETE FROM {landing.table.name}")
    con.execute("DELETE FROM bronze.hotmart_status_changes")
    bronze = Bronze(con)
    for landing in LANDINGS:
        bronze.land(data.draw(spoilt(landing.source)), landing=landing)
        bronze.land(data.draw(spoilt(landing.source)), landing=landing, month="2026-01-01")

    tx = Transaction(con)
    records._write(site(), tx)

    for table, contract in (
        ("silver.sale_records", SaleRecords),
        ("silver.contact_records", ContactRecords),
    ):
        verdict = check_table(tx, table, contract)
        assert verdict.passed, verdict.metadata
    assert records._transactions_match(tx).passed
