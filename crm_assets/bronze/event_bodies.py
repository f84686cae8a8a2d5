"""What stands in the inbox, one body at a time: is it an event, of which kind, and what is new.

Nothing here opens a store. A body is never an exception: it can be read, says nothing to us, or
cannot be read, and a sentence without any value of it tells why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from crm_assets.bronze.hotmart_event_rows import (
    STATUSES_OF_V1,
    VERSIONS,
    is_test,
    kind_of,
    tellable,
    unknown_fields,
)
from crm_assets.bronze.hotmart_rows import minimised
from crm_resources.ops import InboxEvent

NOVELTY = "event_novelty"
"""Kind of the incident that tells of names which no document of the vendor knows."""

UNREADABLE_BODY = "o corpo não é JSON nem formulário que se possa ler"
WITHOUT_DATA = "o evento não traz data, onde a Hotmart diz o que aconteceu"
NO_EVENT = "não é um evento: não é um objeto JSON"
UNKNOWN_EVENT = "evento que o programa não conhece"
TEST_BODY = "corpo de teste da Hotmart (produto 0)"

_FORM = "x-www-form-urlencoded"


class UnreadableBody(ValueError):
    """A body that is no JSON and no form."""


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
    except UnreadableBody:
        return Body(event, failure=UNREADABLE_BODY)
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


def parsed(event: InboxEvent) -> Any:
    """The value that a body holds.

    Raises:
        UnreadableBody: it is neither JSON nor a form.
    """
    try:
        return json.loads(event.body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        is_form = _FORM in (event.content_type or "") or (event.version or "").startswith("1.")
        fields = dict(parse_qsl(event.body, keep_blank_values=True)) if is_form else {}
        if not fields:
            raise UnreadableBody from None
        return fields


def as_json(value: Any) -> str:
    """A value as JSON text; half an emoji, which no encoding can hold, becomes U+FFFD.

    Raises:
        UnreadableBody: it holds a number that JSON has not.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise UnreadableBody from None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _novelties(body: Body, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if body.kind is None:
        yield "evento", tellable(body.name or "(sem nome)")
    elif body.version is not None and body.version not in VERSIONS:
        yield "versão", tellable(body.version)
    if body.kind is not None:
        yield from dict.fromkeys(("campo", tellable(path)) for path in unknown_fields(value))


def _refuse(_: str) -> NoReturn:
    raise ValueError
