"""The golden record of each person: the surviving fields, what was bought, when we spoke.

Fields are chosen record by record (`survivorship`). Dates are aggregated over all sources, and an
opt-out by any key wins.
"""

from __future__ import annotations

from functools import partial

import dagster as dg

from crm_assets.checks.contract import Verdict
from crm_assets.checks.silver import DECIDED_BY, Customers, FieldChoices
from crm_assets.contact.channels import CHANNELS
from crm_assets.person_rules import Survivorship
from crm_assets.plots import line
from crm_assets.privacy.consents import CONTACT_PURPOSE
from crm_assets.silver.lineage import CHOICES, replace_lineage, store_choices
from crm_assets.silver.survivorship import (
    FIELDS,
    golden_columns,
    sources_sql,
    survive,
)
from crm_assets.steps import Metadata, Reconciliation, Site, Table, table_step
from crm_resources.warehouse import Transaction

CUSTOMERS = Table(
    "silver.customers",
    Customers,
    "O cadastro mestre: uma linha por pessoa, com o melhor valor de cada campo entre todas as "
    "fontes, o que comprou e quando foi contatada.",
    reads=(
        "silver.contact_records",
        "silver.customer_xref",
        "silver.sales",
        "silver.products",
        "silver.contact_history",
        "silver.opt_outs",
        "bronze.crm_actions",
    ),
)
CHOSEN = Table(
    CHOICES,
    FieldChoices,
    "Qual registro de cada cliente venceu em cada campo, por qual critério, e qual ficou em "
    "segundo lugar; silver.customer_lineage mostra o mesmo campo por campo.",
    reads=("silver.contact_records", "silver.customer_xref", "bronze.crm_actions"),
)

CRITERIA = {
    "pin": "fixado por pessoa",
    "valid": "válido",
    "source": "fonte",
    "newest": "mais novo",
    "oldest": "mais antigo",
    "most_frequent": "mais frequente",
    "record_id": "menor registro",
    "only": "único valor",
}
"""What decided -> how a person is told."""


def customer_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The golden records of one tenant."""
    one_winner = Reconciliation(
        CHOSEN.name,
        "um_vencedor_por_campo",
        "Cada campo de cada cliente vem de um só registro, que é dele.",
        _one_winner,
    )
    return [
        table_step(
            site,
            "customers",
            [CUSTOMERS, CHOSEN],
            write=partial(_write, site),
            reconciliations=[one_winner],
            prepare=partial(_prepare, site),
        )
    ]


def _prepare(site: Site, tx: Transaction) -> None:
    survive(tx, site.tenant.survivorship)


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    store_customers(tx, site.tenant.survivorship)
    return {CUSTOMERS.name: _told(site, tx), CHOSEN.name: _told_of_fields(tx)}


def store_customers(tx: Transaction, rules: Survivorship, scope: str | None = None) -> None:
    """Bring golden records and lineage to what `survive` chose, under the same rules and scope."""
    store_choices(tx, scope)
    replace_lineage(tx)
    tx.execute(_BOUGHT)
    customers = _CUSTOMERS.format(
        sources=sources_sql(),
        of_sole=golden_columns(sole=True),
        of_several=golden_columns(sole=False),
        golden=", ".join(c for field in FIELDS.values() for c in field.columns),
        order=list(rules.source_order()),
        channels=list(CHANNELS),
        purpose=CONTACT_PURPOSE,
    )
    if scope is None:
        tx.replace_table(CUSTOMERS.name, customers)
    else:
        tx.execute(
            f"DELETE FROM {CUSTOMERS.name} WHERE customer_id IN (SELECT customer_id FROM {scope})"
        )
        tx.execute(f"INSERT INTO {CUSTOMERS.name} BY NAME {customers}")


def _one_winner(tx: Transaction) -> Verdict:
    several = " OR ".join(f"count(*) FILTER ({name} > 1) > 1" for name in FIELDS)
    twice, strange = tx.read(_WINNERS.format(several=several)).row(0)
    return Verdict(
        "um_vencedor_por_campo",
        twice == 0 and strange == 0,
        {"clientes com campo de dois registros": twice, "registros de outro cliente": strange},
    )


def _told(site: Site, tx: Transaction) -> Metadata:
    growth = line("Clientes ao longo de um ano", tx.read(_GROWTH, {"today": site.today()}))
    return {
        "empresa": site.tenant.slug,
        "clientes ao longo de um ano": dg.MetadataValue.md(growth.markdown),
        **tx.read(_SUMMARY).row(0, named=True),
    }


def _told_of_fields(tx: Transaction) -> Metadata:
    """How many fields each criterion decided, and how many pinned values hold."""
    marks = tx.read(_CRITERIA.format(marks=", ".join(FIELDS))).rows()
    decided = {CRITERIA[DECIDED_BY[mark - 2]]: fields for mark, fields in marks}
    return {
        "campos por critério": ", ".join(f"{name}: {n}" for name, n in decided.items()) or "nenhum",
        "valores fixados": tx.scalar("SELECT count(*) FROM pins"),
    }


_WINNERS = f"""
    WITH of_customer AS (
        SELECT customer_id, {{several}} AS twice FROM {CHOICES} GROUP BY customer_id
    ), strangers AS (
        SELECT record_id FROM {CHOICES} ANTI JOIN (
            SELECT record_id, customer_id FROM silver.customer_xref WHERE valid_to IS NULL
        ) USING (record_id, customer_id)
        WHERE record_id NOT LIKE 'acao:%'
    )
    SELECT (SELECT count(*) FROM of_customer WHERE twice), (SELECT count(*) FROM strangers)
