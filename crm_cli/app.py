"""The `crm` command: thin over the rounds, the exports and the stores.

Each command imports Dagster only when it runs something. What it prints is for a marketer, in
Portuguese; what went wrong is one sentence on stderr. Exit codes: 0 done, 1 failed, 2 wrong use.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from crm_assets.settings import Environment, Settings, SettingsError, load_settings
from crm_assets.tenants import Tenant
from crm_cli.access import access_app
from crm_cli.alerts import alerts_app
from crm_cli.backups import backup, cleanup, restore
from crm_cli.console import age, local, os_told, out, refuse, tell_plan, tell_table, tell_tenant
from crm_cli.customers import customers_app
from crm_cli.demo import demo
from crm_cli.dev import dev
from crm_cli.events import events_app
from crm_cli.exports import export_app
from crm_cli.imports import import_app
from crm_cli.portuguese import command_of, sentence
from crm_cli.reports import report_app
from crm_cli.sandbox import sandbox_app
from crm_cli.serve import serve
from crm_cli.session import TenantOption, chosen_tenants, open_ops, run_tenant
from crm_cli.subscriptions import subscriptions_app
from crm_resources.locks import holder

if TYPE_CHECKING:
    from crm_resources.ops import OpsStore

HML_WAIT_SECONDS = 10

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Plataforma de dados de clientes: Hotmart e ManyChat num só cadastro.",
)
app.command()(demo)
app.command()(dev)
app.command()(serve)
app.command()(backup)
app.command()(restore)
app.command()(cleanup)
app.add_typer(import_app, name="import")
app.add_typer(export_app, name="export")
app.add_typer(events_app, name="events")
app.add_typer(report_app, name="report")
app.add_typer(customers_app, name="customers")
app.add_typer(subscriptions_app, name="subscriptions")
app.add_typer(access_app, name="access")
app.add_typer(alerts_app, name="alerts")
app.add_typer(sandbox_app, name="sandbox")


def main() -> None:
    """Run the command; a refusal is one sentence on stderr."""
    warnings.simplefilter("ignore")
    try:
        sys.exit(command_of(app)(prog_name="crm", standalone_mode=False))
    except typer.TyperException as error:
        if told := sentence(error):
            refuse(told)
        sys.exit(error.exit_code)
    except typer.Abort:
        refuse("Interrompido.")
        sys.exit(1)
    except SettingsError as error:
        refuse(error)
        sys.exit(2)
    except OSError as error:
        refuse(os_told(error))
        sys.exit(1)
    except RuntimeError as error:
        if not type(error).__module__.startswith("crm_"):
            raise
        refuse(error)
        sys.exit(1)
    except Exception as error:
        if type(error).__module__.startswith("sqlalchemy."):
            refuse(
                "O Dagster não pôde gravar em CRM_HOME/dagster: confira o disco e as permissões."
            )
        elif type(error).__name__ == "IOException":  # DuckDB's, which is slow to import
            cause = str(error).splitlines()[0]
            refuse(
                f"O banco não pôde ser lido nem gravado ({cause}): confira o disco; se o arquivo "
                "se estragou, tire-o do lugar e rode `crm restore`."
            )
        else:
            raise
        sys.exit(1)


@app.command()
def run(
    tenant: TenantOption = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Só estas etapas, separadas por vírgula: hotmart, subscriptions, events, "
            "manychat, actions, refine."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Mostra o que seria lido, sem ler nada.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Segundos a esperar por outra rodada.")] = 0,
) -> None:
    """Faz a rodada do dia: Hotmart, ManyChat, cadastro, públicos, lote e arquivos.

    Exemplo: crm run --only manychat,refine
    """
    from crm_assets import rounds

    settings = load_settings()
    stages = _stages(only, rounds.STAGES)
    tenants = chosen_tenants(settings, tenant)
    if dry_run:
        from crm_assets.automation.events import are_due
        from crm_assets.plan import Landed

        for one in tenants:
            known = Landed()
            if settings.has_ops(one.slug):
                ops = open_ops(settings, one)
                known = Landed(loads=ops.loads(), due_events=are_due(ops, settings.now()))
            tell_plan(settings, one, stages, known)
        return
    if settings.environment is Environment.HML:
        out.print(f"Ambiente hml: a rodada começa em {HML_WAIT_SECONDS} s (Ctrl+C cancela).")
        time.sleep(HML_WAIT_SECONDS)
    results = [run_tenant(settings, one, stages, wait=wait) for one in tenants]
    sys.exit(0 if all(results) else 1)


@app.command()
def status(tenant: TenantOption = None) -> None:
    """Mostra a idade de cada fonte, o lote de hoje, o que está rodando, o que falhou ou venceu.

    Exemplo: crm status
    """
    from crm_assets.gold.summary import published
    from crm_assets.plan import source_ages

    settings = load_settings()
    for one in chosen_tenants(settings, tenant):
        folder = settings.store_folder(one.slug)
        tell_tenant(settings, one)
        table = Table("fonte", "última leitura", "idade", box=None, pad_edge=False)
        if not settings.has_ops(one.slug):
            out.print("Nenhuma rodada ainda: comece com `uv run crm run`.")
            continue
        ops = open_ops(settings, one)
        for source, at in source_ages(ops.loads()).items():
            table.add_row(source, local(one, at), age(settings, at))
        tell_table(table)
        for lock in ("run.lock", "refine.lock", "backup.lock", "warehouse.duckdb.lock"):
            if held := holder(folder / lock):
                out.print(escape(f"em andamento: {held}"))
        for mark, told in _troubles(settings, one, ops):
            out.print(f"{mark} {escape(told)}")
        for line in published(settings, one):
            out.print(escape(line))


@app.command()
def doctor(tenant: TenantOption = None) -> None:
    """Confere versões, pastas, credenciais e a conexão com a Hotmart; nada é gravado.

    Exemplo: crm doctor
    """
    from crm_assets.doctor import examine

    settings = load_settings()
    healthy = True
    out.print(escape(f"ENVIRONMENT={settings.environment} CRM_HOME={settings.home}"))
    for one in chosen_tenants(settings, tenant):
        tell_tenant(settings, one)
        for finding in examine(settings, one):
            mark = "[green]ok[/]" if finding.ok else "[red]falta[/]"
            out.print(f"  {mark} {escape(f'{finding.subject}: {finding.detail}')}")
            healthy = healthy and finding.ok
    sys.exit(0 if healthy else 1)


def _troubles(settings: Settings, tenant: Tenant, ops: OpsStore) -> Iterator[tuple[str, str]]:
    """What somebody has to look at, each with the mark that stands before it."""
    from crm_assets.automation.alerts import NOTICES, REQUEST_OVERDUE, told_of
    from crm_assets.automation.notify import undelivered
    from crm_assets.plan import refused_files
    from crm_assets.privacy.rights import overdue, register

    loads = ops.loads()
    for load in refused_files(loads, settings.now()):
        yield "[red]recusado[/]", f"{load.file_name}: {load.reason}"
    for load in loads:
        if load.status == "undone" and load.reason:
            yield "[red]perdido[/]", f"{load.file_name}: {load.reason}"
    for request in overdue(register(ops.actions(), tenant), settings.today(tenant.timezone)):
        due = f"{request.due_on:%d/%m/%Y}"
        yield "[red]venceu[/]", f"pedido {request.number} ({request.type}), prazo {due}"
    for incident in ops.open_incidents():
        if incident.kind != REQUEST_OVERDUE:
            mark = "[yellow]aviso[/]" if incident.kind in NOTICES else "[red]falhou[/]"
            since = local(tenant, incident.opened_at)
            yield mark, f"{told_of(incident)} (desde {since})"
    for untold in undelivered(settings, tenant, ops):
        yield "[yellow]alerta não saiu[/]", untold


def _stages(only: str | None, known: Sequence[str]) -> Sequence[str]:
    if only is None:
        return known
    wanted = [stage.strip() for stage in only.split(",") if stage.strip()]
    unknown = [stage for stage in wanted if stage not in known]
    if unknown or not wanted:
        raise typer.BadParameter(f"--only aceita {', '.join(known)}, não {only!r}.")
    return [stage for stage in known if stage in wanted]
