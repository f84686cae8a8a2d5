"""Stable ids: minted once for an anchor record, merged, revived, retired (mdm.md 4.3).

An id is never renamed by who joins it, by the order of rows or by the number of the run. What is
asked of a scope (the records in `nodes`) gives what the whole would give.
"""

from __future__ import annotations

from datetime import datetime

from crm_resources.warehouse import Transaction


def choose_ids(tx: Transaction) -> None:
    """Give every component its id, in temporary tables.

    A component keeps the oldest live id whose anchor it holds; a retired one comes back before a
    new one is minted; an id whose anchor record is gone follows most of its old records, or the
    customer it was merged into. Reads temp tables `nodes`, `components` and
    `touched_customers(customer_id)`; writes `assigned(component, customer_id)` and `next_ids`,
    what `customer_ids` is to hold of the scope.
    """
    tx.execute(_ANCHORS)
    tx.execute(_KNOWN_IDS)
    tx.execute(_CANDIDATES)
    tx.execute(_FIRSTS)
    tx.execute(_ASSIGNED)
    tx.execute(_NEXT_IDS)
    tx.execute(_LEFT_BEHIND)


def store_ids(tx: Transaction, now: datetime) -> None:
    """Bring `customer_ids` to the chosen ids, the new ones minted `now`; log `customer_merges`."""
    tx.execute(_LOG, [now])
    tx.execute(_FORGET_IDS)
    tx.execute(_STORE_IDS, [now])


def update_xref(tx: Transaction, now: datetime) -> None:
    """Bring `customer_xref` to the new assignment; what no longer holds is closed at `now`.

    A record that stays with its customer keeps its `valid_from` and learns the key that joins it
    today, so that the table reads the same as after a full rebuild.
    """
    if not tx.scalar("SELECT count(*) FROM (FROM silver.customer_xref LIMIT 1)"):
        tx.execute(f"INSERT INTO silver.customer_xref SELECT *, ?, NULL FROM ({_XREF})", [now])
        return
    tx.execute(f"CREATE OR REPLACE TEMP TABLE current_xref AS {_XREF}")
    tx.execute(_REFRESH_XREF)
    tx.execute(_CLOSE_XREF, [now])
    tx.execute(_OPEN_XREF, [now])


