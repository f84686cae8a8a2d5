"""`crm customers request`: the register of what people ask under the LGPD (rules 7.6)."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from crm_assets.privacy.rights import OUTCOMES, TYPES
from crm_assets.privacy.statement_text import masked
from crm_assets.settings import parse_day
from crm_assets.tenants import Tenant
from crm_assets.words import counted
from crm_cli.console import local, out
from crm_cli.rights import ByOption, WhoArgument, among, said, whom
from crm_cli.session import TenantOption, actor_of, open_ops, tenant_of

if TYPE_CHECKING:
    from crm_assets.privacy.rights import Request

request_app = typer.Typer(
    no_args_is_help=True, help="Registro dos pedidos de titulares (LGPD, art. 18): abrir, fechar."
)

_NEXT = {
    "acesso": "crm customers show CLIENTE --everything",
    "portabilidade": "crm customers show CLIENTE --everything --json",
    "informacao": "crm customers show CLIENTE --everything",
    "correcao": "crm customers pin CLIENTE CAMPO VALOR --reason …",
    "eliminacao": "crm customers erase CLIENTE",
    "revogacao": "crm customers opt-out CLIENTE --reason …",
    "oposicao": "crm customers opt-out CLIENTE --reason …",
}
"""The command that does what a request asks for."""

NumberArgument = Annotated[int, typer.Argument(metavar="PEDIDO", min=1, help="Número do pedido.")]


@request_app.command("open")
def open_command(
    who: WhoArgument,
    type: Annotated[str, typer.Option(help=f"{', '.join(TYPES)}.")],
    channel: Annotated[str, typer.Option(help="Por onde chegou: e-mail, WhatsApp, balcão.")],
    day: Annotated[
        str | None, typer.Option(help="Dia em que chegou, AAAA-MM-DD (padrão: hoje).")
    ] = None,
    by: ByOption = None,
    tenant: TenantOption = None,
) -> None:
    """Registra um pedido e diz até quando ele precisa de resposta.

    Exemplo: crm customers request open ana@example.com --type acesso --channel e-mail
    """
    from crm_assets.privacy.rights import open_request

    settings, one = tenant_of(tenant)
    among("--type", [type], tuple(TYPES))
    keys, customer_id, _ = whom(settings, one, who)
    email, phone = (None, None) if customer_id else keys.one_by_one()[0]
    request = open_request(
        open_ops(settings, one),
        one,
        type=type,
        channel=said("--channel", channel),
        received_on=parse_day("--day", day) or settings.today(one.timezone),
        customer_id=customer_id,
        email_key=email,
        phone_key=phone,
        actor=actor_of(by),
        at=settings.now(),
    )
    out.print(f"Pedido {request.number} ({type}): responder até {request.due_on:%d/%m/%Y}.")
    out.print(escape(f"  confira quem pede: crm customers request check {request.number} --how …"))
    out.print(escape(f"  depois: {_NEXT[type]}"))


@request_app.command("check")
def check_command(
    number: NumberArgument,
    how: Annotated[str, typer.Option(help="Como se confirmou que quem pede é o titular.")],
    by: ByOption = None,
    tenant: TenantOption = None,
) -> None:
    """Registra que a identidade de quem pede foi conferida.

    Exemplo: crm customers request check 3 --how "respondeu do e-mail cadastrado"
    """
    from crm_assets.privacy.rights import check_request

    settings, one = tenant_of(tenant)
    ops = open_ops(settings, one)
    how = said("--how", how)
    check_request(ops, one, number, how=how, actor=actor_of(by), at=settings.now())
    out.print(f"Pedido {number}: identidade conferida.")


@request_app.command("close")
def close_command(
    number: NumberArgument,
    outcome: Annotated[str, typer.Option(help=f"{', '.join(OUTCOMES)}.")],
    note: Annotated[str | None, typer.Option(help="O que mais há a dizer; o motivo.")] = None,
    by: ByOption = None,
    tenant: TenantOption = None,
) -> None:
    """Encerra um pedido com o resultado.

    Exemplo: crm customers request close 3 --outcome atendido --note "extrato enviado por e-mail"
    """
    from crm_assets.privacy.rights import close_request

    settings, one = tenant_of(tenant)
    among("--outcome", [outcome], tuple(OUTCOMES))
    ops, actor = open_ops(settings, one), actor_of(by)
    close_request(ops, one, number, outcome=outcome, note=note, actor=actor, at=settings.now())
    out.print(f"Pedido {number} encerrado: {outcome}.")


@request_app.command("list")
def list_command(
    only_open: Annotated[bool, typer.Option("--open", help="Só os que esperam resposta.")] = False,
    tenant: TenantOption = None,
) -> None:
    """Lista os pedidos, o prazo e a situação de cada um.

    Exemplo: crm customers request list --open
    """
    from crm_assets.privacy.rights import register

    settings, one = tenant_of(tenant)
    known = register(open_ops(settings, one).actions(), one) if settings.has_ops(one.slug) else []
    shown = [request for request in known if request.is_open or not only_open]
    if not shown:
        out.print("Nenhum pedido em aberto." if only_open else "Nenhum pedido ainda.")
        return
    for request in shown:
        out.print(escape(_request_line(one, request, settings.today(one.timezone))))


def _request_line(tenant: Tenant, request: Request, today: date) -> str:
    if request.closed_at:
        state = f"{request.outcome} em {local(tenant, request.closed_at)}"
    elif request.is_overdue(today):
        state = f"venceu há {counted((today - request.due_on).days, 'dia')}"
    else:
        checked = "identidade conferida" if request.checked_at else "identidade por conferir"
        state = f"ainda {counted((request.due_on - today).days, 'dia')}, {checked}"
    who = request.customer_id or masked(request.email_key or request.phone_key) or "apagado"
    return (
        f"{request.number}. {request.type}, {who}: chegou em {request.received_on:%d/%m/%Y} "
        f"por {request.channel}, prazo {request.due_on:%d/%m/%Y}; {state}"
    )
