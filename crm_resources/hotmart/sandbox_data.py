"""The account that the local sandbox answers from: its sales, and what follows from them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path

from crm_resources.hotmart.sandbox_generator import Generator
from crm_resources.hotmart.sandbox_records import Sale, SandboxDataError, read_file
from crm_resources.hotmart.sandbox_subscriptions import Subscription, subscriptions
from crm_resources.hotmart.statuses import Item

__all__ = ["Sale", "SandboxData", "SandboxDataError"]


class SandboxData:
    """Sales in the order of their order date, found by window and filters.

    Args:
        sales: in any order.
        now_ms: as of when the account is, epoch milliseconds; the last order date when absent.
        clock: when something is asked of it, aware; always `now_ms` when absent.
    """

    def __init__(
        self,
        sales: Iterable[Sale],
        now_ms: int | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._sales = sorted(sales, key=attrgetter("ordered_at"))
        self._now_ms, self._clock = now_ms, clock
        self._changes: dict[str, Item] = {}
        self.find = lru_cache(maxsize=32)(self._find)
        self.subscriptions = lru_cache(maxsize=4)(self._subscriptions)

    @classmethod
    def generate(cls, seed: int, transactions: int, start: datetime, end: datetime) -> SandboxData:
        """Invent sales, the same for the same arguments.

        Args:
            seed: any integer.
            transactions: how many.
            start: first possible order date, aware.
            end: last one; the age on that day decides how far a sale has got.
        """
        last = int(end.timestamp())
        generator = Generator(seed, int(start.timestamp()), last)
        return cls(generator.sales(transactions), last * 1000)

    @classmethod
    def load(cls, path: Path, clock: Callable[[], datetime] | None = None) -> SandboxData:
        """Read hand-written sales; `sandbox_records` gives the format.

        Args:
            path: the file.
            clock: the time, aware, where the file has no clock of its own; the machine's if absent.

        Raises:
            SandboxDataError: the file is not that; one sentence with the sale's place.
        """
        sales, now, latest = read_file(path)
        if now is not None:
            return cls(sales, now)
        return cls(sales, latest, clock or partial(datetime.now, UTC))

    def __len__(self) -> int:
        return len(self._sales)

    @property
    def now_ms(self) -> int:
        """As of when the account is, epoch milliseconds."""
        last = self._sales[-1].ordered_at if self._sales else 0
        return last if self._now_ms is None else self._now_ms

    @property
    def asked_ms(self) -> int:
        """When something that is asked for now happens, epoch milliseconds."""
        return self.now_ms if self._clock is None else int(self._clock().timestamp() * 1000)

    def insert(self, sale: Sale) -> None:
        """Add one sale: what a page token points at moves by one row."""
        insort(self._sales, sale, key=attrgetter("ordered_at"))
        self.find.cache_clear()
        self.subscriptions.cache_clear()

    def change(self, subscriber_code: str, values: Item) -> None:
        """Let the subscriptions of a code be what the producer or the subscriber made them."""
        self._changes[subscriber_code] = values
        self.subscriptions.cache_clear()

    def _find(
        self,
        start_ms: float = -math.inf,
        end_ms: float = math.inf,
        statuses: frozenset[str] | None = None,
        filters: frozenset[tuple[str, str]] = frozenset(),
    ) -> list[Sale]:
        """Sales of a window, newest first; remembered until a sale is inserted.

        Args:
            start_ms: first order date, epoch milliseconds.
            end_ms: last order date, inclusive.
            statuses: those wanted; None for all.
            filters: attributes of `Sale` and the text that each must equal.
        """
        order = attrgetter("ordered_at")
        first = bisect_left(self._sales, start_ms, key=order)
        last = bisect_right(self._sales, end_ms, key=order)
        return [
            sale
            for sale in reversed(self._sales[first:last])
            if (statuses is None or sale.status in statuses)
            and all(getattr(sale, name) == text for name, text in filters)
        ]

    def _subscriptions(self, lag_ms: int = 0) -> list[Subscription]:
        """What the sales say of subscriptions and instalment plans; remembered likewise.

        Args:
            lag_ms: how long ago it was that the account looked so.
        """
        made = subscriptions(self._sales, self.now_ms, lag_ms)
        for each in made:
            each.item.update(self._changes.get(each.item["subscriber_code"], {}))
        return made
