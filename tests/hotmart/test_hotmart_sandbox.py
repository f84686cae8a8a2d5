"""The sandbox answers as the vendor does, and its sales look like a real account's."""

import base64
import json
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

import httpx
import pytest

from crm_resources.hotmart import PRICE_DETAILS_STATUSES, SALES_HISTORY, STATUSES
from crm_resources.hotmart.client import TOKEN_PATH
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS, Faults

HISTORY = "/payments/api/v1/sales/history"
USERS = "/payments/api/v1/sales/users"
PRICES = "/payments/api/v1/sales/price/details"
BASIC = {"Authorization": SANDBOX_CREDENTIALS.authorization}
GRANT = {"grant_type": "client_credentials"}
PAIR = {"client_id": "sandbox-id", "client_secret": "sandbox-secret"}


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
