"""A restore: what comes back, what stays, and that a kill leaves the old state or the new one."""

import shutil
import threading

import dagster as dg
import pytest
from companies import Company
from lake import NOON

from crm_assets.automation.runs import TENANT_TAG
from crm_assets.bronze.ledger import LOST
from crm_assets.privacy.readmission import readmit
from crm_assets.privacy.tombstones import KeyUnusable, bury, key_path
from crm_assets.safekeeping import restore as module
from crm_assets.safekeeping.backup import back_up
from crm_assets.safekeeping.restore import RestoreError, chosen
from crm_resources.archives import DamagedArchive
from crm_resources.locks import Busy, hold
from crm_resources.ops import Load, NewerStoreError
from crm_resources.ops.inbox import Outcome

pytestmark = pytest.mark.slow


def test_the_warehouse_goes_back_and_what_was_decided_since_stays(company):
    path = company.back_up()
    company.sell("HP3")
    company.decide("b")
    company.post("e2")
    newer = company.receive("2026-03-09_0123456789ab", "nome\nJo\n")
    done = company.restore(path)
    assert company.sold == ["HP1", "HP2"]
    assert company.decided == ["a", "b"]
    assert {event.event_key for event in company.ops.events()} == {"e1", "e2"}
    assert newer.exists()
    assert done.added == {}
    assert (done.now["bronze.hotmart_transactions"], done.files) == (3, 0)
    import duckdb

    with duckdb.connect(done.aside, read_only=True) as con:
        assert con.sql("SELECT count(*) FROM bronze.hotmart_transactions").fetchone() == (3,)
    assert not (company.folder / ".restore").exists()


def test_on_an_empty_machine_everything_comes_back(company, tmp_path, instance):
    company.passphrase = "frase"
    bury(company.site.settings, company.site.tenant, company.ops, [("email", "bia@example.com")])
    path = company.back_up(environ={"HOTMART_CLIENT_SECRET": "s"})
    other = Company(tmp_path / "other", instance, passphrase="frase")
    done = other.restore(path, configuration_to=tmp_path / "config")
    assert (other.sold, other.decided) == (["HP1", "HP2"], ["a"])
    assert [event.event_key for event in other.ops.events()] == ["e1"]
    assert [load.slice for load in other.ops.loads()] == ["2026-03-01_0123456789ab"]
    assert (other.folder / "raw/manychat/2026-03-01_0123456789ab.csv").exists()
    key = key_path(company.site.settings, company.site.tenant)
    assert key_path(other.site.settings, other.site.tenant).read_text() == key.read_text()
    assert other.ops.tombstones() == company.ops.tombstones()
    assert done.aside is None
    assert [file.name for file in done.written] == [".env"]
    partitions = other.site.partitions.files_of["manychat"].name
    assert "2026-03-01_0123456789ab" in instance.get_dynamic_partitions(partitions)


def test_events_processed_since_wait_again(company):
    path = company.back_up()
    (event,) = company.ops.events()
    company.ops.settle([Outcome(id=event.id, state="processed")], NOON)
    company.restore(path)
    assert [event.state for event in company.ops.events()] == ["pending"]


def test_events_processed_before_stay_so(company):
    from datetime import timedelta

    (event,) = company.ops.events()
    company.ops.settle([Outcome(id=event.id, state="processed")], NOON - timedelta(hours=1))
    path = company.back_up()
    company.restore(path)
    assert [event.state for event in company.ops.events()] == ["processed"]


def test_whoever_was_erased_since_does_not_come_back(company):
    path = company.back_up()
    bury(company.site.settings, company.site.tenant, company.ops, [
        ("email", "ana@example.com"), ("email", "hp1@example.com"), ("sale", "HP1"),
    ])  # fmt: skip
    shutil.rmtree(company.folder / "raw")
    company.restore(path)
    held = company.warehouse.read(
        "SELECT transaction, buyer_email FROM bronze.hotmart_transactions ORDER BY ALL"
    ).rows()
    assert held == [("HP1", None), ("HP2", "hp2@example.com")]
    assert (company.folder / "raw/manychat/2026-03-01_0123456789ab.csv").read_text() == (
        "nome;email\n\n"
    )
    content = (company.folder / "warehouse.duckdb").read_bytes()
    assert b"hp1@example.com" not in content
    assert b"hp2@example.com" in content


