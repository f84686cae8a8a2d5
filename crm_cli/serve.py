"""`crm serve`: the web app, which receives what vendors post."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, suppress
from typing import Annotated

import typer
from rich.markup import escape

from crm_assets.settings import load_settings
from crm_assets.tenants import DEFAULT
from crm_cli.console import out
from crm_cli.session import chosen_tenants, fail
from crm_resources.locks import Busy, hold

WEB_PORT = 3333
LOCK = "serve.lock"


def serve(
    host: Annotated[str, typer.Option(help="Endereço em que escuta.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Porta.")] = WEB_PORT,
) -> None:
    """Recebe os eventos da Hotmart e os contatos do ManyChat, até Ctrl+C.

    Exemplo: crm serve --port 3333
    """
    settings = load_settings()
    tenants = {tenant.slug: tenant for tenant in chosen_tenants(settings, None)}
    refuse_busy_port(host, port, "--port")
    from crm_web.app import create_app
    from crm_web.server import server

    app = create_app(settings, tenants, os.environ)
    with ExitStack() as held:
        for slug in tenants:
            try:
                held.enter_context(hold(settings.store_folder(slug) / LOCK, "crm serve", 0))
            except Busy as busy:
                other = busy.holder or "Outro processo"
                fail(
                    f"{other} já recebe o que chega para {slug}: encerre-o antes, ou deixe-o de pé."
                )
        shown = f"[{host}]" if ":" in host else host
        out.print(f"Recebendo em http://{shown}:{port} (ambiente {settings.environment}).")
        for slug, tenant in tenants.items():
            names = (tenant.hotmart.webhook_token_env, tenant.manychat.webhook_token_env)
            paths = (f"/api/hotmart/webhook/{slug}", f"/api/manychat/contact/{slug}")
            for path, name in zip(paths, names, strict=True):
                note = "" if os.environ.get(name) else f" (sem {name}: tudo é recusado)"
                out.print(escape(f"  {tenant.name}: {path}{note}"))
        if DEFAULT in tenants or len(tenants) == 1:
            out.print("  /user no lugar do nome da empresa também vale para a padrão.")
        out.print("Ctrl+C encerra.")
        with suppress(KeyboardInterrupt):
            server(app, host, port).run()


def refuse_busy_port(host: str, port: int, option: str) -> None:
    """End with one sentence when nobody can listen there."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError:
        fail(f"A porta {port} de {host} não está livre: escolha outra com {option}.")
