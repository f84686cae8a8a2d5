"""Survivorship: which record gives each field of a golden record, and how it was chosen.

Every field has a list of strategies (rules 2.6, mdm.md 4.5), and the records of a customer that
have a value compete by them (`contests`); what they leave equal, the smallest record id decides. A
value that a steward pinned takes part as one more record of its customer, `acao:<id>`, and wins.

What is kept is a mark for every record of a customer in every field (`lineage`): what it won, by
which strategy, and where it came second.

Inside the step a customer is a number and a record its row (`rid`, of a pin the negative id of its
action): what is compared is read once, into arrays, and values only of the records that won.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from crm_assets.checks.silver import DECIDED_BY
from crm_assets.person_rules import SOURCES, FieldRule, Survivorship
from crm_assets.silver.contests import NOBODY, Numbers, contest, first_places
from crm_assets.silver.stewardship import NOT_TAKEN_BACK
from crm_resources.warehouse import Transaction


@dataclass(frozen=True)
class Field:
    """A surviving field.

    Attributes:
        columns: columns of a contact record that come together from the winner.
        told_by: those of which one must be filled for a record to have a value.
        valid: SQL that tells a valid value; None where there is no telling.
    """

    columns: tuple[str, ...]
    told_by: tuple[str, ...]
    valid: str | None = None

    @property
    def present(self) -> str:
        """SQL that is true for a record with a value; empty text is none."""
        return " OR ".join(f"{column} <> ''" for column in self.told_by)

    @property
    def value(self) -> str:
        """SQL of the value as one text."""
        filled = ", ".join(f"nullif({column}, '')" for column in self.told_by)
        return f"nullif(concat_ws(', ', {filled}), '')"


FIELDS = {
    "email": Field(("email",), ("email",), "email_key IS NOT NULL"),
    "phone": Field(("phone", "phone_kind"), ("phone",), "phone_key IS NOT NULL"),
    "name": Field(("name", "first_name"), ("name",)),
    "document": Field(
        ("document", "document_kind"), ("document",), "coalesce(document_valid, false)"
    ),
    "instagram": Field(("instagram",), ("instagram",)),
    "hotmart_ucode": Field(("hotmart_ucode",), ("hotmart_ucode",)),
    "manychat_id": Field(("manychat_id",), ("manychat_id",)),
    "place": Field(
        ("city", "state", "state_source", "country"), ("city", "state", "country"), "has_address"
    ),
}
PINNED_PARTS = {"city": ("city",), "state": ("state", "state_source"), "country": ("country",)}
"""Parts of the place that can be pinned alone -> the columns that a pin then sets."""

RUNNER_UP = 1
PIN = 2
"""Marks of a record in a field; a winner's is the place in `DECIDED_BY` of what decided, + 2."""

_LATEST = (1 << 52) - 1
"""In microseconds since 1970: the year 2112."""


def survive(tx: Transaction, rules: Survivorship, scope: str | None = None) -> None:
    """Choose the records that give each field.

    Writes temp tables:

    - `numbers(number, customer_id)` of the customers that were chosen for;
    - `pins(number, field, rid)` of the pins that hold;
    - `chosen(customer_id, record_id, ...)`, every record and pin with a mark for each of `FIELDS`
      and `PINNED_PARTS`, null for none;
    - `winners(number, rid, ..., is_sole)`, those that won a field, and one record of a customer
      that has no value at all; whether it is the only such row of its customer;
    - `gathered(number, customer_id, met, records, first_seen_at, last_interaction_at, is_own)`,
      what all records of a customer say together: `met` has a bit for each source, the best one
      the lowest.

    Args:
        tx: where cross references and contact records agree.
        rules: the tenant's strategies.
        scope: table whose column `customer_id` names the customers to redo; all without it. To be
            redone are those whose records or pins changed, and those that are no more.
    """
    tx.execute(_NUMBERS.format(scope=f"SEMI JOIN {scope} USING (customer_id)" if scope else ""))
    tx.execute(_PINS)
    customer_ids = tx.read("SELECT customer_id FROM numbers ORDER BY number")["customer_id"]
    entrants = tx.read(_entrants_sql(rules))
    marks = _marks(entrants, rules)
    gathered = _gathered(entrants, rules)
    rows = entrants.select("number", "rid", "record_id")
    del entrants  # of ten million records the most that is held
    _put(tx, "gathered", gathered.with_columns(customer_ids.gather(gathered["number"])))
    _put(tx, "winners", _winners(rows.drop("record_id"), marks))
    ids = customer_ids.gather(rows["number"])
    _put(tx, "chosen", rows.select(ids, "record_id").hstack(marks))


