"""The register of files: how each kind forgets a person (rules 7.2).

Every kind of file below `CRM_HOME` stands here; one that does not fails a test. Databases are
rewritten elsewhere; here is what happens to what people handed in and to what was made for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from crm_assets.bronze.receiving import FILE_SOURCES, archive, digest_of, raw_path, write_private
from crm_assets.privacy.redaction import redacted
from crm_assets.privacy.search import mentions, pattern_of, said
from crm_assets.privacy.tombstones import Tombstones
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_resources.ops import Load, OpsStore

CERTIFICATES = "certificados"
"""Folder of the output that an erasure never clears."""

EVENTS = "eventos"
"""Folder of the archive for events that were cleaned up; nothing in it is of a person."""

NAMELESS = "apagado.csv"
"""Takes the place of a file name that names the person."""

RAW, ARCHIVE, INPUT, OUTPUT = (
    "cópias dos arquivos recebidos (raw), linhas",
    "arquivos guardados (archive), linhas",
    "pasta de entrada (input), linhas",
    "arquivos gerados (output), arquivos",
)


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes:
        pattern: where its files are, below `CRM_HOME`.
        how: what an erasure does with them.
    """

    pattern: str
    how: str


FILE_KINDS = (
    FileKind("db/*/*/warehouse.duckdb", "reescrito sem a pessoa"),
    FileKind("db/*/*/ops.sqlite*", "reescrito sem a pessoa"),
    FileKind("db/*/*/serving/*.duckdb", "a cópia de leitura atual é reescrita, as outras saem"),
    FileKind("db/*/*/serving/current", "só o nome da cópia de leitura"),
    FileKind("db/*/*/backups/*", "reescritas sem a pessoa"),
    FileKind("db/*/*/raw/*/*", "as linhas da pessoa saem"),
    FileKind(f"db/*/*/archive/{EVENTS}/*", "eventos antigos sem o conteúdo, sem dados pessoais"),
    FileKind("db/*/*/archive/*/*", "as linhas da pessoa saem"),
    FileKind("db/*/*/tmp/*", "sai inteiro"),
    FileKind("db/*/*/erasure.json", "existe só enquanto um apagamento não termina"),
    FileKind("db/*/*/*.lock*", "só quem trabalha agora"),
    FileKind("input/*/*", "as linhas da pessoa saem"),
    FileKind("input/*/*/*", "as linhas da pessoa saem"),
    FileKind(f"output/*/*/{CERTIFICATES}/*", "certificados, sem dados pessoais"),
    FileKind("output/*/*/*/*", "os arquivos que citam a pessoa saem"),
    FileKind("keys/*/*/tombstone.key", "a chave dos apagamentos"),
    FileKind("backups/*/*/*", "ficam até vencer, e estão no certificado; voltam sem a pessoa"),
    FileKind("dagster/**", "não guarda dados pessoais; é conferido"),
    FileKind("demo.env", "só configuração"),
)


class UnregisteredFile(RuntimeError):
    """A file about which the register says nothing."""


def kind_of(relative: PurePath) -> FileKind:
    """The kind of a file, by its path below `CRM_HOME`.

    Raises:
        UnregisteredFile: no kind fits.
    """
    for kind in FILE_KINDS:
        folder = kind.pattern.removesuffix("/**")
        if folder != kind.pattern and relative.parts[0] == folder:
            return kind
        depth = len(PurePath(kind.pattern).parts)
        if len(relative.parts) == depth and relative.match(kind.pattern):
            return kind
    raise UnregisteredFile(f"{relative} não está no registro de apagamento.")


