"""The weekly proof of the identity: everything resolved anew gives the people that stand.

The daily step resolves only what changed. Here all records are resolved under the same guards and
decisions, into temporary tables, and the two partitions are compared record by record.
"""

import dagster as dg

from crm_assets.checks.contract import Verdict
from crm_assets.person_rules import Identity
from crm_assets.silver.identity import find_components
from crm_assets.silver.xref import XREF
from crm_assets.steps import Site
from crm_resources.warehouse import Transaction

NAME = "igual_a_resolucao_completa"


def audit_key(site: Site) -> dg.AssetCheckKey:
    """Key of the check."""
    return dg.AssetCheckKey(site.key(XREF.name), NAME)


def identity_audit(site: Site) -> dg.AssetChecksDefinition:
    """The check of one tenant; its own job runs it, never the daily refine."""

    @dg.asset_check(
        asset=site.key(XREF.name),
        name=NAME,
        description="Resolver todos os registros de novo dá os mesmos clientes que a atualização "
        "dia a dia.",
        required_resource_keys=site.resource_keys("warehouse", "refine_lock"),
    )
    def audit(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        with site.warehouse(context).write(NAME) as tx:
            verdict = compare(tx, site.tenant.identity)
        return dg.AssetCheckResult(passed=verdict.passed, metadata=dict(verdict.metadata))

    return audit


def compare(tx: Transaction, guards: Identity) -> Verdict:
    """Resolve everything into temporary tables and compare who is with whom.

    Records that changed after the last identity step wait for the next one; while there are any,
    nothing can be compared.
    """
    if waiting := tx.scalar("SELECT count(*) FROM silver.contact_changes"):
        return Verdict(NAME, passed=True, metadata={"não comparado, registros à espera": waiting})
    find_components(tx, guards)
    found = tx.read(_DIFFERENCES).row(0, named=True)
    return Verdict(
        NAME,
        not any(found.values()),
        {"registros": tx.scalar("SELECT count(*) FROM components"), **found},
    )


_DIFFERENCES = """
    WITH full_run AS (SELECT record_id, component FROM components JOIN nodes USING (rid)),
    standing AS (SELECT record_id, customer_id FROM silver.customer_xref WHERE valid_to IS NULL),
    both_runs AS (FROM full_run JOIN standing USING (record_id))
    SELECT (SELECT count(*) FROM full_run ANTI JOIN standing USING (record_id))
               AS "registros sem cliente",
           (SELECT count(*) FROM standing ANTI JOIN full_run USING (record_id))
               AS "registros com cliente a mais",
           (SELECT count(*) FROM (SELECT component FROM both_runs GROUP BY component
                                  HAVING count(DISTINCT customer_id) > 1))
               AS "pessoas repartidas",
           (SELECT count(*) FROM (SELECT customer_id FROM both_runs GROUP BY customer_id
                                  HAVING count(DISTINCT component) > 1))
               AS "clientes com mais de uma pessoa"
"""
