"""Landing a slice: what is replaced, what stays, and what is remembered."""

from datetime import datetime, timedelta

import pytest
from bronze_samples import COMMISSIONS, NOW, SUBSCRIPTIONS, USERS, participant, sale

from crm_assets.bronze.landing import BrokenContract

STATUSES = "SELECT transaction, status FROM bronze.hotmart_transactions ORDER BY ALL"
NAMES = "SELECT transaction, name FROM bronze.hotmart_customers ORDER BY ALL"
CHANGES = "SELECT * FROM bronze.hotmart_status_changes ORDER BY seen_at"
REJECTS = "SELECT slice, place, field, reason FROM bronze.rejects ORDER BY ALL"


def day(text):
    start = datetime.fromisoformat(f"{text}T00:00:00-03:00")
    return start, start + timedelta(days=1, milliseconds=-1)


def test_a_whole_slice_replaces_its_old_rows_and_no_others(bronze):
    bronze.land(sale("A"), sale("B"))
    bronze.land(sale("M", "2026-01-05T12:00:00-03:00"), month="2026-01-01")
    bronze.land(sale("B", status="COMPLETE"), sale("C"))
    assert bronze.rows(STATUSES) == [("B", "COMPLETE"), ("C", "APPROVED"), ("M", "APPROVED")]


def test_an_empty_answer_empties_the_slice(bronze):
    bronze.land(sale("A"))
    bronze.land(participant("A"), landing=USERS)
    assert bronze.land().rows == 0
    bronze.land(landing=USERS)
    assert bronze.rows(STATUSES) == bronze.rows(NAMES) == []


def test_a_slice_landed_twice_is_there_once(bronze):
    for _ in range(2):
        bronze.land(sale("A"), sale("B"))
        bronze.land(participant("A"), participant("B"), landing=USERS)
    assert len(bronze.rows(STATUSES)) == len(bronze.rows(NAMES)) == 2
    assert bronze.rows(CHANGES) == []


def test_one_day_replaces_that_day_and_never_the_month(bronze):
    bronze.land(
        sale("before", "2026-02-09T23:59:59.999-03:00"),
        sale("first", "2026-02-10T00:00:00-03:00"),
        sale("gone", "2026-02-10T12:00:00-03:00"),
        sale("last", "2026-02-10T23:59:59.999-03:00"),
        sale("after", "2026-02-11T00:00:00-03:00"),
    )
    bronze.land(
        sale("first", "2026-02-10T00:00:00-03:00", "REFUNDED"),
        sale("last", "2026-02-10T23:59:59.999-03:00"),
        window=day("2026-02-10"),
    )
    assert bronze.rows(STATUSES) == [
        ("after", "APPROVED"),
        ("before", "APPROVED"),
        ("first", "REFUNDED"),
        ("last", "APPROVED"),
    ]


def test_a_window_that_ends_early_leaves_what_lies_after_it(bronze):
    bronze.land(sale("early", "2026-02-03T12:00:00-03:00"), sale("late"))
    window = (day("2026-02-01")[0], day("2026-02-05")[1])
    bronze.land(sale("early", "2026-02-03T12:00:00-03:00", "COMPLETE"), window=window)
    assert bronze.rows(STATUSES) == [("early", "COMPLETE"), ("late", "APPROVED")]


def test_a_sale_without_order_date_is_not_doubled_by_a_day_read_twice(bronze):
    for _ in range(2):
        bronze.land(sale("A", None), window=day("2026-02-10"))
    assert bronze.rows(STATUSES) == [("A", "APPROVED")]


def test_one_day_of_buyers_replaces_only_those_who_came(bronze):
    bronze.land(participant("A"), participant("B"), landing=USERS)
    bronze.land(participant("A", "Ana Nova"), landing=USERS, window=day("2026-02-10"))
    assert bronze.rows(NAMES) == [("A", "Ana Nova"), ("B", "Ana Invento")]


def test_a_status_change_is_witnessed_once_by_the_run_that_saw_it(bronze):
    later = NOW + timedelta(days=3)
    bronze.land(sale("A"))
    for _ in range(2):
        bronze.land(sale("A", status="REFUNDED"), at=later)
    assert bronze.rows(CHANGES) == [("A", "APPROVED", "REFUNDED", later)]


def test_a_first_import_witnesses_nothing(bronze):
    bronze.land(sale("A", status="REFUNDED"))
    assert bronze.rows(CHANGES) == []


def test_a_change_seen_by_one_days_read_is_witnessed_too(bronze):
    bronze.land(sale("A"))
    bronze.land(sale("A", status="CHARGEBACK"), window=day("2026-02-10"))
    assert [row[:3] for row in bronze.rows(CHANGES)] == [("A", "APPROVED", "CHARGEBACK")]


