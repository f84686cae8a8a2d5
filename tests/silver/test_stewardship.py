"""What stewards decided: reading it from the log, refusing its contrary, holding in the engine."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import Lake, cus, random_cases

from crm_assets.checks.silver import ContactRecords
from crm_assets.gold.deciding import pins_undone
from crm_assets.person_rules import Identity
from crm_assets.silver.identity import identify
from crm_assets.silver.stewardship import (
    APART,
    KEY_BLOCKED,
    PIN,
    TOGETHER,
    Contradiction,
    Decision,
    action_of,
    check,
    decisions,
    in_force,
    next_key,
    undo_of,
)
from crm_resources.ops import Action, OpsStore

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
WHO = {"actor": "bia", "reason": "ela confirmou", "at": NOW}


def together(*records, **more):
    return Decision(TOGETHER, records=records, **more)


def apart(records, others, **more):
    return Decision(APART, records=tuple(records), others=tuple(others), **more)


EXAMPLES = [
    together("hotmart:1", "manychat:2"),
    apart(["hotmart:1"], ["manychat:2", "form:3"]),
    Decision(KEY_BLOCKED, key_kind="email", key="contato@example.com"),
    Decision(KEY_BLOCKED, key_kind="phone", key="+5511987654321"),
    Decision(PIN, customer_id=cus(1), field="name", value="Ana", columns={"name": "Ana"}),
    together("hotmart:1", "form:3", part_of=7),
]


@pytest.fixture
def ops(tmp_path):
    return OpsStore(tmp_path / "ops.sqlite", "default")


def take(ops, *taken):
    for decision in taken:
        ops.append_actions([action_of(decision, next_key(ops.actions()), **WHO)])


def test_decisions_come_back_from_the_log_as_they_were_taken(ops):
    ops.append_actions([Action(kind="opt_out", idempotency_key="o", email_key="a@example.com")])
    take(ops, *EXAMPLES)
    held = decisions(ops.actions())
    assert [decision.content for decision in held] == [e.content for e in EXAMPLES]
    assert [decision.id for decision in held] == [2, 3, 4, 5, 6, 7]
    assert {(d.actor, d.reason, d.at) for d in held} == {("bia", "ela confirmou", NOW)}
    assert held[4].columns == {"name": "Ana"}
    assert held[5].part_of == 7
    assert in_force(held) == held


def test_what_is_taken_back_is_marked_and_does_not_hold(ops):
    take(ops, *EXAMPLES[:3])
    ops.append_actions([undo_of(2, **WHO)])
    assert ops.append_actions([undo_of(2, **WHO)]) == 0
    held = decisions(ops.actions())
    assert [d.undone for d in held] == [False, True, False]
    assert [d.id for d in in_force(held)] == [1, 3]
    take(ops, EXAMPLES[1])
    contents = [d.content for d in in_force(decisions(ops.actions()))]
    assert contents == [EXAMPLES[n].content for n in (0, 2, 1)]


def test_of_the_pins_of_one_field_the_newest_holds_until_it_is_taken_back(ops):
    ana, bia = (Decision(PIN, customer_id=cus(1), field="name", value=v) for v in ("Ana", "Bia"))
    take(ops, ana, bia, Decision(PIN, customer_id=cus(1), field="city", value="Recife"))
    assert [d.value for d in in_force(decisions(ops.actions()))] == ["Bia", "Recife"]
    ops.append_actions([undo_of(2, **WHO)])
    assert [d.value for d in in_force(decisions(ops.actions()))] == ["Ana", "Recife"]


@pytest.mark.parametrize("payload", [None, "{}", '{"records": ["form:1"]}', '{"field": "name"}'])
def test_what_an_erasure_took_away_does_not_hold_and_can_be_listed(ops, payload):
    kinds = [TOGETHER, APART, KEY_BLOCKED, PIN]
    ops.append_actions([Action(kind=kind, idempotency_key=kind) for kind in kinds])
    log = ops.actions().with_columns(payload=pl.lit(payload, pl.String))
    held = decisions(log)
    assert [decision.told() for decision in held] == ["apagada com os dados da pessoa"] * 4
    assert in_force(held) == []
    assert pins_undone(log, held[-1].id) == []


def test_of_two_decisions_on_one_state_of_the_log_only_one_is_written(ops):
    log = ops.actions()
    one = action_of(together("a:1", "b:2"), next_key(log), **WHO)
    other = action_of(apart(["a:1"], ["b:2"]), next_key(log), **WHO)
    assert [ops.append_actions([action]) for action in (one, other)] == [1, 0]
    assert [d.kind for d in decisions(ops.actions())] == [TOGETHER]


def test_other_actions_between_them_do_not_disturb(ops):
    log = ops.actions()
    ops.append_actions([Action(kind="batch_selected", idempotency_key="b")])
    assert next_key(ops.actions()) == next_key(log)


CYCLES = [
    (
        [together("hotmart:1", "manychat:2"), together("manychat:2", "form:3")],
        apart(["hotmart:1"], ["form:3"]),
        "hotmart:1 = manychat:2 = form:3 ≠ hotmart:1;",
    ),
    (
        [together("hotmart:1", "manychat:2"), apart(["hotmart:1"], ["form:3"], id=5)],
        together("manychat:2", "form:3"),
        "hotmart:1 = manychat:2 = form:3 ≠ hotmart:1 (decisão 5);",
    ),
    (
        [together("hotmart:1", "manychat:2", id=3), together("manychat:2", "form:3", id=8)],
        apart(["hotmart:1"], ["form:3"]),
        "hotmart:1 = manychat:2 = form:3 ≠ hotmart:1 (decisões 3 e 8);",
    ),
    ([], apart(["hotmart:1", "form:3"], ["form:3"]), "form:3 ≠ form:3"),
    ([], together("form:1", "form:2"), None),
    ([apart(["form:1"], ["form:2"])], together("form:1", "form:3"), None),
    ([together("form:1", "form:2")], apart(["form:1"], ["form:3"]), None),
    ([apart(["form:1"], ["form:2"])], Decision(KEY_BLOCKED, key_kind="email", key="a"), None),
]


@pytest.mark.parametrize(("held", "new", "cycle"), CYCLES)
def test_a_contradiction_is_refused_with_its_cycle(held, new, cycle):
    if cycle is None:
        check(new, held)
        return
    with pytest.raises(Contradiction) as caught:
        check(new, held)
    assert cycle in str(caught.value)


def test_joining_people_joins_all_their_records():
    """a and b are one person by their keys today; b and c are kept apart."""
    people = {"a:1": cus(1), "b:2": cus(1), "c:3": cus(2)}
    held = [apart(["c:3"], ["b:2"], id=9)]
    check(together("a:1", "c:3"), held)
    with pytest.raises(Contradiction, match=r"c:3 = a:1 = b:2 ≠ c:3 \(decisão 9\)"):
        check(together("a:1", "c:3"), held, people)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (together("a:1", "b:2"), together("b:2", "a:1")),
        (apart(["a:1", "c:3"], ["b:2"]), apart(["b:2"], ["c:3", "a:1"])),
        (EXAMPLES[2], EXAMPLES[2]),
    ],
)
def test_what_is_decided_already_is_refused_with_its_number(one, same):
    held = Decision(**{**vars(one), "id": 4})
    with pytest.raises(Contradiction, match="decisão 4"):
        check(same, [held])


refs = st.integers(1, 6).map(lambda number: f"form:{number}")
some = st.lists(refs, min_size=1, max_size=3, unique=True)
decided = st.one_of(
    st.lists(refs, min_size=2, max_size=3, unique=True).map(lambda of: together(*of)),
    st.tuples(some, some).map(lambda sides: apart(*sides)),
)


def is_consistent(taken):
    """By union-find: no two records that are kept apart are one person."""
    parent = {f"form:{number}": f"form:{number}" for number in range(1, 7)}

    def find(x):
        return x if parent[x] == x else find(parent[x])

    for decision in taken:
        for other in decision.records[1:] if decision.kind == TOGETHER else ():
            parent[find(other)] = find(decision.records[0])
    return all(
        find(a) != find(b)
        for decision in taken
        if decision.kind == APART
        for a in decision.records
        for b in decision.others
    )


@given(st.lists(decided, max_size=8))
def test_what_is_accepted_is_consistent_and_only_contradictions_are_refused(proposed):
    held = []
    for new in proposed:
        try:
            check(new, held)
        except Contradiction:
            known = any(decision.content == new.content for decision in held)
            assert known or not is_consistent([*held, new])
        else:
            held.append(new)
            assert is_consistent(held)


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        (EXAMPLES[0], "são uma pessoa só: hotmart:1 = manychat:2"),
        (EXAMPLES[1], "não são a mesma pessoa: hotmart:1 ≠ manychat:2, form:3"),
        (EXAMPLES[3], "não une ninguém: telefone +5511987654321"),
        (EXAMPLES[4], f"nome de {cus(1)} = Ana"),
        (together(*(f"a:{n}" for n in range(9))), "a:0 = a:1 = a:2 = a:3 = a:4 e mais 4"),
    ],
)
def test_decisions_are_told_in_portuguese(decision, text):
    assert text in decision.told()


def person(number, **keys):
    return {
        "record_id": f"form:{number}",
        "source": "form",
        "source_id": str(number),
        "observed_at": NOW,
        **keys,
    }


def written(lake, taken):
    """These decisions as the whole action log of a lake."""
    lake.tx.execute("DELETE FROM bronze.crm_actions")
    for number, decision in enumerate(taken, start=1):
        payload = {"records": decision.records, "others": decision.others}
        row = {"id": number, "kind": decision.kind, "payload": json.dumps(payload)}
        lake.bronze("bronze.crm_actions", {**row, "occurred_at": NOW})


def customer_by_ref(lake, rows):
    lake.put("silver.contact_records", ContactRecords, *rows)
    identify(lake.tx, Identity(), NOW, full=True)
    return dict(
        lake.tx.read(
            "SELECT source || ':' || source_id, customer_id FROM silver.customer_xref"
            " WHERE valid_to IS NULL"
        ).rows()
    )


@random_cases(4)
@given(
    st.lists(decided, max_size=6),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=6, max_size=6),
)
def test_what_is_accepted_holds_in_the_engine_whatever_the_keys(proposed, keys):
    held = []
    for new in proposed:
        with suppress(Contradiction):
            check(new, held)
            held.append(new)
    lake = Lake()
    written(lake, held)
    of = customer_by_ref(
        lake,
        [
            person(number, email_key=f"e{email}@example.com", phone_key=f"+551198123987{phone}")
            for number, (email, phone) in enumerate(keys, start=1)
        ],
    )
    for decision in held:
        if decision.kind == TOGETHER:
            assert len({of[ref] for ref in decision.records}) == 1
        for ref in decision.records:
            assert all(of[ref] != of[other] for other in decision.others)
    ignored = "SELECT count(*) FROM silver.identity_findings WHERE finding = 'regra_ignorada'"
    assert lake.value(ignored) == 0


def test_contradictory_decisions_that_both_got_into_the_log_are_listed():
    lake = Lake()
    written(lake, [together("form:0", "form:1"), apart(["form:1"], ["form:0"])])
    of = customer_by_ref(lake, [person(n, email_key=f"p{n}@example.com") for n in range(2)])
    assert of["form:0"] != of["form:1"]
    [ignored] = lake.rows(
        "SELECT records, customer_ids FROM silver.identity_findings"
        " WHERE finding = 'regra_ignorada'"
    )
    assert ignored["records"] == ["form:0", "form:1"]
    assert sorted(ignored["customer_ids"]) == sorted(of.values())


def test_a_log_without_decisions_has_none(ops):
    assert decisions(ops.actions()) == []
    assert next_key(ops.actions()) == "steward:0"
    assert isinstance(ops.actions(), pl.DataFrame)
