"""What people decided about who is who: reading the decisions, and refusing what contradicts them.

A decision is an action of the log. It names records as `source:source_id`, which outlives every
import, and holds until somebody takes it back (mdm.md 4.4, steward rules). Decisions of one log
never contradict one another unless two were written at the same moment by hands that do not use
`next_key`; the engine then ignores the later one and lists it. Everything here is pure.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import polars as pl

from crm_assets.words import FIELD_NAMES
from crm_resources.ops import Action

TOGETHER = "identity_together"
APART = "identity_apart"
KEY_BLOCKED = "identity_key_blocked"
PIN = "identity_pin"
UNDO = "steward_undo"
ACCEPTED = "identity_accepted"
"""Somebody looked at the merges that the run guard stopped, and wants them."""

NOT_TAKEN_BACK = f"""
    NOT EXISTS (
        SELECT 1 FROM bronze.crm_actions AS undo
        WHERE undo.kind = '{UNDO}' AND (undo.payload->>'action')::BIGINT = taken.id
    )
"""
"""SQL that is true for a row `taken` of `bronze.crm_actions` that no later action takes back."""

KINDS = (TOGETHER, APART, KEY_BLOCKED, PIN)
"""Decisions that hold until they are taken back."""


class Contradiction(RuntimeError):
    """A decision that cannot hold beside those in force; the message names the cycle."""


@dataclass(frozen=True)
class Decision:
    """One decision of a steward.

    Attributes:
        kind: one of `KINDS`.
        records: references of the records that it speaks of.
        others: the records that `records` are kept apart from.
        key_kind: `email` or `phone`, of the key that joins nobody.
        key: that key.
        customer_id: whose field is pinned.
        field: which field.
        value: its value, and the columns that come with it, by name.
        part_of: the decision that this one was taken with.
        id: its number in the log; None before it is written.
        actor: who took it.
        reason: why.
        at: when.
        undone: whether it was taken back.
    """

    kind: str
    records: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    key_kind: str | None = None
    key: str | None = None
    customer_id: str | None = None
    field: str | None = None
    value: str | None = None
    columns: Mapping[str, str] | None = None
    part_of: int | None = None
    id: int | None = None
    actor: str | None = None
    reason: str | None = None
    at: datetime | None = None
    undone: bool = False

    @property
    def content(self) -> tuple[object, ...]:
        """What it says, whoever says it; equal for two ways of writing the same."""
        sides = sorted([sorted(self.records), sorted(self.others)])
        pinned = (self.customer_id, self.field, self.value)
        return (self.kind, str(sides), self.key_kind, self.key, *pinned)

    @property
    def is_erased(self) -> bool:
        """Whether the erasure of a person took away what it spoke of."""
        match self.kind:
            case "identity_together":
                return len(self.records) < 2
            case "identity_apart":
                return not (self.records and self.others)
            case "identity_key_blocked":
                return self.key is None
            case _:
                return self.value is None

    def told(self) -> str:
        """The decision in a few words of Portuguese."""
        match self.kind:
            case _ if self.is_erased:
                return "apagada com os dados da pessoa"
            case "identity_together":
                return f"são uma pessoa só: {_listed(self.records, ' = ')}"
            case "identity_apart":
                sides = f"{_listed(self.records, ', ')} ≠ {_listed(self.others, ', ')}"
                return f"não são a mesma pessoa: {sides}"
            case "identity_key_blocked":
                return f"não une ninguém: {KEY_NAMES[self.key_kind or '']} {self.key}"
            case _:
                named = FIELD_NAMES.get(self.field or "", self.field)
                return f"{named} de {self.customer_id} = {self.value}"


KEY_NAMES = {"email": "e-mail", "phone": "telefone"}


def decisions(log: pl.DataFrame) -> list[Decision]:
    """Every decision of an action log, in its order, with those taken back marked.

    Args:
        log: actions as `OpsStore.actions` gives them.
    """
    rows = log.filter(pl.col("kind").is_in([*KINDS, UNDO])).to_dicts()
    payloads = [json.loads(row["payload"] or "{}") for row in rows]
    undone = {
        payload.get("action")
        for row, payload in zip(rows, payloads, strict=True)
        if row["kind"] == UNDO
    }
    return [
        _decision(row, payload, undone=row["id"] in undone)
        for row, payload in zip(rows, payloads, strict=True)
        if row["kind"] != UNDO
    ]


def in_force(taken: Iterable[Decision]) -> list[Decision]:
    """Those neither taken back nor erased; of the pins of one field the newest."""
    held = [decision for decision in taken if not decision.undone and not decision.is_erased]
    newest = {(d.customer_id, d.field): d.id for d in held if d.kind == PIN}
    return [d for d in held if d.kind != PIN or newest[d.customer_id, d.field] == d.id]


def next_key(log: pl.DataFrame) -> str:
    """The idempotency key of the next decision after this log.

    Two decisions taken on the same state of the log get the same key, so that the second is not
    written and its author looks again: what was not checked against each other never stands there.
    """
    return f"steward:{last_id(log.filter(pl.col('kind').is_in([*KINDS, UNDO])))}"


def last_id(log: pl.DataFrame) -> int:
    """The number of the newest action of a log, 0 without any."""
    newest: int | None = log.select(pl.col("id").max()).item()
    return newest or 0


def action_of(decision: Decision, key: str, *, actor: str, reason: str, at: datetime) -> Action:
    """The action that records a decision.

    Args:
        decision: what was decided.
        key: see `next_key`.
        actor: who.
        reason: why.
        at: when, aware.
    """
    payload: dict[str, object] = {
        name: value
        for name, value in (
            ("records", list(decision.records)),
            ("others", list(decision.others)),
            ("field", decision.field),
            ("value", decision.value),
            ("columns", dict(decision.columns or {})),
            ("part_of", decision.part_of),
        )
        if value
    }
    return Action(
        kind=decision.kind,
        idempotency_key=key,
        customer_id=decision.customer_id,
        email_key=decision.key if decision.key_kind == "email" else None,
        phone_key=decision.key if decision.key_kind == "phone" else None,
        payload=payload or None,
        actor=actor,
        reason=reason,
        at=at,
    )


def undo_of(decision_id: int, *, actor: str, reason: str, at: datetime) -> Action:
    """The action that takes a decision back; taking it back twice is once."""
    return Action(
        kind=UNDO,
        idempotency_key=f"{UNDO}:{decision_id}",
        payload={"action": decision_id},
        actor=actor,
        reason=reason,
        at=at,
    )


def check(new: Decision, held: Sequence[Decision], people: Mapping[str, str] | None = None) -> None:
    """Refuse a decision that says what is decided already, or its contrary.

    Joining records joins whole people, so that it also contradicts what keeps apart any two of
    their records; `people` says who is one today. Separating records goes against today's people
    on purpose, and contradicts only what was decided.

    Args:
        new: the decision.
        held: those in force.
        people: customer by reference, of the customers that `new` joins.

    Raises:
        Contradiction: the message names the decision, or the cycle.
    """
    for decision in held:
        if decision.content == new.content:
            raise Contradiction(f"Isso já está decidido: é a decisão {decision.id}.")
    rules = [*held, new]
    links = [set(d.records) for d in rules if d.kind == TOGETHER]
    if new.kind == TOGETHER:
        links += _members(people or {})
    for decision in rules:
        if decision.kind == APART and (path := _path(decision.records, decision.others, links)):
            raise Contradiction(
                f"Contradição: {' = '.join(path)} ≠ {path[0]}{_numbers(decision, path, rules)}; "
                "desfaça uma das decisões com `crm customers undo` ou nomeie outros registros."
            )


def _decision(row: Mapping[str, Any], payload: Mapping[str, Any], *, undone: bool) -> Decision:
    key_kind = next((kind for kind in KEY_NAMES if row[f"{kind}_key"] is not None), None)
    return Decision(
        kind=row["kind"],
        records=tuple(payload.get("records", ())),
        others=tuple(payload.get("others", ())),
        key_kind=key_kind,
        key=row[f"{key_kind}_key"] if key_kind else None,
        customer_id=row["customer_id"],
        field=payload.get("field"),
        value=payload.get("value"),
        columns=payload.get("columns"),
        part_of=payload.get("part_of"),
        id=row["id"],
        actor=row["actor"],
        reason=row["reason"],
        at=row["at"],
        undone=undone,
    )


def _members(people: Mapping[str, str]) -> list[set[str]]:
    members: dict[str, set[str]] = {}
    for record, customer in people.items():
        members.setdefault(customer, set()).add(record)
    return list(members.values())


def _numbers(apart: Decision, path: Sequence[str], rules: Sequence[Decision]) -> str:
    """The decisions, taken before, that a contradiction comes from."""
    joining = [
        decision
        for decision in rules
        if decision.kind == TOGETHER
        and any(set(step) <= set(decision.records) for step in pairwise(path))
    ]
    taken = sorted(decision.id for decision in (apart, *joining) if decision.id)
    if not taken:
        return ""
    *first, last = map(str, taken)
    return f" (decisões {', '.join(first)} e {last})" if first else f" (decisão {last})"


def _path(
    starts: Iterable[str], ends: Iterable[str], links: Sequence[set[str]]
) -> list[str] | None:
    """The shortest chain of records from one side to the other; each link is a set of one."""
    came_from: dict[str, str | None] = dict.fromkeys(starts)
    goals, queue, unused = set(ends), deque(came_from), list(links)
    while queue:
        record = queue.popleft()
        if record in goals:
            path = [record]
            while (before := came_from[path[-1]]) is not None:
                path.append(before)
            return path[::-1]
        crossed = [link for link in unused if record in link]
        unused = [link for link in unused if record not in link]
        for neighbour in sorted(set().union(*crossed) - came_from.keys()):
            came_from[neighbour] = record
            queue.append(neighbour)
    return None


def _listed(records: Sequence[str], separator: str, most: int = 5) -> str:
    rest = f" e mais {len(records) - most}" if len(records) > most else ""
    return separator.join(records[:most]) + rest
