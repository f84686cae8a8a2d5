"""`crm customers`: who is one person, why, and the decisions of those who know better.

A decision is recorded with who took it and why, and takes effect in the next round.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_assets.words import FIELD_NAMES, counted
from crm_cli.console import out
from crm_cli.erasing import erase, readmit
from crm_cli.requests import request_app
from crm_cli.rights import consent, opt_out, retention, show_everything
from crm_cli.session import (
    TenantOption,
    actor_of,
    fail,
    open_ops,
    run_tenant,
    tenant_of,
    the_customer,
)

if TYPE_CHECKING:
    import polars as pl

    from crm_assets.gold.deciding import Author
    from crm_assets.silver.explain import Profile
    from crm_assets.silver.stewardship import Decision
    from crm_resources.ops import Action
    from crm_resources.warehouse import Transaction

customers_app = typer.Typer(
    no_args_is_help=True, help="Pessoas do cadastro: ver, unir, separar, corrigir, direitos."
)

WhoArgument = Annotated[
    str,
    typer.Argument(metavar="CLIENTE", help="Id, e-mail, telefone em qualquer escrita ou registro."),
]
ReasonOption = Annotated[str, typer.Option(help="Por que (fica registrado).")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Quem decidiu (padrão: o usuário do computador).")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Mostra os clientes antes e depois, sem registrar nada.")
]
NowOption = Annotated[bool, typer.Option("--now", help="Refaz o cadastro em seguida.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Tudo, em JSON.")]


@customers_app.command("show")
def show(
    who: WhoArgument,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
    everything: Annotated[
        bool,
        typer.Option("--everything", help="Grava tudo o que se guarda da pessoa (LGPD)."),
    ] = False,
    records: Annotated[
        list[str] | None,
        typer.Option("--record", help="Com --everything: registro de quem pede; pode repetir."),
    ] = None,
    to_stdout: Annotated[
        bool, typer.Option("--stdout", help="Com --everything: mostra em vez de gravar.")
    ] = False,
) -> None:
    """Mostra uma pessoa: campos e de onde vêm, registros, por que são um, história, decisões.

    Exemplo: crm customers show "(11) 98123-9876"
    """
    from crm_assets.gold.people import customers_of, reading
    from crm_assets.privacy.person import groups_of, members
    from crm_assets.silver.explain import read_profile

    settings, one = tenant_of(tenant)
    with reading(settings, one) as tx:
        customer_id = the_customer(customers_of(tx, who))
        profile = read_profile(tx, customer_id)
        groups = groups_of(members(tx, customer_id))
    if everything:
        flavour = "json" if as_json else "txt"
        show_everything(
            settings, one, customer_id, flavour=flavour, records=records or (), to_stdout=to_stdout
        )
    else:
        refs = [list(dict.fromkeys(record.ref for record in group)) for group in groups]
        _show_profile(profile, refs, as_json=as_json)


@customers_app.command("merge")
def merge(
    who: Annotated[
        list[str], typer.Argument(metavar="CLIENTE", help="Dois ou mais clientes ou registros.")
    ],
    reason: ReasonOption,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    now: NowOption = False,
) -> None:
    """Diz que são uma pessoa só, qualquer que seja o e-mail ou o telefone.

    Exemplo: crm customers merge ana@example.com manychat:77 --reason "ela confirmou" --dry-run
    """
    from crm_assets.gold import deciding

    if len(who) < 2:
        raise typer.BadParameter("diga ao menos dois clientes.")
    _decide(
        tenant, reason, by, lambda tx, log: deciding.merge(tx, log, who), dry_run=dry_run, now=now
    )


@customers_app.command("split")
def split(
    who: WhoArgument,
    records: Annotated[
        list[str],
        typer.Option("--record", help="Registro que sai, como manychat:77; pode repetir."),
    ],
    reason: ReasonOption,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    now: NowOption = False,
) -> None:
    """Diz que estes registros, juntos, são de outra pessoa.

    Exemplo: crm customers split cus_… --record manychat:77 --reason "é a irmã"
    """
    from crm_assets.gold import deciding

    _decide(
        tenant,
        reason,
        by,
        lambda tx, log: deciding.split(tx, log, who, records),
        dry_run=dry_run,
        now=now,
    )


@customers_app.command("keep-apart")
def keep_apart(
    reason: ReasonOption,
    who: Annotated[
        list[str] | None, typer.Argument(metavar="CLIENTE", help="Dois clientes.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="E-mail ou telefone que não une ninguém.")] = None,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    now: NowOption = False,
) -> None:
    """Diz que duas pessoas nunca são uma só, ou que um e-mail ou telefone não une ninguém.

    Exemplo: crm customers keep-apart --key 11999990000 --reason "telefone da recepção"
    """
    from crm_assets.gold import deciding

    named = who or []
    if len(named) != (2 if key is None else 0):
        raise typer.BadParameter("diga dois clientes, ou --key com um e-mail ou telefone.")

    def decision(tx: Transaction, log: pl.DataFrame) -> list[Decision]:
        if key is not None:
            return deciding.block_key(log, key)
        return deciding.keep_apart(tx, log, *named)

    _decide(tenant, reason, by, decision, dry_run=dry_run, now=now)


@customers_app.command("pin")
def pin(
    who: WhoArgument,
    field: Annotated[
        str,
        typer.Argument(
            metavar="CAMPO",
            help="nome, e-mail, telefone, documento, instagram, cidade, estado ou país.",
        ),
    ],
    value: Annotated[str, typer.Argument(metavar="VALOR")],
    reason: ReasonOption,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    now: NowOption = False,
) -> None:
    """Fixa um campo de uma pessoa, digam o que disserem as fontes.

    Exemplo: crm customers pin ana@example.com nome "Ana Souza" --reason "ela corrigiu"
    """
    from crm_assets.gold import deciding

    _decide(
        tenant,
        reason,
        by,
        lambda tx, log: deciding.pin(tx, log, who, field, value),
        dry_run=dry_run,
        now=now,
    )


@customers_app.command("undo")
def undo(
    number: Annotated[int, typer.Argument(metavar="DECISÃO", help="Número, de `customers list`.")],
    reason: ReasonOption,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    now: NowOption = False,
) -> None:
    """Desfaz uma decisão; os registros voltam a seguir as chaves.

    Exemplo: crm customers undo 12 --reason "era outra Ana" --dry-run
    """
    from crm_assets.gold import deciding
    from crm_assets.gold.people import reading

    settings, one = tenant_of(tenant)
    author = _author(settings, reason, by)
    with reading(settings, one) as tx:
        ops = open_ops(settings, one)
        log = ops.actions()
        actions = deciding.undoing(log, number, author)
        if dry_run:
            out.print(f"Nada foi registrado; a decisão {number} seria desfeita.")
            pins = deciding.pins_undone(log, number)
            for pin in pins:
                _show_pinned(tx, pin)
                out.print("Sem ela vale o que outra decisão fixou, ou o que dizem as fontes.")
            if not pins:
                _show_effect(settings, one, tx, log, actions)
            return
    ops.append_actions(actions)
    out.print(f"Decisão {number} desfeita.")
    _finish(settings, one, now=now)


@customers_app.command("list")
def list_decisions(tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Lista as decisões: número, quando, quem, o quê, por que, e se ainda valem.

    Exemplo: crm customers list
    """
    from crm_assets.silver.stewardship import decisions
    from crm_cli.dossier import listed, listed_lines

    settings, one = tenant_of(tenant)
    taken = decisions(open_ops(settings, one).actions()) if settings.has_ops(one.slug) else []
    rows = listed(one, taken)
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        for line in listed_lines(row):
            out.print(escape(line))
    if not rows:
        out.print("Nenhuma decisão ainda.")


