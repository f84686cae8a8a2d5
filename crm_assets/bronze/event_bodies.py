"""What stands in the inbox, one body at a time: is it an event, of which kind, and what is new.

Nothing here opens a store. A body is never an exception: it can be read, says nothing to us, or
cannot be read, and a sentence without any value of it tells why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import polars as pl

from crm_assets.bronze.hotmart_event_rows import (
    OF_SALES,
    STATUSES_OF_V1,
    is_test,
    kind_of,
    rows_sql,
)
from crm_assets.bronze.hotmart_rows import minimised
from crm_resources.ops import InboxEvent
from crm_resources.warehouse import Transaction

NOVELTY = "event_novelty"
"""Kind of the incident that tells of names which no document of the vendor knows."""

UNREADABLE_BODY = "o corpo não é JSON nem formulário que se possa ler"
BEYOND_RANGE = "o corpo é JSON, mas tem um número grande demais para ser lido"
TOO_DEEP = "o corpo tem listas ou objetos aninhados fundo demais para serem lidos"
WITHOUT_DATA = "o evento não traz data, onde a Hotmart diz o que aconteceu"
WITHOUT_SALE = "o evento de venda não traz a transação, e não se sabe de que venda fala"
NO_EVENT = "não é um evento: não é um objeto JSON"
UNKNOWN_EVENT = "evento que o programa não conhece"
TEST_BODY = "corpo de teste da Hotmart (produto 0)"
AHEAD_OF_TIME = "a data do evento está mais de um dia depois da chegada"

VERSIONS = frozenset({"1.0.0", "2.0.0"})
UNNAMED = "(nome fora do padrão)"
"""Stands for a name that may hold anything, and is not repeated."""

_FORM = "x-www-form-urlencoded"
_ITEMS = pl.Schema(
    dict.fromkeys(("event_id", "event", "kind", "version"), pl.String())
    | dict.fromkeys(("event_at", "received_at"), pl.Datetime("us", "UTC"))
    | {"inbox_id": pl.Int64(), "raw": pl.String()}
)
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


class UnreadableBody(ValueError):
    """A body that is no JSON and no form, or holds what cannot be read; the message says which."""


@dataclass(frozen=True)
class Body:
    """What a delivery says.

    Attributes:
        event: as it stands in the inbox.
        raw: the whole of it as JSON, without what may not be kept; None when it cannot be read.
        name: of the event, as sent.
        kind: canonical name; None when it says nothing to us.
        version: of the format.
        ignored: why nothing comes of it.
        failure: why it cannot be read.
        novelties: `(what, name)` of what no document of the vendor knows.
    """

    event: InboxEvent
    raw: str | None = None
    name: str | None = None
    kind: str | None = None
    version: str | None = None
    ignored: str | None = None
    failure: str | None = None
    novelties: tuple[tuple[str, str], ...] = ()


def read_body(event: InboxEvent) -> Body:
    """Read a delivery of Hotmart, of either version."""
    try:
        value = minimised(parsed(event))
        raw = as_json(value)
    except (UnreadableBody, RecursionError) as error:
        return Body(event, failure=failure_of(error))
    if not isinstance(value, dict):
        return Body(event, raw, ignored=NO_EVENT)
    is_flat = "data" not in value and "transaction" in value
    name = value.get("event") or event.event
    kind = kind_of(name)
    if is_flat and kind is None:
        name = value.get("status")
        kind = STATUSES_OF_V1.get(str(name).strip().lower())
    told = value.get("version")
    version = event.version or (told if isinstance(told, str) else None)
    name = name if isinstance(name, str) else None
    read = Body(event, raw, name, kind, version)
    novelties = tuple(_novelties(read, {} if is_flat else value))
    if kind is None:
        return Body(event, raw, name, None, version, UNKNOWN_EVENT, novelties=novelties)
    if is_test(value):
        return Body(event, raw, name, None, version, TEST_BODY)
    if not is_flat and not isinstance(value.get("data"), dict):
        return Body(event, raw, name, None, version, failure=WITHOUT_DATA)
    return Body(event, raw, name, kind, version, novelties=novelties)


def read_batch(tx: Transaction, events: Sequence[InboxEvent]) -> tuple[list[Body], pl.DataFrame]:
    """Read several deliveries of Hotmart.

    Returns:
        What each says, and the rows of `rows_sql` of those that can be read. An event of a sale
        that names none can not: whatever came of it would belong to nothing.
    """
    bodies = [read_body(event) for event in events]
    rows = tx.read(rows_sql(), items=items_of(bodies))
    names_none = (pl.col("kind").is_in(OF_SALES) & pl.col("transaction").is_null()).fill_null(False)
    saleless = set(rows.filter(names_none)["event_id"])
    told = [
        replace(body, failure=WITHOUT_SALE) if body.event.event_key in saleless else body
        for body in bodies
    ]
    return told, rows.filter(~names_none)


def items_of(bodies: Iterable[Body]) -> pl.DataFrame:
    """What `rows_sql` reads: one row per body that can be read."""
    return pl.DataFrame(
        [
            {
                "event_id": body.event.event_key,
                "event": body.name,
                "kind": body.kind,
                "version": body.version,
                "event_at": body.event.event_at,
                "received_at": body.event.received_at,
                "inbox_id": body.event.id,
                "raw": body.raw,
            }
            for body in bodies
            if body.failure is None
        ],
        schema=_ITEMS,
    )


def parsed(event: InboxEvent) -> Any:
    """The value that a body holds.

    Raises:
        UnreadableBody: it is neither JSON nor a form, or JSON with a number beyond all range.
        RecursionError: it is nested too deep.
    """
    try:
        return json.loads(event.body, parse_constant=_refuse)
    except json.JSONDecodeError:
        is_form = _FORM in (event.content_type or "") or (event.version or "").startswith("1.")
        fields = dict(parse_qsl(event.body, keep_blank_values=True)) if is_form else {}
        if not fields:
            raise UnreadableBody(UNREADABLE_BODY) from None
        return fields
    except ValueError:  # a whole number of thousands of digits
        raise UnreadableBody(BEYOND_RANGE) from None


def failure_of(error: UnreadableBody | RecursionError) -> str:
    """Why a body cannot be read, as it is told."""
    return str(error) if isinstance(error, UnreadableBody) else TOO_DEEP


def as_json(value: Any) -> str:
    """A value as JSON text; half an emoji, which no encoding can hold, becomes U+FFFD.

    Raises:
        UnreadableBody: it holds a number beyond all range.
        RecursionError: it is nested too deep.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise UnreadableBody(BEYOND_RANGE) from None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _novelties(body: Body, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if body.kind is None:
        yield "evento", _tellable(body.name or "(sem nome)")
    elif body.version is not None and body.version not in VERSIONS:
        yield "versão", _tellable(body.version)
    if body.kind is not None:
        yield from dict.fromkeys(("campo", _tellable(path)) for path in _unknown_fields(value))


def _tellable(name: object) -> str:
    """A name that may be shown to people: a value of a body never is."""
    text = str(name)
    return text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]{0,60}|\d+(\.\d+){0,2}", text) else UNNAMED


def _unknown_fields(body: Mapping[str, Any]) -> Iterator[str]:
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


def _refuse(word: str) -> NoReturn:
    """`NaN` and `Infinity` are no JSON."""
    raise json.JSONDecodeError("no JSON", word, 0)
