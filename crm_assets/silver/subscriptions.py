"""The subscriptions step: what runs, what it is worth, and how it came to be so."""

from __future__ import annotations

from functools import partial

import dagster as dg

from crm_assets.checks.contract import Verdict
from crm_assets.checks.subscriptions import (
    SubscriptionHistory,
    SubscriptionPeriods,
    SubscriptionReadings,
    Subscriptions,
)
from crm_assets.plots import stacked_bars
from crm_assets.silver.subscription_facts import gather_facts
from crm_assets.silver.subscription_rules import write_subscriptions
from crm_assets.steps import Metadata, Reconciliation, Site, Table, table_step
from crm_assets.words import AT_RISK
from crm_resources.warehouse import Transaction

_READS = (
    "bronze.hotmart_subscriptions",
    "bronze.hotmart_subscription_transactions",
    "silver.events",
    "silver.sales",
    "silver.customer_xref",
)
SUBSCRIPTIONS = Table(
    "silver.subscriptions",
    Subscriptions,
    "Cada assinatura, no estado mais recente que a API ou um evento contou, com o cliente, o "
    "plano, até quando está paga e o segmento.",
    reads=_READS,
)
HISTORY = Table(
    "silver.subscription_history",
    SubscriptionHistory,
    "Todos os status de cada assinatura: desde quando, até quando, por quê e quem contou.",
    reads=_READS,
)
PERIODS = Table(
    "silver.subscription_periods",
    SubscriptionPeriods,
    "Em que dias cada assinatura conta na receita recorrente, e com que valor por mês. Só fatos "
    "com data entram: um dia passado só muda se um fato chegou atrasado. A que começou e acabou no "
    "mesmo dia não conta em dia nenhum, mas é nova e perdida nele.",
    reads=_READS,
)
READINGS = Table(
    "silver.subscription_readings",
    SubscriptionReadings,
    "O que a API disse de cada assinatura, a cada vez que mudou; a API só conta o estado de hoje.",
    reads=("bronze.hotmart_subscriptions", "bronze.hotmart_subscription_transactions"),
)

_LABELS = {
    "ativa": "ativas",
    "trial": "em trial",
    "em_risco": "em risco",
    "cancelada": "canceladas",
    "outra": "outras",
}


def subscription_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The subscriptions step of one tenant."""
    return [
        table_step(
            site,
            "subscriptions",
            [SUBSCRIPTIONS, HISTORY, PERIODS, READINGS],
            write=partial(_write, site),
            reconciliations=[
                Reconciliation(
                    HISTORY.name,
                    "um_status_aberto_por_assinatura",
                    "Toda assinatura com história tem um só status sem fim, e os outros se seguem.",
                    _one_open_status,
                ),
                Reconciliation(
                    PERIODS.name,
                    "periodos_sem_sobreposicao",
                    "Uma assinatura não conta duas vezes no mesmo dia, nem em dias de trás para a "
                    "frente.",
                    _no_overlap,
                ),
                Reconciliation(
                    PERIODS.name,
                    "periodos_dentro_da_vida",
                    "Nenhuma assinatura conta antes de começar, nem depois de hoje.",
                    partial(_inside_life, site),
                ),
            ],
        )
    ]


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    tenant, now, today = site.tenant, site.settings.now(), site.today()
    gather_facts(tx, tenant.currency, now)
    write_subscriptions(
        tx,
        delay_days=tenant.subscriptions.delay_days,
        grace_days=tenant.access.grace_days,
        today=today,
        now=now,
    )
    segments = dict(
        tx.read(f"SELECT segment, count(*) FROM {SUBSCRIPTIONS.name} GROUP BY ALL").rows()
    )
    worth = tx.read(_WORTH)
    weeks = stacked_bars("Assinaturas por semana", tx.read(_WEEKS, {"today": today}))
    return {
        SUBSCRIPTIONS.name: {
            **{label: segments.get(segment, 0) for segment, label in _LABELS.items()},
            **tx.read(_ODDITIES).row(0, named=True),
        },
        HISTORY.name: dict(tx.read(_CHANGES, {"today": today}).rows()),
        PERIODS.name: {
            "assinaturas por semana": dg.MetadataValue.md(weeks.markdown),
            **{f"receita recorrente por mês ({code})": str(total) for code, total in worth.rows()},
        },
    }


def _one_open_status(tx: Transaction) -> Verdict:
    broken = tx.scalar(
        """
        SELECT count(*) FROM (
            SELECT subscriber_code FROM (
                SELECT *, lead(valid_from) OVER (PARTITION BY subscriber_code ORDER BY valid_from)
                    AS next_from
                FROM silver.subscription_history
            )
            GROUP BY subscriber_code
            HAVING count(*) FILTER (valid_to IS NULL) <> 1
                OR bool_or(valid_to IS DISTINCT FROM next_from)
        )
        """
    )
    return Verdict("um_status_aberto_por_assinatura", broken == 0, {"assinaturas erradas": broken})


def _no_overlap(tx: Transaction) -> Verdict:
    broken = tx.scalar(
        """
        SELECT count(*) FROM (
            SELECT *, lead(from_day) OVER life AS next_day FROM silver.subscription_periods
            WINDOW life AS (PARTITION BY subscriber_code ORDER BY from_day)
        ) WHERE from_day > to_day OR from_day = to_day AND ended_by IS NULL
             OR coalesce(to_day > next_day, next_day IS NOT NULL)
        """
    )
    return Verdict("periodos_sem_sobreposicao", broken == 0, {"períodos errados": broken})


def _inside_life(site: Site, tx: Transaction) -> Verdict:
    broken = tx.scalar(
        """
        SELECT count(*) FROM silver.subscription_periods
        JOIN silver.subscriptions USING (subscriber_code)
        WHERE from_day < started_at::DATE OR from_day > $today OR to_day > $today
        """,
        {"today": site.today()},
    )
    return Verdict("periodos_dentro_da_vida", broken == 0, {"períodos errados": broken})


_WORTH = """
    SELECT coalesce(currency, 'sem moeda') AS currency, sum(mrr_gross) AS total
    FROM silver.subscription_periods WHERE to_day IS NULL AND mrr_gross > 0
    GROUP BY ALL ORDER BY ALL
"""
_WEEKS = f"""
    SELECT week, count(*) FILTER (state = 'active') AS ativas,
           count(*) FILTER (state IN ('delayed', 'cancelled')) AS "{AT_RISK}",
           count(*) FILTER (state = 'trial') AS "em trial"
    FROM (SELECT $today::DATE - 7 * ago::INTEGER AS week FROM range(30) AS weeks(ago))
    LEFT JOIN silver.subscription_periods
        ON from_day <= week AND coalesce(to_day > week, true)
    GROUP BY week ORDER BY week
"""
_ODDITIES = """
    SELECT count(*) FILTER (customer_id IS NULL) AS "sem cliente",
           count(*) FILTER (period_days IS NULL) AS "sem periodicidade (fora da receita)",
           count(*) FILTER (is_archived) AS "arquivadas",
           count(*) FILTER (source = 'event') AS "conhecidas só por eventos"
    FROM silver.subscriptions
"""
_CHANGES = """
    SELECT 'nos últimos 30 dias: ' || status, count(*) FROM silver.subscription_history
    WHERE valid_from >= ($today::DATE - 30)::TIMESTAMPTZ GROUP BY ALL ORDER BY ALL
"""
