"""Alerts: which is due, what it says, and that each goes out once by every channel."""

import base64
import json
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent
from receivers import smtp_server, webhook_receiver
from standardwebhooks import Webhook
from world import World

from crm_assets.automation.alerts import (
    Situation,
    after_sent,
)
from crm_assets.automation.notify import deliver, undelivered
from crm_assets.automation.runs import STAGE_TAG, TENANT_TAG
from crm_assets.automation.watch import watch
from crm_assets.settings import Environment
from crm_assets.tenants import build_tenant_model
from crm_resources.ops import OpsStore
from crm_resources.ops.resource import OpsResource

pytestmark = pytest.mark.slow

SECRET = "whsec_" + base64.b64encode(b"chave-canario-de-assinatura-32by").decode()
TENANT = build_tenant_model("default", {"name": "Escola Aurora"}, {})
AT = datetime(2026, 3, 15, 12, tzinfo=UTC)


def local(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{text}:00-03:00")


# Who tells it


@pytest.fixture
def ops(tmp_path):
    return OpsStore(tmp_path / "ops.sqlite", "default")


LEASE = timedelta(minutes=5)


def claims(ops, channel="webhook", now=AT):
    found = []
    while one := ops.claim_delivery(channel, now, LEASE):
        found.append(one)
    return found


def test_two_who_look_at_once_get_each_incident_once(ops):
    for number in range(6):
        ops.open_incident("run_failed", str(number), "x", AT)
    found, start = [], threading.Barrier(3)

    def look():
        start.wait()
        found.extend(claims(ops))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.incident.subject for one in found) == [*"012345"]


def test_a_claim_whose_owner_died_is_repeated_as_the_same_message(ops):
    ops.open_incident("run_failed", "hotmart", "x", AT)
    situation = Situation(TENANT, Environment.PRD, AT, {})
    (first,) = claims(ops)
    assert claims(ops, now=AT + LEASE - timedelta(seconds=1)) == []
    (again,) = claims(ops, now=AT + LEASE)
    assert situation.message(first).id == situation.message(again).id
    ops.record_delivery(after_sent(again))
    assert claims(ops, now=AT + timedelta(days=9)) == []
    ops.change_incident("run_failed", "hotmart", "outra", news=False)
    assert claims(ops) == []
    ops.change_incident("run_failed", "hotmart", "mais outra")
    (changed,) = claims(ops)
    assert situation.message(changed).id != situation.message(again).id


def test_a_new_channel_is_not_told_what_ended_long_ago(ops):
    ops.open_incident("run_failed", "hotmart", "x", AT)
    ops.close_incident("run_failed", "hotmart", AT)
    assert len(claims(ops, now=AT + timedelta(hours=23))) == 1
    assert claims(ops, "e-mail", AT + timedelta(hours=24)) == []


def test_channels_and_tenants_do_not_mix(ops, tmp_path):
    ops.open_incident("run_failed", "hotmart", "x", AT)
    other = OpsStore(tmp_path / "ops.sqlite", "acme")
    assert claims(other) == []
    assert len(claims(ops, "e-mail")) == len(claims(ops, "webhook")) == 1
    assert not other.change_incident("run_failed", "hotmart", "y")


# Rounds


@pytest.fixture
def channels():
    """A mailbox and a webhook receiver."""
    with ExitStack() as stack:
        yield stack.enter_context(smtp_server()), stack.enter_context(webhook_receiver())


@pytest.fixture
def alerted(world, channels, monkeypatch):
    """A world without a start date, so that a round of Hotmart fails at once, and with alerts."""
    box, receiver = channels
    world.environ |= {
        "ALERT_EMAILS": "dona@example.com",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(box.port),
        "SMTP_SECURE": "none",
        "SMTP_SENDER_EMAIL": "crm@example.com",
        "ALERT_WEBHOOK_URL": receiver.url,
        "ALERT_WEBHOOK_SECRET": SECRET,
    }
    world.table = {**world.table, "hotmart": {}}
    return world


def told(receiver) -> list[str]:
    """Event types that reached the receiver, each verified; it is emptied."""
    kinds = [Webhook(SECRET).verify(post.body, post.headers)["type"] for post in receiver.posts]
    receiver.posts.clear()
    return kinds


def mended(world: World) -> World:
    """Hotmart switched off: its stage has nothing to do and succeeds."""
    world.table = {**world.table, "hotmart": {"enabled": False}}
    return world


