"""Records of the operations store, and a look at its database from outside."""

from datetime import UTC, datetime

from sqlalchemy import NullPool, create_engine

from crm_resources.ops import Action, Load

AT = datetime(2025, 3, 1, 12, tzinfo=UTC)


def load(slice_="2025-01", source="hotmart_transactions", **fields):
    return Load(**{"source": source, "slice": slice_, "status": "landed", "at": AT, **fields})


def action(key, **fields):
    return Action(**{"kind": "batch_selected", "idempotency_key": key, "at": AT, **fields})


def engine(address):
    """An engine of its own on the same database."""
    return create_engine(
        address if "://" in address else f"sqlite:///{address}", poolclass=NullPool
    )


def sql(address, statement):
    with engine(address).begin() as connection:
        result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []
