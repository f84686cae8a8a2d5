"""`crm customers erase|readmit`: a person out of everything, with a certificate, and known again.

LGPD; rules 7.1, 7.2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_assets.words import counted
from crm_cli.console import out, tell_table
from crm_cli.rights import ByOption, DryRunOption, YesOption, said
from crm_cli.session import (
    TenantOption,
    actor_by,
    actor_of,
    fail,
    run_tenant,
    tenant_of,
    the_customer,
)

if TYPE_CHECKING:
    from crm_assets.privacy.eraser import Outcome
    from crm_assets.privacy.person import Record
    from crm_assets.privacy.rights import Request


def erase(
    who: Annotated[
        str | None,
        typer.Argument(metavar="CLIENTE", help="Id, e-mail, telefone em qualquer escrita."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Por que, sem citar a pessoa (fica no certificado).")
    ] = None,
    records: Annotated[
        list[str] | None,
        typer.Option("--record", help="Registro de quem pediu; traz os do mesmo grupo; repita."),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Quem apaga (padrão: o usuário do computador).")
    ] = None,
    tenant: TenantOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Conta o que seria apagado, sem apagar nada.")
    ] = False,
    yes: YesOption = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Termina um apagamento interrompido.")
    ] = False,
) -> None:
    """Apaga uma pessoa de tabelas, arquivos, cópias e exportações, para que não volte.

    Ficam as vendas, sem o comprador, por obrigação fiscal. Não há como desfazer.

    Exemplo: crm customers erase ana@example.com --reason "pedido 12" --dry-run
    """
    settings, one = tenant_of(tenant)
    if resume:
        if who is not None:
            raise typer.BadParameter("--resume termina o que foi interrompido e não leva cliente.")
        _resume(settings, one)
        return
    if who is None:
        raise typer.BadParameter("diga o cliente: id, e-mail ou telefone.")
    if not dry_run and not (reason or "").strip():
        raise typer.BadParameter("--reason precisa dizer por quê.")
    _erase(
        settings,
        one,
        who,
        records or (),
        reason=(reason or "").strip(),
        actor=by or actor_by("crm customers erase"),
        dry_run=dry_run,
        yes=yes,
    )


def readmit(
    reason: Annotated[str, typer.Option(help="Por que, sem citar a pessoa (fica registrado).")],
    email: Annotated[str | None, typer.Option(help="E-mail que a pessoa tinha.")] = None,
    phone: Annotated[str | None, typer.Option(help="Telefone, em qualquer escrita.")] = None,
    document: Annotated[str | None, typer.Option(help="CPF, CNPJ ou outro documento.")] = None,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Deixa voltar ao cadastro quem foi apagado e quer ser cliente conhecido de novo.

    Um dado basta para achar todos os do mesmo apagamento.

    O que foi apagado não volta: as vendas de antes ficam sem comprador.

    O que vier daqui em diante é guardado. Vendas feitas depois do apagamento e
    uma assinatura ainda ativa voltam a ter os dados do comprador quando o mês
    delas é relido.

    Não é um consentimento: as recusas foram apagadas junto; registre-as de novo
    com `crm customers opt-out`.

    Exemplo: crm customers readmit --email ana@example.com --reason "pedido 31" --dry-run
    """
    from crm_assets.definitions import site_of
    from crm_assets.privacy.readmission import find_buried
    from crm_assets.privacy.readmission import readmit as let_in

    given = {"email": email, "phone": phone, "document": document}
    who = {kind: text for kind, text in given.items() if text is not None}
    if not who:
        raise typer.BadParameter("diga quem é com --email, --phone ou --document.")
    why = said("--reason", reason)
    settings, one = tenant_of(tenant)
    if not settings.has_ops(one.slug):
        fail("Ninguém foi apagado ainda.")
    site = site_of(one, settings)
    found = find_buried(site, who, why)
    marks = counted(len(found.tombstones), "marca")
    told = f"{marks} contra a volta, de {counted(found.erasures, 'apagamento')}"
    if dry_run:
        out.print(f"Nada foi mudado; seria levantado: {told}.")
        return
    if not yes:
        out.print(f"Será levantado: {told}.")
        if not confirmed("Deixar voltar? O que vier desta pessoa volta a ser guardado."):
            fail("Nada foi mudado.")
    let_in(site, who, actor=actor_of(by), reason=why)
    out.print(f"Levantado: {told}.")
    out.print("  a pessoa volta ao cadastro com o próximo dado dela; se não quer ser contatada,")
    out.print("  registre com `crm customers opt-out`.")


