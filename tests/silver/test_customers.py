"""The golden record but for its fields: purchases, segments, contacts, opt-outs (rules 2.8)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from golden_samples import DAY, golden, master
from lake import NOON, cus, site

from crm_assets.silver.customers import _prepare, _write


def sale(**fields):
    return {
        "customer_id": cus(1),
        "order_id": "o1",
        "gross": Decimal("100.00"),
        "paid_at": NOON,
        **fields,
    }


def test_source_is_the_highest_ranking_one_present():
    row = golden([{"source": "manychat"}, {"source": "woocommerce"}, {"source": "manychat"}])
    assert (row["source"], row["sources"], row["records"]) == (
        "woocommerce",
        ["manychat", "woocommerce"],
        3,
    )


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
    row = golden([{}], sales=sales)
    found = (row["has_purchased"], row["orders"], row["last_purchase_at"])
    assert found == (has_purchased, orders, last_purchase)


def test_reversals_and_disputes_of_another_producer_are_not_ours():
    foreign = {"is_own": False, "is_purchase": False, "is_eligible": False}
    sales = [sale(**foreign, is_disputed=True), sale(**foreign, refunded_at=NOON)]
    row = golden([{}], sales=sales)
    assert (row["has_open_dispute"], row["last_refund_at"]) == (False, None)
    row = golden([{}], sales=[sale(is_disputed=True), sale(refunded_at=NOON)])
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
    row = golden([{}], sales=[sale(product_id=p) for p in bought], products=PRODUCTS)
    assert (row["audiences"], row["segment"]) == (audiences, segment)


def test_a_refunded_sale_gives_no_segment():
    sales = [sale(product_id="1", is_eligible=False, is_refunded=True)]
    assert golden([{}], sales=sales, products=PRODUCTS)["segment"] is None


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
    row = golden(
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
    assert golden([{**KEYS, **shown}], opt_outs=opt_outs)["opted_out"]


@pytest.mark.parametrize(
    ("kind", "reachable"),
    [("mobile", True), ("mobile_or_landline", True), ("landline", False), (None, False)],
)
def test_reachable_needs_a_mobile(kind, reachable):
    assert golden([{**PHONE, "phone_kind": kind}])["reachable"] == reachable


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
    lake = master([{}, {"owner": 2}], history=history, merged=[(7, 1), (8, 2), (9, None)])
    found = dict(lake.tx.read("SELECT customer_id, last_contact_at FROM silver.customers").rows())
    assert found == {cus(1): NOON - 20 * DAY, cus(2): NOON - 5 * DAY}


def test_first_seen_and_last_interaction_span_all_records():
    first = datetime(2024, 5, 1, tzinfo=UTC)
    row = golden([{"first_seen_at": NOON}, {"first_seen_at": first, "last_interaction_at": NOON}])
    assert (row["first_seen_at"], row["last_interaction_at"]) == (first, NOON)


def test_only_open_cross_references_count():
    lake = master([{"name": "Ana"}, {"name": "Bia", "observed_at": NOON + DAY}])
    lake.tx.execute("UPDATE silver.customer_xref SET valid_to = now() WHERE record_id = 'r1'")
    _prepare(site(), lake.tx)
    _write(site(), lake.tx)
    assert lake.column("SELECT name FROM silver.customers") == ["Ana"]


def test_own_as_soon_as_one_record_is():
    assert not golden([{"is_own": False}])["is_own"]
    assert golden([{"is_own": False}, {"source": "manychat"}])["is_own"]


def test_metadata_counts_people():
    lake = master([KEYS, {**PHONE, "owner": 2}], sales=[sale()])
    told = lake.told["silver.customers"]
    assert (told["compraram"], told["alcançáveis"]) == (1, 1)
    assert "example.com" not in str(told)
