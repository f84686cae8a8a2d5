"""Watching the figures and the inbox: what is beyond a limit of the tenant is an open incident.

The rules are pure; what they are told comes from the serving snapshot and the operations store
(rules 6.6). Who is told, and how, is in `notify.py`. No Dagster here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb

from crm_assets.automation.alerts import (
    CHURN_HIGH,
    EVENTS_DEAD,
    EVENTS_FAILING,
    POSTS_REFUSED,
    REVENUE_FELL,
)
from crm_assets.automation.notify import report
from crm_assets.gold.snapshot import NothingPublished, has_table, open_snapshot
from crm_assets.person_rules import Alerts
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_assets.words import counted
from crm_resources.ops import InboxEvent, OpsStore, Refusal

SUBJECTS = {
    CHURN_HIGH: "churn",
    REVENUE_FELL: "receita recorrente",
    EVENTS_DEAD: "eventos",
    EVENTS_FAILING: "eventos",
    POSTS_REFUSED: "webhook",
}
"""One incident is open of each kind; this is its subject."""

HOUSE = "home"
"""The book of the whole house in `gold.churn` and `gold.subscription_metrics`."""


def note_figures(settings: Settings, tenant: Tenant, ops: OpsStore) -> None:
    """Open or close the incidents about churn and recurring revenue.

    Where nothing is published, or nothing can be said, incidents stay as they are.
    """
    try:
        with open_snapshot(settings, tenant) as connection:
            churn, revenue = _churn(connection), _revenue(connection, tenant.alerts.mrr_days)
    except (NothingPublished, duckdb.Error):
        return
    now = settings.now()
    if churn is not None:
        _keep(ops, CHURN_HIGH, churn_detail(*churn, limit=tenant.alerts.max_monthly_churn), now)
    if revenue is not None:
        _keep(ops, REVENUE_FELL, fall_detail(*revenue, limit=tenant.alerts.max_mrr_fall), now)


def note_inbox(settings: Settings, tenant: Tenant, ops: OpsStore) -> None:
    """Open or close the incidents about events that fail, and about posts that are refused."""
    now, limits = settings.now(), tenant.alerts
    longest = max(limits.dead_events, limits.failed_events)
    ended = ops.events(states=("processed", "ignored", "failed", "dead"), limit=longest)
    for kind, detail in inbox_details(ended, limits).items():
        _keep(ops, kind, detail, now)
    accepted = ops.events(limit=1)
    since = accepted[0].received_at if accepted else None
    refused = refused_since(ops.refusals(), since, now)
    _keep(ops, POSTS_REFUSED, refused_detail(refused, limits.refused_posts), now)


def churn_detail(month: date, rate: Decimal, *, limit: float) -> str | None:
    """What is wrong with the churn of a closed month; None when nothing is.

    Args:
        month: its first day.
        rate: share of the subscriptions at its beginning, 0 to 1.
        limit: the same, from the tenant.
    """
    if rate <= Decimal(str(limit)):
        return None
    return f"o churn de {month:%m/%Y} foi de {_percent(rate)}, acima de {_percent(limit)}."


def fall_detail(before: Decimal, now: Decimal, days: int, *, limit: float) -> str | None:
    """What is wrong with the recurring revenue; None when nothing is.

    Args:
        before: a month's revenue so many days ago.
        now: the same at the end of yesterday.
        days: how many.
        limit: largest share that may be lost.
    """
    if before <= 0:
        return None
    fall = (before - now) / before
    if fall <= Decimal(str(limit)):
        return None
    return f"a receita recorrente caiu {_percent(fall)} em {counted(days, 'dia')}."


def inbox_details(ended: Sequence[InboxEvent], limits: Alerts) -> dict[str, str | None]:
    """What is wrong with the newest events that were tried, by kind of incident; None is good.

    Args:
        ended: tried events, the newest first.
        limits: of the tenant.
    """

    def all_so(states: set[str], count: int) -> bool:
        return len(ended) >= count and all(event.state in states for event in ended[:count])

    dead, failing = limits.dead_events, limits.failed_events
    return {
        EVENTS_DEAD: (
            f"{_in_a_row(dead, 'foi abandonado', 'foram abandonados')} depois de 3 tentativas."
            if all_so({"dead"}, dead)
            else None
        ),
        EVENTS_FAILING: (
            f"{_in_a_row(failing, 'falhou', 'falharam')}."
            if all_so({"failed", "dead"}, failing)
            else None
        ),
    }


def refused_since(refusals: Sequence[Refusal], since: datetime | None, now: datetime) -> int:
    """How many posts were refused after the last accepted one; none once a day was quiet.

    Of a sender who was refused before as well only the last one counts for sure.

    Args:
        refusals: how many by sender.
        since: when the last accepted one came.
        now: the present.
    """
    return sum(
        refusal.count if since is None or refusal.first_at > since else 1
        for refusal in refusals
        if now - refusal.last_at < timedelta(days=1) and (since is None or refusal.last_at > since)
    )


def refused_detail(refused: int, limit: int) -> str | None:
    """What is wrong with the posts refused since the last accepted one; None when nothing is.

    Args:
        refused: how many.
        limit: so many are an incident.
    """
    if refused < limit:
        return None
    told = counted(
        refused,
        "entrega do webhook foi recusada",
        "entregas seguidas do webhook foram recusadas",
    )
    return f"{told} por falta do token certo."


def _in_a_row(count: int, one: str, many: str) -> str:
    """So many events that all ended so."""
    return counted(count, f"evento {one}", f"eventos seguidos {many}")


def _keep(ops: OpsStore, kind: str, detail: str | None, now: datetime) -> None:
    if detail:
        report(ops, kind, SUBJECTS[kind], detail, now)
    else:
        ops.close_incident(kind, SUBJECTS[kind], now)


def _churn(connection: duckdb.DuckDBPyConnection) -> tuple[date, Decimal] | None:
    """The last closed month that has a rate."""
    if not has_table(connection, "gold.churn"):
        return None
    found = connection.execute(_LAST_CHURN, [HOUSE]).fetchall()
    return (found[0][0], Decimal(str(found[0][1]))) if found else None


def _revenue(
    connection: duckdb.DuckDBPyConnection, days: int
) -> tuple[Decimal, Decimal, int] | None:
    """The recurring revenue of the last closed day, and of so many days before."""
    if not has_table(connection, "gold.subscription_metrics"):
        return None
    found = connection.execute(_LAST_REVENUE, {"book": HOUSE, "days": days}).fetchall()
    if not found or None in found[0]:
        return None
    before, now = (Decimal(str(value)) for value in found[0])
    return before, now, days


def _percent(share: Decimal | float) -> str:
    return f"{100 * float(share):.1f} %".replace(".", ",")


_LAST_CHURN = """
    SELECT period_start, churn_rate FROM gold.churn
    WHERE grain = 'month' AND currency = ? AND NOT is_partial AND churn_rate IS NOT NULL
    ORDER BY period_start DESC LIMIT 1
"""
_LAST_REVENUE = """
    WITH closed AS (
        SELECT day, mrr_net FROM gold.subscription_metrics
        WHERE currency = $book AND NOT is_partial
    )
    SELECT (SELECT mrr_net FROM closed WHERE day = last_day - $days::INTEGER),
           (SELECT mrr_net FROM closed WHERE day = last_day)
    FROM (SELECT max(day) AS last_day FROM closed)
"""
