"""Fixtures shared by the tree. Heavy imports stand inside them, so that pure tests start fast."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from sheet_server import Sheet
    from world import World

    from crm_resources.hotmart.sandbox import SandboxServer

# Before anything of ours is imported: no .env of the developer, no data of the checkout.
_OURS = ("CRM_", "HOTMART_", "MANYCHAT_", "ENVIRONMENT", "SCHEDULE_", "ALERT_", "SMTP_")
for _name in [name for name in os.environ if name.startswith(_OURS)]:
    if _name != "CRM_FULL":
        del os.environ[_name]
os.environ["PYTHON_DOTENV_DISABLED"] = "1"
_home = tempfile.TemporaryDirectory(prefix="crm-tests-")
os.environ["CRM_HOME"] = _home.name

FULL = bool(os.environ.get("CRM_FULL"))
"""The full suite of `.ci/run`: slow tests run, and a skip is a failure."""


settings.register_profile("suite", max_examples=15, derandomize=True, deadline=None)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave slow tests to the full suite."""
    for item in items:
        if item.get_closest_marker("slow") and not FULL:
            item.add_marker(pytest.mark.skip(reason="slow; runs in .ci/run (CRM_FULL=1)"))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the session."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """In the full suite a skipped test is a failed one."""
    outcome = yield
    report = outcome.get_result()
    if FULL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in the full suite: {report.longrepr}"


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[SandboxServer]:
    """One sandbox server for the session; `sandbox` gives it fresh data."""
    from crm_resources.hotmart.sandbox import Sandbox, SandboxServer
    from crm_resources.hotmart.sandbox_data import SandboxData

    with SandboxServer(Sandbox(SandboxData([]))) as server:
        yield server


@pytest.fixture
def sandbox(shared_sandbox: SandboxServer) -> SandboxServer:
    """The sandbox with the sample tenant's sales and no faults."""
    from world import SAMPLE

    from crm_resources.hotmart.sandbox import Faults
    from crm_resources.hotmart.sandbox_data import SandboxData

    shared_sandbox.sandbox.reset(SandboxData.load(SAMPLE / "hotmart.json"), Faults())
    return shared_sandbox


@pytest.fixture(scope="session")
def finished_home(shared_sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the sample tenant after its first round; copy it, never change it.

    The first worker that needs it makes it; each has a copy, since reading leaves files too.
    """
    import shutil

    from filelock import FileLock

    own = tmp_path_factory.getbasetemp()
    made = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            draft = made.with_name("unfinished")
            _first_round(draft, shared_sandbox)
            draft.rename(made)
        return Path(shutil.copytree(made, own / "finished"))


def _first_round(home: Path, server: SandboxServer) -> None:
    import shutil

    import dagster as dg
    from world import SAMPLE, World, sample_table, sandbox_environ

    from crm_resources.hotmart.sandbox import Faults
    from crm_resources.hotmart.sandbox_data import SandboxData

    server.sandbox.reset(SandboxData.load(SAMPLE / "hotmart.json"), Faults())
    environ = sandbox_environ(home, server.url)
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        for name, value in environ.items():
            patch.setenv(name, value)
        world = World(home, instance, environ, sample_table())
        for file in (SAMPLE / "input" / "manychat").glob("*.csv"):
            shutil.copy(file, world.inbox)
        world.green()


@pytest.fixture
def world(
    tmp_path: Path, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The sample tenant's configuration in an empty home, its Hotmart the local sandbox."""
    import dagster as dg
    from world import World, sample_table, sandbox_environ

    environ = sandbox_environ(tmp_path / "home", sandbox.url)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(tmp_path / "home", instance, environ, sample_table())


@pytest.fixture(scope="session")
def shared_sheet() -> Iterator[Sheet]:
    """One server of a sheet for the session; `sheet` gives it fresh content."""
    from sheet_server import serving

    with serving() as sheet:
        yield sheet


@pytest.fixture
def sheet(shared_sheet: Sheet, monkeypatch: pytest.MonkeyPatch) -> Sheet:
    """A sheet of one contact, whose address stands in the default tenant's variable."""
    from sheet_server import ANA

    shared_sheet.asked = []
    shared_sheet.holds(ANA)
    monkeypatch.setenv("MANYCHAT_SHEET_URL", shared_sheet.address)
    return shared_sheet
