"""Posted events through rounds, sensors and the command, with the vendor's sandbox beside them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import dagster as dg
import pytest
from ticks import noted, repository, resources, tick
from world import SAMPLE, World

from crm_assets.automation.events import NOTHING_DUE
from crm_assets.privacy.tombstones import bury
from crm_resources.hotmart.sandbox import Faults
from crm_resources.ops import InboxEvent

POSTS = [
    json.loads(line)
    for line in (SAMPLE / "events" / "hotmart.jsonl").read_text(encoding="utf-8").splitlines()
]


def deliver(world: World, *numbers: int) -> int:
    """Put posts of the sample into the inbox, all by default."""
    chosen = [POSTS[number] for number in numbers] if numbers else POSTS
    return world.ops.receive(
        [
            InboxEvent(
                kind="hotmart",
                event_key=post["body"]["id"],
                event=post["body"]["event"],
                version=post["body"]["version"],
                body=json.dumps(post["body"]),
                received_at=datetime.fromisoformat(post["received_at"]),
            )
            for post in chosen
        ]
    )


def test_the_inbox_is_asked_for_only_when_something_waits_and_nothing_runs(world: World):
    assert tick(world, "events_inbox").skip_message == NOTHING_DUE
    deliver(world, 0)
    (request,) = tick(world, "events_inbox").run_requests
    assert request.run_key is None
    noted(world, "events", dg.DagsterRunStatus.STARTED)
    assert tick(world, "events_inbox").run_requests == []
    sensor = repository(world).get_sensor_def("events_inbox")
    assert sensor.minimum_interval_seconds == 30


def test_the_sweep_asks_every_half_hour(world: World):
    schedule = repository(world).get_schedule_def("events_sweep")
    assert schedule.cron_schedule == "*/30 * * * *"

    def swept():
        context = dg.build_schedule_context(
            instance=world.instance,
            repository_def=repository(world),
            resources=resources(world, schedule.required_resource_keys),
        )
        with context:
            return schedule.evaluate_tick(context).run_requests

    assert swept() == []
    deliver(world, 0)
    assert len(swept()) == 1


@pytest.mark.parametrize(("minutes", "due"), [(1, []), (16, ["events"])])
def test_events_alone_refine_at_most_every_fifteen_minutes(world: World, minutes, due, monkeypatch):
    """A refine that ended a while ago holds back what only events ask for, never a daily read."""
    from crm_assets.automation import jobs

    made = noted(
        world, "refine", dg.DagsterRunStatus.SUCCESS, **{"dagster/partition": "2026-03-15"}
    )
    events = noted(world, "events", dg.DagsterRunStatus.NOT_STARTED)
    for run in (made, events):
        world.instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name, message="ended"),
            run.run_id,
        )
    record = world.instance.get_run_record_by_id(made.run_id)
    later = record.create_timestamp.timestamp() + timedelta(minutes=minutes).total_seconds()
    monkeypatch.setattr(jobs, "time", lambda: later)
    asked = tick(world, "refine_after_ingest").run_requests
    assert ["events" for _ in asked] == due


@pytest.mark.slow
def test_a_whole_round_takes_events_before_it_refines_and_forgets_whom_it_must(world: World):
    assert deliver(world) == 11
    done = world.green("events", "refine")
    assert [outcome.stage for outcome in done.outcomes] == ["events", "refine"]
    assert world.value("SELECT count(*) FROM bronze.hotmart_events") == 11
    assert world.value("SELECT count(*) FROM silver.events") == 9
    # the API was asked about the sales, and knows more of them than the events said
    sales = {row["sale_id"]: row for row in world.rows("FROM silver.sales")}
    assert len(sales) == 5
    boleto = sales["hotmart:HP2025003973"]
    assert (boleto["status"], boleto["payment_mode"]) == ("PRINTED_BILLET", "UNIQUE_PAYMENT")
    renewal = sales["hotmart:HP2025003836"]
    assert (renewal["subscriber_code"], renewal["commission_as"]) == ("B19EC1AF", "PRODUCER")
    carts = world.rows("FROM silver.carts ORDER BY cart_at")
    assert [(cart["product_id"], cart["events"]) for cart in carts] == [("3102", 1), ("4201", 2)]
    rita = world.rows("FROM silver.customers WHERE email = 'rita.invento@example.com'")
    assert [(row["phone"], row["has_purchased"]) for row in rita] == [("+5531961230077", False)]
    triggers = {row["trigger"] for row in world.rows("FROM gold.triggers")}
    assert triggers == {"carrinho", "boleto_pix_pendente", "disputa"}
    batch = world.rows("FROM gold.remarketing_batches ORDER BY position")
    assert batch[0]["reason"] == "carrinho_aberto"
    assert {event.state for event in world.ops.events()} == {"processed", "ignored"}

    bury(world.settings, world.tenant, world.ops, [("email", "rita.invento@example.com")])
    again = world.green("events", "actions", "refine")
    notes = {outcome.stage: outcome.note for outcome in again.outcomes}
    assert (notes["events"], notes["refine"]) == ("nada novo", "")
    assert world.rows("FROM silver.customers WHERE email = 'rita.invento@example.com'") == []
    assert [cart["product_id"] for cart in world.rows("FROM silver.carts")] == ["3102"]
    raw = " ".join(row["raw"] for row in world.rows("FROM bronze.hotmart_events"))
    assert "rita" not in raw


@pytest.mark.slow
def test_the_api_and_events_tell_the_same_sales(world: World):
    world.green("hotmart", "subscriptions", "refine")
    before = world.rows("SELECT * FROM silver.sales ORDER BY sale_id")
    people = world.value("SELECT count(*) FROM silver.customers")
    deliver(world)
    world.green("events", "refine")
    after = world.rows("SELECT * FROM silver.sales ORDER BY sale_id")
    known = {row["sale_id"]: row for row in before}
    changed = {
        (row["sale_id"], name)
        for row in after
        for name, value in row.items()
        if value != known[row["sale_id"]][name]
    }
    assert changed <= {
        (row["sale_id"], name)
        for row in after
        for name in ("subscriber_code", "base", "net_estimated")
    }
    assert world.value("SELECT count(*) FROM silver.customers") == people + 1


@pytest.mark.slow
def test_an_api_that_fails_stops_no_event(world: World, sandbox, monkeypatch):
    from crm_assets.bronze import enriching

    monkeypatch.setattr(enriching, "PATIENCE_SECONDS", 0.5)
    sandbox.sandbox.faults = Faults.model_validate({"delay_seconds": 2})
    deliver(world)
    world.green("events", "refine")
    assert world.value("SELECT count(*) FROM silver.sales") == 5
    assert world.value("SELECT count(*) FROM bronze.hotmart_transactions") == 0
