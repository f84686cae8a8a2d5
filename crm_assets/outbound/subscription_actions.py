"""Cancelling and reactivating subscriptions at Hotmart, each step of it in the action log.

The state is read first, and read back when an answer did not come, so that nothing is asked for
twice without knowing. Nothing here changes what silver says: that follows Hotmart's own word, the
event or the next reading (S3.99). No Dagster here.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import polars as pl

from crm_resources.hotmart.connection import Connection
from crm_resources.hotmart.statuses import HotmartError, Item
from crm_resources.hotmart.subscription_changes import (
    CANCEL,
    LONGEST_LIST,
    REACTIVATE,
    Answer,
    Verb,
    ask,
    current,
)
from crm_resources.ops import Action, OpsStore

Step = Literal["requested", "done", "refused", "unknown"]
Outcome = Literal["due", "done", "already", "pending", "refused", "unknown", "missing"]

LINK_LASTS = timedelta(days=3)
"""How long a subscriber may take to accept a reactivation (hotmart.md 5.6)."""

READ_BACK_SECONDS = (2.0, 5.0, 15.0)
"""Waits before each reading of a state whose change was not answered."""

_RUNNING = {"ACTIVE", "DELAYED", "STARTED"}
_OPTION = {CANCEL: "send_mail", REACTIVATE: "charge"}
_WORDS = {
    "SUBSCRIPTION_NOT_FOUND": "a Hotmart não conhece este assinante",
    "SUBSCRIPTION_OVERDUE": "terminou (fim de ciclo) e não pode ser reativada",
}
_UNREAD = "a Hotmart não respondeu e o estado não mudou até agora"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody wants done.

    Attributes:
        verb: `cancel` or `reactivate`.
        codes: subscriber codes, each once.
        option: a cancelled subscriber is mailed, or a reactivated one is charged at once.
        actor: who wants it.
        reason: why.
        at: when.
        owners: customer by code, as far as known.
        number: tells orders apart in the log.
    """

    verb: Verb
    codes: tuple[str, ...]
    option: bool
    actor: str
    reason: str
    at: datetime
    owners: Mapping[str, str] = field(default_factory=dict)
    number: str = field(default_factory=lambda: secrets.token_hex(6))


@dataclass(frozen=True)
class Result:
    """Where one subscription stands.

    Attributes:
        code: subscriber code.
        outcome: `due` is still to be asked for; `pending` waits for the subscriber.
        detail: what else there is to say.
    """

    code: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class Waiting:
    """A reactivation that its subscriber has not accepted yet.

    Attributes:
        order: number of the order that asked for it.
        asked_at: when.
        until: when the link ends.
    """

    order: str
    asked_at: datetime
    until: datetime


def kind_of(verb: Verb, step: Step) -> str:
    """Kind of the action that notes a step."""
    return f"subscription_{verb}_{step}"


def waiting(log: pl.DataFrame, now: datetime) -> dict[str, Waiting]:
    """The reactivations that wait for their subscriber, by code.

    Args:
        log: actions as `OpsStore.actions` gives them.
        now: the present.
    """
    kinds = {kind_of(REACTIVATE, step) for step in ("requested", "done", "refused")}
    found: dict[str, Waiting] = {}
    for action in log.filter(pl.col("kind").is_in(kinds)).sort("id").iter_rows(named=True):
        told = json.loads(action["payload"] or "{}")
        code = told.get("subscriber_code")
        if code is None:
            continue  # blanked by an erasure
        if action["kind"] != kind_of(REACTIVATE, "requested"):
            found.pop(code, None)
        elif action["at"] + LINK_LASTS > now:
            found[code] = Waiting(told["order"], action["at"], action["at"] + LINK_LASTS)
    return found


async def rehearse(client: Connection, order: Order, log: pl.DataFrame) -> list[Result]:
    """Where each subscription of an order stands now; nothing is asked for.

    Raises:
        HotmartError: a state could not be read.
    """
    items = await asyncio.gather(*(current(client, code) for code in order.codes))
    pending = waiting(log, order.at) if order.verb == REACTIVATE else {}
    return [
        _judged(order.verb, code, item, pending.get(code))
        for code, item in zip(order.codes, items, strict=True)
    ]


async def carry_out(
    client: Connection,
    ops: OpsStore,
    order: Order,
    *,
    waits: Sequence[float] = READ_BACK_SECONDS,
) -> list[Result]:
    """Ask for what is due, and tell what became of every subscription of the order.

    Args:
        client: of the account.
        ops: where each step is noted.
        order: what is wanted.
        waits: seconds before each reading back.

    Raises:
        HotmartError: a state could not be read; nothing was asked for.
    """
    log = ops.actions()
    results = {result.code: result for result in await rehearse(client, order, log)}
    _note_accepted(ops, order, log, results.values())
    due = [code for code, result in results.items() if result.outcome == "due"]
    for first in range(0, len(due), LONGEST_LIST):
        part = due[first : first + LONGEST_LIST]
        _note(ops, order, "requested", dict.fromkeys(part, ""))
        answers = await _asked(client, order, part, waits)
        for code, answer in answers.items():
            results[code] = _told(order.verb, code, answer)
        _note_answers(ops, order, [results[code] for code in part])
    return list(results.values())


