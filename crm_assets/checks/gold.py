"""Contracts of the gold tables: answers."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import pandera.polars as pa
import polars as pl

from crm_assets.checks.contract import Contract, Instant, Money, Texts
from crm_assets.checks.silver import BATCH_STATUSES, CUSTOMER_ID, E164, FINDINGS

Amounts = Annotated[pl.List, pl.Struct({"currency": pl.String, "amount": pl.Decimal(18, 2)})]


class Audience(Contract):
    """Buyers of one audience's products with their lifetime value there."""

    customer_id: str = pa.Field(unique=True, str_matches=CUSTOMER_ID, description="customer")
    name: str = pa.Field(nullable=True, description="name")
    email: str = pa.Field(nullable=True, description="e-mail")
    phone: str = pa.Field(nullable=True, str_matches=E164, description="phone, E.164")
    country: str = pa.Field(nullable=True, description="country, ISO-2")
    state: str = pa.Field(nullable=True, description="state")
    ltv: Money = pa.Field(ge=0, description="sum paid in the tenant's currency")
    ltv_net: Money = pa.Field(nullable=True, description="the same, net of fees")
    ltv_foreign: Amounts = pa.Field(description="sums in other currencies")
    orders: int = pa.Field(ge=0, description="checkouts")
    first_purchase_at: Instant = pa.Field(nullable=True, description="first eligible payment")
    last_purchase_at: Instant = pa.Field(nullable=True, description="last eligible payment")
    exportable: bool = pa.Field(description="not opted out")


class DailyReport(Contract):
    """What each load found, one row per day and currency, beside the change since the one before.

    The changes are empty in the first load.
    """

    report_date: date = pa.Field(description="day of the load")
    currency: str = pa.Field(
        nullable=True, str_matches=r"^[A-Z]{3}$", description="ISO 4217; empty = unknown"
    )
    compared_with: date = pa.Field(nullable=True, description="day of the load before")
    buyers: int = pa.Field(ge=0, description="people with a paid purchase, who have a key")
    buyers_change: int = pa.Field(nullable=True, description="change of buyers")
    paid: Money = pa.Field(ge=0, description="sum paid, as in lifetime value")
    paid_change: Money = pa.Field(nullable=True, description="change of the sum paid")
    pending: Money = pa.Field(ge=0, description="sum of sales still to be paid")
    pending_change: Money = pa.Field(nullable=True, description="change of the sum pending")
    cancellations: int = pa.Field(ge=0, description="cancelled, refunded or charged back sales")
    cancellations_change: int = pa.Field(nullable=True, description="change of cancellations")
    cancelled: Money = pa.Field(ge=0, description="their gross sum, partial refunds included whole")
    cancelled_change: Money = pa.Field(nullable=True, description="change of the sum cancelled")

    class Config:
        unique = ["report_date", "currency"]


class RemarketingBatches(Contract):
    """The people of each day's batch; a day once selected is history."""

    batch_date: date = pa.Field(description="day of the batch")
    position: int = pa.Field(ge=1, le=50, description="place in the batch")
    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="customer")
    name: str = pa.Field(nullable=True, description="name")
    email: str = pa.Field(nullable=True, description="e-mail")
    phone: str = pa.Field(nullable=True, str_matches=E164, description="phone, E.164")
    audiences: Texts = pa.Field(description="audiences bought from")
    reason: str = pa.Field(
        isin=["carrinho_aberto", "nunca_contatado", "contato_antigo", "restaurado"],
        description="why this place in the order; restored from the log: no longer known",
    )
    last_purchase_at: Instant = pa.Field(nullable=True, description="last payment at selection")
    last_contact_at: Instant = pa.Field(nullable=True, description="last contact at selection")
    status: str = pa.Field(isin=BATCH_STATUSES, description="what became of the place")

    class Config:
        unique = ["batch_date", "position"]


class IdentityReview(Contract):
    """What a person should look at in the customer master, what weighs most first."""

    position: int = pa.Field(ge=1, unique=True, description="place in the list")
    finding: str = pa.Field(isin=FINDINGS, description="what was found")
    reason: str = pa.Field(description="the same in a sentence")
    remedy: str = pa.Field(description="what to do, and with which command")
    customer_ids: Texts = pa.Field(description="customers concerned")
    customers: int = pa.Field(ge=0, description="how many")
    records: Texts = pa.Field(description="their records, source:id")
    record_count: int = pa.Field(ge=0, description="how many")
    kind: str = pa.Field(nullable=True, isin=["email", "phone"], description="kind of key")
    key: str = pa.Field(nullable=True, description="the shared key")
    sales: int = pa.Field(ge=0, description="eligible sales of these customers")
    value: Money = pa.Field(ge=0, description="what they paid, in the tenant's currency")
    since: Instant = pa.Field(description="first found")
