"""Environment, folders and clock: what is the same for every tenant of one installation.

Values come from environment variables (`.env` is read first and never overrides them) and are
checked when they are read, so that a wrong one stops the program before it touches anything.
What belongs to one company stands in `tenants.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from dotenv import load_dotenv

from crm_resources.alerts import Security, webhook_key

CHECKOUT = Path(__file__).resolve().parent.parent

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(
    r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<seconds>[0-5]\d))?", re.ASCII
)
_ADDRESS = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+", re.ASCII)
_POSTGRES = re.compile(r"postgres(ql)?(\+psycopg)?://")
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names it."""


class Environment(StrEnum):
    """Where a run belongs; each has its own stores, outputs and Dagster instance (design 3)."""

    DEV = "dev"
    HML = "hml"
    PRD = "prd"


@dataclass(frozen=True)
class AlertSettings:
    """Where alerts go; nothing configured means nowhere, and incidents are only kept.

    Attributes:
        emails: recipients.
        smtp_host: server that takes the e-mail.
        smtp_port: its port.
        smtp_security: how the connection is encrypted.
        smtp_username: log in with it, when there is one.
        smtp_password: of the login.
        sender: address in From.
        webhook_url: address that receives signed JSON.
        webhook_key: bytes that sign.
    """

    emails: tuple[str, ...] = ()
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_security: Security = "starttls"
    smtp_username: str = ""
    smtp_password: str = field(default="", repr=False)
    sender: str = ""
    webhook_url: str = field(default="", repr=False)
    webhook_key: bytes = field(default=b"", repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> AlertSettings:
        """Read and check what concerns alerts.

        Raises:
            SettingsError: a value is missing or cannot be used; the message names the variable.
        """

        def text(name: str) -> str:
            return environ.get(name, "").strip()

        emails = tuple(filter(None, (part.strip() for part in text("ALERT_EMAILS").split(","))))
        wrong = [email for email in emails if not _ADDRESS.fullmatch(email)]
        if wrong:
            raise SettingsError(
                "ALERT_EMAILS precisa ser uma lista de e-mails separados por vírgula; "
                f"{len(wrong)} de {len(emails)} não são e-mails."
            )
        host, sender = text("SMTP_HOST"), text("SMTP_SENDER_EMAIL")
        if emails and not host:
            raise SettingsError("ALERT_EMAILS está preenchida, mas falta SMTP_HOST.")
        if emails and not _ADDRESS.fullmatch(sender):
            raise SettingsError(
                "ALERT_EMAILS está preenchida, mas SMTP_SENDER_EMAIL "
                f"{'não é um e-mail' if sender else 'falta'}."
            )
        security = _smtp_security(text("SMTP_SECURE"), host)
        return cls(
            emails=emails,
            smtp_host=host,
            smtp_port=_port(text("SMTP_PORT"), 465 if security == "tls" else 587),
            smtp_security=security,
            smtp_username=text("SMTP_USERNAME"),
            smtp_password=environ.get("SMTP_PASSWORD", ""),
            sender=sender,
            webhook_url=_webhook_url(text("ALERT_WEBHOOK_URL")),
            webhook_key=_webhook_key(text("ALERT_WEBHOOK_URL"), text("ALERT_WEBHOOK_SECRET")),
        )


@dataclass(frozen=True)
class Settings:
    """One installation's settings.

    Attributes:
        environment: which of the three worlds this process works in.
        home: folder that holds every store, input and output.
        tenants_file: the optional `tenants.toml`.
        schedule_time: local time of the daily round.
        fixed_now: replaces the clock when set (tests, demo and replays).
        ops_url: PostgreSQL address of the operations store of all environments and tenants, when
            it is not a file of each.
        alerts: where alerts go.
        backup_passphrase: encrypts the secrets in backups; without it they are left out.
    """

    environment: Environment
    home: Path
    tenants_file: Path
    schedule_time: time
    fixed_now: datetime | None = None
    ops_url: str | None = field(default=None, repr=False)
    alerts: AlertSettings = AlertSettings()
    backup_passphrase: str = field(default="", repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check the settings.

        Raises:
            SettingsError: a value cannot be used; the message names the variable.
        """
        home = Path(environ.get("CRM_HOME") or CHECKOUT / "data").expanduser().resolve()
        tenants_file = Path(environ.get("CRM_TENANTS") or CHECKOUT / "tenants.toml").expanduser()
        return cls(
            environment=_environment(environ.get("ENVIRONMENT")),
            home=home,
            tenants_file=tenants_file.resolve(),
            schedule_time=_schedule_time(environ.get("SCHEDULE_TIME") or "02:00"),
            fixed_now=_instant("CRM_NOW", environ.get("CRM_NOW")),
            ops_url=_ops_url(environ.get("CRM_OPS_URL")),
            alerts=AlertSettings.from_environ(environ),
            backup_passphrase=environ.get("CRM_BACKUP_PASSPHRASE", ""),
        )

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return self.fixed_now or datetime.now(UTC)

    def today(self, timezone: str) -> date:
        """The present calendar day in `timezone`."""
        return self.now().astimezone(ZoneInfo(timezone)).date()

    def store_folder(self, tenant: str) -> Path:
        """Everything durable of one tenant: warehouse, ops store, serving, raw copies, archive."""
        return self.home / "db" / self.environment / tenant

    def ops_address(self, tenant: str) -> str:
        """Where the tenant's operations store is: an address, or the path of its file.

        Raises:
            SettingsError: there are both, and the decisions in the file would be forgotten.
        """
        file = self.store_folder(tenant) / "ops.sqlite"
        if self.ops_url and file.exists():
            raise SettingsError(
                f"CRM_OPS_URL está definida, mas a empresa {tenant} já tem um ops.sqlite, e as "
                "decisões dele (como pedidos para sair) não valeriam mais: esvazie CRM_OPS_URL, ou "
                "guarde o arquivo em outra pasta."
            )
        return self.ops_url or str(file)

    def ops_tenant(self, tenant: str) -> str:
        """The tenant's name in its operations store; one address serves every environment."""
        return f"{self.environment}/{tenant}" if self.ops_url else tenant

    def has_ops(self, tenant: str) -> bool:
        """Whether the tenant's operations store exists already."""
        return bool(self.ops_url) or Path(self.ops_address(tenant)).exists()

    def backup_folder(self, tenant: str) -> Path:
        """Where backups are kept, apart from what they are of."""
        return self.home / "backups" / self.environment / tenant

    def output_folder(self, tenant: str) -> Path:
        """Files made for people, separate by environment and tenant."""
        return self.home / "output" / self.environment / tenant

    def input_folder(self, tenant: str, source: str) -> Path:
        """Where people drop files; the default tenant uses the source's folder itself."""
        folder = self.home / "input" / source
        return folder if tenant == "default" else folder / tenant

    @property
    def dagster_home(self) -> Path:
        """The lasting Dagster instance of this environment."""
        return self.home / "dagster" / self.environment


def load_settings() -> Settings:
    """Settings of this process: `.env` of the working folder, then the environment."""
    load_dotenv(Path.cwd() / ".env", override=False)
    return Settings.from_environ(os.environ)


def parse_day(name: str, text: str | None) -> date | None:
    """Read a `YYYY-MM-DD` setting; empty is None.

    Raises:
        SettingsError: the text is not such a date.
    """
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise SettingsError(f"{name} precisa ser uma data AAAA-MM-DD, não {text!r}.")


def _environment(text: str | None) -> Environment:
    try:
        return Environment((text or "dev").strip().lower())
    except ValueError:
        raise SettingsError(f"ENVIRONMENT precisa ser dev, hml ou prd, não {text!r}.") from None


def _ops_url(text: str | None) -> str | None:
    if text and not _POSTGRES.match(text):
        raise SettingsError(
            "CRM_OPS_URL precisa começar com postgresql+psycopg://; vazia, cada empresa tem o seu "
            "arquivo."
        )
    return text or None


def _schedule_time(text: str) -> time:
    written = _TIME.fullmatch(text.strip())
    if written is None:
        raise SettingsError(f"SCHEDULE_TIME precisa ser HH:MM, não {text!r}.")
    if written["seconds"] not in {None, "00"}:
        raise SettingsError(
            f"SCHEDULE_TIME não aceita segundos, porque o agendador trabalha por minuto: {text!r}."
        )
    return time(int(written["hour"]), int(written["minute"]))


def _smtp_security(text: str, host: str) -> Security:
    known: dict[str, Security] = {
        "": "starttls",
        "false": "starttls",
        "true": "tls",
        "none": "none",
    }
    security = known.get(text.lower())
    if security is None:
        raise SettingsError(
            "SMTP_SECURE precisa ser false (STARTTLS), true (TLS desde o início) ou none, "
            f"não {text!r}."
        )
    if security == "none" and host not in _THIS_MACHINE:
        raise SettingsError(
            "SMTP_SECURE=none, sem criptografia, só vale para um SMTP_HOST nesta máquina."
        )
    return security


def _port(text: str, default: int) -> int:
    if not text:
        return default
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise SettingsError(f"SMTP_PORT precisa ser uma porta de 1 a 65535, não {text!r}.")


def _webhook_url(text: str) -> str:
    if text and not re.match(r"https?://[^/\s]", text):
        raise SettingsError("ALERT_WEBHOOK_URL precisa começar com https://.")
    return text


def _webhook_key(url: str, secret: str) -> bytes:
    if not url:
        return b""
    try:
        return webhook_key(secret)
    except ValueError:
        raise SettingsError(
            "ALERT_WEBHOOK_SECRET precisa ser whsec_ e, em base64, de 24 a 64 bytes."
        ) from None


def _instant(name: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise SettingsError(
        f"{name} precisa ser um instante ISO com fuso, como 2026-03-15T09:00:00-03:00, "
        f"não {text!r}."
    )
