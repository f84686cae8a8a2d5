"""Who is to be erased: the records that are theirs, and everything that identifies them.

A person is the records of one customer, or those of them that the requester names: what hangs
together only by a phone that several people use is never erased whole (rules 7.2). An identifier
that a record of somebody else carries too is theirs as well, and is not buried. No Dagster here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from crm_assets.privacy.erased_tables import CONTACT_RECORD, CUSTOMER, TABLES, Received
from crm_assets.privacy.identifiers import (
    CLAIMED,
    NAME,
    SHARED,
    Traits,
    folded,
    identifiers,
    read,
)
from crm_resources.warehouse import Transaction

_SUBSCRIPTIONS = ("bronze.hotmart_subscriptions", "bronze.hotmart_subscription_transactions")
_NOBODYS_OWN = ("phone", "document", SHARED, NAME)
_SHORTEST_TEXT = 6
_HASHES = ("sha256", "md5")


@dataclass(frozen=True)
class Record:
    """One record of a customer, as the rule about shared phones sees it.

    Attributes:
        ref: `source:source_id`.
        email_key: e-mail key.
        phone_key: phone key.
        source_key: the source's id when it names a person.
        document: a valid one.
        first_name: first name.
        decided: numbers of the decisions in force that make it one person with others.
    """

    ref: str
    email_key: str | None = None
    phone_key: str | None = None
    source_key: str | None = None
    document: str | None = None
    first_name: str | None = None
    decided: tuple[int, ...] = ()


@dataclass(frozen=True)
class People:
    """What is known of one or more people before they are erased together.

    Attributes:
        records: their contact records, each with the customer it is of.
        customers: each customer id that goes, whether none of its records stays, and the live
            customer that it was or became.
        values: `(kind, value)` of their identifiers, as they are buried.
        texts: what a search for them looks for, in lower case.
        sources: where their records came from.
        shared: whether somebody else has one of their identifiers, too.
    """

    records: tuple[tuple[str, str], ...]
    customers: tuple[tuple[str, bool, str], ...]
    values: frozenset[tuple[str, str]] = field(repr=False)
    texts: tuple[str, ...] = field(repr=False)
    sources: tuple[str, ...]
    shared: bool = False


def groups_of(records: Sequence[Record]) -> list[list[Record]]:
    """Groups of records that only a phone holds together; one group for one person.

    Joined are records of one e-mail, one id at their source, one document or one decision. A group
    that says nothing against being the same person, with neither e-mail nor document and a first
    name that agrees, stays with the one it shares the phone with ("Maria Silva" and "Mari").
    """
    groups = _joined(records, ("email_key", "source_key", "document"))
    ranked = sorted(groups, key=_weight)
    apart: list[list[Record]] = []
    for group in ranked[::-1]:
        hosts = [host for host in apart if _shares_phone(group, host) and _may_be_one(group, host)]
        if len(hosts) == 1:
            hosts[0].extend(group)
        else:
            apart.append(list(group))
    order = {record: place for place, record in enumerate(records)}
    return sorted(
        (sorted(group, key=order.__getitem__) for group in apart), key=lambda g: order[g[0]]
    )


def _joined(records: Sequence[Record], keys: Iterable[str]) -> list[list[Record]]:
    parent = list(range(len(records)))

    def root(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    first: dict[tuple[str, str], int] = {}
    for place, record in enumerate(records):
        marks = [("ref", record.ref), *((key, getattr(record, key)) for key in keys)]
        marks += [("decision", str(number)) for number in record.decided]
        for mark in marks:
            if mark[1] is not None:
                parent[root(place)] = root(first.setdefault(mark, root(place)))
    groups: dict[int, list[Record]] = {}
    for place, record in enumerate(records):
        groups.setdefault(root(place), []).append(record)
    return list(groups.values())


def _weight(group: Sequence[Record]) -> int:
    return sum(record.email_key is not None or record.document is not None for record in group)


def _shares_phone(one: Sequence[Record], other: Sequence[Record]) -> bool:
    phones = {record.phone_key for record in one} - {None}
    return not phones.isdisjoint(record.phone_key for record in other)


def _may_be_one(guest: Sequence[Record], host: Sequence[Record]) -> bool:
    names = {folded(record.first_name) for record in guest if record.first_name}
    known = {folded(record.first_name) for record in host if record.first_name}
    agree = all(any(a.startswith(b) or b.startswith(a) for b in known) for a in names)
    return _weight(guest) == 0 and (agree or not known)


def members(tx: Transaction, customer_id: str) -> list[Record]:
    """The present records of a customer, the oldest first."""
    rows = tx.read(_MEMBERS, [customer_id]).rows()
    return [replace(Record(*told), decided=tuple(decided or ())) for *told, decided in rows]


def gather(tx: Transaction, wanted: Mapping[str, Sequence[str]]) -> People:
    """Everything that identifies the people behind some records of customers.

    Args:
        tx: a transaction of the warehouse.
        wanted: for each live customer those of its records that are the person's.
    """
    asked = [(customer_id, ref) for customer_id, refs in wanted.items() for ref in refs]
    tx.execute(_CHOSEN_OF, asked=pl.DataFrame(asked, schema=_ASKED, orient="row"))
    tx.execute(_CHOSEN)
    tx.execute(_WHOLE, [list(wanted)])
    every = [
        _Told.by(tx, "silver.contact_records", CONTACT_RECORD, "record_id"),
        _Told.by(tx, "silver.customers", CUSTOMER, _PINNED),
    ]
    every += [
        _Told.by(tx, table, rule.traits, rule.record)
        for table, rule in TABLES.items()
        if isinstance(rule, Received) and rule.record != "NULL" and table not in _SUBSCRIPTIONS
    ]
    mine = pl.concat(told.mine for told in every).unique()
    others = pl.concat(told.others for told in every).unique()
    for table in _SUBSCRIPTIONS:
        rule = TABLES[table]
        assert isinstance(rule, Received)
        every.append(_Told.by(tx, table, rule.traits, rule.record, mine))
    mine = pl.concat([mine, *(told.mine for told in every)]).unique()
    own = mine.join(others, on=["kind", "value"], how="anti")
    claimed = mine.join(others, on=["kind", "value"], how="semi").filter(
        pl.col("kind").is_in(CLAIMED)
    )
    values = _buried(own, claimed["value"].to_list())
    return People(
        records=tuple(tx.read("FROM chosen_of ORDER BY ALL").rows()),
        customers=tuple(tx.read(_CUSTOMERS).rows()),
        values=values,
        texts=_texts(own, pl.concat(told.cells for told in every).unique()),
        sources=tuple(tx.read(_SOURCES).to_series()),
        shared=not claimed.is_empty(),
    )


@dataclass(frozen=True)
class _Told:
    """What one table tells of the person and of others.

    Attributes:
        mine: `kind` and `value` of the identifiers of the person's rows.
        others: the same of all other rows.
        cells: `kind` and `text` of the identifying cells of the person's rows.
    """

    mine: pl.DataFrame
    others: pl.DataFrame
    cells: pl.DataFrame

    @classmethod
    def by(
        cls,
        tx: Transaction,
        table: str,
        traits: Traits,
        record: str,
        known: pl.DataFrame | None = None,
    ) -> _Told:
        """Read a table.

        Args:
            tx: the transaction, with temp table `chosen`.
            table: its name.
            traits: which columns identify.
            record: SQL of the record that a row belongs to.
            known: identifiers of an account by which a row is the person's, too.
        """
        kinds = {f"t{i}": kind for i, kind in enumerate(k for k, of in traits.items() for _ in of)}
        columns = zip(kinds, (sql for of in traits.values() for sql in of), strict=True)
        selected = ", ".join(f"({sql})::VARCHAR AS {name}" for name, sql in columns)
        rows = tx.read(
            f"SELECT coalesce({record} IN (FROM chosen), false) AS is_mine, {selected} FROM {table}"
        ).with_row_index("row")
        found = identifiers(
            rows, {kind: tuple(n for n, k in kinds.items() if k == kind) for kind in traits}
        )
        if known is not None:
            hit = found.filter(~pl.col("kind").is_in(_NOBODYS_OWN)).join(
                known, on=["kind", "value"], how="semi"
            )
            is_known = pl.col("row").is_in(hit["row"].unique().implode())
            rows = rows.with_columns(pl.col("is_mine") | is_known)
        said = found.join(rows.select("row", "is_mine"), on="row")
        cells = rows.filter("is_mine").unpivot(list(kinds), variable_name="kind", value_name="text")
        return cls(
            said.filter("is_mine").select("kind", "value").unique(),
            said.filter(~pl.col("is_mine")).select("kind", "value").unique(),
            cells.drop_nulls().with_columns(pl.col("kind").replace(kinds)).unique(),
        )


def _buried(own: pl.DataFrame, claimed: Sequence[str]) -> frozenset[tuple[str, str]]:
    """The identifiers that nobody else has, and with the person's name those that others have."""
    return frozenset(
        (kind, value)
        for kind, value in own.filter(pl.col("kind") != NAME).rows()
        if kind != SHARED or any(value.startswith(f"{one} ") for one in claimed)
    )


