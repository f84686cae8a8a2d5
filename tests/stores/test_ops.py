import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import traceback
from datetime import UTC, date, datetime, timedelta, timezone

import dagster as dg
import polars as pl
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from crm_resources.ops import Action, BadRecordError, Load, NewerStoreError, OpsStore, tables
from crm_resources.ops import database as module
from crm_resources.ops.resource import OpsResource

AT = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "acme" / "ops.sqlite"


@pytest.fixture
def store(path):
    return OpsStore(path, "acme")


def load(slice_="2025-01", source="hotmart_transactions", **fields):
    return Load(**{"source": source, "slice": slice_, "status": "landed", "at": AT, **fields})


def action(key, **fields):
    return Action(**{"kind": "batch_selected", "idempotency_key": key, "at": AT, **fields})


def sql(path, statement):
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()


# Loads


def test_a_load_comes_back_as_it_was_recorded(store):
    recorded = Load(
        source="manychat",
        slice="2025-03-01-0123456789ab",
        status="refused",
        content_sha256="ab" * 32,
        file_name="contatos.csv",
        window_start=datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=-3))),
        window_end=AT,
        rows=10,
        rejected=2,
        complete=True,
        verified=True,
        reason="sem coluna de contato",
        run_id="run",
        at=AT,
    )
    id_ = store.record_load(recorded)
    (back,) = store.loads()
    assert back.id == id_
    assert back.window_start == recorded.window_start
    assert back.window_start.tzinfo is UTC
    assert {**_fields(back), "id": None} == _fields(recorded)


def _fields(record):
    return {name: getattr(record, name) for name in record.__slots__}


def test_the_latest_load_of_a_slice_counts(store):
    store.record_load(load("2025-02", status="received"))
    store.record_load(load("2025-01", rows=1))
    store.record_load(load("2025-01", source="hotmart_customers", rows=2))
    store.record_load(load("2025-02", rows=3))
    assert [(each.source, each.slice, each.rows) for each in store.loads()] == [
        ("hotmart_customers", "2025-01", 2),
        ("hotmart_transactions", "2025-01", 1),
        ("hotmart_transactions", "2025-02", 3),
    ]
    assert [each.slice for each in store.loads("hotmart_customers")] == ["2025-01"]
    assert store.loads("manychat") == []


def test_a_content_is_found_by_its_hash_and_source(store):
    store.record_load(load("a", source="manychat", content_sha256="x", status="received"))
    store.record_load(load("b", source="manychat", content_sha256="x", status="refused"))
    store.record_load(load("c", source="manychat", content_sha256="y"))
    found = store.load_of_content("manychat", "x")
    assert (found.slice, found.status) == ("b", "refused")
    assert store.load_of_content("manychat", "z") is None
    assert store.load_of_content("hotmart_transactions", "x") is None


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.datetimes(
        datetime(1970, 1, 2),
        datetime(2100, 1, 1),
        timezones=st.builds(lambda hours: timezone(timedelta(hours=hours)), st.integers(-12, 14)),
    )
)
def test_instants_go_in_aware_and_come_out_in_utc(store, at):
    store.record_load(load(at=at))
    back = store.loads()[0].at
    assert back == at
    assert back.tzinfo is UTC


# Actions


def test_an_action_is_appended_once_per_key(store):
    assert store.append_actions([]) == 0
    assert store.append_actions([action("a"), action("b"), action("a", reason="twice")]) == 2
    assert store.append_actions([action("b"), action("c")]) == 1
    frame = store.actions()
    assert frame["idempotency_key"].to_list() == ["a", "b", "c"]
    assert frame["reason"].to_list() == [None] * 3
    assert frame["id"].is_sorted()
    assert store.last_action_id() == frame["id"][-1]


def test_actions_are_a_typed_frame(store):
    empty = store.actions()
    assert (empty.height, store.last_action_id()) == (0, 0)
    store.append_actions(
        [
            action("a", customer_id="c1", day=date(2025, 3, 1), payload={"posição": [1, None]}),
            action("b", email_key="ana@example.com", channel="email", at=AT.astimezone(None)),
        ]
    )
    frame = store.actions()
    assert frame.schema == empty.schema
    assert frame.schema["at"] == pl.Datetime("us", "UTC")
    assert frame["at"].to_list() == [AT, AT]
    assert frame["day"].to_list() == [date(2025, 3, 1), None]
    assert frame["payload"].str.json_path_match("$.posição[0]").to_list() == ["1", None]
    assert store.actions(after_id=frame["id"][0])["idempotency_key"].to_list() == ["b"]


def test_a_batch_with_a_wrong_action_appends_none(store):
    with pytest.raises(BadRecordError):
        store.append_actions([action("a"), action("b", kind=None)])
    assert store.actions().is_empty()


def test_ids_are_never_given_twice(store, path):
    store.append_actions([action("a")])
    last = store.last_action_id()
    sql(path, "DELETE FROM actions")
    store.append_actions([action("b")])
    assert store.last_action_id() > last


# Incidents


def test_one_incident_is_open_per_kind_and_subject(store):
    assert store.open_incident("late", "daily", "3 h", AT)
    assert not store.open_incident("late", "daily", "4 h", AT)
    assert store.open_incident("late", "churn", "1 h", AT)
    opened = [(each.kind, each.subject, each.detail) for each in store.open_incidents()]
    assert opened == [("late", "daily", "3 h"), ("late", "churn", "1 h")]
    assert store.open_incidents()[0].opened_at == AT
    assert store.close_incident("late", "daily", AT)
    assert not store.close_incident("late", "daily", AT)
    assert store.open_incident("late", "daily", "again", AT)
    assert [each.detail for each in store.open_incidents()] == ["1 h", "again"]


