"""Whom we spoke to and who asked us not to: contact history, consents and opt-outs (rules 3)."""

from __future__ import annotations

from functools import partial

import dagster as dg

from crm_assets.checks.silver import Consents, ContactHistory, OptOuts
from crm_assets.privacy.consents import IN_FORCE, LEDGER, LEDGER_DDL
from crm_assets.steps import Metadata, Site, Table, table_step
from crm_resources.warehouse import Transaction

HISTORY = Table(
    "silver.contact_history",
    ContactHistory,
    "Cada contato feito: lotes de remarketing e a data_remarketing do ManyChat.",
    reads=("silver.contact_records", "silver.customer_xref", "bronze.crm_actions"),
)
CONSENTS = Table(
    "silver.consents",
    Consents,
    "Tudo o que cada pessoa permitiu ou recusou, por chave, canal e finalidade, com a prova. Nada "
    "é reescrito.",
    reads=("silver.contact_records", "bronze.crm_actions"),
)
OPT_OUTS = Table(
    "silver.opt_outs",
    OptOuts,
    "E-mails e telefones que não podem ser contatados, desde quando e por quê.",
    reads=("silver.consents",),
)

LOG_POSITION = "silver.action_log_position"
"""The last action that this step has read; bronze may already hold newer ones."""


def contact_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The step that reads the action log."""
    return [
        table_step(
            site,
            "contact_history",
            [HISTORY, CONSENTS, OPT_OUTS],
            write=partial(_write, site),
        )
    ]


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    today = site.today()
    tx.replace_table(HISTORY.name, _HISTORY, {"today": today})
    tx.execute(LEDGER_DDL)
    tx.replace_table(CONSENTS.name, LEDGER)
    tx.replace_table(OPT_OUTS.name, IN_FORCE)
    tx.replace_table(LOG_POSITION, _LOG_POSITION)
    counted = tx.scalar(f"SELECT count(*) FROM {HISTORY.name} WHERE counts")
    said = tx.read(f"SELECT status, count(*) FROM {CONSENTS.name} GROUP BY ALL ORDER BY 1")
    return {
        HISTORY.name: {"contam como contato": counted},
        CONSENTS.name: {_SAID[status]: count for status, count in said.rows()},
    }


_SAID = {"granted": "permissões", "revoked": "recusas"}
_LOG_POSITION = "SELECT coalesce(max(id), 0) AS last_action_id FROM bronze.crm_actions"

# A selection is a contact from the moment it is made until somebody marks it skipped, or its day
# ends without it having been delivered (rules 3.2, 4.5). Actions on one place may name the person
# by ids that were merged in between. An id that this master never gave, because the warehouse was
# built anew, is found again by the keys that its selection recorded.
_HISTORY = """
    WITH keyed AS (
        SELECT DISTINCT actions.customer_id, key
        FROM bronze.crm_actions AS actions
        CROSS JOIN LATERAL (VALUES (email_key), (phone_key)) AS k(key)
        WHERE kind = 'batch_selected' AND key IS NOT NULL
          AND actions.customer_id NOT IN (SELECT customer_id FROM silver.customer_ids)
    ), found AS (
        SELECT keyed.customer_id, min(xref.customer_id) AS person
        FROM silver.contact_records
        CROSS JOIN LATERAL (VALUES (email_key), (coalesce(phone_key, phone))) AS k(key)
        JOIN keyed USING (key)
        JOIN silver.customer_xref AS xref USING (record_id)
        WHERE xref.valid_to IS NULL
        GROUP BY keyed.customer_id
    ), said AS (
        SELECT actions.* REPLACE (coalesce(found.person, customer_id) AS customer_id),
               coalesce(survivor_id, found.person, customer_id) AS person
        FROM bronze.crm_actions AS actions
        LEFT JOIN silver.customer_ids USING (customer_id)
        LEFT JOIN found USING (customer_id)
        WHERE kind IN ('batch_selected', 'batch_delivered', 'batch_skipped')
    ), known AS (
        SELECT day, person, bool_or(kind = 'batch_skipped') AS is_skipped,
               bool_or(kind = 'batch_delivered') AS is_delivered
        FROM said GROUP BY day, person
    ), selected AS (
        SELECT said.*,
               CASE WHEN is_skipped THEN 'pulado'
                    WHEN is_delivered THEN 'entregue'
                    WHEN day < $today THEN 'nao_entregue'
                    ELSE 'selecionado' END AS outcome
        FROM said JOIN known USING (day, person) WHERE kind = 'batch_selected'
    )
    SELECT 'acao:' || id AS contact_id, customer_id, day, occurred_at, 'whatsapp' AS channel,
           'lote_remarketing' AS kind, outcome, outcome IN ('selecionado', 'entregue') AS counts
    FROM selected
    UNION ALL
    SELECT record_id, customer_id, remarketing_at::DATE, remarketing_at, 'whatsapp',
           'data_remarketing', NULL, true
    FROM silver.contact_records
    JOIN silver.customer_xref AS xref USING (record_id)
    WHERE remarketing_at IS NOT NULL AND xref.valid_to IS NULL
"""
