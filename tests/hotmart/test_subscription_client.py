"""The client reads subscriptions and their charges, and single transactions."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from hotmart_reads import answers, scripted_client

from crm_resources.hotmart import (
    SALES_HISTORY,
    SUBSCRIPTION_STATUSES,
    SUBSCRIPTION_TRANSACTIONS,
    SUBSCRIPTIONS,
    HotmartClient,
    IncompleteAnswer,
    RefusedError,
    UnavailableError,
    Window,
)
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS

pytestmark = pytest.mark.anyio

EARLY = Window(datetime(2011, 1, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC))
LISTED = replace(SUBSCRIPTIONS, max_results=10)
CHARGED = replace(SUBSCRIPTION_TRANSACTIONS, max_results=50)


def listed(sandbox, statuses=SUBSCRIPTION_STATUSES):
    return {
        each.item["subscription_id"]: each.item
        for each in sandbox.data.subscriptions()
        if each.billing_type == "SUBSCRIPTION" and each.item["status"] in statuses
    }


def charged(sandbox, lag=86_400_000):
    rows = [row for each in sandbox.data.subscriptions(lag) for row in each.charges]
    return {(row["purchase"]["transaction"], row["recurrency"]["number"]): row for row in rows}


def by_key(read, endpoint):
    return {endpoint.key(item): item for item in read.items}


async def test_subscriptions_come_whole_since_the_beginning(connect, sandbox):
    async with connect() as client:
        read = await client.read_window(LISTED, EARLY)
    assert by_key(read, LISTED) == listed(sandbox)
    assert len(read.items) == read.total_results == len(listed(sandbox))
    assert read.verified
    assert read.pages > 3
    assert read.asked == (EARLY,)


async def test_charges_come_whole_and_are_not_verified(connect, sandbox):
    async with connect() as client:
        read = await client.read_window(CHARGED, EARLY)
        sandbox.faults.transactions_lag_hours = 0
        fresh = await client.read_window(CHARGED, EARLY)
    assert by_key(read, CHARGED) == charged(sandbox)
    assert by_key(fresh, CHARGED) == charged(sandbox, lag=0)
    assert len(read.items) == len(charged(sandbox)) < len(fresh.items)
    assert read.total_results is None
    assert (read.verified, read.verification) == (False, "não conferido")
    assert read.refused_statuses == ()


@pytest.mark.parametrize("endpoint", [LISTED, CHARGED], ids=lambda each: each.name)
async def test_windows_together_give_what_one_gives(connect, sandbox, endpoint):
    first, second = Window(datetime(2023, 12, 1, tzinfo=UTC), EARLY.end).halves()
    async with connect() as client:
        whole = await client.read_window(endpoint, EARLY)
        pairs = [pair async for pair in client.read_windows(endpoint, {"a": first, "b": second})]
    halves = [read for _, read in pairs]
    assert all(half.items for half in halves)
    assert len(whole.items) == sum(len(half.items) for half in halves)
    joined = by_key(halves[0], endpoint) | by_key(halves[1], endpoint)
    assert joined == by_key(whole, endpoint)


@pytest.mark.parametrize("endpoint", [LISTED, CHARGED], ids=lambda each: each.name)
@pytest.mark.parametrize("fault", ["401", "429", "503", "html", "drop"])
async def test_a_passing_fault_changes_nothing(connect, sandbox, endpoint, fault):
    async with connect() as client:
        clean = await client.read_window(endpoint, EARLY)
        sandbox.faults.next_answers = [fault]
        read = await client.read_window(endpoint, EARLY)
    assert sandbox.faults.next_answers == []
    assert read == clean


@pytest.mark.parametrize("endpoint", [LISTED, CHARGED], ids=lambda each: each.name)
async def test_a_query_out_of_time_is_halved(connect, sandbox, endpoint):
    async with connect() as client:
        whole = await client.read_window(endpoint, EARLY)
        sandbox.faults.time_out_windows_above_days = 1_000
        cut = await client.read_window(endpoint, EARLY)
    assert by_key(cut, endpoint) == by_key(whole, endpoint)
    assert len(cut.asked) == 8
    assert (cut.window, cut.verified) == (EARLY, whole.verified)


@pytest.mark.parametrize("endpoint", [LISTED, CHARGED], ids=lambda each: each.name)
async def test_a_repeated_page_is_read_again_and_then_an_error(connect, sandbox, endpoint):
    async with connect() as client:
        clean = await client.read_window(endpoint, EARLY)
        sandbox.faults.repeat_page_tokens = 1
        assert await client.read_window(endpoint, EARLY) == clean
        sandbox.faults.repeat_page_tokens = 1_000
        with pytest.raises(IncompleteAnswer, match=f"repetiu uma página de {endpoint.name} de"):
            await client.read_window(endpoint, EARLY)


async def test_a_refused_subscription_status_is_left_out(connect, sandbox):
    sandbox.faults.refuse_statuses = ["OVERDUE", "INACTIVE"]
    day = Window(datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 6, 1, 20, tzinfo=UTC))
    async with connect() as client:
        await client.read_window(LISTED, day)
        before = answers(sandbox, 400)
        read = await client.read_window(LISTED, EARLY)
    rest = set(SUBSCRIPTION_STATUSES) - {"OVERDUE", "INACTIVE"}
    assert by_key(read, LISTED) == listed(sandbox, rest)
    assert read.refused_statuses == ("INACTIVE", "OVERDUE")
    assert answers(sandbox, 400) == before > 0


def recording_client(status, asked):
    """A client whose API answers every page alike; the queries asked are kept."""

    def reply(request):
        if request.method == "POST":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 60})
        asked.append(request.url)
        return httpx.Response(status, json={"items": [], "page_info": {}})

    client = HotmartClient(SANDBOX_CREDENTIALS, "http://a", "http://a", backoff=lambda _: 0)
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(reply))
    return client


@pytest.mark.parametrize(
    ("endpoint", "window", "statuses"),
    [
        (SUBSCRIPTIONS, ("accession_date", "end_accession_date"), SUBSCRIPTION_STATUSES),
        (SUBSCRIPTION_TRANSACTIONS, ("transaction_date", "end_transaction_date"), ()),
    ],
    ids=lambda each: getattr(each, "name", None),
)
async def test_dates_and_statuses_go_under_their_own_names(endpoint, window, statuses):
    asked = []
    async with recording_client(200, asked) as client:
        await client.read_window(endpoint, EARLY)
    (url,) = asked
    first, last = window
    query = {first: str(EARLY.start_ms), last: str(EARLY.end_ms), "max_results": "500"}
    assert url.path == endpoint.path
    assert url.params.get_list("status") == list(statuses)
    assert {name: text for name, text in url.params.items() if name != "status"} == query


async def test_a_refusal_where_no_status_was_asked_is_an_error():
    asked = []
    day = Window(EARLY.start, EARLY.start)
    async with recording_client(400, asked) as client:
        with pytest.raises(RefusedError, match=r"subscriptions/transactions de .* resposta 400"):
            await client.read_window(SUBSCRIPTION_TRANSACTIONS, day)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("item", "key"),
    [
        ({"purchase": {"transaction": "HP1"}, "recurrency": {"number": 3}}, ("HP1", 3)),
        ({"purchase": {"transaction": "HP1"}, "recurrence": {"number": 3}}, ("HP1", 3)),
        ({"purchase": {"transaction": "HP1"}, "recurrency": {"number": None}}, ("HP1", None)),
        ({"purchase": {"transaction": "HP1"}}, ("HP1", None)),
        ({"purchase": {"transaction": " "}, "recurrency": {"number": 3}}, None),
        ({"recurrency": {"number": 3}}, None),
    ],
)
def test_a_charge_is_known_by_transaction_and_recurrence(item, key):
    assert SUBSCRIPTION_TRANSACTIONS.key(item) == key


@pytest.mark.parametrize(
    ("item", "key"), [({"subscription_id": 7}, 7), ({"subscription_id": "7"}, None), ({}, None)]
)
def test_a_subscription_is_known_by_its_number(item, key):
    assert SUBSCRIPTIONS.key(item) == key


async def test_one_transaction_of_two_recurrences_is_two_charges():
    rows = [
        {"purchase": {"transaction": "HP1"}, "recurrency": {"number": number}}
        for number in (3, 4, 4)
    ]
    async with scripted_client([{"items": rows}]) as client:
        read = await client.read_window(SUBSCRIPTION_TRANSACTIONS, EARLY)
    assert read.items == rows[:2]


# --- one transaction


@pytest.mark.parametrize("status", ["REFUNDED", "COMPLETE", "EXPIRED", "PRE_ORDER"])
async def test_a_transaction_is_found_whatever_its_status(connect, sandbox, status):
    sale = sandbox.data.find(statuses=frozenset({status}))[-1]
    async with connect() as client:
        item = await client.transaction(sale.transaction)
    assert item["purchase"]["status"] == status
    assert SALES_HISTORY.key(item) == sale.transaction


async def test_an_order_bump_is_not_its_parent(connect, sandbox):
    bump = next(sale for sale in sandbox.data.find() if sale.transaction.endswith("C1"))
    async with connect() as client:
        child = await client.transaction(bump.transaction)
        parent = await client.transaction(bump.transaction.removesuffix("C1"))
    assert child["product"] != parent["product"]


async def test_a_transaction_that_nobody_made_is_none(connect):
    async with connect() as client:
        assert await client.transaction("HP0") is None


async def test_another_transaction_is_no_answer():
    pages = [{"items": [{"purchase": {"transaction": "HP1C1"}}]}]
    async with scripted_client(pages) as client:
        assert await client.transaction("HP1") is None


async def test_a_lookup_outlasts_faults_and_then_names_the_transaction(connect, sandbox):
    code = sandbox.data.find()[0].transaction
    async with connect() as client:
        sandbox.faults.next_answers = ["503", "html", "401", "drop"]
        assert SALES_HISTORY.key(await client.transaction(code)) == code
        sandbox.faults.next_answers = ["503"] * 5
        with pytest.raises(UnavailableError, match=f"sales/history da transação {code}: .* 503"):
            await client.transaction(code)
