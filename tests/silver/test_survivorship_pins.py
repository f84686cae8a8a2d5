"""What a person fixed beats every record, follows its customer, can be taken back (rules 2.6)."""

from __future__ import annotations

import pytest
from golden_samples import (
    act,
    check,
    golden,
    lineage_of,
    master,
    pinned,
)
from lake import NOON, site

from crm_assets.silver.customers import _prepare, _write

pytestmark = pytest.mark.slow

PHONE = {"phone": "+5511900000001", "phone_key": "+5511900000001", "phone_kind": "mobile"}
PINNED = {"field": "phone", "value": "+5511900000009",
          "columns": {"phone": "+5511900000009", "phone_kind": "mobile"}}  # fmt: skip


def test_a_pin_beats_every_record_and_the_winner_comes_second():
    lake = master([{**PHONE, "owner": 1}, {"owner": 2}], pins=[(7, 1, PINNED)])
    (row, other) = lake.rows("FROM silver.customers ORDER BY customer_id")
    assert (row["phone"], row["phone_kind"], row["records"]) == ("+5511900000009", "mobile", 1)
    assert other["phone"] is None
    told = lineage_of(lake, "phone")
    assert [told[name] for name in ("record_id", "source", "source_id", "strategy")] == [
        "acao:7", "pin", "7", "pin",
    ]  # fmt: skip
    assert (told["runner_up"], told["runner_up_source"]) == ("r0", "hotmart")
    assert told["observed_at"] == NOON
    assert lake.told["silver.field_choices"]["valores fixados"] == 1
    key = lake.column("SELECT phone_key FROM silver.contact_records ORDER BY record_id")
    assert key == ["+5511900000001", None]


def test_a_pin_fills_a_field_that_no_record_has():
    lake = master([{}], pins=[(7, 1, pinned("instagram", "ana"))])
    assert lake.column("SELECT instagram FROM silver.customers") == ["ana"]
    assert lineage_of(lake, "instagram")["runner_up"] is None


def test_a_pin_without_columns_sets_its_field_alone():
    row = golden([{"name": "Bia", "first_name": "Bia"}],
                 pins=[(7, 1, {"field": "name", "value": "Ana"})])  # fmt: skip
    assert (row["name"], row["first_name"]) == ("Ana", None)


def test_the_newest_pin_that_nobody_took_back_holds():
    pins = [(n, 1, pinned("name", f"Ana {n}")) for n in (1, 2, 3)]
    lake = master([{"name": "Bia"}], pins=pins)
    assert lake.column("SELECT name FROM silver.customers") == ["Ana 3"]
    for number, shown in ((3, "Ana 2"), (1, "Ana 2"), (2, "Bia")):
        act(lake, 10 + number, "steward_undo", action=number)
        _prepare(site(), lake.tx)
        _write(site(), lake.tx)
        check(lake)
        assert lake.column("SELECT name FROM silver.customers") == [shown]


def test_a_pin_follows_its_customer_through_merges():
    pins = [(1, 7, pinned("name", "Ana")), (2, 1, pinned("name", "Bia")),
            (3, 8, pinned("name", "Lia")), (4, 9, pinned("name", "Eva"))]  # fmt: skip
    lake = master([{"name": "X"}, {"owner": 2, "name": "Y"}], pins=pins,
                  merged=[(7, 1), (8, 2), (9, None)])  # fmt: skip
    names = lake.column("SELECT name FROM silver.customers ORDER BY customer_id")
    assert names == ["Bia", "Lia"]


@pytest.mark.parametrize(
    ("pins", "place"),
    [
        ([("city", "Porto")], ("Porto", "SP", "ddd", "BR")),
        ([("state", "RJ")], ("Campinas", "RJ", None, "BR")),
        ([("country", "PT")], ("Campinas", "SP", "ddd", "PT")),
        ([("city", "Porto"), ("country", "PT")], ("Porto", "SP", "ddd", "PT")),
    ],
)
def test_a_part_of_the_place_can_be_pinned_alone(pins, place):
    record = {"city": "Campinas", "state": "SP", "state_source": "ddd", "country": "BR"}
    lake = master([record], pins=[(n, 1, pinned(*pin)) for n, pin in enumerate(pins, 1)])
    (row,) = lake.rows("FROM silver.customers")
    assert tuple(row[name] for name in ("city", "state", "state_source", "country")) == place
    assert lineage_of(lake, "place")["record_id"] == "r0"
    for number, (part, _) in enumerate(pins, 1):
        assert lineage_of(lake, part)["record_id"] == f"acao:{number}"


def test_a_whole_place_can_be_pinned():
    record = {"city": "Campinas", "state": "SP", "country": "BR"}
    whole = {"field": "place", "columns": {"city": "Porto", "country": "PT"}}
    row = golden([record], pins=[(1, 1, whole)])
    assert (row["city"], row["state"], row["country"]) == ("Porto", None, "PT")


def test_a_pin_of_an_unknown_field_changes_nothing():
    assert golden([{"name": "Ana"}], pins=[(1, 1, pinned("idade", "7"))])["name"] == "Ana"


@pytest.mark.parametrize(
    ("kind", "key"), [("phone", "+5511900000009"), ("email", "nova@example.com")]
)
def test_who_refused_a_pinned_key_is_not_contacted(kind, key):
    pins = [(1, 1, PINNED), (2, 1, pinned("email", "nova@example.com"))]
    refused = golden([PHONE], pins=pins, opt_outs=[{"key_kind": kind, "key": key}])
    assert (refused["opted_out"], refused["reachable"]) == (True, False)
