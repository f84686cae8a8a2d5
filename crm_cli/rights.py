"""`crm customers opt-out|consent|retention`: the rights of the people in the master (LGPD).

What is recorded here holds at once for every file that is made, and for the master and the batch
from the next round on.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, overload

import typer
from rich.markup import escape

from crm_assets.contact.channels import CHANNELS
from crm_assets.privacy.consents import (
    CONTACT_PURPOSE,
    PURPOSES,
    Keys,
    UnknownKey,
    consent_actions,
    keys_of,
    opt_out_actions,
)
from crm_assets.settings import Settings, load_settings, parse_day
from crm_assets.slices import start_of_day
from crm_assets.tenants import Tenant
from crm_assets.words import meant
from crm_cli.console import out
from crm_cli.session import TenantOption, actor_of, fail, open_ops, tenant_of

if TYPE_CHECKING:
    from crm_resources.ops import Action

_CUSTOMER = re.compile(r"cus_[0-9a-f]{32}")

WhoArgument = Annotated[
    str, typer.Argument(metavar="QUEM", help="Id do cliente, e-mail ou telefone.")
]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Quem registra (padrão: o usuário do computador).")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Não pergunta antes.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Mostra o que seria feito, sem fazer nada.")
]


def opt_out(
    who: WhoArgument,
    reason: Annotated[str, typer.Option(help="Como a pessoa disse (fica registrado).")],
    channel: Annotated[
        list[str] | None, typer.Option(help="email, sms ou whatsapp; repita (padrão: todos).")
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(help=f"{', '.join(PURPOSES)} (padrão: todas).")
    ] = None,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Registra que uma pessoa não quer ser contatada, também se ainda não está no cadastro.

    Exemplo: crm customers opt-out ana@example.com --channel whatsapp --reason "respondeu SAIR"
    """
    settings, one = tenant_of(tenant)
    channels = among("--channel", channel or [], CHANNELS)
    if purpose is not None:
        among("--purpose", [purpose], PURPOSES)
    keys, customer_id, held = whom(settings, one, who)
    actions = opt_out_actions(
        keys,
        channels=channels,
        purpose=purpose,
        reason=said("--reason", reason),
        customer_id=customer_id,
        actor=actor_of(by),
        at=settings.now(),
    )
    where = f"por {', '.join(channels)}" if channels else "por nenhum canal"
    what = f"para {purpose}" if purpose else "para nenhuma finalidade"
    _record(settings, one, actions, f"não contatar {where}, {what}", keys, held, dry_run=dry_run)


