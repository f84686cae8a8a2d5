"""The words of alerts that no incident says: a trial, a late round, and how old a reading is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crm_assets.automation.alerts import age, late_detail, trial_message
from crm_assets.settings import Environment
from crm_assets.tenants import build_tenant_model

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
