-- Tables that outlive a run: what is landed, and the ledgers that rebuilds must remember.
-- Silver and gold tables that each run rebuilds whole are created by their steps.
CREATE SCHEMA bronze;
CREATE SCHEMA silver;
CREATE SCHEMA gold;

CREATE TABLE bronze.hotmart_transactions (
    transaction VARCHAR, status VARCHAR, ordered_at TIMESTAMPTZ, approved_at TIMESTAMPTZ,
    warranty_expires_at TIMESTAMPTZ, product_id VARCHAR, product_name VARCHAR,
    buyer_name VARCHAR, buyer_email VARCHAR, buyer_ucode VARCHAR,
    price_value DECIMAL(18, 2), price_currency VARCHAR, payment_type VARCHAR,
    payment_method VARCHAR, installments BIGINT, recurrence_number BIGINT,
    is_subscription BOOLEAN, commission_as VARCHAR, offer_code VARCHAR, payment_mode VARCHAR,
    fee_total DECIMAL(18, 2), fee_base DECIMAL(18, 2), fee_currency VARCHAR,
    source_src VARCHAR, source_sck VARCHAR,
    raw JSON, slice VARCHAR, extracted_at TIMESTAMPTZ, run_id VARCHAR
);

-- A refund has no date in sales/history: the run that first sees the change is its witness.
CREATE TABLE bronze.hotmart_status_changes (
    transaction VARCHAR, from_status VARCHAR, to_status VARCHAR, seen_at TIMESTAMPTZ
);

CREATE TABLE bronze.hotmart_customers (
    transaction VARCHAR, ucode VARCHAR, name VARCHAR, email VARCHAR, cellphone VARCHAR,
    phone VARCHAR, document VARCHAR, document_type VARCHAR, city VARCHAR, state VARCHAR,
    country VARCHAR, zip_code VARCHAR, locale VARCHAR,
    raw JSON, slice VARCHAR, extracted_at TIMESTAMPTZ, run_id VARCHAR
);

CREATE TABLE bronze.manychat_contacts (
    line BIGINT, manychat_id VARCHAR, first_name VARCHAR, last_name VARCHAR, full_name VARCHAR,
    email VARCHAR, phone VARCHAR, whatsapp_phone VARCHAR, whatsapp_bsuid VARCHAR,
    whatsapp_username VARCHAR, ig_username VARCHAR, ig_id VARCHAR,
    subscribed_at TIMESTAMPTZ, last_interaction_at TIMESTAMPTZ, last_seen_at TIMESTAMPTZ,
    remarketing_at TIMESTAMPTZ, scheduled VARCHAR, scheduled_at TIMESTAMPTZ,
    contact_flag VARCHAR, contact_at TIMESTAMPTZ, tags VARCHAR[],
    optin_whatsapp BOOLEAN, optin_sms BOOLEAN, optin_email BOOLEAN,
    locale VARCHAR, language VARCHAR, timezone VARCHAR, custom_fields VARCHAR,
    raw JSON, slice VARCHAR, extracted_at TIMESTAMPTZ, run_id VARCHAR
);

CREATE TABLE bronze.crm_actions (
    id BIGINT, kind VARCHAR, idempotency_key VARCHAR, customer_id VARCHAR, day DATE,
    email_key VARCHAR, phone_key VARCHAR, channel VARCHAR, purpose VARCHAR, payload VARCHAR,
    actor VARCHAR, reason VARCHAR, occurred_at TIMESTAMPTZ
);

-- What could not be read, with its reason and its raw text.
CREATE TABLE bronze.rejects (
    source VARCHAR, slice VARCHAR, place VARCHAR, field VARCHAR, reason VARCHAR, raw VARCHAR,
    extracted_at TIMESTAMPTZ, run_id VARCHAR
);

-- Completeness of what is landed, written in the transaction of its rows (rules 1.1).
CREATE TABLE bronze.loads (
    source VARCHAR, slice VARCHAR, window_start TIMESTAMPTZ, window_end TIMESTAMPTZ,
    rows BIGINT, rejected BIGINT, complete BOOLEAN, verified BOOLEAN, landed_at TIMESTAMPTZ,
    run_id VARCHAR
);

CREATE TABLE silver.customer_ids (
    customer_id VARCHAR, anchor VARCHAR, minted_at TIMESTAMPTZ, survivor_id VARCHAR
);

CREATE TABLE silver.customer_merges (
    occurred_at TIMESTAMPTZ, event VARCHAR, customer_id VARCHAR, survivor_id VARCHAR
);

CREATE TABLE silver.customer_xref (
    record_id VARCHAR, source VARCHAR, source_id VARCHAR, customer_id VARCHAR, joined_by VARCHAR,
    key_hash VARCHAR, valid_from TIMESTAMPTZ, valid_to TIMESTAMPTZ
);

CREATE TABLE gold.remarketing_batches (
    batch_date DATE, position BIGINT, customer_id VARCHAR, name VARCHAR, email VARCHAR,
    phone VARCHAR, audiences VARCHAR[], reason VARCHAR, last_purchase_at TIMESTAMPTZ,
    last_contact_at TIMESTAMPTZ, status VARCHAR
);