def test_who_was_readmitted_since_stays_so_and_what_was_erased_stays_away(company):
    """The backup holds both the person and, made after the erasure, her tombstones."""
    before = company.back_up()
    bury(company.site.settings, company.site.tenant, company.ops, [
        ("email", "ana@example.com"), ("email", "hp1@example.com"), ("sale", "hp1"),
    ])  # fmt: skip
    buried = company.back_up()
    readmit(company.site, {"email": "ana@example.com"}, actor="dpo", reason="pedido 31")
    standing = company.ops.tombstones()
    assert sorted(standing.values()) == ["key", "sale"]
    shutil.rmtree(company.folder / "raw")
    for path in (before, buried):
        company.restore(path)
        assert company.ops.tombstones() == standing
        content = (company.folder / "warehouse.duckdb").read_bytes()
        assert b"hp1@example.com" not in content, "erased before she was readmitted"
        raw = company.folder / "raw/manychat/2026-03-01_0123456789ab.csv"
        assert "ana@" not in raw.read_text()
    company.sell("HP1")
    company.restore(company.back_up())
    content = (company.folder / "warehouse.duckdb").read_bytes()
    assert b"hp1@example.com" not in content, "the sale of before is nobody's for good"
    company.sell("HP9")
    bury(company.site.settings, company.site.tenant, company.ops, [("email", "ana@example.com")])
    company.restore(buried)
    assert sorted(company.ops.tombstones().values()) == ["email", "key", "sale"]


@pytest.mark.slow
def test_rows_of_the_store_come_back_without_whoever_was_erased(company, tmp_path, instance):
    from crm_resources.ops import Action

    company.ops.append_actions([
        Action(kind="opt_out", idempotency_key="o:1", email_key="ana@example.com",
               reason="ana@example.com pediu", at=NOON),
    ])  # fmt: skip
    path = company.back_up()
    other = Company(tmp_path / "other", instance)
    bury(other.site.settings, other.site.tenant, other.ops, [("email", "ana@example.com")])
    other.restore(path)
    log = other.ops.actions()
    assert log["email_key"].to_list() == [None, None]
    assert log["reason"].to_list() == [None, "(apagado a pedido da pessoa)"]


def test_the_action_log_is_read_again_even_if_no_time_has_passed(company):
    """Decisions of the very moment of the backup are newer than it, whatever the clock says."""
    company.ops.record_load(Load(source="actions", slice="all", status="landed"))
    company.restore(company.back_up())
    (load,) = company.ops.loads("actions")
    assert (load.status, load.reason) == ("received", LOST)


def test_an_import_undone_since_stays_undone(company):
    slice_key = "2026-03-01_0123456789ab"
    with company.warehouse.write("teste") as tx:
        tx.execute(
            "INSERT INTO bronze.manychat_contacts (line, email, slice) "
            "VALUES (2, 'ana@example.com', ?)", [slice_key],
        )  # fmt: skip
    path = company.back_up()
    company.ops.record_load(
        Load(source="manychat", slice=slice_key, status="undone", content_sha256=slice_key, at=NOON)
    )
    raw = company.folder / "raw" / "manychat" / f"{slice_key}.csv"
    raw.unlink()
    company.restore(path)
    assert company.warehouse.read("FROM bronze.manychat_contacts").is_empty()
    assert not raw.exists()


def test_a_rehearsal_changes_nothing(company):
    path = company.back_up()
    company.sell("HP3")
    told = company.restore(path, dry_run=True)
    assert company.sold == ["HP1", "HP2", "HP3"]
    assert told.taken_at == NOON
    assert not (company.folder / "backups").exists()
    assert not (company.folder / ".restore").exists()


