"""Audiences: the buyers of a set of products with their lifetime value in it (rules 4.1, 4.2).

An audience with triggers keeps instead whoever one of them holds of, for one of its products, with
what they paid for these so far, which may be nothing (rules 4.7).
"""

from functools import partial

import dagster as dg

from crm_assets.checks.contract import Verdict
from crm_assets.checks.gold import Audience as AudienceContract
from crm_assets.steps import Metadata, Reconciliation, Site, Table, table_step
from crm_resources.warehouse import Transaction


def audience_table(site: Site, slug: str) -> Table:
    """The table of one audience."""
    audience = site.tenant.audiences[slug]
    who = "quem comprou seus produtos"
    if audience.triggers:
        who = f"quem tem, em seus produtos, {' ou '.join(audience.triggers)}"
    return Table(
        f"gold.audience_{slug}",
        AudienceContract,
        f"Público {audience.label}: {who}, com o valor total pago (LTV). "
        "Vendas reembolsadas ou pendentes não contam; outra moeda fica à parte.",
        reads=("silver.customers", "silver.sales", "silver.products", "gold.triggers"),
    )


def audience_assets(site: Site) -> list[dg.AssetsDefinition]:
    """One step per configured audience."""
    return [_audience_step(site, slug) for slug in site.tenant.audiences]


def _audience_step(site: Site, slug: str) -> dg.AssetsDefinition:
    table = audience_table(site, slug)
    triggers = list(site.tenant.audiences[slug].triggers)
    parameters: dict[str, object] = {"slug": slug, "triggers": triggers}

    def write(tx: Transaction) -> dict[str, Metadata]:
        tx.replace_table(table.name, _AUDIENCE, parameters)
        return {table.name: tx.read(_SUMMARY.format(table=table.name)).row(0, named=True)}

    return table_step(
        site,
        f"audience_{slug}",
        [table],
        write=write,
        reconciliations=[
            Reconciliation(
                table.name,
                "vendas_iguais_ao_ltv",
                "Vendas elegíveis = LTV do público + compradores sem chave + pessoas apagadas + "
                "pessoas fora dos gatilhos + moeda sem conversão.",
                partial(_sales_match, table.name, parameters),
            )
        ],
    )


def _sales_match(table: str, parameters: dict[str, object], tx: Transaction) -> Verdict:
    sums = tx.read(f"{_ELIGIBLE} {_SUMS.format(table=table)}", parameters).row(0, named=True)
    unowned = sums["sem chave"] + sums["apagadas"] + sums["fora dos gatilhos"]
    foreign_unowned = sums["outra moeda sem chave"] + sums["outra moeda apagadas"]
    foreign_unowned += sums["outra moeda fora dos gatilhos"]
    in_currency = sums["vendas"] - unowned == sums["ltv"]
    converted = sums["outra moeda"] - foreign_unowned == sums["ltv outra moeda"]
    return Verdict(
        "vendas_iguais_ao_ltv",
        in_currency and converted,
        {name: str(value) for name, value in sums.items()},
    )


_ELIGIBLE = """
    WITH eligible AS (
        SELECT sales.*, value IS NOT NULL AS is_valued
        FROM silver.sales AS sales
        LEFT JOIN silver.products AS products USING (source, product_id)
        WHERE is_eligible AND list_contains(coalesce(products.audiences, []), $slug)
    )
"""
_AUDIENCE = f"""
    {_ELIGIBLE}, foreign_sums AS (
        SELECT customer_id, currency, sum(gross)::DECIMAL(18, 2) AS amount
        FROM eligible WHERE NOT is_valued GROUP BY customer_id, currency
    ), foreign_lists AS (
        SELECT customer_id,
               list({{'currency': currency, 'amount': amount}} ORDER BY currency) AS ltv_foreign
        FROM foreign_sums GROUP BY customer_id
    ), valued AS (
        SELECT customer_id,
               coalesce(sum(value), 0)::DECIMAL(18, 2) AS ltv,
               sum(net_value)::DECIMAL(18, 2) AS ltv_net,
               count(DISTINCT order_id) FILTER (WHERE is_new_order) AS orders,
               min(paid_at) AS first_purchase_at,
               max(paid_at) AS last_purchase_at
        FROM eligible WHERE customer_id IS NOT NULL GROUP BY customer_id
    ), members AS (
        SELECT customer_id FROM valued WHERE len($triggers::VARCHAR[]) = 0
        UNION
        SELECT customer_id FROM gold.triggers JOIN silver.products USING (product_id)
        WHERE list_contains($triggers::VARCHAR[], trigger) AND list_contains(audiences, $slug)
    )
    SELECT customer_id, name, email, phone, country, state,
           coalesce(ltv, 0)::DECIMAL(18, 2) AS ltv, ltv_net,
           coalesce(ltv_foreign, []) AS ltv_foreign,
           coalesce(valued.orders, 0) AS orders, first_purchase_at, valued.last_purchase_at,
           NOT opted_out AS exportable
    FROM members
    JOIN silver.customers AS customers USING (customer_id)
    LEFT JOIN valued USING (customer_id)
    LEFT JOIN foreign_lists USING (customer_id)
    ORDER BY ltv DESC, customer_id
"""
_SUMS = """
    SELECT coalesce(sum(value), 0) AS "vendas",
           coalesce(sum(value) FILTER (WHERE customer_id IS NULL), 0) AS "sem chave",
           coalesce(sum(value) FILTER (WHERE is_erased), 0) AS "apagadas",
           coalesce(sum(value) FILTER (is_untriggered), 0) AS "fora dos gatilhos",
           (SELECT coalesce(sum(ltv), 0) FROM {table}) AS "ltv",
           coalesce(sum(gross) FILTER (WHERE NOT is_valued), 0) AS "outra moeda",
           coalesce(sum(gross) FILTER (WHERE NOT is_valued AND customer_id IS NULL), 0)
               AS "outra moeda sem chave",
           coalesce(sum(gross) FILTER (WHERE NOT is_valued AND is_erased), 0)
               AS "outra moeda apagadas",
           coalesce(sum(gross) FILTER (NOT is_valued AND is_untriggered), 0)
               AS "outra moeda fora dos gatilhos",
           (SELECT coalesce(sum(amount), 0) FROM (
               SELECT unnest(ltv_foreign).amount AS amount FROM {table}
           )) AS "ltv outra moeda"
    FROM (
        SELECT *, len($triggers::VARCHAR[]) > 0 AND customer_id IS NOT NULL AND NOT is_erased
                  AND customer_id NOT IN (SELECT customer_id FROM {table}) AS is_untriggered
        FROM eligible
    )
"""
_SUMMARY = """
    SELECT count(*) FILTER (WHERE ltv > 0) AS "pessoas com LTV",
           coalesce(sum(ltv), 0)::DOUBLE AS "LTV total",
           count(*) FILTER (WHERE NOT exportable) AS "fora dos arquivos (pediram para sair)"
    FROM {table}
"""
