"""`crm backup`, `crm restore`, `crm cleanup`: a company in one file and back, old events away."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from crm_assets.settings import load_settings
from crm_assets.tenants import Tenant
from crm_assets.words import counted
from crm_cli.console import local, out, refuse, tell_table, tell_tenant
from crm_cli.erasing import confirmed
from crm_cli.rights import YesOption
from crm_cli.session import (
    TenantOption,
    actor_by,
    chosen_tenants,
    fail,
    or_wait,
    prepare_instance,
    run_tenant,
    tenant_of,
)

if TYPE_CHECKING:
    from crm_assets.safekeeping.restore import Restored


def backup(
    tenant: TenantOption = None,
    to: Annotated[
        Path | None, typer.Option(help="Pasta da cópia (padrão: data/backups/…).")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Segundos a esperar por uma rodada.")] = 0,
) -> None:
    """Guarda bancos, arquivos recebidos e configuração num arquivo só, e o confere.

    Com CRM_BACKUP_PASSPHRASE, os segredos e a chave dos apagamentos vão junto, criptografados.

    Exemplo: crm backup --to /mnt/copias
    """
    from crm_assets.definitions import site_of
    from crm_assets.safekeeping.backup import PURPOSE, BackupError, back_up
    from crm_resources.locks import Busy

    settings = load_settings()
    done = True
    for one in chosen_tenants(settings, tenant):
        tell_tenant(settings, one)
        actor = actor_by(PURPOSE)
        try:
            made = back_up(site_of(one, settings), os.environ, target=to, actor=actor, wait=wait)
        except (BackupError, Busy) as error:
            refuse(or_wait(error) if isinstance(error, Busy) else error)
            done = False
            continue
        out.print(escape(f"  {made.path}"))
        out.print(
            f"  conferida: {counted(made.rows, 'linha')}, {counted(made.files, 'arquivo')}, "
            f"{made.size / 2**20:.1f} MB".replace(".", ",")
        )
        if not made.has_secrets:
            keys = escape(str(settings.home / "keys"))
            out.print(
                "  sem os segredos nem a chave dos apagamentos: defina CRM_BACKUP_PASSPHRASE para "
                f"que vão junto, criptografados, ou guarde o .env e {keys} em outro lugar."
            )
    sys.exit(0 if done else 1)


def restore(
    path: Annotated[
        Path, typer.Argument(metavar="ARQUIVO|PASTA", help="A cópia, ou a pasta da mais nova.")
    ],
    tenant: TenantOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Abre, confere e compara, sem mudar nada.")
    ] = False,
    config_to: Annotated[
        Path | None, typer.Option(help="Pasta para tenants.toml e .env da cópia.")
    ] = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Não faz a rodada depois.")] = False,
    yes: YesOption = False,
) -> None:
    """Volta uma empresa a uma cópia de segurança, sem perder o que se decidiu depois dela.

    Quem foi apagado depois da cópia continua apagado; o que chegou depois é lido de novo.

    Exemplo: crm restore data/backups/prd/default --dry-run
    """
    import dagster as dg

    from crm_assets.definitions import site_of
    from crm_assets.safekeeping.restore import chosen
    from crm_assets.safekeeping.restore import restore as bring_back

    settings, one = tenant_of(tenant)
    tell_tenant(settings, one)
    prepare_instance(settings, [one])
    site = site_of(one, settings)
    archive = chosen(site, path)
    with dg.DagsterInstance.get() as instance:
        if dry_run or not yes:
            told = bring_back(site, archive, instance, dry_run=True)
            _tell_comparison(one, archive, told)
            if dry_run:
                out.print("Nada foi mudado.")
                return
            if not confirmed("Restaurar?"):
                fail("Nada foi mudado.")
        done = bring_back(site, archive, instance, configuration_to=config_to)
    _tell_done(one, done)
    if no_run:
        out.print("Agora rode `uv run crm run`, que lê de novo o que veio depois da cópia.")
        return
    sys.exit(0 if run_tenant(settings, one, None) else 1)


def cleanup(
    tenant: TenantOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Conta o que sairia da caixa, sem mudar nada.")
    ] = False,
) -> None:
    """Passa os eventos processados há mais de um ano da caixa de entrada a arquivos compactados.

    O arquivo diz o que chegou, quando e como terminou; o que foi mandado não vai com ele.

    Exemplo: crm cleanup --dry-run
    """
    from crm_assets.definitions import site_of
    from crm_assets.safekeeping.cleanup import clean_up, cutoff, would_clean_up

    settings = load_settings()
    for one in chosen_tenants(settings, tenant):
        tell_tenant(settings, one)
        if not settings.has_ops(one.slug):
            out.print("  nenhum evento ainda.")
            continue
        site = site_of(one, settings)
        if dry_run:
            out.print(f"  nada foi mudado; chegados antes de {cutoff(site):%d/%m/%Y}:")
            for label, count in would_clean_up(site, site.ops_store()).items():
                out.print(f"  {label}: {count}")
        else:
            out.print(f"  eventos arquivados: {clean_up(site, site.ops_store())}")


def _tell_comparison(tenant: Tenant, archive: Path, told: Restored) -> None:
    out.print(escape(f"{archive.name}: inteira, de {local(tenant, told.taken_at)}"))
    table = Table("tabela", "agora", "na cópia", box=None, pad_edge=False)
    for name in sorted(told.now.keys() | told.then.keys()):
        now, then = told.now.get(name), told.then.get(name)
        if now != then:
            table.add_row(escape(name), _count(now), _count(then))
    tell_table(table)
    out.print(f"Arquivos recebidos que voltariam: {told.files}.")
    out.print("Decisões, apagamentos e eventos de depois da cópia ficam.")


def _tell_done(tenant: Tenant, done: Restored) -> None:
    out.print(f"O banco voltou a {local(tenant, done.taken_at)}.")
    for table, count in done.added.items():
        rows = counted(count, "linha voltou", "linhas voltaram")
        out.print(escape(f"  operações, {table}: {rows}"))
    out.print(f"  arquivos que voltaram: {done.files}")
    if done.tombstones:
        marks = counted(done.tombstones, "marca conferida", "marcas conferidas")
        out.print(f"  quem já foi apagado continua apagado ({marks})")
    if done.aside:
        out.print(escape(f"  o banco de antes está em {done.aside}"))
    for path in done.written:
        out.print(escape(f"  configuração: {path}"))


def _count(rows: int | None) -> str:
    return "não existe" if rows is None else str(rows)
