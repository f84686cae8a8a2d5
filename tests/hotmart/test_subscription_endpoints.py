"""The sandbox's subscription endpoints over TCP: filters, defaults, pages and age."""

import json
from datetime import UTC, datetime

import pytest

from crm_resources.hotmart import (
    SUBSCRIPTION_STATUSES,
    SUBSCRIPTION_TRANSACTIONS,
    SUBSCRIPTIONS,
)
from crm_resources.hotmart.sandbox_data import SandboxData

LIST, CHARGES = SUBSCRIPTIONS.path, SUBSCRIPTION_TRANSACTIONS.path
DAY = 86_400_000
EVER = {"accession_date": 0, "max_results": 500}
ALWAYS = {"transaction_date": 0, "max_results": 500}


@pytest.fixture
def listed(sandbox):
    """Every item of `subscriptions`."""
    return [
        each.item for each in sandbox.data.subscriptions() if each.billing_type == "SUBSCRIPTION"
    ]


@pytest.fixture
def charged(sandbox):
    """Every item of `subscriptions/transactions` while it is up to date."""
    sandbox.faults.transactions_lag_hours = 0
    return [item for each in sandbox.data.subscriptions() for item in each.charges]


def items(reply):
    assert reply.status_code == 200
    return reply.json()["items"]


def numbers(found):
    return {item["subscription_id"] for item in found}


def codes(found):
    return {item["purchase"]["transaction"] for item in found}


def test_the_generated_account_has_subscriptions_of_every_kind(sandbox, listed, charged):
    assert {item["status"] for item in listed} >= {
        "ACTIVE",
        "CANCELLED_BY_CUSTOMER",
        "INACTIVE",
        "DELAYED",
    }
    assert any(item["trial"] for item in listed)
    assert any("max_charge_cycles" in item["plan"] for item in listed)
    assert {item["billing_type"] for item in charged} == {"SUBSCRIPTION", "SMART_INSTALLMENT"}
    assert any("refund_chargeback_date" in item["purchase"]["payment"] for item in charged)
    recurring = {
        sale.transaction for sale in sandbox.data.find() if '"recurrency_number"' in sale.history
    }
    assert codes(charged) == recurring


def test_a_subscription_that_never_began_has_one_charge(sandbox):
    chains = sandbox.data.subscriptions()
    idle = [each for each in chains if each.charges[0]["recurrency"]["status"] == "NOT_PAID"]
    assert {len(each.charges) for each in idle} == {1}
    assert {each.item["status"] for each in idle} <= {"STARTED", "INACTIVE"}
    assert any(len(each.charges) > 1 for each in chains)


def test_an_item_has_the_vendors_fields(get, listed, charged):
    item = items(get(LIST, **EVER, status="ACTIVE"))[0]
    assert item.keys() == {
        "subscriber_code",
        "subscription_id",
        "status",
        "accession_date",
        "request_date",
        "date_next_charge",
        "trial",
        "transaction",
        "plan",
        "product",
        "price",
        "subscriber",
    }
    assert len(item["subscriber_code"]) == 8
    assert item["product"].keys() == {"id", "name", "ucode"}
    assert item["date_next_charge"] % DAY == DAY // 2
    left = items(get(LIST, **EVER, status="CANCELLED_BY_CUSTOMER"))[0]
    assert left["end_accession_date"] <= left["date_next_charge"]
    row = items(get(CHARGES, **ALWAYS))[0]
    assert row.keys() >= {"last_update", "recurrency", "purchase", "trial_info", "producer"}
    assert row["purchase"].keys() >= {"price", "installment", "payment", "commission"}
    assert row["purchase"]["price"].keys() == {"value", "total_value", "currency"}


# --- defaults


def test_without_an_accession_date_only_the_last_thirty_days_come(get, sandbox, listed):
    since = sandbox.data.now_ms - 30 * DAY
    recent = {item["subscription_id"] for item in listed if item["accession_date"] >= since}
    assert 0 < len(recent) < len(listed)
    assert numbers(items(get(LIST, max_results=500))) == recent
    old = next(item for item in listed if item["subscription_id"] not in recent)
    asked = {"subscriber_code": old["subscriber_code"], "max_results": 500}
    assert old["subscription_id"] not in numbers(items(get(LIST, **asked)))
    assert old["subscription_id"] in numbers(items(get(LIST, **asked, accession_date=0)))
    assert numbers(items(get(LIST, **EVER))) == numbers(listed)


