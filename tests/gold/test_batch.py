"""The batch of the day: who may enter, in which order, and what becomes of a place (rules 4.3-4.6).

B1 to B14 are the boundary table of the metrics reference; where it and the rules differ, the rules
win: a refund within the window keeps a person out (B7).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from batch_samples import D, House, bought, days_before, person
from lake import cus, local, site

from crm_assets.gold.remarketing import _outside_windows, _within_limit

# --- who may enter -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "enters"),
    [
        ({"last_purchase_at": days_before(30)}, True),  # B1
        ({"last_purchase_at": days_before(30, "23:59")}, True),
        ({"last_purchase_at": days_before(29)}, False),  # B2
        ({"last_purchase_at": days_before(29, "00:00")}, False),
        ({"last_contact_at": days_before(30), "last_purchase_at": days_before(31)}, True),  # B3
        ({"last_contact_at": days_before(29)}, False),  # B4
        ({}, True),  # B5
        ({"opted_out": True}, False),  # B6
        ({"blocked_channels": ["whatsapp"]}, False),
        ({"blocked_channels": ["email", "sms"]}, True),
        ({"phone": None, "phone_kind": None}, False),  # B6
        ({"phone_kind": "landline"}, False),
        ({"phone_kind": "mobile_or_landline"}, True),
        ({"phone_kind": "voip"}, False),
        ({"last_refund_at": days_before(10), "last_purchase_at": days_before(40)}, False),  # B7
        ({"last_refund_at": days_before(30), "last_purchase_at": days_before(40)}, True),
        ({"last_purchase_at": days_before(-1)}, False),  # B13
        ({"last_contact_at": days_before(-1)}, False),
        ({"has_open_dispute": True}, False),
        ({"is_own": False}, False),
    ],
)
def test_eligibility(fields, enters):
    assert House(person(1, **fields)).round() == ([1] if enters else [])


@pytest.mark.parametrize(
    ("rules", "fields", "enters"),
    [
        ({"allow_landline": True}, {"phone_kind": "landline"}, True),
        ({"include_leads": False}, {}, False),
        ({"include_leads": False}, {"last_purchase_at": days_before(31)}, True),
        ({"days_since_purchase": 10}, {"last_purchase_at": days_before(10)}, True),
        ({"days_since_contact": 10}, {"last_contact_at": days_before(9)}, False),
        ({"days_since_contact": 10}, {"last_purchase_at": days_before(29)}, False),
    ],
)
def test_switches(rules, fields, enters):
    assert House(person(1, **fields)).round(**rules) == ([1] if enters else [])


@pytest.mark.parametrize(
    ("purchase", "now", "enters"),
    [
        # Day 30 by the calendar of São Paulo, though not yet 30 x 24 hours.
        ("2026-02-13 23:59", "2026-03-15 00:01", True),
        ("2026-02-14 00:01", "2026-03-15 23:59", False),
        # The same evening seen in UTC is another day: 02:59Z and 03:00Z.
        ("2026-02-12 23:59", "2026-03-14 23:59", True),
        ("2026-02-13 00:00", "2026-03-14 23:59", False),
    ],
)
def test_windows_are_calendar_days_of_the_tenants_zone(purchase, now, enters):
    house = House(person(1, last_purchase_at=local(purchase)))
    assert house.round(local(now)) == ([1] if enters else [])


def test_the_tenants_day_changes_at_its_own_midnight():
    """B12: 02:59Z is still the 14th in São Paulo, 03:00Z is the 15th; two days, two batches."""
    house = House(*(person(n) for n in range(1, 101)))
    first = house.round(datetime.fromisoformat("2026-03-15T02:59:00+00:00"))
    for number in first:
        house.say("batch_delivered", number, D - timedelta(days=1))
    second = house.round(datetime.fromisoformat("2026-03-15T03:00:00+00:00"))
    assert house.batch(D - timedelta(days=1)) == first
    assert house.batch(D) == second
    assert len(first) == len(second) == 50
    assert not set(first) & set(second)


# --- order and size ------------------------------------------------------------------------------


def test_order_never_contacted_then_longest_since_then_ltv_then_id():
    def sold(number, gross, currency="BRL", **more):
        return {
            "sale_id": f"s{number}{gross}",
            "order_id": "o",
            "customer_id": cus(number),
            "gross": Decimal(gross),
            "currency": currency,
            "paid_at": days_before(90),
            **more,
        }

    old, older = days_before(40), days_before(50)
    house = House(
        person(1, last_contact_at=old),
        person(2, last_contact_at=older),
        person(3, last_contact_at=older),
        person(4),
        person(5),
        person(6),
        person(7),
        sales=[
            sold(3, "10.00"),
            sold(5, "30.00"),
            sold(6, "20.00"),
            sold(6, "15.00"),
            sold(7, "99.00", currency="USD"),
            sold(4, "50.00", is_eligible=False, is_refunded=True),
        ],
    )
    assert house.round() == [6, 5, 4, 7, 3, 2, 1]
    reasons = house.column("SELECT reason FROM gold.remarketing_batches ORDER BY position")
    assert reasons == ["nunca_contatado"] * 4 + ["contato_antigo"] * 3


def test_more_than_fifty_the_others_come_first_next_day():
    """B9."""
    house = House(*(person(n) for n in range(1, 61)))
    first = house.round()
    assert first == list(range(1, 51))
    assert house.round() == first
    for number in first:
        house.say("batch_delivered", number)
    contacted = days_before(0)
    house.people(
        *(person(n, last_contact_at=contacted if n in first else None) for n in range(1, 61))
    )
    assert house.round(local("2026-03-16 09:00")) == list(range(51, 61))


def test_a_smaller_batch_size():
    assert House(*(person(n) for n in range(1, 9))).round(batch_size=3) == [1, 2, 3]


# --- one day, one selection ----------------------------------------------------------------------


def test_a_second_run_returns_the_same_rows_and_never_tops_up():
    """B10: skipped, contacted or newly eligible people change nothing in the day's places."""
    house = House(person(1), person(2))
    house.round()
    before = house.rows("SELECT * EXCLUDE status FROM gold.remarketing_batches")
    house.say("batch_skipped", 1)
    house.people(person(1), person(2, last_contact_at=days_before(0)), person(3))
    assert house.round(local(f"{D} 18:00")) == [1, 2]
    assert house.rows("SELECT * EXCLUDE status FROM gold.remarketing_batches") == before
    assert house.statuses() == ["pulado", "selecionado"]


