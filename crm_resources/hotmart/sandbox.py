"""A local Hotmart: the token endpoint and the sales endpoints over real HTTP, faults on demand.

It answers as the vendor does (status default, order-date windows, offset tokens, rate limit), so
that a client can be tried without an account. Besides the vendor's paths it has `GET
/sandbox/stats` (calls so far) and `POST /sandbox/faults`, which takes the fields of `Faults` as
JSON and sets all others back, so that `{}` ends every fault.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

import uvicorn
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from crm_resources.hotmart.client import TOKEN_PATH, HotmartCredentials
from crm_resources.hotmart.sandbox_data import (
    Sale,
    SandboxData,
    commissions_item,
    encode,
    price_details_item,
)
from crm_resources.hotmart.statuses import (
    PRICE_DETAILS,
    SALES_COMMISSIONS,
    SALES_HISTORY,
    SALES_USERS,
    Endpoint,
    Item,
)

SANDBOX_CREDENTIALS = HotmartCredentials("sandbox-id", "sandbox-secret")
"""Invented, and accepted by every sandbox unless it is given others."""

_PAGE_SIZE, _LARGEST_PAGE = 50, 500
_DAY_MS = 86_400_000
_View = Callable[[Sale], str]
_ROLES = {None, "PRODUCER", "COPRODUCER", "AFFILIATE"}
_FILTERS = ("product_id", "transaction", "commission_as")

Answer = Literal[
    "401", "403", "429", "500", "502", "503", "html", "blocked", "empty", "error", "drop"
]


class Faults(BaseModel):
    """What goes wrong, and the settings of the vendor's side; the defaults are a good day.

    Attributes:
        next_answers: to the next API calls, one each; `html`, `empty` and `error` are 200s,
            `blocked` is a firewall's 403, `drop` a connection cut half-way.
        next_token_answers: the same for the token endpoint.
        expire_token_after: calls after which a token answers 401 `token_expired`.
        forbidden: every call answers 403 `unauthorized_client`.
        delay_seconds: before every answer.
        refuse_statuses: names that are answered with 400.
        refuse_windows_above_days: longer windows are a 400.
        time_out_windows_above_days: longer windows are a 502.
        repeat_page_tokens: so many pages name themselves as the next page.
        insert_rows: so many times a sale is added after a page that has a next one.
        omit_total_results: leave the field out.
        calls_per_minute: the rate limit, headers included; 0 for none.
        expires_in: lifetime of a token, seconds.
        currency_key: spelling in `sales/commissions`.
    """

    model_config = ConfigDict(extra="forbid")

    next_answers: list[Answer] = []
    next_token_answers: list[Answer] = []
    expire_token_after: int | None = None
    forbidden: bool = False
    delay_seconds: float = 0.0
    refuse_statuses: list[str] = []
    refuse_windows_above_days: float = 366
    time_out_windows_above_days: float | None = None
    repeat_page_tokens: int = 0
    insert_rows: int = 0
    omit_total_results: bool = False
    calls_per_minute: int = 500
    expires_in: int = 86_400
    currency_key: Literal["currency_code", "currency_value"] = "currency_code"


class _Problem(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code

    def response(self) -> Response:
        description = self.code.replace("_", " ")
        if self.status == 400:
            description = "The request was unacceptable, often due to a misconfigured parameter"
        return JSONResponse({"error": self.code, "error_description": description}, self.status)


class _Dropped(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"items": [', "more_body": True})


_CODES = {"401": "token_expired", "403": "unauthorized_client", "429": "too_many_requests"}
_FIREWALL = {"server": "cloudflare", "cf-ray": "8f2a1b3c4d5e6f70-GRU"}


def _scripted(answer: Answer) -> Response:
    match answer:
        case "html" | "blocked":
            status = 200 if answer == "html" else 403
            return HTMLResponse("<!DOCTYPE html><p>Attention Required!", status, _FIREWALL)
        case "empty":
            return Response("", media_type="application/json")
        case "error":
            return JSONResponse({"error": "internal_server_error"})
        case "drop":
            return _Dropped()
    return _Problem(int(answer), _CODES.get(answer, "internal_server_error")).response()


@dataclass
class _Token:
    expires_at: float
    calls: int = 0


class Sandbox:
    """The vendor's side: its sales, its faults, and what it has been asked.

    Args:
        data: the account's sales.
        faults: see `Faults`; can be replaced at any time.
        credentials: those that get a token.
        minute: seconds of the rate limit's window, shorter to test faster.
    """

    def __init__(
        self,
        data: SandboxData,
        faults: Faults | None = None,
        *,
        credentials: HotmartCredentials = SANDBOX_CREDENTIALS,
        minute: float = 60.0,
    ) -> None:
        self._credentials = credentials
        self._minute = minute
        self._tokens: dict[str, _Token] = {}
        self._this_minute = (-1, 0)
        self.reset(data, faults or Faults())

    def reset(self, data: SandboxData, faults: Faults) -> None:
        """Start anew: other sales, other faults, no calls counted."""
        self.data, self.faults = data, faults
        self.token_requests = self._inserted = 0
        self.answers: Counter[str] = Counter()
        self.arrivals: deque[float] = deque(maxlen=100_000)

    def app(self) -> Starlette:
        """The ASGI application."""
        views: dict[Endpoint, _View] = {
            SALES_HISTORY: lambda sale: sale.history,
            SALES_USERS: lambda sale: sale.users,
            SALES_COMMISSIONS: lambda sale: commissions_item(sale, self.faults.currency_key),
            PRICE_DETAILS: price_details_item,
        }
        return Starlette(
            routes=[
                Route(TOKEN_PATH, self._give_token, methods=["POST"]),
                *(Route(end.path, self._sales(end, view)) for end, view in views.items()),
                Route("/sandbox/faults", self._set_faults, methods=["POST"]),
                Route("/sandbox/stats", self._show_stats),
            ]
        )

    async def _set_faults(self, request: Request) -> Response:
        try:
            self.faults = Faults.model_validate_json(await request.body())
        except ValidationError as error:
            names = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
            known = ", ".join(Faults.model_fields)
            text = f"Falha desconhecida ou valor inválido: {names or 'JSON'} (existem {known})."
            return JSONResponse({"erro": text}, 400)
        return Response(self.faults.model_dump_json(), media_type="application/json")

    async def _show_stats(self, _: Request) -> Response:
        stats = {"calls": self.answers.total(), "token_requests": self.token_requests}
        return JSONResponse({**stats, "answers": self.answers})

    async def _give_token(self, request: Request) -> Response:
        self.token_requests += 1
        if self.faults.next_token_answers:
            return _scripted(self.faults.next_token_answers.pop(0))
        form = parse_qsl((await request.body()).decode())
        sent = dict(form) | dict(request.query_params)
        if sent.get("grant_type") != "client_credentials":
            return _Problem(400, "invalid_parameter").response()
        own = self._credentials
        pair = (sent.get("client_id"), sent.get("client_secret"))
        basic = request.headers.get("authorization")
        if basic != own.authorization and (basic or pair != (own.client_id, own.client_secret)):
            return _Problem(401, "invalid_client").response()
        seed = f"{self.token_requests} {time.time_ns()}".encode()
        token = base64.urlsafe_b64encode(hashlib.sha512(seed).digest() * 4).decode()
        self._tokens[token] = _Token(time.monotonic() + self.faults.expires_in)
        return JSONResponse(
            {"access_token": token, "token_type": "bearer", "expires_in": self.faults.expires_in}
        )

    def _sales(self, endpoint: Endpoint, view: _View) -> Any:
        async def answer(request: Request) -> Response:
            self.arrivals.append(time.monotonic())
            await asyncio.sleep(self.faults.delay_seconds)
            headers = self._count_call()
            try:
                response = self._answer(endpoint, view, request)
            except _Problem as problem:
                response = problem.response()
            response.headers.update(headers)
            self.answers[f"{endpoint.name} {response.status_code}"] += 1
            return response

        return answer

    def _count_call(self) -> dict[str, str]:
        limit = self.faults.calls_per_minute
        number, passed = divmod(time.monotonic(), self._minute)
        known, count = self._this_minute
        count = count + 1 if known == number else 1
        self._this_minute = (int(number), count)
        if not limit:
            return {}
        left, reset = max(limit - count, 0), self._minute - passed
        return {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(left),
            "RateLimit-Reset": str(math.ceil(reset) if self._minute >= 60 else round(reset, 3)),
            "X-RateLimit-Limit-Minute": str(limit),
            "X-RateLimit-Remaining-Minute": str(left),
        }

    def _answer(self, endpoint: Endpoint, view: _View, request: Request) -> Response:
        if 0 < self.faults.calls_per_minute < self._this_minute[1]:
            raise _Problem(429, "too_many_requests")
        if self.faults.next_answers:
            return _scripted(self.faults.next_answers.pop(0))
        self._check_token(request.headers.get("authorization", ""))
        if self.faults.forbidden:
            raise _Problem(403, "unauthorized_client")
        query = request.query_params
        found = self._found(endpoint, query)
        size, page = _position(query)
        shown = found[(page - 1) * size : page * size]
        info: Item = {"results_per_page": len(shown)}
        if not self.faults.omit_total_results:
            info["total_results"] = len(found)
        if page * size < len(found):
            info["next_page_token"] = _page_token(size, page + 1)
        if page > 1:
            info["prev_page_token"] = _page_token(size, page - 1)
            if self.faults.repeat_page_tokens:
                self.faults.repeat_page_tokens -= 1
                info["next_page_token"] = query["page_token"]
        if "next_page_token" in info and self.faults.insert_rows:
            self.faults.insert_rows -= 1
            self._inserted += 1
            self.data.insert(found[0].renamed(f"HP9{self._inserted:013d}"))
        items = ",".join(map(view, shown))
        body = f'{{"items":[{items}],"page_info":{encode(info)}}}'
        return Response(body, media_type="application/json")

    def _check_token(self, authorization: str) -> None:
        kind, _, text = authorization.partition(" ")
        if kind.lower() != "bearer":
            raise _Problem(401, "unauthorized")
        token = self._tokens.get(text)
        if token is None:
            raise _Problem(401, "invalid_token")
        used_up = self.faults.expire_token_after
        if time.monotonic() >= token.expires_at or (used_up and token.calls >= used_up):
            raise _Problem(401, "token_expired")
        token.calls += 1

    def _found(self, endpoint: Endpoint, query: QueryParams) -> list[Sale]:
        statuses = frozenset(query.getlist("transaction_status"))
        takes = set(endpoint.statuses) - set(self.faults.refuse_statuses)
        role = query.get("commission_as")
        if not statuses <= takes or role not in _ROLES:
            raise _Problem(400, "invalid_parameter")
        if not statuses:
            both = {"APPROVED", "COMPLETE"}
            statuses = frozenset(endpoint.statuses if "transaction" in query else both)
        start, end = _epoch(query, "start_date", -math.inf), _epoch(query, "end_date", math.inf)
        days = (end - start) / _DAY_MS if "start_date" in query and "end_date" in query else 0
        if days < 0 or days > self.faults.refuse_windows_above_days:
            raise _Problem(400, "invalid_parameter")
        if days > (self.faults.time_out_windows_above_days or math.inf):
            raise _Problem(502, "internal_server_error")
        filters = frozenset((name, query[name]) for name in _FILTERS if name in query)
        return self.data.find(start, end, statuses, filters)


def _epoch(query: QueryParams, name: str, absent: float) -> float:
    try:
        return int(query[name]) if name in query else absent
    except ValueError:
        raise _Problem(400, "invalid_value_parameter") from None


def _page_token(size: int, page: int) -> str:
    return base64.b64encode(encode({"rows": size, "page": page}).encode()).decode()


def _position(query: QueryParams) -> tuple[int, int]:
    """Page size and number: the token's own, else what was asked for, cut without a word."""
    if "page_token" in query:
        try:
            token = json.loads(base64.b64decode(query["page_token"], validate=True))
            size, page = int(token["rows"]), int(token["page"])
        except (ValueError, KeyError, TypeError):
            raise _Problem(400, "invalid_token") from None
    else:
        size, page = int(_epoch(query, "max_results", _PAGE_SIZE)), 1
    if size < 1 or page < 1:
        raise _Problem(400, "invalid_value_parameter")
    return min(size, _LARGEST_PAGE), page


class SandboxServer:
    """A sandbox served from a thread; a context manager.

    Args:
        sandbox: what to serve.
        host: address to listen on.
        port: 0 for any free one.
    """

    def __init__(self, sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> None:
        self.sandbox = sandbox
        self._socket = socket.create_server((host, port))
        address, bound = self._socket.getsockname()[:2]
        self.url = f"http://{address}:{bound}"
        """Both the API's and the token's address."""
        self._server = uvicorn.Server(_config(sandbox))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def serve(host: str, port: int, data: SandboxData, faults: Faults | None = None) -> None:
    """Serve a sandbox until interrupted, for `crm sandbox hotmart`."""
    with suppress(KeyboardInterrupt):
        uvicorn.Server(_config(Sandbox(data, faults), host, port)).run()


def _config(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> uvicorn.Config:
    return uvicorn.Config(
        sandbox.app(),
        host,
        port,
        lifespan="off",
        ws="none",
        log_level="critical",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
