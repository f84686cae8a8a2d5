"""One sale as the sandbox holds it, and the file of hand-written ones.

Nobody in here exists. A file of hand-written sales is one JSON object:

    {"now": 1767236400000,
     "sales": [{"product": {…}, "buyer": {…}, "producer": {…}, "purchase": {…},
                "users": [{"role": "BUYER", "user": {…}}],
                "subscription": {…}, "commissions": {"ADDON": 4.9}, "price_details": {…}}]}

Each sale is an item of `sales/history` as the API gives it, with the `users` list of the same
transaction's `sales/users` item; dates are epoch milliseconds. Everything else is derived from
that. What may be left out, and says what cannot be derived:

- `now`: the account's clock, which stands still. When absent, the account is as of its last order
  or approval, and what is asked of it happens when it is asked.
- `subscription`: fields of the `subscriptions` item that its charges so far give, the last charge
  having the last word. `subscription_id` says which sales are one subscription (else: one buyer
  and product); `status` and `end_accession_date` that it was cancelled; `plan` how often it is
  charged. With it go `trial_period` (days), and of this charge alone `refund_chargeback_date` and
  `refusal_message`.
- `commissions`: amounts by source, in the fee's currency; the producer's is what the others leave.
- `price_details`: fields of that item, such as `coupon` or `real_conversion_rate`.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError

from crm_resources.hotmart.statuses import STATUSES, SUBSCRIPTION_STATUSES, Item

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_RECURRING = {"SUBSCRIPTION", "SMART_INSTALLMENT"}
_EXTRAS = ("subscription", "commissions", "price_details")


class SandboxDataError(ValueError):
    """A file of hand-written sales that cannot be served; the message names the sale."""


@dataclass(frozen=True, slots=True)
class Sale:
    """One transaction: the fields that queries filter by, and the vendor's items as JSON text.

    Attributes:
        subscription: what the charges of one subscription have in common, empty for other sales.
        extras: JSON object of what the record says beside the two items.
    """

    ordered_at: int
    transaction: str
    status: str
    product_id: str
    commission_as: str
    history: str = field(repr=False)
    users: str = field(repr=False)
    subscription: str = ""
    extras: str = field(default="{}", repr=False)

    def renamed(self, transaction: str) -> Self:
        """The same sale under another transaction code."""
        old, new = encode(self.transaction), encode(transaction)
        history, users = self.history.replace(old, new), self.users.replace(old, new)
        return replace(self, transaction=transaction, history=history, users=users)


def sale_of(record: Item) -> Sale:
    """The sale that a record of the module's format describes."""
    item = dict(record)
    users = item.pop("users", [])
    extras = {name: item.pop(name) for name in _EXTRAS if name in item}
    product, purchase = item["product"], item["purchase"]
    transaction = purchase["transaction"]
    return Sale(
        ordered_at=purchase["order_date"],
        transaction=transaction,
        status=purchase["status"],
        product_id=str(product["id"]),
        commission_as=purchase.get("commission_as", "PRODUCER"),
        history=encode(item),
        users=encode({"transaction": transaction, "product": product, "users": users}),
        subscription=_subscription_of(record),
        extras=encode(extras),
    )


def buyer_of(users: list[Item], buyer: Item) -> Item:
    """What the two items say of the buyer, together."""
    participant: Item = next((each["user"] for each in users if each["role"] == "BUYER"), {})
    return {**buyer, **participant}


def dice(text: str, sides: int) -> int:
    """A number below `sides` that is always the same for the same text."""
    return zlib.crc32(text.encode()) % sides


def _subscription_of(record: Item) -> str:
    purchase = record["purchase"]
    mode = (purchase.get("offer") or {}).get("payment_mode")
    given = record.get("subscription")
    if not (given or purchase.get("is_subscription") or mode in _RECURRING):
        return ""
    buyer = buyer_of(record.get("users", []), record.get("buyer") or {})
    person = buyer.get("ucode") or buyer.get("email") or purchase["transaction"]
    return str((given or {}).get("subscription_id") or f"{person} {record['product']['id']}")


class _Product(BaseModel):
    id: int
    name: str


class _Money(BaseModel):
    value: float
    currency_code: str = Field(pattern="^[A-Z]{3}$")


class _Fee(BaseModel):
    total: float
    base: float
    currency_code: str = Field(pattern="^[A-Z]{3}$")


class _Purchase(BaseModel):
    transaction: str = Field(min_length=1)
    order_date: int = Field(ge=10**11)
    approved_date: int | None = None
    status: str = Field(pattern=f"^({'|'.join(STATUSES)})$")
    commission_as: Literal["PRODUCER", "COPRODUCER", "AFFILIATE"] = "PRODUCER"
    price: _Money | None = None
    hotmart_fee: _Fee | None = None


class _Plan(BaseModel):
    id: int
    name: str
    recurrency_period: Literal[7, 30, 60, 90, 180, 360]
    max_charge_cycles: int | None = None


class _Subscription(BaseModel, extra="forbid"):
    subscriber_code: str = Field("", min_length=1)
    subscription_id: int = Field(0, ge=1)
    status: str = Field("", pattern=f"^({'|'.join(SUBSCRIPTION_STATUSES)})$")
    accession_date: int = Field(0, ge=10**11)
    end_accession_date: int = Field(0, ge=10**11)
    request_date: int = Field(0, ge=10**11)
    date_next_charge: int = Field(0, ge=10**11)
    trial: bool = False
    trial_period: int = Field(0, ge=0)
    plan: _Plan | None = None
    refund_chargeback_date: int = Field(0, ge=10**11)
    refusal_message: str = ""


class _Participant(BaseModel):
    role: str = Field(pattern="^(BUYER|PRODUCER|COPRODUCER|AFFILIATE)$")
    user: dict[str, Any]


class _Record(BaseModel):
    product: _Product
    purchase: _Purchase
    buyer: dict[str, str | None] = {}
    users: list[_Participant] = []
    subscription: _Subscription | None = None
    commissions: dict[Literal["MARKETPLACE", "ADDON", "COPRODUCER", "AFFILIATE"], float] = {}
    price_details: dict[str, Any] = {}


def read_file(path: Path) -> tuple[list[Sale], int | None, int | None]:
    """The sales of a hand-written file, its clock, and its last order or approval; None if absent.

    Raises:
        SandboxDataError: the file is not of the module's format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SandboxDataError(f"O arquivo {path.name} não se lê como JSON em UTF-8.") from error
    records = content.get("sales") if isinstance(content, dict) else None
    if not isinstance(records, list):
        raise SandboxDataError(f"O arquivo {path.name} precisa ter uma lista `sales`.")
    now = content.get("now")
    if now is not None and not (isinstance(now, int) and now >= 10**11):
        raise SandboxDataError(f"O `now` de {path.name} precisa ser um instante em milissegundos.")
    sales = []
    instants: list[int] = []
    seen = set()
    for number, record in enumerate(records, start=1):
        try:
            checked = _Record.model_validate(record)
        except ValidationError as error:
            places = [".".join(map(str, problem["loc"])) for problem in error.errors()]
            raise SandboxDataError(
                f"Na venda {number} de {path.name}, falta ou é inválido: {', '.join(places)}."
            ) from None
        if checked.purchase.transaction in seen:
            raise SandboxDataError(f"A venda {number} de {path.name} repete uma transação.")
        seen.add(checked.purchase.transaction)
        sales.append(sale_of(record))
        instants += [checked.purchase.order_date, checked.purchase.approved_date or 0]
    return sales, now, max(instants, default=None)
