"""`python -m benchmarks [NAME…]`: the quality bars of design 11, measured on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.contact import contact
from benchmarks.events import events
from benchmarks.extraction import extraction
from benchmarks.identity import identity
from benchmarks.orchestration import backfill, daily, location, step
from benchmarks.pipeline import pipeline
from benchmarks.processes import BY_PROCESSOR
from benchmarks.receiver import receiver
from benchmarks.report import Reading, machine, table, versions, write
from benchmarks.subscriptions import subscriptions

BENCHMARKS: dict[str, Callable[[float, int], Iterator[Reading]]] = {
    "location": location,
    "step": step,
    "daily": daily,
    "backfill": backfill,
    "extraction": extraction,
    "contact": contact,
    "pipeline": pipeline,
    "identity": identity,
    "receiver": receiver,
    "events": events,
    "subscriptions": subscriptions,
}


app = typer.Typer(add_completion=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all by default.")] = None,
    scale: Annotated[
        float, typer.Option(min=0.0001, max=10, help="Size of the data; the bars are for 1.")
    ] = 1,
    repeat: Annotated[int, typer.Option(min=1, help="Times that short work is repeated.")] = 3,
    by_processor: Annotated[
        bool, typer.Option("--cpu", help="Processor seconds, for a machine busy with other work.")
    ] = False,
    save: Annotated[
        bool, typer.Option("--write", help="Put what is measured into docs/benchmarks.md.")
    ] = False,
) -> None:
    """Measure, and print a table; a bar that is not met makes the exit code 1.

    Example: python -m benchmarks location step --repeat 5
    """
    wanted = list(BENCHMARKS) if names in (None, [], ["all"]) else list(names or ())
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        raise typer.BadParameter(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if by_processor:
        os.environ[BY_PROCESSOR] = "1"
    if save and (by_processor or scale != 1):
        raise typer.BadParameter("--write is for scale 1, by the wall clock")
    out, note = Console(width=None if sys.stdout.isatty() else 200), Console(stderr=True)
    where = machine()
    out.print(f"{where}\n{versions()}\n", highlight=False)
    readings: list[Reading] = []
    for name in wanted:
        note.print(f"{name} …", highlight=False)
        found = list(BENCHMARKS[name](scale, repeat))
        if save:
            write(name, found, where)
        readings += found
    out.print(table(readings), highlight=False)
    sys.exit(1 if any(reading.met is False for reading in readings) else 0)


if __name__ == "__main__":
    app()
