"""Tables and records of the operations store, in constructs SQLite and PostgreSQL share.

Every table has a `tenant` column. A change here needs a migration in `migrations/versions`, and
`VERSION` names the newest one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

VERSION = "0003"

LoadStatus = Literal["received", "landed", "refused", "undone"]
EventState = Literal["pending", "processed", "ignored", "failed", "dead"]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was received of a source: one slice or file, and what became of it.

    Instants are aware. `id` is given by the store.
    """

    source: str
    slice: str
    status: LoadStatus
    content_sha256: str | None = None
    file_name: str | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None
    rows: int = 0
    rejected: int = 0
    complete: bool = False
    verified: bool = False
    reason: str | None = None
    run_id: str | None = None
    at: datetime = field(default_factory=_now)
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a person or the system decided, said once per idempotency key.

    Instants are aware. `id` is given by the store.
    """

    kind: str
    idempotency_key: str
    customer_id: str | None = None
    day: date | None = None
    email_key: str | None = None
    phone_key: str | None = None
    channel: str | None = None
    purpose: str | None = None
    payload: Mapping[str, object] | None = None
    actor: str | None = None
    reason: str | None = None
    at: datetime = field(default_factory=_now)
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that went wrong and stays open until it is closed.

    `revision` grows with everything worth telling: a new cause, the end.
    """

    id: int
    kind: str
    subject: str
    detail: str
    opened_at: datetime
    closed_at: datetime | None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How far one channel has told one incident.

    Attributes:
        incident: as it stands now.
        channel: name of the way out.
        told: newest revision that was sent or given up; 0 for none.
        attempts: failed ones since then.
        next_at: not to be tried before.
        reason: why the last attempt failed.
    """

    incident: Incident
    channel: str
    told: int = 0
    attempts: int = 0
    next_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """A file of people that was made (rules 7.3).

    Attributes:
        kind: which list it is of.
        destination: where it went: the file, below the tenant's output folder.
        filter: how its people were chosen.
        customer_ids: who is in it.
        actor: who asked for it.
        at: when, aware.
        id: given by the store.
    """

    kind: str
    destination: str
    filter: Mapping[str, str]
    customer_ids: Sequence[str] = field(repr=False)
    actor: str
    at: datetime = field(default_factory=_now)
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEvent:
    """Something that was posted to us, and what became of it.

    Attributes:
        kind: who posts: `hotmart` or `manychat`.
        event_key: says which events are the same one, within tenant and kind.
        event: the event's name as it was sent.
        version: of the sender's format.
        content_type: as it was sent.
        body: the text as it was received, without the sender's token; the fields of a form as JSON.
        event_at: when the sender says it happened, aware.
        received_at: when it came, aware.
        state: how far it is.
        attempts: how often somebody tried to process it.
        next_at: not to be tried before.
        processed_at: when it was processed or ignored.
        error: why the last attempt failed, or why it was ignored.
        id: given by the store; they grow in the order of reception.
    """

    kind: str
    event_key: str
    event: str | None = None
    version: str | None = None
    content_type: str | None = None
    body: str = field(repr=False)
    event_at: datetime | None = None
    received_at: datetime = field(default_factory=_now)
    state: EventState = "pending"
    attempts: int = 0
    next_at: datetime | None = None
    processed_at: datetime | None = None
    error: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Posts that were refused: how many of a kind came from one address."""

    kind: str
    address: str
    count: int
    first_at: datetime
    last_at: datetime


class Instant(TypeDecorator[datetime]):
    """An instant: aware in, aware UTC out, whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a datetime without a zone and give the others to the database in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a data precisa de fuso horário")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Id = BigInteger().with_variant(Integer, "sqlite")
"""A number given once and never again; each conflict of PostgreSQL uses one up."""

metadata = MetaData()

loads = Table(
    "loads",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("source", String, nullable=False),
    Column("slice", String, nullable=False),
    Column("content_sha256", String),
    Column("file_name", String),
    Column("window_start", Instant),
    Column("window_end", Instant),
    Column("rows", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("reason", Text),
    Column("run_id", String),
    Column("at", Instant, nullable=False),
    CheckConstraint(
        "status IN ('received', 'landed', 'refused', 'undone')", name="ck_loads_status"
    ),
    Index("ix_loads_slice", "tenant", "source", "slice", "id"),
    Index("ix_loads_content", "tenant", "source", "content_sha256"),
    sqlite_autoincrement=True,
)

actions = Table(
    "actions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("idempotency_key", String, nullable=False),
    Column("customer_id", String),
    Column("day", Date),
    Column("email_key", String),
    Column("phone_key", String),
    Column("channel", String),
    Column("purpose", String),
    Column("payload", JSON(none_as_null=True)),
    Column("actor", String),
    Column("reason", Text),
    Column("at", Instant, nullable=False),
    UniqueConstraint("tenant", "idempotency_key", name="uq_actions_idempotency_key"),
    Index("ix_actions_id", "tenant", "id"),
    sqlite_autoincrement=True,
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("revision", Integer, nullable=False),
    Index(
        "uq_incidents_open",
        "tenant",
        "kind",
        "subject",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("incident_id", Id, nullable=False),
    Column("channel", String, nullable=False),
    Column("told", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant),
    Column("reason", Text),
    UniqueConstraint("tenant", "incident_id", "channel", name="uq_deliveries_channel"),
    sqlite_autoincrement=True,
)

exports = Table(
    "exports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("destination", String, nullable=False),
    Column("filter", JSON, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("customer_ids", JSON, nullable=False),
    Column("actor", String, nullable=False),
    Column("at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("tag", String, nullable=False),
    Column("at", Instant, nullable=False),
    UniqueConstraint("tenant", "tag", name="uq_tombstones_tag"),
    sqlite_autoincrement=True,
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("event_key", String, nullable=False),
    Column("event", String),
    Column("version", String),
    Column("content_type", String),
    Column("body", Text, nullable=False),
    Column("event_at", Instant),
    Column("received_at", Instant, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant),
    Column("processed_at", Instant),
    Column("error", Text),
    CheckConstraint(
        "state IN ('pending', 'processed', 'ignored', 'failed', 'dead')", name="ck_inbox_state"
    ),
    UniqueConstraint("tenant", "kind", "event_key", name="uq_inbox_event_key"),
    Index("ix_inbox_state", "tenant", "kind", "state", "id"),
    sqlite_autoincrement=True,
)

refusals = Table(
    "refusals",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("address", String, nullable=False),
    Column("count", Integer, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    UniqueConstraint("tenant", "kind", "address", name="uq_refusals_address"),
    sqlite_autoincrement=True,
)
