"""Whole rounds with the operations store on PostgreSQL: the same answers as with a file."""

import shutil
from dataclasses import replace

import dagster as dg
import pytest
from ops_samples import action
from ticks import daily, run, tick
from world import SAMPLE, World

from crm_resources.ops import OpsStore, StoreUnavailableError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OF_A_RUN = {"run_id"}
"""What differs between any two rounds at the same instant."""


@pytest.fixture
def on_server(world, postgres, monkeypatch):
    """The sample tenant's world, its operations store on a server."""
    monkeypatch.setenv("CRM_OPS_URL", postgres)
    world.environ["CRM_OPS_URL"] = postgres
    for file in (SAMPLE / "input" / "manychat").glob("*.csv"):
        shutil.copy(file, world.inbox)
    return world


def tables(world):
    """Every row of every table of the warehouse, as text."""
    found = {}
    with world.warehouse.write("comparação") as tx:
        names = tx.read(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables "
            "WHERE table_schema IN ('bronze', 'silver', 'gold') ORDER BY ALL"
        ).to_series()
        for name in names:
            frame = tx.read(f"FROM {name}")
            frame = frame.select(sorted(set(frame.columns) - OF_A_RUN))
            found[name] = sorted(map(str, frame.rows()))
    return found


def test_a_round_makes_the_same_tables(on_server, finished_home, tmp_path):
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        world = replace(on_server, instance=instance)
        world.green()
    in_a_file = world.environ | {"CRM_HOME": str(finished_home), "CRM_OPS_URL": ""}
    file = World(finished_home, None, in_a_file, world.table)
    made = tables(world)
    assert made["silver.customers"]
    assert made == tables(file)
    ledger = [
        [(load.source, load.slice, load.rows, load.status, load.complete) for load in ops.loads()]
        for ops in (world.ops, file.ops)
    ]
    assert ledger[0] == ledger[1]
    assert not (world.folder / "ops.sqlite").exists()
    said = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"can%C3%A1rio" not in said
    assert "senha-canário".encode() not in said


@pytest.fixture
def small(on_server):
    """Two months of sales."""
    on_server.table = {**on_server.table, "hotmart": {"start_date": "2026-02-01"}}
    return on_server


def test_sensors_and_schedules_read_it(small):
    assert [request.partition_key for request in daily(small).run_requests] == [None]
    small.ops.append_actions([action("a", kind="opt_out", email_key="ana@example.com")])
    assert len(tick(small, "actions_log").run_requests) == 1
    assert run(small, "actions").is_success
    assert tick(small, "actions_log").skip_message == "nenhuma decisão nova"
    assert small.value("SELECT count(*) FROM bronze.crm_actions") == 1


def test_a_server_that_goes_in_the_middle_of_a_round_costs_a_round(
    small, postgres_server, monkeypatch
):
    record = OpsStore.record_load

    def stopped(store, load):
        postgres_server.stop()
        return record(store, load)

    with monkeypatch.context() as patch:
        patch.setattr(OpsStore, "record_load", stopped)
        with pytest.raises(StoreUnavailableError, match="não respondeu"):
            small.round("hotmart", "refine")
    postgres_server.start()
    assert small.ops.loads() == []
    small.green("hotmart", "refine")
    assert {load.slice for load in small.ops.loads("hotmart_transactions")} == {
        "2026-02-01",
        "2026-03-01",
    }
    assert small.value(
        "SELECT count(*) = count(DISTINCT transaction) FROM bronze.hotmart_transactions"
    )
