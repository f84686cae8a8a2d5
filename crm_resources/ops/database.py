"""How a part of the operations store reaches its database: one tenant, short transactions.

What belongs here: the connection (an SQLite file in WAL mode, or a PostgreSQL address), the write
lock, and the upgrade of the database when it is opened.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from threading import Lock
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    NullPool,
    QueuePool,
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
from sqlalchemy.exc import ArgumentError, DBAPIError

from crm_resources.ops import tables
from crm_resources.ops.faults import BUSY_SECONDS, StoreUnavailableError, explained

MIGRATIONS = Path(__file__).with_name("migrations")
POSTGRES = "postgresql+psycopg"
_ENCODINGS = {"UTF8", "SQL_ASCII"}
_UPGRADING = Lock()
"""Alembic works for one thread of a process at a time."""

_CONNECTION: dict[str, str | int | None] = {
    "application_name": "crm",
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "tcp_user_timeout": BUSY_SECONDS * 1000,
    "prepare_threshold": None,  # a pooler between us and the server keeps no statement of ours
}
"""How psycopg connects, unless the address says otherwise: no silence is waited for long."""


class NewerStoreError(RuntimeError):
    """The database was written by a newer version of this program."""


class Database:
    """The database of one tenant's operations store.

    Safe from several threads and processes. A row is on disk when its transaction ends. Instants
    go in aware and come out in UTC.
    """

    def __init__(self, url_or_path: str | Path, tenant: str, *, lasting: bool = False) -> None:
        """Open the store, created or upgraded to this program's version.

        Args:
            url_or_path: Path of the SQLite file, or an SQLAlchemy address
                (`postgresql+psycopg://…`).
            tenant: Name of the tenant in this store; no row of another is ever seen.
            lasting: Keep an SQLite file open between transactions, for a process that writes all
                the time. Nobody may put another file in its place meanwhile.

        Raises:
            NewerStoreError: The database has migrations this program does not know.
            StoreUnavailableError: It cannot be reached or used.
        """
        self.tenant = tenant
        self._engine = _engine(url_or_path, lasting=lasting)
        self._upgrade()

    def close(self) -> None:
        """Close idle connections; a closed store may be used again.

        All stores of one PostgreSQL address in a process share them.
        """
        self._engine.dispose()

    def _insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        postgres = self._engine.dialect.name == "postgresql"
        return postgresql.insert(table) if postgres else sqlite.insert(table)

    def _read(self, query: Select[Any]) -> Sequence[RowMapping]:
        with self._transaction() as connection:
            return connection.execute(query).mappings().all()

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[Connection]:
        """Open a transaction; what the database says against it is told in one sentence."""
        try:
            with self._engine.execution_options(writes=writes).begin() as connection:
                yield connection
        except DBAPIError as error:
            raise explained(error) from None

    @contextmanager
    def _write(self, scope: str | None = None) -> Iterator[Connection]:
        """Open a transaction that excludes other writers, so that ids become visible in order.

        SQLite excludes all of them; PostgreSQL those of the same scope, the tenant by default.
        """
        with self._transaction(writes=True) as connection:
            if connection.dialect.name == "postgresql":
                patience = func.set_config("lock_timeout", f"{BUSY_SECONDS}s", True)
                key = func.hashtext(f"crm {scope or self.tenant}")
                connection.execute(select(patience, func.pg_advisory_xact_lock(key)))
            yield connection

    def _upgrade(self) -> None:
        """Run the pending migrations; processes that open a database together take turns."""
        with self._transaction() as connection:
            if _version(connection) == tables.VERSION:
                return
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with _UPGRADING, self._write("upgrade of every tenant") as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError:
                raise _newer(_version(connection)) from None


def probe(address: str) -> str:
    """Say what answers at a PostgreSQL address; nothing is written.

    Raises:
        NewerStoreError: Its tables are of a newer version of this program.
        StoreUnavailableError: Nothing answers, or what does lets nobody in.
    """
    try:
        with _engine(address).connect() as connection:
            server, encoding, version = (
                connection.execute(text("SHOW server_version")).scalar_one(),
                connection.execute(text("SHOW server_encoding")).scalar_one(),
                _version(connection),
            )
    except DBAPIError as error:
        raise explained(error) from None
    if version and version > tables.VERSION:
        raise _newer(version)
    if encoding not in _ENCODINGS:
        raise StoreUnavailableError(
            f"O banco de CRM_OPS_URL está em {encoding}, que não guarda todo nome: crie um com "
            "ENCODING 'UTF8'."
        )
    return f"PostgreSQL {server} em {encoding}, tabelas: {version or 'nenhuma ainda'}"


def columns_of(table: Table) -> list[Column[Any]]:
    """The columns of a table that a record has: all but the tenant."""
    return [column for column in table.c if column.name != "tenant"]


def _engine(url_or_path: str | Path, *, lasting: bool = False) -> Engine:
    """Build the engine of an SQLite file's path, or give that of an SQLAlchemy address.

    A file is private to its owner, in WAL mode, one connection a transaction unless it is lasting.
    """
    if isinstance(url_or_path, str) and "://" in url_or_path:
        url = _parsed(url_or_path)
    else:
        url = URL.create("sqlite", database=str(url_or_path))
    if url.get_backend_name() != "sqlite":
        return _pooled(url.set(drivername=POSTGRES))
    path = Path(url.database or "")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = create_engine(url, hide_parameters=True, poolclass=QueuePool if lasting else NullPool)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _parsed(address: str) -> URL:
    try:
        url: URL | None = make_url(address.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):
        raise StoreUnavailableError(
            "O endereço em CRM_OPS_URL não está bem escrito; na senha, caracteres especiais vão em "
            "código, como %40 em lugar de @."
        )
    return url


@cache
def _pooled(url: URL) -> Engine:
    """The connections of this process to one server, tested before use and never inherited."""
    wanted = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=wanted)
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
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


def _newer(version: str | None) -> NewerStoreError:
    return NewerStoreError(
        f"O banco de operações está na versão {version} e este programa conhece até a "
        f"{tables.VERSION}: atualize o programa."
    )