def test_nobody_eligible_leaves_the_day_open():
    house = House(person(1, opted_out=True))
    assert house.round() == []
    assert house.told["gold.remarketing_batches"]["lote"] == "ninguém elegível"
    house.people(person(1))
    assert house.round(local(f"{D} 18:00")) == [1]


def test_a_past_day_stays_empty():
    house = House(person(1))
    assert house.round(days=[D - timedelta(days=1)]) == []
    assert house.told["gold.remarketing_batches"]["lote"] == "sem lote"
    assert house.value("SELECT count(*) FROM gold.remarketing_batches") == 0


def test_a_rebuilt_warehouse_does_not_select_a_second_batch():
    house = House(person(1), person(2))
    house.say("batch_selected", 1)
    assert house.round() == []
    assert house.round(local("2026-03-16 09:00")) == [1, 2]


def test_the_next_run_knows_yesterdays_batch_even_without_its_log():
    house = House(person(1), person(2))
    house.round()
    house.say("batch_delivered", 1)
    assert house.round(local("2026-03-16 09:00")) == [2]
    assert house.statuses(D) == ["entregue", "nao_entregue"]


# --- what becomes of a place ---------------------------------------------------------------------


def test_undelivered_at_the_days_end_is_no_contact():
    """B11: without a file nobody was contacted, and the next day takes the same people."""
    house = House(person(1), person(2))
    house.round()
    assert house.statuses() == ["selecionado", "selecionado"]
    assert house.round(local("2026-03-16 09:00")) == [1, 2]
    assert house.statuses(D) == ["nao_entregue", "nao_entregue"]


def test_skipped_people_come_again_delivered_ones_do_not():
    house = House(person(1), person(2))
    house.round()
    house.say("batch_skipped", 1)
    house.say("batch_delivered", 1)
    house.say("batch_delivered", 2)
    assert house.round(local("2026-03-16 09:00")) == [1]
    assert house.statuses(D) == ["pulado", "entregue"]


