"""Which subscriptions there are, and the recurrences that were paid, with their worth by month.

What belongs here: the SQL from sales, events and the API's answers to the temporary tables `lives`
and `charges`, and the ledger of what the API said, which only ever tells the present. When things
happened is in `subscription_facts`.

Who was erased keeps a subscription without a code; it goes on under its number at the vendor.
"""

from __future__ import annotations

from crm_assets.checks.subscriptions import PERIODS
from crm_assets.silver.sale_rules import INSTALMENT_MODES
from crm_resources.warehouse import Transaction

LATE_ENDPOINT = "INTERVAL 24 HOUR"
"""How old an answer of `subscriptions/transactions` may be (hotmart.md 5.4)."""

MONTHS = {7: (13, 3), 30: (1, 1), 60: (1, 2), 90: (1, 3), 180: (1, 6), 360: (1, 12)}
"""Recurrences in a month, as numerator and denominator, by their length in days (rules 6.1)."""

LONGEST_TRIAL_DAYS = 60
"""A first charge known to us so long after the accession is not the first one."""

_STEPS = {7: "7 DAY", 30: "1 MONTH", 60: "2 MONTH", 90: "3 MONTH", 180: "6 MONTH", 360: "1 YEAR"}


def gather_charges(tx: Transaction, currency: str) -> None:
    """Note what the API says anew and make the temporary tables `lives`, `charges` and `sold`.

    `lives(life, subscriber_code, ...)` has a row per subscription, `charges(charge, life, ...)` one
    per paid recurrence or trial, `sold` one per sale of a subscription in any state; `plan_facts`
    says which plan held since when.

    Args:
        tx: after sales, events and the customers of their records.
        currency: the tenant's.
    """
    tx.execute(_CURRENT)
    tx.execute(_NOTE_READINGS)
    tx.execute(_PLANS)
    tx.execute(_SOLD)
    tx.execute(_LIVES)
    tx.execute(_PLAN_FACTS)
    tx.execute(_CHARGES, {"currency": currency})


def monthly_sql(amount: str, factor: str | None = None, divisor: str | None = None) -> str:
    """An amount by month, rounded once to the cent, half away from zero.

    Whole numbers throughout: a division of decimals would be one of floats (gold-metrics 2.8).

    Args:
        amount: SQL of a DECIMAL(18, 2), beside a column `period_days`.
        factor: SQL of a DECIMAL(18, 2) that multiplies it; none leaves it as it is.
        divisor: SQL of a DECIMAL(18, 2) that divides it then.
    """
    numerator, denominator = (
        " ".join(f"WHEN {days} THEN {each[place]}" for days, each in MONTHS.items())
        for place in (0, 1)
    )
    above = f"({amount} * 100)::HUGEINT * (CASE period_days {numerator} END)"
    below = f"(CASE period_days {denominator} END)"
    if factor is not None:
        above = f"{above} * ({factor} * 100)::HUGEINT"
        below = f"{below} * ({divisor} * 100)::HUGEINT"
    rounded = f"(2 * abs({above}) + {below}) // (2 * {below}) * sign({amount})::HUGEINT"
    money = f"(({rounded})::DECIMAL(16, 0) * 0.01::DECIMAL(2, 2))::DECIMAL(18, 2)"
    if factor is not None:
        return money
    return f"CASE WHEN period_days = 30 THEN {amount}::DECIMAL(18, 2) ELSE {money} END"


def due_sql(day: str, sign: str = "+") -> str:
    """The day a recurrence after `day`, or before it, by `period_days`."""
    steps = " ".join(f"WHEN {days} THEN INTERVAL {step}" for days, step in _STEPS.items())
    return f"({day} {sign} CASE period_days {steps} END)::DATE"


def code_sql(code: str = "subscriber_code", number: str = "subscription_id") -> str:
    """The code of a subscription, or what stands for it once its subscriber was erased."""
    return f"coalesce(nullif(trim({code}), ''), 'assinatura:' || {number})"


_IS_SUBSCRIPTION = "coalesce(upper(trim(billing_type)), 'SUBSCRIPTION') = 'SUBSCRIPTION'"
_INSTALMENTS = ", ".join(f"'{mode}'" for mode in INSTALMENT_MODES)
_KNOWN_PERIOD = f"period_days IN ({', '.join(map(str, PERIODS))})"

