"""Readmission: whoever was erased and wants to be known again is, from the next reading on.

The tombstones of the person are lifted, those over past sales stay: what was erased does not come
back with a reading of an old month, nor from a backup of before (see `since`). A tombstone does not
say whose it is, but all of one erasure were written at one moment, so that any identifier of the
person finds them all. No Dagster here.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from crm_assets.privacy.erasure import pending
from crm_assets.privacy.identifiers import read
from crm_assets.privacy.scrub import mark, marked
from crm_assets.privacy.tombstones import KEY_MARK, Tombstones, tags_of, tombstones_of
from crm_assets.resources import warehouse_of
from crm_assets.safekeeping.alone import safekeeping
from crm_assets.steps import Site
from crm_resources.ops import Action
from crm_resources.ops.tombstones import Row

READMITTED = "customer_readmitted"
"""Kind of the action that says which tombstones were lifted."""

PURPOSE = "crm customers readmit"

_STAYS = {KEY_MARK, "sale"}


class ReadmissionError(RuntimeError):
    """Nobody was readmitted; the message says why."""


@dataclass(frozen=True)
class Buried:
    """The tombstones of somebody who was erased.

    Attributes:
        tombstones: rows of the store, without those that stay.
        erasures: how many erasures wrote them.
    """

    tombstones: tuple[Row, ...] = field(repr=False)
    erasures: int


def find_buried(site: Site, said: Mapping[str, str], reason: str = "") -> Buried:
    """The tombstones of the person whom some identifiers mean.

    Args:
        site: the tenant.
        said: value by kind (`email`, `phone`, `document`), in any writing.
        reason: why, which may not cite them.

    Raises:
        KeyUnusable: the key of the tombstones is missing or another one.
        ReadmissionError: a value is none of its kind, the reason cites one, or nobody is found.
    """
    ops = site.ops_store()
    standing = tombstones_of(site.settings, site.tenant, ops)
    values = [
        (kind, value)
        for kind, text in said.items()
        for value in read(kind, pl.Series([text], dtype=pl.String))["value"]
    ]
    if {kind for kind, _ in values} != said.keys():
        raise ReadmissionError("Um dos dados não é e-mail, telefone ou documento: confira-os.")
    if Tombstones(standing.key).over(values).of_texts(pl.Series([reason])).any():
        raise ReadmissionError("--reason cita um dado da pessoa, e fica guardado: tire-o dali.")
    rows = ops.tombstones_beside(tags_of(standing.key, values))
    if not rows:
        raise ReadmissionError(
            "Nenhum apagamento em vigor é de quem tem este e-mail, telefone ou documento; tente "
            "outro dado que a pessoa tinha então."
        )
    lifted = tuple(row for row in rows if row["kind"] not in _STAYS)
    return Buried(lifted, len({row["at"] for row in rows}))


def readmit(site: Site, said: Mapping[str, str], *, actor: str, reason: str) -> Buried:
    """Lift the tombstones of a person and note it in the action log, by the tombstones alone.

    Raises:
        Busy: a backup, a restore or an erasure works.
        KeyUnusable, ReadmissionError: see `find_buried`; or an erasure has not ended.
    """
    ops = site.ops_store()
    with safekeeping(site, PURPOSE):
        if pending(site):
            raise ReadmissionError(
                "Um apagamento anterior não terminou: rode `crm customers erase --resume` antes."
            )
        found = find_buried(site, said, reason)
        told = sorted([row["kind"], row["tag"], _moment(row)] for row in found.tombstones)
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        ops.append_actions(
            [
                Action(
                    kind=READMITTED,
                    idempotency_key=f"{READMITTED}:{digest}",
                    payload={"tombstones": told},
                    actor=actor,
                    reason=reason,
                    at=site.settings.now(),
                )
            ]
        )
        before = ops.last_tombstone_id()
        ops.lift_tombstones([row["tag"] for row in found.tombstones])
        _stay_marked(site, before, ops.last_tombstone_id())
    return found


@dataclass(frozen=True)
class Lifted:
    """What readmissions have lifted, as a restore needs to know it.

    Attributes:
        rows: tag and moment of each tombstone that was lifted.
        since: kind by tag of those that were lifted after the backup, which has their people.
    """

    rows: frozenset[tuple[str, str]]
    since: Mapping[str, str]

    def __contains__(self, tombstone: Row) -> bool:
        return (tombstone["tag"], _moment(tombstone)) in self.rows

    def beside(self, tombstones: Tombstones) -> Tombstones:
        """Tombstones and what is lifted since: who was erased before the backup was made."""
        return Tombstones(
            tombstones.key,
            tombstones.tags | self.since.keys(),
            tombstones.kinds | frozenset(self.since.values()),
        )


def lifted(log: pl.DataFrame, copy: Path) -> Lifted:
    """What was lifted, and of it what a copy of the operations store does not know of.

    Args:
        log: the action log, as the store gives it.
        copy: the SQLite file of a backup.
    """
    with closing(sqlite3.connect(copy)) as connection:
        known = {key for (key,) in connection.execute(_KNOWN, [READMITTED])}
    told = [
        (kind, tag, moment, key in known)
        for key, payload in log.filter(pl.col("kind") == READMITTED)
        .select("idempotency_key", "payload")
        .rows()
        for kind, tag, moment in json.loads(payload)["tombstones"]
    ]
    return Lifted(
        frozenset((tag, moment) for _, tag, moment, _ in told),
        {tag: kind for kind, tag, _, is_known in told if not is_known},
    )


def _moment(row: Row) -> str:
    moment: str = row["at"].isoformat()
    return moment


def _stay_marked(site: Site, before: int, now: int) -> None:
    """A warehouse without whoever is buried still is one: less is buried."""
    warehouse = warehouse_of(site.settings, site.tenant)
    if before == now or not warehouse.path.exists():
        return
    with warehouse.write(PURPOSE) as tx:
        if marked(tx) == before:
            mark(tx, now)


_KNOWN = "SELECT idempotency_key FROM actions WHERE kind = ?"
