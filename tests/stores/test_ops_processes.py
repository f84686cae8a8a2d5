"""Processes that share an operations store: nothing is lost, torn or seen out of order."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ops_samples import action, load

from crm_resources.ops import OpsStore, tables

pytestmark = pytest.mark.slow


def append_many(address, tenant, name, count):
    store = OpsStore(address, tenant)
    for number in range(count):
        store.append_actions([action(f"{name}-{number}"), action(f"shared-{number}")])
        store.record_load(load(f"{name}-{number}"))


def test_processes_that_open_and_append_at_once_lose_nothing(children, address):
    """A reader that follows the log meanwhile sees every action once, in the order of ids."""
    writers = [("acme", "a"), ("acme", "b"), ("beta", "c")]
    processes = [children.start(append_many, address, *writer, 10) for writer in writers]
    store, seen = OpsStore(address, "acme"), [0]
    while any(process.is_alive() for process in processes):
        seen += store.actions(after_id=seen[-1])["id"].to_list()
    seen += store.actions(after_id=seen[-1])["id"].to_list()
    assert [children.exit_code(process) for process in processes] == [0] * 3
    assert seen[1:] == store.actions()["id"].to_list()
    for tenant, names in (("acme", "ab"), ("beta", "c")):
        own = OpsStore(address, tenant)
        keys = own.actions()["idempotency_key"].to_list()
        expected = {f"{name}-{number}" for name in [*names, "shared"] for number in range(10)}
        assert len(keys) == len(expected)
        assert set(keys) == expected
        assert len(own.loads()) == 10 * len(names)


def test_what_a_reader_has_passed_is_never_filled_in_later(store, address):
    began, end = threading.Event(), threading.Event()

    def slow():
        with OpsStore(address, "acme")._write() as connection:
            connection.execute(tables.actions.insert(), store._row(action("first")))
            began.set()
            end.wait(20)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(slow)
        assert began.wait(20)
        second = pool.submit(store.append_actions, [action("second")])
        with pytest.raises(TimeoutError):
            second.result(0.2)
        assert store.last_action_id() == 0
        end.set()
        first.result(20)
        assert second.result(20) == 1
    assert store.actions()["idempotency_key"].to_list() == ["first", "second"]


def record_and_die(address):
    store = OpsStore(address, "acme")
    store.record_load(load(rows=7))
    store.append_actions([action("a")])
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_after_the_method_returned_keeps_the_row(children, address):
    children.killed(record_and_die, address)
    store = OpsStore(address, "acme")
    assert [each.rows for each in store.loads()] == [7]
    assert store.actions().height == 1


def append_and_die_before_commit(address):
    store = OpsStore(address, "acme")
    store.append_actions([action("a")])
    with store._write() as connection:
        connection.execute(tables.actions.insert(), store._row(action("b")))
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_before_the_commit_leaves_nothing_and_blocks_nobody(children, address):
    children.killed(append_and_die_before_commit, address)
    store = OpsStore(address, "acme")
    assert store.append_actions([action("c")]) == 1
    assert store.actions()["idempotency_key"].to_list() == ["a", "c"]
