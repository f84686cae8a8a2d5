"""One installation with one tenant, for tests that run rounds."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg

from crm_assets.definitions import build, site_of
from crm_assets.resources import MIGRATIONS
from crm_assets.rounds import Round, run_round
from crm_assets.settings import CHECKOUT, Settings
from crm_assets.steps import Site
from crm_assets.tenants import Tenant, build_tenant_model
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS
from crm_resources.ops import OpsStore
from crm_resources.warehouse import Warehouse

SAMPLE = CHECKOUT / "data" / "sample"
SAMPLE_NOW = "2026-03-15T09:00:00-03:00"


@dataclass
class World:
    """One installation with one tenant.

    `rounds` runs what `crm run` runs. `environ` and `table` (the tenant's TOML table) may be
    changed between rounds.
    """

    home: Path
    instance: dg.DagsterInstance
    environ: dict[str, str]
    table: dict[str, Any] = field(default_factory=dict)
    slug: str = "default"

    @property
    def settings(self) -> Settings:
        return Settings.from_environ(self.environ)

    @property
    def tenant(self) -> Tenant:
        return build_tenant_model(self.slug, self.table, self.environ)

    @property
    def site(self) -> Site:
        return site_of(self.tenant, self.settings)

    @property
    def ops(self) -> OpsStore:
        settings = self.settings
        return OpsStore(settings.ops_address(self.slug), settings.ops_tenant(self.slug))

    @property
    def folder(self) -> Path:
        return self.settings.store_folder(self.slug)

    @property
    def inbox(self) -> Path:
        folder = self.settings.input_folder(self.slug, "manychat")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def definitions(self) -> dg.Definitions:
        return build(self.settings, {self.slug: self.tenant})

    def at(self, now: str) -> World:
        """The same world at another instant."""
        return replace(self, environ={**self.environ, "CRM_NOW": now})

    def round(self, *stages: str, **more: Any) -> Round:
        """Run the stages (all of them by default)."""
        if stages:
            more["stages"] = stages
        return run_round(self.site, self.definitions, self.instance, **more)

    def green(self, *stages: str, **more: Any) -> Round:
        """A round that must succeed."""
        done = self.round(*stages, **more)
        assert done.ok, [(outcome.stage, outcome.errors) for outcome in done.outcomes]
        return done

    def rows(self, sql: str, params: Any = None) -> list[dict[str, Any]]:
        """Read the warehouse."""
        return self.warehouse.read(sql, params).to_dicts()

    def value(self, sql: str, params: Any = None) -> Any:
        """First cell of a query on the warehouse."""
        return next(iter(self.rows(sql, params)[0].values()))

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(
            database=str(self.folder / "warehouse.duckdb"),
            migrations=str(MIGRATIONS),
            timezone=self.tenant.timezone,
            lock_wait_seconds=20,
        )


def sample_table() -> dict[str, Any]:
    """The sample tenant's table in its tenants.toml."""
    return tomllib.loads((SAMPLE / "tenants.toml").read_text())["tenants"]["default"]


def sandbox_environ(home: Path, url: str) -> dict[str, str]:
    """The environment of an installation whose Hotmart is a sandbox at `url`."""
    return {
        "ENVIRONMENT": "prd",
        "CRM_HOME": str(home),
        "CRM_NOW": SAMPLE_NOW,
        "HOTMART_API_URL": url,
        "HOTMART_AUTH_URL": url,
        "HOTMART_CLIENT_ID": SANDBOX_CREDENTIALS.client_id,
        "HOTMART_CLIENT_SECRET": SANDBOX_CREDENTIALS.client_secret,
    }
