"""From the body of a Hotmart webhook to a typed bronze row: names, paths and tolerant reading.

Every documented shape is read by one table of paths: version 2 in `data`, the flat keys of version
1. A field that is missing or null is empty; one that is there and cannot be read, lies in the
future, or is a price below zero, is empty and told with its text. The whole body stays in `raw`.
Pure SQL over the bodies of one batch; nothing here opens a store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crm_assets.bronze.hotmart_rows import NEGATIVE, UNREADABLE
from crm_assets.bronze.manychat_file import FUTURE

KINDS = (
    "PURCHASE_APPROVED",
    "PURCHASE_COMPLETE",
    "PURCHASE_CANCELED",
    "PURCHASE_REFUNDED",
    "PURCHASE_CHARGEBACK",
    "PURCHASE_EXPIRED",
    "PURCHASE_DELAYED",
    "PURCHASE_PROTEST",
    "PURCHASE_BILLET_PRINTED",
    "PURCHASE_OUT_OF_SHOPPING_CART",
    "SUBSCRIPTION_CANCELLATION",
    "SWITCH_PLAN",
    "UPDATE_SUBSCRIPTION_CHARGE_DATE",
    "CLUB_FIRST_ACCESS",
    "CLUB_MODULE_COMPLETED",
    "ORDER_FULFILLMENT",
)
"""The vendor's events (reference/hotmart.md 6.3)."""

OF_SALES = frozenset(
    kind for kind in KINDS if kind.startswith("PURCHASE_") and not kind.endswith("_CART")
)
"""Those of one sale, which they name by its transaction (reference/hotmart.md 6.4)."""

ALIASES = {
    "PURCHASE_CANCELLED": "PURCHASE_CANCELED",
    "CHARGEBACK": "PURCHASE_CHARGEBACK",
    "CART_ABANDONED": "PURCHASE_OUT_OF_SHOPPING_CART",
    "SUBSCRIPTION_CANCELLED": "SUBSCRIPTION_CANCELLATION",
    "SUBSCRIPTION_CHANGED": "SWITCH_PLAN",
    "SUBSCRIPTION_BILLING_DATE_UPDATED": "UPDATE_SUBSCRIPTION_CHARGE_DATE",
}
"""Names of the replaced system that mean one of them (seeds S3.6)."""

STATUSES_OF_V1 = {
    "approved": "PURCHASE_APPROVED",
    "completed": "PURCHASE_COMPLETE",
    "canceled": "PURCHASE_CANCELED",
    "blocked": "PURCHASE_CANCELED",
    "refunded": "PURCHASE_REFUNDED",
    "chargeback": "PURCHASE_CHARGEBACK",
    "dispute": "PURCHASE_PROTEST",
    "expired": "PURCHASE_EXPIRED",
    "delayed": "PURCHASE_DELAYED",
    "billet_printed": "PURCHASE_BILLET_PRINTED",
}
"""What a version 1 body says in its status, which has no event name (reference/hotmart.md 6.6)."""

CREATED = "creation_date"
"""How the rejects call an event's own date, whichever of its spellings the body has."""

AHEAD = "INTERVAL 1 DAY"
"""So far may a clock be ahead of ours: what is dated later than that is no date (rules 3.1)."""

_BIGINT = "TRY_CAST({text} AS BIGINT)"
_MONEY = "TRY_CAST({text} AS DECIMAL(18, 2))"
_READ = {
    "text": "{text}",
    "code": "CASE WHEN regexp_full_match({text}, '\\S+') THEN {text} END",
    "money": _MONEY,
    "price": f"CASE WHEN {_MONEY} >= 0 THEN {_MONEY} END",
    "integer": f"CASE WHEN regexp_full_match({{text}}, '-?\\d+') THEN {_BIGINT} END",
    "currency": "CASE WHEN regexp_full_match(upper({text}), '[A-Z]{{3}}') THEN upper({text}) END",
}
_CLOCK = "[Zz]|[+-][0-9]{2}:?[0-9]{2}"

