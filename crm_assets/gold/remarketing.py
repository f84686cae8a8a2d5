"""The remarketing batch of the day: at most fifty people, chosen once (rules 4.3 to 4.6).

Only today's partition selects. A day once selected is history: writing it again keeps its people
and their places, and only learns what became of them. The selection is told to the action log, from
which silver learns it in the next round.
"""

from datetime import date
from functools import partial

import dagster as dg
import polars as pl

from crm_assets.checks.contract import Verdict
from crm_assets.checks.gold import RemarketingBatches
from crm_assets.plots import stacked_bars
from crm_assets.steps import (
    FRESH,
    Events,
    Metadata,
    Reconciliation,
    Site,
    Table,
    commit,
    refine_pool,
)
from crm_assets.tenants import Remarketing
from crm_resources.ops import Action
from crm_resources.warehouse import Transaction

BATCHES = Table(
    "gold.remarketing_batches",
    RemarketingBatches,
    "O lote de remarketing de cada dia: no máximo 50 pessoas sem compra e sem contato há 30 dias. "
    "Um dia já escolhido não muda.",
    reads=(
        "silver.customers",
        "silver.field_choices",
        "silver.sales",
        "silver.contact_history",
        "gold.triggers",
    ),
)

RECENT_DAYS = 31
"""Batches whose selection is told to the action log again, in case a kill came between."""


