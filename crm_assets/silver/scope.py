"""What has to be resolved again: everything, or the customers that a change touches (mdm.md 4.2).

The step that makes contact records notes in `silver.contact_changes` what a record was before it
changed. Touched are the keys of both states, all records that carry them, all customers of those
records, and, where a rule took a component apart, the other people of that component: whole
components are pulled, never one hop.
"""

from __future__ import annotations

from crm_assets.person_rules import Identity
from crm_assets.silver.stewardship import APART, KEY_BLOCKED, NOT_TAKEN_BACK, TOGETHER
from crm_resources.warehouse import Transaction

MOST_CHANGED = 0.3
"""Share of changed records from which resolving everything is quicker."""


def read_decisions(tx: Transaction) -> None:
    """Write the decisions in force: `together`, `apart(decision, a, b)`, `blocked_keys`."""
    tx.execute(_DECISIONS)
    tx.execute(_TOGETHER)
    tx.execute(_APART)
    tx.execute(_BLOCKED)


def choose_scope(tx: Transaction, guards: Identity, *, full: bool) -> bool:
    """Write `nodes`, the records to resolve, and `touched_customers`; whether they are not all.

    Writes too what the cross-reference holds of them now, `held_xref(row, record_id, customer_id,
    joined_by, key_hash, source_id)`, where `row` is the place in the table.

    Everything is resolved when it is asked for, the first time, after a change of the guards, and
    when much has changed.
    """
    fingerprint = guards.model_dump_json()
    scoped = not full and _can_be_scoped(tx, fingerprint)
    if scoped:
        tx.execute(_DECIDED)
        tx.execute(_CHANGED)
        if tx.scalar("SELECT count(*) FROM decided"):
            tx.execute(_DECIDED_RECORDS)
        tx.execute(_CHANGED_NODES)
        tx.execute(_TOUCHED_KEYS)
        tx.execute(_CARRIERS)
        tx.execute(_TOUCHED_CUSTOMERS)
        while tx.scalar(_WITH_MATES):
            pass
        tx.execute(_SCOPED_XREF)
        tx.execute(_SCOPED_NODES)
        tx.execute("CREATE OR REPLACE TEMP VIEW held_xref AS FROM scoped_xref")
        tx.execute("CREATE OR REPLACE TEMP VIEW nodes AS FROM scoped_nodes")
    else:
        tx.execute(_ALL_CUSTOMERS)
        tx.execute(f"CREATE OR REPLACE TEMP VIEW held_xref AS {_HELD}")
        tx.execute(_ALL_NODES)
    tx.execute("CREATE OR REPLACE TEMP TABLE scope AS SELECT ? AS scoped", [scoped])
    return scoped


def is_scoped(tx: Transaction) -> bool:
    """Whether the scope that was chosen is less than everything."""
    return bool(tx.scalar("SELECT scoped FROM scope"))


def close_scope(tx: Transaction, guards: Identity) -> None:
    """Remember under which guards and decisions the present state was made."""
    tx.execute("DELETE FROM silver.contact_changes")
    tx.execute("DELETE FROM silver.identity_state")
    tx.execute(
        "INSERT INTO silver.identity_state SELECT ?, list(decisions) FROM decisions",
        [guards.model_dump_json()],
    )


def _can_be_scoped(tx: Transaction, fingerprint: str) -> bool:
    known = tx.scalar("SELECT count(*) FROM silver.identity_state WHERE guards = ?", [fingerprint])
    changed, records = tx.read(_SIZES).row(0)
    return bool(known) and changed <= records * MOST_CHANGED


