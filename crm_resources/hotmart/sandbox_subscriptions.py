"""What the sales say of subscriptions: items of both subscription endpoints (hotmart.md 5.1, 5.4).

A subscription is its charges so far. Its state on a day follows from them: unpaid or reversed at
the first charge, late with the last one, ended when no charge came after the last paid period.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from crm_resources.hotmart.sandbox_records import Sale, buyer_of, dice
from crm_resources.hotmart.statuses import Item

_DAY = 86_400_000
_GRACE = 3 * _DAY  # after a due date without a charge
_CYCLE_DAYS = {7: 7, 30: 30, 60: 61, 90: 91, 180: 182, 360: 365}
_CYCLE_NAMES = {
    7: "WEEKLY",
    30: "MONTHLY",
    60: "BIMONTHLY",
    90: "QUARTERLY",
    180: "BIANNUAL",
    360: "ANNUAL",
}
_PAID = {"APPROVED", "COMPLETE", "PARTIALLY_REFUNDED"}
_REVERSED = {"REFUNDED", "CHARGEBACK"}
_FAILED = {"CANCELLED", "EXPIRED", "NO_FUNDS", "BLOCKED", "OVERDUE"}
_RECURRENCE_STATUS = {"PROTESTED": "CLAIMED", "REFUNDED": "REFUNDED", "CHARGEBACK": "CHARGEBACK"}
_FIRST_SPELLING = {
    "UNDER_ANALISYS": "UNDER_ANALYSIS",
    "PROCESSING_TRANSACTION": "STARTED",
    "PRE_ORDER": "STARTED",
    "NO_FUNDS": "CANCELLED",
    "BLOCKED": "CANCELLED",
    "OVERDUE": "EXPIRED",
}
_LATER_SPELLING = _FIRST_SPELLING | dict.fromkeys(_FAILED, "DELAYED")
_REFUSALS = ("INSUFFICIENT FUNDS", "TRANSACTION DECLINED", "RESTRICTED CARD", "CARD EXPIRED")
_DATES = {"end_accession_date", "date_next_charge"}
_FLAGS = {"MASTERCARD": "MC"}


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription or instalment plan.

    Attributes:
        item: of `subscriptions`; instalment plans have one too, but are not listed there.
        charges: items of `subscriptions/transactions`, oldest first.
    """

    billing_type: str
    item: Item
    charges: list[Item]


@dataclass(frozen=True, slots=True)
class _Charge:
    """One sale of a subscription, as it stood at some moment."""

    transaction: str
    number: int
    ordered_at: int
    approved_at: int | None
    reversed_at: int | None
    status: str
    item: Item
    purchase: Item
    given: Item
    users: list[Item]

    @property
    def paid(self) -> bool:
        return self.status in _PAID

    @property
    def unpaid(self) -> bool:
        """Neither paid, nor paid and then disputed or reversed."""
        return not self.paid and self.status not in _RECURRENCE_STATUS


def subscriptions(sales: Iterable[Sale], now: int, lag: int = 0) -> list[Subscription]:
    """The subscriptions among sales, newest first.

    Args:
        sales: in the order of their order date.
        now: the account's clock, epoch milliseconds.
        lag: milliseconds; the answer is that of so long ago.
    """
    chains: dict[str, list[_Charge]] = {}
    for sale in sales:
        if sale.subscription and sale.ordered_at <= now - lag:
            chains.setdefault(sale.subscription, []).append(_charge(sale, now, now - lag))
    made = [_subscription(name, chain, now - lag) for name, chain in chains.items()]
    return sorted(made, key=lambda each: -each.item["accession_date"])


