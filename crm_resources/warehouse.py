"""The warehouse: one DuckDB file per tenant and environment, behind one small interface.

What belongs here: opening the file safely (lock, settings, migrations), transactions, and the
snapshots published from it. What a table means belongs to the assets, and its DDL to the numbered
SQL files of the migrations folder.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import polars as pl
import pyarrow as pa
from dagster_duckdb import DuckDBResource
from duckdb import DuckDBPyConnection
from pydantic import Field

from crm_resources.locks import hold
from crm_resources.serving import put

Frame: TypeAlias = pl.DataFrame | pa.Table
Params: TypeAlias = Sequence[object] | Mapping[str, object] | None

_TABLE = re.compile(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*")
_MIGRATION = re.compile(r"(\d{4})_(\w+)\.sql")
_LEDGER = """
    CREATE SCHEMA IF NOT EXISTS meta;
    CREATE TABLE IF NOT EXISTS meta.migrations (
        version INTEGER NOT NULL, name VARCHAR NOT NULL, applied_at TIMESTAMPTZ NOT NULL
    )
"""
# Errors that speak of SQL and of the machine; every other one can quote a value of a row.
_WITHOUT_VALUES = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.InterruptException,
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.ParserException,
    duckdb.PermissionException,
)


class BadValueError(RuntimeError):
    """DuckDB refused a value; the message names the kind of error and the statement only."""


class NewerWarehouseError(RuntimeError):
    """The warehouse was written by a newer version of this program."""


class Transaction:
    """What may be done between BEGIN and COMMIT.

    Frames are passed by keyword and visible to that one statement under that name. Tables are
    written `layer.name`. A statement that failed spoils its transaction: nothing is committed.
    """

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection

    def execute(self, sql: str, params: Params = None, **frames: Frame) -> None:
        """Run one statement, with `?` or `$name` parameters."""
        with _registered(self._connection, frames):
            _run(self._connection, sql, params)

    def read(self, sql: str, params: Params = None, **frames: Frame) -> pl.DataFrame:
        """Return the rows of a SELECT; instants are aware, in the warehouse's time zone."""
        with _registered(self._connection, frames), _values_hidden(sql):
            return self._connection.sql(sql, params=params).pl()

    def scalar(self, sql: str, params: Params = None, **frames: Frame) -> Any:
        """Return the first column of the first row, or None without rows."""
        with _registered(self._connection, frames):
            rows = _run(self._connection, sql, params)
        return rows[0][0] if rows else None

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        return int(self.scalar(f"SELECT count(*) FROM {_table(table)}"))

    def append(self, table: str, frame: Frame) -> int:
        """Insert a frame, columns matched by name, and return how many rows it had."""
        return int(self.scalar(f"INSERT INTO {_table(table)} BY NAME FROM frame", frame=frame))

    def replace_slice(self, table: str, frame: Frame, where: Mapping[str, object]) -> int:
        """Replace the rows that equal every key of `where`, and return how many came in.

        Args:
            table: The table to write.
            frame: The new rows, all of them inside the slice; none empties the slice.
            where: Column → value of the slice; not empty, values not null.

        Raises:
            ValueError: `where` is no slice, or rows of the frame lie outside it, where no later
                replacement would find them.
        """
        if not where or None in where.values():
            raise ValueError(f"{table}: a fatia precisa de ao menos uma coluna com valor.")
        inside = " AND ".join(f"{_quote(key)} = ?" for key in where)
        values = list(where.values())
        self.execute(f"DELETE FROM {_table(table)} WHERE {inside}", values)
        inserted = self.append(table, frame)
        found = self.scalar(f"SELECT count(*) FROM {_table(table)} WHERE {inside}", values)
        if found != inserted:
            raise ValueError(
                f"{table}: {inserted - found} linhas ficariam fora da fatia ({', '.join(where)})."
            )
        return inserted

    def replace_table(
        self, table: str, source: Frame | str, params: Params = None, **frames: Frame
    ) -> int:
        """Write the whole table anew, with its columns, and return how many rows it has.

        Args:
            table: The table to write; its schema is created when missing.
            source: A frame, or a SELECT, which may read the table it replaces.
            params: Parameters of the SELECT.
            frames: Frames the SELECT reads.
        """
        if not isinstance(source, str):
            source, frames = "FROM frame", {"frame": source}
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {_table(table).split('.')[0]}")
        statement = f"CREATE OR REPLACE TABLE {_table(table)} AS {source}"
        return int(self.scalar(statement, params, **frames))


