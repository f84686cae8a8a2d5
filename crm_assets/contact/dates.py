"""Dates as spreadsheets, marketers and vendors write them, read into instants.

Here belong the accepted forms and what a date without a zone means. What a date is for, and
whether it may lie in the future, belongs to the reader of the column.
"""

import polars as pl

UNREADABLE = "data_ilegivel"
OUT_OF_RANGE = "data_fora_do_intervalo"

NULL_WORDS = frozenset(
    {"", "-", "--", "—", "null", "nulo", "none", "nil", "nan", "nat", "n/a", "na", "#n/a", "#n/d"}
    | {"undefined", "vazio", "sem data"}
)
"""Cells that say "no value", in lower case."""

_SERIAL = r"^\d{1,6}(?:[.,]\d+)?$"
_GROUPED_SERIAL = r"^(\d{2,3})\.(\d{3})(,\d+)?$"
_EPOCH = r"^\d{10}(?:[.,]0+)?$"
_EPOCH_MS = r"^\d{13}(?:[.,]0+)?$"
_DAY_FIRST = r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})\b"
_DAY_FIRST_SHORT = r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{2})\b"
_DATE = (
    r"(?i)^(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})"
    r"(?:(?:t|,? +(?:às +)?)(?P<hour>\d{1,2})[:h](?P<minute>[0-5]\d)"
    r"(?::(?P<second>[0-5]\d(?:[.,]\d{1,6})?)\d*)?"
    r" *(?P<offset>z|utc|gmt|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?)?$"
)


def parse_dates(text: pl.Series, timezone: str) -> pl.DataFrame:
    """Read date cells of any mixture of the accepted forms.

    Accepted: spreadsheet serials (days since 1899-12-30, decimal comma or dot, thousands dot,
    rounded to the second), dd/mm/yyyy and dd/mm/yy with or without a time, ISO 8601 with or without
    time and offset, Unix time in seconds or milliseconds. Month-first dates are never guessed.

    Args:
        text: String cells, one per row.
        timezone: IANA zone in which a date without an offset is meant. A local time that a clock
            change skips is read with the offset before the change, one that occurs twice as the
            earlier.

    Returns:
        One row per cell: `at` Datetime("us", "UTC") and `reason`, null unless the cell holds
        something that is no date (`data_ilegivel`) or lies outside the years 2000 to 2099
        (`data_fora_do_intervalo`).
    """
    frame = text.cast(pl.String).alias("cell").to_frame()
    frame = frame.select(pl.col("cell").str.strip_chars().str.strip_prefix("'"))
    written = (
        pl.col("cell")
        .str.replace(_DAY_FIRST, "$3-$2-$1")
        .str.replace(_DAY_FIRST_SHORT, "20$3-$2-$1")
        .str.extract_groups(_DATE)
    )
    frame = frame.with_columns(
        serial=_serial_time(pl.col("cell")), epoch=_epoch_time(pl.col("cell")), part=written
    ).unnest("part")
    naive = pl.coalesce(pl.col("serial"), _written_time(), pl.col("epoch"))
    frame = frame.select(
        "cell",
        time=naive,
        minutes=pl.when(pl.col("epoch").is_not_null()).then(0).otherwise(_offset_minutes()),
    )
    absolute = pl.col("time") - pl.duration(minutes=pl.col("minutes"))
    plausible = pl.col("time").dt.year().is_between(2000, 2099)
    missing = pl.col("cell").is_null() | pl.col("cell").str.to_lowercase().is_in(list(NULL_WORDS))
    return frame.select(
        at=pl.when(plausible & pl.col("minutes").is_not_null())
        .then(absolute.dt.replace_time_zone("UTC"))
        .when(plausible)
        .then(_localise(pl.col("time"), timezone)),
        reason=pl.when(missing | plausible.fill_null(value=False))
        .then(None)
        .when(pl.col("time").is_null())
        .then(pl.lit(UNREADABLE))
        .otherwise(pl.lit(OUT_OF_RANGE)),
    )


def _serial_time(cell: pl.Expr) -> pl.Expr:
    plain = cell.str.replace(_GROUPED_SERIAL, "$1$2$3")
    days = (
        pl.when(plain.str.contains(_SERIAL))
        .then(plain.str.replace(",", ".", literal=True))
        .cast(pl.Float64, strict=False)
    )
    seconds = (days * 86_400).round().cast(pl.Int64)
    return pl.datetime(1899, 12, 30) + pl.duration(seconds=seconds)


def _epoch_time(cell: pl.Expr) -> pl.Expr:
    digits = cell.str.extract(r"^(\d+)").cast(pl.Int64, strict=False)
    return (
        pl.when(cell.str.contains(_EPOCH))
        .then(digits * 1_000)
        .when(cell.str.contains(_EPOCH_MS))
        .then(digits)
        .cast(pl.Datetime("ms"))
        .cast(pl.Datetime("us"))
    )


def _written_time() -> pl.Expr:
    return pl.format(
        "{}-{}-{} {}:{}:{}",
        "year",
        "month",
        "day",
        pl.col("hour").fill_null("0"),
        pl.col("minute").fill_null("0"),
        pl.col("second").fill_null("0").str.replace(",", ".", literal=True),
    ).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)


def _offset_minutes() -> pl.Expr:
    offset = pl.col("offset")
    digits = offset.str.replace(":", "", literal=True)
    size = digits.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + digits.str.slice(3).replace(
        "", "0"
    ).cast(pl.Int64, strict=False)
    return (
        pl.when(offset.str.starts_with("+"))
        .then(size)
        .when(offset.str.starts_with("-"))
        .then(-size)
        .when(offset.is_not_null())
        .then(0)
    )


def _localise(time: pl.Expr, timezone: str) -> pl.Expr:
    def at(shift: str) -> pl.Expr:
        return (
            time.dt.offset_by(shift)
            .dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
            .dt.convert_time_zone("UTC")
        )

    return pl.coalesce(at("0h"), at("1h"), at("1d"))
