"""Who got what of a sale, and what its price is made of: commissions and price details."""

import json

import pytest

from crm_resources.hotmart import (
    PRICE_DETAILS,
    PRICE_DETAILS_STATUSES,
    SALES_COMMISSIONS,
    SALES_USERS,
    STATUSES,
)
from crm_resources.hotmart.sandbox_items import RATES, VAT, commissions_item, price_details_item
from crm_resources.hotmart.sandbox_records import sale_of

COMMISSIONS, PRICES = SALES_COMMISSIONS.path, PRICE_DETAILS.path


@pytest.mark.parametrize("key", ["currency_code", "currency_value"])
def test_commissions_share_the_base_under_either_currency_key(get, sandbox, key):
    sandbox.faults.currency_key = key
    items = get(COMMISSIONS, commission_as="COPRODUCER", max_results=500).json()["items"]
    assert items
    for item in items:
        sale = json.loads(sandbox.data.find(filters=by(item["transaction"]))[0].history)
        shares = {each["source"]: each["commission"] for each in item["commissions"]}
        assert shares.keys() == {"MARKETPLACE", "PRODUCER", "COPRODUCER"}
        total = sum(share["value"] for share in shares.values())
        assert total == pytest.approx(sale["purchase"]["hotmart_fee"]["base"], abs=0.02)
        assert {share[key] for share in shares.values()} == {"BRL"}


def by(transaction):
    return frozenset({("transaction", transaction)})


def test_price_details_add_up_and_carry_the_rate(get):
    items = get(PRICES, max_results=500).json()["items"]
    rates = {item["total"]["currency_code"]: item["real_conversion_rate"] for item in items}
    assert rates["BRL"] == 1.0
    assert 0 < rates["USD"] < 1 < rates["MXN"]
    for item in items:
        currency = item["total"]["currency_code"]
        assert ("vat" in item) == (currency in {"EUR", "MXN"} and item["total"]["value"] > 0)
        parts = sum(item[part]["value"] for part in ("base", "fee", "vat") if part in item)
        assert parts == pytest.approx(item["total"]["value"], abs=0.01)
    assert any(item["fee"]["value"] > 0 for item in items)


# --- commissions


@pytest.fixture
def everything(get):
    """All pages of an endpoint, all statuses, by transaction."""

    def read(endpoint):
        found, asked = {}, {"max_results": 500, "transaction_status": list(endpoint.statuses)}
        while True:
            page = get(endpoint.path, **asked).json()
            found |= {item["transaction"]: item for item in page["items"]}
            if "next_page_token" not in page["page_info"]:
                return found
            asked["page_token"] = page["page_info"]["next_page_token"]

    return read


def history(sandbox):
    return {sale.transaction: json.loads(sale.history) for sale in sandbox.data.find()}


def test_commissions_add_up_to_the_cent_and_name_who_got_them(everything, sandbox):
    sales, users = history(sandbox), everything(SALES_USERS)
    items = everything(SALES_COMMISSIONS)
    assert items.keys() == sales.keys() == users.keys()
    seen = set()
    for transaction, item in items.items():
        purchase = sales[transaction]["purchase"]
        shares = {each["source"]: each for each in item["commissions"]}
        seen.add(tuple(sorted(shares)))
        values = [share["commission"]["value"] for share in shares.values()]
        assert min(values) >= 0
        assert sum(values) == pytest.approx(purchase["hotmart_fee"]["base"], abs=1e-6)
        assert shares.keys() >= {"MARKETPLACE", "PRODUCER", purchase["commission_as"]}
        assert shares["MARKETPLACE"]["commission"]["value"] == purchase["hotmart_fee"]["total"]
        people = {each["role"]: each["user"] for each in users[transaction]["users"]}
        for role in people.keys() - {"BUYER"}:
            assert shares[role]["user"]["ucode"] == people[role]["ucode"]
        assert all(share["user"].keys() >= {"ucode", "name"} for share in shares.values())
    assert seen >= {
        ("MARKETPLACE", "PRODUCER"),
        ("ADDON", "MARKETPLACE", "PRODUCER"),
        ("AFFILIATE", "MARKETPLACE", "PRODUCER"),
        ("COPRODUCER", "MARKETPLACE", "PRODUCER"),
        ("AFFILIATE", "COPRODUCER", "MARKETPLACE", "PRODUCER"),
    }


def test_a_rate_of_one_means_no_conversion(everything, sandbox):
    sales = history(sandbox)
    for transaction, item in everything(SALES_COMMISSIONS).items():
        home = sales[transaction]["purchase"]["price"]["currency_code"] == "BRL"
        assert (item["exchange_rate_currency_payout"] == 1.0) == home


def written(price, base, fee_currency="BRL", instalments=1, **more):
    purchase = {
        "transaction": "HP1",
        "order_date": 1_760_000_000_000,
        "status": "COMPLETE",
        "price": {"value": price[0], "currency_code": price[1]},
        "payment": {"installments_number": instalments},
        "hotmart_fee": {"total": 10.0, "base": base, "currency_code": fee_currency},
    }
    role = {"commission_as": more.pop("commission_as")} if "commission_as" in more else {}
    return sale_of({"product": {"id": 1, "name": "x"}, "purchase": purchase | role, **more})


