"""The hourly job: the clock and the decisions of people move access, without a refine."""

from __future__ import annotations

import pytest

from crm_assets.silver.access_rules import BLOCK, decision

pytestmark = pytest.mark.slow

HELD = "FROM silver.access WHERE product_id = '3102'"


def run(world, job, monkeypatch):
    monkeypatch.setenv("CRM_NOW", world.environ["CRM_NOW"])
    made = world.definitions.resolve_job_def(job).execute_in_process(instance=world.instance)
    assert made.success
    return {event.asset_key.path[-1] for event in made.get_asset_materialization_events()}


def test_it_writes_access_and_nothing_else(finished, monkeypatch):
    (held,) = finished.rows(HELD)
    assert held["status"] == "granted"
    logged = finished.value("SELECT count(*) FROM silver.access_log")

    assert run(finished, "access", monkeypatch) == {"access", "access_log"}
    assert finished.value("SELECT count(*) FROM silver.access_log") == logged

    late = finished.at("2026-06-30T09:00:00-03:00")
    run(late, "access", monkeypatch)
    (row,) = late.rows(HELD)
    assert (row["status"], row["event"]) == ("suspended", "atraso")

    late.ops.append_actions(
        [
            decision(
                BLOCK,
                customer_id=held["customer_id"],
                product_id=held["product_id"],
                email_key=None,
                phone_key=None,
                reason="teste",
                actor="rita",
                at=late.settings.now(),
            )
        ]
    )
    run(late, "actions", monkeypatch)
    run(late, "access", monkeypatch)
    log = late.rows(
        "FROM silver.access_log WHERE product_id = ? ORDER BY noted_at",
        [held["product_id"]],
    )
    assert [(row["status"], row["event"]) for row in log[-3:]] == [
        ("granted", "pagamento"),
        ("suspended", "atraso"),
        ("suspended", "bloqueio"),
    ]
    assert log[-1]["decided_by"] == "rita"
