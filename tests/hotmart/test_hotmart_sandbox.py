"""The sandbox answers as the vendor does, and its sales look like a real account's."""

import base64
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from crm_resources.hotmart import PRICE_DETAILS_STATUSES, SALES_HISTORY, STATUSES
from crm_resources.hotmart.client import TOKEN_PATH
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS, Faults
from crm_resources.hotmart.sandbox_data import SandboxData, SandboxDataError

HISTORY = "/payments/api/v1/sales/history"
USERS = "/payments/api/v1/sales/users"
COMMISSIONS = "/payments/api/v1/sales/commissions"
PRICES = "/payments/api/v1/sales/price/details"
BASIC = {"Authorization": SANDBOX_CREDENTIALS.authorization}
GRANT = {"grant_type": "client_credentials"}
PAIR = {"client_id": "sandbox-id", "client_secret": "sandbox-secret"}


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def get(http, sandbox):
    """Asks a sales endpoint with a good token."""
    token = http.post(TOKEN_PATH, params=GRANT, headers=BASIC).json()["access_token"]

    def ask(path=HISTORY, **parameters):
        return http.get(path, params=parameters, headers={"Authorization": f"Bearer {token}"})

    return ask


def epoch(*day):
    return int(datetime(*day, tzinfo=UTC).timestamp() * 1000)


def statuses_of(reply):
    return {item["purchase"]["status"] for item in reply.json()["items"]}


# --- tokens


@pytest.mark.parametrize(
    "request_parts",
    [
        {"params": GRANT | PAIR, "headers": BASIC},
        {"params": GRANT, "headers": BASIC},
        {"params": GRANT | PAIR},
        {"data": GRANT | PAIR},
    ],
    ids=["query and header", "header", "query", "form"],
)
def test_a_token_is_given_for_header_or_parameters(http, sandbox, request_parts):
    sandbox.faults.expires_in = 1234
    body = http.post(TOKEN_PATH, **request_parts).json()
    assert body["token_type"] == "bearer"
    assert body["expires_in"] == 1234
    assert len(body["access_token"]) > 300


@pytest.mark.parametrize(
    ("request_parts", "status", "error"),
    [
        ({"params": GRANT | PAIR | {"client_secret": "x"}}, 401, "invalid_client"),
        ({"params": GRANT | PAIR, "headers": {"Authorization": "Basic x"}}, 401, "invalid_client"),
        ({"params": GRANT}, 401, "invalid_client"),
        ({"params": PAIR, "headers": BASIC}, 400, "invalid_parameter"),
    ],
)
def test_no_token_without_the_credential(http, sandbox, request_parts, status, error):
    reply = http.post(TOKEN_PATH, **request_parts)
    assert (reply.status_code, reply.json()["error"]) == (status, error)


@pytest.mark.parametrize(
    ("authorization", "error"), [(None, "unauthorized"), ("Bearer x", "invalid_token")]
)
def test_no_answer_without_a_token(http, sandbox, authorization, error):
    headers = {"Authorization": authorization} if authorization else {}
    reply = http.get(HISTORY, headers=headers)
    assert (reply.status_code, reply.json()["error"]) == (401, error)


def test_a_token_ends(get, sandbox):
    sandbox.faults.expire_token_after = 2
    assert [get().status_code for _ in range(3)] == [200, 200, 401]
    assert get().json()["error"] == "token_expired"


def test_a_token_ends_in_time(http, sandbox):
    sandbox.faults.expires_in = 0
    token = http.post(TOKEN_PATH, params=GRANT, headers=BASIC).json()["access_token"]
    reply = http.get(HISTORY, headers={"Authorization": f"Bearer {token}"})
    assert reply.json()["error"] == "token_expired"


# --- filters


def test_without_status_only_approved_and_complete_come(get):
    assert statuses_of(get(max_results=500)) == {"APPROVED", "COMPLETE"}


def test_repeated_statuses_are_a_union(get, sandbox):
    wanted = ["REFUNDED", "EXPIRED"]
    reply = get(transaction_status=wanted, max_results=500)
    assert statuses_of(reply) == set(wanted)
    found = sandbox.data.find(statuses=frozenset(wanted))
    assert reply.json()["page_info"]["total_results"] == len(found)


@pytest.mark.parametrize(
    "name", ["BILLET_PRINTED", "COMPLETED", "CANCELED", "DISPUTE", "DELAYED", "APPROVED,COMPLETE"]
)
def test_one_unknown_status_is_a_400_that_names_nothing(get, name):
    reply = get(transaction_status=["APPROVED", name])
    assert reply.status_code == 400
    assert reply.json()["error"] == "invalid_parameter"
    assert "status" not in reply.text
    assert name not in reply.text


