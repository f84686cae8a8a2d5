"""Records that a careless source sends: the engine stays right, quick, and loses nobody."""

from __future__ import annotations

import polars as pl
import pytest
from identity_oracle import UNGUARDED, check_invariants, put_frame, record, run
from lake import NOON, Lake

from crm_assets.checks.contract import failures_by_sql
from crm_assets.checks.silver import ContactRecords, CustomerIds
from crm_assets.person_rules import Identity
from crm_assets.silver import scope
from crm_assets.silver.contact_sources import raw_contacts
from crm_assets.silver.identity import identify
from crm_assets.silver.records import contact_records, replace_contact_records

pytestmark = pytest.mark.slow

PHONE = "+5511900000001"
E1, E2, E9 = "ana@example.com", "bia@example.com", "outra@example.com"
FULL = pytest.mark.parametrize("full", [False, True], ids=["scoped", "full"])


@pytest.fixture(autouse=True)
def always_scoped(monkeypatch):
    """Few records are many of few; a scope must be right all the same."""
    monkeypatch.setattr(scope, "MOST_CHANGED", 1_000)


def test_records_of_one_source_id_are_one_person_in_any_order():
    rows = [
        record("a", E1, source_key="u1"),
        record("b", E2, source_key="u1", at=1),
        record("c", None, None, "u1", at=2),
        record("d", None, PHONE, "u1", at=3, source="manychat"),
    ]
    for guards in (UNGUARDED, Identity()):
        for order in (rows, rows[::-1]):
            customers = run(Lake(), order, guards=guards)
            assert customers["a"] == customers["b"] == customers["c"]
            assert customers["d"] != customers["a"], "an id counts inside its source only"


def test_two_people_of_one_source_id_that_is_no_key_break_the_contract():
    """The records step gives every such record an id of its own; if it ever fails to, no commit."""
    lake = Lake()
    twice = (record("a", E1), {**record("b", E2), "source_id": "a"})
    lake.put("silver.contact_records", ContactRecords, *twice)
    identify(lake.tx, UNGUARDED, NOON)
    assert failures_by_sql(lake.tx, "silver.customer_ids", CustomerIds)


@FULL
def test_a_record_that_loses_both_keys_leaves_and_its_id_stays_with_the_others(full):
    lake = Lake()
    before = run(lake, [record("a", E1, PHONE), record("b", E1, at=1)])
    after = run(lake, [record("a"), record("b", E1, at=1)], day=1, full=full)
    assert after == {"b": before["b"]}
    assert run(lake, [record("a", E1, PHONE), record("b", E1, at=1)], day=2, full=full) == before


@FULL
def test_a_record_that_lost_its_keys_comes_back_as_somebody_else(full):
    """Its id lives on with those who stayed: never may both be one customer."""
    lake = Lake()
    run(lake, [record("a", E1), record("b", E1, at=1)])
    run(lake, [record("b", E1, at=1)], day=1, full=full)
    after = run(lake, [record("a", E9), record("b", E1, at=1)], day=2, full=full)
    assert after["a"] != after["b"]


@FULL
def test_a_record_that_moves_from_one_person_to_another(full):
    lake = Lake()
    a, b = [record("a", E1), record("c", E1, at=2)], record("b", E2, at=1)
    before = run(lake, [*a, b])
    moved = run(lake, [a[0], b, record("c", E2, at=2)], day=1, full=full)
    assert moved == {"a": before["a"], "b": before["b"], "c": before["b"]}
    assert run(lake, [*a, b], day=2, full=full) == before
    spans = lake.rows(
        "SELECT customer_id, valid_to IS NULL AS open FROM silver.customer_xref "
        "WHERE record_id = 'c' ORDER BY valid_from"
    )
    assert [span["customer_id"] for span in spans] == [before["a"], before["b"], before["a"]]
    assert [span["open"] for span in spans] == [False, False, True]


@FULL
def test_the_record_that_two_people_hang_on_moves_away(full):
    lake = Lake()
    rows = [record("a", E1), record("link", E1, PHONE, at=1), record("b", None, PHONE, at=2)]
    before = run(lake, rows)
    assert len(set(before.values())) == 1
    after = run(lake, [rows[0], record("link", E9, at=1), rows[2]], day=1, full=full)
    assert len(set(after.values())) == 3
    assert after["a"] == before["a"]


NOTHING = [
    "", "  ", "null", "NULL", "nan", "NaN", "None", "none", "-", "--", "n/a", "N/A", "undefined",
    "0", "sem email", "não tem", ".",
]  # fmt: skip


