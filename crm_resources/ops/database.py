"""How a part of the operations store reaches its database: one tenant, short transactions.

What belongs here: the connection (an SQLite file in WAL mode, or a PostgreSQL address), the write
lock, and the upgrade of the database when it is opened.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    NullPool,
    RowMapping,
    Select,
    Table,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError

from crm_resources.ops import tables

MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_SECONDS = 30


class BadRecordError(RuntimeError):
    """A record breaks a constraint; the message never shows its values."""


class NewerStoreError(RuntimeError):
    """The database was written by a newer version of this program."""


class Database:
    """The database of one tenant's operations store.

    Safe from several threads and processes. A row is on disk when its transaction ends. Instants
    go in aware and come out in UTC.
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
        self._engine = _engine(url_or_path)
        self._upgrade()

    def close(self) -> None:
        """Close idle connections; SQLite keeps none, and a closed store may be used again."""
        self._engine.dispose()

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


def columns_of(table: Table) -> list[Column[Any]]:
    """The columns of a table that a record has: all but the tenant."""
    return [column for column in table.c if column.name != "tenant"]


def _engine(url_or_path: str | Path) -> Engine:
    """Build the engine of an SQLite file's path or of an SQLAlchemy address.

    A file is private to its owner, in WAL mode, one connection a transaction.
    """
    if isinstance(url_or_path, str) and "://" in url_or_path:
        url = make_url(url_or_path)
    else:
        url = URL.create("sqlite", database=str(url_or_path))
    if url.get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True)
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
