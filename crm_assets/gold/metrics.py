"""Subscriptions, recurring revenue, churn, lifetime value, revenue, cohorts and carts by period.

What belongs here: the step that makes all of these tables together, and what it tells. Its days are
partitions, so that any of them can be asked for again, alone or in one backfill. Every run makes
all days of all tables anew, whichever are asked for, because a late fact moves the weeks, months
and rates around its own day as well, and the tables must agree; it reports those asked for. What
that changed in a closed period stands in `gold.metric_changes`.
"""

from datetime import date, datetime
from functools import partial

import dagster as dg

from crm_assets.checks import metrics as contracts
from crm_assets.checks.contract import Verdict
from crm_assets.gold import metric_changes, mrr_movements, revenue, subscription_metrics
from crm_assets.gold.periods import HOME, UNKNOWN
from crm_assets.gold.subscription_metrics import KINDS
from crm_assets.plots import line, stacked_bars
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
from crm_assets.words import AT_RISK
from crm_resources.warehouse import Transaction

SUBSCRIPTION_METRICS = Table(
    "gold.subscription_metrics",
    contracts.SubscriptionMetrics,
    "Assinaturas de cada dia por situação e a receita recorrente mensal e anual delas, por moeda e "
    "no total da casa.",
    reads=("silver.subscription_periods",),
)
MRR_MOVEMENTS = Table(
    "gold.mrr_movements",
    contracts.MrrMovements,
    "O que moveu a receita recorrente em cada dia, semana e mês: nova, reativada, expansão, "
    "contração, churn, fim de ciclo e câmbio. Abertura mais movimentos dá o fechamento.",
    reads=("silver.subscription_periods",),
)
CHURN = Table(
    "gold.churn",
    contracts.Churn,
    "Taxas de churn de cada período: de assinaturas, de clientes, de receita, e a da Hotmart.",
    reads=(
        "silver.subscription_periods",
        "silver.subscriptions",
        "silver.subscription_history",
    ),
)
SUBSCRIPTION_LTV = Table(
    "gold.subscription_ltv",
    contracts.SubscriptionLtv,
    "Quanto os assinantes já pagaram e quanto vale um deles: receita por cliente dividida pelo "
    "churn médio dos seis meses anteriores.",
    reads=("silver.subscription_periods", "silver.sales"),
)
REVENUE = Table(
    "gold.revenue",
    contracts.Revenue,
    "Receita de cada dia, semana e mês por moeda: total, reembolsos, chargebacks e líquida.",
    reads=("silver.sales",),
)
COHORTS = Table(
    "gold.cohorts",
    contracts.Cohorts,
    "Clientes pelo mês da primeira compra paga e quantos voltaram a pagar em cada mês seguinte.",
    reads=("silver.sales",),
)
CART_CONVERSION = Table(
    "gold.cart_conversion",
    contracts.CartConversion,
    "Carrinhos abandonados de cada período e produto, e quantos viraram compra do mesmo produto.",
    reads=("silver.carts", "silver.sales"),
)
METRIC_CHANGES = Table(
    "gold.metric_changes",
    contracts.MetricChanges,
    "Números de períodos já fechados que um fato atrasado mudou: quanto era, quanto é, desde "
    "quando.",
    reads=("silver.subscription_periods", "silver.sales", "silver.carts"),
)
TABLES = (
    SUBSCRIPTION_METRICS,
    MRR_MOVEMENTS,
    CHURN,
    SUBSCRIPTION_LTV,
    REVENUE,
    COHORTS,
    CART_CONVERSION,
    METRIC_CHANGES,
)

WEEKS = 13
"""Weeks that the picture of the movements shows."""


