"""Old events leave the inbox for files that were read back, and nothing else leaves it."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from lake import site as site_at

from crm_assets.privacy.erased_files import kind_of
from crm_assets.safekeeping import cleanup
from crm_assets.safekeeping.cleanup import ArchiveError, clean_up, cutoff, would_clean_up
from crm_resources.ops import InboxEvent, Outcome

NOW = datetime(2026, 3, 1, 7, tzinfo=UTC)
OLD = datetime(2025, 2, 28, 12, tzinfo=UTC)


@pytest.fixture
def place(tmp_path):
    return site_at(now=NOW, home=tmp_path)


@pytest.fixture
def ops(place):
    return place.ops_store()


def post(ops, key, state="processed", at=OLD):
    ops.receive([InboxEvent(kind="hotmart", event_key=key, event="PURCHASE_APPROVED",
                            version="2.0.0", body='{"buyer": "ana@example.com"}', event_at=at,
                            received_at=at)])  # fmt: skip
    number = next(event.id for event in ops.events() if event.event_key == key)
    tries = {"processed": ["processed"], "ignored": ["ignored"], "failed": ["failed"],
             "dead": ["failed"] * 3, "pending": []}[state]  # fmt: skip
    for said in tries:
        ops.settle([Outcome(id=number, state=said, error=None)], at)


def files(place):
    return sorted(place.settings.store_folder("default").rglob("*.parquet"))


def archived(place):
    return pl.concat([pl.read_parquet(path) for path in files(place)])


def test_a_year_ends_at_midnight_of_the_company(place):
    assert cutoff(place) == datetime(2025, 3, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize("state", ["processed", "ignored", "failed", "dead", "pending"])
def test_only_what_ended_goes(place, ops, state):
    post(ops, "e", state)
    gone = state in {"processed", "ignored"}
    assert clean_up(place, ops) == int(gone)
    assert len(ops.events()) == int(not gone)
    assert len(files(place)) == int(gone)


def test_a_rehearsal_counts_and_changes_nothing(place, ops):
    for state in ("processed", "ignored", "dead"):
        post(ops, state, state)
    post(ops, "young", at=cutoff(place))
    before = ops.events()
    assert would_clean_up(place, ops) == {
        "eventos a arquivar (hotmart)": 2,
        "corpos a descartar": 2,
        "arquivos a escrever": 1,
        "eventos velhos que ficam (pendentes, com falha ou mortos)": 1,
    }
    assert (ops.events(), files(place)) == (before, [])
    assert clean_up(place, ops) == 2
    assert would_clean_up(place, ops)["corpos a descartar"] == 0


def test_what_is_younger_stays(place, ops):
    post(ops, "old", at=cutoff(place) - timedelta(microseconds=1))
    post(ops, "young", at=cutoff(place))
    assert clean_up(place, ops) == 1
    assert [event.event_key for event in ops.events()] == ["young"]


def test_the_file_says_everything_but_what_was_posted(place, ops):
    post(ops, "e")
    (event,) = ops.events()
    clean_up(place, ops)
    (path,) = files(place)
    (row,) = archived(place).to_dicts()
    assert row == {name: getattr(event, name) for name in row}
    assert "body" not in row
    assert row["event_key"] == "e"
    assert path.name == f"2025-02-28_eventos_{event.id}_{event.id}.parquet"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    home = place.settings.home
    assert kind_of(path.relative_to(home)).how.startswith("eventos antigos")
    sqlite = place.settings.store_folder("default") / "ops.sqlite"
    assert b"ana@example.com" not in sqlite.read_bytes(), "nor is it left in free blocks"


def test_many_go_in_several_files(place, ops, monkeypatch):
    monkeypatch.setattr(cleanup, "EVENTS_IN_A_FILE", 2)
    for number in range(5):
        post(ops, str(number))
    assert clean_up(place, ops) == 5
    assert archived(place)["event_key"].to_list() == [*"01234"]
    assert len(files(place)) == 3
    assert clean_up(place, ops) == 0


def test_a_file_that_cannot_be_read_back_keeps_its_events(place, ops, monkeypatch):
    post(ops, "e")
    with monkeypatch.context() as patch:
        patch.setattr(cleanup.pl, "read_parquet", lambda _: pl.DataFrame())
        with pytest.raises(ArchiveError, match="nada saiu da caixa"):
            clean_up(place, ops)
    assert len(ops.events()) == 1
    assert list(place.settings.store_folder("default").rglob("*parquet*")) == []


def test_cut_short_between_file_and_inbox_it_is_done_again_once(place, ops, monkeypatch):
    post(ops, "e")
    with monkeypatch.context() as patch:
        patch.setattr(type(ops), "remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            clean_up(place, ops)
    assert clean_up(place, ops) == 1
    assert archived(place)["event_key"].to_list() == ["e"]


def test_the_archive_of_events_is_kept(place, ops, tmp_path):
    import os

    import dagster as dg

    from crm_assets.privacy.retention import ARCHIVE, find_expired

    post(ops, "e")
    clean_up(place, ops)
    (path,) = files(place)
    os.utime(path, (0, 0))
    with dg.DagsterInstance.ephemeral() as instance:
        assert find_expired(place, ops, instance).counts()[ARCHIVE] == 0


def test_the_job_tells_how_many(place, ops):
    from crm_assets.resources import tenant_resources

    post(ops, "e")
    resources = {"ops": tenant_resources(place.settings, place.tenant)["ops"]}
    made = cleanup.cleanup_job(place).execute_in_process(resources=resources)
    assert made.success
    assert ops.events() == []
