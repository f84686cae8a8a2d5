import os
import shutil
import signal
from pathlib import Path

import duckdb
import polars as pl
import pytest

from crm_resources import serving
from crm_resources import warehouse as module
from crm_resources.warehouse import Warehouse

pytestmark = pytest.mark.slow

TABLES = {"gold.sales": "SELECT id FROM bronze.sales ORDER BY id"}


@pytest.fixture
def folder(warehouse):
    with warehouse.write("teste") as tx:
        tx.append("bronze.sales", pl.DataFrame({"slice": "2025-01", "id": [1, 2, 3]}))
    return warehouse.path.parent / "serving"


@pytest.fixture
def upgrade(folder, migrations):
    (migrations / "0002_add_note.sql").write_text("ALTER TABLE bronze.sales ADD COLUMN note INT")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(moment, prefix):
    """Kill this process before or after the first statement that begins with the prefix."""
    run = module._run

    def run_or_die(connection, sql, params=None):
        here = sql.startswith(prefix)
        if here and moment == "before":
            die()
        rows = run(connection, sql, params)
        if here:
            die()
        return rows

    module._run = run_or_die


def kill_before_the_name():
    module.put = lambda draft, target: die()


def kill_while_copying():
    def copy_half(source, target):
        content = Path(source).read_bytes()
        Path(target).write_bytes(content[: len(content) // 2])
        die()

    shutil.copyfile = copy_half


def replace(options, trap, *at):
    trap(*at)
    with Warehouse(**options).write("teste") as tx:
        new = pl.DataFrame({"slice": "2025-01", "id": [8, 9]})
        tx.replace_slice("bronze.sales", new, {"slice": "2025-01"})


def publish(options, trap, *at):
    trap(*at)
    warehouse = Warehouse(**options)
    warehouse.publish(warehouse.path.parent / "serving" / "b.duckdb", TABLES)


def open_it(options, trap, *at):
    trap(*at)
    Warehouse(**options).read("SELECT 1")


def ids(warehouse):
    return warehouse.read("SELECT id FROM bronze.sales ORDER BY id")["id"].to_list()


def look(path, sql):
    """Read a file as any other program would, without migrating it."""
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def backups(warehouse):
    return list((warehouse.path.parent / "backups").glob("*.duckdb"))


@pytest.mark.parametrize(
    ("moment", "prefix", "expected"),
    [
        ("after", "BEGIN", [1, 2, 3]),
        ("after", "DELETE", [1, 2, 3]),
        ("after", "INSERT", [1, 2, 3]),
        ("before", "COMMIT", [1, 2, 3]),
        ("after", "COMMIT", [8, 9]),
    ],
)
def test_a_write_leaves_the_old_rows_or_the_new(
    children, warehouse, warehouse_options, folder, moment, prefix, expected
):
    children.killed(replace, warehouse_options, kill_at, moment, prefix)
    assert ids(warehouse) == expected


@pytest.mark.parametrize(
    ("trap", "at"),
    [
        (kill_at, ("after", "ATTACH")),
        (kill_at, ("after", "CREATE TABLE _snapshot")),
        (kill_at, ("before", "CHECKPOINT")),
        (kill_at, ("before", "DETACH")),
        (kill_before_the_name, ()),
    ],
)
def test_publishing_leaves_the_last_snapshot(
    children, warehouse, warehouse_options, folder, trap, at
):
    warehouse.publish(folder / "a.duckdb", TABLES)
    serving.point(folder / "current", "a.duckdb")
    children.killed(publish, warehouse_options, trap, *at)
    assert [file.name for file in folder.glob("*.duckdb")] == ["a.duckdb"]
    assert len(look(serving.snapshot(folder / "current"), "FROM gold.sales")) == 3
    warehouse.publish(folder / "b.duckdb", TABLES)
    assert {file.name for file in folder.iterdir()} == {"a.duckdb", "b.duckdb", "current"}
    assert ids(warehouse) == [1, 2, 3]


def test_a_half_copy_is_no_backup_and_stops_the_upgrade(
    children, warehouse, warehouse_options, upgrade
):
    children.killed(open_it, warehouse_options, kill_while_copying)
    assert backups(warehouse) == []
    assert look(warehouse.path, "SELECT max(version) FROM meta.migrations") == [(1,)]
    assert ids(warehouse) == [1, 2, 3]
    (copy,) = backups(warehouse)
    assert len(look(copy, "FROM bronze.sales")) == 3
    assert look(warehouse.path, "SELECT max(version) FROM meta.migrations") == [(2,)]


@pytest.mark.parametrize(
    ("moment", "version"), [("before", 1), ("after", 2)], ids=["before commit", "after commit"]
)
def test_a_migration_is_there_whole_or_not_at_all(
    children, warehouse, warehouse_options, upgrade, moment, version
):
    children.killed(open_it, warehouse_options, kill_at, moment, "COMMIT")
    assert look(warehouse.path, "SELECT max(version) FROM meta.migrations") == [(version,)]
    columns = [row[0] for row in look(warehouse.path, "DESCRIBE bronze.sales")]
    assert ("note" in columns) == (version == 2)
    assert ids(warehouse) == [1, 2, 3]


def test_a_file_half_created_does_not_exist(children, warehouse, warehouse_options):
    children.killed(open_it, warehouse_options, kill_before_the_name)
    assert not warehouse.path.exists()
    assert ids(warehouse) == []


def test_a_backup_holds_what_a_killed_process_had_committed(
    children, warehouse, warehouse_options, folder, migrations
):
    children.killed(replace, warehouse_options, kill_at, "after", "COMMIT")
    (migrations / "0002_add_note.sql").write_text("ALTER TABLE bronze.sales ADD COLUMN note INT")
    assert ids(warehouse) == [8, 9]
    (copy,) = backups(warehouse)
    assert look(copy, "SELECT id FROM bronze.sales ORDER BY id") == [(8,), (9,)]
