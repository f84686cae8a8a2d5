"""Alerts: which is due, what it says, when it is tried again, and where it goes."""

import base64
import json
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.automation.alerts import (
    Situation,
    after_failure,
    after_sent,
    is_late,
    last_due,
    next_due,
    same_cause,
)
from crm_assets.settings import CHECKOUT, Environment, Settings, SettingsError
from crm_assets.tenants import build_tenant_model
from crm_resources.ops import Delivery, Incident

SECRET = "whsec_" + base64.b64encode(b"chave-canario-de-assinatura-32by").decode()
TENANT = build_tenant_model("default", {"name": "Escola Aurora"}, {})
AT = datetime(2026, 3, 15, 12, tzinfo=UTC)


def local(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{text}:00-03:00")


# Which is due


@pytest.mark.parametrize(
    ("now", "green", "late"),
    [
        ("15T04:59", "14T02:05", False),
        ("15T05:00", "14T02:05", True),
        ("15T05:00", "15T01:59", True),
        ("15T05:00", "15T02:00", False),
        ("15T23:00", "15T22:00", False),
        ("15T05:00", None, True),
        ("15T04:59", None, False),
    ],
)
def test_a_round_is_late_when_it_is_not_green_three_hours_after_its_time(now, green, late):
    last = local(green) if green else None
    assert is_late(local(now), local("15T02:00"), last) is late


@pytest.mark.parametrize(
    ("now", "last", "following"),
    [
        ("15T01:59", "14T02:00", "15T02:00"),
        ("15T02:00", "15T02:00", "16T02:00"),
        ("15T23:59", "15T02:00", "16T02:00"),
    ],
)
def test_the_round_before_and_after_an_instant(now, last, following):
    assert last_due(TENANT, time(2), local(now)) == local(last)
    assert next_due(TENANT, time(2), local(now)) == local(following)


@given(st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1)), st.times())
def test_an_instant_lies_between_its_rounds_also_when_clocks_change(naive, at):
    now, at = naive.replace(tzinfo=UTC), at.replace(second=0, microsecond=0)
    assert last_due(TENANT, at, now) <= now < next_due(TENANT, at, now)
    day = timedelta(days=1)
    gap = next_due(TENANT, at, now).astimezone(UTC) - last_due(TENANT, at, now).astimezone(UTC)
    assert day - timedelta(hours=1) <= gap <= day + timedelta(hours=1)


# What it says


def incident(**values) -> Incident:
    made = {
        "id": 7,
        "kind": "run_failed",
        "subject": "hotmart",
        "detail": "A conexão com a Hotmart falhou.",
        "opened_at": AT,
        "closed_at": None,
        "revision": 1,
    }
    return Incident(**made | values)


def message(now=AT, told=0, tenant=TENANT, **values):
    ages = {"hotmart_transactions": AT - timedelta(days=3), "hotmart_customers": None}
    situation = Situation(tenant, Environment.PRD, now, ages)
    return situation.message(Delivery(incident=incident(**values), channel="webhook", told=told))


def test_an_alert_says_what_since_when_which_effect_and_what_to_do():
    said = message()
    assert said.subject == "[CRM prd, Escola Aurora] Falhou a leitura das vendas da Hotmart"
    for line in (
        "Causa: A conexão com a Hotmart falhou.",
        "Desde: 15/03/2026 09:00",
        "última leitura: hotmart_transactions (3 dias), hotmart_customers (nunca lida)",
        "O que fazer: `uv run crm doctor` confere credenciais e conexão; `uv run crm run` tenta",
        "docs/operating.md#when-something-fails",
        "Empresa: Escola Aurora (default)",
        "Ambiente: prd",
    ):
        assert line in said.text
    assert said.data["sources"]["hotmart_customers"] is None


def test_the_guide_that_an_alert_names_has_that_heading():
    assert "\n## When something fails\n" in (CHECKOUT / "docs" / "operating.md").read_text()


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({}, "alert.opened", "Falhou a leitura das vendas"),
        ({"told": 1, "revision": 2}, "alert.changed", "por outra causa"),
        ({"told": 1, "revision": 2, "kind": "event_novelty"}, "alert.changed", "Mudou: nomes"),
        ({"told": 1, "revision": 2, "closed_at": AT}, "alert.closed", "Resolvido"),
        ({"closed_at": AT}, "alert.closed", "até 15/03/2026 09:00"),
        ({"kind": "daily_late", "subject": "daily"}, "alert.opened", "a rodada diária"),
        ({"subject": "refine"}, "alert.opened", "última leitura de cada fonte"),
        ({"subject": "outra"}, "alert.opened", "a etapa outra"),
    ],
)
def test_each_event_has_its_words(values, kind, words):
    said = message(**values)
    assert said.kind == kind
    assert words in said.subject + said.text


@pytest.mark.parametrize(
    ("subject", "detail", "secret"),
    [
        ("hotmart", "falhou em maria.silva@example.com agora", "maria"),
        ("hotmart", "falhou em +55 11961234567", "1961234"),
        ("hotmart", "falhou em (11) 96123-4567", "96123"),
        ("hotmart", "falhou em 529.982.247-25", "529"),
        ("refine", "não abriu /home/maria/dados.duckdb", "maria"),
        ("manychat", "recusado: colunas encontradas: Maria da Silva", "Maria"),
        ("manychat", "clientes da maria.csv: vazio", "maria"),
    ],
)
def test_no_person_no_file_and_no_path_leaves_the_house(subject, detail, secret):
    said = message(subject=subject, detail=detail)
    assert secret not in said.subject + said.text + json.dumps(said.data)