class Session:
    """The warehouse, held for several transactions, one after the other.

    Attributes:
        outside: runs statements between transactions, each of them one of its own: temporary
            tables over what is committed. DuckDB reads a table that was made in the running
            transaction with one thread only, so that large ones are better made here.
    """

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection
        self.outside = Transaction(connection)

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """Open the next transaction: committed when the block ends, else rolled back."""
        with _transaction(self._connection):
            yield Transaction(self._connection)


class Warehouse(DuckDBResource):
    """The DuckDB file of one tenant: one writer at a time, across processes.

    Every method opens the file, works in one short transaction and closes it again. Hold none of
    them over a download.
    """

    migrations: str = Field(description="Folder of the numbered SQL files, 0001_name.sql …")
    timezone: str = Field(default="America/Sao_Paulo", description="Time zone of the tenant")
    memory_limit: str = Field(default="4GB", description="Memory DuckDB may use")
    threads: int = Field(default=2, description="Threads DuckDB may use")
    lock_wait_seconds: float = Field(default=600, description="Wait for another holder; 0: none")

    @property
    def path(self) -> Path:
        """The absolute path of the database file; its folder is the tenant's."""
        return Path(self.database).resolve()

    @property
    def lock_path(self) -> Path:
        """The lock file, for `crm_resources.locks.holder`."""
        return self.path.with_name(f"{self.path.name}.lock")

    @contextmanager
    def write(self, purpose: str) -> Iterator[Transaction]:
        """Open a transaction: committed when the block ends, rolled back on any exception.

        Args:
            purpose: Shown to whoever is refused meanwhile; no personal data.

        Raises:
            Busy: Another process held the warehouse longer than `lock_wait_seconds`.
            NewerWarehouseError: The file has migrations this program does not know.
            BadValueError: A value did not fit its column.
        """
        with self.session(purpose) as session, session.begin() as tx:
            yield tx

    @contextmanager
    def session(self, purpose: str) -> Iterator[Session]:
        """Hold the warehouse for several transactions; as `write` otherwise."""
        with self.get_connection(purpose) as connection:
            yield Session(connection)

    def read(self, sql: str, params: Params = None) -> pl.DataFrame:
        """Return the rows of a SELECT, read in a short read-only transaction."""
        with (
            self.get_connection("leitura") as connection,
            _transaction(connection, "BEGIN TRANSACTION READ ONLY"),
        ):
            return Transaction(connection).read(sql, params)

    def publish(
        self,
        path: Path,
        tables: Mapping[str, str],
        indexes: Mapping[str, Sequence[str]] | None = None,
    ) -> dict[str, int]:
        """Write a snapshot file from one state of the warehouse; return the rows per table.

        It appears under its name only when complete and on disk; `serving.point` makes it current.

        Args:
            path: The new file, inside the tenant's folder; a name is never used twice, since a
                reader may still have the old file open.
            tables: Table name in the snapshot (`layer.name`) → the SELECT that fills it; ORDER BY
                is kept.
            indexes: Table name in the snapshot → columns, one index each.

        Raises:
            FileExistsError: The name was published before.
        """
        path = path.resolve()
        draft = path.with_name(f".{path.name}.tmp")
        rows: dict[str, int] = {}
        with self.get_connection(f"publicação de {path.name}") as connection:
            if path.exists():
                raise FileExistsError(f"{path.name} já foi publicado; use um nome novo.")
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for leftover in path.parent.glob(".*.duckdb.tmp*"):
                leftover.unlink()
            _run(connection, f"ATTACH {_text(draft)} AS _snapshot")
            for table, query in tables.items():
                name = f"_snapshot.{_table(table)}"
                _run(connection, f"CREATE SCHEMA IF NOT EXISTS {name.rpartition('.')[0]}")
                created = _run(connection, f"CREATE TABLE {name} AS {query}")
                rows[table] = created[0][0]
                for column in (indexes or {}).get(table, ()):
                    index = _quote(f"{table}.{column}")
                    _run(connection, f"CREATE INDEX {index} ON {name} ({_quote(column)})")
            _run(connection, "CHECKPOINT _snapshot")
            _run(connection, "DETACH _snapshot")
            put(draft, path)
        return rows

    @contextmanager
    def get_connection(self, purpose: str = "conexão direta") -> Iterator[DuckDBPyConnection]:
        """Open the migrated warehouse under its lock, without a transaction; `write` is better."""
        with hold(self.lock_path, purpose, self.lock_wait_seconds), ExitStack() as session:
            connection = session.enter_context(self._session())
            applied = {row[0] for row in _run(connection, "SELECT version FROM meta.migrations")}
            known = _migrations(Path(self.migrations))
            newest = max(applied, default=0)
            if not applied <= known.keys():
                raise NewerWarehouseError(
                    f"{self.path.name} está na versão {newest} e este programa conhece até a "
                    f"{max(known, default=0)}: atualize o programa."
                )
            pending = sorted(known.keys() - applied)
            if applied and pending:
                session.close()
                self._back_up(newest)
                connection = session.enter_context(self._session())
            for version in pending:
                _apply(connection, version, known[version])
            yield connection

    @contextmanager
    def _session(self) -> Iterator[DuckDBPyConnection]:
        """Connect with the settings in place and nothing else on the machine in reach."""
        spill = self.path.parent / "tmp"
        shutil.rmtree(spill, ignore_errors=True)  # what a killed process spilled
        if not self.path.exists():
            self._create()
        config = {"custom_user_agent": "dagster", **self.connection_config}
        connection = duckdb.connect(self.path, config=config)
        try:
            for setting in (
                f"SET TimeZone = {_text(self.timezone)}",
                f"SET memory_limit = {_text(self.memory_limit)}",
                f"SET threads = {self.threads}",
                f"SET temp_directory = {_text(spill)}",
                f"SET allowed_directories = [{_text(f'{self.path.parent}/')}]",
                "SET enable_external_access = false",
                "SET lock_configuration = true",
                _LEDGER,
            ):
                _run(connection, setting)
            yield connection
        finally:
            connection.close()

    def _create(self) -> None:
        """Create the file whole: DuckDB refuses one whose creation was cut short."""
        draft = self.path.with_name(f".{self.path.name}.new")
        draft.unlink(missing_ok=True)
        duckdb.connect(draft).close()
        put(draft, self.path)

    def _back_up(self, version: int) -> None:
        """Copy the closed file to `backups/` before its upgrade."""
        folder = self.path.parent / "backups"
        folder.mkdir(mode=0o700, exist_ok=True)
        draft = folder / ".copy.tmp"
        shutil.copyfile(self.path, draft)
        stem = f"{self.path.stem}.v{version:04d}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        put(draft, folder / f"{stem}.duckdb")


