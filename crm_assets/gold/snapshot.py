"""Reading the serving snapshot: the only door for pages, commands and files. No Dagster here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_resources.ops import OpsStore
from crm_resources.serving import snapshot


class NothingPublished(RuntimeError):
    """There is no serving snapshot yet."""


def serving_pointer(settings: Settings, tenant: Tenant) -> Path:
    """The file that names the current snapshot."""
    return settings.store_folder(tenant.slug) / "serving" / "current"


def has_table(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether the snapshot holds `layer.name`; an audience may be newer than it."""
    layer, table = name.split(".")
    known = "FROM duckdb_tables() WHERE schema_name = ? AND table_name = ?"
    return bool(connection.execute(known, [layer, table]).fetchall())


def has_column(connection: duckdb.DuckDBPyConnection, name: str, column: str) -> bool:
    """Whether the snapshot holds a column of `layer.name`; the program may be newer than it."""
    known = "FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? AND column_name = ?"
    return bool(connection.execute(known, [*name.split("."), column]).fetchall())


def newer_actions(connection: duckdb.DuckDBPyConnection, ops: OpsStore) -> pl.DataFrame:
    """Actions that the snapshot does not contain yet, as `OpsStore.actions` gives them."""
    last_id = connection.execute("SELECT last_action_id FROM meta.contents").fetchall()[0][0]
    return ops.actions(after_id=last_id)


@contextmanager
def open_snapshot(settings: Settings, tenant: Tenant) -> Iterator[duckdb.DuckDBPyConnection]:
    """The current serving snapshot, read-only, with days in the tenant's zone.

    Raises:
        NothingPublished: no round has finished yet.
    """
    path = snapshot(serving_pointer(settings, tenant))
    if path is None:
        raise NothingPublished(
            f"Ainda não há dados publicados de {tenant.slug} em {settings.environment}: "
            "rode `uv run crm run` primeiro."
        )
    with duckdb.connect(path, read_only=True) as connection:
        connection.execute(f"SET TimeZone = '{tenant.timezone}'")
        yield connection
