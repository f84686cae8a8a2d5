"""What a command opens: its tenants, the Dagster instance, and a round told as it goes."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.markup import escape

from crm_assets.settings import CHECKOUT, Settings, SettingsError, load_settings
from crm_assets.tenants import Tenant, load_tenants
from crm_cli.console import out, refuse, tell_round, tell_tenant, tell_unread_events
from crm_resources.locks import Busy

if TYPE_CHECKING:
    from crm_resources.ops import Load, OpsStore


TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Empresa (padrão: todas, ou a única).")
]


def chosen_tenants(settings: Settings, slug: str | None) -> list[Tenant]:
    """The tenant that `--tenant` names, or all of them."""
    tenants = load_tenants(settings, os.environ)
    if slug is None:
        return list(tenants.values())
    if slug not in tenants:
        raise typer.BadParameter(f"não existe a empresa {slug!r}; existem: {', '.join(tenants)}.")
    return [tenants[slug]]


def tenant_of(slug: str | None) -> tuple[Settings, Tenant]:
    """The settings, and the tenant that `--tenant` names or the only one."""
    settings = load_settings()
    tenants = chosen_tenants(settings, slug)
    if len(tenants) > 1:
        names = ", ".join(tenant.slug for tenant in tenants)
        raise typer.BadParameter(f"diga a empresa com --tenant; existem: {names}.")
    return settings, tenants[0]


def the_customer(found: Sequence[str]) -> str:
    """The one customer that a text means; nobody or several are refused."""
    if not found:
        fail("Não existe cliente com este id, e-mail, telefone ou registro.")
    if len(found) > 1:
        fail(f"{len(found)} clientes respondem por isso; diga o id: {', '.join(found)}.")
    return found[0]


def operator() -> str | None:
    """The user of this machine, when it knows one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None


def actor_of(by: str | None) -> str:
    """Who decides: the one that `--by` names, else the user of this machine."""
    return by or operator() or "crm"


def actor_by(command: str) -> str:
    """Who has a command done, for the registers: the command, and the user of this machine."""
    user = operator()
    return f"{command} ({user})" if user else command


def open_ops(settings: Settings, tenant: Tenant) -> OpsStore:
    """The tenant's operations store."""
    from crm_resources.ops import OpsStore

    return OpsStore(settings.ops_address(tenant.slug), settings.ops_tenant(tenant.slug))


def prepare_instance(settings: Settings, tenants: Iterable[Tenant]) -> None:
    """The folders where people drop files, and a lasting Dagster instance with our dagster.yaml."""
    for tenant in tenants:
        folder = settings.input_folder(tenant.slug, "manychat")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            raise SettingsError(
                f"CRM_HOME ({settings.home}) não serve de pasta: não se pode gravar nela."
            ) from None
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = home / f".dagster.yaml.{os.getpid()}"
    shutil.copyfile(CHECKOUT / "dagster.yaml", draft)
    draft.replace(home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)


def run_tenant(
    settings: Settings,
    tenant: Tenant,
    stages: Sequence[str] | None,
    *,
    files: Sequence[Path] | None = None,
    undo: Load | None = None,
    wait: float | None = None,
) -> bool:
    """One round of one tenant, told as it goes; whether it succeeded.

    Args:
        settings: the installation.
        tenant: whose round.
        stages: what it does; everything by default.
        files: contact or sales files to import.
        undo: an import to take out again.
        wait: seconds to wait for another round, of commands that have `--wait`.
    """
    import dagster as dg

    from crm_assets.definitions import build, site_of
    from crm_assets.gold.summary import published
    from crm_assets.rounds import STAGES, run_round
    from crm_cli.progress import RoundProgress, lasting_console

    prepare_instance(settings, [tenant])
    tell_tenant(settings, tenant)
    site = site_of(tenant, settings)
    with (
        lasting_console() as console,
        RoundProgress(console, tenant, site.ops_store()) as progress,
        dg.DagsterInstance.get() as instance,
    ):
        try:
            done = run_round(
                site,
                build(settings, {tenant.slug: tenant}),
                instance,
                stages=stages or STAGES,
                files=files,
                undo=undo,
                wait=wait or 0,
                told=progress.told,
            )
        except Busy as busy:
            refuse(busy if wait is None else or_wait(busy))
            return False
    tell_round(settings, tenant, done)
    if any(outcome.stage == "events" for outcome in done.outcomes):
        tell_unread_events(site.ops_store())
    for line in published(settings, tenant):
        out.print(escape(line))
    return done.ok


def or_wait(busy: Busy) -> str:
    """The refusal of a command that has `--wait`."""
    return f"{str(busy).removesuffix('.')}, ou diga com --wait quantos segundos esperar."


def fail(message: str) -> NoReturn:
    """Refuse with one sentence and exit code 1."""
    refuse(message)
    sys.exit(1)
