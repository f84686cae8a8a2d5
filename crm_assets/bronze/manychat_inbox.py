"""The folder where people drop ManyChat files: what is new, settled, and received.

A file is taken once its size and time stand still, known by the hash of its content, and copied to
`raw/`, so that its partition can be read again later. Whatever was landed or refused before is not
taken twice, under whichever name it comes back.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from crm_assets.settings import Environment, Settings
from crm_assets.slices import file_key
from crm_assets.tenants import Tenant
from crm_resources.ops import Load, OpsStore

SOURCE = "manychat"
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


@dataclass(frozen=True)
class Receipt:
    """What became of an arrival.

    Attributes:
        path: the file.
        slice: partition that will hold its content; None when it was not taken.
        note: what happened, for people; never the file's name.
        refused: whether the content cannot be imported as it is.
    """

    path: Path
    slice: str | None
    note: str
    refused: bool = False


def arrivals(folder: Path) -> list[Arrival]:
    """Regular files of the input folder, by name; links and other kinds of file are passed over."""
    if not folder.is_dir():
        return []
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if Path(entry.name).suffix.lower() not in FILE_ENDINGS:
            continue
        with suppress(FileNotFoundError):
            if entry.is_file(follow_symlinks=False):
                stat = entry.stat(follow_symlinks=False)
                found.append(Arrival(Path(entry.path), stat.st_size, stat.st_mtime_ns))
    return found


def settled(now: Iterable[Arrival], before: Mapping[str, str]) -> list[Arrival]:
    """Arrivals that stood still since an earlier look."""
    return [arrival for arrival in now if before.get(arrival.label) == arrival.stamp]


def look(found: Iterable[Arrival]) -> dict[str, str]:
    """A look at the folder, to compare with the next one: stamp by label."""
    return {arrival.label: arrival.stamp for arrival in found}


def raw_path(settings: Settings, tenant: Tenant, slice_key: str) -> Path:
    """Where the content of a partition is kept."""
    return settings.store_folder(tenant.slug) / "raw" / SOURCE / f"{slice_key}.csv"


def receive(path: Path, settings: Settings, tenant: Tenant, ops: OpsStore, *, day: date) -> Receipt:
    """Take one file in: copy its content to `raw/` and record it, unless it is known.

    A content that was received before but not yet landed keeps its partition.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return Receipt(path, None, "não pôde ser lido; confira a permissão", refused=True)
    digest = hashlib.sha256(content).hexdigest()
    known = ops.load_of_content(SOURCE, digest)
    if known and known.status == "landed":
        if _is_input(path, settings, tenant) and settings.environment is Environment.PRD:
            archive(path, settings, tenant, known.slice)
        return Receipt(path, None, "conteúdo já importado")
    if known and known.status == "refused":
        return Receipt(path, None, f"recusado antes: {known.reason}", refused=True)
    slice_key = known.slice if known else file_key(day, digest)
    copy = raw_path(settings, tenant, slice_key)
    _write_private(copy, content)
    ops.record_load(
        Load(
            source=SOURCE,
            slice=slice_key,
            content_sha256=digest,
            file_name=path.name,
            status="received",
            at=settings.now(),
        )
    )
    return Receipt(path, slice_key, "recebido")


def put_away(settings: Settings, tenant: Tenant, load: Load) -> None:
    """After the import: in `prd` the input file moves to the archive, elsewhere it is copied."""
    path = settings.input_folder(tenant.slug, SOURCE) / (load.file_name or "")
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == load.content_sha256:
        archive(path, settings, tenant, load.slice)


def archive(path: Path, settings: Settings, tenant: Tenant, slice_key: str) -> None:
    """Keep an imported file under its partition and name."""
    target = settings.store_folder(tenant.slug) / "archive" / SOURCE / f"{slice_key}_{path.name}"
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.environment is Environment.PRD:
        shutil.move(path, target)
    elif not target.exists():
        shutil.copyfile(path, target)
    target.chmod(0o600)


def _is_input(path: Path, settings: Settings, tenant: Tenant) -> bool:
    return path.resolve().parent == settings.input_folder(tenant.slug, SOURCE).resolve()


def _write_private(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.chmod(0o600)
    temporary.replace(target)
