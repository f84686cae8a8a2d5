"""What somebody who opens the Dagster UI finds on every asset, before and after a run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetNode
from dagster._serdes import serialize_value

from crm_assets.catalogue import column_schema, newest_sql, sql_type
from crm_assets.checks.bronze import HotmartTransactions
from crm_assets.checks.dictionary import TABLES
from crm_assets.checks.gold import Audience, RemarketingBatches
from crm_assets.checks.silver import Customers, FieldChoices
from crm_assets.plots import INLINE
from crm_assets.settings import CHECKOUT
from crm_assets.steps import CONTRACT_KEPT

WITHOUT_TABLE = {"gold.serving", "gold.exports", "gold.churn_report"}
LARGEST = 4096
PLOTS = {
    "silver.sales": {"receita: últimos 30 dias", "receita: 30 dias anteriores"},
    "silver.customers": {"clientes ao longo de um ano"},
    "silver.customer_merges": {"uniões e separações por semana"},
    "silver.subscription_periods": {"assinaturas por semana"},
    "gold.remarketing_batches": {"últimos 30 lotes"},
    "gold.subscription_metrics": {"MRR líquido por semana"},
    "gold.mrr_movements": {"movimentos por semana"},
}


@pytest.fixture(params=["default", "acme"])
def nodes(request: pytest.FixtureRequest, world: Any) -> dict[str, AssetNode]:
    """The assets of a tenant by `layer.name`."""
    owned = replace(world, slug=request.param, table={**world.table, "owners": ["team:vendas"]})
    graph = owned.definitions.get_repository_def().asset_graph
    return {".".join(key.path[-2:]): graph.get(key) for key in graph.get_all_asset_keys()}


def contract_of(name: str) -> Any:
    known = "gold.audience_<name>" if name.startswith("gold.audience_") else name
    assert known in TABLES, f"{known} is missing from the data dictionary"
    return TABLES[known]


def test_every_asset_says_what_it_is_and_whose(nodes):
    descriptions = [node.description or "" for node in nodes.values()]
    assert len(set(descriptions)) == len(nodes)
    for name, node in nodes.items():
        slug, (layer, _) = node.key.path[:-2], name.split(".")
        assert len(node.description.split()) >= 8, name
        assert node.description.endswith("."), name
        assert list(node.owners) == ["team:vendas"], name
        assert node.kinds, name
        assert node.group_name == "_".join([*slug, layer]), name
        assert node.tags["crm/tenant"] == (slug[0] if slug else "default"), name


def test_what_refine_makes_grows_stale_and_what_is_landed_does_not(nodes):
    stale = {name for name, node in nodes.items() if node.freshness_policy}
    assert stale == {name for name in nodes if not name.startswith("bronze.")}


def test_the_columns_of_every_table_are_those_of_its_contract(nodes):
    for name in nodes.keys() - WITHOUT_TABLE:
        metadata = nodes[name].metadata
        schema = metadata["dagster/column_schema"]
        promised = contract_of(name).to_schema().columns
        assert [column.name for column in schema.columns] == list(promised), name
        assert all(column.description and column.type != "string" for column in schema.columns)
        assert metadata["dagster/table_name"] == name


def test_every_table_leads_to_its_page(nodes):
    for name in nodes.keys() - WITHOUT_TABLE:
        assert (CHECKOUT / nodes[name].metadata["documentação"]).exists(), name


def test_every_check_says_in_portuguese_what_it_holds(nodes):
    checks = [check for node in nodes.values() for check in node.assets_def.check_specs]
    assert {check.description for check in checks if check.name == "contract"} == {CONTRACT_KEPT}
    assert all(check.description.endswith(".") for check in checks)


def test_types_are_the_warehouse_s_own():
    types = {column.name: column.type for column in column_schema(Customers).columns}
    assert types["customer_id"] == "VARCHAR"
    assert types["sources"] == "VARCHAR[]"
    assert types["records"] == "BIGINT"
    assert types["opted_out"] == "BOOLEAN"
    assert types["first_seen_at"] == "TIMESTAMPTZ"
    money = {column.name: column.type for column in column_schema(Audience).columns}
    assert money["ltv"] == "DECIMAL(18, 2)"
    assert money["ltv_foreign"] == "STRUCT(currency VARCHAR, amount DECIMAL(18, 2))[]"
    assert sql_type(pl.Time) == "TIME"


def test_what_a_column_must_keep_is_beside_it():
    columns = {column.name: column for column in column_schema(RemarketingBatches).columns}
    assert columns["batch_date"].constraints == dg.TableColumnConstraints(nullable=False)
    assert columns["name"].constraints.nullable
    assert columns["reason"].constraints.other == [
        "um de: carrinho_aberto, nunca_contatado, contato_antigo, restaurado"
    ]
    rules = column_schema(RemarketingBatches).constraints
    assert rules.other == ["sem repetição: batch_date + position"]
    transaction = {c.name: c for c in column_schema(HotmartTransactions).columns}["transaction"]
    assert transaction.constraints.unique


def test_the_newest_date_leaves_out_the_future_and_needs_a_date():
    assert newest_sql(FieldChoices) == ""
    assert '"batch_date" <= $now' in newest_sql(RemarketingBatches)


@pytest.fixture
def refined(world: Any, finished_home: Path) -> dict[str, dict[str, dg.MetadataValue]]:
    """Metadata of the newest materialisation of each asset that a refine run made."""
    shutil.copytree(finished_home, world.home, dirs_exist_ok=True)
    world.green("refine")
    graph = world.definitions.get_repository_def().asset_graph
    found = {}
    for key in graph.get_all_asset_keys():
        event = world.instance.get_latest_materialization_event(key)
        if event:
            metadata = event.asset_materialization.metadata
            found[".".join(key.path)] = dict(metadata)
    return found


@pytest.mark.slow
def test_a_slice_tells_how_new_its_newest_record_is(world):
    key = dg.AssetKey(["bronze", "hotmart_transactions"])
    job = world.definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={key}
    )
    assert job.execute_in_process(
        instance=world.instance, partition_key="2025-11-01", run_config=None
    ).success
    told = world.instance.get_latest_materialization_event(key).asset_materialization.metadata
    newest = world.value(
        "SELECT greatest(max(ordered_at), max(approved_at)) FROM bronze.hotmart_transactions"
    )
    assert told["dado mais recente"].value == newest.timestamp()


@pytest.mark.slow
def test_a_run_tells_rows_age_and_time_and_draws(refined):
    assert {name.split(".")[0] for name in refined} == {"silver", "gold"}
    for name, told in refined.items():
        assert told["segundos"].value >= 0, name
        assert sum(len(serialize_value(value)) for value in told.values()) < LARGEST, name
        if name in WITHOUT_TABLE:
            assert told["bytes"].value > 0
        else:
            rows = told["dagster/row_count"].value
            has_age = bool(newest_sql(contract_of(name))) and rows
            assert ("dado mais recente" in told) == bool(has_age), name

    drawn = {
        name: {
            label for label, value in told.items() if isinstance(value, dg.MarkdownMetadataValue)
        }
        for name, told in refined.items()
    }
    assert {name: labels for name, labels in drawn.items() if labels} == PLOTS
    for name, labels in PLOTS.items():
        for label in labels:
            markdown = refined[name][label].value
            assert len(markdown) < INLINE
            address = markdown.partition("svg+xml,")[2].removesuffix(">)")
            picture = ElementTree.fromstring(address.replace("\\", ""))
            assert picture.findtext("{*}title")
            assert "sem dados" not in "".join(picture.itertext())
