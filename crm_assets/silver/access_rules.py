"""Who may use which product now, and why: the rules of access (rules 6.4). No Dagster here.

What belongs here: the SQL that decides access from sales, subscriptions and the decisions of
people, the log of its changes, and the actions in which a person decides. Only the clock is needed
to decide again, so that a grace period ends without any event. Access is data here; whoever acts on
it comes later.
"""

from __future__ import annotations

from datetime import date, datetime
from uuid import uuid4

import polars as pl

from crm_assets.silver.subscription_charges import monthly_sql
from crm_assets.tenants import AccessPlan
from crm_resources.ops import Action
from crm_resources.warehouse import Transaction

BLOCK, RELEASE = "access_block", "access_release"
"""Kinds of the actions in which a person decides."""

SCALE = ((299, "scale"), (97, "pro"), (49, "basic"))
"""Plan from a monthly value in reais on, where no table says it (seeds S3.21, rules 6.4).

A subscription whose value is not known has none of them: unknown is not little.
"""

FREE = "free"

_PLAN_SCHEMA = pl.Schema({"product": pl.String(), "offer": pl.String(), "plan": pl.String()})


def decide_access(
    tx: Transaction,
    *,
    plans: tuple[AccessPlan, ...],
    grace_days: int,
    currency: str,
    today: date,
    now: datetime,
) -> None:
    """Write `silver.access` as of now and append what changed to `silver.access_log`.

    A second time changes nothing, and neither does a clock that went back: what was noted holds as
    long as the clock has not reached it again.

    Args:
        tx: after subscriptions, sales and the action log.
        plans: the tenant's table; the first that names product and offer, then the offer, then
            the product.
        grace_days: so long a late subscription keeps its access.
        currency: the tenant's.
        today: the tenant's day.
        now: the present.
    """
    noted: datetime | None = tx.scalar("SELECT max(noted_at) FROM silver.access_log")
    if noted is not None and noted > now:
        now = noted
        today = tx.scalar("SELECT $now::DATE", {"now": now})
    table = pl.DataFrame([plan.model_dump() for plan in plans], schema=_PLAN_SCHEMA)
    moment: dict[str, object] = {"today": today, "now": now}
    tx.execute(_ENTITLED, {**moment, "grace_days": grace_days})
    tx.execute(_PLANNED, {"currency": currency}, plan_table=table)
    tx.execute(_DECISIONS, moment)
    tx.replace_table("silver.access", _ACCESS)
    tx.execute(_LOG, {"now": now})


def decision(
    kind: str,
    *,
    customer_id: str,
    product_id: str,
    email_key: str | None,
    phone_key: str | None,
    reason: str,
    actor: str,
    at: datetime,
    until: date | None = None,
) -> Action:
    """The action in which a person blocks an access or releases it.

    A block holds until a release. A release takes a block back, so that the rules decide again;
    with a day it gives access to the end of that day, whatever they say.

    Args:
        kind: `BLOCK` or `RELEASE`.
        customer_id: whose.
        product_id: of what.
        email_key: a key of the customer's, by which a rebuilt master knows the person.
        phone_key: likewise.
        reason: why.
        actor: who decides.
        at: when, aware.
        until: last day of a release.
    """
    payload: dict[str, object] = {"product_id": product_id}
    if until is not None:
        payload["until"] = until.isoformat()
    return Action(
        kind=kind,
        idempotency_key=f"{kind}:{uuid4().hex}",
        customer_id=customer_id,
        email_key=email_key,
        phone_key=phone_key,
        payload=payload,
        actor=actor,
        reason=reason,
        at=at,
    )


