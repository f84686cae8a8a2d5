"""Random lives of subscriptions against a plain retelling, day by day, of what was known by then.

The retelling looks at one day and the facts up to its end, and at nothing else: where both agree
on every day, a past day depends on no later fact. Facts come in any order, at once or in rounds.
What is bought and lost on one day counts on none, and is found as a stretch without a day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import random_cases
from subscription_samples import CODE, event, noon, paid, reading, tell_many

pytestmark = pytest.mark.slow

BEGIN = date(2026, 1, 1)
DAYS = 160
PATIENCE, DELAY = 3, 30


@dataclass(frozen=True)
class Fact:
    """Something that happened on a day; `value` is an amount or another day."""

    kind: str
    day: int
    value: Any = None


def month_after(day: date) -> date:
    """As DuckDB adds a month."""
    year, month = (day.year, day.month + 1) if day.month < 12 else (day.year + 1, 1)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month, last)
        except ValueError:
            continue
    raise AssertionError


def on(day: int) -> date:
    return BEGIN + timedelta(days=day)


def retold(facts: list[Fact], day: int, cycles: int | None) -> tuple[Any, ...] | None:
    """State, commitment and amount of a day, by the facts up to it."""
    spell: dict[str, Any] | None = None
    numbered = list(enumerate((f for f in facts if f.kind == "paid"), start=1))
    for fact in sorted((f for f in facts if f.day <= day), key=lambda f: f.day):
        if fact.kind == "paid":
            number = next(n for n, f in numbered if f == fact)
            spell = {"number": number, "amount": fact.value, "due": month_after(on(fact.day))}
            spell |= {
                "term": spell["due"],
                "late": False,
                "delays": [],
                "gone": False,
                "lost": False,
            }
        elif spell is None:
            continue
        elif fact.kind == "delay":
            spell["late"] = True
            spell["delays"].append(on(fact.day))
        elif fact.kind == "active":
            spell["late"] = spell["gone"] = False
        elif fact.kind == "cancel":
            spell["gone"] = True
            spell["due"] = on(fact.value)
        elif fact.kind == "move":
            spell["due"] = on(fact.value)
        elif fact.kind == "refund" and fact.value in (1, spell["number"]):
            spell["lost"] = True
    if spell is None or spell["lost"]:
        return None
    today, due = on(day), spell["due"]
    if spell["number"] == cycles and today >= spell["term"]:
        return None
    if spell["gone"]:
        return ("cancelled", False, spell["amount"]) if today < due else None
    late_on = min(spell["delays"]) if spell["late"] else date.max
    if today < min(late_on, due + timedelta(days=PATIENCE)):
        return ("active", True, spell["amount"])
    if today < min(late_on, due) + timedelta(days=DELAY):
        return ("delayed", True, spell["amount"])
    return None


def passing(facts: list[Fact], until: int, cycles: int | None) -> dict[date, str]:
    """Days on which a recurrence was paid and lost, with nothing before or after: its amount."""
    return {
        on(fact.day): fact.value
        for fact in facts
        if fact.kind == "paid"
        and fact.day <= until
        and retold(facts, fact.day - 1, cycles) is None
        and retold(facts, fact.day, cycles) is None
    }


@st.composite
def lives(draw):
    """A life of a fact a day, or a payment and how it ends on its day; its charges, if a term."""
    days = draw(st.lists(st.integers(0, DAYS), min_size=1, max_size=10, unique=True))
    days.sort()
    facts: list[Fact] = []
    has_reading = False
    for day in days:
        charges = sum(fact.kind == "paid" for fact in facts)
        kind = draw(
            st.sampled_from(["paid", "paid", "delay", "cancel", "move", "refund", "active"])
        )
        if not charges:
            kind = "paid"
        if kind == "active" and has_reading:
            kind = "delay"
        has_reading |= kind == "active"
        value = {
            "paid": draw(st.sampled_from(["50.00", "80.00"])),
            "cancel": day + draw(st.integers(-10, 40)),
            "move": day + draw(st.integers(1, 40)),
            "refund": draw(st.integers(1, max(charges, 1))),
        }.get(kind)
        refunded = {fact.value for fact in facts if fact.kind == "refund"}
        if kind == "refund" and value in refunded:
            kind, value = "delay", None
        facts.append(Fact(kind, day, value))
        lost = {"refund": charges + 1, "cancel": day - draw(st.integers(-2, 2))}
        if kind == "paid" and (how := draw(st.sampled_from([None, None, *lost]))):
            facts.append(Fact(how, day, lost[how]))
    return facts, draw(st.none() | st.integers(1, 4))


def rows(life: tuple[list[Fact], int | None]) -> list[dict[str, Any]]:
    """A life as rows of sales, events and readings."""
    facts, cycles = life
    refunds = {fact.value: str(on(fact.day)) for fact in facts if fact.kind == "refund"}
    charges = [fact for fact in facts if fact.kind == "paid"]
    made = [
        paid(str(on(fact.day)), number, fact.value, refunded=refunds.get(number))
        for number, fact in enumerate(charges, start=1)
    ]
    names = {
        "delay": "PURCHASE_DELAYED",
        "cancel": "SUBSCRIPTION_CANCELLATION",
        "move": "UPDATE_SUBSCRIPTION_CHARGE_DATE",
    }
    for fact in facts:
        if name := names.get(fact.kind):
            until = None if fact.value is None else noon(on(fact.value))
            made.append(event(name, str(on(fact.day)), next_charge_at=until))
    read = next((fact for fact in facts if fact.kind == "active"), None)
    day = str(on(read.day)) if read else "2025-12-31"
    return [*made, reading(day, "ACTIVE" if read else None, max_charge_cycles=cycles)]


def without_days(stretches: list[dict[str, Any]]) -> dict[date, str]:
    """The stretches that count on no day."""
    found = [row for row in stretches if row["to_day"] == row["from_day"]]
    assert all(row["ended_by"] for row in found)
    return {row["from_day"]: str(row["mrr_gross"]) for row in found}


def daily(stretches: list[dict[str, Any]], until: int) -> list[tuple[Any, ...] | None]:
    """State, commitment and amount of each day."""
    found: list[tuple[Any, ...] | None] = [None] * (until + 1)
    for row in stretches:
        last = row["to_day"] or on(until + 1)
        for day in range((row["from_day"] - BEGIN).days, (last - BEGIN).days):
            assert found[day] is None, "two stretches on one day"
            found[day] = (row["state"], row["is_committed"], str(row["mrr_gross"]))
    return found


TELLINGS = st.lists(lives(), min_size=6, max_size=12)


@random_cases(6)
@given(TELLINGS, st.randoms(use_true_random=False), st.integers(30, DAYS + 60))
def test_every_day_is_what_was_known_by_then(told, dice, today):
    named = {f"S{at}": rows(life) for at, life in enumerate(told)}
    for facts in named.values():
        dice.shuffle(facts)
    found = tell_many(str(on(today)), named)
    for (facts, cycles), life in zip(told, found.values(), strict=True):
        expected = [retold(facts, day, cycles) for day in range(today + 1)]
        assert daily(life.stretches, today) == expected, facts
        assert without_days(life.stretches) == passing(facts, today, cycles), facts


@random_cases(2)
@given(TELLINGS, st.randoms(use_true_random=False))
def test_what_comes_in_two_rounds_in_any_order_ends_the_same(told, dice):
    named = {f"S{at}": rows(life) for at, life in enumerate(told)}
    today = str(on(DAYS + 40))
    at_once = tell_many(today, named)
    some = {name: [f for f in facts if dice.random() < 0.5] for name, facts in named.items()}
    lake = tell_many(today, some)["S0"].lake
    then = tell_many(today, {n: dice.sample(f, len(f)) for n, f in named.items()}, lake=lake)
    again = tell_many(today, named, lake=lake)
    for name, life in at_once.items():
        for other in (then[name], again[name]):
            assert other.stretches == life.stretches
            assert other.statuses == life.statuses


def test_the_retelling_knows_the_rules():
    facts = [Fact("paid", 0, "50.00"), Fact("cancel", 10, 31), Fact("paid", 60, "80.00")]
    known = [retold(facts, day, None) for day in (0, 9, 10, 30, 31, 59, 60)]
    active, gone = ("active", True, "50.00"), ("cancelled", False, "50.00")
    assert known == [active, active, gone, gone, None, None, ("active", True, "80.00")]
    assert retold([replace(facts[0], day=1)], 0, None) is None
    brief = [Fact("paid", 5, "50.00"), Fact("refund", 5, 1), Fact("paid", 9, "80.00")]
    assert passing(brief, 9, None) == {on(5): "50.00"}
    assert CODE
