"""A packed folder comes out as it went in, or not at all."""

import io
import json
import os
import tarfile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_resources.archives import MANIFEST, DamagedArchive, manifest_of, pack, unpack


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    (made / "raw" / "manychat").mkdir(parents=True)
    (made / "raw" / "manychat" / "ação.csv").write_bytes(b"a;b\n" * 50_000)
    (made / "empty").write_bytes(b"")
    (made / "noise").write_bytes(os.urandom(300_000))
    return made


@pytest.fixture
def archive(folder, tmp_path):
    path = tmp_path / "copy.tar.zst"
    pack(folder, path, {"empresa": "default"})
    return path


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_goes_in_comes_out(folder, archive, tmp_path):
    manifest = unpack(archive, tmp_path / "out")
    assert content(tmp_path / "out") == content(folder)
    assert manifest["empresa"] == "default"
    assert manifest_of(archive) == manifest
    assert archive.stat().st_size < 310_000, "compressed"


def test_only_the_owner_reads_it(archive, tmp_path):
    unpack(archive, tmp_path / "out")
    files = [archive, *(p for p in (tmp_path / "out").rglob("*") if p.is_file())]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
    assert oct((tmp_path / "out").stat().st_mode & 0o777) == "0o700"
    with pa.OSFile(str(archive)) as file, pa.CompressedInputStream(file, "zstd") as stream:
        content = io.BytesIO(stream.read())
    with tarfile.open(fileobj=content) as tar:
        names = {(member.uid, member.uname) for member in tar}
    assert names == {(0, "")}


@given(st.floats(0, 1, exclude_max=True), st.booleans())
def test_any_cut_and_any_changed_byte_is_found(tmp_path_factory, where, cut):
    base = tmp_path_factory.mktemp("damage")
    folder = base / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(bytes(range(256)) * 40)
    whole = base / "whole"
    pack(folder, whole, {})
    sound = whole.read_bytes()
    place = int(where * len(sound))
    changed = bytes([sound[place] ^ 0x40])
    broken = sound[:place] + (b"" if cut else changed + sound[place + 1 :])
    path = base / "broken.tar.zst"
    path.write_bytes(broken)
    said = ""
    try:
        unpack(path, base / "out")
    except DamagedArchive as error:
        said = str(error)
    else:
        assert content(base / "out") == content(folder), "a byte that says nothing"
    assert said[:14] in {"", "broken.tar.zst"}


@pytest.mark.parametrize("text", [b"", b"not an archive", b"PK\x03\x04" * 100])
def test_another_file_is_none(tmp_path, text):
    path = tmp_path / "x.tar.zst"
    path.write_bytes(text)
    with pytest.raises(DamagedArchive):
        manifest_of(path)
    with pytest.raises(DamagedArchive):
        unpack(path, tmp_path / "out")


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        manifest_of(tmp_path / "x.tar.zst")


def forged(path, members, files):
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.CompressedOutputStream(file, "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for name, text in [(MANIFEST, json.dumps({"arquivos": files}).encode()), *members]:
            info = tarfile.TarInfo(name)
            if text is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(text)
            tar.addfile(info, io.BytesIO(text or b""))


SUM = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # of "a"


@pytest.mark.parametrize(
    ("members", "files"),
    [
        ([("../out_of_it", b"a")], {"../out_of_it": SUM}),
        ([("/tmp/absolute", b"a")], {"/tmp/absolute": SUM}),
        ([("link", None)], {"link": SUM}),
        ([("more", b"a")], {}),
        ([], {"less": SUM}),
        ([("twice", b"a"), ("twice", b"a")], {"twice": SUM}),
        ([("other", b"b")], {"other": SUM}),
    ],
)
def test_a_forged_archive_writes_nothing_outside(tmp_path, members, files):
    path = tmp_path / "x.tar.zst"
    forged(path, members, files)
    with pytest.raises(DamagedArchive):
        unpack(path, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) in (["out", "x.tar.zst"], ["x.tar.zst"])