def test_a_cause_keeps_its_numbers_dates_and_addresses():
    detail = "3 de 36 partições de bronze.x; 2026-02-01: 503 em https://example.com/a/b"
    assert f"Causa: {detail}" in message(detail=detail).text


def test_another_tenant_is_named_in_the_command():
    acme = build_tenant_model("acme", {}, {})
    assert "`uv run crm run --tenant acme`" in message(tenant=acme).text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2 de 15 partições; 2026-02-01: x", "3 de 16 partições; 2026-03-01: x", True),
        ("execução 1a2b3c4d", "execução 9f8e7d6c", True),
        ("Falta A", "Falta B", False),
    ],
)
def test_counts_and_dates_do_not_make_another_cause(one, other, same):
    assert same_cause(one, other) is same


# When it is tried again


def failed(delivery: Delivery, fate="retry", jitter=1.0) -> Delivery:
    return after_failure(delivery, "não deu", fate, AT, jitter)


def test_a_message_is_tried_after_1_10_and_60_minutes_and_then_given_up():
    delivery = Delivery(incident=incident(), channel="webhook")
    waits = []
    for _ in range(3):
        delivery = failed(delivery)
        waits.append((delivery.next_at - AT) / timedelta(minutes=1))
    assert waits == [1, 10, 60]
    given_up = failed(delivery)
    assert (given_up.told, given_up.next_at, given_up.reason) == (1, None, "não deu")
    assert after_sent(delivery) == Delivery(incident=incident(), channel="webhook", told=1)


def test_a_message_that_nobody_wants_is_dropped_and_a_login_waits_without_an_attempt():
    delivery = Delivery(incident=incident(revision=4), channel="webhook", told=2, attempts=3)
    dropped = failed(delivery, "drop")
    assert (dropped.told, dropped.next_at) == (4, None)
    paused = failed(delivery, "pause")
    assert (paused.told, paused.attempts) == (2, 3)
    assert paused.next_at == AT + timedelta(minutes=60)


@given(st.floats(0.8, 1.2))
def test_waits_are_spread(jitter):
    waited = failed(Delivery(incident=incident(), channel="webhook"), jitter=jitter).next_at - AT
    assert timedelta(seconds=48) <= waited <= timedelta(seconds=72)


# Settings


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"ALERT_EMAILS": "dona@example.com"}, "falta SMTP_HOST"),
        ({"ALERT_EMAILS": "a@b", "SMTP_HOST": "x"}, "SMTP_SENDER_EMAIL falta"),
        (
            {"ALERT_EMAILS": "a@b", "SMTP_HOST": "x", "SMTP_SENDER_EMAIL": "x"},
            "SMTP_SENDER_EMAIL não é um e-mail",
        ),
        ({"ALERT_EMAILS": "dona"}, "ALERT_EMAILS .* 1 de 1"),
        ({"ALERT_EMAILS": "a@b;c@d"}, "ALERT_EMAILS .* 1 de 1"),
        ({"SMTP_PORT": "0"}, "SMTP_PORT precisa ser"),
        ({"SMTP_PORT": "smtp"}, "SMTP_PORT precisa ser"),
        ({"SMTP_SECURE": "sim"}, "SMTP_SECURE precisa ser"),
        ({"SMTP_SECURE": "none", "SMTP_HOST": "mail.example.com"}, "só vale para um SMTP_HOST"),
        ({"ALERT_WEBHOOK_URL": "ftp://x"}, "ALERT_WEBHOOK_URL precisa começar"),
        ({"ALERT_WEBHOOK_URL": "https://x"}, "ALERT_WEBHOOK_SECRET precisa ser"),
    ],
)
def test_a_wrong_alert_setting_is_refused_by_name(environ, named):
    with pytest.raises(SettingsError, match=named) as refused:
        Settings.from_environ(environ)
    assert "@" not in str(refused.value)


@pytest.mark.parametrize(
    ("secure", "port", "expected"),
    [
        ("", "", ("starttls", 587)),
        ("false", "", ("starttls", 587)),
        ("True", "", ("tls", 465)),
        ("true", "2465", ("tls", 2465)),
    ],
)
def test_encryption_decides_the_port_unless_it_is_given(secure, port, expected):
    alerts = Settings.from_environ({"SMTP_SECURE": secure, "SMTP_PORT": port}).alerts
    assert (alerts.smtp_security, alerts.smtp_port) == expected


def test_no_secret_is_in_what_the_settings_show_of_themselves():
    environ = {
        "SMTP_PASSWORD": "senha-canario",
        "ALERT_WEBHOOK_URL": "https://example.com/caminho-secreto",
        "ALERT_WEBHOOK_SECRET": SECRET,
    }
    shown = repr(Settings.from_environ(environ))
    for secret in ("senha-canario", "caminho-secreto", "chave-canario"):
        assert secret not in shown
