"""The part of the operations store that copies it whole, and takes a copy back.

A copy is one SQLite file, whatever the store itself is, so that it may come back to either kind.
What comes back adds to what is there and replaces nothing: decisions, erasures and events of after
the copy stay, and rows that an erasure rewrote are not undone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Table, func, select, text, update

from crm_resources.ops import tables
from crm_resources.ops.database import Database
from crm_resources.ops.tombstones import Row

_BATCH = 500

_NATURAL: dict[str, tuple[str, ...]] = {
    "loads": (),
    "actions": ("idempotency_key",),
    "incidents": (),
    "deliveries": ("channel", "incident_id"),
    "exports": (),
    "tombstones": ("tag",),
    "inbox": ("kind", "event_key"),
    "refusals": ("kind", "address"),
}
"""What tells a row from all others of a tenant, beside its number; most rows differ in the last.

Tables are taken back in this order, as deliveries follow their incidents.
"""

_MADE_AT = {
    "loads": "at",
    "actions": "at",
    "incidents": "opened_at",
    "exports": "at",
    "tombstones": "at",
    "inbox": "received_at",
    "refusals": "first_at",
}
"""When a row came to be: with its number, what an erasure or a state never changes."""


class MixedStoresError(RuntimeError):
    """Rows of a copy would point at rows of another beginning; nothing was taken back."""


Shield = Callable[[str, list[Row]], list[Row]]
"""Rows of a table on their way in, without those who must not come back."""


class CopyStore(Database):
    """Copies of the store."""

    def copy_to(self, path: Path) -> None:
        """Write the tenant's rows, as they are at one moment, into a new SQLite file.

        Args:
            path: of a file that does not exist yet.
        """
        path.touch(mode=0o600)
        if self._engine.dialect.name == "sqlite":
            with closing(self._engine.raw_connection()) as pooled, closing(_open(path)) as copy:
                source = pooled.driver_connection
                assert isinstance(source, sqlite3.Connection)
                source.backup(copy)
                _alone(copy)
            return
        copied = Database(path, self.tenant)
        with self._transaction() as source, copied._write() as target:
            source.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            for table in tables.metadata.sorted_tables:
                rows = source.execution_options(yield_per=_BATCH).execute(
                    select(table).where(table.c.tenant == self.tenant).order_by(table.c.id)
                )
                for batch in rows.mappings().partitions():
                    target.execute(table.insert(), [dict(row) for row in batch])
        with closing(_open(path)) as copy:
            _alone(copy)

    def take_back(self, path: Path, taken_at: datetime, shield: Shield) -> dict[str, int]:
        """Add what a copy has and the store has not, in one transaction.

        Events that were processed after the copy was taken wait again: the tables that come back
        with it do not know them.

        Args:
            path: a copy; it is brought to this program's version.
            taken_at: when it was made.
            shield: takes out of the rows whoever must not come back.

        Returns:
            Rows added, by table.

        Raises:
            NewerStoreError: the copy is of a newer version of this program.
            MixedStoresError: the store began apart from the copy, and they cannot be told apart.
        """
        copy = Database(path, self.tenant)
        added: dict[str, int] = {}
        renamed: dict[str, dict[int, int]] = {name: {} for name in _NATURAL}
        with copy._transaction() as source, self._write() as target:
            for name in _NATURAL:
                table = tables.metadata.tables[name]
                added[name] = 0
                for batch in _batches(source, table):
                    rows = [
                        _adapted(name, {**row, "tenant": self.tenant}, taken_at, renamed)
                        for row in batch
                    ]
                    missing = self._missing(target, table, rows)
                    if missing and (new := shield(name, missing)):
                        new = self._numbered(target, table, new, renamed[name])
                        target.execute(table.insert(), new)
                        added[name] += len(new)
                    if name == "actions" and renamed[name]:
                        _check_pointers(rows)
                _count_on(target, table)
            target.execute(
                update(tables.inbox)
                .where(
                    tables.inbox.c.tenant == self.tenant,
                    tables.inbox.c.state.in_(["processed", "ignored"]),
                    tables.inbox.c.processed_at >= taken_at,
                )
                .values(state="pending", attempts=0, next_at=None, processed_at=None, error=None)
            )
        return {name: count for name, count in added.items() if count}

    def _missing(self, target: Connection, table: Table, rows: list[Row]) -> list[Row]:
        """The rows that the store does not have, under their number or by what tells them apart."""
        mine = table.c.tenant == self.tenant
        natural, made_at = _NATURAL[table.name], _MADE_AT.get(table.name)
        numbers = [row["id"] for row in rows]
        held: set[object] = set()
        if made_at:
            query = select(table.c.id, table.c[made_at]).where(mine, table.c.id.in_(numbers))
            held |= {(number, at) for number, at in target.execute(query)}
        if natural:
            *same, telling = natural
            alike: dict[tuple[object, ...], list[object]] = {}
            for row in rows:
                alike.setdefault(tuple(row[name] for name in same), []).append(row[telling])
            for values, told in alike.items():
                equal = (table.c[name] == value for name, value in zip(same, values, strict=True))
                query = select(table.c[telling]).where(mine, *equal, table.c[telling].in_(told))
                held |= {(*values, found) for found in target.scalars(query)}
        return [
            row
            for row in rows
            if (made_at is None or (row["id"], row[made_at]) not in held)
            and (not natural or tuple(row[name] for name in natural) not in held)
        ]

    def _numbered(
        self, target: Connection, table: Table, rows: Sequence[Row], renamed: dict[int, int]
    ) -> list[Row]:
        """The rows under numbers that are free: a number that is taken gives way to a new one."""
        taken = set(
            target.scalars(select(table.c.id).where(table.c.id.in_([row["id"] for row in rows])))
        )
        if not taken:
            return list(rows)
        largest = target.scalar(select(func.max(table.c.id))) or 0
        following = iter(range(max(largest, *(row["id"] for row in rows)) + 1, 2**63))
        numbered = []
        for row in rows:
            if row["id"] in taken:
                renamed[row["id"]] = next(following)
            numbered.append({**row, "id": renamed.get(row["id"], row["id"])})
        return numbered


def _adapted(
    name: str, row: Row, taken_at: datetime, renamed: Mapping[str, Mapping[int, int]]
) -> Row:
    """A row of a copy as it goes in: it points at others by their new numbers, and is no news."""
    if name == "incidents":
        return {**row, "closed_at": row["closed_at"] or taken_at}
    if name == "deliveries":
        number = row["incident_id"]
        return {**row, "incident_id": renamed["incidents"].get(number, number)}
    return row


def _check_pointers(actions: Iterable[Row]) -> None:
    """Refuse actions that point at others, whose numbers mean other ones here.

    Raises:
        MixedStoresError: there are such.
    """
    if any("action" in (row["payload"] or {}) for row in actions):
        raise MixedStoresError(
            "O banco de operações daqui tem decisões próprias com os números das da cópia, e a "
            "cópia desfaz algumas pelo número: restaure antes da primeira rodada, com o banco de "
            "operações vazio; nada foi mudado."
        )


def _batches(source: Connection, table: Table) -> Iterator[list[Row]]:
    """Every row of a copy, which is of one tenant, in the order of their numbers."""
    rows = source.execution_options(yield_per=_BATCH).execute(select(table).order_by(table.c.id))
    for batch in rows.mappings().partitions():
        yield [dict(row) for row in batch]


def _count_on(target: Connection, table: Table) -> None:
    """Let PostgreSQL go on counting after the largest number; SQLite does by itself."""
    if target.dialect.name != "postgresql":
        return
    sequence = target.scalar(select(func.pg_get_serial_sequence(table.name, "id")))
    if sequence:
        target.execute(
            text(
                f"SELECT setval('{sequence}', greatest((SELECT last_value FROM {sequence}), "
                f"(SELECT max(id) FROM {table.name})), true) "
                f"WHERE EXISTS (SELECT 1 FROM {table.name})"
            )
        )


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def _alone(copy: sqlite3.Connection) -> None:
    """Let a copy be one file, without others beside it."""
    copy.execute("PRAGMA journal_mode = DELETE").fetchall()
