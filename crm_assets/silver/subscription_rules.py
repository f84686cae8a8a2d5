"""What the facts of a subscription make of its life: status, days that count, standing (rules 6).

What belongs here: the SQL from the temporary tables of `subscription_facts` to
`silver.subscription_periods`, `silver.subscription_history` and `silver.subscriptions`.

A charge opens a spell that lasts to the next one. Inside a spell the facts so far say until when it
is paid, since when it is late, whether it was cancelled, and whether it is over; so what holds on a
day follows from what had happened by then, and a new fact moves earlier days only when it is late
itself.
"""

from __future__ import annotations

from datetime import date, datetime

from crm_assets.silver.subscription_facts import (
    ACTIVE,
    CANCELLED,
    DELAYED,
    DUE,
    OVER,
    PAID,
    REFUNDED,
    STARTED,
    TRIAL,
)
from crm_resources.warehouse import Transaction

PATIENCE_DAYS = 3
"""Days after the due day in which nothing was heard of a charge and nothing is wrong yet.

A PIX renewal may be paid for 48 hours before the vendor calls it late (hotmart.md 6.4).
"""

INACTIVE_DAYS = 30
"""Days without a visit after which a late subscriber is inactive (rules 6.3)."""


def write_subscriptions(
    tx: Transaction, *, delay_days: int, grace_days: int, today: date, now: datetime
) -> None:
    """Fill the three tables from `lives`, `charges` and `facts`.

    Args:
        tx: after `gather_facts`.
        delay_days: so long a late subscription still counts (rules 6.1).
        grace_days: so long a late one keeps its access.
        today: the tenant's day; what holds on it has no end yet.
        now: the present.
    """
    tx.execute(_SPELLS)
    tx.execute(_STANDINGS.format(delay_days=delay_days))
    tx.replace_table("silver.subscription_periods", _PERIODS, {"today": today})
    tx.replace_table("silver.subscription_history", _HISTORY)
    tx.execute(_VISITS)
    tx.replace_table(
        "silver.subscriptions",
        _SUBSCRIPTIONS,
        {"today": today, "now": now, "grace_days": grace_days},
    )


