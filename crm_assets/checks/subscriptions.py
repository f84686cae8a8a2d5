"""Contracts of subscriptions and access: what runs, what it is worth, and who may come in."""

from __future__ import annotations

from datetime import date

import pandera.polars as pa

from crm_assets.checks.contract import Contract, Instant, Money
from crm_assets.checks.silver import CUSTOMER_ID

PERIODS = [7, 30, 60, 90, 180, 360]
"""Lengths of a recurrence in days, as the vendor names them."""

SEGMENTS = ["cancelada", "em_risco", "trial", "ativa", "outra"]
STATES = ["trial", "active", "delayed", "cancelled"]
ENDS = ["cancelled", "delayed", "refunded", "fim_de_ciclo"]
CANCELLED_BY = ["customer", "seller", "admin"]
ACCESS = ["granted", "grace", "suspended", "ended"]
CURRENCY = r"^[A-Z]{3}$"


class Subscriptions(Contract):
    """One row per subscriber code: a buyer's subscription of a product, as it stands."""

    subscriber_code: str = pa.Field(unique=True, description="buyer and product, at Hotmart")
    subscription_id: str = pa.Field(nullable=True, description="the newest of this code")
    customer_id: str = pa.Field(nullable=True, str_matches=CUSTOMER_ID, description="customer")
    product_id: str = pa.Field(nullable=True, description="product")
    product_name: str = pa.Field(nullable=True, description="its latest name")
    plan_id: str = pa.Field(nullable=True, description="plan")
    plan_name: str = pa.Field(nullable=True, description="plan's name")
    offer_code: str = pa.Field(nullable=True, description="latest offer")
    period_days: int = pa.Field(nullable=True, ge=7, le=360, description="length of a recurrence")
    status: str = pa.Field(
        nullable=True, description="API status; CANCELLED = by whom is not told yet"
    )
    is_trial: bool = pa.Field(description="in its trial now")
    trial_ends_at: Instant = pa.Field(nullable=True, description="end of its trial")
    started_at: Instant = pa.Field(nullable=True, description="accession, else first charge")
    requested_cancel_at: Instant = pa.Field(
        nullable=True, description="when the cancellation in force was asked for"
    )
    cancelled_by: str = pa.Field(nullable=True, isin=CANCELLED_BY, description="by whom")
    next_charge_at: Instant = pa.Field(nullable=True, description="next charge; once cancelled end")
    paid_through: date = pa.Field(nullable=True, description="first day that is not paid any more")
    charge_day: int = pa.Field(nullable=True, description="day of the month of its charges")
    currency: str = pa.Field(nullable=True, str_matches=CURRENCY, description="of last recurrence")
    price: Money = pa.Field(nullable=True, description="base of the last recurrence, else listed")
    last_paid_at: Instant = pa.Field(nullable=True, description="latest paid recurrence")
    last_recurrence: int = pa.Field(nullable=True, description="its number")
    last_activity_at: Instant = pa.Field(nullable=True, description="latest visit to the club")
    delayed_since: date = pa.Field(nullable=True, description="day from which it is late")
    segment: str = pa.Field(isin=SEGMENTS, description="one of five; rules 6.3")
    is_at_risk: bool = pa.Field(description="late, or cancelled but still paid")
    is_at_risk_inactive: bool = pa.Field(description="late, and not seen for more than 30 days")
    is_archived: bool = pa.Field(description="cancelled more than a year ago")
    granted_at: Instant = pa.Field(nullable=True, description="what began the present access")
    grace_from: date = pa.Field(nullable=True, description="day from which it is late, if unpaid")
    due_on: date = pa.Field(nullable=True, description="day from which its delay counts, if unpaid")
    lost_at: Instant = pa.Field(nullable=True, description="when what was paid ends, once it does")
    lost_by: str = pa.Field(nullable=True, isin=ENDS, description="what ended it")
    source: str = pa.Field(isin=["api", "event"], description="read from the API, or only events")


