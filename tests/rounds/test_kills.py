"""Processes killed inside each layer, and a round after them: the same tables as undisturbed.

The child runs what `crm run` runs, on a Dagster instance on disk with our dagster.yaml, so that the
places it keeps in the refine pool survive it as they would for real.
"""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import dagster as dg
import pytest
from world import SAMPLE, World, sample_table, sandbox_environ

from crm_assets.rounds import STAGES
from crm_assets.settings import CHECKOUT

TABLES = {
    "bronze.hotmart_transactions": "* EXCLUDE (run_id)",
    "bronze.hotmart_customers": "* EXCLUDE (run_id)",
    "bronze.manychat_contacts": "* EXCLUDE (run_id)",
    "bronze.rejects": "* EXCLUDE (run_id)",
    "bronze.loads": "* EXCLUDE (run_id)",
    "silver.contact_records": "*",
    "silver.customer_ids": "*",
    "silver.customer_xref": "*",
    "silver.customer_merges": "*",
    "silver.customers": "* EXCLUDE (last_contact_at)",
    "silver.sales": "*",
    "gold.audience_ilpi": "*",
    "gold.audience_estetica": "*",
    "gold.remarketing_batches": "* EXCLUDE (status)",
}


def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_in_transaction(statement, number=1):
    """Before the n-th statement of the process that begins so."""

    def trap():
        from crm_resources.warehouse import Transaction

        execute, seen = Transaction.execute, []

        def execute_or_die(self, sql, params=None, **frames):
            if sql.strip().startswith(statement):
                seen.append(sql)
                if len(seen) == number:
                    die()
            return execute(self, sql, params, **frames)

        Transaction.execute = execute_or_die

    return trap


def kill_after_replacing(table):
    """After a table was written anew, before its step commits."""

    def trap():
        from crm_resources.warehouse import Transaction

        replace_table = Transaction.replace_table

        def replace_and_die(self, name, *args, **kwargs):
            rows = replace_table(self, name, *args, **kwargs)
            if name == table:
                die()
            return rows

        Transaction.replace_table = replace_and_die

    return trap


def kill_before_the_ops_row():
    """After a slice is committed, before the operations store knows."""
    from crm_resources.ops import OpsStore

    record_load = OpsStore.record_load
    OpsStore.record_load = lambda store, load: (
        die() if load.status == "landed" else record_load(store, load)
    )


def kill_before_the_pointer():
    """After the snapshot is written, before it becomes the current one."""
    from crm_assets.gold import serving

    serving.point = die


def kill_before_the_actions():
    """After the batch is committed, before its people are told to the action log."""
    from crm_resources.ops import OpsStore

    OpsStore.append_actions = die


MOMENTS = {
    "bronze, between delete and insert": (
        kill_in_transaction("DELETE FROM bronze.hotmart_tr", 3), STAGES
    ),
    "bronze, after the commit": (kill_before_the_ops_row, STAGES),
    "silver, inside identity": (kill_in_transaction("DELETE FROM silver.customer_ids"), STAGES),
    "gold, before an audience commits": (kill_after_replacing("gold.audience_ilpi"), ("refine",)),
    "gold, after the batch": (kill_before_the_actions, ("refine",)),
    "publication": (kill_before_the_pointer, ("refine",)),
}  # fmt: skip
"""What a process sets for itself, and the stages of its round: the last ones have read already."""

pytestmark = pytest.mark.slow


def prepared(home: Path) -> None:
    (home / "dagster").mkdir(parents=True)
    shutil.copy(CHECKOUT / "dagster.yaml", home / "dagster")
    inbox = home / "input" / "manychat"
    inbox.mkdir(parents=True)
    for file in (SAMPLE / "input" / "manychat").glob("*.csv"):
        shutil.copy(file, inbox)


TABLE = {**sample_table(), "hotmart": {"start_date": "2025-12-01"}}


def a_round(home: Path, environ: dict[str, str], moment: str | None = None) -> None:
    os.environ.update(environ)
    trap, stages = MOMENTS[moment] if moment else (None, STAGES)
    if trap:
        trap()
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        World(home, instance, environ, TABLE).green(*stages)


def in_child(target, *args) -> int | None:
    """Run in a forked process, whose threads are not ours; its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["crm_assets.definitions", "world", "pytest"])
    process = context.Process(target=target, args=args, daemon=True)
    process.start()
    process.join(100)
    return process.exitcode


def tables(home: Path, environ: dict[str, str]) -> dict[str, list]:
    world = World(home, None, environ, TABLE)
    with world.warehouse.write("comparação") as tx:
        found = {
            name: tx.read(f"SELECT {columns} FROM {name} ORDER BY ALL").to_dicts()
            for name, columns in TABLES.items()
        }
    # A run after a kill may know already what the killed one decided: its log may be longer.
    loads = found["bronze.loads"]
    (log,) = (load for load in loads if load["source"] == "actions")
    loads.remove(log)
    assert log["rows"] == world.value("SELECT count(*) FROM bronze.crm_actions")
    return found


@pytest.fixture(scope="module")
def undisturbed(shared_sandbox, tmp_path_factory):
    from crm_resources.hotmart.sandbox import Faults
    from crm_resources.hotmart.sandbox_data import SandboxData

    shared_sandbox.sandbox.reset(SandboxData.load(SAMPLE / "hotmart.json"), Faults())
    home = tmp_path_factory.mktemp("undisturbed")
    environ = sandbox_environ(home, shared_sandbox.url)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        prepared(home)
        with dg.DagsterInstance.ephemeral() as instance:
            World(home, instance, environ, TABLE).green()
    return tables(home, environ)


@pytest.mark.timeout(400)
def test_a_round_after_kills_in_every_layer_gives_what_an_undisturbed_one_gives(
    undisturbed, sandbox, tmp_path, monkeypatch
):
    environ = sandbox_environ(tmp_path, sandbox.url)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    prepared(tmp_path)
    ends = {moment: in_child(a_round, tmp_path, environ, moment) for moment in MOMENTS}
    assert ends == dict.fromkeys(MOMENTS, -signal.SIGKILL)
    a_round(tmp_path, environ)
    assert tables(tmp_path, environ) == undisturbed
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        statuses = {run.status for run in instance.get_runs()}
    assert statuses == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    serving = tmp_path / "db" / "prd" / "default" / "serving"
    assert (serving / (serving / "current").read_text()).exists()


@pytest.mark.parametrize("holds_slot", [True, False])
def test_a_dead_run_leaves_the_refine_pool_and_its_queue(world, tmp_path, holds_slot):
    from crm_assets.rounds import bury_dead_runs
    from crm_assets.steps import refine_pool

    (tmp_path / "instance").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as instance:
        pool, pools = refine_pool(world.site), instance.event_log_storage
        pools.set_concurrency_slots(pool, 1)
        assert pools.claim_concurrency_slot(pool, "dead", "first").is_claimed
        assert not pools.claim_concurrency_slot(pool, "dead too", "second").is_claimed
        if not holds_slot:
            pools.free_concurrency_slots_for_run("dead")

        bury_dead_runs(world.site, instance)

        assert pools.claim_concurrency_slot(pool, "alive", "first").is_claimed
