"""The vendor's contract: transaction statuses, one spec per endpoint, and which replies count."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

Item = dict[str, Any]
Key = str | int | tuple[str, int | None]

STATUSES = (
    "APPROVED",
    "BLOCKED",
    "CANCELLED",
    "CHARGEBACK",
    "COMPLETE",
    "EXPIRED",
    "NO_FUNDS",
    "OVERDUE",
    "PARTIALLY_REFUNDED",
    "PRE_ORDER",
    "PRINTED_BILLET",
    "PROCESSING_TRANSACTION",
    "PROTESTED",
    "REFUNDED",
    "STARTED",
    "UNDER_ANALISYS",  # the vendor's spelling
    "WAITING_PAYMENT",
)
_NOT_PRICED = {"NO_FUNDS", "PRE_ORDER", "PROCESSING_TRANSACTION"}
PRICE_DETAILS_STATUSES = tuple(status for status in STATUSES if status not in _NOT_PRICED)


SUBSCRIPTION_STATUSES = (
    "ACTIVE",
    "CANCELLED_BY_ADMIN",
    "CANCELLED_BY_CUSTOMER",
    "CANCELLED_BY_SELLER",
    "DELAYED",
    "INACTIVE",
    "OVERDUE",
    "STARTED",
)
SUBSCRIPTION_TRANSACTION_STATUSES = (
    "APPROVED",
    "CANCELLED",
    "CHARGEBACK",
    "COMPLETE",
    "DELAYED",
    "EXPIRED",
    "PARTIALLY_REFUNDED",
    "PRINTED_BILLET",
    "PROTESTED",
    "REFUNDED",
    "STARTED",
    "UNDER_ANALYSIS",
    "WAITING_PAYMENT",
)


@dataclass(frozen=True)
class Endpoint:
    """A paged endpoint that is read by windows of one date, the order date unless said otherwise.

    Attributes:
        path: below the API address.
        statuses: names that its status parameter takes (rules 1.4).
        key: what identifies an item, or None when it has nothing that does.
        max_results: page size to ask for; the vendor cuts larger ones silently.
        window_parameters: names of the window's first and last instant.
        status_parameter: name under which a status is asked for.
        asks_statuses: every status is asked for by name; else none is, which must mean all.
        staleness: how old an answer may be.
    """

    path: str
    statuses: tuple[str, ...]
    key: Callable[[Item], Key | None]
    max_results: int = 500
    window_parameters: tuple[str, str] = ("start_date", "end_date")
    status_parameter: str = "transaction_status"
    asks_statuses: bool = True
    staleness: timedelta = timedelta()

    @property
    def name(self) -> str:
        """Short name for messages, e.g. `sales/history`."""
        return self.path.removeprefix("/payments/api/v1/")

    @property
    def asked_statuses(self) -> tuple[str, ...]:
        """The statuses that a complete reading names."""
        return self.statuses if self.asks_statuses else ()


def _own_transaction(item: Item) -> str | None:
    transaction = item.get("transaction")
    return transaction.strip() or None if isinstance(transaction, str) else None


def _purchase_transaction(item: Item) -> str | None:
    purchase = item.get("purchase")
    return _own_transaction(purchase) if isinstance(purchase, dict) else None


def _subscription(item: Item) -> int | None:
    number = item.get("subscription_id")
    return number if isinstance(number, int) else None


def _charge(item: Item) -> tuple[str, int | None] | None:
    transaction = _purchase_transaction(item)
    recurrence = item.get("recurrency") or item.get("recurrence")  # both spellings are stated
    number = recurrence.get("number") if isinstance(recurrence, dict) else None
    return (transaction, number if isinstance(number, int) else None) if transaction else None


SALES_HISTORY = Endpoint("/payments/api/v1/sales/history", STATUSES, _purchase_transaction)
SALES_USERS = Endpoint("/payments/api/v1/sales/users", STATUSES, _own_transaction)
SALES_COMMISSIONS = Endpoint("/payments/api/v1/sales/commissions", STATUSES, _own_transaction)
PRICE_DETAILS = Endpoint(
    "/payments/api/v1/sales/price/details", PRICE_DETAILS_STATUSES, _own_transaction
)
SUBSCRIPTIONS = Endpoint(
    "/payments/api/v1/subscriptions",
    SUBSCRIPTION_STATUSES,
    _subscription,
    window_parameters=("accession_date", "end_accession_date"),
    status_parameter="status",
)
"""By accession date. The vendor's default is the last 30 days, so both ends are always sent."""
SUBSCRIPTION_TRANSACTIONS = Endpoint(
    "/payments/api/v1/subscriptions/transactions",
    SUBSCRIPTION_TRANSACTION_STATUSES,
    _charge,
    window_parameters=("transaction_date", "end_transaction_date"),
    status_parameter="purchase_status",
    asks_statuses=False,
    staleness=timedelta(hours=24),
)
"""A charge of a subscription or of smart instalments per item, up to 24 hours old, never counted.

No status is asked for: the vendor does not say that the parameter repeats, and has no default.
"""


