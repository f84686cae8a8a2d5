"""What every source says of its people: one SELECT per source, columns named alike.

A contact record is one raw record of a person. The API's buyer, the event's buyer and the exported
one of a transaction are the same record: the API wins, events fill what it leaves out, and an
export comes last.
"""

from __future__ import annotations

import polars as pl

from crm_assets.silver.sale_rules import NEWEST, NEWEST_LINE
from crm_resources.warehouse import Transaction


def raw_contacts(tx: Transaction) -> pl.DataFrame:
    """What every source says of its people; a column that a source does not have is empty."""
    return pl.concat([tx.read(sql) for sql in _SOURCES], how="diagonal")


# Who bought, by the events of the sale; of an address the newest whole one.
_TOLD_BUYERS = """
    SELECT transaction, arg_max(email, newest) AS email, arg_max(name, newest) AS name,
           arg_max(phone, newest) AS phone, arg_max(document, newest) AS document,
           arg_max({'country': country, 'state': state, 'city': city}, newest)
               FILTER (coalesce(country, state, city) IS NOT NULL) AS address,
           arg_max(checkout_country, newest) AS checkout_country,
           bool_or(currency = 'BRL') AS is_in_reais,
           coalesce(min(order_at), min(occurred_at)) AS ordered_at
    FROM (
        SELECT transaction, email, name, phone, document, country, state, city, checkout_country,
               currency, order_at, occurred_at, (occurred_at, event_id) AS newest
        FROM silver.events WHERE transaction IS NOT NULL
        UNION ALL BY NAME
        SELECT transaction, buyer_email AS email, buyer_name AS name, buyer_phone AS phone,
               buyer_document AS document, country, state, city, price_currency AS currency,
               ordered_at AS order_at, extracted_at AS occurred_at,
               ('-infinity'::TIMESTAMPTZ, slice || line) AS newest
        FROM bronze.hotmart_csv
        WHERE transaction IN (FROM silver.events SELECT transaction)
    ) GROUP BY transaction
"""
_HOTMART = f"""
    WITH sales AS (
        SELECT * REPLACE (nullif(trim(buyer_ucode), '') AS buyer_ucode)
        FROM bronze.hotmart_transactions QUALIFY {NEWEST} = 1
    ), buyers AS (
        SELECT * REPLACE (nullif(trim(ucode), '') AS ucode) FROM bronze.hotmart_customers
        QUALIFY row_number() OVER (
            PARTITION BY transaction ORDER BY extracted_at DESC, slice DESC, raw::VARCHAR
        ) = 1
    ), told AS (
        {_TOLD_BUYERS}
    )
    SELECT 'hotmart:' || transaction AS record_id,
           'hotmart' AS source,
           coalesce(sales.buyer_ucode, buyers.ucode, transaction) AS source_id,
           coalesce(sales.buyer_ucode, buyers.ucode) AS source_key,
           coalesce(
               sales.ordered_at, sales.extracted_at, buyers.extracted_at, told.ordered_at
           ) AS observed_at,
           coalesce(nullif(trim(sales.buyer_email), ''), buyers.email, told.email) AS email_text,
           coalesce(nullif(trim(buyers.cellphone), ''), told.phone) AS phone_text,
           coalesce(nullif(trim(buyers.phone), ''), told.phone) AS second_phone_text,
           coalesce(nullif(trim(buyers.name), ''), sales.buyer_name, told.name) AS name_text,
           coalesce(buyers.document, told.document) AS document_text,
           coalesce(
               nullif(trim(buyers.country), ''), nullif(trim(buyers.state), ''),
               nullif(trim(buyers.city), '')
           ) IS NOT NULL AS has_place,
           CASE WHEN has_place THEN nullif(trim(buyers.country), '') ELSE address.country END
               AS country_text,
           CASE WHEN has_place THEN nullif(trim(buyers.state), '') ELSE address.state END
               AS state_text,
           CASE WHEN has_place THEN nullif(trim(buyers.city), '') ELSE address.city END AS city,
           told.checkout_country AS checkout_text,
           coalesce(sales.price_currency = 'BRL', false)
               OR coalesce(lower(buyers.locale) LIKE 'pt_br%', false)
               OR coalesce(is_in_reais, false) AS is_brazilian,
           coalesce(sales.buyer_ucode, buyers.ucode) AS hotmart_ucode,
           coalesce(sales.ordered_at, told.ordered_at) AS first_seen_at,
           coalesce(sales.commission_as = 'AFFILIATE', false) AS is_affiliate
    FROM sales FULL JOIN buyers USING (transaction) FULL JOIN told USING (transaction)
"""

