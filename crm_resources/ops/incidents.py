"""The part of the operations store that knows what goes wrong, and whom it was told to.

One incident is open per kind and subject; each way out (`channel`) keeps how far it has told it.
"""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Select, and_, func, or_, select, update

from crm_resources.ops import tables
from crm_resources.ops.database import Database, columns_of
from crm_resources.ops.tables import Delivery, Incident

OLD_NEWS = timedelta(days=1)
"""An incident that ended this long ago is not told to a channel that never heard of it."""


class IncidentStore(Database):
    """Incidents and their deliveries."""

    def open_incident(
        self, kind: str, subject: str, detail: str, at: datetime | None = None
    ) -> bool:
        """Open an incident; False if one of this kind and subject is open already."""
        incidents = tables.incidents
        statement = (
            self._insert(incidents)
            .values(
                tenant=self.tenant,
                kind=kind,
                subject=subject,
                detail=detail,
                opened_at=at or datetime.now(UTC),
                revision=1,
            )
            .on_conflict_do_nothing(
                index_elements=["tenant", "kind", "subject"],
                index_where=incidents.c.closed_at.is_(None),
            )
            .returning(incidents.c.id)
        )
        with self._write() as connection:
            return connection.execute(statement).scalar() is not None

    def change_incident(self, kind: str, subject: str, detail: str, *, news: bool = True) -> bool:
        """Give the open incident of this kind and subject a new cause; False if there is none.

        Args:
            kind: what sort of thing went wrong.
            subject: where.
            detail: the cause.
            news: whether it is worth telling again.
        """
        return self._change_incident(kind, subject, news=news, detail=detail)

    def close_incident(self, kind: str, subject: str, at: datetime | None = None) -> bool:
        """Close the open incident of this kind and subject; False if there is none."""
        return self._change_incident(kind, subject, closed_at=at or datetime.now(UTC))

    def _change_incident(
        self, kind: str, subject: str, *, news: bool = True, **values: object
    ) -> bool:
        incidents = tables.incidents.c
        statement = (
            update(tables.incidents)
            .where(
                incidents.tenant == self.tenant,
                incidents.kind == kind,
                incidents.subject == subject,
                incidents.closed_at.is_(None),
            )
            .values(revision=incidents.revision + int(news), **values)
        )
        with self._write() as connection:
            return connection.execute(statement).rowcount == 1

    def open_incidents(self) -> list[Incident]:
        """Return the incidents that are open, oldest first."""
        incidents = tables.incidents.c
        query = (
            select(*columns_of(tables.incidents))
            .where(incidents.tenant == self.tenant, incidents.closed_at.is_(None))
            .order_by(incidents.id)
        )
        return [Incident(**row) for row in self._read(query)]

    def claim_delivery(self, channel: str, now: datetime, lease: timedelta) -> Delivery | None:
        """Take the oldest incident that a channel has to tell, or None without any.

        Nobody else gets it while the lease lasts; whoever claims it then repeats the message.

        Args:
            channel: name of the way out.
            now: the present.
            lease: time in which `record_delivery` is expected.
        """
        incidents, made = tables.incidents, tables.deliveries
        query = (
            self._deliveries(channel)
            .where(
                incidents.c.revision > func.coalesce(made.c.told, 0),
                or_(made.c.next_at.is_(None), made.c.next_at <= now),
                or_(
                    incidents.c.closed_at.is_(None),
                    incidents.c.closed_at > now - OLD_NEWS,
                    made.c.attempts > 0,
                ),
            )
            .limit(1)
        )
        with self._write() as connection:
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            found = _delivery(row, channel)
            values = {"told": found.told, "attempts": found.attempts, "next_at": now + lease}
            connection.execute(
                self._insert(made)
                .values(
                    tenant=self.tenant, incident_id=found.incident.id, channel=channel, **values
                )
                .on_conflict_do_update(
                    index_elements=["tenant", "incident_id", "channel"], set_=values
                )
            )
        return found

    def record_delivery(self, delivery: Delivery) -> None:
        """Write down what became of a claimed delivery."""
        made = tables.deliveries
        names = ("told", "attempts", "next_at", "reason")
        statement = (
            update(made)
            .where(
                made.c.tenant == self.tenant,
                made.c.incident_id == delivery.incident.id,
                made.c.channel == delivery.channel,
            )
            .values({name: getattr(delivery, name) for name in names})
        )
        with self._write() as connection:
            connection.execute(statement)

    def failed_deliveries(self, channel: str, since: datetime) -> list[Delivery]:
        """Return what a channel could not tell, of incidents open or closed since an instant."""
        incidents = tables.incidents
        query = self._deliveries(channel).where(
            tables.deliveries.c.reason.is_not(None),
            or_(incidents.c.closed_at.is_(None), incidents.c.closed_at > since),
        )
        return [_delivery(row, channel) for row in self._read(query)]

    def _deliveries(self, channel: str) -> Select[Any]:
        """Every incident beside its delivery by one channel, oldest first."""
        incidents, made = tables.incidents, tables.deliveries
        here = and_(
            made.c.tenant == incidents.c.tenant,
            made.c.incident_id == incidents.c.id,
            made.c.channel == channel,
        )
        return (
            select(
                *columns_of(incidents), made.c.told, made.c.attempts, made.c.next_at, made.c.reason
            )
            .select_from(incidents.outerjoin(made, here))
            .where(incidents.c.tenant == self.tenant)
            .order_by(incidents.c.id)
        )


def _delivery(row: RowMapping, channel: str) -> Delivery:
    return Delivery(
        incident=Incident(**{field.name: row[field.name] for field in fields(Incident)}),
        channel=channel,
        told=row["told"] or 0,
        attempts=row["attempts"] or 0,
        next_at=row["next_at"],
        reason=row["reason"],
    )
