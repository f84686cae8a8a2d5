"""Contracts of the gold tables of metrics: subscriptions, revenue, cohorts and carts by period.

`currency` is an ISO 4217 code, `XXX` where the currency is unknown, or `home`: the whole house in
the tenant's currency. Gross is what buyers pay, net the own commission of it.
"""

from __future__ import annotations

from datetime import date

import pandera.polars as pa

from crm_assets.checks.contract import Contract, Instant, Money

_BOOK = r"^([A-Z]{3}|home)$"
_GRAINS = ["day", "week", "month"]


class SubscriptionMetrics(Contract):
    """Subscriptions on each day and what they are worth a month, by currency."""

    day: date = pa.Field(description="day in the tenant's zone")
    currency: str = pa.Field(str_matches=_BOOK, description="currency, or home = all in ours")
    is_partial: bool = pa.Field(description="the day has not ended")
    trial: int = pa.Field(ge=0, description="on trial, outside every other figure")
    active: int = pa.Field(ge=0, description="active and on time")
    delayed: int = pa.Field(ge=0, description="late, up to the tolerated days")
    cancelled_paid: int = pa.Field(ge=0, description="cancelled, and still paid for")
    at_risk: int = pa.Field(ge=0, description="delayed, or cancelled and still paid for")
    subscriptions: int = pa.Field(ge=0, description="active, delayed and cancelled but paid for")
    customers: int = pa.Field(ge=0, description="people with at least one of them that is paid")
    mrr_gross: Money = pa.Field(ge=0, description="monthly recurring revenue, as buyers pay it")
    mrr_net: Money = pa.Field(ge=0, description="the same, own commission")
    committed_mrr_gross: Money = pa.Field(ge=0, description="of it, without cancellations")
    committed_mrr_net: Money = pa.Field(ge=0, description="the same, own commission")
    at_risk_mrr_gross: Money = pa.Field(ge=0, description="of it, delayed or cancelled")
    at_risk_mrr_net: Money = pa.Field(ge=0, description="the same, own commission")
    arr_gross: Money = pa.Field(ge=0, description="twelve months of it")
    arr_net: Money = pa.Field(ge=0, description="the same, own commission")
    unconverted: int = pa.Field(ge=0, description="subscriptions without a rate, worth 0 in home")
    unpriced: int = pa.Field(ge=0, description="subscriptions of unknown price, worth 0 in MRR")

    class Config:
        unique = ["day", "currency"]


class MrrMovements(Contract):
    """What moved subscriptions, customers and recurring revenue in each period.

    In each row opening + arrivals − departures = closing: of subscriptions, of customers, and of
    money gross and net.
    """

    grain: str = pa.Field(isin=_GRAINS, description="kind of period; weeks begin on Monday")
    period_start: date = pa.Field(description="first day of the period")
    currency: str = pa.Field(str_matches=_BOOK, description="currency, or home = all in ours")
    is_partial: bool = pa.Field(description="the period has not ended")
    opening_subscriptions: int = pa.Field(ge=0, description="subscriptions before the period")
    new_subscriptions: int = pa.Field(ge=0, description="that began for the first time")
    reactivated_subscriptions: int = pa.Field(ge=0, description="that came back after a gap")
    churned_subscriptions: int = pa.Field(ge=0, description="that were lost")
    ended_subscriptions: int = pa.Field(ge=0, description="that ran to the end of their term")
    closing_subscriptions: int = pa.Field(ge=0, description="subscriptions after the period")
    opening_customers: int = pa.Field(ge=0, description="paying customers before the period")
    new_customers: int = pa.Field(ge=0, description="who paid for the first time")
    reactivated_customers: int = pa.Field(ge=0, description="who came back")
    churned_customers: int = pa.Field(ge=0, description="who pay nothing any more")
    ended_customers: int = pa.Field(ge=0, description="the same, at the end of a term")
    closing_customers: int = pa.Field(ge=0, description="paying customers after the period")
    opening_gross: Money = pa.Field(ge=0, description="MRR before the period, gross")
    new_gross: Money = pa.Field(ge=0, description="of new customers")
    reactivation_gross: Money = pa.Field(ge=0, description="of customers who came back")
    expansion_gross: Money = pa.Field(ge=0, description="what customers pay more")
    fx_gross: Money = pa.Field(description="what only exchange rates moved, in home")
    contraction_gross: Money = pa.Field(ge=0, description="what customers pay less")
    churn_gross: Money = pa.Field(ge=0, description="of customers lost")
    ended_gross: Money = pa.Field(ge=0, description="of customers at the end of a term")
    closing_gross: Money = pa.Field(ge=0, description="MRR after the period, gross")
    opening_net: Money = pa.Field(ge=0, description="MRR before the period, own commission")
    new_net: Money = pa.Field(ge=0, description="of new customers")
    reactivation_net: Money = pa.Field(ge=0, description="of customers who came back")
    expansion_net: Money = pa.Field(ge=0, description="what customers pay more")
    fx_net: Money = pa.Field(description="what only exchange rates moved, in home")
    contraction_net: Money = pa.Field(ge=0, description="what customers pay less")
    churn_net: Money = pa.Field(ge=0, description="of customers lost")
    ended_net: Money = pa.Field(ge=0, description="of customers at the end of a term")
    closing_net: Money = pa.Field(ge=0, description="MRR after the period, own commission")

    class Config:
        unique = ["grain", "period_start", "currency"]