def test_a_folder_means_its_newest_backup(company, tmp_path):
    folder = tmp_path / "copies"
    path = company.back_up(target=folder)
    older = folder / "crm_prd_default_20200101T000000Z.tar.zst"
    shutil.copy(path, older)
    assert chosen(company.site, folder) == path
    assert chosen(company.site, older) == older
    (tmp_path / "empty").mkdir()
    with pytest.raises(RestoreError, match="não tem cópia de segurança"):
        chosen(company.site, tmp_path / "empty")


def test_a_warehouse_that_does_not_open_any_more_is_replaced(company):
    path = company.back_up()
    (company.folder / "warehouse.duckdb").write_bytes(b"broken" * 5000)
    (company.folder / "warehouse.duckdb.wal").write_bytes(b"of the broken one")
    done = company.restore(path)
    assert company.sold == ["HP1", "HP2"]
    assert done.now == {}
    assert done.aside.read_bytes().startswith(b"broken")


def test_an_operations_store_that_does_not_open_stops_everything(company):
    from crm_resources.ops import StoreUnavailableError

    path = company.back_up()
    company.sell("HP3")
    (company.folder / "ops.sqlite").write_bytes(b"broken" * 5000)
    with pytest.raises(StoreUnavailableError, match="banco de operações"):
        company.restore(path)
    assert company.sold == ["HP1", "HP2", "HP3"]


# Refusals


def test_a_damaged_backup_changes_nothing(company):
    path = company.back_up()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    company.sell("HP3")
    with pytest.raises(DamagedArchive, match="não é uma cópia de segurança inteira"):
        company.restore(path)
    assert company.sold == ["HP1", "HP2", "HP3"]


def test_a_backup_of_another_company_or_environment_is_refused(company):
    from dataclasses import replace

    from lake import site as site_at

    path = company.back_up()
    acme = site_at(home=company.home)
    acme = replace(acme, tenant=acme.tenant.model_copy(update={"slug": "acme"}))
    with pytest.raises(RestoreError, match="é de default em prd, e não de acme em prd"):
        module.restore(acme, path, company.instance)


@pytest.mark.slow
@pytest.mark.parametrize("lock", ["run.lock", "refine.lock", "backup.lock"])
def test_it_is_refused_while_anything_works(company, lock):
    path, refused = company.back_up(), []

    def attempt():
        try:
            company.restore(path)
        except Busy as busy:
            refused.append(str(busy))

    with hold(company.folder / lock, "outra coisa", 0):
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert "outra coisa" in refused[0]


@pytest.mark.slow
def test_it_is_refused_while_dagster_runs_something(company, tmp_path):
    path = company.back_up()

    @dg.job
    def ingest():
        pass

    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(
            ingest, status=dg.DagsterRunStatus.STARTED, tags={TENANT_TAG: "default"}
        )
        with pytest.raises(RestoreError, match="em andamento no Dagster"):
            module.restore(company.site, path, instance)
        instance.report_run_failed(run)
        module.restore(company.site, path, instance)


def test_it_is_refused_while_an_erasure_is_not_ended(company):
    path = company.back_up()
    (company.folder / "erasure.json").write_text(
        '{"number": "1", "surrogates": {}, "actor": "", "reason": "", "began_at": "", "found": {},'
        '"destinations": [], "requests": [], "people": {"records": [], "customers": [],'
        '"values": [], "texts": [], "sources": [], "shared": false}}'
    )
    with pytest.raises(RestoreError, match="--resume"):
        company.restore(path)


