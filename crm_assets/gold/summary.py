"""The published state of a tenant in a few lines that a person understands. No Dagster here."""

from __future__ import annotations

from crm_assets.gold.snapshot import NothingPublished, open_snapshot
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant


def published(settings: Settings, tenant: Tenant) -> list[str]:
    """Customers, audiences, today's batch, and what could not be read."""
    try:
        with open_snapshot(settings, tenant) as con:
            customers = con.execute(_CUSTOMERS).fetchall()[0]
            sales = con.execute(_SALES).fetchall()
            audiences = {
                slug: con.execute(_AUDIENCE.format(slug=slug)).fetchall()[0]
                for slug in tenant.audiences
            }
            today = settings.today(tenant.timezone)
            batch = con.execute(_BATCH, [today]).fetchall()
            rejects = con.execute(
                "SELECT source, reason, cells FROM meta.rejects ORDER BY ALL"
            ).fetchall()
    except NothingPublished as error:
        return [str(error)]
    total, buyers, both, reachable, opted_out = customers
    lines = [
        f"Clientes: {total} ({buyers} compraram, {both} em mais de uma fonte, "
        f"{reachable} alcançáveis, {opted_out} pediram para sair)",
        *(
            f"Vendas em {currency}: {money(paid)} pagas, {money(pending)} pendentes, "
            f"{money(reversed_)} reembolsadas ou contestadas"
            for currency, paid, pending, reversed_ in sales
        ),
        *(
            f"Público {tenant.audiences[slug].label}: {people} pessoas, "
            f"LTV {money(ltv)} {tenant.currency}"
            + (f", mais {foreign} só em outra moeda" if foreign else "")
            for slug, (people, ltv, foreign) in audiences.items()
        ),
        f"Lote de {today:%d/%m/%Y}: "
        + (", ".join(f"{count} {status}" for status, count in batch) or "ninguém"),
    ]
    if rejects:
        told = ", ".join(f"{source} {reason}: {cells}" for source, reason, cells in rejects)
        lines.append(f"Não lido, guardado em bronze.rejects: {told}")
    return lines


def money(value: object) -> str:
    """An amount as Brazilians write it: 1.234,56."""
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


_CUSTOMERS = """
    SELECT count(*), count(*) FILTER (WHERE has_purchased),
           count(*) FILTER (WHERE len(sources) > 1), count(*) FILTER (WHERE reachable),
           count(*) FILTER (WHERE opted_out)
    FROM silver.customers
"""
_SALES = """
    SELECT coalesce(currency, 'moeda desconhecida'),
           coalesce(sum(gross) FILTER (WHERE is_paid), 0),
           coalesce(sum(gross) FILTER (WHERE status_class = 'pending'), 0),
           coalesce(sum(gross) FILTER (WHERE is_refunded OR is_disputed), 0)
    FROM silver.sales WHERE is_own GROUP BY currency ORDER BY currency
"""
_AUDIENCE = """
    SELECT count(*) FILTER (WHERE ltv > 0), coalesce(sum(ltv), 0), count(*) FILTER (WHERE ltv = 0)
    FROM gold.audience_{slug}
"""
_BATCH = """
    SELECT status, count(*) FROM gold.remarketing_batches WHERE batch_date = ?
    GROUP BY status ORDER BY status
"""
