"""`crm sandbox`: the vendors as local servers."""

from __future__ import annotations

import socket
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from crm_assets.settings import CHECKOUT, load_settings
from crm_assets.words import counted
from crm_cli.console import out
from crm_cli.session import fail

SANDBOX_PORT = 8010
SANDBOX_ZONE = "America/Sao_Paulo"

sandbox_app = typer.Typer(no_args_is_help=True, help="Servidores locais dos fornecedores.")


@sandbox_app.command("hotmart")
def sandbox_hotmart(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Porta em 127.0.0.1.")] = SANDBOX_PORT,
    data: Annotated[
        Path | None, typer.Option(help="JSON com vendas escritas à mão (padrão: as de exemplo).")
    ] = None,
    transactions: Annotated[
        int, typer.Option(min=0, help="Gera tantas vendas em vez de ler um arquivo.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Semente das vendas geradas.")] = 1,
    start: Annotated[str, typer.Option(help="Primeiro dia das vendas geradas.")] = "2023-04-01",
    end: Annotated[str, typer.Option(help="Último dia das vendas geradas.")] = "2026-03-14",
    faults: Annotated[
        str, typer.Option(help='Falhas em JSON, como {"delay_seconds": 2} (veja docs/sandbox.md).')
    ] = "{}",
) -> None:
    """Sobe uma Hotmart de mentira, por HTTP de verdade, até Ctrl+C.

    Exemplo: crm sandbox hotmart --transactions 5000
    """
    from pydantic import ValidationError

    from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS, Faults, serve
    from crm_resources.hotmart.sandbox_data import SandboxData, SandboxDataError

    if data and not data.is_file():
        raise typer.BadParameter(f"--data: {data} não é um arquivo.")
    settings = load_settings()
    try:
        script = Faults.model_validate_json(faults)
        if transactions:
            first, last = (
                datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(SANDBOX_ZONE))
                for text in (start, end)
            )
            sales = SandboxData.generate(seed, transactions, first, last)
        else:
            sample = CHECKOUT / "data" / "sample" / "hotmart.json"
            sales = SandboxData.load(data or sample, settings.now)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, each["loc"])) or "JSON" for each in error.errors())
        known = ", ".join(Faults.model_fields)
        raise typer.BadParameter(f"--faults não aceita {fields}; existem {known}.") from None
    except (SandboxDataError, OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        fail(f"A porta {port} já está em uso: escolha outra com --port.")
    url = f"http://127.0.0.1:{port}"
    out.print(
        f"{counted(len(sales), 'venda')} em {url}\n"
        f"HOTMART_API_URL={url} HOTMART_AUTH_URL={url} "
        f"HOTMART_CLIENT_ID={SANDBOX_CREDENTIALS.client_id} "
        f"HOTMART_CLIENT_SECRET={SANDBOX_CREDENTIALS.client_secret}"
    )
    serve("127.0.0.1", port, sales, script)
