"""What is due to be told goes out: the rounds and the sensor share this. No Dagster here."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from crm_assets.automation.alerts import Situation, after_failure, after_sent, same_cause
from crm_assets.plan import source_ages
from crm_assets.settings import AlertSettings, Settings
from crm_assets.slices import zone
from crm_assets.tenants import Tenant
from crm_resources.alerts import EmailSender, Sender, SendError, WebhookSender
from crm_resources.ops import OpsStore

LEASE = timedelta(minutes=5)
"""Longer than any attempt lasts; a message whose sender died is repeated after it."""


def senders(alerts: AlertSettings) -> list[Sender]:
    """The configured ways out."""
    found: list[Sender] = []
    if alerts.emails:
        found.append(
            EmailSender(
                host=alerts.smtp_host,
                port=alerts.smtp_port,
                sender=alerts.sender,
                recipients=alerts.emails,
                security=alerts.smtp_security,
                username=alerts.smtp_username,
                password=alerts.smtp_password,
            )
        )
    if alerts.webhook_url:
        found.append(WebhookSender(alerts.webhook_url, alerts.webhook_key))
    return found


def report(ops: OpsStore, kind: str, subject: str, detail: str, now: datetime) -> None:
    """Keep one open incident with its latest cause; only another cause is news."""
    if ops.open_incident(kind, subject, detail, now):
        return
    known = [i.detail for i in ops.open_incidents() if (i.kind, i.subject) == (kind, subject)]
    if known and known[0] != detail:
        ops.change_incident(kind, subject, detail, news=not same_cause(known[0], detail))


def deliver(settings: Settings, tenant: Tenant, ops: OpsStore) -> list[str]:
    """Tell every channel what it has not been told, and write down what came of it.

    A channel that fails is left until its next attempt.

    Returns:
        One sentence per channel that failed now.
    """
    problems = []
    now = settings.now()
    for sender in senders(settings.alerts):
        while claimed := ops.claim_delivery(sender.channel, now, LEASE):
            situation = Situation(tenant, settings.environment, now, source_ages(ops.loads()))
            try:
                sender.send(situation.message(claimed))
            except SendError as error:
                jitter = random.uniform(0.8, 1.2)  # noqa: S311
                ops.record_delivery(after_failure(claimed, str(error), error.fate, now, jitter))
                problems.append(f"O alerta por {sender.channel} não saiu: {error}.")
                break
            ops.record_delivery(after_sent(claimed))
    return problems


def undelivered(settings: Settings, tenant: Tenant, ops: OpsStore) -> list[str]:
    """What the configured channels could not tell, one sentence per alert."""
    told = []
    for sender in senders(settings.alerts):
        for failed in ops.failed_deliveries(sender.channel, settings.now() - timedelta(days=1)):
            again = "sem nova tentativa"
            if failed.next_at:
                at = failed.next_at.astimezone(zone(tenant))
                again = f"nova tentativa a partir das {at:%H:%M}"
            what = f"{sender.channel} sobre {failed.incident.subject}"
            told.append(f"{what}: {failed.reason}; {again}")
    return told
