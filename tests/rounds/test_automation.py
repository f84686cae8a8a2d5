"""Schedules and sensors: what they request, and what they leave alone."""

import dagster as dg
import pytest
from ticks import daily, noted, repository, run, tick
from world import World

from crm_assets.automation.jobs import SOURCES
from crm_assets.automation.runs import BY_COMMAND, BY_TAG, STAGE_TAG, TENANT_TAG
from crm_assets.plan import RANGE_END_TAG, RANGE_START_TAG, WINDOW_START_TAG
from crm_resources.hotmart.sandbox import Faults
from crm_resources.ops import Action

pytestmark = pytest.mark.slow


def test_the_schedule_requests_what_the_plan_says_as_ranges(world):
    data = daily(world)
    (request,) = data.run_requests
    assert request.tags[RANGE_START_TAG] == "2025-06-01"
    assert request.tags[RANGE_END_TAG] == "2026-03-01"
    assert request.run_key == "202603150200:2025-06-01"


def test_what_the_schedule_requests_can_be_run(world, quick):
    world.table = {**world.table, "hotmart": {"start_date": "2026-02-10"}}
    (request,) = daily(world).run_requests
    assert run(world, "hotmart", **request.tags).is_success
    assert {load.slice for load in world.ops.loads()} == {"2026-02-01", "2026-03-01"}


def test_in_dev_the_schedule_requests_yesterday(world):
    dev = World(world.home, world.instance, {**world.environ, "ENVIRONMENT": "dev"}, world.table)
    (request,) = daily(dev).run_requests
    assert request.tags[RANGE_START_TAG] == request.tags[RANGE_END_TAG] == "2026-03-01"
    assert request.tags[WINDOW_START_TAG] == "2026-03-14T03:00:00+00:00"


def test_a_schedule_that_cannot_plan_skips_by_name_and_opens_an_incident(world):
    world.table = {**world.table, "hotmart": {}}
    data = daily(world)
    assert not data.run_requests
    assert "Falta HOTMART_START_DATE" in data.skip_message
    (incident,) = world.ops.open_incidents()
    assert (incident.kind, incident.subject) == ("run_failed", "hotmart")


def test_the_schedule_runs_at_schedule_time_in_the_tenants_zone(world):
    world.environ["SCHEDULE_TIME"] = "05:45"
    world.table = {**world.table, "timezone": "America/Manaus"}
    schedule = repository(world).get_schedule_def("hotmart_daily")
    assert (schedule.cron_schedule, schedule.execution_timezone) == (
        "45 5 * * *",
        "America/Manaus",
    )


def test_a_file_is_taken_once_it_stood_still_for_a_tick(world):
    path = world.inbox / "a.csv"
    path.write_text("email\na@example.com\n")
    first = tick(world, "manychat_files")
    assert (first.run_requests, first.skip_message) == ([], "nenhum arquivo novo")
    path.write_text("email\na@example.com\nb@example.com\n")
    growing = tick(world, "manychat_files", first.cursor)
    assert growing.run_requests == []
    settled = tick(world, "manychat_files", growing.cursor)
    (request,) = settled.run_requests
    assert run(world, "manychat", **request.tags).is_success
    assert world.value("SELECT count(*) FROM bronze.manychat_contacts") == 2
    assert list(world.inbox.iterdir()) == []
    assert tick(world, "manychat_files", settled.cursor).run_requests == []


def taken(world: World, *names: str):
    """Two ticks over files of these names, each of its own content."""
    for name in names:
        (world.inbox / f"{name}.csv").write_text(f"email\n{name}@example.com\n")
    return tick(world, "manychat_files", tick(world, "manychat_files").cursor)


def test_several_files_are_one_range(world):
    (request,) = taken(world, "a", "b", "c").run_requests
    assert run(world, "manychat", **request.tags).is_success
    assert world.value("SELECT count(DISTINCT slice) FROM bronze.manychat_contacts") == 3


def test_a_content_that_was_imported_is_told_and_not_requested(world):
    (request,) = taken(world, "a").run_requests
    run(world, "manychat", **request.tags)
    (world.inbox / "de novo.csv").write_text("email\na@example.com\n")
    data = tick(world, "manychat_files", tick(world, "manychat_files").cursor)
    assert data.run_requests == []
    assert data.skip_message == "conteúdo já importado (1)"


def test_a_refused_file_is_not_tried_again_until_it_changes(world):
    path = world.inbox / "ruim.csv"
    path.write_text("pedido;valor\n1;2\n")
    data = tick(world, "manychat_files", tick(world, "manychat_files").cursor)
    run(world, "manychat", ok=False, **data.run_requests[0].tags)
    for _ in range(2):
        data = tick(world, "manychat_files", data.cursor)
        assert data.run_requests == []
    path.write_text("email\na@example.com\n")
    data = tick(world, "manychat_files", data.cursor)
    data = tick(world, "manychat_files", data.cursor)
    assert run(world, "manychat", **data.run_requests[0].tags).is_success


def test_files_wait_while_an_import_runs_and_a_failed_one_is_tried_once_a_day(world):
    busy = noted(world, "manychat", dg.DagsterRunStatus.STARTED)
    data = taken(world, "a")
    assert data.run_requests == []
    world.instance.report_run_failed(busy)
    later = tick(world, "manychat_files", data.cursor)
    again = tick(world, "manychat_files", later.cursor)
    tomorrow = tick(world.at("2026-03-16T09:00:00-03:00"), "manychat_files", again.cursor)
    keys = [data.run_requests[0].run_key for data in (later, again, tomorrow)]
    assert keys[0] == keys[1] != keys[2]