def test_an_incident_is_told_when_it_opens_changes_and_closes_and_only_then(alerted, channels):
    box, receiver = channels
    done = alerted.round("hotmart")
    assert (done.ok, done.untold) == (False, [])
    assert told(receiver) == ["alert.opened"]
    assert "Falta HOTMART_START_DATE" in box.mails[0].get_content()
    alerted.at("2026-03-15T10:00:00-03:00").round("hotmart")
    assert told(receiver) == []
    alerted.table = {**alerted.table, "hotmart": {"start_date": "2031-01-01"}}
    alerted.round("hotmart")
    assert told(receiver) == ["alert.changed"]
    mended(alerted).green("hotmart")
    alerted.green("hotmart")
    assert told(receiver) == ["alert.closed"]
    subjects = [mail["Subject"] for mail in box.mails]
    assert len(subjects) == 3
    assert subjects[-1].startswith("[CRM prd, Escola Aurora] Resolvido: ")


def test_what_failed_again_is_a_new_incident(alerted, channels):
    _, receiver = channels
    alerted.round("hotmart")
    mended(alerted).round("hotmart")
    alerted.table = {**alerted.table, "hotmart": {}}
    alerted.round("hotmart")
    ids = [json.loads(post.body)["data"]["incident"] for post in receiver.posts]
    assert told(receiver) == ["alert.opened", "alert.closed", "alert.opened"]
    assert ids[0] == ids[1] != ids[2]


def test_without_channels_there_are_incidents_only(world):
    world.table = {**world.table, "hotmart": {}}
    assert world.round("hotmart").untold == []
    assert len(world.ops.open_incidents()) == 1


def test_a_channel_that_fails_never_fails_the_round_and_is_tried_later(alerted, channels):
    box, receiver = channels
    receiver.answers = [503]
    mended(alerted)
    alerted.ops.open_incident("run_failed", "refine", "x", AT)
    done = alerted.round("actions")
    assert done.ok
    assert done.untold == ["O alerta por webhook não saiu: ALERT_WEBHOOK_URL respondeu 503."]
    assert len(box.mails) == 1, "the other channel is told"
    (waiting,) = undelivered(alerted.settings, alerted.tenant, alerted.ops)
    assert waiting.startswith("webhook sobre refine: ALERT_WEBHOOK_URL respondeu 503; nova tent")
    soon = alerted.at("2026-03-15T09:00:30-03:00")
    assert deliver(soon.settings, soon.tenant, soon.ops) == []
    later = alerted.at("2026-03-15T09:01:15-03:00")
    assert deliver(later.settings, later.tenant, later.ops) == []
    ids = [{k.lower(): v for k, v in p.headers.items()}["webhook-id"] for p in receiver.posts]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert undelivered(later.settings, later.tenant, later.ops) == []
    assert len(box.mails) == 1


def test_a_channel_that_is_down_is_not_asked_again_and_again(alerted, channels):
    _, receiver = channels
    receiver.answers = [500] * 9
    for number in range(4):
        alerted.ops.open_incident("run_failed", str(number), "x", AT)
    deliver(alerted.settings, alerted.tenant, alerted.ops)
    assert len(receiver.posts) == 1


def test_a_refused_message_is_given_up_and_the_next_news_goes_out(alerted, channels):
    _, receiver = channels
    receiver.answers = [422]
    alerted.round("hotmart")
    (given_up,) = undelivered(alerted.settings, alerted.tenant, alerted.ops)
    assert given_up.endswith("respondeu 422; sem nova tentativa")
    mended(alerted).round("hotmart")
    assert told(receiver) == ["alert.opened", "alert.closed"]
    assert undelivered(alerted.settings, alerted.tenant, alerted.ops) == []


# Dagster's runs


def tick(world: World, cursor: str | None = None):
    """One evaluation of the sensor of alerts, as the daemon makes it."""
    sensor = watch(world.site, {}, dg.DefaultSensorStatus.STOPPED)[-1]
    resources = {"ops": OpsResource(url=str(world.folder / "ops.sqlite"), tenant="default")}
    with dg.build_sensor_context(world.instance, cursor, resources=resources) as context:
        return sensor.evaluate_tick(context)