def _texts(own: pl.DataFrame, cells: pl.DataFrame) -> tuple[str, ...]:
    """What a search looks for: identifiers as read and as written, full names, plain hashes."""
    texts = set(own.filter(~pl.col("kind").is_in([SHARED, NAME, "sale"]))["value"])
    for kind in (*CLAIMED, NAME):
        written = cells.filter(pl.col("kind") == kind)["text"].unique(maintain_order=True)
        said = read(kind, written).join(own, on=["kind", "value"], how="semi")["row"].unique()
        texts |= {folded(text) for text in written.gather(said) if kind != NAME or " " in text}
    emails = set(own.filter(pl.col("kind") == "email")["value"])
    phones = set(own.filter(pl.col("kind") == "phone")["value"])
    hashed = emails | {_dotless(email) for email in emails} | phones
    texts |= {
        hashlib.new(method, value.encode(), usedforsecurity=False).hexdigest()
        for method in _HASHES
        for value in hashed | {f"+{phone}" for phone in phones}
    }
    return tuple(sorted(text for text in texts if len(text) >= _SHORTEST_TEXT))


def _dotless(email: str) -> str:
    """An address as Google hashes it."""
    local, _, domain = email.rpartition("@")
    return (
        f"{local.replace('.', '')}@{domain}" if domain in {"gmail.com", "googlemail.com"} else email
    )


