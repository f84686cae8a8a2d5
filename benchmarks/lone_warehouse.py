"""A warehouse in a folder of its own, without a tenant, for work measured on tables alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import clock

if TYPE_CHECKING:
    from crm_assets.checks.contract import Contract
    from crm_resources.warehouse import Session, Transaction, Warehouse


def file_of(home: str) -> Path:
    """The warehouse's file."""
    return Path(home, "warehouse.duckdb")


def warehouse_in(home: str) -> Warehouse:
    """The warehouse of a folder."""
    from crm_assets.resources import MIGRATIONS
    from crm_resources.warehouse import Warehouse

    return Warehouse(database=str(file_of(home)), migrations=str(MIGRATIONS))


@contextmanager
def timed_session(home: str) -> Iterator[tuple[Session, dict[str, Any]]]:
    """The warehouse, and where the seconds until all is committed are written."""
    took: dict[str, Any] = {}
    with warehouse_in(home).session("benchmark") as session:
        started = clock()
        yield session, took
        took["seconds"] = clock() - started


def put_empty(tx: Transaction, tables: Mapping[str, type[Contract]]) -> None:
    """Write tables without rows, with the columns of their contracts."""
    import polars as pl

    def plain(dtype: Any) -> Any:
        return pl.Datetime("us", "UTC") if isinstance(dtype, pl.Datetime) else dtype

    for table, contract in tables.items():
        columns = contract.to_schema().columns
        schema = {name: plain(column.dtype.type) for name, column in columns.items()}
        tx.replace_table(table, pl.DataFrame(schema=schema))