class Churn(Contract):
    """How much of the subscriptions, customers and revenue of each period's start was lost."""

    grain: str = pa.Field(isin=_GRAINS, description="kind of period; weeks begin on Monday")
    period_start: date = pa.Field(description="first day of the period")
    currency: str = pa.Field(str_matches=_BOOK, description="currency, or home = all in ours")
    is_partial: bool = pa.Field(description="the period has not ended")
    opening_subscriptions: int = pa.Field(ge=0, description="subscriptions before the period")
    churned_subscriptions: int = pa.Field(ge=0, description="lost in it")
    ended_subscriptions: int = pa.Field(ge=0, description="at the end of their term, no churn")
    churn_rate: float = pa.Field(nullable=True, ge=0, description="subscriptions lost ÷ opening")
    opening_customers: int = pa.Field(ge=0, description="paying customers before the period")
    churned_customers: int = pa.Field(ge=0, description="lost in it")
    customer_churn_rate: float = pa.Field(
        nullable=True, ge=0, description="customers lost ÷ opening"
    )
    gross_revenue_churn: float = pa.Field(
        nullable=True, ge=0, description="(churn + contraction) ÷ opening MRR, gross"
    )
    net_revenue_churn: float = pa.Field(
        nullable=True, description="the same, less expansion and reactivation"
    )
    gross_commission_churn: float = pa.Field(
        nullable=True, ge=0, description="gross_revenue_churn of own commission"
    )
    net_commission_churn: float = pa.Field(
        nullable=True, description="net_revenue_churn of own commission"
    )
    cancellations_requested: int = pa.Field(ge=0, description="cancellations asked for")
    current_subscriptions: int = pa.Field(ge=0, description="on time and late, at the end")
    hotmart_rate: float = pa.Field(
        nullable=True, ge=0, description="Hotmart's own: requested ÷ current"
    )

    class Config:
        unique = ["grain", "period_start", "currency"]


class SubscriptionLtv(Contract):
    """What subscribers paid so far, and what one is worth if churn stays as it was."""

    month: date = pa.Field(description="first day of the month")
    currency: str = pa.Field(str_matches=_BOOK, description="currency, or home = all in ours")
    is_partial: bool = pa.Field(description="the month has not ended")
    paying_customers_ever: int = pa.Field(ge=0, description="who ever paid and got it not back")
    historic_gross: Money = pa.Field(description="subscription charges less reversals, so far")
    historic_net: Money = pa.Field(description="the same, own commission")
    historic_ltv_gross: Money = pa.Field(nullable=True, description="per customer")
    historic_ltv_net: Money = pa.Field(nullable=True, description="the same, own commission")
    customers: int = pa.Field(ge=0, description="paying customers at its end")
    arpa_gross: Money = pa.Field(nullable=True, description="MRR per paying customer")
    arpa_net: Money = pa.Field(nullable=True, description="the same, own commission")
    mean_churn: float = pa.Field(
        nullable=True, ge=0, description="mean customer churn of the six months before"
    )
    ltv_gross: Money = pa.Field(nullable=True, description="ARPA ÷ mean churn; empty without any")
    ltv_net: Money = pa.Field(nullable=True, description="the same, own commission")

    class Config:
        unique = ["month", "currency"]


