"""What a person should look at: what the identity rules held back or may have joined wrong.

One row per finding of the identity step, in Portuguese and with the command that settles it, those
with most people and money at stake first, those that a decision settled last.
"""

import dagster as dg
import polars as pl

from crm_assets.checks.contract import Verdict
from crm_assets.checks.gold import IdentityReview
from crm_assets.silver.conflicts import (
    BUYERS_APART,
    DOCUMENTS_APART,
    DOCUMENTS_TOGETHER,
    KEPT_APART,
    RULE_IGNORED,
)
from crm_assets.silver.findings import FUNCTION_MAILBOX, QUARANTINED, SHARED_PHONE
from crm_assets.steps import Metadata, Reconciliation, Site, Table, table_step
from crm_resources.warehouse import Transaction

REVIEW = Table(
    "gold.identity_review",
    IdentityReview,
    "O que merece o olhar de uma pessoa no cadastro: perfis em quarentena, documentos e "
    "compradores diferentes, telefones e caixas de muitos, decisões sem efeito. Primeiro o que "
    "pesa mais.",
    reads=("silver.identity_findings", "silver.sales"),
)

FINDINGS = {
    QUARANTINED: (
        "E-mails ou telefones demais para uma pessoa só; os telefones deixaram de unir os "
        "registros deste perfil.",
        "Olhe cada cliente com `crm customers show`; se o culpado é um e-mail ou telefone de muita "
        "gente, `crm customers keep-apart --key`; se são uma pessoa só, `crm customers merge`.",
    ),
    DOCUMENTS_TOGETHER: (
        "Um cliente só com dois CPFs válidos, porque o e-mail é o mesmo ou alguém decidiu.",
        "Se são duas pessoas, separe os registros de uma com `crm customers split`.",
    ),
    DOCUMENTS_APART: (
        "Mesmo telefone com CPFs diferentes; ficaram separados.",
        "Se são uma pessoa só, `crm customers merge`.",
    ),
    BUYERS_APART: (
        "Mesmo telefone com compradores da Hotmart de nomes diferentes; ficaram separados.",
        "Se são uma pessoa só, `crm customers merge`.",
    ),
    KEPT_APART: (
        "Registros que um e-mail ou telefone uniria e que uma decisão mantém separados.",
        "Nada a fazer; se a decisão já não serve, `crm customers undo`.",
    ),
    SHARED_PHONE: (
        "Telefone com vários e-mails e nomes: de uma família, de um escritório ou inventado.",
        "Se não é de uma pessoa só, `crm customers keep-apart --key` com ele.",
    ),
    FUNCTION_MAILBOX: (
        "E-mail de função, como contato@, usado por pessoas de sobrenomes diferentes.",
        "Se não é de uma pessoa só, `crm customers keep-apart --key` com ele.",
    ),
    RULE_IGNORED: (
        "Uma decisão de união não vale, porque contradiz outra que separa os mesmos registros.",
        "Veja as decisões com `crm customers list` e desfaça uma com `crm customers undo`.",
    ),
}
"""Finding -> why it is listed, and what to do about it."""


def review_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The review list of one tenant."""
    reconciliation = Reconciliation(
        REVIEW.name,
        "todo_achado_uma_vez",
        "Todo achado da identidade está na lista, e uma vez só.",
        _each_finding_once,
    )
    return [
        table_step(
            site, "identity_review", [REVIEW], write=_write, reconciliations=[reconciliation]
        )
    ]


def _write(tx: Transaction) -> dict[str, Metadata]:
    said = [(finding, reason, remedy) for finding, (reason, remedy) in FINDINGS.items()]
    words = pl.DataFrame(said, schema=["finding", "reason", "remedy"], orient="row")
    tx.replace_table(REVIEW.name, _REVIEW, words=words)
    counted = tx.read(f"SELECT finding, count(*) FROM {REVIEW.name} GROUP BY ALL ORDER BY 1")
    return {REVIEW.name: dict(counted.rows())}


def _each_finding_once(tx: Transaction) -> Verdict:
    found, listed, differing = tx.read(_DIFFERENCE).row(0)
    return Verdict(
        "todo_achado_uma_vez", not differing, {"achados": found, "linhas na lista": listed}
    )


# What a decision has settled stands last.
_REVIEW = f"""
    WITH numbered AS (
        SELECT *, row_number() OVER () AS number FROM silver.identity_findings
    ), worth AS (
        SELECT number, count(*) AS sales, sum(value) AS value
        FROM (SELECT number, unnest(customer_ids) AS customer_id FROM numbered)
        JOIN silver.sales AS sales USING (customer_id)
        WHERE is_eligible GROUP BY number
    )
    SELECT row_number() OVER (
               ORDER BY finding = '{KEPT_APART}', len(customer_ids) DESC,
                        coalesce(worth.value, 0) DESC, len(records) DESC,
                        finding, customer_ids, key
           ) AS position,
           finding, reason, remedy,
           customer_ids, len(customer_ids)::BIGINT AS customers,
           records, len(records)::BIGINT AS record_count, kind, key,
           coalesce(worth.sales, 0)::BIGINT AS sales,
           coalesce(worth.value, 0)::DECIMAL(18, 2) AS value, since
    FROM numbered JOIN words USING (finding) LEFT JOIN worth USING (number)
    ORDER BY position
"""
_DIFFERENCE = """
    WITH found AS (
        SELECT finding, customer_ids, records, kind, key FROM silver.identity_findings
    ), listed AS (
        SELECT finding, customer_ids, records, kind, key FROM gold.identity_review
    )
    SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM listed),
           (SELECT count(*) FROM (FROM found EXCEPT ALL FROM listed))
               + (SELECT count(*) FROM (FROM listed EXCEPT ALL FROM found))
"""
