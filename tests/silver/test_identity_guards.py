"""Each guard on and off, one below its limit, at it and one above; counted and listed (mdm.md 4.4).

All cases of one setting stand side by side in one warehouse.
"""

from __future__ import annotations

import json
from functools import cache

import pytest
from identity_oracle import UNGUARDED, oracle, partition, random_graph, record, run
from lake import Lake

from crm_assets.person_rules import Identity

pytestmark = pytest.mark.slow

PHONE = "+5511900000001"
PERSONAL, GENERIC, HOUSEHOLD, BLOCKED = "personal", "generic", "household", "blocked"


def only(**guards):
    """All guards off but those named."""
    return UNGUARDED.model_copy(update=guards)


def crowded_phone(case, emails):
    """A phone seen with so many e-mails."""
    return [
        record(f"{case}{n}", f"{case}{n}@example.com", f"+5511900{case:0>6}") for n in range(emails)
    ]


def crowded_email(case, phones):
    """An e-mail seen with so many phones."""
    return [
        record(f"{case}{n}", f"{case}@example.com", f"+55119{case:0>4}000{n:02}")
        for n in range(phones)
    ]


def mailbox(case, surnames, local="contato"):
    """A function's address seen with so many surnames, of one first name."""
    return [
        record(f"{case}{n}", f"{local}@casa{case}.example.com", name=f"Ana {surname}", at=n)
        for n, surname in enumerate(surnames)
    ]


def wide_profile(case, *, emails, phones):
    """One person by the plain rule: a phone shared by two groups, with so many keys in all."""
    hub = f"+5511800{case:0>6}"
    left = [
        record(f"{case}a{n}", f"{case}a@example.com", f"+55117{case:0>4}{n:04}")
        for n in range(phones - 1)
    ]
    right = [
        record(f"{case}b{n}", f"{case}b{n}@example.com", f"{hub}", at=1) for n in range(emails - 1)
    ]
    return [*left, record(f"{case}c", f"{case}a@example.com", hub, at=2), *right]


def family(case, people):
    """A phone with a record of each (source, first name); an e-mail each, where one is given."""
    return [
        record(
            f"{case}{n}",
            email and f"{case}{email}@example.com",
            f"+5511700{case:0>6}",
            source=source,
            first_name=name,
            at=n,
        )
        for n, (source, name, email) in enumerate(people)
    ]


@cache
def outcome(name, guards):
    """Customers, key statuses and findings of a set of cases under some guards."""
    lake = Lake()
    customers = run(lake, SETS[name], guards=guards)
    statuses = lake.rows("FROM silver.key_status")
    findings = lake.rows("FROM silver.identity_findings")
    return customers, {row["key"]: row for row in statuses}, findings


def people(customers, case):
    return len({customer for record, customer in customers.items() if record.startswith(case)})


