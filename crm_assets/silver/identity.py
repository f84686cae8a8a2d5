"""Who is one person: same e-mail, same phone or same id inside a source, transitively (rules 2.1).

The method is a reduced graph (mdm.md 4.1). Every key that several records carry gets the first of
them, its root; a record then only says that the roots of its keys are one. Records whose roots
agree drop out, and the rest is contracted (`graph`). Guards decide which keys join (`keys`); what
breaks a rule all the same is taken apart (`conflicts`); ids stay what they were (`ids`); and only
what a change touches is resolved again (`scope`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from crm_assets.person_rules import Identity
from crm_assets.silver import ids, keys, scope
from crm_assets.silver.conflicts import Decisions, Member, Separation, separate
from crm_assets.silver.findings import QUARANTINED, find_shared, store_findings
from crm_assets.silver.graph import contract
from crm_resources.warehouse import Transaction

_DONE_WITH = ("email_roots", "phone_roots", "source_roots", "stars", "edges", "labels")
"""What ten million records need the memory of, once they are resolved."""

_FINDINGS = {"finding": pl.String, "whole": pl.Int64, "kind": pl.String, "key": pl.String}
_PARTS = {"rid": pl.Int64, "component": pl.Int64, "joined_by": pl.String, "whole": pl.Int64}


@dataclass(frozen=True)
class Resolution:
    """What an identity run did.

    Attributes:
        scoped: whether only what changed was resolved.
        records: records that were resolved.
        customers: people among them.
    """

    scoped: bool
    records: int
    customers: int


def identify(tx: Transaction, guards: Identity, now: datetime, *, full: bool = False) -> Resolution:
    """Bring the cross-reference, the ids and what is known of the keys to the present records.

    Args:
        tx: a transaction with `silver.contact_records` and what changed in them.
        guards: the tenant's.
        now: the time of what is written.
        full: resolve everything, whatever has changed.

    Raises:
        IdentityError: the graph did not settle; nothing may be published.
    """
    resolve(tx, guards, full=full)
    return store(tx, guards, now)


def resolve(tx: Transaction, guards: Identity, *, full: bool = False) -> None:
    """Find out who is one person, and which id is theirs, in temporary tables.

    Raises:
        IdentityError: the graph did not settle.
    """
    find_components(tx, guards, full=full)
    find_shared(tx, guards)
    for table in _DONE_WITH:
        tx.execute(f"DROP TABLE {table}")
    ids.choose_ids(tx)


def store(tx: Transaction, guards: Identity, now: datetime) -> Resolution:
    """Write what `resolve` found; the records must be those that it read."""
    scoped = scope.is_scoped(tx)
    ids.store_ids(tx, now)
    ids.update_xref(tx, now)
    keys.store_verdicts(tx, now, scoped=scoped)
    store_findings(tx, now, scoped=scoped)
    scope.close_scope(tx, guards)
    records, customers = tx.read(
        "SELECT (SELECT count(*) FROM components), (SELECT count(*) FROM assigned)"
    ).row(0)
    return Resolution(scoped, records, customers)


def find_components(tx: Transaction, guards: Identity, *, full: bool = True) -> None:
    """Write temp table `components(rid, component, joined_by)` of the records in scope.

    A component without any e-mail or phone key is nobody and is left out (rules 2.1).

    Raises:
        IdentityError: the graph did not settle.
    """
    scope.read_decisions(tx)
    scoped = scope.choose_scope(tx, guards, full=full)
    keys.find_roots(tx)
    tx.execute(_STARS)
    keys.judge_keys(tx, guards, scoped=scoped)
    keys.leave_out(tx)
    tx.execute(_EDGES)
    if tx.scalar("SELECT count(*) FROM together"):
        tx.execute(_DECIDED_EDGES)
    contract(tx)
    tx.execute(_COMPONENTS)
    tx.execute(_BROUGHT_ALONG)
    _separate(tx, guards)


def _separate(tx: Transaction, guards: Identity) -> None:
    """Take apart the components that break a rule; write `found(finding, whole, …)`."""
    tx.execute(
        _SUSPECTS,
        {
            "limited": guards.profile_limits,
            "max_emails": guards.max_emails,
            "max_phones": guards.max_phones,
            "conflicts": guards.conflicts,
        },
    )
    if tx.scalar("SELECT count(*) FROM apart"):
        tx.execute(_KEPT_APART)
    found, parts = pl.DataFrame(schema=_FINDINGS), pl.DataFrame(schema=_PARTS)
    if tx.scalar("SELECT count(*) FROM suspects"):
        members = tx.read(_MEMBERS)
        decisions = _decisions(tx)
        separations = [
            (component, separation)
            for component, rows in _components(members)
            for separation in [_separation(rows, decisions, guards)]
        ]
        found, parts = _found(separations), _parts(separations)
    tx.execute("CREATE OR REPLACE TEMP TABLE found AS FROM frame", frame=found)
    tx.execute("CREATE OR REPLACE TEMP TABLE parts AS FROM frame", frame=parts)
    if len(parts):
        tx.execute("DELETE FROM components WHERE component IN (SELECT component FROM suspects)")
        tx.execute(_TAKEN_APART)


def _separation(rows: pl.DataFrame, decisions: Decisions, guards: Identity) -> Separation:
    members = [
        Member(*row)
        for row in rows.select(
            "rid", "ref", "email", "phone", "source", "document", "buyer", "name"
        ).iter_rows()
    ]
    over = bool(rows["over_limits"][0])
    separation = separate(members, decisions, by_phone=not over, conflicts=guards.conflicts)
    if over:
        separation.findings.add((QUARANTINED, None, None))
    return separation


def _components(members: pl.DataFrame) -> Iterable[tuple[int, pl.DataFrame]]:
    for (component,), rows in members.group_by("component", maintain_order=True):
        yield component, rows


def _parts(separations: Iterable[tuple[int, Separation]]) -> pl.DataFrame:
    """Components of the records that were taken apart; each is named by its first record."""
    return pl.DataFrame(
        [
            (rid, min(group), separation.joined_by.get(rid, "own"), component)
            for component, separation in separations
            for group in separation.groups
            for rid in group
        ],
        schema=_PARTS,
        orient="row",
    )


def _found(separations: Iterable[tuple[int, Separation]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (finding, component, kind, key and key.split(" ")[0])
            for component, separation in separations
            for finding, kind, key in sorted(separation.findings, key=str)
        ],
        schema=_FINDINGS,
        orient="row",
    )


def _decisions(tx: Transaction) -> Decisions:
    apart: dict[str, set[str]] = {}
    for a, b in tx.read("SELECT a, b FROM apart").rows():
        apart.setdefault(a, set()).add(b)
        apart.setdefault(b, set()).add(a)
    return Decisions(tx.read("SELECT a, b FROM together ORDER BY id, b").rows(), apart)


_ROOT = "least(email_root, phone_root, source_root)"
"""SQL of the first record that shares a key with a record; null when none does."""

# The roots of a record's keys; a lone key is one that no other record carries.
_STARS = """
    CREATE OR REPLACE TEMP TABLE stars AS
    SELECT rid, email_key IS NOT NULL OR phone_key IS NOT NULL AS is_keyed,
           email.root AS email_root, phone.root AS phone_root, source.root AS source_root,
           email_key IS NOT NULL AND email.root IS NULL AS lone_email,
           phone_key IS NOT NULL AND phone.root IS NULL AS lone_phone,
           source_key IS NOT NULL AND source.root IS NULL AS lone_source
    FROM nodes
    LEFT JOIN email_roots AS email ON email.key = email_key AND email.records > 1
    LEFT JOIN phone_roots AS phone ON phone.key = phone_key AND phone.records > 1
    LEFT JOIN source_roots AS source ON source.key = source_key
