"""Database files written anew: an edit that leaves nothing of the old rows on the disk.

DuckDB keeps deleted rows in free blocks of the file. So a copy is edited, what is left of it goes
into a new file, and that takes the place of the old one, whole or not at all.
"""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import duckdb

from crm_resources.locks import hold
from crm_resources.serving import put
from crm_resources.warehouse import Transaction, Warehouse

T = TypeVar("T")


def rewrite(
    warehouse: Warehouse,
    edit: Callable[[Transaction], T],
    path: Path | None = None,
    target: Path | None = None,
) -> T:
    """Edit a database file in one transaction and write it anew; returns what the edit gave.

    Args:
        warehouse: whose lock is held, and whose settings apply.
        edit: changes what is in the file; when it raises, the file stays as it was.
        path: a closed database file in the warehouse's folder; by default the warehouse itself,
            which is migrated first.
        target: the file's new name; by default its own.

    Raises:
        Busy: Another process held the warehouse longer than `lock_wait_seconds`.
    """
    if path is None:
        warehouse.read("SELECT 1")
    path = path or warehouse.path
    target = target or path
    copy, draft = (target.with_name(f".{target.name}.{ending}") for ending in ("tmp", "new"))
    with hold(warehouse.lock_path, f"nova escrita de {path.name}", warehouse.lock_wait_seconds):
        try:
            for leftover in (copy, draft):
                leftover.unlink(missing_ok=True)
            shutil.copyfile(path, copy)
            with closing(duckdb.connect(copy)) as connection:
                _configure(connection, warehouse)
                tx = Transaction(connection)
                tx.execute("BEGIN")
                given = edit(tx)
                tx.execute("COMMIT")
                name = tx.scalar("SELECT current_database()")
                tx.execute(f"ATTACH '{_text(draft)}' AS _rewritten")
                tx.execute(f'COPY FROM DATABASE "{name}" TO _rewritten')
                tx.execute("CHECKPOINT _rewritten")
                tx.execute("DETACH _rewritten")
            put(draft, target)
        finally:
            for leftover in (copy, draft):
                leftover.unlink(missing_ok=True)
            copy.with_name(f"{copy.name}.wal").unlink(missing_ok=True)
        if target != path:
            path.unlink()
    return given


def _configure(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse) -> None:
    """As the warehouse, but for the lock of the configuration, which COPY FROM DATABASE changes."""
    folder = warehouse.path.parent
    for setting in (
        f"SET TimeZone = '{_text(warehouse.timezone)}'",
        f"SET memory_limit = '{_text(warehouse.memory_limit)}'",
        f"SET threads = {warehouse.threads}",
        f"SET temp_directory = '{_text(folder / 'tmp')}'",
        f"SET allowed_directories = ['{_text(folder)}/']",
        "SET enable_external_access = false",
    ):
        connection.execute(setting)


def _text(value: object) -> str:
    return str(value).replace("'", "''")
