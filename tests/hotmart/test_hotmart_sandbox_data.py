"""The sandbox's sales look like a real account's, and those of a file are read or explained."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from crm_resources.hotmart import (
    PRICE_DETAILS,
    SALES_COMMISSIONS,
    SALES_HISTORY,
    SALES_USERS,
    STATUSES,
)
from crm_resources.hotmart.sandbox_data import SandboxData, SandboxDataError


def epoch(*day):
    return int(datetime(*day, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def many():
    return SandboxData.generate(
        3, 20_000, datetime(2022, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC)
    ).find()


def test_the_same_seed_gives_the_same_sales(sales):
    start = datetime(2024, 1, 1, tzinfo=UTC)
    end = start + timedelta(days=90)
    one, other = (SandboxData.generate(5, 300, start, end).find() for _ in range(2))
    assert one == other
    assert one != SandboxData.generate(6, 300, start, end).find()


@pytest.mark.parametrize("size", [0, 1, 250])
def test_there_are_as_many_as_asked(size):
    start = datetime(2024, 1, 1, tzinfo=UTC)
    data = SandboxData.generate(1, size, start, start + timedelta(days=9))
    assert len(data) == size
    assert all(
        start.timestamp() * 1000 <= sale.ordered_at <= epoch(2024, 1, 10) for sale in data.find()
    )


@pytest.mark.slow
def test_the_mix_is_that_of_an_account(many):
    items = [json.loads(sale.history) for sale in many]
    purchases = [item["purchase"] for item in items]
    assert len({purchase["transaction"] for purchase in purchases}) == 20_000
    assert {purchase["status"] for purchase in purchases} == set(STATUSES)
    paid = sum(purchase["status"] in {"COMPLETE", "APPROVED"} for purchase in purchases)
    assert 0.6 < paid / 20_000 < 0.85
    assert all(("approved_date" in each) >= (each["status"] == "COMPLETE") for each in purchases)
    assert any(purchase.get("recurrency_number", 0) > 12 for purchase in purchases)
    assert {purchase["offer"]["payment_mode"] for purchase in purchases} == {
        "UNIQUE_PAYMENT",
        "SUBSCRIPTION",
        "SMART_INSTALLMENT",
    }
    roots = {each["transaction"] for each in purchases}
    bumps = [each["transaction"] for each in purchases if each["transaction"].endswith("C1")]
    assert bumps
    assert {bump.removesuffix("C1") for bump in bumps} <= roots
    assert {purchase["price"]["currency_code"] for purchase in purchases} == {
        "BRL",
        "USD",
        "EUR",
        "MXN",
    }
    assert any("buyer" not in item for item in items)
    buyers = [item.get("buyer", {}) for item in items]
    for name in ("name", "email", "ucode"):
        assert 0 < sum(name not in buyer for buyer in buyers) < 1_000
    emails = Counter(buyer["email"] for buyer in buyers if "email" in buyer)
    assert emails.most_common(1)[0][1] > 3
    assert all(email.endswith("@example.com") for email in emails)


def test_phones_and_documents_look_real(many):
    users = [json.loads(sale.users)["users"][0]["user"] for sale in many]
    brazilian = [user for user in users if user["address"]["country"] == "Brasil"]
    phones = Counter(user["cellphone"] for user in brazilian)
    assert phones[""] > 0
    mobiles = [phone for phone in phones if phone.startswith("55") and len(phone) == 13]
    assert len(mobiles) > 0.8 * len(phones)
    assert all(phone[4] == "9" for phone in mobiles)
    documents = {user["documents"][0]["value"] for user in users if "documents" in user}
    assert len(documents) > 1_000
    for document in documents:
        digits = [int(digit) for digit in document]
        for length in (9, 10):
            weighted = sum(digits[i] * (length + 1 - i) for i in range(length))
            assert digits[length] == weighted * 10 % 11 % 10


def record(sale):
    users = json.loads(sale.users)["users"]
    return json.loads(sale.history) | {"users": users} | json.loads(sale.extras)


def test_a_written_file_gives_the_same_sales(sales, tmp_path):
    path = tmp_path / "sales.json"
    content = {"now": sales.now_ms, "sales": [record(sale) for sale in sales.find()]}
    path.write_text(json.dumps(content), "utf-8")
    loaded = SandboxData.load(path)
    assert sorted(loaded.find(), key=str) == sorted(sales.find(), key=str)
    assert loaded.now_ms == sales.now_ms
    assert sorted(loaded.subscriptions(), key=str) == sorted(sales.subscriptions(), key=str)


SALE = {
    "product": {"id": 1, "name": "Curso"},
    "purchase": {"transaction": "HP1", "order_date": 1_700_000_000_000, "status": "STARTED"},
}


def test_the_smallest_sale_serves_every_endpoint(get, sandbox, tmp_path):
    path = tmp_path / "sales.json"
    path.write_text(json.dumps({"sales": [SALE]}), "utf-8")
    sandbox.data = SandboxData.load(path)
    for endpoint in (SALES_HISTORY, SALES_USERS, SALES_COMMISSIONS, PRICE_DETAILS):
        (item,) = get(endpoint.path, transaction_status="STARTED").json()["items"]
        assert item["product"] == SALE["product"]


def broken(**changes):
    return json.dumps({"sales": [SALE, SALE | {"purchase": SALE["purchase"] | changes}]})


def broken_subscription(**changes):
    return json.dumps({"sales": [SALE | {"subscription": changes}]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "sales.json não se lê como JSON"),
        (b"\xff", "sales.json não se lê como JSON"),
        ("[]", "precisa ter uma lista `sales`"),
        ('{"now": 1700000000, "sales": []}', "O `now` de sales.json precisa ser um instante"),
        (broken_subscription(status="CANCELLED_BY_BUYER"), "Na venda 1 .*: subscription.status"),
        (broken_subscription(states="ACTIVE"), "Na venda 1 .*: subscription.states"),
        (
            broken_subscription(plan={"id": 1, "name": "Anual", "recurrency_period": 365}),
            "subscription.plan.recurrency_period",
        ),
        ('{"sales": {}}', "precisa ter uma lista `sales`"),
        ('{"sales": [{}]}', "Na venda 1 de sales.json, falta ou é inválido: product, purchase"),
        (broken(transaction="HP2", status="COMPLETED"), "Na venda 2 .*: purchase.status"),
        (broken(transaction="HP2", order_date=1_700_000_000), "Na venda 2 .*purchase.order_date"),
        (broken(transaction="HP2", commission_as="X"), "Na venda 2 .*purchase.commission_as"),
        (broken(transaction="HP2", price={"value": 1}), "purchase.price.currency_code"),
        (broken(), "A venda 2 de sales.json repete uma transação"),
    ],
)
def test_a_bad_file_is_explained(tmp_path, content, message):
    path = tmp_path / "sales.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SandboxDataError, match=message):
        SandboxData.load(path)


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(SandboxDataError, match=r"nada\.json"):
        SandboxData.load(tmp_path / "nada.json")
