"""What was posted to us, without the people in it: the facts of a sale stay. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

_SOMEBODY = {"buyer", "subscriber", "user", "shopper", "address", "delivery"}
"""Parts of an event that tell of its person; only a subscriber's code is of the subscription."""

_OF_SOMEBODY = re.compile(r"email|name|first_name|last_name|doc|doc_type|(phone|address).*")
"""The same as fields of the old, flat format."""

_FISCAL = {"event", "data", "product", "purchase", "subscription", "transaction"}
"""An event that has none of these is a contact, of which nothing stays."""


def facts_of(posted: Any) -> str:
    """The value of a body as JSON text, without the parts that tell of a person."""
    if not isinstance(posted, dict) or not _FISCAL & posted.keys():
        return "{}"
    left = json.dumps(_unpeopled(posted, is_flat="data" not in posted), ensure_ascii=False)
    return left.encode("utf-8", "replace").decode()


def facts_of_body(body: str) -> str:
    """The same of a body as it was posted; of one that is no JSON nothing stays."""
    try:
        return facts_of(json.loads(body))
    except (ValueError, RecursionError):
        return "{}"


def _unpeopled(value: Any, *, is_flat: bool = False) -> Any:
    """A value of JSON without the parts that tell of a person."""
    if isinstance(value, list):
        return [_unpeopled(one) for one in value]
    if not isinstance(value, dict):
        return value
    subscriber = value.get("subscriber")
    kept = {
        key: _unpeopled(one)
        for key, one in value.items()
        if key not in _SOMEBODY and not (is_flat and _OF_SOMEBODY.fullmatch(key))
    }
    if isinstance(subscriber, dict) and "code" in subscriber:
        kept["subscriber"] = {"code": subscriber["code"]}
    return kept
