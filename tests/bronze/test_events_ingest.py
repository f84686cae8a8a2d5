"""From the inbox to bronze: each event once, whatever fails, dies, is erased or was lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from event_samples import body, form, posted, with_value
from lake import site as site_of

from crm_assets.bronze import hotmart_events
from crm_assets.bronze.event_bodies import AHEAD_OF_TIME, NOVELTY, WITHOUT_SALE
from crm_assets.bronze.hotmart_event_rows import KINDS, OF_SALES
from crm_assets.bronze.hotmart_events import SOURCE, _Ingest
from crm_assets.plan import Landed, plan_events
from crm_assets.privacy.tombstones import bury
from crm_assets.resources import hotmart_resource, warehouse_of
from crm_resources.ops import InboxEvent, OpsStore
from crm_resources.warehouse import BadValueError

pytestmark = pytest.mark.slow

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CONTACT = {
    "id": "881234567",
    "name": "Mari Invento",
    "whatsapp_phone": "+5531961234509",
    "email": "mari.invento@example.com",
    "subscribed": "2026-03-01T12:00:00+00:00",
    "gender": "female",
    "custom_fields": {"data_remarketing": "2026-05-02", "turma": "7"},
    "tags": [{"id": 1, "name": "quente"}],
}


class Place:
    """One installation without Dagster: its inbox, its warehouse, and runs of the ingest."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runs = 0
        self.go_to(NOW)

    def go_to(self, now: datetime) -> None:
        self.site = site_of(now, self.home, hotmart={"start_date": "2026-01-01"})
        self.ops: OpsStore = self.site.ops_store()
        self.warehouse = warehouse_of(self.site.settings, self.site.tenant)

    def receive(self, *events: InboxEvent) -> None:
        self.ops.receive(events)

    def run(self) -> dict[str, Any]:
        """One run; what it would show in Dagster."""
        self.runs += 1
        context = SimpleNamespace(
            run=SimpleNamespace(run_id=f"run{self.runs}"),
            instance=SimpleNamespace(
                get_run_record_by_id=lambda _: SimpleNamespace(create_timestamp=None)
            ),
            resources=SimpleNamespace(
                warehouse=self.warehouse,
                ops=SimpleNamespace(store=lambda: self.ops),
                hotmart=hotmart_resource(self.site.tenant),
            ),
        )
        ingest = _Ingest(self.site, context)
        ingest.run()
        return ingest.metadata()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return self.warehouse.read(sql).to_dicts()

    def ids(self) -> list[str]:
        """Ids of the events in bronze, as often as they stand there."""
        found = self.rows("SELECT event_id FROM bronze.hotmart_events ORDER BY inbox_id")
        return [row["event_id"] for row in found]

    def states(self) -> dict[str, tuple[str, int, str | None]]:
        return {e.event_key: (e.state, e.attempts, e.error) for e in self.ops.events()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def keyed(value: object, key: str, **more: Any) -> InboxEvent:
    return posted(value, event_key=key, id=None, **more)


def test_all_kinds_land_and_their_inbox_rows_are_settled(place: Place):
    place.receive(*(posted(body(kind), id=None) for kind in KINDS), form())
    told = place.run()
    assert told["dagster/row_count"] == told["processados"] == 17
    assert {row["kind"] for row in place.rows("FROM bronze.hotmart_events")} == set(KINDS)
    assert {state for state, *_ in place.states().values()} == {"processed"}
    (load,) = place.ops.loads(SOURCE)
    assert (load.slice, load.rows, load.status) == ("hotmart:2026-06-01", 17, "landed")
    assert place.run()["dagster/row_count"] == 0


def test_what_says_nothing_is_ignored_kept_and_told(place: Place):
    test_body = body("PURCHASE_APPROVED")
    test_body["data"]["product"]["id"] = 0
    place.receive(
        keyed({**body("SWITCH_PLAN"), "event": "PURCHASE_TIPPED"}, "unknown"),
        keyed(test_body, "test"),
        keyed([1], "a list, of one"),
    )
    told = place.run()
    assert told["ignorados"] == 3
    assert told["nomes sem documentação (30 dias)"] == "evento PURCHASE_TIPPED"
    assert [row["kind"] for row in place.rows("FROM bronze.hotmart_events")] == [None] * 3
    assert {state for state, *_ in place.states().values()} == {"ignored"}
    (incident,) = place.ops.open_incidents()
    assert (incident.kind, incident.detail) == (NOVELTY, "evento PURCHASE_TIPPED.")


def test_what_is_not_read_of_an_event_is_told_once_and_one_of_the_future_is_set_aside(place: Place):
    sold = body("PURCHASE_APPROVED")
    priced = with_value(sold, ("data", "purchase", "price", "value"), "caro")
    ahead = int((NOW + timedelta(days=2)).timestamp() * 1000)
    place.receive(keyed(priced, "a"), keyed({**sold, "creation_date": ahead}, "z"))
    told = place.run()
    assert (told["processados"], told["ignorados"], told["rejeitados"]) == (1, 1, 2)
    assert place.states()["a"] == ("processed", 1, None)
    assert place.states()["z"] == ("ignored", 1, AHEAD_OF_TIME)
    place.receive(keyed(priced, "b"))
    place.run()
    assert place.ops.loads(SOURCE)[0].rejected == 3
    place.ops.replay("hotmart", NOW - timedelta(days=1), NOW + timedelta(days=1))
    place.run()
    a, z, b = place.rows("FROM bronze.hotmart_events ORDER BY inbox_id")
    assert [row["kind"] for row in (a, z, b)] == ["PURCHASE_APPROVED", None, "PURCHASE_APPROVED"]
    assert [row["price_value"] for row in (a, b)] == [None, None]
    assert json.loads(z["raw"])["creation_date"] == ahead
    rejects = place.rows("FROM bronze.rejects ORDER BY place")
    assert [
        tuple(row[name] for name in ("place", "field", "reason", "raw")) for row in rejects
    ] == [
        ("a", "price_value", "valor_ilegivel", "caro"),
        ("b", "price_value", "valor_ilegivel", "caro"),
        ("z", "creation_date", "data_no_futuro", str(ahead)),
    ]
    (load,) = place.ops.loads(SOURCE)
    assert (load.rows, load.rejected) == (3, 3)


@pytest.mark.slow
def test_a_new_name_is_news_once_and_closes_after_a_month(place: Place):
    def told(key: str, **more: Any) -> list[tuple[str, int]]:
        place.receive(keyed({**body("SWITCH_PLAN"), **more}, key, received_at=NOW))
        place.run()
        return [(i.detail, i.revision) for i in place.ops.open_incidents()]

    first = told("1", version="3.0.0")
    assert first == [("versão 3.0.0.", 1)]
    assert told("2", version="3.0.0") == first
    assert told("3", trace=1) == [("campo trace, versão 3.0.0.", 2)]
    (seen,) = place.rows("FROM bronze.event_novelties WHERE what = 'versão'")
    assert (seen["name"], seen["events"]) == ("3.0.0", 2)
    place.go_to(NOW + timedelta(days=31))
    assert told("4") == []


@pytest.mark.slow
def test_what_cannot_be_read_is_tried_three_times_and_then_stands_in_the_rejects(place: Place):
    place.receive(keyed("{nada", "bad"), keyed(body("SWITCH_PLAN"), "good"))
    for attempt, minutes in enumerate((0, 2, 15), start=1):
        place.go_to(NOW + timedelta(minutes=minutes))
        place.run()
        state, attempts, error = place.states()["bad"]
        assert (state, attempts) == ("dead" if attempt == 3 else "failed", attempt)
        assert error is not None
        assert "nada" not in error
        assert len(place.rows("FROM bronze.rejects")) == (attempt == 3)
    (reject,) = place.rows("FROM bronze.rejects")
    assert (reject["source"], reject["slice"]) == (SOURCE, "hotmart:2026-06-01")
    assert (reject["place"], reject["raw"]) == ("bad", "{nada")
    assert place.ids() == ["good"]
    assert place.ops.retry_events() == 1
    place.run()
    assert place.states()["bad"][:2] == ("failed", 1)


def test_an_event_of_a_sale_that_names_none_is_set_aside_and_can_be_retried(place: Place):
    named = ("data", "purchase", "transaction")
    place.receive(
        *(keyed(with_value(body(kind), named, None), kind) for kind in sorted(OF_SALES)),
        keyed(with_value(body("PURCHASE_APPROVED"), named, "HP 1"), "blank inside"),
        keyed(body("PURCHASE_OUT_OF_SHOPPING_CART"), "cart"),
        keyed(with_value(body("ORDER_FULFILLMENT"), named, None), "goods"),
    )
    told = place.run()
    assert (told["processados"], told["com falha"], told["rejeitados"]) == (2, len(OF_SALES) + 1, 0)
    assert place.ids() == ["cart", "goods"]
    assert place.states()["PURCHASE_APPROVED"] == ("failed", 1, WITHOUT_SALE)
    for minutes in (2, 15):
        place.go_to(NOW + timedelta(minutes=minutes))
        place.run()
    assert place.states()["blank inside"] == ("dead", 3, WITHOUT_SALE)
    rejects = place.rows("SELECT place, field FROM bronze.rejects")
    assert {row["place"] for row in rejects} == {*OF_SALES, "blank inside"}
    assert {row["field"] for row in rejects} == {"body"}, "the whole of it, once"
    assert len(rejects) == len(OF_SALES) + 1
    assert place.ops.retry_events() == len(OF_SALES) + 1


@pytest.mark.slow
def test_one_event_that_spoils_a_batch_fails_alone(place: Place, monkeypatch):
    place.receive(*(keyed(body("SWITCH_PLAN"), f"e{i}") for i in range(9)))
    write = _Ingest._write

    def spoilt(self, tx, kind, events, batch, tombstones):
        if not batch.rows.is_empty() and "e4" in batch.rows["event_id"]:
            raise BadValueError("um valor")
        write(self, tx, kind, events, batch, tombstones)

    monkeypatch.setattr(_Ingest, "_write", spoilt)
    told = place.run()
    assert (told["processados"], told["com falha"]) == (8, 1)
    assert place.states()["e4"] == ("failed", 1, hotmart_events._UNTYPED)
    assert place.ids() == [f"e{i}" for i in range(9) if i != 4]


def test_dying_between_the_write_and_the_inbox_changes_nothing(place: Place, monkeypatch):
    place.receive(*(keyed(body(kind), kind) for kind in KINDS))
    monkeypatch.setattr(OpsStore, "settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        place.run()
    monkeypatch.undo()
    assert sorted(place.ids()) == sorted(KINDS)
    assert {state for state, *_ in place.states().values()} == {"pending"}
    place.run()
    assert sorted(place.ids()) == sorted(KINDS)
    assert {state for state, *_ in place.states().values()} == {"processed"}


DIES = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from crm_resources.ops import OpsStore
from test_events_ingest import Place
OpsStore.settle = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Place(Path(sys.argv[1])).run()
"""


@pytest.mark.slow
def test_a_killed_process_leaves_every_event_once(place: Place):
    place.receive(*(keyed(body(kind), kind) for kind in KINDS))
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), str(here.parent.parent)])
    killed = subprocess.run(
        [sys.executable, "-c", DIES, str(place.home)],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert {state for state, *_ in place.states().values()} == {"pending"}
    place.run()
    assert sorted(place.ids()) == sorted(KINDS)


def test_a_replay_reads_again_and_doubles_nothing(place: Place):
    place.receive(keyed(body("SWITCH_PLAN"), "a"), keyed("[]", "b"), keyed("{", "c"))
    place.run()
    before = place.rows("SELECT * EXCLUDE (extracted_at, run_id) FROM bronze.hotmart_events")
    start = NOW - timedelta(days=1)
    assert place.ops.replay("hotmart", start, NOW + timedelta(days=1)) == 3
    told = place.run()
    assert told["dagster/row_count"] == 2
    again = place.rows("SELECT * EXCLUDE (extracted_at, run_id) FROM bronze.hotmart_events")
    assert sorted(again, key=str) == sorted(before, key=str)


def test_a_day_that_the_warehouse_lost_is_read_again(place: Place):
    from crm_assets.bronze.ledger import recover

    place.receive(keyed(body("SWITCH_PLAN"), "a"), keyed(CONTACT, "b", kind="manychat"))
    place.run()
    place.warehouse.path.unlink()
    assert recover(place.site, place.ops) == 2
    assert plan_events(Landed(loads=place.ops.loads()))
    told = place.run()
    assert (told["dagster/row_count"], told["contatos do ManyChat"]) == (1, 1)
    assert place.ids() == ["a"]
    assert not plan_events(Landed(loads=place.ops.loads()))


@pytest.mark.slow
def test_a_lost_day_whose_events_are_gone_is_told_and_not_waited_for(place: Place):
    from crm_assets.bronze.ledger import recover

    place.receive(keyed(body("SWITCH_PLAN"), "a"))
    place.run()
    place.ops.remove([e.id for e in place.ops.events()])
    place.warehouse.path.unlink()
    recover(place.site, place.ops)
    place.run()
    (load,) = place.ops.loads(SOURCE)
    assert (load.status, load.reason) == ("undone", hotmart_events._GONE)
    assert not plan_events(Landed(loads=place.ops.loads()))


def test_a_posted_contact_becomes_a_row_like_a_files(place: Place):
    place.receive(
        keyed(CONTACT, "a", kind="manychat", received_at=NOW - timedelta(days=1)),
        keyed({"id": "1"}, "b", kind="manychat"),
        keyed("[", "c", kind="manychat"),
        keyed({**CONTACT, "subscribed": "um dia"}, "d", kind="manychat"),
    )
    told = place.run()
    assert [told[state] for state in ("processados", "ignorados", "com falha")] == [2, 1, 1]
    row, other = place.rows("FROM bronze.manychat_contacts ORDER BY line")
    expected = {
        "line": 1,
        "manychat_id": "881234567",
        "full_name": "Mari Invento",
        "whatsapp_phone": "+5531961234509",
        "tags": ["quente"],
        "slice": "manychat:2026-05-31",
        "extracted_at": NOW - timedelta(days=1),
        "subscribed_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "custom_fields": '{"turma":"7"}',
    }
    assert {name: row[name] for name in expected} == expected
    assert "female" not in row["raw"]
    assert other["subscribed_at"] is None
    (reject,) = place.rows("FROM bronze.rejects")
    assert (reject["place"], reject["field"], reject["raw"]) == ("4", "subscribed", "um dia")
    place.ops.replay("manychat", NOW - timedelta(days=9), NOW + timedelta(days=1))
    place.run()
    assert len(place.rows("FROM bronze.manychat_contacts")) == 2


def test_whoever_was_erased_comes_in_without_a_trace(place: Place):
    settings, tenant = place.site.settings, place.site.tenant
    values = [("email", "lia.invento@example.com"), ("email", "mari.invento@example.com")]
    bury(settings, tenant, place.ops, values)
    place.receive(
        keyed(body("PURCHASE_APPROVED"), "a"),
        keyed(body("CLUB_FIRST_ACCESS"), "b"),
        keyed(body("PURCHASE_OUT_OF_SHOPPING_CART"), "c"),
        keyed(CONTACT, "d", kind="manychat"),
    )
    told = place.run()
    assert told["apagados"] == 3
    lia, club, caio = place.rows("FROM bronze.hotmart_events ORDER BY inbox_id")
    for row in (lia, club):
        assert row["email"] is row["name"] is row["phone"] is row["subscriber_code"] is None
        assert "invento" not in row["raw"].lower()
        assert "lia" not in row["raw"].lower()
    assert (lia["transaction"], str(lia["full_price_value"])) == ("HP2603120001", "104.76")
    assert json.loads(lia["raw"])["kind"] == "PURCHASE_APPROVED"
    assert caio["email"] == "caio.invento@example.com"
    assert place.rows("FROM bronze.manychat_contacts") == []
    assert {state for state, *_ in place.states().values()} == {"processed"}
    posted = {event.event_key: event.body.lower() for event in place.ops.events()}
    assert not any(word in posted[key] for key in "abd" for word in ("lia.invento", "mari.inv"))
    assert "hp2603120001" in posted["a"]
    assert "caio.invento@example.com" in posted["c"]


def test_without_credentials_nobody_is_asked(place: Place):
    place.receive(keyed(body("PURCHASE_APPROVED"), "a"))
    assert place.run()["sem credenciais para completar"] == 1
