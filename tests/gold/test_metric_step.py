"""The metrics as a materialised step: any day again, a backfill in one run, changes listed."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest
from lake import frame_of, local, site
from metric_samples import stretch

from crm_assets.checks.events import Carts
from crm_assets.checks.silver import Sales
from crm_assets.checks.subscriptions import SubscriptionHistory, SubscriptionPeriods, Subscriptions
from crm_assets.gold.metrics import TABLES, metric_assets
from crm_assets.resources import MIGRATIONS
from crm_resources.refine_lock import RefineLock
from crm_resources.warehouse import Warehouse

pytestmark = pytest.mark.slow

EMPTY = {
    "silver.sales": Sales,
    "silver.carts": Carts,
    "silver.subscriptions": Subscriptions,
    "silver.subscription_history": SubscriptionHistory,
}


class House:
    """A warehouse with stretches and nothing else."""

    def __init__(self, folder):
        self.folder = folder
        self.warehouse = Warehouse(
            database=str(folder / "warehouse.duckdb"), migrations=str(MIGRATIONS)
        )
        with self.warehouse.write("test") as tx:
            for table, contract in EMPTY.items():
                tx.replace_table(table, frame_of(contract, []))

    def holds(self, *stretches):
        with self.warehouse.write("test") as tx:
            tx.replace_table(
                "silver.subscription_periods", frame_of(SubscriptionPeriods, stretches)
            )

    def materialize(self, instance, *partitions, now="2026-03-15 09:00", only=None):
        place = site(local(now), self.folder)
        ends = {
            "dagster/asset_partition_range_start": partitions[0],
            "dagster/asset_partition_range_end": partitions[-1],
        }
        return dg.materialize(
            metric_assets(place),
            instance=instance,
            selection=only,
            partition_key=partitions[0] if len(partitions) == 1 else None,
            tags=ends if len(partitions) > 1 else None,
            raise_on_error=False,
            resources={
                "warehouse": self.warehouse,
                "refine_lock": RefineLock(path=str(self.folder / "refine.lock")),
            },
        )

    def value(self, sql):
        return self.warehouse.read(sql).item()


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


DAY = dg.AssetKey(["gold", "subscription_metrics"])


def test_a_day_of_the_past_is_made_again_alone_or_in_one_run(house):
    house.holds(stretch(1, "2026-01-10", None, 100), stretch(2, "2026-02-10", None, 50))
    with dg.DagsterInstance.ephemeral() as instance:
        assert house.materialize(instance, "2026-03-15").success
        assert house.value("SELECT count(*) FROM gold.subscription_metrics") == 2 * 65
        done = house.materialize(instance, "2026-02-10")
        assert done.success
        assert instance.get_materialized_partitions(DAY) == {"2026-02-10", "2026-03-15"}
        newest = instance.get_latest_materialization_event(DAY).asset_materialization
        assert newest.metadata["dagster/row_count"].value == 2
        assert newest.metadata["MRR bruto"].value == 150
        done = house.materialize(instance, "2026-01-01", "2026-01-31")
        assert done.success
        assert len(instance.get_materialized_partitions(DAY)) == 33
        assert len(instance.get_runs()) == 3, "one run for the whole backfill"
    assert house.value("SELECT count(*) FROM gold.metric_changes") == 0


@pytest.mark.slow
def test_a_late_fact_changes_the_past_and_is_listed_by_the_run_that_saw_it(house):
    house.holds(stretch(1, "2026-01-10", None, 100))
    with dg.DagsterInstance.ephemeral() as instance:
        assert house.materialize(instance, "2026-03-15").success
        house.holds(stretch(1, "2026-01-10", "2026-03-10", 100, ended_by="refunded"))
        done = house.materialize(instance, "2026-03-12")
        assert done.success
        listed = dg.AssetKey(["gold", "metric_changes"])
        newest = instance.get_latest_materialization_event(listed).asset_materialization
        counted = house.value("SELECT count(*) FROM gold.metric_changes")
        assert newest.metadata["mudanças nesta execução"].value == counted > 0
        assert house.value("SELECT DISTINCT run_id FROM gold.metric_changes") == done.run_id
    listed = house.warehouse.read(
        "SELECT period_start, was, now FROM gold.metric_changes "
        "WHERE metric = 'subscription_metrics.subscriptions' AND currency = 'home' ORDER BY ALL"
    ).rows()
    assert [(day.day, int(was), int(now)) for day, was, now in listed] == [
        (day, 1, 0) for day in range(10, 15)
    ]


@pytest.mark.slow
def test_what_breaks_a_promise_leaves_the_figures_as_they_were(house):
    house.holds(stretch(1, "2026-01-10", None, 100))
    with dg.DagsterInstance.ephemeral() as instance:
        assert house.materialize(instance, "2026-03-15").success
        house.holds(stretch(1, "2026-01-10", None, 100) | {"currency": "reais"})
        done = house.materialize(instance, "2026-03-15")
        assert not done.success
        failed = [check for check in done.get_asset_check_evaluations() if not check.passed]
        assert {check.check_name for check in failed} == {"contract"}
    currencies = house.warehouse.read("SELECT DISTINCT currency FROM gold.subscription_metrics")
    assert set(currencies["currency"]) == {"BRL", "home"}


def test_one_table_alone_can_be_asked_for(house):
    """`dagster asset materialize --select gold/subscription_metrics --partition 2026-02-10`."""
    house.holds(stretch(1, "2026-01-10", None, 100))
    with dg.DagsterInstance.ephemeral() as instance:
        done = house.materialize(instance, "2026-02-10", only=[DAY])
        assert done.success
        assert [event.asset_key for event in done.get_asset_materialization_events()] == [DAY]
        checks = {check.check_name for check in done.get_asset_check_evaluations()}
        assert checks == {"contract", "recontado_dos_periodos"}
    assert house.value("SELECT count(*) FROM gold.mrr_movements WHERE grain = 'day'") == 2 * 65


def test_every_table_of_the_step_has_its_own_asset():
    (step,) = metric_assets(site())
    assert {".".join(key.path) for key in step.keys} == {table.name for table in TABLES}
    assert step.partitions_def.get_first_partition_window().start.date() == date(2026, 1, 1)
    assert step.backfill_policy == dg.BackfillPolicy.single_run()
