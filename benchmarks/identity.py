"""The identity engine over ten million records, against the least that their keys cost.

Every piece of work opens the warehouse of one folder in a process of its own. Seconds run from the
beginning of a transaction to the end of its commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import records
from benchmarks.lone_warehouse import file_of, put_empty, timed_session, warehouse_in
from benchmarks.processes import clock, measure
from benchmarks.report import Reading, seconds, times

RECORDS, ROW_BY_ROW = 10_000_000, 100_000
CHANGES = ((100_000, 2.5), (1_000, 1.2))
"""Records that change, and the seconds it may take to bring the master up to date."""
GIGABYTE = 2**30


def identity(scale: float, repeat: int) -> Iterator[Reading]:
    """Resolve, master, normalisation, changes; beside them Splink and a row-by-row upsert."""
    rows, few = int(RECORDS * scale), max(int(ROW_BY_ROW * scale), 100)
    size = f"{rows:,} records"
    with TemporaryDirectory() as home:
        _call("fill", home, rows=rows)
        floor, resolved = _call("floor", home), _call("resolve", home)
        yield times(
            f"{size}, keys given: resolve; floor: group and join back each key",
            resolved["seconds"],
            floor["seconds"],
            1.5,
            peak=resolved["peak"],
            floor_peak=floor["peak"],
        )
        splink = _call("splink", home)
        yield times(
            "the same keys by Splink 5: deterministic link + cluster; floor: our resolve",
            splink["seconds"],
            resolved["seconds"],
            peak=splink["peak"],
            floor_peak=resolved["peak"],
        )
        yield _within(
            f"{size}, keys given: identity + golden records; floor: their tables written again",
            _call("master", home),
            18,
            floor=_call("write_again", home),
        )
        for most, bar in CHANGES:
            changed = max(int(most * scale), 1)
            found = _call("change", home, rows=rows, changed=changed)
            yield _within(
                f"{changed:,} of {size} changed: identity + their golden records; floor: look-ups",
                found,
                bar,
                floor=_call("look_up", home, rows=rows, changed=changed),
            )
    with TemporaryDirectory() as home:
        _call("fill", home, rows=rows)
        _call("write_as_people_do", home)
        yield _within(f"{size}, texts given: normalise + all of that", _call("texts", home), 25)
    with TemporaryDirectory() as home:
        _call("fill", home, rows=few)
        ours, upsert = _call("master", home), _call("upsert", home)
        yield times(
            f"{few:,} records by row-by-row SQLite upsert; floor: our identity + golden records",
            upsert["seconds"],
            ours["seconds"],
            peak=upsert["peak"],
            floor_peak=ours["peak"],
        )


def fill(home: str, rows: int) -> dict[str, Any]:
    """Invent the records, and the empty tables that a golden record also reads."""
    from crm_assets.checks.silver import ContactHistory, Products, Sales

    with warehouse_in(home).write("benchmark") as tx:
        records.fill(tx, rows)
        put_empty(
            tx,
            {
                "silver.sales": Sales,
                "silver.products": Products,
                "silver.contact_history": ContactHistory,
            },
        )
    return {}


def write_as_people_do(home: str) -> dict[str, Any]:
    """Put the texts that normalisation starts from beside the records, and forget their keys."""
    with warehouse_in(home).write("benchmark") as tx:
        tx.replace_table("bronze.invented_texts", _TEXTS)
        tx.execute("DROP TABLE silver.contact_records")
    return {}


def floor(home: str) -> dict[str, Any]:
    """One hash group-by and one hash join back for each kind of key (mdm.md 3.2)."""
    with timed_session(home) as (session, took):
        session.outside.execute(_FLOOR)
    return took


def resolve(home: str) -> dict[str, Any]:
    """Components under the default guards."""
    from crm_assets.person_rules import Identity
    from crm_assets.silver import identity as engine

    with timed_session(home) as (session, took):
        engine.find_components(session.outside, Identity())
    return took


def master(home: str) -> dict[str, Any]:
    """Components, ids, cross-reference, golden records and their lineage."""
    return _bring_up_to_date(home, full=True)


def write_again(home: str) -> dict[str, Any]:
    """A copy of every table that `master` writes, and nothing computed."""
    tables = ("customer_xref", "customer_ids", "customer_merges", "field_choices", "customers")
    with timed_session(home) as (session, took), session.begin() as tx:
        for table in tables:
            tx.replace_table(f"meta.again_{table}", f"FROM silver.{table}")
    with warehouse_in(home).write("benchmark") as tx:
        for table in tables:
            tx.execute(f"DROP TABLE meta.again_{table}")
    return took


def change(home: str, rows: int, changed: int) -> dict[str, Any]:
    """Give some records other keys, then bring the master up to date by what they touch."""
    with warehouse_in(home).write("benchmark") as tx:
        records.change(tx, rows, changed)
    return _bring_up_to_date(home, full=False)


def look_up(home: str, rows: int, changed: int) -> dict[str, Any]:
    """Every table that holds what a change touches, looked through once, and nothing done."""
    with timed_session(home) as (session, took):
        session.outside.execute(_TOUCHED, {"records": rows, "changed": changed})
        started = clock()
        for table, column in _LOOK_UPS:
            held = f"SELECT count(*) FROM silver.{table} WHERE {column} IN"
            session.outside.scalar(f"{held} (SELECT {column} FROM touched)")
        looked_up = clock() - started
    return {**took, "seconds": looked_up}


def texts(home: str) -> dict[str, Any]:
    """From what people write to golden records."""
    import polars as pl

    from crm_assets.silver.contact_sources import raw_contacts
    from crm_assets.silver.records import contact_records, replace_contact_records

    with timed_session(home) as (session, took), session.begin() as tx:
        written = tx.read("FROM bronze.invented_texts")
        raw = pl.concat([raw_contacts(tx), written], how="diagonal_relaxed")
        del written
        replace_contact_records(tx, contact_records(raw))
        del raw
    return {"seconds": took["seconds"] + _bring_up_to_date(home, full=True)["seconds"]}


def splink(home: str) -> dict[str, Any]:
    """Pairs by the same two keys, then clusters, by Splink."""
    import duckdb
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    connection = duckdb.connect(config={"threads": 2})
    connection.execute(f"ATTACH '{file_of(home)}' AS held (READ_ONLY)")
    started = clock()
    connection.execute(_FOR_SPLINK)
    settings = SettingsCreator(
        link_type="dedupe_only",
        blocking_rules_to_generate_predictions=[block_on("email_key"), block_on("phone_key")],
    )
    database = DuckDBAPI(connection)
    linker = Linker(database.register("records"), settings, log_level="ERROR")
    pairs = linker.inference.deterministic_link()
    clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(pairs)
    took = clock() - started
    counted = connection.execute(_CLUSTERS.format(clusters.physical_name)).fetchall()
    connection.close()
    return {"seconds": took, "customers": counted[0][0]}


def upsert(home: str) -> dict[str, Any]:
    """Every record finds its customer by e-mail, else by phone, and fills it; one commit each."""
    rows = warehouse_in(home).read(_FOR_UPSERT).rows()
    with sqlite3.connect(Path(home, "customers.sqlite")) as database:
        database.executescript(_UPSERTED)
    started = clock()
    for email, phone, name in rows:
        found = database.execute(_FIND, (email, phone)).fetchone()
        if found:
            database.execute(_FILL, (email, phone, name, *found))
        else:
            database.execute(_INSERT, (email, phone, name))
        database.commit()
    took = clock() - started
    customers = database.execute("SELECT count(*) FROM customers").fetchone()[0]
    database.close()
    return {"seconds": took, "customers": customers}


def _bring_up_to_date(home: str, *, full: bool) -> dict[str, Any]:
    """What the two steps do: each opens the warehouse, prepares, and writes in a transaction."""
    from crm_assets.person_rules import Identity, Survivorship
    from crm_assets.silver.customers import store_customers
    from crm_assets.silver.identity import resolve, store
    from crm_assets.silver.survivorship import survive

    with timed_session(home) as (session, identified):
        resolve(session.outside, Identity(), full=full)
        with session.begin() as tx:
            assert store(tx, Identity(), datetime.now(UTC)).scoped != full
        redone = None if full else session.outside.read(_REDONE)
    with timed_session(home) as (session, survived):
        scope = None if redone is None else "redone"
        if redone is not None:
            session.outside.execute("CREATE TEMP TABLE redone AS FROM frame", frame=redone)
        survive(session.outside, Survivorship(), scope)
        with session.begin() as tx:
            store_customers(tx, Survivorship(), scope)
    return {"seconds": identified["seconds"] + survived["seconds"]}


def _call(work: str, home: str, **arguments: Any) -> dict[str, Any]:
    return measure(f"benchmarks.identity:{work}", {}, home=home, **arguments)


def _within(
    what: str, found: dict[str, Any], bar: float, floor: dict[str, Any] | None = None
) -> Reading:
    took, peak = found["seconds"], found["peak"]
    reading = Reading(
        what,
        seconds(took),
        bar=f"≤ {bar:g} s, ≤ 6 GB",
        met=took <= bar and peak <= 6 * GIGABYTE,
        peak=peak,
    )
    if floor is None:
        return reading
    least = floor["seconds"]
    return replace(
        reading, floor=seconds(least), ratio=f"{took / least:.2f} ×", floor_peak=floor["peak"]
    )


_FLOOR = """
    CREATE TEMP TABLE roots AS
    WITH given AS MATERIALIZED (
        SELECT rowid AS rid, email_key, phone_key FROM silver.contact_records
    ), emails AS (
        SELECT email_key AS key, min(rid) AS root FROM given
        WHERE email_key IS NOT NULL GROUP BY key
    ), phones AS (
        SELECT phone_key AS key, min(rid) AS root FROM given
        WHERE phone_key IS NOT NULL GROUP BY key
    )
    SELECT rid, emails.root AS email, phones.root AS phone
    FROM given LEFT JOIN emails ON emails.key = email_key LEFT JOIN phones ON phones.key = phone_key