def test_price_details_take_fourteen_statuses(get):
    assert len(PRICE_DETAILS_STATUSES) == 14
    assert get(PRICES, transaction_status=list(PRICE_DETAILS_STATUSES)).status_code == 200
    for name in ("NO_FUNDS", "PRE_ORDER", "PROCESSING_TRANSACTION"):
        assert get(PRICES, transaction_status=name).status_code == 400
        assert get(HISTORY, transaction_status=name).status_code == 200


def test_the_order_date_is_filtered_both_ends_inclusive(get, sandbox):
    sale = sandbox.data.find()[100]
    at = sale.ordered_at

    def found(start, end):
        reply = get(start_date=start, end_date=end, transaction_status=list(STATUSES))
        return sale.transaction in [SALES_HISTORY.key(item) for item in reply.json()["items"]]

    assert found(at, at)
    assert found(at - 5, at)
    assert not found(at + 1, at + 5)
    assert not found(at - 5, at - 1)


@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        (epoch(2023, 7, 1), epoch(2024, 7, 1) - 1, 200),
        (epoch(2023, 6, 1), epoch(2024, 7, 1), 400),
        (epoch(2024, 7, 1), epoch(2024, 6, 1), 400),
        ("2024-01-01", epoch(2024, 6, 1), 400),
    ],
)
def test_a_window_has_a_longest_length(get, start, end, status):
    assert get(start_date=start, end_date=end).status_code == status


def test_a_transaction_is_found_whatever_its_status(get, sandbox):
    refunded = sandbox.data.find(statuses=frozenset({"REFUNDED"}))[0]
    reply = get(transaction=refunded.transaction)
    assert statuses_of(reply) == {"REFUNDED"}
    assert reply.json()["page_info"] == {"results_per_page": 1, "total_results": 1}
    assert get(transaction="HP0").json()["items"] == []


def test_commission_as_and_product_are_filters(get, sandbox):
    reply = get(commission_as="AFFILIATE", transaction_status=list(STATUSES), max_results=500)
    roles = {item["purchase"]["commission_as"] for item in reply.json()["items"]}
    assert roles == {"AFFILIATE"}
    assert get(commission_as="OWNER").status_code == 400
    reply = get(product_id=4100003, max_results=500)
    assert {item["product"]["id"] for item in reply.json()["items"]} == {4100003}


# --- pages


def test_pages_name_their_neighbours_and_the_ends_do_not(get, sandbox):
    everything = {"transaction_status": list(STATUSES), "max_results": 500}
    first = get(**everything).json()["page_info"]
    second = get(**everything, page_token=first["next_page_token"]).json()["page_info"]
    last = get(**everything, page_token=second["next_page_token"]).json()["page_info"]
    assert first.keys() == {"results_per_page", "total_results", "next_page_token"}
    assert second.keys() == first.keys() | {"prev_page_token"}
    assert last.keys() == {"results_per_page", "total_results", "prev_page_token"}
    assert [page["results_per_page"] for page in (first, second, last)] == [500, 500, 200]
    assert json.loads(base64.b64decode(first["next_page_token"])) == {"rows": 500, "page": 2}


@pytest.mark.parametrize(("asked", "given"), [(None, 50), (20, 20), (500, 500), (5_000, 500)])
def test_page_sizes_are_cut_without_a_word(get, asked, given):
    parameters = {} if asked is None else {"max_results": asked}
    assert get(**parameters).json()["page_info"]["results_per_page"] == given


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"max_results": "many"}, "invalid_value_parameter"),
        ({"max_results": 0}, "invalid_value_parameter"),
        ({"page_token": "x"}, "invalid_token"),
        ({"page_token": base64.b64encode(b"[]").decode()}, "invalid_token"),
    ],
)
def test_bad_pages_are_refused(get, parameters, error):
    reply = get(**parameters)
    assert (reply.status_code, reply.json()["error"]) == (400, error)


def test_pages_drift_when_a_row_arrives(get, sandbox):
    everything = {"transaction_status": list(STATUSES), "max_results": 500}
    sandbox.faults.insert_rows = 1
    first = get(**everything).json()
    second = get(**everything, page_token=first["page_info"]["next_page_token"]).json()
    assert second["items"][0] == first["items"][-1]
    assert second["page_info"]["total_results"] == first["page_info"]["total_results"] + 1


# --- the other endpoints


def test_users_carry_what_history_does_not(get, sandbox):
    sale = next(sale for sale in sandbox.data.find() if '"documents"' in sale.users)
    (item,) = get(USERS, transaction=sale.transaction).json()["items"]
    buyer = next(each["user"] for each in item["users"] if each["role"] == "BUYER")
    assert item["transaction"] == sale.transaction
    assert buyer["address"]["country"] == "Brasil"
    assert buyer["documents"][0]["type"] == "CPF"
    assert "cellphone" not in sale.history


