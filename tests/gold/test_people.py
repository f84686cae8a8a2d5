"""Finding people, and deciding about them: what is refused, what is recorded, what would change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lake import Lake, cus, frame_of, site

from crm_assets.checks.silver import ContactRecords, Customers
from crm_assets.gold import deciding
from crm_assets.gold.deciding import Author, Refused, actions_of, rehearse
from crm_assets.gold.people import (
    NoMaster,
    anchor_of,
    customers_of,
    find_customers,
    members,
    reading,
    record_refs,
)
from crm_assets.resources import warehouse_of
from crm_assets.silver.identity import identify
from crm_assets.silver.stewardship import Contradiction, decisions, in_force
from crm_resources.ops import OpsStore

pytestmark = pytest.mark.slow

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
AUTHOR = Author("bia", "ela confirmou", NOW)
SITE = site()
PHONE = "+5511981239876"


def stored(name, email=None, phone=None, key=None, at=0):
    source, _, number = name.partition(":")
    return {
        "record_id": name,
        "source": source,
        "source_id": key or number,
        "source_key": key,
        "observed_at": NOW.replace(second=at),
        "email": email,
        "email_key": email,
        "phone": phone,
        "phone_key": phone,
    }


ROWS = [
    stored("hotmart:HP1", "ana@example.com", key="UC1"),
    stored("hotmart:HP2", "ana@example.com", key="UC1", at=1),
    stored("manychat:77", "ana@example.com", PHONE, key="77", at=2),
    stored("form:1", None, PHONE, at=3),
    stored("form:2", "bia@example.com", at=4),
    stored("form:3", "bia@example.com", "+5511971234567", at=5),
]


@pytest.fixture
def lake():
    made = Lake()
    made.put("silver.contact_records", ContactRecords, *ROWS)
    identify(made.tx, SITE.tenant.identity, NOW, full=True)
    return made


@pytest.fixture
def ops(tmp_path):
    return OpsStore(tmp_path / "ops.sqlite", "default")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A log without actions."""
    return OpsStore(tmp_path_factory.mktemp("ops") / "ops.sqlite", "default").actions()


@pytest.fixture
def ana(lake):
    return customers_of(lake.tx, "ana@example.com")[0]


@pytest.fixture
def bia(lake):
    return customers_of(lake.tx, "bia@example.com")[0]


HER = [
    " Ana@Example.com ",
    "mailto:ana@example.com",
    "(11) 98123-9876",
    "11 8123-9876",
    "5511981239876",
    "hotmart:UC1",
    "hotmart:HP2",
    "form:1",
]
NOBODY = ["", "ninguem@example.com", "11 98765-0000", "form:9", cus(9), "%", "hotmart:"]


def test_a_person_is_found_by_anything_that_names_her_and_by_nothing_else(lake, ana):
    assert [text for text in HER if customers_of(lake.tx, text) != [ana]] == []
    assert [text for text in NOBODY if customers_of(lake.tx, text)] == []


def test_a_merged_id_means_its_survivor_and_a_retired_one_nobody(lake, ana, bia):
    lake.put(
        "silver.contact_records", ContactRecords, *ROWS, stored("form:9", ROWS[4]["email"], PHONE)
    )
    identify(lake.tx, SITE.tenant.identity, NOW, full=True)
    assert customers_of(lake.tx, bia) == customers_of(lake.tx, ana) == [ana]
    lake.put("silver.contact_records", ContactRecords)
    identify(lake.tx, SITE.tenant.identity, NOW, full=True)
    assert customers_of(lake.tx, bia) == []


def test_an_email_that_joins_nobody_names_all_who_carry_it(lake, log):
    lake.bronze(
        "bronze.crm_actions",
        {"id": 1, "kind": "identity_key_blocked", "email_key": "bia@example.com"},
    )
    identify(lake.tx, SITE.tenant.identity, NOW, full=True)
    assert len(customers_of(lake.tx, "bia@example.com")) == 2
    with pytest.raises(Refused, match="2 clientes têm este e-mail"):
        deciding.pin(lake.tx, log, "bia@example.com", "name", "Bia")