class HotmartError(Exception):
    """A question Hotmart did not answer as asked: one Portuguese sentence, never personal data.

    Attributes:
        status: HTTP status, None when there was no reply.
        code: the vendor's word for what was wrong, empty without one.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class UnavailableError(HotmartError):
    """No usable reply after every attempt: 429, 5xx, a broken connection, a 200 without a page."""


class UnansweredError(UnavailableError):
    """It was sent and no answer came that can be read: what was asked for may have been done."""


class RefusedError(HotmartError):
    """A reply that trying again will not change, such as a 400 for a single day."""


class CredentialsError(HotmartError):
    """The token endpoint refuses the credential, or the API refuses a fresh token."""


class ForbiddenError(HotmartError):
    """403: the credential may not read, or a firewall stands before the API."""


class IncompleteAnswer(HotmartError):
    """The pages of a window do not add up, also after reading it again (rules 1.3)."""


_WORD = re.compile(r"[\w.-]{1,64}", re.ASCII)


def accepted_page(reply: httpx.Response, where: str) -> dict[str, Any]:
    """The page in a reply: status 200, a JSON object, and `items` a list of objects.

    Args:
        reply: answer of a paged endpoint.
        where: endpoint and window, for messages.

    Raises:
        HotmartError: the subclass that says what to do about anything else.
    """
    body = json_object(reply)
    items = body.get("items")
    whole = isinstance(items, list) and all(isinstance(item, dict) for item in items)
    if reply.status_code != 200 or not whole:
        raise failure_of(reply, where)
    return body


def accepted_change(reply: httpx.Response, where: str) -> dict[str, Any]:
    """What the vendor says of a change that was asked for: status 200 and a JSON object.

    Raises:
        UnansweredError: the reply does not say whether it was made.
        HotmartError: it was not made.
    """
    body = json_object(reply)
    if reply.status_code == 200 and body and "error" not in body:
        return body
    failure = failure_of(reply, where)
    if reply.status_code == 200 or reply.status_code >= 500:
        raise UnansweredError(str(failure), status=failure.status)
    raise failure


def failure_of(reply: httpx.Response, where: str) -> HotmartError:
    """What a reply without the wanted content means (hotmart.md 2)."""
    status = reply.status_code
    code = _word(json_object(reply).get("error"))
    kind: type[HotmartError] = RefusedError
    meaning = "pedido recusado pela Hotmart"
    if status == 200:
        kind, meaning = UnavailableError, "sem uma página de registros da Hotmart"
    elif status == 429:
        kind, meaning = UnavailableError, "limite de chamadas da Hotmart excedido"
    elif status >= 500:
        kind, meaning = UnavailableError, "Hotmart indisponível"
    elif status == 401:
        kind, meaning = CredentialsError, "a Hotmart recusou um token novo"
    elif status == 403 and code:
        kind, meaning = ForbiddenError, "a credencial não tem acesso e pode ser de sandbox"
    elif status == 403:
        kind, meaning = ForbiddenError, "bloqueio antes da API da Hotmart"
    elif status == 400 and code == "invalid_token":
        kind, meaning = IncompleteAnswer, "a Hotmart não reconheceu a página seguinte"
    reason = f" {code}" if code else ""
    message = f"{where}: resposta {status}{_origin(reply)}{reason}, {meaning}."
    return kind(message, status=status, code=code)


def json_object(reply: httpx.Response) -> dict[str, Any]:
    """The JSON object in a reply, empty when there is none."""
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _origin(reply: httpx.Response) -> str:
    """Who sent HTML in the API's place: tells a firewall from the API."""
    if "html" not in reply.headers.get("content-type", ""):
        return ""
    marks = {name: _word(reply.headers.get(name)) for name in ("server", "cf-ray")}
    said = ", ".join(f"{name} {mark}" for name, mark in marks.items() if mark)
    return f" em HTML ({said})" if said else " em HTML"


def _word(value: object) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""
