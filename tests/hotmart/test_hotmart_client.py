"""The client against the sandbox: whole windows, and every fault that passes."""

import asyncio
import math

import pytest
from hotmart_reads import expected, keys, row, scripted_client

from crm_resources.hotmart import (
    PRICE_DETAILS,
    SALES_COMMISSIONS,
    SALES_HISTORY,
    SALES_USERS,
    HotmartClient,
    IncompleteAnswer,
    UnavailableError,
)
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "endpoint", [SALES_HISTORY, SALES_USERS, SALES_COMMISSIONS, PRICE_DETAILS], ids=lambda e: e.name
)
async def test_a_window_comes_whole_in_every_status(connect, sandbox, whole, endpoint):
    async with connect() as client:
        read = await client.read_window(endpoint, whole)
    wanted = expected(sandbox, whole, endpoint.statuses)
    assert keys(read, endpoint) == wanted
    assert len(read.items) == read.total_results == len(wanted)
    assert read.verified
    assert read.verification == "conferido"
    assert read.pages == math.ceil(len(wanted) / 500) == sandbox.answers.total()
    assert read.asked == (whole,)
    assert read.refused_statuses == ()


@pytest.mark.parametrize("fault", ["429", "500", "502", "503", "html", "empty", "error", "drop"])
@pytest.mark.parametrize("page", [1, 2])
async def test_a_passing_fault_changes_nothing(connect, sandbox, whole, fault, page):
    told = []

    def fail_before_the_page(*call):
        told.append(call)
        if len(told) == page:
            sandbox.faults.next_answers = [fault]

    async with connect(on_request=fail_before_the_page) as client:
        read = await client.read_window(SALES_HISTORY, whole)
    assert sandbox.faults.next_answers == []
    assert len(told) == 1 + 3 + 1
    assert keys(read) == expected(sandbox, whole)
    assert read.verified
    assert read.asked == (whole,)


@pytest.mark.parametrize("fault", ["429", "500", "503", "html", "empty", "error", "drop"])
async def test_four_faults_in_a_row_are_outlasted_and_five_are_not(connect, sandbox, whole, fault):
    async with connect() as client:
        sandbox.faults.next_answers = [fault] * 4
        assert (await client.read_window(SALES_HISTORY, whole)).verified
        sandbox.faults.next_answers = [fault] * 6
        with pytest.raises(UnavailableError) as caught:
            await client.read_window(SALES_HISTORY, whole)
    assert len(sandbox.faults.next_answers) == 1
    message = str(caught.value)
    assert "sales/history de 2024-01-01T00:00-03:00 a 2024-06-30T23:59-03:00" in message
    assert message.endswith(".")
    expected_status = {"html": 200, "empty": 200, "error": 200, "drop": None}
    assert caught.value.status == expected_status.get(fault, int(fault) if fault.isdigit() else 0)


async def test_a_slow_answer_is_a_fault(connect, sandbox, whole):
    sandbox.faults.delay_seconds = 0.5
    async with connect(timeout=0.25, attempts=1) as client:
        with pytest.raises(UnavailableError, match=r"sales/history.*ReadTimeout"):
            await client.read_window(SALES_HISTORY, whole)
    await asyncio.sleep(0.3)  # the sandbox ends what it began


async def test_no_server_at_all(whole):
    async with HotmartClient(
        SANDBOX_CREDENTIALS, "http://127.0.0.1:9", "http://127.0.0.1:9", attempts=1
    ) as client:
        with pytest.raises(UnavailableError, match=r"conexão.*ConnectError"):
            await client.read_window(SALES_HISTORY, whole)


def test_an_address_without_scheme_is_named():
    with pytest.raises(ValueError, match="auth_url"):
        HotmartClient(SANDBOX_CREDENTIALS, "https://example.com", "example.com")


# --- complete or not


