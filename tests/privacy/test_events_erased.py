"""Whoever only an event told us of is erased whole, and no later event or replay brings it back."""

import json
from datetime import datetime, timedelta

import pytest
from erasure_samples import canaries, erased
from world import SAMPLE

from crm_assets.gold.people import find_customers
from crm_resources.ops import InboxEvent

RITA = ("rita.invento@example.com", "961230077", "rita invento")
POSTS = (SAMPLE / "events" / "hotmart.jsonl").read_text(encoding="utf-8").splitlines()


def deliver(world, suffix=""):
    posts = [json.loads(line) for line in POSTS]
    world.ops.receive(
        [
            InboxEvent(
                kind="hotmart",
                event_key=post["body"]["id"] + suffix,
                event=post["body"]["event"],
                version=post["body"]["version"],
                body=json.dumps(post["body"]),
                received_at=datetime.fromisoformat(post["received_at"]),
            )
            for post in posts
        ]
    )


@pytest.mark.slow
def test_an_abandoned_cart_is_forgotten_with_its_person(finished):
    deliver(finished)
    finished.green("events", "refine")
    assert len(canaries(finished.home, RITA)) > 3
    done = erased(finished, RITA[0])
    assert done.left == {}
    assert canaries(finished.home, RITA) == []
    deliver(finished, suffix="-2")
    start = finished.settings.now() - timedelta(days=60)
    finished.ops.replay("hotmart", start, finished.settings.now())
    finished.green("events", "actions", "refine")
    assert find_customers(finished.settings, finished.tenant, RITA[0]) == []
    held = [str(row) for row in finished.rows("FROM bronze.hotmart_events")]
    assert not any(word in row.casefold() for row in held for word in RITA)
    assert finished.value("SELECT count(*) FROM silver.carts") == 1
    assert canaries(finished.home, RITA) == []
