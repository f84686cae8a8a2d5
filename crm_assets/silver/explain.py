"""Why these records are one person, and where each field of a person comes from.

Records that share a source and its id are one `reference`. Two references are joined by a key that
both carry, as far as its status lets it join, or by a steward's decision; the answer is the
shortest chain of references and keys (mdm.md 4.6). What a key may do is the engine's decision,
read from `silver.key_status`; what is told here is what one customer's own records say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from crm_assets.silver.findings import QUARANTINED
from crm_assets.silver.stewardship import KEY_NAMES, TOGETHER, Decision, decisions, in_force
from crm_assets.silver.survivorship import PINNED_PARTS
from crm_resources.warehouse import Transaction

Row = dict[str, Any]


@dataclass(frozen=True, order=True)
class Join:
    """What makes references one person: a key, or a decision.

    Attributes:
        rank: the stronger evidence first.
        kind: `source`, `decision`, `email`, `phone` or `household`.
        key: the key, the number of the decision, or the phone.
        name: first name, of a household's key.
    """

    rank: int
    kind: str
    key: str
    name: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "source":
                return f"mesmo id na fonte {self.key.partition(':')[0]}"
            case "decision":
                return f"decisão {self.key}"
            case "household":
                return f"telefone {self.key} e o nome {self.name}"
            case _:
                return f"{KEY_NAMES[self.kind]} {self.key}"


Reached = tuple[Join, str] | None
Path = tuple[tuple[Join | None, str], ...]
"""A chain: each reference with what joins it to the one before; the first has nothing before it."""


@dataclass(frozen=True)
class Profile:
    """All that the master knows of one customer.

    Attributes:
        customer_id: its live id.
        golden: its row of `silver.customers`; empty when the customers were not rebuilt since.
        records: its contact records, oldest first, with `ref`, `known_as`, `joined_by`,
            `valid_from`.
        why: chains from the first reference that together reach every other one.
        unexplained: references that no chain reaches.
        origins: per field its `value`, the winning `record`, its `source`, and the runner-up.
        history: what happened to its id and to the ids merged into it.
        unjoining: its keys that do not join everybody, with `kind`, `key`, `reason`, `records`.
        findings: what a person should look at.
        decisions: of stewards, in force, about it.
    """

    customer_id: str
    golden: Row = field(repr=False)
    records: Sequence[Row] = field(repr=False)
    why: Sequence[Path] = field(repr=False)
    unexplained: Sequence[str]
    origins: Sequence[Row] = field(repr=False)
    history: Sequence[Row]
    unjoining: Sequence[Row] = field(repr=False)
    findings: Sequence[Row] = field(repr=False)
    decisions: Sequence[Decision] = field(repr=False)


def joins(
    records: Iterable[Mapping[str, Any]],
    statuses: Mapping[tuple[str, str], str],
    held: Iterable[Decision] = (),
    *,
    by_phone: bool = True,
) -> dict[Join, list[str]]:
    """The references that each key and decision makes one person.

    Args:
        records: contact records, with `ref` and `known_as`, the first name folded.
        statuses: status by kind and key; keys that are not listed are personal.
        held: decisions in force.
        by_phone: whether phones join; not in a quarantined profile.

    Returns:
        Distinct references by join, in the order of the records; joins of one reference left out.
    """
    holders: dict[Join, dict[str, None]] = {}
    known: dict[str, None] = {}
    for record in records:
        known[record["ref"]] = None
        for join in _joins_of(record, statuses, by_phone=by_phone):
            holders.setdefault(join, {})[record["ref"]] = None
    for decision in held:
        if decision.kind == TOGETHER:
            join = Join(1, "decision", str(decision.id))
            holders[join] = {ref: None for ref in decision.records if ref in known}
    return {join: list(refs) for join, refs in sorted(holders.items()) if len(refs) > 1}


def reach(joined: Mapping[Join, Sequence[str]], start: str) -> dict[str, Reached]:
    """Every reference that is joined with `start`, by shortest chains.

    Of chains of one length, the one of stronger keys.

    Returns:
        By reference, nearest first, what joins it to the one before; None for `start` itself.
    """
    joins_of: dict[str, list[Join]] = {}
    for join in sorted(joined):
        for ref in joined[join]:
            joins_of.setdefault(ref, []).append(join)
    found: dict[str, Reached] = {start: None}
    crossed: set[Join] = set()
    queue = deque([start])
    while queue:
        ref = queue.popleft()
        for join in joins_of.get(ref, ()):
            if join not in crossed:
                crossed.add(join)
                new = [neighbour for neighbour in joined[join] if neighbour not in found]
                found |= dict.fromkeys(new, (join, ref))
                queue.extend(new)
    return found


def chain_to(found: Mapping[str, Reached], ref: str) -> Path:
    """The chain by which `reach` came to a reference."""
    chain: list[tuple[Join | None, str]] = []
    while (step := found[ref]) is not None:
        chain.append((step[0], ref))
        ref = step[1]
    return ((None, ref), *reversed(chain))


def leaves(found: Mapping[str, Reached]) -> list[Path]:
    """The chains that are no part of a longer one: together they show every reference."""
    inner = {step[1] for step in found.values() if step is not None}
    return [chain_to(found, ref) for ref, step in found.items() if step and ref not in inner]


def chain_text(path: Path) -> str:
    """A chain as a person reads it: `hotmart:1 —e-mail a@example.com→ manychat:2`."""
    return "".join(ref if join is None else f" —{join}→ {ref}" for join, ref in path)


def read_profile(tx: Transaction, customer_id: str) -> Profile:
    """Read and explain one live customer."""
    records = tx.read(_RECORDS, [customer_id]).to_dicts()
    refs = list(dict.fromkeys(record["ref"] for record in records))
    findings = tx.read(_FINDINGS, [customer_id]).to_dicts()
    log = tx.read("FROM bronze.crm_actions ORDER BY id").rename({"occurred_at": "at"})
    ids = set(tx.read(_IDS, [customer_id])["customer_id"])
    held = [d for d in in_force(decisions(log)) if _concerns(d, ids, refs, records)]
    keys = {record[f"{kind}_key"] for record in records for kind in KEY_NAMES} - {None}
    unjoining = tx.read(_UNJOINING, [sorted(keys)]).to_dicts()
    joined = joins(
        records,
        {(row["kind"], row["key"]): row["status"] for row in unjoining},
        held,
        by_phone=all(finding["finding"] != QUARANTINED for finding in findings),
    )
    found = reach(joined, refs[0]) if refs else {}
    golden = tx.read("FROM silver.customers WHERE customer_id = ?", [customer_id]).to_dicts()
    return Profile(
        customer_id,
        golden[0] if golden else {},
        records,
        leaves(found),
        [ref for ref in refs if ref not in found],
        _origins(tx.read(_LINEAGE, [customer_id]), records, golden),
        tx.read(_HISTORY, [customer_id]).to_dicts(),
        unjoining,
        findings,
        held,
    )


def _joins_of(
    record: Mapping[str, Any], statuses: Mapping[tuple[str, str], str], *, by_phone: bool
) -> Iterable[Join]:
    if record["source_key"] is not None:
        yield Join(0, "source", f"{record['source']}:{record['source_key']}")
    email, phone = record["email_key"], record["phone_key"]
    if email is not None and statuses.get(("email", email), "personal") == "personal":
        yield Join(2, "email", email)
    if phone is None or not by_phone:
        return
    match statuses.get(("phone", phone), "personal"):
        case "personal":
            yield Join(3, "phone", phone)
        case "household" if record["known_as"] is not None:
            yield Join(4, "household", phone, record["known_as"])


def _concerns(
    decision: Decision, ids: Collection[str], refs: Sequence[str], records: Sequence[Row]
) -> bool:
    named = {*decision.records, *decision.others}
    keys = {record[f"{kind}_key"] for record in records for kind in KEY_NAMES}
    return (
        decision.customer_id in ids
        or not named.isdisjoint(refs)
        or (decision.key is not None and decision.key in keys)
    )


def _origins(lineage: pl.DataFrame, records: Sequence[Row], golden: Sequence[Row]) -> list[Row]:
    """Where each field comes from; a winner that is no record of the person is told as it is."""
    by_id = {record["record_id"]: record for record in records}

    place = [part for part in PINNED_PARTS if part not in set(lineage["field"])]

    def value(name: str, record: Row) -> str | None:
        columns = place if name == "place" else [name]
        return ", ".join(str(record[c]) for c in columns if record.get(c) is not None) or None

    told = []
    for row in lineage.to_dicts():
        name, winner = row["field"], by_id.get(row["record_id"], {})
        second = by_id.get(row["runner_up"] or "", {})
        told.append(
            {
                "value": value(name, golden[0]) if golden else value(name, winner),
                "ref": winner.get("ref"),
                "source": winner.get("source"),
                "observed_at": winner.get("observed_at"),
                "runner_up_ref": second.get("ref"),
                "runner_up_value": value(name, second),
                **row,
            }
        )
    return told


_RECORDS = """
    SELECT records.*, records.source || ':' || records.source_id AS ref,
           lower(strip_accents(first_name)) AS known_as, xref.joined_by, xref.valid_from
    FROM silver.contact_records AS records JOIN silver.customer_xref AS xref USING (record_id)
    WHERE xref.valid_to IS NULL AND xref.customer_id = ?
    ORDER BY observed_at, record_id
"""
_IDS = "SELECT customer_id FROM silver.customer_ids WHERE survivor_id = ?"
_UNJOINING = """
    SELECT kind, key, status, reason, records FROM silver.key_status
    WHERE status <> 'personal' AND key IN (SELECT unnest(?::VARCHAR[])) ORDER BY kind, key
"""
_FINDINGS = """
    FROM silver.identity_findings WHERE list_contains(customer_ids, ?) ORDER BY finding, kind, key
"""
_LINEAGE = "FROM silver.customer_lineage WHERE customer_id = ? ORDER BY field"
_HISTORY = """
    FROM silver.customer_merges WHERE $1 IN (customer_id, survivor_id)
    ORDER BY occurred_at, event, customer_id
"""
