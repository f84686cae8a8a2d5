"""The identity step: which record belongs to which customer, and what happened to ids."""

from __future__ import annotations

from functools import partial

import dagster as dg

from crm_assets.checks.contract import Verdict
from crm_assets.checks.silver import CustomerIds, CustomerMerges, CustomerXref
from crm_assets.plots import stacked_bars
from crm_assets.silver.identity import assign_ids, resolve, update_xref
from crm_assets.steps import Metadata, Reconciliation, Site, Table, table_step
from crm_resources.warehouse import Transaction

XREF = Table(
    "silver.customer_xref",
    CustomerXref,
    "A qual cliente pertence cada registro, desde quando, e qual chave os uniu.",
    reads=("silver.contact_records",),
)
IDS = Table(
    "silver.customer_ids",
    CustomerIds,
    "Todo identificador de cliente já criado e qual responde por ele hoje.",
    reads=("silver.contact_records",),
)
MERGES = Table(
    "silver.customer_merges",
    CustomerMerges,
    "O que aconteceu com os identificadores: criado, separado, unido a outro, voltou, aposentado.",
    reads=("silver.contact_records",),
)


def xref_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The identity step of one tenant."""
    reconciliation = Reconciliation(
        XREF.name,
        "registro_em_um_so_cliente",
        "Todo registro com e-mail ou telefone pertence a exatamente um cliente.",
        _each_record_once,
    )
    return [
        table_step(
            site,
            "customer_xref",
            [XREF, IDS, MERGES],
            write=partial(_write, site),
            reconciliations=[reconciliation],
        )
    ]


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    now = site.settings.now()
    resolve(tx)
    assign_ids(tx, now)
    update_xref(tx, now)
    customers = tx.scalar("SELECT count(*) FROM assigned")
    largest = tx.scalar(
        "SELECT max(n) FROM (SELECT count(*) AS n FROM components GROUP BY component)"
    )
    events = tx.read(
        f"SELECT event, count(*) FROM {MERGES.name} WHERE occurred_at = ? GROUP BY ALL ORDER BY 1",
        [now],
    )
    changes = stacked_bars("Uniões por semana", tx.read(_CHANGES, {"today": site.today()}))
    return {
        XREF.name: {"clientes": customers, "maior cliente (registros)": largest or 0},
        MERGES.name: {
            "uniões e separações por semana": dg.MetadataValue.md(changes.markdown),
            **{f"nesta rodada: {event}": count for event, count in events.rows()},
        },
    }


def _each_record_once(tx: Transaction) -> Verdict:
    usable = tx.scalar(
        """
        SELECT count(*) FROM silver.contact_records
        WHERE email_key IS NOT NULL OR phone_key IS NOT NULL
        """
    )
    once = tx.scalar(
        """
        SELECT count(*) FROM (
            SELECT record_id FROM silver.contact_records AS records
            JOIN silver.customer_xref AS xref USING (record_id)
            WHERE xref.valid_to IS NULL
              AND (records.email_key IS NOT NULL OR records.phone_key IS NOT NULL)
            GROUP BY record_id HAVING count(*) = 1
        )
        """
    )
    return Verdict(
        "registro_em_um_so_cliente",
        usable == once,
        {"registros com chave": usable, "em exatamente um cliente": once},
    )


_CHANGES = """
    SELECT $today::DATE - 7 * weeks_ago::INTEGER AS week,
           count(*) FILTER (WHERE event = 'merge') AS "uniões",
           count(*) FILTER (WHERE event = 'split') AS "separações"
    FROM range(30) AS weeks(weeks_ago) LEFT JOIN (
        SELECT event, ($today::DATE - occurred_at::DATE) // 7 AS weeks_ago
        FROM silver.customer_merges WHERE event IN ('merge', 'split')
    ) USING (weeks_ago)
    GROUP BY week ORDER BY week
"""
