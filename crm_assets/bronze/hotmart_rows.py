"""From Hotmart's JSON records to typed bronze rows: pure SQL over the records of one slice.

A value that is there but cannot be read, or a price below zero, which the vendor has not, becomes
empty and is reported with its raw text; a record without its key, or without what its rows are made
from, is reported whole. Nothing is normalised or invented; only what may not be kept is taken out
(rules 1.12).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNREADABLE = "valor_ilegivel"
NEGATIVE = "preco_negativo"
WITHOUT_TRANSACTION = "sem_transacao"
WITHOUT_SUBSCRIPTION = "sem_assinatura"
WITHOUT_BUYER = "sem_comprador"
WITHOUT_COMMISSIONS = "sem_comissoes"

NEVER_KEPT = frozenset(
    {"billet_reprint_code", "billet_barcode", "pix_code", "pix_qrcode", "buyer_ip", "ip"}
    | {"user_agent", "gender", "profile_pic", "hottok"}
)
"""Names of fields that are taken out of every record before it is written (rules 1.12)."""

RECURRENCES = ("recurrency", "recurrence")
"""How real answers, and one place of the vendor's documents, name a charge's recurrence."""

_BIGINT = "TRY_CAST({json} AS BIGINT)"
_MONEY = "TRY_CAST({json} AS DECIMAL(18, 2))"
_READ = {
    "text": "{json}",
    "money": _MONEY,
    "price": f"CASE WHEN {_MONEY} >= 0 THEN {_MONEY} END",
    "rate": "TRY_CAST({json} AS DECIMAL(18, 8))",
    "integer": f"CASE WHEN regexp_full_match({{json}}, '-?\\d+') THEN {_BIGINT} END",
    "boolean": "TRY_CAST({json} AS BOOLEAN)",
    # Milliseconds, or seconds, which the vendor's samples show; of the years 1990 to 2099.
    "instant": (
        f"make_timestamptz(CASE WHEN {_BIGINT} BETWEEN 631152000000 AND 4102444799999"
        f" THEN {_BIGINT} * 1000 WHEN {_BIGINT} BETWEEN 631152000 AND 4102444799"
        f" THEN {_BIGINT} * 1000000 END)"
    ),
}


@dataclass(frozen=True)
class Shape:
    """How the records of one endpoint become rows.

    Attributes:
        records: SQL giving `key`, `record` (a JSON object, or null where the item has none) and
            `item` (the whole of it) per row, from `items(raw)`.
        fields: column -> (JSON path in `record`, kind); of paths joined by `|` the first filled.
        key: column that holds the key.
        without_key: reason of rejects for an item without one.
        without_record: field and reason of rejects for an item with a key and no record.
    """

    records: str
    fields: Mapping[str, tuple[str, str]]
    key: str = "transaction"
    without_key: str = WITHOUT_TRANSACTION
    without_record: tuple[str, str] = ("item", UNREADABLE)

    def rows_sql(self) -> str:
        """Typed rows of the records that have a key."""
        columns = ", ".join(
            f"{_READ[kind].format(json=_json(path))} AS {name}"
            for name, (path, kind) in self.fields.items()
        )
        return f"""
            SELECT key AS {self.key}, {columns}, record AS raw
            FROM ({self.records}) WHERE key IS NOT NULL AND record IS NOT NULL
        """

    def rejects_sql(self) -> str:
        """What could not be read: place (key), field, reason and raw text."""
        unreadable = [
            f"""SELECT key, '{name}', {_reason(kind, _json(path))}, {_json(path)}
                FROM records WHERE key IS NOT NULL AND {_json(path)} IS NOT NULL
                AND {_READ[kind].format(json=_json(path))} IS NULL"""
            for name, (path, kind) in self.fields.items()
            if kind != "text"
        ]
        field, reason = self.without_record
        whole = f"""
            SELECT key AS place,
                   CASE WHEN key IS NULL THEN '{self.key}' ELSE '{field}' END AS field,
                   CASE WHEN key IS NULL THEN '{self.without_key}' ELSE '{reason}' END AS reason,
                   item::VARCHAR AS raw
            FROM records WHERE key IS NULL OR record IS NULL
        """
        union = " UNION ALL ".join([whole, *unreadable])
        return f"WITH records AS MATERIALIZED ({self.records}) {union}"


def minimised(record: Any) -> Any:
    """A record without the fields that are never kept, at any depth."""
    if isinstance(record, dict):
        return {name: minimised(value) for name, value in record.items() if name not in NEVER_KEPT}
    return [minimised(value) for value in record] if isinstance(record, list) else record


def _reason(kind: str, json: str) -> str:
    """Why a value that is there is not read."""
    if kind != "price":
        return f"'{UNREADABLE}'"
    return f"CASE WHEN {_MONEY.format(json=json)} < 0 THEN '{NEGATIVE}' ELSE '{UNREADABLE}' END"


def _json(paths: str) -> str:
    return "coalesce({})".format(", ".join(f"record->>'$.{path}'" for path in paths.split("|")))


def _code(path: str) -> str:
    """A code, which has no blanks inside."""
    text = f"trim(item->>'$.{path}')"
    return f"CASE WHEN regexp_full_match({text}, '\\S+') THEN {text} END"


def _recurrence(*names: str) -> str:
    """Paths into a charge's recurrence, which has two spellings itself."""
    return "|".join(f"{spelling}.{name}" for spelling in RECURRENCES for name in names)


