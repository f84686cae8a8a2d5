"""The part of the operations store that knows which files of people were made (rules 7.3).

The register is only ever added to: an erasure looks here for whom it has to tell.
"""

from dataclasses import fields
from typing import Any

from sqlalchemy import select

from crm_resources.ops import tables
from crm_resources.ops.database import Database, columns_of
from crm_resources.ops.tables import ExportRecord


class ExportStore(Database):
    """The register of exports."""

    def record_export(self, record: ExportRecord) -> int:
        """Append a file to the register and return its id."""
        names = (field.name for field in fields(record) if field.name != "id")
        values: dict[str, Any] = {name: getattr(record, name) for name in names}
        values |= {
            "tenant": self.tenant,
            "filter": dict(record.filter),
            "customer_ids": list(record.customer_ids),
            "rows": len(record.customer_ids),
        }
        statement = tables.exports.insert().returning(tables.exports.c.id)
        with self._write() as connection:
            return int(connection.execute(statement, values).scalar_one())

    def exports(self) -> list[ExportRecord]:
        """Return the files that were made, oldest first."""
        exports = tables.exports.c
        query = (
            select(*(column for column in columns_of(tables.exports) if column.name != "rows"))
            .where(exports.tenant == self.tenant)
            .order_by(exports.id)
        )
        rows = (dict(row) for row in self._read(query))
        return [ExportRecord(**{**row, "customer_ids": tuple(row["customer_ids"])}) for row in rows]
