"""What becomes of a content that people hand in: guarded, received, put away, found again.

A content is known by its hash, copied to `raw/`, so that its partition can be read again later, and
noted in the loads. Whatever was landed, refused or undone before is not taken again by itself,
under whichever name it comes back. No Dagster here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from crm_assets.bronze.text_table import MAX_LINE_LENGTH, RefusedFile
from crm_assets.settings import Environment, Settings
from crm_assets.slices import file_key
from crm_assets.tenants import Tenant
from crm_resources.ops import Load, OpsStore
from crm_resources.serving import put

MANYCHAT = "manychat"
HOTMART_CSV = "hotmart_csv"
FILE_SOURCES = (HOTMART_CSV, MANYCHAT)
"""Sources whose slices are contents, in the order of a round."""

MAX_BYTES = 256 * 2**20

_CHUNK = 2**18
_KEY = re.compile(r"\d{4}-\d{2}-\d{2}_[0-9a-f]{12}", re.ASCII)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Receipt:
    """What became of a content that arrived.

    Attributes:
        name: file name, or what stands for it.
        source: whose file it is.
        slice: partition that will hold its content; None when it was not taken.
        note: what happened, for people; never the file's name.
        refused: whether the content cannot be imported as it is.
    """

    name: str
    source: str
    slice: str | None
    note: str
    refused: bool = False


class UnknownFile(LookupError):
    """No import fits what a person named; the message says why."""


def read_file(path: Path) -> bytes:
    """The content of an ordinary file that a reader can bear.

    The size is asked before anything is read, and reading stops where a line does not end.

    Raises:
        RefusedFile: a link, a pipe, a folder, too large, a line too long, or not text.
        OSError: the file is not there or may not be read.
    """
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise RefusedFile("O caminho é um atalho (link simbólico); use o próprio arquivo.")
    if not stat.S_ISREG(mode):
        raise RefusedFile("O caminho não é um arquivo comum (é pasta, canal ou dispositivo).")
    with open(path, "rb", opener=_open) as file:
        refuse_size(os.fstat(file.fileno()).st_size)
        content = bytearray()
        unended = 0
        while chunk := file.read(_CHUNK):
            content += chunk
            refuse_size(len(content))
            if b"\0" in chunk and not content.startswith(_UTF16):
                raise RefusedFile("O arquivo contém bytes nulos e não é um CSV de texto.")
            end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
            unended = unended + len(chunk) if end < 0 else len(chunk) - end - 1
            if unended > 4 * MAX_LINE_LENGTH:
                raise RefusedFile(
                    f"O arquivo tem uma linha com mais de {MAX_LINE_LENGTH} caracteres."
                )
    return bytes(content)


def refuse_size(size: int) -> None:
    """Refuse a content of more bytes than a reader can bear.

    Raises:
        RefusedFile: it has more than `MAX_BYTES`.
    """
    if size > MAX_BYTES:
        raise RefusedFile(
            f"O arquivo tem mais de {MAX_BYTES // 2**20} MB, o limite; divida-o em partes."
        )


def digest_of(content: bytes) -> str:
    """What a content is known by."""
    return hashlib.sha256(content).hexdigest()


def raw_path(settings: Settings, tenant: Tenant, slice_key: str, source: str = MANYCHAT) -> Path:
    """Where the content of a partition is kept.

    Raises:
        ValueError: the key is not one of a content, so that it could lead elsewhere.
    """
    if not _KEY.fullmatch(slice_key):
        raise ValueError("A partição de um arquivo tem a forma AAAA-MM-DD_ e 12 dígitos hexa.")
    return settings.store_folder(tenant.slug) / "raw" / source / f"{slice_key}.csv"


def receive(
    path: Path,
    settings: Settings,
    tenant: Tenant,
    ops: OpsStore,
    *,
    day: date,
    source: str = MANYCHAT,
    asked: bool = False,
) -> Receipt:
    """Take one file in, unless its content is known.

    Args:
        path: the file.
        settings: of this installation.
        tenant: whose file.
        ops: its operations store.
        day: stands in the key of a new content.
        source: whose file it is.
        asked: a person named this very file, so that one undone before is taken again.
    """
    try:
        content = read_file(path)
    except RefusedFile as refusal:
        return Receipt(path.name, source, None, f"recusado: {refusal}", refused=True)
    except OSError:
        note = "não pôde ser lido; confira a permissão"
        return Receipt(path.name, source, None, note, refused=True)
    known = ops.load_of_content(source, digest_of(content))
    receipt = receive_content(
        content, path.name, settings, tenant, ops, day=day, source=source, asked=asked
    )
    is_input = path.resolve().parent == settings.input_folder(tenant.slug, source).resolve()
    if known and known.status == "landed" and is_input and settings.environment is Environment.PRD:
        archive(path, settings, tenant, known)
    return receipt


def receive_content(
    content: bytes,
    name: str,
    settings: Settings,
    tenant: Tenant,
    ops: OpsStore,
    *,
    day: date,
    source: str = MANYCHAT,
    asked: bool = False,
    again: bool = False,
) -> Receipt:
    """Copy a content to `raw/` and note it, unless it is known.

    A content that was received before but not yet landed keeps its partition. With `again`, one
    that is landed already is the newest once more.
    """
    digest = digest_of(content)
    known = ops.load_of_content(source, digest)
    status = known.status if known else None
    if status == "landed" and not again:
        return Receipt(name, source, None, "conteúdo já importado")
    if known and status == "refused":
        return Receipt(name, source, None, f"recusado antes: {known.reason}", refused=True)
    if status == "undone" and not asked:
        return Receipt(name, source, None, "desfeito antes; só volta quando importado por nome")
    slice_key = known.slice if known else file_key(day, digest)
    write_private(raw_path(settings, tenant, slice_key, source), content)
    ops.record_load(
        Load(
            source=source,
            slice=slice_key,
            content_sha256=digest,
            file_name=name,
            status="received",
            at=settings.now(),
        )
    )
    return Receipt(name, source, slice_key, "recebido")


def put_away(settings: Settings, tenant: Tenant, load: Load) -> None:
    """After the import: in `prd` the input file moves to the archive, elsewhere it is copied."""
    path = settings.input_folder(tenant.slug, load.source) / (load.file_name or "")
    try:
        if digest_of(read_file(path)) == load.content_sha256:
            archive(path, settings, tenant, load)
    except (OSError, RefusedFile):
        return  # gone, or another one by now


def archive(path: Path, settings: Settings, tenant: Tenant, load: Load) -> None:
    """Keep an imported file under its partition and name."""
    folder = settings.store_folder(tenant.slug) / "archive" / load.source
    target = folder / f"{load.slice}_{path.name}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.environment is Environment.PRD:
        shutil.move(path, target)
        target.chmod(0o600)
    elif not target.exists():
        draft = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(path, draft)
        put(draft, target)


def find_received(named: str, ops: OpsStore, source: str | None = None) -> Load:
    """The import that a person means by a partition key, a file, or the name of a file.

    Args:
        named: what the person wrote; a path is read only when an ordinary file is there.
        ops: the tenant's operations store.
        source: the only source to look in.

    Raises:
        UnknownFile: none fits, or several do.
    """
    loads = [
        load
        for load in ops.loads(source)
        if load.source in FILE_SOURCES and load.content_sha256 is not None
    ]
    path = Path(named)
    digest = _digest_at(path)
    found = [load for load in loads if named == load.slice or digest == load.content_sha256]
    same_name = [load for load in loads if load.file_name == path.name]
    if not found and digest is None:
        found = same_name
    live = [load for load in found if load.status != "undone"] or found[-1:]
    if len(live) == 1:
        return live[0]
    if live:
        keys = ", ".join(f"{load.slice} ({load.source})" for load in live)
        raise UnknownFile(
            f"Mais de uma importação atende por {path.name}: diga a partição ou --source; "
            f"existem {keys}."
        )
    if same_name:
        keys = ", ".join(load.slice for load in same_name)
        raise UnknownFile(
            f"O conteúdo de {path.name} não foi importado; com este nome entraram {keys}."
        )
    raise UnknownFile(f"Nenhuma importação atende por {path.name}.")


def forget_raw(settings: Settings, tenant: Tenant, ops: OpsStore, load: Load) -> None:
    """Note a load as undone and remove the raw copy; its archived file stays."""
    if load.status != "undone":
        ops.record_load(replace(load, status="undone", reason=None))
    raw_path(settings, tenant, load.slice, load.source).unlink(missing_ok=True)


def write_private(target: Path, content: bytes) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.chmod(0o600)
    temporary.replace(target)


def _open(path: str, flags: int) -> int:
    """Open what `lstat` saw: no link put there since, and no wait for a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _digest_at(path: Path) -> str | None:
    try:
        return digest_of(read_file(path))
    except (OSError, RefusedFile, ValueError):
        return None
