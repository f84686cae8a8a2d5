"""The command over an operations store on PostgreSQL: `crm doctor`, `crm status`, `crm run`."""

import sys

import pytest
from ops_samples import AT, load, sql

from crm_cli import app
from crm_resources.ops import OpsStore

DOWN = (
    "O banco de operações não respondeu: confira o endereço em CRM_OPS_URL e se o servidor está no "
    "ar."
)
NOBODY = "postgresql+psycopg://crm:senha-canario@127.0.0.1:1/crm"


@pytest.fixture
def crm(tmp_path, monkeypatch, capsys):
    """The command in this process: what it said and how it ended."""
    tenants = tmp_path / "tenants.toml"
    tenants.write_text("[tenants.default]\nname = 'Escola'\nhotmart = {enabled = false}\n")
    for name, value in {"CRM_HOME": tmp_path / "home", "CRM_TENANTS": tenants}.items():
        monkeypatch.setenv(name, str(value))

    def called(*arguments, address):
        monkeypatch.setenv("CRM_OPS_URL", address)
        monkeypatch.setattr(sys, "argv", ["crm", *arguments])
        code = 0
        try:
            app.main()
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        for text in said:
            assert "Traceback" not in text
            assert "canario" not in text
            assert "can%C3%A1rio" not in text
        return code, said.out, said.err

    return called


def test_the_doctor_sees_the_server_and_changes_nothing(crm, postgres):
    code, out, _ = crm("doctor", address=postgres)
    assert "ok banco de operações: PostgreSQL 1" in out
    assert "em UTF8, tabelas: nenhuma ainda" in out
    assert code == 0
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
    assert sql(postgres, tables) == [(0,)]


def test_the_doctor_names_the_setting_of_a_server_that_is_down(crm):
    code, out, _ = crm("doctor", address=NOBODY)
    assert code == 1
    assert f"falta banco de operações: {DOWN}" in out
    assert "ok alertas" in out, "the rest is examined all the same"


@pytest.mark.parametrize(
    "command", [["run"], ["run", "--dry-run"], ["status"], ["import", "undo", "x.csv"]]
)
def test_every_other_command_says_it_in_one_sentence(crm, command):
    code, _, err = crm(*command, address=NOBODY)
    assert (code, err) == (1, f"{DOWN}\n")


def test_an_address_that_is_none_is_wrong_use(crm):
    code, _, err = crm("status", address="crm:senha-canario@host/crm")
    assert code == 2
    assert err.startswith("CRM_OPS_URL precisa começar com postgresql+psycopg://")


def test_the_status_tells_what_stands_on_the_server(crm, postgres):
    store = OpsStore(postgres, "dev/default")
    store.record_load(load(source="manychat", slice_="2025-03-01-0123456789ab"))
    store.open_incident("run_failed", "manychat", "coluna faltando", AT)
    code, out, err = crm("status", address=postgres)
    assert (code, err) == (0, "")
    assert "manychat 01/03/2025 09:00" in " ".join(out.split())
    assert "falhou manychat: coluna faltando (desde 01/03/2025 09:00)" in out
