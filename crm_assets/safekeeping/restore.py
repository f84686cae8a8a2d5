"""Restoring: a company's warehouse as a backup has it, with what happened since kept beside it.

The warehouse is replaced at once, by one rename; everything before it only adds, so that a kill at
any moment leaves the old state or the new one. Decisions, erasures and events of after the backup
stay: whoever was erased since is erased again before anybody sees the restored tables (rules 7.1),
what was imported or posted since is read again, and an import that was undone stays undone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl

from crm_assets.automation.runs import ACTIVE, runs_of
from crm_assets.bronze.actions import SOURCE as ACTION_LOG
from crm_assets.bronze.ledger import GONE, to_read_again
from crm_assets.bronze.receiving import FILE_SOURCES
from crm_assets.bronze.undo import TABLES as TABLES_OF_FILES
from crm_assets.privacy.erased_files import CERTIFICATES, forget_file
from crm_assets.privacy.erased_ops import EMPTIED
from crm_assets.privacy.erased_ops import TABLES as OPS_COLUMNS
from crm_assets.privacy.erasure import pending
from crm_assets.privacy.readmission import Lifted, lifted
from crm_assets.privacy.scrub import HIDDEN, mark, masked_log, scrub
from crm_assets.privacy.tombstones import (
    KEY_MARK,
    NOBODY,
    Tombstones,
    keep_key,
    key_path,
    tags_of,
    tombstones_of,
)
from crm_assets.resources import MIGRATIONS, warehouse_of
from crm_assets.rounds import bury_dead_runs
from crm_assets.safekeeping.alone import no_rounds, safekeeping
from crm_assets.safekeeping.backup import (
    CONFIGURATION,
    FORMAT,
    KEPT_FOLDERS,
    backups_of,
    link_or_copy,
    staging_folder,
    unused,
)
from crm_assets.safekeeping.configuration import KEY, lay_out, open_secrets
from crm_assets.safekeeping.contents import (
    OPS,
    WAREHOUSE,
    Contents,
    contents_of,
    differences,
    rows_of,
)
from crm_assets.steps import Site
from crm_assets.words import counted
from crm_resources.archives import Manifest, manifest_of, unpack
from crm_resources.locks import hold
from crm_resources.ops import OpsStore
from crm_resources.ops.tombstones import Row
from crm_resources.rewriting import rewrite
from crm_resources.serving import put
from crm_resources.warehouse import Transaction, Warehouse

PURPOSE = "crm restore"
STAGING = ".restore"

Undone = frozenset[tuple[str, str]]
"""Source and slice of imports that were taken out again."""


class RestoreError(RuntimeError):
    """Nothing was restored; the message says why."""


@dataclass(frozen=True)
class Restored:
    """What a restore did, or would do.

    Attributes:
        taken_at: the moment of the backup.
        now: rows by table as they are, before anything.
        then: rows by table in the backup.
        added: rows that came back into the operations store, by table.
        files: files that came back.
        tombstones: identifiers that were searched for in what came back.
        aside: where the replaced warehouse is kept.
        written: the files of the configuration.
    """

    taken_at: datetime
    now: Mapping[str, int]
    then: Mapping[str, int]
    added: Mapping[str, int]
    files: int
    tombstones: int
    aside: Path | None = None
    written: tuple[Path, ...] = ()


def chosen(site: Site, path: Path) -> Path:
    """The backup that a path means: the file itself, or the newest one of the company in a folder.

    Raises:
        RestoreError: the folder has none.
    """
    if not path.is_dir():
        return path
    found = backups_of(site, path)
    if not found:
        raise RestoreError(
            f"{path} não tem cópia de segurança de {site.tenant.slug} em "
            f"{site.settings.environment}."
        )
    return found[-1]


def restore(
    site: Site,
    path: Path,
    instance: dg.DagsterInstance,
    *,
    dry_run: bool = False,
    configuration_to: Path | None = None,
) -> Restored:
    """Bring a company back to a backup.

    Args:
        site: the company.
        path: the backup.
        instance: tells what runs.
        dry_run: unpack and compare only.
        configuration_to: where the configuration is laid out, when it is wanted.

    Raises:
        Busy: something runs.
        DamagedArchive: the backup is not whole.
        RestoreError: it is of another company or environment, or cannot be taken by this program.
        KeyUnusable: there are tombstones, and their key is missing or another one.
        WrongPassphrase: the secrets do not open.
    """
    _check_owner(site, path, manifest_of(path))
    with (
        safekeeping(site, PURPOSE),
        no_rounds(site, PURPOSE),
        staging_folder(site, STAGING) as staging,
    ):
        _check_idle(site, instance)
        manifest = unpack(path, staging)
        _compare(manifest, staging)
        opened = open_secrets(staging / CONFIGURATION, site.settings.backup_passphrase)
        written = lay_out(staging / CONFIGURATION, opened, to) if (to := configuration_to) else []
        told: dict[str, Any] = {
            "taken_at": datetime.fromisoformat(manifest["feita_em"]),
            "now": _rows_now(site),
            "then": _rows(manifest["tabelas"].get(WAREHOUSE, {})),
            "written": tuple(written),
        }
        if dry_run:
            files = _new_files(site, staging, frozenset())
            return Restored(**told, added={}, files=len(files), tombstones=0)
        _key_from(site, staging, opened)
        return _take_over(site, instance, staging, told)


def _take_over(
    site: Site, instance: dg.DagsterInstance, staging: Path, told: Mapping[str, Any]
) -> Restored:
    """Everything that only adds, in an order that does no harm when cut short; then the rename."""
    settings, tenant, ops = site.settings, site.tenant, site.ops_store()
    gone = lifted(ops.actions(), staging / OPS)
    before = gone.beside(tombstones_of(settings, tenant, ops))
    added = ops.take_back(staging / OPS, told["taken_at"], _shield(before, gone))
    tombstones = gone.beside(tombstones_of(settings, tenant, ops))
    undone = frozenset(
        (load.source, load.slice)
        for load in ops.loads()
        if load.source in FILE_SOURCES and load.status == "undone" and load.reason != GONE
    )
    _clean(site, staging / WAREHOUSE, ops, tombstones, undone)
    files = _new_files(site, staging, undone)
    for file, target in files.items():
        forget_file(file, tombstones, settings, tenant)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        put(file, target)
    for source, partitions in site.partitions.files_of.items():
        landed = [load.slice for load in ops.loads(source) if load.status == "landed"]
        instance.add_dynamic_partitions(partitions.name or "", landed)
    aside = _swap(site, staging / WAREHOUSE)
    for load in ops.loads(ACTION_LOG):
        ops.record_load(to_read_again(load))
    return Restored(
        **told, added=added, files=len(files), tombstones=len(tombstones.tags), aside=aside
    )


def _check_owner(site: Site, path: Path, manifest: Manifest) -> None:
    if manifest.get("formato") != FORMAT:
        raise RestoreError(
            f"{path.name} está no formato {manifest.get('formato')} e este programa lê o {FORMAT}: "
            "atualize o programa."
        )
    owner = (manifest.get("empresa"), manifest.get("ambiente"))
    if owner != (site.tenant.slug, str(site.settings.environment)):
        raise RestoreError(
            f"{path.name} é de {owner[0]} em {owner[1]}, e não de {site.tenant.slug} em "
            f"{site.settings.environment}."
        )


def _check_idle(site: Site, instance: dg.DagsterInstance) -> None:
    """A run of Dagster's own holds no lock while it reads from a vendor."""
    bury_dead_runs(site, instance)
    running = runs_of(site, instance, statuses=ACTIVE)
    if running:
        raise RestoreError(
            f"{counted(len(running), 'execução', 'execuções')} de {site.tenant.slug} em andamento "
            "no Dagster: espere o fim, ou cancele na interface."
        )
    if pending(site):
        raise RestoreError(
            "Um apagamento anterior não terminou: rode `crm customers erase --resume` antes."
        )


