"""The folder where people drop ManyChat files: what is there, and what stands still.

A file is taken once its size and time stand still; what then becomes of it is `receiving`'s part.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILE_ENDINGS = {".csv", ".tsv", ".txt"}


@dataclass(frozen=True)
class Arrival:
    """A file in the input folder as it stood at one look."""

    path: Path
    size: int
    modified_ns: int

    @property
    def label(self) -> str:
        """Stands for the file's name, which may be a person's, where the name may not be kept."""
        return hashlib.sha256(os.fsencode(self.path.name)).hexdigest()[:16]

    @property
    def stamp(self) -> str:
        """What must stand still between two looks."""
        return f"{self.size}:{self.modified_ns}"


def arrivals(folder: Path) -> list[Arrival]:
    """Files of the input folder, by name; also what will be refused, such as links and pipes."""
    if not folder.is_dir():
        return []
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if Path(entry.name).suffix.lower() not in FILE_ENDINGS:
            continue
        with suppress(FileNotFoundError):
            if not entry.is_dir(follow_symlinks=False):
                stat = entry.stat(follow_symlinks=False)
                found.append(Arrival(Path(entry.path), stat.st_size, stat.st_mtime_ns))
    return found


def settled(now: Iterable[Arrival], before: Mapping[str, str]) -> list[Arrival]:
    """Arrivals that stood still since an earlier look."""
    return [arrival for arrival in now if before.get(arrival.label) == arrival.stamp]


def look(found: Iterable[Arrival]) -> dict[str, str]:
    """A look at the folder, to compare with the next one: stamp by label."""
    return {arrival.label: arrival.stamp for arrival in found}
