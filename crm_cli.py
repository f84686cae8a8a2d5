"""The `crm` command: thin over the rounds, the exports and the stores.

Each command imports Dagster only when it runs something. What it prints is for a marketer, in
Portuguese; what went wrong is one sentence on stderr. Exit codes: 0 done, 1 failed, 2 wrong use.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from crm_assets.settings import CHECKOUT, Environment, SettingsError, load_settings
from crm_console import age, local, out, refuse, tell_next, tell_plan, tell_tenant
from crm_resources.locks import holder
from crm_session import chosen_tenants, open_ops, prepare_instance, run_tenant, single_tenant

if TYPE_CHECKING:
    from crm_assets.gold.files import Export, Format

SANDBOX_PORT = 8010
SANDBOX_ZONE = "America/Sao_Paulo"
DEMO_NOW = "2026-03-15T09:00:00-03:00"
HML_WAIT_SECONDS = 10

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Plataforma de dados de clientes: Hotmart e ManyChat num só cadastro.",
)
import_app = typer.Typer(no_args_is_help=True, help="Importa uma fonte agora.")
export_app = typer.Typer(no_args_is_help=True, help="Gera um arquivo em data/output.")
sandbox_app = typer.Typer(no_args_is_help=True, help="Servidores locais dos fornecedores.")
app.add_typer(import_app, name="import")
app.add_typer(export_app, name="export")
app.add_typer(sandbox_app, name="sandbox")

TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Empresa (padrão: todas, ou a única).")
]
FormatOption = Annotated[str, typer.Option("--format", help="csv ou excel-csv.")]


def main() -> None:
    """Run the command; a refusal is one sentence on stderr."""
    warnings.simplefilter("ignore")
    try:
        app()
    except SettingsError as error:
        refuse(error)
        sys.exit(2)
    except OSError as error:
        refuse(f"{error.strerror or error}: {error.filename}." if error.filename else error)
        sys.exit(1)
    except RuntimeError as error:
        if not type(error).__module__.startswith("crm_"):
            raise
        refuse(error)
        sys.exit(1)


@app.command()
def run(
    tenant: TenantOption = None,
    only: Annotated[
        str | None, typer.Option(help="Só estas etapas: hotmart,manychat,actions,refine.")
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
        from crm_assets.plan import Landed

        for one in tenants:
            known = open_ops(settings, one).loads() if settings.has_ops(one.slug) else ()
            tell_plan(settings, one, stages, Landed(loads=known))
        return
    if settings.environment is Environment.HML:
        out.print(f"Ambiente hml: a rodada começa em {HML_WAIT_SECONDS} s (Ctrl+C cancela).")
        time.sleep(HML_WAIT_SECONDS)
    results = [run_tenant(settings, one, stages, wait=wait) for one in tenants]
    sys.exit(0 if all(results) else 1)


@app.command()
def demo() -> None:
    """Roda tudo com dados de exemplo e a Hotmart de mentira, em data/demo.

    Exemplo: crm demo
    """
    from crm_resources.hotmart.sandbox import Sandbox, SandboxServer
    from crm_resources.hotmart.sandbox_data import SandboxData

    sample = CHECKOUT / "data" / "sample"
    environment = _demo_environment(sample)
    os.environ.update(environment)
    settings = load_settings()
    inbox = settings.input_folder("default", "manychat")
    inbox.mkdir(parents=True, exist_ok=True)
    for file in sorted((sample / "input" / "manychat").glob("*.csv")):
        shutil.copy(file, inbox)
    env_file = settings.home / "demo.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    sales = SandboxData.load(sample / "hotmart.json")
    with SandboxServer(Sandbox(sales)) as sandbox:
        os.environ["HOTMART_API_URL"] = os.environ["HOTMART_AUTH_URL"] = sandbox.url
        settings = load_settings()
        (one,) = chosen_tenants(settings, None)
        ok = run_tenant(settings, one, None)
    if ok:
        tell_next(env_file)
    sys.exit(0 if ok else 1)


@app.command()
def status(tenant: TenantOption = None) -> None:
    """Mostra a idade de cada fonte, o lote de hoje, o que está rodando e o que falhou.

    Exemplo: crm status
    """
    from crm_assets.gold.summary import published
    from crm_assets.plan import refused_files, source_ages

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
        out.print(table)
        for lock in ("run.lock", "refine.lock", "warehouse.duckdb.lock"):
            if held := holder(folder / lock):
                out.print(escape(f"em andamento: {held}"))
        for refused in refused_files(ops.loads(), settings.now()):
            out.print(f"[red]recusado[/] {escape(f'{refused.file_name}: {refused.reason}')}")
        for incident in ops.open_incidents():
            out.print(f"[red]falhou[/] {escape(f'{incident.subject}: {incident.detail}')}")
        for line in published(settings, one):
            out.print(escape(line))


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="Porta da interface do Dagster.")] = 3000,
) -> None:
    """Abre a interface do Dagster e liga agendas e sensores, até Ctrl+C.

    Exemplo: crm dev --port 3000
    """
    settings = load_settings()
    prepare_instance(settings)
    out.print(
        f"Interface em http://127.0.0.1:{port} ({settings.environment}); rodada diária às "
        f"{settings.schedule_time:%H:%M}. Ctrl+C encerra."
    )
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(CHECKOUT / "workspace.yaml")]
    process = subprocess.Popen(  # noqa: S603
        [*command, "-h", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "CRM_SCHEDULES_ON": "1", "PYTHONWARNINGS": "ignore"},
        cwd=settings.dagster_home,
    )
    try:
        sys.exit(process.wait())
    except KeyboardInterrupt:
        process.wait()


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


@import_app.command("manychat")
def import_manychat(
    files: Annotated[list[Path], typer.Argument(help="Arquivos CSV de contatos.")],
    tenant: TenantOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Diz o que aconteceria, sem gravar nada.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Segundos a esperar por outra rodada.")] = 0,
) -> None:
    """Importa arquivos de contatos do ManyChat e refaz o cadastro.

    Exemplo: crm import manychat contatos.csv --dry-run
    """
    settings = load_settings()
    one = single_tenant(settings, tenant)
    missing = [file for file in files if not file.is_file()]
    if missing:
        what = "é uma pasta" if missing[0].is_dir() else "não existe"
        _fail(f"{missing[0]} {what}: diga um arquivo de contatos.")
    if dry_run:
        from crm_assets.preview import preview

        told = [preview(file, settings, one) for file in files]
        for file, effect in zip(files, told, strict=True):
            out.print(escape(f"{file.name}: {effect}"))
        sys.exit(0 if all(effect.accepted for effect in told) else 1)
    ok = run_tenant(settings, one, ("manychat", "actions", "refine"), files=files, wait=wait)
    sys.exit(0 if ok else 1)


@export_app.command("audience")
def export_audience_command(
    slug: Annotated[str, typer.Argument(help="Nome do público no tenants.toml.")],
    tenant: TenantOption = None,
    flavour: FormatOption = "csv",
) -> None:
    """Gera o CSV de um público, do maior valor para o menor.

    Exemplo: crm export audience ilpi --format excel-csv
    """
    from crm_assets.gold.files import export_audience

    settings = load_settings()
    one = single_tenant(settings, tenant)
    if slug not in one.audiences:
        known = ", ".join(one.audiences)
        raise typer.BadParameter(f"não existe o público {slug!r}; existem: {known}.")
    ops = open_ops(settings, one)
    _tell_export(export_audience(settings, one, ops, slug, _flavour(flavour)))


@export_app.command("remarketing")
def export_remarketing_command(
    day: Annotated[str | None, typer.Option(help="Dia do lote, AAAA-MM-DD (padrão: hoje).")] = None,
    tenant: TenantOption = None,
    flavour: FormatOption = "csv",
) -> None:
    """Gera o CSV do lote de remarketing de um dia.

    Exemplo: crm export remarketing --day 2026-03-15
    """
    from crm_assets.gold.files import export_remarketing
    from crm_assets.settings import parse_day

    settings = load_settings()
    one = single_tenant(settings, tenant)
    wanted = parse_day("--day", day) or settings.today(one.timezone)
    ops = open_ops(settings, one)
    _tell_export(export_remarketing(settings, one, ops, wanted, _flavour(flavour)))


@sandbox_app.command("hotmart")
def sandbox_hotmart(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Porta em 127.0.0.1.")] = SANDBOX_PORT,
    data: Annotated[
        Path | None, typer.Option(help="JSON com vendas escritas à mão (padrão: as de exemplo).")
    ] = None,
    transactions: Annotated[
        int, typer.Option(min=0, help="Gera tantas vendas em vez de ler um arquivo.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Semente das vendas geradas.")] = 1,
    start: Annotated[str, typer.Option(help="Primeiro dia das vendas geradas.")] = "2023-04-01",
    end: Annotated[str, typer.Option(help="Último dia das vendas geradas.")] = "2026-03-14",
    faults: Annotated[
        str, typer.Option(help='Falhas em JSON, como {"delay_seconds": 2} (veja docs/sandbox.md).')
    ] = "{}",
) -> None:
    """Sobe uma Hotmart de mentira, por HTTP de verdade, até Ctrl+C.

    Exemplo: crm sandbox hotmart --transactions 5000
    """
    from pydantic import ValidationError

    from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS, Faults, serve
    from crm_resources.hotmart.sandbox_data import SandboxData, SandboxDataError

    if data and not data.is_file():
        raise typer.BadParameter(f"--data: {data} não é um arquivo.")
    try:
        script = Faults.model_validate_json(faults)
        if transactions:
            first, last = (
                datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(SANDBOX_ZONE))
                for text in (start, end)
            )
            sales = SandboxData.generate(seed, transactions, first, last)
        else:
            sales = SandboxData.load(data or CHECKOUT / "data" / "sample" / "hotmart.json")
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, each["loc"])) or "JSON" for each in error.errors())
        known = ", ".join(Faults.model_fields)
        raise typer.BadParameter(f"--faults não aceita {fields}; existem {known}.") from None
    except (SandboxDataError, OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        _fail(f"A porta {port} já está em uso: escolha outra com --port.")
    url = f"http://127.0.0.1:{port}"
    out.print(
        f"{len(sales)} vendas em {url}\n"
        f"HOTMART_API_URL={url} HOTMART_AUTH_URL={url} "
        f"HOTMART_CLIENT_ID={SANDBOX_CREDENTIALS.client_id} "
        f"HOTMART_CLIENT_SECRET={SANDBOX_CREDENTIALS.client_secret}"
    )
    serve("127.0.0.1", port, sales, script)


def _flavour(text: str) -> Format:
    from crm_assets.gold.files import Format

    try:
        return Format(text)
    except ValueError:
        raise typer.BadParameter(f"--format precisa ser {' ou '.join(Format)}.") from None


def _tell_export(made: Export) -> None:
    if made.path is None:
        out.print("Ninguém para listar; nenhum arquivo foi feito.")
        return
    out.print(
        escape(f"{made.path}\n{made.rows} pessoas, {made.excluded} fora por pedido ou por pulo")
    )


def _demo_environment(sample: Path) -> dict[str, str]:
    from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS

    url = f"http://127.0.0.1:{SANDBOX_PORT}"
    return {
        "ENVIRONMENT": "prd",
        "CRM_HOME": str(CHECKOUT / "data" / "demo"),
        "CRM_TENANTS": str(sample / "tenants.toml"),
        "CRM_NOW": DEMO_NOW,
        "HOTMART_CLIENT_ID": SANDBOX_CREDENTIALS.client_id,
        "HOTMART_CLIENT_SECRET": SANDBOX_CREDENTIALS.client_secret,
        "HOTMART_BASIC_TOKEN": "",
        "HOTMART_START_DATE": "",
        "HOTMART_END_DATE": "",
        "HOTMART_API_URL": url,
        "HOTMART_AUTH_URL": url,
        "SCHEDULE_TIME": "",
        "CRM_OPS_URL": "",
        "CRM_LOCATION_TENANTS": "",
    }


def _stages(only: str | None, known: Sequence[str]) -> Sequence[str]:
    if only is None:
        return known
    wanted = [stage.strip() for stage in only.split(",") if stage.strip()]
    unknown = [stage for stage in wanted if stage not in known]
    if unknown or not wanted:
        raise typer.BadParameter(f"--only aceita {', '.join(known)}, não {only!r}.")
    return [stage for stage in known if stage in wanted]


def _fail(message: str) -> NoReturn:
    refuse(message)
    sys.exit(1)


if __name__ == "__main__":
    main()