class SubscriptionHistory(Contract):
    """Every status a subscription had: since when, until when, and why."""

    subscriber_code: str = pa.Field(description="subscription")
    status: str = pa.Field(description="API status")
    valid_from: Instant = pa.Field(description="since")
    valid_to: Instant = pa.Field(nullable=True, description="until; empty = now")
    reason: str = pa.Field(description="what happened")
    source: str = pa.Field(isin=["event", "api"], description="told by an event, or by the API")
    event_id: str = pa.Field(nullable=True, description="the event")

    class Config:
        unique = ["subscriber_code", "valid_from"]


class SubscriptionReadings(Contract):
    """What the API said of a subscription, each time that it said something new."""

    subscription_id: str = pa.Field(description="subscription")
    subscriber_code: str = pa.Field(nullable=True, description="its code")
    status: str = pa.Field(nullable=True, description="API status")
    cancel_requested_at: Instant = pa.Field(nullable=True, description="cancellation asked for")
    next_charge_at: Instant = pa.Field(nullable=True, description="next charge then")
    plan_id: str = pa.Field(nullable=True, description="plan then")
    plan_name: str = pa.Field(nullable=True, description="its name")
    period_days: int = pa.Field(nullable=True, description="length of a recurrence then")
    seen_at: Instant = pa.Field(description="when it was read")


class SubscriptionPeriods(Contract):
    """Stretches of whole days in which a subscription counts and its figures stand still.

    One without a day was bought and lost on it: new and churn of that day, and of no level.
    """

    subscriber_code: str = pa.Field(description="subscription")
    customer_id: str = pa.Field(nullable=True, str_matches=CUSTOMER_ID, description="customer")
    product_id: str = pa.Field(nullable=True, description="product")
    from_day: date = pa.Field(description="first day")
    to_day: date = pa.Field(
        nullable=True,
        description="first day after it; empty = it holds today; the first day itself = it came "
        "and went on it, and counts on none",
    )
    state: str = pa.Field(isin=STATES, description="cancelled = asked for, still paid through")
    is_committed: bool = pa.Field(description="nobody asked to cancel")
    currency: str = pa.Field(nullable=True, str_matches=CURRENCY, description="ISO 4217")
    mrr_gross: Money = pa.Field(nullable=True, description="base by month; 0 in a trial")
    mrr_net: Money = pa.Field(nullable=True, description="own commission by month")
    mrr_gross_home: Money = pa.Field(nullable=True, description="gross in the tenant's currency")
    mrr_net_home: Money = pa.Field(nullable=True, description="net in the tenant's currency")
    ended_by: str = pa.Field(nullable=True, isin=ENDS, description="why nothing follows it")

    class Config:
        unique = ["subscriber_code", "from_day"]


class Access(Contract):
    """Who may use which product now, why, and until when."""

    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="customer")
    product_id: str = pa.Field(description="product")
    status: str = pa.Field(isin=ACCESS, description="grace = late, not yet suspended")
    event: str = pa.Field(description="what decided it")
    reason: str = pa.Field(description="the same in a sentence")
    since: Instant = pa.Field(nullable=True, description="since when")
    until: Instant = pa.Field(nullable=True, description="when it changes if nothing happens")
    plan: str = pa.Field(nullable=True, description="plan of the platform")
    trial_ends_at: Instant = pa.Field(nullable=True, description="end of the trial, in one")
    is_disputed: bool = pa.Field(description="a payment of it is disputed")
    subscriber_code: str = pa.Field(nullable=True, description="the subscription that grants it")
    decided_by: str = pa.Field(nullable=True, description="the person who decided, if one did")

    class Config:
        unique = ["customer_id", "product_id"]


class AccessLog(Contract):
    """Every change of an access, once, in the order in which it was noticed."""

    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="customer, as written then")
    product_id: str = pa.Field(description="product")
    before: str = pa.Field(nullable=True, isin=ACCESS, description="status before; empty = none")
    status: str = pa.Field(isin=ACCESS, description="status from now on")
    event: str = pa.Field(description="what decided it")
    reason: str = pa.Field(description="the same in a sentence")
    since: Instant = pa.Field(nullable=True, description="since when it holds")
    plan: str = pa.Field(nullable=True, description="plan of the platform")
    is_disputed: bool = pa.Field(description="a payment of it is disputed")
    decided_by: str = pa.Field(nullable=True, description="the person who decided, if one did")
    noted_at: Instant = pa.Field(description="when it was noticed")