_MEMBERS = """
    WITH decided AS (
        SELECT ref, list(id ORDER BY id) AS ids FROM (
            SELECT id, unnest((payload->'records')::VARCHAR[]) AS ref
            FROM (SELECT unnest(decisions, recursive := true) FROM silver.identity_state)
            WHERE kind = 'identity_together'
        ) GROUP BY ref
    )
    SELECT records.source || ':' || records.source_id AS ref, email_key, phone_key,
           records.source || ':' || source_key AS source_key,
           CASE WHEN document_valid THEN document END AS document, first_name, decided.ids
    FROM silver.contact_records AS records JOIN silver.customer_xref AS xref USING (record_id)
    LEFT JOIN decided ON decided.ref = records.source || ':' || records.source_id
    WHERE valid_to IS NULL AND customer_id = ?
    ORDER BY observed_at, record_id
"""
_ASKED = pl.Schema({"customer_id": pl.String, "ref": pl.String})
_CHOSEN_OF = """
    CREATE OR REPLACE TEMP TABLE chosen_of AS
    SELECT DISTINCT record_id, xref.customer_id FROM silver.contact_records AS records
    JOIN silver.customer_xref AS xref USING (record_id)
    JOIN asked ON asked.customer_id = xref.customer_id
        AND asked.ref = records.source || ':' || records.source_id
    WHERE valid_to IS NULL
"""
_CHOSEN = "CREATE OR REPLACE TEMP TABLE chosen AS SELECT record_id FROM chosen_of"
_WHOLE = """
    CREATE OR REPLACE TEMP TABLE touched AS
    SELECT customer_id, bool_and(record_id IN (FROM chosen)) AS is_whole
    FROM silver.customer_xref WHERE valid_to IS NULL AND customer_id IN (SELECT unnest(?))
    GROUP BY customer_id
"""
# What a steward pinned stands in no record, and is the person's when the whole customer is.
_PINNED = """
    CASE WHEN customer_id IN (SELECT customer_id FROM touched WHERE is_whole)
         THEN (SELECT min(record_id) FROM chosen) END
"""
_CUSTOMERS = """
    SELECT ids.customer_id, is_whole, touched.customer_id
    FROM silver.customer_ids AS ids JOIN touched
        ON touched.customer_id = ids.customer_id
        OR (is_whole AND touched.customer_id = ids.survivor_id)
    ORDER BY ids.customer_id
"""
_SOURCES = """
    SELECT DISTINCT source FROM silver.contact_records
    WHERE record_id IN (FROM chosen) ORDER BY source
"""
