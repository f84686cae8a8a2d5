import json
import os
import signal
import stat
import threading
import time

import pytest

from crm_resources.locks import Busy, hold, holder


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "acme" / "run.lock"


def hold_until(path, release, purpose="ingestão"):
    with hold(path, purpose, 10):
        (path.parent / f"held.{os.getpid()}").touch()
        release.wait(30)


def hold_and_die(path):
    with hold(path, "rodada morta", 0):
        os.kill(os.getpid(), signal.SIGKILL)


def append_line(path, target, line):
    with hold(path, "escrita", 30):
        text = target.read_text() if target.exists() else ""
        time.sleep(0.02)
        target.write_text(text + line + "\n")


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def other(children, lock):
    """Hold the lock in another process for the length of the test."""
    release = children.context.Event()
    process = children.start(hold_until, lock, release)
    wait_for(lambda: lock.parent.exists() and any(lock.parent.glob("held.*")))
    yield process, release
    release.set()
    assert children.exit_code(process) == 0


def test_refusal_names_purpose_process_and_since(lock, other):
    process, _ = other
    start = time.monotonic()
    with pytest.raises(Busy) as refused, hold(lock, "outra", 0):
        pass
    assert time.monotonic() - start < 5
    message = str(refused.value)
    assert message.startswith(
        f"Os dados da empresa estão em uso por «ingestão» (processo {process.pid}, desde "
    )
    assert refused.value.holder.purpose == "ingestão"
    assert refused.value.holder.since.tzinfo is not None


def test_the_wait_is_bounded(lock, other):
    start = time.monotonic()
    with pytest.raises(Busy), hold(lock, "outra", 0.3):
        pass
    assert 0.3 <= time.monotonic() - start < 10


def test_the_second_waits_for_the_first(lock, other):
    _, release = other
    threading.Timer(0.2, release.set).start()
    with hold(lock, "outra", 30):
        assert holder(lock).startswith("«outra»")


def test_no_update_is_lost_between_processes(children, lock, tmp_path):
    target = tmp_path / "lines"
    lines = [f"line {number}" for number in range(4)]
    processes = [children.start(append_line, lock, target, line) for line in lines]
    assert [children.exit_code(process) for process in processes] == [0] * 4
    assert sorted(target.read_text().splitlines()) == lines


def test_threads_exclude_each_other(lock):
    entered = []

    def enter():
        with hold(lock, "thread", 30):
            entered.append(threading.get_ident())

    thread = threading.Thread(target=enter)
    with hold(lock, "principal", 0):
        thread.start()
        time.sleep(0.2)
        assert entered == []
    thread.join(10)
    assert entered == [thread.ident]


def test_a_kill_frees_the_lock_at_once_and_its_note_blocks_nobody(children, lock):
    children.killed(hold_and_die, lock)
    note = lock.with_name("run.lock.holder")
    assert json.loads(note.read_text())["purpose"] == "rodada morta"
    assert holder(lock) is None
    assert not note.exists()
    children.killed(hold_and_die, lock)
    with hold(lock, "seguinte", 0):
        assert holder(lock).startswith("«seguinte»")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_any_exception_releases_at_once(lock, error):
    with pytest.raises(error) as alive, hold(lock, "primeira", 0):
        raise error
    assert alive.value.__traceback__ is not None
    assert [path.name for path in lock.parent.iterdir()] == ["run.lock"]
    assert holder(lock) is None
    with hold(lock, "segunda", 0):
        pass


def test_a_thread_that_waits_for_itself_is_refused_at_once(lock):
    start = time.monotonic()
    with hold(lock, "fora", 0), pytest.raises(Busy, match="«fora»"), hold(lock, "dentro", 60):
        pass
    assert time.monotonic() - start < 30
    with hold(lock, "depois", 0):
        pass


def test_holder_of_a_lock_never_held(lock):
    assert holder(lock) is None
    assert not lock.exists()


def test_an_unreadable_note_still_refuses(lock, other):
    for note in ("", "{", "[]", '{"purpose": "x"}', '"x"'):
        lock.with_name("run.lock.holder").write_text(note)
        assert holder(lock) is None
        with pytest.raises(Busy, match="em uso por outro processo"), hold(lock, "x", 0):
            pass


def test_folder_and_files_are_private(lock):
    with hold(lock, "privada", 0):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in lock.parent.iterdir()}
        assert modes == {"run.lock": 0o600, "run.lock.holder": 0o600}
    assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700
