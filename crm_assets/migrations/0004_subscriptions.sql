-- What no later reading can tell again: what the API said of a subscription each time it changed,
-- and every access that was given or taken. Beside them what is made from them, for the hourly
-- re-evaluation of access, which may come before the first refine.
CREATE TABLE silver.subscription_readings (
    subscription_id VARCHAR, subscriber_code VARCHAR, status VARCHAR,
    cancel_requested_at TIMESTAMPTZ, next_charge_at TIMESTAMPTZ, plan_id VARCHAR,
    plan_name VARCHAR, period_days BIGINT, seen_at TIMESTAMPTZ
);

CREATE TABLE silver.subscriptions (
    subscriber_code VARCHAR, subscription_id VARCHAR, customer_id VARCHAR, product_id VARCHAR,
    product_name VARCHAR, plan_id VARCHAR, plan_name VARCHAR, offer_code VARCHAR,
    period_days BIGINT, status VARCHAR, is_trial BOOLEAN, trial_ends_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ, requested_cancel_at TIMESTAMPTZ, cancelled_by VARCHAR,
    next_charge_at TIMESTAMPTZ, paid_through DATE, charge_day BIGINT, currency VARCHAR,
    price DECIMAL(18, 2), last_paid_at TIMESTAMPTZ, last_recurrence BIGINT,
    last_activity_at TIMESTAMPTZ, delayed_since DATE, segment VARCHAR, is_at_risk BOOLEAN,
    is_at_risk_inactive BOOLEAN, is_archived BOOLEAN, granted_at TIMESTAMPTZ, grace_from DATE,
    due_on DATE, lost_at TIMESTAMPTZ, lost_by VARCHAR, source VARCHAR
);

CREATE TABLE silver.subscription_history (
    subscriber_code VARCHAR, status VARCHAR, valid_from TIMESTAMPTZ, valid_to TIMESTAMPTZ,
    reason VARCHAR, source VARCHAR, event_id VARCHAR
);

CREATE TABLE silver.subscription_periods (
    subscriber_code VARCHAR, customer_id VARCHAR, product_id VARCHAR, from_day DATE, to_day DATE,
    state VARCHAR, is_committed BOOLEAN, currency VARCHAR, mrr_gross DECIMAL(18, 2),
    mrr_net DECIMAL(18, 2), mrr_gross_home DECIMAL(18, 2), mrr_net_home DECIMAL(18, 2),
    ended_by VARCHAR
);

CREATE TABLE silver.access (
    customer_id VARCHAR, product_id VARCHAR, status VARCHAR, event VARCHAR, reason VARCHAR,
    since TIMESTAMPTZ, until TIMESTAMPTZ, plan VARCHAR, trial_ends_at TIMESTAMPTZ,
    is_disputed BOOLEAN, subscriber_code VARCHAR, decided_by VARCHAR
);

CREATE TABLE silver.access_log (
    customer_id VARCHAR, product_id VARCHAR, before VARCHAR, status VARCHAR, event VARCHAR,
    reason VARCHAR, since TIMESTAMPTZ, plan VARCHAR, is_disputed BOOLEAN, decided_by VARCHAR,
    noted_at TIMESTAMPTZ
);
