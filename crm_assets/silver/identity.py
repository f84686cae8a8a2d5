"""Who is one person: same e-mail key, same phone key or same id inside a source, transitively.

The method is a reduced graph (mdm.md 4.1). Every key gets the first record that carries it, its
root; a record then only says that the roots of its keys are one. Records whose roots agree drop
out, and what is left is contracted with pointer jumping until nothing is left to join, in SQL, so
that it spills to disk. Ids are minted once for an anchor record and survive later joins (4.3).
"""

from __future__ import annotations

from datetime import datetime

from crm_resources.warehouse import Transaction

MAX_ROUNDS = 64
"""Each round at least halves what is left of 2^64 records: reaching it is a fault, not an end."""


class IdentityError(RuntimeError):
    """Components did not settle; nothing may be published."""


def resolve(tx: Transaction, records: str = "silver.contact_records") -> None:
    """Write temp table `components(record_id, anchor, component, observed_at)`.

    A component without any e-mail or phone key is nobody and is left out (rules 2.1). `component`
    is the row number of its earliest record.

    Raises:
        IdentityError: the graph did not settle within `MAX_ROUNDS`.
    """
    tx.execute(_NODES.format(records=records))
    tx.execute(_KEYS)
    tx.execute(_ROOTS)
    tx.execute(_STARS)
    tx.execute(_EDGES)
    tx.execute(
        "CREATE OR REPLACE TEMP TABLE labels AS SELECT DISTINCT a AS v, a AS label FROM edges"
    )
    tx.execute(
        "INSERT INTO labels SELECT DISTINCT b, b FROM edges EXCEPT SELECT v, label FROM labels"
    )
    for _ in range(MAX_ROUNDS):
        if not tx.scalar("SELECT count(*) FROM edges"):
            break
        _contract(tx)
    else:
        raise IdentityError(f"a identidade não assentou em {MAX_ROUNDS} rodadas")
    tx.execute(_COMPONENTS)


def assign_ids(tx: Transaction, now: datetime) -> None:
    """Give every component its id: update `customer_ids` and log `customer_merges`.

    A component keeps the oldest live id whose anchor it holds; a retired one comes back before a
    new one is minted; an id whose anchor record is gone follows most of its old records, or the
    customer it was merged into. Writes temp table `assigned(component, customer_id)`.
    """
    tx.execute(_CANDIDATES)
    tx.execute(_ASSIGNED)
    tx.execute(_NEXT_IDS, [now])
    tx.execute(_LOG, [now])
    tx.execute("DELETE FROM silver.customer_ids")
    tx.execute("INSERT INTO silver.customer_ids SELECT * FROM next_ids")


def update_xref(tx: Transaction, now: datetime) -> None:
    """Bring `customer_xref` to the new assignment; what no longer holds is closed at `now`.

    A record that stays with its customer keeps its `valid_from` and learns the key that joins it
    today, so that the table reads the same as after a full rebuild.
    """
    tx.execute(_CURRENT_XREF)
    tx.execute(_REFRESH_XREF)
    tx.execute(_CLOSE_XREF, [now])
    tx.execute(_OPEN_XREF, [now])


def _contract(tx: Transaction) -> None:
    """One round: hook every vertex to its least neighbour, jump to the top, relabel the edges."""
    tx.execute(_PARENTS)
    for _ in range(MAX_ROUNDS):
        tx.execute(_JUMP)
        moved = tx.scalar(
            "SELECT count(*) FROM jumped JOIN parents USING (v) WHERE jumped.p <> parents.p"
        )
        tx.execute("CREATE OR REPLACE TEMP TABLE parents AS FROM jumped")
        if not moved:
            break
    else:
        raise IdentityError(f"os ponteiros não assentaram em {MAX_ROUNDS} saltos")
    tx.execute(_RELABEL)
    tx.execute(_LIFT)
    tx.execute(_SHRINK)