def test_rejects_are_replaced_with_their_slice(bronze):
    bronze.land(sale("A", installments=1, price={"value": "x"}), {"purchase": {}})
    bronze.land(sale("M", None, order_date="x"), month="2026-01-01")
    assert bronze.land(sale("A", price={"value": 1})).rejected == 0
    assert bronze.rows(REJECTS) == [("2026-01-01", "M", "ordered_at", "valor_ilegivel")]


def test_one_days_read_keeps_the_rejects_of_the_other_days(bronze):
    bronze.land(
        sale("other", "2026-02-01T12:00:00-03:00", price={"value": "x"}),
        sale("mended", price={"value": "x"}),
    )
    for _ in range(2):
        bronze.land(sale("mended"), {"purchase": {}}, window=day("2026-02-10"))
    assert bronze.rows(REJECTS) == [
        ("2026-02-01", "other", "price_value", "valor_ilegivel"),
        ("2026-02-01", None, "transaction", "sem_transacao"),
    ]


def test_the_ledger_says_what_was_read(bronze):
    start, end = day("2026-02-10")
    bronze.land(sale("A"), sale("B"))
    load = bronze.land(sale("A"), {"purchase": {}}, window=(start, end))
    assert (load.rows, load.rejected) == (1, 1)
    ledger = bronze.rows(
        "SELECT source, slice, window_start, window_end, rows, rejected, complete, run_id "
        "FROM bronze.loads"
    )
    assert ledger == [
        ("hotmart_transactions", "2026-02-01", start, end, 1, 1, False, "run 2"),
    ]


def test_a_broken_contract_leaves_rows_rejects_and_ledger_as_they_were(bronze):
    bronze.land(sale("A", price={"value": "x"}))
    everything = [STATUSES, REJECTS, "FROM bronze.loads", CHANGES]
    before = [bronze.rows(sql) for sql in everything]
    with pytest.raises(BrokenContract, match=r"transaction: field_uniqueness \(2\)") as caught:
        bronze.land(sale("B", status="REFUNDED"), sale("B"))
    assert "B" not in str(caught.value.verdict.metadata)
    assert [bronze.rows(sql) for sql in everything] == before


def test_what_did_not_come_any_more_is_counted(bronze):
    bronze.land(sale("A"), sale("B"), sale("C"))
    bronze.land(sale("C"))
    assert bronze.gone == 2
    bronze.land(sale("C"), sale("D"))
    assert bronze.gone == 0


def test_with_a_status_refused_what_did_not_come_is_kept(bronze):
    """Sales of the refused status still exist; nobody asked for them."""
    bronze.land(sale("A"), sale("B"))
    bronze.land(participant("A"), participant("B"), landing=USERS)
    bronze.land(sale("B", status="COMPLETE"), partial=True)
    bronze.land(participant("B", "Ana Nova"), landing=USERS, partial=True)
    assert bronze.rows(STATUSES) == [("A", "APPROVED"), ("B", "COMPLETE")]
    assert bronze.rows(NAMES) == [("A", "Ana Invento"), ("B", "Ana Nova")]
    assert bronze.gone == 0


def test_the_commissions_of_a_sale_are_replaced_together(bronze):
    def shared(*sources):
        return {"transaction": "A", "commissions": [{"source": each} for each in sources]}

    bronze.land(shared("PRODUCER", "AFFILIATE"), landing=COMMISSIONS)
    bronze.land(shared("PRODUCER"), landing=COMMISSIONS, window=day("2026-02-10"))
    assert bronze.rows("SELECT source FROM bronze.hotmart_commissions") == [("PRODUCER",)]


def test_subscriptions_are_replaced_by_their_accession(bronze):
    def subscription(number, accession, status="ACTIVE"):
        at = int(datetime.fromisoformat(accession).timestamp() * 1000)
        return {"subscription_id": number, "status": status, "accession_date": at}

    bronze.land(
        subscription(1, "2026-02-10T12:00:00-03:00"),
        subscription(2, "2026-02-11T12:00:00-03:00"),
        subscription(3, "2026-02-10T13:00:00-03:00"),
        landing=SUBSCRIPTIONS,
    )
    bronze.land(
        subscription(1, "2026-02-10T12:00:00-03:00", "DELAYED"),
        landing=SUBSCRIPTIONS,
        window=day("2026-02-10"),
    )
    held = "SELECT subscription_id, status FROM bronze.hotmart_subscriptions ORDER BY ALL"
    assert bronze.rows(held) == [("1", "DELAYED"), ("2", "ACTIVE")]
