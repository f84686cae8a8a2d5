"""A private PostgreSQL server from Debian's binaries, for the tests of the operations store."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from sqlalchemy import URL

PASSWORD = "senha-canário@/%:?"
"""Of the role that owns every database; with what has to be escaped in an address."""

NEEDED = "the PostgreSQL server is missing: apt-get install postgresql"
WAIT_SECONDS = 30

_SERVER = "postgres"
"""Debian's account; the server refuses to be root."""

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "40",
    "shared_buffers": "16MB",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "lc_messages": "C",
}


def binaries() -> Path | None:
    """The folder of the newest server that Debian installed."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: int(path.parent.parent.name), default=None)
    return newest.parent if newest else None


def make_cluster(data: Path) -> None:
    """Make an empty cluster in a folder of its own; texts sort as a Brazilian reads them."""
    secret = data.with_suffix(".password")
    secret.write_text(PASSWORD)
    data.mkdir(mode=0o700)
    for path in (data.parent, secret, data):
        _give(path)
    told = ["--auth=scram-sha-256", f"--pwfile={secret}", "--username=admin", "--no-sync"]
    kept = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=pt-BR"]
    _as_server("initdb", "-D", data, "--wal-segsize=1", *told, *kept)
    secret.unlink()


class Postgres:
    """One running server; it ends with this process, however that ends."""

    def __init__(self, cluster: Path, folder: Path):
        """Run a copy of a cluster below a folder that its account may enter."""
        self.folder = folder
        self._data = folder / "data"
        self._made = 0
        self._process = None
        _give(folder)
        shutil.copytree(cluster, self._data)
        for path in (self._data, *self._data.rglob("*")):
            _give(path)
        self.start()
        self.admin(f"CREATE ROLE crm LOGIN PASSWORD '{PASSWORD}'")
        self.admin("CREATE DATABASE crm OWNER crm")

    def start(self) -> None:
        settings = [part for pair in _SETTINGS.items() for part in ("-c", "=".join(pair))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _command("postgres", "-D", self._data, "-k", self.folder, *settings),
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with suppress(psycopg.OperationalError):
                return self.admin("SELECT 1")
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server at once, as a crash of its machine does."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(WAIT_SECONDS)

    def admin(self, statement: str, database: str = "postgres") -> None:
        """Say something as the superuser."""
        with psycopg.connect(
            host=str(self.folder), user="admin", password=PASSWORD, dbname=database
        ) as connection:
            connection.autocommit = True
            connection.execute(statement)

    def address(self, database: str = "crm", query: dict[str, str] | None = None, **changed) -> str:
        """The address of a database, as CRM_OPS_URL has it."""
        host = {"host": str(self.folder)}
        url = URL.create("postgresql+psycopg", "crm", PASSWORD, database=database)
        url = url.set(query=host | (query or {}), **changed)
        return url.render_as_string(hide_password=False)

    @contextmanager
    def schema(self):
        """The address of an empty schema that nobody else uses, quicker made than a database."""
        self._made += 1
        name = f"t{self._made}"
        self.admin(f"CREATE SCHEMA {name} AUTHORIZATION crm", "crm")
        yield self.address(query={"options": f"-csearch_path={name}"})

    @contextmanager
    def database(self, options: str):
        """The address of an empty database made in a certain way."""
        self._made += 1
        name = f"t{self._made}"
        self.admin(f"CREATE DATABASE {name} OWNER crm {options}")
        yield self.address(name)
        self.admin(f"DROP DATABASE {name} WITH (FORCE)")

    def hang_up(self) -> None:
        """End every connection of the role, as a failing network does."""
        self.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'crm'")


def _command(program: str, *arguments: object) -> list[str]:
    account = ["--reuid", _SERVER, "--regid", _SERVER, "--clear-groups"] if _is_root() else []
    path = binaries() / program
    return ["setpriv", "--pdeathsig", "QUIT", *account, "--", *map(str, (path, *arguments))]


def _as_server(program: str, *arguments: object) -> None:
    done = subprocess.run(
        _command(program, *arguments), capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr


def _give(path: Path) -> None:
    if _is_root():
        shutil.chown(path, _SERVER, _SERVER)


def _is_root() -> bool:
    return os.geteuid() == 0
