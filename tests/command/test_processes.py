"""Real processes, as a person or a scheduler starts them: exit codes and what they leave."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from world import SAMPLE, sandbox_environ

from crm_assets.settings import CHECKOUT, Settings
from crm_resources.hotmart.sandbox import Faults
from crm_resources.ops import OpsStore

pytestmark = pytest.mark.slow

KEY = "bronze/hotmart_transactions"


@pytest.fixture
def environ(tmp_path, sandbox):
    return {
        **{name: text for name, text in os.environ.items() if name != "DAGSTER_HOME"},
        **sandbox_environ(tmp_path / "home", sandbox.url),
        "CRM_TENANTS": str(SAMPLE / "tenants.toml"),
    }


def process(arguments, environ, **more):
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environ,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def run(arguments, environ):
    started = process(arguments, environ)
    out, err = started.communicate(timeout=100)
    return started.returncode, out, err


def landed(environ):
    settings = Settings.from_environ(environ)
    store = OpsStore(settings.store_folder("default") / "ops.sqlite", "default")
    return [load.slice for load in store.loads("hotmart_transactions")]


def test_a_wrong_environment_ends_a_process_with_2_and_one_sentence(environ):
    code, out, err = run(["-m", "crm_cli", "status"], environ | {"ENVIRONMENT": "produção"})
    assert (code, out) == (2, "")
    assert err == "ENVIRONMENT precisa ser dev, hml ou prd, não 'produção'.\n"


def test_a_sandbox_is_a_process_that_answers_until_it_is_stopped(environ):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    arguments = ["-m", "crm_cli", "sandbox", "hotmart", "--port", str(port), "--transactions", "7"]
    started = process(arguments, environ)
    try:
        assert started.stdout.readline() == f"7 vendas em http://127.0.0.1:{port}\n"
        address = f"http://127.0.0.1:{port}/sandbox/stats"
        for _ in range(100):
            try:
                with urllib.request.urlopen(address, timeout=5) as reply:
                    assert json.load(reply)["calls"] == 0
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail("no answer")
        code, _, err = run(arguments, environ)
        assert (code, err) == (1, f"A porta {port} já está em uso: escolha outra com --port.\n")
    finally:
        started.send_signal(signal.SIGINT)
        _, err = started.communicate(timeout=20)
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lasting", "partitions", "expected"),
    [
        (True, ["--partition", "2025-12-01"], ["2025-12-01"]),
        (
            False,
            ["--partition-range", "2025-06-01...2025-12-01"],
            [f"2025-{month:02}-01" for month in range(6, 13)],
        ),
    ],
)
def test_dagster_materializes_slices_from_the_shell(
    environ, tmp_path, lasting, partitions, expected
):
    if lasting:
        (tmp_path / "dagster").mkdir()
        environ["DAGSTER_HOME"] = str(tmp_path / "dagster")
    command = ["-m", "dagster", "asset", "materialize", "-m", "crm_assets.definitions"]
    code, _, err = run([*command, "--select", KEY, *partitions], environ)
    assert code == 0, err
    assert landed(environ) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("partitions", "faults"),
    [
        (["--partition", "2025-12-01"], Faults(forbidden=True)),
        (["--partition", "2031-01-01"], Faults()),
        (["--partition", "ontem"], Faults()),
        ([], Faults()),
    ],
)
def test_dagster_ends_with_1_when_slices_fail(environ, sandbox, partitions, faults):
    sandbox.sandbox.faults = faults
    command = ["-m", "dagster", "asset", "materialize", "-m", "crm_assets.definitions"]
    code, _, _ = run([*command, "--select", KEY, *partitions], environ)
    assert code == 1


@pytest.mark.slow
def test_two_processes_at_once_and_a_killed_one(environ, sandbox):
    sandbox.sandbox.faults = Faults(delay_seconds=30)
    first = process(["-m", "crm_cli", "run", "--only", "hotmart"], environ)
    lock = Settings.from_environ(environ).store_folder("default") / "run.lock.holder"
    deadline = time.monotonic() + 60
    while not lock.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    code, _, err = run(["-m", "crm_cli", "run", "--only", "hotmart"], environ)
    assert code == 1
    assert f"estão em uso por «crm run» (processo {first.pid}," in err
    first.kill()
    first.communicate(timeout=20)
    sandbox.sandbox.faults = Faults()
    code, out, err = run(["-m", "crm_cli", "run", "--only", "hotmart"], environ)
    assert (code, err) == (0, "")
    assert "bronze.hotmart_transactions 73" in out
    assert "\x1b" not in out
