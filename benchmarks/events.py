"""A million webhook events from the inbox to silver, against reading and parsing each body once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.installation import opened, sample_installation
from benchmarks.processes import clock, measure
from benchmarks.report import Reading, times

EVENTS = 1_000_000
LIVES = (
    ("PURCHASE_APPROVED",),
    ("PURCHASE_BILLET_PRINTED", "PURCHASE_APPROVED", "PURCHASE_COMPLETE"),
    ("PURCHASE_APPROVED", "PURCHASE_PROTEST", "PURCHASE_REFUNDED"),
    ("PURCHASE_BILLET_PRINTED", "PURCHASE_EXPIRED"),
    ("PURCHASE_OUT_OF_SHOPPING_CART",),
)
"""What may become of a sale, one event after the other."""

_BATCH = 10_000
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def events(scale: float, repeat: int) -> Iterator[Reading]:
    """The events job and the records step without Dagster."""
    rows = int(EVENTS * scale)
    with TemporaryDirectory() as home:
        environ = sample_installation(Path(home)) | {"HOTMART_CLIENT_ID": ""}
        measure("benchmarks.events:fill", environ, rows=rows)
        floor = measure("benchmarks.events:read", environ)
        landed = measure("benchmarks.events:land", environ)
        refined = measure("benchmarks.events:refine", environ)
    for what, found in (("inbox to bronze", landed), ("bronze to records and sales", refined)):
        yield times(
            f"{rows:,} events, {what}; floor: read and parse each body",
            found["seconds"],
            floor["seconds"],
            peak=found["peak"],
            floor_peak=floor["peak"],
        )


def fill(rows: int) -> dict[str, Any]:
    """Put invented events into the inbox, as the receiver does."""
    from crm_resources.ops import InboxEvent

    with opened() as (site, _, _):
        ops = site.ops_store()
        batch: list[InboxEvent] = []
        for number, (event, sale, step) in enumerate(_lives(rows)):
            at = _BEGAN + timedelta(seconds=number * 4 + step)
            body = json.dumps(_body(event, sale, at), ensure_ascii=False)
            batch.append(
                InboxEvent(
                    kind="hotmart",
                    event_key=f"e{number}",
                    event=event,
                    version="2.0.0",
                    content_type="application/json",
                    body=body,
                    event_at=at,
                    received_at=at,
                )
            )
            if len(batch) == _BATCH or number == rows - 1:
                ops.receive(batch)
                batch = []
    return {}


def read() -> dict[str, Any]:
    """The floor: every body read from the inbox and parsed."""
    with opened() as (site, _, _):
        ops, now = site.ops_store(), site.settings.now()
        waiting = sum(ops.event_counts().values())
        started = clock()
        bodies = [json.loads(event.body) for event in ops.due_events("hotmart", now, waiting)]
        took = clock() - started
        assert len(bodies) == waiting
    return {"seconds": took}


def land() -> dict[str, Any]:
    """The events job; without credentials nothing is asked of the API."""
    return _job("events", ["hotmart_events"])


def refine() -> dict[str, Any]:
    """Records and sales: what the events say, merged into one state of each sale."""
    return _job("refine", ["records", "customer_xref", "sales", "carts"])


def _job(name: str, steps: list[str]) -> dict[str, Any]:
    from benchmarks.by_hand import run_by_hand

    with opened() as (site, definitions, _):
        job = definitions.resolve_job_def(name)
        day = site.today().isoformat()
        return {"seconds": run_by_hand(site, job, [day], only=steps)}


def _lives(rows: int) -> Iterator[tuple[str, int, int]]:
    """Event, number of the sale and place in its life, until there are so many."""
    made, sale = 0, 0
    while made < rows:
        for step, event in enumerate(LIVES[sale % len(LIVES)][: rows - made]):
            yield event, sale, step
            made += 1
        sale += 1


def _body(event: str, sale: int, at: datetime) -> dict[str, Any]:
    """An event in the vendor's shape (hotmart.md 6.4, 6.5)."""
    instant = int(at.timestamp() * 1000)
    product = {"id": 5_000_000 + sale % 20, "name": f"Curso {sale % 20}"}
    buyer = {
        "name": f"Pessoa {sale // 2} Invento",
        "email": f"p{sale // 2}@example.com",
        "checkout_phone": f"119{sale // 2 % 100_000_000:08d}",
    }
    data: dict[str, Any] = {"product": product, "buyer": buyer, "offer": {"code": "abc12345"}}
    if event != "PURCHASE_OUT_OF_SHOPPING_CART":
        price = {"value": 197.0, "currency_value": "BRL"}
        data |= {
            "commissions": [{"source": "PRODUCER", "value": 177.0, "currency_value": "BRL"}],
            "purchase": {
                "transaction": f"HP{sale:010d}",
                "order_date": instant,
                "approved_date": instant,
                "status": "APPROVED",
                "price": price,
                "full_price": price,
                "offer": {"code": "abc12345"},
                "payment": {"type": "PIX", "installments_number": 1},
            },
        }
    return {
        "id": f"e{sale}-{event}",
        "creation_date": instant,
        "event": event,
        "version": "2.0.0",
        "data": data,
    }
