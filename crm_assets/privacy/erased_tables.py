"""The register of tables: how each one forgets a person (rules 7.2).

Every table of the warehouse and of the snapshots made from it stands here, also those without
anything personal; one that does not is refused by the eraser and fails a test. What a rule needs to
know of the person, `scrub` has put into temporary tables before.
"""

from __future__ import annotations

from dataclasses import dataclass

from crm_assets.privacy.identifiers import Traits

STAMPS = ("raw", "slice", "extracted_at", "run_id")
"""What says where a row of bronze came from."""

ERASED_ID = "apagado:"
"""Stands before the id in the anchor of a customer whose record of that anchor was erased."""


@dataclass(frozen=True)
class Received:
    """A table of rows as received: those of somebody erased keep what is no one's.

    Attributes:
        traits: which columns identify.
        kept: columns that stay; with none of them the whole row goes. `raw` then says the same.
        record: SQL of the contact record or sale that a row belongs to.
        source: its name in the rejects.
        place: SQL of a row's place there.
    """

    traits: Traits
    kept: tuple[str, ...]
    record: str = "NULL"
    source: str = ""
    place: str = "transaction"


@dataclass(frozen=True)
class Keyed:
    """A table whose rows hold identifiers; those of somebody erased go."""

    traits: Traits


@dataclass(frozen=True)
class Related:
    """A table whose rows point at records or customers; statements that each change rows."""

    statements: tuple[str, ...]


@dataclass(frozen=True)
class Remade:
    """A table that the next run writes anew, from what is left; until then it is empty."""


@dataclass(frozen=True)
class Impersonal:
    """A table without anything about one person, and why."""

    why: str


@dataclass(frozen=True)
class Copied:
    """The copy of the action log, taken again from the log."""


@dataclass(frozen=True)
class Rejected:
    """What could not be read: the text of somebody erased is taken out."""


Rule = Received | Keyed | Related | Remade | Impersonal | Copied | Rejected

_BY_KEY: Traits = {
    kind: (f"CASE key_kind WHEN '{kind}' THEN key END",) for kind in ("email", "phone")
}
_BY_KIND: Traits = {kind: (f"CASE kind WHEN '{kind}' THEN key END",) for kind in ("email", "phone")}
_DELETE_RECORDS = "DELETE FROM {table} WHERE record_id IN (SELECT record_id FROM erased_records)"
_DELETE_CUSTOMERS = (
    "DELETE FROM {table} WHERE customer_id IN (SELECT customer_id FROM erased_customers)"
)
_RENAME = """
    UPDATE {table} AS held SET customer_id = surrogate FROM erased_customers AS erased
    WHERE erased.customer_id = held.customer_id AND is_whole
"""

_NO_SUBSCRIBER = """
    UPDATE {table} SET subscriber_code = NULL
    WHERE subscriber_code IS NOT NULL AND record_id IN (SELECT record_id FROM erased_records)
"""
_EVENT: Traits = {
    "sale": ("transaction",),
    "email": ("email",),
    "phone": ("phone",),
    "document": ("document",),
    "subscriber": ("subscriber_code",),
    "name": ("name",),
}

_SUBSCRIBER: Traits = {"subscriber": ("subscriber_code",)}

CONTACT_RECORD: Traits = {
    "email": ("email", "email_key"),
    "phone": ("phone", "phone_key"),
    "document": ("document",),
    "ucode": ("hotmart_ucode",),
    "manychat": ("manychat_id",),
    "social": ("instagram",),
    "sale": ("CASE WHEN starts_with(record_id, 'hotmart:') THEN substr(record_id, 9) END",),
    "name": ("name",),
}
"""What identifies in `silver.contact_records`."""

CUSTOMER: Traits = {
    "email": ("email",),
    "phone": ("phone",),
    "document": ("document",),
    "ucode": ("hotmart_ucode",),
    "manychat": ("manychat_id",),
    "social": ("instagram",),
    "name": ("name",),
}
"""What identifies in `silver.customers`."""

