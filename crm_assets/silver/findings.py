"""What a person should look at: components taken apart, and those joined with a doubt.

The engine writes what it took apart into temp tables `found` and `parts`; shared phones and
function mailboxes are looked for here. `silver.identity_findings` keeps both, with their `since`.
"""

from __future__ import annotations

from datetime import datetime

from crm_assets.person_rules import Identity
from crm_assets.silver.keys import FUNCTION_MAILBOXES
from crm_resources.warehouse import Transaction

QUARANTINED = "perfil_em_quarentena"
SHARED_PHONE = "telefone_compartilhado"
FUNCTION_MAILBOX = "caixa_de_funcao"


def find_shared(tx: Transaction, guards: Identity) -> None:
    """Write temp table `shared(finding, kind, key, rid)`: keys that join, but are worth a look.

    Listed are the records on a phone of several e-mails and several first names of buyers, and
    those of a function mailbox of several surnames.
    """
    tx.execute(
        _SHARED, {"min_emails": guards.min_household_emails, "mailboxes": list(FUNCTION_MAILBOXES)}
    )


def store_findings(tx: Transaction, now: datetime, *, scoped: bool) -> None:
    """Bring `silver.identity_findings` to what was found; what stays keeps its `since`."""
    tx.execute(_NEW_FINDINGS, {"now": now})
    if scoped:
        tx.execute(_FORGET_FINDINGS)
    else:
        tx.execute("DELETE FROM silver.identity_findings")
    tx.execute("INSERT INTO silver.identity_findings BY NAME FROM new_findings")


_SHARED = f"""
    CREATE OR REPLACE TEMP TABLE shared AS
    WITH crowded AS (
        SELECT phone_root AS root FROM stars
        WHERE phone_root IN (SELECT root FROM phone_roots WHERE records >= $min_emails)
        GROUP BY root
        HAVING count(DISTINCT email_root) + count(*) FILTER (lone_email) >= $min_emails
    ), carriers AS (
        SELECT key, rid FROM crowded JOIN phone_roots USING (root) JOIN stars ON phone_root = root
        UNION ALL
        SELECT key, rid FROM unjoining JOIN nodes ON phone_key = key
        WHERE kind = 'phone' AND status = 'household'
    ), phones AS (
        SELECT key FROM carriers JOIN nodes USING (rid) GROUP BY key
        HAVING count(DISTINCT email_key) >= $min_emails
           AND count(DISTINCT known_as) FILTER (source IN ('hotmart', 'woocommerce')) > 1
    ), functions AS (
        SELECT key, rid FROM email_roots JOIN stars ON email_root = root
        WHERE list_contains($mailboxes::VARCHAR[], split_part(key, '@', 1))
    ), mailboxes AS (
        SELECT key FROM functions JOIN nodes USING (rid)
        GROUP BY key HAVING count(DISTINCT surname) > 1
    )
    SELECT '{SHARED_PHONE}' AS finding, 'phone' AS kind, key, rid
    FROM phones JOIN carriers USING (key)
    UNION ALL
    SELECT '{FUNCTION_MAILBOX}', 'email', key, rid FROM mailboxes JOIN functions USING (key)
"""
_NEW_FINDINGS = """
    CREATE OR REPLACE TEMP TABLE new_findings AS
    WITH involved AS (
        SELECT finding, kind, key, whole, rid
        FROM found JOIN parts USING (whole)
        UNION ALL
        SELECT finding, kind, key, NULL, rid FROM shared
    ), gathered AS (
        SELECT finding, kind, key,
               list(DISTINCT customer_id ORDER BY customer_id) AS customer_ids,
               list(DISTINCT ref ORDER BY ref) AS records
        FROM involved JOIN components USING (rid) JOIN assigned USING (component)
        JOIN nodes USING (rid)
        GROUP BY finding, kind, key, whole
    )
    SELECT gathered.*, coalesce(held.since, $now::TIMESTAMPTZ) AS since
    FROM gathered LEFT JOIN silver.identity_findings AS held
        ON held.finding = gathered.finding AND held.records = gathered.records
       AND held.key IS NOT DISTINCT FROM gathered.key
"""
_FORGET_FINDINGS = """
    DELETE FROM silver.identity_findings
    WHERE rowid IN (
        SELECT row FROM (
            SELECT rowid AS row, unnest(customer_ids) AS customer_id FROM silver.identity_findings
        ) SEMI JOIN touched_customers USING (customer_id)
    )
"""
