"""Erasures beside what is kept: several people at once, open requests, backups that come back."""

import json

import pytest
from erasure_samples import ANA, canaries, erased, whole

from crm_assets.gold.people import find_customers
from crm_assets.privacy import eraser
from crm_assets.privacy.erasure import pending
from crm_assets.privacy.rights import check_request, open_request, register
from crm_assets.safekeeping.backup import back_up
from crm_assets.safekeeping.restore import restore

pytestmark = pytest.mark.slow

DIEGO = ("diego.fernandes@example.com",)


def test_a_backup_of_before_an_erasure_keeps_the_person_erased(finished):
    made = back_up(finished.site, {}).path
    sold = finished.value("SELECT count(*) FROM silver.sales")
    done = erased(finished)
    assert done.left == {}
    told = done.certificate.read_text()
    assert f"{made.name}: 19/04/2026" in told
    restored = restore(finished.site, made, finished.instance)
    assert restored.tombstones > 0
    assert canaries(finished.home) == []
    finished.green()
    assert canaries(finished.home) == []
    assert find_customers(finished.settings, finished.tenant, ANA[0]) == []
    assert finished.value("SELECT count(*) FROM silver.sales") == sold
    assert finished.value("SELECT count(*) FROM silver.sales WHERE is_erased") == 1


def test_a_backup_elsewhere_is_in_the_certificate_too(finished, tmp_path):
    made = back_up(finished.site, {}, target=tmp_path / "disco").path
    done = erased(finished)
    copies = json.loads(done.certificate.with_suffix(".json").read_text())["copias_de_seguranca"]
    assert copies == [{"arquivo": str(made), "ate": "19/04/2026"}]


def test_several_people_go_in_one_pass(finished, monkeypatch):
    rewritten = []
    rewrite = eraser.rewrite
    monkeypatch.setattr(eraser, "rewrite", lambda *a, **k: rewritten.append(1) or rewrite(*a, **k))
    wanted = dict(whole(finished, who) for who in (ANA[0], DIEGO[0]))
    records = sum(map(len, wanted.values()))
    done = eraser.erase_many(finished.site, wanted, actor="dpo", reason="prazo")
    assert done.left == {}
    assert len(rewritten) == 2, "the warehouse and the snapshot"
    assert canaries(finished.home, (*ANA, *DIEGO, *wanted)) == []
    told = json.loads(done.certificate.with_suffix(".json").read_text())
    assert (told["pessoas"], told["registros"]) == (2, records)
    log = finished.ops.actions().filter(kind="customer_erased")
    assert len(log) == log["customer_id"].n_unique() == 2
    finished.green("actions", "refine")
    assert canaries(finished.home, (*ANA, *DIEGO, *wanted)) == []
    buyers = finished.value("SELECT count(DISTINCT customer_id) FROM silver.sales WHERE is_erased")
    assert buyers == len({"ana", "diego"}), "their sales go on apart"


def asked(world, *, checked, **who):
    at = world.settings.now()
    request = open_request(
        world.ops, world.tenant, type="eliminacao", channel="e-mail",
        received_on=world.site.today(), actor="dpo", at=at, **who,
    )  # fmt: skip
    if checked:
        check_request(world.ops, world.tenant, request.number, how="e-mail", actor="dpo", at=at)
    return request.number


@pytest.mark.parametrize("by", ["customer_id", "email_key", "phone_key"])
def test_the_request_that_it_answers_is_closed_with_it(finished, by):
    customer_id, _ = whole(finished, ANA[0])
    who = {"customer_id": customer_id, "email_key": ANA[0], "phone_key": "+5511961234501"}
    number = asked(finished, checked=True, **{by: who[by]})
    other = asked(finished, checked=True, email_key=DIEGO[0])
    done = erased(finished)
    assert done.requests == (number,)
    known = {
        request.number: request for request in register(finished.ops.actions(), finished.tenant)
    }
    assert (known[number].outcome, known[other].outcome) == ("atendido", None)
    assert known[number].note.startswith("apagamento ")
    assert f"Responde ao pedido {number} do registro" in done.certificate.read_text()
    assert canaries(finished.home) == []


def test_a_request_without_identity_check_stays_open(finished):
    number = asked(finished, checked=False, email_key=ANA[0])
    customer_id, refs = whole(finished, ANA[0])
    rehearsed = eraser.rehearse(finished.site, {customer_id: refs})
    found = eraser.asked_by(finished.site, finished.ops, rehearsed.people)
    assert [request.number for request in found] == [number]
    assert erased(finished).requests == ()
    assert register(finished.ops.actions(), finished.tenant)[0].is_open


def test_an_erasure_cut_short_closes_its_request_when_it_ends(finished, monkeypatch):
    number = asked(finished, checked=True, email_key=ANA[0])
    with monkeypatch.context() as patch:
        patch.setattr(eraser, "write_certificate", _killed)
        with pytest.raises(KeyboardInterrupt):
            erased(finished)
    assert pending(finished.site).requests == [number]
    assert eraser.resume(finished.site).requests == (number,)
    assert not register(finished.ops.actions(), finished.tenant)[0].is_open
    assert canaries(finished.home) == []


def test_half_made_copies_of_a_killed_backup_go_with_the_person(finished):
    left = finished.folder / ".backup" / "copied" / "raw"
    left.mkdir(parents=True)
    (left / "a.csv").write_text(ANA[0])
    assert erased(finished).left == {}
    assert canaries(finished.home) == []


def _killed(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("checked", [True, False])
def test_the_command_says_which_request_waits(finished, checked):
    from typer.testing import CliRunner
    from world import SAMPLE

    from crm_cli.app import app

    number = asked(finished, checked=checked, email_key=ANA[0])
    environ = {**finished.environ, "CRM_TENANTS": str(SAMPLE / "tenants.toml")}
    told = CliRunner().invoke(app, ["customers", "erase", ANA[0], "--dry-run"], env=environ).output
    said = f"Responde ao pedido {number}" if checked else f"crm customers request check {number}"
    assert said in " ".join(told.split())
