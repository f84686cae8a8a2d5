"""What Dagster knows of one tenant's runs: their tags, how they ended, and why."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from crm_assets.steps import Site

TENANT_TAG = "crm/tenant"
STAGE_TAG = "crm/stage"
ROUND_TAG = "crm/round"
"""Instant of the daily round that asked for a run, `YYYYMMDDHHMM` on the tenant's clock."""

BY_TAG = "crm/by"
BY_COMMAND = "command"
FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FAILURES = (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE)


def job_name(site: Site, stage: str) -> str:
    """Name of a tenant's job."""
    return site.resource_key(stage)


def runs_of(
    site: Site,
    instance: dg.DagsterInstance,
    stage: str | None = None,
    job: str | None = None,
    statuses: Sequence[dg.DagsterRunStatus] | None = None,
    created_after: datetime | None = None,
) -> Sequence[dg.RunRecord]:
    """The tenant's newest runs, newest first."""
    tags = {TENANT_TAG: site.tenant.slug} | ({STAGE_TAG: stage} if stage else {})
    wanted = dg.RunsFilter(tags=tags, job_name=job, statuses=statuses, created_after=created_after)
    return instance.get_run_records(wanted, limit=20)


def last_green(site: Site, instance: dg.DagsterInstance, stages: Iterable[str]) -> datetime | None:
    """When each of the stages had succeeded; None while one of them never did."""
    ends = []
    for stage in stages:
        green = runs_of(
            site, instance, job=job_name(site, stage), statuses=[dg.DagsterRunStatus.SUCCESS]
        )
        if not green:
            return None
        ends.append(max(record.end_time or 0 for record in green))
    return datetime.fromtimestamp(min(ends), UTC) if ends else None


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
