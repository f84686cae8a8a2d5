"""The web app: which address leads where. Today it is the receiver alone.

Nothing here knows Dagster, so that it starts in a second and stays up while rounds come and go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute

from crm_assets.settings import Settings
from crm_assets.tenants import DEFAULT, Tenant
from crm_web.doc import page
from crm_web.inbox import Inbox
from crm_web.receiver import MOST_BYTES, MOST_BYTES_OF_STRANGERS, Door, Tokens

DEFAULT_PATH = "user"
"""Stands for the default tenant in the address that vendors already have (S3.72)."""

_SUMMARY = "Recebe eventos da Hotmart e contatos do ManyChat; o que chega é processado depois."
_JSON = {"schema": {"type": "object"}}
_POSTED: dict[str, Any] = {
    "parameters": [
        {
            "name": "tenant",
            "in": "path",
            "required": True,
            "description": f"Nome da empresa; `{DEFAULT_PATH}` é a padrão.",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": _JSON, "application/x-www-form-urlencoded": _JSON},
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": 'Gravado em disco: `{"id": …}`. Repetir o mesmo evento não muda nada.'},
    401: {"description": "Token ausente ou errado; nada é guardado além da contagem de recusas."},
    404: {"description": "Endereço desconhecido."},
    408: {"description": "O corpo não chegou a tempo."},
    413: {
        "description": f"O corpo passa de {MOST_BYTES // 1000} kB, ou, com o token dentro dele, "
        f"de {MOST_BYTES_OF_STRANGERS // 1000} kB."
    },
    503: {"description": "Não foi gravado: envie de novo depois de Retry-After segundos."},
}
_PHRASES = {
    404: "Endereço desconhecido.",
    405: "Este endereço não aceita este método.",
}


class PlainRoute(APIRoute):
    """A route whose function takes the request as it is; FastAPI only describes it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function itself."""
        return self.endpoint


def create_app(
    settings: Settings, tenants: Mapping[str, Tenant], environ: Mapping[str, str]
) -> FastAPI:
    """The app for some tenants.

    Args:
        settings: of the installation.
        tenants: by slug.
        environ: holds the tokens.

    Raises:
        SettingsError: a token cannot be used, or a tenant has two operations stores.
    """
    inboxes = {
        slug: Inbox(
            settings.ops_address(slug), settings.ops_tenant(slug), tenant.name, settings.now
        )
        for slug, tenant in tenants.items()
    }
    hotmart, manychat = _doors(tenants, inboxes, environ)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        for inbox in inboxes.values():
            inbox.begin()
        yield
        for inbox in inboxes.values():
            await inbox.end()

    app = FastAPI(
        title="Recebedor de eventos",
        description=_SUMMARY,
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/doc/openapi.json",
        redirect_slashes=False,
        # what is posted is told to nobody, whatever the environment says
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
        lifespan=running,
    )

    app.router.route_class = PlainRoute

    @app.post(
        "/api/hotmart/webhook/{tenant}",
        summary="Evento da Hotmart",
        description="O token vai no cabeçalho `X-HOTMART-HOTTOK`, ou no campo `hottok` do corpo.",
        response_model=None,
        responses=_ANSWERS,
        openapi_extra=_POSTED,
    )
    async def post_hotmart(request: Request) -> Response:
        return await _door(hotmart, request).receive(request)

    @app.post(
        "/api/manychat/contact/{tenant}",
        summary="Contato do ManyChat (External Request)",
        description="O token vai no cabeçalho `X-MANYCHAT-TOKEN`, ou em `Authorization: Bearer`.",
        response_model=None,
        responses=_ANSWERS,
        openapi_extra=_POSTED,
    )
    async def post_manychat(request: Request) -> Response:
        return await _door(manychat, request).receive(request)

    @app.get(
        "/healthz",
        summary="Está no ar?",
        description="200 quando a última gravação deu certo, 503 quando falhou.",
        response_model=None,
        response_description="A última gravação deu certo.",
        responses={503: {"description": "A última gravação de alguma empresa falhou."}},
    )
    async def get_health(_: Request) -> Response:
        is_failing = any(inbox.is_failing for inbox in inboxes.values())
        told = "a última gravação falhou" if is_failing else "ok"
        return JSONResponse({"status": told}, 503 if is_failing else 200)

    @app.get("/doc", include_in_schema=False, response_model=None)
    async def get_doc(_: Request) -> Response:
        return HTMLResponse(page(app.openapi()))

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def unknown(_: Request, error: HTTPException) -> Response:
        code = error.status_code
        return JSONResponse({"detail": _PHRASES[code]}, code, error.headers)

    return app


Doors = Mapping[str, Door]


def _doors(
    tenants: Mapping[str, Tenant], inboxes: Mapping[str, Inbox], environ: Mapping[str, str]
) -> tuple[Doors, Doors]:
    """The doors of Hotmart and of ManyChat, by what stands for a tenant in the address."""
    hotmart = {
        slug: Door(
            "hotmart",
            ("x-hotmart-hottok",),
            True,
            Tokens.from_environ(tenant.hotmart.webhook_token_env, environ),
            inboxes[slug],
        )
        for slug, tenant in tenants.items()
    }
    manychat = {
        slug: Door(
            "manychat",
            ("x-manychat-token", "authorization"),
            False,
            Tokens.from_environ(tenant.manychat.webhook_token_env, environ),
            inboxes[slug],
        )
        for slug, tenant in tenants.items()
    }
    default = DEFAULT if DEFAULT in tenants else next(iter(tenants), "")
    if DEFAULT in tenants or len(tenants) == 1:
        for doors in (hotmart, manychat):
            doors.setdefault(DEFAULT_PATH, doors[default])
    return hotmart, manychat


def _door(doors: Doors, request: Request) -> Door:
    door = doors.get(request.path_params["tenant"])
    if door is None:
        raise HTTPException(404)
    return door
