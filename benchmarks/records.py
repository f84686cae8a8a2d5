"""Invented contact records of any number, their keys given: the same rows for the same size.

4.5 of ten records are a new person's. 26 % have no e-mail, 31 % no phone, 8 % neither; 15 % of the
people have a second e-mail, 8 % a second phone, 2 % use a relative's phone and 0.5 % a relative's
e-mail (mdm.md 3.1). Rows come in no order.
"""

from __future__ import annotations

from crm_resources.warehouse import Transaction

PEOPLE_PER_RECORD = 0.45


def fill(tx: Transaction, records: int) -> None:
    """Write `silver.contact_records` with so many rows."""
    sql = _RECORDS.format(columns=_COLUMNS)
    tx.replace_table(
        "silver.contact_records",
        sql,
        {"records": records, "people": int(records * PEOPLE_PER_RECORD)},
    )


def change(tx: Transaction, records: int, changed: int) -> None:
    """Give so many records, spread over the table, the e-mail of another person."""
    sizes = {"records": records, "changed": changed, "people": int(records * PEOPLE_PER_RECORD)}
    tx.execute(_CHANGED, sizes)
    tx.execute(_NOTE)
    tx.execute(_CHANGE)


_COLUMNS = """
    source || ':' || id AS record_id, source, id::VARCHAR AS source_id,
    NULL::VARCHAR AS source_key,
    '2024-01-01T00:00:00Z'::TIMESTAMPTZ + to_seconds((h % 63000000)::BIGINT) AS observed_at,
    email, email AS email_key, NULL::VARCHAR AS email_reason,
    phone, phone AS phone_key, NULL::VARCHAR AS phone_reason, 'mobile' AS phone_kind,
    first_name || ' ' || last_name AS name, first_name,
    NULL::VARCHAR AS document, NULL::VARCHAR AS document_kind, NULL::BOOLEAN AS document_valid,
    CASE WHEN h % 3 = 0 THEN lower(first_name) || id END AS instagram,
    NULL::VARCHAR AS hotmart_ucode, NULL::VARCHAR AS manychat_id,
    CASE WHEN h % 4 = 0 THEN 'Recife' END AS city, CASE WHEN h % 4 = 0 THEN 'PE' END AS state,
    CASE WHEN h % 4 = 0 THEN 'endereco' END AS state_source,
    CASE WHEN h % 4 = 0 THEN 'BR' END AS country, h % 4 = 0 AS has_address,
    observed_at AS first_seen_at, NULL::TIMESTAMPTZ AS last_interaction_at,
    NULL::TIMESTAMPTZ AS remarketing_at, NULL::BOOLEAN AS optin_whatsapp,
    NULL::BOOLEAN AS optin_sms, NULL::BOOLEAN AS optin_email, true AS is_own
"""
_RECORDS = """
    WITH drawn AS (
        SELECT id, (hash(id, 1) >> 1)::BIGINT AS h, (hash(id, 2) >> 1)::BIGINT AS g,
               CASE WHEN id < $people THEN id ELSE (hash(id, 3) % $people)::BIGINT END AS person
        FROM range($records) AS r(id)
    ), used AS (
        SELECT *, (hash(person, 4) >> 1)::BIGINT AS habit,
               xor(person, (hash(person, 5) % 1000 < 5)::BIGINT) AS writes_as,
               xor(person, (hash(person, 6) % 1000 < 20)::BIGINT) AS calls_as
        FROM drawn
    ), keyed AS (
        SELECT *,
               CASE WHEN g % 100 >= 26 THEN 'p' || writes_as
                    || CASE WHEN habit % 100 < 15 AND g // 100 % 3 = 0 THEN '.2' ELSE '' END
                    || '@example.com' END AS email,
               CASE WHEN h % 100 >= 31 THEN '+55' || (11 + calls_as % 80) || '9'
                    || lpad(((calls_as * 2 + CASE WHEN habit // 100 % 100 < 8 AND h // 100 % 3 = 0
                                             THEN 1 ELSE 0 END) % 100000000)::VARCHAR, 8, '0')
                    END AS phone,
               ['hotmart', 'hotmart', 'woocommerce', 'form', 'manychat'][1 + h // 1000 % 5]
                   AS source,
               (['Ana', 'Bia', 'Caio', 'Davi', 'Elisa', 'Ivo', 'Lia'])[1 + habit // 10000 % 7]
                   AS first_name,
               (['Alves', 'Borges', 'Campos', 'Leme', 'Prado'])[1 + habit // 100000 % 5]
                   AS last_name
        FROM used
    )
    SELECT {columns} FROM keyed ORDER BY hash(id, 9)
"""
_CHANGED = """
    CREATE OR REPLACE TEMP TABLE new_keys AS
    SELECT record_id, 'p' || hash(source_id, 11) % $people || '@example.com' AS email_key
    FROM silver.contact_records WHERE hash(source_id, 10) % $records < $changed
"""
_NOTE = """
    INSERT INTO silver.contact_changes
    SELECT record_id, email_key, phone_key, NULL
    FROM silver.contact_records SEMI JOIN new_keys USING (record_id)
"""
_CHANGE = """
    UPDATE silver.contact_records AS held
    SET email = now.email_key, email_key = now.email_key
    FROM new_keys AS now WHERE held.record_id = now.record_id
"""
