"""`crm import`: one source now."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from crm_assets.settings import load_settings
from crm_cli.console import out
from crm_cli.session import TenantOption, fail, run_tenant, single_tenant

import_app = typer.Typer(no_args_is_help=True, help="Importa uma fonte agora.")


@import_app.command("manychat")
def import_manychat(
    files: Annotated[list[Path], typer.Argument(help="Arquivos CSV de contatos.")],
    tenant: TenantOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Diz o que aconteceria, sem gravar nada.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Segundos a esperar por outra rodada.")] = 0,
) -> None:
    """Importa arquivos de contatos do ManyChat e refaz o cadastro.

    Exemplo: crm import manychat contatos.csv --dry-run
    """
    settings = load_settings()
    one = single_tenant(settings, tenant)
    missing = [file for file in files if not file.is_file()]
    if missing:
        what = "é uma pasta" if missing[0].is_dir() else "não existe"
        fail(f"{missing[0]} {what}: diga um arquivo de contatos.")
    if dry_run:
        from crm_assets.preview import preview

        told = [preview(file, settings, one) for file in files]
        for file, effect in zip(files, told, strict=True):
            out.print(escape(f"{file.name}: {effect}"))
        sys.exit(0 if all(effect.accepted for effect in told) else 1)
    ok = run_tenant(settings, one, ("manychat", "actions", "refine"), files=files, wait=wait)
    sys.exit(0 if ok else 1)
