"""The client against the sandbox: every fault ends in the right rows or the right error."""

import asyncio
import base64
import logging
import math
import time
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from itertools import pairwise
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_resources.hotmart import (
    PRICE_DETAILS,
    SALES_COMMISSIONS,
    SALES_HISTORY,
    SALES_USERS,
    STATUSES,
    CredentialsError,
    ForbiddenError,
    HotmartClient,
    HotmartCredentials,
    HotmartError,
    IncompleteAnswer,
    Limiter,
    RefusedError,
    UnavailableError,
    Window,
    WindowRead,
)
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS
from crm_resources.hotmart.statuses import accepted_page, failure_of

pytestmark = pytest.mark.anyio


def expected(sandbox, window, statuses=STATUSES):
    found = sandbox.data.find(window.start_ms, window.end_ms, frozenset(statuses))
    return {sale.transaction for sale in found}


def keys(read, endpoint=SALES_HISTORY):
    return {endpoint.key(item) for item in read.items}


def answers(sandbox, status):
    """Calls answered so."""
    return sum(count for answer, count in sandbox.answers.items() if answer.endswith(f" {status}"))


def days(window, length):
    """The window in stretches of days, by the number of the first day."""
    start, end = window.start.astimezone(UTC), window.end.astimezone(UTC)
    step, tick = timedelta(days=length), timedelta(milliseconds=1)
    count = math.ceil((end - start) / step)
    return {
        str(n * length): Window(start + n * step, min(start + (n + 1) * step - tick, end))
        for n in range(count)
    }


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


# --- the token


@pytest.mark.parametrize(
    "given_token", [None, "{}", "Basic {}", "basic  {} "], ids=["derived", "bare", "word", "spaces"]
)
async def test_the_basic_token_is_taken_in_any_form(connect, whole, given_token):
    pair = f"{SANDBOX_CREDENTIALS.client_id}:{SANDBOX_CREDENTIALS.client_secret}"
    encoded = base64.b64encode(pair.encode()).decode()
    token = given_token and given_token.format(encoded)
    ids = ("sandbox-id", "sandbox-secret") if token is None else ("", "")
    async with connect(credentials=HotmartCredentials(*ids, token)) as client:
        assert (await client.read_window(SALES_HISTORY, whole)).verified


async def test_one_token_serves_all(connect, sandbox, whole):
    async with connect() as client:
        reads = await asyncio.gather(
            *(client.read_window(SALES_HISTORY, window) for window in days(whole, 7).values())
        )
    assert sum(len(read.items) for read in reads) == 1_200
    assert sandbox.token_requests == 1


async def test_a_token_that_ends_in_mid_run_is_renewed(connect, sandbox, whole):
    sandbox.faults.expire_token_after = 2
    async with connect() as client:
        read = await client.read_window(SALES_HISTORY, whole)
    assert keys(read) == expected(sandbox, whole)
    assert sandbox.token_requests == 2
    assert answers(sandbox, 401) == 1


async def test_a_token_rejected_for_many_at_once_is_renewed_once(connect, sandbox, whole):
    windows = list(days(whole, 30).values())
    async with connect() as client:
        await client.read_window(SALES_HISTORY, windows[0])
        sandbox.faults.next_answers = ["401"] * len(windows)
        await asyncio.gather(*(client.read_window(SALES_HISTORY, window) for window in windows))
    assert sandbox.token_requests == 2


@pytest.mark.parametrize(
    ("lifetime", "seconds_later", "tokens"),
    [
        (86_400, 86_400 - 310, 1),
        (86_400, 86_400 - 299, 2),
        (100, 40, 1),
        (100, 51, 2),
    ],
    ids=["a day, early", "a day, 5 minutes left", "short, early", "short, past half"],
)
async def test_a_token_is_renewed_before_its_end(
    connect, sandbox, whole, monkeypatch, lifetime, seconds_later, tokens
):
    passed = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed)
    monkeypatch.setattr("crm_resources.hotmart.client.time", clock)
    sandbox.faults.expires_in = lifetime
    async with connect() as client:
        await client.read_window(SALES_HISTORY, whole)
        passed = seconds_later
        await client.read_window(SALES_HISTORY, whole)
    assert sandbox.token_requests == tokens
    assert answers(sandbox, 401) == 0