def test_without_dates_only_the_last_thirty_days_of_charges_come(get, sandbox, charged):
    since = sandbox.data.now_ms - 30 * DAY
    recent = codes(item for item in charged if item["purchase"]["order_date"] >= since)
    assert 0 < len(recent) < len(charged)
    assert codes(items(get(CHARGES, max_results=500))) == recent
    old = next(iter(codes(charged) - recent))
    assert codes(items(get(CHARGES, transaction=old))) == {old}


def test_charges_are_a_day_old_unless_switched(get, sandbox):
    now = sandbox.data.now_ms
    newest = max(item["purchase"]["order_date"] for item in items(get(CHARGES, **ALWAYS)))
    assert newest <= now - DAY
    sandbox.faults.transactions_lag_hours = 0
    assert max(item["purchase"]["order_date"] for item in items(get(CHARGES, **ALWAYS))) > newest
    sandbox.faults.transactions_lag_hours = 24 * 90
    assert max(item["last_update"] for item in items(get(CHARGES, **ALWAYS))) <= now - 90 * DAY


def test_long_windows_are_legal(get, listed, charged):
    never = int(datetime(2040, 1, 1, tzinfo=UTC).timestamp() * 1000)
    found = get(LIST, accession_date=0, end_accession_date=never, max_results=500)
    assert numbers(items(found)) == numbers(listed)
    found = get(CHARGES, transaction_date=0, end_transaction_date=never, max_results=500)
    assert codes(items(found)) == codes(charged)


# --- filters


@pytest.mark.parametrize("statuses", [["ACTIVE"], ["ACTIVE", "DELAYED"], SUBSCRIPTION_STATUSES])
def test_statuses_are_a_union(get, listed, statuses):
    found = items(get(LIST, **EVER, status=list(statuses)))
    assert found
    assert numbers(found) == numbers(item for item in listed if item["status"] in statuses)


@pytest.mark.parametrize(
    "name",
    ["CANCELLED_BY_BUYER", "CANCELED_BY_CUSTOMER", "CANCELED_BY_VENDOR", "EXPIRED", "PAST_DUE"],
)
def test_an_unknown_status_is_a_400_that_names_nothing(get, name):
    reply = get(LIST, **EVER, status=["ACTIVE", name])
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_parameter")
    assert name not in reply.text


@pytest.mark.parametrize(
    ("endpoint", "parameters"),
    [
        (LIST, {"trial": "maybe"}),
        (LIST, {"accession_date": "2024-01-01"}),
        (LIST, {"accession_date": 5, "end_accession_date": 1}),
        (LIST, {"cancelation_date": "x"}),
        (CHARGES, {"purchase_status": "UNDER_ANALISYS"}),
        (CHARGES, {"purchase_status": "OVERDUE"}),
        (CHARGES, {"subscription_status": "CANCELLED_BY_BUYER"}),
        (CHARGES, {"recurrency_status": "UNPAID"}),
        (CHARGES, {"billing_type": "ONE_TIME"}),
        (CHARGES, {"transaction_date": 5, "end_transaction_date": 1}),
    ],
)
def test_bad_values_are_refused(get, endpoint, parameters):
    assert get(endpoint, **parameters).status_code == 400


@pytest.mark.parametrize(
    "pick",
    [
        lambda item: {"subscriber_code": item["subscriber_code"]},
        lambda item: {"transaction": item["transaction"]},
        lambda item: {"product_id": item["product"]["id"]},
        lambda item: {"plan": item["plan"]["name"]},
        lambda item: {"plan_id": item["plan"]["id"]},
        lambda item: {"trial": str(item["trial"]).lower()},
        lambda item: {"subscriber_email": item["subscriber"].get("email")},
    ],
)
def test_subscriptions_are_filtered(get, listed, pick):
    one = next(item for item in listed if item["trial"] and "email" in item["subscriber"])
    found = items(get(LIST, **EVER, **pick(one)))
    assert one["subscription_id"] in numbers(found)
    assert numbers(found) == numbers(item for item in listed if pick(item) == pick(one))


def test_any_charge_finds_its_subscription(get, sandbox):
    one = next(
        each
        for each in sandbox.data.subscriptions()
        if each.billing_type == "SUBSCRIPTION" and len(each.charges) > 2
    )
    asked = {"transaction": one.charges[2]["purchase"]["transaction"], "accession_date": 0}
    assert numbers(items(get(LIST, **asked))) == {one.item["subscription_id"]}


