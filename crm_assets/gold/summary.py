"""The published state of a tenant in a few lines that a person understands. No Dagster here.

The same lines are what a round prints, what `crm report` shows and what the day's text file holds.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import polars as pl

from crm_assets.gold.snapshot import (
    NothingPublished,
    has_column,
    has_table,
    newer_actions,
    open_snapshot,
)
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_assets.words import AT_RISK, counted
from crm_resources.ops import OpsStore


def published(settings: Settings, tenant: Tenant) -> list[str]:
    """Today's report, or what to do when nothing was published yet."""
    try:
        return report(settings, tenant)
    except NothingPublished as error:
        return [str(error)]


def report(settings: Settings, tenant: Tenant, day: date | None = None) -> list[str]:
    """The report of a day: what changed since the load before, and where things stand.

    Sales are those of the last load up to the day, each figure with its difference (S1.102 to
    S1.105). Customers, audiences and what could not be read are told of the newest load only,
    since nothing keeps their past.

    Args:
        settings: the installation.
        tenant: whose report.
        day: the day, today by default.

    Raises:
        NothingPublished: no round has finished yet.
    """
    wanted = day or settings.today(tenant.timezone)
    ops = OpsStore(settings.ops_address(tenant.slug), settings.ops_tenant(tenant.slug))
    with open_snapshot(settings, tenant) as con:
        loaded, newest = con.execute(_LOADS, [wanted]).fetchall()[0]
        return [
            *_sales(con, wanted, loaded),
            *_subscriptions(con, tenant, wanted),
            *(_customers(con, tenant) if loaded == newest else []),
            *(_triggers(con, tenant) if loaded == newest else []),
            _batch(con, wanted, newer_actions(con, ops)),
            *(_rejects(con) if loaded == newest else []),
        ]


def money(value: object, sign: str = "") -> str:
    """An amount as Brazilians write it: 1.234,56."""
    return f"{value:{sign},.2f}".translate(str.maketrans(",.", ".,"))


def _sales(con: duckdb.DuckDBPyConnection, wanted: date, loaded: date | None) -> list[str]:
    if loaded is None:
        return [f"Nenhuma carga até {wanted:%d/%m/%Y}."]
    rows = con.sql(_REPORT, params=[loaded]).pl().to_dicts()
    before = rows[0]["compared_with"]
    when = (
        f"Relatório geral de {loaded:%d/%m/%Y}"
        if loaded == wanted
        else f"Sem carga em {wanted:%d/%m/%Y}; a última antes é de {loaded:%d/%m/%Y}"
    )
    compared = f"comparado com {before:%d/%m/%Y}" if before else "carga inicial"
    return [f"{when} ({compared})", *map(_sales_line, rows)]


def _sales_line(row: dict[str, Any]) -> str:
    def told(figure: str) -> str:
        value, change = row[figure], row[f"{figure}_change"]
        if isinstance(value, int):
            return f"{value}" if change is None else f"{value} ({change:+d})"
        return money(value) if change is None else f"{money(value)} ({money(change, '+')})"

    buyers = "comprador" if row["buyers"] == 1 else "compradores"
    cancellations = "cancelamento" if row["cancellations"] == 1 else "cancelamentos"
    return (
        f"Vendas em {row['currency'] or 'moeda desconhecida'}: {told('paid')} pagas, "
        f"{told('pending')} pendentes; {told('buyers')} {buyers}; "
        f"{told('cancellations')} {cancellations}, {told('cancelled')} canceladas"
    )


def _subscriptions(con: duckdb.DuckDBPyConnection, tenant: Tenant, day: date) -> list[str]:
    """Recurring revenue on a day and the churn of the month before; nothing without any."""
    if not has_column(con, "gold.subscription_metrics", "unpriced"):
        return []
    levels = con.execute(_LEVELS, [day]).fetchall()
    if not levels or not any(levels[0]):
        return []
    subscriptions, unpriced, unconverted, trial, at_risk, gross, net = levels[0]
    missing = {"sem preço conhecido": unpriced, "em moeda sem câmbio conhecido": unconverted}
    lacking = ", ".join(f"{count} {why}" for why, count in missing.items() if count)
    lacking = f" ({lacking})" if lacking else ""
    churn = con.execute(_CHURN, [day]).fetchall()
    told = ""
    if churn and churn[0][1] is not None:
        month, rate = churn[0]
        told = f"; churn de {month:%m/%Y}: {100 * rate:.1f} %".replace(".", ",")
    return [
        f"Assinaturas: {counted(subscriptions, 'paga')}{lacking}, {at_risk} {AT_RISK}, e {trial} "
        f"em trial; MRR {money(gross)} {tenant.currency} bruto, {money(net)} líquido{told}"
    ]


def _customers(con: duckdb.DuckDBPyConnection, tenant: Tenant) -> list[str]:
    total, buyers, both, reachable, opted_out = con.execute(_CUSTOMERS).fetchall()[0]
    keyless, erased, unmapped, products = con.execute(_OUTSIDE).fetchall()[0]
    outside = {
        "sem e-mail nem telefone": keyless,
        "de pessoas apagadas": erased,
        f"de produtos sem público ({products})": unmapped,
    }
    audiences = {
        audience.label: con.execute(_AUDIENCE.format(slug=slug)).fetchall()[0]
        for slug, audience in tenant.audiences.items()
        if has_table(con, f"gold.audience_{slug}")
    }
    return [
        f"Clientes: {total} ({counted(buyers, 'comprou', 'compraram')}, {both} em mais de uma "
        f"fonte, {counted(reachable, 'alcançável', 'alcançáveis')}, "
        f"{counted(opted_out, 'pediu para sair', 'pediram para sair')})",
        *(
            f"Público {label}: {counted(people, 'pessoa')}, LTV {money(ltv)} {tenant.currency}"
            + (f", mais {foreign} só em outra moeda" if foreign else "")
            for label, (people, ltv, foreign) in audiences.items()
        ),
        *(
            f"Pago fora dos públicos: {money(amount)} {tenant.currency} {why}"
            for why, amount in outside.items()
            if amount
        ),
    ]


