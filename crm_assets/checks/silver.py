"""Contracts of the silver tables: one person, one truth."""

from __future__ import annotations

from datetime import date

import pandera.polars as pa
import polars as pl

from crm_assets.checks.contract import Contract, Instant, Money, Texts

SOURCES = ["hotmart", "woocommerce", "form", "manychat", "crm"]
"""Sources, the better one first (rules 2.6)."""

CUSTOMER_ID = r"^cus_[0-9a-f]{32}$"
DECIDED_BY = [
    "pin", "valid", "source", "newest", "oldest", "most_frequent", "record_id", "only",
]  # fmt: skip
MARKS = len(DECIDED_BY) + 1
E164 = r"^\+[1-9][0-9]{6,14}$"
JOINED_BY = ["email", "phone", "source", "decision", "own"]
KEY_STATUSES = ["personal", "household", "generic", "blocked"]
FINDINGS = [
    "perfil_em_quarentena", "documentos_diferentes", "documentos_separados",
    "compradores_separados", "mantidos_separados", "telefone_compartilhado", "caixa_de_funcao",
    "regra_ignorada",
]  # fmt: skip
BATCH_STATUSES = ["selecionado", "entregue", "pulado", "nao_entregue", "retirado"]
STATUS_CLASSES = [
    "paid", "pending", "late", "failed", "reversed", "disputed", "partial", "unknown",
]  # fmt: skip


class ContactRecords(Contract):
    """One row per raw record of every source, with its identity keys or why it has none."""

    record_id: str = pa.Field(unique=True, description="source and position of the raw record")
    source: str = pa.Field(isin=SOURCES, description="where it came from")
    source_id: str = pa.Field(
        description="the source's own id of the person, else of the record, which no other has"
    )
    source_key: str = pa.Field(nullable=True, description="the source's id when it names a person")
    observed_at: Instant = pa.Field(description="when the source said so")
    email: str = pa.Field(nullable=True, description="e-mail, cleaned")
    email_key: str = pa.Field(nullable=True, description="e-mail as identity key")
    email_reason: str = pa.Field(nullable=True, description="why there is no e-mail key")
    phone: str = pa.Field(nullable=True, str_matches=E164, description="phone, E.164")
    phone_key: str = pa.Field(nullable=True, str_matches=E164, description="phone as identity key")
    phone_reason: str = pa.Field(nullable=True, description="why there is no phone key")
    phone_kind: str = pa.Field(nullable=True, description="mobile, landline, ...")
    name: str = pa.Field(nullable=True, description="name")
    first_name: str = pa.Field(nullable=True, description="first name, for a greeting")
    document: str = pa.Field(nullable=True, description="document, canonical")
    document_kind: str = pa.Field(nullable=True, description="cpf, cnpj, foreign")
    document_valid: bool = pa.Field(nullable=True, description="check digits hold")
    instagram: str = pa.Field(nullable=True, description="Instagram handle")
    hotmart_ucode: str = pa.Field(nullable=True, description="buyer's id at Hotmart")
    manychat_id: str = pa.Field(nullable=True, description="contact's id at ManyChat")
    city: str = pa.Field(nullable=True, description="city")
    state: str = pa.Field(nullable=True, description="state; for Brazil the UF")
    state_source: str = pa.Field(nullable=True, isin=["endereco", "ddd"], description="its origin")
    country: str = pa.Field(nullable=True, str_matches=r"^[A-Z]{2}$", description="country, ISO-2")
    has_address: bool = pa.Field(description="the place comes from an address")
    first_seen_at: Instant = pa.Field(nullable=True, description="registration or first order")
    last_interaction_at: Instant = pa.Field(nullable=True, description="last inbound message")
    remarketing_at: Instant = pa.Field(nullable=True, description="last remarketing contact")
    optin_whatsapp: bool = pa.Field(nullable=True, description="opt-in for WhatsApp")
    optin_sms: bool = pa.Field(nullable=True, description="opt-in for SMS")
    optin_email: bool = pa.Field(nullable=True, description="opt-in for e-mail")
    is_own: bool = pa.Field(description="not merely another producer's buyer")


