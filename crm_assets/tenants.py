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
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from crm_assets.person_rules import Alerts, Frozen, Identity, Privacy, Survivorship
from crm_assets.settings import Settings, SettingsError, parse_day

DEFAULT = "default"
HISTORY_START = date(2011, 1, 1)
"""First slice when no start date is configured, so that the code location always loads."""

_TOML_PLACE = re.compile(r"at line (\d+), column (\d+)")
"""In an error of `tomllib`; without it the end of the file came too soon."""

_URL = re.compile(r"https?://[^/\s]")
_SECRET = re.compile(r"client_id|secret|token|password|senha|sheet_url", re.IGNORECASE)
_SLUG_FORM = "precisa ter só letras minúsculas, números e _, e começar por letra"
_FORMS = {
    "slug": _SLUG_FORM,
    "[key]": _SLUG_FORM,
    "currency": "precisa ser o código de uma moeda, como BRL",
    "public_label": "precisa ter até 60 letras, números, espaços, pontos ou hifens",
    "api_url": "precisa começar com https://",
    "auth_url": "precisa começar com https://",
}
_MEANINGS = {
    "extra_forbidden": "chave desconhecida",
    "missing": "falta este valor",
    "value_error": "{error}",
    "literal_error": "precisa ser um destes: {expected}",
    "greater_than": "precisa ser maior que {gt}",
    "greater_than_equal": "precisa ser {ge} ou mais",
    "less_than_equal": "precisa ser {le} ou menos",
    "bool": "precisa ser true ou false",
    "date": "precisa ser uma data AAAA-MM-DD",
    "dict": "precisa ser uma tabela",
    "float": "precisa ser um número",
    "int": "precisa ser um número inteiro",
    "model": "precisa ser uma tabela",
    "string": "precisa ser um texto",
    "tuple": "precisa ser uma lista",
}


Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")]
Url = Annotated[str, Field(pattern=_URL.pattern)]
Trigger = Literal[
    "carrinho", "boleto_pix_pendente", "expirado", "recusado", "atrasado", "cancelado",
    "reembolsado", "chargeback", "disputa",
]  # fmt: skip
"""What may have happened to somebody that a message can answer (rules 4.7)."""


class HotmartSource(Frozen):
    """How to read one Hotmart account."""

    enabled: bool = True
    start_date: date | None = None
    end_date: date | None = None
    client_id_env: EnvironmentName
    client_secret_env: EnvironmentName
    basic_token_env: EnvironmentName
    webhook_token_env: EnvironmentName
    api_url: Url = "https://developers.hotmart.com"
    auth_url: Url = "https://api-sec-vlc.hotmart.com"
    calls_per_minute: Annotated[int, Field(gt=0)] = 500
    refresh_days: Annotated[int, Field(ge=0, le=3650)] = 90
    full_refresh_days: Annotated[int, Field(gt=0, le=3650)] = 7
    include_affiliate_sales: bool = False

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise ValueError(
                f"HOTMART_END_DATE ({self.end_date}) vem antes de "
                f"HOTMART_START_DATE ({self.start_date})"
            )
        return self


class ManychatSource(Frozen):
    """Where ManyChat contacts come from.

    Attributes:
        enabled: whether its files and its sheet are read.
        sheet_url_env: variable that holds the address of a Google Sheet; it need not be set.
        sheet_every_minutes: how often the schedule reads the sheet.
        webhook_token_env: variable that holds the tokens of its External Requests.
    """

    enabled: bool = True
    sheet_url_env: EnvironmentName = "MANYCHAT_SHEET_URL"
    sheet_every_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    webhook_token_env: EnvironmentName = "MANYCHAT_WEBHOOK_TOKEN"  # noqa: S105


