"""The part of the operations store that knows who was erased, and rewrites what speaks of them.

A tombstone is an opaque tag: what it is over, and the key that made it, are known elsewhere. The
tables of the store are only ever added to, except here: an erasure is the one rewrite, and whoever
is readmitted has tombstones no more.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Text, cast, delete, false, or_, select, update

from crm_resources.ops import tables
from crm_resources.ops.database import Database, columns_of

Row = dict[str, Any]

PERSONAL = {
    table.name: table
    for table in (
        tables.actions,
        tables.exports,
        tables.loads,
        tables.incidents,
        tables.deliveries,
        tables.inbox,
    )
}
"""Tables whose rows can speak of a person."""


class TombstoneStore(Database):
    """The tombstones, and what an erasure rewrites."""

    def add_tombstones(self, tags: Mapping[str, str], at: datetime | None = None) -> int:
        """Write tombstones in one transaction, each once, and return how many were new.

        Args:
            tags: kind by tag.
            at: when.
        """
        if not tags:
            return 0
        statement = self._insert(tables.tombstones).on_conflict_do_nothing(
            index_elements=["tenant", "tag"]
        )
        written_at = at or datetime.now(UTC)
        rows = [
            {"tenant": self.tenant, "tag": tag, "kind": kind, "at": written_at}
            for tag, kind in tags.items()
        ]
        with self._write() as connection:
            options = {"preserve_rowcount": True}
            return connection.execute(statement, rows, execution_options=options).rowcount

    def tombstones(self) -> dict[str, str]:
        """Return the tenant's tombstones, kind by tag."""
        tombstones = tables.tombstones.c
        query = select(tombstones.tag, tombstones.kind).where(tombstones.tenant == self.tenant)
        return {row["tag"]: row["kind"] for row in self._read(query)}

    def tombstones_beside(self, tags: Sequence[str]) -> list[Row]:
        """Return every tombstone that was written at the moment of one of some tags.

        Returns:
            `tag`, `kind` and `at`, in the order of writing; none without one of the tags.
        """
        tombstones = tables.tombstones.c
        mine = tombstones.tenant == self.tenant
        moments = select(tombstones.at).where(mine, tombstones.tag.in_(tags))
        query = (
            select(tombstones.tag, tombstones.kind, tombstones.at)
            .where(mine, tombstones.at.in_(moments))
            .order_by(tombstones.id)
        )
        return [dict(row) for row in self._read(query)]

    def lift_tombstones(self, tags: Sequence[str]) -> int:
        """Remove tombstones, in one transaction, and return how many stood."""
        tombstones = tables.tombstones.c
        statement = delete(tables.tombstones).where(
            tombstones.tenant == self.tenant, tombstones.tag.in_(tags)
        )
        with self._write() as connection:
            options = {"preserve_rowcount": True}
            return connection.execute(statement, execution_options=options).rowcount

    def last_tombstone_id(self) -> int:
        """Return the id of the newest tombstone, 0 without any."""
        tombstones = tables.tombstones.c
        query = (
            select(tombstones.id)
            .where(tombstones.tenant == self.tenant)
            .order_by(tombstones.id.desc())
            .limit(1)
        )
        return next((int(row["id"]) for row in self._read(query)), 0)

    def rows_mentioning(self, name: str, texts: list[str]) -> Iterator[Row]:
        """Yield the rows of a table in which one of the texts stands, in lower case, anywhere.

        Args:
            name: one of `PERSONAL`.
            texts: in lower case.
        """
        table = PERSONAL[name]
        columns = columns_of(table)
        query = select(*columns).where(table.c.tenant == self.tenant).order_by(table.c.id)
        query = query.execution_options(yield_per=1000)
        with self._transaction() as connection:
            for row in connection.execute(query).mappings():
                spoken = " ".join(str(value) for value in row.values()).casefold()
                if any(text in spoken for text in texts):
                    yield dict(row)

    def exports_of(self, customer_ids: list[str]) -> list[Row]:
        """Return the files that list one of some customers, oldest first."""
        exports = tables.exports
        listed = cast(exports.c.customer_ids, Text)
        query = (
            select(*columns_of(exports))
            .where(
                exports.c.tenant == self.tenant,
                or_(false(), *(listed.contains(one, autoescape=True) for one in customer_ids)),
            )
            .order_by(exports.c.id)
        )
        return [dict(row) for row in self._read(query)]

    def rewrite(self, name: str, changes: Mapping[int, Row]) -> int:
        """Give rows of a table new values, in one transaction; returns how many there were.

        Args:
            name: one of `PERSONAL`.
            changes: new values of some columns, by id.
        """
        table = PERSONAL[name]
        with self._write() as connection:
            for row_id, values in changes.items():
                mine = (table.c.tenant == self.tenant, table.c.id == row_id)
                connection.execute(update(table).where(*mine).values(values))
        return len(changes)

    def compact(self) -> bool:
        """Rewrite an SQLite file so that nothing overwritten is left in it.

        Returns:
            False for PostgreSQL, which frees the old rows by itself (autovacuum).
        """
        if self._engine.dialect.name != "sqlite":
            return False
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()
        return True
