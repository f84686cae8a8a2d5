"""Whoever was erased stays erased, whatever comes back: readings, files, copies, kills."""

import shutil

import pytest
from erasure_samples import ANA, asked, canaries, erased, whole
from world import SAMPLE

from crm_assets.bronze.ledger import all_here, forget_again
from crm_assets.bronze.receiving import find_received
from crm_assets.gold.people import find_customers, reading
from crm_assets.privacy import eraser
from crm_assets.privacy.person import groups_of, members
from crm_assets.privacy.rights import register
from crm_assets.privacy.tombstones import KeyUnusable, key_path
from crm_resources.ops import Action

FILES = sorted((SAMPLE / "input" / "manychat").glob("*.csv"))
LATER = "2026-03-16T09:00:00-03:00"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def gone(world):
    """Nothing of the person is in the home, and nobody answers for her."""
    return canaries(world.home) == [] and find_customers(world.settings, world.tenant, ANA[0]) == []


def test_the_next_round_does_not_bring_the_person_back_and_without_the_key_none_writes(finished):
    world = finished.at(LATER)
    erased(finished)
    done = world.green()
    assert any("hotmart" in outcome.stage and outcome.slices for outcome in done.outcomes)
    assert gone(world)
    sold = world.rows("SELECT customer_id FROM silver.sales WHERE is_erased")
    known = {row["customer_id"] for row in world.rows("FROM silver.customer_ids")}
    assert len(sold) == 1
    assert sold[0]["customer_id"] not in known
    key_path(finished.settings, finished.tenant).unlink()
    with pytest.raises(KeyUnusable):
        world.round()


def test_no_file_brings_the_person_back_or_keeps_a_copy_of_her(finished, tmp_path):
    waiting, refused = finished.inbox / "novo.csv", finished.inbox / "lista.txt"
    waiting.write_text(f"nome;email\nAna Beatriz Souza;{ANA[0]}\nNova;nova@example.com\n")
    refused.write_text(f"sem coluna\nAna Beatriz Souza {ANA[0]}\n")
    erased(finished)
    assert waiting.read_text() == "nome;email\n\nNova;nova@example.com\n"
    assert refused.read_text() == "sem coluna\n\n"
    again, fresh = tmp_path / FILES[0].name, tmp_path / "depois.csv"
    again.write_bytes(FILES[0].read_bytes())
    fresh.write_text(
        f"nome;email;whatsapp\nAna Beatriz Souza;{ANA[0]};\nAna B.;;+55 11 6123-4501\n"
        "Outra;outra@example.com;\n"
    )
    renamed = []
    for number, file in enumerate(FILES):
        renamed.append(tmp_path / f"outro_{number}.csv")
        renamed[-1].write_bytes(file.read_bytes() + b"\n")
    finished.green("actions", undo=find_received(str(again), finished.ops))
    told = finished.green("manychat", files=[again, fresh, *renamed]).receipts
    assert [receipt.slice is not None for receipt in told] == [True] * (2 + len(FILES))
    finished.round("manychat", "refine")
    assert gone(finished)
    for new in ("nova@example.com", "outra@example.com"):
        assert find_customers(finished.settings, finished.tenant, new) != []


