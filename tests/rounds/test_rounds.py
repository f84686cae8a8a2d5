"""Rounds one after another: what changes, what does not, and who sees whom."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import dagster as dg
import pytest
from world import SAMPLE, World

from crm_assets.definitions import build, site_of
from crm_assets.plan import RANGE_END_TAG, RANGE_START_TAG
from crm_assets.rounds import run_round
from crm_resources.hotmart.sandbox_data import SandboxData

ANSWERS = {
    "customers": "SELECT * EXCLUDE (last_contact_at) FROM silver.customers ORDER BY customer_id",
    "sales": "FROM silver.sales ORDER BY sale_id",
    "ids": "FROM silver.customer_ids ORDER BY customer_id",
    "merges": "FROM silver.customer_merges ORDER BY ALL",
    "xref": "FROM silver.customer_xref ORDER BY ALL",
    "lineage": "FROM silver.customer_lineage ORDER BY ALL",
    "ilpi": "FROM gold.audience_ilpi ORDER BY customer_id",
    "estetica": "FROM gold.audience_estetica ORDER BY customer_id",
    "batch": "SELECT batch_date, position, customer_id, phone, email, name, audiences "
    "FROM gold.remarketing_batches ORDER BY ALL",
    "contacts": "SELECT * EXCLUDE (run_id) FROM bronze.manychat_contacts ORDER BY slice, line",
    "transactions": "SELECT * EXCLUDE (run_id, extracted_at) FROM bronze.hotmart_transactions "
    "ORDER BY transaction",
    "changes": "FROM bronze.hotmart_status_changes",
    "rejects": "SELECT * EXCLUDE (run_id) FROM bronze.rejects ORDER BY ALL",
}


def answers(world: World) -> dict[str, list[dict]]:
    with world.warehouse.write("comparação") as tx:
        return {name: tx.read(sql).to_dicts() for name, sql in ANSWERS.items()}


def change_sale(sandbox, transaction: str, **purchase: object) -> None:
    """The vendor's side changes its mind about one sale."""
    changed = json.loads((SAMPLE / "hotmart.json").read_text())
    for item in changed["sales"]:
        if item["purchase"]["transaction"] == transaction:
            item["purchase"] |= purchase
    path = sandbox.path / "changed.json"
    path.write_text(json.dumps(changed))
    sandbox.server.sandbox.data = SandboxData.load(path)


@pytest.fixture
def vendor(sandbox, tmp_path):
    class Vendor:
        path = tmp_path
        server = sandbox

    return Vendor


@pytest.mark.slow
def test_a_second_round_changes_nothing_but_ages_and_learns_the_selection(finished):
    contacted = "SELECT count(*) FROM silver.contact_history WHERE kind = 'lote_remarketing'"
    assert finished.value(contacted) == 0
    before = answers(finished)
    again = finished.at("2026-03-15T15:00:00-03:00")
    done = again.green()
    assert answers(again) == before
    assert again.value(contacted) == 19
    assert again.rows("SELECT DISTINCT status FROM gold.remarketing_batches") == [
        {"status": "entregue"}
    ]
    assert [outcome.slices for outcome in done.outcomes if outcome.stage == "hotmart"] == [
        ("2025-12-01", "2026-01-01", "2026-02-01", "2026-03-01")
    ]
    assert done.ages["hotmart_transactions"] == datetime(2026, 3, 15, 18, tzinfo=UTC)
    assert done.ages["manychat"] == datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.mark.slow
def test_a_late_refund_lowers_the_value_and_is_dated_by_the_run_that_saw_it(finished, vendor):
    ltv = "SELECT sum(ltv) FROM gold.audience_estetica"
    before = finished.value(ltv)
    change_sale(vendor, "HP2025001781", status="REFUNDED")
    later = finished.at("2026-03-17T09:00:00-03:00")
    later.green("hotmart")
    later.green("hotmart", "refine")
    assert before - later.value(ltv) == Decimal("697.00")
    (sale,) = later.rows("FROM silver.sales WHERE sale_id = 'hotmart:HP2025001781'")
    assert (sale["is_refunded"], sale["was_paid"], sale["is_paid"]) == (True, True, False)
    assert sale["refunded_at"] == datetime(2026, 3, 17, 12, tzinfo=UTC)
    assert later.value("SELECT count(*) FROM bronze.hotmart_status_changes") == 1


