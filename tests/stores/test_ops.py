"""The operations store: the same answers from SQLite and from PostgreSQL."""

import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import dagster as dg
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ops_samples import AT, action, load, sql
from sqlalchemy.exc import SQLAlchemyError

from crm_resources.ops import BadRecordError, ExportRecord, Load, OpsStore
from crm_resources.ops.resource import OpsResource

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
    store.record_load(load("2025-01", source="Z", rows=4))
    assert [(each.source, each.slice, each.rows) for each in store.loads()] == [
        ("Z", "2025-01", 4),
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


def test_ids_are_never_given_twice(store, address):
    store.append_actions([action("a")])
    last = store.last_action_id()
    sql(address, "DELETE FROM actions")
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


# Tenants, privacy


def test_tenants_never_see_each_others_rows(store, address):
    other = OpsStore(address, "beta")
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
    with pytest.raises((BadRecordError, SQLAlchemyError, TypeError)) as raised:
        store.append_actions([action(**{"key": key, **personal, **wrong})])
    text = "".join(traceback.format_exception(raised.value))
    assert "maria@" not in text
    assert "98765" not in text
    assert "maria:" not in text


def test_an_unknown_status_is_refused(store):
    with pytest.raises(BadRecordError, match="não foi gravado"):
        store.record_load(load(status="perhaps"))


def test_it_is_a_dagster_resource(address):
    @dg.asset
    def landed(ops: OpsResource) -> None:
        ops.store().record_load(load())

    resource = OpsResource(url=address, tenant="acme")
    assert dg.materialize([landed], resources={"ops": resource}).success
    assert len(resource.store().loads()) == 1


# Exports


def test_the_register_of_exports_keeps_who_is_in_a_file(store, address):
    made = ExportRecord(
        kind="publico",
        destination="publico/ilpi.csv",
        filter={"audience": "ilpi"},
        customer_ids=("cus_b", "cus_a"),
        actor="ana",
        at=AT,
    )
    first, second = store.record_export(made), store.record_export(made)
    assert first < second
    back = store.exports()
    assert [each.id for each in back] == [first, second]
    assert {**_fields(back[0]), "id": None} == _fields(made)
    assert sql(address, "SELECT rows, tenant FROM exports") == [(2, "acme")] * 2
    assert OpsStore(address, "beta").exports() == []


# Deliveries


LEASE = timedelta(minutes=5)


def test_an_incident_is_told_once_by_each_channel_until_it_changes(store):
    store.open_incident("late", "daily", "3 h", AT)
    claimed = store.claim_delivery("webhook", AT, LEASE)
    assert (claimed.incident.subject, claimed.told, claimed.attempts) == ("daily", 0, 0)
    assert store.claim_delivery("webhook", AT, LEASE) is None
    assert store.claim_delivery("e-mail", AT, LEASE) is not None
    store.record_delivery(replace(claimed, attempts=1, next_at=AT + LEASE, reason="recusado"))
    assert [each.reason for each in store.failed_deliveries("webhook", AT)] == ["recusado"]
    again = store.claim_delivery("webhook", AT + LEASE, LEASE)
    assert again.attempts == 1
    store.record_delivery(replace(again, told=again.incident.revision, attempts=0, reason=None))
    assert store.claim_delivery("webhook", AT + timedelta(hours=1), LEASE) is None
    assert store.failed_deliveries("webhook", AT) == []
    assert store.change_incident("late", "daily", "4 h")
    changed = store.claim_delivery("webhook", AT + timedelta(hours=1), LEASE)
    assert changed.incident.detail == "4 h"


def test_two_who_look_at_once_get_each_incident_once(store, address):
    for number in range(6):
        store.open_incident("run_failed", str(number), "x", AT)

    def claims(_):
        other, found = OpsStore(address, "acme"), []
        while one := other.claim_delivery("webhook", AT, LEASE):
            found.append(one.incident.subject)
        return found

    with ThreadPoolExecutor(3) as pool:
        told = [subject for found in pool.map(claims, range(3)) for subject in found]
    assert sorted(told) == [*"012345"]


def test_what_ended_long_ago_is_not_told_to_a_new_channel(store):
    store.open_incident("run_failed", "hotmart", "x", AT)
    store.close_incident("run_failed", "hotmart", AT)
    assert store.claim_delivery("webhook", AT + timedelta(hours=23), LEASE) is not None
    assert store.claim_delivery("e-mail", AT + timedelta(hours=24), LEASE) is None


# Tombstones


def test_a_tombstone_stands_once(store, address):
    assert store.add_tombstones({}) == 0
    assert store.add_tombstones({"t1": "email", "t2": "phone"}, AT) == 2
    assert store.add_tombstones({"t2": "phone", "t3": "email"}, AT) == 1
    assert store.tombstones() == {"t1": "email", "t2": "phone", "t3": "email"}
    last = store.last_tombstone_id()
    other = OpsStore(address, "beta")
    assert (other.tombstones(), other.last_tombstone_id()) == ({}, 0)
    assert other.add_tombstones({"t1": "email"}) == 1
    assert store.last_tombstone_id() == last


def test_an_erasure_rewrites_the_rows_of_one_tenant(store, address):
    store.append_actions(
        [
            action("a", email_key="ana@example.com", payload={"nome": "Ana", "nota": None}),
            action("b", email_key="bia@example.com", customer_id="cus_b"),
        ]
    )
    other = OpsStore(address, "beta")
    other.append_actions([action("a", email_key="ana@example.com")])
    (found,) = store.rows_mentioning("actions", ["ana@example.com"])
    assert (found["idempotency_key"], found["payload"]["nome"]) == ("a", "Ana")
    blank = {"email_key": "apagado", "payload": {"apagado": True}, "reason": None}
    assert store.rewrite("actions", {found["id"]: blank}) == 1
    assert list(store.rows_mentioning("actions", ["ana@example.com", "nome"])) == []
    assert store.actions()["email_key"].to_list() == ["apagado", "bia@example.com"]
    assert store.actions()["payload"].to_list() == ['{"apagado": true}', None]
    assert other.actions()["email_key"].to_list() == ["ana@example.com"]


def test_the_files_that_list_a_customer_are_found(store):
    for number, people in enumerate([("cus_a",), ("cus_b", "cus_c"), ()]):
        store.record_export(
            ExportRecord(
                kind="publico",
                destination=f"{number}.csv",
                filter={},
                customer_ids=people,
                actor="ana",
                at=AT,
            )
        )
    assert [row["destination"] for row in store.exports_of(["cus_a", "cus_c"])] == [
        "0.csv",
        "1.csv",
    ]
    assert store.exports_of([]) == []
    assert store.exports_of(["cus_d"]) == []
