"""Contracts that ask for nothing but types."""

from __future__ import annotations

import pandera.polars as pa
from lake import Lake

from crm_assets.checks.contract import Contract, check_table, failures_by_sql


class Free(Contract):
    """Every cell may be empty."""

    name: str = pa.Field(nullable=True)


def test_a_contract_without_rules_is_kept_by_any_rows_of_its_types():
    lake = Lake()
    lake.put("silver.free", Free, {"name": None}, {"name": "x"})
    assert failures_by_sql(lake.tx, "silver.free", Free) == {}
    assert check_table(lake.tx, "silver.free", Free, pandera_up_to=0).passed
    lake.tx.execute("CREATE OR REPLACE TABLE silver.free AS SELECT 1 AS name")
    assert not check_table(lake.tx, "silver.free", Free, pandera_up_to=0).passed
