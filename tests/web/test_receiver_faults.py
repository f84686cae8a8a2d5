"""What goes wrong around the receiver: the disk, the database, and clients that do not go on."""

import json
import socket
import sqlite3
import threading
import time

import pytest
from web_server import HOTMART_PATH, HOTTOK, TOKEN, environ_of, serving

from crm_resources.ops import database
from crm_web import inbox, receiver, server

pytestmark = pytest.mark.slow

EVENT = {"id": "e1", "event": "PURCHASE_APPROVED"}


def unkept(answer):
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json() == {"detail": "Não foi gravado: envie de novo mais tarde."}
    return True


def numbered(number, size=10):
    return {**EVENT, "id": str(number), "text": "x" * size}


def test_a_locked_database_answers_503_in_time_and_loses_nothing(tmp_path, monkeypatch):
    with serving(environ_of(tmp_path)) as web:
        assert web.post(json=EVENT, headers=TOKEN).status_code == 200
        monkeypatch.setattr(inbox, "PATIENCE_SECONDS", 0.2)
        other = sqlite3.connect(web.settings.ops_address("default"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert unkept(web.post(json=numbered(2), headers=TOKEN))
        assert unkept(web.post(json=numbered(3), headers=TOKEN))
        assert time.monotonic() - began < 2
        other.execute("COMMIT")
        other.close()
        monkeypatch.setattr(inbox, "PATIENCE_SECONDS", 20)
        for number in (2, 3):
            assert web.post(json=numbered(number), headers=TOKEN).status_code == 200
    assert sorted(each.event_key for each in web.held()) == ["2", "3", "e1"]


def test_a_full_disk_answers_503_until_there_is_room(tmp_path, monkeypatch):
    configure, most = database._configure, [10_000]

    def limited(connection, record):
        configure(connection, record)
        connection.execute(f"PRAGMA max_page_count = {most[0]}")

    monkeypatch.setattr(database, "_configure", limited)
    with serving(environ_of(tmp_path)) as web:
        assert web.post(json=EVENT, headers=TOKEN).status_code == 200
    most[0] = 30
    with serving(environ_of(tmp_path)) as web:
        answers = [web.post(json=numbered(n, 30_000), headers=TOKEN) for n in range(1, 6)]
        kept = {answer.json()["id"] for answer in answers if answer.status_code == 200}
        assert all(unkept(answer) for answer in answers if answer.status_code != 200)
        assert len(kept) < 5
        assert web.get("/healthz").status_code == 503
    most[0] = 10_000
    with serving(environ_of(tmp_path)) as web:
        assert {each.event_key for each in web.held()} == {"e1", *kept}
        assert web.post(json=numbered(9), headers=TOKEN).status_code == 200
        assert web.get("/healthz").status_code == 200


def test_a_store_that_cannot_be_opened_stops_nothing(tmp_path, caplog):
    path = tmp_path / "db" / "prd" / "default" / "ops.sqlite"
    path.parent.mkdir(parents=True)
    path.write_text("nada disso" * 100)
    with serving(environ_of(tmp_path)) as web:
        for _ in range(3):
            assert unkept(web.post(json=EVENT, headers=TOKEN))
        path.unlink()
        assert web.post(json=EVENT, headers=TOKEN).status_code == 200
    told = [record.getMessage() for record in caplog.records if record.name == "crm_web"]
    assert told == [
        "default: os eventos não estão sendo gravados: O arquivo do banco de operações não é um "
        "banco SQLite.",
        "default: os eventos voltaram a ser gravados.",
    ]


def test_a_post_that_the_database_refuses_takes_no_other_with_it(tmp_path, monkeypatch):
    receive = inbox.Inbox._receive

    def picky(self, events):
        if any(event.event_key == "13" for event in events):
            raise inbox.BadRecordError("recusado")
        receive(self, events)

    monkeypatch.setattr(inbox.Inbox, "_receive", picky)
    with serving(environ_of(tmp_path)) as web:
        answers = {}

        def post(number):
            answers[number] = web.post(json=numbered(number), headers=TOKEN).status_code

        threads = [threading.Thread(target=post, args=(number,)) for number in range(10, 18)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {number: 503 if number == 13 else 200 for number in range(10, 18)}
    assert len(web.held()) == 7


def test_when_too_many_wait_the_next_ones_are_sent_away(tmp_path, monkeypatch):
    monkeypatch.setattr(inbox, "MOST_WAITING", 0)
    with serving(environ_of(tmp_path)) as web:
        assert unkept(web.post(json=EVENT, headers=TOKEN))
    assert web.held() == []


def test_refusals_that_cannot_be_written_are_counted_later(tmp_path, monkeypatch):
    monkeypatch.setattr(inbox, "COUNTING_SECONDS", 0.02)
    count, failed = inbox.OpsStore.count_refusals, []

    def fails_once(self, *arguments):
        if not failed:
            failed.append(1)
            raise OSError("disk")
        count(self, *arguments)

    monkeypatch.setattr(inbox.OpsStore, "count_refusals", fails_once)
    with serving(environ_of(tmp_path)) as web:
        assert web.post(json=EVENT).status_code == 401
    assert [each.count for each in web.store().refusals()] == [1]
    assert failed


# Clients


HEAD = (
    f"POST {HOTMART_PATH} HTTP/1.1\r\nhost: x\r\nx-hotmart-hottok: {HOTTOK}\r\n"
    "content-length: {size}\r\n\r\n"
)


def answer_of(connection):
    """What comes until the server hangs up."""
    found = b""
    while piece := connection.recv(4096):
        found += piece
    return found.decode()


@pytest.fixture
def impatient(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(receiver, "BODY_SECONDS", 0.2)
    with serving(environ_of(tmp_path)) as web:
        yield web


@pytest.mark.parametrize("sent", [b"", b"PO", b"POST / HTTP/1.1\r\nhost: x\r\n"])
def test_a_client_that_sends_no_request_is_hung_up_on(impatient, sent):
    with impatient.connect() as slow:
        slow.sendall(sent)
        assert answer_of(slow) == ""


def test_a_client_that_stops_in_its_second_request_is_hung_up_on(impatient):
    body = json.dumps(EVENT)
    with impatient.connect() as slow:
        slow.sendall((HEAD.format(size=len(body)) + body).encode())
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        slow.sendall(b"POST / HTTP/1.1\r\nho")
        assert answer_of(slow) == ""


def test_a_head_without_end_is_hung_up_on(tmp_path):
    with serving(environ_of(tmp_path)) as web, web.connect() as endless:
        endless.sendall(b"POST / HTTP/1.1\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            endless.sendall((b"x: " + b"y" * 10_000 + b"\r\n") * 5_000)
        assert web.post(json=EVENT, headers=TOKEN).status_code == 200


def test_a_body_that_does_not_come_is_answered_408(impatient):
    with impatient.connect() as slow:
        slow.sendall(HEAD.format(size=100).encode() + b'{"id": ')
        assert answer_of(slow).startswith("HTTP/1.1 408")
    assert impatient.held() == []


def test_a_client_that_leaves_in_the_middle_leaves_nothing(impatient):
    with impatient.connect() as leaving:
        leaving.sendall(HEAD.format(size=100).encode() + b'{"id": ')
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert impatient.post(json=EVENT, headers=TOKEN).status_code == 200
    assert [each.event_key for each in impatient.held()] == ["e1"]


def test_stuck_clients_block_nobody(tmp_path):
    with serving(environ_of(tmp_path)) as web:
        stuck = [web.connect() for _ in range(100)]
        try:
            for number, each in enumerate(stuck):
                each.sendall(HEAD.format(size=100).encode()[: 20 + number * 2])
            began = time.monotonic()
            assert web.post(json=EVENT, headers=TOKEN).status_code == 200
            assert time.monotonic() - began < 2
        finally:
            for each in stuck:
                each.close()
    assert len(web.held()) == 1
