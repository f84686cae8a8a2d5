"""Who wins in each group, who comes second, and what decided: pure functions over arrays.

The entrants of a group stand together. They are told apart by criteria, one after the other; those
that all criteria leave equal, by their place. Everything is a pass over whole arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[Any]

NOBODY = -1
_LAST = np.iinfo(np.int64).max
_BITS = 63
"""What a signed number of eight bytes holds without its sign."""


@dataclass(frozen=True)
class Outcome:
    """How a contest ended, for every group that has an entrant, in the order of the groups.

    Attributes:
        winner: place of the winner.
        runner_up: place of the second; `NOBODY` in a group of one.
        decided_by: which criterion told the two apart; the number of criteria when it was their
            place, `NOBODY` in a group of one.
    """

    winner: Numbers
    runner_up: Numbers
    decided_by: Numbers


def contest(groups: Numbers, entrants: Numbers, criteria: Sequence[Numbers]) -> Outcome:
    """Settle every group.

    Args:
        groups: the group of each place, never negative, in ascending order.
        entrants: which places take part.
        criteria: whole numbers of each place, the smaller the better.
    """
    places = np.flatnonzero(entrants)
    groups = groups[places]
    words = _packed([values[places] for values in criteria])
    first = _best(groups, words)
    others = np.ones(len(places), dtype=bool)
    others[first] = False
    others = np.flatnonzero(others)
    second = others[_best(groups[others], [word[others] for word in words])]
    winner, runner_up = places[first], np.full(len(first), NOBODY)
    contested = np.diff(first_places(groups), append=len(groups)) > 1
    runner_up[contested] = places[second]
    decided_by = np.full(len(first), NOBODY)
    decided_by[contested] = _decided_by(criteria, winner[contested], runner_up[contested])
    return Outcome(winner, runner_up, decided_by)


def first_places(groups: Numbers) -> Numbers:
    """Where each group begins."""
    return np.flatnonzero(np.diff(groups, prepend=NOBODY))


def _packed(criteria: Sequence[Numbers]) -> list[Numbers]:
    """As few numbers per place as compare like the criteria, one after the other."""
    words: list[Numbers] = []
    width = 0
    for values in criteria:
        if not len(values):
            continue
        above_least = values.astype(np.int64) - int(values.min())
        bits = int(above_least.max()).bit_length()
        if not words or width + bits > _BITS:
            words.append(above_least)
            width = bits
        else:
            words[-1] = words[-1] << bits | above_least
            width += bits
    return words


def _best(groups: Numbers, words: Sequence[Numbers]) -> Numbers:
    """Place of the best of each group; of equal ones the first."""
    starts = first_places(groups)
    sizes = np.diff(starts, append=len(groups))
    best = np.ones(len(groups), dtype=bool)
    for word in words:
        least = np.minimum.reduceat(np.where(best, word, _LAST), starts) if len(starts) else starts
        best &= word == np.repeat(least, sizes)
    equals = np.flatnonzero(best)
    return equals[first_places(groups[equals])]


def _decided_by(criteria: Sequence[Numbers], winner: Numbers, runner_up: Numbers) -> Numbers:
    decided_by = np.full(len(winner), len(criteria))
    for number in reversed(range(len(criteria))):
        values = criteria[number]
        decided_by[values[winner] != values[runner_up]] = number
    return decided_by
