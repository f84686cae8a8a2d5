"""Why records are one person: the chains, against what the engine joined and a plain search."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import Lake, cus, random_cases

from crm_assets.checks.silver import ContactRecords, CustomerLineage, Customers
from crm_assets.person_rules import Identity
from crm_assets.silver.explain import (
    Join,
    chain_text,
    chain_to,
    joins,
    leaves,
    reach,
    read_profile,
)
from crm_assets.silver.identity import identify
from crm_assets.silver.stewardship import TOGETHER, Decision, action_of
from crm_assets.words import KEY_REASONS
from crm_cli.dossier import profile_lines

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
PHONE = "+5511981239876"


def record(number, email=None, phone=None, key=None, name=None, source="form"):
    return {
        "ref": f"{source}:{key or number}",
        "source": source,
        "source_key": key,
        "email_key": email,
        "phone_key": phone,
        "known_as": name,
    }


def path_between(joined, start, end):
    found = reach(joined, start)
    return chain_to(found, end) if end in found else None


CHAIN = [
    record(1, "ana@example.com", source="hotmart", key="UC1"),
    record(2, "ana@example.com", PHONE, source="manychat", key="77"),
    record(3, None, PHONE),
]


def test_a_chain_goes_from_record_to_key_to_record():
    joined = joins(CHAIN, {})
    path = path_between(joined, "hotmart:UC1", "form:3")
    assert chain_text(path) == (
        f"hotmart:UC1 —e-mail ana@example.com→ manychat:77 —telefone {PHONE}→ form:3"
    )
    assert path_between(joined, "form:3", "form:3") == ((None, "form:3"),)
    assert path_between(joined, "form:3", "form:9") is None


def test_of_two_chains_of_one_length_the_stronger_key_is_told():
    both = [record(1, "a@example.com", PHONE), record(2, "a@example.com", PHONE)]
    path = path_between(joins(both, {}), "form:1", "form:2")
    assert chain_text(path) == "form:1 —e-mail a@example.com→ form:2"


@pytest.mark.parametrize(
    ("status", "names", "joined"),
    [
        ("personal", ("ana", "bia"), True),
        ("generic", ("ana", "ana"), False),
        ("blocked", ("ana", "ana"), False),
        ("household", ("ana", "ana"), True),
        ("household", ("ana", "bia"), False),
        ("household", ("ana", None), False),
        ("household", (None, None), False),
    ],
)
def test_a_phone_joins_as_far_as_its_status_lets_it(status, names, joined):
    two = [record(number, None, PHONE, name=name) for number, name in enumerate(names)]
    found = joins(two, {("phone", PHONE): status})
    assert (path_between(found, "form:0", "form:1") is not None) == joined
    assert joins(two, {("phone", PHONE): status}, by_phone=False) == {}


def test_an_email_that_joins_nobody_explains_nothing():
    two = [record(1, "contato@example.com"), record(2, "contato@example.com")]
    assert joins(two, {("email", "contato@example.com"): "generic"}) == {}


def test_a_household_is_told_with_the_name():
    two = [record(1, None, PHONE, name="ana"), record(2, None, PHONE, name="ana")]
    path = path_between(joins(two, {("phone", PHONE): "household"}), "form:1", "form:2")
    assert chain_text(path) == f"form:1 —telefone {PHONE} e o nome ana→ form:2"


def test_a_decision_joins_the_records_that_it_names_and_are_here():
    held = [Decision(TOGETHER, records=("form:1", "form:2", "form:9"), id=12)]
    joined = joins([record(1), record(2)], {}, held)
    assert joined == {Join(1, "decision", "12"): ["form:1", "form:2"]}
    assert chain_text(path_between(joined, "form:1", "form:2")) == "form:1 —decisão 12→ form:2"


def test_leaves_show_every_reference_once_at_an_end_or_on_the_way():
    found = reach(joins(CHAIN, {}), "hotmart:UC1")
    assert [chain_text(path) for path in leaves(found)] == [
        chain_text(chain_to(found, "form:3")),
    ]
    assert leaves(reach({}, "form:1")) == []


def test_a_chain_of_thousands_and_a_star_of_thousands_take_no_time():
    size = 4_000
    chain = [record(n, f"e{n // 2}", f"p{(n + 1) // 2}") for n in range(size)]
    assert len(path_between(joins(chain, {}), "form:0", f"form:{size - 1}")) == size
    star = [record(n, None, PHONE) for n in range(size)]
    assert len(leaves(reach(joins(star, {}), "form:0"))) == size - 1


def optional(prefix, size):
    return st.one_of(st.none(), st.integers(0, size).map(lambda n: f"{prefix}{n}"))


rows = st.lists(st.tuples(optional("e", 4), optional("+551190000000", 4)), min_size=1, max_size=12)


def lengths(records, start):
    """Distances by a search that knows nothing of joins: records of one key are neighbours."""

    def are_near(a, b):
        return any(a[k] is not None and a[k] == b[k] for k in ("email_key", "phone_key"))

    found, near = {start["ref"]: 1}, [start]
    while near:
        here = near.pop(0)
        for other in records:
            if other["ref"] not in found and are_near(here, other):
                found[other["ref"]] = found[here["ref"]] + 1
                near.append(other)
    return found


@given(rows)
def test_chains_are_shortest_and_every_step_is_a_key_of_both(keys):
    records = [record(n, *pair) for n, pair in enumerate(keys)]
    of = {one["ref"]: one for one in records}
    found = reach(joins(records, {}), "form:0")
    assert {ref: len(chain_to(found, ref)) for ref in found} == lengths(records, records[0])
    for ref in found:
        for (_, before), (join, after) in pairwise(chain_to(found, ref)):
            column = f"{join.kind}_key"
            assert of[before][column] == of[after][column] == join.key


def stored(number, **more):
    return {
        "record_id": f"form:{number}",
        "source": "form",
        "source_id": str(number),
        "observed_at": NOW,
        **more,
    }


@pytest.fixture
def lake():
    made = Lake()
    made.put("silver.customers", Customers)
    made.put("silver.customer_lineage", CustomerLineage)
    return made


def profiles(lake, guards):
    identify(lake.tx, guards, NOW, full=True)
    ids = lake.column("SELECT DISTINCT customer_id FROM silver.customer_xref ORDER BY ALL")
    return [read_profile(lake.tx, customer) for customer in ids]


@pytest.mark.slow
@random_cases(4)
@given(rows, st.booleans())
def test_every_customer_of_the_engine_is_explained(keys, household):
    lake = Lake()
    lake.put("silver.customers", Customers)
    lake.put("silver.customer_lineage", CustomerLineage)
    lake.put(
        "silver.contact_records",
        ContactRecords,
        *(
            stored(n, email_key=email, phone_key=phone, first_name="Ana" if n % 2 else "Bia")
            for n, (email, phone) in enumerate(keys)
        ),
    )
    guards = Identity(household=household, min_household_emails=1, max_emails=2)
    for profile in profiles(lake, guards):
        assert profile.unexplained == []
        shown = {ref for path in profile.why for _, ref in path}
        assert shown == {one["ref"] for one in profile.records} or len(profile.records) == 1


def test_a_profile_tells_records_origins_history_findings_and_decisions(lake):
    lake.put(
        "silver.contact_records",
        ContactRecords,
        stored(1, email_key="ana@example.com", email="ana@example.com", name="Ana"),
        stored(2, phone_key=PHONE, phone=PHONE, name="Ana Souza"),
        stored(3, phone_key=PHONE, email_key="bia@example.com"),
    )
    action = action_of(
        Decision(TOGETHER, records=("form:1", "form:2")), "k", actor="bia", reason="x", at=NOW
    )
    lake.bronze(
        "bronze.crm_actions",
        {
            "id": 4,
            "kind": action.kind,
            "idempotency_key": "k",
            "payload": '{"records": ["form:1", "form:2"]}',
            "actor": "bia",
            "reason": "ela disse",
            "occurred_at": NOW,
        },
    )
    identify(lake.tx, Identity(), NOW, full=True)
    customer = lake.value("SELECT any_value(customer_id) FROM silver.customer_xref")
    lake.put("silver.customers", Customers, {"customer_id": customer, "name": "Ana", "email": "e"})
    lake.put(
        "silver.customer_lineage",
        CustomerLineage,
        {"customer_id": customer, "field": "name", "record_id": "form:1", "runner_up": "form:2"},
        {"customer_id": customer, "field": "phone", "record_id": "acao:9", "runner_up": "form:2"},
    )
    profile = read_profile(lake.tx, customer)
    assert [one["record_id"] for one in profile.records] == ["form:1", "form:2", "form:3"]
    assert [chain_text(path) for path in profile.why] == [
        f"form:1 —decisão 4→ form:2 —telefone {PHONE}→ form:3"
    ]
    name, phone = profile.origins
    assert (name["value"], name["ref"], name["runner_up_value"]) == ("Ana", "form:1", "Ana Souza")
    assert (phone["ref"], phone["record_id"], phone["runner_up_ref"]) == (None, "acao:9", "form:2")
    assert [event["event"] for event in profile.history] == ["mint"]
    assert [decision.id for decision in profile.decisions] == [4]
    assert read_profile(lake.tx, cus(9)).records == []


def test_what_a_place_gives_is_told_without_the_part_that_is_pinned_alone(lake):
    placed = stored(1, email_key="ana@example.com", city="Santos", state="SP", country="BR")
    lake.put("silver.contact_records", ContactRecords, placed)
    identify(lake.tx, Identity(), NOW, full=True)
    customer = lake.value("SELECT any_value(customer_id) FROM silver.customer_xref")
    shown = {"customer_id": customer, "city": "Olinda", "state": "SP", "country": "BR"}
    lake.put("silver.customers", Customers, shown)
    place = {"customer_id": customer, "field": "place", "record_id": "form:1"}
    city = {"customer_id": customer, "field": "city", "record_id": "acao:9"}
    lake.put("silver.customer_lineage", CustomerLineage, place)
    assert [one["value"] for one in read_profile(lake.tx, customer).origins] == ["Olinda, SP, BR"]
    lake.put("silver.customer_lineage", CustomerLineage, place, city)
    told = {one["field"]: one["value"] for one in read_profile(lake.tx, customer).origins}
    assert told == {"place": "SP, BR", "city": "Olinda"}


def test_a_profile_tells_which_of_its_keys_do_not_join(lake):
    lake.put(
        "silver.contact_records",
        ContactRecords,
        *(stored(n, email_key=f"e{n}@example.com", phone_key=PHONE) for n in range(6)),
    )
    told = profiles(lake, Identity())[0]
    assert [(one["kind"], one["key"], one["reason"], one["records"]) for one in told.unjoining] == [
        ("phone", PHONE, "muitos_emails", 6)
    ]
    assert f"  telefone {PHONE} {KEY_REASONS['muitos_emails']} (6 registros)" in profile_lines(
        told, []
    )


def test_a_pin_of_an_id_that_was_merged_is_told_of_who_answers_for_it(lake):
    lake.put(
        "silver.contact_records", ContactRecords, stored(1, email_key="ana@example.com", name="Ana")
    )
    identify(lake.tx, Identity(), NOW, full=True)
    customer = lake.value("SELECT any_value(customer_id) FROM silver.customer_xref")
    lake.tx.execute(
        "INSERT INTO silver.customer_ids VALUES (?, 'form:0', now(), ?)", [cus(7), customer]
    )
    lake.bronze(
        "bronze.crm_actions",
        {
            "id": 9,
            "kind": "identity_pin",
            "idempotency_key": "k",
            "customer_id": cus(7),
            "payload": '{"field": "name", "value": "Ana Souza"}',
            "actor": "bia",
            "reason": "ela disse",
            "occurred_at": NOW,
        },
    )
    lake.put("silver.customers", Customers)
    lake.put("silver.customer_lineage", CustomerLineage)
    assert [decision.id for decision in read_profile(lake.tx, customer).decisions] == [9]


def test_a_quarantined_profile_is_not_explained_by_its_phones(lake):
    lake.put(
        "silver.contact_records",
        ContactRecords,
        *(stored(n, email_key=f"e{n // 2}@example.com", phone_key=PHONE) for n in range(6)),
    )
    found = profiles(lake, Identity(max_emails=2))
    assert [len(profile.records) for profile in found] == [2, 2, 2]
    assert [join.kind for p in found for path in p.why for join, _ in path[1:]] == ["email"] * 3
    assert {f["finding"] for p in found for f in p.findings} == {"perfil_em_quarentena"}