_NODE = """
    rowid AS rid, record_id, source, source_id, source || ':' || source_id AS ref, observed_at,
    email_key, phone_key, source || ':' || source_key AS source_key,
    CASE WHEN document_kind = 'cpf' AND document_valid THEN document END AS document,
    hotmart_ucode, lower(strip_accents(first_name)) AS known_as,
    nullif(lower(strip_accents(split_part(name, ' ', -1))), lower(strip_accents(name))) AS surname
"""
_ALL_NODES = f"""
    CREATE OR REPLACE TEMP VIEW nodes AS SELECT {_NODE} FROM silver.contact_records
"""
_SCOPED_NODES = f"""
    CREATE OR REPLACE TEMP TABLE scoped_nodes AS
    SELECT {_NODE} FROM silver.contact_records
    WHERE record_id IN (
        SELECT record_id FROM carriers
        UNION ALL SELECT record_id FROM changed
        UNION ALL SELECT record_id FROM scoped_xref
    )
"""
_HELD = """
    SELECT rowid AS row, record_id, customer_id, joined_by, key_hash, source_id
    FROM silver.customer_xref WHERE valid_to IS NULL
"""
_SCOPED_XREF = f"""
    CREATE OR REPLACE TEMP TABLE scoped_xref AS
    FROM ({_HELD}) SEMI JOIN touched_customers USING (customer_id)
"""
_ALL_CUSTOMERS = """
    CREATE OR REPLACE TEMP TABLE touched_customers AS
    SELECT customer_id FROM silver.customer_ids WHERE survivor_id = customer_id
"""
_SIZES = """
    SELECT (SELECT count(*) FROM silver.contact_changes),
           (SELECT count(*) FROM silver.contact_records)
"""
_DECISIONS = f"""
    CREATE OR REPLACE TEMP TABLE decisions AS
    SELECT id, kind, email_key, phone_key, payload FROM bronze.crm_actions AS taken
    WHERE kind IN ('{TOGETHER}', '{APART}', '{KEY_BLOCKED}') AND {NOT_TAKEN_BACK}
"""
_TOGETHER = """
    CREATE OR REPLACE TEMP TABLE together AS
    SELECT id, records[1] AS a, unnest(records[2:]) AS b
    FROM (
        SELECT id, (payload->'records')::VARCHAR[] AS records
        FROM decisions WHERE kind = 'identity_together'
    )
"""
_APART = """
    CREATE OR REPLACE TEMP TABLE apart AS
    SELECT id, a, unnest(others) AS b
    FROM (
        SELECT id, unnest((payload->'records')::VARCHAR[]) AS a,
               (payload->'others')::VARCHAR[] AS others
        FROM decisions WHERE kind = 'identity_apart'
    )
"""
_BLOCKED = """
    CREATE OR REPLACE TEMP TABLE blocked_keys AS
    SELECT DISTINCT kind, key
    FROM (SELECT email_key, phone_key FROM decisions WHERE decisions.kind = 'identity_key_blocked')
    CROSS JOIN LATERAL (VALUES ('email', email_key), ('phone', phone_key)) AS k(kind, key)
    WHERE key IS NOT NULL
"""
# Decisions are few: what they name, or named when the present state was made, is always resolved.
_DECIDED = """
    CREATE OR REPLACE TEMP TABLE decided AS
    FROM decisions UNION SELECT unnest(decisions, recursive := true) FROM silver.identity_state
"""
_CHANGED = """
    CREATE OR REPLACE TEMP TABLE changed AS
    SELECT DISTINCT record_id FROM silver.contact_changes
"""
_DECIDED_RECORDS = """
    INSERT INTO changed
    SELECT record_id FROM silver.contact_records
    WHERE source || ':' || source_id IN (
        SELECT unnest((payload->'records')::VARCHAR[]) FROM decided
        UNION ALL SELECT unnest((payload->'others')::VARCHAR[]) FROM decided
    )
    EXCEPT FROM changed
"""
_CHANGED_NODES = """
    CREATE OR REPLACE TEMP TABLE changed_nodes AS
    SELECT record_id, source || ':' || source_id AS ref, email_key, phone_key,
           source || ':' || source_key AS source_key
    FROM silver.contact_records SEMI JOIN changed USING (record_id)
"""
_TOUCHED_KEYS = """
    CREATE OR REPLACE TEMP TABLE touched_keys AS
    SELECT DISTINCT kind, key
    FROM (
        SELECT email_key, phone_key, source_key FROM silver.contact_changes
        UNION ALL
        SELECT email_key, phone_key, source_key FROM changed_nodes
        UNION ALL
        SELECT email_key, phone_key, NULL FROM decided
    )
    CROSS JOIN LATERAL (
        VALUES ('email', email_key), ('phone', phone_key), ('source', source_key)
    ) AS k(kind, key)
    WHERE key IS NOT NULL
"""
_CARRIERS = """
    CREATE OR REPLACE TEMP TABLE carriers AS
    SELECT record_id FROM silver.contact_records
    WHERE email_key IN (SELECT key FROM touched_keys WHERE kind = 'email')
    UNION ALL
    SELECT record_id FROM silver.contact_records
    WHERE phone_key IN (SELECT key FROM touched_keys WHERE kind = 'phone')
    UNION ALL
    SELECT record_id FROM silver.contact_records
    WHERE source_key IS NOT NULL
      AND source || ':' || source_key IN (SELECT key FROM touched_keys WHERE kind = 'source')
"""
# An id whose anchor comes back takes its customer along, wherever that lives now.
_TOUCHED_CUSTOMERS = """
    CREATE OR REPLACE TEMP TABLE touched_customers AS
    SELECT customer_id FROM silver.customer_xref
    WHERE valid_to IS NULL AND record_id IN (
        SELECT record_id FROM carriers UNION ALL SELECT record_id FROM changed
    )
    UNION
    SELECT survivor_id FROM silver.customer_ids
    WHERE survivor_id IS NOT NULL AND anchor IN (SELECT ref FROM changed_nodes)
"""
_WITH_MATES = """
    INSERT INTO touched_customers
    WITH involved AS (
        SELECT rowid AS row, unnest(customer_ids) AS customer_id FROM silver.identity_findings
    )
    SELECT DISTINCT customer_id FROM involved
    WHERE row IN (SELECT row FROM involved SEMI JOIN touched_customers USING (customer_id))
    EXCEPT FROM touched_customers
"""
