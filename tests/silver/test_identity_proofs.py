"""The seven properties of the identity engine, against two other ways to the same partition.

With the guards off it is exactly "same e-mail, same phone or same id inside a source,
transitively"; where a property must hold with the guards too, it is asked of both (mdm.md 4.7).
"""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_oracle import (
    START,
    UNGUARDED,
    by_scipy,
    chain,
    components_of,
    oracle,
    partition,
    put_frame,
    random_graph,
    record,
    record_sets,
    run,
    star,
)
from lake import Lake, frame_of, random_cases

from crm_assets.checks.silver import ContactRecords
from crm_assets.person_rules import Identity
from crm_assets.resources import MIGRATIONS
from crm_assets.silver.identity import identify
from crm_resources.warehouse import Transaction

pytestmark = pytest.mark.slow

TIGHT = Identity(
    max_emails_per_phone=2, max_phones_per_email=2, max_emails=3, max_phones=3, household=True
)
"""All guards on, at limits that a few records reach."""
GUARDS = pytest.mark.parametrize(
    "guards",
    [pytest.param(UNGUARDED, marks=pytest.mark.slow), TIGHT],
    ids=["no guards", "guards at tight limits"],
)
prop = random_cases(3)
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {
            "email": st.none() | st.sampled_from([f"e{n}@example.com" for n in range(6)]),
            "phone": st.none() | st.sampled_from([f"+551190000000{n}" for n in range(6)]),
            "buyer": st.none() | st.sampled_from(["u0", "u1", "u2"]),
            "cpf": st.none() | st.sampled_from(["52998224725", "11144477735"]),
            "first_name": st.none() | st.sampled_from(["Ana", "Bia", "Caio"]),
            "at": st.integers(0, 3),
        }
    ),
    max_size=16,
).map(lambda people: [record(f"r{n}", **person) for n, person in enumerate(people)])
"""Records with everything that a guard looks at."""


@random_cases(6)
@given(record_sets())
def test_sql_equals_scipy_equals_union_find(rows):
    found = partition(run(Lake(), rows))
    assert found == oracle(rows)
    assert found == by_scipy(frame_of(ContactRecords, rows))


@pytest.mark.parametrize(
    "frame",
    [
        random_graph(3_000, seed=1),
        chain(5_000),
        pytest.param(random_graph(300_000, seed=2), marks=pytest.mark.slow),
        pytest.param(chain(10_000), marks=pytest.mark.slow),
        pytest.param(star(100_000), marks=pytest.mark.slow),
    ],
    ids=["random 3,000", "chain 5,000", "random 300,000", "chain 10,000", "star 100,000"],
)
def test_large_graphs_are_what_scipy_and_union_find_make_of_them(frame):
    put_frame(lake := Lake(), frame)
    records = lake.tx.read(
        "SELECT record_id, source, email_key, phone_key, source_key FROM silver.contact_records"
    )
    found = partition(components_of(frame))
    assert found == by_scipy(records)
    assert found == oracle(records.to_dicts())


@pytest.mark.slow
def test_labels_do_not_depend_on_the_number_of_threads():
    frame = random_graph(400_000, seed=3)
    found = []
    for threads in (1, 4):
        connection = duckdb.connect(config={"threads": threads})
        for script in sorted(MIGRATIONS.glob("*.sql")):
            connection.execute(script.read_text())
        lake = Lake()
        lake.tx = Transaction(connection.execute("BEGIN"))
        put_frame(lake, frame)
        identify(lake.tx, Identity(), START)
        found.append(
            [
                lake.tx.read(sql)
                for sql in (
                    "FROM components ORDER BY rid",
                    "FROM silver.customer_xref ORDER BY ALL",
                    "FROM silver.customer_ids ORDER BY ALL",
                )
            ]
        )
        connection.close()
    one, four = found
    assert all(a.equals(b) for a, b in zip(one, four, strict=True))


@prop
@given(record_sets())
def test_sharing_a_key_means_the_same_customer(rows):
    run(lake := Lake(), rows)
    for kind in ("email_key", "phone_key", "source || ':' || source_key"):
        several = lake.value(
            f"""
            SELECT count(*) FROM (
                SELECT {kind} FROM silver.contact_records AS records
                JOIN silver.customer_xref AS xref USING (record_id, source)
                GROUP BY 1 HAVING count(DISTINCT customer_id) > 1 AND {kind} IS NOT NULL
            )
            """.replace("source ||", "records.source ||")
        )
        assert several == 0


