"""The Hotmart API client: credentials, token, calls, and complete answers per order-date window.

What comes back is the vendor's items as received; what they mean is decided elsewhere. Every
error is one Portuguese sentence with endpoint, window and status, never a token or a buyer.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self, TypeVar

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)
from tenacity.wait import wait_base

from crm_resources.hotmart.limiter import Limiter
from crm_resources.hotmart.statuses import (
    CredentialsError,
    Endpoint,
    HotmartError,
    IncompleteAnswer,
    Item,
    RefusedError,
    UnavailableError,
    accepted_page,
    failure_of,
    json_object,
)
from crm_resources.hotmart.windows import Window, WindowRead

TOKEN_PATH = "/security/oauth/token"  # noqa: S105
_RENEW_EARLY = 300.0  # seconds before the token's end
_UNSTATED_LIFETIME = 3600.0
_REREADS = 3  # rules 1.3
_TIMEOUTS_BEFORE_NARROWING = 2  # a 502 is a query of over 30 s: it will not get faster
_BACKOFF = wait_exponential_jitter(initial=1, max=30, jitter=1)

_Result = TypeVar("_Result")
_Parameters = list[tuple[str, str | int | float | bool | None]]


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


@dataclass(frozen=True, repr=False)
class HotmartCredentials:
    """The API credential of the vendor's panel.

    Attributes:
        basic_token: with or without the word `Basic`; derived from the other two when absent.
    """

    client_id: str
    client_secret: str
    basic_token: str | None = None

    @property
    def authorization(self) -> str:
        """Value of the token request's `Authorization` header."""
        given = re.sub(r"^basic\s+", "", (self.basic_token or "").strip(), flags=re.I)
        pair = f"{self.client_id}:{self.client_secret}"
        return f"Basic {given or base64.b64encode(pair.encode()).decode()}"

    def __repr__(self) -> str:
        return "HotmartCredentials(***)"


