"""Contracts of what webhooks tell: events as received and as understood, carts and triggers."""

from __future__ import annotations

from typing import get_args

import pandera.polars as pa

from crm_assets.bronze.hotmart_event_rows import KINDS
from crm_assets.checks.contract import Contract, Instant, Money
from crm_assets.checks.silver import CUSTOMER_ID, E164, SOURCES
from crm_assets.tenants import Trigger

SALE_STATUSES = [
    "APPROVED", "COMPLETE", "CANCELLED", "REFUNDED", "CHARGEBACK", "EXPIRED", "OVERDUE",
    "PROTESTED", "PRINTED_BILLET",
]  # fmt: skip
TRIGGERS = list(get_args(Trigger))


class _Told(Contract):
    event_id: str = pa.Field(unique=True, description="id of the event, as sent")
    occurred_at: Instant = pa.Field(description="when it happened, never after it was received")
    received_at: Instant = pa.Field(description="when it came")
    transaction: str = pa.Field(nullable=True, str_matches=r"^\S+$", description="transaction")
    parent_transaction: str = pa.Field(nullable=True, description="sale that an order bump is of")
    subscriber_code: str = pa.Field(nullable=True, description="buyer and product")
    subscription_id: str = pa.Field(nullable=True, description="subscription")
    product_id: str = pa.Field(nullable=True, description="product")
    product_name: str = pa.Field(nullable=True, description="product's name then")
    offer_code: str = pa.Field(nullable=True, description="offer")
    plan_id: str = pa.Field(nullable=True, description="plan; of a switch, the one before it")
    plan_name: str = pa.Field(nullable=True, description="its name")
    email: str = pa.Field(nullable=True, description="e-mail, as written")
    name: str = pa.Field(nullable=True, description="name, as written")
    phone: str = pa.Field(nullable=True, description="phone, area code before it")
    document: str = pa.Field(nullable=True, description="document, as written")
    country: str = pa.Field(nullable=True, description="address: country")
    state: str = pa.Field(nullable=True, description="address: state")
    city: str = pa.Field(nullable=True, description="address: city")
    checkout_country: str = pa.Field(nullable=True, description="country of the checkout")
    subscription_status: str = pa.Field(nullable=True, description="of the subscription, as sent")
    price_value: Money = pa.Field(nullable=True, description="the offer's price")
    full_price_value: Money = pa.Field(nullable=True, description="what the buyer pays")
    currency: str = pa.Field(nullable=True, str_matches=r"^[A-Z]{3}$", description="ISO 4217")
    net_value: Money = pa.Field(nullable=True, description="the producer's commission")
    order_at: Instant = pa.Field(nullable=True, description="order date")
    approved_at: Instant = pa.Field(nullable=True, description="approval date")
    next_charge_at: Instant = pa.Field(nullable=True, description="next charge, or end of access")
    cancelled_at: Instant = pa.Field(nullable=True, description="cancellation")
    switched_at: Instant = pa.Field(nullable=True, description="switch of the plan")
    recurrence_number: int = pa.Field(nullable=True, description="which charge")
    payment_type: str = pa.Field(nullable=True, description="payment type")
    installments: int = pa.Field(nullable=True, description="number of instalments")
    refusal_reason: str = pa.Field(nullable=True, description="why the payment was refused")
    new_plan_id: str = pa.Field(nullable=True, description="plan after a switch")
    new_plan_name: str = pa.Field(nullable=True, description="its name")
    new_offer_code: str = pa.Field(nullable=True, description="its offer")
    new_charge_day: int = pa.Field(nullable=True, description="day of the month after a change")


class HotmartEvents(_Told):
    """One row per webhook body, as received."""

    event: str = pa.Field(nullable=True, description="name, as sent")
    kind: str = pa.Field(
        nullable=True, isin=list(KINDS), description="canonical name; empty = says nothing to us"
    )
    version: str = pa.Field(nullable=True, description="version of the body")
    inbox_id: int = pa.Field(description="its place in the inbox")
    raw: str = pa.Field(description="the whole body as received, JSON; {} once its time is over")
    slice: str = pa.Field(description="day it was received, in the tenant's zone")
    extracted_at: Instant = pa.Field(description="when the run read it")
    run_id: str = pa.Field(description="Dagster run that wrote it")


class Events(_Told):
    """One row per event that was understood: what it says, and whom it speaks of."""

    kind: str = pa.Field(isin=list(KINDS), description="what happened")
    record_id: str = pa.Field(nullable=True, description="contact record of whom it speaks of")
    sale_status: str = pa.Field(
        nullable=True, isin=SALE_STATUSES, description="API status that the event means"
    )


class Carts(Contract):
    """One row per abandoned cart: one person, one product, within 24 hours."""

    cart_id: str = pa.Field(unique=True, description="source and first event")
    source: str = pa.Field(isin=SOURCES, description="where it was abandoned")
    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="whose")
    email_key: str = pa.Field(nullable=True, description="e-mail key given there")
    phone_key: str = pa.Field(nullable=True, str_matches=E164, description="phone key given there")
    product_id: str = pa.Field(nullable=True, description="product")
    product_name: str = pa.Field(nullable=True, description="its name")
    offer_code: str = pa.Field(nullable=True, description="offer")
    cart_at: Instant = pa.Field(description="when it was first abandoned")
    value: Money = pa.Field(nullable=True, ge=0, description="its value, when known or estimated")
    is_estimated: bool = pa.Field(description="the value is the median of what others paid")
    currency: str = pa.Field(nullable=True, str_matches=r"^[A-Z]{3}$", description="ISO 4217")
    events: int = pa.Field(ge=1, description="events that fell into it")


class Triggers(Contract):
    """What holds of whom, that a message can answer."""

    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="customer")
    trigger: str = pa.Field(isin=TRIGGERS, description="what")
    product_id: str = pa.Field(nullable=True, description="of which product")
    since: Instant = pa.Field(nullable=True, description="since when")

    class Config:
        unique = ["customer_id", "trigger", "product_id"]
