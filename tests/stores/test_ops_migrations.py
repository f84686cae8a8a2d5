"""The tables of the operations store, from an empty database to the newest version."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ops_samples import engine, load, sql
from sqlalchemy import inspect

from crm_resources.ops import NewerStoreError, OpsStore, tables
from crm_resources.ops import database as module

NEWEST = tables.VERSION
VERSION = "SELECT version_num FROM alembic_version"


def test_the_migrations_build_the_declared_tables(store, address):
    with engine(address).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == NEWEST
        assert compare_metadata(context, tables.metadata) == []
        found = inspect(connection)
        checks = {
            table: {each["name"] for each in found.get_check_constraints(table)}
            for table in tables.metadata.tables
        }
    assert "ck_loads_status" in checks["loads"]


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0099"
down_revision = "{before}"


def upgrade():
    op.add_column("loads", sa.Column("note", sa.String, server_default="old"))
    {more}
"""


@pytest.fixture
def next_version(tmp_path, monkeypatch):
    """Return a function that lets the program know one more migration than it ships."""

    def install(more=""):
        folder = tmp_path / "migrations"
        shutil.copytree(module.MIGRATIONS, folder)
        (folder / "versions" / "0099_note.py").write_text(NEXT.format(before=NEWEST, more=more))
        monkeypatch.setattr(module, "MIGRATIONS", folder)
        monkeypatch.setattr(tables, "VERSION", "0099")

    return install


def test_an_older_database_is_upgraded_with_its_rows(store, address, next_version):
    store.record_load(load(rows=7))
    next_version()
    assert [each.rows for each in OpsStore(address, "acme").loads()] == [7]
    assert sql(address, "SELECT note FROM loads") == [("old",)]
    assert sql(address, VERSION) == [("0099",)]


def test_a_failing_upgrade_leaves_the_version_before_it(store, address, next_version):
    next_version(more="raise OSError('disk')")
    with pytest.raises(OSError, match="disk"):
        OpsStore(address, "acme")
    assert sql(address, VERSION) == [(NEWEST,)]
    with engine(address).connect() as connection:
        assert "note" not in {column["name"] for column in inspect(connection).get_columns("loads")}


def test_a_newer_database_is_refused(store, address):
    sql(address, "UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(NewerStoreError, match=f"na versão 0999 e este programa .* {NEWEST}"):
        OpsStore(address, "acme")
    assert sql(address, VERSION) == [("0999",)]


def test_threads_may_open_new_stores_at_once(tmp_path):
    def opened(number):
        return OpsStore(tmp_path / str(number) / "ops.sqlite", "acme").loads()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opened, range(8))) == [[]] * 8
