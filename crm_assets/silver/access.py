"""The access step: decides again who may use what, in each refine and every hour by the clock."""

from __future__ import annotations

from functools import partial

import dagster as dg

from crm_assets.checks.contract import Verdict
from crm_assets.checks.subscriptions import Access, AccessLog
from crm_assets.silver.access_rules import decide_access
from crm_assets.steps import Metadata, Reconciliation, Site, Table, table_step
from crm_resources.warehouse import Transaction

_READS = (
    "silver.subscriptions",
    "silver.subscription_periods",
    "silver.sales",
    "silver.customer_ids",
    "bronze.crm_actions",
)
ACCESS = Table(
    "silver.access",
    Access,
    "Quem pode usar cada produto agora, por quê e até quando: liberado, em tolerância, suspenso ou "
    "encerrado. A decisão de uma pessoa vale mais que a regra.",
    reads=_READS,
)
LOG = Table(
    "silver.access_log",
    AccessLog,
    "Cada mudança de acesso, uma vez, com o que a decidiu, quando e, se foi uma pessoa, quem.",
    reads=_READS,
)

ACCESS_TABLES = (ACCESS, LOG)
"""What the hourly job writes."""

_LABELS = {
    "granted": "liberados",
    "grace": "em tolerância",
    "suspended": "suspensos",
    "ended": "encerrados",
}


def access_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The access step of one tenant."""
    return [
        table_step(
            site,
            "access",
            ACCESS_TABLES,
            write=partial(_write, site),
            reconciliations=[
                Reconciliation(
                    LOG.name,
                    "acesso_igual_ao_registro",
                    "O último registro de cada acesso diz o que o acesso diz.",
                    _log_agrees,
                )
            ],
        )
    ]


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    if not tx.scalar(_IS_BUILT):
        return {}
    tenant = site.tenant
    logged = tx.count(LOG.name)
    decide_access(
        tx,
        plans=tenant.access.plans,
        grace_days=tenant.access.grace_days,
        currency=tenant.currency,
        today=site.today(),
        now=site.settings.now(),
    )
    statuses = dict(tx.read(f"SELECT status, count(*) FROM {ACCESS.name} GROUP BY ALL").rows())
    plans = tx.read(_PLANS)
    decided, disputed, planless = tx.read(_SPECIAL).row(0)
    return {
        ACCESS.name: {
            **{label: statuses.get(status, 0) for status, label in _LABELS.items()},
            "em disputa": disputed,
            "decididos por uma pessoa": decided,
            **{f"plano {plan}": count for plan, count in plans.rows()},
            "assinaturas sem plano (valor desconhecido)": planless,
        },
        LOG.name: {"mudanças agora": tx.count(LOG.name) - logged},
    }


def _log_agrees(tx: Transaction) -> Verdict:
    broken = tx.scalar(_DISAGREEING) if tx.scalar(_IS_BUILT) else 0
    return Verdict("acesso_igual_ao_registro", broken == 0, {"acessos sem registro": broken})


# Before the first refine there is nothing to decide.
_IS_BUILT = """
    SELECT count(*) = 2 FROM duckdb_tables()
    WHERE schema_name = 'silver' AND table_name IN ('sales', 'contact_records')
"""
_PLANS = f"""
    SELECT plan, count(*) FROM {ACCESS.name}
    WHERE plan IS NOT NULL AND status IN ('granted', 'grace') GROUP BY ALL ORDER BY ALL
"""
_SPECIAL = f"""
    SELECT count(decided_by), count(*) FILTER (is_disputed),
           count(*) FILTER (subscriber_code IS NOT NULL AND plan IS NULL
                            AND status IN ('granted', 'grace'))
    FROM {ACCESS.name}
"""
_DISAGREEING = f"""
    SELECT count(*) FROM {ACCESS.name} AS access LEFT JOIN (
        SELECT coalesce(survivor_id, customer_id) AS customer_id, product_id,
               arg_max(log.status, (noted_at, place)) AS status
        FROM (SELECT *, rowid AS place FROM {LOG.name}) AS log
        LEFT JOIN silver.customer_ids USING (customer_id)
        GROUP BY ALL
    ) AS latest USING (customer_id, product_id)
    WHERE latest.status IS DISTINCT FROM access.status
"""
