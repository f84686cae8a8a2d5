"""`crm run`, `crm demo` and `crm status`: what is said, and the exit code."""

import base64
import shutil
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from receivers import smtp_server, webhook_receiver
from world import SAMPLE

from crm_assets.plan import HOTMART_SOURCES, SOURCES_OF
from crm_assets.rounds import STAGES
from crm_cli import app, demo, dev
from crm_resources.hotmart import SALES_USERS
from crm_resources.hotmart.sandbox import Faults
from crm_resources.hotmart.sandbox_faults import Problem
from crm_resources.locks import hold
from crm_resources.ops import OpsStore


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


@pytest.mark.slow
def test_a_run_tells_what_it_did_quietly_and_ends_with_0(ran):
    said = ran("run")
    assert (said.code, said.err) == (0, "")
    for line in (
        "Escola Aurora (default, prd)",
        "✓ hotmart 2025-12-01 a 2026-03-01 (4)",
        "✓ manychat nada novo",
        "✓ refine",
        "Clientes: 50 (27 compraram, 11 em mais de uma fonte",
        "Público Gestão de ILPI: ",
        "Público Estética: ",
        "Lote de 15/03/2026: 19 entregues",
        "manychat data_ilegivel: 1",
    ):
        assert line in said.out
    assert "\x1b" not in said.out
    assert "@" not in said.out, "no person is shown"
    assert "primeira carga" not in said.out
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
        calls = 4 * len(HOTMART_SOURCES)
        assert f"hotmart 2025-12-01 a 2026-03-01 (4): cerca de {calls} chamadas" in said.out
        assert "arquivo novo.csv: será importado" in said.out
    else:
        assert not crm.home.exists()


def test_a_dry_run_knows_files_that_were_imported_or_refused(ran):
    inbox = ran.home / "input" / "manychat"
    shutil.copy(SAMPLE / "input" / "manychat" / "contatos_api.csv", inbox / "de novo.csv")
    assert "arquivo de novo.csv: já importado" in ran("run", "--dry-run").out


@pytest.mark.parametrize("only", ["hotmart,nada", "", " , ", "Refine"])
def test_an_unknown_stage_is_wrong_use(crm, only):
    said = crm("run", "--only", only)
    assert said.code == 2
    told = " ".join(said.err.replace("│", " ").split())
    assert f"--only aceita {', '.join(STAGES)}, não" in told


def test_an_unknown_tenant_is_wrong_use(crm):
    said = crm("run", "--tenant", "acme")
    assert said.code == 2
    assert said.err == ("Não existe a empresa 'acme'; existem: default; veja `crm run --help`.\n")


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


@pytest.mark.slow
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
    assert ran("run", "--only", "hotmart,subscriptions").code == 0
    assert "falhou" not in ran("status").out


def test_a_failed_source_is_an_exit_code(ran, sandbox):
    sandbox.sandbox.faults = Faults(forbidden=True)
    said = ran("run", "--only", "hotmart")
    assert said.code == 1
    assert "não tem acesso" in said.err


LATER = {"CRM_NOW": "2026-03-18T09:00:00-03:00"}


@pytest.mark.slow
def test_a_refused_credential_names_every_source_that_is_stale_and_its_age(ran):
    said = ran("run", HOTMART_CLIENT_SECRET="segredo-errado", **LATER)
    assert said.code == 1
    assert "✓ refine" in said.out
    sources = (*HOTMART_SOURCES, *SOURCES_OF["subscriptions"])
    stale = ", ".join(f"{source} (3 dias)" for source in sources)
    assert f"O resultado usa dados antigos de: {stale}\n" in said.err
    assert "segredo-errado" not in said.out + said.err


