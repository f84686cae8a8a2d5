"""Jobs, schedules and sensors of one tenant: what makes a round happen without a person.

A round is one run per ingest source and then one `refine` run (design 10). What is due is decided
by the pure functions of `plan.py`; here stands only the wiring to Dagster. Everything is off until
it is switched on in the UI, by the tenant file (`schedules_on`) or by `crm dev`.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from crm_assets.bronze.manychat_inbox import SOURCE as MANYCHAT
from crm_assets.bronze.manychat_inbox import Arrival, arrivals, look, receive, settled
from crm_assets.plan import (
    IngestRequest,
    Landed,
    daily_instant,
    plan_actions,
    plan_hotmart,
    plan_manychat,
    refine_reason,
)
from crm_assets.settings import SettingsError
from crm_assets.steps import Site
from crm_resources.ops import OpsStore

SOURCES = ("hotmart", "manychat", "actions")
"""Ingest jobs, in the order of the daily round."""

TENANT_TAG = "crm/tenant"
STAGE_TAG = "crm/stage"
BY_TAG = "crm/by"
BY_COMMAND = "command"
RUN_FAILED = "run_failed"
SCHEDULES_ON = "CRM_SCHEDULES_ON"
ACTIONS_EVERY_SECONDS = 15 * 60

_NEWEST_LOADS = 10
_BRONZE_OF = {
    "hotmart": ("bronze.hotmart_transactions", "bronze.hotmart_customers"),
    "manychat": ("bronze.manychat_contacts",),
    "actions": ("bronze.crm_actions",),
}
_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_FAILURES = (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE)
_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def job_name(site: Site, stage: str) -> str:
    """Name of a tenant's job."""
    return site.resource_key(stage)