def test_records_stand_for_their_customer_the_oldest_first(lake, ana, bia):
    refs = {"hotmart:UC1": ana, "manychat:77": ana, "form:1": ana, "form:2": bia, "form:3": bia}
    assert members(lake.tx, [bia, ana]) == refs
    assert list(members(lake.tx, [ana])) == ["hotmart:UC1", "manychat:77", "form:1"]
    assert anchor_of(lake.tx, ana) == "hotmart:UC1"
    lake.tx.execute("UPDATE silver.customer_ids SET anchor = 'form:gone'")
    assert anchor_of(lake.tx, bia) == "form:2"


def refusals(lake, log, ana, bia):
    tx = lake.tx
    return {
        "Não existe cliente com cus_": lambda: deciding.merge(tx, log, [ana, cus(9)]),
        "Não existe cliente com form:9": lambda: deciding.merge(tx, log, [ana, "form:9"]),
        "Não existe cliente com este e-mail": lambda: deciding.merge(tx, log, [ana, "x@y.com"]),
        "Não existe cliente com este telefone": lambda: deciding.merge(tx, log, [ana, "123"]),
        "Já são um cliente só": lambda: deciding.merge(tx, log, ["form:1", "manychat:77"]),
        "Não existe o registro form:9": lambda: deciding.split(tx, log, ana, ["form:9"]),
        "form:2 não é um registro de": lambda: deciding.split(tx, log, ana, ["form:2"]),
        "hotmart:HP1 não sai sozinho": lambda: deciding.split(tx, log, ana, ["hotmart:HP1"]),
        "não sobraria de quem separar": lambda: deciding.split(tx, log, bia, ["form:2", "form:3"]),
        "Hoje são um cliente só": lambda: deciding.keep_apart(tx, log, "form:1", ana),
        "--key precisa ser": lambda: deciding.block_key(log, "teste"),
        "ltv não é um campo": lambda: deciding.pin(tx, log, ana, "ltv", "1"),
        "não serve de document": lambda: deciding.pin(tx, log, ana, "document", "123"),
        "Não existe a decisão 5": lambda: deciding.undoing(log, 5, AUTHOR),
    }


def test_what_makes_no_sense_is_refused_in_one_sentence(lake, log, ana, bia):
    for sentence, refused in refusals(lake, log, ana, bia).items():
        with pytest.raises(Refused) as caught:
            refused()
        assert sentence in str(caught.value)
        assert "@" not in str(caught.value)


def test_a_merge_links_the_records_that_stand_for_the_people(lake, log, ana, bia):
    [merged] = deciding.merge(lake.tx, log, ["11 98123-9876", bia])
    assert merged.records == ("hotmart:UC1", "form:2")
    [named] = deciding.merge(lake.tx, log, ["manychat:77", "form:3"])
    assert named.records == ("manychat:77", "form:3")


def test_people_kept_apart_are_not_merged_by_whatever_record(lake, ops, log, ana, bia):
    number = deciding.record(ops, log, deciding.keep_apart(lake.tx, log, "form:1", bia), AUTHOR)
    with pytest.raises(
        Contradiction, match=rf"form:1 = hotmart:UC1 = form:2 ≠ form:1 \(decisão {number}\)"
    ):
        deciding.merge(lake.tx, ops.actions(), [bia, ana])


def test_what_leaves_together_stays_together_and_is_undone_together(lake, ops, log, ana):
    taken = deciding.split(lake.tx, log, ana, ["form:1", "hotmart:UC1"])
    assert [(d.records, d.others) for d in taken] == [
        (("form:1", "hotmart:UC1"), ("manychat:77",)),
        (("form:1", "hotmart:UC1"), ()),
    ]
    number = deciding.record(ops, log, taken, AUTHOR)
    held = decisions(ops.actions())
    assert [(d.id, d.part_of) for d in held] == [(number, None), (number + 1, number)]
    with pytest.raises(Refused, match=f"é parte da {number}"):
        deciding.undoing(ops.actions(), number + 1, AUTHOR)
    ops.append_actions(deciding.undoing(ops.actions(), number, AUTHOR))
    assert in_force(decisions(ops.actions())) == []
    with pytest.raises(Refused, match="já foi desfeita"):
        deciding.undoing(ops.actions(), number, AUTHOR)