CELLS: dict[str, tuple[str, ...]] = {
    "created": ("creation_date", "creationDate"),
    "transaction": ("data.purchase.transaction", "transaction"),
    "subscriber_code": (
        "data.subscription.subscriber.code", "data.subscriber.code",
        "data.subscription.subscriber_code", "subscriber_code",
    ),
    "subscription_id": ("data.subscription.id",),
    "product_id": ("data.product.id", "data.subscription.product.id", "prod"),
    "product_name": ("data.product.name", "data.subscription.product.name", "prod_name"),
    "offer_code": ("data.purchase.offer.code", "data.offer.code", "data.plan.offer.code", "off"),
    "plan_id": ("data.subscription.plan.id", "data.plan.id"),
    "plan_name": ("data.subscription.plan.name", "data.plan.name", "name_subscription_plan"),
    "email": (
        "data.buyer.email", "data.subscriber.email", "data.subscription.user.email",
        "data.user.email", "data.purchase.shopper.email", "email",
    ),
    "whole_name": (
        "data.buyer.name", "data.subscriber.name", "data.subscription.user.name",
        "data.user.name", "data.purchase.shopper.name", "name",
    ),
    "first_name": ("data.buyer.first_name", "first_name"),
    "last_name": ("data.buyer.last_name", "last_name"),
    "phone_code": ("data.buyer.checkout_phone_code", "phone_checkout_local_code"),
    "phone_number": (
        "data.buyer.checkout_phone", "data.buyer.phone", "data.purchase.shopper.phone",
        "phone_checkout_number",
    ),
    "mobile_code": ("data.subscriber.phone.dddCell",),
    "mobile_number": ("data.subscriber.phone.cell",),
    "other_code": ("data.subscriber.phone.dddPhone", "phone_local_code"),
    "other_number": ("data.subscriber.phone.phone", "phone_number"),
    "document": ("data.buyer.document", "doc"),
    "country": (
        "data.buyer.address.country_iso", "data.buyer.address.country", "address_country_ISO",
        "address_country",
    ),
    "state": ("data.buyer.address.state", "address_state"),
    "city": ("data.buyer.address.city", "address_city"),
    "checkout_country": ("data.purchase.checkout_country.iso", "data.checkout_country.iso"),
    "subscription_status": (
        "data.subscription.status", "subscription_status", "signature_status",
    ),
    "price_value": ("data.purchase.price.value", "data.actual_recurrence_value", "price"),
    "full_price_value": ("data.purchase.full_price.value", "full_price"),
    "currency": (
        "data.purchase.full_price.currency_value", "data.purchase.full_price.currency_code",
        "data.purchase.price.currency_value", "data.purchase.price.currency_code", "currency",
    ),
    "order_at": ("data.purchase.order_date", "purchase_date"),
    "approved_at": ("data.purchase.approved_date", "confirmation_purchase_date"),
    "next_charge_at": (
        "data.purchase.date_next_charge", "data.date_next_charge",
        "data.subscription.date_next_charge",
    ),
    "cancelled_at": ("data.cancellation_date",),
    "switched_at": ("data.switch_plan_date",),
    "recurrence_number": ("data.purchase.recurrence_number", "data.purchase.recurrency_number"),
    "payment_type": ("data.purchase.payment.type", "payment_type"),
    "installments": ("data.purchase.payment.installments_number", "installments_number"),
    "refusal_reason": ("data.purchase.payment.refusal_reason", "refusal_reason"),
    "parent_transaction": ("data.purchase.order_bump.parent_purchase_transaction",),
    "new_charge_day": ("data.subscription.new_charge_day",),
}  # fmt: skip
"""A field -> where a body may hold it; of several places the first that can be read counts."""

_PRICES = ("price_value", "full_price_value")
_KIND_OF = (
    dict.fromkeys(("created", "order_at", "approved_at", "next_charge_at"), "instant")
    | dict.fromkeys(("cancelled_at", "switched_at"), "instant")
    | dict.fromkeys(_PRICES, "price")
    | dict.fromkeys(("recurrence_number", "installments", "new_charge_day"), "integer")
    | dict.fromkeys(("transaction", "subscriber_code", "parent_transaction"), "code")
    | {"currency": "currency"}
)
_PAST = ("order_at", "approved_at", "cancelled_at", "switched_at")
"""Dates of what has happened, which a next charge is not."""
_PATHS = tuple(dict.fromkeys(path for paths in CELLS.values() for path in paths))
_PARTS = {
    **dict.fromkeys(
        (path[:end] for path in _PATHS for end, sign in enumerate(path) if sign == "."), "OBJECT"
    ),
    **dict.fromkeys(("data.plans", "data.commissions"), "ARRAY"),
}
"""What holds fields, and which of JSON's types it has."""


def kind_of(name: object) -> str | None:
    """The canonical name of an event; None of one that nobody documents.

    Args:
        name: as it was sent.
    """
    if not isinstance(name, str):
        return None
    written = name.strip().upper()
    kind = ALIASES.get(written, written)
    return kind if kind in KINDS else None


def is_test(body: Mapping[str, Any]) -> bool:
    """Whether a body is the vendor's "send test" (reference/hotmart.md 6.7)."""
    data = body.get("data")
    product = data.get("product") if isinstance(data, dict) else None
    code = product.get("id") if isinstance(product, dict) else body.get("prod")
    return code in (0, "0") and not isinstance(code, bool)


