"""Partitions: which slices and days exist, with the real clock and with `CRM_NOW`."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.partitions import Partitions
from crm_assets.settings import Settings
from crm_assets.slices import month_keys, month_of, zone
from crm_assets.tenants import build_tenant_model

DAYS = st.integers(-3000, 3000)


def partitions(now: str = "", start: str | None = "2025-01-17", zone: str = "America/Sao_Paulo"):
    hotmart = {"start_date": start} if start else {}
    tenant = build_tenant_model("default", {"timezone": zone, "hotmart": hotmart}, {})
    return Partitions.of(tenant, Settings.from_environ({"CRM_NOW": now}))


def test_months_begin_with_that_of_the_start_date_and_include_the_current_one():
    today = datetime.now(zone(build_tenant_model("default", {}, {}))).date()
    made = partitions()
    assert made.months.get_partition_keys() == month_keys(date(2025, 1, 1), today)
    days = made.days.get_partition_keys()
    assert (days[0], days[-1]) == ("2025-01-01", today.isoformat())


def test_without_a_start_date_they_begin_in_2011():
    assert partitions(start=None).months.get_first_partition_key() == "2011-01-01"


@settings(max_examples=40, deadline=None)
@given(DAYS)
def test_a_fixed_clock_ends_them_exactly_there(offset: int):
    now = datetime.now(UTC) + timedelta(days=offset)
    today = now.astimezone(zone(build_tenant_model("default", {}, {}))).date()
    made = partitions(now.isoformat(), start="2015-01-01")
    assert made.months.get_partition_keys() == month_keys(date(2015, 1, 1), today)
    assert made.days.get_last_partition_key() == today.isoformat()


@pytest.mark.parametrize(
    ("now", "month", "day"),
    [
        ("2026-03-15T09:00:00-03:00", "2026-03-01", "2026-03-15"),
        ("2026-03-01T00:00:00-03:00", "2026-03-01", "2026-03-01"),
        ("2026-03-01T02:59:59+00:00", "2026-02-01", "2026-02-28"),
        ("2025-12-31T23:59:59-03:00", "2025-12-01", "2025-12-31"),
    ],
)
def test_the_last_partitions_are_those_of_the_tenants_day(now, month, day):
    made = partitions(now)
    assert made.months.get_last_partition_key() == month
    assert made.days.get_last_partition_key() == day


def test_a_start_date_in_the_future_still_loads_with_today():
    made = partitions("2026-03-15T09:00:00-03:00", start="2030-05-01")
    assert made.months.get_partition_keys() == ["2026-03-01"]
    assert made.days.get_partition_keys()[-1] == "2026-03-15"


def test_days_without_midnight_and_days_of_25_hours_are_one_partition_each():
    made = partitions("2019-03-01T12:00:00-03:00", start="2018-01-01")
    keys = made.days.get_partition_keys()
    assert len(keys) == (date(2019, 3, 1) - date(2018, 1, 1)).days + 1
    hours = {
        key: (window.end - window.start).total_seconds() / 3600
        for key in ("2018-02-17", "2018-11-04", "2018-06-01")
        for window in [made.days.time_window_for_partition_key(key)]
    }
    assert hours["2018-06-01"] == 24
    assert hours["2018-11-04"] in {23, 24}


@settings(max_examples=25, deadline=None)
@given(st.dates(date(2012, 1, 1), date(2025, 12, 31)))
def test_months_follow_each_other_across_changes_of_summer_time(day: date):
    from crm_resources.hotmart import month_window

    tenant = build_tenant_model("default", {}, {})
    first = month_of(day)
    following = month_of(first + timedelta(days=31))
    window, later = (month_window(month, zone(tenant)) for month in (first, following))
    assert later.start_ms - window.end_ms == 1


def test_files_are_apart_by_tenant():
    tenant = build_tenant_model("acme", {}, {})
    assert Partitions.of(tenant, Settings.from_environ({})).files_of["manychat"].name == (
        "acme/manychat_files"
    )
