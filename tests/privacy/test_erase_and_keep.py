"""Erasures beside what is kept: several people at once, open requests, backups that come back."""

import json

import pytest
from erasure_samples import ANA, asked, canaries, erased, whole

from crm_assets.gold.people import find_customers
from crm_assets.privacy import eraser
from crm_assets.privacy.rights import register
from crm_assets.safekeeping.backup import back_up
from crm_assets.safekeeping.restore import restore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DIEGO = ("diego.fernandes@example.com",)


def test_a_backup_of_before_an_erasure_keeps_the_person_erased(finished, tmp_path):
    made = back_up(finished.site, {}).path
    elsewhere = back_up(finished.site, {}, target=tmp_path / "disco").path
    half_made = finished.folder / ".backup" / "copied" / "raw"
    half_made.mkdir(parents=True)
    (half_made / "a.csv").write_text(ANA[0])
    sold = finished.value("SELECT count(*) FROM silver.sales")
    done = erased(finished)
    assert done.left == {}
    told = done.certificate.read_text()
    assert f"{made.name}: 19/04/2026" in told
    copies = json.loads(done.certificate.with_suffix(".json").read_text())["copias_de_seguranca"]
    assert {"arquivo": str(elsewhere), "ate": "19/04/2026"} in copies
    restored = restore(finished.site, made, finished.instance)
    assert restored.tombstones > 0
    assert canaries(finished.home) == []
    finished.green()
    assert canaries(finished.home) == []
    assert find_customers(finished.settings, finished.tenant, ANA[0]) == []
    assert finished.value("SELECT count(*) FROM silver.sales") == sold
    assert finished.value("SELECT count(*) FROM silver.sales WHERE is_erased") == 1


FIGURES = "SELECT from_day, to_day, state, mrr_gross FROM silver.subscription_periods ORDER BY ALL"


def test_several_people_go_in_one_pass_and_a_subscription_counts_on_without_its_code(
    finished, monkeypatch
):
    before = finished.rows(FIGURES)
    (held,) = finished.rows("FROM silver.subscriptions WHERE product_id = '3102'")
    rewritten = []
    rewrite = eraser.rewrite
    monkeypatch.setattr(eraser, "rewrite", lambda *a, **k: rewritten.append(1) or rewrite(*a, **k))
    wanted = dict(whole(finished, who) for who in (ANA[0], DIEGO[0]))
    assert held["customer_id"] in wanted
    records = sum(map(len, wanted.values()))
    words = (*ANA, *DIEGO, *wanted, held["subscriber_code"].lower())
    done = eraser.erase_many(finished.site, wanted, actor="dpo", reason="prazo")
    assert done.left == {}
    assert len(rewritten) == 2, "the warehouse and the snapshot"
    assert canaries(finished.home, words) == []
    told = json.loads(done.certificate.with_suffix(".json").read_text())
    assert (told["pessoas"], told["registros"]) == (2, records)
    log = finished.ops.actions().filter(kind="customer_erased")
    assert len(log) == log["customer_id"].n_unique() == 2
    finished.green("actions", "refine")
    assert canaries(finished.home, words) == []
    buyers = finished.value("SELECT count(DISTINCT customer_id) FROM silver.sales WHERE is_erased")
    assert buyers == len({"ana", "diego"}), "their sales go on apart"
    assert finished.rows(FIGURES) == before
    (row,) = finished.rows("FROM silver.subscriptions WHERE product_id = '3102'")
    assert row["subscriber_code"] == f"assinatura:{held['subscription_id']}"
    assert row["customer_id"] not in (None, held["customer_id"])
    assert finished.value("SELECT count(*) FROM silver.access WHERE product_id = '3102'") == 0


def test_the_requests_that_it_answers_are_closed_with_it(finished):
    customer_id, refs = whole(finished, ANA[0])
    hers = ({"customer_id": customer_id}, {"email_key": ANA[0]}, {"phone_key": "+5511961234501"})
    numbers = tuple(asked(finished, checked=True, **who) for who in hers)
    unchecked = asked(finished, checked=False, email_key=ANA[0])
    other = asked(finished, checked=True, email_key=DIEGO[0])
    rehearsed = eraser.rehearse(finished.site, {customer_id: refs})
    found = eraser.asked_by(finished.site, finished.ops, rehearsed.people)
    assert [request.number for request in found] == [*numbers, unchecked]
    done = erased(finished)
    assert done.requests == numbers
    known = {
        request.number: request for request in register(finished.ops.actions(), finished.tenant)
    }
    assert {number for number, request in known.items() if request.is_open} == {unchecked, other}
    certificate = done.certificate.read_text()
    for number in numbers:
        assert known[number].outcome == "atendido"
        assert known[number].note.startswith("apagamento ")
        assert f"Responde ao pedido {number} do registro" in certificate
    assert canaries(finished.home) == []


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