def _whole(path: str) -> str:
    """One row per item, which is the record itself."""
    return f"""
        SELECT {_code(path)} AS key, item AS record, item FROM (SELECT raw::JSON AS item FROM items)
    """


TRANSACTIONS = Shape(
    records=_whole("purchase.transaction"),
    fields={
        "status": ("purchase.status", "text"),
        "ordered_at": ("purchase.order_date", "instant"),
        "approved_at": ("purchase.approved_date", "instant"),
        "warranty_expires_at": ("purchase.warranty_expire_date", "instant"),
        "product_id": ("product.id", "text"),
        "product_name": ("product.name", "text"),
        "buyer_name": ("buyer.name", "text"),
        "buyer_email": ("buyer.email", "text"),
        "buyer_ucode": ("buyer.ucode", "text"),
        "price_value": ("purchase.price.value", "price"),
        "price_currency": ("purchase.price.currency_code", "text"),
        "payment_type": ("purchase.payment.type", "text"),
        "payment_method": ("purchase.payment.method", "text"),
        "installments": ("purchase.payment.installments_number", "integer"),
        "recurrence_number": ("purchase.recurrency_number", "integer"),
        "is_subscription": ("purchase.is_subscription", "boolean"),
        "commission_as": ("purchase.commission_as", "text"),
        "offer_code": ("purchase.offer.code", "text"),
        "payment_mode": ("purchase.offer.payment_mode", "text"),
        "fee_total": ("purchase.hotmart_fee.total", "money"),
        "fee_base": ("purchase.hotmart_fee.base", "price"),
        "fee_currency": ("purchase.hotmart_fee.currency_code", "text"),
        "source_src": ("purchase.tracking.source", "text"),
        "source_sck": ("purchase.tracking.source_sck", "text"),
    },
)

CUSTOMERS = Shape(
    records=f"""
        SELECT key, item,
               unnest(CASE WHEN buyers = [] THEN [NULL::JSON] ELSE buyers END) AS record
        FROM (
            SELECT {_code("transaction")} AS key, item,
                   [participant->'$.user'
                    FOR participant IN coalesce(TRY_CAST(item->'$.users' AS JSON[]), [item])
                    IF participant->>'$.role' = 'BUYER'
                       AND json_type(participant, '$.user') = 'OBJECT'] AS buyers
            FROM (SELECT raw::JSON AS item FROM items)
        )
    """,
    fields={
        "ucode": ("ucode", "text"),
        "name": ("name", "text"),
        "email": ("email", "text"),
        "cellphone": ("cellphone", "text"),
        "phone": ("phone", "text"),
        "document": ("documents[0].value", "text"),
        "document_type": ("documents[0].type", "text"),
        "city": ("address.city", "text"),
        "state": ("address.state", "text"),
        "country": ("address.country", "text"),
        "zip_code": ("address.zip_code", "text"),
        "locale": ("locale", "text"),
    },
    without_record=("buyer", WITHOUT_BUYER),
)

COMMISSIONS = Shape(
    records=f"""
        SELECT key, item, unnest(CASE
            WHEN key IS NULL OR json_type(item, '$.commissions') NOT IN ('ARRAY', 'NULL')
            THEN [NULL::JSON]
            ELSE [CASE WHEN json_type(each) = 'OBJECT' THEN json_merge_patch(each, rate) END
                  FOR each IN coalesce(TRY_CAST(item->'$.commissions' AS JSON[]), [])]
        END) AS record
        FROM (
            SELECT {_code("transaction")} AS key, item,
                   json_object('exchange_rate', item->'$.exchange_rate_currency_payout') AS rate
            FROM (SELECT raw::JSON AS item FROM items)
        )
    """,
    fields={
        "source": ("source", "text"),
        "value": ("commission.value", "money"),
        "currency": ("commission.currency_value|commission.currency_code", "text"),
        "user_ucode": ("user.ucode", "text"),
        "exchange_rate": ("exchange_rate", "rate"),
    },
    without_record=("commissions", WITHOUT_COMMISSIONS),
)
"""A row per commission; the vendor documents `currency_value` and sends `currency_code`."""