def test_two_who_decide_on_one_state_of_the_log_do_not_both_succeed(lake, ops, log, ana, bia):
    merged = deciding.merge(lake.tx, log, [ana, bia])
    parted = deciding.split(lake.tx, log, ana, ["form:1", "hotmart:UC1"])
    deciding.record(ops, log, merged, AUTHOR)
    with pytest.raises(Refused, match="Outra pessoa acaba de decidir"):
        deciding.record(ops, log, parted, AUTHOR)
    assert len(decisions(ops.actions())) == 1


def effect_of(lake, log, taken):
    return rehearse(lake.tx, SITE.settings, SITE.tenant, log, actions_of(log, taken, AUTHOR))


def test_a_rehearsed_merge_tells_who_goes_where(lake, log, ana, bia):
    effect = effect_of(lake, log, deciding.merge(lake.tx, log, [ana, bia]))
    assert effect.events == (("merge", bia, ana),)
    assert effect.moves == (("form:2", bia, ana), ("form:3", bia, ana))
    assert effect.sizes == {ana: (3, 5), bia: (2, 0)}


def test_a_rehearsed_split_tells_the_new_customer(lake, log, ana):
    effect = effect_of(lake, log, deciding.split(lake.tx, log, ana, ["form:1"]))
    [(event, new, survivor)] = effect.events
    assert (event, survivor) == ("split", new)
    assert effect.moves == (("form:1", ana, new),)
    assert effect.sizes == {ana: (3, 2), new: (0, 1)}


def test_a_rehearsed_key_takes_apart_what_it_joined(lake, log, bia):
    effect = effect_of(lake, log, deciding.block_key(log, "BIA@example.com"))
    assert [event for event, _, _ in effect.events] == ["split"]
    assert [ref for ref, _, _ in effect.moves] == ["form:3"]


def test_what_changes_nothing_is_rehearsed_as_nothing(lake, log, ana, bia):
    effect = effect_of(lake, log, deciding.keep_apart(lake.tx, log, ana, bia))
    assert (effect.events, effect.moves, effect.sizes) == ((), (), {})


def test_decisions_that_wait_for_the_next_round_are_no_effect_of_a_new_one(
    lake, ops, log, ana, bia
):
    """The merge waits; undoing it changes that, and only that."""
    number = deciding.record(ops, log, deciding.merge(lake.tx, log, [ana, bia]), AUTHOR)
    later = ops.actions()
    pinned = deciding.pin(lake.tx, later, ana, "name", "Ana Souza")
    assert effect_of(lake, later, pinned).events == ()
    undone = deciding.undoing(later, number, AUTHOR)
    effect = rehearse(lake.tx, SITE.settings, SITE.tenant, later, undone)
    assert effect.events == (("revive", bia, bia),)


def test_without_a_round_there_is_nobody_and_no_store_is_made(tmp_path):
    empty = site(home=tmp_path / "home")
    assert find_customers(empty.settings, empty.tenant, "ana@example.com") == []
    with (
        pytest.raises(NoMaster, match="Ainda não há cadastro"),
        reading(empty.settings, empty.tenant),
    ):
        pass
    assert not (tmp_path / "home").exists()


def test_reading_sees_the_warehouse_and_changes_nothing(tmp_path):
    home = site(home=tmp_path)
    with warehouse_of(home.settings, home.tenant).write("teste") as tx:
        tx.replace_table("silver.contact_records", frame_of(ContactRecords, ROWS))
    assert find_customers(home.settings, home.tenant, "form:1") == [], "customers were never made"
    with warehouse_of(home.settings, home.tenant).write("teste") as tx:
        tx.replace_table("silver.customers", frame_of(Customers, []))
        identify(tx, home.tenant.identity, NOW, full=True)
    [ana] = find_customers(home.settings, home.tenant, "form:1")
    assert record_refs(home.settings, home.tenant, ana) == ["hotmart:UC1", "manychat:77", "form:1"]
    with reading(home.settings, home.tenant) as tx:
        tx.execute("DELETE FROM silver.customer_xref")
        assert customers_of(tx, "form:1") == []
    assert find_customers(home.settings, home.tenant, "form:1") == [ana]
