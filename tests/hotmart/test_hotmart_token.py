"""Credentials and tokens: when one is asked for, when it is given up, and that none is told."""

import asyncio
import base64
import logging
import time
from types import SimpleNamespace

import pytest
from hotmart_reads import answers, days, expected, keys

from crm_resources.hotmart import (
    SALES_HISTORY,
    CredentialsError,
    ForbiddenError,
    HotmartCredentials,
    HotmartError,
    UnavailableError,
)
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS

pytestmark = pytest.mark.anyio


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
    monkeypatch.setattr("crm_resources.hotmart.connection.time", clock)
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
