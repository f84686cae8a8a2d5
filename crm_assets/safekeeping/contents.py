"""What is in a company's databases, told so briefly that two copies can be compared.

Per table the number of its rows and a checksum over them. No Dagster here.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb

WAREHOUSE, OPS = "warehouse.duckdb", "ops.sqlite"

_ROWS_AND_SUM = "count(*), coalesce(sum(hash(held)::HUGEINT), 0)::VARCHAR"

Contents = dict[str, list[object]]
"""Rows and checksum by table, in forms that JSON keeps."""


def contents_of(folder: Path) -> dict[str, Contents]:
    """What the databases of a folder hold, by file name; one that is not there is left out."""
    readers = {WAREHOUSE: _of_warehouse, OPS: _of_ops}
    return {name: read(folder / name) for name, read in readers.items() if (folder / name).exists()}


def differences(
    expected: dict[str, Contents], found: dict[str, Contents], *, only_rows: bool = False
) -> list[str]:
    """The tables that two copies do not have in common, as `file: table`.

    Args:
        expected: of one copy.
        found: of the other.
        only_rows: compare how many rows there are, and not what is in them.
    """
    depth = 1 if only_rows else 2
    one, other = (
        {(file, table): told[:depth] for file, held in copy.items() for table, told in held.items()}
        for copy in (expected, found)
    )
    return sorted(
        f"{file}: {table}"
        for file, table in one.keys() | other.keys()
        if one.get((file, table)) != other.get((file, table))
    )


def rows_of(path: Path) -> dict[str, int]:
    """Rows by table of a warehouse, which is quicker than what is in them."""
    return {name: int(str(told[0])) for name, told in _of_warehouse(path, "count(*)").items()}


def _of_warehouse(path: Path, asked: str = _ROWS_AND_SUM) -> Contents:
    with duckdb.connect(path, read_only=True, config={"threads": 2}) as connection:
        names = [name for (name,) in connection.execute(_TABLES).fetchall()]
        return {
            name: list(connection.execute(f"SELECT {asked} FROM {name} AS held").fetchall()[0])
            for name in names
        }


def _of_ops(path: Path) -> Contents:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        names = [name for (name,) in connection.execute(_OPS_TABLES).fetchall()]
        return {name: _sum_of(connection, name) for name in names}


def _sum_of(connection: sqlite3.Connection, table: str) -> list[object]:
    count, total = 0, hashlib.sha256()
    for row in connection.execute(f'SELECT * FROM "{table}" ORDER BY rowid'):
        total.update(repr(row).encode("utf-8", "surrogatepass"))
        count += 1
    return [count, total.hexdigest()]


_TABLES = """
    SELECT schema_name || '.' || table_name FROM duckdb_tables()
    WHERE database_name = current_database() AND NOT temporary ORDER BY ALL
"""
_OPS_TABLES = """
    SELECT name FROM sqlite_master
    WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name
"""
