"""The sandbox's own API, for loopback only: health, faults, clock, answers that are dictated."""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.sandbox.provider.calls import JsonResponse
from deploy.sandbox.provider.engine import Engine

Endpoint = Callable[[Request], Awaitable[Response]]


def _loopback(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            return JsonResponse({"error": "only from this machine"}, status_code=403)
        try:
            return await endpoint(request)
        except (ValueError, TypeError, KeyError) as error:
            return JsonResponse({"error": str(error)}, status_code=400)

    return guarded


def routes(engine: Engine) -> list[Route]:
    """GET health · GET, POST, DELETE faults (`?fault=name`) · GET, POST clock ({"advance": seconds}).

    POST, DELETE answers ({the hash of a synchronous request's body: the text that the model says to it}).
    """

    async def health(_: Request) -> Response:
        return JsonResponse({"status": "ok", "limits": engine.limits.as_dict(), "now": engine.clock.now()})

    async def faults(request: Request) -> Response:
        if request.method == "POST":
            engine.faults.add(orjson.loads(await request.body()))
        elif request.method == "DELETE":
            engine.faults.remove(request.query_params.get("fault"))
        return JsonResponse(engine.faults.listing())

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            engine.clock.advance(float(orjson.loads(await request.body())["advance"]))
            engine.tick()
        return JsonResponse({"now": engine.clock.now()})

    async def answers(request: Request) -> Response:
        if request.method == "DELETE":
            engine.dictated.clear()
        else:
            told = orjson.loads(await request.body()).items()
            engine.dictated |= {str(known): str(text) for known, text in told}
        return JsonResponse({"dictated": len(engine.dictated)})

    return [
        Route("/sandbox/answers", _loopback(answers), methods=["POST", "DELETE"]),
        Route("/sandbox/health", _loopback(health)),
        Route("/sandbox/faults", _loopback(faults), methods=["GET", "POST", "DELETE"]),
        Route("/sandbox/clock", _loopback(clock), methods=["GET", "POST"]),
    ]
