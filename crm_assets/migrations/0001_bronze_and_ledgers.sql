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

CREATE TABLE bronze.hotmart_commissions (
    transaction VARCHAR, source VARCHAR, value DECIMAL(18, 2), currency VARCHAR,
    user_ucode VARCHAR, exchange_rate DECIMAL(18, 8),
    raw JSON, slice VARCHAR, extracted_at TIMESTAMPTZ, run_id VARCHAR
);

CREATE TABLE bronze.hotmart_price_details (
    transaction VARCHAR, base_value DECIMAL(18, 2), base_currency VARCHAR,
    total_value DECIMAL(18, 2), total_currency VARCHAR, vat_value DECIMAL(18, 2),
    interest_value DECIMAL(18, 2), coupon_code VARCHAR, coupon_value DECIMAL(18, 8),
    conversion_rate DECIMAL(18, 8),
    raw JSON, slice VARCHAR, extracted_at TIMESTAMPTZ, run_id VARCHAR
);

CREATE TABLE bronze.hotmart_subscriptions (
    subscription_id VARCHAR, subscriber_code VARCHAR, status VARCHAR, accession_at TIMESTAMPTZ,
    cancel_requested_at TIMESTAMPTZ, requested_at TIMESTAMPTZ, next_charge_at TIMESTAMPTZ,
    is_trial BOOLEAN, transaction VARCHAR, plan_id VARCHAR, plan_name VARCHAR, period_days BIGINT,
    max_charge_cycles BIGINT, product_id VARCHAR, product_name VARCHAR,
    price_value DECIMAL(18, 2), price_currency VARCHAR, subscriber_name VARCHAR,
    subscriber_email VARCHAR, subscriber_ucode VARCHAR,
    raw JSON, slice VARCHAR, extracted_at TIMESTAMPTZ, run_id VARCHAR
);

CREATE TABLE bronze.hotmart_subscription_transactions (
    transaction VARCHAR, subscription_id VARCHAR, subscriber_code VARCHAR,
    subscription_status VARCHAR, billing_type VARCHAR, status VARCHAR, ordered_at TIMESTAMPTZ,
    approved_at TIMESTAMPTZ, refunded_at TIMESTAMPTZ, refusal_message VARCHAR,
    payment_type VARCHAR, installment_number BIGINT, installment_type VARCHAR,
    recurrence_number BIGINT, recurrence_status VARCHAR, recurrence_started_at TIMESTAMPTZ,
    delay_days BIGINT, price_value DECIMAL(18, 2), total_value DECIMAL(18, 2),
    price_currency VARCHAR, own_value DECIMAL(18, 2), own_currency VARCHAR,
    cancelled_at TIMESTAMPTZ, adopted_at TIMESTAMPTZ, next_charge_at TIMESTAMPTZ,
    trial_ends_at TIMESTAMPTZ, plan_name VARCHAR, period_days BIGINT, offer_code VARCHAR,
    product_id VARCHAR, subscriber_name VARCHAR, subscriber_email VARCHAR,
    subscriber_phone_ddd VARCHAR, subscriber_phone VARCHAR,
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

-- Hotmart's own sales export; the API wins over it, and so does the newest file.
CREATE TABLE bronze.hotmart_csv (
    line BIGINT, transaction VARCHAR, status VARCHAR, ordered_at TIMESTAMPTZ,
    approved_at TIMESTAMPTZ, product_id VARCHAR, product_name VARCHAR,
    buyer_name VARCHAR, buyer_email VARCHAR, buyer_phone VARCHAR, buyer_document VARCHAR,
    city VARCHAR, state VARCHAR, country VARCHAR,
    price_value DECIMAL(18, 2), price_currency VARCHAR, payment_type VARCHAR,
    payment_method VARCHAR, installments BIGINT, offer_code VARCHAR, recurrence_number BIGINT,
    net_value DECIMAL(18, 2), net_currency VARCHAR, commission_as VARCHAR,
    source_src VARCHAR, source_sck VARCHAR,
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

CREATE TABLE gold.daily_report (
    report_date DATE, currency VARCHAR, compared_with DATE,
    buyers BIGINT, buyers_change BIGINT,
    paid DECIMAL(18, 2), paid_change DECIMAL(18, 2),
    pending DECIMAL(18, 2), pending_change DECIMAL(18, 2),
    cancellations BIGINT, cancellations_change BIGINT,
    cancelled DECIMAL(18, 2), cancelled_change DECIMAL(18, 2)
);

CREATE TABLE silver.opt_outs (
    key_kind VARCHAR, key VARCHAR, channel VARCHAR, purpose VARCHAR, since TIMESTAMPTZ,
    origin VARCHAR
);

CREATE TABLE gold.remarketing_batches (
    batch_date DATE, position BIGINT, customer_id VARCHAR, name VARCHAR, email VARCHAR,
    phone VARCHAR, audiences VARCHAR[], reason VARCHAR, last_purchase_at TIMESTAMPTZ,
    last_contact_at TIMESTAMPTZ, status VARCHAR
);
