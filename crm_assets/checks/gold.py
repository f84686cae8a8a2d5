"""Contracts of the gold tables: answers."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import pandera.polars as pa
import polars as pl

from crm_assets.checks.contract import Contract, Instant, Money, Texts
from crm_assets.checks.silver import BATCH_STATUSES, CUSTOMER_ID, E164

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
        isin=["nunca_contatado", "contato_antigo"], description="why this place in the order"
    )
    last_purchase_at: Instant = pa.Field(nullable=True, description="last payment at selection")
    last_contact_at: Instant = pa.Field(nullable=True, description="last contact at selection")
    status: str = pa.Field(isin=BATCH_STATUSES, description="what became of the place")

    class Config:
        unique = ["batch_date", "position"]