SETS = {
    "phones": [row for n in (4, 5, 6) for row in crowded_phone(str(n), n)],
    "emails": [row for n in (4, 5, 6) for row in crowded_email(str(n), n)],
    "mailboxes": [
        row
        for rows in (
            mailbox("1", ["Lima", "Lima", "Lima"]),
            mailbox("2", ["Lima", "Melo", "Melo"]),
            mailbox("3", ["Lima", "Melo", "Reis"]),
            mailbox("4", ["Lima", "Melo", "Reis"], local="joana"),
        )
        for row in rows
    ],
    "profiles": [
        row
        for case, emails, phones in (
            ("1", 4, 2), ("2", 5, 2), ("3", 6, 2), ("4", 2, 4), ("5", 2, 5), ("6", 2, 6)
        )
        for row in wide_profile(case, emails=emails, phones=phones)
    ],
    "families": [
        row
        for rows in (
            family("1", [("hotmart", "Ana", "a"), ("woocommerce", "Bia", "b")]),
            family("2", [("hotmart", "Ana", "a"), ("woocommerce", "Bia", "b"),
                         ("hotmart", "Ana", "c")]),
            family("3", [("hotmart", "Ana", "a"), ("hotmart", "Ana", "b"), ("hotmart", "Ana", "c"),
                         ("manychat", "Bia", "d")]),
            family("4", [("hotmart", "Maria", "a"), ("manychat", "Mari", None)]),
            family("5", [("hotmart", "Ana", "a"), ("hotmart", "Bia", "b"), ("hotmart", None, "c"),
                         ("manychat", "ÂNA", None)]),
        )
        for row in rows
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "guards", "status"),
    [
        ("phones", Identity(), GENERIC),
        ("phones", only(degree_cap=True), GENERIC),
        ("phones", UNGUARDED, PERSONAL),
        ("emails", Identity(), GENERIC),
        ("emails", only(degree_cap=True), GENERIC),
        ("emails", UNGUARDED, PERSONAL),
    ],
)
def test_degree_cap(kind, guards, status):
    customers, statuses, findings = outcome(kind, guards)
    assert [people(customers, case) for case in "45"] == [1, 1]
    assert people(customers, "6") == (6 if status == GENERIC else 1)
    crowded = [row for row in statuses.values() if row["status"] != PERSONAL]
    if status == PERSONAL:
        assert crowded == []
        return
    (row,) = crowded
    assert (row["kind"], row["status"], row["records"], row["other_keys"]) == (
        kind.removesuffix("s"), GENERIC, 6, 6
    )  # fmt: skip
    assert row["reason"] == ("muitos_emails" if kind == "phones" else "muitos_telefones")
    assert row["key"] in {SETS[kind][-1]["phone_key"], SETS[kind][-1]["email_key"]}
    assert findings == []


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 6, 7])
def test_degree_cap_where_the_tenant_sets_it(limit):
    for kind, setting in (("phones", "max_emails_per_phone"), ("emails", "max_phones_per_email")):
        customers, _, _ = outcome(kind, only(degree_cap=True, **{setting: limit}))
        assert [people(customers, str(n)) for n in (4, 5, 6)] == [
            n if n > limit else 1 for n in (4, 5, 6)
        ]


@pytest.mark.parametrize(
    ("guards", "parted"),
    [
        (Identity(), {"3"}),
        (only(function_mailboxes=True), {"3"}),
        (only(function_mailboxes=True, max_surnames=1), {"2", "3"}),
        (only(function_mailboxes=True, max_surnames=3), set()),
        (UNGUARDED, set()),
    ],
)
def test_function_mailboxes(guards, parted):
    customers, statuses, findings = outcome("mailboxes", guards)
    assert {case for case in "1234" if people(customers, case) > 1} == parted
    assert {row["key"] for row in statuses.values() if row["status"] == GENERIC} == {
        f"contato@casa{case}.example.com" for case in parted
    }
    assert {row["reason"] for row in statuses.values() if row["status"] == GENERIC} <= {
        "caixa_de_funcao"
    }
    warned = {row["key"] for row in findings if row["finding"] == "caixa_de_funcao"}
    assert warned == {f"contato@casa{case}.example.com" for case in {"2", "3"} - parted}


@pytest.mark.parametrize(
    ("guards", "quarantined"),
    [
        (only(profile_limits=True), {"3", "6"}),
        (only(profile_limits=True, max_emails=4), {"2", "3", "6"}),
        (only(profile_limits=True, max_phones=6), {"3"}),
        (UNGUARDED, set()),
    ],
)
def test_profile_limits(guards, quarantined):
    customers, _, findings = outcome("profiles", guards)
    for case in "123456":
        emails = {row["email_key"] for row in SETS["profiles"] if row["record_id"][0] == case}
        assert people(customers, case) == (len(emails) if case in quarantined else 1), (
            "without phones every e-mail is a person"
        )
    assert {row["finding"] for row in findings} <= {"perfil_em_quarentena"}
    listed = [{ref.partition(":")[2][0] for ref in row["records"]} for row in findings]
    assert sorted(listed, key=str) == sorted(({case} for case in quarantined), key=str)


def test_household_is_only_reported_by_default():
    customers, statuses, findings = outcome("families", Identity())
    assert [people(customers, case) for case in "12345"] == [1] * 5
    assert statuses == {} or {row["status"] for row in statuses.values()} == {PERSONAL}
    shared = {row["key"] for row in findings if row["finding"] == "telefone_compartilhado"}
    assert shared == {"+5511700000002", "+5511700000005"}


