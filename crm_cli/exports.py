"""`crm export`: a file from the serving snapshot, and its path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_assets.words import counted
from crm_cli.console import out
from crm_cli.session import TenantOption, actor_by, open_ops, tenant_of

if TYPE_CHECKING:
    from crm_assets.gold.files import Export, Exporter
    from crm_assets.gold.formats import Format

export_app = typer.Typer(no_args_is_help=True, help="Gera um arquivo em data/output.")
FormatOption = Annotated[
    str, typer.Option("--format", help="csv, excel-csv, xlsx, txt, vcf, meta ou google.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Diz quem entraria e onde, sem gravar nada.")
]

_LACKING = {"phone": "telefone", "email": "e-mail"}


@export_app.command("audience")
def export_audience_command(
    slug: Annotated[
        str, typer.Argument(metavar="PÚBLICO", help="Nome do público no tenants.toml.")
    ],
    tenant: TenantOption = None,
    flavour: FormatOption = "csv",
    dry_run: DryRunOption = False,
) -> None:
    """Gera o arquivo de um público, do maior valor para o menor.

    Exemplo: crm export audience ilpi --format excel-csv
    """
    settings, one = tenant_of(tenant)
    if slug not in one.audiences:
        known = ", ".join(one.audiences)
        raise typer.BadParameter(f"não existe o público {slug!r}; existem: {known}.")
    exporter = _exporter(settings, one, flavour, dry_run=dry_run)
    _tell(exporter, exporter.audience(slug))


@export_app.command("remarketing")
def export_remarketing_command(
    day: Annotated[str | None, typer.Option(help="Dia do lote, AAAA-MM-DD (padrão: hoje).")] = None,
    tenant: TenantOption = None,
    flavour: FormatOption = "csv",
    dry_run: DryRunOption = False,
) -> None:
    """Gera o arquivo do lote de remarketing de um dia.

    Exemplo: crm export remarketing --day 2026-03-15
    """
    from crm_assets.settings import parse_day

    settings, one = tenant_of(tenant)
    wanted = parse_day("--day", day) or settings.today(one.timezone)
    exporter = _exporter(settings, one, flavour, dry_run=dry_run)
    _tell(exporter, exporter.remarketing(wanted))


@export_app.command("customers")
def export_customers_command(
    tenant: TenantOption = None,
    flavour: FormatOption = "csv",
    dry_run: DryRunOption = False,
) -> None:
    """Gera o arquivo do cadastro inteiro, sem quem pediu para sair.

    Exemplo: crm export customers --format xlsx
    """
    settings, one = tenant_of(tenant)
    exporter = _exporter(settings, one, flavour, dry_run=dry_run)
    _tell(exporter, exporter.customers())


def _exporter(settings: Settings, tenant: Tenant, flavour: str, *, dry_run: bool) -> Exporter:
    """The maker of files; refuses before any store is opened while nothing is published."""
    from crm_assets.gold.files import Exporter
    from crm_assets.gold.snapshot import open_snapshot

    wanted = _flavour(flavour)
    with open_snapshot(settings, tenant):
        ops = open_ops(settings, tenant)
    return Exporter(settings, tenant, ops, wanted, actor=actor_by("crm export"), dry_run=dry_run)


def _flavour(text: str) -> Format:
    from crm_assets.gold.formats import Format

    try:
        return Format(text)
    except ValueError:
        *others, last = Format
        known = f"{', '.join(others)} ou {last}"
        raise typer.BadParameter(f"--format precisa ser {known}.") from None


def _tell(exporter: Exporter, made: Export) -> None:
    needed = " nem ".join(_LACKING[name] for name in exporter.flavour.needs)
    if made.path is None:
        nobody = f"Ninguém tem {needed}" if made.lacking else "Ninguém para listar"
        verb = "seria" if exporter.dry_run else "foi"
        out.print(f"{nobody}; nenhum arquivo {verb} feito.")
        return
    if exporter.dry_run:
        out.print("Nada foi gravado; o arquivo seria:")
    without = f", {made.lacking} sem {needed}" if made.lacking else ""
    out.print(
        escape(
            f"{made.path}\n{counted(made.rows, 'pessoa')}, {made.excluded} fora "
            f"(pediram para sair, pulados ou de outro produtor){without}"
        )
    )