@customers_app.command("review")
def review(
    tenant: TenantOption = None,
    most: Annotated[int, typer.Option(min=1, help="Quantos mostrar.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Lista o que merece o olhar de uma pessoa, primeiro o que pesa mais.

    Exemplo: crm customers review
    """
    from crm_assets.gold.snapshot import open_snapshot

    settings, one = tenant_of(tenant)
    with open_snapshot(settings, one) as con:
        found = con.sql("FROM gold.identity_review ORDER BY position").pl().to_dicts()
    if as_json:
        _print_json(found)
        return
    for row in found[:most]:
        key = f" {row['key']}" if row["key"] else ""
        out.print(escape(f"{row['position']}. {row['reason']}{key}"))
        people = counted(row["customers"], "cliente")
        out.print(escape(f"   {people}: {', '.join(row['customer_ids'][:5])}"))
        out.print(escape(f"   {row['remedy']}"))
    rest = len(found) - most
    out.print(f"… e mais {rest} (--most)." if rest > 0 else f"{len(found)} para olhar.")


@customers_app.command("accept-merges")
def accept_merges(
    reason: ReasonOption,
    by: ByOption = None,
    tenant: TenantOption = None,
    now: NowOption = False,
) -> None:
    """Deixa a próxima rodada unir os clientes que a conferência de uniões segurou, uma vez.

    Exemplo: crm customers accept-merges --reason "importamos a base antiga" --now
    """
    from crm_assets.gold.deciding import acceptance
    from crm_assets.silver import run_guard

    settings, one = tenant_of(tenant)
    ops = open_ops(settings, one)
    if not any(run_guard.LIMIT in incident.detail for incident in ops.open_incidents()):
        fail("Nenhuma rodada foi segurada por unir clientes demais: não há o que aceitar.")
    ops.append_actions([acceptance(ops.actions(), _author(settings, reason, by))])
    out.print("Aceito: a próxima rodada une quantos clientes encontrar, só ela.")
    _finish(settings, one, now=now)


# The rights of people have a file of their own.
customers_app.command("opt-out")(opt_out)
customers_app.command("consent")(consent)
customers_app.command("erase")(erase)
customers_app.command("readmit")(readmit)
customers_app.command("retention")(retention)
customers_app.add_typer(request_app, name="request")


def _decide(
    tenant: str | None,
    reason: str,
    by: str | None,
    decision: Callable[[Transaction, pl.DataFrame], list[Decision]],
    *,
    dry_run: bool,
    now: bool,
) -> None:
    """Check a decision against the master and the log; then show its effect, or record it."""
    from crm_assets.gold.deciding import actions_of, record
    from crm_assets.gold.people import reading
    from crm_assets.silver.stewardship import PIN

    settings, one = tenant_of(tenant)
    author = _author(settings, reason, by)
    with reading(settings, one) as tx:
        ops = open_ops(settings, one)
        log = ops.actions()
        taken = decision(tx, log)
        if dry_run:
            out.print(escape(f"Nada foi registrado; a decisão diria: {taken[0].told()}"))
            if taken[0].kind == PIN:
                _show_pinned(tx, taken[0])
            else:
                _show_effect(settings, one, tx, log, actions_of(log, taken, author))
            return
    number = record(ops, log, taken, author)
    out.print(escape(f"Decisão {number} registrada: {taken[0].told()}"))
    _finish(settings, one, now=now)


def _show_pinned(tx: Transaction, pin: Decision) -> None:
    from crm_assets.gold.deciding import pinned_now

    out.print(escape(f"{FIELD_NAMES[pin.field or '']} hoje: {pinned_now(tx, pin)}"))


def _show_effect(
    settings: Settings,
    tenant: Tenant,
    tx: Transaction,
    log: pl.DataFrame,
    actions: Sequence[Action],
) -> None:
    from crm_assets.gold.deciding import rehearse
    from crm_cli.dossier import effect_lines

    for line in effect_lines(rehearse(tx, settings, tenant, log, actions)):
        out.print(escape(line))


def _show_profile(profile: Profile, groups: Sequence[Sequence[str]], *, as_json: bool) -> None:
    from crm_cli.dossier import profile_lines, profile_told

    if as_json:
        _print_json(profile_told(profile, groups))
        return
    for line in profile_lines(profile, groups):
        out.print(escape(line))


def _finish(settings: Settings, tenant: Tenant, *, now: bool) -> None:
    if now:
        sys.exit(0 if run_tenant(settings, tenant, ("actions", "refine")) else 1)
    out.print("Vale a partir da próxima rodada: `uv run crm run --only actions,refine`.")


def _author(settings: Settings, reason: str, by: str | None) -> Author:
    from crm_assets.gold.deciding import Author

    if not reason.strip():
        raise typer.BadParameter("--reason precisa dizer por quê.")
    return Author(actor_of(by), reason.strip(), settings.now())


def _print_json(told: Any) -> None:
    sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=2, default=str) + "\n")
