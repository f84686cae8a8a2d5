"""From the body of a Hotmart webhook to a typed bronze row: names, paths and tolerant reading.

Every documented shape is read by one table of paths: version 2 in `data`, the flat keys of version
1. A field that is missing, null or of the wrong type becomes empty; the whole body stays in `raw`.
Pure SQL over the bodies of one batch; nothing here opens a store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

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

VERSIONS = frozenset({"1.0.0", "2.0.0"})
UNNAMED = "(nome fora do padrão)"
"""Stands for a name that may hold anything, and is not repeated."""

_BIGINT = "TRY_CAST({text} AS BIGINT)"
_READ = {
    "text": "{text}",
    "code": "CASE WHEN regexp_full_match({text}, '\\S+') THEN {text} END",
    "money": "TRY_CAST({text} AS DECIMAL(18, 2))",
    "integer": f"CASE WHEN regexp_full_match({{text}}, '-?\\d+') THEN {_BIGINT} END",
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

_KIND_OF = (
    dict.fromkeys(("created", "order_at", "approved_at", "next_charge_at"), "instant")
    | dict.fromkeys(("cancelled_at", "switched_at"), "instant")
    | dict.fromkeys(("price_value", "full_price_value"), "money")
    | dict.fromkeys(("recurrence_number", "installments", "new_charge_day"), "integer")
    | dict.fromkeys(("transaction", "subscriber_code", "parent_transaction"), "code")
)
_PATHS = tuple(dict.fromkeys(path for paths in CELLS.values() for path in paths))

_KNOWN = """
    id creation_date creationDate event version hottok
    data.product:id,ucode,name,has_co_production,warranty_date,support_email,is_physical_product,
    content,format data.affiliates data.affiliate data.commissions data.plans data.module
    data.buyer:email,name,first_name,last_name,checkout_phone,checkout_phone_code,phone,document,
    document_type,address data.producer:name,document,legal_nature
    data.purchase:transaction,status,order_date,approved_date,date_next_charge,price,full_price,
    original_offer_price,offer,payment,origin,checkout_country,order_bump,recurrence_number,
    subscription_anticipation_purchase,invoice_by,is_funnel,event_tickets,business_model,variants,
    buyer_ip,sckPaymentLink,id,prices,dates,shopper
    data.subscription:id,status,plan,subscriber,subscriber_code,date_next_charge,product,user,
    old_charge_day,new_charge_day data.shipping data.offer data.checkout_country
    data.actual_recurrence_value data.cancellation_date data.date_next_charge
    data.subscriber:code,name,email,phone data.switch_plan_date data.plan:id,name,offer
    data.user:name,email data.line_items data.delivery data.fulfillment_service data.billing
"""


def _known_fields() -> dict[str, frozenset[str] | None]:
    """Documented paths; those with fields of their own -> these."""
    known: dict[str, frozenset[str] | None] = {}
    for word in re.sub(r",\s+", ",", _KNOWN).split():
        path, _, fields = word.partition(":")
        known[path] = frozenset(fields.split(",")) if fields else None
    return known


_FIELDS = _known_fields()


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


def tellable(name: object) -> str:
    """A name that may be shown to people: a value of a body never is."""
    text = str(name)
    return text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]{0,60}|\d+(\.\d+){0,2}", text) else UNNAMED


def is_test(body: Mapping[str, Any]) -> bool:
    """Whether a body is the vendor's "send test" (reference/hotmart.md 6.7)."""
    data = body.get("data")
    product = data.get("product") if isinstance(data, dict) else None
    code = product.get("id") if isinstance(product, dict) else body.get("prod")
    return code in (0, "0") and not isinstance(code, bool)


def unknown_fields(body: Mapping[str, Any]) -> Iterator[str]:
    """Paths in a version 2 body that the vendor does not document; names only, never values."""
    for name, value in body.items():
        if name == "data" and isinstance(value, dict):
            for part, inner in value.items():
                path = f"data.{part}"
                if path not in _FIELDS:
                    yield path
                elif (fields := _FIELDS[path]) and isinstance(inner, dict):
                    yield from (f"{path}.{field}" for field in inner if field not in fields)
        elif name not in _FIELDS:
            yield name


