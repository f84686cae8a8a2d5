"""How the `crm` command tells a person what happened: lines in Portuguese, quiet when piped."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crm_assets.automation.alerts import age as time_since
from crm_assets.bronze.manychat_inbox import arrivals
from crm_assets.bronze.manychat_sheet import sheet_address
from crm_assets.bronze.receiving import digest_of, read_file
from crm_assets.bronze.text_table import RefusedFile
from crm_assets.plan import Landed, estimated_calls, plan_hotmart
from crm_assets.settings import Settings
from crm_assets.slices import zone
from crm_assets.tenants import Tenant
from crm_assets.words import counted

if TYPE_CHECKING:
    from crm_assets.rounds import Round, RunOutcome
    from crm_resources.ops import OpsStore

_FATE = {
    "received": "será importado",
    "landed": "já importado, nada a fazer",
    "refused": "recusado antes, fica como está até mudar",
    "undone": "desfeito antes, só volta quando importado por nome",
}

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
_ANY_WIDTH = 1000


_CAUSES = {
    errno.ENOENT: "não existe",
    errno.EACCES: "sem permissão",
    errno.EPERM: "sem permissão",
    errno.EISDIR: "é uma pasta",
    errno.ENOTDIR: "não é uma pasta",
    errno.EEXIST: "já existe",
    errno.ENOSPC: "o disco está cheio",
    errno.EFBIG: "passa do tamanho que o sistema permite",
    errno.EROFS: "está em um disco que só pode ser lido",
    errno.EIO: "o disco não respondeu",
}


def os_told(error: OSError) -> str:
    """What the operating system refused, in Portuguese where it is a common thing."""
    if error.errno is None:
        return str(error)
    cause = _CAUSES.get(error.errno, error.strerror)
    return f"{error.filename or 'arquivo'}: {cause}."


def refuse(message: object) -> None:
    """One sentence on stderr."""
    err.print(f"[red]{escape(str(message))}[/]")


def tell_table(table: Table) -> None:
    """A table as wide as it is: a narrower terminal breaks its lines, and nothing is cut."""
    Console(width=_ANY_WIDTH, highlight=False).print(table)


def tell_row(text: str) -> None:
    """One row of a list: on a terminal broken between words, elsewhere one line."""
    if out.is_terminal:
        text = fill(text, out.width, subsequent_indent="    ", break_on_hyphens=False)
    out.print(escape(text))


def tell_tenant(settings: Settings, tenant: Tenant) -> None:
    """Whose turn it is."""
    out.print(f"[bold]{escape(tenant.name)}[/] ({tenant.slug}, {settings.environment})")


def tell_round(settings: Settings, tenant: Tenant, done: Round) -> None:
    """What a round did, what failed, and what is stale because of it."""
    if done.lost:
        lost = counted(done.lost, "partição já lida", "partições já lidas")
        err.print(f"  [yellow]O banco não tinha mais {lost}: nova leitura marcada.[/]")
    for receipt in done.receipts:
        out.print(escape(f"  arquivo {receipt.name}: {receipt.note}"))
    for outcome in done.outcomes:
        mark = "[green]✓[/]" if outcome.ok else "[red]✗[/]"
        out.print(f"  {mark} {_outcome_line(outcome)}")
        for message in dict.fromkeys(outcome.errors):
            err.print(f"    [red]{escape(message)}[/]")
    if done.stale and any(outcome.stage == "refine" for outcome in done.outcomes):
        stale = ", ".join(
            f"{one.source} ({', '.join(filter(None, (one.part, age(settings, one.at))))})"
            for one in done.stale
        )
        err.print(f"  [yellow]O resultado usa dados antigos de: {escape(stale)}[/]")
    for untold in done.untold:
        err.print(f"  [yellow]{escape(untold)}[/]")
    folder = settings.output_folder(tenant.slug)
    if folder.exists():
        out.print(escape(f"  arquivos em {folder}"))


def tell_unread_events(ops: OpsStore) -> None:
    """The events that could not be read, without which a round goes on."""
    counts = ops.event_counts()
    failed, dead = (
        sum(count for (_, state), count in counts.items() if state == wanted)
        for wanted in ("failed", "dead")
    )
    if failed:
        told = counted(failed, "evento falhou e será tentado", "eventos falharam e serão tentados")
        err.print(f"  [yellow]{told} de novo: `crm events list --state falhou`[/]")
    if dead:
        told = counted(dead, "evento não pôde ser lido", "eventos não puderam ser lidos")
        err.print(f"  [yellow]{told} em três tentativas: `crm events list --state morto`[/]")


def tell_plan(settings: Settings, tenant: Tenant, stages: Sequence[str], known: Landed) -> None:
    """What a round would read, without reading it."""
    tell_tenant(settings, tenant)
    out.print("  nada será lido nem gravado; uma rodada faria:")
    for job in ("hotmart", "subscriptions"):
        if job not in stages or not tenant.hotmart.enabled:
            continue
        for request in plan_hotmart(tenant, settings.environment, settings.now(), known, job):
            calls = estimated_calls(request, known)
            note = f"; {request.note}" if request.note else ""
            out.print(f"  {job} {span(request.slices)}: cerca de {counted(calls, 'chamada')}{note}")
    if "manychat" in stages and tenant.manychat.enabled:
        if sheet_address(tenant):
            out.print(f"  planilha de {tenant.manychat.sheet_url_env}: será lida")
        held = {load.content_sha256: load.status for load in known.of("manychat").values()}
        for arrival in arrivals(settings.input_folder(tenant.slug, "manychat")):
            out.print(escape(f"  arquivo {arrival.path.name}: {_fate(arrival.path, held)}"))
    if "events" in stages and known.due_events:
        out.print("  eventos que esperam na caixa de entrada: serão lidos")
    if "refine" in stages:
        out.print(f"  refine do dia {settings.today(tenant.timezone):%d/%m/%Y}")


def tell_next(env_file: Path) -> None:
    """How to go on with the demo's data."""
    try:
        shown = env_file.relative_to(Path.cwd())
    except ValueError:
        shown = env_file
    prefix = f"uv run --env-file {shown} crm"
    out.print("\nPara continuar com estes dados:")
    for command in (
        "status",
        "export audience ilpi --format excel-csv",
        "sandbox hotmart     (em outro terminal, antes de um novo `run`)",
        "run",
        "dev                 (interface do Dagster em http://127.0.0.1:3000)",
    ):
        out.print(escape(f"  {prefix} {command}"))


