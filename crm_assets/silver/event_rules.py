"""What an event means: a sale's status, and the state of a sale that API and events tell together.

The name of an event decides, never the status word inside (seeds S3.137). States are merged by the
time at which they held, so that order of arrival, repetition and late copies change nothing.
"""

from __future__ import annotations

SALE_STATUS = {
    "PURCHASE_APPROVED": "APPROVED",
    "PURCHASE_COMPLETE": "COMPLETE",
    "PURCHASE_CANCELED": "CANCELLED",
    "PURCHASE_REFUNDED": "REFUNDED",
    "PURCHASE_CHARGEBACK": "CHARGEBACK",
    "PURCHASE_EXPIRED": "EXPIRED",
    "PURCHASE_DELAYED": "OVERDUE",
    "PURCHASE_PROTEST": "PROTESTED",
    "PURCHASE_BILLET_PRINTED": "PRINTED_BILLET",
}
"""The API's status that each purchase event means; the others say nothing of a sale's state."""

REVERSALS = ("REFUNDED", "CHARGEBACK")
TERMINAL = (*REVERSALS, "CANCELLED", "EXPIRED")
"""States that only a later positive word ends."""

PARTIAL = "PARTIALLY_REFUNDED"
POSITIVE = ("APPROVED", "COMPLETE", PARTIAL)
"""Words that the money is, or is again, with us; what is left of it after a partial refund."""

API_LAG = "INTERVAL 24 HOURS"
"""So long may the API go on saying what an event has ended: the age that Hotmart admits for its
slower answers (reference/hotmart.md 5.2, 5.4)."""

_NOT_TOLD = ("inbox_id", "event", "version", "raw", "slice", "extracted_at", "run_id")


def events_sql() -> str:
    """SELECT that turns `bronze.hotmart_events` into `silver.events`.

    An event of a sale speaks of the sale's buyer, whose contact record is the transaction's. Others
    speak of whoever has the e-mail, else the phone: the first of them to come makes the record.
    """
    statuses = " ".join(f"WHEN '{kind}' THEN '{status}'" for kind, status in SALE_STATUS.items())
    return f"""
        WITH understood AS (
            FROM bronze.hotmart_events WHERE kind IS NOT NULL
        ), spoken_of AS (
            SELECT event_id, first_value(event_id) OVER (
                       PARTITION BY coalesce(lower(trim(email)), phone) ORDER BY inbox_id
                   ) AS first_event
            FROM understood
            WHERE transaction IS NULL AND coalesce(email, phone) IS NOT NULL
        )
        SELECT understood.* EXCLUDE ({", ".join(_NOT_TOLD)}),
               coalesce('hotmart:' || transaction, 'hotmart:evento:' || first_event) AS record_id,
               CASE kind {statuses} END AS sale_status
        FROM understood LEFT JOIN spoken_of USING (event_id)
    """


TOLD_SALES = """
    SELECT transaction,
           arg_max(product_id, newest) AS product_code,
           arg_max(product_name, newest) AS product_name,
           arg_max(offer_code, newest) AS offer_code,
           arg_max(subscriber_code, newest) AS subscriber_code,
           arg_max(parent_transaction, newest) AS parent_transaction,
           arg_max(payment_type, newest) AS payment_type,
           arg_max(installments, newest) AS installments,
           arg_max(recurrence_number, newest) AS recurrence_number,
           arg_max(currency, newest) AS price_currency,
           arg_max(coalesce(full_price_value, price_value), newest) AS price_value,
           arg_max(price_value, newest) AS offer_value,
           arg_max(net_value, newest) AS net_value,
           min(order_at) AS ordered_at,
           coalesce(min(approved_at) FILTER (sale_status = 'APPROVED'), min(approved_at))
               AS approved_at
    FROM (
        SELECT *, (occurred_at, event_id) AS newest FROM silver.events
        WHERE transaction IS NOT NULL AND sale_status IS NOT NULL
    ) GROUP BY transaction
"""
"""What events say of each sale; a completion never moves the approval (rules 1.5, 1.7, 1.9)."""


def sale_states_sql(api: str) -> str:
    """SELECT of `transaction, status, reversed_at` for every sale that an event speaks of.

    The newest word counts, but a terminal one stays until a positive one is newer; of terminal
    words a reversal weighs more than a failed payment. The API may lag behind its events, so that
    its word is of `API_LAG` before it was read, or of the approval that it tells when that is
    later; an end, which nothing but a newer event undoes, it tells as of when it was read.
    `reversed_at` is when the first event told of the reversal in force (rules 1.9).

    Args:
        api: table with the API's `transaction, status, approved_at, extracted_at`.
    """
    reversals, terminal, positive = map(str, (REVERSALS, TERMINAL, POSITIVE))
    ends = str((*TERMINAL, PARTIAL))
    return f"""
        WITH words AS (
            SELECT transaction, sale_status AS status, sale_status AS word, occurred_at,
                   true AS is_event
            FROM silver.events WHERE transaction IS NOT NULL AND sale_status IS NOT NULL
            UNION ALL
            SELECT transaction, status, upper(trim(status)) AS word,
                   CASE WHEN word IN {ends} THEN extracted_at
                        ELSE least(greatest(extracted_at - {API_LAG}, approved_at), extracted_at)
                        END AS occurred_at,
                   false
            FROM {api}
            WHERE status IS NOT NULL AND transaction IN (
                SELECT transaction FROM silver.events WHERE sale_status IS NOT NULL
            )
        ), weighed AS (
            SELECT *,
                   word IN {positive} AS is_positive,
                   word IN {terminal} AND occurred_at >= coalesce(
                       max(occurred_at) FILTER (word IN {positive})
                           OVER (PARTITION BY transaction),
                       '-infinity'::TIMESTAMPTZ
                   ) AS is_final
            FROM words
        ), ranked AS (
            SELECT *, first_value(word) OVER ranking AS in_force,
                   row_number() OVER ranking AS place
            FROM weighed
            WINDOW ranking AS (
                PARTITION BY transaction
                ORDER BY is_final DESC, is_final AND word IN {reversals} DESC, occurred_at DESC,
                         is_event DESC, is_positive DESC, word DESC, status
            )
        )
        SELECT transaction,
               any_value(status) FILTER (place = 1) AS status,
               min(occurred_at) FILTER (
                   is_event AND is_final AND word IN {reversals} AND word = in_force
               ) AS reversed_at
        FROM ranked GROUP BY transaction
    """
