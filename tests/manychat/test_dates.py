from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.contact.dates import NULL_WORDS, OUT_OF_RANGE, UNREADABLE, parse_dates

SAO_PAULO = "America/Sao_Paulo"


def parse(text, timezone=SAO_PAULO):
    return parse_dates(pl.Series([text], dtype=pl.String), timezone).row(0)


def local(text, timezone=SAO_PAULO):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("cell", "meaning"),
    [
        ("46057,56185", "2026-02-04T13:29:04"),
        ("46057.56185", "2026-02-04T13:29:04"),
        ("46057", "2026-02-04"),
        ("46057,0", "2026-02-04"),
        ("46000,0", "2025-12-09"),
        ("45658", "2025-01-01"),
        ("46023", "2026-01-01"),
        ("46388", "2027-01-01"),
        ("44927,99999", "2023-01-01T23:59:59"),
        ("44927,999999", "2023-01-02"),
        ("47519", "2030-02-05"),
        ("46.057,56", "2026-02-04T13:26:24"),
        ("46.057", "2026-02-04"),
        ("36526", "2000-01-01"),
        ("73050,5", "2099-12-31T12:00:00"),
        ("04/02/2026", "2026-02-04"),
        ("04/02/2026 13:29", "2026-02-04T13:29:00"),
        ("04/02/2026 13:29:03", "2026-02-04T13:29:03"),
        ("04/02/2026, 13:29:03", "2026-02-04T13:29:03"),
        ("04/02/2026 às 13h29", "2026-02-04T13:29:00"),
        ("4/2/26", "2026-02-04"),
        ("4/2/26 9:05", "2026-02-04T09:05:00"),
        ("04-02-2026", "2026-02-04"),
        ("04.02.2026", "2026-02-04"),
        ("2026-02-04", "2026-02-04"),
        ("2026/02/04 13:29", "2026-02-04T13:29:00"),
        ("2026-02-04T13:29:03", "2026-02-04T13:29:03"),
        ("2026-02-04 13:29:03.25", "2026-02-04T13:29:03.25"),
        ("29/02/2024", "2024-02-29"),
        ("  04/02/2026\u00a0", "2026-02-04"),
        ("'04/02/2026", "2026-02-04"),
    ],
)
@pytest.mark.parametrize("timezone", [SAO_PAULO, "Asia/Tokyo"])
def test_dates_without_an_offset_are_local(cell, meaning, timezone):
    assert parse(cell, timezone) == (local(meaning, timezone), None)


@pytest.mark.parametrize(
    ("cell", "instant"),
    [
        ("2026-02-04T13:29:03-03:00", "2026-02-04T16:29:03Z"),
        ("2026-02-04T13:29:03+0530", "2026-02-04T07:59:03Z"),
        ("2026-02-04T13:29:03-03", "2026-02-04T16:29:03Z"),
        ("2026-02-04T13:29-03:00", "2026-02-04T16:29:00Z"),
        ("2026-02-04T13:29:03Z", "2026-02-04T13:29:03Z"),
        ("2026-02-04 13:29:03 UTC", "2026-02-04T13:29:03Z"),
        ("2026-02-04t13:29:03.123456789z", "2026-02-04T13:29:03.123456Z"),
        ("1770222543", "2026-02-04T16:29:03Z"),
        ("1770222543.0", "2026-02-04T16:29:03Z"),
        ("1770222543250", "2026-02-04T16:29:03.250Z"),
    ],
)
def test_dates_with_an_offset_are_instants_in_any_zone(cell, instant):
    expected = datetime.fromisoformat(instant)
    assert parse(cell, SAO_PAULO) == parse(cell, "Asia/Tokyo") == (expected, None)