def _triggers(con: duckdb.DuckDBPyConnection, tenant: Tenant) -> list[str]:
    """Of how many people something holds that a message can answer; nothing without any."""
    if not has_table(con, "gold.triggers"):
        return []
    told = [f"{_TRIGGER_WORDS[name]} {people}" for name, people in con.sql(_PEOPLE).fetchall()]
    carts = con.sql(_OPEN_CARTS).fetchall()[0][0]
    worth = f"; carrinhos valem cerca de {money(carts)} {tenant.currency}" if carts else ""
    return [f"Pedem uma mensagem: {', '.join(told)}{worth}"] if told else []


def _batch(con: duckdb.DuckDBPyConnection, day: date, newer: pl.DataFrame) -> str:
    of_day = newer.filter(pl.col("day") == day)
    done = {
        kind: of_day.filter(pl.col("kind") == f"batch_{kind}")["customer_id"].to_list()
        for kind in ("delivered", "skipped")
    }
    places = con.execute(_BATCH, {"day": day, **done}).fetchall()
    ever = con.execute(_SELECTIONS, [day]).fetchall()[0][0]
    told = ", ".join(counted(count, _PLACES.get(one, one)) for one, count in places) or "ninguém"
    return f"Lote de {day:%d/%m/%Y}: {told}; {counted(ever, 'seleção', 'seleções')} desde o início"


def _rejects(con: duckdb.DuckDBPyConnection) -> list[str]:
    cells = con.execute("SELECT source, reason, cells FROM meta.rejects ORDER BY ALL").fetchall()
    told = ", ".join(f"{source} {reason}: {count}" for source, reason, count in cells)
    return [f"Não lido, guardado em bronze.rejects: {told}"] if told else []


_LOADS = """
    SELECT max(report_date) FILTER (WHERE report_date <= ?), max(report_date)
    FROM gold.daily_report
"""
_REPORT = "FROM gold.daily_report WHERE report_date = ? ORDER BY paid DESC, currency"
_LEVELS = """
    SELECT subscriptions, unpriced, unconverted, trial, at_risk, mrr_gross, mrr_net
    FROM gold.subscription_metrics WHERE day = ? AND currency = 'home'
"""
_CHURN = """
    SELECT period_start, churn_rate FROM gold.churn
    WHERE grain = 'month' AND currency = 'home'
      AND period_start = date_trunc('month', ?::DATE) - INTERVAL 1 MONTH
"""
_CUSTOMERS = """
    SELECT count(*), count(*) FILTER (WHERE has_purchased),
           count(*) FILTER (WHERE len(sources) > 1), count(*) FILTER (WHERE reachable),
           count(*) FILTER (WHERE opted_out)
    FROM silver.customers
"""
_OUTSIDE = """
    WITH owned AS (
        SELECT *, CASE WHEN customer_id IS NULL THEN 'nobody'
                       WHEN customer_id IN (SELECT customer_id FROM silver.customers)
                       THEN 'customer' ELSE 'erased' END AS owner
        FROM silver.sales
    )
    SELECT coalesce(sum(value) FILTER (WHERE owner = 'nobody'), 0),
           coalesce(sum(value) FILTER (WHERE owner = 'erased'), 0),
           coalesce(sum(value) FILTER (WHERE owner = 'customer'), 0),
           string_agg(DISTINCT product, ', ' ORDER BY product) FILTER (WHERE owner = 'customer')
    FROM (
        SELECT *, coalesce(name, product_id, 'sem nome') AS product FROM owned
        LEFT JOIN silver.products USING (source, product_id)
    )
    WHERE is_eligible AND (owner <> 'customer' OR len(coalesce(audiences, [])) = 0)
"""
_AUDIENCE = """
    SELECT count(*) FILTER (WHERE ltv > 0), coalesce(sum(ltv), 0), count(*) FILTER (WHERE ltv = 0)
    FROM gold.audience_{slug}
"""
_PLACES = {"nao_entregue": "não entregue"}
_TRIGGER_WORDS = {
    "carrinho": "carrinho aberto",
    "boleto_pix_pendente": "boleto ou PIX pendente",
    "expirado": "pagamento vencido",
    "recusado": "pagamento recusado",
    "atrasado": "pagamento atrasado",
    "cancelado": "assinatura cancelada",
    "reembolsado": "reembolso",
    "chargeback": "chargeback",
    "disputa": "disputa",
}
_PEOPLE = """
    SELECT trigger, count(DISTINCT customer_id) FROM gold.triggers GROUP BY trigger ORDER BY trigger
"""
_OPEN_CARTS = """
    SELECT sum(value) FROM silver.carts JOIN gold.triggers USING (customer_id, product_id)
    WHERE trigger = 'carrinho' AND since = cart_at
"""
_BATCH = """
    SELECT CASE WHEN customer_id IN (SELECT unnest($skipped::VARCHAR[])) THEN 'pulado'
                WHEN customer_id IN (SELECT unnest($delivered::VARCHAR[])) THEN 'entregue'
                ELSE status END AS outcome,
           count(*)
    FROM gold.remarketing_batches WHERE batch_date = $day GROUP BY outcome ORDER BY outcome
"""
_SELECTIONS = "SELECT count(*) FROM gold.remarketing_batches WHERE batch_date <= ?"
