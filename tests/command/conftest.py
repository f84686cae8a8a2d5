import hashlib
import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


class Crm:
    """The `crm` command in this process, with an environment of its own."""

    def __init__(self, environ, capture):
        self.environ = environ
        self.capture = capture

    @property
    def home(self):
        return Path(self.environ["CRM_HOME"])

    @property
    def store(self):
        return self.home / "db" / self.environ["ENVIRONMENT"] / "default"

    def __call__(self, *arguments, **more):
        self.capture.readouterr()
        code = called(arguments, self.environ | more)
        said = self.capture.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)


@contextmanager
def environment(environ):
    saved = dict(os.environ)
    os.environ.pop("DAGSTER_HOME", None)
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


def called(arguments, environ):
    """Exit code of the command, run on a Dagster instance in memory; processes have a real one."""
    import dagster as dg

    from crm_cli import app, session

    with environment(environ), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["crm", *map(str, arguments)])
        patch.setattr(session, "prepare_instance", lambda settings, tenants: None)
        patch.setattr(dg.DagsterInstance, "get", dg.DagsterInstance.ephemeral)
        try:
            app.main()
        except SystemExit as end:
            return end.code or 0
    return 0


def environ_of(home, url):
    from world import SAMPLE, sandbox_environ

    return sandbox_environ(home, url) | {"CRM_TENANTS": str(SAMPLE / "tenants.toml")}


@pytest.fixture
def crm(tmp_path, sandbox, capsys):
    """The command over an empty home, its Hotmart the local sandbox."""
    return Crm(environ_of(tmp_path / "home", sandbox.url), capsys)


@pytest.fixture
def ran(crm, finished_home):
    """The command over a home of its own that had its first run."""
    shutil.copytree(finished_home, crm.home)
    return crm


@pytest.fixture
def tree():
    """Every file below a folder, by the hash of its content."""

    def contents(folder):
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file()
        }

    return contents