@pytest.mark.parametrize("key", ["currency_code", "currency_value"])
def test_commissions_share_the_base_under_either_currency_key(get, sandbox, key):
    sandbox.faults.currency_key = key
    items = get(COMMISSIONS, commission_as="COPRODUCER", max_results=500).json()["items"]
    assert items
    for item in items:
        sale = json.loads(sandbox.data.find(filters=by(item["transaction"]))[0].history)
        shares = {each["source"]: each["commission"] for each in item["commissions"]}
        assert shares.keys() == {"MARKETPLACE", "PRODUCER", "COPRODUCER"}
        total = sum(share["value"] for share in shares.values())
        assert total == pytest.approx(sale["purchase"]["hotmart_fee"]["base"], abs=0.02)
        assert {share[key] for share in shares.values()} == {"BRL"}


def by(transaction):
    return frozenset({("transaction", transaction)})


def test_price_details_add_up_and_carry_the_rate(get):
    items = get(PRICES, max_results=500).json()["items"]
    rates = {item["total"]["currency_code"]: item["real_conversion_rate"] for item in items}
    assert rates["BRL"] == 1.0
    assert 0 < rates["USD"] < 1 < rates["MXN"]
    for item in items:
        parts = item["base"]["value"] + item["fee"]["value"]
        assert parts == pytest.approx(item["total"]["value"], abs=0.01)
    assert any(item["fee"]["value"] > 0 for item in items)


# --- the rate limit and the faults


