"""One sandbox over loopback for the folder; every test gets it clean."""

from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import httpx
import pytest
from tenacity import wait_none

from crm_resources.hotmart import SALES_HISTORY, HotmartClient, Limiter, Window
from crm_resources.hotmart.client import TOKEN_PATH
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS, Faults, Sandbox, SandboxServer
from crm_resources.hotmart.sandbox_data import SandboxData

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
START = datetime(2024, 1, 1, tzinfo=SAO_PAULO)
END = datetime(2024, 6, 30, 23, 59, 59, tzinfo=SAO_PAULO)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def sales() -> SandboxData:
    return SandboxData.generate(7, 1_200, START, END)


@pytest.fixture(scope="session")
def server(sales: SandboxData) -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox(sales, minute=0.3)) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer, sales: SandboxData) -> Sandbox:
    """Without faults, without limit, and with its own copy of the sales."""
    server.sandbox.reset(SandboxData(sales.find(), sales.now_ms), Faults(calls_per_minute=0))
    return server.sandbox


@pytest.fixture
def connect(server: SandboxServer, sandbox: Sandbox) -> Callable[..., HotmartClient]:
    """Makes clients of the sandbox that retry without delay, with a short minute and no limit."""

    def make(**options) -> HotmartClient:
        credentials = options.pop("credentials", SANDBOX_CREDENTIALS)
        limiter = Limiter(100_000, period=0.3, concurrency=options.get("concurrency", 16))
        settings = {"limiter": limiter, "backoff": wait_none()} | options
        return HotmartClient(credentials, server.url, server.url, **settings)

    return make


@pytest.fixture(scope="session")
def whole() -> Window:
    """The window of all the sales: three pages of history."""
    return Window(START, END)


@pytest.fixture(scope="session")
def http(server: SandboxServer) -> Iterator[httpx.Client]:
    """Speaks to the sandbox without any of our client."""
    with httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def get(http: httpx.Client, sandbox: Sandbox) -> Callable[..., httpx.Response]:
    """Asks an endpoint, `sales/history` by default, with a good token."""
    grant = {"grant_type": "client_credentials"}
    basic = {"Authorization": SANDBOX_CREDENTIALS.authorization}
    token = http.post(TOKEN_PATH, params=grant, headers=basic).json()["access_token"]

    def ask(path: str = SALES_HISTORY.path, **parameters) -> httpx.Response:
        return http.get(path, params=parameters, headers={"Authorization": f"Bearer {token}"})

    return ask