@pytest.mark.slow
def test_a_refund_older_than_90_days_is_seen_by_the_weekly_reading(finished, vendor):
    change_sale(vendor, "HP2025000137", status="REFUNDED")
    value = "SELECT coalesce(sum(ltv), 0) FROM gold.audience_ilpi WHERE name = 'Carla Dias'"
    days = {day: finished.at(f"2026-03-{day}T09:00:00-03:00") for day in (21, 22)}
    said = "SELECT status FROM bronze.hotmart_transactions WHERE transaction = 'HP2025000137'"
    days[21].green("hotmart")
    assert (days[21].value(said), days[21].value(value)) == ("COMPLETE", Decimal("297.00"))
    days[22].green("hotmart", "refine")
    assert (days[22].value(said), days[22].value(value)) == ("REFUNDED", 0)


@pytest.mark.slow
def test_a_vanished_sale_leaves_with_its_slice(finished, vendor):
    vendor.server.sandbox.data = SandboxData([])
    finished.green("hotmart", "refine")
    closed = {f"2025-{month:02}-01" for month in (6, 8, 9, 10, 11)}
    for table, months in (
        ("transactions", closed),
        ("customers", {*closed, "2026-03-01"}),
    ):
        found = finished.rows(f"SELECT DISTINCT slice FROM bronze.hotmart_{table}")
        assert {row["slice"] for row in found} == months, "buyers of an open month are kept"


@pytest.mark.slow
def test_hml_reads_the_whole_month_before_into_its_own_stores(finished):
    hml = replace(finished, environ={**finished.environ, "ENVIRONMENT": "hml"})
    done = hml.green("hotmart")
    assert done.outcomes[0].slices == ("2026-02-01",)
    assert done.outcomes[0].note == "mês anterior inteiro"
    (load,) = (load for load in hml.ops.loads("hotmart_transactions"))
    assert (load.complete, load.rows) == (True, 15)
    assert hml.value("SELECT count(*) FROM bronze.hotmart_transactions") == 15
    assert finished.value("SELECT count(*) FROM bronze.hotmart_transactions") == 73


@pytest.mark.slow
def test_dev_reads_yesterday_and_leaves_the_rest_of_its_month(world):
    dev = replace(world, environ={**world.environ, "ENVIRONMENT": "dev"})
    dev.at("2026-03-14T09:00:00-03:00").green("hotmart")
    done = dev.at("2026-03-12T09:00:00-03:00").green("hotmart", "refine")
    assert done.outcomes[0].note == "só ontem; use prd ou um backfill"
    sales = dev.rows("SELECT transaction FROM bronze.hotmart_transactions ORDER BY ALL")
    assert [row["transaction"] for row in sales] == ["HP2025003836", "HP2025003973"]
    (load,) = dev.ops.loads("hotmart_transactions")
    assert load.complete is False


def materialize(world: World, job: str, **tags: str) -> dg.ExecuteInProcessResult:
    return world.definitions.resolve_job_def(job).execute_in_process(
        instance=world.instance, tags=tags, raise_on_error=False
    )


@pytest.mark.slow
def test_a_backfill_of_many_slices_is_one_run_with_metadata_per_slice(world):
    tags = {RANGE_START_TAG: "2025-06-01", RANGE_END_TAG: "2025-12-01"}
    result = materialize(world, "hotmart", **tags)
    assert result.success
    found = {
        event.partition: event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["bronze", "hotmart_transactions"])
    }
    assert len(found) == 7
    rows = {key: metadata["dagster/row_count"].value for key, metadata in found.items()}
    assert {key: count for key, count in rows.items() if count} == {
        "2025-06-01": 1, "2025-08-01": 1, "2025-09-01": 1, "2025-10-01": 7, "2025-11-01": 11,
        "2025-12-01": 12,
    }  # fmt: skip
    assert found["2025-06-01"]["conferido"].value == "sim"
    assert all(load.complete for load in world.ops.loads("hotmart_transactions"))


@pytest.mark.slow
def test_a_slice_outside_the_configured_period_keeps_its_rows_and_says_so(world):
    assert materialize(
        world, "hotmart", **{RANGE_START_TAG: "2025-10-01", RANGE_END_TAG: "2025-11-01"}
    ).success
    count = world.value("SELECT count(*) FROM bronze.hotmart_transactions")
    world.table = {**world.table, "hotmart": {**world.table["hotmart"], "end_date": "2025-10-05"}}
    result = materialize(
        world, "hotmart", **{RANGE_START_TAG: "2025-10-01", RANGE_END_TAG: "2025-11-01"}
    )
    assert result.success
    windows = {
        event.partition: event.materialization.metadata["janela"].value
        for event in result.get_asset_materialization_events()
    }
    assert windows["2025-11-01"] == "nada a ler neste período"
    assert "2025-10-06T02:59:59.999" in windows["2025-10-01"]
    assert world.value("SELECT count(*) FROM bronze.hotmart_transactions") == count


