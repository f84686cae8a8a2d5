"""How posts reach the inbox of one tenant: gathered, and kept in one durable transaction.

While one transaction is written the next posts gather, so that many connections share one sync of
the disk. Nobody hears that a post was kept before it is on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

from crm_resources.ops import BadRecordError, InboxEvent, OpsStore
from crm_resources.ops.inbox import OTHERS

MOST_TOGETHER = 500
MOST_WAITING = 2000
PATIENCE_SECONDS = 4
"""Vendors wait about 5 s (S3.81); who is told to come back loses nothing."""

COUNTING_SECONDS = 5
MOST_ADDRESSES = 1000

_log = logging.getLogger("crm_web")


class NotKept(RuntimeError):
    """The post is not in the inbox, or nobody knows: the sender has to send it again."""


class Inbox:
    """The way into one tenant's inbox; `begin` and `end` it inside a running loop."""

    def __init__(self, address: str, tenant: str, name: str, clock: Callable[[], datetime]) -> None:
        """Open nothing yet.

        Args:
            address: of the operations store.
            tenant: as the store names it.
            name: as people name it.
            clock: gives the present.
        """
        self.name = name
        self.is_failing = False
        self._address, self._tenant, self._clock = address, tenant, clock
        self._store: OpsStore | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"inbox-{name}")
        self._waiting: deque[tuple[InboxEvent, asyncio.Future[None]]] = deque()
        self._refused: Counter[tuple[str, str]] = Counter()
        self._something = asyncio.Event()
        self._is_ending = False
        self._tasks: list[asyncio.Task[None]] = []

    def now(self) -> datetime:
        """The present."""
        return self._clock()

    def begin(self) -> None:
        """Open the store and start writing; a store that is away does not stop the start."""
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._count())]

    async def end(self) -> None:
        """Write what still waits, and stop."""
        writer, counter = self._tasks
        self._is_ending = True
        self._something.set()
        await writer
        counter.cancel()
        with suppress(asyncio.CancelledError):
            await counter
        await self._count_once()
        self._thread.shutdown()

    async def keep(self, event: InboxEvent) -> None:
        """Return once the event is on disk.

        Raises:
            NotKept: it is not, or not within `PATIENCE_SECONDS`.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise NotKept
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((event, kept))
        self._something.set()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await kept
        except TimeoutError:
            self.is_failing = True
            raise NotKept from None

    def refuse(self, kind: str, address: str) -> None:
        """Count a refused post; a flood is counted without being told apart."""
        if len(self._refused) >= MOST_ADDRESSES and (kind, address) not in self._refused:
            address = OTHERS
        self._refused[kind, address] += 1

    async def _write(self) -> None:
        """Keep what waits, again and again, everything at once."""
        await self._attempt([])
        while self._waiting or not self._is_ending:
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                count = min(len(self._waiting), MOST_TOGETHER)
                taken = [self._waiting.popleft() for _ in range(count)]
                await self._keep([(event, kept) for event, kept in taken if not kept.done()])

    async def _keep(self, posts: list[tuple[InboxEvent, asyncio.Future[None]]]) -> None:
        """Keep some posts in one transaction; one that the database refuses is tried alone."""
        error = await self._attempt([event for event, _ in posts])
        if isinstance(error, BadRecordError) and len(posts) > 1:
            for post in posts:
                await self._keep([post])
            return
        for _, kept in posts:
            if not kept.done():
                kept.set_exception(NotKept()) if error else kept.set_result(None)

    async def _attempt(self, events: list[InboxEvent]) -> Exception | None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._receive, events)
        except Exception as error:
            if not self.is_failing:
                _log.error("%s: os eventos não estão sendo gravados: %s", self.name, _told(error))
            self.is_failing = True
            return error
        if self.is_failing:
            _log.error("%s: os eventos voltaram a ser gravados.", self.name)
        self.is_failing = False
        return None

    def _receive(self, events: list[InboxEvent]) -> None:
        self._opened().receive(events)

    def _opened(self) -> OpsStore:
        if self._store is None:
            self._store = OpsStore(self._address, self._tenant, lasting=True)
        return self._store

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNTING_SECONDS)
            await self._count_once()

    async def _count_once(self) -> None:
        """Write down the refusals so far; what cannot be written is counted later."""
        counts, self._refused = self._refused, Counter()
        if not counts:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._refusals, counts)
        except Exception as error:
            _log.error("%s: recusas não gravadas: %s", self.name, _told(error))
            self._refused += counts

    def _refusals(self, counts: Counter[tuple[str, str]]) -> None:
        by_kind: dict[str, dict[str, int]] = {}
        for (kind, address), count in counts.items():
            by_kind.setdefault(kind, {})[address] = count
        for kind, by_address in by_kind.items():
            self._opened().count_refusals(kind, by_address, self._clock())
            for address in by_address:
                del counts[kind, address]


def _told(error: Exception) -> str:
    """What may be said of an error: our own sentences, which show no value, or its kind."""
    is_ours = type(error).__module__.startswith("crm_")
    return str(error) if is_ours else type(error).__name__
