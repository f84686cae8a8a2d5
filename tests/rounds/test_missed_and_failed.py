"""A round that was missed happens once; a failed run is one open incident until it is mended."""

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from ticks import TICK, daily, noted, report, run, tick
from world import SAMPLE

from crm_assets.automation.runs import BY_COMMAND, BY_TAG, ROUND_TAG
from crm_assets.plan import RANGE_END_TAG, RANGE_START_TAG
from crm_assets.settings import CHECKOUT
from crm_resources.hotmart.sandbox import Faults

pytestmark = pytest.mark.slow


def test_a_day_that_failed_does_not_stop_the_next(world, sandbox, quick):
    world.table = {**world.table, "hotmart": {"start_date": "2026-03-01"}}
    sandbox.sandbox.faults = Faults(forbidden=True)
    (first,) = daily(world).run_requests
    assert not run(world, "hotmart", ok=False, **first.tags).is_success
    tomorrow = world.at("2026-03-16T02:00:05-03:00")
    (second,) = daily(tomorrow, TICK + timedelta(days=1)).run_requests
    assert second.run_key != first.run_key
    assert second.tags[RANGE_START_TAG] == first.tags[RANGE_START_TAG]


OFF_FROM, ON_AGAIN = "2026-03-12T12:00:00-03:00", "2026-03-15T09:00:00-03:00"


@pytest.mark.slow
def test_what_was_missed_while_the_machine_was_off_happens_once(world, monkeypatch, tmp_path):
    """Dagster's own scheduler, at chosen instants: off for three rounds, then on again twice."""
    from dagster._core.test_utils import create_test_daemon_workspace_context, instance_for_test
    from dagster._core.workspace.load_target import ModuleTarget
    from dagster._scheduler.scheduler import launch_scheduled_runs

    monkeypatch.setenv("CRM_SCHEDULES_ON", "1")
    monkeypatch.setenv("CRM_TENANTS", str(SAMPLE / "tenants.toml"))
    location = ModuleTarget("crm_assets.definitions", None, str(CHECKOUT), "crm")
    silent = {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}
    with (
        instance_for_test(temp_dir=str(tmp_path), overrides={"run_launcher": silent}) as instance,
        create_test_daemon_workspace_context(location, instance) as workspace,
    ):
        for start in (OFF_FROM, ON_AGAIN, ON_AGAIN.replace("09:00", "09:30")):
            now = datetime.fromisoformat(start).astimezone(UTC)
            errors = [*launch_scheduled_runs(workspace, logging.getLogger("test"), now, {})]
            assert not any(errors)
        made_up = Counter(
            (run.job_name, run.tags.get("dagster/run_key", "").partition(":")[0])
            for run in instance.get_runs()
        )
    assert made_up == {
        ("hotmart", "202603150200"): 1,
        ("subscriptions", "202603150200"): 1,
        ("retention", ""): 1,
        ("identity_audit", ""): 1,
        ("churn", ""): 1,
        ("backup", ""): 1,
        ("access", ""): 2,
    }


CATCH_UP = "daily_catch_up"


def asked(data) -> set[str]:
    return {request.job_name for request in data.run_requests}


def test_todays_read_that_nobody_asked_for_is_made_up_for_once(world):
    late = world.at("2035-03-15T09:00:00-03:00")
    first = tick(late, CATCH_UP)
    assert not first.run_requests, "Dagster's own late tick comes first"
    second = tick(late, CATCH_UP, first.cursor)
    assert asked(second) == {"hotmart", "subscriptions"}
    again = tick(late, CATCH_UP, second.cursor)
    assert [r.run_key for r in again.run_requests] == [r.run_key for r in second.run_requests]
    tomorrow = tick(world.at("2035-03-16T09:00:00-03:00"), CATCH_UP, again.cursor)
    assert not tomorrow.run_requests


