"""Who may be one person: worked examples of rules 2.4 and 2.5, all of them in one warehouse."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache

import pytest
from identity_oracle import partition, record, run
from lake import Lake

from crm_assets.person_rules import Identity
from crm_assets.silver.conflicts import (
    BUYERS_APART,
    DOCUMENTS_APART,
    DOCUMENTS_TOGETHER,
    KEPT_APART,
    RULE_IGNORED,
)

CPF, OTHER_CPF = "52998224725", "11144477735"
E1, E2, PHONE = "ana@example.com", "bia@example.com", "+5511900000000"
TOGETHER, APART = "identity_together", "identity_apart"
X, Y, Z = "hotmart:x", "hotmart:y", "hotmart:z"
CNPJ = {"document": "11222333000181", "document_kind": "cnpj", "document_valid": True}
BAD_CPF = {"document": "11144477700", "document_kind": "cpf", "document_valid": False}

CONFLICTS = {
    "two CPFs on one e-mail are one, listed": (
        [record("a", E1, cpf=CPF), record("b", E1, cpf=OTHER_CPF, at=1)],
        ["a b"],
        [(DOCUMENTS_TOGETHER, None)],
    ),
    "two CPFs on one phone only are two, listed": (
        [record("a", E1, PHONE, cpf=CPF), record("b", E2, PHONE, cpf=OTHER_CPF, at=1)],
        ["a", "b"],
        [(DOCUMENTS_APART, "phone")],
    ),
    "one CPF on one phone is one": (
        [record("a", E1, PHONE, cpf=CPF), record("b", E2, PHONE, cpf=CPF, at=1)],
        ["a b"],
        [],
    ),
    "a CPF and none on one phone are one": (
        [record("a", E1, PHONE, cpf=CPF), record("b", E2, PHONE, at=1)],
        ["a b"],
        [],
    ),
    "a CPF and a CNPJ are no conflict": (
        [record("a", E1, PHONE, cpf=CPF), record("b", E2, PHONE, at=1, **CNPJ)],
        ["a b"],
        [],
    ),
    "bad check digits never count": (
        [record("a", E1, PHONE, cpf=CPF), record("b", E2, PHONE, at=1, **BAD_CPF)],
        ["a b"],
        [],
    ),
    "two CPFs on one e-mail, a third on their phone": (
        [
            record("a", E1, PHONE, cpf=CPF),
            record("b", E1, cpf=OTHER_CPF, at=1),
            record("c", E2, PHONE, cpf="39053344705", at=2),
        ],
        ["a b", "c"],
        [(DOCUMENTS_TOGETHER, None), (DOCUMENTS_APART, "phone")],
    ),
    "a contact without CPF on the phone of two goes with the first": (
        [
            record("a", E1, PHONE, cpf=CPF),
            record("b", E2, PHONE, cpf=OTHER_CPF, at=1),
            record("c", None, PHONE, source="manychat", at=2),
        ],
        ["a c", "b"],
        [(DOCUMENTS_APART, "phone")],
    ),
    "two buyers of two names on one phone are two, listed": (
        [
            record("a", E1, PHONE, buyer="u1", first_name="Ana"),
            record("b", E2, PHONE, buyer="u2", first_name="Bia", at=1),
        ],
        ["a", "b"],
        [(BUYERS_APART, "phone")],
    ),
    "two buyers of one first name on one phone are one": (
        [
            record("a", E1, PHONE, buyer="u1", first_name="Zoé"),
            record("b", E2, PHONE, buyer="u2", first_name="ZOE", at=1),
        ],
        ["a b"],
        [],
    ),
    "two buyers of two names on one e-mail are one": (
        [
            record("a", E1, buyer="u1", first_name="Ana"),
            record("b", E1, buyer="u2", first_name="Bia", at=1),
        ],
        ["a b"],
        [],
    ),
    "a buyer and a ManyChat contact of another name on one phone are one": (
        [
            record("a", E1, PHONE, buyer="u1", first_name="Maria"),
            record("b", None, PHONE, "7", source="manychat", first_name="Mari", at=1),
        ],
        ["a b"],
        [],
    ),
}
DECIDED = {
    "kept apart wins over an e-mail": (
        [record("x", E1), record("y", E1, at=1)],
        [(APART, [X], [Y])],
        ["x", "y"],
        [(KEPT_APART, "email")],
    ),
    "kept apart wins over a phone": (
        [record("x", E1, PHONE), record("y", E2, PHONE, at=1)],
        [(APART, [X], [Y])],
        ["x", "y"],
        [(KEPT_APART, "phone")],
    ),
    "kept apart holds through a third record": (
        [record("x", E1), record("z", E1, PHONE, at=1), record("y", None, PHONE, at=2)],
        [(APART, [X], [Y])],
        ["x z", "y"],
        [(KEPT_APART, "phone")],
    ),
    "together joins without keys in common": (
        [record("x", E1), record("y", E2, at=1)],
        [(TOGETHER, [X, Y], [])],
        ["x y"],
        [],
    ),
    "together joins three": (
        [record("x", E1), record("y", E2, at=1), record("z", None, PHONE, at=2)],
        [(TOGETHER, [X, Y, Z], [])],
        ["x y z"],
        [],
    ),
    "together wins over two documents": (
        [record("x", E1, PHONE, cpf=CPF), record("y", E2, PHONE, cpf=OTHER_CPF, at=1)],
        [(TOGETHER, [X, Y], [])],
        ["x y"],
        [(DOCUMENTS_TOGETHER, None)],
    ),
    "a rule about a record that is not there waits": (
        [record("x", E1)],
        [(TOGETHER, [X, Y], []), (APART, [X], [Z])],
        ["x"],
        [],
    ),
    "together, then apart": (
        [record("x", E1), record("y", E2, at=1)],
        [(TOGETHER, [X, Y], []), (APART, [X], [Y])],
        ["x", "y"],
        [(KEPT_APART, None), (RULE_IGNORED, None)],
    ),
    "apart, then together": (
        [record("x", E1), record("y", E2, at=1)],
        [(APART, [Y], [X]), (TOGETHER, [X, Y], [])],
        ["x", "y"],
        [(KEPT_APART, None), (RULE_IGNORED, None)],
    ),
    "a cycle: x = z, z = y, x ≠ y": (
        [record("x", E1), record("y", E2, at=1), record("z", None, PHONE, at=2)],
        [(TOGETHER, [X, Z], []), (TOGETHER, [Z, Y], []), (APART, [X], [Y])],
        ["x z", "y"],
        [(KEPT_APART, None), (RULE_IGNORED, None)],
    ),
    "one id of the source is one person, whoever is kept apart": (
        [record("x", E1) | {"source_key": "u"}, record("y", E2, at=1) | {"source_key": "u"}],
        [(APART, [X], [Y])],
        ["x y"],
        [(RULE_IGNORED, None)],
    ),
}
EXAMPLES = {name: (rows, [], *rest) for name, (rows, *rest) in CONFLICTS.items()} | DECIDED


def numbered(number, row):
    """The record with keys and a reference of its own example."""
    row = {**row, "record_id": f"{number}.{row['record_id']}"}
    for name in ("source_id", "source_key", "email_key", "hotmart_ucode"):
        if row.get(name):
            row[name] = f"{number}.{row[name]}"
    if row["phone_key"]:
        row["phone_key"] = f"{row['phone_key'][:-4]}{number:04}"
    return row


def act(lake, kind, number, refs):
    """Write a decision about references of one example."""
    records, others = ([ref.replace(":", f":{number}.") for ref in side] for side in refs)
    payload = json.dumps({"records": records, "others": others})
    action = lake.value("SELECT count(*) + 1 FROM bronze.crm_actions")
    lake.bronze("bronze.crm_actions", {"id": action, "kind": kind, "payload": payload})


@cache
def outcomes(guards):
    """People and findings of every example, all of them in one warehouse."""
    lake, rows = Lake(), []
    for number, (records, actions, *_) in enumerate(EXAMPLES.values()):
        rows += [numbered(number, row) for row in records]
        for kind, *refs in actions:
            act(lake, kind, number, refs)
    people, found = defaultdict(list), defaultdict(list)
    for part in partition(run(lake, rows, guards=guards)):
        numbers, names = zip(*sorted(name.split(".") for name in part), strict=True)
        assert len(set(numbers)) == 1, "examples do not meet"
        people[int(numbers[0])].append(" ".join(names))
    for row in lake.rows("SELECT finding, kind, records FROM silver.identity_findings"):
        number = row["records"][0].partition(":")[2].partition(".")[0]
        found[int(number)].append((row["finding"], row["kind"]))
    return {
        name: (sorted(people[number]), sorted(found[number], key=str))
        for number, name in enumerate(EXAMPLES)
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_example(name):
    _, _, people, found = EXAMPLES[name]
    assert outcomes(Identity())[name] == (people, sorted(found, key=str))


@pytest.mark.parametrize("name", CONFLICTS)
def test_with_the_guard_off_the_plain_rule_stands_and_nothing_is_listed(name):
    rows, *_ = CONFLICTS[name]
    together = " ".join(row["record_id"] for row in rows)
    assert outcomes(Identity(conflicts=False))[name] == ([together], [])


@pytest.mark.parametrize("name", DECIDED)
def test_decisions_hold_with_the_guard_off(name):
    _, _, people, _ = DECIDED[name]
    assert outcomes(Identity(conflicts=False))[name][0] == people
