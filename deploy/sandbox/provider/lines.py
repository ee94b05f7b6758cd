"""One result line for one request, in each provider's shape. Pure."""

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from deploy.sandbox.provider import shapes
from deploy.sandbox.provider.answers import Answer
from deploy.sandbox.provider.asks import Ask, ask_of
from deploy.sandbox.provider.errors import ProviderError, anthropic_error, openai_error
from deploy.sandbox.provider.moderation import moderation

EXPIRED = "This request could not be executed before the completion window expired."


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a batch: `body` is what would be posted to the endpoint; `ident` names its result."""

    custom_id: str
    body: dict[str, Any]
    ident: str


class Lines(Protocol):
    """What differs between the providers when results are written."""

    def parse(self, raw: bytes, ident: str) -> Request: ...

    def ask(self, request: Request) -> Ask: ...

    def succeeded(self, request: Request, ask: Ask, answer: Answer) -> bytes: ...

    def failed(self, request: Request, error: ProviderError) -> bytes: ...

    def unfinished(self, request: Request, ending: str) -> bytes | None: ...


def openai_body(endpoint: str, body: dict[str, Any], ask: Ask, answer: Answer, ident: str, created: int) -> Any:
    """Return the response body of a synchronous call or of a batch line, which are the same."""
    if endpoint == "/v1/embeddings":
        return shapes.embeddings(body, ask)
    if endpoint == "/v1/moderations":
        return moderation(body, ask, ident)
    if endpoint == "/v1/responses":
        return shapes.response(ask, answer, ident, created)
    return shapes.chat_completion(ask, answer, ident, created)


def cache_use(ask: Ask, kept: set[str]) -> str:
    """Whether a request writes its prompt into a cache, or reads it there; it is there afterwards."""
    if ask.cache is None:
        return ""
    use = "read" if ask.cache[0] in kept else "write"
    kept.add(ask.cache[0])
    return use


class OpenAILines:
    """Lines of OpenAI's output and error files: {id, custom_id, response, error}."""

    def __init__(self, endpoint: str, created: int) -> None:
        self._endpoint = endpoint
        self._created = created

    def parse(self, raw: bytes, ident: str) -> Request:
        line = orjson.loads(raw)
        return Request(line["custom_id"], line["body"], ident)

    def ask(self, request: Request) -> Ask:
        return ask_of(self._endpoint, request.body)

    def succeeded(self, request: Request, ask: Ask, answer: Answer) -> bytes:
        body = openai_body(self._endpoint, request.body, ask, answer, request.ident, self._created)
        return self._line(request, {"status_code": 200, "request_id": f"req_{request.ident}", "body": body})

    def failed(self, request: Request, error: ProviderError) -> bytes:
        if error.status == 0:
            return self._line(request, {"status_code": 0, "request_id": "", "body": ""})
        response = {"status_code": error.status, "request_id": f"req_{request.ident}", "body": openai_error(error)}
        return self._line(request, response)

    def unfinished(self, request: Request, ending: str) -> bytes | None:
        """An expired request is named in the error file; a cancelled one is in no file at all."""
        if ending == "cancelled":
            return None
        return self._line(request, None, {"code": "batch_expired", "message": EXPIRED})

    @staticmethod
    def _line(request: Request, response: Any, error: Any = None) -> bytes:
        return orjson.dumps(
            {
                "id": f"batch_req_{request.ident}",
                "custom_id": request.custom_id,
                "response": response,
                "error": error,
            }
        )


class AnthropicLines:
    """Lines of Anthropic's results: {custom_id, result: {type, …}}. A batch has a prompt cache of its own."""

    def __init__(self) -> None:
        self._kept: set[str] = set()

    def parse(self, raw: bytes, ident: str) -> Request:
        line = orjson.loads(raw)
        return Request(line["custom_id"], line["params"], ident)

    def ask(self, request: Request) -> Ask:
        return ask_of("/v1/messages", request.body)

    def succeeded(self, request: Request, ask: Ask, answer: Answer) -> bytes:
        message = shapes.message(ask, answer, request.ident, cache_use(ask, self._kept))
        return self._line(request, {"type": "succeeded", "message": message})

    def failed(self, request: Request, error: ProviderError) -> bytes:
        body = anthropic_error(error, f"req_{request.ident}")
        return self._line(request, {"type": "errored", "error": body})

    def unfinished(self, request: Request, ending: str) -> bytes | None:
        return self._line(request, {"type": "canceled" if ending == "cancelled" else "expired"})

    @staticmethod
    def _line(request: Request, result: dict[str, Any]) -> bytes:
        return orjson.dumps({"custom_id": request.custom_id, "result": result})
