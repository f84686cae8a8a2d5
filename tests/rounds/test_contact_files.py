"""Contact files that are wrong, late, or there twice."""

import re

import dagster as dg
import pytest

from crm_assets import rounds

pytestmark = pytest.mark.slow

CONTACTS = "SELECT count(*) FROM bronze.manychat_contacts"
GOOD = "nome;email\nAna Invento;ana@example.com\n"


@pytest.fixture
def take(world, monkeypatch):
    """Run the stage that reads files, without the wait for a second look."""
    monkeypatch.setattr(rounds, "STANDSTILL_SECONDS", 0)

    def run(*stages, **more):
        return world.round("manychat", *stages, **more)

    return run


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("", "está vazio"),
        ("nome^email\nAna^ana@example.com\n", "não é um cabeçalho|só coluna"),
        ("pedido;valor\n1;2\n", "não tem coluna de contato .*colunas encontradas: pedido, valor"),
        ("Ana Invento;ana@example.com\n", "não é um cabeçalho"),
    ],
    ids=["no bytes", "wrong separator", "no contact column", "no header"],
)
def test_a_file_that_is_none_is_refused_with_the_reason_and_remembered(world, take, content, cause):
    (world.inbox / "bom.csv").write_text(GOOD)
    take()
    path = world.inbox / "ruim.csv"
    path.write_text(content)
    (outcome,) = take().outcomes
    assert not outcome.ok
    assert re.search(cause, outcome.errors[0])
    assert path.exists()
    assert world.value(CONTACTS) == 1

    again = take()
    assert again.ok
    (receipt,) = again.receipts
    assert receipt.refused
    assert receipt.note.startswith("recusado antes: ")
    (incident,) = world.ops.open_incidents()
    assert incident.subject == "manychat"

    path.write_text("email\nbia@example.com\n")
    assert take().ok
    assert world.value(CONTACTS) == 2
    assert world.ops.open_incidents() == []
    assert list(world.inbox.iterdir()) == []


def test_a_file_asked_for_by_name_fails_again_when_it_was_refused_before(world, take, tmp_path):
    path = tmp_path / "ruim.csv"
    path.write_text("")
    assert not take(files=[path]).ok
    done = take(files=[path])
    assert not done.ok
    assert "ruim.csv: recusado antes" in done.outcomes[0].errors[0]


def test_a_growing_file_waits_for_the_next_round(world, take, monkeypatch):
    path = world.inbox / "crescendo.csv"
    path.write_text(GOOD)

    def grow(_):
        with path.open("a") as file:
            file.write("Bia Invento;bia@example.com\n")

    monkeypatch.setattr(rounds, "sleep", grow)
    done = take()
    assert done.ok
    assert [receipt.note for receipt in done.receipts] == [
        "ainda está sendo gravado; fica para a próxima"
    ]
    assert path.exists()
    monkeypatch.setattr(rounds, "sleep", lambda _: None)
    assert take().ok
    assert world.value(CONTACTS) == 2
    assert not path.exists()


def test_the_same_content_under_two_names_is_imported_once(world, take):
    (world.inbox / "a.csv").write_text(GOOD)
    (world.inbox / "b.csv").write_text(GOOD)
    done = take()
    assert done.ok
    assert len({receipt.slice for receipt in done.receipts}) == 1
    assert world.value(CONTACTS) == 1
    (world.inbox / "c.csv").write_text(GOOD)
    again = take()
    assert {receipt.note for receipt in again.receipts} == {"conteúdo já importado"}
    assert world.value(CONTACTS) == 1
    assert list(world.inbox.iterdir()) == []


def test_several_files_are_one_run(world, take):
    for name in "abc":
        (world.inbox / f"{name}.csv").write_text(f"email\n{name}@example.com\n")
    done = take()
    (outcome,) = done.outcomes
    assert len(outcome.slices) == 3
    assert outcome.rows == {"bronze.manychat_contacts": 3}


def test_a_bad_file_does_not_keep_the_good_ones_out(world, take):
    (world.inbox / "a.csv").write_text("email\na@example.com\n")
    (world.inbox / "b.csv").write_text("nada\n1\n")
    (world.inbox / "c.csv").write_text("email\nc@example.com\n")
    done = take()
    assert not done.ok
    assert "1 de 3 partições" in done.outcomes[0].errors[0]
    assert world.value(CONTACTS) == 2
    assert [path.name for path in world.inbox.iterdir()] == ["b.csv"]


def test_an_empty_folder_is_reported_and_no_error(take):
    done = take()
    assert done.ok
    assert [(outcome.stage, outcome.note) for outcome in done.outcomes] == [
        ("manychat", "nada novo")
    ]


def test_a_file_received_before_a_new_instance_is_imported_after_it(world, take):
    (world.inbox / "a.csv").write_text(GOOD)
    with dg.DagsterInstance.ephemeral() as lost:
        rounds.take_files(world.site, world.ops, lost)
    (world.inbox / "a.csv").unlink()
    assert take().ok
    assert world.value(CONTACTS) == 1


def test_no_file_name_and_no_cell_reaches_the_event_log(world, take):
    (world.inbox / "Maria da Silva.csv").write_text(
        "nome;email;data_remarketing\nMaria Secreta;maria.secreta@example.com;ontem\n"
    )
    (world.inbox / "ruim Maria.csv").write_text("nome;Maria\nMaria Secreta;1\n")
    take("refine")
    log = " ".join(
        str(entry)
        for run in world.instance.get_runs()
        for entry in [run.tags, run.run_config, *world.instance.all_logs(run.run_id)]
    )
    assert "manychat_contacts" in log
    for secret in ("da Silva", "Secreta", "secreta", "ontem"):
        assert secret not in log