class HotmartClient:
    """Reads the API under one limiter; an async context manager.

    Args:
        credentials: the API credential.
        api_url: e.g. https://developers.hotmart.com
        auth_url: e.g. https://api-sec-vlc.hotmart.com
        calls_per_minute: the account's allowance.
        concurrency: requests, and windows of `read_windows`, in flight at once.
        timeout: seconds without an answer after which a request is given up.
        on_request: called after every request with path, status (None without reply), seconds.
        attempts: tries per request on faults that may pass.
        backoff: delay between tries.
        limiter: replaces the one made from `calls_per_minute` and `concurrency`.
    """

    def __init__(
        self,
        credentials: HotmartCredentials,
        api_url: str,
        auth_url: str,
        *,
        calls_per_minute: int = 500,
        concurrency: int = 16,
        timeout: float = 60.0,
        on_request: Callable[[str, int | None, float], None] | None = None,
        attempts: int = 5,
        backoff: wait_base = _BACKOFF,
        limiter: Limiter | None = None,
    ) -> None:
        for name, url in (("api_url", api_url), ("auth_url", auth_url)):
            if not url.startswith(("https://", "http://")):
                raise ValueError(f"O endereço {name} da Hotmart precisa começar com https://.")
        self._credentials = credentials
        self._api_url = api_url.rstrip("/")
        self._auth_url = auth_url.rstrip("/")
        self._concurrency = concurrency
        self._on_request = on_request
        self._attempts = attempts
        self._backoff = backoff
        self._limiter = limiter or Limiter(calls_per_minute, concurrency=concurrency)
        self._http = httpx.AsyncClient(
            verify=_tls(),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0), pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=concurrency),
            headers={"User-Agent": "crm-data-platform", "Content-Type": "application/json"},
        )
        self._token = ""
        self._renew_at = 0.0
        self._token_lock = asyncio.Lock()
        self._credential_refusal = ""
        self._refused_statuses: dict[Endpoint, tuple[str, ...]] = {}
        self._bisect_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

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
        """Read every page of one window, all statuses asked by name.

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
            return await self._retrying(read, on=IncompleteAnswer, attempts=1 + _REREADS)
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
        return tuple(status for status in endpoint.statuses if status not in refused)

    async def _learn_statuses(
        self, endpoint: Endpoint, window: Window, statuses: tuple[str, ...]
    ) -> bool:
        """Whether the statuses to ask for are fewer now than those that were refused."""
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
        rows: dict[str | tuple[int, int], Item] = {}
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
            refused_statuses=tuple(name for name in endpoint.statuses if name not in statuses),
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
        parameters: _Parameters = [
            ("start_date", window.start_ms),
            ("end_date", window.end_ms),
            ("max_results", max_results or endpoint.max_results),
            *(("transaction_status", status) for status in statuses),
        ]
        if page_token:
            parameters.append(("page_token", page_token))
        where = f"{endpoint.name} de {window}"

        async def ask() -> dict[str, Any]:
            token = await self._access_token()
            reply = await self._get(endpoint.path, parameters, token, where)
            if reply.status_code == 401:
                token = await self._access_token(rejected=token)
                reply = await self._get(endpoint.path, parameters, token, where)
            return accepted_page(reply, where)

        return await self._retrying(ask, narrowable=window.exceeds_a_day)

    async def _get(
        self, path: str, parameters: _Parameters, token: str, where: str
    ) -> httpx.Response:
        request = self._http.build_request(
            "GET",
            self._api_url + path,
            params=httpx.QueryParams(parameters),
            headers={"Authorization": f"Bearer {token}"},
        )
        return await self._exchange(request, where)

    async def _access_token(self, rejected: str | None = None) -> str:
        """The token in force; fetched once however many ask, anew when it is the `rejected` one."""
        async with self._token_lock:
            if self._credential_refusal:
                raise CredentialsError(self._credential_refusal)
            if self._token in {"", rejected} or time.monotonic() >= self._renew_at:
                self._token, lifetime = await self._request_token()
                early = min(_RENEW_EARLY, lifetime / 2)
                self._renew_at = time.monotonic() + lifetime - early
            return self._token

    async def _request_token(self) -> tuple[str, float]:
        where = "o pedido de token"
        request = self._http.build_request(
            "POST",
            self._auth_url + TOKEN_PATH,
            data={
                "grant_type": "client_credentials",
                "client_id": self._credentials.client_id,
                "client_secret": self._credentials.client_secret,
            },
            headers={
                "Authorization": self._credentials.authorization,
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        reply = await self._exchange(request, where)
        body = json_object(reply)
        if reply.status_code in {400, 401, 403} and body:
            self._credential_refusal = (
                f"Hotmart recusou a credencial da API (resposta {reply.status_code}): confira "
                "client_id, client_secret e basic_token."
            )
            raise CredentialsError(self._credential_refusal, status=reply.status_code)
        token = body.get("access_token")
        if reply.status_code != 200 or not isinstance(token, str) or not token:
            failure = failure_of(reply, where)
            failure.status = None  # it says nothing of the window that waits for the token
            raise failure
        lifetime = body.get("expires_in")
        return token, lifetime if isinstance(lifetime, int | float) else _UNSTATED_LIFETIME

    async def _exchange(self, request: httpx.Request, where: str) -> httpx.Response:
        async with self._limiter.call() as number:
            started = time.monotonic()
            reply = problem = None
            try:
                reply = await self._http.send(request)
            except httpx.RequestError as error:
                problem = type(error).__name__
            else:
                self._limiter.observe(number, reply.headers, refused=reply.status_code == 429)
        if self._on_request:
            status = None if reply is None else reply.status_code
            self._on_request(request.url.path, status, time.monotonic() - started)
        if reply is None:
            raise UnavailableError(f"A conexão com a Hotmart falhou em {where} ({problem}).")
        return reply

    async def _retrying(
        self,
        ask: Callable[[], Coroutine[Any, Any, _Result]],
        *,
        on: type[HotmartError] = UnavailableError,
        attempts: int | None = None,
        narrowable: bool = False,
    ) -> _Result:
        last = stop_after_attempt(attempts or self._attempts)
        timed_out = stop_after_attempt(_TIMEOUTS_BEFORE_NARROWING)

        def enough(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            slow = narrowable and isinstance(error, HotmartError) and error.status == 502
            return timed_out(state) if slow else last(state)

        return await AsyncRetrying(
            stop=enough, wait=self._backoff, retry=retry_if_exception_type(on), reraise=True
        )(ask)
