"""The plan: which slices and files are due, and when refine is."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.plan import (
    HOTMART_SOURCES,
    OCCASIONAL,
    RANGE_END_TAG,
    RANGE_START_TAG,
    SOURCES_OF,
    WINDOW_END_TAG,
    WINDOW_START_TAG,
    IngestRequest,
    Landed,
    daily_instant,
    plan_actions,
    plan_files,
    plan_hotmart,
    refine_reason,
    source_ages,
    stretches,
)
from crm_assets.settings import Environment, SettingsError
from crm_assets.slices import end_of_day, file_key, month_keys, month_of
from crm_assets.tenants import Tenant, build_tenant_model
from crm_resources.ops import Load

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
PRD, HML, DEV = Environment.PRD, Environment.HML, Environment.DEV


def tenant(zone: str = "America/Sao_Paulo", **hotmart: object) -> Tenant:
    return build_tenant_model("default", {"timezone": zone, "hotmart": hotmart}, {})


def complete(key: str, source: str = "hotmart_transactions", at: datetime = NOW) -> Load:
    return Load(source=source, slice=key, status="landed", complete=True, at=at)


def landed(*keys: str, at: datetime = NOW) -> Landed:
    return Landed(loads=[complete(key, source, at) for key in keys for source in HOTMART_SOURCES])


def slices(requests: list[IngestRequest]) -> list[tuple[str, ...]]:
    return [request.slices for request in requests]


days = st.dates(date(2011, 1, 1), date(2100, 12, 31))
indices = st.sets(st.integers(0, 40))


@given(days, days)
def test_month_keys_are_every_first_of_month_between_the_ends(first: date, last: date):
    keys = month_keys(first, last)
    expected = [
        day.isoformat()
        for day in (date(year, month, 1) for year in range(2011, 2101) for month in range(1, 13))
        if month_of(first) <= day <= last
    ]
    assert keys == expected


@given(indices)
def test_stretches_cover_exactly_what_is_due_in_neighbours(due: set[int]):
    keys = [f"k{number:02}" for number in range(41)]
    found = stretches([keys[number] for number in sorted(due)], keys)
    assert [key for stretch in found for key in stretch] == [keys[number] for number in sorted(due)]
    for stretch in found:
        first = keys.index(stretch[0])
        assert list(stretch) == keys[first : first + len(stretch)]
    for left, right in pairwise(found):
        assert keys.index(right[0]) > keys.index(left[-1]) + 1


@given(indices, st.integers(0, 3000))
def test_a_plan_covers_every_slice_that_is_incomplete_and_no_fresh_one_twice(
    held: set[int], refresh_days: int
):
    keys = month_keys(date(2023, 1, 1), date(2026, 3, 15))
    known = [key for number, key in enumerate(keys) if number in held]
    found = plan_hotmart(
        tenant(start_date="2023-01-20", refresh_days=refresh_days), PRD, NOW, landed(*known)
    )
    planned = [key for request in found for key in request.slices]
    assert planned == sorted(set(planned))
    assert set(planned) >= set(keys) - set(known)
    fresh_from = month_of(date(2026, 3, 15) - timedelta(days=refresh_days)).isoformat()
    assert set(planned) - (set(keys) - set(known)) == {key for key in known if key >= fresh_from}


def test_the_first_run_reads_everything_in_one_run():
    (request,) = plan_hotmart(tenant(start_date="2025-01-17"), PRD, NOW, Landed())
    assert request.slices == tuple(month_keys(date(2025, 1, 1), date(2026, 3, 1)))
    assert request.window is None
    assert request.tags == {RANGE_START_TAG: "2025-01-01", RANGE_END_TAG: "2026-03-01"}


def test_a_later_run_reads_the_slices_touching_the_last_90_days():
    done = landed(*month_keys(date(2025, 1, 1), date(2026, 3, 1)))
    found = plan_hotmart(tenant(start_date="2025-01-17"), PRD, NOW, done)
    assert slices(found) == [("2025-12-01", "2026-01-01", "2026-02-01", "2026-03-01")]


def test_a_slice_without_a_complete_read_is_read_again_before_the_fresh_ones():
    keys = month_keys(date(2025, 1, 1), date(2026, 3, 1))
    loads = [
        replace(load, complete=load.slice != "2025-03-01")
        for load in landed(*(key for key in keys if key != "2025-06-01")).loads
    ]
    found = plan_hotmart(tenant(start_date="2025-01-17"), PRD, NOW, Landed(loads=loads))
    assert slices(found)[:2] == [("2025-03-01",), ("2025-06-01",)]


def test_a_slice_is_due_when_only_one_endpoint_was_read():
    loads = [complete("2025-01-01"), complete("2025-02-01", "hotmart_customers")]
    found = plan_hotmart(
        tenant(start_date="2025-01-01", end_date="2025-02-28"), PRD, NOW, Landed(loads=loads)
    )
    assert slices(found) == [("2025-01-01", "2025-02-01")]


@pytest.mark.parametrize(("age", "due"), [(timedelta(days=7), True), (timedelta(days=6), False)])
def test_every_slice_is_read_again_weekly(age, due):
    keys = month_keys(date(2025, 1, 1), date(2026, 3, 1))
    found = plan_hotmart(tenant(start_date="2025-01-01"), PRD, NOW, landed(*keys, at=NOW - age))
    assert (slices(found)[0][0] == "2025-01-01") is due


def test_the_last_day_to_read_bounds_the_plan():
    found = plan_hotmart(tenant(start_date="2025-01-01", end_date="2025-03-10"), PRD, NOW, Landed())
    assert slices(found) == [("2025-01-01", "2025-02-01", "2025-03-01")]


def cut_at(day: str) -> Landed:
    read = {
        "window_start": datetime(2025, 3, 1, 3, tzinfo=UTC),
        "window_end": end_of_day(tenant(), date.fromisoformat(day)),
        "complete": False,
    }
    return Landed(loads=[replace(load, **read) for load in landed("2025-03-01").loads])


@pytest.mark.parametrize(("end", "due"), [("2025-03-10", []), ("2025-03-11", [("2025-03-01",)])])
def test_a_month_cut_at_the_last_day_is_complete_until_that_day_moves(end, due):
    bounded = tenant(start_date="2025-03-01", end_date=end)
    assert slices(plan_hotmart(bounded, PRD, NOW, cut_at("2025-03-10"))) == due


def test_a_missing_start_date_is_named_in_prd():
    with pytest.raises(SettingsError, match=r"Falta HOTMART_START_DATE .* empresa default"):
        plan_hotmart(tenant(), PRD, NOW, Landed())


@pytest.mark.parametrize("environment", [DEV, HML])
def test_elsewhere_no_start_date_is_needed(environment):
    assert plan_hotmart(tenant(), environment, NOW, Landed())


@pytest.mark.parametrize(
    ("environment", "start"), [(PRD, "2026-04-01"), (HML, "2026-03-01"), (DEV, "2026-04-01")]
)
def test_a_start_date_after_all_there_is_to_read_is_named(environment, start):
    with pytest.raises(SettingsError, match=rf"HOTMART_START_DATE \({start}\)"):
        plan_hotmart(tenant(start_date=start), environment, NOW, Landed())


@pytest.mark.parametrize(
    ("now", "key", "last_day"),
    [
        ("2026-01-01T00:00:00-03:00", "2025-12-01", 31),
        ("2026-01-31T23:59:00-03:00", "2025-12-01", 31),
        ("2026-03-31T12:00:00-03:00", "2026-02-01", 28),
        ("2024-03-29T12:00:00-03:00", "2024-02-01", 29),
        ("2026-05-15T12:00:00-03:00", "2026-04-01", 30),
        ("2026-03-01T01:00:00+00:00", "2026-01-01", 31),
    ],
)
def test_hml_reads_the_whole_previous_month_of_the_tenants_calendar(now, key, last_day):
    (request,) = plan_hotmart(tenant(), HML, datetime.fromisoformat(now), landed(key))
    assert request.slices == (key,)
    assert request.window is None
    assert month_keys(date.fromisoformat(key), date.fromisoformat(key[:8] + str(last_day))) == [key]


@pytest.mark.parametrize(
    ("now", "key", "start", "end"),
    [
        (
            "2026-03-15T09:00:00-03:00",
            "2026-03-01",
            "2026-03-14T03:00:00+00:00",
            "2026-03-15T02:59:59.999+00:00",
        ),
        (
            "2026-03-01T00:00:00-03:00",
            "2026-02-01",
            "2026-02-28T03:00:00+00:00",
            "2026-03-01T02:59:59.999+00:00",
        ),
        # The night of 17 February 2018 had 25 hours in Sao Paulo: 23 h came twice.
        (
            "2018-02-18T12:00:00-03:00",
            "2018-02-01",
            "2018-02-17T02:00:00+00:00",
            "2018-02-18T02:59:59.999+00:00",
        ),
        # On 4 November 2018 midnight did not exist.
        (
            "2018-11-05T12:00:00-02:00",
            "2018-11-01",
            "2018-11-04T03:00:00+00:00",
            "2018-11-05T01:59:59.999+00:00",
        ),
    ],
)
def test_dev_reads_yesterday_to_the_millisecond_and_says_so(now, key, start, end):
    (request,) = plan_hotmart(tenant(), DEV, datetime.fromisoformat(now), Landed())
    assert request.slices == (key,)
    assert request.window is not None
    assert request.window[0] == datetime.fromisoformat(start)
    assert request.window[1] == datetime.fromisoformat(end)
    assert request.tags[WINDOW_START_TAG] == request.window[0].isoformat()
    assert request.tags[WINDOW_END_TAG] == request.window[1].isoformat()
    assert request.note == "só ontem; use prd ou um backfill"


@given(days, st.sampled_from(["America/Sao_Paulo", "America/Santiago", "UTC", "Asia/Beirut"]))
def test_days_follow_each_other_without_gap_or_overlap(day: date, zone: str):
    one = tenant(zone)
    (request,) = plan_hotmart(
        one, DEV, daily_instant(one, time(12), day + timedelta(days=1)), Landed()
    )
    (following,) = plan_hotmart(
        one, DEV, daily_instant(one, time(12), day + timedelta(days=2)), Landed()
    )
    assert request.window
    assert following.window
    gap = following.window[0].astimezone(UTC) - request.window[1].astimezone(UTC)
    assert gap == timedelta(milliseconds=1)


def received(key: str, status: str = "received") -> Load:
    return Load(source="manychat", slice=key, status=status)


def test_only_received_files_are_due_those_refused_wait():
    keys = ("a", "b", "c", "d")
    loads = [received("a", "landed"), received("b"), received("c"), received("d", "refused")]
    found = plan_files("manychat", Landed(loads=loads, file_keys={"manychat": keys}))
    assert slices(found) == [("b", "c")]


def test_files_are_requested_in_the_order_of_their_partitions():
    loads = [received("a"), received("b"), received("c")]
    found = plan_files(
        "manychat", Landed(loads=loads, file_keys={"manychat": ("c", "x", "a", "b")})
    )
    assert slices(found) == [("c",), ("a", "b")]


def test_a_file_whose_partition_is_not_registered_yet_comes_last():
    found = plan_files(
        "manychat", Landed(loads=[received("new"), received("z")], file_keys={"manychat": ("z",)})
    )
    assert slices(found) == [("z", "new")]


def test_without_files_nothing_is_due():
    assert plan_files("manychat", Landed(file_keys={"manychat": ("a",)})) == []


def test_actions_are_due_when_the_log_grew():
    load = Load(source="actions", slice="all", status="landed", content_sha256="7")
    assert plan_actions(Landed(loads=[load], last_action_id=7)) == []
    assert plan_actions(Landed(loads=[load], last_action_id=8)) == [IngestRequest("actions")]
    assert plan_actions(Landed()) == [IngestRequest("actions")]


def test_a_request_without_partitions_has_no_tags():
    assert IngestRequest("actions").tags == {}


def test_a_sources_age_is_that_of_its_last_landing():
    loads = [
        complete("2025-01-01", at=NOW - timedelta(days=2)),
        complete("2025-02-01", at=NOW - timedelta(days=1)),
        received("a", "refused"),
    ]
    ages = source_ages(loads)
    assert ages.pop("hotmart_transactions") == NOW - timedelta(days=1)
    named = {source for sources in SOURCES_OF.values() for source in sources} - OCCASIONAL
    assert ages == dict.fromkeys(named - {"hotmart_transactions"})


DUE = daily_instant(tenant(), time(2), date(2026, 3, 15))


@pytest.mark.parametrize(
    ("now", "ingest", "refine", "today", "reason"),
    [
        (DUE, 200.0, 100.0, True, "depois-de-200.000"),
        (DUE - timedelta(hours=1), 200.0, 100.0, False, "depois-de-200.000"),
        (DUE, 100.0, 200.0, True, None),
        (DUE, 200.0, 200.0, True, None),
        (DUE, 0, 0, False, "dia-2026-03-15"),
        (DUE, 100.0, 200.0, False, "dia-2026-03-15"),
        (DUE - timedelta(seconds=1), 100.0, 200.0, False, None),
        (DUE - timedelta(seconds=1), 0, 0, False, None),
    ],
)
def test_refine_is_due_after_an_ingest_or_when_today_is_missing(now, ingest, refine, today, reason):
    found = refine_reason(
        now=now,
        due_at=DUE,
        ingest_ended_at=ingest,
        refine_created_at=refine,
        refined_today=today,
    )
    assert found == reason


def test_the_daily_instant_is_on_the_tenants_clock():
    instant = daily_instant(tenant("America/Manaus"), time(2, 30), date(2026, 3, 15))
    assert instant == datetime(2026, 3, 15, 6, 30, tzinfo=UTC)


def test_a_file_key_is_a_day_and_twelve_digits_of_the_hash():
    assert file_key(date(2026, 3, 15), "0123456789abcdef" * 4) == "2026-03-15_0123456789ab"
