"""A local Hotmart: tokens, sales and subscriptions over real HTTP, with faults on demand.

It answers as the vendor does (defaults, windows, page tokens, rate limit), so
that a client can be tried without an account. Besides the vendor's paths it has `GET
/sandbox/stats` (calls so far) and `POST /sandbox/faults`, which takes the fields of `Faults` as
JSON and sets all others back, so that `{}` ends every fault, and `POST /sandbox/accept/{code}`,
the subscriber's click that makes a reactivation happen.
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
from typing import Any, Self
from urllib.parse import parse_qsl

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crm_resources.hotmart.connection import TOKEN_PATH, HotmartCredentials
from crm_resources.hotmart.sandbox_changes import CHANGE_PATHS, accept, change
from crm_resources.hotmart.sandbox_data import SandboxData
from crm_resources.hotmart.sandbox_faults import Faults, Problem, scripted
from crm_resources.hotmart.sandbox_items import commissions_item, price_details_item
from crm_resources.hotmart.sandbox_queries import (
    epoch,
    find_charges,
    find_sales,
    find_subscriptions,
)
from crm_resources.hotmart.sandbox_records import encode
from crm_resources.hotmart.statuses import (
    PRICE_DETAILS,
    SALES_COMMISSIONS,
    SALES_HISTORY,
    SALES_USERS,
    SUBSCRIPTION_TRANSACTIONS,
    SUBSCRIPTIONS,
    Endpoint,
    Item,
)

__all__ = ["SANDBOX_CREDENTIALS", "Faults", "Sandbox", "SandboxData", "SandboxServer", "serve"]

SANDBOX_CREDENTIALS = HotmartCredentials("sandbox-id", "sandbox-secret")
"""Invented, and accepted by every sandbox unless it is given others."""

_PAGE_SIZE, _LARGEST_PAGE = 50, 500
_View = Callable[[Any], str]
_OPAQUE = {SUBSCRIPTIONS, SUBSCRIPTION_TRANSACTIONS}


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
        self._opaque_tokens: dict[str, tuple[int, int]] = {}
        self.answers: Counter[str] = Counter()
        self.arrivals: deque[float] = deque(maxlen=100_000)

    def app(self) -> Starlette:
        """The ASGI application."""
        views: dict[Endpoint, _View] = {
            SALES_HISTORY: lambda sale: sale.history,
            SALES_USERS: lambda sale: sale.users,
            SALES_COMMISSIONS: lambda sale: commissions_item(sale, self.faults.currency_key),
            PRICE_DETAILS: price_details_item,
            SUBSCRIPTIONS: encode,
            SUBSCRIPTION_TRANSACTIONS: encode,
        }
        return Starlette(
            routes=[
                Route(TOKEN_PATH, self._give_token, methods=["POST"]),
                *(Route(end.path, self._pages(end, view)) for end, view in views.items()),
                *(Route(path, self._change, methods=["POST"]) for path in CHANGE_PATHS),
                Route("/sandbox/accept/{code}", self._accept, methods=["POST"]),
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
            return scripted(self.faults.next_token_answers.pop(0))
        form = parse_qsl((await request.body()).decode())
        sent = dict(form) | dict(request.query_params)
        if sent.get("grant_type") != "client_credentials":
            return Problem(400, "invalid_parameter").response()
        own = self._credentials
        pair = (sent.get("client_id"), sent.get("client_secret"))
        basic = request.headers.get("authorization")
        if basic != own.authorization and (basic or pair != (own.client_id, own.client_secret)):
            return Problem(401, "invalid_client").response()
        seed = f"{self.token_requests} {time.time_ns()}".encode()
        token = base64.urlsafe_b64encode(hashlib.sha512(seed).digest() * 4).decode()
        self._tokens[token] = _Token(time.monotonic() + self.faults.expires_in)
        return JSONResponse(
            {"access_token": token, "token_type": "bearer", "expires_in": self.faults.expires_in}
        )

    def _pages(self, endpoint: Endpoint, view: _View) -> Any:
        async def answer(request: Request) -> Response:
            self.arrivals.append(time.monotonic())
            await asyncio.sleep(self.faults.delay_seconds)
            headers = self._count_call()
            try:
                response = self._answer(endpoint, view, request)
            except Problem as problem:
                response = problem.response()
            response.headers.update(headers)
            self.answers[f"{endpoint.name} {response.status_code}"] += 1
            return response

        return answer

    async def _change(self, request: Request) -> Response:
        self.arrivals.append(time.monotonic())
        await asyncio.sleep(self.faults.delay_seconds)
        headers = self._count_call()
        try:
            response = self._turned_away("subscriptions", request)
            if response is None:
                made = change(self.data, self.faults, request.url.path, await request.body())
                lost = self.faults.lost_changes
                response = scripted(lost.pop(0)) if lost else JSONResponse(made)
        except Problem as problem:
            response = problem.response()
        response.headers.update(headers)
        self.answers[f"{request.url.path.rpartition('/')[2]} {response.status_code}"] += 1
        return response

    async def _accept(self, request: Request) -> Response:
        accept(self.data, request.path_params["code"])
        return Response(status_code=204)

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
        refused = self._turned_away(endpoint.name, request)
        if refused is not None:
            return refused
        query = request.query_params
        found = self._found(endpoint, query)
        size, page = self._position(query)
        shown = found[(page - 1) * size : page * size]
        info: Item = {"results_per_page": len(shown)}
        if not self.faults.omit_total_results and endpoint is not SUBSCRIPTION_TRANSACTIONS:
            info["total_results"] = len(found)
        if page * size < len(found):
            info["next_page_token"] = self._page_token(endpoint, size, page + 1)
        if page > 1:
            info["prev_page_token"] = self._page_token(endpoint, size, page - 1)
            if self.faults.repeat_page_tokens:
                self.faults.repeat_page_tokens -= 1
                info["next_page_token"] = query["page_token"]
        if "next_page_token" in info and self.faults.insert_rows and endpoint not in _OPAQUE:
            self.faults.insert_rows -= 1
            self._inserted += 1
            self.data.insert(found[0].renamed(f"HP9{self._inserted:013d}"))
        items = ",".join(map(view, shown))
        body = f'{{"items":[{items}],"page_info":{encode(info)}}}'
        return Response(body, media_type="application/json")

    def _turned_away(self, name: str, request: Request) -> Response | None:
        """What is said before anything is looked at; None when the call is let in."""
        if 0 < self.faults.calls_per_minute < self._this_minute[1]:
            raise Problem(429, "too_many_requests")
        if self.faults.next_answers:
            return scripted(self.faults.next_answers.pop(0))
        if name in self.faults.down_endpoints:
            return scripted("503")
        self._check_token(request.headers.get("authorization", ""))
        if self.faults.forbidden:
            raise Problem(403, "unauthorized_client")
        return None

    def _check_token(self, authorization: str) -> None:
        kind, _, text = authorization.partition(" ")
        if kind.lower() != "bearer":
            raise Problem(401, "unauthorized")
        token = self._tokens.get(text)
        if token is None:
            raise Problem(401, "invalid_token")
        used_up = self.faults.expire_token_after
        if time.monotonic() >= token.expires_at or (used_up and token.calls >= used_up):
            raise Problem(401, "token_expired")
        token.calls += 1

    def _found(self, endpoint: Endpoint, query: QueryParams) -> list[Any]:
        if endpoint is SUBSCRIPTIONS:
            return find_subscriptions(self.data, self.faults, query)
        if endpoint is SUBSCRIPTION_TRANSACTIONS:
            return find_charges(self.data, self.faults, query)
        return find_sales(self.data, self.faults, endpoint, query)

    def _position(self, query: QueryParams) -> tuple[int, int]:
        """Page size and number: the token's own, else what was asked for, cut without a word."""
        text = query.get("page_token")
        if text is None:
            size, page = int(epoch(query, "max_results", _PAGE_SIZE)), 1
        elif text in self._opaque_tokens:
            size, page = self._opaque_tokens[text]
        else:
            try:
                token = json.loads(base64.b64decode(text, validate=True))
                size, page = int(token["rows"]), int(token["page"])
            except (ValueError, KeyError, TypeError):
                raise Problem(400, "invalid_token") from None
        if size < 1 or page < 1:
            raise Problem(400, "invalid_value_parameter")
        return min(size, _LARGEST_PAGE), page

    def _page_token(self, endpoint: Endpoint, size: int, page: int) -> str:
        token = encode({"rows": size, "page": page})
        if endpoint not in _OPAQUE:
            return base64.b64encode(token.encode()).decode()
        opaque = hashlib.sha256(f"{endpoint.name} {token}".encode()).hexdigest()
        self._opaque_tokens[opaque] = (size, page)
        return opaque


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
