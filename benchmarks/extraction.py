"""Reading Hotmart over HTTP: how much of the rate limit is used, and how fast without one."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.installation import history_installation, month_before, opened, sandbox
from benchmarks.processes import clock, measure
from benchmarks.report import Reading, rates

TRANSACTIONS = 100_000
MONTHS = 183
"""Back to Hotmart's first month, from which a tenant without a start date is read."""

CALLS_PER_MINUTE = 500
CONCURRENCY = 16
UNLIMITED = 10**9


def extraction(scale: float, repeat: int) -> Iterator[Reading]:
    """The whole history of an account, with the rate limit and without."""
    transactions = max(int(TRANSACTIONS * scale), 200)
    start = month_before(max(int(MONTHS * scale), 3) - 1)
    for limit in (CALLS_PER_MINUTE, 0):
        with (
            sandbox(transactions, start, limit) as (url, arrivals),
            TemporaryDirectory() as home,
        ):
            environ = history_installation(Path(home), url, start, limit or UNLIMITED)
            if limit:
                landed = measure("benchmarks.extraction:land", environ)
                yield _share(transactions, arrivals(), landed["peak"])
                continue
            ceiling = measure("benchmarks.extraction:read_bare", environ)
            client = measure("benchmarks.extraction:read_by_client", environ)
            landed = measure("benchmarks.extraction:land", environ)
            for what, found in (("read by the client", client), ("read and landed", landed)):
                yield rates(
                    f"{transactions:,} transactions without a limit, {what}; "
                    "floor: bare loop that only parses JSON",
                    found["rows"] / found["seconds"],
                    ceiling["rows"] / ceiling["seconds"],
                    unit="rows/s",
                    peak=found["peak"],
                )


def limit_used(arrivals: Sequence[float], calls: int, period: float = 60.0) -> float | None:
    """Share of the allowance in use while there was work; None if one period was enough.

    A whole period's allowance may be used in a burst, so that a period counts as used once its
    calls are made, however early. Counted are the periods that were followed by another call: they
    could have begun every `period` seconds, and did so in the time between the first call of the
    first and the first call after the last of them.
    """
    periods = (len(arrivals) - 1) // calls
    if periods < 1:
        return None
    return periods * period / (arrivals[periods * calls] - arrivals[0])


def _share(transactions: int, arrivals: list[float], peak: int) -> Reading:
    share = limit_used(arrivals, CALLS_PER_MINUTE)
    what = f"{transactions:,} transactions at {CALLS_PER_MINUTE} calls a minute: limit in use"
    calls, minutes = len(arrivals), (arrivals[-1] - arrivals[0]) / 60
    return Reading(
        what,
        f"{calls:,} calls in {minutes:.1f} min",
        f"{(calls - 1) // CALLS_PER_MINUTE} min",
        "–" if share is None else f"{share:.1%}",
        "≥ 95 %",
        None if share is None else share >= 0.95,
        peak,
    )


def land() -> dict[str, Any]:
    """Read and land the whole history by the product's own round."""
    from crm_assets.rounds import run_round

    with opened() as (site, definitions, instance):
        started = clock()
        done = run_round(site, definitions, instance, stages=("hotmart",))
        elapsed = clock() - started
        assert done.ok, [outcome.errors for outcome in done.outcomes]
        rows = sum(load.rows for load in site.ops_store().loads())
    return {"seconds": elapsed, "rows": rows}


def read_by_client() -> dict[str, Any]:
    """Read the same windows by the product's client, and keep nothing."""
    from crm_resources.hotmart import WindowRead

    async def read(site: Any, resource: Any) -> int:
        rows = 0
        async with resource.client() as client:
            for endpoint, windows in _asked(site):
                async for _, answer in client.read_windows(endpoint, windows):
                    assert isinstance(answer, WindowRead)
                    rows += len(answer.items)
        return rows

    from crm_assets.resources import tenant_resources

    with opened() as (site, _, _):
        hotmart = tenant_resources(site.settings, site.tenant)["hotmart"]
        started = clock()
        rows = asyncio.run(read(site, hotmart))
        return {"seconds": clock() - started, "rows": rows}


def read_bare() -> dict[str, Any]:
    """Read the same windows by an httpx loop of the same concurrency that only parses JSON."""
    with opened() as (site, _, _):
        asked = _asked(site)
    started = clock()
    rows = asyncio.run(_read_bare(asked, os.environ["HOTMART_API_URL"]))
    return {"seconds": clock() - started, "rows": rows}


async def _read_bare(asked: list[Any], url: str) -> int:
    import httpx

    from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS

    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        reply = await http.post(
            "/security/oauth/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": SANDBOX_CREDENTIALS.authorization},
        )
        headers = {"Authorization": f"Bearer {reply.json()['access_token']}"}
        waiting = iter([(end, window) for end, windows in asked for window in windows.values()])

        async def work() -> int:
            rows = 0
            for endpoint, window in waiting:
                token: str | None = ""
                while token is not None:
                    start, end = endpoint.window_parameters
                    query = {
                        start: window.start_ms,
                        end: window.end_ms,
                        "max_results": endpoint.max_results,
                        endpoint.status_parameter: endpoint.asked_statuses,
                        **({"page_token": token} if token else {}),
                    }
                    page = json.loads(
                        (await http.get(endpoint.path, params=query, headers=headers)).content
                    )
                    rows += len(page["items"])
                    token = page["page_info"].get("next_page_token")
            return rows

        return sum(await asyncio.gather(*(work() for _ in range(CONCURRENCY))))


def _asked(site: Any) -> list[Any]:
    """Endpoint and windows of everything that the first round of sales reads."""
    from crm_assets.automation.jobs import plan
    from crm_assets.bronze.hotmart import LANDINGS
    from crm_assets.plan import HOTMART_SOURCES, Landed
    from crm_assets.slices import zone
    from crm_resources.hotmart import month_window

    keys = [key for request in plan(site, "hotmart", Landed()) for key in request.slices]
    windows = {key: month_window(date.fromisoformat(key), zone(site.tenant)) for key in keys}
    landings = [landing for landing in LANDINGS if landing.source in HOTMART_SOURCES]
    return [(landing.endpoint, windows) for landing in landings]
