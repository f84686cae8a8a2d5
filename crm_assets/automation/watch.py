"""Sensors that watch: what failed, what is late, and the alerts that tell it.

Incidents are kept here and in the command's rounds; what goes out, and when, is in `notify.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from crm_assets.automation.alerts import (
    DAILY,
    DAILY_LATE,
    LATE_AFTER,
    REQUEST_OVERDUE,
    RUN_FAILED,
    is_late,
    last_due,
    late_detail,
)
from crm_assets.automation.figures import note_figures, note_inbox
from crm_assets.automation.notify import deliver, report
from crm_assets.automation.runs import (
    FAILURES,
    FINISHED,
    ROUND_TAG,
    job_name,
    last_green,
    runs_of,
    sentences,
)
from crm_assets.plan import RANGE_START_TAG
from crm_assets.privacy.rights import overdue, register
from crm_assets.steps import Site
from crm_resources.ops import OpsStore

REFINE = "refine"

Job = UnresolvedAssetJobDefinition | dg.JobDefinition


def watch(
    site: Site,
    jobs: Mapping[str, Job],
    status: dg.DefaultSensorStatus,
) -> list[dg.SensorDefinition]:
    """The sensors that watch one tenant's jobs, given by stage."""
    return [*_run_sensors(site, jobs, status), _alerts_sensor(site, status)]


def daily_stages(site: Site) -> list[str]:
    """The stages that every daily round runs."""
    return [*(("hotmart", "subscriptions") if site.tenant.hotmart.enabled else ()), REFINE]


def note_lateness(
    site: Site, ops: OpsStore, due_at: datetime, last_green_at: datetime | None
) -> None:
    """Open the incident of a late daily round, or close it after a green one (rules 6.6).

    A stage whose failure is an open incident already is not told a second time.
    """
    now = site.settings.now()
    failing = any(
        i.kind == RUN_FAILED and i.subject in daily_stages(site) for i in ops.open_incidents()
    )
    if last_green_at and last_green_at >= due_at:
        ops.close_incident(DAILY_LATE, DAILY, now)
    elif is_late(now, due_at, last_green_at) and not failing:
        report(ops, DAILY_LATE, DAILY, late_detail(site.tenant, due_at), now)


def note_overdue(site: Site, ops: OpsStore) -> None:
    """Keep one open incident per request whose last day to answer has passed (rules 7.6)."""
    now = site.settings.now()
    late = {
        f"pedido {request.number}": f"{request.type}, venceu em {request.due_on:%d/%m/%Y}."
        for request in overdue(register(ops.actions(), site.tenant), site.today())
    }
    for subject, detail in late.items():
        report(ops, REQUEST_OVERDUE, subject, detail, now)
    for incident in ops.open_incidents():
        if incident.kind == REQUEST_OVERDUE and incident.subject not in late:
            ops.close_incident(incident.kind, incident.subject, now)


def _run_sensors(
    site: Site,
    jobs: Mapping[str, Job],
    status: dg.DefaultSensorStatus,
) -> list[dg.SensorDefinition]:
    """Keep one open incident per stage whose newest runs failed; `crm status` shows it.

    A job's newest runs decide, in whichever order the two sensors look.
    """
    stages = {job.name: stage for stage, job in jobs.items()}

    def settle(context: dg.RunStatusSensorContext) -> None:
        run, instance = context.dagster_run, context.instance
        newest = _newest(runs_of(site, instance, job=run.job_name, statuses=FINISHED)) or [run]
        if run.run_id not in {one.run_id for one in newest}:
            return
        ops = site.ops_store()
        stage, now = stages[run.job_name], site.settings.now()
        failed = [one for one in newest if not one.is_success]
        if not failed:
            ops.close_incident(RUN_FAILED, stage, now)
            return
        failures = instance.all_logs(failed[0].run_id, of_type=set(FAILURES))
        events = [entry.dagster_event for entry in failures if entry.dagster_event]
        told = sentences(events) or (f"execução {failed[0].run_id[:8]}",)
        report(ops, RUN_FAILED, stage, told[0], now)

    name = job_name(site, "runs")

    @dg.run_failure_sensor(
        name=f"{name}_failed",
        monitored_jobs=list(jobs.values()),
        default_status=status,
        description="Registra cada etapa que falhou.",
    )
    def runs_failed(context: dg.RunFailureSensorContext) -> None:
        settle(context)

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name=f"{name}_succeeded",
        monitored_jobs=list(jobs.values()),
        default_status=status,
        description="Dá baixa na falha de uma etapa que voltou a dar certo.",
    )
    def runs_succeeded(context: dg.RunStatusSensorContext) -> None:
        settle(context)

    return [runs_failed, runs_succeeded]


def _newest(records: Sequence[dg.RunRecord]) -> list[dg.DagsterRun]:
    """The last finished run, with those of other slices that the same daily round asked for.

    A daily read may be several runs, one per stretch of slices; each stretch counts by its last.
    """

    def round_of(run: dg.DagsterRun) -> str:
        return run.tags.get(ROUND_TAG, run.run_id)

    runs = [record.dagster_run for record in records]
    of_round: dict[str | None, dg.DagsterRun] = {}
    for run in runs:
        if round_of(run) == round_of(runs[0]):
            of_round.setdefault(run.tags.get(RANGE_START_TAG), run)
    return list(of_round.values())


def _alerts_sensor(site: Site, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name=job_name(site, "alerts"),
        minimum_interval_seconds=60,
        default_status=status,
        required_resource_keys=site.resource_keys("ops"),
        description=(
            "Vê se a rodada diária deu certo até três horas depois da hora e se um pedido de "
            "titular venceu, e manda os alertas."
        ),
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        ops: OpsStore = site.ops(context)
        now = site.settings.now()
        since = datetime.fromisoformat(context.cursor) if context.cursor else now
        due_at = last_due(site.tenant, site.settings.schedule_time, now - LATE_AFTER)
        green = last_green(site, context.instance, daily_stages(site))
        note_lateness(site, ops, due_at, green or since)
        note_overdue(site, ops)
        note_figures(site.settings, site.tenant, ops)
        note_inbox(site.settings, site.tenant, ops)
        problems = deliver(site.settings, site.tenant, ops)
        return dg.SensorResult(
            skip_reason=dg.SkipReason(" ".join(problems) or "nada por avisar"),
            cursor=since.isoformat(),
        )

    return alerts