def remarketing_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The daily batch of one tenant."""
    reconciliations = [
        Reconciliation(
            BATCHES.name,
            "no_maximo_50_por_dia",
            "Nenhum dia tem mais pessoas que o limite, nem a mesma pessoa duas vezes.",
            _within_limit,
        ),
        Reconciliation(
            BATCHES.name,
            "ninguem_dentro_da_janela",
            "Ninguém que entra no lote comprou ou foi contatado há menos dias que a janela.",
            partial(_outside_windows, site.tenant.remarketing),
        ),
    ]

    @dg.multi_asset(
        name=site.op_name("remarketing_batches"),
        specs=[site.spec(BATCHES, freshness_policy=FRESH)],
        check_specs=[
            site.contract_spec(BATCHES),
            *(site.reconciliation_spec(reconciliation) for reconciliation in reconciliations),
        ],
        partitions_def=site.partitions.days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=refine_pool(site),
        required_resource_keys=site.resource_keys("warehouse", "ops", "refine_lock"),
    )
    def remarketing_batches(context: dg.AssetExecutionContext) -> Events:
        days = [date.fromisoformat(key) for key in context.partition_keys]
        today = site.today()
        warehouse, ops = site.warehouse(context), site.ops(context)
        yield from commit(
            site,
            warehouse,
            BATCHES.name,
            [BATCHES],
            partial(_write, site, days, today, ops.actions()),
            reconciliations,
        )
        recent = warehouse.read(_RECENT, [today, RECENT_DAYS])
        ops.append_actions(
            [
                Action(
                    kind="batch_selected",
                    idempotency_key=f"batch_selected:{day}:{position}",
                    customer_id=customer_id,
                    day=day,
                    email_key=email_key,
                    phone_key=phone_key,
                    channel="whatsapp",
                    purpose="remarketing",
                    actor="crm",
                    at=site.settings.now(),
                )
                for day, position, customer_id, email_key, phone_key in recent.rows()
            ]
        )

    return [remarketing_batches]


def _write(
    site: Site, days: list[date], today: date, log: pl.DataFrame, tx: Transaction
) -> dict[str, Metadata]:
    tx.execute(_RESTORED, log=log)
    tx.execute(_SURVIVORS)
    tx.execute(_OUTCOMES, {"today": today}, log=log)
    selects = today in days and not tx.scalar(_SELECTED_BEFORE, {"today": today}, log=log)
    if selects:
        select_batch(tx, today, site.tenant.remarketing)
    tx.execute(_JUST_SELECTED, {"day": today if selects else None})
    counted = tx.read(
        f"SELECT status, count(*) FROM {BATCHES.name} WHERE batch_date IN "
        f"(SELECT unnest($days::DATE[])) GROUP BY ALL ORDER BY 1",
        {"days": days},
    )
    rows = sum(count for _, count in counted.rows())
    return {
        BATCHES.name: {
            "dagster/row_count": rows,
            "lote": ", ".join(f"{status}: {count}" for status, count in counted.rows())
            or ("sem lote" if today not in days else "ninguém elegível"),
            "últimos 30 lotes": dg.MetadataValue.md(
                stacked_bars("Pessoas por lote", tx.read(_SIZES)).markdown
            ),
        }
    }


def select_batch(tx: Transaction, day: date, rules: Remarketing) -> None:
    """Choose the people of `day` and append them to `gold.remarketing_batches`.

    Eligible (rules 4.3): own customers with a valid mobile, not opted out, without open dispute,
    whose latest payment, refund and contact are absent or at least the window's days before `day`,
    by calendar days in the tenant's zone; with `triggers`, of whom one of them holds. Order
    (rules 4.4): an open cart, then never contacted, then longest since contact, then lifetime
    value, then id. A number that several customers show is called once, and
    only when each of them may be called.
    """
    kinds = ["mobile", "mobile_or_landline", *(["landline"] if rules.allow_landline else [])]
    tx.execute(
        _SELECT,
        {
            "day": day,
            "kinds": kinds,
            "since_purchase": rules.days_since_purchase,
            "since_contact": rules.days_since_contact,
            "include_leads": rules.include_leads,
            "triggers": list(rules.triggers),
            "size": rules.batch_size,
        },
    )


def _within_limit(tx: Transaction) -> Verdict:
    row = tx.read(
        f"""
        SELECT coalesce(max(people), 0) AS most,
               coalesce(max(people - distinct_phones), 0) AS repeated
        FROM (
            SELECT count(*) AS people, count(DISTINCT coalesce(phone, position::VARCHAR))
                   AS distinct_phones
            FROM {BATCHES.name} GROUP BY batch_date
        )
        """
    ).row(0, named=True)
    return Verdict(
        "no_maximo_50_por_dia",
        row["most"] <= 50 and row["repeated"] == 0,
        {"maior lote": row["most"], "telefones repetidos": row["repeated"]},
    )


def _outside_windows(rules: Remarketing, tx: Transaction) -> Verdict:
    inside = tx.scalar(
        _INSIDE_WINDOWS,
        {
            "since_purchase": rules.days_since_purchase,
            "since_contact": rules.days_since_contact,
        },
    )
    return Verdict("ninguem_dentro_da_janela", inside == 0, {"dentro da janela": inside})


_SELECT = """
    INSERT INTO gold.remarketing_batches BY NAME
    WITH lifetime AS (
        SELECT customer_id, sum(value) AS ltv
        FROM silver.sales WHERE is_eligible GROUP BY customer_id
    ), earlier AS (
        SELECT ids.survivor_id AS customer_id, max(batch_date) AS batch_date
        FROM gold.remarketing_batches JOIN silver.customer_ids AS ids USING (customer_id)
        WHERE status IN ('selecionado', 'entregue') GROUP BY ids.survivor_id
    ), standing AS (
        SELECT customer_id, bool_or(trigger = 'carrinho') AS has_open_cart,
               bool_or(list_contains($triggers::VARCHAR[], trigger)) AS is_wanted
        FROM gold.triggers GROUP BY customer_id
    ), judged AS (
        SELECT customers.*, ltv, coalesce(has_open_cart, false) AS has_open_cart,
               len($triggers::VARCHAR[]) = 0 OR coalesce(is_wanted, false) AS is_wanted,
               NOT list_contains(blocked_channels, 'whatsapp') AND NOT has_open_dispute
                   AND coalesce($day - last_purchase_at::DATE >= $since_purchase, true)
                   AND coalesce($day - last_refund_at::DATE >= $since_purchase, true)
                   AND coalesce($day - last_contact_at::DATE >= $since_contact, true)
                   AND coalesce($day - earlier.batch_date >= $since_contact, true) AS may_be_called
        FROM silver.customers AS customers
        LEFT JOIN lifetime USING (customer_id)
        LEFT JOIN earlier USING (customer_id)
        LEFT JOIN standing USING (customer_id)
    ), eligible AS (
        SELECT * FROM (
            SELECT *, bool_and(may_be_called) OVER (PARTITION BY phone) AS number_is_free
            FROM judged WHERE phone IS NOT NULL
        )
        WHERE number_is_free AND phone_kind IN (SELECT unnest($kinds)) AND is_own
          AND is_wanted AND ($include_leads OR last_purchase_at IS NOT NULL)
    ), once AS (
        SELECT * FROM eligible
        QUALIFY row_number() OVER (
            PARTITION BY phone
            ORDER BY has_open_cart DESC, last_contact_at NULLS FIRST, ltv DESC NULLS LAST,
                     customer_id
        ) = 1
    )
    SELECT $day::DATE AS batch_date,
           row_number() OVER (
               ORDER BY has_open_cart DESC, last_contact_at NULLS FIRST, ltv DESC NULLS LAST,
                        customer_id
           ) AS position,
           customer_id, name, email, phone,
           audiences,
           CASE WHEN has_open_cart THEN 'carrinho_aberto'
                WHEN last_contact_at IS NULL THEN 'nunca_contatado'
                ELSE 'contato_antigo' END AS reason,
           last_purchase_at, last_contact_at, 'selecionado' AS status
    FROM once ORDER BY position LIMIT $size
