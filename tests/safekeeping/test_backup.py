"""A backup: what is in it, that it is compared before it counts, and what stops it."""

import json
import threading
from datetime import timedelta

import pytest
from companies import Company, mode
from lake import NOON

from crm_assets.safekeeping import backup as module
from crm_assets.safekeeping.backup import BackupError, backups_of
from crm_assets.safekeeping.configuration import (
    KEY,
    SECRETS,
    WrongPassphrase,
    lay_out,
    open_secrets,
)
from crm_assets.safekeeping.contents import contents_of, differences
from crm_resources.archives import manifest_of, unpack
from crm_resources.locks import Busy, hold

pytestmark = pytest.mark.slow

ENVIRON = {
    "HOTMART_CLIENT_SECRET": "canário-secreto",
    "HOTMART_CLIENT_ID": "id",
    "ACME_HOTMART_CLIENT_SECRET": "de-outra-empresa",
    "SMTP_PASSWORD": "é'esta\\aqui #1",
    "CRM_BACKUP_PASSPHRASE": "frase longa",
    "CRM_NOW": "2026-03-15T09:00:00-03:00",
    "PATH": "/bin",
}


def test_everything_of_the_company_is_in_it(company, tmp_path):
    path = company.back_up()
    assert path.parent == company.home / "backups" / "prd" / "default"
    assert path.name == f"crm_prd_default_{NOON:%Y%m%dT%H%M%SZ}.tar.zst"
    assert (mode(path), mode(path.parent)) == ("0o600", "0o700")
    manifest = unpack(path, tmp_path / "out")
    files = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert files == {
        "warehouse.duckdb", "ops.sqlite", "raw/manychat/2026-03-01_0123456789ab.csv",
    }  # fmt: skip
    assert manifest["tabelas"] == contents_of(tmp_path / "out")
    assert manifest["tabelas"]["ops.sqlite"]["actions"][0] == 1
    assert manifest["segredos"] is False
    assert not (company.folder / ".backup").exists()
    (record,) = company.ops.exports()
    assert (record.kind, record.destination) == ("copia_de_seguranca", path.name)


def test_another_folder_may_hold_it_and_is_told_in_the_register(company, tmp_path):
    path = company.back_up(target=tmp_path / "disco")
    assert path.parent == tmp_path / "disco"
    assert company.ops.exports()[0].destination == str(path)
    assert backups_of(company.site, tmp_path / "disco") == [path]


def test_two_of_one_instant_are_two_files(company):
    first = company.back_up()
    held = first.read_bytes()
    second = company.back_up()
    assert second.name == first.name.replace(".tar", "_2.tar")
    assert first.read_bytes() == held
    assert backups_of(company.site, first.parent) == [first, second]
    assert [export.destination for export in company.ops.exports()] == [first.name, second.name]


def test_the_backups_of_a_company_are_told_from_those_of_others(company, tmp_path):
    mine = ["crm_prd_default_20260101T000000Z.tar.zst", "crm_prd_default_20260201T000000Z.tar.zst",
            "crm_prd_default_20260201T000000Z_2.tar.zst",
            "crm_prd_default_20260201T000000Z_10.tar.zst"]  # fmt: skip
    others = [
        "crm_prd_default_two_20260301T000000Z.tar.zst",
        "crm_dev_default_20260301T000000Z.tar.zst",
        ".crm_prd_default_20260301T000000Z.tar.zst.tmp",
        "notes.txt",
    ]
    for name in (*mine, *others):
        (tmp_path / name).touch()
    assert [path.name for path in backups_of(company.site, tmp_path)] == mine


def test_a_company_without_data_has_no_backup(tmp_path, instance):
    with pytest.raises(BackupError, match="nenhuma rodada"):
        Company(tmp_path, instance).back_up()


def test_what_was_written_wrongly_is_thrown_away(company, monkeypatch):
    def pack_half(folder, archive, about):
        manifest = pack(folder, archive, about)
        archive.write_bytes(archive.read_bytes()[:-2000])
        return manifest

    pack = module.pack
    monkeypatch.setattr(module, "pack", pack_half)
    with pytest.raises(RuntimeError, match="cortado"):
        company.back_up()
    assert list((company.home / "backups").rglob("*.*")) == []
    assert company.ops.exports() == []
    monkeypatch.setattr(module, "pack", pack)
    monkeypatch.setattr(module, "unpack", lambda *_: None)
    with pytest.raises(BackupError, match="não é igual ao que foi copiado"):
        company.back_up()
    assert list((company.home / "backups").rglob("*.*")) == []


def test_differences_name_the_tables():
    one = {"a": {"x": [1, "s"], "y": [2, "t"]}}
    other = {"a": {"x": [1, "r"], "y": [3, "t"], "z": [0, ""]}}
    assert differences(one, other) == ["a: x", "a: y", "a: z"]
    assert differences(one, other, only_rows=True) == ["a: y", "a: z"]
    assert differences(one, one) == []


@pytest.mark.slow
@pytest.mark.parametrize("lock", ["run.lock", "refine.lock", "backup.lock"])
def test_it_waits_for_nobody_unless_told_to(company, lock):
    refused = []

    def attempt():
        try:
            company.back_up()
        except Busy as busy:
            refused.append(str(busy))

    with hold(company.folder / lock, "outra coisa", 0):
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert "outra coisa" in refused[0]
    assert company.back_up().exists()