class Revenue(Contract):
    """What was paid and what was given back in each period, by currency."""

    grain: str = pa.Field(isin=_GRAINS, description="kind of period; weeks begin on Monday")
    period_start: date = pa.Field(description="first day of the period")
    currency: str = pa.Field(str_matches=_BOOK, description="currency, or home = all in ours")
    is_partial: bool = pa.Field(description="the period has not ended")
    sales: int = pa.Field(ge=0, description="payments")
    total: Money = pa.Field(ge=0, description="paid in the period, also what was reversed since")
    refunded: Money = pa.Field(ge=0, description="refunded in the period")
    charged_back: Money = pa.Field(ge=0, description="charged back in the period")
    disputed: Money = pa.Field(ge=0, description="of the total, in dispute now")
    undated_reversals: Money = pa.Field(
        ge=0, description="of the total, reversed on a day nobody told: in no period"
    )
    partially_refunded: Money = pa.Field(
        ge=0, description="paid, and given back in part: outside the total"
    )
    net: Money = pa.Field(description="total less refunded and charged back")
    commission: Money = pa.Field(description="own commission of the total")
    net_commission: Money = pa.Field(description="less that of refunds and chargebacks")

    class Config:
        unique = ["grain", "period_start", "currency"]


class Cohorts(Contract):
    """Customers by the month of their first paid purchase, and how many paid again later."""

    cohort_month: date = pa.Field(description="month of the first paid purchase")
    months_later: int = pa.Field(ge=0, description="calendar months after it")
    is_partial: bool = pa.Field(description="that month has not ended")
    customers: int = pa.Field(ge=1, description="size of the cohort")
    returning_customers: int = pa.Field(ge=0, description="of them, paying in that month")
    retention: float = pa.Field(ge=0, le=1, description="their part of the cohort")

    class Config:
        unique = ["cohort_month", "months_later"]


class CartConversion(Contract):
    """What became of the carts of each period and product."""

    grain: str = pa.Field(isin=_GRAINS, description="kind of period; weeks begin on Monday")
    period_start: date = pa.Field(description="first day of the period")
    product_id: str = pa.Field(nullable=True, description="product")
    product_name: str = pa.Field(nullable=True, description="its latest name")
    is_partial: bool = pa.Field(description="some of its carts may still be recovered")
    carts: int = pa.Field(ge=1, description="carts of the period")
    recovered: int = pa.Field(ge=0, description="with a paid order of the same product")
    abandoned: int = pa.Field(ge=0, description="whose time is over")
    waiting: int = pa.Field(ge=0, description="whose time is not over, outside the rate")
    replaced: int = pa.Field(ge=0, description="by a newer cart, outside the rate")
    recovery_rate: float = pa.Field(
        nullable=True, ge=0, le=1, description="recovered ÷ (recovered + abandoned)"
    )
    recovered_value: Money = pa.Field(ge=0, description="their orders, in the tenant's currency")

    class Config:
        unique = ["grain", "period_start", "product_id"]


class MetricChanges(Contract):
    """Closed figures that a late fact moved, and when that was noticed."""

    metric: str = pa.Field(description="table and column")
    grain: str = pa.Field(isin=_GRAINS, description="kind of period; weeks begin on Monday")
    period_start: date = pa.Field(description="first day of the period")
    currency: str = pa.Field(nullable=True, str_matches=_BOOK, description="currency or home")
    detail: str = pa.Field(nullable=True, description="cohort or product, where there is one")
    was: Money = pa.Field(description="the figure as published before")
    now: Money = pa.Field(description="the figure since then")
    noticed_at: Instant = pa.Field(description="when the change was noticed")
    run_id: str = pa.Field(description="by which run")
