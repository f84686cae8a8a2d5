"""What a sale means: status classes, amounts, dates and eligibility (rules 1.5 to 1.11)."""

from __future__ import annotations

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

INSTALMENT_MODES = ("SMART_INSTALLMENT", "SMART_RECOVERY", "MULTIPLE_PAYMENTS")
"""Payment modes whose later charges belong to the order already counted."""


def sale_records_sql(*, include_affiliates: bool) -> str:
    """SELECT that turns `bronze.hotmart_transactions` into `silver.sale_records`."""
    classes = " ".join(f"WHEN '{status}' THEN '{name}'" for status, name in STATUS_CLASS.items())
    once_paid = ", ".join(f"'{name}'" for name in ONCE_PAID)
    instalments = ", ".join(f"'{mode}'" for mode in INSTALMENT_MODES)
    own = "true" if include_affiliates else "commission_as IS DISTINCT FROM 'AFFILIATE'"
    return f"""
        WITH latest AS (
            SELECT * FROM bronze.hotmart_transactions
            QUALIFY row_number() OVER (
                PARTITION BY transaction ORDER BY extracted_at DESC, slice DESC
            ) = 1
        ), reversals AS (
            SELECT transaction, max(seen_at) AS seen_at
            FROM bronze.hotmart_status_changes
            WHERE upper(trim(to_status)) IN ('REFUNDED', 'CHARGEBACK')
            GROUP BY transaction
        ), classified AS (
            SELECT *,
                   CASE upper(trim(status)) {classes} ELSE 'unknown' END AS status_class,
                   CASE WHEN upper(trim(price_currency)) SIMILAR TO '[A-Z]{{3}}'
                        THEN upper(trim(price_currency)) END AS currency,
                   upper(trim(fee_currency)) = currency AS fee_is_in_currency,
                   {own} AS is_own,
                   coalesce(recurrence_number, 1) > 1 AND (
                       payment_mode IN ({instalments})
                       OR (coalesce(is_subscription, false)
                           AND coalesce(payment_mode, 'SUBSCRIPTION') = 'SUBSCRIPTION')
                   ) AS is_later_charge
            FROM latest
        ), priced AS (
            SELECT *,
                   status_class IN ({once_paid}) AS was_paid,
                   CASE WHEN fee_is_in_currency THEN fee_base END AS base,
                   CASE WHEN fee_is_in_currency THEN fee_total END AS fees
            FROM classified
        )
        SELECT 'hotmart:' || transaction AS sale_id,
               'hotmart' AS source,
               'hotmart:' || transaction AS record_id,
               regexp_replace(transaction, '([0-9])C[0-9]+$', '\\1') AS order_id,
               status,
               status_class,
               product_id,
               product_name,
               ordered_at,
               CASE WHEN was_paid THEN coalesce(approved_at, ordered_at) END AS paid_at,
               was_paid AND approved_at IS NULL AS paid_at_assumed,
               CASE WHEN status_class = 'reversed' THEN reversals.seen_at END AS refunded_at,
               currency,
               price_value AS gross,
               base,
               fees,
               (base - fees)::DECIMAL(18, 2) AS net,
               base IS NOT NULL AND fees IS NOT NULL AS net_estimated,
               status_class = 'paid' AS is_paid,
               was_paid,
               status_class = 'reversed' AS is_refunded,
               CASE upper(trim(status)) WHEN 'REFUNDED' THEN 'refund'
                                        WHEN 'CHARGEBACK' THEN 'chargeback' END AS reversal_kind,
               status_class = 'disputed' AS is_disputed,
               is_subscription,
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
        FROM priced LEFT JOIN reversals USING (transaction)
    """