def metric_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The metrics of one tenant."""
    reconciliations = [
        Reconciliation(
            MRR_MOVEMENTS.name,
            "abertura_mais_movimentos",
            "Em todo dia, semana e mês, a abertura é o fechamento anterior e, somada aos "
            "movimentos, dá o fechamento: de assinaturas, clientes e receita.",
            _movements_add_up,
        ),
        Reconciliation(
            MRR_MOVEMENTS.name,
            "fechamento_igual_ao_nivel",
            "O fechamento de cada dia é o que a tabela de assinaturas por dia diz dele.",
            _closings_match,
        ),
        Reconciliation(
            SUBSCRIPTION_METRICS.name,
            "recontado_dos_periodos",
            "O último dia, contado de novo período a período, dá os mesmos números.",
            partial(_recounted, site),
        ),
        Reconciliation(
            REVENUE.name,
            "receita_igual_as_vendas",
            "A receita dos dias, das semanas e dos meses é a soma das vendas pagas.",
            partial(_revenue_matches, site),
        ),
    ]

    @dg.multi_asset(
        name=site.op_name("metrics"),
        specs=[site.spec(table, freshness_policy=FRESH, skippable=True) for table in TABLES],
        check_specs=[
            *(site.contract_spec(table) for table in TABLES),
            *(site.reconciliation_spec(reconciliation) for reconciliation in reconciliations),
        ],
        partitions_def=site.partitions.days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        pool=refine_pool(site),
        required_resource_keys=site.resource_keys("warehouse", "refine_lock"),
    )
    def metrics(context: dg.AssetExecutionContext) -> Events:
        days = [date.fromisoformat(key) for key in context.partition_keys]
        for told in commit(
            site,
            site.warehouse(context),
            "métricas",
            TABLES,
            partial(_write, site, days, context.run.run_id),
            reconciliations,
            lambda tx: make(tx, site.settings.now(), site.today(), site.tenant.currency),
        ):
            if told.asset_key in context.selected_asset_keys:
                yield told

    return [metrics]


def make(tx: Transaction, now: datetime, today: date, currency: str) -> None:
    """Make a fresh temporary table of every metric, `fresh_<table>`.

    Args:
        tx: the warehouse, best before the transaction that publishes.
        now: the present; later facts are not told.
        today: its day in the tenant's zone.
        currency: the tenant's.
    """
    subscription_metrics.read_stretches(tx, today)
    subscription_metrics.read_customer_moves(tx, currency)
    subscription_metrics.read_levels(tx, today)
    subscription_metrics.make_subscription_metrics(tx, today)
    mrr_movements.make_movements(tx, today)
    mrr_movements.make_churn(tx, today)
    mrr_movements.make_ltv(tx, today)
    revenue.make_revenue(tx, now)
    revenue.make_cohorts(tx, now)
    revenue.make_cart_conversion(tx, now)


def publish(tx: Transaction, now: datetime, run_id: str) -> None:
    """Put every fresh table in its place, and list what changed in closed periods."""
    for table in metric_changes.PUBLISHED:
        metric_changes.publish(tx, table, now, run_id)


def _write(site: Site, days: list[date], run_id: str, tx: Transaction) -> dict[str, Metadata]:
    publish(tx, site.settings.now(), run_id)
    changed = tx.scalar(f"SELECT count(*) FROM {METRIC_CHANGES.name} WHERE run_id = ?", [run_id])
    return {
        SUBSCRIPTION_METRICS.name: {
            **_of_days(tx, days),
            "MRR líquido por semana": dg.MetadataValue.md(
                line("MRR líquido por semana", tx.read(_MRR_BY_WEEK)).markdown
            ),
        },
        MRR_MOVEMENTS.name: {
            "movimentos por semana": dg.MetadataValue.md(
                stacked_bars(
                    "Movimentos da receita recorrente por semana",
                    tx.read(_MOVEMENTS_BY_WEEK, [WEEKS]),
                    unit="R$" if site.tenant.currency == "BRL" else site.tenant.currency,
                ).markdown
            )
        },
        CHURN.name: _last_month(tx),
        METRIC_CHANGES.name: {"mudanças nesta execução": changed},
    }


def _of_days(tx: Transaction, days: list[date]) -> Metadata:
    """The figures of the newest day asked for, and how many rows the days have."""
    figures = tx.read(_NEWEST, {"days": days}).to_dicts()
    rows = tx.scalar(
        f"SELECT count(*) FROM {SUBSCRIPTION_METRICS.name} "
        "WHERE day IN (SELECT unnest($days::DATE[]))",
        {"days": days},
    )
    told = {name: float(value) for name, value in figures[0].items()} if figures else {}
    return {"dagster/row_count": rows, **told}


def _last_month(tx: Transaction) -> Metadata:
    told = tx.read(_LAST_MONTH).to_dicts()
    return {
        label: round(100 * share, 2)
        for label, share in (told[0] if told else {}).items()
        if share is not None
    }


def _movements_add_up(tx: Transaction) -> Verdict:
    return _no_row("abertura_mais_movimentos", tx, _ADD_UP)


def _closings_match(tx: Transaction) -> Verdict:
    return _no_row("fechamento_igual_ao_nivel", tx, _CLOSINGS)


def _no_row(name: str, tx: Transaction, wrong: str) -> Verdict:
    counted = tx.scalar(f"SELECT count(*) FROM ({wrong})")
    return Verdict(name, counted == 0, {"linhas que não fecham": counted})


def _recounted(site: Site, tx: Transaction) -> Verdict:
    columns = ", ".join(subscription_metrics.RECOUNTED)
    today = site.today()
    rows = tx.read(
        f"SELECT currency, {columns} FROM {SUBSCRIPTION_METRICS.name} WHERE day = ?", [today]
    ).rows()
    counted = subscription_metrics.recount(tx, today)
    wrong = [book for book, *figures in rows if tuple(figures) != counted.get(book, (0,) * 4)]
    lacking = counted.keys() - {book for book, *_ in rows}
    return Verdict(
        "recontado_dos_periodos",
        not wrong and not lacking,
        {"moedas conferidas": len(rows), "que não conferem": len(wrong) + len(lacking)},
    )


def _revenue_matches(site: Site, tx: Transaction) -> Verdict:
    wrong = tx.scalar(_REVENUE_DIFFERS, {"now": site.settings.now()})
    return Verdict("receita_igual_as_vendas", wrong == 0, {"somas que não conferem": wrong})


_NEWEST = f"""
    SELECT subscriptions AS assinaturas, trial AS "em trial", at_risk AS "{AT_RISK}",
           mrr_gross AS "MRR bruto", mrr_net AS "MRR líquido",
           committed_mrr_net AS "MRR líquido comprometido", unconverted AS "sem conversão",
           unpriced AS "sem preço conhecido"
    FROM {SUBSCRIPTION_METRICS.name}
    WHERE currency = '{HOME}' AND day = (SELECT max(d) FROM unnest($days::DATE[]) AS days(d))
