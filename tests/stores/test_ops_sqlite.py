"""The operations store as one SQLite file: private, durable, and quick to open."""

import stat
import subprocess
import sys

import pytest
from ops_samples import action, sql

from crm_resources.ops import OpsStore, StoreUnavailableError, tables
from crm_resources.ops import database as module


@pytest.fixture
def path(tmp_path):
    return tmp_path / "acme" / "ops.sqlite"


@pytest.fixture
def store(path):
    return OpsStore(path, "acme")


def test_folder_and_files_are_private(store, path):
    with store._engine.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM loads").fetchall()
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"ops.sqlite": 0o600, "ops.sqlite-wal": 0o600, "ops.sqlite-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_every_connection_has_the_durable_settings(store):
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
    with store._engine.connect() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}
    assert found == expected


def test_an_address_names_the_same_file_as_its_path(store, path):
    store.append_actions([action("a")])
    assert OpsStore(f"sqlite:///{path}", "acme").last_action_id() == store.last_action_id()


def test_the_web_app_starts_without_dagster_and_without_alembic(store, path):
    code = (
        "import sys; from crm_resources.ops import OpsStore; OpsStore(sys.argv[1], 'acme').loads();"
        "print([name for name in ('dagster', 'alembic', 'duckdb') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_every_table_numbers_its_rows_without_repeating(store, path):
    created = str(sql(str(path), "SELECT sql FROM sqlite_master"))
    assert created.count("INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT") == len(
        [table for table in tables.metadata.tables.values() if "id" in table.c]
    )


def test_a_writer_does_not_wait_for_ever(store, path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0)
    with store._write(), pytest.raises(StoreUnavailableError, match="ocupado por outra gravação"):
        OpsStore(path, "acme").append_actions([action("a")])
    assert store.append_actions([action("a")]) == 1


def test_what_is_no_database_is_named_and_left_alone(path):
    path.parent.mkdir()
    path.write_text("nada disso" * 100)
    with pytest.raises(StoreUnavailableError, match="não é um banco SQLite"):
        OpsStore(path, "acme")
    assert path.read_text() == "nada disso" * 100