class SaleRecords(Contract):
    """One row per transaction of every source, its latest state, before it has an owner."""

    sale_id: str = pa.Field(unique=True, description="source and transaction")
    source: str = pa.Field(isin=SOURCES, description="where it was sold")
    record_id: str = pa.Field(description="contact record of the buyer")
    order_id: str = pa.Field(description="checkout; order bumps share their parent's")
    status: str = pa.Field(nullable=True, description="status as received")
    status_class: str = pa.Field(isin=STATUS_CLASSES, description="what the status means")
    product_id: str = pa.Field(nullable=True, description="product")
    product_name: str = pa.Field(nullable=True, description="product's name then")
    offer_code: str = pa.Field(nullable=True, description="offer")
    ordered_at: Instant = pa.Field(nullable=True, description="order date")
    paid_at: Instant = pa.Field(nullable=True, description="approval date, else the order date")
    paid_at_assumed: bool = pa.Field(description="paid_at is the order date")
    refunded_at: Instant = pa.Field(nullable=True, description="refund or chargeback, when known")
    refunded_at_source: str = pa.Field(
        nullable=True, isin=["informado", "observado"], description="told, or first seen by us"
    )
    currency: str = pa.Field(nullable=True, str_matches=r"^[A-Z]{3}$", description="ISO 4217")
    gross: Money = pa.Field(nullable=True, description="what the buyer paid, interest included")
    base: Money = pa.Field(nullable=True, description="price without interest")
    fees: Money = pa.Field(nullable=True, description="the platform's fee, same currency only")
    net: Money = pa.Field(nullable=True, description="our commission, else base less fees")
    net_currency: str = pa.Field(nullable=True, description="currency of net and shares")
    net_estimated: bool = pa.Field(description="net is not the commission but an estimate")
    affiliate_share: Money = pa.Field(nullable=True, description="commission of affiliates")
    coproducer_share: Money = pa.Field(nullable=True, description="commission of co-producers")
    value: Money = pa.Field(nullable=True, description="gross in the tenant's currency")
    net_value: Money = pa.Field(nullable=True, description="net in the tenant's currency")
    is_paid: bool = pa.Field(description="paid and not reversed, disputed or partly refunded")
    was_paid: bool = pa.Field(description="paid at some time, reversal or not")
    is_refunded: bool = pa.Field(description="refunded or charged back")
    reversal_kind: str = pa.Field(nullable=True, isin=["refund", "chargeback"], description="which")
    is_disputed: bool = pa.Field(description="open dispute")
    is_subscription: bool = pa.Field(nullable=True, description="belongs to a subscription")
    subscriber_code: str = pa.Field(nullable=True, description="the subscription: buyer, product")
    recurrence_number: int = pa.Field(nullable=True, description="charge number")
    is_new_order: bool = pa.Field(description="not a renewal nor a later instalment")
    payment_type: str = pa.Field(nullable=True, description="payment type")
    payment_mode: str = pa.Field(nullable=True, description="offer's payment mode")
    installments: int = pa.Field(nullable=True, description="number of instalments")
    commission_as: str = pa.Field(nullable=True, description="our role in the sale")
    is_own: bool = pa.Field(description="our sale, not one we were affiliate of")
    is_purchase: bool = pa.Field(description="an own sale once paid, above zero")
    is_eligible: bool = pa.Field(description="counts in lifetime value")


class Sales(SaleRecords):
    """Every sale with its customer."""

    customer_id: str = pa.Field(nullable=True, str_matches=CUSTOMER_ID, description="the buyer")
    is_erased: bool = pa.Field(description="the buyer was erased: the id is random and nobody's")


class Products(Contract):
    """One row per product ever sold, with the audiences it belongs to."""

    product_id: str = pa.Field(description="product")
    source: str = pa.Field(isin=SOURCES, description="where it is sold")
    name: str = pa.Field(nullable=True, description="latest name")
    audiences: Texts = pa.Field(description="slugs of its audiences")
    is_mapped: bool = pa.Field(description="named by an audience, not merely the rest")
    first_sold_at: Instant = pa.Field(nullable=True, description="first order")
    last_sold_at: Instant = pa.Field(nullable=True, description="last order")

    class Config:
        unique = ["source", "product_id"]


class CustomerXref(Contract):
    """Which customer a raw record belongs to, since when, and the key that joined it."""

    record_id: str = pa.Field(description="contact record")
    source: str = pa.Field(isin=SOURCES, description="its source")
    source_id: str = pa.Field(description="its id there")
    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="customer")
    joined_by: str = pa.Field(isin=JOINED_BY, description="kind of key; decision = a steward")
    key_hash: pl.UInt64 = pa.Field(nullable=True, description="hash of that key")
    valid_from: Instant = pa.Field(description="since")
    valid_to: Instant = pa.Field(nullable=True, description="until; empty = now")


