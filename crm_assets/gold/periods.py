"""Days, weeks and months in SQL, and the books: what every metric by period shares. No Dagster."""

from __future__ import annotations

HOME = "home"
"""The book of the whole house, in the tenant's currency; every other book is a currency."""

UNKNOWN = "XXX"
"""The book of what has no currency (ISO 4217)."""

GRAINS = ("day", "week", "month")
"""Calendar periods of the tenant's zone; weeks begin on Monday (ISO 8601)."""


def each_grain(rows: str) -> str:
    """SELECT of `rows`, which have a `day`, once per grain with the period's first day."""
    grains = ", ".join(f"('{grain}')" for grain in GRAINS)
    return f"""
        SELECT grain, date_trunc(grain, day)::DATE AS period_start, *
        FROM {rows} CROSS JOIN (VALUES {grains}) AS grains(grain)
    """


def is_partial(today: str, days_later: int = 0) -> str:
    """Whether the period of `grain` and `period_start` may still change without a late fact.

    Args:
        today: SQL of the present day or instant.
        days_later: how many days after its end the period is final.
    """
    return f"""
        CASE grain WHEN 'day' THEN period_start
                   WHEN 'week' THEN period_start + 6
                   ELSE last_day(period_start) END + {days_later} >= {today}::DATE
    """


def rate(part: str, whole: str) -> str:
    """A part of a whole between 0 and 1; empty when there was nothing to lose."""
    return f"CASE WHEN {whole} > 0 THEN ({part})::DOUBLE / ({whole})::DOUBLE END"
