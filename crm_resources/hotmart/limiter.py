"""The call budget: how many requests may start in any minute, and how many may be open at once."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

_STRETCH = 1.01  # a call reaches the vendor a little after it was granted
_POLLS = 600  # looks per period at what replies have said meanwhile


class Limiter:
    """At most `calls` starts in any `period` and `concurrency` calls open, first come first served.

    A whole period's allowance may be used in a burst. What the vendor says of its own count
    (`RateLimit-Remaining`, `RateLimit-Reset`, a 429) is obeyed on top, since other programs may
    share the account.

    Args:
        calls: allowance per period.
        period: seconds.
        concurrency: calls open at the same time.
        clock: monotonic seconds.
        sleep: how to wait, in the clock's seconds.
    """

    def __init__(
        self,
        calls: int,
        period: float = 60.0,
        *,
        concurrency: int = 16,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if calls < 1 or concurrency < 1 or period <= 0:
            raise ValueError("a limiter needs a positive allowance, period and concurrency")
        self._period = period * _STRETCH
        self._clock = clock
        self._sleep = sleep
        self._slots = asyncio.Semaphore(concurrency)
        self._turn = asyncio.Lock()
        self._starts: deque[float] = deque(maxlen=calls)
        self._granted = 0
        self._vendor_allows_up_to = 0
        self._vendor_window_ends = -math.inf

    @asynccontextmanager
    async def call(self) -> AsyncIterator[int]:
        """Wait for a turn, and hold an open place while the request runs.

        Yields:
            The number of this call, which `observe` needs.
        """
        async with self._slots:
            async with self._turn:
                while (wait := self._wait()) > 0:
                    await self._sleep(min(wait, self._period / _POLLS))
                self._starts.append(self._clock())
                self._granted += 1
                number = self._granted
            yield number

    def observe(self, number: int, headers: Mapping[str, str], *, refused: bool = False) -> None:
        """Take in what the vendor says of its count in the reply to call `number`.

        Args:
            number: what `call` yielded.
            headers: the reply's headers, looked up without regard to case.
            refused: the reply was a 429.
        """
        reset = _seconds(headers.get("RateLimit-Reset"))
        remaining = 0.0 if refused else _seconds(headers.get("RateLimit-Remaining"))
        if reset is None and refused:
            reset = _seconds(headers.get("Retry-After")) or self._period / 4
        if reset is None or remaining is None:
            return
        self._vendor_allows_up_to = number + int(remaining)
        self._vendor_window_ends = self._clock() + min(reset, self._period)

    def _wait(self) -> float:
        ready = -math.inf
        if len(self._starts) == self._starts.maxlen:
            ready = self._starts[0] + self._period
        if self._granted >= self._vendor_allows_up_to:
            ready = max(ready, self._vendor_window_ends)
        return ready - self._clock()


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
