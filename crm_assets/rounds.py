"""One round in this process: ingest each source, then refine what is there (design 10).

A source that fails is named and does not stop the others nor the refine; the report says what is
stale. Two rounds of one tenant never run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep

import dagster as dg

from crm_assets.automation import (
    BY_COMMAND,
    BY_TAG,
    RUN_FAILED,
    SOURCES,
    STAGE_TAG,
    TENANT_TAG,
    job_name,
    landed,
    plan,
    sentences,
)
from crm_assets.bronze.manychat_inbox import SOURCE as MANYCHAT
from crm_assets.bronze.manychat_inbox import Receipt, arrivals, look, receive, settled
from crm_assets.plan import IngestRequest, source_ages
from crm_assets.settings import SettingsError
from crm_assets.steps import Site, refine_pool
from crm_resources.locks import Busy, hold
from crm_resources.ops import OpsStore

REFINE = "refine"
STAGES = (*SOURCES, REFINE)
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The command tells its own story; the whole log of a run is in the UI."""

STANDSTILL_SECONDS = 1.0
"""How long a file must stand still to be taken by a round."""


@dataclass(frozen=True)
class RunOutcome:
    """What became of one run.

    Attributes:
        stage: source or `refine`.
        slices: partitions asked for.
        ok: whether it succeeded.
        rows: rows per table materialised.
        errors: one sentence per failed step.
        seconds: how long it took.
        note: what a person should know about it.
    """

    stage: str
    slices: tuple[str, ...]
    ok: bool
    rows: Mapping[str, int] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    seconds: float = 0.0
    note: str = ""