@pytest.mark.slow
def test_a_file_read_again_from_its_copy_gives_the_same_rows(finished):
    before = answers(finished)
    keys = [load.slice for load in finished.ops.loads("manychat")]
    finished.instance.add_dynamic_partitions("default/manychat_files", keys)
    later = finished.at("2026-03-16T09:00:00-03:00")
    for key in keys:
        assert materialize(later, "manychat", **{"dagster/partition": key}).success
    contacts = answers(later)
    assert contacts["contacts"] == before["contacts"]
    assert contacts["rejects"] == before["rejects"]


def test_a_partition_without_a_copy_fails_and_keeps_its_rows(finished):
    (key, *_) = [load.slice for load in finished.ops.loads("manychat")]
    finished.instance.add_dynamic_partitions("default/manychat_files", [key, "2026-01-01_nada"])
    (finished.folder / "raw" / "manychat" / f"{key}.csv").unlink()
    for partition in (key, "2026-01-01_nada"):
        assert not materialize(finished, "manychat", **{"dagster/partition": partition}).success
    (load,) = [load for load in finished.ops.loads("manychat") if load.slice == key]
    assert load.status == "landed"
    assert finished.value("SELECT count(*) FROM bronze.manychat_contacts") == 32


@pytest.mark.slow
def test_two_tenants_of_one_location_do_not_see_each_other(world, sandbox):
    acme = World(
        world.home,
        world.instance,
        {**world.environ, "ACME_HOTMART_CLIENT_ID": "sandbox-id"},
        {"hotmart": {"start_date": "2026-02-01", "client_secret_env": "HOTMART_CLIENT_SECRET"}},
        "acme",
    )
    shutil.copy(SAMPLE / "input" / "manychat" / "contatos_api.csv", acme.inbox)
    (world.inbox / "c.csv").write_text("email\nso.daqui@example.com\n")
    world.table = {**world.table, "hotmart": {"start_date": "2026-03-01"}}
    tenants = {"default": world.tenant, "acme": acme.tenant}
    both = build(world.settings, tenants)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACME_HOTMART_CLIENT_ID", "sandbox-id")
        for tenant in tenants.values():
            site = site_of(tenant, world.settings)
            done = run_round(site, both, world.instance)
            assert done.ok, [outcome.errors for outcome in done.outcomes]
    own = "SELECT count(*) FROM silver.customers WHERE email = 'so.daqui@example.com'"
    assert (world.value(own), acme.value(own)) == (1, 0)
    assert acme.value("SELECT count(*) FROM bronze.manychat_contacts") == 10
    assert world.value("SELECT count(*) FROM bronze.manychat_contacts") == 1
    assert acme.value("SELECT min(slice) FROM bronze.hotmart_transactions") == "2026-02-01"
    assert world.value("SELECT min(slice) FROM bronze.hotmart_transactions") == "2026-03-01"
    assert acme.value("SELECT count(*) FROM gold.audience_todos") > 0
    assert {load.source for load in acme.ops.loads()} == {load.source for load in world.ops.loads()}
    assert world.instance.get_dynamic_partitions("default/manychat_files") != (
        world.instance.get_dynamic_partitions("acme/manychat_files")
    )


@pytest.mark.slow
def test_a_removed_warehouse_is_filled_again(finished):
    """Nothing is taken for read that the warehouse does not hold; whoever was contacted, was."""
    before = answers(finished)
    (finished.folder / "warehouse.duckdb").unlink()
    refused = finished.round("refine")
    assert "tudo_que_entrou_esta_aqui" in refused.outcomes[0].errors[0]
    assert "rode `uv run crm run`, a rodada inteira" in refused.outcomes[0].errors[0]
    assert refused.lost > 15
    finished.green()
    assert answers(finished) == before


@pytest.mark.slow
def test_a_warehouse_put_back_from_a_copy_catches_up(finished, tmp_path):
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes((finished.folder / "warehouse.duckdb").read_bytes())
    later = finished.at("2026-03-17T09:00:00-03:00")
    later.green()
    before = answers(later)
    (later.folder / "warehouse.duckdb").write_bytes(copy.read_bytes())
    assert later.green().lost > 0
    assert answers(later) == before


@pytest.mark.slow
def test_whoever_was_contacted_before_a_rebuild_is_not_contacted_again(finished):
    """The rebuilt master may know them by other ids: their keys find them."""
    people = "SELECT list(phone) FROM gold.remarketing_batches"
    first = set(finished.value(people))
    (finished.folder / "warehouse.duckdb").unlink()
    later = finished.at("2026-03-16T09:00:00-03:00")
    later.green()
    new = f"{people} WHERE batch_date = '2026-03-16'"
    assert not first & set(later.value(new) or [])
    contacts = "SELECT count(*) FROM silver.contact_history WHERE kind = 'lote_remarketing'"
    assert later.value(contacts) == len(first)
