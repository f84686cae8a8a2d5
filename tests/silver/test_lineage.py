"""Lineage: where each field comes from, and that nothing else is needed to make it again."""

from __future__ import annotations

from datetime import UTC
from hashlib import md5

import duckdb
from golden_samples import (
    DAY,
    TOLD_BY,
    fill,
    fresh,
    lineage_of,
    master,
    raw_records,
    write_customers,
)
from hypothesis import given
from lake import NOON, cus, random_cases, site

from crm_assets.person_rules import Survivorship
from crm_assets.silver.customers import _prepare, _write
from crm_assets.silver.survivorship import FIELDS


@random_cases(4)
@given(raw_records())
def test_every_golden_field_is_made_again_from_lineage_and_records(rows):
    lake = fresh()
    fill(lake, rows)
    write_customers(lake.tx, Survivorship())
    records = {row["record_id"]: row for row in lake.rows("FROM silver.contact_records")}
    lineage = {
        (row["customer_id"], row["field"]): row for row in lake.rows("FROM silver.customer_lineage")
    }
    people = lake.rows("FROM silver.customers")
    assert {row["customer_id"] for row in people} == {cus(row["owner"]) for row in rows}
    for person in people:
        for name, field in FIELDS.items():
            told = lineage.pop((person["customer_id"], name), None)
            record = records[told["record_id"]] if told else {}
            for column in field.columns:
                assert person[column] == (record.get(column) or None)
            if told:
                shown = ", ".join(person[column] for column in TOLD_BY[name] if person[column])
                assert told["value_hash"] == md5(shown.encode()).hexdigest()
                of_record = (record["source"], record["source_id"], record["observed_at"])
                assert (told["source"], told["source_id"], told["observed_at"]) == of_record
    assert not lineage


def test_the_columns_that_come_along_are_those_of_the_customers():
    lake = master([{}])
    columns = [column for field in FIELDS.values() for column in field.columns]
    assert list(lake.rows("FROM silver.customers")[0])[1 : len(columns) + 1] == columns


def test_the_runner_up_is_told_with_its_source():
    lake = master(
        [{"name": "Ana", "record_id": "hotmart:HP1"},
         {"name": "Mari", "record_id": "manychat:x:1", "source": "manychat",
          "observed_at": NOON + DAY}]
    )  # fmt: skip
    told = lineage_of(lake, "name")
    assert told | {"observed_at": told["observed_at"].astimezone(UTC)} == {
        "customer_id": cus(1),
        "field": "name",
        "record_id": "hotmart:HP1",
        "source": "hotmart",
        "source_id": "hotmart:HP1",
        "value_hash": md5(b"Ana").hexdigest(),
        "observed_at": NOON,
        "strategy": "source",
        "runner_up": "manychat:x:1",
        "runner_up_source": "manychat",
    }


def test_a_step_tells_what_decided_without_a_value():
    lake = master([{"name": "Ana"}, {"name": "Bia", "observed_at": NOON + DAY}, {"owner": 2}])
    told = lake.told["silver.field_choices"]
    assert told == {"campos por critério": "mais novo: 1", "valores fixados": 0}


def test_a_field_won_twice_or_by_a_stranger_is_found():
    lake = master([{"name": "Ana"}, {"name": "Bia", "observed_at": NOON + DAY}])
    from crm_assets.silver.customers import _one_winner

    lake.tx.execute("UPDATE silver.field_choices SET name = 5")
    assert _one_winner(lake.tx).metadata["clientes com campo de dois registros"] == 1
    _prepare(site(), lake.tx)
    _write(site(), lake.tx)
    lake.tx.execute("UPDATE silver.customer_xref SET valid_to = now() WHERE record_id = 'r0'")
    verdict = _one_winner(lake.tx)
    assert (verdict.passed, verdict.metadata["registros de outro cliente"]) == (False, 1)


def test_the_view_goes_with_a_copy_of_the_database(tmp_path):
    path, copy = tmp_path / "one.duckdb", tmp_path / "two.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE SCHEMA silver; CREATE SCHEMA bronze")
        connection.execute("CREATE TABLE silver.a AS SELECT 1 AS x")
        connection.execute("CREATE VIEW silver.b AS FROM silver.a")
        connection.execute(f"ATTACH '{copy}' AS other")
        connection.execute("COPY FROM DATABASE one TO other")
    with duckdb.connect(copy) as connection:
        assert connection.execute("FROM silver.b").fetchall() == [(1,)]