def sources_sql() -> str:
    """SELECT of all records that may give a field: contact records, and pins as records.

    `email_key` and `phone_key` are what an opt-out may name, a number that is no identity key too.
    """
    columns = [column for field in FIELDS.values() for column in field.columns]
    pinned = ", ".join(
        f"coalesce(payload->'columns'->>'{column}',"
        f" CASE payload->>'field' WHEN '{column}' THEN payload->>'value' END) AS {column}"
        for column in columns
    )
    return _SOURCES.format(columns=", ".join(columns), pinned=pinned)


def golden_columns(*, sole: bool) -> str:
    """SELECT list of the surviving columns, over `winners` and `sources`.

    Args:
        sole: of customers of one row; else grouped by customer.
    """
    parts = {column: part for part, columns in PINNED_PARTS.items() for column in columns}

    def survivor(name: str, column: str) -> str:
        value, won = f"nullif(sources.{column}, '')", f"winners.{name} > {RUNNER_UP}"
        pinned = f"winners.{parts[column]} = {PIN}" if column in parts else "false"
        if sole:
            return f"CASE WHEN {won} OR {pinned} THEN {value} END AS {column}"
        if column not in parts:
            return f"any_value({value}) FILTER ({won}) AS {column}"
        return f"""CASE WHEN bool_or({pinned}) THEN any_value({value}) FILTER ({pinned})
                   ELSE any_value({value}) FILTER ({won}) END AS {column}"""

    return ", ".join(
        survivor(name, column) for name, field in FIELDS.items() for column in field.columns
    )


def _entrants_sql(rules: Survivorship) -> str:
    """SELECT of what is compared of every record and pin, customer by customer."""
    of_records, of_pins = [], []
    for name, field in FIELDS.items():
        of_records.append(f"coalesce({field.present}, false) AS has_{name}")
        of_pins.append(f"field = '{name}' AS has_{name}")
        if field.valid:
            of_records.append(f"NOT coalesce({field.valid}, false) AS invalid_{name}")
            of_pins.append(f"false AS invalid_{name}")
        if "most_frequent" in getattr(rules, name).strategies:
            alike = f"PARTITION BY number, {field.value}"
            of_records.append(f"count(*) OVER ({alike}) AS copies_{name}")
            of_pins.append(f"0 AS copies_{name}")
    for part in PINNED_PARTS:
        of_records.append(f"false AS has_{part}")
        of_pins.append(f"field = '{part}' AS has_{part}")
    places = " ".join(f"WHEN '{source}' THEN {place}" for place, source in enumerate(SOURCES))
    return _ENTRANTS.format(
        source=f"(CASE source {places} END)::UTINYINT",
        of_records=", ".join(of_records),
        of_pins=", ".join(of_pins),
    )


def _marks(entrants: pl.DataFrame, rules: Survivorship) -> pl.DataFrame:
    """Settle every field; returns the marks of every entrant, null for none."""
    number, is_pin = entrants["number"].to_numpy(), entrants["is_pin"].to_numpy()
    marks = {
        part: np.where(entrants[f"has_{part}"].to_numpy(), np.uint8(PIN), np.uint8(0))
        for part in PINNED_PARTS
    }
    for name in FIELDS:
        strategies = _compared(name, rules)
        outcome = contest(
            number,
            entrants[f"has_{name}"].to_numpy(),
            [~is_pin, *(_criterion(entrants, s, name, rules) for s in strategies)],
        )
        # The last one is what `NOBODY` takes.
        decided = np.array([_mark(s) for s in ("pin", *strategies, "record_id", "only")], np.uint8)
        marks[name] = np.zeros(len(number), np.uint8)
        marks[name][outcome.runner_up[outcome.runner_up != NOBODY]] = RUNNER_UP
        marks[name][outcome.winner] = np.where(
            is_pin[outcome.winner], np.uint8(PIN), decided[outcome.decided_by]
        )
    return pl.DataFrame(marks).select(
        pl.when(pl.col(name) > 0).then(name) for name in (*FIELDS, *PINNED_PARTS)
    )


def _compared(name: str, rules: Survivorship) -> list[str]:
    """The strategies by which records can differ in a field."""
    rule: FieldRule = getattr(rules, name)
    return [s for s in rule.strategies if s != "valid" or FIELDS[name].valid]


