"""The sheet in a round and on its schedule: received like a file, whatever becomes of it."""

from __future__ import annotations

import pytest
from sheet_server import ANA, BIA, CANARY, LOGIN, QUICK
from ticks import repository, run, tick

from crm_assets import rounds
from crm_assets.bronze import manychat_sheet, undo
from crm_assets.bronze.manychat_sheet import SHEET_NAME

CONTACTS = "SELECT email, slice FROM bronze.manychat_contacts ORDER BY extracted_at, line"


@pytest.fixture
def take(world, monkeypatch):
    """Run the stage that reads the sheet and the folder, at an instant of its own each time."""
    monkeypatch.setattr(rounds, "STANDSTILL_SECONDS", 0)
    monkeypatch.setattr(manychat_sheet.receive_sheet, "__defaults__", (QUICK,))
    minutes = iter(range(60))

    def run(**more):
        return world.at(f"2026-03-15T09:{next(minutes):02}:00-03:00").round("manychat", **more)

    return run


def emails(world):
    return [row["email"] for row in world.rows(CONTACTS)]


@pytest.mark.slow
def test_a_sheet_is_imported_once_and_its_changes_as_they_come(world, take, sheet):
    first = take()
    assert [(receipt.name, receipt.note) for receipt in first.receipts] == [
        (SHEET_NAME, "importado: 1 linha, 0 células não lidas")
    ]
    assert first.outcomes[0].rows == {"bronze.manychat_contacts": 1}
    before = world.rows("FROM bronze.manychat_contacts")

    again = take()
    assert again.ok
    assert [receipt.note for receipt in again.receipts] == ["conteúdo já importado"]
    assert [outcome.note for outcome in again.outcomes] == ["nada novo"]
    assert world.rows("FROM bronze.manychat_contacts") == before

    sheet.holds(BIA)
    assert take().ok
    assert emails(world) == ["ana@example.com", "ana@example.com", "bia@example.com"]
    assert len({row["slice"] for row in world.rows(CONTACTS)}) == 2


@pytest.mark.slow
def test_a_content_that_comes_back_is_the_newest_again(world, take, sheet):
    take()
    sheet.holds(BIA)
    take()
    sheet.holds(ANA)
    assert take().ok
    assert emails(world) == ["ana@example.com", "bia@example.com", "ana@example.com"]
    assert [r.note for r in take().receipts] == ["conteúdo já importado"]


@pytest.mark.slow
def test_a_sheet_that_fails_keeps_no_file_out(world, take, sheet):
    (world.inbox / "a.csv").write_text("email\ncaio@example.com\n")
    sheet.holds(LOGIN, content_type="text/html")
    done = take()
    assert not done.ok
    assert done.failed_sources == ["manychat"]
    assert emails(world) == ["caio@example.com"]
    (incident,) = world.ops.open_incidents()
    assert (incident.kind, incident.subject) == ("run_failed", "manychat")
    assert "não está compartilhada" in incident.detail
    sheet.holds(ANA)
    assert take().ok
    assert world.ops.open_incidents() == []


@pytest.mark.slow
def test_a_sheet_that_holds_no_contacts_is_refused_like_a_file(world, take, sheet):
    sheet.holds(b"pedido;valor\n1;2\n")
    assert not take().ok
    again = take()
    assert again.ok
    assert [receipt.refused for receipt in again.receipts] == [True]
    assert len(world.ops.open_incidents()) == 1