"""
_EDGES = f"""
    CREATE OR REPLACE TEMP TABLE edges AS
    WITH joining AS (
        SELECT {_ROOT} AS root, email_root, phone_root, source_root
        FROM stars
        WHERE email_root <> phone_root OR phone_root <> source_root OR email_root <> source_root
    )
    SELECT root AS a, email_root AS b FROM joining WHERE email_root <> root
    UNION SELECT root, phone_root FROM joining WHERE phone_root <> root
    UNION SELECT root, source_root FROM joining WHERE source_root <> root
"""
_DECIDED_EDGES = f"""
    INSERT INTO edges
    WITH placed AS (
        SELECT ref, min(coalesce({_ROOT}, rid)) AS root
        FROM nodes JOIN stars USING (rid)
        WHERE ref IN (SELECT a FROM together UNION ALL SELECT b FROM together) GROUP BY ref
    )
    SELECT DISTINCT least(one.root, other.root), greatest(one.root, other.root)
    FROM together
    JOIN placed AS one ON one.ref = a
    JOIN placed AS other ON other.ref = b
    WHERE one.root <> other.root
"""
_COMPONENTS = f"""
    CREATE OR REPLACE TEMP TABLE components AS
    SELECT rid, coalesce(label, root) AS component,
           CASE WHEN email_root IS NOT NULL THEN 'email'
                WHEN phone_root IS NOT NULL THEN 'phone'
                WHEN source_root IS NOT NULL THEN 'source' ELSE 'own' END AS joined_by
    FROM (SELECT *, coalesce({_ROOT}, rid) AS root FROM stars WHERE is_keyed)
    LEFT JOIN labels ON v = root