@pytest.mark.slow
def test_one_endpoint_that_fails_is_the_only_stale_source(ran, sandbox, monkeypatch):
    answer = sandbox.sandbox._answer

    def without_users(endpoint, view, request):
        if endpoint is SALES_USERS:
            raise Problem(403, "unauthorized_client")
        return answer(endpoint, view, request)

    monkeypatch.setattr(sandbox.sandbox, "_answer", without_users)
    said = ran("run", **LATER)
    assert said.code == 1
    assert "O resultado usa dados antigos de: hotmart_customers (3 dias)\n" in said.err
    assert "✓ refine" in said.out
    assert "falhou hotmart: 4 de 4 partições de bronze.hotmart_customers" in ran("status").out


def alerting(receiver, box):
    return {
        "ALERT_EMAILS": "dona@example.com",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(box.port),
        "SMTP_SECURE": "none",
        "SMTP_SENDER_EMAIL": "crm@example.com",
        "ALERT_WEBHOOK_URL": receiver.url,
        "ALERT_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"0" * 32).decode(),
    }


@pytest.mark.slow
def test_an_alert_that_does_not_go_out_is_told_by_the_run_and_by_status(ran):
    with webhook_receiver() as receiver, smtp_server() as box:
        receiver.answers = [503]
        said = ran("run", "--only", "hotmart", HOTMART_CLIENT_ID="", **alerting(receiver, box))
        assert said.code == 1
        assert "O alerta por webhook não saiu: ALERT_WEBHOOK_URL respondeu 503." in said.err
        assert "Falta HOTMART_CLIENT_ID" in box.mails[0].get_content()
        shown = ran("status", **alerting(receiver, box)).out
        assert "alerta não saiu webhook sobre hotmart: ALERT_WEBHOOK_URL respondeu 503" in shown
        assert "caminho-secreto" not in said.out + said.err + shown


def test_a_test_of_the_alerts_goes_through_every_channel(crm):
    with webhook_receiver() as receiver, smtp_server() as box:
        environ = alerting(receiver, box)
        said = crm("alerts", "test", **environ)
        assert (said.code, said.err) == (0, "")
        assert "e-mail: enviado" in said.out
        assert "webhook: enviado" in said.out
        assert "nada falhou" in box.mails[0].get_content()
        receiver.answers = [404]
        box.data = "554 no"
        said = crm("alerts", "test", **environ)
    assert said.code == 1
    assert said.err.splitlines() == [
        "  e-mail: o servidor SMTP recusou a mensagem (554).",
        "  webhook: ALERT_WEBHOOK_URL respondeu 404.",
    ]
    assert not crm.home.exists()


def test_a_test_without_channels_says_what_to_fill_in(crm):
    said = crm("alerts", "test")
    assert said.code == 1
    assert "Nenhum canal configurado: preencha ALERT_EMAILS" in said.err


@pytest.mark.parametrize("text", ["2h", "25:00", "02:00:30", "2:00"])
def test_dev_refuses_a_wrong_schedule_time_before_it_starts(crm, text):
    said = crm("dev", SCHEDULE_TIME=text)
    assert (said.code, said.out) == (2, "")
    assert "SCHEDULE_TIME" in said.err
    assert not crm.home.exists()


@pytest.mark.parametrize("text", ["00:00", "00:00:00"])
def test_dev_says_the_environment_and_the_next_round_of_each_tenant(crm, monkeypatch, text):
    started = []
    process = SimpleNamespace(wait=lambda: 0, send_signal=lambda number: None)
    popen = SimpleNamespace(
        Popen=lambda *command, **more: started.append([*command, more]) or process
    )
    monkeypatch.setattr(dev, "subprocess", popen)
    said = crm("dev", SCHEDULE_TIME=text)
    assert said.code == 0
    tomorrow = datetime.now(ZoneInfo("America/Sao_Paulo")) + timedelta(days=1)
    assert "http://127.0.0.1:3000 (ambiente prd)" in said.out
    assert (
        f"Escola Aurora (default): próxima rodada em {tomorrow:%d/%m/%Y} às 00:00 "
        "(America/Sao_Paulo)."
    ) in said.out
    (_, dagster), (web, _) = started
    assert dagster["env"]["CRM_SCHEDULES_ON"] == "1"
    assert web[-4:] == ["crm_cli", "serve", "--port", "3333"]