"""
_MRR_BY_WEEK = f"""
    SELECT period_start, closing_net AS "de MRR líquido"
    FROM {MRR_MOVEMENTS.name} WHERE grain = 'week' AND currency = '{HOME}' ORDER BY period_start
"""
_MOVEMENTS_BY_WEEK = f"""
    FROM (
        SELECT period_start, new_net + reactivation_net AS entrou, expansion_net AS expandiu,
               contraction_net + churn_net + ended_net AS saiu
        FROM {MRR_MOVEMENTS.name} WHERE grain = 'week' AND currency = '{HOME}'
        ORDER BY period_start DESC LIMIT ?
    ) ORDER BY period_start
"""
_LAST_MONTH = f"""
    SELECT churn_rate AS "churn do último mês fechado (%)",
           gross_commission_churn AS "churn de receita (%)", hotmart_rate AS "taxa da Hotmart (%)"
    FROM {CHURN.name} WHERE grain = 'month' AND currency = '{HOME}' AND NOT is_partial
    ORDER BY period_start DESC LIMIT 1
"""


def _adds_up(what: str) -> str:
    if what in KINDS:
        gains, losses = mrr_movements.GAINS, mrr_movements.LOSSES
    else:
        gains, losses = mrr_movements.ARRIVALS, mrr_movements.DEPARTURES
    moved = [f"+ {move}_{what}" for move in gains] + [f"- {move}_{what}" for move in losses]
    return f"opening_{what} {' '.join(moved)} = closing_{what} AND opening_{what} = before_{what}"


_WHAT = (*mrr_movements.COUNTED, *KINDS)
_ADD_UP = f"""
    SELECT * FROM (
        SELECT *, {
    ", ".join(f"lag(closing_{what}, 1, 0) OVER earlier AS before_{what}" for what in _WHAT)
}
        FROM {MRR_MOVEMENTS.name}
        WINDOW earlier AS (PARTITION BY grain, currency ORDER BY period_start)
    ) WHERE NOT ({" AND ".join(map(_adds_up, _WHAT))})
"""
_CLOSINGS = f"""
    SELECT * FROM (
        SELECT period_start AS day, currency, closing_subscriptions, closing_customers,
               closing_gross, closing_net
        FROM {MRR_MOVEMENTS.name} WHERE grain = 'day'
    )
    FULL JOIN {SUBSCRIPTION_METRICS.name} USING (day, currency)
    WHERE closing_subscriptions IS DISTINCT FROM subscriptions
       OR closing_customers IS DISTINCT FROM customers
       OR closing_gross IS DISTINCT FROM mrr_gross OR closing_net IS DISTINCT FROM mrr_net
"""
_REVENUE_DIFFERS = f"""
    WITH paid AS (
        SELECT coalesce(currency, '{UNKNOWN}') AS currency,
               coalesce(sum(gross), 0) AS total
        FROM silver.sales WHERE is_purchase AND status_class <> 'partial' AND paid_at <= $now
        GROUP BY ALL
    ), told AS (
        SELECT grain, currency, sum(total) AS told
        FROM {REVENUE.name} WHERE currency <> '{HOME}' GROUP BY ALL
    ), grains AS (SELECT DISTINCT grain FROM told)
    SELECT count(*) FROM (paid CROSS JOIN grains) FULL JOIN told USING (grain, currency)
    WHERE coalesce(total, 0) <> coalesce(told, 0)
"""
