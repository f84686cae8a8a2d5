"""Who was erased and is readmitted: known again from then on, and nothing of before comes back."""

import pytest
from erasure_samples import ANA, canaries, erased
from lake import site as site_at
from typer.testing import CliRunner
from world import SAMPLE

from crm_assets.gold.people import find_customers
from crm_assets.privacy import readmission
from crm_assets.privacy.eraser import PURPOSE
from crm_assets.privacy.readmission import ReadmissionError, find_buried, lifted, readmit
from crm_assets.privacy.scrub import marked
from crm_assets.privacy.tombstones import bury
from crm_assets.safekeeping.alone import safekeeping
from crm_resources.locks import Busy

WHY = {"actor": "dpo", "reason": "pedido 31"}
BIA = [("email", "bia@example.com"), ("phone", "5511961234501"), ("ucode", "u-bia"),
       ("shared", "5511961234501 bia lima"), ("sale", "hp7")]  # fmt: skip


@pytest.fixture
def place(tmp_path):
    made = site_at(home=tmp_path)
    for person in (BIA, [("email", "caio@example.com"), ("document", "52998224725")]):
        bury(made.settings, made.tenant, made.ops_store(), person)
    return made


def kinds(place):
    return sorted(place.ops_store().tombstones().values())


@pytest.mark.parametrize(
    "said",
    [
        {"email": " BIA@example.com"},
        {"phone": "(11) 6123-4501"},
        {"email": "bia@example.com", "phone": "+55 11 96123-4501"},
    ],
)
def test_one_identifier_finds_all_of_an_erasure_but_its_sales(place, said):
    found = readmit(place, said, **WHY)
    assert (len(found.tombstones), found.erasures) == (4, 1)
    assert kinds(place) == ["document", "email", "key", "sale"]


def test_it_is_noted_without_the_person_and_stays_in_the_log(place):
    readmit(place, {"document": "529.982.247-25"}, **WHY)
    (action,) = place.ops_store().actions().to_dicts()
    assert (action["kind"], action["actor"], action["reason"]) == (
        readmission.READMITTED, "dpo", "pedido 31",
    )  # fmt: skip
    assert action["customer_id"] is None
    assert not any(word in str(action) for word in ("caio", "52998224725", "529.982"))


@pytest.mark.parametrize(
    ("said", "reason", "refused"),
    [
        ({"email": "davi@example.com"}, "pedido", "Nenhum apagamento em vigor"),
        ({"email": "sem arroba"}, "pedido", "não é e-mail, telefone ou documento"),
        ({"email": "bia@example.com", "phone": "x"}, "pedido", "não é e-mail, telefone"),
        ({"email": "bia@example.com"}, "a bia@example.com pediu", "--reason cita"),
        ({"phone": "11961234501"}, "ligou do 11 96123-4501", "--reason cita"),
    ],
)
def test_who_is_not_found_or_is_cited_changes_nothing(place, said, reason, refused):
    before = place.ops_store().tombstones()
    with pytest.raises(ReadmissionError, match=refused) as error:
        readmit(place, said, actor="dpo", reason=reason)
    assert "bia" not in str(error.value)
    assert place.ops_store().tombstones() == before
    assert place.ops_store().actions().is_empty()


def test_nobody_is_readmitted_beside_an_erasure(place):
    with safekeeping(place, PURPOSE), pytest.raises(Busy):
        readmit(place, {"email": "bia@example.com"}, **WHY)
    assert len(kinds(place)) == 8


def test_cut_short_after_the_note_it_is_done_again(place, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(type(place.ops_store()), "lift_tombstones",
                      lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))  # fmt: skip
        with pytest.raises(KeyboardInterrupt):
            readmit(place, {"email": "bia@example.com"}, **WHY)
    assert find_buried(place, {"email": "bia@example.com"}).erasures == 1
    readmit(place, {"email": "bia@example.com"}, **WHY)
    assert kinds(place) == ["document", "email", "key", "sale"]
    assert len(place.ops_store().actions()) == 1


def test_who_is_erased_again_stays_so(place):
    readmit(place, {"email": "bia@example.com"}, **WHY)
    bury(place.settings, place.tenant, place.ops_store(), BIA)
    again = place.ops_store().tombstones_beside(list(place.ops_store().tombstones()))
    told = lifted(
        place.ops_store().actions(), place.settings.store_folder("default") / "ops.sqlite"
    )
    assert told.since == {}, "this very store knows of the readmission"
    assert not any(row in told for row in again)


@pytest.mark.slow
def test_the_command_lets_her_in_again_and_the_past_stays_without_her(finished, tmp_path):
    from crm_cli.app import app

    def call(*arguments, answer=None):
        environ = {**finished.environ, "CRM_TENANTS": str(SAMPLE / "tenants.toml")}
        command = ["customers", "readmit", *arguments]
        return CliRunner().invoke(app, command, env=environ, input=answer)

    erased(finished)
    before = finished.ops.tombstones()
    told = call("--email", ANA[0], "--reason", "pedido 31", "--dry-run")
    assert (told.exit_code, finished.ops.tombstones()) == (0, before)
    assert "Nada foi mudado; seria levantado: " in told.output
    assert "contra a volta, de 1 apagamento." in told.output
    assert call("--reason", "pedido 31").exit_code == 2
    told = call("--email", ANA[0], "--reason", "pedido 31", answer="n\n")
    assert (told.exit_code, finished.ops.tombstones()) == (1, before)
    assert "Será levantado: " in told.output
    assert "Nada foi mudado." in told.output
    told = call("--email", ANA[0], "--reason", "pedido 31", "--yes")
    assert (told.exit_code, "Deixar voltar?" in told.output) == (0, False)
    assert canaries(finished.home) == [], "nothing comes back by itself"
    with finished.warehouse.write("conferência") as tx:
        assert marked(tx) == finished.ops.last_tombstone_id()
    file = tmp_path / "novo.csv"
    file.write_text(f"id;nome;email;whatsapp\n9001;Ana B.;{ANA[0]};+55 11 96123-4501\n")
    later = finished.at("2026-03-16T09:00:00-03:00")
    done = later.green("hotmart", "manychat", "actions", "refine", files=[file])
    assert any("hotmart" in outcome.stage and outcome.slices for outcome in done.outcomes)
    (back,) = find_customers(later.settings, later.tenant, ANA[0])
    names = later.rows("SELECT name FROM silver.customers WHERE customer_id = ?", [back])
    assert names == [{"name": "Ana B."}]
    (sold,) = later.rows("SELECT customer_id FROM silver.sales WHERE is_erased")
    assert sold["customer_id"] != back
    assert canaries(later.home, (ANA[2],)) == [], "the months that were read again do not name her"
