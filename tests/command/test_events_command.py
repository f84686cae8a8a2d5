"""`crm events`: what was posted, what became of it, and reading it again."""

from datetime import UTC, datetime

import pytest

from crm_resources.ops import InboxEvent, OpsStore, Outcome

NOW = datetime(2026, 3, 15, 11, tzinfo=UTC)


@pytest.fixture
def inbox(crm):
    """An inbox with a failed, a dead, an ignored and a new event."""
    crm.store.mkdir(parents=True)
    ops = OpsStore(str(crm.store / "ops.sqlite"), "default")
    ops.receive(
        [
            InboxEvent(
                kind="hotmart",
                event_key=f"e{number}",
                event="SWITCH_PLAN" if number < 4 else None,
                body="{",
                received_at=NOW,
            )
            for number in range(1, 5)
        ]
    )
    ops.settle([Outcome(id=1, state="failed", error="não se lê")], NOW)
    for _ in range(3):
        ops.settle([Outcome(id=2, state="failed", error="não se lê")], NOW)
    ops.settle([Outcome(id=3, state="ignored", error="corpo de teste")], NOW)
    ops.count_refusals("hotmart", {"203.0.113.7": 4}, NOW)
    return ops


def test_before_anything_came(crm):
    for command in (
        ["list"],
        ["retry", "1"],
        ["replay", "--start", "2026-03-01", "--end", "2026-03-02"],
    ):
        said = crm("events", *command)
        assert (said.code, said.out) == (1, "")
        assert said.err == "Nenhum evento recebido ainda: veja docs/webhooks.md.\n"
    assert not crm.store.exists()


def test_the_list_tells_states_attempts_times_and_reasons(crm, inbox):
    said = crm("events", "list")
    assert said.code == 0
    assert said.out.splitlines()[0] == (
        "1 morto (hotmart), 1 falhou (hotmart), 1 ignorado (hotmart), 1 pendente (hotmart)"
    )
    assert "4  15/03/2026 08:00  hotmart  –  pendente, tentativas: 0\n" in said.out
    assert "3  15/03/2026 08:00  hotmart  SWITCH_PLAN  ignorado, tentativas: 1; corpo" in said.out
    assert "morto, tentativas: 3; não se lê" in said.out
    assert "falhou, tentativas: 1, próxima 15/03/2026 08:0" in said.out
    assert "Recusados em 30 dias, sem o token certo: 4; endereços: 1." in said.out
    only = crm("events", "list", "--state", "morto").out
    assert "SWITCH_PLAN  morto" in only
    assert "ignorado, tentativas" not in only
    assert crm("events", "list", "--state", "dead").code == 2
    assert crm("events", "list", "--kind", "woo").code == 2


def test_retry_of_one_and_of_all(crm, inbox):
    assert crm("events", "retry").code == crm("events", "retry", "1", "--all").code == 2
    said = crm("events", "retry", "2", "3", "4")
    assert "1 evento voltou à fila" in said.out
    assert "Não falharam e ficaram como estavam: 3 (ignorado), 4 (pendente).\n" in said.out
    assert inbox.event_counts()["hotmart", "pending"] == 2
    assert "1 evento voltou à fila" in crm("events", "retry", "--all").out
    for nothing in (["--all"], ["3"]):
        said = crm("events", "retry", *nothing)
        assert said.err == "Nenhum destes eventos falhou: nada a tentar de novo.\n"
        assert (said.code, said.out) == (1, "")


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (["2", "99"], "Não há o evento 99: nada voltou à fila."),
        (["99", "2", "98"], "Não há os eventos 99, 98: nada voltou à fila."),
        (["2", "9" * 30], f"Não há o evento {'9' * 30}: nada voltou à fila."),
        (["2", "--kind", "manychat"], "Não há o evento de manychat 2: nada voltou à fila."),
    ],
)
def test_an_event_that_is_not_there_is_named_and_nothing_is_done(crm, inbox, asked, refusal):
    before = inbox.event_counts()
    said = crm("events", "retry", *asked)
    assert (said.code, said.out, said.err) == (1, "", f"{refusal}\n")
    assert inbox.event_counts() == before


def test_a_replay_is_rehearsed(crm, inbox):
    days = ("--start", "2026-03-15", "--end", "2026-03-15")
    said = crm("events", "replay", *days, "--dry-run")
    assert said.out == "4 eventos de 15/03/2026 a 15/03/2026; nada foi lido.\n"
    assert inbox.event_counts()["hotmart", "ignored"] == 1
    assert "0 eventos" in crm("events", "replay", *days, "--kind", "manychat").out
    assert crm("events", "replay", "--start", "2026-03-02", "--end", "2026-03-01").code == 2


@pytest.mark.slow
def test_a_replay_reads_and_refines(crm, inbox):
    said = crm("events", "replay", "--start", "2026-03-15", "--end", "2026-03-15")
    assert "✓ events" in said.out
    assert "✓ refine" in said.out
    assert inbox.event_counts() == {("hotmart", "failed"): 4}
    assert "4 eventos falharam e serão tentados de novo: `crm events list --state fal" in said.err
