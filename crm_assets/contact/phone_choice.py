"""Which of a record's two phone columns speaks for it."""

import polars as pl

from crm_assets.contact.phone import normalize_phones


def choose_phones(
    first: pl.Series,
    second: pl.Series,
    country: pl.Series | None = None,
    brazilian: pl.Series | None = None,
) -> pl.DataFrame:
    """Read both columns; the second counts when only it is a key, or only it a number at all.

    Args:
        first: the better column of the source.
        second: its other phone column.
        country: see `normalize_phones`.
        brazilian: see `normalize_phones`.

    Returns:
        One row per record, the columns of `normalize_phones`.
    """
    one, other = (normalize_phones(text, country, brazilian) for text in (first, second))
    use_first = one["phone_key"].is_not_null() | (
        other["phone_key"].is_null() & (one["e164"].is_not_null() | other["e164"].is_null())
    )
    return one.select(
        pl.when(use_first).then(pl.col(name)).otherwise(other[name]).alias(name)
        for name in one.columns
    )
