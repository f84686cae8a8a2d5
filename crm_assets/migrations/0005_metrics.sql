-- Metrics by period outlive their rebuilds: what is published now is compared with what comes next.
CREATE TABLE gold.subscription_metrics (
    day DATE, currency VARCHAR, is_partial BOOLEAN, trial BIGINT, active BIGINT, delayed BIGINT,
    cancelled_paid BIGINT, at_risk BIGINT, subscriptions BIGINT, customers BIGINT,
    mrr_gross DECIMAL(18, 2), mrr_net DECIMAL(18, 2),
    committed_mrr_gross DECIMAL(18, 2), committed_mrr_net DECIMAL(18, 2),
    at_risk_mrr_gross DECIMAL(18, 2), at_risk_mrr_net DECIMAL(18, 2),
    arr_gross DECIMAL(18, 2), arr_net DECIMAL(18, 2), unconverted BIGINT
);

CREATE TABLE gold.mrr_movements (
    grain VARCHAR, period_start DATE, currency VARCHAR, is_partial BOOLEAN,
    opening_subscriptions BIGINT, new_subscriptions BIGINT, reactivated_subscriptions BIGINT,
    churned_subscriptions BIGINT, ended_subscriptions BIGINT, closing_subscriptions BIGINT,
    opening_customers BIGINT, new_customers BIGINT, reactivated_customers BIGINT,
    churned_customers BIGINT, ended_customers BIGINT, closing_customers BIGINT,
    opening_gross DECIMAL(18, 2), new_gross DECIMAL(18, 2), reactivation_gross DECIMAL(18, 2),
    expansion_gross DECIMAL(18, 2), fx_gross DECIMAL(18, 2), contraction_gross DECIMAL(18, 2),
    churn_gross DECIMAL(18, 2), ended_gross DECIMAL(18, 2), closing_gross DECIMAL(18, 2),
    opening_net DECIMAL(18, 2), new_net DECIMAL(18, 2), reactivation_net DECIMAL(18, 2),
    expansion_net DECIMAL(18, 2), fx_net DECIMAL(18, 2), contraction_net DECIMAL(18, 2),
    churn_net DECIMAL(18, 2), ended_net DECIMAL(18, 2), closing_net DECIMAL(18, 2)
);

CREATE TABLE gold.churn (
    grain VARCHAR, period_start DATE, currency VARCHAR, is_partial BOOLEAN,
    opening_subscriptions BIGINT, churned_subscriptions BIGINT, ended_subscriptions BIGINT,
    churn_rate DOUBLE, opening_customers BIGINT, churned_customers BIGINT,
    customer_churn_rate DOUBLE, gross_revenue_churn DOUBLE, net_revenue_churn DOUBLE,
    gross_commission_churn DOUBLE, net_commission_churn DOUBLE, cancellations_requested BIGINT,
    current_subscriptions BIGINT, hotmart_rate DOUBLE
);

CREATE TABLE gold.subscription_ltv (
    month DATE, currency VARCHAR, is_partial BOOLEAN, paying_customers_ever BIGINT,
    historic_gross DECIMAL(18, 2), historic_net DECIMAL(18, 2),
    historic_ltv_gross DECIMAL(18, 2), historic_ltv_net DECIMAL(18, 2), customers BIGINT,
    arpa_gross DECIMAL(18, 2), arpa_net DECIMAL(18, 2), mean_churn DOUBLE,
    ltv_gross DECIMAL(18, 2), ltv_net DECIMAL(18, 2)
);

CREATE TABLE gold.revenue (
    grain VARCHAR, period_start DATE, currency VARCHAR, is_partial BOOLEAN, sales BIGINT,
    total DECIMAL(18, 2), refunded DECIMAL(18, 2), charged_back DECIMAL(18, 2),
    disputed DECIMAL(18, 2), undated_reversals DECIMAL(18, 2),
    partially_refunded DECIMAL(18, 2), net DECIMAL(18, 2), commission DECIMAL(18, 2),
    net_commission DECIMAL(18, 2)
);

CREATE TABLE gold.cohorts (
    cohort_month DATE, months_later BIGINT, is_partial BOOLEAN, customers BIGINT,
    returning_customers BIGINT, retention DOUBLE
);

CREATE TABLE gold.cart_conversion (
    grain VARCHAR, period_start DATE, product_id VARCHAR, product_name VARCHAR,
    is_partial BOOLEAN, carts BIGINT, recovered BIGINT, abandoned BIGINT, waiting BIGINT,
    replaced BIGINT, recovery_rate DOUBLE, recovered_value DECIMAL(18, 2)
);

CREATE TABLE gold.metric_changes (
    metric VARCHAR, grain VARCHAR, period_start DATE, currency VARCHAR, detail VARCHAR,
    was DECIMAL(18, 2), now DECIMAL(18, 2), noticed_at TIMESTAMPTZ, run_id VARCHAR
);
