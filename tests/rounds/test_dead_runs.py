"""Runs that a killed command left behind: marked failed, so that nothing waits for them."""

from __future__ import annotations

import dagster as dg
import pytest

from crm_assets.automation.runs import BY_COMMAND, BY_TAG, TENANT_TAG
from crm_assets.rounds import bury_dead_runs

OURS = {TENANT_TAG: "default", BY_TAG: BY_COMMAND}
Status = dg.DagsterRunStatus


@dg.op
def nothing():
    pass


@dg.job
def work():
    nothing()


@pytest.mark.parametrize(
    ("tags", "status", "after"),
    [
        pytest.param(OURS, Status.NOT_STARTED, Status.FAILURE, id="killed before it started"),
        pytest.param(OURS, Status.STARTING, Status.FAILURE, id="killed while it started"),
        pytest.param(OURS, Status.STARTED, Status.FAILURE, id="killed at work"),
        pytest.param(OURS, Status.SUCCESS, Status.SUCCESS, id="ended well"),
        pytest.param({**OURS, TENANT_TAG: "acme"}, Status.STARTED, Status.STARTED, id="another's"),
        pytest.param({TENANT_TAG: "default"}, Status.STARTED, Status.STARTED, id="not a command's"),
    ],
)
def test_only_unfinished_runs_of_the_tenants_command_are_buried(world, tags, status, after):
    run = world.instance.create_run_for_job(work, tags=tags, status=status)
    bury_dead_runs(world.site, world.instance)
    assert world.instance.get_run_by_id(run.run_id).status is after
