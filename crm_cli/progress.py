"""What a round shows while it works: a spinner, and a bar over the slices of a long read.

Slices commit inside a step, so that the bar counts what the loads ledger has of this run; nothing
moves and no thread runs when the output is piped.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from crm_assets.plan import SOURCES_OF, IngestRequest, Landed, estimated_calls
from crm_assets.tenants import Tenant
from crm_assets.words import counted
from crm_cli.console import out, span
from crm_resources.ops import Load, OpsStore

POLL_SECONDS = 0.5
FIRST_LOAD = "hotmart"
"""The stage whose first load reads the whole history."""


@contextmanager
def lasting_console() -> Iterator[Console]:
    """The console on a descriptor of its own: Dagster takes stdout away while a step runs."""
    if not out.is_terminal:
        yield out
        return
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=out.encoding) as terminal:
        yield Console(file=terminal, highlight=False)


class RoundProgress:
    """Shows one round on a console; use it as a context and call `told` before each run."""

    def __init__(self, console: Console, tenant: Tenant, ops: OpsStore) -> None:
        self._console = console
        self._tenant = tenant
        self._ops = ops
        self._spinner = console.status("abrindo")
        self._bar: _Bar | None = None

    def __enter__(self) -> RoundProgress:
        self._spinner.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def told(self, stage: str, request: IngestRequest | None) -> None:
        """A run of `stage` is about to start."""
        self._stop()
        loads = self._ops.loads()
        if stage == FIRST_LOAD and request and not _held(loads, stage):
            self._console.print(f"  {first_load(self._tenant, request)}")
        if self._console.is_terminal and request and len(request.slices) > 1:
            self._bar = _Bar(self._console, self._ops, stage, request, loads)
        else:
            self._spinner.update(f"{stage} {span(request.slices) if request else ''}")
            self._spinner.start()

    def _stop(self) -> None:
        self._spinner.stop()
        if self._bar:
            self._bar.stop()
            self._bar = None


class _Bar:
    """A bar that counts the slices of one request as they land."""

    def __init__(
        self, console: Console, ops: OpsStore, stage: str, request: IngestRequest, held: list[Load]
    ) -> None:
        self._ops = ops
        self._sources = SOURCES_OF[stage]
        self._slices = set(request.slices)
        self._newest = max((load.id or 0 for load in held), default=0)
        total = len(request.slices) * len(self._sources)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f} de {task.total:.0f} partes"),
            TextColumn("linhas: {task.fields[rows]}"),
            TimeElapsedColumn(),
            TextColumn("faltam"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            expand=True,
            speed_estimate_period=600,
        )
        self._task = self._progress.add_task(f"{stage} {span(request.slices)}", total=total, rows=0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._progress.start()
        self._thread.start()

    def stop(self) -> None:
        """Count for the last time and leave the console."""
        self._ended.set()
        self._thread.join()
        self._count()
        self._progress.stop()

    def _watch(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._count()

    def _count(self) -> None:
        landed = [
            load
            for load in self._ops.loads()
            if (load.id or 0) > self._newest
            and load.source in self._sources
            and load.slice in self._slices
        ]
        rows = sum(load.rows for load in landed)
        self._progress.update(self._task, completed=len(landed), rows=rows)


def first_load(tenant: Tenant, request: IngestRequest) -> str:
    """What the first read of the whole history will cost, at least: its sales are not known."""
    calls = estimated_calls(request, Landed())
    limit = tenant.hotmart.calls_per_minute
    minutes = calls // limit
    least = f"pelo menos {minutes} min" if minutes else "a partir de alguns segundos"
    months = len(request.slices)
    return (
        f"primeira carga: {counted(months, 'mês', 'meses')}, cerca de {counted(calls, 'chamada')} "
        f"({least} no limite de {limit} por minuto; mais nos meses de muitas vendas)"
    )


def _held(loads: list[Load], stage: str) -> bool:
    return any(load.source in SOURCES_OF[stage] for load in loads)
