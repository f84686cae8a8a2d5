"""Backups: everything of a company in one file, which is opened and compared before it counts.

What is copied is one moment: no round runs, and the warehouse is locked while it and the operations
store are copied. Packing and comparing need no lock, so that rounds go on meanwhile. Whoever is
erased later is still in an older backup; the certificate says until when, and restoring erases them
again (rules 7.4).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

import duckdb

from crm_assets.privacy.erased_files import CERTIFICATES
from crm_assets.resources import warehouse_of
from crm_assets.safekeeping.alone import BACKUP, no_rounds, safekeeping
from crm_assets.safekeeping.configuration import save_configuration
from crm_assets.safekeeping.contents import OPS, WAREHOUSE, contents_of, differences
from crm_assets.steps import Site
from crm_resources.archives import Manifest, pack, unpack
from crm_resources.locks import hold
from crm_resources.ops import ExportRecord
from crm_resources.serving import put

PURPOSE = "crm backup"
FORMAT = 1
SUFFIX = ".tar.zst"
STAGING = ".backup"
CONFIGURATION = "configuracao"
KEPT_FOLDERS = ("raw", "archive")


class BackupError(RuntimeError):
    """No backup was made; the message says why."""


@dataclass(frozen=True)
class Backup:
    """A finished backup.

    Attributes:
        path: the file.
        size: its bytes.
        rows: rows in all tables.
        files: files in it.
        has_secrets: whether the secrets are in it, encrypted.
    """

    path: Path
    size: int
    rows: int
    files: int
    has_secrets: bool


def back_up(
    site: Site,
    environ: Mapping[str, str],
    *,
    target: Path | None = None,
    actor: str = PURPOSE,
    wait: float = 0,
) -> Backup:
    """Make a backup of a company.

    Args:
        site: the company.
        environ: where its secrets are.
        target: folder of the file; the company's own by default.
        actor: who makes it.
        wait: seconds to wait for a round, and for another backup.

    Raises:
        Busy: something runs and did not end within `wait`.
        BackupError: there is nothing to back up, or the written file is not what was copied.
    """
    settings, tenant = site.settings, site.tenant
    if not warehouse_of(settings, tenant).path.exists():
        raise BackupError(f"Ainda não há o que guardar de {tenant.slug}: nenhuma rodada foi feita.")
    folder = (target or settings.backup_folder(tenant.slug)).resolve()
    with safekeeping(site, PURPOSE, wait), staging_folder(site, STAGING) as staging:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in folder.glob(f".crm_*{SUFFIX}.tmp"):
            leftover.unlink()
        copied, scratch = staging / "copied", staging / "scratch"
        taken_at = _copy(site, environ, copied, wait)
        path = unused(folder / _name(site, taken_at), SUFFIX)
        draft = path.with_name(f".{path.name}.tmp")
        try:
            manifest = pack(copied, draft, _about(site, taken_at, copied))
            shutil.rmtree(copied)
            _verify(draft, scratch, manifest)
            put(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _register(site, path, actor, taken_at)
    return Backup(
        path=path,
        size=path.stat().st_size,
        rows=sum(int(told[0]) for held in manifest["tabelas"].values() for told in held.values()),
        files=len(manifest["arquivos"]),
        has_secrets=manifest["segredos"],
    )


def backups_of(site: Site, folder: Path) -> list[Path]:
    """The backups of a company and environment in a folder, the newest last."""
    form = re.compile(
        re.escape(_prefix(site)) + r"(\d{8}T\d{6}Z)(?:_(\d+))?" + re.escape(SUFFIX), re.ASCII
    )
    named = ((form.fullmatch(path.name), path) for path in folder.iterdir())
    found = [(one[1], int(one[2] or 1), path) for one, path in named if one]
    return [path for *_, path in sorted(found)]


def _copy(site: Site, environ: Mapping[str, str], folder: Path, wait: float) -> datetime:
    """Copy what is to be packed, as it is at one moment; returns the moment."""
    settings, tenant = site.settings, site.tenant
    store, warehouse = settings.store_folder(tenant.slug), warehouse_of(settings, tenant)
    folder.mkdir(mode=0o700)
    with no_rounds(site, PURPOSE, wait):
        warehouse.read("SELECT 1")  # takes in what a killed process left beside the file
        with hold(warehouse.lock_path, PURPOSE, warehouse.lock_wait_seconds):
            taken_at = settings.now()
            shutil.copyfile(warehouse.path, folder / WAREHOUSE)
            site.ops_store().copy_to(folder / OPS)
        for name in KEPT_FOLDERS:
            _link_tree(store / name, folder / name)
        _link_tree(settings.output_folder(tenant.slug) / CERTIFICATES, folder / CERTIFICATES)
        save_configuration(settings, tenant, environ, folder / CONFIGURATION)
    return taken_at


def _link_tree(source: Path, target: Path) -> None:
    """The finished files of a folder, without copying their bytes where that can be.

    They are only ever replaced whole, so that a link keeps what it was made to.
    """
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            link_or_copy(path, copy)


def link_or_copy(path: Path, copy: Path) -> None:
    """A second name for a file, or a copy where the disk knows no such thing."""
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)
        copy.chmod(0o600)


def _about(site: Site, taken_at: datetime, copied: Path) -> Manifest:
    return {
        "formato": FORMAT,
        "empresa": site.tenant.slug,
        "ambiente": str(site.settings.environment),
        "feita_em": taken_at.isoformat(),
        "duckdb": duckdb.__version__,
        "segredos": bool(site.settings.backup_passphrase),
        "tabelas": contents_of(copied),
    }


def _verify(draft: Path, scratch: Path, manifest: Manifest) -> None:
    """Unpack what was written and compare it with what was copied."""
    unpack(draft, scratch)
    wrong = differences(manifest["tabelas"], contents_of(scratch))
    if wrong:
        raise BackupError(
            f"A cópia escrita não é igual ao que foi copiado ({', '.join(wrong[:3])}); ela foi "
            "descartada."
        )


def _register(site: Site, path: Path, actor: str, taken_at: datetime) -> None:
    own = path.parent == site.settings.backup_folder(site.tenant.slug).resolve()
    site.ops_store().record_export(
        ExportRecord(
            kind=BACKUP,
            destination=path.name if own else str(path),
            filter={},
            customer_ids=(),
            actor=actor,
            at=taken_at,
        )
    )


def _name(site: Site, taken_at: datetime) -> str:
    return f"{_prefix(site)}{taken_at.astimezone(UTC):%Y%m%dT%H%M%SZ}{SUFFIX}"


def unused(path: Path, suffix: str) -> Path:
    """The path, or else the first with a number before its suffix: no copy is ever written over."""
    stem = path.name.removesuffix(suffix)
    others = (path.with_name(f"{stem}_{number}{suffix}") for number in count(2))
    return next(one for one in chain([path], others) if not one.exists())


def _prefix(site: Site) -> str:
    return f"crm_{site.settings.environment}_{site.tenant.slug}_"


@contextmanager
def staging_folder(site: Site, name: str) -> Iterator[Path]:
    """A folder of our own beside the databases, empty at first and gone afterwards."""
    folder = site.settings.store_folder(site.tenant.slug) / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
