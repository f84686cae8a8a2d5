"""Contracts: pandera and SQL agree, bad rows fail, and no verdict shows a value (design 10)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import NOON, Lake, cus, frame_of, random_cases

from crm_assets.checks import bronze, contract, gold, silver
from crm_assets.checks.contract import (
    Contract,
    Instant,
    Money,
    Texts,
    _failures_by_pandera,
    check_frame,
    check_table,
    failures_by_sql,
)

OURS = [
    model
    for module in (bronze, silver, gold)
    for model in vars(module).values()
    if isinstance(model, type)
    and issubclass(model, Contract)
    and model.__module__ == module.__name__
    and not model.__name__.startswith("_")
]


class Everything(Contract):
    """Every kind of rule that our contracts use."""

    key: str = pa.Field(unique=True)
    code: str = pa.Field(nullable=True, str_matches=r"^[A-Z]{2}'?$")
    loose: str = pa.Field(nullable=True, str_matches="[ab]x|y")
    kind: str = pa.Field(nullable=True, isin=["a", "b'c"])
    least: int = pa.Field(ge=0)
    over: int = pa.Field(nullable=True, gt=0)
    most: int = pa.Field(nullable=True, le=5)
    amount: Money = pa.Field(nullable=True, ge=0)
    flag: bool = pa.Field()
    at: Instant = pa.Field(nullable=True)
    day: date = pa.Field()
    names: Texts = pa.Field()

    class Config:
        unique = ["kind", "most"]


GOOD = {
    "key": "k1",
    "code": "AB",
    "loose": "ax",
    "kind": "a",
    "least": 0,
    "over": 1,
    "most": 5,
    "amount": Decimal("0.00"),
    "flag": True,
    "at": NOON,
    "day": date(2026, 3, 15),
    "names": ["x"],
}
BROKEN = {
    "key": [None],
    "code": ["ab", "ABC", "xAB", "AB\n", ""],
    "loose": ["x", "zax", ""],
    "kind": ["c", "b", ""],
    "least": [-1, None],
    "over": [0, -7],
    "most": [6],
    "amount": [Decimal("-0.01")],
    "flag": [None],
    "day": [None],
    "names": [None],
}
FINE = {
    "code": ["AB'", None],
    "loose": ["bx", "y", "axz", "zy", None],
    "kind": ["b'c", None],
    "least": [7],
    "over": [None],
    "most": [-3, None],
    "amount": [None, Decimal("12.34")],
    "flag": [False],
    "at": [None],
    "names": [[]],
}


def both(rows):
    """Broken rules found by pandera and by SQL."""
    frame = frame_of(Everything, ({**GOOD, **row} for row in rows))
    lake = Lake()
    lake.tx.replace_table("silver.everything", frame)
    by_sql = failures_by_sql(lake.tx, "silver.everything", Everything)
    for limit in (0, 1_000):
        verdict = check_table(lake.tx, "silver.everything", Everything, pandera_up_to=limit)
        assert verdict.passed == (not by_sql)
    return _failures_by_pandera(lake.tx.read("FROM silver.everything"), Everything), by_sql


@pytest.mark.parametrize("change", [{}, *({c: v} for c, vs in FINE.items() for v in vs)], ids=str)
def test_fine_rows_pass_both(change):
    assert both([change]) == ({}, {})


@pytest.mark.parametrize("change", [{c: v} for c, vs in BROKEN.items() for v in vs], ids=str)
def test_a_bad_row_fails_both_by_the_same_rule(change):
    by_pandera, by_sql = both([change])
    assert by_pandera == by_sql
    assert len(by_sql) == 1


@pytest.mark.parametrize(
    ("second", "fails"),
    [({"most": 4}, True), ({"key": "k2"}, True), ({"key": "k2", "most": 4}, False)],
)
def test_uniqueness(second, fails):
    by_pandera, by_sql = both([{}, second])
    assert bool(by_pandera) == bool(by_sql) == fails
    assert set(by_pandera) == set(by_sql)


CELLS = {
    name: st.sampled_from([GOOD[name], *FINE.get(name, []), *BROKEN.get(name, [])]) for name in GOOD
} | {"key": st.sampled_from(["k1", "k2", "k3", None])}


@random_cases(8)
@given(st.lists(st.fixed_dictionaries({}, optional=CELLS), max_size=6))
def test_pandera_and_sql_agree_on_random_rows(rows):
    by_pandera, by_sql = both(rows)
    assert set(by_pandera) == set(by_sql)
    rules = [rule for rule in by_sql if "uniqueness" not in rule]
    assert {r: by_pandera[r] for r in rules} == {r: by_sql[r] for r in rules}


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_contract_of_ours_can_be_judged_both_ways(model):
    lake = Lake()
    lake.put("silver.empty", model)
    assert failures_by_sql(lake.tx, "silver.empty", model) == {}
    for limit in (-1, 0):
        assert check_table(lake.tx, "silver.empty", model, pandera_up_to=limit).passed


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_column_is_described(model):
    assert model.__doc__
    undescribed = [n for n, c in model.to_schema().columns.items() if not c.description]
    assert undescribed == []


def test_all_contracts_are_found():
    assert len(OURS) == 28


class Unknown(Contract):
    """Uses a check without translation."""

    name: str = pa.Field(str_endswith="x")


def test_a_check_without_sql_is_refused_rather_than_skipped():
    lake = Lake()
    lake.put("silver.empty", Unknown)
    with pytest.raises(NotImplementedError, match="str_endswith"):
        failures_by_sql(lake.tx, "silver.empty", Unknown)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.with_columns(pl.col("least").cast(pl.String)),
        lambda f: f.with_columns(pl.col("least").cast(pl.Int32)),
        lambda f: f.with_columns(pl.lit(1).alias("key")),
        lambda f: f.with_columns(pl.col("amount").cast(pl.Float64)),
        lambda f: f.with_columns(pl.col("amount").cast(pl.Decimal(18, 3))),
        lambda f: f.with_columns(pl.col("at").dt.replace_time_zone(None).dt.date()),
        lambda f: f.with_columns(pl.col("day").cast(pl.String)),
        lambda f: f.with_columns(pl.lit("x").alias("names")),
        lambda f: f.with_columns(pl.lit([1]).alias("names")),
        lambda f: f.with_columns(pl.lit(1).alias("flag")),
        lambda f: f.with_columns(pl.lit(None).alias("day")),
        lambda f: f.drop("at"),
        lambda f: f.with_columns(pl.lit(1).alias("extra")),
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_wrong_types_missing_and_extra_columns_fail(change, size):
    frame = change(frame_of(Everything, [GOOD])).head(size)
    assert not check_frame(frame, Everything).passed
    lake = Lake()
    lake.tx.replace_table("silver.everything", frame)
    assert not check_table(lake.tx, "silver.everything", Everything, pandera_up_to=-1).passed


def test_order_of_columns_and_time_zone_do_not_matter():
    frame = frame_of(Everything, [GOOD])
    assert check_frame(frame.select(reversed(frame.columns)), Everything).passed
    zoned = frame.with_columns(pl.col("at").dt.convert_time_zone("America/Sao_Paulo"))
    assert check_frame(zoned, Everything).passed


def test_a_verdict_shows_columns_checks_and_counts_only():
    secrets = {"key": None, "code": "maria@example.com", "kind": "+5511987650001", "least": -314159}
    for limit in (0, 1_000):
        lake = Lake()
        frame = frame_of(Everything, [{**GOOD, **secrets}, {**GOOD, **secrets, "most": 1}])
        lake.tx.replace_table("silver.everything", frame)
        verdict = check_table(lake.tx, "silver.everything", Everything, pandera_up_to=limit)
        assert not verdict.passed
        assert verdict.metadata["linhas"] == 2
        told = str(verdict.metadata)
        assert "code: str_matches (2)" in told
        assert "key: not_nullable (2)" in told
        for secret in ("maria", "98765", "314159"):
            assert secret not in told


def test_a_bad_customer_fails_its_contract():
    good = {"customer_id": cus(1), "phone": "+5511987650001"}
    for change in ({}, {"customer_id": "x"}, {"phone": "11987650001"}, {"records": 0}):
        frame = frame_of(silver.Customers, [{**good, **change}])
        assert check_frame(frame, silver.Customers).passed == (not change)


def test_pandera_looks_at_values_and_not_only_at_types():
    assert contract.os.environ["PANDERA_VALIDATION_DEPTH"] == "SCHEMA_AND_DATA"
