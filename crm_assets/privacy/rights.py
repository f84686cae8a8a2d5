"""The register of what people ask under the LGPD (arts. 18 and 19; rules 7.6). No Dagster here.

A request is what the action log says of it: opened, identity checked, closed. Nothing else is kept,
so that the register cannot be rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from crm_assets.slices import zone
from crm_assets.tenants import Tenant
from crm_resources.ops import Action, OpsStore

OPENED, CHECKED, CLOSED = "request_opened", "request_checked", "request_closed"

ERASURE = "eliminacao"

TYPES = {
    "acesso": "quer saber e receber o que há sobre si",
    "correcao": "quer corrigir um dado",
    ERASURE: "quer que os dados sejam apagados",
    "portabilidade": "quer levar os dados a outro fornecedor",
    "revogacao": "retira um consentimento",
    "oposicao": "não quer mais um uso dos dados",
    "informacao": "quer saber com quem os dados são compartilhados",
}
"""What can be asked (art. 18), and what it means."""

NEEDS_IDENTITY = frozenset({"acesso", "correcao", ERASURE, "portabilidade"})
"""Nobody's data is shown, changed or erased before it is known who asks."""

OUTCOMES = {
    "atendido": "feito o que a pessoa pediu",
    "sem_dados": "não há nada sobre a pessoa",
    "recusado": "não pode ser atendido, com o motivo",
    "desistencia": "a pessoa desistiu",
}
"""How a request can end."""


class RequestError(RuntimeError):
    """What the register cannot take; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request and where it stands.

    Attributes:
        number: its number in the tenant's register.
        type: one of `TYPES`.
        channel: how it came, in words.
        received_on: the day it came, on the tenant's calendar.
        due_on: the last day to answer.
        customer_id: whose, when the person is known.
        email_key: the e-mail it names.
        phone_key: the phone it names.
        checked_at: when the identity was confirmed.
        how: how it was confirmed.
        closed_at: when it ended.
        outcome: one of `OUTCOMES`.
        note: what else is to be said of the end.
    """

    number: int
    type: str
    channel: str
    received_on: date
    due_on: date
    customer_id: str | None = None
    email_key: str | None = field(default=None, repr=False)
    phone_key: str | None = field(default=None, repr=False)
    checked_at: datetime | None = None
    how: str | None = None
    closed_at: datetime | None = None
    outcome: str | None = None
    note: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.closed_at is None

    def is_overdue(self, today: date) -> bool:
        """Whether the last day to answer has passed without an answer."""
        return self.is_open and today > self.due_on


def register(log: pl.DataFrame, tenant: Tenant) -> list[Request]:
    """The requests of a tenant, in the order of their numbers.

    Args:
        log: actions as `OpsStore.actions` gives them.
        tenant: whose; its settings say how long an answer may take.
    """
    told = log.filter(pl.col("kind").is_in([OPENED, CHECKED, CLOSED])).sort("id")
    requests: dict[int, Request] = {}
    for action in told.iter_rows(named=True):
        payload: dict[str, Any] = json.loads(action["payload"] or "{}")
        number = payload.get("request")
        if number is None:
            continue
        if action["kind"] == OPENED and number not in requests:
            requests[number] = _opened(action, payload, tenant)
        elif number in requests and requests[number].is_open:
            requests[number] = replace(requests[number], **_learnt(action, payload))
    return [requests[number] for number in sorted(requests)]


def overdue(requests: Iterable[Request], today: date) -> list[Request]:
    """Those whose last day has passed without an answer, the oldest first."""
    return sorted((r for r in requests if r.is_overdue(today)), key=lambda r: (r.due_on, r.number))


