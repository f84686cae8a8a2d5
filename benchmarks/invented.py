"""Invented bronze tables of any size, made by SQL: the same rows for the same size.

Two of five transactions are by a new buyer, the others by somebody known. Of the contacts, 30 % are
buyers, half of them known by e-mail and half by phone only. 5 % of the people live abroad, and 2 %
have an e-mail and a phone that say nothing. E-mails end in example.com, one in four of them written
in capitals as people do.
"""

from __future__ import annotations

from crm_resources.warehouse import Transaction, Warehouse

BUYERS_PER_TRANSACTION = 0.4
OVERLAP = 0.3


def fill(warehouse: Warehouse, transactions: int, contacts: int) -> None:
    """Fill the bronze tables of an empty warehouse.

    Args:
        warehouse: the tenant's.
        transactions: rows of `bronze.hotmart_transactions`.
        contacts: rows of `bronze.manychat_contacts`.
    """
    buyers = max(int(transactions * BUYERS_PER_TRANSACTION), 1)
    with warehouse.write("benchmark") as tx:
        tx.execute(_PEOPLE, {"people": buyers + contacts})
        tx.execute(_SALES, {"transactions": transactions, "buyers": buyers})
        tx.execute(_CONTACTS, {"contacts": contacts, "buyers": buyers, "overlap": OVERLAP})
        for table, query in _TABLES.items():
            _insert(tx, table, query)


def _insert(tx: Transaction, table: str, query: str) -> None:
    tx.execute(f"""
        INSERT INTO {table} BY NAME
        SELECT *, to_json(made) AS raw, '2026-03-15T12:00:00Z'::TIMESTAMPTZ AS extracted_at,
               'benchmark' AS run_id
        FROM ({query}) AS made
    """)


_FIRST = "['Ana', 'Bia', 'Caio', 'Davi', 'Elisa', 'Ivo', 'Júlia', 'Lia', 'Rui', 'Téo']"
_LAST = "['Alves', 'Borges', 'Campos', 'Duarte', 'Farias', 'Leme', 'Nunes', 'Prado', 'Reis']"
_AREAS = "['11', '19', '21', '31', '41', '51', '55', '61', '71', '81', '85']"


def _weighted(first: int) -> str:
    """Sum of the nine digits of `root`, weighted from `first` down, as a CPF's check digits ask."""
    digits = (f"root // {10 ** (8 - place)} % 10 * {first - place}" for place in range(9))
    return f"({' + '.join(digits)})"


