"""The run guard: a run that merges too many customers is stopped, and accepted once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from lake import Lake

from crm_assets.checks.silver import ContactRecords
from crm_assets.person_rules import Identity
from crm_assets.silver.identity import identify
from crm_assets.silver.run_guard import guard_merges, run_guard
from crm_assets.silver.stewardship import ACCEPTED

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
LIMITS = Identity(max_merged_share=0.05, min_customers=200)


@pytest.mark.parametrize(
    ("before", "merged", "accepted", "passes"),
    [
        (0, 0, False, True),
        (199, 199, False, True),  # too few customers to tell
        (200, 10, False, True),  # exactly the limit
        (200, 11, False, False),
        (1000, 51, False, False),
        (1000, 51, True, True),
        (1000, 50, True, True),
    ],
)
def test_a_run_that_merges_too_many_is_stopped(before, merged, accepted, passes):
    verdict = run_guard(before, merged, 7, LIMITS, accepted=accepted)
    assert verdict.passed == passes
    assert ("accept-merges" in verdict.metadata.get("falhas", "")) == (not passes)


def people(count, phone=None):
    return [
        {
            "record_id": f"form:{n}",
            "source": "form",
            "source_id": str(n),
            "email_key": f"p{n}@example.com",
            "phone_key": phone if n < 20 else None,
        }
        for n in range(count)
    ]


def test_the_guard_counts_what_this_run_merged_and_lets_an_accepted_one_pass_once():
    lake, limits = Lake(), Identity(min_customers=50, degree_cap=False, profile_limits=False)

    def run(rows, day):
        lake.put("silver.contact_records", ContactRecords, *rows)
        identify(lake.tx, limits, NOW + timedelta(days=day), full=True)
        return guard_merges(lake.tx, limits)

    first = run(people(100), 0)
    assert (first.passed, first.metadata["clientes antes"]) == (True, 0)
    stopped = run(people(100, "+5511987654321"), 1)
    assert not stopped.passed
    assert stopped.metadata["clientes antes"] == 100
    assert stopped.metadata["unidos nesta rodada"] == 19
    assert stopped.metadata["maior cliente resolvido (registros)"] == 20
    assert len(stopped.metadata["uniões (as primeiras)"].split("; ")) == 19
    assert "19 de 100 clientes" in stopped.metadata["falhas"]
    assert "example.com" not in json.dumps(dict(stopped.metadata))

    lake.tx.replace_table("silver.action_log_position", "SELECT 3 AS last_action_id")
    lake.bronze("bronze.crm_actions", {"id": 3, "kind": ACCEPTED, "occurred_at": NOW})
    assert not guard_merges(lake.tx, limits).passed, "an older round has used it"
    lake.bronze("bronze.crm_actions", {"id": 4, "kind": ACCEPTED, "occurred_at": NOW})
    assert guard_merges(lake.tx, limits).passed
    lake.tx.replace_table("silver.action_log_position", "SELECT 4 AS last_action_id")
    assert not guard_merges(lake.tx, limits).passed
    assert run(people(100, "+5511987654321"), 2).passed, "nothing merges any more"