"""
# Ten ways to write a phone: foreign in one of ten, nothing in one of fifty.
_TEXTS = """
    SELECT record_id, source, source_id, source_key, observed_at,
           CASE hash(record_id, 1) % 4 WHEN 0 THEN upper(email) WHEN 1 THEN ' ' || email || ' '
                ELSE email END AS email_text,
           CASE WHEN hash(record_id, 2) % 50 = 0 THEN 'sem zap'
                WHEN hash(phone) % 10 = 0 THEN '+351 91' || right(phone, 7)
                WHEN hash(record_id, 3) % 3 = 0
                THEN '(' || phone[4:5] || ') ' || phone[6:10] || '-' || phone[11:]
                WHEN hash(record_id, 3) % 3 = 1 THEN phone[2:]
                ELSE phone END AS phone_text,
           name AS name_text, NULL::VARCHAR AS document_text, instagram AS instagram_text,
           country AS country_text, state AS state_text, city, true AS is_brazilian,
           hotmart_ucode, manychat_id, first_seen_at, false AS is_affiliate
    FROM silver.contact_records
"""
_REDONE = """
    SELECT customer_id FROM touched_customers UNION SELECT customer_id FROM assigned
"""
_TOUCHED = """
    CREATE OR REPLACE TEMP TABLE touched AS
    SELECT record_id, email_key, phone_key, customer_id
    FROM silver.contact_records JOIN silver.customer_xref USING (record_id)
    WHERE valid_to IS NULL AND hash(record_id) % $records < $changed
