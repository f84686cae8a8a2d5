"""The golden record of each person, and which raw record fed each of its fields.

Survivorship per field (rules 2.6): valid before invalid, then the better source, then the newest,
then the smallest record id. Empty is not a value. City, state and country come from one record.
Dates are aggregated over all sources, and an opt-out by any key wins.
"""

from __future__ import annotations

from functools import partial

import dagster as dg

from crm_assets.checks.silver import SOURCES, CustomerLineage, Customers
from crm_assets.contact.channels import CHANNELS
from crm_assets.plots import line
from crm_assets.steps import Metadata, Site, Table, table_step
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
    ),
)
LINEAGE = Table(
    "silver.customer_lineage",
    CustomerLineage,
    "De qual registro veio cada campo do cadastro mestre, e qual ficou em segundo lugar.",
    reads=("silver.contact_records", "silver.customer_xref"),
)

FIELDS = {
    "email": ("email", "email_key IS NOT NULL"),
    "phone": ("phone", "phone_key IS NOT NULL"),
    "name": ("name", "true"),
    "document": ("document", "coalesce(document_valid, false)"),
    "instagram": ("instagram", "true"),
    "hotmart_ucode": ("hotmart_ucode", "true"),
    "manychat_id": ("manychat_id", "true"),
    "place": ("coalesce(country, state, city)", "has_address"),
}
"""Surviving field -> (its value in a contact record, whether that value is valid)."""

CARRIED = {
    "email": ("email",),
    "phone": ("phone", "phone_kind"),
    "name": ("name", "first_name"),
    "document": ("document", "document_kind"),
    "instagram": ("instagram",),
    "hotmart_ucode": ("hotmart_ucode",),
    "manychat_id": ("manychat_id",),
    "place": ("city", "state", "state_source", "country"),
}
"""Surviving field -> columns that come with it from the winning record."""


def customer_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The golden records of one tenant."""
    return [
        table_step(
            site,
            "customers",
            [CUSTOMERS, LINEAGE],
            write=partial(_write, site),
        )
    ]


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    tx.execute(_MEMBERS.format(rank=_source_rank()))
    tx.execute(_survivors_sql())
    tx.replace_table(LINEAGE.name, _lineage_sql())
    tx.execute(_BOUGHT)
    tx.replace_table(CUSTOMERS.name, _customers_sql())
    return {CUSTOMERS.name: _told(site, tx)}


def _source_rank() -> str:
    ranked = " ".join(f"WHEN '{source}' THEN {rank}" for rank, source in enumerate(SOURCES))
    return f"CASE records.source {ranked} END"


def _survivors_sql() -> str:
    """Two best records of each field per customer, by one integer order key."""
    worst = "(SELECT count(*) FROM members)"
    best_two = ", ".join(
        f"arg_min(record_id, priority + CASE WHEN {valid} THEN 0 ELSE {worst} END, 2)"
        f" FILTER (WHERE {value} IS NOT NULL) AS {field}"
        for field, (value, valid) in FIELDS.items()
    )
    return f"""
        CREATE OR REPLACE TEMP TABLE survivors AS
        SELECT customer_id, {best_two} FROM members GROUP BY customer_id
    """


def _lineage_sql() -> str:
    return f"""
        SELECT customer_id, field, records[1] AS record_id, records[2] AS runner_up
        FROM (UNPIVOT survivors ON {", ".join(FIELDS)} INTO NAME field VALUE records)
    """


def _customers_sql() -> str:
    columns = ", ".join(
        f"from_{field}.{column}" for field, carried in CARRIED.items() for column in carried
    )
    joins = " ".join(
        f"LEFT JOIN members AS from_{field} ON from_{field}.record_id = survivors.{field}[1]"
        for field in FIELDS
    )
    return _CUSTOMERS.format(columns=columns, joins=joins, channels=list(CHANNELS))


def _told(site: Site, tx: Transaction) -> Metadata:
    growth = line("Clientes ao longo de um ano", tx.read(_GROWTH, {"today": site.today()}))
    return {
        "empresa": site.tenant.slug,
        "clientes ao longo de um ano": dg.MetadataValue.md(growth.markdown),
        **tx.read(_SUMMARY).row(0, named=True),
    }


_MEMBERS = """
    CREATE OR REPLACE TEMP TABLE members AS
    SELECT records.*, xref.customer_id, {rank} AS source_rank,
           row_number() OVER (ORDER BY {rank}, observed_at DESC, record_id) AS priority
    FROM silver.contact_records AS records
    JOIN silver.customer_xref AS xref USING (record_id)
    WHERE xref.valid_to IS NULL
"""
_BOUGHT = """
    CREATE OR REPLACE TEMP TABLE bought AS
    WITH audiences AS (
        SELECT customer_id,
               list_sort(list_distinct(flatten(list(products.audiences)))) AS slugs
        FROM silver.sales AS sales
        JOIN silver.products AS products USING (source, product_id)
        WHERE is_eligible GROUP BY customer_id
    )
    SELECT customer_id,
           bool_or(is_purchase AND NOT is_refunded) AS has_purchased,
           count(DISTINCT order_id) FILTER (WHERE is_eligible AND is_new_order) AS orders,
           max(paid_at) FILTER (WHERE is_purchase) AS last_purchase_at,
           max(refunded_at) FILTER (WHERE is_own) AS last_refund_at,
           bool_or(is_disputed AND is_own) AS has_open_dispute,
           any_value(slugs) AS slugs
    FROM silver.sales LEFT JOIN audiences USING (customer_id)
    WHERE customer_id IS NOT NULL GROUP BY customer_id
"""
_CUSTOMERS = """
    WITH gathered AS (
        SELECT customer_id,
               arg_min(source, source_rank) AS source,
               list_sort(list(DISTINCT source)) AS sources,
               count(*) AS records,
               min(first_seen_at) AS first_seen_at,
               max(last_interaction_at) AS last_interaction_at,
               bool_or(is_own) AS is_own
        FROM members GROUP BY customer_id
    ), contacted AS (
        SELECT ids.survivor_id AS customer_id, max(history.occurred_at) AS last_contact_at
        FROM silver.contact_history AS history
        JOIN silver.customer_ids AS ids USING (customer_id)
        WHERE history.counts GROUP BY ids.survivor_id
    ), refused AS (
        SELECT customer_id, channel FROM members JOIN silver.opt_outs AS opt_outs
            ON key_kind = 'email' AND key = email_key
        UNION
        SELECT customer_id, channel FROM members JOIN silver.opt_outs AS opt_outs
            ON key_kind = 'phone' AND key = coalesce(phone_key, phone)
    ), refusing AS (
        SELECT customer_id,
               bool_or(channel IS NULL) AS opted_out,
               CASE WHEN opted_out THEN {channels}
                    ELSE list_sort(list(channel)) END AS blocked_channels
        FROM refused GROUP BY customer_id
    )
    SELECT survivors.customer_id, {columns},
           gathered.source, gathered.sources, gathered.records,
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
               from_phone.phone_kind IN ('mobile', 'mobile_or_landline'), false
           ) AS reachable,
           gathered.is_own
    FROM survivors
    JOIN gathered USING (customer_id)
    {joins}
    LEFT JOIN bought USING (customer_id)
    LEFT JOIN contacted USING (customer_id)
    LEFT JOIN refusing USING (customer_id)
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
