"""Winners, runners-up and what decided, against a sort of every group by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import random_cases

from crm_assets.silver.contests import NOBODY, contest

LARGE = 1 << 40
PLACES = st.tuples(
    st.integers(0, 4),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([-LARGE, 0, LARGE]),
    st.sampled_from([0, LARGE + 1]),
)


def by_hand(places, criteria):
    """Group by group: the first two in order, and the first criterion that differs."""
    found = []
    for group in sorted({group for group, takes_part, *_ in places if takes_part}):
        order = sorted(
            (tuple(values[i] for values in criteria), i)
            for i, (of, takes_part, *_) in enumerate(places)
            if of == group and takes_part
        )
        (best, winner), *others = order
        if not others:
            found.append((winner, NOBODY, NOBODY))
            continue
        second, runner_up = others[0]
        differing = [n for n, (a, b) in enumerate(zip(best, second, strict=True)) if a != b]
        found.append((winner, runner_up, [*differing, len(criteria)][0]))
    return found


def settled(places, count):
    columns = list(zip(*places, strict=True)) or [()] * 5
    groups, entrants = np.array(columns[0], np.int64), np.array(columns[1], bool)
    criteria = [np.array(values, np.int64) for values in columns[2 : 2 + count]]
    outcome = contest(groups, entrants, criteria)
    return list(
        zip(
            outcome.winner.tolist(),
            outcome.runner_up.tolist(),
            outcome.decided_by.tolist(),
            strict=True,
        )
    )


@random_cases(20)
@given(st.lists(PLACES, max_size=30), st.integers(0, 3))
def test_a_contest_is_the_sort_of_every_group(places, count):
    places = sorted(places, key=lambda place: place[0])
    criteria = list(zip(*places, strict=True))[2 : 2 + count] if places else [()] * count
    assert settled(places, count) == by_hand(places, criteria)


@pytest.mark.parametrize(
    ("places", "outcome"),
    [
        ([], []),
        ([(0, False, 1, 0, 0)], []),
        ([(3, True, 1, 0, 0)], [(0, NOBODY, NOBODY)]),
        ([(0, True, 2, 0, 0), (0, True, 1, 9, 9)], [(1, 0, 0)]),
        ([(0, True, 1, 5, 0), (0, True, 1, 4, 9)], [(1, 0, 1)]),
        ([(0, True, 1, 5, 7), (0, True, 1, 5, 6)], [(1, 0, 2)]),
        ([(0, True, 1, 5, 6), (0, True, 1, 5, 6), (0, True, 1, 5, 6)], [(0, 1, 3)]),
        ([(0, False, 0, 0, 0), (0, True, 9, 9, 9), (1, True, 9, 9, 9)],
         [(1, NOBODY, NOBODY), (2, NOBODY, NOBODY)]),
        # More bits than one number holds: the criteria are compared one after the other.
        ([(0, True, 0, LARGE, 0), (0, True, 0, -LARGE, LARGE)], [(1, 0, 1)]),
        ([(0, True, 0, LARGE, LARGE), (0, True, 0, LARGE, 0), (0, True, 1, -LARGE, 0)],
         [(1, 0, 2)]),
    ],
)  # fmt: skip
def test_contests_by_hand(places, outcome):
    assert settled(places, 3) == outcome


def test_flags_and_small_numbers_are_compared_like_any_other():
    groups, everybody = np.array([0, 0, 1, 1]), np.ones(4, bool)
    flags = np.array([True, False, False, True])
    ranks = np.array([0, 255, 7, 3], np.uint8)
    assert contest(groups, everybody, [flags]).winner.tolist() == [1, 2]
    assert contest(groups, everybody, [ranks]).winner.tolist() == [0, 3]
