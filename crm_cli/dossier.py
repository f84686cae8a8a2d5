"""What an operator's screen shows of a person, of decisions and of their effect: lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crm_assets.silver.stewardship import KEY_NAMES, Decision, in_force
from crm_assets.tenants import Tenant
from crm_assets.words import FIELD_NAMES, KEY_REASONS, counted
from crm_cli.console import local

if TYPE_CHECKING:
    from crm_assets.gold.deciding import Effect
    from crm_assets.silver.explain import Profile

MOST = 20
"""Lines of one kind that are shown; --json has all of them."""

_GOLDEN = FIELD_NAMES | {
    "segment": "segmento",
    "orders": "compras",
    "last_purchase_at": "última compra",
    "last_contact_at": "último contato",
    "blocked_channels": "canais recusados",
}
_EVENTS = {
    "mint": "criado",
    "split": "separado de outro",
    "merge": "unido a",
    "revive": "voltou",
    "retire": "ficou sem registros",
}


def profile_told(profile: Profile, groups: Sequence[Sequence[str]]) -> dict[str, object]:
    """Everything of a person for JSON; see `profile_lines`."""
    from crm_assets.silver.explain import chain_text

    why = [chain_text(path) for path in profile.why]
    decisions = [asdict(one) for one in profile.decisions]
    return {**vars(profile), "why": why, "decisions": decisions, "groups": groups}


def profile_lines(profile: Profile, groups: Sequence[Sequence[str]]) -> list[str]:
    """Everything of a person: fields, records, why they are one, origins, history, findings.

    Args:
        profile: the person.
        groups: the references that only a phone holds together; one group for one person.
    """
    from crm_assets.gold.review import FINDINGS

    return [
        profile.customer_id,
        *_indented(
            f"{label}: {_value(value)}"
            for name, label in _GOLDEN.items()
            if (value := profile.golden.get(name)) not in (None, [], "")
        ),
        f"Registros ({len(profile.records)}):",
        *_indented(_record(record) for record in profile.records),
        *_why(profile, groups),
        "De onde vem cada campo:",
        *_indented(_origin(origin) for origin in profile.origins),
        "História do identificador:",
        *_indented(_event(event) for event in profile.history),
        *_section(
            "Chaves que não unem ninguém, ou só em parte:",
            (
                f"{KEY_NAMES[one['kind']]} {one['key']} {KEY_REASONS[one['reason']]} "
                f"({counted(one['records'], 'registro')})"
                for one in profile.unjoining
            ),
        ),
        *_section(
            "Para olhar:",
            (
                f"{FINDINGS[one['finding']][0]} {one['key'] or ''}".rstrip()
                for one in profile.findings
            ),
        ),
        *_section("Decisões em vigor:", (decision_line(one) for one in profile.decisions)),
    ]


def decision_line(decision: Decision) -> str:
    """A decision, who took it and why."""
    return f"{decision.id}: {decision.told()} ({decision.actor}: {decision.reason})"


def listed(tenant: Tenant, taken: Sequence[Decision]) -> list[dict[str, object]]:
    """Number, standing, time, author, reason and words of each decision, the newest first."""
    holding = {decision.id for decision in in_force(taken)}
    return [
        {
            "decisão": one.id,
            "situação": _standing(one, holds=one.id in holding),
            "quando": local(tenant, one.at),
            "quem": one.actor,
            "motivo": one.reason,
            "parte da": one.part_of,
            "diz": one.told(),
        }
        for one in reversed(taken)
    ]


def listed_lines(row: Mapping[str, object]) -> tuple[str, str]:
    """One decision of the list, in two lines."""
    part = f", parte da {row['parte da']}" if row["parte da"] else ""
    head = f"{row['decisão']} {row['situação']}{part}: {row['quando']}, {row['quem']}"
    return f"{head}: {row['motivo']}", f"  {row['diz']}"


def effect_lines(effect: Effect) -> list[str]:
    """Customers before and after a decision: created, merged, split, moved."""
    if not effect.events and not effect.moves:
        return ["Nenhum cliente mudaria."]

    def told(event: str, customer: str, survivor: str | None) -> str:
        before, after = effect.sizes.get(customer, (0, 0))
        if event == "merge":
            return (
                f"{customer} ({counted(before, 'registro')}) → unido a {survivor}, "
                f"que fica com {effect.sizes.get(survivor or '', (0, 0))[1]}"
            )
        return f"{customer} → {_EVENTS[event]}: {counted(before, 'registro')} antes, {after} depois"

    moved = (f"{ref}: {old or 'ninguém'} → {new or 'ninguém'}" for ref, old, new in effect.moves)
    return [
        "Clientes antes → depois:",
        *_indented(told(*event) for event in effect.events),
        f"Registros que mudam de cliente ({len(effect.moves)}):",
        *_indented(moved),
    ]


def _why(profile: Profile, groups: Sequence[Sequence[str]]) -> Iterator[str]:
    from crm_assets.silver.explain import chain_text

    if len(profile.records) > 1 and not profile.why:
        yield f"São uma pessoa só porque a fonte diz: {profile.records[0]['ref']}"
    yield from _section("Por que são uma pessoa só:", map(chain_text, profile.why))
    yield from _section(
        "Sem explicação nas chaves de hoje (a próxima rodada separa ou explica):",
        profile.unexplained,
    )
    if len(groups) > 1:
        yield "Atenção: só um telefone une estes grupos; confira de quem é cada um:"
        yield from _indented(", ".join(group) for group in groups)


def _record(record: Mapping[str, Any]) -> str:
    alias = f" = {record['ref']}" if record["ref"] != record["record_id"] else ""
    said = (record["name"], record["email"], record["phone"], record["document"])
    told = ", ".join(str(value) for value in said if value is not None)
    return f"{record['record_id']}{alias} ({_value(record['observed_at'])}): {told}"


def _origin(origin: Mapping[str, Any]) -> str:
    from crm_assets.silver.customers import CRITERIA

    label = FIELD_NAMES[origin["field"]]
    second = ""
    if origin["runner_up"]:
        value = f": {origin['runner_up_value']}" if origin["runner_up_value"] else ""
        second = f"; em segundo, {origin['runner_up']}{value}"
    said = (origin["source"], _value(origin["observed_at"]), CRITERIA[origin["strategy"]])
    winner = f"{origin['record_id']} ({', '.join(filter(None, said))})"
    return f"{label}: {_value(origin['value'])} ← {winner}{second}"


def _event(event: Mapping[str, Any]) -> str:
    to = f" {event['survivor_id']}" if event["event"] == "merge" else ""
    return f"{_value(event['occurred_at'])} {event['customer_id']} {_EVENTS[event['event']]}{to}"


def _standing(decision: Decision, *, holds: bool) -> str:
    if holds:
        return "vale"
    if decision.undone:
        return "desfeita"
    return "apagada" if decision.is_erased else "substituída"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    listed = list(_indented(lines))
    if listed:
        yield title
        yield from listed


def _indented(lines: Iterable[str]) -> Iterator[str]:
    listed = list(lines)
    yield from (f"  {line}" for line in listed[:MOST])
    if len(listed) > MOST:
        yield f"  … e mais {len(listed) - MOST} (--json mostra todos)"


def _value(value: object) -> str:
    match value:
        case datetime():
            return f"{value:%d/%m/%Y %H:%M}"
        case list():
            return ", ".join(map(str, value))
        case None:
            return ""
        case _:
            return str(value)