def consent(
    who: WhoArgument,
    channel: Annotated[list[str], typer.Option(help="email, sms ou whatsapp; repita.")],
    wording: Annotated[str, typer.Option(help="A frase que a pessoa aceitou.")],
    evidence: Annotated[str, typer.Option(help="Onde está a prova: formulário, e-mail, gravação.")],
    purpose: Annotated[str, typer.Option(help=f"{', '.join(PURPOSES)}.")] = CONTACT_PURPOSE,
    source: Annotated[str, typer.Option(help="Como veio: formulario, email, loja.")] = "pedido",
    day: Annotated[
        str | None, typer.Option(help="Dia em que a pessoa aceitou, AAAA-MM-DD (padrão: agora).")
    ] = None,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Registra um consentimento; só ele, e só se for mais novo, levanta uma recusa.

    Exemplo: crm customers consent ana@example.com --channel whatsapp --purpose remarketing
    --wording "Aceito receber ofertas por WhatsApp" --evidence "formulário 12/03, linha 40"
    """
    settings, one = tenant_of(tenant)
    channels = among("--channel", channel, CHANNELS)
    among("--purpose", [purpose], PURPOSES)
    given_at = _given_at(settings, one, day)
    keys, customer_id, held = whom(settings, one, who)
    actions = consent_actions(
        keys,
        channels=channels,
        purpose=purpose,
        wording=said("--wording", wording),
        evidence=said("--evidence", evidence),
        source=said("--source", source),
        given_at=given_at,
        customer_id=customer_id,
        actor=actor_of(by),
        at=settings.now(),
    )
    what = f"pode ser contatada por {', '.join(channels)}, para {purpose}"
    _record(settings, one, actions, what, keys, held, dry_run=dry_run)
    out.print("  uma recusa posterior a este consentimento continua valendo.")
    if customer_id is None:
        out.print("  uma recusa feita por outro e-mail ou telefone da mesma pessoa continua.")


def retention(tenant: TenantOption = None, dry_run: DryRunOption = False) -> None:
    """Apaga o que passou do prazo de guarda: cópias, arquivos, rejeitos e leads sem compra.

    Exemplo: crm customers retention --dry-run
    """
    import dagster as dg

    from crm_assets.definitions import site_of
    from crm_assets.privacy.retention import clear_expired, find_expired
    from crm_cli.console import tell_tenant
    from crm_cli.session import chosen_tenants, prepare_instance

    settings = load_settings()
    for one in chosen_tenants(settings, tenant):
        tell_tenant(settings, one)
        if not settings.has_ops(one.slug):
            out.print("  nada ainda.")
            continue
        prepare_instance(settings, [one])
        site, ops = site_of(one, settings), open_ops(settings, one)
        with dg.DagsterInstance.get() as instance:
            if dry_run:
                counts = find_expired(site, ops, instance).counts()
                out.print("  nada foi apagado; passaram do prazo:")
            else:
                counts = clear_expired(site, ops, instance)
                out.print("  apagado:")
        for label, count in counts.items():
            out.print(f"  {label}: {count}")


def show_everything(
    settings: Settings,
    tenant: Tenant,
    customer_id: str,
    *,
    flavour: str,
    records: Sequence[str] = (),
    to_stdout: bool = False,
) -> None:
    """Write the statement of a customer as a private file, or to stdout.

    Args:
        settings: the installation.
        tenant: whose customer.
        customer_id: a live id.
        flavour: `json` or `txt`.
        records: references of the records of whoever asks, when the profile needs the choice.
        to_stdout: print it instead of writing a file.
    """
    from crm_assets.privacy.statement import (
        ChooseRecords,
        Flavour,
        rendered,
        statement,
        write_statement,
    )

    if flavour not in {"json", "txt"}:
        raise typer.BadParameter("--format precisa ser json ou txt.")
    try:
        told = statement(settings, tenant, customer_id, records)
    except ChooseRecords as choice:
        for number, group in enumerate(choice.groups, start=1):
            out.print(f"Grupo {number}:")
            for record in group:
                shown = [record[name] for name in ("name", "email", "phone") if record[name]]
                out.print(escape(f"  {record['ref']}: {', '.join(shown)}"))
        fail(str(choice))
    wanted: Flavour = "json" if flavour == "json" else "txt"
    if to_stdout:
        sys.stdout.write(rendered(told, wanted))
        return
    out.print(escape(str(write_statement(settings, tenant, told, wanted, actor_of(None)))))


def whom(settings: Settings, tenant: Tenant, who: str) -> tuple[Keys, str | None, int]:
    """The keys that a person is meant by, the customer when one was named, and how many hold them.

    A customer's id means all of the person's keys; an e-mail or phone means itself.
    """
    from crm_assets.gold.people import NoMaster, customers_of, reading
    from crm_assets.privacy.consents import keys_of_customer

    written = who.strip()
    named = bool(_CUSTOMER.fullmatch(written))
    try:
        keys = Keys() if named else keys_of(written)
    except UnknownKey as unknown:
        raise typer.BadParameter(str(unknown)) from None
    try:
        with reading(settings, tenant) as tx:
            found = customers_of(tx, written)
            if named and found:
                keys = keys_of_customer(tx, found[0])
    except NoMaster:
        found = []
    if named and not found:
        fail("Não existe cliente com este id.")
    if not keys:
        fail("Este cliente não tem e-mail nem telefone.")
    return keys, found[0] if named else None, len(found)


def _record(
    settings: Settings,
    tenant: Tenant,
    actions: Sequence[Action],
    what: str,
    keys: Keys,
    held: int,
    *,
    dry_run: bool,
) -> None:
    found = f"e-mails: {len(keys.emails)}, telefones: {len(keys.phones)}, clientes: {held}"
    told = f"{what} ({found})."
    if dry_run:
        out.print(escape(f"Nada foi registrado; seria: {told}"))
        return
    open_ops(settings, tenant).append_actions(actions)
    out.print(escape(f"Registrado: {told}"))
    if not held:
        out.print("  ninguém do cadastro tem esta chave; vale para quando aparecer.")
    out.print("  arquivos novos já obedecem a uma recusa; o cadastro e o lote, a partir da próxima")
    out.print("  rodada: `uv run crm run --only actions,refine`.")


def _given_at(settings: Settings, tenant: Tenant, day: str | None) -> datetime:
    """The first instant of the day of a consent, or now: what is not known lifts less."""
    given_on = parse_day("--day", day)
    if given_on is None:
        return settings.now()
    if given_on > settings.today(tenant.timezone):
        raise typer.BadParameter("--day não pode ser um dia que ainda não chegou.")
    return start_of_day(tenant, given_on)


def among(option: str, values: Sequence[str], known: Sequence[str]) -> list[str]:
    """The values of an option, each once; a wrong one is refused with those that are known."""
    wrong = [value for value in values if value not in known]
    if wrong:
        raise typer.BadParameter(f"{option} aceita {', '.join(known)}, não {wrong[0]!r}.")
    return list(dict.fromkeys(values))


@overload
def one_of(option: str, said: str, words: Mapping[str, str]) -> str: ...
@overload
def one_of(option: str, said: str | None, words: Mapping[str, str]) -> str | None: ...
def one_of(option: str, said: str | None, words: Mapping[str, str]) -> str | None:
    """The value that an option means, by its word or as it is; None without one."""
    value = None if said is None else meant(said, words)
    if said is not None and value is None:
        raise typer.BadParameter(f"{option} aceita {', '.join(words.values())}, não {said!r}.")
    return value


def said(option: str, text: str) -> str:
    """The text of an option, which must say something."""
    if not text.strip():
        raise typer.BadParameter(f"{option} não pode ficar vazio.")
    return text.strip()
