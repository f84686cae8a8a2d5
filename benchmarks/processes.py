"""Where a measured piece of work runs: a process of its own, so that its peak memory is its own."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
BY_PROCESSOR = "BENCHMARKS_BY_PROCESSOR"
"""Set in the environment, seconds are those of the processor and not of the wall."""

_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


@dataclass(frozen=True)
class Finished:
    """A process that ended well.

    Attributes:
        seconds: from its start to its end, by `clock`.
        peak: bytes of resident memory at its largest.
    """

    seconds: float
    peak: int


def clock() -> float:
    """Seconds of the wall; or of this process's processors, where they are asked for."""
    return time.process_time() if BY_PROCESSOR in os.environ else time.perf_counter()


def run(command: Sequence[str], environ: Mapping[str, str]) -> Finished:
    """Run a command to its end, away from the checkout's `.env`.

    Raises:
        RuntimeError: it failed; the message is what it wrote to stderr.
    """
    full = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHON_DOTENV_DISABLED": "1", **environ}
    full.pop("PYTHONDONTWRITEBYTECODE", None)  # as on a user's machine
    with tempfile.TemporaryFile() as told:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603
            command, env=full, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=told
        )
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - started
        if BY_PROCESSOR in os.environ:
            elapsed = usage.ru_utime + usage.ru_stime
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            raise RuntimeError(f"{' '.join(command[:4])}: {told.read().decode()[-2000:]}")
    return Finished(elapsed, usage.ru_maxrss * _UNIT)


def measure(work: str, environ: Mapping[str, str], **arguments: Any) -> dict[str, Any]:
    """Call a function of this package in a new process.

    Args:
        work: `module:function`; it returns a dictionary of numbers.
        environ: its environment, besides ours.
        arguments: what JSON can carry.

    Returns:
        What the function returned, and `peak`: the process's memory at its largest, in bytes.
    """
    with tempfile.NamedTemporaryFile("r", suffix=".json") as answer:
        here = [sys.executable, "-m", "benchmarks.processes"]
        run([*here, work, json.dumps(arguments), answer.name], environ)
        found: dict[str, Any] = json.load(answer)
    return found


def _child(work: str, arguments: str, answer: str) -> None:
    module, function = work.split(":")
    found = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    _child(*sys.argv[1:])