# What the API says now of each subscription; the charges stand in where it is not listed.
_CURRENT = f"""
    CREATE OR REPLACE TEMP TABLE current_readings AS
    WITH charged AS (
        SELECT subscription_id, subscriber_code, subscription_status AS status,
               adopted_at AS accession_at, cancelled_at AS cancel_requested_at, next_charge_at,
               trial_ends_at IS NOT NULL AS is_trial, trial_ends_at, transaction, plan_name,
               period_days, product_id, price_value, price_currency, subscriber_email,
               extracted_at - {LATE_ENDPOINT} AS seen_at
        FROM bronze.hotmart_subscription_transactions
        WHERE subscription_id IS NOT NULL AND {_IS_SUBSCRIPTION}
        QUALIFY row_number() OVER (
            PARTITION BY subscription_id
            ORDER BY extracted_at DESC, ordered_at DESC, transaction DESC
        ) = 1
    ), listed AS (
        SELECT subscription_id, subscriber_code, status, accession_at, cancel_requested_at,
               next_charge_at, is_trial, transaction, plan_id, plan_name, period_days,
               max_charge_cycles, product_id, product_name, price_value, price_currency,
               subscriber_email, extracted_at AS seen_at
        FROM bronze.hotmart_subscriptions
        QUALIFY row_number() OVER (
            PARTITION BY subscription_id ORDER BY extracted_at DESC, slice DESC
        ) = 1
    )
    SELECT listed.*, trial_ends_at
    FROM listed
    LEFT JOIN (SELECT subscription_id, trial_ends_at FROM charged) USING (subscription_id)
    UNION ALL BY NAME
    FROM charged ANTI JOIN listed USING (subscription_id)
"""
# A reading is kept when it says something new, also anew: after an event it settles what holds.
_NOTE_READINGS = """
    INSERT INTO silver.subscription_readings BY NAME
    WITH latest AS (
        FROM silver.subscription_readings
        QUALIFY row_number() OVER (PARTITION BY subscription_id ORDER BY seen_at DESC) = 1
    )
    SELECT now.subscription_id, now.subscriber_code, now.status, now.cancel_requested_at,
           now.next_charge_at, now.plan_id, now.plan_name, now.period_days, now.seen_at
    FROM current_readings AS now LEFT JOIN latest AS was USING (subscription_id)
    WHERE was.subscription_id IS NULL OR (now.seen_at > was.seen_at AND (
        (now.status, now.cancel_requested_at, now.plan_name, now.period_days) IS DISTINCT FROM
            (was.status, was.cancel_requested_at, was.plan_name, was.period_days)
        OR EXISTS (
            FROM silver.events AS told WHERE told.subscriber_code = now.subscriber_code
            AND told.occurred_at > was.seen_at AND told.occurred_at <= now.seen_at
        )
    ))
"""
_PLANS = f"""
    CREATE OR REPLACE TEMP TABLE plans AS
    SELECT product_id, plan, arg_max(period_days, (seen_at, subscription_id)) AS period_days
    FROM current_readings CROSS JOIN LATERAL (VALUES (plan_id), (plan_name)) AS names(plan)
    WHERE plan IS NOT NULL AND {_KNOWN_PERIOD} GROUP BY ALL
"""
_SOLD_CODE = "coalesce(nullif(trim(sales.subscriber_code), ''), links.code)"
# Every sale of a subscription; instalments of one order are none (rules 1.10).
_SOLD = f"""
    CREATE OR REPLACE TEMP TABLE sold AS
    WITH links AS (
        SELECT transaction, arg_max({code_sql()}, extracted_at) AS code,
               arg_max(CASE WHEN {_KNOWN_PERIOD} THEN period_days END, extracted_at) AS period_days,
               arg_max({_IS_SUBSCRIPTION}, extracted_at) AS is_subscription
        FROM bronze.hotmart_subscription_transactions GROUP BY transaction
    )
    SELECT {_SOLD_CODE} AS code, links.period_days,
           substr(sale_id, 9) AS transaction, customer_id, product_id, product_name, offer_code,
           status_class, ordered_at, paid_at, refunded_at, reversal_kind, is_refunded, was_paid,
           recurrence_number, currency, gross, base, net, net_currency, value, net_value
    FROM silver.sales AS sales LEFT JOIN links ON links.transaction = substr(sale_id, 9)
    WHERE sales.source = 'hotmart' AND is_own
      AND {_SOLD_CODE} IS NOT NULL
      AND coalesce(links.is_subscription, true)
      AND coalesce(payment_mode NOT IN ({_INSTALMENTS}), true)
"""
# One per code: the newest of its subscriptions at the vendor, and whose it is.
_LIVES = f"""
    CREATE OR REPLACE TEMP TABLE lives AS
    WITH read AS (
        SELECT {code_sql()} AS code, *,
               min(accession_at) OVER (PARTITION BY {code_sql()}) AS started_at
        FROM current_readings
        QUALIFY row_number() OVER (
            PARTITION BY {code_sql()} ORDER BY accession_at DESC, subscription_id DESC
        ) = 1
    ), bought AS (
        SELECT sold.code, customer_id, product_id, product_name, offer_code, first_ordered_at
        FROM sold JOIN (
            SELECT arg_max(rowid, (ordered_at, transaction)) AS newest,
                   least(min(ordered_at), min(paid_at)) AS first_ordered_at
            FROM sold GROUP BY code
        ) ON sold.rowid = newest
    ), told AS (
        SELECT subscriber_code AS code, arg_max(product_id, occurred_at) AS product_id,
               arg_max(product_name, occurred_at) AS product_name,
               arg_max(record_id, occurred_at) AS record_id,
               arg_max(new_offer_code, occurred_at) AS offer_code,
               arg_max(new_charge_day, occurred_at) AS charge_day,
               arg_max(next_charge_at, occurred_at) AS told_next_charge_at,
               max(occurred_at) FILTER (next_charge_at IS NOT NULL) AS next_charge_told_at,
               min(occurred_at) AS first_told_at
        FROM silver.events
        WHERE subscriber_code IS NOT NULL AND kind IN (
            'SUBSCRIPTION_CANCELLATION', 'SWITCH_PLAN', 'UPDATE_SUBSCRIPTION_CHARGE_DATE'
        )
        GROUP BY subscriber_code
    ), people AS (
        SELECT record_id, email_key, customer_id
        FROM silver.contact_records JOIN silver.customer_xref AS xref USING (record_id)
        WHERE valid_to IS NULL
    ), writers AS (
        SELECT email_key, min(customer_id) AS customer_id FROM people
        WHERE email_key IN (SELECT lower(trim(subscriber_email)) FROM read) GROUP BY email_key
    ), codes AS (
        SELECT code FROM read UNION SELECT code FROM bought UNION SELECT code FROM told
    )
    SELECT row_number() OVER (ORDER BY codes.code)::INTEGER AS life,
           codes.code AS subscriber_code, read.subscription_id,
           coalesce(bought.customer_id, people.customer_id, writers.customer_id) AS customer_id,
           coalesce(read.product_id, bought.product_id, told.product_id) AS product_id,
           coalesce(read.product_name, bought.product_name, told.product_name) AS product_name,
           coalesce(told.offer_code, bought.offer_code) AS offer_code,
           upper(trim(read.status)) AS status, read.is_trial, read.accession_at, read.trial_ends_at,
           coalesce(least(read.started_at, first_ordered_at), first_told_at) AS started_at,
           read.next_charge_at, read.seen_at, read.plan_id, read.plan_name,
           CASE WHEN {_KNOWN_PERIOD.replace("period_days", "read.period_days")}
                THEN read.period_days END AS period_days,
           read.max_charge_cycles, read.price_value,
           CASE WHEN upper(trim(read.price_currency)) SIMILAR TO '[A-Z]{{3}}'
                THEN upper(trim(read.price_currency)) END AS price_currency,
           told.charge_day, told_next_charge_at, next_charge_told_at,
           read.code IS NOT NULL AS is_read
    FROM codes
    LEFT JOIN read USING (code)
    LEFT JOIN bought USING (code)
    LEFT JOIN told USING (code)
    LEFT JOIN people ON people.record_id = told.record_id
    LEFT JOIN writers ON writers.email_key = lower(trim(read.subscriber_email))
"""
# Which plan held since when; the first one known held before, too.
_PLAN_FACTS = f"""
    CREATE OR REPLACE TEMP TABLE plan_facts AS
    WITH told AS (
        SELECT {code_sql()} AS code, seen_at AS since, plan_id, plan_name, period_days, 0 AS rank
        FROM silver.subscription_readings
        UNION ALL
        SELECT subscriber_code, coalesce(approved_at, order_at, occurred_at), plan_id, plan_name,
               NULL, 1
        FROM silver.events
        WHERE starts_with(kind, 'PURCHASE_') AND coalesce(plan_id, plan_name) IS NOT NULL
        UNION ALL
        SELECT subscriber_code, coalesce(switched_at, occurred_at), new_plan_id, new_plan_name,
               NULL, 2
        FROM silver.events
        WHERE kind = 'SWITCH_PLAN' AND coalesce(new_plan_id, new_plan_name) IS NOT NULL
        UNION ALL
        SELECT subscriber_code, TIMESTAMPTZ 'epoch', plan_id, plan_name, NULL, 3
        FROM silver.events
        WHERE kind = 'SWITCH_PLAN' AND coalesce(plan_id, plan_name) IS NOT NULL
        QUALIFY row_number() OVER (
            PARTITION BY subscriber_code ORDER BY occurred_at, event_id
        ) = 1
    ), each_once AS (
        FROM told
        QUALIFY row_number() OVER (
            PARTITION BY code, since ORDER BY rank DESC, plan_id, plan_name
        ) = 1
    )
    SELECT life, each_once.plan_id, each_once.plan_name,
           CASE WHEN lag(since) OVER (PARTITION BY life ORDER BY since) IS NULL
                THEN TIMESTAMPTZ 'epoch' ELSE since END AS since,
           coalesce(by_id.period_days, by_name.period_days,
                    CASE WHEN {_KNOWN_PERIOD.replace("period_days", "each_once.period_days")}
                         THEN each_once.period_days END) AS period_days
    FROM each_once
    JOIN lives ON subscriber_code = code
    LEFT JOIN plans AS by_id
        ON by_id.product_id = lives.product_id AND by_id.plan = each_once.plan_id
    LEFT JOIN plans AS by_name
        ON by_name.product_id = lives.product_id AND by_name.plan = each_once.plan_name
"""
# What is between two charges, where no plan says it.
_GUESSED = """
    CASE WHEN days <= 10 THEN 7 WHEN days <= 45 THEN 30 WHEN days <= 75 THEN 60
         WHEN days <= 135 THEN 90 WHEN days <= 270 THEN 180 WHEN days > 270 THEN 360 END
"""
_IN_HOME = "currency = $currency"
_IN_TRIAL = f"{{}} <= accession_at::DATE + {LONGEST_TRIAL_DAYS}"
_CHARGES = f"""
    CREATE OR REPLACE TEMP TABLE charges AS
    WITH announced AS (
        SELECT transaction, arg_max(next_charge_at::DATE, occurred_at) AS next_day
        FROM silver.events
        WHERE kind IN ('PURCHASE_APPROVED', 'PURCHASE_COMPLETE') AND next_charge_at IS NOT NULL
        GROUP BY transaction
    ), paid AS (
        SELECT life, transaction, false AS is_trial, coalesce(recurrence_number, 1) AS number,
               paid_at, paid_at::DATE AS paid_day, next_day,
               sold.rowid AS place,
               refunded_at, reversal_kind, sold.period_days AS charged_period,
               lives.period_days AS present_period, max_charge_cycles, currency,
               coalesce(base, gross) AS amount,
               CASE WHEN net_currency = currency THEN net END AS own,
               gross, value, net_value
        FROM sold JOIN lives ON subscriber_code = code
        LEFT JOIN announced USING (transaction)
        WHERE was_paid AND paid_at IS NOT NULL AND (NOT is_refunded OR refunded_at IS NOT NULL)
    ), planned AS (
        -- No ASOF join: where few rows are expected it compares each with each.
        SELECT place, plans.period_days AS planned_period
        FROM (SELECT life, place, paid_at FROM paid) AS paid
        JOIN (
            SELECT life, period_days, since,
                   lead(since, 1, 'infinity') OVER (PARTITION BY life ORDER BY since) AS until
            FROM plan_facts
        ) AS plans ON plans.life = paid.life AND paid_at >= since AND paid_at < until
    ), spaced AS (
        SELECT place, paid_day - lag(paid_day) OVER (PARTITION BY life ORDER BY paid_at) AS gap
        FROM paid WHERE coalesce(charged_period, present_period) IS NULL
    ), dated AS (
        SELECT paid.*, coalesce(next_day - paid_day, gap) AS days,
               coalesce(planned_period, charged_period, present_period, {_GUESSED})
                   AS period_days
        FROM paid
        LEFT JOIN planned USING (place)
        LEFT JOIN spaced USING (place)
    ), firsts AS (
        SELECT life, min(paid_day) AS first_paid_day, max(paid_at) AS last_paid_at
        FROM dated GROUP BY life
    ), supposed AS (
        -- Running since before the first sale that we read: its last charge is a period ago.
        SELECT life, false AS is_trial, period_days, price_currency AS currency,
               greatest(accession_at::DATE, {due_sql("next_charge_at::DATE", "-")}) AS paid_day,
               next_charge_at::DATE AS next_day, price_value AS amount
        FROM lives ANTI JOIN (SELECT code FROM sold WHERE was_paid) ON code = subscriber_code
        WHERE (status = 'ACTIVE' OR starts_with(status, 'CANCELLED'))
          AND NOT coalesce(is_trial AND {_IN_TRIAL.format("next_charge_at::DATE")}, false)
          AND next_charge_at IS NOT NULL
          AND period_days IS NOT NULL AND accession_at < next_charge_at
    ), trials AS (
        SELECT life, true AS is_trial, price_currency AS currency, accession_at AS paid_at,
               accession_at::DATE AS paid_day,
               coalesce(trial_ends_at::DATE, first_paid_day, next_charge_at::DATE) AS next_day
        FROM lives LEFT JOIN firsts USING (life)
        WHERE is_trial AND accession_at IS NOT NULL AND {_IN_TRIAL.format("next_day")}
    ), valued AS (
        SELECT *, {monthly_sql("amount")} AS mrr_gross, {monthly_sql("own")} AS mrr_net,
               CASE WHEN {_IN_HOME} THEN mrr_gross
                    WHEN gross > 0 THEN {monthly_sql("amount", "value", "gross")}
                    END AS mrr_gross_home,
               {monthly_sql("net_value")} AS mrr_net_home,
               CASE WHEN paid_at = last_paid_at AND status = 'ACTIVE' AND seen_at >= paid_at
                         AND next_charge_at::DATE > paid_day THEN next_charge_at::DATE END AS listed
        FROM dated JOIN firsts USING (life)
        JOIN (SELECT life, status, next_charge_at, seen_at FROM lives) USING (life)
    ), unnumbered AS (
        SELECT life, transaction, is_trial, number, paid_at, paid_day, refunded_at, reversal_kind,
               period_days, currency, amount, mrr_gross, mrr_net, mrr_gross_home, mrr_net_home,
               coalesce(number = max_charge_cycles, false) AS is_last,
               coalesce(listed, CASE WHEN next_day > paid_day THEN next_day END,
                        {due_sql("paid_day")}) AS due_day
        FROM valued
        UNION ALL BY NAME
        SELECT life, is_trial, paid_day::TIMESTAMPTZ AS paid_at, paid_day, period_days, currency,
               amount, {monthly_sql("amount")} AS mrr_gross,
               CASE WHEN {_IN_HOME} THEN mrr_gross END AS mrr_gross_home,
               false AS is_last, next_day AS due_day
        FROM supposed
        UNION ALL BY NAME
        SELECT life, is_trial, paid_at, paid_day, currency, 0.00 AS mrr_gross, 0.00 AS mrr_net,
               0.00 AS mrr_gross_home, 0.00 AS mrr_net_home, false AS is_last,
               next_day AS due_day
        FROM trials WHERE next_day > paid_day
    )
    SELECT row_number() OVER (ORDER BY life, paid_at, transaction)::INTEGER AS charge, *
    FROM unnumbered
"""
