"""Contracts of the bronze tables: what a record is, as received."""

from __future__ import annotations

from datetime import date

import pandera.polars as pa

from crm_assets.checks.contract import Contract, Instant, Money, Rate, Texts


class _Received(Contract):
    raw: str = pa.Field(description="the whole record as received, JSON")
    slice: str = pa.Field(description="partition key that brought the record")
    extracted_at: Instant = pa.Field(description="when the run read it")
    run_id: str = pa.Field(description="Dagster run that wrote it")


class HotmartTransactions(_Received):
    """One row per transaction of `sales/history`."""

    transaction: str = pa.Field(unique=True, str_matches=r"^\S+$", description="transaction code")
    status: str = pa.Field(nullable=True, description="status, the vendor's spelling")
    ordered_at: Instant = pa.Field(nullable=True, description="order date")
    approved_at: Instant = pa.Field(nullable=True, description="approval date")
    warranty_expires_at: Instant = pa.Field(nullable=True, description="end of the guarantee")
    product_id: str = pa.Field(nullable=True, description="product id")
    product_name: str = pa.Field(nullable=True, description="product name")
    buyer_name: str = pa.Field(nullable=True, description="buyer's name")
    buyer_email: str = pa.Field(nullable=True, description="buyer's e-mail")
    buyer_ucode: str = pa.Field(nullable=True, description="buyer's id at Hotmart")
    price_value: Money = pa.Field(nullable=True, description="what the buyer paid")
    price_currency: str = pa.Field(nullable=True, description="its currency, ISO 4217")
    payment_type: str = pa.Field(nullable=True, description="payment type")
    payment_method: str = pa.Field(nullable=True, description="payment method")
    installments: int = pa.Field(nullable=True, description="number of instalments")
    recurrence_number: int = pa.Field(nullable=True, description="charge number of a subscription")
    is_subscription: bool = pa.Field(nullable=True, description="belongs to a subscription")
    commission_as: str = pa.Field(nullable=True, description="our role in the sale")
    offer_code: str = pa.Field(nullable=True, description="offer")
    payment_mode: str = pa.Field(nullable=True, description="offer's payment mode")
    fee_total: Money = pa.Field(nullable=True, description="Hotmart's fee")
    fee_base: Money = pa.Field(nullable=True, description="price without instalment interest")
    fee_currency: str = pa.Field(nullable=True, description="currency of the fee")
    source_src: str = pa.Field(nullable=True, description="tracking: src")
    source_sck: str = pa.Field(nullable=True, description="tracking: sck")


class HotmartCustomers(_Received):
    """One row per buyer of a transaction, from `sales/users` with role BUYER."""

    transaction: str = pa.Field(str_matches=r"^\S+$", description="transaction code")
    ucode: str = pa.Field(nullable=True, description="buyer's id at Hotmart")
    name: str = pa.Field(nullable=True, description="name")
    email: str = pa.Field(nullable=True, description="e-mail")
    cellphone: str = pa.Field(nullable=True, description="mobile, prefix glued to the number")
    phone: str = pa.Field(nullable=True, description="other phone")
    document: str = pa.Field(nullable=True, description="first document")
    document_type: str = pa.Field(nullable=True, description="kind of that document")
    city: str = pa.Field(nullable=True, description="address: city")
    state: str = pa.Field(nullable=True, description="address: state")
    country: str = pa.Field(nullable=True, description="address: country")
    zip_code: str = pa.Field(nullable=True, description="address: postcode")
    locale: str = pa.Field(nullable=True, description="locale of the account")


class HotmartCommissions(_Received):
    """One row per commission of a transaction, from `sales/commissions`."""

    transaction: str = pa.Field(str_matches=r"^\S+$", description="transaction code")
    source: str = pa.Field(nullable=True, description="role of who earns it")
    value: Money = pa.Field(nullable=True, description="commission")
    currency: str = pa.Field(nullable=True, description="its currency, ISO 4217")
    user_ucode: str = pa.Field(nullable=True, description="id of who earns it at Hotmart")
    exchange_rate: Rate = pa.Field(nullable=True, description="rate of the payout")


class HotmartPriceDetails(_Received):
    """One row per transaction of `sales/price/details`."""

    transaction: str = pa.Field(unique=True, str_matches=r"^\S+$", description="transaction code")
    base_value: Money = pa.Field(nullable=True, description="price without tax and interest")
    base_currency: str = pa.Field(nullable=True, description="its currency")
    total_value: Money = pa.Field(nullable=True, description="what the buyer paid")
    total_currency: str = pa.Field(nullable=True, description="its currency")
    vat_value: Money = pa.Field(nullable=True, description="tax, European Union and Mexico")
    interest_value: Money = pa.Field(nullable=True, description="instalment interest")
    coupon_code: str = pa.Field(nullable=True, description="coupon")
    coupon_value: Rate = pa.Field(nullable=True, description="the coupon's discount, as received")
    conversion_rate: Rate = pa.Field(nullable=True, description="buyer's currency per offer's")