# Buyers of whom neither the API nor an event knows, from exports of Hotmart's panel.
_HOTMART_CSV = f"""
    SELECT 'hotmart:' || transaction AS record_id,
           'hotmart' AS source,
           transaction AS source_id,
           coalesce(ordered_at, extracted_at) AS observed_at,
           buyer_email AS email_text,
           buyer_phone AS phone_text,
           buyer_name AS name_text,
           buyer_document AS document_text,
           country AS country_text,
           state AS state_text,
           city,
           coalesce(price_currency = 'BRL', false) AS is_brazilian,
           ordered_at AS first_seen_at,
           coalesce(commission_as = 'AFFILIATE', false) AS is_affiliate
    FROM bronze.hotmart_csv
    WHERE transaction NOT IN (
        SELECT transaction FROM bronze.hotmart_transactions
        UNION ALL SELECT transaction FROM bronze.hotmart_customers
        UNION ALL SELECT transaction FROM silver.events WHERE transaction IS NOT NULL
    )
    QUALIFY {NEWEST_LINE} = 1
"""


# People of whom an event speaks beside any sale: abandoned carts, cancellations, members' areas.
_EVENTS = """
    SELECT record_id,
           'hotmart' AS source,
           substr(record_id, 9) AS source_id,
           max(occurred_at) AS observed_at,
           arg_max(email, newest) AS email_text,
           arg_max(phone, newest) AS phone_text,
           arg_max(name, newest) AS name_text,
           arg_max(checkout_country, newest) AS checkout_text,
           bool_or(coalesce(checkout_country = 'BR', false)) AS is_brazilian,
           min(occurred_at) AS first_seen_at,
           false AS is_affiliate
    FROM (
        SELECT *, (occurred_at, event_id) AS newest FROM silver.events
        WHERE transaction IS NULL AND record_id IS NOT NULL
    ) GROUP BY record_id
"""

# Subscribers whose first charge we never read, because it is older than what we read.
_SUBSCRIBERS = """
    SELECT 'hotmart:assinatura:' || subscription_id AS record_id,
           'hotmart' AS source,
           coalesce(nullif(trim(subscriber_ucode), ''), 'assinatura:' || subscription_id)
               AS source_id,
           nullif(trim(subscriber_ucode), '') AS source_key,
           coalesce(accession_at, extracted_at) AS observed_at,
           subscriber_email AS email_text,
           subscriber_name AS name_text,
           coalesce(price_currency = 'BRL', false) AS is_brazilian,
           nullif(trim(subscriber_ucode), '') AS hotmart_ucode,
           accession_at AS first_seen_at,
           false AS is_affiliate
    FROM bronze.hotmart_subscriptions
    WHERE subscriber_email IS NOT NULL AND NOT coalesce(
        transaction IN (
            SELECT transaction FROM bronze.hotmart_transactions
            UNION ALL SELECT transaction FROM bronze.hotmart_customers
            UNION ALL SELECT transaction FROM bronze.hotmart_csv
            UNION ALL SELECT transaction FROM silver.events WHERE transaction IS NOT NULL
        ), false
    )
"""

# Lines of one file share its time; a sheet is appended to, so that a later line is the newer one.
_MANYCHAT = """
    SELECT 'manychat:' || slice || ':' || line AS record_id,
           'manychat' AS source,
           coalesce(manychat_id, slice || ':' || line) AS source_id,
           manychat_id AS source_key,
           extracted_at + to_microseconds(line) AS observed_at,
           email AS email_text,
           whatsapp_phone AS phone_text,
           phone AS second_phone_text,
           coalesce(full_name, nullif(trim(concat_ws(' ', first_name, last_name)), ''))
               AS name_text,
           ig_username AS instagram_text,
           coalesce(lower(replace(locale, '-', '_')) LIKE 'pt_br%', false) AS is_brazilian,
           manychat_id,
           subscribed_at AS first_seen_at,
           last_interaction_at,
           remarketing_at,
           optin_whatsapp,
           optin_sms,
           optin_email,
           false AS is_affiliate
    FROM bronze.manychat_contacts
"""

_SOURCES = (_HOTMART, _HOTMART_CSV, _EVENTS, _SUBSCRIBERS, _MANYCHAT)
