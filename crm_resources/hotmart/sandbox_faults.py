"""What can go wrong on the vendor's side of the sandbox, and how each looks on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

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
        down_endpoints: endpoints that answer 503, by name, such as `sales/users`.
        delay_seconds: before every answer.
        refuse_statuses: names that are answered with 400.
        refuse_windows_above_days: longer windows of sales are a 400.
        time_out_windows_above_days: longer windows are a 502.
        repeat_page_tokens: so many pages name themselves as the next page.
        insert_rows: so many times a sale is added after a page of sales that has a next one.
        omit_total_results: leave the field out, where it is ever there.
        calls_per_minute: the rate limit, headers included; 0 for none.
        expires_in: lifetime of a token, seconds.
        currency_key: spelling in `sales/commissions`.
        transactions_lag_hours: age of what `subscriptions/transactions` says.
        lost_changes: to the next changes, which are made and then answered so.
        refuse_changes: the vendor's word for subscriptions that it does not change, by code.
    """

    model_config = ConfigDict(extra="forbid")

    next_answers: list[Answer] = []
    next_token_answers: list[Answer] = []
    expire_token_after: int | None = None
    forbidden: bool = False
    down_endpoints: list[str] = []
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
    transactions_lag_hours: float = 24.0
    lost_changes: list[Answer] = []
    refuse_changes: dict[str, str] = {}


class Problem(Exception):
    """A request that the vendor answers with an error, in its words."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code

    def response(self) -> Response:
        """The error body; a 400 never says what was wrong."""
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


def scripted(answer: Answer) -> Response:
    """One of the answers that go wrong."""
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
    return Problem(int(answer), _CODES.get(answer, "internal_server_error")).response()
