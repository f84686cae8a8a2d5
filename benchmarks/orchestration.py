"""What Dagster and the files around the data cost: loading, a step, a day, a backfill."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.installation import (
    history_installation,
    month_before,
    opened,
    sample_installation,
    sandbox,
)
from benchmarks.processes import Finished, clock, measure, run
from benchmarks.report import Reading, seconds, times

LIBRARIES = "import dagster, duckdb, polars, pandera.polars"
SLICES = 100
SALES = 5_000


def location(scale: float, repeat: int) -> Iterator[Reading]:
    """Loading the code location, against importing the libraries it is built on."""
    with TemporaryDirectory() as home:
        environ = sample_installation(Path(home))
        ours, theirs = _alternated(
            repeat,
            lambda: _python("import crm_assets.definitions", environ),
            lambda: _python(LIBRARIES, environ),
        )
    what = "load the code location; floor: import its libraries"
    yield times(
        what, _seconds(ours), _seconds(theirs), 1.5, peak=_peak(ours), floor_peak=_peak(theirs)
    )


def step(scale: float, repeat: int) -> Iterator[Reading]:
    """One asset or check of a refine run, beyond its own work."""
    with TemporaryDirectory() as home, sandbox() as (url, _):
        environ = sample_installation(Path(home), url)
        found = measure("benchmarks.orchestration:refine_costs", environ, repeat=repeat)
    each = (found["run"] - found["by_hand"]) / found["things"]
    dagster = (found["run"] - found["checked"]) / found["things"]
    yield Reading(
        f"refine of the sample tenant, per asset and check ({found['things']}); "
        "floor: by hand, unchecked",
        seconds(found["run"]),
        seconds(found["by_hand"]),
        f"{each * 1000:.0f} ms each",
        "≤ 50 ms",
        each <= 0.05,
        found["peak"],
    )
    yield Reading(
        "the same; floor: by hand, contracts checked",
        seconds(found["run"]),
        seconds(found["checked"]),
        f"{dagster * 1000:.0f} ms each",
    )


def daily(scale: float, repeat: int) -> Iterator[Reading]:
    """`crm run` of the sample tenant, as a process."""
    firsts, seconds_runs, floors = [], [], []
    with sandbox() as (url, _):
        for _ in range(repeat):
            with TemporaryDirectory() as home:
                environ = sample_installation(Path(home), url)
                command = [sys.executable, "-m", "crm_cli", "run"]
                firsts.append(run(command, environ))
                seconds_runs.append(run(command, environ))
                floors.append(_python(LIBRARIES, environ))
    for what, done in (("first", firsts), ("second", seconds_runs)):
        took = _seconds(done)
        yield Reading(
            f"crm run, sample tenant, {what} run; floor: import the libraries",
            seconds(took),
            seconds(_seconds(floors)),
            f"{took / _seconds(floors):.2f} ×",
            "≤ 8 s",
            took <= 8,
            _peak(done),
            _peak(floors),
        )


def backfill(scale: float, repeat: int) -> Iterator[Reading]:
    """A hundred month slices in one run, against reading and landing them without Dagster."""
    slices = max(int(SLICES * scale), 3)
    start = month_before(slices - 1)
    with sandbox(max(int(SALES * scale), 200), start) as (url, _):
        runs, hands = [], []
        for _ in range(repeat):
            with TemporaryDirectory() as home:
                environ = history_installation(Path(home), url, start, calls_per_minute=10**9)
                runs.append(measure("benchmarks.orchestration:backfill_run", environ))
            with TemporaryDirectory() as home:
                environ = history_installation(Path(home), url, start, calls_per_minute=10**9)
                hands.append(measure("benchmarks.orchestration:backfill_by_hand", environ))
    yield times(
        f"backfill of {slices} slices in one run; floor: read and land them by hand",
        median(each["seconds"] for each in runs),
        median(each["seconds"] for each in hands),
        2,
        peak=max(each["peak"] for each in runs),
        floor_peak=max(each["peak"] for each in hands),
    )


def refine_costs(repeat: int) -> dict[str, Any]:
    """Seconds of a refine run and of its work by hand, on the sample tenant's second day on."""
    from benchmarks.by_hand import run_by_hand
    from crm_assets.rounds import run_round

    with opened() as (site, definitions, instance):
        run_round(site, definitions, instance)
        job = definitions.resolve_job_def("refine")
        day = [site.today().isoformat()]
        runs, hands, checked = _alternated(
            repeat,
            lambda: _elapsed(lambda: run_round(site, definitions, instance, stages=("refine",))),
            lambda: run_by_hand(site, job, day),
            lambda: run_by_hand(site, job, day, checked=True),
        )
        layer = job.asset_layer
        assets, checks = layer.executable_asset_keys, layer.asset_graph.asset_check_keys
        things = len(set(assets)) + len(set(checks))
    return {
        "run": median(runs),
        "by_hand": median(hands),
        "checked": median(checked),
        "things": things,
    }


def backfill_run() -> dict[str, Any]:
    """Seconds of one run over every slice."""
    from crm_assets.rounds import run_round

    with opened() as (site, definitions, instance):
        started = clock()
        done = run_round(site, definitions, instance, stages=("hotmart",))
        assert done.ok, [outcome.errors for outcome in done.outcomes]
        return {"seconds": clock() - started}


def backfill_by_hand() -> dict[str, Any]:
    """Seconds of the same reads and landings without Dagster, contracts checked."""
    from benchmarks.by_hand import run_by_hand
    from crm_assets.automation.jobs import landed, plan

    with opened() as (site, definitions, instance):
        job = definitions.resolve_job_def("hotmart")
        requests = plan(site, "hotmart", landed(site, site.ops_store(), instance))
        took = [run_by_hand(site, job, each.slices, each.tags, checked=True) for each in requests]
        return {"seconds": sum(took)}


def _python(code: str, environ: dict[str, str]) -> Finished:
    return run([sys.executable, "-c", code], environ)


def _alternated(repeat: int, *works: Callable[[], Any]) -> list[list[Any]]:
    """Each work in turn, `repeat` times after one that does not count, so that none is favoured."""
    rounds = [[work() for work in works] for _ in range(repeat + 1)]
    return [list(of_one) for of_one in zip(*rounds[1:], strict=True)]


def _elapsed(work: Callable[[], Any]) -> float:
    started = clock()
    work()
    return clock() - started


def _seconds(done: list[Finished]) -> float:
    return median(each.seconds for each in done)


def _peak(done: list[Finished]) -> int:
    return max(each.peak for each in done)
