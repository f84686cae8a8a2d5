"""Decisions about people: made from names of people and records, checked, rehearsed and recorded.

What a decision says and what contradicts it is pure and stands in `silver.stewardship`; here it
meets the master and the action log. Nothing is written to the warehouse: a decision takes effect
in the next round.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from crm_assets.gold.people import (
    anchor_of,
    contact_keys,
    customers_of,
    known_refs,
    mates,
    members,
    refs_of,
)
from crm_assets.settings import Settings
from crm_assets.silver.identity import identify
from crm_assets.silver.pins import BadPin, pinned
from crm_assets.silver.stewardship import (
    ACCEPTED,
    APART,
    KEY_BLOCKED,
    KINDS,
    PIN,
    TOGETHER,
    UNDO,
    Decision,
    action_of,
    check,
    decisions,
    in_force,
    last_id,
    next_key,
    undo_of,
)
from crm_assets.tenants import Tenant
from crm_resources.ops import Action, OpsStore
from crm_resources.warehouse import Transaction


class Refused(RuntimeError):
    """A decision that cannot be taken; the message says why and names no personal data."""


@dataclass(frozen=True)
class Author:
    """Who decides, why and when.

    Attributes:
        actor: the person.
        reason: in words.
        at: aware.
    """

    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Effect:
    """What a decision would change.

    Attributes:
        events: event, id, and the id that answers for it afterwards, as `customer_merges` has them.
        moves: record reference, its customer before and after; None where it has none.
        sizes: by affected customer, its references before and after.
    """

    events: tuple[tuple[str, str, str | None], ...]
    moves: tuple[tuple[str, str | None, str | None], ...]
    sizes: Mapping[str, tuple[int, int]]


def merge(tx: Transaction, log: pl.DataFrame, names: Sequence[str]) -> list[Decision]:
    """These people are one.

    Args:
        tx: the master.
        log: the whole action log.
        names: customers, each by id, e-mail or phone, or records.

    Raises:
        Refused: nobody or several people are meant, or they are one already.
        Contradiction: somebody keeps them apart.
    """
    chosen = [_place(tx, name) for name in names]
    customers = list(dict.fromkeys(customer for customer, _ in chosen))
    if len(customers) < 2:
        raise Refused("Já são um cliente só: nada a unir.")
    refs = [ref or anchor_of(tx, customer) for customer, ref in chosen]
    new = Decision(TOGETHER, records=tuple(dict.fromkeys(refs)))
    check(new, in_force(decisions(log)), members(tx, customers))
    return [new]


def split(tx: Transaction, log: pl.DataFrame, name: str, records: Sequence[str]) -> list[Decision]:
    """These records leave their customer, and stay one person if they are several.

    Raises:
        Refused: they are not records of one customer, are all of it, or are a part of what one id
            of a source holds together.
        Contradiction: a decision holds them with the others.
    """
    customer = _customer(tx, name)
    own = refs_of(tx, customer)
    leaving: dict[str, None] = {}
    for written, refs in known_refs(tx, records).items():
        if not refs:
            raise Refused(f"Não existe o registro {written}.")
        for ref in refs:
            if ref not in own:
                raise Refused(f"{written} não é um registro de {customer}.")
            if written != ref and (others := mates(tx, ref) - 1):
                raise Refused(
                    f"{written} não sai sozinho: a fonte diz que ele e outros {others} são de uma "
                    f"pessoa só; para separar todos, use --record {ref}."
                )
            leaving[ref] = None
    staying = tuple(ref for ref in own if ref not in leaving)
    if not staying:
        raise Refused(f"São todos os registros de {customer}: não sobraria de quem separar.")
    held = in_force(decisions(log))
    apart = Decision(APART, records=tuple(leaving), others=staying)
    check(apart, held)
    together = Decision(TOGETHER, records=tuple(leaving))
    if len(leaving) == 1 or any(decision.content == together.content for decision in held):
        return [apart]
    check(together, [*held, apart])
    return [apart, together]


def keep_apart(tx: Transaction, log: pl.DataFrame, one: str, other: str) -> list[Decision]:
    """These two people are never one, whatever they share.

    Raises:
        Refused: nobody or several people are meant, or they are one today.
        Contradiction: a decision says that they are one.
    """
    sides = []
    for name in (one, other):
        customer, ref = _place(tx, name)
        sides.append((customer, (ref,) if ref else tuple(refs_of(tx, customer))))
    (first, records), (second, others) = sides
    if first == second:
        raise Refused(f"Hoje são um cliente só ({first}): separe-os com `crm customers split`.")
    new = Decision(APART, records=records, others=others)
    check(new, in_force(decisions(log)))
    return [new]


def block_key(log: pl.DataFrame, text: str) -> list[Decision]:
    """This e-mail or phone joins nobody.

    Raises:
        Refused: the text is neither.
        Contradiction: it is blocked already.
    """
    email, phone = contact_keys(text.strip())
    if email is None and phone is None:
        raise Refused("--key precisa ser um e-mail ou um telefone que sirva de chave.")
    new = Decision(KEY_BLOCKED, key_kind="email" if email else "phone", key=email or phone)
    check(new, in_force(decisions(log)))
    return [new]


def pin(tx: Transaction, log: pl.DataFrame, name: str, field: str, text: str) -> list[Decision]:
    """This field of this person has this value, whatever the sources say.

    Raises:
        Refused: nobody or several people are meant, or the value does not fit.
        Contradiction: it is pinned to that value already.
    """
    customer = _customer(tx, name)
    try:
        column, columns = pinned(field, text)
    except BadPin as bad:
        raise Refused(str(bad)) from None
    new = Decision(PIN, customer_id=customer, field=column, value=columns[column], columns=columns)
    check(new, in_force(decisions(log)))
    return [new]


def pinned_now(tx: Transaction, pin: Decision) -> str:
    """What the field of a pin holds today, in words."""
    sql = f"SELECT {pin.field} FROM silver.customers WHERE customer_id = ?"
    return str(tx.scalar(sql, [pin.customer_id]) or "vazio")


def actions_of(log: pl.DataFrame, taken: Sequence[Decision], author: Author) -> list[Action]:
    """The actions of decisions that are taken together, the first one leading."""
    key = next_key(log)
    return [
        action_of(
            decision,
            f"{key}:{number}" if number else key,
            actor=author.actor,
            reason=author.reason,
            at=author.at,
        )
        for number, decision in enumerate(taken)
    ]


def record(ops: OpsStore, log: pl.DataFrame, taken: Sequence[Decision], author: Author) -> int:
    """Write decisions that are taken together; the number of the first, which undoes them all.

    Raises:
        Refused: somebody else decided since the log was read.
    """
    key = next_key(log)
    if not ops.append_actions(actions_of(log, taken[:1], author)):
        raise Refused("Outra pessoa acaba de decidir algo: confira com `crm customers list`.")
    newer = ops.actions(after_id=last_id(log))
    number = int(newer.filter(pl.col("idempotency_key") == key)["id"][0])
    parts = [replace(decision, part_of=number) for decision in taken]
    ops.append_actions(actions_of(log, parts, author)[1:])
    return number


def undoing(log: pl.DataFrame, number: int, author: Author) -> list[Action]:
    """The actions that take a decision back, with those taken together with it.

    Raises:
        Refused: there is no such decision, or it does not hold any more.
    """
    taken = decisions(log)
    found = next((decision for decision in taken if decision.id == number), None)
    if found is None:
        raise Refused(f"Não existe a decisão {number}: veja `crm customers list`.")
    if found.undone:
        raise Refused(f"A decisão {number} já foi desfeita.")
    if found.part_of:
        raise Refused(f"A decisão {number} é parte da {found.part_of}: desfaça a {found.part_of}.")
    numbers = [number, *(part.id for part in taken if part.part_of == number and part.id)]
    return [
        undo_of(each, actor=author.actor, reason=author.reason, at=author.at) for each in numbers
    ]


def pins_undone(log: pl.DataFrame, number: int) -> list[Decision]:
    """The pins that go when a decision is taken back, as far as they still say anything."""
    return [
        one
        for one in decisions(log)
        if one.kind == PIN and not one.is_erased and number in (one.id, one.part_of)
    ]


def acceptance(log: pl.DataFrame, author: Author) -> Action:
    """The action that lets the next round merge as many customers as it finds."""
    return Action(
        kind=ACCEPTED,
        idempotency_key=f"{ACCEPTED}:{last_id(log)}",
        actor=author.actor,
        reason=author.reason,
        at=author.at,
    )


def rehearse(
    tx: Transaction,
    settings: Settings,
    tenant: Tenant,
    log: pl.DataFrame,
    actions: Sequence[Action],
) -> Effect:
    """What the next round would change because of these actions, and of nothing else.

    Decisions that the last round did not know yet are applied before, so that they are not told
    as effects of these.

    Args:
        tx: a transaction that will be rolled back.
        settings: the clock.
        tenant: its guards.
        log: the whole action log, as the store gives it.
        actions: what would be appended to it.
    """
    known = tx.scalar("SELECT coalesce(max(id), 0) FROM bronze.crm_actions")
    waiting = log.filter(pl.col("id") > known, pl.col("kind").is_in([*KINDS, UNDO]))
    if len(waiting):
        tx.append("bronze.crm_actions", waiting.rename({"at": "occurred_at"}))
    identify(tx, tenant.identity, settings.now())
    tx.execute(_BEFORE)
    logged = tx.count("silver.customer_merges")
    first_id = max(known, last_id(log)) + 1
    tx.append("bronze.crm_actions", _rows(actions, first_id))
    identify(tx, tenant.identity, settings.now())
    tx.execute(_DIFFERENCE)
    return Effect(
        tuple(tx.read(f"{_EVENTS} OFFSET {logged}").rows()),
        tuple(tx.read(_MOVES).rows()),
        {customer: (before, after) for customer, before, after in tx.read(_SIZES).rows()},
    )


def _customer(tx: Transaction, name: str) -> str:
    found = customers_of(tx, name)
    if not found:
        raise Refused(f"Não existe cliente com {_shown(name)}.")
    if len(found) > 1:
        raise Refused(
            f"{len(found)} clientes têm {_shown(name)}: diga qual ({', '.join(found[:5])})."
        )
    return found[0]


def _place(tx: Transaction, name: str) -> tuple[str, str | None]:
    """Whom a name means, and the record when it names one."""
    customer = _customer(tx, name)
    refs = known_refs(tx, [name])[name]
    return customer, refs[0] if refs else None


def _shown(name: str) -> str:
    """A name as a message may repeat it: ids, never an e-mail or a phone."""
    if "@" in name:
        return "este e-mail"
    return name if ":" in name or name.startswith("cus_") else "este telefone"


def _rows(actions: Sequence[Action], first_id: int) -> pl.DataFrame:
    """Actions as rows of `bronze.crm_actions`."""
    return pl.DataFrame(
        [
            {
                "id": first_id + number,
                "kind": action.kind,
                "idempotency_key": action.idempotency_key,
                "customer_id": action.customer_id,
                "email_key": action.email_key,
                "phone_key": action.phone_key,
                "payload": json.dumps(action.payload),
                "actor": action.actor,
                "reason": action.reason,
                "occurred_at": action.at,
            }
            for number, action in enumerate(actions)
        ],
        schema_overrides=dict.fromkeys(("customer_id", "email_key", "phone_key"), pl.String),
    )


_BEFORE = """
    CREATE OR REPLACE TEMP TABLE rehearsed_from AS
    SELECT record_id, customer_id FROM silver.customer_xref WHERE valid_to IS NULL
