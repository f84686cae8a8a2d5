"""Hotmart's own sales export: its bronze table (rules 8). The API and the events win over it."""

import dagster as dg

from crm_assets.bronze.file_asset import FileKind, file_asset
from crm_assets.bronze.hotmart_csv_file import read_sales
from crm_assets.bronze.receiving import HOTMART_CSV
from crm_assets.checks.bronze import HotmartCsv
from crm_assets.steps import Site, Table

SALES = Table(
    "bronze.hotmart_csv",
    HotmartCsv,
    "Vendas como vieram nos relatórios exportados do painel da Hotmart, uma linha por linha do "
    "arquivo. Completam o que a API não alcança; onde a API fala, ela vale.",
)
KIND = FileKind(
    HOTMART_CSV, SALES, lambda content, timezone, _: read_sales(content, timezone=timezone)
)


def hotmart_csv_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The bronze asset of Hotmart's sales exports."""
    return [file_asset(site, KIND)]