def rows_sql() -> str:
    """SELECT of typed rows from `items`.

    `items` holds `event_id, event, kind, version, event_at, received_at, inbox_id, raw` of each
    body; the rows have these, `occurred_at` and every column that the body fills. Nothing can
    have happened after it was received: a date that says so within a day is that of the receipt,
    any other is left out, and an event's own takes its kind along. `unread` lists what is empty
    although the body has it, as `field, reason, raw`, of events with a kind.
    """
    trimmed = ", ".join(f"{_trimmed(path)} AS t{place}" for place, path in enumerate(_PATHS))
    texts = ", ".join(f"{_text(f't{place}')} AS x{place}" for place in range(len(_PATHS)))
    cells = ", ".join(f"{_cell(name)} AS {name}" for name in CELLS)
    plain = ", ".join(
        f"CASE WHEN {name} <= received_at + {AHEAD} THEN least({name}, received_at) END AS {name}"
        if name in _PAST
        else name
        for name in CELLS
        if name not in _COMPOSED
    )
    return f"""
        WITH opened AS (
            SELECT *, from_json(raw, '{json.dumps(_structure())}') AS body,
                   json_type(raw, {[f"$.{path}" for path in _PARTS]}) AS shapes
            FROM items
        ), trimmed AS MATERIALIZED (
            SELECT * EXCLUDE (body), {trimmed}, body.data.plans, body.data.commissions
            FROM opened
        ), texts AS MATERIALIZED (
            SELECT *, {texts},
                   list_filter(commissions, lambda each: upper(trim(each.source)) = 'PRODUCER')
                       AS shares
            FROM trimmed
        ), listed AS (
            SELECT *, {cells},
                   list_filter(plans, lambda each: {_IS_CURRENT})[1] AS new_plan,
                   list_filter(plans, lambda each: NOT coalesce({_IS_CURRENT}, false))[1]
                       AS old_plan,
                   CASE WHEN len(shares) = 1 THEN shares[1] END AS share,
                   coalesce(created, event_at) AS dated_at
            FROM texts
        )
        SELECT event_id, event, CASE WHEN NOT {_is_late("dated_at")} THEN kind END AS kind, version,
               least(dated_at, received_at) AS occurred_at,
               received_at, inbox_id, raw::JSON AS raw, {plain},
               coalesce(whole_name, nullif(trim(concat_ws(' ', first_name, last_name)), ''))
                   AS name,
               coalesce({_dialled("phone")}, {_dialled("mobile")}, {_dialled("other")}) AS phone,
               CASE WHEN {_SHARE_CURRENCY} = currency THEN {_SHARE_VALUE} END AS net_value,
               coalesce(plan_id, old_plan.id) AS plan_id,
               coalesce(plan_name, old_plan.name) AS plan_name,
               coalesce(offer_code, old_plan.offer.key) AS offer_code,
               new_plan.id AS new_plan_id, new_plan.name AS new_plan_name,
               new_plan.offer.key AS new_offer_code,
               {_unread()} AS unread
        FROM listed
    """


_COMPOSED = {
    "created", "whole_name", "first_name", "last_name", "phone_code", "phone_number",
    "mobile_code", "mobile_number", "other_code", "other_number", "plan_id", "plan_name",
    "offer_code",
}  # fmt: skip
_SHARE_VALUE = _READ["money"].format(text="share.value")
_SHARE_CURRENCY = "upper(trim(coalesce(share.currency_value, share.currency_code)))"
_NO_CURRENCY = f"NOT regexp_full_match({_SHARE_CURRENCY}, '[A-Z]{{3}}')"
_SHARE = dict.fromkeys(("source", "value", "currency_value", "currency_code"), "VARCHAR")
_PLAN = {"id": "VARCHAR", "name": "VARCHAR", "current": "VARCHAR", "offer": {"key": "VARCHAR"}}
_IS_CURRENT = "TRY_CAST(each.current AS BOOLEAN)"
_BAD_ENTRY = {
    "data.plans": f"""coalesce(each.id, each.name) IS NULL
                      OR each.current IS NOT NULL AND {_IS_CURRENT} IS NULL""",
    "data.commissions": "coalesce(each.source, each.value) IS NULL",
}
"""A list -> what an entry is like that cannot be read."""


def _structure() -> dict[str, Any]:
    """What is read of a body: every place of a field as text, and the two lists."""
    tree: dict[str, Any] = {"data": {"commissions": [_SHARE], "plans": [_PLAN]}}
    for path in _PATHS:
        *parents, last = path.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = "VARCHAR"
    return tree