class KeyStatus(Contract):
    """Keys of many records and keys that join nobody; every other key is personal."""

    kind: str = pa.Field(isin=["email", "phone"], description="kind of key")
    key: str = pa.Field(description="the key")
    status: str = pa.Field(isin=KEY_STATUSES, description="whom it joins")
    reason: str = pa.Field(nullable=True, description="why it does not join everybody")
    records: int = pa.Field(ge=1, description="records that carry it")
    other_keys: int = pa.Field(nullable=True, ge=0, description="phones of an e-mail, or reverse")
    first_names: int = pa.Field(nullable=True, ge=0, description="first names seen with it")
    since: Instant = pa.Field(description="since when it has this status")

    class Config:
        unique = ["kind", "key"]


class IdentityFindings(Contract):
    """What the identity engine kept apart, or joined with a doubt, for a person to look at."""

    finding: str = pa.Field(isin=FINDINGS, description="what was found")
    customer_ids: Texts = pa.Field(description="customers concerned")
    records: Texts = pa.Field(description="records concerned, as source:id")
    kind: str = pa.Field(nullable=True, isin=["email", "phone"], description="kind of the key")
    key: str = pa.Field(nullable=True, description="the key concerned")
    since: Instant = pa.Field(description="since when")


class CustomerIds(Contract):
    """Every id ever minted, the record it was minted for, and the id that answers for it now."""

    customer_id: str = pa.Field(unique=True, str_matches=CUSTOMER_ID, description="the id")
    anchor: str = pa.Field(description="source and id of the record it was minted for")
    minted_at: Instant = pa.Field(description="when")
    survivor_id: str = pa.Field(
        nullable=True, str_matches=CUSTOMER_ID, description="itself, where it went, or nobody"
    )


class CustomerMerges(Contract):
    """What happened to ids: mint, split, merge, revive, retire."""

    occurred_at: Instant = pa.Field(description="when")
    event: str = pa.Field(isin=["mint", "split", "merge", "revive", "retire"], description="what")
    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="whose id")
    survivor_id: str = pa.Field(nullable=True, description="the id that answers from now on")


class Customers(Contract):
    """One row per person."""

    customer_id: str = pa.Field(unique=True, str_matches=CUSTOMER_ID, description="stable id")
    email: str = pa.Field(nullable=True, description="e-mail")
    phone: str = pa.Field(nullable=True, str_matches=E164, description="phone, E.164")
    phone_kind: str = pa.Field(nullable=True, description="mobile, landline, ...")
    name: str = pa.Field(nullable=True, description="name")
    first_name: str = pa.Field(nullable=True, description="first name")
    document: str = pa.Field(nullable=True, description="document")
    document_kind: str = pa.Field(nullable=True, description="cpf, cnpj, foreign")
    instagram: str = pa.Field(nullable=True, description="Instagram handle")
    hotmart_ucode: str = pa.Field(nullable=True, description="buyer's id at Hotmart")
    manychat_id: str = pa.Field(nullable=True, description="contact's id at ManyChat")
    city: str = pa.Field(nullable=True, description="city")
    state: str = pa.Field(nullable=True, description="state")
    state_source: str = pa.Field(nullable=True, description="endereco or ddd")
    country: str = pa.Field(nullable=True, description="country, ISO-2")
    source: str = pa.Field(isin=SOURCES, description="highest-ranking source present")
    sources: Texts = pa.Field(description="all sources")
    records: int = pa.Field(ge=1, description="raw records behind this person")
    audiences: Texts = pa.Field(description="audiences bought from")
    segment: str = pa.Field(
        nullable=True, description="audiences in one word for a file; AMBOS = both"
    )
    has_purchased: bool = pa.Field(description="holds a purchase that was not reversed")
    orders: int = pa.Field(ge=0, description="checkouts paid")
    first_seen_at: Instant = pa.Field(nullable=True, description="first known")
    last_purchase_at: Instant = pa.Field(nullable=True, description="latest payment ever made")
    last_refund_at: Instant = pa.Field(nullable=True, description="latest refund or chargeback")
    has_open_dispute: bool = pa.Field(description="a payment is disputed now")
    last_contact_at: Instant = pa.Field(nullable=True, description="latest remarketing contact")
    last_interaction_at: Instant = pa.Field(nullable=True, description="latest inbound message")
    opted_out: bool = pa.Field(description="asked not to be contacted at all, by any key")
    blocked_channels: Texts = pa.Field(description="of whatsapp, sms, email, those refused")
    reachable: bool = pa.Field(description="valid mobile and WhatsApp not refused")
    is_own: bool = pa.Field(description="not merely another producer's buyer")