def _charge(sale: Sale, now: int, at: int) -> _Charge:
    """The sale as it stood `at`; the sale itself says how it stands `now`."""
    item = json.loads(sale.history)
    purchase = item["purchase"]
    given = json.loads(sale.extras).get("subscription", {})
    approved_at, reversed_at, status = purchase.get("approved_date"), None, sale.status
    if approved_at and approved_at > at:
        approved_at, status = None, "STARTED"
    elif status in _REVERSED:
        waits = 32 if status == "CHARGEBACK" else 1 + dice(sale.transaction, 7)
        derived = min(now, (approved_at or sale.ordered_at) + waits * _DAY)
        reversed_at = given.get("refund_chargeback_date") or derived
        if reversed_at > at:
            reversed_at, status = None, "APPROVED"
    return _Charge(
        transaction=sale.transaction,
        number=purchase.get("recurrency_number") or 1,
        ordered_at=sale.ordered_at,
        approved_at=approved_at,
        reversed_at=reversed_at,
        status=status,
        item=item,
        purchase=purchase,
        given=given,
        users=json.loads(sale.users)["users"],
    )


def _subscription(name: str, chain: list[_Charge], at: int) -> Subscription:
    first, latest = chain[0], chain[-1]
    given: Item = {}
    for charge in chain:
        given |= charge.given
    if given.get("end_accession_date", 0) > at:
        del given["end_accession_date"]
        given.pop("status", None)
    product = first.item["product"]
    buyer = buyer_of(latest.users, latest.item.get("buyer") or {})
    person = buyer.get("ucode") or buyer.get("email") or name
    plan = given.get("plan") or {
        "id": product["id"],
        "name": product["name"],
        "recurrency_period": 30,
    }
    trial = given.get("trial_period", 0) * _DAY if given.get("trial") else 0
    digest = hashlib.sha256(f"{person} {product['id']}".encode()).hexdigest()
    item: Item = {
        "subscriber_code": digest[:8].upper(),
        "subscription_id": 10_000_000 + dice(name, 9_000_000),
        "accession_date": first.ordered_at - trial,
        "request_date": first.ordered_at - trial,
        "trial": bool(given.get("trial")),
        "transaction": first.transaction,
        "plan": plan,
        "product": {**product, "ucode": str(uuid.uuid5(uuid.NAMESPACE_OID, str(product["id"])))},
        "price": latest.purchase.get("price") or {"value": 0.0, "currency_code": "BRL"},
        "subscriber": {key: buyer[key] for key in ("name", "email", "ucode") if key in buyer},
    }
    mode = (first.purchase.get("offer") or {}).get("payment_mode")
    billing_type = mode if mode in {"SMART_INSTALLMENT", "SMART_RECOVERY"} else "SUBSCRIPTION"
    state = _state(chain, plan, at, of_instalments=billing_type != "SUBSCRIPTION")
    if not given.get("status", "CANCELLED").startswith("CANCELLED"):
        state.pop("end_accession_date", None)
    item |= state
    item |= {key: value for key, value in given.items() if key in item or key in _DATES}
    common = _common(item, chain, buyer, billing_type, given)
    return Subscription(billing_type, item, [*_charge_items(chain, common, at)])


