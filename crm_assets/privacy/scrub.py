"""Taking the people behind tombstones out of a database, and out of rows before they get there.

The same work is done at every landing, in the live warehouse, in one that was put back from a copy,
in its backups and in the snapshots. It asks only the tombstones and the action log, so that whoever
was erased once goes again from whatever comes back. No Dagster here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from crm_assets.privacy.erased_tables import (
    CONTACT_RECORD,
    STAMPS,
    Copied,
    Impersonal,
    Keyed,
    Received,
    Rejected,
    Related,
    Remade,
    rule_of,
)
from crm_assets.privacy.identifiers import Traits
from crm_assets.privacy.tombstones import Tombstones
from crm_resources.warehouse import Transaction

ERASED = "customer_erased"
"""Kind of the action that says which records were erased, and the id their sales go on under."""

BLANK = "{}"
"""Stands where a body was whose time is over (rules 7.4)."""

HIDDEN = "(apagado a pedido da pessoa)"
"""Stands where a text was."""

CUSTOMERS = pl.Schema({"customer_id": pl.String, "surrogate": pl.String, "is_whole": pl.Boolean})
"""Customers of somebody erased: each id, the one that takes its place, whether nothing stays."""


def shield(
    table: str, rows: pl.DataFrame, tombstones: Tombstones
) -> tuple[pl.DataFrame, pl.Series]:
    """Rows on their way into bronze without what is of somebody erased.

    Args:
        table: where they go.
        rows: typed rows, stamped.
        tombstones: the tenant's; without any the rows come back untouched.

    Returns:
        The rows, blanked or fewer, and which of those given were of somebody erased.
    """
    rule = rule_of(table)
    if not isinstance(rule, Received):
        return rows, tombstones.of_rows(rows, {})
    erased = tombstones.of_rows(rows, rule.traits)
    if not erased.any():
        return rows, erased
    if not rule.kept:
        return rows.filter(~erased), erased
    return blanked(rows, rule, erased), erased


def blanked(rows: pl.DataFrame, rule: Received, erased: pl.Series) -> pl.DataFrame:
    """The rows with nothing but what is kept in those that are erased, in `raw` as well.

    A `raw` that is blank stays so.
    """
    kept = [name for name in rows.columns if name in rule.kept]
    gone = [name for name in rows.columns if name not in rule.kept and name not in STAMPS]
    in_utc = pl.selectors.datetime(time_zone="*").dt.convert_time_zone("UTC")
    facts = rows.filter(erased).select(kept).with_columns(in_utc)
    is_blank = rows.filter(erased)["raw"] == BLANK
    told = facts.select(
        pl.when(~is_blank).then(pl.struct(kept).struct.json_encode()).otherwise(pl.lit(BLANK))
    ).to_series()
    raw = rows["raw"].scatter(erased.arg_true(), told)
    return rows.with_columns(raw, *(pl.when(~erased).then(name).alias(name) for name in gone))


def hide_rejects(rejects: pl.DataFrame, places: pl.Series, tombstones: Tombstones) -> pl.DataFrame:
    """Rejects without the text of somebody erased.

    Args:
        rejects: with `place` and `raw`.
        places: places of rows that were of somebody erased.
        tombstones: the tenant's.
    """
    if not tombstones:
        return rejects
    mine = rejects["place"].cast(pl.String).is_in(places.cast(pl.String).implode())
    mine = mine.fill_null(False) | _concerns(rejects, tombstones)
    return rejects.with_columns(
        pl.when(mine & pl.col("raw").is_not_null())
        .then(pl.lit(HIDDEN))
        .otherwise("raw")
        .alias("raw")
    )


def masked_log(log: pl.DataFrame, tombstones: Tombstones) -> pl.DataFrame:
    """The action log without what is of somebody erased.

    Args:
        log: actions as the store gives them.
        tombstones: the tenant's; without any the log comes back untouched.
    """
    if not tombstones:
        return log
    said = pl.col("kind") != ERASED
    keys = {"email": ("email_key",), "phone": ("phone_key",)}
    hidden = [
        pl.when(~(said & tombstones.of_rows(log, {kind: columns})))
        .then(columns[0])
        .alias(columns[0])
        for kind, columns in keys.items()
    ]
    hidden += [
        pl.when(said & tombstones.of_texts(log[name]))
        .then(pl.lit(word) if word else pl.format("apagado:{}", "id"))
        .otherwise(name)
        .alias(name)
        for name, word in (("payload", "{}"), ("reason", HIDDEN), ("idempotency_key", ""))
    ]
    return log.with_columns(hidden)


def scrub(
    tx: Transaction,
    tombstones: Tombstones,
    log: pl.DataFrame,
    customers: pl.DataFrame | None = None,
) -> dict[str, int]:
    """Take everybody behind the tombstones out of a database.

    Args:
        tx: an open transaction of the warehouse, a copy of it, or a snapshot.
        tombstones: the tenant's.
        log: the action log, as the store gives it, itself without them.
        customers: of whom it is known already that they go, as `CUSTOMERS`.

    Returns:
        Rows changed, by table.

    Raises:
        UnregisteredTable: the database has a table that is not in the register.
    """
    tables = tx.read(_TABLES).to_series().to_list()
    rules = {table: rule_of(table) for table in tables}
    _find_records(tx, tombstones, log, tables)
    _find_customers(tx, tables, pl.DataFrame(schema=CUSTOMERS) if customers is None else customers)
    places = [pl.DataFrame(schema={"source": pl.String, "slice": pl.String, "place": pl.String})]
    counts: dict[str, int] = {}
    for table, rule in sorted(rules.items(), key=lambda item: isinstance(item[1], Rejected)):
        match rule:
            case Received():
                counts[table], where = _scrub_received(tx, table, rule, tombstones)
                places.append(where)
            case Keyed():
                rows = _erased_rows(tx, table, rule.traits, tombstones)
                counts[table] = tx.scalar(_DELETE_ROWS.format(table=table), ids=rows)
            case Related():
                counts[table] = sum(
                    tx.scalar(statement.format(table=table)) for statement in rule.statements
                )
            case Rejected():
                counts[table] = _scrub_rejects(tx, table, pl.concat(places), tombstones)
            case Copied():
                _take_log(tx, table, log)
            case Remade():
                tx.execute(f"DELETE FROM {table}")
            case Impersonal():
                pass
    return {table: count for table, count in counts.items() if count}


def mark(tx: Transaction, last_id: int) -> None:
    """Note in a warehouse up to which tombstone nobody of them is in it any more."""
    tx.execute("CREATE TABLE IF NOT EXISTS meta.tombstones (last_id BIGINT)")
    tx.execute("DELETE FROM meta.tombstones")
    tx.execute("INSERT INTO meta.tombstones VALUES (?)", [last_id])


def marked(tx: Transaction) -> int:
    """Up to which tombstone a warehouse is clean; 0 when it never saw any."""
    if "meta.tombstones" not in tx.read(_TABLES).to_series():
        return 0
    return int(tx.scalar("SELECT max(last_id) FROM meta.tombstones"))


def surrogates(log: pl.DataFrame) -> pl.DataFrame:
    """`record_id` and `surrogate`: under which id the sales of erased records go on."""
    erased = log.filter(pl.col("kind") == ERASED)
    payload = pl.col("payload").str.json_decode(pl.Struct({"records": pl.List(pl.String)}))
    records = erased.select(payload.struct.field("records"), pl.col("customer_id"))
    return (
        records.explode("records")
        .drop_nulls()
        .group_by(pl.col("records").alias("record_id"))
        .agg(pl.col("customer_id").min().alias("surrogate"))
    )


def _find_records(
    tx: Transaction, tombstones: Tombstones, log: pl.DataFrame, tables: Iterable[str]
) -> None:
    """Write `erased_records(record_id, ref, surrogate)`: records that are or were of them."""
    found = surrogates(log).with_columns(ref=pl.lit(None, dtype=pl.String))
    if "silver.contact_records" in tables:
        rows = _erased_rows(tx, "silver.contact_records", CONTACT_RECORD, tombstones)
        here = tx.read(_RECORDS, ids=rows).with_columns(surrogate=pl.lit(None, dtype=pl.String))
        found = pl.concat([found, here], how="diagonal")
    tx.execute(_ERASED_RECORDS, found=found)


def _find_customers(tx: Transaction, tables: Iterable[str], known: pl.DataFrame) -> None:
    """Write `erased_customers(customer_id, surrogate, is_whole)` and `erased_hashes(key_hash)`."""
    tx.execute(_KNOWN_CUSTOMERS, known=known)
    if "silver.customer_xref" in tables:
        tx.execute(_HASHES)
        tx.execute(_TOUCHED_CUSTOMERS)


def _erased_rows(
    tx: Transaction, table: str, traits: Traits, tombstones: Tombstones
) -> pl.DataFrame:
    """`row_id` of the rows whose identifiers are buried."""
    columns = [(kind, sql) for kind, expressions in traits.items() for sql in expressions]
    names = {
        kind: tuple(f"t{i}" for i, (k, _) in enumerate(columns) if k == kind) for kind in traits
    }
    selected = ", ".join(f"{sql} AS t{i}" for i, (_, sql) in enumerate(columns))
    rows = tx.read(f"SELECT rowid AS row_id, {selected} FROM {table}")
    return rows.filter(tombstones.of_rows(rows, names)).select("row_id")


def _scrub_received(
    tx: Transaction, table: str, rule: Received, tombstones: Tombstones
) -> tuple[int, pl.DataFrame]:
    """Blank or delete rows; how many, and where they stood."""
    ids = _erased_rows(tx, table, rule.traits, tombstones)
    places = tx.read(
        f"SELECT '{rule.source}' AS source, slice, {rule.place} AS place FROM {table} "
        "WHERE rowid IN (SELECT row_id FROM ids)",
        ids=ids,
    )
    if rule.kept and len(ids):
        rows = tx.read(
            f"SELECT rowid AS row_id, * FROM {table} WHERE rowid IN (SELECT row_id FROM ids)",
            ids=ids,
        )
        every = pl.Series([True], dtype=pl.Boolean).new_from_index(0, len(rows))
        clean = blanked(rows.drop("row_id"), rule, every)
        changed = ~rows.drop("row_id").hash_rows().eq(clean.hash_rows())
        ids = rows.filter(changed).select("row_id")
        tx.execute(_DELETE_ROWS.format(table=table), ids=ids)
        tx.append(table, clean.filter(changed))
    else:
        tx.execute(_DELETE_ROWS.format(table=table), ids=ids)
    return len(ids), places


def _scrub_rejects(
    tx: Transaction, table: str, places: pl.DataFrame, tombstones: Tombstones
) -> int:
    rejects = tx.read(f"SELECT rowid AS row_id, source, slice, place, raw FROM {table}")
    at_place = rejects.join(places, on=["source", "slice", "place"], how="semi")["row_id"]
    mine = rejects["row_id"].is_in(at_place.implode()) | _concerns(rejects, tombstones)
    ids = rejects.filter(mine & (pl.col("raw") != HIDDEN)).select("row_id")
    return int(tx.scalar(_HIDE_REJECTS.format(table=table), {"hidden": HIDDEN}, ids=ids))


def _concerns(rejects: pl.DataFrame, tombstones: Tombstones) -> pl.Series:
    """Rejects of an erased sale, and those whose text mentions somebody erased."""
    return tombstones.of_rows(rejects, {"sale": ("place",)}) | tombstones.of_texts(rejects["raw"])


def _take_log(tx: Transaction, table: str, log: pl.DataFrame) -> None:
    """What the copy held, as the log has it now."""
    known = tx.scalar(f"SELECT coalesce(max(id), 0) FROM {table}")
    tx.execute(f"DELETE FROM {table}")
    tx.append(table, log.filter(pl.col("id") <= known).rename({"at": "occurred_at"}))


def counted(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums by name."""
    total: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total


