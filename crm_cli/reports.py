"""`crm report`: what the serving snapshot says of a day, or of subscriptions by period."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from crm_assets.settings import load_settings, parse_day
from crm_assets.words import AT_RISK, counted, plain
from crm_cli.console import out, tell_table, tell_tenant
from crm_cli.rights import one_of
from crm_cli.session import TenantOption, actor_by, chosen_tenants, open_ops, tenant_of

if TYPE_CHECKING:
    import polars as pl

report_app = typer.Typer()

_TABLE = "table"
_FORMATS = {_TABLE: "tabela", **{kind: kind for kind in ("csv", "excel-csv", "xlsx")}}
_SHOWN = {
    "novas": "novas",
    "perdidas": "perdidas",
    "no_fim": "no\nfim",
    "em_risco": "em\nrisco",
    "churn": "churn",
    "mrr_liquido": "MRR\nlíquido",
    "receita_liquida": "receita\nlíquida",
}
"""Columns that fit on 80 characters; a file has all of them."""

_PERIODS = {"month": "%m/%Y", "week": "%d/%m/%Y", "day": "%d/%m/%Y"}


@report_app.callback(invoke_without_command=True)
def report(
    context: typer.Context,
    day: Annotated[str | None, typer.Option(help="Dia, AAAA-MM-DD (padrão: hoje).")] = None,
    tenant: TenantOption = None,
) -> None:
    """Mostra o relatório geral: vendas, públicos e lote, com a diferença para a carga anterior.

    Exemplo: crm report --day 2026-03-15
    """
    if context.invoked_subcommand is not None:
        return
    from crm_assets.gold import summary

    settings = load_settings()
    wanted = parse_day("--day", day)
    for one in chosen_tenants(settings, tenant):
        tell_tenant(settings, one)
        for line in summary.report(settings, one, wanted):
            out.print(escape(line))


@report_app.command("subscriptions")
def subscriptions(
    start: Annotated[
        str | None, typer.Option(help="Primeiro dia, AAAA-MM-DD (padrão: 1º de janeiro).")
    ] = None,
    end: Annotated[str | None, typer.Option(help="Último dia (padrão: hoje).")] = None,
    group_by: Annotated[str, typer.Option(help="dia, semana ou mês.")] = "mês",
    currency: Annotated[
        str | None, typer.Option(help="Só uma moeda, como USD (padrão: todas, na da empresa).")
    ] = None,
    flavour: Annotated[
        str, typer.Option("--format", help="tabela, csv, excel-csv ou xlsx.")
    ] = "tabela",
    tenant: TenantOption = None,
) -> None:
    """Mostra assinaturas, MRR, churn e receita por período.

    Exemplo: crm report subscriptions --start 2026-01-01 --group-by semana --format xlsx
    """
    from crm_assets.gold import subscription_report as reports
    from crm_assets.gold.formats import Format
    from crm_assets.gold.periods import HOME

    grain = one_of("--group-by", group_by, reports.GROUPS)
    kind = one_of("--format", flavour, _FORMATS)
    if currency and not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise typer.BadParameter("--currency precisa ser o código de uma moeda, como BRL.")
    settings, one = tenant_of(tenant)
    last = parse_day("--end", end) or settings.today(one.timezone)
    first = parse_day("--start", start) or date(last.year, 1, 1)
    if first > last:
        raise typer.BadParameter(f"--start ({first}) vem depois de --end ({last}).")
    book = currency.upper() if currency else HOME
    rows = reports.subscription_report(settings, one, first, last, grain, book)
    if rows.is_empty():
        out.print(f"Nenhuma assinatura de {first:%d/%m/%Y} a {last:%d/%m/%Y}.")
        return
    period = reports.GROUPS[grain]
    if kind == _TABLE:
        tell_table(_table(rows, period, _PERIODS[grain]))
        if rows["em_aberto"].any():
            out.print("* ainda em aberto")
        out.print(f"no fim, {AT_RISK} e MRR: no último dia do período")
    else:
        of_currency = f"_{book}" if currency else ""
        stem = f"assinaturas_{first}_{last}_{plain(period)}{of_currency}"
        path = reports.write_subscription_report(settings, one, rows, stem, Format(kind))
        out.print(escape(str(path)))
    for line in reports.totals(rows, one.currency if book == HOME else book):
        out.print(escape(line))


@report_app.command("churn")
def churn(tenant: TenantOption = None) -> None:
    """Gera o relatório de churn das últimas semanas e a lista de assinantes em risco.

    Exemplo: crm report churn
    """
    from crm_assets.gold.files import Exporter
    from crm_assets.gold.snapshot import open_snapshot
    from crm_assets.gold.subscription_report import write_churn_report

    settings, one = tenant_of(tenant)
    with open_snapshot(settings, one):
        ops = open_ops(settings, one)
    exporter = Exporter(settings, one, ops, actor=actor_by("crm report churn"))
    path, _, people = write_churn_report(exporter)
    out.print(escape(str(path)))
    if people.path:
        out.print(escape(str(people.path)))
    told = counted(people.rows, "pessoa com assinatura", "pessoas com assinatura")
    out.print(f"{told} {AT_RISK}, {people.excluded} fora (pediram para sair).")


def _table(rows: pl.DataFrame, period: str, form: str) -> Table:
    """The rows as Brazilians read them; an open period has a star."""
    from crm_assets.gold.summary import money

    table = Table(period, box=None, pad_edge=False)
    for label in _SHOWN.values():
        table.add_column(label, justify="right")
    for row in rows.iter_rows(named=True):
        churn = "–" if row["churn"] is None else f"{row['churn']:.2f} %".replace(".", ",")
        told = {
            **row,
            "churn": churn,
            **{name: money(row[name]) for name in ("mrr_liquido", "receita_liquida")},
        }
        mark = "*" if row["em_aberto"] else ""
        table.add_row(f"{row['inicio']:{form}}{mark}", *(str(told[name]) for name in _SHOWN))
    return table
