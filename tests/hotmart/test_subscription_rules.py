"""What charges say of a subscription: its state on a day, and one row per charge."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_resources.hotmart import (
    STATUSES,
    SUBSCRIPTION_STATUSES,
    SUBSCRIPTION_TRANSACTION_STATUSES,
)
from crm_resources.hotmart.sandbox_data import SandboxData
from crm_resources.hotmart.sandbox_records import sale_of

DAY = 86_400_000
PAID = {"APPROVED", "COMPLETE", "PARTIALLY_REFUNDED"}
REVERSED = {"REFUNDED", "CHARGEBACK"}
FAILED = ("CANCELLED", "EXPIRED", "NO_FUNDS", "BLOCKED", "OVERDUE")


def at(*day):
    return int(datetime(*day, tzinfo=UTC).timestamp() * 1000)


FIRST = at(2024, 1, 10, 9, 30)


def charge(number, status, /, after=None, mode="SUBSCRIPTION", kind="CREDIT_CARD", **subscription):
    """A charge, 30 days after the one before it unless `after` days of the first is given."""
    ordered = FIRST + int((30 * (number - 1) if after is None else after) * DAY)
    purchase = {
        "transaction": f"HP{number}{status}{ordered}",
        "order_date": ordered,
        "status": status,
        "is_subscription": mode == "SUBSCRIPTION",
        "recurrency_number": number,
        "offer": {"code": "of1", "payment_mode": mode},
        "payment": {"type": kind, "method": f"{kind}_MASTERCARD", "installments_number": 1},
        "price": {"value": 97.0, "currency_code": "BRL"},
        "hotmart_fee": {"total": 10.6, "base": 97.0, "currency_code": "BRL"},
    }
    if status in PAID | REVERSED | {"PROTESTED"}:
        purchase["approved_date"] = ordered + 60_000
    buyer = {"name": "Ana Alves", "email": "ana@example.com", "ucode": "u1", "cellphone": "x"}
    users = [{"role": "BUYER", "user": buyer | {"cellphone": "5581988112233"}}]
    product = {"id": 7, "name": "Clube"}
    return {
        "product": product,
        "purchase": purchase,
        "users": users,
        "subscription": subscription,
    }


def account(charges, now, lag=0):
    """The subscriptions as the account saw them `now` (days after the first charge)."""
    data = SandboxData([sale_of(each) for each in charges], FIRST + int(now * DAY))
    return data.subscriptions(lag)


def only(charges, now, lag=0):
    (one,) = account(charges, now, lag)
    return one


@pytest.mark.parametrize(
    ("charges", "now", "status", "next_charge"),
    [
        ([charge(1, "APPROVED")], 5, "ACTIVE", at(2024, 2, 9, 12)),
        ([charge(1, "PROTESTED")], 5, "ACTIVE", at(2024, 2, 9, 12)),
        ([charge(1, "WAITING_PAYMENT")], 1, "STARTED", None),
        ([charge(1, "UNDER_ANALISYS")], 1, "STARTED", None),
        ([charge(1, "NO_FUNDS")], 1, "INACTIVE", None),
        ([charge(1, "EXPIRED")], 90, "INACTIVE", None),
        ([charge(1, "COMPLETE"), charge(2, "APPROVED")], 31, "ACTIVE", at(2024, 3, 10, 12)),
        ([charge(1, "COMPLETE"), charge(2, "OVERDUE")], 31, "DELAYED", at(2024, 3, 10, 12)),
        ([charge(1, "COMPLETE"), charge(2, "REFUNDED")], 40, "ACTIVE", at(2024, 3, 10, 12)),
        (
            [charge(1, "COMPLETE"), charge(2, "NO_FUNDS"), charge(3, "APPROVED")],
            61,
            "ACTIVE",
            at(2024, 4, 9, 12),
        ),
        ([charge(1, "COMPLETE"), charge(2, "EXPIRED")], 90, "CANCELLED_BY_ADMIN", None),
        ([charge(1, "CHARGEBACK")], 90, "CANCELLED_BY_ADMIN", at(2024, 2, 11, 12)),
        (
            [charge(1, "REFUNDED", refund_chargeback_date=at(2024, 1, 15, 4))],
            20,
            "CANCELLED_BY_CUSTOMER",
            at(2024, 1, 15, 12),
        ),
        (
            [
                charge(
                    1,
                    "COMPLETE",
                    plan={"id": 1, "name": "Anual", "recurrency_period": 360},
                )
            ],
            200,
            "ACTIVE",
            at(2025, 1, 9, 12),
        ),
        (
            [
                charge(
                    number,
                    "COMPLETE",
                    plan={
                        "id": 1,
                        "name": "Dois meses",
                        "recurrency_period": 30,
                        "max_charge_cycles": 2,
                    },
                )
                for number in (1, 2)
            ],
            70,
            "OVERDUE",
            None,
        ),
        (
            [
                charge(1, "COMPLETE"),
                charge(
                    2,
                    "APPROVED",
                    status="CANCELLED_BY_SELLER",
                    end_accession_date=at(2024, 2, 12),
                ),
            ],
            40,
            "CANCELLED_BY_SELLER",
            at(2024, 3, 10, 12),
        ),
    ],
)
def test_the_state_of_a_subscription(charges, now, status, next_charge):
    item = only(charges, now).item
    assert item["status"] == status
    assert ("end_accession_date" in item) == status.startswith("CANCELLED")
    if next_charge or not status.startswith("CANCELLED"):
        assert item.get("date_next_charge") == next_charge


def test_who_leaves_keeps_what_is_paid():
    item = only([charge(1, "COMPLETE"), charge(2, "COMPLETE")], 120).item
    assert item["status"] in {"CANCELLED_BY_CUSTOMER", "CANCELLED_BY_SELLER"}
    assert item["date_next_charge"] == at(2024, 3, 10, 12)
    assert FIRST + 30 * DAY <= item["end_accession_date"] < item["date_next_charge"]
    assert item["accession_date"] == item["request_date"] == FIRST


def test_a_status_said_in_the_file_stands():
    last = charge(2, "COMPLETE", status="ACTIVE", date_next_charge=at(2024, 9, 1, 12))
    item = only([charge(1, "COMPLETE"), last], 200).item
    assert item["status"] == "ACTIVE"
    assert item["date_next_charge"] == at(2024, 9, 1, 12)
    assert "end_accession_date" not in item


def test_a_trial_comes_before_the_first_charge():
    one = only([charge(1, "APPROVED", trial=True, trial_period=7)], 3)
    assert one.item["trial"] is True
    assert one.item["accession_date"] == FIRST - 7 * DAY
    info = one.charges[0]["trial_info"]
    assert info == {"trial": True, "trial_period": 7, "trial_end": FIRST}


def test_instalments_are_late_while_any_is_unpaid():
    charges = [
        charge(number, status, mode="SMART_INSTALLMENT")
        for number, status in enumerate(("COMPLETE", "OVERDUE", "COMPLETE"), start=1)
    ]
    one = only(charges, 61)
    assert (one.billing_type, one.item["status"]) == ("SMART_INSTALLMENT", "DELAYED")
    assert {row["purchase"]["installment"]["installment_type"] for row in one.charges} == {
        "SMART_INSTALLMENT"
    }


def test_one_buyer_and_product_is_one_subscription_unless_the_file_numbers_them():
    assert len(account([charge(1, "COMPLETE"), charge(2, "COMPLETE")], 31)) == 1
    numbered = [
        charge(1, "COMPLETE", subscription_id=11),
        charge(1, "APPROVED", after=20, subscription_id=12),
    ]
    two = account(numbered, 31)
    assert [each.item["subscription_id"] for each in two] == [12, 11]
    assert len({each.item["subscriber_code"] for each in two}) == 1


def test_a_one_off_sale_is_no_subscription():
    assert account([charge(1, "COMPLETE", mode="UNIQUE_PAYMENT")], 5) == []


def test_a_charge_tried_again_is_one_recurrence_of_two_transactions():
    charges = [
        charge(1, "COMPLETE"),
        charge(2, "NO_FUNDS", refusal_message="CARD EXPIRED"),
        charge(2, "APPROVED", after=32),
    ]
    one = only(charges, 33)
    assert one.item["status"] == "ACTIVE"
    first, failed, paid = one.charges
    assert [row["recurrency"]["transaction_sequence"] for row in one.charges] == [1, 1, 2]
    assert [row["recurrency"]["is_current_purchase"] for row in one.charges] == [True, False, True]
    assert [row["recurrency"]["has_retry"] for row in one.charges] == [False, True, True]
    assert failed["purchase"]["payment"]["refusal_message"] == "CARD EXPIRED"
    assert "refusal_message" not in paid["purchase"]["payment"]
    assert failed["recurrency"]["start_datetime"] == paid["recurrency"]["start_datetime"]
    assert not first["has_unpaid_recurrency"]
    assert first["last_recurrency_number"] == 2
    assert first["last_recurrency_start_date"] == FIRST + 30 * DAY


def test_the_paid_transaction_of_a_recurrence_is_the_current_one():
    charges = [charge(1, "COMPLETE"), charge(1, "CANCELLED", after=1)]
    rows = only(charges, 2).charges
    assert [row["recurrency"]["is_current_purchase"] for row in rows] == [True, False]


@pytest.mark.parametrize(
    ("number", "status", "spelling"),
    [
        *((1, status, "CANCELLED") for status in ("CANCELLED", "NO_FUNDS", "BLOCKED")),
        *((1, status, "EXPIRED") for status in ("EXPIRED", "OVERDUE")),
        *((2, status, "DELAYED") for status in FAILED),
        (1, "UNDER_ANALISYS", "UNDER_ANALYSIS"),
        (2, "UNDER_ANALISYS", "UNDER_ANALYSIS"),
        (1, "PRE_ORDER", "STARTED"),
        (2, "PROCESSING_TRANSACTION", "STARTED"),
        *((2, status, status) for status in ("APPROVED", "COMPLETE", "PRINTED_BILLET")),
    ],
)
def test_transactions_have_their_own_spellings(number, status, spelling):
    row = only([charge(number, status)], 31).charges[0]
    assert row["purchase"]["status"] == spelling


@pytest.mark.parametrize(
    ("status", "recurrence", "paid"),
    [
        ("COMPLETE", "PAID", 97.0),
        ("PARTIALLY_REFUNDED", "PAID", 97.0),
        ("OVERDUE", "NOT_PAID", 0.0),
        ("WAITING_PAYMENT", "NOT_PAID", 0.0),
        ("PROTESTED", "CLAIMED", 0.0),
        ("REFUNDED", "REFUNDED", 0.0),
        ("CHARGEBACK", "CHARGEBACK", 0.0),
    ],
)
def test_what_became_of_a_recurrence(status, recurrence, paid):
    row = only([charge(1, "COMPLETE"), charge(2, status)], 80).charges[1]
    assert row["recurrency"]["status"] == recurrence
    assert row["recurrency"]["payment_delays_days"] == (50 if recurrence == "NOT_PAID" else 0)
    commission = row["purchase"]["commission"]
    assert commission["original_value"] == 97.0
    assert commission["original_paid_value"] == paid
    assert commission["producer_value"] == 86.4


def test_a_subscriber_has_area_code_and_number():
    row = only([charge(1, "APPROVED")], 1).charges[0]
    shown = {name: row["subscriber"][name] for name in ("email", "phone_ddd", "phone")}
    assert shown == {"email": "ana@example.com", "phone_ddd": "81", "phone": "988112233"}
    assert row["purchase"]["payment"] == {"payment_type": "CREDIT_CARD", "credit_card_flag": "MC"}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("PIX", {"pix_expiration_date"}),
        ("BILLET", {"billet_expiration_date", "billet_reprint_code"}),
    ],
)
def test_what_is_still_to_be_paid_has_a_code(kind, fields):
    row = only([charge(1, "WAITING_PAYMENT", kind=kind)], 1).charges[0]
    assert row["purchase"]["payment"].keys() == {"payment_type"} | fields
    row = only([charge(1, "APPROVED", kind=kind)], 1).charges[0]
    assert row["purchase"]["payment"].keys() == {"payment_type"}


def test_a_day_ago_the_refund_had_not_happened():
    refund = FIRST + 10 * DAY
    charges = [charge(1, "REFUNDED", refund_chargeback_date=refund)]
    today, yesterday = only(charges, 10.5), only(charges, 10.5, lag=DAY)
    assert today.item["status"] == "CANCELLED_BY_CUSTOMER"
    assert today.item["end_accession_date"] == refund
    purchase = today.charges[0]["purchase"]
    assert (
        purchase["payment"]["refund_chargeback_date"] == refund == today.charges[0]["last_update"]
    )
    assert yesterday.item["status"] == "ACTIVE"
    assert yesterday.charges[0]["purchase"]["status"] == "APPROVED"
    assert "refund_chargeback_date" not in yesterday.charges[0]["purchase"]["payment"]
    assert account(charges, 0.5, lag=DAY) == []


def test_a_day_ago_nobody_had_asked_to_leave():
    asked = {"status": "CANCELLED_BY_CUSTOMER", "end_accession_date": FIRST + 10 * DAY}
    charges = [charge(1, "COMPLETE", **asked)]
    assert only(charges, 10.5).item["status"] == "CANCELLED_BY_CUSTOMER"
    before = only(charges, 10.5, lag=DAY)
    assert before.item["status"] == "ACTIVE"
    assert "cancellation_date" not in before.charges[0]


chains = st.lists(
    st.tuples(
        st.sampled_from(STATUSES),
        st.floats(1, 60),
        st.sampled_from(["CREDIT_CARD", "PIX", "BILLET"]),
    ),
    min_size=1,
    max_size=6,
)


@given(
    chain=chains,
    mode=st.sampled_from(["SUBSCRIPTION", "SMART_INSTALLMENT"]),
    wait=st.floats(0, 90),
    lag_hours=st.integers(0, 60),
)
def test_nothing_is_known_before_it_happens(chain, mode, wait, lag_hours):
    after, charges = 0.0, []
    for number, (status, gap, kind) in enumerate(chain, start=1):
        charges.append(charge(number, status, after, mode, kind))
        after += gap
    now = (charges[-1]["purchase"]["order_date"] - FIRST) / DAY + wait
    then = FIRST + int(now * DAY) - lag_hours * 3_600_000
    for each in account(charges, now, lag_hours * 3_600_000):
        item = each.item
        assert item["status"] in SUBSCRIPTION_STATUSES
        assert ("end_accession_date" in item) == item["status"].startswith("CANCELLED")
        assert item.get("end_accession_date", 0) <= then
        assert item.get("date_next_charge", DAY // 2) % DAY == DAY // 2
        current = [row for row in each.charges if row["recurrency"]["is_current_purchase"]]
        assert len(current) == len({row["recurrency"]["number"] for row in each.charges})
        for row in each.charges:
            purchase = row["purchase"]
            reversal = purchase["payment"].get("refund_chargeback_date")
            assert purchase["status"] in SUBSCRIPTION_TRANSACTION_STATUSES
            assert (reversal is not None) == (purchase["status"] in REVERSED)
            assert purchase["order_date"] <= row["last_update"] <= then
            assert bool(purchase["commission"]["original_paid_value"]) == (
                row["recurrency"]["status"] == "PAID"
            )
