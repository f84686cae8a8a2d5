"""A small warehouse in memory, filled by hand, for tests of silver and gold rules.

Rows name only the columns a test speaks of; the others take the defaults below or stay empty. All
lakes are one connection: a new one empties the one before, which costs no migration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from hypothesis import HealthCheck, settings

from crm_assets.checks.contract import Contract, failures_by_sql
from crm_assets.checks.silver import (
    ContactHistory,
    ContactRecords,
    Customers,
    CustomerXref,
    OptOuts,
    Products,
    Sales,
)
from crm_assets.definitions import site_of
from crm_assets.resources import MIGRATIONS
from crm_assets.settings import Settings
from crm_assets.steps import Site
from crm_assets.tenants import build_tenant_model
from crm_resources.warehouse import Transaction

ZONE = "America/Sao_Paulo"
NOON = datetime(2026, 3, 15, 15, tzinfo=UTC)
AUDIENCES = {
    "ilpi": {"label": "ILPI", "public_label": "casas", "product_names": ["*ILPI*"]},
    "estetica": {"label": "Estética", "public_label": "estetica", "product_ids": [4201]},
}
DEFAULTS: dict[type[Contract], dict[str, Any]] = {
    ContactRecords: {
        "source": "hotmart",
        "observed_at": NOON,
        "has_address": False,
        "is_own": True,
    },
    Sales: {
        "source": "hotmart",
        "record_id": "hotmart:HP1",
        "status": "APPROVED",
        "status_class": "paid",
        "product_id": "1",
        "currency": "BRL",
        "paid_at_assumed": False,
        "net_estimated": False,
        "is_paid": True,
        "was_paid": True,
        "is_refunded": False,
        "is_disputed": False,
        "is_new_order": True,
        "is_own": True,
        "is_purchase": True,
        "is_eligible": True,
        "is_erased": False,
    },
    Products: {"source": "hotmart", "audiences": [], "is_mapped": True},
    CustomerXref: {"source": "hotmart", "joined_by": "own", "valid_from": NOON},
    Customers: {
        "phone_kind": "mobile",
        "source": "manychat",
        "sources": ["manychat"],
        "records": 1,
        "audiences": [],
        "has_purchased": False,
        "orders": 0,
        "has_open_dispute": False,
        "opted_out": False,
        "reachable": True,
        "is_own": True,
    },
    ContactHistory: {"kind": "data_remarketing", "counts": True},
    OptOuts: {"origin": "pedido", "since": NOON},
}


def _in_reais(
    currency: str = "BRL", gross: Any = None, net: Any = None, **_: Any
) -> dict[str, Any]:
    """What a sale in the tenant's currency is worth in it; others are not converted."""
    return {"value": gross, "net_value": net} if currency == "BRL" else {}


def _blocked(opted_out: bool = False, **_: Any) -> dict[str, Any]:
    return {"blocked_channels": ["email", "sms", "whatsapp"] if opted_out else []}


DERIVED: dict[type[Contract], Any] = {Sales: _in_reais, Customers: _blocked}


def random_cases(few: int) -> settings:
    """Settings of a property whose every case fills tables."""
    return settings(
        max_examples=few,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def cus(number: int) -> str:
    """A customer id that is easy to read."""
    return f"cus_{number:032x}"


def local(text: str) -> datetime:
    """An instant given in São Paulo, as `2026-03-15 23:59`."""
    return datetime.fromisoformat(f"{text}-03:00")


def frame_of(contract: type[Contract], rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows of a contract's table, with the defaults of the tests."""
    columns = contract.to_schema().columns
    schema = {name: _dtype(column.dtype.type) for name, column in columns.items()}
    defaults = dict.fromkeys(schema) | DEFAULTS.get(contract, {})
    derived = DERIVED.get(contract, lambda **_: {})
    full = [{**defaults, **derived(**row), **row} for row in rows]
    assert all(row.keys() == schema.keys() for row in full), "a row names an unknown column"
    return pl.DataFrame(full, schema=schema)


def _dtype(dtype: Any) -> Any:
    return pl.Datetime("us", "UTC") if isinstance(dtype, pl.Datetime) else dtype


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(f"SET TimeZone = '{ZONE}'")
    for script in sorted(MIGRATIONS.glob("*.sql")):
        connection.execute(script.read_text())
    return connection.execute("BEGIN")


class Lake:
    """One in-memory warehouse with the migrations applied."""

    def __init__(self) -> None:
        _connection().execute("ROLLBACK")
        self.tx = Transaction(_connection().execute("BEGIN"))

    def keeps(self, table: str, contract: type[Contract]) -> bool:
        """Whether a table keeps its contract, told by types and SQL: faster than by pandera."""
        found = self.tx.read(f"FROM {table} LIMIT 0").schema
        expected = frame_of(contract, []).schema
        types = {name: _dtype(dtype) for name, dtype in found.items()}
        return types == dict(expected) and not failures_by_sql(self.tx, table, contract)

    def put(self, table: str, contract: type[Contract], *rows: Mapping[str, Any]) -> None:
        """Write a whole table."""
        self.tx.replace_table(table, frame_of(contract, rows))

    def bronze(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Append rows to a bronze table; the columns that are not named stay empty."""
        for row in rows:
            names = ", ".join(row)
            marks = ", ".join("?" for _ in row)
            self.tx.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))

    def rows(self, sql: str, params: Any = None) -> list[dict[str, Any]]:
        return self.tx.read(sql, params).to_dicts()

    def value(self, sql: str, params: Any = None) -> Any:
        return self.tx.scalar(sql, params)

    def column(self, sql: str, params: Any = None) -> list[Any]:
        return self.tx.read(sql, params).to_series().to_list()


def site(now: datetime | str = NOON, home: Path | None = None, **table: Any) -> Site:
    """A tenant at an instant; `table` is its table in tenants.toml."""
    at = now if isinstance(now, str) else now.isoformat()
    environ = {"ENVIRONMENT": "prd", "CRM_NOW": at, "CRM_HOME": str(home or "/nonexistent")}
    table = {"audiences": AUDIENCES, "hotmart": {"start_date": date(2026, 1, 1)}, **table}
    return site_of(build_tenant_model("default", table, environ), Settings.from_environ(environ))