class Audience(Frozen):
    """Products that make up one audience, by id or name pattern (`*` and `?`), or all the rest.

    Attributes:
        label: its name inside the house.
        public_label: what leaves the house in file names, tags and files (rules 4.1).
        product_ids: ids of its products.
        product_names: patterns of their names.
        rest: takes every product that no other audience names.
        triggers: keeps only the people of whom one of these holds, buyers or not.
    """

    label: str
    public_label: Annotated[str, Field(pattern=r"^[\w][\w .-]*$", max_length=60)]
    product_ids: tuple[str, ...] = ()
    product_names: tuple[str, ...] = ()
    rest: bool = False
    triggers: tuple[Trigger, ...] = ()

    @field_validator("product_ids", mode="before")
    @classmethod
    def _ids_as_text(cls, ids: object) -> object:
        return tuple(str(i) for i in ids) if isinstance(ids, list | tuple) else ids


class Remarketing(Frozen):
    """Who may enter the batch of the day (rules 4.3 to 4.5).

    Attributes:
        batch_size: people a day.
        days_since_purchase: days without a purchase or a refund.
        days_since_contact: days without a contact.
        allow_landline: a landline is enough.
        include_leads: people who never bought, too.
        triggers: only people of whom one of these holds; all without any.
    """

    batch_size: Annotated[int, Field(ge=1, le=50)] = 50
    days_since_purchase: Annotated[int, Field(ge=0, le=3650)] = 30
    days_since_contact: Annotated[int, Field(ge=0, le=3650)] = 30
    allow_landline: bool = False
    include_leads: bool = True
    triggers: tuple[Trigger, ...] = ()


class Subscriptions(Frozen):
    """What counts in recurring revenue (rules 6.1).

    Attributes:
        delay_days: so many days a late subscription still counts.
    """

    delay_days: Annotated[int, Field(ge=0, le=90)] = 30


class AccessPlan(Frozen):
    """The plan that a product gives, or one offer of it, or an offer of any product.

    Attributes:
        plan: its name on the platform.
        product: id of the product.
        offer: code of the offer.
    """

    plan: str
    product: str | None = None
    offer: str | None = None

    @field_validator("product", mode="before")
    @classmethod
    def _id_as_text(cls, written: object) -> object:
        return str(written) if isinstance(written, int) else written

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if self.product is None and self.offer is None:
            raise ValueError("diga product, offer ou os dois")
        return self


class Access(Frozen):
    """Who may use what was bought (rules 6.4).

    Attributes:
        grace_days: so many days a late subscription keeps its access.
        plans: the plan by product and offer; without a match the monthly value decides.
    """

    grace_days: Annotated[int, Field(ge=0, le=90)] = 7
    plans: tuple[AccessPlan, ...] = ()


class Tenant(Frozen):
    """One company.

    Attributes:
        refine_every_minutes: events alone do not refine more often than this.
    """

    slug: Slug
    name: str
    timezone: str = "America/Sao_Paulo"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "BRL"
    owners: tuple[str, ...] = ("team:crm",)
    schedules_on: bool = False
    refine_every_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    hotmart: HotmartSource
    manychat: ManychatSource = ManychatSource()
    audiences: dict[Slug, Audience] = {
        "todos": Audience(label="Todos", public_label="todos", rest=True)
    }
    remarketing: Remarketing = Remarketing()
    subscriptions: Subscriptions = Subscriptions()
    access: Access = Access()
    privacy: Privacy = Privacy()
    alerts: Alerts = Alerts()
    identity: Identity = Identity()
    survivorship: Survivorship = Survivorship()

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("fuso horário desconhecido") from None
        return name

    @model_validator(mode="after")
    def _one_rest(self) -> Self:
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
    except (OSError, UnicodeDecodeError) as error:
        if not isinstance(error, FileNotFoundError):
            raise SettingsError(
                f"{settings.tenants_file} não pode ser lido: precisa ser um arquivo TOML em UTF-8."
            ) from None
        if environ.get("CRM_TENANTS"):
            raise SettingsError(
                f"CRM_TENANTS aponta para um arquivo que não existe: {settings.tenants_file}."
            ) from None
        return {DEFAULT: build_tenant_model(DEFAULT, {}, environ)}
    try:
        tables = tomllib.loads(text).get("tenants")
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        where = "na linha {}, coluna {}".format(*place.groups()) if place else "no fim do arquivo"
        raise SettingsError(
            f"{settings.tenants_file.name} não é TOML válido: erro {where}."
        ) from None
    if not isinstance(tables, dict) or not tables:
        raise SettingsError(f"{settings.tenants_file.name} não tem tabela [tenants.<nome>].")
    return {slug: build_tenant_model(slug, table, environ) for slug, table in tables.items()}