def age(settings: Settings, at: datetime | None) -> str:
    """How long ago, in the unit that says most."""
    return time_since(settings.now(), at)


def local(tenant: Tenant, at: datetime | None) -> str:
    """An instant on the tenant's clock."""
    return f"{at.astimezone(zone(tenant)):%d/%m/%Y %H:%M}" if at else "nunca"


def span(slices: Sequence[str]) -> str:
    """A stretch of partitions by its ends."""
    if len(slices) < 2:
        return "".join(slices)
    return f"{slices[0]} a {slices[-1]} ({len(slices)})"


def _fate(path: Path, held: Mapping[str | None, str]) -> str:
    """What a round would do with a file of the folder."""
    try:
        return _FATE[held.get(digest_of(read_file(path)), "received")]
    except RefusedFile as refusal:
        return f"recusado: {refusal}"
    except OSError:
        return "não pôde ser lido; confira a permissão"


def _outcome_line(outcome: RunOutcome) -> str:
    where = "" if outcome.stage == "refine" else span(outcome.slices)
    took = f"({outcome.seconds:.1f} s)" if outcome.seconds else ""
    rows = ", ".join(f"{table} {count}" for table, count in outcome.rows.items())
    told = " ".join(filter(None, (outcome.stage, where, took, rows)))
    separator = "; " if rows else " "
    return escape(separator.join(filter(None, (told, outcome.note))))