def _criterion(entrants: pl.DataFrame, strategy: str, name: str, rules: Survivorship) -> Numbers:
    """What a strategy compares, the better the smaller."""
    match strategy:
        case "valid":
            return entrants[f"invalid_{name}"].to_numpy()
        case "source":
            order = rules.source_order(getattr(rules, name))
            return np.take(_ranks(order), entrants["source"].to_numpy())
        case "newest":
            return -entrants["instant"].to_numpy()
        case "oldest":
            return entrants["instant"].to_numpy()
        case _:
            return -entrants[f"copies_{name}"].to_numpy()


def _ranks(order: Sequence[str]) -> Numbers:
    """The place in an order by the place in `SOURCES`."""
    return np.array([order.index(source) for source in SOURCES], np.uint8)


def _winners(rows: pl.DataFrame, marks: pl.DataFrame) -> pl.DataFrame:
    """Rows that won a field, and the first of every customer whose rows won none."""
    is_winner = np.array(
        marks.select(pl.max_horizontal(pl.all()) > RUNNER_UP).to_series().fill_null(False)
    )
    starts = first_places(rows["number"].to_numpy())
    if len(starts):
        is_winner[starts[~np.logical_or.reduceat(is_winner, starts)]] = True
    winners = rows.hstack(marks).filter(is_winner)
    return winners.with_columns(is_sole=~(pl.col("number").is_duplicated()))


def _gathered(entrants: pl.DataFrame, rules: Survivorship) -> pl.DataFrame:
    """What all records of a customer say together, a row per customer."""
    bits = pl.Series(np.left_shift(1, _ranks(rules.source_order()), dtype=np.int64))
    records = entrants.filter(~pl.col("is_pin"))
    return (
        records.with_columns(met=bits.gather(records["source"]))
        .group_by("number", maintain_order=True)
        .agg(
            pl.col("met").bitwise_or(),
            pl.len().cast(pl.Int64).alias("records"),
            pl.col("first_seen_at").min(),
            pl.col("last_interaction_at").max(),
            pl.col("is_own").any(),
        )
    )


def _put(tx: Transaction, table: str, frame: pl.DataFrame) -> None:
    tx.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS FROM frame", frame=frame)


def _mark(decided_by: str) -> int:
    return DECIDED_BY.index(decided_by) + 2


_NUMBERS = """
    CREATE OR REPLACE TEMP TABLE numbers AS
    SELECT (row_number() OVER () - 1)::INTEGER AS number, customer_id
    FROM silver.customer_ids {scope} WHERE survivor_id = customer_id
"""
_ENTRANTS = f"""
    SELECT number, records.rowid AS rid, record_id, {{source}} AS source,
           least(greatest(epoch_us(observed_at), 0), {_LATEST}) AS instant,
           first_seen_at, last_interaction_at, is_own, false AS is_pin, {{of_records}}
    FROM silver.contact_records AS records
    JOIN (
        SELECT record_id, customer_id FROM silver.customer_xref WHERE valid_to IS NULL
    ) USING (record_id)
    JOIN numbers USING (customer_id)
    UNION ALL BY NAME
    SELECT number, rid, 'acao:' || -rid AS record_id, 0::UTINYINT AS source, 0 AS instant,
           false AS is_own, true AS is_pin, {{of_pins}}
    FROM pins
    ORDER BY number, record_id
"""
# The newest pin of a field holds that nobody took back; ids are those of today.
_PINS = f"""
    CREATE OR REPLACE TEMP TABLE pins AS
    SELECT number, payload->>'field' AS field, -max(id) AS rid
    FROM bronze.crm_actions AS taken
    JOIN (SELECT customer_id, survivor_id FROM silver.customer_ids) AS ids USING (customer_id)
    JOIN numbers ON numbers.customer_id = survivor_id
    WHERE kind = 'identity_pin' AND {NOT_TAKEN_BACK}
    GROUP BY ALL
"""
_SOURCES = """
    SELECT rowid AS rid, record_id, source, source_id, observed_at, {columns},
           email_key, coalesce(phone_key, phone) AS phone_key, first_seen_at,
           last_interaction_at, is_own
    FROM silver.contact_records
    UNION ALL BY NAME
    SELECT -id AS rid, 'acao:' || id AS record_id, 'pin' AS source, id::VARCHAR AS source_id,
           occurred_at AS observed_at, {pinned}, email AS email_key, phone AS phone_key
    FROM bronze.crm_actions WHERE kind = 'identity_pin'
"""
