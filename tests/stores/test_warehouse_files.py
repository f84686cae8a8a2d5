import os
import stat

import duckdb
import polars as pl
import pytest

from crm_resources import serving
from crm_resources.warehouse import NewerWarehouseError


def stored(warehouse):
    return warehouse.read("SELECT id FROM bronze.sales ORDER BY id")["id"].to_list()


def add(warehouse, *ids):
    with warehouse.write("teste") as tx:
        tx.append("bronze.sales", pl.DataFrame({"id": ids}))


# Migrations


def applied(warehouse):
    return warehouse.read("SELECT version, name FROM meta.migrations ORDER BY version").rows()


def backups(warehouse):
    return sorted((warehouse.path.parent / "backups").glob("*.duckdb"))


def second(migrations):
    (migrations / "0002_add_note.sql").write_text(
        "ALTER TABLE bronze.sales ADD COLUMN note VARCHAR;\n"
        "UPDATE bronze.sales SET note = 'old' -- no semicolon"
    )


def test_migrations_run_once_in_order_and_are_recorded(warehouse, migrations):
    (migrations / "0010_third.sql").write_text("CREATE TABLE gold.c AS FROM gold.b")
    (migrations / "0009_second.sql").write_text("CREATE SCHEMA gold; CREATE TABLE gold.b (id INT);")
    for _ in range(2):
        assert applied(warehouse) == [(1, "first"), (9, "second"), (10, "third")]
    assert not (warehouse.path.parent / "backups").exists()


def test_an_upgrade_keeps_the_rows_and_a_copy_of_the_old_file(warehouse, migrations):
    add(warehouse, 1)
    second(migrations)
    assert warehouse.read("SELECT id, note FROM bronze.sales").rows() == [(1, "old")]
    (copy,) = backups(warehouse)
    assert copy.name.startswith("warehouse.v0001.")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with duckdb.connect(copy, read_only=True) as connection:
        assert connection.execute("SELECT id FROM bronze.sales").fetchall() == [(1,)]


def test_a_failing_migration_leaves_the_version_before_it(warehouse, migrations):
    stored(warehouse)
    second(migrations)
    (migrations / "0003_wrong.sql").write_text("CREATE TABLE bronze.half (a INT); SELECT wrong;")
    for _ in range(2):
        with pytest.raises(duckdb.BinderException):
            stored(warehouse)
    (migrations / "0003_wrong.sql").unlink()
    assert applied(warehouse) == [(1, "first"), (2, "add_note")]
    assert warehouse.read("SELECT * FROM duckdb_tables() WHERE table_name = 'half'").is_empty()


def test_a_newer_warehouse_is_refused_and_untouched(warehouse, migrations):
    second(migrations)
    stored(warehouse)
    (migrations / "0002_add_note.sql").unlink()
    with pytest.raises(NewerWarehouseError, match="na versão 2 e este programa conhece até a 1"):
        stored(warehouse)
    second(migrations)
    assert applied(warehouse) == [(1, "first"), (2, "add_note")]


@pytest.mark.parametrize("name", ["2_x.sql", "0002.sql", "notes.sql", "0001_again.sql"])
def test_migration_names_are_validated(warehouse, migrations, name):
    (migrations / name).write_text("SELECT 1")
    with pytest.raises(ValueError, match=r"NNNN_nome\.sql"):
        stored(warehouse)


# Snapshots

TABLES = {
    "gold.sales": "SELECT id, ordered_at FROM bronze.sales ORDER BY id DESC",
    "meta.snapshot": "SELECT 7 AS last_action_id",
}


@pytest.fixture
def folder(warehouse):
    add(warehouse, 1, 3, 2)
    return warehouse.path.parent / "serving"


def snapshot_rows(path):
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute("SELECT id FROM gold.sales").fetchall()


def test_a_snapshot_holds_the_queries_in_their_order(warehouse, folder):
    path = folder / "a.duckdb"
    assert warehouse.publish(path, TABLES, {"gold.sales": ["id"]}) == {
        "gold.sales": 3,
        "meta.snapshot": 1,
    }
    assert [file.name for file in folder.iterdir()] == ["a.duckdb"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with duckdb.connect(path, read_only=True) as connection:
        assert connection.execute("SELECT id FROM gold.sales").fetchall() == [(3,), (2,), (1,)]
        assert connection.execute("SELECT last_action_id FROM meta.snapshot").fetchall() == [(7,)]
        assert (
            connection.execute("SELECT sql FROM duckdb_indexes()")
            .fetchall()[0][0]
            .endswith("(id);")
        )
        with pytest.raises(duckdb.InvalidInputException):
            connection.execute("DELETE FROM gold.sales")


def test_the_pointer_moves_from_one_whole_snapshot_to_the_next(warehouse, folder):
    pointer = folder / "current"
    assert serving.snapshot(pointer) is None
    warehouse.publish(folder / "a.duckdb", TABLES)
    assert serving.snapshot(pointer) is None
    serving.point(pointer, "a.duckdb")
    assert serving.snapshot(pointer) == folder / "a.duckdb"
    with duckdb.connect(folder / "a.duckdb", read_only=True) as reader:
        with warehouse.write("teste") as tx:
            tx.execute("DELETE FROM bronze.sales")
        warehouse.publish(folder / "b.duckdb", TABLES)
        serving.point(pointer, "b.duckdb")
        assert serving.prune(folder, 1) == ["a.duckdb"]
        assert len(reader.execute("SELECT id FROM gold.sales").fetchall()) == 3
    assert snapshot_rows(serving.snapshot(pointer)) == []
    assert stat.S_IMODE(pointer.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["missing.duckdb", "../acme/warehouse.duckdb", "", ".", "current"])
def test_the_pointer_only_names_what_is_there(folder, name):
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match="serving"):
        serving.point(folder / "current", name)
    assert serving.snapshot(folder / "current") is None


def test_a_pointer_to_a_lost_file_is_no_snapshot(folder):
    folder.mkdir()
    (folder / "a.duckdb").touch()
    serving.point(folder / "current", "a.duckdb")
    (folder / "a.duckdb").unlink()
    assert serving.snapshot(folder / "current") is None


def test_pruning_keeps_the_newest_and_the_current_one(folder):
    folder.mkdir()
    for age, name in enumerate(["e", "d", "c", "b", "a"]):
        (folder / f"{name}.duckdb").touch()
        os.utime(folder / f"{name}.duckdb", (1000 + age, 1000 + age))
    serving.point(folder / "current", "e.duckdb")
    assert sorted(serving.prune(folder, 3)) == ["d.duckdb"]
    assert serving.prune(folder, 3) == []
    names = sorted(file.name for file in folder.glob("*.duckdb"))
    assert names == ["a.duckdb", "b.duckdb", "c.duckdb", "e.duckdb"]


def test_a_published_name_is_never_reused(warehouse, folder):
    warehouse.publish(folder / "a.duckdb", TABLES)
    with pytest.raises(FileExistsError, match=r"a\.duckdb"):
        warehouse.publish(folder / "a.duckdb", {})


def test_a_failing_query_publishes_nothing(warehouse, folder):
    with pytest.raises(duckdb.CatalogException):
        warehouse.publish(folder / "a.duckdb", {**TABLES, "gold.x": "FROM gold.missing"})
    assert list(folder.glob("*.duckdb")) == []
    warehouse.publish(folder / "b.duckdb", TABLES)
    assert [file.name for file in folder.iterdir()] == ["b.duckdb"]
