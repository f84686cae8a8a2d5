"""What a benchmark found, and how it is shown: on the terminal and in `docs/benchmarks.md`."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.table import Table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
COLUMNS = ("what", "measured", "floor", "ratio", "bar", "peak memory")

_VERSIONS = ("dagster", "duckdb", "polars", "pandera", "httpx")
_NOTHING = "–"


@dataclass(frozen=True)
class Reading:
    """One line of the table.

    Attributes:
        what: what was measured.
        measured: the figure, with its unit.
        floor: the least the same work costs, from the same run.
        ratio: measured against floor, or the figure that the bar is about.
        bar: the target.
        met: whether the bar is met; None without a bar.
        peak: bytes of the measured process at its largest.
        floor_peak: the same of the floor's process.
    """

    what: str
    measured: str
    floor: str = _NOTHING
    ratio: str = _NOTHING
    bar: str = _NOTHING
    met: bool | None = None
    peak: int | None = None
    floor_peak: int | None = None

    def cells(self) -> tuple[str, ...]:
        """The line as texts, in the order of `COLUMNS`."""
        verdict = {None: "", True: " ✓", False: " ✗"}[self.met]
        peaks = [f"{peak / 2**20:,.0f} MB" for peak in (self.peak, self.floor_peak) if peak]
        memory = " / ".join(peaks) or _NOTHING
        return self.what, self.measured, self.floor, self.ratio, self.bar + verdict, memory


def times(
    what: str,
    measured: float,
    floor: float,
    at_most: float | None = None,
    *,
    peak: int | None = None,
    floor_peak: int | None = None,
) -> Reading:
    """Seconds against the seconds of a floor."""
    ratio = measured / floor
    return Reading(
        what,
        seconds(measured),
        seconds(floor),
        f"{ratio:.2f} ×",
        f"≤ {at_most:g} ×" if at_most else _NOTHING,
        ratio <= at_most if at_most else None,
        peak,
        floor_peak,
    )


def rates(
    what: str, measured: float, floor: float, *, peak: int | None = None, unit: str = "/s"
) -> Reading:
    """Things per second against those of a ceiling."""
    return Reading(
        what,
        f"{measured:,.0f} {unit}",
        f"{floor:,.0f} {unit}",
        f"{floor / measured:.2f} ×",
        peak=peak,
    )


def seconds(value: float) -> str:
    """Seconds, with as many digits as they deserve."""
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def table(readings: Iterable[Reading]) -> Table:
    """The lines as a table for the terminal."""
    grid = Table(*COLUMNS, box=None, pad_edge=False)
    for reading in readings:
        grid.add_row(*reading.cells())
    return grid


def machine() -> str:
    """Processor, cores, memory, and what others ask of them now."""
    busy = psutil.cpu_percent(interval=0.5)
    memory = psutil.virtual_memory().total / 2**30
    return f"{_processor()}, {psutil.cpu_count()} cores, {memory:.0f} GB, {busy:.0f} % busy before"


def versions() -> str:
    """The versions that the figures belong to."""
    named = ", ".join(f"{package} {version(package)}" for package in _VERSIONS)
    return f"Python {platform.python_version()}, {named}"


def write(name: str, readings: Sequence[Reading], where: str) -> None:
    """Put the table of a benchmark in the place of the one in `docs/benchmarks.md`.

    Args:
        name: the benchmark's.
        readings: its lines, measured at scale 1.
        where: the machine, as `machine` told it before the first of them.
    """
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}: {where}. {versions()}.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(f"| {' | '.join(reading.cells())} |" for reading in readings),
    ]
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    measured = "\n".join(lines)
    PAGE.write_text(f"{before}{begin}\n{measured}\n{end}{after}", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
