"""Asking Hotmart to cancel or to reactivate subscriptions (hotmart.md 5.5, 5.6).

One request, and what it says of each subscription. Whether a request is due, and what follows from
an answer that did not come, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from crm_resources.hotmart.connection import Connection
from crm_resources.hotmart.statuses import (
    SUBSCRIPTIONS,
    Item,
    RefusedError,
    UnansweredError,
)

PATH = SUBSCRIPTIONS.path
ALREADY_CANCELLED = "SUBSCRIPTION_ALREADY_CANCELED_OR_OVERDUE"
ALREADY_ACTIVE = "SUBSCRIPTION_ALREADY_ACTIVE"
LONGEST_LIST = 50
"""Codes in one request; the vendor states no limit."""

Verb = Literal["cancel", "reactivate"]
CANCEL: Verb = "cancel"
REACTIVATE: Verb = "reactivate"
Fate = Literal["accepted", "already", "refused", "unknown"]

_ALREADY: Mapping[Verb, str] = {CANCEL: ALREADY_CANCELLED, REACTIVATE: ALREADY_ACTIVE}
_OPTION: Mapping[Verb, str] = {CANCEL: "send_mail", REACTIVATE: "charge"}


@dataclass(frozen=True)
class Answer:
    """What became of one subscription in a request.

    Attributes:
        fate: `accepted`, it was `already` so, it was `refused`, or nobody knows.
        reason: the vendor's word, or a sentence; empty where there is nothing to say.
    """

    fate: Fate
    reason: str = ""


async def current(client: Connection, code: str) -> Item | None:
    """The newest subscription of a subscriber code as it is now; None when there is none.

    Raises:
        HotmartError: no answer; see the subclasses.
    """
    tomorrow = int(datetime.now(UTC).timestamp() * 1000) + 86_400_000
    page = await client.page(
        PATH,
        [
            ("subscriber_code", code),
            ("accession_date", 0),
            ("end_accession_date", tomorrow),
            ("max_results", 50),
            *(("status", status) for status in SUBSCRIPTIONS.statuses),
        ],
        f"{SUBSCRIPTIONS.name} de um assinante",
    )
    mine = (item for item in page["items"] if item.get("subscriber_code") == code)
    return max(mine, key=lambda item: item.get("accession_date") or 0, default=None)


async def ask(
    client: Connection, verb: Verb, codes: Sequence[str], *, option: bool
) -> dict[str, Answer]:
    """Ask for one change of up to `LONGEST_LIST` subscriptions, once.

    Args:
        client: of the account.
        verb: what is asked for.
        codes: subscriber codes, each once.
        option: whether a cancelled subscriber is mailed, or a reactivated one charged at once.

    Returns:
        What became of each code.

    Raises:
        HotmartError: the whole request was turned away and nothing was done.
    """
    wanted: dict[str, object] = {_OPTION[verb]: option}
    path = f"{PATH}/{verb}"
    if len(codes) == 1:
        path = f"{PATH}/{codes[0]}/{verb}"
    else:
        wanted["subscriber_code"] = list(codes)
    try:
        body = await client.post(path, wanted, f"subscriptions/{verb}")
    except UnansweredError as error:
        return dict.fromkeys(codes, Answer("unknown", str(error)))
    except RefusedError as error:
        if len(codes) > 1 or not error.code:
            raise
        return {codes[0]: _failure(verb, error.code)}
    if len(codes) == 1:
        return {codes[0]: Answer("accepted")}
    return _answers(verb, codes, body)


def _answers(verb: Verb, codes: Sequence[str], body: Mapping[str, Any]) -> dict[str, Answer]:
    """What two lists say of each code; either list may be missing, and so may a code."""
    told: dict[str, Answer] = {}
    for item in _objects(body.get("success_subscriptions")):
        told[item.get("subscriber_code", "")] = Answer("accepted")
    for item in _objects(body.get("fail_subscriptions")):
        told[item.get("subscriber_code", "")] = _failure(verb, str(item.get("error") or ""))
    unknown = Answer("unknown", "a Hotmart respondeu sem dizer nada desta assinatura")
    return {code: told.get(code, unknown) for code in codes}


def _failure(verb: Verb, word: str) -> Answer:
    return Answer("already", word) if word == _ALREADY[verb] else Answer("refused", word)


def _objects(value: object) -> list[Item]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