def _run(connection: DuckDBPyConnection, sql: str, params: Params = None) -> list[tuple[Any, ...]]:
    """Execute and drain a statement, which frees the connection in DuckDB 1.5 and 2.0 alike."""
    with _values_hidden(sql):
        return connection.execute(sql, params).fetchall()


@contextmanager
def _transaction(connection: DuckDBPyConnection, begin: str = "BEGIN") -> Iterator[None]:
    _run(connection, begin)
    try:
        yield
        try:
            connection.execute("SELECT 1").fetchall()
        except duckdb.TransactionException:  # COMMIT would roll back and say nothing
            raise RuntimeError("Um comando da transação falhou: nada foi gravado.") from None
        _run(connection, "COMMIT")
    except BaseException:
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _registered(connection: DuckDBPyConnection, frames: Mapping[str, Frame]) -> Iterator[None]:
    try:
        for name, frame in frames.items():
            connection.register(name, frame)
        yield
    finally:
        for name in frames:
            connection.unregister(name)


@contextmanager
def _values_hidden(sql: str) -> Iterator[None]:
    try:
        yield
    except _WITHOUT_VALUES:
        raise
    except duckdb.Error as error:
        statement = re.sub("'[^']*'", "'…'", " ".join(sql.split()))[:100]
        raise BadValueError(
            f"{type(error).__name__} em «{statement}»: "
            "o detalhe não é mostrado porque pode citar um dado pessoal."
        ) from None


def _migrations(folder: Path) -> dict[int, Path]:
    """List the numbered SQL files by version."""
    files: dict[int, Path] = {}
    for file in folder.glob("*.sql"):
        match = _MIGRATION.fullmatch(file.name)
        if match is None or int(match[1]) in files:
            raise ValueError(f"{file.name}: o nome precisa ser NNNN_nome.sql, com número único.")
        files[int(match[1])] = file
    return files


def _apply(connection: DuckDBPyConnection, version: int, file: Path) -> None:
    """Run one migration and record it, in one transaction."""
    record = "INSERT INTO meta.migrations VALUES (?, ?, now())"
    with _transaction(connection):
        script = file.read_text(encoding="utf-8")
        _run(connection, f"{script}\n;{record}", [version, file.stem.partition("_")[2]])


def _table(table: str) -> str:
    if _TABLE.fullmatch(table) is None:
        raise ValueError(f"{table!r} não é um nome de tabela da forma camada.nome.")
    return ".".join(_quote(part) for part in table.split("."))


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