def _state(chain: list[_Charge], plan: Item, at: int, *, of_instalments: bool) -> Item:
    """Status, cancellation and next charge `at` some moment, as the charges so far let it be."""
    recurrences = _recurrences(chain)
    last = recurrences[-1]
    latest, start, number = last[-1], last[0].ordered_at, last[0].number
    due = _noon(start + _CYCLE_DAYS[plan["recurrency_period"]] * _DAY)
    if number == 1 and latest.status in _REVERSED:
        by = "CUSTOMER" if latest.status == "REFUNDED" and not of_instalments else "ADMIN"
        end = latest.reversed_at or at
        state = _cancelled(by, end)
        return state | {"date_next_charge": _noon(end)}
    if number == 1 and _is_unpaid(last):
        return {"status": "INACTIVE" if latest.status in _FAILED else "STARTED"}
    late = any(map(_is_unpaid, recurrences if of_instalments else [last]))
    through = number == plan.get("max_charge_cycles")
    running = {"status": "DELAYED" if late else "ACTIVE"}
    if at <= due + _GRACE:
        return running | ({} if through else {"date_next_charge": due})
    if through:
        return running if of_instalments else {"status": "OVERDUE"}
    if of_instalments or late:
        return _cancelled("ADMIN", due) | {"date_next_charge": due}
    by = ("CUSTOMER", "CUSTOMER", "CUSTOMER", "SELLER")[dice(latest.transaction, 4)]
    asked = start + dice(latest.transaction, (due - start) // 1000) * 1000
    return _cancelled(by, asked) | {"date_next_charge": due}


def _cancelled(by: str, asked: int) -> Item:
    return {"status": f"CANCELLED_BY_{by}", "end_accession_date": asked}


def _is_unpaid(recurrence: list[_Charge]) -> bool:
    return all(charge.unpaid for charge in recurrence)


def _common(
    item: Item, chain: list[_Charge], buyer: Item, billing_type: str, given: Item
) -> dict[str, Any]:
    """What every charge of a subscription repeats."""
    last = _recurrences(chain)[-1]
    plan, offer = item["plan"], chain[-1].purchase.get("offer") or {}
    trial: Item = {"trial": item["trial"]}
    if item["trial"] and "trial_period" in given:
        days = given["trial_period"]
        trial |= {"trial_period": days, "trial_end": item["accession_date"] + days * _DAY}
    cancelled = {"cancellation_date": item.get("end_accession_date")}
    next_charge = {"date_next_charge": item.get("date_next_charge")}
    return {
        "subscription_id": item["subscription_id"],
        "subscriber_code": item["subscriber_code"],
        "status": item["status"],
        "billing_type": billing_type,
        "adoption_date": item["request_date"],
        **{name: at for name, at in (cancelled | next_charge).items() if at},
        **({"max_cycles": plan["max_charge_cycles"]} if "max_charge_cycles" in plan else {}),
        "last_recurrency_start_date": last[0].ordered_at,
        "last_recurrency_number": last[0].number,
        "has_unpaid_recurrency": any(map(_is_unpaid, _recurrences(chain))),
        "has_credit_card_change": False,
        "is_paid_anticipation": False,
        "is_paid_negotiation": False,
        "product": chain[0].item["product"],
        "producer": {"name": (chain[0].item.get("producer") or {}).get("name", "")},
        "subscriber": _subscriber(buyer, item["subscriber_code"]),
        "trial_info": trial,
        "plan": {
            "name": plan["name"],
            "recurrency_period": plan["recurrency_period"],
            "recurrency_type": _CYCLE_NAMES[plan["recurrency_period"]],
            "offer": {"key": offer.get("code", ""), "code": offer.get("code", "")},
        },
    }


def _subscriber(buyer: Item, code: str) -> Item:
    """Name, e-mail and phone; a Brazilian one is split into area code and number."""
    phone = str(buyer.get("cellphone") or buyer.get("phone") or "")
    national = phone[2:] if len(phone) > 11 and phone.startswith("55") else phone
    shown: Item = {key: buyer[key] for key in ("name", "email") if key in buyer}
    if len(national) in {10, 11}:
        shown |= {"phone_ddd": national[:2], "phone": national[2:]}
    elif phone:
        shown["phone"] = phone
    return {"id": 50_000_000 + dice(buyer.get("ucode") or code, 9_000_000), **shown}


def _charge_items(chain: list[_Charge], common: Item, at: int) -> Iterable[Item]:
    for recurrence in _recurrences(chain):
        settled = [charge for charge in recurrence if charge.paid] or recurrence
        for sequence, charge in enumerate(recurrence, start=1):
            paid = "NOT_PAID" if charge.unpaid else "PAID"
            known = (charge.ordered_at, charge.approved_at, charge.reversed_at)
            yield {
                **common,
                "last_update": max(instant for instant in known if instant),
                "recurrency": {
                    "number": charge.number,
                    "status": _RECURRENCE_STATUS.get(charge.status, paid),
                    "start_datetime": recurrence[0].ordered_at,
                    "payment_delays_days": (at - charge.ordered_at) // _DAY if charge.unpaid else 0,
                    "transaction_type": "AUTOMATIC",
                    "transaction_sequence": sequence,
                    "is_current_purchase": charge is settled[-1],
                    "has_retry": len(recurrence) > 1,
                },
                "purchase": _purchase(charge, common["billing_type"]),
            }


def _purchase(charge: _Charge, billing_type: str) -> Item:
    purchase = charge.purchase
    price = purchase.get("price") or {"value": 0.0, "currency_code": "BRL"}
    fee = purchase.get("hotmart_fee") or {
        "total": 0.0,
        "base": price["value"],
        "currency_code": price["currency_code"],
    }
    instalments = (purchase.get("payment") or {}).get("installments_number", 1)
    single = "CONVENTIONAL_INSTALLMENT" if instalments > 1 else "ONE_TIME_PAYMENT"
    spelling = _FIRST_SPELLING if charge.number == 1 else _LATER_SPELLING
    rate = round(fee["base"] / price["value"], 6) if price["value"] else 1.0
    producer = round(fee["base"] - fee["total"], 2)
    same_currency = fee["currency_code"] == price["currency_code"]
    return {
        "transaction": charge.transaction,
        "order_date": charge.ordered_at,
        **({"approved_date": charge.approved_at} if charge.approved_at else {}),
        "status": spelling.get(charge.status, charge.status),
        "price": {
            "value": fee["base"] if same_currency else price["value"],
            "total_value": price["value"],
            "currency": price["currency_code"],
        },
        "installment": {
            "installment_number": instalments,
            "installment_type": single if billing_type == "SUBSCRIPTION" else billing_type,
        },
        "payment": _payment(charge),
        "commission": {
            "currency": fee["currency_code"],
            "conversion_rate": 1.0 if same_currency else rate,
            "original_value": fee["base"],
            "original_paid_value": fee["base"] if charge.paid else 0.0,
            "producer_value": producer,
            "producer_paid_value": producer if charge.paid else 0.0,
        },
    }


def _payment(charge: _Charge) -> Item:
    sold = charge.purchase.get("payment") or {}
    kind, method = sold.get("type", "CREDIT_CARD"), sold.get("method", "")
    payment: Item = {"payment_type": kind}
    flag = method.removeprefix("CREDIT_CARD_")
    if kind == "CREDIT_CARD" and flag != method:
        payment["credit_card_flag"] = _FLAGS.get(flag, flag)
    if charge.reversed_at:
        payment["refund_chargeback_date"] = charge.reversed_at
    if charge.status in _FAILED and kind == "CREDIT_CARD":
        chosen = _REFUSALS[dice(charge.transaction, len(_REFUSALS))]
        payment["refusal_message"] = charge.given.get("refusal_message", chosen)
    if charge.unpaid and kind == "PIX":
        payment["pix_expiration_date"] = charge.ordered_at + 2 * _DAY
    if charge.unpaid and kind == "BILLET":
        payment["billet_expiration_date"] = charge.ordered_at + 3 * _DAY
        payment["billet_reprint_code"] = f"https://example.com/boleto/{charge.transaction}"
    return payment


def _recurrences(chain: list[_Charge]) -> list[list[_Charge]]:
    """The charges by recurrence, each in the order of its order dates."""
    ordered = sorted(chain, key=lambda charge: (charge.number, charge.ordered_at))
    return [list(group) for _, group in groupby(ordered, key=lambda charge: charge.number)]


def _noon(instant: int) -> int:
    """12:00 UTC of its day, the hour of every next charge."""
    return instant - instant % _DAY + _DAY // 2
