"""Figures and an inbox beyond a limit: one open incident each, closed when it is over."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import duckdb
import pytest
from lake import site as site_at

from crm_assets.automation import figures
from crm_assets.automation.alerts import (
    CHURN_HIGH,
    EVENTS_DEAD,
    EVENTS_FAILING,
    POSTS_REFUSED,
    REVENUE_FELL,
    Situation,
)
from crm_assets.gold.snapshot import serving_pointer
from crm_assets.person_rules import Alerts
from crm_assets.settings import Environment
from crm_resources.ops import Delivery, InboxEvent, Incident, Outcome, Refusal

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("rate", "limit", "said"),
    [
        ("0.1", 0.10, None),
        ("0.1001", 0.10, "o churn de 02/2026 foi de 10,0 %, acima de 10,0 %."),
        ("0.25", 0.10, "o churn de 02/2026 foi de 25,0 %, acima de 10,0 %."),
        ("0.25", 0.30, None),
    ],
)
def test_churn_is_told_above_the_limit_only(rate, limit, said):
    assert figures.churn_detail(date(2026, 2, 1), Decimal(rate), limit=limit) == said


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("1000", "900", None),
        ("1000", "899.99", "a receita recorrente caiu 10,0 % em 7 dias."),
        ("1000", "0", "a receita recorrente caiu 100,0 % em 7 dias."),
        ("1000", "2000", None),
        ("0", "0", None),
    ],
)
def test_a_fall_of_revenue_is_told_above_the_limit_only(before, now, said):
    assert figures.fall_detail(Decimal(before), Decimal(now), 7, limit=0.10) == said


def tried(*states):
    return [InboxEvent(kind="hotmart", event_key=str(i), body="", state=s)
            for i, s in enumerate(states)]  # fmt: skip


LIMITS = Alerts(dead_events=2, failed_events=3)


@pytest.mark.parametrize(
    ("states", "kinds"),
    [
        ([], set()),
        (["dead"], set()),
        (["dead", "dead"], {EVENTS_DEAD}),
        (["dead", "processed", "dead", "dead"], set()),
        (["failed", "dead", "dead"], {EVENTS_FAILING}),
        (["dead", "dead", "failed"], {EVENTS_DEAD, EVENTS_FAILING}),
        (["processed", "failed", "failed", "failed"], set()),
    ],
)
def test_only_the_newest_in_a_row_count(states, kinds):
    details = figures.inbox_details(tried(*states), LIMITS)
    assert {kind for kind, detail in details.items() if detail} == kinds


def refusal(count, first, last):
    return Refusal(kind="hotmart", address="192.0.2.1", count=count, first_at=first, last_at=last)


@pytest.mark.parametrize(
    ("refusals", "since", "count"),
    [
        ([], None, 0),
        ([refusal(7, NOW - 3 * HOUR, NOW)], None, 7),
        ([refusal(7, NOW - 3 * HOUR, NOW)], NOW - 4 * HOUR, 7),
        ([refusal(7, NOW - 3 * HOUR, NOW)], NOW - 2 * HOUR, 1),
        ([refusal(7, NOW - 3 * HOUR, NOW - HOUR)], NOW, 0),
        ([refusal(7, NOW - 30 * HOUR, NOW - 25 * HOUR)], None, 0),
        ([refusal(7, NOW, NOW), refusal(2, NOW, NOW)], None, 9),
    ],
)
def test_what_was_refused_since_the_last_accepted_post(refusals, since, count):
    assert figures.refused_since(refusals, since, NOW) == count


def test_refusals_are_told_from_their_limit_on():
    assert figures.refused_detail(19, 20) is None
    assert "20 entregas seguidas" in figures.refused_detail(20, 20)


# What the stores say


@pytest.fixture
def place(tmp_path):
    return site_at(now=NOW, home=tmp_path)


@pytest.fixture
def ops(place):
    return place.ops_store()


def publish(place, churn=(), revenue=()):
    pointer = serving_pointer(place.settings, place.tenant)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    (pointer.parent / "a.duckdb").unlink(missing_ok=True)
    with duckdb.connect(pointer.parent / "a.duckdb") as con:
        con.execute("CREATE SCHEMA gold")
        con.execute(
            "CREATE TABLE gold.churn (grain VARCHAR, period_start DATE, currency VARCHAR, "
            "is_partial BOOLEAN, churn_rate DOUBLE)"
        )
        con.execute(
            "CREATE TABLE gold.subscription_metrics (day DATE, currency VARCHAR, "
            "is_partial BOOLEAN, mrr_net DECIMAL(18, 2))"
        )
        for row in churn:
            con.execute("INSERT INTO gold.churn VALUES (?, ?, ?, ?, ?)", row)
        for row in revenue:
            con.execute("INSERT INTO gold.subscription_metrics VALUES (?, ?, ?, ?)", row)
    pointer.write_text("a.duckdb")


def looked(place, ops):
    figures.note_figures(place.settings, place.tenant, ops)
    return {incident.kind: incident.detail for incident in ops.open_incidents()}


def month(start, rate, *, book="home", partial=False, grain="month"):
    return [grain, start, book, partial, rate]


def test_the_last_closed_month_of_the_house_counts(place, ops):
    rows = [
        month("2026-01-01", 0.5),
        month("2026-02-01", 0.2),
        month("2026-03-01", 0.9, partial=True),
        month("2026-02-01", 0.9, book="USD"),
        month("2026-03-02", 0.9, grain="week"),
    ]
    publish(place, churn=rows)
    assert looked(place, ops) == {CHURN_HIGH: "o churn de 02/2026 foi de 20,0 %, acima de 10,0 %."}
    publish(place, churn=[*rows, month("2026-03-01", 0.01)])
    assert looked(place, ops) == {}


def test_revenue_is_compared_with_that_of_seven_days_before(place, ops):
    days = [(date(2026, 3, 14) - timedelta(days=age), value) for age, value in
            [(0, "80"), (6, "81"), (7, "100"), (8, "500")]]  # fmt: skip
    rows = [[day, "home", False, value] for day, value in days]
    publish(place, revenue=[*rows, [date(2026, 3, 15), "home", True, "1"]])
    assert looked(place, ops) == {REVENUE_FELL: "a receita recorrente caiu 20,0 % em 7 dias."}
    publish(place, revenue=[[day, "home", False, "100"] for day, _ in days])
    assert looked(place, ops) == {}


def test_without_figures_nothing_is_opened_and_nothing_closed(place, ops):
    ops.open_incident(CHURN_HIGH, "churn", "alto", NOW)
    assert looked(place, ops) == {CHURN_HIGH: "alto"}
    publish(place)
    assert looked(place, ops) == {CHURN_HIGH: "alto"}
    publish(place, revenue=[[date(2026, 3, 14), "home", False, "80"]])
    assert looked(place, ops) == {CHURN_HIGH: "alto"}


def test_an_inbox_that_fails_is_one_incident_until_it_works_again(place, ops):
    posted = {"kind": "hotmart", "body": "{}", "received_at": NOW}
    ops.receive([InboxEvent(event_key=str(number), **posted) for number in range(5)])
    numbers = [event.id for event in ops.events()]
    for _ in range(3):
        ops.settle([Outcome(id=number, state="failed", error="x") for number in numbers], NOW)
    for _ in range(2):
        figures.note_inbox(place.settings, place.tenant, ops)
    assert [incident.kind for incident in ops.open_incidents()] == [EVENTS_DEAD]
    ops.retry_events()
    ops.settle([Outcome(id=numbers[0], state="processed")], NOW)
    figures.note_inbox(place.settings, place.tenant, ops)
    assert ops.open_incidents() == []


def test_a_webhook_that_refuses_everything_is_told_and_closed(place, ops):
    ops.count_refusals("hotmart", {"192.0.2.1": 25}, NOW)
    figures.note_inbox(place.settings, place.tenant, ops)
    assert [incident.kind for incident in ops.open_incidents()] == [POSTS_REFUSED]
    event = InboxEvent(kind="hotmart", event_key="1", body="{}", received_at=NOW)
    ops.receive([event])
    figures.note_inbox(place.settings, place.tenant, ops)
    assert ops.open_incidents() == []


@pytest.mark.parametrize(
    ("kind", "title", "remedy"),
    [
        (CHURN_HIGH, "Passou do limite o churn mensal", "crm report subscriptions"),
        (REVENUE_FELL, "Passou do limite a queda da receita", "crm report subscriptions"),
        (EVENTS_DEAD, "Falhou a leitura de eventos", "crm events list"),
        (EVENTS_FAILING, "Falhou a leitura de eventos", "crm events retry"),
        (POSTS_REFUSED, "Falhou a entrada de eventos (webhook)", "HOTMART_WEBHOOK_TOKEN"),
    ],
)
@pytest.mark.parametrize("closed_at", [None, NOW])
def test_each_is_told_in_words(place, kind, title, remedy, closed_at):
    incident = Incident(
        id=1, kind=kind, subject=figures.SUBJECTS[kind], detail="motivo.", opened_at=NOW,
        closed_at=closed_at, revision=1,
    )  # fmt: skip
    situation = Situation(place.tenant, Environment.PRD, NOW, {"hotmart_transactions": NOW})
    told = situation.message(Delivery(incident=incident, channel="e-mail")).text
    assert "Causa: motivo." in told
    if closed_at:
        assert told.startswith("Resolvido: ")
        assert "O que fazer: nada." in told
    else:
        assert told.startswith(title)
        assert remedy in told


def test_the_limits_are_the_tenants():
    from crm_assets.settings import SettingsError
    from crm_assets.tenants import build_tenant_model

    made = build_tenant_model("default", {"alerts": {"max_monthly_churn": 0.05}}, {})
    assert made.alerts.max_monthly_churn == 0.05
    with pytest.raises(SettingsError, match=r"tenants\.default\.alerts\.max_mrr_fall"):
        build_tenant_model("default", {"alerts": {"max_mrr_fall": 10}}, {})
