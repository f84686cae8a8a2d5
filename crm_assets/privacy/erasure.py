"""An erasure while it goes on: who, what was found, and the journal that survives a kill."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from crm_assets.bronze.receiving import write_private
from crm_assets.privacy.person import People
from crm_assets.privacy.scrub import CUSTOMERS, ERASED
from crm_assets.steps import Site
from crm_resources.ops import Action


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """An erasure as its journal keeps it until it has ended.

    Attributes:
        number: which one.
        surrogates: by customer, the random id under which the person's sales go on.
        actor: who does it.
        reason: why.
        began_at: when, ISO.
        people: who.
        found: rows, lines or files of them, by place.
        destinations: files that listed them.
        requests: numbers of the requests that it answers.
        for_good: whether they must not come back, or only these records.
    """

    number: str
    surrogates: dict[str, str]
    actor: str
    reason: str
    began_at: str
    people: People = field(repr=False)
    found: dict[str, int]
    destinations: list[dict[str, str]]
    requests: list[int]
    for_good: bool = True

    @property
    def renamed(self) -> dict[str, str]:
        """Customer ids of which nothing stays, and what takes their place."""
        return {
            customer_id: self.surrogates[live]
            for customer_id, is_whole, live in self.people.customers
            if is_whole
        }

    @property
    def customers(self) -> pl.DataFrame:
        """The customers that go, as `scrub` takes them."""
        rows = [
            (customer_id, self.surrogates[live], is_whole)
            for customer_id, is_whole, live in self.people.customers
        ]
        return pl.DataFrame(rows, schema=CUSTOMERS, orient="row")

    def actions(self) -> list[Action]:
        """What the log says of it: one action per person, by the id that takes their place."""
        records: dict[str, list[str]] = {customer_id: [] for customer_id in self.surrogates}
        for record_id, customer_id in self.people.records:
            records[customer_id].append(record_id)
        return [
            Action(
                kind=ERASED,
                idempotency_key=f"{ERASED}:{self.number}:{place}",
                customer_id=self.surrogates[customer_id],
                payload={"records": mine},
                actor=self.actor,
                reason=self.reason,
                at=datetime.fromisoformat(self.began_at),
            )
            for place, (customer_id, mine) in enumerate(records.items())
        ]


def pending(site: Site) -> Erasure | None:
    """The erasure that has begun and not ended."""
    with suppress(FileNotFoundError):
        told = json.loads(journal(site).read_text(encoding="utf-8"))
        people = told.pop("people")
        return Erasure(
            **told,
            people=People(
                records=tuple((record, customer) for record, customer in people["records"]),
                customers=tuple((one, whole, live) for one, whole, live in people["customers"]),
                values=frozenset((kind, value) for kind, value in people["values"]),
                texts=tuple(people["texts"]),
                sources=tuple(people["sources"]),
                shared=people["shared"],
            ),
        )
    return None


def journal(site: Site) -> Path:
    """Where an erasure is kept until it has ended."""
    return site.settings.store_folder(site.tenant.slug) / "erasure.json"


def write_journal(site: Site, erasure: Erasure) -> None:
    """Keep an erasure, so that whatever cuts it short, it can be ended."""
    told = asdict(erasure)
    told["people"]["values"] = sorted(erasure.people.values)
    write_private(journal(site), json.dumps(told).encode())