@pytest.mark.slow
def test_files_asked_for_by_name_leave_the_sheet_alone(take, sheet, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(BIA)
    assert take(files=[path]).ok
    assert sheet.asked == []


@pytest.mark.slow
def test_an_undone_sheet_stays_out_until_it_changes(world, take, sheet):
    take()
    (load,) = world.ops.loads("manychat")
    world.green("actions", undo=load)
    assert emails(world) == []
    for ledger in ("loads", "rejects"):
        assert world.rows(f"FROM bronze.{ledger} WHERE source = 'manychat'") == []
    assert world.instance.get_dynamic_partitions("default/manychat_files") == []
    assert not list((world.folder / "raw").rglob("*.csv"))
    again = take()
    assert again.ok
    assert [r.note for r in again.receipts] == [
        "desfeito antes; só volta quando importado por nome"
    ]
    assert emails(world) == []
    sheet.holds(BIA)
    assert take().ok
    assert emails(world) == ["ana@example.com", "bia@example.com"]


@pytest.mark.slow
def test_an_undo_that_was_cut_short_is_finished_by_the_next(world, take, sheet, monkeypatch):
    take()
    (load,) = world.ops.loads("manychat")
    with monkeypatch.context() as patch:
        patch.setattr(undo, "forget_raw", lambda *_: pytest.fail("cut short"))
        with pytest.raises(pytest.fail.Exception):
            world.round("actions", undo=load)
    assert emails(world) == []
    (load,) = world.ops.loads("manychat")
    assert load.status == "landed"
    for _ in range(2):
        world.green("actions", undo=load)
        (load,) = world.ops.loads("manychat")
        assert load.status == "undone"


def sheet_tick(world) -> str:
    return tick(world, "manychat_sheet").skip_message


@pytest.mark.slow
def test_the_schedule_receives_what_the_files_sensor_then_requests(world, take, sheet):
    assert sheet_tick(world) == "planilha: recebido"
    assert sheet_tick(world) == "planilha: recebido"
    (request,) = tick(world, "manychat_files").run_requests
    assert run(world, "manychat", **request.tags).is_success
    assert emails(world) == ["ana@example.com"]
    assert sheet_tick(world) == "planilha: conteúdo já importado"
    assert tick(world, "manychat_files").run_requests == []

    later = world.at("2026-03-15T10:00:00-03:00")
    sheet.holds(BIA)
    assert sheet_tick(later) == "planilha: recebido"
    (second,) = tick(later, "manychat_files").run_requests
    run(later, "manychat", **second.tags)
    sheet.holds(ANA)
    back = world.at("2026-03-15T11:00:00-03:00")
    assert sheet_tick(back) == "planilha: recebido"
    (third,) = tick(back, "manychat_files").run_requests
    assert third.tags == request.tags
    assert third.run_key != request.run_key


def test_a_failure_of_the_schedule_stays_open_until_the_sheet_is_read(world, sheet, monkeypatch):
    monkeypatch.setattr(manychat_sheet.receive_sheet, "__defaults__", (QUICK,))
    sheet.holds(b"", status=403)
    for _ in range(2):
        assert "não está compartilhada" in sheet_tick(world)
    (incident,) = world.ops.open_incidents()
    assert (incident.kind, incident.subject) == ("sheet_failed", "manychat")
    assert CANARY not in incident.detail
    sheet.holds(ANA)
    assert sheet_tick(world) == "planilha: recebido"
    assert world.ops.open_incidents() == []


def test_without_a_sheet_the_schedule_does_nothing(world, monkeypatch):
    monkeypatch.delenv("MANYCHAT_SHEET_URL", raising=False)
    assert sheet_tick(world) == "nenhuma planilha (MANYCHAT_SHEET_URL não definida)"
    world.table = {**world.table, "manychat": {"enabled": False}}
    monkeypatch.setenv("MANYCHAT_SHEET_URL", "http://127.0.0.1:1/")
    assert sheet_tick(world).startswith("nenhuma planilha")


def test_the_schedule_looks_as_often_as_the_tenant_says(world):
    sensor = repository(world).get_sensor_def("manychat_sheet")
    assert sensor.minimum_interval_seconds == 3600
    world.table = {**world.table, "manychat": {"sheet_every_minutes": 15}}
    assert repository(world).get_sensor_def("manychat_sheet").minimum_interval_seconds == 900


@pytest.mark.slow
def test_no_address_reaches_the_instance_or_the_store(world, take, sheet):
    take()
    sheet.holds(b"", status=404)
    take()
    log = " ".join(
        str(entry)
        for run in world.instance.get_runs()
        for entry in [run.tags, run.run_config, *world.instance.all_logs(run.run_id)]
    )
    kept = [path for path in world.home.rglob("*") if path.is_file()]
    assert CANARY not in log
    assert all(CANARY.encode() not in path.read_bytes() for path in kept)