def open_request(
    ops: OpsStore,
    tenant: Tenant,
    *,
    type: str,
    channel: str,
    received_on: date,
    customer_id: str | None = None,
    email_key: str | None = None,
    phone_key: str | None = None,
    actor: str,
    at: datetime,
) -> Request:
    """Enter a request under the next free number.

    Args:
        ops: the tenant's operations store.
        tenant: whose.
        type: one of `TYPES`.
        channel: how it came.
        received_on: the day it came; not after `at`.
        customer_id: whose, when the person is known.
        email_key: the e-mail it names.
        phone_key: the phone it names.
        actor: who enters it.
        at: now.

    Raises:
        RequestError: it would come from the future.
    """
    if received_on > at.astimezone(zone(tenant)).date():
        raise RequestError(f"O pedido não pode ter chegado em {received_on:%d/%m/%Y}, no futuro.")
    payload = {"type": type, "channel": channel, "received_on": received_on.isoformat()}
    number = len(register(ops.actions(), tenant)) + 1
    while not ops.append_actions(
        [
            Action(
                kind=OPENED,
                idempotency_key=f"{OPENED}:{number}",
                customer_id=customer_id,
                email_key=email_key,
                phone_key=phone_key,
                payload={"request": number, **payload},
                actor=actor,
                at=at,
            )
        ]
    ):
        number += 1  # somebody else was faster
    return find(ops, tenant, number)


def check_request(
    ops: OpsStore, tenant: Tenant, number: int, *, how: str, actor: str, at: datetime
) -> Request:
    """Note that the person who asks is the person concerned, and how that is known.

    Raises:
        RequestError: there is no such open request.
    """
    _still_open(ops, tenant, number)
    _tell(ops, CHECKED, number, {"how": how}, actor, at)
    return find(ops, tenant, number)


def close_request(
    ops: OpsStore,
    tenant: Tenant,
    number: int,
    *,
    outcome: str,
    note: str | None,
    actor: str,
    at: datetime,
) -> Request:
    """End a request.

    Raises:
        RequestError: there is no such open request, its identity check is missing, or a refusal
            has no reason.
    """
    request = _still_open(ops, tenant, number)
    if outcome == "atendido" and request.type in NEEDS_IDENTITY and request.checked_at is None:
        raise RequestError(
            f"O pedido {number} ({request.type}) não teve a identidade conferida: "
            f"`crm customers request check {number} --how …`."
        )
    if outcome == "recusado" and not note:
        raise RequestError("Uma recusa precisa do motivo: diga-o com --note.")
    _tell(ops, CLOSED, number, {"outcome": outcome, "note": note}, actor, at)
    return find(ops, tenant, number)


def find(ops: OpsStore, tenant: Tenant, number: int) -> Request:
    """The request of a number.

    Raises:
        RequestError: there is none.
    """
    found = [r for r in register(ops.actions(), tenant) if r.number == number]
    if not found:
        raise RequestError(f"Não há pedido {number} no registro.")
    return found[0]


def _still_open(ops: OpsStore, tenant: Tenant, number: int) -> Request:
    request = find(ops, tenant, number)
    if request.closed_at:
        closed_on = request.closed_at.astimezone(zone(tenant))
        raise RequestError(f"O pedido {number} foi encerrado em {closed_on:%d/%m/%Y}.")
    return request


def _tell(
    ops: OpsStore, kind: str, number: int, more: Mapping[str, object], actor: str, at: datetime
) -> None:
    ops.append_actions(
        [
            Action(
                kind=kind,
                idempotency_key=f"{kind}:{number}:{at.isoformat()}",
                payload={"request": number, **more},
                actor=actor,
                at=at,
            )
        ]
    )


def _opened(action: Mapping[str, Any], payload: Mapping[str, Any], tenant: Tenant) -> Request:
    received_on = date.fromisoformat(payload["received_on"])
    return Request(
        number=payload["request"],
        type=payload["type"],
        channel=payload.get("channel", ""),
        received_on=received_on,
        due_on=received_on + timedelta(days=tenant.privacy.due_days),
        customer_id=action["customer_id"],
        email_key=action["email_key"],
        phone_key=action["phone_key"],
    )


def _learnt(action: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any]:
    if action["kind"] == CHECKED:
        return {"checked_at": action["at"], "how": payload.get("how")}
    return {
        "closed_at": action["at"],
        "outcome": payload["outcome"],
        "note": payload.get("note"),
    }