"""
_LOOK_UPS = (
    ("contact_records", "email_key"),
    ("contact_records", "phone_key"),
    ("contact_records", "record_id"),
    ("customer_xref", "record_id"),
    ("customer_xref", "customer_id"),
    ("customer_ids", "customer_id"),
    ("field_choices", "customer_id"),
    ("customers", "customer_id"),
)
_FOR_SPLINK = """
    CREATE TABLE records AS
    SELECT rowid AS unique_id, email_key, phone_key FROM held.silver.contact_records
"""
_CLUSTERS = """
    SELECT count(DISTINCT cluster_id) FROM {}
    WHERE email_key IS NOT NULL OR phone_key IS NOT NULL
"""
_FOR_UPSERT = """
    SELECT email_key, phone_key, name FROM silver.contact_records
    WHERE email_key IS NOT NULL OR phone_key IS NOT NULL
"""
_UPSERTED = """
    CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, phone TEXT, name TEXT);
    CREATE INDEX customers_email ON customers (email);
    CREATE INDEX customers_phone ON customers (phone);
"""
_FIND = """
    SELECT id FROM (
        SELECT id, 1 AS rank FROM customers WHERE email = ?
        UNION ALL SELECT id, 2 FROM customers WHERE phone = ?
    ) ORDER BY rank LIMIT 1
"""
_FILL = """
    UPDATE customers
    SET email = coalesce(email, ?), phone = coalesce(phone, ?), name = coalesce(name, ?)
    WHERE id = ?
"""
_INSERT = "INSERT INTO customers (email, phone, name) VALUES (?, ?, ?)"
