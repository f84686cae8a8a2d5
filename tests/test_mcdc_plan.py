"""Each condition of the plan shown to decide by itself (MC/DC), and the calendar's corners.

A pair differs in one condition, which its id names, and has two outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from lake import site

from crm_assets.bronze.hotmart import windows_of
from crm_assets.plan import (
    HOTMART_SOURCES,
    REFUSALS_SHOWN_DAYS,
    WINDOW_END_TAG,
    WINDOW_START_TAG,
    IngestRequest,
    Landed,
    due_slices,
    estimated_calls,
    is_complete,
    plan_hotmart,
    refused_files,
)
from crm_assets.settings import Environment
from crm_assets.tenants import Tenant, build_tenant_model
from crm_resources.hotmart import month_window
from crm_resources.ops import Load

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
MONTH = "2025-03-01"
INSTANT = timedelta(microseconds=1)
DEV, HML, PRD = Environment.DEV, Environment.HML, Environment.PRD


def tenant(zone: str = "America/Sao_Paulo", **hotmart: object) -> Tenant:
    return build_tenant_model("default", {"timezone": zone, "hotmart": hotmart}, {})


# --- which slices are due (rules 1.1) ------------------------------------------------------------

READ = Load(source="s", slice=MONTH, status="landed", complete=True, at=NOW - timedelta(days=1))
DUE: dict[str, Load | None] = {
    "never read": None,
    "read in part": replace(READ, complete=False),
    "read a week ago": replace(READ, at=NOW - timedelta(days=7)),
}


def is_due(held: Mapping[str, Load | None], refresh_days: int = 90) -> bool:
    """Whether the month is due, by the latest load of each endpoint."""
    loads = [{MONTH: load} if load else {} for load in held.values()]
    one = tenant(start_date=MONTH, refresh_days=refresh_days)
    assert set(due_slices(one, [MONTH], NOW, loads)) <= {MONTH}
    return MONTH in due_slices(one, [MONTH], NOW, loads)


@pytest.mark.parametrize("endpoint", HOTMART_SOURCES)
@pytest.mark.parametrize("condition", DUE)
def test_a_slice_is_due_by_one_condition_of_one_endpoint(condition, endpoint):
    held = dict.fromkeys(HOTMART_SOURCES, READ)
    assert not is_due(held)
    assert is_due({**held, endpoint: DUE[condition]})


@pytest.mark.parametrize(
    ("refresh_days", "due"),
    [(348, False), (349, True)],
    ids=["the window of changes begins on 1 April", "the window of changes begins on 31 March"],
)
def test_a_slice_is_due_by_its_month_alone(refresh_days, due):
    assert is_due(dict.fromkeys(HOTMART_SOURCES, READ), refresh_days) is due


@pytest.mark.parametrize(
    ("age", "due"), [(timedelta(days=7) - INSTANT, False), (timedelta(days=7), True)], ids=str
)
def test_a_slice_is_due_from_the_very_instant_its_week_is_over(age, due):
    assert is_due({"one": replace(READ, at=NOW - age)}) is due


CUT = replace(
    READ,
    complete=False,
    window_start=datetime(2025, 3, 1, 3, tzinfo=UTC),
    window_end=datetime(2025, 3, 11, 2, 59, 59, 999_000, tzinfo=UTC),
)
LAST_DAY = "2025-03-10"
MILLISECOND = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("load", "end_date", "complete"),
    [
        pytest.param(CUT, LAST_DAY, True, id="base: cut at the last day to read"),
        pytest.param(CUT, None, False, id="no last day"),
        pytest.param(CUT, "2025-04-10", False, id="the last day is in another month"),
        pytest.param(CUT, "2025-03-11", False, id="the last day is one later"),
        pytest.param(
            replace(CUT, window_start=CUT.window_start + MILLISECOND),
            LAST_DAY,
            False,
            id="begins a millisecond late",
        ),
        pytest.param(
            replace(CUT, window_end=CUT.window_end - MILLISECOND),
            LAST_DAY,
            False,
            id="ends a millisecond early",
        ),
        pytest.param(replace(CUT, window_start=None), LAST_DAY, False, id="start unknown"),
        pytest.param(replace(CUT, window_end=None), LAST_DAY, False, id="end unknown"),
        pytest.param(
            replace(CUT, window_end=None, complete=True), LAST_DAY, True, id="complete by itself"
        ),
        pytest.param(replace(CUT, complete=True), None, True, id="complete without last day"),
    ],
)
def test_a_slice_is_complete_by_one_condition(load, end_date, complete):
    assert is_complete(tenant(start_date="2025-01-01", end_date=end_date), load) is complete


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        pytest.param({}, True, id="base: refused yesterday"),
        pytest.param({"status": "landed"}, False, id="not refused"),
        pytest.param({"at": NOW - timedelta(days=REFUSALS_SHOWN_DAYS)}, False, id="a month old"),
        pytest.param(
            {"at": NOW - timedelta(days=REFUSALS_SHOWN_DAYS) + INSTANT}, True, id="almost a month"
        ),
    ],
)
def test_a_refused_file_is_shown_by_one_condition(change, shown):
    load = replace(READ, **{"status": "refused", "complete": False, **change})
    assert refused_files([load], NOW) == ([load] if shown else [])


def test_the_newest_refusal_comes_last():
    refused = [
        replace(READ, slice=str(age), status="refused", at=NOW - timedelta(days=age))
        for age in (2, 9, 1)
    ]
    assert [load.slice for load in refused_files(refused, NOW)] == ["9", "2", "1"]


MONTHS = ("2025-01-01", "2025-02-01", "2025-03-01")


def of_rows(rows: int) -> Load:
    return replace(READ, source="hotmart_subscriptions", slice=MONTHS[1], rows=rows)


def test_subscriptions_are_read_whole_every_time():
    one = tenant(start_date=MONTHS[0], end_date="2025-03-31")
    fresh = [
        replace(READ, source=source, slice=key) for source in HOTMART_SOURCES for key in MONTHS
    ]
    assert plan_hotmart(one, PRD, NOW, Landed(loads=fresh)) == []
    (request,) = plan_hotmart(one, PRD, NOW, Landed(loads=fresh), "subscriptions")
    assert (request.source, request.slices) == ("subscriptions", MONTHS)


@pytest.mark.parametrize(
    ("rows", "calls"), [(None, 3), (0, 3), (499, 3), (500, 4), (1_200, 5)], ids=str
)
def test_the_pages_of_a_slice_are_those_of_its_last_reading(rows, calls):
    held = [] if rows is None else [of_rows(rows)]
    request = IngestRequest("subscriptions", MONTHS)
    assert estimated_calls(request, Landed(loads=held)) == calls


def test_every_endpoint_of_a_source_is_asked():
    assert estimated_calls(IngestRequest("hotmart", MONTHS), Landed()) == 3 * len(HOTMART_SOURCES)


# --- the calendar --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("month", "zone", "hours"),
    [
        ("2026-01-01", "America/Sao_Paulo", 31 * 24),
        ("2026-02-01", "America/Sao_Paulo", 28 * 24),
        ("2024-02-01", "America/Sao_Paulo", 29 * 24),
        ("2000-02-01", "UTC", 29 * 24),
        ("2100-02-01", "UTC", 28 * 24),
        ("2026-04-01", "America/Sao_Paulo", 30 * 24),
        ("2025-12-01", "America/Sao_Paulo", 31 * 24),
        ("2018-01-01", "America/Sao_Paulo", 31 * 24),
        ("2018-02-01", "America/Sao_Paulo", 28 * 24 + 1),
        ("2018-03-01", "America/Sao_Paulo", 31 * 24),
        ("2018-10-01", "America/Sao_Paulo", 31 * 24),
        ("2018-11-01", "America/Sao_Paulo", 30 * 24 - 1),
        ("2018-12-01", "America/Sao_Paulo", 31 * 24),
    ],
)
def test_a_month_has_its_hours(month, zone, hours):
    window = month_window(date.fromisoformat(month), ZoneInfo(zone))
    assert window.end_ms - window.start_ms + 1 == hours * 3_600_000


# today, what `dev` reads, what `hml` reads, the last slice that `prd` reads
CALENDAR = [
    ("2026-01-01", "2025-12-31", "2025-12-01", "2026-01-01"),
    ("2026-01-31", "2026-01-30", "2025-12-01", "2026-01-01"),
    ("2026-03-01", "2026-02-28", "2026-02-01", "2026-03-01"),
    ("2024-02-29", "2024-02-28", "2024-01-01", "2024-02-01"),
    ("2024-03-01", "2024-02-29", "2024-02-01", "2024-03-01"),
    ("2100-03-01", "2100-02-28", "2100-02-01", "2100-03-01"),
    ("2026-03-31", "2026-03-30", "2026-02-01", "2026-03-01"),
    ("2026-05-31", "2026-05-30", "2026-04-01", "2026-05-01"),
    ("2026-07-31", "2026-07-30", "2026-06-01", "2026-07-01"),
    ("2026-08-31", "2026-08-30", "2026-07-01", "2026-08-01"),
    ("2026-10-31", "2026-10-30", "2026-09-01", "2026-10-01"),
    ("2026-12-31", "2026-12-30", "2026-11-01", "2026-12-01"),
]


@pytest.mark.parametrize("clock", ["00:00:00", "23:59:59.999999"])
@pytest.mark.parametrize(("today", "yesterday", "month_before", "last"), CALENDAR)
def test_what_each_environment_reads_on_a_day(today, yesterday, month_before, last, clock):
    one = tenant(start_date="2023-01-01")
    now = datetime.fromisoformat(f"{today}T{clock}").replace(tzinfo=ZoneInfo(one.timezone))

    (dev,) = plan_hotmart(one, DEV, now, Landed())
    assert dev.window is not None
    local = [instant.astimezone(now.tzinfo) for instant in dev.window]
    assert [f"{instant:%Y-%m-%d %H:%M:%S.%f}" for instant in local] == [
        f"{yesterday} 00:00:00.000000",
        f"{yesterday} 23:59:59.999000",
    ]
    assert dev.slices == (f"{yesterday[:7]}-01",)

    (hml,) = plan_hotmart(one, HML, now, Landed())
    assert (hml.slices, hml.window) == ((month_before,), None)

    (prd,) = plan_hotmart(one, PRD, now, Landed())
    assert (prd.slices[0], prd.slices[-1], prd.window) == ("2023-01-01", last, None)
    assert len(prd.slices) == int(last[:4]) * 12 + int(last[5:7]) - 2023 * 12


# --- the part of a slice that is read ------------------------------------------------------------

FIRST, LAST = "2026-02-01T03:00:00", "2026-03-01T02:59:59.999000"
MORNING, EVENING = "2026-02-10T03:00:00", "2026-02-11T02:59:59.999000"


@pytest.mark.parametrize(
    ("change", "window"),
    [
        pytest.param({}, (FIRST, LAST), id="base: the whole month"),
        pytest.param(
            {"now": "2026-03-01T03:00:59+00:00"},
            (FIRST, "2026-03-01T02:59:59"),
            id="the month ended less than a minute ago",
        ),
        pytest.param({"now": "2026-03-01T03:01:00+00:00"}, (FIRST, LAST), id="a minute ago"),
        pytest.param(
            {"now": "2026-02-20T12:00:00+00:00"}, (FIRST, "2026-02-20T11:59:00"), id="not over yet"
        ),
        pytest.param({"now": "2026-02-01T03:01:00+00:00"}, (FIRST, FIRST), id="just begun"),
        pytest.param({"now": "2026-02-01T03:00:59+00:00"}, None, id="not begun a minute ago"),
        pytest.param({"end_date": "2026-02-10"}, (FIRST, EVENING), id="the last day to read"),
        pytest.param({"end_date": "2026-03-10"}, (FIRST, LAST), id="a last day after it"),
        pytest.param({"end_date": "2026-01-31"}, None, id="a last day before it"),
        pytest.param({WINDOW_START_TAG: MORNING}, (MORNING, LAST), id="the run's first instant"),
        pytest.param({WINDOW_END_TAG: EVENING}, (FIRST, EVENING), id="the run's last instant"),
        pytest.param({WINDOW_START_TAG: "2026-01-10T03:00:00"}, (FIRST, LAST), id="an earlier one"),
        pytest.param({WINDOW_START_TAG: "2026-03-01T03:00:00"}, None, id="the run begins later"),
        pytest.param({WINDOW_END_TAG: "2026-02-01T02:59:59.999"}, None, id="the run ends earlier"),
    ],
)
def test_the_window_of_a_slice_is_cut_by_one_condition(change, window):
    tags = {name: f"{text}+00:00" for name, text in change.items() if name.startswith("crm/")}
    house = site(hotmart={"start_date": "2026-01-01", "end_date": change.get("end_date")})
    now = datetime.fromisoformat(change["now"]) if "now" in change else NOW
    found = windows_of(house, ["2026-02-01"], tags, now=now)
    if window is None:
        assert found == {}
        return
    read = found["2026-02-01"]
    assert (read.start, read.end) == tuple(datetime.fromisoformat(f"{at}+00:00") for at in window)