_ANCHORS = """
    CREATE OR REPLACE TEMP TABLE anchors AS
    SELECT ref, component FROM components JOIN nodes USING (rid)
    WHERE (SELECT count(*) FROM (FROM silver.customer_ids LIMIT 1)) > 0
"""
# Ids that the scope may change: of its customers, of who was merged into them, and of its anchors.
_KNOWN_IDS = """
    CREATE OR REPLACE TEMP TABLE known_ids AS
    SELECT ids.* FROM silver.customer_ids AS ids
    WHERE customer_id IN (SELECT customer_id FROM touched_customers)
       OR survivor_id IN (SELECT customer_id FROM touched_customers)
       OR anchor IN (SELECT ref FROM anchors)
"""
# Two ways for an id to claim a component: its anchor is there, or its anchor is gone and most of
# its old records are there.
_CANDIDATES = """
    CREATE OR REPLACE TEMP TABLE candidates AS
    WITH held AS (
        SELECT DISTINCT customer_id, component FROM known_ids JOIN anchors ON ref = anchor
    ), orphans AS (
        SELECT ids.customer_id, components.component, count(*) AS held,
               min((nodes.observed_at, nodes.record_id)) AS earliest
        FROM known_ids AS ids
        JOIN held_xref AS xref ON xref.customer_id = ids.customer_id
        JOIN nodes USING (record_id)
        JOIN components USING (rid)
        WHERE ids.customer_id NOT IN (SELECT customer_id FROM held)
        GROUP BY ids.customer_id, components.component
        QUALIFY row_number() OVER (
            PARTITION BY ids.customer_id ORDER BY held DESC, earliest
        ) = 1
    )
    FROM held UNION ALL SELECT customer_id, component FROM orphans
"""
# The earliest record of each component; among those of one instant, the one of the smallest id.
_FIRSTS = """
    CREATE OR REPLACE TEMP TABLE firsts AS
    SELECT component, arg_min(ref, (observed_at, record_id)) AS anchor
    FROM components JOIN nodes USING (rid) ANTI JOIN candidates USING (component)
    GROUP BY component
"""
_ASSIGNED = """
    CREATE OR REPLACE TEMP TABLE assigned AS
    SELECT candidates.component, ids.anchor, ids.customer_id, false AS is_new
    FROM candidates JOIN known_ids AS ids USING (customer_id)
    QUALIFY row_number() OVER (
        PARTITION BY candidates.component
        ORDER BY ids.survivor_id IS NOT DISTINCT FROM ids.customer_id DESC,
                 ids.minted_at, ids.customer_id
    ) = 1
    UNION ALL
    SELECT component, anchor, 'cus_' || md5(anchor), true FROM firsts
"""
_NEXT_IDS = """
    CREATE OR REPLACE TEMP TABLE next_ids AS
    WITH claimed AS (
        SELECT candidates.customer_id, assigned.customer_id AS survivor_id
        FROM candidates JOIN assigned USING (component)
    )
    SELECT ids.customer_id, ids.anchor, ids.minted_at,
           coalesce(own.survivor_id, heir.survivor_id) AS survivor_id
    FROM known_ids AS ids
    LEFT JOIN claimed AS own ON own.customer_id = ids.customer_id
    LEFT JOIN claimed AS heir ON heir.customer_id = ids.survivor_id
    UNION ALL
    SELECT customer_id, anchor, NULL, customer_id FROM assigned WHERE is_new
"""
# A new id for records that were somebody's before is a split.
_LEFT_BEHIND = """
    CREATE OR REPLACE TEMP TABLE left_behind AS
    WITH held AS (SELECT nodes.rid FROM held_xref JOIN nodes USING (record_id))
    SELECT DISTINCT assigned.customer_id
    FROM (SELECT component, customer_id FROM assigned WHERE is_new) AS assigned
    JOIN components USING (component) SEMI JOIN held USING (rid)
"""
_LOG = """
    INSERT INTO silver.customer_merges
    SELECT ?::TIMESTAMPTZ,
           CASE WHEN left_behind.customer_id IS NOT NULL THEN 'split'
                WHEN old.customer_id IS NULL THEN 'mint'
                WHEN new.survivor_id IS NULL THEN 'retire'
                WHEN new.survivor_id = new.customer_id THEN 'revive'
                ELSE 'merge' END,
           new.customer_id, new.survivor_id
    FROM next_ids AS new
    LEFT JOIN known_ids AS old USING (customer_id)
    LEFT JOIN left_behind USING (customer_id)
    WHERE old.customer_id IS NULL OR old.survivor_id IS DISTINCT FROM new.survivor_id
"""
_FORGET_IDS = """
    DELETE FROM silver.customer_ids WHERE customer_id IN (SELECT customer_id FROM known_ids)
"""
_STORE_IDS = """
    INSERT INTO silver.customer_ids
    SELECT customer_id, anchor, coalesce(minted_at, ?::TIMESTAMPTZ), survivor_id FROM next_ids
"""
_XREF = """
    SELECT nodes.record_id, nodes.source, nodes.source_id, assigned.customer_id,
           components.joined_by,
           CASE joined_by WHEN 'email' THEN hash(nodes.email_key)
                          WHEN 'phone' THEN hash(nodes.phone_key)
                          WHEN 'source' THEN hash(nodes.source_id) END AS key_hash
    FROM components JOIN assigned USING (component) JOIN nodes USING (rid)
"""
_REFRESH_XREF = """
    UPDATE silver.customer_xref
    SET joined_by = now.joined_by, key_hash = now.key_hash, source_id = now.source_id
    FROM (
        SELECT row, now.joined_by, now.key_hash, now.source_id
        FROM held_xref AS held JOIN current_xref AS now USING (record_id, customer_id)
        WHERE (held.joined_by, held.key_hash, held.source_id)
              IS DISTINCT FROM (now.joined_by, now.key_hash, now.source_id)
    ) AS now
    WHERE customer_xref.rowid = now.row
"""
_CLOSE_XREF = """
    UPDATE silver.customer_xref SET valid_to = ?
    WHERE rowid IN (
        SELECT row FROM held_xref ANTI JOIN current_xref USING (record_id, customer_id)
    )
"""
_OPEN_XREF = """
    INSERT INTO silver.customer_xref
    SELECT now.*, ?::TIMESTAMPTZ, NULL
    FROM current_xref AS now ANTI JOIN held_xref USING (record_id, customer_id)
"""