class FieldChoices(Contract):
    """Which fields each record of a customer won: 1 = came second, from 2 on = won, and why."""

    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="customer")
    record_id: str = pa.Field(unique=True, description="record; acao:<id> = a steward's pin")
    email: pl.UInt8 = pa.Field(nullable=True, ge=1, le=MARKS, description="mark for the e-mail")
    phone: pl.UInt8 = pa.Field(nullable=True, ge=1, le=MARKS, description="mark for the phone")
    name: pl.UInt8 = pa.Field(nullable=True, ge=1, le=MARKS, description="mark for the name")
    document: pl.UInt8 = pa.Field(
        nullable=True, ge=1, le=MARKS, description="mark for the document"
    )
    instagram: pl.UInt8 = pa.Field(nullable=True, ge=1, le=MARKS, description="mark for Instagram")
    hotmart_ucode: pl.UInt8 = pa.Field(
        nullable=True, ge=1, le=MARKS, description="mark for the buyer's id"
    )
    manychat_id: pl.UInt8 = pa.Field(
        nullable=True, ge=1, le=MARKS, description="mark for ManyChat's id"
    )
    place: pl.UInt8 = pa.Field(nullable=True, ge=1, le=MARKS, description="mark for the place")
    city: pl.UInt8 = pa.Field(nullable=True, ge=2, le=2, description="2 = pinned alone")
    state: pl.UInt8 = pa.Field(nullable=True, ge=2, le=2, description="2 = pinned alone")
    country: pl.UInt8 = pa.Field(nullable=True, ge=2, le=2, description="2 = pinned alone")


class CustomerLineage(Contract):
    """Which record fed each field of a customer and why, and which came second."""

    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="customer")
    field: str = pa.Field(
        description="surviving field; place = city, state and country together, a pinned part alone"
    )
    record_id: str = pa.Field(description="winning record; acao:<id> = a steward's pin")
    source: str = pa.Field(isin=[*SOURCES, "pin"], description="its source")
    source_id: str = pa.Field(description="its id there; of a pin, the action's")
    value_hash: str = pa.Field(nullable=True, description="MD5 of the value, to compare")
    observed_at: Instant = pa.Field(description="when the source said so")
    decided_by: str = pa.Field(
        alias="strategy", isin=DECIDED_BY, description="what told winner and runner-up apart"
    )
    runner_up: str = pa.Field(nullable=True, description="record that came second")
    runner_up_source: str = pa.Field(nullable=True, isin=SOURCES, description="its source")

    class Config:
        unique = ["customer_id", "field"]


class ContactHistory(Contract):
    """Every time somebody was spoken to, and whether it counts in the 30-day rule."""

    contact_id: str = pa.Field(unique=True, description="source and position of the fact")
    customer_id: str = pa.Field(str_matches=CUSTOMER_ID, description="customer, as written then")
    day: date = pa.Field(description="calendar day in the tenant's zone")
    occurred_at: Instant = pa.Field(description="when")
    channel: str = pa.Field(nullable=True, description="channel")
    kind: str = pa.Field(isin=["lote_remarketing", "data_remarketing"], description="what it was")
    outcome: str = pa.Field(
        nullable=True, isin=BATCH_STATUSES, description="what became of a place in a batch"
    )
    counts: bool = pa.Field(description="counts as a contact (rules 3.2)")


class Consents(Contract):
    """Every word of a person on being contacted, as it was said; later ones do not rewrite it."""

    key_kind: str = pa.Field(isin=["email", "phone"], description="kind of key")
    key: str = pa.Field(description="the key; Brazilian mobiles with the ninth digit")
    channel: str = pa.Field(nullable=True, description="whatsapp, sms, email; empty = all")
    purpose: str = pa.Field(nullable=True, description="what for; empty = everything")
    status: str = pa.Field(isin=["granted", "revoked"], description="what the person said")
    wording: str = pa.Field(nullable=True, description="sentence that the person agreed to")
    source: str = pa.Field(description="how it came: pedido, manychat, a form")
    evidence: str = pa.Field(nullable=True, description="where the proof is; why it was refused")
    occurred_at: Instant = pa.Field(description="when the person said so")
    actor: str = pa.Field(nullable=True, description="who wrote it down")
    action_id: int = pa.Field(nullable=True, description="its action; empty = seen in an import")


class OptOuts(Contract):
    """Keys that must not be contacted now; a Brazilian mobile with and without the ninth digit."""

    key_kind: str = pa.Field(isin=["email", "phone"], description="kind of key")
    key: str = pa.Field(description="the key")
    channel: str = pa.Field(nullable=True, description="whatsapp, sms, email; empty = all")
    purpose: str = pa.Field(nullable=True, description="what was refused; empty = everything")
    since: Instant = pa.Field(description="when")
    origin: str = pa.Field(isin=["pedido", "manychat"], description="where we learnt of it")