def _cell(name: str) -> str:
    """The first readable value among the places of a field; of a currency, the first place's."""
    kind = _KIND_OF.get(name, "text")
    cells = "t" if kind == "currency" else "x"
    places = [f"{cells}{_PATHS.index(path)}" for path in CELLS[name]]
    if kind in {"text", "code", "currency"}:
        return _READ[kind].format(text=f"coalesce({', '.join(places)})")
    read = [
        _instant(text) if kind == "instant" else _READ[kind].format(text=text) for text in places
    ]
    return f"coalesce({', '.join(read)})"


def _is_late(name: str) -> str:
    """Whether a date lies further ahead than any clock; an empty one does not."""
    return f"coalesce({name} > received_at + {AHEAD}, false)"


def _unread() -> str:
    """What a body has and its row has not, each with its text; nothing of an unknown event."""
    text_of = {
        name: "coalesce({})".format(", ".join(f"t{_PATHS.index(path)}" for path in CELLS[name]))
        for name in CELLS
    }
    is_negative = {
        name: f"coalesce({_MONEY.format(text=text_of[name])} < 0, false)" for name in _PRICES
    }
    found = [
        (
            CREATED if name == "created" else name,
            f"{name} IS NULL AND NOT {is_negative.get(name, 'false')}",
            UNREADABLE,
            text,
        )
        for name, text in text_of.items()
    ]
    found += [
        (name, f"{name} IS NULL AND {negative}", NEGATIVE, text_of[name])
        for name, negative in is_negative.items()
    ]
    date = f"coalesce({text_of['created']}, dated_at::VARCHAR)"
    found += [(name, _is_late(name), FUTURE, text_of[name]) for name in _PAST]
    found += [
        (CREATED, _is_late("dated_at"), FUTURE, date),
        ("net_value", f"{_SHARE_VALUE} IS NULL", UNREADABLE, "share.value"),
        ("net_value", _NO_CURRENCY, UNREADABLE, _SHARE_CURRENCY),
    ]
    found += [
        (path, f"shapes[{place}] NOT IN ('{shape}', 'NULL')", UNREADABLE, f"raw->>'$.{path}'")
        for place, (path, shape) in enumerate(_PARTS.items(), start=1)
    ]
    found += [
        (
            path,
            f"len(list_filter({path.removeprefix('data.')}, lambda each: {bad})) > 0",
            UNREADABLE,
            f"raw->>'$.{path}'",
        )
        for path, bad in _BAD_ENTRY.items()
    ]
    cells = ", ".join(
        f"CASE WHEN {unread} THEN {{field: '{field}', reason: '{reason}', raw: {text}}} END"
        for field, unread, reason, text in found
    )
    told = f"list_filter([{cells}], lambda each: each.raw IS NOT NULL)"
    return f"CASE WHEN kind IS NOT NULL THEN {told} END"


def _trimmed(path: str) -> str:
    """What a body holds at a path, not blank."""
    place = ".".join(f'"{name}"' for name in path.split("."))
    return f"nullif(trim(body.{place}), '')"


def _text(cell: str) -> str:
    """A cell that is a text or a number, not yes or no, an object or a list."""
    inner = f"{cell}[1] IN ('{{', '[') AND json_valid({cell})"
    return f"CASE WHEN {cell} NOT IN ('true', 'false') AND NOT ({inner}) THEN {cell} END"


def _instant(text: str) -> str:
    """Milliseconds or seconds of the years 1990 to 2099, or an ISO date, in UTC unless it says."""
    number = _BIGINT.format(text=text)
    clean = f"regexp_replace({text}, '\\s*\\+00:00Z$', 'Z')"
    bare = f"{text} || CASE length({text}) WHEN 10 THEN ' 00:00:00+00' ELSE '+00' END"
    zoned = f"CASE WHEN regexp_matches({text}, '({_CLOCK})$') THEN {clean} ELSE {bare} END"
    iso = f"CASE WHEN regexp_matches({text}, '^(199|20\\d)\\d-') THEN {zoned} END"
    return (
        f"coalesce(make_timestamptz("
        f"CASE WHEN {number} BETWEEN 631152000000 AND 4102444799999 THEN {number} * 1000 "
        f"WHEN {number} BETWEEN 631152000 AND 4102444799 THEN {number} * 1000000 END), "
        f"TRY_CAST({iso} AS TIMESTAMPTZ))"
    )


def _dialled(which: str) -> str:
    """A number with its area code before it, unless it is long enough to hold one."""
    code, number = f"{which}_code", f"{which}_number"
    short = f"length(regexp_replace({number}, '\\D', '', 'g')) <= 9"
    return f"CASE WHEN {short} THEN concat({code}, {number}) ELSE {number} END"