class HotmartSubscriptionTransactions(_Received):
    """One row per charge, from `subscriptions/transactions`; up to 24 hours old."""

    transaction: str = pa.Field(str_matches=r"^\S+$", description="transaction code")
    subscription_id: str = pa.Field(nullable=True, description="subscription")
    subscriber_code: str = pa.Field(nullable=True, description="buyer and product")
    subscription_status: str = pa.Field(nullable=True, description="status of the subscription")
    billing_type: str = pa.Field(nullable=True, description="kind of billing")
    status: str = pa.Field(nullable=True, description="status, this endpoint's spelling")
    ordered_at: Instant = pa.Field(nullable=True, description="order date")
    approved_at: Instant = pa.Field(nullable=True, description="approval date")
    refunded_at: Instant = pa.Field(nullable=True, description="refund or chargeback")
    refusal_message: str = pa.Field(nullable=True, description="why a card was refused")
    payment_type: str = pa.Field(nullable=True, description="payment type")
    installment_number: int = pa.Field(nullable=True, description="number of instalments")
    installment_type: str = pa.Field(nullable=True, description="kind of instalments")
    recurrence_number: int = pa.Field(nullable=True, description="which charge")
    recurrence_status: str = pa.Field(nullable=True, description="how it stands")
    recurrence_started_at: Instant = pa.Field(nullable=True, description="start of the period")
    delay_days: int = pa.Field(nullable=True, description="days late")
    price_value: Money = pa.Field(nullable=True, description="price without interest")
    total_value: Money = pa.Field(nullable=True, description="what the buyer paid")
    price_currency: str = pa.Field(nullable=True, description="their currency")
    own_value: Money = pa.Field(nullable=True, description="the producer's commission")
    own_currency: str = pa.Field(nullable=True, description="its currency")
    cancelled_at: Instant = pa.Field(nullable=True, description="cancellation")
    adopted_at: Instant = pa.Field(nullable=True, description="adhesion")
    next_charge_at: Instant = pa.Field(nullable=True, description="next charge")
    trial_ends_at: Instant = pa.Field(nullable=True, description="end of the trial")
    plan_name: str = pa.Field(nullable=True, description="plan")
    period_days: int = pa.Field(nullable=True, description="7, 30, 60, 90, 180 or 360")
    offer_code: str = pa.Field(nullable=True, description="offer")
    product_id: str = pa.Field(nullable=True, description="product id")
    subscriber_name: str = pa.Field(nullable=True, description="name")
    subscriber_email: str = pa.Field(nullable=True, description="e-mail")
    subscriber_phone_ddd: str = pa.Field(nullable=True, description="area code")
    subscriber_phone: str = pa.Field(nullable=True, description="phone")


class HotmartSubscriptions(_Received):
    """One row per subscription of `subscriptions`, as it stands."""

    subscription_id: str = pa.Field(unique=True, str_matches=r"^\S+$", description="subscription")
    subscriber_code: str = pa.Field(nullable=True, description="buyer and product")
    status: str = pa.Field(nullable=True, description="status, the vendor's spelling")
    accession_at: Instant = pa.Field(nullable=True, description="accession")
    cancel_requested_at: Instant = pa.Field(nullable=True, description="cancellation asked for")
    requested_at: Instant = pa.Field(nullable=True, description="request")
    next_charge_at: Instant = pa.Field(
        nullable=True, description="next charge, or last day of access"
    )
    is_trial: bool = pa.Field(nullable=True, description="on trial")
    transaction: str = pa.Field(nullable=True, description="first transaction")
    plan_id: str = pa.Field(nullable=True, description="plan id")
    plan_name: str = pa.Field(nullable=True, description="plan")
    period_days: int = pa.Field(nullable=True, description="7, 30, 60, 90, 180 or 360")
    max_charge_cycles: int = pa.Field(nullable=True, description="charges; empty = no end")
    product_id: str = pa.Field(nullable=True, description="product id")
    product_name: str = pa.Field(nullable=True, description="product name")
    price_value: Money = pa.Field(nullable=True, description="price of a charge")
    price_currency: str = pa.Field(nullable=True, description="its currency")
    subscriber_name: str = pa.Field(nullable=True, description="name")
    subscriber_email: str = pa.Field(nullable=True, description="e-mail")
    subscriber_ucode: str = pa.Field(nullable=True, description="subscriber's id at Hotmart")