def test_cancellations_and_next_charges_have_their_own_dates(get, sandbox, listed):
    now = sandbox.data.now_ms
    left = [item["end_accession_date"] for item in listed if "end_accession_date" in item]
    found = items(get(LIST, **EVER, cancelation_date=0))
    assert len(found) == len(left) > 0
    recent = items(get(LIST, **EVER, end_cancelation_date=now))
    assert len(recent) == sum(now - 30 * DAY <= each <= now for each in left)
    due = items(get(LIST, **EVER, end_date_next_charge=now + 10 * DAY))
    assert due
    assert all(now <= item["date_next_charge"] <= now + 10 * DAY for item in due)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("purchase_status", lambda row: row["purchase"]["status"]),
        ("subscription_status", lambda row: row["status"]),
        ("recurrency_status", lambda row: row["recurrency"]["status"]),
        ("billing_type", lambda row: row["billing_type"]),
        ("purchase_payment_type", lambda row: row["purchase"]["payment"]["payment_type"]),
        ("offer_code", lambda row: row["plan"]["offer"]["code"]),
        ("product_id", lambda row: row["product"]["id"]),
        ("subscriber_code", lambda row: row["subscriber_code"]),
    ],
)
def test_charges_are_filtered(get, charged, name, read):
    for value in {read(row) for row in charged[:20]}:
        found = items(get(CHARGES, **ALWAYS, **{name: value}))
        assert codes(found) == codes(row for row in charged if read(row) == value)


# --- pages


@pytest.mark.parametrize("endpoint", [LIST, CHARGES])
def test_page_tokens_are_opaque_and_lead_through_everything(get, endpoint, listed, charged):
    first_date = "accession_date" if endpoint == LIST else "transaction_date"
    asked = {first_date: 0, "max_results": 20}
    pages = [get(endpoint, **asked).json()]
    while token := pages[-1]["page_info"].get("next_page_token"):
        assert len(token) == 64
        assert int(token, 16)
        pages.append(get(endpoint, **asked, page_token=token).json())
    assert len(pages) > 2
    assert "prev_page_token" not in pages[0]["page_info"]
    assert len(pages[1]["page_info"]["prev_page_token"]) == 64
    assert [page["page_info"]["results_per_page"] for page in pages[:-1]] == [20] * len(pages[:-1])
    found = [item for page in pages for item in page["items"]]
    if endpoint == LIST:
        assert [page["page_info"]["total_results"] for page in pages] == [len(listed)] * len(pages)
        assert sorted(found, key=str) == sorted(listed, key=str)
    else:
        assert all("total_results" not in page["page_info"] for page in pages)
        assert sorted(found, key=str) == sorted(charged, key=str)


@pytest.mark.parametrize("endpoint", [LIST, CHARGES])
def test_an_unknown_page_token_is_refused(get, endpoint):
    reply = get(endpoint, page_token="0" * 64)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_token")


# --- hand-written sales


def test_a_written_subscription_is_served(get, sandbox, tmp_path):
    start, day = 1_760_000_000_000, 86_400_000
    sale = {
        "product": {"id": 1, "name": "Clube"},
        "buyer": {"email": "bia@example.com"},
        "purchase": {
            "transaction": "HP1",
            "order_date": start,
            "approved_date": start + 1_000,
            "status": "COMPLETE",
            "is_subscription": True,
            "price": {"value": 49.9, "currency_code": "BRL"},
        },
        "subscription": {
            "subscriber_code": "AB12CD34",
            "subscription_id": 77,
            "status": "CANCELLED_BY_SELLER",
            "end_accession_date": start + 3 * day,
            "plan": {"id": 5, "name": "Semanal", "recurrency_period": 7},
        },
    }
    path = tmp_path / "sales.json"
    path.write_text(json.dumps({"now": start + 4 * day, "sales": [sale]}), "utf-8")
    sandbox.data = SandboxData.load(path)
    (item,) = items(get(LIST))
    written = sale["subscription"]
    assert {name: item[name] for name in written} == written
    assert item["price"] == sale["purchase"]["price"]
    (row,) = items(get(CHARGES, subscriber_code="AB12CD34"))
    assert row["plan"]["recurrency_type"] == "WEEKLY"
    assert row["cancellation_date"] == start + 3 * day
    assert row["purchase"]["transaction"] == "HP1"