async def settle(client: Connection, ops: OpsStore, now: datetime) -> dict[str, Waiting]:
    """The reactivations that still wait, after those that Hotmart shows active were noted as done.

    Raises:
        HotmartError: a state could not be read.
    """
    log = ops.actions()
    open_ones = waiting(log, now)
    order = Order(
        verb=REACTIVATE, codes=tuple(open_ones), option=False, actor="crm", reason="", at=now
    )
    results = await rehearse(client, order, log)
    _note_accepted(ops, order, log, results)
    return {r.code: open_ones[r.code] for r in results if r.outcome == "pending"}


async def _asked(
    client: Connection, order: Order, codes: Sequence[str], waits: Sequence[float]
) -> dict[str, Answer]:
    """The answers of one request; what was not answered is read back first.

    Only a cancellation is asked for a second time, and only where the state still says that it was
    not made: a reactivation shows nothing until its subscriber accepts.
    """
    try:
        answers = await ask(client, order.verb, codes, option=order.option)
    except HotmartError as error:
        return dict.fromkeys(codes, Answer("refused", str(error)))
    for again in (order.verb == CANCEL, False):
        unknown = [code for code, answer in answers.items() if answer.fate == "unknown"]
        if not unknown:
            break
        states = await asyncio.gather(
            *(_read_back(client, order.verb, code, waits) for code in unknown)
        )
        unmade = []
        for code, made in zip(unknown, states, strict=True):
            if made:
                answers[code] = Answer("already", "conferido na Hotmart")
            elif made is False:
                unmade.append(code)
        if again and unmade:
            try:
                answers |= await ask(client, order.verb, unmade, option=order.option)
            except HotmartError as error:
                answers |= dict.fromkeys(unmade, Answer("unknown", str(error)))
    return answers


async def _read_back(
    client: Connection, verb: Verb, code: str, waits: Sequence[float]
) -> bool | None:
    """Whether a change was made; None when the last reading failed."""
    made: bool | None = None
    for seconds in waits:
        await asyncio.sleep(seconds)
        try:
            item = await current(client, code)
        except HotmartError:
            made = None
            continue
        made = item is not None and (item["status"] in _RUNNING) == (verb == REACTIVATE)
        if made:
            break
    return made


def _judged(verb: Verb, code: str, item: Item | None, pending: Waiting | None) -> Result:
    """Where a subscription stands before anything is asked for."""
    if item is None:
        return Result(code, "missing", "nenhuma assinatura com este código")
    status = item.get("status")
    running = status in _RUNNING
    if running == (verb == REACTIVATE):
        return Result(code, "already", str(status))
    if verb == REACTIVATE and status == "OVERDUE":
        return Result(code, "refused", _WORDS["SUBSCRIPTION_OVERDUE"])
    if pending:
        return Result(code, "pending", f"pedida em {pending.asked_at:%d/%m/%Y}")
    return Result(code, "due", str(status))


def _told(verb: Verb, code: str, answer: Answer) -> Result:
    """Where a subscription stands after it was asked for."""
    detail = _WORDS.get(answer.reason, answer.reason)
    match answer.fate:
        case "accepted":
            return Result(code, "done" if verb == CANCEL else "pending")
        case "already":
            return Result(code, "done", detail)
        case "refused":
            return Result(code, "refused", detail)
    return Result(code, "unknown", _UNREAD)


def _note_accepted(
    ops: OpsStore, order: Order, log: pl.DataFrame, results: Iterable[Result]
) -> None:
    """Note the reactivations asked for earlier that Hotmart shows active now."""
    if order.verb != REACTIVATE:
        return
    open_ones = waiting(log, order.at)
    for result in results:
        if result.outcome == "already" and result.code in open_ones:
            asked = open_ones[result.code].order
            _note(ops, order, "done", {result.code: result.detail}, number=asked)


def _note_answers(ops: OpsStore, order: Order, results: Sequence[Result]) -> None:
    for step in ("done", "refused", "unknown"):
        told = {result.code: result.detail for result in results if result.outcome == step}
        _note(ops, order, step, told)


def _note(
    ops: OpsStore, order: Order, step: Step, told: Mapping[str, str], number: str | None = None
) -> None:
    kind, number = kind_of(order.verb, step), number or order.number
    ops.append_actions(
        [
            Action(
                kind=kind,
                idempotency_key=f"{kind}:{code}:{number}",
                customer_id=order.owners.get(code),
                payload={
                    "subscriber_code": code,
                    "order": number,
                    _OPTION[order.verb]: order.option,
                    **({"detail": detail} if detail else {}),
                },
                actor=order.actor,
                reason=order.reason or None,
                at=order.at,
            )
            for code, detail in told.items()
        ]
    )
