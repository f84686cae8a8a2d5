"""The operations store of one tenant: loads, actions and incidents.

What belongs here: short transactions over `tables`, every one filtered by the tenant, and the
upgrade of the database when it is opened. SQLite in WAL mode by default; a PostgreSQL address
works through the same statements.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from typing import Any

import polars as pl
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    NullPool,
    RowMapping,
    Select,
    Table,
    Text,
    cast,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError

from crm_resources.ops import tables
from crm_resources.ops.tables import Action, Incident, Load

__all__ = ["Action", "BadRecordError", "Incident", "Load", "NewerStoreError", "OpsStore"]

MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_SECONDS = 30

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


class BadRecordError(RuntimeError):
    """A record breaks a constraint; the message never shows its values."""


class NewerStoreError(RuntimeError):
    """The database was written by a newer version of this program."""


class OpsStore:
    """What is durable at once: what was landed, what was decided, what went wrong.

    Safe from several threads and processes. Each method is one short transaction; a row is on
    disk when the method returns. Instants go in aware and come out in UTC.
    """

    def __init__(self, url_or_path: str | Path, tenant: str) -> None:
        """Open the store, created or upgraded to this program's version.

        Args:
            url_or_path: Path of the SQLite file, or an SQLAlchemy address
                (`postgresql+psycopg://…`).
            tenant: Slug of the tenant; no row of another is ever seen.

        Raises:
            NewerStoreError: The database has migrations this program does not know.
        """
        self.tenant = tenant
        url = _url(url_or_path)
        self._engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgres(url)
        self._upgrade()

    def close(self) -> None:
        """Close idle connections; SQLite keeps none, and a closed store may be used again."""
        self._engine.dispose()

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
        query = select(*_columns(tables.loads)).where(loads.id.in_(newest))
        if source is not None:
            query = query.where(loads.source == source)
        return [Load(**row) for row in self._read(query.order_by(loads.source, loads.slice))]

    def load_of_content(self, source: str, sha256: str) -> Load | None:
        """Return the latest load of a content, or None if it was never received."""
        loads = tables.loads.c
        query = (
            select(*_columns(tables.loads))
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
        with self._engine.connect() as connection:
            rows = connection.execute(query).fetchall()
        return pl.DataFrame(rows, schema=_ACTION_SCHEMA, orient="row")

    def last_action_id(self) -> int:
        """Return the id of the newest action, 0 without any."""
        actions = tables.actions.c
        query = select(func.max(actions.id)).where(actions.tenant == self.tenant)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar() or 0

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
            )
            .on_conflict_do_nothing(
                index_elements=["tenant", "kind", "subject"],
                index_where=incidents.c.closed_at.is_(None),
            )
            .returning(incidents.c.id)
        )
        with self._write() as connection:
            return connection.execute(statement).scalar() is not None

    def close_incident(self, kind: str, subject: str, at: datetime | None = None) -> bool:
        """Close the open incident of this kind and subject; False if there is none."""
        incidents = tables.incidents
        statement = (
            update(incidents)
            .where(
                incidents.c.tenant == self.tenant,
                incidents.c.kind == kind,
                incidents.c.subject == subject,
                incidents.c.closed_at.is_(None),
            )
            .values(closed_at=at or datetime.now(UTC))
        )
        with self._write() as connection:
            return connection.execute(statement).rowcount == 1

    def open_incidents(self) -> list[Incident]:
        """Return the incidents that are open, oldest first."""
        incidents = tables.incidents.c
        query = (
            select(*_columns(tables.incidents))
            .where(incidents.tenant == self.tenant, incidents.closed_at.is_(None))
            .order_by(incidents.id)
        )
        return [Incident(**row) for row in self._read(query)]

    def _row(self, record: Load | Action) -> dict[str, Any]:
        names = (field.name for field in fields(record) if field.name != "id")
        return {"tenant": self.tenant, **{name: getattr(record, name) for name in names}}

    def _insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        postgres = self._engine.dialect.name == "postgresql"
        return postgresql.insert(table) if postgres else sqlite.insert(table)

    def _read(self, query: Select[Any]) -> Sequence[RowMapping]:
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().all()

    @contextmanager
    def _write(self, scope: str | None = None) -> Iterator[Connection]:
        """Open a transaction that excludes other writers, so that ids become visible in order.

        SQLite excludes all of them; PostgreSQL those of the same scope, the tenant by default.
        """
        try:
            with self._engine.execution_options(writes=True).begin() as connection:
                if connection.dialect.name == "postgresql":
                    key = func.hashtext(f"crm {scope or self.tenant}")
                    connection.execute(select(func.pg_advisory_xact_lock(key)))
                yield connection
        except (IntegrityError, DataError) as error:
            raise BadRecordError(
                f"O registro não foi gravado ({type(error).__name__}); "
                "o conteúdo não é mostrado porque pode ser dado pessoal."
            ) from None

    def _upgrade(self) -> None:
        """Run the pending migrations; processes that open a database together take turns."""
        with self._engine.connect() as connection:
            if _version(connection) == tables.VERSION:
                return
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self._write("upgrade of every tenant") as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError:
                raise NewerStoreError(
                    f"O banco de operações está na versão {_version(connection)} e este programa "
                    f"conhece até a {tables.VERSION}: atualize o programa."
                ) from None


def _url(url_or_path: str | Path) -> URL:
    if isinstance(url_or_path, str) and "://" in url_or_path:
        return make_url(url_or_path)
    return URL.create("sqlite", database=str(url_or_path))


def _postgres(url: URL) -> Engine:
    return create_engine(url, hide_parameters=True)


def _sqlite(url: URL) -> Engine:
    """Build the engine of an SQLite file, private to its owner, one connection a transaction."""
    path = Path(url.database or "")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = create_engine(url, hide_parameters=True, poolclass=NullPool)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: SQLiteConnection, _: object) -> None:
    connection.isolation_level = None  # BEGIN is ours
    for pragma in (
        f"busy_timeout = {BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    """Take the write lock at once where one is needed: a later upgrade would not wait for it."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _version(connection: Connection) -> str | None:
    """Return the newest migration applied, or None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _columns(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if column.name != "tenant"]