def forget_files(
    settings: Settings,
    tenant: Tenant,
    ops: OpsStore,
    tombstones: Tombstones,
    texts: Sequence[str],
    *,
    dry_run: bool = False,
) -> dict[str, int]:
    """Take a person out of what was handed in and of what was made; lines or files by kind.

    Args:
        settings: where the files are.
        tenant: whose.
        ops: which of them were imported.
        tombstones: the tenant's.
        texts: what a search for the person looks for.
        dry_run: only count.
    """
    counts = dict.fromkeys((RAW, ARCHIVE, INPUT, OUTPUT), 0)
    pattern = pattern_of(texts)
    store = settings.store_folder(tenant.slug)
    for source in FILE_SOURCES:
        for label, folder in ((RAW, store / "raw"), (ARCHIVE, store / "archive")):
            for path in _files(folder / source):
                counts[label] += _redact(path, source, tombstones, settings, tenant, dry_run)
                if label == ARCHIVE and not dry_run and said(path.name.encode(), pattern):
                    path.replace(path.with_name(f"{_slice_of(path)}_{NAMELESS}"))
        for path in _inputs(settings, tenant, source):
            counts[INPUT] += _forget_input(path, source, tombstones, settings, tenant, ops, dry_run)
    for path in _outputs(settings, tenant):
        if mentions(path, pattern):
            counts[OUTPUT] += 1
            if not dry_run:
                path.unlink()
    return {label: count for label, count in counts.items() if count}


def redact_copies(
    settings: Settings, tenant: Tenant, ops: OpsStore, load: Load, tombstones: Tombstones
) -> None:
    """After an import in which somebody erased came again: its copies keep nothing of them."""
    folder = settings.store_folder(tenant.slug) / "archive" / load.source
    copies = [raw_path(settings, tenant, load.slice, load.source), *folder.glob(f"{load.slice}_*")]
    for path in copies:
        if path.exists():
            _redact(path, load.source, tombstones, settings, tenant, dry_run=False)
    path = settings.input_folder(tenant.slug, load.source) / (load.file_name or "")
    if path.is_file():
        _forget_input(path, load.source, tombstones, settings, tenant, ops, dry_run=False)


def forget_file(path: Path, tombstones: Tombstones, settings: Settings, tenant: Tenant) -> None:
    """Take everybody behind the tombstones out of a copy of an import on its way back."""
    if path.parent.name in FILE_SOURCES:
        _redact(path, path.parent.name, tombstones, settings, tenant, dry_run=False)


def searched(settings: Settings, tenant: Tenant) -> Iterator[Path]:
    """Every file in which a person could be found, but for databases of DuckDB."""
    for folder in (
        settings.store_folder(tenant.slug),
        settings.output_folder(tenant.slug),
        settings.dagster_home,
    ):
        yield from (path for path in _files(folder) if ".duckdb" not in path.suffixes)
    for source in FILE_SOURCES:
        yield from _inputs(settings, tenant, source)


def _redact(
    path: Path,
    source: str,
    tombstones: Tombstones,
    settings: Settings,
    tenant: Tenant,
    dry_run: bool,
) -> int:
    content = path.read_bytes()
    clean, lines = redacted(content, source, tombstones, settings, tenant)
    if lines and not dry_run:
        write_private(path, clean)
    return lines


def _forget_input(
    path: Path,
    source: str,
    tombstones: Tombstones,
    settings: Settings,
    tenant: Tenant,
    ops: OpsStore,
    dry_run: bool,
) -> int:
    """A file that was imported moves to the archive first, so that it does not come in as new."""
    content = path.read_bytes()
    clean, lines = redacted(content, source, tombstones, settings, tenant)
    if not lines or dry_run:
        return lines
    known = ops.load_of_content(source, digest_of(content))
    if known is None or known.status not in {"landed", "undone"}:
        write_private(path, clean)
        return lines
    archive(path, settings, tenant, known)
    kept = settings.store_folder(tenant.slug) / "archive" / source / f"{known.slice}_{path.name}"
    _redact(kept, source, tombstones, settings, tenant, dry_run=False)
    path.unlink(missing_ok=True)
    return lines


def _slice_of(path: Path) -> str:
    """The partition in the name of an archived file."""
    return "_".join(path.name.split("_")[:2])


def _inputs(settings: Settings, tenant: Tenant, source: str) -> Iterator[Path]:
    """Files in the tenant's own input folder; below the default one's are those of others."""
    folder = settings.input_folder(tenant.slug, source)
    if folder.is_dir():
        yield from sorted(
            path for path in folder.iterdir() if path.is_file() and not path.is_symlink()
        )


def _outputs(settings: Settings, tenant: Tenant) -> Iterator[Path]:
    folder = settings.output_folder(tenant.slug)
    yield from (path for path in _files(folder) if path.parent.name != CERTIFICATES)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