_DAY = "strftime({}::DATE, '%d/%m/%Y')"
_SUBSCRIBED = "coalesce(payment_mode, 'SUBSCRIPTION') = 'SUBSCRIPTION'"
# What each subscription, and all one-off purchases of a product, give their customer now. A
# recurrence whose subscription is not known yet gives access like a purchase, until it is.
_ENTITLED = f"""
    CREATE OR REPLACE TEMP TABLE entitled AS
    WITH own AS (
        SELECT * FROM silver.sales
        WHERE is_own AND NOT is_erased AND customer_id IS NOT NULL AND product_id IS NOT NULL
    ), reversals AS (
        SELECT subscriber_code, arg_max(reversal_kind, refunded_at) AS reversal_kind,
               bool_or(is_disputed) AS is_disputed
        FROM own WHERE subscriber_code IS NOT NULL AND (is_refunded OR is_disputed)
        GROUP BY subscriber_code
    ), subscribed AS (
        SELECT *, (due_on + $grace_days::INTEGER) AS suspended_from,
               coalesce(is_disputed, false) AS disputed
        FROM silver.subscriptions LEFT JOIN reversals USING (subscriber_code)
        WHERE customer_id IS NOT NULL AND product_id IS NOT NULL AND granted_at IS NOT NULL
          AND customer_id IN (SELECT customer_id FROM silver.customer_ids)
    ), judged AS (
        SELECT *, CASE WHEN lost_at <= $now THEN 'ended'
                       WHEN suspended_from <= $today THEN 'suspended'
                       WHEN grace_from <= $today THEN 'grace' ELSE 'granted' END AS access
        FROM subscribed
    ), purchases AS (
        SELECT customer_id, product_id, bool_or(NOT is_refunded) AS holds,
               min(paid_at) FILTER (NOT is_refunded) AS bought_at,
               max(coalesce(refunded_at, paid_at)) AS returned_at,
               arg_max(reversal_kind, coalesce(refunded_at, paid_at)) AS reversal_kind,
               bool_or(is_disputed) AS is_disputed,
               arg_max(offer_code, paid_at) AS offer_code
        FROM own
        WHERE was_paid AND NOT (subscriber_code IS NOT NULL AND {_SUBSCRIBED})
        GROUP BY customer_id, product_id
    )
    SELECT customer_id, product_id, subscriber_code, offer_code, access AS status,
           CASE access
               WHEN 'ended' THEN CASE lost_by WHEN 'refunded' THEN coalesce(
                       CASE reversal_kind WHEN 'chargeback' THEN 'chargeback' END, 'reembolso')
                   WHEN 'fim_de_ciclo' THEN 'fim_de_ciclo' ELSE 'cancelamento' END
               WHEN 'granted' THEN CASE WHEN is_trial THEN 'trial'
                   WHEN lost_at IS NOT NULL THEN 'cancelamento' ELSE 'pagamento' END
               ELSE 'atraso' END AS event,
           CASE access
               WHEN 'ended' THEN CASE lost_by WHEN 'refunded' THEN 'o pagamento foi devolvido'
                   WHEN 'fim_de_ciclo' THEN 'o plano chegou ao fim do prazo'
                   ELSE 'cancelada e fora do período pago' END
               WHEN 'granted' THEN CASE
                   WHEN is_trial THEN 'em período de teste'
                   WHEN lost_at IS NOT NULL THEN 'cancelada, mas paga'
                   ELSE 'pagamento em dia' END
               WHEN 'grace' THEN 'pagamento atrasado desde ' || {_DAY.format("due_on")}
                   || ', no prazo de tolerância'
               ELSE 'pagamento atrasado desde ' || {_DAY.format("due_on")} END AS reason,
           CASE access WHEN 'ended' THEN lost_at
               WHEN 'suspended' THEN suspended_from::TIMESTAMPTZ
               WHEN 'grace' THEN grace_from::TIMESTAMPTZ ELSE granted_at END AS since,
           CASE access WHEN 'grace' THEN suspended_from::TIMESTAMPTZ
               WHEN 'granted' THEN lost_at END AS until,
           CASE WHEN is_trial THEN trial_ends_at END AS trial_ends_at, disputed AS is_disputed,
           price, period_days, currency
    FROM judged
    UNION ALL BY NAME
    SELECT customer_id, product_id, offer_code,
           CASE WHEN holds THEN 'granted' ELSE 'ended' END AS status,
           CASE WHEN holds THEN 'compra' WHEN reversal_kind = 'chargeback' THEN 'chargeback'
                ELSE 'reembolso' END AS event,
           CASE WHEN holds THEN 'comprou o produto' ELSE 'o pagamento foi devolvido' END AS reason,
           CASE WHEN holds THEN bought_at ELSE returned_at END AS since, is_disputed
    FROM purchases
"""
_SCALED = " ".join(f"WHEN monthly >= {least} THEN '{plan}'" for least, plan in SCALE)
# One row per customer and product: of several the best holds, a dispute of any shows.
_PLANNED = f"""
    CREATE OR REPLACE TEMP TABLE planned AS
    WITH best AS (
        SELECT * REPLACE (bool_or(is_disputed) OVER pair AS is_disputed)
        FROM entitled
        WINDOW pair AS (PARTITION BY customer_id, product_id)
        QUALIFY row_number() OVER (
            PARTITION BY customer_id, product_id
            ORDER BY CASE status WHEN 'granted' THEN 0 WHEN 'grace' THEN 1
                                 WHEN 'suspended' THEN 2 ELSE 3 END,
                     since DESC, subscriber_code
        ) = 1
    ), numbered AS (
        SELECT *, row_number() OVER () AS place FROM plan_table
    ), offered AS (
        SELECT DISTINCT product_id, offer_code FROM best
    ), matched AS (
        SELECT product_id, offer_code, plan AS table_plan
        FROM offered JOIN numbered
            ON coalesce(product = product_id, true) AND coalesce(offer = offer_code, offer IS NULL)
        QUALIFY row_number() OVER (
            PARTITION BY product_id, offer_code
            ORDER BY (offer IS NULL)::INTEGER, (product IS NULL)::INTEGER, place
        ) = 1
    ), worth AS (
        SELECT subscriber_code, arg_max(mrr_gross_home, from_day) AS at_home
        FROM silver.subscription_periods
        WHERE $currency = 'BRL' AND currency <> 'BRL' AND state <> 'trial'
        GROUP BY subscriber_code
    ), valued AS (
        SELECT best.*, table_plan,
               CASE WHEN currency = 'BRL' THEN {monthly_sql("price")} ELSE at_home END AS monthly
        FROM best
        LEFT JOIN matched ON matched.product_id = best.product_id
            AND matched.offer_code IS NOT DISTINCT FROM best.offer_code
        LEFT JOIN worth USING (subscriber_code)
    )
    SELECT * EXCLUDE (monthly, table_plan),
           coalesce(table_plan, CASE WHEN subscriber_code IS NULL OR monthly IS NULL THEN NULL
                                     {_SCALED} ELSE '{FREE}' END) AS plan
    FROM valued
"""
# The newest decision on each access; a master that was built anew knows the person by the keys.
_DECISIONS = f"""
    CREATE OR REPLACE TEMP TABLE decisions AS
    WITH taken AS (
        SELECT id, kind, customer_id, email_key, phone_key, payload->>'product_id' AS product_id,
               TRY_CAST(payload->>'until' AS DATE) AS until, reason, actor, occurred_at
        FROM bronze.crm_actions WHERE kind IN ('{BLOCK}', '{RELEASE}')
    ), found AS (
        SELECT id, min(xref.customer_id) AS person
        FROM taken
        JOIN silver.contact_records AS records
            ON records.email_key = taken.email_key OR records.phone_key = taken.phone_key
        JOIN silver.customer_xref AS xref USING (record_id)
        WHERE valid_to IS NULL
          AND taken.customer_id NOT IN (SELECT customer_id FROM silver.customer_ids)
        GROUP BY id
    ), latest AS (
        SELECT taken.* REPLACE (coalesce(survivor_id, person) AS customer_id)
        FROM taken LEFT JOIN silver.customer_ids USING (customer_id) LEFT JOIN found USING (id)
        WHERE coalesce(survivor_id, person) IS NOT NULL AND product_id IS NOT NULL
          AND occurred_at <= $now
        QUALIFY row_number() OVER (
            PARTITION BY coalesce(survivor_id, person), product_id
            ORDER BY occurred_at DESC, id DESC
        ) = 1
    )
    SELECT customer_id, product_id, actor, occurred_at,
           CASE kind WHEN '{BLOCK}' THEN 'suspended' ELSE 'granted' END AS decided,
           CASE kind WHEN '{BLOCK}' THEN 'bloqueio' ELSE 'liberacao' END AS decided_event,
           coalesce(reason, 'sem motivo registrado') AS decided_reason,
           (until + 1)::TIMESTAMPTZ AS decided_until
    FROM latest WHERE kind = '{BLOCK}' OR until >= $today
"""
_ACCESS = """
    SELECT customer_id, product_id,
           coalesce(decided, status) AS status,
           coalesce(decided_event, event) AS event,
           coalesce(decided_reason, reason) AS reason,
           CASE WHEN decided IS NULL THEN since ELSE occurred_at END AS since,
           CASE WHEN decided IS NULL THEN until ELSE decided_until END AS until,
           plan, trial_ends_at, coalesce(is_disputed, false) AS is_disputed, subscriber_code,
           CASE WHEN decided IS NOT NULL THEN coalesce(actor, 'crm') END AS decided_by
    FROM planned FULL JOIN decisions USING (customer_id, product_id)
    ORDER BY customer_id, product_id
"""
_LOG = """
    INSERT INTO silver.access_log BY NAME
    WITH latest AS (
        SELECT log.* REPLACE (coalesce(survivor_id, customer_id) AS customer_id)
        FROM (SELECT *, rowid AS place FROM silver.access_log) AS log
        LEFT JOIN silver.customer_ids USING (customer_id)
        QUALIFY row_number() OVER (
            PARTITION BY coalesce(survivor_id, customer_id), product_id
            ORDER BY noted_at DESC, place DESC
        ) = 1
    )
    SELECT customer_id, product_id, latest.status AS before,
           coalesce(access.status, 'ended') AS status,
           coalesce(access.event, 'sem_direito') AS event,
           coalesce(access.reason, 'nada mais dá este acesso') AS reason,
           CASE WHEN access.status IS NULL THEN $now ELSE access.since END AS since, access.plan,
           coalesce(access.is_disputed, false) AS is_disputed, access.decided_by,
           $now::TIMESTAMPTZ AS noted_at
    FROM silver.access FULL JOIN latest USING (customer_id, product_id)
    WHERE CASE
        WHEN access.status IS NULL THEN latest.status <> 'ended'
        WHEN latest.status IS NULL THEN true
        ELSE (access.status, access.event, access.since, access.plan, access.is_disputed,
              access.decided_by) IS DISTINCT FROM
             (latest.status, latest.event, latest.since, latest.plan, latest.is_disputed,
              latest.decided_by) END
    ORDER BY customer_id, product_id
"""
