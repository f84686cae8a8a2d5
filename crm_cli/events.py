"""`crm events`: what was posted to us, what became of it, and reading it again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from crm_assets.settings import Settings, parse_day
from crm_assets.slices import end_of_day, start_of_day
from crm_assets.tenants import Tenant
from crm_assets.words import counted
from crm_cli.console import local, out
from crm_cli.rights import among
from crm_cli.session import TenantOption, fail, open_ops, run_tenant, tenant_of

if TYPE_CHECKING:
    from crm_resources.ops import EventState, InboxEvent, OpsStore

events_app = typer.Typer(
    no_args_is_help=True, help="Eventos recebidos da Hotmart e do ManyChat: listar, ler de novo."
)

KINDS = ("hotmart", "manychat")
STATES: dict[str, EventState] = {
    "pendente": "pending",
    "lido": "processed",
    "ignorado": "ignored",
    "falhou": "failed",
    "morto": "dead",
}
"""How a person calls what the inbox knows."""

RETRIED: tuple[EventState, ...] = ("failed", "dead")

_WORDS = {state: word for word, state in STATES.items()}

KindOption = Annotated[str | None, typer.Option("--kind", help="Só de hotmart ou de manychat.")]


@events_app.command("list")
def list_command(
    state: Annotated[
        str | None, typer.Option(help="Só neste estado: pendente, lido, ignorado, falhou, morto.")
    ] = None,
    kind: KindOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Quantos, do mais novo ao mais velho.")] = 20,
    tenant: TenantOption = None,
) -> None:
    """Mostra os eventos recebidos, com o estado, as tentativas e o motivo da falha.

    Exemplo: crm events list --state falhou
    """
    wanted = _among("--state", state, tuple(STATES))
    kind = _among("--kind", kind, KINDS)
    _, one, ops = _opened(tenant)
    counts = ops.event_counts()
    told = ", ".join(
        f"{count} {_WORDS[found]} ({of})" for (of, found), count in sorted(counts.items())
    )
    out.print(told or "Nenhum evento recebido.")
    for event in ops.events(kind, states=[STATES[wanted]] if wanted else (), limit=limit):
        out.print(escape(_line(one, event)))
    if refused := ops.refusals():
        times, places = sum(each.count for each in refused), {each.address for each in refused}
        out.print(f"Recusados em 30 dias, sem o token certo: {times}; endereços: {len(places)}.")


@events_app.command("retry")
def retry_command(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="EVENTO", help="Números de `events list`.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Todos os que falharam.")] = False,
    kind: KindOption = None,
    tenant: TenantOption = None,
) -> None:
    """Põe de novo na fila eventos que falharam ou foram abandonados depois de três tentativas.

    Se um dos números não existe, nada é feito.

    Exemplo: crm events retry 41 42
    """
    if bool(numbers) == every:
        raise typer.BadParameter("diga os números dos eventos, ou --all.")
    kind = _among("--kind", kind, KINDS)
    _, one, ops = _opened(tenant)
    possible = [number for number in numbers or () if 0 < number <= sys.maxsize]
    states = ops.states_of(possible, kind)
    unknown = [str(number) for number in numbers or () if number not in states]
    if unknown:
        what = "o evento" if len(unknown) == 1 else "os eventos"
        of_kind = f" de {kind}" if kind else ""
        fail(f"Não há {what}{of_kind} {', '.join(unknown)}: nada voltou à fila.")
    again = ops.retry_events(numbers, kind)
    if not again:
        fail("Nenhum destes eventos falhou: nada a tentar de novo.")
    of = "" if one.slug == "default" else f" --tenant {one.slug}"
    out.print(
        f"{counted(again, 'evento voltou', 'eventos voltaram')} à fila; a leitura é em um minuto "
        f"com `crm dev` de pé, ou agora com `crm run --only events,refine{of}`."
    )
    sound = [f"{n} ({_WORDS[state]})" for n, state in states.items() if state not in RETRIED]
    if sound:
        out.print(f"Não falharam e ficaram como estavam: {', '.join(sound)}.")


@events_app.command("replay")
def replay_command(
    start: Annotated[str, typer.Option(help="Primeiro dia em que chegaram, AAAA-MM-DD.")],
    end: Annotated[str, typer.Option(help="Último dia em que chegaram, AAAA-MM-DD.")],
    kind: KindOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Diz quantos eventos seriam lidos, sem ler nada.")
    ] = False,
    tenant: TenantOption = None,
) -> None:
    """Lê de novo todos os eventos de um período e refaz o cadastro; nada entra em dobro.

    Exemplo: crm events replay --start 2026-03-01 --end 2026-03-15 --dry-run
    """
    first, last = parse_day("--start", start), parse_day("--end", end)
    if first is None or last is None or last < first:
        raise typer.BadParameter("--end precisa ser um dia depois de --start, ou o mesmo.")
    only = _among("--kind", kind, KINDS)
    settings, one, ops = _opened(tenant)
    kinds = [only] if only else list(KINDS)
    since, until = start_of_day(one, first), end_of_day(one, last) + timedelta(milliseconds=1)
    counts = ops.event_counts(since, until)
    total = sum(count for (of, _), count in counts.items() if of in kinds)
    if dry_run or not total:
        out.print(
            f"{counted(total, 'evento')} de {first:%d/%m/%Y} a {last:%d/%m/%Y}; nada foi lido."
        )
        return
    for each in kinds:
        ops.replay(each, since, until)
    sys.exit(0 if run_tenant(settings, one, ("events", "refine")) else 1)


def _opened(tenant: str | None) -> tuple[Settings, Tenant, OpsStore]:
    """The tenant and its inbox; refuses before any store is made."""
    settings, one = tenant_of(tenant)
    if not settings.has_ops(one.slug):
        fail("Nenhum evento recebido ainda: veja docs/webhooks.md.")
    return settings, one, open_ops(settings, one)


def _among(option: str, value: str | None, known: Sequence[str]) -> str | None:
    return among(option, [value], known)[0] if value is not None else None


def _line(tenant: Tenant, event: InboxEvent) -> str:
    again = f", próxima {local(tenant, event.next_at)}" if event.next_at else ""
    return (
        f"{event.id}  {local(tenant, event.received_at)}  {event.kind}  {event.event or '–'}  "
        f"{_WORDS[event.state]}, tentativas: {event.attempts}{again}"
        + (f"; {event.error}" if event.error else "")
    )