@dataclass
class Round:
    """A finished round.

    Attributes:
        outcomes: its runs, in order.
        receipts: files taken in or passed over.
        ages: time of the last landing by source, None when it never landed.
    """

    outcomes: list[RunOutcome] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    ages: dict[str, datetime | None] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every run succeeded."""
        return all(outcome.ok for outcome in self.outcomes)

    @property
    def failed_sources(self) -> list[str]:
        """Sources whose ingest failed, so that what was refined may be stale."""
        failed = (o.stage for o in self.outcomes if not o.ok and o.stage != REFINE)
        return list(dict.fromkeys(failed))


def run_lock(site: Site) -> Path:
    """The lock that a round holds."""
    return site.settings.store_folder(site.tenant.slug) / "run.lock"


def run_round(
    site: Site,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    *,
    stages: Sequence[str] = STAGES,
    files: Iterable[Path] | None = None,
    wait: float = 0,
    told: Callable[[str, IngestRequest | None], None] = lambda stage, request: None,
) -> Round:
    """Run the stages in their order.

    Args:
        site: the tenant.
        definitions: definitions that hold the tenant's jobs.
        instance: the lasting Dagster instance.
        stages: sources to ingest, and `refine`.
        files: contact files to take in; by default those that stand still in the input folder.
        wait: seconds to wait for another round.
        told: called before each run.

    Raises:
        Busy: another round runs and did not end within `wait`.
    """
    with hold(run_lock(site), "crm run", wait):
        bury_dead_runs(site, instance)
        ops = site.ops_store()
        done = Round()
        if "manychat" in stages:
            done.receipts = take_files(site, ops, instance, files)
            if files is not None:
                done.outcomes += [
                    RunOutcome("manychat", (), ok=False, errors=(f"{r.path.name}: {r.note}",))
                    for r in done.receipts
                    if r.refused
                ]
        for source in (stage for stage in stages if stage != REFINE):
            try:
                requests = plan(site, source, landed(site, ops, instance))
            except SettingsError as error:
                done.outcomes.append(RunOutcome(source, (), ok=False, errors=(str(error),)))
                continue
            for request in requests:
                told(source, request)
                done.outcomes.append(_execute(site, definitions, instance, source, request))
            if all(outcome.stage != source for outcome in done.outcomes):
                done.outcomes.append(RunOutcome(source, (), ok=True, note="nada novo"))
        if REFINE in stages:
            told(REFINE, None)
            today = site.today().isoformat()
            request = IngestRequest(REFINE, (today,))
            done.outcomes.append(_execute(site, definitions, instance, REFINE, request))
        done.receipts = [_settled(receipt, ops) for receipt in done.receipts]
        _note_incidents(ops, done)
        done.ages = source_ages(ops.loads())
        return done


def take_files(
    site: Site,
    ops: OpsStore,
    instance: dg.DagsterInstance,
    files: Iterable[Path] | None = None,
) -> list[Receipt]:
    """Receive contact files and register the partitions of all that wait to be imported."""
    today = site.today()
    receipts: list[Receipt] = []
    if files is None:
        folder = site.settings.input_folder(site.tenant.slug, "manychat")
        before = look(arrivals(folder))
        if before:
            sleep(STANDSTILL_SECONDS)
        found = arrivals(folder)
        ready = settled(found, before)
        receipts = [
            Receipt(arrival.path, None, "ainda está sendo gravado; fica para a próxima")
            for arrival in found
            if arrival not in ready
        ]
        files = [arrival.path for arrival in ready]
    receipts += [receive(path, site.settings, site.tenant, ops, day=today) for path in files]
    waiting = [load.slice for load in ops.loads(MANYCHAT) if load.status == "received"]
    if waiting:
        instance.add_dynamic_partitions(site.partitions.files.name or "", waiting)
    return receipts


def bury_dead_runs(site: Site, instance: dg.DagsterInstance) -> None:
    """Mark as failed the command's own runs that a kill left behind; the run lock is ours now.

    A killed run also keeps its place in the refine pool, or in its queue, for which the next one
    would wait for ever. Whoever works there holds the refine lock.
    """
    dead = instance.get_runs(
        dg.RunsFilter(
            tags={TENANT_TAG: site.tenant.slug, BY_TAG: BY_COMMAND},
            statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING],
        )
    )
    for run in dead:
        instance.report_run_failed(run, "O processo que executava esta rodada morreu.")
    pools = instance.event_log_storage
    with suppress(Busy), hold(run_lock(site).with_name("refine.lock"), "crm run", 0):
        pool = pools.get_concurrency_info(refine_pool(site))
        for run_id in pool.active_run_ids | pool.pending_run_ids | pool.assigned_run_ids:
            pools.free_concurrency_slots_for_run(run_id)


def _execute(
    site: Site,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    stage: str,
    request: IngestRequest,
) -> RunOutcome:
    job = definitions.resolve_job_def(job_name(site, stage))
    started = monotonic()
    is_refine = stage == REFINE
    tags = {STAGE_TAG: REFINE if is_refine else "ingest", BY_TAG: BY_COMMAND}
    result = job.execute_in_process(
        instance=instance,
        partition_key=request.slices[0] if is_refine else None,
        tags=tags if is_refine else {**tags, **request.tags},
        run_config=_QUIET,
        raise_on_error=False,
    )
    rows: dict[str, int] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        count = materialization.metadata.get("dagster/row_count")
        if count is not None:
            table = ".".join(materialization.asset_key.path[-2:])
            rows[table] = rows.get(table, 0) + int(count.value)  # type: ignore[arg-type]
    return RunOutcome(
        stage,
        request.slices,
        result.success,
        rows,
        () if result.success else sentences(result.all_events),
        monotonic() - started,
        request.note,
    )


def _settled(receipt: Receipt, ops: OpsStore) -> Receipt:
    """A receipt after the round: landed, refused with the reason, or still waiting."""
    load = {load.slice: load for load in ops.loads(MANYCHAT)}.get(receipt.slice or "")
    if load is None or load.status == "received":
        return receipt
    if load.status == "refused":
        return replace(receipt, note=f"recusado: {load.reason}", refused=True)
    return replace(
        receipt, note=f"importado: {load.rows} linhas, {load.rejected} células não lidas"
    )


def _note_incidents(ops: OpsStore, done: Round) -> None:
    """One open incident per failing stage, with its latest cause."""
    known = {incident.subject: incident.detail for incident in ops.open_incidents()}
    refused = [receipt.note for receipt in done.receipts if receipt.refused]
    for stage in dict.fromkeys(outcome.stage for outcome in done.outcomes):
        errors = [error for o in done.outcomes if o.stage == stage for error in o.errors]
        errors += refused if stage == "manychat" else []
        if not errors or known.get(stage) != errors[0]:
            ops.close_incident(RUN_FAILED, stage)
        if errors:
            ops.open_incident(RUN_FAILED, stage, errors[0])
