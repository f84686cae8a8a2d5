"""`crm report`: the report of a day, as it stands in the serving snapshot."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from crm_assets.settings import load_settings, parse_day
from crm_cli.console import out, tell_tenant
from crm_cli.session import TenantOption, chosen_tenants


def report(
    day: Annotated[str | None, typer.Option(help="Dia, AAAA-MM-DD (padrão: hoje).")] = None,
    tenant: TenantOption = None,
) -> None:
    """Mostra o relatório geral: vendas, públicos e lote, com a diferença para a carga anterior.

    Exemplo: crm report --day 2026-03-15
    """
    from crm_assets.gold import summary

    settings = load_settings()
    wanted = parse_day("--day", day)
    for one in chosen_tenants(settings, tenant):
        tell_tenant(settings, one)
        for line in summary.report(settings, one, wanted):
            out.print(escape(line))