"""
# Without e-mail and phone a record can only be brought along by its id inside the source.
_BROUGHT_ALONG = """
    INSERT INTO components
    SELECT rid, coalesce(label, root), CASE WHEN source_root IS NULL THEN 'own' ELSE 'source' END
    FROM (
        SELECT rid, source_root, coalesce(source_root, rid) AS root
        FROM stars WHERE NOT is_keyed AND (source_root IS NOT NULL OR lone_source)
    )
    LEFT JOIN labels ON v = root
    WHERE coalesce(label, root) IN (SELECT component FROM components)
"""
# Keys of a component: its roots, and the lone keys of records that another key attaches to it.
_SUSPECTS = f"""
    CREATE OR REPLACE TEMP TABLE suspects AS
    WITH attached AS (
        SELECT coalesce(label, root) AS component, lone_email, lone_phone
        FROM (
            SELECT {_ROOT} AS root, lone_email, lone_phone
            FROM stars WHERE lone_email OR lone_phone
        )
        LEFT JOIN labels ON v = root WHERE root IS NOT NULL
    ), emails AS (
        SELECT label AS component FROM labels JOIN email_roots ON root = v
        UNION ALL SELECT component FROM attached WHERE lone_email
    ), phones AS (
        SELECT label AS component FROM labels JOIN phone_roots ON root = v
        UNION ALL SELECT component FROM attached WHERE lone_phone
    ), over_limits AS (
        SELECT component FROM emails GROUP BY component HAVING count(*) > $max_emails
        UNION
        SELECT component FROM phones GROUP BY component HAVING count(*) > $max_phones
    ), documents AS (
        SELECT component FROM components JOIN nodes USING (rid) WHERE document IS NOT NULL
        GROUP BY component HAVING min(document) <> max(document)
    ), several_ids AS (
        SELECT component
        FROM components JOIN (
            SELECT rid, coalesce(source_root, rid) AS id
            FROM stars WHERE source_root IS NOT NULL OR lone_source
        ) USING (rid)
        GROUP BY component HAVING min(id) <> max(id)
    ), buyers AS (
        SELECT component
        FROM components SEMI JOIN several_ids USING (component) JOIN nodes USING (rid)
        WHERE hotmart_ucode IS NOT NULL GROUP BY component
        HAVING min(hotmart_ucode) <> max(hotmart_ucode) AND min(known_as) <> max(known_as)
    )
    SELECT component, bool_or(over) AS over_limits
    FROM (
        SELECT component, true AS over FROM over_limits WHERE $limited
        UNION ALL SELECT component, false FROM documents WHERE $conflicts
        UNION ALL SELECT component, false FROM buyers WHERE $conflicts
    ) GROUP BY component
"""
_KEPT_APART = """
    INSERT INTO suspects
    WITH placed AS (
        SELECT ref, component FROM components JOIN nodes USING (rid)
        WHERE ref IN (SELECT a FROM apart UNION ALL SELECT b FROM apart)
    )
    SELECT DISTINCT one.component, false
    FROM apart JOIN placed AS one ON one.ref = a JOIN placed AS other ON other.ref = b
    WHERE one.component = other.component
      AND one.component NOT IN (SELECT component FROM suspects)
"""
_MEMBERS = """
    SELECT suspects.component, over_limits, rid, ref,
           CASE WHEN email_root IS NOT NULL OR lone_email THEN email_key END AS email,
           CASE WHEN household_roots.root IS NOT NULL THEN phone_key || ' ' || known_as
                WHEN phone_root IS NOT NULL OR lone_phone THEN phone_key END AS phone,
           source_key AS source, document, hotmart_ucode AS buyer, known_as AS name
    FROM suspects
    JOIN components USING (component)
    JOIN stars USING (rid)
    JOIN nodes USING (rid)
    LEFT JOIN household_roots ON household_roots.key = phone_key AND name = known_as
    ORDER BY component, observed_at, record_id
"""
# A group that lost its only key to another one is nobody.
_TAKEN_APART = """
    INSERT INTO components
    SELECT rid, component, joined_by FROM parts
    WHERE component IN (SELECT component FROM parts JOIN stars USING (rid) WHERE is_keyed)
"""
