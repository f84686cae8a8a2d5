"""The report of subscriptions by period, from the serving snapshot (S3.108 to S3.110, S3.122-126).

What belongs here: its rows and its file, and the weekly analysis of churn made of it. Levels (how
many there are, MRR) are those at the end of a period and never summed; what happened in a period
is. No Dagster here.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl

from crm_assets.gold.files import Export, Exporter, appearing
from crm_assets.gold.formats import Format, write_sheet
from crm_assets.gold.periods import HOME
from crm_assets.gold.snapshot import NothingPublished, has_column, open_snapshot
from crm_assets.gold.summary import money
from crm_assets.settings import Settings
from crm_assets.slices import zone
from crm_assets.tenants import Tenant
from crm_assets.words import AT_RISK, counted

GROUPS = {"day": "dia", "week": "semana", "month": "mês"}
"""Kinds of period, and what people call them."""

CHURN_WEEKS = 13
"""Weeks that the analysis of churn shows, the present one included."""

SUMMED = (
    "novas", "reativadas", "perdidas", "fim_de_ciclo", "receita", "receita_liquida",
    "revertida_sem_data",
)  # fmt: skip
"""What happens in a period, and adds up over several."""


def subscription_report(
    settings: Settings, tenant: Tenant, start: date, end: date, grain: str, currency: str = HOME
) -> pl.DataFrame:
    """One row per period that has a day from `start` to `end`, oldest first.

    Args:
        settings: the installation.
        tenant: whose.
        start: first day.
        end: last day.
        grain: `day`, `week` or `month`.
        currency: a currency, or `home` for all of them in the tenant's.

    Raises:
        NothingPublished: no round with metrics has finished yet.
    """
    with open_snapshot(settings, tenant) as con:
        if not has_column(con, "gold.subscription_metrics", "unpriced"):
            raise NothingPublished(
                "As métricas ainda não foram calculadas por esta versão do programa: rode "
                "`uv run crm run`."
            )
        params = {"grain": grain, "start": start, "end": end, "currency": currency}
        return con.sql(_REPORT, params=params).pl()


def totals(rows: pl.DataFrame, currency: str) -> list[str]:
    """The whole stretch in a few sentences; none without periods."""
    if rows.is_empty():
        return []
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    sums = rows.select(pl.col(SUMMED).sum()).row(0, named=True)
    return [
        f"Assinaturas: {first['no_inicio']} no início e {last['no_fim']} no fim; "
        f"{counted(sums['novas'], 'nova')}, {counted(sums['reativadas'], 'reativada')}, "
        f"{counted(sums['perdidas'], 'perdida')}, {sums['fim_de_ciclo']} em fim de ciclo.",
        f"MRR no fim: {money(last['mrr_bruto'])} {currency} bruto, {money(last['mrr_liquido'])} "
        f"líquido. Receita no período: {money(sums['receita'])} {currency}, "
        f"{money(sums['receita_liquida'])} depois de reembolsos e chargebacks.",
        *(
            [
                f"{counted(last['sem_preco'], 'assinatura')} sem preço conhecido: no número de "
                "assinaturas, fora do MRR; `crm subscriptions list` mostra quais."
            ]
            if last["sem_preco"]
            else []
        ),
        *(
            [
                f"{counted(last['sem_cambio'], 'assinatura')} em moeda sem câmbio conhecido: no "
                "número de assinaturas, fora deste MRR; `crm subscriptions list` mostra quais."
            ]
            if last["sem_cambio"]
            else []
        ),
        *(
            [
                f"Dela foram revertidos {money(sums['revertida_sem_data'])} {currency} em dias que "
                "ninguém informou, que não estão descontados."
            ]
            if sums["revertida_sem_data"]
            else []
        ),
    ]


def write_subscription_report(
    settings: Settings, tenant: Tenant, rows: pl.DataFrame, stem: str, flavour: Format
) -> Path:
    """Write the rows as `relatorio/<stem>`, and return where; nobody is named in them."""
    path = settings.output_folder(tenant.slug) / "relatorio" / f"{stem}{flavour.ending}"
    about = {
        "o que é": "Assinaturas e receita por período; níveis são os do fim do período.",
        "gerado em": f"{settings.now().astimezone(zone(tenant)):%d/%m/%Y %H:%M}",
        "em_risco": f"{AT_RISK}, no fim do período",
        "churn": "assinaturas perdidas no período ÷ assinaturas no início dele",
        "taxa_hotmart": "cancelamentos pedidos no período ÷ assinaturas em dia e atrasadas no fim",
        "sem_preco": "assinaturas do fim do período que contam com MRR 0: preço desconhecido",
        "sem_cambio": "assinaturas do fim do período em moeda que não se converte, com MRR 0",
    }
    with appearing(path) as draft:
        write_sheet(rows, draft, flavour, about, "Assinaturas")
    return path


def write_churn_report(exporter: Exporter) -> tuple[Path, pl.DataFrame, Export]:
    """Write the weekly analysis: `churn_<day>.xlsx`, and the list of who is at risk.

    Returns:
        The report, its rows (one per week, the present one last), and the list.

    Raises:
        NothingPublished: no round with metrics has finished yet.
    """
    settings, tenant = exporter.settings, exporter.tenant
    today = settings.today(tenant.timezone)
    first = today - timedelta(weeks=CHURN_WEEKS - 1)
    rows = subscription_report(settings, tenant, first, today, "week")
    path = write_subscription_report(settings, tenant, rows, f"churn_{today}", Format.XLSX)
    return path, rows, exporter.at_risk()


_REPORT = """
    SELECT moves.period_start AS inicio, moves.is_partial AS em_aberto,
           moves.opening_subscriptions AS no_inicio, new_subscriptions AS novas,
           reactivated_subscriptions AS reativadas,
           moves.churned_subscriptions AS perdidas, moves.ended_subscriptions AS fim_de_ciclo,
           closing_subscriptions AS no_fim, trial AS em_trial, at_risk AS em_risco,
           round(100 * churn_rate, 2) AS churn, round(100 * hotmart_rate, 2) AS taxa_hotmart,
           closing_gross AS mrr_bruto, closing_net AS mrr_liquido,
           coalesce(total, 0.00) AS receita, coalesce(net, 0.00) AS receita_liquida,
           coalesce(undated_reversals, 0.00) AS revertida_sem_data, unpriced AS sem_preco,
           unconverted AS sem_cambio
    FROM gold.mrr_movements AS moves
    JOIN gold.churn AS churn USING (grain, period_start, currency)
    JOIN gold.subscription_metrics AS levels
        ON levels.currency = moves.currency AND levels.day = (
            SELECT max(day) FROM gold.subscription_metrics
            WHERE currency = moves.currency AND date_trunc($grain, day) = moves.period_start
        )
    LEFT JOIN gold.revenue AS revenue
        ON revenue.grain = moves.grain AND revenue.period_start = moves.period_start
        AND revenue.currency = moves.currency
    WHERE moves.grain = $grain AND moves.currency = $currency
      AND moves.period_start BETWEEN date_trunc($grain, $start::DATE) AND $end::DATE
    ORDER BY moves.period_start
"""
