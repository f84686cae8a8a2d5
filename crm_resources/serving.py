"""Files that appear whole or not at all, and the pointer to the current serving snapshot.

Readers (pages, REST, exports) need this module alone: it imports neither DuckDB nor Dagster. The
snapshots themselves are written by `Warehouse.publish`.
"""

import os
from contextlib import suppress
from pathlib import Path


def put(draft: Path, target: Path) -> None:
    """Give a finished draft its name, with mode 0600, so that it survives a crash whole.

    Args:
        draft: The file, closed, in the folder of the target.
        target: Its name; an existing file is replaced.
    """
    draft.chmod(0o600)
    _sync(draft)
    draft.replace(target)
    _sync(target.parent)


def point(pointer: Path, name: str) -> None:
    """Make a published snapshot the current one, by replacing the pointer file.

    Args:
        pointer: The pointer file, such as `serving/current`.
        name: File name of a snapshot in the same folder.

    Raises:
        FileNotFoundError: No such snapshot.
    """
    if Path(name).name != name or not (pointer.parent / name).is_file():
        raise FileNotFoundError(f"A pasta {pointer.parent.name} não tem o arquivo {name}.")
    draft = pointer.with_name(f".{pointer.name}.tmp")
    draft.write_text(name, encoding="utf-8")
    put(draft, pointer)


def snapshot(pointer: Path) -> Path | None:
    """Return the current snapshot, or None while there is none."""
    with suppress(FileNotFoundError):
        path = pointer.parent / pointer.read_text(encoding="utf-8")
        return path if path.is_file() else None
    return None


def prune(folder: Path, keep: int) -> list[str]:
    """Delete all but the newest snapshots, never the current one, and return their names.

    Args:
        folder: The serving folder, with its pointer `current`.
        keep: How many of the newest stay.
    """
    current = snapshot(folder / "current")
    newest = sorted(folder.glob("*.duckdb"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    stale = [file for file in newest[keep:] if file != current]
    for file in stale:
        file.unlink()
    return [file.name for file in stale]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
