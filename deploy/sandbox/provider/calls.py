"""What every call goes through: key, faults of any call, the provider's error bodies, cut connections."""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deploy.sandbox.provider.engine import Engine
from deploy.sandbox.provider.errors import ConnectionCut, ProviderError, anthropic_error, openai_error


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `endpoint` as `openai.batches.create`, `resource` the id in its path, `key` the API key."""

    request: Request
    engine: Engine
    endpoint: str
    resource: str
    key: str

    @property
    def provider(self) -> str:
        return self.endpoint.partition(".")[0]

    async def json(self) -> dict[str, Any]:
        """Return the body; ProviderError(400) when it is no JSON object."""
        try:
            body = orjson.loads(await self.request.body())
        except orjson.JSONDecodeError as error:
            raise ProviderError(400, f"We could not parse the JSON body of your request: {error}") from None
        if not isinstance(body, dict):
            raise ProviderError(400, "The request body must be a JSON object.")
        return body

    def number(self, name: str, default: int, most: int) -> int:
        """Return a query parameter between 1 and `most`."""
        text = self.request.query_params.get(name, str(default))
        if not text.isdigit() or not 1 <= int(text) <= most:
            message = f"Invalid '{name}': expected an integer between 1 and {most}, got '{text}'."
            raise ProviderError(400, message, param=name)
        return int(text)

    def fault(self, name: str) -> dict[str, Any] | None:
        return self.engine.faults.draw(name, self.endpoint, self.resource, self.key)


Handler = Callable[[Call], Awaitable[Response]]


class JsonResponse(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def _openai_key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        message = "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        raise ProviderError(401, message + "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).")
    if key.startswith("invalid"):
        raise _wrong_openai_key(_masked(key))
    return key


def _masked(key: str) -> str:
    return f"{key[:7]}****{key[-2:]}"


def _encoded(key: str) -> str:
    return f"{quote(key, safe='')} (Basic {b64encode(f'user:{key}'.encode()).decode()})"


_SAID: dict[str, Callable[[str], str]] = {"masked": _masked, "whole": str, "encoded": _encoded}


def _bad_key(call: Call, how: str) -> ProviderError:
    """OpenAI says a part of the key back; Anthropic none, unless it is to say more."""
    said = _SAID[how](call.key)
    if call.provider == "openai":
        return _wrong_openai_key(said)
    return ProviderError(401, "invalid x-api-key" + ("" if how == "masked" else f": {said}"))


def _wrong_openai_key(said: str) -> ProviderError:
    message = f"Incorrect API key provided: {said}. You can find your API key at "
    message += "https://platform.openai.com/account/api-keys."
    return ProviderError(401, message, code="invalid_api_key")


def _anthropic_key(request: Request) -> str:
    key = request.headers.get("x-api-key") or request.headers.get("authorization", "").partition(" ")[2]
    if not key:
        raise ProviderError(401, "x-api-key header is required")
    if key.startswith("invalid"):
        raise ProviderError(401, "invalid x-api-key")
    if not request.headers.get("anthropic-version"):
        raise ProviderError(400, "anthropic-version: header is required")
    return key


async def _faults_of_any_call(call: Call) -> Response | None:
    """Answer for a fault that strikes before the call is looked at."""
    is_chat = call.endpoint == "openai.chat.completions"
    if call.provider == "openai" and call.engine.limits.openai_plain and not is_chat:
        raise ProviderError(404, f"Invalid URL ({call.request.method} {call.request.url.path})")
    slow = call.fault("slow_response")
    if slow is not None:
        await asyncio.sleep(slow["seconds"])
    refused = call.fault("bad_key")
    if refused is not None:
        raise _bad_key(call, refused["said"])
    if call.fault("spend_cap_429") is not None:
        raise _spend_cap(call.provider)
    limited = call.fault("http_429_retry_after")
    if limited is not None:
        message = "Rate limit reached for requests. Please try again later."
        raise ProviderError(429, message, code="rate_limit_exceeded", headers=_retry_after(limited))
    broken = call.fault("http_5xx")
    if broken is not None:
        message = "The server had an error while processing your request. Sorry about that!"
        raise ProviderError(broken["status"], message, headers=_retry_after(broken))
    if call.resource and ".batches." in call.endpoint and call.fault("known_batch_404") is not None:
        raise ProviderError(404, f"No batch found with id '{call.resource}'.", param="id")
    poisoned = call.fault("poisoned_batch") if call.resource else None
    return Response(poisoned["body"], media_type="text/html") if poisoned is not None else None


def _spend_cap(provider: str) -> ProviderError:
    if provider == "anthropic":
        return ProviderError(429, "You have reached your specified API usage limits.", type="rate_limit_error")
    message = "You exceeded your current quota, please check your plan and billing details."
    return ProviderError(429, message, code="insufficient_quota", type="insufficient_quota")


def _retry_after(options: dict[str, Any]) -> dict[str, str]:
    seconds = options["retry_after"]
    return {} if seconds is None else {"retry-after": str(seconds)}


def served(engine: Engine, endpoint: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a handler as a Starlette endpoint."""
    openai = endpoint.startswith("openai.")
    key_of, id_header = (_openai_key, "x-request-id") if openai else (_anthropic_key, "request-id")

    async def serve(request: Request) -> Response:
        request_id = f"req_{secrets.token_hex(12)}"
        try:
            resource = str(next(iter(request.path_params.values()), ""))
            call = Call(request, engine, endpoint, resource, key_of(request))
            response = await _faults_of_any_call(call) or await handler(call)
        except ProviderError as error:
            await _drain(request)
            body = openai_error(error) if openai else anthropic_error(error, request_id)
            response = JsonResponse(body, status_code=error.status, headers=error.headers)
        except ConnectionCut:
            return Abort()
        response.headers[id_header] = request_id
        return response

    return serve


async def _drain(request: Request) -> None:
    """Read what is left of the body: a client that is still sending would see a reset instead of the answer."""
    with suppress(RuntimeError, ClientDisconnect):
        async for _ in request.stream():
            pass


class Abort(Response):
    """No response: the connection is reset. The server puts `abort` into the scope (see `serving`)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        if "abort" not in scope:
            raise ConnectionError("the connection is to be cut, and this server can't do it")
        scope["abort"]()
