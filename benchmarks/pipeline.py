"""The whole refine over a million transactions, against the same functions without Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.installation import opened, sample_installation
from benchmarks.processes import clock, measure
from benchmarks.report import Reading, seconds, times

TRANSACTIONS, CONTACTS = 1_000_000, 500_000
ROUNDS = ("first", "second")


def pipeline(scale: float, repeat: int) -> Iterator[Reading]:
    """Bronze to files, first and second run, at a tenth of the size and at the whole."""
    small, large = _refine(scale / 10, by_hand=False), _refine(scale, by_hand=False)
    hand = _refine(scale, by_hand=True)
    size = f"{TRANSACTIONS * scale:,.0f} transactions + {CONTACTS * scale:,.0f} contacts"
    for name in ROUNDS:
        yield times(
            f"refine of {size}, {name} run; floor: by hand, unchecked",
            large[name],
            hand[name],
            1.5,
            peak=large["peak"],
            floor_peak=hand["peak"],
        )
    for name in ROUNDS:
        growth = large[name] / small[name]
        yield Reading(
            f"growth of the {name} run from a tenth of that",
            seconds(large[name]),
            seconds(small[name]),
            f"{growth:.1f} ×",
            "≤ 12 ×",
            growth <= 12,
            large["peak"],
            small["peak"],
        )


def refine_twice(by_hand: bool) -> dict[str, Any]:
    """Seconds of the first and of the second refine of this process's installation."""
    from crm_assets.rounds import run_round

    with opened() as (site, definitions, instance):
        job, day = definitions.resolve_job_def("refine"), [site.today().isoformat()]
        found = {}
        for name in ROUNDS:
            started = clock()
            if by_hand:
                from benchmarks.by_hand import run_by_hand

                run_by_hand(site, job, day)
            else:
                done = run_round(site, definitions, instance, stages=("refine",))
                assert done.ok, [outcome.errors for outcome in done.outcomes]
            found[name] = clock() - started
    return found


def fill(transactions: int, contacts: int) -> dict[str, Any]:
    """Fill the bronze tables of this process's installation."""
    from benchmarks import invented
    from crm_assets.resources import tenant_resources

    with opened() as (site, _, _):
        warehouse: Any = tenant_resources(site.settings, site.tenant)["warehouse"]
        invented.fill(warehouse, transactions, contacts)
    return {}


def _refine(scale: float, *, by_hand: bool) -> dict[str, Any]:
    with TemporaryDirectory() as home:
        environ = sample_installation(Path(home))
        rows = {"transactions": int(TRANSACTIONS * scale), "contacts": int(CONTACTS * scale)}
        measure("benchmarks.pipeline:fill", environ, **rows)
        return measure("benchmarks.pipeline:refine_twice", environ, by_hand=by_hand)
