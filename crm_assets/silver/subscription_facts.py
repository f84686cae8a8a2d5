"""What happened to each subscription and when: the dated facts that its life is told from.

What belongs here: the SQL that gathers charges, readings of the API and events into the temporary
table `facts`. A fact has its own date, whoever tells it and whenever it comes, so that neither the
order of arrival nor repetition matters, and so that a past day is told by what was true by then.
What the facts make of a life is in `subscription_rules`.
"""

from __future__ import annotations

from datetime import datetime

from crm_assets.silver.subscription_charges import code_sql, gather_charges
from crm_resources.warehouse import Transaction

STARTED, TRIAL, DELAYED, PAID, DUE, ACTIVE, CANCELLED, REFUNDED, OVER, OTHER = range(10)
"""Kinds of facts, in the order in which those of one instant count."""

SPELLINGS = {
    "CANCELED_BY_CUSTOMER": "CANCELLED_BY_CUSTOMER",
    "CANCELED_BY_VENDOR": "CANCELLED_BY_SELLER",
    "CANCELED_BY_ADMIN": "CANCELLED_BY_ADMIN",
    "PAST_DUE": "DELAYED",
}
"""How events write what the API calls otherwise (hotmart.md 4)."""


def gather_facts(tx: Transaction, currency: str, now: datetime) -> None:
    """Make the temporary table `facts(place, life, occurred_at, day, kind, ...)`.

    It holds what happened by `now`, in its order (`place`). Makes `lives` and `charges` first. Days
    are those of the tenant's zone, which the connection has.

    Args:
        tx: after sales, events and the customers of their records.
        currency: the tenant's.
        now: the present; what is dated after it has not happened.
    """
    gather_charges(tx, currency)
    tx.execute(_FACTS, {"now": now})


def _spelt(status: str) -> str:
    words = " ".join(f"WHEN '{theirs}' THEN '{ours}'" for theirs, ours in SPELLINGS.items())
    return f"CASE upper(trim({status})) {words} ELSE upper(trim({status})) END"


_NOTED = f"""
    CASE WHEN status = 'ACTIVE' THEN {ACTIVE}
         WHEN starts_with(status, 'CANCELLED') THEN {CANCELLED}
         WHEN status = 'DELAYED' THEN {DELAYED}
         WHEN status = 'OVERDUE' THEN {OVER}
         WHEN status IN ('STARTED', 'INACTIVE') THEN {STARTED}
         ELSE {OTHER} END
"""
_FACTS = f"""
    CREATE OR REPLACE TEMP TABLE facts AS
    WITH approvals AS (
        SELECT transaction, kind, min(event_id) AS event_id FROM silver.events
        WHERE kind IN ('PURCHASE_APPROVED', 'PURCHASE_REFUNDED', 'PURCHASE_CHARGEBACK')
          AND transaction IS NOT NULL
        GROUP BY ALL
    ), codes AS (
        SELECT life, subscriber_code AS code FROM lives
    ), notes AS (
        SELECT {code_sql()} AS subscriber_code, {_spelt("status")} AS status, seen_at,
               cancel_requested_at, next_charge_at
        FROM silver.subscription_readings
    ), beginnings AS (
        -- The first charge of a subscription, unless the same buyer began another one since.
        SELECT *, number = 1 AND coalesce(
                   lead(paid_at) OVER (PARTITION BY life, number = 1 ORDER BY charge) > refunded_at,
                   true) AS is_first
        FROM charges
    ), known AS (
        SELECT life, paid_at AS occurred_at, paid_day AS day,
               CASE WHEN is_trial THEN {TRIAL} ELSE {PAID} END AS kind, charge, due_day AS due,
               'ACTIVE' AS status,
               CASE WHEN is_trial THEN 'trial' ELSE 'pagamento' END AS reason, event_id,
               false AS is_first
        FROM charges LEFT JOIN (FROM approvals WHERE kind = 'PURCHASE_APPROVED')
            USING (transaction)
        UNION ALL BY NAME
        SELECT life, greatest(refunded_at, paid_at) AS occurred_at, occurred_at::DATE AS day,
               {REFUNDED} AS kind, charge,
               CASE WHEN is_first THEN 'CANCELLED' END AS status,
               CASE reversal_kind WHEN 'chargeback' THEN 'chargeback' ELSE 'reembolso' END
                   AS reason, event_id, is_first
        FROM beginnings LEFT JOIN (FROM approvals WHERE kind <> 'PURCHASE_APPROVED')
            USING (transaction)
        WHERE refunded_at IS NOT NULL
        UNION ALL BY NAME
        SELECT life, due_day::TIMESTAMPTZ AS occurred_at, due_day AS day, {OVER} AS kind,
               'OVERDUE' AS status, 'fim do prazo do plano' AS reason
        FROM (
            SELECT *, lead(paid_day) OVER (PARTITION BY life ORDER BY charge) AS next_paid_day
            FROM charges
        ) WHERE is_last AND coalesce(next_paid_day >= due_day, true)
        UNION ALL BY NAME
        SELECT life, ordered_at AS occurred_at, ordered_at::DATE AS day, {DELAYED} AS kind,
               'DELAYED' AS status, 'pagamento atrasado' AS reason
        FROM sold JOIN codes USING (code) WHERE status_class = 'late'
        UNION ALL BY NAME
        SELECT life, ordered_at AS occurred_at, ordered_at::DATE AS day, {STARTED} AS kind,
               'STARTED' AS status, 'primeira cobrança criada' AS reason
        FROM sold JOIN codes USING (code)
        WHERE status_class = 'pending' AND coalesce(recurrence_number, 1) = 1
        UNION ALL BY NAME
        SELECT life, occurred_at, occurred_at::DATE AS day, kind, due, status, reason, event_id
        FROM (
            SELECT subscriber_code, coalesce(cancelled_at, occurred_at) AS occurred_at,
                   {CANCELLED} AS kind, next_charge_at::DATE AS due,
                   CASE WHEN starts_with({_spelt("subscription_status")}, 'CANCELLED')
                        THEN {_spelt("subscription_status")} ELSE 'CANCELLED' END AS status,
                   'cancelamento pedido' AS reason, event_id
            FROM silver.events WHERE kind = 'SUBSCRIPTION_CANCELLATION'
            UNION ALL
            SELECT subscriber_code, occurred_at, {DELAYED}, NULL, 'DELAYED', 'pagamento atrasado',
                   event_id
            FROM silver.events WHERE kind = 'PURCHASE_DELAYED'
            UNION ALL
            SELECT subscriber_code, coalesce(switched_at, occurred_at), {DUE},
                   next_charge_at::DATE, NULL, '', event_id
            FROM silver.events
            WHERE kind IN ('SWITCH_PLAN', 'UPDATE_SUBSCRIPTION_CHARGE_DATE')
              AND next_charge_at IS NOT NULL
            UNION ALL
            SELECT subscriber_code,
                   CASE WHEN {_NOTED} = {CANCELLED} THEN coalesce(cancel_requested_at, seen_at)
                        ELSE seen_at END, {_NOTED},
                   CASE WHEN {_NOTED} = {CANCELLED} THEN next_charge_at::DATE END,
                   status, 'leitura da API', NULL
            FROM notes WHERE status IS NOT NULL
        ) JOIN codes ON code = subscriber_code
    )
    SELECT row_number() OVER (
               ORDER BY life, occurred_at, kind, charge, event_id, due, status
           )::INTEGER AS place,
           life, occurred_at, day, kind::UTINYINT AS kind, charge, due, status, reason, event_id,
           coalesce(is_first, false) AS is_first
    FROM known WHERE occurred_at <= $now
"""