def rows_sql() -> str:
    """SELECT of typed rows from `items`.

    `items` holds `event_id, event, kind, version, event_at, received_at, inbox_id, raw` of each
    body; the rows have these, `occurred_at` and every column that the body fills. An event cannot
    have happened after it was received.
    """
    trimmed = ", ".join(f"{_trimmed(path)} AS t{place}" for place, path in enumerate(_PATHS))
    texts = ", ".join(f"{_text(f't{place}')} AS t{place}" for place in range(len(_PATHS)))
    cells = ", ".join(f"{_cell(name)} AS {name}" for name in CELLS)
    plain = ", ".join(name for name in CELLS if name not in _COMPOSED)
    return f"""
        WITH opened AS (
            SELECT *, from_json(raw, '{json.dumps(_structure())}') AS body FROM items
        ), trimmed AS MATERIALIZED (
            SELECT * EXCLUDE (body), {trimmed}, body.data.plans, body.data.commissions
            FROM opened
        ), texts AS MATERIALIZED (
            SELECT * REPLACE ({texts}),
                   list_filter(commissions, lambda each: upper(trim(each.source)) = 'PRODUCER')
                       AS shares
            FROM trimmed
        ), listed AS (
            SELECT event_id, event, kind, version, event_at, received_at, inbox_id, raw, shares,
                   {cells},
                   list_filter(plans, lambda each: each.current)[1] AS new_plan,
                   list_filter(plans, lambda each: NOT coalesce(each.current, false))[1]
                       AS old_plan
            FROM texts
        )
        SELECT event_id, event, kind, version,
               least(coalesce(created, event_at, received_at), received_at) AS occurred_at,
               received_at, inbox_id, raw::JSON AS raw, {plain},
               coalesce(whole_name, nullif(trim(concat_ws(' ', first_name, last_name)), ''))
                   AS name,
               coalesce({_dialled("phone")}, {_dialled("mobile")}, {_dialled("other")}) AS phone,
               CASE WHEN len(shares) = 1 AND upper(trim(
                        coalesce(shares[1].currency_value, shares[1].currency_code)
                    )) = upper(trim(listed.currency))
                    THEN TRY_CAST(shares[1].value AS DECIMAL(18, 2)) END AS net_value,
               coalesce(plan_id, old_plan.id) AS plan_id,
               coalesce(plan_name, old_plan.name) AS plan_name,
               coalesce(offer_code, old_plan.offer.key) AS offer_code,
               new_plan.id AS new_plan_id, new_plan.name AS new_plan_name,
               new_plan.offer.key AS new_offer_code,
               CASE WHEN upper(trim(currency)) SIMILAR TO '[A-Z]{{3}}' THEN upper(trim(currency))
                   END AS currency
        FROM listed
    """


_COMPOSED = {
    "created", "whole_name", "first_name", "last_name", "phone_code", "phone_number",
    "mobile_code", "mobile_number", "other_code", "other_number", "plan_id", "plan_name",
    "offer_code", "currency",
}  # fmt: skip
_SHARE = dict.fromkeys(("source", "value", "currency_value", "currency_code"), "VARCHAR")
_PLAN = {"id": "VARCHAR", "name": "VARCHAR", "current": "BOOLEAN", "offer": {"key": "VARCHAR"}}


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
    """The first readable value among the places of a field."""
    kind = _KIND_OF.get(name, "text")
    places = [f"t{_PATHS.index(path)}" for path in CELLS[name]]
    if kind in {"text", "code"}:
        return _READ[kind].format(text=f"coalesce({', '.join(places)})")
    read = [
        _instant(text) if kind == "instant" else _READ[kind].format(text=text) for text in places
    ]
    return f"coalesce({', '.join(read)})"


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