def test_no_file_name_reaches_the_cursor_or_the_tick(world):
    data = taken(world, "Maria da Silva")
    again = tick(world, "manychat_files", data.cursor)
    for text in (data.cursor, data.skip_message, again.cursor, again.skip_message):
        assert "Maria" not in str(text)


def test_new_decisions_are_requested_once(world):
    world.ops.append_actions(
        [Action(kind="opt_out", idempotency_key="1", email_key="a@example.com")]
    )
    data = tick(world, "actions_log")
    (request,) = data.run_requests
    assert request.run_key == "2026-03-15:1"
    assert run(world, "actions").is_success
    assert tick(world, "actions_log").skip_message == "nenhuma decisão nova"


AFTER_DUE = "2026-03-15T09:00:00-03:00"
BEFORE_DUE = "2026-03-15T01:00:00-03:00"
AFTER_INGEST = "refine_after_ingest"


@pytest.mark.parametrize("ok", [True, False])
def test_refine_follows_an_ingest_that_ended_well_or_badly_once(world, quick, sandbox, ok):
    world.table = {**world.table, "hotmart": {"start_date": "2026-03-01"}}
    sandbox.sandbox.faults = Faults(forbidden=not ok)
    early = world.at(BEFORE_DUE)
    tags = {RANGE_START_TAG: "2026-03-01", RANGE_END_TAG: "2026-03-01"}
    run(early, "hotmart", ok=ok, **tags)
    (request,) = tick(early, AFTER_INGEST).run_requests
    assert request.partition_key == "2026-03-15"
    assert request.run_key.startswith("depois-de-")
    assert tick(early, AFTER_INGEST).run_requests[0].run_key == request.run_key
    noted(early, "refine", dg.DagsterRunStatus.SUCCESS)
    assert tick(early, AFTER_INGEST).skip_message == "nada novo desde o último refine"


def test_refine_does_not_start_while_anything_of_the_tenant_is_active(world):
    for status in ("NOT_STARTED", "STARTING", "STARTED", "CANCELING"):
        active = noted(world, "hotmart", dg.DagsterRunStatus[status])
        assert tick(world, AFTER_INGEST).skip_message == "há uma execução em andamento"
        world.instance.delete_run(active.run_id)
    assert tick(world, AFTER_INGEST).run_requests


def test_another_tenants_runs_are_no_business_of_this_one(world):
    world.instance.add_run(
        dg.DagsterRun(
            job_name="acme_hotmart",
            status=dg.DagsterRunStatus.STARTED,
            tags={TENANT_TAG: "acme", STAGE_TAG: "ingest"},
        )
    )
    assert tick(world, AFTER_INGEST).run_requests


def test_a_missing_refine_is_requested_after_schedule_time_only(world):
    assert tick(world.at(BEFORE_DUE), AFTER_INGEST).run_requests == []
    (request,) = tick(world.at(AFTER_DUE), AFTER_INGEST).run_requests
    assert request.run_key == "dia-2026-03-15"
    noted(world, "refine", dg.DagsterRunStatus.FAILURE, **{"dagster/partition": "2026-03-15"})
    assert tick(world.at(AFTER_DUE), AFTER_INGEST).run_requests == []


def test_the_commands_own_ingests_start_nothing(world):
    early = world.at(BEFORE_DUE)
    run(early, "actions", **{BY_TAG: BY_COMMAND})
    assert tick(early, AFTER_INGEST).run_requests == []


def switches(world: World) -> set[str]:
    made = repository(world)
    return {
        *(schedule.default_status.value for schedule in made.schedule_defs),
        *(sensor.default_status.value for sensor in made.sensor_defs),
    }


def test_everything_is_off_by_default(world):
    assert switches(world) == {"STOPPED"}


def test_the_tenant_file_switches_everything_on(world):
    world.table = {**world.table, "schedules_on": True}
    assert switches(world) == {"RUNNING"}


@pytest.mark.parametrize(("text", "status"), [("1", "RUNNING"), ("0", "STOPPED"), ("", "STOPPED")])
def test_a_variable_switches_everything_on(world, monkeypatch, text, status):
    monkeypatch.setenv("CRM_SCHEDULES_ON", text)
    assert switches(world) == {status}


def test_the_jobs_of_a_tenant(world):
    acme = World(world.home, world.instance, world.environ, {}, "acme")
    others = ("access", "backup", "churn", "cleanup", "identity_audit", "refine", "retention")
    named = {f"acme_{stage}" for stage in (*SOURCES, *others)}
    for one, jobs in ((world, {name.removeprefix("acme_") for name in named}), (acme, named)):
        found = {job.name for job in repository(one).get_all_jobs()}
        assert {name for name in found if not name.startswith("__")} == jobs


def test_refine_never_reads_from_a_vendor(world):
    keys = repository(world).get_job("refine").asset_layer.executable_asset_keys
    selected = world.definitions.resolve_job_def("refine").asset_layer.selected_asset_keys
    assert {key.path[0] for key in selected} == {"silver", "gold"}
    assert selected <= set(keys)


def test_every_asset_is_described_owned_and_grouped(world):
    for node in world.definitions.resolve_asset_graph().asset_nodes:
        assert node.description, node.key
        assert node.owners, node.key
        assert node.kinds, node.key
        assert node.group_name == node.key.path[0]
