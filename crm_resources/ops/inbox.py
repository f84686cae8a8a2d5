"""The part of the operations store that takes what is posted to us, until it is in bronze.

An event is kept as it came and is told apart by its key, so that a second delivery changes nothing.
It is tried at most three times, 1 and 10 minutes (± 20 %) after a failure, and is then dead until
somebody asks for it again. Posts without the right token leave nothing but a count.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    delete,
    func,
    null,
    or_,
    select,
    text,
    update,
)

from crm_resources.ops import tables
from crm_resources.ops.database import Database, columns_of
from crm_resources.ops.tables import EventState, InboxEvent, Instant, Refusal

MAX_ATTEMPTS = 3
DELAYS = (timedelta(minutes=1), timedelta(minutes=10))
"""From a failed attempt to the next one."""

SPREAD = 0.2
"""Share by which a delay is drawn shorter or longer, so that events do not come back together."""

REFUSALS_KEPT = timedelta(days=30)
MAX_ADDRESSES = 1000
OTHERS = "outros"
"""Stands for every address beyond the ones that are told apart."""

ENDED: tuple[EventState, ...] = ("processed", "ignored")
"""States of events that are never tried again; only these leave the inbox."""

_WAITING: tuple[EventState, ...] = ("pending", "failed")
_NAMES = tuple(field.name for field in fields(InboxEvent) if field.name != "id")
_ANEW = {"state": "pending", "attempts": 0, "next_at": None, "processed_at": None, "error": None}
_COUNTED = {"preserve_rowcount": True}

_RECEIVE = text(
    f"INSERT INTO inbox (tenant, {', '.join(_NAMES)}) "
    f"VALUES (:tenant, {', '.join(f':{name}' for name in _NAMES)}) "
    "ON CONFLICT (tenant, kind, event_key) DO NOTHING"
).bindparams(
    *(bindparam(column.name, type_=column.type) for column in tables.inbox.c if column.name != "id")
)
"""As text, which is prepared once; SQLAlchemy prepares a conflict clause of its own each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        id: of the event.
        state: what is said about it; the third failure makes it dead.
        error: why it failed or is ignored; no personal data.
    """

    id: int
    state: Literal["processed", "ignored", "failed"]
    error: str | None = None


class InboxStore(Database):
    """The inbox, and the counter of refusals."""

    def receive(self, events: Sequence[InboxEvent]) -> int:
        """Keep events in one durable transaction and return how many were new.

        Args:
            events: any number; those whose key the tenant already has are ignored.
        """
        if not events:
            return 0
        rows = [
            {"tenant": self.tenant, **{name: getattr(event, name) for name in _NAMES}}
            for event in events
        ]
        with self._write() as connection:
            return connection.execute(_RECEIVE, rows, execution_options=_COUNTED).rowcount

    def due_events(self, kind: str, now: datetime, limit: int) -> list[InboxEvent]:
        """Return the events to be processed now, oldest first.

        Args:
            kind: `hotmart` or `manychat`.
            now: the present; a failed event waits for its time.
            limit: at most so many.
        """
        inbox = tables.inbox.c
        found: list[InboxEvent] = []
        for state in _WAITING:  # each is a walk along the index, however many others there are
            query = (
                select(*columns_of(tables.inbox))
                .where(
                    inbox.tenant == self.tenant,
                    inbox.kind == kind,
                    inbox.state == state,
                    func.coalesce(inbox.next_at, now) <= now,
                )
                .order_by(inbox.id)
                .limit(limit)
            )
            found += [InboxEvent(**row) for row in self._read(query)]
        return sorted(found, key=lambda event: event.id or 0)[:limit]

    def settle(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Write down what became of events, in one transaction.

        Args:
            outcomes: one per event. A failure does not count against an event that was meanwhile
                processed or ignored.
            now: when.
        """
        inbox = tables.inbox.c
        mine = and_(inbox.tenant == self.tenant, inbox.id == bindparam("of_id"))
        ended = (
            update(tables.inbox)
            .where(mine)
            .values(
                state=bindparam("now_state"),
                attempts=inbox.attempts + 1,
                next_at=None,
                processed_at=now,
                error=bindparam("why"),
            )
        )
        failed = (
            update(tables.inbox)
            .where(mine, _is_one_of(_WAITING))
            .values(
                state=case((inbox.attempts + 1 >= MAX_ATTEMPTS, "dead"), else_="failed"),
                attempts=inbox.attempts + 1,
                next_at=case(
                    *(
                        (inbox.attempts == before, bindparam(f"after_{before}", type_=Instant))
                        for before in range(len(DELAYS))
                    ),
                    else_=null(),
                ),
                error=bindparam("why"),
            )
        )
        good = [each for each in outcomes if each.state != "failed"]
        bad = [each for each in outcomes if each.state == "failed"]
        with self._write() as connection:
            if good:
                values = [
                    {"of_id": each.id, "now_state": each.state, "why": each.error} for each in good
                ]
                connection.execute(ended, values)
            if bad:
                connection.execute(
                    failed,
                    [{"of_id": each.id, "why": each.error, **_next_times(now)} for each in bad],
                )

    def events(
        self,
        kind: str | None = None,
        *,
        states: Sequence[EventState] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
    ) -> list[InboxEvent]:
        """Return events for a list, the last received first.

        Args:
            kind: only these.
            states: only these; all by default.
            start: received at this instant or later.
            end: received before it.
            limit: at most so many.
        """
        inbox = tables.inbox.c
        query = select(*columns_of(tables.inbox)).where(inbox.tenant == self.tenant)
        if kind is not None:
            query = query.where(inbox.kind == kind)
        if states:
            query = query.where(_is_one_of(states))
        if start is not None:
            query = query.where(inbox.received_at >= start)
        if end is not None:
            query = query.where(inbox.received_at < end)
        query = query.order_by(inbox.id.desc()).limit(limit)
        return [InboxEvent(**row) for row in self._read(query)]

    def event_counts(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> dict[tuple[str, EventState], int]:
        """Return how many events there are, by kind and state.

        Args:
            start: of those received at this instant or later.
            end: of those received before it.
        """
        inbox = tables.inbox.c
        query = select(inbox.kind, inbox.state, func.count()).where(inbox.tenant == self.tenant)
        if start is not None:
            query = query.where(inbox.received_at >= start)
        if end is not None:
            query = query.where(inbox.received_at < end)
        with self._transaction() as connection:
            rows = connection.execute(query.group_by(inbox.kind, inbox.state)).all()
        return {(kind, state): count for kind, state, count in rows}

    def states_of(self, ids: Sequence[int], kind: str | None = None) -> dict[int, EventState]:
        """Return the state of each of these events that there is.

        Args:
            ids: numbers of events, or of none.
            kind: only events of this kind.
        """
        inbox = tables.inbox.c
        query = select(inbox.id, inbox.state).where(inbox.tenant == self.tenant, inbox.id.in_(ids))
        if kind is not None:
            query = query.where(inbox.kind == kind)
        return {row["id"]: row["state"] for row in self._read(query)}

    def retry_events(self, ids: Sequence[int] | None = None, kind: str | None = None) -> int:
        """Make failed and dead events pending again and return how many there were.

        Args:
            ids: only these; all by default.
            kind: only these.
        """
        inbox = tables.inbox.c
        statement = (
            update(tables.inbox)
            .where(inbox.tenant == self.tenant, _is_one_of(("failed", "dead")))
            .values(_ANEW)
        )
        if kind is not None:
            statement = statement.where(inbox.kind == kind)
        with self._write() as connection:
            if ids is None:
                return connection.execute(statement).rowcount
            one = statement.where(inbox.id == bindparam("of_id"))
            return sum(connection.execute(one, {"of_id": each}).rowcount for each in ids)

    def replay(self, kind: str, start: datetime, end: datetime) -> int:
        """Make every event received in [start, end) pending again; returns how many there were."""
        inbox = tables.inbox.c
        statement = (
            update(tables.inbox)
            .where(
                inbox.tenant == self.tenant,
                inbox.kind == kind,
                inbox.state != "pending",
                inbox.received_at >= start,
                inbox.received_at < end,
            )
            .values(_ANEW)
        )
        with self._write() as connection:
            return connection.execute(statement).rowcount

    def processed_before(self, instant: datetime, limit: int = 1000) -> list[InboxEvent]:
        """Return events that were processed or ignored, received before an instant, oldest first.

        Whoever has archived them removes them and asks again until there are none.
        """
        inbox = tables.inbox.c
        query = (
            select(*columns_of(tables.inbox))
            .where(
                inbox.tenant == self.tenant,
                _is_one_of(ENDED),
                inbox.received_at < instant,
            )
            .order_by(inbox.id)
            .limit(limit)
        )
        return [InboxEvent(**row) for row in self._read(query)]

    def remove(self, ids: Sequence[int]) -> int:
        """Remove events that were processed or ignored; others stay. Returns how many went."""
        if not ids:
            return 0
        inbox = tables.inbox.c
        statement = delete(tables.inbox).where(
            inbox.tenant == self.tenant, _is_one_of(ENDED), inbox.id == bindparam("of_id")
        )
        rows = [{"of_id": each} for each in ids]
        with self._write() as connection:
            return connection.execute(statement, rows, execution_options=_COUNTED).rowcount

    def count_refusals(self, kind: str, counts: Mapping[str, int], at: datetime) -> None:
        """Add up refused posts, and forget those of more than 30 days ago.

        Args:
            kind: `hotmart` or `manychat`.
            counts: how many, by the sender's address.
            at: when.
        """
        refusals = tables.refusals.c
        mine = and_(refusals.tenant == self.tenant, refusals.kind == kind)
        statement = self._insert(tables.refusals)
        statement = statement.on_conflict_do_update(
            index_elements=["tenant", "kind", "address"],
            set_={
                "count": refusals.count + statement.excluded.count,
                "last_at": statement.excluded.last_at,
            },
        )
        with self._write() as connection:
            connection.execute(
                delete(tables.refusals).where(mine, refusals.last_at < at - REFUSALS_KEPT)
            )
            known = set(connection.scalars(select(refusals.address).where(mine)))
            told: dict[str, int] = {}
            for address, count in counts.items():
                if address not in known and len(known) >= MAX_ADDRESSES:
                    address = OTHERS  # noqa: PLW2901
                known.add(address)
                told[address] = told.get(address, 0) + count
            same = {"tenant": self.tenant, "kind": kind, "first_at": at, "last_at": at}
            rows = [{**same, "address": address, "count": n} for address, n in told.items()]
            connection.execute(statement, rows)

    def refusals(self) -> list[Refusal]:
        """Return who was refused within 30 days, the last one first."""
        refusals = tables.refusals.c
        query = (
            select(*(column for column in columns_of(tables.refusals) if column.name != "id"))
            .where(refusals.tenant == self.tenant)
            .order_by(refusals.last_at.desc(), refusals.id.desc())
        )
        return [Refusal(**row) for row in self._read(query)]


def _is_one_of(states: Sequence[EventState]) -> ColumnElement[bool]:
    return or_(*(tables.inbox.c.state == state for state in states))


def _next_times(now: datetime) -> dict[str, datetime]:
    """When a failed event comes back, by the attempts before this one."""
    share = random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311
    return {f"after_{before}": now + delay * share for before, delay in enumerate(DELAYS)}
