"""The commands of people's rights, and the job of what is kept too long: what they say."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest
from lake import NOON, cus, site

from crm_assets.bronze.receiving import raw_path
from crm_assets.privacy.retention import LEADS, OUTPUTS, POSTPONED, RAW, REJECTS
from crm_resources.ops import Load, OpsStore

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
MAIL, PHONE = "a@example.com", "+5511987650001"


@pytest.fixture
def crm(tmp_path):
    """The command over an empty home: exit code, and what it said on one line."""
    from typer.testing import CliRunner

    from crm_cli.app import app

    environ = {"ENVIRONMENT": "prd", "CRM_HOME": str(tmp_path)}

    def run(*arguments, now=NOON):
        given = environ | {"CRM_NOW": now.isoformat()}
        done = CliRunner().invoke(app, arguments, env=given)
        said = f"{done.output} {done.exception or ''}"
        return done.exit_code, " ".join(said.replace("│", " ").split())

    run.site = site(home=tmp_path)
    run.ops = OpsStore(run.site.settings.ops_address("default"), "default")
    return run


CONSENT = ("--channel", "sms", "--wording", "Aceito", "--evidence", "f1")


def test_a_refusal_by_command_is_kept_for_whoever_is_not_known_yet(crm):
    asked = ("opt-out", "11 8765-0001", "--channel", "sms", "--reason", "respondeu SAIR")
    code, said = crm("customers", *asked, "--dry-run")
    assert (code, len(crm.ops.actions())) == (0, 0)
    assert said == (
        "Nada foi registrado; seria: não contatar por sms, para nenhuma finalidade "
        "(e-mails: 0, telefones: 1, clientes: 0)."
    )
    code, said = crm("customers", *asked, "--by", "bia")
    assert code == 0
    assert "vale para quando aparecer" in said
    (action,) = crm.ops.actions().to_dicts()
    assert (action["kind"], action["phone_key"], action["channel"], action["purpose"]) == (
        "opt_out", PHONE, "sms", None,
    )  # fmt: skip
    assert (action["actor"], action["reason"]) == ("bia", "respondeu SAIR")


def test_a_consent_by_command_keeps_the_proof_and_its_day(crm):
    code, said = crm(
        "customers", "consent", MAIL, *CONSENT, "--day", "2026-03-10", "--source", "formulario"
    )
    assert code == 0
    assert "uma recusa feita por outro e-mail ou telefone da mesma pessoa continua" in said
    (action,) = crm.ops.actions().to_dicts()
    assert (action["kind"], action["email_key"], action["purpose"]) == (
        "consent", MAIL, "remarketing",
    )  # fmt: skip
    assert json.loads(action["payload"]) == {
        "wording": "Aceito", "evidence": "f1", "source": "formulario",
        "given_at": "2026-03-10T03:00:00+00:00",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("opt-out", "Ana", "--reason", "SAIR"), "código de um cliente"),
        (("opt-out", MAIL, "--reason", " "), "--reason não pode ficar vazio"),
        (("opt-out", MAIL, "--reason", "SAIR", "--channel", "fax"), "--channel aceita email"),
        (("opt-out", MAIL, "--reason", "SAIR", "--purpose", "x"), "--purpose aceita remarketing"),
        (("opt-out", cus(1), "--reason", "SAIR"), ""),
        (("consent", MAIL, *CONSENT, "--day", "2026-03-16"), "--day não pode"),
        (("consent", MAIL, *CONSENT, "--purpose", "x"), "--purpose aceita remarketing"),
        (("consent", MAIL, "--wording", "Aceito", "--evidence", "f1"), "--channel"),
    ],
)
def test_what_cannot_be_written_down_is_refused(crm, arguments, told):
    code, said = crm("customers", *arguments)
    assert code in {1, 2}
    assert told in said
    assert len(crm.ops.actions()) == 0


def test_the_register_by_command(crm):
    request = ("customers", "request")
    assert crm(*request, "list") == (0, "Nenhum pedido ainda.")
    code, said = crm(
        *request, "open", "Ana@example.com", "--type", "acesso", "--channel", "e-mail",
        "--by", "bia", "--day", "2026-03-01",
    )  # fmt: skip
    assert code == 0
    assert "Pedido 1 (acesso): responder até 16/03/2026." in said
    assert "crm customers request check 1" in said
    code, said = crm(*request, "close", "1", "--outcome", "atendido")
    assert code == 1
    assert "não teve a identidade conferida" in said
    assert crm(*request, "check", "1", "--how", "respondeu do e-mail")[0] == 0
    listed = crm(*request, "list", "--open")[1]
    assert "a***@e***" in listed
    assert "ainda 1 dia, identidade conferida" in listed
    assert "ana@example.com" not in listed
    late = NOON + 4 * DAY
    assert "venceu há 3 dias" in crm(*request, "list", now=late)[1]
    assert "venceu pedido 1 (acesso), prazo 16/03/2026" in crm("status", now=late)[1]
    assert crm(*request, "close", "1", "--outcome", "atendido", "--note", "enviado")[0] == 0
    assert "venceu" not in crm("status", now=late)[1]
    assert "atendido em 15/03/2026" in crm(*request, "list")[1]
    assert crm(*request, "list", "--open") == (0, "Nenhum pedido em aberto.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("open", "Ana", "--type", "acesso", "--channel", "e-mail"), "código de um cliente"),
        (("open", "a@example.com", "--type", "outro", "--channel", "e-mail"), "--type aceita"),
        (("open", "a@example.com", "--type", "acesso", "--channel", " "), "--channel não pode"),
        (("open", cus(1), "--type", "acesso", "--channel", "e-mail"), "Não existe cliente"),
        (("close", "1", "--outcome", "feito"), "--outcome aceita"),
        (("check", "7", "--how", "ligou"), "Não há pedido 7"),
    ],
)
def test_what_the_register_cannot_take_is_refused_in_a_sentence(crm, arguments, told):
    code, said = crm("customers", "request", *arguments)
    assert code in {1, 2}
    assert told in said


def test_the_command_tells_what_would_go_and_removes_it(crm, monkeypatch):
    import dagster as dg

    from crm_cli import session

    monkeypatch.setattr(session, "prepare_instance", lambda settings, tenants: None)
    monkeypatch.setattr(dg.DagsterInstance, "get", dg.DagsterInstance.ephemeral)
    load = Load(source="manychat", slice="2025-01-01_0123456789ab", status="landed",
                at=NOON - 400 * DAY)  # fmt: skip
    crm.ops.record_load(load)
    path = raw_path(crm.site.settings, crm.site.tenant, load.slice)
    path.parent.mkdir(parents=True)
    path.touch()
    retention = ("customers", "retention")
    code, said = crm(*retention, "--dry-run")
    assert code == 0
    assert "nada foi apagado; passaram do prazo:" in said
    assert f"{RAW}: 1" in said
    assert path.exists()
    assert f"{RAW}: 1" in crm(*retention)[1]
    assert not path.exists()


def test_the_job_tells_how_many_of_each(world):
    old = world.settings.output_folder("default") / "publico" / "a.csv"
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old, (0, 0))
    job = world.definitions.get_job_def("retention")
    result = job.execute_in_process(instance=world.instance)
    assert result.success
    assert not old.exists()
    (output,) = [event for event in result.all_events if event.is_successful_output]
    told = {label: value.value for label, value in output.step_output_data.metadata.items()}
    assert told[OUTPUTS] == 1
    assert {LEADS, POSTPONED, RAW, REJECTS} <= told.keys()
