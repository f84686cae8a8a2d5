"""The inbox of what is posted to us: the same from SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from ops_samples import AT
from sqlalchemy import event as hooks

from crm_resources.ops import InboxEvent, OpsStore, Outcome
from crm_resources.ops import inbox as module

MINUTE = timedelta(minutes=1)


def event(key, kind="hotmart", **fields):
    return InboxEvent(**{"kind": kind, "event_key": key, "body": "{}", "received_at": AT, **fields})


def keys(events):
    return [each.event_key for each in events]


def settle(store, key, state, error=None, now=AT):
    (found,) = (each for each in store.events() if each.event_key == key)
    store.settle([Outcome(id=found.id, state=state, error=error)], now)


def test_an_event_comes_back_as_it_was_received(store):
    posted = InboxEvent(
        kind="hotmart",
        event_key="e1",
        event="PURCHASE_APPROVED",
        version="2.0.0",
        content_type="application/json; charset=utf-8",
        body='{"id":"e1","nome":"Zoé 🌸","n":1.10}',
        event_at=datetime(2025, 3, 1, 9, tzinfo=timezone(timedelta(hours=-3))),
        received_at=AT,
    )
    assert store.receive([]) == 0
    assert store.receive([posted]) == 1
    (back,) = store.due_events("hotmart", AT, 10)
    assert (back.state, back.attempts, back.next_at, back.error) == ("pending", 0, None, None)
    assert back.event_at.tzinfo is UTC
    names = [name for name in InboxEvent.__slots__ if name != "id"]
    assert [getattr(back, name) for name in names] == [getattr(posted, name) for name in names]


def test_a_key_counts_once_per_tenant_and_kind(store, address):
    assert store.receive([event("a"), event("b"), event("a", body="other")]) == 2
    assert store.receive([event("b"), event("c"), event("a", kind="manychat")]) == 2
    other = OpsStore(address, "beta")
    assert other.receive([event("a")]) == 1
    assert [(each.event_key, each.body) for each in store.due_events("hotmart", AT, 9)] == [
        ("a", "{}"), ("b", "{}"), ("c", "{}"),
    ]  # fmt: skip
    assert store.event_counts() == {("hotmart", "pending"): 3, ("manychat", "pending"): 1}
    assert other.event_counts() == {("hotmart", "pending"): 1}


def test_the_same_events_from_many_threads_are_kept_once(store, address):
    def post(number):
        return OpsStore(address, "acme").receive([event(f"{key}") for key in range(20)])

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(post, range(4))) == 20
    assert sorted(keys(store.due_events("hotmart", AT, 99)), key=int) == [
        str(number) for number in range(20)
    ]


def test_what_is_due_comes_oldest_first_and_in_portions(store):
    store.receive([event("a"), event("b"), event("c")])
    settle(store, "a", "failed", "sem banco")
    later = AT + 2 * MINUTE
    assert keys(store.due_events("hotmart", AT, 9)) == ["b", "c"]
    assert keys(store.due_events("hotmart", later, 2)) == ["a", "b"]
    assert store.due_events("manychat", later, 9) == []


def test_a_failure_waits_longer_each_time_and_the_third_one_is_the_last(store):
    store.receive([event("a")])
    now, waits = AT, []
    for attempt in (1, 2):
        settle(store, "a", "failed", f"erro {attempt}", now)
        (held,) = store.events()
        assert (held.state, held.attempts, held.error) == ("failed", attempt, f"erro {attempt}")
        waits.append(held.next_at - now)
        assert store.due_events("hotmart", held.next_at - timedelta(seconds=1), 9) == []
        now = held.next_at
        assert keys(store.due_events("hotmart", now, 9)) == ["a"]
    for wait, meant in zip(waits, (MINUTE, 10 * MINUTE), strict=True):
        assert 0.8 * meant <= wait <= 1.2 * meant
    settle(store, "a", "failed", "erro 3", now)
    (held,) = store.events()
    assert (held.state, held.attempts, held.next_at, held.error) == ("dead", 3, None, "erro 3")
    assert store.due_events("hotmart", now + timedelta(days=9), 9) == []


def test_events_that_failed_together_come_back_apart(store):
    store.receive([event(str(number)) for number in range(30)])
    due = store.due_events("hotmart", AT, 99)
    store.settle([Outcome(id=each.id, state="failed") for each in due], AT)
    assert len({each.next_at for each in store.events()}) > 20


def test_a_success_ends_an_event_and_a_later_failure_does_not_undo_it(store):
    store.receive([event("a"), event("b")])
    settle(store, "a", "failed", "sem banco")
    settle(store, "a", "processed", now=AT + MINUTE)
    settle(store, "b", "ignored", "evento desconhecido")
    settle(store, "a", "failed", "tarde demais")
    settle(store, "b", "failed", "tarde demais")
    a, b = store.events()[::-1]
    assert (a.state, a.attempts, a.error, a.next_at) == ("processed", 2, None, None)
    assert a.processed_at == AT + MINUTE
    assert (b.state, b.attempts, b.error) == ("ignored", 1, "evento desconhecido")
    assert store.due_events("hotmart", AT + timedelta(days=9), 9) == []


def test_failed_and_dead_events_are_tried_again_when_asked(store):
    store.receive([event("a"), event("b"), event("m", kind="manychat"), event("ok")])
    for key in ("a", "b", "m"):
        for _ in range(3):
            settle(store, key, "failed", "x")
    settle(store, "ok", "processed")
    assert {each.event_key for each in store.events(states=("dead",))} == {"a", "b", "m"}
    ids = {each.event_key: each.id for each in store.events()}
    asked = [ids["a"], ids["ok"], ids["m"], 999]
    assert store.states_of(asked) == {ids["a"]: "dead", ids["ok"]: "processed", ids["m"]: "dead"}
    assert store.states_of(asked, "manychat") == {ids["m"]: "dead"}
    assert store.states_of([]) == {}
    assert store.retry_events([ids["a"], ids["ok"], 999]) == 1
    assert store.retry_events(kind="manychat") == 1
    assert store.retry_events() == 1
    assert store.retry_events() == 0
    again = store.due_events("hotmart", AT, 9)
    assert [(each.event_key, each.attempts, each.error) for each in again] == [
        ("a", 0, None), ("b", 0, None),
    ]  # fmt: skip


def test_a_period_is_replayed(store):
    for hour in range(4):
        store.receive([event(str(hour), received_at=AT + timedelta(hours=hour))])
        settle(store, str(hour), "ignored" if hour == 1 else "processed", "x")
    store.receive([event("m", kind="manychat", received_at=AT + timedelta(hours=1))])
    settle(store, "m", "processed")
    start, end = AT + timedelta(hours=1), AT + timedelta(hours=3)
    assert sum(store.event_counts(start, end).values()) == 3
    assert store.replay("hotmart", start, end) == 2
    assert keys(store.due_events("hotmart", AT, 9)) == ["1", "2"]
    assert store.replay("hotmart", start, end) == 0
    assert keys(store.events("hotmart", states=("processed",), end=start)) == ["0"]
    assert keys(store.events("hotmart", start=end, limit=1)) == ["3"]


def test_only_what_ended_is_old_enough_to_be_removed(store, address):
    store.receive([event(key) for key in ("done", "ignored", "failed", "dead", "pending")])
    store.receive([event("young", received_at=AT + MINUTE)])
    other = OpsStore(address, "beta")
    other.receive([event("done")])
    settle(other, "done", "processed")
    settle(store, "done", "processed")
    settle(store, "young", "processed")
    settle(store, "ignored", "ignored", "teste")
    settle(store, "failed", "failed", "x")
    for _ in range(3):
        settle(store, "dead", "failed", "x")
    assert keys(store.processed_before(AT + MINUTE)) == ["done", "ignored"]
    assert keys(store.processed_before(AT + MINUTE, limit=1)) == ["done"]
    assert store.remove([]) == 0
    assert store.remove([each.id for each in store.events()]) == 3
    assert {each.event_key for each in store.events()} == {"failed", "dead", "pending"}
    assert keys(other.events()) == ["done"]


@pytest.mark.parametrize("limit", [1, 50])
def test_however_many_events_are_over_the_due_ones_are_found_along_an_index(tmp_path, limit):
    store, asked = OpsStore(tmp_path / "ops.sqlite", "acme"), []
    hooks.listen(store._engine, "before_cursor_execute", lambda *a: asked.append((a[2], a[3])))
    store.due_events("hotmart", AT, limit)
    queries = [one for one in asked if "FROM inbox" in one[0]]
    assert len(queries) == 2
    for query, values in queries:
        with store._engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
        assert [row[3] for row in plan] == [
            "SEARCH inbox USING INDEX ix_inbox_state (tenant=? AND kind=? AND state=?)"
        ]


# Refusals


def test_refusals_are_added_up_by_address_and_forgotten_after_a_month(store, address):
    later = AT + timedelta(days=20)
    store.count_refusals("hotmart", {"203.0.113.7": 2, "2001:db8::1": 1}, AT)
    store.count_refusals("hotmart", {"203.0.113.7": 3}, later)
    store.count_refusals("manychat", {"203.0.113.7": 1}, later)
    found = [(each.kind, each.address, each.count, each.last_at) for each in store.refusals()]
    assert found == [
        ("manychat", "203.0.113.7", 1, later),
        ("hotmart", "203.0.113.7", 5, later),
        ("hotmart", "2001:db8::1", 1, AT),
    ]
    assert store.refusals()[1].first_at == AT
    assert OpsStore(address, "beta").refusals() == []
    store.count_refusals("hotmart", {"198.51.100.1": 1}, AT + timedelta(days=31))
    assert {each.address for each in store.refusals() if each.kind == "hotmart"} == {
        "203.0.113.7", "198.51.100.1",
    }  # fmt: skip


def test_a_flood_of_addresses_stays_bounded(store, monkeypatch):
    monkeypatch.setattr(module, "MAX_ADDRESSES", 3)
    store.count_refusals("hotmart", {f"203.0.113.{number}": 1 for number in range(10)}, AT)
    store.count_refusals("hotmart", {"203.0.113.1": 1, "203.0.113.9": 1}, AT)
    assert {each.address: each.count for each in store.refusals()} == {
        "203.0.113.0": 1, "203.0.113.1": 2, "203.0.113.2": 1, "outros": 8,
    }  # fmt: skip


def test_a_lasting_store_is_as_durable_as_any_and_keeps_its_file_open(tmp_path):
    store = OpsStore(tmp_path / "ops.sqlite", "acme", lasting=True)
    for number in range(3):
        assert store.receive([event(str(number))]) == 1
        with store._engine.connect() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("synchronous", "journal_mode")
            }
        assert found == {"synchronous": 2, "journal_mode": "wal"}
        assert (tmp_path / "ops.sqlite-wal").stat().st_size > 0
    assert len(OpsStore(tmp_path / "ops.sqlite", "acme").events()) == 3
    store.close()
    assert not (tmp_path / "ops.sqlite-wal").exists()
    assert store.receive([event("a")]) == 1
    store.close()