def test_a_warehouse_put_back_from_a_copy_is_cleared_before_anything(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copy(finished.warehouse.path, copy)
    check = all_here(finished.site, "silver.contact_records").check

    def is_clear():
        with finished.warehouse.write("conferência") as tx:
            return check(tx).passed

    erased(finished)
    assert is_clear()
    shutil.copy(copy, finished.warehouse.path)
    assert not is_clear(), "refine alone refuses it"
    assert forget_again(finished.site, finished.ops)
    assert not forget_again(finished.site, finished.ops)
    assert is_clear()
    assert canaries(finished.home) == []
    shutil.copy(copy, finished.warehouse.path)
    finished.green("actions", "refine")
    assert gone(finished)


def test_an_erasure_cut_short_twice_is_ended_with_its_request(finished, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*args, **more):
        if not more.get("dry_run"):
            raise Killed
        return {}

    number = asked(finished, checked=True, email_key=ANA[0])
    with monkeypatch.context() as patch:
        patch.setattr(eraser, "rewrite", killed)
        with pytest.raises(Killed):
            erased(finished)
    with monkeypatch.context() as patch:
        patch.setattr(eraser, "write_certificate", killed)
        with pytest.raises(Killed):
            eraser.resume(finished.site)
    (finished.folder / ".warehouse.duckdb.tmp").write_text(ANA[0])
    assert eraser.pending(finished.site).requests == [number]
    with pytest.raises(eraser.ErasureError, match="--resume"):
        erased(finished, "diego.fernandes@example.com")
    done = eraser.resume(finished.site)
    assert (done.left, done.requests) == ({}, (number,))
    assert not register(finished.ops.actions(), finished.tenant)[0].is_open
    assert canaries(finished.home) == []
    assert eraser.resume(finished.site) is None
    finished.green("actions", "refine")
    assert finished.value("SELECT count(*) FROM silver.sales WHERE is_erased") == 1


FAMILY = "id;nome;email;whatsapp\n7001;Rita Lima;rita@example.com;11 97777-1234\n"
FAMILY += "7002;Caio Lima;caio@example.com;11 97777-1234\n;Rita Lima;;11 97777-1234\n"


def test_who_shares_a_phone_is_erased_alone_and_the_other_stays(finished, tmp_path):
    world = finished
    file = tmp_path / "familia.csv"
    file.write_text(FAMILY)
    world.green("manychat", "refine", files=[file])
    (family,) = find_customers(world.settings, world.tenant, "caio@example.com")
    assert find_customers(world.settings, world.tenant, "rita@example.com") == [family]
    with reading(world.settings, world.tenant) as tx:
        groups = groups_of(members(tx, family))
    assert [len(group) for group in groups] == [2, 1]
    refs = [r.ref for group in groups for r in group if r.first_name == "Rita"]
    done = eraser.erase(world.site, family, refs, actor="dpo", reason="pedido 2")
    assert done.left == {}
    assert "também é de outra pessoa" in done.certificate.read_text()
    again = tmp_path / "familia_2.csv"
    again.write_text(FAMILY + "7003;Davi;davi@example.com;\n")
    world.green("manychat", "actions", "refine", files=[again])
    assert canaries(world.home, ("rita lima", "rita@example.com")) == []
    (caio,) = find_customers(world.settings, world.tenant, "11 97777-1234")
    assert caio == family
    held = world.rows("SELECT name, email FROM silver.customers WHERE customer_id = ?", [caio])
    assert held == [{"name": "Caio Lima", "email": "caio@example.com"}]


def test_decisions_about_the_person_lose_what_is_personal(finished):
    customer_id, refs = whole(finished, ANA[0])
    said = {
        "opt_out": {"email_key": ANA[0], "reason": "a Ana Beatriz Souza respondeu SAIR"},
        "identity_pin": {
            "customer_id": customer_id,
            "payload": {"field": "name", "value": "Aninha Corrigida"},
        },
        "identity_together": {"payload": {"records": [*refs, "manychat:1604823002"]}},
        "batch_skipped": {"customer_id": customer_id},
    }
    finished.ops.append_actions(
        [
            Action(kind=kind, idempotency_key=f"{kind}:{customer_id}", actor="dpo", **fields)
            for kind, fields in said.items()
        ]
    )
    finished.green("actions", "refine")
    erased(finished)
    finished.green("actions", "refine")
    assert canaries(finished.home, (*ANA, "aninha", customer_id, refs[0].split(":")[1])) == []
    kinds = finished.ops.actions()["kind"].to_list()
    assert set(said) <= set(kinds)
