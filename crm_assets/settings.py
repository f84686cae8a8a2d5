"""Environment, folders and clock: what is the same for every tenant of one installation.

Values come from environment variables (`.env` is read first and never overrides them) and are
checked when they are read, so that a wrong one stops the program before it touches anything.
What belongs to one company stands in `tenants.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from dotenv import load_dotenv

CHECKOUT = Path(__file__).resolve().parent.parent

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(
    r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<seconds>[0-5]\d))?", re.ASCII
)


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names it."""


class Environment(StrEnum):
    """Where a run belongs; each has its own stores, outputs and Dagster instance (design 3)."""

    DEV = "dev"
    HML = "hml"
    PRD = "prd"


@dataclass(frozen=True)
class Settings:
    """One installation's settings.

    Attributes:
        environment: which of the three worlds this process works in.
        home: folder that holds every store, input and output.
        tenants_file: the optional `tenants.toml`.
        schedule_time: local time of the daily round.
        fixed_now: replaces the clock when set (tests, demo and replays).
        ops_url: the operations store of all tenants, when it is not a file of each.
    """

    environment: Environment
    home: Path
    tenants_file: Path
    schedule_time: time
    fixed_now: datetime | None = None
    ops_url: str | None = None

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
            ops_url=environ.get("CRM_OPS_URL") or None,
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
        """Where the tenant's operations store is: an address, or the path of its file."""
        return self.ops_url or str(self.store_folder(tenant) / "ops.sqlite")

    def has_ops(self, tenant: str) -> bool:
        """Whether the tenant's operations store exists already."""
        return bool(self.ops_url) or Path(self.ops_address(tenant)).exists()

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


def _schedule_time(text: str) -> time:
    written = _TIME.fullmatch(text.strip())
    if written is None:
        raise SettingsError(f"SCHEDULE_TIME precisa ser HH:MM, não {text!r}.")
    if written["seconds"] not in {None, "00"}:
        raise SettingsError(
            f"SCHEDULE_TIME não aceita segundos, porque o agendador trabalha por minuto: {text!r}."
        )
    return time(int(written["hour"]), int(written["minute"]))


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
