"""The receiver over TCP: who is let in, what is kept, and what it answers."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from web_server import (
    CLIENT,
    HOTMART_PATH,
    HOTTOK,
    MANYCHAT,
    MANYCHAT_PATH,
    OLD_HOTTOK,
    OTHER_HOTTOK,
    SECRETS,
    TOKEN,
    environ_of,
    said,
    serving,
)

from crm_assets.settings import SettingsError
from crm_web import receiver
from crm_web.receiver import Tokens

EVENT = {
    "id": "3f0c6c6e-1b1c-4a58-9c2f-000000000001",
    "creation_date": 1_773_570_061_123,
    "event": "PURCHASE_APPROVED",
    "version": "2.0.0",
    "data": {"buyer": {"name": "Zoé 🌸", "email": "zoe@example.com"}},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def running(home):
    with serving(environ_of(home), ("default", "acme", "beta")) as web:
        yield web


@pytest.fixture
def web(running):
    """The running app with an empty inbox."""
    for tenant in ("default", "acme"):
        with running.store(tenant)._write() as connection:
            for table in ("inbox", "refusals"):
                connection.exec_driver_sql(f"DELETE FROM {table}")
    return running


def test_an_event_is_kept_as_it_came(web):
    text = json.dumps(EVENT, ensure_ascii=False, indent=1)
    before = datetime.now(UTC)
    answer = web.post(content=text.encode(), headers={**TOKEN, "content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (200, {"id": EVENT["id"]})
    (held,) = web.held()
    assert (held.kind, held.event_key, held.body) == ("hotmart", EVENT["id"], text)
    assert (held.event, held.version, held.state) == ("PURCHASE_APPROVED", "2.0.0", "pending")
    assert held.content_type == "application/json"
    assert held.event_at == datetime(2026, 3, 15, 10, 21, 1, 123000, tzinfo=UTC)
    assert before <= held.received_at <= datetime.now(UTC)


@pytest.mark.parametrize("token", [HOTTOK, OLD_HOTTOK])
def test_each_of_several_tokens_opens(web, token):
    assert web.post(json=EVENT, headers={"x-hotmart-hottok": token}).status_code == 200


def test_the_token_may_stand_in_the_body_and_does_not_stay_there(web):
    answer = web.post(json={**EVENT, "hottok": HOTTOK})
    assert answer.status_code == 200
    (held,) = web.held()
    assert json.loads(held.body) == EVENT


REFUSED = [
    {"json": EVENT},
    {"json": EVENT, "headers": {"x-hotmart-hottok": ""}},
    {"json": EVENT, "headers": {"x-hotmart-hottok": "canario-errado-0123456789"}},
    {"json": EVENT, "headers": {"x-hotmart-hottok": HOTTOK[:-1]}},
    {"json": EVENT, "headers": {"x-hotmart-hottok": f"{HOTTOK},{OLD_HOTTOK}"}},
    {"json": EVENT, "headers": {"x-hotmart-hottok": b"\xe9\xff"}},
    {"json": EVENT, "headers": {"x-hotmart-hottok": MANYCHAT}},
    {"json": EVENT, "headers": {"authorization": f"Bearer {HOTTOK}"}},
    {"content": b'{"hottok": "\\ud800canario-errado-0123456789"}'},
    {"json": {**EVENT, "hottok": ""}},
    {"json": {**EVENT, "hottok": None}},
    {"json": {**EVENT, "hottok": [HOTTOK]}},
    {"json": {**EVENT, "data": {"hottok": HOTTOK}}},
    {"json": {**EVENT, "hottok": HOTTOK}, "headers": {"x-hotmart-hottok": "canario-errado-012345"}},
    {"json": [HOTTOK]},
    {"json": HOTTOK},
    {"content": b"{"},
    {"content": b""},
    {"content": b"\xff\xfe\x00"},
    {"data": {"hottok": "canario-errado-0123456789", "status": "approved"}},
]


@pytest.mark.parametrize("request_", REFUSED)
def test_without_the_right_token_nothing_is_kept(web, request_):
    answer = web.post(**request_)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Token ausente ou errado."})
    assert answer.headers["www-authenticate"] == "Token"
    assert web.held() == []


def test_a_tenant_without_a_token_refuses_everything(web):
    for request_ in [{"json": EVENT}, {"json": EVENT, "headers": TOKEN}, {"json": {"hottok": ""}}]:
        assert web.post("/api/hotmart/webhook/beta", **request_).status_code == 401
    assert web.held("beta") == []


def test_a_token_is_one_tenants_own(web):
    theirs = {"x-hotmart-hottok": OTHER_HOTTOK}
    assert web.post("/api/hotmart/webhook/acme", json=EVENT, headers=TOKEN).status_code == 401
    assert web.post("/api/hotmart/webhook/acme", json=EVENT, headers=theirs).status_code == 200
    assert web.post(json=EVENT, headers=theirs).status_code == 401
    assert (len(web.held("acme")), web.held()) == (1, [])


def test_user_stands_for_the_default_tenant(web):
    assert web.post("/api/hotmart/webhook/user", json=EVENT, headers=TOKEN).status_code == 200
    assert len(web.held()) == 1


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/api/hotmart/webhook/nobody", 404),
        ("POST", "/api/hotmart/webhook/default/", 404),
        ("POST", "/api/hotmart/webhook/%2e%2e", 404),
        ("POST", "/api/hotmart/webhook", 404),
        ("POST", "/api/manychat/contact/nobody", 404),
        ("GET", "/", 404),
        ("GET", HOTMART_PATH, 405),
        ("PUT", MANYCHAT_PATH, 405),
    ],
)
def test_an_unknown_address_says_nothing_of_the_known_ones(web, method, path, code):
    answer = CLIENT.request(method, f"{web.url}{path}", headers=TOKEN)
    assert answer.status_code == code
    assert list(answer.json()) == ["detail"]
    assert not any(word in answer.text for word in ("acme", "default", "Not Found"))


def test_the_same_event_is_kept_once(web):
    def post(number):
        return web.post(json={**EVENT, "attempt": number}, headers=TOKEN)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(24)))
    assert {(answer.status_code, answer.json()["id"]) for answer in answers} == {(200, EVENT["id"])}
    assert len(web.held()) == 1


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/xml", "x", None])
def test_json_is_json_under_any_type(web, content_type):
    headers = TOKEN if content_type is None else {**TOKEN, "content-type": content_type}
    assert web.post(content=json.dumps(EVENT).encode(), headers=headers).status_code == 200
    (held,) = web.held()
    assert (held.event_key, held.content_type) == (EVENT["id"], content_type)


@pytest.mark.parametrize(
    "body",
    [b"[]", b"[1, 2]", b'"text"', b"12", b"null", b"{}", b'{"a": 1}', b"{not json", b"",
     b"\x00\xff", b"[" * 100_000, b'{"id": 1e999}', b'{"id": {"a": 1}, "event": ["x"]}',
     b'{"event": "\\ud800"}', b'{"id": "\\u0000"}', "{não é utf-8}".encode("cp1252")],
)  # fmt: skip
def test_any_shape_is_kept_once_the_token_is_right(web, body):
    answer = web.post(content=body, headers=TOKEN)
    assert answer.status_code == 200
    (held,) = web.held()
    assert held.event_key == answer.json()["id"]
    assert len(held.body) >= len(body.decode("latin-1")) - 1
    assert web.post(content=body, headers=TOKEN).status_code == 200
    assert len(web.held()) == 1


@pytest.mark.parametrize("in_body", [True, False])
def test_the_old_forms_are_kept_and_marked(web, in_body):
    form = {"transaction": "HP1", "status": "approved", "email": "ana@example.com", "aff": ""}
    token = {"hottok": HOTTOK} if in_body else {}
    answer = web.post(data={**token, **form}, headers={} if in_body else TOKEN)
    assert answer.status_code == 200
    (held,) = web.held()
    assert (json.loads(held.body), held.version, held.event) == (form, "1.0.0", None)
    assert held.content_type == "application/x-www-form-urlencoded"


def test_a_body_may_come_in_pieces(web):
    text = json.dumps(EVENT).encode()
    pieces = (text[i : i + 7] for i in range(0, len(text), 7))
    assert web.post(content=pieces, headers=TOKEN).status_code == 200
    assert web.held()[0].body == text.decode()


@pytest.mark.parametrize("in_pieces", [True, False])
def test_a_body_has_a_limit(web, in_pieces):
    most = receiver.MOST_BYTES
    fits, too_large = (json.dumps("x" * size).encode() for size in (most - 2, most - 1))
    sent = (lambda body: iter([body[:1000], body[1000:]])) if in_pieces else (lambda body: body)
    assert web.post(content=sent(fits), headers=TOKEN).status_code == 200
    answer = web.post(content=sent(too_large), headers=TOKEN)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert len(web.held()) == 1


def test_a_stranger_is_not_listened_to_for_long(web):
    most = receiver.MOST_BYTES_OF_STRANGERS
    said = {**EVENT, "hottok": HOTTOK, "text": "x" * most}
    assert web.post(json=said).status_code == 413
    assert web.post(json={**said, "text": "x" * (most - 500)}).status_code == 200
    head = f"POST {HOTMART_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n"
    with web.connect() as slow:
        slow.sendall(f"{head}x-hotmart-hottok: canario-errado-0123456789\r\n\r\n".encode())
        assert slow.recv(4096).startswith(b"HTTP/1.1 401")
    assert len(web.held()) == 1


CONTACT = {"id": "1604823001", "name": "Ana", "whatsapp_phone": "+5511987651234"}


@pytest.mark.parametrize(
    "headers", [{"X-MANYCHAT-TOKEN": MANYCHAT}, {"Authorization": f"Bearer {MANYCHAT}"}]
)
def test_a_contact_of_manychat_is_kept(web, headers):
    assert web.post(MANYCHAT_PATH, json=CONTACT, headers=headers).status_code == 200
    (held,) = web.held()
    assert (held.kind, json.loads(held.body)) == ("manychat", CONTACT)
    assert (held.event, held.version, held.event_at) == (None, None, None)
    changed = {**CONTACT, "name": "Ana Souza"}
    assert web.post(MANYCHAT_PATH, json=changed, headers=headers).status_code == 200
    assert len(web.held()) == 2


@pytest.mark.parametrize(
    "headers", [{}, TOKEN, {"X-MANYCHAT-TOKEN": HOTTOK}, {"Authorization": f"Basic {MANYCHAT}"}]
)
def test_a_contact_without_its_own_token_is_refused(web, headers):
    answer = web.post(MANYCHAT_PATH, json={**CONTACT, "hottok": MANYCHAT}, headers=headers)
    assert answer.status_code == 401
    assert web.held() == []


def test_the_app_says_whether_it_is_well_and_what_it_answers_to(web):
    assert web.post(json=EVENT, headers=TOKEN).status_code == 200
    health = web.get("/healthz")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    page = web.get("/doc")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<code>POST /api/hotmart/webhook/{tenant}</code>" in page.text
    assert "http" not in page.text.replace("httpx", "")
    described = web.get("/doc/openapi.json").json()
    assert sorted(described["paths"]) == [
        "/api/hotmart/webhook/{tenant}", "/api/manychat/contact/{tenant}", "/healthz",
    ]  # fmt: skip
    assert set(described["paths"]["/api/hotmart/webhook/{tenant}"]["post"]["responses"]) == {
        "200", "401", "404", "408", "413", "503",
    }  # fmt: skip
    assert not any(word in json.dumps(described) for word in ("Successful", "Validation"))


# On their own servers


def test_refusals_are_counted_with_time_and_address_and_no_token_is_written(
    tmp_path, caplog, capfd
):
    began = datetime.now(UTC)
    with serving(environ_of(tmp_path)) as web:
        for _ in range(3):
            assert (
                web.post(json=EVENT, headers={"x-hotmart-hottok": "canario-x"}).status_code == 401
            )
        forwarded = {"x-forwarded-for": "203.0.113.7", "x-manychat-token": "canario-y"}
        assert web.post(MANYCHAT_PATH, json=CONTACT, headers=forwarded).status_code == 401
        odd = {"x-forwarded-for": "<script>"}
        assert web.post(json=EVENT, headers=odd).status_code == 401
        bodies = [
            {"json": {**EVENT, "hottok": HOTTOK, "data": {"HOTTOK": OLD_HOTTOK, "x": HOTTOK}}},
            {"content": f'{{"hottok": "{OLD_HOTTOK}", broken'.encode(), "headers": TOKEN},
            {"content": f"[{json.dumps(HOTTOK)}]".encode(), "headers": TOKEN},
            {"data": {"hottok": HOTTOK, "status": "approved"}, "headers": TOKEN},
        ]
        for body in bodies:
            assert web.post(**body).status_code == 200
        answers = [web.post(**request_) for request_ in REFUSED[:4]]
    counted = {(each.kind, each.address): each.count for each in web.store().refusals()}
    assert counted == {
        ("hotmart", "127.0.0.1"): 7,
        ("hotmart", "desconhecido"): 1,
        ("manychat", "203.0.113.7"): 1,
    }
    assert all(began <= each.first_at <= each.last_at for each in web.store().refusals())
    assert len(web.held()) == len(bodies)
    told = "".join(capfd.readouterr()) + caplog.text + "".join(each.text for each in answers)
    for secret in (*SECRETS, "canario-x", "canario-y", "canario-errado"):
        assert secret.encode() not in said(tmp_path)
        assert secret not in told


def test_the_only_tenant_is_the_default_one(tmp_path):
    environ = environ_of(tmp_path)
    theirs = {"x-hotmart-hottok": OTHER_HOTTOK}
    with serving(environ, ("acme",)) as web:
        path = "/api/hotmart/webhook/user"
        assert web.post(path, json=EVENT, headers=theirs).status_code == 200
    assert len(web.held("acme")) == 1


def test_what_waits_is_written_before_the_end(tmp_path, monkeypatch):
    from crm_web.inbox import Inbox

    receive, keep, began, waiting = Inbox._receive, Inbox.keep, [], []

    def slowly(self, events):
        began.append(len(events))
        time.sleep(0.3)
        receive(self, events)

    async def told(self, event):
        waiting.append(event)
        await keep(self, event)

    monkeypatch.setattr(Inbox, "_receive", slowly)
    monkeypatch.setattr(Inbox, "keep", told)
    with ThreadPoolExecutor(8) as pool:
        with serving(environ_of(tmp_path)) as web:
            posts = [
                pool.submit(web.post, json={**EVENT, "id": str(number)}, headers=TOKEN)
                for number in range(1, 9)
            ]
            while len(waiting) < 8:
                time.sleep(0.01)
        answers = [post.result() for post in posts]
    assert {answer.status_code for answer in answers} == {200}
    assert len(web.held()) == 8
    assert len(began) < 8


@pytest.mark.parametrize("text", ["curto", "canário-com-acento-longo", f"{HOTTOK},curto"])
def test_a_token_that_could_be_guessed_stops_the_start(tmp_path, text):
    environ = environ_of(tmp_path, HOTMART_WEBHOOK_TOKEN=text)
    with pytest.raises(SettingsError, match="HOTMART_WEBHOOK_TOKEN tem um token com menos de 16"):
        serving(environ).__enter__()


def test_tokens_are_never_shown():
    assert HOTTOK not in repr(Tokens((HOTTOK,)))
