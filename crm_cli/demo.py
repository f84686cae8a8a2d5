"""`crm demo`: the main job on the sample tenant, in a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path

from crm_assets.settings import CHECKOUT, load_settings
from crm_cli.console import tell_next
from crm_cli.sandbox import SANDBOX_PORT
from crm_cli.session import chosen_tenants, open_ops, run_tenant

DEMO_NOW = "2026-03-15T09:00:00-03:00"


def demo() -> None:
    """Roda tudo com dados de exemplo e a Hotmart de mentira, em data/demo.

    Exemplo: crm demo
    """
    from crm_resources.hotmart.sandbox import Sandbox, SandboxServer
    from crm_resources.hotmart.sandbox_data import SandboxData

    sample = CHECKOUT / "data" / "sample"
    environment = _demo_environment(sample)
    os.environ.update(environment)
    settings = load_settings()
    inbox = settings.input_folder("default", "manychat")
    inbox.mkdir(parents=True, exist_ok=True)
    for file in sorted((sample / "input" / "manychat").glob("*.csv")):
        shutil.copy(file, inbox)
    env_file = settings.home / "demo.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    sales = SandboxData.load(sample / "hotmart.json")
    _deliver(sample / "events" / "hotmart.jsonl")
    with SandboxServer(Sandbox(sales)) as sandbox:
        os.environ["HOTMART_API_URL"] = os.environ["HOTMART_AUTH_URL"] = sandbox.url
        settings = load_settings()
        (one,) = chosen_tenants(settings, None)
        ok = run_tenant(settings, one, None)
    if ok:
        tell_next(env_file)
    sys.exit(0 if ok else 1)


def _deliver(file: Path) -> None:
    """Put invented webhook bodies into the inbox, as the receiver does."""
    from crm_resources.ops import InboxEvent

    settings = load_settings()
    (one,) = chosen_tenants(settings, None)
    posts = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    open_ops(settings, one).receive(
        [
            InboxEvent(
                kind="hotmart",
                event_key=post["body"]["id"],
                event=post["body"]["event"],
                version=post["body"]["version"],
                content_type="application/json",
                body=json.dumps(post["body"], ensure_ascii=False),
                received_at=datetime.fromisoformat(post["received_at"]),
            )
            for post in posts
        ]
    )


def _demo_environment(sample: Path) -> dict[str, str]:
    from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS

    url = f"http://127.0.0.1:{SANDBOX_PORT}"
    return {
        "ENVIRONMENT": "prd",
        "CRM_HOME": str(CHECKOUT / "data" / "demo"),
        "CRM_TENANTS": str(sample / "tenants.toml"),
        "CRM_NOW": DEMO_NOW,
        "HOTMART_CLIENT_ID": SANDBOX_CREDENTIALS.client_id,
        "HOTMART_CLIENT_SECRET": SANDBOX_CREDENTIALS.client_secret,
        "HOTMART_BASIC_TOKEN": "",
        "HOTMART_START_DATE": "",
        "HOTMART_END_DATE": "",
        "HOTMART_API_URL": url,
        "HOTMART_AUTH_URL": url,
        "SCHEDULE_TIME": "",
        "CRM_OPS_URL": "",
        "CRM_LOCATION_TENANTS": "",
        "ALERT_EMAILS": "",
        "ALERT_WEBHOOK_URL": "",
    }
