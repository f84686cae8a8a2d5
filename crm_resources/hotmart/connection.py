"""The wire to one Hotmart account: credential, token, one limiter, and retries per call.

What is asked, and when an answer is complete, is the client's part.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
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
    HotmartError,
    UnansweredError,
    UnavailableError,
    accepted_change,
    accepted_page,
    failure_of,
    json_object,
)

TOKEN_PATH = "/security/oauth/token"  # noqa: S105
_RENEW_EARLY = 300.0  # seconds before the token's end
_UNSTATED_LIFETIME = 3600.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_TIMEOUTS_BEFORE_NARROWING = 2  # a 502 is a query of over 30 s: it will not get faster
_BACKOFF = wait_exponential_jitter(initial=1, max=30, jitter=1)

_Result = TypeVar("_Result")
Parameters = list[tuple[str, str | int | float | bool | None]]


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


class Connection:
    """Calls to one account under one limiter; an async context manager.

    Args:
        credentials: the API credential.
        api_url: e.g. https://developers.hotmart.com
        auth_url: e.g. https://api-sec-vlc.hotmart.com
        calls_per_minute: the account's allowance.
        concurrency: requests in flight at once.
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def page(
        self, path: str, parameters: Parameters, where: str, *, narrowable: bool = False
    ) -> dict[str, Any]:
        """One accepted page, after as many tries as it takes.

        Args:
            path: of a paged endpoint.
            parameters: its query.
            where: what is asked, for messages.
            narrowable: the caller can ask for less, so that a slow query is given up early.

        Raises:
            HotmartError: see the subclasses.
        """

        async def ask() -> dict[str, Any]:
            token = await self._access_token()
            reply = await self._get(path, parameters, token, where)
            if reply.status_code == 401:
                token = await self._access_token(rejected=token)
                reply = await self._get(path, parameters, token, where)
            return accepted_page(reply, where)

        return await self.retrying(ask, narrowable=narrowable)

    async def post(self, path: str, body: Mapping[str, object], where: str) -> dict[str, Any]:
        """What the vendor says of a change that was asked for.

        It is sent again only when the vendor turned it away unread: no connection, 429, and once
        after a 401.

        Args:
            path: of an endpoint that changes something.
            body: what is asked for.
            where: the same in words, for messages.

        Raises:
            UnansweredError: nobody knows whether it was done; the state has to be read.
            HotmartError: it was not done; see the subclasses.
        """

        async def ask() -> dict[str, Any] | UnansweredError:
            token = None
            for _ in range(2):
                try:
                    token = await self._access_token(rejected=token)
                except UnansweredError as error:
                    raise UnavailableError(str(error)) from None
                try:
                    reply = await self._exchange(self._change(path, body, token), where)
                except UnansweredError as error:
                    return error
                if reply.status_code != 401:
                    break
            try:
                return accepted_change(reply, where)
            except UnansweredError as error:
                return error

        answer = await self.retrying(ask)
        if isinstance(answer, UnansweredError):
            raise answer
        return answer

    def _change(self, path: str, body: Mapping[str, object], token: str) -> httpx.Request:
        headers = {"Authorization": f"Bearer {token}"}
        return self._http.build_request("POST", self._api_url + path, json=body, headers=headers)

    async def _get(
        self, path: str, parameters: Parameters, token: str, where: str
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
        where = "autenticação (token)"
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
            kind: type[UnavailableError] = UnansweredError
            try:
                reply = await self._http.send(request)
            except httpx.RequestError as error:
                problem = type(error).__name__
                kind = UnavailableError if isinstance(error, _NOT_SENT) else UnansweredError
            else:
                self._limiter.observe(number, reply.headers, refused=reply.status_code == 429)
        if self._on_request:
            status = None if reply is None else reply.status_code
            self._on_request(request.url.path, status, time.monotonic() - started)
        if reply is None:
            raise kind(f"A conexão com a Hotmart falhou em {where} ({problem}).")
        return reply

    async def retrying(
        self,
        ask: Callable[[], Coroutine[Any, Any, _Result]],
        *,
        on: type[HotmartError] = UnavailableError,
        attempts: int | None = None,
        narrowable: bool = False,
    ) -> _Result:
        """The result of `ask`, tried again after each error that is an `on`."""
        last = stop_after_attempt(attempts or self._attempts)
        timed_out = stop_after_attempt(_TIMEOUTS_BEFORE_NARROWING)

        def enough(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            slow = narrowable and isinstance(error, HotmartError) and error.status == 502
            return timed_out(state) if slow else last(state)

        return await AsyncRetrying(
            stop=enough, wait=self._backoff, retry=retry_if_exception_type(on), reraise=True
        )(ask)
