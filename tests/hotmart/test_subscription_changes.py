"""Cancelling and reactivating: what the client asks, what it says of an answer that never came."""

import json
from datetime import UTC, datetime

import httpx
import pytest
from hotmart_reads import answers
from tenacity import wait_none

from crm_resources.hotmart import (
    SUBSCRIPTIONS,
    ForbiddenError,
    HotmartClient,
    UnansweredError,
    UnavailableError,
)
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS
from crm_resources.hotmart.sandbox_data import SandboxData
from crm_resources.hotmart.subscription_changes import (
    ALREADY_ACTIVE,
    ALREADY_CANCELLED,
    Answer,
    ask,
    current,
)

pytestmark = pytest.mark.anyio


def codes(sandbox, *statuses):
    """Subscriber codes of one subscription each, in one of the states."""
    held = {}
    for each in sandbox.data.subscriptions():
        if each.billing_type == "SUBSCRIPTION":
            held.setdefault(each.item["subscriber_code"], []).append(each.item["status"])
    return [code for code, found in held.items() if len(found) == 1 and found[0] in statuses]


RUNNING = ("ACTIVE",)
ENDED = ("CANCELLED_BY_CUSTOMER", "CANCELLED_BY_SELLER")


async def status(client, code):
    return (await current(client, code))["status"]


async def test_one_subscription_is_cancelled_and_is_so_at_once(connect, sandbox):
    code = codes(sandbox, *RUNNING)[0]
    async with connect() as client:
        assert await ask(client, "cancel", [code], option=True) == {code: Answer("accepted")}
        assert await status(client, code) == "CANCELLED_BY_SELLER"
        again = await ask(client, "cancel", [code], option=True)
    assert again == {code: Answer("already", ALREADY_CANCELLED)}


ASKED = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)
ORDERED = 1_772_000_000_000


@pytest.mark.parametrize("clock", [{}, {"now": ORDERED + 86_400_000}], ids=["none", "standing"])
async def test_a_cancellation_is_dated_when_it_is_asked_for(connect, sandbox, tmp_path, clock):
    sale = {
        "product": {"id": 1, "name": "Clube"},
        "buyer": {"name": "Ana Souza", "email": "ana.souza@example.com"},
        "purchase": {
            "transaction": "HP1",
            "order_date": ORDERED,
            "approved_date": ORDERED,
            "status": "APPROVED",
            "is_subscription": True,
        },
    }
    path = tmp_path / "sales.json"
    path.write_text(json.dumps({"sales": [sale], **clock}))
    sandbox.data = SandboxData.load(path, lambda: ASKED)
    (code,) = codes(sandbox, *RUNNING)
    async with connect() as client:
        await ask(client, "cancel", [code], option=True)
        item = await current(client, code)
    asked = clock.get("now", int(ASKED.timestamp() * 1000))
    assert (item["status"], item["end_accession_date"]) == ("CANCELLED_BY_SELLER", asked)


async def test_a_list_tells_each_apart(connect, sandbox):
    running, ended = codes(sandbox, *RUNNING)[:2], codes(sandbox, *ENDED)[0]
    sandbox.faults.refuse_changes = {running[1]: "SUBSCRIPTION_IN_DISPUTE"}
    async with connect() as client:
        told = await ask(client, "cancel", [*running, ended, "NOBODY00"], option=False)
    assert told == {
        running[0]: Answer("accepted"),
        running[1]: Answer("refused", "SUBSCRIPTION_IN_DISPUTE"),
        ended: Answer("already", ALREADY_CANCELLED),
        "NOBODY00": Answer("refused", "SUBSCRIPTION_NOT_FOUND"),
    }


async def test_a_list_without_failures_has_no_list_of_them(connect, sandbox):
    wanted = codes(sandbox, *RUNNING)[:2]
    async with connect() as client:
        told = await ask(client, "cancel", wanted, option=True)
    assert told == dict.fromkeys(wanted, Answer("accepted"))


async def test_a_reactivation_is_not_active_until_the_subscriber_accepts(connect, sandbox, http):
    ended, running = codes(sandbox, *ENDED)[0], codes(sandbox, *RUNNING)[0]
    async with connect() as client:
        before = await status(client, ended)
        told = await ask(client, "reactivate", [ended, running], option=False)
        assert told == {ended: Answer("accepted"), running: Answer("already", ALREADY_ACTIVE)}
        assert await status(client, ended) == before
        assert http.post(f"/sandbox/accept/{ended}").status_code == 204
        assert await status(client, ended) == "ACTIVE"