"""
# What the batch must never hold, told from the facts themselves and not from the columns that the
# selection read. Facts that arrive after the selection do not judge it.
_JUST_SELECTED = """
    CREATE OR REPLACE TEMP TABLE just_selected AS
    SELECT batch_date, customer_id FROM gold.remarketing_batches WHERE batch_date = $day::DATE
"""
_INSIDE_WINDOWS = """
    SELECT count(DISTINCT customer_id) FROM (
        SELECT customer_id FROM just_selected JOIN silver.sales AS sales USING (customer_id)
        WHERE is_own AND (
            is_purchase AND batch_date - paid_at::DATE < $since_purchase
            OR batch_date - refunded_at::DATE < $since_purchase
        )
        UNION ALL
        SELECT just_selected.customer_id FROM just_selected
        JOIN silver.customer_ids AS ids ON ids.survivor_id = just_selected.customer_id
        JOIN silver.contact_history AS history ON history.customer_id = ids.customer_id
        WHERE history.counts AND batch_date - history.day < $since_contact
    )
"""
# The days that a lost warehouse took with it, as far as the log remembers them.
_RESTORED = """
    INSERT INTO gold.remarketing_batches BY NAME
    SELECT log.day AS batch_date, split_part(idempotency_key, ':', 3)::BIGINT AS position,
           history.customer_id, name, email, phone, coalesce(audiences, []) AS audiences,
           'restaurado' AS reason, outcome AS status
    FROM log
    JOIN silver.contact_history AS history ON contact_id = 'acao:' || log.id
    LEFT JOIN silver.customer_ids AS ids ON ids.customer_id = history.customer_id
    LEFT JOIN silver.customers AS customers ON customers.customer_id = ids.survivor_id
    WHERE log.kind = 'batch_selected'
      AND log.day NOT IN (SELECT batch_date FROM gold.remarketing_batches)
"""
_SURVIVORS = """
    UPDATE gold.remarketing_batches AS batches SET customer_id = ids.survivor_id
    FROM silver.customer_ids AS ids
    WHERE ids.customer_id = batches.customer_id AND ids.survivor_id <> ids.customer_id
"""
# Read from the log itself, which may be newer than silver: a file delivered a minute ago must not
# look undelivered. What the log says stands; what it does not say changes only an open place. A
# place without a number is of somebody erased, or whom a lost warehouse took with it.
_OUTCOMES = """
    UPDATE gold.remarketing_batches AS batches SET status = learnt.status
    FROM (
        SELECT batches.batch_date, batches.position,
               CASE WHEN batches.phone IS NULL THEN 'retirado'
                    WHEN said.is_skipped THEN 'pulado'
                    WHEN said.is_delivered THEN 'entregue'
                    WHEN batches.status <> 'selecionado' THEN batches.status
                    WHEN list_contains(customers.blocked_channels, 'whatsapp') THEN 'retirado'
                    WHEN batches.batch_date < $today THEN 'nao_entregue'
                    ELSE 'selecionado' END AS status
        FROM gold.remarketing_batches AS batches
        LEFT JOIN silver.customers AS customers USING (customer_id)
        LEFT JOIN (
            SELECT day, coalesce(ids.survivor_id, log.customer_id) AS customer_id,
                   bool_or(kind = 'batch_skipped') AS is_skipped,
                   bool_or(kind = 'batch_delivered') AS is_delivered
            FROM log LEFT JOIN silver.customer_ids AS ids USING (customer_id)
            WHERE kind IN ('batch_skipped', 'batch_delivered') GROUP BY ALL
        ) AS said ON said.day = batch_date AND said.customer_id = batches.customer_id
    ) AS learnt
    WHERE learnt.batch_date = batches.batch_date AND learnt.position = batches.position
"""
# The log outlives the warehouse: a rebuilt one must not select a second batch for the day.
_SELECTED_BEFORE = """
    SELECT (SELECT count(*) FROM gold.remarketing_batches WHERE batch_date = $today)
         + (SELECT count(*) FROM log WHERE kind = 'batch_selected' AND day = $today)
"""
_SIZES = """
    SELECT batch_date, count(*) AS pessoas
    FROM gold.remarketing_batches GROUP BY batch_date ORDER BY batch_date
"""
# The keys go with it, because a rebuilt master may know the person by another id.
_RECENT = """
    WITH keys AS (
        SELECT customer_id,
               any_value(email_key) FILTER (WHERE field = 'email') AS email_key,
               any_value(coalesce(phone_key, phone)) FILTER (WHERE field = 'phone') AS phone_key
        FROM silver.customer_lineage JOIN silver.contact_records USING (record_id)
        GROUP BY customer_id
    )
    SELECT batch_date, position, customer_id, email_key, phone_key
    FROM gold.remarketing_batches LEFT JOIN keys USING (customer_id)
    WHERE batch_date > ?::DATE - ?::INTEGER ORDER BY ALL
"""
