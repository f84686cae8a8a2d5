"""From Hotmart's JSON records to typed bronze rows: pure SQL over the records of one slice.

A value that is there but cannot be read becomes empty and is reported with its raw text; a record
that says nothing of a transaction or of its buyer is reported whole. Nothing is normalised or
invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNREADABLE = "valor_ilegivel"
WITHOUT_TRANSACTION = "sem_transacao"

WITHOUT_BUYER = "sem_comprador"

_BIGINT = "TRY_CAST({json} AS BIGINT)"
_READ = {
    "text": "{json}",
    "money": "TRY_CAST({json} AS DECIMAL(18, 2))",
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
        records: SQL giving `transaction`, `record` (a JSON object, or null where the item has
            none) and `item` (the whole of it) per row, from `items(raw)`.
        fields: column -> (JSON path in `record`, kind).
    """

    records: str
    fields: Mapping[str, tuple[str, str]]

    def rows_sql(self) -> str:
        """Typed rows of the records that have a transaction code."""
        columns = ", ".join(
            f"{_READ[kind].format(json=_json(path))} AS {name}"
            for name, (path, kind) in self.fields.items()
        )
        return f"""
            SELECT transaction, {columns}, record AS raw
            FROM ({self.records}) WHERE transaction IS NOT NULL AND record IS NOT NULL
        """

    def rejects_sql(self) -> str:
        """What could not be read: place (transaction), field, reason and raw text."""
        unreadable = [
            f"""SELECT transaction, '{name}', '{UNREADABLE}', {_json(path)}
                FROM records WHERE transaction IS NOT NULL AND {_json(path)} IS NOT NULL
                AND {_READ[kind].format(json=_json(path))} IS NULL"""
            for name, (path, kind) in self.fields.items()
            if kind != "text"
        ]
        whole = f"""
            SELECT transaction AS place,
                   CASE WHEN transaction IS NULL THEN 'transaction' ELSE 'buyer' END AS field,
                   CASE WHEN transaction IS NULL THEN '{WITHOUT_TRANSACTION}'
                        ELSE '{WITHOUT_BUYER}' END AS reason,
                   item::VARCHAR AS raw
            FROM records WHERE transaction IS NULL OR record IS NULL
        """
        union = " UNION ALL ".join([whole, *unreadable])
        return f"WITH records AS MATERIALIZED ({self.records}) {union}"


def _json(path: str) -> str:
    return f"(record->>'$.{path}')"


def _code(path: str) -> str:
    """A transaction code, which has no blanks inside."""
    text = f"trim(item->>'$.{path}')"
    return f"CASE WHEN regexp_full_match({text}, '\\S+') THEN {text} END"


TRANSACTIONS = Shape(
    records=f"""
        SELECT {_code("purchase.transaction")} AS transaction, item AS record, item
        FROM (SELECT raw::JSON AS item FROM items)
    """,
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
        "price_value": ("purchase.price.value", "money"),
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
        "fee_base": ("purchase.hotmart_fee.base", "money"),
        "fee_currency": ("purchase.hotmart_fee.currency_code", "text"),
        "source_src": ("purchase.tracking.source", "text"),
        "source_sck": ("purchase.tracking.source_sck", "text"),
    },
)

CUSTOMERS = Shape(
    records=f"""
        SELECT transaction, item,
               unnest(CASE WHEN buyers = [] THEN [NULL::JSON] ELSE buyers END) AS record
        FROM (
            SELECT {_code("transaction")} AS transaction, item,
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
)