_NODES = """
    CREATE OR REPLACE TEMP TABLE nodes AS
    SELECT row_number() OVER (ORDER BY observed_at, record_id) AS rid,
           record_id, source || ':' || source_id AS anchor, observed_at,
           email_key, phone_key, source || ':' || source_key AS source_key
    FROM {records}
"""
_KEYS = """
    CREATE OR REPLACE TEMP TABLE keys AS
    SELECT rid, 'email' AS kind, email_key AS key FROM nodes WHERE email_key IS NOT NULL
    UNION ALL SELECT rid, 'phone', phone_key FROM nodes WHERE phone_key IS NOT NULL
    UNION ALL SELECT rid, 'source', source_key FROM nodes WHERE source_key IS NOT NULL
"""
_ROOTS = """
    CREATE OR REPLACE TEMP TABLE roots AS
    SELECT kind, key, min(rid) AS root, count(*) AS records FROM keys GROUP BY kind, key
"""
_STARS = """
    CREATE OR REPLACE TEMP TABLE stars AS
    SELECT rid, min(root) AS root, list(root) AS all_roots
    FROM keys JOIN roots USING (kind, key) GROUP BY rid
"""
_EDGES = """
    CREATE OR REPLACE TEMP TABLE edges AS
    SELECT DISTINCT root AS a, b FROM (SELECT root, unnest(all_roots) AS b FROM stars)
    WHERE root <> b
"""
_PARENTS = """
    CREATE OR REPLACE TEMP TABLE parents AS
    SELECT v, least(v, min(u)) AS p
    FROM (SELECT a AS v, b AS u FROM edges UNION ALL SELECT b, a FROM edges) GROUP BY v
"""
_JUMP = """
    CREATE OR REPLACE TEMP TABLE jumped AS
    SELECT parents.v, above.p FROM parents JOIN parents AS above ON above.v = parents.p
"""
_RELABEL = """
    CREATE OR REPLACE TEMP TABLE labels AS
    SELECT labels.v, coalesce(parents.p, labels.label) AS label
    FROM labels LEFT JOIN parents ON parents.v = labels.label
"""
# A statement of its own: in one with the inequality of `_SHRINK`, the optimiser joins the two
# parents on that inequality first, which is every vertex with every other.
_LIFT = """
    CREATE OR REPLACE TEMP TABLE lifted AS
    SELECT x.p AS a, y.p AS b
    FROM edges JOIN parents AS x ON x.v = edges.a JOIN parents AS y ON y.v = edges.b
"""
_SHRINK = """
    CREATE OR REPLACE TEMP TABLE edges AS
    SELECT DISTINCT least(a, b) AS a, greatest(a, b) AS b FROM lifted WHERE a <> b
"""
_COMPONENTS = """
    CREATE OR REPLACE TEMP TABLE components AS
    SELECT record_id, anchor, coalesce(labels.label, stars.root) AS component, observed_at, rid
    FROM nodes JOIN stars USING (rid) LEFT JOIN labels ON labels.v = stars.root
    QUALIFY count(coalesce(email_key, phone_key)) OVER (PARTITION BY component) > 0
"""

