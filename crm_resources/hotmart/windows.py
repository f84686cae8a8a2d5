"""Order-date windows: which milliseconds a request covers, how to cut them, what one held. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DAY_MS = 86_400_000


def _to_ms(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND


def _from_ms(milliseconds: int, zone: tzinfo | None) -> datetime:
    return (_EPOCH + milliseconds * _MILLISECOND).astimezone(zone)


@dataclass(frozen=True)
class Window:
    """A stretch of order dates, both ends inclusive to the millisecond.

    Attributes:
        start: first instant, aware; what is finer than a millisecond is dropped.
        end: last instant, aware, not before `start`.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs aware datetimes")
        if self.start_ms > self.end_ms:
            raise ValueError("a window cannot end before it starts")

    @property
    def start_ms(self) -> int:
        """First instant as epoch milliseconds, the vendor's `start_date`."""
        return _to_ms(self.start)

    @property
    def end_ms(self) -> int:
        """Last instant as epoch milliseconds, the vendor's `end_date`."""
        return _to_ms(self.end)

    @property
    def exceeds_a_day(self) -> bool:
        """Whether it covers more than 24 hours; shorter ones are not halved (rules 1.4)."""
        return self.end_ms - self.start_ms >= _DAY_MS

    def halves(self) -> tuple[Window, Window]:
        """Cut in two windows that cover the same milliseconds, each once.

        Raises:
            ValueError: the window is a single millisecond.
        """
        if self.start_ms == self.end_ms:
            raise ValueError("a single millisecond has no halves")
        middle = (self.start_ms + self.end_ms) // 2
        return (
            Window(self.start, _from_ms(middle, self.start.tzinfo)),
            Window(_from_ms(middle + 1, self.start.tzinfo), self.end),
        )

    def __str__(self) -> str:
        start = self.start.isoformat(timespec="minutes")
        return f"{start} a {self.end.isoformat(timespec='minutes')}"


@dataclass(frozen=True)
class WindowRead:
    """The complete answer for one window.

    Attributes:
        window: what was to be read.
        items: as received, each key once, the later version of a repeated one.
        total_results: the vendor's count, None when it gave none.
        verified: distinct keys plus items without key equal `total_results` (rules 1.3).
        pages: pages that make up the answer.
        refused_statuses: names the endpoint did not take, so that their sales are missing.
        asked: the windows really asked, several when it had to be cut.
    """

    window: Window
    items: list[dict[str, Any]] = field(repr=False)
    total_results: int | None
    verified: bool
    pages: int
    refused_statuses: tuple[str, ...]
    asked: tuple[Window, ...]

    @property
    def verification(self) -> str:
        """`conferido` or `não conferido`, for people."""
        return "conferido" if self.verified else "não conferido"

    def joined(self, window: Window, later: WindowRead) -> WindowRead:
        """The answer for `window`, read as this one and `later`."""
        counted = self.total_results is not None and later.total_results is not None
        total = (self.total_results or 0) + (later.total_results or 0)
        refused = dict.fromkeys(self.refused_statuses + later.refused_statuses)
        return WindowRead(
            window=window,
            items=self.items + later.items,
            total_results=total if counted else None,
            verified=self.verified and later.verified,
            pages=self.pages + later.pages,
            refused_statuses=tuple(refused),
            asked=self.asked + later.asked,
        )


def days_window(first: date, last: date, zone: tzinfo) -> Window:
    """The local days `first` to `last`, both whole.

    Consecutive stretches of days cover every millisecond exactly once, also where a change of
    summer time removes or repeats midnight: a day starts at its first existing instant, and ends
    one millisecond before the next day starts.
    """
    return Window(
        _from_ms(_midnight_ms(first, zone), zone),
        _from_ms(_midnight_ms(last + timedelta(days=1), zone) - 1, zone),
    )


def month_window(first_day: date, zone: tzinfo) -> Window:
    """The calendar month that starts on `first_day`, in the tenant's zone (design 6).

    Raises:
        ValueError: `first_day` is not the first of a month.
    """
    if first_day.day != 1:
        raise ValueError("a month starts on day 1")
    next_month = (first_day + timedelta(days=31)).replace(day=1)
    return days_window(first_day, next_month - timedelta(days=1), zone)


def _midnight_ms(day: date, zone: tzinfo) -> int:
    return _to_ms(datetime.combine(day, time.min, zone))