"""
_DIFFERENCE = """
    CREATE OR REPLACE TEMP TABLE rehearsed AS
    SELECT record_id, held.customer_id AS before, now.customer_id AS after
    FROM rehearsed_from AS held
    FULL JOIN (FROM silver.customer_xref WHERE valid_to IS NULL) AS now USING (record_id)
"""
_EVENTS = "SELECT event, customer_id, survivor_id FROM silver.customer_merges"
_MOVES = """
    SELECT DISTINCT source || ':' || source_id AS ref, before, after
    FROM rehearsed JOIN silver.contact_records USING (record_id)
    WHERE before IS DISTINCT FROM after ORDER BY ALL
"""
_SIZES = """
    WITH sides AS (
        SELECT record_id, before AS customer_id, true AS is_before FROM rehearsed
        UNION ALL SELECT record_id, after, false FROM rehearsed
    ), changed AS (FROM rehearsed WHERE before IS DISTINCT FROM after)
    SELECT customer_id,
           count(DISTINCT source || ':' || source_id) FILTER (is_before),
           count(DISTINCT source || ':' || source_id) FILTER (NOT is_before)
    FROM sides JOIN silver.contact_records USING (record_id)
    WHERE customer_id IN (SELECT before FROM changed UNION ALL SELECT after FROM changed)
    GROUP BY customer_id ORDER BY customer_id
"""