def automation(site: Site, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """Jobs, schedules and sensors of one tenant."""
    ingest = {
        source: dg.define_asset_job(
            job_name(site, source),
            selection=dg.AssetSelection.assets(*(site.key(table) for table in tables)),
            description=f"Lê {source} e guarda como veio.",
            tags={TENANT_TAG: site.tenant.slug, STAGE_TAG: "ingest"},
        )
        for source, tables in _BRONZE_OF.items()
    }
    bronze = {site.key(table) for tables in _BRONZE_OF.values() for table in tables}
    refined = [key for asset in assets for key in asset.keys if key not in bronze]
    refine = dg.define_asset_job(
        job_name(site, "refine"),
        selection=dg.AssetSelection.assets(*refined),
        description="Refaz cadastro, públicos, lote do dia, cópia de leitura e arquivos.",
        tags={TENANT_TAG: site.tenant.slug, STAGE_TAG: "refine"},
    )
    wiring = _Automation(site)
    return dg.Definitions(
        jobs=[*ingest.values(), refine],
        schedules=[wiring.hotmart_daily(ingest["hotmart"])],
        sensors=[
            wiring.manychat_files(ingest["manychat"]),
            wiring.crm_actions(ingest["actions"]),
            wiring.refine_after_ingest(refine),
            *wiring.incidents({**ingest, "refine": refine}),
        ],
    )


def landed(site: Site, ops: OpsStore, instance: dg.DagsterInstance) -> Landed:
    """What the plan needs to know."""
    return Landed(
        loads=ops.loads(),
        last_action_id=ops.last_action_id(),
        file_keys=instance.get_dynamic_partitions(site.partitions.files.name or ""),
    )


def plan(site: Site, source: str, known: Landed) -> list[IngestRequest]:
    """The ingest requests of one source now.

    Raises:
        SettingsError: the source cannot be planned; the message names the setting.
    """
    if source == "hotmart" and site.tenant.hotmart.enabled:
        return plan_hotmart(site.tenant, site.settings.environment, site.settings.now(), known)
    if source == MANYCHAT and site.tenant.manychat.enabled:
        return plan_manychat(known)
    return plan_actions(known) if source == "actions" else []


@dataclass(frozen=True)
class _Automation:
    """Builds the schedules and sensors of one tenant."""

    site: Site

    @property
    def _on(self) -> bool:
        return self.site.tenant.schedules_on or os.environ.get(SCHEDULES_ON, "0") not in {"", "0"}

    @property
    def _schedule_status(self) -> dg.DefaultScheduleStatus:
        status = dg.DefaultScheduleStatus
        return status.RUNNING if self._on else status.STOPPED

    @property
    def _sensor_status(self) -> dg.DefaultSensorStatus:
        status = dg.DefaultSensorStatus
        return status.RUNNING if self._on else status.STOPPED

    def hotmart_daily(self, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
        """The daily read of Hotmart at `SCHEDULE_TIME`, in the tenant's zone."""
        at = self.site.settings.schedule_time

        @dg.schedule(
            name=f"{job_name(self.site, 'hotmart')}_daily",
            job=job,
            cron_schedule=f"{at.minute} {at.hour} * * *",
            execution_timezone=self.site.tenant.timezone,
            default_status=self._schedule_status,
            required_resource_keys=self.site.resource_keys("ops"),
            description="Todo dia, lê da Hotmart os meses que faltam e os dos últimos 90 dias.",
        )
        def hotmart_daily(
            context: dg.ScheduleEvaluationContext,
        ) -> Iterator[dg.RunRequest | dg.SkipReason]:
            ops = self.site.ops(context)
            try:
                requests = plan(self.site, "hotmart", Landed(loads=ops.loads()))
            except SettingsError as error:
                ops.open_incident(RUN_FAILED, "hotmart", str(error), self.site.settings.now())
                yield dg.SkipReason(str(error))
                return
            for request in requests:
                yield dg.RunRequest(
                    run_key=f"{context.scheduled_execution_time:%Y%m%d%H%M}:{request.slices[0]}",
                    tags=request.tags,
                )

        return hotmart_daily

    def manychat_files(self, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
        """New contact files: taken once they stand still between two ticks.

        Files that wait are requested once a day as long as no import runs, so that one which
        failed for a passing reason is tried again.
        """

        @dg.sensor(
            name=f"{job_name(self.site, 'manychat')}_files",
            job=job,
            minimum_interval_seconds=30,
            default_status=self._sensor_status,
            required_resource_keys=self.site.resource_keys("ops"),
            description="Vê arquivos novos em data/input/manychat e os importa.",
        )
        def manychat_files(context: dg.SensorEvaluationContext) -> dg.SensorResult:
            site = self.site
            ops: OpsStore = site.ops(context)
            found = arrivals(site.settings.input_folder(site.tenant.slug, MANYCHAT))
            before = json.loads(context.cursor or "{}")
            today = site.today()
            seen = before.get("taken", {})
            ready = [a for a in settled(found, before.get("look", {})) if not _taken(a, seen)]
            receipts = [
                receive(arrival.path, site.settings, site.tenant, ops, day=today)
                for arrival in ready
            ]
            taken = look([a for a in found if a in ready or _taken(a, seen)])
            cursor = json.dumps({"look": look(found), "taken": taken})
            loads = ops.loads(MANYCHAT)
            files = site.partitions.files
            known = context.instance.get_dynamic_partitions(files.name or "")
            waiting = [load.slice for load in loads if load.status == "received"]
            added = [key for key in waiting if key not in known]
            busy = self._runs(context.instance, job=job.name, statuses=_ACTIVE)
            requests = [
                dg.RunRequest(
                    run_key=f"{today}:{request.slices[0]}:{request.slices[-1]}", tags=request.tags
                )
                for request in plan_manychat(Landed(loads=loads, file_keys=[*known, *added]))
                if not busy
            ]
            notes = Counter(receipt.note for receipt in receipts)
            told = "; ".join(f"{note} ({count})" for note, count in notes.items())
            return dg.SensorResult(
                run_requests=requests,
                skip_reason=None if requests else dg.SkipReason(told or "nenhum arquivo novo"),
                cursor=cursor,
                dynamic_partitions_requests=[files.build_add_request(added)] if added else [],
            )

        return manychat_files

    def crm_actions(self, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
        """New actions in the log, at most every fifteen minutes."""

        @dg.sensor(
            name=f"{job_name(self.site, 'actions')}_log",
            job=job,
            minimum_interval_seconds=ACTIONS_EVERY_SECONDS,
            default_status=self._sensor_status,
            required_resource_keys=self.site.resource_keys("ops"),
            description="Vê decisões novas (pedidos para sair, contatos pulados) e as aplica.",
        )
        def actions_log(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
            known = landed(self.site, self.site.ops(context), context.instance)
            if not plan_actions(known):
                return dg.SkipReason("nenhuma decisão nova")
            today = self.site.today()
            return dg.RunRequest(run_key=f"{today}:{known.last_action_id}")

        return actions_log

    def refine_after_ingest(self, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
        """One refine run after the ingests of a round, or when today's is missing."""

        @dg.sensor(
            name=f"{job_name(self.site, 'refine')}_after_ingest",
            job=job,
            minimum_interval_seconds=30,
            default_status=self._sensor_status,
            required_resource_keys=self.site.resource_keys("ops"),
            description="Refaz as respostas depois que uma fonte terminou, bem ou mal.",
        )
        def refine_after_ingest(
            context: dg.SensorEvaluationContext,
        ) -> dg.RunRequest | dg.SkipReason:
            if self._runs(context.instance, statuses=_ACTIVE):
                return dg.SkipReason("há uma execução em andamento")
            reason = self._reason(context.instance, self.site.ops(context))
            if reason is None:
                return dg.SkipReason("nada novo desde o último refine")
            today = self.site.today()
            return dg.RunRequest(run_key=reason, partition_key=today.isoformat())

        return refine_after_ingest

    def _reason(self, instance: dg.DagsterInstance, ops: OpsStore) -> str | None:
        site = self.site
        now = site.settings.now()
        today = site.today()
        ingests = [
            record.end_time or 0
            for record in (*self._runs(instance, stage="ingest"), *_landing_runs(instance, ops))
            if record.dagster_run.tags.get(BY_TAG) != BY_COMMAND
        ]
        refines = self._runs(instance, stage="refine")
        return refine_reason(
            now=now,
            due_at=daily_instant(site.tenant, site.settings.schedule_time, today),
            ingest_ended_at=max(ingests, default=0),
            refine_created_at=max(
                (record.create_timestamp.timestamp() for record in refines), default=0
            ),
            refined_today=any(
                record.dagster_run.tags.get("dagster/partition") == today.isoformat()
                for record in refines
            ),
        )

    def _runs(
        self,
        instance: dg.DagsterInstance,
        stage: str | None = None,
        job: str | None = None,
        statuses: Sequence[dg.DagsterRunStatus] | None = None,
    ) -> Sequence[dg.RunRecord]:
        tags = {TENANT_TAG: self.site.tenant.slug} | ({STAGE_TAG: stage} if stage else {})
        wanted = dg.RunsFilter(tags=tags, job_name=job, statuses=statuses)
        return instance.get_run_records(wanted, limit=20)

    def incidents(
        self, jobs: Mapping[str, UnresolvedAssetJobDefinition]
    ) -> list[dg.SensorDefinition]:
        """Keep one open incident per stage whose last run failed; `crm status` shows it.

        Args:
            jobs: by stage; a job's last run decides, in whichever order the two sensors look.
        """
        stages = {job.name: stage for stage, job in jobs.items()}

        def settle(context: dg.RunStatusSensorContext) -> None:
            run, instance = context.dagster_run, context.instance
            last = self._runs(instance, job=run.job_name, statuses=_FINISHED)
            if last and last[0].dagster_run.run_id != run.run_id:
                return
            ops = self.site.ops_store()
            stage, now = stages[run.job_name], self.site.settings.now()
            if run.is_success:
                ops.close_incident(RUN_FAILED, stage, now)
                return
            failures = instance.all_logs(run.run_id, of_type=set(_FAILURES))
            events = [entry.dagster_event for entry in failures if entry.dagster_event]
            told = sentences(events) or (f"execução {run.run_id[:8]}",)
            ops.open_incident(RUN_FAILED, stage, told[0], now)

        name = job_name(self.site, "runs")

        @dg.run_failure_sensor(
            name=f"{name}_failed",
            monitored_jobs=list(jobs.values()),
            default_status=self._sensor_status,
            description="Registra cada etapa que falhou.",
        )
        def runs_failed(context: dg.RunFailureSensorContext) -> None:
            settle(context)

        @dg.run_status_sensor(
            run_status=dg.DagsterRunStatus.SUCCESS,
            name=f"{name}_succeeded",
            monitored_jobs=list(jobs.values()),
            default_status=self._sensor_status,
            description="Dá baixa na falha de uma etapa que voltou a dar certo.",
        )
        def runs_succeeded(context: dg.RunStatusSensorContext) -> None:
            settle(context)

        return [runs_failed, runs_succeeded]


def sentences(events: Iterable[dg.DagsterEvent]) -> tuple[str, ...]:
    """Why a run failed, one sentence per failed step, or of the run itself when no step began."""
    of_steps = [_step_sentence(e.step_failure_data) for e in events if e.is_step_failure]
    of_run = [
        _first_line(e.job_failure_data.error)
        for e in events
        if e.event_type is dg.DagsterEventType.RUN_FAILURE and e.job_failure_data.error
    ]
    return tuple(of_steps or of_run)


def _step_sentence(data: Any) -> str:
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    return _first_line(data.error)


def _first_line(error: Any) -> str:
    while error.cause:
        error = error.cause
    return str(error.message).strip().splitlines()[0]


def _landing_runs(instance: dg.DagsterInstance, ops: OpsStore) -> Sequence[dg.RunRecord]:
    """The runs that landed something last, also those that a person started on an asset."""
    newest = sorted(ops.loads(), key=lambda load: load.id or 0)[-_NEWEST_LOADS:]
    run_ids = [load.run_id for load in newest if load.run_id]
    return instance.get_run_records(dg.RunsFilter(run_ids=run_ids)) if run_ids else []


def _taken(arrival: Arrival, taken: Mapping[str, str]) -> bool:
    return taken.get(arrival.label) == arrival.stamp
