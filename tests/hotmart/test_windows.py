"""Windows cover every millisecond exactly once, whatever the zone did to its clocks."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_resources.hotmart import Window, days_window, month_window

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
ZONES = [SAO_PAULO, UTC, ZoneInfo("America/Havana"), ZoneInfo("Atlantic/Azores")]

instants = st.datetimes(
    min_value=datetime(2011, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.sampled_from(ZONES)
)
windows = st.tuples(instants, st.integers(0, 500 * 86_400_000)).map(
    lambda pair: Window(pair[0], pair[0].astimezone(UTC) + timedelta(milliseconds=pair[1]))
)


@given(first=st.dates(date(1931, 1, 1), date(2035, 1, 1)), zone=st.sampled_from(ZONES))
def test_consecutive_months_leave_no_gap_and_no_overlap(first, zone):
    month = first.replace(day=1)
    following = (month + timedelta(days=31)).replace(day=1)
    assert month_window(month, zone).end_ms + 1 == month_window(following, zone).start_ms


@given(day=st.dates(date(1931, 1, 1), date(2035, 1, 1)), zone=st.sampled_from(ZONES))
def test_a_day_window_holds_exactly_the_instants_of_that_local_day(day, zone):
    window = days_window(day, day, zone)
    assert window.start.date() == window.end.date() == day
    before = window.start.astimezone(UTC) - timedelta(milliseconds=1)
    after = window.end.astimezone(UTC) + timedelta(milliseconds=1)
    assert before.astimezone(zone).date() != day
    assert after.astimezone(zone).date() != day


@pytest.mark.parametrize(
    ("day", "start", "hours"),
    [
        (date(2018, 11, 3), datetime(2018, 11, 3, 3, tzinfo=UTC), 24),
        (date(2018, 11, 4), datetime(2018, 11, 4, 3, tzinfo=UTC), 23),  # midnight does not exist
        (date(2018, 2, 17), datetime(2018, 2, 17, 2, tzinfo=UTC), 25),  # 23:00 comes twice
        (date(2024, 1, 1), datetime(2024, 1, 1, 3, tzinfo=UTC), 24),
    ],
)
def test_days_of_the_summer_time_changes(day, start, hours):
    window = days_window(day, day, SAO_PAULO)
    assert window.start == start
    assert window.end_ms - window.start_ms + 1 == hours * 3_600_000


def test_a_month_is_the_tenants_month():
    window = month_window(date(2024, 2, 1), SAO_PAULO)
    assert window.start == datetime(2024, 2, 1, 3, tzinfo=UTC)
    assert window.end == datetime(2024, 3, 1, 2, 59, 59, 999_000, tzinfo=UTC)
    assert str(window) == "2024-02-01T00:00-03:00 a 2024-02-29T23:59-03:00"


def test_a_month_starts_on_its_first_day():
    with pytest.raises(ValueError, match="day 1"):
        month_window(date(2024, 2, 2), SAO_PAULO)


@given(windows)
def test_halves_cover_the_window_once(window):
    if window.start_ms == window.end_ms:
        with pytest.raises(ValueError, match="millisecond"):
            window.halves()
        return
    first, second = window.halves()
    assert first.start_ms == window.start_ms
    assert first.end_ms + 1 == second.start_ms
    assert second.end_ms == window.end_ms
    lengths = [half.end_ms - half.start_ms for half in (first, second)]
    assert max(lengths) - min(lengths) <= 1


@given(windows)
def test_halving_down_to_a_day_covers_the_window_once(window):
    pieces, waiting = [], [window]
    while waiting:
        piece = waiting.pop()
        if piece.exceeds_a_day:
            waiting += reversed(piece.halves())
        else:
            pieces.append(piece)
    assert pieces[0].start_ms == window.start_ms
    assert pieces[-1].end_ms == window.end_ms
    assert all(a.end_ms + 1 == b.start_ms for a, b in pairwise(pieces))
    assert all(piece.end_ms - piece.start_ms < 86_400_000 for piece in pieces)


def test_order_is_that_of_instants_where_the_clock_repeats():
    zone = SAO_PAULO
    first_pass = datetime(2018, 2, 17, 23, 30, tzinfo=zone)
    second_pass = datetime(2018, 2, 17, 23, 10, fold=1, tzinfo=zone)
    assert Window(first_pass, second_pass).end_ms - Window(first_pass, second_pass).start_ms == (
        40 * 60_000
    )


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (datetime(2024, 1, 1), datetime(2024, 1, 2, tzinfo=UTC), "aware"),
        (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2), "aware"),
        (datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC), "before it starts"),
    ],
)
def test_a_window_needs_aware_instants_in_order(start, end, message):
    with pytest.raises(ValueError, match=message):
        Window(start, end)