"""
_CRITERIA = f"""
    SELECT mark, count(*) FROM {CHOICES} UNPIVOT (mark FOR field IN ({{marks}}))
    WHERE mark > 1 GROUP BY mark ORDER BY count(*) DESC, mark
"""
_BOUGHT = """
    CREATE OR REPLACE TEMP TABLE bought AS
    WITH sales AS (
        FROM silver.sales JOIN numbers USING (customer_id)
    ), audiences AS (
        SELECT number, list_sort(list_distinct(flatten(list(products.audiences)))) AS slugs
        FROM sales JOIN silver.products AS products USING (source, product_id)
        WHERE is_eligible GROUP BY number
    )
    SELECT number,
           bool_or(is_purchase AND NOT is_refunded) AS has_purchased,
           count(DISTINCT order_id) FILTER (WHERE is_eligible AND is_new_order) AS orders,
           max(paid_at) FILTER (WHERE is_purchase) AS last_purchase_at,
           max(refunded_at) FILTER (WHERE is_own) AS last_refund_at,
           bool_or(is_disputed AND is_own) AS has_open_dispute,
           any_value(slugs) AS slugs
    FROM sales LEFT JOIN audiences USING (number) GROUP BY number
"""
_CUSTOMERS = """
    WITH sources AS NOT MATERIALIZED ({sources}), source_sets AS (
        SELECT met, arg_min(source, place) AS source, list_sort(list(source)) AS sources
        FROM range(1, 1 << len({order})) AS sets(met)
        JOIN (
            SELECT unnest({order}) AS source, generate_subscripts({order}, 1) - 1 AS place
        ) ON (met >> place) & 1 = 1
        GROUP BY met
    ), surviving AS (
        SELECT number, {of_sole} FROM winners JOIN sources USING (rid) WHERE is_sole
        UNION ALL
        SELECT number, {of_several}
        FROM winners JOIN sources USING (rid) WHERE NOT is_sole GROUP BY number
    ), contacted AS (
        SELECT number, max(history.occurred_at) AS last_contact_at
        FROM silver.contact_history AS history
        JOIN silver.customer_ids AS ids USING (customer_id)
        JOIN numbers ON numbers.customer_id = ids.survivor_id
        WHERE history.counts GROUP BY number
    ), stops AS (
        FROM silver.opt_outs WHERE coalesce(purpose, '{purpose}') = '{purpose}'
    ), named AS MATERIALIZED (
        SELECT record_id, channel
        FROM stops JOIN sources ON key_kind = 'email' AND key = email_key
        UNION
        SELECT record_id, channel
        FROM stops JOIN sources ON key_kind = 'phone' AND key = phone_key
    ), refused AS (
        SELECT number, channel
        FROM named JOIN silver.customer_xref USING (record_id) JOIN numbers USING (customer_id)
        WHERE valid_to IS NULL
        UNION
        SELECT number, channel FROM named JOIN pins ON record_id = 'acao:' || -rid
    ), refusing AS (
        SELECT number,
               bool_or(channel IS NULL) AS opted_out,
               CASE WHEN opted_out THEN {channels}
                    ELSE list_sort(list(channel)) END AS blocked_channels
        FROM refused GROUP BY number
    )
    SELECT customer_id, {golden},
           source_sets.source, source_sets.sources, gathered.records,
           coalesce(slugs, []) AS audiences,
           CASE WHEN len(slugs) = 2 AND slugs = ['estetica', 'ilpi'] THEN 'AMBOS'
                ELSE nullif(array_to_string(slugs, ' + '), '') END AS segment,
           coalesce(bought.has_purchased, false) AS has_purchased,
           coalesce(bought.orders, 0) AS orders,
           gathered.first_seen_at, bought.last_purchase_at, bought.last_refund_at,
           coalesce(bought.has_open_dispute, false) AS has_open_dispute,
           contacted.last_contact_at, gathered.last_interaction_at,
           coalesce(refusing.opted_out, false) AS opted_out,
           coalesce(refusing.blocked_channels, []) AS blocked_channels,
           NOT list_contains(coalesce(refusing.blocked_channels, []), 'whatsapp') AND coalesce(
               phone_kind IN ('mobile', 'mobile_or_landline'), false
           ) AS reachable,
           gathered.is_own
    FROM surviving
    JOIN gathered USING (number)
    JOIN source_sets USING (met)
    LEFT JOIN bought USING (number)
    LEFT JOIN contacted USING (number)
    LEFT JOIN refusing USING (number)
"""
# Who was known 0 to 52 weeks before the end of today; without a first date, since ever. Weeks are
# counted in microseconds, because a million instants become days slowly.
_GROWTH = """
    WITH seen AS (
        SELECT least(greatest(coalesce(
                   (epoch_us(($today::DATE + 1)::TIMESTAMPTZ) - 1 - epoch_us(first_seen_at))
                       // 604_800_000_000,
               52), 0), 52) AS weeks_ago, count(*) AS people
        FROM silver.customers GROUP BY ALL
    )
    SELECT $today::DATE - 7 * weeks_ago::INTEGER AS week,
           sum(coalesce(people, 0)) OVER (ORDER BY weeks_ago DESC) AS clientes
    FROM range(53) AS weeks(weeks_ago) LEFT JOIN seen USING (weeks_ago)
    ORDER BY week
"""
_SUMMARY = """
    SELECT count(*) FILTER (WHERE has_purchased) AS "compraram",
           count(*) FILTER (WHERE reachable) AS "alcançáveis",
           count(*) FILTER (WHERE opted_out) AS "pediram para sair",
           count(*) FILTER (WHERE len(sources) > 1) AS "em mais de uma fonte"
    FROM silver.customers
"""