_PEOPLE = f"""
    CREATE TEMP TABLE people AS
    WITH drawn AS (
        SELECT id, (hash(id, 1) >> 1)::BIGINT AS h, (hash(id, 2) >> 1)::BIGINT AS g,
               100000000 + (hash(id, 3) % 800000000)::BIGINT AS root
        FROM range($people) AS r(id)
    ), begun AS (
        SELECT *, {_weighted(10)} * 10 % 11 % 10 AS first_digit FROM drawn
    ), numbered AS (
        SELECT *, ({_weighted(11)} + first_digit * 2) * 10 % 11 % 10 AS second_digit FROM begun
    )
    SELECT id, h % 100 < 2 AS is_junk, h % 100 BETWEEN 2 AND 6 AS is_abroad,
           ({_FIRST})[1 + g % 10] AS first_name, ({_LAST})[1 + g // 10 % 9] AS last_name,
           CASE WHEN is_junk THEN 'nao tem'
                WHEN g // 100 % 4 = 0 THEN first_name || '.' || last_name || id || '@Example.com'
                ELSE lower(strip_accents(first_name || last_name)) || id || '@example.com'
                END AS email,
           CASE WHEN is_junk THEN '0000'
                WHEN is_abroad AND g % 2 = 0 THEN '+3519' || (10000000 + id % 90000000)
                WHEN is_abroad THEN '+5255' || (10000000 + id % 90000000)
                ELSE '55' || ({_AREAS})[1 + g // 1000 % 11] || '9' || (60000000 + id % 40000000)
                END AS phone,
           root || first_digit || second_digit AS cpf, md5('person ' || id) AS ucode
    FROM numbered
"""
_SALES = """
    CREATE TEMP TABLE sold AS
    SELECT 'HP' || lpad(t::VARCHAR, 10, '0') AS transaction, people.*,
           (hash(t, 7) >> 1)::BIGINT AS h, (hash(t, 8) >> 1)::BIGINT AS k,
           '2023-04-01T03:00:00Z'::TIMESTAMPTZ + to_seconds(h % 93000000) AS ordered_at,
           strftime(date_trunc('month', ordered_at), '%Y-%m-%d') AS slice,
           [4100, 4101, 4201, 4202, 4300][1 + k % 5]::VARCHAR AS product_id,
           ['Gestão de ILPI', 'Guia de ILPI', 'Estética', 'Clube', 'Outro'][1 + k % 5]
               AS product_name,
           k % 5 = 3 AS is_subscription,
           CASE WHEN is_abroad THEN 'EUR' ELSE 'BRL' END AS currency,
           CASE WHEN is_abroad THEN 0.16 ELSE 1 END AS rate,
           (47 + k // 10 % 1450)::DECIMAL(18, 2) AS listed,
           CASE WHEN h % 1000 < 720 THEN 'COMPLETE' WHEN h % 1000 < 800 THEN 'APPROVED'
                WHEN h % 1000 < 880 THEN 'EXPIRED' WHEN h % 1000 < 930 THEN 'CANCELLED'
                WHEN h % 1000 < 970 THEN 'REFUNDED' WHEN h % 1000 < 980 THEN 'CHARGEBACK'
                WHEN h % 1000 < 985 THEN 'PROTESTED' ELSE 'WAITING_PAYMENT' END AS status,
           status IN ('COMPLETE', 'APPROVED', 'REFUNDED', 'CHARGEBACK', 'PROTESTED') AS was_paid
    FROM range($transactions) AS r(t)
    JOIN people ON people.id = CASE WHEN t < $buyers THEN t ELSE (hash(t, 9) % $buyers)::BIGINT END
"""
_CONTACTS = """
    CREATE TEMP TABLE known AS
    SELECT drawn.*, people.*
    FROM (
        SELECT c, c < $contacts * $overlap AS is_buyer, c % 2 = 0 AS by_email
        FROM range($contacts) AS r(c)
    ) AS drawn
    JOIN people ON people.id = CASE WHEN is_buyer THEN c % $buyers ELSE $buyers + c END
"""
_TABLES = {
    "bronze.hotmart_transactions": """
        SELECT transaction, status, ordered_at,
               CASE WHEN was_paid THEN ordered_at + INTERVAL 5 MINUTE END AS approved_at,
               product_id, product_name, first_name || ' ' || last_name AS buyer_name,
               email AS buyer_email, ucode AS buyer_ucode,
               (listed * rate)::DECIMAL(18, 2) AS price_value, currency AS price_currency,
               'CREDIT_CARD' AS payment_type, 'CREDIT_CARD_VISA' AS payment_method,
               1 AS installments, CASE WHEN is_subscription THEN 1 + k // 5 % 6 END
                   AS recurrence_number,
               is_subscription, CASE WHEN k % 50 = 0 THEN 'AFFILIATE' ELSE 'PRODUCER' END
                   AS commission_as,
               'of' || product_id AS offer_code,
               CASE WHEN is_subscription THEN 'SUBSCRIPTION' ELSE 'UNIQUE_PAYMENT' END
                   AS payment_mode,
               (listed * 0.099 + 1)::DECIMAL(18, 2) AS fee_total, listed AS fee_base,
               'BRL' AS fee_currency, 'instagram' AS source_src, slice
        FROM sold
    """,
    "bronze.hotmart_customers": """
        SELECT transaction, ucode, first_name || ' ' || last_name AS name, email,
               phone AS cellphone, CASE WHEN is_abroad THEN NULL ELSE cpf END AS document,
               CASE WHEN is_abroad THEN NULL ELSE 'CPF' END AS document_type,
               'São Paulo' AS city, CASE WHEN is_abroad THEN NULL ELSE 'SP' END AS state,
               CASE WHEN NOT is_abroad THEN 'Brasil' WHEN phone LIKE '+351%' THEN 'Portugal'
                    ELSE 'México' END AS country,
               '01000-000' AS zip_code, CASE WHEN is_abroad THEN 'en' ELSE 'pt_BR' END AS locale,
               slice
        FROM sold
    """,
    "bronze.hotmart_commissions": """
        SELECT transaction, source, (share * (listed * 0.9 - 1))::DECIMAL(18, 2) AS value,
               'BRL' AS currency, ucode AS user_ucode, 1 / rate AS exchange_rate, slice
        FROM sold CROSS JOIN (VALUES ('MARKETPLACE', 0.1), ('PRODUCER', 0.9)) AS s(source, share)
    """,
    "bronze.hotmart_price_details": """
        SELECT transaction, (listed * rate)::DECIMAL(18, 2) AS base_value,
               currency AS base_currency, (listed * rate)::DECIMAL(18, 2) AS total_value,
               currency AS total_currency, 0 AS interest_value, rate AS conversion_rate, slice
        FROM sold WHERE status <> 'WAITING_PAYMENT'
    """,
    "bronze.hotmart_subscriptions": """
        SELECT row_number() OVER (ORDER BY transaction)::VARCHAR AS subscription_id,
               upper(ucode[:8]) AS subscriber_code,
               CASE WHEN k % 3 = 0 THEN 'CANCELLED_BY_CUSTOMER' ELSE 'ACTIVE' END AS status,
               ordered_at AS accession_at, false AS is_trial, transaction, 'Clube' AS plan_name,
               30 AS period_days, product_id, product_name, 97 AS price_value,
               'BRL' AS price_currency, first_name || ' ' || last_name AS subscriber_name,
               email AS subscriber_email, ucode AS subscriber_ucode, slice
        FROM sold WHERE is_subscription AND k // 5 % 6 = 0
    """,
    "bronze.hotmart_subscription_transactions": """
        SELECT transaction, upper(ucode[:8]) AS subscriber_code, 'ACTIVE' AS subscription_status,
               'SUBSCRIPTION' AS billing_type, status, ordered_at,
               CASE WHEN was_paid THEN ordered_at + INTERVAL 5 MINUTE END AS approved_at,
               CASE WHEN status IN ('REFUNDED', 'CHARGEBACK')
                    THEN ordered_at + INTERVAL 4 DAY END AS refunded_at,
               1 + k // 5 % 6 AS recurrence_number, 97 AS price_value, 'BRL' AS price_currency,
               30 AS period_days, product_id, first_name || ' ' || last_name AS subscriber_name,
               email AS subscriber_email, slice
        FROM sold WHERE is_subscription
    """,
    "bronze.manychat_contacts": """
        SELECT 2 + c % 50000 AS line, (900000 + c)::VARCHAR AS manychat_id, first_name, last_name,
               CASE WHEN by_email OR NOT is_buyer THEN lower(email) END AS email,
               CASE WHEN by_email AND is_buyer THEN NULL ELSE phone END AS whatsapp_phone,
               lower(strip_accents(first_name)) || id AS ig_username,
               '2024-01-01T12:00:00Z'::TIMESTAMPTZ + to_days((c % 700)::INTEGER) AS subscribed_at,
               '2025-01-01T12:00:00Z'::TIMESTAMPTZ + to_days((c % 430)::INTEGER)
                   AS last_interaction_at,
               CASE WHEN c % 5 = 0 THEN '2025-06-01T12:00:00Z'::TIMESTAMPTZ
                    + to_days((c % 280)::INTEGER) END AS remarketing_at,
               c % 3 > 0 AS optin_whatsapp, 'pt_BR' AS locale,
               '2026-03-15-' || lpad(to_hex(c // 50000), 12, '0') AS slice
        FROM known
    """,
}
