"""The sales that the local sandbox answers with: generated from a seed, or read from a file.

Nobody in here exists. A file of hand-written sales is one JSON object:

    {"sales": [{"product": {…}, "buyer": {…}, "producer": {…}, "purchase": {…},
                "users": [{"role": "BUYER", "user": {…}}]}]}

Each sale is an item of `sales/history` as the API gives it, with the `users` list of the same
transaction's `sales/users` item; dates are epoch milliseconds. Commissions and price details are
derived from the purchase.
"""

from __future__ import annotations

import json
import math
import random
import uuid
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from operator import attrgetter, mul
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError

from crm_resources.hotmart.statuses import STATUSES, Item

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

RATES = {"BRL": 1.0, "EUR": 0.161, "USD": 0.187, "MXN": 3.42}  # buyer's currency per real


class SandboxDataError(ValueError):
    """A file of hand-written sales that cannot be served; the message names the sale."""


@dataclass(frozen=True, slots=True)
class Sale:
    """One transaction: the fields that queries filter by, and the vendor's items as JSON text."""

    ordered_at: int
    transaction: str
    status: str
    product_id: str
    commission_as: str
    history: str = field(repr=False)
    users: str = field(repr=False)

    def renamed(self, transaction: str) -> Self:
        """The same sale under another transaction code."""
        old, new = encode(self.transaction), encode(transaction)
        history, users = self.history.replace(old, new), self.users.replace(old, new)
        return replace(self, transaction=transaction, history=history, users=users)


def commissions_item(sale: Sale, currency_key: str) -> str:
    """Its `sales/commissions` item: the fee, and the rest, shared 60 to 40 with a partner."""
    item, price, fee = _amounts(sale)
    net, currency = fee["base"] - fee["total"], fee["currency_code"]
    shares = {"MARKETPLACE": fee["total"], "PRODUCER": net}
    if sale.commission_as != "PRODUCER":
        shares |= {"PRODUCER": net * 0.6, sale.commission_as: net * 0.4}
    item["exchange_rate_currency_payout"] = round(1 / RATES.get(price["currency_code"], 1.0), 4)
    item["commissions"] = [
        {"source": source, "commission": {"value": round(value, 2), currency_key: currency}}
        for source, value in shares.items()
    ]
    return encode(item)


def price_details_item(sale: Sale) -> str:
    """Its `sales/price/details` item: the total is the base and the fee for instalments."""
    item, price, fee = _amounts(sale)
    currency, total = price["currency_code"], price["value"]
    base = fee["base"] if fee["currency_code"] == currency else total
    for name, value in (("base", base), ("total", total), ("fee", round(total - base, 2))):
        item[name] = {"value": value, "currency_code": currency}
    return encode(item | {"real_conversion_rate": RATES.get(currency, 1.0)})


def _amounts(sale: Sale) -> tuple[Item, Item, Item]:
    history = json.loads(sale.history)
    price = history["purchase"].get("price") or {"value": 0.0, "currency_code": "BRL"}
    no_fee = {"total": 0.0, "base": price["value"], "currency_code": price["currency_code"]}
    item = {"transaction": sale.transaction, "product": history["product"]}
    return item, price, history["purchase"].get("hotmart_fee") or no_fee


class SandboxData:
    """Sales in the order of their order date, found by window and filters."""

    def __init__(self, sales: Iterable[Sale]) -> None:
        self._sales = sorted(sales, key=attrgetter("ordered_at"))
        self.find = lru_cache(maxsize=32)(self._find)

    @classmethod
    def generate(cls, seed: int, transactions: int, start: datetime, end: datetime) -> SandboxData:
        """Invent sales, the same for the same arguments.

        Args:
            seed: any integer.
            transactions: how many.
            start: first possible order date, aware.
            end: last one; the age on that day decides how far a sale has got.
        """
        generator = _Generator(seed, int(start.timestamp()), int(end.timestamp()))
        return cls(generator.sales(transactions))

    @classmethod
    def load(cls, path: Path) -> SandboxData:
        """Read hand-written sales; the module's docstring gives the format.

        Raises:
            SandboxDataError: the file is not that; one sentence with the sale's place.
        """
        return cls(_hand_written(path))

    def __len__(self) -> int:
        return len(self._sales)

    def insert(self, sale: Sale) -> None:
        """Add one sale: what a page token points at moves by one row."""
        insort(self._sales, sale, key=attrgetter("ordered_at"))
        self.find.cache_clear()

    def _find(
        self,
        start_ms: float = -math.inf,
        end_ms: float = math.inf,
        statuses: frozenset[str] | None = None,
        filters: frozenset[tuple[str, str]] = frozenset(),
    ) -> list[Sale]:
        """Sales of a window, newest first; remembered until a sale is inserted.

        Args:
            start_ms: first order date, epoch milliseconds.
            end_ms: last order date, inclusive.
            statuses: those wanted; None for all.
            filters: attributes of `Sale` and the text that each must equal.
        """
        order = attrgetter("ordered_at")
        first = bisect_left(self._sales, start_ms, key=order)
        last = bisect_right(self._sales, end_ms, key=order)
        return [
            sale
            for sale in reversed(self._sales[first:last])
            if (statuses is None or sale.status in statuses)
            and all(getattr(sale, name) == text for name, text in filters)
        ]


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
    status: str = Field(pattern=f"^({'|'.join(STATUSES)})$")
    commission_as: Literal["PRODUCER", "COPRODUCER", "AFFILIATE"] = "PRODUCER"
    price: _Money | None = None
    hotmart_fee: _Fee | None = None


