"""Which alert is due and what it says: pure, nothing here reads a store or a clock.

An alert leaves the house, so that it holds no personal data, no secret and no file name (rules 6.6,
reference/gold-metrics.md 12): what failed, since when, what that does to the numbers, what to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

from crm_assets.bronze.event_bodies import NOVELTY
from crm_assets.plan import SOURCES_OF, daily_instant
from crm_assets.settings import Environment
from crm_assets.slices import zone
from crm_assets.tenants import Tenant
from crm_resources.alerts import Fate, Message
from crm_resources.ops import Delivery, Incident

RUN_FAILED = "run_failed"
DAILY_LATE = "daily_late"
REQUEST_OVERDUE = "request_overdue"
CHURN_HIGH, REVENUE_FELL = "churn_high", "revenue_fell"
EVENTS_DEAD, EVENTS_FAILING, POSTS_REFUSED = "events_dead", "events_failing", "posts_refused"
NOTICES = frozenset({NOVELTY, CHURN_HIGH, REVENUE_FELL})
"""Kinds of incident in which nothing failed: they tell of the business, or of something new."""

DAILY = "daily"
"""Subject of the only incident of kind `DAILY_LATE`."""

LATE_AFTER = timedelta(hours=3)
RETRY_MINUTES = (1, 10, 60)
PAUSE_MINUTES = 60

_STAGES = {
    "hotmart": "a leitura das vendas da Hotmart",
    "subscriptions": "a leitura das assinaturas da Hotmart",
    "events": "a leitura dos eventos que a Hotmart e o ManyChat mandaram",
    "manychat": "a importação dos contatos do ManyChat",
    "actions": "a leitura das decisões (pedidos para sair, lotes)",
    "refine": "a atualização do cadastro, dos públicos e do lote do dia",
    "hotmart_csv": "a importação das vendas exportadas da Hotmart",
    "retention": "a limpeza do que passou do prazo de guarda",
    "cleanup": "a limpeza mensal dos eventos antigos",
    "backup": "a cópia de segurança do dia",
    "access": "a revisão dos acessos que vencem",
    "churn": "a análise semanal do churn",
    "identity_audit": "a conferência semanal da identidade",
    DAILY: "a rodada diária, que não terminou bem em 3 horas",
}
_KINDS = {
    CHURN_HIGH: "o churn mensal das assinaturas",
    REVENUE_FELL: "a queda da receita recorrente",
    NOVELTY: "nomes que a Hotmart manda em eventos e o programa não conhece",
    EVENTS_DEAD: "a leitura de eventos da Hotmart, que ficaram para trás",
    EVENTS_FAILING: "a leitura de eventos da Hotmart",
    POSTS_REFUSED: "a entrada de eventos (webhook)",
}
_HAPPENED = {
    NOVELTY: "Apareceram",
    REQUEST_OVERDUE: "Venceu",
    CHURN_HIGH: "Passou do limite",
    REVENUE_FELL: "Passou do limite",
}
_NO_EFFECT = "nenhum."
_BUSINESS = "nenhum: eles estão certos, e o aviso é sobre o negócio."
_UNREAD = "o que estes eventos dizem falta até serem lidos, ou até a leitura diária."
_EFFECTS = {
    REQUEST_OVERDUE: _NO_EFFECT,
    CHURN_HIGH: _BUSINESS,
    REVENUE_FELL: _BUSINESS,
    NOVELTY: "nenhum: o que é novo fica guardado, mas nada se faz com ele.",
    EVENTS_DEAD: _UNREAD,
    EVENTS_FAILING: _UNREAD,
    POSTS_REFUSED: "o que foi recusado não entrou; a leitura diária traz vendas, não carrinhos.",
}
_FIGURES = "`uv run crm report subscriptions{of}` mostra os números por mês."
_EVENTS = (
    "`uv run crm events list{of}` mostra o motivo; `uv run crm events retry{of}` tenta de novo; "
    "docs/webhooks.md."
)
_REMEDIES = {
    REQUEST_OVERDUE: "responda à pessoa; `uv run crm customers request list --open{of}`.",
    CHURN_HIGH: _FIGURES,
    REVENUE_FELL: _FIGURES,
    NOVELTY: "atualize o programa; se o nome for um evento de venda, avise quem o mantém.",
    EVENTS_DEAD: _EVENTS,
    EVENTS_FAILING: _EVENTS,
    POSTS_REFUSED: "confira o hottok em HOTMART_WEBHOOK_TOKEN; docs/webhooks.md.",
}
_HOUSEKEEPING = {
    "retention": "customers retention",
    "cleanup": "cleanup",
    "backup": "backup",
    "churn": "report churn",
}
"""Stages without a source, and the command that does the same."""

_FILES = {"manychat", "hotmart_csv"}
_PRIVATE = re.compile(
    r"[^\s@]+@[^\s@]+"  # an e-mail
    r"|\d{8,}|\d{4,5}-\d{4}|\d{3}\.\d{3}\.\d{3}-\d{2}"  # a phone or a document
    r"|(?<![\w:/])/[^\s'\",;:)]+"  # a path of this machine
)
_WITH_NUMBER = re.compile(r"\w*\d\w*")


def is_late(now: datetime, due_at: datetime, last_green: datetime | None) -> bool:
    """Whether the daily round of `due_at` is not green three hours after its time (rules 6.6)."""
    return now >= due_at + LATE_AFTER and (last_green is None or last_green < due_at)


def last_due(tenant: Tenant, schedule_time: time, until: datetime) -> datetime:
    """The latest instant of a daily round that is not after `until`."""
    day = until.astimezone(zone(tenant)).date()
    today = daily_instant(tenant, schedule_time, day)
    if today <= until:
        return today
    return daily_instant(tenant, schedule_time, day - timedelta(days=1))


def next_due(tenant: Tenant, schedule_time: time, after: datetime) -> datetime:
    """The first instant of a daily round after `after`."""
    day = after.astimezone(zone(tenant)).date()
    today = daily_instant(tenant, schedule_time, day)
    if today > after:
        return today
    return daily_instant(tenant, schedule_time, day + timedelta(days=1))


def late_detail(tenant: Tenant, due_at: datetime) -> str:
    """The cause of a late round, in words."""
    return f"a rodada de {_local(tenant, due_at)} não terminou bem."


def same_cause(one: str, other: str) -> bool:
    """Whether two sentences name one cause: counts, dates and run ids do not tell them apart."""
    return _WITH_NUMBER.sub("#", one) == _WITH_NUMBER.sub("#", other)


def after_sent(delivery: Delivery) -> Delivery:
    """A delivery whose message arrived."""
    told = delivery.incident.revision
    return replace(delivery, told=told, attempts=0, next_at=None, reason=None)


def after_failure(
    delivery: Delivery, reason: str, fate: Fate, now: datetime, jitter: float
) -> Delivery:
    """A delivery whose message did not arrive (rules 6.5).

    Args:
        delivery: as it was claimed.
        reason: why, one sentence.
        fate: whether to try again; `pause` waits for a person and uses no attempt up.
        now: the present.
        jitter: factor on the wait, 0.8 to 1.2.
    """
    if fate == "pause":
        wait = timedelta(minutes=PAUSE_MINUTES * jitter)
        return replace(delivery, next_at=now + wait, reason=reason)
    if fate == "drop" or delivery.attempts >= len(RETRY_MINUTES):
        given_up = after_sent(delivery)
        return replace(given_up, reason=reason)
    wait = timedelta(minutes=RETRY_MINUTES[delivery.attempts] * jitter)
    return replace(delivery, attempts=delivery.attempts + 1, next_at=now + wait, reason=reason)


def age(now: datetime, at: datetime | None) -> str:
    """How long ago, in the unit that says most."""
    if at is None:
        return "nunca lida"
    minutes = int((now - at).total_seconds() // 60)
    if minutes < 60:
        return f"{max(minutes, 0)} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} dias"


@dataclass(frozen=True)
class Situation:
    """What an alert needs to know beside its incident.

    Attributes:
        tenant: whose.
        environment: where.
        now: the present.
        ages: last landing by source of the loads ledger.
    """

    tenant: Tenant
    environment: Environment
    now: datetime
    ages: Mapping[str, datetime | None]

    def message(self, delivery: Delivery) -> Message:
        """The message of an incident as it stands: opened, changed or closed."""
        incident = delivery.incident
        event = "closed" if incident.closed_at else "changed" if delivery.told else "opened"
        title = {
            "opened": f"{_happened(incident)} {_what(incident)}",
            "changed": f"{_went_on(incident)}: {_what(incident)}",
            "closed": f"Resolvido: {_what(incident)}",
        }[event]
        lines = [
            f"{title}.",
            f"Causa: {_cause(incident)}",
            f"Desde: {self._local(incident.opened_at)}"
            + (f", até {self._local(incident.closed_at)}" if incident.closed_at else ""),
            f"Efeito nos números: {self._effect(incident)}",
            f"O que fazer: {self._remedy(incident)}",
            f"Empresa: {self.tenant.name} ({self.tenant.slug})",
            f"Ambiente: {self.environment}",
        ]
        return Message(
            id=_message_id(self.environment, self.tenant, delivery),
            kind=f"alert.{event}",
            subject=f"[CRM {self.environment}, {self.tenant.name}] {title}",
            text="\n".join(lines) + "\n",
            data={
                "tenant": self.tenant.slug,
                "environment": str(self.environment),
                "incident": incident.id,
                "kind": incident.kind,
                "stage": incident.subject,
                "opened_at": incident.opened_at.isoformat(),
                "closed_at": incident.closed_at.isoformat() if incident.closed_at else None,
                "sources": {
                    source: at.isoformat() if at else None for source, at in self.ages.items()
                },
            },
        )

    def _effect(self, incident: Incident) -> str:
        known = _EFFECTS.get(incident.kind)
        if incident.subject in _HOUSEKEEPING or (known and incident.closed_at):
            return _NO_EFFECT
        if known or incident.closed_at:
            return known or "voltaram a ser atualizados."
        stale = SOURCES_OF.get(incident.subject, tuple(self.ages))
        told = ", ".join(f"{name} ({age(self.now, self.ages.get(name))})" for name in stale)
        if incident.subject in SOURCES_OF:
            return f"usam o que já tinha sido lido; última leitura: {told}."
        return f"ficam como na última rodada boa; última leitura de cada fonte: {told}."

    def _remedy(self, incident: Incident) -> str:
        if incident.closed_at:
            return "nada."
        of = "" if self.tenant.slug == "default" else f" --tenant {self.tenant.slug}"
        if known := _REMEDIES.get(incident.kind):
            return known.format(of=of)
        status = f"`uv run crm status{of}` mostra o motivo"
        run = f"`uv run crm run{of}` tenta de novo"
        guide = "docs/operating.md#when-something-fails"
        if incident.subject in _HOUSEKEEPING:
            command = f"`uv run crm {_HOUSEKEEPING[incident.subject]}{of}`"
            return f"{status}; {command} tenta de novo; {guide}."
        if incident.subject in {"hotmart", "subscriptions"}:
            return f"`uv run crm doctor{of}` confere credenciais e conexão; {run}; {guide}."
        if incident.kind == DAILY_LATE:
            return f"confira se `uv run crm dev` está de pé; {run}; {guide}."
        return f"{status}; {run}; {guide}."

    def _local(self, at: datetime) -> str:
        return _local(self.tenant, at)


def trial_message(tenant: Tenant, environment: Environment, now: datetime) -> Message:
    """What `crm alerts test` sends."""
    return Message(
        id=f"msg_{environment}_{tenant.slug}_test_{now:%Y%m%d%H%M%S%f}",
        kind="alert.test",
        subject=f"[CRM {environment}, {tenant.name}] Teste de alerta",
        text=(
            "Este é um teste: nada falhou, e os alertas chegam até aqui.\n"
            f"Empresa: {tenant.name} ({tenant.slug})\nAmbiente: {environment}\n"
        ),
        data={"tenant": tenant.slug, "environment": str(environment)},
    )


def told_of(incident: Incident) -> str:
    """An incident on one line, for the people of the house."""
    if incident.kind == NOVELTY:
        return f"o programa não conhece nomes que a Hotmart manda: {incident.detail}"
    return f"{incident.subject}: {incident.detail}"


def _went_on(incident: Incident) -> str:
    return "Mudou" if incident.kind in NOTICES else "Continua a falhar, por outra causa"


def _happened(incident: Incident) -> str:
    return _HAPPENED.get(incident.kind, "Falhou")


def _what(incident: Incident) -> str:
    if incident.kind == REQUEST_OVERDUE:
        return f"o prazo de resposta do {incident.subject} de um titular (LGPD)"
    known = _KINDS.get(incident.kind)
    return known or _STAGES.get(incident.subject, f"a etapa {incident.subject}")


def _cause(incident: Incident) -> str:
    """The cause without what may not leave the house; a refused file's reason stays at home."""
    if incident.subject in _FILES:
        return "um arquivo ou a planilha foi recusado ou não pôde ser lido."
    return _PRIVATE.sub("…", incident.detail)


def _message_id(environment: Environment, tenant: Tenant, delivery: Delivery) -> str:
    incident = delivery.incident
    return f"msg_{environment}_{tenant.slug}_{incident.id}_{incident.revision}"


def _local(tenant: Tenant, at: datetime) -> str:
    return f"{at.astimezone(zone(tenant)):%d/%m/%Y %H:%M}"
