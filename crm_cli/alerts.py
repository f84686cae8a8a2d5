"""`crm alerts`: do the alerts arrive?"""

from __future__ import annotations

import sys

import typer
from rich.markup import escape

from crm_assets.settings import load_settings
from crm_cli.console import out, refuse, tell_tenant
from crm_cli.session import TenantOption, chosen_tenants

alerts_app = typer.Typer(no_args_is_help=True, help="Alertas por e-mail e webhook.")


@alerts_app.callback()
def alerts() -> None:
    """Alertas por e-mail (ALERT_EMAILS) e webhook (ALERT_WEBHOOK_URL)."""


@alerts_app.command("test")
def send_test(tenant: TenantOption = None) -> None:
    """Manda uma mensagem de teste por todos os canais configurados.

    Exemplo: crm alerts test
    """
    from crm_assets.automation.alerts import trial_message
    from crm_assets.automation.notify import senders
    from crm_resources.alerts import SendError

    settings = load_settings()
    channels = senders(settings.alerts)
    if not channels:
        refuse("Nenhum canal configurado: preencha ALERT_EMAILS e SMTP_HOST, ou ALERT_WEBHOOK_URL.")
        sys.exit(1)
    arrived = True
    for one in chosen_tenants(settings, tenant):
        tell_tenant(settings, one)
        for sender in channels:
            try:
                sender.send(trial_message(one, settings.environment, settings.now()))
            except SendError as error:
                refuse(f"  {sender.channel}: {error}.")
                arrived = False
            else:
                out.print(escape(f"  {sender.channel}: enviado"))
    sys.exit(0 if arrived else 1)