_SPELLS = f"""
    CREATE OR REPLACE TEMP TABLE spells AS
    SELECT place, life, occurred_at, day, kind, is_first, due,
           sum((kind IN ({TRIAL}, {PAID}))::INTEGER) OVER life AS spell,
           lead(day) OVER life AS next_day,
           last_value(CASE WHEN kind IN ({TRIAL}, {PAID}) THEN charge END IGNORE NULLS) OVER so_far
               AS opened_by,
           charge
    FROM facts
    WHERE kind IN ({TRIAL}, {PAID}, {DELAYED}, {DUE}, {ACTIVE}, {CANCELLED}, {REFUNDED}, {OVER})
    WINDOW life AS (PARTITION BY life ORDER BY place),
           so_far AS (PARTITION BY life ORDER BY place ROWS UNBOUNDED PRECEDING)
"""
# What holds from each fact to the next; of the facts of one day only the last one's outcome.
_STANDINGS = f"""
    CREATE OR REPLACE TEMP TABLE standings AS
    WITH known AS (
        SELECT place, life, spell, occurred_at, day, next_day, opened_by AS charge,
               last_value(due IGNORE NULLS) OVER spell AS due_day,
               CASE WHEN last_value(CASE kind WHEN {DELAYED} THEN true WHEN {ACTIVE} THEN false END
                                    IGNORE NULLS) OVER spell
                    THEN min(CASE WHEN kind = {DELAYED} THEN day END) OVER spell END AS late_day,
               coalesce(last_value(CASE kind WHEN {CANCELLED} THEN true WHEN {ACTIVE} THEN false END
                                   IGNORE NULLS) OVER spell, false) AS is_cancelled,
               min(CASE WHEN kind = {CANCELLED} THEN occurred_at END) OVER spell AS cancelled_at,
               min(CASE WHEN kind = {REFUNDED} AND (is_first OR spells.charge = opened_by)
                        THEN occurred_at END) OVER spell AS refunded_at,
               coalesce(bool_or(kind = {OVER}) OVER spell, false) AS is_over
        FROM spells WHERE spell > 0
        WINDOW spell AS (PARTITION BY life, spell ORDER BY place
                         ROWS UNBOUNDED PRECEDING)
    )
    SELECT place, life, occurred_at, day, next_day, charge, due_day, is_cancelled, cancelled_at,
           is_trial, refunded_at, paid_day, refunded_at IS NOT NULL OR is_over AS is_lost,
           CASE WHEN refunded_at IS NOT NULL THEN 'refunded' WHEN is_over THEN 'fim_de_ciclo'
                WHEN is_cancelled THEN 'cancelled' WHEN NOT is_trial THEN 'delayed' END AS ends_by,
           CASE WHEN is_cancelled OR is_trial THEN due_day
                ELSE least(late_day, due_day + {PATIENCE_DAYS}) END AS good_until,
           least(late_day, due_day) AS late_from,
           CASE WHEN is_cancelled OR is_trial THEN due_day
                ELSE least(late_day, due_day) + {{delay_days}} END AS counts_until
    FROM known JOIN (SELECT charge, is_trial, paid_day FROM charges) USING (charge)
    WHERE next_day IS NULL OR next_day > day
"""
_FIGURES = (
    "state",
    "is_committed",
    "currency",
    "mrr_gross",
    "mrr_net",
    "mrr_gross_home",
    "mrr_net_home",
)
_CHANGES = " OR ".join(f"{name} IS DISTINCT FROM lag({name}) OVER life" for name in _FIGURES)
# Neighbours whose figures are the same are one stretch. What was bought and lost on one day, with
# nothing before it, is a stretch without a day: new and churn of that day (rules 6.2).
_PERIODS = f"""
    WITH followed AS (
        SELECT *, lead(ends_by) OVER (PARTITION BY life ORDER BY place) AS next_ends_by
        FROM standings
    ), stretches AS (
        SELECT *, day AS from_day, least(next_day, good_until) AS to_day,
               CASE WHEN is_trial THEN 'trial' WHEN is_cancelled THEN 'cancelled'
                    ELSE 'active' END AS state, false AS is_brief
        FROM followed WHERE NOT is_lost AND due_day IS NOT NULL
        UNION ALL
        SELECT *, greatest(day, good_until), least(next_day, counts_until), 'delayed', false
        FROM followed
        WHERE NOT is_lost AND NOT is_cancelled AND NOT is_trial AND due_day IS NOT NULL
        UNION ALL
        SELECT *, day, day, CASE WHEN is_cancelled THEN 'cancelled' ELSE 'active' END, true
        FROM followed
        WHERE NOT is_trial AND paid_day = day AND due_day IS NOT NULL
          AND (is_lost OR counts_until <= day)
    ), valued AS (
        SELECT life, from_day, to_day, state, NOT is_cancelled AS is_committed, currency,
               mrr_gross, mrr_net, mrr_gross_home, mrr_net_home,
               CASE WHEN to_day = next_day THEN next_ends_by ELSE ends_by END AS ends_by
        FROM stretches
        JOIN (SELECT charge, currency, mrr_gross, mrr_net, mrr_gross_home, mrr_net_home
              FROM charges) USING (charge)
        WHERE (from_day < to_day OR is_brief) AND from_day <= $today
        WINDOW life AS (PARTITION BY life ORDER BY from_day)
        QUALIFY NOT is_brief
             OR coalesce(lag(to_day) OVER life < from_day OR lag(state) OVER life = 'trial', true)
    ), told AS (
        SELECT *, {_CHANGES} OR lag(to_day) OVER life IS DISTINCT FROM from_day AS begins,
               lag(to_day) OVER life AS end_before, lag(ends_by) OVER life AS ends_by_before,
               last_value(to_day) OVER whole_life AS last_day,
               last_value(ends_by) OVER whole_life AS last_ends_by
        FROM valued
        WINDOW life AS (PARTITION BY life ORDER BY from_day),
               whole_life AS (PARTITION BY life ORDER BY from_day
                              ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    ), merged AS (
        SELECT life, from_day, {", ".join(_FIGURES)},
               lead(end_before, 1, last_day) OVER life AS end_day,
               lead(ends_by_before, 1, last_ends_by) OVER life AS ends_by,
               lead(from_day) OVER life AS next_from
        FROM told WHERE begins WINDOW life AS (PARTITION BY life ORDER BY from_day)
    )
    SELECT subscriber_code, customer_id, product_id, from_day,
           CASE WHEN end_day <= $today THEN end_day END AS to_day, {", ".join(_FIGURES)},
           CASE WHEN end_day <= $today AND next_from IS DISTINCT FROM end_day
                THEN ends_by END AS ended_by
    FROM merged JOIN lives USING (life)
    ORDER BY life, from_day
"""
# A status ends only by a newer positive fact; being late or unpaid at first ends none (rules 6.4).
_HISTORY = f"""
    WITH heard AS (
        FROM facts WHERE status IS NOT NULL
        QUALIFY kind <> {PAID} OR lag(kind) OVER (PARTITION BY life ORDER BY place)
            IS DISTINCT FROM {PAID}
    ), told AS (
        SELECT *, CASE WHEN starts_with(status, 'CANCELLED') THEN 'CANCELLED' ELSE status END
                      AS family,
               last_value(CASE WHEN kind NOT IN ({STARTED}, {DELAYED}) THEN kind END IGNORE NULLS)
                   OVER (PARTITION BY life ORDER BY place
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS standing
        FROM heard
    ), effective AS (
        FROM told
        WHERE standing IS NULL OR kind NOT IN ({STARTED}, {DELAYED})
           OR kind = {DELAYED} AND standing NOT IN ({CANCELLED}, {REFUNDED}, {OVER})
        QUALIFY lead(occurred_at) OVER (PARTITION BY life ORDER BY place)
            IS DISTINCT FROM occurred_at
    ), turns AS (
        SELECT *, family IS DISTINCT FROM lag(family) OVER (PARTITION BY life ORDER BY place)
                   AS begins
        FROM effective
    ), numbered AS (
        SELECT *, sum(begins::INTEGER) OVER (PARTITION BY life ORDER BY place) AS island
        FROM turns WHERE begins OR status <> family
    ), merged AS (
        SELECT life, min(occurred_at) AS valid_from,
               coalesce(arg_max(status, place) FILTER (status <> 'CANCELLED'), 'CANCELLED')
                   AS status,
               arg_min(reason, place) AS reason,
               arg_min(coalesce(event_id, ''), place) AS told_by
        FROM numbered GROUP BY life, island
    )
    SELECT subscriber_code, merged.status, valid_from,
           lead(valid_from) OVER (PARTITION BY life ORDER BY valid_from) AS valid_to, reason,
           CASE WHEN told_by = '' THEN 'api' ELSE 'event' END AS source,
           nullif(told_by, '') AS event_id
    FROM merged JOIN lives USING (life)
    ORDER BY life, valid_from
"""
_VISITS = """
    CREATE OR REPLACE TEMP TABLE visits AS
    SELECT customer_id, product_id, max(occurred_at) AS last_activity_at
    FROM silver.events JOIN silver.customer_xref AS xref USING (record_id)
    WHERE starts_with(kind, 'CLUB_') AND valid_to IS NULL
    GROUP BY ALL
"""
_SUBSCRIPTIONS = f"""
    WITH present AS (
        SELECT * FROM silver.subscription_history WHERE valid_to IS NULL
    ), standing AS (
        FROM standings QUALIFY row_number() OVER (PARTITION BY life ORDER BY place DESC) = 1
    ), paid AS (
        SELECT known.life, granted_at, paid_at AS last_paid_at, number, currency, amount,
               period_days
        FROM (
            SELECT life, max(charge) FILTER (NOT is_trial) AS charge,
                   max(paid_at) FILTER (is_granted) AS granted_at
            FROM (
                SELECT *, lag(charge) OVER life IS NULL
                          OR coalesce(
                              paid_day > lag(due_day) OVER life + $grace_days::INTEGER, false
                          )
                          OR coalesce(lag(refunded_at) OVER life < paid_at, false) AS is_granted
                FROM charges WINDOW life AS (PARTITION BY life ORDER BY charge)
            ) GROUP BY life
        ) AS known LEFT JOIN charges USING (charge)
    ), planned AS (
        FROM plan_facts QUALIFY row_number() OVER (PARTITION BY life ORDER BY since DESC) = 1
    ), known AS (
        SELECT lives.*, present.status AS held, present.valid_from AS held_since, standing.due_day,
               standing.is_trial AS in_trial, standing.ends_by, standing.is_lost,
               standing.is_cancelled, standing.good_until, standing.late_from, standing.charge,
               standing.refunded_at, standing.cancelled_at, visits.last_activity_at,
               paid.last_paid_at, paid.number, paid.currency, paid.amount, paid.granted_at,
               coalesce(planned.plan_id, lives.plan_id) AS planned_id,
               coalesce(planned.plan_name, lives.plan_name) AS planned_name,
               coalesce(planned.period_days, lives.period_days, paid.period_days) AS period,
               starts_with(present.status, 'CANCELLED') AS gone,
               coalesce(
                   CASE WHEN next_charge_told_at > coalesce(seen_at, TIMESTAMPTZ 'epoch')
                        THEN told_next_charge_at END,
                   lives.next_charge_at,
                   told_next_charge_at,
                   CASE WHEN NOT standing.is_lost THEN standing.due_day::TIMESTAMPTZ END
               ) AS charged_next
        FROM lives
        LEFT JOIN present USING (subscriber_code)
        LEFT JOIN standing USING (life)
        LEFT JOIN paid USING (life)
        LEFT JOIN planned USING (life)
        LEFT JOIN visits ON visits.customer_id = lives.customer_id
            AND visits.product_id = lives.product_id
    ), judged AS (
        SELECT *,
               coalesce(in_trial AND NOT is_lost AND due_day > $today, false) AS is_trial_now,
               coalesce(
                   NOT is_lost AND NOT is_cancelled AND NOT in_trial AND $today >= good_until, false
               ) AS is_overdue,
               is_overdue OR coalesce(held = 'DELAYED', false) AS is_late,
               CASE WHEN is_overdue THEN late_from WHEN is_late THEN held_since::DATE END
                   AS late_since,
               CASE WHEN refunded_at IS NOT NULL THEN refunded_at
                    WHEN is_lost THEN (due_day + 1)::TIMESTAMPTZ
                    WHEN is_cancelled THEN greatest((due_day + 1)::TIMESTAMPTZ, cancelled_at)
                    WHEN in_trial THEN (due_day + 1)::TIMESTAMPTZ
                    WHEN charge IS NULL AND gone THEN held_since END AS lost_at
        FROM known
    )
    SELECT subscriber_code, subscription_id, customer_id, product_id, product_name,
           planned_id AS plan_id, planned_name AS plan_name, offer_code,
           period AS period_days, held AS status, is_trial_now AS is_trial,
           CASE WHEN in_trial THEN due_day::TIMESTAMPTZ ELSE trial_ends_at END AS trial_ends_at,
           started_at, CASE WHEN gone THEN held_since END AS requested_cancel_at,
           CASE held WHEN 'CANCELLED_BY_CUSTOMER' THEN 'customer'
                     WHEN 'CANCELLED_BY_SELLER' THEN 'seller'
                     WHEN 'CANCELLED_BY_ADMIN' THEN 'admin' END AS cancelled_by,
           charged_next AS next_charge_at,
           CASE WHEN NOT is_lost THEN due_day END AS paid_through,
           coalesce(charge_day, day(charged_next::DATE)) AS charge_day,
           coalesce(currency, price_currency) AS currency,
           coalesce(amount, price_value) AS price,
           last_paid_at, number AS last_recurrence, last_activity_at,
           late_since AS delayed_since,
           CASE WHEN gone THEN 'cancelada' WHEN is_late THEN 'em_risco'
                WHEN is_trial_now THEN 'trial' WHEN held = 'ACTIVE' THEN 'ativa'
                ELSE 'outra' END AS segment,
           is_late OR coalesce(gone AND NOT is_lost AND due_day > $today, false) AS is_at_risk,
           is_late AND coalesce(
               coalesce(last_activity_at, last_paid_at, started_at)
                   < $now::TIMESTAMPTZ - INTERVAL {INACTIVE_DAYS} DAY, true
           ) AS is_at_risk_inactive,
           coalesce(gone AND held_since < $now::TIMESTAMPTZ - INTERVAL 1 YEAR, false)
               AS is_archived,
           granted_at,
           CASE WHEN NOT (is_lost OR is_cancelled OR in_trial) THEN good_until END AS grace_from,
           CASE WHEN NOT (is_lost OR is_cancelled OR in_trial) THEN late_from END AS due_on,
           lost_at,
           CASE WHEN lost_at IS NOT NULL THEN coalesce(ends_by, 'cancelled') END AS lost_by,
           CASE WHEN is_read THEN 'api' ELSE 'event' END AS source
    FROM judged
    ORDER BY life
"""