def test_household_switched_on_joins_by_phone_and_first_name():
    customers, statuses, _ = outcome("families", only(household=True))
    assert people(customers, "1") == 1, "two e-mails are too few"
    assert people(customers, "3") == 1, "a name from ManyChat does not count"
    assert people(customers, "4") == 1, "a buyer and the same person's contact"
    assert customers["20"] == customers["22"] != customers["21"]
    assert customers["50"] == customers["53"], "one first name, in any writing"
    assert len({customers[name] for name in ("50", "51", "52")}) == 3
    household = {row["key"]: row for row in statuses.values() if row["status"] == HOUSEHOLD}
    assert household.keys() == {"+5511700000002", "+5511700000005"}
    assert {row["reason"] for row in household.values()} == {"varios_nomes"}
    assert [household["+5511700000005"][name] for name in ("records", "other_keys")] == [4, 3]


@pytest.mark.parametrize(("least", "parted"), [(2, {"1", "2", "5"}), (3, {"2", "5"}), (4, set())])
def test_household_from_so_many_emails(least, parted):
    customers, _, _ = outcome("families", only(household=True, min_household_emails=least))
    assert {case for case in "12345" if people(customers, case) > 1} == parted


def test_maria_of_hotmart_and_mari_of_manychat_stay_one():
    rows = [
        record("h", "maria@example.com", PHONE, buyer="u1", first_name="Maria", name="Maria Silva"),
        record("m", None, PHONE, "7", source="manychat", first_name="Mari", name="Mari"),
    ]
    for guards in (Identity(), Identity(household=True)):
        assert len(set(run(Lake(), rows, guards=guards).values())) == 1


@pytest.mark.parametrize(
    ("rows", "column", "key"),
    [
        (crowded_phone("2", 2), "phone_key", "+5511900000002"),
        (crowded_email("2", 2), "email_key", "2@example.com"),
    ],
    ids=["phone", "email"],
)
def test_a_key_that_a_steward_blocks_joins_nobody_until_it_is_taken_back(rows, column, key):
    lake = Lake()
    before = run(lake, rows)
    assert len(set(before.values())) == 1
    lake.bronze("bronze.crm_actions", {"id": 1, "kind": "identity_key_blocked", column: key})
    assert len(set(run(lake, rows, day=1).values())) == 2
    (row,) = lake.rows("SELECT * EXCLUDE (since, other_keys, first_names) FROM silver.key_status")
    assert row == {
        "kind": column.removesuffix("_key"),
        "key": key,
        "status": BLOCKED,
        "reason": "bloqueada_por_decisao",
        "records": 2,
    }
    undo = {"id": 2, "kind": "steward_undo", "payload": json.dumps({"action": 1})}
    lake.bronze("bronze.crm_actions", undo)
    assert run(lake, rows, day=2) == before
    assert lake.value("SELECT count(*) FROM silver.key_status WHERE status = 'blocked'") == 0


def test_a_phone_that_crosses_the_cap_parts_its_records_and_one_that_falls_back_joins_them():
    lake, rows = Lake(), crowded_phone("6", 6)
    before = run(lake, rows[:5], guards=Identity())
    assert len(set(before.values())) == 1
    assert len(set(run(lake, rows, day=1, guards=Identity()).values())) == 6
    assert run(lake, rows[:5], day=2, guards=Identity()) == before


def test_all_off_is_the_plain_rule_exactly():
    everything = [
        row | {name: f"{kind}-{row[name]}" for name in ("record_id", "source_id")}
        for kind, rows in SETS.items()
        for row in rows
    ]
    assert partition(run(Lake(), everything, guards=UNGUARDED)) == oracle(everything)
    graph = random_graph(400, seed=5).to_dicts()
    rows = [
        record(*(row[name] for name in ("record_id", "email_key", "phone_key", "source_key")),
               source=row["source"])
        for row in graph
    ]  # fmt: skip
    rows = [row | {"phone_key": row["phone_key"] and f"+55119{row['phone_key'][1:]:0>8}"}
            for row in rows]  # fmt: skip
    lake = Lake()
    assert partition(run(lake, rows, guards=UNGUARDED)) == oracle(rows)
    assert lake.value("SELECT count(*) FROM silver.key_status WHERE status <> 'personal'") == 0
