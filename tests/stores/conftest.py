import multiprocessing
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from crm_resources.warehouse import Warehouse

FIRST_MIGRATION = """
CREATE SCHEMA bronze;
CREATE TABLE bronze.sales (slice VARCHAR, id INTEGER, ordered_at TIMESTAMPTZ);
CREATE TABLE bronze.typed (
    amount DECIMAL(18,2), seen_at TIMESTAMPTZ, tags VARCHAR[], raw JSON, day DATE
);
"""


class Children:
    """Child processes forked from a server that has the packages imported: a few ms each."""

    def __init__(self):
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            ["pytest", "hypothesis", "crm_resources.warehouse", "crm_resources.ops"]
        )

    def start(self, target, *args):
        process = self.context.Process(target=target, args=args, daemon=True)
        process.start()
        return process

    def exit_code(self, process):
        process.join(60)
        return process.exitcode

    def killed(self, target, *args):
        """Run a child that kills itself with SIGKILL, and insist that it did."""
        assert self.exit_code(self.start(target, *args)) == -signal.SIGKILL


@pytest.fixture(scope="session")
def children():
    return Children()


@pytest.fixture
def migrations(tmp_path):
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.sql").write_text(FIRST_MIGRATION)
    return folder


@pytest.fixture
def warehouse_options(tmp_path, migrations):
    """Plain values, for a child process to build the warehouse from."""
    return {
        "database": str(tmp_path / "db" / "acme" / "warehouse.duckdb"),
        "migrations": str(migrations),
        "lock_wait_seconds": 0,
    }


@pytest.fixture
def warehouse(warehouse_options):
    return Warehouse(**warehouse_options)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """A PostgreSQL server of this worker, from a cluster that the first one makes for all."""
    from filelock import FileLock
    from postgres import NEEDED, Postgres, binaries, make_cluster

    if binaries() is None:
        pytest.skip(NEEDED)
    shared = tmp_path_factory.getbasetemp()
    cluster = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "cluster"
    with tempfile.TemporaryDirectory(prefix="crm-postgres-") as name:
        folder = Path(name)
        with FileLock(f"{cluster}.lock"):
            if not cluster.exists():
                make_cluster(folder / "made")
                shutil.move(folder / "made", cluster)
        server = Postgres(cluster, folder)
        yield server
        server.stop()


@pytest.fixture
def postgres(postgres_server):
    """The address of an empty place in a PostgreSQL database."""
    from sqlalchemy import make_url

    from crm_resources.ops import database

    with postgres_server.schema() as address:
        yield address
        database._pooled(make_url(address)).dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """Where an empty operations store is to be, in each kind of database."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres")
    return str(tmp_path / "acme" / "ops.sqlite")


@pytest.fixture
def store(address):
    from crm_resources.ops import OpsStore

    return OpsStore(address, "acme")