def test_five_headers_tell_the_rate_limit(get, sandbox):
    sandbox.faults.calls_per_minute = 3
    time.sleep(0.3 - time.monotonic() % 0.3)  # begin with a minute of the sandbox
    replies = [get() for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert replies[-1].json()["error"] == "too_many_requests"
    assert [reply.headers["RateLimit-Remaining"] for reply in replies] == ["2", "1", "0", "0"]
    last = replies[-1].headers
    assert last["RateLimit-Limit"] == last["X-RateLimit-Limit-Minute"] == "3"
    assert last["X-RateLimit-Remaining-Minute"] == "0"
    time.sleep(float(last["RateLimit-Reset"]) + 0.01)
    assert get().status_code == 200


def test_faults_are_set_and_ended_over_http(http, get, sandbox):
    reply = http.post("/sandbox/faults", json={"next_answers": ["503", "html"], "forbidden": True})
    assert reply.json()["next_answers"] == ["503", "html"]
    assert [get().status_code for _ in range(3)] == [503, 200, 403]
    assert http.post("/sandbox/faults", json={}).json() == Faults().model_dump()
    assert get().status_code == 200


@pytest.mark.parametrize("body", ['{"sloth": 1}', '{"next_answers": ["418"]}', "[]", "{"])
def test_an_unknown_fault_is_named(http, sandbox, body):
    reply = http.post("/sandbox/faults", content=body)
    assert reply.status_code == 400
    assert "Falha desconhecida ou valor inválido" in reply.json()["erro"]
    assert "expire_token_after" in reply.json()["erro"]


def test_calls_are_counted(http, get, sandbox):
    get()
    get(transaction_status="NOPE")
    get(USERS)
    assert http.get("/sandbox/stats").json() == {
        "calls": 3,
        "token_requests": 1,
        "answers": {"sales/history 200": 1, "sales/history 400": 1, "sales/users 200": 1},
    }


def test_it_can_be_served_as_a_program_until_interrupted():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = (
        "from crm_resources.hotmart.sandbox import SandboxData, serve;"
        f"serve('127.0.0.1', {port}, SandboxData([]))"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        transport = httpx.HTTPTransport(retries=9)
        with httpx.Client(transport=transport) as client:
            stats = client.get(f"http://127.0.0.1:{port}/sandbox/stats").json()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert stats["calls"] == 0


# --- the data


@pytest.fixture(scope="module")
def many():
    return SandboxData.generate(
        3, 20_000, datetime(2022, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC)
    ).find()


def test_the_same_seed_gives_the_same_sales(sales):
    start = datetime(2024, 1, 1, tzinfo=UTC)
    end = start + timedelta(days=90)
    one, other = (SandboxData.generate(5, 300, start, end).find() for _ in range(2))
    assert one == other
    assert one != SandboxData.generate(6, 300, start, end).find()


@pytest.mark.parametrize("size", [0, 1, 250])
def test_there_are_as_many_as_asked(size):
    start = datetime(2024, 1, 1, tzinfo=UTC)
    data = SandboxData.generate(1, size, start, start + timedelta(days=9))
    assert len(data) == size
    assert all(
        start.timestamp() * 1000 <= sale.ordered_at <= epoch(2024, 1, 10) for sale in data.find()
    )


def test_the_mix_is_that_of_an_account(many):
    items = [json.loads(sale.history) for sale in many]
    purchases = [item["purchase"] for item in items]
    assert len({purchase["transaction"] for purchase in purchases}) == 20_000
    assert {purchase["status"] for purchase in purchases} == set(STATUSES)
    paid = sum(purchase["status"] in {"COMPLETE", "APPROVED"} for purchase in purchases)
    assert 0.6 < paid / 20_000 < 0.85
    assert all(("approved_date" in each) >= (each["status"] == "COMPLETE") for each in purchases)
    assert any(purchase.get("recurrency_number", 0) > 12 for purchase in purchases)
    assert {purchase["offer"]["payment_mode"] for purchase in purchases} == {
        "UNIQUE_PAYMENT",
        "SUBSCRIPTION",
        "SMART_INSTALLMENT",
    }
    roots = {each["transaction"] for each in purchases}
    bumps = [each["transaction"] for each in purchases if each["transaction"].endswith("C1")]
    assert bumps
    assert {bump.removesuffix("C1") for bump in bumps} <= roots
    assert {purchase["price"]["currency_code"] for purchase in purchases} == {
        "BRL",
        "USD",
        "EUR",
        "MXN",
    }
    assert any("buyer" not in item for item in items)
    buyers = [item.get("buyer", {}) for item in items]
    for name in ("name", "email", "ucode"):
        assert 0 < sum(name not in buyer for buyer in buyers) < 1_000
    emails = Counter(buyer["email"] for buyer in buyers if "email" in buyer)
    assert emails.most_common(1)[0][1] > 3
    assert all(email.endswith("@example.com") for email in emails)


def test_phones_and_documents_look_real(many):
    users = [json.loads(sale.users)["users"][0]["user"] for sale in many]
    brazilian = [user for user in users if user["address"]["country"] == "Brasil"]
    phones = Counter(user["cellphone"] for user in brazilian)
    assert phones[""] > 0
    mobiles = [phone for phone in phones if phone.startswith("55") and len(phone) == 13]
    assert len(mobiles) > 0.8 * len(phones)
    assert all(phone[4] == "9" for phone in mobiles)
    documents = {user["documents"][0]["value"] for user in users if "documents" in user}
    assert len(documents) > 1_000
    for document in documents:
        digits = [int(digit) for digit in document]
        for length in (9, 10):
            weighted = sum(digits[i] * (length + 1 - i) for i in range(length))
            assert digits[length] == weighted * 10 % 11 % 10


def record(sale):
    return json.loads(sale.history) | {"users": json.loads(sale.users)["users"]}


def test_a_written_file_gives_the_same_sales(sales, tmp_path):
    path = tmp_path / "sales.json"
    path.write_text(json.dumps({"sales": [record(sale) for sale in sales.find()]}), "utf-8")
    loaded = SandboxData.load(path)
    assert sorted(loaded.find(), key=str) == sorted(sales.find(), key=str)


SALE = {
    "product": {"id": 1, "name": "Curso"},
    "purchase": {"transaction": "HP1", "order_date": 1_700_000_000_000, "status": "STARTED"},
}


def test_the_smallest_sale_serves_every_endpoint(get, sandbox, tmp_path):
    path = tmp_path / "sales.json"
    path.write_text(json.dumps({"sales": [SALE]}), "utf-8")
    sandbox.data = SandboxData.load(path)
    for endpoint in (HISTORY, USERS, COMMISSIONS, PRICES):
        (item,) = get(endpoint, transaction_status="STARTED").json()["items"]
        assert item["product"] == SALE["product"]


def broken(**changes):
    return json.dumps({"sales": [SALE, SALE | {"purchase": SALE["purchase"] | changes}]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "sales.json não se lê como JSON"),
        (b"\xff", "sales.json não se lê como JSON"),
        ("[]", "precisa ter uma lista `sales`"),
        ('{"sales": {}}', "precisa ter uma lista `sales`"),
        ('{"sales": [{}]}', "Na venda 1 de sales.json, falta ou é inválido: product, purchase"),
        (broken(transaction="HP2", status="COMPLETED"), "Na venda 2 .*: purchase.status"),
        (broken(transaction="HP2", order_date=1_700_000_000), "Na venda 2 .*purchase.order_date"),
        (broken(transaction="HP2", commission_as="X"), "Na venda 2 .*purchase.commission_as"),
        (broken(transaction="HP2", price={"value": 1}), "purchase.price.currency_code"),
        (broken(), "A venda 2 de sales.json repete uma transação"),
    ],
)
def test_a_bad_file_is_explained(tmp_path, content, message):
    path = tmp_path / "sales.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SandboxDataError, match=message):
        SandboxData.load(path)


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(SandboxDataError, match=r"nada\.json"):
        SandboxData.load(tmp_path / "nada.json")