def _compare(manifest: Manifest, staging: Path) -> None:
    """Open both databases; checksums of another DuckDB may differ, rows may not."""
    other = manifest.get("duckdb") != duckdb.__version__
    try:
        wrong = differences(manifest["tabelas"], contents_of(staging), only_rows=other)
    except (duckdb.Error, sqlite3.Error) as error:
        raise RestoreError(
            f"Os bancos da cópia não abrem neste programa ({type(error).__name__})."
        ) from None
    if wrong:
        raise RestoreError(f"A cópia não é o que o manifesto dela diz: {', '.join(wrong[:3])}.")


def _key_from(site: Site, staging: Path, opened: Mapping[str, str]) -> None:
    """Put the key of the tombstones back where there is none, and refuse another one.

    Raises:
        RestoreError: the backup has tombstones that this key did not make.
    """
    path = key_path(site.settings, site.tenant)
    if KEY in opened and not path.exists():
        keep_key(site.settings, site.tenant, opened[KEY])
    with closing(sqlite3.connect(staging / OPS)) as copy:
        tags = {tag for (tag,) in copy.execute("SELECT tag FROM tombstones")}
    if not tags:
        return
    key = bytes.fromhex(path.read_text(encoding="ascii")) if path.exists() else b""
    if not key or tags_of(key, [(KEY_MARK, site.tenant.slug)])[0] not in tags:
        raise RestoreError(
            "A cópia tem apagamentos feitos com uma chave que não está aqui "
            f"({path}): traga a chave, ou defina CRM_BACKUP_PASSPHRASE se a cópia a tem."
        )