def test_nothing_is_made_up_for_before_its_time_or_when_a_run_exists(world):
    early = world.at("2035-03-15T01:59:00-03:00")
    assert not tick(early, CATCH_UP, tick(early, CATCH_UP).cursor).run_requests
    noted(world, "hotmart", dg.DagsterRunStatus.FAILURE)
    noted(world, "subscriptions", dg.DagsterRunStatus.STARTED, **{BY_TAG: BY_COMMAND})
    assert not tick(world, CATCH_UP, tick(world, CATCH_UP).cursor).run_requests


def test_what_cannot_be_planned_is_not_made_up_for_and_named(world):
    world.table = {**world.table, "hotmart": {}}
    late = world.at("2035-03-15T09:00:00-03:00")
    assert not tick(late, CATCH_UP, tick(late, CATCH_UP).cursor).run_requests
    assert {i.subject for i in world.ops.open_incidents()} == {"hotmart", "subscriptions"}
    world.table = {**world.table, "hotmart": {"enabled": False}}
    late = world.at("2035-03-15T09:00:00-03:00")
    assert not tick(late, CATCH_UP, tick(late, CATCH_UP).cursor).run_requests


def test_a_failed_run_is_an_open_incident_that_a_later_success_closes(world, sandbox, quick):
    tags = {RANGE_START_TAG: "2026-03-01", RANGE_END_TAG: "2026-03-01"}
    sandbox.sandbox.faults = Faults(forbidden=True)
    failed = [run(world, "hotmart", ok=False, **tags) for _ in range(2)]
    for one in failed:
        report(world, one)
    (incident,) = world.ops.open_incidents()
    assert (incident.kind, incident.subject) == ("run_failed", "hotmart")
    assert "não tem acesso" in incident.detail
    sandbox.sandbox.faults = Faults()
    mended = run(world, "hotmart", **tags)
    report(world, failed[1])
    report(world, mended)
    assert world.ops.open_incidents() == []


@pytest.mark.slow
def test_a_failed_stretch_is_not_hidden_by_another_one_of_the_same_round(world, sandbox, quick):
    def stretch(key: str, tick: str, *, ok: bool) -> None:
        sandbox.sandbox.faults = Faults(forbidden=not ok)
        range_ = {RANGE_START_TAG: key, RANGE_END_TAG: key}
        report(world, run(world, "hotmart", ok=ok, **range_, **{ROUND_TAG: tick}))

    stretch("2026-01-01", "202603150200", ok=False)
    stretch("2026-03-01", "202603150200", ok=True)
    assert [incident.subject for incident in world.ops.open_incidents()] == ["hotmart"]
    stretch("2026-01-01", "202603150200", ok=True)
    assert world.ops.open_incidents() == []


def test_an_incident_has_its_latest_cause_and_its_first_time(world, sandbox, quick):
    tags = {RANGE_START_TAG: "2026-03-01", RANGE_END_TAG: "2026-03-01"}
    sandbox.sandbox.faults = Faults(forbidden=True)
    report(world, run(world, "hotmart", ok=False, **tags))
    (first,) = world.ops.open_incidents()
    sandbox.sandbox.faults = Faults(next_answers=["html"] * 99)
    report(world, run(world, "hotmart", ok=False, **tags))
    (second,) = world.ops.open_incidents()
    assert (second.id, second.opened_at) == (first.id, first.opened_at)
    assert second.detail != first.detail
    assert (first.revision, second.revision) == (1, 2)


def test_a_late_report_of_an_old_failure_opens_nothing(world, sandbox, quick):
    tags = {RANGE_START_TAG: "2026-03-01", RANGE_END_TAG: "2026-03-01"}
    sandbox.sandbox.faults = Faults(forbidden=True)
    failed = run(world, "hotmart", ok=False, **tags)
    sandbox.sandbox.faults = Faults()
    mended = run(world, "hotmart", **tags)
    report(world, mended)
    report(world, failed)
    assert world.ops.open_incidents() == []
