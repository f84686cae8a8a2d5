"""The golden record: survivorship, lineage, purchases, contacts and opt-outs (rules 2.6-2.8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import NOON, Lake, cus, random_cases, site

from crm_assets.checks.silver import (
    SOURCES,
    ContactHistory,
    ContactRecords,
    CustomerLineage,
    Customers,
    CustomerXref,
    OptOuts,
    Products,
    Sales,
)
from crm_assets.silver.customers import CARRIED, FIELDS, _write

DAY = timedelta(days=1)


def customers(records, sales=(), products=(), history=(), opt_outs=(), merged=()):
    """Build the master; every record belongs to customer 1 unless it names another `owner`."""
    lake = Lake()
    owners = [record.get("owner", 1) for record in records]
    rows = [
        {"record_id": f"r{i}", "source_id": f"r{i}"}
        | {name: value for name, value in record.items() if name != "owner"}
        for i, record in enumerate(records)
    ]
    lake.put("silver.contact_records", ContactRecords, *rows)
    lake.put(
        "silver.customer_xref",
        CustomerXref,
        *(
            {"record_id": row["record_id"], "source_id": row["record_id"], "customer_id": cus(n)}
            for row, n in zip(rows, owners, strict=True)
        ),
    )
    for old, survivor in [*((n, n) for n in set(owners)), *merged]:
        lake.tx.execute(
            "INSERT INTO silver.customer_ids VALUES (?, 'anchor', now(), ?)",
            [cus(old), survivor and cus(survivor)],
        )
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
    lake.told = _write(site(), lake.tx)
    for table, contract in (
        ("silver.customers", Customers),
        ("silver.customer_lineage", CustomerLineage),
    ):
        assert lake.keeps(table, contract)
    return lake


def master(records, **more):
    (row,) = customers(records, **more).rows("FROM silver.customers")
    return row


def sale(**fields):
    return {
        "customer_id": cus(1),
        "order_id": "o1",
        "gross": Decimal("100.00"),
        "paid_at": NOON,
        **fields,
    }


@pytest.mark.parametrize(
    ("field", "records", "winner"),
    [
        ("name", [{"name": "Hot"}, {"name": "Chat", "source": "manychat"}], "Hot"),
        ("name", [{"name": None}, {"name": "Chat", "source": "manychat"}], "Chat"),
        ("name", [{"name": "Form", "source": "form"}, {"name": "Woo", "source": "woocommerce"}],
         "Woo"),
        ("name", [{"name": "Old"}, {"name": "New", "observed_at": NOON + DAY}], "New"),
        ("name", [{"name": "Old"}, {"name": None, "observed_at": NOON + DAY}], "Old"),
        ("name", [{"name": "B", "record_id": "b"}, {"name": "A", "record_id": "a"}], "A"),
        ("phone", [{"phone": "+5511900000001"},
                   {"phone": "+5511900000002", "phone_key": "+5511900000002",
                    "source": "manychat"}], "+5511900000002"),
        ("document", [{"document": "1", "document_valid": False, "observed_at": NOON + DAY},
                      {"document": "2", "document_valid": True}], "2"),
        ("document", [{"document": "1", "document_valid": None},
                      {"document": "2", "document_valid": True, "source": "crm"}], "2"),
        ("instagram", [{}, {"instagram": "ana", "source": "manychat"}], "ana"),
        ("manychat_id", [{}, {"manychat_id": "7", "source": "manychat"}], "7"),
        ("email", [{"email": "a@example.com", "email_key": "a@example.com", "source": "manychat"},
                   {"email": "b@example.com", "email_key": "b@example.com"}], "b@example.com"),
    ],
)  # fmt: skip
def test_survivorship(field, records, winner):
    assert master(records)[field] == winner
    assert master(records[::-1])[field] == winner


def test_place_comes_from_one_record():
    records = [
        {"country": "BR", "state": "SP", "state_source": "ddd", "observed_at": NOON + DAY},
        {"country": "PT", "city": "Porto", "has_address": True},
        {"state": "RJ", "city": "Niterói", "has_address": True, "source": "manychat"},
    ]
    row = master(records)
    place = [row[name] for name in ("country", "state", "city", "state_source")]
    assert place == ["PT", None, "Porto", None]


def test_source_is_the_highest_ranking_one_present():
    row = master([{"source": "manychat"}, {"source": "woocommerce"}, {"source": "manychat"}])
    assert (row["source"], row["sources"], row["records"]) == (
        "woocommerce",
        ["manychat", "woocommerce"],
        3,
    )


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


@st.composite
def raw_records(draw):
    rows = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    **{name: st.sampled_from([None, *values]) for name, values in VALUES.items()},
                    "source": st.sampled_from(SOURCES),
                    "observed_at": st.integers(0, 2).map(lambda n: NOON + n * DAY),
                    "document_valid": st.sampled_from([None, True, False]),
                    "has_address": st.booleans(),
                    "valid_phone": st.booleans(),
                    "owner": st.integers(1, 3),
                }
            ),
            min_size=1,
            max_size=12,
        )
    )
    for row in rows:
        row["email_key"] = row["email"]
        row["phone_key"] = row["phone"] if row.pop("valid_phone") else None
        row["first_name"] = row["name"]
    return rows


@random_cases(6)
@given(raw_records())
def test_lineage_rebuilds_every_golden_field_and_names_the_best_two_records(rows):
    lake = customers(rows)
    records = {row["record_id"]: row for row in lake.rows("FROM silver.contact_records")}
    lineage = {
        (row["customer_id"], row["field"]): (row["record_id"], row["runner_up"])
        for row in lake.rows("FROM silver.customer_lineage")
    }
    valid = {
        "email": lambda r: True,
        "phone": lambda r: r["phone_key"] is not None,
        "document": lambda r: bool(r["document_valid"]),
        "place": lambda r: r["has_address"],
    }
    owners = {f"r{i}": cus(row["owner"]) for i, row in enumerate(rows)}
    for golden in lake.rows("FROM silver.customers"):
        for field in FIELDS:
            columns = ("country", "state", "city") if field == "place" else (field,)
            ranked = sorted(
                (
                    (
                        not valid.get(field, lambda r: True)(record),
                        SOURCES.index(record["source"]),
                        -record["observed_at"].timestamp(),
                        name,
                    )
                    for name, record in records.items()
                    if owners[name] == golden["customer_id"]
                    and any(record[column] is not None for column in columns)
                ),
            )
            best_two = [entry[-1] for entry in ranked[:2]]
            told = lineage.get((golden["customer_id"], field), (None, None))
            assert [name for name in told if name] == best_two
            for column in CARRIED[field]:
                expected = records[best_two[0]][column] if best_two else None
                assert golden[column] == expected


@pytest.mark.parametrize(
    ("sales", "has_purchased", "orders", "last_purchase"),
    [
        ([], False, 0, None),
        ([sale()], True, 1, NOON),
        ([sale(is_refunded=True, is_eligible=False)], False, 0, NOON),
        ([sale(is_refunded=True, is_eligible=False), sale(paid_at=NOON - DAY)], True, 1, NOON),
        ([sale(is_purchase=False, is_eligible=False, paid_at=None)], False, 0, None),
        ([sale(is_disputed=True, is_eligible=False)], True, 0, NOON),
        ([sale(), sale(order_id="o1")], True, 1, NOON),
        ([sale(), sale(order_id="o2", paid_at=NOON - DAY)], True, 2, NOON),
        ([sale(), sale(order_id="o2", is_new_order=False, paid_at=NOON + DAY)], True, 1,
         NOON + DAY),
        ([sale(is_own=False, is_purchase=False, is_eligible=False)], False, 0, None),
        ([sale(customer_id=cus(2))], False, 0, None),
        ([sale(customer_id=None)], False, 0, None),
    ],
)  # fmt: skip
def test_what_was_bought(sales, has_purchased, orders, last_purchase):
    row = master([{}], sales=sales)
    found = (row["has_purchased"], row["orders"], row["last_purchase_at"])
    assert found == (has_purchased, orders, last_purchase)


def test_reversals_and_disputes_of_another_producer_are_not_ours():
    foreign = {"is_own": False, "is_purchase": False, "is_eligible": False}
    sales = [sale(**foreign, is_disputed=True), sale(**foreign, refunded_at=NOON)]
    row = master([{}], sales=sales)
    assert (row["has_open_dispute"], row["last_refund_at"]) == (False, None)
    row = master([{}], sales=[sale(is_disputed=True), sale(refunded_at=NOON)])
    assert (row["has_open_dispute"], row["last_refund_at"]) == (True, NOON)


PRODUCTS = [
    {"product_id": "1", "audiences": ["ilpi"]},
    {"product_id": "2", "audiences": ["estetica"]},
    {"product_id": "3", "audiences": ["ilpi", "cursos"]},
    {"product_id": "4", "audiences": []},
]


@pytest.mark.parametrize(
    ("bought", "audiences", "segment"),
    [
        ("", [], None),
        ("4", [], None),
        ("1", ["ilpi"], "ilpi"),
        ("11", ["ilpi"], "ilpi"),
        ("12", ["estetica", "ilpi"], "AMBOS"),
        ("3", ["cursos", "ilpi"], "cursos + ilpi"),
        ("123", ["cursos", "estetica", "ilpi"], "cursos + estetica + ilpi"),
        ("14", ["ilpi"], "ilpi"),
    ],
)
def test_segment(bought, audiences, segment):
    row = master([{}], sales=[sale(product_id=p) for p in bought], products=PRODUCTS)
    assert (row["audiences"], row["segment"]) == (audiences, segment)


def test_a_refunded_sale_gives_no_segment():
    sales = [sale(product_id="1", is_eligible=False, is_refunded=True)]
    assert master([{}], sales=sales, products=PRODUCTS)["segment"] is None


KEYS = {"email_key": "a@example.com", "email": "a@example.com"}
PHONE = {"phone_key": "+5511900000001", "phone": "+5511900000001", "phone_kind": "mobile"}


@pytest.mark.parametrize(
    ("kind", "key", "asked"),
    [
        ("email", "a@example.com", True),
        ("phone", "+5511900000001", True),
        ("email", "b@example.com", False),
        ("phone", "a@example.com", False),
    ],
)
@pytest.mark.parametrize("channel", [None, "whatsapp", "sms", "email"])
def test_an_opt_out_by_any_key_blocks_its_channel(kind, key, channel, asked):
    row = master(
        [KEYS, {**PHONE, "source": "manychat"}],
        opt_outs=[{"key_kind": kind, "key": key, "channel": channel}],
    )
    blocked = [channel] if channel else ["email", "sms", "whatsapp"]
    assert row["blocked_channels"] == (blocked if asked else [])
    assert row["opted_out"] == (asked and channel is None)
    assert row["reachable"] != (asked and channel in {None, "whatsapp"})


def test_a_number_that_is_no_key_can_still_say_no():
    shown = {"phone": "+5511900000001", "phone_kind": "mobile"}
    opt_outs = [{"key_kind": "phone", "key": "+5511900000001"}]
    assert master([{**KEYS, **shown}], opt_outs=opt_outs)["opted_out"]


@pytest.mark.parametrize(
    ("kind", "reachable"),
    [("mobile", True), ("mobile_or_landline", True), ("landline", False), (None, False)],
)
def test_reachable_needs_a_mobile(kind, reachable):
    assert master([{**PHONE, "phone_kind": kind}])["reachable"] == reachable


def contact(number, days, **more):
    return {"customer_id": cus(number), "occurred_at": NOON - days * DAY, **more}


def test_last_contact_is_the_latest_that_counts_through_redirects():
    history = [
        contact(1, 40),
        contact(7, 20, kind="lote_remarketing", outcome="entregue"),
        contact(1, 10, kind="lote_remarketing", outcome="pulado", counts=False),
        contact(8, 5),
        contact(9, 4),
    ]
    lake = customers([{}, {"owner": 2}], history=history, merged=[(7, 1), (8, 2), (9, None)])
    found = dict(lake.tx.read("SELECT customer_id, last_contact_at FROM silver.customers").rows())
    assert found == {cus(1): NOON - 20 * DAY, cus(2): NOON - 5 * DAY}


def test_first_seen_and_last_interaction_span_all_records():
    first = datetime(2024, 5, 1, tzinfo=UTC)
    row = master([{"first_seen_at": NOON}, {"first_seen_at": first, "last_interaction_at": NOON}])
    assert (row["first_seen_at"], row["last_interaction_at"]) == (first, NOON)


def test_only_open_cross_references_count():
    lake = customers([{"name": "Ana"}, {"name": "Bia", "observed_at": NOON + DAY}])
    lake.tx.execute("UPDATE silver.customer_xref SET valid_to = now() WHERE record_id = 'r1'")
    _write(site(), lake.tx)
    assert lake.column("SELECT name FROM silver.customers") == ["Ana"]


def test_own_as_soon_as_one_record_is():
    assert not master([{"is_own": False}])["is_own"]
    assert master([{"is_own": False}, {"source": "manychat"}])["is_own"]


def test_metadata_counts_people():
    lake = customers([KEYS, {**PHONE, "owner": 2}], sales=[sale()])
    told = lake.told["silver.customers"]
    assert (told["compraram"], told["alcançáveis"]) == (1, 1)
    assert "example.com" not in str(told)