def test_texts_that_mean_nothing_become_no_key_and_join_nobody():
    lake = Lake()
    rows = [
        {
            "record_id": f"manychat:{number}",
            "source": "manychat",
            "source_id": str(number),
            "observed_at": NOON,
            "email_text": E1 if number == len(NOTHING) * 2 else NOTHING[number // 2],
            "phone_text": NOTHING[number // 2 % len(NOTHING)],
            "second_phone_text": NOTHING[number // 2 % len(NOTHING)],
            "name_text": "Ana",
            "is_affiliate": False,
        }
        for number in range(len(NOTHING) * 2 + 1)
    ]
    raw = raw_contacts(lake.tx)
    records = contact_records(pl.DataFrame(rows, schema=raw.schema))
    assert records["email_key"].drop_nulls().to_list() == [E1]
    assert records["phone_key"].drop_nulls().to_list() == []
    replace_contact_records(lake.tx, records)
    identify(lake.tx, UNGUARDED, NOON)
    assert lake.column("SELECT source_id FROM silver.customer_xref") == [str(len(NOTHING) * 2)]


def crowd(size, **columns):
    """So many records on one phone."""
    numbers = pl.int_range(size, eager=True).cast(pl.String)
    made = {name: prefix + numbers for name, prefix in columns.items()}
    return pl.DataFrame({"record_id": "r" + numbers, "phone_key": [PHONE] * size, **made})


CROWDS = {
    "nothing else": {},
    "an e-mail each": {"email_key": "e"},
    "a document each": {"document": "9"},
    "a buyer and a name each": {"source_key": "u", "first_name": "Nome"},
    "everything each": {"email_key": "e", "document": "9", "source_key": "u", "first_name": "N"},
}


def on_one_phone(size, columns, guards):
    """The people that the step finds."""
    frame = crowd(size, **columns).with_columns(source=pl.lit("hotmart"))
    if "document" in columns:
        frame = frame.with_columns(document_kind=pl.lit("cpf"), document_valid=True)
    if "source_key" in columns:
        frame = frame.with_columns(hotmart_ucode="source_key", source_id="source_key")
    put_frame(lake := Lake(), frame)
    identify(lake.tx, guards, NOON)
    check_invariants(lake)
    return lake.value("SELECT count(DISTINCT customer_id) FROM silver.customer_xref")


@pytest.mark.timeout(40)
@pytest.mark.parametrize("columns", CROWDS.values(), ids=CROWDS)
@pytest.mark.parametrize(
    "guards", [Identity(), pytest.param(Identity(degree_cap=False), marks=pytest.mark.slow)],
    ids=["default", "without the cap"],
)  # fmt: skip
def test_ten_thousand_records_on_one_phone_take_no_quadratic_time(columns, guards):
    """Every pair of them compared would take more than a minute."""
    assert on_one_phone(10_000, columns, guards) == (10_000 if columns else 1)


def test_a_key_seen_in_one_record_many_times_over_is_its_own():
    rows = [record(f"r{n}", E1, PHONE, at=n) for n in range(50)]
    assert len(set(run(Lake(), rows, guards=Identity()).values())) == 1


@FULL
def test_a_decision_waits_for_its_record(full):
    lake = Lake()
    payload = '{"records": ["hotmart:x", "hotmart:y"]}'
    lake.bronze("bronze.crm_actions", {"id": 1, "kind": "identity_together", "payload": payload})
    first = run(lake, [record("y", E2)])
    after = run(lake, [record("y", E2), record("x", E1, at=1)], day=1, full=full)
    assert after == {"x": first["y"], "y": first["y"]}


@FULL
def test_a_blocked_key_is_counted_over_all_its_records(full):
    lake = Lake()
    lake.bronze("bronze.crm_actions", {"id": 1, "kind": "identity_key_blocked", "email_key": E1})
    other = "+5511900000002"
    rows = [record("a", E1, PHONE), record("b", E1, other, at=1)]
    run(lake, rows)
    run(lake, [*rows, record("c", None, PHONE, at=2)], day=1, full=full)
    counted = lake.rows("SELECT key, records FROM silver.key_status WHERE status = 'blocked'")
    assert counted == [{"key": E1, "records": 2}]


@FULL
def test_a_change_beside_a_quarantined_profile_leaves_it_in_quarantine(full):
    """Two families on one household's phone; what changes is of the other one."""
    guards = Identity(household=True, min_household_emails=2, max_emails=2, degree_cap=False)
    other, third = "+5511900000002", "+5511900000003"
    rows = [
        record("a1", "a1@example.com", PHONE, first_name="Ana"),
        record("a2", "a1@example.com", third, first_name="Ana", at=1),
        record("b1", "b1@example.com", PHONE, first_name="Bia", at=2),
        *(record(f"b{n}", f"b{n}@example.com", other, first_name="Bia", at=n) for n in (3, 4, 5)),
        record("b2", "b1@example.com", other, first_name="Bia", at=6),
    ]
    lake = Lake()
    before = run(lake, rows, guards=guards)
    findings = "SELECT finding, records FROM silver.identity_findings ORDER BY ALL"
    listed = lake.rows(findings)
    assert "perfil_em_quarentena" in {row["finding"] for row in listed}
    rows[1] = rows[1] | {"name": "Ana Melo"}
    assert run(lake, rows, day=1, guards=guards, full=full) == before
    assert lake.rows(findings) == listed
