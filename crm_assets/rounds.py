"""One round in this process: ingest each source, then refine what is there (design 10).

A source that fails is named and does not stop the others nor the refine; the report says what is
stale. Two rounds of one tenant never run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import dagster as dg

from crm_assets.automation.alerts import DAILY, DAILY_LATE, RUN_FAILED, last_due
from crm_assets.automation.figures import note_figures, note_inbox
from crm_assets.automation.jobs import SOURCES, landed, plan
from crm_assets.automation.notify import deliver, report
from crm_assets.automation.runs import (
    ACTIVE,
    BY_COMMAND,
    BY_TAG,
    STAGE_TAG,
    TENANT_TAG,
    job_name,
    last_green,
    sentences,
)
from crm_assets.automation.watch import REFINE, daily_stages, note_lateness, note_overdue
from crm_assets.bronze.hotmart import REFUSED_STATUSES
from crm_assets.bronze.ledger import recover
from crm_assets.bronze.manychat_inbox import arrivals, look, settled
from crm_assets.bronze.manychat_sheet import SHEET_FAILED, SheetError, receive_sheet
from crm_assets.bronze.receiving import FILE_SOURCES, MANYCHAT, Receipt, receive
from crm_assets.bronze.undo import take_out
from crm_assets.plan import OCCASIONAL, SOURCES_OF, IngestRequest, source_ages
from crm_assets.resources import warehouse_of
from crm_assets.settings import SettingsError
from crm_assets.steps import Site, refine_pool
from crm_assets.words import counted
from crm_resources.locks import Busy, hold
from crm_resources.ops import Load, OpsStore

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


@dataclass(frozen=True)
class Stale:
    """A source that a round should have refreshed and did not.

    Attributes:
        source: its name in the loads ledger.
        at: its last landing; the oldest of the missing part, when only a part is missing.
        part: how much of it is missing, when not all.
    """

    source: str
    at: datetime | None
    part: str = ""


@dataclass
class Round:
    """A finished round.

    Attributes:
        outcomes: its runs, in order.
        receipts: files taken in or passed over.
        ages: time of the last landing by source, None when it never landed.
        stale: what the failed stages left as it was.
        untold: alerts that did not go out, one sentence per channel.
        lost: partitions that had landed and are not in the warehouse any more.
    """

    outcomes: list[RunOutcome] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    ages: dict[str, datetime | None] = field(default_factory=dict)
    stale: list[Stale] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    lost: int = 0

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
    undo: Load | None = None,
    wait: float = 0,
    told: Callable[[str, IngestRequest | None], None] = lambda stage, request: None,
) -> Round:
    """Run the stages in their order.

    Args:
        site: the tenant.
        definitions: definitions that hold the tenant's jobs.
        instance: the lasting Dagster instance.
        stages: sources to ingest, and `refine`.
        files: files to take in for the one stage of files; by default what the sheet holds and
            what stands still in the input folder.
        undo: an import to take out before anything else.
        wait: seconds to wait for another round.
        told: called before each run.

    Raises:
        Busy: another round runs and did not end within `wait`.
    """
    with hold(run_lock(site), "crm run", wait):
        bury_dead_runs(site, instance)
        ops = site.ops_store()
        done = Round(lost=recover(site, ops))
        before = max((load.id or 0 for load in ops.loads()), default=0)
        if set(daily_stages(site)) <= set(stages):
            _note_missed_day(site, ops, instance)
        if undo:
            take_out(site, ops, instance, undo)
        if MANYCHAT in stages and files is None:
            _take_sheet(site, ops, done)
        for source in (stage for stage in FILE_SOURCES if stage in stages):
            done.receipts += take_files(site, ops, instance, source, files)
        if files is not None:
            done.outcomes += [
                RunOutcome(r.source, (), ok=False, errors=(f"{r.name}: {r.note}",))
                for r in done.receipts
                if r.refused
            ]
        for source in (stage for stage in stages if stage != REFINE):
            try:
                known = landed(site, ops, instance)
                requests = plan(site, source, known)
            except SettingsError as error:
                done.outcomes.append(RunOutcome(source, (), ok=False, errors=(str(error),)))
                continue
            for request in requests:
                told(source, request)
                done.outcomes.append(_execute(site, definitions, instance, source, request))
            used = source not in OCCASIONAL or known.of(source)
            if used and all(outcome.stage != source for outcome in done.outcomes):
                done.outcomes.append(RunOutcome(source, (), ok=True, note="nada novo"))
        if REFINE in stages:
            told(REFINE, None)
            today = site.today().isoformat()
            request = IngestRequest(REFINE, (today,))
            done.outcomes.append(_execute(site, definitions, instance, REFINE, request))
        done.receipts = [_settled(site, receipt, ops, done) for receipt in done.receipts]
        _note_incidents(site, ops, done)
        note_overdue(site, ops)
        note_figures(site.settings, site.tenant, ops)
        note_inbox(site.settings, site.tenant, ops)
        done.ages = source_ages(ops.loads())
        done.stale = _stale(ops.loads(), done, before)
        done.untold = deliver(site.settings, site.tenant, ops)
        return done


def take_files(
    site: Site,
    ops: OpsStore,
    instance: dg.DagsterInstance,
    source: str = MANYCHAT,
    files: Iterable[Path] | None = None,
) -> list[Receipt]:
    """Receive files and register the partitions of all that wait to be imported."""
    today = site.today()
    receipts: list[Receipt] = []
    asked = files is not None
    if files is None:
        folder = site.settings.input_folder(site.tenant.slug, source)
        before = look(arrivals(folder))
        if before:
            sleep(STANDSTILL_SECONDS)
        found = arrivals(folder)
        ready = settled(found, before)
        receipts = [
            Receipt(
                arrival.path.name, source, None, "ainda está sendo gravado; fica para a próxima"
            )
            for arrival in found
            if arrival not in ready
        ]
        files = [arrival.path for arrival in ready]
    receipts += [
        receive(path, site.settings, site.tenant, ops, day=today, source=source, asked=asked)
        for path in files
    ]
    waiting = [load.slice for load in ops.loads(source) if load.status == "received"]
    if waiting:
        instance.add_dynamic_partitions(site.partitions.files_of[source].name or "", waiting)
    return receipts


def _take_sheet(site: Site, ops: OpsStore, done: Round) -> None:
    """Receive the sheet; what keeps it from being read is an error of the stage."""
    ops.close_incident(SHEET_FAILED, MANYCHAT, site.settings.now())
    try:
        receipt = receive_sheet(site.settings, site.tenant, ops)
    except SheetError as error:
        done.outcomes.append(RunOutcome(MANYCHAT, (), ok=False, errors=(str(error),)))
    else:
        done.receipts += [receipt] if receipt else []


def bury_dead_runs(site: Site, instance: dg.DagsterInstance) -> None:
    """Mark as failed the command's own runs that a kill left behind; the run lock is ours now.

    A killed run also keeps its place in the refine pool, or in its queue, for which the next one
    would wait for ever. Whoever works there holds the refine lock.
    """
    dead = instance.get_runs(
        dg.RunsFilter(
            tags={TENANT_TAG: site.tenant.slug, BY_TAG: BY_COMMAND},
            statuses=ACTIVE,
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
    refused: set[str] = set()
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        if said := materialization.metadata.get(REFUSED_STATUSES):
            refused.add(f"a Hotmart recusou o status {said.value}; o que já tínhamos dele ficou")
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
        "; ".join(filter(None, (request.note, *sorted(refused)))),
    )


def _settled(site: Site, receipt: Receipt, ops: OpsStore, done: Round) -> Receipt:
    """A receipt after the round: landed, refused with the reason, or still waiting."""
    load = {load.slice: load for load in ops.loads(receipt.source)}.get(receipt.slice or "")
    if load is None or load.status == "received":
        return receipt
    if load.status == "refused":
        return replace(receipt, note=f"recusado: {load.reason}", refused=True)
    unread = counted(load.rejected, "célula não lida", "células não lidas")
    note = f"importado: {counted(load.rows, 'linha')}, {unread}"
    if load.source == MANYCHAT and any(o.stage == REFINE and o.ok for o in done.outcomes):
        mine = f"{MANYCHAT}:{load.slice}:"
        people = warehouse_of(site.settings, site.tenant).read(_PEOPLE, {"mine": mine})
        new, known, keyless = people.row(0)
        note += f"; {counted(new, 'pessoa nova', 'pessoas novas')}, "
        note += f"{counted(known, 'já conhecida', 'já conhecidas')}, "
        note += f"{keyless} sem e-mail nem telefone"
    return replace(receipt, note=note)


def _note_missed_day(site: Site, ops: OpsStore, instance: dg.DagsterInstance) -> None:
    """The command may have a clock of its own (cron): late is what was missed a day ago."""
    green = last_green(site, instance, daily_stages(site))
    if green:
        yesterday = site.settings.now() - timedelta(days=1)
        note_lateness(
            site, ops, last_due(site.tenant, site.settings.schedule_time, yesterday), green
        )


def _note_incidents(site: Site, ops: OpsStore, done: Round) -> None:
    """One open incident per failing stage, with its latest cause; a green round ends a late one."""
    now = site.settings.now()
    refused = [receipt for receipt in done.receipts if receipt.refused]
    stages = dict.fromkeys(outcome.stage for outcome in done.outcomes)
    failing = set()
    for stage in stages:
        errors = [error for o in done.outcomes if o.stage == stage for error in o.errors]
        errors += [receipt.note for receipt in refused if receipt.source == stage]
        if errors:
            failing.add(stage)
            report(ops, RUN_FAILED, stage, errors[0], now)
        else:
            ops.close_incident(RUN_FAILED, stage, now)
    if set(daily_stages(site)) <= stages.keys() - failing:
        ops.close_incident(DAILY_LATE, DAILY, now)


def _stale(loads: Sequence[Load], done: Round, before: int) -> list[Stale]:
    """What the failed stages should have read and did not; loads after id `before` are new."""
    fresh = {(load.source, load.slice) for load in loads if (load.id or 0) > before}
    held = {(load.source, load.slice): load.at for load in loads if load.status == "landed"}
    found = []
    for stage in done.failed_sources:
        asked = {key for o in done.outcomes if o.stage == stage for key in o.slices}
        for source in SOURCES_OF[stage]:
            missing = {key for key in asked if (source, key) not in fresh & held.keys()}
            if missing == asked:
                found.append(Stale(source, done.ages.get(source)))
            elif missing:
                ages = [held[source, key] for key in missing if (source, key) in held]
                part = f"{len(missing)} de {len(asked)} partes"
                found.append(Stale(source, min(ages, default=None), part))
    return found


_PEOPLE = """
    WITH current AS (
        SELECT record_id, customer_id, starts_with(record_id, $mine) AS is_mine
        FROM silver.contact_records
        LEFT JOIN (FROM silver.customer_xref WHERE valid_to IS NULL) USING (record_id)
    ), people AS (
        SELECT customer_id, bool_and(is_mine) AS is_new FROM current GROUP BY customer_id
        HAVING bool_or(is_mine) AND customer_id IS NOT NULL
    )
    SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new),
           (SELECT count(*) FROM current WHERE is_mine AND customer_id IS NULL)
    FROM people
"""
