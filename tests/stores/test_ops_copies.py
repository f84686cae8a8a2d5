"""A copy of the operations store goes into a file and comes back, whichever database it is."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from crm_resources.ops import Action, ExportRecord, InboxEvent, Load, OpsStore, copies, tables
from crm_resources.ops.inbox import Outcome

pytestmark = pytest.mark.slow

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)
LATER = AT + timedelta(days=1)


def fill(store):
    """A row in every table."""
    store.append_actions([Action(kind="note", idempotency_key="a", payload={"x": "ç"}, at=AT)])
    store.record_load(Load(source="s", slice="1", status="landed", at=AT))
    store.open_incident("k", "s", "d", AT)
    store.claim_delivery("webhook", AT, timedelta(minutes=1))
    store.record_export(
        ExportRecord(kind="k", destination="d", filter={}, customer_ids=("c",), actor="a", at=AT)
    )
    store.add_tombstones({"tag": "email"}, AT)
    store.receive([InboxEvent(kind="hotmart", event_key="e", body="{}", received_at=AT)])
    store.count_refusals("hotmart", {"192.0.2.1": 2}, AT)


def rows(store):
    held = {}
    with store._transaction() as connection:
        for table in tables.metadata.sorted_tables:
            query = table.select().where(table.c.tenant == store.tenant).order_by(table.c.id)
            held[table.name] = [tuple(row) for row in connection.execute(query)]
    return held


def as_it_is(table, new):
    return new


def test_every_table_is_copied_and_can_be_told_apart():
    assert copies._NATURAL.keys() == tables.metadata.tables.keys()
    assert copies._NATURAL.keys() - copies._MADE_AT.keys() == {"deliveries"}


def test_a_copy_is_one_sound_file(store, tmp_path):
    fill(store)
    store.copy_to(tmp_path / "copy.sqlite")
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy.sqlite"]
    assert oct((tmp_path / "copy.sqlite").stat().st_mode & 0o777) == "0o600"
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as con:
        assert con.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert rows(OpsStore(tmp_path / "copy.sqlite", store.tenant)) == rows(store)


def test_of_several_companies_only_the_own_rows_are_copied(postgres, tmp_path):
    store, other = OpsStore(postgres, "prd/acme"), OpsStore(postgres, "prd/other")
    fill(store)
    fill(other)
    store.copy_to(tmp_path / "copy.sqlite")
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as con:
        assert con.execute("SELECT DISTINCT tenant FROM actions").fetchall() == [(store.tenant,)]


def test_an_empty_store_takes_everything_back_and_goes_on_counting(store, address, tmp_path):
    source = OpsStore(tmp_path / "source.sqlite", "prd")
    fill(source)
    source.append_actions([Action(kind="note", idempotency_key="b", at=AT)])
    source.copy_to(tmp_path / "copy.sqlite")
    added = store.take_back(tmp_path / "copy.sqlite", LATER, as_it_is)
    assert added == {**dict.fromkeys(tables.metadata.tables, 1), "actions": 2}
    told, came = (
        {name: [row[2:] for row in found] for name, found in rows(one).items()}
        for one in (source, store)
    )
    (incident,), (open_one,) = came.pop("incidents"), told.pop("incidents")
    assert came == told
    assert LATER in incident
    assert None in open_one, "what was open then is no news now"
    store.append_actions([Action(kind="note", idempotency_key="c", at=AT)])
    assert store.actions()["idempotency_key"].to_list() == ["a", "b", "c"]
    assert store.last_action_id() == 3


def test_taking_back_twice_adds_nothing(store, tmp_path):
    fill(store)
    store.copy_to(tmp_path / "copy.sqlite")
    before = rows(store)
    assert store.take_back(tmp_path / "copy.sqlite", LATER, as_it_is) == {}
    assert rows(store) == before


def test_what_happened_since_stays(store, tmp_path):
    fill(store)
    store.copy_to(tmp_path / "copy.sqlite")
    store.append_actions([Action(kind="note", idempotency_key="later", at=LATER)])
    store.add_tombstones({"later": "email"}, LATER)
    store.record_load(Load(source="s", slice="1", status="undone", at=LATER))
    assert store.take_back(tmp_path / "copy.sqlite", AT, as_it_is) == {}
    assert store.actions()["idempotency_key"].to_list() == ["a", "later"]
    assert set(store.tombstones()) == {"tag", "later"}
    assert [load.status for load in store.loads()] == ["undone"]


def test_what_an_erasure_rewrote_is_not_undone(store, tmp_path):
    fill(store)
    store.copy_to(tmp_path / "copy.sqlite")
    (number,) = store.actions()["id"]
    store.rewrite("actions", {number: {"idempotency_key": f"apagado:{number}", "payload": None}})
    assert store.take_back(tmp_path / "copy.sqlite", AT, as_it_is) == {}
    assert store.actions()["idempotency_key"].to_list() == [f"apagado:{number}"]


def test_rows_of_another_beginning_get_free_numbers(store, tmp_path):
    source = OpsStore(tmp_path / "source.sqlite", "prd")
    fill(source)
    source.copy_to(tmp_path / "copy.sqlite")
    store.append_actions([Action(kind="note", idempotency_key="mine", at=LATER)])
    store.open_incident("k", "s", "mine", LATER)
    store.claim_delivery("webhook", LATER, timedelta(minutes=1))
    store.take_back(tmp_path / "copy.sqlite", AT, as_it_is)
    assert sorted(store.actions()["idempotency_key"]) == ["a", "mine"]
    assert [incident.detail for incident in store.open_incidents()] == ["mine"]
    with store._transaction() as connection:
        pairs = connection.exec_driver_sql(
            "SELECT i.detail, d.channel FROM deliveries d JOIN incidents i ON i.id = d.incident_id "
            "AND i.tenant = d.tenant ORDER BY 1"
        ).fetchall()
    assert [tuple(pair) for pair in pairs] == [("d", "webhook"), ("mine", "webhook")]


def test_events_processed_after_the_copy_wait_again(store, tmp_path):
    posted = {"kind": "hotmart", "body": "{}", "received_at": AT}
    store.receive([InboxEvent(event_key=key, **posted) for key in ("before", "after", "dead")])
    numbers = {event.event_key: event.id for event in store.events()}
    store.settle([Outcome(id=numbers["before"], state="processed")], AT - timedelta(seconds=1))
    store.copy_to(tmp_path / "copy.sqlite")
    store.settle([Outcome(id=numbers["after"], state="ignored", error="x")], LATER)
    for _ in range(3):
        store.settle([Outcome(id=numbers["dead"], state="failed", error="x")], LATER)
    store.take_back(tmp_path / "copy.sqlite", AT, as_it_is)
    states = {event.event_key: event.state for event in store.events()}
    assert states == {"before": "processed", "after": "pending", "dead": "dead"}


def test_the_shield_sees_every_row_on_its_way_in(store, tmp_path):
    source = OpsStore(tmp_path / "source.sqlite", "prd")
    fill(source)
    source.copy_to(tmp_path / "copy.sqlite")

    def blank(table, new):
        return [{**row, "payload": None} for row in new] if table == "actions" else new

    store.take_back(tmp_path / "copy.sqlite", AT, blank)
    assert store.actions()["payload"].to_list() == [None]


def test_a_failure_in_the_middle_adds_nothing(store, tmp_path):
    source = OpsStore(tmp_path / "source.sqlite", "prd")
    fill(source)
    source.copy_to(tmp_path / "copy.sqlite")

    def fail(table, new):
        if table == "tombstones":
            raise RuntimeError
        return new

    with pytest.raises(RuntimeError):
        store.take_back(tmp_path / "copy.sqlite", AT, fail)
    assert not any(rows(store).values())


def test_a_copy_of_an_older_program_is_brought_up_to_date(store, tmp_path):
    source = OpsStore(tmp_path / "source.sqlite", "prd")
    fill(source)
    source.copy_to(tmp_path / "copy.sqlite")
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as con:
        con.execute("DROP TABLE inbox")
        con.execute("DROP TABLE refusals")
        con.execute("UPDATE alembic_version SET version_num = '0002'")
        con.commit()
    added = store.take_back(tmp_path / "copy.sqlite", AT, as_it_is)
    assert added == dict.fromkeys(tables.metadata.tables.keys() - {"inbox", "refusals"}, 1)


@pytest.mark.parametrize("batch", [1, 500])
def test_stores_that_cannot_be_told_apart_are_not_mixed(store, tmp_path, monkeypatch, batch):
    source = OpsStore(tmp_path / "source.sqlite", "prd")
    undo = Action(kind="steward_undo", idempotency_key="u", payload={"action": 1}, at=AT)
    source.append_actions([Action(kind="note", idempotency_key="a", at=AT), undo])
    source.copy_to(tmp_path / "copy.sqlite")
    OpsStore(tmp_path / "fresh.sqlite", "x").take_back(tmp_path / "copy.sqlite", AT, as_it_is)
    store.append_actions([Action(kind="note", idempotency_key="mine", at=LATER)])
    before = rows(store)
    monkeypatch.setattr(copies, "_BATCH", batch)
    with pytest.raises(copies.MixedStoresError, match="antes da primeira rodada"):
        store.take_back(tmp_path / "copy.sqlite", AT, as_it_is)
    assert rows(store) == before
