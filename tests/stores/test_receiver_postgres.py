"""The receiver on PostgreSQL: kept once, and again after the server hung up."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from crm_assets.settings import Settings
from crm_assets.tenants import build_tenant_model
from crm_resources.ops import OpsStore
from crm_web.app import create_app
from crm_web.server import server

TOKEN = "canario-hottok-4f1c9b7e2d"
BODIES = [{"id": f"e{number}", "text": "Zoé 🌸 \x00 \ud800"} for number in range(20)]


def test_events_are_kept_once_also_when_the_server_hangs_up(tmp_path, postgres, postgres_server):
    environ = {"CRM_HOME": str(tmp_path), "CRM_OPS_URL": postgres, "HOTMART_WEBHOOK_TOKEN": TOKEN}
    settings = Settings.from_environ(environ)
    tenants = {"default": build_tenant_model("default", {}, environ)}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = server(create_app(settings, tenants, environ), "127.0.0.1", port)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    with httpx.Client(headers={"x-hotmart-hottok": TOKEN}, timeout=20) as client:

        def post(body):
            url = f"http://127.0.0.1:{port}/api/hotmart/webhook/user"
            return client.post(url, content=json.dumps(body).encode()).status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(post, [*BODIES[:10], *BODIES[:10]])) == {200}
            postgres_server.hang_up()
            assert set(pool.map(post, BODIES)) == {200}
    running.should_exit = True
    thread.join(30)
    held = OpsStore(postgres, settings.ops_tenant("default")).events()
    assert sorted(each.event_key for each in held) == sorted(body["id"] for body in BODIES)
    assert [json.loads(each.body)["text"] for each in held] == [BODIES[0]["text"]] * 20
    assert not (tmp_path / "db").exists()