PRICE_DETAILS = Shape(
    records=_whole("transaction"),
    fields={
        "base_value": ("base.value", "price"),
        "base_currency": ("base.currency_code", "text"),
        "total_value": ("total.value", "price"),
        "total_currency": ("total.currency_code", "text"),
        "vat_value": ("vat.value", "money"),
        "interest_value": ("fee.value", "money"),
        "coupon_code": ("coupon.code", "text"),
        "coupon_value": ("coupon.value", "rate"),
        "conversion_rate": ("real_conversion_rate", "rate"),
    },
)

SUBSCRIPTIONS = Shape(
    records=_whole("subscription_id"),
    fields={
        "subscriber_code": ("subscriber_code", "text"),
        "status": ("status", "text"),
        "accession_at": ("accession_date", "instant"),
        "cancel_requested_at": ("end_accession_date", "instant"),
        "requested_at": ("request_date", "instant"),
        "next_charge_at": ("date_next_charge", "instant"),
        "is_trial": ("trial", "boolean"),
        "transaction": ("transaction", "text"),
        "plan_id": ("plan.id", "text"),
        "plan_name": ("plan.name", "text"),
        "period_days": ("plan.recurrency_period", "integer"),
        "max_charge_cycles": ("plan.max_charge_cycles", "integer"),
        "product_id": ("product.id", "text"),
        "product_name": ("product.name", "text"),
        "price_value": ("price.value", "price"),
        "price_currency": ("price.currency_code", "text"),
        "subscriber_name": ("subscriber.name", "text"),
        "subscriber_email": ("subscriber.email", "text"),
        "subscriber_ucode": ("subscriber.ucode", "text"),
    },
    key="subscription_id",
    without_key=WITHOUT_SUBSCRIPTION,
)

SUBSCRIPTION_TRANSACTIONS = Shape(
    records=_whole("purchase.transaction"),
    fields={
        "subscription_id": ("subscription_id", "text"),
        "subscriber_code": ("subscriber_code", "text"),
        "subscription_status": ("status", "text"),
        "billing_type": ("billing_type", "text"),
        "status": ("purchase.status", "text"),
        "ordered_at": ("purchase.order_date", "instant"),
        "approved_at": ("purchase.approved_date", "instant"),
        "refunded_at": ("purchase.payment.refund_chargeback_date", "instant"),
        "refusal_message": ("purchase.payment.refusal_message", "text"),
        "payment_type": ("purchase.payment.payment_type", "text"),
        "installment_number": ("purchase.installment.installment_number", "integer"),
        "installment_type": ("purchase.installment.installment_type", "text"),
        "recurrence_number": (_recurrence("number"), "integer"),
        "recurrence_status": (_recurrence("status"), "text"),
        "recurrence_started_at": (_recurrence("start_datetime"), "instant"),
        "delay_days": (_recurrence("payment_delays_days", "payment_delay_days"), "integer"),
        "price_value": ("purchase.price.value", "price"),
        "total_value": ("purchase.price.total_value", "price"),
        "price_currency": ("purchase.price.currency", "text"),
        "own_value": ("purchase.commission.producer_value", "money"),
        "own_currency": ("purchase.commission.currency", "text"),
        "cancelled_at": ("cancellation_date", "instant"),
        "adopted_at": ("adoption_date", "instant"),
        "next_charge_at": ("date_next_charge", "instant"),
        "trial_ends_at": ("trial_info.trial_end", "instant"),
        "plan_name": ("plan.name", "text"),
        "period_days": ("plan.recurrency_period", "integer"),
        "offer_code": ("plan.offer.code", "text"),
        "product_id": ("product.id", "text"),
        "subscriber_name": ("subscriber.name", "text"),
        "subscriber_email": ("subscriber.email", "text"),
        "subscriber_phone_ddd": ("subscriber.phone_ddd", "text"),
        "subscriber_phone": ("subscriber.phone", "text"),
    },
)
"""A row per charge of a subscription or of smart instalments."""
