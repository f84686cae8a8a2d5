"""Events and the API tell one state of a sale, in whatever order and however often they come."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import Lake, frame_of, random_cases

from crm_assets.bronze.hotmart_event_rows import KINDS
from crm_assets.checks.contract import check_frame
from crm_assets.checks.events import SALE_STATUSES, Events
from crm_assets.checks.silver import SaleRecords
from crm_assets.silver.event_rules import SALE_STATUS
from crm_assets.silver.sale_rules import STATUS_CLASS, sale_records_sql

KIND_OF = {status: kind for kind, status in SALE_STATUS.items()}
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def event(status: str, day: float, code: str = "HP1", **more: Any) -> dict[str, Any]:
    """An event of a sale as silver holds it."""
    return {
        "kind": KIND_OF[status],
        "sale_status": status,
        "occurred_at": at(day),
        "received_at": at(90),
        "transaction": code,
        "record_id": f"hotmart:{code}",
        "product_id": "7",
        "currency": "BRL",
        "price_value": Decimal("97.00"),
        "full_price_value": Decimal("104.76"),
        "order_at": at(0),
        **more,
    }


def api(status: str, day: float, code: str = "HP1", **more: Any) -> dict[str, Any]:
    """A sale as the API told it, read on a day."""
    return {
        "transaction": code,
        "status": status,
        "ordered_at": at(0),
        "price_value": Decimal("110.00"),
        "price_currency": "BRL",
        "slice": "2026-03-01",
        "extracted_at": at(day),
        **more,
    }


def sales(events, readings=(), lake=None, **tables) -> dict[str, dict[str, Any]]:
    """Sale records by transaction."""
    lake = lake or Lake()
    rows = [{"event_id": str(i), **each} for i, each in enumerate(events)]
    lake.tx.replace_table("silver.events", frame_of(Events, rows))
    lake.bronze("bronze.hotmart_transactions", *readings)
    for table, more in tables.items():
        lake.bronze(f"bronze.{table}", *more)
    sql = sale_records_sql(currency="BRL", include_affiliates=False)
    found = lake.tx.read(f"FROM ({sql}) ORDER BY sale_id")
    assert check_frame(found, SaleRecords).passed
    return {row["sale_id"].removeprefix("hotmart:"): row for row in found.to_dicts()}


def sale(*events, readings=(), **tables) -> dict[str, Any]:
    (found,) = sales(events, readings, **tables).values()
    return found


def test_every_purchase_event_means_a_status_that_is_known():
    assert set(SALE_STATUS) == {
        kind for kind in KINDS if kind.startswith("PURCHASE_") and "CART" not in kind
    }
    assert sorted(SALE_STATUS.values()) == sorted(SALE_STATUSES)
    assert set(SALE_STATUSES) <= set(STATUS_CLASS)


# What happened on which day, the API's word as "api:STATUS"; then the state that holds.
MERGED = [
    ("APPROVED 1", "APPROVED"),
    ("PRINTED_BILLET 0, APPROVED 1", "APPROVED"),
    ("APPROVED 1, COMPLETE 9", "COMPLETE"),
    ("APPROVED 9, COMPLETE 1", "APPROVED"),
    ("APPROVED 1, OVERDUE 2", "OVERDUE"),
    ("APPROVED 1, PROTESTED 2", "PROTESTED"),
    ("APPROVED 1, PROTESTED 2, APPROVED 3", "APPROVED"),
    ("APPROVED 1, REFUNDED 5", "REFUNDED"),
    ("APPROVED 1, REFUNDED 5, COMPLETE 4", "REFUNDED"),
    ("APPROVED 1, REFUNDED 5, PROTESTED 6", "REFUNDED"),
    ("APPROVED 1, REFUNDED 5, OVERDUE 6", "REFUNDED"),
    ("APPROVED 1, REFUNDED 5, APPROVED 6", "APPROVED"),
    ("APPROVED 1, REFUNDED 5, COMPLETE 6, CANCELLED 7", "CANCELLED"),
    ("APPROVED 1, REFUNDED 5, CHARGEBACK 6", "CHARGEBACK"),
    ("APPROVED 1, CHARGEBACK 5, REFUNDED 6", "REFUNDED"),
    ("APPROVED 1, REFUNDED 5, EXPIRED 6", "REFUNDED"),
    ("EXPIRED 6, REFUNDED 5", "REFUNDED"),
    ("PRINTED_BILLET 0, EXPIRED 3, PRINTED_BILLET 4", "EXPIRED"),
    ("CANCELLED 1, APPROVED 2", "APPROVED"),
    ("CANCELLED 2, APPROVED 1", "CANCELLED"),
    ("REFUNDED 2, APPROVED 2", "REFUNDED"),
    ("PROTESTED 2, APPROVED 2", "APPROVED"),
    ("APPROVED 1, api:WAITING_PAYMENT 0.5", "APPROVED"),
    ("PRINTED_BILLET 0, api:APPROVED 1", "PRINTED_BILLET"),
    ("PRINTED_BILLET 0, api:APPROVED 1.1", "APPROVED"),
    ("REFUNDED 5, api:COMPLETE 4", "REFUNDED"),
    ("REFUNDED 5, api:COMPLETE 6", "REFUNDED"),
    ("REFUNDED 5, api:COMPLETE 6.1", "COMPLETE"),
    ("REFUNDED 5, api:COMPLETE 7, OVERDUE 8", "OVERDUE"),
    ("REFUNDED 5, api:PARTIALLY_REFUNDED 5.1", "PARTIALLY_REFUNDED"),
    ("REFUNDED 5, api:PROTESTED 7", "REFUNDED"),
    ("REFUNDED 5, APPROVED 6, api:REFUNDED 5.9", "APPROVED"),
    ("CANCELLED 5, api:NO_FUNDS 7", "CANCELLED"),
    ("APPROVED 5, api: approved  7", " approved "),
    ("APPROVED 5, api:REFUNDED 5.1", "REFUNDED"),
    ("APPROVED 5, api:WAITING_PAYMENT 5.1", "APPROVED"),
    ("APPROVED 5, api:WAITING_PAYMENT 7", "WAITING_PAYMENT"),
    ("APPROVED 5, api:SOMETHING_NEW 5.9", "APPROVED"),
    ("APPROVED 5, api:SOMETHING_NEW 7", "SOMETHING_NEW"),
    ("APPROVED 5, api:SOMETHING_NEW 4", "APPROVED"),
]


def words(text: str, code: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    told = [each.rsplit(" ", 1) for each in text.split(", ")]
    events = [event(word, float(day), code) for word, day in told if not word.startswith("api:")]
    readings = [api(word[4:], float(day), code) for word, day in told if word.startswith("api:")]
    return events, readings


def test_the_newest_word_counts_and_the_end_stays_the_end():
    events, readings = [], []
    for place, (text, _) in enumerate(MERGED):
        of_one = words(text, f"HP{place:03}")
        events += of_one[0]
        readings += of_one[1]
    found = sales(events, readings)
    states = [(text, found[f"HP{place:03}"]["status"]) for place, (text, _) in enumerate(MERGED)]
    assert states == MERGED


ENDED = ("REFUNDED", "CHARGEBACK", "PROTESTED", "CANCELLED", "EXPIRED")
HOUR = 1 / 24


def test_an_api_that_lags_a_day_takes_back_no_event_unless_it_tells_a_newer_approval():
    events, readings, expected = [], [], {}
    cases = itertools.product(ENDED, ("APPROVED", "COMPLETE"), (-1, 1, 24, 25), (None, -30, 0.5))
    for place, (ended, word, hours, approved) in enumerate(cases):
        code = f"HP{place:03}"
        approved_at = None if approved is None else at(5 + approved * HOUR)
        events += [event("APPROVED", 1, code), event(ended, 5, code)]
        readings.append(api(word, 5 + hours * HOUR, code, approved_at=approved_at))
        is_newer = hours == 25 or (hours > 0 and approved == 0.5)
        expected[code] = word if is_newer else ended
    found = sales(events, readings)
    assert {code: row["status"] for code, row in found.items()} == expected


LIFE = [
    event("PRINTED_BILLET", 0),
    event("APPROVED", 1, approved_at=at(1), subscriber_code="S1"),
    event("COMPLETE", 9, approved_at=at(8), net_value=Decimal("88.00")),
    event("PROTESTED", 10),
    event("REFUNDED", 12, product_name="Novo nome"),
]


def test_every_order_of_a_life_with_repetitions_gives_one_sale():
    """All 120 orders of arrival at once, each under a code of its own, each word told twice."""
    events = []
    for place, order in enumerate(itertools.permutations(LIFE)):
        of_one = [{**each, "transaction": f"HP{place:03}"} for each in order]
        events += [*of_one, *of_one[:: 1 + place % 3]]
    found = sales(events)
    assert len(found) == 120
    own = {"sale_id", "record_id", "order_id"}
    states = {
        tuple((name, value) for name, value in row.items() if name not in own)
        for row in found.values()
    }
    assert len(states) == 1
    row = dict(states.pop())
    assert row["status"] == "REFUNDED"
    assert (row["paid_at"], row["refunded_at"]) == (at(1), at(12))
    assert row["refunded_at_source"] == "informado"
    assert (row["gross"], row["base"], row["net"]) == (
        Decimal("104.76"), Decimal("97.00"), Decimal("88.00"),
    )  # fmt: skip
    assert (row["subscriber_code"], row["product_name"]) == ("S1", "Novo nome")
    assert (row["was_paid"], row["is_refunded"], row["is_eligible"]) == (True, True, False)


DAYS = st.integers(0, 18).map(lambda thirds: thirds / 3)


@pytest.mark.slow
@random_cases(25)
@given(
    st.lists(st.tuples(st.sampled_from(SALE_STATUSES), DAYS), min_size=1, max_size=8),
    st.tuples(st.sampled_from(sorted(STATUS_CLASS)), DAYS, st.none() | DAYS) | st.none(),
    st.randoms(),
)
def test_order_and_repetition_never_matter(told, reading, random):
    readings = []
    if reading:
        status, day, approved = reading
        approved_at = None if approved is None else at(approved)
        readings = [api(status, day, approved_at=approved_at)]
    events = [event(status, day) for status, day in told]
    first = sale(*events, readings=readings)
    shuffled = [*events, *random.choices(events, k=3)]
    random.shuffle(shuffled)
    assert sale(*shuffled, readings=readings) == first
    assert first["status"] in {status for status, *_ in (*told, *([reading] if reading else []))}


def test_the_api_keeps_its_amounts_and_events_fill_what_it_leaves_out():
    told = event(
        "APPROVED",
        1,
        approved_at=at(1),
        subscriber_code="S1",
        offer_code="of1",
        net_value=Decimal("88.00"),
        payment_type="PIX",
    )
    known = api("APPROVED", 2, approved_at=None, payment_type="CREDIT_CARD", commission_as=None)
    row = sale(told, readings=[known])
    assert (row["gross"], row["base"]) == (Decimal("110.00"), Decimal("97.00"))
    assert (row["net"], row["net_estimated"]) == (Decimal("88.00"), False)
    assert (row["payment_type"], row["offer_code"]) == ("CREDIT_CARD", "of1")
    assert (row["paid_at"], row["subscriber_code"]) == (at(1), "S1")
    row = sale(told, readings=[{**known, "price_value": None, "price_currency": "USD"}])
    assert (row["gross"], row["currency"]) == (Decimal("104.76"), "BRL")


@pytest.mark.parametrize(
    ("role", "currency", "net"),
    [
        ("PRODUCER", "BRL", Decimal("88.00")),
        ("COPRODUCER", "BRL", None),
        ("AFFILIATE", "BRL", None),
        ("PRODUCER", "USD", None),
    ],
)
def test_the_producers_commission_is_ours_only_when_we_are_the_producer(role, currency, net):
    told = event("APPROVED", 1, net_value=Decimal("88.00"))
    known = api("APPROVED", 2, commission_as=role, price_currency=currency)
    assert sale(told, readings=[known])["net"] == net


def test_a_price_without_full_price_is_the_gross():
    row = sale(event("APPROVED", 1, full_price_value=None))
    assert (row["gross"], row["base"]) == (Decimal("97.00"), Decimal("97.00"))
    row = sale(event("APPROVED", 1, full_price_value=None, price_value=None))
    assert (row["gross"], row["base"], row["currency"], row["is_eligible"]) == (
        None, None, None, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "is_new", "is_subscription"),
    [
        ({}, True, None),
        ({"recurrence_number": 2}, True, None),
        ({"recurrence_number": 1, "subscriber_code": "S"}, True, True),
        ({"recurrence_number": 2, "subscriber_code": "S"}, False, True),
    ],
)
def test_a_renewal_that_only_an_event_knows_is_no_new_order(change, is_new, is_subscription):
    row = sale(event("APPROVED", 1, **change))
    assert (row["is_new_order"], row["is_subscription"]) == (is_new, is_subscription)
    assert row["is_eligible"]


@pytest.mark.parametrize(
    ("events", "told_at", "seen_at", "expected", "source"),
    [
        ([event("REFUNDED", 5)], at(6), at(7), at(5), "informado"),
        ([event("REFUNDED", 5), event("REFUNDED", 8)], None, None, at(5), "informado"),
        ([event("APPROVED", 1)], at(6), at(7), at(6), "informado"),
        ([event("APPROVED", 1)], None, at(7), at(7), "observado"),
        ([event("APPROVED", 1)], None, None, None, None),
        ([event("REFUNDED", 1), event("APPROVED", 2)], None, at(7), at(7), "observado"),
    ],
)
def test_when_it_was_given_back(events, told_at, seen_at, expected, source):
    own = {"transaction": "HP1", "slice": "s", "extracted_at": at(9)}
    change = {"transaction": "HP1", "from_status": "APPROVED", "to_status": "REFUNDED"}
    row = sale(
        *events,
        readings=[api("REFUNDED", 9)],
        hotmart_subscription_transactions=[{**own, "refunded_at": told_at}] if told_at else [],
        hotmart_status_changes=[{**change, "seen_at": seen_at}] if seen_at else [],
    )
    assert (row["refunded_at"], row["refunded_at_source"]) == (expected, source)


def test_order_bumps_share_the_order_that_the_event_names():
    row = sale(event("APPROVED", 1, code="HP99", parent_transaction="HP1"))
    assert row["order_id"] == "HP1"


def test_an_export_comes_after_events_and_its_date_is_no_word_on_the_state():
    export = {
        "line": 2,
        "transaction": "HP1",
        "status": "COMPLETE",
        "ordered_at": at(0),
        "product_name": "Do painel",
        "price_value": Decimal("1.00"),
        "price_currency": "BRL",
        "net_value": Decimal("0.90"),
        "net_currency": "BRL",
        "slice": "f",
        "extracted_at": at(80),
    }
    row = sale(event("REFUNDED", 5), hotmart_csv=[export])
    assert (row["status"], row["gross"]) == ("REFUNDED", Decimal("104.76"))
    assert (row["product_name"], row["net"]) == ("Do painel", Decimal("0.90"))


def test_the_subscription_of_a_sale_is_told_by_three_sources():
    own = {"slice": "s", "extracted_at": at(9)}
    found = sales(
        [event("APPROVED", 1, "HP1", subscriber_code="of-event")],
        [api("APPROVED", 2, code) for code in ("HP1", "HP2", "HP3", "HP4")],
        hotmart_subscription_transactions=[
            {**own, "transaction": "HP2", "subscriber_code": "of-charge"}
        ],
        hotmart_subscriptions=[
            {**own, "subscription_id": "9", "transaction": "HP3", "subscriber_code": "of-first"}
        ],
    )
    told = {code: row["subscriber_code"] for code, row in found.items()}
    assert told == {"HP1": "of-event", "HP2": "of-charge", "HP3": "of-first", "HP4": None}