def test_a_second_run_at_once_is_refused_with_the_holder_named_or_waits(ran):
    with held(ran.store / "run.lock") as released:
        said = ran("run", "--only", "manychat")
        assert said.code == 1
        assert "estão em uso por «crm run» (processo" in said.err
        assert "espere terminar, ou diga com --wait quantos segundos esperar.\n" in said.err
        assert "em andamento: «crm run»" in ran("status").out
        threading.Timer(0.5, released.set).start()
        assert ran("run", "--only", "manychat", "--wait", "30").code == 0


def test_a_tenant_that_fails_does_not_stop_the_next(crm, tmp_path):
    file = tmp_path / "tenants.toml"
    file.write_text("[tenants.default]\n[tenants.acme]\nname = 'Acme [SA]'\n")
    with held(crm.store / "run.lock"):
        said = crm("run", "--only", "manychat", CRM_TENANTS=str(file))
    assert said.code == 1
    assert "estão em uso por" in said.err
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


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["prd", "dev"])
def test_elsewhere_nothing_waits(ran, monkeypatch, environment):
    monkeypatch.setattr(app, "time", SimpleNamespace())
    assert ran("run", "--only", "actions", ENVIRONMENT=environment).code == 0


@pytest.mark.parametrize("command", [("run", "--only", "refine"), ("import", "rejects")])
def test_a_warehouse_that_cannot_be_read_is_one_sentence(crm, command):
    crm.store.mkdir(parents=True)
    (crm.store / "ops.sqlite").touch()
    (crm.store / "warehouse.duckdb").write_bytes(b"estragado" * 2000)
    said = crm(*command)
    assert said.code == 1
    (sentence,) = said.err.splitlines()
    assert sentence.startswith("O banco não pôde ser lido nem gravado (IO Error: ")
    assert sentence.endswith("se o arquivo se estragou, tire-o do lugar e rode `crm restore`.")


def test_status_before_the_first_round_says_what_to_do(crm):
    said = crm("status")
    assert said.code == 0
    assert "Nenhuma rodada ainda: comece com `uv run crm run`." in said.out
    assert not crm.home.exists()


def test_status_shows_ages_and_the_batch(ran):
    said = ran("status", CRM_NOW="2026-03-18T10:00:00-03:00")
    assert said.code == 0
    assert "hotmart_transactions 15/03/2026 09:00 3 dias" in " ".join(said.out.split())
    assert "Clientes: 50" in said.out
    assert "Lote de 18/03/2026: ninguém" in said.out


def test_a_notice_is_no_failure(ran):
    ops = OpsStore(ran.store / "ops.sqlite", "default")
    at = datetime.fromisoformat(ran.environ["CRM_NOW"])
    for kind, detail in (("event_novelty", "evento NOVO."), ("churn_high", "foi de 12,0 %.")):
        ops.open_incident(kind, "x", detail, at)
    ops.open_incident("run_failed", "y", "sem rede.", at)
    said = ran("status")
    assert said.code == 0
    assert "aviso o programa não conhece nomes que a Hotmart manda: evento NOVO. (desde" in said.out
    assert "aviso x: foi de 12,0 %. (desde" in said.out
    assert "falhou y: sem rede. (desde" in said.out


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
    assert "bronze.hotmart_transactions 73" in first.out
    assert "crm export audience ilpi --format excel-csv" in first.out
    second = crm("demo", **elsewhere)
    assert (second.code, second.err) == (0, "")
    assert "arquivo contatos_api.csv: conteúdo já importado" in second.out
    assert "Clientes: 51" in first.out
    assert "Clientes: 51" in second.out
    assert {path.name for path in checkout.iterdir()} == {"data", "dagster.yaml"}
    assert {path.name for path in (checkout / "data").iterdir()} == {"sample", "demo"}
    assert not crm.home.exists()
