"""What a long read shows while it works, on a terminal and in a pipe."""

import io
import os
import re
import subprocess
import sys
from datetime import date

import pytest
from rich.console import Console
from world import sandbox_environ

from crm_assets.plan import HOTMART_SOURCES, IngestRequest
from crm_assets.settings import CHECKOUT
from crm_assets.slices import month_keys
from crm_assets.tenants import build_tenant_model
from crm_cli.progress import RoundProgress, first_load
from crm_resources.hotmart.sandbox import Faults
from crm_resources.ops import Load, OpsStore


@pytest.mark.slow
def test_a_first_load_says_what_it_will_cost(crm, tmp_path):
    file = tmp_path / "tenants.toml"
    file.write_text("[tenants.default]\nhotmart = {start_date = 2026-02-01}\n")
    said = crm("run", "--only", "hotmart", CRM_TENANTS=str(file))
    assert (said.code, said.err) == (0, "")
    calls = 2 * len(HOTMART_SOURCES)
    line = f"  primeira carga: 2 meses, cerca de {calls} chamadas (a partir de alguns segundos "
    assert line + "no limite de 500 por minuto" in said.out
    assert "\x1b" not in said.out


def test_a_long_first_load_says_how_long_it_takes_at_least():
    tenant = build_tenant_model("default", {"hotmart": {"calls_per_minute": 60}}, {})
    months = IngestRequest("hotmart", tuple(month_keys(date(2023, 1, 1), date(2025, 12, 1))))
    calls = 36 * len(HOTMART_SOURCES)
    assert first_load(tenant, months) == (
        f"primeira carga: 36 meses, cerca de {calls} chamadas (pelo menos {calls // 60} min no "
        "limite de 60 por minuto; mais nos meses de muitas vendas)"
    )


def test_a_bar_counts_what_lands_on_a_terminal(tmp_path):
    ops = OpsStore(tmp_path / "ops.sqlite", "default")
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=140)
    total = 2 * len(HOTMART_SOURCES)
    request = IngestRequest("hotmart", ("2026-01-01", "2026-02-01"))
    ops.record_load(Load(source="hotmart_customers", slice="2025-12-01", status="landed", rows=9))
    with RoundProgress(console, build_tenant_model("default", {}, {}), ops) as progress:
        progress.told("hotmart", request)
        for source in HOTMART_SOURCES[:2]:
            ops.record_load(Load(source=source, slice="2026-01-01", status="landed", rows=250))
        ops.record_load(Load(source="manychat", slice="x", status="landed", rows=7))
        progress.told("refine", None)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    assert f"0 de {total} partes" in text
    assert f"2 de {total} partes linhas: 500" in text
    assert "faltam" in text


@pytest.mark.slow
def test_the_bar_moves_while_dagster_holds_the_output(tmp_path, sandbox):
    sandbox.sandbox.faults = Faults(delay_seconds=0.4)
    tenants = tmp_path / "tenants.toml"
    tenants.write_text("[tenants.default]\nhotmart = {start_date = 2025-12-01}\n")
    environ = {
        **{name: text for name, text in os.environ.items() if name != "DAGSTER_HOME"},
        **sandbox_environ(tmp_path / "home", sandbox.url),
        "CRM_TENANTS": str(tenants),
        "COLUMNS": "140",
        "TERM": "xterm",
    }
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "crm_cli", "run", "--only", "hotmart"],
        env=environ,
        cwd=CHECKOUT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(ours)
    assert process.wait(100) == 0
    counts = {int(n) for n in re.findall(rb"(\d+) de \d+ partes", shown)}
    assert {0, 4 * len(HOTMART_SOURCES)} < counts
