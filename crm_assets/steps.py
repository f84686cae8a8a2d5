"""How an asset writes tables: one transaction, validated before its commit, reported in the step.

Every asset that rebuilds tables is a `table_step`: a pure `write(tx)` that fills them, the contract
of each, and reconciliations with earlier tables. When anything is broken the transaction is rolled
back, the failed check is recorded, and the run fails with the old rows in place (design 10).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from time import perf_counter
from typing import Any

import dagster as dg
import duckdb
import polars as pl

from crm_assets.catalogue import newest_sql, table_metadata
from crm_assets.checks.contract import Contract, Verdict, check_table
from crm_assets.partitions import Partitions
from crm_assets.settings import Settings
from crm_assets.tenants import DEFAULT, Tenant
from crm_resources.locks import Busy
from crm_resources.ops import OpsStore
from crm_resources.warehouse import BadValueError, Transaction, Warehouse

Events = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]
Metadata = dict[str, Any]

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36))
"""What a refine run rebuilds is stale after a day and a half; a source's age is in the loads."""

CONTRACT_KEPT = "Colunas, tipos e valores são os que a tabela promete; do contrário nada é gravado."

DATABASE_ERRORS = (duckdb.Error, BadValueError, Busy, OSError)
"""What the warehouse and its disk raise; the messages never show a value of a row."""

_WITH_VALUES = (pl.exceptions.PolarsError,)
"""What may quote a value: only its kind is told (design 10)."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: `layer.name`.
        contract: what its rows must keep.
        description: what it is, in plain words for the people who open the UI.
        reads: the tables it is made from.
    """

    name: str
    contract: type[Contract]
    description: str
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """What an asset makes outside the warehouse, described like a table."""

    name: str
    description: str
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconciliation:
    """An identity between tables that must hold before `table` is committed."""

    table: str
    name: str
    description: str
    check: Callable[[Transaction], Verdict]


@dataclass(frozen=True)
class Site:
    """One tenant's place in the graph: names, partitions and resources of its assets."""

    tenant: Tenant
    settings: Settings
    partitions: Partitions

    def today(self) -> date:
        """The present calendar day of the tenant."""
        return self.settings.today(self.tenant.timezone)

    def key(self, table: str) -> dg.AssetKey:
        """Asset key of `layer.name`; named tenants stand before it (design 3)."""
        path = table.split(".")
        return dg.AssetKey(path if self.tenant.slug == DEFAULT else [self.tenant.slug, *path])

    def group(self, table: str) -> str:
        """Group of the table's layer."""
        return "_".join(self.key(table).path[:-1])

    def op_name(self, name: str) -> str:
        """Name of a step, unique over tenants."""
        return f"{self.tenant.slug}__{name}"

    def resource_key(self, name: str) -> str:
        """Key under which this tenant's resource is registered."""
        return name if self.tenant.slug == DEFAULT else f"{self.tenant.slug}_{name}"

    def resource_keys(self, *names: str) -> set[str]:
        """Keys of several resources."""
        return {self.resource_key(name) for name in names}

    def resource(self, context: Any, name: str) -> Any:
        """This tenant's resource in a running step."""
        return getattr(context.resources, self.resource_key(name))

    def warehouse(self, context: Any) -> Warehouse:
        """This tenant's warehouse."""
        warehouse: Warehouse = self.resource(context, "warehouse")
        return warehouse

    def ops_store(self) -> OpsStore:
        """This tenant's operations store, outside a step."""
        slug = self.tenant.slug
        return OpsStore(self.settings.ops_address(slug), self.settings.ops_tenant(slug))

    def ops(self, context: Any) -> OpsStore:
        """This tenant's operations store."""
        store: OpsStore = self.resource(context, "ops").store()
        return store

    def run_began_at(self, context: Any) -> datetime:
        """When the run was made: the one time that all its rows carry (design 6)."""
        record = context.instance.get_run_record_by_id(context.run.run_id)
        made_at: datetime = record.create_timestamp
        return self.settings.fixed_now or made_at

    def spec(self, made: Table | Output, **more: Any) -> dg.AssetSpec:
        """Asset spec of what an asset makes."""
        known = table_metadata(made.name, made.contract) if isinstance(made, Table) else {}
        return dg.AssetSpec(
            self.key(made.name),
            deps=[self.key(name) for name in made.reads],
            description=made.description,
            group_name=self.group(made.name),
            owners=list(self.tenant.owners),
            tags={"crm/tenant": self.tenant.slug},
            metadata=known,
            **{"kinds": {"duckdb"}, **more},
        )

    def contract_spec(self, table: Table) -> dg.AssetCheckSpec:
        """Check spec of a table's contract."""
        return dg.AssetCheckSpec(
            "contract", asset=self.key(table.name), blocking=True, description=CONTRACT_KEPT
        )

    def reconciliation_spec(self, reconciliation: Reconciliation) -> dg.AssetCheckSpec:
        """Check spec of a reconciliation."""
        return dg.AssetCheckSpec(
            reconciliation.name,
            asset=self.key(reconciliation.table),
            blocking=True,
            description=reconciliation.description,
        )


