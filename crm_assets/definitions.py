"""The code location: one graph per tenant, nothing else.

`CRM_LOCATION_TENANTS` (comma-separated slugs) narrows the tenants that a location loads, so that
the same package serves one location for all or one per tenant. Loading reads settings and
`tenants.toml`; it opens no store and no connection.
"""

from __future__ import annotations

import os
import warnings

import dagster as dg

from crm_assets.automation.jobs import automation
from crm_assets.bronze.actions import action_assets
from crm_assets.bronze.hotmart import hotmart_assets
from crm_assets.bronze.hotmart_csv import hotmart_csv_assets
from crm_assets.bronze.hotmart_events import event_assets
from crm_assets.bronze.manychat import manychat_assets
from crm_assets.gold.audiences import audience_assets
from crm_assets.gold.churn_report import churn_assets
from crm_assets.gold.metrics import metric_assets
from crm_assets.gold.remarketing import remarketing_assets
from crm_assets.gold.reports import report_assets
from crm_assets.gold.review import review_assets
from crm_assets.gold.serving import export_assets, serving_assets
from crm_assets.gold.triggers import trigger_assets
from crm_assets.partitions import Partitions
from crm_assets.privacy.retention import retention_job
from crm_assets.resources import tenant_resources
from crm_assets.safekeeping.cleanup import cleanup_job
from crm_assets.safekeeping.job import backup_job
from crm_assets.settings import Settings, load_settings
from crm_assets.silver.access import access_assets
from crm_assets.silver.audit import identity_audit
from crm_assets.silver.carts import cart_assets
from crm_assets.silver.contacts import contact_assets
from crm_assets.silver.customers import customer_assets
from crm_assets.silver.records import record_assets
from crm_assets.silver.sales import sale_assets
from crm_assets.silver.subscriptions import subscription_assets
from crm_assets.silver.xref import xref_assets
from crm_assets.steps import Site
from crm_assets.tenants import Tenant, location_tenants

ASSETS = (
    hotmart_assets,
    hotmart_csv_assets,
    manychat_assets,
    event_assets,
    action_assets,
    record_assets,
    xref_assets,
    sale_assets,
    cart_assets,
    subscription_assets,
    access_assets,
    contact_assets,
    customer_assets,
    trigger_assets,
    audience_assets,
    remarketing_assets,
    report_assets,
    metric_assets,
    review_assets,
    serving_assets,
    export_assets,
    churn_assets,
)


def site_of(tenant: Tenant, settings: Settings) -> Site:
    """A tenant's place in the graph."""
    return Site(tenant, settings, Partitions.of(tenant, settings))


def build_tenant(site: Site) -> dg.Definitions:
    """Everything of one tenant: assets, jobs, schedules, sensors and resources."""
    assets = [asset for build in ASSETS for asset in build(site)]
    resources = tenant_resources(site.settings, site.tenant)
    named = {site.resource_key(name): resource for name, resource in resources.items()}
    housekeeping = {
        "retention": retention_job(site),
        "cleanup": cleanup_job(site),
        "backup": backup_job(site),
    }
    return dg.Definitions.merge(
        dg.Definitions(assets=assets, asset_checks=[identity_audit(site)], resources=named),
        automation(site, assets, housekeeping),
    )


def build(settings: Settings, tenants: dict[str, Tenant]) -> dg.Definitions:
    """The definitions of several tenants; steps run in the process of their run by default."""
    sites = [site_of(tenant, settings) for tenant in tenants.values()]
    return dg.Definitions.merge(
        dg.Definitions(executor=dg.in_process_executor), *(build_tenant(site) for site in sites)
    )


# `backfill_policy` is still marked beta, and everybody's single-run backfill rests on it.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

_settings = load_settings()
defs = build(_settings, location_tenants(_settings, os.environ))