AFFILIATE = {"role": "AFFILIATE", "user": {"ucode": "a", "name": "Lia", "email": "l@example.com"}}


@pytest.mark.parametrize(
    ("more", "shares"),
    [
        ({}, {"MARKETPLACE": 10.0, "PRODUCER": 90.0}),
        ({"users": [AFFILIATE]}, {"MARKETPLACE": 10.0, "AFFILIATE": 36.0, "PRODUCER": 54.0}),
        (
            {"commission_as": "COPRODUCER"},
            {"MARKETPLACE": 10.0, "COPRODUCER": 36.0, "PRODUCER": 54.0},
        ),
        (
            {"users": [AFFILIATE], "commission_as": "COPRODUCER"},
            {"MARKETPLACE": 10.0, "AFFILIATE": 36.0, "COPRODUCER": 21.6, "PRODUCER": 32.4},
        ),
        (
            {"commissions": {"ADDON": 4.9, "COPRODUCER": 45.1}},
            {"MARKETPLACE": 10.0, "ADDON": 4.9, "COPRODUCER": 45.1, "PRODUCER": 40.0},
        ),
    ],
)
def test_shares_of_a_written_sale(more, shares):
    item = json.loads(commissions_item(written((100.0, "BRL"), 100.0, **more), "currency_code"))
    assert {each["source"]: each["commission"]["value"] for each in item["commissions"]} == shares
    if AFFILIATE in more.get("users", []):
        named = next(each["user"] for each in item["commissions"] if each["source"] == "AFFILIATE")
        assert named == AFFILIATE["user"]


# --- price details


def test_the_rate_takes_a_foreign_price_back_to_reais(everything, sandbox):
    sales = history(sandbox)
    foreign = 0
    for transaction, item in everything(PRICE_DETAILS).items():
        fee, price = (sales[transaction]["purchase"][name] for name in ("hotmart_fee", "price"))
        currency = item["total"]["currency_code"]
        assert item["total"] == price
        assert item["real_conversion_rate"] == RATES[currency]
        back = item["base"]["value"] / item["real_conversion_rate"]
        assert back == pytest.approx(fee["base"], abs=0.04)
        taxed = item["base"]["value"] + item["fee"]["value"]
        vat = item.get("vat", {"value": 0.0})["value"]
        assert vat == pytest.approx(taxed * VAT.get(currency, 0.0), abs=0.02)
        if item["fee"]["value"] > 0.02:
            assert currency in {"BRL", "MXN"}
        foreign += currency != "BRL"
    assert foreign > 20


def test_every_priced_sale_has_details(everything, sandbox):
    sales = history(sandbox)
    priced = {
        code for code, item in sales.items() if item["purchase"]["status"] in PRICE_DETAILS_STATUSES
    }
    assert everything(PRICE_DETAILS).keys() == priced
    assert len(PRICE_DETAILS_STATUSES) < len(STATUSES)


def test_some_sales_have_a_coupon_and_its_price(everything, sandbox):
    items = everything(PRICE_DETAILS).values()
    coupons = [item for item in items if "coupon" in item]
    assert 0 < len(coupons) < len(items) / 10
    listed = {
        item["product"]["id"]: item["base"]["value"]
        for item in items
        if "coupon" not in item and item["base"]["currency_code"] == "BRL" and item["base"]["value"]
    }
    for item in coupons:
        assert item["coupon"] == {"code": "VOLTA10", "value": 0.1}
        if item["base"]["currency_code"] == "BRL" and item["base"]["value"]:
            expected = listed[item["product"]["id"]] * 0.9
            assert item["base"]["value"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("sale", "base", "vat", "fee", "rate"),
    [
        (written((100.0, "BRL"), 100.0), 100.0, None, 0.0, 1.0),
        (written((112.5, "BRL"), 100.0, instalments=6), 100.0, None, 12.5, 1.0),
        (written((18.7, "USD"), 100.0), 18.7, None, 0.0, 0.187),
        (written((19.80, "EUR"), 100.0), 16.1, 3.7, 0.0, 0.161),
        (written((10.0, "EUR"), 100.0), 10.0, None, 0.0, 0.161),
        (written((89.9, "EUR"), 89.9, "EUR"), 89.9, None, 0.0, 0.161),
        (written((404.66, "MXN"), 100.0, instalments=2), 342.0, 55.82, 6.84, 3.42),
        (
            written((79.0, "USD"), 79.0, "USD", price_details={"real_conversion_rate": 1}),
            79.0,
            None,
            0.0,
            1,
        ),
    ],
)
def test_price_of_a_written_sale(sale, base, vat, fee, rate):
    item = json.loads(price_details_item(sale))
    assert item["base"]["value"] == base
    assert item.get("vat", {}).get("value") == vat
    assert item["fee"]["value"] == fee
    assert item["real_conversion_rate"] == rate
    assert {item[name]["currency_code"] for name in ("base", "total", "fee")} == {
        item["total"]["currency_code"]
    }
