"""`crm subscriptions cancel|reactivate|requests`: changes that Hotmart makes when asked."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_assets.words import SUBSCRIPTION_STATUSES, counted
from crm_cli.console import local, out, tell_table
from crm_cli.erasing import confirmed
from crm_cli.rights import ByOption, YesOption
from crm_cli.session import TenantOption, actor_of, fail, open_ops, tenant_of

if TYPE_CHECKING:
    from crm_assets.outbound.subscription_actions import Order, Result
    from crm_resources.hotmart import HotmartClient
    from crm_resources.hotmart.subscription_changes import Verb

T = TypeVar("T")

CodesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="CÓDIGO", help="Códigos de assinante, ou - (stdin).")
]
FileOption = Annotated[Path | None, typer.Option("--file", help="Arquivo com um código por linha.")]
ReasonOption = Annotated[
    str | None, typer.Option(help="Por que (fica registrado), sem citar a pessoa.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Lê o estado e diz o que seria pedido, sem pedir nada.")
]

_TOLD = {
    "due": "será pedido",
    "done": "feito",
    "already": "já estava assim",
    "pending": "aguarda o assinante",
    "refused": "recusado",
    "unknown": "desconhecido",
    "missing": "não encontrado",
}
_GOOD = {"due", "done", "already", "pending"}


def cancel(
    codes: CodesArgument = None,
    file: FileOption = None,
    reason: ReasonOption = None,
    no_mail: Annotated[
        bool, typer.Option("--no-mail", help="A Hotmart não avisa o assinante por e-mail.")
    ] = False,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Cancela assinaturas na Hotmart; o cadastro muda quando ela confirma.

    Exemplo: crm subscriptions cancel A1B2C3D4 --reason "pediu por e-mail" --dry-run
    """
    _change("cancel", codes, file, reason, by, tenant, option=not no_mail, dry_run=dry_run, yes=yes)


def reactivate(
    codes: CodesArgument = None,
    file: FileOption = None,
    reason: ReasonOption = None,
    charge: Annotated[
        bool, typer.Option("--charge", help="Cobra assim que o assinante aceitar.")
    ] = False,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Pede a reativação; o assinante recebe um link, que vale 3 dias, e precisa aceitar.

    Exemplo: crm subscriptions reactivate A1B2C3D4 --reason "voltou atrás" --dry-run
    """
    _change("reactivate", codes, file, reason, by, tenant, option=charge, dry_run=dry_run, yes=yes)


def requests(tenant: TenantOption = None) -> None:
    """Mostra as reativações pedidas que ainda esperam o assinante, conferidas na Hotmart agora.

    Exemplo: crm subscriptions requests
    """
    from crm_assets.outbound.subscription_actions import settle

    settings, one = tenant_of(tenant)
    ops = open_ops(settings, one)

    async def look() -> None:
        async with _client(one) as client:
            open_ones = await settle(client, ops, settings.now())
        if not open_ones:
            out.print("Nenhuma reativação espera o assinante.")
        for code, found in open_ones.items():
            until, asked = local(one, found.until), local(one, found.asked_at)
            out.print(escape(f"{code}: pedida em {asked}, o link vale até {until}"))

    _run(look())


def _change(
    verb: Verb,
    codes: Sequence[str] | None,
    file: Path | None,
    reason: str | None,
    by: str | None,
    tenant: str | None,
    *,
    option: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    from crm_assets.outbound.subscription_actions import Order, carry_out, rehearse

    settings, one = tenant_of(tenant)
    wanted = _codes(codes or (), file)
    if not wanted:
        raise typer.BadParameter("diga ao menos um código de assinante.")
    if not dry_run and not (reason or "").strip():
        raise typer.BadParameter("--reason precisa dizer por quê.")
    ops = open_ops(settings, one)
    order = Order(
        verb=verb,
        codes=tuple(wanted),
        option=option,
        actor=actor_of(by),
        reason=(reason or "").strip(),
        at=settings.now(),
        owners=_owners(settings, one, wanted),
    )

    async def look(order: Order) -> list[Result]:
        async with _client(one) as client:
            return await rehearse(client, order, ops.actions())

    async def act(order: Order) -> list[Result]:
        async with _client(one) as client:
            return await carry_out(client, ops, order)

    if dry_run or not yes:
        before: list[Result] = _run(look(order))
        _tell(before)
        if dry_run:
            out.print("Nada foi pedido à Hotmart.")
            sys.exit(0 if all(result.outcome in _GOOD for result in before) else 1)
        due = sum(result.outcome == "due" for result in before)
        if due and not confirmed(f"Pedir à Hotmart {counted(due, 'mudança')}?"):
            fail("Nada foi pedido à Hotmart.")
    results: list[Result] = _run(act(order))
    _tell(results)
    if any(result.outcome == "unknown" for result in results):
        out.print(
            "Não se sabe se a Hotmart fez o que ficou como desconhecido: confira no painel dela, "
            "ou rode de novo mais tarde, que o estado é lido antes de pedir."
        )
    sys.exit(0 if all(result.outcome in _GOOD for result in results) else 1)


def _codes(given: Sequence[str], file: Path | None) -> list[str]:
    """The codes that were given, each once, in their order."""
    texts = list(given)
    if "-" in texts:
        texts = [text for text in texts if text != "-"] + sys.stdin.read().split()
    if file is not None:
        texts += file.read_text(encoding="utf-8-sig").split()
    wrong = [text for text in texts if not (text.isascii() and text.isalnum())]
    if wrong:
        raise typer.BadParameter(
            f"{len(wrong)} de {len(texts)} não são códigos de assinante (só letras e números)."
        )
    return list(dict.fromkeys(texts))


def _owners(settings: Settings, tenant: Tenant, codes: Sequence[str]) -> dict[str, str]:
    """Customer by code, as far as the last round knows."""
    import duckdb

    from crm_assets.gold.people import NoMaster, reading

    with suppress(NoMaster, duckdb.CatalogException), reading(settings, tenant) as tx:
        return dict(tx.read(_OWNERS, [list(codes)]).rows())
    return {}


def _client(tenant: Tenant) -> HotmartClient:
    from crm_assets.resources import hotmart_resource
    from crm_resources.hotmart.resource import MissingSetting

    try:
        return hotmart_resource(tenant).client()
    except MissingSetting as missing:
        fail(str(missing))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Do it; what Hotmart says against it is one sentence."""
    from crm_resources.hotmart import HotmartError

    try:
        return asyncio.run(work)
    except HotmartError as error:
        fail(str(error))


def _tell(results: Sequence[Result]) -> None:
    table = Table("assinante", "situação", "detalhe", box=None, pad_edge=False)
    for result in results:
        detail = SUBSCRIPTION_STATUSES.get(result.detail, result.detail)
        table.add_row(escape(result.code), _TOLD[result.outcome], escape(detail))
    tell_table(table)


_OWNERS = """
    SELECT subscriber_code, customer_id FROM silver.subscriptions
    WHERE customer_id IS NOT NULL AND subscriber_code IN (SELECT unnest(?))
"""
