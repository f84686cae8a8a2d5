"""Who is one person: the partition, stable ids, redirects, validity of the cross-reference."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_oracle import (
    START,
    chain,
    components_of,
    keys_of,
    oracle,
    partition,
    record,
    record_sets,
    ring,
    run,
    star,
)
from lake import Lake, random_cases

from crm_assets.silver import graph
from crm_assets.silver.graph import IdentityError

prop = random_cases(6)


@prop
@given(record_sets())
def test_partition_equals_union_find(rows):
    assert partition(run(Lake(), rows)) == oracle(rows)


@pytest.mark.slow
@prop
@given(record_sets(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(rows, rng):
    shuffled = rows[:]
    rng.shuffle(shuffled)
    assert run(Lake(), rows) == run(Lake(), shuffled)


@pytest.mark.slow
@prop
@given(record_sets(), st.integers(0, 24))
def test_batching_does_not_change_who_is_together(rows, cut):
    lake = Lake()
    run(lake, rows[:cut])
    assert partition(run(lake, rows, day=1)) == oracle(rows)


@pytest.mark.slow
@prop
@given(record_sets())
def test_same_input_twice_changes_nothing(rows):
    lake = Lake()
    tables = ("silver.customer_ids", "silver.customer_xref", "silver.customer_merges")
    run(lake, rows)
    before = [sorted(lake.tx.read(f"FROM {table}").rows(), key=str) for table in tables]
    run(lake, rows, day=1)
    assert [sorted(lake.tx.read(f"FROM {table}").rows(), key=str) for table in tables] == before


@pytest.mark.slow
@prop
@given(st.lists(record_sets(most=10), min_size=2, max_size=4))
def test_any_history_of_edits_ends_in_the_same_partition(states):
    """Records come, change keys and go; invariants are checked after every step."""
    lake = Lake()
    for day, rows in enumerate(states):
        assert partition(run(lake, rows, day=day)) == oracle(rows)


@pytest.mark.slow
@prop
@given(record_sets(), keys_of("e", 8).filter(bool), keys_of("+551190000000", 8).filter(bool))
def test_bridge_then_unbridge_gives_every_record_its_old_id_back(rows, email, phone):
    lake = Lake()
    before = run(lake, rows)
    bridge = record("bridge", email, phone, at=9, source="crm")
    run(lake, [*rows, bridge], day=1)
    after = run(lake, rows, day=2)
    assert after == before


def test_untouched_customers_keep_their_id_when_others_join():
    lake = Lake()
    rows = [record(f"r{i}", f"e{i}") for i in range(6)]
    before = run(lake, rows)
    after = run(lake, [*rows, record("new", "e0", "+5511900000001")], day=1)
    assert {name: after[name] for name in before} == before


def test_nulls_join_nobody_and_a_record_without_contact_is_nobody():
    rows = [
        record("a", None, None),
        record("b", None, None, "u1"),
        record("c", None, None, "u1"),
        record("d", "e1"),
        record("e", None, "+5511900000001"),
    ]
    assert partition(run(Lake(), rows)) == {frozenset("d"), frozenset("e")}


def test_source_id_joins_only_inside_its_source_and_brings_keyless_records_along():
    rows = [
        record("a", "e1", None, "7", source="hotmart"),
        record("b", None, None, "7", source="hotmart"),
        record("c", "e2", None, "7", source="manychat"),
    ]
    assert partition(run(Lake(), rows)) == {frozenset("ab"), frozenset("c")}


@pytest.mark.parametrize(
    "frame", [chain(5_000), ring(2_000), star(20_000)], ids=["chain", "ring", "star"]
)
def test_large_shapes_are_one_person(frame):
    components = components_of(frame)
    assert len(components) == len(frame)
    assert len(set(components.values())) == 1


def test_two_big_stars_joined_late_are_one_person():
    apart = pl.concat([star(10_000, "a"), star(10_000, "b")])
    assert len(set(components_of(apart).values())) == 2
    bridge = pl.DataFrame({"record_id": ["z"], "email_key": ["a7"], "phone_key": ["p-b"]})
    assert len(set(components_of(pl.concat([apart, bridge])).values())) == 1


def test_unsettled_graph_raises_and_names_no_value(monkeypatch):
    monkeypatch.setattr(graph, "MAX_ROUNDS", 1)
    with pytest.raises(IdentityError) as caught:
        components_of(chain(50))
    assert "e1" not in str(caught.value)


def test_merge_keeps_the_older_id_and_leaves_a_redirect_and_log():
    lake = Lake()
    old = run(lake, [record("a", "e1")])["a"]
    new = run(lake, [record("a", "e1"), record("b", "e2", at=-50)], day=1)["b"]
    rows = [record("a", "e1"), record("b", "e2", at=-50), record("c", "e2", "p", at=2)]
    rows[0]["phone_key"] = "p"
    assert set(run(lake, rows, day=2).values()) == {old}
    assert lake.rows("SELECT event, customer_id, survivor_id FROM silver.customer_merges") == [
        {"event": "mint", "customer_id": old, "survivor_id": old},
        {"event": "mint", "customer_id": new, "survivor_id": new},
        {"event": "merge", "customer_id": new, "survivor_id": old},
    ]


def test_anchor_gone_majority_keeps_the_id_and_the_rest_is_a_split():
    lake = Lake()
    together = [
        record("anchor", "e1", "p1", at=0),
        record("a", "e1", at=1),
        record("b", None, "p1", at=2),
        record("c", None, "p1", at=3),
    ]
    old = run(lake, together)["anchor"]
    after = run(lake, together[1:], day=1)
    assert after["b"] == after["c"] == old
    assert after["a"] != old
    assert lake.rows("SELECT event, customer_id FROM silver.customer_merges OFFSET 1") == [
        {"event": "split", "customer_id": after["a"]}
    ]


def test_anchor_gone_tie_goes_to_the_earliest_record():
    lake = Lake()
    together = [
        record("anchor", "e1", "p1"),
        record("late", None, "p1", at=5),
        record("early", "e1", at=1),
    ]
    old = run(lake, together)["anchor"]
    after = run(lake, together[1:], day=1)
    assert after["early"] == old != after["late"]


def test_redirect_survives_the_loss_of_its_anchor():
    """A merged id still answers to its survivor when the record it was minted for is gone."""
    lake = Lake()
    run(lake, [record("a", "e1")])
    ids = run(lake, [record("a", "e1"), record("b", "e2", at=1)], day=1)
    merged = [record("a", "e1", "p"), record("b", "e2", "p", at=1), record("c", "e2", at=2)]
    run(lake, merged, day=2)
    run(lake, [merged[0], record("c", "e2", "p", at=2)], day=3)
    redirect = lake.value(
        "SELECT survivor_id FROM silver.customer_ids WHERE customer_id = ?", [ids["b"]]
    )
    assert redirect == ids["a"]


def test_id_without_records_retires_and_comes_back():
    lake = Lake()
    rows = [record("a", "e1"), record("b", "e2")]
    before = run(lake, rows)
    run(lake, rows[1:], day=1)
    assert run(lake, rows, day=2) == before
    events = lake.column("SELECT event FROM silver.customer_merges")
    assert events == ["mint", "mint", "retire", "revive"]


def test_xref_is_closed_and_opened_when_a_record_changes_customer():
    lake = Lake()
    first = run(lake, [record("a", "e1"), record("b", "e2", at=1), record("c", "e1", at=2)])
    run(lake, [record("a", "e1"), record("b", "e2", at=1), record("c", "e2", at=2)], day=3)
    spans = lake.rows(
        """
        SELECT customer_id, valid_from, valid_to FROM silver.customer_xref
        WHERE record_id = 'c' ORDER BY valid_from
        """
    )
    moved = START + timedelta(days=3)
    assert [span["customer_id"] for span in spans] == [first["a"], first["b"]]
    assert [(s["valid_from"], s["valid_to"]) for s in spans] == [(START, moved), (moved, None)]
    untouched = lake.column("SELECT valid_from FROM silver.customer_xref WHERE record_id = 'a'")
    assert untouched == [START]


def test_xref_tells_the_key_that_joins_today():
    lake = Lake()
    run(lake, [record("a", "e1", "p1")])
    run(lake, [record("a", "e1", "p1"), record("b", None, "p1", at=1)], day=1)
    joined = "SELECT joined_by FROM silver.customer_xref WHERE record_id = 'a'"
    assert lake.column(joined) == ["phone"]
    run(lake, [record("a", "e1", "p1"), record("b", "e1", None, at=1)], day=2)
    assert lake.column(joined) == ["email"]


def test_a_record_that_loses_its_keys_leaves_its_customer():
    lake = Lake()
    run(lake, [record("a", "e1")])
    assert run(lake, [record("a")], day=1) == {}
    assert lake.value("SELECT count(*) FROM silver.customer_xref WHERE valid_to IS NULL") == 0


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_many_small_components_take_no_quadratic_time():
    """300,000 records in pairs of pairs: a join of every vertex with every other takes minutes."""
    numbers = pl.int_range(300_000, eager=True)
    frame = pl.DataFrame(
        {
            "record_id": "r" + numbers.cast(pl.String),
            "email_key": "e" + (numbers // 2).cast(pl.String),
            "phone_key": "p" + ((numbers + 1) // 4).cast(pl.String),
        }
    )
    assert len(components_of(frame)) == len(frame)