async def test_a_fresh_token_that_is_refused_is_an_error(connect, sandbox, whole):
    sandbox.faults.next_answers = ["401", "401"]
    async with connect() as client:
        with pytest.raises(CredentialsError, match="resposta 401 token_expired"):
            await client.read_window(SALES_HISTORY, whole)
    assert sandbox.token_requests == 2


@pytest.mark.parametrize("fault", ["429", "500", "502", "html", "empty", "drop"])
async def test_the_token_endpoint_may_fail_for_a_while(connect, sandbox, whole, fault):
    sandbox.faults.next_token_answers = [fault] * 4
    async with connect() as client:
        assert (await client.read_window(SALES_HISTORY, whole)).asked == (whole,)
    sandbox.faults.next_token_answers = [fault] * 6
    async with connect() as client:
        with pytest.raises(UnavailableError, match="token"):
            await client.read_window(SALES_HISTORY, whole)
    assert len(sandbox.faults.next_token_answers) == 1


async def test_a_refused_credential_is_asked_once(connect, sandbox, whole):
    wrong = HotmartCredentials("canary-id", "canary-secret")
    async with connect(credentials=wrong) as client:
        outcomes = [
            outcome async for _, outcome in client.read_windows(SALES_HISTORY, days(whole, 7))
        ]
    assert {type(outcome) for outcome in outcomes} == {CredentialsError}
    assert sandbox.token_requests == 1
    assert "canary" not in "".join(str(outcome) + repr(outcome) for outcome in outcomes)


async def test_a_sandbox_credential_is_recognised(connect, sandbox, whole):
    sandbox.faults.forbidden = True
    async with connect() as client:
        with pytest.raises(ForbiddenError, match=r"403 unauthorized_client.*sandbox"):
            await client.read_window(SALES_HISTORY, whole)
    assert sandbox.answers.total() == 1


async def test_a_firewall_is_told_from_the_api(connect, sandbox, whole):
    sandbox.faults.next_answers = ["blocked"]
    async with connect() as client:
        with pytest.raises(ForbiddenError, match=r"server cloudflare, cf-ray 8f2a1b3c4d5e6f70-GRU"):
            await client.read_window(SALES_HISTORY, whole)


async def test_secrets_appear_nowhere(connect, sandbox, whole, caplog):
    caplog.set_level(logging.DEBUG)
    async with connect() as client:
        await client.read_window(SALES_HISTORY, whole)
        sandbox.faults.next_answers = ["503"] * 5
        with pytest.raises(HotmartError) as caught:
            await client.read_window(SALES_HISTORY, whole)
        token = client._token
        request_logs = [record.getMessage() for record in caplog.records if "httpx" in record.name]
        texts = [repr(client), repr(SANDBOX_CREDENTIALS), str(SANDBOX_CREDENTIALS), *request_logs]
        texts += [repr(caught.value), str(caught.value.__dict__)]
    secrets = [token, "sandbox-secret", SANDBOX_CREDENTIALS.authorization.removeprefix("Basic ")]
    assert request_logs
    assert not [secret for secret in secrets for text in texts if secret in text]


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


def scripted_client(pages):
    """A client whose API gives these bodies, one after another, again and again."""
    calls = iter(range(10_000))

    def reply(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 60})
        return httpx.Response(200, json=pages[next(calls) % len(pages)])

    client = HotmartClient(SANDBOX_CREDENTIALS, "http://a", "http://a", backoff=lambda _: 0)
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(reply))
    return client


def row(transaction):
    return {"purchase": {"transaction": transaction}}


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


# --- narrowing


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
