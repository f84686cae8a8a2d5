"""The words of alerts: a trial, a late round, the age of a reading, and what concerns people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crm_assets.automation.alerts import (
    REQUEST_OVERDUE,
    RUN_FAILED,
    Situation,
    age,
    late_detail,
    told_of,
    trial_message,
)
from crm_assets.bronze.event_bodies import NOVELTY
from crm_assets.settings import Environment
from crm_assets.tenants import build_tenant_model
from crm_resources.ops import Delivery, Incident

NOW = datetime(2026, 3, 15, 12, 0, 0, 1, tzinfo=UTC)
ACME = build_tenant_model("acme", {"name": "Acme"}, {})


def test_a_trial_names_company_and_environment_and_is_never_the_same_twice():
    first = trial_message(ACME, Environment.HML, NOW)
    assert first.kind == "alert.test"
    assert "nada falhou" in first.text
    assert "Empresa: Acme (acme)\nAmbiente: hml\n" in first.text
    assert first.subject == "[CRM hml, Acme] Teste de alerta"
    assert first.data == {"tenant": "acme", "environment": "hml"}
    assert trial_message(ACME, Environment.HML, NOW.replace(microsecond=2)).id != first.id


def test_a_late_round_is_told_on_the_tenants_clock():
    assert late_detail(ACME, NOW) == "a rodada de 15/03/2026 09:00 não terminou bem."


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=-5), "0 min"),
        (timedelta(seconds=59), "0 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(minutes=60), "1 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(hours=48), "2 dias"),
        (timedelta(days=9, hours=23), "9 dias"),
    ],
    ids=str,
)
def test_an_age_is_told_in_the_unit_that_says_most(ago, words):
    assert age(NOW, NOW - ago) == words


def test_what_was_never_read_has_no_age():
    assert age(NOW, None) == "nunca lida"


def incident(kind, subject):
    return Incident(
        id=1, kind=kind, subject=subject, detail="sem resposta", opened_at=NOW, closed_at=None,
        revision=1,
    )  # fmt: skip


def test_a_late_answer_to_a_person_says_what_to_do():
    situation = Situation(ACME, Environment.PRD, NOW, {})
    overdue = incident(REQUEST_OVERDUE, "pedido 3")
    told = situation.message(Delivery(incident=overdue, channel="e-mail")).text
    assert "Venceu o prazo de resposta do pedido 3 de um titular (LGPD)." in told
    assert "nenhum." in told
    assert "responda à pessoa; `uv run crm customers request list --open --tenant acme`." in told


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (NOVELTY, "o programa não conhece nomes que a Hotmart manda: sem resposta"),
        (RUN_FAILED, "hotmart: sem resposta"),
    ],
)
def test_an_incident_on_one_line(kind, told):
    assert told_of(incident(kind, "hotmart")) == told


def test_a_failed_retention_names_its_own_command():
    situation = Situation(ACME, Environment.PRD, NOW, {})
    failed = incident(RUN_FAILED, "retention")
    told = situation.message(Delivery(incident=failed, channel="e-mail")).text
    assert "`uv run crm customers retention --tenant acme` tenta de novo" in told
