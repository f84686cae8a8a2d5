"""`crm access` and `crm subscriptions list`: what an operator sees and decides."""

from __future__ import annotations

import re

import duckdb
import pytest

pytestmark = pytest.mark.slow

WHY = ("--reason", "senha repassada", "--by", "rita")


@pytest.fixture
def subscribed(ran):
    """Code and customer of a running subscription of the sample."""
    said = ran("subscriptions", "list")
    assert said.code == 0, said.err
    code, customer = re.search(
        r"(\w{8})\s+(cus_[0-9a-f]{32}).*: ativa, segmento ativa", said.out
    ).groups()
    return code, customer


def product_of(ran, customer):
    listed = ran("access", "list", customer)
    return re.search(r"\((\w+)\), liberado", listed.out)[1]


def test_subscriptions_are_listed_with_their_history(ran, subscribed):
    code, customer = subscribed
    said = ran("subscriptions", "list", customer)
    assert re.search(r"\b(\d+) de \1 assinaturas?\.", said.out)
    assert ": ativa, segmento ativa, paga até" in said.out
    assert f"{code}: ativa (pagamento)" in said.out
    assert "0 de 0 assinaturas." in ran("subscriptions", "list", "--product", "nenhum").out
    running = ran("subscriptions", "list", "--status", "ACTIVE").out
    assert f"{code} {customer}" in running
    assert ran("subscriptions", "list", "--status", "Ativa").out == running
    late = ran("subscriptions", "list", "--segment", "em risco").out
    assert ran("subscriptions", "list", "--segment", "em_risco").out == late
    assert code not in late + ran("subscriptions", "list", "--status", "cancelada").out
    assert code not in ran("subscriptions", "list", "--at-risk").out
    refused = ran("subscriptions", "list", "--segment", "qualquer")
    assert refused.code == 2
    assert "--segment aceita ativa, trial, em risco, cancelada, outra, não 'qualquer'" in (
        refused.err
    )


def test_a_subscription_without_a_known_price_or_rate_is_marked(ran, subscribed):
    code, _ = subscribed
    assert "sem preço conhecido" not in ran("subscriptions", "list").out
    with duckdb.connect(ran.store / "warehouse.duckdb") as con:
        con.execute(
            "UPDATE silver.subscription_periods SET mrr_gross = NULL WHERE subscriber_code = ?",
            [code],
        )
    marked = [line for line in ran("subscriptions", "list").out.splitlines() if "preço" in line]
    assert len(marked) == 1
    assert marked[0].startswith(code)
    assert "; sem preço conhecido, fora do MRR" in marked[0]
    with duckdb.connect(ran.store / "warehouse.duckdb") as con:
        con.execute(
            "UPDATE silver.subscription_periods SET mrr_gross = 97, mrr_gross_home = NULL "
            "WHERE subscriber_code = ?",
            [code],
        )
    marked = [line for line in ran("subscriptions", "list").out.splitlines() if "câmbio" in line]
    assert [line.split()[0] for line in marked] == [code]


@pytest.mark.parametrize("what", ["subscriptions", "access"])
def test_a_terminal_breaks_lines_between_words_and_a_pipe_none(ran, subscribed, what):
    _, customer = subscribed
    piped = ran(what, "list", customer).out
    shown = ran(what, "list", customer, COLUMNS="80", FORCE_COLOR="1").out
    assert max(map(len, piped.splitlines())) > 80
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.split() == piped.split(), "nothing is cut"


def test_access_is_listed(ran):
    said = ran("access", "list", "--status", "ended")
    assert (said.code, said.err) == (0, "")
    assert ran("access", "list", "--status", "encerrado").out == said.out
    assert "o pagamento foi devolvido" in said.out
    assert re.search(r"(\d+) de \1 acessos\.", said.out)
    assert re.search(r"2 de \d+ acessos\.", ran("access", "list", "--limit", "2").out)
    assert ran("access", "list", "--status", "aberto").code == 2
    assert "Não existe cliente" in ran("access", "list", "ninguem@example.com").err


def test_a_block_is_rehearsed_and_recorded(ran, subscribed, tree):
    _, customer = subscribed
    product = product_of(ran, customer)
    before = tree(ran.home)
    said = ran("access", "block", customer, "--product", product, *WHY, "--dry-run")
    assert f"Nada foi registrado; seria: suspender: produto {product}, hoje liberado." in said.out
    assert tree(ran.home) == before
    said = ran("access", "block", customer, "--product", product, *WHY)
    assert said.out.startswith(f"Registrado: suspender: produto {product}, hoje liberado.")
    said = ran("access", "release", customer, "--product", product, *WHY)
    assert "deixar a regra decidir" in said.out


def test_what_makes_no_sense_is_refused(ran, subscribed):
    _, customer = subscribed
    product = product_of(ran, customer)
    none = ran("access", "block", customer, "--product", "nenhum", *WHY)
    assert none.code == 1
    assert none.err.startswith("Não existe o produto nenhum; existem: ")
    assert f"{product} (" in none.err
    assert "`crm access list CLIENTE` mostra os de uma pessoa." in none.err
    held = ran("access", "list", customer).out
    known = re.findall(r"\((\w+)\), ", ran("access", "list").out)
    other = next(one for one in known if f"({one})" not in held)
    unsold = ran("access", "block", customer, "--product", other, *WHY)
    assert unsold.err == (
        f"Este cliente não tem acesso ao produto {other}: não há o que bloquear.\n"
    )
    idle = ran("access", "release", customer, "--product", product, *WHY)
    assert idle.code == 1
    assert "diga até quando com --until" in idle.err
    past = ran("access", "release", customer, "--product", product, *WHY, "--until", "2026-03-14")
    assert past.code == 2
    given = ran("access", "release", customer, "--product", other, *WHY, "--until", "2026-03-20")
    assert f"dar acesso até 20/03/2026: produto {other}, hoje sem acesso." in given.out
