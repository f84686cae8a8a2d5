"""Tombstones and the one rewrite of the operations store: the same from SQLite and PostgreSQL."""

from datetime import timedelta

from ops_samples import AT, action, load, sql

from crm_assets.privacy.erased_ops import forget_ops
from crm_assets.privacy.scrub import HIDDEN
from crm_resources.ops import ExportRecord, OpsStore

TEXTS = ("ana@example.com", "5511987651234", "ana souza")


def test_a_tombstone_stands_once_and_in_its_tenant(store, address):
    assert store.tombstones() == {}
    assert store.last_tombstone_id() == 0
    assert store.add_tombstones({}) == 0
    assert store.add_tombstones({"t1": "email", "t2": "phone"}, AT) == 2
    assert store.add_tombstones({"t2": "phone", "t3": "phone"}) == 1
    assert store.tombstones() == {"t1": "email", "t2": "phone", "t3": "phone"}
    assert store.last_tombstone_id() >= 3
    assert OpsStore(address, "other").tombstones() == {}


def test_tombstones_of_one_moment_are_found_together_and_lifted(store, address):
    later = AT + timedelta(microseconds=1)
    store.add_tombstones({"t1": "email", "t2": "sale"}, AT)
    store.add_tombstones({"t2": "sale", "t3": "phone"}, later)
    OpsStore(address, "other").add_tombstones({"t1": "email", "t4": "phone"}, AT)
    assert store.tombstones_beside(["t1", "t9"]) == [
        {"tag": "t1", "kind": "email", "at": AT}, {"tag": "t2", "kind": "sale", "at": AT},
    ]  # fmt: skip
    assert store.tombstones_beside(["t9"]) == store.tombstones_beside([]) == []
    assert store.lift_tombstones(["t1", "t9"]) == 1
    assert store.lift_tombstones([]) == 0
    assert store.tombstones() == {"t2": "sale", "t3": "phone"}
    assert OpsStore(address, "other").tombstones() == {"t1": "email", "t4": "phone"}
    newest = store.last_tombstone_id()
    store.add_tombstones({"t1": "email"}, later)
    assert store.last_tombstone_id() > newest, "whoever is erased again is a newer tombstone"


def test_the_store_forgets_what_is_personal_and_keeps_its_rows(store, address):
    other = OpsStore(address, "other")
    for one in (store, other):
        one.append_actions(
            [
                action("opt_out:ana@example.com", kind="opt_out", email_key="ana@example.com",
                       reason="Ana Souza pediu", payload={"a": ["hotmart:1", "+5511987651234"]}),
                action("batch:cus_a", customer_id="cus_a", phone_key="+5511987651234"),
                action("batch:cus_b", customer_id="cus_b", phone_key="+5511911110000"),
                action("pin", kind="identity_pin", customer_id="cus_a",
                       payload={"field": "name", "value": "Aninha"}),
                action("gone", kind="customer_erased", customer_id="cus_a"),
            ]
        )  # fmt: skip
        one.record_load(load("2026-01-01_0123456789ab", "manychat", file_name="Ana Souza.csv"))
        one.record_load(load("2026-01-02_0123456789ab", "manychat", file_name="base.csv"))
        one.record_export(
            ExportRecord(kind="clientes", destination="clientes/a.csv", filter={"q": "x"},
                         customer_ids=("cus_a", "cus_b"), actor="crm", at=AT)
        )  # fmt: skip
        one.open_incident("run_failed", "manychat", "Ana Souza.csv: recusado", AT)
    untouched = [sql(address, f"SELECT * FROM {table} WHERE tenant = 'other' ORDER BY id")
                 for table in ("actions", "loads", "exports", "incidents")]  # fmt: skip
    assert [row["destination"] for row in store.exports_of(["cus_a"])] == ["clientes/a.csv"]
    rehearsed = forget_ops(store, TEXTS, {"cus_a": "cus_new"}, dry_run=True)
    assert "ana@example.com" in store.actions()["email_key"].to_list()
    assert forget_ops(store, TEXTS, {"cus_a": "cus_new"}) == rehearsed == {
        "operações: actions": 3, "operações: exports": 1, "operações: loads": 1,
        "operações: incidents": 1,
    }  # fmt: skip
    assert forget_ops(store, TEXTS, {"cus_a": "cus_new"}) == {}
    columns = ("customer_id", "email_key", "phone_key", "payload", "reason")
    assert store.actions().select(columns).rows() == [
        (None, None, None, '{"a": ["hotmart:1"]}', HIDDEN),
        ("cus_new", None, None, None, None),
        ("cus_b", None, "+5511911110000", None, None),
        ("cus_new", None, None, None, None),
        ("cus_a", None, None, None, None),
    ]
    keys = store.actions()["idempotency_key"].to_list()
    assert keys[0].startswith("apagado:")
    assert keys[1] == "batch:cus_new"
    assert {held.file_name for held in store.loads()} == {HIDDEN, "base.csv"}
    assert [export.customer_ids for export in store.exports()] == [("cus_new", "cus_b")]
    assert [incident.detail for incident in store.open_incidents()] == [HIDDEN]
    assert untouched == [
        sql(address, f"SELECT * FROM {table} WHERE tenant = 'other' ORDER BY id")
        for table in ("actions", "loads", "exports", "incidents")
    ]
    assert [table for table in ("actions", "loads", "exports", "incidents", "deliveries")
            if list(store.rows_mentioning(table, list(TEXTS)))] == []  # fmt: skip


def test_a_compact_file_says_nothing_that_was_overwritten(store, address):
    store.append_actions([action("a", email_key="ana@example.com")])
    forget_ops(store, TEXTS, {})
    is_file = "://" not in address
    assert store.compact() is is_file
    if is_file:
        from pathlib import Path

        left = b"".join(path.read_bytes() for path in Path(address).parent.iterdir())
        assert b"ana@example.com" not in left
        assert store.actions()["id"].to_list() == [1]