TABLES: dict[str, Rule] = {
    "bronze.hotmart_transactions": Received(
        {
            "sale": ("transaction",),
            "email": ("buyer_email",),
            "ucode": ("buyer_ucode",),
            "name": ("buyer_name",),
        },
        kept=(
            "transaction", "status", "ordered_at", "approved_at", "warranty_expires_at",
            "product_id", "product_name", "price_value", "price_currency", "payment_type",
            "payment_method", "installments", "recurrence_number", "is_subscription",
            "commission_as", "offer_code", "payment_mode", "fee_total", "fee_base",
            "fee_currency",
        ),
        record="'hotmart:' || transaction",
        source="hotmart_transactions",
    ),
    "bronze.hotmart_customers": Received(
        {
            "sale": ("transaction",),
            "email": ("email",),
            "phone": ("cellphone", "phone"),
            "document": ("document",),
            "ucode": ("ucode",),
            "name": ("name",),
        },
        kept=("transaction",),
        record="'hotmart:' || transaction",
        source="hotmart_customers",
    ),
    "bronze.hotmart_commissions": Received(
        {"ucode": ("user_ucode",)},
        kept=("transaction", "source", "value", "currency", "exchange_rate"),
        source="hotmart_commissions",
    ),
    "bronze.hotmart_price_details": Impersonal("só valores da venda"),
    "bronze.hotmart_subscriptions": Received(
        {
            "sale": ("transaction",),
            "email": ("subscriber_email",),
            "ucode": ("subscriber_ucode",),
            "subscriber": ("subscriber_code",),
            "name": ("subscriber_name",),
        },
        kept=(
            "subscription_id", "status", "accession_at", "cancel_requested_at", "requested_at",
            "next_charge_at", "is_trial", "transaction", "plan_id", "plan_name", "period_days",
            "max_charge_cycles", "product_id", "product_name", "price_value", "price_currency",
        ),
        record="'hotmart:' || transaction",
        source="hotmart_subscriptions",
        place="subscription_id",
    ),
    "bronze.hotmart_subscription_transactions": Received(
        {
            "sale": ("transaction",),
            "email": ("subscriber_email",),
            "phone": (
                "concat_ws(' ', subscriber_phone_ddd, subscriber_phone)", "subscriber_phone",
            ),
            "subscriber": ("subscriber_code",),
            "name": ("subscriber_name",),
        },
        kept=(
            "transaction", "subscription_id", "subscription_status", "billing_type", "status",
            "ordered_at", "approved_at", "refunded_at", "payment_type", "installment_number",
            "installment_type", "recurrence_number", "recurrence_status",
            "recurrence_started_at", "delay_days", "price_value", "total_value",
            "price_currency", "own_value", "own_currency", "cancelled_at", "adopted_at",
            "next_charge_at", "trial_ends_at", "plan_name", "period_days", "offer_code",
            "product_id",
        ),
        record="'hotmart:' || transaction",
        source="hotmart_subscription_transactions",
    ),
    "bronze.hotmart_csv": Received(
        {
            "sale": ("transaction",),
            "email": ("buyer_email",),
            "phone": ("buyer_phone",),
            "document": ("buyer_document",),
            "name": ("buyer_name",),
        },
        kept=(
            "line", "transaction", "status", "ordered_at", "approved_at", "product_id",
            "product_name", "price_value", "price_currency", "payment_type", "payment_method",
            "installments", "offer_code", "recurrence_number", "net_value", "net_currency",
            "commission_as",
        ),
        record="'hotmart:' || transaction",
        source="hotmart_csv",
        place="line::VARCHAR",
    ),
    "bronze.manychat_contacts": Received(
        {
            "email": ("email",),
            "phone": ("whatsapp_phone", "phone"),
            "manychat": ("manychat_id",),
            "social": ("ig_username", "ig_id", "whatsapp_bsuid", "whatsapp_username"),
            "name": ("full_name", "concat_ws(' ', first_name, last_name)"),
        },
        kept=(),
        record="'manychat:' || slice || ':' || line",
        source="manychat",
        place="line::VARCHAR",
    ),
    "bronze.hotmart_events": Received(
        _EVENT,
        kept=(
            "event_id", "event", "kind", "version", "occurred_at", "received_at", "inbox_id",
            "transaction", "parent_transaction", "subscription_id", "product_id", "product_name",
            "offer_code", "plan_id", "plan_name", "checkout_country", "subscription_status",
            "price_value", "full_price_value", "currency", "net_value", "order_at", "approved_at",
            "next_charge_at", "cancelled_at", "switched_at", "recurrence_number", "payment_type",
            "installments", "new_plan_id", "new_plan_name", "new_offer_code", "new_charge_day",
        ),
        record="""coalesce('hotmart:' || transaction, (
            SELECT any_value(record_id) FROM silver.events AS understood
            WHERE understood.event_id = hotmart_events.event_id
        ))""",
        source="events",
        place="event_id",
    ),
    "bronze.event_novelties": Impersonal("só nomes de eventos, versões e campos"),
    "bronze.crm_actions": Copied(),
    "bronze.rejects": Rejected(),
    "bronze.hotmart_status_changes": Impersonal("só códigos de transação e status"),
    "bronze.loads": Impersonal("só contagens e datas do que foi lido"),
    "silver.contact_records": Related(
        (
            """
            DELETE FROM {table} WHERE record_id IN (SELECT record_id FROM erased_records)
            AND coalesce(email, email_key, phone, phone_key, name, document, instagram,
                         hotmart_ucode, manychat_id) IS NOT NULL
            """,
        )
    ),
    "silver.contact_changes": Remade(),
    "silver.events": Keyed(_EVENT),
    "silver.sale_records": Related((_NO_SUBSCRIBER,)),
    "silver.customer_xref": Related(
        (
            """
            DELETE FROM {table} WHERE record_id IN (SELECT record_id FROM erased_records)
            OR source || ':' || source_id IN (SELECT ref FROM erased_records)
            OR customer_id IN (SELECT customer_id FROM erased_customers WHERE is_whole)
            """,
            """
            UPDATE {table} SET key_hash = NULL WHERE valid_to IS NOT NULL
            AND key_hash IN (SELECT key_hash FROM erased_hashes)
            """,
        )
    ),
    "silver.customer_ids": Related(
        (
            """
            DELETE FROM {table} WHERE customer_id IN
                (SELECT customer_id FROM erased_customers WHERE is_whole)
            """,
            f"""
            UPDATE {{table}} SET anchor = '{ERASED_ID}' || customer_id
            WHERE anchor IN (SELECT ref FROM erased_records)
            """,
        )
    ),
    "silver.customer_merges": Related(
        (
            """
            DELETE FROM {table} WHERE customer_id IN
                (SELECT customer_id FROM erased_customers WHERE is_whole)
            OR survivor_id IN (SELECT customer_id FROM erased_customers WHERE is_whole)
            """,
        )
    ),
    "silver.key_status": Keyed(_BY_KIND),
    "silver.identity_findings": Related(
        (
            """
            DELETE FROM {table}
            WHERE list_has_any(customer_ids, (SELECT list(customer_id) FROM erased_customers))
               OR list_has_any(records, (SELECT list(ref) FROM erased_records))
            """,
        )
    ),
    "silver.identity_state": Remade(),
    "silver.sales": Related(
        (
            """
            UPDATE {table} AS held SET customer_id = surrogate FROM erased_records AS erased
            WHERE erased.record_id = held.record_id
              AND held.customer_id IS DISTINCT FROM surrogate
            """,
            _NO_SUBSCRIBER,
        )
    ),
    "silver.products": Impersonal("só produtos"),
    "silver.subscriptions": Keyed(_SUBSCRIBER),
    "silver.subscription_history": Keyed(_SUBSCRIBER),
    "silver.subscription_periods": Keyed(_SUBSCRIBER),
    "silver.subscription_readings": Keyed(_SUBSCRIBER),
    "silver.access": Related((_DELETE_CUSTOMERS,)),
    "silver.access_log": Related((_DELETE_CUSTOMERS,)),
    "silver.carts": Keyed({"email": ("email_key",), "phone": ("phone_key",)}),
    "silver.contact_history": Related(
        (
            "DELETE FROM {table} WHERE contact_id IN (SELECT record_id FROM erased_records)",
            _RENAME,
        )
    ),
    "silver.consents": Keyed(_BY_KEY),
    "silver.opt_outs": Keyed(_BY_KEY),
    "silver.action_log_position": Impersonal("só a posição no registro de decisões"),
    "silver.customers": Related((_DELETE_CUSTOMERS,)),
    "silver.customer_keys": Related((_DELETE_CUSTOMERS,)),
    "silver.field_choices": Related((_DELETE_CUSTOMERS,)),
    "silver.customer_lineage": Related((_DELETE_CUSTOMERS,)),
    "gold.triggers": Related((_DELETE_CUSTOMERS,)),
    "gold.daily_report": Impersonal("só totais"),
    "gold.identity_review": Remade(),
    "gold.subscription_metrics": Impersonal("só contagens e totais por dia"),
    "gold.mrr_movements": Impersonal("só contagens e totais por período"),
    "gold.churn": Impersonal("só contagens e taxas por período"),
    "gold.subscription_ltv": Impersonal("só médias e totais por mês"),
    "gold.revenue": Impersonal("só totais por período"),
    "gold.cohorts": Impersonal("só contagens por mês"),
    "gold.cart_conversion": Impersonal("só contagens por período e produto"),
    "gold.metric_changes": Impersonal("só totais e contagens que mudaram"),
    "gold.remarketing_batches": Related(
        (
            """
            UPDATE {table} AS held
            SET name = NULL, email = NULL, phone = NULL, status = 'retirado',
                customer_id = CASE WHEN is_whole THEN surrogate ELSE held.customer_id END
            FROM erased_customers AS erased WHERE erased.customer_id = held.customer_id
            """,
        )
    ),
    "meta.migrations": Impersonal("só versões do banco"),
    "meta.loads": Impersonal("só contagens e datas do que foi lido"),
    "meta.rejects": Impersonal("só contagens"),
    "meta.contents": Impersonal("só a posição no registro de decisões"),
    "meta.tombstones": Impersonal("só a posição nos apagamentos"),
}  # fmt: skip

AUDIENCE = "gold.audience_"


class UnregisteredTable(RuntimeError):
    """A table about which the register says nothing: nobody can be erased before it does."""


def rule_of(table: str) -> Rule:
    """How a table forgets a person.

    Raises:
        UnregisteredTable: it is not in the register.
    """
    if table.startswith(AUDIENCE):
        return Related((_DELETE_CUSTOMERS,))
    if table not in TABLES:
        raise UnregisteredTable(
            f"A tabela {table} não está no registro de apagamento "
            "(crm_assets/privacy/erased_tables.py); nada foi apagado."
        )
    return TABLES[table]
