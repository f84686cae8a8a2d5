"""`crm customers erase`: what it refuses, what it asks, and one erasure as a person runs it."""

import os
import shutil
import subprocess
import sys

import pytest
from erasure_samples import ANA, canaries
from typer.testing import CliRunner
from world import SAMPLE, sandbox_environ

from crm_assets.settings import CHECKOUT, Settings

pytestmark = pytest.mark.slow

TWO = "id;nome;email;whatsapp\n1;Rita Lima;rita@example.com;11 97777-1234\n"
TWO += "2;Caio Lima;caio@example.com;11 97777-1234\n"


@pytest.fixture
def erase(finished):
    from crm_cli.app import app

    environ = {**finished.environ, "CRM_TENANTS": str(SAMPLE / "tenants.toml")}

    def call(*arguments, **more):
        return CliRunner().invoke(app, ["customers", "erase", *arguments], env=environ, **more)

    return call


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "diga o cliente"),
        ([ANA[0]], 2, "--reason precisa dizer por quê"),
        (["ninguem@example.com", "--dry-run"], 1, "Não existe cliente"),
        ([ANA[0], "--dry-run", "--record", "manychat:0"], 1, "Nenhum dos --record"),
        (["--resume"], 0, "Nenhum apagamento ficou por terminar"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(erase, arguments, code, said):
    told = erase(*arguments)
    assert told.exit_code == code
    assert said in " ".join(told.output.replace("│", " ").split())


def test_a_rehearsal_counts_and_changes_nothing(erase, finished):
    before = canaries(finished.home)
    told = erase(ANA[0], "--dry-run")
    assert told.exit_code == 0
    assert "bronze.hotmart_transactions" in told.output
    assert "Nada foi apagado." in told.output
    assert not any(word in told.output.casefold() for word in ANA)
    assert canaries(finished.home) == before
    assert not (finished.home / "keys").exists()


def test_it_asks_before_it_erases(erase, finished):
    told = erase(ANA[0], "--reason", "pedido 12", input="n\n")
    assert told.exit_code == 1
    assert "Não há como desfazer" in told.output
    assert finished.ops.tombstones() == {}


@pytest.mark.slow
def test_a_shared_phone_is_listed_masked_and_asks_for_the_records(erase, finished, tmp_path):
    file = tmp_path / "familia.csv"
    file.write_text(TWO)
    finished.green("manychat", "refine", files=[file])
    told = erase("11 97777-1234", "--reason", "pedido 12", "--yes")
    assert told.exit_code == 1
    assert "Grupo 2" in told.output
    assert "--record" in told.output
    assert "manychat:2: C***, c***@e***, +55*********34" in told.output
    assert "rita@example.com" not in told.output
    told = erase("11 97777-1234", "--dry-run", "--record", "manychat:1")
    assert told.exit_code == 0
    assert "1 registro do mesmo perfil é de outra pessoa e fica" in told.output


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_life_of_a_person_in_real_processes(tmp_path, sandbox):
    """Dagster's own stores never learn of her, and her erasure leaves nothing in the whole home."""
    environ = os.environ | sandbox_environ(tmp_path / "home", sandbox.url)
    environ["CRM_TENANTS"] = str(SAMPLE / "tenants.toml")
    settings = Settings.from_environ(environ)
    inbox = settings.input_folder("default", "manychat")
    shutil.copytree(SAMPLE / "input" / "manychat", inbox)
    (inbox / "ruim.csv").write_text("coluna;outra\ncanario@example.com;11961234599\n")

    def crm(*arguments):
        command = [sys.executable, "-m", "crm_cli", *arguments]
        return subprocess.run(
            command, env=environ, cwd=CHECKOUT, capture_output=True, text=True, check=False
        )

    told = crm("run")
    assert told.returncode == 1
    assert "canario@example.com" not in told.stdout + told.stderr
    files = [path for path in settings.dagster_home.rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in files)
    assert len(written) > 100_000
    for secret in (environ["HOTMART_CLIENT_SECRET"], "@example.com", "Hoffmann", "961234501"):
        assert secret.encode() not in written, secret

    for flavour in ("xlsx", "vcf", "meta"):
        assert crm("export", "customers", "--format", flavour).returncode == 0
    assert len(canaries(settings.home)) > 20
    told = crm("customers", "erase", ANA[0], "--reason", "pedido 12", "--yes", "--by", "dpo")
    assert told.returncode == 0, told.stderr
    assert canaries(settings.home) == []
    (certificate,) = settings.home.rglob("certificados/*.txt")
    assert "clientes/" in certificate.read_text()
