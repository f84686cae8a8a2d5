"""`crm customers`: what an operator sees of a person, decides, rehearses and takes back."""

import json
import re

import pytest
from world import SAMPLE

pytestmark = pytest.mark.slow

WHY = ("--reason", "ela confirmou", "--by", "bia")


def customer_of(crm, text):
    return json.loads(crm("customers", "show", text, "--json").out)["customer_id"]


def test_show_tells_who_why_and_where_from(ran):
    said = ran("customers", "show", "ana.souza@example.com")
    assert (said.code, said.err) == (0, "")
    assert re.match(r"cus_[0-9a-f]{32}\n", said.out)
    for title in ("e-mail: ana.souza@example.com", "Registros (", "De onde vem cada campo:"):
        assert title in said.out
    assert "—e-mail ana.souza@example.com→" in said.out
    assert " criado" in said.out
    told = json.loads(ran("customers", "show", "ana.souza@example.com", "--json").out)
    assert told["golden"]["email"] == "ana.souza@example.com"
    assert told["unexplained"] == []
    assert len(told["records"]) > 1


@pytest.mark.parametrize("who", ["ninguem@example.com", "11 90000-0000", "hotmart:nada"])
def test_nobody_is_one_sentence(ran, who):
    said = ran("customers", "show", who)
    assert (said.code, said.out) == (1, "")
    assert said.err == "Não existe cliente com este id, e-mail, telefone ou registro.\n"


def test_before_the_first_round_there_is_nobody(crm):
    for command in (("show", "ana@example.com"), ("merge", "a:1", "b:2", *WHY)):
        said = crm("customers", *command)
        assert said.code == 1
        assert "Ainda não há cadastro de default em prd" in said.err
    assert "Nenhuma decisão ainda." in crm("customers", "list").out


def test_a_decision_is_rehearsed_recorded_listed_and_taken_back(ran, tree):
    people = json.loads(ran("customers", "show", "ana.souza@example.com", "--json").out)
    other = customer_of(ran, "barbara.nunes@example.com")
    before = tree(ran.home)
    names = ("customers", "merge", people["customer_id"], other, *WHY)
    said = ran(*names, "--dry-run")
    assert said.code == 0
    assert "Nada foi registrado" in said.out
    assert f"{other} (" in said.out
    assert f"unido a {people['customer_id']}" in said.out
    assert tree(ran.home) == before

    said = ran(*names)
    assert "Vale a partir da próxima rodada" in said.out
    number = re.search(r"Decisão (\d+) registrada", said.out)[1]
    assert f"é a decisão {number}" in ran(*names).err
    refused = ran("customers", "keep-apart", people["customer_id"], other, *WHY)
    assert refused.code == 1
    assert re.search(r"Contradição: \S+ = \S+ ≠ ", refused.err)
    [listed] = json.loads(ran("customers", "list", "--json").out)
    assert (str(listed["decisão"]), listed["quem"], listed["situação"]) == (number, "bia", "vale")
    assert f"{number} vale: 15/03/2026 09:00, bia: ela confirmou" in ran("customers", "list").out

    undone = ran("customers", "undo", number, *WHY)
    assert f"Decisão {number} desfeita." in undone.out
    [listed] = json.loads(ran("customers", "list", "--json").out)
    assert listed["situação"] == "desfeita"
    assert "já foi desfeita" in ran("customers", "undo", number, *WHY).err


def test_a_rehearsed_pin_tells_what_the_field_holds(ran):
    said = ran("customers", "pin", "ana.souza@example.com", "name", "Ana S", *WHY, "--dry-run")
    assert said.code == 0
    assert said.out.endswith("= Ana S\nnome hoje: Ana Beatriz Souza\n")
    assert "Nenhuma decisão ainda." in ran("customers", "list").out


def test_wrong_use_is_told(ran):
    assert ran("customers", "merge", "a:1", *WHY).code == 2
    assert ran("customers", "keep-apart", "a:1", *WHY).code == 2
    assert ran("customers", "keep-apart", "a:1", "b:2", "--key", "x", *WHY).code == 2
    assert ran("customers", "keep-apart", *WHY).code == 2
    said = ran("customers", "merge", "a:1", "b:2", "--reason", " ")
    assert said.code == 2
    assert ran("customers", "merge", "a:1", "b:2").code == 2
    bad = ran("customers", "pin", "ana.souza@example.com", "email", "ana@", *WHY)
    assert (bad.code, bad.err) == (
        1,
        "Este valor não serve de e-mail: precisa ser um e-mail que possa ser usado.\n",
    )


