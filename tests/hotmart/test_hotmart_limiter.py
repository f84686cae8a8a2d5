"""The limiter, and what a reply means: the parts of the client that need no account."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest
from hotmart_reads import answers, days
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_resources.hotmart import (
    SALES_HISTORY,
    CredentialsError,
    ForbiddenError,
    IncompleteAnswer,
    Limiter,
    RefusedError,
    UnavailableError,
    WindowRead,
)
from crm_resources.hotmart.statuses import accepted_page, failure_of

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


# --- what a reply means


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        (200, b"", UnavailableError, "resposta 200, sem uma página"),
        (200, b"[]", UnavailableError, "sem uma página"),
        (200, b'{"items": null}', UnavailableError, "sem uma página"),
        (200, b'{"items": [1]}', UnavailableError, "sem uma página"),
        (200, b'{"error": "not_found"}', UnavailableError, "200 not_found"),
        (204, b"", RefusedError, "204"),
        (302, b"", RefusedError, "302"),
        (400, b'{"error": "invalid_parameter"}', RefusedError, "400 invalid_parameter"),
        (400, b'{"error": "invalid_token"}', IncompleteAnswer, "página seguinte"),
        (401, b'{"error": "unauthorized"}', CredentialsError, "401 unauthorized"),
        (403, b'{"error": "unauthorized_client"}', ForbiddenError, "sandbox"),
        (403, b"<html>", ForbiddenError, "bloqueio"),
        (404, b'{"error": "not_found"}', RefusedError, "404 not_found"),
        (429, b'{"error": "too_many_requests"}', UnavailableError, "limite"),
        (500, b"\xff", UnavailableError, "indisponível"),
        (503, b'{"error": "ana@example.com"}', UnavailableError, "resposta 503, Hotmart"),
    ],
)
def test_replies_and_their_errors(status, body, error, text):
    with pytest.raises(error) as caught:
        accepted_page(httpx.Response(status, content=body), "sales/history de A a B")
    assert type(caught.value) is error
    assert caught.value.status == status
    assert text in str(caught.value)
    assert str(caught.value).startswith("sales/history de A a B: ")
    assert "ana@" not in str(caught.value)


def test_marks_of_an_html_reply_are_words_only():
    headers = {"content-type": "text/html", "server": "cloudflare", "cf-ray": "<b>no</b>"}
    error = failure_of(httpx.Response(502, headers=headers), "x")
    assert str(error) == "x: resposta 502 em HTML (server cloudflare), Hotmart indisponível."


# --- the limiter


class Recorded(Limiter):
    """Remembers when each call was let through."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.starts = []

    @asynccontextmanager
    async def call(self):
        async with super().call() as number:
            self.starts.append(self._clock())
            yield number


class VirtualTime:
    """A clock that jumps to the next sleeper once nobody runs."""

    def __init__(self):
        self.now = 0.0
        self.sleepers = []

    async def sleep(self, seconds):
        wake = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + seconds, wake))
        await wake

    async def run(self, work):
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(20):
                await asyncio.sleep(0)
            if self.sleepers:
                self.sleepers.sort(key=lambda sleeper: sleeper[0])
                self.now, wake = self.sleepers.pop(0)
                wake.set_result(None)
        return await task


def most_in(starts, period):
    """The largest number of starts in any stretch of that length."""
    return max(
        sum(start <= other < start + period for other in starts[index:])
        for index, start in enumerate(starts)
    )


async def run_calls(limiter, clock, lengths):
    async def one(seconds):
        async with limiter.call():
            await clock.sleep(seconds)

    await clock.run(asyncio.gather(*map(one, lengths)))


@settings(max_examples=25, deadline=None)
@given(
    limit=st.integers(1, 12),
    concurrency=st.integers(1, 6),
    lengths=st.lists(st.floats(0.01, 20), min_size=1, max_size=40),
)
def test_no_minute_holds_more_than_the_limit(limit, concurrency, lengths):
    clock = VirtualTime()
    limiter = Recorded(limit, concurrency=concurrency, clock=lambda: clock.now, sleep=clock.sleep)
    asyncio.run(run_calls(limiter, clock, lengths))
    assert len(limiter.starts) == len(lengths)
    assert most_in(limiter.starts, 60.0) <= limit


async def test_the_allowance_is_used_in_a_burst_and_nearly_whole():
    clock = VirtualTime()
    limiter = Recorded(50, concurrency=16, clock=lambda: clock.now, sleep=clock.sleep)
    await run_calls(limiter, clock, [1.5] * 500)
    assert limiter.starts[49] <= 6
    minutes = (limiter.starts[-1] - limiter.starts[0]) / 60
    assert 450 / minutes >= 0.95 * 50


async def test_the_limit_holds_over_the_wire(connect, sandbox, whole):
    limiter = Recorded(30, period=0.3)
    windows = days(whole, 2)
    async with connect(limiter=limiter) as client:
        done = [key async for key, _ in client.read_windows(SALES_HISTORY, windows)]
    assert sorted(done) == sorted(windows)
    assert len(limiter.starts) == len(windows) + 1
    assert most_in(limiter.starts, 0.3) <= 30


async def test_a_limit_shared_with_others_is_obeyed(connect, sandbox, whole):
    sandbox.faults.calls_per_minute = 25
    async with connect(limiter=Limiter(100_000, period=0.3), attempts=10) as client:
        reads = dict([pair async for pair in client.read_windows(SALES_HISTORY, days(whole, 2))])
    assert {type(read) for read in reads.values()} == {WindowRead}
    assert answers(sandbox, 429) <= sandbox.answers.total() / 5


@pytest.mark.parametrize(
    ("headers", "refused", "wait"),
    [
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, False, 12),
        ({"RateLimit-Remaining": "3", "RateLimit-Reset": "12"}, False, 0),
        ({"RateLimit-Reset": "7"}, True, 7),
        ({"RateLimit-Remaining": "9", "RateLimit-Reset": "7"}, True, 7),
        ({"Retry-After": "5"}, True, 5),
        ({}, True, 15.15),
        ({}, False, 0),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "86400"}, False, 60.6),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "nan"}, False, 0),
        ({"RateLimit-Remaining": "x", "RateLimit-Reset": "9"}, False, 0),
    ],
)
async def test_what_the_vendor_says_of_its_count(headers, refused, wait):
    clock = VirtualTime()
    limiter = Recorded(500, clock=lambda: clock.now, sleep=clock.sleep)

    async def two_calls():
        async with limiter.call() as number:
            limiter.observe(number, httpx.Headers(headers), refused=refused)
        async with limiter.call():
            pass

    await clock.run(two_calls())
    assert limiter.starts[1] == pytest.approx(wait)


async def test_turns_are_first_come_first_served():
    clock = VirtualTime()
    limiter = Limiter(2, concurrency=3, clock=lambda: clock.now, sleep=clock.sleep)
    order = []

    async def one(name):
        async with limiter.call():
            order.append(name)
            await clock.sleep(30 if name == 0 else 1)

    await clock.run(asyncio.gather(*(one(name) for name in range(9))))
    assert order == list(range(9))


@pytest.mark.parametrize("options", [{"calls": 0}, {"calls": 1, "concurrency": 0}])
def test_a_limiter_needs_an_allowance(options):
    with pytest.raises(ValueError, match="positive"):
        Limiter(**options)