class ManychatContacts(_Received):
    """One row per line of a ManyChat contact file."""

    line: int = pa.Field(ge=1, description="line in the file, header = 1")
    manychat_id: str = pa.Field(nullable=True, description="contact id at ManyChat")
    first_name: str = pa.Field(nullable=True, description="first name")
    last_name: str = pa.Field(nullable=True, description="last name")
    full_name: str = pa.Field(nullable=True, description="full name")
    email: str = pa.Field(nullable=True, description="e-mail")
    phone: str = pa.Field(nullable=True, description="phone")
    whatsapp_phone: str = pa.Field(nullable=True, description="WhatsApp number")
    whatsapp_bsuid: str = pa.Field(nullable=True, description="WhatsApp business-scoped id")
    whatsapp_username: str = pa.Field(nullable=True, description="WhatsApp user name")
    ig_username: str = pa.Field(nullable=True, description="Instagram handle")
    ig_id: str = pa.Field(nullable=True, description="Instagram id")
    subscribed_at: Instant = pa.Field(nullable=True, description="registration date")
    last_interaction_at: Instant = pa.Field(nullable=True, description="last message received")
    last_seen_at: Instant = pa.Field(nullable=True, description="last seen")
    remarketing_at: Instant = pa.Field(nullable=True, description="last remarketing contact")
    scheduled: str = pa.Field(nullable=True, description="agendamento, SIM or NAO")
    scheduled_at: Instant = pa.Field(nullable=True, description="data_agendamento")
    contact_flag: str = pa.Field(nullable=True, description="contactar, SIM or NAO")
    contact_at: Instant = pa.Field(nullable=True, description="data_contactar")
    tags: Texts = pa.Field(nullable=True, description="tags")
    optin_whatsapp: bool = pa.Field(nullable=True, description="opt-in for WhatsApp")
    optin_sms: bool = pa.Field(nullable=True, description="opt-in for SMS")
    optin_email: bool = pa.Field(nullable=True, description="opt-in for e-mail")
    locale: str = pa.Field(nullable=True, description="locale")
    language: str = pa.Field(nullable=True, description="language")
    timezone: str = pa.Field(nullable=True, description="time zone")
    custom_fields: str = pa.Field(nullable=True, description="unmapped columns, JSON")


class HotmartCsv(_Received):
    """One row per line of a sales export of Hotmart's panel."""

    line: int = pa.Field(ge=1, description="line in the file, header = 1")
    transaction: str = pa.Field(str_matches=r"^\S+$", description="transaction code")
    status: str = pa.Field(nullable=True, description="status, the API's word where it is known")
    ordered_at: Instant = pa.Field(nullable=True, description="order date")
    approved_at: Instant = pa.Field(nullable=True, description="approval date")
    product_id: str = pa.Field(nullable=True, description="product id")
    product_name: str = pa.Field(nullable=True, description="product name")
    buyer_name: str = pa.Field(nullable=True, description="buyer's name")
    buyer_email: str = pa.Field(nullable=True, description="buyer's e-mail")
    buyer_phone: str = pa.Field(nullable=True, description="buyer's phone, area code before it")
    buyer_document: str = pa.Field(nullable=True, description="buyer's document")
    city: str = pa.Field(nullable=True, description="address: city")
    state: str = pa.Field(nullable=True, description="address: state")
    country: str = pa.Field(nullable=True, description="address: country")
    price_value: Money = pa.Field(nullable=True, description="what the buyer paid")
    price_currency: str = pa.Field(nullable=True, description="its currency, ISO 4217")
    payment_type: str = pa.Field(nullable=True, description="payment type, as written")
    payment_method: str = pa.Field(nullable=True, description="payment method, as written")
    installments: int = pa.Field(nullable=True, description="number of instalments")
    offer_code: str = pa.Field(nullable=True, description="offer")
    recurrence_number: int = pa.Field(nullable=True, description="charge number of a subscription")
    net_value: Money = pa.Field(nullable=True, description="our own commission")
    net_currency: str = pa.Field(nullable=True, description="its currency, ISO 4217")
    commission_as: str = pa.Field(nullable=True, description="our role in the sale")
    source_src: str = pa.Field(nullable=True, description="tracking: src")
    source_sck: str = pa.Field(nullable=True, description="tracking: sck")


class CrmActions(Contract):
    """The action log of the operations store, one row per action."""

    id: int = pa.Field(unique=True, description="position in the log")
    kind: str = pa.Field(description="what happened")
    idempotency_key: str = pa.Field(description="the same action is recorded once")
    customer_id: str = pa.Field(nullable=True, description="customer, as written then")
    day: date = pa.Field(nullable=True, description="day the action speaks of")
    email_key: str = pa.Field(nullable=True, description="e-mail key")
    phone_key: str = pa.Field(nullable=True, description="phone key")
    channel: str = pa.Field(nullable=True, description="channel; empty = all")
    purpose: str = pa.Field(nullable=True, description="purpose; empty = all")
    payload: str = pa.Field(nullable=True, description="details, JSON")
    actor: str = pa.Field(nullable=True, description="who")
    reason: str = pa.Field(nullable=True, description="why")
    occurred_at: Instant = pa.Field(description="when")