class _Participant(BaseModel):
    role: str = Field(pattern="^(BUYER|PRODUCER|COPRODUCER|AFFILIATE)$")
    user: dict[str, Any]


class _Record(BaseModel):
    product: _Product
    purchase: _Purchase
    buyer: dict[str, str | None] = {}
    users: list[_Participant] = []


def _hand_written(path: Path) -> Iterator[Sale]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SandboxDataError(f"O arquivo {path.name} não se lê como JSON em UTF-8.") from error
    records = content.get("sales") if isinstance(content, dict) else None
    if not isinstance(records, list):
        raise SandboxDataError(f"O arquivo {path.name} precisa ter uma lista `sales`.")
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
        yield _sale_of(record)


def _sale_of(record: dict[str, Any]) -> Sale:
    item = dict(record)
    users = item.pop("users", [])
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
    )


_FIRST_NAMES = ("Ana", "Bia", "Caio", "Davi", "Elisa", "Ivo", "Júlia", "Lia", "Rui", "Téo")
_LAST_NAMES = ("Alves", "Borges", "Campos", "Duarte", "Farias", "Leme", "Nunes", "Prado", "Reis")
_CATALOGUE = (  # id, name, price in reais, payment mode, weight
    (4100001, "Gestão de ILPI na Prática", 997.0, "UNIQUE_PAYMENT", 30),
    (4100002, "Formação em Estética Avançada", 1497.0, "UNIQUE_PAYMENT", 25),
    (4100003, "Clube da Estética", 97.0, "SUBSCRIPTION", 6),
    (4100004, "Mentoria para Donos de ILPI", 297.0, "SMART_INSTALLMENT", 3),
    (4100005, "Guia de Cuidados em ILPI", 47.0, "UNIQUE_PAYMENT", 36),
)
_BUMP = _CATALOGUE[-1]
_PRODUCER = {"name": "Escola Exemplo", "ucode": "7d3f1c52-0000-4000-8000-000000000001"}
_COUNTRIES = (  # name, currency, phone prefix, weight
    ("Brasil", "BRL", "55", 92),
    ("Portugal", "EUR", "351", 3),
    ("Estados Unidos", "USD", "1", 3),
    ("México", "MXN", "52", 2),
)
_CITIES = (("São Paulo", "SP", "11"), ("Recife", "PE", "81"), ("Santa Maria", "RS", "55"))
_PAYMENTS = (("CREDIT_CARD", "CREDIT_CARD_VISA", 62), ("PIX", "PIX", 28), ("BILLET", "BILLET", 10))
_ROLES = (("PRODUCER", 96), ("AFFILIATE", 2), ("COPRODUCER", 2))
# fmt: off
_SETTLED = (  # the sales older than ten days, per thousand
    ("COMPLETE", 720), ("EXPIRED", 90), ("CANCELLED", 70), ("REFUNDED", 45), ("NO_FUNDS", 25),
    ("OVERDUE", 14), ("CHARGEBACK", 8), ("BLOCKED", 8), ("PROTESTED", 6),
    ("PARTIALLY_REFUNDED", 6), ("PRE_ORDER", 4), ("STARTED", 4),
)
_FRESH = (
    ("APPROVED", 640), ("WAITING_PAYMENT", 120), ("PRINTED_BILLET", 80), ("STARTED", 40),
    ("UNDER_ANALISYS", 40), ("PROCESSING_TRANSACTION", 40), ("CANCELLED", 40),
)
# fmt: on
_WAS_PAID = {"APPROVED", "COMPLETE", "REFUNDED", "CHARGEBACK", "PROTESTED", "PARTIALLY_REFUNDED"}
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class _Person:
    currency: str
    in_history: dict[str, str]
    as_participant: dict[str, Any]


