"""The Hotmart API client: complete answers per window, and single transactions.

What comes back is the vendor's items as received; what they mean is decided elsewhere. Every
error is one Portuguese sentence with endpoint, window and status, never a token or a buyer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import cached_property
from typing import Any

from crm_resources.hotmart.connection import (
    TOKEN_PATH,
    Connection,
    HotmartCredentials,
    Parameters,
)
from crm_resources.hotmart.statuses import (
    SALES_HISTORY,
    Endpoint,
    HotmartError,
    IncompleteAnswer,
    Item,
    Key,
    RefusedError,
    UnavailableError,
)
from crm_resources.hotmart.windows import Window, WindowRead

__all__ = ["TOKEN_PATH", "HotmartClient", "HotmartCredentials"]

_REREADS = 3  # rules 1.3


class HotmartClient(Connection):
    """Reads the API under one limiter; an async context manager.

    Takes what `Connection` takes; `concurrency` is also that of `read_windows`.
    """

    @cached_property
    def _refused_statuses(self) -> dict[Endpoint, tuple[str, ...]]:
        return {}

    @cached_property
    def _bisect_lock(self) -> asyncio.Lock:
        return asyncio.Lock()

    async def transaction(self, code: str) -> Item | None:
        """The `sales/history` item of one transaction, whatever its status and date.

        Args:
            code: as the vendor writes it, e.g. HP followed by digits.

        Returns:
            The item; None when the account has no such transaction.

        Raises:
            HotmartError: no answer; see the subclasses.
        """
        page = await self.page(
            SALES_HISTORY.path,
            [("transaction", code)],
            f"{SALES_HISTORY.name} da transação {code}",
        )
        return next((item for item in page["items"] if SALES_HISTORY.key(item) == code), None)

    async def read_windows(
        self, endpoint: Endpoint, windows: Mapping[str, Window]
    ) -> AsyncIterator[tuple[str, WindowRead | HotmartError]]:
        """Read several windows at once, and yield each as it completes.

        Windows are started in the order given. A failed one is yielded as its error and stops no
        other; leaving the loop cancels what is still running. At most twice `concurrency` answers
        are held in memory.

        Yields:
            The window's key, with its answer or its error.
        """
        waiting = iter(windows.items())
        done: asyncio.Queue[tuple[str, WindowRead | Exception]] = asyncio.Queue(self._concurrency)

        async def work() -> None:
            for key, window in waiting:
                try:
                    await done.put((key, await self.read_window(endpoint, window)))
                except Exception as error:
                    await done.put((key, error))

        workers = [asyncio.create_task(work()) for _ in range(self._concurrency)]
        try:
            for _ in range(len(windows)):
                key, answer = await done.get()
                if isinstance(answer, Exception) and not isinstance(answer, HotmartError):
                    raise answer
                yield key, answer
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def read_window(self, endpoint: Endpoint, window: Window) -> WindowRead:
        """Read every page of one window, in every status.

        A refused window (400), and one whose query runs out of time (502), is halved down to one
        day; if a day is still refused the statuses are bisected once, and the refused ones left
        out for the client's life (rules 1.4).

        Raises:
            HotmartError: no complete answer; see the subclasses.
        """
        statuses = self._statuses(endpoint)

        async def read() -> WindowRead:
            return await self._read_pages(endpoint, window, statuses)

        try:
            return await self.retrying(read, on=IncompleteAnswer, attempts=1 + _REREADS)
        except (RefusedError, UnavailableError) as error:
            failure = error
        if failure.status not in {400, 502}:
            raise failure
        if statuses != self._statuses(endpoint):
            return await self.read_window(endpoint, window)
        if window.exceeds_a_day:
            first, second = window.halves()
            earlier = await self.read_window(endpoint, first)
            return earlier.joined(window, await self.read_window(endpoint, second))
        if failure.status == 400 and await self._learn_statuses(endpoint, window, statuses):
            return await self.read_window(endpoint, window)
        raise failure

    def _statuses(self, endpoint: Endpoint) -> tuple[str, ...]:
        refused = self._refused_statuses.get(endpoint, ())
        return tuple(status for status in endpoint.asked_statuses if status not in refused)

    async def _learn_statuses(
        self, endpoint: Endpoint, window: Window, statuses: tuple[str, ...]
    ) -> bool:
        """Whether the statuses to ask for are fewer now than those that were refused."""
        if not statuses:
            return False
        async with self._bisect_lock:
            if endpoint not in self._refused_statuses:
                refused = await self._bisect(endpoint, window, statuses)
                every = len(refused) == len(statuses)
                self._refused_statuses[endpoint] = () if every else refused
        return statuses != self._statuses(endpoint)

    async def _bisect(
        self, endpoint: Endpoint, window: Window, statuses: tuple[str, ...]
    ) -> tuple[str, ...]:
        try:
            await self._page(endpoint, window, statuses, max_results=1)
        except RefusedError:
            if len(statuses) == 1:
                return statuses
        else:
            return ()
        middle = len(statuses) // 2
        return await self._bisect(endpoint, window, statuses[:middle]) + await self._bisect(
            endpoint, window, statuses[middle:]
        )

    async def _read_pages(
        self, endpoint: Endpoint, window: Window, statuses: tuple[str, ...]
    ) -> WindowRead:
        rows: dict[Key | tuple[int, int], Item] = {}
        totals: set[int] = set()
        tokens: set[str] = set()
        where = f"{endpoint.name} de {window}"
        token = None
        pages = 0
        while True:
            page = await self._page(endpoint, window, statuses, page_token=token)
            pages += 1
            known = len(rows)
            for position, item in enumerate(page["items"]):
                rows[endpoint.key(item) or (pages, position)] = item
            info = page.get("page_info") or {}
            if isinstance(total := info.get("total_results"), int):
                totals.add(total)
            token = info.get("next_page_token")
            if not token:
                break
            if token in tokens or len(rows) == known:
                raise IncompleteAnswer(f"Hotmart repetiu uma página de {where}.")
            tokens.add(token)
        if totals and totals != {len(rows)}:
            counts = ", depois ".join(map(str, sorted(totals)))
            raise IncompleteAnswer(
                f"Hotmart anunciou {counts} registros e entregou {len(rows)} em {where}."
            )
        return WindowRead(
            window=window,
            items=list(rows.values()),
            total_results=len(rows) if totals else None,
            verified=bool(totals),
            pages=pages,
            refused_statuses=tuple(
                name for name in endpoint.asked_statuses if name not in statuses
            ),
            asked=(window,),
        )

    async def _page(
        self,
        endpoint: Endpoint,
        window: Window,
        statuses: tuple[str, ...],
        *,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> dict[str, Any]:
        start, end = endpoint.window_parameters
        parameters: Parameters = [
            (start, window.start_ms),
            (end, window.end_ms),
            ("max_results", max_results or endpoint.max_results),
            *((endpoint.status_parameter, status) for status in statuses),
        ]
        if page_token:
            parameters.append(("page_token", page_token))
        where = f"{endpoint.name} de {window}"
        return await self.page(endpoint.path, parameters, where, narrowable=window.exceeds_a_day)