def _shield(tombstones: Tombstones, gone: Lifted) -> Any:
    """What takes somebody erased out of rows of the operations store on their way back.

    Tombstones that were lifted stay lifted.
    """

    def clean(table: str, rows: list[Row]) -> list[Row]:
        if table == "tombstones":
            return [row for row in rows if row not in gone]
        for name in OPS_COLUMNS[table] if tombstones else ():
            texts = pl.Series([str(row[name] or "") for row in rows], dtype=pl.String)
            for place in tombstones.of_texts(texts).arg_true():
                rows[place][name] = _blank(name, rows[place]["id"])
        return rows

    return clean


def _blank(column: str, number: int) -> str | None:
    if column in EMPTIED:
        return None
    return {"idempotency_key": f"apagado:{number}", "body": "{}"}.get(column, HIDDEN)


def _clean(site: Site, staged: Path, ops: OpsStore, tombstones: Tombstones, undone: Undone) -> None:
    """Bring the restored warehouse to this program's version, without whoever and what left since.

    It is written anew then, so that nothing of them is left in the file.
    """
    Warehouse(database=str(staged), migrations=str(MIGRATIONS), timezone=site.tenant.timezone).read(
        "SELECT 1"
    )
    if not tombstones and not undone:
        return
    log, last_id = masked_log(ops.actions(), tombstones or NOBODY), ops.last_tombstone_id()

    def edit(tx: Transaction) -> None:
        for source, slice_key in undone:
            tx.execute(f"DELETE FROM {TABLES_OF_FILES[source]} WHERE slice = ?", [slice_key])
            for ledger in ("bronze.rejects", "bronze.loads"):
                of_load = [source, slice_key]
                tx.execute(f"DELETE FROM {ledger} WHERE source = ? AND slice = ?", of_load)
        if tombstones:
            scrub(tx, tombstones, log)
            mark(tx, last_id)

    rewrite(warehouse_of(site.settings, site.tenant), edit, staged)


def _new_files(site: Site, staging: Path, undone: Undone) -> dict[Path, Path]:
    """Files of the backup that are not there now, and where they belong.

    The copy of an import that was undone since stays away.
    """
    store = site.settings.store_folder(site.tenant.slug)
    output = site.settings.output_folder(site.tenant.slug)
    roots = {**{name: store / name for name in KEPT_FOLDERS}, CERTIFICATES: output / CERTIFICATES}
    found = {}
    for name, root in roots.items():
        for source in sorted((staging / name).rglob("*")):
            target = root / source.relative_to(staging / name)
            is_undone = name == "raw" and (source.parent.name, source.stem) in undone
            if source.is_file() and not target.exists() and not is_undone:
                found[source] = target
    return found


def _swap(site: Site, staged: Path) -> Path | None:
    """Put the restored warehouse in the place of the present one, which is kept; returns where."""
    warehouse = warehouse_of(site.settings, site.tenant)
    path, aside = warehouse.path, None
    with hold(warehouse.lock_path, PURPOSE, warehouse.lock_wait_seconds):
        if path.exists():
            when = site.settings.now()
            name = f"warehouse.antes.{when:%Y%m%dT%H%M%SZ}.duckdb"
            aside = unused(path.parent / "backups" / name, ".duckdb")
            aside.parent.mkdir(mode=0o700, exist_ok=True)
            link_or_copy(path, aside)
            os.utime(aside)
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        put(staged, path)
    return aside


def _rows(contents: Contents) -> dict[str, int]:
    return {table: int(str(told[0])) for table, told in contents.items()}


def _rows_now(site: Site) -> dict[str, int]:
    """Rows by table of the present warehouse; nothing when there is none, or none that opens."""
    path = warehouse_of(site.settings, site.tenant).path
    try:
        return rows_of(path) if path.exists() else {}
    except duckdb.Error:
        return {}
