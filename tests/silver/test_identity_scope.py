"""Resolving only what a change touches gives what resolving everything gives (mdm.md 4.2)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import Lake, frame_of, random_cases

from crm_assets.checks.silver import ContactRecords
from crm_assets.person_rules import Identity
from crm_assets.silver import scope
from crm_assets.silver.identity import identify
from crm_assets.silver.records import replace_contact_records

pytestmark = pytest.mark.slow

START = datetime(2026, 1, 1, tzinfo=UTC)
STATE = {
    "xref": "FROM silver.customer_xref ORDER BY ALL",
    "ids": "FROM silver.customer_ids ORDER BY ALL",
    "merges": "FROM silver.customer_merges ORDER BY ALL",
    "keys": "FROM silver.key_status ORDER BY ALL",
    "findings": "FROM silver.identity_findings ORDER BY ALL",
}
TIGHT = {
    "max_emails_per_phone": 2,
    "max_phones_per_email": 2,
    "max_emails": 3,
    "max_phones": 3,
    "min_household_emails": 2,
}


@pytest.fixture(autouse=True)
def always_scoped(monkeypatch):
    monkeypatch.setattr(scope, "MOST_CHANGED", 1_000)


def some(values):
    return st.one_of(st.none(), st.sampled_from(values))


RECORDS = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["hotmart", "manychat"]),
        "source_key": some(["u0", "u1", "u2", "u3"]),
        "email_key": some(["info@example.com", *(f"e{n}@example.com" for n in range(5))]),
        "phone_key": some([f"+551190000000{n}" for n in range(5)]),
        "document": some(["52998224725", "11144477735"]),
        "name": some(["Ana Lima", "Bia Melo", "Caio Reis", "Ana Reis"]),
    }
)
ROUNDS = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 14), st.none() | RECORDS, max_size=5),
        st.lists(
            st.tuples(
                st.sampled_from(["together", "apart", "blocked", "undo"]),
                st.integers(0, 14),
                st.integers(0, 14),
            ),
            max_size=1,
        ),
    ),
    min_size=2,
    max_size=5,
)


def row(number, values):
    source_id = values["source_key"] or f"r{number}"
    name = values["name"]
    return {
        **values,
        "record_id": f"{values['source']}:{number}",
        "source_id": source_id,
        "observed_at": START + timedelta(seconds=number % 4),
        "hotmart_ucode": values["source_key"] if values["source"] == "hotmart" else None,
        "document_kind": "cpf" if values["document"] else None,
        "document_valid": True if values["document"] else None,
        "first_name": name.split()[0] if name else None,
    }


def decide(lake, number, decision, records):
    what, a, b = decision
    refs = [f"{r['source']}:{r['source_id']}" for r in records]
    payload, email = {}, None
    if what == "undo":
        kind, payload = "steward_undo", {"action": a % max(number, 1)}
    elif what == "blocked":
        kind, email = "identity_key_blocked", f"e{a % 5}@example.com"
    elif not refs:
        return
    else:
        one, other = refs[a % len(refs)], refs[b % len(refs)]
        kind = f"identity_{what}"
        payload = (
            {"records": [one, other]}
            if what == "together"
            else {
                "records": [one],
                "others": [other],
            }
        )
    lake.bronze(
        "bronze.crm_actions",
        {"id": number, "kind": kind, "email_key": email, "payload": json.dumps(payload)},
    )


def history(rounds, guards, *, full):
    """The state after each round of edits and decisions."""
    lake, held, number, states = Lake(), {}, 0, []
    for day, (edits, decisions) in enumerate(rounds):
        held = {n: r for n, r in (held | edits).items() if r is not None}
        rows = [row(n, r) for n, r in held.items()]
        for decision in decisions:
            number += 1
            decide(lake, number, decision, rows)
        replace_contact_records(lake.tx, frame_of(ContactRecords, rows))
        resolution = identify(lake.tx, guards, START + timedelta(days=day), full=full)
        assert not (full and resolution.scoped)
        states.append({name: lake.tx.read(sql).rows() for name, sql in STATE.items()})
    return states


@pytest.mark.timeout(900)
@random_cases(4)
@given(ROUNDS, st.booleans(), st.booleans())
def test_scoped_history_equals_full_history(rounds, household, conflicts):
    guards = Identity(household=household, conflicts=conflicts, **TIGHT)
    assert history(rounds, guards, full=False) == history(rounds, guards, full=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
@random_cases(2)
@given(ROUNDS)
def test_scoped_equals_full_without_guards(rounds):
    off = Identity(
        function_mailboxes=False, degree_cap=False, profile_limits=False, conflicts=False
    )
    assert history(rounds, off, full=False) == history(rounds, off, full=True)


def test_only_what_a_change_touches_is_resolved():
    lake = Lake()
    rows = [
        row(
            n,
            {
                "source": "hotmart",
                "source_key": None,
                "email_key": f"e{n}@example.com",
                "phone_key": None,
                "document": None,
                "name": None,
            },
        )
        for n in range(50)
    ]
    guards = Identity()
    replace_contact_records(lake.tx, frame_of(ContactRecords, rows))
    first = identify(lake.tx, guards, START)
    assert (first.scoped, first.records) == (False, 50)
    rows[7] = {**rows[7], "email_key": "e8@example.com"}
    replace_contact_records(lake.tx, frame_of(ContactRecords, rows))
    second = identify(lake.tx, guards, START + timedelta(days=1))
    assert (second.scoped, second.records, second.customers) == (True, 2, 1)
    third = identify(lake.tx, guards, START + timedelta(days=2))
    assert (third.scoped, third.records) == (True, 0)
    changed = identify(lake.tx, Identity(degree_cap=False), START + timedelta(days=3))
    assert not changed.scoped
