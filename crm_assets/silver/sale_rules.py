"""What a sale means: status classes, amounts, dates and eligibility (rules 1.5 to 1.11)."""

from __future__ import annotations

from crm_assets.silver.event_rules import TOLD_SALES, sale_states_sql

STATUS_CLASS = {
    "APPROVED": "paid",
    "COMPLETE": "paid",
    "STARTED": "pending",
    "PRINTED_BILLET": "pending",
    "WAITING_PAYMENT": "pending",
    "UNDER_ANALISYS": "pending",
    "UNDER_ANALYSIS": "pending",
    "DLOCAL_ANALYSIS": "pending",
    "PROCESSING_TRANSACTION": "pending",
    "PRE_ORDER": "pending",
    "OVERDUE": "late",
    "DELAYED": "late",
    "CANCELLED": "failed",
    "EXPIRED": "failed",
    "NO_FUNDS": "failed",
    "BLOCKED": "failed",
    "REFUNDED": "reversed",
    "CHARGEBACK": "reversed",
    "PROTESTED": "disputed",
    "PARTIALLY_REFUNDED": "partial",
}
"""Class of each status; any other is `unknown`: kept, and counted as none of these."""

ONCE_PAID = ("paid", "reversed", "disputed", "partial")
"""Classes that only a paid sale can reach."""

NEWEST = "row_number() OVER (PARTITION BY transaction ORDER BY extracted_at DESC, slice DESC)"
NEWEST_LINE = NEWEST.replace("slice DESC", "slice DESC, line DESC")
"""What is 1 for the latest reading of a transaction: of an endpoint, of exported files."""

INSTALMENT_MODES = ("SMART_INSTALLMENT", "SMART_RECOVERY", "MULTIPLE_PAYMENTS")
"""Payment modes whose later charges belong to the order already counted."""


API_COLUMNS = (
    "transaction", "status", "ordered_at", "approved_at", "product_name",
    "price_value", "price_currency", "installments", "recurrence_number",
    "commission_as", "offer_code", "extracted_at", "slice",
)  # fmt: skip
"""What an export of Hotmart's panel says of a sale as well as the API does."""

TOLD_COLUMNS = (
    "ordered_at", "approved_at", "product_code", "product_name", "offer_code", "payment_type",
    "installments", "recurrence_number",
)  # fmt: skip
"""What events say of a sale as well."""


