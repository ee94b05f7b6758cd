"""The ASGI application: which path is served by which handler."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ExceptionHandler

from deploy.sandbox.provider import control, routes_anthropic, routes_batches, routes_files, routes_sync
from deploy.sandbox.provider.calls import Handler, JsonResponse, served
from deploy.sandbox.provider.engine import Engine
from deploy.sandbox.provider.errors import ProviderError, openai_error

_CALLS: tuple[tuple[str, str, str, Handler], ...] = (
    ("POST", "/v1/files", "openai.files.create", routes_files.upload),
    ("GET", "/v1/files", "openai.files.list", routes_files.listing),
    ("GET", "/v1/files/{id}", "openai.files.retrieve", routes_files.retrieve),
    ("GET", "/v1/files/{id}/content", "openai.files.content", routes_files.content),
    ("DELETE", "/v1/files/{id}", "openai.files.delete", routes_files.delete),
    ("POST", "/v1/batches", "openai.batches.create", routes_batches.create),
    ("GET", "/v1/batches", "openai.batches.list", routes_batches.listing),
    ("GET", "/v1/batches/{id}", "openai.batches.retrieve", routes_batches.retrieve),
    ("POST", "/v1/batches/{id}/cancel", "openai.batches.cancel", routes_batches.cancel),
    ("POST", "/v1/chat/completions", "openai.chat.completions", routes_sync.openai("/v1/chat/completions")),
    ("POST", "/v1/responses", "openai.responses", routes_sync.openai("/v1/responses")),
    ("POST", "/v1/embeddings", "openai.embeddings", routes_sync.openai("/v1/embeddings")),
    ("POST", "/v1/moderations", "openai.moderations", routes_sync.openai("/v1/moderations")),
    ("POST", "/v1/messages", "anthropic.messages", routes_sync.messages),
    ("POST", "/v1/messages/batches", "anthropic.batches.create", routes_anthropic.create),
    ("GET", "/v1/messages/batches", "anthropic.batches.list", routes_anthropic.listing),
    ("GET", "/v1/messages/batches/{id}", "anthropic.batches.retrieve", routes_anthropic.retrieve),
    ("POST", "/v1/messages/batches/{id}/cancel", "anthropic.batches.cancel", routes_anthropic.cancel),
    ("DELETE", "/v1/messages/batches/{id}", "anthropic.batches.delete", routes_anthropic.delete),
    ("GET", "/v1/messages/batches/{id}/results", "anthropic.batches.results", routes_anthropic.results),
)

ENDPOINTS = tuple(name for _, _, name, _ in _CALLS)


def create_app(engine: Engine) -> Starlette:
    """Return the application; its lifespan moves the engine's batches."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(engine.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    calls = [Route(path, served(engine, name, handler), methods=[method]) for method, path, name, handler in _CALLS]
    handlers: Mapping[Any, ExceptionHandler] = {404: _unknown, 405: _unknown}
    return Starlette(routes=[*calls, *control.routes(engine)], lifespan=lifespan, exception_handlers=handlers)


async def _unknown(request: Request, _: Exception) -> Response:
    """Answer for a path that no provider has."""
    error = ProviderError(404, f"Invalid URL ({request.method} {request.url.path})")
    return JsonResponse(openai_error(error), status_code=404)
