"""`crm run`, `crm demo` and `crm status`: what is said, and the exit code."""

import shutil
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from world import SAMPLE

from crm_cli import app, demo
from crm_resources.hotmart.sandbox import Faults
from crm_resources.locks import hold


@contextmanager
def held(path):
    """Somebody else holds a lock."""
    started, released = threading.Event(), threading.Event()

    def other():
        with hold(path, "crm run", 0):
            started.set()
            released.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    started.wait(30)
    try:
        yield released
    finally:
        released.set()
        thread.join()


def test_a_run_tells_what_it_did_quietly_and_ends_with_0(ran):
    said = ran("run")
    assert (said.code, said.err) == (0, "")
    for line in (
        "Escola Aurora (default, prd)",
        "✓ hotmart 2025-12-01 a 2026-03-01 (4)",
        "✓ manychat nada novo",
        "✓ refine",
        "Clientes: 33 (13 compraram, 10 em mais de uma fonte",
        "Público Gestão de ILPI: 6 pessoas, LTV 2.770,00 BRL, mais 1 só em outra moeda",
        "Público Estética: 6 pessoas, LTV 3.562,30 BRL, mais 1 só em outra moeda",
        "Lote de 15/03/2026: 19 entregue",
        "manychat data_ilegivel: 1",
    ):
        assert line in said.out
    assert "\x1b" not in said.out
    assert "@" not in said.out, "no person is shown"
    assert f"  arquivos em {ran.home}/output/prd/default" in said.out.splitlines()


@pytest.mark.parametrize("home", ["crm", "ran"])
def test_a_dry_run_writes_nothing_at_all(request, home, tree):
    crm = request.getfixturevalue(home)
    if home == "ran":
        (crm.home / "input" / "manychat" / "novo.csv").write_text("email\na@example.com\n")
    before = tree(crm.home)
    said = crm("run", "--dry-run")
    assert said.code == 0
    assert "nada será lido nem gravado" in said.out
    assert tree(crm.home) == before
    if home == "ran":
        assert "hotmart 2025-12-01 a 2026-03-01 (4): cerca de 8 chamadas" in said.out
        assert "arquivo novo.csv: será importado" in said.out
    else:
        assert not crm.home.exists()


def test_a_dry_run_knows_files_that_were_imported_or_refused(ran):
    inbox = ran.home / "input" / "manychat"
    shutil.copy(SAMPLE / "input" / "manychat" / "contatos_api.csv", inbox / "de novo.csv")
    assert "arquivo de novo.csv: já importado" in ran("run", "--dry-run").out


def test_only_some_stages(ran):
    said = ran("run", "--only", "manychat,refine")
    assert said.code == 0
    assert "hotmart" not in said.out.split("Clientes")[0].replace("silver", "")
    assert "✓ manychat nada novo" in said.out
    assert "✓ refine" in said.out


@pytest.mark.parametrize("only", ["hotmart,nada", "", " , ", "Refine"])
def test_an_unknown_stage_is_wrong_use(crm, only):
    said = crm("run", "--only", only)
    assert said.code == 2
    assert "--only aceita hotmart, manychat, actions, refine" in " ".join(said.err.split())


def test_an_unknown_tenant_is_wrong_use(crm):
    said = crm("run", "--tenant", "acme")
    assert said.code == 2
    assert "não existe a empresa 'acme'" in said.err


@pytest.mark.parametrize("command", [["run"], ["status"], ["doctor"], ["export", "audience", "x"]])
def test_a_wrong_environment_is_wrong_use_and_named(crm, command):
    said = crm(*command, ENVIRONMENT="producao")
    assert said.code == 2
    assert "ENVIRONMENT precisa ser dev, hml ou prd, não 'producao'." in said.err
    assert not crm.home.exists()


def test_a_fault_in_the_tenant_file_keeps_its_place_in_the_message(crm, tmp_path):
    file = tmp_path / "tenants.toml"
    file.write_text("[tenants.acme]\ncurrency = 'real'\n")
    said = crm("run", CRM_TENANTS=str(file))
    assert (said.code, said.out) == (2, "")
    assert "tenants.acme.currency: precisa ser o código de uma moeda" in said.err


