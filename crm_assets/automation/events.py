"""What takes posted events in without a person: a sensor within a minute, a sweep twice an hour.

Both ask the inbox, which knows what is due and when one that failed comes back. Two runs at once
harm nothing, since each event has one place in bronze.
"""

from datetime import datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from crm_assets.automation.runs import ACTIVE, runs_of
from crm_assets.bronze.hotmart_events import KINDS
from crm_assets.steps import Site
from crm_resources.ops import OpsStore

NOTHING_DUE = "nada espera na caixa de entrada"


def are_due(ops: OpsStore, now: datetime) -> bool:
    """Whether something in the inbox waits to be taken."""
    return any(ops.due_events(kind, now, 1) for kind in KINDS)


def events_sensor(
    site: Site, job: UnresolvedAssetJobDefinition, status: dg.DefaultSensorStatus
) -> dg.SensorDefinition:
    """New events, as they come."""

    @dg.sensor(
        name=f"{job.name}_inbox",
        job=job,
        minimum_interval_seconds=30,
        default_status=status,
        required_resource_keys=site.resource_keys("ops"),
        description="Vê eventos novos da Hotmart e do ManyChat na caixa de entrada e os lê.",
    )
    def inbox(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not are_due(site.ops(context), site.settings.now()):
            return dg.SkipReason(NOTHING_DUE)
        if runs_of(site, context.instance, job=job.name, statuses=ACTIVE):
            return dg.SkipReason("os eventos já estão sendo lidos")
        return dg.RunRequest()

    return inbox


def events_sweep(
    site: Site, job: UnresolvedAssetJobDefinition, status: dg.DefaultScheduleStatus
) -> dg.ScheduleDefinition:
    """The same every half hour, for when the sensor is off or missed something."""

    @dg.schedule(
        name=f"{job.name}_sweep",
        job=job,
        cron_schedule="*/30 * * * *",
        execution_timezone=site.tenant.timezone,
        default_status=status,
        required_resource_keys=site.resource_keys("ops"),
        description="A cada meia hora, lê os eventos que esperam, também os que falharam antes.",
    )
    def sweep(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not are_due(site.ops(context), site.settings.now()):
            return dg.SkipReason(NOTHING_DUE)
        return dg.RunRequest()

    return sweep
