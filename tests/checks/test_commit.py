"""A step that breaks a contract or a reconciliation: rolled back, recorded, old rows in place."""

from __future__ import annotations

import dagster as dg
import pandera.polars as pa
import pytest
from lake import site

from crm_assets.checks.contract import Contract, Verdict
from crm_assets.resources import MIGRATIONS
from crm_assets.steps import Reconciliation, Table, table_step
from crm_resources.warehouse import Warehouse

pytestmark = pytest.mark.slow


class Counted(Contract):
    """Numbers from one."""

    n: int = pa.Field(ge=1, description="number")


TABLE = Table("silver.counted", Counted, "Números.")


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(database=str(tmp_path / "warehouse.duckdb"), migrations=str(MIGRATIONS))


def materialize(warehouse, select, holds=True):
    """Run a step that fills the table with `select`; its reconciliation passes when told."""

    def write(tx):
        tx.replace_table(TABLE.name, select)
        return {TABLE.name: {"contado": 1}}

    step = table_step(
        site(),
        "counted",
        [TABLE],
        write=write,
        reconciliations=[
            Reconciliation(TABLE.name, "soma", "Soma.", lambda tx: Verdict("soma", holds, {"a": 1}))
        ],
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [step],
            instance=instance,
            raise_on_error=False,
            resources={
                "warehouse": warehouse,
                "refine_lock": dg.ResourceDefinition.none_resource(),
            },
        )
        checks = {c.check_name: c.passed for c in result.get_asset_check_evaluations()}
        failures = [e.step_failure_data for e in result.all_events if e.is_step_failure]
        told = [f.user_failure_data.description for f in failures]
        materialized = bool(result.get_asset_materialization_events())
    return result.success, checks, materialized, told


def rows(warehouse):
    return warehouse.read("SELECT n FROM silver.counted ORDER BY n")["n"].to_list()


def test_what_holds_is_committed_and_both_checks_are_recorded(warehouse):
    success, checks, materialized, _ = materialize(warehouse, "SELECT 1::BIGINT AS n")
    assert (success, materialized) == (True, True)
    assert checks == {"contract": True, "soma": True}
    assert rows(warehouse) == [1]


@pytest.mark.parametrize(
    ("select", "holds", "checks", "named"),
    [
        ("SELECT -4211::BIGINT AS n", True, {"contract": False, "soma": True}, "n: greater_than"),
        ("SELECT 7::BIGINT AS n", False, {"contract": True, "soma": False}, "soma"),
        ("SELECT -4211::BIGINT AS n", False, {"contract": False, "soma": False}, "soma"),
        ("SELECT 7::INTEGER AS n", True, {"contract": False, "soma": True}, "dtype"),
        ("SELECT 7::BIGINT AS n, 1 AS m", True, {"contract": False, "soma": True}, "column_in"),
    ],
)
def test_what_does_not_hold_is_rolled_back_and_recorded(warehouse, select, holds, checks, named):
    materialize(warehouse, "SELECT 1::BIGINT AS n")
    success, recorded, materialized, told = materialize(warehouse, select, holds)
    assert (success, materialized) == (False, False)
    assert recorded == checks
    assert rows(warehouse) == [1]
    assert named in told[0]
    assert "as linhas anteriores ficaram" in told[0]
    assert "4211" not in told[0]


def test_a_value_the_database_refuses_is_not_shown(warehouse):
    materialize(warehouse, "SELECT 1::BIGINT AS n")
    success, _, materialized, told = materialize(
        warehouse, "SELECT CAST('maria@example.com' AS BIGINT) AS n"
    )
    assert (success, materialized) == (False, False)
    assert rows(warehouse) == [1]
    assert "maria" not in told[0]
