"""The batch as a materialised step: commit, then the action log; kills and refused days."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest
from lake import DEFAULTS, cus, frame_of, local, site

from crm_assets.checks.silver import (
    ContactHistory,
    ContactRecords,
    CustomerLineage,
    Customers,
    Sales,
)
from crm_assets.gold.remarketing import remarketing_assets
from crm_assets.resources import MIGRATIONS
from crm_resources.ops.resource import OpsResource
from crm_resources.ops.store import Action, OpsStore
from crm_resources.warehouse import Warehouse

pytestmark = pytest.mark.slow

D = date(2026, 3, 15)
RECORDS = [
    {"record_id": "r1", "source_id": "r1", "email_key": "a@example.com", "phone": "+5511900000001"}
]
LINEAGE = [
    {"customer_id": cus(1), "field": field, "record_id": "r1"}
    for field in ("email", "phone", "name")
]


class Shop:
    def __init__(self, folder):
        self.folder = folder
        self.warehouse = Warehouse(
            database=str(folder / "warehouse.duckdb"), migrations=str(MIGRATIONS)
        )
        self.ops = OpsStore(folder / "ops.sqlite", "default")
        people = [{"customer_id": cus(n), "phone": f"+55119{n:08}"} for n in range(1, 4)]
        with self.warehouse.write("test") as tx:
            tx.replace_table("silver.customers", frame_of(Customers, people))
            tx.replace_table("silver.sales", frame_of(Sales, []))
            tx.replace_table("silver.contact_history", frame_of(ContactHistory, []))
            tx.replace_table("silver.customer_lineage", frame_of(CustomerLineage, LINEAGE))
            tx.replace_table("silver.contact_records", frame_of(ContactRecords, RECORDS))
            for row in people:
                tx.execute(
                    "INSERT INTO silver.customer_ids VALUES ($id, 'x', now(), $id)",
                    {"id": row["customer_id"]},
                )

    def materialize(self, instance, now=f"{D} 09:00", partition=str(D)):
        place = site(local(now), self.folder)
        return dg.materialize(
            remarketing_assets(place),
            instance=instance,
            partition_key=partition,
            raise_on_error=False,
            resources={
                "warehouse": self.warehouse,
                "ops": OpsResource(url=str(self.folder / "ops.sqlite"), tenant="default"),
                "refine_lock": dg.ResourceDefinition.none_resource(),
            },
        )

    def logged(self):
        return self.ops.actions().select("kind", "day", "customer_id").rows()


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


SELECTED = [("batch_selected", D, cus(n)) for n in (1, 2, 3)]


def test_selection_is_told_to_the_log_once(shop, instance):
    for _ in range(2):
        assert shop.materialize(instance).success
        assert shop.logged() == SELECTED


def test_a_selection_names_its_keys_so_that_a_rebuilt_master_finds_the_person(shop, instance):
    shop.materialize(instance)
    keys = shop.ops.actions().select("email_key", "phone_key").rows()
    assert keys == [("a@example.com", "+5511900000001"), (None, None), (None, None)]


def test_a_kill_between_commit_and_log_is_completed_by_the_next_run(shop, instance, monkeypatch):
    def killed(self, actions):
        raise RuntimeError("morto")

    with monkeypatch.context() as patch:
        patch.setattr(OpsStore, "append_actions", killed)
        assert not shop.materialize(instance).success
    assert shop.logged() == []
    committed = "SELECT count(*) AS n FROM gold.remarketing_batches"
    assert shop.warehouse.read(committed).item() == 3
    next_day = "2026-03-16"
    assert shop.materialize(instance, f"{next_day} 09:00", next_day).success
    assert shop.logged()[:3] == SELECTED


def test_what_the_log_learnt_since_silver_was_built_counts(shop, instance):
    """Delivered after the last refine: yesterday's people are not taken again."""
    shop.materialize(instance)
    shop.ops.append_actions(
        [Action(kind="batch_delivered", idempotency_key="d", day=D, customer_id=cus(2))]
    )
    shop.materialize(instance, "2026-03-16 09:00", "2026-03-16")
    batch = shop.warehouse.read(
        "SELECT customer_id FROM gold.remarketing_batches WHERE batch_date = '2026-03-16'"
        " ORDER BY position"
    )
    assert batch["customer_id"].to_list() == [cus(1), cus(3)]


def test_a_past_day_selects_nobody(shop, instance):
    result = shop.materialize(instance, partition="2026-03-10")
    assert result.success
    assert shop.logged() == []


def test_a_broken_selection_is_rolled_back_and_the_check_recorded(shop, instance):
    """Silver that lost a recent purchase of the customer table must not be able to select."""
    recent = {
        **DEFAULTS[Sales],
        "sale_id": "s",
        "order_id": "o",
        "customer_id": cus(2),
        "paid_at": local(f"{D} 08:00"),
    }
    with shop.warehouse.write("test") as tx:
        tx.replace_table("silver.sales", frame_of(Sales, [recent]))
    result = shop.materialize(instance)
    assert not result.success
    checks = {c.check_name: c.passed for c in result.get_asset_check_evaluations()}
    assert checks["ninguem_dentro_da_janela"] is False
    assert result.get_asset_materialization_events() == []
    assert shop.warehouse.read("SELECT count(*) AS n FROM gold.remarketing_batches").item() == 0
    assert shop.logged() == []