def test_without_the_key_of_its_tombstones_it_is_refused(company, tmp_path, instance):
    bury(company.site.settings, company.site.tenant, company.ops, [("email", "bia@example.com")])
    path = company.back_up()
    other = Company(tmp_path / "other", instance)
    with pytest.raises(RestoreError, match="uma chave que não está aqui"):
        other.restore(path)
    assert not (other.folder / "warehouse.duckdb").exists()
    key_path(company.site.settings, company.site.tenant).unlink()
    with pytest.raises((RestoreError, KeyUnusable)):
        company.restore(path)


@pytest.mark.slow
def test_a_backup_of_a_newer_program_is_refused(company, monkeypatch):
    import sqlite3
    from contextlib import closing

    from crm_assets.safekeeping import backup

    copy = backup._copy

    def newer(*arguments):
        taken_at = copy(*arguments)
        with closing(sqlite3.connect(arguments[2] / "ops.sqlite")) as con:
            con.execute("UPDATE alembic_version SET version_num = '9999'")
            con.commit()
        return taken_at

    monkeypatch.setattr(backup, "_copy", newer)
    path = back_up(company.site, {}).path
    with pytest.raises(NewerStoreError, match="atualize o programa"):
        company.restore(path)
    assert company.sold == ["HP1", "HP2"]


# The whole


@pytest.mark.slow
def test_a_round_after_a_restore_reads_again_what_came_since(finished):
    made = back_up(finished.site, {}).path
    (finished.inbox / "novo.csv").write_text("nome;email\nNova;nova@example.com\n")
    finished.green()
    before = finished.rows("SELECT * EXCLUDE last_contact_at FROM silver.customers ORDER BY ALL")
    module.restore(finished.site, made, finished.instance)
    done = finished.green()
    assert done.lost > 0
    after = finished.rows("SELECT * EXCLUDE last_contact_at FROM silver.customers ORDER BY ALL")
    names = [{k: v for k, v in row.items() if k != "customer_id"} for row in after]
    assert names == [{k: v for k, v in row.items() if k != "customer_id"} for row in before]


# The command


@pytest.fixture
def crm(company):
    from typer.testing import CliRunner

    from crm_cli.app import app

    environ = {
        "ENVIRONMENT": "prd",
        "CRM_HOME": str(company.home),
        "CRM_NOW": NOON.isoformat(),
        "CRM_TENANTS": "",
        "DAGSTER_HOME": "",
    }

    def call(*arguments, **more):
        return CliRunner().invoke(app, [*arguments], env=environ, **more)

    return call


@pytest.mark.slow
def test_the_command_compares_asks_and_restores(crm, company):
    path = company.back_up()
    company.sell("HP3")
    told = crm("restore", str(path.parent), "--dry-run")
    assert told.exit_code == 0, told.output
    assert f"{path.name}: inteira, de 15/03/2026 12:00" in told.output
    assert "hotmart_transactions" in told.output
    assert "Nada foi mudado." in told.output
    assert crm("restore", str(path), "--no-run", input="n\n").exit_code == 1
    assert company.sold == ["HP1", "HP2", "HP3"]
    told = crm("restore", str(path), "--no-run", "--yes")
    assert told.exit_code == 0, told.output
    assert "O banco voltou a 15/03/2026 12:00." in told.output
    assert "crm run" in told.output
    assert company.sold == ["HP1", "HP2"]


@pytest.mark.slow
def test_the_command_cleans_up(crm, company):
    assert "eventos arquivados: 0" in crm("cleanup").output
    rehearsed = crm("cleanup", "--dry-run").output
    assert "nada foi mudado; chegados antes de 15/03/2025:" in rehearsed
    assert "corpos a descartar: 0" in rehearsed
    company.ops.settle([Outcome(id=company.ops.events()[0].id, state="processed")], NOON)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_NOW", "2027-06-01T09:00:00-03:00")
        from typer.testing import CliRunner

        from crm_cli.app import app

        environ = {"ENVIRONMENT": "prd", "CRM_HOME": str(company.home), "CRM_TENANTS": ""}
        told = CliRunner().invoke(app, ["cleanup"], env=environ)
    assert "eventos arquivados: 1" in told.output