def test_review_reads_what_was_published(ran):
    said = ran("customers", "review")
    assert said.code == 0
    assert "para olhar." in said.out
    assert isinstance(json.loads(ran("customers", "review", "--json").out), list)


@pytest.mark.slow
def test_decisions_take_effect_in_the_next_round_and_undone_ones_stop(ran):
    ana, other = (
        customer_of(ran, email) for email in ("ana.souza@example.com", "barbara.nunes@example.com")
    )
    said = ran("customers", "merge", ana, other, *WHY, "--now")
    assert (said.code, said.err) == (0, "")
    assert customer_of(ran, other) == customer_of(ran, ana)
    shown = ran("customers", "show", "barbara.nunes@example.com").out
    assert "—decisão " in shown
    assert f"{other} unido a " in shown or f"{ana} unido a " in shown
    number = json.loads(ran("customers", "list", "--json").out)[0]["decisão"]
    assert ran("customers", "pin", ana, "cidade", "Olinda", *WHY).code == 0
    assert ran("customers", "undo", str(number), *WHY, "--now").code == 0
    pin = str(json.loads(ran("customers", "list", "--json").out)[0]["decisão"])
    told = ran("customers", "undo", pin, *WHY, "--dry-run").out
    assert "Nada foi registrado" in told
    assert "cidade hoje: Olinda" in told
    assert customer_of(ran, other) == other
    assert customer_of(ran, ana) == ana
    shown = ran("customers", "show", ana).out
    assert "\n  cidade: Olinda\n  estado: SP\n" in shown
    assert re.search(r"cidade: Olinda ← acao:\d+ \(pin, .*, fixado por pessoa\)", shown)


@pytest.mark.slow
def test_a_split_and_a_blocked_key_take_people_apart(ran):
    person = json.loads(ran("customers", "show", "ana.souza@example.com", "--json").out)
    leaving = person["records"][-1]["ref"]
    said = ran("customers", "split", person["customer_id"], "--record", leaving, *WHY, "--now")
    assert (said.code, said.err) == (0, "")
    assert customer_of(ran, leaving) != person["customer_id"]
    said = ran("customers", "accept-merges", *WHY, "--now")
    assert (said.code, "não há o que aceitar" in said.err) == (1, True)


def contacts(tmp_path, name, *rows):
    """A file of contacts."""
    file = tmp_path / name
    lines = [f"X;{email}@example.com;{phone}\n" for email, phone in rows]
    file.write_text("nome;email;whatsapp\n" + "".join(lines))
    return file


@pytest.mark.slow
def test_a_run_that_merges_too_many_publishes_nothing_until_it_is_accepted_once(ran, tmp_path):
    tenants = tmp_path / "tenants.toml"
    limits = "[tenants.default.identity]\nmin_customers = 1\nmax_merged_share = 0.01\n"
    tenants.write_text((SAMPLE / "tenants.toml").read_text() + f"\n{limits}")
    strict = {"CRM_TENANTS": str(tenants)}
    refine = ("run", "--only", "actions,refine")
    known = contacts(tmp_path, "zero.csv", ("lia", ""), ("noe", ""), ("ida", ""))
    assert ran("import", "manychat", known, **strict).code == 0

    lia_is_noe = contacts(tmp_path, "um.csv", ("lia", "11981239876"), ("noe", "11981239876"))
    stopped = ran("import", "manychat", lia_is_noe, **strict)
    assert stopped.code == 1
    assert re.search(r"1 de \d+ clientes se uniriam", stopped.err)
    assert "crm customers accept-merges" in stopped.err
    assert "example.com" not in stopped.err
    assert ran(*refine, **strict).code == 1, "it stays stopped"
    assert customer_of(ran, "lia@example.com") != customer_of(ran, "noe@example.com")

    accepted = ran("customers", "accept-merges", *WHY, "--now", **strict)
    assert (accepted.code, accepted.err) == (0, "")
    assert customer_of(ran, "lia@example.com") == customer_of(ran, "noe@example.com")
    assert ran(*refine, **strict).code == 0

    lia_is_ida = contacts(tmp_path, "dois.csv", ("lia", "11971234567"), ("ida", "11971234567"))
    again = ran("import", "manychat", lia_is_ida, **strict)
    assert again.code == 1, "the acceptance was for one round"