def test_a_missing_credential_is_named_and_refine_is_done(ran, sandbox):
    sandbox.sandbox.answers.clear()
    said = ran("run", HOTMART_CLIENT_SECRET="")
    assert said.code == 1
    assert "Falta HOTMART_CLIENT_SECRET" in said.err
    assert "O resultado usa dados antigos de: hotmart_transactions (0 min)" in said.err
    assert "✗ hotmart" in said.out
    assert "✓ refine" in said.out
    assert sandbox.sandbox.answers.total() == 0
    shown = ran("status")
    assert "falhou hotmart: Falta HOTMART_CLIENT_SECRET" in shown.out
    assert ran("run", "--only", "hotmart").code == 0
    assert "falhou" not in ran("status").out


def test_a_failed_source_is_an_exit_code(ran, sandbox):
    sandbox.sandbox.faults = Faults(forbidden=True)
    said = ran("run", "--only", "hotmart")
    assert said.code == 1
    assert "não tem acesso" in said.err


def test_a_second_run_at_once_is_refused_with_the_holder_named_or_waits(ran):
    with held(ran.store / "run.lock") as released:
        said = ran("run", "--only", "manychat")
        assert said.code == 1
        assert "run.lock está em uso por «crm run» (processo" in said.err
        assert "em andamento: «crm run»" in ran("status").out
        threading.Timer(0.5, released.set).start()
        assert ran("run", "--only", "manychat", "--wait", "30").code == 0


def test_a_tenant_that_fails_does_not_stop_the_next(crm, tmp_path):
    file = tmp_path / "tenants.toml"
    file.write_text("[tenants.default]\n[tenants.acme]\nname = 'Acme [SA]'\n")
    with held(crm.store / "run.lock"):
        said = crm("run", "--only", "manychat", CRM_TENANTS=str(file))
    assert said.code == 1
    assert "run.lock está em uso" in said.err
    assert "Acme [SA] (acme, prd)" in said.out
    assert said.out.count("✓ manychat nada novo") == 1


def test_hml_announces_its_wait_which_can_be_interrupted(crm, monkeypatch):
    waited = []

    def interrupted(seconds):
        waited.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "time", SimpleNamespace(sleep=interrupted))
    said = crm("run", ENVIRONMENT="hml")
    assert waited == [10]
    assert "Ambiente hml: a rodada começa em 10 s (Ctrl+C cancela)." in said.out
    assert said.code != 0
    assert not crm.home.exists()


@pytest.mark.parametrize("environment", ["prd", "dev"])
def test_elsewhere_nothing_waits(ran, monkeypatch, environment):
    monkeypatch.setattr(app, "time", SimpleNamespace())
    assert ran("run", "--only", "actions", ENVIRONMENT=environment).code == 0


def test_status_before_the_first_round_says_what_to_do(crm):
    said = crm("status")
    assert said.code == 0
    assert "Nenhuma rodada ainda: comece com `uv run crm run`." in said.out
    assert not crm.home.exists()


def test_status_shows_ages_and_the_batch(ran):
    said = ran("status", CRM_NOW="2026-03-18T10:00:00-03:00")
    assert said.code == 0
    assert "hotmart_transactions  15/03/2026 09:00  3 dias" in said.out
    assert "Clientes: 33" in said.out
    assert "Lote de 18/03/2026: ninguém" in said.out


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of its own, so that the demo's data folder is not ours."""
    folder = tmp_path / "checkout"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "sample").symlink_to(SAMPLE)
    (folder / "dagster.yaml").symlink_to(demo.CHECKOUT / "dagster.yaml")
    monkeypatch.setattr(demo, "CHECKOUT", folder)
    return folder


@pytest.mark.slow
def test_the_demo_can_be_run_again_and_leaves_nothing_elsewhere(crm, checkout):
    elsewhere = {"CRM_OPS_URL": f"sqlite:///{checkout}/outra.sqlite", "SCHEDULE_TIME": "99:99"}
    first = crm("demo", **elsewhere)
    assert (first.code, first.err) == (0, "")
    assert "bronze.hotmart_transactions 29" in first.out
    assert "crm export audience ilpi --format excel-csv" in first.out
    second = crm("demo", **elsewhere)
    assert (second.code, second.err) == (0, "")
    assert "arquivo contatos_api.csv: conteúdo já importado" in second.out
    assert "Clientes: 33" in first.out
    assert "Clientes: 33" in second.out
    assert {path.name for path in checkout.iterdir()} == {"data", "dagster.yaml"}
    assert {path.name for path in (checkout / "data").iterdir()} == {"sample", "demo"}
    assert not crm.home.exists()