class _Generator:
    """Orders, one after another: what was bought, by whom, and what became of it."""

    def __init__(self, seed: int, start: int, end: int) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._start, self._end = start, end
        self._people: list[_Person] = []
        self._codes = 0

    def sales(self, wanted: int) -> list[Sale]:
        made: list[Sale] = []
        while len(made) < wanted:
            made.extend(self._order())
        return made[:wanted]

    def _pick(self, options: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        return self._random.choices(options, [option[-1] for option in options])[0]

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _code(self) -> str:
        self._codes += 1
        return f"HP{self._codes * 2_654_435_761 % 10**10:010d}"

    def _order(self) -> Iterator[Sale]:
        returning = self._people and self._chance(0.3)
        person = self._random.choice(self._people) if returning else self._person()
        product, payment, (role, _) = map(self._pick, (_CATALOGUE, _PAYMENTS, _ROLES))
        sale = partial(self._sale, person=person, product=product, payment=payment, role=role)
        at, code = self._random.randint(self._start, self._end), self._code()
        yield sale(code, at)
        if product[3] == "UNIQUE_PAYMENT":
            if product is not _BUMP and self._chance(0.12):
                yield sale(f"{code}C1", at, product=_BUMP)
            return
        for number in range(2, 13 if product[3] == "SMART_INSTALLMENT" else 61):
            at += 30 * _DAY
            if at > self._end or self._chance(0.07):
                return
            yield sale(self._code(), at, number)

    def _person(self) -> _Person:
        pick, digits = self._random.choice, self._random.randint
        first, last = pick(_FIRST_NAMES), pick(_LAST_NAMES)
        email = f"{first[0]}{last}{len(self._people)}@example.com".lower()
        country, currency, prefix, _ = self._pick(_COUNTRIES)
        city, state, area = pick(_CITIES) if prefix == "55" else ("", "", "")
        ninth = "" if self._chance(0.04) else "9"
        local = f"{ninth}{digits(60, 99)}{digits(0, 999_999):06d}"
        phone = f"{prefix}{area}{local}" if area else f"{prefix}9{digits(0, 99_999_999):08d}"
        if self._people and self._chance(0.02):
            phone = pick(self._people).as_participant["user"]["cellphone"]
        elif self._chance(0.05):
            phone = ""
        ucode = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        known = {"name": f"{first} {last}", "ucode": ucode, "email": email}
        shown = {name: text for name, text in known.items() if not self._chance(0.015)}
        user: Item = {**shown, "locale": "pt_BR" if area else "en", "cellphone": phone}
        user["address"] = {"city": city, "state": state, "country": country}
        if area and self._chance(0.9):
            user["documents"] = [{"value": _cpf(digits(0, 999_999_999)), "type": "CPF"}]
        in_history = {} if self._chance(0.01) else shown
        self._people.append(_Person(currency, in_history, {"role": "BUYER", "user": user}))
        return self._people[-1]

    def _sale(
        self,
        code: str,
        at: int,
        number: int = 1,
        *,
        person: _Person,
        product: tuple[Any, ...],
        payment: tuple[Any, ...],
        role: str,
    ) -> Sale:
        product_id, name, listed, mode, _ = product
        kind, method, _ = payment
        fresh = at > self._end - 10 * _DAY
        status = self._pick(_FRESH if fresh else _SETTLED)[0]
        splits = mode == "UNIQUE_PAYMENT" and kind == "CREDIT_CARD"
        instalments = self._random.choice((1, 1, 3, 6, 12)) if splits else 1
        base = 0.0 if self._chance(0.003) else listed
        local = base * RATES[person.currency] * (1 + 0.02 * (instalments - 1))
        total = round(base * 0.099 + 1, 2) if base else 0.0
        fee = {
            "total": total,
            "fixed": 1.0,
            "base": base,
            "percentage": 9.9,
            "currency_code": "BRL",
        }
        purchase: Item = {
            "transaction": code,
            "order_date": at * 1000,
            "status": status,
            "is_subscription": mode == "SUBSCRIPTION",
            "commission_as": role,
            "price": {"value": round(local, 2), "currency_code": person.currency},
            "payment": {"type": kind, "method": method, "installments_number": instalments},
            "offer": {"code": f"of{product_id}", "payment_mode": mode},
            "hotmart_fee": fee,
        }
        if mode != "UNIQUE_PAYMENT":
            purchase["recurrency_number"] = number
        if self._chance(0.5):
            purchase["tracking"] = {"source": self._random.choice(("instagram", "google", "email"))}
        if status in _WAS_PAID:
            wait = self._random.randint(5, 2 * _DAY if kind == "BILLET" else 600)
            approved = min(at + wait, self._end)
            guarantee = (approved + 7 * _DAY) * 1000
            purchase |= {"approved_date": approved * 1000, "warranty_expire_date": guarantee}
        buyer = {"buyer": person.in_history} if person.in_history else {}
        item = {"product": {"id": product_id, "name": name}, **buyer, "producer": _PRODUCER}
        users = [person.as_participant, {"role": "PRODUCER", "user": _PRODUCER}]
        return _sale_of({**item, "purchase": purchase, "users": users})


def _cpf(root: int) -> str:
    """A CPF whose check digits are right."""
    digits = [int(digit) for digit in f"{root:09d}"]
    for _ in range(2):
        weights = range(len(digits) + 1, 1, -1)
        rest = sum(map(mul, digits, weights)) * 10 % 11
        digits.append(rest % 10)
    return "".join(map(str, digits))
