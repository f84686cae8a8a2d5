"""What the Dagster catalogue tells of a table: its columns, where it is explained, how new it is.

Everything is read from the table's contract, so that the Columns tab and the rows cannot disagree.
"""

from functools import cache
from typing import Any

import dagster as dg
import polars as pl
from polars.datatypes import DataTypeClass

from crm_assets.checks.contract import Contract

DICTIONARY = "docs/data-dictionary.md"

_TYPES: dict[str, str] = {
    "String": "VARCHAR",
    "Int64": "BIGINT",
    "UInt64": "UBIGINT",
    "UInt8": "UTINYINT",
    "Float64": "DOUBLE",
    "Boolean": "BOOLEAN",
    "Date": "DATE",
    "Datetime": "TIMESTAMPTZ",
}


def table_metadata(name: str, contract: type[Contract]) -> dict[str, Any]:
    """What is known of a table before any run.

    Args:
        name: `layer.name`.
        contract: what its rows must keep.
    """
    return {
        "dagster/column_schema": column_schema(contract),
        "dagster/table_name": name,
        "documentação": DICTIONARY,
    }


@cache
def column_schema(contract: type[Contract]) -> dg.TableSchema:
    """The columns of a contract, with the warehouse's own names of types."""
    schema = contract.to_schema()
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                sql_type(column.dtype.type),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=column.unique,
                    other=[
                        f"um de: {', '.join(map(str, check.statistics['allowed_values']))}"
                        for check in column.checks
                        if check.name == "isin"
                    ],
                ),
            )
            for name, column in schema.columns.items()
        ],
        constraints=dg.TableConstraints(
            other=[f"sem repetição: {' + '.join(schema.unique)}"] if schema.unique else []
        ),
    )


def sql_type(dtype: pl.DataType | DataTypeClass) -> str:
    """DuckDB's name of a polars type."""
    match dtype:
        case pl.Decimal():
            return f"DECIMAL({dtype.precision}, {dtype.scale})"
        case pl.List():
            return f"{sql_type(dtype.inner)}[]"
        case pl.Struct():
            fields = ", ".join(f"{field.name} {sql_type(field.dtype)}" for field in dtype.fields)
            return f"STRUCT({fields})"
        case _:
            name = str(dtype.base_type())
            return _TYPES.get(name, name.upper())


def newest_sql(contract: type[Contract]) -> str:
    """SQL of the newest instant or day in any column, not after `$now`; empty without one.

    A date in the future is a plan or a mistake, and when we read a record is not its own date:
    neither tells how new the rows are.
    """
    newest = [
        f'max("{name}") FILTER (WHERE "{name}" <= $now)'
        for name, column in contract.to_schema().columns.items()
        if column.dtype.type.base_type() in {pl.Date, pl.Datetime} and name != "extracted_at"
    ]
    return f"greatest({', '.join(newest)})::TIMESTAMPTZ" if newest else ""
