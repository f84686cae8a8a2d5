"""The action log of the operations store, as bronze: what people and we decided.

It is our own log, small and append-only, so every run copies it whole.
"""

import dagster as dg

from crm_assets.bronze.landing import ERASED, NO_REJECTS, record_landing
from crm_assets.checks.bronze import CrmActions
from crm_assets.privacy.scrub import masked_log
from crm_assets.privacy.tombstones import KeyUnusable, tombstones_of
from crm_assets.steps import Events, Metadata, Site, Table, commit
from crm_resources.ops import Load
from crm_resources.warehouse import Transaction

SOURCE = "actions"
SLICE = "all"

ACTIONS = Table(
    "bronze.crm_actions",
    CrmActions,
    "Decisões registradas: quem entrou em lote, o que foi entregue ou pulado, quem pediu "
    "para não ser contatado.",
)


def action_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The bronze asset of the action log."""

    @dg.multi_asset(
        name=site.op_name("crm_actions"),
        specs=[
            site.spec(ACTIONS, kinds={"postgres" if site.settings.ops_url else "sqlite", "duckdb"})
        ],
        check_specs=[site.contract_spec(ACTIONS)],
        required_resource_keys=site.resource_keys("warehouse", "ops"),
    )
    def crm_actions(context: dg.AssetExecutionContext) -> Events:
        ops = site.ops(context)
        log = ops.actions()
        load = Load(
            source=SOURCE,
            slice=SLICE,
            content_sha256=str(log["id"].max() or 0),
            rows=len(log),
            status="landed",
            complete=True,
            verified=True,
            run_id=context.run.run_id,
            at=site.run_began_at(context),
        )

        def write(tx: Transaction) -> dict[str, Metadata]:
            try:
                masked = masked_log(log, tombstones_of(site.settings, site.tenant, ops))
            except KeyUnusable as error:
                raise dg.Failure(str(error), allow_retries=False) from None
            tx.execute(f"DELETE FROM {ACTIONS.name}")
            tx.append(ACTIONS.name, masked.rename({"at": "occurred_at"}))
            record_landing(tx, load, NO_REJECTS)
            hidden = int((masked.hash_rows() != log.hash_rows()).sum())
            return {ACTIONS.name: {ERASED: hidden}} if hidden else {}

        yield from commit(site, site.warehouse(context), ACTIONS.name, [ACTIONS], write)
        ops.record_load(load)

    return [crm_actions]
