"""The web app on a real server, over TCP; and what it left in the stores."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from crm_assets.settings import Settings
from crm_assets.tenants import build_tenant_model
from crm_resources.ops import OpsStore
from crm_web.app import create_app
from crm_web.server import server

HOTTOK = "canario-hottok-4f1c9b7e2d"
OLD_HOTTOK = "canario-hottok-antigo-88"
OTHER_HOTTOK = "canario-hottok-da-acme-1"
MANYCHAT = "canario-manychat-77aa21"
SECRETS = (HOTTOK, OLD_HOTTOK, OTHER_HOTTOK, MANYCHAT)
HOTMART_PATH, MANYCHAT_PATH = "/api/hotmart/webhook/default", "/api/manychat/contact/default"
TOKEN = {"x-hotmart-hottok": HOTTOK}
CLIENT = httpx.Client(timeout=20)


def environ_of(home, **more):
    return {
        "CRM_HOME": str(home),
        "ENVIRONMENT": "prd",
        "HOTMART_WEBHOOK_TOKEN": f" {HOTTOK} ,{OLD_HOTTOK},",
        "MANYCHAT_WEBHOOK_TOKEN": MANYCHAT,
        "ACME_HOTMART_WEBHOOK_TOKEN": OTHER_HOTTOK,
        **more,
    }


@dataclass
class Web:
    """A running app."""

    port: int
    settings: Settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path=HOTMART_PATH, **request: Any) -> httpx.Response:
        return CLIENT.post(f"{self.url}{path}", **request)

    def get(self, path: str) -> httpx.Response:
        return CLIENT.get(f"{self.url}{path}")

    def store(self, tenant="default") -> OpsStore:
        return OpsStore(self.settings.ops_address(tenant), self.settings.ops_tenant(tenant))

    def held(self, tenant="default"):
        return self.store(tenant).events(limit=10_000)[::-1]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)


@contextmanager
def serving(environ, slugs=("default",)):
    """Serve some tenants from a thread; everything is written when it has ended."""
    settings = Settings.from_environ(environ)
    tenants = {slug: build_tenant_model(slug, {}, environ) for slug in slugs}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = server(create_app(settings, tenants, environ), "127.0.0.1", port)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield Web(port, settings)
    finally:
        running.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def said(home):
    """Every byte of every file below a folder."""
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
