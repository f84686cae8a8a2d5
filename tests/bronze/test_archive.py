"""An archived file is whole, also when the process died while it was copied."""

from __future__ import annotations

import shutil

import pytest

from crm_assets.bronze.receiving import archive
from crm_resources.ops import Load

LOAD = Load(source="manychat", slice="2026-03-15_0123456789ab", status="landed")


class Killed(BaseException):
    pass


def test_a_copy_that_was_cut_short_is_made_anew(dev_inbox, monkeypatch):
    path = dev_inbox.drop("contatos.csv")

    def half(source, target):
        target.write_bytes(source.read_bytes()[:3])
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", half)
        with pytest.raises(Killed):
            archive(path, dev_inbox.settings, dev_inbox.tenant, LOAD)
    for _ in range(2):
        archive(path, dev_inbox.settings, dev_inbox.tenant, LOAD)
        (name,) = dev_inbox.archived
        kept = dev_inbox.settings.store_folder("default") / "archive" / "manychat" / name
        assert name == "2026-03-15_0123456789ab_contatos.csv"
        assert kept.read_bytes() == path.read_bytes()
        assert kept.stat().st_mode & 0o777 == 0o600


def test_in_prd_the_file_itself_moves(inbox):
    path = inbox.drop("contatos.csv")
    content = path.read_bytes()
    archive(path, inbox.settings, inbox.tenant, LOAD)
    assert not path.exists()
    assert inbox.archived == ["2026-03-15_0123456789ab_contatos.csv"]
    folder = inbox.settings.store_folder("default") / "archive" / "manychat"
    (kept,) = folder.iterdir()
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (content, 0o600)
