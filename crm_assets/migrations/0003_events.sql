-- What Hotmart tells us by webhook: one row per event, typed, and the names nobody documented yet.
CREATE TABLE bronze.hotmart_events (
    event_id VARCHAR, event VARCHAR, kind VARCHAR, version VARCHAR,
    occurred_at TIMESTAMPTZ, received_at TIMESTAMPTZ, inbox_id BIGINT,
    transaction VARCHAR, parent_transaction VARCHAR, subscriber_code VARCHAR,
    subscription_id VARCHAR, product_id VARCHAR, product_name VARCHAR, offer_code VARCHAR,
    plan_id VARCHAR, plan_name VARCHAR, email VARCHAR, name VARCHAR, phone VARCHAR,
    document VARCHAR, country VARCHAR, state VARCHAR, city VARCHAR, checkout_country VARCHAR,
    subscription_status VARCHAR, price_value DECIMAL(18, 2), full_price_value DECIMAL(18, 2),
    currency VARCHAR, net_value DECIMAL(18, 2), order_at TIMESTAMPTZ, approved_at TIMESTAMPTZ,
    next_charge_at TIMESTAMPTZ, cancelled_at TIMESTAMPTZ, switched_at TIMESTAMPTZ,
    recurrence_number BIGINT, payment_type VARCHAR, installments BIGINT, refusal_reason VARCHAR,
    new_plan_id VARCHAR, new_plan_name VARCHAR, new_offer_code VARCHAR, new_charge_day BIGINT,
    raw JSON, slice VARCHAR, extracted_at TIMESTAMPTZ, run_id VARCHAR
);

CREATE TABLE bronze.event_novelties (
    what VARCHAR, name VARCHAR, events BIGINT, first_seen_at TIMESTAMPTZ, last_seen_at TIMESTAMPTZ
);

CREATE TABLE silver.events (
    event_id VARCHAR, kind VARCHAR, occurred_at TIMESTAMPTZ, received_at TIMESTAMPTZ,
    record_id VARCHAR, transaction VARCHAR, parent_transaction VARCHAR, subscriber_code VARCHAR,
    subscription_id VARCHAR, product_id VARCHAR, product_name VARCHAR, offer_code VARCHAR,
    plan_id VARCHAR, plan_name VARCHAR, email VARCHAR, name VARCHAR, phone VARCHAR,
    document VARCHAR, country VARCHAR, state VARCHAR, city VARCHAR, checkout_country VARCHAR,
    sale_status VARCHAR, subscription_status VARCHAR, price_value DECIMAL(18, 2),
    full_price_value DECIMAL(18, 2), currency VARCHAR, net_value DECIMAL(18, 2),
    order_at TIMESTAMPTZ, approved_at TIMESTAMPTZ, next_charge_at TIMESTAMPTZ,
    cancelled_at TIMESTAMPTZ, switched_at TIMESTAMPTZ, recurrence_number BIGINT,
    payment_type VARCHAR, installments BIGINT, refusal_reason VARCHAR, new_plan_id VARCHAR,
    new_plan_name VARCHAR, new_offer_code VARCHAR, new_charge_day BIGINT
);

CREATE TABLE silver.carts (
    cart_id VARCHAR, source VARCHAR, customer_id VARCHAR, email_key VARCHAR, phone_key VARCHAR,
    product_id VARCHAR, product_name VARCHAR, offer_code VARCHAR, cart_at TIMESTAMPTZ,
    value DECIMAL(18, 2), is_estimated BOOLEAN, currency VARCHAR, events BIGINT
);

CREATE TABLE gold.triggers (
    customer_id VARCHAR, trigger VARCHAR, product_id VARCHAR, since TIMESTAMPTZ
);