_TABLES = """
    SELECT schema_name || '.' || table_name FROM duckdb_tables()
    WHERE database_name = current_database() AND NOT temporary ORDER BY ALL
"""
_DELETE_ROWS = "DELETE FROM {table} WHERE rowid IN (SELECT row_id FROM ids)"
_HIDE_REJECTS = """
    UPDATE {table} SET raw = $hidden WHERE rowid IN (SELECT row_id FROM ids)
"""
_RECORDS = """
    SELECT record_id, source || ':' || source_id AS ref
    FROM silver.contact_records WHERE rowid IN (SELECT row_id FROM ids)
"""
_ERASED_RECORDS = """
    CREATE OR REPLACE TEMP TABLE erased_records AS
    SELECT record_id, max(ref) AS ref, max(surrogate) AS surrogate FROM found GROUP BY record_id
"""
_KNOWN_CUSTOMERS = """
    CREATE OR REPLACE TEMP TABLE erased_customers AS
    SELECT customer_id, surrogate, is_whole FROM known
"""
_HASHES = """
    CREATE OR REPLACE TEMP TABLE erased_hashes AS
    SELECT DISTINCT key_hash FROM silver.customer_xref
    WHERE key_hash IS NOT NULL AND record_id IN (SELECT record_id FROM erased_records)
"""
# A customer is whole when none of its present records stays; the ids merged into it go with it.
_TOUCHED_CUSTOMERS = """
    INSERT INTO erased_customers
    WITH present AS (
        SELECT customer_id, erased.record_id IS NULL AS stays, erased.surrogate
        FROM silver.customer_xref AS xref
        LEFT JOIN erased_records AS erased USING (record_id)
        WHERE valid_to IS NULL
    ), touched AS (
        SELECT customer_id, NOT bool_or(stays) AS is_whole,
               coalesce(min(surrogate), 'cus_' || replace(uuid()::VARCHAR, '-', '')) AS surrogate
        FROM present GROUP BY customer_id HAVING NOT bool_and(stays)
    )
    SELECT ids.customer_id, surrogate, is_whole
    FROM silver.customer_ids AS ids JOIN touched
        ON touched.customer_id = ids.customer_id
        OR (is_whole AND touched.customer_id = ids.survivor_id)
    WHERE ids.customer_id NOT IN (SELECT customer_id FROM erased_customers)
"""