def location_tenants(settings: Settings, environ: Mapping[str, str]) -> dict[str, Tenant]:
    """The tenants that a Dagster code location loads: all, or those of `CRM_LOCATION_TENANTS`.

    Raises:
        SettingsError: the narrowing variable names an unknown tenant.
    """
    tenants = load_tenants(settings, environ)
    named = environ.get("CRM_LOCATION_TENANTS", "").split(",")
    wanted = [slug.strip() for slug in named if slug.strip()]
    unknown = [slug for slug in wanted if slug not in tenants]
    if unknown:
        raise SettingsError(f"CRM_LOCATION_TENANTS cita a empresa desconhecida {unknown[0]!r}.")
    return {slug: tenants[slug] for slug in wanted} if wanted else tenants


def build_tenant_model(slug: str, table: object, environ: Mapping[str, str]) -> Tenant:
    """One tenant from its table, completed by the environment.

    The default tenant reads the short variables (`HOTMART_CLIENT_ID`), a named one the same with
    its name before (`ACME_HOTMART_CLIENT_ID`), unless the table names others. Vendor addresses
    are the installation's.

    Raises:
        SettingsError: a value cannot be used; the message names tenant and key.
    """
    if not isinstance(table, Mapping):
        raise SettingsError(f"tenants.{slug} precisa ser uma tabela.")
    prefix = "" if slug == DEFAULT else f"{slug.upper()}_"
    defaults: dict[str, object] = {
        "client_id_env": f"{prefix}HOTMART_CLIENT_ID",
        "client_secret_env": f"{prefix}HOTMART_CLIENT_SECRET",
        "basic_token_env": f"{prefix}HOTMART_BASIC_TOKEN",
        "webhook_token_env": f"{prefix}HOTMART_WEBHOOK_TOKEN",
    }
    for key in ("api_url", "auth_url"):
        name = f"HOTMART_{key.upper()}"
        if url := environ.get(name):
            if not _URL.match(url):
                raise SettingsError(f"{name} precisa começar com https://, não {url!r}.")
            defaults[key] = url.rstrip("/")
    for key in ("start_date", "end_date"):
        name = f"{prefix}HOTMART_{key.upper()}"
        if day := parse_day(name, environ.get(name)):
            defaults[key] = day
    sources: dict[str, Mapping[str, object]] = {
        "hotmart": defaults,
        "manychat": {
            "sheet_url_env": f"{prefix}MANYCHAT_SHEET_URL",
            "webhook_token_env": f"{prefix}MANYCHAT_WEBHOOK_TOKEN",
        },
    }
    for name, known in sources.items():
        written = table.get(name, {})
        if not isinstance(written, Mapping):
            raise SettingsError(f"[tenants.{slug}] {name} precisa ser uma tabela.")
        sources[name] = {**known, **written}
    try:
        return Tenant.model_validate({"name": slug, **table, "slug": slug, **sources})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["tenants", slug, *map(str, first["loc"])])
        raise SettingsError(f"{where}: {_meaning(first)}.") from None


def _meaning(error: ErrorDetails) -> str:
    """What is wrong with a value, without the value: somebody may have put a secret there."""
    kind, name = error["type"], str(error["loc"][-1]) if error["loc"] else ""
    if kind == "extra_forbidden" and _SECRET.search(name):
        return f"segredos não ficam aqui; escreva em {name}_env o nome da variável de ambiente"
    if kind in {"string_pattern_mismatch", "string_too_long"}:
        return _FORMS.get(name, "precisa ser o nome de uma variável de ambiente")
    meaning = _MEANINGS.get(kind) or _MEANINGS.get(kind.partition("_")[0], "não serve aqui")
    limits = {
        name: f"{value:g}".replace(".", ",") if isinstance(value, float) else value
        for name, value in error.get("ctx", {}).items()
    }
    return meaning.format(**limits).replace("' or '", "' ou '")
