"""The code location: one graph per tenant, nothing else.

`CRM_LOCATION_TENANTS` (comma-separated slugs) narrows the tenants that a location loads, so that
the same package serves one location for all or one per tenant. Loading reads settings and
`tenants.toml`; it opens no store and no connection.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import dagster as dg

from crm_assets.automation import automation, ops_url
from crm_assets.bronze.actions import action_assets
from crm_assets.bronze.hotmart import hotmart_assets
from crm_assets.bronze.manychat import manychat_assets
from crm_assets.gold.audiences import audience_assets
from crm_assets.gold.remarketing import remarketing_assets
from crm_assets.gold.serving import export_assets, serving_assets
from crm_assets.partitions import Partitions
from crm_assets.settings import Settings, SettingsError, load_settings
from crm_assets.silver.contacts import contact_assets
from crm_assets.silver.customers import customer_assets
from crm_assets.silver.records import record_assets
from crm_assets.silver.sales import sale_assets
from crm_assets.silver.xref import xref_assets
from crm_assets.steps import Site
from crm_assets.tenants import Tenant, load_tenants
from crm_resources.hotmart.resource import HotmartResource
from crm_resources.ops.resource import OpsResource
from crm_resources.refine_lock import RefineLock
from crm_resources.warehouse import Warehouse

MIGRATIONS = Path(__file__).parent / "migrations"

ASSETS = (
    hotmart_assets,
    manychat_assets,
    action_assets,
    record_assets,
    xref_assets,
    sale_assets,
    contact_assets,
    customer_assets,
    audience_assets,
    remarketing_assets,
    serving_assets,
    export_assets,
)


def site_of(tenant: Tenant, settings: Settings) -> Site:
    """A tenant's place in the graph."""
    return Site(tenant, settings, Partitions.of(tenant, settings))


def build_tenant(site: Site) -> dg.Definitions:
    """Everything of one tenant: assets, jobs, schedules, sensors and resources."""
    folder = site.settings.store_folder(site.tenant.slug)
    hotmart = site.tenant.hotmart
    resources = {
        "warehouse": Warehouse(
            database=str(folder / "warehouse.duckdb"),
            migrations=str(MIGRATIONS),
            timezone=site.tenant.timezone,
        ),
        "ops": OpsResource(
            url=dg.EnvVar("CRM_OPS_URL") if os.environ.get("CRM_OPS_URL") else ops_url(site),
            tenant=site.tenant.slug,
        ),
        "refine_lock": RefineLock(path=str(folder / "refine.lock")),
        "hotmart": HotmartResource(
            client_id_env=hotmart.client_id_env,
            client_secret_env=hotmart.client_secret_env,
            basic_token_env=hotmart.basic_token_env,
            api_url=hotmart.api_url,
            auth_url=hotmart.auth_url,
            calls_per_minute=hotmart.calls_per_minute,
        ),
    }
    assets = [asset for build in ASSETS for asset in build(site)]
    return dg.Definitions.merge(
        dg.Definitions(
            assets=assets,
            resources={site.resource_key(name): made for name, made in resources.items()},
        ),
        automation(site, assets),
    )


def build(settings: Settings, tenants: dict[str, Tenant]) -> dg.Definitions:
    """The definitions of several tenants; steps run in the process of their run by default."""
    sites = [site_of(tenant, settings) for tenant in tenants.values()]
    return dg.Definitions.merge(
        dg.Definitions(executor=dg.in_process_executor), *(build_tenant(site) for site in sites)
    )


def selected_tenants(settings: Settings) -> dict[str, Tenant]:
    """The tenants that this location loads.

    Raises:
        SettingsError: the narrowing variable names an unknown tenant.
    """
    tenants = load_tenants(settings, os.environ)
    named = os.environ.get("CRM_LOCATION_TENANTS", "").split(",")
    wanted = [slug.strip() for slug in named if slug.strip()]
    unknown = [slug for slug in wanted if slug not in tenants]
    if unknown:
        raise SettingsError(f"CRM_LOCATION_TENANTS cita a empresa desconhecida {unknown[0]!r}.")
    return {slug: tenants[slug] for slug in wanted} if wanted else tenants


# `backfill_policy` is still marked beta, and everybody's single-run backfill rests on it.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

_settings = load_settings()
defs = build(_settings, selected_tenants(_settings))