@prop
@given(PEOPLE)
def test_an_email_that_joins_joins_all_of_its_records_whatever_the_guards(rows):
    run(lake := Lake(), rows, guards=TIGHT)
    several = lake.value(
        """
        SELECT count(*) FROM (
            SELECT email_key FROM silver.contact_records
            JOIN silver.customer_xref USING (record_id)
            WHERE email_key IS NOT NULL AND email_key NOT IN (
                SELECT key FROM silver.key_status WHERE kind = 'email' AND status <> 'personal'
            )
            GROUP BY email_key HAVING count(DISTINCT customer_id) > 1
        )
        """
    )
    assert several == 0


@GUARDS
@prop
@given(PEOPLE, st.integers(1, 4))
def test_records_without_keys_change_nothing(guards, rows, empty):
    nobodies = [record(f"empty{n}", first_name="Ana", cpf="52998224725") for n in range(empty)]
    assert run(Lake(), [*nobodies, *rows], guards=guards) == run(Lake(), rows, guards=guards)


@prop
@given(PEOPLE, st.data())
def test_guards_only_ever_part_what_the_plain_rule_joins(rows, data):
    guards = Identity(
        **{
            name: data.draw(st.booleans(), name)
            for name in ("function_mailboxes", "degree_cap", "household", "profile_limits")
        },
        conflicts=data.draw(st.booleans(), "conflicts"),
        max_emails_per_phone=1,
        max_emails=2,
        min_household_emails=1,
    )
    plain = oracle(rows)
    for part in partition(run(Lake(), rows, guards=guards)):
        assert any(part <= whole for whole in plain)


@GUARDS
@prop
@given(PEOPLE, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(guards, rows, rng):
    shuffled = rows[:]
    rng.shuffle(shuffled)
    assert run(Lake(), shuffled, guards=guards) == run(Lake(), rows, guards=guards)


@pytest.mark.slow
@GUARDS
@prop
@given(PEOPLE, st.integers(0, 16), st.integers(0, 16))
def test_merging_is_associative(guards, rows, one, other):
    """(a + b) + c and a + (b + c), whichever comes first, are who the whole is at once."""
    a, b = sorted((one, other))
    at_once = partition(run(Lake(), rows, guards=guards))
    for order in ([rows[:a], rows[a:b], rows[b:]], [rows[b:], rows[a:b], rows[:a]]):
        lake, held = Lake(), []
        for day, batch in enumerate(order):
            held = [*held, *batch]
            found = run(lake, held, day, guards=guards)
        assert partition(found) == at_once


@GUARDS
@prop
@given(PEOPLE)
def test_same_input_again_changes_nothing(guards, rows):
    lake = Lake()
    tables = ("customer_ids", "customer_xref", "customer_merges", "key_status", "identity_findings")
    states = []
    for day, full in enumerate((False, False, True)):
        run(lake, rows, day, guards=guards, full=full)
        states.append(
            [lake.tx.read(f"FROM silver.{table} ORDER BY ALL").rows() for table in tables]
        )
    assert states[0] == states[1] == states[2]


@GUARDS
@prop
@given(PEOPLE, st.lists(st.integers(0, 15), max_size=3), PEOPLE)
def test_customers_that_a_change_does_not_reach_keep_their_id_and_members(
    guards, rows, places, edits
):
    lake = Lake()
    before = run(lake, rows, guards=guards)
    changed = [
        edits[at % len(edits)] if at in places and edits else row for at, row in enumerate(rows)
    ]
    changed = [
        {**row, "record_id": f"r{at}", "source_id": row["source_key"] or f"r{at}"}
        for at, row in enumerate(changed)
    ]
    after = run(lake, changed, day=1, guards=guards)
    moved = {old["record_id"] for old, new in zip(rows, changed, strict=True) if old != new}
    reached = {
        name for state in (rows, changed) for part in oracle(state) if part & moved for name in part
    }
    for name in before.keys() - reached:
        assert after[name] == before[name]


@GUARDS
@prop
@given(PEOPLE, st.integers(0, 5), st.integers(0, 5))
def test_bridge_then_unbridge_gives_every_record_its_old_id_back(guards, rows, email, phone):
    lake = Lake()
    before = run(lake, rows, guards=guards)
    bridge = record("bridge", f"e{email}@example.com", f"+551190000000{phone}", at=9, source="crm")
    run(lake, [*rows, bridge], day=1, guards=guards)
    assert run(lake, rows, day=2, guards=guards) == before