# Tenants, privacy, files


def test_tenants_never_see_each_others_rows(store, path):
    other = OpsStore(path, "beta")
    other.record_load(load(content_sha256="x"))
    other.append_actions([action("a"), action("b")])
    other.open_incident("late", "daily", "beta")
    assert store.loads() == []
    assert store.load_of_content("hotmart_transactions", "x") is None
    assert store.actions().is_empty()
    assert store.last_action_id() == 0
    assert store.open_incidents() == []
    assert not store.close_incident("late", "daily")
    assert store.append_actions([action("a")]) == 1
    assert store.open_incident("late", "daily", "acme")
    store.record_load(load(rows=5))
    assert [each.rows for each in other.loads()] == [0]
    assert other.actions()["idempotency_key"].to_list() == ["a", "b"]
    assert [each.detail for each in other.open_incidents()] == ["beta"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": None},
        {"key": None},
        {"at": datetime(2025, 1, 1)},
        {"payload": {"maria": object()}},
    ],
)
def test_no_value_reaches_an_exception(store, wrong):
    key = "maria:2025-01-01"
    personal = {"email_key": "maria@example.com", "phone_key": "+5511987654321"}
    with pytest.raises((BadRecordError, SQLAlchemyError)) as raised:
        store.append_actions([action(**{"key": key, **personal, **wrong})])
    text = "".join(traceback.format_exception(raised.value))
    assert "maria@" not in text
    assert "98765" not in text
    assert "maria:" not in text


def test_an_unknown_status_is_refused(store):
    with pytest.raises(BadRecordError, match="não foi gravado"):
        store.record_load(load(status="perhaps"))


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


def test_it_is_a_dagster_resource(path):
    @dg.asset
    def landed(ops: OpsResource) -> None:
        ops.store().record_load(load())

    resource = OpsResource(url=str(path), tenant="acme")
    assert dg.materialize([landed], resources={"ops": resource}).success
    assert len(resource.store().loads()) == 1


# Processes


def append_many(path, name, count):
    store = OpsStore(path, "acme")
    for number in range(count):
        store.append_actions([action(f"{name}-{number}"), action(f"shared-{number}")])
        store.record_load(load(f"{name}-{number}"))


def test_processes_that_open_and_append_at_once_lose_nothing(children, path):
    processes = [children.start(append_many, path, name, 10) for name in "abc"]
    assert [children.exit_code(process) for process in processes] == [0] * 3
    store = OpsStore(path, "acme")
    keys = store.actions()["idempotency_key"].to_list()
    expected = {f"{name}-{number}" for name in [*"abc", "shared"] for number in range(10)}
    assert len(keys) == len(expected)
    assert set(keys) == expected
    assert len(store.loads()) == 30


def record_and_die(path):
    store = OpsStore(path, "acme")
    store.record_load(load(rows=7))
    store.append_actions([action("a")])
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_after_the_method_returned_keeps_the_row(children, path):
    children.killed(record_and_die, path)
    store = OpsStore(path, "acme")
    assert [each.rows for each in store.loads()] == [7]
    assert store.actions().height == 1


def append_and_die_before_commit(path):
    store = OpsStore(path, "acme")
    store.append_actions([action("a")])
    with store._write() as connection:
        connection.execute(tables.actions.insert(), store._row(action("b")))
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_before_the_commit_leaves_nothing_and_blocks_nobody(children, path):
    children.killed(append_and_die_before_commit, path)
    store = OpsStore(path, "acme")
    assert store.append_actions([action("c")]) == 1
    assert store.actions()["idempotency_key"].to_list() == ["a", "c"]


# Migrations


def test_the_migrations_build_the_declared_tables(store, path):
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == tables.VERSION
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()
    created = str(sql(path, "SELECT sql FROM sqlite_master"))
    declared = [
        constraint.name
        for table in tables.metadata.tables.values()
        for constraint in (*table.constraints, *table.indexes)
        if constraint.name
    ]
    assert [name for name in declared if name not in created] == []
    assert created.count("AUTOINCREMENT") == len(tables.metadata.tables)


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


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
        (folder / "versions" / "0002_note.py").write_text(NEXT.format(more=more))
        monkeypatch.setattr(module, "MIGRATIONS", folder)
        monkeypatch.setattr(tables, "VERSION", "0002")

    return install


def test_an_older_database_is_upgraded_with_its_rows(store, path, next_version):
    store.record_load(load(rows=7))
    next_version()
    assert [each.rows for each in OpsStore(path, "acme").loads()] == [7]
    assert sql(path, "SELECT note FROM loads") == [("old",)]
    assert sql(path, "SELECT version_num FROM alembic_version") == [("0002",)]


def test_a_failing_upgrade_leaves_the_version_before_it(store, path, next_version):
    next_version(more="raise OSError('disk')")
    with pytest.raises(OSError, match="disk"):
        OpsStore(path, "acme")
    assert sql(path, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert "note" not in [row[1] for row in sql(path, "PRAGMA table_info(loads)")]


def test_a_newer_database_is_refused(store, path):
    sql(path, "UPDATE alembic_version SET version_num = '0009'")
    with pytest.raises(NewerStoreError, match="na versão 0009 e este programa conhece até a 0001"):
        OpsStore(path, "acme")
    assert sql(path, "SELECT version_num FROM alembic_version") == [("0009",)]
