"""Invents the sales of an account: what was bought, by whom, and what became of it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import mul
from typing import Any

from crm_resources.hotmart.sandbox_items import RATES, VAT, participant
from crm_resources.hotmart.sandbox_records import Sale, dice, sale_of
from crm_resources.hotmart.statuses import Item

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
_COPRODUCED = 4100004
_INSTALMENTS = 12
_LONGEST = 60  # charges of a plan without end
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


class Generator:
    """Orders, one after another: what was bought, by whom, and what became of it.

    Args:
        seed: the same one gives the same sales.
        start: first possible order date, epoch seconds.
        end: last one.
    """

    def __init__(self, seed: int, start: int, end: int) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._start, self._end = start, end
        self._people: list[_Person] = []
        self._codes = 0

    def sales(self, wanted: int) -> list[Sale]:
        """The first `wanted` sales, those of one order side by side."""
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
        if product[3] == "UNIQUE_PAYMENT":
            yield sale(code, at)
            if product is not _BUMP and self._chance(0.12):
                yield sale(f"{code}C1", at, product=_BUMP)
            return
        yield from self._recurrences(sale, code, at, self._subscription(product, code))

    def _recurrences(self, sale: Any, code: str, at: int, subscription: Item) -> Iterator[Sale]:
        """Charges every 30 days until the plan ends, the subscriber leaves, or today comes."""
        cycles = subscription["plan"].get("max_charge_cycles", _LONGEST)
        for number in range(1, cycles + 1):
            leaves = number < cycles and self._chance(0.07)
            running = at + 30 * _DAY > self._end
            given = subscription
            asks = number > 1 and cycles != _INSTALMENTS and dice(code, 20) == 1
            if asks and running and at < self._end:
                asked = (at + dice(code, self._end - at)) * 1000
                given = {
                    **subscription,
                    "status": "CANCELLED_BY_CUSTOMER",
                    "end_accession_date": asked,
                }
            charge = sale(code, at, number, subscription=given)
            yield charge
            at += 30 * _DAY
            never_began = number == 1 and charge.status not in {"APPROVED", "COMPLETE"}
            if leaves or never_began or at > self._end:
                return
            code = self._code()

    def _subscription(self, product: tuple[Any, ...], code: str) -> Item:
        """What a record says of a new subscription: its number, and the plan it has."""
        product_id, name, _, mode, _ = product
        plan: Item = {"id": product_id % 1000 * 10, "name": name, "recurrency_period": 30}
        if mode == "SMART_INSTALLMENT":
            plan["max_charge_cycles"] = _INSTALMENTS
        elif dice(code, 8) == 0:
            plan |= {"id": plan["id"] + 1, "name": f"{name} (6 meses)", "max_charge_cycles": 6}
        trial = {"trial": True, "trial_period": 7} if dice(code, 15) == 2 else {}
        return {"subscription_id": 20_000_000 + self._codes, "plan": plan, **trial}

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
        subscription: Item | None = None,
    ) -> Sale:
        product_id, name, listed, mode, _ = product
        kind, method, _ = payment
        fresh = at > self._end - 10 * _DAY
        status = self._pick(_FRESH if fresh else _SETTLED)[0]
        splits = mode == "UNIQUE_PAYMENT" and kind == "CREDIT_CARD"
        instalments = self._random.choice((1, 1, 3, 6, 12)) if splits else 1
        if person.currency not in {"BRL", "MXN"}:
            instalments = 1
        coupon = {"code": "VOLTA10", "value": 0.1} if splits and dice(code, 12) == 3 else None
        base = 0.0 if self._chance(0.003) else round(listed * (0.9 if coupon else 1.0), 2)
        local = base * RATES[person.currency] * (1 + 0.02 * (instalments - 1))
        local *= 1 + VAT.get(person.currency, 0.0)
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
        partners = {role} - {"PRODUCER"}
        if role == "PRODUCER" and dice(code, 10) == 4:
            partners.add("AFFILIATE")
        if role == "PRODUCER" and product_id == _COPRODUCED:
            partners.add("COPRODUCER")
        users = [person.as_participant, {"role": "PRODUCER", "user": _PRODUCER}]
        users += [{"role": name, "user": participant(name)} for name in sorted(partners)]
        record: Item = {**item, "purchase": purchase, "users": users}
        if subscription:
            record["subscription"] = subscription
        if coupon:
            record["price_details"] = {"coupon": coupon}
        if dice(code, 9) == 5 and not partners:
            record["commissions"] = {"ADDON": round(base * 0.02, 2)}
        return sale_of(record)


def _cpf(root: int) -> str:
    """A CPF whose check digits are right."""
    digits = [int(digit) for digit in f"{root:09d}"]
    for _ in range(2):
        weights = range(len(digits) + 1, 1, -1)
        rest = sum(map(mul, digits, weights)) * 10 % 11
        digits.append(rest % 10)
    return "".join(map(str, digits))
