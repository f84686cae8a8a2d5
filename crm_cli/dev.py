"""`crm dev`: what stays up: Dagster's web UI, schedules and sensors, and the receiver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from crm_assets.settings import CHECKOUT, load_settings
from crm_cli.console import out
from crm_cli.serve import WEB_PORT, refuse_busy_port
from crm_cli.session import chosen_tenants, prepare_instance

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def dev(
    port: Annotated[int, typer.Option(help="Porta da interface do Dagster.")] = 3000,
    web_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Porta de `crm serve`; 0 não o abre.")
    ] = WEB_PORT,
) -> None:
    """Abre a interface do Dagster e o recebedor, liga agendas e sensores, até Ctrl+C.

    Exemplo: crm dev --port 3000 --web-port 3333
    """
    from crm_assets.automation.alerts import next_due

    settings = load_settings()
    tenants = chosen_tenants(settings, None)
    if web_port:
        refuse_busy_port("127.0.0.1", web_port, "--web-port")
    prepare_instance(settings, tenants)
    out.print(f"Interface em http://127.0.0.1:{port} (ambiente {settings.environment}).")
    for one in tenants:
        at = next_due(one, settings.schedule_time, datetime.now(UTC))
        when = f"{at:%d/%m/%Y às %H:%M} ({at.tzinfo})"
        out.print(escape(f"{one.name} ({one.slug}): próxima rodada em {when}."))
    out.print("A rodada de hoje que já passou da hora e não foi feita começa em minutos.")
    out.print("Ctrl+C encerra.")
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(CHECKOUT / "workspace.yaml")]
    with _stops_as_interrupts():
        process = subprocess.Popen(  # noqa: S603
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            env={**os.environ, "CRM_SCHEDULES_ON": "1", "PYTHONWARNINGS": "ignore"},
            cwd=settings.dagster_home,
            start_new_session=True,
        )
        web = _web(web_port) if web_port else None
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
        finally:
            if web is not None:
                web.send_signal(signal.SIGTERM)
                web.wait()


def _web(port: int) -> subprocess.Popen[bytes]:
    """The receiver, in a process of its own."""
    command = [sys.executable, "-m", "crm_cli", "serve", "--port", str(port)]
    return subprocess.Popen(command, start_new_session=True)  # noqa: S603


@contextmanager
def _stops_as_interrupts() -> Iterator[None]:
    """A service manager's stop, or a closed terminal, is a Ctrl+C: Dagster is ended in order."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in _STOPS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