@pytest.mark.slow
def test_what_a_killed_backup_left_goes_with_the_next(company):
    left = company.folder / ".backup" / "copied"
    left.mkdir(parents=True)
    (left / "warehouse.duckdb").write_text("half")
    folder = company.home / "backups" / "prd" / "default"
    folder.mkdir(parents=True)
    draft = folder / ".crm_prd_default_20260101T000000Z.tar.zst.tmp"
    draft.touch()
    assert company.back_up().exists()
    assert not (company.folder / ".backup").exists()
    assert not draft.exists()


def test_events_that_come_meanwhile_do_not_stop_it(company):
    stop = threading.Event()
    posted = []

    def post():
        while not stop.is_set():
            company.post(f"n{len(posted)}")
            posted.append(1)

    thread = threading.Thread(target=post)
    thread.start()
    try:
        path = company.back_up()
    finally:
        stop.set()
        thread.join()
    inbox = manifest_of(path)["tabelas"]["ops.sqlite"]["inbox"][0]
    assert 1 <= inbox <= len(posted) + 1


# Configuration


def test_without_a_passphrase_no_secret_is_in_it(company, tmp_path):
    path = company.back_up(environ=ENVIRON)
    unpack(path, tmp_path / "out")
    assert not (tmp_path / "out" / "configuracao" / SECRETS).exists()
    assert all(
        "canário-secreto".encode() not in file.read_bytes()
        for file in (tmp_path / "out").rglob("*")
        if file.is_file()
    )


def test_with_a_passphrase_the_secrets_and_the_key_come_back(company, tmp_path):
    from crm_assets.privacy.tombstones import make_key

    key = make_key(company.site.settings, company.site.tenant)
    company.passphrase = "frase longa"
    path = company.back_up(environ=ENVIRON)
    assert manifest_of(path)["segredos"] is True
    unpack(path, tmp_path / "out")
    folder = tmp_path / "out" / "configuracao"
    assert "canário" not in (folder / SECRETS).read_text()
    opened = open_secrets(folder, "frase longa")
    kept = {name: ENVIRON[name] for name in ("HOTMART_CLIENT_SECRET", "HOTMART_CLIENT_ID",
                                             "SMTP_PASSWORD")}  # fmt: skip
    assert opened == {**kept, KEY: key.hex()}
    assert open_secrets(folder, "") == {}
    with pytest.raises(WrongPassphrase, match="CRM_BACKUP_PASSPHRASE"):
        open_secrets(folder, "outra")
    (env,) = lay_out(folder, opened, tmp_path / "config")
    from dotenv import dotenv_values

    assert dotenv_values(env) == kept
    assert mode(env) == "0o600"
    with pytest.raises(FileExistsError):
        lay_out(folder, opened, tmp_path / "config")


@pytest.mark.slow
def test_the_companys_own_table_comes_back_alone(company, tmp_path, monkeypatch):
    import tomllib
    from dataclasses import replace

    file = tmp_path / "tenants.toml"
    file.write_text('[tenants.default]\nname = "Escola"\n[tenants.acme]\nname = "Outra"\n')
    site = company.site
    site = replace(site, settings=replace(site.settings, tenants_file=file))
    path = module.back_up(site, {}).path
    unpack(path, tmp_path / "out")
    text = (tmp_path / "out" / "configuracao" / "tenants.toml").read_text()
    assert tomllib.loads(text) == {"tenants": {"default": {"name": "Escola"}}}


# The command, the job, the terms


def test_the_command_says_where_it_is_and_what_is_missing(company):
    from typer.testing import CliRunner

    from crm_cli.app import app

    environ = {"ENVIRONMENT": "prd", "CRM_HOME": str(company.home), "CRM_NOW": NOON.isoformat(),
               "CRM_TENANTS": ""}  # fmt: skip
    told = CliRunner().invoke(app, ["backup"], env=environ)
    assert told.exit_code == 0, told.output
    assert "crm_prd_default_" in told.output
    assert "conferida" in told.output
    assert "CRM_BACKUP_PASSPHRASE" in told.output
    (company.folder / "warehouse.duckdb").unlink()
    told = CliRunner().invoke(app, ["backup"], env=environ)
    assert told.exit_code == 1


@pytest.mark.slow
def test_the_job_makes_one_and_fails_with_a_sentence(company, monkeypatch):
    from crm_assets.safekeeping import job

    made = job.backup_job(company.site).execute_in_process(instance=company.instance)
    assert made.success
    assert len(backups_of(company.site, company.home / "backups" / "prd" / "default")) == 1
    monkeypatch.setattr(job, "back_up", _fails)
    failed = job.backup_job(company.site).execute_in_process(
        instance=company.instance, raise_on_error=False
    )
    assert not failed.success
    told = failed.failure_data_for_node("default__backup").user_failure_data.description
    assert told == "o disco está cheio"


def _fails(*_, **__):
    raise BackupError("o disco está cheio")


@pytest.mark.parametrize(("age", "goes"), [(34, False), (35, True)])
def test_a_backup_goes_after_35_days(company, age, goes):
    import os

    from crm_assets.privacy.retention import COPIES, clear_expired

    path = company.back_up()
    at = (NOON - timedelta(days=age)).timestamp()
    os.utime(path, (at, at))
    assert clear_expired(company.site, company.ops, company.instance)[COPIES] == int(goes)
    assert path.exists() is not goes


def test_the_manifest_is_plain_json(company):
    assert json.dumps(manifest_of(company.back_up()))