@pytest.mark.parametrize("repeats", [1, 3])
async def test_a_repeated_page_is_read_again(connect, sandbox, whole, repeats):
    sandbox.faults.repeat_page_tokens = repeats
    async with connect() as client:
        read = await client.read_window(SALES_HISTORY, whole)
    assert keys(read) == expected(sandbox, whole)
    assert read.verified
    assert read.pages == 3


async def test_an_endless_repetition_is_incomplete(connect, sandbox, whole):
    sandbox.faults.repeat_page_tokens = 1_000
    async with connect() as client:
        with pytest.raises(IncompleteAnswer, match="repetiu uma página de sales/history de 2024"):
            await client.read_window(SALES_HISTORY, whole)
    assert sandbox.answers.total() == 4 * 2


async def test_rows_that_drift_are_read_again(connect, sandbox, whole):
    sandbox.faults.insert_rows = 1
    async with connect() as client:
        read = await client.read_window(SALES_HISTORY, whole)
    assert len(expected(sandbox, whole)) == 1_201
    assert keys(read) == expected(sandbox, whole)
    assert len(read.items) == read.total_results == 1_201


async def test_rows_that_never_stand_still_are_incomplete(connect, sandbox, whole):
    sandbox.faults.insert_rows = 1_000
    async with connect() as client:
        with pytest.raises(IncompleteAnswer, match=r"anunciou 12.., depois .* e entregou"):
            await client.read_window(SALES_HISTORY, whole)


async def test_without_a_total_the_answer_is_not_verified(connect, sandbox, whole):
    sandbox.faults.omit_total_results = True
    async with connect() as client:
        read = await client.read_window(SALES_HISTORY, whole)
    assert keys(read) == expected(sandbox, whole)
    assert read.total_results is None
    assert not read.verified
    assert read.verification == "não conferido"


@pytest.mark.parametrize(
    ("pages", "items"),
    [
        ([{"items": [], "page_info": {"total_results": 0}}], 0),
        ([{"items": [row("A"), {"purchase": {}}, {}], "page_info": {"total_results": 3}}], 3),
        ([{"items": [row("A"), row(" ")], "page_info": {"total_results": 2}}], 2),
        (
            [
                {
                    "items": [row("A"), row("B")],
                    "page_info": {"total_results": 3, "next_page_token": "p2"},
                },
                {"items": [row("B"), row("C")], "page_info": {"total_results": 3}},
            ],
            3,
        ),
    ],
    ids=["none", "without key", "blank key", "folded"],
)
async def test_answers_that_add_up(whole, pages, items):
    async with scripted_client(pages) as client:
        read = await client.read_window(SALES_HISTORY, whole)
    assert len(read.items) == items == read.total_results
    assert read.verified


async def test_a_repeated_row_keeps_its_later_version(whole):
    old, new = row("A") | {"v": 1}, row("A") | {"v": 2}
    pages = [
        {"items": [old, row("B")], "page_info": {"total_results": 3, "next_page_token": "p2"}},
        {"items": [new, row("C")], "page_info": {"total_results": 3}},
    ]
    async with scripted_client(pages) as client:
        read = await client.read_window(SALES_HISTORY, whole)
    assert read.items == [new, row("B"), row("C")]


@pytest.mark.parametrize(
    "pages",
    [
        [{"items": [row("A"), row("A")], "page_info": {"total_results": 2}}],
        [{"items": [row("A")], "page_info": {"total_results": 2}}],
        [{"items": [row("A"), row("B")], "page_info": {"total_results": 1}}],
        [
            {"items": [row("A")], "page_info": {"total_results": 3, "next_page_token": "p2"}},
            {"items": [row("B")], "page_info": {"total_results": 2}},
        ],
        [{"items": [], "page_info": {"total_results": 0, "next_page_token": "p2"}}],
    ],
    ids=["doubled", "too few", "too many", "total moved", "nothing but more"],
)
async def test_answers_that_do_not_add_up(whole, pages):
    async with scripted_client(pages) as client:
        with pytest.raises(IncompleteAnswer):
            await client.read_window(SALES_HISTORY, whole)
