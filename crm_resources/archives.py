"""A folder as one compressed file that tells whether it is whole.

The file is a tar inside zstd (any `tar --zstd` opens it). Its first member is the manifest, JSON:
what the caller says of the content, and the SHA-256 of every other member.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import pyarrow as pa

MANIFEST = "manifesto.json"
_FILES = "arquivos"
_BLOCK = 2**20

Manifest = dict[str, Any]


class DamagedArchive(RuntimeError):
    """An archive is not whole, or is none; the message names the file and what is wrong."""


def pack(folder: Path, archive: Path, about: Mapping[str, Any]) -> Manifest:
    """Write everything below a folder into a new file that only its owner reads.

    Args:
        folder: what to pack; nothing may change there meanwhile.
        archive: the file; it is not on disk for sure until it was synced.
        about: what else the manifest says.

    Returns:
        The manifest.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): digest(path) for path in files}
    manifest = {**about, _FILES: sums}
    archive.touch(mode=0o600)
    with (
        pa.OSFile(str(archive), "wb") as file,
        pa.CompressedOutputStream(file, "zstd") as stream,
        tarfile.open(fileobj=cast(IO[bytes], stream), mode="w|", bufsize=_BLOCK) as tar,
    ):
        told = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
        head = tarfile.TarInfo(MANIFEST)
        head.size, head.mode = len(told), 0o600
        tar.addfile(head, io.BytesIO(told))
        for name in sums:
            tar.add(folder / name, name, recursive=False, filter=_private)
    return manifest


def manifest_of(archive: Path) -> Manifest:
    """The manifest alone; only the beginning of the file is read.

    Raises:
        DamagedArchive: the file does not begin as an archive of ours.
    """
    with _members(archive) as tar:
        return _manifest(archive, tar)


def unpack(archive: Path, folder: Path) -> Manifest:
    """Write everything of an archive below an empty folder, and compare it with the manifest.

    Raises:
        DamagedArchive: something is missing, more, or different.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _members(archive) as tar:
        manifest = _manifest(archive, tar)
        missing = dict(manifest[_FILES])
        while member := tar.next():
            name = member.name
            if missing.pop(name, None) is None or not member.isreg() or _leaves(name):
                raise _damaged(archive, f"traz {name!r}, que não devia estar ali")
            target = folder / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None
            target.touch(mode=0o600)
            with target.open("wb") as file:
                found = hashlib.sha256()
                while block := content.read(_BLOCK):
                    found.update(block)
                    file.write(block)
            if found.hexdigest() != manifest[_FILES][name]:
                raise _damaged(archive, f"{name} não é o que foi guardado")
    if missing:
        raise _damaged(archive, f"faltam {len(missing)} arquivos")
    return manifest


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _members(archive: Path) -> Iterator[tarfile.TarFile]:
    """The tar of an archive; whatever is wrong with its bytes is one kind of error."""
    archive.stat()  # a missing file is no damaged one
    try:
        with (
            pa.OSFile(str(archive), "rb") as file,
            pa.CompressedInputStream(file, "zstd") as stream,
            tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|", bufsize=_BLOCK) as tar,
        ):
            yield tar
    except (pa.ArrowException, tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the disk
        raise _damaged(archive, "o conteúdo está cortado ou alterado") from None


def _manifest(archive: Path, tar: tarfile.TarFile) -> Manifest:
    member = tar.next()
    content = tar.extractfile(member) if member and member.name == MANIFEST else None
    try:
        manifest = json.loads(content.read()) if content else None
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not isinstance(manifest.get(_FILES), dict):
        raise _damaged(archive, "não começa com o manifesto de uma cópia de segurança")
    return manifest


def _damaged(archive: Path, what: str) -> DamagedArchive:
    return DamagedArchive(f"{archive.name} não é uma cópia de segurança inteira: {what}.")


def _leaves(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nothing of this machine's users stands in the archive."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member