# Two ways for an id to claim a component: its anchor is there, or its anchor is gone and most of
# its old records are there.
_CANDIDATES = """
    CREATE OR REPLACE TEMP TABLE candidates AS
    WITH anchors AS (SELECT DISTINCT anchor, component FROM components),
    orphans AS (
        SELECT ids.customer_id, components.component, count(*) AS held
        FROM silver.customer_ids AS ids
        JOIN silver.customer_xref AS xref
            ON xref.customer_id = ids.customer_id AND xref.valid_to IS NULL
        JOIN components USING (record_id)
        WHERE NOT EXISTS (SELECT 1 FROM anchors WHERE anchors.anchor = ids.anchor)
        GROUP BY ids.customer_id, components.component
        QUALIFY row_number() OVER (
            PARTITION BY ids.customer_id ORDER BY held DESC, components.component
        ) = 1
    )
    SELECT customer_id, component FROM silver.customer_ids JOIN anchors USING (anchor)
    UNION ALL SELECT customer_id, component FROM orphans
"""
_ASSIGNED = """
    CREATE OR REPLACE TEMP TABLE assigned AS
    WITH firsts AS (
        SELECT component, arg_min(anchor, rid) AS anchor FROM components GROUP BY component
    ), chosen AS (
        SELECT candidates.component, ids.customer_id
        FROM candidates JOIN silver.customer_ids AS ids USING (customer_id)
        QUALIFY row_number() OVER (
            PARTITION BY candidates.component
            ORDER BY ids.survivor_id IS NOT DISTINCT FROM ids.customer_id DESC,
                     ids.minted_at, ids.customer_id
        ) = 1
    )
    SELECT component, anchor, coalesce(customer_id, 'cus_' || md5(anchor)) AS customer_id,
           customer_id IS NULL AS is_new
    FROM firsts LEFT JOIN chosen USING (component)
"""
_NEXT_IDS = """
    CREATE OR REPLACE TEMP TABLE next_ids AS
    WITH claimed AS (
        SELECT candidates.customer_id, assigned.customer_id AS survivor_id
        FROM candidates JOIN assigned USING (component)
    )
    SELECT ids.customer_id, ids.anchor, ids.minted_at,
           coalesce(own.survivor_id, heir.survivor_id) AS survivor_id
    FROM silver.customer_ids AS ids
    LEFT JOIN claimed AS own ON own.customer_id = ids.customer_id
    LEFT JOIN claimed AS heir ON heir.customer_id = ids.survivor_id
    UNION ALL
    SELECT customer_id, anchor, ?::TIMESTAMPTZ, customer_id FROM assigned WHERE is_new
"""
# A new id for records that were somebody's before is a split.
_LOG = """
    INSERT INTO silver.customer_merges
    WITH left_behind AS (
        SELECT DISTINCT assigned.customer_id
        FROM assigned
        JOIN components USING (component)
        JOIN silver.customer_xref AS xref USING (record_id)
        WHERE is_new AND xref.valid_to IS NULL
    )
    SELECT ?::TIMESTAMPTZ,
           CASE WHEN left_behind.customer_id IS NOT NULL THEN 'split'
                WHEN old.customer_id IS NULL THEN 'mint'
                WHEN new.survivor_id IS NULL THEN 'retire'
                WHEN new.survivor_id = new.customer_id THEN 'revive'
                ELSE 'merge' END,
           new.customer_id, new.survivor_id
    FROM next_ids AS new
    LEFT JOIN silver.customer_ids AS old USING (customer_id)
    LEFT JOIN left_behind USING (customer_id)
    WHERE old.customer_id IS NULL OR old.survivor_id IS DISTINCT FROM new.survivor_id
    ORDER BY new.customer_id
"""
_CURRENT_XREF = """
    CREATE OR REPLACE TEMP TABLE current_xref AS
    WITH joining AS (
        SELECT rid, arg_min(kind, kind) AS kind, arg_min(key, kind) AS key
        FROM keys JOIN roots USING (kind, key) WHERE roots.records > 1 GROUP BY rid
    )
    SELECT records.record_id, records.source, records.source_id, assigned.customer_id,
           coalesce(joining.kind, 'own') AS joined_by, md5(joining.key) AS key_hash
    FROM components
    JOIN assigned USING (component)
    JOIN silver.contact_records AS records USING (record_id)
    LEFT JOIN joining USING (rid)
"""
_REFRESH_XREF = """
    UPDATE silver.customer_xref AS held
    SET joined_by = now.joined_by, key_hash = now.key_hash, source_id = now.source_id
    FROM current_xref AS now
    WHERE held.valid_to IS NULL
      AND held.record_id = now.record_id AND held.customer_id = now.customer_id
      AND (held.joined_by, held.key_hash, held.source_id)
          IS DISTINCT FROM (now.joined_by, now.key_hash, now.source_id)
"""
_CLOSE_XREF = """
    UPDATE silver.customer_xref SET valid_to = ?
    WHERE valid_to IS NULL AND NOT EXISTS (
        SELECT 1 FROM current_xref AS now
        WHERE now.record_id = customer_xref.record_id
          AND now.customer_id = customer_xref.customer_id
    )
"""
_OPEN_XREF = """
    INSERT INTO silver.customer_xref
    SELECT now.*, ?::TIMESTAMPTZ, NULL FROM current_xref AS now
    WHERE NOT EXISTS (
        SELECT 1 FROM silver.customer_xref AS held
        WHERE held.valid_to IS NULL AND held.record_id = now.record_id
          AND held.customer_id = now.customer_id
    )
"""
