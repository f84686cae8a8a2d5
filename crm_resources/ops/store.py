"""The operations store of one tenant: loads and actions, and by inheritance what stands beside.

What belongs here: short transactions over `tables`, every one filtered by the tenant. The same
statements work on SQLite and PostgreSQL.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import polars as pl
from sqlalchemy import Text, cast, func, select

from crm_resources.ops import tables
from crm_resources.ops.copies import CopyStore
from crm_resources.ops.database import NewerStoreError, columns_of
from crm_resources.ops.exports import ExportStore
from crm_resources.ops.faults import BadRecordError, StoreUnavailableError
from crm_resources.ops.inbox import InboxStore
from crm_resources.ops.incidents import IncidentStore
from crm_resources.ops.tables import Action, Incident, Load
from crm_resources.ops.tombstones import TombstoneStore

__all__ = [
    "Action",
    "BadRecordError",
    "Incident",
    "Load",
    "NewerStoreError",
    "OpsStore",
    "StoreUnavailableError",
]

_ACTION_SCHEMA = pl.Schema(
    {
        "id": pl.Int64(),
        "kind": pl.String(),
        "idempotency_key": pl.String(),
        "customer_id": pl.String(),
        "day": pl.Date(),
        "email_key": pl.String(),
        "phone_key": pl.String(),
        "channel": pl.String(),
        "purpose": pl.String(),
        "payload": pl.String(),
        "actor": pl.String(),
        "reason": pl.String(),
        "at": pl.Datetime("us", "UTC"),
    }
)


class OpsStore(IncidentStore, ExportStore, TombstoneStore, InboxStore, CopyStore):
    """What is durable at once: what came, was landed and decided, went wrong, left, who left.

    Each method is one short transaction.
    """

    def record_load(self, load: Load) -> int:
        """Append a load and return its id; the latest of a source and slice counts."""
        with self._write() as connection:
            statement = tables.loads.insert().returning(tables.loads.c.id)
            return int(connection.execute(statement, self._row(load)).scalar_one())

    def loads(self, source: str | None = None) -> list[Load]:
        """Return the latest load of every slice, of one source or of all, in their order."""
        loads = tables.loads.c
        newest = (
            select(func.max(loads.id))
            .where(loads.tenant == self.tenant)
            .group_by(loads.source, loads.slice)
        )
        query = select(*columns_of(tables.loads)).where(loads.id.in_(newest))
        if source is not None:
            query = query.where(loads.source == source)
        held = (Load(**row) for row in self._read(query))
        return sorted(held, key=lambda load: (load.source, load.slice))  # no server's collation

    def load_of_content(self, source: str, sha256: str) -> Load | None:
        """Return the latest load of a content, or None if it was never received."""
        loads = tables.loads.c
        query = (
            select(*columns_of(tables.loads))
            .where(
                loads.tenant == self.tenant,
                loads.source == source,
                loads.content_sha256 == sha256,
            )
            .order_by(loads.id.desc())
            .limit(1)
        )
        return next((Load(**row) for row in self._read(query)), None)

    def append_actions(self, actions: Sequence[Action]) -> int:
        """Append actions in one transaction and return how many were new.

        An action whose idempotency key the tenant already has is ignored.
        """
        if not actions:
            return 0
        statement = self._insert(tables.actions).on_conflict_do_nothing(
            index_elements=["tenant", "idempotency_key"]
        )
        with self._write() as connection:
            result = connection.execute(
                statement,
                [self._row(action) for action in actions],
                execution_options={"preserve_rowcount": True},
            )
            return result.rowcount

    def actions(self, after_id: int = 0) -> pl.DataFrame:
        """Return the actions after an id, in their order.

        Returns:
            One row per action: its fields, `payload` as JSON text, `day` a date, `at` an instant
            in UTC.
        """
        actions = tables.actions.c
        columns = [
            cast(actions.payload, Text) if name == "payload" else actions[name]
            for name in _ACTION_SCHEMA
        ]
        query = (
            select(*columns)
            .where(actions.tenant == self.tenant, actions.id > after_id)
            .order_by(actions.id)
        )
        with self._transaction() as connection:
            rows = connection.execute(query).fetchall()
        return pl.DataFrame(rows, schema=_ACTION_SCHEMA, orient="row")

    def last_action_id(self) -> int:
        """Return the id of the newest action, 0 without any."""
        actions = tables.actions.c
        query = select(func.max(actions.id)).where(actions.tenant == self.tenant)
        with self._transaction() as connection:
            return connection.execute(query).scalar() or 0

    def _row(self, record: Load | Action) -> dict[str, Any]:
        names = (field.name for field in fields(record) if field.name != "id")
        return {"tenant": self.tenant, **{name: getattr(record, name) for name in names}}
