"""A real `crm dev`: web UI and daemon with a lasting instance, on the sample tenant's sandbox."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest


@dataclass
class DagsterUi:
    """A running web UI.

    `ask` sends a GraphQL query; `wait` polls one until its answer satisfies.
    """

    url: str
    home: Path

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        reply = httpx.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30
        )
        answer = reply.json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def wait(self, query: str, satisfied: Callable[[Any], Any], seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            answer = self.ask(query)
            if found := satisfied(answer):
                return found
            assert time.monotonic() < deadline, f"still waiting after {seconds} s: {answer}"
            time.sleep(1)

    def finished_runs(self, job: str, seconds: float, count: int = 1) -> list[dict[str, Any]]:
        """The first `count` finished runs of a job, newest first."""

        def ended(answer: dict[str, Any]) -> list[dict[str, Any]] | None:
            runs = [run for run in answer["runsOrError"]["results"] if run["jobName"] == job]
            done = [run for run in runs if run["status"] in {"SUCCESS", "FAILURE"}]
            return done if len(done) >= count else None

        return self.wait(RUNS, ended, seconds)


RUNS = """{ runsOrError { ... on Runs {
    results { runId jobName status tags { key value } }
} } }"""


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterUi]:
    from world import SAMPLE, sandbox_environ

    from crm_resources.hotmart.sandbox import Sandbox, SandboxServer
    from crm_resources.hotmart.sandbox_data import SandboxData

    home = tmp_path_factory.mktemp("ui")
    port = _free_port()
    with SandboxServer(Sandbox(SandboxData.load(SAMPLE / "hotmart.json"))) as sandbox:
        environ = {
            **{name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"},
            **sandbox_environ(home, sandbox.url),
            "CRM_TENANTS": str(SAMPLE / "tenants.toml"),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "crm_cli", "dev", "--port", str(port), "--web-port", "0"],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            running = DagsterUi(f"http://127.0.0.1:{port}", home)
            _wait_until_healthy(running)
            yield running
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_healthy(running: DagsterUi) -> None:
    deadline = time.monotonic() + 90
    query = "{ instance { daemonHealth { allDaemonStatuses { required healthy } } } }"
    while time.monotonic() < deadline:
        try:
            daemons = running.ask(query)["instance"]["daemonHealth"]["allDaemonStatuses"]
            if daemons and all(d["healthy"] for d in daemons if d["required"]):
                return
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(1)
    raise AssertionError("the web UI did not come up in 90 s")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