def ended(world: World, stage: str, at: str) -> None:
    """A run of a stage that succeeded at an instant, as the instance remembers it."""
    tags = {TENANT_TAG: "default", STAGE_TAG: "refine" if stage == "refine" else "ingest"}
    run = world.instance.add_run(dg.DagsterRun(job_name=stage, tags=tags))
    event = DagsterEvent("PIPELINE_SUCCESS", job_name=stage, message="")
    world.instance.report_dagster_event(event, run.run_id, timestamp=local(at).timestamp())


def green(world: World, at: str) -> None:
    for stage in ("hotmart", "subscriptions", "refine"):
        ended(world, stage, at)


def subjects(world: World) -> list[str]:
    return [incident.subject for incident in world.ops.open_incidents()]


def test_the_sensor_sends_what_a_run_opened_and_nobody_sends_it_twice(alerted, channels):
    _, receiver = channels
    alerted.ops.open_incident("run_failed", "refine", "x", AT)
    assert tick(alerted).skip_message == "nada por avisar"
    assert told(receiver) == ["alert.opened"]
    tick(alerted)
    mended(alerted).round("actions")
    assert told(receiver) == []


def test_the_sensor_says_which_channel_failed_and_goes_on(alerted, channels):
    _, receiver = channels
    receiver.answers = [500]
    alerted.ops.open_incident("run_failed", "refine", "x", AT)
    data = tick(alerted)
    assert data.skip_message == "O alerta por webhook não saiu: ALERT_WEBHOOK_URL respondeu 500."


def test_a_late_round_is_one_incident_that_the_next_green_one_closes(alerted, channels):
    _, receiver = channels
    green(alerted, "14T02:10")
    tick(alerted.at("2026-03-15T04:59:00-03:00"))
    assert subjects(alerted) == []
    for hour in ("05", "06", "23"):
        tick(alerted.at(f"2026-03-15T{hour}:00:00-03:00"))
        assert subjects(alerted) == ["daily"]
    assert told(receiver) == ["alert.opened"]
    tick(alerted.at("2026-03-16T03:00:00-03:00"))
    assert subjects(alerted) == ["daily"], "still not green"
    green(alerted, "16T03:30")
    tick(alerted.at("2026-03-16T03:31:00-03:00"))
    assert subjects(alerted) == []
    assert told(receiver) == ["alert.closed"]


@pytest.mark.parametrize("missing", ["hotmart", "subscriptions", "refine"])
def test_a_round_is_green_only_when_every_stage_succeeded(alerted, missing):
    green(alerted, "14T02:10")
    for stage in {"hotmart", "subscriptions", "refine"} - {missing}:
        ended(alerted, stage, "15T02:10")
    tick(alerted.at("2026-03-15T05:00:00-03:00"))
    assert subjects(alerted) == ["daily"]


def test_a_failure_that_is_told_already_is_not_told_as_late(alerted):
    green(alerted, "14T02:10")
    alerted.ops.open_incident("run_failed", "hotmart", "x", AT)
    tick(alerted.at("2026-03-15T05:00:00-03:00"))
    assert subjects(alerted) == ["hotmart"]


def test_a_new_installation_is_late_only_after_a_time_that_it_saw(alerted):
    first = tick(alerted.at("2026-03-15T09:00:00-03:00"))
    assert subjects(alerted) == []
    before = tick(alerted.at("2026-03-16T04:59:00-03:00"), first.cursor)
    assert subjects(alerted) == []
    tick(alerted.at("2026-03-16T05:00:00-03:00"), before.cursor)
    assert subjects(alerted) == ["daily"]


def test_the_command_tells_a_day_that_was_missed_at_its_next_start(alerted, monkeypatch):
    from crm_assets import rounds

    opened = []
    monkeypatch.setattr(
        rounds, "_execute", lambda *a: opened.append(subjects(alerted)) or executed(a)
    )

    def executed(arguments):
        *_, stage, request = arguments
        return rounds.RunOutcome(stage, request.slices, ok=True)

    alerted.table = {**alerted.table, "hotmart": {"start_date": "2026-03-01"}}
    green(alerted, "13T08:00")
    alerted.at("2026-03-14T08:00:00-03:00").green()
    assert "daily" not in opened[0], "a command has a time of its own"
    alerted.at("2026-03-15T08:00:00-03:00").green()
    assert "daily" in opened[-1]
    assert subjects(alerted) == []
