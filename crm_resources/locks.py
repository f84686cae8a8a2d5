"""Locks between processes: one holder per lock file, and a note that says who it is.

The operating system owns the lock, so a killed process frees it at once. The note beside it
(`<lock>.holder`) is for people: it words a refusal and decides nothing.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.05

_held: set[tuple[Path, int]] = set()


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: a purpose in words, the process and the instant it began."""

    purpose: str
    pid: int
    since: datetime

    def __str__(self) -> str:
        since = self.since.astimezone()
        return f"«{self.purpose}» (processo {self.pid}, desde {since:%d/%m/%Y %H:%M:%S})"


class Busy(RuntimeError):
    """The lock stayed with somebody else for the whole wait."""

    def __init__(self, holder: Holder | None) -> None:
        self.holder = holder
        super().__init__(
            f"Os dados da empresa estão em uso por {holder or 'outro processo'}: espere terminar."
        )


@contextmanager
def hold(path: Path, purpose: str, wait: float) -> Iterator[None]:
    """Hold the lock file for the length of the block.

    A thread that already holds the lock is refused at once, since its wait could never end.

    Args:
        path: The lock file; created with mode 0600, its folder with 0700.
        purpose: What the holder does, in words a person understands; no personal data.
        wait: Seconds to wait for another holder; 0 refuses at once.

    Raises:
        Busy: Somebody else still holds the lock; the message names purpose, process and since.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = (path.resolve(), threading.get_ident())
    lock = _file_lock(path)
    try:
        held = lock.acquire(timeout=0 if key in _held else max(wait, 0))
    except Timeout:
        raise Busy(_read_note(path)) from None
    with held:
        try:
            _held.add(key)
            _write_note(path, Holder(purpose, os.getpid(), datetime.now(UTC)))
            yield
        finally:
            _note(path).unlink(missing_ok=True)
            _held.discard(key)


def holder(path: Path) -> str | None:
    """Say who holds the lock, or None when it is free.

    The lock itself is tried only where a note exists, so asking never disturbs a free lock.
    """
    noted = _read_note(path)
    if noted is None:
        return None
    try:
        with _file_lock(path).acquire(timeout=0):
            _note(path).unlink(missing_ok=True)
    except Timeout:
        return str(noted)
    return None


def _file_lock(path: Path) -> FileLock:
    """Build a lock that excludes other instances, threads and processes alike."""
    return FileLock(
        path,
        mode=0o600,
        thread_local=False,
        poll_interval=POLL_SECONDS,
        fallback_to_soft=False,  # a soft marker would survive a kill
    )


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")


def _write_note(path: Path, holder: Holder) -> None:
    draft = path.with_name(f"{path.name}.holder.tmp")
    draft.touch(mode=0o600)
    draft.write_text(
        json.dumps(
            {"purpose": holder.purpose, "pid": holder.pid, "since": holder.since.isoformat()}
        ),
        encoding="utf-8",
    )
    draft.replace(_note(path))


def _read_note(path: Path) -> Holder | None:
    try:
        note = json.loads(_note(path).read_text(encoding="utf-8"))
        return Holder(note["purpose"], note["pid"], datetime.fromisoformat(note["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
