"""The body of an event goes from bronze when its time is over, and nothing else with it."""

from __future__ import annotations

import json
from datetime import timedelta

import dagster as dg
import pytest
from event_rows import held
from lake import Lake, site

from crm_assets.privacy.retention import BODIES, clear_expired, find_expired
from crm_assets.privacy.scrub import BLANK, scrub
from crm_assets.privacy.tombstones import bury, tombstones_of
from crm_assets.resources import warehouse_of
from crm_assets.safekeeping.cleanup import cutoff
from crm_assets.silver.contact_sources import raw_contacts
from crm_assets.silver.event_rules import events_sql
from crm_assets.silver.records import contact_records
from crm_assets.silver.sale_rules import sale_records_sql

pytestmark = pytest.mark.slow

BODY = json.dumps({"id": "e1", "data": {"buyer": {"name": "Lia Invento Prado"}}})
MOMENT = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def place(tmp_path):
    """An installation with an event and a posted contact on either side of the term, and a file."""
    place = site(home=tmp_path)
    old, young = cutoff(place) - MOMENT, cutoff(place)
    contact = {"full_name": "Lia", "email": "lia.invento@example.com", "raw": BODY}
    with warehouse_of(place.settings, place.tenant).write("teste") as tx:
        lake = Lake()
        lake.tx = tx
        lake.bronze(
            "bronze.hotmart_events",
            held(1, received_at=old, raw=BODY),
            held(2, received_at=young, raw=BODY, transaction="HP2"),
            held(
                3, received_at=old, raw=BODY, kind="PURCHASE_OUT_OF_SHOPPING_CART", transaction=None
            ),
        )
        lake.bronze(
            "bronze.manychat_contacts",
            {**contact, "slice": "manychat:2025-03-14", "line": 1, "extracted_at": old},
            {**contact, "slice": "manychat:2025-03-15", "line": 2, "extracted_at": young},
            {**contact, "slice": "2025-03-14_0123456789ab", "line": 3, "extracted_at": old},
        )
    return place


def silver(tx):
    """What silver makes of bronze."""
    tx.replace_table("silver.events", events_sql())
    sales = tx.read(sale_records_sql(currency="BRL", include_affiliates=False))
    tables = [tx.read("FROM silver.events"), sales, contact_records(raw_contacts(tx))]
    return [sorted(table.rows(), key=str) for table in tables]


def held_bodies(warehouse):
    rows = warehouse.read(
        "SELECT event_id AS place, raw FROM bronze.hotmart_events UNION ALL "
        "SELECT line::VARCHAR, raw FROM bronze.manychat_contacts ORDER BY 1"
    ).rows()
    return {name for name, raw in rows if raw != BLANK}


def test_a_body_goes_after_a_year_and_silver_stays_as_it_was(place, instance):
    warehouse, ops = warehouse_of(place.settings, place.tenant), place.ops_store()
    with warehouse.write("teste") as tx:
        before = silver(tx)
    assert all(before)
    assert find_expired(place, ops, instance).counts()[BODIES] == 3
    assert held_bodies(warehouse) == {"e1", "e2", "e3", "1", "2", "3"}
    assert clear_expired(place, ops, instance)[BODIES] == 3
    assert held_bodies(warehouse) == {"e2", "2", "3"}
    with warehouse.write("teste") as tx:
        assert silver(tx) == before
    assert clear_expired(place, ops, instance)[BODIES] == 0


def test_an_erasure_writes_nothing_into_a_body_that_is_gone(place, instance):
    warehouse, ops = warehouse_of(place.settings, place.tenant), place.ops_store()
    clear_expired(place, ops, instance)
    bury(place.settings, place.tenant, ops, [("email", "lia.invento@example.com")])
    tombstones = tombstones_of(place.settings, place.tenant, ops)
    with warehouse.write("teste") as tx:
        scrub(tx, tombstones, ops.actions())
        assert tx.scalar("SELECT count(email) FROM bronze.hotmart_events") == 0
        assert scrub(tx, tombstones, ops.actions()) == {}
    assert held_bodies(warehouse) == {"e2"}
    assert find_expired(place, ops, instance).counts()[BODIES] == 0