def sale_records_sql(*, currency: str, include_affiliates: bool) -> str:
    """SELECT that turns the vendor's bronze tables and `silver.events` into `silver.sale_records`.

    What the API says of a sale stands, and events fill what it leaves out; a sale that only events
    know is made from them. Exports of the panel come last. The state is the newest word of either.

    Args:
        currency: the tenant's, into which foreign amounts are converted (rules 1.8).
        include_affiliates: sales of other producers count as our own (rules 1.11).
    """
    classes = " ".join(f"WHEN '{status}' THEN '{name}'" for status, name in STATUS_CLASS.items())
    once_paid = ", ".join(f"'{name}'" for name in ONCE_PAID)
    instalments = ", ".join(f"'{mode}'" for mode in INSTALMENT_MODES)
    own = "true" if include_affiliates else "commission_as IS DISTINCT FROM 'AFFILIATE'"
    merged = ", ".join(f"{_better(column)} AS {column}" for column in TOLD_COLUMNS)
    return f"""
        WITH from_api AS (
            SELECT {", ".join(API_COLUMNS)},
                   product_id AS product_code, payment_type, is_subscription, payment_mode,
                   fee_total, fee_base, fee_currency
            FROM bronze.hotmart_transactions
            QUALIFY {NEWEST} = 1
        ), from_exports AS (
            SELECT {", ".join(API_COLUMNS)},
                   coalesce(product_id, product_name) AS product_code,
                   net_value AS export_net, upper(trim(net_currency)) AS export_currency
            FROM bronze.hotmart_csv
            WHERE transaction NOT IN (SELECT transaction FROM from_api)
            QUALIFY {NEWEST_LINE} = 1
        ), told AS (
            FROM ({TOLD_SALES}) JOIN ({sale_states_sql("from_api")}) USING (transaction)
        ), known AS (
            SELECT *, true AS is_api FROM from_api
            UNION ALL BY NAME SELECT *, false AS is_api FROM from_exports
        ), latest AS (
            SELECT known.* EXCLUDE (
                       transaction, status, price_value, price_currency, {", ".join(TOLD_COLUMNS)}
                   ),
                   coalesce(known.transaction, told.transaction) AS transaction,
                   coalesce(told.status, known.status) AS status,
                   {merged},
                   told.price_value IS NOT NULL
                       AND (NOT coalesce(is_api, false) OR known.price_value IS NULL)
                       AS is_event_priced,
                   CASE WHEN is_event_priced THEN told.price_value ELSE known.price_value END
                       AS price_value,
                   CASE WHEN is_event_priced THEN told.price_currency
                        ELSE known.price_currency END AS price_currency,
                   told.subscriber_code, told.parent_transaction, told.offer_value,
                   told.net_value AS event_net, told.price_currency AS event_currency,
                   told.reversed_at
            FROM known FULL JOIN told ON told.transaction = known.transaction
        ), prices AS (
            SELECT transaction, base_value, upper(trim(base_currency)) AS base_currency,
                   conversion_rate
            FROM bronze.hotmart_price_details QUALIFY {NEWEST} = 1
        ), commissions AS (
            SELECT transaction, value, upper(trim(currency)) AS currency,
                   upper(trim(source)) AS role,
                   role = coalesce(upper(trim(commission_as)), 'PRODUCER') AS is_ours
            FROM (
                SELECT * FROM bronze.hotmart_commissions
                QUALIFY rank() OVER (
                    PARTITION BY transaction ORDER BY extracted_at DESC, slice DESC
                ) = 1
            ) JOIN latest USING (transaction)
            WHERE value IS NOT NULL
        ), shares AS (
            SELECT transaction,
                   min(currency) AS share_currency,
                   CASE WHEN count(*) FILTER (WHERE is_ours) = 1
                        THEN min(value) FILTER (WHERE is_ours) END AS our_share,
                   (sum(value) FILTER (WHERE role = 'AFFILIATE'))::DECIMAL(18, 2)
                       AS affiliate_share,
                   (sum(value) FILTER (WHERE role = 'COPRODUCER'))::DECIMAL(18, 2)
                       AS coproducer_share
            FROM commissions GROUP BY transaction
            HAVING min(currency) = max(currency) AND count(currency) = count(*)
        ), charges AS (
            SELECT transaction, max(refunded_at) AS told_at,
                   arg_max(subscriber_code, extracted_at) AS charged_code
            FROM (
                SELECT transaction, refunded_at, subscriber_code, extracted_at
                FROM bronze.hotmart_subscription_transactions
                UNION ALL BY NAME
                SELECT transaction, subscriber_code, extracted_at
                FROM bronze.hotmart_subscriptions WHERE transaction IS NOT NULL
            ) GROUP BY transaction
        ), reversals AS (
            SELECT transaction, max(seen_at) AS seen_at
            FROM bronze.hotmart_status_changes
            WHERE upper(trim(to_status)) IN ('REFUNDED', 'CHARGEBACK')
            GROUP BY transaction
        ), classified AS (
            SELECT *,
                   subscriber_code IS NOT NULL AND is_api IS NULL AS is_told_subscription,
                   CASE upper(trim(status)) {classes} ELSE 'unknown' END AS status_class,
                   CASE WHEN upper(trim(price_currency)) SIMILAR TO '[A-Z]{{3}}'
                        THEN upper(trim(price_currency)) END AS currency,
                   upper(trim(fee_currency)) = currency AS fee_is_in_currency,
                   {own} AS is_own,
                   coalesce(recurrence_number, 1) > 1 AND (
                       coalesce(payment_mode IN ({instalments}), false)
                       OR (coalesce(is_subscription, is_told_subscription, false)
                           AND coalesce(payment_mode, 'SUBSCRIPTION') = 'SUBSCRIPTION')
                   ) AS is_later_charge
            FROM latest
        ), priced AS (
            SELECT *,
                   status_class IN ({once_paid}) AS was_paid,
                   coalesce(
                       CASE WHEN base_currency = currency THEN base_value END,
                       CASE WHEN event_currency = currency THEN offer_value END,
                       CASE WHEN fee_is_in_currency THEN fee_base END
                   ) AS base,
                   CASE WHEN fee_is_in_currency THEN fee_total END AS fees,
                   CASE WHEN event_currency = currency
                             AND coalesce(upper(trim(commission_as)), 'PRODUCER') = 'PRODUCER'
                        THEN event_net END AS event_share,
                   coalesce(our_share, event_share, export_net) AS net_told,
                   coalesce(net_told, (base - fees)::DECIMAL(18, 2)) AS net,
                   CASE WHEN our_share IS NOT NULL THEN share_currency
                        WHEN event_share IS NOT NULL THEN currency
                        WHEN export_net IS NOT NULL THEN export_currency
                        WHEN net IS NOT NULL THEN currency END AS net_currency,
                   CASE WHEN currency = '{currency}' THEN 1
                        WHEN currency IS NOT NULL AND conversion_rate > 0 AND conversion_rate <> 1
                        THEN conversion_rate END AS rate
            FROM classified
            LEFT JOIN prices USING (transaction)
            LEFT JOIN shares USING (transaction)
            LEFT JOIN charges USING (transaction)
            LEFT JOIN reversals USING (transaction)
        )
        SELECT 'hotmart:' || transaction AS sale_id,
               'hotmart' AS source,
               'hotmart:' || transaction AS record_id,
               coalesce(
                   parent_transaction, regexp_replace(transaction, '([0-9])C[0-9]+$', '\\1')
               ) AS order_id,
               status,
               status_class,
               product_code AS product_id,
               product_name,
               offer_code,
               ordered_at,
               CASE WHEN was_paid THEN coalesce(approved_at, ordered_at) END AS paid_at,
               was_paid AND approved_at IS NULL AS paid_at_assumed,
               CASE WHEN status_class = 'reversed' THEN coalesce(reversed_at, told_at, seen_at) END
                   AS refunded_at,
               CASE WHEN refunded_at IS NULL THEN NULL
                    WHEN coalesce(reversed_at, told_at) IS NULL THEN 'observado'
                    ELSE 'informado' END AS refunded_at_source,
               currency,
               price_value AS gross,
               base,
               fees,
               net,
               net_currency,
               net IS NOT NULL AND net_told IS NULL AS net_estimated,
               affiliate_share,
               coproducer_share,
               {_converted("price_value")} AS value,
               CASE WHEN net_currency = '{currency}' THEN net
                    WHEN net_currency = currency THEN {_converted("net")} END AS net_value,
               status_class = 'paid' AS is_paid,
               was_paid,
               status_class = 'reversed' AS is_refunded,
               CASE upper(trim(status)) WHEN 'REFUNDED' THEN 'refund'
                                        WHEN 'CHARGEBACK' THEN 'chargeback' END AS reversal_kind,
               status_class = 'disputed' AS is_disputed,
               coalesce(is_subscription, is_told_subscription OR NULL) AS is_subscription,
               coalesce(charged_code, subscriber_code) AS subscriber_code,
               recurrence_number,
               NOT is_later_charge AS is_new_order,
               payment_type,
               payment_mode,
               installments,
               commission_as,
               is_own,
               was_paid AND is_own AND coalesce(price_value, 1) > 0 AS is_purchase,
               status_class = 'paid' AND is_own AND currency IS NOT NULL
                   AND coalesce(price_value, 0) > 0 AS is_eligible
        FROM priced
    """


def _better(column: str) -> str:
    """What the API says, else events, else an export."""
    return (
        f"CASE WHEN known.is_api THEN coalesce(known.{column}, told.{column}) "
        f"ELSE coalesce(told.{column}, known.{column}) END"
    )


def _converted(amount: str) -> str:
    """An amount in the tenant's currency; exact when it is in it already."""
    exact = "DECIMAL(18, 2)"
    return f"CASE WHEN rate = 1 THEN {amount} ELSE TRY_CAST({amount} / rate AS {exact}) END"