@pytest.mark.parametrize("lost", ["502", "503", "drop", "html", "empty", "error"])
async def test_what_was_not_answered_is_unknown_and_not_asked_again(connect, sandbox, lost):
    code = codes(sandbox, *RUNNING)[0]
    sandbox.faults.lost_changes = [lost]
    async with connect() as client:
        told = await ask(client, "cancel", [code], option=True)
        assert told[code].fate == "unknown"
        assert await status(client, code) == "CANCELLED_BY_SELLER"
    sent = sum(count for answer, count in sandbox.answers.items() if answer.startswith("cancel "))
    assert sent == 1


@pytest.mark.parametrize("turned_away", ["401", "429"])
async def test_what_was_turned_away_unread_is_asked_again(connect, sandbox, turned_away):
    code = codes(sandbox, *RUNNING)[0]
    async with connect() as client:
        await current(client, code)  # has its token
        sandbox.faults.next_answers = [turned_away]
        assert await ask(client, "cancel", [code], option=True) == {code: Answer("accepted")}
    assert answers(sandbox, turned_away) == 1


async def test_a_whole_list_that_is_turned_away_is_an_error(connect, sandbox):
    sandbox.faults.forbidden = True
    async with connect() as client:
        with pytest.raises(ForbiddenError):
            await ask(client, "cancel", codes(sandbox, *RUNNING)[:2], option=True)


async def test_without_a_connection_nothing_was_asked():
    client = HotmartClient(
        SANDBOX_CREDENTIALS, "http://127.0.0.1:1", "http://127.0.0.1:1",
        attempts=2, backoff=wait_none(),
    )  # fmt: skip
    async with client:
        with pytest.raises(UnavailableError) as error:
            await ask(client, "cancel", ["A1B2C3D4"], option=True)
    assert not isinstance(error.value, UnansweredError)


async def test_a_token_that_does_not_come_is_no_unknown_change():
    def reply(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    client = HotmartClient(
        SANDBOX_CREDENTIALS, "http://a", "http://a", attempts=2, backoff=wait_none()
    )
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(reply))
    async with client:
        with pytest.raises(UnavailableError) as error:
            await ask(client, "cancel", ["A1B2C3D4"], option=True)
    assert not isinstance(error.value, UnansweredError)


async def test_a_timeout_after_the_request_went_out_is_unknown():
    def reply(request: httpx.Request) -> httpx.Response:
        if "token" in request.url.path:
            return httpx.Response(200, json={"access_token": "t", "expires_in": 60})
        raise httpx.ReadTimeout("", request=request)

    client = HotmartClient(SANDBOX_CREDENTIALS, "http://a", "http://a", backoff=wait_none())
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(reply))
    async with client:
        told = await ask(client, "reactivate", ["A1B2C3D4", "B1B2C3D4"], option=True)
    assert {answer.fate for answer in told.values()} == {"unknown"}


@pytest.mark.parametrize(
    ("body", "fates"),
    [
        ({"success_subscriptions": None, "fail_subscriptions": None}, ["unknown", "unknown"]),
        ({"success_subscriptions": [{"subscriber_code": "B"}]}, ["unknown", "accepted"]),
        ({"success_subscriptions": "?", "fail_subscriptions": ["?"]}, ["unknown", "unknown"]),
        (
            {"fail_subscriptions": [{"subscriber_code": "A", "error": ALREADY_CANCELLED}]},
            ["already", "unknown"],
        ),
        ({"fail_subscriptions": [{"subscriber_code": "A"}]}, ["refused", "unknown"]),
    ],
)
async def test_lists_that_are_missing_or_misshapen_leave_unknown_ones(body, fates):
    def reply(request: httpx.Request) -> httpx.Response:
        if "token" in request.url.path:
            return httpx.Response(200, json={"access_token": "t", "expires_in": 60})
        return httpx.Response(200, json=body)

    client = HotmartClient(SANDBOX_CREDENTIALS, "http://a", "http://a", backoff=wait_none())
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(reply))
    async with client:
        told = await ask(client, "cancel", ["A", "B"], option=True)
    assert [told[code].fate for code in "AB"] == fates


async def test_the_newest_subscription_of_a_code_counts(connect, sandbox):
    held = {}
    for each in sandbox.data.subscriptions():
        if each.billing_type == "SUBSCRIPTION":
            held.setdefault(each.item["subscriber_code"], []).append(each.item)
    several = next((code for code, items in held.items() if len(items) > 1), next(iter(held)))
    newest = max(held[several], key=lambda item: item["accession_date"])
    async with connect() as client:
        found = await current(client, several)
        assert found["subscription_id"] == newest["subscription_id"]
        assert await current(client, "NOBODY00") is None
    assert answers(sandbox, 200) == 2
    assert SUBSCRIPTIONS.name in str(sandbox.answers)
