"""What the daemon does to one tenant's schedules, sensors and runs, one evaluation at a time."""

from datetime import datetime

import dagster as dg
from world import World

from crm_assets.automation.runs import STAGE_TAG, TENANT_TAG

TICK = datetime.fromisoformat("2026-03-15T02:00:00-03:00")


def repository(world: World) -> dg.RepositoryDefinition:
    return world.definitions.get_repository_def()


def resources(world: World, needed: set[str]) -> dict[str, object]:
    return {key: world.definitions.resources[key] for key in needed}


def tick(world: World, name: str, cursor: str | None = None):
    """One evaluation as the daemon makes it; partitions asked for are added, as it does."""
    sensor = repository(world).get_sensor_def(name)
    context = dg.build_sensor_context(
        instance=world.instance,
        cursor=cursor,
        definitions=world.definitions,
        resources=resources(world, sensor.required_resource_keys),
    )
    with context:
        data = sensor.evaluate_tick(context)
    for request in data.dynamic_partitions_requests or []:
        world.instance.add_dynamic_partitions(
            request.partitions_def_name, list(request.partition_keys)
        )
    return data


def daily(world: World, at: datetime = TICK):
    schedule = repository(world).get_schedule_def("hotmart_daily")
    context = dg.build_schedule_context(
        instance=world.instance,
        scheduled_execution_time=at,
        repository_def=repository(world),
        resources=resources(world, schedule.required_resource_keys),
    )
    with context:
        return schedule.evaluate_tick(context)


def run(world: World, job: str, *, ok: bool = True, **tags: str) -> dg.DagsterRun:
    """A finished run of a job, as the daemon would have launched it."""
    result = world.definitions.resolve_job_def(job).execute_in_process(
        instance=world.instance, tags=tags, raise_on_error=False
    )
    assert result.success is ok
    return world.instance.get_run_by_id(result.run_id)


def noted(world: World, job: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    """A run that is only written down."""
    stage = "refine" if job == "refine" else "ingest"
    made = dg.DagsterRun(
        job_name=job, status=status, tags={TENANT_TAG: "default", STAGE_TAG: stage, **tags}
    )
    return world.instance.add_run(made)


def report(world: World, run: dg.DagsterRun) -> None:
    """What the daemon does with a finished run: one of the two sensors sees it."""
    made = repository(world)
    name = "runs_succeeded" if run.is_success else "runs_failed"
    kind = dg.DagsterEventType.RUN_SUCCESS if run.is_success else dg.DagsterEventType.RUN_FAILURE
    (entry,) = world.instance.all_logs(run.run_id, of_type=kind)
    context = dg.build_run_status_sensor_context(
        sensor_name=name,
        dagster_event=entry.dagster_event,
        dagster_instance=world.instance,
        dagster_run=run,
        repository_def=made,
    )
    if not run.is_success:
        context = context.for_run_failure()
    made.get_sensor_def(name)(context)
