"""Random histories of subscriptions against plain counting, and what a single day moves both ways.

Levels, movements and what was published hold whatever the history (rules 6.1 to 6.3).
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import cus, random_cases
from metric_samples import ZERO, Metrics, money, stretch

pytestmark = pytest.mark.slow

START = date(2026, 1, 1)
DAYS = 60
TODAY = "03-01"
KINDS = ("gross", "net")


@st.composite
def histories(draw):
    """Stretches of a few subscriptions of fewer customers, in two currencies, with gaps.

    One without a day touches none that counts.
    """
    stretches = []
    for number in range(draw(st.integers(0, 4))):
        currency = draw(st.sampled_from(["BRL", "USD", None]))
        owner = draw(st.sampled_from([1, 1, 2, None]))
        at = draw(st.integers(0, 30))
        touches = False
        for _ in range(draw(st.integers(1, 4))):
            state = draw(st.sampled_from(["trial", "active", "delayed", "cancelled"]))
            least = int(touches or state == "trial")
            length = draw(st.just(least) | st.integers(least, 25))
            is_last = length > 0 and draw(st.booleans())
            ends = [None, "cancelled", "fim_de_ciclo"] if length else ["refunded", "fim_de_ciclo"]
            home = {"BRL": 1, "USD": draw(st.sampled_from(["5", "5.37", None])), None: None}
            stretches.append(
                stretch(
                    number,
                    (START + timedelta(at)).isoformat(),
                    None if is_last else (START + timedelta(at + length)).isoformat(),
                    draw(st.sampled_from([0, "33.33", 50, 97])),
                    net=draw(st.sampled_from([0, 30, "41.5"])),
                    state=state,
                    currency=currency,
                    home=home[currency],
                    customer_id=cus(owner) if owner else None,
                    ended_by=draw(st.sampled_from(ends)),
                )
            )
            if is_last:
                break
            gap = draw(st.sampled_from([0, 0, 0, 9])) if length else 9
            touches = gap == 0 and state != "trial"
            at += length + gap
            currency = draw(st.sampled_from([currency, currency, currency, "BRL"]))
    return stretches


def counted_by_hand(stretches, on, book):
    """The level of a day, one stretch at a time."""
    live = [
        row
        for row in stretches
        if row["from_day"] <= on
        and (row["to_day"] is None or row["to_day"] > on)
        and row["state"] != "trial"
        and (book == "home" or (row["currency"] or "XXX") == book)
    ]
    suffix = "_home" if book == "home" else ""
    paying = {
        row["customer_id"] or row["subscriber_code"]
        for row in live
        if row["mrr_gross"] or row["mrr_net"]
    }
    worth = [sum((row[f"mrr_{kind}{suffix}"] or ZERO for row in live), ZERO) for kind in KINDS]
    return len(live), len(paying), *worth


def moved_by_hand(stretches, on, book):
    """What came and went on a day in one currency: subscriptions, and the gross of customers."""
    mine = [s for s in stretches if s["state"] != "trial" and (s["currency"] or "XXX") == book]
    edges = {(s["subscriber_code"], s["from_day"]) for s in mine}
    stops = {(s["subscriber_code"], s["to_day"]) for s in mine if s["to_day"] != s["from_day"]}
    brief = [s for s in mine if s["from_day"] == s["to_day"] == on]
    came = sum(s["from_day"] == on and (s["subscriber_code"], on) not in stops for s in mine)
    gone = sum(
        s["to_day"] == on and (s in brief or (s["subscriber_code"], on) not in edges) for s in mine
    )
    gains = losses = sum((s["mrr_gross"] for s in brief), ZERO)
    for owner in {s["customer_id"] or s["subscriber_code"] for s in mine}:
        own = [s for s in mine if (s["customer_id"] or s["subscriber_code"]) == owner]
        before = counted_by_hand(own, on - timedelta(1), book)[2]
        change = counted_by_hand(own, on, book)[2] - before
        gains, losses = gains + max(change, ZERO), losses + max(-change, ZERO)
    return came, gone, gains, losses


@random_cases(5)
@given(histories())
def test_levels_and_movements_are_those_counted_by_hand_and_add_up_on_every_grain(stretches):
    made = Metrics(TODAY).put(*stretches).run()
    rows = made.lake.rows("FROM gold.subscription_metrics")
    began = min((row["from_day"] for row in stretches), default=None)
    if began and began <= made.today:
        assert {row["day"] for row in rows if row["currency"] == "home"} == {
            began + timedelta(ago) for ago in range((made.today - began).days + 1)
        }
    for row in rows:
        told = tuple(row[n] for n in ("subscriptions", "customers", "mrr_gross", "mrr_net"))
        assert told == counted_by_hand(stretches, row["day"], row["currency"]), row["day"]
        assert row["subscriptions"] == row["active"] + row["delayed"] + row["cancelled_paid"]
    moves = made.lake.rows("FROM gold.mrr_movements WHERE grain = 'day' AND currency <> 'home'")
    for row in moves:
        told = (
            row["new_subscriptions"] + row["reactivated_subscriptions"],
            row["churned_subscriptions"] + row["ended_subscriptions"],
            row["new_gross"] + row["reactivation_gross"] + row["expansion_gross"],
            row["churn_gross"] + row["ended_gross"] + row["contraction_gross"],
        )
        assert told == moved_by_hand(stretches, row["period_start"], row["currency"]), row


@random_cases(3)
@given(histories(), st.integers(0, DAYS))
def test_what_was_published_of_a_day_stands_when_time_goes_on(stretches, ago):
    """A closed day looks the same from any later day, and nothing is listed as changed."""
    earlier = date(2026, 3, 1) - timedelta(ago)
    made = Metrics(earlier.isoformat()).put(*stretches).run("first")
    before = made.lake.rows("FROM gold.mrr_movements WHERE NOT is_partial ORDER BY ALL")
    made.on(TODAY).run("second")
    after = made.lake.rows("FROM gold.mrr_movements ORDER BY ALL")
    assert [row for row in before if row not in after] == []
    assert made.lake.rows("FROM gold.metric_changes") == []


BRIEF = stretch(1, "02-03", "02-03", 97, ended_by="refunded")
MOVED_ON_ITS_DAY = {
    "alone": ([BRIEF], {"new": 97, "churn": 97}, (1, 1)),
    "after a trial": (
        [stretch(1, "01-27", "02-03", state="trial"), BRIEF],
        {"new": 97, "churn": 97},
        (1, 1),
    ),
    "at the end of its term": (
        [BRIEF | {"ended_by": "fim_de_ciclo"}],
        {"new": 97, "ended": 97},
        (1, 0),
    ),
    "of who was there before": (
        [stretch(1, "01-01", "01-20", 50, ended_by="cancelled"), BRIEF],
        {"reactivation": 97, "churn": 97},
        (0, 1),
    ),
    "beside another that stays": (
        [BRIEF, stretch(2, "01-01", None, 40, who=1)],
        {"expansion": 97, "contraction": 97},
        (0, 0),
    ),
    "beside another that begins": (
        [BRIEF, stretch(2, "02-03", None, 40, who=1)],
        {"new": 137, "contraction": 97},
        (1, 0),
    ),
    "beside another that ends": (
        [BRIEF, stretch(2, "01-01", "02-03", 40, who=1, ended_by="cancelled")],
        {"expansion": 97, "churn": 137},
        (0, 1),
    ),
}


@pytest.mark.parametrize("case", MOVED_ON_ITS_DAY)
def test_bought_and_refunded_on_one_day_is_new_and_churn_of_it(case):
    """Rules 6.2: a refunded first recurrence is churn on the refund day and also counted as new."""
    stretches, moves, customers = MOVED_ON_ITS_DAY[case]
    made = Metrics().put(*stretches).run()
    assert made.moved("day", "02-03") == {name: money(amount) for name, amount in moves.items()}
    assert made.moved("day", "02-03", "home") == made.moved("day", "02-03")
    row = made.row("gold.mrr_movements", "day", "02-03")
    assert (row["new_customers"], row["churned_customers"]) == customers
    assert row["new_subscriptions"] + row["reactivated_subscriptions"] >= 1
    assert row["churned_subscriptions"] + row["ended_subscriptions"] >= 1
    others = counted_by_hand(stretches, date(2026, 2, 3), "BRL")
    assert (row["closing_subscriptions"], row["closing_customers"]) == others[:2]
