"""`crm import`: one source now, and an import taken out again."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from crm_assets.bronze.receiving import HOTMART_CSV, MANYCHAT, UnknownFile, find_received
from crm_assets.words import counted
from crm_cli.console import out
from crm_cli.session import TenantOption, fail, open_ops, run_tenant, tenant_of

import_app = typer.Typer(no_args_is_help=True, help="Importa uma fonte agora, ou desfaz isso.")

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Diz o que aconteceria, sem gravar nada.")
]
WaitOption = Annotated[float, typer.Option(min=0, help="Segundos a esperar por outra rodada.")]


class FileSource(StrEnum):
    """What people call the sources of files."""

    manychat = "manychat"
    hotmart_csv = "hotmart-csv"


@import_app.command("manychat")
def import_manychat(
    files: Annotated[
        list[Path], typer.Argument(metavar="ARQUIVO", help="Arquivos CSV de contatos.")
    ],
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    wait: WaitOption = 0,
) -> None:
    """Importa arquivos de contatos do ManyChat e refaz o cadastro.

    Exemplo: crm import manychat contatos.csv --dry-run
    """
    _import(MANYCHAT, files, tenant, dry_run, wait)


@import_app.command("hotmart-csv")
def import_hotmart_csv(
    files: Annotated[
        list[Path], typer.Argument(metavar="ARQUIVO", help="Relatórios de vendas em CSV.")
    ],
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
    wait: WaitOption = 0,
) -> None:
    """Importa o relatório de vendas exportado do painel da Hotmart e refaz o cadastro.

    Onde a API fala da mesma transação, ela vale.

    Exemplo: crm import hotmart-csv vendas.csv --dry-run
    """
    _import(HOTMART_CSV, files, tenant, dry_run, wait)


@import_app.command("undo")
def undo(
    named: Annotated[
        str, typer.Argument(metavar="ARQUIVO", help="Arquivo importado, seu nome ou sua partição.")
    ],
    tenant: TenantOption = None,
    source: Annotated[
        FileSource | None, typer.Option(help="Fonte, quando o mesmo arquivo entrou em duas.")
    ] = None,
    dry_run: DryRunOption = False,
    wait: WaitOption = 0,
) -> None:
    """Tira um arquivo importado de novo e refaz o cadastro; ele só volta se for importado por nome.

    Exemplo: crm import undo contatos.csv --dry-run
    """
    settings, one = tenant_of(tenant)
    if not settings.has_ops(one.slug):
        fail("Nada foi importado ainda.")
    try:
        load = find_received(
            named, open_ops(settings, one), source and source.value.replace("-", "_")
        )
    except UnknownFile as unknown:
        fail(str(unknown))
    shown = escape(f"{load.file_name} ({load.slice})")
    if dry_run:
        from crm_assets.preview import preview_undo

        out.print(f"{shown}: {escape(preview_undo(load, settings, one))}")
        return
    ok = run_tenant(settings, one, ("actions", "refine"), undo=load, wait=wait)
    if ok:
        undone = f"desfeito: {counted(load.rows, 'linha')}"
        out.print(f"  {shown}: {'já estava desfeito' if load.status == 'undone' else undone}")
    sys.exit(0 if ok else 1)


@import_app.command("rejects")
def rejects(
    tenant: TenantOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Quantos mostrar.")] = 50,
) -> None:
    """Mostra o que não foi lido: fonte, lugar, campo, motivo e o texto como veio.

    Exemplo: crm import rejects --limit 10
    """
    from crm_assets.resources import warehouse_of

    settings, one = tenant_of(tenant)
    if not settings.has_ops(one.slug):
        fail("Nada foi importado ainda.")
    found = warehouse_of(settings, one).read(_REJECTS)
    for source, part, place, field, reason, raw in found.head(limit).rows():
        line = f"linha {place}" if (place or "").isdigit() else place
        where = ", ".join(filter(None, (source, part, line, field)))
        out.print(escape(f"{where}: {reason}: {raw}"), soft_wrap=True)
    if found.is_empty():
        out.print("Tudo foi lido.")
    if len(found) > limit:
        out.print(f"… e mais {len(found) - limit} (--limit)")


def _import(
    source: str, files: Sequence[Path], slug: str | None, dry_run: bool, wait: float
) -> None:
    settings, one = tenant_of(slug)
    missing = [file for file in files if file.is_dir() or not os.path.lexists(file)]
    if missing:
        what = "é uma pasta" if missing[0].is_dir() else "não existe"
        kind = "de contatos" if source == MANYCHAT else "de vendas"
        fail(f"{missing[0]} {what}: diga um arquivo {kind}.")
    if dry_run:
        from crm_assets.preview import preview

        told = [preview(file, settings, one, source) for file in files]
        for file, effect in zip(files, told, strict=True):
            out.print(escape(f"{file.name}: {effect}"))
        sys.exit(0 if all(effect.accepted for effect in told) else 1)
    ok = run_tenant(settings, one, (source, "actions", "refine"), files=files, wait=wait)
    sys.exit(0 if ok else 1)


_REJECTS = """
    SELECT source, slice, place, field, reason, raw[:60]
    FROM bronze.rejects ORDER BY extracted_at DESC, source, slice, place
"""
