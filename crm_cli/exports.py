"""`crm export`: a file from the serving snapshot, and its path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from crm_assets.settings import load_settings
from crm_cli.console import out
from crm_cli.session import TenantOption, open_ops, single_tenant

if TYPE_CHECKING:
    from crm_assets.gold.files import Export, Format

export_app = typer.Typer(no_args_is_help=True, help="Gera um arquivo em data/output.")
FormatOption = Annotated[str, typer.Option("--format", help="csv ou excel-csv.")]


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