@pytest.mark.parametrize("cell", [None, " ", "NULL", "Nan", *sorted(NULL_WORDS)])
def test_null_words_have_no_reason(cell):
    assert parse(cell) == (None, None)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("02/13/2026", UNREADABLE),
        ("31/02/2026", UNREADABLE),
        ("29/02/2026", UNREADABLE),
        ("11/set", UNREADABLE),
        ("11/9", UNREADABLE),
        ("ontem", UNREADABLE),
        ("04/02/2026 24:00", UNREADABLE),
        ("04/02/2026 13:29:60", UNREADABLE),
        ("04/02/2026 1:29 PM", UNREADABLE),
        ("2026-02-04T13:29:03+15:00", UNREADABLE),
        ("46057,56,18", UNREADABLE),
        ("-46057", UNREADABLE),
        ("1,77022E+12", UNREADABLE),
        ("5511961234567", OUT_OF_RANGE),
        ("20260204", UNREADABLE),
        ("0", OUT_OF_RANGE),
        ("60", OUT_OF_RANGE),
        ("36525", OUT_OF_RANGE),
        ("36525,99999", OUT_OF_RANGE),
        ("73051", OUT_OF_RANGE),
        ("460575", OUT_OF_RANGE),
        ("30/12/1899", OUT_OF_RANGE),
        ("1999-12-31", OUT_OF_RANGE),
        ("2100-01-01", OUT_OF_RANGE),
        ("0000-01-01", OUT_OF_RANGE),
        ("9999-12-31T23:59:59-14:00", OUT_OF_RANGE),
    ],
)
def test_unreadable_and_implausible_dates(cell, reason):
    assert parse(cell) == (None, reason)


@pytest.mark.parametrize(
    ("cell", "timezone", "instant"),
    [
        ("04/11/2018 00:30", SAO_PAULO, "2018-11-04T03:30:00Z"),
        ("17/02/2018 23:30", SAO_PAULO, "2018-02-18T01:30:00Z"),
        ("04/11/2018", SAO_PAULO, "2018-11-04T03:00:00Z"),
        ("30/12/2011 10:00", "Pacific/Apia", "2011-12-30T20:00:00Z"),
    ],
)
def test_skipped_and_repeated_local_times(cell, timezone, instant):
    assert parse(cell, timezone) == (datetime.fromisoformat(instant), None)


def test_shape_and_types_of_an_empty_and_of_a_null_column():
    for column in (pl.Series([], dtype=pl.String), pl.Series([None, None], dtype=pl.Null)):
        dates = parse_dates(column, SAO_PAULO)
        assert dates.schema == {"at": pl.Datetime("us", "UTC"), "reason": pl.String}
        assert dates.null_count().row(0) == (len(column), len(column))


PLAUSIBLE = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31, 23, 59, 59)).map(
    lambda moment: moment.replace(microsecond=0)
)
ZONES = st.sampled_from([SAO_PAULO, "America/Manaus", "Europe/Madrid", "UTC"])


def as_serial(moment):
    return f"{(moment - datetime(1899, 12, 30)) / timedelta(days=1):.8f}".replace(".", ",")


@given(PLAUSIBLE, ZONES)
def test_every_form_of_a_moment_is_the_same_instant(moment, zone):
    forms = [
        as_serial(moment),
        moment.strftime("%d/%m/%Y %H:%M:%S"),
        moment.strftime("%d/%m/%y %H:%M:%S"),
        moment.isoformat(),
        moment.isoformat(sep=" "),
        moment.replace(tzinfo=ZoneInfo(zone)).isoformat(),
    ]
    dates = parse_dates(pl.Series(forms), zone)
    assert dates["at"].to_list() == [moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)] * 6
    assert dates["reason"].null_count() == 6


DATE_LIKE = st.text("0123456789/-.,: TZ+e", max_size=20)
PRINTABLE = st.text(st.characters(exclude_categories=["C"]), max_size=8)


@given(st.lists(DATE_LIKE | PRINTABLE | st.sampled_from(sorted(NULL_WORDS)) | st.none()))
def test_any_cell_is_an_instant_a_reason_or_missing(cells):
    dates = parse_dates(pl.Series(cells, dtype=pl.String), SAO_PAULO)
    assert len(dates) == len(cells)
    for cell, (at, reason) in zip(cells, dates.rows(), strict=True):
        word = (cell or "").strip().removeprefix("'").lower()
        assert (at is not None) + (reason is not None) == (word not in NULL_WORDS)
