"""What the sales endpoints beside history and users say of one sale, derived from it."""

from __future__ import annotations

import json

from crm_resources.hotmart.sandbox_records import Sale, encode
from crm_resources.hotmart.statuses import Item

RATES = {"BRL": 1.0, "EUR": 0.161, "USD": 0.187, "MXN": 3.42}  # buyer's currency per real
VAT = {"EUR": 0.23, "MXN": 0.16}  # share of the untaxed price

_SHARES = {"AFFILIATE": 0.4, "COPRODUCER": 0.4}  # of what those before them left
_NAMES = {
    "MARKETPLACE": "Hotmart",
    "ADDON": "Serviço Exemplo",
    "PRODUCER": "Escola Exemplo",
    "COPRODUCER": "Coprodução Exemplo",
    "AFFILIATE": "Afiliação Exemplo",
}


def participant(role: str) -> Item:
    """An invented user for a role that nobody in particular has."""
    number = 1 + list(_NAMES).index(role)
    return {"ucode": f"7d3f1c52-0000-4000-8000-0000000001{number:02d}", "name": _NAMES[role]}


def commissions_item(sale: Sale, currency_key: str) -> str:
    """Its `sales/commissions` item: the fee base, shared out to the cent (hotmart.md 3.4).

    The marketplace's fee and add-ons come off first, then affiliate and co-producer; the producer
    has the rest.
    """
    item, price, fee = _amounts(sale)
    roles = {each["role"]: each["user"] for each in json.loads(sale.users)["users"]}
    given = json.loads(sale.extras).get("commissions", {})
    shares = {"MARKETPLACE": round(fee["total"], 2), **given}
    left = fee["base"] - shares["MARKETPLACE"] - shares.get("ADDON", 0.0)
    for source, share in _SHARES.items():
        if source in given or source in roles or source == sale.commission_as:
            shares[source] = round(given.get(source, left * share), 2)
            left -= shares[source]
    shares["PRODUCER"] = round(left, 2)
    item["exchange_rate_currency_payout"] = round(1 / RATES.get(price["currency_code"], 1.0), 4)
    item["commissions"] = [
        {
            "source": source,
            "commission": {"value": value, currency_key: fee["currency_code"]},
            "user": _named(roles.get(source) or participant(source)),
        }
        for source, value in shares.items()
    ]
    return encode(item)


def price_details_item(sale: Sale) -> str:
    """Its `sales/price/details` item: total = base + VAT + instalment fee (hotmart.md 3.5)."""
    item, price, fee = _amounts(sale)
    currency, total = price["currency_code"], price["value"]
    rate, tax = RATES.get(currency, 1.0), VAT.get(currency, 0.0)
    base = fee["base"] * (1.0 if fee["currency_code"] == currency else rate)
    base = min(round(base, 2), total)
    vat = min(round(total * tax / (1 + tax), 2), round(total - base, 2))
    parts = {"base": base, "total": total, "fee": max(0.0, round(total - base - vat, 2))}
    if vat:
        parts["vat"] = vat
    for name, value in parts.items():
        item[name] = {"value": value, "currency_code": currency}
    given = json.loads(sale.extras).get("price_details", {})
    return encode(item | {"real_conversion_rate": rate} | given)


def _named(user: Item) -> Item:
    return {name: user[name] for name in ("ucode", "name", "email") if name in user}


def _amounts(sale: Sale) -> tuple[Item, Item, Item]:
    history = json.loads(sale.history)
    price = history["purchase"].get("price") or {"value": 0.0, "currency_code": "BRL"}
    no_fee = {"total": 0.0, "base": price["value"], "currency_code": price["currency_code"]}
    item = {"transaction": sale.transaction, "product": history["product"]}
    return item, price, history["purchase"].get("hotmart_fee") or no_fee
