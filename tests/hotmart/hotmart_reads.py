"""What a reading of the sandbox should give, and shorthand for what it gave."""

import math
from datetime import UTC, timedelta

import httpx

from crm_resources.hotmart import SALES_HISTORY, STATUSES, HotmartClient, Window
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS


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
