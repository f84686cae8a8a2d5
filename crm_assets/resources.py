"""The resources of one tenant, made from its settings; none of them connects to anything yet."""

from pathlib import Path
from typing import Any

import dagster as dg

from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_resources.hotmart.resource import HotmartResource
from crm_resources.ops.resource import OpsResource
from crm_resources.refine_lock import RefineLock
from crm_resources.warehouse import Warehouse

MIGRATIONS = Path(__file__).parent / "migrations"


def tenant_resources(settings: Settings, tenant: Tenant) -> dict[str, dg.ConfigurableResource[Any]]:
    """Warehouse, operations store, refine lock and Hotmart account of `tenant`, by name."""
    folder = settings.store_folder(tenant.slug)
    address = settings.ops_address(tenant.slug)
    return {
        "warehouse": warehouse_of(settings, tenant),
        "ops": OpsResource(
            url=dg.EnvVar("CRM_OPS_URL") if settings.ops_url else address,
            tenant=settings.ops_tenant(tenant.slug),
        ),
        "refine_lock": RefineLock(path=str(folder / "refine.lock")),
        "hotmart": hotmart_resource(tenant),
    }


def warehouse_of(settings: Settings, tenant: Tenant) -> Warehouse:
    """The tenant's warehouse."""
    return Warehouse(
        database=str(settings.store_folder(tenant.slug) / "warehouse.duckdb"),
        migrations=str(MIGRATIONS),
        timezone=tenant.timezone,
    )


def hotmart_resource(tenant: Tenant) -> HotmartResource:
    """The tenant's Hotmart account."""
    hotmart = tenant.hotmart
    return HotmartResource(
        client_id_env=hotmart.client_id_env,
        client_secret_env=hotmart.client_secret_env,
        basic_token_env=hotmart.basic_token_env,
        api_url=hotmart.api_url,
        auth_url=hotmart.auth_url,
        calls_per_minute=hotmart.calls_per_minute,
    )
