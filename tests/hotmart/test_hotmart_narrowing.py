"""Windows cut, statuses left out, and several windows read at once."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from hotmart_reads import answers, days, expected, keys

from crm_resources.hotmart import (
    SALES_HISTORY,
    SALES_USERS,
    STATUSES,
    HotmartError,
    RefusedError,
    UnavailableError,
    Window,
    WindowRead,
)

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


@pytest.mark.parametrize(
    "fault", ["refuse_windows_above_days", "time_out_windows_above_days"], ids=["400", "502"]
)
@pytest.mark.parametrize("limit", [100, 12, 2])
async def test_a_window_too_long_is_halved(connect, sandbox, whole, fault, limit):
    setattr(sandbox.faults, fault, limit)
    async with connect() as client:
        read = await client.read_window(SALES_HISTORY, whole)
    assert keys(read) == expected(sandbox, whole)
    assert len(read.items) == read.total_results == 1_200
    assert read.asked[0].start_ms == whole.start_ms
    assert read.asked[-1].end_ms == whole.end_ms
    assert all(one.end_ms + 1 == other.start_ms for one, other in pairwise(read.asked))
    assert all(each.end_ms - each.start_ms <= limit * 86_400_000 for each in read.asked)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("refuse_windows_above_days", RefusedError),
        ("time_out_windows_above_days", UnavailableError),
    ],
)
async def test_a_day_that_is_refused_is_an_error(connect, sandbox, whole, fault, error):
    setattr(sandbox.faults, fault, 0.1)
    async with connect() as client:
        with pytest.raises(error, match=r"sales/history de 2024-01-01.* resposta (400|502)"):
            await client.read_window(SALES_HISTORY, whole)
        calls = sandbox.answers.total()
        with pytest.raises(error):
            await client.read_window(SALES_HISTORY, whole)
    assert sandbox.answers.total() - calls <= 21


@pytest.mark.parametrize(
    "refused", [("NO_FUNDS",), ("STARTED", "APPROVED", "REFUNDED"), STATUSES[1:]], ids=len
)
async def test_refused_statuses_are_found_and_left_out(connect, sandbox, whole, refused):
    sandbox.faults.refuse_statuses = list(refused)
    rest = [status for status in STATUSES if status not in refused]
    async with connect() as client:
        read = await client.read_window(SALES_HISTORY, whole)
        assert keys(read) == expected(sandbox, whole, rest)
        assert read.refused_statuses == tuple(sorted(refused))
        assert read.verified
        before = answers(sandbox, 400)
        again = await client.read_window(SALES_HISTORY, whole)
        assert answers(sandbox, 400) == before
        assert again.asked == (whole,)
        users = await client.read_window(SALES_USERS, whole)
    assert keys(users, SALES_USERS) == expected(sandbox, whole, rest)


@pytest.mark.parametrize("concurrency", [4, 16])
async def test_statuses_are_bisected_once_for_many_windows(connect, sandbox, whole, concurrency):
    sandbox.faults.refuse_statuses = ["PROTESTED"]
    first_days, *others = days(whole, 10).values()
    decade = Window(whole.start - timedelta(days=3_650), whole.end)
    windows = days(first_days, 1) | {window: window for window in [decade, *others]}
    async with connect(concurrency=concurrency) as client:
        reads = dict([pair async for pair in client.read_windows(SALES_HISTORY, windows)])
    assert {read.refused_statuses for read in reads.values()} == {("PROTESTED",)}
    got = set().union(*(keys(read) for read in reads.values()))
    assert got == expected(sandbox, whole, set(STATUSES) - {"PROTESTED"})
    assert answers(sandbox, 400) <= 12 * concurrency


async def test_every_status_refused_is_an_error(connect, sandbox, whole):
    sandbox.faults.refuse_statuses = list(STATUSES)
    async with connect() as client:
        with pytest.raises(RefusedError, match="400 invalid_parameter"):
            await client.read_window(SALES_HISTORY, whole)


# --- several windows


async def test_windows_arrive_as_they_complete_and_fail_alone(connect, sandbox, whole):
    windows = {"long": whole, **days(whole, 3)}
    async with connect(concurrency=4, attempts=1) as client:
        await client.read_window(SALES_HISTORY, whole)
        sandbox.faults.next_answers = ["503"]
        outcomes = dict([pair async for pair in client.read_windows(SALES_HISTORY, windows)])
    assert outcomes.keys() == windows.keys()
    failed = {key for key, outcome in outcomes.items() if isinstance(outcome, HotmartError)}
    assert len(failed) == 1
    assert all(
        keys(outcome) == expected(sandbox, windows[key])
        for key, outcome in outcomes.items()
        if isinstance(outcome, WindowRead)
    )


async def test_leaving_early_stops_the_rest(connect, sandbox, whole):
    async with connect(concurrency=2) as client:
        reads = client.read_windows(SALES_HISTORY, days(whole, 1))
        async for _ in reads:
            break
        await reads.aclose()
        await asyncio.sleep(0.2)
        calls = sandbox.answers.total()
        await asyncio.sleep(0.1)
    assert sandbox.answers.total() == calls < 60


async def test_no_windows_no_calls(connect, sandbox):
    async with connect() as client:
        assert [pair async for pair in client.read_windows(SALES_HISTORY, {})] == []
    assert sandbox.token_requests == 0


async def test_a_defect_of_ours_is_not_a_failed_window(connect, whole):
    def broken(*_):
        raise ZeroDivisionError

    async with connect(on_request=broken) as client:
        with pytest.raises(ZeroDivisionError):
            [pair async for pair in client.read_windows(SALES_HISTORY, {"a": whole})]


async def test_every_request_is_told(connect, sandbox, whole):
    told = []
    sandbox.faults.next_answers = ["503", "drop"]
    async with connect(on_request=lambda *call: told.append(call)) as client:
        await client.read_window(SALES_HISTORY, whole)
    assert Counter(status for _, status, _ in told) == {200: 4, 503: 1, None: 1}
    assert told[0][0] == "/security/oauth/token"
    assert all(0 <= seconds < 5 for _, _, seconds in told)
