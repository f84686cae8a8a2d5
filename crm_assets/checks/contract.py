"""How a table's contract is checked: one pandera model per table, before the commit.

Small tables are read and validated by pandera itself. Above `ROWS_BY_PANDERA` the same rules run
as SQL generated from the model, because reading ten million rows costs seconds and gigabytes; a
test proves that both agree. A verdict names columns, checks and counts, never values (rules 7.5).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

# pandera checks only the types of some inputs unless it is told to look at the values as well.
os.environ["PANDERA_VALIDATION_DEPTH"] = "SCHEMA_AND_DATA"

import pandera.polars as pa
import polars as pl
from pandera.engines import polars_engine

from crm_resources.warehouse import Transaction

ROWS_BY_PANDERA = 100_000

Instant = Annotated[polars_engine.DateTime, True, None, "us"]
Money = Annotated[polars_engine.Decimal, 18, 2]
Rate = Annotated[polars_engine.Decimal, 18, 8]
Texts = Annotated[pl.List, pl.String]


class Contract(pa.DataFrameModel):
    """Base of every table's model: exactly these columns, all checks at once."""

    class Config:
        strict = True


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check.

    Attributes:
        name: the check's name in Dagster.
        passed: whether the data may be committed.
        metadata: what a person needs to see, counts only.
        remedy: a sentence for people with the command that mends a failure, where there is one.
    """

    name: str
    passed: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""


def check_frame(frame: pl.DataFrame, contract: type[Contract]) -> Verdict:
    """Validate `frame`, by pandera."""
    return _verdict(_failures_by_pandera(frame, contract), len(frame))


def check_table(
    tx: Transaction, table: str, contract: type[Contract], pandera_up_to: int = ROWS_BY_PANDERA
) -> Verdict:
    """Validate a whole table inside its transaction."""
    rows = tx.count(table)
    if rows <= pandera_up_to:
        failures = _failures_by_pandera(tx.read(f"SELECT * FROM {table}"), contract)
    else:
        failures = _failures_by_pandera(tx.read(f"SELECT * FROM {table} LIMIT 0"), contract)
        failures |= {} if failures else failures_by_sql(tx, table, contract)
    return _verdict(failures, rows)


def failures_by_sql(tx: Transaction, table: str, contract: type[Contract]) -> dict[str, int]:
    """Broken rules of `table` as `{"column: check": rows}`, counted by the database."""
    counts = {rule: f"count(*) FILTER (WHERE {bad})" for rule, bad in _row_rules(contract).items()}
    keys = _unique_keys(contract)
    counts |= {
        rule: f"count(*) - (SELECT count(*) FROM (SELECT DISTINCT {columns} FROM {table}))"
        for rule, columns in keys.items()
    }
    if not counts:
        return {}
    found = tx.read(f"SELECT {', '.join(counts.values())} FROM {table}").row(0)
    return {rule: rows for rule, rows in zip(counts, found, strict=True) if rows}


def _row_rules(contract: type[Contract]) -> dict[str, str]:
    rules: dict[str, str] = {}
    for name, column in contract.to_schema().columns.items():
        if not column.nullable:
            rules[f"{name}: not_nullable"] = f'"{name}" IS NULL'
        for check in column.checks:
            rules[f"{name}: {check.name}"] = _broken(f'"{name}"', check.name, check.statistics)
    return rules


def _unique_keys(contract: type[Contract]) -> dict[str, str]:
    schema = contract.to_schema()
    keys = {
        f"{name}: field_uniqueness": f'"{name}"'
        for name, column in schema.columns.items()
        if column.unique
    }
    if schema.unique:
        together = ", ".join(f'"{name}"' for name in schema.unique)
        keys[f"{contract.__name__}: multiple_fields_uniqueness"] = together
    return keys


def _broken(column: str, check: str, statistics: Mapping[str, Any]) -> str:
    match check, list(statistics.values()):
        case "greater_than_or_equal_to", [bound]:
            return f"{column} < {bound}"
        case "greater_than", [bound]:
            return f"{column} <= {bound}"
        case "less_than_or_equal_to", [bound]:
            return f"{column} > {bound}"
        case "isin", [values]:
            return f"{column} NOT IN ({', '.join(map(_text, values))})"
        case "str_matches", [pattern]:
            anchored = f"^{pattern.removeprefix('^')}"  # as pandera does
            return f"NOT regexp_matches({column}, {_text(anchored)})"
        case _:
            raise NotImplementedError(f"no SQL for the pandera check {check!r}")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _failures_by_pandera(frame: pl.DataFrame, contract: type[Contract]) -> dict[str, int]:
    try:
        contract.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        counted = error.failure_cases.group_by("column", "check", maintain_order=True).len()
        return {f"{column}: {check.split('(')[0]}": n for column, check, n in counted.rows()}
    return {}


def _verdict(failures: Mapping[str, int], rows: int) -> Verdict:
    told = "; ".join(f"{rule} ({count})" for rule, count in failures.items())
    return Verdict("contract", not failures, {"linhas": rows, **({"falhas": told} if told else {})})
