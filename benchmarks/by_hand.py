"""The same work without Dagster: what a script of our own functions would cost.

Each step's function is called in the order of its job, over one connection that stays open. What is
left out: Dagster's run, its events and their database; opening, locking and closing the warehouse
around every step; and the contracts and reconciliations before each commit, unless asked for. What
stays in: the same SQL and the same column rules, one transaction per step, the snapshot, the files.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import dagster as dg
from duckdb import DuckDBPyConnection
from pydantic import PrivateAttr

from benchmarks.processes import clock
from crm_assets import steps
from crm_assets.resources import tenant_resources
from crm_assets.steps import Events, Site
from crm_resources.warehouse import Warehouse


class OneConnection(Warehouse):
    """The warehouse over one connection that somebody else opens and closes."""

    _connection: DuckDBPyConnection = PrivateAttr()

    @contextmanager
    def get_connection(self, purpose: str = "") -> Iterator[DuckDBPyConnection]:
        """The connection."""
        yield self._connection


def run_by_hand(
    site: Site,
    job: dg.JobDefinition,
    partitions: Sequence[str],
    tags: Mapping[str, str] | None = None,
    *,
    checked: bool = False,
    only: Collection[str] | None = None,
) -> float:
    """Call the functions of a job's steps; returns the seconds it took.

    Args:
        site: the tenant.
        job: whose steps.
        partitions: keys that the partitioned ones are asked for.
        tags: tags of the run.
        checked: contracts and reconciliations are checked as well.
        only: names of the steps to call; all of the job without it.
    """
    resources = tenant_resources(site.settings, site.tenant)
    warehouse = resources["warehouse"]
    assert isinstance(warehouse, Warehouse)
    started = clock()
    with ExitStack() as stack:
        if not checked:
            for module in [m for n, m in sys.modules.items() if n.startswith("crm_assets.")]:
                if getattr(module, "commit", None) is steps.commit:
                    stack.enter_context(patch.object(module, "commit", _write))
        one = OneConnection(**warehouse.model_dump())
        one._connection = stack.enter_context(warehouse.get_connection("benchmark"))
        named = {site.resource_key(n): r for n, r in {**resources, "warehouse": one}.items()}
        context = _context(named, partitions, tags or {})
        context.selected_asset_keys = job.asset_layer.selected_asset_keys
        for node in job.nodes_in_topological_order:
            if only is not None and node.name.partition("__")[2] not in only:
                continue
            step: Any = node.definition
            for _ in step.compute_fn.decorated_fn(context):
                pass
    return clock() - started


def _context(
    resources: Mapping[str, Any], partitions: Sequence[str], tags: Mapping[str, str]
) -> SimpleNamespace:
    """What the steps ask of Dagster's context; what they tell it is forgotten."""
    made_now = SimpleNamespace(create_timestamp=datetime.now(UTC))
    return SimpleNamespace(
        resources=SimpleNamespace(**resources),
        partition_keys=list(partitions),
        run=SimpleNamespace(run_id=uuid4().hex, tags=dict(tags)),
        instance=SimpleNamespace(get_run_record_by_id=lambda _: made_now),
        log=logging.getLogger("benchmarks"),
        add_asset_metadata=lambda *_, **__: None,
        log_event=lambda _: None,
    )


def _write(
    site: Site,
    warehouse: Warehouse,
    purpose: str,
    tables: Any,
    write: Any,
    reconciliations: Any = (),
    prepare: Any = None,
) -> Events:
    with warehouse.session(purpose) as session:
        if prepare:
            prepare(session.outside)
        with session.begin() as tx:
            write(tx)
    yield from ()
