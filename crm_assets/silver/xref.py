"""The identity step: which record belongs to which customer, and what happened to ids."""

from __future__ import annotations

from functools import partial

import dagster as dg

from crm_assets.checks.contract import Verdict
from crm_assets.checks.silver import (
    CustomerIds,
    CustomerMerges,
    CustomerXref,
    IdentityFindings,
    KeyStatus,
)
from crm_assets.plots import stacked_bars
from crm_assets.silver import run_guard
from crm_assets.silver.identity import resolve, store
from crm_assets.steps import Metadata, Reconciliation, Site, Table, table_step
from crm_resources.warehouse import Transaction

_READS = ("silver.contact_records", "bronze.crm_actions")
XREF = Table(
    "silver.customer_xref",
    CustomerXref,
    "A qual cliente pertence cada registro, desde quando, e qual chave os uniu.",
    reads=_READS,
)
IDS = Table(
    "silver.customer_ids",
    CustomerIds,
    "Todo identificador de cliente já criado e qual responde por ele hoje.",
    reads=_READS,
)
MERGES = Table(
    "silver.customer_merges",
    CustomerMerges,
    "O que aconteceu com os identificadores: criado, separado, unido a outro, voltou, aposentado.",
    reads=_READS,
)
KEY_STATUS = Table(
    "silver.key_status",
    KeyStatus,
    "Os e-mails e telefones de muitos registros, e os que não unem ninguém, com o motivo.",
    reads=_READS,
)
FINDINGS = Table(
    "silver.identity_findings",
    IdentityFindings,
    "O que a identidade separou, ou uniu com dúvida, para uma pessoa olhar.",
    reads=_READS,
)


def xref_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The identity step of one tenant."""
    reconciliations = [
        Reconciliation(
            XREF.name,
            "registro_em_um_so_cliente",
            "Todo registro com e-mail ou telefone pertence a exatamente um cliente.",
            _each_record_once,
        ),
        Reconciliation(
            IDS.name,
            "identificadores_chegam_a_um_vivo",
            "Todo identificador chega, em um passo, a um cliente vivo, ou foi aposentado.",
            _redirects_end,
        ),
        Reconciliation(
            MERGES.name,
            run_guard.NAME,
            run_guard.DESCRIPTION,
            partial(run_guard.guard_merges, limits=site.tenant.identity),
        ),
    ]
    return [
        table_step(
            site,
            "customer_xref",
            [XREF, IDS, MERGES, KEY_STATUS, FINDINGS],
            write=partial(_write, site),
            reconciliations=reconciliations,
            prepare=partial(_prepare, site),
        )
    ]


def _prepare(site: Site, tx: Transaction) -> None:
    resolve(tx, site.tenant.identity)


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    now = site.settings.now()
    resolution = store(tx, site.tenant.identity, now)
    customers, largest = tx.read(_CUSTOMERS).row(0)
    events = tx.read(
        f"SELECT event, count(*) FROM {MERGES.name} WHERE occurred_at = ? GROUP BY ALL ORDER BY 1",
        [now],
    )
    changes = stacked_bars("Uniões por semana", tx.read(_CHANGES, {"today": site.today()}))
    statuses = tx.read(f"SELECT status, count(*) FROM {KEY_STATUS.name} GROUP BY ALL ORDER BY 1")
    findings = tx.read(f"SELECT finding, count(*) FROM {FINDINGS.name} GROUP BY ALL ORDER BY 1")
    return {
        XREF.name: {
            "clientes": customers,
            "maior cliente (registros)": largest,
            "resolvidos": "só o que mudou" if resolution.scoped else "todos os registros",
            "registros resolvidos": resolution.records,
        },
        MERGES.name: {
            "uniões e separações por semana": dg.MetadataValue.md(changes.markdown),
            **{f"nesta rodada: {event}": count for event, count in events.rows()},
        },
        KEY_STATUS.name: dict(statuses.rows()),
        FINDINGS.name: dict(findings.rows()),
    }


def _redirects_end(tx: Transaction) -> Verdict:
    lost = tx.scalar(
        """
        SELECT count(*) FROM silver.customer_ids AS ids
        LEFT JOIN silver.customer_ids AS heirs ON heirs.customer_id = ids.survivor_id
        WHERE ids.survivor_id IS NOT NULL
          AND heirs.survivor_id IS DISTINCT FROM heirs.customer_id
        """
    )
    return Verdict("identificadores_chegam_a_um_vivo", lost == 0, {"perdidos": lost})


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


_CUSTOMERS = """
    SELECT count(*), coalesce(max(records), 0) FROM (
        SELECT count(*) AS records FROM silver.customer_xref WHERE valid_to IS NULL
        GROUP BY customer_id
    )
"""
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