def _erase(
    settings: Settings,
    tenant: Tenant,
    who: str,
    named: Sequence[str],
    *,
    reason: str,
    actor: str,
    dry_run: bool,
    yes: bool,
) -> None:
    from crm_assets.definitions import site_of
    from crm_assets.privacy import eraser

    site = site_of(tenant, settings)
    customer_id, refs, stays = _chosen(settings, tenant, who, named)
    rehearsed = eraser.rehearse(site, {customer_id: refs}, actor=actor, reason=reason)
    _tell_counts(rehearsed.found)
    files = len(rehearsed.destinations)
    out.print(
        f"{counted(len(rehearsed.people.records), 'registro')}; "
        f"{counted(len(rehearsed.people.values), 'marca')} contra a volta; "
        f"{counted(files, 'arquivo gerado citou', 'arquivos gerados citaram')} a pessoa."
    )
    if stays:
        one = "registro do mesmo perfil é de outra pessoa e fica"
        many = "registros do mesmo perfil são de outra pessoa e ficam"
        out.print(f"{counted(stays, one, many)}.")
    for request in eraser.asked_by(site, site.ops_store(), rehearsed.people):
        out.print(_request_note(request))
    if dry_run:
        out.print("Nada foi apagado.")
        return
    if not yes and not confirmed("Apagar? Não há como desfazer."):
        fail("Nada foi apagado.")
    _end(settings, tenant, eraser.erase(site, customer_id, refs, actor=actor, reason=reason))


def _request_note(request: Request) -> str:
    """What becomes of an open request of the person to be erased."""
    number = request.number
    if request.checked_at:
        return f"Responde ao pedido {number}, que será encerrado como atendido."
    return (
        f"O pedido {number} desta pessoa ainda não teve a identidade conferida: confira com "
        f"`crm customers request check {number} --how …` antes, ou encerre-o depois."
    )


def confirmed(question: str) -> bool:
    """Ask in Portuguese, which typer's own question is not."""
    answer: str = typer.prompt(f"{question} [s/N]", default="n", show_default=False)
    return answer.strip().casefold() in {"s", "sim"}


def _resume(settings: Settings, tenant: Tenant) -> None:
    from crm_assets.definitions import site_of
    from crm_assets.privacy import eraser

    done = eraser.resume(site_of(tenant, settings))
    if done is None:
        out.print(
            "Nenhum apagamento ficou por terminar; o que foi cortado antes de começar precisa ser "
            "pedido de novo."
        )
        return
    _end(settings, tenant, done)


def _chosen(
    settings: Settings, tenant: Tenant, who: str, named: Sequence[str]
) -> tuple[str, list[str], int]:
    """The customer, the references of the records that go, and how many stay."""
    from crm_assets.gold.people import customers_of, known_refs, reading
    from crm_assets.privacy.person import groups_of, members

    with reading(settings, tenant) as tx:
        customer_id = the_customer(customers_of(tx, who))
        groups = groups_of(members(tx, customer_id))
        wanted = {ref for refs in known_refs(tx, named).values() for ref in refs}
    everything = [record.ref for group in groups for record in group]
    if named and not wanted.intersection(everything):
        fail("Nenhum dos --record é um registro deste cliente.")
    if len(groups) > 1 and not named:
        _tell_groups(groups)
        fail(
            "Os registros deste cliente só têm o telefone em comum e podem ser de pessoas "
            "diferentes: diga com --record quais são de quem pediu."
        )
    chosen = [
        record.ref
        for group in groups
        for record in group
        if len(groups) == 1 or wanted.intersection(one.ref for one in group)
    ]
    return customer_id, list(dict.fromkeys(chosen)), len(everything) - len(chosen)


def _tell_groups(groups: Sequence[Sequence[Record]]) -> None:
    from crm_assets.privacy.statement_text import masked

    for number, group in enumerate(groups, start=1):
        out.print(f"Grupo {number}:")
        for record in dict.fromkeys(group):
            shown = (record.first_name, record.email_key, record.phone_key)
            told = ", ".join(text for text in map(masked, shown) if text)
            out.print(escape(f"  {record.ref}: {told}"))


def _tell_counts(found: dict[str, int]) -> None:
    table = Table("onde", "linhas ou arquivos", box=None, pad_edge=False)
    for place, count in found.items():
        table.add_row(escape(place), str(count))
    tell_table(table)


def _end(settings: Settings, tenant: Tenant, done: Outcome) -> None:
    """Tell what was found afterwards, and make the master anew."""
    out.print(escape(f"Certificado: {done.certificate}"))
    for place, count in done.left.items():
        out.print(escape(f"  ainda cita a pessoa: {place} ({count})"))
    if done.left:
        fail("O apagamento não terminou: resolva o que ainda cita a pessoa e rode com --resume.")
    for number in done.requests:
        out.print(f"Pedido {number} encerrado: atendido.")
    out.print("A pessoa foi apagada; o cadastro é refeito agora.")
    sys.exit(0 if run_tenant(settings, tenant, ("actions", "refine")) else 1)
