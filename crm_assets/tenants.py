"""The tenant model: one company with its own sources, products, audiences and destinations.

Without `tenants.toml` there is one tenant, `default`, configured by environment variables alone.
With it, each `[tenants.<slug>]` table is a tenant. Secrets never stand in the file, only the names
of the environment variables that hold them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crm_assets.settings import Settings, SettingsError, parse_day

DEFAULT = "default"
HISTORY_START = date(2011, 1, 1)
"""First slice when no start date is configured, so that the code location always loads."""

_SLUG = re.compile(r"[a-z][a-z0-9_]{0,30}")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HotmartSource(_Model):
    """How to read one Hotmart account."""

    enabled: bool = True
    start_date: date | None = None
    end_date: date | None = None
    client_id_env: str
    client_secret_env: str
    basic_token_env: str
    api_url: str = "https://developers.hotmart.com"
    auth_url: str = "https://api-sec-vlc.hotmart.com"
    calls_per_minute: Annotated[int, Field(gt=0)] = 500
    refresh_days: Annotated[int, Field(ge=0)] = 90
    full_refresh_days: Annotated[int, Field(gt=0)] = 7
    include_affiliate_sales: bool = False


class ManychatSource(_Model):
    """Where ManyChat contacts come from."""

    enabled: bool = True


class Audience(_Model):
    """Products that make up one audience, by id or name pattern (`*` and `?`), or all the rest."""

    label: str
    public_label: str
    product_ids: tuple[str, ...] = ()
    product_names: tuple[str, ...] = ()
    rest: bool = False

    @field_validator("product_ids", mode="before")
    @classmethod
    def _ids_as_text(cls, ids: object) -> object:
        return tuple(str(i) for i in ids) if isinstance(ids, list | tuple) else ids


class Remarketing(_Model):
    """Who may enter the batch of the day (rules 4.3 to 4.5)."""

    batch_size: Annotated[int, Field(ge=1, le=50)] = 50
    days_since_purchase: Annotated[int, Field(ge=0)] = 30
    days_since_contact: Annotated[int, Field(ge=0)] = 30
    allow_landline: bool = False
    include_leads: bool = True


class Tenant(_Model):
    """One company."""

    slug: str
    name: str
    timezone: str = "America/Sao_Paulo"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "BRL"
    owners: tuple[str, ...] = ("team:crm",)
    schedules_on: bool = False
    hotmart: HotmartSource
    manychat: ManychatSource = ManychatSource()
    audiences: dict[str, Audience] = {
        "todos": Audience(label="Todos", public_label="todos", rest=True)
    }
    remarketing: Remarketing = Remarketing()

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("fuso horário desconhecido") from None
        return name

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        bad = [s for s in (self.slug, *self.audiences) if not _SLUG.fullmatch(s)]
        if bad:
            raise ValueError(f"nome {bad[0]!r} precisa ter só letras minúsculas, números e _")
        if sum(a.rest for a in self.audiences.values()) > 1:
            raise ValueError("só um público pode ficar com o resto dos produtos (rest = true)")
        return self


def load_tenants(settings: Settings, environ: Mapping[str, str]) -> dict[str, Tenant]:
    """All tenants by slug, in file order.

    Raises:
        SettingsError: the file cannot be read or a value in it cannot be used.
    """
    try:
        text = settings.tenants_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if environ.get("CRM_TENANTS"):
            raise SettingsError(
                f"CRM_TENANTS aponta para um arquivo que não existe: {settings.tenants_file}."
            ) from None
        return {DEFAULT: build_tenant_model(DEFAULT, {}, environ)}
    try:
        tables = tomllib.loads(text).get("tenants", {})
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{settings.tenants_file.name} não é TOML válido: {error}.") from None
    if not tables:
        raise SettingsError(f"{settings.tenants_file.name} não tem tabela [tenants.<nome>].")
    return {slug: build_tenant_model(slug, table, environ) for slug, table in tables.items()}


def build_tenant_model(
    slug: str, table: Mapping[str, object], environ: Mapping[str, str]
) -> Tenant:
    """One tenant from its table, completed by the environment.

    The default tenant reads the short variables (`HOTMART_CLIENT_ID`), a named one the same with
    its name before (`ACME_HOTMART_CLIENT_ID`), unless the table names others. Vendor addresses
    are the installation's.

    Raises:
        SettingsError: a value cannot be used; the message names tenant and key.
    """
    prefix = "" if slug == DEFAULT else f"{slug.upper()}_"
    defaults: dict[str, object] = {
        "client_id_env": f"{prefix}HOTMART_CLIENT_ID",
        "client_secret_env": f"{prefix}HOTMART_CLIENT_SECRET",
        "basic_token_env": f"{prefix}HOTMART_BASIC_TOKEN",
    }
    for key in ("api_url", "auth_url"):
        if url := environ.get(f"HOTMART_{key.upper()}"):
            defaults[key] = url.rstrip("/")
    for key in ("start_date", "end_date"):
        name = f"{prefix}HOTMART_{key.upper()}"
        if day := parse_day(name, environ.get(name)):
            defaults[key] = day
    hotmart = table.get("hotmart", {})
    if not isinstance(hotmart, Mapping):
        raise SettingsError(f"[tenants.{slug}] hotmart precisa ser uma tabela.")
    try:
        return Tenant.model_validate(
            {"name": slug, **table, "slug": slug, "hotmart": {**defaults, **hotmart}}
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"[tenants.{slug}] {where}: {first['msg']}.") from None