def table_step(
    site: Site,
    name: str,
    tables: Sequence[Table],
    write: Callable[[Transaction], Mapping[str, Metadata]],
    reconciliations: Sequence[Reconciliation] = (),
    prepare: Callable[[Transaction], None] | None = None,
) -> dg.AssetsDefinition:
    """An unpartitioned step of the refine job that rebuilds `tables` in one transaction.

    Args:
        site: the tenant's place.
        name: name of the step.
        tables: what it writes.
        write: fills the tables; returns metadata by table name.
        reconciliations: identities checked before the commit.
        prepare: makes temporary tables for `write`, before its transaction (`Session.outside`).
    """

    @dg.multi_asset(
        name=site.op_name(name),
        specs=[site.spec(table, freshness_policy=FRESH) for table in tables],
        check_specs=[
            *(site.contract_spec(table) for table in tables),
            *(site.reconciliation_spec(r) for r in reconciliations),
        ],
        pool=refine_pool(site),
        required_resource_keys=site.resource_keys("warehouse", "refine_lock"),
    )
    def step(context: dg.AssetExecutionContext) -> Events:
        yield from commit(
            site, site.warehouse(context), name, tables, write, reconciliations, prepare
        )

    return step


def refine_pool(site: Site) -> str:
    """Pool in which the refine steps of one tenant queue."""
    return f"{site.tenant.slug}_refine"


def commit(
    site: Site,
    warehouse: Warehouse,
    purpose: str,
    tables: Sequence[Table],
    write: Callable[[Transaction], Mapping[str, Metadata]],
    reconciliations: Sequence[Reconciliation] = (),
    prepare: Callable[[Transaction], None] | None = None,
) -> Events:
    """Prepare, write, validate, commit, report; or roll back, report and fail.

    Raises:
        dg.Failure: a contract or a reconciliation is broken, or the database refused.
    """
    started = perf_counter()
    verdicts: dict[str, list[Verdict]] = {table.name: [] for table in tables}
    try:
        with warehouse.session(purpose) as session:
            if prepare:
                prepare(session.outside)
            with session.begin() as tx:
                told = write(tx)
                for table in tables:
                    verdicts[table.name].append(check_table(tx, table.name, table.contract))
                for reconciliation in reconciliations:
                    verdicts[reconciliation.table].append(reconciliation.check(tx))
                broken = [
                    f"{table}: {verdict.metadata.get('falhas') or verdict.name}"
                    for table, of_table in verdicts.items()
                    for verdict in of_table
                    if not verdict.passed
                ]
                if broken:
                    raise _Broken
                rows = {table.name: tx.count(table.name) for table in tables}
                ages = {table.name: newest(site, tx, table) for table in tables}
    except _Broken:
        for failed in check_results(site, verdicts).values():
            yield from failed
        remedies = dict.fromkeys(
            f" {verdict.remedy}"
            for of_table in verdicts.values()
            for verdict in of_table
            if not verdict.passed and verdict.remedy
        )
        raise dg.Failure(
            f"Conferência não passou ({', '.join(broken)}); as linhas anteriores ficaram."
            + "".join(remedies),
            allow_retries=False,
        ) from None
    except DATABASE_ERRORS as error:
        raise dg.Failure(
            f"{purpose} não foi gravado e as linhas anteriores ficaram: {error}",
            allow_retries=False,
        ) from None
    except _WITH_VALUES as error:
        raise dg.Failure(
            f"{purpose} não foi gravado e as linhas anteriores ficaram: {type(error).__name__}.",
            allow_retries=False,
        ) from None
    results = check_results(site, verdicts)
    for table in tables:
        yield dg.MaterializeResult(
            asset_key=site.key(table.name),
            metadata={
                "dagster/row_count": rows[table.name],
                **ages[table.name],
                **told.get(table.name, {}),
                "segundos": round(perf_counter() - started, 2),
            },
            check_results=results[table.name],
        )


def newest(site: Site, tx: Transaction, table: Table, slice_key: str | None = None) -> Metadata:
    """The newest instant in a table, or in one slice of it, as metadata; empty without any."""
    age = newest_sql(table.contract)
    if not age:
        return {}
    sql = f"SELECT {age} FROM {table.name}"
    params: dict[str, object] = {"now": site.settings.now()}
    if slice_key is not None:
        sql += " WHERE slice = $slice"
        params["slice"] = slice_key
    instant = tx.read(sql, params).item()
    return {"dado mais recente": dg.MetadataValue.timestamp(instant)} if instant else {}


def check_results(
    site: Site, verdicts: Mapping[str, Sequence[Verdict]]
) -> dict[str, list[dg.AssetCheckResult]]:
    """Verdicts by table as Dagster check results."""
    return {
        table: [
            dg.AssetCheckResult(
                asset_key=site.key(table),
                check_name=verdict.name,
                passed=verdict.passed,
                metadata=dict(verdict.metadata),
            )
            for verdict in of_table
        ]
        for table, of_table in verdicts.items()
    }


class _Broken(Exception):
    """Ends the transaction of a step whose checks did not pass."""
