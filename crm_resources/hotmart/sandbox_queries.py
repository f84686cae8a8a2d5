"""What a query finds in the sandbox's account: filters, defaults and refusals per endpoint.

A refusal is a `Problem`; like the vendor's, it never says which parameter was wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from starlette.datastructures import QueryParams

from crm_resources.hotmart.sandbox_data import SandboxData
from crm_resources.hotmart.sandbox_faults import Faults, Problem
from crm_resources.hotmart.sandbox_records import Sale, encode
from crm_resources.hotmart.sandbox_subscriptions import Subscription
from crm_resources.hotmart.statuses import (
    SUBSCRIPTION_STATUSES,
    SUBSCRIPTION_TRANSACTION_STATUSES,
    SUBSCRIPTION_TRANSACTIONS,
    SUBSCRIPTIONS,
    Endpoint,
    Item,
)

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_DEFAULT_MS = 30 * _DAY_MS
_ROLES = {None, "PRODUCER", "COPRODUCER", "AFFILIATE"}
_SALE_FILTERS = ("product_id", "transaction", "commission_as")

_Thing = TypeVar("_Thing")
_Readers = Mapping[str, Callable[[_Thing], Iterable[object]]]

_SUBSCRIPTION_FILTERS: _Readers[Subscription] = {
    "status": lambda each: [each.item["status"]],
    "product_id": lambda each: [each.item["product"]["id"]],
    "plan": lambda each: [each.item["plan"]["name"]],
    "plan_id": lambda each: [each.item["plan"]["id"]],
    "subscriber_code": lambda each: [each.item["subscriber_code"]],
    "subscriber_email": lambda each: [each.item["subscriber"].get("email")],
    "transaction": lambda each: [charge["purchase"]["transaction"] for charge in each.charges],
    "trial": lambda each: [each.item["trial"]],
}
_CHARGE_FILTERS: _Readers[Item] = {
    "product_id": lambda item: [item["product"]["id"]],
    "transaction": lambda item: [item["purchase"]["transaction"]],
    "subscriber_name": lambda item: [item["subscriber"].get("name")],
    "subscriber_email": lambda item: [item["subscriber"].get("email")],
    "billing_type": lambda item: [item["billing_type"]],
    "subscription_status": lambda item: [item["status"]],
    "recurrency_status": lambda item: [item["recurrency"]["status"]],
    "purchase_status": lambda item: [item["purchase"]["status"]],
    "offer_code": lambda item: [item["plan"]["offer"]["code"]],
    "purchase_payment_type": lambda item: [item["purchase"]["payment"]["payment_type"]],
    "subscriber_code": lambda item: [item["subscriber_code"]],
}
_CHARGE_CHOICES: Mapping[str, Collection[str]] = {
    "billing_type": {"SUBSCRIPTION", "SMART_INSTALLMENT", "SMART_RECOVERY"},
    "subscription_status": SUBSCRIPTION_STATUSES,
    "recurrency_status": {"PAID", "NOT_PAID", "CLAIMED", "REFUNDED", "CHARGEBACK"},
    "purchase_status": SUBSCRIPTION_TRANSACTION_STATUSES,
}


def find_sales(
    data: SandboxData, faults: Faults, endpoint: Endpoint, query: QueryParams
) -> list[Sale]:
    """Sales by order date; without status and transaction only the approved and complete."""
    statuses = _statuses(endpoint, faults, query)
    if query.get("commission_as") not in _ROLES:
        raise Problem(400, "invalid_parameter")
    if not statuses:
        both = {"APPROVED", "COMPLETE"}
        statuses = frozenset(endpoint.statuses if "transaction" in query else both)
    start, end = _window(endpoint, faults, query, longest=faults.refuse_windows_above_days)
    filters = frozenset((name, query[name]) for name in _SALE_FILTERS if name in query)
    return data.find(start, end, statuses, filters)


def find_subscriptions(data: SandboxData, faults: Faults, query: QueryParams) -> list[Item]:
    """Subscriptions by accession date, in every status; the last 30 days where none is given.

    Whether that default also holds beside other filters is unknown: here it does, so that a
    client which does not send the date is found out.
    """
    _statuses(SUBSCRIPTIONS, faults, query)
    _check_choices(query, {"trial": {"true", "false"}})
    now = data.now_ms
    start, end = _window(SUBSCRIPTIONS, faults, query, start=now - _DEFAULT_MS)
    ranges = [("accession_date", start, end)]
    if {"cancelation_date", "end_cancelation_date"} & query.keys():
        since = epoch(query, "cancelation_date", now - _DEFAULT_MS)
        ranges.append(("end_accession_date", since, epoch(query, "end_cancelation_date", now)))
    if {"date_next_charge", "end_date_next_charge"} & query.keys():
        since = epoch(query, "date_next_charge", now)
        ranges.append(("date_next_charge", since, epoch(query, "end_date_next_charge", now)))
    return [
        each.item
        for each in data.subscriptions()
        if each.billing_type == "SUBSCRIPTION"
        and all(first <= each.item.get(name, math.inf) <= last for name, first, last in ranges)
        and _matches(each, _SUBSCRIPTION_FILTERS, query)
    ]


def find_charges(data: SandboxData, faults: Faults, query: QueryParams) -> list[Item]:
    """Charges by order date as they were a day ago; the last 30 days, or one transaction."""
    _statuses(SUBSCRIPTION_TRANSACTIONS, faults, query)
    _check_choices(query, _CHARGE_CHOICES)
    default = -math.inf if "transaction" in query else data.now_ms - _DEFAULT_MS
    first, last = _window(SUBSCRIPTION_TRANSACTIONS, faults, query, start=default)
    lag = int(faults.transactions_lag_hours * _HOUR_MS)
    found = [
        item
        for each in data.subscriptions(lag)
        for item in each.charges
        if first <= item["purchase"]["order_date"] <= last
        and _matches(item, _CHARGE_FILTERS, query)
    ]
    return sorted(found, key=lambda item: -item["purchase"]["order_date"])


def epoch(query: QueryParams, name: str, absent: float) -> float:
    """A whole number among the parameters."""
    try:
        return int(query[name]) if name in query else absent
    except ValueError:
        raise Problem(400, "invalid_value_parameter") from None


def _statuses(endpoint: Endpoint, faults: Faults, query: QueryParams) -> frozenset[str]:
    asked = frozenset(query.getlist(endpoint.status_parameter))
    if not asked <= set(endpoint.statuses) - set(faults.refuse_statuses):
        raise Problem(400, "invalid_parameter")
    return asked


def _check_choices(query: QueryParams, choices: Mapping[str, Collection[str]]) -> None:
    if not all(set(query.getlist(name)) <= set(choice) for name, choice in choices.items()):
        raise Problem(400, "invalid_parameter")


def _window(
    endpoint: Endpoint,
    faults: Faults,
    query: QueryParams,
    *,
    start: float = -math.inf,
    longest: float = math.inf,
) -> tuple[float, float]:
    names = endpoint.window_parameters
    first, last = epoch(query, names[0], start), epoch(query, names[1], math.inf)
    days = (last - first) / _DAY_MS if query.keys() >= set(names) else 0
    if days < 0 or days > longest:
        raise Problem(400, "invalid_parameter")
    if days > (faults.time_out_windows_above_days or math.inf):
        raise Problem(502, "internal_server_error")
    return first, last


def _matches(thing: _Thing, readers: _Readers[_Thing], query: QueryParams) -> bool:
    return all(
        set(query.getlist(name)) & {_text(value) for value in read(thing)}
        for name, read in readers.items()
        if name in query
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else encode(value)
