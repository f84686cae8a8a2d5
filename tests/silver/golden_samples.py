"""A master made of chosen records, and an oracle of survivorship written row by row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from lake import NOON, Lake, cus, site

from crm_assets.checks.contract import Contract
from crm_assets.checks.silver import (
    SOURCES,
    ContactHistory,
    ContactRecords,
    CustomerLineage,
    Customers,
    CustomerXref,
    FieldChoices,
    OptOuts,
    Products,
    Sales,
)
from crm_assets.person_rules import FieldRule, Survivorship
from crm_assets.silver.customers import _one_winner, _prepare, _write, store_customers
from crm_assets.silver.survivorship import survive
from crm_resources.warehouse import Transaction

DAY = timedelta(days=1)
KEPT: tuple[tuple[str, type[Contract]], ...] = (
    ("silver.customers", Customers),
    ("silver.field_choices", FieldChoices),
    ("silver.customer_lineage", CustomerLineage),
)
FACTS: tuple[tuple[str, type[Contract]], ...] = (
    ("silver.sales", Sales),
    ("silver.products", Products),
    ("silver.contact_history", ContactHistory),
    ("silver.opt_outs", OptOuts),
)
TOLD_BY = {
    "email": ("email",),
    "phone": ("phone",),
    "name": ("name",),
    "document": ("document",),
    "instagram": ("instagram",),
    "hotmart_ucode": ("hotmart_ucode",),
    "manychat_id": ("manychat_id",),
    "place": ("city", "state", "country"),
}
VALUES = {
    "email": ("a@example.com", "b@example.com"),
    "phone": ("+5511900000001", "+5511900000002"),
    "name": ("Ana", "Bia"),
    "document": ("1", "2"),
    "instagram": ("ana", "bia"),
    "hotmart_ucode": ("u1", "u2"),
    "manychat_id": ("m1", "m2"),
    "country": ("BR", "PT"),
    "state": ("SP", "RJ"),
    "city": ("X", "Y"),
}
Record = Mapping[str, Any]


def fresh() -> Lake:
    """A lake without sales, contacts and refusals."""
    lake = Lake()
    for table, contract in FACTS:
        lake.put(table, contract)
    return lake


def fill(lake: Lake, records: Iterable[Record]) -> None:
    """Write records and whose they are: of customer 1, or of the `owner` that they name."""
    rows, owners = [], []
    for number, record in enumerate(records):
        owners.append(record.get("owner", 1))
        named = {name: value for name, value in record.items() if name != "owner"}
        rows.append({"record_id": f"r{number}", **named})
    for row in rows:
        row.setdefault("source_id", row["record_id"])
    lake.put("silver.contact_records", ContactRecords, *rows)
    owned = [
        {"record_id": row["record_id"], "source_id": row["source_id"], "customer_id": cus(owner)}
        for row, owner in zip(rows, owners, strict=True)
    ]
    lake.put("silver.customer_xref", CustomerXref, *owned)
    lake.tx.execute("DELETE FROM silver.customer_ids")
    redirect(lake, *((owner, owner) for owner in set(owners)))


def redirect(lake: Lake, *ids: tuple[int, int | None]) -> None:
    for old, survivor in ids:
        lake.tx.execute(
            "INSERT INTO silver.customer_ids VALUES (?, 'anchor', now(), ?)",
            [cus(old), survivor and cus(survivor)],
        )


def act(lake: Lake, number: int, kind: str, customer: int | None = None, **payload: Any) -> None:
    """Write an action into the copy of the log."""
    lake.bronze(
        "bronze.crm_actions",
        {
            "id": number,
            "kind": kind,
            "idempotency_key": str(number),
            "customer_id": customer and cus(customer),
            "payload": json.dumps(payload),
            "occurred_at": NOON,
        },
    )


def pinned(field: str, value: str, **columns: str) -> dict[str, object]:
    """What the log says of a field that a person fixed."""
    return {"field": field, "value": value, "columns": {field: value, **columns}}


def master(
    records: Iterable[Record],
    *,
    sales: Sequence[Record] = (),
    products: Sequence[Record] = (),
    history: Sequence[Record] = (),
    opt_outs: Sequence[Record] = (),
    merged: Iterable[tuple[int, int | None]] = (),
    pins: Iterable[tuple[int, int, Record]] = (),
    survivorship: Mapping[str, Any] | None = None,
) -> Lake:
    """Build the customers; all three tables keep their contracts."""
    lake = fresh()
    fill(lake, records)
    redirect(lake, *merged)
    lake.put("silver.sales", Sales, *({"sale_id": f"s{i}", **sale} for i, sale in enumerate(sales)))
    lake.put("silver.products", Products, *products)
    lake.put(
        "silver.contact_history",
        ContactHistory,
        *(
            {"contact_id": f"c{i}", "day": entry["occurred_at"].date(), **entry}
            for i, entry in enumerate(history)
        ),
    )
    lake.put("silver.opt_outs", OptOuts, *opt_outs)
    for number, customer, payload in pins:
        act(lake, number, "identity_pin", customer, **payload)
    tenant = site(survivorship=dict(survivorship or {}))
    _prepare(tenant, lake.tx)
    lake.told = _write(tenant, lake.tx)
    check(lake)
    return lake


def write_customers(tx: Transaction, rules: Survivorship, scope: str | None = None) -> None:
    """What the step does, of all customers or of those that changed."""
    survive(tx, rules, scope)
    store_customers(tx, rules, scope)


def check(lake: Lake) -> None:
    for table, contract in KEPT:
        assert lake.keeps(table, contract), table
    assert _one_winner(lake.tx).passed


def golden(records: Iterable[Record], **more: Any) -> dict[str, Any]:
    """The row of the only customer."""
    (row,) = master(records, **more).rows("FROM silver.customers")
    return row


def lineage_of(lake: Lake, field: str, customer: int = 1) -> dict[str, Any]:
    (row,) = lake.rows(
        "FROM silver.customer_lineage WHERE field = ? AND customer_id = ?", [field, cus(customer)]
    )
    return row


def has_value(record: Record, field: str) -> bool:
    return any(record.get(column) for column in TOLD_BY[field])


def ranked(
    records: Iterable[Record], field: str, rule: FieldRule, order: Sequence[str]
) -> list[tuple[tuple[Any, ...], Record]]:
    """The records of one customer that have a value, the best first, each with what it is worth."""
    having = [record for record in records if has_value(record, field)]

    def value(record: Record) -> tuple[Any, ...]:
        return tuple(record.get(column) or None for column in TOLD_BY[field])

    copies = Counter(value(record) for record in having)
    invalid = {
        "email": lambda r: r.get("email_key") is None,
        "phone": lambda r: r.get("phone_key") is None,
        "document": lambda r: not r.get("document_valid"),
        "place": lambda r: not r.get("has_address"),
    }.get(field, lambda r: False)
    worth = {
        "valid": invalid,
        "source": lambda r: order.index(r["source"]),
        "newest": lambda r: -r["observed_at"].timestamp(),
        "oldest": lambda r: r["observed_at"].timestamp(),
        "most_frequent": lambda r: -copies[value(r)],
    }
    told = [(tuple(worth[s](r) for s in rule.strategies), r) for r in having]
    return sorted(told, key=lambda entry: (entry[0], entry[1]["record_id"]))


def decided_by(best: Sequence[tuple[tuple[Any, ...], Record]], rule: FieldRule) -> str:
    """Which strategy told the first two apart."""
    if len(best) == 1:
        return "only"
    pairs = zip(rule.strategies, best[0][0], best[1][0], strict=True)
    return next((s for s, one, other in pairs if one != other), "record_id")


@st.composite
def raw_records(draw: st.DrawFn, most: int = 12) -> list[dict[str, Any]]:
    """Records of three people with few values, so that they often agree."""
    cells = {name: st.sampled_from([None, "", *values]) for name, values in VALUES.items()}
    cells["phone"] = st.sampled_from([None, *VALUES["phone"]])
    cells["country"] = st.sampled_from([None, *VALUES["country"]])
    row = st.fixed_dictionaries(
        {
            **cells,
            "source": st.sampled_from(SOURCES),
            "observed_at": st.integers(0, 2).map(lambda n: NOON + n * DAY),
            "document_valid": st.sampled_from([None, True, False]),
            "has_address": st.booleans(),
            "valid_phone": st.booleans(),
            "owner": st.integers(1, 3),
        }
    )
    rows = draw(st.lists(row, min_size=1, max_size=most))
    for number, record in enumerate(rows):
        record["record_id"] = f"r{number}"
        record["email_key"] = record["email"] or None
        record["phone_key"] = record["phone"] if record.pop("valid_phone") else None
        record["first_name"] = record["name"] or None
    return rows


@st.composite
def rules(draw: st.DrawFn) -> Survivorship:
    """Any lists of strategies, orders of sources in general and for some fields."""
    directions = st.sampled_from([("newest",), ("oldest",), ()])
    others = st.lists(st.sampled_from(["valid", "source", "most_frequent"]), unique=True)
    strategies = st.tuples(others, directions).flatmap(lambda s: st.permutations([*s[0], *s[1]]))
    orders = st.lists(st.sampled_from(SOURCES), unique=True)
    named = draw(
        st.dictionaries(
            st.sampled_from(list(TOLD_BY)),
            st.fixed_dictionaries({"strategies": strategies, "sources": orders}),
        )
    )
    return Survivorship.model_validate({"sources": draw(orders), **named})