def test_opted_out_after_selection_is_withdrawn_unless_already_delivered():
    house = House(person(1), person(2), person(3))
    house.round()
    house.say("batch_delivered", 2)
    house.people(person(1, opted_out=True), person(2, opted_out=True), person(3))
    house.round(local(f"{D} 18:00"))
    assert house.statuses() == ["retirado", "entregue", "selecionado"]
    assert house.batch() == [1, 2, 3], "places are kept"


def test_an_opt_out_does_not_rewrite_days_that_ended():
    house = House(person(1))
    house.round()
    house.round(local("2026-03-20 09:00"))
    house.people(person(1, opted_out=True))
    house.round(local("2026-03-21 09:00"))
    assert house.statuses(D) == ["nao_entregue"]


def test_delivered_stays_delivered_after_a_split():
    house = House(person(1), person(2))
    house.round()
    house.say("batch_delivered", 2)
    house.redirect(cus(2), cus(1))
    house.round(local(f"{D} 18:00"))
    assert house.batch() == [1, 1]
    house.redirect(cus(2), cus(2))
    house.round(local("2026-03-16 09:00"))
    assert house.statuses(D) == ["entregue", "entregue"]


def test_a_merge_moves_rows_to_the_surviving_id_with_their_outcome():
    house = House(person(1), person(2))
    house.round()
    house.say("batch_delivered", 2)
    house.people(person(1))
    house.redirect(cus(2), cus(1))
    house.round(local(f"{D} 18:00"))
    assert house.batch() == [1, 1]
    assert house.round(local("2026-03-16 09:00")) == [], "the merged person was contacted"


def test_the_limit_counts_a_purchase_under_a_merged_identity():
    """B8: the facts of the survivor decide, and the selection is checked against sales."""
    yesterday = days_before(1)
    assert House(person(1, last_purchase_at=yesterday), sales=[bought(yesterday)]).round() == []


def test_a_number_shown_by_two_customers_is_called_once():
    shared = {"phone": "+5511900000009"}
    house = House(person(1, **shared), person(2, **shared), person(3))
    assert house.round() == [1, 3]


@pytest.mark.parametrize(
    "other",
    [
        {"opted_out": True},
        {"last_contact_at": days_before(3)},
        {"last_purchase_at": days_before(3)},
        {"has_open_dispute": True},
    ],
)
def test_a_number_is_left_alone_when_one_of_its_customers_must_be(other):
    shared = {"phone": "+5511900000009"}
    house = House(person(1, **shared), person(2, **shared, **other), person(3))
    assert house.round() == [3]


# --- the checks of the step ----------------------------------------------------------------------


def test_checks_fail_on_what_must_never_be_held():
    history = [
        {
            "contact_id": "c",
            "customer_id": cus(1),
            "day": D - timedelta(days=29),
            "occurred_at": days_before(29),
        }
    ]
    house = House(person(1), history=history)
    with pytest.raises(AssertionError):
        house.round()
    rules = site().tenant.remarketing
    assert _outside_windows(rules, house.tx).metadata == {"dentro da janela": 1}


@pytest.mark.parametrize("fact", [{"is_purchase": True}, {"is_purchase": False, "refunded": True}])
def test_the_window_check_reads_sales_themselves(fact):
    refunded = days_before(29) if fact.pop("refunded", False) else None
    sale = bought(days_before(29), refunded_at=refunded, **fact)
    with pytest.raises(AssertionError):
        House(person(1), sales=[sale]).round()


def test_the_limit_check_sees_too_many_and_repeated_numbers():
    house = House(*(person(n) for n in range(1, 51)))
    house.round()
    house.tx.execute(
        "INSERT INTO gold.remarketing_batches BY NAME SELECT * REPLACE (51 AS position,"
        " '+5511900000999' AS phone) FROM gold.remarketing_batches WHERE position = 1"
    )
    assert not _within_limit(house.tx).passed
    house.tx.execute("DELETE FROM gold.remarketing_batches WHERE position > 2")
    house.tx.execute("UPDATE gold.remarketing_batches SET phone = '+5511900000001'")
    assert _within_limit(house.tx).metadata["telefones repetidos"] == 1
